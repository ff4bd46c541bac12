/*
 * wal_ahead.c - segments fetched ahead: how they are kept, and how they are
 * delivered without asking any provider.  Layout in sov_wal.h.
 *
 * A kept segment is the segment and a trailer: magic "SOVAHEAD", u64 length,
 * context 32 (hash of the configuration file: another repository's segment is
 * none), name 32 (padded with zeros), SHA-256 32 of the checksums of its pieces
 * of 1 MiB and of the trailer before it.  A piece's checksum is its GMAC with the
 * context as key and its number as nonce: the fastest sum that there is here.  It is written under a temporary name
 * and renamed; whoever delivers it renames it again, so that it has one
 * taker, checks all of it, cuts the trailer off and moves it into place.
 *
 * That finds what a crash or a disk did.  It is no seal: the directory is private,
 * and who can write there can write the cluster's pg_wal as well.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wal_private.h"

#define MAGIC "SOVAHEAD"
#define TRAILER 112
#define PIECE ((size_t) 1 << 20)
#define PIECES_MAX 1024			/* a segment is 1 GB at most */
#define WAIT_US 10000000		/* for a segment that is being fetched */
#define FORGOTTEN_S 600			/* other targets, not asked for since */

void
wal_ahead_path(const struct sov_wal_ahead *a, const char *name, const char *suffix, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/%s%s", a->dir, name, suffix);
}

bool
sov_wal_ahead_init(const struct sov_config *cfg, const char *target, uint64_t cluster, struct sov_wal_ahead *a)
{
	struct sov_buf file = {0};
	struct sov_span spans[2];
	char		real[PATH_MAX],
				hex[17];
	uint8_t		hash[32];
	bool		good;

	memset(a, 0, sizeof *a);
	a->limit = cfg->fetch_spool;
	a->cluster = cluster;
	if (a->limit == 0 || cfg->state_directory[0] == '\0' || realpath(target, real) == NULL ||
		repo_read_file(cfg->file, &file, NULL) != SOV_OK)
		return false;
	spans[0] = (struct sov_span) {file.data, file.len};
	spans[1] = (struct sov_span) {&a->cluster, sizeof a->cluster};
	good = sov_sha256(spans, 2, a->context, NULL) == SOV_OK;
	spans[0] = (struct sov_span) {a->context, 32};
	spans[1] = (struct sov_span) {real, strlen(real)};
	good = good && sov_sha256(spans, 2, hash, NULL) == SOV_OK;
	sov_buf_free(&file);
	sov_hex(hex, hash, 8);
	return good && snprintf(a->dir, sizeof a->dir, "%s/fetched/%s", cfg->state_directory, hex) < (int) sizeof a->dir;
}

/* --- trailer --- */

struct digests
{
	struct sov_aead *key;
	uint8_t		piece[PIECES_MAX][16];
	int			n;
};

static struct digests *
digests_new(const struct sov_wal_ahead *a)
{
	struct digests *d = calloc(1, sizeof *d);

	if (d != NULL && (d->key = sov_aead_new(a->context, NULL)) == NULL)
	{
		free(d);
		d = NULL;
	}
	return d;
}

static void
digests_free(struct digests *d)
{
	if (d != NULL)
		sov_aead_free(d->key);
	free(d);
}

static bool
digest_piece(struct digests *d, const void *bytes, size_t len)
{
	uint8_t		nonce[12] = {0};

	if (d->n == PIECES_MAX)
		return false;
	sov_put_le32(nonce, (uint32_t) d->n);
	return sov_gmac(d->key, nonce, bytes, len, d->piece[d->n++], NULL) == SOV_OK;
}

static bool
make_trailer(const struct sov_wal_ahead *a, const char *name, uint64_t len, const struct digests *d, uint8_t out[TRAILER])
{
	struct sov_span spans[2] = {{d->piece, (size_t) d->n * 16}, {out, TRAILER - 32}};

	memset(out, 0, TRAILER);
	memcpy(out, MAGIC, 8);
	sov_put_le64(out + 8, len);
	memcpy(out + 16, a->context, 32);
	snprintf((char *) out + 48, 32, "%s", name);
	return sov_sha256(spans, 2, out + TRAILER - 32, NULL) == SOV_OK;
}

static bool
write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0)
	{
		ssize_t		n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t) n;
	}
	return true;
}

static bool
read_all(int fd, void *bytes, size_t len)
{
	uint8_t    *p = bytes;

	while (len > 0)
	{
		ssize_t		n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t) n;
	}
	return true;
}

/* --- keeping --- */

