/*
 * config_value.c - one value of the configuration, by its kind.
 */
#include "config_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sov_custodian.h"
#include "sov_text.h"

static bool
set_text(struct config_parse *ps, const struct config_option *o, char *dst, const char *value)
{
	if (snprintf(dst, o->cap, "%s", value) >= (int) o->cap)
		return sov_config_fail(ps, ps->in.line, NULL, "\"%s\" is longer than %zu bytes", o->name, o->cap - 1), false;
	return true;
}

bool
sov_config_no_comment(struct config_parse *ps, const char *name, const char *value)
{
	for (const char *p = strchr(value, '#'); p != NULL; p = strchr(p + 1, '#'))
		if (p > value && (p[-1] == ' ' || p[-1] == '\t'))
			return sov_config_fail(ps, ps->in.line, "a comment behind a value begins with \";\", one on a line of its own with either",
								   "\"%s\" has a \"#\" and what follows it in its value", name), false;
	return true;
}

static bool
set_path(struct config_parse *ps, const struct config_option *o, char *dst, const char *value)
{
	size_t		n;

	if (value[0] != '/')
		return sov_config_fail(ps, ps->in.line, value[0] == '"' || value[0] == '\'' ?
							   "write the path without quotes" : "write the whole path, beginning with /",
							   "\"%s\" is not an absolute path", o->name), false;
	if (!sov_config_no_comment(ps, o->name, value))
		return false;
	if (!set_text(ps, o, dst, value))
		return false;
	for (n = strlen(dst); n > 1 && dst[n - 1] == '/'; n--)
		dst[n - 1] = '\0';
	return true;
}

static bool
set_int(struct config_parse *ps, const struct config_option *o, int *dst, const char *value, int min, int max)
{
	char		hint[80];
	char	   *end;
	long		n;

	errno = 0;
	n = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || n < min || n > max)
	{
		snprintf(hint, sizeof hint, "give a whole number from %d to %d", min, max);
		return sov_config_fail(ps, ps->in.line, hint, "\"%s = %.40s\" is not allowed", o->name, value), false;
	}
	*dst = (int) n;
	return true;
}

static bool
set_state(struct config_parse *ps, enum sov_provider_state *dst, const char *value)
{
	if (strcmp(value, "active") == 0)
		*dst = SOV_PROVIDER_ACTIVE;
	else if (strcmp(value, "drain") == 0)
		*dst = SOV_PROVIDER_DRAIN;
	else
		return sov_config_fail(ps, ps->in.line, "give active (the default) or drain (move everything away from it)",
							   "\"state = %.40s\" is not allowed", value), false;
	return true;
}

static bool
set_root(struct config_parse *ps, const struct config_option *o, char *dst, const char *value)
{
	struct sov_error why;

	if (sov_custodian_check_uri(value, &why) != SOV_OK)
		return sov_config_fail(ps, ps->in.line, why.hint, "%s", why.message), false;
	if (strncmp(value, "command:", 8) != 0 && !sov_config_no_comment(ps, o->name, value))
		return false;
	ps->cfg->root_line = ps->in.line;
	return set_text(ps, o, dst, value);
}

/* The messages of custodians speak of "root", as most URIs are those of root keys. */
static bool
set_other(struct config_parse *ps, const struct config_option *o, char *dst, const char *value)
{
	struct sov_error why;

	if (sov_custodian_check_uri(value, &why) != SOV_OK)
		return sov_config_fail(ps, ps->in.line, why.hint, "\"%s\": %s", o->name, why.message), false;
	if (strncmp(value, "command:", 8) != 0 && !sov_config_no_comment(ps, o->name, value))
		return false;
	*(dst == ps->cfg->content ? &ps->cfg->content_line : &ps->cfg->epochs_line) = ps->in.line;
	return set_text(ps, o, dst, value);
}

static bool
set_host(struct config_parse *ps, bool *dst, const char *value)
{
	if (strcmp(value, "write-only") != 0)
		return sov_config_fail(ps, ps->in.line, "give write-only, or take the line out: then the host reads with [custody] \"content\"",
							   "\"host = %.40s\" is not allowed", value), false;
	*dst = true;
	return true;
}

