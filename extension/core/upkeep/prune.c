/*
 * prune.c - letting go what the rules do not keep.
 *
 * Invariants:
 *   1. An object is deleted only when no backup refers to it that is not condemned
 *      in the administrator's chain, by heads that were read after the
 *      condemnation was committed.
 *   2. Nothing is deleted while a lease may be held by a writer who has not seen
 *      the newest list; nothing that is of no backup at all (an orphan: perhaps of
 *      a backup under way) while any lease may be held, or before its grace.
 *   3. WAL goes by explicit ranges only, never as an orphan.
 *   4. Packs go before pieces, pieces before manifests: what a crash leaves is
 *      found again.
 *   5. Of an object that a provider keeps under lock nothing is deleted elsewhere, nor
 *      the run that it is sealed in, as far as a provider tells of its locks before it
 *      refuses a removal (prune_delete.c).
 *   6. Nothing is deleted while a writer's newest head is refused because of a clock:
 *      what it refers to, and whether it holds a lease, is not known.
 *   7. One good backup at least stays, whatever the rules say.
 * lease.c has the writers' side.  A backup is condemned for its grace before its
 * objects go, so that a restore that reads it may end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prune_private.h"

bool
prune_cancelled(struct prune *p)
{
	return p->progress != NULL && p->progress->cancelled != NULL && p->progress->cancelled(p->progress->ctx);
}

enum sov_code
prune_stopped(struct sov_error *err)
{
	return sov_fail(err, SOV_E_CANCELLED, "run it again: what is left is found again", "cancelled");
}

/* --- reading --- */

/* Heads after the inventory: whoever stored what is in it held a lease before, or
 * has committed by now. */
static enum sov_code
read_state(struct prune *p, struct sov_error *err)
{
	enum sov_code rc;

	sov_inventory_free(&p->v.inv);
	rc = sov_inventory_read(p->repo, &p->v.inv, err);
	if (rc == SOV_OK)
		rc = sov_repo_refresh(p->repo, err);
	if (rc == SOV_OK)
		rc = repo_check_ahead(p->repo, "nothing is pruned", err);
	sov_catalogue_free(&p->all);
	return rc == SOV_OK ? repo_catalogues(p->repo, &p->all, err) : rc;
}

/* --- rules --- */

static enum sov_code
apply_rules(struct prune *p, struct sov_error *err)
{
	struct sov_prune_result *res = p->res;
	bool		good = false;

	res->backups = calloc(p->all.n + 1, sizeof *res->backups);
	if (res->backups == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t i = 0; i < p->all.n; i++)
	{
		struct sov_prune_backup *b = &res->backups[res->n_backups];

		if (lease_condemned(&p->repo->admin, p->all.backups[i].id, NULL))
			continue;
		b->entry = p->all.backups[i];
		b->whole = verify_backup(&p->v, &b->entry);
		res->n_backups++;
		if (prune_cancelled(p))
			return prune_stopped(err);
	}
	sov_retention_apply(&p->opt->rules, res->backups, res->n_backups);
	for (uint32_t i = 0; i < res->n_backups; i++)
	{
		good = good || (res->backups[i].keep && res->backups[i].whole);
		res->condemned += !res->backups[i].keep;
	}
	if (res->condemned > 0 && !good)
		return sov_fail(err, SOV_E_STATE, "make a backup that verify calls whole, or run 'pg_sovereign repair', and prune then",
						"no good backup would be left, so nothing is pruned");
	return SOV_OK;
}

/* --- condemning --- */

static bool
in_catalogues(const struct prune *p, const char *entry)
{
	for (uint32_t i = 0; i < p->all.n; i++)
	{
		size_t		n = strlen(p->all.backups[i].id);

		if (strncmp(p->all.backups[i].id, entry, n) == 0 && entry[n] == '@')
			return true;
	}
	return false;
}

