/*
 * ec - the erasure code: both implementations, every subset, what is refused.
 */
#include <string.h>

#include "sov_ec.h"
#include "tap.h"

#define MAX_LEN 4099

static uint8_t shards[SOV_EC_MAX][MAX_LEN],
			again[SOV_EC_MAX][MAX_LEN];
static struct sov_error err;

/* Fill k data slots and compute the others into dst. */
static void
encode(uint8_t dst[][MAX_LEN], int k, int n, size_t len)
{
	const uint8_t *data[SOV_EC_MAX];
	uint8_t    *parity[SOV_EC_MAX];

	for (int j = 0; j < k; j++)
	{
		for (size_t i = 0; i < len; i++)
			dst[j][i] = (uint8_t) ((i * 2654435761u + (size_t) j * 40503u) >> 7);
		data[j] = dst[j];
	}
	for (int s = k; s < n; s++)
		parity[s - k] = memset(dst[s], 0xee, MAX_LEN);
	sov_ec_encode(k, n, len, data, parity);
}

/* Decode all n slots from this subset; true when they are what was coded and
 * nothing beyond len was written. */
static bool
decodes(int k, int n, size_t len, unsigned subset)
{
	int			slots[SOV_EC_MAX] = {0},
				want[SOV_EC_MAX] = {0},
				m = 0;
	const uint8_t *have[SOV_EC_MAX] = {0};
	uint8_t    *out[SOV_EC_MAX] = {0};

	/* From the last to the first: order is of no importance. */
	for (int s = n - 1; s >= 0; s--)
		if (subset >> s & 1)
		{
			slots[m] = s;
			have[m++] = shards[s];
		}
	for (int s = 0; s < n; s++)
	{
		want[s] = s;
		out[s] = again[s];
		again[s][len] = 0x5a;
	}
	if (sov_ec_decode(k, len, slots, have, want, out, n, &err) != SOV_OK)
		return false;
	for (int s = 0; s < n; s++)
		if (memcmp(again[s], shards[s], len) != 0 || again[s][len] != 0x5a)
			return false;
	return true;
}

static void
every_subset(int k, int n)
{
	static const size_t lens[] = {0, 1, 2, 15, 33, 64};
	int			tried = 0,
				bad = 0;

	for (size_t l = 0; l < sizeof lens / sizeof lens[0]; l++)
	{
		if (n == 16 && lens[l] > 33)
			continue;
		encode(shards, k, n, lens[l]);
		for (unsigned subset = 0; subset < 1u << n; subset++)
			if (__builtin_popcount(subset) == k)
			{
				tried++;
				bad += !decodes(k, n, lens[l], subset);
			}
	}
	ok(bad == 0, "%d of %d: all slots from every subset (%d, %s)", k, n, tried, sov_ec_impl());
}

static void
same_bytes(void)
{
	static const size_t lens[] = {0, 1, 7, 31, 32, 33, 63, 64, 65, 127, 1000, MAX_LEN - 1};
	int			bad = 0;

	for (int k = 1; k <= 16; k++)
		for (size_t l = 0; l < sizeof lens / sizeof lens[0]; l++)
		{
			sov_ec_force_portable(false);
			encode(shards, k, 16, lens[l]);
			sov_ec_force_portable(true);
			encode(again, k, 16, lens[l]);
			sov_ec_force_portable(false);
			for (int s = 0; s < 16; s++)
				bad += memcmp(shards[s], again[s], MAX_LEN) != 0;
		}
	ok(bad == 0, "%s and portable give equal bytes, k = 1 to 16, and touch no more", sov_ec_impl());
}

/* The bytes themselves: 1/x in GF(2^8) over 0x11d, so that no later version
 * codes in another field or with another matrix. */
static void
known_bytes(void)
{
	static const uint8_t one = 1,
				two = 2;
	const uint8_t *data[2] = {&one, &two};
	uint8_t		out[3];
	uint8_t    *parity[3] = {&out[0], &out[1], &out[2]};

	/* slot 2: 1/2 * 1 + 1/3 * 2 = 0x8e ^ 0xf5; slot 3: 1/3 + 1/2 * 2 = 0xf4 ^ 1;
	 * slot 4: 1/4 + 1/5 * 2 = 0x47 ^ 0x53 */
	sov_ec_encode(2, 5, 1, data, parity);
	ok(out[0] == (0x8e ^ 0xf5) && out[1] == (0xf4 ^ 0x01) && out[2] == (0x47 ^ 0x53), "known bytes: %02x %02x %02x", out[0], out[1], out[2]);
	sov_ec_encode(1, 3, 1, data, parity);
	ok(out[0] == 1 && out[1] == 0x8e, "k = 1: scaled copies");
}

static void
rows(void)
{
	int			bad = 0;

	for (int k = 1; k < 16; k++)
	{
		encode(shards, k, 16, 50);
		for (int n = k + 1; n < 16; n++)
		{
			encode(again, k, n, 50);
			for (int s = 0; s < n; s++)
				bad += memcmp(shards[s], again[s], 50) != 0;
		}
	}
	ok(bad == 0, "a slot depends on k and itself, not on n");
}

static void
refusals(void)
{
	const uint8_t *have[SOV_EC_MAX];
	uint8_t    *out[1] = {again[0]};
	int			want = 0;
	static const int bad[][3] = {{0, 0, 1}, {0, 1, 1}, {4, 2, 4}, {5, 5, 5}, {0, 1, 16}, {-1, 1, 2}, {0, 255, 2}, {0, 1, 1 << 20}};
	int			taken = 0;

	encode(shards, 3, 6, 40);
	for (int i = 0; i < SOV_EC_MAX; i++)
		have[i] = shards[0];
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		taken += sov_ec_decode(3, 40, bad[i], have, &want, out, 1, &err) != SOV_E_CORRUPT;
	ok(taken == 0, "slots given twice or out of range are refused");
	taken = 0;
	for (int s = -2; s < 300; s++)
		if (s < 0 || s >= SOV_EC_MAX)
			taken += sov_ec_decode(3, 40, (const int[]) {0, 1, 2}, have, &s, out, 1, &err) != SOV_E_CORRUPT;
	taken += sov_ec_decode(0, 40, (const int[]) {0}, have, &want, out, 1, &err) != SOV_E_CORRUPT;
	taken += sov_ec_decode(17, 40, (const int[]) {0}, have, &want, out, 1, &err) != SOV_E_CORRUPT;
	taken += sov_ec_decode(1, 40, (const int[]) {0}, have, &want, out, 17, &err) != SOV_E_CORRUPT;
	ok(taken == 0, "so are wanted slots and k");
}

int
main(void)
{
	static const int kn[][2] = {{1, 1}, {1, 3}, {2, 3}, {3, 5}, {4, 6}, {10, 16}};

	same_bytes();
	known_bytes();
	rows();
	refusals();
	for (int p = 0; p < 2; p++)
	{
		sov_ec_force_portable(p == 1);
		for (size_t i = 0; i < sizeof kn / sizeof kn[0]; i++)
			every_subset(kn[i][0], kn[i][1]);
	}
	sov_ec_force_portable(false);
	for (uint64_t total = 0; total < 2000; total++)
		for (int k = 1; k <= 16; k++)
			if (sov_ec_shard_len(total, k) * (uint64_t) k < total || (total && (sov_ec_shard_len(total, k) - 1) * (uint64_t) k >= total))
				tap_failed++;
	ok(tap_failed == 0, "a shard is as long as it must be");
	return tap_done();
}
