/*
 * repo_put.c - writing objects: every slot of a shard set to its provider.
 *
 * What a provider cannot take goes to the spool, or is owed.  Each class of object has
 * its rule for how many holders make a put good (sov_repo.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"
#include "sov_run.h"

struct put_job
{
	struct sov_repo *repo;
	const struct sov_shard_set *set;	/* shards, or */
	const struct sov_buf *whole;		/* whole objects (run shares) */
	uint8_t		class_;
	const char *id;
	uint32_t	generation;
	uint16_t	attempt;
	bool		one_more;		/* than k must hold it */
	enum slot_put { SLOT_OWED, SLOT_SPOOLED, SLOT_HELD } outcome[SOV_EC_MAX];
	uint64_t	stored[SOV_EC_MAX];
	struct sov_error err[SOV_EC_MAX];
};

static void
put_slot(int slot, void *arg)
{
	struct put_job *job = arg;
	struct sov_repo *repo = job->repo;
	struct repo_place place;
	struct sov_put_span spans[2];
	char		marker[SOV_ID_MAX + 64];
	int			n = 1;
	bool		kept;
	enum sov_code rc;

	if (job->outcome[slot] == SLOT_HELD)	/* in the round before */
		return;
	job->outcome[slot] = SLOT_OWED;
	rc = repo_place(repo, job->class_, job->id, job->generation, (uint8_t) slot, job->attempt, &place, &job->err[slot]);
	if (rc != SOV_OK)
		return;
	if (job->set != NULL)
	{
		spans[0] = (struct sov_put_span) {job->set->prefix[slot].data, job->set->prefix[slot].len};
		spans[1] = (struct sov_put_span) {job->set->body[slot], job->set->info.shard_len};
		n = 2;
	}
	else
		spans[0] = (struct sov_put_span) {job->whole[slot].data, job->whole[slot].len};
	if (place.now >= 0)
		rc = repo_put(repo, place.now, place.name_now, spans, n, false, &job->err[slot]);
	else
		rc = sov_fail(&job->err[slot], SOV_E_PROVIDER, NULL, "provider %s is not configured",
					  place.pos->alias);
	if (rc == SOV_OK)
	{
		/* or it would be put over this one later */
		repo_spool_forget(repo, repo_place_alias(repo, &place), place.name_now);
		job->outcome[slot] = SLOT_HELD;
		job->stored[slot] = spans[0].len + (n > 1 ? spans[1].len : 0);
		return;
	}
	snprintf(marker, sizeof marker, "%c %s %u %u %d", job->class_, job->id, job->generation, job->attempt, slot);
	repo_spool_put(repo, repo_place_alias(repo, &place), place.name_now, spans, n, marker, &kept);
	if (kept)
		job->outcome[slot] = SLOT_SPOOLED;
}

/* Count outcomes and apply the rule of the class (sov_repo.h). */
static enum sov_code
judge_put(struct put_job *job, int k, int n, struct sov_put_result *res, struct sov_error *err)
{
	struct sov_put_result r = {0};
	char		why[512];
	size_t		used = 0;
	bool		enough;

	why[0] = '\0';
	for (int s = 0; s < n; s++)
	{
		r.holders += job->outcome[s] == SLOT_HELD;
		r.spooled += job->outcome[s] == SLOT_SPOOLED;
		r.owed += job->outcome[s] == SLOT_OWED;
		r.stored += job->stored[s];
		if (job->outcome[s] != SLOT_HELD && used < sizeof why)
			used += (size_t) snprintf(why + used, sizeof why - used, "%s%.150s", used ? "; " : "", job->err[s].message);
	}
	if (res)
		*res = r;
	enough = r.holders == n ||
		(r.holders >= k && (!job->one_more || r.holders + r.spooled >= k + 1));
	if (enough)
		return SOV_OK;
	sov_fail(err, SOV_E_QUORUM, "bring a provider back, or replace it in the configuration and run 'pg_sovereign apply'",
			 "only %d of %d providers could take %s, and %d are needed: %s", r.holders, n, job->id,
			 job->one_more ? k + 1 - (r.spooled ? 1 : 0) : k, why);
	if (err)
		err->retryable = true;
	return SOV_E_QUORUM;
}

