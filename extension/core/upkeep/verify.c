/*
 * verify.c - find and mend what is missing or damaged.
 *
 * Three questions, in this order:
 *   1. Are the objects that are stored whole (heads, keyrings) good everywhere?
 *   2. Does what must exist exist: every piece, pack and run of every backup,
 *      and the WAL from each backup's start on?  Only this finds an object of
 *      which no shard is left.
 *   3. Is every shard of every object where it must be, and (deep, sample) are
 *      its bytes right?  What is not is rebuilt from k others where asked for
 *      (verify_shards.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_private.h"

void
verify_report(struct verify *v, enum sov_problem_kind kind, const char *provider, const char *object,
	   const char *what, const char *message, bool mended)
{
	char		all[800];
	struct sov_problem p = {kind, provider, object, what, all, mended};

	snprintf(all, sizeof all, "%s%s%s", message, mended || v->why_not[0] == '\0' ? "" : "; it was not mended: ", mended ? "" : v->why_not);
	v->why_not[0] = '\0';
	v->res->missing += kind == SOV_PROBLEM_MISSING;
	v->res->damaged += kind == SOV_PROBLEM_DAMAGED;
	v->res->lost += kind == SOV_PROBLEM_LOST;
	v->res->mended += mended;
	for (int i = 0; i < v->repo->n_providers && !mended; i++)
		v->bad[i] += strcmp(v->repo->providers[i].cfg->name, provider) == 0;
	if (v->opt->problem)
		v->opt->problem(v->opt->ctx, &p);
}

void
verify_lost(struct verify *v, uint8_t class_, const char *id, const char *what, const char *message)
{
	/* not for sure while a provider is out of reach */
	if ((class_ == SOV_CLASS_PACK || class_ == SOV_CLASS_RUN) && v->res->providers_asked == v->res->providers)
		(void) id_set_put(&v->lost, SOV_CLASS_PACK, id);
	verify_report(v, SOV_PROBLEM_LOST, "", "", what, message, false);
}

bool
verify_cancelled(struct verify *v, struct sov_error *err)
{
	if (v->progress == NULL || v->progress->cancelled == NULL || !v->progress->cancelled(v->progress->ctx))
		return false;
	sov_fail(err, SOV_E_CANCELLED, "run it again: what was mended stays mended", "cancelled");
	return true;
}

/* --- 1: objects stored whole --- */

bool
verify_put_back(struct verify *v, int provider, const char *name, const struct sov_buf *object, char why[VERIFY_WHY])
{
	struct sov_put_span span = {object->data, object->len};
	struct sov_error err;

	if (repo_put(v->repo, provider, name, &span, 1, false, &err) == SOV_OK)
		return true;
	snprintf(why, VERIFY_WHY, "%.300s", err.message);
	return false;
}

static void
mend_whole(struct verify *v, int i, const char *name, const char *message, enum sov_problem_kind kind)
{
	struct sov_repo *repo = v->repo;
	struct sov_buf good = {0};
	struct sov_error err;
	bool		mended = false;

	if (v->opt->repair && sov_whole_read(repo, name, &good, &err) == SOV_OK)
		mended = verify_put_back(v, i, name, &good, v->why_not);
	sov_buf_free(&good);
	verify_report(v, kind, repo->providers[i].cfg->name, name, name[0] == 'k' ? "keyring" : name[0] == 'l' ? "audit log" : "head", message, mended);
}

static enum sov_code
check_whole(struct verify *v, struct sov_error *err)
{
	struct sov_repo *repo = v->repo;
	struct sov_buf names = {0},
				raw = {0};
	struct sov_error why;
	enum sov_code rc = sov_whole_names(repo, &names, err);

	for (size_t at = 0; rc == SOV_OK && at < names.len; at += strlen((char *) names.data + at) + 1)
	{
		const char *name = (char *) names.data + at;

		for (int i = 0; i < repo->n_providers; i++)
		{
			enum sov_code one;

			if (!repo->providers[i].known)
				continue;
			raw.len = 0;
			one = repo_get(repo, i, name, 0, UINT64_MAX, &raw, &why);
			if (one == SOV_E_NOTFOUND)
				mend_whole(v, i, name, "it is not there", SOV_PROBLEM_MISSING);
			else if (one == SOV_OK && sov_whole_check(repo, name, raw.data, raw.len, &why) != SOV_OK)
				mend_whole(v, i, name, why.message, SOV_PROBLEM_DAMAGED);
			v->res->bytes_read += raw.len;
		}
	}
	sov_buf_free(&names);
	sov_buf_free(&raw);
	return rc;
}

