/*
 * restore_fill.c - fetching what a window needs: each pack once, of each the parts
 * that are needed, opened frame by frame and written where they belong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "restore_private.h"

/* One run with where it goes. */
struct job
{
	const struct sov_mf_run *run;
	uint32_t	pack;			/* in window.packs */
	uint32_t	piece,
				file,
				block;
};

struct window_worker
{
	struct window *w;
	ZSTD_DCtx  *zctx;
	uint8_t    *frame;			/* opened frame */
	uint8_t    *scratch;
	uint32_t	frame_offset;	/* which one: offset in the pack, UINT32_MAX: none */
	struct sov_buf sealed;
	struct sov_range *ranges;
	size_t		cap_ranges;
	int			fd;
	uint32_t	fd_piece,
				fd_file;
};

static void
count_bytes(struct restore *r, uint64_t n)
{
	uint64_t	done = atomic_fetch_add(&r->done_bytes, n) + n;

	if (r->progress && r->progress->update)
		r->progress->update(r->progress->ctx, done, r->manifest.bytes);
}

static enum sov_code
open_for(struct window_worker *ww, const struct job *j, const char *rel, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2];

	if (ww->fd >= 0 && ww->fd_file == j->file && ww->fd_piece == j->piece)
		return SOV_OK;
	if (ww->fd >= 0)
		close(ww->fd);
	target_path(ww->w->r, rel, path, sizeof path);
	ww->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	ww->fd_file = j->file;
	ww->fd_piece = j->piece;
	return ww->fd >= 0 ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not open %s", path);
}

static enum sov_code
do_run(struct window_worker *ww, const struct job *j, const struct sov_run *run, struct sov_error *err)
{
	struct window *w = ww->w;
	struct window_piece *wp = &w->pieces[j->piece];
	const struct sov_mf_file *f = &wp->piece.files[j->file];
	const struct sov_mf_block *b = &wp->piece.blocks[f->first_block + j->block];
	const struct sov_mf_run *m = j->run;
	const struct unit u = {j->piece, j->file, j->block, 1};
	enum sov_code rc = SOV_OK;

	if (ww->frame_offset != m->offset)
	{
		if ((uint64_t) m->offset + m->sealed_len > ww->sealed.len)
			return sov_fail(err, SOV_E_CORRUPT, NULL, "a pack is shorter than its manifest says");
		rc = sov_frame_open(run, SOV_FRAME_PAGES, ww->zctx, m->counter, ww->sealed.data + m->offset, m->sealed_len,
							ww->scratch, ww->frame, m->raw_len, err);
		ww->frame_offset = rc == SOV_OK ? m->offset : UINT32_MAX;
	}
	if (rc == SOV_OK && b->n_runs == 1 && m->first == 0 && m->length == sov_mf_block_len(f, j->block))
	{
		rc = window_check(w, &u, j->block, ww->frame + m->skip, err);
		wp->good[f->first_block + j->block] = rc == SOV_OK;
	}
	if (rc == SOV_OK)
		rc = open_for(ww, j, f->path, err);
	if (rc == SOV_OK)
		rc = write_at(ww->fd, ww->frame + m->skip, m->length, (off_t) j->block * SOV_FRAME_MAX + m->first, f->path, err);
	if (rc == SOV_OK)
		count_bytes(w->r, m->length);
	return rc;
}

/* The parts of the pack that the jobs need; false when it may as well be fetched
 * whole. */
static bool
needed_parts(struct window_worker *ww, const struct job *jobs, size_t n, uint64_t sealed_len, size_t *n_ranges, bool *nomem)
{
	uint64_t	need = 0;

	*n_ranges = 0;
	*nomem = false;
	if (n > ww->cap_ranges)
	{
		void	   *p = realloc(ww->ranges, n * sizeof *ww->ranges);

		*nomem = p == NULL;
		if (p == NULL)
			return false;
		ww->ranges = p;
		ww->cap_ranges = n;
	}
	for (size_t i = 0; i < n; i++)
		if (i == 0 || jobs[i].run->offset != jobs[i - 1].run->offset)
		{
			ww->ranges[(*n_ranges)++] = (struct sov_range) {jobs[i].run->offset, jobs[i].run->sealed_len};
			need += jobs[i].run->sealed_len;
		}
	return need * 3 < sealed_len;
}

