/*
 * cmd_list.c - what the repository holds, and how well it is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_facts.h"
#include "sov_verify.h"

const char	cmd_list_help[] =
	"pg_sovereign list - backups, WAL, providers, and what is owed to them\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] list [--json]\n\n"
	"Reads the committed state, not every object: 'pg_sovereign verify' does that.\n\n"
	"Options:\n"
	"  --json   print JSON\n";

static void
lsn_text(uint64_t lsn, char *dst, size_t cap)
{
	snprintf(dst, cap, "%X/%08X", (unsigned) (lsn >> 32), (unsigned) lsn);
}

static bool
read_proven(const struct sov_repo *repo, int i, struct sov_proven *p)
{
	const struct sov_map_slot *pos = sov_repo_position_of(repo, i);

	return (pos != NULL || repo->providers[i].known) && sov_proven_read(&repo->cfg, pos ? pos->uuid : repo->providers[i].uuid, p);
}

/* "3 days ago", "today", "never". */
static const char *
proven_text(const struct sov_repo *repo, int i, char *dst, size_t cap)
{
	struct sov_proven p;
	int64_t		days;

	if (!read_proven(repo, i, &p))
		return "never";
	days = (cli_now_us() - p.time_us) / (INT64_C(86400) * 1000000);
	if (days <= 0)
		return "today";
	snprintf(dst, cap, "%d day%s ago", (int) days, days == 1 ? "" : "s");
	return dst;
}

/* Of a cluster that the repository had before pg_upgrade. */
static bool
is_former(const struct sov_repo *repo, const struct sov_backup_entry *b)
{
	return sov_repo_cluster(repo, b->system_id) != NULL && b->system_id != sov_repo_current_cluster(repo);
}

static int
print_json(struct sov_repo *repo, const struct sov_catalogue *cat)
{
	json_t	   *backups = json_array(),
			   *providers = json_array(),
			   *wal = NULL;
	char		start[32],
				stop[32],
				system[32],
				t1[64],
				t2[64],
				location[1200];
	struct sov_mark mark;

	for (uint32_t i = 0; i < cat->n; i++)
	{
		const struct sov_backup_entry *b = &cat->backups[i];

		lsn_text(b->start_lsn, start, sizeof start);
		lsn_text(b->stop_lsn, stop, sizeof stop);
		snprintf(system, sizeof system, "%" PRIu64, b->system_id);
		json_array_append_new(backups, json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:s, s:b}", "backup", b->id, "label", b->label,
												 "started", cli_time_text((int64_t) b->start_us, t1, sizeof t1),
												 "finished", cli_time_text((int64_t) b->stop_us, t2, sizeof t2),
												 "timeline", (int) b->timeline, "start_lsn", start, "stop_lsn", stop,
												 "files", (json_int_t) b->files, "bytes", (json_int_t) b->bytes,
												 "stored", (json_int_t) b->stored, "bad_pages", (json_int_t) b->bad_pages,
												 "pg_version", (int) b->pg_version, "cluster", system, "former_cluster", is_former(repo, b)));
	}
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_debt debt = {0};
		struct sov_proven proven = {0};

		(void) sov_repo_debt(&repo->cfg, repo->providers[i].cfg->name, &debt, NULL);
		(void) read_proven(repo, i, &proven);
		sov_provider_config_location(repo->providers[i].cfg, location, sizeof location);
		json_array_append_new(providers, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "provider", repo->providers[i].cfg->name,
												   "state", sov_repo_provider_state(&repo->providers[i]), "location", location,
												   "proven", cli_time_text(proven.time_us, t1, sizeof t1),
												   "owed_objects", (json_int_t) debt.objects, "owed_bytes", (json_int_t) debt.bytes));
	}
	if (sov_repo_mark(repo, 0, &mark))
		wal = json_pack("{s:s, s:i, s:s}", "segment", mark.segment, "timeline", (int) mark.timeline,
						"time", cli_time_text((int64_t) mark.time_us, t1, sizeof t1));
	return cli_print_json(json_pack("{s:s, s:i, s:i, s:i, s:o, s:o, s:o}", "repository", repo->keys->repo_name,
									"needed", (int) repo->admin.map.k, "shards", (int) repo->admin.map.n,
									"losses_tolerated", sov_facts_tolerated_now(repo), "backups", backups, "providers", providers,
									"wal_mark", wal ? wal : json_null()));
}

