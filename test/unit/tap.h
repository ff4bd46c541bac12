/*
 * tap.h - the few lines of TAP that the C tests need.
 *
 * A test is a program: TAP on standard output, exit status 1 when any test
 * failed.  "plan" comes last, so that a crash in the middle is a failure.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int	tap_n,
			tap_failed;

static inline int __attribute__((format(printf, 2, 3)))
tap_ok(int good, const char *fmt, ...)
{
	va_list		ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_n);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	if (!good)
		tap_failed++;
	return good;
}

/* ok(condition, "what is true", ...) */
#define ok(cond, ...) (tap_ok((cond) ? 1 : 0, __VA_ARGS__) || (printf("# failed at %s:%d: %s\n", __FILE__, __LINE__, #cond), 0))
/* A call that must succeed: shows the error's message when it does not. */
#define ok_rc(call, err, ...) (tap_ok((call) == SOV_OK, __VA_ARGS__) || (printf("# failed at %s:%d: %s\n# %s\n", __FILE__, __LINE__, #call, (err).message), 0))

/* Kilobytes of locked memory: secrets that were not freed, which no leak checker
 * sees. */
static inline long __attribute__((unused))
tap_locked_kb(void)
{
	char		line[200];
	long		kb = -1;
	FILE	   *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmLck: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_n);
	return tap_failed ? 1 : 0;
}

#endif
