/*
 * value.c - the encrypted value: round trips in each mode, a known answer that
 * pins the format, and forgeries that must fail.
 */
#include <string.h>

#include "sov_bytes.h"
#include "sov_subject.h"
#include "sov_value.h"
#include "tap.h"

#define KNOWN_RANDOM "0100040302010102030405060708090a0b0c883bfb0a52e5e1960c733f2d23fcddc63f4994e46f7e"
#define KNOWN_COMPACT "01010403020117ace37bf577033f87372418a18683f55cbe8f5d22712a9dd07da2d29e4b8acf06ef"
#define KNOWN_WIDE "01020403020117ace37bf577033f873724180102030405060708090a0b0c883bfb0a52e5393292a1dad291dd20d30aad632e027f"
#define KNOWN_SUBJECT "01080403020188776655443322110102030405060708090a0b0ce2118dc8c0d8668fc7fad94bb2cd15183d59966aa546"

static struct sov_error err;
static uint8_t data_key[32],
			eq_key[32];
static const uint8_t nonce[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static struct sov_value_keys *keys;
static struct sov_cmac *eq;

static size_t
seal(enum sov_value_mode mode, const void *plain, size_t len, uint8_t *out)
{
	size_t		n = 0;

	if (sov_value_seal(keys, eq, SOV_BASE_TEXT, mode, nonce, plain, len, NULL, 0, NULL, out, &n, &err) != SOV_OK)
		return 0;
	return n;
}

/* Parse, open and unpack; length or -1. */
static long
open_value(struct sov_value_keys *k, const uint8_t *buf, size_t n, uint8_t *plain, size_t cap)
{
	struct sov_value v;
	static uint8_t packed[70000];
	size_t		len;

	if (sov_value_parse(buf, n, &v, &err) != SOV_OK || v.sealed_len > sizeof packed ||
		sov_value_open(k, &v, SOV_BASE_TEXT, NULL, packed, &err) != SOV_OK)
		return -1;
	if (!v.compressed)
	{
		memcpy(plain, packed, v.sealed_len);
		return (long) v.sealed_len;
	}
	if (sov_value_unpacked_len(packed, v.sealed_len, &len, &err) != SOV_OK || len > cap ||
		sov_value_unpack(packed, v.sealed_len, plain, len, &err) != SOV_OK)
		return -1;
	return (long) len;
}

static void
test_round_trips(void)
{
	static uint8_t plain[60000],
				out[60000 + SOV_VALUE_OVERHEAD],
				back[60000];
	static const size_t lens[] = {0, 1, 15, 16, 17, 1023, 1024, 60000};

	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t) ("patient "[i % 8]);
	for (int m = SOV_VALUE_RANDOM; m <= SOV_VALUE_WIDE; m++)
		for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
		{
			size_t		n = seal((enum sov_value_mode) m, plain, lens[i], out);
			long		len = open_value(keys, out, n, back, sizeof back);

			ok(len == (long) lens[i] && memcmp(back, plain, lens[i]) == 0, "mode %d, %zu bytes: opens to what was sealed", m, lens[i]);
			if (lens[i] >= SOV_VALUE_COMPRESS_MIN)
				ok((m == SOV_VALUE_COMPACT) == (n > lens[i]), "mode %d, %zu bytes: compressed unless compact", m, lens[i]);
		}
	ok(sov_value_choose_mode(SOV_BASE_TEXT, true, 20) == SOV_VALUE_COMPACT &&
	   sov_value_choose_mode(SOV_BASE_TEXT, true, 5000) == SOV_VALUE_WIDE &&
	   sov_value_choose_mode(SOV_BASE_TEXT, false, 5000) == SOV_VALUE_RANDOM, "modes are chosen by tag and length");
}

