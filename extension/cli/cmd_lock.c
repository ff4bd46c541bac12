/*
 * cmd_lock.c - takes the keys away from a server, and lets it borrow them again.
 *
 * The SQL functions lock() and unlock() do it, for all databases; so any database that has
 * the extension will do, and they are tried in turn.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const char	cmd_lock_help[] =
	"pg_sovereign lock - take the keys of encrypted columns away from the server\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] lock\n\n"
	"Connects as [cluster] connection says, as a superuser or a member of\n"
	"sovereign_operator, and calls lock(): for all databases, at once.  Queries that\n"
	"need keys fail until \"pg_sovereign unlock --server\" (SELECT SCHEMA.unlock()).  The\n"
	"library must be in shared_preload_libraries.  Each server, so each standby, is locked\n"
	"by itself.\n";

static enum sov_code
failed(PGconn *conn, const char *what, struct sov_error *err)
{
	char		text[500];

	snprintf(text, sizeof text, "%s", PQerrorMessage(conn));
	text[strcspn(text, "\n")] = '\0';
	return sov_fail(err, SOV_E_STATE, "start the server, or correct connection in [cluster]", "%s: %s", what, text);
}

/* database: NULL for that of the configuration. */
static PGconn *
connect_to(const struct sov_config *cfg, const char *database, struct sov_error *err)
{
	const char *const names[] = {"dbname", "fallback_application_name", database ? "dbname" : NULL, NULL};
	const char *const values[] = {cfg->connection[0] ? cfg->connection : "dbname=postgres", "pg_sovereign", database, NULL};
	PGconn	   *conn = PQconnectdbParams(names, values, 1);

	if (PQstatus(conn) == CONNECTION_OK)
	{
		/* whatever a database's owner has set for it */
		PQclear(PQexec(conn, "SELECT pg_catalog.set_config('search_path', '', false)"));
		return conn;
	}
	failed(conn, "could not connect to the server", err);
	PQfinish(conn);
	return NULL;
}

static PGresult *
query(PGconn *conn, const char *sql, struct sov_error *err)
{
	PGresult   *r = PQexec(conn, sql);

	if (PQresultStatus(r) == PGRES_TUPLES_OK)
		return r;
	failed(conn, "the server says", err);
	PQclear(r);
	return NULL;
}

#define OF_EXTENSION " FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_sovereign'"

/* SOV_E_NOTFOUND where the extension is not in this database. */
static enum sov_code
lock_by(PGconn *conn, bool lock, struct sov_error *err)
{
	PGresult   *r = query(conn, lock ? "SELECT pg_catalog.format('SELECT %I.lock()', n.nspname)" OF_EXTENSION : "SELECT pg_catalog.format('SELECT %I.unlock()', n.nspname)" OF_EXTENSION, err);
	char	   *sql;

	if (r == NULL)
		return err->code;
	if (PQntuples(r) == 0)
	{
		PQclear(r);
		return sov_fail(err, SOV_E_NOTFOUND, "CREATE EXTENSION pg_sovereign in one of them", "no database of this server has the extension");
	}
	sql = strdup(PQgetvalue(r, 0, 0));
	PQclear(r);
	r = sql ? query(conn, sql, err) : NULL;
	if (sql == NULL)
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	free(sql);
	if (r == NULL)
		return err->code;
	PQclear(r);
	return SOV_OK;
}

static enum sov_code
lock_server(const struct sov_config *cfg, bool lock, struct sov_error *err)
{
	PGconn	   *first = connect_to(cfg, NULL, err);
	PGresult   *databases;
	enum sov_code rc;

	if (first == NULL)
		return err->code;
	rc = lock_by(first, lock, err);
	databases = rc == SOV_E_NOTFOUND ? query(first, "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datname <> pg_catalog.current_database()", err) : NULL;
	for (int i = 0; databases != NULL && i < PQntuples(databases) && rc == SOV_E_NOTFOUND; i++)
	{
		PGconn	   *conn = connect_to(cfg, PQgetvalue(databases, i, 0), err);

		if (conn != NULL)
			rc = lock_by(conn, lock, err);
		PQfinish(conn);
	}
	PQclear(databases);
	PQfinish(first);
	return rc;
}

int
cli_lock_server(const struct cli_context *ctx, bool lock)
{
	static struct sov_config cfg;
	struct sov_error err;

	/* works without the root key, and wherever it lies */
	if (sov_config_read(sov_config_path(ctx->config_option), 0, &cfg, &err) != SOV_OK || lock_server(&cfg, lock, &err) != SOV_OK)
		return cli_report(&err);
	printf(lock ? "the keys have left the server\n" : "the server may borrow keys again\n");
	return 0;
}

int
cmd_lock(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{NULL, 0, NULL, 0}};

	if (cli_getopt(argc, argv, "", longs) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (optind < argc)
		return cli_usage_error("lock", "\"%.40s\" is one argument too many", argv[optind]);
	return cli_lock_server(ctx, true);
}
