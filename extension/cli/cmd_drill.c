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
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "sov_restore.h"
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
	OPT_SCRATCH = 1000, OPT_WITHOUT, OPT_BACKUP, OPT_TIME, OPT_QUERY, OPT_DATABASE, OPT_AMCHECK, OPT_TIMEOUT, OPT_BIN, OPT_KEEP, OPT_JSON
};

static const struct option longs[] = {
	{"scratch", required_argument, NULL, OPT_SCRATCH}, {"without", required_argument, NULL, OPT_WITHOUT},
	{"backup", required_argument, NULL, OPT_BACKUP}, {"target-time", required_argument, NULL, OPT_TIME},
	{"query", required_argument, NULL, OPT_QUERY}, {"database", required_argument, NULL, OPT_DATABASE},
	{"amcheck", no_argument, NULL, OPT_AMCHECK}, {"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"bin-directory", required_argument, NULL, OPT_BIN}, {"jobs", required_argument, NULL, 'j'},
	{"keep", no_argument, NULL, OPT_KEEP}, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}
};

enum stage { STAGE_RESTORE, STAGE_VERIFY, STAGE_RECOVER, STAGE_CHECK, STAGE_AMCHECK, STAGE_QUERY, N_STAGES };
static const char *const stage_names[N_STAGES] = {"restore", "verify", "recover", "check", "amcheck", "query"};

struct drill
{
	const struct cli_context *ctx;
	struct sov_config cfg;
	struct sov_restore_options opt;
	struct cli_time time;
	const char *scratch,
			   *query,
			   *database,
			   *bin;
	char		dir[PATH_MAX],	/* scratch/pg_sovereign_drill.XXXXXX */
				data[PATH_MAX],
				log[PATH_MAX],
				user[256];
	bool		amcheck,
				keep,
				json,
				running;
	int			timeout;
	double		seconds[N_STAGES];
	bool		done[N_STAGES];
	int64_t		started;
	char		recovered_to[64];
	struct sov_restore_result res;
};

static void
begin(struct drill *d)
{
	d->started = cli_now_us();
}

static void
end(struct drill *d, enum stage s)
{
	d->seconds[s] = (double) (cli_now_us() - d->started) / 1e6;
	d->done[s] = true;
	if (!d->json)
	{
		printf("  %-8s %8.1f s\n", stage_names[s], d->seconds[s]);
		fflush(stdout);
	}
}

/* --- programs of the server --- */

static enum sov_code
program_failed(struct drill *d, const char *what, const char *log, int status, struct sov_error *err)
{
	char		line[400];

	child_tail(log, line, sizeof line);
	d->keep = true;
	if (cli_cancelled(NULL))
		return sov_fail(err, SOV_E_CANCELLED, NULL, "the drill was cancelled");
	if (status == CHILD_STOPPED)
		return sov_fail(err, SOV_E_STATE, "give it more time with --timeout", "%s did not end within %d s; see %s", what, d->timeout, log);
	if (status == 127 || status < 0)
		return sov_fail(err, SOV_E_CONFIG, "say where the server's programs are: --bin-directory", "%s could not be run", what);
	return sov_fail(err, SOV_E_CORRUPT, "the whole output is in the file named above; the scratch directory is kept", "%s failed (status %d): %s; see %s", what, status, line, log);
}

static enum sov_code
run_program(struct drill *d, const char *name, const char *const *args, struct sov_error *err)
{
	const char *argv[24];
	char		path[PATH_MAX],
				log[PATH_MAX];
	int			n = 1,
				status;

	snprintf(path, sizeof path, "%.2000s/%s", d->bin, name);
	snprintf(log, sizeof log, "%.2000s/%s.log", d->dir, name);
	argv[0] = path;
	while (*args && n < 23)
		argv[n++] = *args++;
	argv[n] = NULL;
	status = child_run(argv, log, d->timeout);
	return status == 0 ? SOV_OK : program_failed(d, name, log, status, err);
}

/* --- stages --- */

static enum sov_code
do_restore(struct drill *d, struct sov_error *err)
{
	struct sov_repo *repo = NULL;
	char		command[CLI_COMMAND_MAX];
	const struct sov_progress *progress;
	enum sov_code rc;

	begin(d);
	rc = cli_restore_command(&d->cfg, d->opt.without, d->opt.n_without, command, sizeof command, err);
	if (rc == SOV_OK)
		rc = cli_without(&d->cfg, d->opt.without, d->opt.n_without, err);
	if (rc == SOV_OK)
		rc = sov_repo_open(&d->cfg, cli_note_callback, NULL, &repo, err);
	if (rc == SOV_OK)
	{
		d->opt.target = d->data;
		d->opt.restore_command = command;
		progress = cli_progress_start("drill: restore");
		rc = sov_restore_run(repo, &d->opt, progress, &d->res, err);
		cli_progress_stop();
	}
	sov_repo_close(repo);
	if (rc == SOV_OK)
		end(d, STAGE_RESTORE);
	return rc;
}

