/*
 * key_subjects.c - erasable persons: epochs, and what a restore needs.
 *
 * For each database, in this order:
 *   load      its epoch is older than the one that the repository's keyring names: it
 *             was restored from before an erasure.  The repository's state replaces its
 *             own
 *   renew     persons wait for the end of the epoch: a new erasable key is made, all
 *             group keys are wrapped under the new KEK, in one transaction
 *   close     former epochs: the new state is brought to the repository, and only then
 *             the key of the former epoch destroyed, at the custodian
 * Each step is told from the tables; killed anywhere, running it again finishes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key_subjects.h"
#include "sov_audit.h"

/* --- the repository --- */

static enum sov_code
need_repo(struct subjects_work *w, struct sov_error *err)
{
	return w->repo ? SOV_OK : sov_repo_open(w->cfg, cli_note_callback, NULL, &w->repo, err);
}

static enum sov_code
load_state(struct subjects_work *w, struct sov_buf *state, struct sov_error *err)
{
	enum sov_code rc;

	sov_write_u8(state, 0);
	if (state->bad)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = subjects_run(w, "SELECT %s.load_subjects($1::pg_catalog.jsonb)", 1, (const char *const[]) {(const char *) state->data}, err);
	if (rc == SOV_OK)
	{
		printf("database %s: it was restored from before an erasure; the keys of persons are those of the repository now\n", w->db->name);
		w->done++;
	}
	return rc;
}

/* Two databases with one id: one was loaded from a dump of the other, or made from it as
 * a template, and hangs on the same epoch. */
static enum sov_code
check_twin(const struct subjects_work *w, struct sov_error *err)
{
	for (int i = 0; i < w->n_seen; i++)
		if (memcmp(w->seen[i].id, w->database, 16) == 0 && strcmp(w->seen[i].name, w->db->name) != 0)
			return sov_fail(err, SOV_E_STATE, "drop the one that is not needed, or decrypt_column() what it has of persons and DELETE FROM its table subject_epoch",
							"database %s is a copy of this one, or the other way round, and its persons would be lost with the key of this epoch: it is not destroyed", w->seen[i].name);
	return SOV_OK;
}

static enum sov_code
load(struct subjects_work *w, int64_t current, struct sov_error *err)
{
	struct sov_buf state = {0};
	struct sov_error none;
	json_t	   *doc = NULL;
	enum sov_code rc = need_repo(w, err);

	if (rc == SOV_OK)
		rc = sov_repo_get_subjects(w->repo, w->database, &state, err);
	if (rc == SOV_E_NOTFOUND)
	{
		sov_error_clear(&none);
		*err = none;
		return SOV_OK;
	}
	if (rc == SOV_OK && (doc = json_loadb((const char *) state.data, state.len, 0, NULL)) == NULL)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "the repository's keys of persons are not JSON");
	if (rc == SOV_OK && json_integer_value(json_object_get(doc, "epoch")) > current)
	{
		/* or it would be given the keys of the other's persons */
		rc = check_twin(w, err);
		if (rc == SOV_OK)
			rc = load_state(w, &state, err);
	}
	json_decref(doc);
	sov_buf_free(&state);
	return rc;
}

static enum sov_code
store_state(struct subjects_work *w, struct sov_error *err)
{
	PGresult   *r;
	enum sov_code rc = need_repo(w, err);

	if (rc != SOV_OK)
		return rc;
	r = database_query(w->db, "SELECT %s.subject_state()", 0, NULL, err);
	if (r == NULL)
		return SOV_E_STATE;
	rc = sov_repo_put_subjects(w->repo, w->database, value(r, 0, 0), (size_t) PQgetlength(r, 0, 0), err);
	PQclear(r);
	return rc;
}

/* --- whose epoch it is --- */

static enum sov_code
adopt_epochs(struct subjects_work *w, struct sov_error *err)
{
	enum sov_code rc = subjects_run(w, "UPDATE %s.subject_epoch SET server = " SERVER, 0, NULL, err);

	if (rc == SOV_OK)
	{
		printf("database %s: this server ends its epochs from now on\n", w->db->name);
		w->done++;
	}
	return rc;
}

/* A copy of a cluster has the same epoch as the original: ending it there would take
 * the keys of all persons away from the original. */
