/*
 * keyring_object.c - the bytes of a keyring, its wrapped keys and its MAC; what can be
 * told without any key.  Layout in sov_keyring.h.
 */
#include "keyring_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "SOVKEYRG"
#define FORMAT 1
#define FORMAT_PAIR 2			/* with a pair of content keys */

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
read_key(struct sov_reader *r, struct keyring_wrapped *k)
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
write_key(struct sov_buf *b, const struct keyring_wrapped *k)
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

enum sov_code
keyring_parse(const uint8_t *object, size_t len, struct keyring_parsed *p, struct sov_error *err)
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
	if (r.bad || p->n_keys < 1 || p->n_keys > KEYRING_MAX_KEYS)
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
key_aad(const uint8_t repo[16], const struct keyring_wrapped *k, struct sov_buf *aad, struct sov_error *err)
{
	sov_write_bytes(aad, repo, 16);
	sov_write_str(aad, k->domain);
	sov_write_str(aad, k->name);
	sov_write_u32(aad, k->version);
	sov_write_u8(aad, k->purpose);
	return aad->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

enum sov_code
keyring_wrap_key(const struct sov_aead *kek, const uint8_t repo[16], struct keyring_wrapped *k, const uint8_t key[32], struct sov_error *err)
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

enum sov_code
keyring_unwrap_key(const struct sov_aead *kek, const uint8_t repo[16], const struct keyring_wrapped *k, uint8_t key[32], struct sov_error *err)
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

enum sov_code
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

/* --- the object --- */

/* NULL: there is none. */
static const struct keyring_wrapped *
keyring_find(const struct keyring_parsed *p, const char *domain, uint8_t purpose)
{
	for (int i = 0; i < p->n_keys; i++)
		if (p->keys[i].purpose == purpose && strcmp(p->keys[i].domain, domain) == 0)
			return &p->keys[i];
	return NULL;
}

/* The object of what p holds, under the MAC of kek. */
enum sov_code
keyring_write(const struct keyring_parsed *p, const uint8_t kek[32], struct sov_buf *b, struct sov_error *err)
{
	uint8_t		mac[32];
	enum sov_code rc = SOV_OK;

	sov_write_bytes(b, MAGIC, 8);
	sov_write_u16(b, keyring_find(p, SOV_DOMAIN_REPOSITORY, SOV_KEY_CONTENT_PUBLIC) ? FORMAT_PAIR : FORMAT);
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

/* --- without a key --- */

enum sov_code
sov_keyring_describe(const uint8_t *object, size_t len, struct sov_keyring_info *info, struct sov_error *err)
{
	struct keyring_parsed *p = malloc(sizeof *p);
	int			mine = 0;
	enum sov_code rc = p ? keyring_parse(object, len, p, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	memset(info, 0, sizeof *info);
	if (rc == SOV_OK)
	{
		memcpy(info->repo, p->repo, 16);
		memcpy(info->repo_name, p->repo_name, sizeof info->repo_name);
		info->seq = p->seq;
		info->created = p->created;
		while (mine + 1 < p->n_keks && strcmp(p->keks[mine].domain, SOV_DOMAIN_REPOSITORY) != 0)
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

void
sov_keyring_subjects_name(const uint8_t hash[32], char dst[SOV_NAME_MAX])
{
	char		hex[33];

	sov_hex(hex, hash, 16);
	snprintf(dst, SOV_NAME_MAX, SOV_SUBJECTS_PREFIX "%s", hex);
}
