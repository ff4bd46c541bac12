/*
 * swift_private.h - the swift adapter: tokens, calls, puts and lists (swift.c), removal and
 * versions (swift_versions.c).
 */
#ifndef SWIFT_PRIVATE_H
#define SWIFT_PRIVATE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "adapters.h"
#include "swift.h"

#define PAGE_MAX 100000			/* pages of one list */

/* What a container does with an object that is removed, by the headers of its list. */
enum swift_keeps
{
	KEEPS_NOTHING,
	KEEPS_VERSIONS,				/* X-Versions-Enabled: it hides it behind a marker */
	KEEPS_STACK,				/* X-Versions-Location: it brings the version before back */
	KEEPS_HISTORY				/* X-History-Location: it puts it into another container */
};

struct swift
{
	struct sov_store store;		/* first */
	char		container[200];
	bool		keystone;
	char		project[128],
				user_domain[128],
				project_domain[128],
				region[64],
				interface[16];
	const char *user,
			   *password;
	_Atomic enum swift_keeps keeps;
	pthread_mutex_t lock;		/* of what follows */
	char	   *token;			/* locked memory, TOKEN_MAX bytes */
	char		storage[512];	/* URL of the account */
	uint64_t	generation;		/* counts tokens */
};

/* NULL for what is no JSON, or has more values than any reply of a server. */
extern json_t *sov_swift_json(const void *data, size_t len);
/* Remove an object, and what the container keeps of it.  SOV_E_LOCKED when that is beyond us. */
extern enum sov_code swift_remove(struct sov_provider *p, const char *name, struct sov_error *err);
extern enum sov_code swift_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err);
extern enum sov_code swift_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);

#endif
