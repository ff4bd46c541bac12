/*
 * repo_settle.c - repair debt worked off: what waits in the spool (repo_spool.c) goes
 * to the providers that answer.
 *
 * An entry is proven before it is delivered, as anything that is read: what the spool
 * lost would else lie at the provider, counted as a shard, until a verify reads it, and
 * so would a shard in another's place.  A
 * shard that is damaged and whose header opens says what it was: a marker takes its
 * place, so that it is rebuilt from the others, now or when they answer.  A head or a
 * batch of the audit log is the same at every provider: another's copy is delivered.
 * What is left (a file's name does not tell whose shard it was) is set aside, named
 * once and counted as debt; "repair" finds what the provider lacks, and the file goes
 * when the provider has it, or when repair has found that nothing is lacking.
 *
 * Delivered entries are removed after the provider has them durably, so a crash
 * delivers twice at worst.  What was put in an entry's place meanwhile stays, to be
 * delivered in its turn.  Where the entry is gone, somebody else has put the object, and
 * may have been overtaken by the older bytes from here: a marker has it rebuilt.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_private.h"
#include "sov_audit.h"

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
	return sscanf(text, REPO_DEBT_MARKER "%c %95s %u %u %u", &m->letter, m->id, &m->generation, &m->attempt, &m->slot) == 5;
}

static bool
marker_out_of_date(const struct sov_repo *repo, const struct sov_buf *entry)
{
	struct marker m;

	return read_marker(entry, &m) && m.generation < repo->admin.map.generation && repo_map_of(repo, m.generation) == NULL;
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

/* Is this a shard of a generation that no map knows any more? */
static bool
shard_out_of_date(struct sov_repo *repo, int provider, const char *name, const struct sov_buf *entry)
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
			info.generation < repo->admin.map.generation && repo_map_of(repo, info.generation) == NULL;
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

/* A change of k or n has re-coded what it belonged to.  By the newest map: another
 * process of this host may have changed it, and owe shards by it. */
static bool
out_of_date(struct sov_repo *repo, int provider, const char *name, const struct sov_buf *entry)
{
	int			fd;
	bool		old;

	if (repo_map_hold(repo, false, &fd, NULL) != SOV_OK)
		return false;
	old = repo_spool_is_marker(entry) ? marker_out_of_date(repo, entry) : shard_out_of_date(repo, provider, name, entry);
	repo_map_release(repo, fd);
	return old;
}

/* --- proving an entry --- */

/* A later version's object is not for us to judge. */
static bool
is_damage(enum sov_code rc)
{
	return rc == SOV_E_AUTH || rc == SOV_E_FORMAT;
}

static enum sov_code
check_whole(struct sov_repo *repo, const char *name, const struct sov_buf *object, struct sov_error *err)
{
	if (strchr("ahl", name[0]) == NULL)
		return SOV_OK;
	/* (the certificate of a writer may not be known to this handle yet) */
	return repo_check_whole(repo, name, object->data, object->len, false, err);
}

/* A shard in another's place would be a wrong one at the provider. */
static enum sov_code
check_name(struct sov_repo *repo, int provider, const char *name, const struct sov_shard_info *info, struct sov_error *err)
{
	char		own[SOV_NAME_MAX];
	enum sov_code rc = sov_repo_name(repo, repo->providers[provider].uuid, info->class_, info->id, info->generation, info->slot, info->attempt, own, err);

	if (rc == SOV_OK && strcmp(own, name) != 0)
		return sov_fail(err, SOV_E_AUTH, NULL, "it is another shard (%c %s slot %d), put in this place", info->class_, info->id, info->slot);
	return rc;
}

static enum sov_code
check_entry(struct sov_repo *repo, int provider, const char *name, const struct sov_buf *entry, struct sov_error *err)
{
	struct sov_shard_info info;
	struct sov_run_share *share;
	const uint8_t *body;
	struct marker m;
	enum sov_code rc;

	if (repo_spool_is_marker(entry))
		return read_marker(entry, &m) ? SOV_OK : sov_fail(err, SOV_E_FORMAT, NULL, "it is not the marker of a shard");
	if (strchr("pwm", name[0]) != NULL)
	{
		rc = sov_shard_verify(repo->keys, entry->data, entry->len, &info, &body, err);
		return rc == SOV_OK ? check_name(repo, provider, name, &info, err) : rc;
	}
	if (name[0] != 'r')
		return check_whole(repo, name, entry, err);
	share = sov_secret_alloc(sizeof *share, err);
	rc = share ? sov_run_share_parse(repo->keys, entry->data, entry->len, share, err) : SOV_E_NOMEM;
	sov_secret_free(share);
	return rc;
}

/* --- what to do about a damaged one --- */

static void
take_out(const struct sov_repo *repo, int provider, const char *path)
{
	const char *slash = strrchr(path, '/');

	repo_spool_remove(repo, repo->providers[provider].cfg->name, slash ? slash + 1 : path);
}

