/*
 * cmd_provider.c - what is known of providers: by the catalogue, by the configuration,
 * by the policy, and by trial.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "sov_policy.h"
#include "sov_probe.h"

const char	cmd_provider_help[] =
	"pg_sovereign provider - what is known of providers, and what they really do\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] provider list [--all] [--json]\n"
	"  pg_sovereign [-c FILE] provider show NAME [--json]\n"
	"  pg_sovereign [-c FILE] provider probe [NAME ...] [--json]\n\n"
	"list    the configured providers: who runs and owns them, which laws reach them,\n"
	"        the policy's verdict, and what the last probe found\n"
	"show    everything that is known of a configured provider, or of an entry of the\n"
	"        catalogue: each claim with its source, date and confidence\n"
	"probe   tries what a provider really does, with small objects that are removed\n"
	"        again, and keeps what it found: about 40 MB of traffic for each provider\n\n"
	"Options:\n"
	"  --all    also what the catalogue has and the configuration does not use\n"
	"  --json   print JSON\n\n"
	"Exit status of probe: 0 done; 4 a provider cannot be reached, or does not do what\n"
	"the repository relies on.\n";

static const char *const verdict_words[] = {"good", "limited", "bad"};

struct view
{
	struct sov_config cfg;
	struct sov_vendors *vendors;
	struct sov_policy_report policy;
	bool		json;
};

static const char *
value_of(const struct sov_claim *c)
{
	return c->value ? c->value : "unknown";
}

/* What the policy says of a provider, "" when there is none. */
static const char *
verdict_of(const struct view *v, int provider)
{
	for (int i = 0; i < v->policy.n; i++)
		if (v->policy.violations[i].provider == provider)
			return v->policy.violations[i].message;
	return "";
}

static const char *
policy_word(const struct view *v, int provider)
{
	return !v->policy.asked ? "no policy" : v->policy.barred[provider] ? "barred" : verdict_of(v, provider)[0] ? "breaks a rule" : "satisfied";
}

static int
find_provider(const struct view *v, const char *name)
{
	for (int i = 0; i < v->cfg.n_providers; i++)
		if (strcmp(v->cfg.providers[i].name, name) == 0)
			return i;
	return -1;
}

/* --- JSON --- */

static json_t *
claim_json(const struct sov_claim *c)
{
	json_t	   *o = json_object();

	json_object_set_new(o, "value", c->value ? json_string(c->value) : json_null());
	if (c->source)
	{
		json_object_set_new(o, "source", json_string(c->source->description ? c->source->description : c->source->name));
		json_object_set_new(o, "read_on", json_string(c->source->read_on ? c->source->read_on : ""));
		json_object_set_new(o, "confidence", json_string(sov_confidence_name(c->source->confidence)));
	}
	if (c->file)
	{
		json_object_set_new(o, "file", json_string(c->file));
		json_object_set_new(o, "line", json_integer(c->line));
	}
	return o;
}

static json_t *
claims_json(const struct sov_claim *claims)
{
	json_t	   *o = json_object();

	for (int f = 0; f < SOV_VENDOR_FIELDS; f++)
		json_object_set_new(o, sov_vendor_field_name(f), claim_json(&claims[f]));
	return o;
}

static json_t *
probe_json(const struct sov_probe *p)
{
	json_t	   *findings = json_array();
	char		when[64];

	for (int i = 0; i < p->n; i++)
		json_array_append_new(findings, json_pack("{s:s, s:s, s:s}", "what", p->findings[i].what, "does", p->findings[i].does,
												  "verdict", verdict_words[p->findings[i].verdict]));
	return json_pack("{s:s, s:f, s:f, s:f, s:o}", "time", cli_time_text(p->time_us, when, sizeof when), "put_bytes_per_second", p->put_rate,
					 "get_bytes_per_second", p->get_rate, "latency_ms", p->latency_ms, "findings", findings);
}

static json_t *
provider_json(const struct view *v, int i)
{
	const struct sov_provider_config *p = &v->cfg.providers[i];
	struct sov_profile profile;
	struct sov_probe probe;

	sov_profile_make(v->vendors, &v->cfg, p, &profile);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "provider", p->name, "type", p->type, "state",
					 p->state == SOV_PROVIDER_DRAIN ? "drain" : "active", "preset", p->preset, "policy", policy_word(v, i),
					 "policy_message", verdict_of(v, i), "claims", claims_json(profile.claims),
					 "probe", sov_probe_read(&v->cfg, p->name, &probe) ? probe_json(&probe) : json_null());
}

