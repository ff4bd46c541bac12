/*
 * prune_unreadable.c - objects whose header cannot be read, and that nobody misses.
 *
 * Such an object does not say what it is, but its name does: names are computed
 * from ids.  So every name that may lie at a provider is computed, of whatever the
 * inventory found and of whatever a backup that stays refers to, and
 *   - what has the name of an object that stays, stays: repair mends it, or it
 *     shows what was lost;
 *   - what has the name of an object that goes, goes with it, WAL too;
 *   - what has nothing's name is an orphan, under the rule of orphans (prune.c),
 *     and only while every provider was read whole.  Not WAL: it goes by ranges
 *     only, and such an object cannot be shown to be in one.
 * An object that was not read (a provider's error), or whose format is a later
 * version's, is not damaged and is left alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prune_private.h"

enum fate { FATE_UNKNOWN, FATE_GOES, FATE_STAYS };

struct names
{
	struct prune *p;
	struct id_set set;			/* provider and name: index + 1 */
	enum fate  *fates;			/* by index in inv.damaged */
	uint32_t	generations;	/* that are in use, from 0 */
	uint16_t	attempts;
};

static void
decide(struct names *s, int provider, const char *name, enum fate fate)
{
	const int  *at = provider < 0 ? NULL : id_set_get(&s->set, (uint8_t) provider, name);

	if (at && s->fates[*at - 1] < fate)
		s->fates[*at - 1] = fate;
}

static void
decide_all(struct names *s, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt, int n, enum fate fate)
{
	for (int slot = 0; slot < n; slot++)
	{
		struct repo_place place;

		if (repo_place(s->p->repo, class_, id, generation, (uint8_t) slot, attempt, &place, NULL) != SOV_OK)
			continue;
		decide(s, place.now, place.name_now, fate);
		decide(s, place.before, place.name_before, fate);
	}
}

static bool
is_damaged(const struct sov_damaged *d)
{
	return d->code == SOV_E_FORMAT || d->code == SOV_E_AUTH || d->code == SOV_E_CORRUPT;
}

static enum sov_code
open_names(struct names *s, struct prune *p, struct sov_error *err)
{
	const struct sov_inventory *inv = &p->v.inv;

	s->p = p;
	s->generations = s->attempts = 1;
	s->fates = calloc(inv->n_damaged, sizeof *s->fates);
	for (size_t i = 0; s->fates && i < inv->n_damaged; i++)
	{
		int		   *at = id_set_put(&s->set, (uint8_t) inv->damaged[i].provider, inv->damaged[i].name);

		if (at == NULL)
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		*at = (int) i + 1;
		if (!is_damaged(&inv->damaged[i]))
			s->fates[i] = FATE_STAYS;
	}
	for (size_t i = 0; i < inv->n_items; i++)
	{
		if (inv->items[i].generation >= s->generations)
			s->generations = inv->items[i].generation + 1;
		if (inv->items[i].attempt >= s->attempts)
			s->attempts = (uint16_t) (inv->items[i].attempt + 1);
	}
	return s->fates ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

/* What is referred to, and of which perhaps no header can be read. */
static void
decide_live(struct names *s)
{
	const struct id_set *live = &s->p->live;

	for (size_t i = 0; i < live->cap; i++)
		for (uint32_t g = 0; live->slots[i].key && g < s->generations; g++)
			for (uint16_t a = 0; a < s->attempts; a++)
				decide_all(s, (uint8_t) live->slots[i].key[0], live->slots[i].key + 1, g, a, s->p->repo->admin.map.n, FATE_STAYS);
}

static bool
all_asked(const struct prune *p)
{
	int			asked = 0;

	for (int i = 0; i < p->repo->n_providers; i++)
		asked += p->v.inv.asked[i];
	return asked == p->repo->n_providers && asked >= p->repo->admin.map.n;
}

static bool
nobodys(struct prune *p, const struct sov_damaged *d)
{
	struct sov_object_stat st;

	return all_asked(p) && d->name[0] != SOV_CLASS_WAL &&
		repo_stat(p->repo, d->provider, d->name, &st, NULL) == SOV_OK && st.mtime_us > 0 &&
		prune_orphan_goes(p, (uint8_t) d->name[0], prune_written_us(p, d->provider, st.mtime_us));
}

enum sov_code
prune_unreadable(struct prune *p, const bool *goes, bool *unreadable_goes, struct sov_error *err)
{
	const struct sov_inventory *inv = &p->v.inv;
	struct names s = {0};
	enum sov_code rc;

	if (inv->n_damaged == 0)
		return SOV_OK;
	rc = open_names(&s, p, err);
	for (size_t i = 0; rc == SOV_OK && i < inv->n_items; i++)
		decide_all(&s, inv->items[i].class_, inv->items[i].id, inv->items[i].generation, inv->items[i].attempt,
				   inv->items[i].n, goes[i] ? FATE_GOES : FATE_STAYS);
	if (rc == SOV_OK)
		decide_live(&s);
	for (size_t i = 0; rc == SOV_OK && i < inv->n_damaged; i++)
	{
		unreadable_goes[i] = s.fates[i] == FATE_GOES || (s.fates[i] == FATE_UNKNOWN && nobodys(p, &inv->damaged[i]));
		p->res->unreadable += unreadable_goes[i];
	}
	id_set_free(&s.set);
	free(s.fates);
	return rc;
}
