/*
 * lease.c - the vault of keys, as backends see it (design: lease.h).
 *
 * Everything but the use of keys happens under one lock: looking a key up, putting one
 * in, taking them out.  So a pointer that was found is good at the generation that is
 * read after it.
 *
 * A lease that is over is ended by the worker; should that be stopped, by any backend
 * that looks at the clock (SovLeaseGlance).
 *
 * "locked" stands in the vault and not in the shared memory, which is made anew after a
 * crash: a crash does not unlock.
 */
#include "audit.h"
#include "subjects.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/membarrier.h>
#include <unistd.h>

#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#define WIPE_WAIT_US 400000
#define ANSWER_WAIT_US (SOV_CALL_TIMEOUT_US + 15 * INT64CONST(1000000))
#define USE_STRIDE 128			/* no two processes write to one cache line, nor to neighbours */

typedef struct Vault
{
	bool		locked;			/* by lock() */
	uint64		generation;		/* as of the last crash */
} Vault;

static uint64 own_generation = 1;
static uint64 own_use;
const volatile uint64 *SovGeneration = &own_generation;
volatile uint64 *SovMyUse = &own_use;
uint64		SovSeen = 1;

SovLease   *sov_lease;
int			sov_domains_max;
SovDomain  *sov_domains;
int			sov_places_max = 128;
SovPlace   *sov_places;
static char *uses;				/* of each process: the generation at which it uses keys, or 0 */

static Vault *vault;
static size_t vault_size;

/* --- memory --- */

static size_t
place_size(void)
{
	return CACHELINEALIGN(Max(sov_value_keys_size(), sov_cmac_size()));
}

void *
SovVaultAt(int place)
{
	return (char *) vault + CACHELINEALIGN(sizeof(Vault)) + (size_t) place * place_size();
}

bool
SovVaultLocked(void)
{
	return vault->locked;
}

void
SovVaultLock(bool locked)
{
	vault->locked = locked;
}

/* (without preloading it is known, but of no effect) */
void
SovLeaseGuc(void)
{
	SovSubjectsGuc();
	DefineCustomIntVariable("sovereign.shared_keys",
							"How many keys, with their versions, a preloaded server keeps in shared memory for all databases.",
							"Each takes about 10 kB of locked memory. When there are more, they take turns.",
							&sov_places_max, 128, 8, 8192, process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* In the postmaster, before there is any other process. */
void
SovLeasePreload(void)
{
	sov_domains_max = sov_places_max / 2;
	(void) sov_aead_impl();		/* choosing tests the CPU for a while; all inherit it */
	vault_size = CACHELINEALIGN(sizeof(Vault)) + (size_t) sov_places_max * place_size();
	vault = mmap(NULL, vault_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (vault == MAP_FAILED)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("pg_sovereign: could not get %zu bytes of shared memory for keys: %m", vault_size)));
	if (mlock(vault, vault_size) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pg_sovereign: could not lock %zu bytes of memory for keys: %m", vault_size),
				 errhint("Raise the limit of locked memory (ulimit -l, LimitMEMLOCK=), or lower sovereign.shared_keys.")));
	if (madvise(vault, vault_size, MADV_DONTDUMP) != 0)
		ereport(FATAL, (errmsg("pg_sovereign: could not keep keys out of core dumps: %m")));
	SovSubjectsPreload();
}

static Size
lease_size(void)
{
	return CACHELINEALIGN(sizeof(SovLease)) + CACHELINEALIGN((Size) sov_domains_max * sizeof(SovDomain)) +
		CACHELINEALIGN((Size) sov_places_max * sizeof(SovPlace)) + (Size) SovProcPlaces() * USE_STRIDE;
}

