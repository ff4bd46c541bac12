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
 *   5. what the old provider holds is deleted where it answers (leave.c).
 *
 * A change of k and n follows (recode.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "migrate_private.h"

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

enum sov_code
apply_identity(struct apply *a, int provider, struct sov_error *err)
{
	struct sov_repo_provider *rp = &a->repo->providers[provider];
	enum sov_code rc = rp->known ? SOV_OK : sov_random(rp->uuid, 16, err);

	if (rc == SOV_OK)
	{
		rp->known = true;
		rp->fresh = false;
		rc = repo_put_identity(a->repo, provider, err);
	}
	/* Its old place is no longer owed anything under this name. */
	repo_spool_drop(a->repo, rp->cfg->name);
	return rc;
}

static enum sov_code
begin(struct apply *a, struct sov_error *err)
{
	bool		any = false;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < a->res->plan.n_moves && rc == SOV_OK; i++)
	{
		if (a->res->plan.moves[i].under_way)
			continue;
		any = true;
		rc = apply_identity(a, a->res->plan.moves[i].new_provider, err);
	}
	return rc == SOV_OK && any ? sov_repo_commit_admin(a->repo, enter_moves, a, err) : rc;
}

/* --- 3: bringing over --- */

struct whole_copies
{
	int			to;
	const char **names;
};

static enum sov_code
copy_whole(struct apply *a, size_t i, void *arg, struct sov_error *err)
{
	const struct whole_copies *w = arg;
	struct sov_buf raw = {0};
	struct sov_put_span span;
	enum sov_code rc = sov_whole_read(a->repo, w->names[i], &raw, err);

	/* A head that no provider can prove is not carried along. */
	if (rc == SOV_E_CORRUPT)
	{
		repo_note(a->repo, "%s is damaged at every provider and stays behind", w->names[i]);
		rc = SOV_OK;
	}
	else if (rc == SOV_OK)
	{
		span = (struct sov_put_span) {raw.data, raw.len};
		rc = repo_put(a->repo, w->to, w->names[i], &span, 1, false, err);
	}
	sov_buf_free(&raw);
	return rc;
}

enum sov_code
apply_copy_whole(struct apply *a, int to, struct sov_error *err)
{
	struct whole_copies w = {.to = to};
	struct sov_buf names = {0};
	const struct sov_progress *progress = a->progress;
	size_t		n = 0;
	enum sov_code rc = sov_whole_missing(a->repo, to, &names, err);

	w.names = rc == SOV_OK ? malloc((names.len + 1) * sizeof *w.names) : NULL;
	if (rc == SOV_OK && w.names == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t at = 0; rc == SOV_OK && at < names.len; at += strlen(w.names[n - 1]) + 1)
		w.names[n++] = (const char *) names.data + at;
	/* who cancels waits for them: they are few, and without them the new one does not count */
	a->progress = NULL;
	if (rc == SOV_OK)
		rc = apply_crew(a, APPLY_CREW, n, copy_whole, &w, err);
	a->progress = progress;
	free(w.names);
	sov_buf_free(&names);
	return rc;
}

struct transfer					/* one shard */
{
	struct sov_inventory_item *item;
	const struct sov_move *move;
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

/* Room for a shard: pages that are in memory already, where there are some. */
static struct sov_buf
take_room(struct apply *a, uint64_t size)
{
	struct sov_buf room = {0};

	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < sizeof a->spare / sizeof *a->spare && room.data == NULL; i++)
		if (a->spare[i].data)
		{
			room = a->spare[i];
			memset(&a->spare[i], 0, sizeof a->spare[i]);
		}
	pthread_mutex_unlock(&a->lock);
	room.len = 0;
	(void) sov_buf_reserve(&room, size + 1);	/* without, it grows as the shard comes */
	return room;
}

static void
give_room(struct apply *a, struct sov_buf *room)
{
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < sizeof a->spare / sizeof *a->spare && room->data && !room->bad; i++)
		if (a->spare[i].data == NULL)
		{
			a->spare[i] = *room;
			memset(room, 0, sizeof *room);
		}
	pthread_mutex_unlock(&a->lock);
	sov_buf_free(room);
}

/* Is it there now, as far as its header tells?  The next inventory does not look again. */
static void
look_back(struct apply *a, struct sov_inventory_item *it, int slot, int provider, const char *name, uint64_t size)
{
	struct sov_scan_item item = {.provider = provider, .name = name, .size = size};

	sov_repo_scan_one(a->repo, it->class_, &item);
	if (!item.readable || !sov_inventory_is(it, slot, &item.info))
		return;
	pthread_mutex_lock(&a->lock);
	it->have |= (uint16_t) (1u << slot);
	pthread_mutex_unlock(&a->lock);
}

