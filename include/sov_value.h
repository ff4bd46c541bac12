/*
 * sov_value.h - the stored form of one encrypted column value.
 *
 * Layout, little-endian:
 *
 *   fmt u8 = 1 | flags u8 | keyver u32 (random id, never 0) | [subject u64]
 *   random  : N 12 random        | C | T 16     GCM(K_rand, N)
 *   compact : E 12               | C | T 16     GCM(K_syn, nonce = E)
 *   wide    : E 12 | N 12 random | C | T 16     GCM(K_rand, N)
 *
 *   flags: bits 0-1 mode (0 random, 1 compact, 2 wide); 0x04 compressed;
 *          0x08 subject; every other bit is 0
 *   AAD  = all bytes before C | base type u16
 *   C    = the canonical bytes, encrypted; when compressed:
 *          method u8 (1 = zstd) | length u32 of the canonical bytes | frame
 *   With a subject (random mode only) C is encrypted twice: AES256-CTR under the key of
 *          the person, IV = N | u32 1 (big-endian), and then GCM.  So whoever has all
 *          other keys reads nothing once that key is destroyed
 *   E    = first 12 bytes of CMAC-AES256(K_eq, "pg_sovereign E" | family u16 |
 *          canonical bytes): the same in compact and wide mode, for all data
 *          keys of a database; equality and indexes compare E only
 *
 * Text form, where a value is printed without its key: "sov1:" and the base64
 * (RFC 4648, padded) of these bytes.
 *
 * Keys, from each version of a data key by HKDF-SHA256 without salt:
 *   K_rand: info = "pg_sovereign K_rand v1"
 *   K_syn:  info = "pg_sovereign K_syn v1" | base type u16
 * K_syn differs per base type because a synthetic nonce is sound only where the
 * PRF input fixes every byte that GCM takes: int4 and int8 are one equality
 * family, so they share E, but not the sealed bytes nor the AAD.  For the same
 * reason compact values are never compressed and have no subject.
 *
 * Detected: tampering, truncation, another key, base type, mode or subject.
 * Not detected: a value put back into its own column, or swapped between rows
 * of one key.
 */
#ifndef SOV_VALUE_H
#define SOV_VALUE_H

#include "sov_crypto.h"

#define SOV_VALUE_FMT 1
#define SOV_VALUE_E_LEN 12
#define SOV_VALUE_HEAD_MAX (2 + 4 + 8 + 12 + 12)	/* everything before C */
#define SOV_VALUE_OVERHEAD (SOV_VALUE_HEAD_MAX + SOV_TAG_LEN)
#define SOV_VALUE_COMPRESS_MIN 1024	/* canonical bytes from which compression is tried */
#define SOV_VALUE_MAX 0x3fffffffu	/* canonical bytes; the server's own limit for a field */

#define SOV_VALUE_MODE_MASK 0x03
#define SOV_VALUE_COMPRESSED 0x04
#define SOV_VALUE_SUBJECT 0x08

enum sov_value_mode
{
	SOV_VALUE_RANDOM = 0,
	SOV_VALUE_COMPACT = 1,
	SOV_VALUE_WIDE = 2
};

/*
 * Base types: part of the AAD, so a number is never given twice, and what is
 * sealed.  Canonical bytes, which E is made of, are the sealed bytes where nothing
 * else is said.  A number is its own equality family, but int4 belongs to int8's.
 */
enum sov_base
{
	SOV_BASE_TEXT = 1,			/* UTF-8; varchar too */
	SOV_BASE_BYTEA = 2,			/* the bytes */
	SOV_BASE_BOOL = 3,			/* u8 0 or 1 */
	SOV_BASE_INT4 = 4,			/* i32; canonical: i64 */
	SOV_BASE_INT8 = 5,			/* i64 */
	SOV_BASE_DATE = 6,			/* i32 days since 2000-01-01; INT32_MIN, INT32_MAX: -infinity, infinity */
	SOV_BASE_TIMESTAMPTZ = 7,	/* i64 microseconds since 2000-01-01 UTC; likewise */
	SOV_BASE_UUID = 8,			/* 16 bytes in the order in which they are written */
	SOV_BASE_NUMERIC = 9,		/* u16 each: digits, weight, sign, scale, then base-10000 digits
								 * (the server's binary format, but little-endian);
								 * canonical: without trailing zeros */
	SOV_BASE_FLOAT8 = 10,		/* IEEE 754 double; canonical: one zero, one NaN */
	SOV_BASE_JSONB = 11,		/* the text form; canonical: numbers without trailing zeros */
	SOV_BASE_OWN = 0x8000		/* with 15 bits of SHA-256 of the type's name: any other type,
								 * in its binary format */
};

