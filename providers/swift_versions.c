/*
 * swift_versions.c - removal, and containers of Swift that keep what is removed.
 *
 * There are three kinds, and a receipt that says "deleted" must be true in each:
 *
 * X-Versions-Enabled: a plain DELETE hides the object behind a marker.  Versions and
 * markers are removed by their ids, all that the container lists of the name; older
 * versions are read back by theirs.
 *
 * X-Versions-Location: a DELETE brings the version before back.  It is repeated until
 * there is none.
 *
 * X-History-Location: a DELETE puts the object into another container, which is not ours
 * to empty.  The object is gone for readers, and that is all that is claimed.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sov_stop.h"
#include "swift_private.h"

#define NAME_CAP 1100
#define STACK_MAX 100000		/* versions of one object */
#define OLDER_PAGES 1000		/* looked through for an older version */
#define LATE_MAX 5				/* times that a list may be late, */
#define LATE_MS 100				/* waited for so long, twice as long each time */

/* --- lists of versions --- */

enum sov_code
sov_swift_read_versions(const void *data, size_t len, bool (*each) (void *ctx, const char *name, const struct sov_swift_version *one),
						void *ctx, size_t *n, char *next, char *next_id, struct sov_error *err)
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
				   *id = json_string_value(json_object_get(entry, "version_id")),
				   *type = json_string_value(json_object_get(entry, "content_type"));
		struct sov_swift_version one = {.latest = json_is_true(json_object_get(entry, "is_latest")),
		.marker = type != NULL && strncmp(type, "application/x-deleted", 21) == 0};

		if (!good || !more)
			break;
		good = name != NULL && name[0] != '\0' && strlen(name) < NAME_CAP && id != NULL && id[0] != '\0' && strlen(id) < sizeof one.id;
		if (!good)
			break;
		snprintf(one.id, sizeof one.id, "%s", id);
		snprintf(next, NAME_CAP, "%s", name);
		snprintf(next_id, sizeof one.id, "%s", id);
		more = each(ctx, name, &one);
	}
	json_decref(root);
	return good ? SOV_OK : sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of versions is not one");
}

/* From behind next and next_id on; *n is 0 at the end. */
static enum sov_code
ask_page(struct swift *s, const char *prefix, bool (*each) (void *, const char *, const struct sov_swift_version *), void *ctx,
		 size_t *n, char next[NAME_CAP], char next_id[64], struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	char		whole[400],
				marker[NAME_CAP],
				id[64];
	enum sov_code rc;

	snprintf(whole, sizeof whole, "%s%s", sov_net_prefix(s->store.net), prefix);
	memcpy(marker, next, sizeof marker);
	memcpy(id, next_id, sizeof id);
	sov_call_init(&c, "GET", NULL);
	sov_call_query(&c, "format", "json");
	sov_call_query(&c, "limit", s->store.list_page);
	if (marker[0] != '\0')
		sov_call_query(&c, "marker", marker);
	sov_call_query(&c, "prefix", whole);
	if (marker[0] != '\0')
		sov_call_query(&c, "version_marker", id);
	sov_call_query(&c, "versions", "true");
	c.sink = &doc;
	c.sink_max = SOV_STORE_LIST_MAX;
	rc = sov_store_call(&s->store, &c, err);
	*n = 0;
	if (rc == SOV_OK && !sov_call_ok(&c))
		rc = sov_store_fail(&s->store, &c, "list versions of objects", err);
	else if (rc == SOV_OK && c.reply.status != 204)
		rc = sov_swift_read_versions(doc.data, doc.len, each, ctx, n, next, next_id, err);
	if (rc == SOV_OK && *n > 0 && strcmp(marker, next) == 0 && strcmp(id, next_id) == 0)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of versions does not end");
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

/* What a page has of one object. */
struct of_one
{
	char		name[400];		/* with the provider's prefix */
	struct sov_buf list;		/* of struct sov_swift_version, newest first */
	bool		others;			/* names behind it came */
};

static bool
on_own(void *ctx, const char *name, const struct sov_swift_version *one)
{
	struct of_one *o = ctx;

	if (strcmp(name, o->name) != 0)
		o->others = true;
	else
		sov_write_bytes(&o->list, one, sizeof *one);
	return true;
}

static enum sov_code
list_own(struct swift *s, const char *name, struct sov_buf *list, struct sov_error *err)
{
	struct of_one o = {0};
	char		next[NAME_CAP] = "",
				next_id[64] = "";
	size_t		n;
	enum sov_code rc;

	snprintf(o.name, sizeof o.name, "%s%s", sov_net_prefix(s->store.net), name);
	rc = ask_page(s, name, on_own, &o, &n, next, next_id, err);
	if (rc == SOV_OK && o.list.bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	*list = o.list;
	return rc;
}

/* --- remove --- */

static enum sov_code
remove_version(struct swift *s, const char *name, const char *id, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", name);
	sov_call_query(&c, "version-id", id);
	rc = sov_store_call(&s->store, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c) && c.reply.status != 404)
		rc = sov_store_fail(&s->store, &c, "remove a version of object", err);
	sov_call_free(&c);
	return rc;
}

/* Not listed: not there, or so new that the list does not have it. */
static enum sov_code
not_listed(struct swift *s, const char *name, struct sov_error *err)
{
	struct sov_object_stat st;
	enum sov_code rc = sov_store_stat(&s->store.base, name, &st, err);

	if (rc != SOV_OK)
		return rc;
	sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\" is there, and the container's list of versions does not have it yet", name);
	if (err != NULL)
		err->retryable = true;
	return SOV_E_PROVIDER;
}

