/*
 * keyring.c - making and opening keyrings: sov_keyring.h.
 *
 * Parsing (no key needed, keyring_object.c) and opening are apart: what is parsed is
 * only used after the MAC under the KEK has been checked.
 */
#include "keyring_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DOMAIN SOV_DOMAIN_REPOSITORY

/* Which field of sov_repo_keys a purpose fills. */
struct slot
{
	uint8_t		purpose;
	const char *name;
	size_t		offset;
};
#define AT(f) offsetof(struct sov_repo_keys, f)
static const struct slot slots[] = {
	{SOV_KEY_NAME, "name", AT(k_name)},
	{SOV_KEY_OUTER, "outer", AT(k_outer)},
	{SOV_KEY_VERIFY, "verify", AT(k_verify)},
	{SOV_KEY_META, "meta", AT(k_meta)},
	{SOV_KEY_MAP, "map", AT(k_map)},
	{SOV_KEY_SALT, "salt", AT(k_salt)},
	{SOV_KEY_CONTENT, "content", AT(k_content)},	/* CONTENT_SLOT */
	{SOV_KEY_CONTROLLER, "controller", AT(controller_seed)},
	{SOV_KEY_ADMIN, "administrator", AT(admin_seed)},
};
#define N_SLOTS ((int) (sizeof slots / sizeof slots[0]))
#define CONTENT_SLOT 6
#define PUBLIC_NAME "content public"

/* Expand what is used all the time, and know the object by its hash. */
static enum sov_code
finish_keys(struct sov_repo_keys *keys, const uint8_t *object, size_t len, struct sov_error *err)
{
	struct sov_span span = {object, len};
	enum sov_code rc = sov_sha256(&span, 1, keys->keyring_hash, err);

	if (rc == SOV_OK)
		rc = sov_sign_public(keys->controller_seed, keys->controller_pub, err);
	if (rc == SOV_OK)
		rc = sov_sign_public(keys->admin_seed, keys->admin_pub, err);
	if (rc != SOV_OK)
		return rc;
	keys->outer = sov_aead_new(keys->k_outer, err);
	keys->meta = sov_aead_new(keys->k_meta, err);
	keys->map = sov_aead_new(keys->k_map, err);
	return keys->outer && keys->meta && keys->map ? SOV_OK : SOV_E_NOMEM;
}

/* --- making --- */

static uint64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* Wrapped by its custodian, who has given it back once. */
enum sov_code
keyring_add_kek(struct keyring_parsed *p, const char *domain, struct sov_custodian *c, const uint8_t kek[32], struct sov_error *err)
{
	struct sov_keyring_kek *k = &p->keks[p->n_keks];
	struct sov_wrapped w;
	enum sov_code rc = p->n_keks < SOV_KEYRING_KEKS ? sov_custodian_wrap_proven(c, kek, &w, err)
		: sov_fail(err, SOV_E_STATE, SOV_KEYRING_FULL_HINT, "a keyring holds at most %d wrapped keys", SOV_KEYRING_KEKS);

	if (rc != SOV_OK)
		return rc;
	snprintf(k->domain, sizeof k->domain, "%s", domain);
	memcpy(k->root_id, c->root_id, 16);
	c->ops->describe(c, k->custodian, sizeof k->custodian);
	k->len = (uint16_t) w.len;
	memcpy(k->blob, w.blob, w.len);
	p->n_keks++;
	return SOV_OK;
}

enum sov_code
keyring_add_key(struct keyring_parsed *p, const char *domain, const char *name, uint8_t purpose, uint32_t version,
		const struct sov_aead *kek, const uint8_t key[32], struct sov_error *err)
{
	struct keyring_wrapped *w = &p->keys[p->n_keys++];

	*w = (struct keyring_wrapped) {.version = version, .purpose = purpose, .state = 1, .created = p->created};
	snprintf(w->domain, sizeof w->domain, "%s", domain);
	snprintf(w->name, sizeof w->name, "%s", name);
	return keyring_wrap_key(kek, p->repo, w, key, err);
}

