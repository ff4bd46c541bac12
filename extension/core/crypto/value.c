/*
 * value.c - sealing and opening of one encrypted column value.
 *
 * The layout and the keys stand in sov_value.h.  Invariants: a random nonce
 * comes from the caller and is used once; a synthetic one (compact mode) is E
 * itself, under a key of the base type's own, over the very bytes that E is
 * computed from, or that those bytes fix (int4: E is that of the int8).
 */
#include "sov_value.h"

#include <zstd.h>

#include "sov_bytes.h"

#define PACK_HEAD 5				/* method u8, length u32 */
#define PACK_ZSTD 1
#define PACK_LEVEL 1
#define COMPACT_LAST SOV_BASE_UUID
#define HEAD_USUAL (2 + 4 + 12)	/* random and compact, of no person */

/*
 * K_rand, then K_syn of each base type that may be compact, expanded in place and
 * without pointers.  Memory of the caller's (sov_value_keys_init_at) holds all of them
 * and not the data key; an allocation of our own makes them when first used.
 */
struct sov_value_keys
{
	uint32_t	keyver;
	uint32_t	made;			/* bit i: key i is expanded */
	uint32_t	lazy;			/* 1 in memory of our own; wiped memory is never written to */
	uint8_t		data_key[SOV_KEY_LEN];
	_Alignas(64) uint8_t expanded[];
};

#define N_KEYS (COMPACT_LAST + 1)
#define K_RAND 0				/* K_syn of base type t is key t */

/* --- keys --- */

static size_t
key_stride(void)
{
	return (sov_aead_size() + 63) / 64 * 64;
}

static struct sov_aead *
key_at(struct sov_value_keys *k, int i)
{
	return (struct sov_aead *) (k->expanded + (size_t) i * key_stride());
}

static enum sov_code
make_key(struct sov_value_keys *k, int i, const uint8_t data_key[32], struct sov_error *err)
{
	static const char rand_info[] = "pg_sovereign K_rand v1";
	static const char syn_info[] = "pg_sovereign K_syn v1";
	uint8_t    *key = sov_secret_alloc_nofork(SOV_KEY_LEN, err);
	uint8_t		info[sizeof rand_info + 2];
	size_t		len = i == K_RAND ? sizeof rand_info - 1 : sizeof syn_info - 1;
	enum sov_code rc;

	if (key == NULL)
		return err ? err->code : SOV_E_NOMEM;
	memcpy(info, i == K_RAND ? rand_info : syn_info, len);
	if (i != K_RAND)
	{
		sov_put_le16(info + len, (uint16_t) i);
		len += 2;
	}
	rc = sov_hkdf(NULL, 0, data_key, SOV_KEY_LEN, info, len, key, SOV_KEY_LEN, err);
	if (rc == SOV_OK)
		rc = sov_aead_init_at(key_at(k, i), key, err);
	if (rc == SOV_OK)
		k->made |= 1u << i;
	sov_secret_free(key);
	return rc;
}

size_t
sov_value_keys_size(void)
{
	return sizeof(struct sov_value_keys) + N_KEYS * key_stride();
}

enum sov_code
sov_value_keys_init_at(void *mem, const uint8_t data_key[32], uint32_t keyver, struct sov_error *err)
{
	struct sov_value_keys *k = mem;
	enum sov_code rc = SOV_OK;

	k->keyver = keyver;
	k->made = 0;
	for (int i = 0; i < N_KEYS && rc == SOV_OK; i++)
		rc = make_key(k, i, data_key, err);
	return rc;
}

struct sov_value_keys *
sov_value_keys_new(const uint8_t data_key[32], uint32_t keyver, struct sov_error *err)
{
	struct sov_value_keys *k = sov_secret_alloc_nofork(sov_value_keys_size(), err);

	if (k == NULL)
		return NULL;
	k->keyver = keyver;
	k->lazy = 1;
	memcpy(k->data_key, data_key, SOV_KEY_LEN);
	if (make_key(k, K_RAND, data_key, err) != SOV_OK)
	{
		sov_value_keys_free(k);
		return NULL;
	}
	return k;
}

