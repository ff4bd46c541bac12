/*
 * repo_keyring.c - changing the wrapped keys of a repository's keyring.
 *
 * Order: the new keyring at n-k+1 providers, the administrator's head that names
 * it, and only then, where asked for, older keyrings removed.  Killed in between,
 * either the old keyring or the new one is current, and both open with a root key
 * that both name; running it again finishes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

enum sov_code
sov_repo_keyring_info(struct sov_repo *repo, struct sov_keyring_info *info, struct sov_error *err)
{
	return sov_keyring_describe(repo->priv->keyring_object.data, repo->priv->keyring_object.len, info, err);
}

/* --- the keyring that counts --- */

bool
repo_get_hashed(struct sov_repo *repo, const char *name, const uint8_t want[32], struct sov_buf *object)
{
	uint8_t		hash[32];

	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_span span;

		object->len = 0;
		if (repo_get(repo, i, name, 0, UINT64_MAX, object, NULL) != SOV_OK)
			continue;
		span = (struct sov_span) {object->data, object->len};
		if (sov_sha256(&span, 1, hash, NULL) == SOV_OK && sov_equal(hash, want, 32))
			return true;
		repo_note(repo, "provider %s: object %s is damaged", repo->providers[i].cfg->name, name);
	}
	return false;
}

enum sov_code
repo_check_keyring(struct sov_repo *repo, struct sov_error *err)
{
	const struct sov_admin_head *head = &repo->admin;
	struct sov_repo_keys *keys = NULL;
	struct sov_buf object = {0},
				old;
	char		name[SOV_NAME_MAX],
				down[400];
	enum sov_code rc;

	if (repo->keys->keyring_seq > head->keyring_seq ||
		(repo->keys->keyring_seq == head->keyring_seq && memcmp(repo->keys->keyring_hash, head->keyring_hash, 32) == 0))
		return SOV_OK;
	sov_keyring_object_name(head->keyring_seq, head->keyring_hash, name);
	if (!repo_get_hashed(repo, name, head->keyring_hash, &object))
	{
		sov_buf_free(&object);
		repo_provider_down_list(repo, down, sizeof down);
		return sov_fail(err, SOV_E_QUORUM, "bring back a provider that has it: with older keys nothing is written, as they may be of a root key or a pair that was given up",
						"the administrator's chain names keyring %" PRIu64 ", which no provider shows, but keyring %" PRIu64 " is shown%s%s",
						head->keyring_seq, repo->keys->keyring_seq, down[0] ? ": " : "", down);
	}
	rc = sov_keyring_open(repo->custodian, object.data, object.len, &keys, err);
	if (rc == SOV_OK)
	{
		sov_repo_keys_free(repo->keys);
		repo->keys = keys;
		old = repo->priv->keyring_object;
		repo->priv->keyring_object = object;
		object = old;
		repo_forget_content(repo);
	}
	sov_buf_free(&object);
	return rc;
}

/* --- the next one --- */

struct named
{
	uint64_t	seq;
	uint8_t		hash[32];
};

static enum sov_code
name_keyring(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	const struct named *n = ctx;

	if (head->keyring_seq >= n->seq)
		return sov_fail(err, SOV_E_CONFLICT, "run it again", "another administrator changed the keyring meanwhile");
	head->keyring_seq = n->seq;
	memcpy(head->keyring_hash, n->hash, 32);
	return SOV_OK;
}

/* Make *object, under the next number, the current keyring; it gets the one before. */
static enum sov_code
publish(struct sov_repo *repo, struct sov_buf *object, struct sov_error *err)
{
	struct named named = {.seq = repo->keys->keyring_seq + 1};
	struct sov_span span = {object->data, object->len};
	char		name[SOV_NAME_MAX];
	struct repo_count count = {0, 0};
	enum sov_code rc = sov_sha256(&span, 1, named.hash, err);

	if (rc == SOV_OK)
	{
		sov_keyring_object_name(named.seq, named.hash, name);
		rc = repo_put_everywhere(repo, name, object, false, &count, err);
	}
	if (rc == SOV_OK)
		rc = repo_quorum(repo, &count, "the new keyring", err);
	if (rc == SOV_OK)
		rc = sov_repo_commit_admin(repo, name_keyring, &named, err);
	if (rc == SOV_OK)
	{
		struct sov_buf old = repo->priv->keyring_object;

		repo->keys->keyring_seq = named.seq;
		memcpy(repo->keys->keyring_hash, named.hash, 32);
		repo->priv->keyring_object = *object;
		*object = old;
	}
	return rc;
}

