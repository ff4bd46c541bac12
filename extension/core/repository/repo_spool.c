/*
 * repo_spool.c - repair debt: what providers could not take, kept until they can.
 *
 * Layout: sov_repo.h.  The spool holds sealed objects only; it is bounded by
 * spool-limit over all providers, past which a marker stands for a shard that
 * will be rebuilt from its siblings.  How it is worked off: repo_settle.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_private.h"

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

static bool
is_marker_file(int dir, const char *name, off_t size)
{
	char		head[sizeof REPO_DEBT_MARKER - 1];
	int			fd = size > 256 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool		marker = fd >= 0 && read(fd, head, sizeof head) == (ssize_t) sizeof head && memcmp(head, REPO_DEBT_MARKER, sizeof head) == 0;

	if (fd >= 0)
		close(fd);
	return marker;
}

enum sov_code
sov_repo_debt(const struct sov_config *cfg, const char *provider, struct sov_debt *out, struct sov_error *err)
{
	char		dir[1200];
	DIR		   *d;
	struct dirent *e;
	struct stat st;

	memset(out, 0, sizeof *out);
	repo_spool_dir(cfg, provider, dir, sizeof dir);
	d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read %s", dir);
	while ((e = readdir(d)) != NULL)
	{
		if (strstr(e->d_name, ".tmp.") != NULL || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			continue;
		out->objects++;
		out->damaged += repo_spool_is_aside(e->d_name);
		if (is_marker_file(dirfd(d), e->d_name, st.st_size))
			out->markers++;
		else
			out->bytes += (uint64_t) st.st_size;
	}
	closedir(d);
	return SOV_OK;
}

/* Bytes in the whole spool. */
static uint64_t
spool_used(const struct sov_repo *repo)
{
	char		dir[1200];
	DIR		   *d;
	struct dirent *e;
	uint64_t	total = 0;
	struct sov_debt debt;

	snprintf(dir, sizeof dir, "%s/spool", repo->cfg.state_directory);
	d = opendir(dir);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && sov_repo_debt(&repo->cfg, e->d_name, &debt, NULL) == SOV_OK)
			total += debt.bytes;
	closedir(d);
	return total;
}

void
repo_spool_put(struct sov_repo *repo, const char *alias, const char *name,
			   const struct sov_put_span *spans, int n, const char *marker, bool *kept)
{
	char		path[1600],
				dir[1200],
				line[256];
	struct sov_buf all = {0};
	struct sov_error err;
	size_t		total = 0;

	*kept = false;
	repo_spool_dir(&repo->cfg, alias, dir, sizeof dir);
	if (repo_mkdirs(dir, &err) != SOV_OK)
	{
		repo_note(repo, "the spool cannot be used: %s", err.message);
		return;
	}
	spool_path(repo, alias, name, path, sizeof path);
	for (int i = 0; i < n; i++)
		total += spans[i].len;
	if (spool_used(repo) + total <= repo->cfg.spool_limit)
	{
		for (int i = 0; i < n; i++)
			sov_write_bytes(&all, spans[i].data, spans[i].len);
		*kept = !all.bad && repo_write_file(path, all.data, all.len, &err) == SOV_OK;
		sov_buf_free(&all);
		if (*kept)
			return;
	}
	if (marker == NULL)
		return;
	snprintf(line, sizeof line, REPO_DEBT_MARKER "%s\n", marker);
	if (repo_write_file(path, line, strlen(line), &err) != SOV_OK)
		repo_note(repo, "a debt to provider %s could not be noted: %s", alias, err.message);
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
	(void) unlink(path);
	strcat(path, REPO_SPOOL_ASIDE);
	(void) unlink(path);
}

bool
repo_spool_has(const struct sov_repo *repo, const char *alias, const char *name)
{
	char		path[1600];
	struct stat st;

	spool_path(repo, alias, name, path, sizeof path);
	return stat(path, &st) == 0 && !is_marker_file(AT_FDCWD, path, st.st_size);
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
		int			p = sov_repo_provider_of(repo, pos->uuid);

		if (p < 0 || strcmp(repo->providers[p].cfg->name, pos->alias) == 0)
			continue;
		repo_spool_dir(&repo->cfg, pos->alias, from, sizeof from);
		repo_spool_dir(&repo->cfg, repo->providers[p].cfg->name, to, sizeof to);
		if (access(to, F_OK) != 0 && rename(from, to) == 0)
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

	repo_spool_dir(&repo->cfg, alias, dir, sizeof dir);
	d = opendir(dir);
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
	{
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
	rmdir(dir);
}
