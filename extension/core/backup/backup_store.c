/*
 * backup_store.c - from a block that was read to where its bytes lie.
 *
 * A block whose hash is that of the last backup takes over its runs.  Of a block
 * that changed, only the pages are stored whose hash differs or whose LSN says so;
 * the rest takes over its runs.  The whole block is stored when it is new, when
 * most of it changed, when no page tells what changed, or when it would lie in
 * more than MAX_BLOCK_RUNS places.  Page hashes have 32 bits: a page that changed
 * without its LSN moving, beside another in the same block that did, is overlooked
 * with 2^-32, and then the block's own hash of 128 bits says so at every reading.
 *
 * Pages of packs that are not to be relied on (backup_trust.c) count as changed.
 *
 * A new block of SMALL_BLOCK bytes and more is a frame of its own; shorter ones
 * (small files, ends of files, changed pages) are gathered into shared frames
 * within a task.
 */
#include <stdlib.h>
#include <string.h>

#include "backup_private.h"

static bool
all_zero(const uint8_t *p, size_t len)
{
	return len > 0 && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* --- sealing --- */

static enum sov_code
seal(struct worker *w, const uint8_t *raw, size_t len, struct sov_mf_run *where)
{
	size_t		sealed_len,
				bound = sov_frame_bound(len);
	enum sov_code rc;

	if (w->pack && PACK_CAPACITY - w->pack->len < bound)
	{
		pack_give(w->e, w->pack);
		w->pack = NULL;
	}
	if (w->pack == NULL && (w->pack = pack_take(w->e)) == NULL)
		return sov_fail(&w->err, SOV_E_CANCELLED, NULL, "stopped");
	pack_mark(w->pack);
	rc = sov_frame_seal(w->e->run, SOV_FRAME_PAGES, w->z, raw, len,
						w->pack->data + w->pack->len, PACK_CAPACITY - w->pack->len, &sealed_len, &where->counter, &w->err);
	if (rc != SOV_OK)
		return rc;
	where->pack = w->pack->no;
	where->offset = (uint32_t) w->pack->len;
	where->sealed_len = (uint32_t) sealed_len;
	where->raw_len = (uint32_t) len;
	w->pack->len += sealed_len;
	__atomic_add_fetch(&w->e->frames, 1, __ATOMIC_RELAXED);
	return SOV_OK;
}

/* Seal what was gathered and tell the runs that wait where it is. */
enum sov_code
store_flush(struct worker *w, struct task *t)
{
	struct sov_mf_run where;
	enum sov_code rc = SOV_OK;

	if (w->small_len > 0)
		rc = seal(w, w->small, w->small_len, &where);
	for (size_t i = w->small_first; w->small_len > 0 && i < t->n_runs && rc == SOV_OK; i++)
	{
		struct sov_mf_run *r = &t->runs[i];

		if (r->sealed_len != 0)	/* stored elsewhere */
			continue;
		r->pack = where.pack;
		r->offset = where.offset;
		r->sealed_len = where.sealed_len;
		r->raw_len = where.raw_len;
		r->counter = where.counter;
	}
	w->small_len = 0;
	w->small_first = t->n_runs;
	return rc;
}

/* --- runs --- */

static struct sov_mf_run *
new_run(struct worker *w, struct task *t)
{
	if (t->n_runs == t->cap_runs)
	{
		size_t		cap = t->cap_runs ? t->cap_runs * 2 : 256;
		void	   *p = realloc(t->runs, cap * sizeof *t->runs);

		if (p == NULL)
		{
			sov_fail(&w->err, SOV_E_NOMEM, NULL, "out of memory");
			return NULL;
		}
		t->runs = p;
		t->cap_runs = cap;
	}
	memset(&t->runs[t->n_runs], 0, sizeof *t->runs);
	return &t->runs[t->n_runs++];
}

/* Store [first, first+len) of the block anew. */
static enum sov_code
store_part(struct worker *w, struct task *t, struct sov_mf_block *b, uint32_t first, uint32_t len)
{
	struct sov_mf_run *run;
	enum sov_code rc;

	if (len < SMALL_BLOCK && w->small_len + len > SOV_FRAME_MAX && (rc = store_flush(w, t)) != SOV_OK)
		return rc;
	run = new_run(w, t);
	if (run == NULL)
		return SOV_E_NOMEM;
	b->n_runs++;
	run->first = first;
	run->length = len;
	if (len >= SMALL_BLOCK)
		return seal(w, w->block + first, len, run);
	run->skip = (uint32_t) w->small_len;
	memcpy(w->small + w->small_len, w->block + first, len);
	w->small_len += len;
	return SOV_OK;
}

/* Take over what base has of [first, end) of its block. */
static enum sov_code
keep_part(struct worker *w, struct task *t, struct sov_mf_block *b, const struct base_piece *base,
		  const struct sov_mf_block *was, uint32_t first, uint32_t end)
{
	for (uint32_t i = 0; i < was->n_runs; i++)
	{
		const struct sov_mf_run *from = &base->piece.runs[was->first_run + i];
		uint32_t	a = from->first > first ? from->first : first,
					z = from->first + from->length < end ? from->first + from->length : end;
		struct sov_mf_run *run;

		if (a >= z)
			continue;
		run = new_run(w, t);
		if (run == NULL)
			return SOV_E_NOMEM;
		*run = *from;
		run->pack = base->pack_nos[from->pack];
		run->skip += a - from->first;
		run->first = a;
		run->length = z - a;
		b->n_runs++;
	}
	return SOV_OK;
}

/* --- comparing --- */

/* One bit for each page that is to be stored. */
static uint32_t
changed_pages(const struct worker *w, const struct range *range, size_t len, const uint32_t *pages,
			  const struct sov_mf_block *was, uint32_t was_len)
{
	struct engine *e = w->e;
	const uint32_t *old = range->base->piece.pages + was->first_page;
	bool		lsn = e->list.files[range->file].relation;
	uint32_t	changed = 0;

	for (uint32_t i = 0; i < sov_block_pages(len); i++)
	{
		uint32_t	at = i * SOV_PAGE_LEN,
					end = at + SOV_PAGE_LEN;
		uint32_t	now_len = end < len ? SOV_PAGE_LEN : (uint32_t) len - at,
					old_len = at >= was_len ? 0 : end < was_len ? SOV_PAGE_LEN : was_len - at;

		if (now_len != old_len || pages[i] != old[i] ||
			(lsn && now_len == SOV_PAGE_LEN && e->source->page_lsn(e->source->ctx, w->block + at) >= e->base.redo_lsn))
			changed |= UINT32_C(1) << i;
	}
	return changed;
}

/* One bit for each page that lies in a pack that is not to be relied on. */
static uint32_t
doubted_pages(const struct range *range, const struct sov_mf_block *was)
{
	const struct base_piece *base = range->base;
	uint32_t	pages = 0;

	for (uint32_t i = 0; base->doubted && i < was->n_runs; i++)
	{
		const struct sov_mf_run *r = &base->piece.runs[was->first_run + i];

		for (uint32_t p = r->first / SOV_PAGE_LEN; base->doubted[r->pack] && p * SOV_PAGE_LEN < r->first + r->length; p++)
			pages |= UINT32_C(1) << p;
	}
	return pages;
}

/* Store the changed pages and keep the others; *done is false when the whole
 * block is to be stored instead. */
static enum sov_code
store_changes(struct worker *w, struct task *t, struct sov_mf_block *b, const struct range *range, size_t len,
			  const struct sov_mf_block *was, uint32_t changed, bool *done)
{
	uint32_t	n = sov_block_pages(len),
				stretches = 1;
	enum sov_code rc = SOV_OK;

	for (uint32_t i = 1; i < n; i++)
		stretches += (changed >> i & 1) != (changed >> (i - 1) & 1);
	*done = changed != 0 && (uint32_t) __builtin_popcount(changed) * 4 <= n * 3 && stretches + was->n_runs <= MAX_BLOCK_RUNS;
	if (!*done)
		return SOV_OK;
	for (uint32_t i = 0, next; i < n && rc == SOV_OK; i = next)
	{
		uint32_t	first = i * SOV_PAGE_LEN,
					end;

		for (next = i + 1; next < n && (changed >> next & 1) == (changed >> i & 1); next++)
			;
		end = next * SOV_PAGE_LEN < len ? next * SOV_PAGE_LEN : (uint32_t) len;
		if (changed >> i & 1)
			rc = store_part(w, t, b, first, end - first);
		else
			rc = keep_part(w, t, b, range->base, was, first, end);
	}
	return rc;
}

static const struct sov_mf_block *
earlier_block(const struct range *range, uint32_t no, uint32_t *len)
{
	const struct sov_mf_file *f;

	if (range->base == NULL)
		return NULL;
	f = &range->base->piece.files[range->base_file];
	if (no >= f->n_blocks)
		return NULL;
	*len = sov_mf_block_len(f, no);
	return &range->base->piece.blocks[f->first_block + no];
}

enum sov_code
store_block(struct worker *w, struct task *t, struct range *range, uint32_t no, size_t index, size_t len)
{
	struct sov_mf_block *b = &t->blocks[index];
	uint32_t   *pages = t->pages + index * SOV_BLOCK_PAGES,
				was_len = 0,
				doubted,
				changed;
	const struct sov_mf_block *was = earlier_block(range, no, &was_len);
	bool		done = false,
				equal;
	enum sov_code rc = sov_frame_hash(w->e->repo->keys, w->block, len, b->hash, pages, &w->err);

	b->first_run = (uint32_t) t->n_runs;
	b->n_runs = 0;
	if (rc != SOV_OK)
		return rc;
	equal = was && was_len == len && memcmp(was->hash, b->hash, 16) == 0;
	doubted = was ? doubted_pages(range, was) : 0;
	if (equal && doubted == 0)
	{
		__atomic_add_fetch(&w->e->same_bytes, len, __ATOMIC_RELAXED);
		return keep_part(w, t, b, range->base, was, 0, (uint32_t) len);
	}
	range->same = false;
	if (all_zero(w->block, len))
	{
		__atomic_add_fetch(&w->e->zero_bytes, len, __ATOMIC_RELAXED);
		return SOV_OK;
	}
	if (equal)
		__atomic_add_fetch(&w->e->moved_bytes, (uint64_t) __builtin_popcount(doubted) * SOV_PAGE_LEN, __ATOMIC_RELAXED);
	changed = equal || !was ? 0 : changed_pages(w, range, len, pages, was, was_len);
	if (was)
		rc = store_changes(w, t, b, range, len, was, changed | doubted, &done);
	return rc == SOV_OK && !done ? store_part(w, t, b, 0, (uint32_t) len) : rc;
}

enum sov_code
store_trusted(struct worker *w, struct task *t, const struct range *range, uint32_t no, size_t index)
{
	struct sov_mf_block *b = &t->blocks[index];
	uint32_t	len = 0;
	const struct sov_mf_block *was = earlier_block(range, no, &len);

	memcpy(b->hash, was->hash, 16);
	memcpy(t->pages + index * SOV_BLOCK_PAGES, range->base->piece.pages + was->first_page, sov_block_pages(len) * sizeof *t->pages);
	b->first_run = (uint32_t) t->n_runs;
	b->n_runs = 0;
	__atomic_add_fetch(&w->e->same_bytes, len, __ATOMIC_RELAXED);
	__atomic_add_fetch(&w->e->skipped_bytes, len, __ATOMIC_RELAXED);
	return keep_part(w, t, b, range->base, was, 0, len);
}
