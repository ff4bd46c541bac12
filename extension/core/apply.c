/*
 * apply.c - carry out a plan.
 *
 * Steps, each safe to repeat after a kill:
 *   1. the new provider gets an identity;
 *   2. the map is committed with both providers of each moving position: from
 *      here on writers write to the new one and readers look at both;
 *   3. heads and keyrings, then every shard, are brought over; what is there
 *      already is left alone; the inventory is read again until nothing is
 *      missing (writers may still have put some by the old map);
 *   4. the map is committed without the old provider, its debt is forgotten;
 *   5. what the old provider holds is deleted where it answers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "migrate_private.h"

#define BATCH 3					/* shards brought over at once: bounds memory */
#define MAX_PASSES 5

struct apply
{
	struct sov_repo *repo;
	const struct sov_progress *progress;
	struct sov_apply_result *res;
	uint64_t	done;
};

/* --- 1 and 2: the map with both --- */

static enum sov_code
map_changed(struct sov_error *err)
{
	return sov_fail(err, SOV_E_CONFLICT, "run 'pg_sovereign plan' and then 'pg_sovereign apply' again",
					"the provider map was changed by another command meanwhile");
}

static enum sov_code
enter_moves(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	struct apply *a = ctx;

	for (int i = 0; i < a->res->plan.n_moves; i++)
	{
		const struct sov_move *m = &a->res->plan.moves[i];
		struct sov_map_slot *pos = &head->map.pos[m->position];

		if (m->under_way)
			continue;
		/* The plan was made from an earlier head. */
		if (memcmp(pos->uuid, m->old_uuid, 16) != 0 || pos->prev_alias[0] != '\0')
			return map_changed(err);
		memcpy(pos->prev_uuid, pos->uuid, 16);
		memcpy(pos->prev_alias, pos->alias, sizeof pos->prev_alias);
		memcpy(pos->uuid, repo->providers[m->new_provider].uuid, 16);
		snprintf(pos->alias, sizeof pos->alias, "%s", repo->providers[m->new_provider].cfg->name);
	}
	head->map.version++;
	return SOV_OK;
}

static enum sov_code
begin(struct apply *a, struct sov_error *err)
{
	bool		any = false;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < a->res->plan.n_moves && rc == SOV_OK; i++)
	{
		const struct sov_move *m = &a->res->plan.moves[i];
		struct sov_repo_provider *rp = &a->repo->providers[m->new_provider];

		if (m->under_way)
			continue;
		any = true;
		if (!rp->known)
			rc = sov_random(rp->uuid, 16, err);
		if (rc == SOV_OK)
		{
			rp->known = true;
			rp->fresh = false;
			rc = repo_put_identity(a->repo, m->new_provider, err);
		}
		/* Its old place is no longer owed anything under this name. */
		repo_spool_drop(a->repo, rp->cfg->name);
	}
	return rc == SOV_OK && any ? sov_repo_commit_admin(a->repo, enter_moves, a, err) : rc;
}

/* --- 3: bringing over --- */

static enum sov_code
copy_whole(struct apply *a, struct sov_error *err)
{
	struct sov_repo *repo = a->repo;
	struct sov_buf names = {0},
				raw = {0};
	struct sov_object_stat st;
	enum sov_code rc = sov_whole_names(repo, &names, err);

	for (size_t at = 0; rc == SOV_OK && at < names.len; at += strlen((char *) names.data + at) + 1)
	{
		const char *name = (char *) names.data + at;
		bool		read = false;

		for (int i = 0; i < a->res->plan.n_moves && rc == SOV_OK; i++)
		{
			int			to = a->res->plan.moves[i].new_provider;
			struct sov_put_span span;

			if (repo_stat(repo, to, name, &st, NULL) == SOV_OK)
				continue;
			raw.len = read ? raw.len : 0;
			if (!read)
				rc = sov_whole_read(repo, name, &raw, err);
			/* A head that no provider can prove is not carried along. */
			if (rc == SOV_E_CORRUPT)
			{
				repo_note(repo, "%s is damaged at every provider and stays behind", name);
				rc = SOV_OK;
				break;
			}
			read = rc == SOV_OK;
			span = (struct sov_put_span) {raw.data, raw.len};
			if (rc == SOV_OK)
				rc = repo_put(repo, to, name, &span, 1, false, err);
		}
	}
	sov_buf_free(&names);
	sov_buf_free(&raw);
	return rc;
}

