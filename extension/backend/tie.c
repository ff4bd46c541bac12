/*
 * tie.c - the trigger that ties the values of a column to the persons of another one.
 *
 * Input functions seal a value without knowing its row, so it comes here under the data
 * key alone; before the row is stored the trigger seals it anew under the key of its
 * row's person as well.  A value that is tied to that person already stays as it is, byte
 * for byte, and an unchanged one is not even looked at.
 *
 * The trigger does not fire where replication applies rows, nor before pg_dump has made
 * it: there values come as they were stored.
 */
#include "job.h"
#include "subjects.h"

#include "access/sysattr.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "sov_bytes.h"

PG_FUNCTION_INFO_V1(sov_tie_subject);
PG_FUNCTION_INFO_V1(sov_subject_tag);

/* Types whose text form is the same in every session. */
bool
SovIsPersonType(Oid type)
{
	const SovType *t = SovTypeOfOid(type);

	if (t != NULL)
		type = t->base_oid;
	return type == INT2OID || type == INT4OID || type == INT8OID || type == UUIDOID || type == TEXTOID || type == VARCHAROID;
}

/* CMAC under K_eq of the key's id and the person as text: no name stands in the table. */
static void
person_tag(int32 key_id, const char *person, uint8_t tag[16])
{
	char	   *utf8 = pg_server_to_any(person, strlen(person), PG_UTF8);
	uint8_t		prefix[28] = "pg_sovereign subject v1";
	struct sov_span spans[2] = {{prefix, sizeof prefix}, {utf8, strlen(utf8)}};
	struct sov_cmac *eq;
	struct sov_error err;
	enum sov_code rc;

	sov_put_le32(prefix + 24, (uint32) key_id);
	do
	{
		rc = SovEqKey(&eq, &err);
		if (rc != SOV_OK)
			SovRaise(&err);
		if (SovUseBegin())
			rc = sov_cmac(eq, spans, 2, tag, &err);
	} while (!SovUseEnd());
	if (rc != SOV_OK)
		SovRaise(&err);
}

/* (key, person): for what erases */
Datum
sov_subject_tag(PG_FUNCTION_ARGS)
{
	uint8_t		tag[16];

	person_tag(PG_GETARG_INT32(0), text_to_cstring(PG_GETARG_TEXT_PP(1)), tag);
	PG_RETURN_DATUM(SovBytea(tag, 16));
}

typedef struct Tie
{
	AttrNumber	column;
	AttrNumber	person;
	const SovType *type;
	int32		typmod;
	bool		byval;			/* of the person's column */
	int16		len;
	FmgrInfo	out;
	const SovType *encrypted;	/* the person's column, where it is */
	int32		person_typmod;
} Tie;

static AttrNumber
column_of(Relation rel, const char *name)
{
	AttrNumber	n = get_attnum(RelationGetRelid(rel), name);

	if (n <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a trigger ties values of table \"%s\" to persons, but column \"%s\" has gone or was renamed", RelationGetRelationName(rel), name),
				 errhint("Give it its name back, or drop the trigger, whose name begins with \"~sov_tie\", and call encrypt_column with subject => ... again.")));
	return n;
}

static char *
key_of(Form_pg_attribute a)
{
	return SovTypeOfOid(a->atttypid) == NULL ? "" : psprintf("%d", a->atttypmod < 0 ? -1 : SovTypmodKey(a->atttypmod));
}

/* The number of its key, -1: the default key, whichever that is; nothing: it is plain. */
char *
SovKeyOfColumn(Oid rel, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(rel), Int16GetDatum(attnum));
	char	   *key;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "column %d of table %u is not there", attnum, rel);
	key = key_of((Form_pg_attribute) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return key;
}

/*
 * A trigger that a table's owner has from encrypt_column bears the keys that he might open
 * then.  Where he has given a column another key since, or another column its name, the
 * trigger does for a session what that might do itself, no more.
 */
static void
check_bound(Trigger *trigger, Form_pg_attribute column, Form_pg_attribute person)
{
	Form_pg_attribute both[2] = {column, person};
	SovKeyRow	row;
	struct sov_error err;

	if (trigger->tgnargs != 4 || (strcmp(trigger->tgargs[2], key_of(column)) == 0 && strcmp(trigger->tgargs[3], key_of(person)) == 0))
		return;
	for (int i = 0; i < 2; i++)
		if (SovTypeOfOid(both[i]->atttypid) != NULL &&
			SovFindKeyRow(both[i]->atttypmod < 0 ? SOV_BY_DEFAULT : SOV_BY_ID, SovTypmodKey(both[i]->atttypmod), &row) && SovMayOpen(&row, NULL, &err) != SOV_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("column \"%s\" or \"%s\" has another key than when its values were tied to persons", NameStr(column->attname), NameStr(person->attname)),
					 errdetail("%s", err.message),
					 errhint("As an owner of the table who may decrypt values of both keys call encrypt_column for \"%s\" with subject => '%s' again.",
							 NameStr(column->attname), NameStr(person->attname))));
}

