/*
 * guard.c - definitions that would betray plaintext or not work are refused.
 *
 * The plaintext-order operator class refuses every index through its options
 * procedure, which the server calls when it opens an index, never for a sort.
 * What that does not see, an event trigger on ddl_command_end does (ENABLE
 * ALWAYS): an index on a column in random mode, whose values have no tag; an index
 * on arrays, rows or ranges of encrypted types; partition keys; extended statistics;
 * a default that stayed in plaintext, as ddl.c had not known its column's type yet.
 *
 * ANALYZE of such an array or row would sort it by plaintext, which wants a key, and keep
 * its order: the trigger leaves those columns out (SET STATISTICS 0).
 */
#include "sov_pg.h"

#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "utils/array.h"

PG_FUNCTION_INFO_V1(sov_refuse_index);
PG_FUNCTION_INFO_V1(sov_check_ddl);

Datum
sov_refuse_index(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("an index in plaintext order would betray the order of encrypted values"),
			 errdetail("Where it names no operator class it gets the default one, which orders by plaintext, unless the library pg_sovereign was loaded before."),
			 errhint("Index the equality tag: CREATE [UNIQUE] INDEX ON table (column %s.%s_blind_ops), or USING hash (column). The column must be 'searchable'.",
					 SovSchemaName(), SovFnOf(fcinfo)->type->name)));
	PG_RETURN_VOID();
}

/* Each query gives (what, column) of a definition to refuse; $1 are the encrypted
 * types. */
typedef struct Refusal
{
	const char *query;
	const char *message;		/* of what and column */
	const char *hint;
	bool		restores;		/* let a dump or pg_upgrade make again what was there */
} Refusal;

#define COMMANDS "FROM pg_catalog.pg_event_trigger_ddl_commands() d "
#define CLASS "d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass "

/* What types hold, from columns d(name, column, type, typmod, kind) on: elements, columns of
 * rows, bounds of ranges; deep where an encrypted type is not the column's own. */
#define HOLDING(columns) \
	"WITH RECURSIVE h(name, col, type, typmod, kind, deep) AS (SELECT d.*, false FROM (" columns ") d UNION SELECT h.name, h.col, x.type, x.typmod, h.kind, h.deep OR x.deep FROM h " \
	"JOIN pg_catalog.pg_type t ON t.oid = h.type CROSS JOIN LATERAL (" \
	"SELECT t.typbasetype, t.typtypmod, false WHERE t.typbasetype <> 0 UNION ALL SELECT t.typelem, h.typmod, true WHERE t.typelem <> 0 " \
	"UNION ALL SELECT a.atttypid, a.atttypmod, true FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped " \
	"UNION ALL SELECT r.rngsubtype, -1, true FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) x(type, typmod, deep)) "

/* The encrypted type that column a has, also by way of domains: e(type, typmod). */
#define ENCRYPTED \
	"CROSS JOIN LATERAL (WITH RECURSIVE b(type, typmod) AS (SELECT a.atttypid, a.atttypmod UNION ALL SELECT t.typbasetype, t.typtypmod " \
	"FROM b JOIN pg_catalog.pg_type t ON t.oid = b.type AND t.typtype = 'd') SELECT b.type, b.typmod FROM b WHERE b.type = ANY ($1)) e "

/* A constant that is not sealed. */
#define CONSTANT "$re$^\\(*('(?!sov1:)([^']|'')*'|-?[0-9.]+|true|false)(\\)|\\([0-9]+\\)|::[a-z0-9_ .\"]+)*$$re$"

