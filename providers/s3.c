/*
 * s3.c - a provider that speaks Amazon's S3, version 4 signatures.
 *
 * Sent is only what the protocol needs: no checksum trailers, which clones
 * refuse.  x-amz-content-sha256 is always there, and by default the hash of the
 * body, so that the server notices what the network changed.
 *
 * Put if absent: If-None-Match: * is sent; what a service makes of it differs
 * (412, 501, or it is ignored), so that the object is also looked for before,
 * unless "conditional-put = yes" says that this service really tests and sets.
 *
 * "Not found" is NoSuchKey only; NoSuchBucket, or a 404 without either word, is
 * a provider that is not what it was.
 *
 * Puts in parts are in s3_parts.c, what is left of those that were killed in
 * s3_unfinished.c, lists in s3_list.c, removal and versions in s3_versions.c.
 */
#include <stdio.h>
#include <time.h>

#include "s3_private.h"
#include "xml.h"

#define DEFAULT_PART ((uint64_t) 64 << 20)

/* --- one call --- */

/* What authorize needs for each attempt. */
struct signing
{
	struct s3  *s3;
	struct sov_call *call;
	char		path[700];
	char		hash[65];
};

static enum sov_code
authorize(void *ctx, struct sov_http_request *req, struct sov_http_lines *more, struct sov_error *err)
{
	struct signing *g = ctx;
	struct s3  *s = g->s3;
	struct sov_sign_pair h[SOV_STORE_HEADERS + 6];
	char		now[SOV_SIGN_TIME];
	struct sov_buf value = {0};
	int			n = 0;
	struct sov_sigv4 v = {s->access_key, s->secret_key, s->region, "s3", g->call->method, g->path, g->hash, now,
	g->call->query, g->call->n_query, h, 0};
	enum sov_code rc;

	sov_sign_time((int64_t) time(NULL), now);
	h[n++] = (struct sov_sign_pair) {"host", s->host};
	h[n++] = (struct sov_sign_pair) {"x-amz-content-sha256", g->hash};
	h[n++] = (struct sov_sign_pair) {"x-amz-date", now};
	if (s->session_token != NULL)
		h[n++] = (struct sov_sign_pair) {"x-amz-security-token", s->session_token};
	for (int i = 0; i < g->call->n_headers; i++)
		h[n++] = g->call->headers[i];
	v.n_headers = n;
	rc = sov_sigv4(&v, &value, err);
	for (int i = 0; i < n && rc == SOV_OK; i++)
		sov_http_add(more, "%s: %s", h[i].name, h[i].value);
	if (rc == SOV_OK)
		sov_http_add(more, "Authorization: %.*s", (int) value.len, (const char *) value.data);
	sov_buf_free(&value);
	return rc;
}

