/*
 * ops.c - equality, order and hash.
 *
 * One equality for all encrypted values of a database: the same bytes are
 * equal; two tags decide; a value without a tag (random mode) is opened.  The
 * blind order and the hash are those of the tag, so indexes, VACUUM and
 * replicas need no key.  The plaintext order is for sorts only: its operator
 * class refuses every index.
 *
 * Each comparison exists for (encrypted, encrypted), (encrypted, base) and
 * (base, encrypted); an operand is fetched by its kind.
 */
#include "sov_pg.h"

#include "common/hashfn.h"
#include "utils/lsyscache.h"

#include "sov_bytes.h"

enum Kind { ENC, BASE };

static void
get_plain(FunctionCallInfo fcinfo, int arg, enum Kind kind, const SovType *t, SovPlain *plain)
{
	if (kind == ENC)
		SovOpen(t, PG_GETARG_VARLENA_PP(arg), plain);
	else
	{
		plain->bytes = t->encode(PG_GETARG_DATUM(arg), &plain->len);
		plain->chunk = NULL;
	}
}

static void
free_plain(SovPlain *plain)
{
	if (plain->chunk)
		pfree(plain->chunk);
}

static void
get_tag(FunctionCallInfo fcinfo, int arg, enum Kind kind, const SovType *t, uint8_t e[SOV_VALUE_E_LEN])
{
	size_t		len;
	const char *bytes;

	if (kind == ENC)
	{
		SovTagOf(t, PG_GETARG_VARLENA_PP(arg), e);
		return;
	}
	bytes = t->encode(PG_GETARG_DATUM(arg), &len);
	SovTagOfBytes(t, bytes, len, e);
}

/* Tags know only bytewise equality. */
static void
check_collation(Oid collation)
{
	static Oid	checked = InvalidOid;

	if (!OidIsValid(collation) || collation == checked)
		return;
	if (!get_collation_isdeterministic(collation))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("encrypted types do not support nondeterministic collations")));
	checked = collation;
}

static bool
same(FunctionCallInfo fcinfo, const SovType *t, enum Kind ka, enum Kind kb)
{
	const uint8_t *ea = NULL,
			   *eb = NULL;
	uint8_t		ta[SOV_VALUE_E_LEN],
				tb[SOV_VALUE_E_LEN];
	SovPlain	pa,
				pb;
	bool		result;

	check_collation(PG_GET_COLLATION());
	if (ka == ENC)
		ea = SovStoredTag(PG_GETARG_VARLENA_PP(0));
	if (kb == ENC)
		eb = SovStoredTag(PG_GETARG_VARLENA_PP(1));
	if (ea != NULL || eb != NULL)
	{
		get_tag(fcinfo, 0, ka, t, ta);
		get_tag(fcinfo, 1, kb, t, tb);
		return memcmp(ta, tb, SOV_VALUE_E_LEN) == 0;
	}
	if (ka == ENC && kb == ENC)
	{
		struct varlena *a = PG_GETARG_VARLENA_PP(0),
				   *b = PG_GETARG_VARLENA_PP(1);

		if (VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
			memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0)
			return true;
	}
	get_plain(fcinfo, 0, ka, t, &pa);
	get_plain(fcinfo, 1, kb, t, &pb);
	result = pa.len == pb.len && memcmp(pa.bytes, pb.bytes, pa.len) == 0;
	free_plain(&pa);
	free_plain(&pb);
	return result;
}

/* Order of the plaintext. */
static int
compare(FunctionCallInfo fcinfo, const SovType *t, enum Kind ka, enum Kind kb)
{
	SovPlain	pa,
				pb;
	int			result;

	check_collation(PG_GET_COLLATION());
	get_plain(fcinfo, 0, ka, t, &pa);
	get_plain(fcinfo, 1, kb, t, &pb);
	result = t->compare(pa.bytes, pa.len, pb.bytes, pb.len, PG_GET_COLLATION());
	free_plain(&pa);
	free_plain(&pb);
	return result;
}

