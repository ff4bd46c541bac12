/*
 * prune_private.h - what the files of prune share.
 */
#ifndef PRUNE_PRIVATE_H
#define PRUNE_PRIVATE_H

#include "base/id_set.h"
#include "sov_prune.h"
#include "verify_private.h"

struct prune
{
	struct sov_repo *repo;
	const struct sov_prune_options *opt;
	const struct sov_progress *progress;
	struct sov_prune_result *res;
	struct verify v;			/* its inventory, and the check of backups */
	struct sov_verify_result verified;
	struct sov_verify_options verify_options;
	struct sov_catalogue all;	/* of every writer, condemned ones too */
	struct id_set live;			/* what backups that stay refer to */
	struct id_set pieces;		/* pieces that were looked into */
	struct id_set old;			/* what condemned backups refer to whose grace is over */
	struct id_set locked_runs;	/* of what stays under object lock */
	bool		locks[SOV_MAX_PROVIDERS];	/* it was seen to keep something */
	bool		clock_known[SOV_MAX_PROVIDERS];
	int64_t		clock_diff[SOV_MAX_PROVIDERS];	/* of the provider's clock (prune_clock.c) */
	bool		leased;			/* somebody may hold a lease */
	uint64_t	now_us;
	pthread_mutex_t lock;		/* of res, locks and locked_runs while objects are deleted */
};

/* prune_live.c */
/* What is referred to by backups that stay: prune.live; by the others: prune.old. */
extern enum sov_code prune_mark(struct prune *p, struct sov_error *err);
/* Does the backup stay for now: not condemned, or not long enough ago? */
extern bool prune_stays(const struct prune *p, const struct sov_backup_entry *b);

/* prune_wal.c */
extern enum sov_code prune_wal(struct prune *p, bool *goes, struct sov_error *err);

/* prune.c */
extern bool prune_cancelled(struct prune *p);
extern enum sov_code prune_stopped(struct sov_error *err);
/* Of no backup, and last written then: may it go? */
extern bool prune_orphan_goes(const struct prune *p, uint8_t class_, uint64_t written_us);

/* prune_clock.c */
/* When that was, by this host's clock. */
extern uint64_t prune_written_us(struct prune *p, int provider, int64_t mtime_us);

/* prune_delete.c */
extern enum sov_code prune_delete(struct prune *p, const bool *goes, const bool *unreadable_goes, struct sov_error *err);
/* What check and probe wrote with credentials that could not remove it again. */
extern void prune_trials(struct prune *p);

/* prune_unreadable.c */
/* Of what the inventory could not read: unreadable_goes[i], when goes says what goes
 * of the items. */
extern enum sov_code prune_unreadable(struct prune *p, const bool *goes, bool *unreadable_goes, struct sov_error *err);

/* prune_lease.c */
/* May anybody hold a lease who has not seen the newest list of condemned backups,
 * or any lease at all?  res->held_by names the first. */
extern enum sov_code prune_leases(struct prune *p, bool *unseen, bool *any, struct sov_error *err);

#endif
