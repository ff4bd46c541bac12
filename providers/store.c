/*
 * store.c - get, stat, remove and lists of object stores that speak HTTP.
 */
#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define LOOKS_MAX 5

/* --- open, close, calls --- */

enum sov_code
sov_store_open(const struct sov_provider_config *cfg, size_t size, const struct sov_provider_ops *ops,
			   const struct sov_dialect *dialect, struct sov_store **out, struct sov_error *err)
{
	struct sov_store *s = calloc(1, size);
	enum sov_code rc;

	*out = NULL;
	if (s == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = sov_net_open(cfg, &s->net, err);
	if (rc != SOV_OK)
	{
		free(s);
		return rc;
	}
	s->ops = *ops;
	s->ops.caps.parallel = sov_net_parallel(s->net);
	s->base.ops = &s->ops;
	s->dialect = dialect;
	snprintf(s->list_page, sizeof s->list_page, "%llu", (unsigned long long) sov_option_number(cfg, "list-page", 1000));
	*out = s;
	return SOV_OK;
}

void
sov_store_close(struct sov_store *s)
{
	sov_net_close(s->net);
	free(s);
}

void
sov_call_init(struct sov_call *c, const char *method, const char *name)
{
	memset(c, 0, sizeof *c);
	c->method = method;
	c->name = name;
	c->n_spans = -1;
	c->repeatable = true;
}

void
sov_call_query(struct sov_call *c, const char *name, const char *value)
{
	if (c->n_query < SOV_STORE_QUERY)
		c->query[c->n_query++] = (struct sov_sign_pair) {name, value};
}

void
sov_call_header(struct sov_call *c, const char *name, const char *value)
{
	if (c->n_headers < SOV_STORE_HEADERS)
		c->headers[c->n_headers++] = (struct sov_sign_pair) {name, value};
}

enum sov_code
sov_store_call(struct sov_store *s, struct sov_call *c, struct sov_error *err)
{
	return s->dialect->send(s, c, err);
}

/* --- errors --- */

enum sov_code
sov_store_notfound(const char *name, struct sov_error *err)
{
	return sov_fail(err, SOV_E_NOTFOUND, NULL, "object \"%s\" does not exist", name);
}

enum sov_code
sov_store_bad_name(const char *name, struct sov_error *err)
{
	return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
}

enum sov_code
sov_store_exists(const char *name, struct sov_error *err)
{
	return sov_fail(err, SOV_E_EXISTS, NULL, "object \"%s\" exists already", name);
}

enum sov_code
sov_store_fail(struct sov_store *s, struct sov_call *c, const char *what, struct sov_error *err)
{
	char		code[64] = "",
				text[300];

	s->dialect->code(&c->reply, code);
	snprintf(text, sizeof text, "could not %s%s%s%s", what, c->name ? " \"" : "", c->name ? c->name : "", c->name ? "\"" : "");
	return sov_http_fail(s->net, &c->reply, code, text, err);
}

static enum sov_code
strange(struct sov_error *err, const char *what, const char *name)
{
	sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": %s", name, what);
	if (err != NULL)
		err->retryable = true;
	return SOV_E_PROVIDER;
}

/* --- get --- */

/* Is what came what was asked for? */
static enum sov_code
check_range(struct sov_call *c, uint64_t offset, uint64_t len, uint64_t got, struct sov_error *err)
{
	uint64_t	first,
				last,
				total;
	char		text[100];

	if (!sov_http_header(&c->reply, "content-range", text, sizeof text) || !sov_http_content_range(text, &first, &last, &total) ||
		first != offset || last - first + 1 != got)
		return strange(err, "the server's reply is not the range that was asked for", c->name);
	/* shorter than asked for is right only at the end of the object, and that must be told */
	if (got < len && (total == UINT64_MAX || last + 1 != total))
		return strange(err, "the server's reply is shorter than the range that was asked for", c->name);
	return SOV_OK;
}

/* "The range is not there" is right only behind the end of the object. */
static enum sov_code
check_unsatisfied(struct sov_store *s, struct sov_call *c, uint64_t offset, bool whole, struct sov_error *err)
{
	uint64_t	first,
				last,
				total;
	char		text[100];

	if (whole)
		return sov_store_fail(s, c, "get object", err);
	if (sov_http_header(&c->reply, "content-range", text, sizeof text) && sov_http_content_range(text, &first, &last, &total) &&
		total != UINT64_MAX && total > offset)
		return strange(err, "the server says that the range is behind its end, and that it is longer", c->name);
	return SOV_OK;
}

