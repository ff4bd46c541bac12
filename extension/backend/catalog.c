/*
 * catalog.c - where the extension's objects are in this database.
 *
 * The extension may be created in any schema, so everything is found from
 * pg_extension.  The answer (also "not created here") is kept until pg_type
 * changes: creating and dropping the extension changes it.  The types are rows
 * of the table encrypted_type; pointers to them stay valid, as a row keeps its
 * place: rows are only ever added, by the extension's scripts.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Columns of the table encrypted_type. */
enum { TYP_NAME = 1, TYP_BASE, TYP_CODE, TYP_SEARCHABLE, TYP_N = TYP_SEARCHABLE };

static SovCatalog catalog;
static uint64 changes = 1,
			loaded;				/* the changes that catalog knows */

static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

static Oid
extension_schema(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pg_sovereign"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

/* A row whose type is not made yet (within CREATE EXTENSION) is left out. */
static void
add_type(SovCatalog *c, HeapTuple tuple, TupleDesc desc)
{
	SovType    *t = &c->types[c->n_types];
	Datum		values[TYP_N];
	bool		nulls[TYP_N];

	heap_deform_tuple(tuple, desc, values, nulls);
	memset(t, 0, sizeof *t);
	strlcpy(t->name, NameStr(*DatumGetName(values[TYP_NAME - 1])), sizeof t->name);
	t->base_oid = DatumGetObjectId(values[TYP_BASE - 1]);
	t->code = DatumGetInt16(values[TYP_CODE - 1]);
	t->searchable = DatumGetBool(values[TYP_SEARCHABLE - 1]);
	t->oid = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(t->name), ObjectIdGetDatum(c->schema));
	if (!OidIsValid(t->oid))
		return;
	SovTypeInit(t);
	c->n_types++;
}

static void
read_types(SovCatalog *c)
{
	Oid			relid = get_relname_relid("encrypted_type", c->schema);
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid))
		return;
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (c->n_types < SOV_TYPES_MAX && HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_type(c, tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

const SovCatalog *
SovGetCatalog(void)
{
	static SovCatalog fresh;
	uint64		seen = changes;

	if (loaded == changes)
		return &catalog;
	memset(&fresh, 0, sizeof fresh);
	fresh.schema = extension_schema();
	if (OidIsValid(fresh.schema))
	{
		fresh.key_domain = get_relname_relid("key_domain", fresh.schema);
		fresh.key_version = get_relname_relid("key_version", fresh.schema);
		fresh.key_grant = get_relname_relid("key_grant", fresh.schema);
		read_types(&fresh);
	}
	catalog = fresh;
	loaded = seen;				/* an invalidation on the way wins */
	return &catalog;
}

/* For messages: the schema's name as SQL wants it. */
char *
SovSchemaName(void)
{
	Oid			schema = SovGetCatalog()->schema;
	char	   *name = OidIsValid(schema) ? get_namespace_name(schema) : NULL;

	return pstrdup(quote_identifier(name ? name : "sovereign"));
}

const SovType *
SovTypeOfOid(Oid type)
{
	const SovCatalog *c = SovGetCatalog();

	for (int i = 0; i < c->n_types; i++)
		if (c->types[i].oid == type)
			return &c->types[i];
	return NULL;
}

/* The type with whose name the function's begins. */
static const SovType *
type_of_name(const char *function)
{
	const SovCatalog *c = SovGetCatalog();
	const SovType *best = NULL;

	for (int i = 0; i < c->n_types; i++)
	{
		size_t		n = strlen(c->types[i].name);

		if (strncmp(function, c->types[i].name, n) == 0 && function[n] == '_' &&
			(best == NULL || n > strlen(best->name)))
			best = &c->types[i];
	}
	return best;
}

SovFn *
SovFnResolve(FmgrInfo *flinfo)
{
	SovFn	   *f = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof *f);
	Oid		   *args;
	int			n;
	Oid			result = get_func_signature(flinfo->fn_oid, &args, &n);

	for (int i = 0; i < n && f->type == NULL; i++)
		f->type = SovTypeOfOid(args[i]);
	if (f->type == NULL)
		f->type = SovTypeOfOid(result);
	if (f->type == NULL)
		f->type = type_of_name(get_func_name(flinfo->fn_oid));
	if (f->type == NULL)
		elog(ERROR, "function %u is of no encrypted type", flinfo->fn_oid);
	for (int i = 0; i < Min(n, 2); i++)
		f->enc[i] = args[i] == f->type->oid;
	flinfo->fn_extra = f;
	return f;
}

void
SovCatalogInit(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
}
