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
#define DOMAIN "repository"
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
	{SOV_KEY_CONTENT, "content", AT(k_content)},
	{SOV_KEY_CONTROLLER, "controller", AT(controller_seed)},
	{SOV_KEY_ADMIN, "administrator", AT(admin_seed)},
};
#define N_SLOTS ((int) (sizeof slots / sizeof slots[0]))

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

	memset(p, 0, sizeof *p);
	sov_reader_init(&r, object, len);
	magic = sov_read_bytes(&r, 8);
	if (magic == NULL || memcmp(magic, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a keyring");
	if (sov_read_u16(&r) != FORMAT || sov_read_u16(&r) != 0)
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

/* The object of what p holds, under the MAC of kek. */
static enum sov_code
write_parsed(const struct parsed *p, const uint8_t kek[32], struct sov_buf *b, struct sov_error *err)
{
	uint8_t		mac[32];
	enum sov_code rc = SOV_OK;

	sov_write_bytes(b, MAGIC, 8);
	sov_write_u16(b, FORMAT);
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

static enum sov_code
write_keyring(struct sov_custodian *custodian, struct sov_repo_keys *keys, const uint8_t kek[32], struct sov_buf *b, struct sov_error *err)
{
	struct sov_aead *aead = sov_aead_new(kek, err);
	struct parsed *p = calloc(1, sizeof *p);
	struct sov_keyring_kek *k = p ? &p->keks[0] : NULL;
	size_t		blob_len = 0;
	enum sov_code rc = aead && p ? custodian->ops->wrap(custodian, kek, k->blob, &blob_len, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
	{
		p->seq = keys->keyring_seq;
		memcpy(p->repo, keys->repo, 16);
		memcpy(p->repo_name, keys->repo_name, sizeof p->repo_name);
		p->created = now_us();
		p->n_keks = 1;
		snprintf(k->domain, sizeof k->domain, DOMAIN);
		memcpy(k->root_id, custodian->root_id, 16);
		custodian->ops->describe(custodian, k->custodian, sizeof k->custodian);
		k->len = (uint16_t) blob_len;
		p->n_keys = N_SLOTS;
	}
	for (int i = 0; i < N_SLOTS && rc == SOV_OK; i++)
	{
		struct wrapped_key *w = &p->keys[i];

		*w = (struct wrapped_key) {.domain = DOMAIN, .version = 1, .purpose = slots[i].purpose, .state = 1, .created = p->created};
		snprintf(w->name, sizeof w->name, "%s", slots[i].name);
		if (slots[i].purpose == SOV_KEY_OUTER)
			w->version = keys->outer_version;
		if (slots[i].purpose == SOV_KEY_CONTENT)
			w->version = keys->content_version;
		rc = wrap_key(aead, keys->repo, w, (uint8_t *) keys + slots[i].offset, err);
	}
	if (rc == SOV_OK)
		rc = write_parsed(p, kek, b, err);
	sov_aead_free(aead);
	free(p);
	return rc;
}

enum sov_code
sov_keyring_create(struct sov_custodian *custodian, const char *repo_name,
				   struct sov_repo_keys **out, struct sov_buf *object, struct sov_error *err)
{
	struct sov_repo_keys *keys = sov_secret_alloc(sizeof *keys, err);
	uint8_t    *kek = sov_secret_alloc(32, err);
	enum sov_code rc = keys && kek ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = sov_random(kek, 32, err);
	if (rc == SOV_OK)
		rc = sov_random(keys->repo, 16, err);
	for (int i = 0; i < N_SLOTS && rc == SOV_OK; i++)
		rc = sov_random((uint8_t *) keys + slots[i].offset, 32, err);
	/* Version ids are random: names and counters collide between repositories. */
	if (rc == SOV_OK)
		rc = sov_random(&keys->outer_version, 4, err);
	if (rc == SOV_OK)
		rc = sov_random(&keys->content_version, 4, err);
	if (rc == SOV_OK)
	{
		keys->keyring_seq = 1;
		snprintf(keys->repo_name, sizeof keys->repo_name, "%s", repo_name);
		rc = write_keyring(custodian, keys, kek, object, err);
	}
	if (rc == SOV_OK)
		rc = finish_keys(keys, object->data, object->len, err);
	sov_secret_free(kek);
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
				keys->content_version = k->version;
		}
	}
	sov_aead_free(aead);
	if (rc == SOV_OK && have != (1u << N_SLOTS) - 1)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "the keyring lacks a key");
	return rc;
}

static enum sov_code
unwrap_kek(struct sov_custodian *custodian, const struct parsed *p, uint8_t kek[32], struct sov_error *err)
{
	const struct sov_keyring_kek *other = NULL;
	char		ours[37],
				theirs[37];

	for (int i = 0; i < p->n_keks; i++)
	{
		if (strcmp(p->keks[i].domain, DOMAIN) != 0)
			continue;
		if (memcmp(p->keks[i].root_id, custodian->root_id, 16) == 0)
			return custodian->ops->unwrap(custodian, p->keks[i].blob, p->keks[i].len, kek, err);
		other = &p->keks[i];
	}
	if (other == NULL)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the keyring has no key for the repository");
	sov_uuid_text(ours, custodian->root_id);
	sov_uuid_text(theirs, other->root_id);
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
		rc = unwrap_kek(custodian, p, kek, err);
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
	enum sov_code rc = p ? parse(object, len, p, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	memset(info, 0, sizeof *info);
	if (rc == SOV_OK)
	{
		memcpy(info->repo, p->repo, 16);
		memcpy(info->repo_name, p->repo_name, sizeof info->repo_name);
		info->seq = p->seq;
		info->created = p->created;
		memcpy(info->root_id, p->keks[0].root_id, 16);
		memcpy(info->custodian, p->keks[0].custodian, sizeof info->custodian);
		info->n_keks = p->n_keks;
		memcpy(info->keks, p->keks, (size_t) p->n_keks * sizeof p->keks[0]);
		info->n_keys = p->n_keys;
		for (int i = 0; i < p->n_keys; i++)
		{
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

void
sov_keyring_object_name(uint64_t seq, const uint8_t hash[32], char dst[SOV_NAME_MAX])
{
	char		hex[17];

	sov_hex(hex, hash, 8);
	snprintf(dst, SOV_NAME_MAX, "k/%016" PRIx64 "-%s", seq, hex);
}
