/*
 * cmd_provider.c - what is known of providers: by the catalogue, by the configuration,
 * by the policy, and by trial.
 */
#include <stdio.h>
#include <string.h>

#include "provider_view.h"

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

/* --- list --- */

static const char *
probed_text(const struct provider_view *v, const char *name, char *dst, size_t cap)
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

	snprintf(laws, sizeof laws, "%s/%s%s%s", claim_text(&claims[SOV_VENDOR_SEAT]), location,
			 claims[SOV_VENDOR_JURISDICTIONS].value ? "; " : "", claims[SOV_VENDOR_JURISDICTIONS].value ? claims[SOV_VENDOR_JURISDICTIONS].value : "");
	printf("%-20.20s %-7s %-24.24s %-24.24s %-22.22s %-13s %s\n", name, type, claim_text(&claims[SOV_VENDOR_OPERATOR]),
		   claim_text(&claims[SOV_VENDOR_PARENT]), laws, policy, probed);
}

static int
list(struct provider_view *v, bool all)
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
			json_array_append_new(doc, provider_view_json(v, i));
		else
			print_row(v->cfg.providers[i].name, v->cfg.providers[i].type, profile.claims, claim_text(&profile.claims[SOV_VENDOR_LOCATION]),
					  provider_policy(v, i), probed_text(v, v->cfg.providers[i].name, when, sizeof when));
	}
	for (int i = 0; all && i < sov_vendors_count(v->vendors); i++)
	{
		const struct sov_vendor *e = sov_vendors_at(v->vendors, i);

		if (v->json)
			json_array_append_new(catalogue, json_pack("{s:s, s:o}", "vendor", e->name, "claims", provider_claims_json(e->claims)));
		else
			print_row(e->name, claim_text(&e->claims[SOV_VENDOR_TYPE]), e->claims, claim_text(&e->claims[SOV_VENDOR_LOCATION]), "(catalogue)", "");
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
		printf("  %-20s %s\n", sov_vendor_field_name(f), claim_text(c));
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
		printf("  %-20s %-8s %s\n", p->findings[i].what, probe_words[p->findings[i].verdict], p->findings[i].does);
}

static int
show(struct provider_view *v, const char *name)
{
	int			i = provider_index(v, name);
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
		return cli_print_json(i >= 0 ? provider_view_json(v, i) : json_pack("{s:s, s:o}", "vendor", e->name, "claims", provider_claims_json(e->claims)));
	if (e != NULL)
	{
		printf("%s, an entry of the catalogue\n", e->name);
		print_claims(e->claims);
		return 0;
	}
	sov_profile_make(v->vendors, &v->cfg, &v->cfg.providers[i], &profile);
	printf("provider %s: type %s, %s%s%s\n", name, v->cfg.providers[i].type, v->cfg.providers[i].state == SOV_PROVIDER_DRAIN ? "drain" : "active",
		   v->cfg.providers[i].preset[0] ? ", preset " : "", v->cfg.providers[i].preset);
	printf("policy: %s%s%s\n", provider_policy(v, i), provider_verdict(v, i)[0] ? ": " : "", provider_verdict(v, i));
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
probe_one(struct provider_view *v, int i, json_t *doc)
{
	const struct sov_provider_config *p = &v->cfg.providers[i];
	struct sov_probe probe;
	struct sov_error err;
	int			bad = 0;
	enum sov_code rc = v->policy.barred[i] ?
		sov_fail(&err, SOV_E_CONFIG, "a probe writes: what the policy bars is not probed", "provider %s: %s", p->name, provider_verdict(v, i)) : SOV_OK;

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
	json_array_append_new(doc, json_pack("{s:s, s:o}", "provider", p->name, "probe", provider_probe_json(&probe)));
	if (!v->json)
	{
		printf("provider %s\n", p->name);
		print_probe(&probe);
	}
	return bad ? cli_exit_code(SOV_E_PROVIDER) : 0;
}

static int
probe(struct provider_view *v, int n, char **names)
{
	json_t	   *doc = json_array();
	int			status = 0;

	for (int j = 0; j < (n > 0 ? n : v->cfg.n_providers); j++)
	{
		int			i = n > 0 ? provider_index(v, names[j]) : j,
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
run(struct provider_view *v, const char *what, bool all, int n, char **names)
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
	static struct provider_view v;
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
	if (provider_view_open(ctx, &v, &err) != SOV_OK)
		return cli_report(&err);
	status = run(&v, argv[optind], all, argc - optind - 1, argv + optind + 1);
	sov_vendors_free(v.vendors);
	return status;
}