static void
test_tags(void)
{
	uint8_t		a[200],
				b[200];
	struct sov_value va,
				vb;
	struct sov_value_keys *other;
	uint8_t		key2[32] = {9};
	size_t		n;

	n = seal(SOV_VALUE_COMPACT, "Martin", 6, a);
	ok(n == 6 + 12 + 6 + 16, "compact overhead is 34 bytes");
	sov_value_parse(a, n, &va, &err);
	n = seal(SOV_VALUE_WIDE, "Martin", 6, b);
	sov_value_parse(b, n, &vb, &err);
	ok(memcmp(va.e, vb.e, 12) == 0, "the tag is the same in compact and wide mode");
	other = sov_value_keys_new(key2, 77, &err);
	sov_value_seal(other, eq, SOV_BASE_TEXT, SOV_VALUE_COMPACT, NULL, "Martin", 6, NULL, 0, NULL, b, &n, &err);
	sov_value_parse(b, n, &vb, &err);
	ok(memcmp(va.e, vb.e, 12) == 0, "and under another data key");
	ok(open_value(keys, b, n, a, sizeof a) == -1 && err.code == SOV_E_KEY, "another key version is refused: %s", err.message);
	sov_value_keys_free(other);
	other = sov_value_keys_new(key2, 0x01020304, &err);
	n = seal(SOV_VALUE_RANDOM, "Martin", 6, b);
	ok(open_value(other, b, n, a, sizeof a) == -1 && err.code == SOV_E_AUTH, "another key of the same version id is refused: %s", err.message);
	sov_value_keys_free(other);
	n = seal(SOV_VALUE_COMPACT, "Martin", 6, a);
	seal(SOV_VALUE_COMPACT, "Martin", 6, b);
	ok(memcmp(a, b, n) == 0, "compact is deterministic");
	seal(SOV_VALUE_COMPACT, "Marten", 6, b);
	sov_value_parse(a, n, &va, &err);
	sov_value_parse(b, n, &vb, &err);
	ok(memcmp(va.e, vb.e, 12) != 0, "other plaintext, other tag");
}

/* Computed once from this code and checked by hand with the openssl command
 * (HKDF, CMAC, and AES-256-CTR from counter 2 for C): pins the format. */
static void
test_known_answer(void)
{
	static const char *const want[] = {
		KNOWN_RANDOM, KNOWN_COMPACT, KNOWN_WIDE
	};

	for (int m = 0; m <= 2; m++)
	{
		uint8_t		out[200];
		char		hex[401];

		sov_hex(hex, out, seal((enum sov_value_mode) m, "Martin", 6, out));
		ok(strcmp(hex, want[m]) == 0, "known answer, mode %d", m);
		if (strcmp(hex, want[m]) != 0)
			printf("# %s\n", hex);
	}
}

static void
test_forgeries(void)
{
	for (int m = SOV_VALUE_RANDOM; m <= SOV_VALUE_WIDE; m++)
	{
		uint8_t		good[200],
					bad[200],
					back[200];
		size_t		n = seal((enum sov_value_mode) m, "2 85 12 75 116 001 42", 21, good);
		int			opened = 0;

		for (size_t i = 0; i < n; i++)
			for (int bit = 0; bit < 8; bit++)
			{
				memcpy(bad, good, n);
				bad[i] ^= (uint8_t) (1 << bit);
				opened += open_value(keys, bad, n, back, sizeof back) >= 0;
			}
		ok(opened == 0, "mode %d: no single flipped bit opens", m);
		for (size_t i = 0; i < n; i++)
			opened += open_value(keys, good, i, back, sizeof back) >= 0;
		ok(opened == 0, "mode %d: no truncation opens", m);
		memcpy(bad, good, n);
		bad[n] = 0;
		ok(open_value(keys, bad, n + 1, back, sizeof back) == -1, "mode %d: nor does a longer one", m);
	}
}

static void
test_layout_errors(void)
{
	uint8_t		v[100] = {1, 0, 1, 0, 0, 0};
	struct sov_value p;

	ok(sov_value_parse(v, 34, &p, &err) == SOV_OK && p.sealed_len == 0, "the shortest random value parses");
	ok(sov_value_parse(v, 33, &p, &err) == SOV_E_FORMAT, "one byte less does not");
	v[0] = 2;
	ok(sov_value_parse(v, 34, &p, &err) == SOV_E_UNSUPPORTED, "a later format is named: %s", err.message);
	v[0] = 1;
	v[1] = 3;
	ok(sov_value_parse(v, 60, &p, &err) == SOV_E_FORMAT, "mode 3");
	v[1] = 0x10;
	ok(sov_value_parse(v, 60, &p, &err) == SOV_E_FORMAT, "unknown flag");
	v[1] = 1 | SOV_VALUE_COMPRESSED;
	ok(sov_value_parse(v, 60, &p, &err) == SOV_E_FORMAT, "compact and compressed");
	v[1] = 2 | SOV_VALUE_SUBJECT;
	ok(sov_value_parse(v, 60, &p, &err) == SOV_E_FORMAT, "tag and subject");
	v[1] = SOV_VALUE_SUBJECT;
	ok(sov_value_parse(v, 60, &p, &err) == SOV_OK && sov_value_open(keys, &p, SOV_BASE_TEXT, NULL, v + 60, &err) == SOV_E_KEY, "a subject parses, and is not opened without its key");
	v[1] = 0;
	v[2] = 0;
	ok(sov_value_parse(v, 60, &p, &err) == SOV_E_FORMAT, "key version 0");
}

