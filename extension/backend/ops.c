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
 * (base, encrypted); an operand is fetched by its kind.  Equality exists also for
 * encrypted types of one family (sov_value.h: int4 and int8), which share tags.
 */
#include "sov_pg.h"

#include "common/hashfn.h"
#include "replication/logicalworker.h"
#include "utils/lsyscache.h"

#include "sov_bytes.h"

static void
get_plain(FunctionCallInfo fcinfo, int arg, const SovFn *f, SovPlain *plain)
{
	const SovType *t = f->types[arg];

	if (f->enc[arg])
		SovOpen(t, PG_GETARG_VARLENA_PP(arg), plain);
	else
	{
		plain->bytes = t->base->encode(t, PG_GETARG_DATUM(arg), plain->room, &plain->len);
		plain->chunk = NULL;
	}
}

static void
get_tag(FunctionCallInfo fcinfo, int arg, const SovFn *f, uint8_t e[SOV_VALUE_E_LEN])
{
	SovPlain	plain;

	if (f->enc[arg])
	{
		SovTagOf(f->types[arg], PG_GETARG_VARLENA_PP(arg), e);
		return;
	}
	get_plain(fcinfo, arg, f, &plain);
	SovTagOfBytes(f->types[arg], plain.bytes, plain.len, e);
}

/* Tags know only bytewise equality. */
void
SovCheckCollation(Oid collation)
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

/* Equal values of a family may differ in their bytes. */
static const char *
canonical(const SovType *t, const SovPlain *p, char room[SOV_ROOM], size_t *len)
{
	*len = p->len;
	return t->base->canon ? t->base->canon(t, p->bytes, p->len, room, len) : p->bytes;
}

static bool
same_plain(const SovFn *f, const SovPlain *a, const SovPlain *b)
{
	char		room_a[SOV_ROOM],
				room_b[SOV_ROOM];
	size_t		xlen,
				ylen;
	const char *x = canonical(f->types[0], a, room_a, &xlen),
			   *y = canonical(f->types[1], b, room_b, &ylen);

	return xlen == ylen && memcmp(x, y, xlen) == 0;
}

static bool
same(FunctionCallInfo fcinfo)
{
	const SovFn *f = SovFnOf(fcinfo);
	const uint8_t *ea = NULL,
			   *eb = NULL;
	uint8_t		ta[SOV_VALUE_E_LEN],
				tb[SOV_VALUE_E_LEN];
	SovPlain	pa,
				pb;
	bool		result;

	SovCheckCollation(PG_GET_COLLATION());
	if (f->enc[0])
		ea = SovStoredTag(PG_GETARG_VARLENA_PP(0));
	if (f->enc[1])
		eb = SovStoredTag(PG_GETARG_VARLENA_PP(1));
	if (ea != NULL || eb != NULL)
	{
		get_tag(fcinfo, 0, f, ta);
		get_tag(fcinfo, 1, f, tb);
		return memcmp(ta, tb, SOV_VALUE_E_LEN) == 0;
	}
	if (f->enc[0] && f->enc[1])
	{
		struct varlena *a = PG_GETARG_VARLENA_PP(0),
				   *b = PG_GETARG_VARLENA_PP(1);

		if (VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
			memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0)
			return true;
		/* Without an expression: a subscriber looks for a row (REPLICA IDENTITY FULL), which
		 * has the bytes that came, and for which no key is needed. */
		if (fcinfo->flinfo->fn_expr == NULL && IsLogicalWorker())
			return false;
	}
	get_plain(fcinfo, 0, f, &pa);
	get_plain(fcinfo, 1, f, &pb);
	result = same_plain(f, &pa, &pb);
	SovFreePlain(&pa);
	SovFreePlain(&pb);
	return result;
}

/* The second operand, most often a constant: it is not opened again while its bytes
 * are the same.  Short values only. */
static void
get_second_plain(FunctionCallInfo fcinfo, SovFn *f, SovPlain *plain)
{
	struct varlena *v;
	size_t		len;

	if (!f->enc[1])
	{
		get_plain(fcinfo, 1, f, plain);
		return;
	}
	v = PG_GETARG_VARLENA_PP(1);
	len = VARSIZE_ANY_EXHDR(v);
	if (len == f->kept_len && memcmp(f->kept, VARDATA_ANY(v), len) == 0)
	{
		plain->chunk = NULL;
		plain->bytes = f->kept_plain;
		plain->len = f->kept_plain_len;
		return;
	}
	SovOpen(f->type, v, plain);
	if (len > sizeof f->kept || plain->len > sizeof f->kept_plain)
		return;
	memcpy(f->kept, VARDATA_ANY(v), len);
	memcpy(f->kept_plain, plain->bytes, plain->len);
	f->kept_len = len;
	f->kept_plain_len = plain->len;
}

