/*
 * s3_lock.c - object lock and versions of S3.
 *
 * With "object-lock = 30d" every object is put with a date until which the
 * service itself refuses to remove or shorten it, whoever asks (compliance), or
 * whoever has no special right (governance).  Objects that "check" puts to try a
 * provider (class c) are not locked, nor is the beat of an audit log, which is put
 * again every few seconds.  A locked object may still be put again: that
 * is a new version, and readers see it.
 *
 * In a bucket with versions a plain DELETE only hides an object behind a marker:
 * nothing is freed, and a receipt that says "deleted" would be false.  So versions
 * are removed by their ids, the newest first, until none is left.  One that is
 * locked stays, and nothing is hidden.
 *
 * Whoever holds credentials that may put, or put markers, can overwrite or hide what
 * such a bucket keeps, but not take it away: older versions are read back by their ids.
 */
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "s3_lock.h"
#include "xml.h"

#define VERSIONS_MAX 1000

static bool
applies(const struct sov_s3_lock *lock, const char *name)
{
	size_t		len = strlen(name);
	bool		beat = len > 5 && strcmp(name + len - 5, "/beat") == 0;

	return lock->seconds > 0 && strncmp(name, "c/", 2) != 0 && !beat;
}

void
sov_s3_lock_ask(const struct sov_s3_lock *lock, struct sov_call *c, char until[SOV_S3_UNTIL])
{
	time_t		then = time(NULL) + (time_t) lock->seconds;
	struct tm	tm;

	if (!applies(lock, c->name))
		return;
	gmtime_r(&then, &tm);
	strftime(until, SOV_S3_UNTIL, "%Y-%m-%dT%H:%M:%SZ", &tm);
	sov_call_header(c, "x-amz-object-lock-mode", lock->governance ? "GOVERNANCE" : "COMPLIANCE");
	sov_call_header(c, "x-amz-object-lock-retain-until-date", until);
}

enum sov_code
sov_s3_lock_prove(struct sov_s3_lock *lock, struct sov_store *s, const char *name, struct sov_error *err)
{
	struct sov_call c;
	struct sov_object_stat st;
	char		until[64];
	enum sov_code rc;

	if (!applies(lock, name) || lock->proven)
		return SOV_OK;
	rc = sov_store_look(s, name, &st, &c, err);
	if (rc == SOV_OK && !sov_http_header(&c.reply, "x-amz-object-lock-retain-until-date", until, sizeof until))
		rc = sov_fail(err, SOV_E_PROVIDER, SOV_S3_LOCK_HINT, "the server took object \"%s\" and does not lock it", name);
	lock->proven = rc == SOV_OK;
	sov_call_free(&c);
	return rc;
}

/* Until when the service keeps the version that a HEAD tells of; by its own clock. */
static bool
is_locked(const struct sov_call *c, char until[64])
{
	char		date[64],
				hold[16];
	int64_t		now_us = sov_http_header(&c->reply, "date", date, sizeof date) ? sov_http_date_us(date) : 0;

	if (sov_http_header(&c->reply, "x-amz-object-lock-legal-hold", hold, sizeof hold) && strcasecmp(hold, "ON") == 0)
	{
		snprintf(until, 64, "its legal hold is taken off");
		return true;
	}
	if (now_us == 0)
		now_us = (int64_t) time(NULL) * 1000000;
	return sov_http_header(&c->reply, "x-amz-object-lock-retain-until-date", until, 64) && sov_http_date_us(until) >= now_us;
}

static enum sov_code
remove_version(struct sov_store *s, const char *name, const char *version, struct sov_error *err)
{
	struct sov_call c;
	enum sov_code rc;

	sov_call_init(&c, "DELETE", name);
	sov_call_query(&c, "versionId", version);
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c) && c.reply.status != 404)
		rc = sov_store_fail(s, &c, "remove object", err);
	sov_call_free(&c);
	return rc;
}

/* The newest version; *plain when the bucket has none, and a plain DELETE will do. */
static enum sov_code
remove_newest(struct sov_store *s, const char *name, bool *plain, struct sov_error *err)
{
	struct sov_call c;
	struct sov_object_stat st;
	char		version[200],
				until[64];
	enum sov_code rc = sov_store_look(s, name, &st, &c, err);

	if (rc == SOV_OK && is_locked(&c, until))
		rc = sov_fail(err, SOV_E_LOCKED, NULL, "object \"%s\" is locked until %.40s", name, until);
	else if (rc == SOV_OK && sov_http_header(&c.reply, "x-amz-version-id", version, sizeof version))
		rc = remove_version(s, name, version, err);
	else if (rc == SOV_OK)
		*plain = true;
	sov_call_free(&c);
	return rc;
}

