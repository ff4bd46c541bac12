/*
 * ctr.c - AES-256 in counter mode (the inner layer of a person's values, sov_value.h).
 *
 * Like aead.c: intel-ipsec-mb where it is built in and the CPU can, EVP elsewhere, with
 * the same bytes.  Expanding the key is a good part of what a short value takes (12 to 70 ns,
 * as the processor is), so only the half that is used is expanded, and who opens many
 * values of one person keeps the expanded key.  With EVP that is the key itself.
 */
#include "aead_int.h"

#include <openssl/evp.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#ifdef HAVE_IPSEC_MB
/* Counter mode encrypts only: half of what the manager's own function expands, which
 * later versions of the library offer alone. */
static void
mb_expand(struct IMB_MGR *mgr, const uint8_t key[SOV_KEY_LEN], void *enc)
{
	struct { _Alignas(16) uint32_t dec[60]; } unused;

#if IMB_VERSION_NUM < IMB_VERSION(2, 0, 0)
	switch (mgr->used_arch)
	{
		case IMB_ARCH_SSE:
			aes_keyexp_256_enc_sse(key, enc);
			return;
		case IMB_ARCH_AVX:
			aes_keyexp_256_enc_avx(key, enc);
			return;
		case IMB_ARCH_AVX2:
			aes_keyexp_256_enc_avx2(key, enc);
			return;
		case IMB_ARCH_AVX512:
			aes_keyexp_256_enc_avx512(key, enc);
			return;
	}
#endif
	IMB_AES_KEYEXP_256(mgr, key, enc, unused.dec);
	sov_wipe(&unused, sizeof unused);
}

/* (this mode keeps nothing in the manager) */
static void
mb_ctr(struct IMB_MGR *mgr, const struct sov_ctr_key *key, const uint8_t iv[16], const void *in, size_t len, void *out)
{
	static _Thread_local IMB_JOB job;	/* to clear it takes as long as a short value does */

	job.cipher_mode = IMB_CIPHER_CNTR;
	job.cipher_direction = IMB_DIR_ENCRYPT;
	job.hash_alg = IMB_AUTH_NULL;
	job.chain_order = IMB_ORDER_CIPHER_HASH;
	job.enc_keys = key->data;
	job.dec_keys = key->data;
	job.key_len_in_bytes = SOV_KEY_LEN;
	job.iv = iv;
	job.iv_len_in_bytes = 16;
	job.src = in;
	job.dst = out;
	job.msg_len_to_cipher_in_bytes = len;
	(void) IMB_SUBMIT_CIPHER_BURST_NOCHECK(mgr, &job, 1, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT, IMB_KEY_256_BYTES);
}
#endif

static enum sov_code
evp_ctr(const uint8_t *key, const uint8_t iv[16], const void *in, size_t len, void *out, struct sov_error *err)
{
	static _Thread_local EVP_CIPHER_CTX *ctx;
	int			n = 0;
	bool		good;

	if (ctx == NULL)
		ctx = EVP_CIPHER_CTX_new();
	good = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_ctr(), NULL, key, iv) == 1 &&
		(len == 0 || EVP_EncryptUpdate(ctx, out, &n, in, (int) len) == 1);
	if (ctx != NULL)
		EVP_CIPHER_CTX_reset(ctx);	/* wipes the key */
	return good ? SOV_OK : sov_fail(err, SOV_E_STATE, NULL, "AES-256-CTR failed");
}

void
sov_ctr_expand(const uint8_t key[SOV_KEY_LEN], struct sov_ctr_key *expanded)
{
#ifdef HAVE_IPSEC_MB
	struct IMB_MGR *mgr = aead_mb_mgr();

	if (mgr != NULL)
	{
		mb_expand(mgr, key, expanded->data);
		return;
	}
#endif
	memcpy(expanded->data, key, SOV_KEY_LEN);
}

enum sov_code
sov_ctr(const struct sov_ctr_key *key, const uint8_t nonce[SOV_NONCE_LEN], const void *in, size_t len, void *out, struct sov_error *err)
{
	uint8_t		iv[16] = {0};
#ifdef HAVE_IPSEC_MB
	struct IMB_MGR *mgr = aead_mb_mgr();
#endif

	memcpy(iv, nonce, SOV_NONCE_LEN);
	iv[15] = 1;
#ifdef HAVE_IPSEC_MB
	if (mgr != NULL)
	{
		if (len > 0)
			mb_ctr(mgr, key, iv, in, len, out);
		return SOV_OK;
	}
#endif
	return evp_ctr(key->data, iv, in, len, out, err);
}
