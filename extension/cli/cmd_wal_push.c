/*
 * cmd_wal.c - wal-push: archive_command.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "cli.h"
#include "sov_wal.h"

#define SETTLE_US 10000000		/* what is owed must not hold up what comes */

const char	cmd_wal_push_help[] =
	"pg_sovereign wal-push - archive one WAL file\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-push PATH\n\n"
	"For archive_command = 'pg_sovereign wal-push %p'.  archive_library =\n"
	"'pg_sovereign' does the same without a process for each file.  The segments that\n"
	"are ready after this one go along, several at a time, and are acknowledged when\n"
	"they are asked for.  Exit status 0 means that k+1 holders have\n"
	"it: providers, or all but one of them and the local spool of what is owed.\n"
	"A file that is archived with the same content is fine, with other content it is\n"
	"an error (exit status 6).\n";

const char	cmd_wal_push_ahead_help[] =
	"pg_sovereign wal-push-ahead - archive the segments that are ready after a file\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-push-ahead PATH\n\n"
	"Started by wal-push; not to be run by hand.\n";

const char	cmd_wal_push_ask_help[] =
	"pg_sovereign wal-push-ask - ask the providers that did not answer whether they do now\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-push-ask PATH\n\n"
	"Started by wal-push; not to be run by hand.\n";

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
	bool		more;
	enum sov_code rc;

	if (cli_getopt(argc, argv, "", no_options) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (argc - optind != 1)
		return cli_usage_error("wal-push", "say which file: archive_command = 'pg_sovereign wal-push %%p'");
	rc = sov_config_read(sov_config_path(ctx->config_option), 0, &cfg, &err);
	if (rc == SOV_OK && sov_wal_pushed_ahead(&cfg, argv[optind], &more))
	{
		if (more)
			cli_detach(&cfg, "wal-push-ahead", argv[optind], NULL);
		return 0;
	}
	cli_keep_memory();
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = sov_repo_open_brief(&cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = sov_wal_pusher_open(repo, &pusher, &err);
	if (rc == SOV_OK)
		rc = sov_wal_push_along(pusher, argv[optind], &res, &err);
	/* Acknowledged: what is owed is a bonus here. */
	if (rc == SOV_OK)
	{
		struct sov_error ignored;

		(void) sov_repo_settle(repo, SETTLE_US, &left, &ignored);
		if (sov_repo_down_due(repo))
			cli_detach(&cfg, "wal-push-ask", argv[optind], NULL);
	}
	sov_wal_pusher_close(pusher);
	sov_repo_close(repo);
	return rc == SOV_OK ? 0 : cli_report(&err);
}

int
cmd_wal_push_ahead(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	enum sov_code rc;

	if (cli_getopt(argc, argv, "", no_options) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (argc - optind != 1)
		return cli_usage_error("wal-push-ahead", "say after which file");
	(void) prctl(PR_SET_NAME, "pg_sovereign");	/* not "exe" */
	cli_keep_memory();
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = sov_wal_push_ahead(&cfg, argv[optind], &err);
	return rc == SOV_OK ? 0 : cli_report(&err);
}

int
cmd_wal_push_ask(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	enum sov_code rc;

	if (cli_getopt(argc, argv, "", no_options) != -1)
		return cli_exit_code(SOV_E_USAGE);
	(void) prctl(PR_SET_NAME, "pg_sovereign");	/* not "exe" */
	cli_keep_memory();
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK)
		rc = sov_repo_ask_down_for_others(&cfg, &err);
	return rc == SOV_OK ? 0 : cli_report(&err);
}
