/*
 * repo_object.c - coded objects: one shard to each position, any k back.
 *
 * Where they lie: repo_place.c; how they are read: repo_gather.c.  Here they are
 * looked for by the provider map, and while k or n change by the one before too:
 * "no" is certain only when both say so.  What is asked for is the object, one of
 * its shards (to rebuild it), or its state.
 */
#include <stdlib.h>
#include <string.h>

#include "repo_gather.h"
#include "sov_run.h"

/* From the shards that lie by one map. */
static enum sov_code
get_by_map(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
		   struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err)
{
	struct gather *job = malloc(sizeof *job);
	int			slots[SOV_EC_MAX],
				leader;
	const uint8_t *bodies[SOV_EC_MAX];
	enum sov_code rc;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	gather_init(job, repo, map, class_, id, attempt, GATHER_WHOLE);
	rc = gather_shards(job, -1, &leader, err);
	if (rc == SOV_OK)
	{
		gather_members(job, map->n, leader, slots, bodies);
		rc = sov_shard_decode(&job->info[leader], slots, bodies, sealed, err);
		if (info)
			*info = job->info[leader];
	}
	gather_free(job);
	return rc;
}

enum sov_code
repo_get_generation(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt,
					struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err)
{
	const struct sov_map *map;
	int			fd;
	enum sov_code rc = repo_map_hold(repo, false, &fd, err);

	if (rc != SOV_OK)
		return rc;
	map = repo_map_of(repo, generation);
	rc = map ? get_by_map(repo, map, class_, id, attempt, info, sealed, err) :
		sov_fail(err, SOV_E_NOTFOUND, NULL, "no shards of generation %u are kept", generation);
	repo_map_release(repo, fd);
	return rc;
}

enum sov_code
sov_repo_get_sealed(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt,
					struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err)
{
	struct sov_error why;
	enum sov_code rc,
				before;
	int			fd;

	(void) generation;
	for (bool again = false;; again = true)
	{
		rc = repo_map_hold(repo, false, &fd, err);
		if (rc != SOV_OK)
			return rc;
		rc = get_by_map(repo, &repo->admin.map, class_, id, attempt, info, sealed, err);
		if (rc != SOV_OK && repo->admin.was.n > 0)
		{
			/* "no" is certain only when both say so */
			sov_error_clear(&why);
			before = get_by_map(repo, &repo->admin.was, class_, id, attempt, info, sealed, &why);
			if (before != SOV_E_NOTFOUND)
			{
				rc = before;
				if (err)
					*err = why;
			}
		}
		repo_map_release(repo, fd);
		/* Another host may have changed k or n.  For WAL "no" is an everyday answer,
		 * and marks contradict a wrong one. */
		if (rc == SOV_OK || again || (rc == SOV_E_NOTFOUND && class_ == SOV_CLASS_WAL) || !repo_map_renew(repo))
			return rc;
		sealed->len = 0;
	}
}

/* Prune takes all of a run. */
static bool
others_absent(struct sov_repo *repo, const struct sov_map *map, const char *run, uint8_t slot)
{
	struct sov_buf raw = {0};
	bool		absent = true;

	for (int s = 0; s < map->n && absent; s++)
	{
		struct repo_place place;
		int			from;

		raw.len = 0;
		absent = s == slot ||
			(repo_place(repo, SOV_CLASS_RUN, run, map->generation, (uint8_t) s, 0, &place, NULL) == SOV_OK &&
			 repo_fetch(repo, &place, UINT64_MAX, &raw, &from, NULL) == SOV_E_NOTFOUND);
	}
	sov_buf_free(&raw);
	return absent;
}

static enum sov_code
rebuild_share(struct sov_repo *repo, const struct sov_map *map, const char *id, uint8_t slot, struct sov_buf *object, struct sov_error *err)
{
	struct sov_run_share shares[SOV_EC_MAX];
	uint8_t		run[16];
	int			n = 0;
	enum sov_code rc;

	if (!sov_unhex(run, id, 16))
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s is not a run id", id);
	rc = repo_read_shares(repo, map, run, slot, shares, &n, err);
	if (rc == SOV_OK)
		rc = sov_run_share_rebuild(repo->keys, shares, n, slot, object, err);
	else if (rc == SOV_E_CORRUPT && n == 0 && others_absent(repo, map, id, slot))
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "run %s is at no other provider", id);
	sov_wipe(shares, sizeof shares);
	return rc;
}

