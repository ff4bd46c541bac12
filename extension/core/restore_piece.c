/*
 * restore_piece.c - write the files of one piece.
 *
 * Files are made with their final size (holes are zeros); then workers take
 * packs, fetch each once, open its frames and write the runs where they belong.
 * A block that one run fills is checked against its hash in memory; the others
 * are read back and checked when the piece is done.  Nothing that does not
 * match its hash is left unnoticed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "restore_private.h"

#define MAX_WORKERS 12

/* One run with where it goes. */
struct job
{
	const struct sov_mf_run *run;
	uint32_t	file;
	uint32_t	block;			/* index in the file */
};

struct piece_work
{
	struct restore *r;
	const struct sov_piece *piece;
	struct job *jobs;			/* sorted by pack, offset */
	size_t		n_jobs;
	size_t		next;			/* first job of the next pack to take */
	pthread_mutex_t lock;
	bool		failed;
	struct sov_error err;
};

struct piece_worker
{
	struct piece_work *w;
	ZSTD_DCtx  *zctx;
	uint8_t    *frame;			/* opened frame */
	uint8_t    *scratch;
	uint32_t	frame_offset;	/* which one: offset in the pack, UINT32_MAX: none */
	int			fd;
	uint32_t	fd_file;
};

static bool
stopped(struct piece_work *w)
{
	const struct sov_progress *p = w->r->progress;
	bool		stop;

	pthread_mutex_lock(&w->lock);
	if (!w->failed && p && p->cancelled && p->cancelled(p->ctx))
	{
		w->failed = true;
		sov_fail(&w->err, SOV_E_CANCELLED, "empty the directory before restoring again", "the restore was cancelled; %s is not usable", w->r->opt->target);
	}
	stop = w->failed;
	pthread_mutex_unlock(&w->lock);
	return stop;
}

static void
fail(struct piece_work *w, const struct sov_error *err)
{
	pthread_mutex_lock(&w->lock);
	if (!w->failed)
	{
		w->failed = true;
		w->err = *err;
	}
	pthread_mutex_unlock(&w->lock);
}

/* --- files --- */

static enum sov_code
make_file(struct restore *r, const struct sov_mf_file *f, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2];
	int			fd;

	target_path(r, f->path, path, sizeof path);
	if (f->type == 'd')
	{
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return sov_fail_errno(err, errno, NULL, "could not make directory %s", path);
		return SOV_OK;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, f->mode & 0700 ? f->mode & 0770 : 0600);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not make %s", path);
	if (f->size > 0 && ftruncate(fd, (off_t) f->size) != 0)
	{
		int			e = errno;

		close(fd);
		return sov_fail_errno(err, e, "free space or restore to another place; what is there is not usable", "could not make %s", path);
	}
	close(fd);
	r->res->files++;
	return SOV_OK;
}

static enum sov_code
open_for(struct piece_worker *pw, uint32_t file, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2];

	if (pw->fd >= 0 && pw->fd_file == file)
		return SOV_OK;
	if (pw->fd >= 0)
		close(pw->fd);
	target_path(pw->w->r, pw->w->piece->files[file].path, path, sizeof path);
	pw->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	pw->fd_file = file;
	return pw->fd >= 0 ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not open %s", path);
}

static enum sov_code
write_at(int fd, const uint8_t *p, size_t len, off_t at, const char *path, struct sov_error *err)
{
	while (len > 0)
	{
		ssize_t		n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sov_fail_errno(err, n < 0 ? errno : EIO, "free space or restore to another place; what is there is not usable",
								  "could not write %s", path);
		p += n;
		len -= (size_t) n;
		at += n;
	}
	return SOV_OK;
}

/* --- runs --- */

static enum sov_code
check_hash(struct restore *r, const struct sov_mf_file *f, uint32_t block, const struct sov_mf_block *b,
		   const uint8_t *data, struct sov_error *err)
{
	uint8_t		hash[16];
	enum sov_code rc = sov_frame_hash(r->repo->keys, data, sov_mf_block_len(f, block), hash, NULL, err);

	if (rc == SOV_OK && !sov_equal(hash, b->hash, 16))
		rc = sov_fail(err, SOV_E_CORRUPT, "run 'pg_sovereign verify --deep'; another backup may be whole",
					  "block %u of %s does not match its hash", block, f->path);
	return rc;
}

