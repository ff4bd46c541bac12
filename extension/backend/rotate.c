/*
 * rotate.c - rotate_key: a new version of a data key becomes the current one, and
 * what earlier versions sealed is sealed anew.
 *
 * The new version and the jobs, one for each column, are made in one transaction.
 * Then writers who may still hold the former version (their lock on the table is
 * older than the new version's commit) are waited for, plans with constants that
 * it sealed were made invalid; from there on nothing new is sealed under it.
 *
 * Concurrent updates of other columns carry old values to places that the walk has
 * passed, so it is repeated until a pass finds few; what is left then goes in one
 * statement, whose snapshot sees every row that can still have an old value.
 *
 * Equality tags do not change with the data key.  A former version stays in the
 * key tables: backups, materialized views and constants in definitions refer to it.
 */
#include "job.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"

PG_FUNCTION_INFO_V1(sov_rotate_key);

#define PASSES_MAX 10

typedef struct Rotation
{
	char	   *key;
	SovKeyRow	row;			/* of the current version */
	SovJob		job;
	char	   *earlier;		/* versions, as an array in SQL */
	int			batch;
	bool		stopped;		/* while a column was finished */
} Rotation;

/* (the walk's statement gets no more than the job) */
static const Rotation *walking;

/* --- begin --- */

static void
refuse_conversions(const Rotation *r)
{
	char	   *which = SovAsk("SELECT pg_catalog.string_agg(k.described, ', ' ORDER BY k.described) FROM %s.key_columns(%d) k JOIN %s.column_job j"
							   " ON j.rel OPERATOR(pg_catalog.=) k.rel AND (j.attnum OPERATOR(pg_catalog.=) k.attnum OR j.new_attnum OPERATOR(pg_catalog.=) k.attnum)"
							   " WHERE j.what OPERATOR(pg_catalog.<>) 'rotate'",
							   SovSchemaName(), r->row.key_id, SovSchemaName());

	if (which != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a conversion is under way on columns of key \"%s\": %s", r->key, which),
				 errhint("Finish it (CALL its procedure again) or abandon it (stop_column_job), then rotate the key.")));
}

static void
find_key(Rotation *r)
{
	if (!SovFindKeyRow(SOV_BY_ID, SovKeyIdOfName(r->key), &r->row) || strcmp(r->row.name, r->key) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("key \"%s\" does not exist", r->key),
				 errhint("The view %s.keys shows the keys.", SovSchemaName())));
}

/* One rotation of a key at a time, until the transaction's end. */
static void
lock_key(const Rotation *r)
{
	if (!SovLockWork(SovGetCatalog()->key_version, (uint32) r->row.key_id, false))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another session rotates key \"%s\"", r->key)));
}

/* Plans may hold constants that the former version sealed. */
static void
forget_plans(Oid rel)
{
	List	   *all = find_all_inheritors(rel, AccessShareLock, NULL);
	ListCell   *lc;

	foreach(lc, all)
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

static void
begin_rotation(Rotation *r)
{
	char	   *schema = SovSchemaName();
	char	   *elsewhere = SovAsk("SELECT pg_catalog.string_agg(described, ', ' ORDER BY described) FROM %s.key_columns(%d) WHERE NOT in_place", schema, r->row.key_id);
	uint64		n;
	Oid		   *rels;

	SovNewKeyVersion(r->key);
	if (elsewhere != NULL)
		ereport(WARNING,
				(errmsg("values in arrays and materialized views stay under the former version: %s", elsewhere),
				 errhint("REFRESH MATERIALIZED VIEW, or UPDATE the arrays with values that are read and written as text.")));
	n = SovRun("SELECT rel, attnum FROM %s.key_columns(%d) WHERE in_place", schema, r->row.key_id);
	rels = palloc((n + 1) * sizeof *rels);
	for (uint64 i = 0; i < n; i++)
		rels[i] = (Oid) strtoul(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1), NULL, 10);
	SovRun("INSERT INTO %s.column_job (rel, attnum, what, key, phase, rows_total, pid) SELECT rel, attnum, 'rotate', %s, 'filling', 0, %d"
		   " FROM %s.key_columns(%d) WHERE in_place", schema, quote_literal_cstr(r->key), MyProcPid, schema, r->row.key_id);
	for (uint64 i = 0; i < n; i++)
	{
		forget_plans(rels[i]);
		SovRun("UPDATE %s.column_job SET rows_total = " INT64_FORMAT " WHERE rel OPERATOR(pg_catalog.=) %u AND what OPERATOR(pg_catalog.=) 'rotate'",
			   schema, SovEstimateRows(rels[i]), rels[i]);
	}
}

/* --- one column --- */

static void
wait_for_writers(Oid rel)
{
	List	   *all = find_all_inheritors(rel, AccessShareLock, NULL);
	List	   *tags = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		LOCKTAG    *tag = palloc0(sizeof *tag);

		SET_LOCKTAG_RELATION(*tag, MyDatabaseId, lfirst_oid(lc));
		tags = lappend(tags, tag);
	}
	WaitForLockersMultiple(tags, ShareLock, false);
}

static char *
update(const SovJob *job, const char *target, const char *where)
{
	const char *column = SovColumnName(job->rel, job->attnum);

	return psprintf("UPDATE %s SET %s = %s.seal_anew(%s) WHERE %s%s.key_version_of(%s) OPERATOR(pg_catalog.=) ANY (%s)",
					target, column, SovSchemaName(), column, where, SovSchemaName(), column, walking->earlier);
}