enum sov_code
sov_repo_rewrap(struct sov_repo *repo, const struct sov_keyring_kek *keks, int n, struct sov_error *err)
{
	struct sov_buf object = {0};
	enum sov_code rc = sov_keyring_rewrap(repo->custodian, repo->priv->keyring_object.data, repo->priv->keyring_object.len, keks, n, &object, err);

	if (rc == SOV_OK)
		rc = publish(repo, &object, err);
	sov_buf_free(&object);
	return rc;
}

/* Exactly one of the three next keyrings that sov_keyring.h tells of. */
static enum sov_code
next_keyring(struct sov_repo *repo, struct sov_custodian *content, struct sov_custodian *next, struct sov_error *err)
{
	struct sov_buf object = {0};
	struct sov_repo_keys *keys = NULL;
	const struct sov_buf *now = &repo->priv->keyring_object;
	enum sov_code rc = content ? sov_keyring_rotate_content(repo->custodian, content, next, now->data, now->len, &object, err)
		: next ? sov_keyring_add_pair(repo->custodian, next, now->data, now->len, &object, err)
		: sov_keyring_drop_content(repo->custodian, now->data, now->len, &object, err);

	/* opened before it is the only one */
	if (rc == SOV_OK)
		rc = sov_keyring_open(repo->custodian, object.data, object.len, &keys, err);
	if (rc == SOV_OK)
		rc = publish(repo, &object, err);
	if (rc == SOV_OK)
	{
		struct sov_repo_keys *old = repo->keys;

		repo->keys = keys;
		keys = old;
	}
	sov_repo_keys_free(keys);
	sov_buf_free(&object);
	return rc;
}

enum sov_code
repo_add_pair(struct sov_repo *repo, struct sov_custodian *content, struct sov_error *err)
{
	return next_keyring(repo, NULL, content, err);
}

enum sov_code
repo_drop_content(struct sov_repo *repo, struct sov_error *err)
{
	return next_keyring(repo, NULL, NULL, err);
}

enum sov_code
sov_repo_rotate_content(struct sov_repo *repo, const char *next_uri, struct sov_error *err)
{
	struct sov_custodian *content = NULL,
			   *next = NULL;
	enum sov_code rc = repo->cfg.content[0] != '\0' ? sov_custodian_open(repo->cfg.content, &content, err)
		: sov_fail(err, SOV_E_CONFIG, "do this where [custody] names \"content\"", "no content custodian is named that has the present private key");

	if (rc == SOV_OK && next_uri)
		rc = sov_custodian_open(next_uri, &next, err);
	if (rc == SOV_OK)
		rc = next_keyring(repo, content, next ? next : content, err);
	sov_custodian_close(content);
	sov_custodian_close(next);
	return rc;
}

struct old_keyrings
{
	struct sov_repo *repo;
	uint64_t	current;
	char		name[64][SOV_OBJECT_NAME_MAX + 1];
	int			n;
};

static bool
see_old(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct old_keyrings *o = ctx;
	uint64_t	seq;

	if (repo_parse_hex64(name + 2, &seq) && seq < o->current && o->n < 64)
		snprintf(o->name[o->n++], sizeof o->name[0], "%s", name);
	return true;
}

int
sov_repo_remove_old_keyrings(struct sov_repo *repo)
{
	struct old_keyrings *o = calloc(1, sizeof *o);
	int			left = 0;

	for (int i = 0; i < repo->n_providers; i++)
	{
		if (o == NULL || repo->providers[i].down || !repo->providers[i].known)
		{
			left++;
			continue;
		}
		o->n = 0;
		o->current = repo->keys->keyring_seq;
		if (repo_list(repo, i, "k/", see_old, o, NULL) != SOV_OK)
			left++;
		for (int j = 0; j < o->n; j++)
			if (repo_remove(repo, i, o->name[j], NULL) != SOV_OK)
				left++;
	}
	free(o);
	return left;
}
