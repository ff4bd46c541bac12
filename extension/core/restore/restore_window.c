/*
 * restore_window.c - the files of some pieces at a time.
 *
 * A window holds pieces of up to WINDOW_BLOCKS blocks, so memory does not grow
 * with the cluster, and a pack that serves many files is fetched once per window.
 * Files are made with their final size (holes are zeros); with --delta their
 * blocks are compared first.  Then what is missing is fetched (restore_fill.c).  A
 * block that one run fills is checked against its hash in memory; the others are
 * read back and checked at the end.  Nothing that does not match its hash is left
 * unnoticed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore_private.h"

#define WINDOW_BLOCKS (256 * 1024)
#define UNIT_BLOCKS 128
#define FIRST_USER_OID 16384

bool
window_stopped(struct window *w)
{
	const struct sov_progress *p = w->r->progress;
	bool		stop;

	pthread_mutex_lock(&w->lock);
	if (!w->failed && p && p->cancelled && p->cancelled(p->ctx))
	{
		w->failed = true;
		sov_fail(&w->err, SOV_E_CANCELLED, "restore again with --delta to go on with what is there", "the restore was cancelled; %s is not usable", w->r->opt->target);
	}
	stop = w->failed;
	pthread_mutex_unlock(&w->lock);
	return stop;
}

void
window_fail(struct window *w, const struct sov_error *err)
{
	pthread_mutex_lock(&w->lock);
	if (!w->failed)
	{
		w->failed = true;
		w->err = *err;
	}
	pthread_mutex_unlock(&w->lock);
}

enum sov_code
window_check(struct window *w, const struct unit *u, uint32_t block, const uint8_t *data, struct sov_error *err)
{
	struct window_piece *wp = &w->pieces[u->piece];
	const struct sov_mf_file *f = &wp->piece.files[u->file];
	uint32_t	len = sov_mf_block_len(f, block),
				at = f->first_block + block;
	uint8_t		hash[16];
	enum sov_code rc = wp->piece.whole_hashes ? sov_frame_hash_whole(w->r->repo->keys, data, len, hash, err) :
		sov_frame_hash(w->r->repo->keys, data, len, hash, NULL, err);

	if (rc == SOV_OK && !sov_equal(hash, wp->piece.blocks[at].hash, 16))
		return sov_fail(err, SOV_E_CORRUPT, "run 'pg_sovereign verify --deep'; another backup may be whole",
						"block %u of %s does not match its hash", block, f->path);
	wp->crc[at] = crc32c(data, len);
	return rc;
}

/* --- files --- */

/* A file of a database that was not asked for: its relations become holes. */
static bool
left_out(const struct restore *r, const char *path)
{
	const char *p = path;
	unsigned long oid;
	char	   *end;

	if (r->opt->n_databases == 0)
		return false;
	if (strncmp(path, "base/", 5) == 0)
		p = path + 5;
	else if (strncmp(path, "pg_tblspc/", 10) == 0 && (p = strchr(path + 10, '/')) != NULL && (p = strchr(p + 1, '/')) != NULL)
		p++;
	else
		return false;
	oid = strtoul(p, &end, 10);
	/* With its version it can be dropped; without its map nobody gets in, to
	 * stumble over catalogs of zeros. */
	if (*end != '/' || oid < FIRST_USER_OID || strcmp(end, "/PG_VERSION") == 0)
		return false;
	for (int i = 0; i < r->opt->n_databases; i++)
		for (uint32_t d = 0; d < r->manifest.n_databases; d++)
			if (r->manifest.databases[d].oid == oid && strcmp(r->manifest.databases[d].name, r->opt->databases[i]) == 0)
				return false;
	return true;
}

static enum sov_code
make_file(struct restore *r, const struct sov_mf_file *f, bool zeroed, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2];
	int			how = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (r->opt->delta ? 0 : O_EXCL) | (zeroed ? O_TRUNC : 0);
	int			fd;

	if (r->opt->dry_run)
	{
		r->res->files += f->type != 'd';
		return SOV_OK;
	}
	target_path(r, f->path, path, sizeof path);
	if (f->type == 'd')
	{
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			return sov_fail_errno(err, errno, NULL, "could not make directory %s", path);
		return SOV_OK;
	}
	fd = open(path, how, f->mode & 0700 ? f->mode & 0770 : 0600);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not make %s", path);
	if (ftruncate(fd, (off_t) f->size) != 0)
	{
		int			e = errno;

		close(fd);
		return sov_fail_errno(err, e, "free space, then restore again with --delta; or restore to another place", "could not make %s", path);
	}
	close(fd);
	r->res->files++;
	return SOV_OK;
}

