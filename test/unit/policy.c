/*
 * policy - every rule of [policy], with what satisfies it, what breaks it, and what
 * is unknown; what is barred, and what a provider that is being left may do.
 */
#include <string.h>
#include <unistd.h>

#include "sov_policy.h"
#include "tap.h"

#define NOV_2026 INT64_C(1795564800)	/* 2026-11-25 */

static const char catalogue[] =
"[source.s]\ndescription = a register\nread-on = 2026-11\nconfidence = official\n"
"[vendor.good]\noperator = Good @s\nparent = Goodholding @s\nseat = FR @s\nlocation = DE @s\njurisdictions = none-found @s\nhds = yes, date 2026-01-01 @s\n"
"[vendor.us]\noperator = Usa @s\nparent = Big @s\nseat = US @s\nlocation = FR @s\njurisdictions = US @s\nhds = yes, until 2026-11-24 @s\n"
"[vendor.owned]\noperator = Euro @s\nparent = Big @s\nseat = DE @s\nlocation = DE @s\njurisdictions = US @s\nhds = no @s\n"
"[vendor.resold]\noperator = Reseller @s\nunderlying-operator = Good @s\nparent = Other @s\nseat = NO @s\nlocation = CH @s\njurisdictions = none-found @s\n"
"[vendor.dark]\noperator = Dark @s\n";

static struct sov_vendors *v;
static struct sov_config cfg;
static struct sov_policy_report report;
static struct sov_error err;
static char last[2000];

/* Read "needed = 2, shards = n" with sections, and judge. */
static void
judge(const char *sections, int n)
{
	char		text[6000];
	FILE	   *f;

	snprintf(text, sizeof text, "[repository]\nname = main\nneeded = 2\nshards = %d\n%s", n, sections);
	f = fmemopen(text, strlen(text), "r");
	sov_error_clear(&err);
	/* without presets filled in: the catalogue is this test's own */
	if (sov_config_read_stream(f, "p.conf", 0, &cfg, &err) != SOV_OK)
		printf("# %s\n", err.message);
	fclose(f);
	sov_policy_judge(&cfg, v, NOV_2026, &report);
	last[0] = '\0';
	for (int i = 0; i < report.n; i++)
		snprintf(last + strlen(last), sizeof last - strlen(last), "# %s\n", report.violations[i].message);
}

#define PRESET(name, preset) "[provider." name "]\npreset = " preset "\n"
#define CUSTODY "[custody]\nroot = file:/etc/key\noperator = Hospital\n"
#define expect(cond, ...) (tap_ok((cond) ? 1 : 0, __VA_ARGS__) ? (void) 0 : (void) printf("%s", last))

static bool
broken(int i, const char *rule, const char *provider, const char *text)
{
	return i < report.n && strcmp(report.violations[i].rule, rule) == 0 && report.violations[i].provider >= 0 &&
		strcmp(cfg.providers[report.violations[i].provider].name, provider) == 0 &&
		report.barred[report.violations[i].provider] && strstr(report.violations[i].message, text) != NULL &&
		report.violations[i].hint[0] != '\0';
}

static void
places(void)
{
	judge(CUSTODY PRESET("a", "us"), 1);
	expect(report.asked && report.n == 0, "without [policy] nobody is barred");
	judge(CUSTODY "[policy]\njurisdiction = EU\n" PRESET("a", "good"), 1);
	expect(report.n == 0 && sov_policy_refusal(&report) == NULL, "seat in FR and data in DE: EU");
	judge(CUSTODY "[policy]\njurisdiction = EU\n" PRESET("a", "us"), 1);
	expect(report.n == 1 && broken(0, "jurisdiction", "a", "seat in US (cat.ini:15: a register, read 2026-11, official)"),
		   "seat in US is refused with the catalogue's line and source");
	judge(CUSTODY "[policy]\njurisdiction = EEA\n" PRESET("a", "resold"), 1);
	expect(report.n == 1 && broken(0, "jurisdiction", "a", "data in CH"), "Norway is EEA, data in Switzerland are not");
	judge(CUSTODY "[policy]\njurisdiction = EU, CH, NO\n" PRESET("a", "resold"), 1);
	expect(report.n == 0, "a list of countries adds up");
	judge(CUSTODY "[policy]\njurisdiction = EU\n" PRESET("a", "resold"), 1);
	expect(report.n == 2, "Norway is not EU");
	judge(CUSTODY "[policy]\njurisdiction = EU\n[provider.a]\ntype = folder\npath = /x\nparent = We\n", 1);
	expect(report.n == 2 && broken(0, "jurisdiction", "a", "\"seat\" of provider \"a\" is unknown"), "what a section does not say is unknown, and does not satisfy");
	judge(CUSTODY "[policy]\njurisdiction = EU\n[provider.a]\ntype = folder\npath = /x\nparent = We\nseat = FR\nlocation = FR\n", 1);
	expect(report.n == 0, "what it says does");
	judge(CUSTODY "[policy]\njurisdiction = EU\n" PRESET("a", "good") "seat = US\n", 1);
	expect(report.n == 1 && broken(0, "jurisdiction", "a", "(p.conf:12)"), "a section's own word comes before its preset, and is cited");
}

