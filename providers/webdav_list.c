/*
 * webdav_list.c - lists of the webdav adapter: one collection after another (Depth: 1),
 * since many servers forbid "infinity".
 */
#include <stdio.h>
#include <stdlib.h>

#include "webdav_private.h"
#include "xml.h"


struct dav_page
{
	const char *root_path;
	char		href[1100];
	uint64_t	size;
	int64_t		mtime_us;
	bool		has_size,
				collection,
				is_list,
				ours;			/* an entry lies at the root or below it */
	sov_dav_fn	fn;
	void	   *ctx;
};

/* Two hexadecimal digits, of either case: -1 when they are none. */
static int
hex_byte(const char *text)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *high = text[0] ? strchr(digits, text[0]) : NULL,
			   *low = high && text[1] ? strchr(digits, text[1]) : NULL;

	return low == NULL ? -1 : (int) ((high - digits) % 16 * 16 + (low - digits) % 16);
}

bool
webdav_decode(const char *text, char *dst, size_t cap)
{
	size_t		n = 0;

	for (const char *p = text; *p != '\0'; p++)
	{
		int			byte = *p == '%' ? hex_byte(p + 1) : (unsigned char) *p;

		if (byte <= 0 || n == cap - 1)
			return false;
		if (*p == '%')
			p += 2;
		dst[n++] = (char) byte;
	}
	dst[n] = '\0';
	return true;
}

bool
webdav_relative(const char *href, const char *root_path, char *dst, size_t cap)
{
	const char *p = strstr(href, "://");
	size_t		root = strlen(root_path);
	char		whole[1100];

	if (p != NULL && (p = strchr(p + 3, '/')) == NULL)
		return false;
	if (!webdav_decode(p ? p : href, whole, sizeof whole) || strncmp(whole, root_path, root) != 0)
		return false;
	/* the root itself may come without its slash */
	if ((whole[root] != '/' && whole[root] != '\0') || strlen(whole) - root >= cap)
		return false;
	strcpy(dst, whole[root] ? whole + root + 1 : "");
	return true;
}

static bool
on_element(void *ctx, const char *path, const char *text)
{
	struct dav_page *g = ctx;
	char	   *end,
				name[1100];

	if (strcmp(path, "multistatus") == 0)
		g->is_list = true;
	if (strncmp(path, "multistatus/response", 20) != 0)
		return true;
	path += 20;
	if (strcmp(path, "/href") == 0)
		snprintf(g->href, sizeof g->href, "%s", text);
	else if (strcmp(path, "/propstat/prop/getcontentlength") == 0 && text[0] >= '0' && text[0] <= '9')
	{
		g->size = strtoull(text, &end, 10);
		g->has_size = *end == '\0' && g->size <= INT64_MAX;
	}
	else if (strcmp(path, "/propstat/prop/getlastmodified") == 0)
		g->mtime_us = sov_http_date_us(text);
	else if (strcmp(path, "/propstat/prop/resourcetype/collection") == 0)
		g->collection = true;
	else if (path[0] == '\0')
	{
		bool		more = true,
					ours = webdav_relative(g->href, g->root_path, name, sizeof name);

		g->ours = g->ours || ours;
		if (ours && (g->collection || g->has_size))
			more = g->fn(g->ctx, name, g->collection, g->size, g->mtime_us);
		g->href[0] = '\0';
		g->has_size = g->collection = false;
		g->size = 0;
		g->mtime_us = 0;
		return more;
	}
	return true;
}

enum sov_code
sov_dav_read_page(const void *data, size_t len, const char *root_path, sov_dav_fn fn, void *ctx, struct sov_error *err)
{
	struct dav_page g = {.root_path = root_path, .fn = fn, .ctx = ctx};
	bool		stopped;
	enum sov_code rc = sov_xml_read(data, len, on_element, &g, &stopped, err);

	if (rc == SOV_OK && !stopped && !g.is_list)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list is not one");
	/* what was asked for is in it always: else it would look empty */
	else if (rc == SOV_OK && !stopped && !g.ours)
		rc = sov_fail(err, SOV_E_PROVIDER, "give in \"endpoint\" the path by which the server itself calls it", "the server's list is of another place than was asked for");
	return rc;
}

struct walk
{
	struct webdav *w;
	struct sov_listing list;
	const char *at;				/* the collection that is read, "" or "a/b/" */
	char	  **todo;			/* collections still to read */
	size_t		n_todo,
				cap;
	bool		nomem;
};

/* Collections are remembered, and entered when the prefix leads into them. */
static bool
on_entry(void *ctx, const char *name, bool collection, uint64_t size, int64_t mtime_us)
{
	struct walk *k = ctx;
	size_t		n = strlen(name),
				at = strlen(k->at),
				pre = strlen(k->list.prefix);
	char		own[SOV_OBJECT_NAME_MAX + 8];

	while (n > 0 && name[n - 1] == '/')
		n--;
	/* only what lies directly in the collection that was asked for */
	if (n <= at || n > SOV_OBJECT_NAME_MAX || strncmp(name, k->at, at) != 0 || memchr(name + at, '/', n - at) != NULL)
		return true;
	snprintf(own, sizeof own, "%.*s", (int) n, name);
	if (!sov_object_name_ok(own))
		return true;
	if (!collection)
		return sov_listing_key(&k->list, own, size, mtime_us, false);
	own[n++] = '/';
	own[n] = '\0';
	if (strncmp(own, k->list.prefix, n < pre ? n : pre) != 0)
		return true;
	if (k->n_todo == k->cap)
	{
		size_t		cap = k->cap ? k->cap * 2 : 64;
		char	  **bigger = realloc(k->todo, cap * sizeof *bigger);

		if (bigger == NULL)
			return !(k->nomem = true);
		k->todo = bigger;
		k->cap = cap;
	}
	k->todo[k->n_todo] = strdup(own);
	if (k->todo[k->n_todo] == NULL)
		return !(k->nomem = true);
	k->n_todo++;
	return true;
}

