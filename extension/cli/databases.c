/*
 * databases.c - the databases of the cluster that have the extension.
 */
#include "databases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
