/*
 * lease.h - keys in shared memory, on loan from the custodian.
 *
 * Where the library is preloaded, expanded keys of all databases lie in one mapping,
 * the vault: made in the postmaster, locked, kept out of core dumps, the same address
 * in every process.  The worker fills it; backends keep pointers into it.
 *
 * A backend asks for a key with a request: the wrapped key and the wrapped
 * key-encryption key (KEK) above it, both from its database's tables.  The worker has
 * the custodian open the KEK (a child process, sov_custody.h), keeps it in memory of
 * its own for as long as the lease lasts, opens the key and puts it into the vault.
 *
 * The generation is raised whenever keys are taken out of the vault, before that is
 * done.  Who uses a key says so in a place of its own (SovUseBegin), looks whether the
 * generation is the one at which it got its pointers, uses the key, and looks again
 * before the result counts (SovUseEnd).  Whoever empties the vault waits until nobody
 * is in between, for WIPE_WAIT_US at most; what is sealed or opened past that is thrown
 * away by its maker.
 *
 * A use is a store and a load without a fence; the fence is the emptier's, for all
 * processes at once (membarrier).
 */
#ifndef SOV_LEASE_H
#define SOV_LEASE_H

#include "keystore.h"
#include "shared.h"

#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "port/atomics.h"

#include "sov_custody.h"

/* Without preloading, or before the first key, both are this process's own. */
extern const volatile uint64 *SovGeneration;
extern volatile uint64 *SovMyUse;
extern uint64 SovSeen;			/* the generation at which this process got its pointers */

/* Nothing in between may raise an ERROR or wait.  When either says no, find the keys
 * again (they may be there again, or the reason why not) and do it all once more. */
static inline bool
SovUseBegin(void)
{
	*SovMyUse = SovSeen;
	pg_read_barrier();
	return *SovGeneration == SovSeen;
}

static inline bool
SovUseEnd(void)
{
	bool		same;

	pg_read_barrier();
	same = *SovGeneration == SovSeen;
	*SovMyUse = 0;
	return same;
}

/* For backends.  These wait for the worker, and so for the custodian. */
/* The expanded key: struct sov_value_keys, or struct sov_cmac for the equality key. */
extern enum sov_code SovLeaseOpen(const SovDomainRow *domain, const SovWrappedKey *key, void **mem, struct sov_error *err);
/* As SovWrapNewKey. */
extern enum sov_code SovLeaseNewKey(const SovDomainRow *domain, SovWrappedKey *key, struct sov_error *err);
/* A new KEK for this domain's id: fills in the rest. */
extern enum sov_code SovLeaseNewDomain(SovDomainRow *domain, uint8_t root_id[16], char about[256], struct sov_error *err);
/* Is the end of a lease past that the worker did not see?  Now and then. */
extern void SovLeaseGlance(void);

/* --- between lease.c and lease_worker.c --- */

#define SOV_REQUESTS 32
#define SOV_CALL_TIMEOUT_US (30 * INT64CONST(1000000))	/* of one call of the custodian */
#define SOV_RETRY_US INT64CONST(1000000)	/* after a call that failed */

enum SovRequestState { SOV_REQUEST_FREE, SOV_REQUEST_WAITING, SOV_REQUEST_DONE };
enum SovRequestOp { SOV_ASK_OPEN, SOV_ASK_NEW_KEY, SOV_ASK_NEW_DOMAIN };

typedef struct SovRequest
{
	enum SovRequestState state;
	enum SovRequestOp op;
	uint64		serial;			/* of the request in this place */
	bool		kept;			/* its maker will fetch the answer */
	Oid			db;
	SovDomainRow domain;
	SovWrappedKey key;
	struct sov_error err;		/* the answer; code SOV_OK: domain or key are filled in */
	uint8_t		root_id[16];
	char		about[256];
} SovRequest;

/* A database's KEK, as far as it is not secret. */
enum SovDomainState { SOV_DOMAIN_FREE, SOV_DOMAIN_WANTED, SOV_DOMAIN_HELD, SOV_DOMAIN_LOST };
typedef struct SovDomain
{
	enum SovDomainState state;
	Oid			db;
	SovDomainRow row;
	int64		until;			/* boot clock: end of the lease, */
	int64		renew_at;		/* when to ask again while it is held, */
	int64		retry_at;		/* and after it was lost */
	struct sov_error why;		/* it is lost, or could not be renewed */
	char		about[256];
} SovDomain;

/* What lies in a place of the vault. */
typedef struct SovPlace
{
	int			domain;			/* 1 and up; 0: nothing */
	uint32		version;
	int			purpose;
} SovPlace;

typedef struct SovLease
{
	LWLock	   *lock;			/* all below and the vault, except what is said */
	ConditionVariable changed;	/* a request is done, or everything is different */
	pg_atomic_uint64 generation;	/* without lock; raised under it */
	pg_atomic_uint64 next_end;	/* without lock: the earliest end of a lease, boot clock */
	Latch	   *worker;			/* NULL while there is none */
	int			keks;			/* that the worker holds */
	uint64		serial;
	SovRequest	requests[SOV_REQUESTS];
} SovLease;

extern SovLease *sov_lease;
extern int	sov_domains_max;
extern SovDomain *sov_domains;
extern int	sov_places_max;
extern SovPlace *sov_places;
extern bool SovVaultLocked(void);
extern void SovVaultLock(bool locked);
extern void *SovVaultAt(int place);
/* Under the lock: take the keys of one domain out (or of all: -1), wait and wipe. */
extern void SovVaultEmpty(int domain);
extern void SovLeaseLose(int domain, const struct sov_error *why);
extern void SovLeaseExpire(int64 now);
extern int	SovDomainOf(Oid db, const SovDomainRow *row);	/* -1: unknown */
extern int	SovPlaceOf(int domain, const SovWrappedKey *key);
extern void SovLeaseNextEnd(void);

#endif
