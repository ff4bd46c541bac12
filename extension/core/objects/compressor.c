/*
 * compressor.c - how the pages of frames are compressed.
 *
 * zstd's level 1 looks for matches in one table.  On some data (rows of text) two
 * tables, for short and long matches, take about the same time on a frame of 128 KiB
 * and save a hundredth and more; on others (jsonb, indexes) they cost both.  So at
 * level 1 a whole frame is compressed both ways from time to time, and what was better
 * holds until the next trial.  Other levels are zstd's own.  What comes out is a zstd
 * frame in each case: readers need not know.
 */
#include "sov_run.h"

#include <stdlib.h>
#include <zstd.h>

#define TRIAL_EVERY 32			/* frames: costs 3 % of the compressor's time */
#define MUST_SAVE 256			/* two tables are a little slower: they must save a 256th */

enum way
{
	ONE_TABLE,
	TWO_TABLES
};

struct sov_compressor
{
	ZSTD_CCtx  *ctx[2];			/* by enum way; the second at level 1 only */
	void	   *room;			/* for the other result of a trial */
	enum way	better;
	unsigned	frames;
};

static ZSTD_CCtx *
make_ctx(int level)
{
	ZSTD_CCtx  *ctx = ZSTD_createCCtx();

	if (ctx != NULL)
		(void) ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
	return ctx;
}

struct sov_compressor *
sov_compressor_new(int level)
{
	struct sov_compressor *z = calloc(1, sizeof *z);

	if (z == NULL)
		return NULL;
	z->ctx[ONE_TABLE] = make_ctx(level);
	if (level == 1)
	{
		z->ctx[TWO_TABLES] = make_ctx(level);
		z->room = malloc(ZSTD_compressBound(SOV_FRAME_MAX));
	}
	if (z->ctx[ONE_TABLE] == NULL || (level == 1 && (z->ctx[TWO_TABLES] == NULL || z->room == NULL)))
	{
		sov_compressor_free(z);
		return NULL;
	}
	if (level == 1)
	{
		(void) ZSTD_CCtx_setParameter(z->ctx[TWO_TABLES], ZSTD_c_strategy, ZSTD_dfast);
		(void) ZSTD_CCtx_setParameter(z->ctx[TWO_TABLES], ZSTD_c_hashLog, 13);
		(void) ZSTD_CCtx_setParameter(z->ctx[TWO_TABLES], ZSTD_c_chainLog, 13);
		(void) ZSTD_CCtx_setParameter(z->ctx[TWO_TABLES], ZSTD_c_minMatch, 6);
	}
	return z;
}

void
sov_compressor_free(struct sov_compressor *z)
{
	if (z == NULL)
		return;
	ZSTD_freeCCtx(z->ctx[ONE_TABLE]);
	ZSTD_freeCCtx(z->ctx[TWO_TABLES]);
	free(z->room);
	free(z);
}

/* Both ways; the better one's bytes are in dst. */
static size_t
trial(struct sov_compressor *z, void *dst, size_t cap, const void *raw, size_t len)
{
	size_t		one = ZSTD_compress2(z->ctx[ONE_TABLE], z->room, ZSTD_compressBound(SOV_FRAME_MAX), raw, len),
				two = ZSTD_compress2(z->ctx[TWO_TABLES], dst, cap, raw, len);

	if (ZSTD_isError(one) || ZSTD_isError(two))
		return ZSTD_isError(one) ? one : two;
	z->better = two + two / MUST_SAVE < one ? TWO_TABLES : ONE_TABLE;
	if (z->better == TWO_TABLES)
		return two;
	memcpy(dst, z->room, one);
	return one;
}

enum sov_code
sov_compress(struct sov_compressor *z, void *dst, size_t cap, const void *raw, size_t len, size_t *n, struct sov_error *err)
{
	/* (a shorter one says too little of those that follow) */
	if (z->room != NULL && len == SOV_FRAME_MAX && z->frames++ % TRIAL_EVERY == 0)
		*n = trial(z, dst, cap, raw, len);
	else
		*n = ZSTD_compress2(z->ctx[z->better], dst, cap, raw, len);
	if (ZSTD_isError(*n))
		return sov_fail(err, SOV_E_SYSTEM, NULL, "compression failed: %s", ZSTD_getErrorName(*n));
	return SOV_OK;
}