/* The list grows by this run's, and loses those that no catalogue has any more. */
static enum sov_code
change_list(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	struct prune *p = ctx;
	char	  (*list)[SOV_ID_MAX] = calloc(head->n_condemned + p->res->n_backups + 1, sizeof *list);
	uint32_t	n = 0;

	(void) repo;
	if (list == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t i = 0; i < head->n_condemned; i++)
		if (in_catalogues(p, head->condemned[i]))
			memcpy(list[n++], head->condemned[i], SOV_ID_MAX);
	for (uint32_t i = 0; i < p->res->n_backups; i++)
		if (!p->res->backups[i].keep && !lease_condemned(head, p->res->backups[i].entry.id, NULL))
			snprintf(list[n++], SOV_ID_MAX, "%.60s@%llu", p->res->backups[i].entry.id, (unsigned long long) p->now_us);
	free(head->condemned);
	head->condemned = list;
	head->n_condemned = n;
	return SOV_OK;
}

/* What the list would be, for a dry run. */
static enum sov_code
condemn(struct prune *p, struct sov_error *err)
{
	bool		stale = false;

	for (uint32_t i = 0; i < p->repo->admin.n_condemned; i++)
		stale = stale || !in_catalogues(p, p->repo->admin.condemned[i]);
	if (p->opt->dry_run)
		return change_list(p, p->repo, &p->repo->admin, err);
	if (p->res->condemned == 0 && !stale)
		return SOV_OK;
	return sov_repo_commit_admin(p->repo, change_list, p, err);
}

/* --- choosing objects --- */

/* When the newest of an object's shards was written; now when it is not known.
 * Only asked for what nothing refers to. */
static uint64_t
written_us(struct prune *p, const struct sov_inventory_item *it)
{
	uint64_t	newest = 0,
				written;

	for (int slot = 0; slot < it->n; slot++)
	{
		struct repo_place place;
		struct sov_object_stat st;

		if (!((it->have | it->before) & 1u << slot) ||
			repo_place(p->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, NULL) != SOV_OK || place.now < 0 ||
			repo_stat(p->repo, place.now, place.name_now, &st, NULL) != SOV_OK)
			continue;
		if (st.mtime_us <= 0)
			return p->now_us;
		written = prune_written_us(p, place.now, st.mtime_us);
		newest = written > newest ? written : newest;
	}
	return newest ? newest : p->now_us;
}

/* Of no backup: swept after a grace, and only while no backup may be under way.
 * The secret of a run is stored before what is sealed in it, and archiving holds no
 * lease: it has a grace that cannot be shortened. */
bool
prune_orphan_goes(const struct prune *p, uint8_t class_, uint64_t written_us)
{
	uint64_t	grace = p->opt->rules.orphan_grace;

	if (p->leased)
		return false;
	if (class_ == SOV_CLASS_RUN && grace < REPO_RUN_GRACE)
		grace = REPO_RUN_GRACE;
	return written_us <= p->now_us && p->now_us - written_us >= grace * 1000000;
}

static bool
is_referenced(const struct prune *p, const struct sov_inventory_item *it)
{
	return id_set_get(&p->live, it->class_, it->id) != NULL;
}

static void
choose(struct prune *p, bool *goes)
{
	for (size_t i = 0; i < p->v.inv.n_items; i++)
	{
		const struct sov_inventory_item *it = &p->v.inv.items[i];
		bool		old;

		if (it->class_ == SOV_CLASS_WAL || is_referenced(p, it))
			continue;
		old = id_set_get(&p->old, it->class_, it->id) != NULL;
		if (!old && (p->leased || !prune_orphan_goes(p, it->class_, written_us(p, it))))
			continue;
		goes[i] = true;
		p->res->orphans += !old;
		p->res->packs += it->class_ == SOV_CLASS_PACK;
		p->res->metadata += it->class_ == SOV_CLASS_META;
		p->res->runs += it->class_ == SOV_CLASS_RUN;
	}
}

/* --- the run --- */

