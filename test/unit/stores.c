/*
 * stores - which requests an operation of an adapter takes, and what it makes of the answers.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../providers/swift.h"
#include "scripted.h"
#include "sov_config.h"
#include "sov_provider.h"
#include "tap.h"

static struct sov_error err;
static char cred_file[300];

static struct sov_provider_config
config_at(const char *type, const char *place, const char *path)
{
	struct sov_provider_config c = {.name = "test"};
	char		endpoint[100];

	snprintf(c.type, sizeof c.type, "%s", type);
	snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d%s", port, path);
	sov_provider_config_set(&c, "endpoint", endpoint, 1);
	sov_provider_config_set(&c, "allow-http", "yes", 2);
	sov_provider_config_set(&c, "credentials-file", cred_file, 3);
	sov_provider_config_set(&c, "stall-timeout", "1s", 4);
	if (place != NULL)
		sov_provider_config_set(&c, place, "b", 5);
	if (strcmp(type, "s3") == 0)
		sov_provider_config_set(&c, "region", "r", 6);
	return c;
}

static struct sov_provider_config
config(const char *type, const char *place)
{
	return config_at(type, place, "");
}

/* The i-th request began so. */
static bool
was(int i, const char *start)
{
	if (i < served && strncmp(requests[i], start, strlen(start)) == 0)
		return true;
	printf("# request %d of %d: %.*s\n", i, (int) served, (int) strcspn(requests[i], "\r"), requests[i]);
	return false;
}

/* --- webdav --- */

#define COLLECTION "CLOSE HTTP/1.1 207 M\r\n\r\n<multistatus xmlns=\"DAV:\"><response><href>/</href><propstat><prop><resourcetype><collection/></resourcetype></prop></propstat></response></multistatus>"
#define OBJECT "CLOSE HTTP/1.1 207 M\r\n\r\n<multistatus xmlns=\"DAV:\"><response><href>/x</href><propstat><prop><resourcetype/><getcontentlength>3</getcontentlength></prop></propstat></response></multistatus>"
#define NOT_FOUND "HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n"
#define CREATED "HTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n"

#define GONE "HTTP/1.1 204 N\r\n\r\n"
#define TO_LOGIN "HTTP/1.1 302 F\r\nLocation: http://127.0.0.1/login/\r\nContent-Length: 0\r\n\r\n"
#define TO_COLLECTION "HTTP/1.1 301 M\r\nLocation: https://127.0.0.1/x/\r\nContent-Length: 0\r\n\r\n"
#define DAV(entries) "CLOSE HTTP/1.1 207 M\r\n\r\n<multistatus xmlns=\"DAV:\">" entries "</multistatus>"
#define DAV_FOLDER(href) "<response><href>" href "</href><propstat><prop><resourcetype><collection/></resourcetype></prop></propstat></response>"
#define DAV_FILE(href) "<response><href>" href "</href><propstat><prop><getcontentlength>0</getcontentlength>" \
	"<getlastmodified>Fri, 02 Jan 2026 03:04:05 GMT</getlastmodified></prop></propstat></response>"
#define SEVERAL DAV("<response><href>/x</href><status>HTTP/1.1 423 Locked</status></response>")
#define BEGUN "+tmp/0123456789abcdef0123456789abcdef"

static bool
count_any(void *ctx, const char *name, const struct sov_object_stat *st)
{
	++*(int *) ctx;
	return true;
}

static bool
of_january(void *ctx, const char *name, const struct sov_object_stat *st)
{
	++*(int *) ctx;
	return st->mtime_us == INT64_C(1767323045000000);
}

static void
webdav_unfinished(struct sov_provider *p)
{
	int			n = 0;

	SCRIPT(DAV(DAV_FOLDER("/+tmp/") DAV_FILE("/" BEGUN) DAV_FILE("/+tmp/others")), GONE);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_OK && n == 1 && served == 2 && was(0, "PROPFIND /+tmp/ ") && was(1, "DELETE /" BEGUN " "),
	   "webdav: what is left of a put is taken back: %d %s", n, err.message);
	SCRIPT(NOT_FOUND, COLLECTION);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_OK && n == 1 && served == 2, "webdav: where nothing was ever put there is none");
	SCRIPT(NOT_FOUND, NOT_FOUND);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_PROVIDER, "webdav: without its root nobody knows");
}