static enum sov_code
do_run(struct piece_worker *pw, const struct job *j, const struct sov_run *run, const struct sov_buf *sealed, struct sov_error *err)
{
	const struct sov_piece *piece = pw->w->piece;
	const struct sov_mf_file *f = &piece->files[j->file];
	const struct sov_mf_block *b = &piece->blocks[f->first_block + j->block];
	const struct sov_mf_run *m = j->run;
	enum sov_code rc = SOV_OK;

	if (pw->frame_offset != m->offset)
	{
		if ((uint64_t) m->offset + m->sealed_len > sealed->len)
			return sov_fail(err, SOV_E_CORRUPT, NULL, "a pack is shorter than its manifest says");
		rc = sov_frame_open(run, SOV_FRAME_PAGES, pw->zctx, m->counter, sealed->data + m->offset, m->sealed_len,
							pw->scratch, pw->frame, m->raw_len, err);
		pw->frame_offset = rc == SOV_OK ? m->offset : UINT32_MAX;
	}
	if (rc == SOV_OK && b->n_runs == 1 && m->first == 0 && m->length == sov_mf_block_len(f, j->block))
		rc = check_hash(pw->w->r, f, j->block, b, pw->frame + m->skip, err);
	if (rc == SOV_OK)
		rc = open_for(pw, j->file, err);
	if (rc == SOV_OK)
		rc = write_at(pw->fd, pw->frame + m->skip, m->length, (off_t) j->block * SOV_FRAME_MAX + m->first, f->path, err);
	if (rc == SOV_OK)
	{
		struct restore *r = pw->w->r;
		uint64_t	done = atomic_fetch_add(&r->done_bytes, m->length) + m->length;

		if (r->progress && r->progress->update)
			r->progress->update(r->progress->ctx, done, r->manifest.bytes);
	}
	return rc;
}

