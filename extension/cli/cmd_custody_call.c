/*
 * cmd_custody_call.c - asks the custodian for the server (protocol: sov_custody.h).
 *
 * Keys are only ever in secret memory here; an answer is written from there by one
 * write().  It dies with the worker that started it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli.h"
#include "sov_custody.h"

const char	cmd_custody_call_help[] =
	"pg_sovereign custody-call - ask the custodian for the server\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] custody-call\n\n"
	"The server runs it; it is not for people.\n";

/* The word and the hexadecimal digits of a wrapped key. */
#define LINE_CAP (2 * SOV_WRAPPED_MAX + 48)

struct caller
{
	struct sov_config cfg;
	struct sov_custodian *custodian;
	struct sov_error err;		/* why there is none */
	struct sov_custody_answer *answer;	/* secret memory */
};

static void
open_custodian(struct caller *c, const struct cli_context *ctx)
{
	struct sov_config *cfg = &c->cfg;

	if (sov_config_read(sov_config_path(ctx->config_option), SOV_NEED_CUSTODY, cfg, &c->err) != SOV_OK)
		return;
	/* the server runs in its data directory */
	if (cfg->data_directory[0] == '\0' && getcwd(cfg->data_directory, sizeof cfg->data_directory) == NULL)
		cfg->data_directory[0] = '\0';
	if (sov_custodian_check_place(cfg, &c->err) == SOV_OK)
		(void) sov_custodian_open(cfg->root, &c->custodian, &c->err);
}

static enum sov_code
unwrap(struct caller *c, struct sov_custodian *custodian, const char *hex, struct sov_error *err)
{
	size_t		len = strlen(hex) / 2;
	uint8_t		blob[SOV_WRAPPED_MAX];

	if (len > sizeof blob || strlen(hex) % 2 != 0 || !sov_unhex(blob, hex, len))
		return sov_fail(err, SOV_E_FORMAT, NULL, "a wrapped key is not written as it should be");
	return sov_custodian_unwrap(custodian, blob, len, c->answer->key, err);
}

/* "ID HEX": under the erasable key of an epoch, which may be gone. */
static enum sov_code
unwrap_epoch(struct caller *c, const char *line, struct sov_error *err)
{
	struct sov_custodian *custodian = NULL;
	uint8_t		id[16];
	char		hex[33];
	int			tries = 0;
	enum sov_code rc;

	if (sscanf(line, "%32[0-9a-f] ", hex) != 1 || strlen(hex) != 32 || line[32] != ' ' || !sov_unhex(id, hex, sizeof id))
		return sov_fail(err, SOV_E_FORMAT, NULL, "the id of an epoch is not written as it should be");
	/* in the moment in which another epoch's key is made or destroyed, a device may be busy */
	do
		rc = sov_custodian_open_epoch(&c->cfg, id, &custodian, err);
	while (rc != SOV_OK && err->retryable && ++tries < 5 && usleep(200000) == 0);
	if (rc == SOV_OK)
		rc = unwrap(c, custodian, line + 33, err);
	if (rc == SOV_OK)
	{
		memcpy(c->answer->root_id, custodian->root_id, sizeof c->answer->root_id);
		custodian->ops->describe(custodian, c->answer->about, sizeof c->answer->about);
	}
	sov_custodian_close(custodian);
	return rc;
}

static enum sov_code
make(struct caller *c, struct sov_error *err)
{
	enum sov_code rc = sov_random(c->answer->key, SOV_KEY_LEN, err);

	if (rc == SOV_OK)
		rc = c->custodian->ops->wrap(c->custodian, c->answer->key, c->answer->blob, &c->answer->blob_len, err);
	return rc;
}

static void
answer_line(struct caller *c, const char *line)
{
	struct sov_custody_answer *a = c->answer;
	struct sov_error err;
	enum sov_code rc = SOV_OK;

	sov_wipe(a, sizeof *a);
	sov_error_clear(&err);
	a->magic = SOV_CUSTODY_MAGIC;
	a->size = sizeof *a;
	a->lease_us = c->cfg.lease * 1000000;
	a->renew_us = c->cfg.renew * 1000000;
	if (c->custodian == NULL)
	{
		a->err = c->err;
		return;
	}
	if (strncmp(line, "open ", 5) == 0)
		rc = unwrap(c, c->custodian, line + 5, &err);
	else if (strncmp(line, "epoch ", 6) == 0)
		rc = unwrap_epoch(c, line + 6, &err);
	else if (strcmp(line, "new") == 0)
		rc = make(c, &err);
	else
		rc = sov_fail(&err, SOV_E_USAGE, NULL, "this call of the custodian is not known");
	if (rc != SOV_OK)
	{
		sov_wipe(a->key, sizeof a->key);
		a->err = err;
		return;
	}
	if (a->about[0] != '\0')
		return;
	memcpy(a->root_id, c->custodian->root_id, sizeof a->root_id);
	c->custodian->ops->describe(c->custodian, a->about, sizeof a->about);
}

int
cmd_custody_call(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{NULL, 0, NULL, 0}};
	static struct caller c;
	char		line[LINE_CAP];
	int			status = 0;

	if (cli_getopt(argc, argv, "", longs) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (isatty(STDOUT_FILENO))
		return cli_usage_error("custody-call", "the server runs this; it writes keys");
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	c.answer = sov_secret_alloc(sizeof *c.answer, &c.err);
	if (c.answer == NULL)
		return cli_report(&c.err);
	open_custodian(&c, ctx);
	while (status == 0 && fgets(line, sizeof line, stdin) != NULL)
	{
		line[strcspn(line, "\n")] = '\0';
		answer_line(&c, line);
		if (write(STDOUT_FILENO, c.answer, sizeof *c.answer) != (ssize_t) sizeof *c.answer)
			status = 1;			/* nobody listens any more */
	}
	sov_custodian_close(c.custodian);
	sov_secret_free(c.answer);
	return status;
}
