/*
 * wal_batch.c - archive_command: the ready segments after the one asked for go
 * along, and the calls that ask for them next are answered without a provider.
 *
 * A segment that was acknowledged ahead has a file STATE/pushed/NAME, one line:
 * "SOVPUSHED1", five numbers of the segment and five of the configuration file
 * (device, inode, size, mtime and ctime in nanoseconds), and the time of the
 * acknowledgement in seconds.
 * It is written only after sov_wal_push gave its acknowledgement, mark included,
 * and answers for the very same file only: a change of its content or of its name
 * changes the inode's times.  A record that is lost or torn costs a look at the
 * providers.
 *
 * Only one process at a time pushes: a mark below n holders must not pass a
 * segment that another process has under way.  So wal-push waits for a process
 * that pushes ahead, and that one begins after the last segment that was
 * acknowledged.  It goes on as long as there are ready segments, at most AHEAD of
 * them before the server, and ends with the first that fails: who asks for that one
 * shall say why.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wal_private.h"

#define THREADS 6
#define AHEAD 32
#define BEGIN_US 5000000		/* after that no further one is begun: the server waits */
#define REMEMBER_S 600
#define RECORD_MAX 320
#define WAIT_US 60000000		/* for one that pushes ahead */
#define PATIENCE_US 3000000		/* of one that pushes ahead, while nobody asks */
#define NAP_US 5000

