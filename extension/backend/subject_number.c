/*
 * subject_number.c - who has which number, and numbers for new persons.
 *
 * A new person takes the next place of a group.  A transaction claims what is left of a
 * group (its row of subject_room goes), takes places from it, and puts the rest back when
 * it commits, so that no session waits for another; what a transaction or subtransaction
 * claimed that was rolled back is lost (read_room).
 *
 * Databases that were one once (loaded from a dump, made from a template, restored,
 * promoted, copied) go on making groups under the same keys, and a value opens to other
 * bytes, unseen, under another secret.  So most of a group's number is random: one number
 * never means two secrets, whatever the databases have in common.  And each gives new
 * persons places in groups of its own alone, as far as it is told from the others (me).
 */
#include "audit.h"
#include "subjects.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "sov_bytes.h"

/* Column numbers of the install script. */
enum { SUB_KEY_ID = 1, SUB_TAG, SUB_NUMBER };

static void
read_number(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;

	*(uint64 *) arg = (uint64) DatumGetInt64(heap_getattr(tuple, SUB_NUMBER, desc, &isnull));
}

/* 0: not there */
static uint64
lookup(int32 key_id, const uint8_t tag[16])
{
	uint64		number = 0;
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], SUB_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(key_id));
	ScanKeyInit(&keys[1], SUB_TAG, BTEqualStrategyNumber, F_BYTEAEQ, SovBytea(tag, 16));
	(void) SovSubjectScan("subject", "subject_pkey", 2, keys, read_number, &number);
	return number;
}

static int64 claimed;			/* a group, 0: none */
static int	used;				/* of its places */

#define RANDOM_BITS 31
#define COUNT_BITS 24			/* the lower ones, so that opened groups lie apart (subjects.c);
								 * with 8 of the place a number is a positive int8 */

static uint64
new_number(void)
{
	uint8_t		random[4];
	struct sov_error err;

	if (sov_random(random, sizeof random, &err) != SOV_OK)
		SovRaise(&err);
	return ((uint64) Max(sov_get_le32(random) >> (32 - RANDOM_BITS), 1) << COUNT_BITS) +
		((uint64) nextval_internal(SovSubjectTable("subject_groups"), false) & ((1 << COUNT_BITS) - 1));
}

/* This database, on this server and timeline. */
static int64
me(void)
{
	uint8_t		self[16];
	uint8_t		hash[32];
	struct sov_span spans[2] = {{"pg_sovereign maker of groups v1", 31}, {self, sizeof self}};
	struct sov_error err;

	sov_put_le64(self, GetSystemIdentifier());
	sov_put_le32(self + 8, GetWALInsertionTimeLine());
	sov_put_le32(self + 12, MyDatabaseId);
	if (sov_sha256(spans, 2, hash, &err) != SOV_OK)
		SovRaise(&err);
	return (int64) sov_get_le64(hash);
}

static void
make_group(void)
{
	int64		epoch;
	struct sov_group *g = palloc0(sizeof *g);
	uint8_t    *plain = SovGroupScratch();
	struct sov_error err;
	enum sov_code rc;

	/* under the lock that a change of epochs waits for: no group is left behind under
	 * one that will be destroyed */
	LockRelationOid(SovSubjectTable("subject_group"), RowExclusiveLock);
	epoch = SovCurrentEpoch();
	if (epoch == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this database has no erasable key for persons yet"),
				 errhint("As the server's operating-system user run: pg_sovereign key subjects")));
	g->number = new_number();
	rc = sov_group_random(plain, &err);
	if (rc == SOV_OK)
		rc = SovGroupSeal(epoch, plain, g, &err);
	sov_wipe(plain, SOV_GROUP_PLAIN);
	if (rc != SOV_OK)
		SovRaise(&err);
	SPI_execute_with_args(psprintf("INSERT INTO %s.subject_group VALUES ($1, $2, $3, $4, $5)", SovSchemaName()), 5,
						  (Oid[5]) {INT8OID, INT8OID, BYTEAOID, BYTEAOID, BYTEAOID},
						  (Datum[5]) {Int64GetDatum((int64) g->number), Int64GetDatum(epoch), SovBytea(g->wrapped, sizeof g->wrapped),
									  SovBytea(g->commitment, 32), SovBytea(g->sealed, sizeof g->sealed)}, NULL, false, 0);
	claimed = (int64) g->number;
	used = 0;
	pfree(g);
}

/* Rows of subject_room that must not be taken: spent may have been in use, here or in a
 * database that this one was copied from; late is of a transaction newer than this one. */
typedef struct Room
{
	TransactionId mine;
	int64		me;
	ArrayBuildState *spent;
	ArrayBuildState *late;
} Room;

/*
 * What a transaction took that was rolled back comes back with the row, its xmax set,
 * until VACUUM clears that.  No row is taken by a transaction older than the one that
 * wrote it, so a VACUUM that clears xmax freezes xmin with it: a frozen row may have
 * been in use.
 */
static void
read_room(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Room	   *r = arg;
	bool		isnull;
	Datum		grp = heap_getattr(tuple, 1, desc, &isnull);

	if (HeapTupleHeaderXminFrozen(tuple->t_data) || DatumGetInt64(heap_getattr(tuple, 3, desc, &isnull)) != r->me)
		accumArrayResult(r->spent, grp, false, INT8OID, CurrentMemoryContext);
	else if (TransactionIdFollowsOrEquals(HeapTupleHeaderGetRawXmin(tuple->t_data), r->mine))
		accumArrayResult(r->late, grp, false, INT8OID, CurrentMemoryContext);
}

