/*
 * wal_needed.c - which WAL backups need.
 *
 * A backup needs the WAL of its own timeline from its start on, and that of every
 * timeline that descends from it after its end, all of the same cluster.  What cannot be told is needed: a
 * timeline later than all backups, or one whose history cannot be read.  History
 * files are always needed; .backup and .partial files go with their segment.
 */
#include <stdlib.h>
#include <string.h>

#include "wal_private.h"

static void
count_in(struct wal_needed *out, const struct sov_backup_entry *b, const struct wal_history *h, uint64_t *start)
{
	if (b->timeline == out->timeline && b->start_lsn < *start)
	{
		*start = b->start_lsn;
		wal_segment_name(b->timeline, b->start_lsn, b->wal_segment_size, out->from);
	}
	else if (b->timeline != out->timeline && wal_history_leads(h, b->timeline, b->stop_lsn))
		out->all = true;
}

static bool
wal_needed_read(struct sov_repo *repo, const struct sov_backup_entry *const *backups, uint32_t n, struct wal_needed *out)
{
	struct wal_history *h = calloc(1, sizeof *h);
	const struct sov_cluster *c = sov_repo_cluster(repo, out->system_id);
	uint32_t	newest = 0;
	uint64_t	start = UINT64_MAX;
	struct sov_error why;
	enum sov_code rc;

	if (h == NULL)
		return false;
	h->system_id = out->system_id;
	h->timeline = out->timeline;
	rc = wal_history_read(repo, h, &why);
	out->all = rc != SOV_OK && !(rc == SOV_E_NOTFOUND && out->timeline == 1);
	for (uint32_t i = 0; i < n; i++)
	{
		if (c != NULL && backups[i]->system_id != out->system_id)
			continue;
		newest = backups[i]->timeline > newest ? backups[i]->timeline : newest;
		count_in(out, backups[i], h, &start);
	}
	out->gone = newest == 0 && c != NULL && out->system_id != sov_repo_current_cluster(repo);
	out->all = out->all || out->timeline > newest;
	free(h);
	return true;
}

bool
wal_needed_of(struct sov_repo *repo, const struct sov_backup_entry *const *backups, uint32_t n, const char *id, struct wal_needed *out)
{
	uint64_t	system_id;
	uint32_t	timeline;
	enum sov_wal_kind kind;

	if (!sov_wal_name(sov_wal_file_name(repo, id, &system_id), &kind, &timeline))
		return false;
	if (timeline == out->timeline && system_id == out->system_id)
		return true;
	*out = (struct wal_needed) {.system_id = system_id, .timeline = timeline};
	if (wal_needed_read(repo, backups, n, out))
		return true;
	out->timeline = 0;
	return false;
}

bool
wal_needed_has(const struct wal_needed *w, const char *name)
{
	enum sov_wal_kind kind;
	uint32_t	timeline;

	if (w->gone)
		return false;
	return !sov_wal_name(name, &kind, &timeline) || kind == SOV_WAL_HISTORY || timeline != w->timeline || w->all ||
		(w->from[0] && strncmp(name, w->from, 24) >= 0);
}
