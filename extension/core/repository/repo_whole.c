/*
 * repo_whole.c - objects that lie whole at every provider: is one what its name says?
 *
 * A seal and a signature say that it was ours once, and a provider can show what it had
 * then in another's place: so writer and number must be those of the name.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"
#include "sov_audit.h"

static enum sov_code
check_expected(const char *name, const char *expect, struct sov_error *err)
{
	return strcmp(expect, name) == 0 ? SOV_OK : sov_fail(err, SOV_E_AUTH, NULL, "it is %s, put in another's place", expect);
}

static enum sov_code
check_admin(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, struct sov_error *err)
{
	struct sov_admin_head *head = calloc(1, sizeof *head);
	char		expect[SOV_NAME_MAX];
	enum sov_code rc;

	if (head == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = sov_admin_decode(repo->keys, p, len, head, err);
	snprintf(expect, sizeof expect, "a/%016" PRIx64, head->seq);
	if (rc == SOV_OK && memcmp(head->controller_pub, repo->keys->controller_pub, 32) != 0)
		rc = sov_fail(err, SOV_E_AUTH, NULL, "it was certified by another controller");
	if (rc == SOV_OK)
		rc = check_expected(name, expect, err);
	sov_admin_head_free(head);
	free(head);
	return rc;
}

static enum sov_code
check_head(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, bool certified, struct sov_error *err)
{
	struct sov_head head;
	char		expect[SOV_NAME_MAX];
	const uint8_t *pub = repo_writer_pub(repo, strtoull(name + 2, NULL, 16));
	enum sov_code rc;

	if (pub == NULL && certified)
		return sov_fail(err, SOV_E_AUTH, NULL, "its writer is not certified, or was revoked");
	rc = sov_head_decode(repo->keys, p, len, pub, &head, err);
	if (rc != SOV_OK)
		return rc;
	snprintf(expect, sizeof expect, "h/%016" PRIx64 "/%016" PRIx64, head.writer, head.seq);
	return check_expected(name, expect, err);
}

static enum sov_code
check_audit(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, struct sov_error *err)
{
	struct sov_audit_batch b;
	char		expect[SOV_NAME_MAX];
	enum sov_code rc = sov_audit_batch_decode(repo->keys, p, len, &b, err);

	if (rc != SOV_OK)
		return rc;
	snprintf(expect, sizeof expect, "l/%016" PRIx64 "/%016" PRIx64, b.chain, b.batch);
	sov_audit_batch_free(&b);
	return check_expected(name, expect, err);
}

enum sov_code
repo_check_whole(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, bool certified, struct sov_error *err)
{
	switch (name[0])
	{
		case 'a':
			return check_admin(repo, name, p, len, err);
		case 'h':
			return check_head(repo, name, p, len, certified, err);
		case 'l':
			return check_audit(repo, name, p, len, err);
		default:
			return sov_fail(err, SOV_E_FORMAT, NULL, "%s is no object of this kind", name);
	}
}
