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
 * Each step is told from the tables; killed anywhere, running it again finishes.  The id
 * of a new epoch is committed (subject_next) before its key is made, so that a key which
 * was made and not used is found again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "databases.h"
#include "sov_subject.h"

struct work
{
	struct sov_config *cfg;
	const char *begin;			/* a database that is to have its first epoch */
	struct sov_config *from;	/* where the keys of former epochs are: cfg, or --from */
	bool		moved;			/* --from: the epoch ends without an erasure */
	bool		adopt;			/* this server takes the place of the one that made the epochs */
	struct sov_repo *repo;		/* opened when it is needed first */
	struct database *db;
	uint8_t		database[16];
	int			done;
	struct seen
	{
		uint8_t		id[16];
		char		name[64];
	}			*seen;			/* databases with epochs */
	int			n_seen;
};

/* The system identifier and the timeline: a copy that was promoted has another one. */
#define SERVER "(SELECT s.system_identifier || '/' || c.timeline_id FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c)"

/* One epoch, opened. */
struct epoch
{
	int64_t		number;
	struct sov_epoch_key key;
	struct sov_aead *kek;
	char		id[37];
	char		root[37];
	char		about[256];
	const char *grade;
	char		wrapped[2 * SOV_KWP_MAX + 1];
	char		commitment[65];
};

static const char *
value(const PGresult *r, int row, int col)
{
	return PQgetvalue(r, row, col);
}

/* A device that another process uses in the same moment may be well in the next. */
static bool
try_again(int *tries, enum sov_code rc, const struct sov_error *err)
{
	if (rc == SOV_OK || !err->retryable || ++*tries >= 25)
		return false;
	usleep(200000);
	return true;
}

static enum sov_code
run(struct work *w, const char *sql, int n, const char *const *params, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, sql, n, params, err);

	PQclear(r);
	return r ? SOV_OK : SOV_E_STATE;
}

static enum sov_code
number_of(struct work *w, const char *sql, int64_t *out, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, sql, 0, NULL, err);

	if (r == NULL)
		return SOV_E_STATE;
	*out = PQntuples(r) == 1 ? strtoll(value(r, 0, 0), NULL, 10) : 0;
	PQclear(r);
	return SOV_OK;
}

/* --- the repository --- */

static enum sov_code
need_repo(struct work *w, struct sov_error *err)
{
	return w->repo ? SOV_OK : sov_repo_open(w->cfg, cli_note_callback, NULL, &w->repo, err);
}

static enum sov_code
load_state(struct work *w, struct sov_buf *state, struct sov_error *err)
{
	enum sov_code rc;

	sov_write_u8(state, 0);
	if (state->bad)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = run(w, "SELECT %s.load_subjects($1::pg_catalog.jsonb)", 1, (const char *const[]) {(const char *) state->data}, err);
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
check_twin(const struct work *w, struct sov_error *err)
{
	for (int i = 0; i < w->n_seen; i++)
		if (memcmp(w->seen[i].id, w->database, 16) == 0 && strcmp(w->seen[i].name, w->db->name) != 0)
			return sov_fail(err, SOV_E_STATE, "drop the one that is not needed, or decrypt_column() what it has of persons and DELETE FROM its table subject_epoch",
							"database %s is a copy of this one, or the other way round, and its persons would be lost with the key of this epoch: it is not destroyed", w->seen[i].name);
	return SOV_OK;
}

static enum sov_code
load(struct work *w, int64_t current, struct sov_error *err)
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
store_state(struct work *w, struct sov_error *err)
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

/* --- epochs --- */

static void
close_epoch(struct epoch *e)
{
	sov_aead_free(e->kek);
	e->kek = NULL;
}

/* The URI beside which keys of epochs are; it holds no secret. */
static const char *
beside(const struct sov_config *cfg)
{
	return cfg->epochs[0] ? cfg->epochs : cfg->root;
}

/* Before the transaction that uses it. */
static enum sov_code
choose_next(struct work *w, struct sov_error *err)
{
	return run(w, "INSERT INTO %s.subject_next SELECT pg_catalog.gen_random_uuid() WHERE NOT EXISTS (SELECT FROM %s.subject_next)", 0, NULL, err);
}

static enum sov_code
take_next(struct work *w, struct epoch *e, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, "DELETE FROM %s.subject_next RETURNING id", 0, NULL, err);
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	if (rc == SOV_OK && (PQntuples(r) != 1 || !sov_uuid_parse(e->key.epoch, value(r, 0, 0))))
		rc = sov_fail(err, SOV_E_STATE, "run it again", "another one made an epoch meanwhile");
	PQclear(r);
	return rc;
}

