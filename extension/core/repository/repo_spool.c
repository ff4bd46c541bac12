/*
 * repo_spool.c - repair debt: what providers could not take, kept until they can.
 *
 * Layout: sov_repo.h.  The spool holds sealed objects only; it is bounded by
 * spool-limit over all providers, past which a marker stands for a shard that
 * will be rebuilt from its siblings.  How it is worked off: repo_settle.c.
 *
 * Writers of several processes keep to the limit together: under STATE/spool.lock one
 * looks whether there is room and takes it, with a temporary file of the whole length;
 * it is written and synced without that lock, so that others need not wait.  The lock
 * is taken again to give the file its name, and by whoever removes files or
 * directories of the spool.  A temporary file is locked by its writer as long as that
 * lives, however it dies: one that is not is what a crash left, and is swept.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_private.h"

#define SPOOL_LOCK "spool.lock"
#define UNFINISHED ".tmp."		/* NAME.tmp.PID.THREAD */

void
repo_spool_dir(const struct sov_config *cfg, const char *alias, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/spool/%s", cfg->state_directory, alias);
}

static void
spool_path(const struct sov_repo *repo, const char *alias, const char *name, char *dst, size_t cap)
{
	size_t		n;

	repo_spool_dir(&repo->cfg, alias, dst, cap);
	n = strlen(dst);
	snprintf(dst + n, cap - n, "/%s", name);
	for (char *p = dst + n + 1; *p; p++)
		if (*p == '/')
			*p = ',';
}

bool
repo_spool_is_aside(const char *file)
{
	size_t		n = strlen(file),
				suffix = strlen(REPO_SPOOL_ASIDE);

	return n > suffix && strcmp(file + n - suffix, REPO_SPOOL_ASIDE) == 0;
}

bool
repo_spool_is_unfinished(const char *file)
{
	return strstr(file, UNFINISHED) != NULL;
}

/* --- the limit, and what a crash left --- */

/* -1: it cannot be had. */
static int
lock_spool(const struct sov_repo *repo)
{
	int			fd;

	return repo_lock_file(repo, SPOOL_LOCK, &fd, NULL) == SOV_OK ? fd : -1;
}

/* Files without a name whose writer is gone; under the lock, under which they are made. */
static void
sweep(const char *dir)
{
	DIR		   *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
	{
		int			fd = repo_spool_is_unfinished(e->d_name) ? openat(dirfd(d), e->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void) unlinkat(dirfd(d), e->d_name, 0);
		if (fd >= 0)
			close(fd);
	}
	if (d != NULL)
		closedir(d);
}

void
repo_spool_tidy(const struct sov_repo *repo, const char *alias)
{
	char		dir[1200];
	int			lock = lock_spool(repo);

	if (lock < 0)
		return;
	repo_spool_dir(&repo->cfg, alias, dir, sizeof dir);
	sweep(dir);
	(void) rmdir(dir);			/* where it is empty */
	close(lock);
}

/* Bytes in the whole spool, with what is being written; swept: what nobody writes any
 * more is removed before. */
static uint64_t
spool_used(const struct sov_repo *repo, bool swept, uint64_t *unfinished)
{
	char		dir[1200];
	DIR		   *d;
	struct dirent *e;
	struct sov_debt debt;
	uint64_t	total = 0;

	*unfinished = 0;
	snprintf(dir, sizeof dir, "%s/spool", repo->cfg.state_directory);
	d = opendir(dir);
	while (d != NULL && (e = readdir(d)) != NULL)
	{
		if (e->d_name[0] == '.')
			continue;
		repo_spool_dir(&repo->cfg, e->d_name, dir, sizeof dir);
		if (swept)
			sweep(dir);
		(void) sov_repo_debt(&repo->cfg, e->d_name, &debt, NULL);
		total += debt.bytes + debt.reserved;
		*unfinished += debt.unfinished;
	}
	if (d != NULL)
		closedir(d);
	return total;
}

static bool
has_room(const struct sov_repo *repo, uint64_t len)
{
	uint64_t	limit = repo->cfg.spool_limit,
				unfinished;

	if (len > limit)
		return false;
	return spool_used(repo, false, &unfinished) <= limit - len ||
		(unfinished > 0 && spool_used(repo, true, &unfinished) <= limit - len);
}

/* --- writing --- */

static const char *
file_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

static void
remove_counted(const struct sov_repo *repo, const char *alias, const char *file)
{
	struct repo_debt_change change;

	repo_debt_begin(&repo->cfg, alias, file, NULL, &change);
	if (change.dir >= 0)
		(void) unlinkat(change.dir, file, 0);
	repo_debt_end(&change);
}

