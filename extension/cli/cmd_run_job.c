/*
 * cmd_run_job.c - run a command that was asked for as a job (include/sov_jobs.h).
 *
 * The command is the same, in this process; its progress and its end go to the
 * job's file, what it prints is the job's result.  Notes still go to standard
 * error: the server's log, where the server started it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli.h"
#include "sov_jobs.h"

const char	cmd_run_job_help[] =
	"pg_sovereign run-job - run a command that SQL asked for\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] run-job ID\n\n"
	"Started by the server; not to be run by hand.\n";

static void
to_job(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
	sov_job_progress(ctx, phase, done, total);
}

/* Standard output into memory from here on. */
static int
capture(void)
{
	int			fd = memfd_create("result", MFD_CLOEXEC);

	return fd >= 0 && dup2(fd, STDOUT_FILENO) >= 0 ? fd : -1;
}

static char *
captured(int fd)
{
	off_t		len = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
	char	   *text = len >= 0 ? malloc((size_t) len + 1) : NULL;

	if (text)
	{
		ssize_t		n = len > 0 ? pread(fd, text, (size_t) len, 0) : 0;

		text[n > 0 ? n : 0] = '\0';
	}
	return text;
}

int
cmd_run_job(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	struct sov_job *job;
	char	  **job_argv,
			   *output;
	int			job_argc,
				fd,
				status;
	long		id;

	if (argc != 2)
		return cli_usage_error("run-job", "say which job");
	if (!cli_number("run-job", "ID", argv[1], 1, INT32_MAX, &id))
		return cli_exit_code(SOV_E_USAGE);
	cli_catch_signals();		/* from the first moment on, a cancel is one */
	if (sov_config_read(sov_config_path(ctx->config_option), 0, &cfg, &err) != SOV_OK ||
		sov_job_begin(&cfg, (uint64_t) id, &job, &job_argc, &job_argv, &err) != SOV_OK)
		return cli_report(&err);
	cli_progress_to(to_job, job);
	fd = capture();
	status = cli_run(job_argc, job_argv, ctx);
	fflush(stdout);
	cli_progress_to(NULL, NULL);
	output = captured(fd);
	if (sov_job_end(job, status, cli_cancelled(NULL) && status != 0, cli_last_error(), output, &err) != SOV_OK)
		(void) cli_report(&err);
	free(output);
	return status;
}
