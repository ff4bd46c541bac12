/*
 * keyring.c - making, parsing and opening the keyring object: sov_keyring.h.
 *
 * Parsing (no key needed) and opening are apart: what is parsed is only used
 * after the MAC under the KEK has been checked.
 */
#include "sov_keyring.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAGIC "SOVKEYRG"
#define FORMAT 1
#define FORMAT_PAIR 2			/* K_content is not with the other keys */
#define DOMAIN SOV_DOMAIN_REPOSITORY
#define MAX_KEYS 64

struct wrapped_key
{
	char		domain[SOV_NAME_MAX];
	char		name[SOV_NAME_MAX];
	uint32_t	version;
	uint8_t		purpose;
	uint8_t		state;
	uint64_t	created;
	uint8_t		nonce[12];
	uint8_t		sealed[32];
	uint8_t		tag[16];
	uint8_t		commitment[32];
};

struct parsed
{
	uint8_t		repo[16];
	char		repo_name[SOV_NAME_MAX];
	uint64_t	seq;
	uint64_t	created;
	int			n_keks;
	struct sov_keyring_kek keks[SOV_KEYRING_KEKS];
	int			n_keys;
	struct wrapped_key keys[MAX_KEYS];
	size_t		maced;			/* length that the MAC covers */
	uint8_t		mac[32];
};

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
#define PRIVATE_NAME "content private"

/* --- bytes --- */

static void
read_kek(struct sov_reader *r, struct sov_keyring_kek *k)
{
	sov_read_str(r, k->domain, sizeof k->domain);
	sov_read_copy(r, k->root_id, 16);
	sov_read_str(r, k->custodian, sizeof k->custodian);
	k->len = sov_read_u16(r);
	if (k->len > sizeof k->blob)
		r->bad = true;
	else
		sov_read_copy(r, k->blob, k->len);
}

static void
read_key(struct sov_reader *r, struct wrapped_key *k)
{
	sov_read_str(r, k->domain, sizeof k->domain);
	sov_read_str(r, k->name, sizeof k->name);
	k->version = sov_read_u32(r);
	k->purpose = sov_read_u8(r);
	k->state = sov_read_u8(r);
	k->created = sov_read_u64(r);
	sov_read_copy(r, k->nonce, 12);
	sov_read_copy(r, k->sealed, 32);
	sov_read_copy(r, k->tag, 16);
	sov_read_copy(r, k->commitment, 32);
}

static void
write_kek(struct sov_buf *b, const struct sov_keyring_kek *k)
{
	sov_write_str(b, k->domain);
	sov_write_bytes(b, k->root_id, 16);
	sov_write_str(b, k->custodian);
	sov_write_u16(b, k->len);
	sov_write_bytes(b, k->blob, k->len);
}

static void
write_key(struct sov_buf *b, const struct wrapped_key *k)
{
	sov_write_str(b, k->domain);
	sov_write_str(b, k->name);
	sov_write_u32(b, k->version);
	sov_write_u8(b, k->purpose);
	sov_write_u8(b, k->state);
	sov_write_u64(b, k->created);
	sov_write_bytes(b, k->nonce, 12);
	sov_write_bytes(b, k->sealed, 32);
	sov_write_bytes(b, k->tag, 16);
	sov_write_bytes(b, k->commitment, 32);
}

