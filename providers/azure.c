/*
 * azure.c - a provider in Azure Blob storage (block blobs), to move away from
 * it or to hold a shard there.
 *
 * The endpoint is the account's, "https://ACCOUNT.blob.core.windows.net"; the
 * credentials file has "account" and "account-key" (Shared Key), or a
 * "sas-token".  Errors carry their word in the header x-ms-error-code, also for
 * HEAD: only BlobNotFound is "not found".  If-None-Match: * is a real
 * test-and-set (409 BlobAlreadyExists).
 *
 * Lists are in azure_list.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "azure_private.h"
#include "xml.h"

#define VERSION "2021-08-06"

/* What authorize needs for each attempt. */
struct signing
{
	struct azure *azure;
	struct sov_call *call;
	char		path[700];
};

static const char *
call_header(const struct sov_call *c, const char *name)
{
	for (int i = 0; i < c->n_headers; i++)
		if (strcmp(c->headers[i].name, name) == 0)
			return c->headers[i].value;
	return "";
}

static enum sov_code
authorize(void *ctx, struct sov_http_request *req, struct sov_http_lines *more, struct sov_error *err)
{
	struct signing *g = ctx;
	struct azure *a = g->azure;
	struct sov_call *c = g->call;
	struct sov_sign_pair h[SOV_STORE_HEADERS + 2];
	char		date[40],
				length[24] = "";
	uint64_t	total = 0;
	struct sov_buf value = {0};
	time_t		now = time(NULL);
	struct tm	tm;
	struct sov_azure_sign v = {a->account, a->key, c->method, g->path, length, call_header(c, "content-type"), h, 0,
	c->query, c->n_query, call_header(c, "if-none-match"), call_header(c, "range")};
	enum sov_code rc = SOV_OK;

	gmtime_r(&now, &tm);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	h[v.n_headers++] = (struct sov_sign_pair) {"x-ms-date", date};
	h[v.n_headers++] = (struct sov_sign_pair) {"x-ms-version", VERSION};
	for (int i = 0; i < c->n_headers; i++)
		if (strncmp(c->headers[i].name, "x-ms-", 5) == 0)
			h[v.n_headers++] = c->headers[i];
	for (int i = 0; i < c->n_spans; i++)
		total += c->spans[i].len;
	if (total > 0)
		snprintf(length, sizeof length, "%llu", (unsigned long long) total);
	sov_http_add(more, "x-ms-date: %s", date);
	sov_http_add(more, "x-ms-version: " VERSION);
	if (a->key != NULL)
	{
		rc = sov_azure_sign(&v, &value, err);
		if (rc == SOV_OK)
			sov_http_add(more, "Authorization: %.*s", (int) value.len, (const char *) value.data);
	}
	sov_buf_free(&value);
	return rc;
}

static enum sov_code
azure_send(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	struct azure *a = (struct azure *) store;
	struct signing g = {.azure = a, .call = c};
	struct sov_http_request req = {.method = c->method, .authorize = authorize, .ctx = &g, .spans = c->spans,
	.n_spans = c->n_spans, .sink = c->sink, .sink_max = c->sink_max, .repeatable = c->repeatable};
	struct sov_buf url = {0};
	enum sov_code rc;

	snprintf(g.path, sizeof g.path, "%s%s%s%s", a->path, c->name ? "/" : "", c->name ? sov_net_prefix(store->net) : "", c->name ? c->name : "");
	sov_buf_printf(&url, "%.*s%s%s", (int) (a->path - a->base), a->base, g.path, c->n_query || a->sas ? "?" : "");
	rc = sov_sigv4_query(c->query, c->n_query, &url, err);
	if (a->sas != NULL)
		sov_buf_printf(&url, "%s%s", c->n_query ? "&" : "", a->sas);
	sov_buf_printf(&url, "%s", "");
	for (int i = 0; i < c->n_headers; i++)
		sov_http_add(&req.lines, "%s: %s", c->headers[i].name, c->headers[i].value);
	req.url = (const char *) url.data;
	if (rc == SOV_OK)
		rc = url.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : sov_http_send(store->net, &req, &c->reply, err);
	sov_http_clear(&req.lines);
	sov_buf_free(&url);
	return rc;
}

