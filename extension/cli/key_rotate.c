/*
 * key_rotate.c - a new root key, or a new custodian, while everything runs.
 *
 * Two steps, each of which can be killed and run again:
 *   rotate-root NEW-URI    every key-encryption key (of each database, and the
 *                          repository's) is wrapped under the new root key too;
 *                          from here on either root key opens everything
 *   rotate-root --finish   after [custody] root names the new one and all servers
 *                          use it: what is wrapped under another root key goes
 * Only wrapped keys are rewritten: no value, no backup.  The keyring also carries
 * the databases' keys, so that --finish brings a cluster restored from an older
 * backup, whose tables name the old root key, to the new one.
 *
 * A key is only stored when its custodian has given it back once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "databases.h"
#include "sov_audit.h"
#include "sov_custodian.h"
#include "sov_keyring.h"

struct rotation
{
	struct sov_config *cfg;
	struct sov_custodian *now;	/* of the configuration */
	struct sov_custodian *next; /* NULL: --finish */
	struct sov_repo *repo;		/* NULL: none is configured */
	struct sov_keyring_info *ring;	/* as it is, zeroed without repository */
	struct sov_keyring_kek keks[SOV_KEYRING_KEKS];	/* as it shall be */
	int			n_keks;
	uint8_t    *kek;			/* secret memory */
	int			databases,
				changed;
};

/* --- the keyring as it shall be --- */

static const struct sov_keyring_kek *
find_kek(const struct sov_keyring_kek *keks, int n, const char *domain, const uint8_t root_id[16])
{
	for (int i = 0; i < n; i++)
		if (strcmp(keks[i].domain, domain) == 0 && memcmp(keks[i].root_id, root_id, 16) == 0)
			return &keks[i];
	return NULL;
}

static enum sov_code
add_kek(struct rotation *r, const char *domain, struct sov_custodian *c, const uint8_t *blob, size_t len, struct sov_error *err)
{
	struct sov_keyring_kek *k = &r->keks[r->n_keks];

	if (r->n_keks == SOV_KEYRING_KEKS)
		return sov_fail(err, SOV_E_STATE, SOV_KEYRING_FULL_HINT, "a keyring holds at most %d wrapped keys", SOV_KEYRING_KEKS);
	memset(k, 0, sizeof *k);
	snprintf(k->domain, sizeof k->domain, "%s", domain);
	memcpy(k->root_id, c->root_id, 16);
	c->ops->describe(c, k->custodian, sizeof k->custodian);
	k->len = (uint16_t) len;
	memcpy(k->blob, blob, len);
	r->n_keks++;
	return SOV_OK;
}

/* A key that the keyring has, under the root keys that it shall be under. */
static enum sov_code
keep_kek(struct rotation *r, const char *domain, struct sov_error *err)
{
	const struct sov_keyring_kek *have = find_kek(r->ring->keks, r->ring->n_keks, domain, r->now->root_id);
	const struct sov_keyring_kek *next = r->next ? find_kek(r->ring->keks, r->ring->n_keks, domain, r->next->root_id) : NULL;
	struct sov_wrapped w;
	enum sov_code rc;

	if (have == NULL)
		return sov_fail(err, SOV_E_STATE, "point \"root\" in [custody] to the former root key and run \"pg_sovereign key rotate-root\" with the new one's URI",
						"the keyring does not hold the key of %s under the configured root key", domain);
	rc = r->now->ops->unwrap(r->now, have->blob, have->len, r->kek, err);
	if (rc == SOV_OK)
		rc = add_kek(r, domain, r->now, have->blob, have->len, err);
	if (rc == SOV_OK && next != NULL)
		rc = add_kek(r, domain, r->next, next->blob, next->len, err);
	else if (rc == SOV_OK && r->next != NULL)
	{
		rc = sov_custodian_wrap_proven(r->next, r->kek, &w, err);
		if (rc == SOV_OK)
			rc = add_kek(r, domain, r->next, w.blob, w.len, err);
	}
	return rc;
}

static bool
same_keks(const struct rotation *r)
{
	if (r->n_keks != r->ring->n_keks)
		return false;
	for (int i = 0; i < r->n_keks; i++)
	{
		const struct sov_keyring_kek *k = find_kek(r->ring->keks, r->ring->n_keks, r->keks[i].domain, r->keks[i].root_id);

		if (k == NULL || k->len != r->keks[i].len || memcmp(k->blob, r->keks[i].blob, k->len) != 0)
			return false;
	}
	return true;
}

