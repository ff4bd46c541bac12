/*
 * convert.c - encrypt_column and decrypt_column: an existing column becomes an
 * encrypted one, or back, while readers and writers go on.
 *
 *   begin     everything that involves the column is looked at; what cannot be
 *             carried over is refused in one message.  A new column and the
 *             trigger that keeps it equal to the old one (sync.c) are made
 *   filling   rows from before that moment are written again, batch by batch
 *   indexing  indexes on the column alone are made on the new one, concurrently
 *   checking  every row is compared, before the old column goes
 *   swapping  in one short transaction under a lock the old column is dropped
 *             and the new one takes its name, default, NOT NULL, grants, comment
 *
 * All row versions from after the begin are the trigger's work, so a walk over
 * the blocks that the table had then reaches all others, wherever writers move
 * them.  Every step can be repeated: killed in the middle, the next CALL goes on.
 *
 * What is looked at before is in convert_order.c, indexing and swapping in
 * convert_swap.c.
 *
 * All names are qualified and all operators written out: a procedure that
 * commits cannot set search_path.
 */
#include "job.h"
#include "subjects.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(sov_encrypt_column);
PG_FUNCTION_INFO_V1(sov_decrypt_column);
PG_FUNCTION_INFO_V1(sov_stop_column_job);

/* --- begin --- */

static char *
collation_clause(const SovConversion *c)
{
	Oid			type,
				collation;
	int32		typmod;
	HeapTuple	tuple;
	Form_pg_collation form;
	char	   *clause;

	get_atttypetypmodcoll(c->job.rel, c->job.attnum, &type, &typmod, &collation);
	if (!OidIsValid(collation) || collation == DEFAULT_COLLATION_OID || !OidIsValid(get_typcollation(c->type_oid)))
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "collation %u is not there", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	clause = psprintf(" COLLATE %s", quote_qualified_identifier(get_namespace_name(form->collnamespace), NameStr(form->collname)));
	ReleaseSysCache(tuple);
	return clause;
}

static void
begin_work(void *arg)
{
	SovConversion *c = arg;
	char	   *schema = SovSchemaName();
	char	   *table = SovTableName(c->job.rel);

	SovRun("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
	SovRefuseObstacles(c, false);
	if (!c->encrypt)
		SovNeedApproval(c, table);
	SovRun("ALTER TABLE %s ADD COLUMN %s %s%s", table, quote_identifier(c->new_column), c->type, collation_clause(c));
	SovRun("CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s.sync_column(%s, %s)",
		   quote_identifier(c->trigger), table, schema, quote_literal_cstr(c->column), quote_literal_cstr(c->new_column));
	SovRun("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, quote_identifier(c->trigger));
	if (c->subject)
		SovTieColumn(c->job.rel, c->new_column, c->subject, true);
	SovRunOnJobs("INSERT INTO %s.column_job (rel, attnum, new_attnum, what, phase, rows_total, pid)"
		   " VALUES (%u, %d, %d, '%s', 'filling', " INT64_FORMAT ", %d)",
		   schema, c->job.rel, c->job.attnum, get_attnum(c->job.rel, c->new_column),
		   c->encrypt ? "encrypt" : "decrypt", SovEstimateRows(c->job.rel), MyProcPid);
}

/* --- filling and checking --- */

static char *
fill_statement(const SovJob *job, const char *part, const char *range)
{
	const char *old = SovColumnName(job->rel, job->attnum);
	const char *new = SovColumnName(job->rel, job->new_attnum);

	/* the trigger does the work */
	return psprintf("UPDATE ONLY %s SET %s = NULL WHERE %s AND %s IS NULL AND %s IS NOT NULL", part, new, range, new, old);
}

static char *
check_statement(const SovJob *job, const char *part, const char *range)
{
	const char *old = SovColumnName(job->rel, job->attnum);
	const char *new = SovColumnName(job->rel, job->new_attnum);
	const SovType *from = SovTypeOfOid(get_atttype(job->rel, job->attnum));
	const SovType *to = SovTypeOfOid(get_atttype(job->rel, job->new_attnum));

	const char *same;

	if (to != NULL && from == NULL)
		same = psprintf("%s OPERATOR(pg_catalog.=) %s::%s", new, old, format_type_be_qualified(to->base_oid));
	else
		same = psprintf("%s OPERATOR(pg_catalog.=) %s", new, old);
	if (!SovMayCompare(job))
		same = psprintf("%s IS NOT NULL AND %s IS NOT NULL", new, old);
	return psprintf("SELECT pg_catalog.count(*) FILTER (WHERE NOT coalesce(%s, false) AND NOT (%s IS NULL AND %s IS NULL)), pg_catalog.count(*)"
					" FROM ONLY %s WHERE %s", same, old, new, part, range);
}

static uint64
check_result(const SovJob *job)
{
	char	   *bad = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	char	   *all = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);

	if (strcmp(bad, "0") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("%s rows of table %s differ between the old and the new column", bad, SovTableName(job->part)),
				 errdetail("The trigger that keeps them equal must have been disabled or dropped for a while."),
				 errhint("The old column is intact: SELECT %s.stop_column_job(table, column, abandon => true), then begin anew.", SovSchemaName())));
	return strtoull(all, NULL, 10);
}

static const SovWalk filling = {.phase = "filling", .quietly = true, .statement = fill_statement};
static const SovWalk checking = {.phase = "checking", .statement = check_statement, .count = check_result};

/* --- the procedures --- */

/* The first person of a database needs an erasable key at the custodian. */
static void
need_epoch(void)
{
	if (SovCurrentEpoch() == 0)
		(void) DirectFunctionCall1(sov_run_subjects, BoolGetDatum(true));
}

