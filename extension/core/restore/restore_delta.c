/*
 * restore_delta.c - restoring over what is there: an older state of the cluster,
 * a damaged one, or a restore that was interrupted.
 *
 * Every block that is there is read and compared with its hash; only the others
 * are fetched.  Files that the backup does not have are removed at the end.
 * Nothing is taken on the word of a size or a time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore_private.h"

/* --- may it be done? --- */

static bool
exists(const struct restore *r, const char *name)
{
	char		path[SOV_PATH_MAX * 2];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", r->opt->target, name);
	return lstat(path, &st) == 0;
}

/* A restore that was interrupted before it made a file: it had made the links only. */
static bool
just_begun(const struct restore *r)
{
	DIR		   *d = opendir(r->opt->target);
	struct dirent *e;
	bool		only = d != NULL;

	while (only && (e = readdir(d)) != NULL)
		only = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "pg_tblspc") == 0;
	if (d)
		closedir(d);
	return only;
}

/* WAL that only this directory has: it may hold the last transactions. */
static int
unarchived_wal(const struct restore *r)
{
	char		path[SOV_PATH_MAX * 2];
	struct dirent *d;
	int			n = 0;
	DIR		   *dir;

	snprintf(path, sizeof path, "%s/pg_wal/archive_status", r->opt->target);
	dir = opendir(path);
	while (dir && (d = readdir(dir)) != NULL)
	{
		size_t		len = strlen(d->d_name);

		n += len > 6 && strcmp(d->d_name + len - 6, ".ready") == 0;
	}
	if (dir)
		closedir(dir);
	return n;
}

enum sov_code
delta_check_running(const struct restore *r, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2];
	struct sov_buf text = {0};
	long		pid = 0;

	snprintf(path, sizeof path, "%s/postmaster.pid", r->opt->target);
	if (repo_read_file(path, &text, NULL) != SOV_OK)
		return SOV_OK;
	sov_write_u8(&text, 0);
	if (!text.bad)
		pid = strtol((char *) text.data, NULL, 10);
	sov_buf_free(&text);
	if (pid > 0 && (kill((pid_t) pid, 0) == 0 || errno == EPERM))
		return sov_fail(err, SOV_E_STATE, "stop the server first; if no server runs there, remove postmaster.pid",
						"a server runs on %s (process %ld)", r->opt->target, pid);
	return SOV_OK;
}

enum sov_code
delta_check(const struct restore *r, struct sov_error *err)
{
	int			n;

	if (!exists(r, "PG_VERSION") && !exists(r, SOV_CONTROL_FILE) && !exists(r, CONTROL_HELD) &&
		!exists(r, "backup_manifest.tmp") && !just_begun(r))
		return sov_fail(err, SOV_E_STATE, "name the data directory to be brought back, or an empty directory",
						"%s holds files but is no data directory, and --delta removes what does not belong to the backup", r->opt->target);
	n = r->opt->discard_wal ? 0 : unarchived_wal(r);
	if (n > 0)
		return sov_fail(err, SOV_E_STATE, "copy pg_wal to another place or archive the files with wal-push; then add --discard-wal",
						"%s/pg_wal holds %d files that were never archived, and --delta removes them", r->opt->target, n);
	return SOV_OK;
}

/* --- comparing --- */

static bool
one_whole_run(const struct window_piece *wp, const struct sov_mf_block *b, uint32_t len)
{
	const struct sov_mf_run *run = &wp->piece.runs[b->first_run];

	return b->n_runs == 1 && run->first == 0 && run->length == len;
}

