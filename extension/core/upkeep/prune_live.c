/*
 * prune_live.c - what backups refer to.
 *
 * Marked: of every backup its manifest, pieces, packs, and the runs that all of
 * these were sealed in; of every writer's head the catalogue; of every WAL file
 * its run.  Pieces are shared between backups and looked into once for the
 * backups that stay, and once for those that go.
 *
 * A backup that stays and cannot be read stops everything: what it refers to is
 * not known, so nothing may be called dead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prune_private.h"

bool
prune_stays(const struct prune *p, const struct sov_backup_entry *b)
{
	uint64_t	since;

	if (!lease_condemned(&p->repo->admin, b->id, &since))
		return true;
	/* a clock that was set back does not shorten the grace */
	return since > p->now_us || p->now_us - since < p->opt->rules.grace * 1000000;
}

static enum sov_code
mark(struct id_set *set, uint8_t class_, const char *id, struct sov_error *err)
{
	return id_set_put(set, class_, id) ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

/* An object and, as far as shards of it are there, the run that it needs. */
static enum sov_code
mark_with_run(struct prune *p, struct id_set *set, uint8_t class_, const char *id, struct sov_error *err)
{
	const struct sov_inventory_item *it = sov_inventory_find(&p->v.inv, class_, id);
	char		run[33];
	enum sov_code rc = mark(set, class_, id, err);

	if (rc != SOV_OK || it == NULL)
		return rc;
	sov_hex(run, it->run, 16);
	return mark(set, SOV_CLASS_RUN, run, err);
}

static enum sov_code
mark_piece(struct prune *p, struct id_set *set, const struct sov_objref *ref, struct sov_error *err)
{
	struct sov_buf plain = {0};
	struct sov_piece piece = {0};
	char		id[33];
	enum sov_code rc = sov_repo_get_stream(p->repo, SOV_CLASS_META, ref->id, ref->attempt, NULL, &plain, err);

	if (rc == SOV_OK)
		rc = sov_piece_decode(plain.data, plain.len, &piece, err);
	sov_buf_free(&plain);
	for (uint32_t i = 0; rc == SOV_OK && i < piece.n_packs; i++)
	{
		sov_hex(id, piece.packs[i].id, 16);
		rc = mark(set, SOV_CLASS_PACK, id, err);
		sov_hex(id, piece.packs[i].run, 16);
		if (rc == SOV_OK)
			rc = mark(set, SOV_CLASS_RUN, id, err);
	}
	sov_piece_free(&piece);
	return rc;
}

static enum sov_code
mark_backup(struct prune *p, struct id_set *set, int pass, const struct sov_backup_entry *b, struct sov_error *err)
{
	struct sov_buf plain = {0};
	struct sov_manifest m = {0};
	enum sov_code rc = mark_with_run(p, set, SOV_CLASS_META, b->manifest.id, err);

	if (rc == SOV_OK)
		rc = sov_repo_get_stream(p->repo, SOV_CLASS_META, b->manifest.id, b->manifest.attempt, NULL, &plain, err);
	if (rc == SOV_OK)
		rc = sov_manifest_decode(plain.data, plain.len, &m, err);
	sov_buf_free(&plain);
	for (uint32_t i = 0; rc == SOV_OK && i < m.n_pieces; i++)
	{
		int		   *seen = id_set_put(&p->pieces, SOV_CLASS_META, m.pieces[i].ref.id);

		if (seen == NULL)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		else if (!(*seen & pass))
		{
			*seen |= pass;
			rc = mark_with_run(p, set, SOV_CLASS_META, m.pieces[i].ref.id, err);
			if (rc == SOV_OK)
				rc = mark_piece(p, set, &m.pieces[i].ref, err);
		}
	}
	sov_manifest_free(&m);
	return rc;
}

/* What is there besides backups. */
static enum sov_code
mark_others(struct prune *p, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;
	char		run[33];

	for (int i = 0; i < p->repo->n_heads && rc == SOV_OK; i++)
		if (p->repo->heads[i].has_catalogue)
			rc = mark_with_run(p, &p->live, SOV_CLASS_META, p->repo->heads[i].catalogue.id, err);
	for (size_t i = 0; i < p->v.inv.n_items && rc == SOV_OK; i++)
	{
		const struct sov_inventory_item *it = &p->v.inv.items[i];

		if (it->class_ != SOV_CLASS_WAL)
			continue;
		sov_hex(run, it->run, 16);
		rc = mark(&p->live, SOV_CLASS_RUN, run, err);
	}
	return rc;
}

enum sov_code
prune_mark(struct prune *p, struct sov_error *err)
{
	enum sov_code rc = mark_others(p, err);

	for (uint32_t i = 0; i < p->all.n && rc == SOV_OK; i++)
	{
		const struct sov_backup_entry *b = &p->all.backups[i];
		struct sov_error ignored;

		if (prune_stays(p, b))
		{
			rc = mark_backup(p, &p->live, 1, b, err);
			if (rc != SOV_OK)
			{
				sov_error_prefix(err, "backup %s is kept and cannot be read", b->id);
				if (err)
					snprintf(err->hint, sizeof err->hint, "bring the providers back or run 'pg_sovereign repair': until then nothing can be called unneeded");
			}
		}
		else
			/* What of it cannot be read is swept as an orphan later. */
			(void) mark_backup(p, &p->old, 2, b, &ignored);
	}
	return rc;
}
