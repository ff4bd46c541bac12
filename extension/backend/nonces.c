/*
 * nonces.c - random nonces for values, drawn in blocks.
 *
 * A block is in memory that is wiped by fork; it is bound to the process id, never
 * filled in the postmaster, and dropped at the end of a transaction, because a
 * virtual machine may be snapshotted and resumed twice.
 */
#include "sov_pg.h"

#include "access/xact.h"

#define NONCE_BLOCK 4032		/* with its header: one page */
#define NONCE_FIRST (16 * SOV_NONCE_LEN)	/* most transactions need few */

static uint8_t *nonces;
static int	nonces_left;
static bool nonces_used;		/* in this transaction */
static pid_t nonces_pid;

void
SovNonce(uint8_t nonce[SOV_NONCE_LEN])
{
	struct sov_error err;

	if (nonces_left < SOV_NONCE_LEN || nonces_pid != MyProcPid)
	{
		int			want = nonces_used && nonces_pid == MyProcPid ? NONCE_BLOCK : NONCE_FIRST;

		if (IsPostmasterEnvironment && !IsUnderPostmaster)
			elog(ERROR, "nonces are not drawn in the postmaster");
		if (nonces == NULL || nonces_pid != MyProcPid)
		{
			nonces = sov_secret_alloc_nofork(NONCE_BLOCK, &err);
			if (nonces == NULL)
				SovRaise(&err);
		}
		nonces_left = 0;
		if (sov_random(nonces, (size_t) want, &err) != SOV_OK)
			SovRaise(&err);
		nonces_left = want;
		nonces_pid = MyProcPid;
		nonces_used = true;
	}
	nonces_left -= SOV_NONCE_LEN;
	memcpy(nonce, nonces + nonces_left, SOV_NONCE_LEN);
}

static void
transaction_end(XactEvent event, void *arg)
{
	nonces_left = 0;
	nonces_used = false;
}

void
SovNoncesInit(void)
{
	RegisterXactCallback(transaction_end, NULL);
}
