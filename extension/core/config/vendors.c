/*
 * vendors.c - reads the catalogue of vendors: sections [source.NAME] and
 * [vendor.NAME], claims "name = value @source".
 *
 * A later file adds to what is there and replaces claim by claim; within one file
 * nothing may stand twice.  Sources are never changed once a claim may refer to
 * them: a later file that says [source.X] again makes a new one, for its own
 * claims.  All text lives as long as the handle.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini_reader.h"
#include "sov_text.h"
#include "vendor_int.h"

#define MAX_VENDORS 256
#define MAX_SOURCES 256
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"

struct text
{
	struct text *next;
	char		s[];
};

struct sov_vendors
{
	struct text *texts;
	int			n_vendors,
				n_sources;
	struct sov_vendor vendors[MAX_VENDORS];
	const char *vendor_file[MAX_VENDORS];	/* that last had a section of it */
	struct sov_claim_source *sources[MAX_SOURCES];
};

struct vendor_parse
{
	struct ini_reader in;
	struct sov_vendors *v;
	const char *file;			/* kept text; the pointer tells files apart */
	struct sov_vendor *vendor;	/* the section's, or */
	struct sov_claim_source *source;
};

const char *
sov_vendors_installed(void)
{
	return SOV_CATALOGUE_FILE;
}

/* --- memory --- */

static const char *
keep(struct sov_vendors *v, const char *s, size_t len)
{
	struct text *t = malloc(sizeof *t + len + 1);

	if (t == NULL)
		return NULL;
	memcpy(t->s, s, len);
	t->s[len] = '\0';
	t->next = v->texts;
	v->texts = t;
	return t->s;
}

static const char *
keep_or_fail(struct vendor_parse *ps, const char *s, size_t len)
{
	const char *kept = keep(ps->v, s, len);

	if (kept == NULL)
	{
		ps->in.failed = true;
		sov_fail(ps->in.err, SOV_E_NOMEM, NULL, "out of memory");
	}
	return kept;
}

struct sov_vendors *
sov_vendors_new(struct sov_error *err)
{
	struct sov_vendors *v = calloc(1, sizeof *v);

	if (v == NULL)
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return v;
}

void
sov_vendors_free(struct sov_vendors *v)
{
	struct text *t,
			   *next;

	if (v == NULL)
		return;
	for (t = v->texts; t != NULL; t = next)
	{
		next = t->next;
		free(t);
	}
	for (int i = 0; i < v->n_sources; i++)
		free(v->sources[i]);
	free(v);
}

int
sov_vendors_count(const struct sov_vendors *v)
{
	return v->n_vendors;
}

const struct sov_vendor *
sov_vendors_at(const struct sov_vendors *v, int i)
{
	return &v->vendors[i];
}

const struct sov_vendor *
sov_vendors_find(const struct sov_vendors *v, const char *name)
{
	for (int i = 0; i < v->n_vendors; i++)
		if (strcmp(v->vendors[i].name, name) == 0)
			return &v->vendors[i];
	return NULL;
}

/* --- sections --- */

static bool
begin_vendor(struct vendor_parse *ps, const char *name)
{
	struct sov_vendors *v = ps->v;
	int			i = 0;

	while (i < v->n_vendors && strcmp(v->vendors[i].name, name) != 0)
		i++;
	if (i == MAX_VENDORS)
		return ini_fail(&ps->in, ps->in.line, NULL, "more than %d vendors", MAX_VENDORS), false;
	if (i < v->n_vendors && v->vendor_file[i] == ps->file)
		return ini_fail(&ps->in, ps->in.line, "put all its claims into one section", "vendor \"%s\" stands twice in this file", name), false;
	if (i == v->n_vendors)
	{
		const char *kept = keep_or_fail(ps, name, strlen(name));

		if (kept == NULL)
			return false;
		v->vendors[v->n_vendors++].name = kept;
	}
	v->vendor_file[i] = ps->file;
	ps->vendor = &v->vendors[i];
	return true;
}