/* The server writes the path in its own way. */
static void
webdav_places(void)
{
	struct sov_provider_config c = config_at("webdav", NULL, "/J%C3%BCrgen");
	struct sov_provider *p = NULL;
	int			n = 0;

	SCRIPT(COLLECTION);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "webdav: open"))
		return;
	SCRIPT(DAV(DAV_FOLDER("/J%c3%bcrgen") DAV_FILE("http://127.0.0.1/%4a\xc3\xbcrgen/x")));
	ok(sov_provider_list(p, "", count_any, &n, &err) == SOV_OK && n == 1, "webdav: names below a path that is encoded otherwise: %d %s", n, err.message);
	SCRIPT(DAV(DAV_FOLDER("/inside/J%C3%BCrgen/") DAV_FILE("/inside/J%C3%BCrgen/x")));
	ok(sov_provider_list(p, "", count_any, &n, &err) == SOV_E_PROVIDER, "webdav: a list of another place is not an empty one: %s", err.message);
	sov_provider_close(p);
}

static void
webdav(void)
{
	struct sov_provider_config c = config("webdav", NULL);
	struct sov_provider *p = NULL;
	struct sov_put_span span = {"abc", 3};
	struct sov_object_stat st;

	SCRIPT(COLLECTION);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "webdav: open"))
		return;
	SCRIPT(NOT_FOUND, NOT_FOUND, COLLECTION, CREATED, CREATED);
	ok(sov_provider_put(p, "x", &span, 1, true, &err) == SOV_OK && served == 5, "webdav: put if absent takes five requests: %s", err.message);
	ok(was(0, "PROPFIND /x ") && was(1, "PROPFIND /x ") && was(2, "PROPFIND / ") && was(3, "PUT /+tmp/") && was(4, "MOVE /+tmp/"),
	   "webdav: two looks, one at the root, put and move");
	SCRIPT(NOT_FOUND, OBJECT);
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_OK && st.size == 3 && served == 2, "webdav: the second look finds it");
	SCRIPT(OBJECT);
	ok(sov_provider_put(p, "x", &span, 1, true, &err) == SOV_E_EXISTS && served == 1, "webdav: what exists is told after one request");
	SCRIPT(NOT_FOUND, NOT_FOUND, NOT_FOUND);
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_E_PROVIDER && served == 3 && strstr(err.hint, "mounted"), "webdav: without its root nothing is known to be absent");
	SCRIPT(NOT_FOUND, NOT_FOUND, NOT_FOUND);
	ok(sov_provider_put(p, "x", &span, 1, true, &err) == SOV_E_PROVIDER && served == 3, "webdav: and nothing is put");
	SCRIPT(NOT_FOUND, NOT_FOUND, COLLECTION);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_NOTFOUND && served == 3, "webdav: remove of what is absent");
	SCRIPT(TO_LOGIN);
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_E_PROVIDER && served == 1, "webdav: who is sent elsewhere is not told that it is absent: %s", err.message);
	SCRIPT(TO_COLLECTION, TO_COLLECTION, COLLECTION);
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_E_NOTFOUND && served == 3, "webdav: a collection is no object");
	SCRIPT(CREATED, SEVERAL, GONE);
	ok(sov_provider_put(p, "x", &span, 1, false, &err) == SOV_E_PROVIDER && served == 3, "webdav: several answers to a move are no yes: %s", err.message);
	SCRIPT(OBJECT, SEVERAL);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && served == 2, "webdav: nor to a removal: %s", err.message);
	webdav_unfinished(p);
	sov_provider_close(p);
	webdav_places();
}

/* --- s3: removal where versions are kept --- */

#define LIST_EMPTY "HTTP/1.1 200 O\r\nContent-Length: 38\r\n\r\n<ListBucketResult></ListBucketResult>  "
#define HEAD_OF(id) "HTTP/1.1 200 O\r\nContent-Length: 0\r\nx-amz-version-id: " id "\r\n\r\n"
#define HEAD_PLAIN "HTTP/1.1 200 O\r\nContent-Length: 0\r\n\r\n"
#define HEAD_LOCKED "HTTP/1.1 200 O\r\nContent-Length: 0\r\nx-amz-version-id: v1\r\n" \
	"x-amz-object-lock-retain-until-date: 2999-01-01T00:00:00Z\r\n\r\n"
#define HEAD_LOCKED_BADLY "HTTP/1.1 200 O\r\nContent-Length: 0\r\n" \
	"x-amz-object-lock-retain-until-date: 2999-01-01T00:00:00Z\033[2J\r\n\r\n"
#define HEAD_UNLOCKED "HTTP/1.1 200 O\r\nContent-Length: 0\r\nx-amz-version-id: v1\r\n" \
	"x-amz-object-lock-retain-until-date: 2020-01-01T00:00:00Z\r\n\r\n"
