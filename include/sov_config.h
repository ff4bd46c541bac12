/*
 * sov_config.h - the configuration file (INI, read by inih).
 *
 * Units: sizes are bytes (suffixes kB, MB, GB, TB in the file, of 1024), durations are
 * seconds (suffixes s, min, h, d).  Every error names file and line and says
 * what to do; unknown sections and unknown names are refused, as are values
 * given twice.
 */
#ifndef SOV_CONFIG_H
#define SOV_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "sov_error.h"
#include "sov_schedule.h"

#define SOV_MAX_PROVIDERS 16
#define SOV_NAME_MAX 64			/* section, repository, key names */
#define SOV_AUDIT_DAYS_MIN 366
#define SOV_PROVIDER_OPTIONS 32 /* settings of a provider's type */
#define SOV_PROVIDER_TEXT 3072	/* bytes of their names and values */

enum sov_provider_state
{
	SOV_PROVIDER_ACTIVE = 0,
	SOV_PROVIDER_DRAIN			/* read from, moved away from, never written */
};

/* A setting that only the provider's adapter understands; name and value are
 * places in the section's text. */
struct sov_provider_option
{
	uint16_t	name,
				value;
	int			line;
};

/* What a section says of its provider, for the policy: see sov_vendor.h. */
enum sov_stated_claim
{
	SOV_STATED_OPERATOR = 0,
	SOV_STATED_UNDERLYING,
	SOV_STATED_PARENT,
	SOV_STATED_SEAT,
	SOV_STATED_LOCATION,
	SOV_STATED_JURISDICTIONS,
	SOV_STATED_CLAIMS
};

struct sov_stated
{
	char		value[200];		/* "" when not given */
	int			line;
};

struct sov_provider_config
{
	char		name[SOV_NAME_MAX]; /* of the section [provider.NAME]: 1 to 40 of [a-z0-9_-] */
	char		type[16];		/* "folder", "s3", ... */
	enum sov_provider_state state;
	char		path[1024];		/* folder: absolute path */
	char		preset[SOV_NAME_MAX];	/* vendor of the catalogue, or "" */
	char		account[SOV_NAME_MAX];	/* for the preset's endpoint, or "" */
	char		region[SOV_NAME_MAX];	/* of the preset, or "" */
	struct sov_stated stated[SOV_STATED_CLAIMS];
	int			line;			/* of the section, for messages */
	int			n_options;		/* in the order of the file */
	struct sov_provider_option options[SOV_PROVIDER_OPTIONS];
	uint16_t	text_used;
	char		text[SOV_PROVIDER_TEXT];
};

/* What prune keeps: the union of all rules; 0 is no rule. */
struct sov_retention
{
	int			last;			/* the newest N */
	int			days;			/* enough to go back N days from the newest */
	int			daily, weekly, monthly, yearly;	/* the newest of each of the last N that have one */
	uint64_t	grace;			/* seconds between condemning and deleting */
	uint64_t	orphan_grace;	/* seconds before what nothing refers to is swept */
};

/* What the server's worker starts by itself, in the order of precedence. */
enum sov_due { SOV_DUE_BACKUP, SOV_DUE_PRUNE, SOV_DUE_REPAIR, SOV_DUE_VERIFY, SOV_DUE_PROBE, SOV_DUE_DRILL, SOV_DUE_N };

/* A line of [policy]; line 0: not given. */
struct sov_rule
{
	char		value[200];
	int			line;
};

/* What a provider must be; see sov_policy.h. */
struct sov_policy
{
	int			line;			/* of the section; 0: there is none */
	struct sov_rule jurisdiction,	/* "EEA, CH": seat and data must lie there */
				not_reached_by, /* "US": this law may not reach it */
				require,		/* "hds, c5" */
				max_per_parent; /* a number or "k-1", which is the default */
};

/* Remember a setting; false when there is no room. */
extern bool sov_provider_config_set(struct sov_provider_config *p, const char *name, const char *value, int line);
/* Take a setting out again. */
extern void sov_provider_config_drop(struct sov_provider_config *p, const char *name);
/* Where it is, for people: the path, or endpoint, bucket or container, and prefix. */
extern void sov_provider_config_location(const struct sov_provider_config *p, char *dst, size_t cap);
/* A setting's value, or NULL when it was not given; *line (may be NULL) is the
 * line it stands in. */