static enum sov_code
rebuild_shard(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
			  uint8_t slot, struct sov_buf *object, struct sov_error *err)
{
	struct gather *job = malloc(sizeof *job);
	int			slots[SOV_EC_MAX],
				leader;
	const uint8_t *bodies[SOV_EC_MAX];
	enum sov_code rc;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	gather_init(job, repo, map, class_, id, attempt, GATHER_WHOLE);
	rc = gather_shards(job, slot, &leader, err);
	if (rc == SOV_OK)
	{
		gather_members(job, map->n, leader, slots, bodies);
		rc = sov_shard_rebuild(repo->keys, &job->info[leader], slots, bodies, slot, object, err);
	}
	gather_free(job);
	return rc;
}

enum sov_code
sov_repo_rebuild(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt,
				 uint8_t slot, struct sov_buf *object, struct sov_error *err)
{
	const struct sov_map *map;
	int			fd;
	enum sov_code rc = repo_map_hold(repo, false, &fd, err);

	if (rc != SOV_OK)
		return rc;
	map = repo_map_of(repo, generation);
	if (map == NULL)
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "no shards of generation %u are kept", generation);
	else if (class_ == SOV_CLASS_RUN)
		rc = rebuild_share(repo, map, id, slot, object, err);
	else
		rc = rebuild_shard(repo, map, class_, id, attempt, slot, object, err);
	repo_map_release(repo, fd);
	return rc;
}

static enum sov_code
state_by_map(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
			 struct sov_object_state *st, struct sov_error *err)
{
	struct gather *job = malloc(sizeof *job);
	int			leader,
				whole;

	memset(st, 0, sizeof *st);
	st->k = map->k;
	st->n = map->n;
	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	gather_init(job, repo, map, class_, id, attempt, SOV_SHARD_HEAD_MAX);
	sov_parallel(map->n, gather_ask, job);
	gather_group(job, map->n, &leader, &whole);
	st->absent = gather_count(job, map->n, SLOT_ABSENT);
	st->unknown = gather_count(job, map->n, SLOT_UNKNOWN) + gather_count(job, map->n, SLOT_DAMAGED);
	if (leader >= 0)
	{
		st->have = true;
		st->info = job->info[leader];
	}
	for (int s = 0; s < map->n; s++)
	{
		if (job->state[s] != SLOT_GOOD)
			continue;
		if (!sov_shard_same_group(&job->info[s], &job->info[leader]))
		{
			st->conflict = st->conflict || memcmp(job->info[s].content, job->info[leader].content, 32) != 0;
			continue;
		}
		if (job->from_spool[s])
			st->spooled++;
		else
			st->holders++;
	}
	gather_free(job);
	return SOV_OK;
}

enum sov_code
sov_repo_object_state(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt,
					  struct sov_object_state *st, struct sov_error *err)
{
	struct sov_object_state before;
	int			fd;
	enum sov_code rc = repo_map_hold(repo, false, &fd, err);

	(void) generation;
	if (rc != SOV_OK)
		return rc;
	rc = state_by_map(repo, &repo->admin.map, class_, id, attempt, st, err);
	if (rc == SOV_OK && repo->admin.was.n > 0 && st->holders + st->spooled < st->n)
	{
		rc = state_by_map(repo, &repo->admin.was, class_, id, attempt, &before, err);
		if (rc == SOV_OK && before.have)
		{
			before.conflict = before.conflict || (st->have && memcmp(before.info.content, st->info.content, 32) != 0);
			/* Half-way re-coded: the older shards are what counts. */
			if (st->holders < st->k || before.conflict)
				*st = before;
		}
		else if (before.absent < before.n - before.k + 1)
			st->absent = 0;		/* not certain by both maps */
	}
	repo_map_release(repo, fd);
	return rc;
}
