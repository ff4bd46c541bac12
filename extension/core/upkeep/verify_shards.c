/*
 * verify_shards.c - is every shard of every object where it must be, and are its bytes
 * right?  What is not is rebuilt from k others where asked for.
 *
 * Objects are looked at by several threads, since providers are far away: what one
 * finds about an object is gathered without a lock and told under it, together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verify_private.h"

#define CREW 4					/* objects at once: bounds memory */

struct finding
{
	enum sov_problem_kind kind;
	int			slot;
	bool		mended;
	const char *provider;
	char		object[SOV_NAME_MAX];
	char		message[256];
	char		why[VERIFY_WHY];	/* why it was not mended, or "" */
};

struct checking					/* one object */
{
	struct verify *v;
	const struct sov_inventory_item *it;
	int			good;			/* shards that a restore can use now */
	bool		older;			/* they are too few, and older versions give it */
	uint64_t	shards,
				bytes_read;
	uint64_t	checked[SOV_MAX_PROVIDERS],
				mended_bytes[SOV_MAX_PROVIDERS];
	int			n;
	struct finding findings[SOV_MAX_PROVIDERS];
};

/* --- one shard --- */

static bool
mend_slot(struct checking *c, int slot, const struct repo_place *place, char why[VERIFY_WHY])
{
	const struct sov_inventory_item *it = c->it;
	struct sov_repo *repo = c->v->repo;
	struct sov_buf object = {0};
	struct sov_error err;
	bool		mended;

	if (!c->v->opt->repair || place->now < 0 || !repo->providers[place->now].known)
		return false;
	mended = sov_repo_rebuild(repo, it->class_, it->id, it->generation, it->attempt, (uint8_t) slot, &object, &err) == SOV_OK &&
		verify_put_back(c->v, place->now, place->name_now, &object, why);
	sov_buf_free(&object);
	return mended;
}

/* True: it was mended. */
static bool
found(struct checking *c, enum sov_problem_kind kind, int slot, const struct repo_place *place, const char *message)
{
	struct finding *f = &c->findings[c->n++];

	f->kind = kind;
	f->slot = slot;
	f->provider = place->now >= 0 ? c->v->repo->providers[place->now].cfg->name : place->pos->alias;
	snprintf(f->object, sizeof f->object, "%s", place->name_now);
	snprintf(f->message, sizeof f->message, "%s", message);
	f->why[0] = '\0';
	f->mended = mend_slot(c, slot, place, f->why);
	return f->mended;
}

static int
compare_names(const void *key, const void *member)
{
	const struct sov_damaged *a = key,
			   *b = member;

	return a->provider != b->provider ? (a->provider < b->provider ? -1 : 1) : strcmp(a->name, b->name);
}

const struct sov_damaged *
verify_find_damaged(struct verify *v, int provider, const char *name)
{
	struct sov_damaged key = {.provider = provider};
	struct sov_damaged *d;

	if (v->inv.n_damaged == 0)
		return NULL;
	snprintf(key.name, sizeof key.name, "%s", name);
	d = bsearch(&key, v->inv.damaged, v->inv.n_damaged, sizeof key, compare_names);
	if (d != NULL)
		v->damaged_used[d - v->inv.damaged] = true;
	return d;
}

/* Read one shard whole and check every byte. */
static enum sov_code
check_bytes(struct checking *c, int slot, const struct repo_place *place, struct sov_error *err)
{
	struct verify *v = c->v;
	const struct sov_inventory_item *it = c->it;
	struct sov_buf raw = {0};
	struct sov_shard_info info;
	struct sov_run_share *share;
	const uint8_t *body;
	enum sov_code rc = repo_get(v->repo, place->now, place->name_now, 0, UINT64_MAX, &raw, err);

	c->bytes_read += raw.len;
	if (rc == SOV_OK && it->class_ == SOV_CLASS_RUN)
	{
		share = sov_secret_alloc(sizeof *share, err);
		rc = share ? sov_run_share_parse(v->repo->keys, raw.data, raw.len, share, err) : SOV_E_NOMEM;
		if (rc == SOV_OK && (share->slot != slot || memcmp(share->run, it->run, 16) != 0))
			rc = sov_fail(err, SOV_E_AUTH, NULL, "another run's share lies here");
		sov_secret_free(share);
	}
	else if (rc == SOV_OK)
	{
		rc = sov_shard_verify(v->repo->keys, raw.data, raw.len, &info, &body, err);
		if (rc == SOV_OK && !sov_inventory_is(it, slot, &info))
			rc = sov_fail(err, SOV_E_AUTH, NULL, "another shard lies here");
	}
	sov_buf_free(&raw);
	return rc;
}

