/*
 * repo_commit.c - committing: this host's chain, and the administrator's.
 *
 * A commit is: lock; take the newest head (memory, local state, and whatever a
 * crash of ours left at the providers one number further); change a copy; sign;
 * keep it locally as the one under way; put it everywhere under its number;
 * success at n-k+1 of n providers; then the local state.  A head that reached
 * fewer is completed by the next commit, so that nothing acknowledged depends on
 * it and nothing is forked.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "repo_private.h"
#include "sov_audit.h"

/* --- put whole objects everywhere --- */

struct everywhere
{
	struct sov_repo *repo;
	const char *name;
	const struct sov_buf *object;
	bool		if_absent;
	bool		takes_part[SOV_MAX_PROVIDERS];
	bool		done[SOV_MAX_PROVIDERS];	/* it took it, or has another one */
	enum sov_code rc[SOV_MAX_PROVIDERS];
	struct sov_error err[SOV_MAX_PROVIDERS];
};

/* Who opens the repository meanwhile writes back, where it is missing, what it saw
 * at the first provider that took it. */
static bool
has_these_bytes(const struct everywhere *e, int i)
{
	struct sov_buf there = {0};
	bool		same = repo_get(e->repo, i, e->name, 0, UINT64_MAX, &there, NULL) == SOV_OK &&
		there.len == e->object->len && memcmp(there.data, e->object->data, there.len) == 0;

	sov_buf_free(&there);
	return same;
}

static void
put_one(int i, void *arg)
{
	struct everywhere *e = arg;
	struct sov_put_span span = {e->object->data, e->object->len};

	if (e->done[i])
		return;
	e->rc[i] = SOV_E_PROVIDER;
	if (!e->takes_part[i])
		sov_fail(&e->err[i], SOV_E_PROVIDER, NULL, "provider %s is not there", e->repo->providers[i].cfg->name);
	else
		e->rc[i] = repo_put(e->repo, i, e->name, &span, 1, e->if_absent, &e->err[i]);
	if (e->rc[i] == SOV_E_EXISTS && has_these_bytes(e, i))
		e->rc[i] = SOV_OK;
	e->done[i] = e->rc[i] == SOV_OK || e->rc[i] == SOV_E_EXISTS;
}

static bool
in_map(const struct sov_map *map, const uint8_t uuid[16])
{
	for (int p = 0; p < map->n; p++)
		if (memcmp(map->pos[p].uuid, uuid, 16) == 0)
			return true;
	return false;
}

static int
need_by(const struct sov_map *map)
{
	return map->n > 0 ? map->n - map->k + 1 : 0;
}

static void
count_takers(const struct everywhere *e, struct repo_count *count)
{
	struct sov_repo *repo = e->repo;

	*count = (struct repo_count) {0, 0};
	pthread_rwlock_rdlock(&repo->priv->map_lock);
	for (int i = 0; i < repo->n_providers; i++)
	{
		count->now += e->rc[i] == SOV_OK && in_map(&repo->admin.map, repo->providers[i].uuid);
		count->was += e->rc[i] == SOV_OK && in_map(&repo->admin.was, repo->providers[i].uuid);
	}
	pthread_rwlock_unlock(&repo->priv->map_lock);
}

/* When too few take it, those are asked that were only waited for.
 * *count: providers of the current map (not the previous ones of positions
 * being moved) that took it, and while k and n change those of the map before.  SOV_E_EXISTS when one has another object of that
 * name already. */