static void
enter(SovConversion *c, const char *phase)
{
	SovSetPhase(&c->job, phase);
	SPI_commit();
	if (!SovFindJob(c->job.rel, c->job.attnum, &c->job))
		strlcpy(c->job.phase, "gone", sizeof c->job.phase);
}

/* The phases from where the job stands; a phase that is done is not entered. */
static enum SovStep
run_phases(SovConversion *c, int batch)
{
	enum SovStep step = SOV_STEP_DONE;

	do
	{
		if (strcmp(c->job.phase, "filling") == 0)
		{
			step = SovWalkTable(&c->job, &filling, batch);
			if (step == SOV_STEP_DONE)
				enter(c, "indexing");
		}
		else if (strcmp(c->job.phase, "indexing") == 0)
		{
			step = SovMakeIndexes(c);
			if (step == SOV_STEP_DONE)
				step = SovKeepNotNull(c);
			if (step == SOV_STEP_DONE)
				enter(c, "checking");
		}
		else if (strcmp(c->job.phase, "checking") == 0)
		{
			step = SovWalkTable(&c->job, &checking, batch);
			if (step == SOV_STEP_DONE)
				enter(c, "swapping");
		}
		else
		{
			step = SovSwapColumns(c);
			if (step == SOV_STEP_DONE && !c->again)
				return step;
			if (step == SOV_STEP_DONE)
				enter(c, "indexing");
		}
	} while (step == SOV_STEP_DONE);
	return step;
}

static void
report(const SovConversion *c, enum SovStep step)
{
	char	   *schema = SovSchemaName();

	if (step == SOV_STEP_STOPPED)
		ereport(NOTICE,
				(errmsg("stopped; readers and writers are not affected"),
				 errhint("CALL %s again to go on, or give it up: SELECT %s.stop_column_job(table, column, abandon => true).", c->name, schema)));
	else if (step == SOV_STEP_GONE)
		ereport(NOTICE, (errmsg("another session has finished or abandoned this")));
	else if (c->encrypt && SovTypeOfOid(c->type_oid) != NULL)
		ereport(NOTICE,
				(errmsg("column \"%s\" is encrypted; it stands last in the table now", c->column),
				 errdetail("The files of the table and of the planner's statistics still hold old plaintext, and so do WAL and backups from before."),
				 errhint("VACUUM FULL %s, pg_catalog.pg_statistic removes it from the files; WAL and backups expire.", SovTableName(c->job.rel))));
}

static void
convert(FunctionCallInfo fcinfo, bool encrypt)
{
	MemoryContext cxt = AllocSetContextCreate(PortalContext, "pg_sovereign conversion", ALLOCSET_DEFAULT_SIZES);
	SovConversion *c = MemoryContextAllocZero(cxt, sizeof *c);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	int			batch = PG_GETARG_INT32(encrypt ? 4 : 2);
	Oid			rel;
	enum SovStep step;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || batch <= 0 || (encrypt && PG_ARGISNULL(3)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table, column and mode must be given, and a batch has at least one row")));
	c->name = encrypt ? "encrypt_column" : "decrypt_column";
	c->encrypt = encrypt;
	SovBeginBatches(fcinfo, c->name);
	MemoryContextSwitchTo(cxt);
	rel = PG_GETARG_OID(0);
	SovReadConversion(c, rel, NameStr(*PG_GETARG_NAME(1)),
			   encrypt && !PG_ARGISNULL(2) ? text_to_cstring(PG_GETARG_TEXT_PP(2)) : NULL,
			   encrypt ? text_to_cstring(PG_GETARG_TEXT_PP(3)) : NULL);
	if (encrypt && c->fresh && !PG_ARGISNULL(5))
	{
		c->subject = pstrdup(NameStr(*PG_GETARG_NAME(5)));
		SovCheckSubject(c);
	}
	if (c->fresh && SovAlreadyConverted(c))
		goto done;
	if (c->subject)
		need_epoch();
	SovCheckMayOpen(c);
	if (c->fresh)
	{
		SovRefuseObstacles(c, false);
		SovTellChanges(c);
		(void) SovTryLocked(&c->job, false, begin_work, c);
		if (!SovFindJob(rel, c->job.attnum, &c->job))
			elog(ERROR, "the job was not begun");
	}
	else
		SPI_commit();
	step = run_phases(c, batch);
	report(c, step);
done:
	SPI_finish();
	MemoryContextSwitchTo(old);
}

Datum
sov_encrypt_column(PG_FUNCTION_ARGS)
{
	convert(fcinfo, true);
	PG_RETURN_VOID();
}

Datum
sov_decrypt_column(PG_FUNCTION_ARGS)
{
	convert(fcinfo, false);
	PG_RETURN_VOID();
}

/* stop_column_job(table, column, abandon) */
Datum
sov_stop_column_job(PG_FUNCTION_ARGS)
{
	Oid			rel = PG_GETARG_OID(0);
	char	   *column = NameStr(*PG_GETARG_NAME(1));
	bool		abandon = PG_GETARG_BOOL(2);
	AttrNumber	attnum = get_attnum(rel, column);
	SovJob		job;
	bool		found;

	SPI_connect();
	found = attnum > 0 && SovFindJob(rel, attnum, &job);
	if (found)
		SovRunOnJobs("INSERT INTO %s.column_job_stop VALUES (%u, %d) ON CONFLICT DO NOTHING", SovSchemaName(), rel, attnum);
	if (found && abandon)
		SovAbandonJob(&job);
	SPI_finish();
	PG_RETURN_BOOL(found);
}
