/*
 * quorum - a split root key: every choice of k opens it and fewer do not; shares as
 * rows and files, records; whatever is mistyped, damaged, mixed or forged is named.
 */
#include <string.h>

#include "crypto/shamir.h"
#include "sov_custodian.h"
#include "sov_quorum.h"
#include "tap.h"

static struct sov_error err;

static void
ceremony(struct sov_quorum *q, int k, int n, uint8_t shares[][SOV_QUORUM_SHARE_LEN])
{
	memset(q, 0, sizeof *q);
	q->k = k;
	q->n = n;
	for (int i = 0; i < n; i++)
		snprintf(q->holders[i].name, SOV_QUORUM_NAME, "Holder Nr. %d", i + 1);
	ok_rc(sov_quorum_split(q, shares, &err), err, "%d of %d", k, n);
}

/* Every choice of k of n. */
static void
choices(int k, int n)
{
	struct sov_quorum q;
	uint8_t		shares[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN],
				some[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN],
				values[SHAMIR_MAX][32],
				numbers[SHAMIR_MAX],
				root[32],
				first[32],
				less[32];
	int			wrong = 0,
				tried = 0;

	ceremony(&q, k, n, shares);
	for (unsigned mask = 0; mask < 1u << n; mask++)
	{
		int			m = 0;

		for (int i = n - 1; i >= 0; i--)
			if (mask >> i & 1)
				memcpy(some[m++], shares[i], SOV_QUORUM_SHARE_LEN);
		if (m != k)
			continue;
		wrong += sov_quorum_join(&q, (const uint8_t (*)[SOV_QUORUM_SHARE_LEN]) some, root, &err) != SOV_OK;
		if (tried++ == 0)
			memcpy(first, root, 32);
		wrong += memcmp(first, root, 32) != 0;
	}
	ok(wrong == 0 && tried > 0, "%d of %d: each of %d choices gives the same root key", k, n, tried);
	for (int i = 0; i < k; i++)
	{
		numbers[i] = shares[i][11];
		memcpy(values[i], shares[i] + 12, 32);
	}
	ok(k < 3 || (shamir_value(numbers, (const uint8_t (*)[32]) values, k - 1, 0, less, &err) == SOV_OK && memcmp(less, first, 32) != 0), "%d of %d: one share fewer gives another", k, n);
	wrong = 0;
	for (int i = 0; i < n; i++)
		wrong += memmem(shares[i], SOV_QUORUM_SHARE_LEN, first, 32) != NULL;
	ok(wrong == 0, "%d of %d: no share is the root key", k, n);
	some[0][20] ^= 1;
	ok(sov_quorum_join(&q, (const uint8_t (*)[SOV_QUORUM_SHARE_LEN]) some, root, &err) == SOV_E_CORRUPT && root[0] == 0 && root[31] == 0, "%d of %d: a damaged share is no root key", k, n);
}

static void
requests(void)
{
	struct sov_quorum q;
	uint8_t		shares[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN];
	static const struct { int k, n; } bad[] = {{1, 3}, {4, 3}, {0, 2}, {2, 17}, {2, 1}};
	int			wrong = 0;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		memset(&q, 0, sizeof q);
		q.k = bad[i].k;
		q.n = bad[i].n;
		wrong += sov_quorum_split(&q, shares, &err) != SOV_E_USAGE || !err.hint[0];
	}
	ok(wrong == 0, "thresholds and numbers that make no sense");
	memset(&q, 0, sizeof q);
	q.k = q.n = 2;
	strcpy(q.holders[0].name, "Ada");
	ok(sov_quorum_split(&q, shares, &err) == SOV_E_USAGE && strstr(err.message, "share 2"), "a share of nobody: %s", err.message);
	strcpy(q.holders[1].name, "Ada");
	ok(sov_quorum_split(&q, shares, &err) == SOV_E_USAGE && strstr(err.message, "Ada"), "two for one: %s", err.message);
	ok(sov_quorum_name("Zoë Łuczak 李") && !sov_quorum_name("a\nb") && !sov_quorum_name("\x1b[2J") && !sov_quorum_name("\xc3") && !sov_quorum_name("\xff") && !sov_quorum_name("\xe2\x82") &&
	   !sov_quorum_name("\xc2\x9b" "2J") && !sov_quorum_name("\xed\xa0\x80") && !sov_quorum_name(" x") && !sov_quorum_name(""), "names are text that steers no terminal");
}

/* --- shares that are not right --- */

