/*
 * cmd_prune.c - retention: let go what the rules do not keep.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_audit.h"
#include "sov_prune.h"
#include "sov_text.h"

const char	cmd_prune_help[] =
	"pg_sovereign prune - delete backups and WAL that the rules do not keep\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] prune [rules] [options]\n\n"
	"Keeps what any rule keeps, and always one good backup.  Rules are those of\n"
	"[retention] in the configuration; one that is given here replaces all of them.\n"
	"Time runs from the newest backup: nothing ages away when backups stop.  Backups,\n"
	"restores and archiving may go on meanwhile.\n\n"
	"Rules:\n"
	"  --keep-last N      the newest N backups\n"
	"  --keep-days N      what is needed to go back N days\n"
	"  --keep-daily N     the newest of each of the last N days that have one\n"
	"  --keep-weekly N    the same for weeks (from Monday, UTC)\n"
	"  --keep-monthly N   for months\n"
	"  --keep-yearly N    for years\n\n"
	"Options:\n"
	"  --dry-run            change nothing: list what would go and what it frees\n"
	"  --grace TIME         between the end of a backup and its deletion, so that a\n"
	"                       restore that reads it may end (default 1h; 0 deletes now)\n"
	"  --orphan-grace TIME  before parts that belong to no backup are swept (default 24h)\n"
	"  --json               print JSON\n\n"
	"Exit status: 0 done; 4 something could not be deleted, and is tried again next time.\n";

enum { OPT_LAST = 1000, OPT_DAYS, OPT_DAILY, OPT_WEEKLY, OPT_MONTHLY, OPT_YEARLY, OPT_DRY, OPT_GRACE, OPT_ORPHAN, OPT_JSON };

static const struct option longs[] = {
	{"keep-last", required_argument, NULL, OPT_LAST}, {"keep-days", required_argument, NULL, OPT_DAYS},
	{"keep-daily", required_argument, NULL, OPT_DAILY}, {"keep-weekly", required_argument, NULL, OPT_WEEKLY},
	{"keep-monthly", required_argument, NULL, OPT_MONTHLY}, {"keep-yearly", required_argument, NULL, OPT_YEARLY},
	{"dry-run", no_argument, NULL, OPT_DRY}, {"grace", required_argument, NULL, OPT_GRACE},
	{"orphan-grace", required_argument, NULL, OPT_ORPHAN}, {"json", no_argument, NULL, OPT_JSON}, {NULL, 0, NULL, 0}
};

struct request
{
	struct sov_retention given;
	bool		any,
				has_grace,
				has_orphan,
				dry_run,
				json;
};

static uint64_t
sum_bytes(const struct sov_repo *repo, const struct sov_prune_result *r)
{
	uint64_t	sum = 0;

	for (int i = 0; i < repo->n_providers; i++)
		sum += r->bytes[i];
	return sum;
}

static int
print_json(const struct sov_repo *repo, const struct sov_prune_result *r, bool dry_run)
{
	json_t	   *backups = json_array(),
			   *wal = json_array(),
			   *freed = json_object(),
			   *refusals = json_array();

	for (uint32_t i = 0; i < r->n_backups; i++)
		json_array_append_new(backups, json_pack("{s:s, s:b, s:b, s:s}", "backup", r->backups[i].entry.id, "keep", r->backups[i].keep,
												 "whole", r->backups[i].whole, "kept_by", r->backups[i].why));
	for (uint32_t i = 0; i < r->n_wal; i++)
		json_array_append_new(wal, json_pack("{s:i, s:s, s:s, s:I}", "timeline", (int) r->wal[i].timeline, "first", r->wal[i].first,
											 "last", r->wal[i].last, "files", (json_int_t) r->wal[i].files));
	for (int i = 0; i < repo->n_providers; i++)
		json_object_set_new(freed, repo->providers[i].cfg->name, json_integer((json_int_t) r->bytes[i]));
	for (int i = 0; i < r->n_refusals; i++)
		json_array_append_new(refusals, json_string(r->refusals[i]));
	return cli_print_json(json_pack("{s:b, s:o, s:i, s:i, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:s, s:f}", "dry_run", dry_run,
									"backups", backups, "condemned", (int) r->condemned, "waiting", (int) r->waiting, "wal", wal,
									"packs", (json_int_t) r->packs, "metadata", (json_int_t) r->metadata, "runs", (json_int_t) r->runs,
									"orphans", (json_int_t) r->orphans, "unreadable", (json_int_t) r->unreadable, "freed_bytes", freed, "freed_bytes_in_all", (json_int_t) sum_bytes(repo, r),
									"deleted_shards", (json_int_t) r->deleted, "locked_objects", (json_int_t) r->locked, "failed_shards", (json_int_t) r->failed, "refusals", refusals,
									"held_by", r->held_by, "seconds", r->seconds));
}

static void
print_text(const struct sov_repo *repo, const struct sov_prune_result *r, bool dry_run, uint64_t grace)
{
	char		when[64],
				size[32];
	const char *verb = dry_run ? "would remove" : r->held_by[0] ? "nothing is removed yet of" : r->failed > 0 ? "tried to remove" : "removed";

	for (uint32_t i = 0; i < r->n_backups; i++)
		printf("%-6s %-22s %s  %s%s\n", r->backups[i].keep ? "keep" : "remove", r->backups[i].entry.id,
			   cli_time_text((int64_t) r->backups[i].entry.stop_us, when, sizeof when), r->backups[i].why,
			   r->backups[i].whole ? "" : " (NOT WHOLE: run 'pg_sovereign verify')");
	for (uint32_t i = 0; i < r->n_wal; i++)
		printf("remove WAL of timeline %u from %s to %s: %" PRIu64 " files\n", r->wal[i].timeline, r->wal[i].first, r->wal[i].last, r->wal[i].files);
	printf("%s %" PRIu64 " packs, %" PRIu64 " objects of metadata and %" PRIu64 " runs (%" PRIu64 " of them of no backup), %" PRIu64 " WAL files: %s in all\n",
		   verb, r->packs, r->metadata, r->runs, r->orphans, r->wal_files,
		   sov_size_text(sum_bytes(repo, r), size, sizeof size));
	if (r->unreadable > 0)
		printf("%s %" PRIu64 " damaged shards that nothing needs\n", verb, r->unreadable);
	for (int i = 0; i < repo->n_providers; i++)
		printf("  %-16s %s\n", repo->providers[i].cfg->name, sov_size_text(r->bytes[i], size, sizeof size));
	if (r->waiting > 0)
		printf("%u backups are no longer offered; what only they need goes with a prune in %" PRIu64 " min or later (--grace)\n", r->waiting, (grace + 59) / 60);
	if (r->held_by[0])
		printf("nothing was deleted: %s; run it again\n", r->held_by);
	for (int i = 0; i < r->n_refusals; i++)
		printf("not deleted: %s\n", r->refusals[i]);
	if (r->locked > 0)
		printf("%" PRIu64 " objects are under lock at a provider, or kept there although removed; a prune after a lock has ended deletes what it held\n", r->locked);
	if (r->failed > 0)
		printf("%" PRIu64 " shards could not be deleted and are tried again next time; where this host's credentials may not, prune with others\n", r->failed);
}

/* The audit log has a retention of its own; what goes is on record in it. */
static void
prune_audit(struct sov_repo *repo, enum sov_code rc, const struct sov_prune_result *r)
{
	struct sov_error err;
	uint64_t	n = 0;

	if (sov_audit_prune(repo, false, &n, &err) != SOV_OK)
		cli_note("audit log: %s", err.message);
	cli_audit(&repo->cfg, repo, SOV_AUDIT_PRUNE, rc, "%u backups condemned, %" PRIu64 " packs and %" PRIu64 " WAL files deleted, and %" PRIu64 " batches of the audit log",
			  r->condemned, r->packs, r->wal_files, n);
}

