/*
 * fuzz_vendors - the catalogue of vendors, and the parts of its values.  The corpus
 * (corpus/vendors) holds the catalogue that is shipped, and mistakes by hand.
 */
#include <stdio.h>

#include "sov_vendor.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sov_error err;
	struct sov_vendors *v;
	FILE	   *f;

	if (len == 0 || (v = sov_vendors_new(&err)) == NULL)
		return 0;
	f = fmemopen((void *) data, len, "r");
	if (f == NULL)
	{
		sov_vendors_free(v);
		return 0;
	}
	(void) sov_vendors_add_stream(v, f, "fuzz.ini", &err);
	fclose(f);
	for (int i = 0; i < sov_vendors_count(v); i++)
	{
		struct sov_provider_config p = {.line = 1};
		struct sov_certification c;
		const char *why;
		char		text[300];
		int			line;

		snprintf(p.preset, sizeof p.preset, "%s", sov_vendors_at(v, i)->name);
		(void) sov_vendor_complete(v, &p, &line, &err);
		for (int n = SOV_VENDOR_FIRST_CERTIFICATION; n < SOV_VENDOR_FIELDS; n++)
		{
			const char *value = sov_vendors_at(v, i)->claims[n].value;

			if (value != NULL && sov_certification_read(value, &c, &why))
				(void) sov_certification_holds("c5", &c, "x", 1795564800, text, sizeof text);
		}
	}
	sov_vendors_free(v);
	return 0;
}
