/*
 * stores - how many requests an operation of an adapter takes, and which.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scripted.h"
#include "sov_config.h"
#include "sov_provider.h"
#include "tap.h"

static struct sov_error err;
static char cred_file[300];

static struct sov_provider_config
config(const char *type, const char *place)
{
	struct sov_provider_config c = {.name = "test"};
	char		endpoint[100];

	snprintf(c.type, sizeof c.type, "%s", type);
	snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", port);
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
	sov_provider_close(p);
}

int
main(void)
{
	FILE	   *f;

	snprintf(cred_file, sizeof cred_file, "/tmp/sov_stores_XXXXXX");
	f = fdopen(mkstemp(cred_file), "w");
	fprintf(f, "user = u\npassword = secret\n");
	fclose(f);
	start_server();
	webdav();
	ok(tap_locked_kb() == 0, "no secret stays in memory");
	unlink(cred_file);
	return tap_done();
}
