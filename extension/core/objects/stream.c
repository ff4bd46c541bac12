/*
 * stream.c - sealed streams (STREAM: Hoang, Reyhanitabar, Rogaway, Vizar 2015):
 * segments with a counter and a last flag in the nonce.  Layout in sov_run.h.
 */
#include "sov_run.h"

#include <string.h>
#include <unistd.h>

#include "sov_shard.h"

enum sov_code
sov_stream_salt(const struct sov_repo_keys *keys, uint8_t class_, const char *name, uint32_t timeline,
				const void *bytes, size_t len, uint8_t salt[32], struct sov_error *err)
{
	uint8_t		head[3],
				tli[4];
	struct sov_span spans[5] = {{"stream", 6}, {head, 3}, {name, strlen(name)}, {tli, 4}, {bytes, len}};

	head[0] = class_;
	sov_put_le16(head + 1, (uint16_t) strlen(name));
	sov_put_le32(tli, timeline);
	return sov_hmac(keys->k_salt, spans, 5, salt, err);
}

bool
sov_stream_is_index(uint8_t class_, const char *name)
{
	static const char history[] = ".history";
	size_t		n = strlen(name);

	return class_ == SOV_CLASS_META ||
		(class_ == SOV_CLASS_WAL && n > sizeof history - 1 && strcmp(name + n - (sizeof history - 1), history) == 0);
}

static struct sov_aead *
stream_key(const struct sov_run *run, uint8_t class_, const char *name, const uint8_t salt[32], struct sov_error *err)
{
	struct sov_buf info = {0};
	struct sov_aead *a = NULL;
	bool		index = sov_stream_is_index(class_, name);
	uint8_t		key[32];

	if (!index && !run->reads)
	{
		sov_fail(err, SOV_E_KEY, NULL, "%s opens with the private content key alone", name);
		return NULL;
	}
	sov_write_bytes(&info, "pg_sovereign stream v1", 22);
	sov_write_u8(&info, class_);
	sov_write_bytes(&info, name, strlen(name));
	if (info.bad)
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	else if (sov_hkdf(salt, 32, index ? run->k_index : run->k_run, 32, info.data, info.len, key, 32, err) == SOV_OK)
		a = sov_aead_new(key, err);
	sov_wipe(key, sizeof key);
	sov_buf_free(&info);
	return a;
}

static void
segment_nonce(uint8_t nonce[12], uint64_t counter, bool last)
{
	sov_put_le64(nonce, counter);
	memset(nonce + 8, 0, 3);
	nonce[11] = last;
}

static void
stream_aad(uint8_t aad[33], const struct sov_run *run, uint8_t class_)
{
	memcpy(aad, run->repo, 16);
	memcpy(aad + 16, run->id, 16);
	aad[32] = class_;
}

enum sov_code
sov_stream_seal(struct sov_run *run, uint8_t class_, const char *name, const uint8_t salt[32],
				const void *bytes, size_t len, struct sov_buf *out, struct sov_error *err)
{
	size_t		before = out->len,
				segments = len ? (len + SOV_SEGMENT_LEN - 1) / SOV_SEGMENT_LEN : 1;
	const uint8_t *in = bytes;
	uint8_t		nonce[12],
				aad[33];
	struct sov_aead *key;
	uint8_t    *p;
	enum sov_code rc = SOV_OK;

	if (run->pid != (int) getpid())
		return sov_fail(err, SOV_E_STATE, NULL, "a run may only be written by the process that began it");
	key = stream_key(run, class_, name, salt, err);
	if (key == NULL)
		return SOV_E_CRYPTO;
	p = sov_buf_extend(out, len + segments * SOV_TAG_LEN);
	if (p == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	stream_aad(aad, run, class_);
	for (size_t i = 0; i < segments && rc == SOV_OK; i++)
	{
		size_t		n = len < SOV_SEGMENT_LEN ? len : SOV_SEGMENT_LEN;

		segment_nonce(nonce, i, i == segments - 1);
		rc = sov_aead_seal(key, nonce, aad, sizeof aad, in, n, p, p + n, err);
		in += n;
		len -= n;
		p += n + SOV_TAG_LEN;
	}
	sov_aead_free(key);
	if (rc != SOV_OK)
		out->len = before;
	return rc;
}

enum sov_code
sov_stream_open(const struct sov_run *run, uint8_t class_, const char *name, const uint8_t salt[32],
				const void *sealed, size_t len, struct sov_buf *out, struct sov_error *err)
{
	size_t		unit = SOV_SEGMENT_LEN + SOV_TAG_LEN,
				segments = (len + unit - 1) / unit;
	const uint8_t *in = sealed;
	size_t		before = out->len;
	uint8_t		nonce[12],
				aad[33];
	struct sov_aead *key;
	uint8_t    *p;
	enum sov_code rc = SOV_OK;

	if (len < SOV_TAG_LEN || len - (segments - 1) * unit < SOV_TAG_LEN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a sealed stream is cut short");
	key = stream_key(run, class_, name, salt, err);
	if (key == NULL)
		return sov_stream_is_index(class_, name) || run->reads ? SOV_E_CRYPTO : SOV_E_KEY;
	p = sov_buf_extend(out, len - segments * SOV_TAG_LEN);
	if (p == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	stream_aad(aad, run, class_);
	for (size_t i = 0; i < segments && rc == SOV_OK; i++)
	{
		size_t		n = (len < unit ? len : unit) - SOV_TAG_LEN;

		segment_nonce(nonce, i, i == segments - 1);
		rc = sov_aead_open(key, nonce, aad, sizeof aad, in, n, in + n, p, err);
		in += n + SOV_TAG_LEN;
		len -= n + SOV_TAG_LEN;
		p += n;
	}
	sov_aead_free(key);
	if (rc != SOV_OK)
		out->len = before;		/* segments that opened are not the stream */
	return rc;
}