struct transfer
{
	struct apply *a;
	const struct sov_inventory_item *item[BATCH];
	const struct sov_move *move[BATCH];
	int			n;
	enum sov_code rc[BATCH];
	bool		copied[BATCH];
	uint64_t	bytes[BATCH];
	struct sov_error err[BATCH];
};

/* Verbatim from the old provider: only a shard that verifies is worth copying. */
static enum sov_code
copy_shard(struct sov_repo *repo, const struct sov_inventory_item *it, int slot, const struct repo_place *place, struct sov_buf *object)
{
	struct sov_shard_info info;
	struct sov_run_share *share;
	const uint8_t *body;
	enum sov_code rc;

	if (place->before < 0 || (it->before >> slot & 1) == 0)
		return SOV_E_NOTFOUND;
	rc = repo_get(repo, place->before, place->name_before, 0, UINT64_MAX, object, NULL);
	if (rc != SOV_OK)
		return rc;
	if (it->class_ != SOV_CLASS_RUN)
	{
		rc = sov_shard_verify(repo->keys, object->data, object->len, &info, &body, NULL);
		return rc == SOV_OK && !sov_inventory_is(it, slot, &info) ? SOV_E_AUTH : rc;
	}
	share = sov_secret_alloc(sizeof *share, NULL);
	rc = share ? sov_run_share_parse(repo->keys, object->data, object->len, share, NULL) : SOV_E_NOMEM;
	if (rc == SOV_OK && (share->slot != slot || memcmp(share->run, it->run, 16) != 0))
		rc = SOV_E_AUTH;
	sov_secret_free(share);
	return rc;
}

static void
transfer_one(int i, void *arg)
{
	struct transfer *t = arg;
	struct sov_repo *repo = t->a->repo;
	const struct sov_inventory_item *it = t->item[i];
	int			slot = sov_map_slot_at(&repo->admin.map, it->class_, it->id, t->move[i]->position);
	struct repo_place place;
	struct sov_buf object = {0};
	struct sov_put_span span;
	enum sov_code rc;

	rc = repo_place(repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, &t->err[i]);
	if (rc == SOV_OK)
	{
		t->copied[i] = copy_shard(repo, it, slot, &place, &object) == SOV_OK;
		if (!t->copied[i])
		{
			object.len = 0;
			rc = sov_repo_rebuild(repo, it->class_, it->id, it->generation, it->attempt, (uint8_t) slot, &object, &t->err[i]);
		}
	}
	span = (struct sov_put_span) {object.data, object.len};
	if (rc == SOV_OK)
		rc = repo_put(repo, t->move[i]->new_provider, place.name_now, &span, 1, false, &t->err[i]);
	t->bytes[i] = object.len;
	t->rc[i] = rc;
	sov_buf_free(&object);
}

static enum sov_code
flush_batch(struct transfer *t, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	sov_parallel(t->n, transfer_one, t);
	for (int i = 0; i < t->n; i++)
	{
		struct sov_apply_result *res = t->a->res;

		/* An attempt that a failed push left with fewer than k shards is not
		 * worth stopping for: nobody relies on it. */
		if (t->rc[i] == SOV_E_CORRUPT || t->rc[i] == SOV_E_NOTFOUND)
		{
			repo_note(t->a->repo, "left behind: %s", t->err[i].message);
			continue;
		}
		if (t->rc[i] != SOV_OK)
		{
			if (err)
				*err = t->err[i];
			rc = t->rc[i];
			continue;
		}
		res->copied += t->copied[i];
		res->rebuilt += !t->copied[i];
		res->bytes += t->bytes[i];
		t->a->done += t->bytes[i];
	}
	t->n = 0;
	if (t->a->progress && t->a->progress->update)
		t->a->progress->update(t->a->progress->ctx, t->a->done, t->a->res->plan.bytes);
	return rc;
}