static enum sov_code
do_pack(struct piece_worker *pw, const struct job *jobs, size_t n, struct sov_error *err)
{
	struct restore *r = pw->w->r;
	const struct sov_mf_pack *pack = &pw->w->piece->packs[jobs[0].run->pack];
	const struct sov_run *run = NULL;
	struct sov_shard_info info;
	struct sov_buf sealed = {0};
	char		id[33];
	enum sov_code rc;

	sov_hex(id, pack->id, 16);
	pw->frame_offset = UINT32_MAX;
	rc = sov_repo_get_sealed(r->repo, SOV_CLASS_PACK, id, pack->generation, pack->attempt, &info, &sealed, err);
	if (rc == SOV_OK)
		rc = sov_repo_run_open(r->repo, pack->run, &run, err);
	if (rc == SOV_OK && !sov_equal(run->commitment, info.commitment, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "pack %s was sealed under another key than its run's", id);
	__atomic_add_fetch(&r->res->fetched, sealed.len, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n && rc == SOV_OK; i++)
		rc = stopped(pw->w) ? SOV_E_CANCELLED : do_run(pw, &jobs[i], run, &sealed, err);
	sov_buf_free(&sealed);
	if (rc != SOV_OK && rc != SOV_E_CANCELLED)
		sov_error_prefix(err, "pack %s", id);
	return rc;
}

/* The jobs of the next pack. */
static size_t
take_pack(struct piece_work *w, const struct job **jobs)
{
	size_t		first,
				n = 0;

	pthread_mutex_lock(&w->lock);
	first = w->next;
	while (!w->failed && first + n < w->n_jobs && w->jobs[first + n].run->pack == w->jobs[first].run->pack)
		n++;
	w->next = first + n;
	pthread_mutex_unlock(&w->lock);
	*jobs = w->jobs + first;
	return n;
}

static void
worker(int i, void *arg)
{
	struct piece_work *w = arg;
	struct piece_worker pw = {.w = w, .fd = -1};
	const struct job *jobs;
	struct sov_error err;
	enum sov_code rc = SOV_OK;
	size_t		n;

	(void) i;
	sov_error_clear(&err);
	pw.zctx = ZSTD_createDCtx();
	pw.frame = malloc(SOV_FRAME_MAX);
	pw.scratch = malloc(sov_frame_bound(SOV_FRAME_MAX));
	if (pw.zctx == NULL || pw.frame == NULL || pw.scratch == NULL)
		rc = sov_fail(&err, SOV_E_NOMEM, NULL, "out of memory");
	while (rc == SOV_OK && (n = take_pack(w, &jobs)) > 0)
		rc = do_pack(&pw, jobs, n, &err);
	if (rc != SOV_OK && rc != SOV_E_CANCELLED)
		fail(w, &err);
	if (pw.fd >= 0)
		close(pw.fd);
	ZSTD_freeDCtx(pw.zctx);
	free(pw.frame);
	free(pw.scratch);
}

/* --- the piece --- */

static int
by_place(const void *a, const void *b)
{
	const struct sov_mf_run *x = ((const struct job *) a)->run,
			   *y = ((const struct job *) b)->run;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static enum sov_code
make_jobs(struct piece_work *w, struct sov_error *err)
{
	const struct sov_piece *p = w->piece;

	w->jobs = malloc((p->n_runs + 1) * sizeof *w->jobs);
	if (w->jobs == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t f = 0; f < p->n_files; f++)
		for (uint32_t b = 0; b < p->files[f].n_blocks; b++)
		{
			const struct sov_mf_block *block = &p->blocks[p->files[f].first_block + b];

			/* scratch holds any sealed frame that can be */
			for (uint32_t i = 0; i < block->n_runs; i++)
			{
				if (p->runs[block->first_run + i].sealed_len > sov_frame_bound(SOV_FRAME_MAX))
					return sov_fail(err, SOV_E_FORMAT, NULL, "a frame is longer than a frame can be");
				w->jobs[w->n_jobs++] = (struct job) {&p->runs[block->first_run + i], f, b};
			}
		}
	qsort(w->jobs, w->n_jobs, sizeof *w->jobs, by_place);
	return SOV_OK;
}

/* Blocks that were not checked in memory: of several runs, or of none. */
static enum sov_code
check_rest(struct restore *r, const struct sov_piece *p, struct sov_error *err)
{
	uint8_t    *data = malloc(SOV_FRAME_MAX);
	char		path[SOV_PATH_MAX * 2];
	enum sov_code rc = data ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	for (uint32_t f = 0; f < p->n_files && rc == SOV_OK; f++)
	{
		const struct sov_mf_file *file = &p->files[f];
		int			fd = -1;

		for (uint32_t b = 0; b < file->n_blocks && rc == SOV_OK; b++)
		{
			const struct sov_mf_block *block = &p->blocks[file->first_block + b];
			const struct sov_mf_run *run = &p->runs[block->first_run];
			uint32_t	len = sov_mf_block_len(file, b);

			if (block->n_runs == 1 && run->first == 0 && run->length == len)
				continue;
			target_path(r, file->path, path, sizeof path);
			if (fd < 0)
				fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
			if (fd < 0 || pread(fd, data, len, (off_t) b * SOV_FRAME_MAX) != (ssize_t) len)
				rc = sov_fail_errno(err, errno, NULL, "could not read %s back", path);
			else
				rc = check_hash(r, file, b, block, data, err);
		}
		if (fd >= 0)
			close(fd);
	}
	free(data);
	return rc;
}

enum sov_code
restore_piece(struct restore *r, const struct sov_piece *piece, struct sov_error *err)
{
	struct piece_work w = {.r = r, .piece = piece};
	int			jobs = r->opt->jobs < 1 ? 1 : r->opt->jobs > MAX_WORKERS ? MAX_WORKERS : r->opt->jobs;
	enum sov_code rc = SOV_OK;

	for (uint32_t f = 0; f < piece->n_files && rc == SOV_OK; f++)
		rc = make_file(r, &piece->files[f], err);
	pthread_mutex_init(&w.lock, NULL);
	if (rc == SOV_OK)
		rc = make_jobs(&w, err);
	if (rc == SOV_OK)
	{
		sov_parallel(jobs, worker, &w);
		if (w.failed)
		{
			*err = w.err;
			rc = w.err.code;
		}
	}
	if (rc == SOV_OK)
		rc = check_rest(r, piece, err);
	pthread_mutex_destroy(&w.lock);
	free(w.jobs);
	return rc;
}
