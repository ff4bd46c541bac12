/*
 * sov_backup.h - the backup engine.
 *
 * The engine knows no server: a struct sov_source starts and stops the backup
 * (the command does that over libpq), the engine reads the files.  Order of
 * writes: run shares, packs, pieces, manifest, catalogue, head, local state; a
 * crash leaves only orphans.  Memory is bounded by jobs and queue length
 * whatever the size of the cluster.
 *
 * Every backup is full to the reader and incremental to the writer: a block whose
 * keyed hash is that of the newest backup refers to what is stored already, of a
 * changed block only the pages that changed are stored, and a piece of the
 * manifest in which nothing changed is the earlier one.  What is left of packs that
 * are lost or mostly unused is stored anew.  Nothing is taken on the
 * word of an LSN or a time: every block is read and hashed, unless the caller
 * allows by_mtime.
 */
#ifndef SOV_BACKUP_H
#define SOV_BACKUP_H

#include "sov_repo.h"

struct sov_source_info
{
	uint64_t	system_id;
	uint32_t	pg_version;		/* server_version_num */
	uint32_t	catalog_version;
	uint32_t	block_size;
	uint32_t	wal_segment_size;
	bool		checksums;
	uint32_t	timeline;
	uint64_t	start_lsn, redo_lsn;
	bool		standby;		/* its WAL is archived by the primary */
	uint32_t	n_tablespaces;	/* linked ones; in-place ones are below PGDATA */
	struct sov_mf_tablespace *tablespaces;	/* malloc'd */
	uint32_t	n_databases;
	struct sov_mf_database *databases;	/* malloc'd */
};

struct sov_source
{
	/* pg_backup_start: fills info. */
	enum sov_code (*start) (void *ctx, const char *label, bool fast, struct sov_source_info *info, struct sov_error *err);
	/* pg_backup_stop; on a primary it waits until its WAL is archived. */
	enum sov_code (*stop) (void *ctx, uint64_t *stop_lsn, struct sov_buf *backup_label, struct sov_buf *tablespace_map, struct sov_error *err);
	/* Is the 8 kB page intact (its checksum, or checksums are off)? */
	bool		(*page_ok) (void *ctx, const uint8_t *page, uint32_t block);
	/* Current end of WAL, to tell a torn page (newer LSN) from a bad one. */
	uint64_t	(*page_lsn) (void *ctx, const uint8_t *page);
	void	   *ctx;
};

struct sov_progress
{
	/* done and total in bytes; called from any thread, often. */
	void		(*update) (void *ctx, uint64_t done, uint64_t total);
	bool		(*cancelled) (void *ctx);
	void	   *ctx;
};

struct sov_backup_options
{
	const char *data_directory;
	const char *label;
	int			jobs;			/* worker threads, 1..64 */
	uint64_t	max_rate;		/* bytes of source per second, 0: no limit */
	bool		fast;			/* immediate checkpoint */
	bool		full;			/* store everything anew */
	bool		by_mtime;		/* do not read files whose size and time are those of
								 * the last backup: a hint, not a proof */
	int			archive_timeout;	/* standby: seconds to wait for the primary's WAL */
};

struct sov_backup_result
{
	struct sov_backup_entry entry;
	char		base[SOV_ID_MAX];	/* backup that it was compared with, or "" */
	uint64_t	same_bytes;		/* of source in blocks that were stored before */
	uint64_t	skipped_bytes;	/* of them not even read (by_mtime) */
	uint64_t	moved_bytes;	/* unchanged, and stored anew: see the next two */
	uint32_t	lost_packs,		/* of earlier backups, that are not whole any more */
				sparse_packs;	/* of which the last backup used little */
	uint32_t	pieces, same_pieces;
	uint64_t	zero_bytes, frames, packs;
	double		seconds;
	int			degraded;		/* objects that fewer than n providers took */
};

extern enum sov_code sov_backup_run(struct sov_repo *repo, const struct sov_source *source,
									const struct sov_backup_options *opt, const struct sov_progress *progress,
									struct sov_backup_result *res, struct sov_error *err);

#endif