/* A new key at the custodian, and a KEK that it wraps. */
static enum sov_code
make_epoch(struct work *w, struct epoch *e, struct sov_error *err)
{
	struct sov_custodian *c = NULL;
	struct sov_wrapped wrapped;
	uint8_t		commitment[32];
	uint8_t    *kek = sov_secret_alloc(SOV_KEY_LEN, err);
	int			tries = 0;
	enum sov_code rc = kek ? take_next(w, e, err) : SOV_E_NOMEM;

	memcpy(e->key.database, w->database, 16);
	if (rc == SOV_OK)
		do
			rc = sov_custodian_create_epoch_here(w->cfg, e->key.epoch, err);
		while (try_again(&tries, rc, err));
	if (rc == SOV_OK)
		do
			rc = sov_custodian_open_epoch(w->cfg, e->key.epoch, &c, err);
		while (try_again(&tries, rc, err));
	if (rc == SOV_OK && c->grade == SOV_GRADE_NONE)
		rc = sov_fail(err, SOV_E_UNSUPPORTED, "write epochs = pkcs11:..., kmip:..., vault:... or file:... into [custody]", "the custodian cannot destroy keys");
	if (rc == SOV_OK)
		rc = sov_random(kek, SOV_KEY_LEN, err);
	if (rc == SOV_OK)
		rc = sov_custodian_wrap_proven(c, kek, &wrapped, err);
	if (rc == SOV_OK)
		rc = sov_commit(kek, SOV_EPOCH_COMMIT, commitment, err);
	if (rc == SOV_OK && (e->kek = sov_aead_new(kek, err)) == NULL)
		rc = SOV_E_NOMEM;
	if (rc == SOV_OK)
	{
		e->key.kek = e->kek;
		e->grade = sov_custodian_grade_name(c->grade);
		sov_uuid_text(e->id, e->key.epoch);
		sov_uuid_text(e->root, c->root_id);
		c->ops->describe(c, e->about, sizeof e->about);
		sov_hex(e->wrapped, wrapped.blob, wrapped.len);
		sov_hex(e->commitment, commitment, 32);
	}
	sov_custodian_close(c);
	sov_secret_free(kek);
	return rc;
}

static enum sov_code
insert_epoch(struct work *w, const struct epoch *e, struct sov_error *err)
{
	char		number[24];

	snprintf(number, sizeof number, "%lld", (long long) e->number);
	return run(w, "INSERT INTO %s.subject_epoch (epoch, id, root_id, custodian, grade, wrapped, commitment, beside, server)"
			   " VALUES ($1::pg_catalog.int8, $2::pg_catalog.uuid, $3::pg_catalog.uuid, $4, $5, pg_catalog.decode($6, 'hex'), pg_catalog.decode($7, 'hex'), $8, " SERVER ")", 8,
			   (const char *const[]) {number, e->id, e->root, e->about, e->grade, e->wrapped, e->commitment, beside(w->cfg)}, err);
}

