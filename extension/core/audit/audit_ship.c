/*
 * audit_ship.c - taking the queue in and bringing it to the providers.
 *
 * Steps of a call, each of which may be the last before a crash: entries of the
 * queue -> log -> pending batch -> chain.key (the seed that signed is gone) -> queue
 * files removed -> batch everywhere, n-k+1 count -> chain.key says so -> beat.
 * Between chain.key and the removal a crash makes an entry appear twice, never none.
 * What providers are missing is owed to them like any object; when fewer than
 * n-k+1 answer, batches wait in pending.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit_private.h"

struct taking
{
	struct sov_repo *repo;
	char		dir[1100];
	struct audit_state *st;
	uint8_t    *next;			/* the next seed, secret memory */
	bool		fresh;			/* the chain begins with this call */
	struct sov_audit_entry *entries;
	uint32_t	n;
	char	  **files;			/* of the queue, sorted */
	size_t		n_files,
				taken;
	bool	   *bad;			/* by file: could not be understood */
};

/* --- what the log itself notes --- */

static void
add_note(struct taking *t, enum sov_audit_event event, const char *text)
{
	struct sov_audit_entry *e = &t->entries[t->n++];

	memset(e, 0, sizeof *e);
	e->time_us = (uint64_t) repo_now_us();
	e->event = (uint8_t) event;
	e->process = (uint32_t) getpid();
	snprintf(e->user, sizeof e->user, "uid %u", (unsigned) geteuid());
	snprintf(e->client, sizeof e->client, "local");
	snprintf(e->application, sizeof e->application, "pg_sovereign");
	snprintf(e->text, sizeof e->text, "%s", text);
}

/* Another configuration than last time: who may do what is decided there. */
static void
note_config(struct taking *t)
{
	struct sov_buf file = {0};
	struct sov_span span;
	uint8_t		hash[32];
	char		text[300],
				hex[65];

	if (repo_read_file(t->repo->cfg.file, &file, NULL) == SOV_OK)
	{
		span.data = file.data;
		span.len = file.len;
		if (sov_sha256(&span, 1, hash, NULL) == SOV_OK && memcmp(hash, t->st->config, 32) != 0)
		{
			memcpy(t->st->config, hash, 32);
			sov_hex(hex, hash, 32);
			snprintf(text, sizeof text, "%.200s has sha256 %s", t->repo->cfg.file, hex);
			add_note(t, SOV_AUDIT_CONFIG, text);
		}
	}
	sov_buf_free(&file);
}

/* --- the queue --- */

static void
read_file(struct taking *t, size_t i)
{
	char		path[2200],
				text[300];
	struct sov_buf file = {0};
	struct sov_reader r;
	struct sov_error err;
	enum sov_code rc;

	snprintf(path, sizeof path, "%s/queue/%.900s", t->dir, t->files[i]);
	rc = repo_read_file(path, &file, &err);
	if (rc == SOV_OK)
		rc = sov_audit_queue_check(file.data, file.len, &r, &err);
	t->bad[i] = rc != SOV_OK;
	if (rc == SOV_OK)
		while (sov_reader_left(&r) > 0)
			sov_audit_entry_read(&r, &t->entries[t->n++]);
	else
	{
		snprintf(text, sizeof text, "%.60s: %.200s", t->files[i], err.message);
		add_note(t, SOV_AUDIT_DAMAGED, text);
	}
	sov_buf_free(&file);
}

