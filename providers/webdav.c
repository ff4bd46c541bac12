/*
 * webdav.c - a provider on a WebDAV server, with Basic authentication.
 *
 * Object NAME is ENDPOINT/PREFIX/NAME; collections are made on demand.  An
 * object is put under ENDPOINT/PREFIX/+tmp/RANDOM and moved to its name, so
 * that readers never see a part of it: what PUT does to an object while it
 * arrives is the server's affair.  Put if absent is MOVE with Overwrite: F
 * (412), which servers test before they rename: best effort.
 *
 * Some servers remove the target before they move (Apache), so that a 404 is
 * looked at twice; and it is "not found" only while the collection at the root
 * answers.  Endpoint and prefix must exist; they are never made here.
 *
 * Lists are in webdav_list.c.
 */
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "sov_crypto.h"
#include "sov_secret.h"
#include "webdav_private.h"
#include "xml.h"

/* --- calls --- */

static enum sov_code
authorize(void *ctx, struct sov_http_request *req, struct sov_http_lines *more, struct sov_error *err)
{
	struct webdav *w = ctx;

	sov_http_add(more, "Authorization: %s", w->basic);
	return SOV_OK;
}

/* c->name may also be a collection ("a/b/") or a temporary; NULL is the root. */
static enum sov_code
webdav_send(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	struct webdav *w = (struct webdav *) store;
	struct sov_http_request req = {.method = c->method, .authorize = authorize, .ctx = w, .spans = c->spans,
	.n_spans = c->n_spans, .sink = c->sink, .sink_max = c->sink_max, .repeatable = c->repeatable};
	char		url[1000];
	enum sov_code rc;

	snprintf(url, sizeof url, "%s/%s", w->root, c->name ? c->name : "");
	for (int i = 0; i < c->n_headers; i++)
		sov_http_add(&req.lines, "%s: %s", c->headers[i].name, c->headers[i].value);
	req.url = url;
	rc = sov_http_send(store->net, &req, &c->reply, err);
	sov_http_clear(&req.lines);
	return rc;
}

static void
webdav_code(const struct sov_http_reply *reply, char dst[64])
{
	dst[0] = '\0';
}

static const char propfind_body[] =
"<?xml version=\"1.0\" encoding=\"utf-8\"?><propfind xmlns=\"DAV:\"><prop>"
"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>";

enum sov_code
webdav_propfind(struct webdav *w, const char *name, const char *depth, struct sov_buf *sink, struct sov_call *c, struct sov_error *err)
{
	struct sov_put_span body = {propfind_body, sizeof propfind_body - 1};
	enum sov_code rc;

	sov_call_init(c, "PROPFIND", name);
	sov_call_header(c, "depth", depth);
	sov_call_header(c, "content-type", "application/xml");
	c->spans = &body;
	c->n_spans = 1;
	c->sink = sink;
	c->sink_max = SOV_STORE_LIST_MAX;
	rc = sov_store_call(&w->store, c, err);
	c->spans = NULL;
	return rc;
}

enum sov_code
webdav_check_root(struct webdav *w, struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	enum sov_code rc = webdav_propfind(w, NULL, "0", &doc, &c, err);

	if (rc == SOV_OK && c.reply.status != 207)
	{
		rc = sov_store_fail(&w->store, &c, "find the folder of the provider", err);
		if (err != NULL && c.reply.status == 404)
			snprintf(err->hint, sizeof err->hint, "the collection at \"endpoint\" and \"prefix\" must be made before (MKCOL); is its storage mounted?");
		else if (err != NULL && (c.reply.status == 405 || c.reply.status == 501))
			snprintf(err->hint, sizeof err->hint, "is WebDAV switched on there?");
	}
	else if (rc == SOV_OK)
	{
		char		text[8];

		if (!sov_xml_text(&doc, "multistatus/response/propstat/prop/resourcetype/collection", text, sizeof text))
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "\"endpoint\" and \"prefix\" are not a collection");
	}
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

/* For sov_store_get. */
static enum sov_code
webdav_absent(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	enum sov_code rc = webdav_check_root((struct webdav *) store, err);

	return rc == SOV_OK ? sov_store_notfound(c->name, err) : rc;
}

/* --- get, stat, remove --- */

struct resource
{
	bool		seen,
				collection;
	struct sov_object_stat st;
};

