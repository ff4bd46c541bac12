/*
 * folder.c - a provider in a folder of a mounted file system (local, NFS).
 *
 * Object NAME is the file ROOT/NAME; its directories are made on demand.  An
 * object is written to ROOT/+tmp, synced, and renamed (or linked, where it must
 * not exist yet) to its name, and the directory is synced: readers see all or
 * nothing, and what put acknowledged survives a crash.  '+' is in no object
 * name, so that temporaries and objects never meet.
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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "adapters.h"
#include "sov_config.h"
#include "sov_crypto.h"

#define TMP_DIR "+tmp"
#define TMP_MAX_AGE_S (24 * 3600)	/* older temporaries are of the dead */
#define OBJECT_MAX ((uint64_t) 1 << 30)

struct folder
{
	struct sov_provider base;	/* first */
	_Atomic bool marked;		/* +tmp was seen in the root */
	char		root[1024];
};

/* --- errors --- */

/* A failed system call: full, or the provider fails (never "not found"). */
static enum sov_code
fail_io(struct sov_error *err, int saved, const char *what, const char *name)
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

static enum sov_code
bad_name(struct sov_error *err, const char *name)
{
	return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
}

/* --- directories --- */

static enum sov_code
open_root(struct folder *f, int *fd, struct sov_error *err)
{
	struct stat st;

	*fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
	{
		enum sov_code rc;
		int			saved = errno;

		rc = fail_io(err, saved, "open folder", f->root);
		if (err != NULL && (saved == ENOENT || saved == ENOTDIR))
			snprintf(err->hint, sizeof err->hint, "is its storage mounted? a new provider's folder must be made before, empty, for the user that runs this");
		return rc;
	}
	if (!f->marked && fstatat(*fd, TMP_DIR, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		f->marked = true;
	return SOV_OK;
}

/* Another folder stands where ours was. */
static enum sov_code
gone(struct folder *f, struct sov_error *err)
{
	sov_fail(err, SOV_E_PROVIDER, "is its storage mounted?", "folder \"%s\" is not the one that was there before", f->root);
	if (err != NULL)
		err->retryable = true;
	return SOV_E_PROVIDER;
}

/* "Not found", if the root is still what it was. */
static enum sov_code
not_found(struct folder *f, int root, const char *name, struct sov_error *err)
{
	struct stat at_path,
				at_fd,
				st;

	if (stat(f->root, &at_path) != 0)
		return fail_io(err, errno, "look at folder", f->root);
	if (fstat(root, &at_fd) != 0)
		return fail_io(err, errno, "look at folder", f->root);
	if (at_path.st_dev != at_fd.st_dev || at_path.st_ino != at_fd.st_ino ||
		(f->marked && fstatat(root, TMP_DIR, &st, AT_SYMLINK_NOFOLLOW) != 0))
		return gone(f, err);
	return sov_fail(err, SOV_E_NOTFOUND, NULL, "object \"%s\" does not exist", name);
}

/* Make a directory that outlives a crash. */
static int
make_directory(int parent, const char *name)
{
	if (mkdirat(parent, name, 0700) != 0)
		return errno == EEXIST ? 0 : -1;
	return fsync(parent);
}

/* Open the directory of an object, *last is the name in it.  Returns 0 or an
 * errno; ENOENT when a part is absent (and not to be made). */
static int
open_parent(int root, const char *name, bool create, int *fd, const char **last)
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
		if (next < 0 && errno == ENOENT && create && make_directory(at, part) == 0)
			next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		saved = errno;
		close(at);
		errno = saved;
		at = next;
		name = slash + 1;
	}
	return errno;
}

/* What stands where no object can stand does not exist as an object. */
static bool
absent(int saved)
{
	return saved == ENOENT || saved == ENOTDIR || saved == ELOOP || saved == EISDIR;
}

/* --- put --- */

