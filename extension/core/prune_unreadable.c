/*
 * prune_unreadable.c - objects whose header does not open, so that nobody can tell
 * what they were.
 *
 * Names are HMACs of what an object is: one whose name is that of no shard of any
 * object that stays belongs to nothing, and goes like any orphan, after its grace
 * and only while nobody holds a lease.  What has the name of such a shard stays:
 * repair writes it anew.
 *
 * An object that is needed and of which not one header opens has names that are not
 * known here; while there is one, nothing of its class goes.  WAL never goes this way.
 */
#include <stdio.h>
#include <string.h>

#include "prune_private.h"

/* Is of every needed object of the class at least one shard readable? */
static bool
all_known(const struct prune *p, uint8_t class_)
{
	for (size_t i = 0; i < p->live.cap; i++)
		if (p->live.slots[i].key && (uint8_t) p->live.slots[i].key[0] == class_ &&
			sov_inventory_find(&p->v.inv, class_, p->live.slots[i].key + 1) == NULL)
			return false;
	return true;
}

static enum sov_code
put_name(struct id_set *names, int provider, const char *name, struct sov_error *err)
{
	if (provider < 0 || name[0] == '\0' || id_set_put(names, (uint8_t) (provider + 1), name))
		return SOV_OK;
	return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

/* Names of all shards of all objects that stay, by provider. */
static enum sov_code
known_names(struct prune *p, const bool *goes, struct id_set *names, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (size_t i = 0; i < p->v.inv.n_items && rc == SOV_OK; i++)
	{
		const struct sov_inventory_item *it = &p->v.inv.items[i];

		for (int slot = 0; slot < it->n && !goes[i] && rc == SOV_OK; slot++)
		{
			struct repo_place place;

			rc = repo_place(p->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, err);
			if (rc == SOV_OK)
				rc = put_name(names, place.now, place.name_now, err);
			if (rc == SOV_OK)
				rc = put_name(names, place.before, place.name_before, err);
		}
	}
	return rc;
}

static bool
is_old(struct prune *p, const struct sov_damaged *d, struct sov_object_stat *st)
{
	uint64_t	written;

	if (repo_stat(p->repo, d->provider, d->name, st, NULL) != SOV_OK || st->mtime_us <= 0)
		return false;
	written = (uint64_t) st->mtime_us;
	return written <= p->now_us && p->now_us - written >= prune_orphan_grace(p, (uint8_t) d->name[0]) * 1000000;
}

enum sov_code
prune_unreadable(struct prune *p, const bool *goes, struct sov_error *err)
{
	static const uint8_t classes[] = {SOV_CLASS_PACK, SOV_CLASS_META, SOV_CLASS_RUN};
	struct id_set names = {0};
	bool		may[256] = {false};
	enum sov_code rc = SOV_OK;

	if (p->v.inv.n_damaged == 0 || p->leased)
		return SOV_OK;
	for (size_t i = 0; i < sizeof classes; i++)
		may[classes[i]] = all_known(p, classes[i]);
	rc = known_names(p, goes, &names, err);
	for (size_t i = 0; i < p->v.inv.n_damaged && rc == SOV_OK; i++)
	{
		const struct sov_damaged *d = &p->v.inv.damaged[i];
		struct sov_object_stat st;

		if (!may[(uint8_t) d->name[0]] || id_set_get(&names, (uint8_t) (d->provider + 1), d->name) != NULL || !is_old(p, d, &st))
			continue;
		p->res->unreadable++;
		prune_delete(p, d->provider, d->name, st.size);
	}
	id_set_free(&names);
	return rc;
}
