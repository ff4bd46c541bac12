/*
 * config_check.c - rules that hold between values of the configuration, and
 * that what the caller needs is there.
 *
 * What only concerns the repository is checked for callers that need it: a
 * server that just reads columns must not stop because somebody edits the list
 * of providers, nor wait for a mount that hangs.
 */
#include "config_int.h"

#include <string.h>

#include "sov_provider.h"
#include "sov_text.h"

static enum sov_code
check_counts(struct config_parse *ps)
{
	const struct sov_config *cfg = ps->cfg;
	int			needed_line = sov_config_option_line(ps, S_REPOSITORY, "needed"),
				shards_line = sov_config_option_line(ps, S_REPOSITORY, "shards");
	int			active = 0,
				diff;
	char		hint[300];

	if (cfg->repo_name[0] == '\0')
		return sov_config_fail(ps, ps->section_line[S_REPOSITORY], "add for example: name = main",
							   "[repository] has no \"name\"");
	if (needed_line == 0 || shards_line == 0)
		return sov_config_fail(ps, ps->section_line[S_REPOSITORY],
							   "shards = 3 and needed = 2 mean: three providers, of which any two suffice to restore",
							   "[repository] has no \"%s\"", needed_line == 0 ? "needed" : "shards");
	if (cfg->needed > cfg->shards)
		return sov_config_fail(ps, needed_line, "lower \"needed\": of 3 shards, 2 are a good choice",
							   "needed = %d is more than shards = %d", cfg->needed, cfg->shards);
	for (int i = 0; i < cfg->n_providers; i++)
		active += cfg->providers[i].state == SOV_PROVIDER_ACTIVE;
	if (active == cfg->shards)
		return SOV_OK;
	diff = active < cfg->shards ? cfg->shards - active : active - cfg->shards;
	snprintf(hint, sizeof hint,
			 "either set shards = %d, or %s %d active provider%s (a drained one does not count)",
			 active, active < cfg->shards ? "add" : "drain", diff, diff == 1 ? "" : "s");
	if (active < 1 || active < cfg->needed)
		snprintf(hint, sizeof hint, "add active providers until there are %d, or lower both \"shards\" and \"needed\"", cfg->shards);
	return sov_config_fail(ps, shards_line, hint, "shards = %d, but %d provider%s active: each holds one shard",
						   cfg->shards, active, active == 1 ? " is" : "s are");
}

static enum sov_code
check_provider_paths(struct config_parse *ps)
{
	const struct sov_config *cfg = ps->cfg;

	for (int i = 1; i < cfg->n_providers; i++)
	{
		const struct sov_provider_config *b = &cfg->providers[i];

		for (int j = 0; j < i; j++)
		{
			const struct sov_provider_config *a = &cfg->providers[j];

			if (a->path[0] == '\0' || b->path[0] == '\0')
				continue;
			if (sov_path_within(a->path, b->path) || sov_path_within(b->path, a->path))
				return sov_config_fail(ps, b->line, "give each provider a folder of its own, on storage of its own",
									   "provider \"%s\" has the same folder as provider \"%s\" (line %d), or one inside the other",
									   b->name, a->name, a->line);
		}
	}
	return SOV_OK;
}

/* A provider inside the data directory would be lost with it, and backed up
 * into itself. */
static enum sov_code
check_provider_outside(struct config_parse *ps)
{
	const struct sov_config *cfg = ps->cfg;

	for (int i = 0; i < cfg->n_providers; i++)
	{
		const struct sov_provider_config *p = &cfg->providers[i];

		if (p->path[0] && cfg->data_directory[0] &&
			(sov_path_within(p->path, cfg->data_directory) || sov_path_within(cfg->data_directory, p->path)))
			return sov_config_fail(ps, p->line, "choose a folder on storage of its own",
								   "the folder of provider \"%s\" and the data directory lie one inside the other", p->name);
	}
	return SOV_OK;
}

/* The spool must survive the loss of the cluster and stay out of backups. */
static enum sov_code
check_state_directory(struct config_parse *ps)
{
	struct sov_config *cfg = ps->cfg;
	int			line = sov_config_option_line(ps, S_REPOSITORY, "state-directory");

	if (line == 0)
		line = ps->section_line[S_REPOSITORY];
	if (cfg->data_directory[0] && sov_path_within(cfg->state_directory, cfg->data_directory))
		return sov_config_fail(ps, line, "choose a directory outside, such as /var/lib/pg_sovereign/NAME",
							   "\"state-directory\" lies inside the data directory");
	for (int i = 0; i < cfg->n_providers; i++)
		if (cfg->providers[i].path[0] && sov_path_within(cfg->state_directory, cfg->providers[i].path))
			return sov_config_fail(ps, line, "choose a local directory outside, such as /var/lib/pg_sovereign/NAME",
								   "\"state-directory\" lies inside provider \"%s\"", cfg->providers[i].name);
	return SOV_OK;
}