enum sov_code
repo_put_everywhere(struct sov_repo *repo, const char *name, const struct sov_buf *object,
					bool if_absent, struct repo_count *count, struct sov_error *err)
{
	struct everywhere *e = calloc(1, sizeof *e);
	int64_t		began_us = repo_mono_us();
	enum sov_code rc = SOV_OK;

	*count = (struct repo_count) {0, 0};
	if (e == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	e->repo = repo;
	e->name = name;
	e->object = object;
	e->if_absent = if_absent;
	pthread_rwlock_rdlock(&repo->priv->map_lock);
	for (int i = 0; i < repo->n_providers; i++)
		e->takes_part[i] = repo_takes_part(repo, i);
	pthread_rwlock_unlock(&repo->priv->map_lock);
	sov_parallel(repo->n_providers, put_one, e);
	count_takers(e, count);
	if ((count->now < need_by(&repo->admin.map) || count->was < need_by(&repo->admin.was)) && repo_ask_again(repo, began_us))
	{
		sov_parallel(repo->n_providers, put_one, e);
		count_takers(e, count);
	}
	for (int i = 0; i < repo->n_providers; i++)
		if (e->rc[i] == SOV_E_EXISTS)
			rc = sov_fail(err, SOV_E_EXISTS, NULL, "provider %s has %s already", repo->providers[i].cfg->name, name);
	if (rc == SOV_OK && count->now == 0)
	{
		rc = SOV_E_QUORUM;
		for (int i = 0; i < repo->n_providers; i++)
			if (e->rc[i] != SOV_OK && err)
				*err = e->err[i];
	}
	free(e);
	return rc;
}

/* A committed head is owed to the providers that did not take it. */
static void
owe_missing(struct sov_repo *repo, const char *name, const struct sov_buf *object)
{
	struct sov_put_span span = {object->data, object->len};
	struct sov_object_stat st;
	bool		kept;

	for (int p = 0; p < repo->admin.map.n; p++)
	{
		int			i = sov_repo_provider_of(repo, repo->admin.map.pos[p].uuid);

		if (i < 0 || (repo->providers[i].known && repo_stat(repo, i, name, &st, NULL) == SOV_OK))
			continue;
		repo_spool_put(repo, repo->providers[i].cfg->name, name, &span, 1, NULL, &kept);
	}
}

/* By both maps where there are two: whoever knows only the older one must see it too. */
enum sov_code
repo_quorum(struct sov_repo *repo, const struct repo_count *count, const char *what, struct sov_error *err)
{
	const struct sov_map *map = &repo->admin.map;
	int			reached = count->now;
	char		down[400];

	if (count->now >= need_by(map) && count->was >= need_by(&repo->admin.was))
		return SOV_OK;
	if (count->now >= need_by(map))
	{
		map = &repo->admin.was;
		reached = count->was;
	}
	repo_provider_down_list(repo, down, sizeof down);
	sov_fail(err, SOV_E_QUORUM, "bring a provider back, or replace it in the configuration and run 'pg_sovereign apply'",
			 "%s reached %d of %d providers, and counts only from %d on: %s", what, reached, map->n, need_by(map), down);
	if (err)
		err->retryable = true;
	return SOV_E_QUORUM;
}

enum sov_code
repo_put_counted(struct sov_repo *repo, const char *name, const struct sov_buf *object, const char *what, struct sov_error *err)
{
	struct repo_count count;
	enum sov_code rc = repo_put_everywhere(repo, name, object, true, &count, err);

	if (rc == SOV_OK)
		rc = repo_quorum(repo, &count, what, err);
	if (rc == SOV_OK && count.now < repo->admin.map.n)
		owe_missing(repo, name, object);
	return rc;
}

/* Later than what it follows, unless that was dated by a clock gone wrong. */
static uint64_t
next_time(uint64_t before)
{
	uint64_t	now = (uint64_t) repo_now_us();

	return now > before || before > now + REPO_FUTURE_LIMIT_US ? now : before + 1;
}

/* --- heads under way ---
 *
 * A head is kept in the local state ("head.next", "admin.next") before any
 * provider gets it.  When it reaches too few of them, the next commit brings
 * the very same bytes to the others: a second, different head of that number
 * would look like a cloned host as soon as the first one's holders are back.
 */

static void
state_path(const struct sov_repo *repo, const char *name, char *path, size_t cap)
{
	snprintf(path, cap, "%s/%s", repo->cfg.state_directory, name);
}

/* Bring these bytes everywhere; another good object of that name is a conflict,
 * which only the caller can tell. */
static enum sov_code
spread(struct sov_repo *repo, const char *name, const struct sov_buf *object,
	   bool (*good) (struct sov_repo *repo, const uint8_t *p, size_t len), struct sov_error *err)
{
	struct sov_buf there = {0};
	struct repo_count count;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
	{
		there.len = 0;
		if (!repo->providers[i].known || repo_get(repo, i, name, 0, UINT64_MAX, &there, NULL) != SOV_OK)
			continue;
		if ((there.len != object->len || memcmp(there.data, object->data, there.len) != 0) && good(repo, there.data, there.len))
			rc = sov_fail(err, SOV_E_CONFLICT, "a host was cloned with its state directory: stop one of the two and give it a state directory of its own",
						  "provider %s has another %s than this host made", repo->providers[i].cfg->name, name);
	}
	sov_buf_free(&there);
	if (rc == SOV_OK)
		rc = repo_put_everywhere(repo, name, object, false, &count, err);
	if (rc == SOV_OK)
		rc = repo_quorum(repo, &count, "completing an interrupted commit", err);
	if (rc == SOV_OK && count.now < repo->admin.map.n)
		owe_missing(repo, name, object);
	return rc;
}

/* --- a writer's chain --- */

static struct sov_head *
own_head(struct sov_repo *repo)
{
	for (int i = 0; i < repo->n_heads; i++)
		if (repo->heads[i].writer == repo->priv->writer)
			return &repo->heads[i];
	return NULL;
}

static enum sov_code
keep_head(struct sov_repo *repo, const struct sov_head *head, struct sov_error *err)
{
	struct sov_head *own = own_head(repo);

	if (own == NULL)
	{
		if (repo->n_heads == 64)
			return sov_fail(err, SOV_E_STATE, NULL, "64 writers are enrolled, and no more can be");
		own = &repo->heads[repo->n_heads++];
	}
	*own = *head;
	return SOV_OK;
}

static void
head_file(const struct sov_repo *repo, char *path, size_t cap)
{
	snprintf(path, cap, "%s/head", repo->cfg.state_directory);
}

/* The local copy of our newest head, if it is newer than what is in memory
 * (another process of this host committed). */
static enum sov_code
take_local_head(struct sov_repo *repo, struct sov_head *local, bool *have, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf file = {0};
	enum sov_code rc;

	head_file(repo, path, sizeof path);
	*have = false;
	rc = repo_read_file(path, &file, err);
	if (rc == SOV_E_NOTFOUND)
		return SOV_OK;
	if (rc == SOV_OK)
		rc = sov_head_decode(repo->keys, file.data, file.len, repo->priv->writer_pub, local, err);
	sov_buf_free(&file);
	*have = rc == SOV_OK && local->writer == repo->priv->writer;
	return rc;
}

enum sov_code
repo_head_anchor(struct sov_repo *repo, struct sov_head *local, bool *have, struct sov_error *err)
{
	enum sov_code rc = repo_load_writer(repo, have, err);

	return rc == SOV_OK && *have ? take_local_head(repo, local, have, err) : rc;
}

enum sov_code
repo_check_head_anchor(struct sov_repo *repo, const struct sov_head *local, struct sov_error *err)
{
	const struct sov_head *own = own_head(repo);

	if (own == NULL || own->seq < local->seq || (own->seq == local->seq && memcmp(own->hash, local->hash, 32) != 0))
		return sov_fail(err, SOV_E_CONFLICT, "the providers were set back, or lie; if you set them back yourself, remove the file 'head' from the state directory",
						"this host has committed head %" PRIu64 ", the providers show %" PRIu64, local->seq, own ? own->seq : 0);
	return SOV_OK;
}

/* Is there a head of ours one number further, left by a crash?  Adopt it. */
static enum sov_code
adopt_head(struct sov_repo *repo, struct sov_head *base, bool *adopted, struct sov_error *err)
{
	char		name[SOV_NAME_MAX],
				path[1200];
	struct sov_buf object = {0};
	struct sov_head next;
	struct repo_count count;
	enum sov_code rc = SOV_OK;

	*adopted = false;
	snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, repo->priv->writer, base->seq + 1);
	for (int i = 0; i < repo->n_providers && !*adopted && rc == SOV_OK; i++)
	{
		object.len = 0;
		if (!repo->providers[i].known || repo_get(repo, i, name, 0, UINT64_MAX, &object, NULL) != SOV_OK ||
			sov_head_decode(repo->keys, object.data, object.len, repo->priv->writer_pub, &next, NULL) != SOV_OK ||
			next.writer != repo->priv->writer || next.seq != base->seq + 1)
			continue;
		if (memcmp(next.prev, base->hash, 32) != 0)
			rc = sov_fail(err, SOV_E_CONFLICT, "a host was cloned with its state directory: stop one of the two and give it a state directory of its own",
						  "provider %s shows a head %s that does not follow from this host's", repo->providers[i].cfg->name, name);
		*adopted = rc == SOV_OK;
	}
	if (*adopted)
	{
		rc = repo_put_everywhere(repo, name, &object, false, &count, err);
		if (rc == SOV_OK)
			rc = repo_quorum(repo, &count, "completing an interrupted commit", err);
		head_file(repo, path, sizeof path);
		if (rc == SOV_OK)
			rc = repo_write_file(path, object.data, object.len, err);
		if (rc == SOV_OK)
			*base = next;
	}
	sov_buf_free(&object);
	return rc;
}