static enum sov_code
s3_send(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	struct s3  *s = (struct s3 *) store;
	struct signing g = {.s3 = s, .call = c};
	struct sov_http_request req = {.method = c->method, .authorize = authorize, .ctx = &g, .spans = c->spans,
	.n_spans = c->n_spans, .sink = c->sink, .sink_max = c->sink_max, .repeatable = c->repeatable};
	struct sov_buf url = {0};
	char		md5[25];
	enum sov_code rc = SOV_OK;

	snprintf(g.path, sizeof g.path, "%s/%s%s", s->path, c->name ? sov_net_prefix(store->net) : "", c->name ? c->name : "");
	if (c->n_spans > 0 && !s->sign_payload)
		snprintf(g.hash, sizeof g.hash, "UNSIGNED-PAYLOAD");
	else
		rc = sov_sign_hash(c->spans, c->n_spans > 0 ? c->n_spans : 0, g.hash, err);
	if (rc == SOV_OK && c->n_spans >= 0 && s->content_md5 && (rc = sov_sign_md5(c->spans, c->n_spans, md5, err)) == SOV_OK)
		sov_call_header(c, "content-md5", md5);
	sov_buf_printf(&url, "%s/%s%s%s", s->base, c->name ? sov_net_prefix(store->net) : "", c->name ? c->name : "", c->n_query ? "?" : "");
	if (rc == SOV_OK)
		rc = sov_sigv4_query(c->query, c->n_query, &url, err);
	sov_buf_printf(&url, "%s", "");
	if (rc == SOV_OK && url.bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	req.url = (const char *) url.data;
	if (rc == SOV_OK)
		rc = sov_http_send(store->net, &req, &c->reply, err);
	sov_http_clear(&req.lines);
	sov_buf_free(&url);
	return rc;
}

static void
s3_code(const struct sov_http_reply *reply, char dst[64])
{
	sov_xml_text(&reply->body, "Error/Code", dst, 64);
}

enum sov_code
s3_fail(struct s3 *s, struct sov_call *c, const char *what, struct sov_error *err)
{
	enum sov_code rc = sov_store_fail(&s->store, c, what, err);
	char		code[64],
				region[64];

	s3_code(&c->reply, code);
	if (err == NULL)
		return rc;
	if (strcmp(code, "NoSuchBucket") == 0)
		snprintf(err->hint, sizeof err->hint, "bucket \"%s\" does not exist: make it with the provider's own tools, or correct \"bucket\"", s->bucket);
	else if (sov_http_header(&c->reply, "x-amz-bucket-region", region, sizeof region) && strcmp(region, s->region) != 0 &&
			 strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(region))
		snprintf(err->hint, sizeof err->hint, "the bucket's region is \"%s\": correct \"region\" and \"endpoint\"", region);
	else if (strcmp(code, "AuthorizationHeaderMalformed") == 0)
		snprintf(err->hint, sizeof err->hint, "\"region = %s\" is probably not this endpoint's", s->region);
	else if (s->lock.seconds > 0 && strcmp(code, "InvalidRequest") == 0 && strcmp(c->method, "GET") != 0)
		snprintf(err->hint, sizeof err->hint, "%s", SOV_S3_LOCK_HINT);
	return rc;
}

static enum sov_code
s3_absent(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	struct sov_call again;
	struct sov_buf scratch = {0};
	char		code[64];
	enum sov_code rc;

	s3_code(&c->reply, code);
	if (strcmp(code, "NoSuchKey") == 0)
		return sov_store_notfound(c->name, err);
	if (strcmp(c->method, "HEAD") != 0)
		return s3_fail((struct s3 *) store, c, "ask for object", err);
	/* a reply to HEAD has no body that could tell the key from the bucket */
	sov_call_init(&again, "GET", c->name);
	sov_call_header(&again, "range", "bytes=0-0");
	again.sink = &scratch;
	again.sink_max = 1;
	rc = sov_store_call(store, &again, err);
	if (rc == SOV_OK && !sov_call_ok(&again) && again.reply.status != 416)	/* 416: it is there, and empty */
		rc = again.reply.status == 404 ? s3_absent(store, &again, err) :
			s3_fail((struct s3 *) store, &again, "look again at object", err);
	sov_call_free(&again);
	sov_buf_free(&scratch);
	return rc;
}

/* --- put --- */

static enum sov_code
put_whole(struct s3 *s, const char *name, const struct sov_put_span *spans, int n, bool if_absent, struct sov_error *err)
{
	struct sov_call c;
	bool		conditional = s3_conditional(s, if_absent);
	char		until[SOV_S3_UNTIL];
	enum sov_code rc;

	sov_call_init(&c, "PUT", name);
	sov_s3_lock_ask(&s->lock, &c, until);
	if (conditional)
		sov_call_header(&c, "if-none-match", "*");
	c.spans = spans;
	c.n_spans = n;
	rc = sov_store_call(&s->store, &c, err);
	if (rc != SOV_OK || sov_call_ok(&c))
		;
	else if (conditional && c.reply.status == 412)
		rc = c.reply.attempts > 1 ? sov_store_ours(&s->store, name, spans, n, err) : sov_store_exists(name, err);
	else if (conditional && c.reply.status == 501 && s->conditional == COND_TRY)
	{
		s->no_conditional = true;
		sov_call_free(&c);
		return put_whole(s, name, spans, n, if_absent, err);
	}
	else
		rc = s3_fail(s, &c, "put object", err);
	sov_call_free(&c);
	return rc;
}

static enum sov_code
s3_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
	   bool if_absent, struct sov_error *err)
{
	struct s3  *s = (struct s3 *) p;
	struct sov_object_stat st;
	uint64_t	total = 0;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	for (int i = 0; i < n_spans; i++)
		total += spans[i].len;
	if (if_absent && (s->conditional != COND_YES || total > s->part_size))
	{
		rc = sov_store_stat(p, name, &st, err);
		if (rc != SOV_E_NOTFOUND)
			return rc == SOV_OK ? sov_store_exists(name, err) : rc;
		sov_error_clear(err);
	}
	rc = total > s->part_size ? s3_put_parts(s, name, spans, n_spans, total, if_absent, err) :
		put_whole(s, name, spans, n_spans, if_absent, err);
	return rc == SOV_OK ? sov_s3_lock_prove(&s->lock, &s->store, name, err) : rc;
}

