/*
 * schedule - when something is due, also over changes of the clock.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_schedule.h"
#include "tap.h"

static struct sov_schedule s;

/* "2026-03-29 01:30" in the zone of the test. */
static int64_t
at(const char *text)
{
	struct tm	tm = {.tm_isdst = -1};

	if (strptime(text, "%Y-%m-%d %H:%M", &tm) == NULL)
		return -1;
	return (int64_t) mktime(&tm);
}

static bool
due(const char *schedule, const char *last, const char *now)
{
	return sov_schedule_parse(schedule, &s) && sov_schedule_due(&s, last ? at(last) : 0, at(now));
}

int
main(void)
{
	setenv("TZ", "Europe/Paris", 1);
	tzset();

	ok(sov_schedule_parse("6h", &s) && s.kind == SOV_EVERY && s.every == 21600, "6h");
	ok(sov_schedule_parse("02:30", &s) && s.kind == SOV_DAILY && s.minute == 150, "02:30");
	ok(sov_schedule_parse("sun 23:59", &s) && s.kind == SOV_WEEKLY && s.weekday == 0 && s.minute == 1439, "sun 23:59");
	ok(sov_schedule_parse("never", &s) && s.kind == SOV_NEVER && !sov_schedule_due(&s, 0, 1), "never");
	ok(sov_schedule_parse("", &s) && s.kind == SOV_NEVER, "nothing");
	for (const char *const *bad = (const char *const[]) {"24:00", "02:60", "2:3x", "son 02:30", "sun", "sun 2", "30s", "daily", "-1:30", "+2:30", " 2:30", "02:30 ", NULL}; *bad; bad++)
		ok(!sov_schedule_parse(*bad, &s), "not \"%s\"", *bad);

	ok(due("6h", NULL, "2026-11-25 10:00"), "never done is due");
	ok(!due("6h", "2026-11-25 05:00", "2026-11-25 10:59"), "not before its time");
	ok(due("6h", "2026-11-25 05:00", "2026-11-25 11:00"), "at its time");
	ok(due("6h", "2026-11-25 12:00", "2026-11-25 11:00"), "a clock that was set back does not stop it");

	ok(!due("02:30", "2026-11-25 02:30", "2026-11-26 02:29"), "daily: not before");
	ok(due("02:30", "2026-11-25 02:31", "2026-11-26 02:30"), "daily: at its time");
	ok(!due("02:30", "2026-11-26 02:30", "2026-11-26 02:31"), "daily: once");
	ok(due("02:30", "2026-11-20 02:30", "2026-11-26 02:29"), "daily: what was missed");
	ok(!due("23:00", "2026-11-25 23:00", "2026-11-26 01:00"), "daily: over midnight");

	ok(!due("sun 02:30", "2026-11-22 02:30", "2026-11-29 02:29"), "weekly: not before");
	ok(due("sun 02:30", "2026-11-22 02:30", "2026-11-29 02:30"), "weekly: at its time");
	ok(!due("sun 02:30", "2026-11-29 02:31", "2026-12-03 12:00"), "weekly: not in the week");
	ok(due("thu 12:00", "2026-11-26 11:59", "2026-11-26 12:00"), "weekly: on the day itself");

	/* 29 March 2026: 02:00 to 03:00 does not exist; 25 October: it is there twice */
	ok(due("02:30", "2026-03-28 02:30", "2026-03-29 04:00"), "a time that is skipped is due");
	ok(!due("02:30", "2026-03-29 04:00", "2026-03-30 02:29"), "and once");
	ok(due("02:30", "2026-10-24 02:30", "2026-10-25 03:30"), "a time that is repeated is due");
	ok(!due("02:30", "2026-10-25 03:30", "2026-10-26 02:29"), "and once");
	return tap_done();
}
