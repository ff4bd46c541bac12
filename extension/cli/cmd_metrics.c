/*
 * cmd_metrics.c - print metrics, or replace a file of them, for the textfile collector of
 * Prometheus' node exporter.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "sov_facts.h"

const char	cmd_metrics_help[] =
	"pg_sovereign metrics - numbers for monitoring, as OpenMetrics\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] metrics [--output FILE]\n\n"
	"Tells what the last commands of this host saw, and asks no provider.  Run it from\n"
	"a timer into a directory of the node exporter's textfile collector.\n\n"
	"Options:\n"
	"  --output FILE   replace this file, in one step, instead of printing\n";

/* Replaces a file in one step, readable for the collector. */
static int
write_file(const char *path, const char *text)
{
	char		tmp[4096];
	struct sov_error err;
	FILE	   *f;
	int			fd;
	bool		good;

	if (snprintf(tmp, sizeof tmp, "%s.XXXXXX", path) >= (int) sizeof tmp)
		return cli_usage_error("metrics", "the path of --output is too long");
	fd = mkstemp(tmp);
	f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (f)
		fputs(text, f);
	good = f && fchmod(fd, 0644) == 0 && fflush(f) == 0 && !ferror(f);
	if (f)
		good = fclose(f) == 0 && good;
	if (good && rename(tmp, path) == 0)
		return 0;
	sov_fail_errno(&err, errno, "give a file in a directory that this user may write", "could not write %s", path);
	if (fd >= 0)
		unlink(tmp);
	return cli_report(&err);
}

int
cmd_metrics(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
	struct sov_config cfg;
	struct sov_error err;
	const char *output = NULL;
	struct sov_buf text = {0};
	int			c,
				status = 0;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (c != 'o')
			return cli_exit_code(SOV_E_USAGE);
		output = optarg;
	}
	if (optind < argc)
		return cli_usage_error("metrics", "\"%.40s\" is one argument too many", argv[optind]);
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	if (sov_metrics_read(&cfg, &text, &err) != SOV_OK)
		status = cli_report(&err);
	else if (output)
		status = write_file(output, (const char *) text.data);
	else
		fputs((const char *) text.data, stdout);
	sov_buf_free(&text);
	return status;
}
