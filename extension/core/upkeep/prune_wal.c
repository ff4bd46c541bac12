/*
 * prune_wal.c - the WAL that no backup that stays needs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prune_private.h"
#include "wal/wal_private.h"

static enum sov_code
note_range(struct sov_prune_result *res, const struct wal_needed *of, const char *name, struct sov_error *err)
{
	struct sov_prune_wal *w = res->n_wal ? &res->wal[res->n_wal - 1] : NULL;

	if (w == NULL || w->timeline != of->timeline || w->system_id != of->system_id)
	{
		w = realloc(res->wal, (res->n_wal + 1) * sizeof *w);
		if (w == NULL)
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		res->wal = w;
		w += res->n_wal++;
		memset(w, 0, sizeof *w);
		w->timeline = of->timeline;
		w->system_id = of->system_id;
		snprintf(w->first, sizeof w->first, "%.24s", name);
	}
	snprintf(w->last, sizeof w->last, "%.24s", name);
	w->files++;
	return SOV_OK;
}

/* Backups that stay; the caller frees the list. */
static const struct sov_backup_entry **
staying(const struct prune *p, uint32_t *n)
{
	const struct sov_backup_entry **list = malloc((p->all.n + 1) * sizeof *list);

	*n = 0;
	for (uint32_t i = 0; list != NULL && i < p->all.n; i++)
		if (prune_stays(p, &p->all.backups[i]))
			list[(*n)++] = &p->all.backups[i];
	return list;
}

/* goes[i]: item i of the inventory is WAL that nobody needs. */
enum sov_code
prune_wal(struct prune *p, bool *goes, struct sov_error *err)
{
	struct wal_needed needed = {0};
	const char *counted = "";
	uint32_t	n;
	const struct sov_backup_entry **backups = staying(p, &n);
	enum sov_code rc = backups ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	for (size_t i = 0; i < p->v.inv.n_items && rc == SOV_OK; i++)
	{
		const struct sov_inventory_item *it = &p->v.inv.items[i];
		const char *name;
		uint64_t	system_id;

		/* items are sorted by id */
		if (it->class_ != SOV_CLASS_WAL || !wal_needed_of(p->repo, backups, n, it->id, &needed))
			continue;
		name = sov_wal_file_name(p->repo, it->id, &system_id);
		if (wal_needed_has(&needed, name))
			continue;
		goes[i] = true;
		if (strcmp(counted, it->id) == 0)	/* another attempt */
			continue;
		counted = it->id;
		p->res->wal_files++;
		rc = note_range(p->res, &needed, name, err);
	}
	free(backups);
	return rc;
}
