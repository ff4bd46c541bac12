/*
 * sort.c - sort support.
 *
 * Plaintext order: each value is opened once, when tuplesort asks for its
 * abbreviated key; what is written to temporary files is still ciphertext.  The
 * abbreviated key is the value itself where it fits a Datum, else a pointer to the
 * plaintext in the sort's own memory.
 *
 * The server takes different abbreviated keys for different values (DISTINCT
 * aggregates), so equal plaintexts must share one key: they are interned by their
 * canonical bytes.  The plaintext kept is bounded by work_mem; a value that was not
 * kept by then has the key 0, always, which compares equal to everything and so
 * falls to the full comparison, which opens both values.
 *
 * Blind order: the abbreviated key is the first 8 bytes of the tag.
 */
#include "sov_pg.h"

#include "common/hashfn.h"
#include "port/pg_bswap.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/sortsupport.h"

typedef struct Kept
{
	Datum		base;			/* where the type is compared by Datums */
	size_t		len;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];	/* canonical */
} Kept;

typedef struct Interned
{
	const Kept *kept;
	uint32		hash;
	char		status;
} Interned;

static bool
same_bytes(const Kept *a, const Kept *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

#define SH_PREFIX interned
#define SH_ELEMENT_TYPE Interned
#define SH_KEY_TYPE const Kept *
#define SH_KEY kept
#define SH_HASH_KEY(tb, key) hash_bytes((const unsigned char *) (key)->bytes, (int) (key)->len)
#define SH_EQUAL(tb, a, b) same_bytes(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct SortState
{
	const SovType *type;
	size_t		budget;			/* bytes of plaintext that may still be kept */
	interned_hash *interned;	/* made for abbreviated plaintext order */
	bool		by_datum;		/* compared by SovBaseCompare() */
	int16		typlen;			/* of the base type */
	MemoryContext scratch;		/* what one call opens */
} SortState;

/* May its value itself be the abbreviated key? */
static bool
is_word(const SovType *t)
{
	return t->base->max > 0 && t->base->max <= SIZEOF_DATUM;
}

static int
open_and_compare(struct varlena *a, struct varlena *b, const SortState *state, Oid collation)
{
	const SovType *t = state->type;
	SovPlain	pa,
				pb;

	SovOpen(t, a, &pa);
	SovOpen(t, b, &pb);
	if (state->by_datum)
		return SovBaseCompare(t, SovDecode(t, &pa), SovDecode(t, &pb), collation);
	return t->base->compare(pa.bytes, pa.len, pb.bytes, pb.len, collation);
}

static int
plain_full(Datum a, Datum b, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	MemoryContext old;
	int			result;

	/* A tie of keys that tell all, as long as the sort keeps them. */
	if (ssup->abbrev_converter != NULL && (state->budget > 0 || is_word(state->type)))
		return 0;
	old = MemoryContextSwitchTo(state->scratch);
	result = open_and_compare(PG_DETOAST_DATUM_PACKED(a), PG_DETOAST_DATUM_PACKED(b), state, ssup->ssup_collation);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->scratch);
	return result;
}

static int
float8_abbreviated(Datum a, Datum b, SortSupport ssup)
{
	return float8_cmp_internal(DatumGetFloat8(a), DatumGetFloat8(b));
}

static Datum
word_convert(Datum original, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	struct varlena *v = PG_DETOAST_DATUM_PACKED(original);
	char		room[SOV_ROOM];
	SovPlain	plain;

	SovOpen(state->type, v, &plain);
	if ((Pointer) v != DatumGetPointer(original))
		pfree(v);
	if (state->type->code == SOV_BASE_FLOAT8)
		memcpy(plain.room + VARHDRSZ, state->type->base->canon(state->type, plain.bytes, plain.len, room, &plain.len), 8);
	return SovDecode(state->type, &plain);
}

static int
plain_abbreviated(Datum a, Datum b, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	Kept	   *ka = (Kept *) DatumGetPointer(a),
			   *kb = (Kept *) DatumGetPointer(b);

	if (ka == kb || ka == NULL || kb == NULL)
		return 0;
	if (state->by_datum)
		return SovBaseCompare(state->type, ka->base, kb->base, ssup->ssup_collation);
	return state->type->base->compare(ka->bytes, ka->len, kb->bytes, kb->len, ssup->ssup_collation);
}

/* What to intern, in the scratch context. */
static Kept *
open_to_keep(const SovType *t, struct varlena *v)
{
	char		room[SOV_ROOM];
	SovPlain	plain;
	Kept	   *probe;

	SovOpen(t, v, &plain);
	if (t->base->canon)
		plain.bytes = t->base->canon(t, plain.bytes, plain.len, room, &plain.len);
	probe = palloc(offsetof(Kept, bytes) + plain.len);
	probe->len = plain.len;
	memcpy(probe->bytes, plain.bytes, plain.len);
	return probe;
}

