/*
 * sign.c - AWS Signature Version 4 and Azure Shared Key, with libcrypto's
 * HMAC-SHA256.
 *
 * AWS: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API
 * Reference.  Azure: "Authorize with Shared Key", Azure Storage REST API
 * reference (version 2015-02-21 and later).
 */
#include "sign.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http.h"
#include "sov_secret.h"

#define MAX_PAIRS 32

/* --- primitives --- */

static enum sov_code
fail_crypto(struct sov_error *err)
{
	return sov_fail(err, SOV_E_CRYPTO, NULL, "libcrypto could not sign a request");
}

enum sov_code
sov_sign_hmac(const void *key, size_t key_len, const void *data, size_t len, uint8_t mac[32], struct sov_error *err)
{
	unsigned int n = 0;

	if (HMAC(EVP_sha256(), key, (int) key_len, data, len, mac, &n) == NULL || n != 32)
		return fail_crypto(err);
	return SOV_OK;
}

static enum sov_code
digest(const EVP_MD *md, const struct sov_put_span *spans, int n, uint8_t *out, struct sov_error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool		good = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1;

	for (int i = 0; i < n && good; i++)
		good = EVP_DigestUpdate(ctx, spans[i].data, spans[i].len) == 1;
	good = good && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return good ? SOV_OK : fail_crypto(err);
}

enum sov_code
sov_sign_hash(const struct sov_put_span *spans, int n, char hex[65], struct sov_error *err)
{
	uint8_t		sum[32];
	enum sov_code rc = digest(EVP_sha256(), spans, n, sum, err);

	if (rc == SOV_OK)
		sov_hex(hex, sum, sizeof sum);
	return rc;
}

enum sov_code
sov_sign_md5(const struct sov_put_span *spans, int n, char dst[25], struct sov_error *err)
{
	uint8_t		sum[16];
	enum sov_code rc = digest(EVP_md5(), spans, n, sum, err);

	if (rc == SOV_OK)
		EVP_EncodeBlock((unsigned char *) dst, sum, sizeof sum);
	return rc;
}

void
sov_sign_time(int64_t unix_s, char dst[SOV_SIGN_TIME])
{
	time_t		t = (time_t) unix_s;
	struct tm	tm;

	gmtime_r(&t, &tm);
	strftime(dst, SOV_SIGN_TIME, "%Y%m%dT%H%M%SZ", &tm);
}

static int
by_name(const void *a, const void *b)
{
	const struct sov_sign_pair *x = a,
			   *y = b;
	int			c = strcmp(x->name, y->name);

	return c != 0 ? c : strcmp(x->value, y->value);
}

static int
sort_pairs(struct sov_sign_pair *dst, const struct sov_sign_pair *src, int n)
{
	if (n > MAX_PAIRS)
		n = MAX_PAIRS;
	if (n > 0)
	{
		memcpy(dst, src, (size_t) n * sizeof *dst);
		qsort(dst, (size_t) n, sizeof *dst, by_name);
	}
	return n;
}

/* --- AWS --- */

enum sov_code
sov_sigv4_query(const struct sov_sign_pair *query, int n, struct sov_buf *out, struct sov_error *err)
{
	struct sov_sign_pair q[MAX_PAIRS];

	n = sort_pairs(q, query, n);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			sov_write_u8(out, '&');
		sov_url_encode(out, q[i].name);
		sov_write_u8(out, '=');
		sov_url_encode(out, q[i].value);
	}
	return out->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

