/*
 * frame.c - frames: the compressed and sealed units of packs, and the keyed hash
 * of a block of a file.  Layout in sov_run.h.
 */
#include "sov_run.h"

#include <string.h>
#include <unistd.h>
#include <zstd.h>

static void
frame_nonce(uint8_t nonce[12], uint64_t counter)
{
	sov_put_le64(nonce, counter);
	memset(nonce + 8, 0, 4);
}

static void
frame_aad(uint8_t aad[33], const struct sov_run *run, enum sov_frame_kind kind)
{
	memcpy(aad, run->repo, 16);
	memcpy(aad + 16, run->id, 16);
	aad[32] = (uint8_t) kind;
}

size_t
sov_frame_bound(size_t raw_len)
{
	return ZSTD_compressBound(raw_len) + SOV_TAG_LEN;
}

/* Sealing in a process that did not make the run would repeat nonces. */
static enum sov_code
check_owner(const struct sov_run *run, struct sov_error *err)
{
	if (run->pid == (int) getpid())
		return SOV_OK;
	return sov_fail(err, SOV_E_STATE, NULL, "a run may only be written by the process that began it");
}

enum sov_code
sov_frame_seal(struct sov_run *run, enum sov_frame_kind kind, struct sov_compressor *z,
			   const void *raw, size_t raw_len, uint8_t *dst, size_t cap, size_t *sealed_len,
			   uint64_t *counter, struct sov_error *err)
{
	uint8_t		nonce[12],
				aad[33];
	size_t		n;
	enum sov_code rc = check_owner(run, err);

	if (rc != SOV_OK)
		return rc;
	if (raw_len > SOV_FRAME_MAX || cap < sov_frame_bound(raw_len))
		return sov_fail(err, SOV_E_FORMAT, NULL, "a frame of %zu bytes cannot be sealed", raw_len);
	rc = sov_compress(z, dst, cap - SOV_TAG_LEN, raw, raw_len, &n, err);
	if (rc != SOV_OK)
		return rc;
	*counter = atomic_fetch_add(&run->next_frame, 1);
	frame_nonce(nonce, *counter);
	frame_aad(aad, run, kind);
	rc = sov_aead_seal(run->frame, nonce, aad, sizeof aad, dst, n, dst, dst + n, err);
	*sealed_len = n + SOV_TAG_LEN;
	return rc;
}

enum sov_code
sov_frame_open(const struct sov_run *run, enum sov_frame_kind kind, void *zdctx, uint64_t counter,
			   const uint8_t *sealed, size_t sealed_len, uint8_t *scratch, void *raw, size_t raw_len, struct sov_error *err)
{
	uint8_t		nonce[12],
				aad[33];
	size_t		n;
	enum sov_code rc;

	if (!run->reads)
		return sov_fail(err, SOV_E_KEY, NULL, "a frame opens with the private content key alone");
	if (sealed_len < SOV_TAG_LEN || raw_len > SOV_FRAME_MAX)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a frame has an impossible length");
	frame_nonce(nonce, counter);
	frame_aad(aad, run, kind);
	n = sealed_len - SOV_TAG_LEN;
	rc = sov_aead_open(run->frame, nonce, aad, sizeof aad, sealed, n, sealed + n, scratch, err);
	if (rc != SOV_OK)
		return rc;
	n = ZSTD_decompressDCtx(zdctx, raw, raw_len, scratch, n);
	if (ZSTD_isError(n) || n != raw_len)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a frame does not decompress to its length");
	return SOV_OK;
}

enum sov_code
sov_frame_hash(const struct sov_repo_keys *keys, const void *raw, size_t len, uint8_t hash[16], uint32_t *pages, struct sov_error *err)
{
	static const uint8_t nonce[12];
	uint8_t		macs[SOV_BLOCK_PAGES * 16];
	const uint8_t *p = raw;
	size_t		n = 0;

	if (len > SOV_FRAME_MAX)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a block of %zu bytes cannot be hashed", len);
	for (size_t at = 0; at < len; at += SOV_PAGE_LEN, n++)
	{
		enum sov_code rc = sov_gmac(keys->map, nonce, p + at, len - at < SOV_PAGE_LEN ? len - at : SOV_PAGE_LEN, macs + 16 * n, err);

		if (rc != SOV_OK)
			return rc;
		if (pages)
			pages[n] = sov_get_le32(macs + 16 * n);
	}
	return sov_gmac(keys->map, nonce, macs, 16 * n, hash, err);
}

enum sov_code
sov_frame_hash_whole(const struct sov_repo_keys *keys, const void *raw, size_t len, uint8_t hash[16], struct sov_error *err)
{
	static const uint8_t nonce[12];

	return sov_gmac(keys->map, nonce, raw, len, hash, err);
}
