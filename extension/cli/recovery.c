/*
 * recovery.c - what restore, drill and wal-fetch share: targets in time, the
 * restore_command, and doing without some providers.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* "+01", "+0130", "+01:30", "Z" or " UTC"; *offset in seconds.  false: malformed. */
static bool
parse_zone(const char *p, bool *local, long *offset)
{
	int			h = 0,
				m = 0,
				n = 0;
	char		sign = *p;

	*offset = 0;
	p += strspn(p, " ");
	sign = *p;
	*local = *p == '\0';
	if (*local || strcmp(p, "Z") == 0 || strcmp(p, "UTC") == 0)
		return true;
	if (sign != '+' && sign != '-')
		return false;
	p++;
	if (sscanf(p, "%2d:%2d%n", &h, &m, &n) != 2 && sscanf(p, "%2d%2d%n", &h, &m, &n) != 2 && sscanf(p, "%2d%n", &h, &n) != 1)
		return false;
	if (p[n] != '\0' || h > 15 || m > 59)
		return false;
	*offset = (h * 3600L + m * 60L) * (sign == '-' ? -1 : 1);
	return true;
}

/* An ISO timestamp to microseconds since 1970. */
static bool
parse_time(const char *text, int64_t *us)
{
	struct tm	tm = {.tm_isdst = -1};
	const char *p = strptime(text, "%Y-%m-%d", &tm);
	int64_t		fraction = 0;
	long		offset;
	bool		local;
	time_t		t;

	if (p == NULL || (*p != ' ' && *p != 'T'))
		return false;
	p = strptime(p + 1, "%H:%M:%S", &tm);
	if (p == NULL)
		return false;
	if (*p == '.')
	{
		int64_t		unit = 100000;

		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction += (*p - '0') * unit;
	}
	if (!parse_zone(p, &local, &offset))
		return false;
	t = local ? mktime(&tm) : timegm(&tm) - offset;
	*us = (int64_t) t * 1000000 + fraction;
	return t != (time_t) -1;
}

/* The target in UTC: the server may have another time zone than we. */
bool
cli_parse_time(const char *text, struct cli_time *out)
{
	time_t		t;
	struct tm	tm;
	char		sec[40];

	if (!parse_time(text, &out->us))
		return false;
	t = (time_t) (out->us / 1000000);
	gmtime_r(&t, &tm);
	strftime(sec, sizeof sec, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out->text, sizeof out->text, "%s.%06d+00", sec, (int) (out->us % 1000000));
	return true;
}

/* Leave providers out of the configuration. */
enum sov_code
cli_without(struct sov_config *cfg, const char *const *names, int n, struct sov_error *err)
{
	for (int w = 0; w < n; w++)
	{
		int			i = 0;

		while (i < cfg->n_providers && strcmp(cfg->providers[i].name, names[w]) != 0)
			i++;
		if (i == cfg->n_providers)
			return sov_fail(err, SOV_E_USAGE, "'pg_sovereign provider list' shows what there is", "--without: there is no provider \"%.40s\" in %s", names[w], cfg->file);
		memmove(&cfg->providers[i], &cfg->providers[i + 1], sizeof cfg->providers[0] * (size_t) (cfg->n_providers - i - 1));
		cfg->n_providers--;
	}
	return SOV_OK;
}

/* Inside the server's single quotes come the shell's double quotes. */
enum sov_code
cli_restore_command(const struct sov_config *cfg, const char *const *without, int n_without, char *dst, size_t cap, struct sov_error *err)
{
	char		self[PATH_MAX],
				conf[PATH_MAX];
	size_t		used;
	ssize_t		n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0 || realpath(cfg->file, conf) == NULL)
		return sov_fail(err, SOV_E_SYSTEM, NULL, "the paths of the command and its configuration cannot be told");
	self[n] = '\0';
	if (strpbrk(self, "\"$`\\%\n") || strpbrk(conf, "\"$`\\%\n"))
		return sov_fail(err, SOV_E_CONFIG, "move them to paths without quotes, $, `, \\ and %",
						"the path of the command or of its configuration cannot stand in restore_command");
	used = (size_t) snprintf(dst, cap, "\"%s\" -c \"%s\" wal-fetch", self, conf);
	for (int i = 0; i < n_without && used < cap; i++)	/* sections: of [a-z0-9_-] */
		used += (size_t) snprintf(dst + used, cap - used, " --without %s", without[i]);
	if (used >= cap || snprintf(dst + used, cap - used, " %%f \"%%p\"") >= (int) (cap - used))
		return sov_fail(err, SOV_E_CONFIG, NULL, "the path of the configuration is too long");
	return SOV_OK;
}