static enum sov_code
sweep(struct prune *p, struct sov_error *err)
{
	bool	   *goes = calloc(p->v.inv.n_items + 1, sizeof *goes),
			   *unreadable_goes = calloc(p->v.inv.n_damaged + 1, sizeof *unreadable_goes);
	bool		unseen;
	enum sov_code rc = goes && unreadable_goes ? prune_leases(p, &unseen, &p->leased, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK && !unseen)
		p->res->held_by[0] = '\0';
	if (rc == SOV_OK)
		rc = prune_mark(p, err);
	if (rc == SOV_OK)
		rc = prune_wal(p, goes, err);
	if (rc == SOV_OK)
		choose(p, goes);
	if (rc == SOV_OK)
		rc = prune_unreadable(p, goes, unreadable_goes, err);
	if (rc == SOV_OK && (p->opt->dry_run || !unseen))
		rc = prune_delete(p, goes, unreadable_goes, err);
	if (rc == SOV_OK && !p->opt->dry_run)
	{
		prune_trials(p);
		repo_sweep_old(p->repo);
	}
	free(goes);
	free(unreadable_goes);
	return rc;
}

static enum sov_code
run(struct prune *p, struct sov_error *err)
{
	enum sov_code rc = read_state(p, err);

	if (rc == SOV_OK)
		rc = apply_rules(p, err);
	if (rc == SOV_OK)
		rc = condemn(p, err);
	/* From here on nobody new refers to what is condemned; those who did before
	 * are seen now. */
	if (rc == SOV_OK && !p->opt->dry_run)
		rc = read_state(p, err);
	for (uint32_t i = 0; i < p->all.n && rc == SOV_OK; i++)
		p->res->waiting += prune_stays(p, &p->all.backups[i]) && lease_condemned(&p->repo->admin, p->all.backups[i].id, NULL);
	return rc == SOV_OK ? sweep(p, err) : rc;
}

/* For the history: what lay there, less what went. */
static void
count_left(const struct prune *p)
{
	struct sov_repo_private *priv = p->repo->priv;

	for (int i = 0; i < p->repo->n_providers; i++)
	{
		uint64_t	gone = p->res->deleted > 0 ? p->res->bytes[i] : 0;

		priv->counted[i] = p->v.inv.asked[i];
		priv->counted_bytes[i] = p->v.inv.bytes[i] > gone ? p->v.inv.bytes[i] - gone : 0;
	}
}

static bool
has_rule(const struct sov_retention *r)
{
	return r->last || r->days || r->daily || r->weekly || r->monthly || r->yearly;
}

enum sov_code
sov_prune_run(struct sov_repo *repo, const struct sov_prune_options *opt, const struct sov_progress *progress,
			  struct sov_prune_result *res, struct sov_error *err)
{
	struct prune *p = calloc(1, sizeof *p);
	int64_t		start = repo_mono_us();
	int			fd = -1;
	enum sov_code rc = p ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	memset(res, 0, sizeof *res);
	if (rc == SOV_OK && !has_rule(&opt->rules))
		rc = sov_fail(err, SOV_E_USAGE, "give --keep-last, --keep-days or another rule, or set them in [retention]",
					  "no rule says which backups to keep");
	if (rc == SOV_OK)
		rc = repo_try_lock_file(repo, "prune.lock", &fd, err);
	if (rc == SOV_OK)
	{
		p->repo = repo;
		p->opt = opt;
		p->progress = progress;
		p->res = res;
		p->now_us = (uint64_t) repo_now_us();
		pthread_mutex_init(&p->lock, NULL);
		p->v.repo = repo;
		p->v.opt = &p->verify_options;
		p->v.res = &p->verified;
		rc = run(p, err);
		if (rc == SOV_OK)
			count_left(p);
	}
	if (fd >= 0)
		close(fd);
	if (p)
	{
		sov_inventory_free(&p->v.inv);
		sov_catalogue_free(&p->all);
		id_set_free(&p->live);
		id_set_free(&p->old);
		id_set_free(&p->pieces);
		id_set_free(&p->locked_runs);
		id_set_free(&p->v.pieces);
		id_set_free(&p->v.used);
		id_set_free(&p->v.lost);
	}
	free(p);
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	return rc;
}

void
sov_prune_free(struct sov_prune_result *res)
{
	free(res->backups);
	free(res->wal);
	res->backups = NULL;
	res->wal = NULL;
}
