/*
 * sov_restore.h - the restore engine.
 *
 * Needs the configuration, the custodian and any k providers.  Reads one
 * manifest, fetches packs (whole, or the parts that are needed), opens the frames,
 * writes files, checks every block against its hash, fsyncs, and writes
 * backup_label, backup_manifest, tablespace links, recovery.signal and the
 * recovery settings.  The target directory must be absent or empty; with delta it
 * is a data directory without a server, whose blocks are compared first.
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
	bool		delta;			/* over what is there */
	bool		discard_wal;	/* delta: also over WAL that was never archived */
	bool		dry_run;		/* change nothing: compare and count only */
	void		(*removes) (void *ctx, const char *path);	/* delta: what the backup does not have; NULL */
	/* Asked before anything is fetched whether the backup that was chosen will do; NULL */
	enum sov_code (*chosen) (void *ctx, const struct sov_backup_entry *entry, struct sov_error *err);
	void	   *ctx;
	bool		standby;		/* standby.signal instead of recovery.signal */
	const char *primary_conninfo;	/* standby: NULL for none */
	int			n_databases;	/* 0: all */
	const char *databases[64];
};

struct sov_restore_result
{
	struct sov_backup_entry entry;
	uint64_t	files, bytes, fetched;	/* bytes: written, or what would be */
	uint64_t	kept;			/* delta: bytes that were right already */
	uint64_t	removed;		/* delta: files that the backup does not have */
	uint64_t	damaged_shards;	/* healed around */
	double		seconds;
	struct sov_mark mark;		/* newest mark known, of the cluster */
	bool		former;			/* the backup is of a cluster before the current one */
};

extern enum sov_code sov_restore_run(struct sov_repo *repo, const struct sov_restore_options *opt,
									 const struct sov_progress *progress,
									 struct sov_restore_result *res, struct sov_error *err);

#endif