/* Its header opens: a marker in its place. */
static bool
put_marker(struct sov_repo *repo, int provider, const char *name, struct sov_buf *entry)
{
	struct sov_shard_info info;
	uint64_t	tags_at,
				body_at;
	struct sov_error err;
	char		line[SOV_ID_MAX + 64];

	if (entry->len == 0 || sov_shard_parse(repo->keys, entry->data, entry->len, &info, &tags_at, &body_at, NULL) != SOV_OK ||
		check_name(repo, provider, name, &info, NULL) != SOV_OK)
		return false;
	snprintf(line, sizeof line, "%c %s %u %u %d", info.class_, info.id, info.generation, info.attempt, info.slot);
	entry->len = 0;
	sov_write_bytes(entry, REPO_DEBT_MARKER, strlen(REPO_DEBT_MARKER));
	sov_write_bytes(entry, line, strlen(line));
	return !entry->bad && repo_spool_mark(repo, repo->providers[provider].cfg->name, name, line, &err) == SOV_OK;
}

/* Another provider's copy, if that is good. */
static bool
take_copy(struct sov_repo *repo, int provider, const char *name, struct sov_buf *entry)
{
	for (int i = 0; i < repo->n_providers && strchr("hal", name[0]) != NULL; i++)
	{
		entry->len = 0;
		if (i != provider && repo->providers[i].known && repo_get(repo, i, name, 0, UINT64_MAX, entry, NULL) == SOV_OK &&
			check_whole(repo, name, entry, NULL) == SOV_OK)
			return true;
	}
	return false;
}

static enum sov_code
mend_entry(struct sov_repo *repo, int provider, const char *path, const char *name, struct sov_buf *entry, struct sov_error *err)
{
	char		aside[1600 + sizeof REPO_SPOOL_ASIDE];
	bool		marked = put_marker(repo, provider, name, entry);

	if (marked || take_copy(repo, provider, name, entry))
	{
		repo_note(repo, "%s is damaged: %s; provider %s gets %s", path, err->message, repo->providers[provider].cfg->name,
				  marked ? "one that is rebuilt from the others" : "the copy of another provider");
		return SOV_OK;
	}
	snprintf(aside, sizeof aside, "%s" REPO_SPOOL_ASIDE, path);
	if (repo_spool_rename_file(repo, repo->providers[provider].cfg->name, path, aside))
		repo_note(repo, "%s is damaged, is not delivered to provider %s, and was set aside as %s: %s; 'pg_sovereign repair' finds what the provider lacks and rebuilds it",
				  path, repo->providers[provider].cfg->name, strrchr(aside, '/') + 1, err->message);
	return err->code;
}

/* --- delivering --- */

/* One that was set aside goes when the provider has the object. */
static enum sov_code
look_again(struct sov_repo *repo, int provider, const char *path, char *name, struct sov_error *err)
{
	struct sov_object_stat st;
	enum sov_code rc;

	name[strlen(name) - strlen(REPO_SPOOL_ASIDE)] = '\0';
	rc = repo_stat(repo, provider, name, &st, err);
	if (rc == SOV_OK)
		take_out(repo, provider, path);
	return rc;
}

/* The provider has it. */
static void
delivered(struct sov_repo *repo, int provider, const char *path, const char *name, const struct stat *read, struct sov_buf *entry)
{
	bool		gone;

	repo_spool_done(repo, repo->providers[provider].cfg->name, path, read, &gone);
	if (gone && strchr("pwm", name[0]) != NULL && !repo_spool_is_marker(entry))
		(void) put_marker(repo, provider, name, entry);
}

static enum sov_code
deliver_entry(struct sov_repo *repo, int provider, const char *path, const char *name, struct stat *read, struct sov_buf *entry,
			  struct sov_error *err)
{
	struct sov_buf rebuilt = {0};
	struct sov_put_span span;
	enum sov_code rc = check_entry(repo, provider, name, entry, err);

	if (is_damage(rc))
	{
		rc = mend_entry(repo, provider, path, name, entry, err);
		if (rc == SOV_OK && stat(path, read) != 0)	/* it may be a marker now */
			rc = sov_fail(err, SOV_E_STATE, NULL, "%s is gone", path);
	}
	else if (rc == SOV_E_UNSUPPORTED)
		rc = SOV_OK;
	if (rc == SOV_OK && repo_spool_is_marker(entry))
	{
		rc = from_marker(repo, entry, &rebuilt, err);
		if (rc == SOV_E_NOTFOUND)	/* another host pruned it */
		{
			take_out(repo, provider, path);
			return SOV_OK;
		}
	}
	span.data = rebuilt.len > 0 ? rebuilt.data : entry->data;
	span.len = rebuilt.len > 0 ? rebuilt.len : entry->len;
	if (rc == SOV_OK)
		rc = repo_put(repo, provider, name, &span, 1, false, err);
	if (rc == SOV_OK)
		delivered(repo, provider, path, name, read, entry);
	sov_buf_free(&rebuilt);
	return rc;
}

