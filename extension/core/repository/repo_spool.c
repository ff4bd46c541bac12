/*
 * repo_spool.c - repair debt: what providers could not take, kept until they can.
 *
 * Layout: sov_repo.h.  The spool holds sealed shards only; it is bounded by
 * spool-limit over all providers, past which a marker stands for a shard that
 * will be rebuilt from its siblings.  Delivered entries are removed after the
 * provider has them durably, so a crash delivers twice at worst.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_private.h"

#define MARKER "SOVDEBT1 "

static void
spool_dir(const struct sov_config *cfg, const char *alias, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/spool/%s", cfg->state_directory, alias);
}

static void
spool_path(const struct sov_repo *repo, const char *alias, const char *name, char *dst, size_t cap)
{
	size_t		n;

	spool_dir(&repo->cfg, alias, dst, cap);
	n = strlen(dst);
	snprintf(dst + n, cap - n, "/%s", name);
	for (char *p = dst + n + 1; *p; p++)
		if (*p == '/')
			*p = ',';
}

static bool
is_marker_file(const char *path, off_t size)
{
	char		head[sizeof MARKER];
	FILE	   *f;
	bool		marker;

	if (size > 256)
		return false;
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	marker = fgets(head, sizeof head, f) != NULL && strcmp(head, MARKER) == 0;
	fclose(f);
	return marker;
}

enum sov_code
sov_repo_debt(const struct sov_config *cfg, const char *provider, struct sov_debt *out, struct sov_error *err)
{
	char		dir[1200],
				path[1600];
	DIR		   *d;
	struct dirent *e;
	struct stat st;

	memset(out, 0, sizeof *out);
	spool_dir(cfg, provider, dir, sizeof dir);
	d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read %s", dir);
	while ((e = readdir(d)) != NULL)
	{
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (strstr(e->d_name, ".tmp.") != NULL || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		out->objects++;
		if (is_marker_file(path, st.st_size))
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
	spool_dir(&repo->cfg, alias, dir, sizeof dir);
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
	snprintf(line, sizeof line, MARKER "%s\n", marker);
	if (repo_write_file(path, line, strlen(line), &err) != SOV_OK)
		repo_note(repo, "a debt to provider %s could not be noted: %s", alias, err.message);
}

static bool
is_marker(const struct sov_buf *b)
{
	return b->len > strlen(MARKER) && memcmp(b->data, MARKER, strlen(MARKER)) == 0;
}

enum sov_code
repo_spool_get(const struct sov_repo *repo, const char *alias, const char *name,
			   struct sov_buf *out, struct sov_error *err)
{
	char		path[1600];
	enum sov_code rc;

	spool_path(repo, alias, name, path, sizeof path);
	rc = repo_read_file(path, out, err);
	if (rc == SOV_OK && is_marker(out))
	{
		out->len = 0;
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "the spool has only a marker for %s", name);
	}
	return rc;
}

void
repo_spool_forget(const struct sov_repo *repo, const char *alias, const char *name)
{
	char		path[1600];

	spool_path(repo, alias, name, path, sizeof path);
	(void) unlink(path);
}

bool
repo_spool_has(const struct sov_repo *repo, const char *alias, const char *name)
{
	char		path[1600];
	struct stat st;

	spool_path(repo, alias, name, path, sizeof path);
	return stat(path, &st) == 0 && !is_marker_file(path, st.st_size);
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
		spool_dir(&repo->cfg, pos->alias, from, sizeof from);
		spool_dir(&repo->cfg, repo->providers[p].cfg->name, to, sizeof to);
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

	spool_dir(&repo->cfg, alias, dir, sizeof dir);
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

/* --- working it off --- */

struct marker
{
	char		letter;
	char		id[SOV_ID_MAX];
	unsigned	generation,
				attempt,
				slot;
};

static bool
read_marker(const struct sov_buf *entry, struct marker *m)
{
	char		text[256];
	size_t		n = entry->len < sizeof text - 1 ? entry->len : sizeof text - 1;

	memcpy(text, entry->data, n);
	text[n] = '\0';
	return sscanf(text, MARKER "%c %95s %u %u %u", &m->letter, m->id, &m->generation, &m->attempt, &m->slot) == 5;
}

static bool
marker_out_of_date(const struct sov_repo *repo, const struct sov_buf *entry)
{
	struct marker m;

	return read_marker(entry, &m) && repo_map_of(repo, m.generation) == NULL;
}

/* Rebuild the shard that a marker stands for. */
static enum sov_code
from_marker(struct sov_repo *repo, const struct sov_buf *entry, struct sov_buf *object, struct sov_error *err)
{
	struct marker m;

	if (!read_marker(entry, &m))
		return sov_fail(err, SOV_E_FORMAT, NULL, "a debt marker is damaged");
	return sov_repo_rebuild(repo, (uint8_t) m.letter, m.id, m.generation, (uint16_t) m.attempt, (uint8_t) m.slot, object, err);
}