/* --- list --- */

static const char *
probed_text(const struct view *v, const char *name, char *dst, size_t cap)
{
	struct sov_probe p;
	char		when[64];
	int			bad = 0;

	if (!sov_probe_read(&v->cfg, name, &p))
		return "never";
	for (int i = 0; i < p.n; i++)
		bad += p.findings[i].verdict == SOV_PROBE_BAD;
	snprintf(dst, cap, "%.10s, %s", cli_time_text(p.time_us, when, sizeof when), bad ? "BAD" : "good");
	return dst;
}

static void
print_row(const char *name, const char *type, const struct sov_claim *claims, const char *location, const char *policy, const char *probed)
{
	char		laws[120];

	snprintf(laws, sizeof laws, "%s/%s%s%s", value_of(&claims[SOV_VENDOR_SEAT]), location,
			 claims[SOV_VENDOR_JURISDICTIONS].value ? "; " : "", claims[SOV_VENDOR_JURISDICTIONS].value ? claims[SOV_VENDOR_JURISDICTIONS].value : "");
	printf("%-20.20s %-7s %-24.24s %-24.24s %-22.22s %-13s %s\n", name, type, value_of(&claims[SOV_VENDOR_OPERATOR]),
		   value_of(&claims[SOV_VENDOR_PARENT]), laws, policy, probed);
}

static int
list(struct view *v, bool all)
{
	json_t	   *doc = json_array(),
			   *catalogue = json_array();
	char		when[64];

	if (!v->json)
		printf("%-20s %-7s %-24s %-24s %-22s %-13s %s\n", "provider", "type", "operator", "ultimate parent", "seat/data; other laws", "policy", "probed");
	for (int i = 0; i < v->cfg.n_providers; i++)
	{
		struct sov_profile profile;

		sov_profile_make(v->vendors, &v->cfg, &v->cfg.providers[i], &profile);
		if (v->json)
			json_array_append_new(doc, provider_json(v, i));
		else
			print_row(v->cfg.providers[i].name, v->cfg.providers[i].type, profile.claims, value_of(&profile.claims[SOV_VENDOR_LOCATION]),
					  policy_word(v, i), probed_text(v, v->cfg.providers[i].name, when, sizeof when));
	}
	for (int i = 0; all && i < sov_vendors_count(v->vendors); i++)
	{
		const struct sov_vendor *e = sov_vendors_at(v->vendors, i);

		if (v->json)
			json_array_append_new(catalogue, json_pack("{s:s, s:o}", "vendor", e->name, "claims", claims_json(e->claims)));
		else
			print_row(e->name, value_of(&e->claims[SOV_VENDOR_TYPE]), e->claims, value_of(&e->claims[SOV_VENDOR_LOCATION]), "(catalogue)", "");
	}
	if (v->json)
		return cli_print_json(json_pack("{s:o, s:o}", "providers", doc, "catalogue", catalogue));
	json_decref(doc);
	json_decref(catalogue);
	return 0;
}

/* --- show --- */

static void
print_claims(const struct sov_claim *claims)
{
	for (int f = 0; f < SOV_VENDOR_FIELDS; f++)
	{
		const struct sov_claim *c = &claims[f];

		if (c->value == NULL && c->source == NULL)
			continue;
		printf("  %-20s %s\n", sov_vendor_field_name(f), value_of(c));
		if (c->source)
			printf("  %-20s   (%s; read %s; %s)\n", "", c->source->description ? c->source->description : c->source->name,
				   c->source->read_on ? c->source->read_on : "at an unknown date", sov_confidence_name(c->source->confidence));
	}
	printf("what is not listed is unknown\n");
}

static void
print_probe(const struct sov_probe *p)
{
	for (int i = 0; i < p->n; i++)
		printf("  %-20s %-8s %s\n", p->findings[i].what, verdict_words[p->findings[i].verdict], p->findings[i].does);
}

