/*
 * fuzz_catalogue.c - catalogues; what is taken is written again the same.
 */
#include <stdlib.h>
#include <string.h>

#include "sov_manifest.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sov_catalogue c;
	struct sov_buf again = {0};

	if (sov_catalogue_decode(data, len, &c, NULL) != SOV_OK)
		return 0;
	for (uint32_t i = 0; i < c.n; i++)
		if (c.backups[i].wal_segment_size == 0 || c.backups[i].id[0] == '\0')
			abort();
	if (sov_catalogue_encode(&c, &again, NULL) != SOV_OK || again.len != len || memcmp(again.data, data, len) != 0)
		abort();
	sov_buf_free(&again);
	sov_catalogue_free(&c);
	return 0;
}
