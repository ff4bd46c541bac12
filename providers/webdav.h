/*
 * webdav.h - parts of the webdav adapter that fuzz targets call.
 */
#ifndef WEBDAV_H
#define WEBDAV_H

#include "store.h"

/* One resource of a multistatus reply, its name relative to the root. */
typedef bool (*sov_dav_fn) (void *ctx, const char *name, bool collection, uint64_t size, int64_t mtime_us);
extern enum sov_code sov_dav_read_page(const void *data, size_t len, const char *root_path, sov_dav_fn fn, void *ctx, struct sov_error *err);

#endif
