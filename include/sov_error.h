/*
 * sov_error.h - status codes and the error record shared by all parts.
 *
 * Every fallible function of core and providers returns an enum sov_code
 * (SOV_OK is 0) and, when it fails, fills a struct sov_error.  Nothing in core
 * or providers prints, exits or longjmps; exactly one file per side turns the
 * record into ereport (backend/report.c) or into stderr and an exit code
 * (cli/report.c).
 *
 * Messages say what happened; hints say what to do.  Neither may ever hold a
 * key, a PIN, a credential or column plaintext.
 */
#ifndef SOV_ERROR_H
#define SOV_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sov_code
{
	SOV_OK = 0,
	SOV_E_CONFIG,				/* configuration file or option is wrong */
	SOV_E_USAGE,				/* command line is wrong */
	SOV_E_SYSTEM,				/* operating system call failed */
	SOV_E_NOMEM,				/* out of memory (or of locked memory) */
	SOV_E_CRYPTO,				/* the cryptographic library failed */
	SOV_E_AUTH,					/* authentication failed: tampered, or the wrong key */
	SOV_E_FORMAT,				/* malformed bytes from outside */
	SOV_E_KEY,					/* key absent, unusable or refused by its custodian */
	SOV_E_NOTFOUND,				/* object, backup, segment definitely absent */
	SOV_E_EXISTS,				/* exists already with other content; not empty */
	SOV_E_PROVIDER,				/* a provider cannot be reached or answers an error */
	SOV_E_QUORUM,				/* too few providers answered to go on */
	SOV_E_CONFLICT,				/* two valid states that exclude each other */
	SOV_E_CORRUPT,				/* data are damaged beyond what k shards can mend */
	SOV_E_STATE,				/* cluster or repository is not in the needed state */
	SOV_E_CANCELLED,			/* the cancel callback said so */
	SOV_E_UNSUPPORTED,			/* a later format version, or not in this build */
	SOV_E_FULL,					/* no space at the target */
	SOV_E_DENIED,				/* the user may not */
	SOV_E_LOCKED				/* the object may not be removed yet: object lock */
};

struct sov_error
{
	enum sov_code code;
	bool		retryable;		/* the same call may succeed later */
	bool		refused;		/* the server will not let these credentials do this; it may let them do other things */
	char		message[768];
	char		hint[512];		/* "" when there is nothing to advise */
};

/* Fill *err (may be NULL) and return code, so that callers write
 * "return sov_fail(err, SOV_E_FORMAT, "hint" or NULL, "shard %s ...", ...)". */
extern enum sov_code sov_fail(struct sov_error *err, enum sov_code code,
							  const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a failed system call: appends ": " and strerror(saved_errno);
 * ENOSPC and EDQUOT become SOV_E_FULL. */
extern enum sov_code sov_fail_errno(struct sov_error *err, int saved_errno,
									const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Put "prefix: " before the message already in *err; returns err->code. */
extern enum sov_code sov_error_prefix(struct sov_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* What was read at a place is not what it should be: SOV_E_AUTH, _FORMAT or
 * _UNSUPPORTED.  Put "place: " before the message, and the hint where there is
 * none.  Other errors stay as they are: who reads names what could not be read. */
extern void sov_error_at(struct sov_error *err, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

extern void sov_error_clear(struct sov_error *err);

/* Short stable name of a code, for logs and JSON: "auth", "quorum", ... */
extern const char *sov_code_name(enum sov_code code);

#endif
