/*
 * custodian_line.c - answers requests of the protocol of custodians (sov_custodian.h).
 */
#include <stdio.h>
#include <string.h>

#include "custodian_line.h"

void
custodian_error(const struct sov_error *err, char *line)
{
	int			len = snprintf(line, CUSTODIAN_LINE, "error %s%s ", sov_code_name(err->code), err->retryable ? "+" : "");
	char	   *at = line + len;

	/* one line, with one tab */
	len = snprintf(at, CUSTODIAN_LINE - (size_t) len, "%s", err->message);
	for (; *at != '\0'; at++)
		if (*at == '\n' || *at == '\t')
			*at = ' ';
	snprintf(at, (size_t) (line + CUSTODIAN_LINE - at), "\t%s", err->hint);
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
	snprintf(line, CUSTODIAN_LINE, "ok %s %s %s\n", id, sov_custodian_grade_name(c->grade), text);
}

void
custodian_serve(struct sov_custodian *c, char *line, uint8_t *secret)
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
		custodian_error(&err, line);
	else
	{
		memcpy(line, "ok ", 3);
		strcat(line, "\n");
	}
}