/* One collection.  One that is absent is empty, the root apart. */
static enum sov_code
walk_collection(struct walk *k, const char *name, struct sov_buf *doc, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	k->at = name;
	doc->len = 0;
	rc = webdav_propfind(k->w, name[0] ? name : NULL, "1", doc, &c, err);
	if (rc == SOV_OK && c.reply.status == 207)
		rc = sov_dav_read_page(doc->data, doc->len, k->w->root_path, on_entry, k, err);
	else if (rc == SOV_OK && c.reply.status == 404)
		rc = webdav_check_root(k->w, err);
	else if (rc == SOV_OK)
		rc = sov_store_fail(&k->w->store, &c, "list collection", err);
	if (rc == SOV_OK && k->nomem)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	sov_call_free(&c);
	return rc;
}

enum sov_code
webdav_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct webdav *w = (struct webdav *) p;
	struct walk k = {.w = w, .list = {.store = &w->store, .prefix = prefix, .fn = fn, .ctx = ctx, .relative = true}};
	struct sov_buf doc = {0};
	const char *slash = strrchr(prefix, '/');
	char	   *name;
	enum sov_code rc = SOV_OK;

	/* begin where the prefix begins */
	k.todo = malloc(64 * sizeof *k.todo);
	k.cap = 64;
	name = strndup(prefix, slash ? (size_t) (slash - prefix) + 1 : 0);
	if (k.todo == NULL || name == NULL || strstr(prefix, "..") != NULL || strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != strlen(prefix))
	{
		rc = k.todo == NULL || name == NULL ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : webdav_check_root(w, err);
		free(name);
	}
	else
		k.todo[k.n_todo++] = name;
	while (rc == SOV_OK && k.n_todo > 0 && !k.list.stopped)
	{
		name = k.todo[--k.n_todo];
		rc = walk_collection(&k, name, &doc, err);
		free(name);
	}
	while (k.n_todo > 0)
		free(k.todo[--k.n_todo]);
	free(k.todo);
	sov_buf_free(&doc);
	return rc;
}

/* --- temporaries --- */

struct chosen
{
	sov_list_fn fn;
	void	   *ctx;
	struct sov_buf list;		/* names, each with its NUL */
};

static bool
on_temporary(void *ctx, const char *name, bool collection, uint64_t size, int64_t mtime_us)
{
	struct chosen *c = ctx;
	struct sov_object_stat st = {.size = size, .mtime_us = mtime_us};
	size_t		dir = strlen(WEBDAV_TMP "/"),
				digits = strspn(name + (strncmp(name, WEBDAV_TMP "/", dir) == 0 ? dir : 0), "0123456789abcdef");

	if (!collection && strncmp(name, WEBDAV_TMP "/", dir) == 0 && digits == 32 && name[dir + digits] == '\0' && c->fn(c->ctx, name, &st))
		sov_write_bytes(&c->list, name, strlen(name) + 1);
	return true;
}

static enum sov_code
remove_temporary(struct webdav *w, const char *name, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", name);
	rc = sov_store_call(&w->store, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c) && c.reply.status != 404)
		rc = sov_store_fail(&w->store, &c, "remove temporary object", err);
	sov_call_free(&c);
	return rc;
}

enum sov_code
webdav_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct webdav *w = (struct webdav *) p;
	struct chosen chosen = {.fn = fn, .ctx = ctx};
	struct sov_buf doc = {0};
	struct sov_error why;
	struct sov_call c;
	enum sov_code rc = webdav_propfind(w, WEBDAV_TMP "/", "1", &doc, &c, err),
				one;

	if (rc == SOV_OK && c.reply.status == 207)
		rc = sov_dav_read_page(doc.data, doc.len, w->root_path, on_temporary, &chosen, err);
	else if (rc == SOV_OK && c.reply.status == 404)
		rc = webdav_check_root(w, err);
	else if (rc == SOV_OK)
		rc = sov_store_fail(&w->store, &c, "list collection", err);
	sov_call_free(&c);
	sov_buf_free(&doc);
	if (rc == SOV_OK && chosen.list.bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (size_t at = 0; rc != SOV_E_NOMEM && at < chosen.list.len; at += strlen((char *) chosen.list.data + at) + 1)
	{
		one = remove_temporary(w, (const char *) chosen.list.data + at, &why);
		if (one != SOV_OK && rc == SOV_OK && err != NULL)
			*err = why;
		rc = rc == SOV_OK ? one : rc;
	}
	sov_buf_free(&chosen.list);
	return rc;
}
