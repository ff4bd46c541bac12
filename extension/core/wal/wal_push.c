/*
 * wal_push.c - archiving one file: at k+1 holders, with a mark below n, before
 * it is acknowledged.
 *
 * A file may have been pushed before: wholly, half-way by a process that died,
 * or with other content.  The sealed header of what is there tells which, by the
 * content hash; a half-way push is completed by a further attempt under this
 * process's own run (a run is never resumed).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal_private.h"

#define FILE_MAX ((off_t) 1 << 30)
#define MAP_FROM ((off_t) 64 << 20)
#define FLYING_MAX ((uint64_t) 256 << 20)	/* bytes of memory */

enum sov_code
sov_wal_pusher_open(struct sov_repo *repo, struct sov_wal_pusher **out, struct sov_error *err)
{
	struct sov_wal_pusher *p = calloc(1, sizeof *p);

	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	p->tracker = calloc(1, sizeof *p->tracker);
	if (p->tracker == NULL)
	{
		free(p);
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	p->repo = repo;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->landed, NULL);
	wal_tracker_init(p->tracker, repo);
	*out = p;
	return SOV_OK;
}

void
sov_wal_pusher_close(struct sov_wal_pusher *p)
{
	if (p == NULL)
		return;
	sov_run_free(p->run);
	pthread_cond_destroy(&p->landed);
	pthread_mutex_destroy(&p->lock);
	wal_tracker_free(p->tracker);
	free(p->tracker);
	free(p);
}

/* Nothing was stored in it for so long that prune may take it for an orphan. */
static bool
run_may_be_gone(const struct sov_wal_pusher *p)
{
	return p->run != NULL && repo_mono_us() - p->run_us > INT64_C(1000000) * REPO_RUN_GRACE / 2;
}

/* The run is begun with the first file that is really stored.  anew: nothing of this
 * file is stored, so that it need not be the run of an earlier try.  To be left. */
static enum sov_code
enter_run(struct sov_wal_pusher *p, bool anew, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&p->lock);
	while (anew && p->run_users > 0 && run_may_be_gone(p))
		pthread_cond_wait(&p->landed, &p->lock);
	if (anew && run_may_be_gone(p))
	{
		sov_run_free(p->run);
		p->run = NULL;
	}
	if (p->run == NULL)
	{
		rc = sov_repo_run_begin_for_wal(p->repo, &p->run, err);
		p->run_us = repo_mono_us();
	}
	p->run_users += rc == SOV_OK;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

static void
leave_run(struct sov_wal_pusher *p, bool stored)
{
	pthread_mutex_lock(&p->lock);
	p->run_users--;
	if (stored)
		p->run_us = repo_mono_us();
	pthread_cond_broadcast(&p->landed);
	pthread_mutex_unlock(&p->lock);
}

enum sov_code
sov_wal_mark(struct sov_wal_pusher *p, bool force, struct sov_error *err)
{
	return wal_tracker_mark(p->tracker, p->repo, force, err);
}

/* --- one file --- */

/* One WAL file in memory.  A large segment is mapped: it needs none of its own. */
struct wal_file
{
	void	   *bytes;
	size_t		len;
	bool		mapped;
};

static enum sov_code
read_bytes(int fd, const char *path, struct wal_file *f, struct sov_error *err)
{
	size_t		at = 0;

	f->bytes = malloc(f->len + 1);
	if (f->bytes == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	while (at < f->len)
	{
		ssize_t		n = read(fd, (uint8_t *) f->bytes + at, f->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sov_fail_errno(err, n < 0 ? errno : EIO, NULL, "could not read %s", path);
		at += (size_t) n;
	}
	return SOV_OK;
}

static enum sov_code
open_wal_file(const char *path, struct wal_file *f, struct sov_error *err)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	enum sov_code rc = SOV_OK;

	memset(f, 0, sizeof *f);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not open %s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
	{
		close(fd);
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s is not a WAL file", path);
	}
	f->len = (size_t) st.st_size;
	if (st.st_size >= MAP_FROM)
	{
		void	   *map = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, fd, 0);

		f->mapped = map != MAP_FAILED;
		f->bytes = f->mapped ? map : NULL;
	}
	if (f->bytes == NULL)
		rc = read_bytes(fd, path, f, err);
	close(fd);
	return rc;
}

static void
close_wal_file(struct wal_file *f)
{
	if (f->mapped)
		munmap(f->bytes, f->len);
	else
		free(f->bytes);
	f->bytes = NULL;
	f->mapped = false;
}

/* The memory of what is under way at the same time is bounded: while a file is sealed
 * it is there up to three times, while it is stored only as its shards.  One that is larger than the
 * bound goes alone. */
