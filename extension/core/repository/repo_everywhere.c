/*
 * repo_everywhere.c - putting whole objects at every provider.
 *
 * Success is n-k+1 of n providers, by the provider map and by the one before it while
 * that one's copies are still needed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

struct everywhere
{
	struct sov_repo *repo;
	const char *name;
	const struct sov_buf *object;
	bool		if_absent;
	bool		takes_part[SOV_MAX_PROVIDERS];
	bool		done[SOV_MAX_PROVIDERS];	/* it took it, or has another one */
	enum sov_code rc[SOV_MAX_PROVIDERS];
	struct sov_error err[SOV_MAX_PROVIDERS];
};

/* It says that the name is taken.  By these very bytes: who opens the repository meanwhile
 * writes back, where it is missing, what it saw at the first provider that took it.  By
 * another good object: that is a conflict.  By anything else, or by what it does not show: then
 * it lies, or somebody put that there, and it is one that does not take part, as one alone
 * may not keep the others from anything. */
static enum sov_code
judge_taken(struct everywhere *e, int i)
{
	const char *provider = e->repo->providers[i].cfg->name;
	struct sov_buf there = {0};
	struct sov_error why;
	enum sov_code rc;
	bool		same;

	sov_error_clear(&why);
	rc = repo_get(e->repo, i, e->name, 0, UINT64_MAX, &there, &why);
	same = rc == SOV_OK && there.len == e->object->len && memcmp(there.data, e->object->data, there.len) == 0;
	if (rc == SOV_OK && !same)
		rc = repo_check_whole(e->repo, e->name, there.data, there.len, true, &why);
	sov_buf_free(&there);
	if (rc == SOV_OK || rc == SOV_E_UNSUPPORTED)	/* (a later version's: not for us to judge) */
		return same ? SOV_OK : SOV_E_EXISTS;
	repo_note(e->repo, "provider %s says that it has %s already, and what it shows is none: %s", provider, e->name, why.message);
	return sov_fail(&e->err[i], SOV_E_PROVIDER, "run 'pg_sovereign repair'", "provider %s says that it has %s already, and what it shows is none: %s",
					provider, e->name, why.message);
}

static void
put_one(int i, void *arg)
{
	struct everywhere *e = arg;
	struct sov_put_span span = {e->object->data, e->object->len};

	if (e->done[i])
		return;
	e->rc[i] = SOV_E_PROVIDER;
	if (!e->takes_part[i])
		sov_fail(&e->err[i], SOV_E_PROVIDER, NULL, "provider %s is not there", e->repo->providers[i].cfg->name);
	else
		e->rc[i] = repo_put(e->repo, i, e->name, &span, 1, e->if_absent, &e->err[i]);
	if (e->rc[i] == SOV_E_EXISTS)
		e->rc[i] = judge_taken(e, i);
	e->done[i] = e->rc[i] == SOV_OK || e->rc[i] == SOV_E_EXISTS;
}

static bool
in_map(const struct sov_map *map, const uint8_t uuid[16])
{
	for (int p = 0; p < map->n; p++)
		if (memcmp(map->pos[p].uuid, uuid, 16) == 0)
			return true;
	return false;
}

static int
need_by(const struct sov_map *map)
{
	return map->n > 0 ? map->n - map->k + 1 : 0;
}

static void
count_takers(const struct everywhere *e, struct repo_count *count)
{
	struct sov_repo *repo = e->repo;

	*count = (struct repo_count) {0, 0};
	pthread_rwlock_rdlock(&repo->priv->map_lock);
	for (int i = 0; i < repo->n_providers; i++)
	{
		count->now += e->rc[i] == SOV_OK && in_map(&repo->admin.map, repo->providers[i].uuid);
		count->was += e->rc[i] == SOV_OK && in_map(&repo->admin.was, repo->providers[i].uuid);
	}
	pthread_rwlock_unlock(&repo->priv->map_lock);
}

/* When too few take it, those are asked that were only waited for.
 * *count: providers of the current map (not the previous ones of positions
 * being moved) that took it, and while k and n change those of the map before.  SOV_E_EXISTS when one has another object of that
 * name already. */
