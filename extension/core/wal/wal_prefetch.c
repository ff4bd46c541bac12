/*
 * wal_prefetch.c - the prefetcher: keeps the segments after the one that was
 * delivered last, as many as the limit allows, and ends by itself.
 *
 * It reads what recovery has reached from the position that wal-fetch writes, and
 * answers nothing: whatever it cannot fetch, it leaves to wal-fetch, which knows
 * how to say "not found".  After a failure it tries again when recovery has come
 * a segment further.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal_private.h"

#define THREADS 2
#define LARGE ((uint32_t) 64 << 20)	/* segments from here on go one by one */
#define IDLE_US 20000000		/* nobody asked for so long: end, and remove all */
#define LIFE_US 600000000		/* after that another one is started with the state of then */
#define POLL_US 10000

struct prefetch
{
	const struct sov_wal_ahead *a;
	struct sov_repo *repo;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool		stop;
	char		position[32];
	uint32_t	size;
	char		failed[32];		/* the first one that could not be had, or "" */
	char		flying[THREADS][32];
};

static bool
flying(const struct prefetch *p, const char *name)
{
	for (int i = 0; i < THREADS; i++)
		if (strcmp(p->flying[i], name) == 0)
			return true;
	return false;
}

/* The next segment to fetch, under the lock; false when there is none. */
static bool
next_segment(const struct prefetch *p, char name[32])
{
	uint32_t	timeline;
	enum sov_wal_kind kind;
	uint64_t	lsn;
	char		path[1300];

	if (p->size == 0 || !sov_wal_name(p->position, &kind, &timeline))
		return false;
	if (p->size >= LARGE)
		for (int i = 0; i < THREADS; i++)
			if (p->flying[i][0] != '\0')
				return false;
	lsn = wal_segment_end(p->position, p->size);
	for (uint64_t i = 0; i < p->a->limit / p->size; i++, lsn += p->size)
	{
		wal_segment_name(timeline, lsn, p->size, name);
		if (p->failed[0] != '\0' && strcmp(name, p->failed) >= 0)
			return false;
		wal_ahead_path(p->a, name, "", path, sizeof path);
		if (!flying(p, name) && access(path, F_OK) != 0)
			return true;
	}
	return false;
}

/* Would it be asked for still? */
static bool
wanted(struct prefetch *p, const char *name)
{
	bool		yes;

	pthread_mutex_lock(&p->lock);
	yes = !p->stop && strncmp(name, p->position, 8) == 0 && strcmp(name, p->position) > 0;
	pthread_mutex_unlock(&p->lock);
	return yes;
}

/* An empty file says that it is coming. */
static bool
announce(const struct sov_wal_ahead *a, const char *name)
{
	char		part[1300];
	int			fd;

	wal_ahead_path(a, name, WAL_AHEAD_PART, part, sizeof part);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool
fetch_one(struct prefetch *p, const char *name)
{
	struct sov_buf plain = {0};
	struct wal_header h;
	struct sov_error err;
	char		part[1300],
				id[SOV_WAL_ID_MAX];
	enum sov_code rc;

	wal_ahead_path(p->a, name, WAL_AHEAD_PART, part, sizeof part);
	/* Only the first attempt: the others are for wal-fetch. */
	sov_wal_object_id(p->repo, 0, name, id);
	rc = sov_repo_get_stream(p->repo, SOV_CLASS_WAL, id, 0, NULL, &plain, &err);
	if (rc == SOV_OK)
		rc = wal_check_segment(p->repo, name, plain.data, plain.len, &h, &err);
	if (rc == SOV_OK && wanted(p, name))
		rc = wal_ahead_keep(p->a, name, plain.data, plain.len, &err);
	(void) unlink(part);
	sov_buf_free(&plain);
	return rc == SOV_OK;
}

struct prefetch_thread
{
	struct prefetch *p;
	int			slot;
};

static void *
fetch_ahead(void *arg)
{
	struct prefetch *p = ((struct prefetch_thread *) arg)->p;
	char	   *mine = p->flying[((struct prefetch_thread *) arg)->slot];
	char		name[32];

	pthread_mutex_lock(&p->lock);
	while (!p->stop)
	{
		bool		good;

		if (!next_segment(p, name))
		{
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		memcpy(mine, name, sizeof name);
		/* Under the lock, so that they are announced in their order. */
		good = announce(p->a, name);
		pthread_mutex_unlock(&p->lock);
		good = good && fetch_one(p, name);
		pthread_mutex_lock(&p->lock);
		mine[0] = '\0';
		if (!good && (p->failed[0] == '\0' || strcmp(name, p->failed) < 0))
			memcpy(p->failed, name, sizeof name);
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Follow recovery until it has gone. */
static void
follow(struct prefetch *p)
{
	int64_t		begun = repo_mono_us(),
				moved = begun;
	struct stat last = {0},
				st;
	char		path[1300],
				name[32];
	uint32_t	size;

	wal_ahead_path(p->a, "position", "", path, sizeof path);
	while (stat(path, &st) == 0 && repo_mono_us() < moved + IDLE_US && repo_mono_us() < begun + LIFE_US)
	{
		if ((st.st_ino != last.st_ino || st.st_mtim.tv_nsec != last.st_mtim.tv_nsec || st.st_mtim.tv_sec != last.st_mtim.tv_sec) &&
			wal_ahead_position(p->a, name, &size))
		{
			last = st;
			moved = repo_mono_us();
			pthread_mutex_lock(&p->lock);
			memcpy(p->position, name, sizeof p->position);
			p->size = size;
			p->failed[0] = '\0';
			pthread_cond_broadcast(&p->changed);
			pthread_mutex_unlock(&p->lock);
		}
		usleep(POLL_US);
	}
}

static void
run(struct prefetch *p)
{
	struct prefetch_thread arg[THREADS];
	pthread_t	threads[THREADS];
	int			n = 0;

	for (; n < THREADS; n++)
	{
		arg[n] = (struct prefetch_thread) {p, n};
		if (pthread_create(&threads[n], NULL, fetch_ahead, &arg[n]) != 0)
			break;
	}
	if (n > 0)
		follow(p);
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

enum sov_code
sov_wal_ahead_run(const struct sov_wal_ahead *a, const struct sov_config *cfg, struct sov_error *err)
{
	struct prefetch p = {.a = a};
	int			fd = wal_ahead_lock(a);
	enum sov_code rc;

	if (fd < 0)
		return SOV_OK;
	pthread_mutex_init(&p.lock, NULL);
	pthread_cond_init(&p.changed, NULL);
	rc = sov_repo_open_brief(cfg, NULL, NULL, &p.repo, err);
	if (rc == SOV_OK)
	{
		sov_repo_choose_cluster(p.repo, a->cluster);
		run(&p);
	}
	sov_repo_close(p.repo);
	wal_ahead_sweep(a, NULL, false);
	close(fd);
	pthread_cond_destroy(&p.changed);
	pthread_mutex_destroy(&p.lock);
	return rc;
}
