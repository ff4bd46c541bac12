/*
 * inventory.c - the coded objects that the providers hold, by scanning headers at all
 * of them at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"
#include "sov_verify.h"

#define GIVE_UP 20				/* headers in a row that a provider that lists does not give */

struct known					/* a shard of the earlier inventory */
{
	uint64_t	key;			/* of provider and name */
	uint32_t	item;
	uint8_t		slot;
};

struct scan_state
{
	struct sov_repo *repo;
	struct sov_inventory *inv;
	const struct sov_inventory *earlier;	/* or NULL */
	bool		others;			/* its objects are expected at others too, that it did not look at */
	struct known *known;		/* sorted by key */
	size_t		n_known;
	pthread_mutex_t lock;		/* of the inventory and what follows */
	size_t		cap,
				cap_damaged;
	bool		nomem;
	int			unread[SOV_MAX_PROVIDERS];	/* in a row */
	bool		gave_up[SOV_MAX_PROVIDERS];	/* and so its scan is not whole */
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

static int
compare_items(const void *x, const void *y)
{
	const struct sov_inventory_item *a = x,
			   *b = y;
	int			c;

	if (a->class_ != b->class_)
		return a->class_ < b->class_ ? -1 : 1;
	if ((c = strcmp(a->id, b->id)) != 0)
		return c;
	if (a->generation != b->generation)
		return a->generation < b->generation ? -1 : 1;
	return a->attempt < b->attempt ? -1 : a->attempt > b->attempt;
}

/* Put the shards of one object together. */
static void
merge(struct sov_inventory *inv)
{
	size_t		n = 0;

	if (inv->n_items == 0)
		return;
	qsort(inv->items, inv->n_items, sizeof *inv->items, compare_items);
	for (size_t i = 1; i < inv->n_items; i++)
	{
		struct sov_inventory_item *it = &inv->items[n];
		const struct sov_inventory_item *next = &inv->items[i];

		if (compare_items(it, next) != 0)
		{
			inv->items[++n] = *next;
			continue;
		}
		if (memcmp(it->run, next->run, 16) == 0 && memcmp(it->stream, next->stream, 32) == 0)
		{
			it->have |= next->have;
			it->before |= next->before;
			it->conflict = it->conflict || next->conflict;
		}
		else
			it->conflict = true;
	}
	inv->n_items = n + 1;
}

/* There may be a million: by half, not by as much again. */
static bool
more_room(struct scan_state *s)
{
	size_t		cap = s->cap < 256 ? 256 : s->cap / 2 * 3;
	struct sov_inventory_item *items = realloc(s->inv->items, cap * sizeof *items);

	if (items == NULL)
		return false;
	s->inv->items = items;
	s->cap = cap;
	return true;
}

/* --- what an earlier inventory knows --- */

static uint64_t
known_key(int provider, const char *name)
{
	uint64_t	h = UINT64_C(14695981039346656037) ^ (uint64_t) provider;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t) *name) * UINT64_C(1099511628211);
	return h;
}