static void
print_text(struct sov_repo *repo, const struct sov_catalogue *cat)
{
	char		when[64],
				former[64],
				lsn[32];
	struct sov_mark mark;
	int			spare = sov_facts_tolerated_now(repo);

	printf("repository %s, any %d of %d providers restore everything\n\n", repo->keys->repo_name, repo->admin.map.k, repo->admin.map.n);
	printf("%-22s %-25s %8s %12s %12s  %s\n", "backup", "finished", "timeline", "bytes", "stored", "label");
	for (uint32_t i = 0; i < cat->n; i++)
	{
		const struct sov_backup_entry *b = &cat->backups[i];

		if (is_former(repo, b))
			snprintf(former, sizeof former, "%s(PostgreSQL %u, before the upgrade)", b->label[0] ? " " : "", b->pg_version / 10000);
		printf("%-22s %-25s %8u %9.1f MB %9.1f MB  %s%s%s\n", b->id, cli_time_text((int64_t) b->stop_us, when, sizeof when),
			   b->timeline, (double) b->bytes / 1e6, (double) b->stored / 1e6, b->label,
			   is_former(repo, b) ? former : "", b->bad_pages ? " (BAD PAGES)" : "");
	}
	if (cat->n == 0)
		printf("(none)\n");
	if (sov_repo_mark(repo, 0, &mark))
	{
		lsn_text(mark.lsn, lsn, sizeof lsn);
		printf("\nWAL reaches %s (%s), mark of %s\n", mark.segment, lsn, cli_time_text((int64_t) mark.time_us, when, sizeof when));
	}
	else
		printf("\nno WAL yet\n");
	printf("\n%-16s %-8s %-14s %s\n", "provider", "state", "proven", "owed");
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_debt debt;
		struct sov_error err;
		enum sov_code rc = sov_repo_debt(&repo->cfg, repo->providers[i].cfg->name, &debt, &err);

		printf("%-16s %-8s %-14s", repo->providers[i].cfg->name, sov_repo_provider_state(&repo->providers[i]), proven_text(repo, i, when, sizeof when));
		if (rc != SOV_OK)
			printf(" not known: %s", err.message);
		else if (debt.objects > 0)
			printf(" %" PRIu64 " objects, %.1f MB in the spool", debt.objects, (double) debt.bytes / 1e6);
		if (debt.damaged > 0)
			printf(", %" PRIu64 " damaged there", debt.damaged);
		printf("\n");
	}
	if (spare == 0)
		printf("\nno more provider may vanish: with one less, not everything could be restored\n");
	else
		printf("\n%d more provider%s may vanish and everything can still be restored\n", spare, spare == 1 ? "" : "s");
}

int
cmd_list(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}};
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct sov_catalogue cat;
	bool		json = false;
	int			c,
				status = 0;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (c != 'J')
			return cli_exit_code(SOV_E_USAGE);
		json = true;
	}
	if (optind < argc)
		return cli_usage_error("list", "\"%.40s\" is one argument too many", argv[optind]);
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK ||
		sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err) != SOV_OK)
		return cli_report(&err);
	if (sov_repo_catalogue(repo, &cat, &err) != SOV_OK)
		status = cli_report(&err);
	else
	{
		if (json)
			status = print_json(repo, &cat);
		else
			print_text(repo, &cat);
		sov_catalogue_free(&cat);
	}
	cli_close_repository(repo);
	return status;
}
