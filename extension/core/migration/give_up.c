/*
 * give_up.c - may a provider be left that could not be looked at?
 *
 * What it had was rebuilt, or coded anew, from the others.  Where another lacks a shard
 * too, k were not to be had, and apply passed the object over: that may be the rest of a
 * push that failed, on which nobody relies, or what a backup or WAL after it needs, of
 * which the left provider still has the shard that would save it.  So what is needed
 * decides: if something of that cannot be read from what is within reach, the provider
 * stays in the map until it can be read again, or until whoever runs apply says that the
 * loss is accepted.  A shard whose header is good may be damaged all the same: where
 * something was passed over, all is read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "migrate_private.h"
#include "sov_verify.h"

static size_t
add_name(const char *alias, char *names, size_t at, size_t cap)
{
	return at + SOV_NAME_MAX + 4 < cap ? at + (size_t) snprintf(names + at, cap - at, "%s\"%s\"", at ? ", " : "", alias) : at;
}

/* Those being left that were not read, by name; "": each was. */
static void
unseen(const struct apply *a, const struct sov_inventory *inv, char *names, size_t cap)
{
	const struct sov_map *map = &a->repo->admin.map,
			   *was = &a->repo->admin.was;
	size_t		at = 0;

	names[0] = '\0';
	for (int p = 0; p < map->n; p++)
		if (map->pos[p].prev_alias[0] && apply_is_away(a->repo, map->pos[p].prev_uuid, inv))
			at = add_name(map->pos[p].prev_alias, names, at, cap);
	for (int p = 0; p < was->n; p++)
		if (!repo_in_map(map, was->pos[p].uuid) && apply_is_away(a->repo, was->pos[p].uuid, inv))
			at = add_name(was->pos[p].alias, names, at, cap);
}

bool
apply_is_away(const struct sov_repo *repo, const uint8_t uuid[16], const struct sov_inventory *inv)
{
	int			i = sov_repo_provider_of(repo, uuid);

	return i < 0 || !inv->asked[i];
}

static void
first_lost(void *ctx, const struct sov_problem *p)
{
	char	   *what = ctx;

	if (p->kind == SOV_PROBLEM_LOST && what[0] == '\0')
		snprintf(what, 300, "%.100s: %.180s", p->what, p->message);
}

enum sov_code
apply_may_give_up(struct apply *a, const struct sov_inventory *inv, struct sov_error *err)
{
	char		names[400],
				what[300] = "",
				needs[80];
	struct sov_verify_options opt = {.deep = a->passed_over > 0, .problem = first_lost, .ctx = what};
	struct sov_verify_result res;
	struct sov_progress quiet = {0};
	enum sov_code rc;

	unseen(a, inv, names, sizeof names);
	if (names[0] == '\0' || a->accept_loss)
		return SOV_OK;
	if (a->progress)
	{
		quiet.cancelled = a->progress->cancelled;
		quiet.ctx = a->progress->ctx;
	}
	rc = sov_verify_run(a->repo, &opt, &quiet, &res, err);
	if (rc != SOV_OK || res.lost == 0)
		return rc;
	snprintf(needs, sizeof needs, "%" PRIu64 " of %" PRIu64 " backups", (uint64_t) (res.backups - res.backups_whole), (uint64_t) res.backups);
	return sov_fail(err, SOV_E_QUORUM,
					"put its section back, with state = drain, and run 'pg_sovereign apply' again; if it is gone for good, 'pg_sovereign apply --accept-loss' leaves it",
					"%s could not be restored without provider %s, which is to be left and was not read (%s)",
					res.backups_whole < res.backups ? needs : "what backups need, or the WAL after them,", names, what);
}
