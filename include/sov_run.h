/*
 * sov_run.h - runs, frames and sealed streams: everything under a content key.
 *
 * A run is one process's writing session: id and R are random, never resumed,
 * never carried across fork.
 *   K_run   = HKDF(salt = R, ikm = K_content_v,
 *                  info = "pg_sovereign run v1" | repository 16 | run 16 | suite u16)
 *   K_frame = HKDF(salt = "", ikm = K_run, info = "pg_sovereign frame v1")
 *   commitment = sov_commit(K_run, "run")
 * In a repository with a pair of content keys (sov_keyring.h) a run is sealed: who
 * writes it cannot read it back once it has ended.
 *   K_run   = HKDF(salt = R, ikm = a random secret of 32 bytes,
 *                  info = "pg_sovereign run v2" | repository 16 | run 16 | suite u16)
 *   the secret is sealed to the public key: HPKE (sov_crypto.h), info =
 *           "pg_sovereign run secret v1" | repository 16 | run 16, no AAD
 *   K_index = HKDF(salt = R, ikm = K_meta,
 *                  info = "pg_sovereign index v1" | repository 16 | run 16 | suite u16)
 * K_index seals what a host needs of earlier backups and what holds no page and no
 * record: manifests, pieces, catalogues, history files (sov_stream_is_index).  In a run
 * that is not sealed K_index is K_run.
 * R is split by Shamir k-of-n (libgfshare, fed from our generator); each
 * provider holds one share object, so that a stolen K_content and one provider
 * open nothing.
 *
 * Share object ("r/" class), little-endian:
 *   magic 8 "SOVSHARE" | format u16 | suite u16 | K_outer version u32
 *   | sealed length u32 | nonce 12
 *   sealed under K_outer (AAD = the clear part): repository 16 | run 16
 *   | content key version u32 | k u8 | n u8 | slot u8 | share number u8
 *   | share 32 | commitment 32
 *   | only of a sealed run (format 2): sov_commit(K_index, "index") 32
 *         | encapsulated key 32 | sealed secret 32 | tag 16
 *   | n x SHA-256 of (run | share number | share)
 *   content key version: of K_content, of the pair for a sealed run.  The secret is
 *   so under a symmetric key too: what a provider has does not open by breaking X25519.
 *
 * Frame: at most 128 KiB of input; zstd; then
 *   AES-256-GCM(K_frame, nonce = counter u64 | 0 0 0 | 0,
 *               AAD = repository 16 | run 16 | kind u8), tag after ciphertext.
 * Stream (WAL, metadata): S = HMAC(K_salt, "stream" | class u8 | name str |
 *   timeline u32 | bytes); key = HKDF(salt = S, ikm = K_run or K_index,
 *   info = "pg_sovereign stream v1" | class u8 | name); segments of 64 KiB:
 *   nonce = counter u64 | 0 0 0 | last u8, AAD = repository | run | class.
 *   An empty stream is one empty last segment.
 */
#ifndef SOV_RUN_H
#define SOV_RUN_H

#include <stdatomic.h>

#include "sov_keyring.h"

#define SOV_FRAME_MAX (128 * 1024)
#define SOV_PAGE_LEN 8192		/* unit in which a block's changes are told */
#define SOV_BLOCK_PAGES (SOV_FRAME_MAX / SOV_PAGE_LEN)
#define SOV_SEGMENT_LEN (64 * 1024)
#define SOV_SUITE 1				/* AES-256-GCM, HKDF-SHA256, zstd */

struct sov_run_sealed			/* of a sealed run, the same in every share */
{
	uint8_t		index_commitment[32];
	uint8_t		enc[32], secret[32], tag[16];
};

struct sov_run					/* in secret memory */
{
	uint8_t		id[16];
	uint8_t		r[32];
	uint8_t		k_run[32], k_index[32];
	uint8_t		commitment[32];
	uint8_t		repo[16];
	uint32_t	content_version;
	bool		sealed;
	bool		reads;			/* k_run and frame are there; false: joined without the private key */
	struct sov_run_sealed secret;
	struct sov_aead *frame;
	_Atomic uint64_t next_frame;	/* nonce counter, unique in the run */
	int			pid;			/* of the creator: sealing in another is refused */
};

extern enum sov_code sov_run_create(const struct sov_repo_keys *keys, struct sov_run **out, struct sov_error *err);
extern void sov_run_free(struct sov_run *run);
/* objects[i] becomes the share object of slot i. */
extern enum sov_code sov_run_split(const struct sov_repo_keys *keys, const struct sov_run *run,
								   int k, int n, struct sov_buf *objects, struct sov_error *err);
