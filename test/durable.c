/*
 * durable.c - a library for LD_PRELOAD that notes in which order a program changes
 * files and has them written to disk.
 *
 * One line of the file that SYNC_LOG names for each call that succeeded, with the real
 * paths: "write FILE" (consecutive ones to one file once), "change ENTRY" (made, removed,
 * linked), "rename FROM TO", "fsync PATH", "syncfs PATH".  What the C library writes
 * itself (stdio) is not seen; such files are renamed when they are closed.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int	log_fd = -1;
static char last[2 * PATH_MAX + 32];

static void
note(const char *what, const char *path, const char *to)
{
	char		line[2 * PATH_MAX + 32];
	int			n = snprintf(line, sizeof line, "%s %s%s%s\n", what, path, to ? " " : "", to ? to : "");

	pthread_mutex_lock(&lock);
	if (log_fd < 0 && getenv("SYNC_LOG"))
		log_fd = open(getenv("SYNC_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (strcmp(line, last) != 0 && log_fd >= 0)
	{
		strcpy(last, line);
		(void) syscall(SYS_write, log_fd, line, (size_t) n);
	}
	pthread_mutex_unlock(&lock);
}

static void
note_fd(const char *what, int fd)
{
	char		name[64],
				path[PATH_MAX];
	ssize_t		n;

	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	n = readlink(name, path, sizeof path - 1);
	if (n > 0 && path[0] == '/')
	{
		path[n] = '\0';
		note(what, path, NULL);
	}
}

/* The entry itself, in its real directory. */
static void
real(const char *path, char *dst)
{
	char		copy[PATH_MAX],
				copy2[PATH_MAX],
				dir[PATH_MAX];

	snprintf(copy, sizeof copy, "%s", path);
	snprintf(copy2, sizeof copy2, "%s", path);
	if (realpath(dirname(copy), dir) == NULL)
		snprintf(dir, sizeof dir, "?");
	snprintf(dst, PATH_MAX, "%.2000s/%.2000s", dir, basename(copy2));
}

static int
changed(int rc, const char *path)
{
	char		entry[PATH_MAX];

	if (rc == 0)
	{
		real(path, entry);
		note("change", entry, NULL);
	}
	return rc;
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
	ssize_t		n = NEXT(pwrite) (fd, p, len, at);

	if (n > 0)
		note_fd("write", fd);
	return n;
}

ssize_t
write(int fd, const void *p, size_t len)
{
	ssize_t		n = NEXT(write) (fd, p, len);

	if (n > 0)
		note_fd("write", fd);
	return n;
}

int
ftruncate(int fd, off_t len)
{
	int			rc = NEXT(ftruncate) (fd, len);

	if (rc == 0)
		note_fd("write", fd);
	return rc;
}

int
fsync(int fd)
{
	int			rc = NEXT(fsync) (fd);

	if (rc == 0)
		note_fd("fsync", fd);
	return rc;
}

int
syncfs(int fd)
{
	int			rc = NEXT(syncfs) (fd);

	if (rc == 0)
		note_fd("syncfs", fd);
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return changed(NEXT(mkdir) (path, mode), path);
}

int
rmdir(const char *path)
{
	return changed(NEXT(rmdir) (path), path);
}

int
unlink(const char *path)
{
	return changed(NEXT(unlink) (path), path);
}

int
symlink(const char *to, const char *path)
{
	return changed(NEXT(symlink) (to, path), path);
}

int
rename(const char *from, const char *to)
{
	char		a[PATH_MAX],
				b[PATH_MAX];
	int			rc;

	real(from, a);
	real(to, b);
	rc = NEXT(rename) (from, to);
	if (rc == 0)
		note("rename", a, b);
	return rc;
}
