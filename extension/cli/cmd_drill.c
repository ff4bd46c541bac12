/*
 * cmd_drill.c - prove that a restore works, and how long it takes.
 *
 * Restores into a scratch directory, has the server's own pg_verifybackup look at
 * it, starts a server there that nobody else can reach (no TCP, a socket in the
 * scratch directory, no archiving, no preloaded libraries), waits until recovery
 * is over, asks what was asked for, stops it and removes everything.  The result
 * is also kept as one line of JSON in the file "drills" of the state directory.
 */
#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "drill.h"
#include "sov_audit.h"
#include "sov_text.h"

const char	cmd_drill_help[] =
	"pg_sovereign drill - restore to a scratch directory and see that it works\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] drill [options]\n\n"
	"Restores, checks every file, starts a server that only this command can reach,\n"
	"waits until it has recovered, runs your queries, stops it and removes all.  Run it\n"
	"as the user that runs the server; it needs the space of the cluster.\n\n"
	"Options:\n"
	"  --scratch DIR        make the scratch directory there (default /var/tmp)\n"
	"  --without PROVIDER   do without this provider; may be repeated\n"
	"  --backup ID          this backup (default: the newest that allows the target)\n"
	"  --target-time TIME   recover to there (default: to the end of WAL)\n"
	"  --query FILE         SQL for psql; the drill fails when a statement does\n"
	"  --database NAME      database for --query (default postgres)\n"
	"  --query-user NAME    who asks --query (default: a role made for it that may read\n"
	"                       every table and do nothing else: what is restored holds views\n"
	"                       and functions of others, who could take a superuser along)\n"
	"  --amcheck            also run pg_amcheck over all databases\n"
	"  --timeout TIME       for recovery and for each check (default 1h)\n"
	"  --bin-directory DIR  the server's programs (default " SOV_PG_BINDIR ")\n"
	"  --jobs N             workers (default: number of processors, at most 4)\n"
	"  --keep               do not remove the scratch directory\n"
	"  --json               print JSON\n\n"
	"Exit status: 0 it works; otherwise what failed is said, and the scratch\n"
	"directory's server.log is kept.\n";

enum
{
	OPT_SCRATCH = 1000, OPT_WITHOUT, OPT_BACKUP, OPT_TIME, OPT_QUERY, OPT_DATABASE, OPT_QUERY_USER, OPT_AMCHECK, OPT_TIMEOUT, OPT_BIN, OPT_KEEP, OPT_JSON
};

static const struct option longs[] = {
	{"scratch", required_argument, NULL, OPT_SCRATCH}, {"without", required_argument, NULL, OPT_WITHOUT},
	{"backup", required_argument, NULL, OPT_BACKUP}, {"target-time", required_argument, NULL, OPT_TIME},
	{"query", required_argument, NULL, OPT_QUERY}, {"database", required_argument, NULL, OPT_DATABASE},
	{"query-user", required_argument, NULL, OPT_QUERY_USER},
	{"amcheck", no_argument, NULL, OPT_AMCHECK}, {"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"bin-directory", required_argument, NULL, OPT_BIN}, {"jobs", required_argument, NULL, 'j'},
	{"keep", no_argument, NULL, OPT_KEEP}, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}
};

/* --- result --- */

static json_t *
result(const struct drill *d, const struct sov_error *err)
{
	json_t	   *seconds = json_object(),
			   *bytes = json_object(),
			   *without = json_array();
	char		when[64];

	for (int s = 0; s < N_STAGES; s++)
		if (d->done[s])
		{
			json_object_set_new(seconds, drill_stage_names[s], json_real(d->seconds[s]));
			json_object_set_new(bytes, drill_stage_names[s], json_integer((json_int_t) d->bytes[s]));
		}
	for (int i = 0; i < d->opt.n_without; i++)
		json_array_append_new(without, json_string(d->opt.without[i]));
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:o, s:o}", "time", cli_time_text(cli_now_us(), when, sizeof when),
					 "passed", err == NULL, "error", err ? err->message : "", "backup", d->res.entry.id,
					 "target_time", d->opt.target_time ? d->opt.target_time : "", "without", without,
					 "files", (json_int_t) d->res.files, "bytes", (json_int_t) d->res.bytes, "fetched", (json_int_t) d->res.fetched, "seconds", seconds, "stage_bytes", bytes);
}