static int
run(const struct cli_context *ctx, const struct request *q)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct sov_prune_options opt = {.dry_run = q->dry_run};
	struct sov_prune_result res = {0};
	enum sov_code rc;
	int			status = 0;

	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	opt.rules = q->any ? q->given : cfg.retention;
	opt.rules.grace = q->has_grace ? q->given.grace : cfg.retention.grace;
	opt.rules.orphan_grace = q->has_orphan ? q->given.orphan_grace : cfg.retention.orphan_grace;
	rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
	{
		const struct sov_progress *progress = cli_progress_start("prune");

		rc = sov_prune_run(repo, &opt, progress, &res, &err);
		cli_progress_stop();
		if (!q->dry_run)
			prune_audit(repo, rc, &res);
	}
	if (rc == SOV_OK && q->json)
		status = print_json(repo, &res, q->dry_run);
	else if (rc == SOV_OK)
		print_text(repo, &res, q->dry_run, opt.rules.grace);
	if (rc == SOV_OK && status == 0 && res.failed > 0)
		status = cli_exit_code(SOV_E_PROVIDER);
	sov_prune_free(&res);
	cli_close_repository(repo);
	return rc == SOV_OK ? status : cli_report(&err);
}

/* A rule; its place in struct sov_retention. */
static int *
rule_of(struct request *q, int c)
{
	int		   *const places[] = {&q->given.last, &q->given.days, &q->given.daily, &q->given.weekly, &q->given.monthly, &q->given.yearly};

	return c >= OPT_LAST && c <= OPT_YEARLY ? places[c - OPT_LAST] : NULL;
}

static int
take_option(struct request *q, int c)
{
	int		   *rule = rule_of(q, c);
	long		n;

	if (rule)
	{
		if (!cli_number("prune", "a rule", optarg, 0, 100000, &n))
			return cli_exit_code(SOV_E_USAGE);
		*rule = (int) n;
		q->any = true;
		return 0;
	}
	switch (c)
	{
		case OPT_DRY:
			q->dry_run = true;
			return 0;
		case OPT_GRACE:
			q->has_grace = true;
			if (!sov_parse_duration(optarg, &q->given.grace))
				return cli_usage_error("prune", "--grace wants a time such as 1h, not \"%.40s\"", optarg);
			return 0;
		case OPT_ORPHAN:
			q->has_orphan = true;
			if (!sov_parse_duration(optarg, &q->given.orphan_grace))
				return cli_usage_error("prune", "--orphan-grace wants a time such as 24h, not \"%.40s\"", optarg);
			return 0;
		case OPT_JSON:
			q->json = true;
			return 0;
		default:
			return cli_exit_code(SOV_E_USAGE);
	}
}

int
cmd_prune(int argc, char **argv, const struct cli_context *ctx)
{
	struct request q = {0};
	int			c,
				status;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
		if ((status = take_option(&q, c)) != 0)
			return status;
	if (optind < argc)
		return cli_usage_error("prune", "\"%.40s\" is one argument too many", argv[optind]);
	return run(ctx, &q);
}
