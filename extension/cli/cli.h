/*
 * cli.h - what the commands of pg_sovereign share.
 *
 * A command is a function cmd_xxx in a file of its own, with its help text
 * cmd_xxx_help beside it, and one line in the table of main.c.  argv[0] is the
 * command's name; it returns the exit code.  --help is answered before it runs.
 *
 *	int
 *	cmd_xxx(int argc, char **argv, const struct cli_context *ctx)
 *	{
 *		while ((opt = cli_getopt(argc, argv, "j:", longs)) != -1)
 *			switch (opt)
 *			{
 *				...
 *				default:
 *					return cli_exit_code(SOV_E_USAGE);	(it is reported)
 *			}
 *		if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK)
 *			return cli_report(&err);
 *
 * Results go to standard output; errors, notes and progress to standard error.
 */
#ifndef CLI_H
#define CLI_H

#include <getopt.h>
#include <jansson.h>

#include "sov_backup.h"
#include "sov_config.h"
#include "sov_error.h"
#include "sov_repo.h"

struct cli_context
{
	const char *config_option;	/* -c FILE, or NULL */
	const char *program;		/* how this program was called, for restore_command */
};

typedef int (*cli_function) (int argc, char **argv, const struct cli_context *ctx);

/* main.c: run the command argv[0] */
extern int	cli_run(int argc, char **argv, const struct cli_context *ctx);

/* --- report.c: the only place that turns errors into text and exit codes --- */

/*
 * Exit codes (also in extension/doc/reference.md and --help):
 * 0 done; 1 not found, or a failure of the system; 2 usage or configuration;
 * 3 key or custodian; 4 provider or quorum; 5 corrupt, tampered or malformed;
 * 6 state, exists already, conflict; 7 cancelled; 8 no space; 127 no such
 * command.
 * wal-fetch: 0 fetched; 1 certainly not there; 126 anything else, also usage,
 * so that PostgreSQL stops recovery instead of taking it for the end of WAL.
 */
extern int	cli_exit_code(enum sov_code code);
/* From here on the exit codes of wal-fetch hold. */
extern void cli_exit_codes_of_wal_fetch(void);
/* Print error and hint; returns the exit code. */
extern int	cli_report(const struct sov_error *err);
/* As if it were reported, for whoever asks for the last error; nothing is printed. */
extern void cli_remember(const struct sov_error *err);
/* What was reported last; NULL: nothing. */
extern const struct sov_error *cli_last_error(void);
/* The same for a mistake on the command line; says where help is. */
extern int	cli_usage_error(const char *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* For what allocates and frees large buffers all the time, with a bound of its own:
 * pages are kept, not given back and faulted in again. */
extern void cli_keep_memory(void);
extern void cli_return_memory(void);
/* A note for people on standard error; does not disturb the progress bar. */
extern void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same as a sov_note_fn; ctx is not used. */
extern void cli_note_callback(void *ctx, const char *message);

/* --- options.c --- */

/* getopt_long with our messages: -1 at the end, '?' when reported.  Operands
 * may stand between options; they are argv[optind] on at the end. */
extern int	cli_getopt(int argc, char **argv, const char *shorts, const struct option *longs);
/* A whole number in [min, max]; else reports and returns false. */
extern bool cli_number(const char *command, const char *option, const char *text, long min, long max, long *value);
/* --max-rate's bytes a second, not 0; else reports and returns false. */
extern bool cli_rate(const char *command, const char *text, uint64_t *rate);
/* --nice: lowest CPU and disk priority, of this thread and those it starts. */
extern void cli_give_way(void);
/* Read the configuration and refuse a root key in a bad place. */
extern enum sov_code cli_read_config(const struct cli_context *ctx, int need,
									 struct sov_config *cfg, struct sov_error *err);
/* Keep what the command has seen for those who do not ask providers (sov_facts.h),
 * and close; repo may be NULL. */
extern void cli_close_repository(struct sov_repo *repo);
/* Note in the audit log what a command did (code: how it ended), and bring it to the
 * providers where they can be reached; never fails the command.  repo may be NULL. */
extern void cli_audit(const struct sov_config *cfg, struct sov_repo *repo, int event, enum sov_code code, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Take the keys away from the server, or let it borrow them again (cmd_lock.c). */
extern int	cli_lock_server(const struct cli_context *ctx, bool lock);
/* "audit ship --follow" (audit_follow.c); returns the exit code when it is told to end. */
extern int	cli_audit_follow(const struct cli_context *ctx, struct sov_config *cfg, bool for_server);
/* Held by who follows; SOV_E_STATE when another process does. */
extern enum sov_code cli_audit_shipper_lock(const struct sov_config *cfg, int *fd, struct sov_error *err);
/* Print, and free, a JSON document; returns the exit code. */
extern int	cli_print_json(json_t *doc);
/* Wall clock, microseconds since 1970. */
extern int64_t cli_now_us(void);
/* "2026-03-01 10:00:00 UTC" of microseconds since 1970; returns dst. */
extern char *cli_time_text(int64_t us, char *dst, size_t cap);

/* --- facts.c --- */

/* What this host knows (sov_facts.h), and its last drills, oldest first (drills[]:
 * time, passed, error, backup, seconds by stage, ...), without asking providers.
 * NULL: err tells. */
extern json_t *cli_facts(const struct sov_config *cfg, struct sov_error *err);
/* A time of it, in seconds since 1970; 0: there is none. */
extern int64_t cli_fact_time(const json_t *object, const char *name);

/* --- recovery.c --- */

struct cli_time { int64_t us; char text[64]; };	/* since 1970; as the server takes it */
/* An ISO timestamp, with or without zone. */
extern bool cli_parse_time(const char *text, struct cli_time *out);
/* Leave providers out of the configuration. */
extern enum sov_code cli_without(struct sov_config *cfg, const char *const *names, int n, struct sov_error *err);
/* The whole restore_command for postgresql.auto.conf. */
#define CLI_COMMAND_MAX 10240
extern enum sov_code cli_restore_command(const struct sov_config *cfg, const char *const *without, int n_without,
										 char *dst, size_t cap, struct sov_error *err);

/* --- detach.c --- */

/* Run "pg_sovereign COMMAND PATH" in the background; path is made absolute. */
extern void cli_detach(const struct sov_config *cfg, const char *command, const char *path, const char *second);

/* --- progress.c --- */

/* Begin; what is a word such as "backup".  Returns the callbacks for the
 * engines (any thread); SIGINT and SIGTERM then cancel, the second one ends. */
extern const struct sov_progress *cli_progress_start(const char *what);
/* Finish the line. */
extern void cli_progress_stop(void);
/* Progress goes there instead (any thread); NULL: to standard error again. */
extern void cli_progress_to(void (*fn) (void *ctx, const char *what, uint64_t done, uint64_t total), void *ctx);
/* Without a progress bar: let SIGINT and SIGTERM set what cli_cancelled tells. */
extern void cli_catch_signals(void);
extern bool cli_cancelled(void *ctx);
/* Take the bar off the terminal while something is printed (report.c). */
extern void cli_progress_hide(void);

#endif
