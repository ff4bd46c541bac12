/*
 * repo_debt.c - how much a provider is owed, without counting it each time.
 *
 * Debt is the files of the spool (repo_spool.c).  Of a million a count takes seconds,
 * and views, metrics, the archiver and whoever adds to them ask how many there are.  So
 * the count is kept beside them, in debt/NAME of the state directory, and goes along
 * with every change, under a lock.
 *
 * It is believed only while the spool is as that count left it.  Each change of ours ends
 * by giving the directory a time of modification that is the count's own, down to the
 * nanosecond.  Whatever else happens there gives it another one, and all is counted anew:
 * files that were taken out by hand, a process that was killed between a change and its
 * count, a directory that was put in the place of another.  Where the file system
 * keeps no such times, or the count cannot be written, all is counted each time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "repo_private.h"

#define MAGIC UINT64_C(0x31424544564f5302)	/* another layout, another number */
#define LOCK_TRIES 100			/* of 10 ms: a reader does not wait for who was stopped */

struct kept						/* as it lies in the file; of this host only */
{
	uint64_t	magic,
				inode;
	int64_t		seconds,
				nanoseconds;
	struct sov_debt debt;
	uint64_t	crc;
};

/* --- counting --- */

static bool
is_marker(int dir, const char *file, off_t size)
{
	char		head[sizeof REPO_DEBT_MARKER - 1];
	int			fd = size > 256 ? -1 : openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool		marker = fd >= 0 && read(fd, head, sizeof head) == (ssize_t) sizeof head && memcmp(head, REPO_DEBT_MARKER, sizeof head) == 0;

	if (fd >= 0)
		close(fd);
	return marker;
}

bool
repo_debt_is_marker(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && is_marker(AT_FDCWD, path, st.st_size);
}

/* Add one file; sign -1: take it off. */
static void
measure(int dir, const char *file, int64_t sign, struct sov_debt *debt)
{
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return;
	if (repo_spool_is_unfinished(file))
	{
		debt->unfinished += (uint64_t) sign;
		debt->reserved += (uint64_t) (sign * st.st_size);
		return;
	}
	debt->objects += (uint64_t) sign;
	if (repo_spool_is_aside(file))
		debt->damaged += (uint64_t) sign;
	if (is_marker(dir, file, st.st_size))
		debt->markers += (uint64_t) sign;
	else
		debt->bytes += (uint64_t) (sign * st.st_size);
	if (file[0] >= 'a' && file[0] <= 'z' && file[1] == ',')
		debt->of[file[0] - 'a'] += (uint64_t) sign;
}

static enum sov_code
count(int dir, const char *path, struct sov_debt *debt, struct sov_error *err)
{
	int			fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR		   *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	memset(debt, 0, sizeof *debt);
	if (d == NULL)
	{
		int			saved = errno;

		if (fd >= 0)
			close(fd);
		return sov_fail_errno(err, saved, NULL, "could not read %s", path);
	}
	while ((e = readdir(d)) != NULL)
		measure(dir, e->d_name, 1, debt);
	closedir(d);
	return SOV_OK;
}

/* --- what is kept --- */

static int
open_kept(const struct sov_config *cfg, const char *alias)
{
	char		path[1200];
	int			fd;

	snprintf(path, sizeof path, "%s/debt", cfg->state_directory);
	if (access(path, F_OK) != 0 && repo_mkdirs(path, NULL) != SOV_OK)
		return -1;
	snprintf(path, sizeof path, "%s/debt/%s", cfg->state_directory, alias);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd;
}

/* Who changes the spool waits; who asks counts for itself when that takes long. */
static bool
lock_kept(int fd, bool wait)
{
	for (int i = 0; i < LOCK_TRIES || wait; i++)
	{
		if (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EINTR && errno != EWOULDBLOCK)
			return false;
		if (errno == EWOULDBLOCK)
			usleep(10000);
	}
	return false;
}