/* --- open --- */

/* A path as it is signed: all but what is encoded already. */
static bool
encode_path(const char *text, char *dst, size_t cap)
{
	struct sov_buf b = {0};
	char		one[2] = "";
	bool		good;

	for (; *text != '\0'; text++)
	{
		one[0] = *text;
		if (*text == '/' || *text == '%')
			sov_write_u8(&b, (uint8_t) *text);
		else
			sov_url_encode(&b, one);
	}
	good = !b.bad && b.len < cap;
	if (good && b.len > 0)
		memcpy(dst, b.data, b.len);
	if (good)
		dst[b.len] = '\0';
	sov_buf_free(&b);
	return good;
}

/* URL, path and Host of the bucket. */
static enum sov_code
place(struct s3 *s, struct sov_error *err)
{
	const char *endpoint = sov_net_endpoint(s->store.net);
	const char *host = strstr(endpoint, "://") + 3;
	size_t		n = strcspn(host, "/");
	bool		tls = strncmp(endpoint, "https:", 6) == 0;
	const char *usual = tls ? ":443" : ":80";
	char		authority[300],
				path[sizeof s->path];
	char	   *zone;

	if (n >= sizeof authority - sizeof s->bucket || !encode_path(host + n, path, sizeof path - sizeof s->bucket))
		return sov_fail(err, SOV_E_CONFIG, NULL, "\"endpoint\" is too long");
	if (s->virtual_host && host[0] == '[')
		return sov_fail(err, SOV_E_CONFIG, "addressing = path", "\"addressing = virtual\" needs an endpoint with a name, not with an address");
	if (n > strlen(usual) && strncmp(host + n - strlen(usual), usual, strlen(usual)) == 0)
		snprintf(authority, sizeof authority, "%.*s", (int) (n - strlen(usual)), host);	/* libcurl leaves the usual port out of Host */
	else
		snprintf(authority, sizeof authority, "%.*s", (int) n, host);
	if (s->virtual_host)
	{
		snprintf(s->host, sizeof s->host, "%s.%s", s->bucket, authority);
		snprintf(s->path, sizeof s->path, "%s", path);
	}
	else
	{
		snprintf(s->host, sizeof s->host, "%s", authority);
		snprintf(s->path, sizeof s->path, "%s/%s", path, s->bucket);
	}
	snprintf(s->base, sizeof s->base, "%s://%s%s", tls ? "https" : "http", s->host, s->path);
	/* the zone of an address is this host's affair (RFC 6874): not in Host */
	if (s->host[0] == '[' && (zone = strchr(s->host, '%')) != NULL)
		memmove(zone, strchr(zone, ']'), strlen(strchr(zone, ']')) + 1);
	return SOV_OK;
}

static enum sov_code
settings(struct s3 *s, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *bucket = sov_option_text(cfg, "bucket", ""),
			   *conditional = sov_option_text(cfg, "conditional-put", "try");
	enum sov_code rc = sov_option_plain("bucket", bucket, sizeof s->bucket - 1, err);

	if (rc == SOV_OK && strchr(bucket, '/') != NULL)
		rc = sov_fail(err, SOV_E_CONFIG, "put what follows the / into \"prefix\"", "\"bucket\" holds a /");
	if (rc == SOV_OK)
		rc = sov_option_plain("region", sov_option_text(cfg, "region", ""), sizeof s->region - 1, err);
	if (rc == SOV_OK)
		rc = sov_net_need(s->store.net, "access-key", &s->access_key, err);
	if (rc == SOV_OK)
		rc = sov_net_need(s->store.net, "secret-key", &s->secret_key, err);
	if (rc != SOV_OK)
		return rc;
	s->session_token = sov_net_secret(s->store.net, "session-token");
	snprintf(s->bucket, sizeof s->bucket, "%s", bucket);
	snprintf(s->region, sizeof s->region, "%s", sov_option_text(cfg, "region", ""));
	s->virtual_host = strcmp(sov_option_text(cfg, "addressing", "path"), "virtual") == 0;
	s->list_v1 = sov_option_number(cfg, "list-version", 2) == 1;
	s->lock.seconds = sov_option_duration(cfg, "object-lock", 0);
	s->lock.governance = strcmp(sov_option_text(cfg, "object-lock-mode", "compliance"), "governance") == 0;
	s->content_md5 = sov_option_bool(cfg, "content-md5", false) || s->lock.seconds > 0;	/* the lock wants a checksum */
	s->sign_payload = sov_option_bool(cfg, "sign-payload", true);
	s->part_size = sov_option_size(cfg, "part-size", DEFAULT_PART);
	s->max_parts = sov_option_number(cfg, "max-parts", 10000);
	s->conditional = strcmp(conditional, "yes") == 0 ? COND_YES : strcmp(conditional, "no") == 0 ? COND_NO : COND_TRY;
	s->store.ops.caps.locks = s->lock.seconds > 0;
	s->store.ops.caps.atomic_create = s->conditional == COND_YES;
	return place(s, err);
}

