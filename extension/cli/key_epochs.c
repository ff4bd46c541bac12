/*
 * key_epochs.c - epochs of erasable persons: their keys at the custodian, made, used to
 * wrap the groups anew, and destroyed (key_subjects.c tells when).
 *
 * The id of a new epoch is committed (subject_next) before its key is made, so that a key
 * which was made and not used is found again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "key_subjects.h"
#include "sov_subject.h"

/* A device that another process uses in the same moment may be well in the next. */
static bool
try_again(int *tries, enum sov_code rc, const struct sov_error *err)
{
	if (rc == SOV_OK || !err->retryable || ++*tries >= 25)
		return false;
	usleep(200000);
	return true;
}

enum sov_code
subjects_run(struct subjects_work *w, const char *sql, int n, const char *const *params, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, sql, n, params, err);

	PQclear(r);
	return r ? SOV_OK : SOV_E_STATE;
}

enum sov_code
subjects_count(struct subjects_work *w, const char *sql, int64_t *out, struct sov_error *err)
{
	PGresult   *r = database_query(w->db, sql, 0, NULL, err);

	if (r == NULL)
		return SOV_E_STATE;
	*out = PQntuples(r) == 1 ? strtoll(value(r, 0, 0), NULL, 10) : 0;
	PQclear(r);
	return SOV_OK;
}

static enum sov_code
in_transaction(struct subjects_work *w, enum sov_code (*fn) (struct subjects_work *w, struct sov_error *err), struct sov_error *err)
{
	struct sov_error ignored;
	enum sov_code rc = subjects_run(w, "BEGIN", 0, NULL, err);

	if (rc == SOV_OK)
		rc = fn(w, err);
	if (rc == SOV_OK)
		rc = subjects_run(w, "COMMIT", 0, NULL, err);
	else
		(void) subjects_run(w, "ROLLBACK", 0, NULL, &ignored);
	return rc;
}

/* --- one epoch --- */

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

static void
close_epoch(struct epoch *e)
{
	sov_aead_free(e->kek);
	e->kek = NULL;
}

/* The URI beside which keys of epochs are; it holds no secret. */
static const char *
epoch_beside(const struct sov_config *cfg)
{
	return cfg->epochs[0] ? cfg->epochs : cfg->root;
}

/* Before the transaction that uses it. */
static enum sov_code
choose_next(struct subjects_work *w, struct sov_error *err)
{
	return subjects_run(w, "INSERT INTO %s.subject_next SELECT pg_catalog.gen_random_uuid() WHERE NOT EXISTS (SELECT FROM %s.subject_next)", 0, NULL, err);
}

static enum sov_code
take_next(struct subjects_work *w, struct epoch *e, struct sov_error *err)
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
make_epoch(struct subjects_work *w, struct epoch *e, struct sov_error *err)
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
insert_epoch(struct subjects_work *w, const struct epoch *e, struct sov_error *err)
{
	char		number[24];

	snprintf(number, sizeof number, "%lld", (long long) e->number);
	return subjects_run(w, "INSERT INTO %s.subject_epoch (epoch, id, root_id, custodian, grade, wrapped, commitment, beside, server)"
			   " VALUES ($1::pg_catalog.int8, $2::pg_catalog.uuid, $3::pg_catalog.uuid, $4, $5, pg_catalog.decode($6, 'hex'), pg_catalog.decode($7, 'hex'), $8, " SERVER ")", 8,
			   (const char *const[]) {number, e->id, e->root, e->about, e->grade, e->wrapped, e->commitment, epoch_beside(w->cfg)}, err);
}

/* The KEK of the newest epoch, which has this number. */
static enum sov_code
open_epoch(struct subjects_work *w, struct epoch *e, struct sov_error *err)
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
rewrap_all(struct subjects_work *w, const struct epoch *from, const struct epoch *to, struct sov_error *err)
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
		rc = subjects_run(w, "UPDATE %s.subject_group g SET wrapped = pg_catalog.decode(u.w, 'hex'), epoch = $3::pg_catalog.int8"
				 " FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) u(n, w)"
				 " WHERE g.grp OPERATOR(pg_catalog.=) u.n", 3, (const char *const[]) {(const char *) numbers.data, (const char *) wrapped.data, number}, err);
	PQclear(r);
	sov_group_room_free(room);
	sov_buf_free(&numbers);
	sov_buf_free(&wrapped);
	return rc;
}

/* In a transaction that nobody makes a group beside. */
static enum sov_code
renew_locked(struct subjects_work *w, struct sov_error *err)
{
	struct epoch from = {0},
				to = {0};
	int64_t		pending = 0;
	bool		made = false;
	enum sov_code rc = subjects_run(w, "LOCK TABLE %s.subject_group, %s.subject_epoch, %s.erasure IN SHARE ROW EXCLUSIVE MODE", 0, NULL, err);

	if (rc == SOV_OK)
		rc = subjects_count(w, PENDING, &pending, err);
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
		rc = subjects_run(w, "SELECT %s.subjects_changed()", 0, NULL, err);
	close_epoch(&from);
	close_epoch(&to);
	return rc;
}

static enum sov_code
first_locked(struct subjects_work *w, struct sov_error *err)
{
	struct epoch e = {.number = 1};
	int64_t		have = 0;
	enum sov_code rc = subjects_run(w, "LOCK TABLE %s.subject_epoch IN SHARE ROW EXCLUSIVE MODE", 0, NULL, err);

	if (rc == SOV_OK)
		rc = subjects_count(w, "SELECT pg_catalog.count(*) FROM %s.subject_epoch", &have, err);
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

/* --- destroy --- */

enum sov_code
epoch_destroy(struct subjects_work *w, PGresult *r, int row, struct sov_error *err)
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
	if (strcmp(place, epoch_beside(w->from)) != 0)
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
	rc = subjects_run(w, "WITH gone AS (DELETE FROM %s.subject_epoch WHERE epoch OPERATOR(pg_catalog.=) $1::pg_catalog.int8)"
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

/* --- in transactions --- */

enum sov_code
epoch_first(struct subjects_work *w, struct sov_error *err)
{
	enum sov_code rc = choose_next(w, err);

	return rc == SOV_OK ? in_transaction(w, first_locked, err) : rc;
}

enum sov_code
epoch_renew(struct subjects_work *w, struct sov_error *err)
{
	enum sov_code rc = choose_next(w, err);

	return rc == SOV_OK ? in_transaction(w, renew_locked, err) : rc;
}
