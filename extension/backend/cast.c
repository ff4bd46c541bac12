/*
 * cast.c - the only ways to plaintext and from it.
 *
 * All are STABLE, never IMMUTABLE, so that no expression index and no generated
 * column can take plaintext to disk, and the planner folds none into a plan.
 */
#include "sov_pg.h"

#include "utils/json.h"
#include "utils/jsonb.h"

/* Plaintext as a base Datum; where no key is available, what
 * sovereign.on_denied says (the text form serves for text-like types). */
static Datum
to_base(const SovType *t, const struct varlena *v)
{
	struct sov_error err;
	SovPlain	plain;
	enum sov_code rc = SovOpenTry(t, v, &plain, &err);

	if (rc == SOV_OK)
		return t->decode(plain.chunk, plain.len);
	if (sov_on_denied == SOV_DENIED_CIPHERTEXT && rc != SOV_E_AUTH && rc != SOV_E_FORMAT && t->base_oid == TEXTOID)
		return CStringGetTextDatum(SovToString(v));
	SovRaise(&err);
}

/* base(value [, typmod, explicit]) -> encrypted */
static Datum
from_base(FunctionCallInfo fcinfo, const SovType *t, Datum base)
{
	return SovSeal(t, base, PG_NARGS() > 1 ? PG_GETARG_INT32(1) : -1);
}

/*
 * encrypted(value, typmod, explicit): bring a value under its column's key and
 * mode.  A value that is so already stays as it is, so that "SET secret =
 * secret" does not encrypt anew, and no key is needed.
 */
static Datum
coerce(FunctionCallInfo fcinfo, const SovType *t)
{
	struct varlena *v = PG_GETARG_VARLENA_PP(0);
	int32		typmod = PG_GETARG_INT32(1);
	struct sov_value parsed;
	SovPlain	plain;
	bool		fits;

	if (typmod < 0)
		PG_RETURN_POINTER(v);
	SovParse(v, &parsed);
	fits = (parsed.e != NULL) == SovTypmodTagged(typmod);
	if (fits && sov_input != SOV_INPUT_CIPHERTEXT)
	{
		static uint32 last_version;
		static int32 last_id = -1;
		SovKeyRow	row;

		/* a version never changes its key: remember the last answer */
		if (parsed.keyver != last_version || last_id < 0)
		{
			last_id = SovFindKeyRow(SOV_BY_VERSION, parsed.keyver, &row) ? row.key_id : -1;
			last_version = parsed.keyver;
		}
		fits = last_id == SovTypmodKey(typmod);
	}
	if (fits)
		PG_RETURN_POINTER(v);
	SovOpen(t, v, &plain);
	return SovSealBytes(t, plain.bytes, plain.len, typmod);
}

PG_FUNCTION_INFO_V1(encrypted_text_coerce);
PG_FUNCTION_INFO_V1(encrypted_text_from_text);
PG_FUNCTION_INFO_V1(encrypted_text_from_bpchar);
PG_FUNCTION_INFO_V1(encrypted_text_to_text);
PG_FUNCTION_INFO_V1(encrypted_text_to_name);
PG_FUNCTION_INFO_V1(encrypted_text_to_json);
PG_FUNCTION_INFO_V1(encrypted_text_to_jsonb);

Datum
encrypted_text_coerce(PG_FUNCTION_ARGS)
{
	return coerce(fcinfo, &SovTypeText);
}

Datum
encrypted_text_from_text(PG_FUNCTION_ARGS)
{
	return from_base(fcinfo, &SovTypeText, PG_GETARG_DATUM(0));
}

/* As the server's own cast from character(n) to text: without the padding. */
Datum
encrypted_text_from_bpchar(PG_FUNCTION_ARGS)
{
	return from_base(fcinfo, &SovTypeText, DirectFunctionCall1(rtrim1, PG_GETARG_DATUM(0)));
}

Datum
encrypted_text_to_text(PG_FUNCTION_ARGS)
{
	return to_base(&SovTypeText, PG_GETARG_VARLENA_PP(0));
}

Datum
encrypted_text_to_name(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(text_name, to_base(&SovTypeText, PG_GETARG_VARLENA_PP(0)));
}

static char *
json_string(const struct varlena *v)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, TextDatumGetCString(to_base(&SovTypeText, v)));
	return buf.data;
}

Datum
encrypted_text_to_json(PG_FUNCTION_ARGS)
{
	return CStringGetTextDatum(json_string(PG_GETARG_VARLENA_PP(0)));
}

Datum
encrypted_text_to_jsonb(PG_FUNCTION_ARGS)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json_string(PG_GETARG_VARLENA_PP(0))));
}
