/*
 * base.c - the base types: how their values become the bytes that are sealed.
 *
 * A type that is named in the table below has an encoding of its own, documented
 * in sov_value.h, independent of machine and server version.  Any other base type
 * (a row of encrypted_type with a code of its own) is sealed in its binary format
 * and compared by its default btree class, so that a further type needs SQL only.
 *
 * Canonical bytes are those that equality tags are made of; where a type has equal
 * values that differ in bytes (1.0 and 1.00), they are made apart.
 */
#include "sov_pg.h"

#include "access/nbtree.h"
#include "catalog/pg_collation.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
#include "utils/varlena.h"

#include "sov_bytes.h"

/* --- text, bytea --- */

static const char *
text_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	text	   *v = DatumGetTextPP(base);
	char	   *utf8 = pg_server_to_any(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v), PG_UTF8);

	*len = utf8 == VARDATA_ANY(v) ? VARSIZE_ANY_EXHDR(v) : strlen(utf8);
	return utf8;
}

static Datum
text_decode(const SovType *t, char *chunk, size_t len)
{
	char	   *bytes = chunk + VARHDRSZ;
	char	   *server = pg_any_to_server(bytes, len, PG_UTF8);

	if (server != bytes)
		return CStringGetTextDatum(server);
	SET_VARSIZE(chunk, VARHDRSZ + len);
	return PointerGetDatum(chunk);
}

/* UTF-8 in the server's encoding.  What needs no conversion comes back as it was, which
 * has no end of its own: an empty string, and anything in an SQL_ASCII database. */
static const char *
to_server(const char *utf8, size_t *len)
{
	const char *server = pg_any_to_server(utf8, *len, PG_UTF8);

	if (server != utf8)
		*len = strlen(server);
	return server;
}

static int
text_compare(const char *a, size_t alen, const char *b, size_t blen, Oid collation)
{
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		a = to_server(a, &alen);
		b = to_server(b, &blen);
	}
	return varstr_cmp(a, alen, b, blen, collation);
}

static const char *
bytea_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	bytea	   *v = DatumGetByteaPP(base);

	*len = VARSIZE_ANY_EXHDR(v);
	return VARDATA_ANY(v);
}

static Datum
bytea_decode(const SovType *t, char *chunk, size_t len)
{
	SET_VARSIZE(chunk, VARHDRSZ + len);
	return PointerGetDatum(chunk);
}

static int
bytes_compare(const char *a, size_t alen, const char *b, size_t blen, Oid collation)
{
	int			c = memcmp(a, b, Min(alen, blen));

	return c != 0 ? c : (alen > blen) - (alen < blen);
}

/* --- of a fixed length --- */

static const char *
bool_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	room[0] = DatumGetBool(base);
	*len = 1;
	return room;
}

static Datum
bool_decode(const SovType *t, char *chunk, size_t len)
{
	return BoolGetDatum(chunk[VARHDRSZ] != 0);
}

static const char *
int4_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	sov_put_le32((uint8_t *) room, (uint32) DatumGetInt32(base));
	*len = 4;
	return room;
}

static const char *
int8_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	sov_put_le64((uint8_t *) room, (uint64) DatumGetInt64(base));
	*len = 8;
	return room;
}

/* An operand that int4 has no room for is carried as eight bytes. */
static int64
int_of(const char *bytes, size_t len)
{
	return len == 4 ? (int32) sov_get_le32((const uint8_t *) bytes) : (int64) sov_get_le64((const uint8_t *) bytes);
}

static Datum
int4_decode(const SovType *t, char *chunk, size_t len)
{
	int64		v = int_of(chunk + VARHDRSZ, len);

	if (v < PG_INT32_MIN || v > PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("integer out of range")));
	return Int32GetDatum((int32) v);
}

static Datum
int8_decode(const SovType *t, char *chunk, size_t len)
{
	return Int64GetDatum(int_of(chunk + VARHDRSZ, len));
}

static int
int_compare(const char *a, size_t alen, const char *b, size_t blen, Oid collation)
{
	int64		x = int_of(a, alen),
				y = int_of(b, blen);

	return (x > y) - (x < y);
}

static const char *
int4_canon(const SovType *t, const char *bytes, size_t len, char *room, size_t *canon_len)
{
	sov_put_le64((uint8_t *) room, (uint64) int_of(bytes, len));
	*canon_len = 8;
	return room;
}

static const char *
uuid_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	*len = UUID_LEN;
	return (const char *) DatumGetUUIDP(base)->data;
}

static Datum
uuid_decode(const SovType *t, char *chunk, size_t len)
{
	pg_uuid_t  *u = palloc(sizeof *u);

	memcpy(u->data, chunk + VARHDRSZ, UUID_LEN);
	return UUIDPGetDatum(u);
}

static const char *
float8_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	float8		f = DatumGetFloat8(base);
	uint64		bits;

	memcpy(&bits, &f, sizeof bits);
	sov_put_le64((uint8_t *) room, bits);
	*len = 8;
	return room;
}

