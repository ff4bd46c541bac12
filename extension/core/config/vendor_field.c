/*
 * vendor_field.c - the fields of a vendor: their names, and what their values
 * look like.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_provider.h"
#include "sov_text.h"
#include "vendor_int.h"

enum kind { F_TEXT, F_TYPE, F_URL, F_REGIONS, F_CHOICE, F_NUMBER, F_SIZE, F_NAMES, F_COUNTRY, F_COUNTRIES, F_CERTIFICATION };

struct field
{
	const char *name;
	enum kind	kind;
	const char *choices;		/* "a|b|c" */
};

#define YES_NO "yes|no"

static const struct field fields[SOV_VENDOR_FIELDS] = {
	[SOV_VENDOR_TITLE] = {"title", F_TEXT, NULL},
	[SOV_VENDOR_TYPE] = {"type", F_TYPE, NULL},
	[SOV_VENDOR_ENDPOINT] = {"endpoint", F_URL, NULL},
	[SOV_VENDOR_REGIONS] = {"regions", F_REGIONS, NULL},
	[SOV_VENDOR_ADDRESSING] = {"addressing", F_CHOICE, "path|virtual"},
	[SOV_VENDOR_LIST_VERSION] = {"list-version", F_CHOICE, "1|2"},
	[SOV_VENDOR_CONDITIONAL_PUT] = {"conditional-put", F_CHOICE, "yes|no|try"},
	[SOV_VENDOR_CONTENT_MD5] = {"content-md5", F_CHOICE, YES_NO},
	[SOV_VENDOR_PART_SIZE] = {"part-size", F_SIZE, NULL},
	[SOV_VENDOR_MAX_PARTS] = {"max-parts", F_NUMBER, NULL},
	[SOV_VENDOR_MAX_RATE] = {"max-rate", F_SIZE, NULL},
	[SOV_VENDOR_MIN_PART] = {"min-part", F_SIZE, NULL},
	[SOV_VENDOR_MAX_PART] = {"max-part", F_SIZE, NULL},
	[SOV_VENDOR_MAX_PUT] = {"max-put", F_SIZE, NULL},
	[SOV_VENDOR_MAX_OBJECTS] = {"max-objects", F_NUMBER, NULL},
	[SOV_VENDOR_MAX_REQUESTS] = {"max-requests", F_NUMBER, NULL},
	[SOV_VENDOR_URL_ENCODE] = {"url-encode", F_CHOICE, YES_NO},
	[SOV_VENDOR_CHECKSUM_TRAILERS] = {"checksum-trailers", F_CHOICE, "accepted|refused"},
	[SOV_VENDOR_MULTIPART_ETAG] = {"multipart-etag", F_CHOICE, "usable|unusable"},
	[SOV_VENDOR_CONSISTENCY] = {"consistency", F_CHOICE, "strong|eventual"},
	[SOV_VENDOR_OBJECT_LOCK] = {"object-lock", F_CHOICE, "yes|no|compliance"},
	[SOV_VENDOR_VERSIONING] = {"versioning", F_CHOICE, YES_NO},
	[SOV_VENDOR_LIFECYCLE] = {"lifecycle", F_CHOICE, YES_NO},
	[SOV_VENDOR_TAGGING] = {"tagging", F_CHOICE, YES_NO},
	[SOV_VENDOR_BUCKET_POLICY] = {"bucket-policy", F_CHOICE, YES_NO},
	[SOV_VENDOR_QUIRKS] = {"quirks", F_TEXT, NULL},
	[SOV_VENDOR_TECHNOLOGY] = {"technology", F_TEXT, NULL},
	[SOV_VENDOR_OPERATOR] = {"operator", F_NAMES, NULL},
	[SOV_VENDOR_UNDERLYING] = {"underlying-operator", F_NAMES, NULL},
	[SOV_VENDOR_PARENT] = {"parent", F_NAMES, NULL},
	[SOV_VENDOR_SEAT] = {"seat", F_COUNTRY, NULL},
	[SOV_VENDOR_LOCATION] = {"location", F_COUNTRY, NULL},
	[SOV_VENDOR_JURISDICTIONS] = {"jurisdictions", F_COUNTRIES, NULL},
	[SOV_VENDOR_REACH_NOTE] = {"reach-note", F_TEXT, NULL},
	[SOV_VENDOR_HDS] = {"hds", F_CERTIFICATION, NULL},
	[SOV_VENDOR_SECNUMCLOUD] = {"secnumcloud", F_CERTIFICATION, NULL},
	[SOV_VENDOR_ISO27001] = {"iso27001", F_CERTIFICATION, NULL},
	[SOV_VENDOR_C5] = {"c5", F_CERTIFICATION, NULL},
	[SOV_VENDOR_ACN] = {"acn", F_CERTIFICATION, NULL},
};

static const char *const confidences[] = {"unconfirmed", "third-party", "table", "official", "stated"};

const char *
sov_vendor_field_name(enum sov_vendor_field field)
{
	return fields[field].name;
}

const char *
sov_confidence_name(enum sov_confidence confidence)
{
	return confidences[confidence];
}

/* "stated" is the configuration's, not a catalogue's. */
bool
vendor_confidence(const char *name, enum sov_confidence *out)
{
	for (int i = 0; i < SOV_CONFIDENCE_STATED; i++)
		if (strcmp(confidences[i], name) == 0)
		{
			*out = (enum sov_confidence) i;
			return true;
		}
	return false;
}

