/*
 * keyring_pair.c - the pair of content keys: made, opened, and given to a repository
 * that was made without one.  sov_keyring.h.
 */
#include "keyring_int.h"

#include <stdlib.h>
#include <string.h>

#define PRIVATE_NAME "content private"
#define CONTENT_NAME "content"

/* A pair for keys, and its private key (with K_content, if there is one) for the
 * content custodian alone.  keys does not get the private key. */
enum sov_code
keyring_new_pair(struct keyring_parsed *p, struct sov_custodian *content, struct sov_custodian *custodian, struct sov_repo_keys *keys, struct sov_error *err)
{
	uint8_t    *secret = sov_secret_alloc(64, err);	/* KEK, private key */
	struct sov_aead *aead = NULL;
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
	if (rc == SOV_OK && keys->has_content)
		rc = keyring_add_key(p, SOV_DOMAIN_CONTENT, CONTENT_NAME, SOV_KEY_CONTENT, keys->content_version, aead, keys->k_content, err);
	keys->has_pair = rc == SOV_OK;
	sov_aead_free(aead);
	sov_secret_free(secret);
	return rc;
}

/* The keys of the domain "content" into keys, which are of the same object. */
static enum sov_code
open_content(const struct keyring_parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	const struct keyring_wrapped *private = keyring_find(p, SOV_DOMAIN_CONTENT, SOV_KEY_CONTENT_PRIVATE),
			   *before = keyring_find(p, SOV_DOMAIN_CONTENT, SOV_KEY_CONTENT);
	struct sov_aead *aead = sov_aead_new(kek, err);
	uint8_t		public[32];
	enum sov_code rc = aead ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && private == NULL)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "the keyring lacks the private content key");
	if (rc == SOV_OK)
		rc = keyring_unwrap_key(aead, p->repo, private, keys->content_private, err);
	if (rc == SOV_OK)
		rc = sov_hpke_public(keys->content_private, public, err);
	/* a host could have put a public key of its own there */
	if (rc == SOV_OK && (private->version != keys->pair_version || !sov_equal(public, keys->content_public, 32)))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the keyring's public content key is not that of the custodian's private one: somebody who holds the repository's keys has changed it");
	if (rc == SOV_OK && before)
		rc = keyring_unwrap_key(aead, p->repo, before, keys->k_content, err);
	if (rc == SOV_OK && before)
	{
		keys->content_version = before->version;
		keys->has_content = true;
	}
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

/* Of a keyring that was opened: what belongs to other domains, and the keys of ours. */
static enum sov_code
take_apart(struct keyring_parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	int			keks = 0,
				wrapped = 0;
	enum sov_code rc = keyring_open_keys(p, kek, keys, err);

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
	return rc;
}

/* content: add a pair; NULL: drop K_content. */
static enum sov_code
make_next(struct sov_custodian *custodian, struct sov_custodian *content, const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && keys && kek ? keyring_open_parsed(custodian, object, len, p, kek, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = take_apart(p, kek, keys, err);
	if (rc == SOV_OK && keys->has_pair == (content != NULL))
		rc = sov_fail(err, SOV_E_STATE, NULL, content ? "the repository has a pair of content keys already" : "the repository has no pair of content keys");
	if (rc == SOV_OK && content == NULL)
	{
		keys->has_content = false;
		sov_wipe(keys->k_content, sizeof keys->k_content);
	}
	if (rc == SOV_OK)
		rc = keyring_write_new(p, custodian, content, keys, out, err);
	sov_secret_free(kek);
	sov_secret_free(keys);
	free(p);
	return rc;
}

enum sov_code
sov_keyring_add_pair(struct sov_custodian *custodian, struct sov_custodian *content,
					 const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	return make_next(custodian, content, object, len, out, err);
}

enum sov_code
sov_keyring_drop_content(struct sov_custodian *custodian, const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	return make_next(custodian, NULL, object, len, out, err);
}
