/*
 * folder.c - a provider in a folder of a mounted file system (local, NFS).
 *
 * Object NAME is the file ROOT/NAME; its directories are made on demand.  How it
 * comes there is in folder_put.c, how all are listed in folder_list.c.
 *
 * The root folder is never made here and is opened anew by every operation.
 * A missing mount must not look like an empty provider: "not found" is only
 * said while the root stands, and, once +tmp was seen in it, while it still
 * has that (an empty mount point has not).
 *
 * The file system may belong to a hoster: symbolic links inside the root are
 * not followed, files that are not regular do not exist, and an object larger
 * than max_object is not read into memory.
 *
 * Thread safe: nothing of the handle changes but one atomic flag.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "folder_private.h"
#include "sov_config.h"

#define TMP_MAX_AGE_S (24 * 3600)	/* older temporaries are of the dead */
#define OBJECT_MAX ((uint64_t) 1 << 30)

/* --- errors --- */

enum sov_code
folder_fail_io(struct sov_error *err, int saved, const char *what, const char *name)
{
	enum sov_code rc;

	rc = sov_fail_errno(err, saved, saved == EACCES || saved == EPERM ? "the user that runs this must own the folder and all in it" : NULL,
						"could not %s \"%s\"", what, name);
	if (rc == SOV_E_FULL || rc == SOV_E_NOMEM)
		return rc;
	if (err != NULL)
	{
		err->code = SOV_E_PROVIDER;
		err->retryable = saved != EACCES && saved != EPERM && saved != EROFS && saved != ENAMETOOLONG;
	}
	return SOV_E_PROVIDER;
}

enum sov_code
folder_bad_name(struct sov_error *err, const char *name)
{
	return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
}

/* --- directories --- */

