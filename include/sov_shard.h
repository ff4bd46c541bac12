/*
 * sov_shard.h - the container of one erasure-coded piece at one provider.
 *
 * Layout, little-endian:
 *   clear  (32): magic 8 "SOVSHARD" | format u16 = 1 | suite u16
 *                | K_outer version u32 | sealed header length u32 | nonce 12
 *   sealed (AES-256-GCM under K_outer, AAD = the clear part; then tag 16):
 *     repository 16 | class u8 | id str | generation u32 | attempt u16
 *     | k u8 | n u8 | slot u8 | total length u64 | shard length u64
 *     | stream id 32 | run 16 | content hash 32 | commitment 32
 *     | n x root 32
 *   block tags: 16 B for every 64 KiB of the body
 *   body: shard length bytes
 *
 * root of slot i = SHA-256 of its block-tag list, so every shard vouches for
 * its siblings.  Block tags are GMAC with key
 *   HKDF(salt = stream id, ikm = K_verify, info = "pg_sovereign block v1" |
 *        class | id str | generation u32 | run 16)
 * and nonce = slot u32 | block u64.  The run is part of the derivation because
 * two runs may seal the same bytes (same stream id) to different ciphertext,
 * and a GMAC nonce must never see two messages.
 *
 * Readers group shards by (stream id, run) and decode k of one group.  For
 * packs the stream id is random; for streams it is S (sov_run.h).  content
 * hash = HMAC(K_salt, "content" | class | id str | raw bytes) for WAL (tells
 * "archived already" from "other content" whatever zstd did), zeros otherwise.
 *
 * Object name: "<class letter>/" base32(HMAC(K_name, provider uuid 16 | class
 *   | id str | generation u32 | slot u8 | attempt u16)) cut to 160 bits.
 * Names differ from provider to provider; only a key holder can relate them.
 */
#ifndef SOV_SHARD_H
#define SOV_SHARD_H

#include "sov_ec.h"
#include "sov_keyring.h"

#define SOV_BLOCK_LEN (64 * 1024)
#define SOV_ID_MAX 96
#define SOV_SHARD_CLEAR 32
/* A first GET of this many bytes always holds the whole header for n <= 16. */
#define SOV_SHARD_HEAD_MAX 1024

enum sov_class
{
	SOV_CLASS_PACK = 'p',		/* id: 32 hex digits */
	SOV_CLASS_WAL = 'w',		/* id: file name of WAL, .history, .backup, .partial */
	SOV_CLASS_META = 'm',		/* id: 32 hex digits; manifests, pieces, catalogues */
	SOV_CLASS_RUN = 'r'			/* id: 32 hex digits of the run; share objects */
};

struct sov_shard_info
{
	uint8_t		class_;
	char		id[SOV_ID_MAX];
	uint32_t	generation;
	uint16_t	attempt;
	uint8_t		k, n, slot;
	uint64_t	total_len;		/* of the sealed object */
	uint64_t	shard_len;
	uint8_t		stream[32];
	uint8_t		run[16];
	uint8_t		content[32];
	uint8_t		commitment[32];
	uint8_t		roots[SOV_EC_MAX][32];
};

/* One coded object ready to be put: prefix[i] (header and tags) and body[i].
 * Bodies of the data slots point into the caller's sealed bytes where no
 * padding is needed; the rest is owned. */
struct sov_shard_set
{
	struct sov_shard_info info;	/* slot is meaningless */
	struct sov_buf prefix[SOV_EC_MAX];
	const uint8_t *body[SOV_EC_MAX];
	struct sov_buf owned;		/* parity and the padded last data slots */
};

/* info: class_, id, generation, attempt, k, n, stream, run, content, commitment
 * set by the caller.  sealed must stay valid until the set is freed. */
extern enum sov_code sov_shard_encode(const struct sov_repo_keys *keys, const struct sov_shard_info *info,
									  const uint8_t *sealed, size_t len,
									  struct sov_shard_set *set, struct sov_error *err);
extern void sov_shard_set_free(struct sov_shard_set *set);

/* Read a header from the first bytes of an object.  *tags_at and *body_at are
 * offsets in the object.  SOV_E_FORMAT when malformed or short, SOV_E_AUTH when
 * sealed by another repository or tampered. */
extern enum sov_code sov_shard_parse(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
									 struct sov_shard_info *info, uint64_t *tags_at, uint64_t *body_at,
									 struct sov_error *err);
static inline uint64_t sov_shard_blocks(uint64_t shard_len) { return (shard_len + SOV_BLOCK_LEN - 1) / SOV_BLOCK_LEN; }
/* Check the tag list against roots[slot]; tags is 16 * blocks long. */
extern enum sov_code sov_shard_check_tags(const struct sov_shard_info *info, const uint8_t *tags, size_t len, struct sov_error *err);
/* Check body bytes of whole blocks from first_block on (the last may be short). */
extern enum sov_code sov_shard_check_blocks(const struct sov_repo_keys *keys, const struct sov_shard_info *info,
											const uint8_t *tags, uint64_t first_block,
											const uint8_t *data, size_t len, struct sov_error *err);
/* Whole object at once: parse, tags, all blocks; *body points into obj. */
extern enum sov_code sov_shard_verify(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
									  struct sov_shard_info *info, const uint8_t **body, struct sov_error *err);
/* From k verified bodies of one group (slots[i], bodies[i]) rebuild the sealed
 * object, or the whole shard object of one slot (byte-identical body and tags;
 * the header nonce is new). */
extern enum sov_code sov_shard_decode(const struct sov_shard_info *info, const int *slots, const uint8_t *const *bodies,
									  struct sov_buf *sealed, struct sov_error *err);
extern enum sov_code sov_shard_rebuild(const struct sov_repo_keys *keys, const struct sov_shard_info *info,
									   const int *slots, const uint8_t *const *bodies, int slot,
									   struct sov_buf *object, struct sov_error *err);
/* True when two headers belong to one decodable group. */
extern bool sov_shard_same_group(const struct sov_shard_info *a, const struct sov_shard_info *b);

extern enum sov_code sov_shard_object_name(const struct sov_repo_keys *keys, const uint8_t provider[16],
										   uint8_t class_, const char *id, uint32_t generation, uint8_t slot,
										   uint16_t attempt, char dst[SOV_NAME_MAX], struct sov_error *err);

#endif
