/*
 * migrate.c - plan: what a changed configuration moves.
 *
 * See sov_migrate.h.  apply.c carries it out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate_private.h"

static bool
uuid_set(const uint8_t uuid[16])
{
	static const uint8_t zero[16];

	return memcmp(uuid, zero, 16) != 0;
}

/* Is this provider in the map, as the holder of a position? */
static bool
in_map(const struct sov_repo *repo, int provider)
{
	for (int p = 0; p < repo->admin.map.n; p++)
		if (sov_repo_provider_of(repo, repo->admin.map.pos[p].uuid) == provider)
			return true;
	return false;
}

/* Why a position must move, NULL when it stays. */
static const char *
why_leave(const struct sov_repo *repo, const struct sov_map_slot *pos)
{
	int			i = sov_repo_provider_of(repo, pos->uuid);

	if (i >= 0)
		return repo->providers[i].cfg->state == SOV_PROVIDER_DRAIN ? "drained" : NULL;
	for (i = 0; i < repo->n_providers; i++)
		if (repo->providers[i].fresh && strcmp(repo->providers[i].cfg->name, pos->alias) == 0)
			return "emptied or given another place";
	return "gone from the configuration";
}

/* The next provider that can take a position; -1: none. */
static int
next_free(const struct sov_repo *repo, bool *taken)
{
	for (int i = 0; i < repo->n_providers; i++)
	{
		const struct sov_repo_provider *rp = &repo->providers[i];

		if (rp->cfg->state != SOV_PROVIDER_ACTIVE || taken[i] || in_map(repo, i))
			continue;
		taken[i] = true;
		return i;
	}
	return -1;
}

/* Which positions move, and to whom. */
static enum sov_code
find_moves(struct sov_repo *repo, struct sov_plan *plan, struct sov_error *err)
{
	bool		taken[SOV_MAX_PROVIDERS] = {false};

	for (int p = 0; p < repo->admin.map.n; p++)
	{
		const struct sov_map_slot *pos = &repo->admin.map.pos[p];
		struct sov_move *m = &plan->moves[plan->n_moves];
		const char *why = why_leave(repo, pos);
		bool		under_way = uuid_set(pos->prev_uuid);

		if (!under_way && why == NULL)
			continue;
		if (under_way && why != NULL)
			return sov_fail(err, SOV_E_CONFIG, "configure it again until 'pg_sovereign apply' has finished, then change the configuration",
							"position %d is being moved to provider %s, which is %s", p, pos->alias, why);
		memset(m, 0, sizeof *m);
		m->position = p;
		m->under_way = under_way;
		memcpy(m->old_uuid, under_way ? pos->prev_uuid : pos->uuid, 16);
		snprintf(m->old_alias, sizeof m->old_alias, "%s", under_way ? pos->prev_alias : pos->alias);
		m->old_provider = sov_repo_provider_of(repo, m->old_uuid);
		m->new_provider = under_way ? sov_repo_provider_of(repo, pos->uuid) : next_free(repo, taken);
		m->why = under_way ? "move under way" : why;
		if (m->new_provider < 0)
			return sov_fail(err, SOV_E_CONFIG, "add a [provider.NAME] section for a new provider",
							"provider %s is %s, and %s names no provider that could take its place",
							m->old_alias, why, repo->cfg.file);
		if (repo->providers[m->new_provider].down)
			return sov_fail(err, SOV_E_PROVIDER, "make it reachable first",
							"the new provider %s does not answer: %s", repo->providers[m->new_provider].cfg->name,
							repo->providers[m->new_provider].last.message);
		plan->n_moves++;
	}
	return SOV_OK;
}

/* Count what one move has to bring over. */
static void
count_move(struct sov_repo *repo, const struct sov_inventory *inv, struct sov_move *m, struct sov_plan *plan)
{
	bool		live = m->old_provider >= 0 && inv->asked[m->old_provider];

	for (size_t i = 0; i < inv->n_items; i++)
	{
		const struct sov_inventory_item *it = &inv->items[i];
		int			slot = sov_map_slot_at(&repo->admin.map, it->class_, it->id, m->position);
		bool		at_old = (m->under_way ? it->before : it->have) >> slot & 1;

		if (it->generation != repo->admin.map.generation)
			continue;
		if (m->under_way && (it->have >> slot & 1))
		{
			m->done++;
			continue;
		}
		if (live && at_old)
		{
			m->copies++;
			m->copy_bytes += it->size;
			plan->requests += 2;
		}
		else
		{
			m->rebuilds++;
			m->rebuild_bytes += it->size;
			plan->requests += 1 + repo->admin.map.k;
		}
		plan->bytes += it->size;
	}
}

/* Of what moves, the headers at who is left tell what there is: the others have the same. */
static enum sov_code
read_inventory(struct sov_repo *repo, const struct sov_plan *plan, struct sov_inventory *inv, struct sov_error *err)
{
	for (int i = 0; i < plan->n_moves && !plan->recode.wanted; i++)
		if (plan->moves[i].old_provider >= 0)
			return sov_inventory_read_first(repo, plan->moves[i].old_provider, inv, err);
	return sov_inventory_read(repo, inv, err);
}

enum sov_code
migrate_plan(struct sov_repo *repo, struct sov_plan *plan, struct sov_inventory *inv, struct sov_error *err)
{
	struct sov_buf names = {0};
	enum sov_code rc;

	memset(plan, 0, sizeof *plan);
	memset(inv, 0, sizeof *inv);
	rc = recode_wanted(repo, &plan->recode, err);
	/* Providers that are left need no moves of their own when all is coded anew. */
	if (rc == SOV_OK && (!plan->recode.wanted || plan->recode.under_way))
		rc = find_moves(repo, plan, err);
	if (rc != SOV_OK || (plan->n_moves == 0 && !plan->recode.wanted))
		return rc;
	rc = read_inventory(repo, plan, inv, err);
	if (rc == SOV_OK)
		rc = sov_whole_names(repo, &names, err);
	for (size_t at = 0; rc == SOV_OK && at < names.len; at += strlen((char *) names.data + at) + 1)
		plan->whole_objects++;
	for (int i = 0; rc == SOV_OK && i < plan->n_moves; i++)
		count_move(repo, inv, &plan->moves[i], plan);
	if (rc == SOV_OK && plan->recode.wanted)
		recode_count(repo, inv, plan);
	plan->requests += plan->whole_objects * (uint64_t) (2 * plan->n_moves);
	sov_buf_free(&names);
	return rc;
}

enum sov_code
sov_plan_make(struct sov_repo *repo, struct sov_plan *plan, struct sov_error *err)
{
	struct sov_inventory inv;
	enum sov_code rc = sov_repo_obey_policy(repo, err);

	if (rc != SOV_OK)
		return rc;
	rc = migrate_plan(repo, plan, &inv, err);
	sov_inventory_free(&inv);
	return rc;
}
