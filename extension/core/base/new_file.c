/*
 * new_file.c - a new file, all of it or none of it.
 *
 * It gets its content under a temporary name and is then linked to its own: a crash
 * leaves no half a key under the name that is read, and none is ever written over.
 */
#include "sov_new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum sov_code
write_all(int fd, const char *text, size_t len, const char *path, struct sov_error *err)
{
	while (len > 0)
	{
		ssize_t		n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return sov_fail_errno(err, errno, NULL, "could not write \"%.300s\"", path);
		if (n > 0)
		{
			text += n;
			len -= (size_t) n;
		}
	}
	if (fsync(fd) != 0)
		return sov_fail_errno(err, errno, NULL, "could not write \"%.300s\" to disk", path);
	return SOV_OK;
}

/* Give the finished file its name, which must be free, for good. */
static enum sov_code
publish(int dir, const char *tmp, const char *name, const char *path, struct sov_error *err)
{
	if (linkat(dir, tmp, dir, name, 0) != 0)
	{
		if (errno == EEXIST)
			return sov_fail(err, SOV_E_EXISTS, "give another path, or move it away", "\"%.300s\" exists already", path);
		return sov_fail_errno(err, errno, NULL, "could not make \"%.300s\"", path);
	}
	if (fsync(dir) != 0)
		return sov_fail_errno(err, errno, NULL, "could not write the directory of \"%.300s\" to disk", path);
	return SOV_OK;
}

enum sov_code
sov_new_file(const char *path, const char *text, size_t len, struct sov_error *err)
{
	const char *slash = strrchr(path, '/');
	char		folder[1024],
				tmp[64];
	enum sov_code rc = SOV_OK;
	int			dir,
				fd;

	if (path[0] != '/' || slash[1] == '\0' || strlen(path) >= sizeof folder)
		return sov_fail(err, SOV_E_USAGE, "write the whole path, beginning with /", "\"%.300s\" is not the absolute path of a file", path);
	snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int) (slash - path), path);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return sov_fail_errno(err, errno, "make the directory first, for the user that will use the key (install -d -m 0700)", "could not open directory \"%.300s\"", folder);
	snprintf(tmp, sizeof tmp, ".pg_sovereign_key.%ld", (long) getpid());
	(void) unlinkat(dir, tmp, 0);	/* of a process of this number that was killed */
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		rc = sov_fail_errno(err, errno, NULL, "could not make a file in \"%.300s\"", folder);
	if (rc == SOV_OK)
		rc = write_all(fd, text, len, path, err);
	if (rc == SOV_OK)
		rc = publish(dir, tmp, slash + 1, path, err);
	if (fd >= 0)
	{
		close(fd);
		(void) unlinkat(dir, tmp, 0);
	}
	close(dir);
	return rc;
}
