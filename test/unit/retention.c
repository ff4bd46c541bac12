/*
 * retention - which backups the rules keep.
 */
#include <string.h>

#include "sov_prune.h"
#include "tap.h"

#define DAY UINT64_C(86400000000)
/* 2026-11-23 12:00 UTC, a Monday */
#define NOON UINT64_C(1795435200000000)

static struct sov_prune_backup b[400];

/* n backups, one a day, the newest at NOON; all whole. */
static void
daily(uint32_t n)
{
	memset(b, 0, sizeof b);
	for (uint32_t i = 0; i < n; i++)
	{
		b[i].entry.stop_us = NOON - (n - 1 - i) * DAY;
		b[i].whole = true;
	}
}

static uint32_t
kept(uint32_t n)
{
	uint32_t	count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += b[i].keep;
	return count;
}

#define RULES(...) (&(struct sov_retention) {__VA_ARGS__})

int
main(void)
{
	daily(10);
	sov_retention_apply(RULES(.last = 3), b, 10);
	ok(kept(10) == 3 && b[9].keep && b[8].keep && b[7].keep, "the last three");
	ok(strcmp(b[9].why, "last") == 0, "and why");

	daily(10);
	b[9].whole = b[8].whole = false;
	sov_retention_apply(RULES(.last = 1), b, 10);
	ok(b[7].keep && b[8].keep && b[9].keep && kept(10) == 3, "a broken one does not count, and stays while it is the newest");
	daily(10);
	b[3].whole = false;
	sov_retention_apply(RULES(.last = 2), b, 10);
	ok(!b[3].keep && kept(10) == 2, "a broken one that newer good ones cover goes");

	daily(30);
	sov_retention_apply(RULES(.days = 7), b, 30);
	ok(kept(30) == 8 && b[22].keep && !b[21].keep, "seven days, and the backup that leads to their beginning");
	daily(3);
	sov_retention_apply(RULES(.days = 7), b, 3);
	ok(kept(3) == 3, "fewer than there are days");

	daily(10);
	for (int i = 0; i < 10; i++)
		b[i].entry.stop_us = NOON - (9 - (uint64_t) i) * DAY / 24;	/* one an hour: 03:00 to 12:00 */
	sov_retention_apply(RULES(.daily = 5), b, 10);
	ok(kept(10) == 1 && b[9].keep, "the newest of a day");

	daily(40);
	sov_retention_apply(RULES(.weekly = 3), b, 40);
	/* weeks begin on Monday: today, the Sunday before, the Sunday before that */
	ok(kept(40) == 3 && b[39].keep && b[38].keep && b[31].keep, "weeks from Monday");

	daily(400);
	sov_retention_apply(RULES(.monthly = 3, .yearly = 2), b, 400);
	/* 23 Nov, 31 Oct, 30 Sep; 23 Nov 2026, 31 Dec 2025 */
	ok(kept(400) == 4 && b[399].keep && b[399 - 23].keep && b[399 - 54].keep && b[399 - 327].keep, "months and years");
	ok(strcmp(b[399].why, "monthly, yearly") == 0, "kept by two rules");

	daily(30);
	sov_retention_apply(RULES(.last = 2, .daily = 4, .weekly = 2), b, 30);
	ok(kept(30) == 4, "the union of rules");

	/* The clock stands still or jumps: only the backups' own times count. */
	daily(5);
	for (int i = 0; i < 5; i++)
		b[i].entry.stop_us -= 3650 * DAY;
	sov_retention_apply(RULES(.days = 2), b, 5);
	ok(kept(5) == 3, "old backups do not age when no new ones are made");
	daily(5);
	b[4].entry.stop_us += 3650 * DAY;
	sov_retention_apply(RULES(.days = 2), b, 5);
	ok(b[4].keep && b[3].keep, "a backup dated ten years ahead leaves the one before it");

	sov_retention_apply(RULES(.last = 1), b, 0);
	ok(kept(0) == 0, "no backup at all");
	return tap_done();
}