/* --- records --- */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static size_t
describe(const char *path, char *dst, size_t cap)
{
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	return (size_t) snprintf(dst, cap, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64,
							 (uint64_t) st.st_dev, (uint64_t) st.st_ino, (uint64_t) st.st_size,
							 (int64_t) st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
							 (int64_t) st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
}

/* What binds a record to this file as it is now: all but the time. */
static bool
binding(const struct sov_config *cfg, const char *path, char dst[RECORD_MAX])
{
	size_t		n = (size_t) snprintf(dst, RECORD_MAX, "SOVPUSHED1"),
				file = describe(path, dst + n, RECORD_MAX - n),
				config = file ? describe(cfg->file, dst + n + file, RECORD_MAX - n - file) : 0;

	return config > 0;
}

static void
record_path(const struct sov_config *cfg, const char *name, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/pushed/%s", cfg->state_directory, name);
}

/* Remember it; before is its binding before it was read. */
static void
remember(const struct sov_config *cfg, const char *path, const char *before)
{
	char		now[RECORD_MAX],
				line[RECORD_MAX + 32],
				to[1300],
				tmp[1400];
	int			fd,
				n;

	if (!binding(cfg, path, now) || strcmp(now, before) != 0)
		return;
	record_path(cfg, base_name(path), to, sizeof to);
	snprintf(tmp, sizeof tmp, "%s.tmp.%d", to, (int) getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	n = snprintf(line, sizeof line, "%s %" PRId64 "\n", now, (int64_t) time(NULL));
	if (write(fd, line, (size_t) n) != n || rename(tmp, to) != 0)
		(void) unlink(tmp);
	close(fd);
}

/* Is there a record of this file as it is? */
static bool
recorded(const struct sov_config *cfg, const char *path)
{
	char		record[1300],
				now[RECORD_MAX],
				expect[RECORD_MAX + 32];
	struct sov_buf b = {0};
	int64_t		at,
				today = (int64_t) time(NULL);
	bool		same;

	record_path(cfg, base_name(path), record, sizeof record);
	if (repo_read_file(record, &b, NULL) != SOV_OK || !binding(cfg, path, now))
	{
		sov_buf_free(&b);
		return false;
	}
	sov_write_u8(&b, 0);
	same = !b.bad && strncmp((char *) b.data, now, strlen(now)) == 0 &&
		sscanf((char *) b.data + strlen(now), " %" SCNd64, &at) == 1 && at <= today && today - at < REMEMBER_S;
	if (same)
	{
		snprintf(expect, sizeof expect, "%s %" PRId64 "\n", now, at);
		same = strcmp((char *) b.data, expect) == 0;
	}
	sov_buf_free(&b);
	return same;
}

/* -1: another process holds it, or it cannot be used. */
static int
ahead_lock(const struct sov_config *cfg, int how)
{
	char		path[1300];
	int			fd;

	record_path(cfg, "lock", path, sizeof path);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (how == LOCK_EX ? O_CREAT : 0), 0600);
	if (fd >= 0 && flock(fd, how | LOCK_NB) != 0)
	{
		close(fd);
		fd = -1;
		errno = EWOULDBLOCK;
	}
	return fd;
}

static bool
somebody_pushes(const struct sov_config *cfg)
{
	int			fd = ahead_lock(cfg, LOCK_SH);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EWOULDBLOCK;
}

static int
count_records(const struct sov_config *cfg)
{
	char		dir[1300];
	struct dirent *e;
	DIR		   *d;
	int			n = 0;

	record_path(cfg, ".", dir, sizeof dir);
	d = opendir(dir);
	while (d != NULL && (e = readdir(d)) != NULL)
		n += strlen(e->d_name) == 24;
	if (d != NULL)
		closedir(d);
	return n;
}

#define AT_ONCE_BYTES (UINT64_C(384) << 20)	/* of files: sov_wal_push bounds their memory */

int
sov_wal_at_once(uint64_t size)
{
	uint64_t	n = size > 0 ? AT_ONCE_BYTES / size : SOV_WAL_AT_ONCE;

	return n < 1 ? 1 : n > SOV_WAL_AT_ONCE ? SOV_WAL_AT_ONCE : (int) n;
}

int
sov_wal_ready_after(const char *wal_directory, const char *name, char (*out)[64], int max)
{
	char		dir[PATH_MAX];
	struct dirent *e;
	DIR		   *dp;
	int			n = 0;

	snprintf(dir, sizeof dir, "%s/archive_status", wal_directory);
	dp = opendir(dir);
	if (dp == NULL)
		return 0;
	while ((e = readdir(dp)) != NULL)
	{
		enum sov_wal_kind kind;
		uint32_t	timeline;
		char		seg[64];
		int			at;

		if (strlen(e->d_name) != 24 + 6 || strcmp(e->d_name + 24, ".ready") != 0)
			continue;
		memcpy(seg, e->d_name, 24);
		seg[24] = '\0';
		if (!sov_wal_name(seg, &kind, &timeline) || kind != SOV_WAL_SEGMENT || strcmp(seg, name) <= 0)
			continue;
		for (at = n; at > 0 && strcmp(seg, out[at - 1]) < 0; at--)
			if (at < max)
				memcpy(out[at], out[at - 1], sizeof seg);
		if (at < max)
			memcpy(out[at], seg, sizeof seg);
		n += n < max;
	}
	closedir(dp);
	return n;
}

static void
directory_of(const char *path, char dir[PATH_MAX])
{
	snprintf(dir, PATH_MAX, "%.*s.", (int) (base_name(path) - path), path);
}

/* Are there ready segments after this one that nobody pushed yet, and room for them? */
static bool
worth_pushing_ahead(const struct sov_config *cfg, const char *path)
{
	char		dir[PATH_MAX],
				ready[AHEAD][64];
	int			pushed = count_records(cfg);

	directory_of(path, dir);
	return pushed < AHEAD - THREADS && sov_wal_ready_after(dir, base_name(path), ready, AHEAD) > pushed;
}

bool
sov_wal_pushed_ahead(const struct sov_config *cfg, const char *path, bool *more)
{
	char		record[1300];
	int64_t		until = repo_mono_us() + WAIT_US;
	bool		pushing,
				done;

	*more = false;
	if (cfg->state_directory[0] == '\0')
		return false;
	for (;;)
	{
		pushing = somebody_pushes(cfg);	/* first: it may finish between the two */
		done = recorded(cfg, path);
		if (done || !pushing || repo_mono_us() > until)
			break;
		usleep(2000);
	}
	record_path(cfg, base_name(path), record, sizeof record);
	(void) unlink(record);
	*more = done && !pushing && worth_pushing_ahead(cfg, path);
	return done;
}

/* Records that nobody asked for. */
static bool
sweep(const struct sov_config *cfg)
{
	char		dir[1300],
				path[1600];
	struct dirent *e;
	struct stat st;
	DIR		   *d;

	record_path(cfg, ".", dir, sizeof dir);
	if (repo_mkdirs(dir, NULL) != SOV_OK || (d = opendir(dir)) == NULL)
		return false;
	while ((e = readdir(d)) != NULL)
	{
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && stat(path, &st) == 0 && st.st_mtime < time(NULL) - REMEMBER_S)
			(void) unlink(path);
	}
	closedir(d);
	return true;
}

/* --- the batch --- */

struct batch
{
	struct sov_wal_pusher *p;
	const char *path;			/* the one asked for */
	char		dir[PATH_MAX];
	char		ahead[AHEAD][64];
	int			n;
	int			next;			/* index of ahead; -1: the one asked for */
	bool		follow;			/* look for further ones, while the server goes on */
	char		last[64];		/* that was begun */
	int64_t		until;			/* none is begun later */
	bool		failed;
	pthread_mutex_t lock;
	enum sov_code rc;			/* of the one asked for */
	struct sov_wal_push_result *res;
	struct sov_error *err;
};

