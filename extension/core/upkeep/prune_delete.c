/*
 * prune_delete.c - objects that were chosen (prune.c) are deleted at every provider.
 *
 * Some at once, and by rank: packs before pieces, pieces before manifests, what is
 * sealed in a run before the run, so that what a crash leaves is found again.
 *
 * What a provider keeps under lock is deleted nowhere.  So providers that lock are asked
 * first; where there are several, all of them are asked whether they would let it go
 * before the first one does: a lock may end sooner at one than at another.  Which ones
 * lock, the configuration says, or a look at something of each before anything is
 * deleted (a bucket may lock by its own default).  A provider that does not tell is
 * found out by its refusal: that object, of a backup that was withdrawn before, lacks
 * the shards of those that were asked earlier, until a later prune takes the rest.
 * What is only kept out of readers' sight is gone as an object, and so goes everywhere.
 */
#include <stdio.h>
#include <string.h>

#include "prune_private.h"

#define CREW 4					/* objects at once; what is in a run before the run, see rank() */

static void
refused(struct prune *p, int provider, const char *name, const struct sov_error *err)
{
	struct sov_prune_result *res = p->res;

	res->failed++;
	if (res->n_refusals < 8)
		snprintf(res->refusals[res->n_refusals++], sizeof res->refusals[0], "provider %s, object %s: %.180s",
				 p->repo->providers[provider].cfg->name, name, err->message);
}

static enum sov_code
delete_at(struct prune *p, int provider, const char *name, uint64_t size)
{
	struct sov_error why;
	struct sov_object_stat st;
	bool		unseen;
	enum sov_code rc;

	if (provider < 0 || !p->repo->providers[provider].known)
		return SOV_OK;
	rc = p->opt->dry_run ? SOV_OK : repo_remove(p->repo, provider, name, &why);
	if (rc == SOV_E_NOTFOUND)
		rc = SOV_OK;
	unseen = rc == SOV_E_LOCKED && repo_stat(p->repo, provider, name, &st, NULL) == SOV_E_NOTFOUND;
	pthread_mutex_lock(&p->lock);
	if (unseen)
	{
		p->res->locked++;
		rc = SOV_OK;
	}
	else if (rc == SOV_OK)
	{
		p->res->bytes[provider] += size;
		p->res->deleted += !p->opt->dry_run;
	}
	else if (rc == SOV_E_LOCKED)
	{
		p->locks[provider] = true;
		p->res->locked++;
	}
	else
		refused(p, provider, name, &why);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/* A provider that keeps things under lock is asked first.  One look for an object: what
 * others find meanwhile would have a provider asked in neither pass. */
static uint32_t
asked_first(struct prune *p)
{
	uint32_t	first = 0;

	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < p->repo->n_providers; i++)
	{
		const struct sov_provider *handle = p->repo->providers[i].handle;

		if (handle != NULL && (p->locks[i] || handle->ops->caps.locks))
			first |= 1u << i;
	}
	pthread_mutex_unlock(&p->lock);
	return first;
}

static bool
is_in(uint32_t set, int provider)
{
	return provider >= 0 && (set & 1u << provider) != 0;
}

/* Does a lock keep this?  One that cannot be asked is found out by the removal. */
static bool
is_held(struct prune *p, int provider, const char *name)
{
	struct sov_object_stat st;
	bool		held = provider >= 0 && p->repo->providers[provider].known &&
		repo_stat(p->repo, provider, name, &st, NULL) == SOV_OK && st.locked;

	if (held)
	{
		pthread_mutex_lock(&p->lock);
		p->locks[provider] = true;
		pthread_mutex_unlock(&p->lock);
	}
	return held;
}

/* Is one of several providers that lock going to refuse it? */
static bool
is_held_anywhere(struct prune *p, const struct sov_inventory_item *it, uint32_t locking)
{
	bool		held = false;

	if (p->opt->dry_run || (locking & (locking - 1)) == 0)
		return false;
	for (int slot = 0; slot < it->n && !held; slot++)
	{
		struct repo_place place;

		held = repo_place(p->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, NULL) == SOV_OK &&
			((it->have & 1u << slot && is_in(locking, place.now) && is_held(p, place.now, place.name_now)) ||
			 (it->before & 1u << slot && is_in(locking, place.before) && is_held(p, place.before, place.name_before)));
	}
	return held;
}

/* One object of each provider that goes: does a lock keep it there? */
static void
look_for_locks(struct prune *p, const bool *goes)
{
	bool		looked[SOV_MAX_PROVIDERS] = {false};
	int			left = p->opt->dry_run ? 0 : p->repo->n_providers;

	for (size_t i = 0; i < p->v.inv.n_items && left > 0; i++)
		for (int slot = 0; goes[i] && slot < p->v.inv.items[i].n; slot++)
		{
			const struct sov_inventory_item *it = &p->v.inv.items[i];
			struct repo_place place;

			if (!(it->have & 1u << slot) ||
				repo_place(p->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, NULL) != SOV_OK ||
				place.now < 0 || looked[place.now])
				continue;
			looked[place.now] = true;
			left--;
			(void) is_held(p, place.now, place.name_now);
		}
}

