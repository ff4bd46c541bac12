/*
 * fuzz_share.c - share objects of a run: parsing, joining, rebuilding.
 *
 * The share is joined with one that is fixed (of the run that make_corpus.c
 * splits), so that odd inputs may reach a disagreement.  A first byte of 3: inside a
 * share of a sealed run.  The keys have a private content key.
 */
#include "sealing.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sov_repo_keys *keys;
	struct sov_buf obj = {0},
				out = {0};
	struct sov_run_share s[2];
	struct sov_run *run = NULL;
	uint8_t    *copy;

	if (keys == NULL)
	{
		keys = test_keys(1);
		memset(keys->content_private, 99, 32);
		(void) sov_hpke_public(keys->content_private, keys->content_public, NULL);
		keys->has_pair = keys->has_private = true;
		keys->pair_version = 9;
	}
	if (len < 1)
		return 0;
	if (data[0] & 1)
		seal_outer(keys, "SOVSHARE", data[0] & 2 ? 2 : 1, data + 1, len - 1, &obj);
	else
		sov_write_bytes(&obj, data + 1, len - 1);
	copy = exact(obj.data ? obj.data : data, obj.len);
	if (sov_run_share_parse(keys, copy, obj.len, &s[0], NULL) == SOV_OK)
	{
		if (s[0].k < 1 || s[0].n > 16 || s[0].slot >= s[0].n)
			abort();
		s[1] = s[0];
		s[1].number ^= 1;
		s[1].share[0] ^= 1;
		(void) sov_run_join(keys, s, 1, &run, NULL);
		sov_run_free(run);
		run = NULL;
		if (s[0].k <= 2)
		{
			(void) sov_run_join(keys, s, 2, &run, NULL);
			sov_run_free(run);
			(void) sov_run_share_rebuild(keys, s, 2, s[0].n - 1, &out, NULL);
		}
	}
	free(copy);
	sov_buf_free(&obj);
	sov_buf_free(&out);
	return 0;
}