static enum sov_code
transfer_one(struct apply *a, size_t i, void *arg, struct sov_error *err)
{
	const struct transfer *t = (const struct transfer *) arg + i;
	struct sov_inventory_item *it = t->item;
	struct sov_repo *repo = a->repo;
	int			slot = sov_map_slot_at(&repo->admin.map, it->class_, it->id, t->move->position);
	struct repo_place place;
	struct sov_buf object = take_room(a, it->size);
	struct sov_put_span span;
	bool		copied = false;
	enum sov_code rc = repo_place(repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, err);

	if (rc == SOV_OK)
	{
		copied = copy_shard(repo, it, slot, &place, &object) == SOV_OK;
		if (!copied)
		{
			object.len = 0;
			rc = sov_repo_rebuild(repo, it->class_, it->id, it->generation, it->attempt, (uint8_t) slot, &object, err);
		}
	}
	/* An attempt that a failed push left with fewer than k shards is not worth
	 * stopping for: nobody relies on it.  (If somebody does, give_up.c finds out.) */
	if (rc == SOV_E_CORRUPT || rc == SOV_E_NOTFOUND)
	{
		a->passed_over++;
		give_room(a, &object);
		return SOV_OK;
	}
	span = (struct sov_put_span) {object.data, object.len};
	if (rc == SOV_OK)
		rc = repo_put(repo, t->move->new_provider, place.name_now, &span, 1, false, err);
	if (rc == SOV_OK)
	{
		pthread_mutex_lock(&a->lock);
		a->res->copied += copied;
		a->res->rebuilt += !copied;
		apply_progress(a, object.len);
		pthread_mutex_unlock(&a->lock);
		look_back(a, it, slot, t->move->new_provider, place.name_now, object.len);
	}
	give_room(a, &object);
	return rc;
}

/* One pass over the inventory; *moved counts what was missing. */
static enum sov_code
bring_over(struct apply *a, struct sov_inventory *inv, uint64_t *moved, struct sov_error *err)
{
	struct transfer *t = malloc(sizeof *t * (inv->n_items * (size_t) a->res->plan.n_moves + 1));
	const struct sov_map *map = &a->repo->admin.map;
	size_t		n = 0;
	enum sov_code rc;

	if (t == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (int m = 0; m < a->res->plan.n_moves; m++)
	{
		const struct sov_move *move = &a->res->plan.moves[m];

		for (size_t i = 0; i < inv->n_items; i++)
		{
			struct sov_inventory_item *it = &inv->items[i];

			if (it->generation == map->generation && (it->have >> sov_map_slot_at(map, it->class_, it->id, move->position) & 1) == 0)
				t[n++] = (struct transfer) {it, move};
		}
	}
	rc = apply_crew(a, APPLY_CREW, n, transfer_one, t, err);
	*moved = n;
	free(t);
	return rc;
}

/* What was acknowledged has k shards at n positions, so n-k+1 of them show at
 * least one.  With fewer looked at, something may be overlooked, and the old
 * provider's copy is not to be given up. */
enum sov_code
apply_saw_enough(const struct sov_repo *repo, const struct sov_map *map, const struct sov_inventory *inv, struct sov_error *err)
{
	int			seen = 0,
				need = map->n - map->k + 1;
	char		down[400];

	for (int p = 0; p < map->n; p++)
	{
		const struct sov_map_slot *pos = &map->pos[p];
		int			now = sov_repo_provider_of(repo, pos->uuid),
					before = pos->prev_alias[0] ? sov_repo_provider_of(repo, pos->prev_uuid) : now;

		seen += now >= 0 && inv->asked[now] && before >= 0 && inv->asked[before];
	}
	if (seen >= need)
		return SOV_OK;
	repo_provider_down_list(repo, down, sizeof down);
	return sov_fail(err, SOV_E_QUORUM, "bring a provider back, then run 'pg_sovereign apply' again: it goes on where it stopped",
					"only %d of %d positions could be looked at, %d are needed to know all that is to be moved: %s", seen, map->n, need, down);
}

/* The plan's inventory as it is now that the map names both: what the left provider has of a
 * position, it has as the one before.  The new one, just entered, has nothing. */
static void
after_entering(const struct apply *a, struct sov_inventory *inv)
{
	const struct sov_map *map = &a->repo->admin.map;

	for (int m = 0; m < a->res->plan.n_moves; m++)
	{
		const struct sov_move *move = &a->res->plan.moves[m];

		if (move->under_way)
			continue;
		inv->asked[move->new_provider] = true;
		for (size_t i = 0; i < inv->n_items; i++)
		{
			struct sov_inventory_item *it = &inv->items[i];
			uint16_t	bit = (uint16_t) (1u << sov_map_slot_at(map, it->class_, it->id, move->position));

			if (it->generation != map->generation)
				continue;
			it->before |= it->have & bit;
			it->have &= (uint16_t) ~bit;
		}
	}
}

/*
 * The first pass works from the plan's inventory.  What writers put by the old map until
 * they saw the new one, the next inventory shows: only one that shows nothing missing
 * ends it.  It looks at every list again, and at every header that was not read before;
 * that of what was put at the new provider is read right after the put.
 */
static enum sov_code
bring_all_over(struct apply *a, struct sov_inventory *inv, struct sov_error *err)
{
	uint64_t	moved = 1,
				before = UINT64_MAX;
	enum sov_code rc = SOV_OK;

	after_entering(a, inv);
	for (int pass = 0; pass < MIGRATE_PASSES && rc == SOV_OK && moved > 0 && moved < before; pass++)
	{
		if (pass > 0)
			before = moved;
		for (int i = 0; i < a->res->plan.n_moves && rc == SOV_OK; i++)
			rc = apply_copy_whole(a, a->res->plan.moves[i].new_provider, err);
		if (rc == SOV_OK && pass > 0)
		{
			struct sov_inventory next;

			rc = sov_inventory_read_again(a->repo, inv, &next, err);
			if (rc != SOV_OK)
				return rc;
			sov_inventory_free(inv);
			*inv = next;
		}
		if (rc == SOV_OK)
			rc = apply_saw_enough(a->repo, &a->repo->admin.map, inv, err);
		if (rc == SOV_OK)
			rc = bring_over(a, inv, &moved, err);
	}
	return rc;
}

/* --- 4: the map without the old --- */

void
apply_list_left(struct sov_admin_head *head, const uint8_t uuid[16], const char *alias)
{
	if (head->n_left == 32)
	{
		memmove(&head->left[0], &head->left[1], sizeof head->left[0] * 31);
		head->n_left--;
	}
	memcpy(head->left[head->n_left].uuid, uuid, 16);
	snprintf(head->left[head->n_left].alias, sizeof head->left[0].alias, "%s", alias);
	head->left[head->n_left++].time_us = (uint64_t) repo_now_us();
}

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
		apply_list_left(head, pos->prev_uuid, pos->prev_alias);
		memset(pos->prev_uuid, 0, 16);
		pos->prev_alias[0] = '\0';
	}
	head->map.version++;
	return SOV_OK;
}

