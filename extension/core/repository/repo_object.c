/*
 * repo_object.c - coded objects: one shard to each position, any k back.
 *
 * Where a slot lies is computed, never looked up: the provider map gives a
 * position per slot (rotated by the id), the position gives the provider, and
 * while a position is being moved also the previous provider.  The local spool
 * is one more place to read from: what it holds is as good as a shard.
 *
 * Reading never trusts an answer: a shard must open under K_outer, be the shard
 * that was asked for, and match its tags; otherwise it is named and the others
 * serve.  Where they are too few, older versions do that providers keep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"
#include "repo_private.h"
#include "sov_run.h"

#define WHOLE UINT64_MAX

enum sov_code
sov_repo_name(struct sov_repo *repo, const uint8_t provider[16], uint8_t class_, const char *id,
			  uint32_t generation, uint8_t slot, uint16_t attempt, char dst[SOV_NAME_MAX], struct sov_error *err)
{
	return sov_shard_object_name(repo->keys, provider, class_, id, generation, slot, attempt, dst, err);
}

static bool
uuid_set(const uint8_t uuid[16])
{
	static const uint8_t zero[16];

	return memcmp(uuid, zero, 16) != 0;
}

enum sov_code
repo_place(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation,
		   uint8_t slot, uint16_t attempt, struct repo_place *place, struct sov_error *err)
{
	const struct sov_map *map = repo_map_of(repo, generation);
	const struct sov_map_slot *pos;
	enum sov_code rc;

	memset(place, 0, sizeof *place);
	if (map == NULL || slot >= map->n)
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "no shard %d of generation %u is kept", slot, generation);
	place->position = sov_map_position(map, class_, id, slot);
	pos = place->pos = &map->pos[place->position];
	place->now = sov_repo_provider_of(repo, pos->uuid);
	place->before = -1;
	rc = sov_repo_name(repo, pos->uuid, class_, id, generation, slot, attempt, place->name_now, err);
	if (rc == SOV_OK && uuid_set(pos->prev_uuid))
	{
		place->before = sov_repo_provider_of(repo, pos->prev_uuid);
		rc = sov_repo_name(repo, pos->prev_uuid, class_, id, generation, slot, attempt, place->name_before, err);
	}
	return rc;
}

/* Section name under which a position's debt is kept. */
const char *
repo_place_alias(const struct sov_repo *repo, const struct repo_place *place)
{
	return place->now >= 0 ? repo->providers[place->now].cfg->name : place->pos->alias;
}

enum sov_code
repo_fetch(struct sov_repo *repo, const struct repo_place *place, uint64_t len,
		   struct sov_buf *out, int *from, struct sov_error *err)
{
	struct sov_error first;
	enum sov_code rc = SOV_E_PROVIDER;
	bool		sure = true;

	sov_error_clear(&first);
	*from = place->now;
	if (place->now >= 0)
		rc = repo_get(repo, place->now, place->name_now, 0, len, out, &first);
	else
		sov_fail(&first, SOV_E_PROVIDER, NULL, "provider %s is not configured", place->pos->alias);
	if (rc == SOV_OK)
		return SOV_OK;
	sure = rc == SOV_E_NOTFOUND;
	if (place->name_before[0] != '\0')
	{
		out->len = 0;
		*from = place->before;
		rc = place->before >= 0 ? repo_get(repo, place->before, place->name_before, 0, len, out, NULL) : SOV_E_PROVIDER;
		if (rc == SOV_OK)
			return SOV_OK;
		sure = sure && rc == SOV_E_NOTFOUND;
	}
	out->len = 0;
	*from = -1;
	if (repo_spool_get(repo, repo_place_alias(repo, place), place->name_now, out, NULL) == SOV_OK)
		return SOV_OK;
	out->len = 0;
	if (err)
		*err = first;
	if (sure)
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "no such object");
	if (err && err->code == SOV_E_NOTFOUND)	/* the previous place did not answer */
		sov_fail(err, SOV_E_PROVIDER, NULL, "provider %s is not configured or does not answer",
				 place->pos->prev_alias);
	return SOV_E_PROVIDER;
}

/* --- reading --- */

