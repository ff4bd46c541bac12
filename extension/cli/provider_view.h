/*
 * provider_view.h - configured providers as they are shown: claims with their sources,
 * the policy's verdict, the last probe.
 */
#ifndef PROVIDER_VIEW_H
#define PROVIDER_VIEW_H

#include "cli.h"
#include "sov_policy.h"
#include "sov_probe.h"

struct provider_view
{
	struct sov_config cfg;
	struct sov_vendors *vendors;	/* the caller frees them */
	struct sov_policy_report policy;
	bool		json;
};

extern enum sov_code provider_view_open(const struct cli_context *ctx, struct provider_view *v, struct sov_error *err);
/* Its place in the configuration; -1: there is none of this name. */
extern int	provider_index(const struct provider_view *v, const char *name);
/* "no policy", "satisfied", "breaks a rule", "barred"; and the first rule that it
 * breaks, or "". */
extern const char *provider_policy(const struct provider_view *v, int provider);
extern const char *provider_verdict(const struct provider_view *v, int provider);
/* The value, or "unknown". */
extern const char *claim_text(const struct sov_claim *c);
/* "good", "limited", "bad" */
extern const char *const probe_words[];

/* By name of the claim: value (or null), source, read_on, confidence, file, line. */
extern json_t *provider_claims_json(const struct sov_claim *claims);
extern json_t *provider_probe_json(const struct sov_probe *p);
/* provider, type, state, preset, policy, policy_message, claims, probe (or null) */
extern json_t *provider_view_json(const struct provider_view *v, int i);

#endif
