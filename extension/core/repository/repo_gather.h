/*
 * repo_gather.h - the shards of one object, read until enough of them agree.
 */
#ifndef REPO_GATHER_H
#define REPO_GATHER_H

#include "race.h"
#include "repo_private.h"

#define GATHER_WHOLE UINT64_MAX

struct gather
{
	struct sov_repo *repo;
	const struct sov_map *map;	/* by which it is looked for */
	uint8_t		class_;
	const char *id;
	uint32_t	generation;
	uint16_t	attempt;
	uint64_t	len;			/* GATHER_WHOLE, or the header only */
	bool		looked_back;	/* at older versions */
	int			slots[SOV_EC_MAX];	/* of this round */
	int			at_once;		/* how many of them are asked without waiting */
	struct race race;
	/* by slot */
	enum slot_get { SLOT_UNASKED, SLOT_GOOD, SLOT_ABSENT, SLOT_UNKNOWN, SLOT_DAMAGED } state[SOV_EC_MAX];
	bool		from_spool[SOV_EC_MAX];
	struct sov_buf raw[SOV_EC_MAX];
	const uint8_t *body[SOV_EC_MAX];
	struct sov_shard_info info[SOV_EC_MAX];
};

extern void gather_init(struct gather *job, struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id,
						uint16_t attempt, uint64_t len);
extern void gather_free(struct gather *job);
/* One slot, for who wants to know of every one: no race. */
extern void gather_ask(int slot, void *job);
/* Fetch until one group is whole, without one slot (-1: none); *leader: a slot of it. */
extern enum sov_code gather_shards(struct gather *job, int skip_slot, int *leader, struct sov_error *err);
/* The largest group among the good slots: its size, and a slot of it (-1: there is none). */
extern int	gather_group(const struct gather *job, int n, int *leader, int *groups_whole);
/* The slots and bodies of the leader's group. */
extern int	gather_members(const struct gather *job, int n, int leader, int *slots, const uint8_t **bodies);
extern int	gather_count(const struct gather *job, int n, int state);

#endif
