/*
 * wal_mark.c - how far WAL is stored without a gap, and the marks that say so.
 *
 * A mark in a head promises every segment of its timeline up to the one it names:
 * restore and "not found" rely on it.  Files are pushed concurrently and fail one
 * by one, so the tracker knows what is under way, what failed and is still there
 * to be pushed again, and what is held; a mark never passes one of the first two.
 *
 * A promise is per timeline.  A head holds one mark, that of the newest timeline,
 * so segments of an older one that are pushed late are not promised any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal_private.h"

#define MARK_INTERVAL_US INT64_C(60000000)

void
wal_tracker_init(struct wal_tracker *t, const struct sov_repo *repo)
{
	memset(t, 0, sizeof *t);
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->commit_lock, NULL);
	pthread_cond_init(&t->landed, NULL);
	t->cluster = sov_repo_current_cluster(repo);
	(void) sov_repo_mark(repo, 0, &t->marked);
}

static void
forget(struct wal_track *e)
{
	free(e->path);
	memset(e, 0, sizeof *e);
}

/* The repository may have gone over to another cluster meanwhile: what was promised of
 * the one before says nothing.  Under the lock. */
static void
follow_cluster(struct wal_tracker *t, const struct sov_repo *repo)
{
	uint64_t	now;

	pthread_rwlock_rdlock(&repo->priv->map_lock);
	now = sov_repo_current_cluster(repo);
	if (now != t->cluster)
	{
		t->cluster = now;
		memset(&t->marked, 0, sizeof t->marked);
		(void) sov_repo_mark(repo, 0, &t->marked);
	}
	pthread_rwlock_unlock(&repo->priv->map_lock);
}

void
wal_tracker_free(struct wal_tracker *t)
{
	for (int i = 0; i < WAL_TRACKS; i++)
		forget(&t->tracks[i]);
	pthread_cond_destroy(&t->landed);
	pthread_mutex_destroy(&t->commit_lock);
	pthread_mutex_destroy(&t->lock);
}

static bool
promised(const struct wal_tracker *t, const char *name)
{
	return wal_mark_covers(&t->marked, name) || strncmp(t->marked.segment, name, 8) > 0;
}

/* The track of this name, or one to use for it; NULL when all are under way. */
static struct wal_track *
track_for(struct wal_tracker *t, const char *name)
{
	struct wal_track *unused = NULL,
			   *held = NULL;

	for (int i = 0; i < WAL_TRACKS; i++)
	{
		struct wal_track *e = &t->tracks[i];

		if (strcmp(e->name, name) == 0)
			return e;
		if (e->state == TRACK_FREE)
			unused = e;
		else if (e->state == TRACK_HELD && (held == NULL || strcmp(e->name, held->name) < 0))
			held = e;
	}
	if (unused == NULL && held != NULL)
	{
		forget(held);			/* a later one will promise it as well */
		unused = held;
	}
	return unused;
}

