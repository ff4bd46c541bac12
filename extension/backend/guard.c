/*
 * guard.c - definitions that would betray plaintext or not work are refused.
 *
 * The plaintext-order operator class refuses every index through its options
 * procedure, which the server calls when it opens an index, never for a sort.
 * What that does not see, an event trigger on ddl_command_end does (ENABLE
 * ALWAYS): an index on a column in random mode, whose values have no tag.
 */
#include "sov_pg.h"

#include "commands/event_trigger.h"
#include "executor/spi.h"

PG_FUNCTION_INFO_V1(encrypted_refuse_index);
PG_FUNCTION_INFO_V1(sov_check_ddl);

Datum
encrypted_refuse_index(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("an index in plaintext order would betray the order of encrypted values"),
			 errdetail("PRIMARY KEY, UNIQUE and a plain CREATE INDEX choose the default operator class, which orders by plaintext."),
			 errhint("Index the equality tag: CREATE [UNIQUE] INDEX ON table (column %s.encrypted_text_blind_ops), or USING hash (column). The column must be 'searchable'.",
					 SovSchemaName())));
	PG_RETURN_VOID();
}

Datum
sov_check_ddl(PG_FUNCTION_ARGS)
{
	static const char query[] =
		"SELECT c.relname::text, a.attname::text"
		" FROM pg_catalog.pg_event_trigger_ddl_commands() d"
		" JOIN pg_catalog.pg_index i ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
		"  AND (i.indexrelid = d.objid OR i.indrelid = d.objid)"
		" JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
		" CROSS JOIN pg_catalog.generate_series(0, i.indnkeyatts - 1) k"
		" JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]"
		" WHERE a.atttypid = $1 AND a.atttypmod >= 0 AND a.atttypmod & 1 = 0";
	const SovCatalog *catalog = SovGetCatalog();
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "not called by an event trigger");
	if (!OidIsValid(catalog->schema))
		PG_RETURN_NULL();
	SPI_connect();
	for (int i = 0; i < SOV_N_TYPES; i++)
	{
		values[0] = ObjectIdGetDatum(catalog->types[i]);
		if (!OidIsValid(catalog->types[i]))
			continue;
		if (SPI_execute_with_args(query, 1, types, values, NULL, false, 1) == SPI_OK_SELECT && SPI_processed > 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("index \"%s\": column \"%s\" is encrypted in random mode, which has no equality tag to index",
							SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
							SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
					 errhint("Declare the column searchable: ALTER TABLE ... ALTER COLUMN ... TYPE %s.%s('key', 'searchable').",
							 SovSchemaName(), SovTypes[i]->name)));
	}
	SPI_finish();
	PG_RETURN_NULL();
}
