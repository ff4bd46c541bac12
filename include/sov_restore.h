/*
 * sov_restore.h - the restore engine.
 *
 * Needs the configuration, the custodian and any k providers.  Reads one
 * manifest, fetches packs (whole ones; k shards, verified, decoded), opens the
 * frames, writes files, checks every block against its hash, fsyncs, and writes
 * backup_label, tablespace links, recovery.signal and the recovery settings.
 * The target directory must be absent or empty.
 */
#ifndef SOV_RESTORE_H
#define SOV_RESTORE_H

#include "sov_backup.h"

struct sov_restore_options
{
	const char *target;			/* directory */
	const char *backup;			/* id; NULL: the newest that the target allows */
	const char *target_time;	/* as recovery_target_time takes it; NULL */
	const char *target_lsn, *target_name, *target_xid, *target_timeline;
	bool		inclusive;		/* default true */
	const char *action;			/* "promote" (default), "pause", "shutdown" */
	int64_t		target_time_us;	/* parsed by the caller; 0: none */
	uint64_t	target_lsn_value;
	const char *restore_command;	/* whole command line for postgresql.auto.conf */
	int			n_without;		/* providers not to be used */
	const char *without[SOV_MAX_PROVIDERS];
	int			n_maps;			/* tablespace OLD=NEW */
	struct { const char *old_path, *new_path; } maps[64];
	int			jobs;
};

struct sov_restore_result
{
	struct sov_backup_entry entry;
	uint64_t	files, bytes, fetched;
	uint64_t	damaged_shards;	/* healed around */
	double		seconds;
	struct sov_mark mark;		/* newest mark known */
};

extern enum sov_code sov_restore_run(struct sov_repo *repo, const struct sov_restore_options *opt,
									 const struct sov_progress *progress,
									 struct sov_restore_result *res, struct sov_error *err);

#endif
