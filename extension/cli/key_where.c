/*
 * key_where.c - where every key is, and which root keys are still needed.
 *
 * Told from what is stored: the databases' tables and the repository's keyring say
 * under which root keys their key-encryption keys are wrapped.  What cannot be
 * asked is said, because then nothing is proven about it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "databases.h"
#include "sov_custodian.h"
#include "sov_keyring.h"
#include "sov_quorum.h"

struct whereabouts
{
	json_t	   *databases,
			   *roots;			/* id -> true */
};

static void
need_root(struct whereabouts *w, const char *id)
{
	json_object_set_new(w->roots, id, json_true());
}

/* The root keys that open what is stored; a bare one names its own in root_id. */
static json_t *
roots_of(struct whereabouts *w, const char *hex, const char *root_id)
{
	struct sov_wrapped parts[SOV_WRAPPED_ROOTS];
	uint8_t		stored[SOV_WRAPPED_MAX];
	size_t		len = strlen(hex) / 2;
	json_t	   *list = json_array();
	char		id[37];
	int			n = 0;

	if (len <= sizeof stored && sov_unhex(stored, hex, len))
		n = sov_wrapped_split(stored, len, parts);
	for (int i = 0; i < n; i++)
	{
		sov_uuid_text(id, parts[i].root_id);
		json_array_append_new(list, json_string(id));
		need_root(w, id);
	}
	if (n == 0)
	{
		json_array_append_new(list, json_string(root_id));
		need_root(w, root_id);
	}
	return list;
}

/* Who may open values, in words. */
#define MAY_USE "CASE WHEN granted_to IS NULL THEN 'every role' WHEN granted_to OPERATOR(pg_catalog.=) '{}' THEN 'nobody' ELSE pg_catalog.array_to_string(granted_to, ', ') END" \
	" || CASE WHEN NOT needs_purpose THEN '' WHEN purposes IS NULL THEN ', for a purpose' WHEN purposes OPERATOR(pg_catalog.=) '{}' THEN ', for no purpose'" \
	" ELSE ', for ' || pg_catalog.array_to_string(purposes, ', ') END || coalesce('; break-glass by ' || pg_catalog.array_to_string(break_glass_by, ', '), '')"

static json_t *
column_keys(struct database *db, struct sov_error *err)
{
	json_t	   *list = json_array();
	PGresult   *res = database_query(db, "SELECT name, version, current, created, " MAY_USE ", sealed, on_loan FROM %s.keys ORDER BY name, created", 0, NULL, err);

	for (int i = 0; res && i < PQntuples(res); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:s, s:I, s:o}", "name", PQgetvalue(res, i, 0), "version", PQgetvalue(res, i, 1),
											  "current", PQgetvalue(res, i, 2)[0] == 't', "created", PQgetvalue(res, i, 3), "may_use", PQgetvalue(res, i, 4),
											  "seals_counted", (json_int_t) strtoll(PQgetvalue(res, i, 5), NULL, 10),
											  "on_loan", PQgetisnull(res, i, 6) ? json_null() : json_boolean(PQgetvalue(res, i, 6)[0] == 't')));
	PQclear(res);
	return list;
}

/* The erasable keys of persons, where there are any. */
static json_t *
epochs_of(struct database *db, struct sov_error *err)
{
	json_t	   *list = json_array();
	PGresult   *res = database_query(db, "SELECT pg_catalog.to_regclass('%s.subject_epoch') IS NOT NULL", 0, NULL, err);
	bool		any = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';

	PQclear(res);
	res = any ? database_query(db, "SELECT epoch, custodian, grade, created FROM %s.subject_epoch ORDER BY epoch", 0, NULL, err) : NULL;
	for (int i = 0; res && i < PQntuples(res); i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "epoch", PQgetvalue(res, i, 0), "custodian", PQgetvalue(res, i, 1),
											  "grade", PQgetvalue(res, i, 2), "created", PQgetvalue(res, i, 3)));
	PQclear(res);
	return list;
}