static bool
drawn(const struct verify *v)
{
	uint32_t	r = 0;

	if (v->sample_rate >= 1)
		return true;
	if (v->sample_rate <= 0 || sov_random(&r, sizeof r, NULL) != SOV_OK)
		return false;
	return r / 4294967296.0 < v->sample_rate;
}

/* It is there, by its header. */
static void
check_present(struct checking *c, int slot, const struct repo_place *place)
{
	struct sov_error err;
	enum sov_code rc = SOV_OK;

	c->shards++;
	if (drawn(c->v))
	{
		c->checked[place->now]++;
		rc = check_bytes(c, slot, place, &err);
	}
	if (rc == SOV_OK)
		c->good++;
	else if (rc != SOV_E_PROVIDER)
		c->good += found(c, rc == SOV_E_NOTFOUND ? SOV_PROBLEM_MISSING : SOV_PROBLEM_DAMAGED, slot, place, err.message);
}

static void
check_slot(struct checking *c, int slot)
{
	struct verify *v = c->v;
	const struct sov_inventory_item *it = c->it;
	struct repo_place place;
	struct sov_object_stat st;
	struct sov_error err;
	const struct sov_damaged *d;

	if (repo_place(v->repo, it->class_, it->id, it->generation, (uint8_t) slot, it->attempt, &place, &err) != SOV_OK)
		return;
	if (it->have & 1u << slot)
	{
		check_present(c, slot, &place);
		return;
	}
	if (it->before & 1u << slot)
	{
		c->good++;				/* still being moved */
		return;
	}
	if (place.now < 0 || !v->inv.asked[place.now])
		return;					/* out of reach: not counted, not missing for sure */
	d = verify_find_damaged(v, place.now, place.name_now);
	/* It may have come since this provider was listed: archiving goes on. */
	if (d == NULL && repo_stat(v->repo, place.now, place.name_now, &st, NULL) == SOV_OK)
	{
		c->shards++;
		c->good++;
		return;
	}
	if (found(c, d ? SOV_PROBLEM_DAMAGED : SOV_PROBLEM_MISSING, slot, &place, d ? d->message : "it is not there"))
	{
		c->good++;
		c->mended_bytes[place.now] += d == NULL ? it->size : 0;
	}
	else
		c->good += repo_spool_has(v->repo, v->repo->providers[place.now].cfg->name, place.name_now);
}

/* --- which objects --- */

static bool
wal_needed(struct verify *v, const char *id)
{
	uint64_t	system_id;

	return v->backups == NULL || !wal_needed_of(v->repo, v->backups, v->cat.n, id, &v->wal) ||
		wal_needed_has(&v->wal, sov_wal_file_name(v->repo, id, &system_id));
}

/* Nothing refers to it, as far as that is known. */
static bool
unused(const struct verify *v, const struct sov_inventory_item *it)
{
	return v->used_known && id_set_get(&v->used, it->class_, it->id) == NULL;
}

/* What a killed backup or a prune left half-way (it was killed, or a provider was
 * away or keeps what is locked): nothing needs it, a prune sweeps it. */
static bool
left_over(struct verify *v, const struct sov_inventory_item *it)
{
	int			have = __builtin_popcount(it->have);

	if (!v->used_known || have == it->n)
		return false;
	if (it->class_ == SOV_CLASS_WAL)
		return have < it->k && !wal_needed(v, it->id);
	return !(it->class_ == SOV_CLASS_META && have >= it->k) && unused(v, it);
}

/* Runs of WAL, and of metadata that something refers to; those of packs, and packs,
 * are known from backups. */
static void
mark_runs(struct verify *v)
{
	char		run[33];
	bool		first;

	for (size_t i = 0; i < v->inv.n_items; i++)
	{
		const struct sov_inventory_item *it = &v->inv.items[i],
				   *r;

		if (!(it->class_ == SOV_CLASS_WAL && !left_over(v, it)) && !(it->class_ == SOV_CLASS_META && !unused(v, it)))
			continue;
		sov_hex(run, it->run, 16);
		(void) id_set_put(&v->used, SOV_CLASS_RUN, run);
		r = sov_inventory_find(&v->inv, SOV_CLASS_RUN, run);
		if (r == NULL || __builtin_popcount(r->have | r->before) < r->k)
			(void) verify_given(v, SOV_CLASS_RUN, run, r, "run of WAL or metadata", &first);
	}
}

/* --- all of them --- */

/* With the lock held.  What was read ahead of the rate is not shown yet: large objects
 * are read at once, and then waited for. */
