/*
 * value.c - nanoseconds to seal and to open one column value, key schedule kept:
 * random and searchable (compact), several lengths, median of five runs.  Then to open a
 * value of a person: with a key that is kept expanded, with one that is expanded for it,
 * and the expansion alone, of one key after another, which bounds how fast values of as
 * many persons can be opened.  And the cipher alone, AES-256-GCM of 16 bytes with the
 * 20 bytes that a value authenticates beside them: below that no value can be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_crypto.h"
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

static void
measure_cipher(const uint8_t key[32])
{
	uint8_t		plain[16] = {0},
				sealed[16],
				opened[16],
				aad[20] = {0},
				tag[16],
				nonce[SOV_NONCE_LEN] = {0};
	double		seal[RUNS],
				open[RUNS];
	struct sov_error err;
	struct sov_aead *a = sov_aead_new(key, &err);

	if (a == NULL)
		fail(&err);
	for (int r = 0; r < RUNS; r++)
	{
		double		t = now();

		for (unsigned i = 0; i < TIMES; i++)
		{
			memcpy(nonce, &i, sizeof i);
			if (sov_aead_seal(a, nonce, aad, sizeof aad, plain, sizeof plain, sealed, tag, &err) != SOV_OK)
				fail(&err);
		}
		seal[r] = (now() - t) / TIMES;
		t = now();
		for (unsigned i = 0; i < TIMES; i++)
			if (sov_aead_open(a, nonce, aad, sizeof aad, sealed, sizeof sealed, tag, opened, &err) != SOV_OK)
				fail(&err);
		open[r] = (now() - t) / TIMES;
	}
	sov_aead_free(a);
	qsort(seal, RUNS, sizeof *seal, by_value);
	qsort(open, RUNS, sizeof *open, by_value);
	printf("cipher alone  16 bytes: seal %6.0f ns, open %6.0f ns (%s)\n", seal[RUNS / 2], open[RUNS / 2], sov_aead_impl());
}

/* keys of other persons each time, as many as fit the nearest cache */
#define PERSONS 256

static void
measure_person(struct sov_value_keys *keys, size_t len)
{
	static uint8_t person[PERSONS][SOV_KEY_LEN],
				sealed[PERSONS][128 + SOV_VALUE_OVERHEAD];
	static struct sov_ctr_key kept[PERSONS];
	static const char *const what[] = {"open under a key that is kept expanded", "open under a key that is expanded for it", "the expansion alone"};
	uint8_t		plain[128],
				opened[128],
				nonce[SOV_NONCE_LEN] = {0};
	struct sov_ctr_key expanded;
	struct sov_error err;
	struct sov_value v;
	size_t		n = 0;

	memset(plain, 'x', sizeof plain);
	for (int i = 0; i < PERSONS; i++)
	{
		struct sov_value_subject s = {.number = 256 + (uint64_t) i, .key = person[i]};

		memset(person[i], i, SOV_KEY_LEN);
		sov_ctr_expand(person[i], &kept[i]);
		if (sov_value_seal(keys, NULL, SOV_BASE_TEXT, SOV_VALUE_RANDOM, nonce, plain, len, NULL, 0, &s, sealed[i], &n, &err) != SOV_OK)
			fail(&err);
	}
	for (int w = 0; w < 3; w++)
	{
		double		took[RUNS];

		for (int r = 0; r < RUNS; r++)
		{
			double		t = now();

			for (unsigned i = 0; i < TIMES; i++)
			{
				unsigned	p = i % PERSONS;

				if (w > 0)
					sov_ctr_expand(person[p], &expanded);
				if (w < 2 && (sov_value_parse(sealed[p], n, &v, &err) != SOV_OK ||
							  sov_value_open(keys, &v, SOV_BASE_TEXT, w ? &expanded : &kept[p], opened, &err) != SOV_OK))
					fail(&err);
			}
			took[r] = (now() - t) / TIMES;
		}
		qsort(took, RUNS, sizeof *took, by_value);
		printf("a person's %2zu bytes: %6.0f ns, %s\n", len, took[RUNS / 2], what[w]);
	}
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
	measure_cipher(key);
	measure_person(keys, 16);
	measure_person(keys, 64);
	sov_cmac_free(eq);
	sov_value_keys_free(keys);
	return 0;
}
