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
	char		root_path[700];	/* its path, decoded */
	char	   *basic;			/* "Basic ...", locked memory */
	pthread_mutex_t lock;		/* of overwriting */
};

/* PROPFIND of an object or a collection; NULL is the root.  The answer goes into sink. */
extern enum sov_code webdav_propfind(struct webdav *w, const char *name, const char *depth, struct sov_buf *sink, struct sov_call *c, struct sov_error *err);
/* A reference of the server's, "/dav/root/a%2Eb" or a whole URL, as a name below the root;
 * false when it is none. */
extern bool webdav_relative(const char *href, const char *root_path, char *dst, size_t cap);
/* Percent-decoded; false when it cannot be, or does not fit. */
extern bool webdav_decode(const char *text, char *dst, size_t cap);
/* The root collection is there; anything else is a provider's failure. */
extern enum sov_code webdav_check_root(struct webdav *w, struct sov_error *err);
/* In the middle of being put: what is left of those that were killed. */
extern enum sov_code webdav_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err);
extern enum sov_code webdav_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);

#endif
