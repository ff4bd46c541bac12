/*
 * audit_entry.c - entries of the audit log as bytes, and the queue: sov_audit.h.
 *
 * A queue file is written under a name that nobody reads and renamed when it is
 * whole, so that a killed process leaves an entry or none.
 */
#include "sov_audit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_private.h"

static const char *const event_names[] = {
	"?", "start", "use", "session", "denied", "grant", "key", "break-glass", "approval", "lease",
	"backup", "restore", "prune", "apply", "verify", "configuration", "damaged",
	"lost"
};
static const char *const outcome_names[] = {"done", "refused", "failed", "begun"};

const char *
sov_audit_event_name(int event)
{
	return event_names[event > 0 && event <= SOV_AUDIT_EVENT_LAST ? event : 0];
}

const char *
sov_audit_outcome_name(int outcome)
{
	return outcome >= 0 && outcome <= SOV_AUDIT_BEGUN ? outcome_names[outcome] : "?";
}

/* --- bytes --- */

void
audit_entry_body(struct sov_buf *b, const struct sov_audit_entry *e)
{
	sov_write_u64(b, e->time_us);
	sov_write_u8(b, e->event);
	sov_write_u8(b, e->outcome);
	sov_write_u32(b, e->process);
	sov_write_u64(b, e->opened);
	sov_write_u64(b, e->query_id);
	sov_write_str(b, e->user);
	sov_write_str(b, e->current_user);
	sov_write_str(b, e->client);
	sov_write_str(b, e->application);
	sov_write_str(b, e->database);
	sov_write_str(b, e->key);
	sov_write_str(b, e->purpose);
	sov_write_str(b, e->text);
}

void
sov_audit_entry_write(struct sov_buf *b, const struct sov_audit_entry *e)
{
	size_t		at = b->len;

	sov_write_u32(b, 0);
	audit_entry_body(b, e);
	if (!b->bad)
		sov_put_le32(b->data + at, (uint32_t) (b->len - at - 4));
}

void
audit_entry_parse(struct sov_reader *r, struct sov_audit_entry *e)
{
	memset(e, 0, sizeof *e);
	e->time_us = sov_read_u64(r);
	e->event = sov_read_u8(r);
	e->outcome = sov_read_u8(r);
	e->process = sov_read_u32(r);
	e->opened = sov_read_u64(r);
	e->query_id = sov_read_u64(r);
	sov_read_str(r, e->user, sizeof e->user);
	sov_read_str(r, e->current_user, sizeof e->current_user);
	sov_read_str(r, e->client, sizeof e->client);
	sov_read_str(r, e->application, sizeof e->application);
	sov_read_str(r, e->database, sizeof e->database);
	sov_read_str(r, e->key, sizeof e->key);
	sov_read_str(r, e->purpose, sizeof e->purpose);
	sov_read_str(r, e->text, sizeof e->text);
	/* An event of a later version is kept as a number. */
	if (e->event == 0)
		r->bad = true;
}

void
sov_audit_entry_read(struct sov_reader *r, struct sov_audit_entry *e)
{
	uint32_t	len = sov_read_u32(r);
	const uint8_t *p = len <= SOV_AUDIT_ENTRY_MAX ? sov_read_bytes(r, len) : NULL;
	struct sov_reader one;

	memset(e, 0, sizeof *e);
	if (p == NULL)
	{
		r->bad = true;
		return;
	}
	sov_reader_init(&one, p, len);
	audit_entry_parse(&one, e);
	if (one.bad || sov_reader_left(&one) != 0)
		r->bad = true;
}

