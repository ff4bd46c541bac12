/*
 * copy - all objects of one provider of a configuration to another, by so many
 * threads, as plain copies: list, get, put.  Prints seconds, objects and bytes.
 *   copy FILE FROM TO THREADS
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_config.h"
#include "sov_provider.h"

static char **names;
static size_t n_names,
			next;
static unsigned long long bytes;
static struct sov_provider *from,
		   *to;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static bool
add(void *ctx, const char *name, const struct sov_object_stat *st)
{
	(void) ctx;
	(void) st;
	if ((n_names & (n_names + 1)) == 0)
		names = realloc(names, sizeof *names * 2 * (n_names + 1));
	return names != NULL && (names[n_names++] = strdup(name)) != NULL;
}

static void *
copy(void *arg)
{
	struct sov_buf b = {0};
	struct sov_error err;
	size_t		i;

	(void) arg;
	while ((i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < n_names)
	{
		struct sov_put_span span;

		b.len = 0;
		if (sov_provider_get(from, names[i], 0, UINT64_MAX, &b, &err) == SOV_OK)
		{
			span = (struct sov_put_span) {b.data, b.len};
			if (sov_provider_put(to, names[i], &span, 1, false, &err) == SOV_OK)
			{
				__atomic_add_fetch(&bytes, b.len, __ATOMIC_RELAXED);
				continue;
			}
		}
		fprintf(stderr, "%s: %s\n", names[i], err.message);
		exit(1);
	}
	sov_buf_free(&b);
	return NULL;
}

int
main(int argc, char **argv)
{
	static struct sov_config cfg;
	struct sov_error err;
	pthread_t	id[64];
	int			threads = argc == 5 ? atoi(argv[4]) : 0;
	double		start;

	if (threads < 1 || threads > 64 || sov_config_read(argv[1], 0, &cfg, &err) != SOV_OK)
		return 2;
	for (int i = 0; i < cfg.n_providers; i++)
		if ((strcmp(cfg.providers[i].name, argv[2]) == 0 && sov_provider_open(&cfg.providers[i], &from, &err) != SOV_OK) ||
			(strcmp(cfg.providers[i].name, argv[3]) == 0 && sov_provider_open(&cfg.providers[i], &to, &err) != SOV_OK))
			return fprintf(stderr, "%s: %s\n", cfg.providers[i].name, err.message), 1;
	if (from == NULL || to == NULL)
		return 2;
	start = now();
	if (sov_provider_list(from, "", add, NULL, &err) != SOV_OK)
		return fprintf(stderr, "%s\n", err.message), 1;
	for (int t = 0; t < threads; t++)
		pthread_create(&id[t], NULL, copy, NULL);
	for (int t = 0; t < threads; t++)
		pthread_join(id[t], NULL);
	printf("%.3f %zu %llu\n", now() - start, n_names, bytes);
	return 0;
}