/* One line in the state directory, for reports. */
static void
remember(const struct drill *d, const struct sov_error *err)
{
	char		path[1200];
	json_t	   *doc = result(d, err);
	FILE	   *f;

	snprintf(path, sizeof path, "%s/drills", d->cfg.state_directory);
	f = fopen(path, "ae");
	if (f && doc && json_dumpf(doc, f, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0)
		fputc('\n', f);
	if (f)
		fclose(f);
	json_decref(doc);
}

static int
finish(struct drill *d, enum sov_code rc, const struct sov_error *err)
{
	int			status = 0;

	drill_stop_server(d);
	remember(d, rc == SOV_OK ? NULL : err);
	cli_audit(&d->cfg, NULL, SOV_AUDIT_RESTORE, rc, "drill in %.300s", d->dir);
	if (d->json)
		status = cli_print_json(result(d, rc == SOV_OK ? NULL : err));
	if (rc != SOV_OK)
		status = cli_report(err);
	else if (!d->json)
		printf("drill passed: backup %s, %" PRIu64 " files, %.1f MB%s%s\n", d->res.entry.id, d->res.files, (double) d->res.bytes / 1e6,
			   d->recovered_to[0] ? ", last transaction of " : "", d->recovered_to);
	if (d->dir[0] && d->keep)
		cli_note("the scratch directory %s is kept", d->dir);
	else if (d->dir[0] && !child_remove_directory(d->dir))
		cli_note("the scratch directory %s could not be removed: %s", d->dir, strerror(errno));
	return status;
}

/* --- preparing --- */

/* The role to connect as: that of the configured connection, else our own name. */
static void
find_user(struct drill *d)
{
	PQconninfoOption *o = PQconninfoParse(d->cfg.connection, NULL);
	struct passwd *pw = getpwuid(geteuid());

	snprintf(d->user, sizeof d->user, "%s", pw ? pw->pw_name : "postgres");
	for (PQconninfoOption *p = o; p && p->keyword; p++)
		if (strcmp(p->keyword, "user") == 0 && p->val && p->val[0])
			snprintf(d->user, sizeof d->user, "%s", p->val);
	PQconninfoFree(o);
}

static enum sov_code
prepare(struct drill *d, struct sov_error *err)
{
	enum sov_code rc;

	if (geteuid() == 0)
		return sov_fail(err, SOV_E_USAGE, "runuser -u postgres -- pg_sovereign drill ...", "a server does not run as root: run the drill as the user that runs the server");
	if (d->query && access(d->query, R_OK) != 0)
		return sov_fail_errno(err, errno, NULL, "%s cannot be read", d->query);
	rc = cli_read_config(d->ctx, SOV_NEED_REPOSITORY, &d->cfg, err);
	if (rc != SOV_OK)
		return rc;
	find_user(d);
	snprintf(d->dir, sizeof d->dir, "%.1000s/pg_sovereign_drill.XXXXXX", d->scratch);
	if (strlen(d->dir) > 90)
	{
		d->dir[0] = '\0';
		return sov_fail(err, SOV_E_USAGE, "choose a shorter --scratch", "the scratch directory's path is too long for a socket");
	}
	if (mkdtemp(d->dir) == NULL)
	{
		d->dir[0] = '\0';
		return sov_fail_errno(err, errno, "choose another place with --scratch", "could not make a directory in %s", d->scratch);
	}
	snprintf(d->data, sizeof d->data, "%.1000s/data", d->dir);
	snprintf(d->log, sizeof d->log, "%.1000s/server.log", d->dir);
	return SOV_OK;
}

static int
run(struct drill *d)
{
	struct sov_error err;
	enum sov_code rc;

	cli_catch_signals();
	rc = prepare(d, &err);
	if (rc == SOV_OK && !d->json)
		printf("drill in %s\n", d->dir);
	if (rc == SOV_OK)
		rc = drill_restore(d, &err);
	if (rc == SOV_OK)
		rc = drill_verify(d, &err);
	if (rc == SOV_OK)
		rc = drill_recover(d, &err);
	if (rc == SOV_OK)
		rc = drill_check(d, &err);
	if (rc == SOV_OK)
		rc = drill_amcheck(d, &err);
	if (rc == SOV_OK)
		rc = drill_query(d, &err);
	if (d->dir[0] == '\0')
		return cli_report(&err);
	return finish(d, rc, &err);
}

static int
take_option(struct drill *d, int c)
{
	uint64_t	seconds;
	long		n;

	switch (c)
	{
		case OPT_SCRATCH:
			if (optarg[0] != '/')
				return cli_usage_error("drill", "--scratch wants an absolute path");
			d->scratch = optarg;
			return 0;
		case OPT_WITHOUT:
			if (d->opt.n_without == SOV_MAX_PROVIDERS)
				return cli_usage_error("drill", "too many --without");
			d->opt.without[d->opt.n_without++] = optarg;
			return 0;
		case OPT_BACKUP:
			d->opt.backup = optarg;
			return 0;
		case OPT_TIME:
			if (!cli_parse_time(optarg, &d->time))
				return cli_usage_error("drill", "--target-time wants a time such as '2026-11-23 15:05:00+01', not \"%.60s\"", optarg);
			d->opt.target_time = d->time.text;
			d->opt.target_time_us = d->time.us;
			return 0;
		case OPT_QUERY:
			d->query = optarg;
			return 0;
		case OPT_DATABASE:
			d->database = optarg;
			return 0;
		case OPT_QUERY_USER:
			d->query_user = optarg;
			return 0;
		case OPT_AMCHECK:
			d->amcheck = true;
			return 0;
		case OPT_TIMEOUT:
			if (!sov_parse_duration(optarg, &seconds) || seconds == 0 || seconds > 30 * 86400)
				return cli_usage_error("drill", "--timeout wants a time such as 30min, not \"%.40s\"", optarg);
			d->timeout = (int) seconds;
			return 0;
		case OPT_BIN:
			d->bin = optarg;
			return 0;
		case 'j':
			if (!cli_number("drill", "--jobs", optarg, 1, 12, &n))
				return cli_exit_code(SOV_E_USAGE);
			d->opt.jobs = (int) n;
			return 0;
		case OPT_KEEP:
			d->keep = true;
			return 0;
		case OPT_JSON:
			d->json = true;
			return 0;
		default:
			return cli_exit_code(SOV_E_USAGE);
	}
}

int
cmd_drill(int argc, char **argv, const struct cli_context *ctx)
{
	struct drill *d = calloc(1, sizeof *d);
	long		cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int			c,
				status = 0;

	if (d == NULL)
		return cli_exit_code(SOV_E_NOMEM);
	d->ctx = ctx;
	d->scratch = "/var/tmp";
	d->database = "postgres";
	d->bin = SOV_PG_BINDIR;
	d->timeout = 3600;
	d->opt.inclusive = true;
	d->opt.jobs = cpus > 4 ? 4 : cpus < 1 ? 1 : (int) cpus;
	while (status == 0 && (c = cli_getopt(argc, argv, "j:", longs)) != -1)
		status = take_option(d, c);
	if (status == 0 && optind < argc)
		status = cli_usage_error("drill", "\"%.40s\" is one argument too many", argv[optind]);
	if (status == 0)
		status = run(d);
	free(d);
	return status;
}
