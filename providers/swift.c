/*
 * swift.c - a provider that speaks OpenStack Swift's own protocol.
 *
 * Two ways in: tempauth's version 1 (endpoint is .../auth/v1.0; "user" and
 * "password" of the credentials file) and Keystone version 3 with a password
 * (endpoint is .../v3; project, domains and region choose the service of type
 * object-store in the catalogue of the token).  The token is kept in locked
 * memory, got anew when the server answers 401, once per call.
 *
 * Replies to absent objects and absent containers look the same, so a 404 is
 * "not found" only when the container still answers.  If-None-Match: * is a
 * tested before the object arrives (412): best effort.
 *
 * While an object is overwritten, a server may look for its old file when that
 * has just gone; "not found" is asked twice.
 *
 * Removal, and containers that keep versions, are in swift_versions.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sov_secret.h"
#include "swift_private.h"

#define TOKEN_MAX 8192
#define SIGNS_MAX 500000		/* of JSON; a page of 10,000 entries has 200,000 */

/* --- tokens --- */

/* Keep what an authentication gave. */
static enum sov_code
keep_token(struct swift *s, const struct sov_http_reply *reply, const char *header, const char *storage, struct sov_error *err)
{
	size_t		n = strlen(storage);

	while (n > 0 && storage[n - 1] == '/')
		n--;
	if (!sov_http_header(reply, header, s->token, TOKEN_MAX) || s->token[0] == '\0')
		return sov_fail(err, SOV_E_PROVIDER, "is \"endpoint\" the address of the authentication?", "the server gives no token");
	if ((strncmp(storage, "https://", 8) != 0 && strncmp(storage, "http://", 7) != 0) || n >= sizeof s->storage)
		return sov_fail(err, SOV_E_PROVIDER, "give it with storage-url = URL", "the server does not tell where the objects are");
	/* a token may not leave an encrypted connection by the server's word */
	if (strncmp(sov_net_endpoint(s->store.net), "https://", 8) == 0 && strncmp(storage, "https://", 8) != 0)
		return sov_fail(err, SOV_E_PROVIDER, "give an address with https:// with storage-url = URL", "the server sends from https to http");
	memcpy(s->storage, storage, n);
	s->storage[n] = '\0';
	return SOV_OK;
}

static void
swift_code(const struct sov_http_reply *reply, char dst[64])
{
	dst[0] = '\0';				/* Swift's errors are pages for people */
}

static enum sov_code
auth_fail(struct swift *s, const struct sov_http_reply *reply, struct sov_error *err)
{
	return sov_http_fail(s->store.net, reply, "", "could not authenticate", err);
}

static enum sov_code
authenticate_v1(struct swift *s, const char *fixed, struct sov_error *err)
{
	struct sov_http_request req = {.method = "GET", .url = sov_net_endpoint(s->store.net), .n_spans = -1, .repeatable = true};
	struct sov_http_reply reply;
	char		storage[sizeof s->storage] = "";
	enum sov_code rc;

	sov_http_add(&req.lines, "X-Auth-User: %s", s->user);
	sov_http_add(&req.lines, "X-Auth-Key: %s", s->password);
	rc = sov_http_send(s->store.net, &req, &reply, err);
	sov_http_clear(&req.lines);
	if (rc == SOV_OK && (reply.status < 200 || reply.status > 299))
		rc = auth_fail(s, &reply, err);
	if (rc == SOV_OK)
	{
		sov_http_header(&reply, "x-storage-url", storage, sizeof storage);
		rc = keep_token(s, &reply, "x-auth-token", fixed ? fixed : storage, err);
	}
	sov_http_reply_free(&reply);
	return rc;
}

static bool
matches(const json_t *object, const char *name, const char *wanted)
{
	const char *value = json_string_value(json_object_get(object, name));

	return wanted[0] == '\0' || (value != NULL && strcmp(value, wanted) == 0);
}

/*
 * Read, a value takes a hundred times the room of its text: what no server would send of
 * itself is not read.  Each value but the first stands behind one of these signs.
 */