static void
azure_code(const struct sov_http_reply *reply, char dst[64])
{
	if (!sov_http_header(reply, "x-ms-error-code", dst, 64) && !sov_xml_text(&reply->body, "Error/Code", dst, 64))
		dst[0] = '\0';
}

enum sov_code
azure_fail(struct azure *a, struct sov_call *c, const char *what, struct sov_error *err)
{
	enum sov_code rc = sov_store_fail(&a->store, c, what, err);
	char		code[64];

	azure_code(&c->reply, code);
	if (err != NULL && strcmp(code, "ContainerNotFound") == 0)
		snprintf(err->hint, sizeof err->hint, "container \"%s\" does not exist: make it with the provider's own tools, or correct \"container\"", a->container);
	if (err != NULL && (strcmp(code, "ContainerBeingDeleted") == 0 || strcmp(code, "ServerBusy") == 0))
		err->retryable = true;
	return rc;
}

static enum sov_code
azure_absent(struct sov_store *store, struct sov_call *c, struct sov_error *err)
{
	char		code[64];

	azure_code(&c->reply, code);
	if (strcmp(code, "BlobNotFound") == 0)
		return sov_store_notfound(c->name, err);
	return azure_fail((struct azure *) store, c, "ask for object", err);
}

static enum sov_code
azure_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		  bool if_absent, struct sov_error *err)
{
	struct azure *a = (struct azure *) p;
	struct sov_call c;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	sov_call_init(&c, "PUT", name);
	sov_call_header(&c, "x-ms-blob-type", "BlockBlob");
	sov_call_header(&c, "content-type", "application/octet-stream");
	if (if_absent)
		sov_call_header(&c, "if-none-match", "*");
	c.spans = spans;
	c.n_spans = n_spans;
	rc = sov_store_call(&a->store, &c, err);
	if (rc == SOV_OK && if_absent && (c.reply.status == 409 || c.reply.status == 412))
	{
		char		code[64];

		azure_code(&c.reply, code);
		if (strcmp(code, "BlobAlreadyExists") != 0 && strcmp(code, "ConditionNotMet") != 0)
			rc = azure_fail(a, &c, "put object", err);
		else
			rc = c.reply.attempts > 1 ? sov_store_ours(&a->store, name, spans, n_spans, err) : sov_store_exists(name, err);
	}
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = azure_fail(a, &c, "put object", err);
	sov_call_free(&c);
	return rc;
}

/* --- remove --- */

/* The answer to a removal does not tell of versions, but what is there does; what was put
 * before they were turned on has none, so that only a yes holds for the others too. */
static void
see_versions(struct azure *a, const char *name)
{
	struct sov_call c;
	struct sov_object_stat st;
	char		id[100];

	if (a->versions)
		return;
	if (sov_store_look(&a->store, name, &st, &c, NULL) == SOV_OK && sov_http_header(&c.reply, "x-ms-version-id", id, sizeof id))
		a->versions = true;
	sov_call_free(&c);
}

static bool
is_permanent(const struct sov_call *c)
{
	char		text[8];

	return !sov_http_header(&c->reply, "x-ms-delete-type-permanent", text, sizeof text) || strcmp(text, "false") != 0;
}

/* An earlier version by its id; *soft when the account keeps it all the same. */
static enum sov_code
remove_version(struct azure *a, const char *name, const char *id, bool *soft, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", name);
	sov_call_query(&c, "versionid", id);
	rc = sov_store_call(&a->store, &c, err);
	if (rc == SOV_OK && c.reply.status == 404)
	{
		rc = azure_absent(&a->store, &c, err);
		rc = rc == SOV_E_NOTFOUND ? SOV_OK : rc;	/* somebody else's removal */
	}
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = azure_fail(a, &c, "remove a version of object", err);
	else if (rc == SOV_OK && !is_permanent(&c))
		*soft = true;
	sov_call_free(&c);
	return rc;
}

