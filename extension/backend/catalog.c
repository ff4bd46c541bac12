/*
 * catalog.c - where the extension's objects are in this database.
 *
 * The extension may be created in any schema, so everything is found from
 * pg_extension.  The answer (also "not created here") is kept until pg_type
 * changes: creating and dropping the extension changes it.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

const SovType *const SovTypes[SOV_N_TYPES] = {&SovTypeText};

static SovCatalog catalog;
static bool catalog_valid;

static void
catalog_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_valid = false;
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

const SovCatalog *
SovGetCatalog(void)
{
	SovCatalog	fresh = {0};

	if (catalog_valid)
		return &catalog;
	catalog_valid = true;		/* an invalidation on the way must win */
	fresh.schema = extension_schema();
	if (OidIsValid(fresh.schema))
	{
		fresh.key_domain = get_relname_relid("key_domain", fresh.schema);
		fresh.key_version = get_relname_relid("key_version", fresh.schema);
		for (int i = 0; i < SOV_N_TYPES; i++)
			fresh.types[i] = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
											 CStringGetDatum(SovTypes[i]->name),
											 ObjectIdGetDatum(fresh.schema));
	}
	catalog = fresh;
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
SovTypeOfOid(Oid type, Oid *type_oid)
{
	const SovCatalog *c = SovGetCatalog();

	for (int i = 0; i < SOV_N_TYPES; i++)
		if (OidIsValid(type) && c->types[i] == type)
		{
			if (type_oid)
				*type_oid = type;
			return SovTypes[i];
		}
	return NULL;
}

void
SovCatalogInit(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
}