static uint64_t
crc_of(const struct kept *k)
{
	return crc32c(k, offsetof(struct kept, crc));
}

static bool
is_of(const struct kept *k, int dir)
{
	struct stat st;

	return fstat(dir, &st) == 0 && k->inode == (uint64_t) st.st_ino &&
		k->seconds == (int64_t) st.st_mtim.tv_sec && k->nanoseconds == (int64_t) st.st_mtim.tv_nsec;
}

/* False: there is none, or it is not of the directory as it is now. */
static bool
read_kept(int fd, int dir, struct kept *k)
{
	return pread(fd, k, sizeof *k, 0) == (ssize_t) sizeof *k && k->magic == MAGIC && k->crc == crc_of(k) && is_of(k, dir);
}

/* Give the directory a time of our own. */
static bool
stamp(int dir, struct kept *k)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &times[1]);
	if (futimens(dir, times) != 0 || fstat(dir, &st) != 0 || st.st_mtim.tv_nsec == 0)
		return false;
	k->magic = MAGIC;
	k->inode = (uint64_t) st.st_ino;
	k->seconds = (int64_t) st.st_mtim.tv_sec;
	k->nanoseconds = (int64_t) st.st_mtim.tv_nsec;
	return true;
}

static void
write_kept(int fd, struct kept *k)
{
	ssize_t		n;

	k->crc = crc_of(k);
	n = pwrite(fd, k, sizeof *k, 0);
	(void) n;					/* what was cut short is not believed */
}

/* --- asking, and changing --- */

static int
open_spool(const struct sov_config *cfg, const char *alias, char *path, size_t cap)
{
	repo_spool_dir(cfg, alias, path, cap);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum sov_code
sov_repo_debt(const struct sov_config *cfg, const char *provider, struct sov_debt *out, struct sov_error *err)
{
	char		path[1200];
	struct kept k = {0};
	enum sov_code rc = SOV_OK;
	int			dir = open_spool(cfg, provider, path, sizeof path),
				fd;
	bool		stamped;

	memset(out, 0, sizeof *out);
	if (dir < 0)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read %s", path);
	fd = open_kept(cfg, provider);
	if (fd >= 0 && !lock_kept(fd, false))
	{
		close(fd);
		fd = -1;
	}
	if (fd >= 0 && read_kept(fd, dir, &k))
		*out = k.debt;
	else
	{
		stamped = fd >= 0 && stamp(dir, &k);
		rc = count(dir, path, out, err);
		k.debt = *out;
		if (rc == SOV_OK && stamped && is_of(&k, dir))
			write_kept(fd, &k);
	}
	if (fd >= 0)
		close(fd);
	close(dir);
	return rc;
}

void
repo_debt_begin(const struct sov_config *cfg, const char *alias, const char *a, const char *b, struct repo_debt_change *c)
{
	char		path[1200];
	struct kept k = {0};

	*c = (struct repo_debt_change) {.files = {a, b}, .dir = open_spool(cfg, alias, path, sizeof path), .fd = -1};
	if (c->dir < 0)
		return;
	c->fd = open_kept(cfg, alias);
	c->known = c->fd >= 0 && lock_kept(c->fd, true) && read_kept(c->fd, c->dir, &k);
	c->debt = k.debt;
	for (int i = 0; i < 2 && c->known; i++)
		if (c->files[i])
			measure(c->dir, c->files[i], -1, &c->debt);
}

void
repo_debt_end(struct repo_debt_change *c)
{
	struct kept k = {0};
	int			saved = errno;

	for (int i = 0; i < 2 && c->known; i++)
		if (c->files[i])
			measure(c->dir, c->files[i], 1, &c->debt);
	k.debt = c->debt;
	if (c->known && stamp(c->dir, &k))
		write_kept(c->fd, &k);
	if (c->fd >= 0)
		close(c->fd);
	if (c->dir >= 0)
		close(c->dir);
	errno = saved;
}
