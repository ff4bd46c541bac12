/*
 * recode.c - changing k and n.
 *
 * All shards get a new generation with the new k and n.  Steps, each safe to
 * repeat after a kill:
 *   1. new providers get an identity; the administrator's chain gets the new map,
 *      of generation g+1, and beside it the map before.  From here on writers put
 *      by the new map; readers look by the new one, then by the one before; heads
 *      count only when they reached n-k+1 providers of either;
 *   2. every object of generation g is put together from its shards and coded anew:
 *      sealed bytes and block tags need no content key, and the shares of a run's
 *      secret are split anew from k of them;
 *   3. the chain says that the map before is superseded; the shards of generation
 *      g are deleted at the providers that stay;
 *   4. the chain forgets the map before; providers in none are left (leave.c).
 *
 * So at every moment each object has either all its old shards or all its new
 * ones, and a kill leaves only a state that the next apply goes on from.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate_private.h"

/* --- plan --- */

static enum sov_code
hold_on(const struct sov_repo *repo, struct sov_error *err)
{
	char		hint[160];

	snprintf(hint, sizeof hint, "set needed = %d and shards = %d, run 'pg_sovereign apply', then change the configuration",
			 repo->admin.map.k, repo->admin.map.n);
	return sov_fail(err, SOV_E_CONFIG, hint, "%s asks for needed = %d and shards = %d while another change is under way",
					repo->cfg.file, repo->cfg.needed, repo->cfg.shards);
}

/* Who will hold which position: those of the map first, then new ones. */
static enum sov_code
choose_holders(struct sov_repo *repo, struct sov_recode *r, struct sov_error *err)
{
	int			count = 0;

	for (int p = 0; p < repo->admin.map.n && count < r->n; p++)
	{
		int			i = sov_repo_provider_of(repo, repo->admin.map.pos[p].uuid);

		if (i >= 0 && repo->providers[i].cfg->state == SOV_PROVIDER_ACTIVE)
			r->holder[count++] = i;
	}
	for (int i = 0; i < repo->n_providers && count < r->n; i++)
	{
		const struct sov_repo_provider *rp = &repo->providers[i];
		bool		taken = false;

		for (int h = 0; h < count; h++)
			taken = taken || r->holder[h] == i;
		if (!taken && rp->cfg->state == SOV_PROVIDER_ACTIVE)
			r->holder[count++] = i;
	}
	if (count < r->n)
		return sov_fail(err, SOV_E_CONFIG, "add a [provider.NAME] section for each", "%d providers are needed, %s has %d that can take shards",
						r->n, repo->cfg.file, count);
	for (int h = 0; h < count; h++)
		if (repo->providers[r->holder[h]].down)
			return sov_fail(err, SOV_E_PROVIDER, "make it reachable, or put another provider in its place",
							"all is coded anew, and provider %s does not answer: %s", repo->providers[r->holder[h]].cfg->name,
							repo->providers[r->holder[h]].last.message);
	return SOV_OK;
}

enum sov_code
recode_wanted(struct sov_repo *repo, struct sov_recode *r, struct sov_error *err)
{
	const struct sov_map *map = &repo->admin.map,
			   *was = &repo->admin.was;
	bool		differs = repo->cfg.needed != map->k || repo->cfg.shards != map->n;

	memset(r, 0, sizeof *r);
	if (was->n == 0 && !differs)
		return SOV_OK;
	if (was->n > 0 && differs)
		return hold_on(repo, err);
	for (int p = 0; differs && p < map->n; p++)
		if (map->pos[p].prev_alias[0] != '\0')
			return hold_on(repo, err);
	r->wanted = true;
	r->under_way = was->n > 0;
	r->k = repo->cfg.needed;
	r->n = repo->cfg.shards;
	r->old_k = r->under_way ? was->k : map->k;
	r->old_n = r->under_way ? was->n : map->n;
	if (!r->under_way)
		return choose_holders(repo, r, err);
	for (int p = 0; p < map->n; p++)
		r->holder[p] = sov_repo_provider_of(repo, map->pos[p].uuid);
	return SOV_OK;
}