/* Keys in memory of the caller's: the same bytes, and nothing once it is wiped. */
static void
test_shared_keys(void)
{
	struct sov_value_keys *k = sov_secret_alloc(sov_value_keys_size(), &err);
	struct sov_cmac *c = sov_secret_alloc(sov_cmac_size(), &err);
	uint8_t		nonce[SOV_NONCE_LEN] = {9},
				a[64 + SOV_VALUE_OVERHEAD],
				b[64 + SOV_VALUE_OVERHEAD];
	size_t		alen,
				blen;

	ok(sov_value_keys_init_at(k, data_key, 0x01020304, &err) == SOV_OK && sov_cmac_init_at(c, eq_key, &err) == SOV_OK, "keys in memory of the caller's");
	for (int mode = SOV_VALUE_RANDOM; mode <= SOV_VALUE_WIDE; mode++)
		ok(sov_value_seal(k, c, SOV_BASE_TEXT, (enum sov_value_mode) mode, nonce, "Martin", 6, NULL, 0, NULL, a, &alen, &err) == SOV_OK &&
		   sov_value_seal(keys, eq, SOV_BASE_TEXT, (enum sov_value_mode) mode, nonce, "Martin", 6, NULL, 0, NULL, b, &blen, &err) == SOV_OK &&
		   alen == blen && memcmp(a, b, alen) == 0, "they seal the same bytes in mode %d", mode);
	sov_wipe(k, sov_value_keys_size());
	sov_wipe(c, sov_cmac_size());
	for (int mode = SOV_VALUE_RANDOM; mode <= SOV_VALUE_WIDE; mode++)
		ok(sov_value_seal(k, eq, SOV_BASE_TEXT, (enum sov_value_mode) mode, nonce, "Martin", 6, NULL, 0, NULL, a, &alen, &err) == SOV_E_KEY, "wiped keys seal nothing in mode %d", mode);
	ok(sov_value_tag(c, SOV_BASE_TEXT, "Martin", 6, a, &err) == SOV_E_KEY, "a wiped key makes no tag");
	sov_secret_free(k);
	sov_secret_free(c);
}

/* A person's layer: round trips, the right key only, and a known answer (the openssl
 * command: AES-256-CTR under 0xc0, 0xc1, ... with IV nonce | 1 of the text, then as in
 * random mode with the subject in the AAD). */
