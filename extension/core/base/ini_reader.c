/*
 * ini_reader.c - INI files, read strictly and with the line of everything; see
 * ini_reader.h.
 */
#include "ini_reader.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

enum sov_code
ini_vfail(struct ini_reader *in, int line, const char *hint, const char *fmt, va_list ap)
{
	char		text[600];

	vsnprintf(text, sizeof text, fmt, ap);
	in->failed = true;
	if (line > 0)
		return sov_fail(in->err, SOV_E_CONFIG, hint, "%.150s:%d: %s", in->file, line, text);
	return sov_fail(in->err, SOV_E_CONFIG, hint, "%.150s: %s", in->file, text);
}

enum sov_code
ini_fail(struct ini_reader *in, int line, const char *hint, const char *fmt, ...)
{
	enum sov_code rc;
	va_list		ap;

	va_start(ap, fmt);
	rc = ini_vfail(in, line, hint, fmt, ap);
	va_end(ap);
	return rc;
}

/* What inih would silently overlook in a line. */
static bool
check_line(struct ini_reader *in, char *text)
{
	char	   *p = text,
			   *end,
			   *rest;

	if (in->line == 1 && strncmp(p, "\xEF\xBB\xBF", 3) == 0)
		p += 3;
	p += strspn(p, " \t\r\n");
	if (*p != '[')
		return true;
	end = strchr(++p, ']');
	if (end == NULL)
		return ini_fail(in, in->line, "close the section's name with a bracket: [repository]",
						"\"]\" is missing"), false;
	rest = end + 1 + strspn(end + 1, " \t\r\n");
	if (*rest != '\0' && *rest != ';' && *rest != '#')
		return ini_fail(in, in->line, "put values on lines of their own", "text follows the section's name"), false;
	*end = '\0';
	if (!in->section(in->ctx, p))
		return false;
	*end = ']';
	return true;
}

static char *
read_line(char *dst, int cap, void *user)
{
	struct ini_reader *in = user;
	int			n = 0,
				c;

	if (in->failed)
		return NULL;
	in->line++;
	while ((c = getc(in->stream)) != EOF && c != '\n')
	{
		if (n >= cap - 3)
		{
			ini_fail(in, in->line, NULL, "line is longer than %d bytes", cap - 3);
			return NULL;
		}
		if (c != '\t' && c != '\r' && (c < 32 || c == 127))
		{
			ini_fail(in, in->line, "the file must be plain text", "line holds a control character");
			return NULL;
		}
		dst[n++] = (char) c;
	}
	if (c == EOF && ferror(in->stream))
	{
		ini_fail(in, 0, NULL, "could not read the file: %s", strerror(errno));
		return NULL;
	}
	if (c == EOF && n == 0)
		return NULL;
	dst[n++] = '\n';
	dst[n] = '\0';
	return check_line(in, dst) ? dst : NULL;
}

static int
handle_value(void *user, const char *section, const char *name, const char *value)
{
	struct ini_reader *in = user;

	(void) section;
	return !in->failed && in->value(in->ctx, name, value);
}

enum sov_code
ini_read(struct ini_reader *in)
{
	int			rc;

	/* Settings of the library, the same at every call. */
	ini_max_line = LINE_MAX_BYTES;
	ini_use_stack = true;
	ini_allow_multiline = false;
	ini_stop_on_first_error = true;
	ini_allow_no_value = false;
	rc = ini_parse_stream(read_line, in, handle_value, in);
	if (in->failed)
		return SOV_E_CONFIG;
	if (rc > 0)
		return ini_fail(in, rc, "write \"name = value\", \"[section]\" or \"# comment\"",
						"line is not understood");
	if (rc < 0)
		return sov_fail(in->err, SOV_E_NOMEM, NULL, "out of memory");
	return SOV_OK;
}