static enum sov_code
parse(const uint8_t *object, size_t len, struct parsed *p, struct sov_error *err)
{
	struct sov_reader r;
	const uint8_t *magic;
	uint16_t	format;

	memset(p, 0, sizeof *p);
	sov_reader_init(&r, object, len);
	magic = sov_read_bytes(&r, 8);
	if (magic == NULL || memcmp(magic, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a keyring");
	format = sov_read_u16(&r);
	if (format < FORMAT || format > FORMAT_PAIR || sov_read_u16(&r) != 0)
		return r.bad ? sov_fail(err, SOV_E_FORMAT, NULL, "the keyring is cut short")
			: sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the keyring's format is not known to this version");
	p->seq = sov_read_u64(&r);
	sov_read_copy(&r, p->repo, 16);
	sov_read_str(&r, p->repo_name, sizeof p->repo_name);
	p->created = sov_read_u64(&r);
	p->n_keks = sov_read_u16(&r);
	if (p->n_keks < 1 || p->n_keks > SOV_KEYRING_KEKS)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the keyring is malformed");
	for (int i = 0; i < p->n_keks; i++)
		read_kek(&r, &p->keks[i]);
	p->n_keys = sov_read_u16(&r);
	if (r.bad || p->n_keys < 1 || p->n_keys > MAX_KEYS)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the keyring is malformed");
	for (int i = 0; i < p->n_keys; i++)
		read_key(&r, &p->keys[i]);
	p->maced = (size_t) (r.p - object);
	sov_read_copy(&r, p->mac, 32);
	if (r.bad || sov_reader_left(&r) != 0 || p->seq == 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the keyring is malformed");
	return SOV_OK;
}

/* --- wrapping --- */

static enum sov_code
key_aad(const uint8_t repo[16], const struct wrapped_key *k, struct sov_buf *aad, struct sov_error *err)
{
	sov_write_bytes(aad, repo, 16);
	sov_write_str(aad, k->domain);
	sov_write_str(aad, k->name);
	sov_write_u32(aad, k->version);
	sov_write_u8(aad, k->purpose);
	return aad->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

static enum sov_code
wrap_key(const struct sov_aead *kek, const uint8_t repo[16], struct wrapped_key *k, const uint8_t key[32], struct sov_error *err)
{
	struct sov_buf aad = {0};
	enum sov_code rc = key_aad(repo, k, &aad, err);

	if (rc == SOV_OK)
		rc = sov_random(k->nonce, 12, err);
	if (rc == SOV_OK)
		rc = sov_aead_seal(kek, k->nonce, aad.data, aad.len, key, 32, k->sealed, k->tag, err);
	if (rc == SOV_OK)
		rc = sov_commit(key, k->name, k->commitment, err);
	sov_buf_free(&aad);
	return rc;
}

static enum sov_code
unwrap_key(const struct sov_aead *kek, const uint8_t repo[16], const struct wrapped_key *k, uint8_t key[32], struct sov_error *err)
{
	struct sov_buf aad = {0};
	uint8_t		commitment[32];
	enum sov_code rc = key_aad(repo, k, &aad, err);

	if (rc == SOV_OK)
		rc = sov_aead_open(kek, k->nonce, aad.data, aad.len, k->sealed, 32, k->tag, key, err);
	if (rc == SOV_OK)
		rc = sov_commit(key, k->name, commitment, err);
	if (rc == SOV_OK && !sov_equal(commitment, k->commitment, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "key %s does not match its commitment", k->name);
	sov_buf_free(&aad);
	return rc;
}

static enum sov_code
keyring_mac(const uint8_t kek[32], const uint8_t *bytes, size_t len, uint8_t mac[32], struct sov_error *err)
{
	static const char info[] = "pg_sovereign keyring mac v1";
	struct sov_span span = {bytes, len};
	uint8_t		key[32];
	enum sov_code rc = sov_hkdf(NULL, 0, kek, 32, info, sizeof info - 1, key, 32, err);

	if (rc == SOV_OK)
		rc = sov_hmac(key, &span, 1, mac, err);
	sov_wipe(key, sizeof key);
	return rc;
}

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

static const struct wrapped_key *
find_key(const struct parsed *p, const char *domain, uint8_t purpose)
{
	for (int i = 0; i < p->n_keys; i++)
		if (p->keys[i].purpose == purpose && strcmp(p->keys[i].domain, domain) == 0)
			return &p->keys[i];
	return NULL;
}

/* The object of what p holds, under the MAC of kek. */
static enum sov_code
write_parsed(const struct parsed *p, const uint8_t kek[32], struct sov_buf *b, struct sov_error *err)
{
	uint8_t		mac[32];
	enum sov_code rc = SOV_OK;

	sov_write_bytes(b, MAGIC, 8);
	sov_write_u16(b, find_key(p, DOMAIN, SOV_KEY_CONTENT_PUBLIC) ? FORMAT_PAIR : FORMAT);
	sov_write_u16(b, 0);
	sov_write_u64(b, p->seq);
	sov_write_bytes(b, p->repo, 16);
	sov_write_str(b, p->repo_name);
	sov_write_u64(b, p->created);
	sov_write_u16(b, (uint16_t) p->n_keks);
	for (int i = 0; i < p->n_keks; i++)
		write_kek(b, &p->keks[i]);
	sov_write_u16(b, (uint16_t) p->n_keys);
	for (int i = 0; i < p->n_keys; i++)
		write_key(b, &p->keys[i]);
	if (!b->bad)
		rc = keyring_mac(kek, b->data, b->len, mac, err);
	sov_write_bytes(b, mac, 32);
	return rc == SOV_OK && b->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : rc;
}

/* Wrapped by its custodian, who has given it back once. */
static enum sov_code
add_kek(struct parsed *p, const char *domain, struct sov_custodian *c, const uint8_t kek[32], struct sov_error *err)
{
	struct sov_keyring_kek *k = &p->keks[p->n_keks];
	struct sov_wrapped w;
	enum sov_code rc = p->n_keks < SOV_KEYRING_KEKS ? sov_custodian_wrap_proven(c, kek, &w, err)
		: sov_fail(err, SOV_E_STATE, NULL, "a keyring holds at most %d wrapped keys", SOV_KEYRING_KEKS);

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

static enum sov_code
add_key(struct parsed *p, const char *domain, const char *name, uint8_t purpose, uint32_t version,
		const struct sov_aead *kek, const uint8_t key[32], struct sov_error *err)
{
	struct wrapped_key *w = &p->keys[p->n_keys++];

	*w = (struct wrapped_key) {.version = version, .purpose = purpose, .state = 1, .created = p->created};
	snprintf(w->domain, sizeof w->domain, "%s", domain);
	snprintf(w->name, sizeof w->name, "%s", name);
	return wrap_key(kek, p->repo, w, key, err);
}

/* All keys that the host has. */
static enum sov_code
add_repository(struct parsed *p, struct sov_custodian *custodian, const struct sov_repo_keys *keys, const uint8_t kek[32], struct sov_error *err)
{
	struct sov_aead *aead = sov_aead_new(kek, err);
	enum sov_code rc = aead ? add_kek(p, DOMAIN, custodian, kek, err) : SOV_E_NOMEM;

	for (int i = 0; i < N_SLOTS && rc == SOV_OK; i++)
	{
		uint8_t		purpose = slots[i].purpose;

		if (purpose != SOV_KEY_CONTENT || keys->has_content)
			rc = add_key(p, DOMAIN, slots[i].name, purpose, purpose == SOV_KEY_OUTER ? keys->outer_version : purpose == SOV_KEY_CONTENT ? keys->content_version : 1,
						 aead, (const uint8_t *) keys + slots[i].offset, err);
	}
	if (rc == SOV_OK && keys->has_pair)
		rc = add_key(p, DOMAIN, PUBLIC_NAME, SOV_KEY_CONTENT_PUBLIC, keys->pair_version, aead, keys->content_public, err);
	sov_aead_free(aead);
	return rc;
}

/* A pair for keys, and its private key (with K_content, if there is one) for the
 * content custodian alone.  keys does not get the private key. */
static enum sov_code
add_pair(struct parsed *p, struct sov_custodian *content, struct sov_custodian *custodian, struct sov_repo_keys *keys, struct sov_error *err)
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
		rc = add_kek(p, SOV_DOMAIN_CONTENT, content, secret, err);
	if (rc == SOV_OK)
		rc = add_key(p, SOV_DOMAIN_CONTENT, PRIVATE_NAME, SOV_KEY_CONTENT_PRIVATE, keys->pair_version, aead, secret + 32, err);
	if (rc == SOV_OK && keys->has_content)
		rc = add_key(p, SOV_DOMAIN_CONTENT, slots[CONTENT_SLOT].name, SOV_KEY_CONTENT, keys->content_version, aead, keys->k_content, err);
	keys->has_pair = rc == SOV_OK;
	sov_aead_free(aead);
	sov_secret_free(secret);
	return rc;
}

/* The object of keys under a new KEK, with a pair where there is a content custodian. */
static enum sov_code
write_keyring(struct parsed *p, struct sov_custodian *custodian, struct sov_custodian *content, struct sov_repo_keys *keys, struct sov_buf *b, struct sov_error *err)
{
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = kek ? sov_random(kek, 32, err) : SOV_E_NOMEM;

	p->seq = keys->keyring_seq;
	memcpy(p->repo, keys->repo, 16);
	memcpy(p->repo_name, keys->repo_name, sizeof p->repo_name);
	p->created = now_us();
	if (rc == SOV_OK && content)
		rc = add_pair(p, content, custodian, keys, err);
	if (rc == SOV_OK)
		rc = add_repository(p, custodian, keys, kek, err);
	if (rc == SOV_OK)
		rc = write_parsed(p, kek, b, err);
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
	struct parsed *p = calloc(1, sizeof *p);
	enum sov_code rc = keys && p ? random_keys(keys, content == NULL, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
	{
		keys->keyring_seq = 1;
		snprintf(keys->repo_name, sizeof keys->repo_name, "%s", repo_name);
		rc = write_keyring(p, custodian, content, keys, object, err);
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

static enum sov_code
open_keys(const struct parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	struct sov_aead *aead = sov_aead_new(kek, err);
	uint32_t	have = 0;
	enum sov_code rc = aead ? SOV_OK : SOV_E_NOMEM;

	for (int i = 0; i < p->n_keys && rc == SOV_OK; i++)
	{
		const struct wrapped_key *k = &p->keys[i];

		if (strcmp(k->domain, DOMAIN) != 0)
			continue;
		for (int s = 0; s < N_SLOTS && rc == SOV_OK; s++)
		{
			if (slots[s].purpose != k->purpose)
				continue;
			rc = unwrap_key(aead, p->repo, k, (uint8_t *) keys + slots[s].offset, err);
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
			rc = unwrap_key(aead, p->repo, k, keys->content_public, err);
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

static enum sov_code
unwrap_kek(struct sov_custodian *custodian, const struct parsed *p, const char *domain, uint8_t kek[32], struct sov_error *err)
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
static enum sov_code
open_parsed(struct sov_custodian *custodian, const uint8_t *object, size_t len, struct parsed *p, uint8_t kek[32], struct sov_error *err)
{
	uint8_t		mac[32];
	enum sov_code rc = parse(object, len, p, err);

	if (rc == SOV_OK)
		rc = unwrap_kek(custodian, p, DOMAIN, kek, err);
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
	struct parsed *p = malloc(sizeof *p);
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && keys && kek ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = open_parsed(custodian, object, len, p, kek, err);
	if (rc == SOV_OK)
	{
		memcpy(keys->repo, p->repo, 16);
		memcpy(keys->repo_name, p->repo_name, sizeof keys->repo_name);
		keys->keyring_seq = p->seq;
		rc = open_keys(p, kek, keys, err);
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

/* The keys of the domain "content" into keys, which are of the same object. */
static enum sov_code
open_content(const struct parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	const struct wrapped_key *private = find_key(p, SOV_DOMAIN_CONTENT, SOV_KEY_CONTENT_PRIVATE),
			   *before = find_key(p, SOV_DOMAIN_CONTENT, SOV_KEY_CONTENT);
	struct sov_aead *aead = sov_aead_new(kek, err);
	uint8_t		public[32];
	enum sov_code rc = aead ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && private == NULL)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "the keyring lacks the private content key");
	if (rc == SOV_OK)
		rc = unwrap_key(aead, p->repo, private, keys->content_private, err);
	if (rc == SOV_OK)
		rc = sov_hpke_public(keys->content_private, public, err);
	/* a host could have put a public key of its own there */
	if (rc == SOV_OK && (private->version != keys->pair_version || !sov_equal(public, keys->content_public, 32)))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the keyring's public content key is not that of the custodian's private one: somebody who holds the repository's keys has changed it");
	if (rc == SOV_OK && before)
		rc = unwrap_key(aead, p->repo, before, keys->k_content, err);
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
	struct parsed *p = malloc(sizeof *p);
	uint8_t    *kek = sov_secret_alloc(32, err);
	struct sov_span span = {object, len};
	uint8_t		hash[32];
	enum sov_code rc = p && kek ? parse(object, len, p, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	/* whose MAC was checked when keys were opened */
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, hash, err);
	if (rc == SOV_OK && memcmp(hash, keys->keyring_hash, 32) != 0)
		rc = sov_fail(err, SOV_E_STATE, NULL, "the keyring is another than the one that was opened");
	if (rc == SOV_OK)
		rc = unwrap_kek(content, p, SOV_DOMAIN_CONTENT, kek, err);
	if (rc == SOV_OK)
		rc = open_content(p, kek, keys, err);
	sov_secret_free(kek);
	free(p);
	return rc;
}

/* Of a keyring that was opened: what belongs to other domains, and the keys of ours. */
static enum sov_code
take_apart(struct parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err)
{
	int			keks = 0,
				wrapped = 0;
	enum sov_code rc = open_keys(p, kek, keys, err);

	memcpy(keys->repo, p->repo, 16);
	memcpy(keys->repo_name, p->repo_name, sizeof keys->repo_name);
	keys->keyring_seq = p->seq + 1;
	for (int i = 0; i < p->n_keks; i++)
		if (strcmp(p->keks[i].domain, DOMAIN) != 0)
			p->keks[keks++] = p->keks[i];
	p->n_keks = keks;
	for (int i = 0; i < p->n_keys; i++)
		if (strcmp(p->keys[i].domain, DOMAIN) != 0)
			p->keys[wrapped++] = p->keys[i];
	p->n_keys = wrapped;
	return rc;
}

/* content: add a pair; NULL: drop K_content. */
static enum sov_code
make_next(struct sov_custodian *custodian, struct sov_custodian *content, const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err)
{
	struct parsed *p = malloc(sizeof *p);
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && keys && kek ? open_parsed(custodian, object, len, p, kek, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

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
		rc = write_keyring(p, custodian, content, keys, out, err);
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

enum sov_code
sov_keyring_open_kek(struct sov_custodian *with, const uint8_t *object, size_t len, uint8_t kek[32], struct sov_error *err)
{
	struct parsed *p = malloc(sizeof *p);
	enum sov_code rc = p ? open_parsed(with, object, len, p, kek, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	free(p);
	return rc;
}

enum sov_code
sov_keyring_rewrap(struct sov_custodian *with, const uint8_t *object, size_t len,
				   const struct sov_keyring_kek *keks, int n, struct sov_buf *out, struct sov_error *err)
{
	struct parsed *p = malloc(sizeof *p);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = p && kek ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK && n > SOV_KEYRING_KEKS)
		rc = sov_fail(err, SOV_E_STATE, NULL, "a keyring holds at most %d wrapped keys", SOV_KEYRING_KEKS);
	if (rc == SOV_OK)
		rc = open_parsed(with, object, len, p, kek, err);
	if (rc == SOV_OK)
	{
		p->seq++;
		p->created = now_us();
		p->n_keks = n;
		memcpy(p->keks, keks, (size_t) n * sizeof *keks);
		rc = write_parsed(p, kek, out, err);
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

enum sov_code
sov_keyring_describe(const uint8_t *object, size_t len, struct sov_keyring_info *info, struct sov_error *err)
{
	struct parsed *p = malloc(sizeof *p);
	int			mine = 0;
	enum sov_code rc = p ? parse(object, len, p, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	memset(info, 0, sizeof *info);
	if (rc == SOV_OK)
	{
		memcpy(info->repo, p->repo, 16);
		memcpy(info->repo_name, p->repo_name, sizeof info->repo_name);
		info->seq = p->seq;
		info->created = p->created;
		while (mine + 1 < p->n_keks && strcmp(p->keks[mine].domain, DOMAIN) != 0)
			mine++;
		memcpy(info->root_id, p->keks[mine].root_id, 16);
		memcpy(info->custodian, p->keks[mine].custodian, sizeof info->custodian);
		info->n_keks = p->n_keks;
		memcpy(info->keks, p->keks, (size_t) p->n_keks * sizeof p->keks[0]);
		info->n_keys = p->n_keys;
		for (int i = 0; i < p->n_keys; i++)
		{
			memcpy(info->keys[i].domain, p->keys[i].domain, SOV_NAME_MAX);
			memcpy(info->keys[i].name, p->keys[i].name, SOV_NAME_MAX);
			info->keys[i].version = p->keys[i].version;
			info->keys[i].purpose = p->keys[i].purpose;
			info->keys[i].state = p->keys[i].state;
			info->keys[i].created = p->keys[i].created;
		}
	}
	free(p);
	return rc;
}

bool
sov_keyring_has(const struct sov_keyring_info *info, const char *domain, uint8_t purpose)
{
	for (int i = 0; i < info->n_keys; i++)
		if (info->keys[i].purpose == purpose && strcmp(info->keys[i].domain, domain) == 0)
			return true;
	return false;
}

const struct sov_keyring_kek *
sov_keyring_content(const struct sov_keyring_info *info)
{
	for (int i = 0; i < info->n_keks; i++)
		if (strcmp(info->keks[i].domain, SOV_DOMAIN_CONTENT) == 0)
			return &info->keks[i];
	return NULL;
}

void
sov_keyring_object_name(uint64_t seq, const uint8_t hash[32], char dst[SOV_NAME_MAX])
{
	char		hex[17];

	sov_hex(hex, hash, 8);
	snprintf(dst, SOV_NAME_MAX, "k/%016" PRIx64 "-%s", seq, hex);
}
