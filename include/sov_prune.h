/*
 * sov_prune.h - retention: what may go, and letting it go without a lock.
 *
 * prune computes retention itself, from the catalogues that all writers committed
 * and the rules it is given; nobody's list of things to delete is obeyed.  In
 * order: condemn backups in the administrator's chain (commit), read the leases of
 * all writers, read the heads again, delete what no backup refers to that is not
 * condemned.  See prune.c for why that is safe.
 */
#ifndef SOV_PRUNE_H
#define SOV_PRUNE_H

#include "sov_verify.h"

struct sov_prune_backup
{
	struct sov_backup_entry entry;
	bool		keep;
	bool		whole;			/* it can be restored, with its WAL */
	char		why[64];		/* rules that keep it: "last, daily" */
};

struct sov_prune_wal
{
	uint64_t	system_id;		/* of the cluster; 0: the repository has had only one */
	uint32_t	timeline;
	char		first[32],
				last[32];
	uint64_t	files;
};

struct sov_prune_options
{
	struct sov_retention rules;
	bool		dry_run;
};

struct sov_prune_result
{
	uint32_t	n_backups;
	struct sov_prune_backup *backups;	/* not condemned before this run; oldest first */
	uint32_t	condemned;		/* by this run (or that would be) */
	uint32_t	waiting;		/* condemned, but not yet long enough ago */
	uint32_t	n_wal;
	struct sov_prune_wal *wal;
	uint64_t	packs, metadata, runs, wal_files;	/* objects that go */
	uint64_t	orphans;		/* of them, of no backup */
	uint64_t	unreadable;		/* shards besides, whose header cannot be read, of what
								 * goes or of nothing */
	uint64_t	bytes[SOV_MAX_PROVIDERS];	/* that goes, by provider */
	uint64_t	deleted, failed;	/* shards */
	uint64_t	locked;			/* shards that a provider keeps until a date, or although removed */
	int			n_refusals;
	char		refusals[8][300];	/* the first few */
	char		held_by[200];	/* nothing is deleted: who may hold a lease; "" */
	double		seconds;
};

/* SOV_E_USAGE when there is no rule at all, SOV_E_STATE when no good backup would
 * be left.  A shard that cannot be deleted is counted and named (one under
 * object lock only counted), and never ends the run. */
extern enum sov_code sov_prune_run(struct sov_repo *repo, const struct sov_prune_options *opt,
								   const struct sov_progress *progress, struct sov_prune_result *res, struct sov_error *err);
extern void sov_prune_free(struct sov_prune_result *res);

/* Mark what the rules keep; backups are oldest first, those that are not whole
 * are never counted.  For tests. */
extern void sov_retention_apply(const struct sov_retention *rules, struct sov_prune_backup *backups, uint32_t n);

#endif
