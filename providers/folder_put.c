/*
 * folder_put.c - how an object comes into a folder (folder.c).
 *
 * It is written to ROOT/+tmp, synced, and renamed (or linked, where it must not
 * exist yet) to its name, and the directory is synced: readers see all or
 * nothing, and what put acknowledged survives a crash.  '+' is in no object
 * name, so that temporaries and objects never meet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "folder_private.h"
#include "sov_crypto.h"

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
				return folder_fail_io(err, errno, "write object", name);
			if (n > 0)
			{
				p += n;
				left -= (size_t) n;
			}
		}
	}
	if (fsync(fd) != 0)
		return folder_fail_io(err, errno, "write to disk object", name);
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
	if (!f->marked && folder_make_directory(root, FOLDER_TMP) != 0)
		return folder_fail_io(err, errno, "make a directory in folder", f->root);
	*tmp_dir = openat(root, FOLDER_TMP, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*tmp_dir < 0)
	{
		if (errno == ENOENT)	/* it was there: never fill an empty mount point */
			return folder_gone(f, err);
		return folder_fail_io(err, errno, "open \"" FOLDER_TMP "\" in folder", f->root);
	}
	f->marked = true;
	*fd = openat(*tmp_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return folder_fail_io(err, errno, "make a file in folder", f->root);
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

	saved = folder_open_parent(root, name, true, &dir, &last);
	if (saved != 0)
		return folder_fail_io(err, saved, "make the directory of object", name);
	/* rename would replace a symbolic link, but not a directory */
	saved = give_name(tmp_dir, tmp, dir, last, if_absent);
	if (saved == EEXIST && if_absent)
		rc = sov_fail(err, SOV_E_EXISTS, NULL, "object \"%s\" exists already", name);
	else if (saved != 0)
		rc = folder_fail_io(err, saved, "store object", name);
	else if (fsync(dir) != 0)
		rc = folder_fail_io(err, errno, "write to disk the directory of object", name);
	/* the folder itself was taken away meanwhile: the object went with it */
	else if (fstat(root, &st) != 0 || st.st_nlink == 0)
		rc = folder_fail_io(err, ENOENT, "store into folder", f->root);
	close(dir);
	return rc;
}

enum sov_code
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
		return folder_bad_name(err, name);
	rc = folder_open_root(f, &root, err);
	if (rc != SOV_OK)
		return rc;
	rc = make_temporary(f, root, &tmp_dir, &fd, tmp, err);
	if (rc == SOV_OK)
		rc = write_spans(fd, spans, n_spans, name, err);
	/* NFS reports some failed writes only here */
	if (fd >= 0 && close(fd) != 0 && rc == SOV_OK)
		rc = folder_fail_io(err, errno, "write object", name);
	if (rc == SOV_OK)
		rc = publish(f, root, tmp_dir, tmp, name, if_absent, err);
	if (rc != SOV_OK && fd >= 0)
		(void) unlinkat(tmp_dir, tmp, 0);
	if (tmp_dir >= 0)
		close(tmp_dir);
	close(root);
	return rc;
}
