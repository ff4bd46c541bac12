/*
 * hpke.c - sealing to a public key: HPKE (RFC 9180) in base mode, one message, with
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
 *
 * Names are those of the RFC.  Every output of its LabeledExpand that is needed here
 * is at most one block of the hash, and then HKDF-Expand(prk, info, L) is the first L
 * bytes of HMAC(prk, info | 0x01) (RFC 5869).  A sender makes one message with each
 * encapsulated key, so the nonce is the base nonce.
 */
#include "sov_crypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#define VERSION {"HPKE-v1", 7}
static const uint8_t kem_suite[5] = {'K', 'E', 'M', 0x00, 0x20};
static const uint8_t hpke_suite[10] = {'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x02};
#define KEM_SUITE {kem_suite, sizeof kem_suite}
#define HPKE_SUITE {hpke_suite, sizeof hpke_suite}

/* What one message is sealed under; on the stack of who uses it, wiped by him. */
struct context
{
	uint8_t		key[32],
				nonce[12];
};

static enum sov_code
curve_failed(const char *what, struct sov_error *err)
{
	ERR_clear_error();
	return sov_fail(err, SOV_E_CRYPTO, NULL, "X25519: %s", what);
}

/* --- X25519 --- */

enum sov_code
sov_hpke_public(const uint8_t priv[32], uint8_t pub[32], struct sov_error *err)
{
	EVP_PKEY   *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, 32);
	size_t		len = 32;
	int			ok = key != NULL && EVP_PKEY_get_raw_public_key(key, pub, &len) == 1;

	EVP_PKEY_free(key);
	return ok ? SOV_OK : curve_failed("a private key cannot be used", err);
}

enum sov_code
sov_hpke_keypair(uint8_t priv[32], uint8_t pub[32], struct sov_error *err)
{
	enum sov_code rc = sov_random(priv, 32, err);

	return rc != SOV_OK ? rc : sov_hpke_public(priv, pub, err);
}

/* Refuses public keys that give a secret of zeros, as the RFC asks. */
static enum sov_code
diffie_hellman(const uint8_t priv[32], const uint8_t pub[32], uint8_t out[32], struct sov_error *err)
{
	static const uint8_t zeros[32];
	EVP_PKEY   *mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, 32);
	EVP_PKEY   *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, pub, 32);
	EVP_PKEY_CTX *ctx = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
	size_t		len = 32;
	int			ok = ctx != NULL && peer != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
		EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, out, &len) == 1 && len == 32 &&
		!sov_equal(out, zeros, 32);

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(mine);
	EVP_PKEY_free(peer);
	return ok ? SOV_OK : curve_failed("a public key cannot be used", err);
}

/* --- key schedule --- */

/* HKDF-Expand of one block; the last span of info is free for its counter. */
static enum sov_code
expand(const uint8_t prk[32], struct sov_span *info, int n, uint8_t len, uint8_t *out, struct sov_error *err)
{
	static const uint8_t one = 1;
	uint8_t		block[32];
	enum sov_code rc;

	info[n] = (struct sov_span) {&one, 1};
	rc = sov_hmac(prk, info, n + 1, block, err);
	if (rc == SOV_OK)
		memcpy(out, block, len);
	sov_wipe(block, sizeof block);
	return rc;
}

/* ExtractAndExpand(dh, kem_context) */
static enum sov_code
kem_secret(const uint8_t dh[32], const uint8_t enc[32], const uint8_t pub[32], uint8_t secret[32], struct sov_error *err)
{
	static const uint8_t no_salt[32],
				length[2] = {0, 32};
	struct sov_span extract[] = {VERSION, KEM_SUITE, {"eae_prk", 7}, {dh, 32}};
	struct sov_span info[] = {{length, 2}, VERSION, KEM_SUITE, {"shared_secret", 13}, {enc, 32}, {pub, 32}, {NULL, 0}};
	uint8_t		prk[32];
	enum sov_code rc = sov_hmac(no_salt, extract, 4, prk, err);

	if (rc == SOV_OK)
		rc = expand(prk, info, 6, 32, secret, err);
	sov_wipe(prk, sizeof prk);
	return rc;
}

