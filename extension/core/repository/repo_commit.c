/*
 * repo_commit.c - committing: this host's chain.
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
		if (repo->n_heads == SOV_WRITERS_MAX)
			return sov_fail(err, SOV_E_STATE, SOV_WRITERS_FULL_HINT, "%d hosts have written to this repository, and no more can", SOV_WRITERS_MAX);
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
	{
		rc = sov_head_decode(repo->keys, file.data, file.len, repo->priv->writer_pub, local, err);
		if (rc != SOV_OK)
			sov_error_at(err, REPO_STATE_AGAIN, "%s", path);
	}
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

/* Complete the head that an earlier commit left under way, if it follows base. */
static enum sov_code
complete_head(struct sov_repo *repo, struct sov_head *base, struct sov_error *err)
{
	char		path[1200],
				name[SOV_NAME_MAX];
	struct sov_buf object = {0};
	struct sov_head next;
	struct sov_error why;
	bool		opens;
	enum sov_code rc;

	repo_state_path(repo, "head.next", path, sizeof path);
	rc = repo_read_file(path, &object, err);
	opens = rc == SOV_OK && sov_head_decode(repo->keys, object.data, object.len, repo->priv->writer_pub, &next, &why) == SOV_OK;
	if (rc == SOV_OK && !opens)
		repo_note(repo, "%s: %s; a commit that was under way is completed from what the providers show", path, why.message);
	if (rc == SOV_E_NOTFOUND ||
		(rc == SOV_OK && (!opens || next.writer != repo->priv->writer || next.seq != base->seq + 1 || memcmp(next.prev, base->hash, 32) != 0)))
	{
		sov_buf_free(&object);	/* none, or done long ago */
		return SOV_OK;
	}
	snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, next.writer, next.seq);
	if (rc == SOV_OK)
		rc = repo_spread(repo, name, &object, err);
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
	repo_state_path(repo, "head.next", path, sizeof path);
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
		head->time_us = repo_next_time(head->time_us);
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
