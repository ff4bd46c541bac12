/*
 * key_content.c - the pair of content keys of a repository: made later, made anew, told.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "databases.h"
#include "sov_audit.h"
#include "sov_custodian.h"

/* Who opens what the repository holds, where that is another. */
int
key_content_show(const struct sov_config *cfg)
{
	struct sov_custodian *c = NULL;
	struct sov_error err;
	char		text[1200];

	if (sov_custodian_open(cfg->content, &c, &err) != SOV_OK)
		return cli_report(&err);
	c->ops->describe(c, text, sizeof text);
	printf("content: %s\nit can be opened by this user\n", text);
	sov_custodian_close(c);
	return 0;
}

/* The repository gets a pair of content keys. */
int
key_write_only(struct sov_config *cfg)
{
	struct sov_seal_result res;
	struct sov_repo *repo = NULL;
	struct sov_error err;
	enum sov_code rc;

	cfg->write_only = false;	/* what it has stored so far is read for this once */
	rc = sov_repo_open(cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = sov_repo_seal_content(repo, &res, &err);
	cli_audit(cfg, repo, SOV_AUDIT_KEY, rc, "key write-only");
	cli_close_repository(repo);
	if (rc != SOV_OK)
		return cli_report(&err);
	if (res.made || res.dropped)
		printf("sealed to a public key: what is stored from now on, and the former content key of %" PRIu32 " backups; %" PRIu32 " parts of what hosts need of them were sealed anew\n",
			   res.backups, res.objects);
	else
		printf("sealed to a public key already; nothing was left to do\n");
	if (res.keyrings_left > 0)
		cli_note("older keyrings, which open the former content key, could not be removed everywhere (a provider is away, or keeps objects); run this again later");
	if (res.dropped)
		cli_note("whoever copied an older keyring and has this root key reads what was stored until now: change it (key rotate-root), and destroy the former one");
	printf("next: take \"content\" out of [custody] of %s, and write  host = write-only  into [repository]\n", cfg->file);
	return 0;
}

/* A place where the private key may be. */
static enum sov_code
check_next(const struct sov_config *cfg, const char *uri, struct sov_error *err)
{
	struct sov_config *next = malloc(sizeof *next);
	enum sov_code rc = next ? sov_custodian_check_uri(uri, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		*next = *cfg;
	if (rc == SOV_OK && snprintf(next->content, sizeof next->content, "%s", uri) >= (int) sizeof next->content)
		rc = sov_fail(err, SOV_E_USAGE, NULL, "the URI is too long");
	if (rc == SOV_OK)
		rc = sov_custodian_check_place(next, err);
	free(next);
	return rc;
}

int
key_content_rotate(const struct sov_config *cfg, const char *next_uri)
{
	struct sov_repo *repo = NULL;
	struct sov_error err;
	int			left = 0;
	enum sov_code rc = next_uri ? check_next(cfg, next_uri, &err) : SOV_OK;

	if (rc == SOV_OK)
		rc = sov_repo_open(cfg, cli_note_callback, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = sov_repo_rotate_content(repo, next_uri, &err);
	if (rc == SOV_OK)
		left = sov_repo_remove_old_keyrings(repo);
	cli_audit(cfg, repo, SOV_AUDIT_KEY, rc, "key rotate-content %.300s", next_uri ? next_uri : "");
	cli_close_repository(repo);
	if (rc != SOV_OK)
		return cli_report(&err);
	printf("a new pair of content keys: what is stored from now on opens with its private key alone; what was stored before opens with the former ones, which are kept with it\n");
	if (left > 0)
		cli_note("older keyrings could not be removed everywhere (a provider is away, or keeps objects)");
	if (next_uri)
		printf("next: write  content = %s  into [custody] of every host that restores\n", next_uri);
	return 0;
}
