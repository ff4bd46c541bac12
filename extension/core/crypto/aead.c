/*
 * aead.c - AES-256-GCM with a kept key schedule.
 *
 * intel-ipsec-mb's direct API seals 16 bytes in about 50 ns where OpenSSL's EVP
 * takes 200, so it serves wherever it is built in (HAVE_IPSEC_MB) and the CPU
 * has AES-NI; EVP gives the same bytes elsewhere (test/unit/crypto.c runs
 * both).  The expanded key is plain data without pointers where ipsec-mb
 * serves; with EVP the struct holds the raw key and each thread keeps one
 * context, re-keyed only when another key is used.
 */
#include "aead_int.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

struct sov_aead
{
#ifdef HAVE_IPSEC_MB
	struct gcm_key_data gcm;	/* must stay first: 64-byte aligned */
#endif
	uint8_t		key[32];
	uint64_t	serial;			/* random, not 0: tells the per-thread EVP context
								 * which key it holds, in every process */
};

static pthread_once_t impl_once = PTHREAD_ONCE_INIT;
static bool use_evp = true;

#ifdef HAVE_IPSEC_MB
static IMB_MGR *mgr;
#endif

static void
choose_impl(void)
{
#ifdef HAVE_IPSEC_MB
	const char *want = getenv("PG_SOVEREIGN_AEAD");	/* "openssl" forces it, for tests */

	if (want != NULL && strcmp(want, "openssl") == 0)
		return;
	mgr = alloc_mb_mgr(0);
	if (mgr == NULL || (mgr->features & IMB_FEATURE_AESNI) == 0)
		return;
	init_mb_mgr_auto(mgr, NULL);
	use_evp = imb_get_errno(mgr) != 0;
#endif
}

struct IMB_MGR *
aead_mb_mgr(void)
{
	pthread_once(&impl_once, choose_impl);
#ifdef HAVE_IPSEC_MB
	return use_evp ? NULL : mgr;
#else
	return NULL;
#endif
}

const char *
sov_aead_impl(void)
{
	pthread_once(&impl_once, choose_impl);
	return use_evp ? "openssl" : "ipsec-mb";
}

size_t
sov_aead_size(void)
{
	return sizeof(struct sov_aead);
}

enum sov_code
sov_aead_init_at(void *mem, const uint8_t key[32], struct sov_error *err)
{
	struct sov_aead *a = mem;
	enum sov_code rc = SOV_OK;

	pthread_once(&impl_once, choose_impl);
	memcpy(a->key, key, 32);
	/* Random, not counted: the memory may be shared with processes that count
	 * keys of their own. */
	do
		rc = sov_random(&a->serial, sizeof a->serial, err);
	while (rc == SOV_OK && a->serial == 0);
	if (rc != SOV_OK)
		return rc;
#ifdef HAVE_IPSEC_MB
	if (!use_evp)
		IMB_AES256_GCM_PRE(mgr, key, &a->gcm);
#endif
	return SOV_OK;
}

struct sov_aead *
sov_aead_new(const uint8_t key[32], struct sov_error *err)
{
	struct sov_aead *a = sov_secret_alloc(sizeof *a, err);

	if (a != NULL && sov_aead_init_at(a, key, err) != SOV_OK)
	{
		sov_secret_free(a);
		return NULL;
	}
	return a;
}

/* --- the EVP path --- */

struct evp_slot
{
	EVP_CIPHER_CTX *ctx;
	uint64_t	serial;
};

static pthread_key_t evp_key;
static pthread_once_t evp_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *evp_gcm;

static void
evp_slot_free(void *p)
{
	struct evp_slot *s = p;

	EVP_CIPHER_CTX_free(s->ctx);
	free(s);
}

