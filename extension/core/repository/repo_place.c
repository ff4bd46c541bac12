/*
 * repo_place.c - where the shards of an object lie.
 *
 * Where a slot lies is computed, never looked up: the provider map gives a
 * position per slot (rotated by the id), the position gives the provider, and
 * while a position is being moved also the previous provider.  The local spool
 * is one more place to read from: what it holds is as good as a shard.
 */
#include <stdio.h>
#include <string.h>

#include "repo_private.h"
#include "sov_run.h"

enum sov_code
sov_repo_name(struct sov_repo *repo, const uint8_t provider[16], uint8_t class_, const char *id,
			  uint32_t generation, uint8_t slot, uint16_t attempt, char dst[SOV_NAME_MAX], struct sov_error *err)
{
	return sov_shard_object_name(repo->keys, provider, class_, id, generation, slot, attempt, dst, err);
}

static bool
uuid_set(const uint8_t uuid[16])
{
	static const uint8_t zero[16];

	return memcmp(uuid, zero, 16) != 0;
}

enum sov_code
repo_place(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation,
		   uint8_t slot, uint16_t attempt, struct repo_place *place, struct sov_error *err)
{
	const struct sov_map *map = repo_map_of(repo, generation);
	const struct sov_map_slot *pos;
	enum sov_code rc;

	memset(place, 0, sizeof *place);
	if (map == NULL || slot >= map->n)
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "no shard %d of generation %u is kept", slot, generation);
	place->position = sov_map_position(map, class_, id, slot);
	pos = place->pos = &map->pos[place->position];
	place->now = sov_repo_provider_of(repo, pos->uuid);
	place->before = -1;
	rc = sov_repo_name(repo, pos->uuid, class_, id, generation, slot, attempt, place->name_now, err);
	if (rc == SOV_OK && uuid_set(pos->prev_uuid))
	{
		place->before = sov_repo_provider_of(repo, pos->prev_uuid);
		rc = sov_repo_name(repo, pos->prev_uuid, class_, id, generation, slot, attempt, place->name_before, err);
	}
	return rc;
}

/* Section name under which a position's debt is kept. */
const char *
repo_place_alias(const struct sov_repo *repo, const struct repo_place *place)
{
	return place->now >= 0 ? repo->providers[place->now].cfg->name : place->pos->alias;
}

enum sov_code
repo_fetch(struct sov_repo *repo, const struct repo_place *place, uint64_t len,
		   struct sov_buf *out, int *from, struct sov_error *err)
{
	struct sov_error first;
	enum sov_code rc = SOV_E_PROVIDER;
	bool		sure = true;

	sov_error_clear(&first);
	*from = place->now;
	if (place->now >= 0)
		rc = repo_get(repo, place->now, place->name_now, 0, len, out, &first);
	else
		sov_fail(&first, SOV_E_PROVIDER, NULL, "provider %s is not configured", place->pos->alias);
	if (rc == SOV_OK)
		return SOV_OK;
	sure = rc == SOV_E_NOTFOUND;
	if (place->name_before[0] != '\0')
	{
		out->len = 0;
		*from = place->before;
		rc = place->before >= 0 ? repo_get(repo, place->before, place->name_before, 0, len, out, NULL) : SOV_E_PROVIDER;
		if (rc == SOV_OK)
			return SOV_OK;
		sure = sure && rc == SOV_E_NOTFOUND;
	}
	out->len = 0;
	*from = -1;
	if (repo_spool_get(repo, repo_place_alias(repo, place), place->name_now, out, NULL) == SOV_OK)
		return SOV_OK;
	out->len = 0;
	if (err)
		*err = first;
	if (sure)
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "no such object");
	if (err && err->code == SOV_E_NOTFOUND)	/* the previous place did not answer */
		sov_fail(err, SOV_E_PROVIDER, NULL, "provider %s is not configured or does not answer",
				 place->pos->prev_alias);
	return SOV_E_PROVIDER;
}

void
repo_list_places(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
				 const bool absent[SOV_EC_MAX], const bool damaged[SOV_EC_MAX], char *dst, size_t cap)
{
	struct repo_place place;
	size_t		used = 0;

	dst[0] = '\0';
	for (int s = 0; s < map->n; s++)
		if ((absent[s] || damaged[s]) && used < cap &&
			repo_place(repo, class_, id, map->generation, (uint8_t) s, attempt, &place, NULL) == SOV_OK)
			used += (size_t) snprintf(dst + used, cap - used, "; provider %s, object %s: %s", repo_place_alias(repo, &place),
									  place.name_now, damaged[s] ? "damaged" : "absent");
}
