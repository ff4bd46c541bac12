/*
 * sealing.h - what the fuzz targets of sealed objects share.
 *
 * First byte of an input, even: the rest is the object, as a provider would
 * give it.  Odd: the rest is what is inside; the target seals (and signs) it
 * with the fixed keys of test/unit/testkeys.h, so that mutations reach the
 * parser behind the seal.
 */
#ifndef SEALING_H
#define SEALING_H

#include "../unit/testkeys.h"
#include "objects/envelope.h"
#include "sov_run.h"

/* Bytes of exactly this length on the heap: an overrun shows. */
static inline uint8_t *
exact(const uint8_t *p, size_t len)
{
	uint8_t    *copy = malloc(len ? len : 1);

	memcpy(copy, p, len);
	return copy;
}

/* A shard's or share's clear part and seal: magic | format | suite | K_outer
 * version | length | nonce. */
static inline void
seal_outer(const struct sov_repo_keys *keys, const char *magic, uint16_t format, const uint8_t *plain, size_t len, struct sov_buf *obj)
{
	uint8_t		clear[32];
	uint8_t    *p;

	memcpy(clear, magic, 8);
	sov_put_le16(clear + 8, format);
	sov_put_le16(clear + 10, SOV_SUITE);
	sov_put_le32(clear + 12, keys->outer_version);
	sov_put_le32(clear + 16, (uint32_t) len);
	memset(clear + 20, 3, 12);
	sov_write_bytes(obj, clear, sizeof clear);
	p = sov_buf_extend(obj, len + SOV_TAG_LEN);
	if (p)
		(void) sov_aead_seal(keys->outer, clear + 20, clear, sizeof clear, plain, len, p, p + len, NULL);
}

/* A head: signed by seed, sealed under K_meta. */
static inline void
seal_head(const struct sov_repo_keys *keys, const char *magic, const uint8_t *seed, const uint8_t *body, size_t len, struct sov_buf *obj)
{
	struct sov_buf b = {0};
	uint8_t		clear[ENVELOPE_CLEAR];

	sov_write_bytes(&b, body, len);
	if (envelope_begin(magic, len + SOV_SIG_LEN, clear, NULL) == SOV_OK && envelope_sign(clear, &b, seed, NULL) == SOV_OK)
		(void) envelope_seal(keys, clear, b.data, b.len, obj, NULL);
	sov_buf_free(&b);
}

#endif
