/*
 * audit_verify.c - what is wrong with the audit log.
 *
 * The union of what all providers show is walked chain by chain: every copy of every
 * batch is read, each batch must follow from the one before by hash, number, key and
 * time, and the beat must not tell of more than there is.  Two witnesses stand beside
 * the chain: the heads of the writers, which name an entry and its hash, and, where
 * this host has one, its own log.  Whoever holds a host can sign for it from then on,
 * but not in the past, since the keys of the past are gone; so rewriting means a
 * batch that does not follow, another chain, or a hole, and each is named.
 *
 * A chain whose beginning is missing was pruned if what is missing is older than the
 * shortest retention (a batch tells the time of the one before), else it was cut.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit_chains.h"
#include "sov_verify.h"

static void __attribute__((format(printf, 2, 3)))
problem(struct verify *v, const char *fmt, ...)
{
	char		text[900];
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	v->res->problems++;
	if (v->opt->problem)
		v->opt->problem(v->opt->ctx, text);
}

static const char *
when(uint64_t us, char dst[40])
{
	time_t		t = (time_t) (us / 1000000);
	struct tm	tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(dst, 40, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(dst, 40, "an unknown time");
	return dst;
}

/* Who could not be listed may have what no other has: ", or lie with ...", else "". */
static const char *
unless(const struct verify *v, char dst[300])
{
	size_t		n = 0;

	dst[0] = '\0';
	for (int i = 0; i < v->repo->n_providers; i++)
		if (!(v->asked & 1u << i) && n < 200)
			n += (size_t) snprintf(dst + n, 300 - n, "%s%.60s", n ? ", " : ", or lie with who could not be asked: ", v->repo->providers[i].cfg->name);
	return dst;
}

/* --- what is there --- */

static bool
see(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct verify *v = ctx;
	uint64_t	chain,
				batch;

	(void) st;
	if (!audit_parse_name(name, &chain, &batch))
	{
		problem(v, "provider %s: %.80s is no part of an audit log", v->repo->providers[v->listing].cfg->name, name);
		return true;
	}
	if (v->n == v->cap)
	{
		size_t		cap = v->cap ? 2 * v->cap : 1024;
		struct place *grown = realloc(v->places, cap * sizeof *grown);

		if (grown == NULL)
		{
			v->nomem = true;
			return false;
		}
		v->places = grown;
		v->cap = cap;
	}
	v->places[v->n++] = (struct place) {chain, batch, 1u << v->listing};
	return true;
}

static int
by_place(const void *a, const void *b)
{
	const struct place *x = a,
			   *y = b;

	if (x->chain != y->chain)
		return x->chain < y->chain ? -1 : 1;
	return x->batch < y->batch ? -1 : x->batch > y->batch;
}

/* All names at all providers, each once. */
enum sov_code
audit_list_all(struct verify *v, struct sov_error *err)
{
	size_t		kept = 0;

	for (v->listing = 0; v->listing < v->repo->n_providers; v->listing++)
		if (v->repo->providers[v->listing].known && repo_list(v->repo, v->listing, "l/", see, v, NULL) == SOV_OK)
			v->asked |= 1u << v->listing;
	if (v->nomem)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (v->asked == 0)
		return sov_fail(err, SOV_E_QUORUM, "bring a provider back", "no provider could be asked for its audit log");
	if (v->n > 1)
		qsort(v->places, v->n, sizeof *v->places, by_place);
	for (size_t i = 0; i < v->n; i++)
		if (kept > 0 && by_place(&v->places[kept - 1], &v->places[i]) == 0)
			v->places[kept - 1].holders |= v->places[i].holders;
		else
			v->places[kept++] = v->places[i];
	v->n = kept;
	return SOV_OK;
}

/* --- one batch --- */

