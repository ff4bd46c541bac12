/*
 * convert_swap.c - the end of a conversion: indexes, NOT NULL, and the short
 * transaction in which the new column takes the old one's place.
 *
 * Whatever takes long is done before, without blocking writers: indexes are built
 * concurrently (in the procedure's own transactions, see run_concurrently), NOT
 * NULL is prepared as a check constraint that is validated under a weak lock,
 * transactions with old snapshots are waited for.
 * The swap itself looks at everything once more under its lock: what came up
 * meanwhile is refused, or sends the conversion back to indexing.
 */
#include "job.h"

#include "access/xact.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

/* --- indexes --- */

/* The statement that brings us nearer to having all indexes; NULL: all there. */
static char *
next_index(const SovConversion *c, bool concurrently)
{
	const SovType *t = SovTypeOfOid(c->type_oid);
	char	   *blind = t ? psprintf(" %s.%s_blind_ops", SovSchemaName(), t->name) : "";
	const char *new_column = quote_identifier(c->new_column);
	char	   *field[6];

	if (SovRun("SELECT lead, made_as, on_table, method, tail, may_be_concurrent, half_made FROM %s.column_indexes(%u, %s) WHERE NOT made",
			   SovSchemaName(), c->job.rel, quote_literal_cstr(c->column)) == 0)
		return NULL;
	for (int i = 0; i < 6; i++)
		field[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);
	/* what a kill left behind is not valid, and in the way */
	if (SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 7) != NULL)
		return psprintf("DROP INDEX %s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 7));
	return psprintf("%s %s%s ON %s USING %s (%s%s)%s", field[0], concurrently && strcmp(field[5], "t") == 0 ? "CONCURRENTLY " : "",
					field[1], field[2], field[3], new_column, strcmp(field[3], "btree") == 0 ? blind : "", field[4]);
}

/* CREATE INDEX CONCURRENTLY has transactions of its own, as our procedure has: it
 * can run here as a top-level command, where nobody's SPI is in the way. */
static void
run_concurrently(const char *sql)
{
	RawStmt    *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));
	PlannedStmt *stmt = makeNode(PlannedStmt);

	stmt->commandType = CMD_UTILITY;
	stmt->canSetTag = false;
	stmt->utilityStmt = raw->stmt;
	stmt->stmt_location = -1;
	PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(stmt, sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver, NULL);
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
}

static void
run_statement(void *arg)
{
	SovRun("%s", ((SovConversion *) arg)->statement);
}

