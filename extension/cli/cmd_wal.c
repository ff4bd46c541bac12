/*
 * cmd_wal.c - wal-push and wal-fetch: archive_command and restore_command.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_wal.h"

const char	cmd_wal_push_help[] =
	"pg_sovereign wal-push - archive one WAL file\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-push PATH\n\n"
	"For archive_command = 'pg_sovereign wal-push %p'.  archive_library =\n"
	"'pg_sovereign' does the same faster.  Exit status 0 means that k+1 holders have\n"
	"it: providers, or all but one of them and the local spool of what is owed.\n"
	"A file that is archived with the same content is fine, with other content it is\n"
	"an error (exit status 6).\n";

const char	cmd_wal_fetch_help[] =
	"pg_sovereign wal-fetch - bring one WAL file back\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-fetch [--without PROVIDER ...] NAME PATH\n\n"
	"For restore_command = 'pg_sovereign wal-fetch %f \"%p\"', which 'restore' sets.\n\n"
	"Exit status: 0 fetched; 1 it certainly does not exist; 126 anything else, so that\n"
	"the server stops recovery instead of taking it for the end of WAL.\n";

static const struct option fetch_options[] = {{"without", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
static const struct option no_options[] = {{NULL, 0, NULL, 0}};

int
cmd_wal_push(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	struct sov_wal_pusher *pusher = NULL;
	struct sov_wal_push_result res;
	uint64_t	left;
	enum sov_code rc;

	if (cli_getopt(argc, argv, "", no_options) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (argc - optind != 1)
		return cli_usage_error("wal-push", "say which file: archive_command = 'pg_sovereign wal-push %%p'");
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = sov_wal_pusher_open(repo, &pusher, &err);
	if (rc == SOV_OK)
		rc = sov_wal_push(pusher, argv[optind], &res, &err);
	/* Acknowledged: what is owed is a bonus here. */
	if (rc == SOV_OK)
	{
		struct sov_error ignored;

		(void) sov_repo_settle(repo, 0, &left, &ignored);
	}
	sov_wal_pusher_close(pusher);
	sov_repo_close(repo);
	return rc == SOV_OK ? 0 : cli_report(&err);
}

int
cmd_wal_fetch(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	const char *without[SOV_MAX_PROVIDERS];
	int			n_without = 0,
				c;
	enum sov_code rc;

	while ((c = cli_getopt(argc, argv, "", fetch_options)) != -1)
	{
		if (c != 'w' || n_without == SOV_MAX_PROVIDERS)
			return cli_exit_code(SOV_E_USAGE);
		without[n_without++] = optarg;
	}
	if (argc - optind != 2)
		return cli_usage_error("wal-fetch", "say which file and where to: wal-fetch NAME PATH");
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = cli_without(&cfg, without, n_without, &err);
	if (rc == SOV_OK)
	{
		rc = sov_repo_open(&cfg, cli_note_callback, NULL, &repo, &err);
		/* A repository that is not there is no end of WAL. */
		if (rc == SOV_E_NOTFOUND)
			rc = err.code = SOV_E_STATE;
	}
	if (rc == SOV_OK)
		rc = sov_wal_fetch(repo, argv[optind], argv[optind + 1], &err);
	sov_repo_close(repo);
	if (rc == SOV_E_NOTFOUND)
		return cli_exit_code(SOV_E_NOTFOUND);	/* the server asks for many that never were */
	return rc == SOV_OK ? 0 : cli_report(&err);
}
