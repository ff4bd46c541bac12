/*
 * providers.c - the view "providers": what the configuration file names, and
 * how much each provider still misses.
 *
 * Debt is the spool of the archiver: one file per sealed shard that a provider
 * has not taken yet, in STATE-DIRECTORY/spool/PROVIDER/.
 */
#include "sov_pg.h"

#include <unistd.h>

#include "funcapi.h"
#include "utils/tuplestore.h"

#include "sov_repo.h"

PG_FUNCTION_INFO_V1(sov_providers);

Datum
sov_providers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	struct sov_config *cfg = palloc0(sizeof *cfg);
	struct sov_error err;

	InitMaterializedSRF(fcinfo, 0);
	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
		return (Datum) 0;
	if (sov_config_read(sov_config_file, SOV_NEED_PRESETS, cfg, &err) != SOV_OK)
		SovRaise(&err);
	for (int i = 0; i < cfg->n_providers; i++)
	{
		const struct sov_provider_config *p = &cfg->providers[i];
		Datum		values[6];
		bool		nulls[6] = {0};
		struct sov_debt debt;
		char		location[1200];

		if (sov_repo_debt(cfg, p->name, &debt, &err) != SOV_OK)
			SovRaise(&err);
		values[0] = CStringGetTextDatum(p->name);
		values[1] = CStringGetTextDatum(p->type);
		values[2] = CStringGetTextDatum(p->state == SOV_PROVIDER_DRAIN ? "drain" : "active");
		sov_provider_config_location(p, location, sizeof location);
		values[3] = CStringGetTextDatum(location);
		values[4] = Int64GetDatum((int64) debt.objects);
		values[5] = Int64GetDatum((int64) debt.bytes);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