/* What is left of a group, where there is one. */
static void
claim(void)
{
	char	   *schema = SovSchemaName();
	Oid			table = SovSubjectTable("subject_room");
	Oid			types[1] = {INT8ARRAYOID};
	Room		r;
	Datum		spent,
				late;
	bool		isnull;

	/* no VACUUM between looking and taking */
	LockRelationOid(table, ShareUpdateExclusiveLock);
	r.mine = GetCurrentTransactionId();
	r.me = me();
	r.spent = initArrayResult(INT8OID, CurrentMemoryContext, false);
	r.late = initArrayResult(INT8OID, CurrentMemoryContext, false);
	(void) SovSubjectScan("subject_room", NULL, 0, NULL, read_room, &r);
	spent = makeArrayResult(r.spent, CurrentMemoryContext);
	late = makeArrayResult(r.late, CurrentMemoryContext);
	/* values were sealed under keys of such groups: they go */
	SPI_execute_with_args(psprintf("DELETE FROM %s.subject_room WHERE grp OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT grp FROM %s.subject_room"
								   " WHERE xmax OPERATOR(pg_catalog.<>) '0'::pg_catalog.xid OR grp OPERATOR(pg_catalog.=) ANY ($1) FOR UPDATE SKIP LOCKED))", schema, schema),
						  1, types, &spent, NULL, false, 0);
	if (SPI_execute_with_args(psprintf("DELETE FROM %s.subject_room WHERE grp OPERATOR(pg_catalog.=) (SELECT grp FROM %s.subject_room"
									   " WHERE xmax OPERATOR(pg_catalog.=) '0'::pg_catalog.xid AND NOT grp OPERATOR(pg_catalog.=) ANY ($1)"
									   " ORDER BY grp FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING grp, used", schema, schema),
							  1, types, &late, NULL, false, 0) == SPI_OK_DELETE_RETURNING &&
		SPI_processed == 1)
	{
		claimed = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		used = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	}
	UnlockRelationOid(table, ShareUpdateExclusiveLock);
}

static uint64
draw(void)
{
	if (claimed == 0 || used == SOV_GROUP_SUBJECTS)
	{
		claimed = 0;
		/* (a snapshot of the whole transaction cannot pass over what others took) */
		if (!IsolationUsesXactSnapshot())
			claim();
		if (claimed == 0)
			make_group();
	}
	return (uint64) claimed * SOV_GROUP_SUBJECTS + (uint64) used++;
}

static uint64
make_subject(int32 key_id, const uint8_t tag[16])
{
	static SPIPlanPtr plan;
	static Oid	planned_for;
	Oid			types[3] = {INT4OID, BYTEAOID, INT8OID};
	Datum		values[3];
	uint64		number;
	bool		made;

	SPI_connect();
	SovOwnChange = true;
	number = draw();
	if (plan == NULL || planned_for != SovGetCatalog()->schema)
	{
		plan = SPI_prepare(psprintf("INSERT INTO %s.subject VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", SovSchemaName()), 3, types);
		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare the insertion of a person");
		planned_for = SovGetCatalog()->schema;
	}
	values[0] = Int32GetDatum(key_id);
	values[1] = SovBytea(tag, 16);
	values[2] = Int64GetDatum((int64) number);
	SPI_execute_plan(plan, values, NULL, false, 0);
	made = SPI_processed == 1;
	SovOwnChange = false;
	SPI_finish();
	CommandCounterIncrement();
	return made ? number : lookup(key_id, tag);
}

uint64
SovSubjectNumber(int32 key_id, const uint8_t tag[16])
{
	uint64		number = lookup(key_id, tag);
	Oid			user;
	int			context;

	if (number != 0)
		return number;
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	PG_TRY();
	{
		number = make_subject(key_id, tag);
	}
	PG_FINALLY();
	{
		SetUserIdAndSecContext(user, context);
	}
	PG_END_TRY();
	if (number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("another transaction wrote this person first"),
				 errhint("Try the transaction again.")));
	return number;
}

/* --- ends of transactions --- */

/* What is left of the claimed group is for others. */
static void
give_back(void)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	SovOwnChange = true;
	SPI_execute_with_args(psprintf("INSERT INTO %s.subject_room VALUES ($1, $2, $3)", SovSchemaName()), 3, (Oid[3]) {INT8OID, INT4OID, INT8OID},
						  (Datum[3]) {Int64GetDatum(claimed), Int32GetDatum(used), Int64GetDatum(me())}, NULL, false, 0);
	SovOwnChange = false;
	SPI_finish();
	PopActiveSnapshot();
	SetUserIdAndSecContext(user, context);
}

static void
transaction_end(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) && claimed != 0 && used < SOV_GROUP_SUBJECTS)
		give_back();
	if (event != XACT_EVENT_PARALLEL_PRE_COMMIT)
		claimed = 0;
}

static void
subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		claimed = 0;
}

void
SovSubjectNumberInit(void)
{
	RegisterXactCallback(transaction_end, NULL);
	RegisterSubXactCallback(subtransaction_end, NULL);
}
