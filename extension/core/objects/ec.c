/*
 * ec.c - Reed-Solomon over GF(2^8) with a Cauchy matrix.
 *
 * Decoding inverts the k x k matrix of the rows at hand and multiplies; wanted
 * parity slots are the product of their row with that inverse.  The region
 * arithmetic is ISA-L's where it is built in, tables of 256 products otherwise.
 */
#include "sov_ec.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_ISAL
#include <isa-l/erasure_code.h>
#endif

static uint8_t gf_log[256],
			gf_exp[512];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;
#ifdef HAVE_ISAL
static bool portable = false;
#else
static bool portable = true;
#endif

static void
make_tables(void)
{
	unsigned	x = 1;

	for (int i = 0; i < 255; i++)
	{
		gf_exp[i] = gf_exp[i + 255] = (uint8_t) x;
		gf_log[x] = (uint8_t) i;
		x <<= 1;
		if (x & 0x100)
			x ^= 0x11d;
	}
}

static uint8_t
mul(uint8_t a, uint8_t b)
{
	return a && b ? gf_exp[gf_log[a] + gf_log[b]] : 0;
}

static uint8_t
inverse(uint8_t a)
{
	return gf_exp[255 - gf_log[a]];
}

/* Row of a slot: identity for data, Cauchy for parity. */
static void
matrix_row(int k, int slot, uint8_t *row)
{
	for (int j = 0; j < k; j++)
		row[j] = slot < k ? slot == j : inverse((uint8_t) (slot ^ j));
}

/* Invert the k x k matrix m (destroyed) into inv; false when singular. */
static bool
invert(int k, uint8_t *m, uint8_t *inv)
{
	for (int i = 0; i < k; i++)
		for (int j = 0; j < k; j++)
			inv[i * k + j] = i == j;
	for (int c = 0; c < k; c++)
	{
		int			pivot = c;
		uint8_t		f;

		while (pivot < k && m[pivot * k + c] == 0)
			pivot++;
		if (pivot == k)
			return false;
		for (int j = 0; j < k && pivot != c; j++)
		{
			uint8_t		t = m[c * k + j];

			m[c * k + j] = m[pivot * k + j];
			m[pivot * k + j] = t;
			t = inv[c * k + j];
			inv[c * k + j] = inv[pivot * k + j];
			inv[pivot * k + j] = t;
		}
		f = inverse(m[c * k + c]);
		for (int j = 0; j < k; j++)
		{
			m[c * k + j] = mul(m[c * k + j], f);
			inv[c * k + j] = mul(inv[c * k + j], f);
		}
		for (int r = 0; r < k; r++)
		{
			f = m[r * k + c];
			if (r == c || f == 0)
				continue;
			for (int j = 0; j < k; j++)
			{
				m[r * k + j] ^= mul(f, m[c * k + j]);
				inv[r * k + j] ^= mul(f, inv[c * k + j]);
			}
		}
	}
	return true;
}

static void
multiply_portable(int k, int rows, size_t len, const uint8_t *coef, const uint8_t *const *in, uint8_t *const *out)
{
	for (int r = 0; r < rows; r++)
	{
		memset(out[r], 0, len);
		for (int j = 0; j < k; j++)
		{
			uint8_t		product[256];
			uint8_t		c = coef[r * k + j];

			if (c == 0)
				continue;
			for (int v = 0; v < 256; v++)
				product[v] = mul(c, (uint8_t) v);
			for (size_t i = 0; i < len; i++)
				out[r][i] ^= product[in[j][i]];
		}
	}
}

/* out[r] = sum over j of coef[r][j] * in[j] */
static void
multiply(int k, int rows, size_t len, const uint8_t *coef, const uint8_t *const *in, uint8_t *const *out)
{
#ifdef HAVE_ISAL
	if (!portable)
	{
		uint8_t		tables[SOV_EC_MAX * SOV_EC_MAX * 32];
		size_t		step = (size_t) 1 << 30;

		/* ISA-L takes int lengths. */
		ec_init_tables(k, rows, (unsigned char *) coef, tables);
		for (size_t at = 0; at < len; at += step)
		{
			unsigned char *src[SOV_EC_MAX],
					   *dst[SOV_EC_MAX];

			for (int j = 0; j < k; j++)
				src[j] = (unsigned char *) in[j] + at;
			for (int r = 0; r < rows; r++)
				dst[r] = out[r] + at;
			ec_encode_data((int) (len - at < step ? len - at : step), k, rows, tables, src, dst);
		}
		return;
	}
#endif
	multiply_portable(k, rows, len, coef, in, out);
}

void
sov_ec_encode(int k, int n, size_t len, const uint8_t *const *data, uint8_t *const *parity)
{
	uint8_t		coef[SOV_EC_MAX * SOV_EC_MAX];

	pthread_once(&tables_once, make_tables);
	if (n <= k || len == 0)
		return;
	for (int s = k; s < n; s++)
		matrix_row(k, s, coef + (s - k) * k);
	multiply(k, n - k, len, coef, data, parity);
}

enum sov_code
sov_ec_decode(int k, size_t len, const int *have_slots, const uint8_t *const *have,
			  const int *want_slots, uint8_t *const *want, int n_want, struct sov_error *err)
{
	uint8_t		m[SOV_EC_MAX * SOV_EC_MAX],
				inv[SOV_EC_MAX * SOV_EC_MAX],
				coef[SOV_EC_MAX * SOV_EC_MAX];

	pthread_once(&tables_once, make_tables);
	if (k < 1 || k > SOV_EC_MAX || n_want < 0 || n_want > SOV_EC_MAX)
		return sov_fail(err, SOV_E_CORRUPT, NULL, "erasure code: k = %d cannot be", k);
	for (int i = 0; i < k; i++)
	{
		if (have_slots[i] < 0 || have_slots[i] >= SOV_EC_MAX)
			return sov_fail(err, SOV_E_CORRUPT, NULL, "erasure code: slot %d is out of range", have_slots[i]);
		matrix_row(k, have_slots[i], m + i * k);
	}
	if (!invert(k, m, inv))
		return sov_fail(err, SOV_E_CORRUPT, NULL, "erasure code: a slot is given twice");
	for (int w = 0; w < n_want; w++)
	{
		uint8_t		row[SOV_EC_MAX];

		if (want_slots[w] < 0 || want_slots[w] >= SOV_EC_MAX)
			return sov_fail(err, SOV_E_CORRUPT, NULL, "erasure code: slot %d is out of range", want_slots[w]);
		matrix_row(k, want_slots[w], row);
		for (int j = 0; j < k; j++)
		{
			coef[w * k + j] = 0;
			for (int i = 0; i < k; i++)
				coef[w * k + j] ^= mul(row[i], inv[i * k + j]);
		}
	}
	if (n_want > 0 && len > 0)
		multiply(k, n_want, len, coef, have, want);
	return SOV_OK;
}

void
sov_ec_force_portable(bool on)
{
#ifdef HAVE_ISAL
	portable = on;
#else
	(void) on;
#endif
}

const char *
sov_ec_impl(void)
{
	return portable ? "portable" : "isa-l";
}
