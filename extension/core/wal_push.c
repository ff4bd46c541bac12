/*
 * wal_push.c - archiving one file: at k+1 holders, with a mark below n, before
 * it is acknowledged.
 *
 * A file may have been pushed before: wholly, half-way by a process that died,
 * or with other content.  The sealed header of what is there tells which, by the
 * content hash; a half-way push is completed by a further attempt under this
 * process's own run (a run is never resumed).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wal_private.h"

#define MARK_INTERVAL_US INT64_C(60000000)
#define FILE_MAX ((off_t) 1 << 30)
#define IN_FLIGHT 16

struct sov_wal_pusher
{
	struct sov_repo *repo;
	struct sov_run *run;
	pthread_mutex_t lock;
	pthread_mutex_t mark_lock;	/* one commit of a mark at a time */
	/* What has been acknowledged but may not be covered by a mark yet. */
	struct sov_mark newest;
	uint64_t	system_id;
	bool		dirty;
	int64_t		marked_at;		/* monotonic */
	/* Segments being pushed: a mark must not pass the oldest. */
	char		flying[IN_FLIGHT][32];
};

enum sov_code
sov_wal_pusher_open(struct sov_repo *repo, struct sov_wal_pusher **out, struct sov_error *err)
{
	struct sov_wal_pusher *p = calloc(1, sizeof *p);

	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	p->repo = repo;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->mark_lock, NULL);
	*out = p;
	return SOV_OK;
}

void
sov_wal_pusher_close(struct sov_wal_pusher *p)
{
	if (p == NULL)
		return;
	sov_run_free(p->run);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->mark_lock);
	free(p);
}

/* The run is begun with the first file that is really stored. */
static enum sov_code
need_run(struct sov_wal_pusher *p, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&p->lock);
	if (p->run == NULL)
		rc = sov_repo_run_begin(p->repo, &p->run, err);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/* --- marks --- */

struct mark_change
{
	struct sov_mark mark;
	uint64_t	system_id;
};

static enum sov_code
set_mark(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	const struct mark_change *c = ctx;

	(void) repo;
	(void) err;
	if (head->mark.timeline > c->mark.timeline ||
		(head->mark.timeline == c->mark.timeline && head->mark.lsn > c->mark.lsn))
		return SOV_OK;			/* another process is further */
	head->mark = c->mark;
	head->mark.time_us = (uint64_t) repo_now_us();
	head->timeline = c->mark.timeline;
	head->lsn = c->mark.lsn;
	head->system_id = c->system_id;
	return SOV_OK;
}

enum sov_code
sov_wal_mark(struct sov_wal_pusher *p, bool force, struct sov_error *err)
{
	struct mark_change change;
	bool		due;
	enum sov_code rc;

	pthread_mutex_lock(&p->mark_lock);
	pthread_mutex_lock(&p->lock);
	change.mark = p->newest;
	change.system_id = p->system_id;
	due = p->dirty && (force || repo_mono_us() - p->marked_at >= MARK_INTERVAL_US);
	/* Only what has no gap before it may be promised. */
	for (int i = 0; i < IN_FLIGHT && due; i++)
		if (p->flying[i][0] != '\0' && strncmp(p->flying[i], change.mark.segment, 8) == 0 &&
			strcmp(p->flying[i], change.mark.segment) < 0)
			due = false;
	pthread_mutex_unlock(&p->lock);
	rc = due ? sov_repo_commit(p->repo, set_mark, &change, err) : SOV_OK;
	if (due && rc == SOV_OK)
	{
		pthread_mutex_lock(&p->lock);
		p->dirty = p->newest.lsn != change.mark.lsn || p->newest.timeline != change.mark.timeline;
		p->marked_at = repo_mono_us();
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&p->mark_lock);
	return rc;
}

/* Take note of an acknowledged segment; *switched: it begins a timeline. */
static void
note_segment(struct sov_wal_pusher *p, const char *name, const struct wal_header *h, const uint8_t stream[32], bool *switched)
{
	uint32_t	timeline = 0;
	enum sov_wal_kind kind;
	uint64_t	end = wal_segment_end(name, h->segment_size);

	(void) sov_wal_name(name, &kind, &timeline);
	pthread_mutex_lock(&p->lock);
	*switched = p->newest.timeline != timeline;
	if (timeline > p->newest.timeline || (timeline == p->newest.timeline && end > p->newest.lsn))
	{
		p->newest.timeline = timeline;
		p->newest.lsn = end;
		snprintf(p->newest.segment, sizeof p->newest.segment, "%s", name);
		memcpy(p->newest.stream, stream, 32);
		p->system_id = h->system_id;
		p->dirty = true;
	}
	pthread_mutex_unlock(&p->lock);
}

static void
fly(struct sov_wal_pusher *p, const char *name, bool begin)
{
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < IN_FLIGHT; i++)
		if (begin ? p->flying[i][0] == '\0' : strcmp(p->flying[i], name) == 0)
		{
			snprintf(p->flying[i], sizeof p->flying[i], "%s", begin ? name : "");
			break;
		}
	pthread_mutex_unlock(&p->lock);
}

