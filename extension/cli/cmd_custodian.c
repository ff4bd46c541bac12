/*
 * cmd_custodian.c - the helper that asks a custodian (protocol: sov_custodian.h).
 *
 * It ends with whoever started it; keys are in secret memory alone.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli.h"
#include "custodian_line.h"

const char	cmd_custodian_help[] =
	"pg_sovereign custodian - ask a custodian for another process\n\n"
	"Usage:\n"
	"  pg_sovereign custodian URI\n\n"
	"The server and the command run it; it is not for people.\n";

/* One write, from secret memory. */
static bool
answer(const char *line)
{
	size_t		len = strlen(line);

	return write(STDOUT_FILENO, line, len) == (ssize_t) len;
}

/* stdio would keep a copy of the keys in its buffer.  False at the end. */
static bool
request(char *line)
{
	size_t		len = 0;

	while (len < CUSTODIAN_LINE - 1 && read(STDIN_FILENO, line + len, 1) == 1)
	{
		if (line[len] == '\n')
		{
			line[len] = '\0';
			return true;
		}
		len++;
	}
	return false;
}

int
cmd_custodian(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_custodian *c = NULL;
	struct sov_error err;
	bool		wiped = sov_custodian_wipe_freed();
	char	   *line = sov_secret_alloc(CUSTODIAN_LINE, &err);
	uint8_t    *secret = sov_secret_alloc(32, &err);
	bool		more;

	if (argc != 2 || isatty(STDOUT_FILENO))
		return cli_usage_error("custodian", "the server and the command run this");
	if (line == NULL || secret == NULL)
		return cli_report(&err);
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	sov_error_clear(&err);
	if (wiped)
		(void) sov_custodian_open_here(argv[1], &c, &err);
	else
		sov_fail(&err, SOV_E_CRYPTO, NULL, "the libraries of this program do not let their memory be wiped");
	for (more = request(line); more; more = request(line))
	{
		if (c != NULL)
			custodian_serve(c, line, secret);
		else
			custodian_error(&err, line);
		if (!answer(line))
			break;
		sov_wipe(line, CUSTODIAN_LINE);
	}
	sov_custodian_close(c);
	sov_secret_free(line);
	sov_secret_free(secret);
	return 0;
}