static bool
stop_at_once(void *ctx, const char *name, const struct sov_object_stat *st)
{
	return false;
}

/* And whether a lock keeps it. */
static enum sov_code
s3_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_call c;
	char		until[64];
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = sov_store_look((struct sov_store *) p, name, st, &c, err);
	st->locked = rc == SOV_OK && sov_s3_locked(&c, until);
	sov_call_free(&c);
	return rc;
}

static void
s3_close(struct sov_provider *p)
{
	sov_store_close((struct sov_store *) p);
}

static const struct sov_dialect s3_dialect = {s3_send, s3_absent, s3_code, false};

static enum sov_code
s3_open(const struct sov_provider_config *cfg, struct sov_provider **out, struct sov_error *err)
{
	struct sov_store *store;
	enum sov_code rc = sov_store_open(cfg, sizeof(struct s3), &sov_s3_ops, &s3_dialect, &store, err);

	if (rc != SOV_OK)
		return rc;
	rc = settings((struct s3 *) store, cfg, err);
	if (rc == SOV_OK)			/* one page: says whether bucket, region and credentials are right */
		rc = s3_list(&store->base, "id", stop_at_once, NULL, err);
	if (rc != SOV_OK)
	{
		sov_store_close(store);
		return rc;
	}
	*out = &store->base;
	return SOV_OK;
}

static const struct sov_provider_key s3_keys[] = {
	SOV_HTTP_KEYS,
	{.name = "bucket", .kind = SOV_KEY_TEXT, .required = true, .example = "backups"},
	{.name = "region", .kind = SOV_KEY_TEXT, .required = true, .example = "eu-west-1"},
	{.name = "addressing", .kind = SOV_KEY_CHOICE, .example = "path|virtual"},
	{.name = "list-page", .kind = SOV_KEY_NUMBER, .example = "1000", .min = 1, .max = 1000},
	{.name = "list-version", .kind = SOV_KEY_NUMBER, .example = "2", .min = 1, .max = 2},
	{.name = "conditional-put", .kind = SOV_KEY_CHOICE, .example = "try|yes|no"},
	{.name = "content-md5", .kind = SOV_KEY_BOOL, .example = "no"},
	{.name = "object-lock", .kind = SOV_KEY_DURATION, .example = "30d", .min = 1, .max = (uint64_t) 3660 * 86400},
	{.name = "object-lock-mode", .kind = SOV_KEY_CHOICE, .example = "compliance|governance"},
	{.name = "sign-payload", .kind = SOV_KEY_BOOL, .example = "yes"},
	{.name = "part-size", .kind = SOV_KEY_SIZE, .example = "64MB", .min = S3_PART_MIN, .max = S3_PART_MAX},
	{.name = "max-parts", .kind = SOV_KEY_NUMBER, .example = "10000", .min = 10, .max = 10000},
	{.name = NULL}
};

const struct sov_provider_ops sov_s3_ops = {
	.keys = s3_keys,
	.caps = {.scheme = "s3", .threads = true, .atomic_create = false,
	.max_object = SOV_STORE_OBJECT_MAX, .parallel = 4},
	.open = s3_open,
	.put = s3_put,
	.get = sov_store_get,
	.stat = s3_stat,
	.list = s3_list,
	.remove = s3_remove,
	.older = s3_older,
	.hidden = s3_hidden,
	.sweep = s3_sweep,
	.close = s3_close,
};