int
vendor_field(const char *name, char *hint, size_t cap)
{
	const char *known[SOV_VENDOR_FIELDS + 1];
	const char *near;

	for (int i = 0; i < SOV_VENDOR_FIELDS; i++)
	{
		known[i] = fields[i].name;
		if (strcmp(known[i], name) == 0)
			return i;
	}
	known[SOV_VENDOR_FIELDS] = NULL;
	near = sov_nearest(name, known);
	if (near != NULL)
		snprintf(hint, cap, "did you mean \"%s\"?", near);
	else
		snprintf(hint, cap, "the names of all claims are in the document providers.md");
	return -1;
}

/* --- values --- */

bool
sov_list_at(const char *list, int i, char *dst, size_t cap)
{
	for (;; i--)
	{
		size_t		n;

		list += strspn(list, " \t");
		n = strcspn(list, ",");
		if (n == 0 && list[0] == '\0')
			return false;
		if (i == 0)
		{
			while (n > 0 && (list[n - 1] == ' ' || list[n - 1] == '\t'))
				n--;
			if (n >= cap)
				return false;
			memcpy(dst, list, n);
			dst[n] = '\0';
			return true;
		}
		list += n;
		list += *list == ',';
	}
}

bool
vendor_date_ok(const char *text, bool month)
{
	struct tm	tm = {0},
				back;
	size_t		len = strlen(text);
	char	   *end;
	time_t		t;

	if (len == 7 && month)
	{
		end = strptime(text, "%Y-%m", &tm);
		return end != NULL && *end == '\0';
	}
	end = len == 10 ? strptime(text, "%Y-%m-%d", &tm) : NULL;
	if (end == NULL || *end != '\0')
		return false;
	back = tm;
	t = timegm(&tm);			/* 2026-02-30 comes back as another day */
	return gmtime_r(&t, &tm) != NULL && tm.tm_mday == back.tm_mday;
}

static bool
country_ok(const char *s)
{
	return strlen(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z';
}

bool
sov_region_at(const char *regions, int i, struct sov_region *out)
{
	char		item[200];
	char	   *country,
			   *host;

	memset(out, 0, sizeof *out);
	if (!sov_list_at(regions, i, item, sizeof item))
		return false;
	country = strchr(item, ':');
	if (country == NULL)
		return false;
	*country++ = '\0';
	host = strchr(country, ':');
	if (host != NULL)
		*host++ = '\0';
	else
		host = item;
	if (strcmp(country, "?") == 0)
		country = "";
	else if (!country_ok(country))
		return false;
	if (item[0] == '\0' || host[0] == '\0' || strlen(item) >= sizeof out->name || strlen(host) >= sizeof out->host)
		return false;
	snprintf(out->name, sizeof out->name, "%s", item);
	snprintf(out->host, sizeof out->host, "%s", host);
	snprintf(out->country, sizeof out->country, "%s", country);
	return true;
}

static bool
all_of(const char *list, bool (*good) (const char *))
{
	char		item[200];
	int			n = 0,
				commas = 0;

	for (const char *p = list; *p; p++)
		commas += *p == ',';
	while (sov_list_at(list, n, item, sizeof item) && item[0] != '\0' && good(item))
		n++;
	return n == commas + 1;
}

static bool
name_good(const char *s)
{
	return strlen(s) < SOV_NAME_MAX && strcmp(s, "unknown") != 0;
}

static bool
region_good(const char *s)
{
	struct sov_region r;

	return sov_region_at(s, 0, &r);
}

static bool
type_good(const char *value, const char **why)
{
	*why = "it is the type of an adapter, such as s3";
	for (int i = 0; sov_provider_adapters[i] != NULL; i++)
		if (strcmp(sov_provider_adapters[i]->caps.scheme, value) == 0)
			return true;
	return false;
}

bool
vendor_value_ok(enum sov_vendor_field field, const char *value, const char **why)
{
	struct sov_certification cert;
	uint64_t	n;

	switch (fields[field].kind)
	{
		case F_TEXT:
			return true;
		case F_TYPE:
			return type_good(value, why);
		case F_URL:
			*why = "write https://HOST, with {host} where the region's host goes, {account} for the account";
			return strncmp(value, "https://", 8) == 0 && value[8] != '\0' && strchr(value, ' ') == NULL;
		case F_REGIONS:
			*why = "write NAME:COUNTRY or NAME:COUNTRY:HOST, separated by commas; COUNTRY is a code such as FR, or ?";
			return all_of(value, region_good);
		case F_CHOICE:
			*why = fields[field].choices;
			return sov_is_choice(fields[field].choices, value);
		case F_NUMBER:
			*why = "give a whole number";
			return strlen(value) <= 12 && strspn(value, "0123456789") == strlen(value) && value[0] != '0';
		case F_SIZE:
			*why = "give a size such as 5MB or 5GB";
			return sov_parse_size(value, &n) && n > 0;
		case F_NAMES:
			*why = "give a name, or several separated by commas, each of at most 63 bytes";
			return all_of(value, name_good);
		case F_COUNTRY:
			*why = "give the country's code of two capital letters, such as FR";
			return country_ok(value);
		case F_COUNTRIES:
			*why = "give countries' codes such as \"US, CA\", or none-found";
			return strcmp(value, "none-found") == 0 || all_of(value, country_ok);
		case F_CERTIFICATION:
			return sov_certification_read(value, &cert, why);
	}
	return false;
}