static bool
begin_source(struct vendor_parse *ps, const char *name)
{
	struct sov_vendors *v = ps->v;
	struct sov_claim_source *s;

	for (int i = 0; i < v->n_sources; i++)
		if (v->sources[i]->file == ps->file && strcmp(v->sources[i]->name, name) == 0)
			return ini_fail(&ps->in, ps->in.line, "give each source a name of its own",
							"source \"%s\" stands already in line %d", name, v->sources[i]->line), false;
	if (v->n_sources == MAX_SOURCES)
		return ini_fail(&ps->in, ps->in.line, NULL, "more than %d sources", MAX_SOURCES), false;
	s = calloc(1, sizeof *s);
	if (s == NULL)
	{
		ps->in.failed = true;
		return sov_fail(ps->in.err, SOV_E_NOMEM, NULL, "out of memory"), false;
	}
	v->sources[v->n_sources++] = s;
	s->file = ps->file;
	s->line = ps->in.line;
	s->name = keep_or_fail(ps, name, strlen(name));
	ps->source = s;
	return s->name != NULL;
}

/* What a source lacks is told where its section ends. */
static bool
end_section(struct vendor_parse *ps)
{
	const struct sov_claim_source *s = ps->source;

	ps->source = NULL;
	ps->vendor = NULL;
	if (s != NULL && (s->description == NULL || s->read_on == NULL))
		return ini_fail(&ps->in, s->line, "a source has description, read-on and confidence",
						"source \"%s\" has no \"%s\"", s->name, s->description == NULL ? "description" : "read-on"), false;
	return true;
}

static bool
begin_section(void *ctx, const char *name)
{
	struct vendor_parse *ps = ctx;
	bool		vendor = strncmp(name, "vendor.", 7) == 0,
				source = strncmp(name, "source.", 7) == 0;
	size_t		len = strlen(name);

	if (!end_section(ps))
		return false;
	if (!vendor && !source)
		return ini_fail(&ps->in, ps->in.line, "sections of a catalogue are [vendor.NAME] and [source.NAME]",
						"unknown section [%.60s]", name), false;
	if (len < 8 || len > 47 || strspn(name + 7, NAME_CHARS) != len - 7)
		return ini_fail(&ps->in, ps->in.line, "a name has 1 to 40 of the characters a-z 0-9 _ -",
						"section [%.60s] has a name that is not allowed", name), false;
	return vendor ? begin_vendor(ps, name + 7) : begin_source(ps, name + 7);
}

/* --- values --- */

static bool
source_value(struct vendor_parse *ps, const char *name, const char *value)
{
	static const char *const known[] = {"description", "read-on", "confidence", NULL};
	struct sov_claim_source *s = ps->source;
	const char *near = sov_nearest(name, known);
	char		hint[100];

	if (strcmp(name, "confidence") == 0)
	{
		if (vendor_confidence(value, &s->confidence))
			return true;
		return ini_fail(&ps->in, ps->in.line, "it is official, table, third-party or unconfirmed",
						"\"confidence = %.40s\" is not allowed", value), false;
	}
	if (strcmp(name, "description") == 0 || strcmp(name, "read-on") == 0)
	{
		const char **place = name[0] == 'd' ? &s->description : &s->read_on;

		if (*place != NULL)
			return ini_fail(&ps->in, ps->in.line, "keep one of the two lines", "\"%s\" is given already", name), false;
		if (place == &s->read_on && !vendor_date_ok(value, true))
			return ini_fail(&ps->in, ps->in.line, "write the day or the month: 2026-11-25, 2026-11", "\"read-on = %.40s\" is not a date", value), false;
		*place = keep_or_fail(ps, value, strlen(value));
		return *place != NULL;
	}
	snprintf(hint, sizeof hint, near ? "did you mean \"%s\"?" : "a source has description, read-on and confidence", near);
	return ini_fail(&ps->in, ps->in.line, hint, "unknown name \"%.60s\" in a source", name), false;
}

static const struct sov_claim_source *
find_source(const struct sov_vendors *v, const char *name)
{
	for (int i = v->n_sources - 1; i >= 0; i--)	/* the newest of that name */
		if (strcmp(v->sources[i]->name, name) == 0)
			return v->sources[i];
	return NULL;
}

