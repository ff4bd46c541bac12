/*
 * fuzz_keyring.c - keyring objects.  Odd inputs: all but the MAC.  The custodian
 * "unwraps" by copying, so the target learns the key from a first try, makes
 * the MAC under it, and the keys inside are opened too.
 */
#include "sealing.h"

static uint8_t kek[32];

static enum sov_code
copy_key(struct sov_custodian *c, const uint8_t *blob, size_t len, uint8_t key[32], struct sov_error *err)
{
	(void) c;
	(void) err;
	if (len > SOV_KWP_MAX)
		abort();
	memset(kek, 0, 32);
	memcpy(kek, blob, len < 32 ? len : 32);
	memcpy(key, kek, 32);
	return SOV_OK;
}

static enum sov_code
try_open(struct sov_custodian *c, struct sov_custodian *content, const struct sov_buf *obj)
{
	struct sov_repo_keys *keys = NULL;
	struct sov_keyring_info info;
	uint8_t    *copy = exact(obj->data ? obj->data : kek, obj->len);
	enum sov_code rc = sov_keyring_open(c, copy, obj->len, &keys, NULL);

	if (sov_keyring_describe(copy, obj->len, &info, NULL) == SOV_OK ? info.n_keys < 1 || info.n_keys > 64 : rc == SOV_OK)
		abort();
	if (rc == SOV_OK)
	{
		(void) sov_keyring_open_content(content, copy, obj->len, keys, NULL);
		if (keys->has_private && !keys->has_pair)
			abort();
		sov_repo_keys_free(keys);
	}
	free(copy);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sov_custodian_ops ops = test_ops;
	struct test_custodian custodian,
				content;
	struct sov_buf obj = {0};
	uint8_t		key[32],
				mac[32] = {0};

	if (len < 1)
		return 0;
	test_custodian(&custodian, 5);
	test_custodian(&content, 6);
	ops.unwrap = copy_key;
	custodian.base.ops = content.base.ops = &ops;
	sov_write_bytes(&obj, data + 1, len - 1);
	if (data[0] & 1)
	{
		sov_write_bytes(&obj, mac, 32);
		(void) try_open(&custodian.base, &content.base, &obj);
		(void) sov_hkdf(NULL, 0, kek, 32, "pg_sovereign keyring mac v1", 27, key, 32, NULL);
		(void) sov_hmac(key, &(struct sov_span) {data + 1, len - 1}, 1, mac, NULL);
		memcpy(obj.data + obj.len - 32, mac, 32);
	}
	(void) try_open(&custodian.base, &content.base, &obj);
	sov_buf_free(&obj);
	return 0;
}
