/*
 * cmd_verify.c - verify and repair: what is wrong at the providers, and mending it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_audit.h"
#include "sov_facts.h"

#define SETTLE_US ((int64_t) 60 * 1000000)

const char	cmd_verify_help[] =
	"pg_sovereign verify - find what is missing or damaged at the providers\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] verify [--deep | --sample N] [options]\n\n"
	"Reads the sealed header of every object at every provider, checks that every\n"
	"shard lies where it must, and that everything that each backup needs is there.\n"
	"Changes nothing; 'pg_sovereign repair' mends.\n\n"
	"Options:\n"
	"  --deep           read and check every byte\n"
	"  --sample N       read and check the bytes of about N random shards\n"
	"  --max-rate SIZE  read at most SIZE a second, e.g. 50MB\n"
	"  --nice           give way to the server: lowest CPU and disk priority\n"
	"  --json           print JSON\n\n"
	"Exit status: 0 all is well; 4 a provider could not be asked; 5 something is\n"
	"missing, damaged or lost.\n";

const char	cmd_repair_help[] =
	"pg_sovereign repair - rebuild what is missing or damaged at the providers\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] repair [--quick] [options]\n\n"
	"Reads every byte (--quick: headers only), rebuilds each missing or damaged shard\n"
	"from the others, puts it back, and delivers what is owed to providers that are\n"
	"back.  Uploads that were begun over a day ago and never finished are taken back.\n\n"
	"Options:\n"
	"  --quick          do not read bodies: finds missing and truncated shards only\n"
	"  --dry-run        mend nothing: list what would be\n"
	"  --max-rate SIZE  read at most SIZE a second, e.g. 50MB\n"
	"  --nice           give way to the server: lowest CPU and disk priority\n"
	"  --json           print JSON\n\n"
	"Exit status: 0 all is well now; 4 a provider could not be asked; 5 something\n"
	"could not be mended.\n";

struct listing
{
	json_t	   *problems;		/* NULL: print text */
};

static const char *
kind_word(enum sov_problem_kind kind)
{
	return kind == SOV_PROBLEM_MISSING ? "missing" : kind == SOV_PROBLEM_DAMAGED ? "damaged" : "lost";
}

static void
show_problem(void *ctx, const struct sov_problem *p)
{
	struct listing *l = ctx;

	if (l->problems)
	{
		json_array_append_new(l->problems, json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "kind", kind_word(p->kind),
													 "provider", p->provider, "object", p->object, "what", p->what,
													 "message", p->message, "mended", p->mended));
		return;
	}
	cli_progress_hide();
	if (p->kind == SOV_PROBLEM_LOST)
		printf("LOST     %s: %s\n", p->what, p->message);
	else
		printf("%-8s provider %s, object %s (%s): %s%s\n", kind_word(p->kind), p->provider, p->object, p->what,
			   p->message, p->mended ? "; mended" : "");
	fflush(stdout);
}

static int
summary(const struct sov_verify_result *r, const struct listing *l, uint64_t owed)
{
	bool		bad = r->lost > 0 || r->missing + r->damaged > r->mended;
	int			tolerates = r->tolerates < 0 ? 0 : r->tolerates;
	struct sov_error err;

	if (l->problems)
		cli_print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:I, s:f, s:o}",
								 "objects", (json_int_t) r->objects, "shards", (json_int_t) r->shards,
								 "bytes_read", (json_int_t) r->bytes_read,
								 "missing", (json_int_t) r->missing, "damaged", (json_int_t) r->damaged,
								 "lost", (json_int_t) r->lost, "mended", (json_int_t) r->mended,
								 "providers_asked", r->providers_asked, "providers", r->providers,
								 "losses_tolerated", tolerates, "backups", (int) r->backups,
								 "backups_whole", (int) r->backups_whole, "owed", (json_int_t) owed,
								 "seconds", r->seconds, "problems", l->problems));
	else
	{
		printf("%" PRIu64 " objects in %" PRIu64 " shards at %d of %d providers: %" PRIu64 " missing, %" PRIu64 " damaged, %" PRIu64 " lost, %" PRIu64 " mended\n",
			   r->objects, r->shards, r->providers_asked, r->providers, r->missing, r->damaged, r->lost, r->mended);
		printf("%u of %u backups can be restored with their WAL\n", r->backups_whole, r->backups);
		printf("of the providers that answer, %d may still vanish\n", tolerates);
		if (owed > 0)
			printf("%" PRIu64 " objects are owed to providers that do not answer\n", owed);
		if (bad && r->lost == 0)
			printf("run 'pg_sovereign repair' to mend it\n");
	}
	if (bad)
		return cli_exit_code(SOV_E_CORRUPT);
	if (r->providers_asked == r->providers)
		return 0;
	/* (for a job: all that its result lacks is a sentence) */
	(void) sov_fail(&err, SOV_E_PROVIDER, "see 'pg_sovereign list' or the view providers, and verify again when they are back",
					"%d of %d providers could not be asked; at the others nothing is missing or damaged", r->providers - r->providers_asked, r->providers);
	cli_remember(&err);
	return cli_exit_code(SOV_E_PROVIDER);
}

