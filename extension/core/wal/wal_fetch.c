/*
 * wal_fetch.c - bring one file back, or be certain that there is none.
 *
 * "Not found" ends recovery, so it is said only when n-k+1 providers say so for
 * sure over all attempts, no shard was seen anywhere, no later segment is there,
 * every writer's newest mark is known, and none covers the file.  Every doubt is another error, which stops recovery instead.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal_private.h"

#define LOOK_AHEAD 2			/* later segments that must not be there either */

/* The first attempt that can be read; SOV_E_NOTFOUND when every one is certainly
 * not there.  One may be lost wholly while a later one is there. */
enum sov_code
wal_read_any(struct sov_repo *repo, const char *id, struct sov_buf *out, struct sov_error *err)
{
	enum sov_code best = SOV_E_NOTFOUND;

	for (uint16_t attempt = 0; attempt < WAL_MAX_ATTEMPTS; attempt++)
	{
		struct sov_error why;
		enum sov_code rc;

		out->len = 0;
		sov_error_clear(&why);
		rc = sov_repo_get_stream(repo, SOV_CLASS_WAL, id, attempt, NULL, out, &why);
		if (rc == SOV_OK)
			return SOV_OK;
		if (best == SOV_E_NOTFOUND && (rc != SOV_E_NOTFOUND || attempt == 0))
		{
			best = rc;
			*err = why;
		}
	}
	return best;
}

/* Is there a shard of any later segment?  Then this one should be there. */
static enum sov_code
check_later(struct sov_repo *repo, const char *name, uint32_t timeline, uint32_t segment_size, struct sov_error *err)
{
	uint64_t	lsn = wal_segment_end(name, segment_size);

	for (int i = 0; i < LOOK_AHEAD; i++, lsn += segment_size)
	{
		struct sov_object_state st;
		char		later[32],
					id[SOV_WAL_ID_MAX];
		enum sov_code rc;

		wal_segment_name(timeline, lsn, segment_size, later);
		sov_wal_object_id(repo, 0, later, id);
		rc = sov_repo_object_state(repo, SOV_CLASS_WAL, id, 0, 0, &st, err);
		if (rc != SOV_OK)
			return rc;
		if (st.have)
			return sov_fail(err, SOV_E_CORRUPT, "run 'pg_sovereign verify'", "%s is not there, but the later %s is", name, later);
	}
	return SOV_OK;
}

static uint32_t
segment_size_of(struct sov_repo *repo)
{
	struct sov_catalogue cat;
	struct sov_mark mark;
	uint32_t	size = 16 * 1024 * 1024;

	if (sov_repo_mark(repo, 0, &mark) && wal_is_segment_size(wal_segment_size(&mark)))
		return wal_segment_size(&mark);
	if (sov_repo_catalogue(repo, &cat, NULL) == SOV_OK)
	{
		if (cat.n > 0)
			size = cat.backups[cat.n - 1].wal_segment_size;
		sov_catalogue_free(&cat);
	}
	return size;
}

/* Everything else that would contradict "not found". */
static enum sov_code
confirm_absent(struct sov_repo *repo, const char *name, enum sov_wal_kind kind, uint32_t timeline, struct sov_error *err)
{
	struct sov_mark mark;
	enum sov_code rc;

	if (kind != SOV_WAL_SEGMENT)
		return SOV_E_NOTFOUND;
	if (sov_repo_mark(repo, timeline, &mark) && wal_mark_covers(&mark, name))
		return sov_fail(err, SOV_E_CORRUPT, "run 'pg_sovereign verify'", "%s is at no provider, but a mark says that WAL reaches %s", name, mark.segment);
	if (repo->priv->ahead_us != 0)
		return sov_fail(err, SOV_E_STATE, "set this host's clock",
						"%s is at no provider, and whether a mark promises it is not known: the newest state of writer %016" PRIx64 " is dated more than an hour ahead of this host's clock",
						name, repo->priv->ahead_writer);
	rc = check_later(repo, name, timeline, segment_size_of(repo), err);
	return rc != SOV_OK ? rc : sov_fail(err, SOV_E_NOTFOUND, NULL, "%s is not archived", name);
}

/* DST.tmp.PID... of processes that are gone: the server kills restore_command when it is
 * stopped, and nobody else takes them out of its pg_wal. */
static void
sweep_unfinished(const char *dst)
{
	char		copy[PATH_MAX],
				copy2[PATH_MAX],
				prefix[300];
	struct dirent *e;
	size_t		n;
	DIR		   *d;

	snprintf(copy, sizeof copy, "%s", dst);
	snprintf(copy2, sizeof copy2, "%s", dst);
	n = (size_t) snprintf(prefix, sizeof prefix, "%.250s.tmp.", basename(copy));
	d = opendir(dirname(copy2));
	while (d != NULL && (e = readdir(d)) != NULL)
	{
		int			pid = strncmp(e->d_name, prefix, n) == 0 ? atoi(e->d_name + n) : 0;

		if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)
			(void) unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
}

enum sov_code
sov_wal_fetch(struct sov_repo *repo, const char *name, const char *dst, struct sov_error *err)
{
	enum sov_wal_kind kind;
	uint32_t	timeline;
	struct sov_buf plain = {0};
	struct wal_header h;
	char		id[SOV_WAL_ID_MAX];
	enum sov_code rc;

	if (!sov_wal_name(name, &kind, &timeline))
		return sov_fail(err, SOV_E_USAGE, "restore_command is to call it with %f \"%p\"", "%s is not the name of a WAL file", name);
	sweep_unfinished(dst);
	sov_wal_object_id(repo, 0, name, id);
	rc = wal_read_any(repo, id, &plain, err);
	if (rc == SOV_E_NOTFOUND)
		rc = confirm_absent(repo, name, kind, timeline, err);
	if (rc == SOV_OK && kind == SOV_WAL_SEGMENT)
		rc = wal_check_segment(repo, name, plain.data, plain.len, &h, err);
	if (rc == SOV_OK)
		rc = repo_write_file(dst, plain.data, plain.len, err);
	sov_buf_free(&plain);
	return rc;
}
