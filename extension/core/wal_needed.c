/*
 * wal_needed.c - which WAL backups need.
 *
 * A backup needs the WAL of its own timeline from its start on, and that of every
 * timeline that descends from it after its end.  What cannot be told is needed: a
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

enum sov_code
wal_needed_read(struct sov_repo *repo, const struct sov_backup_entry *const *backups, uint32_t n, uint32_t timeline,
				struct wal_needed *out, struct sov_error *err)
{
	struct wal_history *h = calloc(1, sizeof *h);
	uint32_t	newest = 0;
	uint64_t	start = UINT64_MAX;
	struct sov_error why;
	enum sov_code rc;

	if (h == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	h->timeline = timeline;
	rc = wal_history_read(repo, h, &why);
	memset(out, 0, sizeof *out);
	out->timeline = timeline;
	out->all = rc != SOV_OK && !(rc == SOV_E_NOTFOUND && timeline == 1);
	for (uint32_t i = 0; i < n; i++)
	{
		newest = backups[i]->timeline > newest ? backups[i]->timeline : newest;
		count_in(out, backups[i], h, &start);
	}
	out->all = out->all || timeline > newest;
	free(h);
	return SOV_OK;
}

bool
wal_needed_has(const struct wal_needed *w, const char *name)
{
	enum sov_wal_kind kind;
	uint32_t	timeline;

	return !sov_wal_name(name, &kind, &timeline) || kind == SOV_WAL_HISTORY || timeline != w->timeline || w->all ||
		(w->from[0] && strncmp(name, w->from, 24) >= 0);
}
