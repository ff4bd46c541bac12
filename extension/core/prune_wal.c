/*
 * prune_wal.c - which WAL no backup that stays needs.
 *
 * A backup needs the WAL of its own timeline from its start on, and that of every
 * timeline that descends from it after its end.  What cannot be told is kept: a
 * timeline later than all backups, or one whose history cannot be read.  History
 * files are always kept; .backup and .partial files go with their segment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prune_private.h"
#include "wal_private.h"

/* What goes of one timeline: names below `from`. */
struct timeline_rule
{
	uint32_t	timeline;
	bool		keep_all;
	char		from[32];		/* first segment that is needed; "" with keep_all false:
								 * none is */
};

static enum sov_code
make_rule(struct prune *p, struct timeline_rule *rule, struct sov_error *err)
{
	struct wal_history *h = calloc(1, sizeof *h);
	uint32_t	newest = 0;
	uint64_t	start = UINT64_MAX;
	struct sov_error why;
	enum sov_code rc = h ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc != SOV_OK)
		return rc;
	h->timeline = rule->timeline;
	rc = wal_history_read(p->repo, h, &why);
	rule->keep_all = rc != SOV_OK && !(rc == SOV_E_NOTFOUND && rule->timeline == 1);
	rule->from[0] = '\0';
	for (uint32_t i = 0; i < p->all.n; i++)
	{
		const struct sov_backup_entry *b = &p->all.backups[i];

		if (!prune_stays(p, b))
			continue;
		newest = b->timeline > newest ? b->timeline : newest;
		if (b->timeline == rule->timeline && b->start_lsn < start)
		{
			start = b->start_lsn;
			wal_segment_name(b->timeline, b->start_lsn, b->wal_segment_size, rule->from);
		}
		else if (b->timeline != rule->timeline && wal_history_leads(h, b->timeline, b->stop_lsn))
			rule->keep_all = true;
	}
	rule->keep_all = rule->keep_all || rule->timeline > newest;
	free(h);
	return SOV_OK;
}

static enum sov_code
note_range(struct sov_prune_result *res, uint32_t timeline, const char *name, struct sov_error *err)
{
	struct sov_prune_wal *w = res->n_wal ? &res->wal[res->n_wal - 1] : NULL;

	if (w == NULL || w->timeline != timeline)
	{
		w = realloc(res->wal, (res->n_wal + 1) * sizeof *w);
		if (w == NULL)
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		res->wal = w;
		w += res->n_wal++;
		memset(w, 0, sizeof *w);
		w->timeline = timeline;
		snprintf(w->first, sizeof w->first, "%.24s", name);
	}
	snprintf(w->last, sizeof w->last, "%.24s", name);
	w->files++;
	return SOV_OK;
}

/* goes[i]: item i of the inventory is WAL that nobody needs. */
enum sov_code
prune_wal(struct prune *p, bool *goes, struct sov_error *err)
{
	struct timeline_rule rule = {0};
	const char *counted = "";
	enum sov_code rc = SOV_OK;

	for (size_t i = 0; i < p->v.inv.n_items && rc == SOV_OK; i++)
	{
		const struct sov_inventory_item *it = &p->v.inv.items[i];
		enum sov_wal_kind kind;
		uint32_t	timeline;

		if (it->class_ != SOV_CLASS_WAL || !sov_wal_name(it->id, &kind, &timeline) || kind == SOV_WAL_HISTORY)
			continue;
		if (timeline != rule.timeline)	/* items are sorted by name */
		{
			rule.timeline = timeline;
			rc = make_rule(p, &rule, err);
		}
		if (rc != SOV_OK || rule.keep_all || (rule.from[0] && strncmp(it->id, rule.from, 24) >= 0))
			continue;
		goes[i] = true;
		if (strcmp(counted, it->id) == 0)	/* another attempt */
			continue;
		counted = it->id;
		p->res->wal_files++;
		rc = note_range(p->res, timeline, it->id, err);
	}
	return rc;
}
