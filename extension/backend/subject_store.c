/*
 * subject_store.c - reads the tables of erasable persons: epochs, groups, who was erased.
 *
 * They are read with the newest snapshot, whoever asks: what they hold is wrapped, and a
 * group that was changed must not be seen as it was.
 */
#include "subjects.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Column numbers of the install script. */
enum { EPO_EPOCH = 1, EPO_ID, EPO_ROOT, EPO_CUSTODIAN, EPO_GRADE, EPO_WRAPPED, EPO_COMMITMENT, EPO_CREATED, EPO_SERVER, EPO_BESIDE, EPO_N = EPO_BESIDE };
enum { GRP_GRP = 1, GRP_EPOCH, GRP_WRAPPED, GRP_COMMITMENT, GRP_SEALED, GRP_N = GRP_SEALED };
enum { ERA_ID = 1, ERA_NUMBER, ERA_ASKED, ERA_KEY, ERA_N };

Oid
SovSubjectTable(const char *name)
{
	Oid			schema = SovGetCatalog()->schema;

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

static void
copy(Datum d, void *dst, size_t min, size_t max, size_t *len)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(d);

	if (VARSIZE_ANY_EXHDR(v) < min || VARSIZE_ANY_EXHDR(v) > max)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a wrapped key of persons has a wrong length"),
				 errhint("Restore the tables subject_epoch and subject_group from a dump of this database, or run \"pg_sovereign key subjects\".")));
	memcpy(dst, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	if (len)
		*len = VARSIZE_ANY_EXHDR(v);
}

int
SovSubjectScan(const char *table, const char *index, int n_keys, ScanKey keys, SovRowReader read, void *arg)
{
	Oid			relid = SovSubjectTable(table);
	Relation	rel;
	SysScanDesc s;
	HeapTuple	tuple;
	int			n = 0;

	if (!OidIsValid(relid))
		return 0;
	rel = table_open(relid, AccessShareLock);
	s = systable_beginscan(rel, index ? SovSubjectTable(index) : InvalidOid, index != NULL, NULL, n_keys, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(s)))
	{
		read(tuple, RelationGetDescr(rel), arg);
		n++;
	}
	systable_endscan(s);
	table_close(rel, AccessShareLock);
	return n;
}

/* --- epochs --- */

typedef struct Epoch
{
	int64		epoch;
	SovDomainRow row;
} Epoch;

static void
read_epoch(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Epoch	   *e = arg;
	Datum		values[EPO_N];
	bool		nulls[EPO_N];

	SovDeform(tuple, desc, EPO_N, values, nulls);
	if (DatumGetInt64(values[EPO_EPOCH - 1]) < e->epoch)
		return;
	e->epoch = DatumGetInt64(values[EPO_EPOCH - 1]);
	memset(&e->row, 0, sizeof e->row);
	e->row.epoch = true;
	memcpy(e->row.id, DatumGetUUIDP(values[EPO_ID - 1])->data, 16);
	copy(values[EPO_WRAPPED - 1], e->row.wrapped, 16, SOV_WRAPPED_MAX, &e->row.wrapped_len);
	copy(values[EPO_COMMITMENT - 1], e->row.commitment, 32, 32, NULL);
}

bool
SovFindEpoch(int64 epoch, SovDomainRow *row)
{
	Epoch		e = {0};
	ScanKeyData key;

	ScanKeyInit(&key, EPO_EPOCH, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(epoch));
	if (SovSubjectScan("subject_epoch", NULL, epoch ? 1 : 0, &key, read_epoch, &e) == 0)
		return false;
	*row = e.row;
	return true;
}

int64
SovCurrentEpoch(void)
{
	Epoch		e = {0};

	return SovSubjectScan("subject_epoch", NULL, 0, NULL, read_epoch, &e) > 0 ? e.epoch : 0;
}

/* --- groups --- */

typedef struct Found
{
	struct sov_group *g;
	int64		epoch;
} Found;

static void
read_group(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Found	   *f = arg;
	Datum		values[GRP_N];
	bool		nulls[GRP_N];

	SovDeform(tuple, desc, GRP_N, values, nulls);
	f->g->number = (uint64) DatumGetInt64(values[GRP_GRP - 1]);
	f->epoch = DatumGetInt64(values[GRP_EPOCH - 1]);
	copy(values[GRP_WRAPPED - 1], f->g->wrapped, sizeof f->g->wrapped, sizeof f->g->wrapped, NULL);
	copy(values[GRP_COMMITMENT - 1], f->g->commitment, 32, 32, NULL);
	copy(values[GRP_SEALED - 1], f->g->sealed, sizeof f->g->sealed, sizeof f->g->sealed, NULL);
}

bool
SovFindGroup(int64 grp, struct sov_group *g, int64 *epoch)
{
	Found		f = {.g = g};
	ScanKeyData key;
	bool		found;

	ScanKeyInit(&key, GRP_GRP, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(grp));
	found = SovSubjectScan("subject_group", "subject_group_pkey", 1, &key, read_group, &f) > 0;
	*epoch = f.epoch;
	return found;
}

/* --- who was erased --- */

typedef struct Erased
{
	int64		id;
	TimestampTz asked;
} Erased;

static void
read_erasure(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Erased	   *e = arg;
	bool		isnull;

	e->id = DatumGetInt64(heap_getattr(tuple, ERA_ID, desc, &isnull));
	e->asked = DatumGetTimestampTz(heap_getattr(tuple, ERA_ASKED, desc, &isnull));
}

void
SovSubjectErased(uint64 number, struct sov_error *err)
{
	Erased		e = {0};
	ScanKeyData key;

	ScanKeyInit(&key, ERA_NUMBER, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum((int64) number));
	if (SovSubjectScan("erasure", "erasure_number", 1, &key, read_erasure, &e) > 0)
		sov_fail(err, SOV_E_DENIED, "Nobody can read the value any more; set it to NULL or delete the row. The view erasures has the certificate.",
				 "the key of the person to whom this value belongs was destroyed (erasure %lld, asked for on %.10s)",
				 (long long) e.id, timestamptz_to_str(e.asked));
	else
		sov_fail(err, SOV_E_KEY, "The value comes from another database, or its key was destroyed: after a restore run \"pg_sovereign key subjects\".",
				 "the key of the person to whom a value belongs is not in this database");
}

/* What differs where somebody was erased since, or an epoch ended: the newest erasure's
 * number, which only grows, and the epoch's.  Never 0. */
uint64
SovSubjectsState(void)
{
	Oid			relid = SovSubjectTable("erasure"),
				index = SovSubjectTable("erasure_pkey");
	Relation	rel,
				by_id;
	SysScanDesc s;
	HeapTuple	tuple;
	Erased		e = {0};

	if (!OidIsValid(relid) || !OidIsValid(index))
		return 1;
	rel = table_open(relid, AccessShareLock);
	by_id = index_open(index, AccessShareLock);
	s = systable_beginscan_ordered(rel, by_id, NULL, 0, NULL);
	tuple = systable_getnext_ordered(s, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		read_erasure(tuple, RelationGetDescr(rel), &e);
	systable_endscan_ordered(s);
	index_close(by_id, AccessShareLock);
	table_close(rel, AccessShareLock);
	return (((uint64) e.id << 24) ^ (uint64) SovCurrentEpoch()) + 1;
}