static enum sov_code
rotate_repository(struct rotation *r, struct sov_error *err)
{
	enum sov_code rc = keep_kek(r, SOV_DOMAIN_REPOSITORY, err);

	/* the content custodian's is another's, and stays as it is, and so does the name of an
	 * object */
	for (int i = 0; rc == SOV_OK && i < r->ring->n_keks; i++)
		if (strcmp(r->ring->keks[i].domain, SOV_DOMAIN_CONTENT) == 0 || sov_keyring_names_subjects(&r->ring->keks[i]))
		{
			if (r->n_keks == SOV_KEYRING_KEKS)
				return sov_fail(err, SOV_E_STATE, SOV_KEYRING_FULL_HINT, "a keyring holds at most %d wrapped keys", SOV_KEYRING_KEKS);
			r->keks[r->n_keks++] = r->ring->keks[i];
		}
	/* of databases that are not here now */
	for (int i = 0; rc == SOV_OK && i < r->ring->n_keks; i++)
		if (strcmp(r->ring->keks[i].domain, SOV_DOMAIN_CONTENT) != 0 && !sov_keyring_names_subjects(&r->ring->keks[i]) &&
			find_kek(r->keks, r->n_keks, r->ring->keks[i].domain, r->now->root_id) == NULL)
			rc = keep_kek(r, r->ring->keks[i].domain, err);
	if (rc == SOV_OK && !same_keks(r))
	{
		rc = sov_repo_rewrap(r->repo, r->keks, r->n_keks, err);
		r->changed++;
	}
	if (rc == SOV_OK && r->next == NULL && sov_repo_remove_old_keyrings(r->repo) > 0)
		cli_note("older keyrings, wrapped under former root keys, could not be removed everywhere (a provider is away, or keeps objects); run this again later");
	return rc;
}

/* --- a database --- */

/* stored is split into what each root key wrapped; a bare one can only be told by
 * trying. */
static enum sov_code
open_stored(struct rotation *r, const char *domain, const uint8_t *stored, size_t len, struct sov_wrapped *mine, struct sov_error *err)
{
	struct sov_wrapped w[SOV_WRAPPED_ROOTS];
	const struct sov_keyring_kek *k;
	int			n = sov_wrapped_split(stored, len, w);
	enum sov_code rc = sov_custodian_unwrap(r->now, stored, len, r->kek, err);

	memcpy(mine->root_id, r->now->root_id, 16);
	for (int i = 0; i < n; i++)
		if (memcmp(w[i].root_id, r->now->root_id, 16) == 0)
			*mine = w[i];
	if (n == 0 && rc == SOV_OK && len <= sizeof mine->blob)
	{
		mine->len = len;
		memcpy(mine->blob, stored, len);
	}
	if (rc != SOV_E_KEY || err->retryable)
		return rc;
	/* restored from a backup older than the change: the keyring has it */
	k = find_kek(r->ring->keks, r->ring->n_keks, domain, r->now->root_id);
	if (k == NULL)
		return rc;
	mine->len = k->len;
	memcpy(mine->blob, k->blob, k->len);
	return r->now->ops->unwrap(r->now, k->blob, k->len, r->kek, err);
}

static enum sov_code
check_commitment(struct rotation *r, const char *hex, struct sov_error *err)
{
	uint8_t		want[32],
				got[32];
	enum sov_code rc = sov_commit(r->kek, "column KEK", got, err);

	if (rc == SOV_OK && (strlen(hex) != 64 || !sov_unhex(want, hex, 32) || !sov_equal(want, got, 32)))
		rc = sov_fail(err, SOV_E_AUTH, "restore the table key_domain from a dump of this database", "the wrapped key does not match its commitment");
	return rc;
}

