/*
 * schedule.c - when something is due: see sov_schedule.h.
 */
#include "sov_schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "repo_private.h"
#include "sov_text.h"

static bool
parse_minute(const char *text, int *minute)
{
	int			h,
				m,
				used = 0;

	if (sscanf(text, "%2d:%2d%n", &h, &m, &used) != 2 || text[used] != '\0' || strspn(text, "0123456789:") != strlen(text))
		return false;
	*minute = h * 60 + m;
	return h < 24 && m < 60;
}

bool
sov_schedule_parse(const char *text, struct sov_schedule *out)
{
	static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

	memset(out, 0, sizeof *out);
	out->kind = SOV_NEVER;
	if (text[0] == '\0' || strcmp(text, "never") == 0)
		return true;
	out->kind = SOV_DAILY;
	if (parse_minute(text, &out->minute))
		return true;
	out->kind = SOV_WEEKLY;
	for (int d = 0; d < 7; d++)
		if (strncmp(text, days[d], 3) == 0 && text[3] == ' ')
		{
			out->weekday = d;
			return parse_minute(text + 4, &out->minute);
		}
	out->kind = SOV_EVERY;
	return sov_parse_duration(text, &out->every) && out->every >= 60;
}

/* The last moment at or before now that the schedule names. */
static int64_t
last_named(const struct sov_schedule *s, int64_t now)
{
	time_t		t = (time_t) now;
	struct tm	tm;

	if (localtime_r(&t, &tm) == NULL)
		return 0;
	tm.tm_hour = s->minute / 60;
	tm.tm_min = s->minute % 60;
	tm.tm_sec = 0;
	if (s->kind == SOV_WEEKLY)
		tm.tm_mday -= (tm.tm_wday - s->weekday + 7) % 7;
	for (int tries = 0; tries < 2; tries++)
	{
		struct tm	day = tm;

		day.tm_isdst = -1;
		t = mktime(&day);
		if (t != (time_t) -1 && (int64_t) t <= now)
			return (int64_t) t;
		tm.tm_mday -= s->kind == SOV_WEEKLY ? 7 : 1;
	}
	return 0;
}

bool
sov_schedule_due(const struct sov_schedule *s, int64_t last, int64_t now)
{
	if (s->kind == SOV_NEVER)
		return false;
	if (last > now)				/* the clock was set back */
		last = 0;
	if (s->kind == SOV_EVERY)
		return now - last >= (int64_t) s->every;
	return last < last_named(s, now);
}

/* --- what was done --- */

static void
schedule_path(const struct sov_config *cfg, char *path, size_t cap)
{
	snprintf(path, cap, "%s/schedule", cfg->state_directory);
}

/* The file's lines, but that of name; *last is its time. */
static void
read_others(const struct sov_config *cfg, const char *name, struct sov_buf *others, int64_t *last)
{
	char		path[1200],
				word[32];
	struct sov_buf text = {0};
	char	   *save = NULL;
	int64_t		when;

	*last = 0;
	schedule_path(cfg, path, sizeof path);
	if (repo_read_file(path, &text, NULL) == SOV_OK)
		sov_write_u8(&text, 0);
	for (char *line = text.data && !text.bad ? strtok_r((char *) text.data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
	{
		if (sscanf(line, "%31s %" SCNd64, word, &when) != 2)
			continue;
		if (strcmp(word, name) == 0)
			*last = when;
		else if (others)
		{
			sov_write_bytes(others, line, strlen(line));
			sov_write_u8(others, '\n');
		}
	}
	sov_buf_free(&text);
}

int64_t
sov_schedule_last(const struct sov_config *cfg, const char *name)
{
	int64_t		last;

	read_others(cfg, name, NULL, &last);
	return last;
}

enum sov_code
sov_schedule_started(const struct sov_config *cfg, const char *name, int64_t when, struct sov_error *err)
{
	char		path[1200],
				line[80];
	struct sov_buf text = {0};
	int64_t		last;
	enum sov_code rc = repo_mkdirs(cfg->state_directory, err);

	read_others(cfg, name, &text, &last);
	snprintf(line, sizeof line, "%s %" PRId64 "\n", name, when);
	sov_write_bytes(&text, line, strlen(line));
	schedule_path(cfg, path, sizeof path);
	if (rc == SOV_OK)
		rc = text.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : repo_write_file(path, text.data, text.len, err);
	sov_buf_free(&text);
	return rc;
}