enum sov_code
sov_s3_remove(struct sov_store *s, const char *name, struct sov_error *err)
{
	bool		plain = false;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	for (int i = 0; i < VERSIONS_MAX; i++)
	{
		enum sov_code rc = remove_newest(s, name, &plain, err);

		if (plain)
			return sov_store_remove(&s->base, name, err);
		if (rc == SOV_E_NOTFOUND && i > 0)
		{
			sov_error_clear(err);
			return SOV_OK;
		}
		if (rc != SOV_OK)
			return rc;
	}
	return sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\" has more than %d versions", name, VERSIONS_MAX);
}

/* --- older versions --- */

struct versions
{
	const char *key;			/* with the provider's prefix */
	int			age;			/* how many are still to be passed over */
	char		at[1100],		/* the entry that is read */
				id[200];
	bool		latest,
				found;
	char		version[200];	/* what was looked for */
};

/* Entries of one key come newest first; a removal's marker is no version. */
static bool
on_version(void *ctx, const char *path, const char *text)
{
	struct versions *v = ctx;

	if (strncmp(path, "ListVersionsResult/Version", 26) != 0)
		return true;
	path += 26;
	if (strcmp(path, "/Key") == 0)
		snprintf(v->at, sizeof v->at, "%s", text);
	else if (strcmp(path, "/VersionId") == 0)
		snprintf(v->id, sizeof v->id, "%s", text);
	else if (strcmp(path, "/IsLatest") == 0)
		v->latest = strcmp(text, "true") == 0;
	else if (path[0] == '\0')
	{
		if (strcmp(v->at, v->key) == 0 && !v->latest && v->id[0] != '\0' && v->age-- == 0)
		{
			snprintf(v->version, sizeof v->version, "%s", v->id);
			v->found = true;
			return false;
		}
		v->at[0] = v->id[0] = '\0';
		v->latest = false;
	}
	return true;
}

/* To a server that keeps none the question itself may be wrong: that is an answer. */
static bool
knows_no_versions(int status)
{
	return status == 400 || status == 404 || status == 405 || status == 501;
}

/* The id of that version, from the first page of the list: a thousand. */
static enum sov_code
find_version(struct sov_store *s, const char *name, struct versions *v, struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	char		key[400];
	enum sov_code rc;

	snprintf(key, sizeof key, "%s%s", sov_net_prefix(s->net), name);
	v->key = key;
	sov_call_init(&c, "GET", NULL);
	sov_call_query(&c, "prefix", key);
	sov_call_query(&c, "versions", "");
	c.sink = &doc;
	c.sink_max = SOV_STORE_LIST_MAX;
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK && knows_no_versions(c.reply.status))
		v->found = false;
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = sov_store_fail(s, &c, "list the versions of an object", err);
	/* a server that does not know the question answers another one, or anything */
	else if (rc == SOV_OK && sov_xml_read(doc.data, doc.len, on_version, v, NULL, NULL) != SOV_OK)
		v->found = false;
	if (rc == SOV_OK && !v->found)
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "no older version of object \"%s\" is kept", name);
	v->key = NULL;
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

enum sov_code
sov_s3_older(struct sov_store *s, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	struct versions v = {.age = age};
	struct sov_call c;
	size_t		start = out->len;
	uint64_t	length;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_store_bad_name(name, err);
	rc = find_version(s, name, &v, err);
	if (rc != SOV_OK)
		return rc;
	sov_call_init(&c, "GET", name);
	sov_call_query(&c, "versionId", v.version);
	c.sink = out;
	c.sink_max = SOV_STORE_OBJECT_MAX;
	rc = sov_store_call(s, &c, err);
	if (rc == SOV_OK && c.reply.status != 200)
		rc = sov_store_fail(s, &c, "get an older version of object", err);
	else if (rc == SOV_OK && sov_http_header_number(&c.reply, "content-length", &length) && length != out->len - start)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": an older version was cut short", name);
	if (rc != SOV_OK)
		out->len = start;
	sov_call_free(&c);
	return rc;
}
