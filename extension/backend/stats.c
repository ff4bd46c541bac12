/*
 * stats.c - ANALYZE: null fraction, width and number of distinct values only.
 *
 * Most common values and histograms would be equality and order information
 * about plaintext, and would need a key.  Distinct values are counted on tags
 * (Haas and Stokes' Duj1 estimator, as the server does); without tags the number
 * stays unknown.
 */
#include "sov_pg.h"

#include <math.h>

#include "commands/vacuum.h"
#include "postmaster/autovacuum.h"
#include "utils/lsyscache.h"
#include "utils/sortsupport.h"

#define FEW 10000				/* different values */

static int
compare_tags(const void *a, const void *b)
{
	return memcmp(a, b, SOV_VALUE_E_LEN);
}

/* Positive: a number; negative: a fraction of the rows; as pg_statistic. */
static double
distinct(uint8_t (*tags)[SOV_VALUE_E_LEN], int n, int samplerows, double totalrows)
{
	int			d = 0,
				f1 = 0;
	double		big_n = totalrows * n / samplerows;
	double		estimate;

	qsort(tags, n, SOV_VALUE_E_LEN, compare_tags);
	for (int i = 0; i < n;)
	{
		int			run = 1;

		while (i + run < n && memcmp(tags[i], tags[i + run], SOV_VALUE_E_LEN) == 0)
			run++;
		d++;
		f1 += run == 1;
		i += run;
	}
	if (f1 == n)
		return -1.0 * n / samplerows;
	estimate = (double) n * d / ((double) (n - f1) + f1 * (double) n / Max(big_n, 1));
	estimate = Min(Max(estimate, d), Max(big_n, d));
	estimate = floor(estimate + 0.5);
	return estimate > 0.1 * totalrows ? -(estimate / totalrows) : estimate;
}

/* What ANALYZE tells of a column, as far as it differs between versions. */
#if PG_VERSION_NUM >= 170000
#define stat_target(stats) (stats)->attstattarget
#define stat_column(stats) ((stats)->tupDesc ? TupleDescAttr((stats)->tupDesc, (stats)->tupattnum - 1) : NULL)	/* NULL: an expression */
#else
#define stat_target(stats) (stats)->attr->attstattarget
#define stat_column(stats) (stats)->attr
#endif

#if PG_VERSION_NUM >= 180000
#define stat_delay() vacuum_delay_point(true)
#else
#define stat_delay() vacuum_delay_point()
#endif

/* Equal tags can be counted: where few values repeat often, their frequencies tell
 * what they are.  Said to a person who analyses the table. */
static void
warn_of_few(VacAttrStatsP stats, double totalrows)
{
	Form_pg_attribute column = stat_column(stats);
	double		n = stats->stadistinct < 0 ? -stats->stadistinct * totalrows : stats->stadistinct;

	if (n <= 0 || n >= FEW || totalrows < FEW || column == NULL || AmAutoVacuumWorkerProcess())
		return;
	ereport(WARNING,
			(errmsg("searchable column \"%s\" of \"%s\" has only about %.0f different values", NameStr(column->attname),
					get_rel_name(column->attrelid), n),
			 errdetail("Who sees the disk sees how often each of them occurs, and may tell from that what it is."),
			 errhint("Encrypt such a column in random mode, unless it must be searched.")));
}

static void
compute(VacAttrStatsP stats, AnalyzeAttrFetchFunc fetch, int samplerows, double totalrows)
{
	uint8_t		(*tags)[SOV_VALUE_E_LEN] = palloc(Max(samplerows, 1) * SOV_VALUE_E_LEN);
	int			nulls = 0,
				tagged = 0,
				values = 0;
	double		width = 0;

	for (int i = 0; i < samplerows; i++)
	{
		bool		isnull;
		Datum		d = fetch(stats, i, &isnull);
		struct varlena *v;
		const uint8_t *e;

		stat_delay();
		if (isnull)
		{
			nulls++;
			continue;
		}
		values++;
		width += VARSIZE_ANY(DatumGetPointer(d));
		v = PG_DETOAST_DATUM_PACKED(d);
		e = SovStoredTag(v);
		if (e != NULL)
			memcpy(tags[tagged++], e, SOV_VALUE_E_LEN);
		if ((Pointer) v != DatumGetPointer(d))
			pfree(v);
	}
	stats->stats_valid = samplerows > 0;
	if (!stats->stats_valid)
		return;
	stats->stanullfrac = (double) nulls / samplerows;
	stats->stawidth = values > 0 ? width / values : 0;
	stats->stadistinct = tagged > 0 && tagged == values ? distinct(tags, tagged, samplerows, totalrows) : 0;
	warn_of_few(stats, totalrows);
}

PG_FUNCTION_INFO_V1(sov_typanalyze);

Datum
sov_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);

	if (stat_target(stats) < 0)
		stat_target(stats) = default_statistics_target;
	stats->compute_stats = compute;
	stats->minrows = 300 * stat_target(stats);
	PG_RETURN_BOOL(true);
}