static bool
good_own_head(struct sov_repo *repo, const uint8_t *p, size_t len)
{
	struct sov_head head;

	return sov_head_decode(repo->keys, p, len, repo->priv->writer_pub, &head, NULL) == SOV_OK;
}

/* Complete the head that an earlier commit left under way, if it follows base. */
static enum sov_code
complete_head(struct sov_repo *repo, struct sov_head *base, struct sov_error *err)
{
	char		path[1200],
				name[SOV_NAME_MAX];
	struct sov_buf object = {0};
	struct sov_head next;
	enum sov_code rc;

	state_path(repo, "head.next", path, sizeof path);
	rc = repo_read_file(path, &object, err);
	if (rc == SOV_E_NOTFOUND ||
		(rc == SOV_OK && (sov_head_decode(repo->keys, object.data, object.len, repo->priv->writer_pub, &next, NULL) != SOV_OK ||
						  next.writer != repo->priv->writer || next.seq != base->seq + 1 || memcmp(next.prev, base->hash, 32) != 0)))
	{
		sov_buf_free(&object);	/* none, or done long ago */
		return SOV_OK;
	}
	snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, next.writer, next.seq);
	if (rc == SOV_OK)
		rc = spread(repo, name, &object, good_own_head, err);
	head_file(repo, path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	if (rc == SOV_OK)
		*base = next;
	sov_buf_free(&object);
	return rc;
}