static float8
float8_of(const char *bytes)
{
	uint64		bits = sov_get_le64((const uint8_t *) bytes);
	float8		f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static Datum
float8_decode(const SovType *t, char *chunk, size_t len)
{
	return Float8GetDatum(float8_of(chunk + VARHDRSZ));
}

static int
float8_compare(const char *a, size_t alen, const char *b, size_t blen, Oid collation)
{
	return float8_cmp_internal(float8_of(a), float8_of(b));
}

static const char *
float8_canon(const SovType *t, const char *bytes, size_t len, char *room, size_t *canon_len)
{
	float8		f = float8_of(bytes);

	if (isnan(f))
		f = get_float8_nan();
	return float8_encode(t, Float8GetDatum(f == 0 ? 0 : f), room, canon_len);
}

/* --- numeric: the server's binary format, its 16-bit words little-endian --- */

static void
swap_words(char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
	{
		char		c = p[i];

		p[i] = p[i + 1];
		p[i + 1] = c;
	}
}

static const char *
numeric_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	bytea	   *sent = DatumGetByteaP(DirectFunctionCall1(numeric_send, base));

	*len = VARSIZE_ANY_EXHDR(sent);
	swap_words(VARDATA_ANY(sent), *len);
	return VARDATA_ANY(sent);
}

static Datum
numeric_decode(const SovType *t, char *chunk, size_t len)
{
	StringInfoData buf = {.data = chunk + VARHDRSZ, .len = (int) len, .maxlen = (int) len};

	Datum		n;

	swap_words(buf.data, len);
	n = DirectFunctionCall3(numeric_recv, PointerGetDatum(&buf), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	pfree(chunk);
	return n;
}

/* chunk of bytes that may not be changed in place */
static char *
chunk_of(const char *bytes, size_t len)
{
	char	   *chunk = palloc(VARHDRSZ + len + 1);

	memcpy(chunk + VARHDRSZ, bytes, len);
	return chunk;
}

static const char *
numeric_canon(const SovType *t, const char *bytes, size_t len, char *room, size_t *canon_len)
{
	Datum		n = numeric_decode(t, chunk_of(bytes, len), len);

	return numeric_encode(t, DirectFunctionCall1(numeric_trim_scale, n), room, canon_len);
}

/* --- jsonb: its text --- */

static const char *
jsonb_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	Jsonb	   *j = DatumGetJsonbP(base);
	char	   *str = JsonbToCString(NULL, &j->root, VARSIZE(j));
	char	   *utf8 = pg_server_to_any(str, strlen(str), PG_UTF8);

	*len = strlen(utf8);
	return utf8;
}

static Datum
jsonb_decode(const SovType *t, char *chunk, size_t len)
{
	char	   *server;
	Datum		j;

	chunk[VARHDRSZ + len] = '\0';
	server = pg_any_to_server(chunk + VARHDRSZ, len, PG_UTF8);
	j = DirectFunctionCall1(jsonb_in, CStringGetDatum(server));
	pfree(chunk);
	return j;
}

static const char *
jsonb_canon(const SovType *t, const char *bytes, size_t len, char *room, size_t *canon_len)
{
	Jsonb	   *j = DatumGetJsonbP(jsonb_decode(t, chunk_of(bytes, len), len));
	JsonbIterator *it = JsonbIteratorInit(&j->root);
	JsonbParseState *state = NULL;
	JsonbValue	v,
			   *all = NULL;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, false)) != WJB_DONE)
	{
		if ((token == WJB_ELEM || token == WJB_VALUE) && v.type == jbvNumeric)
			v.val.numeric = DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(v.val.numeric)));
		if (token == WJB_BEGIN_ARRAY && v.val.array.rawScalar)
		{
			/* a bare value stands in an array of its own */
			all = pushJsonbValue(&state, token, NULL);
			state->contVal.val.array.rawScalar = true;
			continue;
		}
		all = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &v : NULL);
	}
	return jsonb_encode(t, JsonbPGetDatum(JsonbValueToJsonb(all)), room, canon_len);
}

/* --- any other --- */

static const char *
own_encode(const SovType *t, Datum base, char *room, size_t *len)
{
	bytea	   *sent = SendFunctionCall((FmgrInfo *) &t->send, base);

	*len = VARSIZE_ANY_EXHDR(sent);
	return VARDATA_ANY(sent);
}

static Datum
own_decode(const SovType *t, char *chunk, size_t len)
{
	StringInfoData buf = {.data = chunk + VARHDRSZ, .len = (int) len, .maxlen = (int) len};

	Datum		d = ReceiveFunctionCall((FmgrInfo *) &t->receive, &buf, t->ioparam, -1);

	pfree(chunk);
	return d;
}

