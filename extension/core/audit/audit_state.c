/*
 * audit_state.c - the audit log's local state: chain.key, log, pending.
 *
 * Order of taking in a batch: the log (append, sync), the batch into pending, then
 * chain.key with the next seed, which erases the one before; only then is anything
 * shown to a provider.  A crash before chain.key leaves a longer log and perhaps a
 * pending batch of a number that was not made: both are cut off, and the queue,
 * which is emptied last, gives the same entries again.  Erasing is what the file
 * system makes of replacing a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_private.h"

#define KEY_MAGIC "SOVAUDK1"
#define KEY_LABEL "pg_sovereign audit key v1"
#define KEY_CLEAR 10
#define KEY_PLAIN (8 * 7 + 32 * 5)
#define KEY_FILE (KEY_CLEAR + 12 + KEY_PLAIN + 16)

enum sov_code
audit_make_directories(const char *directory, struct sov_error *err)
{
	static const char *const parts[] = {"queue", "wait", "pending", "bad"};
	char		path[1200];
	enum sov_code rc = repo_mkdirs(directory, err);

	for (int i = 0; i < 4 && rc == SOV_OK; i++)
	{
		snprintf(path, sizeof path, "%s/%s", directory, parts[i]);
		rc = repo_mkdirs(path, err);
	}
	return rc;
}

/* --- chain.key --- */

static enum sov_code
key_aead(struct sov_repo *repo, struct sov_aead **out, struct sov_error *err)
{
	uint8_t    *key = sov_secret_alloc(32, err);
	enum sov_code rc = key ? sov_hkdf(NULL, 0, repo->keys->k_meta, 32, KEY_LABEL, strlen(KEY_LABEL), key, 32, err) : SOV_E_NOMEM;

	*out = NULL;
	if (rc == SOV_OK && (*out = sov_aead_new(key, err)) == NULL)
		rc = SOV_E_NOMEM;
	sov_secret_free(key);
	return rc;
}

static void
pack_state(const struct audit_state *st, uint8_t *p)
{
	const uint64_t numbers[] = {st->chain, st->batch, st->seq, st->last_us, st->shipped_batch, st->shipped_seq, st->log_len};
	const uint8_t *const hashes[] = {st->hash, st->last_object, st->shipped_hash, st->config, st->seed};

	for (int i = 0; i < 7; i++, p += 8)
		sov_put_le64(p, numbers[i]);
	for (int i = 0; i < 5; i++, p += 32)
		memcpy(p, hashes[i], 32);
}

static void
unpack_state(struct audit_state *st, const uint8_t *p)
{
	uint64_t   *const numbers[] = {&st->chain, &st->batch, &st->seq, &st->last_us, &st->shipped_batch, &st->shipped_seq, &st->log_len};
	uint8_t    *const hashes[] = {st->hash, st->last_object, st->shipped_hash, st->config, st->seed};

	for (int i = 0; i < 7; i++, p += 8)
		*numbers[i] = sov_get_le64(p);
	for (int i = 0; i < 5; i++, p += 32)
		memcpy(hashes[i], p, 32);
}

enum sov_code
audit_state_read(struct sov_repo *repo, const char *dir, struct audit_state *st, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf file = {0};
	struct sov_aead *a = NULL;
	uint8_t    *plain = sov_secret_alloc(KEY_PLAIN, err);
	enum sov_code rc;

	if (plain == NULL)
		return SOV_E_NOMEM;
	snprintf(path, sizeof path, "%s/chain.key", dir);
	rc = repo_read_file(path, &file, err);
	if (rc == SOV_OK && (file.len != KEY_FILE || memcmp(file.data, KEY_MAGIC, 8) != 0 || sov_get_le16(file.data + 8) != 1))
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "it is not a key of an audit chain");
	if (rc == SOV_OK)
		rc = key_aead(repo, &a, err);
	if (rc == SOV_OK)
		rc = sov_aead_open(a, file.data + KEY_CLEAR, file.data, KEY_CLEAR, file.data + KEY_CLEAR + 12, KEY_PLAIN,
						   file.data + KEY_FILE - 16, plain, err);
	if (rc == SOV_OK)
		unpack_state(st, plain);
	sov_aead_free(a);
	sov_buf_free(&file);
	sov_secret_free(plain);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		sov_error_at(err, AUDIT_NEW_CHAIN, "%s", path);
	return rc;
}

