/*
 * give_up.c - may a provider be left that could not be looked at?
 *
 * What it had was rebuilt from the others.  Where another lacks a shard too, k were not to
 * be had, and apply passed the object over: that may be the rest of a push that failed, on
 * which nobody relies, or what a backup needs, of which the left provider still has the
 * shard that would save it.  So the backups decide: if one cannot be restored from what is
 * within reach, the provider stays in the map until it can be read again, or until
 * whoever runs apply says that the loss is accepted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "migrate_private.h"
#include "sov_verify.h"

/* Those being left that were not read, by name; "": each was. */
static void
unseen(const struct apply *a, const struct sov_inventory *inv, char *names, size_t cap)
{
	const struct sov_map *map = &a->repo->admin.map;
	size_t		at = 0;

	names[0] = '\0';
	for (int p = 0; p < map->n; p++)
	{
		const struct sov_map_slot *pos = &map->pos[p];
		int			before = pos->prev_alias[0] ? sov_repo_provider_of(a->repo, pos->prev_uuid) : 0;

		if (pos->prev_alias[0] && (before < 0 || !inv->asked[before]) && at + sizeof pos->prev_alias + 4 < cap)
			at += (size_t) snprintf(names + at, cap - at, "%s\"%s\"", at ? ", " : "", pos->prev_alias);
	}
}

static void
first_lost(void *ctx, const struct sov_problem *p)
{
	char	   *what = ctx;

	if (p->kind == SOV_PROBLEM_LOST && what[0] == '\0')
		snprintf(what, 300, "%.100s: %.180s", p->what, p->message);
}

enum sov_code
apply_may_give_up(const struct apply *a, const struct sov_inventory *inv, struct sov_error *err)
{
	char		names[400],
				what[300] = "";
	struct sov_verify_options opt = {.problem = first_lost, .ctx = what};
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
	if (rc != SOV_OK || res.backups_whole == res.backups)
		return rc;
	return sov_fail(err, SOV_E_QUORUM,
					"put its section back, with state = drain, and run 'pg_sovereign apply' again; if it is gone for good, 'pg_sovereign apply --accept-loss' leaves it",
					"%" PRIu64 " of %" PRIu64 " backups could not be restored without provider %s, which is to be left and was not read (%s)",
					(uint64_t) (res.backups - res.backups_whole), (uint64_t) res.backups, names, what);
}
