/*
 * azure_private.h - the azure adapter: calls, puts and removal (azure.c), lists
 * (azure_list.c).
 */
#ifndef AZURE_PRIVATE_H
#define AZURE_PRIVATE_H

#include "adapters.h"
#include "azure.h"

struct azure
{
	struct sov_store store;		/* first */
	char		container[80];
	char		base[640];		/* URL of the container */
	const char *path;			/* its path, in base */
	const char *account,
			   *key,			/* NULL with a SAS */
			   *sas;
	_Atomic bool versions;		/* the account was seen to keep some */
};

/* A failure, with what is special to Azure in the hint. */
extern enum sov_code azure_fail(struct azure *a, struct sov_call *c, const char *what, struct sov_error *err);
extern enum sov_code azure_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
/* What is kept of one blob: the ids of its earlier versions, each with its NUL; *soft is set
 * when something of it was removed and is kept for some days; *seen: readers see it.  The
 * caller frees ids, also after an error.  SOV_E_UNSUPPORTED: the account knows no versions. */
extern enum sov_code azure_kept_of(struct azure *a, const char *name, struct sov_buf *ids, bool *soft, bool *seen, struct sov_error *err);
extern enum sov_code azure_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);

#endif
