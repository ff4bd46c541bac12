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
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/varlena.h"

/* --- encrypted_text wraps text --- */

static const char *
text_encode(Datum base, size_t *len)
{
	text	   *t = DatumGetTextPP(base);
	char	   *utf8 = pg_server_to_any(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), PG_UTF8);

	*len = utf8 == VARDATA_ANY(t) ? VARSIZE_ANY_EXHDR(t) : strlen(utf8);
	return utf8;
}

static Datum
text_decode(char *chunk, size_t len)
{
	char	   *bytes = chunk + VARHDRSZ;
	char	   *server = pg_any_to_server(bytes, len, PG_UTF8);

	if (server != bytes)
		return CStringGetTextDatum(server);
	SET_VARSIZE(chunk, VARHDRSZ + len);
	return PointerGetDatum(chunk);
}

static Datum
text_input(const char *str)
{
	return CStringGetTextDatum(str);
}

static Datum
text_receive(StringInfo buf)
{
	int			n;
	char	   *str = pq_getmsgtext(buf, buf->len - buf->cursor, &n);

	return PointerGetDatum(cstring_to_text_with_len(str, n));
}

static int
text_compare(const char *a, size_t alen, const char *b, size_t blen, Oid collation)
{
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		a = pg_any_to_server(a, alen, PG_UTF8);
		b = pg_any_to_server(b, blen, PG_UTF8);
		alen = strlen(a);
		blen = strlen(b);
	}
	return varstr_cmp(a, alen, b, blen, collation);
}

const SovType SovTypeText = {
	.name = "encrypted_text",
	.base = SOV_BASE_TEXT,
	.base_oid = TEXTOID,
	.encode = text_encode,
	.decode = text_decode,
	.input = text_input,
	.receive = text_receive,
	.compare = text_compare,
};

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

static Datum
type_in(FunctionCallInfo fcinfo, const SovType *t)
{
	char	   *str = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	struct sov_error err;
	struct varlena *v;

	if (sov_input == SOV_INPUT_CIPHERTEXT)
	{
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
	/* Restoring a dump without the setting would encrypt twice: refuse. */
	if (strncmp(str, SOV_TEXT_PREFIX, strlen(SOV_TEXT_PREFIX)) == 0 && SovFromString(str, &err) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("this value is encrypted already"),
				 errhint("To restore or copy encrypted values: SET sovereign.input = ciphertext (PGOPTIONS='-c sovereign.input=ciphertext' for psql and pg_restore).")));
	return SovSeal(t, t->input(str), typmod);
}

static Datum
type_out(FunctionCallInfo fcinfo)
{
	PG_RETURN_CSTRING(SovToString(PG_GETARG_VARLENA_PP(0)));
}

static Datum
type_recv(FunctionCallInfo fcinfo, const SovType *t)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	struct sov_value parsed;
	struct varlena *v;
	int			len = buf->len - buf->cursor;

	if (sov_input != SOV_INPUT_CIPHERTEXT)
		return SovSeal(t, t->receive(buf), typmod);
	v = palloc(VARHDRSZ + len);
	SET_VARSIZE(v, VARHDRSZ + len);
	pq_copymsgbytes(buf, VARDATA(v), len);
	SovParse(v, &parsed);
	check_mode(v, typmod);
	return PointerGetDatum(v);
}

static Datum
type_send(FunctionCallInfo fcinfo)
{
	struct varlena *v = PG_GETARG_VARLENA_PP(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	return PointerGetDatum(pq_endtypsend(&buf));
}

#define SOV_TYPE_FUNCTIONS(prefix, type) \
	PG_FUNCTION_INFO_V1(prefix##_in); \
	PG_FUNCTION_INFO_V1(prefix##_out); \
	PG_FUNCTION_INFO_V1(prefix##_recv); \
	PG_FUNCTION_INFO_V1(prefix##_send); \
	Datum prefix##_in(PG_FUNCTION_ARGS) { return type_in(fcinfo, &type); } \
	Datum prefix##_out(PG_FUNCTION_ARGS) { return type_out(fcinfo); } \
	Datum prefix##_recv(PG_FUNCTION_ARGS) { return type_recv(fcinfo, &type); } \
	Datum prefix##_send(PG_FUNCTION_ARGS) { return type_send(fcinfo); } \
	extern int sov_swallow_semicolon

SOV_TYPE_FUNCTIONS(encrypted_text, SovTypeText);

/* --- type modifier --- */

PG_FUNCTION_INFO_V1(encrypted_typmod_in);
PG_FUNCTION_INFO_V1(encrypted_typmod_out);

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
encrypted_typmod_in(PG_FUNCTION_ARGS)
{
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
	PG_RETURN_INT32((int32) ((uint32) key_id_of_modifier(DatumGetCString(elems[0])) << 1 |
							 (searchable ? SOV_TYPMOD_SEARCHABLE : 0)));
}

Datum
encrypted_typmod_out(PG_FUNCTION_ARGS)
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
