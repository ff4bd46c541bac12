/*
 * http - what adapters make of a server that misbehaves.
 */
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../providers/s3.h"
#include "scripted.h"
#include "sov_config.h"
#include "sov_provider.h"
#include "tap.h"

static struct sov_error err;
static char cred_file[300];

static struct sov_provider_config
config(const char *host)
{
	struct sov_provider_config c = {.name = "test", .type = "s3"};
	char		endpoint[100];

	snprintf(endpoint, sizeof endpoint, "http://%s:%d", host, port);
	sov_provider_config_set(&c, "endpoint", endpoint, 1);
	sov_provider_config_set(&c, "allow-http", "yes", 2);
	sov_provider_config_set(&c, "bucket", "b", 3);
	sov_provider_config_set(&c, "region", "r", 4);
	sov_provider_config_set(&c, "credentials-file", cred_file, 5);
	sov_provider_config_set(&c, "stall-timeout", "1s", 6);
	sov_provider_config_set(&c, "part-size", "5MB", 7);
	return c;
}

static const char list_empty[] = "HTTP/1.1 200 OK\r\nContent-Length: 76\r\n\r\n<ListBucketResult><IsTruncated>false</IsTruncated><A>1234</A></ListBucketResult>";

static struct sov_provider *
open_with(struct sov_provider_config c)
{
	static char reply[400];
	static const char *one[1] = {reply};
	const char *body = strstr(list_empty, "<");
	struct sov_provider *p = NULL;

	snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	script(1, one);
	ok_rc(sov_provider_open(&c, &p, &err), err, "open");
	return p;
}

/* --- tests --- */

static enum sov_code
get(struct sov_provider *p, uint64_t off, uint64_t len, size_t *n)
{
	struct sov_buf b = {0};
	enum sov_code rc;

	sov_error_clear(&err);
	rc = sov_provider_get(p, "x", off, len, &b, &err);
	*n = b.len;
	sov_buf_free(&b);
	return rc;
}

static void
bodies(struct sov_provider *p)
{
	size_t		n;

	SCRIPT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_OK && n == 3, "a plain reply");
	ok(strcasestr(requests[0], "x-amz-content-sha256: e3b0c442") && strcasestr(requests[0], "Authorization: AWS4-HMAC-SHA256") && !strcasestr(requests[0], "Expect:"), "the request is signed");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "CLOSE HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && n == 0 && err.retryable && served == 2, "a cut body is an error, after a second try; nothing of it is kept");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_OK && n == 3, "a cut body, and the second try succeeds: only that is kept");
	SCRIPT("CLOSE HTTP/1.1 206 P\r\nContent-Length: 6\r\nContent-Range: bytes 2-7/20\r\n\r\nabcdef");
	ok(get(p, 2, 4, &n) == SOV_E_PROVIDER && n == 0, "more than the range that was asked for");
	SCRIPT("HTTP/1.1 206 P\r\nContent-Length: 4\r\nContent-Range: bytes 3-6/20\r\n\r\nabcd");
	ok(get(p, 2, 4, &n) == SOV_E_PROVIDER && n == 0, "another range");
	SCRIPT("HTTP/1.1 206 P\r\nContent-Length: 2\r\nContent-Range: bytes 2-3/20\r\n\r\nab");
	ok(get(p, 2, 4, &n) == SOV_E_PROVIDER && n == 0, "less than the range, in the middle of the object");
	SCRIPT("HTTP/1.1 206 P\r\nContent-Length: 2\r\nContent-Range: bytes 2-3/4\r\n\r\nab");
	ok(get(p, 2, 4, &n) == SOV_OK && n == 2, "less than the range, at its end");
	SCRIPT("HTTP/1.1 206 P\r\nContent-Length: 2\r\nContent-Range: bytes 2-3/*\r\n\r\nab");
	ok(get(p, 2, 4, &n) == SOV_E_PROVIDER && n == 0, "less than the range, of nobody knows how much");
	SCRIPT("HTTP/1.1 416 R\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && n == 0, "no range was asked for: that there is none is no empty object");
	SCRIPT("HTTP/1.1 416 R\r\nContent-Range: bytes */20\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 5, 3, &n) == SOV_E_PROVIDER, "a range that is called absent from a longer object");
	SCRIPT("HTTP/1.1 416 R\r\nContent-Range: bytes */20\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 20, 3, &n) == SOV_OK && n == 0, "and one behind its end");
	SCRIPT("CLOSE HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Range: bytes 2-4/20\r\n\r\n");
	ok(get(p, 2, 3, &n) == SOV_E_PROVIDER && n == 0, "a trailer is no header");
	SCRIPT("HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 2-4/20\r\n\r\n3\r\nabc\r\n0\r\nHTTP/1.1: no\r\nContent-Range: bytes 9-9/9\r\n\r\n");
	ok(get(p, 2, 3, &n) == SOV_OK && n == 3, "nor takes it the place of one");
	SCRIPT("HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_OK && n == 3, "an interim answer before it");
	SCRIPT("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef");
	ok(get(p, 2, 8, &n) == SOV_E_PROVIDER && n == 0, "a server that ignores ranges");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", "CLOSE HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && n == 0, "chunks that are none");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", "CLOSE HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) != SOV_OK && n == 0, "a negative length");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nabc", "CLOSE ");
	ok(get(p, 0, UINT64_MAX, &n) != SOV_OK && n == 0, "a huge length");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) != SOV_OK && n == 0, "no length at all: it may have been cut");
	SCRIPT("CLOSE SSH-2.0-OpenSSH_9.2\r\n", "CLOSE SSH-2.0-OpenSSH_9.2\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && n == 0, "another protocol");
}

