/*
 * ttlv - the encoding of KMIP messages: the examples of the specification (KMIP 1.4, 9.1.2),
 * what is not well-formed, and answers of servers.
 */
#include <string.h>

#include "custody/kmip.h"
#include "tap.h"

static uint8_t made[400];
static struct sov_ttlv_out out;

static struct sov_ttlv_out *
fresh(void)
{
	out = (struct sov_ttlv_out) {.data = made, .cap = sizeof made};
	return &out;
}

static bool
is(const char *hex)
{
	char		text[2 * sizeof made + 1];

	sov_hex(text, made, out.len);
	return !out.bad && strcmp(text, hex) == 0;
}

static void
examples(void)
{
	size_t		begun;

	sov_ttlv_number(fresh(), 0x420020, TTLV_INT, 8);
	ok(is("42002002000000040000000800000000"), "an integer");
	sov_ttlv_number(fresh(), 0x420020, TTLV_ENUM, 255);
	ok(is("4200200500000004000000ff00000000"), "an enumeration");
	sov_ttlv_number(fresh(), 0x420020, TTLV_BOOL, 1);
	ok(is("42002006000000080000000000000001"), "a boolean");
	sov_ttlv_string(fresh(), 0x420020, TTLV_TEXT, "Hello World", 11);
	ok(is("420020070000000b48656c6c6f20576f726c640000000000"), "a text");
	sov_ttlv_string(fresh(), 0x420020, TTLV_BYTES, "\1\2\3", 3);
	ok(is("42002008000000030102030000000000"), "bytes");
	begun = sov_ttlv_begin(fresh(), 0x420020);
	sov_ttlv_number(&out, 0x420004, TTLV_ENUM, 254);
	sov_ttlv_number(&out, 0x420005, TTLV_INT, 255);
	sov_ttlv_end(&out, begun);
	ok(is("42002001000000204200040500000004000000fe000000004200050200000004000000ff00000000"), "a structure");
	out.cap = out.len + 15;
	sov_ttlv_string(&out, 0x420020, TTLV_BYTES, "", 0);
	ok(!out.bad, "what fits");
	sov_ttlv_string(&out, 0x420020, TTLV_BYTES, "", 0);
	ok(out.bad, "what does not fit is said");
}

/* The bytes of the structure above, changed or cut, are not taken. */
static void
damage(void)
{
	struct sov_ttlv item,
				found;
	uint32_t	v = 0;
	int			wrong = 0;

	examples();
	ok(sov_ttlv_whole(made, 40, &item) && sov_ttlv_find_number(&item, 0x420005, TTLV_INT, &v) && v == 255, "read again");
	ok(!sov_ttlv_find(&item, 0x420005, TTLV_ENUM, &found), "another type is another item");
	for (size_t i = 0; i < 40; i++)
		wrong += sov_ttlv_whole(made, i, &item);
	ok(wrong == 0 && !sov_ttlv_whole(made, 48, &item), "nothing shorter or longer");
	made[39] = 1;
	ok(!sov_ttlv_whole(made, 40, &item), "padding that is not zeros");
	made[39] = 0;
	made[31] = 5;				/* the integer's length */
	ok(!sov_ttlv_whole(made, 40, &item), "an integer of 5 bytes");
	made[31] = 4;
	made[11] = 0;
	ok(!sov_ttlv_whole(made, 40, &item), "a type that there is not");
	for (size_t i = 0; i < 20; i++)
		memcpy(made + 8 * i, (uint8_t[]) {0x42, 0, 0x20, 1, 0, 0, 0, (uint8_t) (8 * (19 - i))}, 8);
	ok(!sov_ttlv_whole(made, 160, &item), "too many structures inside one another");
	ok(sov_ttlv_whole(made + 64, 96, &item), "fewer are allowed");
}

static bool
answer(uint32_t status, uint32_t operation, bool payload, struct sov_kmip_answer *a)
{
	size_t		message = sov_ttlv_begin(fresh(), KMIP_RESPONSE),
				batch,
				p;

	batch = sov_ttlv_begin(&out, KMIP_BATCH_ITEM);
	if (operation != 0)
		sov_ttlv_number(&out, KMIP_OPERATION, TTLV_ENUM, operation);
	sov_ttlv_number(&out, KMIP_RESULT_STATUS, TTLV_ENUM, status);
	if (status != 0)
		sov_ttlv_number(&out, KMIP_RESULT_REASON, TTLV_ENUM, KMIP_R_DENIED);
	if (payload)
	{
		p = sov_ttlv_begin(&out, KMIP_RESPONSE_PAYLOAD);
		sov_ttlv_end(&out, p);
	}
	sov_ttlv_end(&out, batch);
	sov_ttlv_end(&out, message);
	return sov_kmip_parse(out.data, out.len, KMIP_LOCATE, a);
}

int
main(void)
{
	struct sov_kmip_answer a;

	damage();
	ok(answer(0, KMIP_LOCATE, true, &a) && a.status == 0, "an answer");
	ok(!answer(0, KMIP_DECRYPT, true, &a), "of another operation");
	ok(!answer(0, 0, true, &a), "of none");
	ok(!answer(0, KMIP_LOCATE, false, &a), "without a payload");
	ok(answer(1, 0, false, &a) && a.reason == KMIP_R_DENIED, "a refusal names no operation");
	ok(!answer(1, KMIP_DECRYPT, false, &a), "or this one");
	return tap_done();
}
