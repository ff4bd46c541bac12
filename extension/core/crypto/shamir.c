/*
 * shamir.c - Shamir's secret sharing over GF(2^8), by libgfshare.
 *
 * The library's default random source is not one for secrets: ours is installed
 * before each use; the library also overwrites with it what it frees.  The value at
 * another x is computed by interpolating at zero the points moved by x, so that the
 * library's own routine does it.
 */
#include "shamir.h"

#include <libgfshare.h>
#include <pthread.h>
#include <string.h>

static bool rand_failed;

/* libgfshare keeps its generator in a global. */
static pthread_mutex_t gf_lock = PTHREAD_MUTEX_INITIALIZER;

static void
fill_random(unsigned char *buffer, unsigned int count)
{
	if (sov_random(buffer, count, NULL) != SOV_OK)
		rand_failed = true;
}

enum sov_code
shamir_value(const uint8_t *numbers, const uint8_t shares[][32], int k, uint8_t x, uint8_t out[32], struct sov_error *err)
{
	unsigned char moved[SHAMIR_MAX];
	gfshare_ctx *ctx;

	if (k == 1)
	{
		memcpy(out, shares[0], 32); /* a constant */
		return SOV_OK;
	}
	for (int i = 0; i < k; i++)
	{
		moved[i] = numbers[i] ^ x;
		if (moved[i] == 0)
		{
			memcpy(out, shares[i], 32);
			return SOV_OK;
		}
	}
	pthread_mutex_lock(&gf_lock);
	gfshare_fill_rand = fill_random;
	ctx = gfshare_ctx_init_dec(moved, (unsigned) k, 32);
	if (ctx != NULL)
	{
		for (int i = 0; i < k; i++)
			gfshare_ctx_dec_giveshare(ctx, (unsigned char) i, (unsigned char *) shares[i]);
		gfshare_ctx_dec_extract(ctx, out);
		gfshare_ctx_free(ctx);
	}
	pthread_mutex_unlock(&gf_lock);
	return ctx ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

enum sov_code
shamir_split(const uint8_t secret[32], int k, int n, uint8_t shares[][32], struct sov_error *err)
{
	unsigned char numbers[SHAMIR_MAX];
	gfshare_ctx *ctx;
	bool		failed;

	if (k == 1)
	{
		for (int i = 0; i < n; i++)
			memcpy(shares[i], secret, 32);
		return SOV_OK;
	}
	for (int i = 0; i < n; i++)
		numbers[i] = (unsigned char) (i + 1);
	pthread_mutex_lock(&gf_lock);
	gfshare_fill_rand = fill_random;
	rand_failed = false;
	ctx = gfshare_ctx_init_enc(numbers, (unsigned) n, (unsigned char) k, 32);
	if (ctx != NULL)
	{
		gfshare_ctx_enc_setsecret(ctx, (unsigned char *) secret);
		for (int i = 0; i < n; i++)
			gfshare_ctx_enc_getshare(ctx, (unsigned char) i, shares[i]);
		gfshare_ctx_free(ctx);
	}
	failed = ctx == NULL || rand_failed;
	pthread_mutex_unlock(&gf_lock);
	return failed ? sov_fail(err, SOV_E_CRYPTO, NULL, "a secret could not be split") : SOV_OK;
}
