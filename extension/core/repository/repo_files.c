/*
 * repo_files.c - the local state directory: small files, written whole.
 *
 * A file is replaced by temporary name, fsync, rename, fsync of the directory,
 * so that a crash leaves the old one or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_private.h"

enum sov_code
repo_sync_parent(const char *path, struct sov_error *err)
{
	char		buf[2048];
	int			fd;

	snprintf(buf, sizeof buf, "%s", path);
	fd = open(dirname(buf), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
	{
		int			e = errno;

		if (fd >= 0)
			close(fd);
		return sov_fail_errno(err, e, NULL, "could not sync the directory of %s", path);
	}
	close(fd);
	return SOV_OK;
}

enum sov_code
repo_mkdirs(const char *path, struct sov_error *err)
{
	char		buf[2048];

	if (strlen(path) >= sizeof buf)
		return sov_fail(err, SOV_E_CONFIG, NULL, "path too long: %.200s", path);
	strcpy(buf, path);
	for (char *p = buf + 1;; p++)
	{
		bool		last = *p == '\0';

		if (*p != '/' && !last)
			continue;
		*p = '\0';
		if (mkdir(buf, last ? 0700 : 0755) == 0)
			(void) repo_sync_parent(buf, NULL);	/* or what is synced in it is lost with it */
		else if (errno != EEXIST && (errno != EROFS || access(buf, F_OK) != 0))
			return sov_fail_errno(err, errno, "create it for the user that runs the server and the command, or set state-directory in [repository]",
								  "could not create directory %s", buf);
		if (last)
			return SOV_OK;
		*p = '/';
	}
}

enum sov_code
repo_write_file(const char *path, const void *data, size_t len, struct sov_error *err)
{
	char		tmp[2100];
	int			fd;
	size_t		at = 0;

	snprintf(tmp, sizeof tmp, "%s.tmp.%d.%lx", path, (int) getpid(), (unsigned long) pthread_self());
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not create %s", tmp);
	while (at < len)
	{
		ssize_t		n = write(fd, (const char *) data + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t) n;
	}
	if (at < len || fsync(fd) != 0)
	{
		int			e = errno;

		close(fd);
		unlink(tmp);
		return sov_fail_errno(err, e, NULL, "could not write %s", path);
	}
	close(fd);
	if (rename(tmp, path) != 0)
	{
		int			e = errno;

		unlink(tmp);
		return sov_fail_errno(err, e, NULL, "could not write %s", path);
	}
	return repo_sync_parent(path, err);
}

enum sov_code
repo_read_file(const char *path, struct sov_buf *out, struct sov_error *err)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	uint8_t    *p;
	ssize_t		n = 0;
	size_t		at = 0;

	if (fd < 0)
	{
		if (errno == ENOENT)
			return sov_fail(err, SOV_E_NOTFOUND, NULL, "%s does not exist", path);
		return sov_fail_errno(err, errno, NULL, "could not open %s", path);
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (p = sov_buf_extend(out, (size_t) st.st_size)) == NULL)
	{
		close(fd);
		return sov_fail(err, SOV_E_SYSTEM, NULL, "could not read %s", path);
	}
	while (at < (size_t) st.st_size && (n = read(fd, p + at, (size_t) st.st_size - at)) > 0)
		at += (size_t) n;
	close(fd);
	if (at != (size_t) st.st_size)
		return sov_fail_errno(err, n < 0 ? errno : EIO, NULL, "could not read %s", path);
	return SOV_OK;
}

static enum sov_code
lock_file(const struct sov_repo *repo, const char *name, int how, int *fd, struct sov_error *err)
{
	char		path[1200];

	snprintf(path, sizeof path, "%s/%s", repo->cfg.state_directory, name);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not open %s", path);
	while (flock(*fd, how) != 0)
	{
		int			e = errno;

		if (e == EINTR)
			continue;
		close(*fd);
		if (e == EWOULDBLOCK)
			return sov_fail(err, SOV_E_STATE, "wait until it has finished",
							"another pg_sovereign command is doing the same at this moment (it holds %s)", path);
		return sov_fail_errno(err, e, NULL, "could not lock %s", path);
	}
	return SOV_OK;
}

enum sov_code
repo_lock_file(const struct sov_repo *repo, const char *name, int *fd, struct sov_error *err)
{
	return lock_file(repo, name, LOCK_EX, fd, err);
}

enum sov_code
repo_try_lock_file(const struct sov_repo *repo, const char *name, int *fd, struct sov_error *err)
{
	return lock_file(repo, name, LOCK_EX | LOCK_NB, fd, err);
}

enum sov_code
repo_lock_file_shared(const struct sov_repo *repo, const char *name, int *fd, struct sov_error *err)
{
	return lock_file(repo, name, LOCK_SH, fd, err);
}