void
sov_value_keys_free(struct sov_value_keys *k)
{
	if (k != NULL)
		sov_crypto_forget();
	sov_secret_free(k);
}

static struct sov_aead *
syn_key(struct sov_value_keys *k, enum sov_base base, struct sov_error *err)
{
	if (base > COMPACT_LAST)
	{
		sov_fail(err, SOV_E_FORMAT, NULL, "values of base type %d are never compact", (int) base);
		return NULL;
	}
	if ((k->made & 1u << base) == 0 && k->lazy != 1)
	{
		sov_fail(err, SOV_E_KEY, NULL, "a key is not there any more");
		return NULL;
	}
	if ((k->made & 1u << base) == 0 && make_key(k, (int) base, k->data_key, err) != SOV_OK)
		return NULL;
	return key_at(k, (int) base);
}

/* --- the layout --- */

static enum sov_code
malformed(struct sov_error *err, const char *what)
{
	return sov_fail(err, SOV_E_FORMAT, NULL, "this is not an encrypted value: %s", what);
}

enum sov_code
sov_value_parse(const void *buf, size_t len, struct sov_value *v, struct sov_error *err)
{
	struct sov_reader r;
	uint8_t		fmt,
				flags;

	memset(v, 0, sizeof *v);
	sov_reader_init(&r, buf, len);
	fmt = sov_read_u8(&r);
	flags = sov_read_u8(&r);
	v->keyver = sov_read_u32(&r);
	if (r.bad)
		return malformed(err, "it is too short");
	if (fmt != SOV_VALUE_FMT)
		return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "encrypted value of format %u; this version reads format %u", fmt, SOV_VALUE_FMT);
	if ((flags & ~(SOV_VALUE_MODE_MASK | SOV_VALUE_COMPRESSED | SOV_VALUE_SUBJECT)) != 0 ||
		(flags & SOV_VALUE_MODE_MASK) > SOV_VALUE_WIDE)
		return malformed(err, "unknown flags");
	v->mode = (enum sov_value_mode) (flags & SOV_VALUE_MODE_MASK);
	v->compressed = (flags & SOV_VALUE_COMPRESSED) != 0;
	v->has_subject = (flags & SOV_VALUE_SUBJECT) != 0;
	if (v->mode == SOV_VALUE_COMPACT && v->compressed)
		return malformed(err, "compact and compressed exclude each other");
	if (v->mode != SOV_VALUE_RANDOM && v->has_subject)
		return malformed(err, "an equality tag and a subject exclude each other");
	if (v->keyver == 0)
		return malformed(err, "its key version is 0");
	if (v->has_subject)
		v->subject = sov_read_u64(&r);
	if (v->mode != SOV_VALUE_RANDOM)
		v->e = sov_read_bytes(&r, SOV_VALUE_E_LEN);
	v->nonce = v->mode == SOV_VALUE_COMPACT ? v->e : sov_read_bytes(&r, SOV_NONCE_LEN);
	if (r.bad || sov_reader_left(&r) < SOV_TAG_LEN)
		return malformed(err, "it is too short");
	v->head = buf;
	v->head_len = (size_t) (r.p - v->head);
	v->sealed_len = sov_reader_left(&r) - SOV_TAG_LEN;
	v->sealed = sov_read_bytes(&r, v->sealed_len);
	v->tag = sov_read_bytes(&r, SOV_TAG_LEN);
	if (v->sealed_len > SOV_VALUE_MAX)
		return malformed(err, "it is too long");
	if (v->compressed && v->sealed_len < PACK_HEAD)
		return malformed(err, "it is too short");
	return SOV_OK;
}

/* --- the equality tag --- */

