/*
 * s3_versions.c - removal, and versions of objects in a bucket of S3 that keeps them.
 *
 * A plain DELETE there only hides an object behind a marker: nothing is freed, and a
 * receipt that says "deleted" would be false.  So all that the bucket lists of a name,
 * versions and markers, is removed by its id; the newest may well be a marker, of an
 * earlier removal or of somebody else's (Amazon tells of one where an object is asked for,
 * Ceph does not).  Where the list may not be read, what comes to light when the newest is
 * taken away is removed, until nothing does.  When the newest is locked nothing is removed
 * and nothing hidden.
 *
 * Whoever holds credentials that may put, or put markers, can overwrite or hide what
 * such a bucket keeps, but not take it away: older versions are read back by their ids.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "s3_private.h"
#include "xml.h"

#define PAGE_MAX 100000			/* pages of one list */
#define OLDER_PAGES 1000		/* looked through for an older version */
#define NOT_LISTED "the credentials must be allowed s3:ListBucketVersions and s3:DeleteObjectVersion"

/* --- lists --- */

/* Entries of one key come newest first. */
static bool
on_entry(void *ctx, const char *path, const char *text)
{
	struct sov_s3_versions *v = ctx;
	bool		marker,
				more;

	if (strncmp(path, "ListVersionsResult", 18) != 0)
		return true;
	v->is_list = true;
	path += 18;
	if (strcmp(path, "/IsTruncated") == 0)
		v->truncated = strcmp(text, "true") == 0;
	else if (strcmp(path, "/NextKeyMarker") == 0)
		snprintf(v->next_key, sizeof v->next_key, "%s", text);
	else if (strcmp(path, "/NextVersionIdMarker") == 0)
		snprintf(v->next_id, sizeof v->next_id, "%s", text);
	marker = strncmp(path, "/DeleteMarker", 13) == 0;
	if (!marker && strncmp(path, "/Version", 8) != 0)
		return true;
	path += marker ? 13 : 8;
	if (strcmp(path, "/Key") == 0)
		snprintf(v->key, sizeof v->key, "%s", text);
	else if (strcmp(path, "/VersionId") == 0)
		snprintf(v->one.id, sizeof v->one.id, "%s", text);
	else if (strcmp(path, "/IsLatest") == 0)
		v->one.latest = strcmp(text, "true") == 0;
	if (path[0] != '\0')
		return true;
	v->one.marker = marker;
	more = v->key[0] == '\0' || v->one.id[0] == '\0' || v->each(v->ctx, v->key, &v->one);
	v->key[0] = '\0';
	memset(&v->one, 0, sizeof v->one);
	return more;
}

enum sov_code
sov_s3_read_versions(const void *data, size_t len, struct sov_s3_versions *v, struct sov_error *err)
{
	enum sov_code rc;

	v->is_list = v->truncated = false;
	v->next_key[0] = v->next_id[0] = v->key[0] = '\0';
	memset(&v->one, 0, sizeof v->one);
	rc = sov_xml_read(data, len, on_entry, v, NULL, err);
	if (rc == SOV_OK && !v->is_list)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of versions is not one");
	return rc;
}

/* One page, that begins behind what the one before ended with.  SOV_E_UNSUPPORTED from a
 * server that keeps none: the question itself may be wrong to it, or it answers another. */
