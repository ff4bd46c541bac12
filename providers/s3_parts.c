/*
 * s3_parts.c - objects put in parts, one after the other; what was begun and not finished
 * is taken back.
 */
#include <stdio.h>
#include <stdlib.h>

#include "s3_private.h"
#include "xml.h"

uint64_t
sov_s3_part_size(uint64_t total, uint64_t part_size, uint64_t max_parts)
{
	uint64_t	least = total / max_parts + (total % max_parts != 0);

	if (part_size < least)
		part_size = (least + 1048575) / 1048576 * 1048576;
	return part_size <= S3_PART_MAX ? part_size : 0;
}

/* The spans of bytes [from, from + len) of a body; returns how many. */
static int
cut_spans(const struct sov_put_span *spans, int n, uint64_t from, uint64_t len, struct sov_put_span *out)
{
	int			m = 0;

	for (int i = 0; i < n && len > 0; i++)
	{
		size_t		take;

		if (from >= spans[i].len)
		{
			from -= spans[i].len;
			continue;
		}
		take = spans[i].len - from < len ? (size_t) (spans[i].len - from) : (size_t) len;
		out[m++] = (struct sov_put_span) {(const char *) spans[i].data + from, take};
		len -= take;
		from = 0;
	}
	return m;
}

static enum sov_code
upload_part(struct s3 *s, const char *name, const char *id, int number, const struct sov_put_span *spans, int n,
			struct sov_buf *list, struct sov_error *err)
{
	struct sov_call c;
	char		text[16],
				etag[200];
	enum sov_code rc;

	snprintf(text, sizeof text, "%d", number);
	sov_call_init(&c, "PUT", name);
	sov_call_query(&c, "partNumber", text);
	sov_call_query(&c, "uploadId", id);
	c.spans = spans;
	c.n_spans = n;
	rc = sov_store_call(&s->store, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c))
		rc = s3_fail(s, &c, "put a part of object", err);
	else if (rc == SOV_OK && (!sov_http_header(&c.reply, "etag", etag, sizeof etag) || strpbrk(etag, "<>&") != NULL))
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": the server gives a part no ETag", name);
	if (rc == SOV_OK)
		sov_buf_printf(list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, etag);
	sov_call_free(&c);
	return rc;
}

/* Begin an upload in parts; its id into dst. */
static enum sov_code
begin_parts(struct s3 *s, const char *name, char *dst, size_t cap, struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	char		until[SOV_S3_UNTIL];
	enum sov_code rc;

	sov_call_init(&c, "POST", name);
	sov_call_query(&c, "uploads", "");
	sov_s3_lock_ask(&s->lock, &c, until);
	c.n_spans = 0;
	c.repeatable = false;
	c.sink = &doc;
	c.sink_max = 65536;
	rc = sov_store_call(&s->store, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c))
		rc = s3_fail(s, &c, "begin to put object", err);
	else if (rc == SOV_OK && !sov_xml_text(&doc, "InitiateMultipartUploadResult/UploadId", dst, cap))
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": the server does not begin an upload in parts", name);
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

/* The reply may be 200 and hold an error all the same. */
static enum sov_code
complete_parts(struct s3 *s, const char *name, const char *id, struct sov_buf *list, bool if_absent, struct sov_error *err)
{
	struct sov_call c;
	struct sov_put_span span = {list->data, list->len};
	struct sov_buf doc = {0};
	char		text[64];
	enum sov_code rc;

	sov_call_init(&c, "POST", name);
	sov_call_query(&c, "uploadId", id);
	if (s3_conditional(s, if_absent))
		sov_call_header(&c, "if-none-match", "*");
	sov_call_header(&c, "content-type", "application/xml");
	c.spans = &span;
	c.n_spans = 1;
	c.repeatable = false;
	c.sink = &doc;
	c.sink_max = 65536;
	rc = sov_store_call(&s->store, &c, err);
	if (rc == SOV_OK && c.reply.status == 412)
		rc = sov_store_exists(name, err);
	else if (rc == SOV_OK && !sov_call_ok(&c))
		rc = s3_fail(s, &c, "finish to put object", err);
	else if (rc == SOV_OK && !sov_xml_text(&doc, "CompleteMultipartUploadResult/Key", text, sizeof text) &&
			 !sov_xml_text(&doc, "CompleteMultipartUploadResult/ETag", text, sizeof text))
	{
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": the server answers 200 but does not say that its parts were joined", name);
		if (err != NULL)
			err->retryable = true;
	}
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

static void
abort_parts(struct s3 *s, const char *name, const char *id)
{
	struct sov_call c;
	struct sov_error ignored;

	sov_call_init(&c, "DELETE", name);
	sov_call_query(&c, "uploadId", id);
	(void) sov_store_call(&s->store, &c, &ignored);
	sov_call_free(&c);
}

enum sov_code
s3_put_parts(struct s3 *s, const char *name, const struct sov_put_span *spans, int n, uint64_t total, bool if_absent, struct sov_error *err)
{
	uint64_t	size = sov_s3_part_size(total, s->part_size, s->max_parts);
	struct sov_put_span *cut = malloc(((size_t) n + 1) * sizeof *cut);
	struct sov_buf list = {0};
	char		id[1024];
	int			number = 0;
	enum sov_code rc;

	if (cut == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = size == 0 ? sov_fail(err, SOV_E_UNSUPPORTED, NULL, "object \"%s\" is too long for this provider", name) :
		begin_parts(s, name, id, sizeof id, err);
	if (rc != SOV_OK)
	{
		free(cut);
		return rc;
	}
	sov_buf_printf(&list, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (uint64_t at = 0; at < total && rc == SOV_OK; at += size)
	{
		int			m = cut_spans(spans, n, at, size, cut);

		rc = upload_part(s, name, id, ++number, cut, m, &list, err);
	}
	sov_buf_printf(&list, "</CompleteMultipartUpload>");
	if (rc == SOV_OK && list.bad)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = complete_parts(s, name, id, &list, if_absent, err);
	if (rc != SOV_OK)
		abort_parts(s, name, id);
	sov_buf_free(&list);
	free(cut);
	return rc;
}
