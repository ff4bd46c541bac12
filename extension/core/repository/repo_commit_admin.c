/*
 * repo_commit_admin.c - committing: the administrator's chain, by the same steps as a
 * host's (repo_commit.c).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "repo_private.h"
#include "sov_audit.h"

static enum sov_code
write_admin(struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	char		name[SOV_NAME_MAX],
				path[1200];
	struct sov_buf object = {0};
	enum sov_code rc = sov_admin_encode(repo->keys, head, &object, err);

	snprintf(name, sizeof name, "a/%016" PRIx64, head->seq);
	repo_state_path(repo, "admin.next", path, sizeof path);
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

/* The newest state, after completing what an earlier commit left under way. */
static enum sov_code
read_and_complete_admin(struct sov_repo *repo, struct sov_error *err)
{
	char		path[1200],
				name[SOV_NAME_MAX];
	struct sov_buf object = {0};
	struct sov_admin_head *next = calloc(1, sizeof *next);
	struct sov_error why;
	bool		opens = false,
				under_way;
	enum sov_code rc = next ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	pthread_rwlock_wrlock(&repo->priv->map_lock);
	if (rc == SOV_OK)
		rc = repo_read_admin(repo, err);	/* another process may have committed */
	pthread_rwlock_unlock(&repo->priv->map_lock);
	repo_state_path(repo, "admin.next", path, sizeof path);
	if (rc == SOV_OK && repo_read_file(path, &object, NULL) == SOV_OK)
	{
		opens = sov_admin_decode(repo->keys, object.data, object.len, next, &why) == SOV_OK;
		if (!opens)
			repo_note(repo, "%s: %s; a change that was under way may have to be made again", path, why.message);
	}
	under_way = opens && next->seq == repo->admin.seq + 1 && memcmp(next->prev, repo->admin.hash, 32) == 0;
	if (under_way)
	{
		snprintf(name, sizeof name, "a/%016" PRIx64, next->seq);
		rc = repo_spread(repo, name, &object, err);
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
		head->time_us = repo_next_time(head->time_us);
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
