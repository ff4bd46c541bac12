/*
 * value.c - nanoseconds to seal and to open one column value, key schedule kept:
 * random and searchable (compact), several lengths, median of five runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_value.h"

#define TIMES 200000
#define RUNS 5

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
fail(const struct sov_error *err)
{
	fprintf(stderr, "%s\n", err->message);
	exit(1);
}

static void
measure(struct sov_value_keys *keys, struct sov_cmac *eq, enum sov_value_mode mode, size_t len)
{
	uint8_t		plain[1024],
				sealed[1024 + SOV_VALUE_OVERHEAD],
				opened[1024],
				nonce[SOV_NONCE_LEN] = {0};
	double		seal[RUNS],
				open[RUNS];
	struct sov_error err;
	struct sov_value v;
	size_t		n;

	memset(plain, 'x', sizeof plain);
	for (int r = 0; r < RUNS; r++)
	{
		double		t = now();

		for (unsigned i = 0; i < TIMES; i++)
		{
			memcpy(nonce, &i, sizeof i);
			if (sov_value_seal(keys, eq, SOV_BASE_TEXT, mode, nonce, plain, len, NULL, 0, NULL, sealed, &n, &err) != SOV_OK)
				fail(&err);
		}
		seal[r] = (now() - t) / TIMES;
		t = now();
		for (unsigned i = 0; i < TIMES; i++)
			if (sov_value_parse(sealed, n, &v, &err) != SOV_OK || sov_value_open(keys, &v, SOV_BASE_TEXT, NULL, opened, &err) != SOV_OK)
				fail(&err);
		open[r] = (now() - t) / TIMES;
	}
	qsort(seal, RUNS, sizeof *seal, by_value);
	qsort(open, RUNS, sizeof *open, by_value);
	printf("%-10s %5zu bytes: seal %6.0f ns, open %6.0f ns\n", mode == SOV_VALUE_RANDOM ? "random" : "searchable", len, seal[RUNS / 2], open[RUNS / 2]);
}

int
main(void)
{
	static const size_t lengths[] = {4, 16, 64, 256, 1000};
	uint8_t		key[32] = {1};
	struct sov_error err;
	struct sov_value_keys *keys = sov_value_keys_new(key, 1, &err);
	struct sov_cmac *eq = sov_cmac_new(key, &err);

	if (keys == NULL || eq == NULL)
		fail(&err);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
	{
		measure(keys, eq, SOV_VALUE_RANDOM, lengths[i]);
		measure(keys, eq, SOV_VALUE_COMPACT, lengths[i]);
	}
	sov_cmac_free(eq);
	sov_value_keys_free(keys);
	return 0;
}
