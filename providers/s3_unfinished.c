/*
 * s3_unfinished.c - uploads in parts that were begun and never finished.
 *
 * Whoever is killed between the first part and the last leaves the parts: no list of
 * objects shows them, and they are stored, and paid for, until somebody takes the upload
 * back.
 */
#include <stdio.h>
#include <stdlib.h>

#include "s3_private.h"
#include "xml.h"

#define PAGE_MAX 100000			/* pages of one list */
#define NOT_ALLOWED "the credentials must be allowed s3:ListBucketMultipartUploads and s3:AbortMultipartUpload"

static bool
on_element(void *ctx, const char *path, const char *text)
{
	struct sov_s3_uploads *u = ctx;
	bool		more;

	if (strncmp(path, "ListMultipartUploadsResult", 26) != 0)
		return true;
	u->is_list = true;
	path += 26;
	if (strcmp(path, "/IsTruncated") == 0)
		u->truncated = strcmp(text, "true") == 0;
	else if (strcmp(path, "/NextKeyMarker") == 0)
		snprintf(u->next_key, sizeof u->next_key, "%s", text);
	else if (strcmp(path, "/NextUploadIdMarker") == 0)
		snprintf(u->next_id, sizeof u->next_id, "%s", text);
	if (strncmp(path, "/Upload", 7) != 0)
		return true;
	path += 7;
	if (strcmp(path, "/Key") == 0)
		snprintf(u->key, sizeof u->key, "%s", text);
	else if (strcmp(path, "/UploadId") == 0)
		snprintf(u->id, sizeof u->id, "%s", text);
	else if (strcmp(path, "/Initiated") == 0)
		u->begun_us = sov_http_date_us(text);
	if (path[0] != '\0')
		return true;
	memcpy(u->last_key, u->key, sizeof u->last_key);
	memcpy(u->last_id, u->id, sizeof u->last_id);
	more = u->key[0] == '\0' || u->id[0] == '\0' || u->each(u->ctx, u->key, u->id, u->begun_us);
	u->key[0] = u->id[0] = '\0';
	u->begun_us = 0;
	return more;
}

enum sov_code
sov_s3_read_uploads(const void *data, size_t len, struct sov_s3_uploads *u, struct sov_error *err)
{
	enum sov_code rc;

	u->is_list = u->truncated = false;
	u->next_key[0] = u->next_id[0] = u->last_key[0] = u->last_id[0] = u->key[0] = u->id[0] = '\0';
	u->begun_us = 0;
	rc = sov_xml_read(data, len, on_element, u, NULL, err);
	if (rc == SOV_OK && !u->is_list)
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of uploads in parts is not one");
	if (rc == SOV_OK && u->truncated && u->next_key[0] == '\0')
	{
		memcpy(u->next_key, u->last_key, sizeof u->next_key);
		memcpy(u->next_id, u->last_id, sizeof u->next_id);
	}
	return rc;
}

/* A server that does not know the question, or answers another. */
static enum sov_code
not_told(struct sov_error *err)
{
	return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "the server does not list uploads in parts that were begun");
}