void
repo_spool_remove(const struct sov_repo *repo, const char *alias, const char *file)
{
	int			lock = lock_spool(repo);

	remove_counted(repo, alias, file);
	if (lock >= 0)
		close(lock);
}

/* Made and as long as it will be, under the lock of who may write to it. */
static int
make_file(const char *path, uint64_t len)
{
	int			fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600),
				saved;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(fd, (off_t) len) == 0)
		return fd;
	saved = errno;
	if (fd >= 0)
	{
		(void) unlink(path);
		close(fd);
	}
	errno = saved;
	return -1;
}

/* A file of the whole length under its temporary name; -1: there is no room (SOV_E_FULL),
 * or it cannot be made. */
static int
reserve(const struct sov_repo *repo, const char *alias, const char *tmp, uint64_t len, bool limited, struct sov_error *err)
{
	struct repo_debt_change change;
	char		dir[1200];
	int			lock,
				fd = -1;

	repo_spool_dir(&repo->cfg, alias, dir, sizeof dir);
	if (repo_mkdirs(dir, err) != SOV_OK || repo_lock_file(repo, SPOOL_LOCK, &lock, err) != SOV_OK)
		return -1;
	/* once more: it may have been removed as empty */
	if (repo_mkdirs(dir, err) != SOV_OK)
		;
	else if (limited && !has_room(repo, len))
		sov_fail(err, SOV_E_FULL, NULL, "spool-limit leaves no room for %llu bytes", (unsigned long long) len);
	else
	{
		repo_debt_begin(&repo->cfg, alias, file_of(tmp), NULL, &change);
		fd = make_file(tmp, len);
		repo_debt_end(&change);
		if (fd < 0)
			sov_fail_errno(err, errno, NULL, "could not create %s", tmp);
	}
	close(lock);
	return fd;
}

static bool
write_spans(int fd, const struct sov_put_span *spans, int n)
{
	for (int i = 0; i < n; i++)
	{
		const char *p = spans[i].data;
		size_t		left = spans[i].len;

		while (left > 0)
		{
			ssize_t		done = write(fd, p, left);

			if (done < 0 && errno == EINTR)
				continue;
			if (done <= 0)
				return false;
			p += done;
			left -= (size_t) done;
		}
	}
	return fsync(fd) == 0;
}

/* Whoever removes a file looks under the lock whether it is still the same. */
bool
repo_spool_rename_file(const struct sov_repo *repo, const char *alias, const char *from, const char *to)
{
	struct repo_debt_change change;
	int			lock = lock_spool(repo);
	bool		done;

	if (lock < 0)
		return false;
	repo_debt_begin(&repo->cfg, alias, file_of(from), file_of(to), &change);
	done = rename(from, to) == 0;
	repo_debt_end(&change);
	close(lock);
	return done;
}

static enum sov_code
spool_write(const struct sov_repo *repo, const char *alias, const char *name, const struct sov_put_span *spans, int n,
			bool limited, struct sov_error *err)
{
	char		path[1600],
				tmp[1700];
	uint64_t	total = 0;
	int			fd;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < n; i++)
		total += spans[i].len;
	spool_path(repo, alias, name, path, sizeof path);
	snprintf(tmp, sizeof tmp, "%s" UNFINISHED "%d.%lx", path, (int) getpid(), (unsigned long) pthread_self());
	fd = reserve(repo, alias, tmp, total, limited, err);
	if (fd < 0)
		return err->code;
	if (!write_spans(fd, spans, n) || !repo_spool_rename_file(repo, alias, tmp, path))
	{
		rc = sov_fail_errno(err, errno, NULL, "could not write %s", path);
		repo_spool_remove(repo, alias, file_of(tmp));
	}
	close(fd);
	return rc == SOV_OK ? repo_sync_parent(path, err) : rc;
}

enum sov_code
repo_spool_mark(const struct sov_repo *repo, const char *alias, const char *name, const char *marker, struct sov_error *err)
{
	char		line[256];
	struct sov_put_span span = {line, (size_t) snprintf(line, sizeof line, REPO_DEBT_MARKER "%s\n", marker)};

	return spool_write(repo, alias, name, &span, 1, false, err);
}

void
repo_spool_put(struct sov_repo *repo, const char *alias, const char *name,
			   const struct sov_put_span *spans, int n, const char *marker, bool *kept)
{
	struct sov_error err;

	sov_error_clear(&err);
	*kept = spool_write(repo, alias, name, spans, n, true, &err) == SOV_OK;
	if (*kept)
		return;
	if (marker != NULL && repo_spool_mark(repo, alias, name, marker, &err) != SOV_OK)
		repo_note(repo, "a debt to provider %s could not be noted: %s", alias, err.message);
	else if (marker == NULL && err.code != SOV_E_FULL)
		repo_note(repo, "the spool cannot be used: %s", err.message);
}

