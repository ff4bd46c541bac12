/*
 * wal_private.h - what the files wal*.c share.
 */
#ifndef WAL_PRIVATE_H
#define WAL_PRIVATE_H

#include <pthread.h>
#include <string.h>

#include "repository/repo_private.h"
#include "sov_wal.h"

#define WAL_MAX_ATTEMPTS 16		/* pushes of one file that failed half-way */

struct wal_header
{
	uint64_t	system_id;
	uint64_t	address;
	uint32_t	timeline;
	uint32_t	segment_size;
};

extern bool wal_is_segment_size(uint32_t size);
extern bool wal_header(const uint8_t *p, size_t len, struct wal_header *h);
extern void wal_segment_name(uint32_t timeline, uint64_t lsn, uint32_t segment_size, char dst[32]);
/* First byte after the segment. */
extern uint64_t wal_segment_end(const char *name, uint32_t segment_size);
/* A mark names its last segment and where that ends: hence a segment's size. */
extern uint32_t wal_segment_size(const struct sov_mark *mark);
/* Does the mark promise this segment?  (Names of a timeline sort like WAL.) */
static inline bool
wal_mark_covers(const struct sov_mark *mark, const char *segment)
{
	return strncmp(mark->segment, segment, 8) == 0 && strncmp(segment + 8, mark->segment + 8, 16) <= 0;
}
/* Does this begin like the named segment, and is it as long? */
extern enum sov_code wal_check_header(const char *name, const uint8_t *p, size_t len, struct wal_header *h, struct sov_error *err);
/* The same, and of this repository's cluster. */
extern enum sov_code wal_check_segment(const struct sov_repo *repo, const char *name, const uint8_t *p, size_t len,
									   struct wal_header *h, struct sov_error *err);

/* wal_fetch.c: the first attempt at an object that can be read; SOV_E_NOTFOUND when
 * every one is certainly not there. */
extern enum sov_code wal_read_any(struct sov_repo *repo, const char *id, struct sov_buf *out, struct sov_error *err);

/* --- timelines (wal_history.c) --- */

#define WAL_ANCESTORS 256

struct wal_history
{
	bool		any;			/* (callers:) any timeline will do */
	uint64_t	system_id;		/* of this cluster; 0: of the one that the handle means */
	uint32_t	timeline;
	int			n;
	struct { uint32_t timeline; uint64_t end; } ancestors[WAL_ANCESTORS];
};

/* The ancestors of h->timeline.  SOV_E_NOTFOUND: it certainly has no history. */
extern enum sov_code wal_history_read(struct sov_repo *repo, struct wal_history *h, struct sov_error *err);
/* Does the timeline descend from this point of another (or is it that one)? */
extern bool wal_history_leads(const struct wal_history *h, uint32_t timeline, uint64_t lsn);

/* --- fetching ahead (wal_ahead.c, wal_prefetch.c) --- */

#define WAL_AHEAD_PART ".part"
#define WAL_AHEAD_TAKEN ".taken."

/* Keep a segment, whole or not at all. */
extern enum sov_code wal_ahead_keep(const struct sov_wal_ahead *a, const char *name, const void *bytes, size_t len, struct sov_error *err);
/* Read the position; false when there is none. */
extern bool wal_ahead_position(const struct sov_wal_ahead *a, char name[32], uint32_t *size);
/* Remove what is out of date by this position; NULL: everything.  The
 * prefetcher's own files under way are left unless it does not run. */
extern void wal_ahead_sweep(const struct sov_wal_ahead *a, const char *position, bool running);
/* Lock for the prefetcher: a file descriptor, -1 when another one has it. */
extern int	wal_ahead_lock(const struct sov_wal_ahead *a);
extern void wal_ahead_path(const struct sov_wal_ahead *a, const char *name, const char *suffix, char *dst, size_t cap);

/* --- pushing (wal_push.c) --- */

struct sov_wal_pusher
{
	struct sov_repo *repo;
	struct sov_run *run;
	int64_t		run_us;			/* when it was begun, or last had a file stored in it */
	int			run_users;
	pthread_mutex_t lock;		/* of run, run_us, run_users and flying */
	pthread_cond_t landed;
	uint64_t	flying;			/* bytes of files under way: bounds the memory */
	struct wal_tracker *tracker;
};

/* --- marks (wal_mark.c) --- */

#define WAL_TRACKS 64

struct wal_track
{
	char		name[32];
	char	   *path;
	enum { TRACK_FREE, TRACK_FLYING, TRACK_FAILED, TRACK_HELD } state;
	uint64_t	end;			/* LSN, of a held one */
	uint8_t		stream[32];
};

struct wal_tracker
{
	pthread_mutex_t lock;
	pthread_mutex_t commit_lock;	/* one commit of a mark at a time; taken first */
	pthread_cond_t landed;		/* a segment is not under way any more */
	struct wal_track tracks[WAL_TRACKS];
	uint64_t	cluster;		/* whose marks */
	struct sov_mark marked;		/* the newest mark of it that was committed */
	uint64_t	system_id;
};

extern void wal_tracker_init(struct wal_tracker *t, const struct sov_repo *repo);
extern void wal_tracker_free(struct wal_tracker *t);
/* Around the push of a segment; h and stream are NULL when it failed. */
extern enum sov_code wal_track_begin(struct wal_tracker *t, const struct sov_repo *repo, const char *name, const char *path, struct sov_error *err);
extern void wal_track_end(struct wal_tracker *t, const char *name, const struct wal_header *h, const uint8_t *stream);
/* Commit a mark that reaches as far as there is no gap, when due or forced. */
extern enum sov_code wal_tracker_mark(struct wal_tracker *t, struct sov_repo *repo, bool force, struct sov_error *err);
/* Return when a mark covers this held segment; an error when none can yet. */
extern enum sov_code wal_tracker_promise(struct wal_tracker *t, struct sov_repo *repo, const char *name, struct sov_error *err);

/* wal_needed.c */
/* The WAL of one timeline of a cluster that backups need: all of it, or from a segment
 * on ("": none); gone: the cluster was left and has no backup any more. */
struct wal_needed
{
	uint64_t	system_id;
	uint32_t	timeline;
	bool		all,
				gone;
	char		from[32];
};
/* Of the timeline of a WAL object; reads nothing when *out is of it already.  False: it
 * is no WAL. */
extern bool wal_needed_of(struct sov_repo *repo, const struct sov_backup_entry *const *backups, uint32_t n, const char *id, struct wal_needed *out);
/* Is this file of that timeline needed?  Also true for what is no WAL. */
extern bool wal_needed_has(const struct wal_needed *w, const char *name);

#endif
