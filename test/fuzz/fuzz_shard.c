/*
 * fuzz_shard.c - shard objects: header, tags, blocks, rebuilding.
 *
 * Odd inputs: u16 length of the header's plaintext, the plaintext, then tags
 * and body as they are.
 */
#include "sealing.h"
#include "sov_shard.h"

static void
take(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len)
{
	struct sov_shard_info info;
	uint64_t	tags_at,
				body_at;
	const uint8_t *body;
	struct sov_buf out = {0};
	int			slots[SOV_EC_MAX];
	const uint8_t *bodies[SOV_EC_MAX];

	if (sov_shard_parse(keys, obj, len, &info, &tags_at, &body_at, NULL) != SOV_OK)
		return;
	if (tags_at > SOV_SHARD_HEAD_MAX || body_at < tags_at || info.n > SOV_EC_MAX || info.k < 1 || info.slot >= info.n ||
		memchr(info.id, 0, sizeof info.id) == NULL)
		abort();
	if (body_at <= len)			/* what a reader of a range does */
	{
		(void) sov_shard_check_tags(&info, obj + tags_at, body_at - tags_at, NULL);
		(void) sov_shard_check_blocks(keys, &info, obj + tags_at, 0, obj + body_at, len - body_at, NULL);
	}
	if (sov_shard_verify(keys, obj, len, &info, &body, NULL) != SOV_OK)
		return;
	for (int i = 0; i < info.k; i++)
	{
		slots[i] = (info.slot + i) % info.n;
		bodies[i] = body;
	}
	(void) sov_shard_decode(&info, slots, bodies, &out, NULL);
	if (out.len != info.total_len)
		abort();
	(void) sov_shard_rebuild(keys, &info, slots, bodies, (info.slot + 1) % info.n, &out, NULL);
	sov_buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sov_repo_keys *keys;
	struct sov_buf obj = {0};
	uint8_t    *copy;

	if (keys == NULL)
		keys = test_keys(1);
	if (len < 3)
		return 0;
	if (data[0] & 1)
	{
		size_t		n = sov_get_le16(data + 1);

		if (n > len - 3)
			n = len - 3;
		seal_outer(keys, "SOVSHARD", 1, data + 3, n, &obj);
		sov_write_bytes(&obj, data + 3 + n, len - 3 - n);
	}
	else
		sov_write_bytes(&obj, data + 1, len - 1);
	copy = exact(obj.data, obj.len);
	take(keys, copy, obj.len);
	free(copy);
	sov_buf_free(&obj);
	return 0;
}
