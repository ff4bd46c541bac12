/*
 * policy.c - judges the configured providers by the rules of [policy].
 *
 * Each rule is one function that looks at the profiles (vendor_profile.c) and
 * tells what breaks it, with the claim's source, so that who is refused can look
 * it up, and correct it with a source of his own.
 */
#include "sov_policy.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct judge
{
	const struct sov_config *cfg;
	const struct sov_vendors *vendors;
	int64_t		now;
	struct sov_profile *profiles;
	struct sov_policy_report *out;
};

/* --- countries --- */

static const char eu[] = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE";
static const char eea_beyond[] = "IS LI NO";

static bool
code_in(const char *codes, const char *country)
{
	for (const char *p = codes; *p != '\0'; p += 2 + (p[2] == ' '))
		if (strncmp(p, country, 2) == 0)
			return true;
	return false;
}

/* Is the country (or law) one of "EEA, CH"? */
static bool
country_in(const char *list, const char *country)
{
	char		item[8];

	if (strlen(country) != 2)
		return false;
	for (int i = 0; sov_list_at(list, i, item, sizeof item); i++)
		if (strcmp(item, country) == 0 ||
			((strcmp(item, "EU") == 0 || strcmp(item, "EEA") == 0) && code_in(eu, country)) ||
			(strcmp(item, "EEA") == 0 && code_in(eea_beyond, country)))
			return true;
	return false;
}