/* Order of the tags. */
static int
blind(FunctionCallInfo fcinfo, const SovType *t, enum Kind ka, enum Kind kb)
{
	uint8_t		ta[SOV_VALUE_E_LEN],
				tb[SOV_VALUE_E_LEN];

	check_collation(PG_GET_COLLATION());
	get_tag(fcinfo, 0, ka, t, ta);
	get_tag(fcinfo, 1, kb, t, tb);
	return memcmp(ta, tb, SOV_VALUE_E_LEN);
}

#define SOV_OP(name, type, ka, kb, expr, RETURN) \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS) \
	{ \
		RETURN(expr(fcinfo, &type, ka, kb)); \
	} \
	extern int sov_swallow_semicolon

#define RETURN_NOT(x) PG_RETURN_BOOL(!(x))
#define RETURN_LT(x) PG_RETURN_BOOL((x) < 0)
#define RETURN_LE(x) PG_RETURN_BOOL((x) <= 0)
#define RETURN_GE(x) PG_RETURN_BOOL((x) >= 0)
#define RETURN_GT(x) PG_RETURN_BOOL((x) > 0)

#define SOV_OPS(prefix, type, ka, kb) \
	SOV_OP(prefix##_eq, type, ka, kb, same, PG_RETURN_BOOL); \
	SOV_OP(prefix##_ne, type, ka, kb, same, RETURN_NOT); \
	SOV_OP(prefix##_lt, type, ka, kb, compare, RETURN_LT); \
	SOV_OP(prefix##_le, type, ka, kb, compare, RETURN_LE); \
	SOV_OP(prefix##_ge, type, ka, kb, compare, RETURN_GE); \
	SOV_OP(prefix##_gt, type, ka, kb, compare, RETURN_GT); \
	SOV_OP(prefix##_cmp, type, ka, kb, compare, PG_RETURN_INT32); \
	SOV_OP(prefix##_blind_cmp, type, ka, kb, blind, PG_RETURN_INT32)

SOV_OPS(encrypted_text, SovTypeText, ENC, ENC);
SOV_OPS(encrypted_text_base, SovTypeText, ENC, BASE);
SOV_OPS(base_encrypted_text, SovTypeText, BASE, ENC);
SOV_OP(base_text_blind_cmp, SovTypeText, BASE, BASE, blind, PG_RETURN_INT32);
SOV_OP(encrypted_text_blind_lt, SovTypeText, ENC, ENC, blind, RETURN_LT);
SOV_OP(encrypted_text_blind_le, SovTypeText, ENC, ENC, blind, RETURN_LE);
SOV_OP(encrypted_text_blind_ge, SovTypeText, ENC, ENC, blind, RETURN_GE);
SOV_OP(encrypted_text_blind_gt, SovTypeText, ENC, ENC, blind, RETURN_GT);

/* --- hash: of the tag --- */

static Datum
hash(FunctionCallInfo fcinfo, const SovType *t, enum Kind kind)
{
	uint8_t		e[SOV_VALUE_E_LEN];

	get_tag(fcinfo, 0, kind, t, e);
	PG_RETURN_INT32((int32) sov_get_le32(e));
}

/* With seed 0 the low half equals hash(). */
static Datum
hash_extended(FunctionCallInfo fcinfo, const SovType *t, enum Kind kind)
{
	uint64		seed = PG_GETARG_INT64(1);
	uint8_t		e[SOV_VALUE_E_LEN];
	uint64		h;

	get_tag(fcinfo, 0, kind, t, e);
	h = sov_get_le64(e);
	PG_RETURN_INT64((int64) (seed == 0 ? h : hash_bytes_extended(e, SOV_VALUE_E_LEN, seed)));
}

PG_FUNCTION_INFO_V1(encrypted_text_hash);
PG_FUNCTION_INFO_V1(encrypted_text_hash_extended);
PG_FUNCTION_INFO_V1(encrypted_text_base_hash);
PG_FUNCTION_INFO_V1(encrypted_text_base_hash_extended);

Datum
encrypted_text_hash(PG_FUNCTION_ARGS)
{
	return hash(fcinfo, &SovTypeText, ENC);
}

Datum
encrypted_text_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_extended(fcinfo, &SovTypeText, ENC);
}

Datum
encrypted_text_base_hash(PG_FUNCTION_ARGS)
{
	return hash(fcinfo, &SovTypeText, BASE);
}

Datum
encrypted_text_base_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_extended(fcinfo, &SovTypeText, BASE);
}
