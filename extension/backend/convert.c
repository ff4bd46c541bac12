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
 * Indexing and swapping are in convert_swap.c.
 *
 * All names are qualified and all operators written out: a procedure that
 * commits cannot set search_path.
 */
#include "job.h"
#include "subjects.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(sov_encrypt_column);
PG_FUNCTION_INFO_V1(sov_decrypt_column);
PG_FUNCTION_INFO_V1(sov_stop_column_job);

/* --- the type --- */

static const SovType *
type_for_base(Oid base)
{
	const SovCatalog *catalog = SovGetCatalog();

	if (base == VARCHAROID || base == BPCHAROID)
		base = TEXTOID;
	for (int i = 0; i < catalog->n_types; i++)
		if (catalog->types[i].base_oid == base)
			return SovTypeOfOid(catalog->types[i].oid);
	return NULL;
}

static char *
known_bases(void)
{
	const SovCatalog *catalog = SovGetCatalog();
	StringInfoData all;

	initStringInfo(&all);
	for (int i = 0; i < catalog->n_types; i++)
		appendStringInfo(&all, "%s%s", i ? ", " : "", format_type_be(catalog->types[i].base_oid));
	return all.data;
}

static char *
key_or_default(const char *key)
{
	SovKeyRow	row;
	bool		found = SovFindKeyRow(key ? SOV_BY_ID : SOV_BY_DEFAULT, key ? SovKeyIdOfName(key) : 0, &row);

	if (!found || (key && strcmp(row.name, key) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 key ? errmsg("key \"%s\" does not exist", key) : errmsg("this database has no encryption key yet"),
				 errhint("Create it with: SELECT %s.create_key(%s)", SovSchemaName(), quote_literal_cstr(key ? key : "name"))));
	return pstrdup(row.name);
}

static void
choose_encrypted(SovConversion *c, Oid from, const char *key, const char *mode)
{
	const SovType *t = SovTypeOfOid(from);

	if (t == NULL)
		t = type_for_base(from);
	if (t == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" has type %s, for which there is no encrypted type", c->column, format_type_be(from)),
				 errhint("Change its type first (ALTER TABLE ... ALTER COLUMN ... TYPE) to one of: %s.",
						 known_bases())));
	c->type = psprintf("%s.%s(%s, %s)", SovSchemaName(), quote_identifier(t->name),
					   quote_literal_cstr(key_or_default(key)), quote_literal_cstr(mode));
#if PG_VERSION_NUM >= 160000
	parseTypeString(c->type, &c->type_oid, &c->typmod, NULL);
#else
	parseTypeString(c->type, &c->type_oid, &c->typmod, false);
#endif
	c->indexable = SovTypmodTagged(c->typmod);
}

static void
choose_plain(SovConversion *c, Oid from)
{
	const SovType *t = SovTypeOfOid(from);

	if (t == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("column \"%s\" is not encrypted: its type is %s", c->column, format_type_be(from))));
	c->type = format_type_be_qualified(t->base_oid);
	c->type_oid = t->base_oid;
	c->typmod = -1;
	c->indexable = true;
}

/* The column's names and number; a job under way keeps the type that it chose. */
static void
read_order(SovConversion *c, Oid rel, const char *column, const char *key, const char *mode)
{
	AttrNumber	attnum = get_attnum(rel, column);
	Oid			from;
	int32		from_typmod;
	Oid			collation;

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table %s does not exist", column, SovTableName(rel))));
	if (!SovOwnsTable(rel))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(rel));
	c->column = pstrdup(column);
	c->new_column = makeObjectName("sov_new", column, NULL);
	c->trigger = makeObjectName("~sov_sync", column, NULL);
	SovClaimJob(rel, attnum);
	c->fresh = !SovFindJob(rel, attnum, &c->job);
	if (!c->fresh && strcmp(c->job.what, c->encrypt ? "encrypt" : "decrypt") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a job of another kind (%s) is under way on column \"%s\"", c->job.what, column),
				 errhint("Finish it by calling its procedure again, or abandon it with %s.stop_column_job(table, column, abandon => true).", SovSchemaName())));
	if (c->fresh)
	{
		c->job.rel = rel;
		c->job.attnum = attnum;
		get_atttypetypmodcoll(rel, attnum, &from, &from_typmod, &collation);
		if (c->encrypt)
			choose_encrypted(c, from, key, mode);
		else
			choose_plain(c, from);
		return;
	}
	get_atttypetypmodcoll(rel, c->job.new_attnum, &c->type_oid, &c->typmod, &collation);
	c->indexable = SovTypeOfOid(c->type_oid) == NULL || SovTypmodTagged(c->typmod);
	ereport(NOTICE,
			(errmsg("going on with the conversion to %s that is under way, phase: %s",
					format_type_with_typemod(c->type_oid, c->typmod), c->job.phase)));
}

