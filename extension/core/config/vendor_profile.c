/*
 * vendor_profile.c - what holds for a configured provider: its section before
 * its preset; and certifications.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_provider.h"
#include "sov_text.h"
#include "vendor_int.h"

/* --- certifications --- */

#define CERTIFICATION_FORM "write \"yes, regions a b, date 2025-11-14, until 2028-11-13, scope words\"; it begins with yes, no, in-progress or unknown, and all else may be left out"

static bool
certified(const char *word, enum sov_certified *out)
{
	static const char *const words[] = {"unknown", "no", "in-progress", "yes"};

	for (int i = 0; i < 4; i++)
		if (strcmp(words[i], word) == 0)
		{
			*out = (enum sov_certified) i;
			return true;
		}
	return false;
}

/* "key rest" into the field that key names. */
static bool
certification_part(const char *part, struct sov_certification *out)
{
	size_t		n = strcspn(part, " ");
	const char *rest = part + n + strspn(part + n, " ");
	char	   *dst;
	size_t		cap;

	if (n == 7 && strncmp(part, "regions", n) == 0)
	{
		dst = out->regions;
		cap = sizeof out->regions;
	}
	else if (n == 5 && strncmp(part, "scope", n) == 0)
	{
		dst = out->scope;
		cap = sizeof out->scope;
	}
	else
	{
		dst = n == 4 && strncmp(part, "date", n) == 0 ? out->date : n == 5 && strncmp(part, "until", n) == 0 ? out->until : NULL;
		cap = sizeof out->date;
		if (dst == NULL || !vendor_date_ok(rest, false))
			return false;
	}
	return rest[0] != '\0' && dst[0] == '\0' && snprintf(dst, cap, "%s", rest) < (int) cap;
}

bool
sov_certification_read(const char *value, struct sov_certification *out, const char **why)
{
	char		part[200];
	int			n = 0,
				commas = 0;

	memset(out, 0, sizeof *out);
	*why = CERTIFICATION_FORM;
	for (const char *p = value; *p; p++)
		commas += *p == ',';
	for (; sov_list_at(value, n, part, sizeof part); n++)
		if (n == 0 ? !certified(part, &out->state) : !certification_part(part, out))
			return false;
	return n == commas + 1;
}

/* "2025-11-14" and so many years, as Unix time of the day's end. */
static int64_t
day_end(const char *date, int years)
{
	struct tm	tm = {0};

	(void) strptime(date, "%Y-%m-%d", &tm);
	tm.tm_year += years;
	return (int64_t) timegm(&tm) + 86400;
}