json_t *
sov_swift_json(const void *data, size_t len)
{
	const char *text = data ? data : "";
	size_t		signs = 0;

	for (size_t i = 0; i < len; i++)
		signs += text[i] == ',' || text[i] == ':' || text[i] == '[' || text[i] == '{';
	return signs > SIGNS_MAX ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
}

/* The URL of the object store in a token's catalogue. */
bool
sov_swift_catalogue(const void *data, size_t len, const char *region, const char *interface, char *url, size_t cap)
{
	json_t	   *root = sov_swift_json(data, len),
			   *service,
			   *endpoint;
	size_t		i,
				j;
	bool		found = false;

	json_array_foreach(json_object_get(json_object_get(root, "token"), "catalog"), i, service)
	{
		if (!matches(service, "type", "object-store"))
			continue;
		json_array_foreach(json_object_get(service, "endpoints"), j, endpoint)
		{
			const char *text = json_string_value(json_object_get(endpoint, "url"));

			if (!found && text != NULL && strlen(text) < cap && matches(endpoint, "interface", interface) &&
				(matches(endpoint, "region", region) || matches(endpoint, "region_id", region)))
			{
				snprintf(url, cap, "%s", text);
				found = true;
			}
		}
	}
	json_decref(root);
	return found;
}

/* The body of the request, in locked memory as it holds the password. */
static char *
keystone_body(const struct swift *s, struct sov_error *err)
{
	json_t	   *root = json_pack("{s:{s:{s:[s],s:{s:{s:s,s:s,s:{s:s}}}},s:{s:{s:s,s:{s:s}}}}}",
								 "auth", "identity", "methods", "password", "password", "user",
								 "name", s->user, "password", s->password, "domain", "name", s->user_domain,
								 "scope", "project", "name", s->project, "domain", "name", s->project_domain);
	size_t		n = root ? json_dumpb(root, NULL, 0, JSON_COMPACT) : 0;
	char	   *body = n > 0 ? sov_secret_alloc(n + 1, err) : NULL;

	if (body != NULL)
		json_dumpb(root, body, n, JSON_COMPACT);
	else if (n == 0)
		sov_fail(err, SOV_E_CONFIG, "they must be UTF-8", "the names or the password for Keystone cannot be sent");
	json_decref(root);
	return body;
}

static enum sov_code
authenticate_v3(struct swift *s, const char *fixed, struct sov_error *err)
{
	struct sov_http_request req = {.method = "POST", .n_spans = 1, .repeatable = true, .sink_max = 4 << 20};
	struct sov_http_reply reply = {0};
	struct sov_buf doc = {0};
	struct sov_put_span span;
	char		url[600],
				storage[sizeof s->storage] = "";
	char	   *body = keystone_body(s, err);
	enum sov_code rc;

	if (body == NULL)
		return SOV_E_NOMEM;
	span.data = body;
	span.len = strlen(body);
	req.spans = &span;
	req.sink = &doc;
	req.url = url;
	snprintf(url, sizeof url, "%s/auth/tokens", sov_net_endpoint(s->store.net));
	sov_http_add(&req.lines, "Content-Type: application/json");
	rc = sov_http_send(s->store.net, &req, &reply, err);
	sov_http_clear(&req.lines);
	if (rc == SOV_OK && (reply.status < 200 || reply.status > 299))
		rc = auth_fail(s, &reply, err);
	if (rc == SOV_OK && fixed == NULL && !sov_swift_catalogue(doc.data, doc.len, s->region, s->interface, storage, sizeof storage))
		rc = sov_fail(err, SOV_E_PROVIDER, "correct \"region\" and \"interface\", or give its address with storage-url = URL",
					  "the catalogue of the token has no object store for region \"%s\" and interface \"%s\"", s->region, s->interface);
	if (rc == SOV_OK)
		rc = keep_token(s, &reply, "x-subject-token", fixed ? fixed : storage, err);
	sov_secret_free(body);
	sov_http_reply_free(&reply);
	sov_buf_free(&doc);
	return rc;
}

