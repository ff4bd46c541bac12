/*
 * restore_choose.c - which backup leads to the target.
 *
 * The newest that was finished before the target, on the target timeline or on
 * one that it descends from, before the point where they part: from any other
 * the server could not get there.  Where there were several clusters (pg_upgrade),
 * the newest that has such a backup.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore_private.h"
#include "wal/wal_private.h"

/* Is it of the cluster that the handle means? */
static bool
of_cluster(const struct sov_repo *repo, const struct sov_backup_entry *b)
{
	return repo->cluster == 0 || b->system_id == repo->cluster;
}

/* The newest timeline that there is. */
static enum sov_code
find_latest(struct sov_repo *repo, const struct sov_catalogue *cat, struct wal_history *h, struct sov_error *err)
{
	struct sov_mark mark;
	struct sov_error why;
	enum sov_code rc = SOV_OK;

	h->timeline = 1;
	for (uint32_t i = 0; i < cat->n; i++)
		if (of_cluster(repo, &cat->backups[i]) && cat->backups[i].timeline > h->timeline)
			h->timeline = cat->backups[i].timeline;
	if (sov_repo_mark(repo, 0, &mark) && mark.timeline > h->timeline)
		h->timeline = mark.timeline;
	while (rc == SOV_OK)
	{
		h->timeline++;
		rc = wal_history_read(repo, h, &why);
	}
	if (rc != SOV_E_NOTFOUND)
	{
		*err = why;
		return rc;
	}
	h->timeline--;
	return SOV_OK;
}

static enum sov_code
find_timeline(struct restore *r, const struct sov_catalogue *cat, struct wal_history *h, struct sov_error *err)
{
	const char *want = r->opt->target_timeline;
	char	   *end;
	enum sov_code rc = SOV_OK;

	if (want && strcmp(want, "current") == 0)
	{
		h->any = true;
		return SOV_OK;
	}
	if (want == NULL || strcmp(want, "latest") == 0)
		rc = find_latest(r->repo, cat, h, err);
	else
	{
		h->timeline = (uint32_t) strtoul(want, &end, 0);
		if (h->timeline == 0 || *end != '\0')
			return sov_fail(err, SOV_E_USAGE, "'pg_sovereign list' shows the timelines of backups", "the target timeline is a number, 'latest' or 'current', not \"%.40s\"", want);
	}
	if (rc == SOV_OK)
		rc = wal_history_read(r->repo, h, err);
	return rc == SOV_E_NOTFOUND ? SOV_OK : rc;
}

/* --- backups --- */

static bool
before_target(const struct sov_restore_options *o, const struct sov_backup_entry *e)
{
	if (o->target_time_us != 0 && (int64_t) e->stop_us > o->target_time_us)
		return false;
	return o->target_lsn_value == 0 || e->stop_lsn <= o->target_lsn_value;
}

/* Nothing fits: say why. */
static enum sov_code
explain(const struct sov_restore_options *o, const struct sov_catalogue *cat, const struct wal_history *h, struct sov_error *err)
{
	const struct sov_backup_entry *named = NULL;

	for (uint32_t i = 0; o->backup && i < cat->n; i++)
		if (strcmp(cat->backups[i].id, o->backup) == 0)
			named = &cat->backups[i];
	if (cat->n == 0)
		return sov_fail(err, SOV_E_NOTFOUND, "'pg_sovereign backup' makes one, on the host of the server", "there is no backup in this repository");
	if (o->backup && named == NULL)
		return sov_fail(err, SOV_E_NOTFOUND, "'pg_sovereign list' shows what there is", "there is no backup %s", o->backup);
	if (named && !before_target(o, named))
		return sov_fail(err, SOV_E_NOTFOUND, "choose an earlier backup or a later target", "backup %s was finished after the target", o->backup);
	if (named)
		return sov_fail(err, SOV_E_NOTFOUND, "add --target-timeline current, or choose another backup",
						"backup %s was made on timeline %u, which timeline %u does not descend from after it", o->backup, named->timeline, h->timeline);
	return sov_fail(err, SOV_E_NOTFOUND, "'pg_sovereign list' shows what there is; --target-timeline may be needed",
					"there is no backup that was finished before the target and leads to timeline %u", h->timeline);
}

/* The backup among those of the cluster that the handle means; NULL: none fits. */
static enum sov_code
choose_in_cluster(struct restore *r, const struct sov_catalogue *cat, struct wal_history *h, const struct sov_backup_entry **found, struct sov_error *err)
{
	const struct sov_restore_options *o = r->opt;
	enum sov_code rc;

	memset(h, 0, sizeof *h);
	rc = find_timeline(r, cat, h, err);
	for (uint32_t i = 0; rc == SOV_OK && i < cat->n; i++)	/* oldest first */
		if ((o->backup == NULL || strcmp(cat->backups[i].id, o->backup) == 0) && of_cluster(r->repo, &cat->backups[i]) &&
			before_target(o, &cat->backups[i]) && (h->any || wal_history_leads(h, cat->backups[i].timeline, cat->backups[i].stop_lsn)))
			*found = &cat->backups[i];
	return rc;
}

static bool
has_backup(const struct sov_repo *repo, const struct sov_catalogue *cat)
{
	for (uint32_t i = 0; i < cat->n; i++)
		if (of_cluster(repo, &cat->backups[i]))
			return true;
	return false;
}

/* In the current cluster, or else in the newest of those before it that has one. */
enum sov_code
choose_backup(struct restore *r, struct sov_error *err)
{
	const struct sov_admin_head *admin = &r->repo->admin;
	struct sov_catalogue cat = {0};
	struct wal_history *h = calloc(1, sizeof *h);
	const struct sov_backup_entry *found = NULL;
	enum sov_code rc = h ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	int			i = admin->n_clusters;

	if (rc == SOV_OK)
		rc = sov_repo_catalogue(r->repo, &cat, err);
	do
	{
		r->repo->cluster = i > 0 ? admin->clusters[i - 1].system_id : 0;
		if (rc == SOV_OK && has_backup(r->repo, &cat))
			rc = choose_in_cluster(r, &cat, h, &found, err);
	} while (rc == SOV_OK && found == NULL && --i > 0);
	if (rc == SOV_OK && found)
		r->res->entry = *found;
	else if (rc == SOV_OK)
		rc = explain(r->opt, &cat, h, err);
	sov_catalogue_free(&cat);
	free(h);
	return rc;
}
