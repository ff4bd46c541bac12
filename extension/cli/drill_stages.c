/*
 * drill_stages.c - the stages of a drill: the restore, the server's own programs, and
 * the server that nobody else reaches.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "drill.h"
#include "sov_bytes.h"
#include "sov_crypto.h"

const char *const drill_stage_names[N_STAGES] = {"restore", "verify", "recover", "check", "amcheck", "query"};

static void
begin(struct drill *d)
{
	d->started = cli_now_us();
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

/* --- questions to the server --- */

static PGconn *
connect_to(const struct drill *d, const char *database)
{
	const char *const names[] = {"host", "port", "user", "dbname", "fallback_application_name", NULL};
	const char *const values[] = {d->dir, "5432", d->user, database, "pg_sovereign drill", NULL};
	PGconn	   *conn = PQconnectdbParams(names, values, 0);

	/* whatever the owner of the restored database had set for it: we are a superuser there */
	PQclear(PQexec(conn, "SELECT pg_catalog.set_config('search_path', '', false)"));
	return conn;
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

/* One number that the restored server tells, or 0. */
static uint64_t
ask_number(const struct drill *d, const char *sql)
{
	PGconn	   *conn = connect_to(d, "template1");
	PGresult   *r = NULL;
	struct sov_error ignored;
	uint64_t	n = 0;

	if (ask(conn, "template1", sql, &r, &ignored) == SOV_OK && PQntuples(r) == 1)
		n = strtoull(PQgetvalue(r, 0, 0), NULL, 10);
	PQclear(r);
	PQfinish(conn);
	return n;
}

/*
 * The pages that the server's sessions have looked at since this was last asked, in
 * bytes.  A session counts when it ends, which is shortly after its client's end.
 */
static uint64_t
pages_read(struct drill *d)
{
	uint64_t	before = d->pages_read;

	for (int i = 0; i < 40 && ask_number(d, "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()") > 0; i++)
		usleep(25000);
	d->pages_read = ask_number(d, "SELECT sum(blks_read + blks_hit)::bigint * pg_catalog.current_setting('block_size')::bigint FROM pg_catalog.pg_stat_database");
	return d->pages_read > before ? d->pages_read - before : 0;
}

/* --- stages --- */

/* The clock stops before the server is asked for its pages. */
static void
end(struct drill *d, enum stage s, uint64_t bytes)
{
	static const char *const did[N_STAGES] = {"written", "read", "of WAL replayed", "read", "read", "read"};

	d->seconds[s] = (double) (cli_now_us() - d->started) / 1e6;
	d->bytes[s] = s >= STAGE_CHECK ? pages_read(d) : bytes;
	d->done[s] = true;
	if (!d->json)
	{
		printf("  %-8s %8.1f s %10.1f MB %s\n", drill_stage_names[s], d->seconds[s], (double) d->bytes[s] / 1e6, did[s]);
		fflush(stdout);
	}
}

enum sov_code
drill_restore(struct drill *d, struct sov_error *err)
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
		d->opt.chosen = drill_check_programs;
		d->opt.ctx = d;
		progress = cli_progress_start("drill: restore");
		rc = sov_restore_run(repo, &d->opt, progress, &d->res, err);
		cli_progress_stop();
	}
	sov_repo_close(repo);
	if (rc == SOV_OK)
		end(d, STAGE_RESTORE, d->res.bytes);
	return rc;
}

enum sov_code
drill_verify(struct drill *d, struct sov_error *err)
{
	const char *const args[] = {"-n", "-q", "-e", d->data, NULL};
	enum sov_code rc;

	begin(d);
	rc = run_program(d, "pg_verifybackup", args, err);
	if (rc == SOV_OK)
		end(d, STAGE_VERIFY, d->res.bytes);
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
			 " -c max_prepared_transactions=1000 -c synchronous_standby_names= -c sovereign.config_file=%.1000s",
			 d->dir, d->dir, d->cfg.file);
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