static bool
word_in(const char *words, const char *word)
{
	size_t		len = strlen(word);

	for (const char *p = words; len > 0 && (p = strstr(p, word)) != NULL; p += len)
		if ((p == words || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

bool
sov_certification_holds(const char *name, const struct sov_certification *c, const char *region, int64_t now, char *why, size_t cap)
{
	int			years = strcmp(name, "c5") == 0 ? 1 : 3;

	if (c->state != SOV_CERTIFIED_YES)
		snprintf(why, cap, c->state == SOV_CERTIFIED_NO ? "it is not certified" :
				 c->state == SOV_CERTIFIED_IN_PROGRESS ? "its certification is in progress" : "whether it is certified is unknown");
	else if (c->regions[0] != '\0' && !word_in(c->regions, region))
		snprintf(why, cap, "it is certified for region %s, not for \"%s\"", c->regions, region);
	else if (c->until[0] == '\0' && c->date[0] == '\0')
		snprintf(why, cap, "neither date nor end of its certificate is evidenced");
	else if (c->date[0] != '\0' && day_end(c->date, 0) - 86400 > now)
		snprintf(why, cap, "its certificate begins on %s", c->date);
	else if (c->until[0] != '\0' && day_end(c->until, 0) <= now)
		snprintf(why, cap, "its certificate expired on %s", c->until);
	else if (c->until[0] == '\0' && day_end(c->date, years) <= now)
		snprintf(why, cap, "its certificate of %s has expired: the usual term is %d year%s", c->date, years, years > 1 ? "s" : "");
	else
		return true;
	return false;
}

/* --- completing a section --- */

static bool
adapter_takes(const char *type, const char *key)
{
	for (int i = 0; sov_provider_adapters[i] != NULL; i++)
		if (strcmp(sov_provider_adapters[i]->caps.scheme, type) == 0)
			for (const struct sov_provider_key *k = sov_provider_adapters[i]->keys; k->name != NULL; k++)
				if (strcmp(k->name, key) == 0)
					return true;
	return false;
}

/* The section's region into p->region, and what is known of it into *out. */
static enum sov_code
find_region(const struct sov_vendor *vendor, struct sov_provider_config *p, struct sov_region *out, int *line, struct sov_error *err)
{
	const char *regions = vendor->claims[SOV_VENDOR_REGIONS].value;
	const char *given = sov_provider_config_get(p, "region", line);
	struct sov_region second;
	char		hint[400] = "its regions in the catalogue:";

	memset(out, 0, sizeof *out);
	if (given != NULL && snprintf(p->region, sizeof p->region, "%s", given) >= (int) sizeof p->region)
		return sov_fail(err, SOV_E_CONFIG, NULL, "has a \"region\" that is too long");
	if (given != NULL && !adapter_takes(p->type, "region"))
		sov_provider_config_drop(p, "region");
	if (regions == NULL)
		return SOV_OK;
	if (p->region[0] == '\0' && sov_region_at(regions, 0, out) && !sov_region_at(regions, 1, &second))
	{
		snprintf(p->region, sizeof p->region, "%s", out->name);
		if (adapter_takes(p->type, "region") && !sov_provider_config_set(p, "region", p->region, *line))
			return sov_fail(err, SOV_E_CONFIG, NULL, "has settings that are too long");
		return SOV_OK;
	}
	for (int i = 0; sov_region_at(regions, i, out); i++)
	{
		if (strcmp(out->name, p->region) == 0)
			return SOV_OK;
		snprintf(hint + strlen(hint), sizeof hint - strlen(hint), "%s %s", i ? "," : "", out->name);
	}
	memset(out, 0, sizeof *out);
	if (p->region[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, hint, "has no \"region\", which preset \"%s\" needs", p->preset);
	if (sov_provider_config_get(p, "endpoint", NULL) != NULL)
		return SOV_OK;			/* a new one: where it lies is unknown */
	snprintf(hint + strlen(hint), sizeof hint - strlen(hint), "; for another one give \"endpoint\" as well");
	return sov_fail(err, SOV_E_CONFIG, hint, "has the region \"%s\", which preset \"%s\" does not know", p->region, p->preset);
}

/* The endpoint with {host} and {account} filled in. */
static enum sov_code
fill_endpoint(const char *template, const struct sov_provider_config *p, const char *host, char *dst, size_t cap, struct sov_error *err)
{
	size_t		used = 0;

	for (const char *t = template; *t != '\0' && used + 1 < cap;)
	{
		const char *value = strncmp(t, "{host}", 6) == 0 ? host : strncmp(t, "{account}", 9) == 0 ? p->account : NULL;

		if (value == NULL)
		{
			dst[used++] = *t++;
			continue;
		}
		if (value[0] == '\0')
			return sov_fail(err, SOV_E_CONFIG, value == host ? "add: region = NAME" : "add: account = NAME, as the provider calls it",
							"has no \"%s\", which is part of preset \"%s\"'s endpoint", value == host ? "region" : "account", p->preset);
		used += (size_t) snprintf(dst + used, cap - used, "%s", value);
		t += value == host ? 6 : 9;
	}
	if (used + 1 >= cap)
		return sov_fail(err, SOV_E_CONFIG, NULL, "has an endpoint that is too long");
	dst[used] = '\0';
	return SOV_OK;
}

static enum sov_code
unknown_preset(const struct sov_vendors *v, const char *preset, struct sov_error *err)
{
	const char *names[257];
	const char *near;
	char		hint[200];
	int			n = sov_vendors_count(v);

	for (int i = 0; i < n; i++)
		names[i] = sov_vendors_at(v, i)->name;
	names[n] = NULL;
	near = sov_nearest(preset, names);
	if (near != NULL)
		snprintf(hint, sizeof hint, "did you mean \"preset = %s\"?", near);
	else
		snprintf(hint, sizeof hint, "presets are the sections [vendor.NAME] of %.80s, and of the file that [repository] catalogue names", sov_vendors_installed());
	return sov_fail(err, SOV_E_CONFIG, hint, "has the preset \"%s\", which is not in the catalogue", preset);
}

static enum sov_code
set_if_absent(struct sov_provider_config *p, const char *name, const char *value, int line, struct sov_error *err)
{
	if (value == NULL || sov_provider_config_get(p, name, NULL) != NULL || !adapter_takes(p->type, name) ||
		sov_provider_config_set(p, name, value, line))
		return SOV_OK;
	return sov_fail(err, SOV_E_CONFIG, NULL, "has settings that are too long");
}

enum sov_code
sov_vendor_complete(const struct sov_vendors *v, struct sov_provider_config *p, int *line, struct sov_error *err)
{
	const struct sov_vendor *vendor = sov_vendors_find(v, p->preset);
	const char *template;
	struct sov_region region;
	char		endpoint[500];
	enum sov_code rc;

	*line = p->line;
	if (vendor == NULL)
		return unknown_preset(v, p->preset, err);
	if (p->type[0] == '\0' && vendor->claims[SOV_VENDOR_TYPE].value != NULL)
		snprintf(p->type, sizeof p->type, "%s", vendor->claims[SOV_VENDOR_TYPE].value);
	if (p->type[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "add type, endpoint and what else its adapter needs", "has the preset \"%s\", whose protocol is not evidenced", p->preset);
	rc = find_region(vendor, p, &region, line, err);
	if (rc != SOV_OK)
		return rc;
	*line = p->line;
	template = vendor->claims[SOV_VENDOR_ENDPOINT].value;
	if (sov_provider_config_get(p, "endpoint", NULL) == NULL && adapter_takes(p->type, "endpoint"))
	{
		if (template == NULL)
			return sov_fail(err, SOV_E_CONFIG, "add endpoint = https://...", "has the preset \"%s\", whose endpoint is not evidenced", p->preset);
		rc = fill_endpoint(template, p, region.host, endpoint, sizeof endpoint, err);
		if (rc == SOV_OK)
			rc = set_if_absent(p, "endpoint", endpoint, p->line, err);
	}
	for (int f = SOV_VENDOR_FIRST_SETTING; f <= SOV_VENDOR_LAST_SETTING && rc == SOV_OK; f++)
		rc = set_if_absent(p, sov_vendor_field_name(f), vendor->claims[f].value, p->line, err);
	return rc;
}

/* --- profiles --- */

static const enum sov_vendor_field stated_field[SOV_STATED_CLAIMS] = {
	[SOV_STATED_OPERATOR] = SOV_VENDOR_OPERATOR,
	[SOV_STATED_UNDERLYING] = SOV_VENDOR_UNDERLYING,
	[SOV_STATED_PARENT] = SOV_VENDOR_PARENT,
	[SOV_STATED_SEAT] = SOV_VENDOR_SEAT,
	[SOV_STATED_LOCATION] = SOV_VENDOR_LOCATION,
	[SOV_STATED_JURISDICTIONS] = SOV_VENDOR_JURISDICTIONS,
};

/* Where the data lie follows from the region. */
static void
locate(struct sov_profile *out)
{
	const struct sov_claim *regions = &out->claims[SOV_VENDOR_REGIONS];
	struct sov_region r;

	for (int i = 0; regions->value != NULL && sov_region_at(regions->value, i, &r); i++)
		if (strcmp(r.name, out->cfg->region) == 0 && r.country[0] != '\0')
		{
			snprintf(out->location, sizeof out->location, "%s", r.country);
			out->claims[SOV_VENDOR_LOCATION] = *regions;
			out->claims[SOV_VENDOR_LOCATION].value = out->location;
		}
}

void
sov_profile_make(const struct sov_vendors *v, const struct sov_config *cfg, const struct sov_provider_config *p, struct sov_profile *out)
{
	memset(out, 0, sizeof *out);
	out->cfg = p;
	out->vendor = p->preset[0] ? sov_vendors_find(v, p->preset) : NULL;
	out->stated = (struct sov_claim_source) {.name = "configuration", .description = "the configuration says so",
	.read_on = "now", .confidence = SOV_CONFIDENCE_STATED, .file = cfg->file, .line = p->line};
	if (out->vendor != NULL)
	{
		memcpy(out->claims, out->vendor->claims, sizeof out->claims);
		locate(out);
	}
	for (int i = 0; i < SOV_STATED_CLAIMS; i++)
	{
		const struct sov_stated *s = &p->stated[i];

		if (s->line > 0)
			out->claims[stated_field[i]] = (struct sov_claim) {
				.value = strcmp(s->value, "unknown") == 0 ? NULL : s->value,
				.source = &out->stated, .file = cfg->file, .line = s->line};
	}
}