static bool
take_resource(void *ctx, const char *name, bool collection, uint64_t size, int64_t mtime_us)
{
	struct resource *r = ctx;

	*r = (struct resource) {true, collection, {.size = size, .mtime_us = mtime_us}};
	return false;
}

/* Servers send from a collection to the same with a slash: it is no object.  Whoever sends
 * elsewhere (a proxy with a page to log in) says nothing of it. */
static bool
is_sent_to_collection(const struct webdav *w, const struct sov_call *c)
{
	int			s = c->reply.status;
	char		text[1100],
				name[1100];
	size_t		n = strlen(c->name);

	return (s == 301 || s == 302 || s == 307 || s == 308) && sov_http_header(&c->reply, "location", text, sizeof text) &&
		webdav_relative(text, w->root_path, name, sizeof name) && strncmp(name, c->name, n) == 0 && strcmp(name + n, "/") == 0;
}

/* By PROPFIND: Apache answers HEAD for an empty object without a length.  What is
 * not there may be so because the root is not: the caller looks at that. */
static enum sov_code
stat_once(struct webdav *w, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	struct resource r = {false};
	enum sov_code rc = webdav_propfind(w, name, "0", &doc, &c, err);
	int			status = c.reply.status;

	if (rc == SOV_OK && status == 207)
		rc = sov_dav_read_page(doc.data, doc.len, w->root_path, take_resource, &r, err);
	if (rc != SOV_OK)
		;
	else if (status == 404 || r.collection || is_sent_to_collection(w, &c))
		rc = sov_store_notfound(name, err);
	else if (status != 207)
		rc = sov_store_fail(&w->store, &c, "look at object", err);
	else if (!r.seen)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": the server does not tell its size", name);
	*st = r.st;
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

static enum sov_code
webdav_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	enum sov_code rc;

	memset(st, 0, sizeof *st);
	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = stat_once((struct webdav *) p, name, st, err);
	if (rc != SOV_E_NOTFOUND)
		return rc;
	sov_error_clear(err);
	rc = stat_once((struct webdav *) p, name, st, err);
	if (rc != SOV_E_NOTFOUND)
		return rc;
	/* last, so that a root that goes between the looks is noticed */
	sov_error_clear(err);
	rc = webdav_check_root((struct webdav *) p, err);
	return rc == SOV_OK ? sov_store_notfound(name, err) : rc;
}

/* What is neither there nor absent may be in the middle of being overwritten
 * (Apache answers 403), or be a collection. */
static enum sov_code
webdav_get(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct sov_object_stat st;
	enum sov_code rc;

	if (sov_object_name_ok(name) && (len == 0 || offset > SOV_STORE_OBJECT_MAX))
		return webdav_stat(p, name, &st, err);
	rc = sov_store_get(p, name, offset, len, out, err);
	if (rc != SOV_E_PROVIDER || err == NULL || err->retryable)
		return rc;
	sov_error_clear(err);
	rc = webdav_stat(p, name, &st, err);
	return rc == SOV_OK ? sov_store_get(p, name, offset, len, out, err) : rc;
}

/* Looked at first: DELETE of a collection would take all that is in it. */
static enum sov_code
webdav_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct sov_object_stat st;
	enum sov_code rc = webdav_stat(p, name, &st, err);

	return rc != SOV_OK ? rc : sov_store_remove(p, name, err);
}

/* --- put --- */

/* Whether name, which ends with a slash, is a collection by now. */
static bool
is_collection(struct webdav *w, const char *name)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	struct sov_error ignored;
	char		text[8];
	bool		is = webdav_propfind(w, name, "0", &doc, &c, &ignored) == SOV_OK && c.reply.status == 207 &&
		sov_xml_text(&doc, "multistatus/response/propstat/prop/resourcetype/collection", text, sizeof text);

	sov_call_free(&c);
	sov_buf_free(&doc);
	return is;
}

/* MKCOL of name (which ends with a slash); being there already is well.  Who
 * loses a race for it is told 405 by most, 403 or worse by Apache. */
static enum sov_code
make_collection(struct webdav *w, const char *name, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "MKCOL", name);
	rc = sov_store_call(&w->store, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c) && c.reply.status != 405 && !is_collection(w, name))
		rc = sov_store_fail(&w->store, &c, "make collection", err);
	sov_call_free(&c);
	return rc;
}