bool
sov_countries_ok(const char *list)
{
	char		item[8];
	int			n = 0,
				commas = 0;

	for (const char *p = list; *p; p++)
		commas += *p == ',';
	for (; sov_list_at(list, n, item, sizeof item); n++)
		if (strcmp(item, "EEA") != 0 && (strlen(item) != 2 || strspn(item, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2))
			return false;
	return n == commas + 1;
}

/* --- telling --- */

/* "(FILE:LINE: source, read 2026-11)" of a claim. */
static void
cite(const struct sov_claim *c, char *dst, size_t cap)
{
	if (c->file == NULL)
		snprintf(dst, cap, "(nothing is said of it)");
	else if (c->source == NULL || c->source->confidence == SOV_CONFIDENCE_STATED)
		snprintf(dst, cap, "(%.150s:%d)", c->file, c->line);
	else
		snprintf(dst, cap, "(%.150s:%d: %.180s, read %s, %s)", c->file, c->line, c->source->description, c->source->read_on,
				 sov_confidence_name(c->source->confidence));
}

static void __attribute__((format(printf, 6, 7)))
violated(struct judge *j, int provider, const char *rule, const struct sov_rule *line, const char *hint, const char *fmt, ...)
{
	struct sov_policy_report *out = j->out;
	struct sov_violation *v;
	char		what[560];
	va_list		ap;

	if (provider >= 0)
		out->barred[provider] = true;
	if (out->n == SOV_MAX_VIOLATIONS)
		return;
	v = &out->violations[out->n++];
	v->provider = provider;
	v->rule = rule;
	v->drained = provider >= 0 && j->cfg->providers[provider].state == SOV_PROVIDER_DRAIN;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (line != NULL && line->line > 0)
		snprintf(v->message, sizeof v->message, "policy %s = %.60s (line %d): %s", rule, line->value, line->line, what);
	else
		snprintf(v->message, sizeof v->message, "policy %s: %s", rule, what);
	if (hint != NULL)
		snprintf(v->hint, sizeof v->hint, "%s", hint);
	else if (provider >= 0)
		snprintf(v->hint, sizeof v->hint, "set state = drain in [provider.%s] and add another provider, or correct the claim with its source, or the rule",
				 j->cfg->providers[provider].name);
}

/* Once is enough. */
static bool
told(const struct judge *j, int provider, const char *rule)
{
	for (int n = 0; n < j->out->n; n++)
		if (j->out->violations[n].provider == provider && strcmp(j->out->violations[n].rule, rule) == 0)
			return true;
	return false;
}

/* --- rules of one provider --- */

#define STATE_IT "state \"%s\" in [provider.%s], or give the claim and its source in a catalogue of your own"

/* A claim that a rule needs; tells when it is unknown. */
static const char *
need(struct judge *j, int i, enum sov_vendor_field field, const char *rule, const struct sov_rule *line)
{
	const struct sov_claim *c = &j->profiles[i].claims[field];
	char		hint[300],
				source[420];

	if (c->value != NULL)
		return c->value;
	cite(c, source, sizeof source);
	snprintf(hint, sizeof hint, STATE_IT, sov_vendor_field_name(field), j->cfg->providers[i].name);
	violated(j, i, rule, line, hint, "\"%s\" of provider \"%s\" is unknown %s, and what is unknown does not satisfy it",
			 sov_vendor_field_name(field), j->cfg->providers[i].name, source);
	return NULL;
}

static void
rule_jurisdiction(struct judge *j, int i)
{
	static const enum sov_vendor_field fields[] = {SOV_VENDOR_SEAT, SOV_VENDOR_LOCATION};
	const struct sov_rule *rule = &j->cfg->policy.jurisdiction;

	for (int f = 0; f < 2 && rule->line > 0; f++)
	{
		const char *country = need(j, i, fields[f], "jurisdiction", rule);
		char		source[420];

		if (country == NULL || country_in(rule->value, country))
			continue;
		cite(&j->profiles[i].claims[fields[f]], source, sizeof source);
		violated(j, i, "jurisdiction", rule, NULL, "provider \"%s\" has its %s in %s %s", j->cfg->providers[i].name,
				 f == 0 ? "seat" : "data", country, source);
	}
}

static void
rule_reach(struct judge *j, int i)
{
	static const enum sov_vendor_field fields[] = {SOV_VENDOR_JURISDICTIONS, SOV_VENDOR_SEAT, SOV_VENDOR_LOCATION};
	const struct sov_rule *rule = &j->cfg->policy.not_reached_by;

	for (int f = 0; f < 3 && rule->line > 0; f++)
	{
		const char *reach = need(j, i, fields[f], "not-reached-by", rule);
		char		law[8],
					source[420];

		if (reach == NULL || strcmp(reach, "none-found") == 0)
			continue;
		for (int n = 0; sov_list_at(reach, n, law, sizeof law); n++)
			if (country_in(rule->value, law))
			{
				cite(&j->profiles[i].claims[fields[f]], source, sizeof source);
				violated(j, i, "not-reached-by", rule, NULL, "the law of %s reaches provider \"%s\" %s", law, j->cfg->providers[i].name, source);
				return;			/* one is enough, and more would repeat it */
			}
	}
}

static void
rule_require(struct judge *j, int i)
{
	const struct sov_rule *rule = &j->cfg->policy.require;
	char		name[32];

	for (int n = 0; rule->line > 0 && sov_list_at(rule->value, n, name, sizeof name); n++)
		for (int f = SOV_VENDOR_FIRST_CERTIFICATION; f < SOV_VENDOR_FIELDS; f++)
		{
			const struct sov_claim *c = &j->profiles[i].claims[f];
			struct sov_certification cert = {0};
			const char *malformed;
			char		why[300],
						source[420];

			if (strcmp(sov_vendor_field_name(f), name) != 0)
				continue;
			if (c->value != NULL)
				(void) sov_certification_read(c->value, &cert, &malformed);
			if (sov_certification_holds(name, &cert, j->cfg->providers[i].region, j->now, why, sizeof why))
				continue;
			cite(c, source, sizeof source);
			violated(j, i, "require", rule, NULL, "%s of provider \"%s\": %s %s", name, j->cfg->providers[i].name, why, source);
		}
}

/* --- independence --- */

static const enum sov_vendor_field owners[] = {SOV_VENDOR_PARENT, SOV_VENDOR_OPERATOR, SOV_VENDOR_UNDERLYING};
#define N_OWNERS 3

static bool
list_has(const char *list, const char *name)
{
	char		item[SOV_NAME_MAX];

	for (int i = 0; list != NULL && sov_list_at(list, i, item, sizeof item); i++)
		if (strcasecmp(item, name) == 0)
			return true;
	return false;
}

/* The claim by which somebody runs or owns a provider, or NULL. */
static const struct sov_claim *
owned_by(const struct sov_profile *p, const char *name)
{
	for (int o = 0; o < N_OWNERS; o++)
		if (list_has(p->claims[owners[o]].value, name))
			return &p->claims[owners[o]];
	return NULL;
}

static int
most_per_parent(const struct sov_config *cfg)
{
	const struct sov_rule *rule = &cfg->policy.max_per_parent;
	int			most = rule->line > 0 && strcmp(rule->value, "k-1") != 0 ? atoi(rule->value) : cfg->needed - 1;

	return most < 1 ? 1 : most;
}

/* Active providers that are the owner's ("" is nobody's), then those that may be. */
static void
count_owner(struct judge *j, const char *owner)
{
	int			most = most_per_parent(j->cfg),
				count = 0;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < j->cfg->n_providers; i++)
		{
			const struct sov_provider_config *p = &j->cfg->providers[i];
			const struct sov_claim *claim = owned_by(&j->profiles[i], owner);
			bool		may_be = j->profiles[i].claims[SOV_VENDOR_PARENT].value == NULL;
			char		source[420],
						hint[300];

			if (p->state != SOV_PROVIDER_ACTIVE || (pass == 0 ? claim == NULL : claim != NULL || !may_be) || ++count <= most ||
				told(j, i, "max-shards-per-parent"))
				continue;
			cite(pass == 0 ? claim : &j->profiles[i].claims[SOV_VENDOR_PARENT], source, sizeof source);
			if (pass == 0)
				violated(j, i, "max-shards-per-parent", &j->cfg->policy.max_per_parent, NULL,
						 "with provider \"%s\", %s holds %d shards, and %d are allowed %s", p->name, owner, count, most, source);
			else
			{
				snprintf(hint, sizeof hint, STATE_IT, "parent", p->name);
				violated(j, i, "max-shards-per-parent", &j->cfg->policy.max_per_parent, hint,
						 "the ultimate parent of provider \"%s\" is unknown %s: it may be anybody's, and with it %s may hold %d shards, where %d are allowed",
						 p->name, source, owner[0] ? owner : "one owner", count, most);
			}
		}
}