enum SovStep
SovMakeIndexes(SovConversion *c)
{
	MemoryContext cxt = CurrentMemoryContext;
	enum SovStep step = SOV_STEP_DONE;
	bool		alone;

	/* under somebody else's SPI connection (DO) no command may commit */
	SPI_finish();
	alone = !SPI_inside_nonatomic_context();
	MemoryContextSwitchTo(cxt);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	MemoryContextSwitchTo(cxt);
	while (step == SOV_STEP_DONE && (c->statement = next_index(c, alone)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (strstr(c->statement, "INDEX CONCURRENTLY ") != NULL)
		{
			SPI_commit();
			SPI_finish();
			MemoryContextSwitchTo(cxt);
			run_concurrently(c->statement);
			MemoryContextSwitchTo(cxt);	/* (SPI_finish goes back to it) */
			SPI_connect_ext(SPI_OPT_NONATOMIC);
			MemoryContextSwitchTo(cxt);
		}
		else
			step = SovTryLocked(&c->job, false, run_statement, c);
	}
	return step;
}

/* --- NOT NULL --- */

static char *
not_null_name(const SovConversion *c)
{
	return makeObjectName("sov_not_null", c->column, NULL);
}

static bool
is_not_null(const SovConversion *c)
{
	return SovAsk("SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid OPERATOR(pg_catalog.=) %u AND attnum OPERATOR(pg_catalog.=) %d AND attnotnull",
				  c->job.rel, c->job.attnum) != NULL;
}

/* NULL: no constraint; else whether it is valid: t or f */
static char *
not_null_state(const SovConversion *c)
{
	return SovAsk("SELECT convalidated FROM pg_catalog.pg_constraint WHERE conrelid OPERATOR(pg_catalog.=) %u AND conname OPERATOR(pg_catalog.=) %s",
				  c->job.rel, quote_literal_cstr(not_null_name(c)));
}

enum SovStep
SovKeepNotNull(SovConversion *c)
{
	enum SovStep step = SOV_STEP_DONE;
	const char *name = quote_identifier(not_null_name(c));

	if (!is_not_null(c))
		return step;
	if (not_null_state(c) == NULL)
	{
		c->statement = psprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID", SovTableName(c->job.rel), name, quote_identifier(c->new_column));
		step = SovTryLocked(&c->job, false, run_statement, c);
	}
	if (step == SOV_STEP_DONE && strcmp(not_null_state(c), "f") == 0)
	{
		c->statement = psprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", SovTableName(c->job.rel), name);
		step = SovTryLocked(&c->job, false, run_statement, c);
	}
	return step;
}

/* --- erasable persons --- */

static char *
tie_name(const char *column)
{
	return makeObjectName("~sov_tie", column, NULL);
}

/* Whoever may execute tie_subject ties what he likes. */
static bool
ties_freely(void)
{
	return strcmp(SovAsk("SELECT pg_catalog.has_function_privilege('%s.tie_subject()', 'EXECUTE')", SovSchemaName()), "t") == 0;
}

static void
must_open(Oid type, int32 typmod)
{
	SovKeyRow	row;
	struct sov_error err;

	if (SovTypeOfOid(type) != NULL &&
		SovFindKeyRow(typmod < 0 ? SOV_BY_DEFAULT : SOV_BY_ID, SovTypmodKey(typmod), &row) && SovMayOpen(&row, NULL, &err) != SOV_OK)
		SovRaise(&err);
}

/* The trigger opens persons and values for whoever writes, and its numbers tell persons
 * apart: so a table's owner ties what he may open himself. */
void
SovCheckMayTie(Oid rel, Oid type, int32 typmod, const char *subject)
{
	AttrNumber	attnum = get_attnum(rel, subject);
	Oid			person,
				collation;
	int32		person_typmod;

	if (ties_freely())
		return;
	must_open(type, typmod);
	get_atttypetypmodcoll(rel, attnum, &person, &person_typmod, &collation);
	must_open(person, person_typmod);
}

/* ", 'KEY', 'KEY OF PERSONS'", to which the owner's trigger is bound: the columns may get
 * other keys (tie.c). */
static char *
bound_to(Oid rel, const char *column, const char *subject)
{
	if (ties_freely())
		return "";
	return psprintf(", '%s', '%s'", SovKeyOfColumn(rel, get_attnum(rel, column)), SovKeyOfColumn(rel, get_attnum(rel, subject)));
}

/* always: while a conversion fills the column without the table's other triggers.  As the
 * owner of the key tables, who may execute the function: the caller was seen to own the
 * table, and must be able to open its values. */
void
SovTieColumn(Oid rel, const char *column, const char *subject, bool always)
{
	const char *name = quote_identifier(tie_name(column));
	AttrNumber	attnum = get_attnum(rel, column);
	Oid			type,
				collation;
	int32		typmod;
	char	   *sql;
	SovUser		saved;

	get_atttypetypmodcoll(rel, attnum, &type, &typmod, &collation);
	SovCheckMayTie(rel, type, typmod, subject);
	sql = psprintf("CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s.tie_subject(%s, %s%s)",
				   name, SovTableName(rel), SovSchemaName(), quote_literal_cstr(column), quote_literal_cstr(subject), bound_to(rel, column, subject));
	SovBecomeOwner(SovGetCatalog()->key_version, &saved);
	SovRun("%s", sql);
	SovBecomeSelf(&saved);
	if (always)
		SovRun("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", SovTableName(rel), name);
}

void
SovUntieColumn(Oid rel, const char *column)
{
	if (SovTiedTo(rel, column) != NULL)
		SovRun("DROP TRIGGER %s ON %s", quote_identifier(tie_name(column)), SovTableName(rel));
}

char *
SovTiedTo(Oid rel, const char *column)
{
	if (SovRunOnJobs("SELECT subject FROM %s.subject_columns WHERE rel OPERATOR(pg_catalog.=) %u AND col OPERATOR(pg_catalog.=) %s",
					 SovSchemaName(), rel, quote_literal_cstr(column)) == 0)
		return NULL;
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Is the trigger bound to the keys that the columns have, or to none? */
bool
SovTieFits(Oid rel, const char *column, const char *subject)
{
	char	   *made = SovAsk("SELECT pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger WHERE tgrelid OPERATOR(pg_catalog.=) %u"
							  " AND tgname OPERATOR(pg_catalog.=) %s AND tgnargs OPERATOR(pg_catalog.=) 4", rel, quote_literal_cstr(tie_name(column)));
	char	   *keys = psprintf(", '%s', '%s')", SovKeyOfColumn(rel, get_attnum(rel, column)), SovKeyOfColumn(rel, get_attnum(rel, subject)));

	return made == NULL || (strlen(made) > strlen(keys) && strcmp(made + strlen(made) - strlen(keys), keys) == 0);
}

/* --- the swap --- */

/* Statements that give the new column what the old one has, in the order of their
 * making; they name the column by its old name, which it has by then. */
static List *
inheritance(const SovConversion *c)
{
	List	   *all = NIL;
	bool		betrays;
	char	   *value = SovDefaultFor(c->job.rel, c->job.attnum, c->type_oid, c->typmod, &betrays);
	uint64		n;

	if (value != NULL)
		all = lappend(all, psprintf("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", SovTableName(c->job.rel), quote_identifier(c->column), value));
	n = SovRun("SELECT statement FROM %s.column_estate(%u, %s) ORDER BY place", SovSchemaName(), c->job.rel, quote_literal_cstr(c->column));
	for (uint64 i = 0; i < n; i++)
		all = lappend(all, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	return all;
}

static void
set_not_null(const SovConversion *c, const char *table)
{
	SovRun("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", table, quote_identifier(c->new_column));
	SovRun("ALTER TABLE %s DROP CONSTRAINT %s", table, quote_identifier(not_null_name(c)));
}

static void
swap_work(void *arg)
{
	SovConversion *c = arg;
	char	   *table = SovTableName(c->job.rel);
	char	   *state,
			   *subject;
	List	   *statements;
	ListCell   *lc;

	SovRun("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
	SovRefuseObstacles(c, true);
	state = not_null_state(c);
	c->again = next_index(c, false) != NULL || (is_not_null(c) && (state == NULL || strcmp(state, "t") != 0));
	if (c->again)
		return;
	statements = inheritance(c);
	if (is_not_null(c))
		set_not_null(c, table);
	else if (state != NULL)
		SovRun("ALTER TABLE %s DROP CONSTRAINT %s", table, quote_identifier(not_null_name(c)));
	subject = SovTiedTo(c->job.rel, c->new_column);
	SovUntieColumn(c->job.rel, c->column);
	SovUntieColumn(c->job.rel, c->new_column);
	SovRun("DROP TRIGGER %s ON %s", quote_identifier(c->trigger), table);
	SovRun("ALTER TABLE %s DROP COLUMN %s", table, quote_identifier(c->column));
	SovRun("ALTER TABLE %s RENAME COLUMN %s TO %s", table, quote_identifier(c->new_column), quote_identifier(c->column));
	if (subject)
		SovTieColumn(c->job.rel, c->column, subject, false);
	/* a constant default is sealed already */
	SovRun("SET LOCAL sovereign.input = %s", SovTypeOfOid(c->type_oid) ? "ciphertext" : "plaintext");
	foreach(lc, statements)
		SovRun("%s", (char *) lfirst(lc));
	SovDropJob(&c->job);
}

/*
 * A transaction whose snapshot is older than the filling sees row versions in
 * which the new column is null: it must be gone before that column is all there
 * is (as CREATE INDEX CONCURRENTLY waits).  We hold no lock and no snapshot.
 */
static void
wait_for_old_snapshots(void)
{
	TransactionId limit = GetTransactionSnapshot()->xmin;
	VirtualTransactionId *old;
	int			n;

	SPI_commit();
	old = GetCurrentVirtualXIDs(limit, true, false, PROC_IS_AUTOVACUUM | PROC_IN_VACUUM | PROC_IN_SAFE_IC, &n);
	for (int i = 0; i < n; i++)
		(void) VirtualXactLock(old[i], true);
}

enum SovStep
SovSwapColumns(SovConversion *c)
{
	enum SovStep step;

	wait_for_old_snapshots();
	step = SovTryLocked(&c->job, false, swap_work, c);
	/* the planner knows nothing of the new column yet */
	if (step == SOV_STEP_DONE && !c->again)
	{
		SovRun("ANALYZE %s (%s)", SovTableName(c->job.rel), quote_identifier(c->column));
		SPI_commit();
	}
	return step;
}

/* The column stays as it is: drop what was made beside it. */
void
SovAbandonJob(const SovJob *job)
{
	char	   *table = SovTableName(job->rel);
	char	   *column = get_attname(job->rel, job->attnum, false);

	SovRun("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
	if (job->new_attnum > 0)
	{
		SovRun("DROP TRIGGER IF EXISTS %s ON %s", quote_identifier(makeObjectName("~sov_sync", column, NULL)), table);
		SovUntieColumn(job->rel, get_attname(job->rel, job->new_attnum, false));
		/* its indexes and its check go with it */
		SovRun("ALTER TABLE %s DROP COLUMN %s", table, SovColumnName(job->rel, job->new_attnum));
	}
	SovDropJob(job);
}