/* Order of the plaintext. */
static int
compare(FunctionCallInfo fcinfo)
{
	SovFn	   *f = SovFnOf(fcinfo);
	const SovType *t = f->type;
	SovPlain	pa,
				pb;
	int			result;

	SovCheckCollation(PG_GET_COLLATION());
	if (t->base->compare == NULL)
	{
		Datum		d[2];

		for (int i = 0; i < 2; i++)
		{
			d[i] = PG_GETARG_DATUM(i);
			if (f->enc[i])
			{
				SovOpen(t, PG_GETARG_VARLENA_PP(i), &pa);
				d[i] = SovDecode(t, &pa);
			}
		}
		return SovBaseCompare(t, d[0], d[1], PG_GET_COLLATION());
	}
	get_plain(fcinfo, 0, f, &pa);
	get_second_plain(fcinfo, f, &pb);
	result = t->base->compare(pa.bytes, pa.len, pb.bytes, pb.len, PG_GET_COLLATION());
	SovFreePlain(&pa);
	SovFreePlain(&pb);
	return result;
}

/* Order of the tags. */
static int
blind(FunctionCallInfo fcinfo)
{
	const SovFn *f = SovFnOf(fcinfo);
	uint8_t		ta[SOV_VALUE_E_LEN],
				tb[SOV_VALUE_E_LEN];

	SovCheckCollation(PG_GET_COLLATION());
	get_tag(fcinfo, 0, f, ta);
	get_tag(fcinfo, 1, f, tb);
	return memcmp(ta, tb, SOV_VALUE_E_LEN);
}

#define SOV_OP(name, expr) \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS) { return expr; } \
	extern int sov_swallow_semicolon

SOV_OP(sov_eq, BoolGetDatum(same(fcinfo)));
SOV_OP(sov_ne, BoolGetDatum(!same(fcinfo)));
SOV_OP(sov_lt, BoolGetDatum(compare(fcinfo) < 0));
SOV_OP(sov_le, BoolGetDatum(compare(fcinfo) <= 0));
SOV_OP(sov_ge, BoolGetDatum(compare(fcinfo) >= 0));
SOV_OP(sov_gt, BoolGetDatum(compare(fcinfo) > 0));
SOV_OP(sov_cmp, Int32GetDatum(compare(fcinfo)));
SOV_OP(sov_blind_lt, BoolGetDatum(blind(fcinfo) < 0));
SOV_OP(sov_blind_le, BoolGetDatum(blind(fcinfo) <= 0));
SOV_OP(sov_blind_ge, BoolGetDatum(blind(fcinfo) >= 0));
SOV_OP(sov_blind_gt, BoolGetDatum(blind(fcinfo) > 0));
SOV_OP(sov_blind_cmp, Int32GetDatum(blind(fcinfo)));

/* --- hash: of the tag --- */

PG_FUNCTION_INFO_V1(sov_hash);
PG_FUNCTION_INFO_V1(sov_hash_extended);

Datum
sov_hash(PG_FUNCTION_ARGS)
{
	uint8_t		e[SOV_VALUE_E_LEN];

	SovCheckCollation(PG_GET_COLLATION());
	get_tag(fcinfo, 0, SovFnOf(fcinfo), e);
	PG_RETURN_INT32((int32) sov_get_le32(e));
}

/* With seed 0 the low half equals sov_hash(). */
Datum
sov_hash_extended(PG_FUNCTION_ARGS)
{
	uint64		seed = PG_GETARG_INT64(1);
	uint8_t		e[SOV_VALUE_E_LEN];
	uint64		h;

	SovCheckCollation(PG_GET_COLLATION());
	get_tag(fcinfo, 0, SovFnOf(fcinfo), e);
	h = sov_get_le64(e);
	PG_RETURN_INT64((int64) (seed == 0 ? h : hash_bytes_extended(e, SOV_VALUE_E_LEN, seed)));
}
