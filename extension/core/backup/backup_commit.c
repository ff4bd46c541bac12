/*
 * backup_commit.c - from the pieces of a backup to its committed head: manifest,
 * catalogue, head.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup_private.h"
#include "wal/wal_private.h"

/* --- the manifest --- */

/* A page with a wrong checksum and an LSN of this backup's time is torn and WAL
 * replay mends it; any other is bad. */
static enum sov_code
judge_suspects(struct engine *e, struct sov_manifest *m, struct sov_error *err)
{
	m->bad = calloc(e->n_suspects + 1, sizeof *m->bad);
	if (m->bad == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t i = 0; i < e->n_suspects; i++)
	{
		const struct suspect *s = &e->suspects[i];

		if (s->lsn >= m->start_lsn && s->lsn <= m->stop_lsn)
			continue;
		m->bad_pages++;
		repo_note(e->repo, "bad page: %s block %u does not match its checksum; it is stored as it is, and the backup is marked",
				  e->list.files[s->file].path, s->block);
		if (m->n_bad == 1000)
			continue;
		snprintf(m->bad[m->n_bad].path, sizeof m->bad[m->n_bad].path, "%s", e->list.files[s->file].path);
		m->bad[m->n_bad++].block = s->block;
	}
	return SOV_OK;
}