static enum sov_code
signing_key(const struct sov_sigv4 *s, uint8_t key[32], struct sov_error *err)
{
	size_t		n = strlen(s->secret_key) + 4;
	char	   *start = malloc(n + 1);
	enum sov_code rc;

	if (start == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(start, n + 1, "AWS4%s", s->secret_key);
	rc = sov_sign_hmac(start, n, s->time, 8, key, err);
	sov_wipe(start, n);
	free(start);
	if (rc == SOV_OK)
		rc = sov_sign_hmac(key, 32, s->region, strlen(s->region), key, err);
	if (rc == SOV_OK)
		rc = sov_sign_hmac(key, 32, s->service, strlen(s->service), key, err);
	if (rc == SOV_OK)
		rc = sov_sign_hmac(key, 32, "aws4_request", 12, key, err);
	return rc;
}

/* The canonical request; *names becomes "host;x-amz-date". */
static enum sov_code
canonical_request(const struct sov_sigv4 *s, struct sov_buf *out, struct sov_buf *names, struct sov_error *err)
{
	struct sov_sign_pair h[MAX_PAIRS];
	int			n = sort_pairs(h, s->headers, s->n_headers);
	enum sov_code rc;

	sov_buf_printf(out, "%s\n%s\n", s->method, s->path);
	rc = sov_sigv4_query(s->query, s->n_query, out, err);
	sov_write_u8(out, '\n');
	for (int i = 0; i < n; i++)
	{
		sov_buf_printf(out, "%s:%s\n", h[i].name, h[i].value);
		sov_buf_printf(names, "%s%s", i ? ";" : "", h[i].name);
	}
	sov_buf_printf(names, "%s", "");
	if (names->bad)
		out->bad = true;
	else
		sov_buf_printf(out, "\n%s\n%s", (const char *) names->data, s->payload_hash);
	if (rc == SOV_OK && out->bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return rc;
}

enum sov_code
sov_sigv4(const struct sov_sigv4 *s, struct sov_buf *out, struct sov_error *err)
{
	struct sov_buf request = {0},
				names = {0},
				text = {0};
	struct sov_put_span span;
	char		hex[65];
	uint8_t		key[32],
				mac[32];
	enum sov_code rc = canonical_request(s, &request, &names, err);

	span.data = request.data;
	span.len = request.len;
	if (rc == SOV_OK)
		rc = sov_sign_hash(&span, 1, hex, err);
	if (rc == SOV_OK)
	{
		sov_buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", s->time, s->time, s->region, s->service, hex);
		rc = text.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : signing_key(s, key, err);
	}
	if (rc == SOV_OK)
		rc = sov_sign_hmac(key, 32, text.data, text.len, mac, err);
	if (rc == SOV_OK)
	{
		sov_hex(hex, mac, sizeof mac);
		sov_buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request,SignedHeaders=%s,Signature=%s",
					   s->access_key, s->time, s->region, s->service, (const char *) names.data, hex);
		if (out->bad)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	sov_wipe(key, sizeof key);
	sov_buf_free(&request);
	sov_buf_free(&names);
	sov_buf_free(&text);
	return rc;
}

/* --- Azure --- */

void
sov_azure_string(const struct sov_azure_sign *s, struct sov_buf *out)
{
	struct sov_sign_pair p[MAX_PAIRS];
	int			n;

	/* method, encoding, language, length, MD5, type, date, and five conditions */
	sov_buf_printf(out, "%s\n\n\n%s\n\n%s\n\n\n\n%s\n\n%s\n", s->method, s->content_length, s->content_type,
				   s->if_none_match, s->range);
	n = sort_pairs(p, s->headers, s->n_headers);
	for (int i = 0; i < n; i++)
		sov_buf_printf(out, "%s:%s\n", p[i].name, p[i].value);
	sov_buf_printf(out, "/%s%s", s->account, s->path);
	n = sort_pairs(p, s->query, s->n_query);
	for (int i = 0; i < n; i++)
		sov_buf_printf(out, "\n%s:%s", p[i].name, p[i].value);
}

enum sov_code
sov_azure_sign(const struct sov_azure_sign *s, struct sov_buf *out, struct sov_error *err)
{
	struct sov_buf text = {0};
	uint8_t		key[128],
				mac[32];
	char		mac64[48];
	size_t		n = strlen(s->key);
	int			pad = n > 1 && s->key[n - 1] == '=' ? (s->key[n - 2] == '=' ? 2 : 1) : 0,
				len = n % 4 == 0 && n / 4 * 3 <= sizeof key ? EVP_DecodeBlock(key, (const unsigned char *) s->key, (int) n) : -1;
	enum sov_code rc;

	if (len - pad < 16)
		return sov_fail(err, SOV_E_CONFIG, "copy it again from the storage account", "\"account-key\" in the credentials file is not base64");
	sov_azure_string(s, &text);
	if (text.bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	else
		rc = sov_sign_hmac(key, (size_t) (len - pad), text.data, text.len, mac, err);
	if (rc == SOV_OK)
	{
		EVP_EncodeBlock((unsigned char *) mac64, mac, sizeof mac);
		sov_buf_printf(out, "SharedKey %s:%s", s->account, mac64);
		if (out->bad)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	sov_wipe(key, sizeof key);
	sov_buf_free(&text);
	return rc;
}
