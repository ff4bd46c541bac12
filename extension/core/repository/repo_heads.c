/*
 * repo_heads.c - reading the writers' heads, and what they say.
 *
 * Of every certified writer the newest head that verifies wins, whoever shows
 * it; it is written back where it is missing.  Names at providers are only
 * hints: what counts is sealed, signed and numbered.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "repo_private.h"

struct head_seen
{
	uint64_t	writer, seq;
	uint8_t		hash[32];
	struct sov_head head;
	struct sov_buf object;
	uint32_t	holders;		/* bit per provider */
	uint64_t	shown[SOV_MAX_PROVIDERS];	/* newest seq of this writer, by provider */
	uint64_t	ahead_us,		/* date of a head that was refused for it, */
				ahead_seq;		/* and its number */
};

struct heads_read
{
	struct sov_repo *repo;
	int			n;
	struct head_seen seen[64];
	enum sov_code rc;
	struct sov_error *err;
};

struct writer_max
{
	const struct sov_repo *repo;
	unsigned	strangers;		/* heads of writers that are not certified */
	int			n;
	struct { uint64_t writer, seq; } w[64];
};

const uint8_t *
repo_writer_pub(const struct sov_repo *repo, uint64_t writer)
{
	for (int i = 0; i < repo->admin.n_writers; i++)
		if (repo->admin.writers[i].writer == writer && !repo->admin.writers[i].revoked)
			return repo->admin.writers[i].cert.pub;
	return NULL;
}

static bool
see_head(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct writer_max *m = ctx;
	uint64_t	writer,
				seq;

	(void) st;
	if (strlen(name) != 35 || name[18] != '/' || !repo_parse_hex64(name + 2, &writer) || !repo_parse_hex64(name + 19, &seq))
		return true;
	/* Room is for those whom the administrator knows, at most 64: a provider
	 * that invents others may not crowd them out. */
	if (repo_writer_pub(m->repo, writer) == NULL)
	{
		m->strangers++;
		return true;
	}
	for (int i = 0; i < m->n; i++)
		if (m->w[i].writer == writer)
		{
			if (seq > m->w[i].seq)
				m->w[i].seq = seq;
			return true;
		}
	if (m->n < 64)
	{
		m->w[m->n].writer = writer;
		m->w[m->n++].seq = seq;
	}
	return true;
}

static struct head_seen *
seen_writer(struct heads_read *hr, uint64_t writer)
{
	for (int i = 0; i < hr->n; i++)
		if (hr->seen[i].writer == writer)
			return &hr->seen[i];
	if (hr->n == 64)
		return NULL;
	hr->seen[hr->n].writer = writer;
	return &hr->seen[hr->n++];
}

/* Take in one head that a provider shows. */
static void
take_head(struct heads_read *hr, int i, uint64_t writer, uint64_t seq, const struct sov_buf *object)
{
	struct sov_repo *repo = hr->repo;
	struct head_seen *s = seen_writer(hr, writer);
	struct sov_head head;
	struct sov_error err;
	const uint8_t *pub = repo_writer_pub(repo, writer);
	enum sov_code rc;

	if (s == NULL)
		return;
	if (pub == NULL)
		rc = sov_fail(&err, SOV_E_AUTH, NULL, "its writer is not certified, or was revoked");
	else
		rc = sov_head_decode(repo->keys, object->data, object->len, pub, &head, &err);
	if (rc == SOV_OK && (head.writer != writer || head.seq != seq))
		rc = sov_fail(&err, SOV_E_AUTH, NULL, "it is another head, put in this place");
	/* One's own chain goes on when the clock was wrong and is right again. */
	if (rc == SOV_OK && (int64_t) head.time_us > repo_now_us() + REPO_FUTURE_LIMIT_US &&
		!(repo->priv->writer_loaded && writer == repo->priv->writer))
	{
		s->ahead_us = head.time_us;
		s->ahead_seq = seq;
		rc = sov_fail(&err, SOV_E_STATE, NULL, "it is dated more than an hour ahead of this host's clock");
	}
	if (rc != SOV_OK)
	{
		repo_note(repo, "provider %s: head h/%016" PRIx64 "/%016" PRIx64 " is refused: %s",
				  repo->providers[i].cfg->name, writer, seq, err.message);
		return;
	}
	s->shown[i] = seq;
	if (s->seq == seq && memcmp(s->hash, head.hash, 32) != 0)
	{
		hr->rc = sov_fail(hr->err, SOV_E_CONFLICT, "a host was cloned with its state directory: stop one of the two and give it a state directory of its own",
						  "provider %s shows another head h/%016" PRIx64 "/%016" PRIx64 " than the others",
						  repo->providers[i].cfg->name, writer, seq);
		return;
	}
	if (seq > s->seq)
	{
		s->seq = seq;
		s->head = head;
		memcpy(s->hash, head.hash, 32);
		s->object.len = 0;
		sov_write_bytes(&s->object, object->data, object->len);
		s->holders = 0;
	}
	if (seq == s->seq)
		s->holders |= 1u << i;
}

