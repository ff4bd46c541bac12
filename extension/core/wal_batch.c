/*
 * wal_batch.c - archive_command: the ready segments after the one asked for go
 * along, and the calls that ask for them next are answered without a provider.
 *
 * A segment that was acknowledged ahead has a file STATE/pushed/NAME, one line:
 * "SOVPUSHED1 device inode size mtime ctime", the times in nanoseconds, then the
 * time of the acknowledgement in seconds and a hash of the configuration file.
 * It is written only after sov_wal_push gave its acknowledgement, mark included,
 * and answers for the very same file only: a change of its content or of its name
 * changes the inode's times.  A record that is lost or torn costs a look at the
 * providers.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wal_private.h"

#define THREADS 8
#define AHEAD 32
#define BEGIN_US 5000000		/* after that no further one is begun: the server waits */
#define REMEMBER_S 600
#define RECORD_MAX 320

/* --- records --- */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What binds a record to this file now; without the time of acknowledgement. */
static bool
describe(const char *path, struct stat *st, char dst[RECORD_MAX])
{
	if (stat(path, st) != 0 || !S_ISREG(st->st_mode))
		return false;
	snprintf(dst, RECORD_MAX, "SOVPUSHED1 %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64,
			 (uint64_t) st->st_dev, (uint64_t) st->st_ino, (uint64_t) st->st_size,
			 (int64_t) st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
			 (int64_t) st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec);
	return true;
}

static bool
config_hash(const struct sov_config *cfg, char hex[65])
{
	struct sov_buf file = {0};
	struct sov_span span;
	uint8_t		hash[32];
	bool		good = repo_read_file(cfg->file, &file, NULL) == SOV_OK;

	span = (struct sov_span) {file.data, file.len};
	good = good && sov_sha256(&span, 1, hash, NULL) == SOV_OK;
	sov_buf_free(&file);
	if (good)
		sov_hex(hex, hash, 32);
	return good;
}

static void
record_path(const struct sov_config *cfg, const char *name, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/pushed/%s", cfg->state_directory, name);
}

/* Remember it; before is what the file was before it was read. */
static void
remember(const struct sov_config *cfg, const char *path, const char *before)
{
	char		now[RECORD_MAX],
				line[RECORD_MAX * 2],
				hash[65],
				to[1300],
				tmp[1400];
	struct stat st;
	int			fd,
				n;

	if (!describe(path, &st, now) || strcmp(now, before) != 0 || !config_hash(cfg, hash))
		return;
	record_path(cfg, base_name(path), to, sizeof to);
	snprintf(tmp, sizeof tmp, "%s.tmp.%d", to, (int) getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	n = snprintf(line, sizeof line, "%s %" PRId64 " %s\n", now, (int64_t) time(NULL), hash);
	if (write(fd, line, (size_t) n) != n || rename(tmp, to) != 0)
		(void) unlink(tmp);
	close(fd);
}

bool
sov_wal_pushed_ahead(const struct sov_config *cfg, const char *path)
{
	char		record[1300],
				now[RECORD_MAX],
				expect[RECORD_MAX * 2],
				hash[65];
	struct sov_buf b = {0};
	struct stat st;
	int64_t		at,
				today = (int64_t) time(NULL);
	size_t		n;
	bool		same;

	record_path(cfg, base_name(path), record, sizeof record);
	if (cfg->state_directory[0] == '\0' || repo_read_file(record, &b, NULL) != SOV_OK)
		return false;
	sov_write_u8(&b, 0);
	same = !b.bad && describe(path, &st, now) && config_hash(cfg, hash) && strncmp((char *) b.data, now, n = strlen(now)) == 0 &&
		sscanf((char *) b.data + n, " %" SCNd64, &at) == 1 && at <= today && today - at < REMEMBER_S;
	if (same)
	{
		snprintf(expect, sizeof expect, "%s %" PRId64 " %s\n", now, at, hash);
		same = strcmp((char *) b.data, expect) == 0;
	}
	sov_buf_free(&b);
	(void) unlink(record);
	return same;
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

	record_path(cfg, "", dir, sizeof dir);
	dir[strlen(dir) - 1] = '\0';
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

struct batch
{
	struct sov_wal_pusher *p;
	const char *path;			/* the one asked for */
	char		dir[PATH_MAX];
	char		ahead[AHEAD][64];
	int			n;
	int			next;			/* index of ahead; -1: the one asked for */
	int64_t		until;
	pthread_mutex_t lock;
	enum sov_code rc;			/* of the one asked for */
	struct sov_wal_push_result *res;
	struct sov_error *err;
};

static void
push_one_ahead(struct batch *b, const char *name)
{
	char		path[PATH_MAX + 64],
				before[RECORD_MAX];
	struct sov_wal_push_result res;
	struct sov_error err;
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", b->dir, name);
	if (describe(path, &st, before) && sov_wal_push(b->p, path, &res, &err) == SOV_OK)
		remember(&b->p->repo->cfg, path, before);
}

static void
push_batch(int i, void *arg)
{
	struct batch *b = arg;

	(void) i;
	for (;;)
	{
		int			mine;
		bool		go;

		pthread_mutex_lock(&b->lock);
		mine = b->next++;
		go = mine < 0 || (mine < b->n && repo_mono_us() < b->until);
		pthread_mutex_unlock(&b->lock);
		if (!go)
			return;
		if (mine < 0)
			b->rc = sov_wal_push(b->p, b->path, b->res, b->err);
		else
			push_one_ahead(b, b->ahead[mine]);
	}
}

enum sov_code
sov_wal_push_ahead(struct sov_wal_pusher *p, const char *path, struct sov_wal_push_result *res, struct sov_error *err)
{
	struct batch b = {.p = p, .path = path, .next = -1, .until = repo_mono_us() + BEGIN_US, .res = res, .err = err};
	enum sov_wal_kind kind;
	uint32_t	timeline;

	snprintf(b.dir, sizeof b.dir, "%.*s", (int) (base_name(path) - path), path);
	snprintf(b.dir + strlen(b.dir), sizeof b.dir - strlen(b.dir), ".");
	if (sov_wal_name(base_name(path), &kind, &timeline) && kind == SOV_WAL_SEGMENT && sweep(&p->repo->cfg))
		b.n = sov_wal_ready_after(b.dir, base_name(path), b.ahead, AHEAD);
	pthread_mutex_init(&b.lock, NULL);
	sov_parallel(b.n < THREADS ? b.n + 1 : THREADS, push_batch, &b);
	pthread_mutex_destroy(&b.lock);
	return b.rc;
}
