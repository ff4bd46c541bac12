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
#include "sov_audit.h"
#include "sov_text.h"

const char	cmd_backup_help[] =
	"pg_sovereign backup - back the cluster up to all providers\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] backup [options]\n\n"
	"Reads the data directory while the server works, checks page checksums, and\n"
	"stores compressed, sealed shards: only pages that changed since the last backup,\n"
	"by keyed hashes of all that it reads.  Each backup stands by itself and restores\n"
	"without the others.  It counts from the moment it is committed at the providers;\n"
	"until then it can be killed without harm, and the next one takes over what it had\n"
	"stored.  Connected to a standby it backs that up; the primary archives the WAL.\n\n"
	"Options:\n"
	"  --jobs N          workers (default: number of processors, at most 4; up to 8)\n"
	"  --max-rate SIZE   read at most SIZE a second, e.g. 50MB\n"
	"  --label TEXT      a note for 'pg_sovereign list'\n"
	"  --full            store everything anew\n"
	"  --by-mtime        do not even read files whose size and time are those of the\n"
	"                    last backup: faster, and blind to a change that hides them\n"
	"  --nice            give way to the server: lowest CPU and disk priority\n"
	"  --archive-timeout TIME  of a standby: how long to wait for the primary's WAL\n"
	"                    (default 10min)\n"
	"  --no-fast         wait for the next regular checkpoint instead of forcing one\n"
	"  --json            print the result as JSON\n";

static bool
print_result(const struct sov_backup_result *r, bool json)
{
	const struct sov_backup_entry *e = &r->entry;

	if (json)
		return cli_print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:f, s:s, s:I, s:I, s:I, s:i, s:i}", "backup", e->id,
										"files", (json_int_t) e->files, "bytes", (json_int_t) e->bytes,
										"stored", (json_int_t) e->stored, "frames", (json_int_t) r->frames,
										"packs", (json_int_t) r->packs, "bad_pages", (json_int_t) e->bad_pages,
										"degraded", r->degraded, "seconds", r->seconds, "compared_with", r->base,
										"same_bytes", (json_int_t) r->same_bytes, "not_read_bytes", (json_int_t) r->skipped_bytes,
										"moved_bytes", (json_int_t) r->moved_bytes, "lost_packs", (int) r->lost_packs,
										"sparse_packs", (int) r->sparse_packs)) == 0;
	printf("backup %s\n", e->id);
	printf("  %" PRIu64 " files, %.1f MB read in %.1f s (%.0f MB/s), %.1f MB stored over all providers\n",
		   e->files, (double) e->bytes / 1e6, r->seconds, (double) e->bytes / 1e6 / r->seconds, (double) e->stored / 1e6);
	if (r->base[0])
		printf("  %.1f MB of it was stored before (compared with %s)%s\n", (double) r->same_bytes / 1e6, r->base,
			   r->skipped_bytes ? ", partly not read (--by-mtime)" : "");
	if (r->sparse_packs > 0)
		printf("  what is still used of %u packs, less than a third of each, was stored anew\n", r->sparse_packs);
	if (r->lost_packs > 0)
		printf("  %u packs of earlier backups are LOST: what this cluster still has of them was stored anew;\n"
			   "  'pg_sovereign verify' names the backups that cannot be restored\n", r->lost_packs);
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
run(const struct cli_context *ctx, struct sov_backup_options *opt, bool yield, bool json)
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

		if (yield)
			cli_give_way();
		pgsource_callbacks(&s, &source);
		cli_keep_memory();
		rc = sov_backup_run(repo, &source, opt, progress, &res, &err);
		cli_progress_stop();
	}
	if (repo)
		cli_audit(&cfg, repo, SOV_AUDIT_BACKUP, rc, "%s", rc == SOV_OK ? res.entry.id : "");
	if (rc == SOV_OK)
		status = print_result(&res, json) ? (res.entry.bad_pages ? cli_exit_code(SOV_E_CORRUPT) : 0) : 1;
	else
		status = cli_report(&err);
	pgsource_close(&s);
	cli_close_repository(repo);
	return status;
}

int
cmd_backup(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"jobs", required_argument, NULL, 'j'}, {"max-rate", required_argument, NULL, 'r'},
		{"label", required_argument, NULL, 'l'}, {"no-fast", no_argument, NULL, 'n'},
		{"full", no_argument, NULL, 'f'}, {"by-mtime", no_argument, NULL, 'm'},
		{"nice", no_argument, NULL, 'N'}, {"archive-timeout", required_argument, NULL, 't'},
		{"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}
	};
	long		cpus = sysconf(_SC_NPROCESSORS_ONLN),
				jobs = cpus > 4 ? 4 : cpus < 1 ? 1 : cpus;
	struct sov_backup_options opt = {.fast = true, .archive_timeout = 600};
	uint64_t	timeout;
	bool		json = false,
				yield = false;
	int			c;

	while ((c = cli_getopt(argc, argv, "j:", longs)) != -1)
		switch (c)
		{
			case 'j':
				if (!cli_number("backup", "--jobs", optarg, 1, 8, &jobs))
					return cli_exit_code(SOV_E_USAGE);
				break;
			case 'r':
				if (!cli_rate("backup", optarg, &opt.max_rate))
					return cli_exit_code(SOV_E_USAGE);
				break;
			case 'l':
				if (strlen(optarg) > 255)
					return cli_usage_error("backup", "--label is longer than 255 bytes");
				opt.label = optarg;
				break;
			case 'n':
				opt.fast = false;
				break;
			case 'f':
				opt.full = true;
				break;
			case 'm':
				opt.by_mtime = true;
				break;
			case 'N':
				yield = true;
				break;
			case 't':
				if (!sov_parse_duration(optarg, &timeout) || timeout > 7 * 86400)
					return cli_usage_error("backup", "--archive-timeout wants a time such as 10min, at most 7d, not \"%.40s\"", optarg);
				opt.archive_timeout = (int) timeout;
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
	if (opt.full && opt.by_mtime)
		return cli_usage_error("backup", "--full and --by-mtime exclude each other");
	return run(ctx, &opt, yield, json);
}