static void
show(struct verify *v)
{
	uint64_t	rate = v->opt->max_rate,
				may = rate ? (uint64_t) ((double) (repo_mono_us() - v->started_us) / 1e6 * (double) rate) : 0,
				ahead = rate && v->res->bytes_read > may ? v->res->bytes_read - may : 0;

	if (v->done > ahead && v->done - ahead > v->shown)
		v->shown = v->done - ahead;
	if (v->progress && v->progress->update)
		v->progress->update(v->progress->ctx, v->shown, v->total);
}

/* With the lock held. */
static void
tell(struct checking *c)
{
	struct verify *v = c->v;
	const struct sov_inventory_item *it = c->it;
	char		what[SOV_ID_MAX + 40],
				message[160];

	v->res->objects++;
	v->res->shards += c->shards;
	v->res->bytes_read += c->bytes_read;
	for (int i = 0; i < v->repo->n_providers; i++)
	{
		v->checked[i] += c->checked[i];
		v->repo->priv->counted_bytes[i] += c->mended_bytes[i];
	}
	for (int i = 0; i < c->n; i++)
	{
		const struct finding *f = &c->findings[i];

		snprintf(what, sizeof what, "%s %s slot %d", verify_class_word(it->class_), it->id, f->slot);
		snprintf(v->why_not, sizeof v->why_not, "%s", f->why);
		verify_report(v, f->kind, f->provider, f->object, what, f->message, f->mended);
	}
	if (c->older)
		v->res->tolerates = v->res->tolerates < 0 ? v->res->tolerates : 0;
	else if (c->good - it->k < v->res->tolerates)
		v->res->tolerates = c->good - it->k;
	if (c->good < it->k && !c->older)
	{
		snprintf(what, sizeof what, "%s %s", verify_class_word(it->class_), it->id);
		snprintf(message, sizeof message, "%d good shards within reach, %d are needed", c->good, it->k);
		verify_lost(v, it->class_, it->id, what, message);
	}
	v->done += it->size * it->n;
	show(v);
}

/* With the lock held; NULL: no more. */
static const struct sov_inventory_item *
next_object(struct verify *v)
{
	while (v->next < v->inv.n_items && !v->cancelled)
	{
		const struct sov_inventory_item *it = &v->inv.items[v->next++];

		v->cancelled = verify_cancelled(v, NULL);
		/* What a killed push left half-way, and a later attempt made good. */
		if (__builtin_popcount(it->have) < it->n && sov_inventory_find(&v->inv, it->class_, it->id) != it)
			continue;
		if (!v->cancelled && !left_over(v, it))
			return it;
	}
	return NULL;
}

/* Reads no faster than it may. */
static void
keep_rate(struct verify *v)
{
	int64_t		due;
	bool		wait = true;

	while (wait)
	{
		pthread_mutex_lock(&v->lock);
		due = repo_due_us(v->started_us, v->res->bytes_read, v->opt->max_rate);
		v->cancelled = v->cancelled || verify_cancelled(v, NULL);
		wait = repo_mono_us() < due && !v->cancelled;
		show(v);
		pthread_mutex_unlock(&v->lock);
		if (wait)
			usleep(10000);
	}
}

static void
check_some(int member, void *arg)
{
	struct verify *v = arg;
	struct checking *c = malloc(sizeof *c);

	(void) member;
	pthread_mutex_lock(&v->lock);
	v->nomem = v->nomem || c == NULL;
	while (c != NULL)
	{
		memset(c, 0, sizeof *c);
		c->v = v;
		if ((c->it = next_object(v)) == NULL)
			break;
		pthread_mutex_unlock(&v->lock);
		for (int slot = 0; slot < c->it->n; slot++)
			check_slot(c, slot);
		c->older = c->good < c->it->k && verify_older(v, c->it->class_, c->it->id, c->it->generation, c->it->attempt);
		pthread_mutex_lock(&v->lock);
		tell(c);
		pthread_mutex_unlock(&v->lock);
		keep_rate(v);
		pthread_mutex_lock(&v->lock);
	}
	pthread_mutex_unlock(&v->lock);
	free(c);
}

enum sov_code
verify_shards(struct verify *v, struct sov_error *err)
{
	mark_runs(v);
	sov_parallel(CREW, check_some, v);
	if (v->cancelled)
		return sov_fail(err, SOV_E_CANCELLED, "run it again: what was mended stays mended", "cancelled");
	if (v->nomem)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	/* Damaged objects that belong to no object we know: nothing to mend. */
	for (size_t i = 0; i < v->inv.n_damaged; i++)
		if (!v->damaged_used[i])
			verify_report(v, SOV_PROBLEM_DAMAGED, v->repo->providers[v->inv.damaged[i].provider].cfg->name,
				   v->inv.damaged[i].name, "of no object that is left; when nothing needs it, prune sweeps it", v->inv.damaged[i].message, false);
	return SOV_OK;
}
