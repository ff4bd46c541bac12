/*
 * cmd_plan.c - plan and apply: carry out a changed configuration.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_probe.h"
#include "sov_audit.h"
#include "sov_migrate.h"

const char	cmd_plan_help[] =
	"pg_sovereign plan - show what a changed configuration moves\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] plan [--json]\n\n"
	"A provider is left by removing its section (its shards are rebuilt from the\n"
	"others) or by \"state = drain\" in it (they are copied, then deleted there); a new\n"
	"section takes its place.  With another \"needed\" or \"shards\" everything is coded\n"
	"anew for them.  Changes nothing.\n\n"
	"Options:\n"
	"  --json   print JSON\n\n"
	"Exit status: 0, whether or not something is to be moved; else as 'pg_sovereign --help' says.\n";

const char	cmd_apply_help[] =
	"pg_sovereign apply - carry out a changed configuration\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] apply [--dry-run] [--json] [--accept-loss]\n\n"
	"Moves what 'pg_sovereign plan' shows.  Backups, archiving and restores go on\n"
	"meanwhile; redundancy never falls below what there was.  It may be interrupted or\n"
	"killed at any moment: run it again and it goes on.  At the end what a left\n"
	"provider still holds is deleted where it answers, and a receipt says what was\n"
	"deleted and what could not be; it is kept in state-directory/receipts.\n\n"
	"Options:\n"
	"  --dry-run      change nothing: as 'pg_sovereign plan'\n"
	"  --json         print JSON\n"
	"  --accept-loss  leave a provider that cannot be read even where a backup cannot be\n"
	"                 restored without it; else apply stops, and keeps it in the map\n";

static json_t *
move_json(const struct sov_repo *repo, const struct sov_move *m)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "position", m->position,
					 "from", m->old_alias, "to", repo->providers[m->new_provider].cfg->name, "why", m->why,
					 "under_way", m->under_way,
					 "copies", (json_int_t) m->copies, "copy_bytes", (json_int_t) m->copy_bytes,
					 "rebuilds", (json_int_t) m->rebuilds, "rebuild_bytes", (json_int_t) m->rebuild_bytes,
					 "done", (json_int_t) m->done);
}

static void
print_move(const struct sov_repo *repo, const struct sov_move *m)
{
	printf("position %d: provider %s (%s) -> provider %s\n", m->position, m->old_alias, m->why,
		   repo->providers[m->new_provider].cfg->name);
	if (m->copies > 0)
		printf("  copy    %8" PRIu64 " shards, %10.1f MB, as they are\n", m->copies, (double) m->copy_bytes / 1e6);
	if (m->rebuilds > 0)
		printf("  rebuild %8" PRIu64 " shards, %10.1f MB, from the other providers\n", m->rebuilds, (double) m->rebuild_bytes / 1e6);
	if (m->done > 0)
		printf("  there   %8" PRIu64 " shards already\n", m->done);
}

static json_t *
recode_json(const struct sov_recode *r)
{
	if (!r->wanted)
		return json_null();
	return json_pack("{s:[ii], s:[ii], s:b, s:I, s:I, s:I, s:I}", "from", r->old_k, r->old_n, "to", r->k, r->n, "under_way", r->under_way,
					 "objects", (json_int_t) r->objects, "done", (json_int_t) r->done,
					 "read_bytes", (json_int_t) r->read_bytes, "write_bytes", (json_int_t) r->write_bytes);
}

static void
print_recode(const struct sov_recode *r)
{
	if (!r->wanted)
		return;
	printf("any %d of %d -> any %d of %d%s: everything is coded anew\n", r->old_k, r->old_n, r->k, r->n, r->under_way ? " (under way)" : "");
	printf("  recode  %8" PRIu64 " objects, %10.1f MB read, %.1f MB written\n", r->objects, (double) r->read_bytes / 1e6, (double) r->write_bytes / 1e6);
	if (r->done > 0)
		printf("  there   %8" PRIu64 " objects already\n", r->done);
}

/*
 * About how long the moves take, by the rates of the last probes: providers work side
 * by side, each as fast as it was with one request at a time.  -1: a provider that is
 * in it was never probed, *unknown says which.
 */