/* Length of the value without " @source"; *source is its name or "". */
static size_t
split_source(const char *value, const char **source)
{
	const char *at = strrchr(value, '@');
	size_t		len;

	*source = "";
	if (at == NULL || at[1] == '\0' || strspn(at + 1, NAME_CHARS) != strlen(at + 1))
		return strlen(value);
	*source = at + 1;
	for (len = (size_t) (at - value); len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'); len--)
		;
	return len;
}

static bool
claim_value(struct vendor_parse *ps, const char *name, const char *text)
{
	char		value[VENDOR_VALUE_MAX],
				hint[VENDOR_HINT_MAX];
	const char *source_name,
			   *why;
	const struct sov_claim_source *source = NULL;
	int			field = vendor_field(name, hint, sizeof hint);
	size_t		len = split_source(text, &source_name);
	struct sov_claim *c;

	if (field < 0)
		return ini_fail(&ps->in, ps->in.line, hint, "unknown name \"%.60s\" in a vendor", name), false;
	c = &ps->vendor->claims[field];
	if (c->file == ps->file)
		return ini_fail(&ps->in, ps->in.line, "keep one of the two lines", "\"%s\" is given already in line %d", name, c->line), false;
	if (len == 0 || len >= sizeof value)
		return ini_fail(&ps->in, ps->in.line, "write \"name = value @source\"; what is not evidenced is unknown",
						"\"%s\" has no value, or one of more than %d bytes", name, VENDOR_VALUE_MAX - 1), false;
	memcpy(value, text, len);
	value[len] = '\0';
	if (source_name[0] != '\0' && (source = find_source(ps->v, source_name)) == NULL)
		return ini_fail(&ps->in, ps->in.line, "write a section [source.NAME] above it", "there is no source \"%.60s\"", source_name), false;
	if (strcmp(value, "unknown") != 0)
	{
		if (source == NULL)
			return ini_fail(&ps->in, ps->in.line, "end the line with @ and the name of a section [source.NAME] above it; without evidence, write unknown",
							"\"%s\" has no source", name), false;
		if (!vendor_value_ok((enum sov_vendor_field) field, value, &why))
			return ini_fail(&ps->in, ps->in.line, why, "\"%s = %.80s\" is not allowed", name, value), false;
		if ((c->value = keep_or_fail(ps, value, len)) == NULL)
			return false;
	}
	else
		c->value = NULL;
	c->source = source;
	c->file = ps->file;
	c->line = ps->in.line;
	return true;
}

static bool
take_value(void *ctx, const char *name, const char *value)
{
	struct vendor_parse *ps = ctx;

	if (ps->vendor != NULL)
		return claim_value(ps, name, value);
	if (ps->source != NULL)
		return source_value(ps, name, value);
	return ini_fail(&ps->in, ps->in.line, "begin with a section such as [source.NAME]", "\"%.60s\" stands before any section", name), false;
}

/* --- files --- */

enum sov_code
sov_vendors_add_stream(struct sov_vendors *v, FILE *stream, const char *name, struct sov_error *err)
{
	struct vendor_parse ps = {.v = v};
	enum sov_code rc;

	ps.file = keep(v, name, strlen(name));
	if (ps.file == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	ps.in = (struct ini_reader) {.stream = stream, .file = ps.file, .err = err,
	.section = begin_section, .value = take_value, .ctx = &ps};
	rc = ini_read(&ps.in);
	if (rc == SOV_OK && !end_section(&ps))
		rc = SOV_E_CONFIG;
	return rc;
}

enum sov_code
sov_vendors_add(struct sov_vendors *v, const char *path, struct sov_error *err)
{
	FILE	   *f = fopen(path, "re");
	enum sov_code rc;

	if (f == NULL)
		return sov_fail(err, SOV_E_CONFIG,
						strcmp(path, SOV_CATALOGUE_FILE) == 0 ? "it comes with the extension: run 'make install'" :
						"correct \"catalogue\" in [repository]; the user that runs this must be able to read it",
						"could not open catalogue of providers \"%.300s\": %s", path, strerror(errno));
	rc = sov_vendors_add_stream(v, f, path, err);
	fclose(f);
	return rc;
}

enum sov_code
sov_vendors_load(const char *own, struct sov_vendors **out, struct sov_error *err)
{
	struct sov_vendors *v = sov_vendors_new(err);
	enum sov_code rc;

	*out = NULL;
	if (v == NULL)
		return SOV_E_NOMEM;
	rc = sov_vendors_add(v, SOV_CATALOGUE_FILE, err);
	if (rc == SOV_OK && own[0] != '\0')
		rc = sov_vendors_add(v, own, err);
	if (rc == SOV_OK)
		*out = v;
	else
		sov_vendors_free(v);
	return rc;
}
