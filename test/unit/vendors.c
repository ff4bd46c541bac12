/*
 * vendors - the catalogue that is shipped is read, each mistake in one is told with
 * file, line and what to do, a later file replaces claim by claim, and what a
 * section says comes before its preset.
 */
#include <string.h>

#include "sov_vendor.h"
#include "tap.h"

static struct sov_error err;

static enum sov_code
add(struct sov_vendors *v, const char *text, const char *name)
{
	FILE	   *f = fmemopen((void *) text, strlen(text), "r");
	enum sov_code rc;

	sov_error_clear(&err);
	rc = sov_vendors_add_stream(v, f, name, &err);
	fclose(f);
	return rc;
}

#define S "[source.s]\ndescription = a source\nread-on = 2026-11\nconfidence = official\n" /* lines 1 to 4 */
#define V S "[vendor.x]\n"		/* line 5 */

static void
mistake(const char *what, int line, const char *message, const char *hint, const char *text)
{
	struct sov_vendors *v = sov_vendors_new(&err);
	char		where[40];
	enum sov_code rc = add(v, text, "cat.ini");

	snprintf(where, sizeof where, "cat.ini:%d: ", line);
	if (!tap_ok(rc == SOV_E_CONFIG && strncmp(err.message, where, strlen(where)) == 0 && strstr(err.message, message) != NULL &&
				strstr(err.hint, hint) != NULL && err.hint[0] != '\0', "%s", what))
		printf("# %s\n# %s\n", err.message, err.hint);
	sov_vendors_free(v);
}

static void
mistakes(void)
{
	mistake("unknown section", 1, "unknown section [provider.x]", "[vendor.NAME]", "[provider.x]\n");
	mistake("name of a vendor", 1, "not allowed", "40", "[vendor.X]\n");
	mistake("value before a section", 1, "before any section", "begin with", "title = x\n");
	mistake("unknown claim, near one", 6, "unknown name \"oprator\"", "did you mean \"operator\"?", V "oprator = X @s\n");
	mistake("unknown claim", 6, "unknown name", "providers.md", V "zzzzzz = X @s\n");
	mistake("claim without a source", 6, "\"operator\" has no source", "[source.NAME]", V "operator = X\n");
	mistake("claim with an unknown source", 6, "no source \"t\"", "above", V "operator = X @t\n");
	mistake("claim twice", 7, "already in line 6", "one of", V "seat = FR @s\nseat = DE @s\n");
	mistake("vendor twice", 6, "stands twice", "one section", V "[vendor.x]\n");
	mistake("source twice", 5, "already in line 1", "name of its own", S "[source.s]\n");
	mistake("source without description", 1, "no \"description\"", "read-on", "[source.s]\nread-on = 2026-11\n[vendor.x]\n");
	mistake("source without date, at the end", 1, "no \"read-on\"", "read-on", "[source.s]\ndescription = x\n");
	mistake("date that is none", 2, "not a date", "2026-11", "[source.s]\nread-on = 2026-13\n");
	mistake("confidence that is none", 2, "confidence = stated", "official", "[source.s]\nconfidence = stated\n");
	mistake("country in words", 6, "seat = France", "two capital letters", V "seat = France @s\n");
	mistake("reach in words", 6, "not allowed", "none-found", V "jurisdictions = US and CA @s\n");
	mistake("endpoint without TLS", 6, "not allowed", "https://", V "endpoint = http://x @s\n");
	mistake("type that no adapter has", 6, "type = ftp", "s3", V "type = ftp @s\n");
	mistake("regions without a country", 6, "not allowed", "NAME:COUNTRY", V "regions = gra @s\n");
	mistake("choice", 6, "addressing = host", "path|virtual", V "addressing = host @s\n");
	mistake("number", 6, "max-parts = many", "whole number", V "max-parts = many @s\n");
	mistake("certification", 6, "not allowed", "in-progress", V "hds = perhaps @s\n");
	mistake("certification with a bad date", 6, "not allowed", "2025-11-14", V "hds = yes, date 2025-02-30 @s\n");
	mistake("certification, date twice", 6, "not allowed", "date", V "hds = yes, date 2025-02-20, date 2025-02-21 @s\n");
	mistake("no value", 6, "no value", "@source", V "operator = @s\n");
	mistake("no bracket", 1, "missing", "bracket", "[vendor.x\n");
}