/* What a removal made an earlier version of, and those before, until none is listed.  *n
 * counts them; *soft: the account keeps some of it. */
static enum sov_code
remove_versions(struct azure *a, const char *name, int *n, bool *soft, struct sov_error *err)
{
	char		first[100] = "";	/* of the round before */
	enum sov_code rc = SOV_OK;

	for (bool more = true; more && rc == SOV_OK;)
	{
		struct sov_buf ids = {0};
		bool		seen = false;

		rc = azure_kept_of(a, name, &ids, soft, &seen, err);
		more = ids.len > 0;
		if (rc == SOV_OK && (seen || (more && strcmp((char *) ids.data, first) == 0)))
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\", or versions of it, are there still, although the server says that they are removed", name);
		if (more)
			snprintf(first, sizeof first, "%s", (char *) ids.data);
		for (size_t at = 0; rc == SOV_OK && at < ids.len; at += strlen((char *) ids.data + at) + 1, ++*n)
			rc = remove_version(a, name, (char *) ids.data + at, soft, err);
		sov_buf_free(&ids);
	}
	return rc;
}

static enum sov_code
remove_base(struct azure *a, const char *name, bool *soft, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", name);
	sov_call_header(&c, "x-ms-delete-snapshots", "include");
	rc = sov_store_call(&a->store, &c, err);
	if (rc == SOV_OK && c.reply.status == 404)
	{
		rc = azure_absent(&a->store, &c, err);
		if (rc == SOV_E_NOTFOUND && c.reply.attempts > 1)	/* gone by our own first attempt */
			rc = SOV_OK;
	}
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = azure_fail(a, &c, "remove object", err);
	else if (rc == SOV_OK)
		*soft = !is_permanent(&c);
	sov_call_free(&c);
	return rc;
}

/* Where the account keeps versions, what is removed becomes one, so that all of them are
 * removed by their ids.  With soft delete all of it is kept for some days: it is gone for
 * readers, and no more is claimed. */
static enum sov_code
azure_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct azure *a = (struct azure *) p;
	bool		soft = false;
	int			n = 0;
	enum sov_code rc,
				versions = SOV_OK;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	see_versions(a, name);
	rc = remove_base(a, name, &soft, err);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		return rc;
	if (a->versions)
	{
		soft = false;			/* the version that it has become will tell */
		versions = remove_versions(a, name, &n, &soft, err);
	}
	if (versions != SOV_OK)
		return versions;
	if (soft)
		return sov_fail(err, SOV_E_LOCKED, "turn soft delete of blobs off for the account, and remove what it still keeps with the provider's own tools",
						"object \"%s\" is gone for readers, but the storage account keeps what is removed", name);
	if (rc != SOV_E_NOTFOUND)
		return SOV_OK;
	if (n == 0)
		return sov_store_notfound(name, err);
	sov_error_clear(err);
	return SOV_OK;
}

/* --- older versions --- */

/* The age-th newest: ids are times, all of one form, so that they sort by them. */
static const char *
find_version(const struct sov_buf *ids, int age)
{
	const char *found = NULL;

	for (int i = 0; i <= age; i++)
	{
		const char *next = NULL;

		for (size_t at = 0; at < ids->len; at += strlen((char *) ids->data + at) + 1)
		{
			const char *id = (const char *) ids->data + at;

			if ((found == NULL || strcmp(id, found) < 0) && (next == NULL || strcmp(id, next) > 0))
				next = id;
		}
		if ((found = next) == NULL)
			break;
	}
	return found;
}