static char *
reseal_statement(const SovJob *job, const char *part, const char *range)
{
	return update(job, psprintf("ONLY %s", part), psprintf("%s AND ", range));
}

static const SovWalk resealing = {.phase = "filling", .quietly = true, .statement = reseal_statement};

static void
finish_work(void *arg)
{
	Rotation   *r = arg;
	char	   *table = SovTableName(r->job.rel);
	Oid			type,
				collation;
	int32		typmod;
	bool		betrays;
	char	   *value;

	SovRunAsOwner(r->job.rel, update(&r->job, table, ""));
	get_atttypetypmodcoll(r->job.rel, r->job.attnum, &type, &typmod, &collation);
	value = SovTypeOfOid(type) ? SovDefaultFor(r->job.rel, r->job.attnum, type, typmod, &betrays) : NULL;
	if (value != NULL && strncmp(value, "'" SOV_TEXT_PREFIX, strlen("'" SOV_TEXT_PREFIX)) == 0)
	{
		SovRun("SET LOCAL sovereign.input = ciphertext");
		SovRun("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", table, SovColumnName(r->job.rel, r->job.attnum), value);
	}
	r->stopped = SovStopWanted(&r->job);
	SovDropJob(&r->job);
}

static enum SovStep
rotate_column(Rotation *r)
{
	enum SovStep step;

	wait_for_writers(r->job.rel);
	SPI_commit();
	for (int pass = 1;; pass++)
	{
		step = SovWalkTable(&r->job, &resealing, r->batch);
		if (step != SOV_STEP_DONE)
			return step == SOV_STEP_GONE ? SOV_STEP_DONE : step;
		if (!SovFindJob(r->job.rel, r->job.attnum, &r->job))
			return SOV_STEP_DONE;
		if (strcmp(r->job.phase, "filling") != 0 || r->job.pass_rows <= r->batch || pass >= PASSES_MAX)
			break;
		SovSetPhase(&r->job, "filling");
		SPI_commit();
	}
	SovSetPhase(&r->job, "checking");
	SPI_commit();
	step = SovTryLocked(&r->job, true, finish_work, r);
	return step == SOV_STEP_GONE ? SOV_STEP_DONE : step;
}

/* --- the procedure --- */

/* The next column of this key that is not done, claimed. */
static bool
next_job(Rotation *r)
{
	Oid			rel;
	AttrNumber	attnum;

	if (SovRun("SELECT rel, attnum FROM %s.column_job WHERE what OPERATOR(pg_catalog.=) 'rotate' AND key OPERATOR(pg_catalog.=) %s ORDER BY rel, attnum",
			   SovSchemaName(), quote_literal_cstr(r->key)) == 0)
		return false;
	rel = (Oid) strtoul(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), NULL, 10);
	attnum = (AttrNumber) atoi(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	SovClaimTable(rel);
	return SovFindJob(rel, attnum, &r->job);
}

static void
take_back_stops(const Rotation *r)
{
	SovRunOnJobs("DELETE FROM %s.column_job_stop s USING %s.column_job j WHERE j.rel OPERATOR(pg_catalog.=) s.rel AND j.attnum OPERATOR(pg_catalog.=) s.attnum"
				 " AND j.what OPERATOR(pg_catalog.=) 'rotate' AND j.key OPERATOR(pg_catalog.=) %s",
				 SovSchemaName(), SovSchemaName(), quote_literal_cstr(r->key));
}

static void
rotate(Rotation *r)
{
	SovForgetJobs();
	find_key(r);
	lock_key(r);
	refuse_conversions(r);
	take_back_stops(r);
	if (next_job(r))
		ereport(NOTICE, (errmsg("going on with the rotation of key \"%s\" that is under way", r->key)));
	else
		begin_rotation(r);
	SPI_commit();
	r->earlier = SovAsk("SELECT pg_catalog.quote_literal(pg_catalog.array_agg(version)) OPERATOR(pg_catalog.||) '::pg_catalog.int8[]' FROM %s.key_version"
						" WHERE name OPERATOR(pg_catalog.=) %s AND NOT current AND purpose OPERATOR(pg_catalog.=) %d",
						SovSchemaName(), quote_literal_cstr(r->key), r->row.purpose);
	walking = r;
	while (next_job(r))
		if (r->stopped || rotate_column(r) == SOV_STEP_STOPPED)
		{
			ereport(NOTICE,
					(errmsg("stopped; readers and writers are not affected"),
					 errhint("CALL rotate_key again to go on.")));
			break;
		}
}

Datum
sov_rotate_key(PG_FUNCTION_ARGS)
{
	MemoryContext cxt = AllocSetContextCreate(PortalContext, "pg_sovereign rotation", ALLOCSET_DEFAULT_SIZES);
	Rotation   *r = MemoryContextAllocZero(cxt, sizeof *r);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_GETARG_INT32(1) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key must be named, and a batch has at least one row")));
	SovBeginBatches(fcinfo, "rotate_key");
	MemoryContextSwitchTo(cxt);
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("rotate_key must be called by a superuser"),
				 errdetail("It writes the key tables and every table that has values of the key.")));
	r->key = text_to_cstring(PG_GETARG_TEXT_PP(0));
	r->batch = PG_GETARG_INT32(1);
	rotate(r);
	SPI_finish();
	MemoryContextSwitchTo(old);
	PG_RETURN_VOID();
}
