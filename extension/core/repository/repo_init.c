/*
 * repo_init.c - a new repository over empty providers.
 *
 * Identity, keyring, then the head everywhere: without a head there is no
 * repository, so that an interrupted init can be repeated; nothing that is not of
 * one is removed.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "repo_private.h"

struct leftovers
{
	char		first[SOV_OBJECT_NAME_MAX + 1];
};

/* Only what an interrupted init can have left is tolerated. */
static bool
see_object(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct leftovers *l = ctx;

	(void) st;
	if (strcmp(name, SOV_IDENTITY_OBJECT) == 0 || strncmp(name, "k/", 2) == 0)
		return true;
	snprintf(l->first, sizeof l->first, "%s", name);
	return false;
}

static bool
drop_object(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct sov_buf *names = ctx;

	(void) st;
	sov_write_bytes(names, name, strlen(name) + 1);
	return true;
}

static enum sov_code
empty_provider(struct sov_repo *repo, int i, struct sov_error *err)
{
	struct leftovers l = {""};
	struct sov_buf names = {0};
	enum sov_code rc = repo_list(repo, i, "", see_object, &l, err);

	if (rc != SOV_OK)
		return rc;
	if (l.first[0] != '\0')
		return sov_fail(err, SOV_E_EXISTS, "give the repository an empty place, or use the repository that is there",
						"provider %s is not empty: it holds %s", repo->providers[i].cfg->name, l.first);
	rc = repo_list(repo, i, "", drop_object, &names, err);
	for (size_t at = 0; rc == SOV_OK && at < names.len; at += strlen((char *) names.data + at) + 1)
		rc = repo_remove(repo, i, (char *) names.data + at, err);
	sov_buf_free(&names);
	return rc;
}

/* The first administrator's head: a provider map in the order of the file. */
static enum sov_code
first_head(struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	memset(head, 0, sizeof *head);
	head->seq = 1;
	head->time_us = (uint64_t) repo_now_us();
	head->keyring_seq = repo->keys->keyring_seq;
	memcpy(head->keyring_hash, repo->keys->keyring_hash, 32);
	memcpy(head->controller_pub, repo->keys->controller_pub, 32);
	head->map.version = 1;
	head->map.k = (uint8_t) repo->cfg.needed;
	head->map.n = (uint8_t) repo->cfg.shards;
	for (int i = 0, pos = 0; i < repo->n_providers && rc == SOV_OK; i++)
	{
		struct sov_repo_provider *rp = &repo->providers[i];

		if (rp->cfg->state != SOV_PROVIDER_ACTIVE)
			continue;
		rc = sov_random(rp->uuid, 16, err);
		rp->known = true;
		memcpy(head->map.pos[pos].uuid, rp->uuid, 16);
		snprintf(head->map.pos[pos++].alias, SOV_NAME_MAX, "%s", rp->cfg->name);
	}
	if (rc == SOV_OK)
		rc = sov_cert_issue(repo->keys->repo, repo->keys->controller_seed, SOV_CERT_ADMIN, 0,
							repo->keys->admin_pub, head->time_us, &head->admin, err);
	return rc;
}

/* Identity, keyring, then the head everywhere: without a head there is no
 * repository, so that an interrupted init can be repeated. */
static enum sov_code
write_first(struct sov_repo *repo, const struct sov_buf *keyring, struct sov_admin_head *head, struct sov_error *err)
{
	char		name[SOV_NAME_MAX],
				path[1200];
	struct sov_buf object = {0};
	struct repo_count count;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
		if (repo->providers[i].known)
			rc = repo_put_identity(repo, i, err);
	sov_keyring_object_name(repo->keys->keyring_seq, repo->keys->keyring_hash, name);
	if (rc == SOV_OK)
		rc = repo_put_everywhere(repo, name, keyring, false, &count, err);
	if (rc == SOV_OK && count.now == head->map.n)
		rc = sov_admin_encode(repo->keys, head, &object, err);
	if (rc == SOV_OK && count.now == head->map.n)
		rc = repo_put_everywhere(repo, "a/0000000000000001", &object, true, &count, err);
	if (rc == SOV_OK && count.now != head->map.n)
		rc = sov_fail(err, SOV_E_PROVIDER, "every provider must be there for init; run it again",
					  "the repository could not be written to every provider");
	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	sov_buf_free(&object);
	return rc;
}

/* With a content custodian the repository gets a pair of keys: only here, and where
 * content is read, is he reached. */
static enum sov_code
first_keyring(struct sov_repo *repo, struct sov_buf *keyring, struct sov_error *err)
{
	struct sov_custodian *content = NULL;
	enum sov_code rc = SOV_OK;

	if (repo->cfg.write_only && repo->cfg.content[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "run init once where \"content\" in [custody] names the custodian of the private content key; afterwards take that line out of this host's configuration",
						"\"host = write-only\" needs a pair of content keys, and no content custodian is named that could keep the private one");
	if (repo->cfg.content[0] != '\0')
		rc = sov_custodian_open(repo->cfg.content, &content, err);
	if (rc == SOV_OK)
		rc = sov_keyring_create(repo->custodian, content, repo->cfg.repo_name, &repo->keys, keyring, err);
	sov_custodian_close(content);
	return rc;
}

static enum sov_code
init_steps(struct sov_repo *repo, struct sov_error *err)
{
	struct sov_buf keyring = {0};
	char		path[1200];
	enum sov_code rc = repo_prepare(repo, err);

	if (rc == SOV_OK)
		rc = sov_repo_obey_policy(repo, err);

	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	if (rc == SOV_OK && access(path, F_OK) == 0)
		return sov_fail(err, SOV_E_EXISTS, "set another state-directory, or move the old one away if its repository is gone for good",
						"state directory %s belongs to a repository already", repo->cfg.state_directory);
	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
		rc = empty_provider(repo, i, err);
	if (rc == SOV_OK)
		rc = first_keyring(repo, &keyring, err);
	if (rc == SOV_OK)
		rc = first_head(repo, &repo->admin, err);
	if (rc == SOV_OK)
		rc = write_first(repo, &keyring, &repo->admin, err);
	sov_buf_free(&keyring);
	return rc;
}

enum sov_code
sov_repo_init(const struct sov_config *cfg, sov_note_fn note, void *ctx, struct sov_repo **out, struct sov_error *err)
{
	struct sov_repo *repo = repo_new(cfg, note, ctx, err);
	enum sov_code rc;

	if (repo == NULL)
		return SOV_E_NOMEM;
	rc = init_steps(repo, err);
	if (rc != SOV_OK)
	{
		sov_repo_close(repo);
		return rc;
	}
	*out = repo;
	return SOV_OK;
}
