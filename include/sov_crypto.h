/*
 * sov_crypto.h - the cryptographic primitives, all from libcrypto (OpenSSL 3)
 * or, for small AES-GCM and AES-CMAC, from intel-ipsec-mb where built with it; both give
 * the same bytes.  No construction is our own: AES-256-GCM (SP 800-38D),
 * HKDF-SHA256 (RFC 5869), HMAC-SHA256, AES-CMAC (SP 800-38B), AES-KWP (SP
 * 800-38F, RFC 5649), Ed25519 (RFC 8032), GMAC, HPKE (RFC 9180).
 *
 * Sizes stand in the prototypes.  Functions that return void cannot fail with
 * valid arguments.
 */
#ifndef SOV_CRYPTO_H
#define SOV_CRYPTO_H

#include "sov_error.h"
#include "sov_secret.h"

#define SOV_NONCE_LEN 12
#define SOV_TAG_LEN 16
#define SOV_SIG_LEN 64

/* Random bytes from the system's generator (libcrypto's). */
extern enum sov_code sov_random(void *dst, size_t len, struct sov_error *err);

/* --- AES-256-GCM, key schedule kept --- */
struct sov_aead;				/* opaque; one per key; safe for use by several threads
								 * at once (it holds no per-message state) */
/* Size and alignment of an expanded key, for callers that keep it in memory of
 * their own (sov_aead_init_at), and the allocating form (secret memory). */
extern size_t sov_aead_size(void);
extern enum sov_code sov_aead_init_at(void *mem, const uint8_t key[32], struct sov_error *err);
extern struct sov_aead *sov_aead_new(const uint8_t key[32], struct sov_error *err);
extern void sov_aead_free(struct sov_aead *a);
/* out gets len bytes, tag 16; out may be equal to in. */
extern enum sov_code sov_aead_seal(const struct sov_aead *a, const uint8_t nonce[12],
								   const void *aad, size_t aad_len,
								   const void *in, size_t len,
								   void *out, uint8_t tag[16], struct sov_error *err);
/* SOV_E_AUTH when the tag is wrong; out is wiped then. */
extern enum sov_code sov_aead_open(const struct sov_aead *a, const uint8_t nonce[12],
								   const void *aad, size_t aad_len,
								   const void *in, size_t len, const uint8_t tag[16],
								   void *out, struct sov_error *err);
/* Which implementation serves: "ipsec-mb" or "openssl". */
extern const char *sov_aead_impl(void);

/* GMAC over data: GCM with data as AAD and nothing sealed. */
extern enum sov_code sov_gmac(const struct sov_aead *a, const uint8_t nonce[12],
							  const void *data, size_t len, uint8_t tag[16],
							  struct sov_error *err);

/* --- derivation and hashing --- */
/* HKDF-SHA256, extract and expand; info is bytes, so callers build it with a
 * sov_buf or pass a string with its length. */
extern enum sov_code sov_hkdf(const void *salt, size_t salt_len,
							  const uint8_t *ikm, size_t ikm_len,
							  const void *info, size_t info_len,
							  uint8_t *out, size_t out_len, struct sov_error *err);
struct sov_span
{
	const void *data;
	size_t		len;
};
/* HMAC-SHA256 over the concatenation of n spans. */
extern enum sov_code sov_hmac(const uint8_t key[32], const struct sov_span *spans, int n,
							  uint8_t out[32], struct sov_error *err);
extern enum sov_code sov_sha256(const struct sov_span *spans, int n,
								uint8_t out[32], struct sov_error *err);
/* Commitment to a key: HMAC-SHA256(key, "pg_sovereign commitment v1" | purpose). */
extern enum sov_code sov_commit(const uint8_t key[32], const char *purpose,
								uint8_t out[32], struct sov_error *err);

/* AES-256-CMAC with a kept key.  As with AES-GCM the expanded key is plain data of
 * sov_cmac_size() bytes, aligned to 64, that may lie in memory of the caller's. */
