/*
 * fuzz_piece.c - pieces of manifests: what is taken keeps every promise that
 * restore relies on, and is written again the same.
 */
#include <stdlib.h>
#include <string.h>

#include "sov_manifest.h"

static void
check_block(const struct sov_piece *p, const struct sov_mf_file *f, uint32_t block)
{
	const struct sov_mf_block *b = &p->blocks[f->first_block + block];
	uint64_t	left = f->size - (uint64_t) block * SOV_FRAME_MAX,
				len = left < SOV_FRAME_MAX ? left : SOV_FRAME_MAX,
				end = 0;

	if ((uint64_t) b->first_run + b->n_runs > p->n_runs || (uint64_t) b->first_page + sov_block_pages(len) > p->n_pages)
		abort();
	for (uint32_t i = 0; i < b->n_runs; i++)
	{
		const struct sov_mf_run *r = &p->runs[b->first_run + i];

		if (r->first < end || (uint64_t) r->first + r->length > len || r->length == 0 ||
			(uint64_t) r->skip + r->length > r->raw_len || r->raw_len > SOV_FRAME_MAX ||
			r->pack >= p->n_packs || (uint64_t) r->offset + r->sealed_len > p->packs[r->pack].sealed_len)
			abort();
		end = r->first + r->length;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sov_piece p;
	struct sov_buf again = {0};

	if (sov_piece_decode(data, len, &p, NULL) != SOV_OK)
		return 0;
	for (uint32_t i = 0; i < p.n_files; i++)
	{
		const struct sov_mf_file *f = &p.files[i];

		if (f->path[0] == '/' || f->path[0] == '\0' || strstr(f->path, "//") || strcmp(f->path, "..") == 0 ||
			strncmp(f->path, "../", 3) == 0 || strstr(f->path, "/../") || (i && strcmp(p.files[i - 1].path, f->path) >= 0))
			abort();
		if ((uint64_t) f->first_block + f->n_blocks > p.n_blocks || (uint64_t) f->n_blocks * SOV_FRAME_MAX < f->size)
			abort();
		for (uint32_t b = 0; b < f->n_blocks; b++)
			check_block(&p, f, b);
	}
	/* that of 0.1.0 is never written; flags of the head are zero, or it would not have been taken */
	if (!p.whole_hashes && (sov_piece_encode(&p, &again, NULL) != SOV_OK || again.len != len || memcmp(again.data, data, len) != 0))
		abort();
	sov_buf_free(&again);
	sov_piece_free(&p);
	return 0;
}