/* --- who may --- */

/* Values that are to be opened must be the caller's to open: said before anything
 * is touched, and never masked. */
static void
check_may_open(const SovConversion *c)
{
	Oid			type,
				collation;
	int32		typmod;
	SovKeyRow	row;
	struct sov_error err;

	get_atttypetypmodcoll(c->job.rel, c->job.attnum, &type, &typmod, &collation);
	if (SovTypeOfOid(type) != NULL &&
		SovFindKeyRow(typmod < 0 ? SOV_BY_DEFAULT : SOV_BY_ID, SovTypmodKey(typmod), &row) && SovMayOpen(&row, NULL, &err) != SOV_OK)
		SovRaise(&err);
}

/* In random mode the values can only be compared by opening them. */
static bool
may_compare(const SovJob *job)
{
	Oid			type,
				collation;
	int32		typmod;
	SovKeyRow	row;
	struct sov_error err;

	get_atttypetypmodcoll(job->rel, job->new_attnum, &type, &typmod, &collation);
	return SovTypeOfOid(type) == NULL || SovTypmodTagged(typmod) ||
		!SovFindKeyRow(SOV_BY_ID, SovTypmodKey(typmod), &row) || SovMayOpen(&row, NULL, &err) == SOV_OK;
}

/* --- obstacles --- */

/* Whatever cannot be carried over, in one message. */
void
SovRefuseObstacles(const SovConversion *c, bool begun)
{
	StringInfoData all;
	uint64		n;
	bool		betrays;

	n = SovRun("SELECT object, remedy FROM %s.column_obstacles(%u, %s, %s, %s) ORDER BY 1, 2", SovSchemaName(), c->job.rel,
			   quote_literal_cstr(c->column), c->indexable ? "true" : "false", begun ? "true" : "false");
	initStringInfo(&all);
	for (uint64 i = 0; i < n; i++)
		appendStringInfo(&all, "%s%s: %s.", all.len ? "\n" : "",
						 SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
						 SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
	if (!begun && get_attnum(c->job.rel, c->new_column) != InvalidAttrNumber)
		appendStringInfo(&all, "%scolumn %s: it is left from a conversion whose state was not restored: DROP TRIGGER IF EXISTS %s ON the table, then drop the column.",
						 all.len ? "\n" : "", c->new_column, quote_identifier(c->trigger));
	(void) SovDefaultFor(c->job.rel, c->job.attnum, c->type_oid, c->typmod, &betrays);
	if (betrays)
		appendStringInfo(&all, "%sdefault: its constant would stay readable in the catalog: ALTER TABLE ... ALTER COLUMN ... DROP DEFAULT, and set another one afterwards.",
						 all.len ? "\n" : "");
	if (all.len)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("column \"%s\" of table %s cannot be converted as things are", c->column, SovTableName(c->job.rel)),
				 errdetail("%s", all.data),
				 begun ? errhint("Nothing is lost: afterwards CALL %s again, and the conversion goes on.", c->name)
				 : errhint("Nothing was changed.")));
}

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

/* To decrypt a column may take two persons.  As the owner of the key tables: the rule is
 * not the caller's to see. */