/* Every copy; *good gets the first one that verifies. */
static bool
read_copies(struct verify *v, const struct place *p, struct sov_audit_batch *good)
{
	struct sov_buf first = {0},
				other = {0};
	struct sov_audit_batch b;
	struct sov_error err;
	char		name[SOV_NAME_MAX];
	bool		found = false;

	audit_batch_name(p->chain, p->batch, name);
	for (int i = 0; i < v->repo->n_providers; i++)
	{
		const char *alias = v->repo->providers[i].cfg->name;
		struct sov_buf *buf = found ? &other : &first;

		if (!(v->asked & 1u << i))
			continue;
		if (!(p->holders & 1u << i))
		{
			if (!repo_spool_has(v->repo, alias, name))
				problem(v, "provider %s lacks %s, which others have: it was removed there, or never arrived", alias, name);
			continue;
		}
		buf->len = 0;
		if (repo_get(v->repo, i, name, 0, UINT64_MAX, buf, &err) != SOV_OK)
			problem(v, "%s could not be read: %s", name, err.message);
		else if (found && other.len == first.len && memcmp(other.data, first.data, first.len) == 0)
			continue;
		else if (sov_audit_batch_decode(v->repo->keys, buf->data, buf->len, &b, &err) != SOV_OK)
			problem(v, "provider %s: %s was changed or is damaged: %s", alias, name, err.message);
		else
		{
			if (b.chain != p->chain || b.batch != p->batch)
				problem(v, "provider %s: %s holds batch %" PRIu64 " of chain %016" PRIx64 ", put in another's place", alias, name, b.batch, b.chain);
			else if (found)
				problem(v, "provider %s: %s is another batch than elsewhere, and signed too: somebody signed twice", alias, name);
			else
			{
				*good = b;
				found = true;
				continue;
			}
			sov_audit_batch_free(&b);
		}
	}
	sov_buf_free(&first);
	sov_buf_free(&other);
	return found;
}

static void
check_first(struct verify *v, const struct sov_audit_batch *b)
{
	uint8_t		start[32];
	const uint8_t *pub = NULL;
	char		t[40],
				or[300];

	v->writer = b->writer;
	if (b->batch > 1)
	{
		if (b->prev_us + (uint64_t) (SOV_AUDIT_DAYS_MIN - 1) * DAY_US > (uint64_t) repo_now_us())
			problem(v, "chain %016" PRIx64 ": batches 1 to %" PRIu64 " are at no provider, and the last of them is of %s: removed%s",
					b->chain, b->batch - 1, when(b->prev_us, t), unless(v, or));
		return;
	}
	for (int i = 0; i < v->repo->admin.n_writers; i++)
		if (v->repo->admin.writers[i].writer == b->writer)
			pub = v->repo->admin.writers[i].cert.pub;
	if (!b->has_cert || pub == NULL || sov_cert_check(v->repo->keys->repo, pub, &b->cert, NULL) != SOV_OK)
		problem(v, "chain %016" PRIx64 " was not begun by a writer of this repository: forged", b->chain);
	if (sov_audit_chain_start(v->repo->keys->repo, b->chain, start, NULL) != SOV_OK || memcmp(start, b->before, 32) != 0 || b->first_seq != 1)
		problem(v, "chain %016" PRIx64 " does not begin as a chain does: forged", b->chain);
}

static void
check_follows(struct verify *v, const struct sov_audit_batch *b)
{
	const struct sov_audit_batch *a = &v->last;
	uint64_t	next_seq = a->first_seq + a->n;
	char		or[300];

	if (b->batch != a->batch + 1)
	{
		problem(v, "chain %016" PRIx64 ": batches %" PRIu64 " to %" PRIu64 " are at no provider: %" PRIu64 " entries (%" PRIu64 " to %" PRIu64 ") were removed%s",
				b->chain, a->batch + 1, b->batch - 1, b->first_seq - next_seq, next_seq, b->first_seq - 1, unless(v, or));
		return;
	}
	if (memcmp(b->prev, a->hash, 32) != 0 || memcmp(b->signer, a->next, 32) != 0 || b->first_seq != next_seq ||
		memcmp(b->before, a->after, 32) != 0 || b->time_us < a->time_us || b->prev_us != a->time_us || b->writer != a->writer)
		problem(v, "chain %016" PRIx64 ": batch %" PRIu64 " does not follow from batch %" PRIu64 ": one of them was replaced",
				b->chain, b->batch, a->batch);
}