static void
write_back_heads(struct heads_read *hr)
{
	struct sov_repo *repo = hr->repo;
	char		name[SOV_NAME_MAX];

	for (int w = 0; w < hr->n; w++)
	{
		struct head_seen *s = &hr->seen[w];
		struct sov_put_span span = {s->object.data, s->object.len};

		if (s->seq == 0)
			continue;
		snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, s->writer, s->seq);
		for (int i = 0; i < repo->n_providers; i++)
		{
			if ((s->holders & 1u << i) || !repo_takes_part(repo, i) || repo->providers[i].down)
				continue;
			if (repo_put(repo, i, name, &span, 1, false, NULL) == SOV_OK)
				repo_note(repo, "provider %s showed head %" PRIu64 " of writer %016" PRIx64 " where the others have %" PRIu64 ": outvoted, and written back",
						  repo->providers[i].cfg->name, s->shown[i], s->writer, s->seq);
		}
	}
}

/* Of whom is the newest state not known? */
static void
note_ahead(const struct heads_read *hr)
{
	struct sov_repo_private *priv = hr->repo->priv;

	priv->ahead_writer = priv->ahead_us = 0;
	for (int w = 0; w < hr->n; w++)
		if (hr->seen[w].ahead_seq > hr->seen[w].seq)
		{
			priv->ahead_writer = hr->seen[w].writer;
			priv->ahead_us = hr->seen[w].ahead_us;
		}
}

enum sov_code
repo_check_ahead(const struct sov_repo *repo, const char *so, struct sov_error *err)
{
	char		when[64] = "";
	time_t		t = (time_t) (repo->priv->ahead_us / 1000000);
	struct tm	tm;

	if (repo->priv->ahead_us == 0)
		return SOV_OK;
	if (gmtime_r(&t, &tm))
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return sov_fail(err, SOV_E_STATE, "set this host's clock; if that writer's clock was wrong, its next commit mends it",
					"the newest state of writer %016" PRIx64 " is dated %s, more than an hour ahead of this host's clock, so what it needs is not known, and %s",
					repo->priv->ahead_writer, when, so);
}

/* No head at all because of the clock must not look like an empty repository. */
static enum sov_code
check_clock(const struct heads_read *hr, struct sov_error *err)
{
	char		when[64] = "";
	uint64_t	ahead = 0;
	time_t		t;
	struct tm	tm;

	for (int w = 0; w < hr->n; w++)
	{
		if (hr->seen[w].seq > 0)
			return SOV_OK;
		if (hr->seen[w].ahead_us > ahead)
			ahead = hr->seen[w].ahead_us;
	}
	if (ahead == 0)
		return SOV_OK;
	t = (time_t) (ahead / 1000000);
	if (gmtime_r(&t, &tm))
		strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &tm);
	return sov_fail(err, SOV_E_STATE, "set this host's clock; if the clock of the host that wrote was wrong, its next commit mends it, and without that host a restore works with the clock set past that date",
					"the newest state is dated %s, more than an hour ahead of this host's clock", when);
}

