/*
 * http.c - sends one request over a pooled connection and reads its reply.
 *
 * Bodies go from the caller's spans into libcurl's send buffer, that is the one
 * copy.  Reply bodies and headers are bounded: a success's body by the caller,
 * an error's body and all headers by constants.
 *
 * An answer that is not sure is never taken for one: a body that is shorter
 * than its Content-Length, a reply of status 1xx, or an unexpected protocol are
 * errors of the transfer.
 *
 * The head of a reply is read in http_head.c.
 */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sov_secret.h"
#include "sov_stop.h"

#define ERROR_BODY_MAX 65536
#define RETRY_FIRST_MS 200
#define WAIT_STEP_MS 100
#define RETRY_AFTER_MAX_MS 30000	/* a server that asks for more gets its error told */

struct transfer
{
	struct sov_net *net;
	struct sov_conn *conn;
	struct sov_http_request *req;
	struct sov_http_reply *reply;
	int			span;			/* position in the body that is sent */
	size_t		at;
	size_t		sink_start;
	bool		too_long;
};

/* --- small helpers --- */

void
sov_http_add(struct sov_http_lines *l, const char *fmt, ...)
{
	va_list		ap;

	if (l->n == SOV_HTTP_LINES)
	{
		l->bad = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&l->line[l->n], fmt, ap) < 0)
		l->bad = true;
	else
		l->n++;
	va_end(ap);
}

void
sov_http_clear(struct sov_http_lines *l)
{
	for (int i = 0; i < l->n; i++)
	{
		sov_wipe(l->line[i], strlen(l->line[i]));
		free(l->line[i]);
	}
	memset(l, 0, sizeof *l);
}

void
sov_http_reply_free(struct sov_http_reply *reply)
{
	if (reply->head.data != NULL)	/* may hold a token */
		sov_wipe(reply->head.data, reply->head.len);
	sov_buf_free(&reply->head);
	sov_buf_free(&reply->body);
}

void
sov_buf_printf(struct sov_buf *b, const char *fmt, ...)
{
	va_list		ap;
	int			n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !sov_buf_reserve(b, (size_t) n + 1))
		return;
	va_start(ap, fmt);
	vsnprintf((char *) b->data + b->len, (size_t) n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t) n;
}

