/*
 * backup.c - one backup from pg_backup_start to the committed head.
 *
 * Order: run shares, packs, pieces, manifest, catalogue, head, local state.
 * Until the head is committed nothing refers to what was written, so a crash at
 * any moment leaves only orphans and the next backup starts afresh.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup_private.h"
#include "wal_private.h"

#define CONTROL_FILE "global/pg_control"

/* --- planning --- */

static bool
add_range(struct task *t, size_t file, uint32_t first, uint32_t n)
{
	if (t->n_ranges % 64 == 0)
	{
		void	   *p = realloc(t->ranges, (t->n_ranges + 64) * sizeof *t->ranges);

		if (p == NULL)
			return false;
		t->ranges = p;
	}
	t->ranges[t->n_ranges++] = (struct range) {file, first, n};
	return true;
}

static struct task *
new_task(struct engine *e, size_t *cap)
{
	if (e->n_tasks == *cap)
	{
		size_t		want = *cap ? *cap * 2 : 256;
		void	   *p = realloc(e->tasks, want * sizeof *e->tasks);

		if (p == NULL)
			return NULL;
		e->tasks = p;
		*cap = want;
	}
	memset(&e->tasks[e->n_tasks], 0, sizeof *e->tasks);
	return &e->tasks[e->n_tasks++];
}

/* Cut the files, in path order, into tasks of about TASK_BYTES.  pg_control is
 * left for the end. */
static enum sov_code
plan_tasks(struct engine *e, struct task *last, struct sov_error *err)
{
	struct task *t = NULL;
	uint64_t	bytes = 0;
	size_t		cap = 0;
	bool		good = true;

	for (size_t i = 0; i < e->list.n && good; i++)
	{
		const struct plan_file *f = &e->list.files[i];
		uint64_t	blocks = (f->size + SOV_FRAME_MAX - 1) / SOV_FRAME_MAX;
		uint64_t	at = 0;

		if (blocks > UINT32_MAX)
			return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "%s is larger than 512 TB", f->path);
		if (strcmp(f->path, CONTROL_FILE) == 0)
		{
			good = add_range(last, i, 0, (uint32_t) blocks);
			continue;
		}
		do
		{
			uint32_t	n;

			if (t == NULL || bytes >= TASK_BYTES || t->n_ranges >= TASK_FILES)
			{
				t = new_task(e, &cap);
				bytes = 0;
			}
			n = (uint32_t) ((TASK_BYTES - bytes + SOV_FRAME_MAX - 1) / SOV_FRAME_MAX);
			if (n > blocks - at)
				n = (uint32_t) (blocks - at);
			good = t != NULL && add_range(t, i, (uint32_t) at, n);
			at += n;
			bytes += (uint64_t) n * SOV_FRAME_MAX;
		} while (good && at < blocks);
	}
	return good ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

/* --- running --- */

/* Take finished tasks in order, put pieces as they become ready. */
static enum sov_code
collect(struct engine *e, struct piece_list *pl, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (size_t i = 0; i < e->n_tasks && rc == SOV_OK; i++)
	{
		bool		failed;

		pthread_mutex_lock(&e->lock);
		while (!e->tasks[i].done && !e->failed)
			pthread_cond_wait(&e->changed, &e->lock);
		failed = e->failed;
		pthread_mutex_unlock(&e->lock);
		if (failed)
			return SOV_E_CANCELLED;
		rc = pieces_add(e, pl, &e->tasks[i], err);
		if (rc == SOV_OK)
			rc = pieces_put(e, pl, false, err);
	}
	return rc;
}