static const Refusal refusals[] = {
	{
		"SELECT d.object_identity, a.attname::text " COMMANDS
		"JOIN pg_catalog.pg_attrdef f ON " CLASS "AND f.adrelid = d.objid "
		"JOIN pg_catalog.pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum " ENCRYPTED
		"WHERE pg_catalog.pg_get_expr(f.adbin, f.adrelid) ~ " CONSTANT,
		"table %s would keep the default of the encrypted column \"%s\" in plaintext",
		"First ALTER COLUMN ... DROP DEFAULT; then, in a command of its own, ALTER COLUMN ... SET DEFAULT: it is sealed.", true
	},
	{
		"SELECT d.object_identity, e.type::pg_catalog.regtype::text " COMMANDS
		"JOIN pg_catalog.pg_type n ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND n.oid = d.objid AND n.typtype = 'd' "
		"CROSS JOIN LATERAL (SELECT n.typbasetype, n.typtypmod) a(atttypid, atttypmod) " ENCRYPTED
		"WHERE n.typdefault ~ " CONSTANT,
		"domain %s would keep its default, which is of type %s, in plaintext",
		"Write the constant alone, as DEFAULT 42 or DEFAULT 'x': it is sealed.", true
	},
	{
		"SELECT c.relname::text, a.attname::text " COMMANDS
		"JOIN pg_catalog.pg_index i ON " CLASS "AND (i.indexrelid = d.objid OR i.indrelid = d.objid) "
		"JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid "
		"CROSS JOIN pg_catalog.generate_series(0, i.indnkeyatts - 1) k "
		"JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] " ENCRYPTED
		"WHERE e.typmod >= 0 AND e.typmod & 1 = 0",
		"index \"%s\": column \"%s\" is encrypted in random mode, which has no equality tag to index",
		"Declare the column searchable: ALTER TABLE ... ALTER COLUMN ... TYPE ...('key', 'searchable')."
	},
	{
		HOLDING("SELECT c.relname::text, a.attname::text, a.atttypid, a.atttypmod, m.amname::text " COMMANDS
				"JOIN pg_catalog.pg_index i ON " CLASS "AND (i.indexrelid = d.objid OR i.indrelid = d.objid) "
				"JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname <> 'hash' "
				"JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum <= i.indnkeyatts")
		"SELECT name, col FROM h WHERE type = ANY ($1) AND (deep OR kind <> 'btree')",
		"index \"%s\": \"%s\" holds encrypted values, and the index would keep them in plaintext order",
		"Arrays, rows and ranges of encrypted types can have an index USING hash, or one on a searchable column of a table of their own."
	},
	{
		HOLDING("SELECT c.relname::text, a.attname::text, a.atttypid, a.atttypmod, NULL " COMMANDS
				"JOIN pg_catalog.pg_index i ON " CLASS "AND (i.indexrelid = d.objid OR i.indrelid = d.objid) "
				"JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'hash' "
				"JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]")
		"SELECT name, col FROM h WHERE type = ANY ($1) AND deep AND typmod >= 0 AND typmod & 1 = 0",
		"index \"%s\": \"%s\" holds values that are encrypted in random mode, which have no equality tag to index",
		"Declare them searchable: ALTER TABLE ... ALTER COLUMN ... TYPE ...('key', 'searchable')[].", true
	},
	{
		HOLDING("SELECT d.object_identity, a.attname::text, a.atttypid, a.atttypmod, p.partstrat::text " COMMANDS
				"JOIN pg_catalog.pg_partitioned_table p ON " CLASS "AND p.partrelid = d.objid "
				"JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[])")
		"SELECT name, col FROM h WHERE type = ANY ($1) AND deep AND (kind <> 'h' OR (typmod >= 0 AND typmod & 1 = 0))",
		"table %s cannot be partitioned by \"%s\", which holds encrypted values",
		"Partitions by range or list would tell the values' order or place; by hash they must be searchable."
	},
	{
		"SELECT d.object_identity, a.attname::text " COMMANDS
		"JOIN pg_catalog.pg_partitioned_table p ON " CLASS "AND p.partrelid = d.objid "
		"JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[]) " ENCRYPTED
		"WHERE p.partstrat <> 'h' OR (e.typmod >= 0 AND e.typmod & 1 = 0)",
		"table %s cannot be partitioned by the encrypted column \"%s\"",
		"Partitions by range or list would tell the values' order or place. PARTITION BY HASH works on a searchable column."
	},
	{
		"SELECT d.object_identity, coalesce(a.attname::text, 'an expression') " COMMANDS
		"JOIN pg_catalog.pg_statistic_ext s ON d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND s.oid = d.objid "
		"LEFT JOIN LATERAL (SELECT a.attname FROM pg_catalog.pg_attribute a " ENCRYPTED
		"WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])) a ON true "
		"WHERE a.attname IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_depend x JOIN pg_catalog.pg_proc f ON f.oid = x.refobjid "
		"WHERE x.classid = d.classid AND x.objid = d.objid AND x.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass "
		"AND f.proargtypes[0] = ANY ($1))",
		"statistics %s would keep values of the encrypted column %s",
		"Leave encrypted columns out of CREATE STATISTICS."
	},
};

static void
refuse_if_found(const Refusal *r, Datum encrypted_types)
{
	Oid			types[1] = {OIDARRAYOID};
	Datum		values[1] = {encrypted_types};

	if (SPI_execute_with_args(r->query, 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look at the definition");
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg(r->message, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errhint("%s", r->hint)));
}

/* Arrays, rows and ranges of encrypted types: not analysed. */
static void
keep_from_statistics(Datum encrypted_types)
{
	Oid			types[1] = {OIDARRAYOID};
	Datum		values[1] = {encrypted_types};
	List	   *commands = NIL;
	ListCell   *lc;

	if (SPI_execute_with_args(HOLDING("SELECT d.objid::pg_catalog.regclass::text, a.attname::text, a.atttypid, a.atttypmod, NULL " COMMANDS
									  "JOIN pg_catalog.pg_class c ON " CLASS "AND c.oid = d.objid AND c.relkind IN ('r', 'p', 'm', 'f') "
									  "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND coalesce(a.attstattarget, -1) <> 0")
							  "SELECT DISTINCT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', name, col) FROM h WHERE type = ANY ($1) AND deep",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look at the definition");
	for (uint64 i = 0; i < SPI_processed; i++)
		commands = lappend(commands, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	foreach(lc, commands)
		if (SPI_execute(lfirst(lc), false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not run \"%s\"", (char *) lfirst(lc));
}

Datum
sov_check_ddl(PG_FUNCTION_ARGS)
{
	const SovCatalog *catalog = SovGetCatalog();
	Datum		oids[SOV_TYPES_MAX];
	Datum		types;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "not called by an event trigger");
	if (catalog->n_types == 0)
		PG_RETURN_NULL();
	for (int i = 0; i < catalog->n_types; i++)
		oids[i] = ObjectIdGetDatum(catalog->types[i].oid);
	types = PointerGetDatum(construct_array(oids, catalog->n_types, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	SPI_connect();
	for (size_t i = 0; i < lengthof(refusals); i++)
		if (!refusals[i].restores || (sov_input != SOV_INPUT_CIPHERTEXT && !IsBinaryUpgrade))
			refuse_if_found(&refusals[i], types);
	if (!IsBinaryUpgrade)
		keep_from_statistics(types);
	SPI_finish();
	PG_RETURN_NULL();
}