struct get_job
{
	struct sov_repo *repo;
	const struct sov_map *map;	/* by which it is looked for */
	uint8_t		class_;
	const char *id;
	uint32_t	generation;
	uint16_t	attempt;
	uint64_t	len;			/* WHOLE, or the header only */
	bool		looked_back;	/* at older versions */
	int			slots[SOV_EC_MAX];	/* of this round */
	int			at_once;		/* how many of them are asked without waiting */
	struct race race;
	/* by slot */
	enum slot_get { SLOT_UNASKED, SLOT_GOOD, SLOT_ABSENT, SLOT_UNKNOWN, SLOT_DAMAGED } state[SOV_EC_MAX];
	bool		from_spool[SOV_EC_MAX];
	struct sov_buf raw[SOV_EC_MAX];
	const uint8_t *body[SOV_EC_MAX];
	struct sov_shard_info info[SOV_EC_MAX];
};

/* The header must be that of the object and slot that were asked for. */
static enum sov_code
check_asked(const struct get_job *job, int slot, const struct sov_shard_info *info, struct sov_error *err)
{
	if (info->class_ != job->class_ || strcmp(info->id, job->id) != 0 || info->slot != slot ||
		info->generation != job->generation || info->attempt != job->attempt)
		return sov_fail(err, SOV_E_AUTH, NULL, "it is another shard (%c %s slot %d), put in this place",
						info->class_, info->id, info->slot);
	return SOV_OK;
}

/* What was read for a slot: is it the shard? */
static enum sov_code
check_slot(struct get_job *job, int slot, struct sov_error *err)
{
	uint64_t	tags_at,
				body_at;
	enum sov_code rc;

	if (job->len == WHOLE)
		rc = sov_shard_verify(job->repo->keys, job->raw[slot].data, job->raw[slot].len, &job->info[slot], &job->body[slot], err);
	else
		rc = sov_shard_parse(job->repo->keys, job->raw[slot].data, job->raw[slot].len, &job->info[slot], &tags_at, &body_at, err);
	return rc == SOV_OK ? check_asked(job, slot, &job->info[slot], err) : rc;
}

static void
read_slot(struct get_job *job, int slot, int *provider)
{
	struct repo_place place;
	struct sov_error err;
	int			from = -1;
	enum sov_code rc;

	sov_error_clear(&err);
	job->raw[slot].len = 0;
	rc = repo_place(job->repo, job->class_, job->id, job->generation, (uint8_t) slot, job->attempt, &place, &err);
	*provider = rc == SOV_OK ? place.now : -1;
	if (rc == SOV_OK)
		rc = repo_fetch(job->repo, &place, job->len, &job->raw[slot], &from, &err);
	if (rc != SOV_OK)
	{
		job->state[slot] = rc == SOV_E_NOTFOUND ? SLOT_ABSENT : SLOT_UNKNOWN;
		return;
	}
	job->from_spool[slot] = from < 0;
	rc = check_slot(job, slot, &err);
	job->state[slot] = rc == SOV_OK ? SLOT_GOOD : SLOT_DAMAGED;
	if (rc != SOV_OK)
	{
		__atomic_add_fetch(&job->repo->damaged_shards, 1, __ATOMIC_RELAXED);
		repo_note(job->repo, "%s %s: object %s (%c %s, slot %d) is damaged: %s; the other providers serve instead",
				  from < 0 ? "the spool of provider" : "provider", from < 0 ? repo_place_alias(job->repo, &place) : job->repo->providers[from].cfg->name,
				  from >= 0 && from == place.before && from != place.now ? place.name_before : place.name_now,
				  job->class_, job->id, slot, err.message);
	}
}

struct older
{
	struct get_job *job;
	int			slot;
};

static enum sov_code
check_older(void *ctx, struct sov_buf *raw, struct sov_error *err)
{
	struct older *o = ctx;

	(void) raw;					/* it is the slot's own */
	return check_slot(o->job, o->slot, err);
}

/* A slot whose shard is not there or not good, also the one that was not to be used as
 * it is now.  One that could not be asked is not asked for more. */
static void
look_back_at(int slot, void *arg)
{
	struct older o = {.job = arg, .slot = slot};
	struct repo_place place;

	if (o.job->state[slot] == SLOT_GOOD || o.job->state[slot] == SLOT_UNKNOWN ||
		repo_place(o.job->repo, o.job->class_, o.job->id, o.job->generation, (uint8_t) slot, o.job->attempt, &place, NULL) != SOV_OK)
		return;
	if (repo_older_at(o.job->repo, &place, check_older, &o, &o.job->raw[slot]))
		o.job->state[slot] = SLOT_GOOD;
}