static int
run(const struct cli_context *ctx, const struct sov_verify_options *given, bool json)
{
	struct sov_verify_options opt = *given;
	struct sov_verify_result res;
	struct listing listing = {json ? json_array() : NULL};
	const struct sov_progress *progress;
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo;
	uint64_t	owed = 0;
	enum sov_code rc;
	int			status;

	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK ||
		sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err) != SOV_OK)
		return cli_report(&err);
	opt.problem = show_problem;
	opt.ctx = &listing;
	progress = cli_progress_start(opt.repair ? "repair" : "verify");
	/* what is only owed to a provider is not missing there */
	rc = sov_repo_settle(repo, opt.repair ? 0 : SETTLE_US, &owed, &err);
	if (rc == SOV_OK)
		rc = sov_verify_run(repo, &opt, progress, &res, &err);
	cli_progress_stop();
	if (rc == SOV_OK)
		sov_facts_keep_verified(repo, &opt, &res);
	cli_audit(&cfg, repo, SOV_AUDIT_VERIFY, rc == SOV_OK && res.lost + res.missing + res.damaged > res.mended ? SOV_E_CORRUPT : rc, "%s", opt.repair ? "repair" : "verify");
	status = rc == SOV_OK ? summary(&res, &listing, owed) : cli_report(&err);
	cli_close_repository(repo);
	return status;
}

int
cmd_verify(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"deep", no_argument, NULL, 'd'}, {"sample", required_argument, NULL, 's'},
		{"max-rate", required_argument, NULL, 'r'}, {"nice", no_argument, NULL, 'N'},
		{"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}
	};
	struct sov_verify_options opt = {0};
	bool		json = false;
	long		n;
	int			c;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
		switch (c)
		{
			case 'd':
				opt.deep = true;
				break;
			case 's':
				if (!cli_number("verify", "--sample", optarg, 1, 1000000000, &n))
					return cli_exit_code(SOV_E_USAGE);
				opt.sample = (uint64_t) n;
				break;
			case 'r':
				if (!cli_rate("verify", optarg, &opt.max_rate))
					return cli_exit_code(SOV_E_USAGE);
				break;
			case 'N':
				cli_give_way();
				break;
			case 'J':
				json = true;
				break;
			default:
				return cli_exit_code(SOV_E_USAGE);
		}
	if (optind < argc)
		return cli_usage_error("verify", "\"%.40s\" is one argument too many", argv[optind]);
	if (opt.deep && opt.sample)
		return cli_usage_error("verify", "--deep and --sample exclude each other");
	return run(ctx, &opt, json);
}

int
cmd_repair(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"quick", no_argument, NULL, 'q'}, {"max-rate", required_argument, NULL, 'r'},
		{"nice", no_argument, NULL, 'N'}, {"json", no_argument, NULL, 'J'}, {"dry-run", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}
	};
	struct sov_verify_options opt = {.deep = true, .repair = true};
	bool		json = false;
	int			c;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (c == 'q')
			opt.deep = false;
		else if (c == 'n')
			opt.repair = false;
		else if (c == 'N')
			cli_give_way();
		else if (c == 'r')
		{
			if (!cli_rate("repair", optarg, &opt.max_rate))
				return cli_exit_code(SOV_E_USAGE);
		}
		else if (c == 'J')
			json = true;
		else
			return cli_exit_code(SOV_E_USAGE);
	}
	if (optind < argc)
		return cli_usage_error("repair", "\"%.40s\" is one argument too many", argv[optind]);
	return run(ctx, &opt, json);
}
