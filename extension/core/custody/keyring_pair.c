/*
 * keyring_pair.c - the pair of content keys: made, opened, and given to a repository
 * that was made without one.  sov_keyring.h.
 */
#include "keyring_int.h"

#include <stdlib.h>
#include <string.h>

#define PRIVATE_NAME "content private"
#define CONTENT_NAME "content"

/* --- making --- */

/* The private keys of pairs before this one, under the KEK of "content". */
static enum sov_code
add_former(struct keyring_parsed *p, const struct sov_repo_keys *keys, uint32_t version, const struct sov_aead *kek, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	if (keys->n_former == SOV_FORMER_PAIRS)
		return sov_fail(err, SOV_E_STATE, "make a new repository", "a keyring holds at most %d pairs of content keys", SOV_FORMER_PAIRS + 1);
	for (int i = 0; i < keys->n_former && rc == SOV_OK; i++)
		rc = keyring_add_key(p, SOV_DOMAIN_CONTENT, PRIVATE_NAME, SOV_KEY_CONTENT_PRIVATE, keys->former[i].version, kek, keys->former[i].private, err);
	if (rc == SOV_OK)
		rc = keyring_add_key(p, SOV_DOMAIN_CONTENT, PRIVATE_NAME, SOV_KEY_CONTENT_PRIVATE, version, kek, keys->content_private, err);
	return rc;
}

/* A pair for keys, and its private key (with what opened content so far, if keys has
 * that) for the content custodian alone.  keys does not get the private key. */
enum sov_code
keyring_new_pair(struct keyring_parsed *p, struct sov_custodian *content, struct sov_custodian *custodian, struct sov_repo_keys *keys, struct sov_error *err)
{
	uint8_t    *secret = sov_secret_alloc(64, err);	/* KEK, private key */
	struct sov_aead *aead = NULL;
	uint32_t	former = keys->pair_version;
	enum sov_code rc = secret ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && memcmp(content->root_id, custodian->root_id, 16) == 0)
		rc = sov_fail(err, SOV_E_CONFIG, "make another root key for \"content\", at a custodian that this host does not reach when it works",
					  "\"content\" and \"root\" in [custody] are one and the same root key");
	if (rc == SOV_OK)
		rc = sov_random(secret, 32, err);
	if (rc == SOV_OK && (aead = sov_aead_new(secret, err)) == NULL)
		rc = SOV_E_NOMEM;
	if (rc == SOV_OK)
		rc = sov_hpke_keypair(secret + 32, keys->content_public, err);
	if (rc == SOV_OK)
		rc = sov_random(&keys->pair_version, 4, err);
	if (rc == SOV_OK)
		rc = keyring_add_kek(p, SOV_DOMAIN_CONTENT, content, secret, err);
	if (rc == SOV_OK)
		rc = keyring_add_key(p, SOV_DOMAIN_CONTENT, PRIVATE_NAME, SOV_KEY_CONTENT_PRIVATE, keys->pair_version, aead, secret + 32, err);
	if (rc == SOV_OK && keys->has_private)
		rc = add_former(p, keys, former, aead, err);
	if (rc == SOV_OK && keys->has_content)
		rc = keyring_add_key(p, SOV_DOMAIN_CONTENT, CONTENT_NAME, SOV_KEY_CONTENT, keys->content_version, aead, keys->k_content, err);
	keys->has_pair = rc == SOV_OK;
	sov_aead_free(aead);
	sov_secret_free(secret);
	return rc;
}

/* --- opening --- */

static enum sov_code
open_private(const struct keyring_parsed *p, const struct keyring_wrapped *k, const struct sov_aead *kek, struct sov_repo_keys *keys, bool *current, struct sov_error *err)
{
	enum sov_code rc;

	if (k->version == keys->pair_version)
	{
		*current = true;
		return keyring_unwrap_key(kek, p->repo, k, keys->content_private, err);
	}
	if (keys->n_former == SOV_FORMER_PAIRS)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the keyring has too many pairs of content keys");
	rc = keyring_unwrap_key(kek, p->repo, k, keys->former[keys->n_former].private, err);
	keys->former[keys->n_former].version = k->version;
	keys->n_former += rc == SOV_OK;
	return rc;
}

