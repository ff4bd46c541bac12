/*
 * wal.c - names of WAL files and the header of a segment.
 *
 * The long header of a segment's first page says which cluster, timeline and
 * address it belongs to (access/xlog_internal.h): magic u16, info u16, timeline
 * u32, page address u64, remaining length u32, 4 bytes of padding, system
 * identifier u64, segment size u32, block size u32; in the byte order of the
 * server, which is ours.
 */
#include "wal_private.h"

#include <stdio.h>
#include <string.h>

#define LONG_HEADER 40
#define XLP_LONG_HEADER 0x0002

static bool
hex_upper(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'F')))
			return false;
	return true;
}

static uint32_t
hex32(const char *p)
{
	uint32_t	v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 4 | (uint32_t) (p[i] <= '9' ? p[i] - '0' : p[i] - 'A' + 10);
	return v;
}

bool
sov_wal_name(const char *name, enum sov_wal_kind *kind, uint32_t *timeline)
{
	size_t		n = strlen(name);

	if (n < 8 || !hex_upper(name, 8))
		return false;
	*timeline = hex32(name);
	if (strcmp(name + 8, ".history") == 0)
		*kind = SOV_WAL_HISTORY;
	else if (n < 24 || !hex_upper(name + 8, 16))
		return false;
	else if (n == 24)
		*kind = SOV_WAL_SEGMENT;
	else if (strcmp(name + 24, ".partial") == 0)
		*kind = SOV_WAL_PARTIAL;
	else if (n == 40 && name[24] == '.' && hex_upper(name + 25, 8) && strcmp(name + 33, ".backup") == 0)
		*kind = SOV_WAL_BACKUP;
	else
		return false;
	return *timeline != 0;
}

bool
wal_is_segment_size(uint32_t size)
{
	return size >= 1024 * 1024 && size <= 1024 * 1024 * 1024 && (size & (size - 1)) == 0;
}

bool
wal_header(const uint8_t *p, size_t len, struct wal_header *h)
{
	uint16_t	info;

	if (len < LONG_HEADER)
		return false;
	memcpy(&info, p + 2, 2);
	memcpy(&h->timeline, p + 4, 4);
	memcpy(&h->address, p + 8, 8);
	memcpy(&h->system_id, p + 24, 8);
	memcpy(&h->segment_size, p + 32, 4);
	if ((info & XLP_LONG_HEADER) == 0 || !wal_is_segment_size(h->segment_size))
		return false;
	return h->address % h->segment_size == 0;
}

void
wal_segment_name(uint32_t timeline, uint64_t lsn, uint32_t segment_size, char dst[32])
{
	uint64_t	no = lsn / segment_size,
				per = UINT64_C(0x100000000) / segment_size;

	snprintf(dst, 32, "%08X%08X%08X", timeline, (unsigned) (no / per), (unsigned) (no % per));
}

enum sov_code
wal_check_header(const char *name, const uint8_t *p, size_t len, struct wal_header *h, struct sov_error *err)
{
	char		expect[32];

	if (!wal_header(p, len, h))
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s does not begin like a WAL segment", name);
	if (len != h->segment_size)
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s has %zu bytes, a segment of this cluster has %u", name, len, h->segment_size);
	/* A segment begun on an older timeline keeps that one in its first page. */
	if (h->timeline > hex32(name))
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s holds WAL of timeline %u", name, h->timeline);
	wal_segment_name(hex32(name), h->address, h->segment_size, expect);
	if (strncmp(expect, name, 24) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s holds the WAL of %s", name, expect);
	return SOV_OK;
}

enum sov_code
wal_check_segment(const struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, struct wal_header *h, struct sov_error *err)
{
	enum sov_code rc = wal_check_header(name, p, len, h, err);

	return rc == SOV_OK ? sov_repo_check_system(repo, h->system_id, err) : rc;
}

uint64_t
wal_segment_end(const char *name, uint32_t segment_size)
{
	uint64_t	per = UINT64_C(0x100000000) / segment_size;

	return ((uint64_t) hex32(name + 8) * per + hex32(name + 16) + 1) * segment_size;
}

uint32_t
wal_segment_size(const struct sov_mark *mark)
{
	uint64_t	rest = mark->lsn - ((uint64_t) hex32(mark->segment + 8) << 32);

	return (uint32_t) (rest / ((uint64_t) hex32(mark->segment + 16) + 1));
}
