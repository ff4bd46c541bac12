/*
 * sort.c - sort support.
 *
 * Plaintext order: each value is opened once, when tuplesort asks for its
 * abbreviated key, which here is a pointer to the plaintext in the sort's own
 * memory.  So what is written to temporary files is still ciphertext.
 *
 * The server takes different abbreviated keys for different values (DISTINCT
 * aggregates), so equal plaintexts must share one key: they are interned.  The
 * plaintext kept is bounded by work_mem; a value that was not kept by then has
 * the key 0, always, which compares equal to everything and so falls to the
 * full comparison, which opens both values.
 *
 * Blind order: the abbreviated key is the first 8 bytes of the tag.
 */
#include "sov_pg.h"

#include "common/hashfn.h"
#include "port/pg_bswap.h"
#include "utils/sortsupport.h"

typedef struct Kept
{
	size_t		len;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
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
} SortState;

static int
plain_full(Datum a, Datum b, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	struct varlena *va = PG_DETOAST_DATUM_PACKED(a),
			   *vb = PG_DETOAST_DATUM_PACKED(b);
	SovPlain	pa,
				pb;
	int			result;

	SovOpen(state->type, va, &pa);
	SovOpen(state->type, vb, &pb);
	result = state->type->compare(pa.bytes, pa.len, pb.bytes, pb.len, ssup->ssup_collation);
	pfree(pa.chunk);
	pfree(pb.chunk);
	if ((Pointer) va != DatumGetPointer(a))
		pfree(va);
	if ((Pointer) vb != DatumGetPointer(b))
		pfree(vb);
	return result;
}

static int
plain_abbreviated(Datum a, Datum b, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	Kept	   *ka = (Kept *) DatumGetPointer(a),
			   *kb = (Kept *) DatumGetPointer(b);

	if (ka == NULL || kb == NULL)
		return 0;
	return state->type->compare(ka->bytes, ka->len, kb->bytes, kb->len, ssup->ssup_collation);
}

static Datum
plain_convert(Datum original, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	struct varlena *v = PG_DETOAST_DATUM_PACKED(original);
	SovPlain	plain;
	Kept	   *probe;
	Interned   *entry;
	bool		found = true;
	size_t		size;

	SovOpen(state->type, v, &plain);
	size = offsetof(Kept, bytes) + plain.len;
	probe = MemoryContextAlloc(ssup->ssup_cxt, size);
	probe->len = plain.len;
	memcpy(probe->bytes, plain.bytes, plain.len);
	pfree(plain.chunk);
	if ((Pointer) v != DatumGetPointer(original))
		pfree(v);
	if (state->budget > 0)
		entry = interned_insert(state->interned, probe, &found);
	else
		entry = interned_lookup(state->interned, probe);
	if (!found)
	{
		state->budget -= Min(state->budget, size + sizeof(Interned) + 16);
		return PointerGetDatum(probe);
	}
	pfree(probe);
	return entry ? PointerGetDatum(entry->kept) : (Datum) 0;
}

static bool
never_abort(int memtupcount, SortSupport ssup)
{
	return false;
}

static int
blind_full(Datum a, Datum b, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	struct varlena *va = PG_DETOAST_DATUM_PACKED(a),
			   *vb = PG_DETOAST_DATUM_PACKED(b);
	uint8_t		ea[SOV_VALUE_E_LEN],
				eb[SOV_VALUE_E_LEN];

	SovTagOf(state->type, va, ea);
	SovTagOf(state->type, vb, eb);
	if ((Pointer) va != DatumGetPointer(a))
		pfree(va);
	if ((Pointer) vb != DatumGetPointer(b))
		pfree(vb);
	return memcmp(ea, eb, SOV_VALUE_E_LEN);
}

static Datum
blind_convert(Datum original, SortSupport ssup)
{
	SortState  *state = ssup->ssup_extra;
	struct varlena *v = PG_DETOAST_DATUM_PACKED(original);
	uint8_t		e[SOV_VALUE_E_LEN];
	uint64		head;

	SovTagOf(state->type, v, e);
	if ((Pointer) v != DatumGetPointer(original))
		pfree(v);
	memcpy(&head, e, sizeof head);
	return UInt64GetDatum(pg_ntoh64(head));
}

static void
prepare(SortSupport ssup, const SovType *t, bool is_blind)
{
	SortState  *state = MemoryContextAlloc(ssup->ssup_cxt, sizeof *state);
	int			(*full) (Datum, Datum, SortSupport) = is_blind ? blind_full : plain_full;

	state->type = t;
	state->budget = (size_t) work_mem * 1024;
	state->interned = NULL;
	ssup->ssup_extra = state;
	ssup->comparator = full;
	if (!ssup->abbreviate || SIZEOF_DATUM < 8)
		return;
	ssup->comparator = is_blind ? ssup_datum_unsigned_cmp : plain_abbreviated;
	ssup->abbrev_converter = is_blind ? blind_convert : plain_convert;
	ssup->abbrev_abort = never_abort;
	if (!is_blind)
		state->interned = interned_create(ssup->ssup_cxt, 256, NULL);
	ssup->abbrev_full_comparator = full;
}

PG_FUNCTION_INFO_V1(encrypted_text_sortsupport);
PG_FUNCTION_INFO_V1(encrypted_text_blind_sortsupport);

Datum
encrypted_text_sortsupport(PG_FUNCTION_ARGS)
{
	prepare((SortSupport) PG_GETARG_POINTER(0), &SovTypeText, false);
	PG_RETURN_VOID();
}

Datum
encrypted_text_blind_sortsupport(PG_FUNCTION_ARGS)
{
	prepare((SortSupport) PG_GETARG_POINTER(0), &SovTypeText, true);
	PG_RETURN_VOID();
}
