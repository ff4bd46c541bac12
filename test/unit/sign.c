/*
 * sign - request signatures against what the vendors published.
 *
 * AWS: the four examples of "Signature Calculations for the Authorization
 * Header: Transferring Payload in a Single Chunk" (Amazon S3 API Reference).
 * HMAC: RFC 4231.  Azure: the string to sign of "Authorize with Shared Key",
 * where Microsoft prints no signature.
 */
#include <string.h>

#include "../../providers/http.h"
#include "../../providers/sign.h"
#include "sov_provider.h"
#include "tap.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct sov_error err;

static void
aws(const char *what, const char *method, const char *path, const char *hash,
	const struct sov_sign_pair *query, int n_query, const struct sov_sign_pair *more, int n_more, const char *signature)
{
	struct sov_sign_pair h[8] = {{"x-amz-date", "20130524T000000Z"}, {"host", "examplebucket.s3.amazonaws.com"}, {"x-amz-content-sha256", hash}};
	struct sov_sigv4 s = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3",
	method, path, hash, "20130524T000000Z", query, n_query, h, 3 + n_more};
	struct sov_buf out = {0};

	for (int i = 0; i < n_more; i++)
		h[3 + i] = more[i];
	ok_rc(sov_sigv4(&s, &out, &err), err, "aws: %s is signed", what);
	sov_write_u8(&out, 0);
	ok(strstr((char *) out.data, signature) != NULL, "aws: %s as published", what);
	sov_buf_free(&out);
}

static void
aws_examples(void)
{
	struct sov_sign_pair range = {"range", "bytes=0-9"};
	struct sov_sign_pair put[2] = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"date", "Fri, 24 May 2013 00:00:00 GMT"}};
	struct sov_sign_pair lifecycle = {"lifecycle", ""};
	struct sov_sign_pair list[2] = {{"prefix", "J"}, {"max-keys", "2"}};
	struct sov_put_span body = {"Welcome to Amazon S3.", 21};
	char		hex[65];

	aws("get", "GET", "/test.txt", EMPTY, NULL, 0, &range, 1, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	ok_rc(sov_sign_hash(&body, 1, hex, &err), err, "aws: hash of the body");
	ok(strcmp(hex, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072") == 0, "aws: hash as published");
	aws("put", "PUT", "/test%24file.text", hex, NULL, 0, put, 2, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	aws("a query without a value", "GET", "/", EMPTY, &lifecycle, 1, NULL, 0, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	aws("list", "GET", "/", EMPTY, list, 2, NULL, 0, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void
encoding(void)
{
	struct sov_sign_pair q[3] = {{"prefix", "a/b c+d"}, {"continuation-token", "1/x=:@~\xc3\xa9"}, {"list-type", "2"}};
	struct sov_buf out = {0};
	char		text[SOV_SIGN_TIME];

	sov_sigv4_query(q, 3, &out, &err);
	sov_write_u8(&out, 0);
	ok(strcmp((char *) out.data, "continuation-token=1%2Fx%3D%3A%40~%C3%A9&list-type=2&prefix=a%2Fb%20c%2Bd") == 0, "a query is sorted and strictly encoded");
	sov_buf_free(&out);
	sov_sign_time(1369353600, text);
	ok(strcmp(text, "20130524T000000Z") == 0, "time of a signature");
}

static void
hmac(void)
{
	uint8_t		key[131],
				mac[32];
	char		hex[65];

	memset(key, 0x0b, 20);
	sov_sign_hmac(key, 20, "Hi There", 8, mac, &err);
	sov_hex(hex, mac, 32);
	ok(strcmp(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7") == 0, "HMAC: RFC 4231, case 1");
	memset(key, 0xaa, 131);
	sov_sign_hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac, &err);
	sov_hex(hex, mac, 32);
	ok(strcmp(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54") == 0, "HMAC: RFC 4231, case 6: a long key");
}

static void
azure(void)
{
	struct sov_sign_pair h[2] = {{"x-ms-version", "2015-02-21"}, {"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}};
	struct sov_sign_pair q[3] = {{"timeout", "20"}, {"restype", "container"}, {"comp", "metadata"}};
	struct sov_azure_sign s = {"myaccount", "bm90IGEga2V5IGJ1dCBsb25nIGVub3VnaCBmb3Igb25lIQ==", "GET", "/mycontainer", "", "", h, 2, q, 3, "", ""};
	const char *published = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20";
	struct sov_buf out = {0};

	sov_azure_string(&s, &out);
	sov_write_u8(&out, 0);
	ok(strcmp((char *) out.data, published) == 0, "azure: string to sign as published");
	out.len = 0;
	ok_rc(sov_azure_sign(&s, &out, &err), err, "azure: signed");
	sov_write_u8(&out, 0);
	ok(strncmp((char *) out.data, "SharedKey myaccount:", 20) == 0 && out.len == 20 + 44 + 1, "azure: the form of the signature");
	s.key = "not base64!";
	ok(sov_azure_sign(&s, &out, &err) == SOV_E_CONFIG && strstr(err.message, "not base64!") == NULL, "azure: a key that is none is refused and not shown");
	sov_buf_free(&out);
}

static void
replies(void)
{
	struct sov_http_reply r = {0};
	uint64_t	a,
				b,
				c;
	char		text[32];

	sov_http_take_header(&r, "HTTP/1.1 200 OK\r\n", 17);
	sov_http_take_header(&r, "ETag:  \"x\"\r\n", 12);
	sov_http_take_header(&r, "Content-Length: 12a\r\n", 21);
	sov_http_take_header(&r, "X-N: 99999999999999999999\r\n", 27);
	sov_http_take_header(&r, "Y-N: -1\r\n", 9);
	sov_http_take_header(&r, "Z-N: 42\r\n", 9);
	ok(sov_http_header(&r, "etag", text, sizeof text) && strcmp(text, "\"x\"") == 0, "a header, whatever its case");
	ok(!sov_http_header(&r, "etag", text, 3) && !sov_http_header(&r, "eta", text, sizeof text), "too long, or absent");
	ok(!sov_http_header_number(&r, "content-length", &a) && !sov_http_header_number(&r, "x-n", &a) && !sov_http_header_number(&r, "y-n", &a), "lengths that are none");
	ok(sov_http_header_number(&r, "z-n", &a) && a == 42, "a length");
	sov_http_take_header(&r, "HTTP/1.1 206 Partial\r\n", 22);
	ok(!sov_http_header(&r, "etag", text, sizeof text), "a second head replaces the first");
	sov_http_reply_free(&r);
	ok(sov_http_content_range("bytes 3-6/10", &a, &b, &c) && a == 3 && b == 6 && c == 10, "content range");
	ok(sov_http_content_range("bytes */10", &a, &b, &c) && a == UINT64_MAX && c == 10, "content range of nothing");
	ok(!sov_http_content_range("bytes 6-3/10", &a, &b, &c) && !sov_http_content_range("bytes 3-10/10", &a, &b, &c) &&
	   !sov_http_content_range("bytes 3-/10", &a, &b, &c) && !sov_http_content_range("bytes -1-3/10", &a, &b, &c), "content ranges that are none");
	ok(sov_http_date_us("Fri, 24 May 2013 00:00:00 GMT") == (int64_t) 1369353600 * 1000000 && sov_http_date_us("2013-05-24T00:00:00.500Z") == (int64_t) 1369353600500000 &&
	   sov_http_date_us("yesterday?") == 0, "dates");
}

int
main(void)
{
	aws_examples();
	encoding();
	hmac();
	azure();
	replies();
	return tap_done();
}