static void
layers(void)
{
	struct sov_vendors *v = sov_vendors_new(&err);
	const struct sov_vendor *x;

	ok_rc(add(v, V "operator = X @s\nseat = FR @s\nparent = unknown\n", "one.ini"), err, "a catalogue");
	ok_rc(add(v, "[vendor.x]\nseat = DE @s\n[vendor.y]\nseat = unknown @s\n", "own.ini"), err, "a second one may use the first one's sources");
	x = sov_vendors_find(v, "x");
	ok(sov_vendors_count(v) == 2 && x != NULL, "it adds a vendor");
	ok(strcmp(x->claims[SOV_VENDOR_SEAT].value, "DE") == 0 && strcmp(x->claims[SOV_VENDOR_SEAT].file, "own.ini") == 0 &&
	   x->claims[SOV_VENDOR_SEAT].line == 2, "and replaces a claim, with its file and line");
	ok(strcmp(x->claims[SOV_VENDOR_OPERATOR].value, "X") == 0 && x->claims[SOV_VENDOR_OPERATOR].line == 6 &&
	   strcmp(x->claims[SOV_VENDOR_OPERATOR].source->description, "a source") == 0, "the others stay, with their source");
	ok(x->claims[SOV_VENDOR_PARENT].value == NULL && x->claims[SOV_VENDOR_PARENT].line == 8, "unknown is no value, and has its line");
	ok(x->claims[SOV_VENDOR_HDS].value == NULL && x->claims[SOV_VENDOR_HDS].file == NULL, "what nobody says is unknown as well");
	sov_vendors_free(v);
}

static struct sov_provider_config p;

static enum sov_code
complete(const struct sov_vendors *v, const char *preset, const char *region)
{
	int			line = 0;

	memset(&p, 0, sizeof p);
	snprintf(p.preset, sizeof p.preset, "%s", preset);
	if (region[0])
		(void) sov_provider_config_set(&p, "region", region, 3);
	sov_error_clear(&err);
	return sov_vendor_complete(v, &p, &line, &err);
}

static bool
setting(const char *name, const char *value)
{
	const char *have = sov_provider_config_get(&p, name, NULL);

	return value == NULL ? have == NULL : have != NULL && strcmp(have, value) == 0;
}

static void
presets(const struct sov_vendors *v)
{
	int			line;

	ok_rc(complete(v, "ovhcloud", "gra"), err, "preset ovhcloud in region gra");
	ok(strcmp(p.type, "s3") == 0 && setting("endpoint", "https://s3.gra.io.cloud.ovh.net") && setting("addressing", "virtual") &&
	   setting("region", "gra") && setting("conditional-put", "yes") && setting("max-parts", "10000"), "it fills type, endpoint and settings");
	ok_rc(complete(v, "ionos", "de"), err, "a region whose host has another name");
	ok(setting("endpoint", "https://s3.eu-central-1.ionoscloud.com") && setting("region", "de"), "stands under it");
	ok_rc(complete(v, "otc", ""), err, "the only region need not be given");
	ok(setting("region", "eu-de") && setting("content-md5", "yes"), "and is filled in");
	ok(complete(v, "ovhcloud", "mars") == SOV_E_CONFIG && strstr(err.hint, "gra, rbx") != NULL, "an unknown region is told, with those there are");
	ok(complete(v, "ovhcloud", "") == SOV_E_CONFIG && strstr(err.message, "no \"region\"") != NULL, "a missing one as well");
	ok(complete(v, "ovhclod", "gra") == SOV_E_CONFIG && strstr(err.hint, "ovhcloud") != NULL, "a misspelt preset");
	ok(complete(v, "numspot", "") == SOV_E_CONFIG && strstr(err.message, "endpoint is not evidenced") != NULL, "an endpoint that is unknown is asked for");
	ok(complete(v, "azure", "") == SOV_E_CONFIG && strstr(err.hint, "account") != NULL, "azure needs the account");
	memset(&p, 0, sizeof p);
	snprintf(p.preset, sizeof p.preset, "azure");
	snprintf(p.account, sizeof p.account, "entrepot");
	(void) sov_provider_config_set(&p, "region", "francecentral", 3);
	ok_rc(sov_vendor_complete(v, &p, &line, &err), err, "with it");
	ok(setting("endpoint", "https://entrepot.blob.core.windows.net") && setting("region", NULL) && strcmp(p.region, "francecentral") == 0,
	   "the endpoint has it, and a region that the adapter does not take is kept apart");
	memset(&p, 0, sizeof p);
	snprintf(p.preset, sizeof p.preset, "ovhcloud");
	(void) sov_provider_config_set(&p, "region", "gra", 3);
	(void) sov_provider_config_set(&p, "addressing", "path", 4);
	(void) sov_provider_config_set(&p, "endpoint", "https://proxy.example.eu", 5);
	ok_rc(sov_vendor_complete(v, &p, &line, &err), err, "a section with settings of its own");
	ok(setting("addressing", "path") && setting("endpoint", "https://proxy.example.eu"), "keeps them");
}