/* Make sure there is a token later than "old"; one thread asks, others wait. */
static enum sov_code
renew(struct swift *s, uint64_t old, const char *fixed, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&s->lock);
	if (s->generation == old)
	{
		rc = s->keystone ? authenticate_v3(s, fixed, err) : authenticate_v1(s, fixed, err);
		if (rc == SOV_OK)
			s->generation++;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* --- calls --- */

static enum sov_code
authorize(void *ctx, struct sov_http_request *req, struct sov_http_lines *more, struct sov_error *err)
{
	struct swift *s = ctx;

	pthread_mutex_lock(&s->lock);
	sov_http_add(more, "X-Auth-Token: %s", s->token);
	pthread_mutex_unlock(&s->lock);
	return SOV_OK;
}

static enum sov_code
send_once(struct swift *s, struct sov_call *c, uint64_t *generation, struct sov_error *err)
{
	struct sov_http_request req = {.method = c->method, .authorize = authorize, .ctx = s, .spans = c->spans,
	.n_spans = c->n_spans, .sink = c->sink, .sink_max = c->sink_max, .repeatable = c->repeatable};
	struct sov_buf url = {0};
	enum sov_code rc;

	pthread_mutex_lock(&s->lock);
	*generation = s->generation;
	sov_buf_printf(&url, "%s/%s", s->storage, s->container);
	pthread_mutex_unlock(&s->lock);
	if (c->name != NULL)
		sov_buf_printf(&url, "/%s%s", sov_net_prefix(s->store.net), c->name);
	sov_buf_printf(&url, "%s", c->n_query ? "?" : "");
	rc = sov_sigv4_query(c->query, c->n_query, &url, err);
	sov_buf_printf(&url, "%s", "");
	for (int i = 0; i < c->n_headers; i++)
		sov_http_add(&req.lines, "%s: %s", c->headers[i].name, c->headers[i].value);
	req.url = (const char *) url.data;
	if (rc == SOV_OK)
		rc = url.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : sov_http_send(s->store.net, &req, &c->reply, err);
	sov_http_clear(&req.lines);
	sov_buf_free(&url);
	return rc;
}

static enum sov_code
swift_send(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	struct swift *s = (struct swift *) store;
	uint64_t	generation;
	enum sov_code rc = send_once(s, c, &generation, err);

	if (rc != SOV_OK || c->reply.status != 401)
		return rc;
	rc = renew(s, generation, NULL, err);
	if (rc != SOV_OK)
		return rc;
	sov_call_free(c);
	return send_once(s, c, &generation, err);
}

/* A 404 of an object is definite when the container is there. */
static enum sov_code
swift_absent(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	struct swift *s = (struct swift *) store;
	struct sov_call again;
	enum sov_code rc;

	sov_call_init(&again, "HEAD", NULL);
	rc = sov_store_call(store, &again, err);
	if (rc == SOV_OK && sov_call_ok(&again))
		rc = sov_store_notfound(c->name, err);
	else if (rc == SOV_OK)
	{
		rc = sov_store_fail(store, &again, "find the container", err);
		if (err != NULL && again.reply.status == 404)
			snprintf(err->hint, sizeof err->hint, "container \"%s\" does not exist: make it with the provider's own tools, or correct \"container\"", s->container);
	}
	sov_call_free(&again);
	return rc;
}

static enum sov_code
swift_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		  bool if_absent, struct sov_error *err)
{
	struct sov_store *s = (struct sov_store *) p;
	struct sov_call c;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	sov_call_init(&c, "PUT", name);
	sov_call_header(&c, "content-type", "application/octet-stream");
	if (if_absent)
		sov_call_header(&c, "if-none-match", "*");
	c.spans = spans;
	c.n_spans = n_spans;
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK && if_absent && c.reply.status == 412)
		rc = c.reply.attempts > 1 ? sov_store_ours(s, name, spans, n_spans, err) : sov_store_exists(name, err);
	else if (rc == SOV_OK && c.reply.status == 404)
	{
		rc = s->dialect->absent(s, &c, err);	/* puts the container's name into the hint */
		if (rc == SOV_E_NOTFOUND)
			rc = sov_store_fail(s, &c, "put object", err);
	}
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = sov_store_fail(s, &c, "put object", err);
	sov_call_free(&c);
	return rc;
}

/* --- list --- */

