/*
 * sort.c - sort support.
 *
 * Plaintext order: each value is opened once, when tuplesort asks for its
 * abbreviated key, which here is a pointer to the plaintext in the sort's own
 * memory.  So what is written to temporary files is still ciphertext.  The
 * plaintext kept is bounded by work_mem; beyond that an abbreviated key is 0,
 * which compares equal to everything and so falls to the full comparison of
 * the values, which opens both.
 *
 * Blind order: the abbreviated key is the first 8 bytes of the tag.
 */
#include "sov_pg.h"

#include "port/pg_bswap.h"
#include "utils/sortsupport.h"

typedef struct SortState
{
	const SovType *type;
	size_t		budget;			/* bytes of plaintext that may still be kept */
} SortState;

typedef struct Kept
{
	size_t		len;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} Kept;

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
	struct varlena *v;
	SovPlain	plain;
	Kept	   *kept;

	if (state->budget == 0)
		return (Datum) 0;
	v = PG_DETOAST_DATUM_PACKED(original);
	SovOpen(state->type, v, &plain);
	kept = MemoryContextAlloc(ssup->ssup_cxt, offsetof(Kept, bytes) + plain.len);
	kept->len = plain.len;
	memcpy(kept->bytes, plain.bytes, plain.len);
	pfree(plain.chunk);
	if ((Pointer) v != DatumGetPointer(original))
		pfree(v);
	state->budget -= Min(state->budget, offsetof(Kept, bytes) + plain.len + 16);
	return PointerGetDatum(kept);
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
	ssup->ssup_extra = state;
	ssup->comparator = full;
	if (!ssup->abbreviate || SIZEOF_DATUM < 8)
		return;
	ssup->comparator = is_blind ? ssup_datum_unsigned_cmp : plain_abbreviated;
	ssup->abbrev_converter = is_blind ? blind_convert : plain_convert;
	ssup->abbrev_abort = never_abort;
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
