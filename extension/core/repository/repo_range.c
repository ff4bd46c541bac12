/*
 * repo_range.c - parts of a coded object.
 *
 * The code is systematic with a contiguous split: bytes [s * L, (s+1) * L) of the
 * sealed object are the body of data slot s.  So a part is read from the shards
 * that hold it, in whole blocks of 64 KiB, each checked against its tag, the tags
 * against the sealed header.  Wherever that does not go smoothly (a shard that is
 * missing, damaged, being moved or not yet coded anew) the object is read whole, from any k shards.
 */
#include <stdlib.h>
#include <string.h>

#include "race.h"
#include "repo_private.h"

#define HEAD_READ (16 * 1024)	/* header and tags of a pack's shard */
#define JOIN (256 * 1024)		/* parts closer than this are read as one */

struct range_job
{
	struct sov_repo *repo;
	uint8_t		class_;
	const char *id;
	uint32_t	generation;
	uint16_t	attempt;
	const struct sov_range *ranges;
	size_t		n_ranges;
	uint8_t    *dst;			/* the sealed object, where it was read */
	uint64_t	total,
				shard_len;
	struct sov_shard_info info[SOV_EC_MAX];
	struct sov_buf head[SOV_EC_MAX];
	uint64_t	tags_at[SOV_EC_MAX],
				body_at[SOV_EC_MAX];
	struct repo_place place[SOV_EC_MAX];
	bool		good[SOV_EC_MAX];
	void		(*step) (struct range_job *j, int slot);	/* read_head, read_slot */
	struct race race;
	_Atomic uint64_t fetched;
};

/* Header and tags of one slot, from where it is now. */
static void
read_head(struct range_job *j, int slot)
{
	struct sov_repo *repo = j->repo;
	struct repo_place *place = &j->place[slot];
	struct sov_shard_info *info = &j->info[slot];
	struct sov_buf *head = &j->head[slot];

	if (repo_place(repo, j->class_, j->id, j->generation, (uint8_t) slot, j->attempt, place, NULL) != SOV_OK ||
		place->now < 0 || repo_get(repo, place->now, place->name_now, 0, HEAD_READ, head, NULL) != SOV_OK ||
		sov_shard_parse(repo->keys, head->data, head->len, info, &j->tags_at[slot], &j->body_at[slot], NULL) != SOV_OK ||
		info->class_ != j->class_ || strcmp(info->id, j->id) != 0 || info->slot != slot || info->generation != j->generation || info->attempt != j->attempt)
		return;
	if (head->len < j->body_at[slot] &&
		repo_get(repo, place->now, place->name_now, head->len, j->body_at[slot] - head->len, head, NULL) != SOV_OK)
		return;
	j->fetched += head->len;
	j->good[slot] = head->len >= j->body_at[slot] &&
		sov_shard_check_tags(info, head->data + j->tags_at[slot], j->body_at[slot] - j->tags_at[slot], NULL) == SOV_OK;
}

/* Read blocks [from, to) bytes of the slot's body, both on block boundaries but
 * for the end. */
static bool
read_blocks(struct range_job *j, int slot, uint64_t from, uint64_t to)
{
	struct sov_buf body = {0};
	uint64_t	at = (uint64_t) slot * j->shard_len + from;
	bool		good = repo_get(j->repo, j->place[slot].now, j->place[slot].name_now, j->body_at[slot] + from, to - from, &body, NULL) == SOV_OK &&
		body.len == to - from &&
		sov_shard_check_blocks(j->repo->keys, &j->info[slot], j->head[slot].data + j->tags_at[slot], from / SOV_BLOCK_LEN, body.data, body.len, NULL) == SOV_OK;

	/* the last data shard is padded beyond the object */
	if (good && at < j->total)
		memcpy(j->dst + at, body.data, body.len < j->total - at ? body.len : j->total - at);
	j->fetched += body.len;
	sov_buf_free(&body);
	return good;
}