void
sov_url_encode(struct sov_buf *dst, const char *text)
{
	for (; *text != '\0'; text++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", *text) != NULL)
			sov_buf_printf(dst, "%c", *text);
		else
			sov_buf_printf(dst, "%%%02X", (unsigned char) *text);
}

/* --- libcurl's callbacks --- */

static size_t
on_header(char *data, size_t one, size_t n, void *user)
{
	struct transfer *t = user;

	sov_http_take_header(t->reply, data, n);
	return t->reply->head.bad ? 0 : n;
}

static size_t
on_body(char *data, size_t one, size_t n, void *user)
{
	struct transfer *t = user;
	struct sov_http_request *req = t->req;
	long		status = 0;

	for (size_t paced = 0; paced < n;)
		paced += sov_net_pace(t->net, n - paced);
	curl_easy_getinfo(t->conn->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300 && req->sink != NULL)
	{
		if (req->sink->len - t->sink_start + n > req->sink_max)
		{
			t->too_long = true;
			return 0;
		}
		sov_write_bytes(req->sink, data, n);
		return req->sink->bad ? 0 : n;
	}
	/* of an error, the beginning is enough */
	if (t->reply->body.len + n <= ERROR_BODY_MAX)
		sov_write_bytes(&t->reply->body, data, n);
	else if (status < 400)
		t->too_long = true;
	return t->reply->body.bad || t->too_long ? 0 : n;
}

static size_t
on_send(char *dst, size_t one, size_t cap, void *user)
{
	struct transfer *t = user;
	const struct sov_put_span *s = t->req->spans;
	size_t		done = 0;

	cap = sov_net_pace(t->net, cap);
	while (done < cap && t->span < t->req->n_spans)
	{
		size_t		n = s[t->span].len - t->at;

		if (n > cap - done)
			n = cap - done;
		if (n > 0)
			memcpy(dst + done, (const char *) s[t->span].data + t->at, n);
		done += n;
		t->at += n;
		if (t->at == s[t->span].len)
		{
			t->span++;
			t->at = 0;
		}
	}
	return done;
}

/* libcurl sends the body again, from its start, when a kept connection turns
 * out to be closed. */
static int
on_seek(void *user, curl_off_t offset, int origin)
{
	struct transfer *t = user;

	if (offset != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	t->span = 0;
	t->at = 0;
	return CURL_SEEKFUNC_OK;
}

/* --- one attempt --- */

static enum sov_code
header_list(const struct sov_http_lines *a, const struct sov_http_lines *b, struct curl_slist **list, struct sov_error *err)
{
	const struct sov_http_lines *both[2] = {a, b};
	struct curl_slist *next = curl_slist_append(NULL, "Expect:");

	*list = next;
	for (int i = 0; i < 2 && next != NULL; i++)
		for (int j = 0; j < both[i]->n && next != NULL; j++)
		{
			next = curl_slist_append(*list, both[i]->line[j]);
			*list = next ? next : *list;
		}
	if (next == NULL || a->bad || b->bad)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return SOV_OK;
}

static void
wipe_list(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l != NULL; l = l->next)
		sov_wipe(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

static void
set_request(struct transfer *t, struct curl_slist *list)
{
	CURL	   *e = t->conn->easy;
	curl_off_t	total = 0;

	curl_easy_setopt(e, CURLOPT_URL, t->req->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "pg_sovereign/" SOV_VERSION);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	if (strcmp(t->req->method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else if (t->req->n_spans >= 0)
	{
		for (int i = 0; i < t->req->n_spans; i++)
			total += (curl_off_t) t->req->spans[i].len;
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, total);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(e, CURLOPT_READDATA, t);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->req->method);
	}
	else
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->req->method);
}

/* *lost: the connection broke; whether the server did it is not known. */
static enum sov_code
attempt(struct transfer *t, bool *lost, struct sov_error *err)
{
	struct sov_http_lines more = {.n = 0};
	struct curl_slist *list = NULL;
	long		status = 0;
	char		text[200];
	uint64_t	length;
	CURLcode	rc;
	enum sov_code code = SOV_OK;

	*lost = false;
	t->reply->head.len = t->reply->body.len = 0;
	t->reply->final = t->reply->over = false;
	t->span = 0;
	t->at = 0;
	if (t->req->authorize != NULL)
		code = t->req->authorize(t->req->ctx, t->req, &more, err);
	if (code == SOV_OK)
		code = header_list(&t->req->lines, &more, &list, err);
	if (code == SOV_OK && (t->conn = sov_net_take(t->net, err)) == NULL)
		code = SOV_E_NOMEM;
	if (code == SOV_OK)
	{
		set_request(t, list);
		rc = sov_net_perform(t->net, t->conn);
		curl_easy_getinfo(t->conn->easy, CURLINFO_RESPONSE_CODE, &status);
		t->reply->status = (int) status;
		if (t->too_long)
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's reply is longer than what was asked for");
		else if (rc != CURLE_OK)
			code = sov_net_fail(t->conn, rc, "the server could not be asked", err);
		else if (sov_http_header(t->reply, "content-length", text, sizeof text) && !sov_http_header_number(t->reply, "content-length", &length))
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's reply has a length that is none");
		else if (status < 200 || status > 599)
			code = sov_fail(err, SOV_E_PROVIDER, "is \"endpoint\" right?", "the server's reply is not HTTP");
		*lost = rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING || rc == CURLE_PARTIAL_FILE;
		sov_net_give(t->net, t->conn);
	}
	wipe_list(list);
	sov_http_clear(&more);
	return code;
}

/* --- attempts --- */

static void
wait_ms(long ms)
{
	struct timespec ts = {0, WAIT_STEP_MS * 1000000L};

	for (; ms > 0 && !sov_stopped(); ms -= WAIT_STEP_MS)
	{
		if (ms < WAIT_STEP_MS)
			ts.tv_nsec = ms * 1000000L;
		nanosleep(&ts, NULL);
	}
}

/* Retry-After, a number of seconds or a date, which counts by the server's own clock. */
static bool
retry_after(const struct sov_http_reply *reply, uint64_t *seconds)
{
	char		text[64];
	int64_t		then_us,
				now_us = 0;

	if (sov_http_header_number(reply, "retry-after", seconds))
		return true;
	if (!sov_http_header(reply, "retry-after", text, sizeof text) || (then_us = sov_http_date_us(text)) == 0)
		return false;
	if (sov_http_header(reply, "date", text, sizeof text))
		now_us = sov_http_date_us(text);
	if (now_us == 0)
		now_us = (int64_t) time(NULL) * 1000000;
	*seconds = then_us > now_us ? (uint64_t) (then_us - now_us + 999999) / 1000000 : 0;
	return true;
}

/* How long to wait before the next attempt, or -1 to give up. */
static long
next_wait(const struct transfer *t, enum sov_code code, bool lost, int done)
{
	int			status = code == SOV_OK ? t->reply->status : 0;
	long		ms = (long) RETRY_FIRST_MS << done;
	uint64_t	after;

	if (done >= sov_net_retries(t->net) || sov_stopped())
		return -1;
	if (code != SOV_OK)
		return lost && t->req->repeatable && done == 0 ? 0 : -1;
	if (status == 429 || status == 503)
	{
		if (retry_after(t->reply, &after))
		{
			if (after > RETRY_AFTER_MAX_MS / 1000)
				return -1;
			if ((long) after * 1000 > ms)
				ms = (long) after * 1000;
		}
	}
	else if (!(t->req->repeatable && (status == 500 || status == 502 || status == 504)))
		return -1;
	/* those who were sent away together do not come back together */
	return ms + (long) ((uintptr_t) t >> 4) % (ms / 2);
}

enum sov_code
sov_http_send(struct sov_net *net, struct sov_http_request *req, struct sov_http_reply *reply, struct sov_error *err)
{
	struct transfer t = {.net = net, .req = req, .reply = reply, .sink_start = req->sink ? req->sink->len : 0};
	enum sov_code code;
	bool		lost;
	long		wait;

	memset(reply, 0, sizeof *reply);
	for (int done = 0;; done++)
	{
		code = attempt(&t, &lost, err);
		reply->attempts = done + 1;
		wait = next_wait(&t, code, lost, done);
		if (wait < 0)
			break;
		if (req->sink != NULL)
			req->sink->len = t.sink_start;
		wait_ms(wait);
	}
	if (req->sink != NULL && (code != SOV_OK || reply->status < 200 || reply->status > 299))
		req->sink->len = t.sink_start;
	return code;
}

/* --- errors --- */

struct advice
{
	int			status;
	const char *hint;
};

static const char *
hint_for(int status)
{
	static const struct advice table[] = {
		{301, "the server sends elsewhere, and redirects are not followed: correct \"endpoint\" and \"region\""},
		{302, "the server sends elsewhere, and redirects are not followed: correct \"endpoint\""},
		{307, "the server sends elsewhere, and redirects are not followed: correct \"endpoint\" and \"region\""},
		{308, "the server sends elsewhere, and redirects are not followed: correct \"endpoint\""},
		{401, "are the credentials right, and is this host's clock?"},
		{403, "may these credentials do this, are they right, and is this host's clock?"},
		{404, "is \"endpoint\" right, and has the bucket, container or folder been made?"},
		{407, "the proxy wants proxy-user and proxy-password in the credentials file"},
		{429, "the provider limits requests: lower \"parallel\", or set \"max-rate\""},
		{503, "the provider is overloaded or down: it is tried again later"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (table[i].status == status)
			return table[i].hint;
	return NULL;
}

/* A plain word, and none of ours that a server sends back. */
static bool
showable(const struct sov_net *net, const char *code)
{
	size_t		n = strlen(code);

	return n > 0 && n <= 60 && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == n &&
		!sov_net_leaks(net, code);
}

#define CLOCK_OFF_S 300

/* A refusal may be because of the clock, whatever the service's word for that is. */
static void
look_at_clock(const struct sov_http_reply *reply, struct sov_error *err)
{
	char		text[64];
	int64_t		date_us,
				off;

	if (!sov_http_header(reply, "date", text, sizeof text) || (date_us = sov_http_date_us(text)) == 0)
		return;
	off = (int64_t) time(NULL) - date_us / 1000000;
	if (off > CLOCK_OFF_S || off < -CLOCK_OFF_S)
		snprintf(err->hint, sizeof err->hint, "this host's clock is %lld s off the server's: set it", (long long) off);
}

enum sov_code
sov_http_fail(struct sov_net *net, const struct sov_http_reply *reply, const char *code,
			  const char *what, struct sov_error *err)
{
	int			s = reply->status;
	bool		full = s == 507 || strcmp(code, "QuotaExceeded") == 0 || strcmp(code, "InsufficientStorage") == 0;
	enum sov_code rc = full ? SOV_E_FULL : SOV_E_PROVIDER;

	if (showable(net, code))
		sov_fail(err, rc, hint_for(s), "%s: the server answers %d %s", what, s, code);
	else
		sov_fail(err, rc, hint_for(s), "%s: the server answers %d", what, s);
	if (err != NULL && (s == 401 || s == 403))
		look_at_clock(reply, err);
	if (err != NULL)
		err->refused = s == 403 || s == 405 || strcmp(code, "BlobImmutableDueToPolicy") == 0;
	if (err != NULL)
		err->retryable = full || s == 408 || s == 409 || s == 429 || s >= 500;
	return rc;
}
