/*
 * backup_read.c - the workers: read blocks, check pages, hand them on.
 *
 * A file may change, shrink or vanish while it is read: WAL replay mends what
 * changed, what is missing reads as zeros.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup_private.h"

#define PAGE 8192
#define REREADS 5

/* Hold the source's rate to --max-rate. */
static void
throttle(struct engine *e)
{
	int64_t		due = repo_due_us(e->started_us, e->bytes_read, e->opt->max_rate);

	while (repo_mono_us() < due && !engine_stopped(e))
		usleep(10000);
}

static void
count_bytes(struct engine *e, uint64_t n, bool read)
{
	uint64_t	done = (e->bytes_done += n);

	if (read)
		e->bytes_read += n;
	if (e->progress && e->progress->update)
		e->progress->update(e->progress->ctx, done, e->list.bytes);
	throttle(e);
}

/* --- pages --- */

static enum sov_code
note_suspect(struct engine *e, size_t file, uint32_t block, uint64_t lsn, struct sov_error *err)
{
	bool		good = true;

	pthread_mutex_lock(&e->lock);
	if (e->n_suspects == e->cap_suspects)
	{
		size_t		cap = e->cap_suspects ? e->cap_suspects * 2 : 64;
		void	   *p = realloc(e->suspects, cap * sizeof *e->suspects);

		good = p != NULL;
		if (good)
		{
			e->suspects = p;
			e->cap_suspects = cap;
		}
	}
	if (good)
		e->suspects[e->n_suspects++] = (struct suspect) {file, block, lsn};
	pthread_mutex_unlock(&e->lock);
	return good ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

/* A page that is being written may read torn: look again before believing it. */
static enum sov_code
check_pages(struct engine *e, size_t file, int fd, uint32_t block_no, uint8_t *data, size_t len, struct sov_error *err)
{
	const struct plan_file *f = &e->list.files[file];
	enum sov_code rc = SOV_OK;

	for (size_t at = 0; at + PAGE <= len && rc == SOV_OK; at += PAGE)
	{
		uint32_t	in_file = (uint32_t) (((uint64_t) block_no * SOV_FRAME_MAX + at) / PAGE);
		uint32_t	no = f->first_page + in_file;
		int			tries = 0;

		while (!e->source->page_ok(e->source->ctx, data + at, no) && tries++ < REREADS)
		{
			usleep(1000u << tries);
			if (pread(fd, data + at, PAGE, (off_t) in_file * PAGE) != PAGE)
				break;
		}
		if (tries > REREADS)
			rc = note_suspect(e, file, no, e->source->page_lsn(e->source->ctx, data + at), err);
	}
	return rc;
}

/* --- reading --- */

static enum sov_code
read_block(struct worker *w, int fd, const char *path, uint32_t block_no, size_t len)
{
	size_t		at = 0;

	while (fd >= 0 && at < len)
	{
		ssize_t		n = pread(fd, w->block + at, len - at, (off_t) block_no * SOV_FRAME_MAX + (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sov_fail_errno(&w->err, errno, NULL, "could not read %s", path);
		if (n == 0)
			break;				/* it was truncated meanwhile */
		at += (size_t) n;
	}
	memset(w->block + at, 0, len - at);
	return SOV_OK;
}

/* Is the file read?  *fd is -1 when it has vanished. */
static enum sov_code
open_file(struct worker *w, const struct range *range, char *path, size_t cap, int *fd)
{
	struct engine *e = w->e;

	snprintf(path, cap, "%s/%s", e->opt->data_directory, e->list.files[range->file].path);
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd < 0 && errno != ENOENT)
		return sov_fail_errno(&w->err, errno, "run the command as the user that runs the server", "could not open %s", path);
	if (*fd < 0 && range->first_block == 0)
		e->vanished[range->file] = true;
	return SOV_OK;
}

/* at: index of the range's first block in the task. */
static enum sov_code
read_range(struct worker *w, struct task *t, struct range *range, size_t at)
{
	struct engine *e = w->e;
	const struct plan_file *f = &e->list.files[range->file];
	char		path[SOV_PATH_MAX * 2];
	enum sov_code rc = SOV_OK;
	int			fd = -1;

	range->same = range->base != NULL;
	if (f->type == 'd')
		return SOV_OK;
	if (!range->trusted)
		rc = open_file(w, range, path, sizeof path, &fd);
	for (uint32_t i = 0; i < range->n_blocks && rc == SOV_OK; i++)
	{
		uint32_t	no = range->first_block + i;
		uint64_t	left = f->size - (uint64_t) no * SOV_FRAME_MAX;
		size_t		len = left < SOV_FRAME_MAX ? (size_t) left : SOV_FRAME_MAX;

		if (engine_stopped(e))
			rc = sov_fail(&w->err, SOV_E_CANCELLED, NULL, "stopped");
		else if (range->trusted)
			rc = store_trusted(w, t, range, no, at + i);
		else
			rc = read_block(w, fd, path, no, len);
		if (rc == SOV_OK && fd >= 0 && f->relation && e->info.checksums)
			rc = check_pages(e, range->file, fd, no, w->block, len, &w->err);
		if (rc == SOV_OK && !range->trusted)
			rc = store_block(w, t, range, no, at + i, len);
		count_bytes(e, len, !range->trusted);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum sov_code
do_task(struct worker *w, struct task *t)
{
	size_t		at = 0;
	enum sov_code rc = SOV_OK;

	for (size_t i = 0; i < t->n_ranges; i++)
		t->n_blocks += t->ranges[i].n_blocks;
	t->blocks = calloc(t->n_blocks + 1, sizeof *t->blocks);
	t->pages = calloc((t->n_blocks + 1) * SOV_BLOCK_PAGES, sizeof *t->pages);
	if (t->blocks == NULL || t->pages == NULL)
		return sov_fail(&w->err, SOV_E_NOMEM, NULL, "out of memory");
	w->small_len = 0;
	w->small_first = 0;
	for (size_t i = 0; i < t->n_ranges && rc == SOV_OK; i++)
	{
		rc = read_range(w, t, &t->ranges[i], at);
		at += t->ranges[i].n_blocks;
	}
	return rc == SOV_OK ? store_flush(w, t) : rc;
}

static bool
worker_init(struct worker *w, struct engine *e)
{
	memset(w, 0, sizeof *w);
	w->e = e;
	w->z = sov_compressor_new(w->e->repo->cfg.compress_level);
	w->block = malloc(SOV_FRAME_MAX);
	w->small = malloc(SOV_FRAME_MAX);
	if (w->z && w->block && w->small)
		return true;
	sov_fail(&w->err, SOV_E_NOMEM, NULL, "out of memory");
	return false;
}

static void
worker_free(struct worker *w)
{
	if (w->pack)
		pack_leave(w->e, w->pack);
	sov_compressor_free(w->z);
	free(w->block);
	free(w->small);
}

void *
worker_main(void *arg)
{
	struct engine *e = arg;
	struct worker w;
	enum sov_code rc = worker_init(&w, e) ? SOV_OK : SOV_E_NOMEM;

	while (rc == SOV_OK)
	{
		struct task *t;
		bool		full;

		if (!plan_wait(e, w.pack))
		{
			pack_leave(e, w.pack);
			w.pack = NULL;
			continue;
		}
		t = plan_next(e, &full, &w.err);
		if (t == NULL && full)
			continue;
		if (t == NULL)
			break;
		rc = do_task(&w, t);
		pthread_mutex_lock(&e->lock);
		t->done = rc == SOV_OK;
		pthread_cond_broadcast(&e->changed);
		pthread_mutex_unlock(&e->lock);
	}
	if (rc != SOV_OK)
		engine_fail(e, &w.err);
	worker_free(&w);
	return NULL;
}

enum sov_code
read_task(struct engine *e, struct task *task)
{
	struct worker w;
	enum sov_code rc = worker_init(&w, e) ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = do_task(&w, task);
	if (rc != SOV_OK)
		engine_fail(e, &w.err);
	worker_free(&w);
	return rc;
}
