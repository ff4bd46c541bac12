/*
 * error.c - the error record: filling it, prefixing it, naming its codes.
 */
#include "sov_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void
set_hint(struct sov_error *err, const char *hint)
{
	snprintf(err->hint, sizeof err->hint, "%s", hint ? hint : "");
}

enum sov_code
sov_fail(struct sov_error *err, enum sov_code code, const char *hint, const char *fmt, ...)
{
	va_list		ap;

	if (err == NULL)
		return code;
	err->code = code;
	err->retryable = err->refused = false;
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	set_hint(err, hint);
	return code;
}

enum sov_code
sov_fail_errno(struct sov_error *err, int saved_errno, const char *hint, const char *fmt, ...)
{
	enum sov_code code = SOV_E_SYSTEM;
	va_list		ap;
	size_t		used;

	if (saved_errno == ENOSPC || saved_errno == EDQUOT)
		code = SOV_E_FULL;
	else if (saved_errno == ENOMEM)
		code = SOV_E_NOMEM;
	if (err == NULL)
		return code;
	err->code = code;
	err->retryable = code == SOV_E_FULL;
	err->refused = saved_errno == EACCES || saved_errno == EPERM || saved_errno == EROFS;
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof err->message, fmt, ap);
	va_end(ap);
	used = strlen(err->message);
	snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(saved_errno));
	if (hint == NULL && code == SOV_E_FULL)
		hint = "free space there, then run it again";
	else if (hint == NULL && (saved_errno == EACCES || saved_errno == EPERM))
		hint = "it must belong to the user that runs the server (mostly postgres), who runs the command too";
	set_hint(err, hint);
	return code;
}

static void __attribute__((format(printf, 2, 0)))
put_before(struct sov_error *err, const char *fmt, va_list ap)
{
	char		old[sizeof err->message];
	size_t		used;

	memcpy(old, err->message, sizeof old);
	vsnprintf(err->message, sizeof err->message, fmt, ap);
	used = strlen(err->message);
	snprintf(err->message + used, sizeof err->message - used, ": %s", old);
}

enum sov_code
sov_error_prefix(struct sov_error *err, const char *fmt, ...)
{
	va_list		ap;

	if (err == NULL)
		return SOV_E_SYSTEM;
	va_start(ap, fmt);
	put_before(err, fmt, ap);
	va_end(ap);
	return err->code;
}

void
sov_error_at(struct sov_error *err, const char *hint, const char *fmt, ...)
{
	va_list		ap;

	if (err == NULL || (err->code != SOV_E_AUTH && err->code != SOV_E_FORMAT && err->code != SOV_E_UNSUPPORTED))
		return;
	va_start(ap, fmt);
	put_before(err, fmt, ap);
	va_end(ap);
	if (err->hint[0] == '\0')
		set_hint(err, hint);
}

void
sov_error_clear(struct sov_error *err)
{
	if (err != NULL)
		memset(err, 0, sizeof *err);
}

const char *
sov_code_name(enum sov_code code)
{
	static const char *const names[] = {
		"ok", "config", "usage", "system", "nomem", "crypto", "auth", "format",
		"key", "notfound", "exists", "provider", "quorum", "conflict",
		"corrupt", "state", "cancelled", "unsupported", "full", "denied", "locked"
	};

	if ((size_t) code < sizeof names / sizeof names[0])
		return names[code];
	return "unknown";
}