static bool
write_kept(int fd, const struct sov_wal_ahead *a, const char *name, const uint8_t *bytes, size_t len)
{
	struct digests *d = digests_new(a);
	uint8_t		trailer[TRAILER];
	bool		good = d != NULL;

	for (size_t at = 0; good && at < len; at += PIECE)
		good = digest_piece(d, bytes + at, len - at < PIECE ? len - at : PIECE);
	good = good && make_trailer(a, name, len, d, trailer) && write_all(fd, bytes, len) &&
		write_all(fd, trailer, TRAILER);
	/* What a crash leaves is checked before it is used, and the server syncs what
	 * it keeps: it is enough that the disk begins now. */
	if (good)
		(void) sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	digests_free(d);
	return good;
}

enum sov_code
wal_ahead_keep(const struct sov_wal_ahead *a, const char *name, const void *bytes, size_t len, struct sov_error *err)
{
	char		part[1300],
				path[1300];
	int			fd;
	bool		good;

	wal_ahead_path(a, name, WAL_AHEAD_PART, part, sizeof part);
	wal_ahead_path(a, name, "", path, sizeof path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not create %s", part);
	errno = 0;
	good = write_kept(fd, a, name, bytes, len);
	if (!good)
		sov_fail_errno(err, errno, NULL, "could not write %s", part);
	close(fd);
	if (good && rename(part, path) != 0)
	{
		sov_fail_errno(err, errno, NULL, "could not write %s", path);
		good = false;
	}
	if (!good)
		unlink(part);
	return good ? SOV_OK : err ? err->code : SOV_E_SYSTEM;
}

/* --- delivering --- */

/* Is this file the named segment, all of it?  *len: without the trailer. */
static bool
check_kept(int fd, const struct sov_wal_ahead *a, const char *name, uint64_t *len)
{
	struct digests *d = digests_new(a);
	uint8_t    *piece = malloc(PIECE);
	uint8_t		trailer[TRAILER],
				expect[TRAILER];
	struct wal_header h;
	struct stat st;
	bool		good = d != NULL && piece != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		st.st_size > TRAILER && (uint64_t) st.st_size <= PIECE * PIECES_MAX + TRAILER;

	*len = good ? (uint64_t) st.st_size - TRAILER : 0;
	for (uint64_t at = 0; good && at < *len; at += PIECE)
	{
		size_t		n = *len - at < PIECE ? (size_t) (*len - at) : PIECE;

		good = read_all(fd, piece, n) && digest_piece(d, piece, n);
		if (good && at == 0)
			good = wal_check_header(name, piece, (size_t) *len, &h, NULL) == SOV_OK;
	}
	good = good && read_all(fd, trailer, TRAILER) && make_trailer(a, name, *len, d, expect) &&
		memcmp(trailer, expect, TRAILER) == 0;
	free(piece);
	digests_free(d);
	return good;
}

/* To another file system: a copy, synced, under its name when it is whole. */
static bool
copy_into_place(int fd, const char *dst)
{
	char		tmp[PATH_MAX];
	uint8_t    *piece = malloc(PIECE);
	ssize_t		n = -1;
	bool		good;
	int			out;

	if (piece == NULL || snprintf(tmp, sizeof tmp, "%s.tmp.%d", dst, (int) getpid()) >= (int) sizeof tmp ||
		(out = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
	{
		free(piece);
		return false;
	}
	good = lseek(fd, 0, SEEK_SET) == 0;
	while (good && (n = read(fd, piece, PIECE)) > 0)
		good = write_all(out, piece, (size_t) n);
	good = good && n == 0 && fsync(out) == 0;
	close(out);
	free(piece);
	if (good && rename(tmp, dst) == 0)
		return true;
	unlink(tmp);
	return false;
}

static bool
deliver(const struct sov_wal_ahead *a, const char *name, const char *taken, const char *dst)
{
	int			fd = open(taken, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	uint64_t	len;
	bool		good;

	if (fd < 0)
		return false;
	good = check_kept(fd, a, name, &len) && ftruncate(fd, (off_t) len) == 0;
	if (good && rename(taken, dst) != 0)
		good = errno == EXDEV && copy_into_place(fd, dst);
	close(fd);
	(void) unlink(taken);
	return good;
}

/* Does a prefetcher run? */
static bool
running(const struct sov_wal_ahead *a)
{
	char		path[1300];
	bool		held;
	int			fd;

	wal_ahead_path(a, "lock", "", path, sizeof path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) != 0;
	close(fd);
	return held;
}

/* Take it for this process alone. */
static bool
claim(const struct sov_wal_ahead *a, const char *name, const char *taken)
{
	char		path[1300],
				part[1300];
	int64_t		until = repo_mono_us() + WAIT_US;

	wal_ahead_path(a, name, "", path, sizeof path);
	wal_ahead_path(a, name, WAL_AHEAD_PART, part, sizeof part);
	for (;;)
	{
		/* In this order: it may be finished between the two. */
		bool		coming = access(part, F_OK) == 0 && running(a);

		if (rename(path, taken) == 0)
			return true;
		if (errno != ENOENT || !coming || repo_mono_us() > until)
			return false;
		usleep(1000);
	}
}

bool
sov_wal_ahead_take(const struct sov_wal_ahead *a, const char *name, const char *dst)
{
	char		taken[1300];

	snprintf(taken, sizeof taken, "%s/%s" WAL_AHEAD_TAKEN "%d", a->dir, name, (int) getpid());
	return claim(a, name, taken) && deliver(a, name, taken, dst);
}

/* --- sweeping --- */

/* NAME.taken.PID of a process that is gone. */
static bool
taken_by_the_dead(const char *file)
{
	const char *p = strstr(file, WAL_AHEAD_TAKEN);
	int			pid = p ? atoi(p + strlen(WAL_AHEAD_TAKEN)) : 0;

	return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

static bool
out_of_date(const char *file, const char *position, bool running)
{
	size_t		n = strlen(file);

	if (strstr(file, WAL_AHEAD_TAKEN) != NULL)
		return taken_by_the_dead(file);
	if (n > 5 && strcmp(file + n - 5, WAL_AHEAD_PART) == 0)
		return !running;
	if (strncmp(file, "position", 8) == 0 || strcmp(file, "lock") == 0)
		return position == NULL;
	return position == NULL || strncmp(file, position, 8) != 0 || strcmp(file, position) <= 0;
}

void
wal_ahead_sweep(const struct sov_wal_ahead *a, const char *position, bool running)
{
	char		path[1600];
	struct dirent *e;
	DIR		   *d = opendir(a->dir);

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
	{
		snprintf(path, sizeof path, "%s/%s", a->dir, e->d_name);
		if (e->d_name[0] != '.' && out_of_date(e->d_name, position, running))
			(void) unlink(path);
	}
	closedir(d);
	if (position == NULL)
		(void) rmdir(a->dir);
}

/* What was kept for another target, and is not asked for any more. */
static void
sweep_others(const struct sov_wal_ahead *a)
{
	struct sov_wal_ahead other = *a;
	char		parent[1200];
	const char *own = strrchr(a->dir, '/') + 1;
	struct dirent *e;
	struct stat st;
	DIR		   *d;

	snprintf(parent, sizeof parent, "%.*s", (int) (own - 1 - a->dir), a->dir);
	d = opendir(parent);
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
	{
		if (strlen(e->d_name) != 16 || strcmp(e->d_name, own) == 0)
			continue;
		snprintf(other.dir, sizeof other.dir, "%.1100s/%s", parent, e->d_name);
		if (stat(other.dir, &st) == 0 && st.st_mtime < time(NULL) - FORGOTTEN_S && !running(&other))
			wal_ahead_sweep(&other, NULL, false);
	}
	closedir(d);
}

/* --- position and lock --- */

bool
wal_ahead_position(const struct sov_wal_ahead *a, char name[32], uint32_t *size)
{
	char		path[1300],
				text[64];
	struct sov_buf b = {0};
	bool		good;

	wal_ahead_path(a, "position", "", path, sizeof path);
	good = repo_read_file(path, &b, NULL) == SOV_OK && b.len < sizeof text;
	if (good)
	{
		enum sov_wal_kind kind;
		uint32_t	timeline;

		memcpy(text, b.data, b.len);
		text[b.len] = '\0';
		good = sscanf(text, "%31s %u", name, size) == 2 && sov_wal_name(name, &kind, &timeline) &&
			kind == SOV_WAL_SEGMENT && wal_is_segment_size(*size);
	}
	sov_buf_free(&b);
	return good;
}

bool
sov_wal_ahead_delivered(const struct sov_wal_ahead *a, const char *name, const char *dst)
{
	char		path[1300],
				tmp[1300],
				line[64];
	struct stat st;
	bool		first = access(a->dir, F_OK) != 0,
				alive = running(a);
	int			fd,
				n;

	if (stat(dst, &st) != 0 || (uint64_t) st.st_size > a->limit || repo_mkdirs(a->dir, NULL) != SOV_OK)
		return false;
	if (first)
		sweep_others(a);
	wal_ahead_sweep(a, name, alive);
	wal_ahead_path(a, "position", "", path, sizeof path);
	snprintf(tmp, sizeof tmp, "%s.%d", path, (int) getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return false;
	n = snprintf(line, sizeof line, "%s %u\n", name, (unsigned) st.st_size);
	if (!write_all(fd, line, (size_t) n) || rename(tmp, path) != 0)
	{
		(void) unlink(tmp);
		close(fd);
		return false;
	}
	close(fd);
	return !alive;
}

int
wal_ahead_lock(const struct sov_wal_ahead *a)
{
	char		path[1300];
	struct stat st;

	wal_ahead_path(a, "lock", "", path, sizeof path);
	/* Those who look whether it is held hold it for a moment. */
	for (int i = 0; i < 20; i++)
	{
		int			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -1;
		/* not one that the prefetcher before has removed */
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
			return fd;
		close(fd);
		usleep(5000);
	}
	return -1;
}
