/*
 * retention.c - which backups the rules keep: the union of all of them.
 *
 * Time runs from the newest backup, not from the clock: when backups stop being
 * made, or the clock jumps, nothing ages away.  Only backups that can be restored
 * count, so a rule is never satisfied by a broken one; those that cannot are kept
 * as long as a newer good one does not cover them.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sov_prune.h"

#define DAY_US UINT64_C(86400000000)

static void
keep(struct sov_prune_backup *b, const char *why)
{
	size_t		n = strlen(b->why);

	b->keep = true;
	snprintf(b->why + n, sizeof b->why - n, "%s%s", n ? ", " : "", why);
}

static void
keep_last(struct sov_prune_backup *b, uint32_t n, int count)
{
	for (uint32_t i = n; i > 0 && count > 0; i--)
		if (b[i - 1].whole)
		{
			keep(&b[i - 1], "last");
			count--;
		}
}

/* All of the last days, and the one before them: it leads to their beginning. */
static void
keep_days(struct sov_prune_backup *b, uint32_t n, int days)
{
	uint64_t	newest = b[n - 1].entry.stop_us,
				span = (uint64_t) days * DAY_US,
				from = newest > span ? newest - span : 0;

	if (days == 0)
		return;
	for (uint32_t i = n; i > 0; i--)
	{
		if (!b[i - 1].whole)
			continue;
		keep(&b[i - 1], "days");
		if (b[i - 1].entry.stop_us <= from)
			return;
	}
}

/* A number for the period that a time lies in, in UTC; weeks begin on Monday. */
static long
period_of(uint64_t us, char unit)
{
	time_t		t = (time_t) (us / 1000000);
	struct tm	tm;

	gmtime_r(&t, &tm);
	switch (unit)
	{
		case 'd':
			return (long) (t / 86400);
		case 'w':
			return (long) ((t / 86400 + 3) / 7);	/* 1970-01-01 was a Thursday */
		case 'm':
			return (long) tm.tm_year * 12 + tm.tm_mon;
		default:
			return (long) tm.tm_year;
	}
}

/* The newest of each of the last count periods that have one. */
static void
keep_periods(struct sov_prune_backup *b, uint32_t n, int count, char unit, const char *why)
{
	long		last = -1;

	for (uint32_t i = n; i > 0 && count > 0; i--)
	{
		long		p = period_of(b[i - 1].entry.stop_us, unit);

		if (!b[i - 1].whole || p == last)
			continue;
		keep(&b[i - 1], why);
		last = p;
		count--;
	}
}

void
sov_retention_apply(const struct sov_retention *r, struct sov_prune_backup *b, uint32_t n)
{
	if (n == 0)
		return;
	keep_last(b, n, r->last);
	keep_days(b, n, r->days);
	keep_periods(b, n, r->daily, 'd', "daily");
	keep_periods(b, n, r->weekly, 'w', "weekly");
	keep_periods(b, n, r->monthly, 'm', "monthly");
	keep_periods(b, n, r->yearly, 'y', "yearly");
	/* What is newer than the newest good one may be whole again once a provider
	 * is back. */
	for (uint32_t i = n; i > 0 && !b[i - 1].whole; i--)
		keep(&b[i - 1], "not whole, newer than the newest that is");
}
