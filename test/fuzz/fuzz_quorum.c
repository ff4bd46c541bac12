/*
 * fuzz_quorum.c - a split root key's text: first byte 0 a record, 1 a share's file, else
 * a row as a holder types it.
 *
 * Odd inputs: the check value at the end of a record is made right first, so that what
 * stands before it is judged too.
 */
#include "sealing.h"
#include "sov_quorum.h"

/* Put the right check value behind "end ", where there is one. */
static void
mend(char *text, size_t len)
{
	char	   *end = memmem(text, len, "\nend ", 5);
	struct sov_span span = {text, end ? (size_t) (end + 1 - text) : 0};
	uint8_t		hash[32];
	char		hex[17];

	if (end == NULL || (size_t) (text + len - end) < 5 + 16 || sov_sha256(&span, 1, hash, NULL) != SOV_OK)
		return;
	sov_hex(hex, hash, 8);
	memcpy(end + 5, hex, 16);
}

static void
record(const char *text, size_t len)
{
	struct sov_quorum q,
				again;
	char		out[SOV_QUORUM_RECORD_MAX];
	size_t		n;

	if (sov_quorum_record_parse(text, len, &q, NULL, NULL) != SOV_OK)
		return;
	if (q.k < 2 || q.k > q.n || q.n > SOV_QUORUM_SHARES)
		abort();
	for (int i = 0; i < q.n; i++)
		if (!sov_quorum_name(q.holders[i].name))
			abort();
	if (sov_quorum_record_text(&q, out, &n, NULL) != SOV_OK || sov_quorum_record_parse(out, n, &again, NULL, NULL) != SOV_OK || memcmp(&q, &again, sizeof q) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t		share[SOV_QUORUM_SHARE_LEN],
				bytes[10];
	char	   *text;

	if (len < 1 || len > 2 * SOV_QUORUM_FILE_MAX)
		return 0;
	text = malloc(len);			/* one byte fewer than data, and a NUL */
	memcpy(text, data + 1, len - 1);
	text[len - 1] = '\0';
	mend(text, len - 1);
	if (data[0] == 0)
		record(text, len - 1);
	else if (data[0] == 1)
		(void) sov_quorum_file_parse(text, len - 1, share, NULL);
	else
		(void) sov_quorum_row_parse(1 + data[0] % SOV_QUORUM_ROWS, text, bytes, NULL);
	free(text);
	return 0;
}