static uint64_t
take_off(struct sov_wal_pusher *p, const char *path)
{
	struct stat st;
	uint64_t	size = stat(path, &st) == 0 ? 3 * (uint64_t) st.st_size : 0;

	pthread_mutex_lock(&p->lock);
	while (p->flying > 0 && p->flying + size > FLYING_MAX)
		pthread_cond_wait(&p->landed, &p->lock);
	p->flying += size;
	pthread_mutex_unlock(&p->lock);
	return size;
}

/* From here on it takes this much. */
static void
settle(struct sov_wal_pusher *p, uint64_t *size, uint64_t now)
{
	pthread_mutex_lock(&p->lock);
	p->flying = p->flying - *size + now;
	*size = now;
	pthread_cond_broadcast(&p->landed);
	pthread_mutex_unlock(&p->lock);
}

/* Is it certain that the run is not there that this was sealed in?  What waited in the
 * spool for longer than prune leaves a run to which nothing refers cannot be read. */
static bool
run_is_gone(struct sov_wal_pusher *p, const uint8_t run[16])
{
	struct sov_error why;
	const struct sov_run *there;

	return sov_repo_run_open(p->repo, run, false, &there, &why) == SOV_E_CORRUPT;
}

/* In the spool at most: too few providers may have it for it to have counted. */
static bool
nothing_stored(const struct sov_object_state *st)
{
	return !st->have || (st->holders == 0 && st->unknown < st->k);
}

/* What is there under this name?  *attempt: the next one to write, or with
 * *already set the one that is there.  Half-way by this very run, the same bytes
 * are written once more, as they depend on nothing but the run and the content.  What
 * is in the spool only is written over. */
static enum sov_code
look(struct sov_wal_pusher *p, const char *name, const uint8_t content[32], uint16_t *attempt, bool *already,
	 struct sov_object_state *st, struct sov_error *err)
{
	uint8_t		run[16] = {0};

	pthread_mutex_lock(&p->lock);
	if (p->run)
		memcpy(run, p->run->id, 16);
	pthread_mutex_unlock(&p->lock);
	*already = false;
	for (*attempt = 0; *attempt < WAL_MAX_ATTEMPTS; (*attempt)++)
	{
		enum sov_code rc = sov_repo_object_state(p->repo, SOV_CLASS_WAL, name, 0, *attempt, st, err);

		if (rc != SOV_OK)
			return rc;
		if (!st->have)
			return SOV_OK;
		if (st->conflict || memcmp(st->info.content, content, 32) != 0)
			return sov_fail(err, SOV_E_EXISTS, "two servers archive to one repository, or a cluster was restored and promoted without a new timeline: find out which one is right before anything else",
							"%s is archived already with other content", name);
		*already = st->holders == st->n || (st->holders >= st->k && st->holders + st->spooled >= st->k + 1);
		if (*already && run_is_gone(p, st->info.run))
			*already = false;
		else if (*already || nothing_stored(st) || memcmp(st->info.run, run, 16) == 0)
			return SOV_OK;
	}
	return sov_fail(err, SOV_E_STATE, "run 'pg_sovereign repair'", "%s was pushed %d times and is complete nowhere", name, WAL_MAX_ATTEMPTS);
}

static enum sov_code
store(struct sov_wal_pusher *p, const char *id, uint32_t timeline, struct wal_file *raw, uint64_t *size,
	  struct sov_wal_push_result *res, uint8_t stream[32], struct sov_error *err)
{
	struct sov_object_state st;
	struct sov_shard_info info;
	struct sov_buf sealed = {0};
	struct sov_put_result put;
	uint8_t		content[32];
	uint16_t	attempt;
	enum sov_code rc = sov_repo_content_hash(p->repo, SOV_CLASS_WAL, id, raw->bytes, raw->len, content, err);

	if (rc == SOV_OK)
		rc = look(p, id, content, &attempt, &res->already, &st, err);
	if (rc == SOV_OK && res->already)
	{
		res->holders = st.holders;
		res->spooled = st.spooled;
		memcpy(stream, st.info.stream, 32);
		return SOV_OK;
	}
	if (rc == SOV_OK)
		rc = enter_run(p, nothing_stored(&st), err);
	if (rc != SOV_OK)
		return rc;
	rc = sov_repo_seal_stream(p->repo, p->run, SOV_CLASS_WAL, id, timeline, raw->bytes, raw->len, true, content, attempt, &info, &sealed, err);
	if (rc == SOV_OK)
	{
		const struct sov_map *map = &p->repo->admin.map;

		close_wal_file(raw);
		settle(p, size, sealed.len * (uint64_t) map->n / map->k);
		rc = sov_repo_put_sealed(p->repo, &info, sealed.data, sealed.len, &put, err);
	}
	leave_run(p, rc == SOV_OK);
	sov_buf_free(&sealed);
	if (rc != SOV_OK)
		return rc;
	res->holders = put.holders;
	res->spooled = put.spooled;
	res->stored = put.stored;
	memcpy(stream, info.stream, 32);
	return SOV_OK;
}