/* As much as a batch holds. */
static enum sov_code
read_queue(struct taking *t, struct sov_error *err)
{
	char		path[1200];
	enum sov_code rc;

	snprintf(path, sizeof path, "%s/queue", t->dir);
	rc = audit_names(path, &t->files, &t->n_files, err);
	t->bad = rc == SOV_OK ? calloc(t->n_files + 1, sizeof *t->bad) : NULL;
	if (rc == SOV_OK && t->bad == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	while (rc == SOV_OK && t->taken < t->n_files && t->n + AUDIT_QUEUE_ENTRIES <= SOV_AUDIT_BATCH_MAX)
		read_file(t, t->taken++);
	return rc;
}

/* They are in the chain now. */
static void
empty_queue(struct taking *t)
{
	char		path[2200],
				to[2200];

	for (size_t i = 0; i < t->taken; i++)
	{
		const char *name = t->files[i];
		size_t		len = strlen(name);
		const char *where = t->bad[i] ? "bad" : len > 2 && strcmp(name + len - 2, "-w") == 0 ? "wait" : NULL;

		snprintf(path, sizeof path, "%s/queue/%.900s", t->dir, name);
		snprintf(to, sizeof to, "%s/%s/%.900s", t->dir, where ? where : "", name);
		if ((where ? rename(path, to) : unlink(path)) != 0)
			repo_note(t->repo, "audit entry %s could not be removed: %s; it will be in the log twice", path, strerror(errno));
	}
}

/* --- batches --- */

static enum sov_code
start_chain(struct taking *t, struct sov_error *err)
{
	struct audit_state *st = t->st;
	enum sov_code rc;

	memset(st, 0, sizeof *st);
	t->fresh = true;
	rc = sov_random(&st->chain, sizeof st->chain, err);
	if (rc == SOV_OK)
		rc = sov_random(st->seed, 32, err);
	if (rc == SOV_OK)
		rc = sov_audit_chain_start(t->repo->keys->repo, st->chain, st->hash, err);
	return rc;
}

/* The position of an earlier chain in the log is of no use to this one. */
static enum sov_code
keep_old_log(const char *dir, struct sov_error *err)
{
	char		path[1200],
				to[1200];

	snprintf(path, sizeof path, "%s/log", dir);
	snprintf(to, sizeof to, "%s/log.%016" PRIx64, dir, (uint64_t) repo_now_us());
	if (rename(path, to) != 0 && errno != ENOENT)
		return sov_fail_errno(err, errno, NULL, "could not put the log of an earlier chain aside: %s", path);
	return SOV_OK;
}

static void
pending_path(const struct taking *t, uint64_t batch, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/pending/%016" PRIx64, t->dir, batch);
}

static enum sov_code
fill_batch(struct taking *t, struct sov_audit_batch *b, struct sov_error *err)
{
	struct audit_state *st = t->st;
	enum sov_code rc = SOV_OK;

	b->chain = st->chain;
	b->writer = t->repo->priv->writer;
	b->batch = st->batch + 1;
	memcpy(b->prev, st->last_object, 32);
	b->prev_us = st->last_us;
	b->time_us = (uint64_t) repo_now_us();
	if (b->time_us < st->last_us)
		b->time_us = st->last_us;
	b->first_seq = st->seq + 1;
	memcpy(b->before, st->hash, 32);
	b->n = t->n;
	b->entries = t->entries;
	for (uint32_t i = 0; i < b->n; i++)
		b->entries[i].seq = b->first_seq + i;
	rc = sov_sign_public(st->seed, b->signer, err);
	if (rc == SOV_OK)
		rc = sov_sign_keypair(t->next, b->next, err);
	if (rc == SOV_OK && b->batch == 1)
	{
		b->has_cert = true;
		rc = sov_cert_issue(t->repo->keys->repo, t->repo->priv->seed, SOV_CERT_AUDIT, b->chain, b->signer, b->time_us, &b->cert, err);
	}
	return rc;
}

static enum sov_code
write_log(struct taking *t, struct sov_error *err)
{
	struct sov_buf records = {0};
	uint8_t		hash[32];
	enum sov_code rc = SOV_OK;

	memcpy(hash, t->st->hash, 32);
	for (uint32_t i = 0; i < t->n && rc == SOV_OK; i++)
	{
		rc = sov_audit_chain_next(hash, &t->entries[i], err);
		audit_log_write(&records, &t->entries[i], hash);
	}
	if (rc == SOV_OK)
		rc = records.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : audit_log_append(t->dir, t->st, &records, err);
	sov_buf_free(&records);
	return rc;
}

static enum sov_code
make_batch(struct taking *t, struct sov_error *err)
{
	struct audit_state *st = t->st;
	struct sov_audit_batch b = {0};
	struct sov_buf object = {0};
	char		path[1200];
	enum sov_code rc = fill_batch(t, &b, err);

	if (rc == SOV_OK)
		rc = sov_audit_batch_encode(t->repo->keys, &b, st->seed, &object, err);
	if (rc == SOV_OK && t->fresh)
		rc = keep_old_log(t->dir, err);
	if (rc == SOV_OK)
		rc = write_log(t, err);
	pending_path(t, b.batch, path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, object.data, object.len, err);
	if (rc == SOV_OK)
	{
		st->batch = b.batch;
		st->seq += b.n;
		memcpy(st->hash, b.after, 32);
		memcpy(st->last_object, b.hash, 32);
		st->last_us = b.time_us;
		memcpy(st->seed, t->next, 32);
		rc = audit_state_write(t->repo, t->dir, st, err);
	}
	sov_buf_free(&object);
	if (rc == SOV_OK)
		empty_queue(t);
	return rc;
}

/* One batch of what is queued; *more: there may be further ones. */
static enum sov_code
take_in(struct taking *t, bool *more, uint64_t *taken, struct sov_error *err)
{
	enum sov_code rc;

	t->n = 0;
	t->taken = 0;
	t->entries = calloc(SOV_AUDIT_BATCH_MAX, sizeof *t->entries);
	if (t->entries == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (t->fresh)
		add_note(t, SOV_AUDIT_START, "this host has no chain that it could go on with");
	note_config(t);
	rc = read_queue(t, err);
	if (rc == SOV_OK && t->n > 0)
		rc = make_batch(t, err);
	if (rc == SOV_OK)
		*taken += t->n;
	*more = rc == SOV_OK && t->taken < t->n_files;
	t->fresh = t->fresh && rc != SOV_OK;
	audit_names_free(t->files, t->n_files);
	free(t->bad);
	free(t->entries);
	t->files = NULL;
	t->n_files = 0;
	return rc;
}

/* --- to the providers --- */

static enum sov_code
ship_batch(struct taking *t, uint64_t batch, struct sov_error *err)
{
	struct sov_repo *repo = t->repo;
	char		path[1200],
				name[SOV_NAME_MAX];
	struct sov_buf object = {0};
	struct sov_audit_batch b = {0};
	enum sov_code rc;

	pending_path(t, batch, path, sizeof path);
	audit_batch_name(t->st->chain, batch, name);
	rc = repo_read_file(path, &object, err);
	if (rc == SOV_OK)
	{
		rc = sov_audit_batch_decode(repo->keys, object.data, object.len, &b, err);
		if (rc != SOV_OK)
			sov_error_at(err, AUDIT_NEW_CHAIN, "%s", path);
	}
	if (rc == SOV_OK)
		rc = repo_put_counted(repo, name, &object, "the audit log", err);
	if (rc == SOV_E_EXISTS)
		rc = sov_fail(err, SOV_E_CONFLICT, "the state directory was set back, or the host was cloned: move chain.key away to begin a new chain; 'pg_sovereign audit verify' will name it",
					  "a provider has another batch %s than this host made", name);
	if (rc == SOV_OK)
	{
		t->st->shipped_batch = batch;
		t->st->shipped_seq = b.first_seq + b.n - 1;
		memcpy(t->st->shipped_hash, b.after, 32);
		rc = audit_state_write(repo, t->dir, t->st, err);
	}
	if (rc == SOV_OK)
		(void) unlink(path);
	sov_audit_batch_free(&b);
	sov_buf_free(&object);
	return rc;
}

/* Who waited may go on. */
static void
release_waiting(struct taking *t)
{
	char		dir[1200],
				path[2200];
	char	  **names;
	size_t		n;

	snprintf(dir, sizeof dir, "%s/wait", t->dir);
	if (audit_names(dir, &names, &n, NULL) != SOV_OK)
		return;
	for (size_t i = 0; i < n; i++)
	{
		snprintf(path, sizeof path, "%s/%.900s", dir, names[i]);
		(void) unlink(path);
	}
	audit_names_free(names, n);
}

static enum sov_code
put_beat(struct taking *t, bool closed, struct sov_error *err)
{
	struct sov_audit_beat beat = {.chain = t->st->chain, .batch = t->st->batch, .seq = t->st->seq,
	.time_us = (uint64_t) repo_now_us(), .closed = closed};
	char		name[SOV_NAME_MAX];
	struct sov_buf object = {0};
	struct repo_count count;
	enum sov_code rc;

	memcpy(beat.hash, t->st->hash, 32);
	audit_beat_name(beat.chain, name);
	rc = sov_audit_beat_encode(t->repo->keys, &beat, t->st->seed, &object, err);
	if (rc == SOV_OK)
		rc = repo_put_everywhere(t->repo, name, &object, false, &count, err);
	/* Credentials that cannot overwrite leave the first beat there: nor can they
	 * remove a batch, which is what it would show. */
	if (rc == SOV_E_QUORUM && err->refused && !closed)
		rc = SOV_OK;
	sov_buf_free(&object);
	if (rc == SOV_OK)
		t->repo->priv->beat_us = repo_mono_us();
	return rc;
}

/* Whenever something was shipped, and once in so many seconds where there was nothing. */
static bool
beat_due(const struct taking *t, const struct sov_audit_shipped *done)
{
	const struct sov_repo_private *priv = t->repo->priv;

	return priv->beat_us == 0 || done->batches > 0 || repo_mono_us() - priv->beat_us >= (int64_t) t->repo->cfg.audit_beat * 1000000 - 500000;
}

static enum sov_code
ship_all(struct taking *t, struct sov_audit_shipped *done, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	while (rc == SOV_OK && t->st->shipped_batch < t->st->batch)
	{
		rc = ship_batch(t, t->st->shipped_batch + 1, err);
		done->batches += rc == SOV_OK;
	}
	done->seq = t->st->shipped_seq;
	done->waiting = t->st->batch - t->st->shipped_batch;
	if (rc == SOV_OK)
		release_waiting(t);
	return rc;
}

/* This host's writer key certifies chains. */
static enum sov_code
need_writer(struct sov_repo *repo, struct sov_error *err)
{
	int			fd;
	enum sov_code rc;

	pthread_mutex_lock(&repo->priv->commit_lock);
	rc = repo_lock_file(repo, "writer.lock", &fd, err);
	if (rc == SOV_OK)
	{
		rc = repo_need_writer(repo, err);
		close(fd);
	}
	pthread_mutex_unlock(&repo->priv->commit_lock);
	return rc;
}

static enum sov_code
ship_locked(struct taking *t, bool close_chain, struct sov_audit_shipped *done, struct sov_error *err)
{
	char		path[1200];
	bool		more = true;
	enum sov_code rc = need_writer(t->repo, err);

	if (rc == SOV_OK)
		rc = audit_state_read(t->repo, t->dir, t->st, err);
	if (rc == SOV_E_NOTFOUND)
		rc = start_chain(t, err);
	while (rc == SOV_OK && more)
		rc = take_in(t, &more, &done->entries, err);
	if (rc == SOV_OK)
		rc = ship_all(t, done, err);
	if (rc == SOV_OK && (close_chain || beat_due(t, done)))
		rc = put_beat(t, close_chain, err);
	if (rc == SOV_OK && close_chain)
	{
		snprintf(path, sizeof path, "%s/chain.key", t->dir);
		if (unlink(path) != 0)
			rc = sov_fail_errno(err, errno, NULL, "could not remove %s", path);
	}
	return rc;
}

static enum sov_code
ship(struct sov_repo *repo, bool close_chain, struct sov_audit_shipped *done, struct sov_error *err)
{
	struct taking t = {.repo = repo};
	int			fd = -1;
	enum sov_code rc;

	memset(done, 0, sizeof *done);
	(void) sov_audit_directory(&repo->cfg, t.dir, sizeof t.dir);	/* a repository has a state directory */
	rc = audit_make_directories(t.dir, err);
	if (rc == SOV_OK)
		rc = repo_try_lock_file(repo, "audit.lock", &fd, err);
	if (rc != SOV_OK)
		return rc;
	t.st = sov_secret_alloc(sizeof *t.st, err);
	t.next = sov_secret_alloc(32, err);
	rc = t.st && t.next ? ship_locked(&t, close_chain, done, err) : SOV_E_NOMEM;
	sov_secret_free(t.st);
	sov_secret_free(t.next);
	close(fd);
	return rc;
}

enum sov_code
sov_audit_ship(struct sov_repo *repo, struct sov_audit_shipped *done, struct sov_error *err)
{
	return ship(repo, false, done, err);
}

enum sov_code
sov_audit_close(struct sov_repo *repo, struct sov_error *err)
{
	struct sov_audit_shipped done;

	return ship(repo, true, &done, err);
}

void
sov_audit_stamp(struct sov_repo *repo, struct sov_head *head)
{
	char		dir[1100];
	struct audit_state *st = sov_secret_alloc(sizeof *st, NULL);

	(void) sov_audit_directory(&repo->cfg, dir, sizeof dir);
	if (st && audit_state_read(repo, dir, st, NULL) == SOV_OK && st->shipped_seq > 0)
	{
		head->audit_seq = st->shipped_seq;
		memcpy(head->audit_hash, st->shipped_hash, 32);
	}
	sov_secret_free(st);
}