static int
compare_known(const void *a, const void *b)
{
	const struct known *x = a,
			   *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* The place where the earlier inventory saw this shard, or would have it at one that it
 * did not look at: where it lies now, or lay before. */
static bool
known_place(const struct scan_state *s, const struct sov_inventory_item *it, int slot, bool before, struct repo_place *place)
{
	int			provider;

	if ((!s->others && ((before ? it->before : it->have) >> slot & 1) == 0) || slot >= it->n || it->conflict ||
		repo_place(s->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, place, NULL) != SOV_OK)
		return false;
	/* whether it has arrived where it is moved to, its header there tells */
	if (s->others && !before && place->name_before[0] != '\0')
		return false;
	provider = before ? place->before : place->now;
	return provider >= 0 && !(s->others && s->earlier->asked[provider]);
}

/* Without memory for it nothing is known, and all is read. */
static void
know(struct scan_state *s)
{
	size_t		cap = 0;

	for (size_t i = 0; i < s->earlier->n_items; i++)
		cap += s->others ? s->earlier->items[i].n :	/* a place of a slot, and only one */
			(size_t) __builtin_popcount(s->earlier->items[i].have) + (size_t) __builtin_popcount(s->earlier->items[i].before);
	s->known = cap > 0 && s->earlier->n_items <= UINT32_MAX ? malloc(cap * sizeof *s->known) : NULL;
	for (size_t i = 0; s->known && i < s->earlier->n_items; i++)
		for (int slot = 0; slot < SOV_EC_MAX; slot++)
			for (int before = 0; before < 2; before++)
			{
				struct repo_place place;

				if (known_place(s, &s->earlier->items[i], slot, before, &place))
					s->known[s->n_known++] = (struct known) {before ? known_key(place.before, place.name_before) : known_key(place.now, place.name_now),
					(uint32_t) i, (uint8_t) slot};
			}
	if (s->n_known > 0)
		qsort(s->known, s->n_known, sizeof *s->known, compare_known);
}

static bool
is_known_as(const struct scan_state *s, const struct known *k, struct sov_scan_item *item)
{
	const struct sov_inventory_item *it = &s->earlier->items[k->item];
	struct repo_place place;

	if (it->size != item->size || (!s->others && !s->earlier->asked[item->provider]) ||
		!((known_place(s, it, k->slot, false, &place) && place.now == item->provider && strcmp(place.name_now, item->name) == 0) ||
		  (known_place(s, it, k->slot, true, &place) && place.before == item->provider && strcmp(place.name_before, item->name) == 0)))
		return false;
	item->info.class_ = it->class_;
	snprintf(item->info.id, sizeof item->info.id, "%s", it->id);
	item->info.generation = it->generation;
	item->info.attempt = it->attempt;
	item->info.k = it->k;
	item->info.n = it->n;
	item->info.slot = k->slot;
	memcpy(item->info.run, it->run, 16);
	memcpy(item->info.stream, it->stream, 32);
	return true;
}

static bool
is_known(void *ctx, struct sov_scan_item *item)
{
	const struct scan_state *s = ctx;
	struct known key = {.key = known_key(item->provider, item->name)};
	size_t		lo = 0,
				hi = s->n_known;

	while (lo < hi)
	{
		size_t		mid = (lo + hi) / 2;

		if (s->known[mid].key < key.key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < s->n_known && s->known[lo].key == key.key; lo++)
		if (is_known_as(s, &s->known[lo], item))
			return true;
	return false;
}

/* --- reading --- */

/* Each shard is an item until the room is used up: then they are put together, so that
 * memory goes with the objects, not with their shards. */
static bool
add(struct scan_state *s, const struct sov_scan_item *it, bool moved_from)
{
	struct sov_inventory *inv = s->inv;
	struct sov_inventory_item *item;

	if (inv->n_items == s->cap)
	{
		merge(inv);
		if (inv->n_items >= s->cap / 4 * 3 && !more_room(s))
			return false;
	}
	item = &inv->items[inv->n_items++];
	memset(item, 0, sizeof *item);
	item->class_ = it->info.class_;
	snprintf(item->id, sizeof item->id, "%s", it->info.id);
	item->generation = it->info.generation;
	item->attempt = it->info.attempt;
	item->k = it->info.k;
	item->n = it->info.n;
	item->size = it->size;
	memcpy(item->run, it->info.run, 16);
	memcpy(item->stream, it->info.stream, 32);
	*(moved_from ? &item->before : &item->have) = (uint16_t) (1u << it->info.slot);
	return true;
}

static bool
see_item(void *ctx, const struct sov_scan_item *it)
{
	struct scan_state *s = ctx;
	struct repo_place place;
	bool		placed,
				room = true;

	if (!it->readable && it->why.code == SOV_E_NOTFOUND)
		return true;			/* deleted since it was listed */
	/* Neither there now nor there before: a leftover, of no use to readers. */
	placed = it->readable && strlen(it->info.id) < SOV_INVENTORY_ID &&
		repo_place(s->repo, it->info.class_, it->info.id, it->info.generation, it->info.slot, it->info.attempt, &place, NULL) == SOV_OK &&
		(place.now == it->provider || place.before == it->provider);
	pthread_mutex_lock(&s->lock);
	s->unread[it->provider] = !it->readable && it->why.code == SOV_E_PROVIDER ? s->unread[it->provider] + 1 : 0;
	s->inv->objects[it->provider]++;
	s->inv->bytes[it->provider] += it->size;
	if (!it->readable)
		room = note_damaged(s, it);
	else if (placed)
		room = add(s, it, place.now != it->provider);
	s->nomem = s->nomem || !room;
	s->gave_up[it->provider] = s->gave_up[it->provider] || s->unread[it->provider] >= GIVE_UP;
	room = room && !s->gave_up[it->provider];
	pthread_mutex_unlock(&s->lock);
	return room;
}

static int
compare_damaged(const void *a, const void *b)
{
	const struct sov_damaged *x = a,
			   *y = b;

	return x->provider != y->provider ? (x->provider < y->provider ? -1 : 1) : strcmp(x->name, y->name);
}

static void
scan_provider(int i, void *arg)
{
	static const uint8_t classes[] = {SOV_CLASS_RUN, SOV_CLASS_META, SOV_CLASS_PACK, SOV_CLASS_WAL};
	struct scan_state *s = arg;
	struct sov_error why;
	bool		asked = s->repo->providers[i].known;

	if (s->others && s->earlier->asked[i])
		return;
	for (size_t c = 0; c < sizeof classes && asked; c++)
		asked = sov_repo_scan(s->repo, i, classes[c], s->n_known > 0 ? is_known : NULL, see_item, s, &why) == SOV_OK && !s->gave_up[i];
	s->inv->asked[i] = asked;
}

/* Of a provider that is out of reach nothing is known to be damaged. */
static void
forget_unread(struct sov_inventory *inv)
{
	size_t		n = 0;

	for (size_t i = 0; i < inv->n_damaged; i++)
		if (inv->asked[inv->damaged[i].provider] || inv->damaged[i].code != SOV_E_PROVIDER)
			inv->damaged[n++] = inv->damaged[i];
	inv->n_damaged = n;
}

static enum sov_code
finish(struct scan_state *s, struct sov_error *err)
{
	struct sov_inventory *inv = s->inv;

	free(s->known);
	forget_unread(inv);
	if (inv->n_damaged > 0)
		qsort(inv->damaged, inv->n_damaged, sizeof *inv->damaged, compare_damaged);
	if (!s->nomem)
	{
		merge(inv);
		return SOV_OK;
	}
	sov_inventory_free(inv);
	return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

enum sov_code
sov_inventory_read(struct sov_repo *repo, struct sov_inventory *inv, struct sov_error *err)
{
	return sov_inventory_read_again(repo, NULL, inv, err);
}

enum sov_code
sov_inventory_read_again(struct sov_repo *repo, const struct sov_inventory *earlier, struct sov_inventory *inv, struct sov_error *err)
{
	struct scan_state s = {.repo = repo, .inv = inv, .earlier = earlier, .lock = PTHREAD_MUTEX_INITIALIZER};

	memset(inv, 0, sizeof *inv);
	if (earlier)
		know(&s);
	sov_parallel(repo->n_providers, scan_provider, &s);
	return finish(&s, err);
}

/* What the first one showed, beside what the others do. */
static void
add_all(struct scan_state *s, const struct sov_inventory *one, int first)
{
	struct sov_inventory *inv = s->inv;
	struct sov_inventory_item *items = realloc(inv->items, (inv->n_items + one->n_items + 1) * sizeof *items);
	struct sov_damaged *damaged = realloc(inv->damaged, (inv->n_damaged + one->n_damaged + 1) * sizeof *damaged);

	if (items != NULL)
		inv->items = items;
	if (damaged != NULL)
		inv->damaged = damaged;
	s->nomem = s->nomem || items == NULL || damaged == NULL;
	if (s->nomem)
		return;
	if (one->n_items > 0)
		memcpy(items + inv->n_items, one->items, one->n_items * sizeof *items);
	inv->n_items += one->n_items;
	if (one->n_damaged > 0)
		memcpy(damaged + inv->n_damaged, one->damaged, one->n_damaged * sizeof *damaged);
	inv->n_damaged += one->n_damaged;
	inv->asked[first] = one->asked[first];
	inv->objects[first] = one->objects[first];
	inv->bytes[first] = one->bytes[first];
}

enum sov_code
sov_inventory_read_first(struct sov_repo *repo, int first, struct sov_inventory *inv, struct sov_error *err)
{
	struct sov_inventory one = {0};
	struct scan_state s = {.repo = repo, .inv = &one, .lock = PTHREAD_MUTEX_INITIALIZER};
	enum sov_code rc;

	scan_provider(first, &s);
	rc = finish(&s, err);
	if (rc != SOV_OK || !one.asked[first])
	{
		sov_inventory_free(&one);
		return rc == SOV_OK ? sov_inventory_read(repo, inv, err) : rc;
	}
	memset(inv, 0, sizeof *inv);
	s = (struct scan_state) {.repo = repo, .inv = inv, .earlier = &one, .others = true, .lock = PTHREAD_MUTEX_INITIALIZER};
	know(&s);
	sov_parallel(repo->n_providers, scan_provider, &s);
	add_all(&s, &one, first);
	rc = finish(&s, err);
	sov_inventory_free(&one);
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