static bool
set_fingerprint(struct config_parse *ps, const struct config_option *o, char *dst, const char *value)
{
	if (strncmp(value, "sha256:", 7) != 0 || strlen(value) != 71 ||
		strspn(value + 7, "0123456789abcdef") != 64)
		return sov_config_fail(ps, ps->in.line, "it is sha256: and 64 hexadecimal digits, as \"pg_sovereign init\" prints it",
							   "\"controller\" is not a fingerprint"), false;
	return set_text(ps, o, dst, value);
}

/* Who decrypted what must be known for a year at least. */
static bool
set_audit_days(struct config_parse *ps, const struct config_option *o, int *dst, const char *value)
{
	if (!set_int(ps, o, dst, value, 0, 100000))
		return false;
	if (*dst < SOV_AUDIT_DAYS_MIN)
		return sov_config_fail(ps, ps->in.line, "keep it for a year at least: keep-days = 366 or more",
							   "\"keep-days = %d\": the audit log may not be deleted earlier than after %d days", *dst, SOV_AUDIT_DAYS_MIN), false;
	return true;
}

bool
sov_config_set_value(struct config_parse *ps, const struct config_option *o, const char *value)
{
	struct sov_config *cfg = ps->cfg;
	char	   *base = o->section == S_PROVIDER ?
		(char *) &cfg->providers[cfg->n_providers - 1] : (char *) cfg;
	void	   *dst = base + o->offset;

	switch (o->kind)
	{
		case K_PATH:
			return set_path(ps, o, dst, value);
		case K_TEXT:
			return set_text(ps, o, dst, value);
		case K_NAME:
			if (!sov_config_name_ok(value, o->cap - 1))
				return sov_config_fail(ps, ps->in.line, "it has characters of a-z 0-9 _ - only, and is not quoted",
									   "\"%s = %.60s\" is not allowed", o->name, value), false;
			return set_text(ps, o, dst, value);
		case K_SHARDS:
			return set_int(ps, o, dst, value, 1, SOV_MAX_PROVIDERS);
		case K_LEVEL:
			return set_int(ps, o, dst, value, 1, 19);
		case K_SIZE:
			if (!sov_parse_size(value, dst))
				return sov_config_fail(ps, ps->in.line, "give a size such as 512MB or 2GB (kB, MB, GB, TB)",
									   "\"%s = %.40s\" is not a size", o->name, value), false;
			return true;
		case K_COUNT:
			return set_int(ps, o, dst, value, 0, 100000);
		case K_DURATION:
			if (!sov_parse_duration(value, dst))
				return sov_config_fail(ps, ps->in.line, "give a time such as 30min, 24h or 7d",
									   "\"%s = %.40s\" is not a time", o->name, value), false;
			return true;
		case K_SCHEDULE:
			if (!sov_schedule_parse(value, dst))
				return sov_config_fail(ps, ps->in.line, "give a time that passes in between, such as 6h, or a time of day, such as 02:30 or sun 02:30",
									   "\"%s = %.40s\" is no schedule", o->name, value), false;
			return true;
		case K_BOOL:
			if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
				return sov_config_fail(ps, ps->in.line, "give yes or no", "\"%s = %.40s\" is not allowed", o->name, value), false;
			*(bool *) dst = value[0] == 'y';
			return true;
		case K_INTERVAL:
			if (!sov_parse_duration(value, dst) || *(uint64_t *) dst < 1 || *(uint64_t *) dst > 3600)
				return sov_config_fail(ps, ps->in.line, "give a time from 1s to 1h, such as 10s",
									   "\"%s = %.40s\" is not allowed", o->name, value), false;
			return true;
		case K_AUDIT_DAYS:
			return set_audit_days(ps, o, dst, value);
		case K_FINGERPRINT:
			return set_fingerprint(ps, o, dst, value);
		case K_ROOT:
			return set_root(ps, o, dst, value);
		case K_CONTENT:
			return set_other(ps, o, dst, value);
		case K_HOST:
			return set_host(ps, dst, value);
		case K_STATE:
			return set_state(ps, dst, value);
		case K_STATED:
			return sov_config_set_stated(ps, o->name, dst, value);
		case K_RULE:
			return sov_config_set_rule(ps, o->name, dst, value);
	}
	return false;
}