/* The collections of name, from the top, unless the root is not there. */
static enum sov_code
make_parents(struct webdav *w, const char *name, struct sov_error *err)
{
	char		part[SOV_OBJECT_NAME_MAX + 2];
	enum sov_code rc = webdav_check_root(w, err);

	for (const char *slash = strchr(name, '/'); slash != NULL && rc == SOV_OK; slash = strchr(slash + 1, '/'))
	{
		snprintf(part, sizeof part, "%.*s", (int) (slash - name + 1), name);
		rc = make_collection(w, part, err);
	}
	return rc;
}

static enum sov_code
put_temporary(struct webdav *w, const char *tmp, const struct sov_put_span *spans, int n, int *status, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "PUT", tmp);
	sov_call_header(&c, "content-type", "application/octet-stream");
	c.spans = spans;
	c.n_spans = n;
	rc = sov_store_call(&w->store, &c, err);
	*status = c.reply.status;
	if (rc == SOV_OK && !sov_call_ok(&c))
		rc = sov_store_fail(&w->store, &c, "put temporary object", err);
	sov_call_free(&c);
	return rc;
}

static enum sov_code
move(struct webdav *w, const char *tmp, const char *name, bool overwrite, int *status, struct sov_error *err)
{
	struct sov_call c;
	char		destination[1000];
	enum sov_code rc;

	snprintf(destination, sizeof destination, "%s/%s", w->root, name);
	sov_call_init(&c, "MOVE", tmp);
	sov_call_header(&c, "destination", destination);
	sov_call_header(&c, "overwrite", overwrite ? "T" : "F");
	c.repeatable = false;
	rc = sov_store_call(&w->store, &c, err);
	*status = c.reply.status;
	if (rc == SOV_OK && !sov_call_ok(&c))
		rc = sov_store_fail(&w->store, &c, "store object", err);
	sov_call_free(&c);
	return rc;
}

/* Servers that remove the target first get into each other's way: one at a time
 * from here, and again when somebody else's came between. */
