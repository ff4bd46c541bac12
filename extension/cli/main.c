/*
 * main.c - finds the command and runs it.
 *
 * A new command is one line in COMMANDS: its name, the suffix of cmd_... and
 * cmd_..._help, and what it does (NULL hides it from the usage).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "sov_custodian.h"
#include "sov_secret.h"
#include "sov_text.h"

#define COMMANDS(X) \
	X("key", key, "make a root key, tell where keys are") \
	X("lock", lock, "take the keys of encrypted columns away from the server") \
	X("unlock", unlock, "give a share of a split root key, or undo lock") \
	X("init", init, "make the repository at every provider") \
	X("check", check, "try everything that a backup will need") \
	X("backup", backup, "back the cluster up to all providers") \
	X("list", list, "backups, WAL, providers, and what is owed to them") \
	X("restore", restore, "bring a cluster back, to the end of WAL or to a target") \
	X("drill", drill, "prove that a restore works, and how long it takes") \
	X("wal-push", wal_push, "archive one WAL file (archive_command)") \
	X("wal-fetch", wal_fetch, "bring one WAL file back (restore_command)") \
	X("custody-call", custody_call, NULL) \
	X("wal-pushd", wal_pushd, NULL) \
	X("wal-push-ahead", wal_push_ahead, NULL) \
	X("wal-push-ask", wal_push_ask, NULL) \
	X("wal-fetchd", wal_fetchd, NULL) \
	X("verify", verify, "find what is missing or damaged at the providers") \
	X("repair", repair, "rebuild what is missing or damaged") \
	X("prune", prune, "delete backups and WAL that the rules do not keep") \
	X("audit", audit, "prove and export the log of who opened what") \
	X("provider", provider, "what is known of providers, and what they really do") \
	X("plan", plan, "show what a changed configuration moves") \
	X("apply", apply, "carry out a changed configuration") \
	X("upgrade", upgrade, "go on with the cluster that pg_upgrade made") \
	X("metrics", metrics, "numbers for monitoring, as OpenMetrics") \
	X("report", report, "where the data are, and who can reach them") \
	X("run-job", run_job, NULL) \
	X("custodian", custodian, NULL) \
	X("quorum-hold", quorum_hold, NULL)

#define DECLARE(name, suffix, summary) \
	extern int cmd_##suffix(int argc, char **argv, const struct cli_context *ctx); \
	extern const char cmd_##suffix##_help[];
COMMANDS(DECLARE)

struct command
{
	const char *name;
	cli_function run;
	const char *help;
	const char *summary;
};

#define ENTRY(name, suffix, summary) {name, cmd_##suffix, cmd_##suffix##_help, summary},
static const struct command commands[] = {COMMANDS(ENTRY)};
#define N_COMMANDS ((int) (sizeof commands / sizeof commands[0]))

static void
usage(void)
{
	printf("pg_sovereign - encrypted columns and backups over several providers, with keys of your own\n\n"
		   "Usage:\n  pg_sovereign [-c FILE] COMMAND [options]\n\nCommands:\n");
	for (int i = 0; i < N_COMMANDS; i++)
		if (commands[i].summary != NULL)
			printf("  %-12s %s\n", commands[i].name, commands[i].summary);
	printf("\nOptions:\n"
		   "  -c, --config=FILE   configuration; else PG_SOVEREIGN_CONFIG, else\n"
		   "                      /etc/pg_sovereign/pg_sovereign.conf\n"
		   "  --help              this text; after a command: its own\n"
		   "  --version           version of this program\n\n"
		   "Exit status:\n"
		   "  0  done                             5  corrupt, tampered or malformed data\n"
		   "  1  not found, or system failure     6  wrong state, exists already, conflict\n"
		   "  2  usage or configuration           7  cancelled\n"
		   "  3  key or custodian                 8  no space\n"
		   "  4  provider or quorum               127  no such command\n"
		   "  wal-fetch: 1 only when the file certainly does not exist, 126 for all else\n");
}

static const struct command *
find_command(const char *name)
{
	for (int i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* 127, as a shell says it: a misspelt restore_command must stop recovery too. */
static int
unknown_command(const char *name)
{
	const char *names[N_COMMANDS + 1];
	const char *near;
	int			n = 0;

	for (int i = 0; i < N_COMMANDS; i++)
		if (commands[i].summary != NULL)
			names[n++] = commands[i].name;
	names[n] = NULL;
	near = sov_nearest(name, names);
	if (near != NULL)
		(void) cli_usage_error(NULL, "there is no command \"%.40s\"; did you mean \"%s\"?", name, near);
	else
		(void) cli_usage_error(NULL, "there is no command \"%.40s\"", name);
	return 127;
}

int
cli_run(int argc, char **argv, const struct cli_context *ctx)
{
	const struct command *cmd = find_command(argv[0]);

	if (cmd == NULL)
		return unknown_command(argv[0]);
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0)
		{
			fputs(cmd->help, stdout);
			return 0;
		}
	optind = 1;
	return cmd->run(argc, argv, ctx);
}

/* The options before the command.  Returns its index, 0 when all is done
 * (*status says how). */
static int
global_options(int argc, char **argv, struct cli_context *ctx, int *status)
{
	int			i;

	*status = 0;
	for (i = 1; i < argc && argv[i][0] == '-'; i++)
	{
		if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0)
		{
			if (i + 1 == argc)
			{
				*status = cli_usage_error(NULL, "option %s needs a file", argv[i]);
				return 0;
			}
			ctx->config_option = argv[++i];
		}
		else if (strncmp(argv[i], "--config=", 9) == 0)
			ctx->config_option = argv[i] + 9;
		else if (strncmp(argv[i], "-c", 2) == 0)
			ctx->config_option = argv[i] + 2;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "-?") == 0)
		{
			usage();
			return 0;
		}
		else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
		{
			printf("pg_sovereign %s\n", SOV_VERSION);
			return 0;
		}
		else
		{
			*status = cli_usage_error(NULL, "unknown option \"%.40s\"", argv[i]);
			return 0;
		}
	}
	if (i < argc)
		return i;
	*status = cli_usage_error(NULL, "a command is missing");
	return 0;
}

int
main(int argc, char **argv)
{
	struct cli_context ctx = {.program = argv[0]};
	int			status,
				first;

	sov_secret_harden_process();
	sov_custodian_set_program("/proc/self/exe");
	signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "wal-fetch") == 0)
			cli_exit_codes_of_wal_fetch();
	first = global_options(argc, argv, &ctx, &status);
	if (first > 0)
		status = cli_run(argc - first, argv + first, &ctx);
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0)
	{
		struct sov_error err;

		sov_fail_errno(&err, errno, NULL, "could not write to standard output");
		status = cli_report(&err);
	}
	return status;
}