static enum sov_code
fetch_pack(struct window_worker *ww, const struct job *jobs, size_t n, const struct sov_mf_pack *pack, const char *id,
		   struct sov_shard_info *info, struct sov_error *err)
{
	struct restore *r = ww->w->r;
	size_t		n_ranges;
	uint64_t	fetched = 0;
	bool		nomem;
	enum sov_code rc;

	ww->sealed.len = 0;
	if (needed_parts(ww, jobs, n, pack->sealed_len, &n_ranges, &nomem))
		rc = sov_repo_get_ranges(r->repo, SOV_CLASS_PACK, id, pack->generation, pack->attempt, ww->ranges, n_ranges, info, &ww->sealed, &fetched, err);
	else if (nomem)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	else
	{
		rc = sov_repo_get_sealed(r->repo, SOV_CLASS_PACK, id, pack->generation, pack->attempt, info, &ww->sealed, err);
		fetched = ww->sealed.len;
	}
	__atomic_add_fetch(&r->res->fetched, fetched, __ATOMIC_RELAXED);
	return rc;
}

static enum sov_code
do_pack(struct window_worker *ww, const struct job *jobs, size_t n, struct sov_error *err)
{
	struct restore *r = ww->w->r;
	const struct sov_mf_pack *pack = &ww->w->packs[jobs[0].pack];
	const struct sov_run *run = NULL;
	struct sov_shard_info info;
	char		id[33];
	enum sov_code rc;

	sov_hex(id, pack->id, 16);
	ww->frame_offset = UINT32_MAX;
	rc = fetch_pack(ww, jobs, n, pack, id, &info, err);
	if (rc == SOV_OK)
		rc = sov_repo_run_open(r->repo, pack->run, true, &run, err);
	if (rc == SOV_OK && !sov_equal(run->commitment, info.commitment, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "pack %s was sealed under another key than its run's", id);
	for (size_t i = 0; i < n && rc == SOV_OK; i++)
		rc = window_stopped(ww->w) ? SOV_E_CANCELLED : do_run(ww, &jobs[i], run, err);
	if (rc != SOV_OK && rc != SOV_E_CANCELLED)
		sov_error_prefix(err, "pack %s", id);
	return rc;
}

/* The jobs of the next pack. */
static size_t
take_pack(struct window *w, const struct job **jobs)
{
	size_t		first,
				n = 0;

	pthread_mutex_lock(&w->lock);
	first = w->next_job;
	while (!w->failed && first + n < w->n_jobs && w->jobs[first + n].pack == w->jobs[first].pack)
		n++;
	w->next_job = first + n;
	pthread_mutex_unlock(&w->lock);
	*jobs = w->jobs + first;
	return n;
}

static void
fill_worker(int i, void *arg)
{
	struct window *w = arg;
	struct window_worker ww = {.w = w, .fd = -1};
	const struct job *jobs;
	struct sov_error err;
	enum sov_code rc = SOV_OK;
	size_t		n;

	(void) i;
	sov_error_clear(&err);
	ww.zctx = ZSTD_createDCtx();
	ww.frame = malloc(SOV_FRAME_MAX);
	ww.scratch = malloc(sov_frame_bound(SOV_FRAME_MAX));
	if (ww.zctx == NULL || ww.frame == NULL || ww.scratch == NULL)
		rc = sov_fail(&err, SOV_E_NOMEM, NULL, "out of memory");
	while (rc == SOV_OK && (n = take_pack(w, &jobs)) > 0)
		rc = do_pack(&ww, jobs, n, &err);
	if (rc != SOV_OK && rc != SOV_E_CANCELLED)
		window_fail(w, &err);
	if (ww.fd >= 0)
		close(ww.fd);
	ZSTD_freeDCtx(ww.zctx);
	free(ww.frame);
	free(ww.scratch);
	free(ww.ranges);
	sov_buf_free(&ww.sealed);
}

/* --- what is to be fetched --- */

static int
by_id(const void *a, const void *b)
{
	return memcmp(((const struct sov_mf_pack *) a)->id, ((const struct sov_mf_pack *) b)->id, 16);
}

/* Number the packs of all pieces. */
static enum sov_code
number_packs(struct window *w, struct sov_error *err)
{
	size_t		n = 0,
				unique = 0;

	for (uint32_t p = 0; p < w->n; p++)
		n += w->pieces[p].piece.n_packs;
	w->packs = malloc((n + 1) * sizeof *w->packs);
	if (w->packs == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	n = 0;
	for (uint32_t p = 0; p < w->n; p++)
		for (uint32_t i = 0; i < w->pieces[p].piece.n_packs; i++)
			w->packs[n++] = w->pieces[p].piece.packs[i];
	qsort(w->packs, n, sizeof *w->packs, by_id);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || by_id(&w->packs[i], &w->packs[unique - 1]) != 0)
			w->packs[unique++] = w->packs[i];
	w->n_packs = unique;
	for (uint32_t p = 0; p < w->n; p++)
		for (uint32_t i = 0; i < w->pieces[p].piece.n_packs; i++)
		{
			struct sov_mf_pack *at = bsearch(&w->pieces[p].piece.packs[i], w->packs, w->n_packs, sizeof *w->packs, by_id);

			w->pieces[p].pack_nos[i] = (uint32_t) (at - w->packs);
		}
	return SOV_OK;
}

static int
by_place(const void *a, const void *b)
{
	const struct job *x = a,
			   *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->run->offset < y->run->offset ? -1 : x->run->offset > y->run->offset;
}

/* What is to be fetched. */
static enum sov_code
make_jobs(struct window *w, struct sov_error *err)
{
	size_t		cap = 0;

	for (uint32_t p = 0; p < w->n; p++)
		cap += w->pieces[p].piece.n_runs;
	w->jobs = malloc((cap + 1) * sizeof *w->jobs);
	if (w->jobs == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t i = 0; i < w->n_units; i++)
	{
		const struct unit *u = &w->units[i];
		const struct window_piece *wp = &w->pieces[u->piece];
		const struct sov_mf_file *f = &wp->piece.files[u->file];

		for (uint32_t b = u->first; b < u->first + u->n; b++)
		{
			const struct sov_mf_block *block = &wp->piece.blocks[f->first_block + b];

			for (uint32_t x = 0; x < block->n_runs && !wp->good[f->first_block + b]; x++)
			{
				const struct sov_mf_run *run = &wp->piece.runs[block->first_run + x];

				/* scratch holds any sealed frame that can be */
				if (run->sealed_len > sov_frame_bound(SOV_FRAME_MAX))
					return sov_fail(err, SOV_E_FORMAT, NULL, "a frame is longer than a frame can be");
				w->jobs[w->n_jobs++] = (struct job) {run, wp->pack_nos[run->pack], u->piece, u->file, b};
			}
		}
	}
	qsort(w->jobs, w->n_jobs, sizeof *w->jobs, by_place);
	return SOV_OK;
}

enum sov_code
window_fill(struct window *w, int jobs, struct sov_error *err)
{
	enum sov_code rc = number_packs(w, err);

	if (rc == SOV_OK)
		rc = make_jobs(w, err);
	if (rc != SOV_OK)
		return rc;
	sov_parallel(jobs, fill_worker, w);
	if (w->failed)
		*err = w->err;
	return w->failed ? w->err.code : SOV_OK;
}