static enum sov_code
store(struct rotation *r, struct database *db, const char *old_hex, const uint8_t *stored, size_t len, struct sov_error *err)
{
	struct sov_custodian *c = r->next ? r->next : r->now;
	char		hex[2 * SOV_WRAPPED_MAX + 1],
				id[37],
				about[256];
	const char *params[4] = {hex, id, about, old_hex};
	PGresult   *res;
	enum sov_code rc = SOV_OK;

	sov_hex(hex, stored, len);
	if (strcmp(hex, old_hex) == 0)
		return SOV_OK;
	sov_uuid_text(id, c->root_id);
	c->ops->describe(c, about, sizeof about);
	res = database_query(db, "WITH u AS (UPDATE %s.key_domain SET wrapped = pg_catalog.decode($1, 'hex'), root_id = $2::pg_catalog.uuid, custodian = $3"
						 " WHERE wrapped OPERATOR(pg_catalog.=) pg_catalog.decode($4, 'hex') RETURNING 1) SELECT pg_catalog.count(*), (SELECT %s.keys_changed()) FROM u", 4, params, err);
	if (res == NULL)
		rc = SOV_E_STATE;
	else if (strcmp(PQgetvalue(res, 0, 0), "1") != 0)
		rc = sov_fail(err, SOV_E_CONFLICT, "run it again", "database %s: its wrapped key was changed by somebody else meanwhile", db->name);
	else
		r->changed++;
	PQclear(res);
	return rc;
}

static enum sov_code
rotate_row(struct rotation *r, struct database *db, const char *id, const char *hex, const char *commitment, struct sov_error *err)
{
	struct sov_wrapped w[SOV_WRAPPED_ROOTS],
				old[SOV_WRAPPED_ROOTS];
	uint8_t		stored[SOV_WRAPPED_MAX];
	char		domain[SOV_NAME_MAX];
	size_t		len = strlen(hex) / 2;
	int			n;
	bool		have = false;
	enum sov_code rc;

	snprintf(domain, sizeof domain, "database %s", id);
	if (len > sizeof stored || !sov_unhex(stored, hex, len))
		return sov_fail(err, SOV_E_FORMAT, NULL, "the wrapped key of the database is malformed");
	n = sov_wrapped_split(stored, len, old);
	memset(w, 0, sizeof w);
	rc = open_stored(r, domain, stored, len, &w[0], err);
	if (rc == SOV_OK)
		rc = check_commitment(r, commitment, err);
	for (int i = 0; rc == SOV_OK && r->next && i < n; i++)
		if (memcmp(old[i].root_id, r->next->root_id, 16) == 0)
		{
			w[1] = old[i];		/* of an earlier try */
			have = true;
		}
	if (rc == SOV_OK && r->next && !have)
		rc = sov_custodian_wrap_proven(r->next, r->kek, &w[1], err);
	if (rc == SOV_OK)
		rc = store(r, db, hex, stored, sov_wrapped_join(w, r->next ? 2 : 1, stored), err);
	if (rc == SOV_OK)
		rc = add_kek(r, domain, r->now, w[0].blob, w[0].len, err);
	if (rc == SOV_OK && r->next)
		rc = add_kek(r, domain, r->next, w[1].blob, w[1].len, err);
	return rc;
}

/* The keys of epochs are beside the root key, unless the configuration says where. */
static enum sov_code
check_epochs(struct rotation *r, struct database *db, struct sov_error *err)
{
	PGresult   *res = database_query(db, "SELECT pg_catalog.to_regclass('%s.subject_epoch') IS NOT NULL", 0, NULL, err);
	enum sov_code rc = res ? SOV_OK : SOV_E_STATE;
	bool		any = rc == SOV_OK && PQgetvalue(res, 0, 0)[0] == 't';
	char		hint[512];

	PQclear(res);
	if (!any)
		return rc;
	res = database_query(db, "SELECT FROM %s.subject_epoch", 0, NULL, err);
	rc = res ? SOV_OK : SOV_E_STATE;
	if (rc == SOV_OK && PQntuples(res) > 0)
	{
		snprintf(hint, sizeof hint, "write  epochs = %.350s  into [custody] first; \"pg_sovereign key subjects --from\" moves them later", r->cfg->root);
		rc = sov_fail(err, SOV_E_STATE, hint, "the erasable keys of persons are beside the root key, and would not be found any more");
	}
	PQclear(res);
	return rc;
}

static enum sov_code
rotate_database(void *ctx, struct database *db, struct sov_error *err)
{
	struct rotation *r = ctx;
	PGresult   *res = database_query(db, "SELECT id, pg_catalog.encode(wrapped, 'hex'), pg_catalog.encode(commitment, 'hex') FROM %s.key_domain", 0, NULL, err);
	enum sov_code rc = res ? SOV_OK : SOV_E_STATE;

	if (rc == SOV_OK && r->next && r->cfg->epochs[0] == '\0' && (rc = check_epochs(r, db, err)) != SOV_OK)
		sov_error_prefix(err, "database %s", db->name);
	for (int i = 0; rc == SOV_OK && i < PQntuples(res); i++)
	{
		rc = rotate_row(r, db, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1), PQgetvalue(res, i, 2), err);
		if (rc != SOV_OK)
			sov_error_prefix(err, "database %s", db->name);
		r->databases++;
	}
	PQclear(res);
	return rc;
}

