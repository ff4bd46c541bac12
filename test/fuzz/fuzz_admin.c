/*
 * fuzz_admin.c - the administrator's heads.  Odd inputs: the body, without
 * signature; what passes the parser still has to have good certificates.
 */
#include "sealing.h"
#include "sov_head.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sov_repo_keys *keys;
	static struct sov_admin_head *head;
	struct sov_buf obj = {0};
	uint8_t    *copy;

	if (keys == NULL)
	{
		keys = test_keys(1);
		head = malloc(sizeof *head);
	}
	if (len < 1)
		return 0;
	if (data[0] & 1)
		seal_head(keys, "SOVADMN1", keys->admin_seed, data + 1, len - 1, &obj);
	else
		sov_write_bytes(&obj, data + 1, len - 1);
	copy = exact(obj.data ? obj.data : data, obj.len);
	if (sov_admin_decode(keys, copy, obj.len, head, NULL) == SOV_OK)
	{
		if (head->map.k < 1 || head->map.k > head->map.n || head->map.n > SOV_EC_MAX || head->n_writers > 64 || head->n_left > 32)
			abort();
		for (int s = 0; s < head->map.n; s++)
			if (sov_map_slot_at(&head->map, 'p', "x", sov_map_position(&head->map, 'p', "x", s)) != s)
				abort();
		sov_admin_head_free(head);
	}
	free(copy);
	sov_buf_free(&obj);
	return 0;
}
