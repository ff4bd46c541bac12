/*
 * folder_private.h - what the files folder*.c share: the root folder, and the
 * directory of an object in it.
 */
#ifndef SOV_FOLDER_PRIVATE_H
#define SOV_FOLDER_PRIVATE_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "adapters.h"

#define FOLDER_TMP "+tmp"

struct folder
{
	struct sov_provider base;	/* first */
	_Atomic bool marked;		/* +tmp was seen in the root */
	char		root[1024];
};

/* folder.c */
/* A failed system call: full, or the provider fails (never "not found"). */
extern enum sov_code folder_fail_io(struct sov_error *err, int saved, const char *what, const char *name);
extern enum sov_code folder_bad_name(struct sov_error *err, const char *name);
extern enum sov_code folder_open_root(struct folder *f, int *fd, struct sov_error *err);
/* Another folder stands where ours was. */
extern enum sov_code folder_gone(struct folder *f, struct sov_error *err);
/* "Not found", if the root is still what it was. */
extern enum sov_code folder_not_found(struct folder *f, int root, const char *name, struct sov_error *err);
/* Make a directory that outlives a crash. */
extern int	folder_make_directory(int parent, const char *name);
/* Open the directory of an object, *last is the name in it.  Returns 0 or an
 * errno; ENOENT when a part is absent (and not to be made). */
extern int	folder_open_parent(int root, const char *name, bool create, int *fd, const char **last);
/* What stands where no object can stand does not exist as an object. */
extern bool folder_absent(int saved);
extern void folder_fill_stat(struct sov_object_stat *dst, const struct stat *st);

/* folder_put.c */
extern enum sov_code folder_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
								bool if_absent, struct sov_error *err);

/* folder_list.c */
extern enum sov_code folder_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);

#endif
