/*
 * job.c - long work on a column, in batches that commit.
 *
 * A job is a row of the table column_job.  Its position (part, block) is
 * written in the transaction that did the work up to there, so that a crash
 * loses one batch at most and nothing is done twice that must not be.
 *
 * The table is walked by ranges of blocks, partition by partition in the order
 * of their oids.  The caller's statement must leave alone what is done already:
 * a range may be walked again, when the table was rewritten (VACUUM FULL) or a
 * batch rolled back.
 *
 * One session works on a table at a time: each batch holds a lock on the job
 * until it commits.  A stop is a row of column_job_stop, so that nobody waits
 * for a batch to ask for it.
 */
#include "job.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define LOCK_TIMEOUT "1s"
#define PAUSE_MS 200			/* between attempts to get a lock */
#define ROWS_PER_BLOCK 50		/* at least taken for granted: how many rows wait for the
								 * end of a batch where a sparse part is followed by a dense one */

/* --- transactions --- */

void
SovBeginBatches(FunctionCallInfo fcinfo, const char *name)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (IsTransactionBlock() || call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction block", name),
				 errhint("It commits batch by batch: CALL it by itself, outside BEGIN and outside functions (with autocommit on).")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
}

/* May the user keep the triggers of a table from firing? */
static bool
may_be_quiet(void)
{
	return superuser() ||
		pg_parameter_aclcheck("session_replication_role", GetUserId(), ACL_SET) == ACLCHECK_OK;
}

/* Until the end of the transaction: a value that is sealed anew is no change that
 * the table's triggers and foreign keys should see. */
void
SovBeQuiet(void)
{
	if (may_be_quiet())
		SovRun("SET LOCAL session_replication_role = replica");
}

static void
pause_a_while(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, PAUSE_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Others were in the way; the same may succeed later. */
static bool
is_passing(int sqlstate)
{
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/* Work in a subtransaction: false when others were in the way. */
static bool
attempt(void (*work) (void *arg), void *arg)
{
	MemoryContext cxt = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(cxt);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		if (!is_passing(error->sqlerrcode))
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(cxt);
	CurrentResourceOwner = owner;
	return done;
}

/* --- the table column_job --- */

/* Has the user the rights of the table's owner? */
bool
SovOwnsTable(Oid rel)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(rel));
	bool		owns;

	if (!HeapTupleIsValid(tuple))
		return false;
	owns = has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
	return owns;
}

#define JOB_COLUMNS "rel, attnum, new_attnum, what, phase, part, filenode, block, end_block, pass_rows"

static int64
value_of(int column)
{
	char	   *s = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return s ? strtoll(s, NULL, 10) : 0;
}

/* (a job is the table's owner's: for others there is none) */
bool
SovFindJob(Oid rel, AttrNumber attnum, SovJob *job)
{
	memset(job, 0, sizeof *job);
	if (!SovOwnsTable(rel) ||
		SovRunOnJobs("SELECT " JOB_COLUMNS " FROM %s.column_job WHERE rel OPERATOR(pg_catalog.=) %u AND attnum OPERATOR(pg_catalog.=) %d",
					 SovSchemaName(), rel, attnum) == 0)
		return false;
	job->rel = rel;
	job->attnum = attnum;
	job->new_attnum = (AttrNumber) value_of(3);
	strlcpy(job->what, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4), sizeof job->what);
	strlcpy(job->phase, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5), sizeof job->phase);
	job->part = (Oid) value_of(6);
	job->filenode = (Oid) value_of(7);
	job->block = value_of(8);
	job->end_block = value_of(9);
	job->pass_rows = value_of(10);
	return true;
}

/* Until the end of the transaction.  Like an advisory lock, but nobody takes it by SQL, who
 * would keep keys from being rotated.  False: somebody else has it, and we do not wait. */
bool
SovLockWork(Oid table, uint32 id, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, table, id, 0);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static bool
lock_job(Oid rel, bool wait)
{
	return SovLockWork(get_relname_relid("column_job", SovGetCatalog()->schema), rel, wait);
}

/* Of tables and columns that are gone. */
void
SovForgetJobs(void)
{
	SovRunOnJobs("DELETE FROM %s.column_job j WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a"
				 " WHERE a.attrelid OPERATOR(pg_catalog.=) j.rel AND a.attnum OPERATOR(pg_catalog.=) j.attnum AND NOT a.attisdropped)", SovSchemaName());
}

/* Refuse when another session works on the table, and forget jobs of tables that are gone. */
void
SovClaimTable(Oid rel)
{
	char	   *schema = SovSchemaName();

	if (!lock_job(rel, false))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another session works on the columns of table %s", SovTableName(rel)),
				 errhint("The view %s.column_jobs shows its progress; stop it with %s.stop_column_job(table, column).", schema, schema)));
	SovForgetJobs();
}

