/*
 * sov_policy.h - which providers may be written to: the rules of [policy], and the
 * custodian that is none of the storage operators.
 *
 * What is unknown never satisfies a rule that asks.  A provider that breaks a rule
 * is barred: nothing is written to it, by whatever command; it may be read, and
 * be left ("state = drain").  While an active one breaks a rule, init, backup,
 * repair, plan and apply refuse; archiving goes on with the others as long as
 * enough hold each segment.
 *
 *	jurisdiction           seat and place of the data lie in one of these
 *	not-reached-by         none of these laws reaches it: by seat, by place, or otherwise
 *	require                every one of these certifications holds today, for its region
 *	max-shards-per-parent  so many active providers at most have one operator, underlying
 *	                       operator or ultimate parent in common; one whose parent is
 *	                       unknown may be anybody's
 *	custodian              who runs the custodian ([custody] operator) runs, or owns, no
 *	                       active provider; holds also without [policy]
 */
#ifndef SOV_POLICY_H
#define SOV_POLICY_H

#include "sov_vendor.h"

struct sov_violation
{
	int			provider;		/* index in cfg->providers; -1: of the whole repository */
	const char *rule;			/* "not-reached-by" */
	bool		drained;		/* the provider is being left: this is how */
	char		message[700];	/* rule, provider, claim and its source */
	char		hint[300];
};

#define SOV_MAX_VIOLATIONS (SOV_MAX_PROVIDERS * 6 + 1)
struct sov_policy_report
{
	bool		asked;			/* there is something to obey */
	int			n;
	struct sov_violation violations[SOV_MAX_VIOLATIONS];
	bool		barred[SOV_MAX_PROVIDERS];	/* may not be written to */
};

/* Judge the configured providers by what is known of them; now is Unix time. */
extern void sov_policy_judge(const struct sov_config *cfg, const struct sov_vendors *v, int64_t now, struct sov_policy_report *out);
/* The same with the catalogue as it is and now; an error only when the catalogue
 * cannot be read. */
extern enum sov_code sov_policy_check(const struct sov_config *cfg, struct sov_policy_report *out, struct sov_error *err);
/* The first violation that is no drained provider's, or NULL. */
extern const struct sov_violation *sov_policy_refusal(const struct sov_policy_report *report);
/* SOV_E_CONFIG with that violation, SOV_OK when there is none. */
extern enum sov_code sov_policy_enforce(const struct sov_policy_report *report, struct sov_error *err);

/* Is it a list of countries' codes, EU and EEA? */
extern bool sov_countries_ok(const char *list);

#endif