/* --- 2: what must exist --- */

static enum sov_code
check_backups(struct verify *v, struct sov_error *err)
{
	enum sov_code rc = sov_repo_catalogue(v->repo, &v->cat, err);

	if (rc == SOV_OK && (v->backups = calloc(v->cat.n + 1, sizeof *v->backups)) == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc != SOV_OK)
		return rc;
	for (int i = 0; i < v->repo->n_heads; i++)
		if (v->repo->heads[i].has_catalogue)
			(void) id_set_put(&v->used, SOV_CLASS_META, v->repo->heads[i].catalogue.id);
	v->res->backups = v->cat.n;
	for (uint32_t i = 0; i < v->cat.n; i++)
		v->backups[i] = &v->cat.backups[i];
	for (uint32_t i = 0; i < v->cat.n && !verify_cancelled(v, err); i++)
	{
		char		what[SOV_ID_MAX + 10];

		if (verify_backup(v, &v->cat.backups[i]))
		{
			v->res->backups_whole++;
			continue;
		}
		snprintf(what, sizeof what, "backup %s", v->cat.backups[i].id);
		verify_report(v, SOV_PROBLEM_LOST, "", "", what, "it cannot be restored from what is within reach", false);
	}
	return SOV_OK;
}

enum sov_code
sov_verify_run(struct sov_repo *repo, const struct sov_verify_options *opt, const struct sov_progress *progress,
			   struct sov_verify_result *res, struct sov_error *err)
{
	struct verify v = {.repo = repo, .opt = opt, .progress = progress, .res = res, .lock = PTHREAD_MUTEX_INITIALIZER, .started_us = repo_mono_us()};
	uint64_t	shards = 0;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	res->providers = repo->admin.map.n;
	rc = sov_inventory_read(repo, &v.inv, err);
	if (rc != SOV_OK)
		return rc;
	v.damaged_used = calloc(v.inv.n_damaged + 1, sizeof *v.damaged_used);
	if (v.damaged_used == NULL)
	{
		sov_inventory_free(&v.inv);
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	for (size_t i = 0; i < v.inv.n_items; i++)
	{
		v.total += v.inv.items[i].size * v.inv.items[i].n;
		shards += (uint64_t) __builtin_popcount(v.inv.items[i].have);
	}
	v.sample_rate = opt->deep ? 1 : shards > 0 ? (double) opt->sample / (double) shards : 0;
	for (int i = 0; i < repo->n_providers; i++)
	{
		res->providers_asked += v.inv.asked[i];
		repo->priv->counted[i] = v.inv.asked[i];
		repo->priv->counted_bytes[i] = v.inv.bytes[i];
	}
	res->tolerates = repo->admin.map.n - repo->admin.map.k;

	rc = check_whole(&v, err);
	if (rc == SOV_OK)
		rc = check_backups(&v, err);
	v.used_known = res->backups == res->backups_whole && repo->priv->ahead_us == 0;
	if (rc == SOV_OK)
		rc = verify_shards(&v, err);
	if (rc == SOV_OK)
		trust_note_lost(repo, &v.lost, opt->deep);
	if (rc == SOV_OK && opt->repair)
		repo_sweep_old(repo);
	if (rc == SOV_OK && opt->repair && res->providers_asked == res->providers && res->lost == 0 && res->missing + res->damaged == res->mended)
		repo_spool_drop_aside(repo);
	if (rc == SOV_OK && v.sample_rate > 0)
		rc = proven_write(repo, v.checked, v.bad, err);
	res->has_mark = sov_repo_mark(repo, 0, &res->mark);
	res->seconds = (double) (repo_mono_us() - v.started_us) / 1e6;
	free(v.damaged_used);
	free(v.backups);
	sov_catalogue_free(&v.cat);
	id_set_free(&v.pieces);
	id_set_free(&v.used);
	id_set_free(&v.lost);
	sov_inventory_free(&v.inv);
	return rc;
}