/* Is this a shard of a generation that no map knows any more?  A change of k or n
 * has re-coded what it belonged to. */
static bool
out_of_date(struct sov_repo *repo, int provider, const char *name, const struct sov_buf *entry)
{
	const struct sov_map *maps[2] = {&repo->admin.map, &repo->admin.was};
	struct sov_shard_info info;
	struct sov_run_share *share;
	uint64_t	tags_at,
				body_at;
	char		run[33],
				there[SOV_NAME_MAX];
	bool		known = false;

	if (name[0] != 'r')
		return strchr("pwm", name[0]) != NULL &&
			sov_shard_parse(repo->keys, entry->data, entry->len, &info, &tags_at, &body_at, NULL) == SOV_OK &&
			repo_map_of(repo, info.generation) == NULL;
	share = sov_secret_alloc(sizeof *share, NULL);
	if (share == NULL || sov_run_share_parse(repo->keys, entry->data, entry->len, share, NULL) != SOV_OK)
		known = true;			/* not for us to judge */
	else
		sov_hex(run, share->run, 16);
	for (int m = 0; m < 2 && !known; m++)
		known = maps[m]->n > 0 &&
			(sov_repo_name(repo, repo->providers[provider].uuid, SOV_CLASS_RUN, run, maps[m]->generation, share->slot, 0, there, NULL) != SOV_OK ||
			 strcmp(there, name) == 0);
	sov_secret_free(share);
	return !known;
}

static enum sov_code
deliver(struct sov_repo *repo, int provider, const char *path, const char *file, struct sov_error *err)
{
	struct sov_buf entry = {0},
				rebuilt = {0};
	struct sov_put_span span;
	char		name[SOV_OBJECT_NAME_MAX + 1];
	enum sov_code rc;

	snprintf(name, sizeof name, "%s", file);
	for (char *p = name; *p; p++)
		if (*p == ',')
			*p = '/';
	rc = repo_read_file(path, &entry, err);
	if (rc == SOV_OK && (is_marker(&entry) ? marker_out_of_date(repo, &entry) : out_of_date(repo, provider, name, &entry)))
	{
		unlink(path);
		sov_buf_free(&entry);
		return SOV_OK;
	}
	if (rc == SOV_OK && is_marker(&entry))
	{
		rc = from_marker(repo, &entry, &rebuilt, err);
		span.data = rebuilt.data;
		span.len = rebuilt.len;
	}
	else
	{
		span.data = entry.data;
		span.len = entry.len;
	}
	if (rc == SOV_OK)
		rc = repo_put(repo, provider, name, &span, 1, false, err);
	if (rc == SOV_OK)
		unlink(path);
	sov_buf_free(&entry);
	sov_buf_free(&rebuilt);
	return rc;
}

static void
settle_provider(struct sov_repo *repo, int i, int64_t until, uint64_t *left)
{
	const char *alias = repo->providers[i].cfg->name;
	char		dir[1200],
				path[1600];
	struct sov_error err;
	uint64_t	done = 0,
				remain = 0;
	DIR		   *d;
	struct dirent *e;
	bool		stop = false;

	spool_dir(&repo->cfg, alias, dir, sizeof dir);
	d = opendir(dir);
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
	{
		if (e->d_name[0] == '.' || strstr(e->d_name, ".tmp.") != NULL)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (stop || (until != 0 && repo_mono_us() > until))
			remain++;
		else if (deliver(repo, i, path, e->d_name, &err) == SOV_OK)
			done++;
		else
		{
			remain++;
			stop = (err.code == SOV_E_PROVIDER && !err.refused) || err.code == SOV_E_FULL;
		}
	}
	closedir(d);
	if (remain == 0)
		rmdir(dir);
	if (done > 0)
		repo_note(repo, "provider %s: %llu owed objects delivered, %llu left", alias,
				  (unsigned long long) done, (unsigned long long) remain);
	*left += remain;
}

enum sov_code
sov_repo_settle(struct sov_repo *repo, int64_t max_us, uint64_t *left, struct sov_error *err)
{
	int64_t		until = max_us ? repo_mono_us() + max_us : 0;

	(void) err;
	*left = 0;
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_debt debt;

		if (sov_repo_debt(&repo->cfg, repo->providers[i].cfg->name, &debt, NULL) != SOV_OK || debt.objects == 0)
			continue;
		if (!sov_repo_probe(repo, i) ||
			(!repo->providers[i].known && repo_read_identities(repo, NULL) != SOV_OK) || !repo->providers[i].known)
		{
			*left += debt.objects;
			continue;
		}
		settle_provider(repo, i, until, left);
	}
	return SOV_OK;
}