enum sov_code
folder_open_root(struct folder *f, int *fd, struct sov_error *err)
{
	struct stat st;

	*fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
	{
		enum sov_code rc;
		int			saved = errno;

		rc = folder_fail_io(err, saved, "open folder", f->root);
		if (err != NULL && (saved == ENOENT || saved == ENOTDIR))
			snprintf(err->hint, sizeof err->hint, "is its storage mounted? a new provider's folder must be made before, empty, for the user that runs this");
		return rc;
	}
	if (!f->marked && fstatat(*fd, FOLDER_TMP, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		f->marked = true;
	return SOV_OK;
}

enum sov_code
folder_gone(struct folder *f, struct sov_error *err)
{
	sov_fail(err, SOV_E_PROVIDER, "is its storage mounted?", "folder \"%s\" is not the one that was there before", f->root);
	if (err != NULL)
		err->retryable = true;
	return SOV_E_PROVIDER;
}

enum sov_code
folder_not_found(struct folder *f, int root, const char *name, struct sov_error *err)
{
	struct stat at_path,
				at_fd,
				st;

	if (stat(f->root, &at_path) != 0)
		return folder_fail_io(err, errno, "look at folder", f->root);
	if (fstat(root, &at_fd) != 0)
		return folder_fail_io(err, errno, "look at folder", f->root);
	if (at_path.st_dev != at_fd.st_dev || at_path.st_ino != at_fd.st_ino ||
		(f->marked && fstatat(root, FOLDER_TMP, &st, AT_SYMLINK_NOFOLLOW) != 0))
		return folder_gone(f, err);
	return sov_fail(err, SOV_E_NOTFOUND, NULL, "object \"%s\" does not exist", name);
}

int
folder_make_directory(int parent, const char *name)
{
	if (mkdirat(parent, name, 0700) != 0)
		return errno == EEXIST ? 0 : -1;
	return fsync(parent);
}

int
folder_open_parent(int root, const char *name, bool create, int *fd, const char **last)
{
	int			at = fcntl(root, F_DUPFD_CLOEXEC, 0);

	while (at >= 0)
	{
		const char *slash = strchr(name, '/');
		char		part[SOV_OBJECT_NAME_MAX + 1];
		int			next,
					saved;

		if (slash == NULL)
		{
			*fd = at;
			*last = name;
			return 0;
		}
		snprintf(part, sizeof part, "%.*s", (int) (slash - name), name);
		next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && errno == ENOENT && create && folder_make_directory(at, part) == 0)
			next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		saved = errno;
		close(at);
		errno = saved;
		at = next;
		name = slash + 1;
	}
	return errno;
}

bool
folder_absent(int saved)
{
	return saved == ENOENT || saved == ENOTDIR || saved == ELOOP || saved == EISDIR;
}

/* --- get, stat, remove --- */

static enum sov_code
read_range(int fd, uint64_t size, uint64_t offset, uint64_t len, struct sov_buf *out, const char *name, struct sov_error *err)
{
	size_t		before = out->len,
				done = 0;
	uint8_t    *dst;

	if (offset >= size)
		return SOV_OK;
	if (len > size - offset)
		len = size - offset;
	if (len > OBJECT_MAX)
		return sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\" is larger (%llu bytes) than any that was stored", name, (unsigned long long) size);
	dst = sov_buf_extend(out, (size_t) len);
	if (dst == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	while (done < len)
	{
		ssize_t		n = pread(fd, dst + done, (size_t) len - done, (off_t) (offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
		{
			out->len = before;
			return folder_fail_io(err, n < 0 ? errno : EIO, "read object", name);
		}
		done += (size_t) n;
	}
	return SOV_OK;
}

/* Find an object: its directory, its last name, and what it is. */
static enum sov_code
find(struct folder *f, int root, const char *name, int *dir, const char **last, struct stat *st, struct sov_error *err)
{
	int			saved = folder_open_parent(root, name, false, dir, last);

	if (saved != 0)
		return folder_absent(saved) ? folder_not_found(f, root, name, err) : folder_fail_io(err, saved, "look for object", name);
	if (fstatat(*dir, *last, st, AT_SYMLINK_NOFOLLOW) != 0)
		return folder_absent(errno) ? folder_not_found(f, root, name, err) : folder_fail_io(err, errno, "look for object", name);
	if (!S_ISREG(st->st_mode))
		return folder_not_found(f, root, name, err);
	return SOV_OK;
}

static enum sov_code
folder_get(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len,
		   struct sov_buf *out, struct sov_error *err)
{
	struct folder *f = (struct folder *) p;
	const char *last;
	struct stat st;
	int			root,
				dir = -1,
				fd = -1;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return folder_bad_name(err, name);
	rc = folder_open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = find(f, root, name, &dir, &last, &st, err);
	if (rc == SOV_OK)
	{
		fd = openat(dir, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			rc = folder_absent(errno) ? folder_not_found(f, root, name, err) : folder_fail_io(err, errno, "open object", name);
		else if (fstat(fd, &st) != 0)
			rc = folder_fail_io(err, errno, "look at object", name);
		else
			rc = read_range(fd, (uint64_t) st.st_size, offset, len, out, name, err);
	}
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	close(root);
	return rc;
}

void
folder_fill_stat(struct sov_object_stat *dst, const struct stat *st)
{
	dst->size = (uint64_t) st->st_size;
	dst->mtime_us = (int64_t) st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
	dst->locked = false;
}

static enum sov_code
folder_stat(struct sov_provider *p, const char *name, struct sov_object_stat *out, struct sov_error *err)
{
	struct folder *f = (struct folder *) p;
	const char *last;
	struct stat st;
	int			root,
				dir = -1;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return folder_bad_name(err, name);
	rc = folder_open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = find(f, root, name, &dir, &last, &st, err);
	if (rc == SOV_OK)
		folder_fill_stat(out, &st);
	if (dir >= 0)
		close(dir);
	close(root);
	return rc;
}

static enum sov_code
folder_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct folder *f = (struct folder *) p;
	const char *last;
	struct stat st;
	int			root,
				dir = -1;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return folder_bad_name(err, name);
	rc = folder_open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = find(f, root, name, &dir, &last, &st, err);
	if (rc == SOV_OK && unlinkat(dir, last, 0) != 0)
		rc = folder_absent(errno) ? folder_not_found(f, root, name, err) : folder_fail_io(err, errno, "remove object", name);
	if (rc == SOV_OK && fsync(dir) != 0)
		rc = folder_fail_io(err, errno, "write to disk the directory of object", name);
	if (dir >= 0)
		close(dir);
	close(root);
	return rc;
}

/* --- open, close --- */

/* Temporaries of writers that were killed. */
static enum sov_code
sweep_temporaries(int root, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	int			fd = openat(root, FOLDER_TMP, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR		   *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct sov_object_stat ost;
	struct stat st;
	char		name[sizeof FOLDER_TMP + NAME_MAX + 1];
	enum sov_code rc = SOV_OK;

	if (dir == NULL)
	{
		rc = errno == ENOENT ? SOV_OK : folder_fail_io(err, errno, "read directory", FOLDER_TMP);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while ((e = readdir(dir)) != NULL)
	{
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			continue;
		folder_fill_stat(&ost, &st);
		snprintf(name, sizeof name, FOLDER_TMP "/%s", e->d_name);
		if (fn(ctx, name, &ost) && unlinkat(fd, e->d_name, 0) != 0 && errno != ENOENT && rc == SOV_OK)
			rc = folder_fail_io(err, errno, "remove temporary", name);
	}
	closedir(dir);
	return rc;
}

static bool
of_the_dead(void *ctx, const char *name, const struct sov_object_stat *st)
{
	(void) ctx, (void) name;
	return st->mtime_us < ((int64_t) time(NULL) - TMP_MAX_AGE_S) * 1000000;
}

static enum sov_code
folder_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	int			root;
	enum sov_code rc = folder_open_root((struct folder *) p, &root, err);

	if (rc != SOV_OK)
		return rc;
	rc = sweep_temporaries(root, fn, ctx, err);
	close(root);
	return rc;
}

static enum sov_code
folder_open(const struct sov_provider_config *cfg, struct sov_provider **out, struct sov_error *err)
{
	struct folder *f;
	enum sov_code rc;
	int			root;

	if (cfg->path[0] != '/')
		return sov_fail(err, SOV_E_CONFIG, "add for example: path = /srv/backup/local", "a folder provider needs an absolute \"path\"");
	f = calloc(1, sizeof *f);
	if (f == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	f->base.ops = &sov_folder_ops;
	snprintf(f->root, sizeof f->root, "%s", cfg->path);
	rc = folder_open_root(f, &root, err);
	if (rc != SOV_OK)
	{
		free(f);
		return rc;
	}
	(void) sweep_temporaries(root, of_the_dead, NULL, NULL);
	close(root);
	*out = &f->base;
	return SOV_OK;
}

static void
folder_close(struct sov_provider *p)
{
	free(p);
}

static const struct sov_provider_key folder_keys[] = {
	{.name = "path", .kind = SOV_KEY_PATH, .required = true, .example = "/srv/backup/local"},
	{.name = NULL}
};

const struct sov_provider_ops sov_folder_ops = {
	.keys = folder_keys,
	.caps = {.scheme = "folder", .threads = true, .atomic_create = true,
	.max_object = OBJECT_MAX, .parallel = 4},
	.open = folder_open,
	.put = folder_put,
	.get = folder_get,
	.stat = folder_stat,
	.list = folder_list,
	.remove = folder_remove,
	.older = sov_provider_no_older,
	.hidden = sov_provider_no_hidden,
	.sweep = folder_sweep,
	.close = folder_close,
};