struct sov_cmac;
extern size_t sov_cmac_size(void);
extern enum sov_code sov_cmac_init_at(void *mem, const uint8_t key[32], struct sov_error *err);
extern struct sov_cmac *sov_cmac_new(const uint8_t key[32], struct sov_error *err);
extern void sov_cmac_free(struct sov_cmac *c);
extern enum sov_code sov_cmac(const struct sov_cmac *c, const struct sov_span *spans, int n,
							  uint8_t out[16], struct sov_error *err);

/* --- AES-256 in counter mode: the nonce, then a counter of 32 bits from 1 --- */
/* An expanded key: plain data, good in every process that maps it; it is as secret as the key. */
struct sov_ctr_key
{
	_Alignas(16) uint8_t data[240];
};
extern void sov_ctr_expand(const uint8_t key[32], struct sov_ctr_key *expanded);
/* Encrypts and decrypts; out may be equal to in. */
extern enum sov_code sov_ctr(const struct sov_ctr_key *key, const uint8_t nonce[12], const void *in, size_t len, void *out, struct sov_error *err);

/* Where libcrypto serves, a thread keeps the keys that it used last in contexts of
 * libcrypto; this wipes them.  With intel-ipsec-mb there is nothing to wipe. */
extern void sov_crypto_forget(void);

/* --- AES-256-KWP (RFC 5649): wraps 8..128 bytes --- */
#define SOV_KWP_MAX 136
extern enum sov_code sov_kwp_wrap(const uint8_t kek[32], const uint8_t *in, size_t len,
								  uint8_t out[SOV_KWP_MAX], size_t *out_len, struct sov_error *err);
/* SOV_E_AUTH when it was wrapped under another key. */
extern enum sov_code sov_kwp_unwrap(const uint8_t kek[32], const uint8_t *in, size_t len,
									uint8_t out[SOV_KWP_MAX], size_t *out_len, struct sov_error *err);

/* --- Ed25519 --- */
extern enum sov_code sov_sign_keypair(uint8_t seed[32], uint8_t pub[32], struct sov_error *err);
extern enum sov_code sov_sign_public(const uint8_t seed[32], uint8_t pub[32], struct sov_error *err);
extern enum sov_code sov_sign(const uint8_t seed[32], const void *msg, size_t len,
							  uint8_t sig[64], struct sov_error *err);
/* SOV_E_AUTH when the signature is wrong. */
extern enum sov_code sov_verify_sig(const uint8_t pub[32], const void *msg, size_t len,
									const uint8_t sig[64], struct sov_error *err);

/* --- HPKE (RFC 9180), base mode, one message: DHKEM(X25519, HKDF-SHA256),
 * HKDF-SHA256, AES-256-GCM.  Who has the public key seals and cannot open --- */
extern enum sov_code sov_hpke_keypair(uint8_t priv[32], uint8_t pub[32], struct sov_error *err);
extern enum sov_code sov_hpke_public(const uint8_t priv[32], uint8_t pub[32], struct sov_error *err);
/* enc, out (len bytes) and tag are what the recipient needs; info and aad he must know. */
extern enum sov_code sov_hpke_seal(const uint8_t pub[32], const void *info, size_t info_len,
								   const void *aad, size_t aad_len, const void *in, size_t len,
								   uint8_t enc[32], void *out, uint8_t tag[16], struct sov_error *err);
/* With a given ephemeral private key: only for published test vectors. */
extern enum sov_code sov_hpke_seal_with(const uint8_t ephemeral[32], const uint8_t pub[32], const void *info, size_t info_len,
										const void *aad, size_t aad_len, const void *in, size_t len,
										uint8_t enc[32], void *out, uint8_t tag[16], struct sov_error *err);
/* SOV_E_AUTH when it was sealed to another key, or altered; out is wiped then. */
extern enum sov_code sov_hpke_open(const uint8_t priv[32], const uint8_t enc[32], const void *info, size_t info_len,
								   const void *aad, size_t aad_len, const void *in, size_t len, const uint8_t tag[16],
								   void *out, struct sov_error *err);

#endif
