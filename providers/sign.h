/*
 * sign.h - request signatures: AWS Signature Version 4 and Azure Shared Key.
 *
 * Both are functions of the request alone and know nothing of libcurl; the
 * vendors' published examples are the unit tests.
 */
#ifndef SIGN_H
#define SIGN_H

#include "sov_bytes.h"
#include "sov_error.h"

#define SOV_SIGN_TIME 17		/* "20130524T000000Z" and NUL */

/* A name and its value; names of headers in lower case. */
struct sov_sign_pair
{
	const char *name;
	const char *value;
};

struct sov_sigv4
{
	const char *access_key;
	const char *secret_key;
	const char *region;
	const char *service;		/* "s3" */
	const char *method;
	const char *path;			/* encoded, as it stands in the request */
	const char *payload_hash;	/* hex, or UNSIGNED-PAYLOAD */
	const char *time;			/* SOV_SIGN_TIME */
	const struct sov_sign_pair *query;	/* not encoded; any order */
	int			n_query;
	const struct sov_sign_pair *headers;	/* all that are signed, with host and x-amz-date */
	int			n_headers;
};

/* Append the value of the header Authorization. */
extern enum sov_code sov_sigv4(const struct sov_sigv4 *s, struct sov_buf *out, struct sov_error *err);
/* "a=1&b=2" of the query, encoded and in the order that is signed. */
extern enum sov_code sov_sigv4_query(const struct sov_sign_pair *query, int n, struct sov_buf *out, struct sov_error *err);
extern void sov_sign_time(int64_t unix_s, char dst[SOV_SIGN_TIME]);
/* Hex SHA-256 of spans. */
struct sov_put_span;
extern enum sov_code sov_sign_hash(const struct sov_put_span *spans, int n, char hex[65], struct sov_error *err);
/* Base64 of the MD5 of spans (Content-MD5); dst holds 25. */
extern enum sov_code sov_sign_md5(const struct sov_put_span *spans, int n, char dst[25], struct sov_error *err);
/* HMAC-SHA256 with a key of any length. */
extern enum sov_code sov_sign_hmac(const void *key, size_t key_len, const void *data, size_t len,
								   uint8_t mac[32], struct sov_error *err);

struct sov_azure_sign
{
	const char *account;
	const char *key;			/* base64 */
	const char *method;
	const char *path;			/* encoded, with leading slash, as in the request */
	const char *content_length; /* "" for none and for 0 */
	const char *content_type;
	const struct sov_sign_pair *headers;	/* x-ms-*, lower case, any order */
	int			n_headers;
	const struct sov_sign_pair *query;	/* not encoded, any order */
	int			n_query;
	const char *if_none_match;
	const char *range;
};

/* Append the string to sign; for tests. */
extern void sov_azure_string(const struct sov_azure_sign *s, struct sov_buf *out);
/* Append the value of the header Authorization. */
extern enum sov_code sov_azure_sign(const struct sov_azure_sign *s, struct sov_buf *out, struct sov_error *err);

#endif