static enum sov_code
see_database(void *ctx, struct database *db, struct sov_error *err)
{
	struct whereabouts *w = ctx;
	PGresult   *res = database_query(db, "SELECT pg_catalog.encode(wrapped, 'hex'), root_id, custodian, (SELECT (last_value + is_called::pg_catalog.int4) * 64 FROM %s.key_seals) FROM %s.key_domain", 0, NULL, err);

	if (res == NULL)
		return SOV_E_STATE;
	if (PQntuples(res) == 1)
		json_array_append_new(w->databases, json_pack("{s:s, s:s, s:o, s:s, s:o, s:o}", "database", db->name, "custodian", PQgetvalue(res, 0, 2),
													  "root_ids", roots_of(w, PQgetvalue(res, 0, 0), PQgetvalue(res, 0, 1)),
													  "values_sealed", PQgetvalue(res, 0, 3), "keys", column_keys(db, err), "epochs", epochs_of(db, err)));
	PQclear(res);
	return SOV_OK;
}

static json_t *
see_keyring(struct whereabouts *w, const struct sov_keyring_info *ring)
{
	json_t	   *wrapped = json_array(),
			   *keys = json_array();
	char		id[37],
				version[9];

	for (int i = 0; i < ring->n_keks; i++)
	{
		if (sov_keyring_names_subjects(&ring->keks[i]))
			continue;
		sov_uuid_text(id, ring->keks[i].root_id);
		need_root(w, id);
		json_array_append_new(wrapped, json_pack("{s:s, s:s, s:s}", "of", ring->keks[i].domain, "root_id", id, "custodian", ring->keks[i].custodian));
	}
	for (int i = 0; i < ring->n_keys; i++)
	{
		snprintf(version, sizeof version, "%08x", (unsigned) ring->keys[i].version);
		json_array_append_new(keys, json_pack("{s:s, s:s, s:s}", "name", ring->keys[i].name, "version", version, "of", ring->keys[i].domain));
	}
	return json_pack("{s:s, s:I, s:o, s:o, s:b}", "name", ring->repo_name, "keyring", (json_int_t) ring->seq, "wrapped", wrapped, "keys", keys,
					 "sealed_content", sov_keyring_content(ring) != NULL);
}

static json_t *
see_repository(struct whereabouts *w, const struct sov_config *cfg, struct sov_error *err)
{
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	struct sov_repo *repo = NULL;
	json_t	   *found = NULL;

	if (ring == NULL)
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	else if (sov_repo_open(cfg, cli_note_callback, NULL, &repo, err) == SOV_OK && sov_repo_keyring_info(repo, ring, err) == SOV_OK)
		found = see_keyring(w, ring);
	cli_close_repository(repo);
	free(ring);
	return found;
}

static void
print_key(const json_t *k)
{
	const json_t *loan = json_object_get(k, "on_loan");

	printf("  key %s, version %s%s, of %s: may be used by %s; %lld seals counted; %s\n", json_string_value(json_object_get(k, "name")), json_string_value(json_object_get(k, "version")),
		   json_is_true(json_object_get(k, "current")) ? " (current)" : "", json_string_value(json_object_get(k, "created")), json_string_value(json_object_get(k, "may_use")),
		   (long long) json_integer_value(json_object_get(k, "seals_counted")),
		   json_is_true(loan) ? "now in the server's memory, on loan" : json_is_false(loan) ? "now only wrapped" : "now wrapped, and in sessions that use it");
}

