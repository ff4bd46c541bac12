/*
 * sov_quorum.h - a root key in the hands of people: n shares, any k open it.
 *
 * "pg_sovereign key split" (a ceremony) makes a root key in locked memory, splits it by
 * Shamir's scheme (libgfshare, fed from our generator) and forgets it: it is never on a
 * disk.  What stays on the host is the record, which holds no secret; each holder gets a
 * share, as a file or on paper.  "pg_sovereign unlock", run once by each holder, gives the
 * shares to a process of the host that joins them, keeps the root key in locked memory
 * and wraps and unwraps for the processes of the same user (custodian_quorum.c).
 *
 * Record (text, UTF-8; at most SOV_QUORUM_RECORD_MAX bytes):
 *   pg_sovereign quorum v1
 *   set HEX16                     the ceremony, random
 *   root UUID                     from sov_commit(root key, "quorum-id")
 *   check HEX64                   sov_commit(root key, "quorum")
 *   made YYYY-MM-DDTHH:MM:SSZ
 *   threshold K
 *   share I SALT32 HASH64 NAME    for I = 1 to N: whose it is; HASH = SHA-256 of
 *                                 ("pg_sovereign quorum share v1" | SALT 16 | share's bytes)
 *   end HEX16                     the first 8 bytes of SHA-256 of all before this line
 *
 * Share, 44 bytes: version u8 (1) | set 8 | k u8 | n u8 | number u8 | share 32.
 * As text it is five rows of 20 digits (base 32 of Crockford: no I, L, O, U; small
 * letters, and I, L for 1 and O for 0, are understood), in groups of five:
 *   the 44 bytes | the first 6 of SHA-256 ("pg_sovereign quorum text v1" | the 44 bytes)
 *   = 5 rows of 10 bytes = 16 digits, each followed by 4 check digits, the first 20 bits
 *   of SHA-256 ("pg_sovereign quorum row v1" | row's number u8, from 1 | its 10 bytes)
 * so that a mistake of typing is told row by row.  A share's file is the record, then
 * "rows I NAME", then the rows, one a line, as "1 XXXXX-XXXXX-XXXXX-XXXXX".
 */
#ifndef SOV_QUORUM_H
#define SOV_QUORUM_H

#include "sov_bytes.h"
#include "sov_crypto.h"

#define SOV_QUORUM_SHARES 16
#define SOV_QUORUM_NAME 64		/* of a holder, with its end */
#define SOV_QUORUM_ROWS 5
#define SOV_QUORUM_ROW_TEXT 24	/* a row's digits and dashes, with its end */
#define SOV_QUORUM_SHARE_LEN 44
#define SOV_QUORUM_RECORD_MAX 4096
/* A share's file: record and rows */
#define SOV_QUORUM_FILE_MAX (SOV_QUORUM_RECORD_MAX + 512)

struct sov_quorum
{
	uint8_t		set[8];
	uint8_t		root_id[16];
	uint8_t		check[32];
	char		made[21];
	int			k,
				n;
	struct
	{
		char		name[SOV_QUORUM_NAME];
		uint8_t		salt[16];
		uint8_t		hash[32];
	}			holders[SOV_QUORUM_SHARES];
};

/* A new root key, split: q->k, q->n and the names are given, the rest is filled in;
 * shares (secret memory) receives n shares' bytes.  2 <= k <= n.  It is joined again
 * before this returns SOV_OK; the root key is wiped. */
extern enum sov_code sov_quorum_split(struct sov_quorum *q, uint8_t shares[][SOV_QUORUM_SHARE_LEN], struct sov_error *err);
/* Is it a share of this ceremony, whole?  *number: which one (1 to n).  Messages name
 * holder and ceremony. */
extern enum sov_code sov_quorum_check(const struct sov_quorum *q, const uint8_t share[SOV_QUORUM_SHARE_LEN], int *number, struct sov_error *err);
/* The root key of q->k different shares that passed sov_quorum_check. */
extern enum sov_code sov_quorum_join(const struct sov_quorum *q, const uint8_t shares[][SOV_QUORUM_SHARE_LEN], uint8_t root[32], struct sov_error *err);

/* A holder's name: UTF-8 without control characters, not beginning with a space. */
extern bool sov_quorum_name(const char *name);

/* Returns the length; text has room for SOV_QUORUM_RECORD_MAX. */
extern enum sov_code sov_quorum_record_text(const struct sov_quorum *q, char *text, size_t *len, struct sov_error *err);
/* *end (may be NULL) receives where the record ends in text; with NULL nothing may follow. */
extern enum sov_code sov_quorum_record_parse(const char *text, size_t len, struct sov_quorum *q, size_t *end, struct sov_error *err);
/* Read a record's file, which belongs to this user or root and which nobody else may write. */
extern enum sov_code sov_quorum_record_read(const char *path, struct sov_quorum *q, struct sov_error *err);

/* "Ada Byron (share 2)" of a number from 1 to n; returns dst. */
extern char *sov_quorum_holder(const struct sov_quorum *q, int number, char *dst, size_t cap);

/* Rows of a share, and back.  row is from 1; bytes are a row's 10. */
extern enum sov_code sov_quorum_rows(const uint8_t share[SOV_QUORUM_SHARE_LEN], char rows[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT], struct sov_error *err);
extern enum sov_code sov_quorum_row_parse(int row, const char *text, uint8_t bytes[10], struct sov_error *err);
extern enum sov_code sov_quorum_rows_join(const uint8_t bytes[SOV_QUORUM_ROWS][10], uint8_t share[SOV_QUORUM_SHARE_LEN], struct sov_error *err);
/* A share's file; text is not changed, and holds a NUL at len. */
extern enum sov_code sov_quorum_file_parse(const char *text, size_t len, uint8_t share[SOV_QUORUM_SHARE_LEN], struct sov_error *err);
/* Returns its length; text is secret memory of SOV_QUORUM_FILE_MAX. */
extern enum sov_code sov_quorum_file_text(const struct sov_quorum *q, int number, const uint8_t share[SOV_QUORUM_SHARE_LEN], char *text, size_t *len, struct sov_error *err);

/* --- the process that holds the joined root key (custodian_quorum.c) --- */

#define SOV_QUORUM_SCHEME "quorum"
/* The record's path of "quorum:/absolute/path"; SOV_E_CONFIG. */
extern enum sov_code sov_quorum_uri(const char *uri, const char **record, struct sov_error *err);
/* The socket's path: the record's with ".socket". */
extern enum sov_code sov_quorum_socket(const char *record, char *path, size_t cap, struct sov_error *err);
/* Connect to the process that holds, or gathers, this record's shares; it must run as
 * this user or root.  SOV_E_NOTFOUND: there is none (retryable: one was killed). */
extern enum sov_code sov_quorum_connect(const char *record, int *fd, struct sov_error *err);
/* Ask it: line (secret memory, SOV_CUSTODIAN_LINE) holds the request with its end, *value
 * receives what follows "ok " in it.  *fd is closed, and -1, when it no longer speaks the
 * protocol, which is that of sov_custodian.h, and:
 *   status       ->  ok joined | ok gathering NUMBER...   (the shares that it has)
 *   share HEX88  ->  the same, with this share
 *   forget       ->  ok forgotten */
extern enum sov_code sov_quorum_ask(int *fd, char *line, char **value, struct sov_error *err);
/* What that process wraps with: it takes root over into secret memory.  A custodian
 * like any other; closing it wipes. */
struct sov_custodian;
extern enum sov_code sov_quorum_custodian(const struct sov_quorum *q, const uint8_t root[32], struct sov_custodian **out, struct sov_error *err);

#endif