static enum sov_code
write_spans(int fd, const struct sov_put_span *spans, int n_spans, const char *name, struct sov_error *err)
{
	for (int i = 0; i < n_spans; i++)
	{
		const char *p = spans[i].data;
		size_t		left = spans[i].len;

		while (left > 0)
		{
			ssize_t		n = write(fd, p, left);

			if (n < 0 && errno != EINTR)
				return fail_io(err, errno, "write object", name);
			if (n > 0)
			{
				p += n;
				left -= (size_t) n;
			}
		}
	}
	if (fsync(fd) != 0)
		return fail_io(err, errno, "write to disk object", name);
	return SOV_OK;
}

/* A new file in +tmp; its name, unique over threads, processes and hosts. */
static enum sov_code
make_temporary(struct folder *f, int root, int *tmp_dir, int *fd, char name[40], struct sov_error *err)
{
	uint8_t		random[16];
	enum sov_code rc;

	rc = sov_random(random, sizeof random, err);
	if (rc != SOV_OK)
		return rc;
	sov_hex(name, random, sizeof random);
	if (!f->marked && make_directory(root, TMP_DIR) != 0)
		return fail_io(err, errno, "make a directory in folder", f->root);
	*tmp_dir = openat(root, TMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*tmp_dir < 0)
	{
		if (errno == ENOENT)	/* it was there: never fill an empty mount point */
			return gone(f, err);
		return fail_io(err, errno, "open \"" TMP_DIR "\" in folder", f->root);
	}
	f->marked = true;
	*fd = openat(*tmp_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return fail_io(err, errno, "make a file in folder", f->root);
	return SOV_OK;
}

/* Give the temporary its name.  Returns 0 or an errno. */
static int
give_name(int tmp_dir, const char *tmp, int dir, const char *last, bool if_absent)
{
	int			rc;

	if (!if_absent)
		rc = renameat(tmp_dir, tmp, dir, last);
	else
	{
		rc = linkat(tmp_dir, tmp, dir, last, 0);
		if (rc == 0)
			(void) unlinkat(tmp_dir, tmp, 0);
		else if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
			rc = renameat2(tmp_dir, tmp, dir, last, RENAME_NOREPLACE);
	}
	return rc == 0 ? 0 : errno;
}

static enum sov_code
publish(struct folder *f, int root, int tmp_dir, const char *tmp, const char *name, bool if_absent, struct sov_error *err)
{
	const char *last = NULL;
	struct stat st;
	int			dir = -1,
				saved;
	enum sov_code rc = SOV_OK;

	saved = open_parent(root, name, true, &dir, &last);
	if (saved != 0)
		return fail_io(err, saved, "make the directory of object", name);
	/* rename would replace a symbolic link, but not a directory */
	saved = give_name(tmp_dir, tmp, dir, last, if_absent);
	if (saved == EEXIST && if_absent)
		rc = sov_fail(err, SOV_E_EXISTS, NULL, "object \"%s\" exists already", name);
	else if (saved != 0)
		rc = fail_io(err, saved, "store object", name);
	else if (fsync(dir) != 0)
		rc = fail_io(err, errno, "write to disk the directory of object", name);
	/* the folder itself was taken away meanwhile: the object went with it */
	else if (fstat(root, &st) != 0 || st.st_nlink == 0)
		rc = fail_io(err, ENOENT, "store into folder", f->root);
	close(dir);
	return rc;
}

static enum sov_code
folder_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		   bool if_absent, struct sov_error *err)
{
	struct folder *f = (struct folder *) p;
	char		tmp[40];
	int			root = -1,
				tmp_dir = -1,
				fd = -1;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return bad_name(err, name);
	rc = open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = make_temporary(f, root, &tmp_dir, &fd, tmp, err);
	if (rc == SOV_OK)
		rc = write_spans(fd, spans, n_spans, name, err);
	/* NFS reports some failed writes only here */
	if (fd >= 0 && close(fd) != 0 && rc == SOV_OK)
		rc = fail_io(err, errno, "write object", name);
	if (rc == SOV_OK)
		rc = publish(f, root, tmp_dir, tmp, name, if_absent, err);
	if (rc != SOV_OK && fd >= 0)
		(void) unlinkat(tmp_dir, tmp, 0);
	if (tmp_dir >= 0)
		close(tmp_dir);
	close(root);
	return rc;
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
			return fail_io(err, n < 0 ? errno : EIO, "read object", name);
		}
		done += (size_t) n;
	}
	return SOV_OK;
}