/* The KEK of the newest epoch, which has this number. */
static enum sov_code
open_epoch(struct work *w, struct epoch *e, struct sov_error *err)
{
	struct sov_custodian *c = NULL;
	uint8_t		stored[SOV_WRAPPED_MAX],
				want[32],
				got[32];
	uint8_t    *kek = sov_secret_alloc(SOV_KEY_LEN, err);
	PGresult   *r = kek ? database_query(w->db, "SELECT epoch, id, pg_catalog.encode(wrapped, 'hex'), pg_catalog.encode(commitment, 'hex') FROM %s.subject_epoch ORDER BY epoch DESC LIMIT 1", 0, NULL, err) : NULL;
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;
	size_t		len = 0;
	int			tries = 0;

	memcpy(e->key.database, w->database, 16);
	if (rc == SOV_OK)
	{
		e->number = strtoll(value(r, 0, 0), NULL, 10);
		snprintf(e->id, sizeof e->id, "%s", value(r, 0, 1));
		len = strlen(value(r, 0, 2)) / 2;
		if (!sov_uuid_parse(e->key.epoch, e->id) || len > sizeof stored || !sov_unhex(stored, value(r, 0, 2), len) ||
			strlen(value(r, 0, 3)) != 64 || !sov_unhex(want, value(r, 0, 3), 32))
			rc = sov_fail(err, SOV_E_FORMAT, NULL, "the table subject_epoch is malformed");
	}
	if (rc == SOV_OK)
		do
			rc = sov_custodian_open_epoch(w->from, e->key.epoch, &c, err);
		while (try_again(&tries, rc, err));
	if (rc == SOV_OK)
		rc = sov_custodian_unwrap(c, stored, len, kek, err);
	if (rc == SOV_OK)
		rc = sov_commit(kek, SOV_EPOCH_COMMIT, got, err);
	if (rc == SOV_OK && !sov_equal(got, want, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the key of epoch %lld does not match its commitment", (long long) e->number);
	if (rc == SOV_OK && (e->kek = sov_aead_new(kek, err)) == NULL)
		rc = SOV_E_NOMEM;
	e->key.kek = e->kek;
	sov_custodian_close(c);
	sov_secret_free(kek);
	PQclear(r);
	return rc;
}

/* --- whose epoch it is --- */

static enum sov_code
adopt_epochs(struct work *w, struct sov_error *err)
{
	enum sov_code rc = run(w, "UPDATE %s.subject_epoch SET server = " SERVER, 0, NULL, err);

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
check_server(struct work *w, struct sov_error *err)
{
	int64_t		other = 0;
	enum sov_code rc = number_of(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch WHERE server OPERATOR(pg_catalog.<>) " SERVER, &other, err);

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
	struct work *w = ctx;
	struct seen *grown;
	int64_t		n = 0;
	PGresult   *r = database_query(db, "SELECT (SELECT id FROM %s.key_domain), pg_catalog.to_regclass('%s.subject_epoch') IS NOT NULL", 0, NULL, err);
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	w->db = db;
	if (rc == SOV_OK && value(r, 0, 1)[0] == 't')
		rc = number_of(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch", &n, err);
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

/* --- renew --- */

static enum sov_code
rewrap_row(const struct epoch *from, const struct epoch *to, struct sov_group_room *room, PGresult *r, int row,
		   struct sov_buf *numbers, struct sov_buf *wrapped, struct sov_error *err)
{
	static struct sov_group g;
	char		hex[2 * SOV_GROUP_WRAPPED + 1];
	const char *comma = row ? "," : "";
	enum sov_code rc;

	g.number = strtoull(value(r, row, 0), NULL, 10);
	if (strlen(value(r, row, 1)) != 2 * sizeof g.wrapped || !sov_unhex(g.wrapped, value(r, row, 1), sizeof g.wrapped) ||
		strlen(value(r, row, 2)) != 64 || !sov_unhex(g.commitment, value(r, row, 2), 32))
		return sov_fail(err, SOV_E_FORMAT, NULL, "the table subject_group is malformed");
	rc = sov_group_rewrap(&from->key, &to->key, room, &g, err);
	if (rc != SOV_OK)
		return rc;
	sov_hex(hex, g.wrapped, sizeof g.wrapped);
	sov_write_bytes(numbers, comma, strlen(comma));
	sov_write_bytes(numbers, value(r, row, 0), strlen(value(r, row, 0)));
	sov_write_bytes(wrapped, comma, strlen(comma));
	sov_write_bytes(wrapped, hex, strlen(hex));
	return numbers->bad || wrapped->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

static enum sov_code
rewrap_all(struct work *w, const struct epoch *from, const struct epoch *to, struct sov_error *err)
{
	struct sov_buf numbers = {0},
				wrapped = {0};
	struct sov_group_room *room = sov_group_room_new(err);
	char		number[24];
	PGresult   *r = room ? database_query(w->db, "SELECT grp, pg_catalog.encode(wrapped, 'hex'), pg_catalog.encode(commitment, 'hex') FROM %s.subject_group", 0, NULL, err) : NULL;
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	sov_write_bytes(&numbers, "{", 1);
	sov_write_bytes(&wrapped, "{", 1);
	for (int i = 0; rc == SOV_OK && i < PQntuples(r); i++)
		rc = rewrap_row(from, to, room, r, i, &numbers, &wrapped, err);
	sov_write_bytes(&numbers, "}", 2);
	sov_write_bytes(&wrapped, "}", 2);
	snprintf(number, sizeof number, "%lld", (long long) to->number);
	if (rc == SOV_OK)
		rc = run(w, "UPDATE %s.subject_group g SET wrapped = pg_catalog.decode(u.w, 'hex'), epoch = $3::pg_catalog.int8"
				 " FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) u(n, w)"
				 " WHERE g.grp OPERATOR(pg_catalog.=) u.n", 3, (const char *const[]) {(const char *) numbers.data, (const char *) wrapped.data, number}, err);
	PQclear(r);
	sov_group_room_free(room);
	sov_buf_free(&numbers);
	sov_buf_free(&wrapped);
	return rc;
}

/* persons that wait for the end of the current epoch */
#define PENDING "SELECT pg_catalog.count(*) FROM %s.erasure WHERE destroyed IS NULL AND epoch OPERATOR(pg_catalog.=) (SELECT pg_catalog.max(e.epoch) FROM %s.subject_epoch e)"

/* In a transaction that nobody makes a group beside. */
static enum sov_code
renew_locked(struct work *w, struct sov_error *err)
{
	struct epoch from = {0},
				to = {0};
	int64_t		pending = 0;
	bool		made = false;
	enum sov_code rc = run(w, "LOCK TABLE %s.subject_group, %s.subject_epoch, %s.erasure IN SHARE ROW EXCLUSIVE MODE", 0, NULL, err);

	if (rc == SOV_OK)
		rc = number_of(w, PENDING, &pending, err);
	if (rc == SOV_OK && (pending > 0 || w->moved))
		rc = open_epoch(w, &from, err);
	if (rc == SOV_OK && (pending > 0 || w->moved))
	{
		rc = make_epoch(w, &to, err);
		made = rc == SOV_OK;
		to.number = from.number + 1;
	}
	if (made)
		rc = rewrap_all(w, &from, &to, err);
	if (made && rc == SOV_OK)
		rc = insert_epoch(w, &to, err);
	if (made && rc == SOV_OK)
		rc = run(w, "SELECT %s.subjects_changed()", 0, NULL, err);
	close_epoch(&from);
	close_epoch(&to);
	return rc;
}

static enum sov_code
in_transaction(struct work *w, enum sov_code (*fn) (struct work *w, struct sov_error *err), struct sov_error *err)
{
	struct sov_error ignored;
	enum sov_code rc = run(w, "BEGIN", 0, NULL, err);

	if (rc == SOV_OK)
		rc = fn(w, err);
	if (rc == SOV_OK)
		rc = run(w, "COMMIT", 0, NULL, err);
	else
		(void) run(w, "ROLLBACK", 0, NULL, &ignored);
	return rc;
}

static enum sov_code
first_locked(struct work *w, struct sov_error *err)
{
	struct epoch e = {.number = 1};
	int64_t		have = 0;
	enum sov_code rc = run(w, "LOCK TABLE %s.subject_epoch IN SHARE ROW EXCLUSIVE MODE", 0, NULL, err);

	if (rc == SOV_OK)
		rc = number_of(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch", &have, err);
	if (rc == SOV_OK && have == 0)
		rc = make_epoch(w, &e, err);
	if (rc == SOV_OK && have == 0)
	{
		rc = insert_epoch(w, &e, err);
		printf("database %s: erasable key made, %s\n", w->db->name, e.about);
		w->done++;
	}
	close_epoch(&e);
	return rc;
}

/* --- close --- */

static enum sov_code
destroy(struct work *w, PGresult *r, int row, struct sov_error *err)
{
	const char *number = value(r, row, 0),
			   *id = value(r, row, 1),
			   *grade = value(r, row, 2),
			   *about = value(r, row, 3),
			   *place = value(r, row, 4);
	char		where[400];
	uint8_t		epoch[16];
	int			tries = 0;
	enum sov_code rc;

	if (!sov_uuid_parse(epoch, id))
		return sov_fail(err, SOV_E_FORMAT, NULL, "the table subject_epoch is malformed");
	/* that it is not there says that it was destroyed only where it was made */
	if (strcmp(place, beside(w->from)) != 0)
	{
		snprintf(where, sizeof where, "run: pg_sovereign key subjects --from '%.300s'", place);
		return sov_fail(err, SOV_E_STATE, where, "the key of epoch %s was made elsewhere, and is not destroyed yet", number);
	}
	do
		rc = sov_custodian_destroy_epoch_here(w->from, epoch, err);
	while (try_again(&tries, rc, err));
	if (rc != SOV_OK)
		return rc;
	snprintf(where, sizeof where, "%s, keyring %llu", w->cfg->repo_name, w->repo ? (unsigned long long) w->repo->keys->keyring_seq : 0ULL);
	rc = run(w, "WITH gone AS (DELETE FROM %s.subject_epoch WHERE epoch OPERATOR(pg_catalog.=) $1::pg_catalog.int8)"
			 " UPDATE %s.erasure SET destroyed = pg_catalog.now(), epoch_id = $2::pg_catalog.uuid, grade = $3, custodian = $4, repository = $5"
			 " WHERE destroyed IS NULL AND epoch OPERATOR(pg_catalog.<=) $1::pg_catalog.int8", 5,
			 (const char *const[]) {number, id, grade, about, w->repo ? where : NULL}, err);
	if (rc == SOV_OK)
	{
		printf("database %s: the key of epoch %s is destroyed (grade: %s), %s\n", w->db->name, number, grade, about);
		w->done++;
	}
	return rc;
}

static enum sov_code
close_former(struct work *w, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, "SELECT epoch, id, grade, custodian, beside FROM %s.subject_epoch WHERE epoch OPERATOR(pg_catalog.<) (SELECT pg_catalog.max(epoch) FROM %s.subject_epoch) ORDER BY epoch", 0, NULL, err);
	int64_t		left = 0;
	enum sov_code rc = r ? SOV_OK : SOV_E_STATE;

	if (rc == SOV_OK && PQntuples(r) > 0)
		rc = number_of(w, "SELECT pg_catalog.count(*) FROM %s.subject_group WHERE epoch OPERATOR(pg_catalog.<>) (SELECT pg_catalog.max(epoch) FROM %s.subject_epoch)", &left, err);
	if (rc == SOV_OK && left > 0)
		rc = sov_fail(err, SOV_E_STATE, "restore the table subject_group", "%lld groups of persons are under a former epoch, so its key is not destroyed", (long long) left);
	if (rc == SOV_OK && PQntuples(r) > 0 && w->cfg->n_providers > 0)
		rc = store_state(w, err);
	for (int i = 0; rc == SOV_OK && i < PQntuples(r); i++)
		rc = destroy(w, r, i, err);
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
	struct work *w = ctx;
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
	rc = number_of(w, "SELECT coalesce(pg_catalog.max(epoch), 0) FROM %s.subject_epoch", &current, err);
	if (rc == SOV_OK && w->cfg->n_providers > 0 && (current > 0 || w->begin == NULL))
		rc = load(w, current, err);
	if (rc == SOV_OK)
		rc = number_of(w, PENDING, &pending, err);
	if (rc == SOV_OK && w->begin && strcmp(w->begin, db->name) == 0 && current == 0)
	{
		rc = choose_next(w, err);
		if (rc == SOV_OK)
			rc = in_transaction(w, first_locked, err);
	}
	if (rc == SOV_OK)
		rc = number_of(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch", &epochs, err);
	if (rc == SOV_OK && (pending > 0 || epochs > 1 || w->adopt || w->moved))
		rc = check_server(w, err);
	if (rc == SOV_OK && (pending > 0 || epochs > 1 || w->moved))
		rc = check_twin(w, err);
	if (rc == SOV_OK && epochs > 0 && (pending > 0 || w->moved))
	{
		rc = choose_next(w, err);
		if (rc == SOV_OK)
			rc = in_transaction(w, renew_locked, err);
	}
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
	struct work w = {.cfg = cfg, .from = cfg, .begin = begin, .adopt = adopt, .moved = from != NULL};
	struct sov_error err;
	int			status = 0;

	sov_error_clear(&err);
	if (from != NULL)
	{
		former = *cfg;
		if (snprintf(former.epochs, sizeof former.epochs, "%s", from) >= (int) sizeof former.epochs || sov_custodian_check_uri(from, &err) != SOV_OK)
			return cli_usage_error("key", "--from takes the URI beside which the former keys of epochs are");
		w.from = &former;
	}
	if (databases_each(cfg, note_database, &w, &err) != SOV_OK || databases_each(cfg, see_database, &w, &err) != SOV_OK)
		status = cli_report(&err);
	else if (w.done == 0)
		printf("nothing was left to do\n");
	cli_close_repository(w.repo);
	free(w.seen);
	return status;
}