#define HEAD_MARKER(id) "CLOSE HTTP/1.1 404 N\r\nx-amz-delete-marker: true\r\n" id "\r\n"
#define NO_KEY "CLOSE HTTP/1.1 404 N\r\n\r\n<Error><Code>NoSuchKey</Code></Error>"
#define REFUSED "CLOSE HTTP/1.1 403 F\r\n\r\n<Error><Code>AccessDenied</Code></Error>"
#define NO_VERSION "CLOSE HTTP/1.1 404 N\r\n\r\n<Error><Code>NoSuchVersion</Code></Error>"
#define NO_BUCKET "CLOSE HTTP/1.1 404 N\r\n\r\n<Error><Code>NoSuchBucket</Code></Error>"
#define BUSY "HTTP/1.1 503 S\r\nContent-Length: 0\r\n\r\n"
#define NOT_HERE "CLOSE HTTP/1.1 501 N\r\n\r\n<Error><Code>NotImplemented</Code></Error>"
#define GONE_BEHIND_MARKER "HTTP/1.1 204 N\r\nx-amz-delete-marker: true\r\n\r\n"
#define ENTRY(kind, key, id, latest) "<" kind "><Key>" key "</Key><VersionId>" id "</VersionId><IsLatest>" latest "</IsLatest></" kind ">"
#define VERSIONS(entries) "CLOSE HTTP/1.1 200 O\r\n\r\n<ListVersionsResult>" entries "</ListVersionsResult>"
#define ONE_OF_MANY "CLOSE HTTP/1.1 200 O\r\n\r\n<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker>" \
	"<NextVersionIdMarker>v1</NextVersionIdMarker>" ENTRY("Version", "x", "v1", "true") "</ListVersionsResult>"
#define TWO VERSIONS(ENTRY("DeleteMarker", "x", "m1", "true") ENTRY("Version", "x", "v1", "false") ENTRY("Version", "x2", "o1", "true"))

static bool
count_name(void *ctx, const char *name, const struct sov_object_stat *st)
{
	++*(int *) ctx;
	return st->size == 0 && strcmp(name, "x") == 0;
}

#define PAGE(more, key) "CLOSE HTTP/1.1 200 O\r\n\r\n<ListBucketResult>" more "<Contents><Key>" key "</Key><Size>0</Size></Contents></ListBucketResult>"

static void
s3_listed(struct sov_provider *p)
{
	int			n = 0;
	struct sov_object_stat st;

	SCRIPT(HEAD_LOCKED, HEAD_UNLOCKED, HEAD_PLAIN);
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_OK && st.locked, "s3: a look tells of a lock");
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_OK && !st.locked && sov_provider_stat(p, "x", &st, &err) == SOV_OK && !st.locked,
	   "s3: not of one that has ended, or of none");
	SCRIPT(HEAD_LOCKED_BADLY);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_LOCKED && strstr(err.message, "until 2999-01-01T00:00:00Z") && strchr(err.message, '\033') == NULL,
	   "s3: what stands behind the date is not shown on anybody's terminal");
	SCRIPT(HEAD_PLAIN, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 2 && was(1, "DELETE /b/x HTTP"), "s3: where no versions are kept, a look and a removal");
	SCRIPT(REFUSED);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) == SOV_OK && n == 0, "s3: there the list of versions may be refused");
	SCRIPT(HEAD_MARKER(""), NO_KEY, TWO, GONE, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 5, "s3: what is hidden by a marker is removed: %s", err.message);
	ok(was(2, "GET /b/?max-keys=1000&prefix=x&versions= ") && was(3, "DELETE /b/x?versionId=v1 ") && was(4, "DELETE /b/x?versionId=m1 "), "s3: by the ids of the list, the oldest first");
	SCRIPT(NO_KEY, NO_KEY, TWO, GONE, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 5, "s3: also from a server that does not tell of markers: %s", err.message);
	SCRIPT(HEAD_PLAIN, GONE_BEHIND_MARKER, TWO, GONE, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 5, "s3: also when only the removal tells of versions: %s", err.message);
	SCRIPT(HEAD_MARKER(""), NO_KEY, TWO, REFUSED, HEAD_LOCKED, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_LOCKED && strstr(err.message, "2999"), "s3: an older version that is locked is told: %s", err.message);
	SCRIPT(HEAD_UNLOCKED, TWO, GONE, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 4, "s3: a lock that has ended is none: %s", err.message);
	SCRIPT(HEAD_MARKER(""), NO_KEY, TWO, REFUSED, HEAD_OF("v1"));
	ok(sov_provider_remove(p, "x", &err) != SOV_OK && served == 5 && err.refused, "s3: and one that may not be removed: %s", err.message);
	SCRIPT(TWO);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) == SOV_OK && n == 1, "s3: names that are hidden are listed, no others");
	SCRIPT(REFUSED);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) != SOV_OK && strstr(err.hint, "s3:ListBucketVersions"), "s3: where versions are kept the list may not be refused: %s", err.message);
}

