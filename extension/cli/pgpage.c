/*
 * pgpage.c - is a page of a relation intact?
 *
 * The only file of the command that sees the server's headers: the algorithm is
 * PostgreSQL's own storage/checksum_impl.h, which is made to be included by
 * outside programs.
 */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#include "postgres_fe.h"

#include "storage/bufpage.h"
#include "storage/checksum.h"

/* Compiled twice: vectors of AVX2 are several times as fast where there are some. */
#define pg_checksum_page checksum_portable
#define pg_checksum_block checksum_block_portable
#define checksumBaseOffsets offsets_portable
#define PGChecksummablePage PagePortable
#include "storage/checksum_impl.h"
#undef pg_checksum_page
#undef pg_checksum_block
#undef checksumBaseOffsets
#undef PGChecksummablePage
#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_AVX2_VARIANT
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("avx2")
#define pg_checksum_page checksum_avx2
#define pg_checksum_block checksum_block_avx2
#define checksumBaseOffsets offsets_avx2
#define PGChecksummablePage PageAvx2
#include "storage/checksum_impl.h"
#pragma GCC pop_options
#endif

#include "pgpage.h"

static uint16
checksum(char *page, uint32_t block)
{
#ifdef HAVE_AVX2_VARIANT
	if (__builtin_cpu_supports("avx2"))
		return checksum_avx2(page, block);
#endif
	return checksum_portable(page, block);
}

bool
pgpage_ok(const uint8_t *page, uint32_t block)
{
	union
	{
		char		data[BLCKSZ];
		uint64		align;
	}			copy;
	PageHeader	header = (PageHeader) copy.data;

	memcpy(copy.data, page, BLCKSZ);
	/* as the server reads it: a header of zeros before anything else is a torn page */
	if (PageIsNew((Page) copy.data))
		return copy.data[0] == 0 && memcmp(copy.data, copy.data + 1, BLCKSZ - 1) == 0;
	return checksum(copy.data, block) == header->pd_checksum;
}

uint64_t
pgpage_lsn(const uint8_t *page)
{
	PageHeaderData header;

	memcpy(&header, page, sizeof header);
	return ((uint64_t) header.pd_lsn.xlogid << 32) | header.pd_lsn.xrecoff;
}

uint32_t
pgpage_block_size(void)
{
	return BLCKSZ;
}

uint32_t
pgpage_segment_pages(void)
{
	return RELSEG_SIZE;
}