static void
rule_independence(struct judge *j)
{
	char		owner[SOV_NAME_MAX];

	for (int i = 0; i < j->cfg->n_providers; i++)
		for (int o = 0; o < N_OWNERS && j->cfg->providers[i].state == SOV_PROVIDER_ACTIVE; o++)
			for (int n = 0; j->profiles[i].claims[owners[o]].value != NULL &&
				 sov_list_at(j->profiles[i].claims[owners[o]].value, n, owner, sizeof owner); n++)
				count_owner(j, owner);
	count_owner(j, "");			/* where nobody says anything */
}

/* --- the custodian --- */

static void
compare_custodian(struct judge *j, const char *name, const char *as)
{
	for (int i = 0; i < j->cfg->n_providers; i++)
	{
		const struct sov_claim *c = owned_by(&j->profiles[i], name);
		char		source[420],
					seen[100] = "";

		if (c == NULL || j->cfg->providers[i].state != SOV_PROVIDER_ACTIVE || told(j, i, "custodian"))
			continue;
		cite(c, source, sizeof source);
		if (strcasecmp(name, as) != 0)
			snprintf(seen, sizeof seen, " (it belongs to %s)", name);
		violated(j, i, "custodian", NULL, "let somebody else keep the root key, or leave this provider",
				 "%s runs the custodian%s (line %d), and is behind provider \"%s\" as well %s: whoever stores must not hold the key",
				 as, seen, j->cfg->custodian.line, j->cfg->providers[i].name, source);
	}
}