static void
s3_not_listed(struct sov_provider *p)
{
	SCRIPT(HEAD_OF("v2"), REFUSED, HEAD_OF("v2"), GONE, HEAD_MARKER("x-amz-version-id: m1\r\n"), NO_KEY, GONE, HEAD_OF("v1"), GONE, NO_KEY, NO_KEY);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 11, "s3: without a list, one after the other until none is seen: %s", err.message);
	ok(was(3, "DELETE /b/x?versionId=v2 ") && was(6, "DELETE /b/x?versionId=m1 ") && was(8, "DELETE /b/x?versionId=v1 "), "s3: markers as well");
	SCRIPT(HEAD_OF("v2"), REFUSED, HEAD_OF("v2"), GONE, HEAD_MARKER(""), NO_KEY);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && strstr(err.message, "may be there still"), "s3: a marker without an id may hide what cannot be seen: %s", err.message);
	SCRIPT(HEAD_OF("v1"), LIST_EMPTY, HEAD_OF("v1"), GONE, NO_KEY, NO_KEY);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 6, "s3: a server that answers with another list: %s", err.message);
	SCRIPT(NO_KEY, NO_KEY, REFUSED);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_NOTFOUND && served == 3 && strstr(err.message, "\"x\""), "s3: what never was: %s", err.message);
}

/* What says that it is gone, and is not. */
static void
s3_not_gone(struct sov_provider *p)
{
	int			n = 0;

	SCRIPT(HEAD_PLAIN, BUSY, NO_BUCKET);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && served == 3 && strstr(err.message, "NoSuchBucket"), "s3: the bucket went between two attempts: %s", err.message);
	SCRIPT(HEAD_PLAIN, BUSY, NO_KEY);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 3, "s3: the object went with the first attempt: %s", err.message);
	SCRIPT(HEAD_OF("v1"), TWO, NOT_FOUND);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER, "s3: a 404 that does not say of what is no removal of a version: %s", err.message);
	SCRIPT(HEAD_OF("v1"), TWO, GONE, NO_BUCKET);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER, "s3: nor is a bucket that went: %s", err.message);
	SCRIPT(HEAD_OF("v1"), TWO, NO_VERSION, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 4, "s3: but one that somebody else removed: %s", err.message);
	SCRIPT(HEAD_OF("v1"), ONE_OF_MANY, GONE, ONE_OF_MANY, GONE, ONE_OF_MANY, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && served == 4 && strstr(err.message, "there still"), "s3: versions that stay in the list: %s", err.message);
	SCRIPT(HEAD_OF("v1"), REFUSED, HEAD_OF("v1"), GONE, HEAD_OF("v1"), GONE, HEAD_OF("v1"));
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && served == 5 && strstr(err.message, "there still"), "s3: or that stay the newest: %s", err.message);
	SCRIPT(NOT_HERE);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) == SOV_E_PROVIDER && n == 0, "s3: who keeps versions and lists none may hide some: %s", err.message);
}

/* --- s3: older versions, behind so many others as anybody likes to put there --- */

#define MARKERS "CLOSE HTTP/1.1 200 O\r\n\r\n<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker>" \
	"<NextVersionIdMarker>m1</NextVersionIdMarker>" ENTRY("DeleteMarker", "x", "m2", "true") ENTRY("DeleteMarker", "x", "m1", "false") "</ListVersionsResult>"
#define MARKERS_AND_OTHERS "CLOSE HTTP/1.1 200 O\r\n\r\n<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>x2</NextKeyMarker>" \
	"<NextVersionIdMarker>o1</NextVersionIdMarker>" ENTRY("DeleteMarker", "x", "m2", "true") ENTRY("Version", "x2", "o1", "true") "</ListVersionsResult>"

