/*
 * verify_older.c - objects of which fewer than k good shards are left now, and that older
 * versions still give, which providers keep (repo_older.c).
 */
#include <stdio.h>

#include "verify_private.h"

bool
verify_older(struct verify *v, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt)
{
	struct sov_buf object = {0};
	struct sov_error err;
	bool		given = false;

	/* Rebuilding one does not use what lies in its own place, which may be among the k that
	 * are good: of k+1 slots one is not. */
	for (int slot = 0; slot < SOV_EC_MAX && slot <= v->repo->admin.map.k && !given; slot++)
	{
		object.len = 0;
		given = sov_repo_rebuild(v->repo, class_, id, generation, attempt, (uint8_t) slot, &object, &err) == SOV_OK;
	}

	sov_buf_free(&object);
	return given;
}

/* Nothing of it is to be seen now: say so of each shard, and put it back. */
static void
put_back_hidden(struct verify *v, uint8_t class_, const char *id, const char *what)
{
	const struct sov_map *map = &v->repo->admin.map;

	for (int slot = 0; slot < map->n; slot++)
	{
		struct repo_place place;
		struct sov_buf object = {0};
		struct sov_error err;
		const struct sov_damaged *d;
		bool		mended;

		if (repo_place(v->repo, class_, id, map->generation, (uint8_t) slot, 0, &place, &err) != SOV_OK || place.now < 0)
			continue;
		mended = v->opt->repair &&
			sov_repo_rebuild(v->repo, class_, id, map->generation, 0, (uint8_t) slot, &object, &err) == SOV_OK &&
			verify_put_back(v, place.now, place.name_now, &object, v->why_not);
		sov_buf_free(&object);
		d = verify_find_damaged(v, place.now, place.name_now);
		verify_report(v, d ? SOV_PROBLEM_DAMAGED : SOV_PROBLEM_MISSING, v->repo->providers[place.now].cfg->name, place.name_now, what,
					  d ? "it was overwritten; older versions that providers keep still give it" :
					  "it is hidden or gone; older versions that providers keep still give it", mended);
	}
}

bool
verify_given(struct verify *v, uint8_t class_, const char *id, const struct sov_inventory_item *it, const char *what, bool *first)
{
	int		   *said = id_set_put(&v->used, class_, id);
	bool		older;

	*first = said == NULL || *said == 0;
	if (!*first)
		return *said == 2;
	older = verify_older(v, class_, id, it ? it->generation : v->repo->admin.map.generation, it ? it->attempt : 0);
	if (said)
		*said = older ? 2 : 1;
	if (older && it == NULL)
		put_back_hidden(v, class_, id, what);
	return older;
}
