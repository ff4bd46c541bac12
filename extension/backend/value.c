/*
 * value.c - Datums of encrypted types: sealing, opening, tags, text form.
 */
#include "subjects.h"

#include "common/base64.h"

static enum sov_code
seal(const SovType *t, const char *bytes, size_t len, int32 typmod, uint64 person, Datum *out, struct sov_error *err)
{
	struct sov_value_keys *keys;
	struct sov_value_subject subject = {.number = person};
	SovSubjectRef ref;
	enum sov_value_mode mode = sov_value_choose_mode(t->code, SovTypmodTagged(typmod), len);
	struct varlena *v;
	uint8_t		nonce[SOV_NONCE_LEN];
	char		room[SOV_ROOM];
	const char *canon = NULL;
	size_t		n,
				canon_len = 0;
	enum sov_code rc;

	if (--SovSealsLeft < 0)
		SovReserveSeals(typmod);
	v = palloc(VARHDRSZ + len + SOV_VALUE_OVERHEAD);
	if (mode != SOV_VALUE_COMPACT)
		SovNonce(nonce);
	if (t->base->canon && mode != SOV_VALUE_RANDOM)
		canon = t->base->canon(t, bytes, len, room, &canon_len);
	do
	{
		if (person != 0 && (rc = SovSubjectFind(person, &ref, err)) != SOV_OK)
			return rc;
		rc = SovKeyForTypmod(typmod, &keys, err);
		if (rc != SOV_OK)
			return rc;
		subject.key = person ? ref.key : NULL;
		if (SovUseBegin())
			rc = sov_value_seal(keys, SovEqLoaded(), t->code, mode, nonce, bytes, len, canon, canon_len, person ? &subject : NULL, VARDATA(v), &n, err);
	} while (!SovUseEnd() || (person != 0 && !SovSubjectStill(&ref)));
	if (rc != SOV_OK)
		return rc;
	SET_VARSIZE(v, n + VARHDRSZ);
	*out = PointerGetDatum(v);
	return SOV_OK;
}

Datum
SovSealBytes(const SovType *t, const char *bytes, size_t len, int32 typmod)
{
	struct sov_error err;
	Datum		out;

	if (seal(t, bytes, len, typmod, 0, &out, &err) != SOV_OK)
		SovRaise(&err);
	return out;
}

Datum
SovSealBytesOf(const SovType *t, const char *bytes, size_t len, int32 typmod, uint64 person)
{
	struct sov_error err;
	Datum		out;

	if (seal(t, bytes, len, typmod, person, &out, &err) != SOV_OK)
		SovRaise(&err);
	return out;
}

Datum
SovSeal(const SovType *t, Datum base, int32 typmod)
{
	char		room[SOV_ROOM];
	size_t		len;
	const char *bytes = t->base->encode(t, base, room, &len);

	return SovSealBytes(t, bytes, len, typmod);
}

bool
SovSealTry(const SovType *t, Datum base, int32 typmod, Datum *out)
{
	struct sov_error err;
	char		room[SOV_ROOM];
	size_t		len;
	const char *bytes = t->base->encode(t, base, room, &len);

	return seal(t, bytes, len, typmod < 0 ? typmod : typmod | SOV_TYPMOD_SEARCHABLE, 0, out, &err) == SOV_OK;
}

void
SovParse(const struct varlena *v, struct sov_value *out)
{
	struct sov_error err;

	if (sov_value_parse(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), out, &err) != SOV_OK)
		ereport(ERROR,
				(errcode(err.code == SOV_E_UNSUPPORTED ? ERRCODE_FEATURE_NOT_SUPPORTED : ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored encrypted value is damaged"),
				 errdetail("%s", err.message)));
}

typedef enum sov_code (*KeyFinder) (uint32 keyver, struct sov_value_keys **keys, struct sov_error *err);

/* Of a person: under a key that is kept expanded, or one that is found in his group. */
static enum sov_code
open_of_person(KeyFinder find_key, const SovType *t, const struct sov_value *v, char *out, struct sov_error *err)
{
	struct sov_value_keys *keys;
	struct sov_ctr_key own;
	const struct sov_ctr_key *person;
	SovSubjectRef ref;
	enum sov_code rc;
	bool		missing,
				good = false;

	SovExpandedAttach();
	while (!good)
	{
		missing = SovExpandedFind(v->subject) == NULL;
		if (missing && (rc = SovSubjectFind(v->subject, &ref, err)) != SOV_OK)
			return rc;
		rc = find_key(v->keyver, &keys, err);
		if (rc != SOV_OK)
			return rc;
		person = NULL;
		if (SovUseBegin())
		{
			person = SovExpandedFind(v->subject);
			if (person == NULL && missing)
				person = SovExpandedMake(v->subject, ref.key, &own);
			if (person != NULL)
				rc = sov_value_open(keys, v, t->code, person, out, err);
			if (person == &own)
				sov_wipe(&own, sizeof own);
		}
		good = SovUseEnd() && person != NULL && (!missing || SovSubjectStill(&ref));
		if (!good)
			SovExpandedForget();
	}
	return rc;
}

static inline enum sov_code
open_sealed(KeyFinder find_key, const SovType *t, const struct sov_value *v, char *out, struct sov_error *err)
{
	struct sov_value_keys *keys;
	enum sov_code rc;

	if (unlikely(v->has_subject))
		return open_of_person(find_key, t, v, out, err);
	do
	{
		rc = find_key(v->keyver, &keys, err);
		if (rc != SOV_OK)
			return rc;
		if (SovUseBegin())
			rc = sov_value_open(keys, v, t->code, NULL, out, err);
	} while (!SovUseEnd());
	return rc;
}

