/*
 * backup_plan.c - from the list of files to tasks, one at a time.
 *
 * Tasks are cut in path order, of about TASK_BYTES, when a worker asks for one:
 * so their number does not matter.  A file's part of the last backup comes along:
 * both lists are in path order, so one earlier piece is looked at after the other.
 * pg_control is left for the end.
 */
#include <stdlib.h>
#include <string.h>

#include "backup_private.h"

#define MTIME_MARGIN_US 2000000	/* a file may change within its clock's tick */

static bool
add_range(struct task *t, const struct range *r)
{
	if (t->n_ranges == t->cap_ranges)
	{
		size_t		cap = t->cap_ranges ? t->cap_ranges * 2 : 8;
		void	   *p = realloc(t->ranges, cap * sizeof *t->ranges);

		if (p == NULL)
			return false;
		t->ranges = p;
		t->cap_ranges = cap;
	}
	t->ranges[t->n_ranges++] = *r;
	return true;
}

void
task_clear(struct engine *e, struct task *t)
{
	for (size_t i = 0; i < t->n_ranges; i++)
		base_piece_release(e, t->ranges[i].base);
	free(t->ranges);
	free(t->blocks);
	free(t->pages);
	free(t->runs);
	memset(t, 0, sizeof *t);
}

/* Size and time say that nothing changed, and the caller takes that. */
static bool
trusted(const struct engine *e, const struct plan_file *f, const struct sov_mf_file *was)
{
	return e->opt->by_mtime && f->type == 'f' && was->type == 'f' && f->size == was->size && f->mtime_us == was->mtime_us &&
		f->mtime_us + MTIME_MARGIN_US < e->base.start_us;
}

/* What the last backup has of a file; the range gets a reference to the piece. */
static void
look_up(struct engine *e, struct range *r)
{
	const struct plan_file *f = &e->list.files[r->file];
	struct plan *p = &e->plan;
	uint32_t	entry;

	r->base = NULL;
	r->base_file = NO_FILE;
	if (e->base.n == 0)
		return;
	entry = base_entry_for(&e->base, f->path, p->entry);
	if (entry != p->entry || !p->piece_read)
	{
		base_piece_release(e, p->piece);
		p->piece = base_piece_read(e, &e->base.entries[entry]);
		p->piece_read = true;
		p->entry = entry;
	}
	r->entry = entry;
	if (p->piece == NULL || (r->base_file = base_piece_find(p->piece, f->path)) == NO_FILE)
		return;
	pthread_mutex_lock(&e->lock);
	p->piece->refs++;
	pthread_mutex_unlock(&e->lock);
	r->base = p->piece;
	r->trusted = p->piece->doubted == NULL && trusted(e, f, &p->piece->piece.files[r->base_file]);
}

static uint64_t
file_blocks(const struct plan_file *f)
{
	return (f->size + SOV_FRAME_MAX - 1) / SOV_FRAME_MAX;
}

/* Cut the next task; false: out of memory. */
static bool
cut(struct engine *e, struct task *t)
{
	struct plan *p = &e->plan;
	uint64_t	bytes = 0;

	while (p->file < e->list.n && bytes < TASK_BYTES && t->n_ranges < TASK_FILES)
	{
		const struct plan_file *f = &e->list.files[p->file];
		uint64_t	left = file_blocks(f) - p->block,
					fit = (TASK_BYTES - bytes + SOV_FRAME_MAX - 1) / SOV_FRAME_MAX;
		struct range r = {.file = p->file, .first_block = p->block};

		if (p->file == e->control)
		{
			p->file++;
			continue;
		}
		r.n_blocks = (uint32_t) (left < fit ? left : fit);
		look_up(e, &r);
		if (!add_range(t, &r))
		{
			base_piece_release(e, r.base);
			return false;
		}
		bytes += (uint64_t) r.n_blocks * SOV_FRAME_MAX;
		p->block += r.n_blocks;
		if (p->block >= file_blocks(f))
		{
			p->file++;
			p->block = 0;
		}
	}
	return true;
}

static bool
window_full(const struct engine *e)
{
	return e->plan.n_tasks - e->collected >= WINDOW;
}

bool
plan_wait(struct engine *e, const struct pack_buf *pack)
{
	bool		wanted;

	pthread_mutex_lock(&e->lock);
	while (!(wanted = pack && pack->no < e->wanted) && !e->failed && !e->plan.done && window_full(e))
		pthread_cond_wait(&e->changed, &e->lock);
	pthread_mutex_unlock(&e->lock);
	return !wanted;
}

/* Under plan.lock: the place of the next task in the window. */
static struct task *
place(struct engine *e, bool *full)
{
	struct task *t = NULL;

	pthread_mutex_lock(&e->lock);
	*full = !e->failed && window_full(e);
	if (!e->failed && !*full)
		t = &e->window[e->plan.n_tasks % WINDOW];
	pthread_mutex_unlock(&e->lock);
	return t;
}

static void
planned(struct engine *e, bool one)
{
	pthread_mutex_lock(&e->lock);
	if (one)
		e->plan.n_tasks++;
	e->plan.done = e->plan.file >= e->list.n;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

struct task *
plan_next(struct engine *e, bool *full, struct sov_error *err)
{
	struct task *t = NULL;
	bool		good = true;

	*full = false;
	pthread_mutex_lock(&e->plan.lock);
	if (!e->plan.done && (t = place(e, full)) != NULL)
	{
		good = cut(e, t);
		if (!good || t->n_ranges == 0)
		{
			task_clear(e, t);
			t = NULL;
		}
		if (good)
			planned(e, t != NULL);
		if (e->plan.done)
		{
			base_piece_release(e, e->plan.piece);
			e->plan.piece = NULL;
		}
	}
	pthread_mutex_unlock(&e->plan.lock);
	if (!good)
	{
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		engine_fail(e, err);
	}
	return t;
}

enum sov_code
plan_control(struct engine *e, struct task *t, struct sov_error *err)
{
	struct range r = {.file = e->control, .base_file = NO_FILE};

	if (e->control >= e->list.n)
		return SOV_OK;
	r.n_blocks = (uint32_t) file_blocks(&e->list.files[e->control]);
	return add_range(t, &r) ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}
