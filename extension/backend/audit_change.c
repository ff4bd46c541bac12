/*
 * audit_change.c - changes of the tables of keys, grants and rules, on record by
 * whatever means they are made: triggers, which replicas fire too.
 *
 * An entry waits for its transaction to commit, since what is rolled back changed
 * nothing; but break-glass counts at once.  So does a change whose transaction opens a value
 * after it: who grants to himself, reads and rolls back is on record as having begun that.
 *
 * The tables of custody and of persons (change_custody) have an entry for each statement,
 * which may touch as many rows as there are persons.  What this library writes there for
 * each new person is told apart by SovOwnChange and leaves none: the use of the key is on
 * record, and an erasure by its row.
 *
 * Where groups of persons are changed otherwise than by an erasure here (by one that a
 * subscriber is told of, or by hand), the opened ones are forgotten as after one.
 */
#include "audit.h"
#include "subjects.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"

typedef struct Later			/* counts when the transaction commits */
{
	struct sov_audit_entry entry;
	int			level;			/* of the transaction's nesting */
	bool		told;			/* it is on record as begun */
	Oid			table;			/* where one entry is for all rows of a statement: */
	TriggerEvent op;			/* what was done, */
	CommandId	command;		/* by which, */
	int64		rows;			/* to how many */
	struct Later *next;
} Later;

static Later *later;			/* newest first, in TopTransactionContext */

bool		SovOwnChange;

PG_FUNCTION_INFO_V1(sov_audit_change);

static char *
field(HeapTuple tuple, TupleDesc desc, const char *name)
{
	char	   *value = tuple ? SPI_getvalue(tuple, desc, SPI_fnumber(desc, name)) : NULL;

	return value ? value : "";
}

static void
change_grant(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	const char *role = field(t->tg_trigtuple, desc, "role");

	e->event = SOV_AUDIT_GRANT;
	if (TRIGGER_FIRED_BY_UPDATE(t->tg_event) && strcmp(field(t->tg_newtuple, desc, "role"), role) == 0 && strcmp(field(t->tg_newtuple, desc, "key"), field(t->tg_trigtuple, desc, "key")) == 0)
		appendStringInfo(what, "granted anew to %s", role);
	else if (TRIGGER_FIRED_BY_UPDATE(t->tg_event))
		appendStringInfo(what, "grant to %s made one to %s of key %s", role, field(t->tg_newtuple, desc, "role"), field(t->tg_newtuple, desc, "key"));
	else if (role[0] == '\0')
		appendStringInfo(what, "the key is for granted roles only: %s", TRIGGER_FIRED_BY_INSERT(t->tg_event) ? "yes" : "no");
	else
		appendStringInfo(what, "%s %s", TRIGGER_FIRED_BY_INSERT(t->tg_event) ? "granted to" : "revoked from", role);
}

static void
change_purpose(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	const char *purpose = field(t->tg_trigtuple, desc, "purpose");

	e->event = SOV_AUDIT_GRANT;
	if (TRIGGER_FIRED_BY_UPDATE(t->tg_event))
		appendStringInfo(what, "purpose %s made %s of key %s", purpose, field(t->tg_newtuple, desc, "purpose"), field(t->tg_newtuple, desc, "key"));
	else if (purpose[0] == '\0')
		appendStringInfo(what, "the key is for certain purposes only: %s", TRIGGER_FIRED_BY_INSERT(t->tg_event) ? "yes" : "no");
	else
		appendStringInfo(what, "purpose %s: %s", TRIGGER_FIRED_BY_INSERT(t->tg_event) ? "allowed" : "forbidden", purpose);
}

/* No name of a person, but the tag of it. */
static void
change_erasure(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	HeapTuple	now = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;

	e->event = SOV_AUDIT_KEY;
	appendStringInfo(what, "erasure %s of person %s: ", field(now, desc, "id"), field(now, desc, "tag"));
	if (TRIGGER_FIRED_BY_DELETE(t->tg_event))
		appendStringInfoString(what, "its row was removed");
	else if (field(now, desc, "destroyed")[0] == '\0')
		appendStringInfo(what, "asked for by %s", field(now, desc, "asked_by"));
	else
		appendStringInfo(what, "the key of epoch %s is destroyed, %s", field(now, desc, "epoch"), field(now, desc, "custodian"));
}