static double
estimate(const struct sov_repo *repo, const struct sov_plan *plan, const char **unknown)
{
	double		longest = 0;

	*unknown = NULL;
	for (int i = 0; i < plan->n_moves; i++)
	{
		const struct sov_move *m = &plan->moves[i];
		const char *ends[] = {repo->providers[m->new_provider].cfg->name, m->copies > 0 ? m->old_alias : NULL};

		for (int e = 0; e < 2 && ends[e] != NULL; e++)
		{
			struct sov_probe p;
			double		rate = sov_probe_read(&repo->cfg, ends[e], &p) ? (e == 0 ? p.put_rate : p.get_rate) : 0,
						bytes = (double) m->copy_bytes + (e == 0 ? (double) m->rebuild_bytes : 0);

			if (rate <= 0)
			{
				*unknown = ends[e];
				return -1;
			}
			longest = bytes / rate > longest ? bytes / rate : longest;
		}
	}
	return longest;
}

static void
print_estimate(const struct sov_repo *repo, const struct sov_plan *plan)
{
	const char *unknown;
	double		seconds = estimate(repo, plan, &unknown);

	if (plan->n_moves == 0)
		return;
	if (seconds < 0)
		printf("how long that takes is not known: 'pg_sovereign provider probe %s' measures\n", unknown);
	else if (seconds < 90)
		printf("about %.0f s at the rates of the last probes\n", seconds < 1 ? 1 : seconds);
	else
		printf("about %.0f min at the rates of the last probes\n", seconds / 60);
}

static int
take_options(int argc, char **argv, const char *command, bool *json, bool *dry_run, bool *accept_loss)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'J'}, {"dry-run", no_argument, NULL, 'n'},
	{"accept-loss", no_argument, NULL, 'L'}, {NULL, 0, NULL, 0}};
	int			c;

	*json = *dry_run = false;
	if (accept_loss)
		*accept_loss = false;
	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (c == 'J')
			*json = true;
		else if (c == 'n')
			*dry_run = true;
		else if (c == 'L' && accept_loss)
			*accept_loss = true;
		else if (c == 'L')
			return cli_usage_error(command, "--accept-loss is an option of apply");
		else
			return cli_exit_code(SOV_E_USAGE);
	}
	if (optind < argc)
		return cli_usage_error(command, "\"%.40s\" is one argument too many", argv[optind]);
	return 0;
}

static int
show_plan(const struct cli_context *ctx, bool json)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct sov_plan plan;
	int			status = 0;

	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK ||
		sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err) != SOV_OK)
		return cli_report(&err);
	if (sov_plan_make(repo, &plan, &err) != SOV_OK)
		status = cli_report(&err);
	else if (json)
	{
		json_t	   *moves = json_array();
		const char *unknown;
		double		seconds = estimate(repo, &plan, &unknown);

		for (int i = 0; i < plan.n_moves; i++)
			json_array_append_new(moves, move_json(repo, &plan.moves[i]));
		status = cli_print_json(json_pack("{s:o, s:o, s:I, s:I, s:I, s:o}", "moves", moves, "recode", recode_json(&plan.recode),
										  "bytes", (json_int_t) plan.bytes, "requests", (json_int_t) plan.requests,
										  "whole_objects", (json_int_t) plan.whole_objects,
										  "estimated_seconds", seconds < 0 ? json_null() : json_real(seconds)));
	}
	else if (plan.n_moves == 0 && !plan.recode.wanted)
		printf("nothing to do: the repository is as the configuration says\n");
	else
	{
		for (int i = 0; i < plan.n_moves; i++)
			print_move(repo, &plan.moves[i]);
		print_recode(&plan.recode);
		printf("%.1f MB to write, about %" PRIu64 " requests; 'pg_sovereign apply' does it\n", (double) plan.bytes / 1e6, plan.requests);
		print_estimate(repo, &plan);
	}
	cli_close_repository(repo);
	return status;
}

static json_t *
receipt_json(const struct sov_receipt *r)
{
	char		uuid[37];

	sov_uuid_text(uuid, r->uuid);
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:s}", "provider", r->alias, "uuid", uuid, "reached", r->reached,
					 "deleted", (json_int_t) r->deleted, "bytes", (json_int_t) r->bytes, "not_deleted", (json_int_t) r->failed,
					 "locked", (json_int_t) r->locked, "unfinished", (json_int_t) r->unfinished, "file", r->file);
}