/* At the start, and after a crash: whatever was in the vault is gone, nobody uses it. */
static void
lease_init(void *mem)
{
	char	   *p = mem;

	sov_lease = mem;
	p += CACHELINEALIGN(sizeof(SovLease));
	sov_domains = (SovDomain *) p;
	p += CACHELINEALIGN((Size) sov_domains_max * sizeof(SovDomain));
	sov_places = (SovPlace *) p;
	p += CACHELINEALIGN((Size) sov_places_max * sizeof(SovPlace));
	uses = p;
	SovExpandedPreload();
	sov_wipe(SovVaultAt(0), (size_t) sov_places_max * place_size());
	SovSubjectsWipe();
	sov_lease->lock = &GetNamedLWLockTranche("pg_sovereign")[0].lock;
	ConditionVariableInit(&sov_lease->changed);
	pg_atomic_init_u64(&sov_lease->generation, ++vault->generation);
	pg_atomic_init_u64(&sov_lease->next_end, PG_UINT64_MAX);
	/* every process is forked from here */
	SovGeneration = &sov_lease->generation.value;
	SovSeen = 0;
}

const SovSharedPart SovLeasePart = {.size = lease_size, .init = lease_init};

static void
attach(void)
{
	if (SovMyUse == &own_use)
		SovMyUse = (volatile uint64 *) (uses + (Size) SovProcPlace() * USE_STRIDE);
}

/* --- taking keys out --- */

/* After this every process that has not yet looked at the generation sees the new one,
 * and of every other one we see that it uses a key. */
static void
fence_all(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0)
		pg_usleep(20000);		/* not allowed here: no store takes that long */
}

static void
wait_for_uses(uint64 generation)
{
	int64		end = SovBootNow() + WIPE_WAIT_US;

	for (int i = 0; i < SovProcPlaces(); i++)
	{
		volatile uint64 *use = (volatile uint64 *) (uses + (Size) i * USE_STRIDE);

		while (*use != 0 && *use != generation && SovBootNow() < end)
			pg_usleep(1000);
	}
}

void
SovVaultEmpty(int domain)
{
	uint64		generation = pg_atomic_add_fetch_u64(&sov_lease->generation, 1);

	vault->generation = generation;
	fence_all();
	wait_for_uses(generation);
	for (int i = 0; i < sov_places_max; i++)
		if (sov_places[i].domain != 0 && (domain < 0 || sov_places[i].domain == domain + 1))
		{
			sov_wipe(SovVaultAt(i), place_size());
			sov_places[i].domain = 0;
		}
	SovSubjectsWipe();
}

void
SovLeaseNextEnd(void)
{
	uint64		end = PG_UINT64_MAX;

	for (int i = 0; i < sov_domains_max; i++)
		if (sov_domains[i].state == SOV_DOMAIN_HELD)
			end = Min(end, (uint64) sov_domains[i].until);
	pg_atomic_write_u64(&sov_lease->next_end, end);
}

/* The loan is over.  (The worker wipes the KEK when it next looks.) */
void
SovLeaseLose(int domain, const struct sov_error *why)
{
	SovDomain  *d = &sov_domains[domain];

	SovVaultEmpty(domain);
	d->state = SOV_DOMAIN_LOST;
	d->why = *why;
	d->retry_at = SovBootNow() + SOV_RETRY_US;
	SovAuditServer(SOV_AUDIT_LEASE, SOV_AUDIT_REFUSED, d->db, why->message);
	SovLeaseNextEnd();
	if (sov_lease->worker)
		SetLatch(sov_lease->worker);
}

void
SovLeaseExpire(int64 now)
{
	for (int i = 0; i < sov_domains_max; i++)
	{
		SovDomain  *d = &sov_domains[i];
		struct sov_error err;

		if (d->state != SOV_DOMAIN_HELD || d->until > now)
			continue;
		sov_fail(&err, SOV_E_KEY, d->why.code != SOV_OK ? d->why.hint : "look into the server's log for the worker of pg_sovereign",
				 "the lease on the keys is over and was not renewed%s%.500s", d->why.code != SOV_OK ? ": " : "", d->why.code != SOV_OK ? d->why.message : "");
		SovLeaseLose(i, &err);
		ereport(LOG, (errmsg("pg_sovereign: database %u: %s", d->db, err.message)));
	}
}

