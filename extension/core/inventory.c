/*
 * inventory.c - the coded objects that the providers hold, by scanning headers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"
#include "sov_verify.h"

struct raw_item
{
	struct sov_inventory_item item;
	uint8_t		slot;
	bool		moved_from;
};

struct scan_state
{
	struct sov_repo *repo;
	struct sov_inventory *inv;
	struct raw_item *raw;
	size_t		n,
				cap,
				cap_damaged;
	bool		nomem;
};

static bool
grow(void **p, size_t *cap, size_t n, size_t size)
{
	size_t		want = *cap ? *cap * 2 : 256;
	void	   *q;

	if (n < *cap)
		return true;
	q = realloc(*p, want * size);
	if (q == NULL)
		return false;
	*p = q;
	*cap = want;
	return true;
}

static bool
note_damaged(struct scan_state *s, const struct sov_scan_item *it)
{
	struct sov_damaged *d;

	if (!grow((void **) &s->inv->damaged, &s->cap_damaged, s->inv->n_damaged, sizeof *d))
		return false;
	d = &s->inv->damaged[s->inv->n_damaged++];
	d->provider = it->provider;
	d->size = it->size;
	d->code = it->why.code;
	snprintf(d->name, sizeof d->name, "%s", it->name);
	snprintf(d->message, sizeof d->message, "%s", it->why.message);
	return true;
}

static bool
see_item(void *ctx, const struct sov_scan_item *it)
{
	struct scan_state *s = ctx;
	struct raw_item *r;
	struct repo_place place;

	if (!it->readable && it->why.code == SOV_E_NOTFOUND)
		return true;			/* deleted since it was listed */
	s->inv->objects[it->provider]++;
	s->inv->bytes[it->provider] += it->size;
	if (!it->readable)
		return note_damaged(s, it) || (s->nomem = true, false);
	if (repo_place(s->repo, it->info.class_, it->info.id, it->info.generation, it->info.slot, it->info.attempt, &place, NULL) != SOV_OK)
		return true;
	/* Neither there now nor there before: a leftover, of no use to readers. */
	if (place.now != it->provider && place.before != it->provider)
		return true;
	if (!grow((void **) &s->raw, &s->cap, s->n, sizeof *r))
	{
		s->nomem = true;
		return false;
	}
	r = &s->raw[s->n++];
	memset(r, 0, sizeof *r);
	r->slot = it->info.slot;
	r->moved_from = place.now != it->provider;
	r->item.class_ = it->info.class_;
	memcpy(r->item.id, it->info.id, sizeof r->item.id);
	r->item.generation = it->info.generation;
	r->item.attempt = it->info.attempt;
	r->item.k = it->info.k;
	r->item.n = it->info.n;
	r->item.size = it->size;
	memcpy(r->item.run, it->info.run, 16);
	memcpy(r->item.stream, it->info.stream, 32);
	return true;
}

static int
compare_items(const struct sov_inventory_item *a, const struct sov_inventory_item *b)
{
	int			c;

	if (a->class_ != b->class_)
		return a->class_ < b->class_ ? -1 : 1;
	if ((c = strcmp(a->id, b->id)) != 0)
		return c;
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	return a->attempt < b->attempt ? -1 : a->attempt > b->attempt;
}

static int
compare_raw(const void *a, const void *b)
{
	return compare_items(&((const struct raw_item *) a)->item, &((const struct raw_item *) b)->item);
}

/* Put the shards of one object together. */
static enum sov_code
merge(struct scan_state *s, struct sov_error *err)
{
	struct sov_inventory *inv = s->inv;

	qsort(s->raw, s->n, sizeof *s->raw, compare_raw);
	inv->items = malloc(sizeof *inv->items * (s->n ? s->n : 1));
	if (inv->items == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t i = 0; i < s->n; i++)
	{
		struct raw_item *r = &s->raw[i];
		struct sov_inventory_item *it = inv->n_items ? &inv->items[inv->n_items - 1] : NULL;

		if (it == NULL || compare_items(it, &r->item) != 0)
		{
			it = &inv->items[inv->n_items++];
			*it = r->item;
		}
		if (memcmp(it->run, r->item.run, 16) != 0 || memcmp(it->stream, r->item.stream, 32) != 0)
		{
			it->conflict = true;
			continue;
		}
		if (r->moved_from)
			it->before |= (uint16_t) (1u << r->slot);
		else
			it->have |= (uint16_t) (1u << r->slot);
	}
	return SOV_OK;
}

enum sov_code
sov_inventory_read(struct sov_repo *repo, struct sov_inventory *inv, struct sov_error *err)
{
	static const uint8_t classes[] = {SOV_CLASS_RUN, SOV_CLASS_META, SOV_CLASS_PACK, SOV_CLASS_WAL};
	struct scan_state s = {0};
	struct sov_error why;
	enum sov_code rc = SOV_OK;

	memset(inv, 0, sizeof *inv);
	s.repo = repo;
	s.inv = inv;
	for (int i = 0; i < repo->n_providers; i++)
	{
		if (!repo->providers[i].known)
			continue;
		inv->asked[i] = true;
		for (size_t c = 0; c < sizeof classes && inv->asked[i]; c++)
			inv->asked[i] = sov_repo_scan(repo, i, classes[c], see_item, &s, &why) == SOV_OK;
	}
	if (s.nomem)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = merge(&s, err);
	free(s.raw);
	if (rc != SOV_OK)
		sov_inventory_free(inv);
	return rc;
}

void
sov_inventory_free(struct sov_inventory *inv)
{
	free(inv->items);
	free(inv->damaged);
	memset(inv, 0, sizeof *inv);
}

bool
sov_inventory_is(const struct sov_inventory_item *it, int slot, const struct sov_shard_info *info)
{
	return info->class_ == it->class_ && info->slot == slot && strcmp(info->id, it->id) == 0 &&
		info->generation == it->generation && info->attempt == it->attempt &&
		memcmp(info->run, it->run, 16) == 0 && memcmp(info->stream, it->stream, 32) == 0;
}

static bool
better(const struct sov_inventory_item *a, const struct sov_inventory_item *b)
{
	int			na = __builtin_popcount(a->have),
				nb = __builtin_popcount(b->have);

	return (na >= a->n) != (nb >= b->n) ? na >= a->n : na > nb;
}

const struct sov_inventory_item *
sov_inventory_find(const struct sov_inventory *inv, uint8_t class_, const char *id)
{
	size_t		lo = 0,
				hi = inv->n_items;
	const struct sov_inventory_item *found = NULL;

	while (lo < hi)
	{
		size_t		mid = (lo + hi) / 2;
		const struct sov_inventory_item *it = &inv->items[mid];
		int			c = it->class_ != class_ ? (it->class_ < class_ ? -1 : 1) : strcmp(it->id, id);

		if (c == 0)
		{
			/* of several attempts and generations the one with the most shards, but
			 * one that lacks none before any that does */
			for (; mid > 0 && inv->items[mid - 1].class_ == class_ && strcmp(inv->items[mid - 1].id, id) == 0; mid--)
				;
			for (; mid < inv->n_items && inv->items[mid].class_ == class_ && strcmp(inv->items[mid].id, id) == 0; mid++)
				if (found == NULL || better(&inv->items[mid], found))
					found = &inv->items[mid];
			return found;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
