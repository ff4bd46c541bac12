/*
 * xml.c - replies in XML, by expat.
 *
 * Namespaces are dropped (WebDAV's prefixes vary).  A document type is refused,
 * and with it entities that grow; depth, path and text are bounded.
 */
#include "xml.h"

#include <expat.h>
#include <stdlib.h>

#define DEPTH_MAX 16
#define PATH_MAX_BYTES 400
#define TEXT_MAX 4096

struct reader
{
	XML_Parser	parser;
	sov_xml_fn	fn;
	void	   *ctx;
	int			depth;
	size_t		path_len;
	char		path[PATH_MAX_BYTES];
	size_t		text_len;
	char		text[TEXT_MAX + 1];
	bool		stopped,
				bad;
};

static void
give_up(struct reader *r)
{
	r->bad = true;
	XML_StopParser(r->parser, XML_FALSE);
}

static void
on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = user;
	const char *local = strrchr(name, '|');
	size_t		n;

	local = local ? local + 1 : name;
	n = strlen(local);
	if (++r->depth > DEPTH_MAX || r->path_len + n + 2 > sizeof r->path)
	{
		give_up(r);
		return;
	}
	if (r->path_len > 0)
		r->path[r->path_len++] = '/';
	memcpy(r->path + r->path_len, local, n + 1);
	r->path_len += n;
	r->text_len = 0;
}

static void
on_text(void *user, const XML_Char *s, int len)
{
	struct reader *r = user;

	if (r->text_len + (size_t) len > TEXT_MAX)
	{
		give_up(r);
		return;
	}
	memcpy(r->text + r->text_len, s, (size_t) len);
	r->text_len += (size_t) len;
}

static void
on_end(void *user, const XML_Char *name)
{
	struct reader *r = user;
	char	   *slash;

	if (r->bad || r->stopped)
		return;
	r->text[r->text_len] = '\0';
	if (!r->fn(r->ctx, r->path, r->text))
	{
		r->stopped = true;
		XML_StopParser(r->parser, XML_FALSE);
		return;
	}
	slash = strrchr(r->path, '/');
	r->path_len = slash ? (size_t) (slash - r->path) : 0;
	r->path[r->path_len] = '\0';
	r->text_len = 0;
	r->depth--;
}

static void
on_doctype(void *user, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int internal)
{
	give_up(user);
}

enum sov_code
sov_xml_read(const void *data, size_t len, sov_xml_fn fn, void *ctx, bool *stopped, struct sov_error *err)
{
	struct reader *r = calloc(1, sizeof *r);
	enum XML_Status status = XML_STATUS_ERROR;

	if (r == NULL || (r->parser = XML_ParserCreateNS(NULL, '|')) == NULL)
	{
		free(r);
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	r->fn = fn;
	r->ctx = ctx;
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	if (len <= INT32_MAX)
		status = XML_Parse(r->parser, data ? data : "", (int) len, 1);
	XML_ParserFree(r->parser);
	if (stopped != NULL)
		*stopped = r->stopped;
	if (r->stopped)
		status = XML_STATUS_OK;
	free(r);
	if (status != XML_STATUS_OK)
	{
		sov_fail(err, SOV_E_PROVIDER, "is \"endpoint\" right, and no proxy between?", "the server's reply is not the XML that it should be");
		if (err != NULL)
			err->retryable = true;
		return SOV_E_PROVIDER;
	}
	return SOV_OK;
}

struct wanted
{
	const char *path;
	char	   *dst;
	size_t		cap;
	bool		found;
};

static bool
take_wanted(void *ctx, const char *path, const char *text)
{
	struct wanted *w = ctx;

	if (strcmp(path, w->path) != 0)
		return true;
	if (strlen(text) < w->cap)
	{
		memcpy(w->dst, text, strlen(text) + 1);
		w->found = true;
	}
	return false;
}

bool
sov_xml_text(const struct sov_buf *doc, const char *path, char *dst, size_t cap)
{
	struct wanted w = {path, dst, cap, false};
	struct sov_error ignored;

	dst[0] = '\0';
	(void) sov_xml_read(doc->data, doc->len, take_wanted, &w, NULL, &ignored);
	return w.found;
}