/* Always-short values are opened into plain->room, without a palloc. */
static enum sov_code
open_short(KeyFinder find_key, const SovType *t, const struct sov_value *v, SovPlain *plain, struct sov_error *err)
{
	if (v->sealed_len == 0 || v->sealed_len > (size_t) t->base->max || v->compressed)
		return sov_fail(err, SOV_E_FORMAT, NULL, "an encrypted value of type %s has a wrong length", t->name);
	plain->chunk = NULL;
	plain->bytes = plain->room + VARHDRSZ;
	plain->len = v->sealed_len;
	return open_sealed(find_key, t, v, plain->room + VARHDRSZ, err);
}

static enum sov_code
open_with(KeyFinder find_key, const SovType *t, const struct varlena *v, SovPlain *plain, struct sov_error *err)
{
	struct sov_value parsed;
	char	   *chunk;
	size_t		len;
	enum sov_code rc;

	rc = sov_value_parse(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), &parsed, err);
	if (rc != SOV_OK)
		return rc;
	if (t->base->max > 0)
		return open_short(find_key, t, &parsed, plain, err);
	len = parsed.sealed_len;
	chunk = palloc(VARHDRSZ + len + 1);
	rc = open_sealed(find_key, t, &parsed, chunk + VARHDRSZ, err);
	if (rc != SOV_OK)
	{
		pfree(chunk);
		return rc;
	}
	if (parsed.compressed)
	{
		char	   *packed = chunk;
		size_t		packed_len = len;

		rc = sov_value_unpacked_len(packed + VARHDRSZ, packed_len, &len, err);
		if (rc != SOV_OK)
			return rc;
		chunk = palloc(VARHDRSZ + len + 1);
		rc = sov_value_unpack(packed + VARHDRSZ, packed_len, chunk + VARHDRSZ, len, err);
		pfree(packed);
		if (rc != SOV_OK)
			return rc;
	}
	plain->chunk = chunk;
	plain->bytes = chunk + VARHDRSZ;
	plain->len = len;
	return SOV_OK;
}

/* The bytes that were sealed. */
enum sov_code
SovOpenTry(const SovType *t, const struct varlena *v, SovPlain *plain, struct sov_error *err)
{
	return open_with(SovKeyForVersion, t, v, plain, err);
}

enum sov_code
SovOpenAnywayTry(const SovType *t, const struct varlena *v, SovPlain *plain, struct sov_error *err)
{
	return open_with(SovKeyForVersionAnyway, t, v, plain, err);
}

void
SovOpen(const SovType *t, const struct varlena *v, SovPlain *plain)
{
	struct sov_error err;

	if (SovOpenTry(t, v, plain, &err) != SOV_OK)
		SovRaise(&err);
}

Datum
SovDecode(const SovType *t, SovPlain *plain)
{
	return t->base->decode(t, plain->chunk ? plain->chunk : plain->room, plain->len);
}

/* Of sealed bytes. */
void
SovTagOfBytes(const SovType *t, const char *bytes, size_t len, uint8_t e[SOV_VALUE_E_LEN])
{
	struct sov_error err;
	struct sov_cmac *eq;
	char		room[SOV_ROOM];
	enum sov_code rc;

	if (t->base->canon)
		bytes = t->base->canon(t, bytes, len, room, &len);
	do
	{
		rc = SovEqKey(&eq, &err);
		if (rc != SOV_OK)
			SovRaise(&err);
		if (SovUseBegin())
			rc = sov_value_tag(eq, t->code, bytes, len, e, &err);
	} while (!SovUseEnd());
	if (rc != SOV_OK)
		SovRaise(&err);
}

/* The stored tag, or that of the plaintext where none is stored. */
void
SovTagOf(const SovType *t, const struct varlena *v, uint8_t e[SOV_VALUE_E_LEN])
{
	const uint8_t *stored = SovStoredTag(v);
	SovPlain	plain;

	if (stored != NULL)
	{
		memcpy(e, stored, SOV_VALUE_E_LEN);
		return;
	}
	SovOpen(t, v, &plain);
	SovTagOfBytes(t, plain.bytes, plain.len, e);
	SovFreePlain(&plain);
}

/* --- text form --- */

char *
SovToString(const struct varlena *v)
{
	int			len = VARSIZE_ANY_EXHDR(v);
	int			prefix = strlen(SOV_TEXT_PREFIX);
	int			cap = pg_b64_enc_len(len);
	char	   *s = palloc(prefix + cap + 1);
	int			n;

	memcpy(s, SOV_TEXT_PREFIX, prefix);
	n = pg_b64_encode((void *) VARDATA_ANY(v), len, s + prefix, cap);
	if (n < 0)
		elog(ERROR, "base64 encoding failed");
	s[prefix + n] = '\0';
	return s;
}

struct varlena *
SovFromString(const char *s, struct sov_error *err)
{
	size_t		prefix = strlen(SOV_TEXT_PREFIX);
	struct sov_value parsed;
	struct varlena *v;
	int			cap,
				n;

	if (strncmp(s, SOV_TEXT_PREFIX, prefix) != 0)
	{
		sov_fail(err, SOV_E_FORMAT, NULL, "the text form of an encrypted value begins with \"%s\"", SOV_TEXT_PREFIX);
		return NULL;
	}
	s += prefix;
	cap = pg_b64_dec_len(strlen(s));
	v = palloc(VARHDRSZ + cap);
	n = pg_b64_decode(s, strlen(s), (void *) VARDATA(v), cap);
	if (n < 0)
	{
		sov_fail(err, SOV_E_FORMAT, NULL, "the text form of an encrypted value is not base64");
		return NULL;
	}
	SET_VARSIZE(v, VARHDRSZ + n);
	if (sov_value_parse(VARDATA(v), n, &parsed, err) != SOV_OK)
		return NULL;
	return v;
}
