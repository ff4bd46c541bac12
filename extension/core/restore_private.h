/*
 * restore_private.h - what the restore engine's files share.
 */
#ifndef RESTORE_PRIVATE_H
#define RESTORE_PRIVATE_H

#include "repo_private.h"
#include "sov_restore.h"

/* pg_control stands under this name until all else is on disk, so that an
 * unfinished restore cannot be started. */
#define CONTROL_HELD "global/pg_control.restoring"

struct restore
{
	struct sov_repo *repo;
	const struct sov_restore_options *opt;
	const struct sov_progress *progress;
	struct sov_restore_result *res;
	struct sov_manifest manifest;
	_Atomic uint64_t done_bytes;
};

/* restore_target.c: the directory, links, and recovery settings */
extern enum sov_code target_prepare(struct restore *r, struct sov_error *err);
extern enum sov_code target_finish(struct restore *r, struct sov_error *err);
/* Full path of a file of the backup. */
extern void target_path(const struct restore *r, const char *path, char *dst, size_t cap);

/* restore_piece.c: one piece's files */
extern enum sov_code restore_piece(struct restore *r, const struct sov_piece *piece, struct sov_error *err);

#endif