static void
print_receipt(const struct sov_receipt *r)
{
	if (!r->reached)
		printf("receipt: provider %s was not reached; what it still holds is sealed, and its shard alone opens nothing\n", r->alias);
	else
		printf("receipt: provider %s: %" PRIu64 " objects (%.1f MB) deleted, %" PRIu64 " could not be\n", r->alias,
			   r->deleted, (double) r->bytes / 1e6, r->failed);
	if (r->locked > 0)
		printf("  %" PRIu64 " of them are locked there until their dates, or kept there although removed: the receipt says which and why\n", r->locked);
	if (r->unfinished > 0)
		printf("  %" PRIu64 " uploads that were begun there and never finished were taken back\n", r->unfinished);
	if (r->file[0] != '\0')
		printf("  kept as %s in the state directory\n", r->file);
}

static void
print_result(const struct sov_repo *repo, const struct sov_apply_result *res)
{
	const struct sov_recode *r = &res->plan.recode;

	if (res->plan.n_moves == 0 && !r->wanted && res->n_receipts == 0)
		printf("nothing to do: the repository is as the configuration says\n");
	for (int i = 0; i < res->plan.n_moves; i++)
		printf("provider %s took the place of provider %s\n",
			   repo->providers[res->plan.moves[i].new_provider].cfg->name, res->plan.moves[i].old_alias);
	if (r->wanted)
		printf("any %d of %d providers restore everything now, where it was any %d of %d\n", r->k, r->n, r->old_k, r->old_n);
	if (res->plan.n_moves > 0 || r->wanted)
		printf("%" PRIu64 " shards copied, %" PRIu64 " rebuilt, %" PRIu64 " objects coded anew, %.1f MB in %.1f s\n", res->copied, res->rebuilt,
			   res->recoded, (double) res->bytes / 1e6, res->seconds);
	for (int i = 0; i < res->n_receipts; i++)
		print_receipt(&res->receipt[i]);
}

static json_t *
result_json(const struct sov_repo *repo, const struct sov_apply_result *res)
{
	json_t	   *moves = json_array(),
			   *receipts = json_array();

	for (int i = 0; i < res->plan.n_moves; i++)
		json_array_append_new(moves, move_json(repo, &res->plan.moves[i]));
	for (int i = 0; i < res->n_receipts; i++)
		json_array_append_new(receipts, receipt_json(&res->receipt[i]));
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:f}", "moves", moves, "recode", recode_json(&res->plan.recode), "receipts", receipts,
					 "copied", (json_int_t) res->copied, "rebuilt", (json_int_t) res->rebuilt, "recoded", (json_int_t) res->recoded,
					 "bytes", (json_int_t) res->bytes, "seconds", res->seconds);
}

int
cmd_plan(int argc, char **argv, const struct cli_context *ctx)
{
	bool		json,
				dry_run;
	int			status = take_options(argc, argv, "plan", &json, &dry_run, NULL);

	return status != 0 ? status : show_plan(ctx, json);
}

int
cmd_apply(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct sov_apply_result res;
	const struct sov_progress *progress;
	enum sov_code rc;
	bool		json,
				dry_run,
				accept_loss;
	int			status = take_options(argc, argv, "apply", &json, &dry_run, &accept_loss);

	if (status != 0)
		return status;
	if (dry_run)
		return show_plan(ctx, json);
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK ||
		sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err) != SOV_OK)
		return cli_report(&err);
	progress = cli_progress_start("apply");
	rc = sov_apply_run(repo, accept_loss, progress, &res, &err);
	cli_progress_stop();
	cli_audit(&cfg, repo, SOV_AUDIT_APPLY, rc, "%d providers replaced", rc == SOV_OK ? res.plan.n_moves : 0);
	if (rc != SOV_OK)
		status = cli_report(&err);
	else if (json)
		status = cli_print_json(result_json(repo, &res));
	else
		print_result(repo, &res);
	cli_close_repository(repo);
	return status;
}