static enum sov_code
do_verify(struct drill *d, struct sov_error *err)
{
	const char *const args[] = {"-n", "-q", "-e", d->data, NULL};
	enum sov_code rc;

	begin(d);
	rc = run_program(d, "pg_verifybackup", args, err);
	if (rc == SOV_OK)
		end(d, STAGE_VERIFY);
	return rc;
}

/* The cluster's own configuration may lie elsewhere, and must not be obeyed. */
static enum sov_code
write_configuration(struct drill *d, struct sov_error *err)
{
	char		path[PATH_MAX];
	FILE	   *f;
	bool		bad;

	snprintf(path, sizeof path, "%.2000s/hba", d->dir);
	f = fopen(path, "we");
	if (f)
		fputs("local all all trust\n", f);
	bad = f == NULL || fclose(f) != 0;
	snprintf(path, sizeof path, "%.2000s/conf", d->dir);
	f = bad ? NULL : fopen(path, "we");
	if (f)
		fprintf(f, "hba_file = '%.2000s/hba'\nident_file = '%.2000s/hba'\nexternal_pid_file = ''\n", d->dir, d->dir);
	if (f == NULL || fclose(f) != 0)
		return sov_fail_errno(err, errno, NULL, "could not write %s", path);
	return SOV_OK;
}

/* Settings on the command line win over postgresql.auto.conf. */
static void
server_options(const struct drill *d, char *dst, size_t cap)
{
	snprintf(dst, cap,
			 "-c config_file=%.2000s/conf -c unix_socket_directories=%.2000s -c listen_addresses= -c port=5432"
			 " -c archive_mode=off -c shared_preload_libraries= -c primary_conninfo= -c hot_standby=off -c ssl=off"
			 " -c logging_collector=off -c log_destination=stderr -c fsync=off -c autovacuum=off"
			 " -c max_prepared_transactions=1000 -c sovereign.config_file=%.1000s",
			 d->dir, d->dir, d->cfg.file);
}

static PGconn *
connect_to(const struct drill *d, const char *database)
{
	const char *const names[] = {"host", "port", "user", "dbname", "fallback_application_name", NULL};
	const char *const values[] = {d->dir, "5432", d->user, database, "pg_sovereign drill", NULL};

	return PQconnectdbParams(names, values, 0);
}

/* Without hot standby the server lets us in when recovery is over; it is gone
 * when its lock file is. */
static enum sov_code
wait_recovered(struct drill *d, struct sov_error *err)
{
	char		pid_file[PATH_MAX],
				line[400];

	snprintf(pid_file, sizeof pid_file, "%.2000s/postmaster.pid", d->data);
	for (;;)
	{
		PGconn	   *conn = connect_to(d, "template1");
		bool		in = PQstatus(conn) == CONNECTION_OK;

		PQfinish(conn);
		if (in)
			return SOV_OK;
		if (access(pid_file, F_OK) != 0)
		{
			d->keep = true;
			child_tail(d->log, line, sizeof line);
			return sov_fail(err, SOV_E_CORRUPT, "the scratch directory is kept", "the restored server stopped during recovery: %s; see %s", line, d->log);
		}
		if (cli_cancelled(NULL) || cli_now_us() - d->started > (int64_t) d->timeout * 1000000)
			return program_failed(d, "recovery", d->log, CHILD_STOPPED, err);
		usleep(50000);
	}
}

static enum sov_code
do_recover(struct drill *d, struct sov_error *err)
{
	char		options[8192],
				seconds[16],
				line[400];
	const char *const args[] = {"start", "-D", d->data, "-w", "-t", seconds, "-l", d->log, "-o", options, NULL};
	enum sov_code rc = write_configuration(d, err);

	begin(d);
	server_options(d, options, sizeof options);
	snprintf(seconds, sizeof seconds, "%d", d->timeout);
	d->running = rc == SOV_OK;
	if (rc == SOV_OK)
		rc = run_program(d, "pg_ctl", args, err);
	if (rc == SOV_E_CORRUPT)
	{
		child_tail(d->log, line, sizeof line);
		sov_fail(err, rc, "the scratch directory is kept", "the restored server did not start: %s; see %s", line, d->log);
	}
	if (rc == SOV_OK)
		rc = wait_recovered(d, err);
	if (rc == SOV_OK)
		end(d, STAGE_RECOVER);
	return rc;
}

static enum sov_code
ask(PGconn *conn, const char *database, const char *sql, PGresult **r, struct sov_error *err)
{
	char		text[300];

	*r = PQstatus(conn) == CONNECTION_OK ? PQexec(conn, sql) : NULL;
	if (PQresultStatus(*r) == PGRES_TUPLES_OK)
		return SOV_OK;
	snprintf(text, sizeof text, "%s", PQerrorMessage(conn));
	text[strcspn(text, "\n")] = '\0';
	PQclear(*r);
	*r = NULL;
	return sov_fail(err, SOV_E_CORRUPT, "the scratch directory is kept", "database %s of the restored cluster does not answer: %s", database, text);
}

