/*
 * binary_client.c - libpq with binary parameters and results.  Argument: a
 * connection string.  Prints TAP lines without a plan.
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TEXTOID 25
#define INT4OID 23
#define DATEOID 1082

static void
ok(bool condition, const char *name)
{
	printf("%s - libpq: %s\n", condition ? "ok" : "not ok", name);
}

static int32_t
int4(const PGresult *r, int column)
{
	int32_t		v;

	memcpy(&v, PQgetvalue(r, 0, column), 4);
	return (int32_t) ntohl((uint32_t) v);
}

int
main(int argc, char **argv)
{
	PGconn	   *con = PQconnectdb(argc > 1 ? argv[1] : "");
	int32_t		five = (int32_t) htonl((uint32_t) -5),
				day = (int32_t) htonl((uint32_t) -1);	/* 1999-12-31 */
	const char *values[3] = {"Martin", (const char *) &five, (const char *) &day};
	int			lengths[3] = {6, 4, 4},
				binary[3] = {1, 1, 1};
	Oid			typed[3] = {TEXTOID, INT4OID, DATEOID},
				untyped[3] = {0, 0, 0};
	PGresult   *r;

	r = PQexecParams(con, "INSERT INTO client (id, a, d, f) VALUES (1, $1, $2, $3)", 3, typed, values, lengths, binary, 1);
	ok(PQresultStatus(r) == PGRES_COMMAND_OK, "binary parameters of the base types go in");
	PQclear(r);
	r = PQexecParams(con, "INSERT INTO client (id, a, d, f) VALUES (2, $1 || 'x', $2, $3)", 3, untyped, values, lengths, binary, 1);
	ok(PQresultStatus(r) == PGRES_COMMAND_OK, "so do untyped ones");
	PQclear(r);
	r = PQexecParams(con, "SELECT a, d, f FROM client WHERE a = $1 AND d = $2 AND f = $3", 3, typed, values, lengths, binary, 1);
	ok(PQntuples(r) == 1 && PQftype(r, 0) == TEXTOID && PQftype(r, 1) == INT4OID && PQftype(r, 2) == DATEOID, "results have the base types");
	ok(PQntuples(r) == 1 && strcmp(PQgetvalue(r, 0, 0), "Martin") == 0 && int4(r, 1) == -5 && int4(r, 2) == -1, "and their binary form");
	PQclear(r);
	r = PQexecParams(con, "SELECT d FROM client WHERE id = 2 AND a = 'Martinx'", 0, NULL, NULL, NULL, NULL, 1);
	ok(PQntuples(r) == 1 && int4(r, 0) == -5, "the untyped parameter was taken as int4");
	PQclear(r);
	r = PQprepare(con, "p", "SELECT a FROM client WHERE d = $1", 0, NULL);
	PQclear(r);
	r = PQdescribePrepared(con, "p");
	ok(PQnfields(r) == 1 && PQftype(r, 0) == TEXTOID, "a prepared statement is described with the base type");
	PQclear(r);
	PQclear(PQexec(con, "DELETE FROM client"));
	PQfinish(con);
	return 0;
}