static const SovBase bases[] = {
	{SOV_BASE_TEXT, TEXTOID, 0, text_encode, text_decode, NULL, text_compare},
	{SOV_BASE_BYTEA, BYTEAOID, 0, bytea_encode, bytea_decode, NULL, bytes_compare},
	{SOV_BASE_BOOL, BOOLOID, 1, bool_encode, bool_decode, NULL, bytes_compare},
	{SOV_BASE_INT4, INT4OID, 8, int4_encode, int4_decode, int4_canon, int_compare},
	{SOV_BASE_INT8, INT8OID, 8, int8_encode, int8_decode, NULL, int_compare},
	{SOV_BASE_DATE, DATEOID, 4, int4_encode, int4_decode, NULL, int_compare},
	{SOV_BASE_TIMESTAMPTZ, TIMESTAMPTZOID, 8, int8_encode, int8_decode, NULL, int_compare},
	{SOV_BASE_UUID, UUIDOID, UUID_LEN, uuid_encode, uuid_decode, NULL, bytes_compare},
	{SOV_BASE_NUMERIC, NUMERICOID, 0, numeric_encode, numeric_decode, numeric_canon, NULL},
	{SOV_BASE_FLOAT8, FLOAT8OID, 8, float8_encode, float8_decode, float8_canon, float8_compare},
	{SOV_BASE_JSONB, JSONBOID, 0, jsonb_encode, jsonb_decode, jsonb_canon, NULL},
};

static const SovBase own_base = {0, InvalidOid, 0, own_encode, own_decode, NULL, NULL};

/* The code of a base type that has none of its own: from its name. */
static int
own_code(Oid base)
{
	char	   *name = format_type_be(base);
	struct sov_span span = {name, strlen(name)};
	uint8_t		hash[32];
	struct sov_error err;

	if (sov_sha256(&span, 1, hash, &err) != SOV_OK)
		SovRaise(&err);
	return SOV_BASE_OWN | sov_get_le16(hash);
}

/* Are equal values equal in their bytes?  The btree class says so. */
static bool
is_bitwise_equal(const TypeCacheEntry *cache)
{
	Oid			fn = OidIsValid(cache->btree_opf) ?
		get_opfamily_proc(cache->btree_opf, cache->btree_opintype, cache->btree_opintype, BTEQUALIMAGE_PROC) : InvalidOid;

	return fn == F_BTEQUALIMAGE;
}

/* Complete a type whose name, oid and base_oid are known: base is NULL until then. */
void
SovTypeInit(SovType *t)
{
	Oid			fn;
	bool		varlena;
	const SovBase *base = &own_base;
	TypeCacheEntry *cache = lookup_type_cache(t->base_oid, TYPECACHE_CMP_PROC_FINFO | TYPECACHE_BTREE_OPFAMILY);

	for (size_t i = 0; i < lengthof(bases); i++)
		if (bases[i].oid == t->base_oid)
			base = &bases[i];
	t->code = base == &own_base ? own_code(t->base_oid) : base->code;
	t->searchable = base == &own_base ? is_bitwise_equal(cache) : t->code != SOV_BASE_BOOL;
	getTypeInputInfo(t->base_oid, &fn, &t->ioparam);
	fmgr_info_cxt(fn, &t->input, TopMemoryContext);
	getTypeBinaryInputInfo(t->base_oid, &fn, &t->ioparam);
	fmgr_info_cxt(fn, &t->receive, TopMemoryContext);
	getTypeBinaryOutputInfo(t->base_oid, &fn, &varlena);
	fmgr_info_cxt(fn, &t->send, TopMemoryContext);
	fmgr_info_copy(&t->compare, &cache->cmp_proc_finfo, TopMemoryContext);
	t->base = base;				/* the last: now it is complete */
}

/* The message of a base type's input function quotes the value: it is not shown. */
static void
refuse_quietly(const SovType *t, MemoryContext cxt)
{
	ErrorData  *error;

	MemoryContextSwitchTo(cxt);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		PG_RE_THROW();
	FlushErrorState();
	ereport(ERROR,
			(errcode(error->sqlerrcode),
			 errmsg("invalid input for type %s", t->name),
			 errdetail("The value is not valid for type %s; it is not shown here, as it is to be encrypted.", format_type_be(t->base_oid))));
}

Datum
SovBaseInput(const SovType *t, char *str)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile Datum d = (Datum) 0;

	if (t->code == SOV_BASE_TEXT)
		return CStringGetTextDatum(str);
	PG_TRY();
	{
		d = InputFunctionCall((FmgrInfo *) &t->input, str, t->ioparam, -1);
	}
	PG_CATCH();
	{
		refuse_quietly(t, cxt);
	}
	PG_END_TRY();
	return d;
}

Datum
SovBaseReceive(const SovType *t, StringInfo buf)
{
	MemoryContext cxt = CurrentMemoryContext;
	volatile Datum d = (Datum) 0;

	PG_TRY();
	{
		d = ReceiveFunctionCall((FmgrInfo *) &t->receive, buf, t->ioparam, -1);
	}
	PG_CATCH();
	{
		refuse_quietly(t, cxt);
	}
	PG_END_TRY();
	return d;
}

/* SQL order of two base Datums. */
int
SovBaseCompare(const SovType *t, Datum a, Datum b, Oid collation)
{
	if (!OidIsValid(t->compare.fn_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("type %s has no order", format_type_be(t->base_oid))));
	return DatumGetInt32(FunctionCall2Coll((FmgrInfo *) &t->compare, collation, a, b));
}