static bool
push_one_ahead(struct batch *b, const char *name)
{
	const struct sov_config *cfg = &b->p->repo->cfg;
	char		path[PATH_MAX + 64],
				before[RECORD_MAX];
	struct sov_wal_push_result res;
	struct sov_error err;

	snprintf(path, sizeof path, "%s/%s", b->dir, name);
	if (recorded(cfg, path))
		return true;
	if (!binding(cfg, path, before) || sov_wal_push(b->p, path, &res, &err) != SOV_OK)
		return false;
	remember(cfg, path, before);
	return true;
}

/* Find the segments that became ready; false: there are none, or nobody asks. */
static bool
look_further(struct batch *b)
{
	int64_t		until = repo_mono_us() + PATIENCE_US;
	int			room;

	while ((room = AHEAD - count_records(&b->p->repo->cfg)) <= THREADS && repo_mono_us() < until)
		usleep(NAP_US);
	b->next = 0;
	b->n = room > THREADS ? sov_wal_ready_after(b->dir, b->last, b->ahead, room) : 0;
	return b->n > 0;
}

/* The next one to push, NULL: no more; the one asked for is "". */
static const char *
next_of_batch(struct batch *b, char name[64])
{
	bool		go;

	pthread_mutex_lock(&b->lock);
	go = !b->failed && (b->next < 0 || repo_mono_us() < b->until) && (b->next < b->n || (b->follow && look_further(b)));
	name[0] = '\0';
	if (go && b->next++ >= 0)
	{
		memcpy(name, b->ahead[b->next - 1], sizeof b->last);
		memcpy(b->last, name, sizeof b->last);
	}
	pthread_mutex_unlock(&b->lock);
	return go ? name : NULL;
}

static void
push_batch(int i, void *arg)
{
	struct batch *b = arg;
	char		name[64];

	(void) i;
	while (next_of_batch(b, name) != NULL)
	{
		if (name[0] == '\0')
			b->rc = sov_wal_push(b->p, b->path, b->res, b->err);
		else if (!push_one_ahead(b, name) && b->follow)
		{
			pthread_mutex_lock(&b->lock);
			b->failed = true;
			pthread_mutex_unlock(&b->lock);
		}
	}
}

static void
run_batch(struct batch *b)
{
	const char *name = base_name(b->path);
	enum sov_wal_kind kind;
	uint32_t	timeline;
	struct stat st;
	int			threads = stat(b->path, &st) == 0 ? sov_wal_at_once((uint64_t) st.st_size) : 1;

	directory_of(b->path, b->dir);
	snprintf(b->last, sizeof b->last, "%s", name);
	if (sov_wal_name(name, &kind, &timeline) && kind == SOV_WAL_SEGMENT && sweep(&b->p->repo->cfg))
		b->n = sov_wal_ready_after(b->dir, name, b->ahead, AHEAD);
	b->next = b->follow ? 0 : -1;
	b->until = b->follow ? INT64_MAX : repo_mono_us() + BEGIN_US;
	pthread_mutex_init(&b->lock, NULL);
	if (threads > THREADS)
		threads = THREADS;
	sov_parallel(b->n + 1 < threads ? b->n + 1 : threads, push_batch, b);
	pthread_mutex_destroy(&b->lock);
}

enum sov_code
sov_wal_push_along(struct sov_wal_pusher *p, const char *path, struct sov_wal_push_result *res, struct sov_error *err)
{
	struct batch b = {.p = p, .path = path, .res = res, .err = err};

	run_batch(&b);
	return b.rc;
}

enum sov_code
sov_wal_push_ahead(const struct sov_config *cfg, const char *path, struct sov_error *err)
{
	struct batch b = {.path = path, .follow = true};
	struct sov_repo *repo = NULL;
	int			fd = ahead_lock(cfg, LOCK_EX);
	enum sov_code rc;

	if (fd < 0)
		return SOV_OK;
	rc = sov_repo_open_brief(cfg, NULL, NULL, &repo, err);
	if (rc == SOV_OK)
		rc = sov_wal_pusher_open(repo, &b.p, err);
	if (rc == SOV_OK)
		run_batch(&b);
	sov_wal_pusher_close(b.p);
	sov_repo_close(repo);
	close(fd);
	return rc;
}