static void
print_text(const struct sov_config *cfg, json_t *doc)
{
	json_t	   *item,
			   *sub;
	const char *id;
	size_t		i,
				j;

	printf("root key: custodian \"%.*s\", %s (%s, line %d)\n", (int) strcspn(cfg->root, ":"), cfg->root, cfg->root + strcspn(cfg->root, ":") + 1, cfg->file, cfg->root_line);
	item = json_object_get(doc, "ceremony");
	if (json_is_object(item))
	{
		printf("  split %s, ceremony %s; any %d of:", json_string_value(json_object_get(item, "made")), json_string_value(json_object_get(item, "set")), (int) json_integer_value(json_object_get(item, "threshold")));
		json_array_foreach(json_object_get(item, "holders"), j, sub)
			printf("%s %s", j ? "," : "", json_string_value(sub));
		printf("\n");
	}
	json_array_foreach(json_object_get(doc, "databases"), i, item)
	{
		printf("database %s: key-encryption key at %s\n", json_string_value(json_object_get(item, "database")), json_string_value(json_object_get(item, "custodian")));
		json_array_foreach(json_object_get(item, "root_ids"), j, sub)
			printf("  opened by root key %s\n", json_string_value(sub));
		json_array_foreach(json_object_get(item, "keys"), j, sub)
			print_key(sub);
	}
	json_array_foreach(json_object_get(doc, "databases"), i, item)
		json_array_foreach(json_object_get(item, "epochs"), j, sub)
			printf("database %s: keys of persons, epoch %s, erasable (%s) at %s\n", json_string_value(json_object_get(item, "database")),
				   json_string_value(json_object_get(sub, "epoch")), json_string_value(json_object_get(sub, "grade")), json_string_value(json_object_get(sub, "custodian")));
	item = json_object_get(doc, "repository");
	json_array_foreach(json_object_get(item, "wrapped"), i, sub)
		printf("repository: key of %s under root key %s, %s\n", json_string_value(json_object_get(sub, "of")), json_string_value(json_object_get(sub, "root_id")), json_string_value(json_object_get(sub, "custodian")));
	if (json_is_true(json_object_get(item, "sealed_content")))
		printf("repository: content is sealed to a public key; only the root key of content opens it, which a write-only host does not need\n");
	json_object_foreach(json_object_get(doc, "needed_roots"), id, sub)
		printf("root key %s is needed\n", id);
	if (json_object_size(json_object_get(doc, "needed_roots")) > 0)
		printf("%s\n", json_is_true(json_object_get(doc, "complete")) ? "no other root key is needed" : "what could not be asked may need others");
}

/* Of a root key that is split among people: who holds it; null for others. */
static json_t *
ceremony(const struct sov_config *cfg)
{
	struct sov_quorum q;
	struct sov_error err;
	const char *record;
	json_t	   *holders;
	char		set[17];

	if (strncmp(cfg->root, SOV_QUORUM_SCHEME ":", sizeof SOV_QUORUM_SCHEME) != 0)
		return json_null();
	if (sov_quorum_uri(cfg->root, &record, &err) != SOV_OK || sov_quorum_record_read(record, &q, &err) != SOV_OK)
	{
		cli_note("who holds the root key is not known: %s", err.message);
		return json_null();
	}
	holders = json_array();
	for (int i = 0; i < q.n; i++)
		json_array_append_new(holders, json_string(q.holders[i].name));
	sov_hex(set, q.set, 8);
	return json_pack("{s:s, s:s, s:i, s:o}", "set", set, "made", q.made, "threshold", q.k, "holders", holders);
}

json_t *
key_where_document(const struct sov_config *cfg)
{
	struct whereabouts w = {.databases = json_array(), .roots = json_object()};
	struct sov_error err;
	json_t	   *repository = NULL;
	bool		complete = true;

	sov_error_clear(&err);
	if (cfg->connection[0] && (databases_each(cfg, see_database, &w, &err) != SOV_OK || databases_all_open(cfg, &err) != SOV_OK))
	{
		cli_note("not all databases could be asked: %s", err.message);
		complete = false;
	}
	if (cfg->n_providers > 0 && (repository = see_repository(&w, cfg, &err)) == NULL)
	{
		cli_note("the repository could not be asked: %s", err.message);
		complete = false;
	}
	if (!cfg->connection[0])
		complete = false;
	return json_pack("{s:s%, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:b}", "custodian", cfg->root, strcspn(cfg->root, ":"), "root", cfg->root,
					 "configuration", cfg->file, "line", cfg->root_line, "ceremony", ceremony(cfg), "databases", w.databases,
					 "repository", repository ? repository : json_null(), "needed_roots", w.roots, "complete", complete);
}

int
key_where(const struct sov_config *cfg, bool json)
{
	json_t	   *doc = key_where_document(cfg);

	if (json)
		return cli_print_json(doc);
	print_text(cfg, doc);
	json_decref(doc);
	return 0;
}
