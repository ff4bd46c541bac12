/*
 * sov_history.h - how many losses the repository tolerated, and how much each provider
 * held, through time.
 *
 * The file "history" of the state directory has a line of JSON for each point:
 *   time_us     when; clocks may have been wrong, so lines need not be in its order
 *   of          point, or hour or day: points that were put together, see below
 *   tolerated   losses tolerated by class, as in sov_facts.h: {"pack": 1, "WAL": 1, ...}
 *   backups, stored   how many, and their stored bytes over all providers
 *   providers   by name: state, owed (objects), bytes (of its shards, where the command
 *               listed that provider: verify, repair, prune)
 *   found       of a verify or repair: tolerates, and missing, damaged, lost that were left
 * A point is written by whoever keeps the facts, so that no provider is asked for it:
 * when something but owed differs from the line before, else once an hour.
 *
 * Bounded: with the first point of a day, points more than 7 days older than the last
 * become one for each day, and, where there are still more than SOV_HISTORY_MAX, all
 * of them one for each hour.  Points that are put together keep the worst: the fewest
 * losses, a provider that was down, the most that was owed; and the last bytes counted.
 * A clock that was wrong puts nothing of that away.
 */
#ifndef SOV_HISTORY_H
#define SOV_HISTORY_H

#include "sov_bytes.h"
#include "sov_repo.h"

#define SOV_HISTORY_MAX 2000	/* lines, about half a megabyte */

/* Add a point of what the facts say, if it is due.  Failures cost the point only, and
 * are noted. */
extern void sov_history_keep(struct sov_repo *repo);
/* {"points": [...], "later": N, "earlier": N, "unreadable": N} with a NUL behind it:
 * points in the order of time, with "time" (ISO 8601, UTC) for time_us; later, earlier:
 * points dated more than a day after now, or more than two years before, which are left
 * out.  Without the file there are none. */
extern enum sov_code sov_history_read(const struct sov_config *cfg, int64_t now_us, struct sov_buf *json, struct sov_error *err);

/* Put together what is old in such lines; for tests.  false: out of memory. */
extern bool sov_history_thin(struct sov_buf *lines);

#endif
