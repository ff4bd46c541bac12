/*
 * crypto.c - hashing, derivation, key wrapping and signatures over libcrypto.
 *
 * Fetched algorithms are kept for the life of the process (fetching costs more
 * than using).  AES-GCM stands in aead.c, CMAC in cmac.c.
 */
#include "sov_crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

static EVP_MAC *mac_hmac;
static EVP_KDF *kdf_hkdf;
static EVP_MD *md_sha256;
static EVP_CIPHER *cipher_kwp;
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void
fetch_all(void)
{
	mac_hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	kdf_hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	md_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	cipher_kwp = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
}

static enum sov_code
crypto_failed(struct sov_error *err, const char *what)
{
	char		text[160];

	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	ERR_clear_error();
	return sov_fail(err, SOV_E_CRYPTO, NULL, "%s failed in libcrypto (%s)", what, text);
}

enum sov_code
sov_random(void *dst, size_t len, struct sov_error *err)
{
	if (RAND_bytes(dst, (int) len) != 1)
		return crypto_failed(err, "random generator");
	return SOV_OK;
}

enum sov_code
sov_hkdf(const void *salt, size_t salt_len, const uint8_t *ikm, size_t ikm_len,
		 const void *info, size_t info_len, uint8_t *out, size_t out_len, struct sov_error *err)
{
	static uint8_t zero_salt[32];	/* RFC 5869: no salt is HashLen zeros */
	OSSL_PARAM	params[5];
	EVP_KDF_CTX *ctx;
	int			ok;

	pthread_once(&fetch_once, fetch_all);
	if (salt_len == 0)
	{
		salt = zero_salt;
		salt_len = sizeof zero_salt;
	}
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) "SHA256", 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) salt, salt_len);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) ikm, ikm_len);
	params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) info, info_len);
	params[4] = OSSL_PARAM_construct_end();
	ctx = kdf_hkdf ? EVP_KDF_CTX_new(kdf_hkdf) : NULL;
	ok = ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	return ok ? SOV_OK : crypto_failed(err, "HKDF");
}

enum sov_code
sov_hmac(const uint8_t key[32], const struct sov_span *spans, int n, uint8_t out[32], struct sov_error *err)
{
	OSSL_PARAM	params[2];
	EVP_MAC_CTX *ctx;
	size_t		len;
	int			ok;

	pthread_once(&fetch_once, fetch_all);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) "SHA256", 0);
	params[1] = OSSL_PARAM_construct_end();
	ctx = mac_hmac ? EVP_MAC_CTX_new(mac_hmac) : NULL;
	ok = ctx != NULL && EVP_MAC_init(ctx, key, 32, params) == 1;
	for (int i = 0; ok && i < n; i++)
		ok = EVP_MAC_update(ctx, spans[i].data, spans[i].len) == 1;
	ok = ok && EVP_MAC_final(ctx, out, &len, 32) == 1 && len == 32;
	EVP_MAC_CTX_free(ctx);
	return ok ? SOV_OK : crypto_failed(err, "HMAC");
}

enum sov_code
sov_sha256(const struct sov_span *spans, int n, uint8_t out[32], struct sov_error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int			ok;

	pthread_once(&fetch_once, fetch_all);
	ok = ctx != NULL && md_sha256 != NULL && EVP_DigestInit_ex2(ctx, md_sha256, NULL) == 1;
	for (int i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(ctx, spans[i].data, spans[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok ? SOV_OK : crypto_failed(err, "SHA-256");
}

enum sov_code
sov_commit(const uint8_t key[32], const char *purpose, uint8_t out[32], struct sov_error *err)
{
	struct sov_span spans[2] = {
		{"pg_sovereign commitment v1", 26}, {purpose, strlen(purpose)}
	};

	return sov_hmac(key, spans, 2, out, err);
}

/* --- AES key wrap with padding --- */

static enum sov_code
kwp(const uint8_t kek[32], bool wrap, const uint8_t *in, size_t len,
	uint8_t out[SOV_KWP_MAX], size_t *out_len, struct sov_error *err)
{
	EVP_CIPHER_CTX *ctx;
	int			n = 0,
				tail = 0;
	int			ok;

	pthread_once(&fetch_once, fetch_all);
	if (len == 0 || len > (wrap ? 128 : SOV_KWP_MAX))
		return sov_fail(err, SOV_E_FORMAT, NULL, "a wrapped key has %zu bytes, which cannot be", len);
	ctx = EVP_CIPHER_CTX_new();
	ok = ctx != NULL && cipher_kwp != NULL;
	if (ok)
		EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = ok && EVP_CipherInit_ex2(ctx, cipher_kwp, kek, NULL, wrap ? 1 : 0, NULL) == 1;
	if (!ok)
	{
		EVP_CIPHER_CTX_free(ctx);
		return crypto_failed(err, "AES key wrap");
	}
	ok = EVP_CipherUpdate(ctx, out, &n, in, (int) len) == 1 && n > 0 &&
		EVP_CipherFinal_ex(ctx, out + n, &tail) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok && wrap)
		return crypto_failed(err, "AES key wrap");
	ERR_clear_error();
	if (!ok)
		return sov_fail(err, SOV_E_AUTH, NULL, "the key was wrapped under another key, or the wrapped key is damaged");
	*out_len = (size_t) (n + tail);
	return SOV_OK;
}

enum sov_code
sov_kwp_wrap(const uint8_t kek[32], const uint8_t *in, size_t len,
			 uint8_t out[SOV_KWP_MAX], size_t *out_len, struct sov_error *err)
{
	return kwp(kek, true, in, len, out, out_len, err);
}

enum sov_code
sov_kwp_unwrap(const uint8_t kek[32], const uint8_t *in, size_t len,
			   uint8_t out[SOV_KWP_MAX], size_t *out_len, struct sov_error *err)
{
	return kwp(kek, false, in, len, out, out_len, err);
}

/* --- Ed25519 --- */

enum sov_code
sov_sign_public(const uint8_t seed[32], uint8_t pub[32], struct sov_error *err)
{
	EVP_PKEY   *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t		len = 32;
	int			ok = key != NULL && EVP_PKEY_get_raw_public_key(key, pub, &len) == 1;

	EVP_PKEY_free(key);
	return ok ? SOV_OK : crypto_failed(err, "Ed25519");
}

enum sov_code
sov_sign_keypair(uint8_t seed[32], uint8_t pub[32], struct sov_error *err)
{
	enum sov_code rc = sov_random(seed, 32, err);

	return rc != SOV_OK ? rc : sov_sign_public(seed, pub, err);
}

enum sov_code
sov_sign(const uint8_t seed[32], const void *msg, size_t len, uint8_t sig[64], struct sov_error *err)
{
	EVP_PKEY   *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t		sig_len = 64;
	int			ok = key != NULL && ctx != NULL &&
		EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestSign(ctx, sig, &sig_len, msg, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok ? SOV_OK : crypto_failed(err, "Ed25519 signature");
}

enum sov_code
sov_verify_sig(const uint8_t pub[32], const void *msg, size_t len, const uint8_t sig[64], struct sov_error *err)
{
	EVP_PKEY   *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int			ok = key != NULL && ctx != NULL &&
		EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestVerify(ctx, sig, 64, msg, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok ? SOV_OK : sov_fail(err, SOV_E_AUTH, NULL, "a signature does not verify");
}