/* Without a length and without chunks, a cut body looks like a whole one. */
static enum sov_code
check_length(struct sov_call *c, uint64_t got, struct sov_error *err)
{
	char		coding[32];
	uint64_t	length;

	if (sov_http_header(&c->reply, "transfer-encoding", coding, sizeof coding) && strcasecmp(coding, "chunked") == 0)
		return SOV_OK;
	if (sov_http_header_number(&c->reply, "content-length", &length) && length == got)
		return SOV_OK;
	return strange(err, "the server does not say how long it is", c->name);
}

/* An empty range is right only behind the end of the object. */
static enum sov_code
check_end(struct sov_store *s, const char *name, uint64_t offset, struct sov_error *err)
{
	struct sov_object_stat st;
	enum sov_code rc = sov_store_stat(&s->base, name, &st, err);

	return rc == SOV_OK && st.size > offset ? strange(err, "the server sends nothing of the range that was asked for", name) : rc;
}

static enum sov_code
get_once(struct sov_store *s, const char *name, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct sov_call c;
	bool		whole = offset == 0 && len == UINT64_MAX;
	size_t		start = out->len;
	char		range[64];
	enum sov_code rc;

	sov_call_init(&c, "GET", name);
	if (len > UINT64_MAX - offset)
		len = UINT64_MAX;
	if (len == UINT64_MAX)
		snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long) offset);
	else
		snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long) offset, (unsigned long long) (offset + len - 1));
	if (!whole)
		sov_call_header(&c, "range", range);
	c.sink = out;
	c.sink_max = len < SOV_STORE_OBJECT_MAX ? len : SOV_STORE_OBJECT_MAX;
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK)
	{
		switch (c.reply.status)
		{
			case 200:
				if (!whole && offset != 0)
					rc = strange(err, "the server ignores ranges", name);
				break;
			case 206:
				if (out->len == start)	/* some say so at the end of the object */
					rc = check_end(s, name, offset, err);
				else
					rc = whole ? strange(err, "the server sends a part, unasked", name) :
						check_range(&c, offset, len, out->len - start, err);
				break;
			case 416:
				rc = check_unsatisfied(s, &c, offset, whole, err);
				break;
			case 404:
				rc = s->dialect->absent(s, &c, err);
				break;
			default:
				rc = sov_store_fail(s, &c, "get object", err);
		}
	}
	if (rc == SOV_OK && c.reply.status != 416)
		rc = check_length(&c, out->len - start, err);
	if (rc != SOV_OK)
		out->len = start;
	sov_call_free(&c);
	return rc;
}

static enum sov_code
get_range(struct sov_store *s, const char *name, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	enum sov_code rc = get_once(s, name, offset, len, out, err);

	if (rc != SOV_E_NOTFOUND || !s->dialect->second_look)
		return rc;
	sov_error_clear(err);
	return get_once(s, name, offset, len, out, err);
}

enum sov_code
sov_store_get(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct sov_store *s = (struct sov_store *) p;
	struct sov_object_stat st;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	if (len == 0 || offset > SOV_STORE_OBJECT_MAX)	/* nothing; but is it there? */
		return sov_store_stat(p, name, &st, err);
	if (len <= SOV_STORE_OBJECT_MAX && len != SOV_SMALL_READ && !sov_buf_reserve(out, len))
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return get_range(s, name, offset, len, out, err);
}

enum sov_code
sov_store_get_version(struct sov_store *s, const char *name, const char *parameter, const char *id, struct sov_buf *out, struct sov_error *err)
{
	struct sov_call c;
	size_t		start = out->len;
	enum sov_code rc;

	sov_call_init(&c, "GET", name);
	sov_call_query(&c, parameter, id);
	c.sink = out;
	c.sink_max = SOV_STORE_OBJECT_MAX;
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK && c.reply.status != 200)
		rc = sov_store_fail(s, &c, "get an older version of object", err);
	if (rc == SOV_OK)
		rc = check_length(&c, out->len - start, err);
	if (rc != SOV_OK)
		out->len = start;
	sov_call_free(&c);
	return rc;
}

/* --- stat, remove --- */

