/*
 * config_policy.c - [policy], what a section states of its provider, and presets
 * of the catalogue of vendors.
 */
#include <stdlib.h>
#include <string.h>

#include "config_int.h"
#include "sov_policy.h"
#include "vendor_int.h"

/* "hds, c5": names of certifications. */
static bool
certifications_ok(const char *list)
{
	char		name[32];
	int			n = 0,
				commas = 0;

	for (const char *p = list; *p; p++)
		commas += *p == ',';
	for (; sov_list_at(list, n, name, sizeof name); n++)
	{
		int			f = SOV_VENDOR_FIRST_CERTIFICATION;

		while (f < SOV_VENDOR_FIELDS && strcmp(sov_vendor_field_name(f), name) != 0)
			f++;
		if (f == SOV_VENDOR_FIELDS)
			return false;
	}
	return n == commas + 1;
}

static bool
most_ok(const char *value)
{
	char	   *end;
	long		n = strtol(value, &end, 10);

	return strcmp(value, "k-1") == 0 || (*end == '\0' && n >= 1 && n <= SOV_MAX_PROVIDERS);
}

bool
sov_config_set_rule(struct config_parse *ps, const char *name, struct sov_rule *dst, const char *value)
{
	const char *hint;
	bool		good;

	if (strcmp(name, "require") == 0)
	{
		hint = "certifications are hds, secnumcloud, iso27001, c5 and acn, separated by commas";
		good = certifications_ok(value);
	}
	else if (strcmp(name, "max-shards-per-parent") == 0)
	{
		hint = "give k-1 (the default: no owner can rebuild anything) or a whole number from 1 to 16";
		good = most_ok(value);
	}
	else
	{
		hint = "give EU, EEA, or countries' codes of two capital letters, separated by commas";
		good = sov_countries_ok(value);
	}
	if (!good || strlen(value) >= sizeof dst->value)
		return sov_config_fail(ps, ps->in.line, hint, "\"%s = %.60s\" is not allowed", name, value), false;
	snprintf(dst->value, sizeof dst->value, "%s", value);
	dst->line = ps->in.line;
	return true;
}

bool
sov_config_set_stated(struct config_parse *ps, const char *name, struct sov_stated *dst, const char *value)
{
	char		unused[VENDOR_HINT_MAX];
	const char *why = "it is too long";
	int			field = vendor_field(name, unused, sizeof unused);

	if (strlen(value) >= sizeof dst->value ||
		(strcmp(value, "unknown") != 0 && !vendor_value_ok((enum sov_vendor_field) field, value, &why)))
		return sov_config_fail(ps, ps->in.line, why, "\"%s = %.60s\" is not allowed", name, value), false;
	snprintf(dst->value, sizeof dst->value, "%s", value);
	dst->line = ps->in.line;
	return true;
}

enum sov_code
sov_config_presets(struct config_parse *ps)
{
	struct sov_config *cfg = ps->cfg;
	struct sov_vendors *v = NULL;
	struct sov_error err;
	enum sov_code rc = SOV_OK;
	int			line = 0;

	for (int i = 0; i < cfg->n_providers && rc == SOV_OK; i++)
	{
		struct sov_provider_config *p = &cfg->providers[i];

		if (p->preset[0] == '\0')
			continue;
		if (v == NULL && (rc = sov_vendors_load(cfg->catalogue, &v, ps->in.err)) != SOV_OK)
			return rc;
		sov_error_clear(&err);
		if (sov_vendor_complete(v, p, &line, &err) != SOV_OK)
			rc = sov_config_fail(ps, line, err.hint, "provider \"%s\" %s", p->name, err.message);
	}
	sov_vendors_free(v);
	return rc;
}