static int
show(struct view *v, const char *name)
{
	int			i = find_provider(v, name);
	const struct sov_vendor *e = i < 0 ? sov_vendors_find(v->vendors, name) : NULL;
	struct sov_profile profile;
	struct sov_probe probe;
	struct sov_error err;
	char		when[64];

	if (i < 0 && e == NULL)
	{
		sov_fail(&err, SOV_E_NOTFOUND, "'pg_sovereign provider list --all' shows what there is", "\"%.40s\" is no configured provider, and not in the catalogue", name);
		return cli_report(&err);
	}
	if (v->json)
		return cli_print_json(i >= 0 ? provider_json(v, i) : json_pack("{s:s, s:o}", "vendor", e->name, "claims", claims_json(e->claims)));
	if (e != NULL)
	{
		printf("%s, an entry of the catalogue\n", e->name);
		print_claims(e->claims);
		return 0;
	}
	sov_profile_make(v->vendors, &v->cfg, &v->cfg.providers[i], &profile);
	printf("provider %s: type %s, %s%s%s\n", name, v->cfg.providers[i].type, v->cfg.providers[i].state == SOV_PROVIDER_DRAIN ? "drain" : "active",
		   v->cfg.providers[i].preset[0] ? ", preset " : "", v->cfg.providers[i].preset);
	printf("policy: %s%s%s\n", policy_word(v, i), verdict_of(v, i)[0] ? ": " : "", verdict_of(v, i));
	print_claims(profile.claims);
	if (!sov_probe_read(&v->cfg, name, &probe))
		printf("never probed: pg_sovereign provider probe %s\n", name);
	else
	{
		printf("probed %s\n", cli_time_text(probe.time_us, when, sizeof when));
		print_probe(&probe);
	}
	return 0;
}

/* --- probe --- */

/* *doc gets what was found; returns the exit code. */
static int
probe_one(struct view *v, int i, json_t *doc)
{
	const struct sov_provider_config *p = &v->cfg.providers[i];
	struct sov_probe probe;
	struct sov_error err;
	int			bad = 0;
	enum sov_code rc = v->policy.barred[i] ?
		sov_fail(&err, SOV_E_CONFIG, "a probe writes: what the policy bars is not probed", "provider %s: %s", p->name, verdict_of(v, i)) : SOV_OK;

	if (rc == SOV_OK)
	{
		rc = sov_probe_run(p, &probe, &err);
		if (rc == SOV_OK)
			rc = sov_probe_keep(&v->cfg, p->name, &probe, &err);
		if (rc != SOV_OK)
			sov_error_prefix(&err, "provider %s", p->name);
	}
	if (rc != SOV_OK)
	{
		json_array_append_new(doc, json_pack("{s:s, s:s}", "provider", p->name, "error", err.message));
		return cli_report(&err);
	}
	for (int f = 0; f < probe.n; f++)
		bad += probe.findings[f].verdict == SOV_PROBE_BAD;
	json_array_append_new(doc, json_pack("{s:s, s:o}", "provider", p->name, "probe", probe_json(&probe)));
	if (!v->json)
	{
		printf("provider %s\n", p->name);
		print_probe(&probe);
	}
	return bad ? cli_exit_code(SOV_E_PROVIDER) : 0;
}

static int
probe(struct view *v, int n, char **names)
{
	json_t	   *doc = json_array();
	int			status = 0;

	for (int j = 0; j < (n > 0 ? n : v->cfg.n_providers); j++)
	{
		int			i = n > 0 ? find_provider(v, names[j]) : j,
					one;

		if (i < 0)
			one = cli_usage_error("provider", "\"%.40s\" is no configured provider", names[j]);
		else
			one = probe_one(v, i, doc);
		status = status ? status : one;
	}
	if (v->json)
		(void) cli_print_json(doc);
	else
		json_decref(doc);
	return status;
}

static int
run(struct view *v, const char *what, bool all, int n, char **names)
{
	if (strcmp(what, "list") == 0 && n == 0)
		return list(v, all);
	if (strcmp(what, "show") == 0 && n == 1)
		return show(v, names[0]);
	if (strcmp(what, "probe") == 0)
		return probe(v, n, names);
	return cli_usage_error("provider", "say \"list\", \"show NAME\" or \"probe [NAME ...]\"");
}

int
cmd_provider(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"all", no_argument, NULL, 'a'}, {"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}};
	static struct view v;
	bool		all = false;
	struct sov_error err;
	int			c,
				status;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
		if (c == 'a')
			all = true;
		else if (c == 'J')
			v.json = true;
		else
			return cli_exit_code(SOV_E_USAGE);
	if (optind == argc)
		return cli_usage_error("provider", "say \"list\", \"show NAME\" or \"probe [NAME ...]\"");
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &v.cfg, &err) != SOV_OK ||
		sov_vendors_load(v.cfg.catalogue, &v.vendors, &err) != SOV_OK)
		return cli_report(&err);
	sov_policy_judge(&v.cfg, v.vendors, (int64_t) time(NULL), &v.policy);
	status = run(&v, argv[optind], all, argc - optind - 1, argv + optind + 1);
	sov_vendors_free(v.vendors);
	return status;
}
