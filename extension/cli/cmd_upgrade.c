/*
 * cmd_upgrade.c - the repository goes on with another cluster, the one that pg_upgrade
 * made of the one before: extension/core/repository/clusters.c.
 *
 * Nothing is moved or deleted.  It is a step of its own, never taken by itself, because
 * from here on the cluster before can archive here no more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "pgsource.h"
#include "sov_audit.h"

const char	cmd_upgrade_help[] =
	"pg_sovereign upgrade - go on with the cluster that pg_upgrade made\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] upgrade [--any] [--json]\n\n"
	"pg_upgrade makes a cluster with another system identifier, which a repository refuses\n"
	"until this was run, once, with the new server running and [cluster] naming it.  From then\n"
	"on its WAL and backups go in beside those of before, which stay listed and can be restored\n"
	"with the programs of their own PostgreSQL.  What the first backup finds unchanged is not\n"
	"stored again.  Nothing is moved or deleted; prune keeps by its rules, over all backups.\n\n"
	"The way back, to a cluster that the repository has had, is the same command with that\n"
	"server running.  The step is on record in the audit log.\n\n"
	"Options:\n"
	"  --any   also a server that by its version or the end of its WAL was not made from the\n"
	"          repository's cluster by pg_upgrade, such as one that a dump was loaded into\n"
	"  --json  print a JSON document\n";

/* What the server is, and how far its WAL is. */
static enum sov_code
look_at_server(const char *connection, struct sov_cluster_change *c, struct sov_error *err)
{
	struct pgsource s = {0};
	PGresult   *r;
	unsigned	hi,
				lo;
	enum sov_code rc = pgsource_connect(&s, connection, err);

	if (rc != SOV_OK)
		return rc;
	r = PQexec(s.conn, "SELECT (pg_catalog.pg_control_system()).system_identifier, pg_catalog.pg_is_in_recovery(),"
			   " CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_insert_lsn() END");
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		rc = sov_fail(err, SOV_E_STATE, "connect as a superuser", "the server does not tell its identity: %.300s", PQerrorMessage(s.conn));
	else if (PQgetvalue(r, 0, 1)[0] == 't')
		rc = sov_fail(err, SOV_E_STATE, "run it with the primary", "this server is a standby");
	else if (sscanf(PQgetvalue(r, 0, 2), "%X/%X", &hi, &lo) != 2)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "the server gave no position of its WAL");
	else
	{
		c->system_id = strtoull(PQgetvalue(r, 0, 0), NULL, 10);
		c->lsn = (uint64_t) hi << 32 | lo;
		c->pg_version = (uint32_t) PQserverVersion(s.conn);
	}
	PQclear(r);
	pgsource_close(&s);
	return rc;
}

static int
print_result(const struct sov_cluster_change *c, bool changed, bool json)
{
	char		now[24],
				was[24];

	snprintf(now, sizeof now, "%" PRIu64, c->system_id);
	snprintf(was, sizeof was, "%" PRIu64, c->was);
	if (json)
		return cli_print_json(json_pack("{s:b, s:s, s:i, s:s, s:i}", "changed", changed, "cluster", now, "pg_version", (int) c->pg_version,
										"former_cluster", changed ? was : "", "former_pg_version", changed ? (int) c->was_version : 0));
	if (!changed)
	{
		printf("%s: there is nothing to do\n", c->was ? "the repository goes on with this cluster already" :
			   "the repository has no backup and no WAL of any cluster yet");
		return 0;
	}
	printf("the repository goes on with cluster %s, PostgreSQL %u\n", now, c->pg_version / 10000);
	printf("  what it has of cluster %s stays", was);
	if (c->was_version != 0)
		printf(", and is restored with the programs of PostgreSQL %u", c->was_version / 10000);
	printf("\nrun 'pg_sovereign backup' now: before it the new cluster cannot be restored\n");
	return 0;
}

int
cmd_upgrade(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"any", no_argument, NULL, 'A'}, {"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}};
	struct sov_cluster_change change = {0};
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	bool		json = false;
	enum sov_code rc;
	int			c,
				status;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
		if (c == 'A')
			change.any = true;
		else if (c == 'J')
			json = true;
		else
			return cli_exit_code(SOV_E_USAGE);
	if (optind < argc)
		return cli_usage_error("upgrade", "\"%.40s\" is one argument too many", argv[optind]);
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = look_at_server(cfg.connection, &change, &err);
	if (rc == SOV_OK)
		rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = sov_repo_take_cluster(repo, &change, &err);
	if (repo && rc != SOV_E_EXISTS)
		cli_audit(&cfg, repo, SOV_AUDIT_APPLY, rc, "cluster %" PRIu64 " in the place of %" PRIu64, change.system_id, change.was);
	status = rc == SOV_OK || rc == SOV_E_EXISTS ? print_result(&change, rc == SOV_OK, json) : cli_report(&err);
	cli_close_repository(repo);
	return status;
}