static const struct sov_inventory_item *
of_generation(const struct sov_inventory *inv, const struct sov_inventory_item *it, uint32_t generation)
{
	const struct sov_inventory_item *end = inv->items + inv->n_items;

	/* sorted by class, id, generation, attempt: neighbours */
	for (const struct sov_inventory_item *o = it + 1; o < end && o->class_ == it->class_ && strcmp(o->id, it->id) == 0; o++)
		if (o->generation == generation && o->attempt == it->attempt)
			return o;
	return NULL;
}

/* Has it all shards by the map, and is it the same object? */
static bool
is_whole(const struct sov_map *map, const struct sov_inventory_item *it, const struct sov_inventory_item *now)
{
	return now != NULL && __builtin_popcount(now->have) == map->n && !now->conflict &&
		memcmp(now->run, it->run, 16) == 0 && memcmp(now->stream, it->stream, 32) == 0;
}

void
recode_count(const struct sov_repo *repo, const struct sov_inventory *inv, struct sov_plan *plan)
{
	struct sov_recode *r = &plan->recode;
	uint32_t	old = r->under_way ? repo->admin.was.generation : repo->admin.map.generation;

	for (size_t i = 0; i < inv->n_items; i++)
	{
		const struct sov_inventory_item *it = &inv->items[i];
		int			k = repo_needed(&repo->admin.map, it->class_, it->id) == 1 ? 1 : r->k;

		if (it->generation != old)
			continue;
		if (r->under_way && is_whole(&repo->admin.map, it, of_generation(inv, it, repo->admin.map.generation)))
		{
			r->done++;
			continue;
		}
		r->objects++;
		r->read_bytes += it->size * it->k;
		r->write_bytes += it->class_ == SOV_CLASS_RUN ? it->size * (uint64_t) r->n : it->size * it->k / (uint64_t) k * (uint64_t) r->n;
		plan->requests += (uint64_t) (it->k + r->n + it->n);	/* read, put, delete */
	}
	plan->bytes += r->write_bytes;
}

/* --- 1: the two maps --- */

static enum sov_code
enter(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	struct apply *a = ctx;
	const struct sov_recode *r = &a->res->plan.recode;

	/* The plan was made from an earlier head. */
	if (head->was.n > 0 || head->map.k != r->old_k || head->map.n != r->old_n)
		return sov_fail(err, SOV_E_CONFLICT, "run 'pg_sovereign plan' and then 'pg_sovereign apply' again",
						"the provider map was changed by another command meanwhile");
	head->was = head->map;
	memset(&head->map, 0, sizeof head->map);
	head->map.version = head->was.version + 1;
	head->map.generation = head->was.generation + 1;
	head->map.k = (uint8_t) r->k;
	head->map.n = (uint8_t) r->n;
	head->superseded = false;
	for (int p = 0; p < r->n; p++)
	{
		memcpy(head->map.pos[p].uuid, repo->providers[r->holder[p]].uuid, 16);
		snprintf(head->map.pos[p].alias, SOV_NAME_MAX, "%s", repo->providers[r->holder[p]].cfg->name);
	}
	return SOV_OK;
}

static enum sov_code
begin(struct apply *a, struct sov_error *err)
{
	const struct sov_recode *r = &a->res->plan.recode;
	enum sov_code rc = SOV_OK;

	if (r->under_way)
		return SOV_OK;
	for (int p = 0; p < r->n && rc == SOV_OK; p++)
		if (!a->repo->providers[r->holder[p]].known || !repo_in_map(&a->repo->admin.map, a->repo->providers[r->holder[p]].uuid))
			rc = apply_identity(a, r->holder[p], err);
	return rc == SOV_OK ? sov_repo_commit_admin(a->repo, enter, a, err) : rc;
}

/* --- 2: coding anew --- */

