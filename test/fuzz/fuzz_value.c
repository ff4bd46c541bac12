/*
 * fuzz_value.c - parsing, opening and unpacking of an encrypted value.
 *
 * The corpus is made from the known answers of test/unit/value.c:
 *   build/unit/value shows them; "xxd -r -p" turns each into a file; packed is
 *   a method byte, a length and a zstd frame of 2000 times "a".
 */
#include <stdlib.h>

#include "sov_value.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sov_value_keys *keys;
	struct sov_value v;
	size_t		plain_len;

	if (keys == NULL)
	{
		uint8_t		key[32];

		for (int i = 0; i < 32; i++)
			key[i] = (uint8_t) i;
		keys = sov_value_keys_new(key, 0x01020304, NULL);
	}
	if (sov_value_parse(data, len, &v, NULL) == SOV_OK)
	{
		uint8_t    *out = malloc(v.sealed_len + 1);

		(void) sov_value_open(keys, &v, SOV_BASE_TEXT, NULL, out, NULL);
		free(out);
	}
	if (sov_value_unpacked_len(data, len, &plain_len, NULL) == SOV_OK && plain_len < 1 << 20)
	{
		uint8_t    *plain = malloc(plain_len + 1);

		(void) sov_value_unpack(data, len, plain, plain_len, NULL);
		free(plain);
	}
	return 0;
}
