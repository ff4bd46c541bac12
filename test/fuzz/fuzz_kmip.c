/*
 * fuzz_kmip.c - an answer of a KMIP server: first byte the operation, then the message.
 *
 * What is well-formed is read as custodian_kmip.c reads it, and written again: the same
 * bytes come out.
 */
#include <stdlib.h>
#include <string.h>

#include "custody/kmip.h"

static void
again(struct sov_ttlv_out *o, const struct sov_ttlv *item)
{
	struct sov_ttlv below;
	size_t		at = 0,
				begun;
	uint8_t    *p;

	if (item->type != TTLV_STRUCT)
	{
		sov_ttlv_string(o, item->tag, (enum sov_ttlv_type) item->type, item->value, item->len);
		return;
	}
	begun = sov_ttlv_begin(o, item->tag);
	while (sov_ttlv_next(item, &at, &below))
		again(o, &below);
	sov_ttlv_end(o, begun);
	if (at != item->len)
		abort();
	p = o->data + begun - TTLV_HEAD;
	if (!o->bad && (p[3] != TTLV_STRUCT || o->len - begun != item->len))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sov_kmip_answer a;
	struct sov_ttlv whole,
				item;
	struct sov_ttlv_out o = {.cap = len + 64};
	char		text[100];
	size_t		at = 0;
	uint32_t	v;

	if (len < 1)
		return 0;
	if (sov_ttlv_whole(data + 1, len - 1, &whole))
	{
		o.data = malloc(o.cap);
		again(&o, &whole);
		if (o.bad || o.len != len - 1 || memcmp(o.data, data + 1, o.len) != 0)
			abort();
		free(o.data);
	}
	if (!sov_kmip_parse(data + 1, len - 1, (enum sov_kmip_operation) data[0], &a))
		return 0;
	if (a.status == 0 && a.payload.type != TTLV_STRUCT)
		abort();
	while (a.payload.type != 0 && sov_ttlv_next(&a.payload, &at, &item))
	{
		(void) sov_ttlv_copy_text(&item, text, sizeof text);
		(void) sov_ttlv_find_number(&item, KMIP_ATTRIBUTE_VALUE, TTLV_BOOL, &v);
		(void) sov_ttlv_find_number(&item, KMIP_ATTRIBUTE_VALUE, TTLV_INT, &v);
	}
	return 0;
}
