/*
 * s3_google.c - Google Cloud Storage by its S3 face.
 *
 * It names versions by generations, and neither lists them as S3 does nor tells of them when
 * it removes: with Object Versioning on, a removal leaves them, unseen.  So the bucket
 * is asked once, after the first removal, and what it keeps is not called removed.
 * Written after the published API; no real bucket was asked.
 */
#include <stdio.h>
#include <string.h>

#include "s3_private.h"
#include "xml.h"

#define HINT "turn Object Versioning off for the bucket, and remove its noncurrent generations with the provider's own tools"

bool
s3_is_google(const struct sov_call *c)
{
	char		text[64];

	return sov_http_header(&c->reply, "x-goog-generation", text, sizeof text);
}

/* Does a removal leave generations?  What is not told may be. */
static enum generations
ask(struct s3 *s)
{
	struct sov_call c;
	struct sov_buf doc = {0};
	struct sov_error ignored;
	char		status[32];
	enum generations found = GENERATIONS_UNTOLD;

	sov_call_init(&c, "GET", NULL);
	sov_call_query(&c, "versioning", "");
	c.sink = &doc;
	c.sink_max = 65536;
	if (sov_store_call(&s->store, &c, &ignored) == SOV_OK && sov_call_ok(&c))
	{
		if (sov_xml_text(&doc, "VersioningConfiguration/Status", status, sizeof status))
			found = strcmp(status, "Enabled") == 0 ? GENERATIONS_KEPT : GENERATIONS_NONE;
		else if (sov_xml_text(&doc, "VersioningConfiguration", status, sizeof status))
			found = GENERATIONS_NONE;
	}
	sov_call_free(&c);
	sov_buf_free(&doc);
	return found;
}

enum sov_code
s3_check_generations(struct s3 *s, const char *name, struct sov_error *err)
{
	if (s->generations == GENERATIONS_UNKNOWN)
		s->generations = ask(s);
	if (s->generations == GENERATIONS_NONE)
		return SOV_OK;
	return sov_fail(err, SOV_E_LOCKED, HINT, "object \"%s\" is gone for readers, but the bucket %s its earlier generations", name,
					s->generations == GENERATIONS_KEPT ? "keeps" : "does not tell whether it keeps");
}
