/*
 * verify_backup.c - does everything that one backup needs exist?
 *
 * Its manifest, every piece, pack and run, and the WAL from its start on.  Only
 * this finds an object of which no shard is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_private.h"

const char *
verify_class_word(uint8_t class_)
{
	switch (class_)
	{
		case SOV_CLASS_PACK:
			return "pack";
		case SOV_CLASS_WAL:
			return "WAL";
		case SOV_CLASS_META:
			return "metadata";
		default:
			return "run";
	}
}

static bool
must_exist(struct verify *v, uint8_t class_, const char *id, const char *backup)
{
	char		what[SOV_ID_MAX * 2 + 60];
	const struct sov_inventory_item *it = sov_inventory_find(&v->inv, class_, id);
	bool		first;

	(void) id_set_put(&v->used, class_, id);
	if (it != NULL && __builtin_popcount(it->have | it->before) >= it->k)
		return true;
	snprintf(what, sizeof what, "%s %s of backup %s", verify_class_word(class_), id, backup);
	if (verify_given(v, class_, id, it, what, &first))
		return true;
	if (it == NULL && first)
		verify_lost(v, class_, id, what, "no shard of it is left");
	return false;
}

static bool
look_into_piece(struct verify *v, const struct sov_backup_entry *b, const struct sov_objref *ref)
{
	struct sov_buf plain = {0};
	struct sov_piece piece = {0};
	struct sov_error err;
	bool		whole = must_exist(v, SOV_CLASS_META, ref->id, b->id);
	char		id[33];

	if (whole && sov_repo_get_stream(v->repo, SOV_CLASS_META, ref->id, ref->attempt, NULL, &plain, &err) == SOV_OK &&
		sov_piece_decode(plain.data, plain.len, &piece, &err) == SOV_OK)
	{
		for (uint32_t i = 0; i < piece.n_packs; i++)
		{
			sov_hex(id, piece.packs[i].id, 16);
			whole = must_exist(v, SOV_CLASS_PACK, id, b->id) && whole;
			sov_hex(id, piece.packs[i].run, 16);
			whole = must_exist(v, SOV_CLASS_RUN, id, b->id) && whole;
		}
	}
	else if (whole)
	{
		verify_report(v, SOV_PROBLEM_LOST, "", "", ref->id, err.message, false);
		whole = false;
	}
	sov_piece_free(&piece);
	sov_buf_free(&plain);
	return whole;
}

static bool
check_piece(struct verify *v, const struct sov_backup_entry *b, const struct sov_objref *ref)
{
	int		   *known = id_set_put(&v->pieces, SOV_CLASS_META, ref->id);
	bool		whole;

	if (known && *known)
		return *known == 1;
	whole = look_into_piece(v, b, ref);
	known = id_set_put(&v->pieces, SOV_CLASS_META, ref->id);
	if (known)
		*known = whole ? 1 : 2;
	return whole;
}

/* WAL that the backup needs to become consistent, and on to the newest mark of
 * its timeline. */
static bool
check_wal(struct verify *v, const struct sov_backup_entry *b)
{
	uint64_t	seg = b->wal_segment_size,
				end = b->stop_lsn;
	struct sov_mark mark;
	char		name[32],
				id[SOV_WAL_ID_MAX],
				message[160];
	bool		whole = true,
				first;

	if (seg == 0)
		return false;
	if (sov_repo_cluster_mark(v->repo, b->system_id, b->timeline, &mark) && mark.lsn > end)
		end = mark.lsn;
	for (uint64_t no = b->start_lsn / seg; no * seg < end; no++)
	{
		uint64_t	per = UINT64_C(0x100000000) / seg;
		const struct sov_inventory_item *it;

		snprintf(name, sizeof name, "%08X%08X%08X", b->timeline, (unsigned) (no / per), (unsigned) (no % per));
		sov_wal_object_id(v->repo, b->system_id, name, id);
		it = sov_inventory_find(&v->inv, SOV_CLASS_WAL, id);
		if (it != NULL && __builtin_popcount(it->have | it->before) >= it->k)
			continue;
		snprintf(message, sizeof message, "WAL %s of backup %s", name, b->id);
		if (verify_given(v, SOV_CLASS_WAL, id, it, message, &first))
			continue;
		if (no * seg < b->stop_lsn)
			whole = false;
		if (it == NULL && first)
		{
			snprintf(message, sizeof message, "needed by backup %s and not there", b->id);
			verify_report(v, SOV_PROBLEM_LOST, "", "", name, message, false);
		}
	}
	return whole;
}

bool
verify_backup(struct verify *v, const struct sov_backup_entry *b)
{
	struct sov_buf plain = {0};
	struct sov_manifest m = {0};
	struct sov_error why;
	bool		whole = check_wal(v, b);

	(void) id_set_put(&v->used, SOV_CLASS_META, b->manifest.id);
	if (sov_repo_get_stream(v->repo, SOV_CLASS_META, b->manifest.id, b->manifest.attempt, NULL, &plain, &why) == SOV_OK &&
		sov_manifest_decode(plain.data, plain.len, &m, &why) == SOV_OK)
	{
		for (uint32_t p = 0; p < m.n_pieces; p++)
			whole = check_piece(v, b, &m.pieces[p].ref) && whole;
	}
	else
	{
		verify_report(v, SOV_PROBLEM_LOST, "", "", b->id, why.message, false);
		whole = false;
	}
	sov_manifest_free(&m);
	sov_buf_free(&plain);
	return whole;
}
