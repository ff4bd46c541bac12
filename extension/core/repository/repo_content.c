/*
 * repo_content.c - who may read what the repository holds (a pair of content keys:
 * sov_keyring.h).
 *
 * The content custodian is asked when content is first to be read, not when the
 * repository is opened: most of what a host does needs no content.  A host that is
 * configured write-only never asks, whatever else its configuration names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

/* "host = write-only" is a promise that the keys are made to keep. */
void
repo_forget_content(struct sov_repo *repo)
{
	if (!repo->cfg.write_only || !repo->keys->has_content)
		return;
	repo->keys->has_content = false;
	sov_wipe(repo->keys->k_content, sizeof repo->keys->k_content);
	repo->priv->content_forgotten = true;
}

enum sov_code
sov_repo_may_write(const struct sov_repo *repo, struct sov_error *err)
{
	if (repo->keys->has_pair || repo->keys->has_content)
		return SOV_OK;
	return sov_fail(err, SOV_E_STATE, "run 'pg_sovereign key write-only' once where [custody] names \"content\", or take the line \"host\" out",
					"%.150s says \"host = write-only\", but this repository is not sealed to a public key", repo->cfg.file);
}

static enum sov_code
who_reads(struct sov_repo *repo, struct sov_error *err)
{
	struct sov_keyring_info *info = calloc(1, sizeof *info);
	const struct sov_keyring_kek *kek = NULL;
	char		who[300] = "the content custodian";

	if (info && sov_repo_keyring_info(repo, info, NULL) == SOV_OK && (kek = sov_keyring_content(info)) != NULL)
		snprintf(who, sizeof who, "%s", kek->custodian);
	free(info);
	if (repo->cfg.write_only)
		return sov_fail(err, SOV_E_KEY, "do this on a host whose configuration names that custodian ([custody] \"content\") and has no line \"host = write-only\"",
						"this host is write-only (%.150s): what the repository holds opens with the private content key alone, which is with %s", repo->cfg.file, who);
	return sov_fail(err, SOV_E_KEY, "name its custodian in [custody], \"content = URI\", on a host that may read",
					"what the repository holds opens with the private content key alone, which is with %s, and %.150s names no content custodian", who, repo->cfg.file);
}

static enum sov_code
open_content(struct sov_repo *repo, struct sov_error *err)
{
	struct sov_custodian *content = NULL;
	enum sov_code rc;

	if (repo->cfg.write_only || repo->cfg.content[0] == '\0')
		return who_reads(repo, err);
	rc = sov_custodian_open(repo->cfg.content, &content, err);
	if (rc == SOV_OK)
		rc = sov_keyring_open_content(content, repo->priv->keyring_object.data, repo->priv->keyring_object.len, repo->keys, err);
	sov_custodian_close(content);
	if (rc != SOV_OK)
		sov_error_prefix(err, "content key");
	return rc;
}

enum sov_code
sov_repo_may_read(struct sov_repo *repo, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&repo->priv->content_lock);
	if (repo->keys->has_pair && !repo->keys->has_private)
		rc = open_content(repo, err);
	else if (!repo->keys->has_pair && !repo->keys->has_content)
		rc = who_reads(repo, err);
	pthread_mutex_unlock(&repo->priv->content_lock);
	return rc;
}
