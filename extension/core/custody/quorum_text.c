/*
 * quorum_text.c - records and shares of a split root key as text (layouts: sov_quorum.h).
 *
 * Both are read as they come from outside: a record lies on the host, a share was
 * typed from paper.  Shares are only ever in secret memory of the caller's, and on the
 * stack of what converts a row, which is wiped.
 */
#include "sov_quorum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "pg_sovereign quorum v1"
#define END_LEN 8
#define ROW_BYTES 10

static const char record_hint[] = "bring it back from its copy: every share's file begins with one";

/* --- the record --- */

/* Bytes of the well-formed character of UTF-8 that is no control character; 0: none. */
static int
character(const unsigned char *p)
{
	if (p[0] < 0x80)
		return p[0] >= 32 && p[0] != 127;
	if (p[0] >= 0xc2 && p[0] < 0xe0)
		return (p[1] & 0xc0) == 0x80 && (p[0] > 0xc2 || p[1] >= 0xa0) ? 2 : 0;
	if (p[0] >= 0xe0 && p[0] < 0xf0)
		return (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 && (p[0] > 0xe0 || p[1] >= 0xa0) && (p[0] != 0xed || p[1] < 0xa0) ? 3 : 0;
	return 0;
}

bool
sov_quorum_name(const char *name)
{
	const char *p = name;
	int			n = 1;

	if (name[0] == '\0' || name[0] == ' ' || strlen(name) >= SOV_QUORUM_NAME)
		return false;
	for (; *p && n > 0; p += n)
		n = character((const unsigned char *) p);
	return n > 0;
}

static enum sov_code
end_of(const char *text, size_t len, char hex[2 * END_LEN + 1], struct sov_error *err)
{
	struct sov_span span = {text, len};
	uint8_t		hash[32];
	enum sov_code rc = sov_sha256(&span, 1, hash, err);

	sov_hex(hex, hash, END_LEN);
	return rc;
}

enum sov_code
sov_quorum_record_text(const struct sov_quorum *q, char *text, size_t *len, struct sov_error *err)
{
	char		set[17],
				id[37],
				check[65],
				salt[33],
				hash[65],
				end[2 * END_LEN + 1];
	size_t		n;
	enum sov_code rc;

	sov_hex(set, q->set, 8);
	sov_uuid_text(id, q->root_id);
	sov_hex(check, q->check, 32);
	n = (size_t) snprintf(text, SOV_QUORUM_RECORD_MAX, FIRST_LINE "\nset %s\nroot %s\ncheck %s\nmade %s\nthreshold %d\n", set, id, check, q->made, q->k);
	for (int i = 0; i < q->n; i++)
	{
		sov_hex(salt, q->holders[i].salt, 16);
		sov_hex(hash, q->holders[i].hash, 32);
		n += (size_t) snprintf(text + n, SOV_QUORUM_RECORD_MAX - n, "share %d %s %s %s\n", i + 1, salt, hash, q->holders[i].name);
	}
	rc = end_of(text, n, end, err);
	*len = n + (size_t) snprintf(text + n, SOV_QUORUM_RECORD_MAX - n, "end %s\n", end);
	return rc;
}

/* A line that begins with word and a space: what follows these, up to its end, into
 * value; *at moves behind the line. */
static bool
take_line(const char *text, size_t len, size_t *at, const char *word, char *value, size_t cap)
{
	const char *line = text + *at,
			   *end = memchr(line, '\n', len - *at);
	size_t		n = strlen(word);

	if (end == NULL || (size_t) (end - line) < n + 2 || memcmp(line, word, n) != 0 || line[n] != ' ' || (size_t) (end - line) - n - 1 >= cap)
		return false;
	snprintf(value, cap, "%.*s", (int) (end - line - (ptrdiff_t) n - 1), line + n + 1);
	*at += (size_t) (end - line) + 1;
	return strlen(value) == (size_t) (end - line) - n - 1;
}

/* 1 to 16, written plainly. */
static int
small_number(const char *text)
{
	int			v = atoi(text);
	char		again[16];

	snprintf(again, sizeof again, "%d", v);
	return v >= 1 && v <= SOV_QUORUM_SHARES && strcmp(again, text) == 0 ? v : 0;
}

/* "I SALT HASH NAME" */
static bool
take_holder(struct sov_quorum *q, char *value)
{
	char	   *salt = strchr(value, ' '),
			   *hash = salt ? strchr(salt + 1, ' ') : NULL,
			   *name = hash ? strchr(hash + 1, ' ') : NULL;
	int			i = q->n;

	if (name == NULL || i == SOV_QUORUM_SHARES)
		return false;
	*salt++ = *hash++ = *name++ = '\0';
	if (small_number(value) != i + 1 || strlen(salt) != 32 || !sov_unhex(q->holders[i].salt, salt, 16) ||
		strlen(hash) != 64 || !sov_unhex(q->holders[i].hash, hash, 32) || !sov_quorum_name(name))
		return false;
	snprintf(q->holders[i].name, SOV_QUORUM_NAME, "%s", name);
	q->n++;
	return true;
}

static bool
take_record(const char *text, size_t len, struct sov_quorum *q, size_t *at)
{
	char		value[256];

	if (!take_line(text, len, at, "set", value, sizeof value) || strlen(value) != 16 || !sov_unhex(q->set, value, 8) ||
		!take_line(text, len, at, "root", value, sizeof value) || !sov_uuid_parse(q->root_id, value) ||
		!take_line(text, len, at, "check", value, sizeof value) || strlen(value) != 64 || !sov_unhex(q->check, value, 32) ||
		!take_line(text, len, at, "made", q->made, sizeof q->made) || strspn(q->made, "0123456789-:TZ") != sizeof q->made - 1 ||
		!take_line(text, len, at, "threshold", value, sizeof value))
		return false;
	q->k = small_number(value);
	while (take_line(text, len, at, "share", value, sizeof value))
		if (!take_holder(q, value))
			return false;
	return q->k >= 2 && q->k <= q->n;
}

enum sov_code
sov_quorum_record_parse(const char *text, size_t len, struct sov_quorum *q, size_t *end, struct sov_error *err)
{
	size_t		at = strlen(FIRST_LINE) + 1,
				body;
	char		given[64],
				want[2 * END_LEN + 1];
	enum sov_code rc;

	memset(q, 0, sizeof *q);
	if (len < at || memcmp(text, FIRST_LINE, strlen(FIRST_LINE) - 1) != 0)
		return sov_fail(err, SOV_E_FORMAT, "\"pg_sovereign key split\" makes one", "it is not the record of a split root key");
	if (memcmp(text, FIRST_LINE "\n", at) != 0)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use the version of pg_sovereign that made it", "the record has another format than this version knows");
	if (!take_record(text, len, q, &at))
		return sov_fail(err, SOV_E_FORMAT, record_hint, "the record is damaged (its lines are not as they should be)");
	body = at;
	if (!take_line(text, len, &at, "end", given, sizeof given))
		return sov_fail(err, SOV_E_FORMAT, record_hint, "the record is damaged (its end is missing)");
	rc = end_of(text, body, want, err);
	if (rc == SOV_OK && strcmp(given, want) != 0)
		rc = sov_fail(err, SOV_E_FORMAT, record_hint, "the record is damaged (it does not fit its check value)");
	if (rc == SOV_OK && end == NULL && at != len)
		rc = sov_fail(err, SOV_E_FORMAT, record_hint, "the record has something after its end: is it a share's file?");
	if (end != NULL)
		*end = at;
	return rc;
}

static enum sov_code
check_record_file(int fd, const char *path, struct sov_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return sov_fail(err, SOV_E_KEY, "name the file itself in [custody]", "record \"%.300s\" is not a regular file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return sov_fail(err, SOV_E_KEY, "run this as the user that owns it (mostly postgres), or chown it", "record \"%.300s\" belongs to another user", path);
	if (st.st_mode & 022)
		return sov_fail(err, SOV_E_KEY, "chmod 0600 it", "record \"%.300s\" may be written by others", path);
	return SOV_OK;
}

enum sov_code
sov_quorum_record_read(const char *path, struct sov_quorum *q, struct sov_error *err)
{
	char		text[SOV_QUORUM_RECORD_MAX];
	int			fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t		len = 0;
	ssize_t		n;
	enum sov_code rc;

	if (fd < 0 && errno == ENOENT)
		return sov_fail(err, SOV_E_KEY, "bring it back (every share's file begins with a copy); \"pg_sovereign key split\" makes a new root key, which opens nothing that is sealed already",
						"record \"%.300s\" of the split root key does not exist", path);
	if (fd < 0)
		return sov_fail(err, SOV_E_KEY, "it must be a file that this user may read", "could not open record \"%.300s\": %s", path, strerror(errno));
	rc = check_record_file(fd, path, err);
	while (rc == SOV_OK && (n = read(fd, text + len, sizeof text - len)) != 0)
		if (n > 0)
			len += (size_t) n;
		else if (errno != EINTR)
			rc = sov_fail_errno(err, errno, NULL, "could not read record \"%.300s\"", path);
	close(fd);
	if (rc != SOV_OK)
		return rc;
	rc = sov_quorum_record_parse(text, len, q, NULL, err);
	return rc == SOV_OK ? rc : sov_error_prefix(err, "%.300s", path);
}

/* --- rows --- */

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int
digit_value(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char) (c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	at = c ? strchr(digits, c) : NULL;
	return at ? (int) (at - digits) : -1;
}

/* 12.5 bytes: the row's ten and 20 bits of its check. */
static enum sov_code
with_check(int row, const uint8_t bytes[ROW_BYTES], uint8_t out[13], struct sov_error *err)
{
	static const char label[] = "pg_sovereign quorum row v1";
	uint8_t		number = (uint8_t) row,
				hash[32];
	struct sov_span spans[3] = {{label, sizeof label - 1}, {&number, 1}, {bytes, ROW_BYTES}};
	enum sov_code rc = sov_sha256(spans, 3, hash, err);

	memcpy(out, bytes, ROW_BYTES);
	memcpy(out + ROW_BYTES, hash, 3);
	out[12] &= 0xf0;
	return rc;
}

static enum sov_code
whole_check(const uint8_t share[SOV_QUORUM_SHARE_LEN], uint8_t check[6], struct sov_error *err)
{
	static const char label[] = "pg_sovereign quorum text v1";
	struct sov_span spans[2] = {{label, sizeof label - 1}, {share, SOV_QUORUM_SHARE_LEN}};
	uint8_t		hash[32];
	enum sov_code rc = sov_sha256(spans, 2, hash, err);

	memcpy(check, hash, 6);
	return rc;
}

enum sov_code
sov_quorum_rows(const uint8_t share[SOV_QUORUM_SHARE_LEN], char rows[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT], struct sov_error *err)
{
	uint8_t		all[SOV_QUORUM_ROWS * ROW_BYTES],
				row[13];
	enum sov_code rc;

	memcpy(all, share, SOV_QUORUM_SHARE_LEN);
	rc = whole_check(share, all + SOV_QUORUM_SHARE_LEN, err);
	for (int r = 0; rc == SOV_OK && r < SOV_QUORUM_ROWS; r++)
	{
		char	   *p = rows[r];

		rc = with_check(r + 1, all + r * ROW_BYTES, row, err);
		for (int i = 0; i < 20; i++)
		{
			int			bit = i * 5;
			unsigned	pair = (unsigned) row[bit / 8] << 8 | (bit / 8 < 12 ? row[bit / 8 + 1] : 0);

			if (i > 0 && i % 5 == 0)
				*p++ = '-';
			*p++ = digits[pair >> (11 - bit % 8) & 31];
		}
		*p = '\0';
	}
	sov_wipe(all, sizeof all);
	sov_wipe(row, sizeof row);
	return rc;
}

enum sov_code
sov_quorum_row_parse(int row, const char *text, uint8_t bytes[ROW_BYTES], struct sov_error *err)
{
	static const char hint[] = "each row has 20 letters and digits, in four groups; compare it with the paper";
	uint8_t		given[13] = {0},
				want[13] = {0};
	int			n = 0;
	enum sov_code rc = SOV_OK;

	for (; *text && rc == SOV_OK; text++)
	{
		int			v = digit_value(*text);

		if (*text == '-' || *text == ' ' || *text == '\t' || *text == '\r')
			continue;
		if (v < 0 || n == 20)
			rc = sov_fail(err, SOV_E_FORMAT, hint, v < 0 ? "row %d of the share holds something that is no letter or digit of a share" : "row %d of the share is too long", row);
		else
		{
			unsigned	pair = (unsigned) v << (11 - n * 5 % 8);

			given[n * 5 / 8] |= (uint8_t) (pair >> 8);
			if (n * 5 / 8 < 12)
				given[n * 5 / 8 + 1] |= (uint8_t) pair;
			n++;
		}
	}
	if (rc == SOV_OK && n < 20)
		rc = sov_fail(err, SOV_E_FORMAT, hint, "row %d of the share is too short", row);
	if (rc == SOV_OK)
		rc = with_check(row, given, want, err);
	if (rc == SOV_OK && !sov_equal(given, want, 13))
		rc = sov_fail(err, SOV_E_FORMAT, hint, "row %d of the share does not fit its check: it is mistyped, or another row", row);
	if (rc == SOV_OK)
		memcpy(bytes, given, ROW_BYTES);
	sov_wipe(given, sizeof given);
	sov_wipe(want, sizeof want);
	return rc;
}

enum sov_code
sov_quorum_rows_join(const uint8_t bytes[SOV_QUORUM_ROWS][ROW_BYTES], uint8_t share[SOV_QUORUM_SHARE_LEN], struct sov_error *err)
{
	uint8_t		check[6];
	enum sov_code rc;

	memcpy(share, bytes, SOV_QUORUM_SHARE_LEN);
	rc = whole_check(share, check, err);
	if (rc == SOV_OK && !sov_equal(check, (const uint8_t *) bytes + SOV_QUORUM_SHARE_LEN, 6))
		rc = sov_fail(err, SOV_E_FORMAT, "enter all five rows of one share", "the rows are not all of one share");
	if (rc != SOV_OK)
		sov_wipe(share, SOV_QUORUM_SHARE_LEN);
	return rc;
}

/* --- a share's file --- */

enum sov_code
sov_quorum_file_text(const struct sov_quorum *q, int number, const uint8_t share[SOV_QUORUM_SHARE_LEN], char *text, size_t *len, struct sov_error *err)
{
	char		rows[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT];
	enum sov_code rc = sov_quorum_record_text(q, text, len, err);

	if (rc == SOV_OK)
		rc = sov_quorum_rows(share, rows, err);
	if (rc == SOV_OK)
	{
		*len += (size_t) snprintf(text + *len, SOV_QUORUM_FILE_MAX - *len, "rows %d %s\n", number, q->holders[number - 1].name);
		for (int r = 0; r < SOV_QUORUM_ROWS; r++)
			*len += (size_t) snprintf(text + *len, SOV_QUORUM_FILE_MAX - *len, "%d %s\n", r + 1, rows[r]);
	}
	sov_wipe(rows, sizeof rows);
	return rc;
}

enum sov_code
sov_quorum_file_parse(const char *text, size_t len, uint8_t share[SOV_QUORUM_SHARE_LEN], struct sov_error *err)
{
	struct sov_quorum q;
	uint8_t		bytes[SOV_QUORUM_ROWS][ROW_BYTES];
	char		line[128],
				number[2] = "1";
	size_t		at = 0;
	int			of;
	enum sov_code rc = sov_quorum_record_parse(text, len, &q, &at, err);

	if (rc != SOV_OK)
		return rc;
	if (!take_line(text, len, &at, "rows", line, sizeof line))
		return sov_fail(err, SOV_E_FORMAT, "give the file of a share; or enter the share's rows at the terminal", at == len ? "it is a record, and holds no share" : "it is not a share's file as this version writes it");
	for (int r = 0; rc == SOV_OK && r < SOV_QUORUM_ROWS; r++, number[0]++)
	{
		if (!take_line(text, len, &at, number, line, sizeof line))
			rc = sov_fail(err, SOV_E_FORMAT, "take the holder's other copy", "row %d of the share is missing or damaged", r + 1);
		else
			rc = sov_quorum_row_parse(r + 1, line, bytes[r], err);
	}
	if (rc == SOV_OK && at != len)
		rc = sov_fail(err, SOV_E_FORMAT, "take the holder's other copy", "the share's file has something after its end");
	if (rc == SOV_OK)
		rc = sov_quorum_rows_join((const uint8_t (*)[ROW_BYTES]) bytes, share, err);
	if (rc == SOV_OK)
		rc = sov_quorum_check(&q, share, &of, err);
	sov_wipe(bytes, sizeof bytes);
	sov_wipe(line, sizeof line);
	return rc;
}