static void
rule_custodian(struct judge *j)
{
	const struct sov_stated *stated = &j->cfg->custodian;
	char		name[SOV_NAME_MAX],
				owner[SOV_NAME_MAX];

	if (stated->line == 0 || strcmp(stated->value, "unknown") == 0)
	{
		if (j->cfg->policy.line > 0)
			violated(j, -1, "custodian", NULL, "add to [custody]: operator = who runs it, for example your own organisation",
					 "it is unknown who runs the custodian of the root key: it must be nobody who stores");
		return;
	}
	for (int n = 0; sov_list_at(stated->value, n, name, sizeof name); n++)
	{
		compare_custodian(j, name, name);
		/* and whoever the catalogue says is behind that name */
		for (int v = 0; v < sov_vendors_count(j->vendors); v++)
		{
			const struct sov_vendor *vendor = sov_vendors_at(j->vendors, v);

			if (strcasecmp(vendor->name, name) != 0 && !list_has(vendor->claims[SOV_VENDOR_OPERATOR].value, name))
				continue;
			for (int o = 0; o < N_OWNERS; o++)
				for (int k = 0; vendor->claims[owners[o]].value != NULL &&
					 sov_list_at(vendor->claims[owners[o]].value, k, owner, sizeof owner); k++)
					if (strcasecmp(owner, name) != 0)
						compare_custodian(j, owner, name);
		}
	}
}

/* --- all of it --- */

void
sov_policy_judge(const struct sov_config *cfg, const struct sov_vendors *v, int64_t now, struct sov_policy_report *out)
{
	struct judge j = {.cfg = cfg, .vendors = v, .now = now, .out = out};

	memset(out, 0, sizeof *out);
	out->asked = cfg->policy.line > 0 || cfg->custodian.line > 0;
	j.profiles = out->asked ? calloc((size_t) cfg->n_providers + 1, sizeof *j.profiles) : NULL;
	if (j.profiles == NULL)
	{
		/* without memory nothing may be written */
		for (int i = 0; i < SOV_MAX_PROVIDERS; i++)
			out->barred[i] = out->asked;
		if (out->asked)
			violated(&j, -1, "all", NULL, NULL, "out of memory");
		return;
	}
	for (int i = 0; i < cfg->n_providers; i++)
		sov_profile_make(v, cfg, &cfg->providers[i], &j.profiles[i]);
	for (int i = 0; i < cfg->n_providers; i++)
	{
		rule_jurisdiction(&j, i);
		rule_reach(&j, i);
		rule_require(&j, i);
	}
	if (cfg->policy.line > 0)
		rule_independence(&j);
	rule_custodian(&j);
	free(j.profiles);
}

enum sov_code
sov_policy_check(const struct sov_config *cfg, struct sov_policy_report *out, struct sov_error *err)
{
	struct sov_vendors *v;
	enum sov_code rc;

	memset(out, 0, sizeof *out);
	if (cfg->policy.line == 0 && cfg->custodian.line == 0)
		return SOV_OK;
	rc = sov_vendors_load(cfg->catalogue, &v, err);
	if (rc != SOV_OK)
		return rc;
	sov_policy_judge(cfg, v, (int64_t) time(NULL), out);
	sov_vendors_free(v);
	return SOV_OK;
}

const struct sov_violation *
sov_policy_refusal(const struct sov_policy_report *report)
{
	for (int i = 0; i < report->n; i++)
		if (!report->violations[i].drained)
			return &report->violations[i];
	return NULL;
}

enum sov_code
sov_policy_enforce(const struct sov_policy_report *report, struct sov_error *err)
{
	const struct sov_violation *v = sov_policy_refusal(report);

	return v == NULL ? SOV_OK : sov_fail(err, SOV_E_CONFIG, v->hint, "%s", v->message);
}
