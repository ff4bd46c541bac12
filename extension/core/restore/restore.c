/*
 * restore.c - bring a backup back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore_private.h"

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

/* The databases that were asked for must be there. */
static enum sov_code
check_databases(const struct restore *r, struct sov_error *err)
{
	char		known[400];
	size_t		used = 0;

	for (int i = 0; i < r->opt->n_databases; i++)
	{
		uint32_t	d = 0;

		while (d < r->manifest.n_databases && strcmp(r->manifest.databases[d].name, r->opt->databases[i]) != 0)
			d++;
		if (d < r->manifest.n_databases)
			continue;
		known[0] = '\0';
		for (d = 0; d < r->manifest.n_databases && used < sizeof known; d++)
			used += (size_t) snprintf(known + used, sizeof known - used, "%s%s", d ? ", " : "", r->manifest.databases[d].name);
		return sov_fail(err, SOV_E_NOTFOUND, "name databases of the time of the backup", "backup %s has no database \"%s\"; it has: %s",
						r->res->entry.id, r->opt->databases[i], known);
	}
	return SOV_OK;
}

/* What lacks an object may be a backup that was pruned meanwhile: the heads and the
 * administrator's chain, read again, say so.  As long as providers do not answer that may
 * have it, it may be there still: a backup is withdrawn for a while before it goes. */
static enum sov_code
explain_pruned(const struct restore *r, enum sov_code rc, struct sov_error *err)
{
	struct sov_catalogue cat = {0};
	struct sov_error ignored;
	bool		there = false;
	char		why[200],
				whole[SOV_PATH_MAX + 40] = "";

	if (rc != SOV_E_NOTFOUND && rc != SOV_E_CORRUPT && rc != SOV_E_QUORUM)
		return rc;
	if (sov_repo_refresh(r->repo, &ignored) != SOV_OK || sov_repo_catalogue(r->repo, &cat, &ignored) != SOV_OK)
		return rc;
	for (uint32_t i = 0; i < cat.n; i++)
		there = there || strcmp(cat.backups[i].id, r->res->entry.id) == 0;
	sov_catalogue_free(&cat);
	if (there)
		return rc;
	snprintf(why, sizeof why, "%s", err ? err->message : "");
	if (r->begun)
		snprintf(whole, sizeof whole, "; %s is not whole and cannot be started", r->opt->target);
	if (rc == SOV_E_QUORUM)
		return sov_fail(err, SOV_E_CONFLICT, r->begun ? "it is not offered any more: restore another backup with --delta into the same directory ('pg_sovereign list' shows what there is), and have prune wait (--grace) for longer than a restore takes" :
						"it is not offered any more: restore another backup ('pg_sovereign list' shows what there is)",
						"backup %s was withdrawn by a prune while it was being restored, and what of it is not deleted yet may be at the providers that do not answer%s (%s)",
						r->res->entry.id, whole, why);
	return sov_fail(err, SOV_E_CONFLICT, r->begun ? "restore another backup with --delta into the same directory ('pg_sovereign list' shows what there is)" :
					"restore another backup ('pg_sovereign list' shows what there is)",
					"backup %s was pruned while it was being restored%s (%s)", r->res->entry.id, whole, why);
}

enum sov_code
sov_restore_run(struct sov_repo *repo, const struct sov_restore_options *opt, const struct sov_progress *progress,
				struct sov_restore_result *res, struct sov_error *err)
{
	struct restore r = {.repo = repo, .opt = opt, .progress = progress, .res = res};
	int64_t		start = repo_mono_us();
	uint64_t	damaged = repo->damaged_shards;
	bool		chosen;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	/* before anything is made at the target */
	rc = repo->keys->has_content ? SOV_OK : sov_repo_may_read(repo, err);
	if (rc == SOV_OK)
		rc = choose_backup(&r, err);
	if (rc == SOV_OK && opt->chosen)
		rc = opt->chosen(opt->ctx, &res->entry, err);
	chosen = rc == SOV_OK;
	if (rc == SOV_OK)
		rc = read_manifest(&r, err);
	if (rc == SOV_OK)
		rc = check_databases(&r, err);
	if (rc == SOV_OK)
		rc = target_prepare(&r, err);
	r.begun = rc == SOV_OK && !opt->dry_run;
	if (r.begun)
		rc = verify_begin(&r, err);
	if (rc == SOV_OK)
		rc = restore_files(&r, err);
	if (rc != SOV_OK && chosen)
		rc = explain_pruned(&r, rc, err);
	if (rc == SOV_OK && opt->delta)
		rc = delta_clear(&r, err);
	if (rc == SOV_OK && !opt->dry_run)
		rc = target_finish(&r, err);
	res->bytes = r.done_bytes;
	res->damaged_shards = repo->damaged_shards - damaged;
	(void) sov_repo_mark(repo, 0, &res->mark);
	res->former = repo->cluster != 0 && repo->cluster != sov_repo_current_cluster(repo);
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	verify_free(&r);
	delta_free(&r);
	sov_manifest_free(&r.manifest);
	return rc;
}