enum sov_code
sov_audit_queue_check(const uint8_t *p, size_t len, struct sov_reader *r, struct sov_error *err)
{
	struct sov_audit_entry e;
	struct sov_reader probe;

	if (len < AUDIT_QUEUE_CLEAR + 4 || memcmp(p, AUDIT_QUEUE_MAGIC, AUDIT_QUEUE_CLEAR) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a file of audit entries");
	sov_reader_init(&probe, p + AUDIT_QUEUE_CLEAR, len - AUDIT_QUEUE_CLEAR);
	*r = probe;
	for (int n = 0; !probe.bad && sov_reader_left(&probe) > 0; n++)
	{
		sov_audit_entry_read(&probe, &e);
		probe.bad |= n == AUDIT_QUEUE_ENTRIES;
	}
	return probe.bad ? sov_fail(err, SOV_E_FORMAT, NULL, "an audit entry is malformed") : SOV_OK;
}

/* --- the queue --- */

bool
sov_audit_directory(const struct sov_config *cfg, char *dst, size_t cap)
{
	if (cfg->audit_directory[0] != '\0')
		snprintf(dst, cap, "%s", cfg->audit_directory);
	else if (cfg->state_directory[0] != '\0')
		snprintf(dst, cap, "%s/audit", cfg->state_directory);
	else
		return false;
	return true;
}

static enum sov_code
write_all(int fd, const struct sov_buf *b, bool durable)
{
	size_t		at = 0;

	while (at < b->len)
	{
		ssize_t		n = write(fd, b->data + at, b->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return SOV_E_SYSTEM;
		at += (size_t) n;
	}
	return durable && fsync(fd) != 0 ? SOV_E_SYSTEM : SOV_OK;
}

static enum sov_code
sync_directory(const char *dir)
{
	int			fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			bad = fd < 0 || fsync(fd) != 0;

	if (fd >= 0)
		close(fd);
	return bad ? SOV_E_SYSTEM : SOV_OK;
}

/* Names sort by time: the wall clock, process, count; "-w" when somebody waits. */
static enum sov_code
queue_write(const char *dir, const struct sov_buf *b, bool durable, char *waits, size_t cap, struct sov_error *err)
{
	static _Atomic uint32_t count;
	char		name[1200],
				tmp[1210];
	int			fd;

	snprintf(name, sizeof name, "%s/%016llx-%08x-%08x%s", dir, (unsigned long long) repo_now_us(), (unsigned) getpid(), (unsigned) ++count, waits ? "-w" : "");
	snprintf(tmp, sizeof tmp, "%s.tmp", name);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return sov_fail_errno(err, errno, "the user of the server must be able to write there", "could not create audit entry %s", tmp);
	if (write_all(fd, b, durable) != SOV_OK || rename(tmp, name) != 0 || (durable && sync_directory(dir) != SOV_OK))
	{
		int			e = errno;

		close(fd);
		unlink(tmp);
		return sov_fail_errno(err, e, "make room for the audit log, or move it with \"directory\" in [audit]", "could not write audit entry %s", name);
	}
	close(fd);
	if (waits)
		snprintf(waits, cap, "%s", name);
	return SOV_OK;
}

enum sov_code
sov_audit_queue(const char *directory, const struct sov_audit_entry *entries, int n, bool durable,
				char *waits, size_t cap, struct sov_error *err)
{
	char		dir[1100];
	struct sov_buf b = {0};
	enum sov_code rc;

	snprintf(dir, sizeof dir, "%s/queue", directory);
	sov_write_bytes(&b, AUDIT_QUEUE_MAGIC, AUDIT_QUEUE_CLEAR);
	for (int i = 0; i < n; i++)
		sov_audit_entry_write(&b, &entries[i]);
	rc = b.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : queue_write(dir, &b, durable, waits, cap, err);
	if (rc != SOV_OK && !b.bad && access(dir, F_OK) != 0 && audit_make_directories(directory, err) == SOV_OK)
		rc = queue_write(dir, &b, durable, waits, cap, err);
	sov_buf_free(&b);
	return rc;
}

bool
sov_audit_waiting(const char *waits)
{
	char		taken[1300];
	const char *slash = strrchr(waits, '/');

	if (access(waits, F_OK) == 0)
		return true;
	snprintf(taken, sizeof taken, "%.*s/../wait%s", (int) (slash - waits), waits, slash);
	return access(taken, F_OK) == 0;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

void
audit_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* Files of a directory, sorted; what is being written, and dots, left out. */
enum sov_code
audit_names(const char *dir, char ***names, size_t *n, struct sov_error *err)
{
	DIR		   *d = opendir(dir);
	struct dirent *e;

	*names = NULL;
	*n = 0;
	if (d == NULL)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read directory %s", dir);
	while ((e = readdir(d)) != NULL)
	{
		char	  **grown;

		if (e->d_name[0] == '.' || strstr(e->d_name, ".tmp") != NULL)
			continue;
		grown = realloc(*names, sizeof *grown * (*n + 1));
		if (grown != NULL)
			*names = grown;
		if (grown == NULL || (grown[*n] = strdup(e->d_name)) == NULL)
		{
			closedir(d);
			audit_names_free(*names, *n);
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		}
		(*n)++;
	}
	closedir(d);
	if (*n > 1)
		qsort(*names, *n, sizeof **names, by_name);
	return SOV_OK;
}