enum sov_code
wal_track_begin(struct wal_tracker *t, const struct sov_repo *repo, const char *name, const char *path, struct sov_error *err)
{
	char	   *copy = strdup(path);
	struct wal_track *e;

	if (copy == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	pthread_mutex_lock(&t->lock);
	follow_cluster(t, repo);
	e = track_for(t, name);
	if (e != NULL)
	{
		forget(e);
		snprintf(e->name, sizeof e->name, "%s", name);
		e->path = copy;
		e->state = TRACK_FLYING;
	}
	pthread_mutex_unlock(&t->lock);
	if (e != NULL)
		return SOV_OK;
	free(copy);
	sov_fail(err, SOV_E_STATE, NULL, "%d WAL files are under way or have failed; %s waits for them", WAL_TRACKS, name);
	err->retryable = true;
	return SOV_E_STATE;
}

void
wal_track_end(struct wal_tracker *t, const char *name, const struct wal_header *h, const uint8_t *stream)
{
	pthread_mutex_lock(&t->lock);
	for (int i = 0; i < WAL_TRACKS; i++)
	{
		struct wal_track *e = &t->tracks[i];

		if (e->state != TRACK_FLYING || strcmp(e->name, name) != 0)
			continue;
		e->state = h ? TRACK_HELD : TRACK_FAILED;
		if (h == NULL)
			continue;
		e->end = wal_segment_end(name, h->segment_size);
		memcpy(e->stream, stream, 32);
		t->system_id = h->system_id;
	}
	pthread_cond_broadcast(&t->landed);
	pthread_mutex_unlock(&t->lock);
}

/* What keeps a mark from reaching this segment; under the lock. */
static struct wal_track *
gap_before(struct wal_tracker *t, const char *name)
{
	for (int i = 0; i < WAL_TRACKS; i++)
	{
		struct wal_track *e = &t->tracks[i];

		if (e->state == TRACK_FAILED && access(e->path, F_OK) != 0 && errno == ENOENT)
			forget(e);			/* the server does not keep it: nothing will come */
		if ((e->state == TRACK_FLYING || e->state == TRACK_FAILED) && strncmp(e->name, name, 8) == 0 &&
			strcmp(e->name, name) < 0 && !promised(t, e->name))
			return e;
	}
	return NULL;
}

/* The furthest that can be promised; under the lock. */
static const struct wal_track *
furthest(struct wal_tracker *t)
{
	const struct wal_track *best = NULL;

	for (int i = 0; i < WAL_TRACKS; i++)
	{
		const struct wal_track *e = &t->tracks[i];

		if (e->state == TRACK_HELD && !promised(t, e->name) && (best == NULL || strcmp(e->name, best->name) > 0) &&
			gap_before(t, e->name) == NULL)
			best = e;
	}
	return best;
}

struct mark_change
{
	struct sov_mark mark;
	uint64_t	system_id;
};

static enum sov_code
set_mark(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	struct mark_change *c = ctx;

	(void) repo;
	(void) err;
	if (head->system_id != c->system_id)
		memset(&head->mark, 0, sizeof head->mark);	/* of the cluster before */
	if (head->mark.timeline > c->mark.timeline ||
		(head->mark.timeline == c->mark.timeline && head->mark.lsn > c->mark.lsn))
	{
		c->mark = head->mark;	/* another process is further */
		return SOV_OK;
	}
	c->mark.time_us = (uint64_t) repo_now_us();
	head->mark = c->mark;
	head->timeline = c->mark.timeline;
	head->lsn = c->mark.lsn;
	head->system_id = c->system_id;
	return SOV_OK;
}

/* Once a minute, at once on a new timeline, and when the clock was set back. */
static bool
due(const struct sov_mark *last, uint32_t timeline)
{
	int64_t		age = repo_now_us() - (int64_t) last->time_us;

	return last->segment[0] == '\0' || last->timeline != timeline || age < 0 || age >= MARK_INTERVAL_US;
}

/* Take what is to be promised; false when there is nothing or it is not due. */
static bool
next_mark(struct wal_tracker *t, bool force, struct mark_change *change)
{
	const struct wal_track *e;
	enum sov_wal_kind kind;
	bool		go;

	memset(change, 0, sizeof *change);
	pthread_mutex_lock(&t->lock);
	e = furthest(t);
	if (e != NULL)
	{
		(void) sov_wal_name(e->name, &kind, &change->mark.timeline);
		snprintf(change->mark.segment, sizeof change->mark.segment, "%s", e->name);
		change->mark.lsn = e->end;
		memcpy(change->mark.stream, e->stream, 32);
		change->system_id = t->system_id;
	}
	go = e != NULL && (force || due(&t->marked, change->mark.timeline));
	pthread_mutex_unlock(&t->lock);
	return go;
}

enum sov_code
wal_tracker_mark(struct wal_tracker *t, struct sov_repo *repo, bool force, struct sov_error *err)
{
	struct mark_change change;
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&t->commit_lock);
	if (next_mark(t, force, &change))
	{
		rc = sov_repo_commit(repo, set_mark, &change, err);
		if (rc == SOV_OK)
		{
			pthread_mutex_lock(&t->lock);
			t->marked = change.mark;
			for (int i = 0; i < WAL_TRACKS; i++)
				if (t->tracks[i].state == TRACK_HELD && promised(t, t->tracks[i].name))
					forget(&t->tracks[i]);
			pthread_mutex_unlock(&t->lock);
		}
	}
	pthread_mutex_unlock(&t->commit_lock);
	return rc;
}

enum sov_code
wal_tracker_promise(struct wal_tracker *t, struct sov_repo *repo, const char *name, struct sov_error *err)
{
	for (;;)
	{
		char		gap[32] = "";
		struct wal_track *e;
		bool		done;
		enum sov_code rc;

		pthread_mutex_lock(&t->lock);
		while (!(done = promised(t, name)) && (e = gap_before(t, name)) != NULL && e->state == TRACK_FLYING)
			pthread_cond_wait(&t->landed, &t->lock);
		if (!done && e != NULL)
			snprintf(gap, sizeof gap, "%s", e->name);
		pthread_mutex_unlock(&t->lock);
		if (done)
			return SOV_OK;
		if (gap[0] != '\0')
		{
			sov_fail(err, SOV_E_STATE, "while a provider is missing, WAL is acknowledged in order",
					 "%s is stored, but %s before it is not", name, gap);
			err->retryable = true;
			return SOV_E_STATE;
		}
		rc = wal_tracker_mark(t, repo, true, err);
		if (rc != SOV_OK)
			return rc;
	}
}
