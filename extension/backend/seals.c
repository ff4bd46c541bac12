/*
 * seals.c - how many values a version of a key may seal.
 *
 * Random nonces of 96 bits allow 2^32 seals under one key; well before that a version
 * is retired by itself: the next seal makes a new version the current one.
 *
 * Seals are reserved from a sequence, in units of 64: what nextval() gives is never
 * given back, not by a rollback nor by a crash, so the count can only be too high.  One
 * sequence counts for all keys, and each version remembers where it stood when the
 * version was made: so a version is retired after that many seals under all keys
 * together.  A backend reserves more the more it seals.
 *
 * Not counted: operands that are sealed where nothing can be written (a standby, a
 * read-only transaction) and in parallel plans.  The limit leaves an eighth for them.
 */
#include "sov_pg.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/sequence.h"
#include "executor/spi.h"

#define UNIT 64					/* seals */
#define UNITS_MAX 1024			/* reserved at a time */
#define UNITS_OF_LIMIT 1024		/* sovereign.seal_limit counts in 65,536 seals */

int64		SovSealsLeft;		/* reserved and not used */
static int	next_units = 1;

static void
retire(const char *name)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	PG_TRY();
	{
		SPI_connect();
		SovNewKeyVersion(name);
		SPI_finish();
	}
	PG_FINALLY();
	{
		SetUserIdAndSecContext(user, context);
	}
	PG_END_TRY();
	CommandCounterIncrement();
	ereport(LOG,
			(errmsg("pg_sovereign: key \"%s\" has sealed as many values as one version may; a new version is the current one", name)));
}

/* Units reserved so far by all. */
static int64
draw(Oid sequence, int units)
{
	int64		last = 0;

	for (int i = 0; i < units; i++)
		last = nextval_internal(sequence, false);
	return last;
}

/* Before a seal, when none is left. */
void
SovReserveSeals(int32 typmod)
{
	Oid			sequence = SovGetCatalog()->key_seals;
	SovKeyRow	row;
	int64		now;

	SovSealsLeft = UNIT;
	if (!OidIsValid(sequence) || XactReadOnly || RecoveryInProgress() || IsInParallelMode() || IsBinaryUpgrade)
		return;
	now = draw(sequence, next_units);
	SovSealsLeft = (int64) next_units * UNIT;
	next_units = Min(next_units * 4, UNITS_MAX);
	if (SovFindKeyRow(typmod < 0 ? SOV_BY_DEFAULT : SOV_BY_ID, SovTypmodKey(typmod), &row) &&
		now - row.first_unit >= (int64) sov_seal_limit * UNITS_OF_LIMIT)
		retire(row.name);
}
