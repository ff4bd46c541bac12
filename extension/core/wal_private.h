/*
 * wal_private.h - what the files wal*.c share.
 */
#ifndef WAL_PRIVATE_H
#define WAL_PRIVATE_H

#include "repo_private.h"
#include "sov_wal.h"

#define WAL_MAX_ATTEMPTS 16		/* pushes of one file that failed half-way */

struct wal_header
{
	uint64_t	system_id;
	uint64_t	address;
	uint32_t	timeline;
	uint32_t	segment_size;
};

extern bool wal_header(const uint8_t *p, size_t len, struct wal_header *h);
extern void wal_segment_name(uint32_t timeline, uint64_t lsn, uint32_t segment_size, char dst[32]);
/* First byte after the segment. */
extern uint64_t wal_segment_end(const char *name, uint32_t segment_size);
/* Is this the named segment, of this repository's cluster? */
extern enum sov_code wal_check_segment(const struct sov_repo *repo, const char *name, const uint8_t *p, size_t len,
									   struct wal_header *h, struct sov_error *err);

#endif