enum sov_code
sov_value_tag(const struct sov_cmac *eq, enum sov_base base, const void *plain, size_t len,
			  uint8_t e[SOV_VALUE_E_LEN], struct sov_error *err)
{
	uint8_t		prefix[16] = "pg_sovereign E";	/* one AES block with the family */
	uint8_t		mac[16];
	struct sov_span spans[2] = {{prefix, sizeof prefix}, {plain, len}};
	enum sov_code rc;

	sov_put_le16(prefix + 14, (uint16_t) (base == SOV_BASE_INT4 ? SOV_BASE_INT8 : base));
	rc = sov_cmac(eq, spans, 2, mac, err);
	if (rc == SOV_OK)
		memcpy(e, mac, SOV_VALUE_E_LEN);
	return rc;
}

/* --- compression --- */

/* Packed length, or 0 where packing does not save an eighth. */
static size_t
pack(const void *plain, size_t len, uint8_t *out)
{
	static _Thread_local ZSTD_CCtx *ctx;
	size_t		room = len - len / 8;
	size_t		n;

	if (ctx == NULL)
		ctx = ZSTD_createCCtx();
	if (ctx == NULL || room <= PACK_HEAD)
		return 0;
	n = ZSTD_compressCCtx(ctx, out + PACK_HEAD, room - PACK_HEAD, plain, len, PACK_LEVEL);
	if (ZSTD_isError(n))
		return 0;
	out[0] = PACK_ZSTD;
	sov_put_le32(out + 1, (uint32_t) len);
	return n + PACK_HEAD;
}

enum sov_code
sov_value_unpacked_len(const void *packed, size_t len, size_t *plain_len, struct sov_error *err)
{
	const uint8_t *p = packed;

	if (len < PACK_HEAD || p[0] != PACK_ZSTD)
		return sov_fail(err, SOV_E_FORMAT, NULL, "an encrypted value is compressed with an unknown method");
	*plain_len = sov_get_le32(p + 1);
	if (*plain_len > SOV_VALUE_MAX)
		return sov_fail(err, SOV_E_FORMAT, NULL, "an encrypted value claims an impossible length");
	return SOV_OK;
}

