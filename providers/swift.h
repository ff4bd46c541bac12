/*
 * swift.h - parts of the swift adapter that fuzz targets call.
 */
#ifndef SWIFT_H
#define SWIFT_H

#include "store.h"

/* The object store's URL in the reply of Keystone, by region ("" any) and
 * interface. */
extern bool sov_swift_catalogue(const void *data, size_t len, const char *region, const char *interface, char *url, size_t cap);
/* One page of a list; *n entries, the last name into next. */
extern enum sov_code sov_swift_read_page(const void *data, size_t len, struct sov_listing *list, size_t *n,
										 char *next, size_t cap, struct sov_error *err);

struct sov_swift_version
{
	char		id[64];
	bool		latest,
				marker;			/* of a removal: no version */
};

/* One page of a list of versions, as it comes: of one name the newest first; next and
 * next_id (of 1100 and 64 bytes) get the last entry.  each says false to stop. */
extern enum sov_code sov_swift_read_versions(const void *data, size_t len,
											 bool (*each) (void *ctx, const char *name, const struct sov_swift_version *one),
											 void *ctx, size_t *n, char *next, char *next_id, struct sov_error *err);

#endif