/* When too few take it, those are asked that were only waited for. */
static enum sov_code
put_slots(struct put_job *job, int k, int n, struct sov_put_result *res, struct sov_error *err)
{
	int64_t		began_us = repo_mono_us();
	enum sov_code rc;

	sov_parallel(n, put_slot, job);
	rc = judge_put(job, k, n, res, err);
	if (rc != SOV_OK && repo_ask_again(job->repo, began_us))
	{
		sov_parallel(n, put_slot, job);
		rc = judge_put(job, k, n, res, err);
	}
	return rc;
}

enum sov_code
sov_repo_put_sealed(struct sov_repo *repo, const struct sov_shard_info *info,
					const uint8_t *sealed, size_t len, struct sov_put_result *res, struct sov_error *err)
{
	struct sov_shard_set set;
	struct sov_shard_info now = *info;
	struct put_job *job = calloc(1, sizeof *job);
	int			fd;
	enum sov_code rc;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = repo_map_hold(repo, true, &fd, err);
	if (rc != SOV_OK)
	{
		free(job);
		return rc;
	}
	now.k = repo_needed(&repo->admin.map, info->class_, info->id);
	now.n = repo->admin.map.n;
	now.generation = repo->admin.map.generation;
	rc = sov_shard_encode(repo->keys, &now, sealed, len, &set, err);
	if (rc == SOV_OK)
	{
		job->repo = repo;
		job->set = &set;
		job->class_ = now.class_;
		job->id = now.id;
		job->generation = now.generation;
		job->attempt = now.attempt;
		job->one_more = now.class_ == SOV_CLASS_WAL;
		rc = put_slots(job, repo->admin.map.k, now.n, res, err);
		sov_shard_set_free(&set);
	}
	repo_map_release(repo, fd);
	free(job);
	return rc;
}

static enum sov_code
begin_run(struct sov_repo *repo, bool for_wal, struct sov_run **out, struct sov_error *err)
{
	int			k,
				n;
	struct sov_buf objects[SOV_EC_MAX] = {{0}};
	struct put_job *job = calloc(1, sizeof *job);
	struct sov_run *run = NULL;
	char		id[33];
	int			fd;
	enum sov_code rc;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = sov_repo_may_write(repo, err);
	if (rc == SOV_OK)
		rc = repo_map_hold(repo, true, &fd, err);
	if (rc != SOV_OK)
	{
		free(job);
		return rc;
	}
	k = repo->admin.map.k;
	n = repo->admin.map.n;
	rc = sov_run_create(repo->keys, &run, err);
	if (rc == SOV_OK)
		rc = sov_run_split(repo->keys, run, k, n, objects, err);
	if (rc == SOV_OK)
	{
		sov_hex(id, run->id, 16);
		job->repo = repo;
		job->generation = repo->admin.map.generation;
		job->whole = objects;
		job->class_ = SOV_CLASS_RUN;
		job->id = id;
		job->one_more = for_wal;
		rc = put_slots(job, k, n, NULL, err);
	}
	repo_map_release(repo, fd);
	for (int i = 0; i < n; i++)
		sov_buf_free(&objects[i]);
	free(job);
	if (rc != SOV_OK)
	{
		sov_run_free(run);
		return rc;
	}
	*out = run;
	return SOV_OK;
}

enum sov_code
sov_repo_run_begin(struct sov_repo *repo, struct sov_run **out, struct sov_error *err)
{
	return begin_run(repo, false, out, err);
}

enum sov_code
sov_repo_run_begin_for_wal(struct sov_repo *repo, struct sov_run **out, struct sov_error *err)
{
	return begin_run(repo, true, out, err);
}

enum sov_code
repo_run_fresh(struct sov_repo *repo, struct sov_run **run, int64_t begun_us, struct sov_error *err)
{
	struct sov_run *fresh;
	enum sov_code rc;

	if (repo_mono_us() - begun_us < INT64_C(1000000) * REPO_RUN_GRACE / 2)
		return SOV_OK;
	rc = sov_repo_run_begin(repo, &fresh, err);
	if (rc != SOV_OK)
		return rc;
	sov_run_free(*run);
	*run = fresh;
	return SOV_OK;
}
