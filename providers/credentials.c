/*
 * credentials.c - the credentials file of a provider.
 *
 * One "name = value" per line, '#' begins a comment line; a value may hold any
 * printable byte and is taken as it stands, without blanks at its ends.  The
 * file must be a regular one that nobody but its owner may read, and the owner
 * is root or the user that runs this.  Its text lives in locked memory only and
 * is turned in place into name, NUL, value, NUL; the list ends with an empty
 * name.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"
#include "sov_credential.h"
#include "sov_secret.h"

#define FILE_MAX_BYTES 16384

static bool
blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line [p, end) into *dst; false when it is not understood. */
static bool
take_line(char *p, char *end, char **dst)
{
	char	   *eq,
			   *name_end,
			   *value;

	while (p < end && blank(*p))
		p++;
	while (end > p && blank(end[-1]))
		end--;
	if (p == end || *p == '#')
		return true;
	eq = memchr(p, '=', (size_t) (end - p));
	if (eq == NULL)
		return false;
	for (name_end = eq; name_end > p && blank(name_end[-1]); name_end--)
		;
	for (value = eq + 1; value < end && blank(*value); value++)
		;
	if (name_end == p || value == end)
		return false;
	for (char *c = p; c < name_end; c++)
		if (!((*c >= 'a' && *c <= 'z') || *c == '-'))
			return false;
	for (char *c = value; c < end; c++)
		if ((unsigned char) *c < 32 || *c == 127)
			return false;
	/* never longer than the line was: "=" and the newline pay for the NULs */
	memmove(*dst, p, (size_t) (name_end - p));
	*dst += name_end - p;
	*(*dst)++ = '\0';
	memmove(*dst, value, (size_t) (end - value));
	*dst += end - value;
	*(*dst)++ = '\0';
	return true;
}

/* text has room for len + 2 bytes. */
enum sov_code
sov_credentials_parse(char *text, size_t len, const char *path, struct sov_error *err)
{
	char	   *p = text,
			   *end = text + len,
			   *dst = text;

	for (int line = 1; p < end; line++)
	{
		char	   *stop = memchr(p, '\n', (size_t) (end - p));

		if (stop == NULL)
			stop = end;
		if (memchr(p, '\0', (size_t) (stop - p)) != NULL || !take_line(p, stop, &dst))
			return sov_fail(err, SOV_E_CONFIG, "write one \"name = value\" per line, for example: secret-key = ...",
							"%.300s:%d: line is not understood", path, line);
		p = stop + 1;
	}
	*dst = '\0';
	return SOV_OK;
}

static enum sov_code
check_file(int fd, const char *path, struct stat *st, struct sov_error *err)
{
	if (fstat(fd, st) != 0)
		return sov_fail_errno(err, errno, NULL, "could not look at credentials file \"%s\"", path);
	if (!S_ISREG(st->st_mode))
		return sov_fail(err, SOV_E_CONFIG, NULL, "credentials file \"%s\" is not a regular file", path);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return sov_fail(err, SOV_E_CONFIG, "give it to the user that runs this (chown)",
						"credentials file \"%s\" belongs to another user", path);
	if (!sov_secret_file_private(path, st))
		return sov_fail(err, SOV_E_CONFIG, "chmod 0600 it, and change the credentials if others may have read them",
						"credentials file \"%s\" may be read by others", path);
	if (st->st_size > FILE_MAX_BYTES)
		return sov_fail(err, SOV_E_CONFIG, NULL, "credentials file \"%s\" is longer than %d bytes", path, FILE_MAX_BYTES);
	return SOV_OK;
}

enum sov_code
sov_credentials_read(const char *file, char **out, struct sov_error *err)
{
	char		path[1300];
	struct stat st;
	char	   *text = NULL;
	size_t		len = 0,
				cap;
	ssize_t		n = 1;
	enum sov_code rc = sov_secret_file_path(file, path, sizeof path, err);
	int			fd;

	*out = NULL;
	if (rc != SOV_OK)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
	{
		sov_fail_errno(err, errno, "the user that runs this must be able to read it", "could not open credentials file \"%s\"", path);
		if (err != NULL)
			err->code = SOV_E_CONFIG;
		return SOV_E_CONFIG;
	}
	rc = check_file(fd, path, &st, err);
	cap = rc == SOV_OK ? (size_t) st.st_size : 0;
	if (rc == SOV_OK && (text = sov_secret_alloc(cap + 2, err)) == NULL)
		rc = SOV_E_NOMEM;
	while (rc == SOV_OK && len < cap && n > 0)
	{
		n = read(fd, text + len, cap - len);
		if (n < 0)
			rc = sov_fail_errno(err, errno, NULL, "could not read credentials file \"%s\"", path);
		else
			len += (size_t) n;
	}
	close(fd);
	if (rc == SOV_OK)
		rc = sov_credentials_parse(text, len, path, err);
	if (rc == SOV_OK)
		*out = text;
	else
		sov_secret_free(text);
	return rc;
}

const char *
sov_credentials_get(const char *list, const char *name)
{
	while (list != NULL && *list != '\0')
	{
		const char *value = list + strlen(list) + 1;

		if (strcmp(list, name) == 0)
			return value;
		list = value + strlen(value) + 1;
	}
	return NULL;
}
