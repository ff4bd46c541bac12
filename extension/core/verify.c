/*
 * verify.c - find and mend what is missing or damaged.
 *
 * Three questions, in this order:
 *   1. Are the objects that are stored whole (heads, keyrings) good everywhere?
 *   2. Does what must exist exist: every piece, pack and run of every backup,
 *      and the WAL from each backup's start on?  Only this finds an object of
 *      which no shard is left.
 *   3. Is every shard of every object where it must be, and (deep, sample) are
 *      its bytes right?  What is not is rebuilt from k others where asked for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static bool
cancelled(struct verify *v, struct sov_error *err)
{
	if (v->progress == NULL || v->progress->cancelled == NULL || !v->progress->cancelled(v->progress->ctx))
		return false;
	sov_fail(err, SOV_E_CANCELLED, NULL, "cancelled");
	return true;
}

static void
step(struct verify *v, uint64_t bytes)
{
	int64_t		due = repo_due_us(v->started_us, v->res->bytes_read, v->opt->max_rate);

	while (repo_mono_us() < due && !cancelled(v, NULL))
		usleep(10000);
	v->done += bytes;
	if (v->progress && v->progress->update)
		v->progress->update(v->progress->ctx, v->done, v->total);
}

/* --- 1: objects stored whole --- */

/* Put a good object in a bad one's place. */
static bool
put_back(struct verify *v, int provider, const char *name, const struct sov_buf *object)
{
	struct sov_put_span span = {object->data, object->len};
	struct sov_error err;

	if (repo_put(v->repo, provider, name, &span, 1, false, &err) == SOV_OK)
		return true;
	snprintf(v->why_not, sizeof v->why_not, "%.300s", err.message);
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
		mended = put_back(v, i, name, &good);
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

/* --- 3: shards --- */

static bool
mend_slot(struct verify *v, const struct sov_inventory_item *it, int slot, const struct repo_place *place)
{
	struct sov_buf object = {0};
	struct sov_error err;
	bool		mended;

	if (!v->opt->repair || place->now < 0 || !v->repo->providers[place->now].known)
		return false;
	mended = sov_repo_rebuild(v->repo, it->class_, it->id, it->generation, it->attempt, (uint8_t) slot, &object, &err) == SOV_OK &&
		put_back(v, place->now, place->name_now, &object);
	sov_buf_free(&object);
	return mended;
}

/* The header scan's verdict on the object of this name at this provider. */
static const struct sov_damaged *
find_damaged(struct verify *v, int provider, const char *name)
{
	for (size_t i = 0; i < v->inv.n_damaged; i++)
		if (v->inv.damaged[i].provider == provider && strcmp(v->inv.damaged[i].name, name) == 0)
		{
			v->damaged_used[i] = true;
			return &v->inv.damaged[i];
		}
	return NULL;
}

/* Read one shard whole and check every byte. */
static enum sov_code
check_bytes(struct verify *v, const struct sov_inventory_item *it, int slot, const struct repo_place *place, struct sov_error *err)
{
	struct sov_buf raw = {0};
	struct sov_shard_info info;
	struct sov_run_share *share;
	const uint8_t *body;
	enum sov_code rc = repo_get(v->repo, place->now, place->name_now, 0, UINT64_MAX, &raw, err);

	v->res->bytes_read += raw.len;
	if (rc == SOV_OK && it->class_ == SOV_CLASS_RUN)
	{
		share = sov_secret_alloc(sizeof *share, err);
		rc = share ? sov_run_share_parse(v->repo->keys, raw.data, raw.len, share, err) : SOV_E_NOMEM;
		if (rc == SOV_OK && (share->slot != slot || memcmp(share->run, it->run, 16) != 0))
			rc = sov_fail(err, SOV_E_AUTH, NULL, "another run's share lies here");
		sov_secret_free(share);
	}
	else if (rc == SOV_OK)
	{
		rc = sov_shard_verify(v->repo->keys, raw.data, raw.len, &info, &body, err);
		if (rc == SOV_OK && !sov_inventory_is(it, slot, &info))
			rc = sov_fail(err, SOV_E_AUTH, NULL, "another shard lies here");
	}
	sov_buf_free(&raw);
	return rc;
}

static bool
drawn(const struct verify *v)
{
	uint32_t	r = 0;

	if (v->sample_rate >= 1)
		return true;
	if (v->sample_rate <= 0 || sov_random(&r, sizeof r, NULL) != SOV_OK)
		return false;
	return r / 4294967296.0 < v->sample_rate;
}

/* *good counts shards that a restore can use now. */
static void
check_slot(struct verify *v, const struct sov_inventory_item *it, int slot, int *good)
{
	char		what[SOV_ID_MAX + 40];
	struct repo_place place;
	struct sov_error err;
	const struct sov_damaged *d;
	struct sov_object_stat st;
	const char *provider;
	enum sov_code rc;

	if (repo_place(v->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, &err) != SOV_OK)
		return;
	snprintf(what, sizeof what, "%s %s slot %d", verify_class_word(it->class_), it->id, slot);
	provider = place.now >= 0 ? v->repo->providers[place.now].cfg->name : place.pos->alias;
	if (it->have & 1u << slot)
	{
		v->res->shards++;
		rc = SOV_OK;
		if (drawn(v))
		{
			v->checked[place.now]++;
			rc = check_bytes(v, it, slot, &place, &err);
		}
		if (rc == SOV_OK)
			(*good)++;
		else if (rc != SOV_E_PROVIDER)
		{
			bool		mended = mend_slot(v, it, slot, &place);

			*good += mended;
			verify_report(v, rc == SOV_E_NOTFOUND ? SOV_PROBLEM_MISSING : SOV_PROBLEM_DAMAGED, provider, place.name_now, what, err.message, mended);
		}
		return;
	}
	if (it->before & 1u << slot)
	{
		(*good)++;				/* still being moved */
		return;
	}
	if (place.now < 0 || !v->inv.asked[place.now])
		return;					/* out of reach: not counted, not missing for sure */
	d = find_damaged(v, place.now, place.name_now);
	/* It may have come since this provider was listed: archiving goes on. */
	if (d == NULL && repo_stat(v->repo, place.now, place.name_now, &st, NULL) == SOV_OK)
	{
		v->res->shards++;
		(*good)++;
		return;
	}
	{
		bool		mended = mend_slot(v, it, slot, &place);

		*good += mended;
		if (mended && d == NULL)
			v->repo->priv->counted_bytes[place.now] += it->size;
		if (!mended && repo_spool_has(v->repo, provider, place.name_now))
			(*good)++;
		verify_report(v, d ? SOV_PROBLEM_DAMAGED : SOV_PROBLEM_MISSING, provider, place.name_now, what,
			   d ? d->message : "it is not there", mended);
	}
}

static bool
wal_needed(struct verify *v, const char *name)
{
	enum sov_wal_kind kind;
	uint32_t	timeline;

	if (v->backups == NULL || !sov_wal_name(name, &kind, &timeline))
		return true;
	if (timeline != v->wal.timeline && wal_needed_read(v->repo, v->backups, v->cat.n, timeline, &v->wal, NULL) != SOV_OK)
		return true;
	return wal_needed_has(&v->wal, name);
}

/* Nothing refers to it, as far as that is known. */
static bool
unused(const struct verify *v, const struct sov_inventory_item *it)
{
	return v->used_known && id_set_get(&v->used, it->class_, it->id) == NULL;
}

/* What a killed backup or a prune left half-way (it was killed, or a provider was
 * away or keeps what is locked): nothing needs it, a prune sweeps it. */
static bool
left_over(struct verify *v, const struct sov_inventory_item *it)
{
	int			have = __builtin_popcount(it->have);

	if (!v->used_known || have == it->n)
		return false;
	if (it->class_ == SOV_CLASS_WAL)
		return have < it->k && !wal_needed(v, it->id);
	return !(it->class_ == SOV_CLASS_META && have >= it->k) && unused(v, it);
}

/* Runs of WAL, and of metadata that something refers to; those of packs, and packs,
 * are known from backups. */
static void
mark_runs(struct verify *v)
{
	char		run[33];

	for (size_t i = 0; i < v->inv.n_items; i++)
	{
		const struct sov_inventory_item *it = &v->inv.items[i];

		if (!(it->class_ == SOV_CLASS_WAL && !left_over(v, it)) && !(it->class_ == SOV_CLASS_META && !unused(v, it)))
			continue;
		sov_hex(run, it->run, 16);
		(void) id_set_put(&v->used, SOV_CLASS_RUN, run);
	}
}

static enum sov_code
check_shards(struct verify *v, struct sov_error *err)
{
	for (size_t i = 0; i < v->inv.n_items; i++)
	{
		const struct sov_inventory_item *it = &v->inv.items[i];
		char		what[SOV_ID_MAX + 40],
					message[160];
		int			good = 0;

		if (cancelled(v, err))
			return SOV_E_CANCELLED;
		/* What a killed push left half-way, and a later attempt made good. */
		if (__builtin_popcount(it->have) < it->n && sov_inventory_find(&v->inv, it->class_, it->id) != it)
			continue;
		if (left_over(v, it))
			continue;
		v->res->objects++;
		for (int slot = 0; slot < it->n; slot++)
			check_slot(v, it, slot, &good);
		step(v, it->size * it->n);
		if (good - it->k < v->res->tolerates)
			v->res->tolerates = good - it->k;
		if (good >= it->k)
			continue;
		snprintf(what, sizeof what, "%s %s", verify_class_word(it->class_), it->id);
		snprintf(message, sizeof message, "%d good shards within reach, %d are needed", good, it->k);
		verify_lost(v, it->class_, it->id, what, message);
	}
	/* Damaged objects that belong to no object we know: nothing to mend. */
	for (size_t i = 0; i < v->inv.n_damaged; i++)
		if (!v->damaged_used[i])
			verify_report(v, SOV_PROBLEM_DAMAGED, v->repo->providers[v->inv.damaged[i].provider].cfg->name,
				   v->inv.damaged[i].name, "of no object that is left; when nothing needs it, prune sweeps it", v->inv.damaged[i].message, false);
	return SOV_OK;
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
	for (uint32_t i = 0; i < v->cat.n && !cancelled(v, err); i++)
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
	struct verify v = {.repo = repo, .opt = opt, .progress = progress, .res = res, .started_us = repo_mono_us()};
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
	v.used_known = res->backups == res->backups_whole;
	mark_runs(&v);
	if (rc == SOV_OK)
		rc = check_shards(&v, err);
	if (rc == SOV_OK)
		trust_note_lost(repo, &v.lost, opt->deep);
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
