/*
 * fuzz_config - the configuration file's parser, with everything needed and
 * with nothing needed.  The corpus (corpus/config) was written by hand: whole
 * files, and one file per kind of mistake of test/unit/config.c.
 */
#include <stdio.h>

#include "sov_config.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const int needs[] = {0, SOV_NEED_CUSTODY | SOV_NEED_REPOSITORY | SOV_NEED_CLUSTER};

	for (int i = 0; i < 2; i++)
	{
		struct sov_config cfg;
		struct sov_error err;
		FILE	   *f;

		if (len == 0)
			return 0;
		f = fmemopen((void *) data, len, "r");
		if (f == NULL)
			return 0;
		(void) sov_config_read_stream(f, "fuzz.conf", needs[i], &cfg, &err);
		fclose(f);
	}
	return 0;
}