/* For who wants to know of every slot: no race. */
static void
ask_slot(int slot, void *arg)
{
	int			provider;

	read_slot(arg, slot, &provider);
}

/* One of a race for as many as a group needs. */
static void
get_slot(int i, void *arg)
{
	struct get_job *job = arg;
	int			slot = job->slots[i],
				provider = -1;
	int64_t		started = race_enter(&job->race, i < job->at_once);
	enum race_end end;

	if (started == 0)
		return;
	read_slot(job, slot, &provider);
	end = race_leave(&job->race, started, job->state[slot] == SLOT_GOOD);
	if (end != RACE_RUN)
		job->state[slot] = SLOT_UNASKED;
	if (end == RACE_SLOW)
		repo_call_slow(job->repo, provider);
}

static void
get_job_init(struct get_job *job, struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id,
			 uint16_t attempt, uint64_t len)
{
	memset(job, 0, sizeof *job);
	job->repo = repo;
	job->map = map;
	job->class_ = class_;
	job->id = id;
	job->generation = map->generation;
	job->attempt = attempt;
	job->len = len;
}

static void
get_job_free(struct get_job *job)
{
	for (int s = 0; s < SOV_EC_MAX; s++)
		sov_buf_free(&job->raw[s]);
	free(job);
}

/* The largest group among the good slots: its size, and a slot of it. */
static int
largest_group(const struct get_job *job, int n, int *leader, int *groups_whole)
{
	int			best = 0;

	*leader = -1;
	*groups_whole = 0;
	for (int a = 0; a < n; a++)
	{
		int			count = 0;
		bool		first = true;

		if (job->state[a] != SLOT_GOOD)
			continue;
		for (int b = 0; b < n; b++)
		{
			if (job->state[b] != SLOT_GOOD || !sov_shard_same_group(&job->info[a], &job->info[b]))
				continue;
			if (b < a)
				first = false;
			count++;
		}
		if (first && count >= job->info[a].k)
			(*groups_whole)++;
		if (count > best)
		{
			best = count;
			*leader = a;
		}
	}
	return best;
}

static int
count_state(const struct get_job *job, int n, int state)
{
	int			count = 0;

	for (int s = 0; s < n; s++)
		count += (int) job->state[s] == state;
	return count;
}

void
repo_list_places(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
				 const bool absent[SOV_EC_MAX], const bool damaged[SOV_EC_MAX], char *dst, size_t cap)
{
	struct repo_place place;
	size_t		used = 0;

	dst[0] = '\0';
	for (int s = 0; s < map->n; s++)
		if ((absent[s] || damaged[s]) && used < cap &&
			repo_place(repo, class_, id, map->generation, (uint8_t) s, attempt, &place, NULL) == SOV_OK)
			used += (size_t) snprintf(dst + used, cap - used, "; provider %s, object %s: %s", repo_place_alias(repo, &place),
									  place.name_now, damaged[s] ? "damaged" : "absent");
}

static enum sov_code
explain_missing(const struct get_job *job, int n, struct sov_error *err)
{
	bool		is_absent[SOV_EC_MAX] = {false},
				is_damaged[SOV_EC_MAX] = {false};
	int			k = job->map->k;
	int			good = count_state(job, n, SLOT_GOOD),
				absent = count_state(job, n, SLOT_ABSENT),
				unknown = count_state(job, n, SLOT_UNKNOWN),
				damaged = count_state(job, n, SLOT_DAMAGED);
	char		down[400],
				where[400];

	if (good == 0 && damaged == 0 && absent >= n - k + 1)
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "%c %s is at no provider", job->class_, job->id);
	for (int s = 0; s < n; s++)
	{
		is_absent[s] = job->state[s] == SLOT_ABSENT;
		is_damaged[s] = job->state[s] == SLOT_DAMAGED;
	}
	repo_list_places(job->repo, job->map, job->class_, job->id, job->attempt, is_absent, is_damaged, where, sizeof where);
	repo_provider_down_list(job->repo, down, sizeof down);
	if (unknown > 0)
	{
		sov_fail(err, SOV_E_QUORUM, "bring back one of the providers that do not answer",
				 "%c %s: %d shards are needed, %d were read, %d are damaged, %d absent, %d out of reach: %s%s",
				 job->class_, job->id, k, good, damaged, absent, unknown, down, where);
		if (err)
			err->retryable = true;
		return SOV_E_QUORUM;
	}
	return sov_fail(err, SOV_E_CORRUPT, "run 'pg_sovereign verify --deep' to see what is left",
					"%c %s: %d shards are needed, but %d were read, %d are damaged and %d absent%s",
					job->class_, job->id, k, good, damaged, absent, where);
}

