/*
 * convert_order.c - what a conversion of a column is to do, and whether it may: before
 * anything is touched.
 *
 * The type is chosen once; a job under way keeps it.  Values that are to be opened
 * must be the caller's to open, to decrypt may take a second person, and whatever
 * depends on the column and cannot be carried over is refused in one message.
 */
#include "job.h"
#include "subjects.h"

#include "commands/defrem.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

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

void
SovReadConversion(SovConversion *c, Oid rel, const char *column, const char *key, const char *mode)
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
	SovClaimTable(rel);
	SovTakeBackStop(rel, attnum);
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

void
SovCheckMayOpen(const SovConversion *c)
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

bool
SovMayCompare(const SovJob *job)
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

void
SovNeedApproval(const SovConversion *c, const char *table)
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

void
SovTellChanges(const SovConversion *c)
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
				(errmsg("indexes on column \"%s\" will serve equality only", c->column)));
}

/* --- erasable persons --- */

void
SovCheckSubject(const SovConversion *c)
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

static bool
tied_already(const SovConversion *c)
{
	char	   *subject = SovTiedTo(c->job.rel, c->column);

	return c->subject == NULL || (subject != NULL && strcmp(subject, c->subject) == 0);
}

bool
SovAlreadyConverted(const SovConversion *c)
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
