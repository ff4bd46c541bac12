/*
 * webdav_private.h - what the files of the webdav adapter share (design: webdav.c).
 */
#ifndef WEBDAV_PRIVATE_H
#define WEBDAV_PRIVATE_H

#include <pthread.h>

#include "adapters.h"
#include "store.h"
#include "webdav.h"

#define WEBDAV_TMP "+tmp"

struct webdav
{
	struct sov_store store;		/* first */
	char		root[700];		/* URL of the root collection, without a slash at its end */
	const char *root_path;		/* its path, in root */
	char	   *basic;			/* "Basic ...", locked memory */
	pthread_mutex_t lock;		/* of overwriting */
};

/* PROPFIND of an object or a collection; NULL is the root.  The answer goes into sink. */
extern enum sov_code webdav_propfind(struct webdav *w, const char *name, const char *depth, struct sov_buf *sink, struct sov_call *c, struct sov_error *err);
/* The root collection is there; anything else is a provider's failure. */
extern enum sov_code webdav_check_root(struct webdav *w, struct sov_error *err);
extern enum sov_code webdav_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);

#endif