/* Remove what a page has, the oldest first: should this be interrupted, readers still see
 * what they saw.  oldest: of the page before, and of this one; *late counts how often it is
 * the same, as lists of Swift may be late. */
static enum sov_code
remove_page(struct swift *s, const char *name, const struct sov_buf *list, struct sov_swift_version *oldest, int *late, struct sov_error *err)
{
	struct timespec wait;
	struct sov_swift_version one;
	enum sov_code rc = SOV_OK;

	memcpy(&one, list->data + list->len - sizeof one, sizeof one);
	if (strcmp(one.id, oldest->id) != 0)
		*late = 0;
	else if (++*late > LATE_MAX || sov_stopped())
		return sov_fail(err, SOV_E_PROVIDER, NULL, "versions of object \"%s\" are listed still, although the server says that they are removed", name);
	else
	{
		wait.tv_sec = (LATE_MS << *late) / 2000;
		wait.tv_nsec = (LATE_MS << *late) / 2 % 1000 * 1000000L;
		nanosleep(&wait, NULL);
	}
	*oldest = one;
	for (size_t at = list->len; at > 0 && rc == SOV_OK; at -= sizeof one)
	{
		memcpy(&one, list->data + at - sizeof one, sizeof one);
		rc = remove_version(s, name, one.id, err);
	}
	return rc;
}

static enum sov_code
remove_versions(struct swift *s, const char *name, struct sov_error *err)
{
	struct sov_swift_version oldest = {0};
	int			late = 0;
	enum sov_code rc;

	for (int page = 0;; page++)
	{
		struct sov_buf list = {0};
		bool		empty;

		rc = list_own(s, name, &list, err);
		empty = list.len == 0;
		if (rc == SOV_OK && !empty)
			rc = remove_page(s, name, &list, &oldest, &late, err);
		sov_buf_free(&list);
		if (rc != SOV_OK)
			return rc;
		if (empty)
			return page > 0 ? SOV_OK : not_listed(s, name, err);
	}
}

static enum sov_code
remove_stack(struct swift *s, const char *name, struct sov_error *err)
{
	enum sov_code rc = sov_store_remove(&s->store.base, name, err);

	for (int i = 0; rc == SOV_OK; i++)
	{
		if (i == STACK_MAX)
			return sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\" comes back each time it is removed", name);
		rc = sov_store_remove(&s->store.base, name, err);
		if (rc == SOV_E_NOTFOUND)
		{
			sov_error_clear(err);
			return SOV_OK;
		}
	}
	return rc;
}

enum sov_code
swift_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct swift *s = (struct swift *) p;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	switch (s->keeps)
	{
		case KEEPS_VERSIONS:
			return remove_versions(s, name, err);
		case KEEPS_STACK:
			return remove_stack(s, name, err);
		case KEEPS_HISTORY:
			rc = sov_store_remove(p, name, err);
			if (rc == SOV_OK)
				rc = sov_fail(err, SOV_E_LOCKED, "take X-History-Location off the container, and empty the container that it names with the provider's own tools",
							  "object \"%s\" is gone for readers, but container \"%s\" puts what is removed into another one", name, s->container);
			return rc;
		default:
			return sov_store_remove(p, name, err);
	}
}

/* --- what is hidden, and older versions --- */

static bool
on_any(void *ctx, const char *name, const struct sov_swift_version *one)
{
	return !one->latest || !one->marker || sov_listing_key(ctx, name, 0, 0, true);
}

enum sov_code
swift_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct swift *s = (struct swift *) p;
	struct sov_listing list = {.store = &s->store, .prefix = prefix, .fn = fn, .ctx = ctx};
	char		next[NAME_CAP] = "",
				next_id[64] = "";
	size_t		n = s->keeps == KEEPS_VERSIONS;
	enum sov_code rc = SOV_OK;

	for (int page = 0; n > 0 && rc == SOV_OK && !list.stopped; page++)
	{
		if (page == PAGE_MAX)
			return sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of versions does not end");
		rc = ask_page(s, prefix, on_any, &list, &n, next, next_id, err);
		if (rc == SOV_OK)
			rc = sov_listing_check(&list, err);
	}
	return rc;
}

/* Page by page: who may put can put a thousand markers before it. */
static enum sov_code
find_version(struct swift *s, const char *name, int age, struct sov_swift_version *one, bool *found, struct sov_error *err)
{
	struct of_one o = {0};
	char		next[NAME_CAP] = "",
				next_id[64] = "";
	size_t		n = 1;
	enum sov_code rc = SOV_OK;

	snprintf(o.name, sizeof o.name, "%s%s", sov_net_prefix(s->store.net), name);
	for (int page = 0; rc == SOV_OK && n > 0 && !*found && !o.others && page < OLDER_PAGES; page++)
	{
		o.list.len = 0;
		rc = ask_page(s, name, on_own, &o, &n, next, next_id, err);
		if (rc == SOV_OK && o.list.bad)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		for (size_t at = 0; rc == SOV_OK && !*found && at < o.list.len; at += sizeof *one)
		{
			memcpy(one, o.list.data + at, sizeof *one);
			*found = !one->marker && !one->latest && age-- == 0;
		}
	}
	sov_buf_free(&o.list);
	return rc;
}

enum sov_code
swift_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	struct swift *s = (struct swift *) p;
	struct sov_swift_version one = {0};
	bool		found = false;
	enum sov_code rc = SOV_OK;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	if (s->keeps == KEEPS_VERSIONS)
		rc = find_version(s, name, age, &one, &found, err);
	if (rc != SOV_OK || !found)
		return rc != SOV_OK ? rc : sov_provider_no_older(p, name, age, out, err);
	return sov_store_get_version(&s->store, name, "version-id", one.id, out, err);
}