enum sov_code
sov_value_unpack(const void *packed, size_t len, void *plain, size_t plain_len, struct sov_error *err)
{
	static _Thread_local ZSTD_DCtx *ctx;
	size_t		n;

	if (ctx == NULL)
		ctx = ZSTD_createDCtx();
	if (ctx == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	n = ZSTD_decompressDCtx(ctx, plain, plain_len, (const uint8_t *) packed + PACK_HEAD, len - PACK_HEAD);
	if (ZSTD_isError(n) || n != plain_len)
		return sov_fail(err, SOV_E_FORMAT, NULL, "an encrypted value does not decompress to its length");
	return SOV_OK;
}

/* --- seal and open --- */

enum sov_value_mode
sov_value_choose_mode(enum sov_base base, bool tagged, size_t len)
{
	if (!tagged)
		return SOV_VALUE_RANDOM;
	return len >= SOV_VALUE_COMPRESS_MIN || base > COMPACT_LAST ? SOV_VALUE_WIDE : SOV_VALUE_COMPACT;
}

static size_t
make_aad(uint8_t aad[SOV_VALUE_HEAD_MAX + 2], const uint8_t *head, size_t head_len, enum sov_base base)
{
	if (head_len == HEAD_USUAL)
		memcpy(aad, head, HEAD_USUAL);	/* without a call, which is a tenth of opening */
	else
		memcpy(aad, head, head_len);
	sov_put_le16(aad + head_len, (uint16_t) base);
	return head_len + 2;
}

enum sov_code
sov_value_seal(struct sov_value_keys *k, const struct sov_cmac *eq, enum sov_base base,
			   enum sov_value_mode mode, const uint8_t *nonce, const void *plain, size_t len,
			   const void *canon, size_t canon_len, const struct sov_value_subject *subject,
			   void *out, size_t *out_len, struct sov_error *err)
{
	uint8_t    *p = out;
	uint8_t		aad[SOV_VALUE_HEAD_MAX + 2];
	size_t		head_len = 6,
				packed = 0;
	struct sov_aead *key = mode == SOV_VALUE_COMPACT ? syn_key(k, base, err) : key_at(k, K_RAND);
	enum sov_code rc;

	if (key == NULL)
		return err ? err->code : SOV_E_NOMEM;
	if (len > SOV_VALUE_MAX)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a value of %zu bytes is too long to be encrypted", len);
	if (subject != NULL && mode != SOV_VALUE_RANDOM)
		return sov_fail(err, SOV_E_FORMAT, NULL, "an equality tag and a subject exclude each other");
	p[0] = SOV_VALUE_FMT;
	sov_put_le32(p + 2, k->keyver);
	if (subject != NULL)
	{
		sov_put_le64(p + head_len, subject->number);
		head_len += 8;
	}
	if (mode != SOV_VALUE_RANDOM)
	{
		rc = sov_value_tag(eq, base, canon ? canon : plain, canon ? canon_len : len, p + head_len, err);
		if (rc != SOV_OK)
			return rc;
		head_len += SOV_VALUE_E_LEN;
	}
	if (mode == SOV_VALUE_COMPACT)
		nonce = p + 6;
	else
	{
		memcpy(p + head_len, nonce, SOV_NONCE_LEN);
		head_len += SOV_NONCE_LEN;
		if (len >= SOV_VALUE_COMPRESS_MIN)
			packed = pack(plain, len, p + head_len);
	}
	p[1] = (uint8_t) (mode | (packed ? SOV_VALUE_COMPRESSED : 0) | (subject ? SOV_VALUE_SUBJECT : 0));
	if (packed)
	{
		plain = p + head_len;	/* sealed in place */
		len = packed;
	}
	if (subject != NULL)
	{
		struct sov_ctr_key expanded;

		sov_ctr_expand(subject->key, &expanded);
		rc = sov_ctr(&expanded, nonce, plain, len, p + head_len, err);
		sov_wipe(&expanded, sizeof expanded);
		if (rc != SOV_OK)
			return rc;
		plain = p + head_len;
	}
	rc = sov_aead_seal(key, nonce, aad, make_aad(aad, p, head_len, base),
					   plain, len, p + head_len, p + head_len + len, err);
	*out_len = head_len + len + SOV_TAG_LEN;
	return rc;
}

enum sov_code
sov_value_open(struct sov_value_keys *k, const struct sov_value *v, enum sov_base base,
			   const struct sov_ctr_key *subject_key, void *out, struct sov_error *err)
{
	uint8_t		aad[SOV_VALUE_HEAD_MAX + 2];
	struct sov_aead *key;

	if (v->has_subject && subject_key == NULL)
		return sov_fail(err, SOV_E_KEY, NULL, "the value belongs to an erasable person, whose key is not there");
	if (v->keyver != k->keyver)
		return sov_fail(err, SOV_E_KEY, NULL, "the value was sealed under key version %08x, not %08x", v->keyver, k->keyver);
	key = v->mode == SOV_VALUE_COMPACT ? syn_key(k, base, err) : key_at(k, K_RAND);
	if (key == NULL)
		return err ? err->code : SOV_E_NOMEM;
	if (sov_aead_open(key, v->nonce, aad, make_aad(aad, v->head, v->head_len, base),
					  v->sealed, v->sealed_len, v->tag, out, NULL) != SOV_OK)
		return sov_fail(err, SOV_E_AUTH, NULL, "an encrypted value does not open: it was changed after it was sealed, or it is of another type");
	return v->has_subject ? sov_ctr(subject_key, v->nonce, out, v->sealed_len, out, err) : SOV_OK;
}
