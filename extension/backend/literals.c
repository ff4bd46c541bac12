/*
 * literals.c - a constant that stands in a statement several times is sealed once.
 *
 * The server tells by equal() that "coalesce(amount, '0')" of GROUP BY is what is selected,
 * and so that a grouping set makes it null.  Values of most types are sealed into the same
 * bytes each time they are operands, but not those that are equal in SQL without being the
 * same (numeric, float8, jsonb): each has a nonce of its own.  So what was sealed while a
 * statement is analysed or planned is kept until that is done.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"

typedef struct Literal
{
	struct
	{
		Oid			type;
		int32		typmod;
		uint64		hash[2];	/* of the bytes that are sealed */
	}			key;
	struct varlena *sealed;
} Literal;

static HTAB *literals;
static MemoryContext place;
static int	planning;			/* statements, one within the other */

static void
forget(void)
{
	if (place != NULL)
		MemoryContextDelete(place);
	place = NULL;
	literals = NULL;
}

void
SovLiteralsForget(void)
{
	if (planning == 0)
		forget();
}

/* What is planned may have functions run whose statements are analysed. */
void
SovLiteralsPlanning(bool begins)
{
	planning += begins ? 1 : -1;
	SovLiteralsForget();
}

static void
begin(void)
{
	HASHCTL		ctl = {.keysize = sizeof(((Literal *) NULL)->key), .entrysize = sizeof(Literal)};

	place = AllocSetContextCreate(TopMemoryContext, "pg_sovereign literals", ALLOCSET_SMALL_SIZES);
	ctl.hcxt = place;
	literals = hash_create("pg_sovereign literals", 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void *
copy_in(MemoryContext cxt, const struct varlena *v)
{
	return memcpy(MemoryContextAlloc(cxt, VARSIZE(v)), v, VARSIZE(v));
}

/* As SovSealTry(). */
bool
SovSealLiteral(const SovType *t, Datum base, int32 typmod, Datum *out)
{
	char		room[SOV_ROOM];
	size_t		len;
	const char *bytes = t->base->encode(t, base, room, &len);
	Literal		wanted,
			   *l;
	bool		found;

	if (sov_value_choose_mode(t->code, true, len) == SOV_VALUE_COMPACT)
		return SovSealTry(t, base, typmod, out);
	memset(&wanted, 0, sizeof wanted);
	wanted.key.type = t->oid;
	wanted.key.typmod = typmod;
	for (int i = 0; i < 2; i++)
		wanted.key.hash[i] = hash_bytes_extended((const unsigned char *) bytes, (int) len, i);
	l = literals ? hash_search(literals, &wanted.key, HASH_FIND, NULL) : NULL;
	if (l != NULL)
	{
		*out = PointerGetDatum(copy_in(CurrentMemoryContext, l->sealed));
		return true;
	}
	if (!SovSealTry(t, base, typmod, out))
		return false;
	if (literals == NULL)
		begin();
	wanted.sealed = copy_in(place, (struct varlena *) DatumGetPointer(*out));
	l = hash_search(literals, &wanted.key, HASH_ENTER, &found);
	l->sealed = wanted.sealed;
	return true;
}

/* (an error while a statement is analysed) */
static void
transaction_ends(XactEvent event, void *arg)
{
	forget();
}

void
SovLiteralsInit(void)
{
	RegisterXactCallback(transaction_ends, NULL);
}
