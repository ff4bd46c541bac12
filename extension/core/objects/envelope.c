/*
 * envelope.c - sealing, opening and signing of small state objects: envelope.h.
 */
#include "envelope.h"

#include <string.h>

#include "sov_run.h"

#define FORMAT 1
#define SIGN_LABEL "pg_sovereign head v1"

enum sov_code
envelope_begin(const char *magic, size_t sealed_len, uint8_t clear[ENVELOPE_CLEAR], struct sov_error *err)
{
	memcpy(clear, magic, 8);
	sov_put_le16(clear + 8, FORMAT);
	sov_put_le16(clear + 10, SOV_SUITE);
	sov_put_le32(clear + 12, (uint32_t) sealed_len);
	return sov_random(clear + 16, 12, err);
}

enum sov_code
envelope_seal(const struct sov_repo_keys *keys, const uint8_t clear[ENVELOPE_CLEAR], const void *plain, size_t len,
			  struct sov_buf *object, struct sov_error *err)
{
	uint8_t    *p = sov_buf_extend(object, ENVELOPE_CLEAR + len + SOV_TAG_LEN);

	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	memcpy(p, clear, ENVELOPE_CLEAR);
	return sov_aead_seal(keys->meta, clear + 16, clear, ENVELOPE_CLEAR, plain, len, p + ENVELOPE_CLEAR, p + ENVELOPE_CLEAR + len, err);
}

enum sov_code
envelope_open(const struct sov_repo_keys *keys, const char *magic, const char *what,
			  const uint8_t *obj, size_t len, struct sov_buf *plain, struct sov_error *err)
{
	size_t		n,
				before = plain->len;
	uint8_t    *p;
	enum sov_code rc;

	if (len < ENVELOPE_CLEAR + SOV_TAG_LEN || memcmp(obj, magic, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not %s", what);
	if (sov_get_le16(obj + 8) != FORMAT || sov_get_le16(obj + 10) != SOV_SUITE)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the format is not known to this version");
	n = sov_get_le32(obj + 12);
	if (n > ENVELOPE_MAX || len != ENVELOPE_CLEAR + n + SOV_TAG_LEN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it has the wrong length");
	p = sov_buf_extend(plain, n);
	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = sov_aead_open(keys->meta, obj + 16, obj, ENVELOPE_CLEAR, obj + ENVELOPE_CLEAR, n, obj + ENVELOPE_CLEAR + n, p, err);
	if (rc != SOV_OK)
		plain->len = before;
	return rc;
}

static enum sov_code
signed_message(const uint8_t clear[ENVELOPE_CLEAR], const uint8_t *body, size_t len, struct sov_buf *msg, struct sov_error *err)
{
	sov_write_bytes(msg, SIGN_LABEL, strlen(SIGN_LABEL));
	sov_write_bytes(msg, clear, ENVELOPE_CLEAR);
	sov_write_bytes(msg, body, len);
	return msg->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

enum sov_code
envelope_sign(const uint8_t clear[ENVELOPE_CLEAR], struct sov_buf *body, const uint8_t seed[32], struct sov_error *err)
{
	struct sov_buf msg = {0};
	uint8_t		sig[SOV_SIG_LEN];
	enum sov_code rc = body->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : signed_message(clear, body->data, body->len, &msg, err);

	if (rc == SOV_OK)
		rc = sov_sign(seed, msg.data, msg.len, sig, err);
	sov_buf_free(&msg);
	if (rc != SOV_OK)
		return rc;
	sov_write_bytes(body, sig, sizeof sig);
	return body->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

enum sov_code
envelope_check_sig(const uint8_t clear[ENVELOPE_CLEAR], const struct sov_buf *body, const uint8_t pub[32], struct sov_error *err)
{
	struct sov_buf msg = {0};
	size_t		len;
	enum sov_code rc;

	if (body->len < SOV_SIG_LEN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a head is cut short");
	len = body->len - SOV_SIG_LEN;
	rc = signed_message(clear, body->data, len, &msg, err);
	if (rc == SOV_OK)
		rc = sov_verify_sig(pub, msg.data, msg.len, body->data + len, err);
	sov_buf_free(&msg);
	return rc;
}