enum sov_code
audit_state_write(struct sov_repo *repo, const char *dir, const struct audit_state *st, struct sov_error *err)
{
	char		path[1200];
	uint8_t		file[KEY_FILE];
	struct sov_aead *a = NULL;
	uint8_t    *plain = sov_secret_alloc(KEY_PLAIN, err);
	enum sov_code rc = plain ? key_aead(repo, &a, err) : SOV_E_NOMEM;

	snprintf(path, sizeof path, "%s/chain.key", dir);
	memcpy(file, KEY_MAGIC, 8);
	sov_put_le16(file + 8, 1);
	if (rc == SOV_OK)
		rc = sov_random(file + KEY_CLEAR, 12, err);
	if (rc == SOV_OK)
	{
		pack_state(st, plain);
		rc = sov_aead_seal(a, file + KEY_CLEAR, file, KEY_CLEAR, plain, KEY_PLAIN, file + KEY_CLEAR + 12, file + KEY_FILE - 16, err);
	}
	if (rc == SOV_OK)
		rc = repo_write_file(path, file, sizeof file, err);
	sov_aead_free(a);
	sov_secret_free(plain);
	return rc;
}

/* --- log --- */

void
audit_log_write(struct sov_buf *b, const struct sov_audit_entry *e, const uint8_t hash[32])
{
	size_t		at = b->len;

	sov_write_u32(b, 0);
	sov_write_u64(b, e->seq);
	audit_entry_body(b, e);
	if (!b->bad)
		sov_put_le32(b->data + at, (uint32_t) (b->len - at - 4));
	sov_write_bytes(b, hash, 32);
}

void
audit_log_read(struct sov_reader *r, struct sov_audit_entry *e, uint8_t hash[32])
{
	uint32_t	len = sov_read_u32(r);
	const uint8_t *p = len >= 8 && len <= SOV_AUDIT_ENTRY_MAX ? sov_read_bytes(r, len) : NULL;
	struct sov_reader one;

	memset(e, 0, sizeof *e);
	sov_read_copy(r, hash, 32);
	if (p == NULL)
	{
		r->bad = true;
		return;
	}
	sov_reader_init(&one, p + 8, len - 8);
	audit_entry_parse(&one, e);
	e->seq = sov_get_le64(p);
	if (one.bad || sov_reader_left(&one) != 0 || e->seq == 0)
		r->bad = true;
}

#define LOG_CHUNK (1024 * 1024)

/* The file is opened for each piece and never mapped: a longer log may be cut off meanwhile. */
static ssize_t
read_at(const char *path, uint8_t *p, size_t len, off_t at)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t		n = fd < 0 ? -1 : pread(fd, p, len, at);
	int			e = errno;

	if (fd >= 0)
		close(fd);
	errno = e;
	return n;
}

/* The entries of whole records; false when these are at their end (it is being written,
 * or verify tells more) or entry has had enough.  *used: their bytes. */
static bool
read_records(const uint8_t *p, size_t len, uint64_t since_us, sov_audit_entry_fn entry, void *ctx, bool *more, size_t *used)
{
	struct sov_audit_entry e;
	struct sov_reader r;
	uint8_t		hash[32];

	for (*used = 0; *more && len - *used >= 4;)
	{
		size_t		n = sov_get_le32(p + *used);

		if (n < 16 || n > SOV_AUDIT_ENTRY_MAX)
			return false;
		if (len - *used < 4 + n + 32)
			break;
		/* The time is what an entry begins with, after its number: one that is too old is
		 * not looked at any further. */
		if (sov_get_le64(p + *used + 12) >= since_us)
		{
			sov_reader_init(&r, p + *used, 4 + n + 32);
			audit_log_read(&r, &e, hash);
			if (r.bad)
				return false;
			*more = entry(ctx, &e);
		}
		*used += 4 + n + 32;
	}
	return *more;
}