static enum sov_code
ask_page(struct s3 *s, const char *prefix, struct sov_s3_versions *v, struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	char		whole[400],
				key[sizeof v->next_key],
				id[sizeof v->next_id];
	int			status;
	enum sov_code rc;

	snprintf(whole, sizeof whole, "%s%s", sov_net_prefix(s->store.net), prefix);
	sov_call_init(&c, "GET", NULL);
	if (v->next_key[0] != '\0')
	{
		snprintf(key, sizeof key, "%s", v->next_key);
		sov_call_query(&c, "key-marker", key);
	}
	sov_call_query(&c, "max-keys", s->store.list_page);
	sov_call_query(&c, "prefix", whole);
	if (v->next_key[0] != '\0' && v->next_id[0] != '\0')
	{
		snprintf(id, sizeof id, "%s", v->next_id);
		sov_call_query(&c, "version-id-marker", id);
	}
	sov_call_query(&c, "versions", "");
	c.sink = &doc;
	c.sink_max = SOV_STORE_LIST_MAX;
	rc = sov_store_call(&s->store, &c, err);
	status = c.reply.status;
	if (rc == SOV_OK && (status == 400 || status == 404 || status == 405 || status == 501))
		rc = sov_fail(err, SOV_E_UNSUPPORTED, NULL, "the server lists no versions");
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = s3_fail(s, &c, "list versions of objects", err);
	else if (rc == SOV_OK)
	{
		rc = sov_s3_read_versions(doc.data, doc.len, v, err);
		if (rc == SOV_E_PROVIDER && !v->is_list)
			rc = sov_fail(err, SOV_E_UNSUPPORTED, NULL, "the server lists no versions");
	}
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

/* What a page has of one object. */
struct of_one
{
	char		key[400];		/* with the provider's prefix */
	struct sov_buf list;		/* of struct sov_s3_version, newest first */
	bool		others;			/* names behind it came */
};

static bool
on_own(void *ctx, const char *key, const struct sov_s3_version *one)
{
	struct of_one *o = ctx;

	if (strcmp(key, o->key) != 0)
		o->others = true;
	else
		sov_write_bytes(&o->list, one, sizeof *one);
	return true;
}

/* The next page of the object's versions, the newest first; *more when it has others. */
static enum sov_code
list_page(struct s3 *s, const char *name, struct sov_s3_versions *v, struct sov_buf *list, bool *more, struct sov_error *err)
{
	struct of_one o = {.list = *list};
	enum sov_code rc;

	snprintf(o.key, sizeof o.key, "%s%s", sov_net_prefix(s->store.net), name);
	o.list.len = 0;
	v->each = on_own;
	v->ctx = &o;
	rc = ask_page(s, name, v, err);
	if (rc == SOV_OK && o.list.bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	*more = v->truncated && !o.others;
	*list = o.list;
	return rc;
}

/* The newest of them, a page. */
static enum sov_code
list_newest(struct s3 *s, const char *name, struct sov_buf *list, bool *more, struct sov_error *err)
{
	struct sov_s3_versions *v = calloc(1, sizeof *v);
	enum sov_code rc = v ? list_page(s, name, v, list, more, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	free(v);
	return rc;
}

/* --- remove --- */

struct removal
{
	struct s3  *s;
	const char *name;
	int			n;				/* versions and markers that were removed */
	bool		hidden,			/* readers do not see it, by a marker */
				google;
	char		newest[SOV_S3_ID],	/* its id, "" when it has none */
				until[64];		/* a lock that holds one back, or "" */
};

static bool
is_marker(const struct sov_call *c)
{
	char		text[8];

	return sov_http_header(&c->reply, "x-amz-delete-marker", text, sizeof text) && strcasecmp(text, "true") == 0;
}

static enum sov_code
fail_locked(struct removal *r, struct sov_error *err)
{
	return sov_fail(err, SOV_E_LOCKED, NULL, "object \"%s\" is locked until %.40s", r->name, r->until);
}

static enum sov_code
fail_comes_back(const struct removal *r, struct sov_error *err)
{
	return sov_fail(err, SOV_E_PROVIDER, NULL, "versions of object \"%s\" are there still, although the server says that they are removed", r->name);
}

/* The newest: SOV_OK when it is there or is known to be a marker. */
static enum sov_code
look_newest(struct removal *r, struct sov_error *err)
{
	struct sov_call c;
	struct sov_object_stat st;
	enum sov_code rc = sov_store_look(&r->s->store, r->name, &st, &c, err);

	r->hidden = rc == SOV_E_NOTFOUND && is_marker(&c);
	r->google = s3_is_google(&c);
	if (!sov_http_header(&c.reply, "x-amz-version-id", r->newest, sizeof r->newest))
		r->newest[0] = '\0';
	if (r->hidden || r->newest[0] != '\0')
		r->s->versions = true;
	if (rc == SOV_OK && sov_s3_locked(&c, r->until))
		rc = fail_locked(r, err);
	else if (r->hidden)
	{
		sov_error_clear(err);
		rc = SOV_OK;
	}
	sov_call_free(&c);
	return rc;
}

/* Of what has no id, in a bucket that keeps no versions; unless the answer tells of a
 * marker, which now hides what there is. */
static enum sov_code
remove_plain(struct removal *r, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", r->name);
	rc = sov_store_call(&r->s->store, &c, err);
	if (rc == SOV_OK && c.reply.status == 404)
	{
		rc = r->s->store.dialect->absent(&r->s->store, &c, err);
		/* gone by our own first attempt, whose answer was lost */
		if (rc == SOV_E_NOTFOUND && c.reply.attempts > 1)
			rc = SOV_OK;
	}
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = s3_fail(r->s, &c, "remove object", err);
	if (rc == SOV_OK && is_marker(&c))
		r->hidden = r->s->versions = true;
	sov_call_free(&c);
	return rc;
}

/* Is it a lock that the service refused this for? */
static bool
version_locked(struct removal *r, const char *version)
{
	struct sov_call c;
	bool		locked;

	sov_call_init(&c, "HEAD", r->name);
	sov_call_query(&c, "versionId", version);
	locked = sov_store_call(&r->s->store, &c, NULL) == SOV_OK && sov_call_ok(&c) && sov_s3_locked(&c, r->until);
	sov_call_free(&c);
	return locked;
}

/* A 404 that speaks of the version, not of the bucket or of something between. */
static bool
is_gone(const struct sov_call *c)
{
	char		code[64] = "";

	sov_xml_text(&c->reply.body, "Error/Code", code, sizeof code);
	return c->reply.status == 404 && (strcmp(code, "NoSuchVersion") == 0 || strcmp(code, "NoSuchKey") == 0);
}

static enum sov_code
remove_version(struct removal *r, const char *version, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", r->name);
	sov_call_query(&c, "versionId", version);
	rc = sov_store_call(&r->s->store, &c, err);
	if (rc == SOV_OK && (sov_call_ok(&c) || is_gone(&c)))
		r->n++;
	else if (rc == SOV_OK && !version_locked(r, version))
		rc = s3_fail(r->s, &c, "remove a version of object", err);
	sov_call_free(&c);
	return rc;
}

/* All that the list has, the oldest of a page first: should this be interrupted, readers
 * still see what they saw.  SOV_E_UNSUPPORTED: there is no list, or none for us. */
static enum sov_code
remove_listed(struct removal *r, struct sov_error *err)
{
	char		oldest[SOV_S3_ID] = "";	/* of the page before */
	bool		more = true;
	enum sov_code rc = SOV_OK;

	for (int before = -1; more && rc == SOV_OK && r->n != before;)
	{
		struct sov_buf list = {0};
		struct sov_s3_version one;
		struct sov_error why;

		sov_error_clear(&why);
		before = r->n;
		rc = list_newest(r->s, r->name, &list, &more, &why);
		if (rc != SOV_OK && err != NULL)
			*err = why;
		if (rc != SOV_OK && why.refused)
			rc = SOV_E_UNSUPPORTED;
		for (size_t at = list.len; at > 0 && rc == SOV_OK; at -= sizeof one)
		{
			memcpy(&one, list.data + at - sizeof one, sizeof one);
			/* when the oldest of a page is there again, none of it has gone */
			if (at == list.len && strcmp(one.id, oldest) == 0)
				rc = fail_comes_back(r, err);
			if (at == list.len)
				memcpy(oldest, one.id, sizeof oldest);
			if (rc == SOV_OK)
				rc = remove_version(r, one.id, err);
		}
		sov_buf_free(&list);
	}
	return rc;
}

/* Without a list. */
static enum sov_code
remove_seen(struct removal *r, struct sov_error *err)
{
	char		before[SOV_S3_ID] = "";
	enum sov_code rc;

	sov_error_clear(err);
	for (int i = 0; (rc = look_newest(r, err)) == SOV_OK && r->until[0] == '\0'; i++)
	{
		if (i == PAGE_MAX || (i > 0 && strcmp(r->newest, before) == 0))
			return fail_comes_back(r, err);
		memcpy(before, r->newest, sizeof before);
		if (r->newest[0] == '\0')
			return sov_fail(err, SOV_E_PROVIDER, NOT_LISTED,
							"object \"%s\" is hidden by a removal, and versions of it may be there still", r->name);
		rc = remove_version(r, r->newest, err);
		if (rc != SOV_OK)
			break;
	}
	if (rc == SOV_E_NOTFOUND && r->n > 0)
	{
		sov_error_clear(err);
		rc = SOV_OK;
	}
	return rc;
}

enum sov_code
s3_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct removal r = {.s = (struct s3 *) p, .name = name};
	struct sov_error why;
	enum sov_code rc,
				looked;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	looked = look_newest(&r, err);
	if (looked == SOV_OK && !r.hidden && r.newest[0] == '\0')
	{
		rc = remove_plain(&r, err);
		if (rc != SOV_OK || !r.hidden)
			return rc == SOV_OK && r.google ? s3_check_generations(r.s, name, err) : rc;
	}
	else if (looked != SOV_OK && looked != SOV_E_NOTFOUND)
		return looked;
	sov_error_clear(&why);
	rc = remove_listed(&r, &why);
	if (rc == SOV_E_UNSUPPORTED || (rc == SOV_OK && r.n == 0 && r.until[0] == '\0'))
		return looked == SOV_E_NOTFOUND ? looked : remove_seen(&r, err);
	if (err != NULL)
		*err = why;
	return rc == SOV_OK && r.until[0] != '\0' ? fail_locked(&r, err) : rc;
}

/* --- what is hidden --- */

static bool
on_any(void *ctx, const char *key, const struct sov_s3_version *one)
{
	return !one->latest || !one->marker || sov_listing_key(ctx, key, 0, 0, true);
}

/* One page; SOV_E_UNSUPPORTED where no versions are kept: the list may be refused there. */
static enum sov_code
hidden_page(struct s3 *s, const char *prefix, struct sov_s3_versions *v, struct sov_error *err)
{
	char		key[sizeof v->next_key],
				id[sizeof v->next_id];
	enum sov_code rc;

	memcpy(key, v->next_key, sizeof key);
	memcpy(id, v->next_id, sizeof id);
	rc = ask_page(s, prefix, v, err);
	if (rc == SOV_E_UNSUPPORTED && s->versions)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server keeps versions of objects, and does not list them");
	if (rc != SOV_OK && err->refused && !s->versions)
		return SOV_E_UNSUPPORTED;
	if (rc != SOV_OK && err->refused)
		snprintf(err->hint, sizeof err->hint, "%s", NOT_LISTED);
	if (rc == SOV_OK && v->truncated && (v->next_key[0] == '\0' || (strcmp(key, v->next_key) == 0 && strcmp(id, v->next_id) == 0)))
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of versions does not end");
	return rc;
}

enum sov_code
s3_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct sov_listing list = {.store = (struct sov_store *) p, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_s3_versions *v = calloc(1, sizeof *v);
	struct sov_error why;
	enum sov_code rc = v ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	for (int page = 0; rc == SOV_OK && !list.stopped && (page == 0 || v->truncated); page++)
	{
		v->each = on_any;
		v->ctx = &list;
		sov_error_clear(&why);
		rc = hidden_page((struct s3 *) p, prefix, v, &why);
		if (rc == SOV_OK)
			rc = page < PAGE_MAX ? sov_listing_check(&list, &why) :
				sov_fail(&why, SOV_E_PROVIDER, NULL, "the server's list of versions does not end");
		if (rc != SOV_OK && err != NULL)
			*err = why;
	}
	free(v);
	return rc == SOV_E_UNSUPPORTED ? SOV_OK : rc;
}

/* --- older versions --- */

/* Does the list go on, elsewhere than where it was? */
static enum sov_code
check_goes_on(const struct sov_s3_versions *v, const char *key, const char *id, struct sov_error *err)
{
	if (v->next_key[0] != '\0' && (strcmp(key, v->next_key) != 0 || strcmp(id, v->next_id) != 0))
		return SOV_OK;
	return sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of versions does not end");
}

/* The id of the age-th; a removal's marker is no version.  Who may put can put a thousand
 * markers before it, so that it is looked for page by page. */
static enum sov_code
find_version(struct s3 *s, const char *name, int age, char version[SOV_S3_ID], struct sov_error *err)
{
	struct sov_s3_versions *v = calloc(1, sizeof *v);
	struct sov_buf list = {0};
	struct sov_s3_version one;
	char		key[sizeof v->next_key] = "",
				id[SOV_S3_ID] = "";
	bool		more = true,
				found = false;
	enum sov_code rc = v ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	for (int page = 0; rc == SOV_OK && more && !found && page < OLDER_PAGES; page++)
	{
		rc = list_page(s, name, v, &list, &more, err);
		for (size_t at = 0; rc == SOV_OK && !found && at < list.len; at += sizeof one)
		{
			memcpy(&one, list.data + at, sizeof one);
			found = !one.marker && !one.latest && age-- == 0;
			memcpy(version, one.id, sizeof one.id);
		}
		if (rc == SOV_OK && more && !found)
			rc = check_goes_on(v, key, id, err);
		if (rc == SOV_OK)
		{
			memcpy(key, v->next_key, sizeof key);
			memcpy(id, v->next_id, sizeof id);
		}
	}
	sov_buf_free(&list);
	free(v);
	if (!found && (rc == SOV_OK || rc == SOV_E_UNSUPPORTED))
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "no older version of object \"%s\" is kept", name);
	return rc;
}

enum sov_code
s3_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	struct s3  *s = (struct s3 *) p;
	char		version[SOV_S3_ID];
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = find_version(s, name, age, version, err);
	return rc != SOV_OK ? rc : sov_store_get_version(&s->store, name, "versionId", version, out, err);
}
