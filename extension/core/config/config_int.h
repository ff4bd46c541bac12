/*
 * config_int.h - what config*.c share.
 */
#ifndef CONFIG_INT_H
#define CONFIG_INT_H

#include "base/ini_reader.h"
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

enum config_kind { K_PATH, K_TEXT, K_NAME, K_SHARDS, K_LEVEL, K_SIZE, K_FINGERPRINT, K_ROOT, K_STATE, K_COUNT, K_DURATION, K_SCHEDULE, K_BOOL, K_STATED, K_RULE,
	K_INTERVAL, K_AUDIT_DAYS, K_CONTENT, K_HOST };

struct config_option
{
	enum config_section section;
	const char *name;
	enum config_kind	kind;
	size_t		offset;
	size_t		cap;
};

/* "FILE:LINE: text" (no line when it is 0); returns SOV_E_CONFIG. */
extern enum sov_code sov_config_fail(struct config_parse *ps, int line, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Line in which a value was given, or 0; not for providers. */
extern int	sov_config_option_line(const struct config_parse *ps, enum config_section section, const char *name);
/* A name of letters, digits, _ and -, of at most max bytes. */
extern bool sov_config_name_ok(const char *s, size_t max);
/* config_value.c: false, and said so, where a value has what was meant as a comment. */
extern bool sov_config_no_comment(struct config_parse *ps, const char *name, const char *value);
/* checks a value and puts it into its place; false: it was refused. */
extern bool sov_config_set_value(struct config_parse *ps, const struct config_option *o, const char *value);
/* config_policy.c */
extern bool sov_config_set_rule(struct config_parse *ps, const char *name, struct sov_rule *dst, const char *value);
extern bool sov_config_set_stated(struct config_parse *ps, const char *name, struct sov_stated *dst, const char *value);
/* Presets are filled in from the catalogue. */
extern enum sov_code sov_config_presets(struct config_parse *ps);
/* Rules between values, and what the caller needs. */
extern enum sov_code sov_config_check(struct config_parse *ps, int need);

#endif