void
repo_spool_done(const struct sov_repo *repo, const char *alias, const char *path, const struct stat *read, bool *gone)
{
	struct stat now;
	int			lock = lock_spool(repo);

	*gone = false;
	if (lock < 0)
		return;
	if (stat(path, &now) != 0)
		*gone = errno == ENOENT;
	else if (now.st_ino == read->st_ino && now.st_ctim.tv_sec == read->st_ctim.tv_sec && now.st_ctim.tv_nsec == read->st_ctim.tv_nsec)
		remove_counted(repo, alias, file_of(path));
	close(lock);
}

bool
repo_spool_is_marker(const struct sov_buf *b)
{
	return b->len > strlen(REPO_DEBT_MARKER) && memcmp(b->data, REPO_DEBT_MARKER, strlen(REPO_DEBT_MARKER)) == 0;
}

enum sov_code
repo_spool_get(const struct sov_repo *repo, const char *alias, const char *name,
			   struct sov_buf *out, struct sov_error *err)
{
	char		path[1600];
	enum sov_code rc;

	spool_path(repo, alias, name, path, sizeof path);
	rc = repo_read_file(path, out, err);
	if (rc == SOV_OK && repo_spool_is_marker(out))
	{
		out->len = 0;
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "the spool has only a marker for %s", name);
	}
	return rc;
}

void
repo_spool_forget(const struct sov_repo *repo, const char *alias, const char *name)
{
	char		path[1600 + sizeof REPO_SPOOL_ASIDE];

	spool_path(repo, alias, name, path, 1600);
	for (int aside = 0; aside < 2; aside++)
	{
		if (access(path, F_OK) == 0)
			repo_spool_remove(repo, alias, file_of(path));
		strcat(path, aside ? "" : REPO_SPOOL_ASIDE);
	}
}

bool
repo_spool_has(const struct sov_repo *repo, const char *alias, const char *name)
{
	char		path[1600];

	spool_path(repo, alias, name, path, sizeof path);
	return access(path, F_OK) == 0 && !repo_debt_is_marker(path);
}

/* One that is there under the new name already is kept: it is the newer. */
static void
move_debt(const char *from, const char *to)
{
	char		path[1600],
				into[1600];
	struct dirent *e;
	DIR		   *d = rename(from, to) == 0 ? NULL : opendir(from);

	while (d != NULL && (e = readdir(d)) != NULL)
	{
		if (e->d_name[0] == '.' || repo_spool_is_unfinished(e->d_name))
			continue;
		snprintf(path, sizeof path, "%s/%s", from, e->d_name);
		snprintf(into, sizeof into, "%s/%s", to, e->d_name);
		if (access(into, F_OK) == 0)
			(void) unlink(path);
		else
			(void) rename(path, into);
	}
	if (d != NULL)
	{
		closedir(d);
		(void) rmdir(from);
	}
}

/* A section that was renamed keeps its debt. */
void
repo_spool_rename(struct sov_repo *repo)
{
	char		from[1200],
				to[1200];

	for (int i = 0; i < repo->admin.map.n; i++)
	{
		const struct sov_map_slot *pos = &repo->admin.map.pos[i];
		int			p = sov_repo_provider_of(repo, pos->uuid),
					lock;

		if (p < 0 || strcmp(repo->providers[p].cfg->name, pos->alias) == 0)
			continue;
		repo_spool_dir(&repo->cfg, pos->alias, from, sizeof from);
		repo_spool_dir(&repo->cfg, repo->providers[p].cfg->name, to, sizeof to);
		if (access(from, F_OK) != 0 || (lock = lock_spool(repo)) < 0)
			continue;
		move_debt(from, to);
		close(lock);
		repo_note(repo, "provider %s is now called %s: its debt moves along", pos->alias, repo->providers[p].cfg->name);
	}
}

/* Forget a left provider's debt. */
void
repo_spool_drop(struct sov_repo *repo, const char *alias)
{
	char		dir[1200],
				path[1600];
	DIR		   *d;
	struct dirent *e;
	int			lock = lock_spool(repo);

	repo_spool_dir(&repo->cfg, alias, dir, sizeof dir);
	d = opendir(dir);
	while (d != NULL && (e = readdir(d)) != NULL)
	{
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			(void) unlink(path);
	}
	if (d != NULL)
	{
		closedir(d);
		(void) rmdir(dir);
	}
	if (lock >= 0)
		close(lock);
}
