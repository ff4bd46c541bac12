/*
 * backup.c - one backup from pg_backup_start to the committed head.
 *
 * Order: run shares, packs, pieces, manifest, catalogue, head, local state.
 * Until the head is committed nothing refers to what was written, so a crash at
 * any moment leaves only orphans; the next backup takes over those that the
 * journal names (backup_base.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup_private.h"
#include "wal/wal_private.h"

/* --- running --- */

/* The next finished task; NULL when there is none any more or the backup failed. */
static struct task *
finished(struct engine *e)
{
	struct task *t = &e->window[e->collected % WINDOW];

	pthread_mutex_lock(&e->lock);
	while (!e->failed && !(e->collected < e->plan.n_tasks ? t->done : e->plan.done))
		pthread_cond_wait(&e->changed, &e->lock);
	if (e->failed || e->collected == e->plan.n_tasks)
		t = NULL;
	pthread_mutex_unlock(&e->lock);
	return t;
}

/* Have packs closed as they are, until what waits for them holds less. */
static enum sov_code
wait_for_packs(struct engine *e, struct piece_list *pl, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	packs_want(e);
	while (rc == SOV_OK && pl->waiting_bytes > WAITING_BYTES && !engine_stopped(e))
	{
		struct timespec until;

		/* an upload may have ended meanwhile, so not for long */
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 100000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_mutex_lock(&e->lock);
		if (!e->failed)
			(void) pthread_cond_timedwait(&e->changed, &e->lock, &until);
		pthread_mutex_unlock(&e->lock);
		rc = pieces_put(e, pl, false, err);
		if (rc == SOV_OK)
			rc = sov_lease_renew(e->repo, &e->lease, err);
	}
	return rc;
}

