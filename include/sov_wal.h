/*
 * sov_wal.h - archiving and fetching write-ahead log.
 *
 * Rules of acknowledgement, marks and "not found": include/FORMATS.md, WAL.
 */
#ifndef SOV_WAL_H
#define SOV_WAL_H

#include "sov_repo.h"

/* What is in a WAL directory: a segment, .partial, .history or .backup name.
 * False for anything else; never accepts a path. */
enum sov_wal_kind { SOV_WAL_SEGMENT, SOV_WAL_PARTIAL, SOV_WAL_HISTORY, SOV_WAL_BACKUP };
extern bool sov_wal_name(const char *name, enum sov_wal_kind *kind, uint32_t *timeline);

/* A session of pushing: one run, opened lazily, kept by wal-pushd. */
struct sov_wal_pusher;
extern enum sov_code sov_wal_pusher_open(struct sov_repo *repo, struct sov_wal_pusher **out, struct sov_error *err);
extern void sov_wal_pusher_close(struct sov_wal_pusher *p);

struct sov_wal_push_result
{
	bool		already;		/* archived before with the same content */
	int			holders, spooled;
	uint64_t	raw, stored;
};
/* Archive one file.  SOV_OK is an acknowledgement: n hold it, or k+1 holders do
 * (the spool may be one) and a mark is committed.  SOV_E_EXISTS: archived with
 * other content.  Thread safe for different names. */
extern enum sov_code sov_wal_push(struct sov_wal_pusher *p, const char *path,
								  struct sov_wal_push_result *res, struct sov_error *err);
/* --- archive_command: the ready segments after the one asked for
 * (archive_status/NAME.ready beside it) go along, several at a time; those that
 * are acknowledged are remembered in STATE/pushed/NAME for the calls that will ask
 * for them.  STATE/pushed/lock is held while a process pushes ahead alone. --- */
/* sov_wal_push, and the next ones. */
extern enum sov_code sov_wal_push_along(struct sov_wal_pusher *p, const char *path,
										struct sov_wal_push_result *res, struct sov_error *err);
/* The next ones only, in a process of its own; nothing when there is one. */
extern enum sov_code sov_wal_push_ahead(const struct sov_config *cfg, const char *path, struct sov_error *err);
/* Was this very file (device, inode, size, times of content and of inode)
 * acknowledged ahead in the last ten minutes?  Waits while another process pushes
 * ahead; asks no provider; forgets it.  *more: it is time to push further ahead. */
extern bool sov_wal_pushed_ahead(const struct sov_config *cfg, const char *path, bool *more);
/* How many files of this size are pushed at once, 1 to SOV_WAL_AT_ONCE: as many as keep
 * a far provider busy and fit into some hundreds of MB with all that is made of them. */
#define SOV_WAL_AT_ONCE 48
extern int	sov_wal_at_once(uint64_t size);
/* Names of segments that are ready after this one, sorted; at most max. */
extern int	sov_wal_ready_after(const char *wal_directory, const char *name, char (*out)[64], int max);
/* Commit a mark when one is due (60 s, timeline switch) or force is set. */
extern enum sov_code sov_wal_mark(struct sov_wal_pusher *p, bool force, struct sov_error *err);

/* Fetch one file to dst (temporary name, fsync, rename).  SOV_E_NOTFOUND only
 * when that is certain; everything else must stop recovery. */
extern enum sov_code sov_wal_fetch(struct sov_repo *repo, const char *name, const char *dst, struct sov_error *err);

/* --- fetching ahead: STATE/fetched/TARGET/, one directory for each directory
 * that is restored into (TARGET: 16 hex digits of a hash of its path, of its cluster
 * and of the configuration file).
 *
 *   position     "NAME SIZE": the segment delivered last, and how long it is
 *   NAME         a whole segment in the clear, then a trailer (wal_ahead.c)
 *   NAME.part    being fetched; NAME.taken.PID  being delivered
 *   lock         held by the prefetcher while it runs
 *
 * An optimisation that never fails anything: whatever goes wrong, the segment is
 * fetched from the providers instead.  "Not found" is never kept. --- */
struct sov_wal_ahead
{
	char		dir[1200];
	uint64_t	limit;			/* bytes of segments */
	uint64_t	cluster;		/* system identifier of who recovers; 0: not known */
	uint8_t		context[32];	/* hash of the configuration file and of that */
};
/* target is the directory that segments are delivered to.  Asks no provider; cfg
 * may be read without SOV_NEED_REPOSITORY.  False: there is no fetching ahead. */
extern bool sov_wal_ahead_init(const struct sov_config *cfg, const char *target, uint64_t cluster, struct sov_wal_ahead *a);
/* Deliver a segment that was fetched ahead, after checking it; waits for one that
 * is being fetched.  False: it is not there. */
extern bool sov_wal_ahead_take(const struct sov_wal_ahead *a, const char *name, const char *dst);
/* The segment was delivered: forget what recovery will not ask for any more, and
 * tell the prefetcher.  True when one is to be started. */
extern bool sov_wal_ahead_delivered(const struct sov_wal_ahead *a, const char *name, const char *dst);
/* The prefetcher.  Returns when nobody has asked for a while, after removing all
 * that it kept; at once when another one runs. */
extern enum sov_code sov_wal_ahead_run(const struct sov_wal_ahead *a, const struct sov_config *cfg, struct sov_error *err);

#endif
