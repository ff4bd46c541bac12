/*
 * testwal.h - a WAL segment as the server would begin it, with one byte all through.
 */
#ifndef TESTWAL_H
#define TESTWAL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* len bytes of the segment that begins at this address; timeline and system_id as in its header. */
static inline void
write_test_segment(const char *path, uint32_t timeline, uint64_t address, uint64_t system_id, uint32_t segment_size, size_t len, int fill)
{
	uint8_t    *p = malloc(len);
	uint32_t	block = 8192;
	uint16_t	magic = 0xD110,
				info = 2;
	FILE	   *f = fopen(path, "w");

	memset(p, fill, len);
	memcpy(p, &magic, 2);
	memcpy(p + 2, &info, 2);
	memcpy(p + 4, &timeline, 4);
	memcpy(p + 8, &address, 8);
	memcpy(p + 24, &system_id, 8);
	memcpy(p + 32, &segment_size, 4);
	memcpy(p + 36, &block, 4);
	fwrite(p, 1, len, f);
	fclose(f);
	free(p);
}

#endif