/* Does this host's log say the same?  Up to the last entry of the batch. */
static void
check_local(struct verify *v, const struct sov_audit_batch *b)
{
	const struct local_log *l = &v->local;
	uint64_t	last = b->first_seq + b->n - 1;
	uint8_t		hash[32];

	if (!l->there || l->chain != b->chain)
		return;
	memcpy(hash, b->before, 32);
	for (uint32_t i = 0; i < b->n; i++)
	{
		uint64_t	seq = b->first_seq + i;

		(void) sov_audit_chain_next(hash, &b->entries[i], NULL);
		if (seq > l->n)
		{
			problem(v, "this host's log lacks entries %" PRIu64 " to %" PRIu64 ", which the providers have: it was cut", seq, last);
			return;
		}
		if (memcmp(l->hash[seq - 1], hash, 32) != 0)
		{
			problem(v, "this host's log has another entry %" PRIu64 " than the providers: it was changed", seq);
			return;
		}
	}
}

static void
note_heads(struct verify *v, const struct sov_audit_batch *b)
{
	for (int i = 0; i < v->repo->n_heads; i++)
		if (v->repo->heads[i].audit_seq == b->first_seq + b->n - 1 && memcmp(v->repo->heads[i].audit_hash, b->after, 32) == 0)
			v->head_found[i] = true;
}

static void
take_batch(struct verify *v, struct sov_audit_batch *b)
{
	if (v->have_last)
		check_follows(v, b);
	else
		check_first(v, b);
	check_local(v, b);
	note_heads(v, b);
	v->res->batches++;
	v->res->entries += b->n;
	if (b->time_us > v->res->newest_us)
		v->res->newest_us = b->time_us;
	for (uint32_t i = 0; v->opt->entry && i < b->n; i++)
		if (!v->opt->entry(v->opt->ctx, &b->entries[i]))
			break;
	v->last = *b;
	v->last.entries = NULL;		/* n stays */
	v->have_last = true;
}

/* --- the end of a chain --- */

/* The beat that tells most; false: none that can be believed. */
static bool
newest_beat(struct verify *v, const struct place *p, struct sov_audit_beat *best)
{
	struct sov_buf buf = {0};
	struct sov_audit_beat b;
	struct sov_error err;
	char		name[SOV_NAME_MAX];
	bool		found = false;

	audit_beat_name(p->chain, name);
	for (int i = 0; i < v->repo->n_providers; i++)
	{
		enum sov_code rc;

		if (!(p->holders & v->asked & 1u << i))
			continue;
		buf.len = 0;
		rc = repo_get(v->repo, i, name, 0, UINT64_MAX, &buf, &err);
		if (rc == SOV_OK)
			rc = sov_audit_beat_decode(v->repo->keys, buf.data, buf.len, NULL, &b, &err);
		/* its key is in the batch that it names, if that is the last one there */
		if (rc == SOV_OK && v->have_last && b.batch == v->last.batch)
			rc = sov_audit_beat_decode(v->repo->keys, buf.data, buf.len, v->last.next, &b, &err);
		if (rc == SOV_OK && b.chain != p->chain)
			rc = sov_fail(&err, SOV_E_AUTH, NULL, "it is of another chain");
		if (rc != SOV_OK)
			problem(v, "provider %s: %s was changed or is damaged: %s", v->repo->providers[i].cfg->name, name, err.message);
		else if (!found || b.batch > best->batch || (b.batch == best->batch && b.time_us > best->time_us))
		{
			*best = b;
			found = true;
		}
	}
	sov_buf_free(&buf);
	return found;
}