struct recoding					/* one object */
{
	const struct sov_inventory_item *old;
	uint16_t	have;			/* new shards that are there already */
};
struct pass
{
	const struct sov_inventory *inv;
	struct recoding *items;
	size_t		n;
	_Atomic uint64_t given_up;
};

struct put_new
{
	struct sov_repo *repo;
	const struct sov_inventory_item *it;
	const struct sov_shard_set *set;
	uint16_t	have;
	enum sov_code rc[SOV_EC_MAX];
	struct sov_error err[SOV_EC_MAX];
	uint64_t	bytes[SOV_EC_MAX];
};

static enum sov_code
put_at(struct sov_repo *repo, const struct sov_inventory_item *it, int slot, const struct sov_put_span *spans, int n, struct sov_error *err)
{
	struct repo_place place;
	enum sov_code rc = repo_place(repo, it->class_, it->id, repo->admin.map.generation, (uint8_t) slot, it->attempt, &place, err);

	if (rc == SOV_OK && place.now < 0)
		rc = sov_fail(err, SOV_E_PROVIDER, "configure it, or put another provider in its place", "provider %s is not configured", place.pos->alias);
	return rc == SOV_OK ? repo_put(repo, place.now, place.name_now, spans, n, false, err) : rc;
}

static void
put_new_slot(int slot, void *arg)
{
	struct put_new *p = arg;
	struct sov_put_span spans[2] = {{p->set->prefix[slot].data, p->set->prefix[slot].len}, {p->set->body[slot], p->set->info.shard_len}};

	if (p->have >> slot & 1)
		return;
	p->rc[slot] = put_at(p->repo, p->it, slot, spans, 2, &p->err[slot]);
	p->bytes[slot] = spans[0].len + spans[1].len;
}

static enum sov_code
recode_shards(struct sov_repo *repo, const struct recoding *r, uint64_t *bytes, struct sov_error *err)
{
	const struct sov_inventory_item *it = r->old;
	struct sov_shard_info info;
	struct sov_buf sealed = {0};
	struct sov_shard_set set;
	struct put_new *p = calloc(1, sizeof *p);
	enum sov_code rc = p ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = repo_get_generation(repo, it->class_, it->id, it->generation, it->attempt, &info, &sealed, err);
	if (rc == SOV_OK)
	{
		info.k = repo_needed(&repo->admin.map, it->class_, it->id);
		info.n = repo->admin.map.n;
		info.generation = repo->admin.map.generation;
		rc = sov_shard_encode(repo->keys, &info, sealed.data, sealed.len, &set, err);
	}
	if (rc == SOV_OK)
	{
		*p = (struct put_new) {.repo = repo, .it = it, .set = &set, .have = r->have};
		sov_parallel(info.n, put_new_slot, p);
		for (int s = 0; s < info.n; s++)
		{
			*bytes += p->bytes[s];
			if (p->rc[s] != SOV_OK && rc == SOV_OK)
			{
				rc = p->rc[s];
				if (err)
					*err = p->err[s];
			}
		}
		sov_shard_set_free(&set);
	}
	sov_buf_free(&sealed);
	free(p);
	return rc;
}

/* A new split is another polynomial: all its shares are put, those that lie there
 * already first, so that none is missing only when all are of one split. */
static enum sov_code
recode_run_shares(struct sov_repo *repo, const struct recoding *r, uint64_t *bytes, struct sov_error *err)
{
	struct sov_run_share *shares = sov_secret_alloc(sizeof *shares * SOV_EC_MAX, err);
	struct sov_buf objects[SOV_EC_MAX] = {{0}};
	int			n_shares,
				n = repo->admin.map.n;
	enum sov_code rc = shares ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = repo_read_shares(repo, &repo->admin.was, r->old->run, -1, shares, &n_shares, err);
	if (rc == SOV_OK)
		rc = sov_run_resplit(repo->keys, shares, n_shares, repo->admin.map.k, n, objects, err);
	for (int missing = 0; missing < 2; missing++)
		for (int s = 0; s < n && rc == SOV_OK; s++)
		{
			struct sov_put_span span = {objects[s].data, objects[s].len};

			if ((r->have >> s & 1) == missing)
				continue;
			rc = put_at(repo, r->old, s, &span, 1, err);
			*bytes += span.len;
		}
	for (int s = 0; s < SOV_EC_MAX; s++)
		sov_buf_free(&objects[s]);
	sov_secret_free(shares);
	return rc;
}

