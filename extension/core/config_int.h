/*
 * config_int.h - what config.c and config_check.c share.
 */
#ifndef CONFIG_INT_H
#define CONFIG_INT_H

#include "ini_reader.h"
#include "sov_config.h"

#define CONFIG_MAX_OPTIONS 64

enum config_section { S_CLUSTER, S_REPOSITORY, S_CUSTODY, S_RETENTION, S_SCHEDULE, S_POLICY, S_AUDIT, S_PROVIDER, S_NONE };

struct config_parse
{
	struct sov_config *cfg;
	struct ini_reader in;
	enum config_section section;	/* the one that values now go to */
	int			section_line[S_NONE];	/* 0: not in the file */
	int			option_line[CONFIG_MAX_OPTIONS];	/* of the options table; for
													 * providers of the current one */
};

/* "FILE:LINE: text" (no line when it is 0); returns SOV_E_CONFIG. */
extern enum sov_code sov_config_fail(struct config_parse *ps, int line, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Line in which a value was given, or 0; not for providers. */
extern int	sov_config_option_line(const struct config_parse *ps, enum config_section section, const char *name);
/* config_policy.c */
extern bool sov_config_set_rule(struct config_parse *ps, const char *name, struct sov_rule *dst, const char *value);
extern bool sov_config_set_stated(struct config_parse *ps, const char *name, struct sov_stated *dst, const char *value);
/* Presets are filled in from the catalogue. */
extern enum sov_code sov_config_presets(struct config_parse *ps);
/* Rules between values, and what the caller needs. */
extern enum sov_code sov_config_check(struct config_parse *ps, int need);

#endif
