/*
 * type.c - input, output and type modifier of the encrypted types.
 *
 * Input seals; output and send always give ciphertext, so that everything that
 * prints a value without asking for plaintext (EXPLAIN, error messages, COPY
 * of a table, pg_dump, logical decoding) is safe by construction.  Plaintext
 * comes only by casts (cast.c).
 *
 * Type modifier: name-derived key id in bits 1 to 30, bit 0 = searchable.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "libpq/pqformat.h"
#include "utils/array.h"

/* --- input and output --- */

/* Ciphertext goes into a column of its own kind only. */
static void
check_mode(const struct varlena *v, int32 typmod)
{
	if (typmod >= 0 && (SovStoredTag(v) != NULL) != SovTypmodTagged(typmod))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg(SovTypmodTagged(typmod) ? "the encrypted value has no equality tag, but the column is searchable"
						: "the encrypted value has an equality tag, but the column is not searchable"),
				 errhint("With sovereign.input = plaintext a value is encrypted for its column.")));
}

PG_FUNCTION_INFO_V1(sov_in);
PG_FUNCTION_INFO_V1(sov_out);
PG_FUNCTION_INFO_V1(sov_recv);
PG_FUNCTION_INFO_V1(sov_send);

/* The setting may be another one by the time a value is looked at, so that it does not tell
 * what a literal was: input functions of other types run what users write (domains). */
bool		SovTookCiphertext;

/* Restoring a dump without the setting would encrypt twice: refuse. */
void
SovRefuseEncrypted(const char *str)
{
	struct sov_error err;

	if (strncmp(str, SOV_TEXT_PREFIX, strlen(SOV_TEXT_PREFIX)) == 0 && SovFromString(str, &err) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("this value is encrypted already"),
				 errhint("To restore or copy encrypted values: SET sovereign.input = ciphertext (PGOPTIONS='-c sovereign.input=ciphertext' for psql and pg_restore; options '-c sovereign.input=ciphertext' of a foreign server).")));
}

Datum
sov_in(PG_FUNCTION_ARGS)
{
	bool		is_literal = fcinfo->flinfo->fn_extra == NULL;	/* called once */
	const SovType *t = SovFnOf(fcinfo)->type;
	char	   *str = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	struct sov_error err;
	struct varlena *v;
	Datum		base,
				sealed;

	/* pg_upgrade restores constants of views and defaults */
	if (sov_input == SOV_INPUT_CIPHERTEXT || IsBinaryUpgrade)
	{
		SovTookCiphertext = true;
		v = SovFromString(str, &err);
		if (v == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid input for type %s while sovereign.input = ciphertext", t->name),
					 errdetail("%s", err.message),
					 errhint("To encrypt plaintext: SET sovereign.input = plaintext")));
		check_mode(v, typmod);
		return PointerGetDatum(v);
	}
	SovRefuseEncrypted(str);
	base = SovBaseInput(t, str);
	if (is_literal && typmod < 0 && SovSealLiteral(t, base, typmod, &sealed))
		return sealed;
	return SovSeal(t, base, typmod);
}

Datum
sov_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(SovToString(PG_GETARG_VARLENA_PP(0)));
}

Datum
sov_recv(PG_FUNCTION_ARGS)
{
	const SovType *t = SovFnOf(fcinfo)->type;
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	struct sov_value parsed;
	struct varlena *v;
	int			len = buf->len - buf->cursor;

	if (sov_input != SOV_INPUT_CIPHERTEXT)
		return SovSeal(t, SovBaseReceive(t, buf), typmod);
	SovTookCiphertext = true;
	v = palloc(VARHDRSZ + len);
	SET_VARSIZE(v, VARHDRSZ + len);
	pq_copymsgbytes(buf, VARDATA(v), len);
	SovParse(v, &parsed);
	check_mode(v, typmod);
	return PointerGetDatum(v);
}

Datum
sov_send(PG_FUNCTION_ARGS)
{
	struct varlena *v = PG_GETARG_VARLENA_PP(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	return PointerGetDatum(pq_endtypsend(&buf));
}

/* --- type modifier --- */

PG_FUNCTION_INFO_V1(sov_typmod_in);
PG_FUNCTION_INFO_V1(sov_typmod_out);

static int32
key_id_of_modifier(const char *key)
{
	static int32 noticed_id;	/* once a statement: it is parsed several times */
	static TimestampTz noticed_at;
	int32		id;
	SovKeyRow	row;

	if (key[0] != '\0' && strspn(key, "0123456789") == strlen(key))
	{
		id = pg_strtoint32(key);
		if (id > 0x3fffffff)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key id %d is out of range", id)));
		return id;
	}
	if (key[0] == '\0' || strlen(key) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" cannot be the name of a key", key)));
	id = SovKeyIdOfName(key);
	if (sov_input != SOV_INPUT_CIPHERTEXT && !SovFindKeyRow(SOV_BY_ID, id, &row) &&
		(id != noticed_id || noticed_at != GetCurrentStatementStartTimestamp()))
	{
		noticed_id = id;
		noticed_at = GetCurrentStatementStartTimestamp();
		ereport(NOTICE,
				(errmsg("key \"%s\" does not exist yet", key),
				 errhint("Create it with: SELECT %s.create_key(%s)", SovSchemaName(), quote_literal_cstr(key))));
	}
	return id;
}

Datum
sov_typmod_in(PG_FUNCTION_ARGS)
{
	const SovType *t = SovFnOf(fcinfo)->type;
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elems;
	int			n;
	bool		searchable = false;

	deconstruct_array(array, CSTRINGOID, -2, false, TYPALIGN_CHAR, &elems, NULL, &n);
	if (n < 1 || n > 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an encrypted type takes ('key') or ('key', 'searchable') or ('key', 'random')")));
	if (n == 2)
	{
		const char *mode = DatumGetCString(elems[1]);

		searchable = strcmp(mode, "searchable") == 0;
		if (!searchable && strcmp(mode, "random") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a mode of an encrypted type", mode),
					 errhint("The modes are \"searchable\" (equality and indexes, equal values are recognisable) and \"random\".")));
	}
	if (searchable && !t->searchable)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type %s cannot be searchable", t->name),
				 errdetail("Its values are so few that equal ones would tell what they are, or equal ones differ in bytes.")));
	PG_RETURN_INT32((int32) ((uint32) key_id_of_modifier(DatumGetCString(elems[0])) << 1 |
							 (searchable ? SOV_TYPMOD_SEARCHABLE : 0)));
}

Datum
sov_typmod_out(PG_FUNCTION_ARGS)
{
	int32		typmod = PG_GETARG_INT32(0);
	SovKeyRow	row;
	char	   *key;

	if (typmod < 0)
		PG_RETURN_CSTRING("");
	if (SovFindKeyRow(SOV_BY_ID, SovTypmodKey(typmod), &row))
		key = quote_literal_cstr(row.name);
	else
		key = psprintf("%d", SovTypmodKey(typmod));
	PG_RETURN_CSTRING(psprintf("(%s%s)", key, SovTypmodTagged(typmod) ? ",'searchable'" : ""));
}
