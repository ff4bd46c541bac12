/*
 * backup_piece.c - from finished tasks, in path order, to pieces of the manifest.
 *
 * A piece ends where the last backup's pieces end, so that a new file does not
 * shift all that follow; else at the end of a file once it has SOV_PIECE_BLOCKS
 * blocks, and where base/ or pg_tblspc/ begin and end, as what lies beside them
 * changes with every checkpoint.  A piece in which every file is as it was is not
 * put: the earlier object serves.  Times do not count for that.
 *
 * A piece is put when every pack that it names is uploaded, and pieces are put in
 * their order.
 */
#include <stdlib.h>
#include <string.h>

#include "backup_private.h"

struct piece_builder
{
	struct sov_piece piece;
	uint32_t	cap_packs,
				cap_files,
				cap_blocks,
				cap_runs,
				cap_pages;
	const struct base_entry *entry;	/* that the files are compared with, or NULL */
	uint32_t	same_files;		/* files that are as they were */
	bool		file_same;		/* the last file so far */
	bool		same;			/* all of it is as it was */
	struct use { uint32_t no; uint64_t sealed; } *uses;	/* of packs: in engine.packs, bytes; by index in the piece */
	uint32_t	last_pack;		/* index found last: runs come in clusters */
	struct piece_builder *next;
};

static bool
room(void **p, uint32_t *cap, uint64_t need, size_t size)
{
	uint64_t	want = *cap ? *cap : 256;
	void	   *q;

	if (need <= *cap)
		return true;
	while (want < need)
		want *= 2;
	if (want > UINT32_MAX)
		return false;
	q = realloc(*p, (size_t) want * size);
	if (q == NULL)
		return false;
	*p = q;
	*cap = (uint32_t) want;
	return true;
}

static void
builder_free(struct piece_builder *b)
{
	if (b == NULL)
		return;
	free(b->uses);
	/* packs are filled in only when the piece is put */
	sov_piece_free(&b->piece);
	free(b);
}

/* Index in the piece of a pack of the engine; UINT32_MAX: out of memory. */
static uint32_t
piece_pack(struct piece_builder *b, uint32_t no)
{
	if (b->last_pack < b->piece.n_packs && b->uses[b->last_pack].no == no)
		return b->last_pack;
	for (uint32_t i = b->piece.n_packs; i > 0; i--)
		if (b->uses[i - 1].no == no)
			return b->last_pack = i - 1;
	if (!room((void **) &b->uses, &b->cap_packs, b->piece.n_packs + 1, sizeof *b->uses))
		return UINT32_MAX;
	b->uses[b->piece.n_packs] = (struct use) {no, 0};
	return b->last_pack = b->piece.n_packs++;
}

static bool
add_file(struct piece_builder *b, const struct plan_file *f)
{
	struct sov_mf_file *mf;

	if (!room((void **) &b->piece.files, &b->cap_files, b->piece.n_files + 1, sizeof *b->piece.files))
		return false;
	mf = &b->piece.files[b->piece.n_files];
	memset(mf, 0, sizeof *mf);
	mf->path = strdup(f->path);
	if (mf->path == NULL)
		return false;
	mf->type = f->type;
	mf->mode = f->mode;
	mf->size = f->size;
	mf->mtime_us = f->mtime_us;
	mf->first_block = b->piece.n_blocks;
	b->piece.n_files++;
	return true;
}

static void
count_use(struct piece_builder *b, const struct sov_mf_run *run)
{
	if (run->raw_len > 0)
		b->uses[run->pack].sealed += (uint64_t) run->sealed_len * run->length / run->raw_len;
}

static bool
add_block(struct piece_builder *b, const struct task *t, size_t index)
{
	struct sov_piece *p = &b->piece;
	const struct sov_mf_block *from = &t->blocks[index];
	struct sov_mf_file *f = &p->files[p->n_files - 1];
	uint32_t	pages = sov_block_pages(sov_mf_block_len(f, f->n_blocks));
	struct sov_mf_block *to;

	if (!room((void **) &p->pages, &b->cap_pages, (uint64_t) p->n_pages + pages, sizeof *p->pages) ||
		!room((void **) &p->blocks, &b->cap_blocks, p->n_blocks + 1, sizeof *p->blocks) ||
		!room((void **) &p->runs, &b->cap_runs, (uint64_t) p->n_runs + from->n_runs, sizeof *p->runs))
		return false;
	to = &p->blocks[p->n_blocks++];
	*to = *from;
	to->first_run = p->n_runs;
	to->first_page = p->n_pages;
	memcpy(p->pages + p->n_pages, t->pages + index * SOV_BLOCK_PAGES, pages * sizeof *p->pages);
	p->n_pages += pages;
	f->n_blocks++;
	for (int i = 0; i < from->n_runs; i++)
	{
		struct sov_mf_run *run = &p->runs[p->n_runs];

		*run = t->runs[from->first_run + (uint32_t) i];
		run->pack = piece_pack(b, run->pack);
		if (run->pack == UINT32_MAX)
			return false;
		count_use(b, run);
		p->n_runs++;
	}
	return true;
}