/* At the begin of a call: an earlier stop does not stop this one. */
void
SovTakeBackStop(Oid rel, AttrNumber attnum)
{
	SovRunOnJobs("DELETE FROM %s.column_job_stop WHERE rel OPERATOR(pg_catalog.=) %u AND attnum OPERATOR(pg_catalog.=) %d", SovSchemaName(), rel, attnum);
}

/* Whichever column of a rotation was to stop, all of it stops: it is one call. */
bool
SovStopWanted(const SovJob *job)
{
	return SovRunOnJobs("SELECT 1 FROM %s.column_job_stop s JOIN %s.column_job j ON j.rel OPERATOR(pg_catalog.=) s.rel AND j.attnum OPERATOR(pg_catalog.=) s.attnum"
						" JOIN %s.column_job mine ON mine.rel OPERATOR(pg_catalog.=) %u AND mine.attnum OPERATOR(pg_catalog.=) %d"
						" WHERE (j.rel OPERATOR(pg_catalog.=) mine.rel AND j.attnum OPERATOR(pg_catalog.=) mine.attnum)"
						" OR (j.what OPERATOR(pg_catalog.=) 'rotate' AND mine.what OPERATOR(pg_catalog.=) 'rotate' AND j.key OPERATOR(pg_catalog.=) mine.key)",
						SovSchemaName(), SovSchemaName(), SovSchemaName(), job->rel, job->attnum) > 0;
}

/* Lock and read the job again: at the begin of every transaction. */
static bool
take_up(SovJob *job, enum SovStep *why_not)
{
	(void) lock_job(job->rel, true);
	*why_not = SOV_STEP_STOPPED;
	if (SovStopWanted(job))
		return false;
	*why_not = SOV_STEP_GONE;
	return SovFindJob(job->rel, job->attnum, job);
}

static void
write_position(const SovJob *job, uint64 rows)
{
	SovRunOnJobs("UPDATE %s.column_job SET part = %u, filenode = %u, block = " INT64_FORMAT ", end_block = " INT64_FORMAT
		   ", pass_rows = " INT64_FORMAT ", rows_done = rows_done OPERATOR(pg_catalog.+) " UINT64_FORMAT
		   ", pid = %d, updated = pg_catalog.clock_timestamp()"
		   " WHERE rel OPERATOR(pg_catalog.=) %u AND attnum OPERATOR(pg_catalog.=) %d",
		   SovSchemaName(), job->part, job->filenode, job->block, job->end_block, job->pass_rows, rows,
		   MyProcPid, job->rel, job->attnum);
}

/* A new phase (or pass) begins at the table's begin. */
void
SovSetPhase(const SovJob *job, const char *phase)
{
	SovRunOnJobs("UPDATE %s.column_job SET phase = %s, part = 0, filenode = 0, block = 0, end_block = -1, pass_rows = 0, rows_done = 0"
		   ", pid = %d, updated = pg_catalog.clock_timestamp()"
		   " WHERE rel OPERATOR(pg_catalog.=) %u AND attnum OPERATOR(pg_catalog.=) %d",
		   SovSchemaName(), quote_literal_cstr(phase), MyProcPid, job->rel, job->attnum);
}

/* It is done, or abandoned. */
void
SovDropJob(const SovJob *job)
{
	SovRunOnJobs("DELETE FROM %s.column_job WHERE rel OPERATOR(pg_catalog.=) %u AND attnum OPERATOR(pg_catalog.=) %d", SovSchemaName(), job->rel, job->attnum);
	SovTakeBackStop(job->rel, job->attnum);
}

/* --- walking --- */

#define LEAVES "WITH RECURSIVE m(oid) AS (SELECT %u::pg_catalog.oid UNION ALL SELECT i.inhrelid FROM m JOIN pg_catalog.pg_inherits i" \
	" ON i.inhparent OPERATOR(pg_catalog.=) m.oid JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) i.inhrelid WHERE p.relispartition)"

int64
SovEstimateRows(Oid rel)
{
	char	   *n = SovAsk(LEAVES " SELECT pg_catalog.sum(CASE WHEN c.reltuples OPERATOR(pg_catalog.<) 0"
						   " THEN pg_catalog.pg_relation_size(c.oid) OPERATOR(pg_catalog./) 100 ELSE c.reltuples::pg_catalog.int8 END)::pg_catalog.int8"
						   " FROM m JOIN pg_catalog.pg_class c USING (oid) WHERE c.relkind OPERATOR(pg_catalog.=) 'r'", rel);

	return n ? strtoll(n, NULL, 10) : 0;
}

/* The first table with rows of its own whose oid is above. */
static Oid
next_part(Oid rel, Oid above)
{
	char	   *oid = SovAsk(LEAVES " SELECT pg_catalog.min(c.oid::pg_catalog.int8) FROM m JOIN pg_catalog.pg_class c USING (oid)"
							 " WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND c.oid OPERATOR(pg_catalog.>) %u", rel, above);

	return oid ? (Oid) strtoul(oid, NULL, 10) : InvalidOid;
}

