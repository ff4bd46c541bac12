/*
 * provider_view.c - see provider_view.h.
 */
#include <string.h>
#include <time.h>

#include "provider_view.h"

const char *const probe_words[] = {"good", "limited", "bad"};

const char *
claim_text(const struct sov_claim *c)
{
	return c->value ? c->value : "unknown";
}

/* What the policy says of a provider, "" when there is none. */
const char *
provider_verdict(const struct provider_view *v, int provider)
{
	for (int i = 0; i < v->policy.n; i++)
		if (v->policy.violations[i].provider == provider)
			return v->policy.violations[i].message;
	return "";
}

const char *
provider_policy(const struct provider_view *v, int provider)
{
	return !v->policy.asked ? "no policy" : v->policy.barred[provider] ? "barred" : provider_verdict(v, provider)[0] ? "breaks a rule" : "satisfied";
}

int
provider_index(const struct provider_view *v, const char *name)
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

json_t *
provider_claims_json(const struct sov_claim *claims)
{
	json_t	   *o = json_object();

	for (int f = 0; f < SOV_VENDOR_FIELDS; f++)
		json_object_set_new(o, sov_vendor_field_name(f), claim_json(&claims[f]));
	return o;
}

json_t *
provider_probe_json(const struct sov_probe *p)
{
	json_t	   *findings = json_array();
	char		when[64];

	for (int i = 0; i < p->n; i++)
		json_array_append_new(findings, json_pack("{s:s, s:s, s:s}", "what", p->findings[i].what, "does", p->findings[i].does,
												  "verdict", probe_words[p->findings[i].verdict]));
	return json_pack("{s:s, s:f, s:f, s:f, s:o}", "time", cli_time_text(p->time_us, when, sizeof when), "put_rate", p->put_rate,
					 "get_rate", p->get_rate, "latency_ms", p->latency_ms, "findings", findings);
}

json_t *
provider_view_json(const struct provider_view *v, int i)
{
	const struct sov_provider_config *p = &v->cfg.providers[i];
	struct sov_profile profile;
	struct sov_probe probe;

	sov_profile_make(v->vendors, &v->cfg, p, &profile);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "provider", p->name, "type", p->type, "state",
					 p->state == SOV_PROVIDER_DRAIN ? "drain" : "active", "preset", p->preset, "policy", provider_policy(v, i),
					 "policy_message", provider_verdict(v, i), "claims", provider_claims_json(profile.claims),
					 "probe", sov_probe_read(&v->cfg, p->name, &probe) ? provider_probe_json(&probe) : json_null());
}

enum sov_code
provider_view_open(const struct cli_context *ctx, struct provider_view *v, struct sov_error *err)
{
	enum sov_code rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &v->cfg, err);

	if (rc == SOV_OK)
		rc = sov_vendors_load(v->cfg.catalogue, &v->vendors, err);
	if (rc == SOV_OK)
		sov_policy_judge(&v->cfg, v->vendors, (int64_t) time(NULL), &v->policy);
	return rc;
}