static void
see_keeping(struct swift *s, const struct sov_http_reply *reply)
{
	char		text[300];

	if (sov_http_header(reply, "x-versions-enabled", text, sizeof text) && strcasecmp(text, "true") == 0)
		s->keeps = KEEPS_VERSIONS;
	else if (sov_http_header(reply, "x-versions-location", text, sizeof text))
		s->keeps = KEEPS_STACK;
	else if (sov_http_header(reply, "x-history-location", text, sizeof text))
		s->keeps = KEEPS_HISTORY;
	else
		s->keeps = KEEPS_NOTHING;
}

/* One page; *n is how many entries it had, next (of cap bytes) the last name. */
enum sov_code
sov_swift_read_page(const void *data, size_t len, struct sov_listing *list, size_t *n, char *next, size_t cap, struct sov_error *err)
{
	json_t	   *root = sov_swift_json(data, len),
			   *entry;
	size_t		i;
	bool		good = json_is_array(root),
				more = true;

	*n = good ? json_array_size(root) : 0;
	json_array_foreach(root, i, entry)
	{
		const char *name = json_string_value(json_object_get(entry, "name")),
				   *date = json_string_value(json_object_get(entry, "last_modified"));
		json_t	   *bytes = json_object_get(entry, "bytes");

		if (!good || !more)
			break;
		good = name != NULL && strlen(name) < cap && json_is_integer(bytes) && json_integer_value(bytes) >= 0;
		if (!good)
			break;
		more = sov_listing_key(list, name, (uint64_t) json_integer_value(bytes), date ? sov_http_date_us(date) : 0, true);
		snprintf(next, cap, "%s", name);
	}
	json_decref(root);
	if (!good)
		return sov_fail(err, SOV_E_PROVIDER, "is \"endpoint\" right, and no proxy between?", "the server's list is not one");
	return sov_listing_check(list, err);
}

static enum sov_code
swift_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct swift *s = (struct swift *) p;
	struct sov_listing list = {.store = &s->store, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_buf doc = {0};
	char		whole[400],
				next[1100] = "";
	size_t		n = 1;
	enum sov_code rc = SOV_OK;

	snprintf(whole, sizeof whole, "%s%s", sov_net_prefix(s->store.net), prefix);
	for (int page = 0; n > 0 && rc == SOV_OK && !list.stopped; page++)
	{
		struct sov_call c;

		if (page == PAGE_MAX)
		{
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not end");
			break;
		}
		sov_call_init(&c, "GET", NULL);
		sov_call_query(&c, "format", "json");
		sov_call_query(&c, "limit", s->store.list_page);
		sov_call_query(&c, "prefix", whole);
		if (next[0] != '\0')
			sov_call_query(&c, "marker", next);
		doc.len = 0;
		c.sink = &doc;
		c.sink_max = SOV_STORE_LIST_MAX;
		rc = sov_store_call(&s->store, &c, err);
		n = 0;
		if (rc == SOV_OK && sov_call_ok(&c))
			see_keeping(s, &c.reply);
		if (rc == SOV_OK && c.reply.status == 404)
		{
			rc = sov_store_fail(&s->store, &c, "list the container", err);
			if (err != NULL)
				snprintf(err->hint, sizeof err->hint, "container \"%s\" does not exist: make it with the provider's own tools, or correct \"container\"", s->container);
		}
		else if (rc == SOV_OK && c.reply.status != 204)
			rc = sov_call_ok(&c) ? sov_swift_read_page(doc.data, doc.len, &list, &n, next, sizeof next, err) :
				sov_store_fail(&s->store, &c, "list the container", err);
		sov_call_free(&c);
	}
	sov_buf_free(&doc);
	return rc;
}

/* --- open --- */