enum sov_code
write_at(int fd, const uint8_t *p, size_t len, off_t at, const char *path, struct sov_error *err)
{
	while (len > 0)
	{
		ssize_t		n = pwrite(fd, p, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sov_fail_errno(err, n < 0 ? errno : EIO, "free space, then restore again with --delta; or restore to another place",
								  "could not write %s", path);
		p += n;
		len -= (size_t) n;
		at += n;
	}
	return SOV_OK;
}

/* --- the blocks that are not checked yet --- */

static enum sov_code
check_unit(struct window *w, const struct unit *u, uint8_t *data, struct sov_error *err)
{
	struct window_piece *wp = &w->pieces[u->piece];
	const struct sov_mf_file *f = &wp->piece.files[u->file];
	char		path[SOV_PATH_MAX * 2];
	enum sov_code rc = SOV_OK;
	int			fd = -1;

	target_path(w->r, f->path, path, sizeof path);
	for (uint32_t i = 0; i < u->n && rc == SOV_OK; i++)
	{
		uint32_t	no = u->first + i,
					len = sov_mf_block_len(f, no);

		if (wp->good[f->first_block + no])
			continue;
		if (fd < 0)
			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || pread(fd, data, len, (off_t) no * SOV_FRAME_MAX) != (ssize_t) len)
			rc = sov_fail_errno(err, errno, NULL, "could not read %s back", path);
		else
			rc = window_check(w, u, no, data, err);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

struct unit_work
{
	struct window *w;
	enum sov_code (*fn) (struct window *w, const struct unit *u, uint8_t *data, struct sov_error *err);
};

static void
unit_worker(int i, void *arg)
{
	struct unit_work *uw = arg;
	struct window *w = uw->w;
	uint8_t    *data = malloc(SOV_FRAME_MAX);
	struct sov_error err;
	enum sov_code rc = SOV_OK;
	size_t		at;

	(void) i;
	if (data == NULL)
		rc = sov_fail(&err, SOV_E_NOMEM, NULL, "out of memory");
	while (rc == SOV_OK && !window_stopped(w) && (at = atomic_fetch_add(&w->next_unit, 1)) < w->n_units)
		rc = uw->fn(w, &w->units[at], data, &err);
	if (rc != SOV_OK && rc != SOV_E_CANCELLED)
		window_fail(w, &err);
	free(data);
}

static enum sov_code
each_unit(struct window *w, int jobs, enum sov_code (*fn) (struct window *, const struct unit *, uint8_t *, struct sov_error *), struct sov_error *err)
{
	struct unit_work uw = {w, fn};

	w->next_unit = 0;
	sov_parallel(jobs, unit_worker, &uw);
	if (!w->failed)
		return SOV_OK;
	*err = w->err;
	return w->err.code;
}

/* --- a window --- */

static enum sov_code
make_units(struct window *w, struct sov_error *err)
{
	size_t		cap = 0;

	for (uint32_t p = 0; p < w->n; p++)
		for (uint32_t f = 0; f < w->pieces[p].piece.n_files; f++)
			if (!w->pieces[p].zeroed[f])
				cap += w->pieces[p].piece.files[f].n_blocks / UNIT_BLOCKS + 1;
	w->units = malloc((cap + 1) * sizeof *w->units);
	if (w->units == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t p = 0; p < w->n; p++)
		for (uint32_t f = 0; f < w->pieces[p].piece.n_files; f++)
		{
			uint32_t	n = w->pieces[p].zeroed[f] ? 0 : w->pieces[p].piece.files[f].n_blocks;

			for (uint32_t at = 0; at < n; at += UNIT_BLOCKS)
				w->units[w->n_units++] = (struct unit) {p, f, at, n - at < UNIT_BLOCKS ? n - at : UNIT_BLOCKS};
		}
	return SOV_OK;
}

/* Lines of backup_manifest. */
static enum sov_code
describe_files(struct window *w, struct sov_error *err)
{
	static const uint8_t zeros[SOV_FRAME_MAX];
	const uint32_t zeros_crc = crc32c(zeros, SOV_FRAME_MAX);	/* of nearly all blocks of holes */
	enum sov_code rc = SOV_OK;

	for (uint32_t p = 0; p < w->n; p++)
		for (uint32_t f = 0; f < w->pieces[p].piece.n_files && rc == SOV_OK; f++)
		{
			const struct window_piece *wp = &w->pieces[p];
			const struct sov_mf_file *file = &wp->piece.files[f];
			uint32_t	crc = crc32c("", 0);

			for (uint32_t b = 0; b < file->n_blocks; b++)
			{
				uint32_t	len = sov_mf_block_len(file, b),
							part = wp->crc[file->first_block + b];

				if (wp->zeroed[f])
					part = len == SOV_FRAME_MAX ? zeros_crc : crc32c(zeros, len);
				crc = crc32c_combine(crc, part, len);
			}
			if (file->type == 'f')
				rc = verify_add(w->r, file->path, file->size, file->mtime_us, crc, err);
		}
	return rc;
}

static enum sov_code
prepare_piece(struct restore *r, struct window_piece *wp, struct sov_error *err)
{
	const struct sov_piece *p = &wp->piece;
	enum sov_code rc = SOV_OK;

	wp->crc = calloc(p->n_blocks + 1, sizeof *wp->crc);
	wp->good = calloc(p->n_blocks + 1, sizeof *wp->good);
	wp->zeroed = calloc(p->n_files + 1, sizeof *wp->zeroed);
	wp->pack_nos = calloc(p->n_packs + 1, sizeof *wp->pack_nos);
	if (wp->crc == NULL || wp->good == NULL || wp->zeroed == NULL || wp->pack_nos == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t f = 0; f < p->n_files && rc == SOV_OK; f++)
	{
		wp->zeroed[f] = left_out(r, p->files[f].path);
		rc = make_file(r, &p->files[f], wp->zeroed[f], err);
	}
	return rc == SOV_OK && r->opt->delta ? delta_remember(r, p, err) : rc;
}

/* For a dry run: what would be fetched and written. */
static void
count_missing(struct window *w)
{
	for (size_t i = 0; i < w->n_units; i++)
	{
		const struct unit *u = &w->units[i];
		const struct window_piece *wp = &w->pieces[u->piece];
		uint32_t	at = wp->piece.files[u->file].first_block + u->first;

		for (uint32_t b = at; b < at + u->n; b++)
			for (uint32_t run = 0; !wp->good[b] && run < wp->piece.blocks[b].n_runs; run++)
				w->r->done_bytes += wp->piece.runs[wp->piece.blocks[b].first_run + run].length;
	}
}

static enum sov_code
fill_window(struct window *w, struct sov_error *err)
{
	struct restore *r = w->r;
	int			jobs = r->opt->jobs < 1 ? 1 : r->opt->jobs > MAX_WORKERS ? MAX_WORKERS : r->opt->jobs;
	enum sov_code rc = SOV_OK;

	for (uint32_t p = 0; p < w->n && rc == SOV_OK; p++)
		rc = prepare_piece(r, &w->pieces[p], err);
	if (rc == SOV_OK)
		rc = make_units(w, err);
	if (rc == SOV_OK && r->opt->delta)
		rc = each_unit(w, jobs, delta_compare, err);
	if (r->opt->dry_run)
	{
		count_missing(w);
		return rc;
	}
	if (rc == SOV_OK)
		rc = window_fill(w, jobs, err);
	if (rc == SOV_OK)
		rc = each_unit(w, jobs, check_unit, err);
	return rc == SOV_OK ? describe_files(w, err) : rc;
}

static void
window_free(struct window *w)
{
	for (uint32_t p = 0; p < w->n; p++)
	{
		sov_piece_free(&w->pieces[p].piece);
		free(w->pieces[p].crc);
		free(w->pieces[p].good);
		free(w->pieces[p].zeroed);
		free(w->pieces[p].pack_nos);
	}
	free(w->pieces);
	free(w->units);
	free(w->packs);
	free(w->jobs);
	pthread_mutex_destroy(&w->lock);
}

static enum sov_code
read_piece(struct restore *r, uint32_t i, struct sov_piece *piece, struct sov_error *err)
{
	const struct sov_objref *ref = &r->manifest.pieces[i].ref;
	struct sov_buf plain = {0};
	enum sov_code rc = sov_repo_get_stream(r->repo, SOV_CLASS_META, ref->id, ref->attempt, NULL, &plain, err);

	if (rc == SOV_OK)
		rc = sov_piece_decode(plain.data, plain.len, piece, err);
	sov_buf_free(&plain);
	return rc;
}

enum sov_code
restore_files(struct restore *r, struct sov_error *err)
{
	uint32_t	next = 0;
	enum sov_code rc = SOV_OK;

	while (next < r->manifest.n_pieces && rc == SOV_OK)
	{
		struct window w = {.r = r};
		uint64_t	blocks = 0;

		pthread_mutex_init(&w.lock, NULL);
		w.pieces = calloc(r->manifest.n_pieces - next, sizeof *w.pieces);
		if (w.pieces == NULL)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		while (rc == SOV_OK && next < r->manifest.n_pieces && blocks < WINDOW_BLOCKS)
		{
			rc = read_piece(r, next, &w.pieces[w.n].piece, err);
			if (rc == SOV_OK)
			{
				blocks += w.pieces[w.n++].piece.n_blocks;
				next++;
			}
		}
		if (rc == SOV_OK)
			rc = fill_window(&w, err);
		window_free(&w);
	}
	return rc;
}