static void
certifications(void)
{
	struct sov_certification c;
	const char *why;
	char		text[300];
	const int64_t day = 86400,
				nov14 = 1763078400; /* 2025-11-14 */

#define HOLDS(name, value, region, now) (sov_certification_read(value, &c, &why) && sov_certification_holds(name, &c, region, now, text, sizeof text))
	ok(HOLDS("hds", "yes, regions fr-par nl-ams, date 2025-11-14, scope Object Storage", "fr-par", nov14 + 30 * day), "a certificate holds in its region");
	ok(strcmp(c.scope, "Object Storage") == 0 && strcmp(c.date, "2025-11-14") == 0, "its parts");
	ok(!HOLDS("hds", "yes, regions fr-par, date 2025-11-14", "pl-waw", nov14 + day) && strstr(text, "pl-waw"), "not in another one");
	ok(!HOLDS("hds", "yes, regions fr-par, date 2025-11-14", "fr", nov14 + day), "nor where half a name fits");
	ok(!HOLDS("hds", "yes", "x", nov14) && strstr(text, "neither date"), "without a date it never holds");
	ok(!HOLDS("hds", "yes, date 2025-11-14", "x", nov14 - day) && strstr(text, "begins"), "not before it begins");
	ok(HOLDS("hds", "yes, date 2025-11-14", "x", nov14 + 1095 * day) && !HOLDS("hds", "yes, date 2025-11-14", "x", nov14 + 1098 * day) &&
	   strstr(text, "expired"), "three years");
	ok(!HOLDS("c5", "yes, date 2025-11-14", "x", nov14 + 366 * day), "one for c5");
	ok(HOLDS("hds", "yes, until 2025-11-14", "x", nov14 + day - 1) && !HOLDS("hds", "yes, until 2025-11-14", "x", nov14 + day), "to the end of its last day");
	ok(!HOLDS("hds", "in-progress", "x", nov14) && !HOLDS("hds", "no", "x", nov14) && !HOLDS("hds", "unknown", "x", nov14), "anything but yes does not");
}

int
main(void)
{
	struct sov_vendors *v = sov_vendors_new(&err);

	ok_rc(sov_vendors_add(v, "providers/catalogue.ini", &err), err, "the catalogue that is shipped");
	ok(sov_vendors_count(v) >= 30, "with 30 vendors");
	for (int i = 0; i < sov_vendors_count(v); i++)
	{
		const struct sov_vendor *x = sov_vendors_at(v, i);

		if (x->claims[SOV_VENDOR_TITLE].value == NULL || x->claims[SOV_VENDOR_OPERATOR].value == NULL || x->claims[SOV_VENDOR_SEAT].value == NULL)
			ok(strcmp(x->name, "impossible") == 0, "%s: title, operator and seat are known", x->name);
	}
	presets(v);
	sov_vendors_free(v);
	mistakes();
	layers();
	certifications();
	return tap_done();
}
