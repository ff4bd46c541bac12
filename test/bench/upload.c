/*
 * upload - the same bytes to every provider of a configuration file, one after
 * the other and all at once, and what connections that took.  The servers are on this
 * machine too: the CPU time that it spends, of all processes, is printed, and the time
 * below which its cores could not do the work of all at once.
 *   upload FILE OBJECTS MEGABYTES
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../providers/net.h"
#include "sov_config.h"
#include "sov_provider.h"

struct job
{
	const struct sov_provider_config *cfg;
	struct sov_provider *p;
	struct sov_put_span span;
	int			objects,
				run;
	double		seconds;
};

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* CPU seconds that this machine has been busy, by all processes. */
static double
busy(void)
{
	FILE	   *f = fopen("/proc/stat", "r");
	double		user = 0,
				nice = 0,
				system = 0;

	if (f == NULL || fscanf(f, "cpu %lf %lf %lf", &user, &nice, &system) != 3)
		exit(2);
	fclose(f);
	return (user + nice + system) / (double) sysconf(_SC_CLK_TCK);
}

static void *
upload(void *arg)
{
	struct job *j = arg;
	struct sov_error err;
	double		start = now();

	for (int i = 0; i < j->objects; i++)
	{
		char		name[64];

		snprintf(name, sizeof name, "bench/%d/%d", j->run, i);
		if (sov_provider_put(j->p, name, &j->span, 1, false, &err) != SOV_OK)
		{
			fprintf(stderr, "%s: %s\n", j->cfg->name, err.message);
			exit(1);
		}
	}
	j->seconds = now() - start;
	return NULL;
}

int
main(int argc, char **argv)
{
	static struct sov_config cfg;
	struct sov_error err;
	struct job	jobs[SOV_MAX_PROVIDERS];
	pthread_t	id[SOV_MAX_PROVIDERS];
	struct sov_net_counters before,
				after;
	size_t		len = argc == 4 ? (size_t) atoi(argv[3]) << 20 : 0;
	int			objects = argc == 4 ? atoi(argv[2]) : 0;
	char	   *data = malloc(len + 1);
	double		cores = (double) sysconf(_SC_NPROCESSORS_ONLN),
				slowest = 0,
				work = 0,
				start,
				cpu;

	if (argc != 4 || data == NULL || sov_config_read(argv[1], 0, &cfg, &err) != SOV_OK)
		return 2;
	for (size_t i = 0; i < len; i++)
		data[i] = (char) (i * 2654435761u >> 13);
	sov_net_counters(&before);
	for (int i = 0; i < cfg.n_providers; i++)
	{
		jobs[i] = (struct job) {.cfg = &cfg.providers[i], .span = {data, len}, .objects = objects};
		if (sov_provider_open(jobs[i].cfg, &jobs[i].p, &err) != SOV_OK)
			return fprintf(stderr, "%s: %s\n", jobs[i].cfg->name, err.message), 1;
		upload(&jobs[i]);
		jobs[i].run = 1;
		cpu = busy();
		upload(&jobs[i]);		/* the first one warmed it up */
		cpu = busy() - cpu;
		work += cpu;
		printf("%-14s alone     %6.2f s  %7.1f MB/s  %5.2f s of CPU\n", jobs[i].cfg->name, jobs[i].seconds, (double) len * objects / 1048576 / jobs[i].seconds, cpu);
		if (jobs[i].seconds > slowest)
			slowest = jobs[i].seconds;
	}
	cpu = busy();
	start = now();
	for (int i = 0; i < cfg.n_providers; i++)
	{
		jobs[i].run = 2;
		pthread_create(&id[i], NULL, upload, &jobs[i]);
	}
	for (int i = 0; i < cfg.n_providers; i++)
		pthread_join(id[i], NULL);
	start = now() - start;
	cpu = busy() - cpu;
	sov_net_counters(&after);
	printf("%d together               %6.2f s: %.2f of the slowest alone; %.2f s of CPU\n", cfg.n_providers, start, start / slowest, cpu);
	if (work / cores > slowest)
		printf("  the CPU time of all alone, on %.0f cores, takes %.2f s: %.2f of that\n", cores, work / cores, start / (work / cores));
	printf("%llu connections for %d objects: %.4f handshakes per object\n", (unsigned long long) (after.connections - before.connections),
		   3 * objects * cfg.n_providers, (double) (after.connections - before.connections) / (3 * objects * cfg.n_providers));
	for (int i = 0; i < cfg.n_providers; i++)
		sov_provider_close(jobs[i].p);
	free(data);
	return 0;
}
