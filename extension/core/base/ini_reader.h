/*
 * ini_reader.h - INI files, read strictly and with the line of everything.
 *
 * inih splits lines into names and values.  Lines come to it through a reader
 * of ours, which counts them (the library's callback does not tell), refuses
 * what inih would silently cut or skip (long lines, control characters, text
 * after a section's bracket) and notices sections, also empty ones.
 */
#ifndef INI_READER_H
#define INI_READER_H

#include <stdarg.h>
#include <stdio.h>

#include "sov_error.h"

struct ini_reader
{
	FILE	   *stream;
	const char *file;			/* stands in messages */
	int			line;			/* the present one, from 1 */
	bool		failed;			/* err is filled */
	struct sov_error *err;
	/* Both return false after ini_fail. */
	bool		(*section) (void *ctx, const char *name);
	bool		(*value) (void *ctx, const char *name, const char *value);
	void	   *ctx;
};

/* Read it all. */
extern enum sov_code ini_read(struct ini_reader *in);
/* "FILE:LINE: text" (no line when it is 0); returns SOV_E_CONFIG. */
extern enum sov_code ini_fail(struct ini_reader *in, int line, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
extern enum sov_code ini_vfail(struct ini_reader *in, int line, const char *hint, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

#endif