/* Shipped since all was listed? */
static bool
is_there(struct verify *v, uint64_t chain, uint64_t batch)
{
	struct sov_object_stat st;
	char		name[SOV_NAME_MAX];

	audit_batch_name(chain, batch, name);
	for (int i = 0; i < v->repo->n_providers; i++)
		if ((v->asked & 1u << i) && repo_stat(v->repo, i, name, &st, NULL) == SOV_OK)
			return true;
	return false;
}

/* Did somebody say that it ended? */
static bool
is_known_end(const struct verify *v, uint64_t chain)
{
	for (int i = 0; i < v->opt->n_ended; i++)
		if (v->opt->ended[i] == chain)
			return true;
	return false;
}

static void
check_end(struct verify *v, uint64_t chain, const struct place *beat_place)
{
	struct sov_audit_beat beat = {0};
	char		t[40],
				or[300];
	uint64_t	end = v->have_last ? v->last.batch : 0,
				newest = v->have_last ? v->last.time_us : 0;
	bool		found = beat_place && newest_beat(v, beat_place, &beat);

	if (!found)
		problem(v, "chain %016" PRIx64 " has no beat that says how far it goes: its end may have been cut off", chain);
	else if (beat.batch > end && !is_there(v, chain, end + 1))
		problem(v, "chain %016" PRIx64 ": batches %" PRIu64 " to %" PRIu64 " are at no provider, of which its beat of %s tells: the end was cut off%s",
				chain, end + 1, beat.batch, when(beat.time_us, t), unless(v, or));
	if (found && beat.time_us > newest)
		newest = beat.time_us;
	if (newest > v->res->newest_us)
		v->res->newest_us = newest;
	if (v->local.there && v->local.chain == chain && v->local.shipped > end)
		problem(v, "batches %" PRIu64 " to %" PRIu64 " that this host had brought to the providers are at none of them: the end was cut off%s",
				end + 1, v->local.shipped, unless(v, or));
	if (beat.closed || is_known_end(v, chain) || (v->local.there && v->local.chain == chain))
		return;
	if (newest + v->opt->silent_us < (uint64_t) repo_now_us() || (v->local.there && v->writer == v->repo->priv->writer && v->repo->priv->writer_loaded))
		problem(v, "chain %016" PRIx64 " ended at %s without a word: its host is silent, or its log was begun anew", chain, when(newest, t));
}

/* --- all of it --- */

static void
walk_chain(struct verify *v, size_t from, size_t to)
{
	const struct place *beat = NULL;
	struct sov_audit_batch b;

	v->have_last = false;
	v->writer = 0;
	v->local_seen |= v->places[from].chain == v->local.chain;
	v->res->chains++;
	for (size_t i = from; i < to; i++)
		if (v->places[i].batch == 0)
			beat = &v->places[i];
		else if (read_copies(v, &v->places[i], &b))
		{
			take_batch(v, &b);
			sov_audit_batch_free(&b);
		}
	check_end(v, v->places[from].chain, beat);
}

static void
check_heads(struct verify *v)
{
	char		t[40];

	for (int i = 0; i < v->repo->n_heads; i++)
	{
		const struct sov_head *h = &v->repo->heads[i];

		if (h->audit_seq > 0 && !v->head_found[i] && h->time_us + (uint64_t) (SOV_AUDIT_DAYS_MIN - 1) * DAY_US > (uint64_t) repo_now_us())
			problem(v, "writer %016" PRIx64 " has committed on %s that the log goes to entry %" PRIu64 " with a hash that no chain has: removed or replaced",
					h->writer, when(h->time_us, t), h->audit_seq);
	}
}