/* Are providers out of reach that are left, and no others? */
static bool
only_left_are_away(const struct sov_repo *repo, const struct sov_inventory *inv)
{
	const struct sov_map *was = &repo->admin.was;
	bool		any = false;

	for (int p = 0; p < was->n; p++)
	{
		bool		away = apply_is_away(repo, was->pos[p].uuid, inv);

		if (away ? repo_in_map(&repo->admin.map, was->pos[p].uuid) : repo->providers[sov_repo_provider_of(repo, was->pos[p].uuid)].down)
			return false;
		any = any || away;
	}
	return any;
}

static enum sov_code
recode_one(struct apply *a, size_t i, void *arg, struct sov_error *err)
{
	struct pass *pass = arg;
	const struct recoding *r = &pass->items[i];
	uint64_t	bytes = 0;
	enum sov_code rc = r->old->class_ == SOV_CLASS_RUN ? recode_run_shares(a->repo, r, &bytes, err) : recode_shards(a->repo, r, &bytes, err);

	/* Fewer than k shards, for certain: what a failed push left, or lost before.  So are
	 * they, as far as can be seen, where all but those that are left were read: give_up.c
	 * finds out whether something needs it. */
	if (rc == SOV_E_QUORUM && __builtin_popcount(r->old->have) < r->old->k && only_left_are_away(a->repo, pass->inv))
		rc = SOV_E_NOTFOUND;
	if (rc == SOV_E_CORRUPT || rc == SOV_E_NOTFOUND)
	{
		pass->given_up++;
		return SOV_OK;
	}
	if (rc != SOV_OK)
		return rc;
	pthread_mutex_lock(&a->lock);
	a->res->recoded++;
	apply_progress(a, bytes);
	pthread_mutex_unlock(&a->lock);
	return SOV_OK;
}

static enum sov_code
one_pass(struct apply *a, const struct sov_inventory *inv, uint64_t *left, struct sov_error *err)
{
	const struct sov_admin_head *admin = &a->repo->admin;
	struct pass pass = {.inv = inv, .items = malloc(sizeof *pass.items * (inv->n_items + 1))};
	enum sov_code rc;

	if (pass.items == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t i = 0; i < inv->n_items; i++)
	{
		const struct sov_inventory_item *it = &inv->items[i],
				   *now = it->generation == admin->was.generation ? of_generation(inv, it, admin->map.generation) : NULL;

		if (it->generation != admin->was.generation || is_whole(&admin->map, it, now))
			continue;
		/* another object's shards under these names are put over */
		pass.items[pass.n++] = (struct recoding) {it, now && memcmp(now->stream, it->stream, 32) == 0 && memcmp(now->run, it->run, 16) == 0 && !now->conflict ? now->have : 0};
	}
	rc = apply_crew(a, APPLY_CREW, pass.n, recode_one, &pass, err);
	*left = pass.n - pass.given_up;
	a->passed_over += pass.given_up;
	free(pass.items);
	return rc;
}

