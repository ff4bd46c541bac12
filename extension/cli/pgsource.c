/*
 * pgsource.c - pg_backup_start and pg_backup_stop over one libpq connection.
 *
 * A non-exclusive backup belongs to its session: when the command dies, the
 * server ends it.
 */
#include "pgsource.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgpage.h"

#define OLDEST 150000
#define NEWEST 189999

/* The server's message, one line. */
static enum sov_code
server_failed(struct pgsource *s, const char *what, struct sov_error *err)
{
	char		text[500];

	snprintf(text, sizeof text, "%s", PQerrorMessage(s->conn));
	text[strcspn(text, "\n")] = '\0';
	return sov_fail(err, SOV_E_STATE, NULL, "%s: %s", what, text);
}

static PGresult *
query(struct pgsource *s, const char *sql, int n, const char *const *params, const char *what, struct sov_error *err)
{
	PGresult   *r = PQexecParams(s->conn, sql, n, NULL, params, NULL, NULL, 0);

	if (PQresultStatus(r) == PGRES_TUPLES_OK)
		return r;
	server_failed(s, what, err);
	PQclear(r);
	return NULL;
}

static uint64_t
parse_lsn(const char *text)
{
	uint32_t	hi = 0,
				lo = 0;

	if (sscanf(text, "%" SCNx32 "/%" SCNx32, &hi, &lo) != 2)
		return 0;
	return (uint64_t) hi << 32 | lo;
}

/* The server's notices ("all required WAL segments have been archived") are not
 * for our standard error. */
static void
no_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

enum sov_code
pgsource_connect(struct pgsource *s, const char *connection, struct sov_error *err)
{
	const char *const names[] = {"dbname", "fallback_application_name", NULL};
	const char *const values[] = {connection[0] ? connection : "dbname=postgres", "pg_sovereign", NULL};
	PGresult   *r;
	enum sov_code rc;

	memset(s, 0, sizeof *s);
	s->conn = PQconnectdbParams(names, values, 1);
	if (PQstatus(s->conn) != CONNECTION_OK)
	{
		rc = server_failed(s, "could not connect to the server", err);
		if (err)
			snprintf(err->hint, sizeof err->hint, "start the server, or correct connection in [cluster]");
		return rc;
	}
	if (PQserverVersion(s->conn) < OLDEST || PQserverVersion(s->conn) > NEWEST)
		return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "server version %d is not supported; 15 to 18 are", PQserverVersion(s->conn) / 10000);
	PQsetNoticeProcessor(s->conn, no_notice, NULL);
	/* Nothing of ours may look different because of the role's settings, nor call what a
	 * database's owner has put before the server's own functions (ALTER DATABASE SET search_path). */
	r = query(s, "SELECT pg_catalog.set_config('search_path', '', false), pg_catalog.set_config('statement_timeout', '0', false),"
			  " pg_catalog.set_config('lock_timeout', '0', false), pg_catalog.set_config('DateStyle', 'ISO', false), pg_catalog.current_setting('data_directory')",
			  0, NULL, "could not prepare the session", err);
	if (r == NULL)
		return SOV_E_STATE;
	snprintf(s->data_directory, sizeof s->data_directory, "%s", PQgetvalue(r, 0, 4));
	PQclear(r);
	return SOV_OK;
}

void
pgsource_close(struct pgsource *s)
{
	PQfinish(s->conn);
	s->conn = NULL;
}

static enum sov_code
read_info(struct pgsource *s, struct sov_source_info *info, struct sov_error *err)
{
	PGresult   *r = query(s, "SELECT (pg_control_system()).system_identifier, (pg_control_system()).catalog_version_no,"
						  " current_setting('block_size'), (pg_control_init()).bytes_per_wal_segment,"
						  " current_setting('data_checksums'), (pg_control_init()).blocks_per_segment,"
						  " current_setting('archive_mode'), pg_is_in_recovery()",
						  0, NULL, "could not read the cluster's properties", err);
	bool		archiving,
				standby;

	if (r == NULL)
		return SOV_E_STATE;
	info->system_id = strtoull(PQgetvalue(r, 0, 0), NULL, 10);
	info->catalog_version = (uint32_t) strtoul(PQgetvalue(r, 0, 1), NULL, 10);
	info->block_size = (uint32_t) strtoul(PQgetvalue(r, 0, 2), NULL, 10);
	info->wal_segment_size = (uint32_t) strtoul(PQgetvalue(r, 0, 3), NULL, 10);
	info->checksums = strcmp(PQgetvalue(r, 0, 4), "on") == 0;
	info->pg_version = (uint32_t) PQserverVersion(s->conn);
	archiving = strcmp(PQgetvalue(r, 0, 6), "off") != 0;
	standby = PQgetvalue(r, 0, 7)[0] == 't';
	if (info->block_size != pgpage_block_size() || strtoul(PQgetvalue(r, 0, 5), NULL, 10) != pgpage_segment_pages())
	{
		PQclear(r);
		return sov_fail(err, SOV_E_UNSUPPORTED, "build pg_sovereign against this server's pg_config",
						"the server was built with another block or segment size than this program");
	}
	PQclear(r);
	info->standby = standby;
	if (!archiving && !standby)
		return sov_fail(err, SOV_E_STATE, "set archive_mode = on and archive_library = 'pg_sovereign', and restart the server",
						"archive_mode is off: a backup without its WAL cannot be restored");
	return SOV_OK;
}