enum sov_code
repo_put_everywhere(struct sov_repo *repo, const char *name, const struct sov_buf *object,
					bool if_absent, struct repo_count *count, struct sov_error *err)
{
	struct everywhere *e = calloc(1, sizeof *e);
	int64_t		began_us = repo_mono_us();
	enum sov_code rc = SOV_OK;

	*count = (struct repo_count) {0, 0};
	if (e == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	e->repo = repo;
	e->name = name;
	e->object = object;
	e->if_absent = if_absent;
	pthread_rwlock_rdlock(&repo->priv->map_lock);
	for (int i = 0; i < repo->n_providers; i++)
		e->takes_part[i] = repo_takes_part(repo, i);
	pthread_rwlock_unlock(&repo->priv->map_lock);
	sov_parallel(repo->n_providers, put_one, e);
	count_takers(e, count);
	if ((count->now < need_by(&repo->admin.map) || count->was < need_by(&repo->admin.was)) && repo_ask_again(repo, began_us))
	{
		sov_parallel(repo->n_providers, put_one, e);
		count_takers(e, count);
	}
	for (int i = 0; i < repo->n_providers; i++)
		if (e->rc[i] == SOV_E_EXISTS)
			rc = sov_fail(err, SOV_E_EXISTS, NULL, "provider %s has %s already", repo->providers[i].cfg->name, name);
	if (rc == SOV_OK && count->now == 0)
	{
		rc = SOV_E_QUORUM;
		for (int i = 0; i < repo->n_providers; i++)
			if (e->rc[i] != SOV_OK && err)
				*err = e->err[i];
	}
	free(e);
	return rc;
}

/* A committed head is owed to the providers that did not take it. */
static void
owe_missing(struct sov_repo *repo, const char *name, const struct sov_buf *object)
{
	struct sov_put_span span = {object->data, object->len};
	struct sov_object_stat st;
	bool		kept;

	for (int p = 0; p < repo->admin.map.n; p++)
	{
		int			i = sov_repo_provider_of(repo, repo->admin.map.pos[p].uuid);

		if (i < 0 || (repo->providers[i].known && repo_stat(repo, i, name, &st, NULL) == SOV_OK))
			continue;
		repo_spool_put(repo, repo->providers[i].cfg->name, name, &span, 1, NULL, &kept);
	}
}

/* By both maps where there are two: whoever knows only the older one must see it too. */
enum sov_code
repo_quorum(struct sov_repo *repo, const struct repo_count *count, const char *what, struct sov_error *err)
{
	const struct sov_map *map = &repo->admin.map;
	int			reached = count->now;
	char		down[400];

	if (count->now >= need_by(map) && count->was >= need_by(&repo->admin.was))
		return SOV_OK;
	if (count->now >= need_by(map))
	{
		map = &repo->admin.was;
		reached = count->was;
	}
	repo_provider_down_list(repo, down, sizeof down);
	sov_fail(err, SOV_E_QUORUM, "bring a provider back, or replace it in the configuration and run 'pg_sovereign apply'",
			 "%s reached %d of %d providers, and counts only from %d on: %s", what, reached, map->n, need_by(map), down);
	if (err)
		err->retryable = true;
	return SOV_E_QUORUM;
}

enum sov_code
repo_put_counted(struct sov_repo *repo, const char *name, const struct sov_buf *object, const char *what, struct sov_error *err)
{
	struct repo_count count;
	enum sov_code rc = repo_put_everywhere(repo, name, object, true, &count, err);

	if (rc == SOV_OK)
		rc = repo_quorum(repo, &count, what, err);
	if (rc == SOV_OK && count.now < repo->admin.map.n)
		owe_missing(repo, name, object);
	return rc;
}
/* Later than what it follows, unless that was dated by a clock gone wrong. */
uint64_t
repo_next_time(uint64_t before)
{
	uint64_t	now = (uint64_t) repo_now_us();

	return now > before || before > now + REPO_FUTURE_LIMIT_US ? now : before + 1;
}

/* --- heads under way ---
 *
 * A head is kept in the local state ("head.next", "admin.next") before any
 * provider gets it.  When it reaches too few of them, the next commit brings
 * the very same bytes to the others: a second, different head of that number
 * would look like a cloned host as soon as the first one's holders are back.
 */

void
repo_state_path(const struct sov_repo *repo, const char *name, char *path, size_t cap)
{
	snprintf(path, cap, "%s/%s", repo->cfg.state_directory, name);
}

enum sov_code
repo_spread(struct sov_repo *repo, const char *name, const struct sov_buf *object, struct sov_error *err)
{
	struct sov_buf there = {0};
	struct repo_count count;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
	{
		there.len = 0;
		if (!repo->providers[i].known || repo_get(repo, i, name, 0, UINT64_MAX, &there, NULL) != SOV_OK)
			continue;
		if ((there.len != object->len || memcmp(there.data, object->data, there.len) != 0) &&
			repo_check_whole(repo, name, there.data, there.len, true, NULL) == SOV_OK)
			rc = sov_fail(err, SOV_E_CONFLICT, "a host was cloned with its state directory: stop one of the two and give it a state directory of its own",
						  "provider %s has another %s than this host made", repo->providers[i].cfg->name, name);
	}
	sov_buf_free(&there);
	if (rc == SOV_OK)
		rc = repo_put_everywhere(repo, name, object, false, &count, err);
	if (rc == SOV_OK)
		rc = repo_quorum(repo, &count, "completing an interrupted commit", err);
	if (rc == SOV_OK && count.now < repo->admin.map.n)
		owe_missing(repo, name, object);
	return rc;
}