/* Copy it to where the sort's own memory is. */
static Kept *
keep(SortSupport ssup, struct varlena *v, const Kept *probe)
{
	SortState  *state = ssup->ssup_extra;
	size_t		size = offsetof(Kept, bytes) + probe->len;
	Kept	   *kept = MemoryContextAlloc(ssup->ssup_cxt, size);
	SovPlain	plain;

	memcpy(kept, probe, size);
	if (state->by_datum)
	{
		MemoryContext old;
		Datum		base;

		SovOpen(state->type, v, &plain);
		base = SovDecode(state->type, &plain);
		old = MemoryContextSwitchTo(ssup->ssup_cxt);
		kept->base = datumCopy(base, state->typlen > 0 && state->typlen <= SIZEOF_DATUM, state->typlen);
		MemoryContextSwitchTo(old);
		size *= 2;
	}
	state->budget -= Min(state->budget, size + sizeof(Interned) + 16);
	return kept;
}

static Datum
plain_convert(Datum original, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	MemoryContext old = MemoryContextSwitchTo(state->scratch);
	struct varlena *v = PG_DETOAST_DATUM_PACKED(original);
	Kept	   *probe = open_to_keep(state->type, v);
	Interned   *entry;
	const Kept *kept = NULL;
	bool		found;

	entry = interned_lookup(state->interned, probe);
	if (entry != NULL)
		kept = entry->kept;
	else if (state->budget > 0)
	{
		kept = keep(ssup, v, probe);
		interned_insert(state->interned, kept, &found);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->scratch);
	return PointerGetDatum(kept);
}

static bool
never_abort(int memtupcount, SortSupport ssup)
{
	return false;
}

/* (a value without a tag is opened for it, and leaves what its type's functions allocate) */
static void
tag_of(const SortState *state, Datum d, uint8_t e[SOV_VALUE_E_LEN])
{
	MemoryContext old = MemoryContextSwitchTo(state->scratch);

	SovTagOf(state->type, PG_DETOAST_DATUM_PACKED(d), e);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->scratch);
}

static int
blind_full(Datum a, Datum b, SortSupport ssup)
{
	uint8_t		ea[SOV_VALUE_E_LEN],
				eb[SOV_VALUE_E_LEN];

	tag_of(ssup->ssup_extra, a, ea);
	tag_of(ssup->ssup_extra, b, eb);
	return memcmp(ea, eb, SOV_VALUE_E_LEN);
}

static Datum
blind_convert(Datum original, SortSupport ssup)
{
	uint8_t		e[SOV_VALUE_E_LEN];
	uint64		head;

	tag_of(ssup->ssup_extra, original, e);
	memcpy(&head, e, sizeof head);
	return UInt64GetDatum(pg_ntoh64(head));
}

static void
prepare(FunctionCallInfo fcinfo, bool is_blind)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);
	const SovType *t = SovFnOf(fcinfo)->type;
	SortState  *state = MemoryContextAllocZero(ssup->ssup_cxt, sizeof *state);

	state->type = t;
	state->budget = (size_t) work_mem * 1024;
	state->by_datum = t->base->compare == NULL;
	state->typlen = get_typlen(t->base_oid);
	state->scratch = AllocSetContextCreate(ssup->ssup_cxt, "pg_sovereign sort", ALLOCSET_SMALL_SIZES);
	ssup->ssup_extra = state;
	if (is_blind)
		SovCheckCollation(ssup->ssup_collation);
	ssup->comparator = is_blind ? blind_full : plain_full;
	if (!ssup->abbreviate || SIZEOF_DATUM < 8)
		return;
	ssup->abbrev_full_comparator = ssup->comparator;
	ssup->abbrev_abort = never_abort;
	if (is_blind)
	{
		ssup->comparator = ssup_datum_unsigned_cmp;
		ssup->abbrev_converter = blind_convert;
	}
	else if (is_word(t))
	{
		ssup->comparator = t->code == SOV_BASE_FLOAT8 ? float8_abbreviated : ssup_datum_signed_cmp;
		ssup->abbrev_converter = word_convert;
	}
	else
	{
		ssup->comparator = plain_abbreviated;
		ssup->abbrev_converter = plain_convert;
		state->interned = interned_create(ssup->ssup_cxt, 256, NULL);
	}
}

PG_FUNCTION_INFO_V1(sov_sortsupport);
PG_FUNCTION_INFO_V1(sov_blind_sortsupport);

Datum
sov_sortsupport(PG_FUNCTION_ARGS)
{
	prepare(fcinfo, false);
	PG_RETURN_VOID();
}

Datum
sov_blind_sortsupport(PG_FUNCTION_ARGS)
{
	prepare(fcinfo, true);
	PG_RETURN_VOID();
}
