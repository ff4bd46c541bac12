/*
 * ctr.c - AES-256 in counter mode (the inner layer of a person's values, sov_value.h).
 *
 * Like aead.c: intel-ipsec-mb where it is built in and the CPU can, EVP elsewhere, with
 * the same bytes.  Expanding the key is most of what a short value takes, so only the
 * half that is used is expanded, which takes a fifth off the whole; expanded
 * keys are not kept, as they are eight times as long: memory for
 * secrets is locked, and scarce, and persons are many.
 */
#include "aead_int.h"

#include <openssl/evp.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#ifdef HAVE_IPSEC_MB
typedef struct { _Alignas(16) uint32_t enc[60]; } Schedule;

/* Counter mode encrypts only: half of what the manager's own function expands, which
 * later versions of the library offer alone. */
static void
expand(const uint8_t key[SOV_KEY_LEN], Schedule *s)
{
	struct { _Alignas(16) uint32_t dec[60]; } unused;

#if IMB_VERSION_NUM < IMB_VERSION(2, 0, 0)
	switch (aead_mb_mgr()->used_arch)
	{
		case IMB_ARCH_SSE:
			aes_keyexp_256_enc_sse(key, s->enc);
			return;
		case IMB_ARCH_AVX:
			aes_keyexp_256_enc_avx(key, s->enc);
			return;
		case IMB_ARCH_AVX2:
			aes_keyexp_256_enc_avx2(key, s->enc);
			return;
		case IMB_ARCH_AVX512:
			aes_keyexp_256_enc_avx512(key, s->enc);
			return;
	}
#endif
	IMB_AES_KEYEXP_256(aead_mb_mgr(), key, s->enc, unused.dec);
	sov_wipe(&unused, sizeof unused);
}

/* (this mode keeps nothing in the manager) */
static void
mb_ctr(const uint8_t key[SOV_KEY_LEN], const uint8_t iv[16], const void *in, size_t len, void *out)
{
	Schedule	schedule;
	IMB_JOB		job;

	expand(key, &schedule);
	memset(&job, 0, sizeof job);
	job.cipher_mode = IMB_CIPHER_CNTR;
	job.cipher_direction = IMB_DIR_ENCRYPT;
	job.hash_alg = IMB_AUTH_NULL;
	job.chain_order = IMB_ORDER_CIPHER_HASH;
	job.enc_keys = schedule.enc;
	job.dec_keys = schedule.enc;
	job.key_len_in_bytes = SOV_KEY_LEN;
	job.iv = iv;
	job.iv_len_in_bytes = 16;
	job.src = in;
	job.dst = out;
	job.msg_len_to_cipher_in_bytes = len;
	(void) IMB_SUBMIT_CIPHER_BURST_NOCHECK(aead_mb_mgr(), &job, 1, IMB_CIPHER_CNTR, IMB_DIR_ENCRYPT, IMB_KEY_256_BYTES);
	sov_wipe(&schedule, sizeof schedule);
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

enum sov_code
sov_ctr(const uint8_t key[SOV_KEY_LEN], const uint8_t nonce[SOV_NONCE_LEN], const void *in, size_t len, void *out, struct sov_error *err)
{
	uint8_t		iv[16] = {0};

	memcpy(iv, nonce, SOV_NONCE_LEN);
	iv[15] = 1;
#ifdef HAVE_IPSEC_MB
	if (aead_mb_mgr() != NULL)
	{
		if (len > 0)
			mb_ctr(key, iv, in, len, out);
		return SOV_OK;
	}
#endif
	return evp_ctr(key, iv, in, len, out, err);
}