/* Where the walk goes on; false at the end. */
static bool
find_place(SovJob *job)
{
	for (;;)
	{
		if (OidIsValid(job->part) && next_part(job->rel, job->part - 1) == job->part)
		{
			Oid			filenode;

			SovRun("SELECT pg_catalog.pg_relation_filenode(%u), pg_catalog.pg_relation_size(%u) OPERATOR(pg_catalog./) %d",
				   job->part, job->part, BLCKSZ);
			filenode = (Oid) value_of(1);
			if (job->end_block < 0 || filenode != job->filenode)
			{
				job->filenode = filenode;
				job->block = 0;
				job->end_block = value_of(2);
			}
			if (job->block < job->end_block)
				return true;
		}
		job->part = next_part(job->rel, job->part);
		job->block = 0;
		job->end_block = -1;
		if (!OidIsValid(job->part))
			return false;
	}
}

typedef struct Batch
{
	SovJob	   *job;
	const SovWalk *walk;
	int64		to;
	uint64		rows;
} Batch;

Oid			SovBatchOf;

/* The trigger of a conversion (sync.c) opens values of this table for who has called the
 * procedure, and so does the statement that compares; the owner, as whom both run, need not
 * be able to.  His functions stay what they are. */
static void
run_statement(Batch *b, const char *sql)
{
	PG_TRY();
	{
		SovBatchOf = b->job->part;
		SovOpensForCaller = b->walk->count != NULL;
		b->rows = SovRunAsOwner(b->job->part, sql);
	}
	PG_FINALLY();
	{
		SovBatchOf = InvalidOid;
		SovOpensForCaller = false;
	}
	PG_END_TRY();
}

static void
run_batch(void *arg)
{
	Batch	   *b = arg;
	SovJob	   *job = b->job;
	char	   *range = psprintf("ctid OPERATOR(pg_catalog.>=) '(" INT64_FORMAT ",0)'::pg_catalog.tid AND ctid OPERATOR(pg_catalog.<) '(" INT64_FORMAT ",0)'::pg_catalog.tid",
								 job->block, b->to);

	/* the range is chosen by block, whatever the planner thinks of it */
	SovRun("SET LOCAL enable_seqscan = off");
	run_statement(b, b->walk->statement(job, SovTableName(job->part), range));
	if (b->walk->count)
		b->rows = b->walk->count(job);
}

/* How many blocks hold about a batch of rows. */
static int64
first_guess(Oid part, int batch)
{
	char	   *n = SovAsk("SELECT pg_catalog.ceil(%d::pg_catalog.float8 OPERATOR(pg_catalog.*) relpages OPERATOR(pg_catalog./) reltuples::pg_catalog.float8)"
						   " FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) %u AND reltuples OPERATOR(pg_catalog.>) 0 AND relpages OPERATOR(pg_catalog.>) 0",
						   batch, part);

	return n ? Max(strtoll(n, NULL, 10), 1) : 1;
}

enum SovStep
SovWalkTable(SovJob *job, const SovWalk *walk, int batch)
{
	enum SovStep step;
	int64		blocks = 0,
				most = Max(batch / ROWS_PER_BLOCK, 1);
	Batch		b = {.job = job, .walk = walk};
	MemoryContext old = CurrentMemoryContext;
	MemoryContext cxt = AllocSetContextCreate(old, "pg_sovereign batch", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(cxt);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(cxt);
		if (!take_up(job, &step))
			break;
		step = SOV_STEP_DONE;
		if (strcmp(job->phase, walk->phase) != 0 || !find_place(job))
			break;
		if (blocks == 0)
			blocks = Min(first_guess(job->part, batch), most);
		b.to = Min(job->block + blocks, job->end_block);
		if (walk->quietly)
			SovBeQuiet();
		if (!attempt(run_batch, &b))
		{
			SPI_commit();
			pause_a_while();
			continue;
		}
		/* towards a batch of rows; a range without any says little */
		if (b.rows > 0)
			blocks = Min(Max((b.to - job->block) * batch / (int64) b.rows, 1), Min(2 * blocks, most));
		job->block = b.to;
		job->pass_rows += b.rows;
		write_position(job, b.rows);
		SPI_commit();
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return step;
}

/* --- strong locks --- */

enum SovStep
SovTryLocked(const SovJob *job, bool quietly, void (*work) (void *arg), void *arg)
{
	SovJob		current = *job;
	enum SovStep step;
	bool		told = false;

	for (;;)
	{
		/* (a job that is not begun yet has no row) */
		if (job->what[0] != '\0' && !take_up(&current, &step))
			return step;
		SovRun("SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'");
		if (quietly)
			SovBeQuiet();
		if (attempt(work, arg))
		{
			SPI_commit();
			return SOV_STEP_DONE;
		}
		if (!told)
			ereport(NOTICE,
					(errmsg("waiting for a moment without long transactions on table %s", SovTableName(job->rel))));
		told = true;
		SPI_commit();
		pause_a_while();
	}
}