/* KeySchedule(mode_base, shared_secret, info, "", "") */
static enum sov_code
key_schedule(const uint8_t shared[32], const void *info, size_t info_len, struct context *c, struct sov_error *err)
{
	static const uint8_t no_salt[32],
				key_length[2] = {0, 32},
				nonce_length[2] = {0, 12};
	struct sov_span psk_id[] = {VERSION, HPKE_SUITE, {"psk_id_hash", 11}},
				about[] = {VERSION, HPKE_SUITE, {"info_hash", 9}, {info, info_len}},
				extract[] = {VERSION, HPKE_SUITE, {"secret", 6}};
	uint8_t		context[1 + 32 + 32] = {0},
				secret[32];
	struct sov_span key[] = {{key_length, 2}, VERSION, HPKE_SUITE, {"key", 3}, {context, sizeof context}, {NULL, 0}},
				nonce[] = {{nonce_length, 2}, VERSION, HPKE_SUITE, {"base_nonce", 10}, {context, sizeof context}, {NULL, 0}};
	enum sov_code rc = sov_hmac(no_salt, psk_id, 3, context + 1, err);

	if (rc == SOV_OK)
		rc = sov_hmac(no_salt, about, 4, context + 33, err);
	if (rc == SOV_OK)
		rc = sov_hmac(shared, extract, 3, secret, err);
	if (rc == SOV_OK)
		rc = expand(secret, key, 5, 32, c->key, err);
	if (rc == SOV_OK)
		rc = expand(secret, nonce, 5, 12, c->nonce, err);
	sov_wipe(secret, sizeof secret);
	return rc;
}

/* Sender and recipient differ only in whose key is private. */
static enum sov_code
setup(const uint8_t priv[32], const uint8_t peer[32], const uint8_t enc[32], const uint8_t pub[32],
	  const void *info, size_t info_len, struct context *c, struct sov_error *err)
{
	uint8_t		dh[32],
				shared[32];
	enum sov_code rc = diffie_hellman(priv, peer, dh, err);

	if (rc == SOV_OK)
		rc = kem_secret(dh, enc, pub, shared, err);
	if (rc == SOV_OK)
		rc = key_schedule(shared, info, info_len, c, err);
	sov_wipe(dh, sizeof dh);
	sov_wipe(shared, sizeof shared);
	return rc;
}

/* --- one message --- */

enum sov_code
sov_hpke_seal_with(const uint8_t ephemeral[32], const uint8_t pub[32], const void *info, size_t info_len,
				   const void *aad, size_t aad_len, const void *in, size_t len,
				   uint8_t enc[32], void *out, uint8_t tag[16], struct sov_error *err)
{
	struct context c;
	struct sov_aead *aead = NULL;
	enum sov_code rc = sov_hpke_public(ephemeral, enc, err);

	if (rc == SOV_OK)
		rc = setup(ephemeral, pub, enc, pub, info, info_len, &c, err);
	if (rc == SOV_OK && (aead = sov_aead_new(c.key, err)) == NULL)
		rc = SOV_E_NOMEM;
	if (rc == SOV_OK)
		rc = sov_aead_seal(aead, c.nonce, aad, aad_len, in, len, out, tag, err);
	sov_aead_free(aead);
	sov_wipe(&c, sizeof c);
	return rc;
}

enum sov_code
sov_hpke_seal(const uint8_t pub[32], const void *info, size_t info_len, const void *aad, size_t aad_len,
			  const void *in, size_t len, uint8_t enc[32], void *out, uint8_t tag[16], struct sov_error *err)
{
	uint8_t		ephemeral[32];
	enum sov_code rc = sov_random(ephemeral, 32, err);

	if (rc == SOV_OK)
		rc = sov_hpke_seal_with(ephemeral, pub, info, info_len, aad, aad_len, in, len, enc, out, tag, err);
	sov_wipe(ephemeral, sizeof ephemeral);
	return rc;
}

enum sov_code
sov_hpke_open(const uint8_t priv[32], const uint8_t enc[32], const void *info, size_t info_len,
			  const void *aad, size_t aad_len, const void *in, size_t len, const uint8_t tag[16],
			  void *out, struct sov_error *err)
{
	struct context c;
	struct sov_aead *aead = NULL;
	uint8_t		pub[32];
	enum sov_code rc = sov_hpke_public(priv, pub, err);

	if (rc == SOV_OK)
		rc = setup(priv, enc, enc, pub, info, info_len, &c, err);
	if (rc == SOV_OK && (aead = sov_aead_new(c.key, err)) == NULL)
		rc = SOV_E_NOMEM;
	if (rc == SOV_OK)
		rc = sov_aead_open(aead, c.nonce, aad, aad_len, in, len, tag, out, err);
	sov_aead_free(aead);
	sov_wipe(&c, sizeof c);
	return rc;
}