static enum sov_code
recode_all(struct apply *a, struct sov_error *err)
{
	const struct sov_recode *r = &a->res->plan.recode;
	struct sov_inventory inv = {0};
	uint64_t	left = 1;
	enum sov_code rc = SOV_OK;

	for (int pass = 0; rc == SOV_OK && left > 0 && pass < MIGRATE_PASSES; pass++)
	{
		for (int p = 0; p < r->n && rc == SOV_OK; p++)
			if (r->holder[p] >= 0)
				rc = apply_copy_whole(a, r->holder[p], err);
		sov_inventory_free(&inv);
		if (rc == SOV_OK)
			rc = sov_inventory_read(a->repo, &inv, err);
		if (rc != SOV_OK)
			return rc;
		/* what cannot be looked at now might have to be coded anew */
		rc = apply_saw_enough(a->repo, &a->repo->admin.was, &inv, err);
		if (rc == SOV_OK)
			rc = one_pass(a, &inv, &left, err);
	}
	if (rc == SOV_OK && left > 0)
		rc = sov_fail(err, SOV_E_STATE, "run 'pg_sovereign apply' again: it goes on where it stopped",
					  "%llu objects are still to be coded anew", (unsigned long long) left);
	if (rc == SOV_OK)
		rc = apply_may_give_up(a, &inv, err);
	sov_inventory_free(&inv);
	return rc;
}

/* --- 3 and 4: the old shards go --- */

static enum sov_code
supersede(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	(void) ctx;
	(void) repo;
	(void) err;
	head->superseded = head->was.n > 0;
	return SOV_OK;
}

static enum sov_code
forget(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	(void) ctx;
	(void) repo;
	(void) err;
	for (int p = 0; p < head->was.n; p++)
		if (!repo_in_map(&head->map, head->was.pos[p].uuid))
			apply_list_left(head, head->was.pos[p].uuid, head->was.pos[p].alias);
	memset(&head->was, 0, sizeof head->was);
	head->superseded = false;
	head->map.version++;
	return SOV_OK;
}

struct old_shard { const struct sov_inventory_item *it; int slot; };

static enum sov_code
delete_old(struct apply *a, size_t i, void *arg, struct sov_error *err)
{
	const struct old_shard *o = (const struct old_shard *) arg + i;
	struct repo_place place;
	enum sov_code rc = repo_place(a->repo, o->it->class_, o->it->id, o->it->generation, (uint8_t) o->slot, o->it->attempt, &place, err);

	/* who is left is emptied as a whole */
	if (rc != SOV_OK || place.now < 0 || !repo_in_map(&a->repo->admin.map, place.pos->uuid))
		return rc;
	rc = repo_remove(a->repo, place.now, place.name_now, err);
	return rc == SOV_E_NOTFOUND || rc == SOV_E_LOCKED ? SOV_OK : rc;	/* a prune takes it when its lock ends */
}

static enum sov_code
sweep(struct apply *a, struct sov_error *err)
{
	struct sov_inventory inv;
	struct old_shard *old;
	size_t		n = 0;
	enum sov_code rc = sov_inventory_read(a->repo, &inv, err);

	if (rc != SOV_OK)
		return rc;
	old = malloc(sizeof *old * (inv.n_items * SOV_EC_MAX + 1));
	if (old == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t i = 0; rc == SOV_OK && i < inv.n_items; i++)
		for (int s = 0; s < SOV_EC_MAX && inv.items[i].generation == a->repo->admin.was.generation; s++)
			if (inv.items[i].have >> s & 1)
				old[n++] = (struct old_shard) {&inv.items[i], s};
	if (rc == SOV_OK)
		rc = apply_crew(a, APPLY_SMALL_CREW, n, delete_old, old, err);
	free(old);
	sov_inventory_free(&inv);
	return rc;
}

enum sov_code
recode_run(struct apply *a, struct sov_error *err)
{
	enum sov_code rc = begin(a, err);

	if (rc == SOV_OK && !a->repo->admin.superseded)
	{
		rc = recode_all(a, err);
		if (rc == SOV_OK)
			rc = sov_repo_commit_admin(a->repo, supersede, NULL, err);
	}
	if (rc == SOV_OK)
		rc = sweep(a, err);
	if (rc == SOV_OK)
		rc = sov_repo_commit_admin(a->repo, forget, NULL, err);
	return rc;
}
