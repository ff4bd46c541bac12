/*
 * shard.c - the container of one coded piece: layout in sov_shard.h.
 */
#include "sov_shard.h"

#include <stdlib.h>
#include <string.h>

#include "sov_run.h"

#define MAGIC "SOVSHARD"
#define FORMAT 1
#define SEALED_MIN 189			/* n = 1, an id of one byte */
#define SEALED_MAX (SOV_SHARD_HEAD_MAX - SOV_SHARD_CLEAR - SOV_TAG_LEN)
#define TOTAL_MAX ((uint64_t) 1 << 40)

/* Key of the block tags: sov_shard.h says why the run is part of it. */
static struct sov_aead *
block_key(const struct sov_repo_keys *keys, const struct sov_shard_info *info, struct sov_error *err)
{
	struct sov_buf label = {0};
	struct sov_aead *a = NULL;
	uint8_t		key[32];

	sov_write_bytes(&label, "pg_sovereign block v1", 21);
	sov_write_u8(&label, info->class_);
	sov_write_str(&label, info->id);
	sov_write_u32(&label, info->generation);
	sov_write_bytes(&label, info->run, 16);
	if (label.bad)
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	else if (sov_hkdf(info->stream, 32, keys->k_verify, 32, label.data, label.len, key, 32, err) == SOV_OK)
		a = sov_aead_new(key, err);
	sov_wipe(key, sizeof key);
	sov_buf_free(&label);
	return a;
}

static void
block_nonce(uint8_t nonce[12], uint8_t slot, uint64_t block)
{
	sov_put_le32(nonce, slot);
	sov_put_le64(nonce + 4, block);
}

static enum sov_code
tag_body(const struct sov_aead *key, uint8_t slot, uint64_t first, const uint8_t *body, uint64_t len, uint8_t *tags, struct sov_error *err)
{
	uint8_t		nonce[12];
	enum sov_code rc = SOV_OK;

	for (uint64_t at = 0; at < len && rc == SOV_OK; at += SOV_BLOCK_LEN, tags += SOV_TAG_LEN)
	{
		block_nonce(nonce, slot, first + at / SOV_BLOCK_LEN);
		rc = sov_gmac(key, nonce, body + at, len - at < SOV_BLOCK_LEN ? len - at : SOV_BLOCK_LEN, tags, err);
	}
	return rc;
}

static enum sov_code
tags_root(const uint8_t *tags, size_t len, uint8_t root[32], struct sov_error *err)
{
	struct sov_span span = {tags, len};

	return sov_sha256(&span, 1, root, err);
}

/* --- header --- */

static void
write_sealed(struct sov_buf *b, const struct sov_repo_keys *keys, const struct sov_shard_info *info)
{
	sov_write_bytes(b, keys->repo, 16);
	sov_write_u8(b, info->class_);
	sov_write_str(b, info->id);
	sov_write_u32(b, info->generation);
	sov_write_u16(b, info->attempt);
	sov_write_u8(b, info->k);
	sov_write_u8(b, info->n);
	sov_write_u8(b, info->slot);
	sov_write_u64(b, info->total_len);
	sov_write_u64(b, info->shard_len);
	sov_write_bytes(b, info->stream, 32);
	sov_write_bytes(b, info->run, 16);
	sov_write_bytes(b, info->content, 32);
	sov_write_bytes(b, info->commitment, 32);
	for (int i = 0; i < info->n; i++)
		sov_write_bytes(b, info->roots[i], 32);
}

/* Header of one slot and its tags into *prefix. */
static enum sov_code
make_prefix(const struct sov_repo_keys *keys, const struct sov_shard_info *info, const uint8_t *tags, size_t tags_len,
			struct sov_buf *prefix, struct sov_error *err)
{
	struct sov_buf plain = {0};
	uint8_t		clear[SOV_SHARD_CLEAR];
	uint8_t    *p;
	enum sov_code rc = sov_random(clear + 20, 12, err);

	write_sealed(&plain, keys, info);
	memcpy(clear, MAGIC, 8);
	sov_put_le16(clear + 8, FORMAT);
	sov_put_le16(clear + 10, SOV_SUITE);
	sov_put_le32(clear + 12, keys->outer_version);
	sov_put_le32(clear + 16, (uint32_t) plain.len);
	p = sov_buf_extend(prefix, SOV_SHARD_CLEAR + plain.len + SOV_TAG_LEN + tags_len);
	if (rc == SOV_OK && (p == NULL || plain.bad))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
	{
		memcpy(p, clear, sizeof clear);
		rc = sov_aead_seal(keys->outer, clear + 20, clear, sizeof clear, plain.data, plain.len,
						   p + SOV_SHARD_CLEAR, p + SOV_SHARD_CLEAR + plain.len, err);
		if (tags_len > 0)
			memcpy(p + SOV_SHARD_CLEAR + plain.len + SOV_TAG_LEN, tags, tags_len);
	}
	sov_buf_free(&plain);
	return rc;
}