static void
mixed(void)
{
	struct sov_quorum q,
				other;
	uint8_t		shares[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN],
				theirs[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN],
				share[SOV_QUORUM_SHARE_LEN];
	char		set[17];
	int			number = 0,
				wrong = 0;

	ceremony(&q, 2, 3, shares);
	ceremony(&other, 2, 3, theirs);
	ok(memcmp(q.root_id, other.root_id, 16) != 0 && memcmp(q.set, other.set, 8) != 0, "two ceremonies, two root keys");
	ok(sov_quorum_check(&q, shares[1], &number, &err) == SOV_OK && number == 2, "a share is told by its number");
	sov_hex(set, other.set, 8);
	ok(sov_quorum_check(&q, theirs[1], &number, &err) == SOV_E_KEY && strstr(err.message, set) && strstr(err.message, "another ceremony"), "of another ceremony: %s", err.message);
	memcpy(share, theirs[1], sizeof share);
	memcpy(share + 1, q.set, 8);
	ok(sov_quorum_check(&q, share, &number, &err) == SOV_E_KEY && strstr(err.message, "Holder Nr. 2"), "forged to look of this one: %s", err.message);
	for (size_t i = 0; i < sizeof share; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			memcpy(share, shares[0], sizeof share);
			share[i] ^= (uint8_t) (1 << bit);
			wrong += sov_quorum_check(&q, share, &number, &err) == SOV_OK || err.message[0] == '\0' || err.hint[0] == '\0';
		}
	ok(wrong == 0, "no flipped bit of a share goes through");
}

/* --- rows --- */

static enum sov_code
type_in(char rows[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT], uint8_t share[SOV_QUORUM_SHARE_LEN])
{
	uint8_t		bytes[SOV_QUORUM_ROWS][10];
	enum sov_code rc = SOV_OK;

	for (int r = 0; rc == SOV_OK && r < SOV_QUORUM_ROWS; r++)
		rc = sov_quorum_row_parse(r + 1, rows[r], bytes[r], &err);
	return rc == SOV_OK ? sov_quorum_rows_join((const uint8_t (*)[10]) bytes, share, &err) : rc;
}

static void
rows(void)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	struct sov_quorum q;
	uint8_t		shares[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN],
				share[SOV_QUORUM_SHARE_LEN];
	char		text[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT],
				bad[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT],
				swap[SOV_QUORUM_ROW_TEXT],
				what[20];
	int			wrong = 0,
				typos = 0;

	ceremony(&q, 2, 2, shares);
	ok_rc(sov_quorum_rows(shares[0], text, &err), err, "a share as rows");
	ok(type_in(text, share) == SOV_OK && memcmp(share, shares[0], sizeof share) == 0, "and back");
	memcpy(bad, text, sizeof bad);
	for (int r = 0; r < SOV_QUORUM_ROWS; r++)
		for (char *p = bad[r]; *p; p++)
			*p = *p == '0' ? 'o' : *p == '1' ? (r % 2 ? 'l' : 'I') : *p == '-' ? ' ' : (char) (*p >= 'A' ? *p + 32 : *p);
	ok(type_in(bad, share) == SOV_OK && memcmp(share, shares[0], sizeof share) == 0, "as people type it: small, o for 0, l and I for 1, spaces");
	for (int r = 0; r < SOV_QUORUM_ROWS; r++)
		for (int i = 0; i < SOV_QUORUM_ROW_TEXT - 1; i++)
			for (const char *d = digits; *d; d++)
			{
				if (text[r][i] == '-' || text[r][i] == *d)
					continue;
				memcpy(bad, text, sizeof bad);
				bad[r][i] = *d;
				snprintf(what, sizeof what, "row %d ", r + 1);
				typos++;
				wrong += type_in(bad, share) != SOV_E_FORMAT || strstr(err.message, what) == NULL;
			}
	ok(wrong == 0, "each of %d wrong digits is told with its row", typos);
	memcpy(bad, text, sizeof bad);
	memcpy(swap, bad[1], sizeof swap);
	memcpy(bad[1], bad[2], sizeof swap);
	memcpy(bad[2], swap, sizeof swap);
	ok(type_in(bad, share) == SOV_E_FORMAT && strstr(err.message, "row 2"), "two rows exchanged: %s", err.message);
	sov_quorum_rows(shares[1], bad, &err);
	memcpy(bad[2], text[2], sizeof bad[2]);
	ok(type_in(bad, share) == SOV_E_FORMAT && strstr(err.message, "not all of one share") && share[20] == 0, "rows of two shares: %s", err.message);
	ok(sov_quorum_row_parse(1, "", shares[0], &err) == SOV_E_FORMAT && strstr(err.message, "too short"), "an empty row");
	ok(sov_quorum_row_parse(1, "00000-00000-00000-00000-0", shares[0], &err) == SOV_E_FORMAT && strstr(err.message, "too long"), "a long one");
	ok(sov_quorum_row_parse(1, "U", shares[0], &err) == SOV_E_FORMAT && strstr(err.message, "no letter or digit"), "a letter that there is not");
}