/* What the ranges need of one slot. */
static void
read_slot(struct range_job *j, int slot)
{
	uint64_t	first = (uint64_t) slot * j->shard_len,
				from = 0,
				to = 0;
	bool		good = true;

	for (size_t i = 0; i < j->n_ranges && good; i++)
	{
		uint64_t	a = j->ranges[i].offset > first ? j->ranges[i].offset - first : 0,
					z = j->ranges[i].offset + j->ranges[i].len;

		if (z <= first || a >= j->shard_len)
			continue;
		z = z - first < j->shard_len ? z - first : j->shard_len;
		a -= a % SOV_BLOCK_LEN;
		z += (SOV_BLOCK_LEN - z % SOV_BLOCK_LEN) % SOV_BLOCK_LEN;
		if (z > j->shard_len)
			z = j->shard_len;
		if (to > 0 && a <= to + JOIN)
		{
			to = z > to ? z : to;
			continue;
		}
		if (to > from)
			good = read_blocks(j, slot, from, to);
		from = a;
		to = z;
	}
	if (good && to > from)
		good = read_blocks(j, slot, from, to);
	j->good[slot] = good;
}

/* One of k runners; the one after them stops those that all others wait for. */
static void
run_slot(int slot, void *arg)
{
	struct range_job *j = arg;
	bool		watches = slot == j->race.needed;
	int64_t		started = race_enter(&j->race, !watches);

	if (started == 0)
		return;
	if (watches)
	{
		atomic_store(&j->race.stop, true);
		(void) race_leave(&j->race, started, false);
		return;
	}
	j->good[slot] = false;
	j->step(j, slot);
	if (race_leave(&j->race, started, j->good[slot]) == RACE_SLOW)
		repo_call_slow(j->repo, j->place[slot].now);
}

static bool
all_good(struct range_job *j, int k, void (*step) (struct range_job *, int))
{
	bool		good = true;

	j->step = step;
	race_begin(&j->race, k, RACE_LEAST_PARTS_US);
	sov_parallel(k + 1, run_slot, j);
	race_over(&j->race);
	for (int s = 0; s < k; s++)
		good = good && j->good[s];
	return good;
}

/* The provider of a data slot is slow: any k others are better. */
static bool
any_slow(const struct range_job *j, int k)
{
	const struct sov_map *map = &j->repo->admin.map;

	for (int s = 0; s < k; s++)
		if (repo_is_slow(j->repo, sov_repo_provider_of(j->repo, map->pos[sov_map_position(map, j->class_, j->id, (uint8_t) s)].uuid)))
			return true;
	return false;
}

static bool
read_parts(struct range_job *j, struct sov_shard_info *info, struct sov_buf *sealed)
{
	int			k = j->repo->admin.map.k;

	j->generation = j->repo->admin.map.generation;
	if (any_slow(j, k) || !all_good(j, k, read_head))
		return false;
	for (int s = 0; s < k; s++)
		if (!sov_shard_same_group(&j->info[s], &j->info[0]) || j->info[s].k != k)
			return false;
	*info = j->info[0];
	j->total = info->total_len;
	j->shard_len = info->shard_len;
	for (size_t i = 0; i < j->n_ranges; i++)
		if (j->ranges[i].offset > j->total || j->ranges[i].len > j->total - j->ranges[i].offset)
			return false;
	j->dst = sov_buf_extend(sealed, j->total);
	if (j->dst == NULL)
		return false;
	return all_good(j, k, read_slot);
}

enum sov_code
sov_repo_get_ranges(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt,
					const struct sov_range *ranges, size_t n_ranges, struct sov_shard_info *info,
					struct sov_buf *sealed, uint64_t *fetched, struct sov_error *err)
{
	struct range_job *j = calloc(1, sizeof *j);
	int			fd;
	bool		good = false;
	enum sov_code rc;

	if (j == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	(void) generation;			/* as it was written; parts are read by the newest map */
	j->repo = repo;
	j->class_ = class_;
	j->id = id;
	j->attempt = attempt;
	j->ranges = ranges;
	j->n_ranges = n_ranges;
	sealed->len = 0;
	rc = repo_map_hold(repo, false, &fd, err);
	if (rc == SOV_OK)
	{
		good = read_parts(j, info, sealed);
		repo_map_release(repo, fd);
	}
	*fetched = j->fetched;
	for (int s = 0; s < SOV_EC_MAX; s++)
		sov_buf_free(&j->head[s]);
	free(j);
	if (rc != SOV_OK || good)
		return rc;
	sealed->len = 0;
	rc = sov_repo_get_sealed(repo, class_, id, generation, attempt, info, sealed, err);
	*fetched += sealed->len;
	return rc;
}
