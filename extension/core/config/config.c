/*
 * config.c - reads and checks the configuration file.
 *
 * ini_reader.c brings sections, names and values with their lines; the rules are
 * here and, for one value, in config_value.c.  A name is looked up in one table that
 * says its section, kind and place in struct sov_config; config_check.c checks what
 * holds between values.
 *
 * Values are never quoted in messages where they may hold a password
 * (connection).
 */
#include "config_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sov_credential.h"
#include "sov_custodian.h"
#include "sov_provider.h"
#include "sov_text.h"

#define KNOWN_KEYS 80			/* settings of all adapters */
#define PROVIDER_NAME_MAX 40	/* inih keeps 49 bytes of a section's name */

#define MEMBER(type, field) offsetof(struct type, field), sizeof(((struct type *) 0)->field)

static const struct config_option options[] = {
	{S_CLUSTER, "data-directory", K_PATH, MEMBER(sov_config, data_directory)},
	{S_CLUSTER, "connection", K_TEXT, MEMBER(sov_config, connection)},
	{S_REPOSITORY, "name", K_NAME, MEMBER(sov_config, repo_name)},
	{S_REPOSITORY, "needed", K_SHARDS, MEMBER(sov_config, needed)},
	{S_REPOSITORY, "shards", K_SHARDS, MEMBER(sov_config, shards)},
	{S_REPOSITORY, "state-directory", K_PATH, MEMBER(sov_config, state_directory)},
	{S_REPOSITORY, "spool-limit", K_SIZE, MEMBER(sov_config, spool_limit)},
	{S_REPOSITORY, "fetch-spool", K_SIZE, MEMBER(sov_config, fetch_spool)},
	{S_REPOSITORY, "compress-level", K_LEVEL, MEMBER(sov_config, compress_level)},
	{S_REPOSITORY, "controller", K_FINGERPRINT, MEMBER(sov_config, controller)},
	{S_REPOSITORY, "host", K_HOST, MEMBER(sov_config, write_only)},
	{S_REPOSITORY, "catalogue", K_PATH, MEMBER(sov_config, catalogue)},
	{S_CUSTODY, "operator", K_STATED, MEMBER(sov_config, custodian)},
	{S_CUSTODY, "root", K_ROOT, MEMBER(sov_config, root)},
	{S_CUSTODY, "content", K_CONTENT, MEMBER(sov_config, content)},
	{S_CUSTODY, "epochs", K_CONTENT, MEMBER(sov_config, epochs)},
	{S_CUSTODY, "lease", K_DURATION, MEMBER(sov_config, lease)},
	{S_CUSTODY, "renew", K_DURATION, MEMBER(sov_config, renew)},
	{S_RETENTION, "keep-last", K_COUNT, MEMBER(sov_config, retention.last)},
	{S_RETENTION, "keep-days", K_COUNT, MEMBER(sov_config, retention.days)},
	{S_RETENTION, "keep-daily", K_COUNT, MEMBER(sov_config, retention.daily)},
	{S_RETENTION, "keep-weekly", K_COUNT, MEMBER(sov_config, retention.weekly)},
	{S_RETENTION, "keep-monthly", K_COUNT, MEMBER(sov_config, retention.monthly)},
	{S_RETENTION, "keep-yearly", K_COUNT, MEMBER(sov_config, retention.yearly)},
	{S_RETENTION, "grace", K_DURATION, MEMBER(sov_config, retention.grace)},
	{S_RETENTION, "orphan-grace", K_DURATION, MEMBER(sov_config, retention.orphan_grace)},
	{S_SCHEDULE, "backup", K_SCHEDULE, MEMBER(sov_config, schedule[SOV_DUE_BACKUP])},
	{S_SCHEDULE, "verify", K_SCHEDULE, MEMBER(sov_config, schedule[SOV_DUE_VERIFY])},
	{S_SCHEDULE, "repair", K_SCHEDULE, MEMBER(sov_config, schedule[SOV_DUE_REPAIR])},
	{S_SCHEDULE, "prune", K_SCHEDULE, MEMBER(sov_config, schedule[SOV_DUE_PRUNE])},
	{S_SCHEDULE, "probe", K_SCHEDULE, MEMBER(sov_config, schedule[SOV_DUE_PROBE])},
	{S_SCHEDULE, "drill", K_SCHEDULE, MEMBER(sov_config, schedule[SOV_DUE_DRILL])},
	{S_SCHEDULE, "verify-sample", K_COUNT, MEMBER(sov_config, verify_sample)},
	{S_SCHEDULE, "auto-apply", K_BOOL, MEMBER(sov_config, auto_apply)},
	{S_POLICY, "jurisdiction", K_RULE, MEMBER(sov_config, policy.jurisdiction)},
	{S_POLICY, "not-reached-by", K_RULE, MEMBER(sov_config, policy.not_reached_by)},
	{S_POLICY, "require", K_RULE, MEMBER(sov_config, policy.require)},
	{S_POLICY, "max-shards-per-parent", K_RULE, MEMBER(sov_config, policy.max_per_parent)},
	{S_AUDIT, "directory", K_PATH, MEMBER(sov_config, audit_directory)},
	{S_AUDIT, "interval", K_INTERVAL, MEMBER(sov_config, audit_interval)},
	{S_AUDIT, "beat", K_INTERVAL, MEMBER(sov_config, audit_beat)},
	{S_AUDIT, "keep-days", K_AUDIT_DAYS, MEMBER(sov_config, audit_days)},
	{S_PROVIDER, "preset", K_NAME, MEMBER(sov_provider_config, preset)},
	{S_PROVIDER, "account", K_NAME, MEMBER(sov_provider_config, account)},
	{S_PROVIDER, "operator", K_STATED, MEMBER(sov_provider_config, stated[SOV_STATED_OPERATOR])},
	{S_PROVIDER, "underlying-operator", K_STATED, MEMBER(sov_provider_config, stated[SOV_STATED_UNDERLYING])},
	{S_PROVIDER, "parent", K_STATED, MEMBER(sov_provider_config, stated[SOV_STATED_PARENT])},
	{S_PROVIDER, "seat", K_STATED, MEMBER(sov_provider_config, stated[SOV_STATED_SEAT])},
	{S_PROVIDER, "location", K_STATED, MEMBER(sov_provider_config, stated[SOV_STATED_LOCATION])},
	{S_PROVIDER, "jurisdictions", K_STATED, MEMBER(sov_provider_config, stated[SOV_STATED_JURISDICTIONS])},
	{S_PROVIDER, "type", K_NAME, MEMBER(sov_provider_config, type)},
	{S_PROVIDER, "state", K_STATE, MEMBER(sov_provider_config, state)},
	{S_PROVIDER, "path", K_PATH, MEMBER(sov_provider_config, path)},
};
#define N_OPTIONS ((int) (sizeof options / sizeof options[0]))
_Static_assert(sizeof options / sizeof options[0] <= CONFIG_MAX_OPTIONS, "option lines");