/* A parsed value; the pointers lead into the parsed bytes. */
struct sov_value
{
	enum sov_value_mode mode;
	bool		compressed;
	bool		has_subject;
	uint32_t	keyver;
	uint64_t	subject;
	const uint8_t *e;			/* 12 bytes, NULL in random mode */
	const uint8_t *nonce;		/* 12 bytes */
	const uint8_t *head;		/* all bytes before C */
	size_t		head_len;
	const uint8_t *sealed;		/* C */
	size_t		sealed_len;
	const uint8_t *tag;			/* 16 bytes */
};

/* Check every field of the layout; opens nothing.  SOV_E_FORMAT, or
 * SOV_E_UNSUPPORTED for a later format. */
extern enum sov_code sov_value_parse(const void *buf, size_t len, struct sov_value *v, struct sov_error *err);

/* The expanded keys of one data-key version, in secret memory that reads as
 * zeros after fork.  Not for several threads at once. */
struct sov_value_keys;
extern struct sov_value_keys *sov_value_keys_new(const uint8_t data_key[32], uint32_t keyver, struct sov_error *err);
extern void sov_value_keys_free(struct sov_value_keys *k);
/* The same in zeroed memory of the caller's, aligned to 64, that several processes may
 * share: all keys are expanded at once, nothing is written later, there are no pointers
 * in it, and the data key is not kept.  It is freed by wiping it; sealing under wiped
 * keys fails. */
extern size_t sov_value_keys_size(void);
extern enum sov_code sov_value_keys_init_at(void *mem, const uint8_t data_key[32], uint32_t keyver, struct sov_error *err);

/* The mode in which a value is written: long values in wide mode, where they
 * may be compressed, and those whose canonical bytes do not fix the sealed ones. */
extern enum sov_value_mode sov_value_choose_mode(enum sov_base base, bool tagged, size_t len);

/* A person's number and key. */
struct sov_value_subject
{
	uint64_t	number;
	const uint8_t *key;			/* 32 bytes */
};

/* Seal plain.  canon: its canonical bytes (NULL: plain itself).  subject: NULL but in
 * random mode.  out has room for len + SOV_VALUE_OVERHEAD.  nonce: 12 fresh random bytes, unused (may be NULL) in
 * compact mode; eq: unused (may be NULL) in random mode. */
extern enum sov_code sov_value_seal(struct sov_value_keys *k, const struct sov_cmac *eq,
									enum sov_base base, enum sov_value_mode mode,
									const uint8_t *nonce, const void *plain, size_t len,
									const void *canon, size_t canon_len,
									const struct sov_value_subject *subject, void *out, size_t *out_len, struct sov_error *err);

/* Open into out (v->sealed_len bytes).  SOV_E_AUTH when it does not open,
 * SOV_E_KEY when v was sealed under another version.  A compressed value has
 * then to be unpacked.  subject_key: of the person v->subject, expanded, where it has one; under
 * another's key it opens to other bytes, unseen. */
extern enum sov_code sov_value_open(struct sov_value_keys *k, const struct sov_value *v,
									enum sov_base base, const struct sov_ctr_key *subject_key, void *out, struct sov_error *err);
extern enum sov_code sov_value_unpacked_len(const void *packed, size_t len, size_t *plain_len, struct sov_error *err);
extern enum sov_code sov_value_unpack(const void *packed, size_t len, void *plain, size_t plain_len, struct sov_error *err);

/* E of canonical bytes. */
extern enum sov_code sov_value_tag(const struct sov_cmac *eq, enum sov_base base, const void *plain, size_t len,
								   uint8_t e[SOV_VALUE_E_LEN], struct sov_error *err);

#endif
