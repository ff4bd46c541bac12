/*
 * fuzz_manifest.c - manifests; what is taken is written again and must be the
 * same.  In the layout of 0.1.0, which is not written, it names no databases, and
 * what is written instead must be taken and written as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "sov_manifest.h"

static bool
is_stable(const struct sov_buf *text)
{
	struct sov_manifest m;
	struct sov_buf again = {0};
	bool		same = sov_manifest_decode(text->data, text->len, &m, NULL) == SOV_OK &&
		sov_manifest_encode(&m, &again, NULL) == SOV_OK && again.len == text->len && memcmp(again.data, text->data, text->len) == 0;

	sov_manifest_free(&m);
	sov_buf_free(&again);
	return same;
}

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
	if (sov_manifest_encode(&m, &again, NULL) != SOV_OK)
		abort();
	if ((again.len != len || memcmp(again.data, data, len) != 0) && (m.n_databases > 0 || !is_stable(&again)))
		abort();
	sov_buf_free(&again);
	sov_manifest_free(&m);
	return 0;
}