/* --- where a piece ends --- */

/* "base", "pg_tblspc" or "" of a path. */
static const char *
part_of(const char *path)
{
	if (strcmp(path, "base") == 0 || strncmp(path, "base/", 5) == 0)
		return "base";
	return strcmp(path, "pg_tblspc") == 0 || strncmp(path, "pg_tblspc/", 10) == 0 ? "pg_tblspc" : "";
}

static bool
ends_before(const struct piece_builder *b, const char *path, const struct base_entry *entry)
{
	const struct sov_piece *p = &b->piece;

	if (p->n_files == 0)
		return false;
	if (entry != b->entry || strcmp(part_of(p->files[p->n_files - 1].path), part_of(path)) != 0)
		return true;
	return p->n_blocks >= (entry ? 3 : 1) * SOV_PIECE_BLOCKS;
}

/* Memory that it holds, but for paths. */
static size_t
builder_bytes(const struct piece_builder *b)
{
	return sizeof *b + b->cap_files * sizeof *b->piece.files + b->cap_blocks * sizeof *b->piece.blocks +
		b->cap_pages * sizeof *b->piece.pages + b->cap_runs * sizeof *b->piece.runs;
}

static bool
unchanged(const struct piece_builder *b)
{
	return b->entry && b->entry->n_files > 0 && b->entry->n_files == b->piece.n_files && b->same_files == b->piece.n_files;
}

/* Of a piece that is not put only the first and the last path are asked for: what is
 * unchanged is not to have packs closed that what waits before it needs. */
static void
slim(struct piece_builder *b)
{
	struct sov_piece *p = &b->piece;
	struct sov_mf_file *files;

	for (uint32_t i = 1; i + 1 < p->n_files; i++)
		free(p->files[i].path);
	if (p->n_files > 2)
	{
		p->files[1] = p->files[p->n_files - 1];
		p->n_files = 2;
	}
	if ((files = realloc(p->files, p->n_files * sizeof *files)) != NULL)
		p->files = files;
	b->cap_files = p->n_files;
	free(p->blocks);
	free(p->runs);
	free(p->pages);
	p->blocks = NULL;
	p->runs = NULL;
	p->pages = NULL;
	p->n_blocks = p->n_runs = p->n_pages = b->cap_blocks = b->cap_runs = b->cap_pages = 0;
}

static void
close_builder(struct piece_list *pl)
{
	struct piece_builder **tail = &pl->waiting;

	if (pl->current == NULL)
		return;
	pl->current->same_files += pl->current->file_same;
	pl->current->same = unchanged(pl->current);
	if (pl->current->same)
		slim(pl->current);
	while (*tail)
		tail = &(*tail)->next;
	*tail = pl->current;
	pl->waiting_bytes += builder_bytes(pl->current);
	pl->current = NULL;
}

/* The builder to go on with; a file begins. */
static struct piece_builder *
builder_for(struct engine *e, struct piece_list *pl, const struct range *r)
{
	const struct base_entry *entry = e->base.n > 0 && r->file != e->control ? &e->base.entries[r->entry] : NULL;

	if (pl->current && ends_before(pl->current, e->list.files[r->file].path, entry))
		close_builder(pl);
	if (pl->current == NULL && (pl->current = calloc(1, sizeof *pl->current)) != NULL)
		pl->current->entry = entry;
	return pl->current;
}

/* --- filling it --- */

static bool
as_it_was(const struct plan_file *f, const struct range *r)
{
	const struct sov_mf_file *was;

	if (r->base == NULL)
		return false;
	was = &r->base->piece.files[r->base_file];
	return was->type == f->type && was->mode == f->mode && was->size == f->size;
}

static bool
begin_file(struct engine *e, struct piece_list *pl, const struct range *r)
{
	const struct plan_file *f = &e->list.files[r->file];
	struct piece_builder *b = builder_for(e, pl, r);

	if (b == NULL || !add_file(b, f))
		return false;
	b->same_files += b->file_same;
	b->file_same = as_it_was(f, r);
	if (f->type == 'f')
	{
		pl->files++;
		pl->bytes += f->size;
	}
	return true;
}