static enum sov_code
settings(struct swift *s, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *container = sov_option_text(cfg, "container", "");
	enum sov_code rc = sov_option_plain("container", container, sizeof s->container - 1, err);

	if (rc == SOV_OK && strchr(container, '/') != NULL)
		rc = sov_fail(err, SOV_E_CONFIG, "put what follows the / into \"prefix\"", "\"container\" holds a /");
	if (rc == SOV_OK)
		rc = sov_net_need(s->store.net, "user", &s->user, err);
	if (rc == SOV_OK)
		rc = sov_net_need(s->store.net, "password", &s->password, err);
	if (rc != SOV_OK)
		return rc;
	s->keystone = strcmp(sov_option_text(cfg, "auth", "v1"), "keystone") == 0;
	snprintf(s->container, sizeof s->container, "%s", container);
	snprintf(s->project, sizeof s->project, "%s", sov_option_text(cfg, "project", ""));
	snprintf(s->user_domain, sizeof s->user_domain, "%s", sov_option_text(cfg, "user-domain", "Default"));
	snprintf(s->project_domain, sizeof s->project_domain, "%s", sov_option_text(cfg, "project-domain", "Default"));
	snprintf(s->region, sizeof s->region, "%s", sov_option_text(cfg, "region", ""));
	snprintf(s->interface, sizeof s->interface, "%s", sov_option_text(cfg, "interface", "public"));
	if (s->keystone && s->project[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "add for example: project = backups", "Keystone needs \"project\"");
	return SOV_OK;
}

static bool
stop_at_once(void *ctx, const char *name, const struct sov_object_stat *st)
{
	return false;
}

static void
swift_close(struct sov_provider *p)
{
	struct swift *s = (struct swift *) p;

	pthread_mutex_destroy(&s->lock);
	sov_secret_free(s->token);
	sov_store_close(&s->store);
}

static const struct sov_dialect swift_dialect = {swift_send, swift_absent, swift_code, true};

static enum sov_code
swift_open(const struct sov_provider_config *cfg, struct sov_provider **out, struct sov_error *err)
{
	struct sov_store *store;
	struct swift *s;
	enum sov_code rc = sov_store_open(cfg, sizeof(struct swift), &sov_swift_ops, &swift_dialect, &store, err);

	if (rc != SOV_OK)
		return rc;
	s = (struct swift *) store;
	pthread_mutex_init(&s->lock, NULL);
	rc = settings(s, cfg, err);
	if (rc == SOV_OK && (s->token = sov_secret_alloc(TOKEN_MAX, err)) == NULL)
		rc = SOV_E_NOMEM;
	if (rc == SOV_OK)
		rc = renew(s, 0, sov_option_text(cfg, "storage-url", NULL), err);
	if (rc == SOV_OK)
		rc = swift_list(&store->base, "id", stop_at_once, NULL, err);
	if (rc != SOV_OK)
	{
		swift_close(&store->base);
		return rc;
	}
	*out = &store->base;
	return SOV_OK;
}

static const struct sov_provider_key swift_keys[] = {
	SOV_HTTP_KEYS,
	{.name = "container", .kind = SOV_KEY_TEXT, .required = true, .example = "backups"},
	{.name = "list-page", .kind = SOV_KEY_NUMBER, .example = "1000", .min = 1, .max = 1000},
	{.name = "auth", .kind = SOV_KEY_CHOICE, .example = "v1|keystone"},
	{.name = "storage-url", .kind = SOV_KEY_TEXT, .example = "https://swift.example.eu/v1/AUTH_main"},
	{.name = "project", .kind = SOV_KEY_TEXT, .example = "backups"},
	{.name = "user-domain", .kind = SOV_KEY_TEXT, .example = "Default"},
	{.name = "project-domain", .kind = SOV_KEY_TEXT, .example = "Default"},
	{.name = "region", .kind = SOV_KEY_TEXT, .example = "GRA"},
	{.name = "interface", .kind = SOV_KEY_CHOICE, .example = "public|internal|admin"},
	{.name = NULL}
};

const struct sov_provider_ops sov_swift_ops = {
	.keys = swift_keys,
	.caps = {.scheme = "swift", .threads = true, .atomic_create = false,
	.max_object = SOV_STORE_OBJECT_MAX, .parallel = 4},
	.open = swift_open,
	.put = swift_put,
	.get = sov_store_get,
	.stat = sov_store_stat,
	.list = swift_list,
	.remove = swift_remove,
	.older = swift_older,
	.hidden = swift_hidden,
	.sweep = sov_provider_no_sweep,
	.close = swift_close,
};
