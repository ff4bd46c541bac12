/*
 * azure_list.c - lists of a container in Azure Blob storage.
 *
 * What an account keeps of blobs, earlier versions or all that was removed for some days
 * (soft delete), is in the same list when that is asked for.
 */
#include <stdio.h>
#include <stdlib.h>

#include "azure_private.h"
#include "xml.h"

#define PAGE_MAX 100000

/* --- what readers see --- */

struct page
{
	struct sov_listing *list;
	struct sov_list_entry entry;
	bool		is_list;
	char		next[2048];
};

static bool
on_element(void *ctx, const char *path, const char *text)
{
	static const struct sov_list_fields fields = {"/Name", "/Properties/Content-Length", "/Properties/Last-Modified"};
	struct page *g = ctx;

	if (strncmp(path, "EnumerationResults", 18) != 0)
		return true;
	g->is_list = true;
	path += 18;
	if (strncmp(path, "/Blobs/Blob", 11) == 0)
		return sov_listing_entry(g->list, &g->entry, &fields, path + 11, text);
	if (strcmp(path, "/NextMarker") == 0)
		snprintf(g->next, sizeof g->next, "%s", text);
	return true;
}

enum sov_code
sov_azure_read_page(const void *data, size_t len, struct sov_listing *list, bool *more, char *next, size_t cap, struct sov_error *err)
{
	struct page *g = calloc(1, sizeof *g);
	enum sov_code rc;

	*more = false;
	if (g == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	g->list = list;
	rc = sov_xml_read(data, len, on_element, g, NULL, err);
	if (rc == SOV_OK)
		rc = sov_listing_check(list, err);
	if (rc == SOV_OK && (!g->is_list || g->entry.bad))
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list is not one");
	if (rc == SOV_OK && g->next[0] != '\0' && !list->stopped)
	{
		if (strlen(g->next) >= cap || strcmp(g->next, next) == 0)
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not say where it goes on");
		else
		{
			memcpy(next, g->next, strlen(g->next) + 1);
			*more = true;
		}
	}
	free(g);
	return rc;
}

/* --- what they do not --- */

/* Entries of one name come together, over pages as well. */
struct sov_azure_kept
{
	struct sov_listing *list;
	char		name[1100],		/* that the entries are of; "" before the first */
				next[2048];
	bool		seen;			/* one of them is what readers see */
	const char *own;			/* with the provider's prefix: that one's alone are wanted, */
	struct sov_buf ids;			/* its earlier versions, each id with its NUL */
	bool		soft;			/* some of it was removed, and is kept for some days */
	bool		versions;		/* there were some, of any name */
	/* the entry that is read */
	char		of[1100],
				version[100];
	bool		deleted,
				current;
	bool		is_list;
};

static bool
flush(struct sov_azure_kept *k)
{
	return k->name[0] == '\0' || k->seen || sov_listing_key(k->list, k->name, 0, 0, true);
}

/* The end of an entry. */
static bool
take_kept(struct sov_azure_kept *k)
{
	bool		version = k->version[0] != '\0',
				more = true;

	k->versions = k->versions || version;
	if (k->own != NULL)
	{
		if (strcmp(k->of, k->own) != 0)
			;
		else if (k->deleted)
			k->soft = true;
		else if (version && !k->current)
			sov_write_bytes(&k->ids, k->version, strlen(k->version) + 1);
		else
			k->seen = true;
	}
	else if (strcmp(k->of, k->name) != 0)
	{
		more = flush(k);
		memcpy(k->name, k->of, sizeof k->name);
		k->seen = false;
	}
	if (k->own == NULL)
		k->seen = k->seen || (!k->deleted && (!version || k->current));
	k->of[0] = k->version[0] = '\0';
	k->deleted = k->current = false;
	return more;
}

static bool
on_kept(void *ctx, const char *path, const char *text)
{
	struct sov_azure_kept *k = ctx;

	if (strncmp(path, "EnumerationResults", 18) != 0)
		return true;
	k->is_list = true;
	path += 18;
	if (strcmp(path, "/NextMarker") == 0)
		snprintf(k->next, sizeof k->next, "%s", text);
	if (strncmp(path, "/Blobs/Blob", 11) != 0)
		return true;
	path += 11;
	if (strcmp(path, "/Name") == 0)
		snprintf(k->of, sizeof k->of, "%s", text);
	else if (strcmp(path, "/Deleted") == 0)
		k->deleted = strcmp(text, "true") == 0;
	else if (strcmp(path, "/VersionId") == 0)
		snprintf(k->version, sizeof k->version, "%s", text);
	else if (strcmp(path, "/IsCurrentVersion") == 0)
		k->current = strcmp(text, "true") == 0;
	return path[0] != '\0' || take_kept(k);
}

enum sov_code
sov_azure_read_kept(const void *data, size_t len, struct sov_azure_kept *k, struct sov_error *err)
{
	char	   *before = strdup(k->next);
	enum sov_code rc;

	if (before == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	k->next[0] = '\0';
	k->is_list = false;
	rc = sov_xml_read(data, len, on_kept, k, NULL, err);
	if (rc == SOV_OK && !k->is_list)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list is not one");
	if (rc == SOV_OK && k->next[0] != '\0' && strcmp(k->next, before) == 0)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not say where it goes on");
	if (rc == SOV_OK && k->own == NULL && k->next[0] == '\0' && !k->list->stopped && !k->list->backwards)
		(void) flush(k);
	free(before);
	return rc == SOV_OK && k->own == NULL ? sov_listing_check(k->list, err) : rc;
}

struct sov_azure_kept *
sov_azure_kept_new(struct sov_listing *list)
{
	struct sov_azure_kept *k = calloc(1, sizeof *k);

	if (k != NULL)
		k->list = list;
	return k;
}

/* --- asking --- */

/* One page from "next" on.  The caller frees what came. */
static enum sov_code
ask_page(struct azure *a, const char *prefix, const char *include, const char *next, struct sov_call *c, struct sov_buf *doc, struct sov_error *err)
{
	char		whole[400];
	enum sov_code rc;

	snprintf(whole, sizeof whole, "%s%s", sov_net_prefix(a->store.net), prefix);
	sov_call_init(c, "GET", NULL);
	sov_call_query(c, "restype", "container");
	sov_call_query(c, "comp", "list");
	sov_call_query(c, "maxresults", a->store.list_page);
	if (include != NULL)
		sov_call_query(c, "include", include);
	if (whole[0] != '\0')
		sov_call_query(c, "prefix", whole);
	if (next[0] != '\0')
		sov_call_query(c, "marker", next);
	doc->len = 0;
	c->sink = doc;
	c->sink_max = SOV_STORE_LIST_MAX;
	rc = sov_store_call(&a->store, c, err);
	return rc != SOV_OK || sov_call_ok(c) ? rc : azure_fail(a, c, "list the container", err);
}

enum sov_code
azure_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct azure *a = (struct azure *) p;
	struct sov_listing list = {.store = &a->store, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_buf doc = {0};
	char		next[2048] = "";
	bool		more = true;
	enum sov_code rc = SOV_OK;

	for (int page = 0; more && rc == SOV_OK && !list.stopped; page++)
	{
		struct sov_call c;

		if (page == PAGE_MAX)
		{
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not end");
			break;
		}
		rc = ask_page(a, prefix, NULL, next, &c, &doc, err);
		if (rc == SOV_OK)
			rc = sov_azure_read_page(doc.data, doc.len, &list, &more, next, sizeof next, err);
		sov_call_free(&c);
	}
	sov_buf_free(&doc);
	return rc;
}

enum sov_code
azure_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct azure *a = (struct azure *) p;
	struct sov_listing list = {.store = &a->store, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_azure_kept *k = sov_azure_kept_new(&list);
	struct sov_buf doc = {0};
	bool		keeps = true;
	enum sov_code rc = k ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	for (int page = 0; rc == SOV_OK && keeps && !list.stopped && (page == 0 || k->next[0] != '\0'); page++)
	{
		struct sov_call c;

		if (page == PAGE_MAX)
		{
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not end");
			break;
		}
		rc = ask_page(a, prefix, "deleted,versions", k->next, &c, &doc, err);
		if (rc == SOV_OK)
			rc = sov_azure_read_kept(doc.data, doc.len, k, err);
		if (rc == SOV_OK && k->versions)
			a->versions = true;
		if (rc != SOV_OK && c.reply.status == 400 && !a->versions)
		{
			/* an account of a kind that knows no versions does not know the question */
			sov_error_clear(err);
			rc = SOV_OK;
			keeps = false;
		}
		sov_call_free(&c);
	}
	free(k);
	sov_buf_free(&doc);
	return rc;
}

/* --- what is kept of one blob --- */

enum sov_code
azure_kept_of(struct azure *a, const char *name, struct sov_buf *ids, bool *soft, bool *seen, struct sov_error *err)
{
	struct sov_azure_kept *k = sov_azure_kept_new(NULL);
	struct sov_buf doc = {0};
	char		own[400];
	enum sov_code rc = k ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	snprintf(own, sizeof own, "%s%s", sov_net_prefix(a->store.net), name);
	for (int page = 0; rc == SOV_OK && (page == 0 || k->next[0] != '\0'); page++)
	{
		struct sov_call c;

		k->own = own;
		rc = page < PAGE_MAX ? ask_page(a, name, "deleted,versions", k->next, &c, &doc, err) :
			sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not end");
		/* an account of a kind that knows no versions does not know the question */
		if (page < PAGE_MAX && rc != SOV_OK && c.reply.status == 400 && !a->versions)
			rc = SOV_E_UNSUPPORTED;
		if (page < PAGE_MAX)
			sov_call_free(&c);
		if (rc == SOV_OK)
			rc = sov_azure_read_kept(doc.data, doc.len, k, err);
		if (rc == SOV_OK && k->ids.bad)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		a->versions = a->versions || k->versions;
	}
	if (k != NULL)
	{
		*ids = k->ids;
		*soft = *soft || k->soft;
		*seen = k->seen;
	}
	free(k);
	sov_buf_free(&doc);
	return rc;
}