static enum sov_code
apply_locked(struct apply *a, struct sov_error *err)
{
	struct sov_inventory inv;
	uint64_t	left;
	enum sov_code rc = repo_complete_admin(a->repo, err);

	if (rc != SOV_OK)
		return rc;
	rc = migrate_plan(a->repo, &a->res->plan, &inv, err);
	if (rc == SOV_OK && a->res->plan.n_moves > 0)
	{
		rc = begin(a, err);
		if (rc == SOV_OK)
			rc = bring_all_over(a, &inv, err);
		if (rc == SOV_OK)
			rc = apply_may_give_up(a, &inv, err);
		if (rc == SOV_OK)
			rc = sov_repo_commit_admin(a->repo, leave_moves, a, err);
	}
	sov_inventory_free(&inv);
	if (rc == SOV_OK && a->res->plan.recode.wanted)
		rc = recode_run(a, err);
	if (rc == SOV_OK)
		leave_all(a);
	return rc == SOV_OK ? sov_repo_settle(a->repo, 0, &left, err) : rc;
}

enum sov_code
sov_apply_run(struct sov_repo *repo, bool accept_loss, const struct sov_progress *progress,
			  struct sov_apply_result *res, struct sov_error *err)
{
	struct apply a = {.repo = repo, .progress = progress, .res = res, .lock = PTHREAD_MUTEX_INITIALIZER, .started_us = repo_now_us(), .accept_loss = accept_loss};
	int64_t		start = repo_mono_us();
	int			fd;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	rc = sov_repo_obey_policy(repo, err);
	if (rc == SOV_OK)
		rc = repo_try_lock_file(repo, "apply.lock", &fd, err);
	if (rc != SOV_OK)
		return rc;
	rc = apply_locked(&a, err);
	close(fd);
	for (size_t i = 0; i < sizeof a.spare / sizeof *a.spare; i++)
		sov_buf_free(&a.spare[i]);
	memset(repo->priv->counted, 0, sizeof repo->priv->counted);	/* before it moved anything */
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	return rc;
}