/* The slots not asked yet: data slots first, those at slow providers last. */
static int
order_slots(struct get_job *job, int skip_slot)
{
	int			count = 0;

	for (int slow = 0; slow <= 1; slow++)
		for (int s = 0; s < job->map->n; s++)
		{
			int			at = sov_map_position(job->map, job->class_, job->id, (uint8_t) s);

			if (s != skip_slot && job->state[s] == SLOT_UNASKED &&
				repo_is_slow(job->repo, sov_repo_provider_of(job->repo, job->map->pos[at].uuid)) == (slow != 0))
				job->slots[count++] = s;
		}
	return count;
}

/* Fetch until one group is whole. */
static enum sov_code
gather(struct get_job *job, int skip_slot, int *leader, struct sov_error *err)
{
	int			n = job->map->n,
				k = repo_needed(job->map, job->class_, job->id),
				best = 0,
				whole;

	*leader = -1;
	for (;;)
	{
		int			want = (*leader >= 0 ? job->info[*leader].k : k) - best,
					left;

		if (*leader >= 0 && want <= 0)
			return SOV_OK;
		left = order_slots(job, skip_slot);
		if (left == 0 && job->looked_back)
			return explain_missing(job, n, err);
		if (left == 0)
		{
			job->looked_back = true;
			sov_parallel(n, look_back_at, job);
			best = largest_group(job, n, leader, &whole);
			continue;
		}
		job->at_once = want;
		race_begin(&job->race, want, RACE_LEAST_US);
		sov_parallel(left, get_slot, job);
		race_over(&job->race);
		best = largest_group(job, n, leader, &whole);
	}
}

/* The slots and bodies of the leader's group. */
static int
group_members(const struct get_job *job, int n, int leader, int *slots, const uint8_t **bodies)
{
	int			count = 0;

	for (int s = 0; s < n && count < job->info[leader].k; s++)
		if (job->state[s] == SLOT_GOOD && sov_shard_same_group(&job->info[s], &job->info[leader]))
		{
			slots[count] = s;
			bodies[count++] = job->body[s];
		}
	return count;
}

/* From the shards that lie by one map. */
static enum sov_code
get_by_map(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
		   struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err)
{
	struct get_job *job = malloc(sizeof *job);
	int			slots[SOV_EC_MAX],
				leader;
	const uint8_t *bodies[SOV_EC_MAX];
	enum sov_code rc;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	get_job_init(job, repo, map, class_, id, attempt, WHOLE);
	rc = gather(job, -1, &leader, err);
	if (rc == SOV_OK)
	{
		group_members(job, map->n, leader, slots, bodies);
		rc = sov_shard_decode(&job->info[leader], slots, bodies, sealed, err);
		if (info)
			*info = job->info[leader];
	}
	get_job_free(job);
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
	sov_wipe(shares, sizeof shares);
	return rc;
}

static enum sov_code
rebuild_shard(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
			  uint8_t slot, struct sov_buf *object, struct sov_error *err)
{
	struct get_job *job = malloc(sizeof *job);
	int			slots[SOV_EC_MAX],
				leader;
	const uint8_t *bodies[SOV_EC_MAX];
	enum sov_code rc;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	get_job_init(job, repo, map, class_, id, attempt, WHOLE);
	rc = gather(job, slot, &leader, err);
	if (rc == SOV_OK)
	{
		group_members(job, map->n, leader, slots, bodies);
		rc = sov_shard_rebuild(repo->keys, &job->info[leader], slots, bodies, slot, object, err);
	}
	get_job_free(job);
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
	struct get_job *job = malloc(sizeof *job);
	int			leader,
				whole;

	memset(st, 0, sizeof *st);
	st->k = map->k;
	st->n = map->n;
	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	get_job_init(job, repo, map, class_, id, attempt, SOV_SHARD_HEAD_MAX);
	sov_parallel(map->n, ask_slot, job);
	largest_group(job, map->n, &leader, &whole);
	st->absent = count_state(job, map->n, SLOT_ABSENT);
	st->unknown = count_state(job, map->n, SLOT_UNKNOWN) + count_state(job, map->n, SLOT_DAMAGED);
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
	get_job_free(job);
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
