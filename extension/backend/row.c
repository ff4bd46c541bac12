/*
 * row.c - native_row(record): a row with its encrypted columns in their base types;
 * native_rows(anyarray): an array of rows.
 *
 * Names, nulls and dropped columns stay as they are, so that the row prints, and
 * becomes JSON, as one of a plain table would.  Rows in rows are opened too.
 */
#include "sov_pg.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* How the rows of one type become native; made once, in fn_extra. */
typedef struct RowMap
{
	MemoryContext cxt;
	Oid			type;
	int32		typmod;
	TupleDesc	from,
				to;				/* blessed */
	FmgrInfo   *open;			/* by column: of the value or of an array's elements; fn_oid 0: none */
	bool	   *is_row,			/* by column */
			   *is_rows;		/* an array of them */
	struct RowMap **rows;		/* by column: how */
} RowMap;

PG_FUNCTION_INFO_V1(sov_native_row);
PG_FUNCTION_INFO_V1(sov_native_rows);

/* The encrypted type of a value or of an array's elements. */
static const SovType *
encrypted_in(Oid type)
{
	Oid			element = get_element_type(type);

	return type < FirstNormalObjectId ? NULL : SovTypeOfOid(OidIsValid(element) ? element : type);
}

static void
map_column(RowMap *m, int i)
{
	Form_pg_attribute a = TupleDescAttr(m->to, i);
	Oid			type = getBaseType(a->atttypid);
	const SovType *t = encrypted_in(type);
	bool		array = OidIsValid(get_element_type(type));
	NameData	name = a->attname;
	Oid			collation = a->attcollation;
	Oid			function;

	if (t == NULL)
	{
		m->is_row[i] = type_is_rowtype(type);
		m->is_rows[i] = array && type_is_rowtype(get_element_type(type));
		if (m->is_row[i] || m->is_rows[i])
			TupleDescInitEntry(m->to, i + 1, NameStr(name), m->is_row[i] ? RECORDOID : RECORDARRAYOID, -1, 0);
		return;
	}
	if (find_coercion_pathway(t->base_oid, t->oid, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC)
		elog(ERROR, "no function casts %s to its base type", t->name);
	fmgr_info_cxt(function, &m->open[i], m->cxt);
	TupleDescInitEntry(m->to, i + 1, NameStr(name), array ? get_array_type(t->base_oid) : t->base_oid, -1, 0);
	TupleDescInitEntryCollation(m->to, i + 1, collation);
}

static RowMap *
map_row(MemoryContext cxt, Oid type, int32 typmod)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	TupleDesc	desc = lookup_rowtype_tupdesc(type, typmod);
	RowMap	   *m = palloc0(sizeof *m);
	int			n = Max(desc->natts, 1);

	m->cxt = cxt;
	m->type = type;
	m->typmod = typmod;
	m->from = CreateTupleDescCopy(desc);
	m->to = CreateTupleDescCopy(desc);
	ReleaseTupleDesc(desc);
	m->to->tdtypeid = RECORDOID;
	m->to->tdtypmod = -1;
	m->open = palloc0(sizeof(FmgrInfo) * n);
	m->is_row = palloc0(sizeof(bool) * n);
	m->is_rows = palloc0(sizeof(bool) * n);
	m->rows = palloc0(sizeof(RowMap *) * n);
	for (int i = 0; i < m->to->natts; i++)
		if (!TupleDescAttr(m->to, i)->attisdropped)
			map_column(m, i);
	m->to = BlessTupleDesc(m->to);
	MemoryContextSwitchTo(old);
	return m;
}

static Datum
open_array(ArrayType *array, Oid base, FmgrInfo *open, Oid collation)
{
	Oid			element = ARR_ELEMTYPE(array);
	int16		len;
	bool		byval;
	char		align;
	Datum	   *values;
	bool	   *nulls;
	int			n;

	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(array, element, len, byval, align, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			values[i] = FunctionCall1Coll(open, collation, values[i]);
	get_typlenbyvalalign(base, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
											  base, len, byval, align));
}

static Datum open_row(MemoryContext cxt, RowMap **map, HeapTupleHeader row);

static ArrayType *
open_rows(MemoryContext cxt, RowMap **map, ArrayType *array)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_DOUBLE, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			values[i] = open_row(cxt, map, DatumGetHeapTupleHeader(values[i]));
	return construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
							  RECORDOID, -1, false, TYPALIGN_DOUBLE);
}

static Datum
open_row(MemoryContext cxt, RowMap **map, HeapTupleHeader row)
{
	Oid			type = HeapTupleHeaderGetTypeId(row);
	int32		typmod = HeapTupleHeaderGetTypMod(row);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	RowMap	   *m = *map;
	Datum	   *values;
	bool	   *nulls;

	check_stack_depth();
	if (m == NULL || m->type != type || m->typmod != typmod)
		*map = m = map_row(cxt, type, typmod);
	ItemPointerSetInvalid(&tuple.t_self);
	values = palloc(sizeof(Datum) * Max(m->from->natts, 1));
	nulls = palloc(sizeof(bool) * Max(m->from->natts, 1));
	heap_deform_tuple(&tuple, m->from, values, nulls);
	for (int i = 0; i < m->from->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(m->to, i);
		Oid			element;

		if (nulls[i])
			continue;
		if (m->is_row[i])
			values[i] = open_row(cxt, &m->rows[i], DatumGetHeapTupleHeader(values[i]));
		else if (m->is_rows[i])
			values[i] = PointerGetDatum(open_rows(cxt, &m->rows[i], DatumGetArrayTypeP(values[i])));
		else if (OidIsValid(m->open[i].fn_oid))
		{
			element = TupleDescAttr(m->from, i)->atttypid;
			element = get_element_type(getBaseType(element));
			values[i] = OidIsValid(element)
				? open_array(DatumGetArrayTypeP(values[i]), get_element_type(a->atttypid), &m->open[i], a->attcollation)
				: FunctionCall1Coll(&m->open[i], a->attcollation, values[i]);
		}
	}
	return HeapTupleGetDatum(heap_form_tuple(m->to, values, nulls));
}

Datum
sov_native_row(PG_FUNCTION_ARGS)
{
	return open_row(fcinfo->flinfo->fn_mcxt, (RowMap **) &fcinfo->flinfo->fn_extra, PG_GETARG_HEAPTUPLEHEADER(0));
}

/* An array of anything else stays as it is. */
Datum
sov_native_rows(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);

	if (type_is_rowtype(ARR_ELEMTYPE(array)))
		array = open_rows(fcinfo->flinfo->fn_mcxt, (RowMap **) &fcinfo->flinfo->fn_extra, array);
	PG_RETURN_ARRAYTYPE_P(array);
}