/* Take finished tasks in order, put pieces as they become ready. */
static enum sov_code
collect(struct engine *e, struct piece_list *pl, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;
	struct task *t;

	while (rc == SOV_OK && (t = finished(e)) != NULL)
	{
		rc = pieces_add(e, pl, t, err);
		pthread_mutex_lock(&e->lock);
		e->collected++;
		pthread_cond_broadcast(&e->changed);
		pthread_mutex_unlock(&e->lock);
		if (rc == SOV_OK)
			rc = pieces_put(e, pl, false, err);
		if (rc == SOV_OK && pl->waiting_bytes > WAITING_BYTES)
			rc = wait_for_packs(e, pl, err);
		if (rc == SOV_OK)
			rc = sov_lease_renew(e->repo, &e->lease, err);
	}
	return rc == SOV_OK && e->failed ? SOV_E_CANCELLED : rc;
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
		rc = read_task(e, last);
	packs_end(e);
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

/* --- WAL of a standby --- */

/* START TIMELINE of a backup label. */
static uint32_t
label_timeline(const struct sov_buf *label)
{
	static const char word[] = "\nSTART TIMELINE: ";
	const char *at = memmem(label->data, label->len, word, sizeof word - 1);

	return at ? (uint32_t) strtoul(at + sizeof word - 1, NULL, 10) : 0;
}

/* The primary archives what a backup of a standby needs, in its own time. */
static enum sov_code
wait_for_wal(struct engine *e, const struct sov_manifest *m, struct sov_error *err)
{
	uint64_t	seg = m->wal_segment_size;
	int64_t		start = repo_mono_us();
	bool		told = false;
	char		name[32],
				id[SOV_WAL_ID_MAX];

	for (uint64_t no = m->start_lsn / seg; no <= (m->stop_lsn - 1) / seg;)
	{
		struct sov_object_state st;
		int64_t		waited = repo_mono_us() - start;

		wal_segment_name(m->timeline, no * seg, (uint32_t) seg, name);
		sov_wal_object_id(e->repo, 0, name, id);
		if (sov_repo_object_state(e->repo, SOV_CLASS_WAL, id, 0, 0, &st, err) == SOV_OK && st.holders >= e->repo->admin.map.k)
		{
			no++;
			continue;
		}
		if (engine_stopped(e))
		{
			*err = e->err;
			return e->err.code;
		}
		if (!told && waited > 5000000)
			repo_note(e->repo, "waiting for the primary to archive %s; 'SELECT pg_switch_wal()' there closes the segment at once", name);
		told = told || waited > 5000000;
		if (waited > (int64_t) e->opt->archive_timeout * 1000000)
			return sov_fail(err, SOV_E_STATE, "see that the primary archives to this repository, run 'SELECT pg_switch_wal()' there, and back up again",
							"the primary did not archive %s within %d s, and the backup cannot be restored without it", name, e->opt->archive_timeout);
		usleep(200000);
	}
	return SOV_OK;
}

/* --- entry --- */

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

static size_t
find_control(const struct file_list *list)
{
	size_t		i = 0;

	while (i < list->n && strcmp(list->files[i].path, SOV_CONTROL_FILE) != 0)
		i++;
	return i;
}

/* What is there, and what the last backup has of it. */
static enum sov_code
look_around(struct engine *e, struct sov_error *err)
{
	enum sov_code rc = sov_repo_check_system(e->repo, e->info.system_id, err);

	if (rc == SOV_OK)
		rc = sov_lease_begin(e->repo, &e->lease, err);
	if (rc == SOV_OK)
		rc = base_open(e, err);
	if (rc == SOV_OK)
		rc = trust_open(e, err);
	if (rc == SOV_OK)
		rc = files_walk(e->opt->data_directory, &e->info, &e->list, err);
	if (rc == SOV_OK && (e->vanished = calloc(e->list.n + 1, sizeof *e->vanished)) == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	e->control = find_control(&e->list);
	return rc;
}

/* prune looks for a moment whether somebody has it. */
static enum sov_code
lock_backup(const struct sov_repo *repo, int *fd, struct sov_error *err)
{
	enum sov_code rc = SOV_E_STATE;

	for (int i = 0; rc == SOV_E_STATE && i < 20; i++)
	{
		if (i > 0)
			usleep(10000);
		rc = repo_try_lock_file(repo, "backup.lock", fd, err);
	}
	return rc;
}

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
		rc = look_around(e, err);
	if (rc == SOV_OK)			/* the server may have waited for a checkpoint for hours */
		rc = repo_run_fresh(e->repo, &e->run, e->run_us, err);
	if (rc == SOV_OK)
		rc = plan_control(e, &last, err);
	if (rc == SOV_OK)
		rc = packs_init(e, err);
	e->started_us = repo_mono_us();
	if (rc == SOV_OK)
		rc = read_everything(e, &pl, &last, err);
	if (rc == SOV_OK)
		rc = e->source->stop(e->source->ctx, &m.stop_lsn, &m.backup_label, &m.tablespace_map, err);
	m.stop_us = (uint64_t) repo_now_us();
	m.timeline = label_timeline(&m.backup_label);
	m.wal_segment_size = e->info.wal_segment_size;
	m.start_lsn = e->info.start_lsn;
	if (rc == SOV_OK && m.timeline == 0)
		rc = sov_fail(err, SOV_E_STATE, NULL, "the server's backup label names no timeline");
	if (rc == SOV_OK && e->info.standby)
		rc = wait_for_wal(e, &m, err);
	if (rc == SOV_OK)
		rc = backup_write(e, &pl, &m, &res->entry, err);
	else
		sov_manifest_free(&m);
	if (rc == SOV_OK)
	{
		journal_drop(e);
		trust_note_sparse(e, res->entry.id);
	}
	else if (e->lease.renewed_us != 0)
		sov_lease_drop(e->repo);
	res->pieces = (uint32_t) pl.n;
	pieces_free(&pl);
	task_clear(e, &last);
	return rc;
}

static void
engine_free(struct engine *e)
{
	for (int i = 0; i < WINDOW; i++)
		task_clear(e, &e->window[i]);
	base_piece_release(e, e->plan.piece);
	base_close(&e->base);
	trust_close(e);
	free(e->vanished);
	free(e->suspects);
	free(e->info.tablespaces);
	free(e->info.databases);
	files_free(&e->list);
	packs_free(e);
	sov_run_free(e->run);
	pthread_mutex_destroy(&e->plan.lock);
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
	rc = sov_repo_obey_policy(repo, err);
	if (rc != SOV_OK)
	{
		free(e);
		return rc;
	}
	e->repo = repo;
	e->source = source;
	e->opt = opt;
	e->progress = progress;
	e->list.note = repo->note;
	e->list.note_ctx = repo->note_ctx;
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->plan.lock, NULL);
	pthread_cond_init(&e->changed, NULL);
	rc = lock_backup(repo, &fd, err);
	e->run_us = repo_mono_us();
	if (rc == SOV_OK)			/* before the server is asked for anything: providers may refuse it */
		rc = sov_repo_run_begin(repo, &e->run, err);
	if (rc == SOV_OK)
		rc = run_backup(e, res, err);
	snprintf(res->base, sizeof res->base, "%s", e->base.id);
	res->same_bytes = e->same_bytes;
	res->skipped_bytes = e->skipped_bytes;
	res->moved_bytes = e->moved_bytes;
	res->lost_packs = e->lost_packs;
	res->sparse_packs = e->sparse_packs;
	res->same_pieces = e->same_pieces;
	res->zero_bytes = e->zero_bytes;
	res->frames = e->frames;
	res->packs = e->put_packs;
	res->degraded = e->degraded;
	res->seconds = (double) (repo_mono_us() - start) / 1e6;
	if (fd >= 0)
		close(fd);
	engine_free(e);
	return rc;
}
