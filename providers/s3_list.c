/*
 * s3_list.c - lists of a bucket: ListObjects, version 2 or 1.
 */
#include <stdio.h>
#include <stdlib.h>

#include "s3_private.h"
#include "xml.h"

#define PAGE_MAX 100000			/* pages of one list */

struct page
{
	struct sov_listing *list;
	struct sov_list_entry entry;
	bool		is_list,
				truncated;
	char		last_key[1100];
	char		next[2048];
};

static bool
on_element(void *ctx, const char *path, const char *text)
{
	static const struct sov_list_fields fields = {"/Key", "/Size", "/LastModified"};
	struct page *g = ctx;

	if (strncmp(path, "ListBucketResult", 16) != 0)
		return true;
	g->is_list = true;
	path += 16;
	if (strncmp(path, "/Contents", 9) == 0)
	{
		if (path[9] == '\0')
			snprintf(g->last_key, sizeof g->last_key, "%s", g->entry.key);
		return sov_listing_entry(g->list, &g->entry, &fields, path + 9, text);
	}
	if (strcmp(path, "/IsTruncated") == 0)
		g->truncated = strcmp(text, "true") == 0;
	else if (strcmp(path, "/NextContinuationToken") == 0 || strcmp(path, "/NextMarker") == 0)
		snprintf(g->next, sizeof g->next, "%s", text);
	return true;
}

/* Read one page; *more and next (of cap bytes) say how to go on. */
enum sov_code
sov_s3_read_page(const void *data, size_t len, struct sov_listing *list, bool v1, bool *more,
				 char *next, size_t cap, struct sov_error *err)
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
	if (rc == SOV_OK && g->truncated && !list->stopped)
	{
		const char *from = g->next[0] ? g->next : v1 ? g->last_key : "";

		if (from[0] == '\0' || strlen(from) >= cap || strcmp(from, next) == 0)
			rc = sov_fail(err, SOV_E_PROVIDER, v1 ? NULL : "set list-version = 1", "the server's list does not say where it goes on");
		else
		{
			memmove(next, from, strlen(from) + 1);
			*more = true;
		}
	}
	free(g);
	return rc;
}

enum sov_code
s3_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct s3  *s = (struct s3 *) p;
	struct sov_listing list = {.store = &s->store, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_buf doc = {0};
	char		whole[400],
				next[2048] = "";
	bool		more = true;
	enum sov_code rc = SOV_OK;

	snprintf(whole, sizeof whole, "%s%s", sov_net_prefix(s->store.net), prefix);
	for (int page = 0; more && rc == SOV_OK && !list.stopped; page++)
	{
		struct sov_call c;

		if (page == PAGE_MAX)
		{
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list does not end");
			break;
		}
		sov_call_init(&c, "GET", NULL);
		if (!s->list_v1)
			sov_call_query(&c, "list-type", "2");
		sov_call_query(&c, "max-keys", s->store.list_page);
		sov_call_query(&c, "prefix", whole);
		if (next[0] != '\0')
			sov_call_query(&c, s->list_v1 ? "marker" : "continuation-token", next);
		doc.len = 0;
		c.sink = &doc;
		c.sink_max = SOV_STORE_LIST_MAX;
		rc = sov_store_call(&s->store, &c, err);
		if (rc == SOV_OK)
			rc = sov_call_ok(&c) ? sov_s3_read_page(doc.data, doc.len, &list, s->list_v1, &more, next, sizeof next, err) :
				s3_fail(s, &c, "list the bucket", err);
		sov_call_free(&c);
	}
	sov_buf_free(&doc);
	return rc;
}
