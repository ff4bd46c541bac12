/*
 * fuzz_manifest.c - manifests; what is taken is written again and must be the
 * same.
 */
#include <stdlib.h>
#include <string.h>

#include "sov_manifest.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sov_manifest m;
	struct sov_buf again = {0};

	if (sov_manifest_decode(data, len, &m, NULL) != SOV_OK)
		return 0;
	for (uint32_t i = 0; i < m.n_tablespaces; i++)
		if (m.tablespaces[i].path[0] != '/' || strstr(m.tablespaces[i].path, "/../"))
			abort();
	if (m.wal_segment_size == 0 || m.block_size == 0)
		abort();
	if (sov_manifest_encode(&m, &again, NULL) != SOV_OK || again.len != len || memcmp(again.data, data, len) != 0)
		abort();
	sov_buf_free(&again);
	sov_manifest_free(&m);
	return 0;
}