/* One page, that begins behind what the one before ended with. */
static enum sov_code
ask_page(struct s3 *s, struct sov_s3_uploads *u, struct sov_error *err)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	char		key[sizeof u->next_key],
				id[sizeof u->next_id];
	int			status;
	enum sov_code rc;

	memcpy(key, u->next_key, sizeof key);
	memcpy(id, u->next_id, sizeof id);
	sov_call_init(&c, "GET", NULL);
	if (key[0] != '\0')
		sov_call_query(&c, "key-marker", key);
	sov_call_query(&c, "max-uploads", s->store.list_page);
	sov_call_query(&c, "prefix", sov_net_prefix(s->store.net));
	if (key[0] != '\0' && id[0] != '\0')
		sov_call_query(&c, "upload-id-marker", id);
	sov_call_query(&c, "uploads", "");
	c.sink = &doc;
	c.sink_max = SOV_STORE_LIST_MAX;
	rc = sov_store_call(&s->store, &c, err);
	status = c.reply.status;
	if (rc == SOV_OK && (status == 400 || status == 405 || status == 501))
		rc = not_told(err);
	else if (rc == SOV_OK && !sov_call_ok(&c))
	{
		rc = s3_fail(s, &c, "list uploads in parts", err);
		if (err != NULL && err->refused)
			snprintf(err->hint, sizeof err->hint, "%s", NOT_ALLOWED);
	}
	else if (rc == SOV_OK)
	{
		rc = sov_s3_read_uploads(doc.data, doc.len, u, err);
		if (rc == SOV_E_PROVIDER && !u->is_list)
			rc = not_told(err);
	}
	if (rc == SOV_OK && u->truncated && (u->next_key[0] == '\0' || (strcmp(key, u->next_key) == 0 && strcmp(id, u->next_id) == 0)))
		rc = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of uploads in parts does not end");
	sov_call_free(&c);
	sov_buf_free(&doc);
	return rc;
}

/* What a page has that is to go: name, NUL, id, NUL, ... */
struct chosen
{
	struct s3  *s;
	sov_list_fn fn;
	void	   *ctx;
	struct sov_buf list;
};

static bool
on_upload(void *ctx, const char *key, const char *id, int64_t begun_us)
{
	struct chosen *c = ctx;
	const char *own = sov_net_prefix(c->s->store.net);
	struct sov_object_stat st = {.mtime_us = begun_us};

	if (strncmp(key, own, strlen(own)) != 0 || !sov_object_name_ok(key + strlen(own)) || !c->fn(c->ctx, key + strlen(own), &st))
		return true;
	sov_write_bytes(&c->list, key + strlen(own), strlen(key + strlen(own)) + 1);
	sov_write_bytes(&c->list, id, strlen(id) + 1);
	return true;
}

/* What is not there any more was finished, or taken back by somebody else. */
static enum sov_code
take_back(struct s3 *s, const char *name, const char *id, struct sov_error *err)
{
	struct sov_call c;
	char		code[64] = "";
	enum sov_code rc;

	sov_call_init(&c, "DELETE", name);
	sov_call_query(&c, "uploadId", id);
	rc = sov_store_call(&s->store, &c, err);
	if (rc == SOV_OK && !sov_call_ok(&c))
	{
		sov_xml_text(&c.reply.body, "Error/Code", code, sizeof code);
		if (c.reply.status != 404 || strcmp(code, "NoSuchUpload") != 0)
		{
			rc = s3_fail(s, &c, "take back an upload in parts of object", err);
			if (err != NULL && err->refused)
				snprintf(err->hint, sizeof err->hint, "%s", NOT_ALLOWED);
		}
	}
	sov_call_free(&c);
	return rc;
}

enum sov_code
s3_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct chosen chosen = {.s = (struct s3 *) p, .fn = fn, .ctx = ctx};
	struct sov_s3_uploads *u = calloc(1, sizeof *u);
	struct sov_error why;
	enum sov_code rc = u ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory"),
				failed = SOV_OK;

	for (int page = 0; rc == SOV_OK && (page == 0 || u->truncated); page++)
	{
		u->each = on_upload;
		u->ctx = &chosen;
		chosen.list.len = 0;
		rc = page < PAGE_MAX ? ask_page(chosen.s, u, err) : sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list of uploads in parts does not end");
		if (rc == SOV_OK && chosen.list.bad)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		for (size_t at = 0; rc == SOV_OK && at < chosen.list.len;)
		{
			const char *name = (const char *) chosen.list.data + at,
					   *id = name + strlen(name) + 1;
			enum sov_code one = take_back(chosen.s, name, id, &why);

			if (one != SOV_OK && failed == SOV_OK && err != NULL)
				*err = why;
			if (one != SOV_OK && failed == SOV_OK)
				failed = one;
			at += strlen(name) + strlen(id) + 2;
		}
	}
	sov_buf_free(&chosen.list);
	free(u);
	return rc != SOV_OK ? rc : failed;
}
