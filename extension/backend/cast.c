/*
 * cast.c - the only ways to plaintext and from it.
 *
 * All are STABLE, never IMMUTABLE, so that no expression index and no generated
 * column can take plaintext to disk, and the planner folds none into a plan.
 */
#include "sov_pg.h"

#include "sov_bytes.h"

PG_FUNCTION_INFO_V1(sov_coerce);
PG_FUNCTION_INFO_V1(sov_from_base);
PG_FUNCTION_INFO_V1(sov_to_base);
PG_FUNCTION_INFO_V1(sov_int4_operand);

/* Without the key, or the right to use it: what sovereign.on_denied says.  A damaged
 * value is an error in any case, and so is losing the key in the middle; a mask that would
 * be stored, or choose what is changed, is one too. */
static Datum
denied(FunctionCallInfo fcinfo, const SovType *t, const struct varlena *v, const struct sov_error *err)
{
	bool		damaged = err->code == SOV_E_AUTH || err->code == SOV_E_FORMAT || SovKeysLost();
	bool		text_like = t->code == SOV_BASE_TEXT;

	if (sov_on_denied == SOV_DENIED_MASK && !damaged && !SovStoring)
	{
		if (text_like)
			return CStringGetTextDatum("***");
		PG_RETURN_NULL();
	}
	if (sov_on_denied == SOV_DENIED_CIPHERTEXT && !damaged && text_like)
		return CStringGetTextDatum(SovToString(v));
	SovRaise(err);
}

/* Of a version, which never changes its key: the last answer is remembered. */
int32
SovKeyOfVersion(uint32 keyver)
{
	static uint32 last_version;
	static int32 last_id = -1;
	SovKeyRow	row;

	if (keyver != last_version || last_id < 0)
	{
		last_id = SovFindKeyRow(SOV_BY_VERSION, keyver, &row) ? row.key_id : -1;
		last_version = keyver;
	}
	return last_id;
}

/*
 * encrypted(value, typmod, explicit): bring a value under its column's key and
 * mode.  A value that is so already stays as it is, so that "SET secret =
 * secret" does not encrypt anew, and no key is needed.  Under its own key a value
 * may lose its tag by whoever may write: that shows nobody anything.
 */
Datum
sov_coerce(PG_FUNCTION_ARGS)
{
	const SovType *t = SovFnOf(fcinfo)->type;
	struct varlena *v = PG_GETARG_VARLENA_PP(0);
	int32		typmod = PG_GETARG_INT32(1);
	struct sov_value parsed;
	struct sov_error err;
	SovPlain	plain;
	bool		same_mode,
				same_key;

	if (typmod < 0)
		PG_RETURN_POINTER(v);
	SovParse(v, &parsed);
	same_mode = (parsed.e != NULL) == SovTypmodTagged(typmod);
	if (same_mode && sov_input == SOV_INPUT_CIPHERTEXT)
		PG_RETURN_POINTER(v);
	same_key = SovKeyOfVersion(parsed.keyver) == SovTypmodKey(typmod);
	if (same_mode && same_key)
		PG_RETURN_POINTER(v);
	if (!same_key || SovTypmodTagged(typmod))
		SovOpen(t, v, &plain);
	else if (SovOpenAnywayTry(t, v, &plain, &err) != SOV_OK)
		SovRaise(&err);
	return SovSealBytes(t, plain.bytes, plain.len, typmod);
}

/* A ciphertext as text is refused as it is on input: clients and foreign servers send
 * values as parameters of type text. */
Datum
SovNotEncrypted(const SovType *t, Datum base)
{
	struct varlena *v;

	if (t->base->code != SOV_BASE_TEXT)
		return base;
	v = PG_DETOAST_DATUM_PACKED(base);
	if (unlikely(VARSIZE_ANY_EXHDR(v) > strlen(SOV_TEXT_PREFIX) &&
				 memcmp(VARDATA_ANY(v), SOV_TEXT_PREFIX, strlen(SOV_TEXT_PREFIX)) == 0 && sov_input != SOV_INPUT_CIPHERTEXT))
		SovRefuseEncrypted(text_to_cstring((text *) v));
	return PointerGetDatum(v);
}

/* base(value, typmod, explicit) -> encrypted */
Datum
sov_from_base(PG_FUNCTION_ARGS)
{
	const SovType *t = SovFnOf(fcinfo)->type;

	return SovSeal(t, SovNotEncrypted(t, PG_GETARG_DATUM(0)), PG_GETARG_INT32(1));
}

Datum
sov_to_base(PG_FUNCTION_ARGS)
{
	const SovType *t = SovFnOf(fcinfo)->type;
	const struct varlena *v = PG_GETARG_VARLENA_PP(0);
	struct sov_error err;
	SovPlain	plain;

	if (SovOpenTry(t, v, &plain, &err) != SOV_OK)
		return denied(fcinfo, t, v, &err);
	SovOpened = true;
	return SovDecode(t, &plain);
}

/* int8 -> encrypted_int4, as an operand: one that int4 has no room for is carried
 * in eight bytes, and equals nothing that a column of int4 can hold. */
Datum
sov_int4_operand(PG_FUNCTION_ARGS)
{
	const SovType *t = SovFnOf(fcinfo)->type;
	int64		v = PG_GETARG_INT64(0);
	uint8_t		wide[8];

	if (v >= PG_INT32_MIN && v <= PG_INT32_MAX)
		return SovSeal(t, Int32GetDatum((int32) v), -1);
	sov_put_le64(wide, (uint64) v);
	return SovSealBytes(t, (const char *) wide, sizeof wide, -1);
}