static void
s3_older(struct sov_provider *p)
{
	struct sov_buf b = {0};

	SCRIPT(MARKERS, VERSIONS(ENTRY("DeleteMarker", "x", "m0", "false") ENTRY("Version", "x", "v1", "false")), "HTTP/1.1 200 O\r\nContent-Length: 3\r\n\r\nold");
	ok(sov_provider_older(p, "x", 0, &b, &err) == SOV_OK && b.len == 3 && served == 3, "s3: an older version is found behind a page of markers: %s", err.message);
	ok(was(1, "GET /b/?key-marker=x&max-keys=1000&prefix=x&version-id-marker=m1&versions= ") && was(2, "GET /b/x?versionId=v1 "), "s3: where the list goes on");
	SCRIPT(MARKERS, MARKERS);
	ok(sov_provider_older(p, "x", 0, &b, &err) == SOV_E_PROVIDER && served == 2 && strstr(err.message, "does not end"), "s3: a list that goes on where it was: %s", err.message);
	SCRIPT(MARKERS_AND_OTHERS);
	ok(sov_provider_older(p, "x", 0, &b, &err) == SOV_E_NOTFOUND && served == 1, "s3: behind other names there is none: %s", err.message);
	sov_buf_free(&b);
}

/* --- s3: Google's generations --- */

#define HEAD_GOOGLE "HTTP/1.1 200 O\r\nContent-Length: 0\r\nx-goog-generation: 1700000000000000\r\n\r\n"
#define VERSIONING(status) "CLOSE HTTP/1.1 200 O\r\n\r\n<VersioningConfiguration>" status "</VersioningConfiguration>"

static void
s3_google(void)
{
	static const char *const answers[] = {VERSIONING("<Status>Enabled</Status>"), REFUSED, VERSIONING("<Status>Suspended</Status>"), VERSIONING("")};
	struct sov_provider_config c = config("s3", "bucket");

	for (int i = 0; i < 4; i++)
	{
		const char *list[] = {HEAD_GOOGLE, GONE, answers[i], HEAD_GOOGLE, GONE};
		struct sov_provider *p = NULL;
		enum sov_code want = i < 2 ? SOV_E_LOCKED : SOV_OK;

		SCRIPT(LIST_EMPTY);
		if (!ok_rc(sov_provider_open(&c, &p, &err), err, "google: open"))
			return;
		script(5, list);
		ok(sov_provider_remove(p, "x", &err) == want && was(2, "GET /b/?versioning= "), "google: whether it is gone is asked the bucket (%d): %s", i, want ? err.message : "it is");
		ok(sov_provider_remove(p, "x", &err) == want && served == 5, "google: once");
		sov_provider_close(p);
	}
}

/* --- s3: uploads in parts that were not finished --- */

#define UPLOAD(key, id) "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>2026-01-02T03:04:05.000Z</Initiated></Upload>"
#define UPLOADS(more, entries) "CLOSE HTTP/1.1 200 O\r\n\r\n<ListMultipartUploadsResult>" more entries "</ListMultipartUploadsResult>"
#define MORE_UPLOADS "<IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker><NextUploadIdMarker>u1</NextUploadIdMarker>"
#define NO_UPLOAD "CLOSE HTTP/1.1 404 N\r\n\r\n<Error><Code>NoSuchUpload</Code></Error>"

static void
s3_unfinished(struct sov_provider *p)
{
	int			n = 0;

	SCRIPT(UPLOADS(MORE_UPLOADS, UPLOAD("Others", "u0") UPLOAD("x", "u1")), GONE, UPLOADS("", UPLOAD("y", "u+/2")), GONE);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_OK && n == 2 && served == 4, "s3: uploads in parts are taken back, others' are not: %d %s", n, err.message);
	ok(was(0, "GET /b/?max-uploads=1000&prefix=&uploads= ") && was(1, "DELETE /b/x?uploadId=u1 ") && was(3, "DELETE /b/y?uploadId=u%2B%2F2 ") &&
	   was(2, "GET /b/?key-marker=x&max-uploads=1000&prefix=&upload-id-marker=u1&uploads= "), "s3: page by page");
	SCRIPT(UPLOADS("", UPLOAD("x", "u1") UPLOAD("x", "u2") UPLOAD("y", "u3")), REFUSED, NO_UPLOAD, GONE);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_PROVIDER && served == 4 && err.refused && strstr(err.hint, "AbortMultipartUpload"),
	   "s3: one that may not be taken back stops no other: %s", err.message);
	SCRIPT(UPLOADS("<IsTruncated>true</IsTruncated>", UPLOAD("x", "u1")), NO_UPLOAD, UPLOADS("", ""));
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_OK && served == 3 && was(2, "GET /b/?key-marker=x&max-uploads=1000&prefix=&upload-id-marker=u1&uploads= "),
	   "s3: a list that does not say where it goes on goes on behind its last: %s", err.message);
	SCRIPT(UPLOADS("", UPLOAD("x", "u1")), NO_UPLOAD);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_OK && served == 2, "s3: one that is finished meanwhile: %s", err.message);
	SCRIPT(UPLOADS("", UPLOAD("x", "u1")), NO_BUCKET);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_PROVIDER, "s3: a bucket that went says nothing of it: %s", err.message);
	SCRIPT(UPLOADS(MORE_UPLOADS, ""), UPLOADS(MORE_UPLOADS, ""));
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_PROVIDER && served == 2, "s3: a list that goes on where it was: %s", err.message);
	SCRIPT(REFUSED);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_PROVIDER && strstr(err.hint, "ListBucketMultipartUploads"), "s3: a list that may not be read: %s", err.message);
	SCRIPT(NOT_HERE);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_UNSUPPORTED, "s3: a server that does not know the question: %s", err.message);
	SCRIPT(LIST_EMPTY);
	ok(sov_provider_sweep(p, of_january, &n, &err) == SOV_E_UNSUPPORTED, "s3: or answers another: %s", err.message);
}