/* History and .backup files do not say which cluster they are of; segments beside them
 * do.  Where there is none, nothing contradicts. */
static enum sov_code
check_neighbours(const struct sov_wal_pusher *p, const char *path, struct sov_error *err)
{
	const char *slash = strrchr(path, '/');
	char		file[PATH_MAX];
	uint8_t		first[64];
	enum sov_wal_kind kind;
	uint32_t	timeline;
	struct wal_header h;
	struct dirent *e;
	DIR		   *d;
	enum sov_code rc = SOV_OK;
	bool		told = false;

	snprintf(file, sizeof file, "%.*s", slash ? (int) (slash - path) : 1, slash ? path : ".");
	d = opendir(file);
	while (d != NULL && !told && (e = readdir(d)) != NULL)
	{
		int			fd = -1;

		if (sov_wal_name(e->d_name, &kind, &timeline) && kind == SOV_WAL_SEGMENT)
			fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		told = fd >= 0 && read(fd, first, sizeof first) == (ssize_t) sizeof first && wal_header(first, sizeof first, &h);
		if (told)
			rc = sov_repo_check_system(p->repo, h.system_id, err);
		if (fd >= 0)
			close(fd);
	}
	if (d != NULL)
		closedir(d);
	return rc;
}

/* Is it of this repository's cluster, and under which id does it go?  Another process
 * may just have changed the cluster: then once more. */
static enum sov_code
name_object(const struct sov_wal_pusher *p, const char *path, const char *name, enum sov_wal_kind kind, const struct wal_file *raw,
			struct wal_header *h, char id[SOV_WAL_ID_MAX], struct sov_error *err)
{
	struct sov_repo *repo = p->repo;
	enum sov_code rc;

	do
	{
		pthread_rwlock_rdlock(&repo->priv->map_lock);
		if (kind == SOV_WAL_SEGMENT || kind == SOV_WAL_PARTIAL)
			rc = wal_check_segment(repo, name, raw->bytes, raw->len, h, err);
		else
			rc = check_neighbours(p, path, err);
		sov_wal_object_id(repo, 0, name, id);
		pthread_rwlock_unlock(&repo->priv->map_lock);
	} while (rc == SOV_E_STATE && repo_map_renew(repo));
	return rc;
}

static enum sov_code
push(struct sov_wal_pusher *p, const char *path, const char *name, enum sov_wal_kind kind, uint32_t timeline,
	 struct wal_header *h, uint8_t stream[32], struct sov_wal_push_result *res, struct sov_error *err)
{
	uint64_t	size = take_off(p, path);
	struct wal_file raw;
	char		id[SOV_WAL_ID_MAX];
	enum sov_code rc = open_wal_file(path, &raw, err);

	if (rc == SOV_OK)
		rc = name_object(p, path, name, kind, &raw, h, id, err);
	res->raw = raw.len;
	if (rc == SOV_OK)
		rc = store(p, id, timeline, &raw, &size, res, stream, err);
	close_wal_file(&raw);
	settle(p, &size, 0);
	return rc;
}

enum sov_code
sov_wal_push(struct sov_wal_pusher *p, const char *path, struct sov_wal_push_result *res, struct sov_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	enum sov_wal_kind kind;
	uint32_t	timeline;
	struct wal_header h;
	uint8_t		stream[32];
	struct sov_error ignored;
	enum sov_code rc = SOV_OK;

	memset(res, 0, sizeof *res);
	if (!sov_wal_name(name, &kind, &timeline))
		return sov_fail(err, SOV_E_USAGE, "archive_command is to call it with %p", "%s is not the name of a WAL file", name);
	if (kind == SOV_WAL_SEGMENT)
		rc = wal_track_begin(p->tracker, p->repo, name, path, err);
	if (rc != SOV_OK)
		return rc;
	rc = push(p, path, name, kind, timeline, &h, stream, res, err);
	if (kind != SOV_WAL_SEGMENT)
		return rc;
	wal_track_end(p->tracker, name, rc == SOV_OK ? &h : NULL, rc == SOV_OK ? stream : NULL);
	if (rc != SOV_OK)
		return rc;
	/* Below n holders a mark stands before the acknowledgement; with all of them
	 * it follows when it is due, and one that fails is tried again. */
	if (res->holders < p->repo->admin.map.n)
		return wal_tracker_promise(p->tracker, p->repo, name, err);
	(void) wal_tracker_mark(p->tracker, p->repo, false, &ignored);
	return SOV_OK;
}