enum sov_code
sov_store_look(struct sov_store *s, const char *name, struct sov_object_stat *st, struct sov_call *c, struct sov_error *err)
{
	char		date[64];
	enum sov_code rc;

	memset(st, 0, sizeof *st);
	for (int i = 0;; i++)
	{
		sov_call_init(c, "HEAD", name);
		rc = sov_store_call(s, c, err);
		if (rc != SOV_OK || c->reply.status != 404)
			break;
		rc = s->dialect->absent(s, c, err);
		if (rc != SOV_OK)
			return rc;
		/* somebody put it between the two looks */
		if (i == LOOKS_MAX)
			return strange(err, "it comes and goes", name);
		sov_call_free(c);
	}
	if (rc != SOV_OK)
		return rc;
	if (!sov_call_ok(c))
		return sov_store_fail(s, c, "look at object", err);
	if (!sov_http_header_number(&c->reply, "content-length", &st->size))
		return strange(err, "the server does not tell its size", name);
	if (sov_http_header(&c->reply, "last-modified", date, sizeof date))
		st->mtime_us = sov_http_date_us(date);
	return SOV_OK;
}

static enum sov_code
stat_once(struct sov_store *s, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc = sov_store_look(s, name, st, &c, err);

	sov_call_free(&c);
	return rc;
}

enum sov_code
sov_store_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_store *s = (struct sov_store *) p;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = stat_once(s, name, st, err);
	if (rc != SOV_E_NOTFOUND || !s->dialect->second_look)
		return rc;
	sov_error_clear(err);
	return stat_once(s, name, st, err);
}

enum sov_code
sov_store_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct sov_store *s = (struct sov_store *) p;
	struct sov_call c;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	sov_call_init(&c, "DELETE", name);
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK && c.reply.status == 404)
	{
		rc = s->dialect->absent(s, &c, err);
		/* gone by our own first attempt, whose answer was lost */
		if (rc == SOV_E_NOTFOUND && c.reply.attempts > 1)
			rc = SOV_OK;
	}
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = sov_store_fail(s, &c, "remove object", err);
	sov_call_free(&c);
	return rc;
}

enum sov_code
sov_store_ours(struct sov_store *s, const char *name, const struct sov_put_span *spans, int n, struct sov_error *err)
{
	struct sov_buf there = {0};
	size_t		at = 0;
	bool		same;
	enum sov_code rc = sov_store_get(&s->base, name, 0, UINT64_MAX, &there, err);

	same = rc == SOV_OK;
	for (int i = 0; i < n && same; i++)
	{
		same = there.len - at >= spans[i].len && (spans[i].len == 0 || memcmp(there.data + at, spans[i].data, spans[i].len) == 0);
		at += spans[i].len;
	}
	same = same && at == there.len;
	sov_buf_free(&there);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		return rc;
	return same ? SOV_OK : sov_store_exists(name, err);
}

/* --- lists --- */

bool
sov_listing_key(struct sov_listing *l, const char *key, uint64_t size, int64_t mtime_us, bool in_order)
{
	const char *own = l->relative ? "" : sov_net_prefix(l->store->net);
	size_t		n = strlen(own);
	struct sov_object_stat st = {.size = size, .mtime_us = mtime_us};

	if (in_order && l->last[0] != '\0' && strcmp(key, l->last) <= 0)
	{
		l->backwards = true;
		return false;
	}
	snprintf(l->last, sizeof l->last, "%s", key);
	if (strncmp(key, own, n) != 0 || strncmp(key + n, l->prefix, strlen(l->prefix)) != 0 || !sov_object_name_ok(key + n))
		return true;			/* somebody else's */
	if (l->fn(l->ctx, key + n, &st))
		return true;
	l->stopped = true;
	return false;
}

bool
sov_listing_entry(struct sov_listing *l, struct sov_list_entry *e, const struct sov_list_fields *fields, const char *path, const char *text)
{
	char	   *end;
	bool		more;

	if (strcmp(path, fields->name) == 0)
		snprintf(e->key, sizeof e->key, "%s", text);
	else if (strcmp(path, fields->size) == 0)
	{
		e->size = strtoull(text, &end, 10);
		e->has_size = text[0] >= '0' && text[0] <= '9' && *end == '\0' && e->size <= INT64_MAX;
	}
	else if (strcmp(path, fields->date) == 0)
		e->mtime_us = sov_http_date_us(text);
	if (path[0] != '\0')
		return true;
	if (e->key[0] == '\0' || !e->has_size)
	{
		e->bad = true;
		return false;
	}
	more = sov_listing_key(l, e->key, e->size, e->mtime_us, true);
	memset(e, 0, sizeof *e);
	return more;
}

enum sov_code
sov_listing_check(const struct sov_listing *l, struct sov_error *err)
{
	if (!l->backwards)
		return SOV_OK;
	return sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list goes backwards: it would never end");
}