/* A list goes on where a page ended; the size of a page can be set. */
static void
s3_pages(void)
{
	struct sov_provider_config c = config("s3", "bucket");
	struct sov_provider *p = NULL;
	int			n = 0;

	sov_provider_config_set(&c, "list-page", "7", 7);
	SCRIPT(LIST_EMPTY);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "s3: open"))
		return;
	ok(was(0, "GET /b/?list-type=2&max-keys=7&prefix=id "), "s3: list-page is asked for");
	SCRIPT(PAGE("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>", "x"), PAGE("", "y"));
	ok(sov_provider_list(p, "", count_any, &n, &err) == SOV_OK && n == 2 && was(1, "GET /b/?continuation-token=t&list-type=2&max-keys=7&prefix= "),
	   "s3: and goes on: %s", err.message);
	sov_provider_close(p);
}

static void
s3_versions(void)
{
	struct sov_provider_config c = config("s3", "bucket");
	struct sov_provider *p = NULL;

	SCRIPT(LIST_EMPTY);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "s3: open"))
		return;
	s3_listed(p);
	s3_not_listed(p);
	s3_not_gone(p);
	s3_older(p);
	s3_unfinished(p);
	sov_provider_close(p);
}

/* --- swift: containers that keep versions --- */

#define SWIFT_TOKEN "HTTP/1.1 200 O\r\nContent-Length: 0\r\nX-Auth-Token: t\r\n\r\n"
#define SWIFT_LIST "HTTP/1.1 200 O\r\nContent-Length: 2\r\nX-Versions-Enabled: true\r\n\r\n[]"
#define SWIFT_NONE "HTTP/1.1 200 O\r\nContent-Length: 2\r\n\r\n[]"
#define SWIFT_ENTRY(id) "{\"name\":\"x\",\"version_id\":\"" id "\",\"is_latest\":true,\"content_type\":\"text/plain\"}"
#define SWIFT_ONE(id) "CLOSE HTTP/1.1 200 O\r\n\r\n[" SWIFT_ENTRY(id) "]"
#define SWIFT_HEAD "HTTP/1.1 200 O\r\nContent-Length: 3\r\n\r\n"

static void
swift_versions(void)
{
	struct sov_provider_config c = config("swift", "container");
	struct sov_provider *p = NULL;
	static const char *const late[] = {SWIFT_ONE("v1"), GONE, SWIFT_ONE("v1"), NOT_FOUND, SWIFT_NONE};
	const char *always[MAX_REPLIES];
	char		url[100];

	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/AUTH_a", port);
	sov_provider_config_set(&c, "storage-url", url, 7);
	SCRIPT(SWIFT_TOKEN, SWIFT_LIST);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "swift: open"))
		return;
	script(5, late);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 5, "swift: a list that is late: %s", err.message);
	SCRIPT(SWIFT_NONE, NOT_FOUND, GONE, NOT_FOUND, GONE);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_NOTFOUND && served == 5, "swift: what never was: %s", err.message);
	SCRIPT(SWIFT_NONE, SWIFT_HEAD);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && err.retryable, "swift: what is there and not listed is not called absent: %s", err.message);
	SCRIPT(SWIFT_ONE("v1"), NOT_FOUND, NOT_FOUND);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER, "swift: a container that went: %s", err.message);
	for (int i = 0; i < MAX_REPLIES; i += 2)
	{
		always[i] = SWIFT_ONE("v1");
		always[i + 1] = GONE;
	}
	script(MAX_REPLIES, always);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && strstr(err.message, "listed still"), "swift: versions that stay in the list: %s", err.message);
	sov_provider_close(p);
}