static void
change_version(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	static const char *const fields[] = {"name", "key_id", "current", "is_default", "needs_purpose", "strict", "purpose", "version"};

	e->event = SOV_AUDIT_KEY;
	appendStringInfo(what, "version %08x", (unsigned) strtoul(field(t->tg_trigtuple, desc, "version"), NULL, 10));
	if (!TRIGGER_FIRED_BY_UPDATE(t->tg_event))
	{
		appendStringInfoString(what, TRIGGER_FIRED_BY_INSERT(t->tg_event) ? " made" : " removed");
		return;
	}
	for (size_t i = 0; i < lengthof(fields); i++)
	{
		const char *now = field(t->tg_newtuple, desc, fields[i]);

		if (strcmp(field(t->tg_trigtuple, desc, fields[i]), now) != 0)
			appendStringInfo(what, ", %s is now %s", fields[i], now);
	}
	if (strcmp(field(t->tg_trigtuple, desc, "wrapped"), field(t->tg_newtuple, desc, "wrapped")) != 0)
		appendStringInfoString(what, ", wrapped anew");
}

static void
change_glass(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;

	e->event = SOV_AUDIT_BREAK_GLASS;
	if (TRIGGER_FIRED_BY_DELETE(t->tg_event))
		appendStringInfo(what, "the access of %s that began %s is removed", field(row, desc, "username"), field(row, desc, "opened"));
	else
		appendStringInfo(what, "%s %s until %s: %s", TRIGGER_FIRED_BY_INSERT(t->tg_event) ? "opened by" : "access of",
						 field(row, desc, "username"), field(row, desc, "until"), field(row, desc, "reason"));
}

static void
change_glass_role(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;

	e->event = SOV_AUDIT_GRANT;
	appendStringInfo(what, "break-glass by %s: %s", field(row, desc, "role"), TRIGGER_FIRED_BY_DELETE(t->tg_event) ? "no more" : field(row, desc, "longest"));
}

static void
change_rule(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;

	e->event = SOV_AUDIT_APPROVAL;
	appendStringInfo(what, "two persons for %s: %s", field(row, desc, "operation"), TRIGGER_FIRED_BY_DELETE(t->tg_event) ? "no more" : field(row, desc, "approvers"));
}

static void
change_approval(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : t->tg_trigtuple;
	const char *approved = field(row, desc, "approved");

	e->event = SOV_AUDIT_APPROVAL;
	e->outcome = approved[0] == 'f' ? SOV_AUDIT_REFUSED : SOV_AUDIT_DONE;
	appendStringInfo(what, "request %s, %s %s: ", field(row, desc, "request"), field(row, desc, "operation"), field(row, desc, "detail"));
	if (TRIGGER_FIRED_BY_DELETE(t->tg_event))
		appendStringInfoString(what, "removed");
	else if (field(row, desc, "used")[0])
		appendStringInfoString(what, "carried out");
	else if (approved[0])
		appendStringInfo(what, "%s by %s", approved[0] == 't' ? "approved" : "refused", field(row, desc, "decided_by"));
	else
		appendStringInfo(what, "asked for by %s", field(row, desc, "requested_by"));
}

/* Also of a row that has no name for its key but the number. */
static void
name_key(HeapTuple row, TupleDesc desc, struct sov_audit_entry *e)
{
	SovKeyRow	key;

	if (SPI_fnumber(desc, "key_id") > 0 && SovFindKeyRow(SOV_BY_ID, strtol(field(row, desc, "key_id"), NULL, 10), &key))
		SovAuditPutText(e->key, sizeof e->key, key.name);
}

