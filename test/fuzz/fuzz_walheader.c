/*
 * fuzz_walheader.c - names of WAL files and headers of segments.
 *
 * An input is a name, a zero byte, and the beginning of a segment.
 */
#include <stdlib.h>
#include <string.h>

#include "wal/wal_private.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *zero = memchr(data, 0, len);
	size_t		n = zero ? (size_t) (zero - data) : len;
	char	   *name = malloc(n + 1);
	struct wal_header h;
	enum sov_wal_kind kind;
	uint32_t	timeline;

	memcpy(name, data, n);
	name[n] = '\0';
	if (sov_wal_name(name, &kind, &timeline))
	{
		if (strchr(name, '/') || timeline == 0)
			abort();
		if (kind == SOV_WAL_SEGMENT)
			(void) wal_segment_end(name, 16 << 20);
	}
	if (zero && len - n > 1)
	{
		uint8_t    *page = malloc(len - n - 1);

		memcpy(page, zero + 1, len - n - 1);
		if (wal_header(page, len - n - 1, &h))
		{
			char		made[32];

			if (h.segment_size == 0 || h.address % h.segment_size != 0)
				abort();
			wal_segment_name(1, h.address, h.segment_size, made);
			if (!sov_wal_name(made, &kind, &timeline) || wal_segment_end(made, h.segment_size) != h.address + h.segment_size)
				abort();
		}
		free(page);
	}
	free(name);
	return 0;
}
