/*
 * folder_list.c - the objects of a folder (folder.c), by a walk through its
 * directories.
 *
 * Directories that cannot hold a name with the prefix are not opened; what has no
 * object's name, is no regular file, or goes away meanwhile is passed over.  An
 * empty answer counts only from the folder that was there before.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "folder_private.h"

struct listing
{
	const char *prefix;
	size_t		prefix_len;
	sov_list_fn fn;
	void	   *ctx;
	bool		stop;
	struct sov_error *err;
};

static enum sov_code list_directory(struct listing *l, int fd, const char *base);

static enum sov_code
list_entry(struct listing *l, int dir, const char *base, const char *entry)
{
	struct sov_object_stat ost;
	struct stat st;
	char		name[SOV_OBJECT_NAME_MAX + 2];
	size_t		len,
				common;
	int			fd;

	if (snprintf(name, sizeof name, "%s%s", base, entry) >= (int) sizeof name || !sov_object_name_ok(name))
		return SOV_OK;			/* not ours */
	len = strlen(name);
	common = len < l->prefix_len ? len : l->prefix_len;
	if (strncmp(name, l->prefix, common) != 0)
		return SOV_OK;
	if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? SOV_OK : folder_fail_io(l->err, errno, "look at object", name);
	if (S_ISREG(st.st_mode) && len >= l->prefix_len)
	{
		folder_fill_stat(&ost, &st);
		l->stop = !l->fn(l->ctx, name, &ost);
		return SOV_OK;
	}
	if (!S_ISDIR(st.st_mode) || len + 1 >= sizeof name)
		return SOV_OK;
	name[len] = '/';
	name[len + 1] = '\0';
	common = len + 1 < l->prefix_len ? len + 1 : l->prefix_len;
	if (strncmp(name, l->prefix, common) != 0)
		return SOV_OK;
	fd = openat(dir, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return folder_absent(errno) ? SOV_OK : folder_fail_io(l->err, errno, "open directory", name);
	return list_directory(l, fd, name);
}

/* Takes over fd. */
static enum sov_code
list_directory(struct listing *l, int fd, const char *base)
{
	DIR		   *dir = fdopendir(fd);
	enum sov_code rc = SOV_OK;

	if (dir == NULL)
	{
		rc = folder_fail_io(l->err, errno, "read directory", base);
		close(fd);
		return rc;
	}
	while (rc == SOV_OK && !l->stop)
	{
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (e == NULL && errno != 0)
			rc = folder_fail_io(l->err, errno, "read directory", base);
		if (e == NULL)
			break;
		rc = list_entry(l, dirfd(dir), base, e->d_name);
	}
	closedir(dir);
	return rc;
}

enum sov_code
folder_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct folder *f = (struct folder *) p;
	struct listing l = {.prefix = prefix, .prefix_len = strlen(prefix), .fn = fn, .ctx = ctx, .err = err};
	enum sov_code rc;
	int			root,
				fd;

	rc = folder_open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	fd = fcntl(root, F_DUPFD_CLOEXEC, 0);
	rc = fd < 0 ? folder_fail_io(err, errno, "open folder", f->root) : list_directory(&l, fd, "");
	/* an empty answer counts only from the folder that we know */
	if (rc == SOV_OK)
	{
		rc = folder_not_found(f, root, "", err);
		if (rc == SOV_E_NOTFOUND)
		{
			rc = SOV_OK;
			if (err != NULL)
				sov_error_clear(err);
		}
	}
	close(root);
	return rc;
}
