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
#include "sov_custodian.h"

const char	cmd_custodian_help[] =
	"pg_sovereign custodian - ask a custodian for another process\n\n"
	"Usage:\n"
	"  pg_sovereign custodian URI\n\n"
	"The server and the command run it; it is not for people.\n";

#define LINE_CAP 2048

/* One write, from secret memory. */
static bool
answer(const char *line)
{
	size_t		len = strlen(line);

	return write(STDOUT_FILENO, line, len) == (ssize_t) len;
}

static void
error_line(const struct sov_error *err, char *line)
{
	int			len = snprintf(line, LINE_CAP, "error %s%s ", sov_code_name(err->code), err->retryable ? "+" : "");
	char	   *at = line + len;

	/* one line, with one tab */
	len = snprintf(at, LINE_CAP - (size_t) len, "%s", err->message);
	for (; *at != '\0'; at++)
		if (*at == '\n' || *at == '\t')
			*at = ' ';
	snprintf(at, (size_t) (line + LINE_CAP - at), "\t%s", err->hint);
	for (at++; *at != '\0'; at++)
		if (*at == '\n')
			*at = ' ';
	strcat(line, "\n");
}

static void
describe(struct sov_custodian *c, char *line)
{
	char		text[256],
				id[37];

	c->ops->describe(c, text, sizeof text);
	sov_uuid_text(id, c->root_id);
	snprintf(line, LINE_CAP, "ok %s %s %s\n", id, sov_custodian_grade_name(c->grade), text);
}

/* line: the request, without its end; becomes the answer. */
static void
serve(struct sov_custodian *c, char *line, uint8_t *secret)
{
	struct sov_error err;
	uint8_t		blob[SOV_KWP_MAX];
	size_t		len = strlen(line);
	enum sov_code rc;

	sov_error_clear(&err);
	if (strcmp(line, "describe") == 0)
	{
		describe(c, line);
		return;
	}
	if (strncmp(line, "wrap ", 5) == 0 && len == 5 + 64 && sov_unhex(secret, line + 5, 32))
	{
		rc = c->ops->wrap(c, secret, blob, &len, &err);
		if (rc == SOV_OK)
			sov_hex(line + 3, blob, len);
	}
	else if (strncmp(line, "unwrap ", 7) == 0 && len % 2 == 1 && len <= 7 + 2 * SOV_KWP_MAX && sov_unhex(blob, line + 7, (len - 7) / 2))
	{
		rc = c->ops->unwrap(c, blob, (len - 7) / 2, secret, &err);
		if (rc == SOV_OK)
			sov_hex(line + 3, secret, 32);
	}
	else
		rc = sov_fail(&err, SOV_E_USAGE, NULL, "this request is not of the protocol");
	sov_wipe(secret, 32);
	if (rc != SOV_OK)
		error_line(&err, line);
	else
	{
		memcpy(line, "ok ", 3);
		strcat(line, "\n");
	}
}

/* stdio would keep a copy of the keys in its buffer.  False at the end. */
static bool
request(char *line)
{
	size_t		len = 0;

	while (len < LINE_CAP - 1 && read(STDIN_FILENO, line + len, 1) == 1)
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
	char	   *line = sov_secret_alloc(LINE_CAP, &err);
	uint8_t    *secret = sov_secret_alloc(32, &err);
	bool		more;

	if (argc != 2 || isatty(STDOUT_FILENO))
		return cli_usage_error("custodian", "the server and the command run this");
	if (line == NULL || secret == NULL)
		return cli_report(&err);
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	sov_error_clear(&err);
	(void) sov_custodian_open_here(argv[1], &c, &err);
	for (more = request(line); more; more = request(line))
	{
		if (c != NULL)
			serve(c, line, secret);
		else
			error_line(&err, line);
		if (!answer(line))
			break;
		sov_wipe(line, LINE_CAP);
	}
	sov_custodian_close(c);
	sov_secret_free(line);
	sov_secret_free(secret);
	return 0;
}
