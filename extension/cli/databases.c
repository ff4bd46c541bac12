/*
 * databases.c - the databases of the cluster that have the extension.
 */
#include "databases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#define RECOVERY_MAX_S 3600

static enum sov_code
server_failed(PGconn *conn, const char *database, struct sov_error *err)
{
	char		text[400];

	snprintf(text, sizeof text, "%s", PQerrorMessage(conn));
	text[strcspn(text, "\n")] = '\0';
	return sov_fail(err, SOV_E_STATE, "connection in [cluster] must name a superuser of a running server", "database %.100s: %s", database, text);
}

static enum sov_code
connect_to(const struct sov_config *cfg, const char *database, PGconn **conn, struct sov_error *err)
{
	const char *const names[] = {"dbname", "dbname", "fallback_application_name", NULL};
	const char *const values[] = {cfg->connection[0] ? cfg->connection : "dbname=postgres", database, "pg_sovereign", NULL};
	const char *const plain[] = {"dbname", "fallback_application_name", NULL};
	const char *const plain_values[] = {values[0], "pg_sovereign", NULL};
	PGresult   *r;

	*conn = database ? PQconnectdbParams(names, values, 1) : PQconnectdbParams(plain, plain_values, 1);
	if (PQstatus(*conn) != CONNECTION_OK)
		return server_failed(*conn, database ? database : "of the connection", err);
	r = PQexec(*conn, "SELECT pg_catalog.set_config('search_path', '', false)");
	PQclear(r);
	return SOV_OK;
}

PGresult *
database_query(struct database *db, const char *sql, int n, const char *const *params, struct sov_error *err)
{
	char		text[2000];
	PGresult   *r;

	snprintf(text, sizeof text, sql, db->schema, db->schema, db->schema);
	r = PQexecParams(db->conn, text, n, NULL, params, NULL, NULL, 0);
	if (PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_COMMAND_OK)
		return r;
	server_failed(db->conn, db->name, err);
	PQclear(r);
	return NULL;
}

static enum sov_code
one(const struct sov_config *cfg, const char *name, enum sov_code (*fn) (void *ctx, struct database *db, struct sov_error *err),
	void *ctx, struct sov_error *err)
{
	struct database db = {.name = name};
	enum sov_code rc = connect_to(cfg, name, &db.conn, err);
	PGresult   *r = NULL;

	if (rc == SOV_OK)
		r = database_query(&db, "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e, pg_catalog.pg_namespace n"
						   " WHERE e.extname = 'pg_sovereign' AND n.oid = e.extnamespace", 0, NULL, err);
	if (r == NULL)
		rc = SOV_E_STATE;
	else if (PQntuples(r) == 1)
	{
		snprintf(db.schema, sizeof db.schema, "%s", PQgetvalue(r, 0, 0));
		rc = fn(ctx, &db, err);
	}
	PQclear(r);
	PQfinish(db.conn);
	return rc;
}

enum sov_code
databases_each(const struct sov_config *cfg, enum sov_code (*fn) (void *ctx, struct database *db, struct sov_error *err),
			   void *ctx, struct sov_error *err)
{
	PGconn	   *conn = NULL;
	PGresult   *r = NULL;
	enum sov_code rc = connect_to(cfg, NULL, &conn, err);

	if (rc == SOV_OK)
	{
		r = PQexec(conn, "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname");
		if (PQresultStatus(r) != PGRES_TUPLES_OK)
			rc = server_failed(conn, "of the connection", err);
	}
	for (int i = 0; rc == SOV_OK && i < PQntuples(r); i++)
		rc = one(cfg, PQgetvalue(r, i, 0), fn, ctx, err);
	PQclear(r);
	PQfinish(conn);
	return rc;
}

enum sov_code
databases_all_open(const struct sov_config *cfg, struct sov_error *err)
{
	PGconn	   *conn = NULL;
	PGresult   *r = NULL;
	enum sov_code rc = connect_to(cfg, NULL, &conn, err);

	if (rc == SOV_OK)
	{
		r = PQexec(conn, "SELECT pg_catalog.quote_ident(datname) FROM pg_catalog.pg_database WHERE NOT datallowconn AND datname OPERATOR(pg_catalog.<>) 'template0' ORDER BY datname LIMIT 1");
		if (PQresultStatus(r) != PGRES_TUPLES_OK)
			rc = server_failed(conn, "of the connection", err);
		else if (PQntuples(r) > 0)
		{
			char		hint[200];

			snprintf(hint, sizeof hint, "ALTER DATABASE %.100s ALLOW_CONNECTIONS true, or drop it", PQgetvalue(r, 0, 0));
			rc = sov_fail(err, SOV_E_STATE, hint, "database %s allows no connections, so which keys it has cannot be seen", PQgetvalue(r, 0, 0));
		}
	}
	PQclear(r);
	PQfinish(conn);
	return rc;
}

/* *standby: its recovery never ends. */
static enum sov_code
ask_recovery(PGconn *conn, bool *recovers, bool *standby, struct sov_error *err)
{
	PGresult   *r = PQexec(conn, "SELECT pg_catalog.pg_is_in_recovery(), (pg_catalog.pg_stat_file('standby.signal', true)).size IS NOT NULL");
	enum sov_code rc = PQresultStatus(r) == PGRES_TUPLES_OK ? SOV_OK : server_failed(conn, "of the connection", err);

	*recovers = rc == SOV_OK && PQgetvalue(r, 0, 0)[0] == 't';
	*standby = rc == SOV_OK && PQgetvalue(r, 0, 1)[0] == 't';
	PQclear(r);
	return rc;
}

enum sov_code
databases_wait(const struct sov_config *cfg, struct sov_error *err)
{
	const struct timespec pause = {.tv_nsec = 500000000};
	PGconn	   *conn = NULL;
	bool		recovers = true,
				standby = false;
	enum sov_code rc = connect_to(cfg, NULL, &conn, err);

	for (int i = 0; rc == SOV_OK && recovers; i++)
	{
		rc = ask_recovery(conn, &recovers, &standby, err);
		if (rc != SOV_OK || !recovers)
			break;
		if (standby)
			rc = sov_fail(err, SOV_E_STATE, "run it at the primary, or after promotion", "this server is a standby, which nothing can be written to");
		else if (i == 2 * RECOVERY_MAX_S)
			rc = sov_fail(err, SOV_E_STATE, "run it again when SELECT pg_is_in_recovery() says f; SELECT pg_wal_replay_resume() ends a pause", "the server still recovers");
		else if (i == 0)
			cli_note("the server still recovers: waiting until it has");
		nanosleep(&pause, NULL);
	}
	PQfinish(conn);
	return rc;
}