/* What a provider's section must hold: its adapter says. */
static enum sov_code
check_provider(struct config_parse *ps, const struct sov_provider_config *p)
{
	struct sov_error err;
	int			line = p->line;

	sov_error_clear(&err);
	if (sov_provider_config_check(p, &line, &err) == SOV_OK)
		return SOV_OK;
	return sov_config_fail(ps, line, err.hint, "provider \"%s\" %s", p->name, err.message);
}

static enum sov_code
check_needs(struct config_parse *ps, int need)
{
	const struct sov_config *cfg = ps->cfg;

	if ((need & (SOV_NEED_CUSTODY | SOV_NEED_REPOSITORY)) && cfg->root[0] == '\0')
		return sov_config_fail(ps, ps->section_line[S_CUSTODY],
							   "add section [custody] with for example: root = file:/etc/pg_sovereign/root.key",
							   "no custodian of the root key is given ([custody], \"root\")");
	if ((need & SOV_NEED_REPOSITORY) && ps->section_line[S_REPOSITORY] == 0)
		return sov_config_fail(ps, 0, "add section [repository] with name, needed and shards", "there is no section [repository]");
	if ((need & SOV_NEED_CLUSTER) && cfg->data_directory[0] == '\0')
		return sov_config_fail(ps, ps->section_line[S_CLUSTER],
							   "add section [cluster] with for example: data-directory = /var/lib/postgresql/15/main",
							   "no cluster is given ([cluster], \"data-directory\")");
	return SOV_OK;
}

#define LEASE_MAX (30 * 86400)

static enum sov_code
check_lease(struct config_parse *ps)
{
	struct sov_config *cfg = ps->cfg;

	if (cfg->lease < 2 || cfg->lease > LEASE_MAX)
		return sov_config_fail(ps, sov_config_option_line(ps, S_CUSTODY, "lease"), "give a time from 2s to 30d; with a short one an outage of the custodian soon becomes one of the database",
							   "\"lease\" is too short or too long");
	if (sov_config_option_line(ps, S_CUSTODY, "renew") == 0)
		cfg->renew = cfg->lease / 6 > 0 ? cfg->lease / 6 : 1;
	if (cfg->renew == 0 || cfg->renew >= cfg->lease)
		return sov_config_fail(ps, sov_config_option_line(ps, S_CUSTODY, "renew"), "leave it out, or give a small part of \"lease\"",
							   "\"renew\" is not shorter than \"lease\"");
	return SOV_OK;
}

/* What a write-only host cannot do must not be planned there. */
static enum sov_code
check_host(struct config_parse *ps)
{
	const struct sov_config *cfg = ps->cfg;

	if (cfg->write_only && cfg->schedule[SOV_DUE_DRILL].kind != SOV_NEVER)
		return sov_config_fail(ps, sov_config_option_line(ps, S_SCHEDULE, "drill"), "drill on a host whose [custody] names \"content\"",
							   "a drill restores, which a host with \"host = write-only\" cannot");
	if (cfg->content[0] != '\0' && strcmp(cfg->content, cfg->root) == 0)
		return sov_config_fail(ps, cfg->content_line, "make another root key for it, which the database host does not reach",
							   "\"content\" and \"root\" are one and the same");
	return SOV_OK;
}

enum sov_code
sov_config_check(struct config_parse *ps, int need)
{
	struct sov_config *cfg = ps->cfg;
	enum sov_code rc = check_needs(ps, need);

	if (rc == SOV_OK)
		rc = check_lease(ps);
	if (cfg->state_directory[0] == '\0' && cfg->repo_name[0] != '\0')
		snprintf(cfg->state_directory, sizeof cfg->state_directory, "/var/lib/pg_sovereign/%s", cfg->repo_name);
	if (rc == SOV_OK && (need & (SOV_NEED_REPOSITORY | SOV_NEED_PRESETS)))
		rc = sov_config_presets(ps);
	if (rc != SOV_OK || !(need & SOV_NEED_REPOSITORY))
		return rc;
	for (int i = 0; i < ps->cfg->n_providers && rc == SOV_OK; i++)
		rc = check_provider(ps, &ps->cfg->providers[i]);
	if (rc == SOV_OK)
		rc = check_counts(ps);
	if (rc == SOV_OK)
		rc = check_provider_paths(ps);
	if (rc == SOV_OK)
		rc = check_provider_outside(ps);
	if (rc == SOV_OK)
		rc = check_state_directory(ps);
	if (rc == SOV_OK)
		rc = check_host(ps);
	return rc;
}