static enum sov_code
delete_slot(struct prune *p, const struct sov_inventory_item *it, int slot, uint32_t locking, bool first)
{
	struct repo_place place;
	enum sov_code rc = SOV_OK;

	if (repo_place(p->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, NULL) != SOV_OK)
		return SOV_OK;
	if (it->have & 1u << slot && is_in(locking, place.now) == first)
		rc = delete_at(p, place.now, place.name_now, it->size);
	if (rc != SOV_E_LOCKED && it->before & 1u << slot && is_in(locking, place.before) == first)
		rc = delete_at(p, place.before, place.name_before, it->size);
	/* what is owed to an absent provider is not wanted any more */
	if (rc != SOV_E_LOCKED && !first && !p->opt->dry_run)
		repo_spool_forget(p->repo, place.now >= 0 ? p->repo->providers[place.now].cfg->name : p->repo->admin.map.pos[place.position].alias, place.name_now);
	return rc;
}

static void
delete_item(struct prune *p, const struct sov_inventory_item *it)
{
	uint32_t	locking = asked_first(p);
	char		run[33];
	bool		counted = is_held_anywhere(p, it, locking),
				locked = counted;

	for (int pass = 0; pass < 2 && !locked; pass++)
		for (int slot = 0; slot < it->n && !locked; slot++)
			locked = delete_slot(p, it, slot, locking, pass == 0) == SOV_E_LOCKED;
	if (!locked)
		return;
	sov_hex(run, it->run, 16);
	pthread_mutex_lock(&p->lock);
	p->res->locked += counted;	/* a refusal is counted where it is met */
	(void) id_set_put(&p->locked_runs, SOV_CLASS_RUN, run);
	pthread_mutex_unlock(&p->lock);
}

/* Manifests are the last: as long as one is there, what it names is found. */
static int
rank(const struct prune *p, const struct sov_inventory_item *it)
{
	static const char order[] = {SOV_CLASS_WAL, SOV_CLASS_PACK, SOV_CLASS_META, SOV_CLASS_RUN};

	if (it->class_ == SOV_CLASS_META)
		for (uint32_t i = 0; i < p->all.n; i++)
			if (strcmp(p->all.backups[i].manifest.id, it->id) == 0)
				return 4;
	for (int i = 0; i < 4; i++)
		if (order[i] == it->class_)
			return i;
	return 3;
}

struct sweep
{
	struct prune *p;
	const bool *goes;
	int			rank;
	size_t		next;			/* in the inventory */
	uint64_t	done,
				total;
	bool		cancelled;
};

/* NULL: no more of this rank. */
static const struct sov_inventory_item *
next_item(struct sweep *s)
{
	struct prune *p = s->p;
	const struct sov_inventory_item *it = NULL;

	pthread_mutex_lock(&p->lock);
	s->cancelled = s->cancelled || prune_cancelled(p);
	while (it == NULL && s->next < p->v.inv.n_items && !s->cancelled)
	{
		size_t		i = s->next++;

		if (s->goes[i] && rank(p, &p->v.inv.items[i]) == s->rank &&
			id_set_get(&p->locked_runs, p->v.inv.items[i].class_, p->v.inv.items[i].id) == NULL)
			it = &p->v.inv.items[i];
	}
	if (it != NULL && p->progress && p->progress->update)
		p->progress->update(p->progress->ctx, ++s->done, s->total);
	pthread_mutex_unlock(&p->lock);
	return it;
}

static void
delete_some(int member, void *arg)
{
	struct sweep *s = arg;
	const struct sov_inventory_item *it;

	(void) member;
	while ((it = next_item(s)) != NULL)
		delete_item(s->p, it);
}

enum sov_code
prune_delete(struct prune *p, const bool *goes, const bool *unreadable_goes, struct sov_error *err)
{
	struct sweep s = {.p = p, .goes = goes};

	for (size_t i = 0; i < p->v.inv.n_items; i++)
		s.total += goes[i];
	look_for_locks(p, goes);
	/* a run's shares go after what was sealed in it, a manifest after its pieces */
	for (s.rank = 0; s.rank <= 4 && !s.cancelled; s.rank++)
	{
		s.next = 0;
		sov_parallel(CREW, delete_some, &s);
	}
	if (s.cancelled)
		return prune_stopped(err);
	for (size_t i = 0; i < p->v.inv.n_damaged; i++)
		if (unreadable_goes[i])
			(void) delete_at(p, p->v.inv.damaged[i].provider, p->v.inv.damaged[i].name, p->v.inv.damaged[i].size);
	return SOV_OK;
}

/* --- trials --- */

#define TRIAL_GRACE_US UINT64_C(86400000000)

struct trials
{
	uint64_t	before_us;
	struct sov_buf names;
};

static bool
see_trial(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct trials *t = ctx;

	if (st->mtime_us > 0 && (uint64_t) st->mtime_us < t->before_us)
		sov_write_bytes(&t->names, name, strlen(name) + 1);
	return true;
}

void
prune_trials(struct prune *p)
{
	struct trials t = {.before_us = p->now_us - TRIAL_GRACE_US};

	for (int i = 0; i < p->repo->n_providers; i++)
	{
		if (!p->v.inv.asked[i] || repo_list(p->repo, i, "c/", see_trial, &t, NULL) != SOV_OK || t.names.bad)
			continue;
		for (size_t at = 0; at < t.names.len; at += strlen((char *) t.names.data + at) + 1)
			(void) repo_remove(p->repo, i, (char *) t.names.data + at, NULL);
		t.names.len = 0;
	}
	sov_buf_free(&t.names);
}