static size_t json_bytes;

static void *
count_json(size_t n)
{
	json_bytes += n;
	return malloc(n);
}

static bool
each_version(void *ctx, const char *name, const struct sov_swift_version *one)
{
	return true;
}

/* A page of 32 MB must not take gigabytes. */
static void
swift_many_values(void)
{
	static const char *const values[] = {"{},", "[],", "1,", "\"\",", "{\"\":1},"};
	size_t		n;
	char		next[1100],
				id[64];
	struct sov_buf page = {0};

	for (size_t v = 0; v < sizeof values / sizeof *values; v++)
	{
		struct sov_listing list = {0};
		bool		refused;

		page.len = json_bytes = 0;
		sov_write_u8(&page, '[');
		while (page.len < SOV_STORE_LIST_MAX - 10)
			sov_write_bytes(&page, values[v], strlen(values[v]));
		page.data[page.len - 1] = ']';
		json_set_alloc_funcs(count_json, free);
		refused = sov_swift_read_page(page.data, page.len, &list, &n, next, sizeof next, &err) != SOV_OK &&
			sov_swift_read_versions(page.data, page.len, each_version, NULL, &n, next, id, &err) != SOV_OK;
		ok(refused && json_bytes < SOV_STORE_LIST_MAX, "swift: a page of many \"%s\" takes %zu bytes", values[v], json_bytes);
		json_set_alloc_funcs(malloc, free);
	}
	sov_buf_free(&page);
}

/* --- azure: accounts that keep what is removed --- */

#define BLOBS "CLOSE HTTP/1.1 200 O\r\n\r\n<EnumerationResults><Blobs></Blobs></EnumerationResults>"
#define BLOB_VERSION "HTTP/1.1 200 O\r\nContent-Length: 0\r\nx-ms-version-id: 2026-01-01T00:00:00.0000000Z\r\n\r\n"
#define ACCEPTED "HTTP/1.1 202 A\r\nContent-Length: 0\r\nx-ms-delete-type-permanent: true\r\n\r\n"
#define SOFT "HTTP/1.1 202 A\r\nContent-Length: 0\r\nx-ms-delete-type-permanent: false\r\n\r\n"

#define UNKNOWN_QUESTION "HTTP/1.1 400 B\r\nContent-Length: 0\r\nx-ms-error-code: UnsupportedQueryParameter\r\n\r\n"
#define BLOB(name, more) "<Blob><Name>" name "</Name>" more "<Properties><Content-Length>3</Content-Length></Properties></Blob>"
#define KEPT(blobs, next) "CLOSE HTTP/1.1 200 O\r\n\r\n<EnumerationResults><Blobs>" blobs "</Blobs>" next "</EnumerationResults>"
#define KEPT_1 KEPT(BLOB("a", "") BLOB("b", "<VersionId>1</VersionId>") BLOB("b", "<VersionId>2</VersionId><IsCurrentVersion>true</IsCurrentVersion>") \
	BLOB("x", "<VersionId>1</VersionId>"), "<NextMarker>n</NextMarker>")
#define KEPT_2 KEPT(BLOB("x", "<Deleted>true</Deleted>") BLOB("y", "<Deleted>true</Deleted>") BLOB("y", ""), "")

#define KEPT_X1 KEPT(BLOB("w", "<VersionId>0</VersionId>") BLOB("x", "<VersionId>2026-01-01T00:00:00.0000000Z</VersionId>"), "<NextMarker>n</NextMarker>")
#define KEPT_X2 KEPT(BLOB("x", "<VersionId>2</VersionId>") BLOB("xy", "<VersionId>3</VersionId>"), "")
#define NO_BLOB "HTTP/1.1 404 N\r\nContent-Length: 0\r\nx-ms-error-code: BlobNotFound\r\n\r\n"