/* Find an object: its directory, its last name, and what it is. */
static enum sov_code
find(struct folder *f, int root, const char *name, int *dir, const char **last, struct stat *st, struct sov_error *err)
{
	int			saved = open_parent(root, name, false, dir, last);

	if (saved != 0)
		return absent(saved) ? not_found(f, root, name, err) : fail_io(err, saved, "look for object", name);
	if (fstatat(*dir, *last, st, AT_SYMLINK_NOFOLLOW) != 0)
		return absent(errno) ? not_found(f, root, name, err) : fail_io(err, errno, "look for object", name);
	if (!S_ISREG(st->st_mode))
		return not_found(f, root, name, err);
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
		return bad_name(err, name);
	rc = open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = find(f, root, name, &dir, &last, &st, err);
	if (rc == SOV_OK)
	{
		fd = openat(dir, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			rc = absent(errno) ? not_found(f, root, name, err) : fail_io(err, errno, "open object", name);
		else if (fstat(fd, &st) != 0)
			rc = fail_io(err, errno, "look at object", name);
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

static void
fill_stat(struct sov_object_stat *dst, const struct stat *st)
{
	dst->size = (uint64_t) st->st_size;
	dst->mtime_us = (int64_t) st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
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
		return bad_name(err, name);
	rc = open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = find(f, root, name, &dir, &last, &st, err);
	if (rc == SOV_OK)
		fill_stat(out, &st);
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
		return bad_name(err, name);
	rc = open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = find(f, root, name, &dir, &last, &st, err);
	if (rc == SOV_OK && unlinkat(dir, last, 0) != 0)
		rc = absent(errno) ? not_found(f, root, name, err) : fail_io(err, errno, "remove object", name);
	if (rc == SOV_OK && fsync(dir) != 0)
		rc = fail_io(err, errno, "write to disk the directory of object", name);
	if (dir >= 0)
		close(dir);
	close(root);
	return rc;
}

/* --- list --- */

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
		return errno == ENOENT ? SOV_OK : fail_io(l->err, errno, "look at object", name);
	if (S_ISREG(st.st_mode) && len >= l->prefix_len)
	{
		fill_stat(&ost, &st);
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
		return absent(errno) ? SOV_OK : fail_io(l->err, errno, "open directory", name);
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
		rc = fail_io(l->err, errno, "read directory", base);
		close(fd);
		return rc;
	}
	while (rc == SOV_OK && !l->stop)
	{
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (e == NULL && errno != 0)
			rc = fail_io(l->err, errno, "read directory", base);
		if (e == NULL)
			break;
		rc = list_entry(l, dirfd(dir), base, e->d_name);
	}
	closedir(dir);
	return rc;
}

static enum sov_code
folder_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct folder *f = (struct folder *) p;
	struct listing l = {.prefix = prefix, .prefix_len = strlen(prefix), .fn = fn, .ctx = ctx, .err = err};
	enum sov_code rc;
	int			root,
				fd;

	rc = open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	fd = fcntl(root, F_DUPFD_CLOEXEC, 0);
	rc = fd < 0 ? fail_io(err, errno, "open folder", f->root) : list_directory(&l, fd, "");
	/* an empty answer counts only from the folder that we know */
	if (rc == SOV_OK)
	{
		rc = not_found(f, root, "", err);
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

/* --- open, close --- */

/* Temporaries of writers that were killed; best effort. */
static void
sweep_temporaries(int root)
{
	int			fd = openat(root, TMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR		   *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (dir == NULL)
	{
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL)
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
			st.st_mtime < time(NULL) - TMP_MAX_AGE_S)
			(void) unlinkat(fd, e->d_name, 0);
	closedir(dir);
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
	rc = open_root(f, &root, err);
	if (rc != SOV_OK)
	{
		free(f);
		return rc;
	}
	sweep_temporaries(root);
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
	.close = folder_close,
};
