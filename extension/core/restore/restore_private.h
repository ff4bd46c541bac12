/*
 * restore_private.h - what the restore engine's files share.
 *
 *   restore.c           the whole, in order
 *   restore_choose.c    which backup leads to the target
 *   restore_target.c    the directory, links, recovery settings
 *   restore_window.c    pieces of the manifest, some at a time: files made, filled
 *                       and checked
 *   restore_fill.c      packs fetched, once per window, and written
 *   restore_delta.c     what is there already: compared, kept, cleared away
 *   restore_manifest.c  backup_manifest, for the server's own pg_verifybackup
 */
#ifndef RESTORE_PRIVATE_H
#define RESTORE_PRIVATE_H

#include "base/crc32c.h"
#include "repository/repo_private.h"
#include "sov_restore.h"

/* pg_control stands under this name until all else is on disk, so that an
 * unfinished restore cannot be started. */
#define CONTROL_HELD "global/pg_control.restoring"
#define MAX_WORKERS 5			/* each holds a pack, sealed and its shards: some 52 MB */

struct manifest_out;			/* restore_manifest.c */
struct path_set;				/* restore_delta.c */

struct restore
{
	struct sov_repo *repo;
	const struct sov_restore_options *opt;
	const struct sov_progress *progress;
	struct sov_restore_result *res;
	struct sov_manifest manifest;
	bool		begun;			/* something was made or changed at the target */
	struct manifest_out *verify;	/* backup_manifest under way */
	struct path_set *paths;			/* delta: files of the backup */
	_Atomic uint64_t done_bytes;
};

/* Some pieces with what is known of their blocks. */
struct window_piece
{
	struct sov_piece piece;
	uint32_t   *crc;			/* CRC-32C by block */
	bool	   *good;			/* by block: on disk and checked */
	bool	   *zeroed;			/* by file: of a database that was not asked for */
	uint32_t   *pack_nos;		/* in window.packs */
};

struct unit						/* blocks of one file, for one worker */
{
	uint32_t	piece,
				file,
				first,
				n;
};

struct window
{
	struct restore *r;
	uint32_t	n;
	struct window_piece *pieces;
	struct unit *units;
	size_t		n_units;
	_Atomic size_t next_unit;
	struct sov_mf_pack *packs;
	size_t		n_packs;
	struct job *jobs;			/* sorted by pack, offset */
	size_t		n_jobs,
				next_job;
	pthread_mutex_t lock;
	bool		failed;
	struct sov_error err;
};

/* restore_choose.c */
extern enum sov_code choose_backup(struct restore *r, struct sov_error *err);

/* restore_target.c: the directory, links, and recovery settings */
extern enum sov_code target_prepare(struct restore *r, struct sov_error *err);
extern enum sov_code target_finish(struct restore *r, struct sov_error *err);
/* Full path of a file of the backup. */
extern void target_path(const struct restore *r, const char *path, char *dst, size_t cap);

/* restore_window.c */
extern enum sov_code restore_files(struct restore *r, struct sov_error *err);
extern bool window_stopped(struct window *w);
extern void window_fail(struct window *w, const struct sov_error *err);
/* Does the block's content match its hash?  Notes its CRC too. */
extern enum sov_code window_check(struct window *w, const struct unit *u, uint32_t block, const uint8_t *data, struct sov_error *err);
extern enum sov_code write_at(int fd, const uint8_t *p, size_t len, off_t at, const char *path, struct sov_error *err);

/* restore_fill.c: bring the blocks that are not good yet */
extern enum sov_code window_fill(struct window *w, int jobs, struct sov_error *err);

/* restore_delta.c */
/* Does no server run on what is there? */
extern enum sov_code delta_check_running(const struct restore *r, struct sov_error *err);
/* Is it a data directory, whose WAL is archived?  What was half restored counts. */
extern enum sov_code delta_check(const struct restore *r, struct sov_error *err);
/* Compare the blocks of one unit with what is there. */
extern enum sov_code delta_compare(struct window *w, const struct unit *u, uint8_t *data, struct sov_error *err);
extern enum sov_code delta_remember(struct restore *r, const struct sov_piece *piece, struct sov_error *err);
/* Remove files that the backup does not have. */
extern enum sov_code delta_clear(struct restore *r, struct sov_error *err);
extern void delta_free(struct restore *r);

/* restore_manifest.c */
extern enum sov_code verify_begin(struct restore *r, struct sov_error *err);
extern enum sov_code verify_add(struct restore *r, const char *path, uint64_t size, uint64_t mtime_us, uint32_t crc, struct sov_error *err);
extern enum sov_code verify_end(struct restore *r, struct sov_error *err);
extern void verify_free(struct restore *r);

#endif