static enum sov_code
azure_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	struct azure *a = (struct azure *) p;
	struct sov_buf ids = {0};
	const char *id = NULL;
	bool		soft = false,
				seen = false;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = azure_kept_of(a, name, &ids, &soft, &seen, err);
	if (rc == SOV_OK)
		id = find_version(&ids, age);
	if (id != NULL)
		rc = sov_store_get_version(&a->store, name, "versionid", id, out, err);
	else if (rc == SOV_OK || rc == SOV_E_UNSUPPORTED)
		rc = sov_provider_no_older(p, name, age, out, err);
	sov_buf_free(&ids);
	return rc;
}

/* --- open --- */

static enum sov_code
settings(struct azure *a, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *container = sov_option_text(cfg, "container", "");
	struct sov_net *net = a->store.net;
	enum sov_code rc = sov_option_plain("container", container, sizeof a->container - 1, err);

	if (rc == SOV_OK && strchr(container, '/') != NULL)
		rc = sov_fail(err, SOV_E_CONFIG, "put what follows the / into \"prefix\"", "\"container\" holds a /");
	a->sas = sov_net_secret(net, "sas-token");
	a->account = sov_net_secret(net, "account");
	if (rc == SOV_OK && a->sas == NULL)
		rc = sov_net_need(net, "account", &a->account, err);
	if (rc == SOV_OK && a->sas == NULL)
		rc = sov_net_need(net, "account-key", &a->key, err);
	if (rc != SOV_OK)
		return rc;
	if (a->sas != NULL && a->sas[0] == '?')
		a->sas++;
	if (a->sas != NULL && strpbrk(a->sas, " #<>\"") != NULL)
		return sov_fail(err, SOV_E_CONFIG, "copy it as it stands after the ? of the address", "\"sas-token\" in the credentials file is not one");
	snprintf(a->container, sizeof a->container, "%s", container);
	snprintf(a->base, sizeof a->base, "%s/%s", sov_net_endpoint(net), container);
	a->path = strchr(strstr(a->base, "://") + 3, '/');
	return SOV_OK;
}

static bool
stop_at_once(void *ctx, const char *name, const struct sov_object_stat *st)
{
	return false;
}

static void
azure_close(struct sov_provider *p)
{
	sov_store_close((struct sov_store *) p);
}

static const struct sov_dialect azure_dialect = {azure_send, azure_absent, azure_code, false};

static enum sov_code
azure_open(const struct sov_provider_config *cfg, struct sov_provider **out, struct sov_error *err)
{
	struct sov_store *store;
	enum sov_code rc = sov_store_open(cfg, sizeof(struct azure), &sov_azure_ops, &azure_dialect, &store, err);

	if (rc != SOV_OK)
		return rc;
	rc = settings((struct azure *) store, cfg, err);
	if (rc == SOV_OK)
		rc = azure_list(&store->base, "id", stop_at_once, NULL, err);
	if (rc != SOV_OK)
	{
		sov_store_close(store);
		return rc;
	}
	*out = &store->base;
	return SOV_OK;
}

static const struct sov_provider_key azure_keys[] = {
	SOV_HTTP_KEYS,
	{.name = "container", .kind = SOV_KEY_TEXT, .required = true, .example = "backups"},
	{.name = "list-page", .kind = SOV_KEY_NUMBER, .example = "1000", .min = 1, .max = 1000},
	{.name = NULL}
};

const struct sov_provider_ops sov_azure_ops = {
	.keys = azure_keys,
	.caps = {.scheme = "azure", .threads = true, .atomic_create = true,
	.max_object = SOV_STORE_OBJECT_MAX, .parallel = 4},
	.open = azure_open,
	.put = azure_put,
	.get = sov_store_get,
	.stat = sov_store_stat,
	.list = azure_list,
	.remove = azure_remove,
	.older = azure_older,
	.hidden = azure_hidden,
	.sweep = sov_provider_no_sweep,
	.close = azure_close,
};