/* One pass over the inventory; *moved counts what was missing. */
static enum sov_code
bring_over(struct apply *a, const struct sov_inventory *inv, uint64_t *moved, struct sov_error *err)
{
	struct transfer *t = calloc(1, sizeof *t);
	enum sov_code rc = SOV_OK;

	if (t == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	t->a = a;
	*moved = 0;
	for (int m = 0; m < a->res->plan.n_moves && rc == SOV_OK; m++)
	{
		const struct sov_move *move = &a->res->plan.moves[m];

		for (size_t i = 0; i < inv->n_items && rc == SOV_OK; i++)
		{
			const struct sov_inventory_item *it = &inv->items[i];
			int			slot = sov_map_slot_at(&a->repo->admin.map, it->class_, it->id, move->position);

			if (it->have >> slot & 1)
				continue;
			if (a->progress && a->progress->cancelled && a->progress->cancelled(a->progress->ctx))
			{
				rc = sov_fail(err, SOV_E_CANCELLED, "run 'pg_sovereign apply' again to go on", "cancelled; what was moved stays moved");
				break;
			}
			(*moved)++;
			t->item[t->n] = it;
			t->move[t->n++] = move;
			if (t->n == BATCH)
				rc = flush_batch(t, err);
		}
	}
	if (rc == SOV_OK && t->n > 0)
		rc = flush_batch(t, err);
	free(t);
	return rc;
}

/* What was acknowledged has k shards at n positions, so n-k+1 of them show at
 * least one.  With fewer looked at, something may be overlooked, and the old
 * provider's copy is not to be given up. */
static enum sov_code
saw_enough(const struct sov_repo *repo, const struct sov_inventory *inv, struct sov_error *err)
{
	int			seen = 0,
				need = repo->admin.map.n - repo->admin.map.k + 1;
	char		down[400];

	for (int p = 0; p < repo->admin.map.n; p++)
	{
		const struct sov_map_slot *pos = &repo->admin.map.pos[p];
		int			now = sov_repo_provider_of(repo, pos->uuid),
					before = pos->prev_alias[0] ? sov_repo_provider_of(repo, pos->prev_uuid) : now;

		seen += now >= 0 && inv->asked[now] && before >= 0 && inv->asked[before];
	}
	if (seen >= need)
		return SOV_OK;
	repo_provider_down_list(repo, down, sizeof down);
	return sov_fail(err, SOV_E_QUORUM, "bring a provider back, then run 'pg_sovereign apply' again: it goes on where it stopped",
					"only %d of %d positions could be looked at, %d are needed to know all that is to be moved: %s", seen, repo->admin.map.n, need, down);
}

static enum sov_code
bring_all_over(struct apply *a, struct sov_error *err)
{
	struct sov_inventory inv;
	uint64_t	moved = 1,
				before = UINT64_MAX;
	enum sov_code rc = SOV_OK;

	for (int pass = 0; pass < MAX_PASSES && rc == SOV_OK && moved > 0 && moved < before; pass++)
	{
		if (pass > 0)
			before = moved;
		rc = copy_whole(a, err);
		if (rc != SOV_OK)
			return rc;
		rc = sov_inventory_read(a->repo, &inv, err);
		if (rc != SOV_OK)
			return rc;
		rc = saw_enough(a->repo, &inv, err);
		if (rc == SOV_OK)
			rc = bring_over(a, &inv, &moved, err);
		sov_inventory_free(&inv);
	}
	return rc;
}

/* --- 4 and 5: the map without the old, and its data deleted --- */

static enum sov_code
leave_moves(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	struct apply *a = ctx;

	for (int i = 0; i < a->res->plan.n_moves; i++)
	{
		const struct sov_move *m = &a->res->plan.moves[i];
		struct sov_map_slot *pos = &head->map.pos[m->position];

		if (memcmp(pos->prev_uuid, m->old_uuid, 16) != 0 || memcmp(pos->uuid, repo->providers[m->new_provider].uuid, 16) != 0)
			return map_changed(err);
		if (head->n_left == 32)
		{
			memmove(&head->left[0], &head->left[1], sizeof head->left[0] * 31);
			head->n_left--;
		}
		memcpy(head->left[head->n_left].uuid, pos->prev_uuid, 16);
		memcpy(head->left[head->n_left].alias, pos->prev_alias, sizeof pos->prev_alias);
		head->left[head->n_left++].time_us = (uint64_t) repo_now_us();
		memset(pos->prev_uuid, 0, 16);
		pos->prev_alias[0] = '\0';
	}
	head->map.version++;
	return SOV_OK;
}

/* Only what is ours: a provider's folder may have been shared. */
static bool
collect(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct sov_buf *b = ctx;

	if (strcmp(name, SOV_IDENTITY_OBJECT) != 0 && (strchr("pmwrahk", name[0]) == NULL || name[1] != '/'))
		return true;
	sov_write_u64(b, st->size);
	sov_write_bytes(b, name, strlen(name) + 1);
	return true;
}

static void
delete_at(struct apply *a, int move)
{
	int			i = a->res->plan.moves[move].old_provider;
	struct sov_buf list = {0};

	if (i < 0 || !a->repo->providers[i].known || repo_list(a->repo, i, "", collect, &list, NULL) != SOV_OK)
		return;
	a->res->receipt[move].reached = true;
	for (size_t at = 0; at < list.len;)
	{
		uint64_t	size = sov_get_le64(list.data + at);
		const char *name = (char *) list.data + at + 8;
		enum sov_code rc = repo_remove(a->repo, i, name, NULL);

		at += 8 + strlen(name) + 1;
		if (rc == SOV_OK || rc == SOV_E_NOTFOUND)
		{
			a->res->receipt[move].deleted++;
			a->res->receipt[move].bytes += size;
		}
		else
			a->res->receipt[move].failed++;
	}
	sov_buf_free(&list);
}

static bool
still_used(const struct sov_repo *repo, const char *alias)
{
	for (int p = 0; p < repo->admin.map.n; p++)
		if (strcmp(repo->admin.map.pos[p].alias, alias) == 0)
			return true;
	return false;
}

static enum sov_code
finish(struct apply *a, struct sov_error *err)
{
	enum sov_code rc = sov_repo_commit_admin(a->repo, leave_moves, a, err);

	if (rc != SOV_OK)
		return rc;
	for (int i = 0; i < a->res->plan.n_moves; i++)
	{
		if (!still_used(a->repo, a->res->plan.moves[i].old_alias))
			repo_spool_drop(a->repo, a->res->plan.moves[i].old_alias);
		delete_at(a, i);
	}
	repo_write_status(a->repo);
	return SOV_OK;
}

static enum sov_code
apply_locked(struct apply *a, struct sov_error *err)
{
	struct sov_inventory inv;
	uint64_t	left;
	enum sov_code rc = migrate_plan(a->repo, &a->res->plan, &inv, err);

	sov_inventory_free(&inv);
	if (rc != SOV_OK)
		return rc;
	if (a->res->plan.n_moves > 0)
	{
		rc = begin(a, err);
		if (rc == SOV_OK)
			rc = bring_all_over(a, err);
		if (rc == SOV_OK)
			rc = finish(a, err);
	}
	return rc == SOV_OK ? sov_repo_settle(a->repo, 0, &left, err) : rc;
}

enum sov_code
sov_apply_run(struct sov_repo *repo, const struct sov_progress *progress,
			  struct sov_apply_result *res, struct sov_error *err)
{
	struct apply a = {.repo = repo, .progress = progress, .res = res};
	int64_t		start = repo_mono_us();
	int			fd;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	rc = repo_try_lock_file(repo, "apply.lock", &fd, err);
	if (rc != SOV_OK)
		return rc;
	rc = apply_locked(&a, err);
	close(fd);
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	return rc;
}
