/*
 * statements.c - SQL that the work on columns runs (job.c): as the caller, as the owner of
 * a table, or on the tables of jobs.
 */
#include "job.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static char *vformat(const char *fmt, va_list args) pg_attribute_printf(1, 0);
static void execute(const char *fmt, va_list args, long limit) pg_attribute_printf(1, 0);

static char *
vformat(const char *fmt, va_list args)
{
	StringInfoData buf;
	int			more;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		copy;

		va_copy(copy, args);
		more = appendStringInfoVA(&buf, fmt, copy);
		va_end(copy);
		if (more == 0)
			return buf.data;
		enlargeStringInfo(&buf, more);
	}
}

/* (SPI leaves its own memory context behind, which does not last) */
static void
execute(const char *fmt, va_list args, long limit)
{
	MemoryContext cxt = CurrentMemoryContext;
	char	   *sql = vformat(fmt, args);

	SPI_freetuptable(SPI_tuptable);
	if (SPI_execute(sql, false, limit) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	MemoryContextSwitchTo(cxt);
	pfree(sql);
}

uint64
SovRun(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	execute(fmt, args, 0);
	va_end(args);
	return SPI_processed;
}

/* On the tables of jobs, which are nobody's to write but their owner's: each caller of
 * this has seen that the job is the user's (SovOwnsTable).  An abort brings back the user. */
uint64
SovRunOnJobs(const char *fmt,...)
{
	SovUser		saved;
	va_list		args;

	SovBecomeOwner(SovGetCatalog()->key_version, &saved);
	va_start(args, fmt);
	execute(fmt, args, 0);
	va_end(args);
	SovBecomeSelf(&saved);
	return SPI_processed;
}

char *
SovAsk(const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	execute(fmt, args, 1);
	va_end(args);
	if (SPI_processed == 0 || SPI_tuptable == NULL)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/*
 * Like VACUUM and CREATE INDEX, become the table's owner for what evaluates the
 * owner's functions (checks, defaults): a superuser who works on the table must not
 * run them.  Row security does not hide rows from it.  An abort brings back the user.
 */
void
SovBecomeOwner(Oid rel, SovUser *saved)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(rel));

	GetUserIdAndSecContext(&saved->user, &saved->context);
	if (!HeapTupleIsValid(tuple))
		return;
	SetUserIdAndSecContext(((Form_pg_class) GETSTRUCT(tuple))->relowner,
						   saved->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	ReleaseSysCache(tuple);
}

void
SovBecomeSelf(const SovUser *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
}

/* Names are looked up as the caller: the owner need not see our schema (but for a
 * table with row security, whose statements are analysed again for each user). */
uint64
SovRunAsOwner(Oid rel, const char *sql)
{
	MemoryContext cxt = CurrentMemoryContext;
	SovUser		saved;
	SPIPlanPtr	plan;

	SPI_freetuptable(SPI_tuptable);
	plan = SPI_prepare(sql, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\"", sql);
	SovBecomeOwner(rel, &saved);
	if (SPI_execute_plan(plan, NULL, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	SovBecomeSelf(&saved);
	SPI_freeplan(plan);
	MemoryContextSwitchTo(cxt);
	return SPI_processed;
}

char *
SovTableName(Oid rel)
{
	char	   *name = get_rel_name(rel);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the table was dropped meanwhile")));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(rel)), name);
}

const char *
SovColumnName(Oid rel, AttrNumber attnum)
{
	return quote_identifier(get_attname(rel, attnum, false));
}