/* All keys that the host has. */
static enum sov_code
add_repository(struct keyring_parsed *p, struct sov_custodian *custodian, const struct sov_repo_keys *keys, bool keep, const uint8_t kek[32], struct sov_error *err)
{
	struct sov_aead *aead = sov_aead_new(kek, err);
	enum sov_code rc = aead ? keyring_add_kek(p, DOMAIN, custodian, kek, err) : SOV_E_NOMEM;

	for (int i = 0; i < N_SLOTS && rc == SOV_OK; i++)
	{
		uint8_t		purpose = slots[i].purpose;

		if (purpose != SOV_KEY_CONTENT || (keep && keys->has_content))
			rc = keyring_add_key(p, DOMAIN, slots[i].name, purpose, purpose == SOV_KEY_OUTER ? keys->outer_version : purpose == SOV_KEY_CONTENT ? keys->content_version : 1,
						 aead, (const uint8_t *) keys + slots[i].offset, err);
	}
	if (rc == SOV_OK && keys->has_pair)
		rc = keyring_add_key(p, DOMAIN, PUBLIC_NAME, SOV_KEY_CONTENT_PUBLIC, keys->pair_version, aead, keys->content_public, err);
	sov_aead_free(aead);
	return rc;
}

enum sov_code
keyring_write_new(struct keyring_parsed *p, struct sov_custodian *custodian, struct sov_custodian *content,
				  struct sov_repo_keys *keys, bool keep, struct sov_buf *b, struct sov_error *err)
{
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = kek ? sov_random(kek, 32, err) : SOV_E_NOMEM;

	p->seq = keys->keyring_seq;
	memcpy(p->repo, keys->repo, 16);
	memcpy(p->repo_name, keys->repo_name, sizeof p->repo_name);
	p->created = now_us();
	if (rc == SOV_OK && content)
		rc = keyring_new_pair(p, content, custodian, keys, err);
	if (rc == SOV_OK)
		rc = add_repository(p, custodian, keys, keep, kek, err);
	if (rc == SOV_OK)
		rc = keyring_write(p, kek, b, err);
	sov_secret_free(kek);
	return rc;
}

static enum sov_code
random_keys(struct sov_repo_keys *keys, bool content, struct sov_error *err)
{
	enum sov_code rc = sov_random(keys->repo, 16, err);

	for (int i = 0; i < N_SLOTS && rc == SOV_OK; i++)
		if (content || slots[i].purpose != SOV_KEY_CONTENT)
			rc = sov_random((uint8_t *) keys + slots[i].offset, 32, err);
	/* Version ids are random: names and counters collide between repositories. */
	if (rc == SOV_OK)
		rc = sov_random(&keys->outer_version, 4, err);
	if (rc == SOV_OK && content)
		rc = sov_random(&keys->content_version, 4, err);
	keys->has_content = content;
	return rc;
}

enum sov_code
sov_keyring_create(struct sov_custodian *custodian, struct sov_custodian *content, const char *repo_name,
				   struct sov_repo_keys **out, struct sov_buf *object, struct sov_error *err)
{
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	struct keyring_parsed *p = calloc(1, sizeof *p);
	enum sov_code rc = keys && p ? random_keys(keys, content == NULL, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
	{
		keys->keyring_seq = 1;
		snprintf(keys->repo_name, sizeof keys->repo_name, "%s", repo_name);
		rc = keyring_write_new(p, custodian, content, keys, true, object, err);
	}
	if (rc == SOV_OK)
		rc = finish_keys(keys, object->data, object->len, err);
	free(p);
	if (rc == SOV_OK)
		*out = keys;
	else
		sov_repo_keys_free(keys);
	return rc;
}

/* --- opening --- */

enum sov_code
keyring_open_keys(const struct keyring_parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	struct sov_aead *aead = sov_aead_new(kek, err);
	uint32_t	have = 0;
	enum sov_code rc = aead ? SOV_OK : SOV_E_NOMEM;

	for (int i = 0; i < p->n_keys && rc == SOV_OK; i++)
	{
		const struct keyring_wrapped *k = &p->keys[i];

		if (strcmp(k->domain, DOMAIN) != 0)
			continue;
		for (int s = 0; s < N_SLOTS && rc == SOV_OK; s++)
		{
			if (slots[s].purpose != k->purpose)
				continue;
			rc = keyring_unwrap_key(aead, p->repo, k, (uint8_t *) keys + slots[s].offset, err);
			have |= 1u << s;
			if (k->purpose == SOV_KEY_OUTER)
				keys->outer_version = k->version;
			if (k->purpose == SOV_KEY_CONTENT)
			{
				keys->content_version = k->version;
				keys->has_content = true;
			}
		}
		if (k->purpose == SOV_KEY_CONTENT_PUBLIC && rc == SOV_OK)
		{
			rc = keyring_unwrap_key(aead, p->repo, k, keys->content_public, err);
			keys->pair_version = k->version;
			keys->has_pair = true;
		}
	}
	sov_aead_free(aead);
	if (keys->has_pair)
		have |= 1u << CONTENT_SLOT;
	if (rc == SOV_OK && have != (1u << N_SLOTS) - 1)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "the keyring lacks a key");
	return rc;
}