static void
need_approval(const SovConversion *c, const char *table)
{
	Oid			type,
				collation;
	int32		typmod;
	SovKeyRow	row;
	SovUser		saved;

	get_atttypetypmodcoll(c->job.rel, c->job.attnum, &type, &typmod, &collation);
	if (!SovFindKeyRow(typmod < 0 ? SOV_BY_DEFAULT : SOV_BY_ID, SovTypmodKey(typmod), &row))
		return;
	SovBecomeOwner(SovGetCatalog()->key_version, &saved);
	SovRun("SELECT %s.need_approval('export', %s, %s)", SovSchemaName(), quote_literal_cstr(row.name),
		   quote_literal_cstr(psprintf("%s.%s (%u)", table, quote_identifier(c->column), c->job.rel)));
	SovBecomeSelf(&saved);
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
		need_approval(c, table);
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

/* What changes without being an obstacle is said. */
static void
tell_changes(const SovConversion *c)
{
	char	   *limit = SovAsk("SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute WHERE attrelid OPERATOR(pg_catalog.=) %u"
							   " AND attnum OPERATOR(pg_catalog.=) %d AND atttypmod OPERATOR(pg_catalog.>=) 0", c->job.rel, c->job.attnum);
	Oid			type = get_atttype(c->job.rel, c->job.attnum);

	if (limit != NULL && SovTypeOfOid(type) == NULL)
		ereport(NOTICE,
				(errmsg("the length or precision of %s will not be enforced on the encrypted column \"%s\"", limit, c->column)));
	if (SovRun("SELECT name FROM %s.column_indexes(%u, %s)", SovSchemaName(), c->job.rel, quote_literal_cstr(c->column)) > 0 &&
		SovTypeOfOid(c->type_oid) != NULL)
		ereport(NOTICE,
				(errmsg("indexes on column \"%s\" will serve equality only, and UNIQUE will be a unique index", c->column)));
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
	if (!may_compare(job))
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

/* --- erasable persons --- */

/* Before anything is begun: can the values be tied to the persons of that column? */
static void
check_subject(const SovConversion *c)
{
	AttrNumber	attnum = get_attnum(c->job.rel, c->subject);

	if (attnum <= 0 || attnum == c->job.attnum)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table %s has no column \"%s\" that could name the person to whom a value of column \"%s\" belongs", SovTableName(c->job.rel), c->subject, c->column)));
	if (!SovIsPersonType(get_atttype(c->job.rel, attnum)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" cannot name persons: its type is %s", c->subject, format_type_be(get_atttype(c->job.rel, attnum))),
				 errhint("Give a column of smallint, integer, bigint, uuid, text or varchar, encrypted or not.")));
	if (c->indexable)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a searchable column cannot be erasable by person"),
				 errdetail("Its equality tags would stay, and tell an erased value to whoever guesses it and has the database's keys."),
				 errhint("Encrypt it with mode => 'random', and look rows up by another column.")));
	SovCheckMayTie(c->job.rel, c->type_oid, c->typmod, c->subject);
}

/* The first person of a database needs an erasable key at the custodian. */
static void
need_epoch(void)
{
	if (SovCurrentEpoch() == 0)
		(void) DirectFunctionCall1(sov_run_subjects, BoolGetDatum(true));
}

static bool
tied_already(const SovConversion *c)
{
	char	   *subject = SovTiedTo(c->job.rel, c->column);

	return c->subject == NULL || (subject != NULL && strcmp(subject, c->subject) == 0);
}

/* Nothing to do? */
static bool
already_so(const SovConversion *c)
{
	Oid			type,
				collation;
	int32		typmod;

	get_atttypetypmodcoll(c->job.rel, c->job.attnum, &type, &typmod, &collation);
	if (type != c->type_oid || typmod != c->typmod || !tied_already(c))
		return false;
	if (c->subject && !SovTieFits(c->job.rel, c->column, c->subject))
	{
		/* another key of a column: the values are of the same persons */
		SovUntieColumn(c->job.rel, c->column);
		SovTieColumn(c->job.rel, c->column, c->subject, false);
	}
	ereport(NOTICE,
			(errmsg("column \"%s\" is %s already", c->column, format_type_with_typemod(type, typmod))));
	return true;
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
	read_order(c, rel, NameStr(*PG_GETARG_NAME(1)),
			   encrypt && !PG_ARGISNULL(2) ? text_to_cstring(PG_GETARG_TEXT_PP(2)) : NULL,
			   encrypt ? text_to_cstring(PG_GETARG_TEXT_PP(3)) : NULL);
	if (encrypt && c->fresh && !PG_ARGISNULL(5))
	{
		c->subject = pstrdup(NameStr(*PG_GETARG_NAME(5)));
		check_subject(c);
	}
	if (c->fresh && already_so(c))
		goto done;
	if (c->subject)
		need_epoch();
	check_may_open(c);
	if (c->fresh)
	{
		SovRefuseObstacles(c, false);
		tell_changes(c);
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