static void
finish_packs(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->no_more_packs = true;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

/* Workers, uploaders and the collecting main thread, until all packs are up. */
static enum sov_code
read_everything(struct engine *e, struct piece_list *pl, struct task *last, struct sov_error *err)
{
	pthread_t	workers[MAX_JOBS],
				uploaders[UPLOADERS];
	int			n_workers = 0,
				n_uploaders = 0;
	enum sov_code rc;

	while (n_uploaders < UPLOADERS && pthread_create(&uploaders[n_uploaders], NULL, uploader_main, e) == 0)
		n_uploaders++;
	while (n_workers < e->opt->jobs && pthread_create(&workers[n_workers], NULL, worker_main, e) == 0)
		n_workers++;
	if (n_uploaders == 0 || n_workers == 0)
		rc = sov_fail(err, SOV_E_SYSTEM, NULL, "could not start a thread");
	else
		rc = collect(e, pl, err);
	if (rc != SOV_OK && rc != SOV_E_CANCELLED)
		engine_fail(e, err);
	for (int i = 0; i < n_workers; i++)
		pthread_join(workers[i], NULL);
	if (rc == SOV_OK && last->n_ranges > 0)
		rc = read_last_file(e, last);
	finish_packs(e);
	for (int i = 0; i < n_uploaders; i++)
		pthread_join(uploaders[i], NULL);
	if (e->failed)
	{
		*err = e->err;
		return e->err.code;
	}
	if (rc == SOV_OK)
		rc = pieces_put(e, pl, true, err);
	/* pg_control stands in a piece of its own, the last. */
	if (rc == SOV_OK && last->n_ranges > 0)
		rc = pieces_add(e, pl, last, err);
	return rc == SOV_OK ? pieces_put(e, pl, true, err) : rc;
}

/* --- after the stop --- */

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

static void
backup_id(char *dst, size_t cap, uint64_t us)
{
	time_t		t = (time_t) (us / 1000000);
	struct tm	tm;
	uint8_t		r[2] = {0};
	char		text[32];

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &tm);
	(void) sov_random(r, sizeof r, NULL);
	snprintf(dst, cap, "%s-%02x%02x", text, r[0], r[1]);
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

	wal_segment_name(entry->timeline, last, entry->wal_segment_size, mark.segment);
	mark.lsn = (last / entry->wal_segment_size + 1) * entry->wal_segment_size;
	if (head->mark.timeline > mark.timeline || (head->mark.timeline == mark.timeline && head->mark.lsn >= mark.lsn))
		return;
	if (sov_repo_object_state(repo, SOV_CLASS_WAL, mark.segment, 0, 0, &st, NULL) != SOV_OK || st.holders < repo->admin.map.k)
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
	enum sov_code rc = load_catalogue(repo, head, &cat, err);

	if (rc != SOV_OK)
		return rc;
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

/* --- entry --- */

static enum sov_code
run_backup(struct engine *e, struct sov_backup_result *res, struct sov_error *err)
{
	struct sov_manifest m = {0};
	struct piece_list pl = {0};
	struct task last = {0};
	enum sov_code rc;

	m.start_us = (uint64_t) repo_now_us();
	backup_id(m.backup_id, sizeof m.backup_id, m.start_us);
	rc = e->source->start(e->source->ctx, e->opt->label, e->opt->fast, &e->info, err);
	if (rc == SOV_OK)
		rc = sov_repo_check_system(e->repo, e->info.system_id, err);
	if (rc == SOV_OK)
		rc = files_walk(e->opt->data_directory, &e->info, &e->list, err);
	if (rc == SOV_OK && (e->vanished = calloc(e->list.n + 1, sizeof *e->vanished)) == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = plan_tasks(e, &last, err);
	if (rc == SOV_OK)
		rc = packs_init(e, err);
	e->started_us = repo_mono_us();
	if (rc == SOV_OK)
		rc = read_everything(e, &pl, &last, err);
	if (rc == SOV_OK)
		rc = e->source->stop(e->source->ctx, &m.stop_lsn, &m.timeline, &m.backup_label, &m.tablespace_map, err);
	m.stop_us = (uint64_t) repo_now_us();
	if (rc == SOV_OK)
		rc = fill_manifest(e, &pl, &m, err);
	if (rc == SOV_OK)
		rc = write_manifest(e, &m, &res->entry, err);
	release_manifest(&m);
	pieces_free(&pl);
	free(last.ranges);
	free(last.blocks);
	free(last.runs);
	return rc;
}

static void
engine_free(struct engine *e)
{
	for (size_t i = 0; i < e->n_tasks; i++)
	{
		free(e->tasks[i].ranges);
		free(e->tasks[i].blocks);
		free(e->tasks[i].runs);
	}
	free(e->tasks);
	free(e->vanished);
	free(e->suspects);
	free(e->info.tablespaces);
	files_free(&e->list);
	packs_free(e);
	sov_run_free(e->run);
	pthread_mutex_destroy(&e->lock);
	pthread_cond_destroy(&e->changed);
	free(e);
}

enum sov_code
sov_backup_run(struct sov_repo *repo, const struct sov_source *source, const struct sov_backup_options *opt,
			   const struct sov_progress *progress, struct sov_backup_result *res, struct sov_error *err)
{
	struct engine *e = calloc(1, sizeof *e);
	int64_t		start = repo_mono_us();
	int			fd = -1;
	enum sov_code rc;

	memset(res, 0, sizeof *res);
	if (e == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (opt->jobs < 1 || opt->jobs > MAX_JOBS)
	{
		free(e);
		return sov_fail(err, SOV_E_USAGE, NULL, "jobs must be from 1 to %d", MAX_JOBS);
	}
	e->repo = repo;
	e->source = source;
	e->opt = opt;
	e->progress = progress;
	e->list.note = repo->note;
	e->list.note_ctx = repo->note_ctx;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->changed, NULL);
	rc = repo_try_lock_file(repo, "backup.lock", &fd, err);
	if (rc == SOV_OK)
		rc = sov_repo_run_begin(repo, &e->run, err);
	if (rc == SOV_OK)
		rc = run_backup(e, res, err);
	res->zero_bytes = e->zero_bytes;
	res->frames = e->frames;
	res->packs = e->n_packs;
	res->degraded = e->degraded;
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	if (fd >= 0)
		close(fd);
	engine_free(e);
	return rc;
}
