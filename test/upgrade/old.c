/*
 * old.c - stands for the library of 0.1.0 while 089_upgrade.t restores 0.1.0.sql: the
 * few functions that a restore calls.  Values come as ciphertext and are compared by
 * their tags (sov_value.h); nothing is sealed or opened here.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "sov_value.h"

PG_MODULE_MAGIC;

#define FUNCTION(name) \
	PG_FUNCTION_INFO_V1(name); \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	Datum name(PG_FUNCTION_ARGS)

FUNCTION(encrypted_text_in)
{
	const char *s = PG_GETARG_CSTRING(0);

	if (strncmp(s, "sov1:", 5) != 0)
		elog(ERROR, "not a sealed value: %s", s);
	return DirectFunctionCall2(binary_decode, CStringGetTextDatum(s + 5), CStringGetTextDatum("base64"));
}

/* The first bytes of a hash of the key's name, and whether there is a tag. */
FUNCTION(encrypted_typmod_in)
{
	Datum	   *elems;
	int			n;
	char	   *text;
	unsigned char *hash;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), CSTRINGOID, -2, false, TYPALIGN_CHAR, &elems, NULL, &n);
	text = psprintf("pg_sovereign key id v1%s", DatumGetCString(elems[0]));
	hash = (unsigned char *) VARDATA_ANY(DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(text))));
	PG_RETURN_INT32((int32) ((hash[0] | hash[1] << 8 | hash[2] << 16 | (uint32) (hash[3] & 0x3f) << 24) << 1 | (n == 2)));
}

static const unsigned char *
tag(Datum value)
{
	const unsigned char *v = (const unsigned char *) VARDATA_ANY(PG_DETOAST_DATUM_PACKED(value));

	if ((v[1] & SOV_VALUE_MODE_MASK) == SOV_VALUE_RANDOM)
		elog(ERROR, "this value has no tag");
	return v + 6;
}

static int
compare(FunctionCallInfo fcinfo)
{
	return memcmp(tag(PG_GETARG_DATUM(0)), tag(PG_GETARG_DATUM(1)), SOV_VALUE_E_LEN);
}

FUNCTION(encrypted_text_eq)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

FUNCTION(encrypted_text_ne)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

FUNCTION(encrypted_text_blind_cmp)
{
	PG_RETURN_INT32(compare(fcinfo));
}

FUNCTION(encrypted_text_hash)
{
	const unsigned char *e = tag(PG_GETARG_DATUM(0));

	PG_RETURN_INT32((int32) (e[0] | e[1] << 8 | e[2] << 16 | (uint32) e[3] << 24));
}

/* Without them sorts go by the function, and definitions are not looked at. */
FUNCTION(encrypted_text_blind_sortsupport)
{
	PG_RETURN_VOID();
}

FUNCTION(sov_check_ddl)
{
	PG_RETURN_NULL();
}

/* What a restore does not call but the script names: the test writes the list. */
#define NOT_HERE(name) \
	FUNCTION(name) \
	{ \
		elog(ERROR, #name " is not here"); \
	}
#include "not_here.h"