static void
evp_setup(void)
{
	pthread_key_create(&evp_key, evp_slot_free);
	evp_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

/* This thread's context, keyed with a; NULL when libcrypto fails. */
static EVP_CIPHER_CTX *
evp_ctx(const struct sov_aead *a, const uint8_t nonce[12], int enc)
{
	struct evp_slot *s;

	pthread_once(&evp_once, evp_setup);
	s = pthread_getspecific(evp_key);
	if (s == NULL)
	{
		s = calloc(1, sizeof *s);
		if (s == NULL || pthread_setspecific(evp_key, s) != 0)
		{
			free(s);
			return NULL;
		}
		s->ctx = EVP_CIPHER_CTX_new();
	}
	if (s->ctx == NULL || evp_gcm == NULL)
		return NULL;
	if (s->serial != a->serial)
	{
		s->serial = 0;			/* no key, should this fail */
		if (EVP_CipherInit_ex2(s->ctx, evp_gcm, a->key, nonce, enc, NULL) != 1)
			return NULL;
		s->serial = a->serial;
	}
	else if (EVP_CipherInit_ex2(s->ctx, NULL, NULL, nonce, enc, NULL) != 1)
		return NULL;
	return s->ctx;
}

void
aead_forget_thread(void)
{
	struct evp_slot *s;

	pthread_once(&evp_once, evp_setup);
	s = pthread_getspecific(evp_key);
	if (s == NULL || s->ctx == NULL || s->serial == 0)
		return;
	EVP_CIPHER_CTX_reset(s->ctx);
	s->serial = 0;
}

static enum sov_code
evp_failed(struct sov_error *err)
{
	ERR_clear_error();
	return sov_fail(err, SOV_E_CRYPTO, NULL, "AES-GCM failed in libcrypto");
}

/* EVP takes int lengths: feed long input in pieces. */
static bool
evp_update(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len)
{
	int			n;

	while (len > 0)
	{
		size_t		take = len > (1u << 30) ? (1u << 30) : len;

		if (EVP_CipherUpdate(ctx, out, &n, in, (int) take) != 1)
			return false;
		if (out)
			out += take;
		in += take;
		len -= take;
	}
	return true;
}

static enum sov_code
evp_seal(const struct sov_aead *a, const uint8_t nonce[12], const void *aad, size_t aad_len,
		 const void *in, size_t len, void *out, uint8_t tag[16], struct sov_error *err)
{
	EVP_CIPHER_CTX *ctx = evp_ctx(a, nonce, 1);
	uint8_t		none[16];
	int			n;

	if (ctx == NULL || !evp_update(ctx, NULL, aad, aad_len) || !evp_update(ctx, out, in, len) ||
		EVP_CipherFinal_ex(ctx, none, &n) != 1 ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) != 1)
		return evp_failed(err);
	return SOV_OK;
}

static enum sov_code
evp_open(const struct sov_aead *a, const uint8_t nonce[12], const void *aad, size_t aad_len,
		 const void *in, size_t len, const uint8_t tag[16], void *out, struct sov_error *err)
{
	EVP_CIPHER_CTX *ctx = evp_ctx(a, nonce, 0);
	uint8_t		none[16];
	int			n;

	if (ctx == NULL || !evp_update(ctx, NULL, aad, aad_len) || !evp_update(ctx, out, in, len) ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, (void *) tag) != 1)
		return evp_failed(err);
	if (EVP_CipherFinal_ex(ctx, none, &n) != 1)
	{
		ERR_clear_error();
		return SOV_E_AUTH;
	}
	return SOV_OK;
}

/* --- entry points --- */

void
sov_aead_free(struct sov_aead *a)
{
	if (a != NULL && use_evp)
		aead_forget_thread();	/* the key that goes away, or another that is expanded again */
	sov_secret_free(a);
}

/* Memory that a fork wiped reads as zeros: never seal under that. */
static enum sov_code
wiped(struct sov_error *err)
{
	return sov_fail(err, SOV_E_KEY, NULL, "a key is not there any more: it does not cross into a child process");
}

enum sov_code
sov_aead_seal(const struct sov_aead *a, const uint8_t nonce[12], const void *aad, size_t aad_len,
			  const void *in, size_t len, void *out, uint8_t tag[16], struct sov_error *err)
{
	if (a->serial == 0)
		return wiped(err);
#ifdef HAVE_IPSEC_MB
	if (!use_evp)
	{
		struct gcm_context_data ctx;

		IMB_AES256_GCM_ENC(mgr, &a->gcm, &ctx, out, in, len, nonce, aad, aad_len, tag, 16);
		return SOV_OK;
	}
#endif
	return evp_seal(a, nonce, aad, aad_len, in, len, out, tag, err);
}

enum sov_code
sov_aead_open(const struct sov_aead *a, const uint8_t nonce[12], const void *aad, size_t aad_len,
			  const void *in, size_t len, const uint8_t tag[16], void *out, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	if (a->serial == 0)
		return wiped(err);
#ifdef HAVE_IPSEC_MB
	if (!use_evp)
	{
		struct gcm_context_data ctx;
		uint8_t		got[16];

		IMB_AES256_GCM_DEC(mgr, &a->gcm, &ctx, out, in, len, nonce, aad, aad_len, got, 16);
		if (!sov_equal(got, tag, 16))
			rc = SOV_E_AUTH;
	}
	else
#endif
		rc = evp_open(a, nonce, aad, aad_len, in, len, tag, out, err);
	if (rc == SOV_E_AUTH)
	{
		if (len > 0)
			sov_wipe(out, len);
		return sov_fail(err, SOV_E_AUTH, NULL, "sealed data do not open: tampered with, damaged, or sealed under another key");
	}
	return rc;
}

enum sov_code
sov_gmac(const struct sov_aead *a, const uint8_t nonce[12], const void *data, size_t len,
		 uint8_t tag[16], struct sov_error *err)
{
	uint8_t		none[16] = {0};

	return sov_aead_seal(a, nonce, data, len, none, 0, none, tag, err);
}