/* Of persons no name stands in these tables, and of keys what is wrapped. */
static void
change_custody(TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what)
{
	static const char *const nouns[][3] = {
		{"key_domain", "key of the database", "id"},
		{"subject_epoch", "epoch of persons' keys", "epoch"},
		{"subject_next", "next epoch of persons' keys", "id"},
		{"subject_group", "group of persons", "grp"},
		{"subject_room", "free places in group of persons", "grp"},
		{"subject", "person", "tag"},
	};
	size_t		n = 0;

	while (n < lengthof(nouns) - 1 && strcmp(nouns[n][0], RelationGetRelationName(t->tg_relation)) != 0)
		n++;
	e->event = SOV_AUDIT_KEY;
	name_key(t->tg_trigtuple, desc, e);
	appendStringInfo(what, "%s %s", nouns[n][1], field(t->tg_trigtuple, desc, nouns[n][2]));
	if (!TRIGGER_FIRED_BY_UPDATE(t->tg_event))
	{
		appendStringInfoString(what, TRIGGER_FIRED_BY_INSERT(t->tg_event) ? " added" : " removed");
		return;
	}
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);
		const char *now = field(t->tg_newtuple, desc, name);

		if (strcmp(field(t->tg_trigtuple, desc, name), now) == 0)
			continue;
		if (TupleDescAttr(desc, i)->atttypid == BYTEAOID && strcmp(name, "tag") != 0)
			appendStringInfo(what, ", %s is another", name);
		else
			appendStringInfo(what, ", %s is now %s", name, now);
	}
}

static bool
has_secrets_of_persons(const char *table)
{
	return strcmp(table, "subject_group") == 0 || strcmp(table, "subject_epoch") == 0;
}

static const struct
{
	const char *table;
	const char *key;			/* its column that names the key, or NULL */
	void		(*describe) (TriggerData *t, TupleDesc desc, struct sov_audit_entry *e, StringInfo what);
	bool		at_once;		/* not when it commits: it counts already in this transaction */
	bool		together;		/* one entry for all rows of a statement */
}			changed[] =
{
	{"key_version", "name", change_version, false},
	{"key_grant", "key", change_grant, false},
	{"key_purpose", "key", change_purpose, false},
	{"erasure", "key", change_erasure, false},
	{"key_glass", "key", change_glass, true},
	{"key_glass_role", "key", change_glass_role, false},
	{"two_person_rule", NULL, change_rule, false},
	{"two_person_request", "key", change_approval, false},
	{"key_domain", NULL, change_custody, .together = true},
	{"subject_epoch", NULL, change_custody, .together = true},
	{"subject_next", NULL, change_custody, .together = true},
	{"subject_group", NULL, change_custody, .together = true},
	{"subject_room", NULL, change_custody, .together = true},
	{"subject", NULL, change_custody, .together = true},
};

bool
SovIsWatched(const char *table)
{
	for (size_t i = 0; i < lengthof(changed); i++)
		if (strcmp(changed[i].table, table) == 0)
			return true;
	return false;
}

/* A further row of a statement that has its entry.  Statements with WITH may change some
 * tables by turns. */
static bool
is_further_row(const TriggerData *t)
{
	Later	   *l = later;

	for (int i = 0; l && i < 8; i++, l = l->next)
		if (l->table == RelationGetRelid(t->tg_relation) && l->op == (t->tg_event & TRIGGER_EVENT_OPMASK) &&
			l->command == GetCurrentCommandId(false) && l->level == GetCurrentTransactionNestLevel())
		{
			l->rows++;
			return true;
		}
	return false;
}

static void
keep_for_commit(Later *l, const TriggerData *t)
{
	l->level = GetCurrentTransactionNestLevel();
	l->table = RelationGetRelid(t->tg_relation);
	l->op = t->tg_event & TRIGGER_EVENT_OPMASK;
	l->command = GetCurrentCommandId(false);
	l->rows = 1;
	l->next = later;
	later = l;
}

void
SovAuditLater(const struct sov_audit_entry *e)
{
	Later	   *l = MemoryContextAllocZero(TopTransactionContext, sizeof *l);

	l->entry = *e;
	l->rows = 1;
	l->level = GetCurrentTransactionNestLevel();
	l->next = later;
	later = l;
}

/* A trigger of the tables of keys and of who may do what with them, for rows, and for
 * TRUNCATE: whoever changes them, by whatever means.  It is on record when the transaction
 * commits, break-glass at once. */