enum sov_code
pieces_add(struct engine *e, struct piece_list *pl, struct task *t, struct sov_error *err)
{
	size_t		at = 0;
	bool		good = true;

	for (size_t i = 0; i < t->n_ranges && good; i++)
	{
		const struct range *r = &t->ranges[i];

		if (e->vanished[r->file])
		{
			at += r->n_blocks;
			continue;
		}
		good = r->first_block != 0 || begin_file(e, pl, r);
		if (good && !r->same)
			pl->current->file_same = false;
		for (uint32_t j = 0; j < r->n_blocks && good; j++)
			good = add_block(pl->current, t, at++);
	}
	task_clear(e, t);
	return good ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

/* --- putting it --- */

/* Some of what lay in one pack may lie in another: name the packs that are there.
 * Under the lock; false: out of memory. */
static bool
follow_parts(const struct engine *e, struct piece_builder *b)
{
	struct use *was = b->uses;
	uint32_t	n = b->piece.n_packs;
	bool		parted = false,
				good = true;

	for (uint32_t i = 0; i < n; i++)
		parted = parted || e->packs[was[i].no].parted;
	if (!parted)
		return true;
	b->uses = NULL;
	b->piece.n_packs = b->cap_packs = b->last_pack = 0;
	for (uint32_t i = 0; i < b->piece.n_runs && good; i++)
	{
		struct sov_mf_run *run = &b->piece.runs[i];
		uint32_t	no = was[run->pack].no;

		pack_place(e, &no, &run->offset);
		run->pack = piece_pack(b, no);
		good = run->pack != UINT32_MAX;
		if (good)
			count_use(b, run);
	}
	free(was);
	return good;
}

/* Are all packs of the piece at the providers?  Then note them in it. */
static bool
packs_ready(struct engine *e, struct piece_builder *b)
{
	bool		ready = true;

	pthread_mutex_lock(&e->lock);
	for (uint32_t i = 0; i < b->piece.n_packs && ready; i++)
		ready = pack_settled(e, b->uses[i].no);
	if (ready && b->piece.packs == NULL && follow_parts(e, b))
	{
		b->piece.packs = calloc(b->piece.n_packs + 1, sizeof *b->piece.packs);
		for (uint32_t i = 0; b->piece.packs && i < b->piece.n_packs; i++)
		{
			b->piece.packs[i] = e->packs[b->uses[i].no].mf;
			e->packs[b->uses[i].no].used += b->uses[i].sealed;
		}
	}
	pthread_mutex_unlock(&e->lock);
	return ready;
}

static enum sov_code
put_new(struct engine *e, struct piece_builder *b, struct sov_objref *ref, struct sov_error *err)
{
	struct sov_buf bytes = {0};
	struct sov_put_result res = {0};
	enum sov_code rc = b->piece.packs ? sov_piece_encode(&b->piece, &bytes, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = sov_repo_put_stream(e->repo, e->run, SOV_CLASS_META, NULL, 0, bytes.data, bytes.len, true, NULL, 0, ref, &res, err);
	sov_buf_free(&bytes);
	if (rc != SOV_OK)
		return rc;
	pthread_mutex_lock(&e->lock);
	e->stored += res.stored;
	e->degraded += res.holders < e->repo->admin.map.n;
	pthread_mutex_unlock(&e->lock);
	return SOV_OK;
}

static enum sov_code
put_piece(struct engine *e, struct piece_list *pl, struct piece_builder *b, struct sov_error *err)
{
	const struct sov_piece *p = &b->piece;
	const char *first = p->n_files ? p->files[0].path : "";
	enum sov_code rc = SOV_OK;

	if (pl->n == pl->cap)
	{
		size_t		cap = pl->cap ? pl->cap * 2 : 16;
		void	   *p = realloc(pl->refs, cap * sizeof *pl->refs);

		if (p == NULL)
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		pl->refs = p;
		pl->cap = cap;
	}
	if (b->same)
	{
		pl->refs[pl->n].ref = b->entry->ref;
		e->same_pieces++;
	}
	else
		rc = put_new(e, b, &pl->refs[pl->n].ref, err);
	if (rc != SOV_OK)
		return rc;
	pl->refs[pl->n].first_path = strdup(first);
	if (pl->refs[pl->n].first_path == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (p->n_files > 0 && strcmp(first, SOV_CONTROL_FILE) != 0)
		journal_add(e, &pl->refs[pl->n].ref, first, p->files[p->n_files - 1].path);
	pl->n++;
	return SOV_OK;
}

enum sov_code
pieces_put(struct engine *e, struct piece_list *pl, bool flush, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	if (flush)
		close_builder(pl);
	while (rc == SOV_OK && pl->waiting && packs_ready(e, pl->waiting))
	{
		struct piece_builder *b = pl->waiting;

		rc = put_piece(e, pl, b, err);
		pl->waiting = b->next;
		pl->waiting_bytes -= builder_bytes(b);
		builder_free(b);
	}
	if (rc == SOV_OK && flush && pl->waiting)
		rc = sov_fail(err, SOV_E_STATE, NULL, "a pack was not uploaded");
	return rc;
}

void
pieces_free(struct piece_list *pl)
{
	builder_free(pl->current);
	while (pl->waiting)
	{
		struct piece_builder *b = pl->waiting;

		pl->waiting = b->next;
		builder_free(b);
	}
	for (size_t i = 0; i < pl->n; i++)
		free(pl->refs[i].first_path);
	free(pl->refs);
}