/* Every database answers and its catalog can be read whole. */
static enum sov_code
check_database(struct drill *d, const char *database, struct sov_error *err)
{
	PGconn	   *conn = connect_to(d, database);
	PGresult   *r = NULL;
	enum sov_code rc = ask(conn, database, "SELECT count(*), sum(relpages) FROM pg_catalog.pg_class, pg_catalog.pg_database WHERE datname = current_database()", &r, err);

	PQclear(r);
	PQfinish(conn);
	return rc;
}

static enum sov_code
do_check(struct drill *d, struct sov_error *err)
{
	PGconn	   *conn;
	PGresult   *r = NULL;
	enum sov_code rc;

	begin(d);
	conn = connect_to(d, "template1");
	rc = ask(conn, "template1", "SELECT datname, pg_last_xact_replay_timestamp() FROM pg_catalog.pg_database WHERE datallowconn", &r, err);
	if (rc == SOV_OK && PQntuples(r) > 0)
		snprintf(d->recovered_to, sizeof d->recovered_to, "%s", PQgetvalue(r, 0, 1));
	for (int i = 0; rc == SOV_OK && i < PQntuples(r); i++)
		rc = check_database(d, PQgetvalue(r, i, 0), err);
	PQclear(r);
	PQfinish(conn);
	if (rc == SOV_OK)
		end(d, STAGE_CHECK);
	else
		d->keep = true;
	return rc;
}

static enum sov_code
do_amcheck(struct drill *d, struct sov_error *err)
{
	const char *const args[] = {"-h", d->dir, "-p", "5432", "-U", d->user, "--all", "--install-missing", "--heapallindexed", NULL};
	enum sov_code rc;

	if (!d->amcheck)
		return SOV_OK;
	begin(d);
	rc = run_program(d, "pg_amcheck", args, err);
	if (rc == SOV_OK)
		end(d, STAGE_AMCHECK);
	return rc;
}

static enum sov_code
do_query(struct drill *d, struct sov_error *err)
{
	const char *const args[] = {"-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", d->dir, "-p", "5432", "-U", d->user, "-d", d->database, "-f", d->query, NULL};
	char		log[PATH_MAX],
				line[1024];
	enum sov_code rc;
	FILE	   *f;

	if (d->query == NULL)
		return SOV_OK;
	begin(d);
	rc = run_program(d, "psql", args, err);
	if (rc != SOV_OK)
		return rc;
	end(d, STAGE_QUERY);
	snprintf(log, sizeof log, "%.2000s/psql.log", d->dir);
	f = d->json ? NULL : fopen(log, "re");
	while (f && fgets(line, sizeof line, f))
		fputs(line, stdout);
	if (f)
		fclose(f);
	return SOV_OK;
}

static void
stop_server(struct drill *d)
{
	const char *const args[] = {"stop", "-D", d->data, "-m", "immediate", "-w", "-t", "60", NULL};
	struct sov_error ignored;
	bool		keep = d->keep;

	if (d->running)
		(void) run_program(d, "pg_ctl", args, &ignored);
	d->keep = keep;				/* it need not have been running any more */
	d->running = false;
}

/* --- result --- */

static json_t *
result(const struct drill *d, const struct sov_error *err)
{
	json_t	   *stages = json_object(),
			   *without = json_array();
	char		when[64];

	for (int s = 0; s < N_STAGES; s++)
		if (d->done[s])
			json_object_set_new(stages, stage_names[s], json_real(d->seconds[s]));
	for (int i = 0; i < d->opt.n_without; i++)
		json_array_append_new(without, json_string(d->opt.without[i]));
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:o}", "time", cli_time_text(cli_now_us(), when, sizeof when),
					 "passed", err == NULL, "error", err ? err->message : "", "backup", d->res.entry.id,
					 "target_time", d->opt.target_time ? d->opt.target_time : "", "without", without,
					 "files", (json_int_t) d->res.files, "bytes", (json_int_t) d->res.bytes, "fetched", (json_int_t) d->res.fetched, "seconds", stages);
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

	stop_server(d);
	remember(d, rc == SOV_OK ? NULL : err);
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
		rc = do_restore(d, &err);
	if (rc == SOV_OK)
		rc = do_verify(d, &err);
	if (rc == SOV_OK)
		rc = do_recover(d, &err);
	if (rc == SOV_OK)
		rc = do_check(d, &err);
	if (rc == SOV_OK)
		rc = do_amcheck(d, &err);
	if (rc == SOV_OK)
		rc = do_query(d, &err);
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
