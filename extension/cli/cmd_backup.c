/*
 * cmd_backup.c - one backup.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "pgsource.h"
#include "sov_text.h"

const char	cmd_backup_help[] =
	"pg_sovereign backup - back the cluster up to all providers\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] backup [options]\n\n"
	"Reads the data directory while the server works, checks page checksums, and\n"
	"stores compressed, sealed shards.  The backup counts from the moment it is\n"
	"committed at the providers; until then it can be killed without harm.\n\n"
	"Options:\n"
	"  --jobs N          workers (default: number of processors, at most 4; up to 12)\n"
	"  --max-rate SIZE   read at most SIZE a second, e.g. 50MB\n"
	"  --label TEXT      a note for 'pg_sovereign list'\n"
	"  --no-fast         wait for the next regular checkpoint instead of forcing one\n"
	"  --json            print the result as JSON\n";

static bool
print_result(const struct sov_backup_result *r, bool json)
{
	const struct sov_backup_entry *e = &r->entry;

	if (json)
		return cli_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:f}", "backup", e->id,
										"files", (json_int_t) e->files, "bytes", (json_int_t) e->bytes,
										"stored", (json_int_t) e->stored, "frames", (json_int_t) r->frames,
										"packs", (json_int_t) r->packs, "bad_pages", (json_int_t) e->bad_pages,
										"degraded", r->degraded, "seconds", r->seconds)) == 0;
	printf("backup %s\n", e->id);
	printf("  %" PRIu64 " files, %.1f MB read in %.1f s (%.0f MB/s), %.1f MB stored over all providers\n",
		   e->files, (double) e->bytes / 1e6, r->seconds, (double) e->bytes / 1e6 / r->seconds, (double) e->stored / 1e6);
	if (r->degraded > 0)
		printf("  %d objects are owed to a provider that did not answer: see 'pg_sovereign list'\n", r->degraded);
	if (e->bad_pages > 0)
		printf("  %" PRIu64 " BAD PAGES in the cluster: see the notes above; the backup holds them as they are\n", e->bad_pages);
	return true;
}

static enum sov_code
check_directory(const struct sov_config *cfg, const struct pgsource *s, struct sov_error *err)
{
	char		a[PATH_MAX],
				b[PATH_MAX];

	if (realpath(cfg->data_directory, a) == NULL)
		return sov_fail(err, SOV_E_CONFIG, "correct data-directory in [cluster]", "data directory %s cannot be read", cfg->data_directory);
	if (realpath(s->data_directory, b) == NULL || strcmp(a, b) != 0)
		return sov_fail(err, SOV_E_CONFIG, "correct data-directory or connection in [cluster]",
						"the server that answers has its data in %s, not in %s", s->data_directory, cfg->data_directory);
	return SOV_OK;
}

static int
run(const struct cli_context *ctx, struct sov_backup_options *opt, bool json)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct pgsource s = {0};
	struct sov_source source;
	struct sov_backup_result res;
	uint64_t	left;
	enum sov_code rc;
	int			status;

	if (cli_read_config(ctx, SOV_NEED_REPOSITORY | SOV_NEED_CLUSTER, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	opt->data_directory = cfg.data_directory;
	rc = pgsource_connect(&s, cfg.connection, &err);
	if (rc == SOV_OK)
		rc = check_directory(&cfg, &s, &err);
	if (rc == SOV_OK)
		rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = sov_repo_settle(repo, 0, &left, &err);
	if (rc == SOV_OK)
	{
		const struct sov_progress *progress = cli_progress_start("backup");

		pgsource_callbacks(&s, &source);
		rc = sov_backup_run(repo, &source, opt, progress, &res, &err);
		cli_progress_stop();
	}
	if (rc == SOV_OK)
		status = print_result(&res, json) ? (res.entry.bad_pages ? cli_exit_code(SOV_E_CORRUPT) : 0) : 1;
	else
		status = cli_report(&err);
	pgsource_close(&s);
	sov_repo_close(repo);
	return status;
}

int
cmd_backup(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"jobs", required_argument, NULL, 'j'}, {"max-rate", required_argument, NULL, 'r'},
		{"label", required_argument, NULL, 'l'}, {"no-fast", no_argument, NULL, 'n'},
		{"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}
	};
	long		cpus = sysconf(_SC_NPROCESSORS_ONLN),
				jobs = cpus > 4 ? 4 : cpus < 1 ? 1 : cpus;
	struct sov_backup_options opt = {.fast = true};
	bool		json = false;
	int			c;

	while ((c = cli_getopt(argc, argv, "j:", longs)) != -1)
		switch (c)
		{
			case 'j':
				if (!cli_number("backup", "--jobs", optarg, 1, 12, &jobs))
					return cli_exit_code(SOV_E_USAGE);
				break;
			case 'r':
				if (!sov_parse_size(optarg, &opt.max_rate) || opt.max_rate == 0)
					return cli_usage_error("backup", "--max-rate wants a size such as 50MB, not \"%.40s\"", optarg);
				break;
			case 'l':
				if (strlen(optarg) > 255)
					return cli_usage_error("backup", "--label is longer than 255 bytes");
				opt.label = optarg;
				break;
			case 'n':
				opt.fast = false;
				break;
			case 'J':
				json = true;
				break;
			default:
				return cli_exit_code(SOV_E_USAGE);
		}
	if (optind < argc)
		return cli_usage_error("backup", "\"%.40s\" is one argument too many", argv[optind]);
	opt.jobs = (int) jobs;
	return run(ctx, &opt, json);
}