static void
reach(void)
{
	judge(CUSTODY "[policy]\nnot-reached-by = US\n" PRESET("a", "good"), 1);
	expect(report.n == 0, "none found");
	judge(CUSTODY "[policy]\nnot-reached-by = US\n" PRESET("a", "owned"), 1);
	expect(report.n == 1 && broken(0, "not-reached-by", "a", "law of US reaches provider \"a\" (cat.ini:24: a register"), "a European seat under American owners");
	judge(CUSTODY "[policy]\nnot-reached-by = CH\n" PRESET("a", "resold"), 1);
	expect(report.n == 1 && broken(0, "not-reached-by", "a", "law of CH"), "the law of the place reaches what lies there");
	judge(CUSTODY "[policy]\nnot-reached-by = US\n" PRESET("a", "dark") "parent = X\n", 1);
	expect(report.n == 3 && broken(0, "not-reached-by", "a", "\"jurisdictions\" of provider \"a\" is unknown"), "unknown does not satisfy");
}

static void
certificates(void)
{
	judge(CUSTODY "[policy]\nrequire = hds\n" PRESET("a", "good"), 1);
	expect(report.n == 0, "certified");
	judge(CUSTODY "[policy]\nrequire = hds\n" PRESET("a", "us"), 1);
	expect(report.n == 1 && broken(0, "require", "a", "expired on 2026-11-24 (cat.ini:18"), "expired yesterday");
	judge(CUSTODY "[policy]\nrequire = hds\n" PRESET("a", "owned"), 1);
	expect(report.n == 1 && broken(0, "require", "a", "it is not certified"), "not certified");
	judge(CUSTODY "[policy]\nrequire = hds, c5\n" PRESET("a", "good"), 1);
	expect(report.n == 1 && broken(0, "require", "a", "c5 of provider \"a\": whether it is certified is unknown"), "each one is asked for");
}

static void
independence(void)
{
	judge(CUSTODY "[policy]\n" PRESET("a", "us") PRESET("b", "owned") PRESET("c", "good"), 3);
	expect(report.n == 1 && broken(0, "max-shards-per-parent", "b", "Big holds 2 shards, and 1 are allowed"), "two of one parent, by default k-1");
	expect(!report.barred[0] && !report.barred[2], "only what is too much is barred");
	judge(CUSTODY "[policy]\n" PRESET("a", "good") PRESET("b", "resold") PRESET("c", "us"), 3);
	expect(report.n == 1 && broken(0, "max-shards-per-parent", "b", "Good holds 2"), "two brands on one operator's machines");
	judge(CUSTODY "[policy]\nmax-shards-per-parent = 2\n" PRESET("a", "us") PRESET("b", "owned") PRESET("c", "good"), 3);
	expect(report.n == 0, "the number can be given");
	judge(CUSTODY "[policy]\n" PRESET("a", "good") PRESET("b", "dark") PRESET("c", "us"), 3);
	expect(report.n >= 1 && broken(0, "max-shards-per-parent", "b", "may be anybody's"), "a parent that is unknown may be anybody's");
	judge(CUSTODY "[policy]\n[provider.a]\ntype = folder\npath = /a\n[provider.b]\ntype = folder\npath = /b\n", 2);
	expect(report.n == 1 && broken(0, "max-shards-per-parent", "b", "one owner may hold 2"), "two of which nobody says anything");
	judge(CUSTODY "[policy]\n" PRESET("a", "us") "state = drain\n" PRESET("b", "owned") PRESET("c", "good"), 2);
	expect(report.n == 0, "one that is being left does not count");
}

static void
custodian(void)
{
	judge("[custody]\nroot = file:/k\n[policy]\n" PRESET("a", "good"), 1);
	expect(report.n == 1 && strcmp(report.violations[0].rule, "custodian") == 0 && report.violations[0].provider < 0 &&
		   sov_policy_enforce(&report, &err) == SOV_E_CONFIG && strstr(err.hint, "operator = "), "who runs the custodian must be said");
	judge("[custody]\nroot = file:/k\noperator = good\n" PRESET("a", "good") PRESET("b", "us"), 2);
	expect(report.n == 1 && broken(0, "custodian", "a", "whoever stores must not hold the key"), "the custodian's operator stores: refused, also without [policy]");
	judge("[custody]\nroot = file:/k\noperator = Usa\n" PRESET("a", "owned"), 1);
	expect(report.n == 1 && broken(0, "custodian", "a", "it belongs to Big"), "its parent stores under another brand");
	judge("[custody]\nroot = file:/k\noperator = Usa\n" PRESET("a", "owned") "state = drain\n", 1);
	expect(report.n == 0, "what is being left may be");
}

int
main(void)
{
	FILE	   *f = fmemopen((void *) catalogue, strlen(catalogue), "r");

	v = sov_vendors_new(&err);
	ok_rc(sov_vendors_add_stream(v, f, "cat.ini", &err), err, "the test's catalogue");
	fclose(f);
	places();
	reach();
	certificates();
	independence();
	custodian();
	judge(CUSTODY "[policy]\nnot-reached-by = US\n" PRESET("azure", "us") "state = drain\n" PRESET("a", "good"), 1);
	expect(report.n == 1 && report.violations[0].drained && report.barred[0] && sov_policy_enforce(&report, &err) == SOV_OK,
		   "a provider that breaks a rule may be left, and is never written to");
	sov_vendors_free(v);
	return tap_done();
}