static enum sov_code
read_log(const char *path, uint64_t since_us, sov_audit_entry_fn entry, void *ctx, bool *more, struct sov_error *err)
{
	uint8_t    *buf = malloc(LOG_CHUNK);
	size_t		have = 0,
				used;
	off_t		at = 0;
	ssize_t		n = 0;
	int			e = 0;

	if (buf == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	while ((n = read_at(path, buf + have, LOG_CHUNK - have, at)) > 0)
	{
		at += n;
		have += (size_t) n;
		if (!read_records(buf, have, since_us, entry, ctx, more, &used))
			break;
		memmove(buf, buf + used, have - used);
		have -= used;
	}
	e = errno;
	free(buf);
	return n >= 0 || e == ENOENT ? SOV_OK : sov_fail_errno(err, e, NULL, "could not read %s", path);
}

static enum sov_code
read_queued(const char *path, uint64_t since_us, sov_audit_entry_fn entry, void *ctx, bool *more, struct sov_error *err)
{
	struct sov_buf file = {0};
	struct sov_reader r;
	struct sov_audit_entry e;
	enum sov_code rc = repo_read_file(path, &file, err);

	if (rc == SOV_OK && sov_audit_queue_check(file.data, file.len, &r, NULL) == SOV_OK)
		while (*more && sov_reader_left(&r) > 0)
		{
			sov_audit_entry_read(&r, &e);
			if (e.time_us >= since_us)
				*more = entry(ctx, &e);
		}
	sov_buf_free(&file);
	return rc == SOV_E_NOTFOUND ? SOV_OK : rc;	/* it was taken in just now */
}

enum sov_code
sov_audit_read(const char *directory, uint64_t since_us, sov_audit_entry_fn entry, void *ctx, struct sov_error *err)
{
	char		path[2200];
	char	  **names;
	size_t		n;
	bool		more = true;
	enum sov_code rc;

	snprintf(path, sizeof path, "%s/log", directory);
	rc = read_log(path, since_us, entry, ctx, &more, err);
	snprintf(path, sizeof path, "%s/queue", directory);
	if (rc != SOV_OK || (rc = audit_names(path, &names, &n, err)) != SOV_OK)
		return rc;
	for (size_t i = 0; i < n && rc == SOV_OK && more; i++)
	{
		snprintf(path, sizeof path, "%s/queue/%.900s", directory, names[i]);
		rc = read_queued(path, since_us, entry, ctx, &more, err);
	}
	audit_names_free(names, n);
	return rc;
}

enum sov_code
audit_log_append(const char *dir, struct audit_state *st, const struct sov_buf *records, struct sov_error *err)
{
	char		path[1200];
	struct stat sb;
	size_t		at = 0;
	int			fd;

	snprintf(path, sizeof path, "%s/log", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not open %s", path);
	/* A shorter one was tampered with: verify says so, and what follows is kept. */
	if (fstat(fd, &sb) == 0 && (uint64_t) sb.st_size < st->log_len)
		st->log_len = (uint64_t) sb.st_size;
	if (ftruncate(fd, (off_t) st->log_len) != 0 || lseek(fd, (off_t) st->log_len, SEEK_SET) < 0)
		at = records->len + 1;
	while (at < records->len)
	{
		ssize_t		n = write(fd, records->data + at, records->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t) n;
	}
	if (at != records->len || fsync(fd) != 0)
	{
		int			e = errno;

		close(fd);
		return sov_fail_errno(err, e, "make room for the audit log, or move it with \"directory\" in [audit]", "could not write %s", path);
	}
	close(fd);
	st->log_len += records->len;
	return SOV_OK;
}