void
SovLeaseGlance(void)
{
	int64		now;

	if (!SovPreloaded || (now = SovBootNow()) < (int64) Min(pg_atomic_read_u64(&sov_lease->next_end), PG_INT64_MAX))
		return;
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	SovLeaseExpire(now);
	LWLockRelease(sov_lease->lock);
}

/* --- asking --- */

int
SovDomainOf(Oid db, const SovDomainRow *row)
{
	for (int i = 0; i < sov_domains_max; i++)
		if (sov_domains[i].state != SOV_DOMAIN_FREE && sov_domains[i].db == db &&
			memcmp(sov_domains[i].row.id, row->id, sizeof row->id) == 0)
			return i;
	return -1;
}

int
SovPlaceOf(int domain, const SovWrappedKey *key)
{
	for (int i = 0; i < sov_places_max; i++)
		if (sov_places[i].domain == domain + 1 && sov_places[i].version == key->version && sov_places[i].purpose == key->purpose)
			return i;
	return -1;
}

/* A key that is there, for who shows the same KEK as the one that opened it. */
static void *
find_key(const SovDomainRow *domain, const SovWrappedKey *key)
{
	int			d = SovDomainOf(MyDatabaseId, domain),
				place;

	if (d < 0 || sov_domains[d].state != SOV_DOMAIN_HELD ||
		memcmp(sov_domains[d].row.wrapped, domain->wrapped, sizeof domain->wrapped) != 0)
		return NULL;
	place = SovPlaceOf(d, key);
	return place < 0 ? NULL : SovVaultAt(place);
}

/* (the hint is added outside the lock: it names the schema) */
static enum sov_code
locked(struct sov_error *err)
{
	return sov_fail(err, SOV_E_KEY, NULL, "the keys of this server are locked");
}

static bool
same_request(const SovRequest *a, const SovRequest *b)
{
	return a->state == SOV_REQUEST_WAITING && a->op == SOV_ASK_OPEN && b->op == SOV_ASK_OPEN && a->db == b->db &&
		memcmp(&a->domain, &b->domain, sizeof a->domain) == 0 && memcmp(&a->key, &b->key, sizeof a->key) == 0;
}

/* The place of the request: that of another backend which asks the same, a free one, or
 * the oldest that is done; -1 when all are busy. */
static int
place_request(const SovRequest *want)
{
	int			at = -1;

	for (int i = 0; i < SOV_REQUESTS; i++)
	{
		SovRequest *r = &sov_lease->requests[i];

		if (same_request(r, want))
			return i;
		if (r->state == SOV_REQUEST_WAITING || r->kept)
			continue;
		if (at < 0 || r->serial < sov_lease->requests[at].serial)
			at = i;
	}
	if (at < 0)
		return -1;
	sov_lease->requests[at] = *want;
	sov_lease->requests[at].state = SOV_REQUEST_WAITING;
	sov_lease->requests[at].serial = ++sov_lease->serial;
	if (sov_lease->worker)
		SetLatch(sov_lease->worker);
	return at;
}

typedef struct Asking
{
	SovRequest *want;			/* and then the answer */
	int			at;				/* its place, */
	uint64		serial;			/* 0: it has none yet */
	void	   *mem;			/* of SOV_ASK_OPEN */
	struct sov_error err;
} Asking;

/* One look, under the lock; true when there is nothing more to wait for. */
static bool
look(Asking *a)
{
	SovRequest *r;

	if (a->want->op == SOV_ASK_OPEN && (a->mem = find_key(&a->want->domain, &a->want->key)) != NULL)
		return true;
	if (vault->locked)
	{
		locked(&a->err);
		return true;
	}
	r = &sov_lease->requests[a->at];
	if (a->serial != 0 && r->serial == a->serial && r->state == SOV_REQUEST_WAITING)
		return false;
	if (a->serial != 0 && r->serial == a->serial && (r->err.code != SOV_OK || r->op != SOV_ASK_OPEN))
	{
		*a->want = *r;
		a->err = r->err;
		return true;
	}
	/* not asked yet, or the key was taken out again before we came */
	a->at = place_request(a->want);
	a->serial = a->at < 0 ? 0 : sov_lease->requests[a->at].serial;
	a->at = Max(a->at, 0);
	return false;
}

