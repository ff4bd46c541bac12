/*
 * fuzz_reply - what servers send: lists (XML, JSON, a directory's text), the
 * catalogue of a Keystone token, headers; and the credentials file.
 *
 * The first byte of the input chooses the reader; the corpus (corpus/reply) was
 * written by hand.  Whatever comes, only names that obey the rule, with the
 * prefix that was asked for, reach the caller, and a list knows where it goes
 * on or ends.
 */
#include <stdlib.h>
#include <string.h>

#include "../../providers/azure.h"
#include "../../providers/s3.h"
#include "../../providers/sftp.h"
#include "../../providers/swift.h"
#include "../../providers/webdav.h"
#include "../../providers/xml.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool
take_name(void *ctx, const char *name, const struct sov_object_stat *st)
{
	if (!sov_object_name_ok(name) || strncmp(name, "a", 1) != 0 || st->size > INT64_MAX)
		abort();
	return ++*(int *) ctx < 100;
}

static bool
take_resource(void *ctx, const char *name, bool collection, uint64_t size, int64_t mtime_us)
{
	if (strlen(name) > 1100)
		abort();
	return ++*(int *) ctx < 100;
}

static void
list(int kind, const uint8_t *data, size_t len)
{
	int			n = 0;
	struct sov_listing l = {.prefix = "a", .fn = take_name, .ctx = &n, .relative = true};
	bool		more = false;
	size_t		entries = 0;
	char		next[1100] = "";
	struct sov_error err;
	enum sov_code rc;

	if (kind == 2)
		rc = sov_azure_read_page(data, len, &l, &more, next, sizeof next, &err);
	else if (kind == 3)
		rc = sov_swift_read_page(data, len, &l, &entries, next, sizeof next, &err);
	else
		rc = sov_s3_read_page(data, len, &l, kind == 1, &more, next, sizeof next, &err);
	if (rc == SOV_OK && more && next[0] == '\0')
		abort();
	if (rc != SOV_OK && err.message[0] == '\0')
		abort();
}

static void
azure_kept(const uint8_t *data, size_t len)
{
	int			n = 0;
	struct sov_listing l = {.prefix = "a", .fn = take_name, .ctx = &n, .relative = true};
	struct sov_azure_kept *k = sov_azure_kept_new(&l);
	struct sov_error err;

	if (sov_azure_read_kept(data, len, k, &err) != SOV_OK && err.message[0] == '\0')
		abort();
	free(k);
}

static bool
take_version(void *ctx, const char *key, const struct sov_s3_version *one)
{
	if (key[0] == '\0' || strlen(key) > 1100 || one->id[0] == '\0' || strlen(one->id) >= sizeof one->id)
		abort();
	return ++*(int *) ctx < 100;
}

static void
versions(const uint8_t *data, size_t len)
{
	int			n = 0;
	struct sov_s3_versions *v = calloc(1, sizeof *v);
	struct sov_error err;

	v->each = take_version;
	v->ctx = &n;
	if (sov_s3_read_versions(data, len, v, &err) != SOV_OK && err.message[0] == '\0')
		abort();
	free(v);
}

static bool
take_upload(void *ctx, const char *key, const char *id, int64_t begun_us)
{
	if (key[0] == '\0' || strlen(key) > 1100 || id[0] == '\0' || begun_us < 0)
		abort();
	return ++*(int *) ctx < 100;
}

static void
uploads(const uint8_t *data, size_t len)
{
	int			n = 0;
	struct sov_s3_uploads *u = calloc(1, sizeof *u);
	struct sov_error err;

	u->each = take_upload;
	u->ctx = &n;
	if (sov_s3_read_uploads(data, len, u, &err) != SOV_OK && err.message[0] == '\0')
		abort();
	free(u);
}

static bool
take_swift_version(void *ctx, const char *name, const struct sov_swift_version *one)
{
	if (name[0] == '\0' || one->id[0] == '\0')
		abort();
	return ++*(int *) ctx < 100;
}

static void
swift_versions(const uint8_t *data, size_t len)
{
	char		next[1100] = "",
				id[64] = "";
	size_t		entries;
	int			n = 0;
	struct sov_error err;

	if (sov_swift_read_versions(data, len, take_swift_version, &n, &entries, next, id, &err) != SOV_OK && err.message[0] == '\0')
		abort();
}

static void
headers(const uint8_t *data, size_t len)
{
	struct sov_http_reply r = {0};
	const char *p = (const char *) data,
			   *end = p + len;
	uint64_t	a,
				b,
				c;
	char		text[100];

	while (p < end)
	{
		const char *stop = memchr(p, '\n', (size_t) (end - p));
		size_t		n = (size_t) ((stop ? stop + 1 : end) - p);

		sov_http_take_header(&r, p, n);
		p += n;
	}
	if (sov_http_header_number(&r, "content-length", &a) && a > INT64_MAX)
		abort();
	if (sov_http_header(&r, "content-range", text, sizeof text) && sov_http_content_range(text, &a, &b, &c) && a != UINT64_MAX && a > b)
		abort();
	if (sov_http_header(&r, "last-modified", text, sizeof text) && sov_http_date_us(text) < 0)
		abort();
	sov_http_header_number(&r, "retry-after", &a);
	sov_http_reply_free(&r);
}

static void
credentials(const uint8_t *data, size_t len)
{
	char	   *text = malloc(len + 2);
	struct sov_error err;

	memcpy(text, data, len);
	if (sov_credentials_parse(text, len, "file", &err) == SOV_OK)
	{
		const char *v = sov_credentials_get(text, "secret-key");

		if (v != NULL && *v == '\0')
			abort();
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char		url[200];
	struct sov_error err;
	int			n = 0;
	bool		directory;
	uint64_t	size;

	if (len == 0)
		return 0;
	switch (*data++ - '0')
	{
		case 0:
		case 1:
		case 2:
		case 3:
			list(data[-1] - '0', data, len - 1);
			break;
		case 4:
			if (sov_swift_catalogue(data, len - 1, "one", "public", url, sizeof url) && strlen(url) >= sizeof url)
				abort();
			break;
		case 5:
			(void) sov_dav_read_page(data, len - 1, "/dav", take_resource, &n, &err);
			break;
		case 6:
			if (sov_sftp_line((const char *) data, len - 1, &directory, &size, url, sizeof url) && url[0] == '\0')
				abort();
			break;
		case 7:
			headers(data, len - 1);
			break;
		case 8:
			credentials(data, len - 1);
			break;
		case 9:
			versions(data, len - 1);
			break;
		case 10:
			swift_versions(data, len - 1);
			break;
		case 11:
			azure_kept(data, len - 1);
			break;
		case 12:
			uploads(data, len - 1);
			break;
		default:
			break;
	}
	return 0;
}