static Tie *
prepare(FunctionCallInfo fcinfo, TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	MemoryContext cxt = fcinfo->flinfo->fn_mcxt;
	Tie		   *t = MemoryContextAllocZero(cxt, sizeof *t);
	Form_pg_attribute column,
				person;
	Oid			out;
	bool		varlena;

	t->column = column_of(data->tg_relation, data->tg_trigger->tgargs[0]);
	t->person = column_of(data->tg_relation, data->tg_trigger->tgargs[1]);
	column = TupleDescAttr(desc, t->column - 1);
	person = TupleDescAttr(desc, t->person - 1);
	t->type = SovTypeOfOid(column->atttypid);
	t->typmod = column->atttypmod;
	if (t->type == NULL || t->typmod < 0 || SovTypmodTagged(t->typmod) || !SovIsPersonType(person->atttypid))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the values of column \"%s\" cannot be tied to the persons of column \"%s\"", NameStr(column->attname), NameStr(person->attname)),
				 errhint("The column is encrypted in random mode under a named key; a person is an integer, a uuid or a text, encrypted or not.")));
	check_bound(data->tg_trigger, column, person);
	t->byval = person->attbyval;
	t->len = person->attlen;
	t->encrypted = SovTypeOfOid(person->atttypid);
	t->person_typmod = person->atttypmod;
	getTypeOutputInfo(t->encrypted ? t->encrypted->base_oid : person->atttypid, &out, &varlena);
	fmgr_info_cxt(out, &t->out, cxt);
	fcinfo->flinfo->fn_extra = t;
	return t;
}

/* What comes out is ciphertext under the key of the column, or the number of a person
 * under it: no grant is needed.  A value of another key, which sovereign.input =
 * ciphertext lets in, is the user's to open. */
static void
open_for(const SovType *type, int32 typmod, struct varlena *v, SovPlain *plain)
{
	struct sov_value parsed;
	struct sov_error err;
	SovKeyRow	row;
	int32		key = typmod < 0 && SovFindKeyRow(SOV_BY_DEFAULT, 0, &row) ? row.key_id : SovTypmodKey(typmod);

	SovParse(v, &parsed);
	if (SovKeyOfVersion(parsed.keyver) != key)
		SovOpen(type, v, plain);
	else if (SovOpenAnywayTry(type, v, plain, &err) != SOV_OK)
		SovRaise(&err);
}

static uint64
person_of(Tie *t, Datum person)
{
	uint8_t		tag[16];
	char	   *text;

	if (t->encrypted)
	{
		SovPlain   *plain = palloc(sizeof *plain);
		struct varlena *v = (struct varlena *) PG_DETOAST_DATUM_PACKED(person);

		open_for(t->encrypted, t->person_typmod, v, plain);
		person = SovDecode(t->encrypted, plain);
	}
	text = OutputFunctionCall(&t->out, person);
	person_tag(SovTypmodKey(t->typmod), text, tag);
	return SovSubjectNumber(SovTypmodKey(t->typmod), tag);
}

static Datum
tie(Tie *t, struct varlena *v, uint64 person)
{
	SovPlain   *plain = palloc(sizeof *plain);
	Datum		result;

	open_for(t->type, t->typmod, v, plain);
	result = SovSealBytesOf(t->type, plain->bytes, plain->len, t->typmod, person);
	if (plain->chunk)
		explicit_bzero(plain->chunk, VARHDRSZ + plain->len);
	SovFreePlain(plain);
	return result;
}

/* BEFORE INSERT OR UPDATE FOR EACH ROW; arguments: column, the person's column,
 * and where an owner made it the keys of both (check_bound). */
Datum
sov_tie_subject(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	Tie		   *t = fcinfo->flinfo->fn_extra;
	struct sov_value parsed;
	struct varlena *v;
	Datum		value,
				person;
	bool		isnull,
				no_person;
	int			column;
	uint64		number;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		(data->tg_trigger->tgnargs != 2 && data->tg_trigger->tgnargs != 4))
		elog(ERROR, "not called as the trigger that it is");
	if (t == NULL)
		t = prepare(fcinfo, data);
	desc = RelationGetDescr(data->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	value = heap_getattr(row, t->column, desc, &isnull);
	if (isnull)
		return PointerGetDatum(row);
	person = heap_getattr(row, t->person, desc, &no_person);
	v = (struct varlena *) PG_DETOAST_DATUM_PACKED(value);
	SovParse(v, &parsed);
	if (parsed.has_subject && sov_input == SOV_INPUT_CIPHERTEXT)
		return PointerGetDatum(row);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) && parsed.has_subject && !no_person)
	{
		bool		none,
					had_none;
		Datum		was = heap_getattr(data->tg_trigtuple, t->column, desc, &none);
		Datum		had = heap_getattr(data->tg_trigtuple, t->person, desc, &had_none);

		if (!none && !had_none && datum_image_eq(value, was, false, -1) && datum_image_eq(person, had, t->byval, t->len))
			return PointerGetDatum(row);
	}
	if (no_person)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("column \"%s\" of table \"%s\" is null, so there is no person to whom the value of column \"%s\" belongs",
						data->tg_trigger->tgargs[1], RelationGetRelationName(data->tg_relation), data->tg_trigger->tgargs[0]),
				 errhint("Give the row its person, or leave the value out.")));
	number = person_of(t, person);
	if (parsed.has_subject && parsed.subject == number)
		return PointerGetDatum(row);
	value = tie(t, v, number);
	column = t->column;
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column, &value, &isnull));
}
