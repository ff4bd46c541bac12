/*
 * objects - what looking through a repository of very many objects takes:
 * objects CONFIG COUNT.  The repository is there (init) and empty: COUNT small
 * metadata objects are put, then all of them are read through as verify and prune do.
 *
 * Prints: objects, seconds to read, peak of memory in MB before and with it.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "sov_repo.h"
#include "sov_verify.h"

#define CREW 8

struct putting
{
	struct sov_repo *repo;
	struct sov_run *run;
	long		count;
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double
peak_mb(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double) r.ru_maxrss / 1024;
}

static void
fail(const struct sov_error *err)
{
	fprintf(stderr, "objects: %s\n", err->message);
	exit(1);
}

static void
put_some(int member, void *arg)
{
	struct putting *p = arg;

	for (long i = member; i < p->count; i += CREW)
	{
		struct sov_objref ref;
		struct sov_put_result res;
		struct sov_error err;

		if (sov_repo_put_stream(p->repo, p->run, SOV_CLASS_META, NULL, 0, &i, sizeof i, false, NULL, 0, &ref, &res, &err) != SOV_OK)
			fail(&err);
	}
}

int
main(int argc, char **argv)
{
	static struct sov_config cfg;
	struct putting p = {.count = argc == 3 ? atol(argv[2]) : 0};
	struct sov_inventory inv;
	struct sov_error err;
	double		before,
				from,
				took;

	if (p.count <= 0)
		return fprintf(stderr, "usage: objects CONFIG COUNT\n"), 2;
	if (sov_config_read(argv[1], SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK || sov_repo_open(&cfg, NULL, NULL, &p.repo, &err) != SOV_OK ||
		sov_repo_run_begin(p.repo, &p.run, &err) != SOV_OK)
		fail(&err);
	sov_parallel(CREW, put_some, &p);
	before = peak_mb();
	from = now();
	if (sov_inventory_read(p.repo, &inv, &err) != SOV_OK)
		fail(&err);
	took = now() - from;
	if ((long) inv.n_items < p.count)
		return fprintf(stderr, "objects: only %zu are seen\n", inv.n_items), 1;
	printf("%zu %.1f %.0f %.0f\n", inv.n_items, took, before, peak_mb());
	sov_inventory_free(&inv);
	sov_run_free(p.run);
	sov_repo_close(p.repo);
	return 0;
}