/* --- the command --- */

static enum sov_code
open_all(struct rotation *r, const char *new_uri, struct sov_error *err)
{
	static struct sov_config next_cfg;
	enum sov_code rc = sov_custodian_open(r->cfg->root, &r->now, err);

	if (rc == SOV_OK && new_uri)
	{
		next_cfg = *r->cfg;
		if (snprintf(next_cfg.root, sizeof next_cfg.root, "%s", new_uri) >= (int) sizeof next_cfg.root)
			return sov_fail(err, SOV_E_USAGE, NULL, "the URI is too long");
		rc = sov_custodian_check_uri(new_uri, err);
		if (rc == SOV_OK)
			rc = sov_custodian_check_place(&next_cfg, err);
		if (rc == SOV_OK)
			rc = sov_custodian_open(new_uri, &r->next, err);
		if (rc == SOV_OK && memcmp(r->now->root_id, r->next->root_id, 16) == 0)
			rc = sov_fail(err, SOV_E_STATE, "to end a change: pg_sovereign key rotate-root --finish", "this is the root key that is configured already");
	}
	r->ring = calloc(1, sizeof *r->ring);
	r->kek = sov_secret_alloc(SOV_KEY_LEN, err);
	if (rc == SOV_OK && (r->ring == NULL || r->kek == NULL))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK && r->cfg->n_providers > 0)
	{
		rc = sov_repo_open(r->cfg, cli_note_callback, NULL, &r->repo, err);
		if (rc == SOV_OK)
			rc = sov_repo_keyring_info(r->repo, r->ring, err);
	}
	return rc;
}

static void
say(const struct rotation *r, const char *new_uri)
{
	char		about[256];
	struct sov_custodian *c = r->next ? r->next : r->now;

	c->ops->describe(c, about, sizeof about);
	printf("%d database%s%s: %s\n", r->databases, r->databases == 1 ? "" : "s", r->repo ? " and the repository" : "",
		   r->changed ? "wrapped keys rewritten" : "nothing was left to do");
	if (new_uri)
		printf("both root keys open everything now; the new one: %s\n"
			   "next: write  root = %s  into [custody] of %s on every host that uses it,\n"
			   "reload the servers (SELECT pg_reload_conf()), then run: pg_sovereign key rotate-root --finish\n", about, new_uri, r->cfg->file);
	else
		printf("everything is under %s alone; no other root key is needed any more%s\n", about,
			   sov_keyring_content(r->ring) ? " but that of the content custodian" : "");
}

static void
note(const struct rotation *r, enum sov_code rc)
{
	char		about[256] = "";
	struct sov_custodian *c = r->next ? r->next : r->now;

	if (c != NULL)
		c->ops->describe(c, about, sizeof about);
	cli_audit(r->cfg, r->repo, SOV_AUDIT_KEY, rc, "key rotate-root%s: %d wrapped keys rewritten, under %.250s",
			  r->next ? "" : " --finish", r->changed, about);
}

int
key_rotate(struct sov_config *cfg, const char *new_uri)
{
	struct rotation *r = calloc(1, sizeof *r);
	struct sov_error err;
	int			status = 0;
	enum sov_code rc = SOV_OK;

	if (r == NULL)
		return 1;
	r->cfg = cfg;
	rc = open_all(r, new_uri, &err);
	if (rc == SOV_OK)
		rc = databases_all_open(cfg, &err);
	if (rc == SOV_OK)
		rc = databases_each(cfg, rotate_database, r, &err);
	if (rc == SOV_OK && r->repo)
		rc = rotate_repository(r, &err);
	if (rc == SOV_OK)
		say(r, new_uri);
	else
		status = cli_report(&err);
	note(r, rc);
	cli_close_repository(r->repo);
	sov_custodian_close(r->now);
	sov_custodian_close(r->next);
	sov_secret_free(r->kek);
	free(r->ring);
	free(r);
	return status;
}
