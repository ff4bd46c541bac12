/*
 * cmd_check.c - everything that a backup will need, as a checklist.
 *
 * Each line is one thing, tried for real: what is not tried is not ticked.  What works
 * and yet does not do what one may take it for is neither ok nor a failure, but a note.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "cli.h"
#include "sov_policy.h"
#include "sov_repo.h"

const char	cmd_check_help[] =
	"pg_sovereign check - try everything that a backup will need\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] check [--no-archive] [--timeout SECONDS]\n\n"
	"A checklist: root key, every provider (writes, reads back and removes a small\n"
	"object), the repository's state, what is owed, the server's settings, and archiving: a WAL\n"
	"segment is closed and must arrive at the providers.  \"note\" is no failure: it says\n"
	"what was left out, or what is not as it looks.\n\n"
	"Options:\n"
	"  --no-archive        leave the archiving round trip out\n"
	"  --timeout SECONDS   how long to wait for the segment (default 60)\n";

struct checklist
{
	int			failed,
				notes;
	enum sov_code first;		/* decides the exit status */
};

static void __attribute__((format(printf, 4, 5)))
tick(struct checklist *c, bool good, const char *hint, const char *fmt, ...)
{
	va_list		ap;

	printf(good ? "  ok    " : "  FAIL  ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!good && hint && hint[0])
		printf("        hint: %s\n", hint);
	if (!good)
	{
		c->failed++;
		if (c->first == SOV_OK)
			c->first = SOV_E_STATE;
	}
	fflush(stdout);
}

static void __attribute__((format(printf, 3, 4)))
note(struct checklist *c, const char *hint, const char *fmt, ...)
{
	va_list		ap;

	printf("  note  ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (hint)
		printf("        hint: %s\n", hint);
	c->notes++;
	fflush(stdout);
}

static void
tick_rc(struct checklist *c, enum sov_code rc, const struct sov_error *err, const char *what)
{
	if (rc == SOV_OK)
		tick(c, true, NULL, "%s", what);
	else
	{
		if (c->first == SOV_OK)
			c->first = rc;
		tick(c, false, err->hint, "%s: %s", what, err->message);
	}
}

/* --- policy --- */

static void
check_policy(struct checklist *c, const struct sov_config *cfg)
{
	struct sov_policy_report report;
	struct sov_error err;
	enum sov_code rc = sov_policy_check(cfg, &report, &err);

	if (rc != SOV_OK)
		tick_rc(c, rc, &err, "policy");
	for (int i = 0; i < report.n; i++)
	{
		const struct sov_violation *v = &report.violations[i];

		if (v->drained)
			note(c, NULL, "policy: provider %s is being left, and breaks a rule meanwhile: %s",
				 cfg->providers[v->provider].name, v->message + strlen("policy "));
		else
		{
			if (c->first == SOV_OK)
				c->first = SOV_E_CONFIG;
			tick(c, false, v->hint, "%s", v->message);
		}
	}
	if (rc == SOV_OK && report.asked && sov_policy_refusal(&report) == NULL)
		tick(c, true, NULL, "policy: every rule holds");
}

/* --- providers --- */

#define CARRY_OUT "'pg_sovereign plan' shows what would move, 'pg_sovereign apply' moves it"

static void
check_provider(struct checklist *c, struct sov_repo *repo, int i)
{
	const struct sov_repo_provider *p = &repo->providers[i];
	struct sov_error err;
	char		what[200];
	bool		kept;
	enum sov_code rc = sov_repo_try_provider(repo, i, &kept, &err);
	struct sov_debt debt;

	snprintf(what, sizeof what, "provider %s: write, read back, %s%s", p->cfg->name,
			 kept ? "no removing: prune where that is allowed" : "remove", p->fresh ? "" : " (in the repository)");
	tick_rc(c, rc, &err, what);
	if (rc == SOV_OK && p->fresh)
		note(c, CARRY_OUT, "provider %s holds nothing yet", p->cfg->name);
	else if (p->cfg->state == SOV_PROVIDER_DRAIN)
		note(c, CARRY_OUT, "provider %s is to be left (state = drain)", p->cfg->name);
	rc = sov_repo_debt(&repo->cfg, p->cfg->name, &debt, &err);
	if (rc != SOV_OK)
		tick_rc(c, rc, &err, "what is owed");
	else if (debt.objects > 0)
		tick(c, false, "it is delivered when the provider answers: 'pg_sovereign repair' does it now",
			 "provider %s is owed %" PRIu64 " objects (%.1f MB in the spool)", p->cfg->name,
			 debt.objects, (double) debt.bytes / 1e6);
}

/* Who holds shards and is not there; NULL: it is, or its own line says why not. */
static const char *
what_became_of(const struct sov_repo *repo, const struct sov_map_slot *pos)
{
	if (sov_repo_provider_of(repo, pos->uuid) >= 0)
		return NULL;
	for (int i = 0; i < repo->n_providers; i++)
		if (strcmp(repo->providers[i].cfg->name, pos->alias) == 0)
			return repo->providers[i].down ? NULL : "has been emptied, or was given another place";
	return "is not configured";
}

/* What is stored is not always what the configuration says. */
static void
check_map(struct checklist *c, const struct sov_repo *repo)
{
	const struct sov_map *map = &repo->admin.map;

	for (int p = 0; p < map->n; p++)
		if (what_became_of(repo, &map->pos[p]) != NULL)
			tick(c, false, "configure it as it was, or another one in its place: " CARRY_OUT, "provider %s has the shards of position %d, and %s",
				 map->pos[p].alias, p, what_became_of(repo, &map->pos[p]));
	if (map->k != repo->cfg.needed || map->n != repo->cfg.shards)
		note(c, CARRY_OUT, "any %d of %d providers restore what is stored; the configuration says %d of %d", map->k, map->n, repo->cfg.needed, repo->cfg.shards);
}

/* --- backups --- */

static void
check_backups(struct checklist *c, struct sov_repo *repo)
{
	struct sov_catalogue cat;
	struct sov_error err;
	enum sov_code rc = sov_repo_catalogue(repo, &cat, &err);
	const struct sov_backup_entry *newest = NULL;
	char		when[64];

	if (rc != SOV_OK)
	{
		tick_rc(c, rc, &err, "list of backups");
		return;
	}
	for (uint32_t i = 0; i < cat.n; i++)
		if (newest == NULL || cat.backups[i].stop_us > newest->stop_us)
			newest = &cat.backups[i];
	if (newest == NULL)
		note(c, "run 'pg_sovereign backup'", "there is no backup yet: nothing can be restored");
	else if (newest->bad_pages > 0)
		note(c, "'pg_sovereign backup' names them by file and block", "newest backup %s of %s, in which %" PRIu64 " pages were damaged at the server",
			 newest->id, cli_time_text((int64_t) newest->stop_us, when, sizeof when), (uint64_t) newest->bad_pages);
	else
		tick(c, true, NULL, "newest backup %s of %s", newest->id, cli_time_text((int64_t) newest->stop_us, when, sizeof when));
	sov_catalogue_free(&cat);
}

/* --- who reads --- */

/* A write-only host that could read is not one. */
static void
check_write_only(struct checklist *c, const struct sov_config *cfg, const struct sov_keyring_info *ring)
{
	bool		pair = sov_keyring_content(ring) != NULL;

	if (sov_keyring_has(ring, SOV_DOMAIN_REPOSITORY, SOV_KEY_CONTENT))
		tick(c, false, "run 'pg_sovereign key write-only' once, where [custody] names \"content\"",
			 "host = write-only, but the root key of this host opens the content key: nothing is written until it does not");
	else if (cfg->content[0] != '\0')
		tick(c, false, "take the line \"content\" out of [custody] on this host, and see that nobody here reaches that custodian",
			 "host = write-only, but line %d of %s names the custodian of the private content key", cfg->content_line, cfg->file);
	else
		tick(c, pair, NULL, "write-only host: it has no key to what it stores");
}

static void
check_reading(struct checklist *c, const struct sov_config *cfg, struct sov_repo *repo)
{
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	const struct sov_keyring_kek *content;
	struct sov_error err;
	enum sov_code rc = ring ? sov_repo_keyring_info(repo, ring, &err) : sov_fail(&err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc != SOV_OK)
		tick_rc(c, rc, &err, "keyring");
	else if (cfg->write_only)
		check_write_only(c, cfg, ring);
	else if ((content = sov_keyring_content(ring)) != NULL && cfg->content[0] == '\0')
		note(c, "say \"host = write-only\" in [repository] if it is to be so", "content is sealed to a public key: this host cannot restore (%s can)", content->custodian);
	else if (content != NULL)
		tick_rc(c, sov_repo_may_read(repo, &err), &err, "content custodian: the private content key opens");
	else if (cfg->content[0] != '\0')
		tick(c, false, "run 'pg_sovereign key write-only', or take the line out", "line %d of %s names a content custodian, but the repository is not sealed to a public key", cfg->content_line, cfg->file);
	free(ring);
}

/* --- server --- */

static bool
query_one(PGconn *conn, const char *sql, char *dst, size_t cap)
{
	PGresult   *r = PQexec(conn, sql);
	bool		good = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1;

	snprintf(dst, cap, "%s", good ? PQgetvalue(r, 0, 0) : PQerrorMessage(conn));
	if (!good)
		dst[strcspn(dst, "\n")] = '\0';
	PQclear(r);
	return good;
}

static void
check_directory(struct checklist *c, PGconn *conn, const struct sov_config *cfg)
{
	char		v[1200],
				real_cfg[4096],
				real_server[4096];
	bool		same;

	if (cfg->data_directory[0] == '\0')
		tick(c, false, "add data-directory = /path to [cluster]", "data directory: none is configured, and a backup reads it");
	else if (!query_one(conn, "SHOW data_directory", v, sizeof v))
		tick(c, false, "the role needs pg_read_all_settings", "data directory: the server's cannot be read: %s", v);
	else
	{
		same = realpath(cfg->data_directory, real_cfg) && realpath(v, real_server) && strcmp(real_cfg, real_server) == 0;
		tick(c, same, "correct data-directory in [cluster]", "data directory %s%s%s", cfg->data_directory,
			 same ? "" : " is not the server's: ", same ? "" : v);
		tick(c, access(cfg->data_directory, R_OK | X_OK) == 0, "run the command as the user that runs the server",
			 "data directory can be read");
	}
}

/* Whatever starts by itself is started by the worker. */
static void
check_worker(struct checklist *c, PGconn *conn, const struct sov_config *cfg)
{
	char		v[1200];
	bool		wanted = cfg->auto_apply,
				there;

	for (int i = 0; i < SOV_DUE_N; i++)
		wanted = wanted || cfg->schedule[i].kind != SOV_NEVER;
	if (!wanted)
		return;
	if (!query_one(conn, "SHOW shared_preload_libraries", v, sizeof v))
		note(c, "the role needs pg_read_all_settings", "schedule: not tried whether the server has the worker that follows it: %s", v);
	else
	{
		there = strstr(v, "pg_sovereign") != NULL;
		tick(c, there, "set shared_preload_libraries = 'pg_sovereign' and restart the server: until then nothing of [schedule] is started",
			 there ? "schedule: the server's worker follows it" : "schedule: the server has no worker that follows it");
	}
}

/* Does the server archive to us? */
static bool
check_settings(struct checklist *c, PGconn *conn, const struct sov_config *cfg)
{
	char		v[1200],
				library[1200];
	bool		on,
				ours;

	query_one(conn, "SHOW server_version", v, sizeof v);
	tick(c, PQserverVersion(conn) >= 150000, "PostgreSQL 15 or later is needed", "server version %s", v);
	query_one(conn, "SHOW wal_level", v, sizeof v);
	tick(c, strcmp(v, "minimal") != 0, "set wal_level = replica", "wal_level = %s", v);
	query_one(conn, "SHOW archive_mode", v, sizeof v);
	on = strcmp(v, "off") != 0;
	tick(c, on, "set archive_mode = on and restart the server", "archive_mode = %s", v);
	query_one(conn, "SHOW archive_library", library, sizeof library);
	query_one(conn, "SHOW archive_command", v, sizeof v);
	/* (where both are set the server takes the library, or neither) */
	ours = strstr(library[0] ? library : v, "pg_sovereign") != NULL;
	tick(c, ours, "set archive_library = 'pg_sovereign'", "archiving by %s",
		 library[0] ? library : v[0] ? v : "nothing");
	query_one(conn, "SHOW data_checksums", v, sizeof v);
	if (strcmp(v, "on") == 0)
		tick(c, true, NULL, "data_checksums = on");
	else
		note(c, "stop the server once for 'pg_checksums --enable'",
			 "data_checksums = %s: a page that the server's disk has damaged is backed up as it is, and nobody is told", v);
	check_directory(c, conn, cfg);
	check_worker(c, conn, cfg);
	return on && ours;
}

/* Is it the cluster that the repository is of?  Else its WAL will be refused. */
static bool
check_cluster(struct checklist *c, PGconn *conn, const struct sov_repo *repo)
{
	char		v[1200];
	struct sov_error err;
	bool		ours;

	if (!query_one(conn, "SELECT system_identifier FROM pg_catalog.pg_control_system()", v, sizeof v))
	{
		note(c, NULL, "cluster: not tried whether the repository is this server's; archiving will tell: %s", v);
		return true;
	}
	ours = sov_repo_check_system(repo, strtoull(v, NULL, 10), &err) == SOV_OK;
	tick(c, ours, ours ? NULL : err.hint, "cluster %s%s%s", v, ours ? "" : ": ", ours ? "" : err.message);
	return ours;
}

static void
check_archiving(struct checklist *c, PGconn *conn, struct sov_repo *repo, long timeout)
{
	char		name[64],
				id[SOV_WAL_ID_MAX],
				v[1200];
	struct sov_object_state st;
	struct sov_error err;
	long		waited = 0;
	bool		there = false;

	if (!query_one(conn, "SELECT pg_is_in_recovery()", v, sizeof v) || v[0] == 't')
	{
		note(c, "run check at the primary: it archives", "archiving round trip: left out on a standby");
		return;
	}
	if (!query_one(conn, "SELECT pg_walfile_name(pg_create_restore_point('pg_sovereign check'))", name, sizeof name) ||
		!query_one(conn, "SELECT pg_switch_wal()", v, sizeof v))
	{
		tick(c, false, "the role must be superuser, or be granted EXECUTE on pg_switch_wal and pg_create_restore_point",
			 "archiving round trip: %s", v);
		return;
	}
	memset(&st, 0, sizeof st);
	for (; waited <= timeout * 10 && !there; waited++)
	{
		/* as the server is told (sov_wal.h) */
		sov_wal_object_id(repo, 0, name, id);
		if (sov_repo_object_state(repo, SOV_CLASS_WAL, id, 0, 0, &st, &err) == SOV_OK && st.have)
			there = st.holders == st.n || (st.holders >= st.k && st.holders + st.spooled > st.k);
		if (!there)
			usleep(100000);
	}
	tick(c, there, "see the server's log for what the archiver says",
		 there ? "archiving round trip: segment %s arrived at %d of %d providers" : "archiving round trip: segment %s is at %d of %d providers after %ld s, which is too few",
		 name, st.holders, repo->admin.map.n, timeout);
}

static void
check_server(struct checklist *c, const struct sov_config *cfg, struct sov_repo *repo, bool archive, long timeout)
{
	PGconn	   *conn = PQconnectdb(cfg->connection);
	char		message[400];

	if (PQstatus(conn) != CONNECTION_OK)
	{
		snprintf(message, sizeof message, "%s", PQerrorMessage(conn));
		message[strcspn(message, "\n")] = '\0';
		tick(c, false, "start the server, or correct connection in [cluster]", "server: %s", message);
	}
	else
	{
		bool		archives;

		/* whatever the database's owner has set for it */
		PQclear(PQexec(conn, "SELECT pg_catalog.set_config('search_path', '', false)"));
		archives = check_settings(c, conn, cfg);

		if (repo && check_cluster(c, conn, repo) && archive && archives)
			check_archiving(c, conn, repo, timeout);
		else if (!archive)
			note(c, NULL, "archiving round trip: left out, as asked");
		else if (!archives)
			tick(c, false, "set what is said above first", "archiving round trip: not tried, the server does not archive to pg_sovereign");
	}
	PQfinish(conn);
}

static int
run(const struct cli_context *ctx, bool archive, long timeout)
{
	struct checklist c = {.first = SOV_OK};
	struct sov_map map = {0};
	struct sov_config cfg;
	struct sov_error err;
	struct sov_custodian *custodian = NULL;
	struct sov_repo *repo = NULL;
	char		text[1200];
	enum sov_code rc;

	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	tick(&c, true, NULL, "configuration %s", cfg.file);
	check_policy(&c, &cfg);
	rc = sov_custodian_open(cfg.root, &custodian, &err);
	if (rc == SOV_OK)
		custodian->ops->describe(custodian, text, sizeof text);
	else
		snprintf(text, sizeof text, "root key");
	tick_rc(&c, rc, &err, text);
	sov_custodian_close(custodian);
	rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
	snprintf(text, sizeof text, "repository %s: committed state read", cfg.repo_name);
	tick_rc(&c, rc, &err, text);
	if (repo)
		check_reading(&c, &cfg, repo);
	for (int i = 0; repo && i < repo->n_providers; i++)
		check_provider(&c, repo, i);
	if (repo)
	{
		check_map(&c, repo);
		check_backups(&c, repo);
		map = repo->admin.map;
	}
	check_server(&c, &cfg, repo, archive, timeout);
	cli_close_repository(repo);
	if (c.failed > 0)
		printf("%d of the checks failed\n", c.failed);
	else
	{
		printf("all is well");
		if (c.notes > 0)
			printf(", with %d note%s above", c.notes, c.notes == 1 ? "" : "s");
		printf(": any %d of %d providers restore what is stored\n", map.k, map.n);
	}
	return c.failed ? cli_exit_code(c.first) : 0;
}

int
cmd_check(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"no-archive", no_argument, NULL, 'n'}, {"timeout", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}
	};
	bool		archive = true;
	long		timeout = 60;
	int			c;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (c == 'n')
			archive = false;
		else if (c != 't' || !cli_number("check", "--timeout", optarg, 1, 86400, &timeout))
			return cli_exit_code(SOV_E_USAGE);
	}
	if (optind < argc)
		return cli_usage_error("check", "\"%.40s\" is one argument too many", argv[optind]);
	return run(ctx, archive, timeout);
}