static enum sov_code
fill_manifest(struct engine *e, const struct piece_list *pl, struct sov_manifest *m, struct sov_error *err)
{
	m->system_id = e->info.system_id;
	m->pg_version = e->info.pg_version;
	m->catalog_version = e->info.catalog_version;
	m->block_size = e->info.block_size;
	m->wal_segment_size = e->info.wal_segment_size;
	m->checksums = e->info.checksums;
	m->start_lsn = e->info.start_lsn;
	m->redo_lsn = e->info.redo_lsn;
	m->n_tablespaces = e->info.n_tablespaces;
	m->tablespaces = e->info.tablespaces;
	m->n_databases = e->info.n_databases;
	m->databases = e->info.databases;
	snprintf(m->label, sizeof m->label, "%s", e->opt->label ? e->opt->label : "");
	m->files = pl->files;
	m->bytes = pl->bytes;
	m->stored = e->stored;
	m->frames = e->frames;
	m->pieces = calloc(pl->n + 1, sizeof *m->pieces);
	if (m->pieces == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	m->n_pieces = (uint32_t) pl->n;
	for (size_t i = 0; i < pl->n; i++)
	{
		m->pieces[i].ref = pl->refs[i].ref;
		m->pieces[i].first_path = pl->refs[i].first_path;
	}
	return judge_suspects(e, m, err);
}

/* What fill_manifest borrowed is not the manifest's to free. */
static void
release_manifest(struct sov_manifest *m)
{
	free(m->pieces);
	m->pieces = NULL;
	m->n_pieces = 0;
	m->tablespaces = NULL;
	m->n_tablespaces = 0;
	m->databases = NULL;
	m->n_databases = 0;
	sov_manifest_free(m);
}

static void
fill_entry(struct sov_backup_entry *entry, const struct sov_manifest *m, const struct sov_objref *ref)
{
	memcpy(entry->id, m->backup_id, sizeof entry->id);
	entry->manifest = *ref;
	memcpy(entry->label, m->label, sizeof entry->label);
	entry->system_id = m->system_id;
	entry->timeline = m->timeline;
	entry->start_lsn = m->start_lsn;
	entry->stop_lsn = m->stop_lsn;
	entry->start_us = m->start_us;
	entry->stop_us = m->stop_us;
	entry->pg_version = m->pg_version;
	entry->wal_segment_size = m->wal_segment_size;
	entry->files = m->files;
	entry->bytes = m->bytes;
	entry->stored = m->stored;
	entry->bad_pages = m->bad_pages;
}

/* --- commit --- */

struct commit
{
	struct engine *e;
	const struct sov_backup_entry *entry;
};

static enum sov_code
load_catalogue(struct sov_repo *repo, const struct sov_head *head, struct sov_catalogue *cat, struct sov_error *err)
{
	struct sov_buf plain = {0};
	enum sov_code rc = SOV_OK;

	memset(cat, 0, sizeof *cat);
	if (!head->has_catalogue)
		return SOV_OK;
	rc = sov_repo_get_stream(repo, SOV_CLASS_META, head->catalogue.id, head->catalogue.attempt, NULL, &plain, err);
	if (rc == SOV_OK)
		rc = sov_catalogue_decode(plain.data, plain.len, cat, err);
	sov_buf_free(&plain);
	return rc;
}

/* pg_backup_stop has waited for the backup's last segment: a mark may say so. */
static void
mark_stop(struct sov_repo *repo, const struct sov_backup_entry *entry, struct sov_head *head)
{
	struct sov_object_state st;
	struct sov_mark mark = {.timeline = entry->timeline, .time_us = (uint64_t) repo_now_us()};
	uint64_t	last = entry->stop_lsn - 1;
	char		id[SOV_WAL_ID_MAX];

	wal_segment_name(entry->timeline, last, entry->wal_segment_size, mark.segment);
	mark.lsn = (last / entry->wal_segment_size + 1) * entry->wal_segment_size;
	if (head->mark.timeline > mark.timeline || (head->mark.timeline == mark.timeline && head->mark.lsn >= mark.lsn))
		return;
	sov_wal_object_id(repo, entry->system_id, mark.segment, id);
	if (sov_repo_object_state(repo, SOV_CLASS_WAL, id, 0, 0, &st, NULL) != SOV_OK || st.holders < repo->admin.map.k)
		return;					/* archived by other means, or not yet */
	memcpy(mark.stream, st.info.stream, 32);
	head->mark = mark;
}

static enum sov_code
add_backup(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	struct commit *c = ctx;
	struct sov_catalogue cat;
	struct sov_backup_entry *all;
	struct sov_buf bytes = {0};
	enum sov_code rc = sov_lease_settle(repo, &c->e->lease, c->e->base.id, head, err);

	if (rc == SOV_OK)
		rc = sov_repo_check_system(repo, c->entry->system_id, err);
	if (rc == SOV_OK)
		rc = load_catalogue(repo, head, &cat, err);
	if (rc != SOV_OK)
		return rc;
	lease_hide_condemned(&repo->admin, &cat);	/* for ever, in our own */
	all = realloc(cat.backups, (cat.n + 1) * sizeof *all);
	if (all == NULL)
	{
		sov_catalogue_free(&cat);
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	cat.backups = all;
	cat.backups[cat.n++] = *c->entry;
	rc = sov_catalogue_encode(&cat, &bytes, err);
	if (rc == SOV_OK)
		rc = sov_repo_put_stream(repo, c->e->run, SOV_CLASS_META, NULL, 0, bytes.data, bytes.len, true, NULL, 0,
								 &head->catalogue, NULL, err);
	if (rc == SOV_OK)
	{
		head->has_catalogue = true;
		if (head->system_id != c->entry->system_id)
			memset(&head->mark, 0, sizeof head->mark);	/* of the cluster before */
		head->system_id = c->entry->system_id;
		head->timeline = c->entry->timeline;
		head->lsn = c->entry->stop_lsn;
		mark_stop(repo, c->entry, head);
	}
	sov_buf_free(&bytes);
	sov_catalogue_free(&cat);
	return rc;
}

static enum sov_code
write_manifest(struct engine *e, const struct sov_manifest *m, struct sov_backup_entry *entry, struct sov_error *err)
{
	struct sov_buf bytes = {0};
	struct sov_objref ref;
	struct sov_put_result res = {0};
	struct commit c = {e, entry};
	enum sov_code rc = sov_manifest_encode(m, &bytes, err);

	if (rc == SOV_OK)
		rc = sov_repo_put_stream(e->repo, e->run, SOV_CLASS_META, NULL, 0, bytes.data, bytes.len, true, NULL, 0, &ref, &res, err);
	sov_buf_free(&bytes);
	if (rc != SOV_OK)
		return rc;
	fill_entry(entry, m, &ref);
	entry->stored += res.stored;
	return sov_repo_commit(e->repo, add_backup, &c, err);
}

enum sov_code
backup_write(struct engine *e, const struct piece_list *pl, struct sov_manifest *m, struct sov_backup_entry *entry, struct sov_error *err)
{
	enum sov_code rc = fill_manifest(e, pl, m, err);

	if (rc == SOV_OK)
		rc = write_manifest(e, m, entry, err);
	release_manifest(m);
	return rc;
}