static enum sov_code
deliver(struct sov_repo *repo, int provider, const char *path, const char *file, struct sov_error *err)
{
	struct sov_buf entry = {0};
	struct stat read;
	char		name[SOV_OBJECT_NAME_MAX + sizeof REPO_SPOOL_ASIDE];
	enum sov_code rc;

	snprintf(name, sizeof name, "%s", file);
	for (char *p = name; *p; p++)
		if (*p == ',')
			*p = '/';
	if (repo_spool_is_aside(file))
		return look_again(repo, provider, path, name, err);
	/* in this order: what comes between the two is taken for another and stays */
	if (stat(path, &read) != 0)
		return SOV_OK;			/* delivered by another process, or put meanwhile */
	rc = repo_read_file(path, &entry, err);
	if (rc == SOV_OK && out_of_date(repo, provider, name, &entry))
		take_out(repo, provider, path);
	else if (rc == SOV_OK)
		rc = deliver_entry(repo, provider, path, name, &read, &entry, err);
	sov_buf_free(&entry);
	return rc;
}

static void
settle_provider(struct sov_repo *repo, int i, int64_t until, uint64_t *left)
{
	const char *alias = repo->providers[i].cfg->name;
	char		dir[1200],
				path[1600];
	struct sov_error err;
	struct sov_debt remain;
	uint64_t	done = 0;
	DIR		   *d;
	struct dirent *e;
	bool		stop = false;

	repo_spool_dir(&repo->cfg, alias, dir, sizeof dir);
	d = opendir(dir);
	if (d == NULL)
		return;
	while (!stop && (until == 0 || repo_mono_us() <= until) && (e = readdir(d)) != NULL)
	{
		if (e->d_name[0] == '.' || repo_spool_is_unfinished(e->d_name))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (deliver(repo, i, path, e->d_name, &err) == SOV_OK)
			done++;
		else
			stop = (err.code == SOV_E_PROVIDER && !err.refused) || err.code == SOV_E_FULL;
	}
	closedir(d);
	(void) sov_repo_debt(&repo->cfg, alias, &remain, NULL);
	if (remain.objects == 0)
		repo_spool_tidy(repo, alias);
	if (done > 0)
		repo_note(repo, "provider %s: %llu owed objects delivered, %llu left", alias,
				  (unsigned long long) done, (unsigned long long) remain.objects);
	*left += remain.objects;
}

/* Who did not answer when the handle was made has no uuid yet. */
static bool
learn_identity(struct sov_repo *repo, int i)
{
	if (repo->providers[i].known)
		return true;
	pthread_rwlock_wrlock(&repo->priv->map_lock);
	(void) repo_read_identities(repo, NULL);
	pthread_rwlock_unlock(&repo->priv->map_lock);
	return repo->providers[i].known;
}

enum sov_code
sov_repo_settle(struct sov_repo *repo, int64_t max_us, uint64_t *left, struct sov_error *err)
{
	int64_t		until = max_us ? repo_mono_us() + max_us : 0;
	int			lock = -1;
	bool		busy = false;

	*left = 0;
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_debt debt;

		if (sov_repo_debt(&repo->cfg, repo->providers[i].cfg->name, &debt, NULL) != SOV_OK)
			continue;
		if (debt.unfinished > 0)
			repo_spool_tidy(repo, repo->providers[i].cfg->name);
		if (debt.objects == 0)
			continue;
		/* one process at a time: two would deliver all of it twice */
		if (lock < 0 && !busy)
			busy = (max_us ? repo_try_lock_file(repo, "settle.lock", &lock, err) : repo_lock_file(repo, "settle.lock", &lock, err)) == SOV_E_STATE;
		if (busy)
		{
			*left += debt.objects;
			continue;
		}
		if (!sov_repo_probe(repo, i) || !learn_identity(repo, i))
		{
			*left += debt.objects;
			continue;
		}
		settle_provider(repo, i, until, left);
	}
	if (lock >= 0)
		close(lock);
	return SOV_OK;
}

void
repo_spool_drop_aside(struct sov_repo *repo)
{
	char		dir[1200];
	struct dirent *e;

	for (int i = 0; i < repo->n_providers; i++)
	{
		DIR		   *d;

		repo_spool_dir(&repo->cfg, repo->providers[i].cfg->name, dir, sizeof dir);
		d = opendir(dir);
		while (d != NULL && (e = readdir(d)) != NULL)
		{
			if (repo_spool_is_aside(e->d_name))
				take_out(repo, i, e->d_name);
		}
		if (d != NULL)
			closedir(d);
	}
}