static enum sov_code
check_server(struct subjects_work *w, struct sov_error *err)
{
	int64_t		other = 0;
	enum sov_code rc = subjects_count(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch WHERE server OPERATOR(pg_catalog.<>) " SERVER, &other, err);

	if (rc != SOV_OK || other == 0)
		return rc;
	if (w->adopt)
		return adopt_epochs(w, err);
	return sov_fail(err, SOV_E_STATE, "if the original is gone for good, or this server has taken its place, run: pg_sovereign key subjects --adopt",
					"this server is a copy (restored or promoted) of the one that made the key of this epoch, which may still be in use there: it is not destroyed");
}

static enum sov_code
note_database(void *ctx, struct database *db, struct sov_error *err)
{
	struct subjects_work *w = ctx;
	struct seen *grown;
	int64_t		n = 0;
	PGresult   *r = database_query(db, "SELECT (SELECT id FROM %s.key_domain), pg_catalog.to_regclass('%s.subject_epoch') IS NOT NULL", 0, NULL, err);
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	w->db = db;
	if (rc == SOV_OK && value(r, 0, 1)[0] == 't')
		rc = subjects_count(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch", &n, err);
	if (rc == SOV_OK && n > 0)
	{
		grown = realloc(w->seen, (size_t) (w->n_seen + 1) * sizeof *grown);
		if (grown == NULL)
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		else
		{
			w->seen = grown;
			snprintf(grown[w->n_seen].name, sizeof grown->name, "%s", db->name);
			w->n_seen += sov_uuid_parse(grown[w->n_seen].id, value(r, 0, 0));
		}
	}
	PQclear(r);
	return rc;
}

/* --- close --- */

static enum sov_code
close_former(struct subjects_work *w, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, "SELECT epoch, id, grade, custodian, beside FROM %s.subject_epoch WHERE epoch OPERATOR(pg_catalog.<) (SELECT pg_catalog.max(epoch) FROM %s.subject_epoch) ORDER BY epoch", 0, NULL, err);
	int64_t		left = 0;
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	if (rc == SOV_OK && PQntuples(r) > 0)
		rc = subjects_count(w, "SELECT pg_catalog.count(*) FROM %s.subject_group WHERE epoch OPERATOR(pg_catalog.<>) (SELECT pg_catalog.max(epoch) FROM %s.subject_epoch)", &left, err);
	if (rc == SOV_OK && left > 0)
		rc = sov_fail(err, SOV_E_STATE, "restore the table subject_group", "%lld groups of persons are under a former epoch, so its key is not destroyed", (long long) left);
	if (rc == SOV_OK && PQntuples(r) > 0 && w->cfg->n_providers > 0)
		rc = store_state(w, err);
	for (int i = 0; rc == SOV_OK && i < PQntuples(r); i++)
		rc = epoch_destroy(w, r, i, err);
	/* the certificates as well, which say now what was destroyed */
	if (rc == SOV_OK && PQntuples(r) > 0 && w->cfg->n_providers > 0)
		rc = store_state(w, err);
	PQclear(r);
	return rc;
}

/* --- the command --- */

static enum sov_code
see_database(void *ctx, struct database *db, struct sov_error *err)
{
	struct subjects_work *w = ctx;
	int64_t		current = 0,
				pending = 0,
				epochs = 0;
	PGresult   *r = database_query(db, "SELECT (SELECT id FROM %s.key_domain), pg_catalog.to_regclass('%s.subject_epoch') IS NOT NULL", 0, NULL, err);
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	w->db = db;
	if (rc != SOV_OK || !sov_uuid_parse(w->database, value(r, 0, 0)) || value(r, 0, 1)[0] != 't')
	{
		PQclear(r);
		return rc;
	}
	PQclear(r);
	rc = subjects_count(w, "SELECT coalesce(pg_catalog.max(epoch), 0) FROM %s.subject_epoch", &current, err);
	if (rc == SOV_OK && w->cfg->n_providers > 0 && (current > 0 || w->begin == NULL))
		rc = load(w, current, err);
	if (rc == SOV_OK)
		rc = subjects_count(w, PENDING, &pending, err);
	if (rc == SOV_OK && w->begin && strcmp(w->begin, db->name) == 0 && current == 0)
		rc = epoch_first(w, err);
	if (rc == SOV_OK)
		rc = subjects_count(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch", &epochs, err);
	if (rc == SOV_OK && (pending > 0 || epochs > 1 || w->adopt || w->moved))
		rc = check_server(w, err);
	if (rc == SOV_OK && (pending > 0 || epochs > 1 || w->moved))
		rc = check_twin(w, err);
	if (rc == SOV_OK && epochs > 0 && (pending > 0 || w->moved))
		rc = epoch_renew(w, err);
	if (rc == SOV_OK)
		rc = close_former(w, err);
	if (rc != SOV_OK)
		sov_error_prefix(err, "database %s", db->name);
	return rc;
}

int
key_subjects(struct sov_config *cfg, const char *begin, const char *from, bool adopt)
{
	static struct sov_config former;
	struct subjects_work w = {.cfg = cfg, .from = cfg, .begin = begin, .adopt = adopt, .moved = from != NULL};
	struct sov_error err;
	int			status = 0;
	enum sov_code rc;

	sov_error_clear(&err);
	if (from != NULL)
	{
		former = *cfg;
		if (snprintf(former.epochs, sizeof former.epochs, "%s", from) >= (int) sizeof former.epochs || sov_custodian_check_uri(from, &err) != SOV_OK)
			return cli_usage_error("key", "--from takes the URI beside which the former keys of epochs are");
		w.from = &former;
	}
	rc = databases_wait(cfg, &err);
	if (rc == SOV_OK)
		rc = databases_each(cfg, note_database, &w, &err);
	if (rc == SOV_OK)
		rc = databases_each(cfg, see_database, &w, &err);
	if (rc != SOV_OK)
		status = cli_report(&err);
	else if (w.done == 0)
		printf("nothing was left to do\n");
	if (rc != SOV_OK || w.done > 0)
		cli_audit(cfg, w.repo, SOV_AUDIT_KEY, rc, "key subjects%s%.300s", from ? " --from " : adopt ? " --adopt" : "", from ? from : "");
	cli_close_repository(w.repo);
	free(w.seen);
	return status;
}