struct sov_run_share
{
	uint8_t		run[16];
	uint32_t	content_version;
	bool		sealed;
	uint8_t		k, n, slot, number;
	struct sov_run_sealed secret;
	uint8_t		share[32];
	uint8_t		commitment[32];
	uint8_t		hashes[16][32];
};
extern enum sov_code sov_run_share_parse(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
										 struct sov_run_share *out, struct sov_error *err);
/* Join any k agreeing shares of one run into a run that can only open.
 * SOV_E_AUTH when the commitment does not match.  A sealed run opens without the
 * private key too, for what is under K_index; SOV_E_KEY for K_content alone. */
extern enum sov_code sov_run_join(const struct sov_repo_keys *keys, const struct sov_run_share *shares, int n_shares,
								  struct sov_run **out, struct sov_error *err);
/* The share object of another slot of the same run, from k shares (repair and
 * migration; needs R only in memory). */
extern enum sov_code sov_run_share_rebuild(const struct sov_repo_keys *keys, const struct sov_run_share *shares, int n_shares,
										   int slot, struct sov_buf *object, struct sov_error *err);

/* Share R out anew, k of n, from k shares of the run; needs no content key. */
extern enum sov_code sov_run_resplit(const struct sov_repo_keys *keys, const struct sov_run_share *shares, int n_shares,
									 int k, int n, struct sov_buf *objects, struct sov_error *err);

enum sov_frame_kind { SOV_FRAME_PAGES = 1 };

/* Compresses frames (zstd), one for each thread; NULL: out of memory.  At level 1 it finds
 * out as it goes which of two ways suits the data. */
struct sov_compressor;
extern struct sov_compressor *sov_compressor_new(int level);
extern void sov_compressor_free(struct sov_compressor *z);
extern enum sov_code sov_compress(struct sov_compressor *z, void *dst, size_t cap, const void *raw, size_t len,
								  size_t *n, struct sov_error *err);
/* Compress and seal one frame; appends ciphertext and tag to dst[cap].  *counter
 * is what the manifest records.  Thread safe.  z is the caller's. */
extern size_t sov_frame_bound(size_t raw_len);
extern enum sov_code sov_frame_seal(struct sov_run *run, enum sov_frame_kind kind, struct sov_compressor *z,
									const void *raw, size_t raw_len,
									uint8_t *dst, size_t cap, size_t *sealed_len,
									uint64_t *counter, struct sov_error *err);
/* raw_len must be exactly what the frame holds, <= SOV_FRAME_MAX.  scratch is
 * at least sealed_len.  SOV_E_AUTH on any difference. */
extern enum sov_code sov_frame_open(const struct sov_run *run, enum sov_frame_kind kind, void *zdctx,
									uint64_t counter, const uint8_t *sealed, size_t sealed_len,
									uint8_t *scratch, void *raw, size_t raw_len, struct sov_error *err);

/* Keyed 128-bit hash of a block of a file of at most SOV_FRAME_MAX bytes, a
 * universal hash of two levels: page = GMAC(K_map, nonce 0, SOV_PAGE_LEN bytes,
 * the last may be short); hash = GMAC(K_map, nonce 0, all pages' 16 bytes one
 * after the other).  pages (NULL, or room for SOV_BLOCK_PAGES): the first 32 bits
 * of each page's.  Only ever stored sealed (a GMAC under one nonce may not be
 * shown). */
extern enum sov_code sov_frame_hash(const struct sov_repo_keys *keys, const void *raw, size_t len,
									uint8_t hash[16], uint32_t *pages, struct sov_error *err);
/* As 0.1.0 did it: GMAC(K_map, nonce 0, the block).  For reading only. */
extern enum sov_code sov_frame_hash_whole(const struct sov_repo_keys *keys, const void *raw, size_t len,
										  uint8_t hash[16], struct sov_error *err);
static inline uint32_t sov_block_pages(uint64_t len) { return (uint32_t) ((len + SOV_PAGE_LEN - 1) / SOV_PAGE_LEN); }

/* Is a stream under K_index: does it hold neither pages nor WAL? */
extern bool sov_stream_is_index(uint8_t class_, const char *name);
extern enum sov_code sov_stream_salt(const struct sov_repo_keys *keys, uint8_t class_, const char *name, uint32_t timeline,
									 const void *bytes, size_t len, uint8_t salt[32], struct sov_error *err);
extern enum sov_code sov_stream_seal(struct sov_run *run, uint8_t class_, const char *name, const uint8_t salt[32],
									 const void *bytes, size_t len, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_stream_open(const struct sov_run *run, uint8_t class_, const char *name, const uint8_t salt[32],
									 const void *sealed, size_t len, struct sov_buf *out, struct sov_error *err);

#endif
