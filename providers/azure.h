/*
 * azure.h - parts of the azure adapter that fuzz targets call.
 */
#ifndef AZURE_H
#define AZURE_H

#include "store.h"

/* One page of a list; next holds where it went on, and gets where it goes on. */
extern enum sov_code sov_azure_read_page(const void *data, size_t len, struct sov_listing *list, bool *more,
										 char *next, size_t cap, struct sov_error *err);

/* The reading, over pages, of a list that has what is kept of removed blobs: names that
 * readers do not see go to the listing.  Free it with free(). */
struct sov_azure_kept;
extern struct sov_azure_kept *sov_azure_kept_new(struct sov_listing *list);
extern enum sov_code sov_azure_read_kept(const void *data, size_t len, struct sov_azure_kept *k, struct sov_error *err);

#endif