/* --- records and files --- */

static void
texts(void)
{
	struct sov_quorum q,
				back;
	uint8_t		shares[SOV_QUORUM_SHARES][SOV_QUORUM_SHARE_LEN],
				share[SOV_QUORUM_SHARE_LEN];
	char		text[SOV_QUORUM_FILE_MAX + 1],
				bad[SOV_QUORUM_FILE_MAX + 1];
	size_t		len,
				end;
	int			wrong = 0;

	ceremony(&q, 3, SOV_QUORUM_SHARES, shares);
	for (int i = 0; i < SOV_QUORUM_SHARES; i++)
		memset(q.holders[i].name, 'a' + i, SOV_QUORUM_NAME - 1);
	ok_rc(sov_quorum_record_text(&q, text, &len, &err), err, "the longest record");
	ok(len < SOV_QUORUM_RECORD_MAX && strlen(text) == len, "fits (%zu bytes)", len);
	ok(sov_quorum_record_parse(text, len, &back, NULL, &err) == SOV_OK && memcmp(&q, &back, sizeof q) == 0, "and is read as it was");
	ceremony(&q, 2, 3, shares);
	sov_quorum_record_text(&q, text, &len, &err);
	for (int i = 0; i < 3; i++)
		wrong += memmem(text, len, shares[i] + 12, 32) != NULL;
	ok(wrong == 0, "it holds no share");
	for (size_t i = 0; i < len; i++)
	{
		memcpy(bad, text, len + 1);
		bad[i] ^= 2;
		wrong += sov_quorum_record_parse(bad, len, &back, NULL, &err) == SOV_OK || !err.hint[0];
		wrong += sov_quorum_record_parse(text, i, &back, NULL, &err) == SOV_OK;
	}
	ok(wrong == 0, "any flipped byte and any truncation of it is seen");
	memcpy(bad, text, len);
	memcpy(bad + len, "x\n", 3);
	ok(sov_quorum_record_parse(bad, len + 2, &back, NULL, &err) == SOV_E_FORMAT, "and what follows its end");
	ok(sov_quorum_record_parse(bad, len + 2, &back, &end, &err) == SOV_OK && end == len, "which a share's file has");
	bad[21] = '2';
	ok(sov_quorum_record_parse(bad, len, &back, NULL, &err) == SOV_E_UNSUPPORTED, "a later format");
	ok(sov_quorum_file_parse(text, len, share, &err) == SOV_E_FORMAT && strstr(err.message, "no share"), "a record is no share: %s", err.message);

	ok_rc(sov_quorum_file_text(&q, 2, shares[1], text, &len, &err), err, "a share's file");
	ok(sov_quorum_file_parse(text, len, share, &err) == SOV_OK && memcmp(share, shares[1], sizeof share) == 0, "and back");
	wrong = 0;
	for (size_t i = 0; i < len; i++)
	{
		memcpy(bad, text, len + 1);
		bad[i] ^= 1;
		/* the name after "rows" is for people */
		if (sov_quorum_file_parse(bad, len, share, &err) == SOV_OK)
			wrong += memcmp(share, shares[1], sizeof share) != 0;
		wrong += sov_quorum_file_parse(text, i, share, &err) == SOV_OK;
	}
	ok(wrong == 0, "a damaged one is seen, or is the same share");
}

static void
custodian(void)
{
	static const char *const bad[] = {"quorum:relative", "quorum:", "quorum:/a/very/long/path/that/goes/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on/r.quorum"};
	struct sov_custodian *c = NULL;
	int			wrong = 0;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		wrong += sov_custodian_check_uri(bad[i], &err) != SOV_E_CONFIG || !err.hint[0];
	ok(wrong == 0, "URIs that are refused");
	ok_rc(sov_custodian_check_uri("quorum:/etc/pg_sovereign/root.quorum", &err), err, "one that is good");
	ok(sov_custodian_open("quorum:/none/such.quorum", &c, &err) == SOV_E_KEY && c == NULL && !err.retryable && strstr(err.message, "does not exist"), "without a record: %s", err.message);
	ok(sov_custodian_open("quorum:/etc/passwd", &c, &err) != SOV_OK && c == NULL && err.hint[0], "another file: %s", err.message);
}

int
main(void)
{
	choices(2, 2);
	choices(2, 3);
	choices(3, 5);
	choices(7, 8);
	choices(SOV_QUORUM_SHARES, SOV_QUORUM_SHARES);
	requests();
	mixed();
	rows();
	texts();
	custodian();
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