/* --- one file --- */

static enum sov_code
read_wal_file(const char *path, struct sov_buf *out, struct sov_error *err)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t    *p;
	off_t		at = 0;

	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not open %s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX || (p = sov_buf_extend(out, (size_t) st.st_size)) == NULL)
	{
		close(fd);
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s is not a WAL file", path);
	}
	while (at < st.st_size)
	{
		ssize_t		n = read(fd, p + at, (size_t) (st.st_size - at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += n;
	}
	close(fd);
	return at == st.st_size ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read %s", path);
}

/* What is there under this name?  *attempt: the next one to write, or with
 * *already set the one that is there. */
static enum sov_code
look(struct sov_repo *repo, const char *name, const uint8_t content[32], uint16_t *attempt, bool *already,
	 struct sov_object_state *st, struct sov_error *err)
{
	int			k = repo->admin.map.k,
				n = repo->admin.map.n;

	*already = false;
	for (*attempt = 0; *attempt < WAL_MAX_ATTEMPTS; (*attempt)++)
	{
		enum sov_code rc = sov_repo_object_state(repo, SOV_CLASS_WAL, name, 0, *attempt, st, err);

		if (rc != SOV_OK)
			return rc;
		if (!st->have)
			return SOV_OK;
		if (st->conflict || memcmp(st->info.content, content, 32) != 0)
			return sov_fail(err, SOV_E_EXISTS, "two servers archive to one repository, or a cluster was restored and promoted without a new timeline: find out which one is right before anything else",
							"%s is archived already with other content", name);
		*already = st->holders == n || (st->holders >= k && st->holders + st->spooled >= k + 1);
		if (*already)
			return SOV_OK;
	}
	return sov_fail(err, SOV_E_STATE, "run 'pg_sovereign repair'", "%s was pushed %d times and is complete nowhere", name, WAL_MAX_ATTEMPTS);
}

static enum sov_code
store(struct sov_wal_pusher *p, const char *name, uint32_t timeline, const struct sov_buf *raw,
	  struct sov_wal_push_result *res, uint8_t stream[32], struct sov_error *err)
{
	struct sov_object_state st;
	struct sov_objref ref;
	struct sov_put_result put;
	uint8_t		content[32];
	uint16_t	attempt;
	enum sov_code rc = sov_repo_content_hash(p->repo, SOV_CLASS_WAL, name, raw->data, raw->len, content, err);

	if (rc == SOV_OK)
		rc = look(p->repo, name, content, &attempt, &res->already, &st, err);
	if (rc == SOV_OK && res->already)
	{
		res->holders = st.holders;
		res->spooled = st.spooled;
		memcpy(stream, st.info.stream, 32);
		return SOV_OK;
	}
	if (rc == SOV_OK)
		rc = need_run(p, err);
	if (rc == SOV_OK)
		rc = sov_repo_put_stream(p->repo, p->run, SOV_CLASS_WAL, name, timeline, raw->data, raw->len, true, content, attempt, &ref, &put, err);
	if (rc != SOV_OK)
		return rc;
	res->holders = put.holders;
	res->spooled = put.spooled;
	res->stored = put.stored;
	memcpy(stream, ref.stream, 32);
	return SOV_OK;
}

static enum sov_code
push(struct sov_wal_pusher *p, const char *path, const char *name, enum sov_wal_kind kind, uint32_t timeline,
	 struct sov_wal_push_result *res, struct sov_error *err)
{
	struct sov_buf raw = {0};
	struct wal_header h;
	uint8_t		stream[32];
	bool		switched = false;
	enum sov_code rc = read_wal_file(path, &raw, err);

	if (rc == SOV_OK && (kind == SOV_WAL_SEGMENT || kind == SOV_WAL_PARTIAL))
		rc = wal_check_segment(p->repo, name, raw.data, raw.len, &h, err);
	res->raw = raw.len;
	if (rc == SOV_OK)
		rc = store(p, name, timeline, &raw, res, stream, err);
	sov_buf_free(&raw);
	if (rc != SOV_OK || kind != SOV_WAL_SEGMENT)
		return rc;
	note_segment(p, name, &h, stream, &switched);
	fly(p, name, false);
	/* Below n holders a mark stands before the acknowledgement. */
	return sov_wal_mark(p, res->holders < p->repo->admin.map.n || switched, err);
}

enum sov_code
sov_wal_push(struct sov_wal_pusher *p, const char *path, struct sov_wal_push_result *res, struct sov_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	enum sov_wal_kind kind;
	uint32_t	timeline;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	if (!sov_wal_name(name, &kind, &timeline))
		return sov_fail(err, SOV_E_USAGE, "archive_command is to call it with %p", "%s is not the name of a WAL file", name);
	if (kind == SOV_WAL_SEGMENT)
		fly(p, name, true);
	rc = push(p, path, name, kind, timeline, res, err);
	if (kind == SOV_WAL_SEGMENT)
		fly(p, name, false);
	return rc;
}
