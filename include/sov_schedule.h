/*
 * sov_schedule.h - when something is due: "6h" (so long after the last time),
 * "02:30" (every day at that time), "sun 02:30" (every week), "" or "never".
 *
 * Times of day are those of the host's time zone; one that a change of the clock
 * skips or repeats is due once.
 */
#ifndef SOV_SCHEDULE_H
#define SOV_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "sov_error.h"

struct sov_schedule
{
	enum { SOV_NEVER, SOV_EVERY, SOV_DAILY, SOV_WEEKLY } kind;
	uint64_t	every;			/* seconds, at least 60 */
	int			minute;			/* of the day */
	int			weekday;		/* 0: Sunday */
};

/* False when the text is none of these. */
extern bool sov_schedule_parse(const char *text, struct sov_schedule *out);
/* Is it due now, when it was done last at that time (0: never)?  What was missed
 * while nobody looked is due once.  Seconds since 1970. */
extern bool sov_schedule_due(const struct sov_schedule *s, int64_t last, int64_t now);

/* When it was last started, kept in the file "schedule" of the state directory
 * (a line "NAME SECONDS" each); 0: never. */
struct sov_config;
extern int64_t sov_schedule_last(const struct sov_config *cfg, const char *name);
extern enum sov_code sov_schedule_started(const struct sov_config *cfg, const char *name, int64_t when, struct sov_error *err);

#endif
