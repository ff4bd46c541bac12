/*
 * restore.c - choose a backup and bring it back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore_private.h"

/* Is the backup finished before the target? */
static bool
before_target(const struct sov_restore_options *o, const struct sov_backup_entry *e)
{
	if (o->target_time_us != 0 && (int64_t) e->stop_us > o->target_time_us)
		return false;
	return o->target_lsn_value == 0 || e->stop_lsn <= o->target_lsn_value;
}

static enum sov_code
choose(struct restore *r, struct sov_error *err)
{
	const struct sov_restore_options *o = r->opt;
	struct sov_catalogue cat;
	const struct sov_backup_entry *found = NULL;
	enum sov_code rc = sov_repo_catalogue(r->repo, &cat, err);

	if (rc != SOV_OK)
		return rc;
	for (uint32_t i = 0; i < cat.n; i++)	/* oldest first */
		if (o->backup ? strcmp(cat.backups[i].id, o->backup) == 0 : before_target(o, &cat.backups[i]))
			found = &cat.backups[i];
	if (found && o->backup && !before_target(o, found))
		rc = sov_fail(err, SOV_E_NOTFOUND, "choose an earlier backup or a later target", "backup %s was finished after the target", o->backup);
	else if (found)
		r->res->entry = *found;
	else if (o->backup)
		rc = sov_fail(err, SOV_E_NOTFOUND, "'pg_sovereign list' shows what there is", "there is no backup %s", o->backup);
	else if (cat.n == 0)
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "there is no backup in this repository");
	else
		rc = sov_fail(err, SOV_E_NOTFOUND, "'pg_sovereign list' shows what there is", "there is no backup that was finished before the target");
	sov_catalogue_free(&cat);
	return rc;
}

static enum sov_code
read_manifest(struct restore *r, struct sov_error *err)
{
	struct sov_buf plain = {0};
	enum sov_code rc = sov_repo_get_stream(r->repo, SOV_CLASS_META, r->res->entry.manifest.id, r->res->entry.manifest.attempt, NULL, &plain, err);

	if (rc == SOV_OK)
		rc = sov_manifest_decode(plain.data, plain.len, &r->manifest, err);
	if (rc == SOV_OK && strcmp(r->manifest.backup_id, r->res->entry.id) != 0)
		rc = sov_fail(err, SOV_E_CORRUPT, NULL, "the manifest is that of backup %s", r->manifest.backup_id);
	sov_buf_free(&plain);
	return rc;
}

static enum sov_code
restore_files(struct restore *r, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (uint32_t i = 0; i < r->manifest.n_pieces && rc == SOV_OK; i++)
	{
		struct sov_buf plain = {0};
		struct sov_piece piece = {0};

		rc = sov_repo_get_stream(r->repo, SOV_CLASS_META, r->manifest.pieces[i].ref.id, r->manifest.pieces[i].ref.attempt, NULL, &plain, err);
		if (rc == SOV_OK)
			rc = sov_piece_decode(plain.data, plain.len, &piece, err);
		sov_buf_free(&plain);
		if (rc == SOV_OK)
			rc = restore_piece(r, &piece, err);
		sov_piece_free(&piece);
	}
	return rc;
}

enum sov_code
sov_restore_run(struct sov_repo *repo, const struct sov_restore_options *opt, const struct sov_progress *progress,
				struct sov_restore_result *res, struct sov_error *err)
{
	struct restore r = {.repo = repo, .opt = opt, .progress = progress, .res = res};
	int64_t		start = repo_mono_us();
	uint64_t	damaged = repo->damaged_shards;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	rc = choose(&r, err);
	if (rc == SOV_OK)
		rc = read_manifest(&r, err);
	if (rc == SOV_OK)
		rc = target_prepare(&r, err);
	if (rc == SOV_OK)
		rc = restore_files(&r, err);
	if (rc == SOV_OK)
		rc = target_finish(&r, err);
	res->bytes = r.done_bytes;
	res->damaged_shards = repo->damaged_shards - damaged;
	(void) sov_repo_mark(repo, 0, &res->mark);
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	sov_manifest_free(&r.manifest);
	return rc;
}
