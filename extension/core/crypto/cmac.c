/*
 * cmac.c - AES-256-CMAC with a kept key (equality tags).
 *
 * Like aead.c: intel-ipsec-mb where it is built in and the CPU can (about 100 ns for
 * a short value, EVP takes 150), EVP elsewhere, with the same bytes.  The expanded key
 * is plain data without pointers, so that it may lie in memory that processes share;
 * with EVP it is the raw key, and each thread keeps one context, re-keyed when another
 * key is used.
 */
#include "aead_int.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#define GATHER_MAX 512			/* messages are put together on the stack up to here */
#define MB_MAX 60000			/* ipsec-mb counts in 16 bits */

struct sov_cmac
{
#ifdef HAVE_IPSEC_MB
	_Alignas(64) uint32_t expanded[60];
	uint8_t		sub1[16],
				sub2[16];
#endif
	uint8_t		key[32];
	uint64_t	serial;			/* random, not 0: which key a thread's context holds */
};

size_t
sov_cmac_size(void)
{
	return sizeof(struct sov_cmac);
}

enum sov_code
sov_cmac_init_at(void *mem, const uint8_t key[32], struct sov_error *err)
{
	struct sov_cmac *c = mem;
	enum sov_code rc;

	memcpy(c->key, key, 32);
	do
		rc = sov_random(&c->serial, sizeof c->serial, err);
	while (rc == SOV_OK && c->serial == 0);
#ifdef HAVE_IPSEC_MB
	if (rc == SOV_OK && aead_mb_mgr() != NULL)
	{
		uint32_t   *unused = sov_secret_alloc(sizeof c->expanded, err);	/* for decryption */

		if (unused == NULL)
			return SOV_E_NOMEM;
		IMB_AES_KEYEXP_256(aead_mb_mgr(), key, c->expanded, unused);
		IMB_AES_CMAC_SUBKEY_GEN_256(aead_mb_mgr(), c->expanded, c->sub1, c->sub2);
		sov_secret_free(unused);
	}
#endif
	return rc;
}

struct sov_cmac *
sov_cmac_new(const uint8_t key[32], struct sov_error *err)
{
	struct sov_cmac *c = sov_secret_alloc_nofork(sizeof *c, err);

	if (c != NULL && sov_cmac_init_at(c, key, err) != SOV_OK)
	{
		sov_secret_free(c);
		return NULL;
	}
	return c;
}

/* --- intel-ipsec-mb --- */

#ifdef HAVE_IPSEC_MB

static void
mb_cmac_of(const struct sov_cmac *c, const void *msg, size_t len, uint8_t out[16])
{
	/* the manager's queue serves one thread at a time */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	IMB_MGR    *mgr = aead_mb_mgr();
	IMB_JOB    *job;

	pthread_mutex_lock(&lock);
	job = IMB_GET_NEXT_JOB(mgr);
	job->cipher_mode = IMB_CIPHER_NULL;
	job->cipher_direction = IMB_DIR_ENCRYPT;
	job->chain_order = IMB_ORDER_HASH_CIPHER;
	job->hash_alg = IMB_AUTH_AES_CMAC_256;
	job->src = msg;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = len;
	job->u.CMAC._key_expanded = c->expanded;
	job->u.CMAC._skey1 = c->sub1;
	job->u.CMAC._skey2 = c->sub2;
	job->auth_tag_output = out;
	job->auth_tag_output_len_in_bytes = 16;
	job = IMB_SUBMIT_JOB_NOCHECK(mgr);
	while (job == NULL)
		job = IMB_FLUSH_JOB(mgr);
	pthread_mutex_unlock(&lock);
}

static enum sov_code
mb_cmac(const struct sov_cmac *c, const struct sov_span *spans, int n, size_t len, uint8_t out[16], struct sov_error *err)
{
	uint8_t		room[GATHER_MAX];
	uint8_t    *msg = room;
	size_t		at = 0;

	if (len > sizeof room && (msg = malloc(len)) == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (int i = 0; i < n; at += spans[i++].len)
		if (spans[i].len > 0)
			memcpy(msg + at, spans[i].data, spans[i].len);
	mb_cmac_of(c, msg, len, out);
	if (msg != room)
	{
		sov_wipe(msg, len);
		free(msg);
	}
	return SOV_OK;
}

#endif

/* --- EVP --- */

static _Thread_local EVP_MAC_CTX *evp_ctx;
static _Thread_local uint64_t evp_serial;	/* of the key that it holds, or 0 */
static EVP_MAC *evp_mac;
static pthread_once_t evp_once = PTHREAD_ONCE_INIT;

static void
evp_fetch(void)
{
	evp_mac = EVP_MAC_fetch(NULL, "CMAC", NULL);
}

static bool
evp_keyed(const struct sov_cmac *c)
{
	OSSL_PARAM	params[2];

	pthread_once(&evp_once, evp_fetch);
	if (evp_serial == c->serial)
		return EVP_MAC_init(evp_ctx, NULL, 0, NULL) == 1;	/* same key, new message */
	EVP_MAC_CTX_free(evp_ctx);
	evp_serial = 0;
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char *) "AES-256-CBC", 0);
	params[1] = OSSL_PARAM_construct_end();
	evp_ctx = evp_mac ? EVP_MAC_CTX_new(evp_mac) : NULL;
	if (evp_ctx == NULL || EVP_MAC_init(evp_ctx, c->key, 32, params) != 1)
		return false;
	evp_serial = c->serial;
	return true;
}

static enum sov_code
evp_cmac(const struct sov_cmac *c, const struct sov_span *spans, int n, uint8_t out[16], struct sov_error *err)
{
	size_t		len;
	bool		good = evp_keyed(c);

	for (int i = 0; good && i < n; i++)
		good = EVP_MAC_update(evp_ctx, spans[i].data, spans[i].len) == 1;
	if (good && EVP_MAC_final(evp_ctx, out, &len, 16) == 1 && len == 16)
		return SOV_OK;
	ERR_clear_error();
	return sov_fail(err, SOV_E_CRYPTO, NULL, "CMAC failed in libcrypto");
}

/* --- entry points --- */

enum sov_code
sov_cmac(const struct sov_cmac *c, const struct sov_span *spans, int n, uint8_t out[16], struct sov_error *err)
{
	size_t		len = 0;
	enum sov_code rc;

	for (int i = 0; i < n; i++)
		len += spans[i].len;
	if (c->serial == 0)			/* memory that was wiped: never tag under that */
		return sov_fail(err, SOV_E_KEY, NULL, "a key is not there any more");
#ifdef HAVE_IPSEC_MB
	if (aead_mb_mgr() != NULL && len <= MB_MAX)
		return mb_cmac(c, spans, n, len, out, err);
#endif
	rc = evp_cmac(c, spans, n, out, err);
	if (aead_mb_mgr() != NULL)
		sov_crypto_forget();	/* as if it had not been used */
	return rc;
}

void
sov_cmac_free(struct sov_cmac *c)
{
	if (c != NULL)
		sov_crypto_forget();
	sov_secret_free(c);
}

void
sov_crypto_forget(void)
{
	aead_forget_thread();
	EVP_MAC_CTX_free(evp_ctx);
	evp_ctx = NULL;
	evp_serial = 0;
}