static void
refusals(struct sov_provider *p)
{
	struct sov_object_stat st;
	char		other[400];
	const char *redirect[1] = {other};
	size_t		n;
	int			before;

	SCRIPT("HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n<html>Not Found</html>");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER, "a 404 that does not say NoSuchKey is not sure");
	SCRIPT("HTTP/1.1 404 N\r\nContent-Length: 38\r\n\r\n<Error><Code>NoSuchKey</Code></Error>\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_NOTFOUND, "NoSuchKey is");
	SCRIPT("HTTP/1.1 404 N\r\n\r\n", "HTTP/1.1 404 N\r\nContent-Length: 41\r\n\r\n<Error><Code>NoSuchBucket</Code></Error>\n");
	ok(sov_provider_stat(p, "x", &st, &err) == SOV_E_PROVIDER && strstr(err.hint, "bucket \"b\" does not exist"), "a HEAD's 404 is looked at again: the bucket is gone");
	SCRIPT("HTTP/1.1 403 F\r\nContent-Length: 53\r\n\r\n<Error><Code>TOPSECRETKEYTOPSECRETKEY</Code></Error>\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && strstr(err.message, "403") && !strstr(err.message, "TOPSECRET") && !strstr(err.hint, "TOPSECRET"), "a server that sends the secret back does not get it shown");
	SCRIPT("HTTP/1.1 403 F\r\nContent-Length: 42\r\n\r\n<Error><Code>QuotaExceeded</Code></Error>\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_FULL, "a full account");
	SCRIPT("HTTP/1.1 403 F\r\nDate: Sun, 29 Nov 2020 10:00:00 GMT\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && strstr(err.hint, "this host's clock is "), "a refusal by a server with another time: %s", err.hint);
	before = connections;
	snprintf(other, sizeof other, "HTTP/1.1 307 T\r\nLocation: http://127.0.0.2:%d/elsewhere\r\nContent-Length: 0\r\n\r\n", port);
	script(1, redirect);
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && !err.retryable && strstr(err.hint, "redirects are not followed") && served == 1 && connections - before <= 1, "a redirect is not followed");
	SCRIPT("HTTP/1.1 301 M\r\nx-amz-bucket-region: eu-9\r\nContent-Length: 0\r\n\r\n");
	ok(sov_provider_put(p, "x", NULL, 0, false, &err) == SOV_E_PROVIDER && strstr(err.hint, "eu-9"), "a redirect to a region names it");
}

static void
retries(struct sov_provider *p)
{
	struct sov_put_span span = {"abc", 3};
	size_t		n;
	time_t		start;

	SCRIPT("HTTP/1.1 503 S\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 429 T\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	start = time(NULL);
	ok(get(p, 0, UINT64_MAX, &n) == SOV_OK && n == 3 && served == 3 && time(NULL) - start >= 1, "503 with Retry-After and 429 are tried again");
	SCRIPT("HTTP/1.1 503 S\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && err.retryable && served == 1, "not in an hour");
	SCRIPT("HTTP/1.1 503 S\r\nDate: Sun, 29 Nov 2020 10:00:00 GMT\r\nRetry-After: Sun, 29 Nov 2020 11:00:00 GMT\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && err.retryable && served == 1, "nor when the hour is a date, by the server's clock");
	SCRIPT("HTTP/1.1 503 S\r\nRetry-After: Sun, 29 Nov 2020 11:00:00 GMT\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_OK && served == 2, "at once when that has passed");
	SCRIPT("HTTP/1.1 429 T\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 429 T\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 429 T\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 429 T\r\nContent-Length: 0\r\n\r\n",
		   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && err.retryable && served == 4, "nor without end");
	SCRIPT("HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && !err.retryable && served == 1, "a refusal is not tried again");
	SCRIPT("SLEEP");
	start = time(NULL);
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && err.retryable && time(NULL) - start <= 3, "a server that says nothing is given up");
	/* our first attempt was stored, and its answer lost */
	SCRIPT("HTTP/1.1 404 N\r\n\r\n", "HTTP/1.1 404 N\r\nContent-Length: 38\r\n\r\n<Error><Code>NoSuchKey</Code></Error>\n",
		   "HTTP/1.1 503 S\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 412 P\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	ok(sov_provider_put(p, "x", &span, 1, true, &err) == SOV_OK && served == 5, "put if absent: what exists after a second try is our own");
	SCRIPT("HTTP/1.1 404 N\r\n\r\n", "HTTP/1.1 404 N\r\nContent-Length: 38\r\n\r\n<Error><Code>NoSuchKey</Code></Error>\n",
		   "HTTP/1.1 503 S\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 412 P\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabd");
	ok(sov_provider_put(p, "x", &span, 1, true, &err) == SOV_E_EXISTS, "or it is not");
}

static bool
any(void *ctx, const char *name, const struct sov_object_stat *st)
{
	++*(int *) ctx;
	return true;
}

static void
lists(struct sov_provider *p)
{
	int			n = 0;

	SCRIPT("CLOSE HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
		   "CLOSE HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>b</Key><Size>1</Size></Contents></ListBucketResult>");
	ok(sov_provider_list(p, "", any, &n, &err) == SOV_E_PROVIDER && served == 2, "a list that goes on where it was");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
		   "CLOSE HTTP/1.1 200 OK\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>u</NextContinuationToken><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>");
	ok(sov_provider_list(p, "", any, &n, &err) == SOV_E_PROVIDER && strstr(err.message, "never end"), "a list that begins anew");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\n\r\n<html>Welcome to the hotel</html>");
	ok(sov_provider_list(p, "", any, &n, &err) == SOV_E_PROVIDER, "a page for people is not an empty list");
	SCRIPT("CLOSE HTTP/1.1 200 OK\r\n\r\n");
	ok(sov_provider_list(p, "", any, &n, &err) == SOV_E_PROVIDER, "nor is nothing");
}

static void
parts(struct sov_provider *p)
{
	size_t		len = 6 << 20;
	struct sov_put_span span = {calloc(1, len), len};

	SCRIPT("HTTP/1.1 200 OK\r\nContent-Length: 93\r\n\r\n<InitiateMultipartUploadResult><UploadId>id/1+</UploadId>       </InitiateMultipartUploadResult>",
		   "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nETag: \"2\"\r\nContent-Length: 0\r\n\r\n",
		   "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n<Error><Code>InternalError</Code></Error>\r\n", "HTTP/1.1 204 N\r\n\r\n");
	ok(sov_provider_put(p, "x", &span, 1, false, &err) == SOV_E_PROVIDER, "an error inside a 200 is an error");
	ok(strstr(requests[1], "partNumber=1&uploadId=id%2F1%2B") != NULL && served == 5 && strncmp(requests[4], "DELETE ", 7) == 0, "the upload in parts is taken back");
	ok(sov_s3_part_size(100, 5 << 20, 10000) == 5 << 20 && sov_s3_part_size((uint64_t) 1 << 40, 64 << 20, 1000) == ((uint64_t) 1049 << 20) &&
	   sov_s3_part_size((uint64_t) 6 << 40, 64 << 20, 1000) == 0, "parts grow when there would be too many, to 5 GB");
	free((void *) span.data);
}

/* A host that no name server knows, behind a proxy that wants to know who asks. */
static void
proxied(void)
{
	struct sov_provider_config c = config("storage.invalid");
	struct sov_provider *p;
	char		proxy[100];
	size_t		n;

	snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", port);
	sov_provider_config_set(&c, "proxy", proxy, 8);
	setenv("no_proxy", "*", 1);
	p = open_with(c);
	unsetenv("no_proxy");
	ok(p != NULL && strncmp(requests[0], "GET http://storage.invalid:", 27) == 0 && strstr(requests[0], "Proxy-Authorization: Basic cHU6VE9QU0VDUkVUUFJPWFk=\r\n"),
	   "by way of the proxy that is configured, with its user and password, whatever the environment says");
	if (p == NULL)
		return;
	SCRIPT("HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n");
	ok(get(p, 0, UINT64_MAX, &n) == SOV_E_PROVIDER && strstr(err.hint, "proxy-password") && !strstr(err.message, "TOPSECRET"), "one that does not let us is told: %s", err.message);
	sov_provider_close(p);
}

/* What an endpoint may be, and what of it is signed. */
static void
places(void)
{
	struct sov_provider_config c = config("[::1%25lo]");
	struct sov_provider *p = open_with(c);
	char		endpoint[100];

	ok(strcasestr(requests[0], "Host: [::1]:") != NULL, "the zone of an address is not told");
	sov_provider_close(p);
	sov_provider_config_set(&c, "addressing", "virtual", 8);
	ok(sov_provider_open(&c, &p, &err) == SOV_E_CONFIG && strstr(err.message, "with a name"), "an address has no names below it: %s", err.message);
	c = (struct sov_provider_config) {.name = "test", .type = "s3"};
	snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d/a+b~c%%20\xc3\xa9", port);
	sov_provider_config_set(&c, "endpoint", endpoint, 1);
	sov_provider_config_set(&c, "allow-http", "yes", 2);
	sov_provider_config_set(&c, "region", "r", 4);
	sov_provider_config_set(&c, "credentials-file", cred_file, 5);
	sov_provider_config_set(&c, "bucket", "b", 6);
	p = open_with(c);
	ok(strncmp(requests[0], "GET /a%2Bb~c%20%C3%A9/b/?list-type=2&", 37) == 0, "a path is sent as it is signed: %.60s", requests[0]);
	sov_provider_close(p);
	c.n_options--;
	sov_provider_config_set(&c, "bucket", "b/c", 6);
	ok(sov_provider_open(&c, &p, &err) == SOV_E_CONFIG && strstr(err.hint, "\"prefix\""), "a bucket is one word");
}

static void
settings(void)
{
	struct sov_provider_config c = config("[::1]");
	struct sov_provider *p;
	struct sov_put_span span = {calloc(1, 300000), 300000};
	struct timespec a,
				b;
	int			line;

	p = open_with(c);
	ok(strcasestr(requests[0], "Host: [::1]:") != NULL, "IPv6");
	sov_provider_close(p);
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	sov_provider_config_set(&c, "max-rate", "200kB", 8);
	p = open_with(c);
	ok(p != NULL, "no proxy is taken from the environment");
	unsetenv("http_proxy");
	proxied();
	SCRIPT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	clock_gettime(CLOCK_MONOTONIC, &a);
	ok_rc(sov_provider_put(p, "x", &span, 1, false, &err), err, "put under max-rate");
	clock_gettime(CLOCK_MONOTONIC, &b);
	ok(b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9 > 0.9, "takes its time");
	sov_provider_close(p);
	free((void *) span.data);
	sov_provider_config_set(&c, "colour", "red", 9);
	ok(sov_provider_config_check(&c, &line, &err) == SOV_E_CONFIG && line == 9 && strstr(err.message, "takes no \"colour\""), "an unknown setting has its line");
	c = config("127.0.0.1");
	sov_provider_config_set(&c, "timeout", "soon", 9);
	ok(sov_provider_config_check(&c, &line, &err) == SOV_E_CONFIG && line == 9, "a value that is none has its line");
	c = config("127.0.0.1");
	c.n_options--;
	sov_provider_config_set(&c, "part-size", "1MB", 9);
	ok(sov_provider_config_check(&c, &line, &err) == SOV_E_CONFIG && strstr(err.hint, "the least is 5242880"), "a value that is too small");
	c = (struct sov_provider_config) {.name = "x", .type = "s3", .line = 3};
	ok(sov_provider_config_check(&c, &line, &err) == SOV_E_CONFIG && line == 3 && strstr(err.message, "has no \"endpoint\""), "a setting that is missing");
	sov_provider_config_set(&c, "endpoint", "http://127.0.0.1:1", 1);
	sov_provider_config_set(&c, "bucket", "b", 1);
	sov_provider_config_set(&c, "region", "r", 1);
	sov_provider_config_set(&c, "credentials-file", cred_file, 1);
	ok(sov_provider_open(&c, &p, &err) == SOV_E_CONFIG && strstr(err.message, "in the clear"), "http is refused unless it is allowed");
}

int
main(void)
{
	struct sov_provider *p;
	FILE	   *f;

	snprintf(cred_file, sizeof cred_file, "/tmp/sov_http_XXXXXX");
	f = fdopen(mkstemp(cred_file), "w");
	fprintf(f, "access-key = AK\nsecret-key = TOPSECRETKEY\nproxy-user = pu\nproxy-password = TOPSECRETPROXY\n");
	fclose(f);
	start_server();
	p = open_with(config("127.0.0.1"));
	if (p != NULL)
	{
		bodies(p);
		refusals(p);
		retries(p);
		lists(p);
		parts(p);
		sov_provider_close(p);
	}
	settings();
	places();
	ok(tap_locked_kb() == 0, "no secret stays in memory");
	unlink(cred_file);
	return tap_done();
}
