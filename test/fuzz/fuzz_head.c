/*
 * fuzz_head.c - writers' heads and identities.  Odd inputs: the body of a head,
 * without signature.
 */
#include "sealing.h"
#include "sov_head.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sov_repo_keys *keys;
	static uint8_t seed[32],
				pub[32];
	struct sov_buf obj = {0};
	struct sov_head head;
	uint8_t    *copy,
				uuid[16];

	if (keys == NULL)
	{
		keys = test_keys(1);
		memset(seed, 77, 32);
		(void) sov_sign_public(seed, pub, NULL);
	}
	if (len < 1)
		return 0;
	if (data[0] & 1)
		seal_head(keys, "SOVHEAD1", seed, data + 1, len - 1, &obj);
	else
		sov_write_bytes(&obj, data + 1, len - 1);
	copy = exact(obj.data ? obj.data : data, obj.len);
	if (sov_head_decode(keys, copy, obj.len, pub, &head, NULL) == SOV_OK &&
		(head.n_parents > 16 || head.seq == 0 || memchr(head.mark.segment, 0, sizeof head.mark.segment) == NULL))
		abort();
	(void) sov_head_decode(keys, copy, obj.len, NULL, &head, NULL);
	(void) sov_identity_decode(keys, copy, obj.len, uuid, NULL);
	free(copy);
	sov_buf_free(&obj);
	return 0;
}