/* The newest head to build on. */
static enum sov_code
base_head(struct sov_repo *repo, struct sov_head *base, struct sov_error *err)
{
	struct sov_head local,
			   *own = own_head(repo);
	bool		have,
				adopted = true;
	enum sov_code rc;

	memset(base, 0, sizeof *base);
	base->writer = repo->priv->writer;
	if (own)
		*base = *own;
	rc = take_local_head(repo, &local, &have, err);
	if (rc == SOV_OK && have && local.seq > base->seq)
		*base = local;
	if (rc == SOV_OK)
		rc = complete_head(repo, base, err);
	while (rc == SOV_OK && adopted)
		rc = adopt_head(repo, base, &adopted, err);
	return rc;
}

static enum sov_code
write_head(struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	char		name[SOV_NAME_MAX],
				path[1200];
	struct sov_buf object = {0};
	enum sov_code rc = sov_head_encode(repo->keys, head, repo->priv->seed, &object, err);

	snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, head->writer, head->seq);
	state_path(repo, "head.next", path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	if (rc == SOV_OK)
		rc = repo_put_counted(repo, name, &object, "the commit", err);
	head_file(repo, path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	sov_buf_free(&object);
	return rc;
}

static enum sov_code
commit_locked(struct sov_repo *repo, sov_head_change_fn change, void *ctx, struct sov_error *err)
{
	struct sov_head *head = malloc(sizeof *head);
	enum sov_code rc;

	if (head == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = base_head(repo, head, err);
	if (rc == SOV_OK)
		rc = change(ctx, repo, head, err);
	if (rc == SOV_OK)
	{
		memcpy(head->prev, head->hash, 32);
		head->seq++;
		head->admin_seq = repo->admin.seq;
		head->time_us = next_time(head->time_us);
		sov_audit_stamp(repo, head);
		rc = write_head(repo, head, err);
	}
	if (rc == SOV_OK)
		rc = keep_head(repo, head, err);
	free(head);
	return rc;
}

enum sov_code
sov_repo_commit(struct sov_repo *repo, sov_head_change_fn change, void *ctx, struct sov_error *err)
{
	int			fd;
	enum sov_code rc;

	pthread_mutex_lock(&repo->priv->commit_lock);
	rc = repo_lock_file(repo, "writer.lock", &fd, err);
	if (rc == SOV_OK)
	{
		rc = repo_need_writer(repo, err);
		if (rc == SOV_OK)
			rc = commit_locked(repo, change, ctx, err);
		close(fd);
	}
	pthread_mutex_unlock(&repo->priv->commit_lock);
	return rc;
}

/* --- the administrator's chain --- */

static enum sov_code
write_admin(struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	char		name[SOV_NAME_MAX],
				path[1200];
	struct sov_buf object = {0};
	enum sov_code rc = sov_admin_encode(repo->keys, head, &object, err);

	snprintf(name, sizeof name, "a/%016" PRIx64, head->seq);
	state_path(repo, "admin.next", path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	if (rc == SOV_OK)
		rc = repo_put_counted(repo, name, &object, "the change of the repository", err);
	if (rc == SOV_E_EXISTS)
		sov_fail(err, SOV_E_CONFLICT, "run the command again", "another host changed the repository at the same moment");
	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	if (rc == SOV_OK)
	{
		repo->priv->admin_object.len = 0;
		sov_write_bytes(&repo->priv->admin_object, object.data, object.len);
	}
	sov_buf_free(&object);
	return rc == SOV_E_EXISTS ? SOV_E_CONFLICT : rc;
}

static bool
good_admin_head(struct sov_repo *repo, const uint8_t *p, size_t len)
{
	struct sov_admin_head *head = calloc(1, sizeof *head);
	bool		good = head && sov_admin_decode(repo->keys, p, len, head, NULL) == SOV_OK;

	if (good)
		sov_admin_head_free(head);
	free(head);
	return good;
}

/* The newest state, after completing what an earlier commit left under way. */
static enum sov_code
read_and_complete_admin(struct sov_repo *repo, struct sov_error *err)
{
	char		path[1200],
				name[SOV_NAME_MAX];
	struct sov_buf object = {0};
	struct sov_admin_head *next = calloc(1, sizeof *next);
	bool		under_way;
	enum sov_code rc = next ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	pthread_rwlock_wrlock(&repo->priv->map_lock);
	if (rc == SOV_OK)
		rc = repo_read_admin(repo, err);	/* another process may have committed */
	pthread_rwlock_unlock(&repo->priv->map_lock);
	state_path(repo, "admin.next", path, sizeof path);
	under_way = rc == SOV_OK && repo_read_file(path, &object, NULL) == SOV_OK &&
		sov_admin_decode(repo->keys, object.data, object.len, next, NULL) == SOV_OK &&
		next->seq == repo->admin.seq + 1 && memcmp(next->prev, repo->admin.hash, 32) == 0;
	if (under_way)
	{
		snprintf(name, sizeof name, "a/%016" PRIx64, next->seq);
		rc = spread(repo, name, &object, good_admin_head, err);
		pthread_rwlock_wrlock(&repo->priv->map_lock);
		if (rc == SOV_OK)
			rc = repo_read_admin(repo, err);
		pthread_rwlock_unlock(&repo->priv->map_lock);
	}
	if (next)
		sov_admin_head_free(next);
	free(next);
	sov_buf_free(&object);
	return rc;
}

enum sov_code
repo_complete_admin(struct sov_repo *repo, struct sov_error *err)
{
	int			fd;
	enum sov_code rc = repo_lock_file(repo, "admin.lock", &fd, err);

	if (rc != SOV_OK)
		return rc;
	rc = read_and_complete_admin(repo, err);
	close(fd);
	return rc;
}

/* A head of its own, to change. */
static enum sov_code
copy_admin(const struct sov_admin_head *from, struct sov_admin_head *to, struct sov_error *err)
{
	size_t		size = from->n_condemned * sizeof *from->condemned;

	*to = *from;
	if (from->n_condemned == 0)
	{
		to->condemned = NULL;
		return SOV_OK;
	}
	to->condemned = malloc(size);
	if (to->condemned == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	memcpy(to->condemned, from->condemned, size);
	return SOV_OK;
}

static enum sov_code
commit_admin_locked(struct sov_repo *repo, sov_admin_change_fn change, void *ctx, struct sov_error *err)
{
	struct sov_admin_head *head = calloc(1, sizeof *head);
	enum sov_code rc;

	if (head == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = read_and_complete_admin(repo, err);
	if (rc == SOV_OK)
		rc = copy_admin(&repo->admin, head, err);
	if (rc == SOV_OK)
		rc = change(ctx, repo, head, err);
	if (rc == SOV_OK)
	{
		memcpy(head->prev, repo->admin.hash, 32);
		head->seq++;
		head->time_us = next_time(head->time_us);
		rc = write_admin(repo, head, err);
	}
	if (rc == SOV_OK)
	{
		pthread_rwlock_wrlock(&repo->priv->map_lock);
		sov_admin_head_free(&repo->admin);
		repo->admin = *head;
		pthread_rwlock_unlock(&repo->priv->map_lock);
	}
	else
		sov_admin_head_free(head);
	free(head);
	return rc;
}

enum sov_code
sov_repo_commit_admin(struct sov_repo *repo, sov_admin_change_fn change, void *ctx, struct sov_error *err)
{
	int			fd;
	enum sov_code rc = repo_lock_file(repo, "admin.lock", &fd, err);

	if (rc != SOV_OK)
		return rc;
	rc = commit_admin_locked(repo, change, ctx, err);
	close(fd);
	return rc;
}