enum sov_code
repo_read_heads(struct sov_repo *repo, const struct sov_head *anchor, struct sov_error *err)
{
	struct heads_read *hr = calloc(1, sizeof *hr);
	struct sov_buf object = {0};
	enum sov_code rc;

	if (hr == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	hr->repo = repo;
	hr->err = err;
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct writer_max max = {.repo = repo};

		if (!repo->providers[i].known || repo_list_briefly(repo, i, "h/", see_head, &max, NULL) != SOV_OK)
			continue;
		if (max.strangers > 0)
			repo_note(repo, "provider %s shows %u heads of writers that are not certified, or were revoked: they are ignored",
					  repo->providers[i].cfg->name, max.strangers);
		for (int w = 0; w < max.n; w++)
		{
			char		name[SOV_NAME_MAX];

			snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, max.w[w].writer, max.w[w].seq);
			object.len = 0;
			if (repo_get(repo, i, name, 0, UINT64_MAX, &object, NULL) == SOV_OK)
				take_head(hr, i, max.w[w].writer, max.w[w].seq, &object);
		}
	}
	rc = hr->rc;
	if (rc == SOV_OK)
		rc = check_clock(hr, err);
	note_ahead(hr);
	if (rc == SOV_OK)
	{
		write_back_heads(hr);
		repo->n_heads = 0;
		for (int w = 0; w < hr->n; w++)
			if (hr->seen[w].seq > 0)
				repo->heads[repo->n_heads++] = hr->seen[w].head;
	}
	for (int w = 0; w < hr->n; w++)
		sov_buf_free(&hr->seen[w].object);
	sov_buf_free(&object);
	free(hr);
	if (rc == SOV_OK && anchor)
		rc = repo_check_head_anchor(repo, anchor, err);
	return rc;
}

/* --- what heads say --- */

static int
by_stop_time(const void *a, const void *b)
{
	const struct sov_backup_entry *x = a,
			   *y = b;

	return x->stop_us < y->stop_us ? -1 : x->stop_us > y->stop_us;
}

enum sov_code
repo_catalogues(struct sov_repo *repo, struct sov_catalogue *out, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	memset(out, 0, sizeof *out);
	for (int i = 0; i < repo->n_heads && rc == SOV_OK; i++)
	{
		struct sov_buf plain = {0};
		struct sov_catalogue one = {0};
		struct sov_backup_entry *all;

		if (!repo->heads[i].has_catalogue)
			continue;
		rc = sov_repo_get_stream(repo, SOV_CLASS_META, repo->heads[i].catalogue.id, repo->heads[i].catalogue.attempt, NULL, &plain, err);
		if (rc == SOV_OK)
			rc = sov_catalogue_decode(plain.data, plain.len, &one, err);
		sov_buf_free(&plain);
		if (rc == SOV_OK && one.n > 0)
		{
			all = realloc(out->backups, sizeof *all * (out->n + one.n));
			if (all == NULL)
				rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
			else
			{
				memcpy(all + out->n, one.backups, sizeof *all * one.n);
				out->backups = all;
				out->n += one.n;
			}
		}
		sov_catalogue_free(&one);
	}
	if (rc != SOV_OK)
	{
		sov_catalogue_free(out);
		memset(out, 0, sizeof *out);
	}
	if (rc == SOV_OK && out->n > 1)
		qsort(out->backups, out->n, sizeof *out->backups, by_stop_time);
	return rc;
}

enum sov_code
sov_repo_catalogue(struct sov_repo *repo, struct sov_catalogue *out, struct sov_error *err)
{
	enum sov_code rc = repo_catalogues(repo, out, err);

	if (rc == SOV_OK)
		lease_hide_condemned(&repo->admin, out);
	return rc;
}
