/*
 * catalog.c - where the extension's objects are in this database.
 *
 * The extension may be created in any schema, so everything is found from
 * pg_extension.  The answer (also "not created here") is kept until pg_type
 * changes: creating and dropping the extension changes it.
 *
 * An encrypted type is one in the extension's schema that is called encrypted_X and
 * has a function encrypted_X_to_base; nothing else says so, as pg_upgrade needs the
 * types before any table has rows.  Pointers to types stay valid: a type keeps its
 * place as long as the order of pg_type does, and functions look theirs up by OID.
 * A type is completed when it is asked for first: a session uses few of them.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

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

/* What NAME_to_base(NAME) returns; InvalidOid while the type is being made. */
static Oid
base_of(const char *name, Oid type, Oid schema)
{
	char		function[2 * NAMEDATALEN];
	oidvector  *args = buildoidvector(&type, 1);
	HeapTuple	proc;
	Oid			base = InvalidOid;

	snprintf(function, sizeof function, "%s_to_base", name);
	proc = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(function), PointerGetDatum(args), ObjectIdGetDatum(schema));
	if (HeapTupleIsValid(proc))
	{
		base = ((Form_pg_proc) GETSTRUCT(proc))->prorettype;
		ReleaseSysCache(proc);
	}
	pfree(args);
	return base;
}

static void
add_type(SovCatalog *c, Form_pg_type form)
{
	SovType    *t = &c->types[c->n_types];

	if (c->n_types == SOV_TYPES_MAX || form->typtype != TYPTYPE_BASE || !form->typisdefined ||
		strncmp(NameStr(form->typname), "encrypted_", 10) != 0)
		return;
	memset(t, 0, sizeof *t);
	strlcpy(t->name, NameStr(form->typname), sizeof t->name);
	t->oid = form->oid;
	t->base_oid = base_of(t->name, t->oid, c->schema);
	if (!OidIsValid(t->base_oid))
		return;
	c->n_types++;
}

static void
read_types(SovCatalog *c)
{
	Relation	rel = table_open(TypeRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_type_typnamespace, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(c->schema));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_type(c, (Form_pg_type) GETSTRUCT(tuple));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* What is complete stays so, since pointers to it are held.  Were places to change,
 * such a pointer must at least find a type that is complete. */
static void
carry_over(SovCatalog *fresh)
{
	bool		moved = false;

	for (int i = 0; i < fresh->n_types; i++)
		for (int j = 0; j < catalog.n_types; j++)
			if (fresh->types[i].oid == catalog.types[j].oid && fresh->types[i].base_oid == catalog.types[j].base_oid)
			{
				moved = moved || i != j;
				if (catalog.types[j].base != NULL)
					fresh->types[i] = catalog.types[j];
			}
	for (int i = 0; moved && i < fresh->n_types; i++)
		if (fresh->types[i].base == NULL)
			SovTypeInit(&fresh->types[i]);
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
		fresh.key_purpose = get_relname_relid("key_purpose", fresh.schema);
		fresh.key_glass = get_relname_relid("key_glass", fresh.schema);
		fresh.key_glass_role = get_relname_relid("key_glass_role", fresh.schema);
		fresh.key_seals = get_relname_relid("key_seals", fresh.schema);
		read_types(&fresh);
		carry_over(&fresh);
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

static const SovType *
complete(const SovType *t)
{
	if (t->base == NULL)
		SovTypeInit((SovType *) t);
	return t;
}

const SovType *
SovTypeOfOid(Oid type)
{
	const SovCatalog *c = SovGetCatalog();

	for (int i = 0; i < c->n_types; i++)
		if (c->types[i].oid == type)
			return complete(&c->types[i]);
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
	return best ? complete(best) : NULL;
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
	{
		const SovType *t = SovTypeOfOid(args[i]);

		f->enc[i] = t != NULL;
		f->types[i] = t ? t : f->type;
	}
	flinfo->fn_extra = f;
	return f;
}

void
SovCatalogInit(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
}
