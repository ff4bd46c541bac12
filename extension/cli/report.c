/*
 * report.c - the only place that turns an error into text and an exit code.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_stop.h"

#define WAL_FETCH_STOP 126		/* PostgreSQL stops recovery above 125 */

static bool wal_fetch;

void
cli_exit_codes_of_wal_fetch(void)
{
	wal_fetch = true;
}

int
cli_exit_code(enum sov_code code)
{
	if (wal_fetch && code != SOV_OK)
		return code == SOV_E_NOTFOUND ? 1 : WAL_FETCH_STOP;
	switch (code)
	{
		case SOV_OK:
			return 0;
		case SOV_E_CONFIG:
		case SOV_E_USAGE:
			return 2;
		case SOV_E_KEY:
		case SOV_E_DENIED:
			return 3;
		case SOV_E_PROVIDER:
		case SOV_E_QUORUM:
			return 4;
		case SOV_E_AUTH:
		case SOV_E_FORMAT:
		case SOV_E_CORRUPT:
			return 5;
		case SOV_E_EXISTS:
		case SOV_E_CONFLICT:
		case SOV_E_STATE:
		case SOV_E_LOCKED:
			return 6;
		case SOV_E_CANCELLED:
			return 7;
		case SOV_E_FULL:
			return 8;
		case SOV_E_SYSTEM:
		case SOV_E_NOMEM:
		case SOV_E_CRYPTO:
		case SOV_E_NOTFOUND:
		case SOV_E_UNSUPPORTED:
			return 1;
	}
	return 1;
}

/* Names of objects and files come from outside: nothing of them may steer the
 * terminal. */
static void
print_clean(const char *prefix, const char *text)
{
	fputs(prefix, stderr);
	for (; *text != '\0'; text++)
		fputc((unsigned char) *text < 32 && *text != '\n' && *text != '\t' ? '?' : *text, stderr);
	fputc('\n', stderr);
}

static struct sov_error last_error;
static bool have_error;

const struct sov_error *
cli_last_error(void)
{
	return have_error ? &last_error : NULL;
}

void
cli_remember(const struct sov_error *err)
{
	last_error = *err;
	have_error = true;
}

/* What fails once requests end because the command was cancelled is no failure of a
 * provider. */
static void
say_cancelled(struct sov_error *err)
{
	if (!sov_stopped_all() || err->code == SOV_E_CANCELLED)
		return;
	err->code = SOV_E_CANCELLED;
	snprintf(err->hint, sizeof err->hint, "run it again: what it has done is found");
	sov_error_prefix(err, "cancelled");
}

int
cli_report(const struct sov_error *why)
{
	struct sov_error *err = &last_error;

	last_error = *why;
	have_error = true;
	say_cancelled(err);
	cli_progress_hide();
	fflush(stdout);
	flockfile(stderr);
	print_clean("pg_sovereign: error: ", err->message[0] ? err->message : sov_code_name(err->code));
	if (err->hint[0] != '\0')
		print_clean("hint: ", err->hint);
	funlockfile(stderr);
	return cli_exit_code(err->code == SOV_OK ? SOV_E_SYSTEM : err->code);
}

int
cli_usage_error(const char *command, const char *fmt, ...)
{
	struct sov_error err = {.code = SOV_E_USAGE};
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(err.message, sizeof err.message, fmt, ap);
	va_end(ap);
	snprintf(err.hint, sizeof err.hint, "pg_sovereign%s%s --help", command ? " " : "", command ? command : "");
	return cli_report(&err);
}

void
cli_note(const char *fmt, ...)
{
	char		text[1024];
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	cli_note_callback(NULL, text);
}

void
cli_note_callback(void *ctx, const char *message)
{
	cli_progress_hide();
	flockfile(stderr);
	print_clean("pg_sovereign: note: ", message);
	funlockfile(stderr);
}