/* The keys of the domain "content" into keys, which are of the same object. */
static enum sov_code
open_content(const struct keyring_parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	struct sov_aead *aead = sov_aead_new(kek, err);
	uint8_t		public[32];
	bool		current = false;
	enum sov_code rc = aead ? SOV_OK : SOV_E_NOMEM;

	keys->n_former = 0;
	for (int i = 0; i < p->n_keys && rc == SOV_OK; i++)
	{
		const struct keyring_wrapped *k = &p->keys[i];

		if (strcmp(k->domain, SOV_DOMAIN_CONTENT) != 0)
			continue;
		if (k->purpose == SOV_KEY_CONTENT_PRIVATE)
			rc = open_private(p, k, aead, keys, &current, err);
		else if (k->purpose == SOV_KEY_CONTENT && (rc = keyring_unwrap_key(aead, p->repo, k, keys->k_content, err)) == SOV_OK)
		{
			keys->content_version = k->version;
			keys->has_content = true;
		}
	}
	if (rc == SOV_OK && !current)
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the keyring lacks the private key to its public content key: somebody who holds the repository's keys has changed it");
	if (rc == SOV_OK)
		rc = sov_hpke_public(keys->content_private, public, err);
	/* a host could have put a public key of its own there */
	if (rc == SOV_OK && !sov_equal(public, keys->content_public, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the keyring's public content key is not that of the custodian's private one: somebody who holds the repository's keys has changed it");
	keys->has_private = rc == SOV_OK;
	if (rc != SOV_OK)
		sov_wipe(keys->content_private, 32);
	sov_aead_free(aead);
	return rc;
}

enum sov_code
sov_keyring_open_content(struct sov_custodian *content, const uint8_t *object, size_t len, struct sov_repo_keys *keys, struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	uint8_t    *kek = sov_secret_alloc(32, err);
	struct sov_span span = {object, len};
	uint8_t		hash[32];
	enum sov_code rc = p && kek ? keyring_parse(object, len, p, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	/* whose MAC was checked when keys were opened */
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, hash, err);
	if (rc == SOV_OK && memcmp(hash, keys->keyring_hash, 32) != 0)
		rc = sov_fail(err, SOV_E_STATE, NULL, "the keyring is another than the one that was opened");
	if (rc == SOV_OK)
		rc = keyring_unwrap_kek(content, p, SOV_DOMAIN_CONTENT, kek, err);
	if (rc == SOV_OK)
		rc = open_content(p, kek, keys, err);
	sov_secret_free(kek);
	free(p);
	return rc;
}

/* --- the next keyring --- */

/* Of a keyring that was opened: what belongs to other domains, and the keys of ours. */
static void
take_apart(struct keyring_parsed *p, struct sov_repo_keys *keys)
{
	int			keks = 0,
				wrapped = 0;

	memcpy(keys->repo, p->repo, 16);
	memcpy(keys->repo_name, p->repo_name, sizeof keys->repo_name);
	keys->keyring_seq = p->seq + 1;
	for (int i = 0; i < p->n_keks; i++)
		if (strcmp(p->keks[i].domain, SOV_DOMAIN_REPOSITORY) != 0)
			p->keks[keks++] = p->keks[i];
	p->n_keks = keks;
	for (int i = 0; i < p->n_keys; i++)
		if (strcmp(p->keys[i].domain, SOV_DOMAIN_REPOSITORY) != 0)
			p->keys[wrapped++] = p->keys[i];
	p->n_keys = wrapped;
}

/* What the domain "content" holds into keys, and out of p. */
static enum sov_code
take_content(struct keyring_parsed *p, struct sov_custodian *content, struct sov_repo_keys *keys, struct sov_error *err)
{
	uint8_t    *kek = sov_secret_alloc(32, err);
	int			keks = 0,
				wrapped = 0;
	enum sov_code rc = kek ? keyring_unwrap_kek(content, p, SOV_DOMAIN_CONTENT, kek, err) : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = open_content(p, kek, keys, err);
	for (int i = 0; i < p->n_keks; i++)
		if (strcmp(p->keks[i].domain, SOV_DOMAIN_CONTENT) != 0)
			p->keks[keks++] = p->keks[i];
	p->n_keks = keks;
	for (int i = 0; i < p->n_keys; i++)
		if (strcmp(p->keys[i].domain, SOV_DOMAIN_CONTENT) != 0)
			p->keys[wrapped++] = p->keys[i];
	p->n_keys = wrapped;
	sov_secret_free(kek);
	return rc;
}

enum next { ADD_PAIR, DROP_CONTENT, ROTATE_CONTENT };

static enum sov_code
may_follow(const struct keyring_parsed *p, const struct sov_repo_keys *keys, enum next next, struct sov_error *err)
{
	int			roots = 0;

	for (int i = 0; i < p->n_keks; i++)
		roots += strcmp(p->keks[i].domain, SOV_DOMAIN_REPOSITORY) == 0;
	if (roots > 1)
		return sov_fail(err, SOV_E_STATE, "end it: pg_sovereign key rotate-root --finish", "the root key is being changed: the keyring is under %d of them", roots);
	if (next == ADD_PAIR && keys->has_pair)
		return sov_fail(err, SOV_E_STATE, NULL, "the repository has a pair of content keys already");
	if (next != ADD_PAIR && !keys->has_pair)
		return sov_fail(err, SOV_E_STATE, "run 'pg_sovereign key write-only'", "the repository has no pair of content keys");
	if (next == ROTATE_CONTENT && keys->has_content)
		return sov_fail(err, SOV_E_STATE, "run 'pg_sovereign key write-only' to its end", "the content key of earlier backups is still with the hosts' keys");
	return SOV_OK;
}

/* content: who keeps the pair now; next: who shall. */
static enum sov_code
make_next(enum next what, struct sov_custodian *custodian, struct sov_custodian *content, struct sov_custodian *next,
		  const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && keys && kek ? keyring_open_parsed(custodian, object, len, p, kek, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = keyring_open_keys(p, kek, keys, err);
	if (rc == SOV_OK)
		rc = may_follow(p, keys, what, err);
	if (rc == SOV_OK)
		take_apart(p, keys);
	if (rc == SOV_OK && content)
		rc = take_content(p, content, keys, err);
	if (rc == SOV_OK)
		rc = keyring_write_new(p, custodian, next, keys, what == ADD_PAIR, out, err);
	sov_secret_free(kek);
	sov_secret_free(keys);
	free(p);
	return rc;
}

enum sov_code
sov_keyring_add_pair(struct sov_custodian *custodian, struct sov_custodian *content,
					 const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	return make_next(ADD_PAIR, custodian, NULL, content, object, len, out, err);
}

enum sov_code
sov_keyring_drop_content(struct sov_custodian *custodian, const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	return make_next(DROP_CONTENT, custodian, NULL, NULL, object, len, out, err);
}

enum sov_code
sov_keyring_rotate_content(struct sov_custodian *custodian, struct sov_custodian *content, struct sov_custodian *next,
						   const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	return make_next(ROTATE_CONTENT, custodian, content, next, object, len, out, err);
}