static const char *const section_names[] = {"cluster", "repository", "custody", "retention", "schedule", "policy", "audit", "provider.NAME"};

enum sov_code
sov_config_fail(struct config_parse *ps, int line, const char *hint, const char *fmt, ...)
{
	enum sov_code rc;
	va_list		ap;

	va_start(ap, fmt);
	rc = ini_vfail(&ps->in, line, hint, fmt, ap);
	va_end(ap);
	return rc;
}

int
sov_config_option_line(const struct config_parse *ps, enum config_section section, const char *name)
{
	for (int i = 0; i < N_OPTIONS; i++)
		if (options[i].section == section && strcmp(options[i].name, name) == 0)
			return ps->option_line[i];
	return 0;
}

bool
sov_config_name_ok(const char *s, size_t max)
{
	size_t		n = strlen(s);

	return n > 0 && n <= max &&
		strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

/* --- sections --- */

static bool
begin_provider(struct config_parse *ps, const char *name)
{
	struct sov_config *cfg = ps->cfg;
	struct sov_provider_config *p;

	if (!sov_config_name_ok(name, PROVIDER_NAME_MAX))
		return sov_config_fail(ps, ps->in.line, "a provider's name has 1 to 40 of the characters a-z 0-9 _ -",
							   "provider name \"%.60s\" is not allowed", name), false;
	for (int i = 0; i < cfg->n_providers; i++)
		if (strcmp(cfg->providers[i].name, name) == 0)
			return sov_config_fail(ps, ps->in.line, "give each provider one section and a name of its own",
								   "provider \"%s\" stands already in line %d", name, cfg->providers[i].line), false;
	if (cfg->n_providers == SOV_MAX_PROVIDERS)
		return sov_config_fail(ps, ps->in.line, "take a provider that is drained out of the file",
							   "more than %d providers", SOV_MAX_PROVIDERS), false;
	p = &cfg->providers[cfg->n_providers++];
	snprintf(p->name, sizeof p->name, "%s", name);
	p->line = ps->in.line;
	for (int i = 0; i < N_OPTIONS; i++)
		if (options[i].section == S_PROVIDER)
			ps->option_line[i] = 0;
	ps->section = S_PROVIDER;
	return true;
}

static bool
unknown_section(struct config_parse *ps, const char *name)
{
	static const char *const known[] = {"cluster", "repository", "custody", "retention", "schedule", "policy", "audit", "provider", NULL};
	const char *near = sov_nearest(name, known);
	char		hint[200];

	if (strcmp(name, "provider") == 0)
		return sov_config_fail(ps, ps->in.line, "write [provider.NAME], for example [provider.paris]",
							   "section [provider] has no name"), false;
	if (near != NULL)
		snprintf(hint, sizeof hint, "did you mean [%s%s]?", near, strcmp(near, "provider") == 0 ? ".NAME" : "");
	else
		snprintf(hint, sizeof hint, "sections are [cluster], [repository], [custody], [retention], [schedule], [policy], [audit] and [provider.NAME]");
	return sov_config_fail(ps, ps->in.line, hint, "unknown section [%.60s]", name), false;
}

static bool
begin_section(void *ctx, const char *name)
{
	struct config_parse *ps = ctx;

	if (strncmp(name, "provider.", 9) == 0)
		return begin_provider(ps, name + 9);
	for (int s = S_CLUSTER; s < S_PROVIDER; s++)
	{
		if (strcmp(section_names[s], name) != 0)
			continue;
		if (ps->section_line[s] != 0)
			return sov_config_fail(ps, ps->in.line, "put all its values into one section",
								   "section [%s] stands already in line %d", name, ps->section_line[s]), false;
		ps->section_line[s] = ps->in.line;
		ps->section = (enum config_section) s;
		if (s == S_POLICY)
			ps->cfg->policy.line = ps->in.line;
		return true;
	}
	return unknown_section(ps, name);
}

/* --- names --- */

static bool
unknown_name(struct config_parse *ps, const char *name)
{
	const char *known[N_OPTIONS + KNOWN_KEYS];
	const char *near;
	char		hint[500];
	int			n = 0,
				listed;

	for (int i = 0; i < N_OPTIONS; i++)
		if (options[i].section == ps->section)
			known[n++] = options[i].name;
	known[n] = NULL;
	listed = n;
	if (ps->section == S_PROVIDER)
		sov_provider_key_names(known + n, KNOWN_KEYS);
	near = sov_nearest(name, known);
	if (near != NULL)
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
	else
	{
		size_t		used = (size_t) snprintf(hint, sizeof hint, "names of this section are");

		for (int i = 0; i < listed; i++)
			used += (size_t) snprintf(hint + used, sizeof hint - used, "%s %s", i ? "," : "", known[i]);
		if (ps->section == S_PROVIDER)
			snprintf(hint + used, sizeof hint - used, ", and those of its type");
	}
	/* the right name in the wrong section is a common slip */
	for (int i = 0; i < N_OPTIONS; i++)
		if (strcmp(options[i].name, name) == 0)
			snprintf(hint, sizeof hint, "it belongs into section [%s]", section_names[options[i].section]);
	return sov_config_fail(ps, ps->in.line, hint, "unknown name \"%.60s\" in section [%s]",
						   name, section_names[ps->section]), false;
}

/* A setting of some adapter; whether of this one is checked when the section's
 * type is known. */
static bool
set_provider_option(struct config_parse *ps, const char *name, const char *value)
{
	struct sov_provider_config *p = &ps->cfg->providers[ps->cfg->n_providers - 1];
	const char *known[KNOWN_KEYS];
	int			line,
				n = sov_provider_key_names(known, KNOWN_KEYS);

	while (n > 0 && strcmp(known[n - 1], name) != 0)
		n--;
	if (n == 0)
		return unknown_name(ps, name);
	if (sov_provider_config_get(p, name, &line) != NULL)
		return sov_config_fail(ps, ps->in.line, "keep one of the two lines",
							   "\"%s\" is given already in line %d", name, line), false;
	if (value[0] == '\0')
		return sov_config_fail(ps, ps->in.line, "give a value, or take the line out", "\"%s\" has no value", name), false;
	if (!sov_config_no_comment(ps, name, value))
		return false;
	if (!sov_provider_config_set(p, name, value, ps->in.line))
		return sov_config_fail(ps, ps->in.line, NULL, "the settings of provider \"%s\" are too long", p->name), false;
	return true;
}

static bool
take_value(void *ctx, const char *name, const char *value)
{
	struct config_parse *ps = ctx;

	if (ps->section == S_NONE)
		return sov_config_fail(ps, ps->in.line, "begin the file with a section such as [repository]",
							   "\"%.60s\" stands before any section", name), false;
	for (int i = 0; i < N_OPTIONS; i++)
	{
		if (options[i].section != ps->section || strcmp(options[i].name, name) != 0)
			continue;
		if (ps->option_line[i] != 0)
			return sov_config_fail(ps, ps->in.line, "keep one of the two lines",
								   "\"%s\" is given already in line %d", name, ps->option_line[i]), false;
		ps->option_line[i] = ps->in.line;
		if (value[0] == '\0' && options[i].kind != K_TEXT)
			return sov_config_fail(ps, ps->in.line, "give a value, or take the line out", "\"%s\" has no value", name), false;
		return sov_config_set_value(ps, &options[i], value);
	}
	return ps->section == S_PROVIDER ? set_provider_option(ps, name, value) : unknown_name(ps, name);
}

/* --- the file --- */

enum sov_code
sov_config_read_stream(FILE *stream, const char *name, int need,
					   struct sov_config *cfg, struct sov_error *err)
{
	struct config_parse ps = {.cfg = cfg, .section = S_NONE};
	enum sov_code rc;

	memset(cfg, 0, sizeof *cfg);
	if (snprintf(cfg->file, sizeof cfg->file, "%s", name) >= (int) sizeof cfg->file)
		return sov_fail(err, SOV_E_CONFIG, NULL, "the configuration file's path is too long");
	cfg->spool_limit = (uint64_t) 1 << 30;
	cfg->fetch_spool = (uint64_t) 256 << 20;
	cfg->compress_level = 1;
	cfg->lease = 3600;
	cfg->verify_sample = 459;	/* finds a loss of 1 % with 99 % */
	cfg->audit_interval = 10;
	cfg->audit_beat = 10;
	cfg->audit_days = 400;
	cfg->retention.grace = 3600;
	cfg->retention.orphan_grace = 86400;
	ps.in = (struct ini_reader) {.stream = stream, .file = cfg->file, .err = err,
	.section = begin_section, .value = take_value, .ctx = &ps};
	rc = ini_read(&ps.in);
	if (rc != SOV_OK)
		return rc;
	return sov_config_check(&ps, need);
}

enum sov_code
sov_config_read(const char *path, int need, struct sov_config *cfg, struct sov_error *err)
{
	struct stat st;
	enum sov_code rc;
	FILE	   *f;

	f = fopen(path, "re");
	if (f == NULL)
		return sov_fail(err, SOV_E_CONFIG,
						errno == ENOENT ? "make it, or name another with -c FILE or PG_SOVEREIGN_CONFIG" :
						"the user that runs this must be able to read it",
						"could not open configuration file \"%.300s\": %s", path, strerror(errno));
	rc = sov_config_read_stream(f, path, need, cfg, err);
	if (rc == SOV_OK && strstr(cfg->connection, "password") != NULL &&
		fstat(fileno(f), &st) == 0 && (st.st_mode & 077) != 0)
		rc = sov_fail(err, SOV_E_CONFIG, "chmod 0600 it, or put the password into the user's .pgpass",
					  "%.150s: \"connection\" holds a password and others may read the file", path);
	fclose(f);
	return rc;
}

const char *
sov_config_path(const char *option)
{
	const char *env = getenv("PG_SOVEREIGN_CONFIG");

	if (option != NULL && option[0] != '\0')
		return option;
	if (env != NULL && env[0] != '\0')
		return env;
	return "/etc/pg_sovereign/pg_sovereign.conf";
}

bool
sov_provider_config_set(struct sov_provider_config *p, const char *name, const char *value, int line)
{
	size_t		n = strlen(name) + 1,
				v = strlen(value) + 1;
	struct sov_provider_option *o = &p->options[p->n_options];

	if (p->n_options == SOV_PROVIDER_OPTIONS || n + v > sizeof p->text - p->text_used)
		return false;
	o->name = p->text_used;
	o->value = (uint16_t) (p->text_used + n);
	o->line = line;
	memcpy(p->text + o->name, name, n);
	memcpy(p->text + o->value, value, v);
	p->text_used = (uint16_t) (p->text_used + n + v);
	p->n_options++;
	return true;
}

const char *
sov_provider_config_get(const struct sov_provider_config *p, const char *name, int *line)
{
	for (int i = 0; i < p->n_options; i++)
		if (strcmp(p->text + p->options[i].name, name) == 0)
		{
			if (line != NULL)
				*line = p->options[i].line;
			return p->text + p->options[i].value;
		}
	return NULL;
}

void
sov_provider_config_location(const struct sov_provider_config *p, char *dst, size_t cap)
{
	static const char *const parts[] = {"endpoint", "bucket", "container", "prefix"};
	size_t		used = (size_t) snprintf(dst, cap, "%s", p->path);

	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && used < cap; i++)
	{
		const char *value = sov_provider_config_get(p, parts[i], NULL);

		if (value != NULL && value[0] != '\0')
			used += (size_t) snprintf(dst + used, cap - used, "%s%s", used > 0 && dst[used - 1] != '/' ? "/" : "", value);
	}
}