enum sov_code
delta_compare(struct window *w, const struct unit *u, uint8_t *data, struct sov_error *err)
{
	static const uint8_t zeros[SOV_FRAME_MAX];
	struct window_piece *wp = &w->pieces[u->piece];
	const struct sov_mf_file *f = &wp->piece.files[u->file];
	char		path[SOV_PATH_MAX * 2];
	enum sov_code rc = SOV_OK;
	int			fd;

	target_path(w->r, f->path, path, sizeof path);
	fd = open(path, (w->r->opt->dry_run ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && w->r->opt->dry_run && errno == ENOENT)
		return SOV_OK;
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not open %s", path);
	for (uint32_t i = 0; i < u->n && rc == SOV_OK; i++)
	{
		uint32_t	no = u->first + i,
					len = sov_mf_block_len(f, no);
		off_t		at = (off_t) no * SOV_FRAME_MAX;
		const struct sov_mf_block *b = &wp->piece.blocks[f->first_block + no];

		if (pread(fd, data, len, at) == (ssize_t) len && window_check(w, u, no, data, NULL) == SOV_OK)
		{
			wp->good[f->first_block + no] = true;
			__atomic_add_fetch(&w->r->res->kept, len, __ATOMIC_RELAXED);
		}
		else if (!w->r->opt->dry_run && !one_whole_run(wp, b, len))
			rc = write_at(fd, zeros, len, at, path, err);	/* what no run covers is zeros */
		if (window_stopped(w))
			rc = SOV_E_CANCELLED;
	}
	close(fd);
	return rc;
}

/* --- clearing away --- */

/* Paths of the backup's files by 64-bit hash: open addressing, zero is free. */
struct path_set
{
	uint64_t   *slots;
	size_t		n,
				cap;
};

static uint64_t
path_hash(const char *path)
{
	uint64_t	h = UINT64_C(14695981039346656037);	/* FNV-1a */

	for (; *path; path++)
		h = (h ^ (unsigned char) *path) * UINT64_C(1099511628211);
	return h ? h : 1;
}

static void
set_put(uint64_t *slots, size_t cap, uint64_t h)
{
	size_t		at = h & (cap - 1);

	while (slots[at] != 0 && slots[at] != h)
		at = (at + 1) & (cap - 1);
	slots[at] = h;
}

static bool
set_has(const struct path_set *s, const char *path)
{
	uint64_t	h = path_hash(path);
	size_t		at;

	if (s->cap == 0)
		return false;
	for (at = h & (s->cap - 1); s->slots[at] != 0; at = (at + 1) & (s->cap - 1))
		if (s->slots[at] == h)
			return true;
	return false;
}

static bool
set_add(struct path_set *s, const char *path)
{
	if ((s->n + 1) * 2 > s->cap)
	{
		size_t		cap = s->cap ? s->cap * 2 : 4096;
		uint64_t   *slots = calloc(cap, sizeof *slots);

		if (slots == NULL)
			return false;
		for (size_t i = 0; i < s->cap; i++)
			if (s->slots[i] != 0)
				set_put(slots, cap, s->slots[i]);
		free(s->slots);
		s->slots = slots;
		s->cap = cap;
	}
	set_put(s->slots, s->cap, path_hash(path));
	s->n++;
	return true;
}

enum sov_code
delta_remember(struct restore *r, const struct sov_piece *piece, struct sov_error *err)
{
	if (r->paths == NULL)
		r->paths = calloc(1, sizeof *r->paths);
	for (uint32_t i = 0; r->paths && i < piece->n_files; i++)
		if (!set_add(r->paths, piece->files[i].path))
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return r->paths ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

static bool
ours(const char *rel)
{
	return strcmp(rel, CONTROL_HELD) == 0 || strcmp(rel, "backup_manifest.tmp") == 0 || strcmp(rel, "pg_tblspc") == 0;
}

static bool
ours_tablespace(const struct restore *r, const char *rel)
{
	for (uint32_t i = 0; i < r->manifest.n_tablespaces; i++)
		if (strtoul(rel + 10, NULL, 10) == r->manifest.tablespaces[i].oid)
			return true;
	return false;
}

static enum sov_code clear_dir(struct restore *r, const char *rel, struct sov_error *err);

static enum sov_code
clear_entry(struct restore *r, const char *rel, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2];
	struct stat st;
	bool		keep = ours(rel) || set_has(r->paths, rel),
				link;
	enum sov_code rc = SOV_OK;

	snprintf(path, sizeof path, "%s/%s", r->opt->target, rel);
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read %s", path);
	link = S_ISLNK(st.st_mode) && ((strncmp(rel, "pg_tblspc/", 10) == 0 && strchr(rel + 10, '/') == NULL) || strcmp(rel, "pg_wal") == 0);
	if (S_ISDIR(st.st_mode) || (link && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		rc = clear_dir(r, rel, err);
	if (rc != SOV_OK || keep || (link && strcmp(rel, "pg_wal") == 0) || (link && ours_tablespace(r, rel)))
		return rc;
	if (r->opt->removes)
		r->opt->removes(r->opt->ctx, path);
	if (!r->opt->dry_run && (S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) != 0 && errno != ENOENT)
		return sov_fail_errno(err, errno, NULL, "could not remove %s", path);
	r->res->removed++;
	return SOV_OK;
}

static enum sov_code
clear_dir(struct restore *r, const char *rel, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2],
				child[SOV_PATH_MAX],
				version[64];
	struct dirent *d;
	enum sov_code rc = SOV_OK;
	DIR		   *dir;

	snprintf(version, sizeof version, "PG_%u_%u", r->manifest.pg_version / 10000, r->manifest.catalog_version);
	snprintf(path, sizeof path, "%s/%s", r->opt->target, rel);
	dir = opendir(path);
	if (dir == NULL && r->opt->dry_run && errno == ENOENT)
		return SOV_OK;
	if (dir == NULL)
		return sov_fail_errno(err, errno, NULL, "could not read directory %s", path);
	while (rc == SOV_OK && (d = readdir(dir)) != NULL)
	{
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		/* In a tablespace only this server version's directory is ours. */
		if (strncmp(rel, "pg_tblspc/", 10) == 0 && strchr(rel + 10, '/') == NULL && strcmp(d->d_name, version) != 0)
			continue;
		if (snprintf(child, sizeof child, "%s%s%s", rel, rel[0] ? "/" : "", d->d_name) < (int) sizeof child)
			rc = clear_entry(r, child, err);
	}
	closedir(dir);
	return rc;
}

enum sov_code
delta_clear(struct restore *r, struct sov_error *err)
{
	return clear_dir(r, "", err);
}

void
delta_free(struct restore *r)
{
	if (r->paths)
		free(r->paths->slots);
	free(r->paths);
	r->paths = NULL;
}
