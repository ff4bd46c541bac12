/*
 * s3.h - parts of the s3 adapter that tests and fuzz targets call.
 */
#ifndef S3_H
#define S3_H

#include "store.h"

/* How long parts must be so that there are at most max_parts; 0: it cannot be. */
extern uint64_t sov_s3_part_size(uint64_t total, uint64_t part_size, uint64_t max_parts);
/* Read one page of a list.  next holds where it went on, and gets where it goes
 * on. */
extern enum sov_code sov_s3_read_page(const void *data, size_t len, struct sov_listing *list, bool v1, bool *more,
									  char *next, size_t cap, struct sov_error *err);

#define SOV_S3_ID 1100			/* a version's id has 1024 bytes at most */

struct sov_s3_version
{
	char		id[SOV_S3_ID];
	bool		latest,
				marker;			/* of a removal: no version */
};

/* The reading of a list of versions, a page at a time. */
struct sov_s3_versions
{
	bool		(*each) (void *ctx, const char *key, const struct sov_s3_version *one);	/* false to stop */
	void	   *ctx;
	bool		is_list,
				truncated;
	char		next_key[1100],	/* where it goes on */
				next_id[SOV_S3_ID];
	char		key[1100];		/* the entry that is read */
	struct sov_s3_version one;
};

/* Read one page; keys come with the provider's prefix. */
extern enum sov_code sov_s3_read_versions(const void *data, size_t len, struct sov_s3_versions *v, struct sov_error *err);

/* The reading of a list of uploads in parts that were begun, a page at a time. */
struct sov_s3_uploads
{
	bool		(*each) (void *ctx, const char *key, const char *id, int64_t begun_us);	/* false to stop */
	void	   *ctx;
	bool		is_list,
				truncated;
	char		next_key[1100],	/* where it goes on: behind what the server says, or its last entry */
				next_id[SOV_S3_ID],
				last_key[1100],
				last_id[SOV_S3_ID];
	char		key[1100],		/* the entry that is read */
				id[SOV_S3_ID];
	int64_t		begun_us;
};

/* Read one page; keys come with the provider's prefix. */
extern enum sov_code sov_s3_read_uploads(const void *data, size_t len, struct sov_s3_uploads *u, struct sov_error *err);

#endif