enum sov_code
drill_recover(struct drill *d, struct sov_error *err)
{
	char		options[8192],
				sql[200],
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
	{
		snprintf(sql, sizeof sql, "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '%X/%X')::bigint",
				 (unsigned) (d->res.entry.start_lsn >> 32), (unsigned) d->res.entry.start_lsn);
		end(d, STAGE_RECOVER, ask_number(d, sql));
		(void) pages_read(d);
	}
	return rc;
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

enum sov_code
drill_check(struct drill *d, struct sov_error *err)
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
		end(d, STAGE_CHECK, 0);
	else
		d->keep = true;
	return rc;
}

enum sov_code
drill_amcheck(struct drill *d, struct sov_error *err)
{
	const char *const args[] = {"-h", d->dir, "-p", "5432", "-U", d->user, "--all", "--install-missing", "--heapallindexed", NULL};
	enum sov_code rc;

	if (!d->amcheck)
		return SOV_OK;
	begin(d);
	rc = run_program(d, "pg_amcheck", args, err);
	if (rc == SOV_OK)
		end(d, STAGE_AMCHECK, 0);
	return rc;
}

/* Who asks what was asked for may read everything, past row security too, and nothing
 * else: as the superuser that we are he would run, with all rights of the server's user, the
 * functions that owners of tables and databases have put behind these names. */
static enum sov_code
make_reader(const struct drill *d, char *role, size_t cap, struct sov_error *err)
{
	uint8_t		random[8];
	char		hex[2 * sizeof random + 1],
				sql[600];
	PGconn	   *conn = connect_to(d, "template1");
	char	   *database = PQescapeIdentifier(conn, d->database, strlen(d->database));
	PGresult   *r = NULL;
	enum sov_code rc = sov_random(random, sizeof random, err);

	sov_hex(hex, random, sizeof random);
	snprintf(role, cap, "sovereign_drill_%s", hex);
	snprintf(sql, sizeof sql, "BEGIN READ WRITE; CREATE ROLE %s LOGIN BYPASSRLS; GRANT pg_read_all_data TO %s; GRANT CONNECT ON DATABASE %.300s TO %s; COMMIT; SELECT 1",
			 role, role, database ? database : "?", role);
	if (rc == SOV_OK)
		rc = ask(conn, "template1", sql, &r, err);
	PQclear(r);
	PQfreemem(database);
	PQfinish(conn);
	return rc;
}

enum sov_code
drill_query(struct drill *d, struct sov_error *err)
{
	char		reader[64];
	const char *const args[] = {"-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", d->dir, "-p", "5432", "-U", d->query_user ? d->query_user : reader, "-d", d->database, "-f", d->query, NULL};
	char		log[PATH_MAX],
				line[1024];
	enum sov_code rc;
	FILE	   *f;

	if (d->query == NULL)
		return SOV_OK;
	begin(d);
	rc = d->query_user ? SOV_OK : make_reader(d, reader, sizeof reader, err);
	if (rc == SOV_OK)
		rc = run_program(d, "psql", args, err);
	if (rc != SOV_OK)
		return rc;
	end(d, STAGE_QUERY, 0);
	snprintf(log, sizeof log, "%.2000s/psql.log", d->dir);
	f = d->json ? NULL : fopen(log, "re");
	while (f && fgets(line, sizeof line, f))
		fputs(line, stdout);
	if (f)
		fclose(f);
	return SOV_OK;
}

void
drill_stop_server(struct drill *d)
{
	const char *const args[] = {"stop", "-D", d->data, "-m", "immediate", "-w", "-t", "60", NULL};
	struct sov_error ignored;
	bool		keep = d->keep;

	if (d->running)
		(void) run_program(d, "pg_ctl", args, &ignored);
	d->keep = keep;				/* it need not have been running any more */
	d->running = false;
}