Datum
sov_audit_change(PG_FUNCTION_ARGS)
{
	TriggerData *t = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	StringInfoData what;
	Later	   *l;
	size_t		i = 0;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED), errmsg("it is a trigger of the tables of keys")));
	if (!TRIGGER_FIRED_BY_INSERT(t->tg_event) && has_secrets_of_persons(RelationGetRelationName(t->tg_relation)))
		SovSubjectsChanged();
	if (!SovPreloaded || IsBinaryUpgrade || SovOwnChange)
		return PointerGetDatum(NULL);
	while (i < lengthof(changed) && strcmp(changed[i].table, RelationGetRelationName(t->tg_relation)) != 0)
		i++;
	/* (another table would have on record what never happened) */
	if (i == lengthof(changed) || RelationGetNamespace(t->tg_relation) != SovGetCatalog()->schema)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("it is a trigger of the tables of keys, which table \"%s\" is not", RelationGetRelationName(t->tg_relation))));
	if (changed[i].together && TRIGGER_FIRED_FOR_ROW(t->tg_event) && is_further_row(t))
		return PointerGetDatum(NULL);
	desc = RelationGetDescr(t->tg_relation);
	l = MemoryContextAllocZero(TopTransactionContext, sizeof *l);
	SovAuditIdentify(&l->entry);
	initStringInfo(&what);
	l->entry.event = SOV_AUDIT_KEY;
	if (TRIGGER_FIRED_FOR_STATEMENT(t->tg_event))
		appendStringInfo(&what, "table %s emptied", RelationGetRelationName(t->tg_relation));
	else
	{
		if (changed[i].key)
			SovAuditPutText(l->entry.key, sizeof l->entry.key, field(t->tg_trigtuple, desc, changed[i].key));
		changed[i].describe(t, desc, &l->entry, &what);
	}
	SovAuditDescribe(&l->entry, what.data);
	if (changed[i].at_once && TRIGGER_FIRED_FOR_ROW(t->tg_event))
	{
		(void) SovRingPut(&l->entry, SOV_RING_PROMPT, true, NULL);
		return PointerGetDatum(NULL);
	}
	keep_for_commit(l, t);
	return PointerGetDatum(NULL);
}

/* --- it counts --- */

static void
put_one(const Later *l, enum sov_audit_outcome outcome, const char *before, bool wait)
{
	struct sov_audit_entry e = l->entry;
	char		rows[60] = "";

	if (outcome != SOV_AUDIT_DONE)
		e.outcome = (uint8_t) outcome;
	if (outcome == SOV_AUDIT_FAILED)
		e.time_us = SovAuditNow();
	if (l->rows > 1)
		snprintf(rows, sizeof rows, INT64_FORMAT " rows, the first: ", l->rows);
	snprintf(e.text, sizeof e.text, "%s%s%.*s", before, rows, (int) (sizeof e.text - strlen(before) - strlen(rows) - 1), l->entry.text);
	(void) SovRingPut(&e, SOV_RING_PROMPT, wait, NULL);
}

/* Oldest first. */
static void
put_later(const Later *l, const char *before)
{
	if (l == NULL)
		return;
	put_later(l->next, before);
	put_one(l, SOV_AUDIT_DONE, before, true);
}

static void
tell(Later *l)
{
	if (l == NULL || l->told)
		return;
	tell(l->next);
	put_one(l, SOV_AUDIT_BEGUN, "", true);
	l->told = true;
}

void
SovAuditChangesCount(void)
{
	tell(later);
}

/* --- ends --- */

/* What was told as begun and is rolled back. */
static void
undo(int level)
{
	for (; later && later->level >= level; later = later->next)
		if (later->told)
			put_one(later, SOV_AUDIT_FAILED, "", false);
}

static void
transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		put_later(later, event == XACT_EVENT_PRE_PREPARE ? "prepared, for COMMIT PREPARED: " : "");
	else if (event != XACT_EVENT_PARALLEL_PRE_COMMIT)
	{
		if (event == XACT_EVENT_ABORT)
			undo(0);
		later = NULL;
		SovOwnChange = false;
	}
}

static void
subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		SovOwnChange = false;
		undo(level);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		for (Later *l = later; l && l->level >= level; l = l->next)
			l->level = level - 1;
}

void
SovAuditChangeInit(void)
{
	RegisterXactCallback(transaction_end, NULL);
	RegisterSubXactCallback(subtransaction_end, NULL);
}
