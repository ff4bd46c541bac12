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
#include "storage/checksum_impl.h"

#include "pgpage.h"

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
	if (PageIsNew((Page) copy.data))
		return true;
	return pg_checksum_page(copy.data, block) == header->pd_checksum;
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