static enum sov_code
read_tablespaces(struct pgsource *s, struct sov_source_info *info, struct sov_error *err)
{
	/* Those without a location of their own lie in PGDATA. */
	PGresult   *r = query(s, "SELECT oid, pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace"
						  " WHERE pg_tablespace_location(oid) LIKE '/%' ORDER BY oid", 0, NULL, "could not list tablespaces", err);

	if (r == NULL)
		return SOV_E_STATE;
	info->tablespaces = calloc((size_t) PQntuples(r) + 1, sizeof *info->tablespaces);
	if (info->tablespaces == NULL)
	{
		PQclear(r);
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	for (int i = 0; i < PQntuples(r); i++)
	{
		info->tablespaces[i].oid = (uint32_t) strtoul(PQgetvalue(r, i, 0), NULL, 10);
		snprintf(info->tablespaces[i].path, sizeof info->tablespaces[i].path, "%s", PQgetvalue(r, i, 1));
	}
	info->n_tablespaces = (uint32_t) PQntuples(r);
	PQclear(r);
	return SOV_OK;
}

/* For restores of chosen databases. */
static enum sov_code
read_databases(struct pgsource *s, struct sov_source_info *info, struct sov_error *err)
{
	PGresult   *r = query(s, "SELECT oid, datname FROM pg_catalog.pg_database ORDER BY oid", 0, NULL, "could not list databases", err);

	if (r == NULL)
		return SOV_E_STATE;
	info->databases = calloc((size_t) PQntuples(r) + 1, sizeof *info->databases);
	for (int i = 0; info->databases && i < PQntuples(r); i++)
	{
		info->databases[i].oid = (uint32_t) strtoul(PQgetvalue(r, i, 0), NULL, 10);
		snprintf(info->databases[i].name, sizeof info->databases[i].name, "%s", PQgetvalue(r, i, 1));
		info->n_databases++;
	}
	PQclear(r);
	return info->databases ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

static enum sov_code
source_start(void *ctx, const char *label, bool fast, struct sov_source_info *info, struct sov_error *err)
{
	struct pgsource *s = ctx;
	const char *params[2] = {label && label[0] ? label : "pg_sovereign", fast ? "true" : "false"};
	PGresult   *r;
	enum sov_code rc = read_info(s, info, err);

	if (rc != SOV_OK)
		return rc;
	r = query(s, "SELECT pg_backup_start($1, $2::bool)", 2, params, "pg_backup_start failed", err);
	if (r == NULL)
		return SOV_E_STATE;
	info->start_lsn = parse_lsn(PQgetvalue(r, 0, 0));
	PQclear(r);
	r = query(s, "SELECT redo_lsn, timeline_id FROM pg_control_checkpoint()", 0, NULL, "could not read the checkpoint", err);
	if (r == NULL)
		return SOV_E_STATE;
	info->redo_lsn = parse_lsn(PQgetvalue(r, 0, 0));
	info->timeline = (uint32_t) strtoul(PQgetvalue(r, 0, 1), NULL, 10);
	PQclear(r);
	rc = read_tablespaces(s, info, err);
	return rc == SOV_OK ? read_databases(s, info, err) : rc;
}

static enum sov_code
source_stop(void *ctx, uint64_t *stop_lsn, struct sov_buf *backup_label, struct sov_buf *tablespace_map, struct sov_error *err)
{
	struct pgsource *s = ctx;
	/* A standby would wait for an archiver of its own. */
	PGresult   *r = query(s, "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(NOT pg_is_in_recovery())",
						  0, NULL, "pg_backup_stop failed", err);

	if (r == NULL)
		return SOV_E_STATE;
	*stop_lsn = parse_lsn(PQgetvalue(r, 0, 0));
	sov_write_bytes(backup_label, PQgetvalue(r, 0, 1), strlen(PQgetvalue(r, 0, 1)));
	sov_write_bytes(tablespace_map, PQgetvalue(r, 0, 2), strlen(PQgetvalue(r, 0, 2)));
	PQclear(r);
	return backup_label->bad || tablespace_map->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

static bool
source_page_ok(void *ctx, const uint8_t *page, uint32_t block)
{
	(void) ctx;
	return pgpage_ok(page, block);
}

static uint64_t
source_page_lsn(void *ctx, const uint8_t *page)
{
	(void) ctx;
	return pgpage_lsn(page);
}

void
pgsource_callbacks(struct pgsource *s, struct sov_source *source)
{
	source->start = source_start;
	source->stop = source_stop;
	source->page_ok = source_page_ok;
	source->page_lsn = source_page_lsn;
	source->ctx = s;
}