static bool
info_plausible(const struct sov_shard_info *info)
{
	if (strchr("pwm", info->class_) == NULL || info->class_ == 0 || info->id[0] == '\0')
		return false;
	if (info->k < 1 || info->n > SOV_EC_MAX || info->k > info->n || info->slot >= info->n)
		return false;
	return info->total_len <= TOTAL_MAX && info->shard_len == sov_ec_shard_len(info->total_len, info->k);
}

enum sov_code
sov_shard_parse(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
				struct sov_shard_info *info, uint64_t *tags_at, uint64_t *body_at, struct sov_error *err)
{
	uint8_t		plain[SEALED_MAX],
				repo[16];
	struct sov_reader r;
	uint32_t	n;
	enum sov_code rc;

	memset(info, 0, sizeof *info);
	if (len < SOV_SHARD_CLEAR || memcmp(obj, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a shard");
	if (sov_get_le16(obj + 8) != FORMAT || sov_get_le16(obj + 10) != SOV_SUITE)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "shard format %u, suite %u are not known to this version",
						sov_get_le16(obj + 8), sov_get_le16(obj + 10));
	if (sov_get_le32(obj + 12) != keys->outer_version)
		return sov_fail(err, SOV_E_AUTH, NULL, "the header is sealed under key version %u, which the keyring does not have", sov_get_le32(obj + 12));
	n = sov_get_le32(obj + 16);
	if (n < SEALED_MIN || n > SEALED_MAX || len < SOV_SHARD_CLEAR + (size_t) n + SOV_TAG_LEN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the shard is cut short");
	rc = sov_aead_open(keys->outer, obj + 20, obj, SOV_SHARD_CLEAR, obj + SOV_SHARD_CLEAR, n, obj + SOV_SHARD_CLEAR + n, plain, err);
	if (rc != SOV_OK)
		return rc;
	sov_reader_init(&r, plain, n);
	sov_read_copy(&r, repo, 16);
	info->class_ = sov_read_u8(&r);
	sov_read_str(&r, info->id, sizeof info->id);
	info->generation = sov_read_u32(&r);
	info->attempt = sov_read_u16(&r);
	info->k = sov_read_u8(&r);
	info->n = sov_read_u8(&r);
	info->slot = sov_read_u8(&r);
	info->total_len = sov_read_u64(&r);
	info->shard_len = sov_read_u64(&r);
	sov_read_copy(&r, info->stream, 32);
	sov_read_copy(&r, info->run, 16);
	sov_read_copy(&r, info->content, 32);
	sov_read_copy(&r, info->commitment, 32);
	for (int i = 0; i < info->n && i < SOV_EC_MAX; i++)
		sov_read_copy(&r, info->roots[i], 32);
	if (r.bad || sov_reader_left(&r) != 0 || !info_plausible(info))
		return sov_fail(err, SOV_E_FORMAT, NULL, "a shard's header is malformed");
	if (memcmp(repo, keys->repo, 16) != 0)
		return sov_fail(err, SOV_E_AUTH, NULL, "the shard belongs to another repository");
	*tags_at = SOV_SHARD_CLEAR + (uint64_t) n + SOV_TAG_LEN;
	*body_at = *tags_at + SOV_TAG_LEN * sov_shard_blocks(info->shard_len);
	return SOV_OK;
}

/* --- encoding --- */

/* Point the data slots into the sealed bytes, the padded ones and parity into
 * memory of the set's own. */
static enum sov_code
lay_out(struct sov_shard_set *set, const uint8_t *sealed, size_t len, struct sov_error *err)
{
	uint64_t	slen = set->info.shard_len;
	int			k = set->info.k,
				n = set->info.n,
				whole = slen ? (int) (len / slen) : k;
	uint8_t    *p;
	const uint8_t *data[SOV_EC_MAX];
	uint8_t    *parity[SOV_EC_MAX];

	p = sov_buf_extend(&set->owned, (size_t) (n - whole) * slen);
	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (int i = 0; i < k; i++)
	{
		uint64_t	at = (uint64_t) i * slen;

		if (i < whole)
		{
			set->body[i] = data[i] = sealed + at;
			continue;
		}
		if (at < len)
			memcpy(p, sealed + at, len - at);
		memset(p + (at < len ? len - at : 0), 0, slen - (at < len ? len - at : 0));
		set->body[i] = data[i] = p;
		p += slen;
	}
	for (int i = k; i < n; i++, p += slen)
	{
		parity[i - k] = p;
		set->body[i] = p;
	}
	sov_ec_encode(k, n, slen, data, parity);
	return SOV_OK;
}

static enum sov_code
tag_all(const struct sov_repo_keys *keys, struct sov_shard_set *set, struct sov_error *err)
{
	size_t		tags_len = SOV_TAG_LEN * sov_shard_blocks(set->info.shard_len);
	uint8_t    *tags = malloc(tags_len * set->info.n + 1);
	struct sov_aead *key = block_key(keys, &set->info, err);
	enum sov_code rc = tags ? (key ? SOV_OK : SOV_E_CRYPTO) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	for (int i = 0; i < set->info.n && rc == SOV_OK; i++)
	{
		rc = tag_body(key, (uint8_t) i, 0, set->body[i], set->info.shard_len, tags + tags_len * (size_t) i, err);
		if (rc == SOV_OK)
			rc = tags_root(tags + tags_len * (size_t) i, tags_len, set->info.roots[i], err);
	}
	for (int i = 0; i < set->info.n && rc == SOV_OK; i++)
	{
		set->info.slot = (uint8_t) i;
		rc = make_prefix(keys, &set->info, tags + tags_len * (size_t) i, tags_len, &set->prefix[i], err);
	}
	sov_aead_free(key);
	free(tags);
	return rc;
}

enum sov_code
sov_shard_encode(const struct sov_repo_keys *keys, const struct sov_shard_info *info,
				 const uint8_t *sealed, size_t len, struct sov_shard_set *set, struct sov_error *err)
{
	enum sov_code rc;

	memset(set, 0, sizeof *set);
	set->info = *info;
	set->info.slot = 0;
	set->info.total_len = len;
	set->info.shard_len = info->k ? sov_ec_shard_len(len, info->k) : 0;
	if (!info_plausible(&set->info))
		return sov_fail(err, SOV_E_FORMAT, NULL, "an object cannot be coded %d of %d", info->k, info->n);
	rc = lay_out(set, sealed, len, err);
	if (rc == SOV_OK)
		rc = tag_all(keys, set, err);
	if (rc != SOV_OK)
		sov_shard_set_free(set);
	return rc;
}

void
sov_shard_set_free(struct sov_shard_set *set)
{
	for (int i = 0; i < SOV_EC_MAX; i++)
		sov_buf_free(&set->prefix[i]);
	sov_buf_free(&set->owned);
}

/* --- checking --- */

enum sov_code
sov_shard_check_tags(const struct sov_shard_info *info, const uint8_t *tags, size_t len, struct sov_error *err)
{
	uint8_t		root[32];
	enum sov_code rc;

	if (len != SOV_TAG_LEN * sov_shard_blocks(info->shard_len))
		return sov_fail(err, SOV_E_FORMAT, NULL, "the list of block tags is cut short");
	rc = tags_root(tags, len, root, err);
	if (rc == SOV_OK && !sov_equal(root, info->roots[info->slot], 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the list of block tags does not match the header");
	return rc;
}

enum sov_code
sov_shard_check_blocks(const struct sov_repo_keys *keys, const struct sov_shard_info *info, const uint8_t *tags,
					   uint64_t first_block, const uint8_t *data, size_t len, struct sov_error *err)
{
	uint64_t	blocks = sov_shard_blocks(info->shard_len);
	struct sov_aead *key;
	uint8_t		nonce[12],
				tag[16];
	enum sov_code rc;

	if (first_block > blocks || sov_shard_blocks(len) > blocks - first_block)
		return sov_fail(err, SOV_E_FORMAT, NULL, "there are more blocks than the shard has");
	key = block_key(keys, info, err);
	rc = key ? SOV_OK : SOV_E_CRYPTO;
	for (size_t at = 0; at < len && rc == SOV_OK; at += SOV_BLOCK_LEN)
	{
		uint64_t	block = first_block + at / SOV_BLOCK_LEN;

		block_nonce(nonce, info->slot, block);
		rc = sov_gmac(key, nonce, data + at, len - at < SOV_BLOCK_LEN ? len - at : SOV_BLOCK_LEN, tag, err);
		if (rc == SOV_OK && !sov_equal(tag, tags + block * SOV_TAG_LEN, 16))
			rc = sov_fail(err, SOV_E_AUTH, NULL, "block %llu does not match its tag", (unsigned long long) block);
	}
	sov_aead_free(key);
	return rc;
}

enum sov_code
sov_shard_verify(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
				 struct sov_shard_info *info, const uint8_t **body, struct sov_error *err)
{
	uint64_t	tags_at,
				body_at;
	enum sov_code rc = sov_shard_parse(keys, obj, len, info, &tags_at, &body_at, err);

	if (rc != SOV_OK)
		return rc;
	if (len != body_at + info->shard_len)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it has %zu bytes instead of %llu", len, (unsigned long long) (body_at + info->shard_len));
	rc = sov_shard_check_tags(info, obj + tags_at, body_at - tags_at, err);
	if (rc == SOV_OK)
		rc = sov_shard_check_blocks(keys, info, obj + tags_at, 0, obj + body_at, info->shard_len, err);
	if (rc == SOV_OK)
		*body = obj + body_at;
	return rc;
}

bool
sov_shard_same_group(const struct sov_shard_info *a, const struct sov_shard_info *b)
{
	return a->class_ == b->class_ && strcmp(a->id, b->id) == 0 && a->generation == b->generation &&
		a->attempt == b->attempt && a->k == b->k && a->n == b->n && a->total_len == b->total_len &&
		memcmp(a->stream, b->stream, 32) == 0 && memcmp(a->run, b->run, 16) == 0 &&
		memcmp(a->roots, b->roots, sizeof a->roots) == 0;
}

/* --- decoding --- */

enum sov_code
sov_shard_decode(const struct sov_shard_info *info, const int *slots, const uint8_t *const *bodies,
				 struct sov_buf *sealed, struct sov_error *err)
{
	uint64_t	slen = info->shard_len;
	int			want[SOV_EC_MAX],
				n_want = 0;
	uint8_t    *out[SOV_EC_MAX];
	size_t		before = sealed->len;
	uint8_t    *p = sov_buf_extend(sealed, slen * info->k);
	bool		have[SOV_EC_MAX] = {false};
	enum sov_code rc;

	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (int i = 0; i < info->k; i++)
		if (slots[i] >= 0 && slots[i] < info->k)	/* sov_ec_decode refuses the rest */
		{
			have[slots[i]] = true;
			if (slen > 0)
				memcpy(p + slen * (uint64_t) slots[i], bodies[i], slen);
		}
	for (int i = 0; i < info->k; i++)
		if (!have[i])
		{
			want[n_want] = i;
			out[n_want++] = p + slen * (uint64_t) i;
		}
	rc = sov_ec_decode(info->k, slen, slots, bodies, want, out, n_want, err);
	sealed->len = before + (rc == SOV_OK ? (size_t) info->total_len : 0);
	return rc;
}

enum sov_code
sov_shard_rebuild(const struct sov_repo_keys *keys, const struct sov_shard_info *info_in, const int *slots,
				  const uint8_t *const *bodies, int slot, struct sov_buf *object, struct sov_error *err)
{
	struct sov_shard_info info = *info_in;
	size_t		tags_len = SOV_TAG_LEN * sov_shard_blocks(info.shard_len);
	struct sov_buf room = {0};
	uint8_t    *body = sov_buf_extend(&room, info.shard_len),
			   *tags = malloc(tags_len + 1),
				root[32];
	struct sov_aead *key = NULL;
	enum sov_code rc = body && tags ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	info.slot = (uint8_t) slot;
	if (rc == SOV_OK)
		rc = sov_ec_decode(info.k, info.shard_len, slots, bodies, &slot, &body, 1, err);
	if (rc == SOV_OK)
		rc = (key = block_key(keys, &info, err)) ? SOV_OK : SOV_E_CRYPTO;
	if (rc == SOV_OK)
		rc = tag_body(key, info.slot, 0, body, info.shard_len, tags, err);
	if (rc == SOV_OK)
		rc = tags_root(tags, tags_len, root, err);
	if (rc == SOV_OK && !sov_equal(root, info.roots[slot], 32))
		rc = sov_fail(err, SOV_E_CORRUPT, NULL, "a rebuilt shard does not match what its siblings say");
	if (rc == SOV_OK)
		rc = make_prefix(keys, &info, tags, tags_len, object, err);
	if (rc == SOV_OK)
	{
		sov_write_bytes(object, body, info.shard_len);
		if (object->bad)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	sov_aead_free(key);
	sov_buf_free(&room);
	free(tags);
	return rc;
}

enum sov_code
sov_shard_object_name(const struct sov_repo_keys *keys, const uint8_t provider[16], uint8_t class_, const char *id,
					  uint32_t generation, uint8_t slot, uint16_t attempt, char dst[SOV_NAME_MAX], struct sov_error *err)
{
	struct sov_buf b = {0};
	struct sov_span span;
	uint8_t		mac[32];
	enum sov_code rc;

	sov_write_bytes(&b, provider, 16);
	sov_write_u8(&b, class_);
	sov_write_str(&b, id);
	sov_write_u32(&b, generation);
	sov_write_u8(&b, slot);
	sov_write_u16(&b, attempt);
	span = (struct sov_span) {b.data, b.len};
	rc = b.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : sov_hmac(keys->k_name, &span, 1, mac, err);
	dst[0] = (char) class_;
	dst[1] = '/';
	sov_base32(dst + 2, mac, 20);
	sov_buf_free(&b);
	return rc;
}