/* Is every record of the file what the hashes say?  Fills l. */
static void
check_log_file(struct verify *v, const struct sov_buf *file, uint64_t log_len)
{
	struct local_log *l = &v->local;
	struct sov_reader r;
	struct sov_audit_entry e;
	uint8_t		hash[32],
				stored[32];
	size_t		cap = 0;

	if (file->len < log_len)
		problem(v, "this host's log has %zu bytes where %" PRIu64 " were written: it was cut", file->len, log_len);
	(void) sov_audit_chain_start(v->repo->keys->repo, l->chain, hash, NULL);
	sov_reader_init(&r, file->data, file->len < log_len ? file->len : (size_t) log_len);
	while (sov_reader_left(&r) > 0)
	{
		audit_log_read(&r, &e, stored);
		if (r.bad || e.seq != l->n + 1 || sov_audit_chain_next(hash, &e, NULL) != SOV_OK || memcmp(hash, stored, 32) != 0)
		{
			problem(v, "this host's log is wrong after entry %zu: an entry was changed, removed or put elsewhere", l->n);
			return;
		}
		if (l->n == cap)
		{
			void	   *grown = realloc(l->hash, (cap = cap ? 2 * cap : 4096) * sizeof *l->hash);

			if (grown == NULL)
			{
				v->nomem = true;
				return;
			}
			l->hash = grown;
		}
		memcpy(l->hash[l->n++], hash, 32);
	}
}

static enum sov_code
read_local(struct verify *v, struct sov_error *err)
{
	char		dir[1100],
				path[1200];
	struct sov_buf file = {0};
	struct audit_state *st = sov_secret_alloc(sizeof *st, err);
	bool		have;
	enum sov_code rc,
				log;

	if (st == NULL)
		return SOV_E_NOMEM;
	(void) repo_load_writer(v->repo, &have, NULL);
	(void) sov_audit_directory(&v->repo->cfg, dir, sizeof dir);
	snprintf(path, sizeof path, "%s/log", dir);
	rc = audit_state_read(v->repo, dir, st, err);
	log = repo_read_file(path, &file, NULL);
	if (rc == SOV_OK)
	{
		v->local.there = v->res->local = true;
		v->local.chain = st->chain;
		v->local.shipped = st->shipped_batch;
		if (log != SOV_OK)
			problem(v, "this host's log %s is gone", path);
		check_log_file(v, &file, st->log_len);
	}
	else if (rc != SOV_E_NOTFOUND)
		problem(v, "%s", err->message);
	else if (log == SOV_OK)
		problem(v, "this host has a log, but its chain.key is gone");
	sov_buf_free(&file);
	sov_secret_free(st);
	return v->nomem ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

enum sov_code
sov_audit_verify(struct sov_repo *repo, const struct sov_audit_verify_options *opt, struct sov_audit_verify_result *res, struct sov_error *err)
{
	struct verify *v = calloc(1, sizeof *v);
	enum sov_code rc;
	int			fd = -1;

	memset(res, 0, sizeof *res);
	if (v == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	v->repo = repo;
	v->opt = opt;
	v->res = res;
	/* Nobody ships between the two; what is shipped later is not looked at.  Where
	 * nothing can be locked, nobody ships. */
	(void) repo_lock_file(repo, "audit.lock", &fd, NULL);
	rc = read_local(v, err);
	if (rc == SOV_OK)
		rc = audit_list_all(v, err);
	if (fd >= 0)
		close(fd);
	for (size_t i = 0, j; rc == SOV_OK && i < v->n; i = j)
	{
		for (j = i + 1; j < v->n && v->places[j].chain == v->places[i].chain; j++)
			;
		walk_chain(v, i, j);
	}
	if (rc == SOV_OK && v->local.there && v->local.shipped > 0 && !v->local_seen)
		problem(v, "no provider has anything of chain %016" PRIx64 ", which this host had brought there: removed", v->local.chain);
	if (rc == SOV_OK)
		check_heads(v);
	free(v->local.hash);
	free(v->places);
	free(v);
	return rc;
}