void
sov_provider_config_drop(struct sov_provider_config *p, const char *name)
{
	for (int i = 0; i < p->n_options; i++)
		if (strcmp(p->text + p->options[i].name, name) == 0)
		{
			memmove(&p->options[i], &p->options[i + 1], (size_t) (p->n_options - i - 1) * sizeof p->options[0]);
			p->n_options--;
			return;
		}
}

/* --- has it changed? --- */

static uint64_t
mix(uint64_t hash, uint64_t n)
{
	return (hash ^ n) * UINT64_C(0x9E3779B97F4A7C15) ^ hash >> 29;
}

/* A file as it is now; one that is not there is a state as well. */
static uint64_t
mix_file(uint64_t hash, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return mix(hash, 1);
	hash = mix(mix(hash, (uint64_t) st.st_ino), (uint64_t) st.st_size);
	return mix(mix(hash, (uint64_t) st.st_mtim.tv_sec), (uint64_t) st.st_mtim.tv_nsec);
}

uint64_t
sov_config_stamp(const struct sov_config *cfg)
{
	uint64_t	hash = mix_file(1, cfg->file);
	char		path[1100];

	if (access(cfg->file, F_OK) != 0)
		return 0;
	if (cfg->catalogue[0] != '\0')
		hash = mix_file(hash, cfg->catalogue);
	for (int i = 0; i < cfg->n_providers; i++)
	{
		const char *file = sov_provider_config_get(&cfg->providers[i], "credentials-file", NULL);

		if (file != NULL && sov_secret_file_path(file, path, sizeof path, NULL) == SOV_OK)
			hash = mix_file(hash, path);
	}
	if (cfg->policy.require.line > 0)
		hash = mix(hash, (uint64_t) time(NULL) / 86400);
	return hash != 0 ? hash : 1;
}