extern const char *sov_provider_config_get(const struct sov_provider_config *p, const char *name, int *line);

struct sov_config
{
	char		file[1024];
	/* [cluster] */
	char		data_directory[1024];	/* "" when not given */
	char		connection[1024];	/* libpq; default "" */
	/* [repository] */
	char		repo_name[SOV_NAME_MAX];
	int			needed;			/* k */
	int			shards;			/* n; equals the number of active providers */
	char		state_directory[1024];	/* default /var/lib/pg_sovereign/NAME, "" without a name */
	uint64_t	spool_limit;	/* bytes of shards kept for absent providers;
								 * default 1 GB */
	uint64_t	fetch_spool;	/* bytes of WAL that wal-fetch keeps ahead; default
								 * 256 MB, 0: none */
	int			compress_level; /* zstd, default 1 */
	bool		write_only;		/* host = write-only: never reads what it has stored */
	char		controller[80]; /* pinned fingerprint "sha256:HEX64", or "" */
	char		catalogue[1024];	/* the user's own catalogue of vendors, or "" */
	/* [policy] */
	struct sov_policy policy;
	/* [retention] */
	struct sov_retention retention;
	/* [schedule] */
	struct sov_schedule schedule[SOV_DUE_N];
	int			verify_sample;	/* shards that a scheduled verify reads; default 459 */
	bool		auto_apply;		/* carry out a changed configuration after a reload */
	/* [audit] */
	char		audit_directory[1024];	/* "": "audit" in the state directory */
	uint64_t	audit_interval; /* seconds between looks at the queue, default 10 */
	uint64_t	audit_beat;		/* seconds between beats when there was nothing, default 10 */
	int			audit_days;		/* that the log is kept, default 400, at least 366 */
	/* [custody] */
	char		root[1024];		/* "file:/path", ... */
	int			root_line;
	char		content[1024];	/* who opens the private content key, or "" */
	int			content_line;
	char		epochs[1024];	/* beside which the erasable keys are made; "": beside root */
	int			epochs_line;
	struct sov_stated custodian;	/* who runs it, or "" */
	uint64_t	lease;			/* seconds for which a preloaded server keeps the keys; default 1h */
	uint64_t	renew;			/* after which it asks again; default a sixth of the lease */
	/* [provider.*] in the order of the file */
	int			n_providers;
	struct sov_provider_config providers[SOV_MAX_PROVIDERS];
};

/*
 * Read and check a file.  What the columns need is only [custody]; callers say
 * what they need with the flags, and get SOV_E_CONFIG naming the missing piece.
 * Every line is always checked by itself; what holds between values of the
 * repository (counts, folders) only with SOV_NEED_REPOSITORY.
 */
#define SOV_NEED_CUSTODY 1
#define SOV_NEED_REPOSITORY 2	/* [repository], [custody], >= n providers */
#define SOV_NEED_CLUSTER 4		/* data-directory */
#define SOV_NEED_PRESETS 8		/* of providers, if there are any; REPOSITORY has them too */
extern enum sov_code sov_config_read(const char *path, int need,
									 struct sov_config *cfg, struct sov_error *err);

/* The same from an open stream; name stands in messages. */
extern enum sov_code sov_config_read_stream(FILE *stream, const char *name, int need,
											struct sov_config *cfg, struct sov_error *err);

/*
 * What a process that lives long compares, to notice that it is to read again: changes
 * with the file, with the user's own catalogue, with the providers' files of credentials,
 * and, where certifications are required, with the day (they expire).  Taken before the
 * file is read for good; 0 while the file cannot be looked at.
 */
extern uint64_t sov_config_stamp(const struct sov_config *cfg);

/* -c option, else PG_SOVEREIGN_CONFIG, else /etc/pg_sovereign/pg_sovereign.conf */
extern const char *sov_config_path(const char *option);

#endif