static void
test_subject(void)
{
	uint8_t		one[32],
				other[32];
	struct sov_ctr_key one_expanded,
				other_expanded;
	static uint8_t plain[3000],
				out[3000 + SOV_VALUE_OVERHEAD],
				back[3000];
	static const size_t lens[] = {0, 1, 16, 17, 1023, 3000};
	struct sov_value_subject s = {0x1122334455667788, one};
	struct sov_value v;
	char		hex[200];
	size_t		n;

	for (int i = 0; i < 32; i++)
	{
		one[i] = (uint8_t) (0xc0 + i);
		other[i] = (uint8_t) (0xe0 + i);
	}
	sov_ctr_expand(one, &one_expanded);
	sov_ctr_expand(other, &other_expanded);
	for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
	{
		size_t		len = 0;

		ok(sov_value_seal(keys, NULL, SOV_BASE_TEXT, SOV_VALUE_RANDOM, nonce, plain, lens[i], NULL, 0, &s, out, &n, &err) == SOV_OK &&
		   sov_value_parse(out, n, &v, &err) == SOV_OK && v.has_subject && v.subject == s.number &&
		   sov_value_open(keys, &v, SOV_BASE_TEXT, &one_expanded, back, &err) == SOV_OK, "%zu bytes of a person open", lens[i]);
		if (v.compressed)
		{
			static uint8_t unpacked[3000];

			ok(sov_value_unpacked_len(back, v.sealed_len, &len, &err) == SOV_OK && len == lens[i] &&
			   sov_value_unpack(back, v.sealed_len, unpacked, len, &err) == SOV_OK && memcmp(unpacked, plain, len) == 0, "and unpack");
		}
		else
			ok(v.sealed_len == lens[i] && memcmp(back, plain, lens[i]) == 0, "to what was sealed");
	}
	sov_value_seal(keys, NULL, SOV_BASE_TEXT, SOV_VALUE_RANDOM, nonce, "Martin", 6, NULL, 0, &s, out, &n, &err);
	sov_hex(hex, out, n);
	ok(strcmp(hex, KNOWN_SUBJECT) == 0, "known answer of a person's value: %s", hex);
	sov_value_parse(out, n, &v, &err);
	ok(sov_value_open(keys, &v, SOV_BASE_TEXT, &other_expanded, back, &err) == SOV_OK && memcmp(back, "Martin", 6) != 0, "another person's key does not show it");
	ok(sov_value_open(keys, &v, SOV_BASE_TEXT, NULL, back, &err) == SOV_E_KEY, "nor does it open without one");
	out[6] ^= 1;
	sov_value_parse(out, n, &v, &err);
	ok(sov_value_open(keys, &v, SOV_BASE_TEXT, &one_expanded, back, &err) == SOV_E_AUTH, "it cannot be given to another person");
	ok(sov_value_seal(keys, eq, SOV_BASE_TEXT, SOV_VALUE_COMPACT, NULL, "Martin", 6, NULL, 0, &s, out, &n, &err) == SOV_E_FORMAT, "a tag and a person exclude each other");
}

/* Groups of persons' secrets. */
static void
test_groups(void)
{
	static uint8_t plain[SOV_GROUP_PLAIN],
				back[SOV_GROUP_PLAIN];
	static struct sov_group g = {.number = 7},
				bad;
	uint8_t		kek[32] = {5};
	struct sov_aead *a = sov_aead_new(kek, &err);
	struct sov_group_room *room = sov_group_room_new(&err);
	struct sov_epoch_key e1 = {a, {1}, {1}},
				e2 = {a, {1}, {2}};

	ok(sov_group_random(plain, &err) == SOV_OK && sov_group_seal(&e1, room, plain, &g, &err) == SOV_OK &&
	   sov_group_open(&e1, room, &g, back, &err) == SOV_OK && memcmp(plain, back, sizeof plain) == 0, "a group opens to what was sealed");
	ok(sov_group_open(&e2, room, &g, back, &err) == SOV_E_AUTH, "but not as one of another epoch");
	bad = g;
	bad.sealed[100] ^= 1;
	ok(sov_group_open(&e1, room, &bad, back, &err) == SOV_E_AUTH, "nor changed");
	bad = g;
	bad.number = 8;
	ok(sov_group_open(&e1, room, &bad, back, &err) == SOV_E_AUTH, "nor under another number");
	bad = g;
	ok(sov_group_rewrap(&e1, &e2, room, &g, &err) == SOV_OK && sov_group_open(&e2, room, &g, back, &err) == SOV_OK &&
	   memcmp(plain, back, sizeof plain) == 0 && memcmp(bad.sealed, g.sealed, sizeof g.sealed) == 0, "its key goes to another epoch, its secrets stay");
	ok(sov_group_open(&e1, room, &g, back, &err) == SOV_E_AUTH, "and the former one does not open it");
	sov_group_erase(plain, 9);
	ok(!sov_group_lives(plain, 9) && sov_group_lives(plain, 8) && sov_group_lives(plain, 10) &&
	   plain[SOV_GROUP_LIVING + 9 * 32] == 0 && plain[SOV_GROUP_LIVING + 9 * 32 + 31] == 0, "a person is taken out");
	sov_group_room_free(room);
	sov_aead_free(a);
}

int
main(void)
{
	for (int i = 0; i < 32; i++)
	{
		data_key[i] = (uint8_t) i;
		eq_key[i] = (uint8_t) (0x80 + i);
	}
	keys = sov_value_keys_new(data_key, 0x01020304, &err);
	eq = sov_cmac_new(eq_key, &err);
	test_round_trips();
	test_tags();
	test_known_answer();
	test_forgeries();
	test_layout_errors();
	test_shared_keys();
	test_subject();
	test_groups();
	sov_value_keys_free(keys);
	sov_cmac_free(eq);
	return tap_done();
}
