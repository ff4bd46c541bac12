/*
 * wrapped.c - what is stored for a key-encryption key (layout: sov_custodian.h).
 */
#include "sov_custodian.h"

#include <string.h>

#define MAGIC "SOVW"

int
sov_wrapped_split(const uint8_t *stored, size_t len, struct sov_wrapped out[SOV_WRAPPED_ROOTS])
{
	struct sov_reader r;
	const uint8_t *magic;
	int			n;

	sov_reader_init(&r, stored, len);
	magic = sov_read_bytes(&r, 4);
	if (magic == NULL || memcmp(magic, MAGIC, 4) != 0)
		return 0;
	n = sov_read_u8(&r);
	if (r.bad || n < 1 || n > SOV_WRAPPED_ROOTS)
		return 0;
	for (int i = 0; i < n; i++)
	{
		sov_read_copy(&r, out[i].root_id, 16);
		out[i].len = sov_read_u16(&r);
		if (r.bad || out[i].len > SOV_KWP_MAX)
			return 0;
		sov_read_copy(&r, out[i].blob, out[i].len);
	}
	return r.bad || sov_reader_left(&r) != 0 ? 0 : n;
}

size_t
sov_wrapped_join(const struct sov_wrapped *w, int n, uint8_t stored[SOV_WRAPPED_MAX])
{
	size_t		at = 5;

	if (n == 1)
	{
		memcpy(stored, w->blob, w->len);
		return w->len;
	}
	memcpy(stored, MAGIC, 4);
	stored[4] = (uint8_t) n;
	for (int i = 0; i < n; i++)
	{
		memcpy(stored + at, w[i].root_id, 16);
		stored[at + 16] = (uint8_t) w[i].len;
		stored[at + 17] = (uint8_t) (w[i].len >> 8);
		memcpy(stored + at + 18, w[i].blob, w[i].len);
		at += 18 + w[i].len;
	}
	return at;
}

enum sov_code
sov_custodian_unwrap(struct sov_custodian *c, const uint8_t *stored, size_t len, uint8_t key[32], struct sov_error *err)
{
	struct sov_wrapped w[SOV_WRAPPED_ROOTS];
	char		ours[37],
				theirs[37];
	int			n = sov_wrapped_split(stored, len, w);

	for (int i = 0; i < n; i++)
		if (memcmp(w[i].root_id, c->root_id, 16) == 0)
			return c->ops->unwrap(c, w[i].blob, w[i].len, key, err);
	if (n == 0)
		return c->ops->unwrap(c, stored, len, key, err);
	sov_uuid_text(ours, c->root_id);
	sov_uuid_text(theirs, w[n - 1].root_id);
	return sov_fail(err, SOV_E_KEY, "point \"root\" in [custody] to that root key", "this key is wrapped under root key %s, the configured one is %s", theirs, ours);
}

enum sov_code
sov_custodian_wrap_proven(struct sov_custodian *c, const uint8_t key[32], struct sov_wrapped *out, struct sov_error *err)
{
	uint8_t    *back = sov_secret_alloc(SOV_KEY_LEN, err);
	enum sov_code rc = back ? c->ops->wrap(c, key, out->blob, &out->len, err) : SOV_E_NOMEM;

	memcpy(out->root_id, c->root_id, 16);
	if (rc == SOV_OK)
		rc = c->ops->unwrap(c, out->blob, out->len, back, err);
	if (rc == SOV_OK && !sov_equal(key, back, SOV_KEY_LEN))
		rc = sov_fail(err, SOV_E_KEY, "do not use this custodian", "the custodian gave back another key than it was given");
	sov_secret_free(back);
	return rc;
}