static void
give_back(int code, Datum arg)
{
	Asking	   *a = (Asking *) DatumGetPointer(arg);

	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	if (a->serial != 0 && sov_lease->requests[a->at].serial == a->serial && a->want->kept)
		sov_lease->requests[a->at].kept = false;
	LWLockRelease(sov_lease->lock);
}

static void
wait_for_answer(Asking *a)
{
	int64		end = SovBootNow() + ANSWER_WAIT_US;
	bool		done = false;

	for (;;)
	{
		LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
		done = look(a);
		LWLockRelease(sov_lease->lock);
		if (done)
			break;
		if (SovBootNow() > end)
		{
			sov_fail(&a->err, SOV_E_KEY, "look into the server's log for the worker of pg_sovereign", "the worker of pg_sovereign does not answer");
			break;
		}
		(void) ConditionVariableTimedSleep(&sov_lease->changed, 1000, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

static enum sov_code
ask(SovRequest *want, void **mem, struct sov_error *err)
{
	Asking		a = {.want = want};

	attach();
	want->db = MyDatabaseId;
	want->kept = want->op != SOV_ASK_OPEN;
	LWLockAcquire(sov_lease->lock, LW_SHARED);
	if (want->op == SOV_ASK_OPEN)
		a.mem = find_key(&want->domain, &want->key);
	LWLockRelease(sov_lease->lock);
	if (a.mem == NULL)
	{
		PG_ENSURE_ERROR_CLEANUP(give_back, PointerGetDatum(&a));
		wait_for_answer(&a);
		PG_END_ENSURE_ERROR_CLEANUP(give_back, PointerGetDatum(&a));
		give_back(0, PointerGetDatum(&a));
	}
	if (mem)
		*mem = a.mem;
	if (a.err.code != SOV_OK)
	{
		*err = a.err;
		if (err->hint[0] == '\0')
			snprintf(err->hint, sizeof err->hint, "An operator took them away. To let the server borrow them again: SELECT %s.unlock();", SovSchemaName());
	}
	return a.err.code;
}

enum sov_code
SovLeaseOpen(const SovDomainRow *domain, const SovWrappedKey *key, void **mem, struct sov_error *err)
{
	SovRequest *want = palloc0(sizeof *want);
	enum sov_code rc;

	want->op = SOV_ASK_OPEN;
	want->domain = *domain;
	want->key = *key;
	rc = ask(want, mem, err);
	pfree(want);
	return rc;
}

enum sov_code
SovLeaseNewKey(const SovDomainRow *domain, SovWrappedKey *key, struct sov_error *err)
{
	SovRequest *want = palloc0(sizeof *want);
	enum sov_code rc;

	want->op = SOV_ASK_NEW_KEY;
	want->domain = *domain;
	want->key = *key;
	rc = ask(want, NULL, err);
	if (rc == SOV_OK)
		*key = want->key;
	pfree(want);
	return rc;
}

enum sov_code
SovLeaseNewDomain(SovDomainRow *domain, uint8_t root_id[16], char about[256], struct sov_error *err)
{
	SovRequest *want = palloc0(sizeof *want);
	enum sov_code rc;

	want->op = SOV_ASK_NEW_DOMAIN;
	want->domain = *domain;
	rc = ask(want, NULL, err);
	if (rc == SOV_OK)
	{
		*domain = want->domain;
		memcpy(root_id, want->root_id, sizeof want->root_id);
		strlcpy(about, want->about, sizeof want->about);
	}
	pfree(want);
	return rc;
}
