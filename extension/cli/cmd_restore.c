/*
 * cmd_restore.c - bring a cluster back.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "sov_audit.h"
#include "sov_restore.h"

const char	cmd_restore_help[] =
	"pg_sovereign restore - bring a cluster back, to the end of WAL or to a target\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] restore -D DIR [options]\n\n"
	"Needs the configuration, the root key and any k providers; run it as the user\n"
	"that will run the server.  Afterwards start the server on DIR: it fetches WAL by\n"
	"itself and recovers.\n\n"
	"Options:\n"
	"  -D, --target DIR           directory to restore to: absent or empty\n"
	"  --delta                    over a data directory that is there, without a server:\n"
	"                             only what differs is fetched, what the backup does not\n"
	"                             have is removed; also goes on with a restore that was\n"
	"                             interrupted\n"
	"  --discard-wal              with --delta: even if WAL there was never archived\n"
	"  --dry-run                  change nothing: tell the backup, what would be written and,\n"
	"                             with --delta, list what would be removed\n"
	"  --backup ID                this backup (default: the newest that allows the target)\n"
	"  --target-time TIME         e.g. '2026-11-23 15:05:00+01'; without zone: local time\n"
	"  --target-lsn LSN           e.g. 0/5000060\n"
	"  --target-name NAME         a name given to pg_create_restore_point\n"
	"  --target-xid XID           a transaction\n"
	"  --target-exclusive         stop just before the target instead of after it\n"
	"  --target-timeline T        a number, 'latest' (default) or 'current'\n"
	"  --target-action A          at the target: promote (default), pause or shutdown\n"
	"  --standby                  to follow a primary instead of ending recovery\n"
	"  --primary-conninfo TEXT    with --standby: also stream from there\n"
	"  --databases A,B            only these (and the server's own): the others become\n"
	"                             empty files, to be dropped after the restore\n"
	"  --tablespace-map OLD=NEW   put a tablespace elsewhere; may be repeated\n"
	"  --without PROVIDER         do not use this provider, also for WAL; may be repeated\n"
	"  --jobs N                   workers, at most 6 (default: number of processors, at most 4)\n"
	"  --json                     print the result as JSON\n";

enum
{
	OPT_BACKUP = 1000, OPT_TIME, OPT_LSN, OPT_NAME, OPT_XID, OPT_EXCLUSIVE, OPT_TIMELINE,
	OPT_ACTION, OPT_MAP, OPT_WITHOUT, OPT_JSON, OPT_DELTA, OPT_DISCARD, OPT_STANDBY, OPT_CONNINFO, OPT_DATABASES, OPT_DRY
};

static const struct option longs[] = {
	{"target", required_argument, NULL, 'D'}, {"backup", required_argument, NULL, OPT_BACKUP},
	{"target-time", required_argument, NULL, OPT_TIME}, {"target-lsn", required_argument, NULL, OPT_LSN},
	{"target-name", required_argument, NULL, OPT_NAME}, {"target-xid", required_argument, NULL, OPT_XID},
	{"target-exclusive", no_argument, NULL, OPT_EXCLUSIVE}, {"target-timeline", required_argument, NULL, OPT_TIMELINE},
	{"target-action", required_argument, NULL, OPT_ACTION}, {"tablespace-map", required_argument, NULL, OPT_MAP},
	{"without", required_argument, NULL, OPT_WITHOUT}, {"jobs", required_argument, NULL, 'j'},
	{"delta", no_argument, NULL, OPT_DELTA}, {"discard-wal", no_argument, NULL, OPT_DISCARD},
	{"dry-run", no_argument, NULL, OPT_DRY},
	{"standby", no_argument, NULL, OPT_STANDBY}, {"primary-conninfo", required_argument, NULL, OPT_CONNINFO},
	{"databases", required_argument, NULL, OPT_DATABASES},
	{"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}
};

struct request
{
	struct sov_restore_options opt;
	char		target[PATH_MAX];
	struct cli_time time;
	bool		json;
};

static int
take_time(struct request *q, const char *text)
{
	if (!cli_parse_time(text, &q->time))
		return cli_usage_error("restore", "--target-time wants a time such as '2026-11-23 15:05:00+01', not \"%.60s\"", text);
	q->opt.target_time = q->time.text;
	q->opt.target_time_us = q->time.us;
	return 0;
}

static int
take_lsn(struct request *q, const char *text)
{
	uint32_t	hi,
				lo;
	int			n = 0;

	if (sscanf(text, "%" SCNx32 "/%" SCNx32 "%n", &hi, &lo, &n) != 2 || text[n] != '\0')
		return cli_usage_error("restore", "--target-lsn wants an LSN such as 0/5000060, not \"%.40s\"", text);
	q->opt.target_lsn = text;
	q->opt.target_lsn_value = (uint64_t) hi << 32 | lo;
	return 0;
}

static int
take_map(struct request *q, char *text)
{
	char	   *eq = strchr(text, '=');

	if (eq == NULL || text[0] != '/' || eq[1] != '/')
		return cli_usage_error("restore", "--tablespace-map wants /old/path=/new/path, not \"%.200s\"", text);
	if (q->opt.n_maps == 64)
		return cli_usage_error("restore", "more than 64 --tablespace-map");
	*eq = '\0';
	q->opt.maps[q->opt.n_maps].old_path = text;
	q->opt.maps[q->opt.n_maps++].new_path = eq + 1;
	return 0;
}

static int
take_databases(struct request *q, char *text)
{
	char	   *save = NULL;

	for (char *name = strtok_r(text, ",", &save); name; name = strtok_r(NULL, ",", &save))
	{
		if (q->opt.n_databases == 64)
			return cli_usage_error("restore", "more than 64 --databases");
		q->opt.databases[q->opt.n_databases++] = name;
	}
	return 0;
}

static int
take_directory(struct request *q, const char *text)
{
	char		cwd[PATH_MAX];

	if (text[0] == '/')
		snprintf(q->target, sizeof q->target, "%s", text);
	else if (getcwd(cwd, sizeof cwd) == NULL || snprintf(q->target, sizeof q->target, "%s/%s", cwd, text) >= (int) sizeof q->target)
		return cli_usage_error("restore", "the path of -D is too long");
	q->opt.target = q->target;
	return 0;
}

static int
take_option(struct request *q, int c)
{
	long		n;

	switch (c)
	{
		case 'D':
			return take_directory(q, optarg);
		case OPT_BACKUP:
			q->opt.backup = optarg;
			return 0;
		case OPT_TIME:
			return take_time(q, optarg);
		case OPT_LSN:
			return take_lsn(q, optarg);
		case OPT_NAME:
			q->opt.target_name = optarg;
			return 0;
		case OPT_XID:
			q->opt.target_xid = optarg;
			return 0;
		case OPT_EXCLUSIVE:
			q->opt.inclusive = false;
			return 0;
		case OPT_TIMELINE:
			q->opt.target_timeline = optarg;
			return 0;
		case OPT_ACTION:
			if (strcmp(optarg, "promote") != 0 && strcmp(optarg, "pause") != 0 && strcmp(optarg, "shutdown") != 0)
				return cli_usage_error("restore", "--target-action is promote, pause or shutdown, not \"%.40s\"", optarg);
			q->opt.action = optarg;
			return 0;
		case OPT_MAP:
			return take_map(q, optarg);
		case OPT_WITHOUT:
			if (q->opt.n_without == SOV_MAX_PROVIDERS)
				return cli_usage_error("restore", "too many --without");
			q->opt.without[q->opt.n_without++] = optarg;
			return 0;
		case 'j':
			if (!cli_number("restore", "--jobs", optarg, 1, 6, &n))
				return cli_exit_code(SOV_E_USAGE);
			q->opt.jobs = (int) n;
			return 0;
		case OPT_DELTA:
			q->opt.delta = true;
			return 0;
		case OPT_DISCARD:
			q->opt.discard_wal = true;
			return 0;
		case OPT_DRY:
			q->opt.dry_run = true;
			return 0;
		case OPT_STANDBY:
			q->opt.standby = true;
			return 0;
		case OPT_CONNINFO:
			q->opt.primary_conninfo = optarg;
			return 0;
		case OPT_DATABASES:
			return take_databases(q, optarg);
		case OPT_JSON:
			q->json = true;
			return 0;
		default:
			return cli_exit_code(SOV_E_USAGE);
	}
}

static int
check_request(const struct request *q)
{
	int			targets = (q->opt.target_time != NULL) + (q->opt.target_lsn != NULL) + (q->opt.target_name != NULL) + (q->opt.target_xid != NULL);

	if (q->opt.target == NULL)
		return cli_usage_error("restore", "say where to restore to: -D DIR");
	if (q->opt.standby && targets > 0)
		return cli_usage_error("restore", "--standby follows the primary and takes no target");
	if (q->opt.primary_conninfo && !q->opt.standby)
		return cli_usage_error("restore", "--primary-conninfo goes with --standby");
	if (q->opt.discard_wal && !q->opt.delta)
		return cli_usage_error("restore", "--discard-wal goes with --delta");
	if (targets > 1)
		return cli_usage_error("restore", "the --target-time, -lsn, -name and -xid exclude each other");
	return 0;
}

static int
print_result(const struct request *q, const struct sov_restore_result *r)
{
	char		when[64];
	char		mark[64];

	cli_time_text((int64_t) r->entry.stop_us, when, sizeof when);
	cli_time_text((int64_t) r->mark.time_us, mark, sizeof mark);
	if (q->json)
		return cli_print_json(json_pack("{s:b, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s, s:s}", "dry_run", q->opt.dry_run,
										"backup", r->entry.id, "pg_version", (int) r->entry.pg_version, "target", q->opt.target,
										"files", (json_int_t) r->files, "bytes", (json_int_t) r->bytes,
										"fetched", (json_int_t) r->fetched, "damaged_shards", (json_int_t) r->damaged_shards,
										"kept", (json_int_t) r->kept, "removed_files", (json_int_t) r->removed,
										"seconds", r->seconds, "wal_mark", r->mark.segment, "wal_mark_time", mark));
	if (q->opt.dry_run)
	{
		printf("would restore backup %s (finished %s) to %s\n", r->entry.id, when, q->opt.target);
		printf("  %" PRIu64 " files: %.1f MB would be written", r->files, (double) r->bytes / 1e6);
		if (q->opt.delta)
			printf(", %.1f MB are right already, %" PRIu64 " files would be removed", (double) r->kept / 1e6, r->removed);
		printf("; nothing was changed\n");
		return 0;
	}
	printf("restored backup %s (finished %s) to %s\n", r->entry.id, when, q->opt.target);
	printf("  %" PRIu64 " files, %.1f MB written in %.1f s (%.0f MB/s), every block checked\n", r->files, (double) r->bytes / 1e6,
		   r->seconds, (double) r->bytes / 1e6 / r->seconds);
	if (q->opt.delta)
		printf("  %.1f MB were right already, %.1f MB fetched, %" PRIu64 " files removed\n", (double) r->kept / 1e6, (double) r->fetched / 1e6, r->removed);
	if (r->damaged_shards > 0)
		printf("  %" PRIu64 " damaged shards were healed around: run 'pg_sovereign repair'\n", r->damaged_shards);
	if (r->mark.segment[0])
		printf("  newest WAL known: %s (mark of %s)\n", r->mark.segment, mark);
	if (r->former)
		printf("  it is of the cluster before the upgrade: it needs the programs of PostgreSQL %u\n", r->entry.pg_version / 10000);
	printf("start the server on it: it fetches WAL and recovers%s%s\n", q->opt.target_time ? " to " : "", q->opt.target_time ? q->opt.target_time : "");
	return 0;
}

static void
show_removal(void *ctx, const char *path)
{
	(void) ctx;
	cli_progress_hide();
	printf("would remove %s\n", path);
}

int
cmd_restore(int argc, char **argv, const struct cli_context *ctx)
{
	struct request q = {.opt = {.inclusive = true}};
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct sov_restore_result res;
	char		command[CLI_COMMAND_MAX];
	long		cpus = sysconf(_SC_NPROCESSORS_ONLN);
	enum sov_code rc;
	int			c,
				status;

	q.opt.jobs = cpus > 4 ? 4 : cpus < 1 ? 1 : (int) cpus;
	while ((c = cli_getopt(argc, argv, "D:j:", longs)) != -1)
		if ((status = take_option(&q, c)) != 0)
			return status;
	if (optind < argc)
		return cli_usage_error("restore", "\"%.40s\" is one argument too many", argv[optind]);
	if ((status = check_request(&q)) != 0)
		return status;
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = cli_restore_command(&cfg, q.opt.without, q.opt.n_without, command, sizeof command, &err);
	if (rc == SOV_OK)
		rc = cli_without(&cfg, q.opt.without, q.opt.n_without, &err);
	if (rc == SOV_OK)
		rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
	{
		const struct sov_progress *progress = cli_progress_start("restore");

		q.opt.restore_command = command;
		q.opt.removes = q.opt.dry_run && !q.json ? show_removal : NULL;
		cli_keep_memory();
		rc = sov_restore_run(repo, &q.opt, progress, &res, &err);
		cli_progress_stop();
	}
	/* What is left out here could not be owed anything: then the entry waits on the host. */
	if (repo && !q.opt.dry_run)
		cli_audit(&cfg, q.opt.n_without > 0 ? NULL : repo, SOV_AUDIT_RESTORE, rc, "into %.300s", q.opt.target);
	status = rc == SOV_OK ? print_result(&q, &res) : cli_report(&err);
	sov_repo_close(repo);
	return status;
}