static enum sov_code
overwrite(struct webdav *w, const char *tmp, const char *name, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;
	int			status = 0;

	pthread_mutex_lock(&w->lock);
	for (int i = 0; i < 4; i++)
	{
		sov_error_clear(err);
		rc = move(w, tmp, name, true, &status, err);
		if (rc != SOV_E_PROVIDER || (status != 403 && status != 404 && status != 409 && status != 500))
			break;
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static void
drop_temporary(struct webdav *w, const char *tmp)
{
	struct sov_call c;
	struct sov_error ignored;

	sov_call_init(&c, "DELETE", tmp);
	(void) sov_store_call(&w->store, &c, &ignored);
	sov_call_free(&c);
}

/* Give the temporary its name.  Without overwriting first: where it is not
 * there yet, and mostly it is not, the server then has nothing to remove. */
static enum sov_code
publish(struct webdav *w, const char *tmp, const char *name, bool if_absent, struct sov_error *err)
{
	int			status = 0;
	enum sov_code rc = move(w, tmp, name, false, &status, err);

	/* a missing collection is 409; Apache says 500 */
	if (rc == SOV_E_PROVIDER && (status == 409 || status == 404 || status == 500))
	{
		sov_error_clear(err);
		rc = make_parents(w, name, err);
		if (rc == SOV_OK)
			rc = move(w, tmp, name, false, &status, err);
	}
	if (rc != SOV_OK && status == 412)
	{
		sov_error_clear(err);
		if (if_absent)
			return sov_store_exists(name, err);
		rc = overwrite(w, tmp, name, err);
	}
	return rc;
}

static enum sov_code
webdav_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		   bool if_absent, struct sov_error *err)
{
	struct webdav *w = (struct webdav *) p;
	struct sov_object_stat st;
	uint8_t		random[16];
	char		tmp[64] = WEBDAV_TMP "/";
	int			status = 0;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = sov_random(random, sizeof random, err);
	if (rc == SOV_OK && if_absent)
	{
		rc = webdav_stat(p, name, &st, err);
		if (rc == SOV_OK)
			return sov_store_exists(name, err);
		rc = rc == SOV_E_NOTFOUND ? SOV_OK : rc;
	}
	if (rc != SOV_OK)
		return rc;
	sov_error_clear(err);
	sov_hex(tmp + strlen(tmp), random, sizeof random);
	rc = put_temporary(w, tmp, spans, n_spans, &status, err);
	if (rc == SOV_E_PROVIDER && (status == 409 || status == 404 || status == 403))
	{
		sov_error_clear(err);
		rc = make_parents(w, tmp, err);
		if (rc == SOV_OK)
			rc = put_temporary(w, tmp, spans, n_spans, &status, err);
	}
	if (rc == SOV_OK)
	{
		rc = publish(w, tmp, name, if_absent, err);
		if (rc != SOV_OK)
			drop_temporary(w, tmp);
	}
	return rc;
}

/* --- open --- */

static enum sov_code
make_basic(struct webdav *w, struct sov_error *err)
{
	const char *user,
			   *password;
	char	   *both;
	size_t		n;
	enum sov_code rc = sov_net_need(w->store.net, "user", &user, err);

	if (rc == SOV_OK)
		rc = sov_net_need(w->store.net, "password", &password, err);
	if (rc != SOV_OK)
		return rc;
	if (strchr(user, ':') != NULL)
		return sov_fail(err, SOV_E_CONFIG, NULL, "\"user\" in the credentials file holds a colon");
	n = strlen(user) + strlen(password) + 1;
	both = sov_secret_alloc(n + 1, err);
	w->basic = both ? sov_secret_alloc(6 + (n + 2) / 3 * 4 + 1, err) : NULL;
	if (w->basic == NULL)
	{
		sov_secret_free(both);
		return SOV_E_NOMEM;
	}
	snprintf(both, n + 1, "%s:%s", user, password);
	memcpy(w->basic, "Basic ", 6);
	EVP_EncodeBlock((unsigned char *) w->basic + 6, (const unsigned char *) both, (int) n);
	sov_secret_free(both);
	return SOV_OK;
}

static void
webdav_close(struct sov_provider *p)
{
	struct webdav *w = (struct webdav *) p;

	pthread_mutex_destroy(&w->lock);
	sov_secret_free(w->basic);
	sov_store_close(&w->store);
}

static const struct sov_dialect webdav_dialect = {webdav_send, webdav_absent, webdav_code, true};

static enum sov_code
webdav_open(const struct sov_provider_config *cfg, struct sov_provider **out, struct sov_error *err)
{
	struct sov_store *store;
	struct webdav *w;
	const char *path;
	size_t		n;
	enum sov_code rc = sov_store_open(cfg, sizeof(struct webdav), &sov_webdav_ops, &webdav_dialect, &store, err);

	if (rc != SOV_OK)
		return rc;
	w = (struct webdav *) store;
	pthread_mutex_init(&w->lock, NULL);
	snprintf(w->root, sizeof w->root, "%s/%s", sov_net_endpoint(store->net), sov_net_prefix(store->net));
	n = strlen(w->root);
	w->root[n - 1] = '\0';		/* the prefix ends with a slash, or the endpoint got one */
	path = strchr(strstr(w->root, "://") + 3, '/');
	rc = webdav_decode(path ? path : "", w->root_path, sizeof w->root_path) ? make_basic(w, err) :
		sov_fail(err, SOV_E_CONFIG, "write % as %25", "the path of \"endpoint\" is not one");
	if (rc == SOV_OK)
		rc = webdav_check_root(w, err);
	if (rc != SOV_OK)
	{
		webdav_close(&store->base);
		return rc;
	}
	*out = &store->base;
	return SOV_OK;
}

static const struct sov_provider_key webdav_keys[] = {
	SOV_HTTP_KEYS,
	{.name = NULL}
};

const struct sov_provider_ops sov_webdav_ops = {
	.keys = webdav_keys,
	.caps = {.scheme = "webdav", .threads = true, .atomic_create = false,
	.max_object = SOV_STORE_OBJECT_MAX, .parallel = 4},
	.open = webdav_open,
	.put = webdav_put,
	.get = webdav_get,
	.stat = webdav_stat,
	.list = webdav_list,
	.remove = webdav_remove,
	.older = sov_provider_no_older,
	.hidden = sov_provider_no_hidden,
	.sweep = webdav_sweep,
	.close = webdav_close,
};