static void
azure(void)
{
	struct sov_provider_config c = config("azure", "container");
	struct sov_provider *p = NULL;
	struct sov_buf b = {0};
	int			n = 0;

	SCRIPT(BLOBS);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "azure: open"))
		return;
	SCRIPT(HEAD_PLAIN, ACCEPTED);
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 2 && was(1, "DELETE /b/x "), "azure: removed for good, after a look for versions");
	SCRIPT(UNKNOWN_QUESTION);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) == SOV_OK && n == 0, "azure: an account that cannot keep versions: %s", err.message);
	SCRIPT(UNKNOWN_QUESTION);
	ok(sov_provider_older(p, "x", 0, &b, &err) == SOV_E_NOTFOUND, "azure: has no older ones: %s", err.message);
	SCRIPT(HEAD_PLAIN, SOFT);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_LOCKED && strstr(err.hint, "soft delete"), "azure: a soft delete is not called a removal: %s", err.message);
	sov_provider_close(p);
	SCRIPT(BLOBS);
	if (!ok_rc(sov_provider_open(&c, &p, &err), err, "azure: open"))
		return;
	SCRIPT(HEAD_PLAIN, ACCEPTED, BLOB_VERSION, ACCEPTED, KEPT_X1, KEPT_X2, ACCEPTED, ACCEPTED, KEPT("", ""));
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && sov_provider_remove(p, "x", &err) == SOV_OK && served == 9,
	   "azure: versions are removed too, also after one that was put before they were turned on: %s", err.message);
	ok(was(3, "DELETE /b/x HTTP") && was(6, "DELETE /b/x?versionid=2026-01-01T00%3A00%3A00.0000000Z ") && was(7, "DELETE /b/x?versionid=2 "), "azure: by their ids, others' are not");
	SCRIPT(ACCEPTED, KEPT(BLOB("x", "<VersionId>1</VersionId>"), ""), SOFT, KEPT(BLOB("x", "<VersionId>1</VersionId><Deleted>true</Deleted>"), ""));
	ok(sov_provider_remove(p, "x", &err) == SOV_E_LOCKED && served == 4, "azure: who keeps versions is not looked at again; those that it keeps after their removal are told: %s", err.message);
	SCRIPT(ACCEPTED, KEPT(BLOB("x", "<VersionId>1</VersionId>"), ""), ACCEPTED, KEPT(BLOB("x", "<VersionId>1</VersionId>"), ""));
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && served == 4, "azure: versions that stay in the list: %s", err.message);
	SCRIPT(NO_BLOB, KEPT(BLOB("x", "<VersionId>1</VersionId>"), ""), ACCEPTED, KEPT("", ""));
	ok(sov_provider_remove(p, "x", &err) == SOV_OK && served == 4, "azure: those of a blob that somebody hid: %s", err.message);
	SCRIPT(KEPT_X1, KEPT_X2, "HTTP/1.1 200 O\r\nContent-Length: 3\r\n\r\nold");
	ok(sov_provider_older(p, "x", 1, &b, &err) == SOV_OK && b.len == 3 && served == 3 && was(2, "GET /b/x?versionid=2 "), "azure: an older version is read, the newest first: %s", err.message);
	SCRIPT(KEPT_X1, KEPT_X2);
	ok(sov_provider_older(p, "x", 2, &b, &err) == SOV_E_NOTFOUND && served == 2 && b.len == 3, "azure: to the oldest");
	sov_buf_free(&b);
	SCRIPT(NO_BLOB, KEPT("", ""));
	ok(sov_provider_remove(p, "x", &err) == SOV_E_NOTFOUND && served == 2, "azure: what never was");
	SCRIPT(ACCEPTED, KEPT(BLOB("x", "<VersionId>1</VersionId>"), ""), REFUSED);
	ok(sov_provider_remove(p, "x", &err) == SOV_E_PROVIDER && err.refused, "azure: one that may not be removed: %s", err.message);
	SCRIPT(KEPT_1, KEPT_2);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) == SOV_OK && n == 1 && served == 2, "azure: names of which something is kept, and nothing seen: %d %s", n, err.message);
	ok(was(0, "GET /b?comp=list&include=deleted%2Cversions&") || was(0, "GET /b?restype=container&comp=list&maxresults=1000&include=deleted%2Cversions "), "azure: are asked for");
	SCRIPT(UNKNOWN_QUESTION);
	ok(sov_provider_hidden(p, "", count_name, &n, &err) == SOV_E_PROVIDER, "azure: who keeps versions must list them: %s", err.message);
	sov_provider_close(p);
}

int
main(void)
{
	FILE	   *f;

	snprintf(cred_file, sizeof cred_file, "/tmp/sov_stores_XXXXXX");
	f = fdopen(mkstemp(cred_file), "w");
	fprintf(f, "user = u\npassword = secret\naccess-key = a\nsecret-key = b\naccount = a\naccount-key = QUJDREVGR0hJSktMTU5PUFFS\n");
	fclose(f);
	start_server();
	webdav();
	s3_pages();
	s3_versions();
	s3_google();
	swift_versions();
	swift_many_values();
	azure();
	ok(tap_locked_kb() == 0, "no secret stays in memory");
	unlink(cred_file);
	return tap_done();
}