enum sov_code
keyring_unwrap_kek(struct sov_custodian *custodian, const struct keyring_parsed *p, const char *domain, uint8_t kek[32], struct sov_error *err)
{
	const struct sov_keyring_kek *other = NULL;
	char		ours[37],
				theirs[37];

	for (int i = 0; i < p->n_keks; i++)
	{
		if (strcmp(p->keks[i].domain, domain) != 0)
			continue;
		if (memcmp(p->keks[i].root_id, custodian->root_id, 16) == 0)
			return custodian->ops->unwrap(custodian, p->keks[i].blob, p->keks[i].len, kek, err);
		other = &p->keks[i];
	}
	if (other == NULL)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the keyring has no key for the domain %s", domain);
	sov_uuid_text(ours, custodian->root_id);
	sov_uuid_text(theirs, other->root_id);
	if (strcmp(domain, SOV_DOMAIN_CONTENT) == 0)
		return sov_fail(err, SOV_E_KEY, "configure the root key that the repository's content is under ([custody] content)",
						"the repository's content is under root key %s (%s), the configured one is %s", theirs, other->custodian, ours);
	return sov_fail(err, SOV_E_KEY, "configure the root key that the repository's keys are under now ([custody] root)",
					"the repository's keys are wrapped under root key %s, the configured one is %s", theirs, ours);
}

/* Parsed, and its MAC checked under the KEK that the custodian unwraps. */
enum sov_code
keyring_open_parsed(struct sov_custodian *custodian, const uint8_t *object, size_t len, struct keyring_parsed *p, uint8_t kek[32], struct sov_error *err)
{
	uint8_t		mac[32];
	enum sov_code rc = keyring_parse(object, len, p, err);

	if (rc == SOV_OK)
		rc = keyring_unwrap_kek(custodian, p, DOMAIN, kek, err);
	if (rc == SOV_OK)
		rc = keyring_mac(kek, object, p->maced, mac, err);
	if (rc == SOV_OK && !sov_equal(mac, p->mac, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the keyring was tampered with, or is damaged");
	return rc;
}

enum sov_code
sov_keyring_open(struct sov_custodian *custodian, const uint8_t *object, size_t len,
				 struct sov_repo_keys **out, struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && keys && kek ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = keyring_open_parsed(custodian, object, len, p, kek, err);
	if (rc == SOV_OK)
	{
		memcpy(keys->repo, p->repo, 16);
		memcpy(keys->repo_name, p->repo_name, sizeof keys->repo_name);
		keys->keyring_seq = p->seq;
		rc = keyring_open_keys(p, kek, keys, err);
	}
	if (rc == SOV_OK)
		rc = finish_keys(keys, object, len, err);
	sov_secret_free(kek);
	free(p);
	if (rc == SOV_OK)
		*out = keys;
	else
		sov_repo_keys_free(keys);
	return rc;
}

enum sov_code
sov_keyring_open_kek(struct sov_custodian *with, const uint8_t *object, size_t len, uint8_t kek[32], struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	enum sov_code rc = p ? keyring_open_parsed(with, object, len, p, kek, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	free(p);
	return rc;
}

enum sov_code
sov_keyring_rewrap(struct sov_custodian *with, const uint8_t *object, size_t len,
				   const struct sov_keyring_kek *keks, int n, struct sov_buf *out, struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && kek ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK && n > SOV_KEYRING_KEKS)
		rc = sov_fail(err, SOV_E_STATE, SOV_KEYRING_FULL_HINT, "a keyring holds at most %d wrapped keys", SOV_KEYRING_KEKS);
	if (rc == SOV_OK)
		rc = keyring_open_parsed(with, object, len, p, kek, err);
	if (rc == SOV_OK)
	{
		p->seq++;
		p->created = now_us();
		p->n_keks = n;
		memcpy(p->keks, keks, (size_t) n * sizeof *keks);
		rc = keyring_write(p, kek, out, err);
	}
	sov_secret_free(kek);
	free(p);
	return rc;
}

void
sov_repo_keys_free(struct sov_repo_keys *keys)
{
	if (keys == NULL)
		return;
	sov_aead_free(keys->outer);
	sov_aead_free(keys->meta);
	sov_aead_free(keys->map);
	sov_secret_free(keys);
}
