/*
 * repo_gather.c - the shards of one object, read until enough of them agree.
 *
 * As many slots as are needed are asked at once, data slots first and slow providers
 * last; the others are asked when these are late or not good (race.h).  Shards count
 * together that say the same of their object: a group.
 *
 * Reading never trusts an answer: a shard must open under K_outer, be the shard
 * that was asked for, and match its tags; otherwise it is named and the others
 * serve.  Where they are too few, older versions do that providers keep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_gather.h"

/* The header must be that of the object and slot that were asked for. */
static enum sov_code
check_asked(const struct gather *job, int slot, const struct sov_shard_info *info, struct sov_error *err)
{
	if (info->class_ != job->class_ || strcmp(info->id, job->id) != 0 || info->slot != slot ||
		info->generation != job->generation || info->attempt != job->attempt)
		return sov_fail(err, SOV_E_AUTH, NULL, "it is another shard (%c %s slot %d), put in this place",
						info->class_, info->id, info->slot);
	return SOV_OK;
}

/* What was read for a slot: is it the shard? */
static enum sov_code
check_slot(struct gather *job, int slot, struct sov_error *err)
{
	uint64_t	tags_at,
				body_at;
	enum sov_code rc;

	if (job->len == GATHER_WHOLE)
		rc = sov_shard_verify(job->repo->keys, job->raw[slot].data, job->raw[slot].len, &job->info[slot], &job->body[slot], err);
	else
		rc = sov_shard_parse(job->repo->keys, job->raw[slot].data, job->raw[slot].len, &job->info[slot], &tags_at, &body_at, err);
	return rc == SOV_OK ? check_asked(job, slot, &job->info[slot], err) : rc;
}

static void
read_slot(struct gather *job, int slot, int *provider)
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
	struct gather *job;
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

void
gather_ask(int slot, void *arg)
{
	int			provider;

	read_slot(arg, slot, &provider);
}

/* One of a race for as many as a group needs. */
static void
get_slot(int i, void *arg)
{
	struct gather *job = arg;
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

void
gather_init(struct gather *job, struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id,
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

void
gather_free(struct gather *job)
{
	for (int s = 0; s < SOV_EC_MAX; s++)
		sov_buf_free(&job->raw[s]);
	free(job);
}

int
gather_group(const struct gather *job, int n, int *leader, int *groups_whole)
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

int
gather_count(const struct gather *job, int n, int state)
{
	int			count = 0;

	for (int s = 0; s < n; s++)
		count += (int) job->state[s] == state;
	return count;
}

static enum sov_code
explain_missing(const struct gather *job, int n, int skip_slot, struct sov_error *err)
{
	bool		is_absent[SOV_EC_MAX] = {false},
				is_damaged[SOV_EC_MAX] = {false};
	int			k = job->map->k;
	int			good = gather_count(job, n, SLOT_GOOD),
				absent = gather_count(job, n, SLOT_ABSENT),
				unknown = gather_count(job, n, SLOT_UNKNOWN),
				damaged = gather_count(job, n, SLOT_DAMAGED);
	char		down[400],
				where[400];

	/* of a copy of its own at every provider that is all the others */
	if (good == 0 && damaged == 0 && (absent >= n - k + 1 || (skip_slot >= 0 && absent == n - 1)))
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
order_slots(struct gather *job, int skip_slot)
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

enum sov_code
gather_shards(struct gather *job, int skip_slot, int *leader, struct sov_error *err)
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
			return explain_missing(job, n, skip_slot, err);
		if (left == 0)
		{
			job->looked_back = true;
			sov_parallel(n, look_back_at, job);
			best = gather_group(job, n, leader, &whole);
			continue;
		}
		job->at_once = want;
		race_begin(&job->race, want, RACE_LEAST_US);
		sov_parallel(left, get_slot, job);
		race_over(&job->race);
		best = gather_group(job, n, leader, &whole);
	}
}

int
gather_members(const struct gather *job, int n, int leader, int *slots, const uint8_t **bodies)
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
