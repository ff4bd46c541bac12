/*
 * sov_facts.h - what this host knows of the repository without asking anybody.
 *
 * Every command that has looked at the committed state leaves it in the file
 * "facts" of the state directory.  Views and whatever else must answer at once
 * read it there, together with what the directory itself tells: what is owed to
 * each provider, and when each one was last proven.  Nothing in it is secret, and
 * nothing in it is relied on: commands ask the providers.
 *
 * JSON, times as ISO 8601 in UTC, sizes in bytes:
 *   seen                 when a command last looked
 *   repository, needed (k), shards (n)
 *   providers[]          provider, type, state (active, drain, down, new), place
 *                        (in the map?), message (why it is down), proven (or null),
 *                        proven_shards, owed_objects, owed_bytes, policy (satisfied, what
 *                        it breaks, or null: no rule asks), probe (as it was last
 *                        measured: time, put_rate, get_rate, latency_ms; or absent)
 *   backups[]            backup, label, started, finished, timeline, start_lsn,
 *                        stop_lsn, files, bytes, stored, bad_pages, pg_version
 *   wal[]                by cluster and timeline: cluster (system identifier, as text),
 *                        former_cluster, timeline, from_backup and from_lsn (of the
 *                        oldest backup on it, or null), to_lsn, segment, marked
 *   redundancy[]         by class: class (pack, WAL, metadata, run, head), needed,
 *                        holders (providers that are up and owed none of it; heads
 *                        too need k that answer),
 *                        owed_objects, losses_tolerated (holders less needed, at
 *                        least 0)
 *   verified             the last verify or repair of this host: time, deep,
 *                        objects, missing, damaged, lost, tolerates; or null
 */
#ifndef SOV_FACTS_H
#define SOV_FACTS_H

#include "sov_bytes.h"
#include "sov_repo.h"
#include "sov_verify.h"

/* Keep what repo has just read, and a point of the history (sov_history.h).  Failures
 * cost currency only, and are noted. */
extern void sov_facts_keep(struct sov_repo *repo);
/* The result of a verify, kept with the next facts. */
extern void sov_facts_keep_verified(struct sov_repo *repo, const struct sov_verify_options *opt, const struct sov_verify_result *res);
/* The JSON text, with a NUL behind it.  part: what is asked for of the lists
 * providers, backups, wal and redundancy (NULL: all); the others may be left out, and what
 * is owed to providers is counted only with all of them (else: sov_repo_debt).  Whether what
 * the file says is JSON is for who parses it where that is all that is asked for.
 * SOV_E_NOTFOUND before the first command; the configuration needs a state directory. */
extern enum sov_code sov_facts_read(const struct sov_config *cfg, const char *part, struct sov_buf *json, struct sov_error *err);

/* The last drills of this host, at most so many, the oldest first: a JSON array, with a NUL
 * behind it.  A line of the file "drills" that a crash cut, or that is otherwise no JSON
 * object, is passed over. */
extern enum sov_code sov_facts_drills(const struct sov_config *cfg, int most, struct sov_buf *json, struct sov_error *err);

/* All of it as OpenMetrics (extension/doc/metrics.md), with a NUL behind it.
 * SOV_E_NOTFOUND as above. */
extern enum sov_code sov_metrics_read(const struct sov_config *cfg, struct sov_buf *text, struct sov_error *err);
/* Seconds since 1970 of a time as the facts have it; 0: none. */
extern int64_t sov_facts_time(const char *text);

/* The fewest losses that any class of object tolerates now, and in why what keeps it
 * from more ("c is down; b is owed 12 objects", or ""); -1: not known. */
extern int	sov_facts_tolerated(const struct sov_config *cfg, char *why, size_t cap);
/* The same number, as repo has just read it. */
extern int	sov_facts_tolerated_now(const struct sov_repo *repo);

#endif
