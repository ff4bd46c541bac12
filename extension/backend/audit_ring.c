/*
 * audit_ring.c - entries on their way from sessions to the audit log (audit.h).
 *
 * Positions only grow; taken <= copied <= put, and a record lies at its position
 * modulo the size.  Record: length u32 of all of it | flags u32 | entry as
 * sov_audit_entry_write() has it.  put moves when a record is whole, taken when it is
 * on disk: who is killed in between leaves a ring that is right, and at worst an entry
 * that is written twice.
 *
 * Under the lock: all of the ring.  Under the lock "draining", which is taken first:
 * the writing of a file.  Nobody asks for another lock while he has the ring's.
 */
#include "audit.h"

#include <sys/mman.h>

#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "utils/wait_event.h"

#define HEADER 8
#define RECORD_MAX (HEADER + 4 + SOV_AUDIT_ENTRY_MAX)
#define AT_OUTCOME (HEADER + 4 + 8 + 1)
#define AT_OPENED (AT_OUTCOME + 1 + 4)
#define CHUNK 256				/* entries of one file */
#define WAITING_MAX 16			/* files that sessions wait for */
#define STRICT_WAIT_US INT64CONST(30000000)
#define FAILED_AGAIN_US INT64CONST(1000000)

typedef struct Ring				/* in its own mapping, as the bytes behind it */
{
	uint64		put,
				copied,
				taken;
	uint64		held;			/* at the providers, if that was wanted */
	uint64		lost;			/* entries that no entry tells of yet */
	int64		since;			/* boot clock: when the oldest was put */
	bool		prompt;			/* somebody waits */
	enum SovRingState state;
	char		directory[1024];
} Ring;

typedef struct RingShared		/* made anew after a crash */
{
	LWLock	   *lock,
			   *draining;
	ConditionVariable changed;
	Latch	   *worker;
	bool		failing;
	int64		retry_at;
	uint64		failures;
	struct sov_error why;
} RingShared;

typedef struct Waiting
{
	uint64		end;
	char		name[1200];
} Waiting;

static int	size_kb = 1024;
static Ring *ring;
static char *bytes;
static uint64 size;
static RingShared *shared;
static Waiting waiting[WAITING_MAX];	/* of the worker */
static int	n_waiting;

/* --- memory --- */

void
SovRingGuc(void)
{
	DefineCustomIntVariable("sovereign.audit_buffer",
							"Shared memory for audit entries of sessions on their way to the audit log.",
							"An entry takes about 250 bytes, for half a second.",
							&size_kb, 1024, 4, 65536, process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							GUC_UNIT_KB, NULL, NULL, NULL);
}

void
SovRingPreload(void)
{
	size = (uint64) size_kb * 1024;
	ring = mmap(NULL, MAXALIGN(sizeof *ring) + size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ring == MAP_FAILED)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("pg_sovereign: could not get %d kB of shared memory for audit entries: %m", size_kb)));
	bytes = (char *) ring + MAXALIGN(sizeof *ring);
}

static Size
ring_size(void)
{
	return sizeof(RingShared);
}

static void
ring_init(void *mem)
{
	shared = mem;
	shared->lock = &GetNamedLWLockTranche("pg_sovereign")[1].lock;
	shared->draining = &GetNamedLWLockTranche("pg_sovereign")[2].lock;
	ConditionVariableInit(&shared->changed);
	ring->copied = ring->taken;
}

const SovSharedPart SovRingPart = {.size = ring_size, .init = ring_init};

static void
copy_in(uint64 at, const void *src, size_t len)
{
	size_t		first = Min(len, size - at % size);

	memcpy(bytes + at % size, src, first);
	memcpy(bytes, (const char *) src + first, len - first);
}

static void
copy_out(uint64 at, void *dst, size_t len)
{
	size_t		first = Min(len, size - at % size);

	memcpy(dst, bytes + at % size, first);
	memcpy((char *) dst + first, bytes, len - first);
}

/* --- sessions --- */

/* 0: out of memory. */
static size_t
encode(const struct sov_audit_entry *e, int flags, uint8_t record[RECORD_MAX])
{
	struct sov_buf b = {0};
	size_t		len = 0;

	sov_audit_entry_write(&b, e);
	if (!b.bad && b.len <= RECORD_MAX - HEADER)
	{
		len = HEADER + b.len;
		sov_put_le32(record, (uint32_t) len);
		sov_put_le32(record + 4, (uint32_t) flags);
		memcpy(record + HEADER, b.data, b.len);
	}
	sov_buf_free(&b);
	return len;
}

/* Under the lock; false: there is no room. */
static bool
put(const uint8_t *record, size_t len, int flags, bool *wake)
{
	bool		was_low = ring->put - ring->taken < size / 2;

	if (len == 0 || ring->put + len - ring->taken > size)
		return false;
	if (ring->put == ring->taken)
		ring->since = SovBootNow();
	*wake = ring->put == ring->taken || flags != 0 || (was_low && ring->put + len - ring->taken >= size / 2);
	copy_in(ring->put, record, len);
	pg_write_barrier();
	ring->put += len;
	ring->prompt |= flags != 0;
	return true;
}

bool
SovRingPut(const struct sov_audit_entry *e, int flags, bool wait, uint64 *at)
{
	uint8_t		record[RECORD_MAX];
	size_t		len = encode(e, flags, record);
	int64		end = SovBootNow() + SOV_RING_WAIT_US;
	bool		good = false,
				over = false,
				wake;

	HOLD_INTERRUPTS();
	while (!over)
	{
		wake = false;
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		if (at)
			*at = ring->put;
		good = ring->state == SOV_RING_OFF || put(record, len, flags, &wake);
		over = good || !wait || len == 0 || shared->worker == NULL || shared->failing || SovBootNow() >= end;
		if (!good && over)
			ring->lost++;
		if (shared->worker && (wake || !good))
			SetLatch(shared->worker);
		LWLockRelease(shared->lock);
		if (!over)
			(void) ConditionVariableTimedSleep(&shared->changed, 20, PG_WAIT_EXTENSION);
	}
	if (wait)
		ConditionVariableCancelSleep();
	RESUME_INTERRUPTS();
	return good;
}

bool
SovRingAmend(uint64 at, enum sov_audit_outcome outcome, uint64 opened)
{
	uint8_t		o = (uint8_t) outcome,
				n[8];
	bool		good;

	sov_put_le64(n, opened);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	good = ring->state == SOV_RING_OFF || at >= ring->copied;
	if (good && ring->state != SOV_RING_OFF)
	{
		copy_in(at + AT_OPENED, n, sizeof n);
		copy_in(at + AT_OUTCOME, &o, 1);
	}
	LWLockRelease(shared->lock);
	return good;
}

/* 1: it is there; 0: not yet; -1: it will not be. */
static int
look(uint64 at, int flags, uint64 failures, int64 now, int64 end, struct sov_error *err)
{
	static const char nowhere[] = "name a state-directory in [repository], or a directory in [audit], of the configuration";
	static const char remote[] = "providers take it when 'pg_sovereign audit ship --follow' runs and enough of them answer";

	if (ring->state == SOV_RING_OFF)
		return sov_fail(err, SOV_E_DENIED, nowhere, "there is no audit log"), -1;
	if (!(flags & SOV_RING_PROVIDERS) && ring->taken > at)
		return 1;
	/* first: a worker that began anew does not know what providers were to take */
	if (shared->failures != failures)
		return sov_fail(err, SOV_E_DENIED, shared->why.hint, "%.400s", shared->why.message), -1;
	if (ring->held > at)
		return 1;
	if (now >= end && ring->taken > at)
		return sov_fail(err, SOV_E_DENIED, remote, "the providers did not take it within %d seconds", (int) (STRICT_WAIT_US / 1000000)), -1;
	if (now >= end)
		return sov_fail(err, SOV_E_DENIED, "look into the server's log for the audit worker of pg_sovereign", "the audit worker does not answer"), -1;
	return 0;
}

enum sov_code
SovRingWait(uint64 at, int flags, struct sov_error *err)
{
	int64		end = SovBootNow() + STRICT_WAIT_US;
	uint64		failures = 0;
	int			there = 0;

	for (bool first = true; there == 0; first = false)
	{
		int64		now = SovBootNow();

		LWLockAcquire(shared->lock, LW_SHARED);
		if (first)
			failures = shared->failing && now < shared->retry_at ? shared->failures - 1 : shared->failures;
		there = look(at, flags, failures, now, end, err);
		LWLockRelease(shared->lock);
		if (there == 0)
			(void) ConditionVariableTimedSleep(&shared->changed, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return there > 0 ? SOV_OK : err->code;
}

bool
SovRingTrouble(struct sov_error *err)
{
	bool		bad;

	LWLockAcquire(shared->lock, LW_SHARED);
	bad = shared->failing || ring->lost > 0;
	if (shared->failing)
		*err = shared->why;
	else if (bad)
		sov_fail(err, SOV_E_STATE, "raise sovereign.audit_buffer", "they come faster than the audit worker of pg_sovereign writes");
	LWLockRelease(shared->lock);
	return bad;
}

void
SovRingLeave(void)
{
	struct sov_error err;
	bool		alone,
				more = true;

	LWLockAcquire(shared->lock, LW_SHARED);
	alone = shared->worker == NULL && ring->put != ring->taken;
	LWLockRelease(shared->lock);
	while (alone && more && SovRingDrain(&more, &err))
		;
}

/* --- the worker --- */

void
SovRingAttach(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->worker = MyLatch;
	ring->held = ring->taken;	/* who waits for providers is told no: their file is forgotten */
	shared->failures++;
	sov_fail(&shared->why, SOV_E_STATE, "try again", "the audit worker of pg_sovereign began anew");
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->changed);
}

void
SovRingDetach(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->worker = NULL;
	shared->failures++;
	sov_fail(&shared->why, SOV_E_STATE, "it is started again within seconds, unless the server stops", "the audit worker of pg_sovereign ended");
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->changed);
}

void
SovRingDirectory(const char *directory)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	ring->state = directory ? SOV_RING_ON : SOV_RING_OFF;
	strlcpy(ring->directory, directory ? directory : "", sizeof ring->directory);
	shared->failing = false;
	if (directory == NULL)
	{
		ring->copied = ring->taken = ring->put;
		ring->lost = 0;
	}
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->changed);
}

/* Whole records from the start of the ring, of one kind; under the lock. */
static int
collect(struct sov_audit_entry *entries, uint64 *end, int *flags)
{
	int			n = 0;

	*flags = 0;
	for (*end = ring->taken; *end < ring->put && n < CHUNK; n++)
	{
		uint8_t		record[RECORD_MAX];
		struct sov_reader r;
		uint32		len;

		copy_out(*end, record, HEADER);
		len = Min(sov_get_le32(record), (uint32) RECORD_MAX);
		copy_out(*end, record, len);
		*flags |= (int) sov_get_le32(record + 4);
		sov_reader_init(&r, record + HEADER, len - HEADER);
		sov_audit_entry_read(&r, &entries[n]);
		*end += len;
	}
	ring->copied = *end;
	return n;
}

static void
say_lost(struct sov_audit_entry *e, uint64 lost)
{
	memset(e, 0, sizeof *e);
	e->time_us = SovAuditNow();
	e->event = SOV_AUDIT_LOST;
	e->outcome = SOV_AUDIT_FAILED;
	e->process = (uint32_t) MyProcPid;
	strlcpy(e->client, "server", sizeof e->client);
	strlcpy(e->application, "pg_sovereign", sizeof e->application);
	snprintf(e->text, sizeof e->text, UINT64_FORMAT " entries lost: they could not be written in time", lost);
}

static void
written(enum sov_code rc, uint64 end, uint64 lost, int flags, const char *name, const struct sov_error *err)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (rc == SOV_OK)
	{
		ring->taken = end;
		ring->since = SovBootNow();
		ring->lost -= Min(lost, ring->lost);
		if (ring->put == end)
			ring->prompt = false;
		if (flags & SOV_RING_PROVIDERS)
		{
			/* files are shipped in order: a later one stands for an earlier one */
			n_waiting = Min(n_waiting + 1, WAITING_MAX);
			waiting[n_waiting - 1].end = end;
			strlcpy(waiting[n_waiting - 1].name, name, sizeof waiting[0].name);
		}
		shared->failing = false;
	}
	else
	{
		ring->copied = ring->taken;
		shared->failing = true;
		shared->failures++;
		shared->why = *err;
		shared->retry_at = SovBootNow() + FAILED_AGAIN_US;
	}
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->changed);
}

/* One file.  Also by a process that ends after the worker has: see SovRingLeave(). */
bool
SovRingDrain(bool *more, struct sov_error *err)
{
	struct sov_audit_entry *entries = malloc((CHUNK + 1) * sizeof *entries);
	char		name[1200] = "",
				directory[sizeof ring->directory];
	uint64		end,
				lost;
	int			flags,
				n;
	enum sov_code rc = SOV_OK;

	*more = false;
	if (entries == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") == SOV_OK;
	LWLockAcquire(shared->draining, LW_EXCLUSIVE);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	n = ring->state == SOV_RING_ON ? collect(entries, &end, &flags) : 0;
	strlcpy(directory, ring->directory, sizeof directory);
	lost = ring->lost;
	if (n > 0 && lost > 0)
		say_lost(&entries[n++], lost);
	*more = n > 0 && end < ring->put;
	LWLockRelease(shared->lock);
	if (n > 0)
	{
		rc = sov_audit_queue(directory, entries, n, true, flags & SOV_RING_PROVIDERS ? name : NULL, sizeof name, err);
		written(rc, end, lost, flags, name, err);
	}
	LWLockRelease(shared->draining);
	free(entries);
	return rc == SOV_OK;
}

long
SovRingDue(void)
{
	int64		now = SovBootNow(),
				due;

	LWLockAcquire(shared->lock, LW_SHARED);
	if (ring->state != SOV_RING_ON || ring->put == ring->taken)
		due = now + INT64CONST(60000000);
	else if (shared->failing)
		due = shared->retry_at;
	else if (ring->prompt || ring->put - ring->taken >= size / 2)
		due = now;
	else
		due = ring->since + SOV_RING_DELAY_MS * INT64CONST(1000);
	LWLockRelease(shared->lock);
	return due <= now ? 0 : (long) ((due - now + 999) / 1000);
}

bool
SovRingHeld(void)
{
	int			n = 0;

	while (n < n_waiting && !sov_audit_waiting(waiting[n].name))
		n++;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	ring->held = n > 0 ? waiting[n - 1].end : n_waiting == 0 ? ring->taken : ring->held;
	LWLockRelease(shared->lock);
	if (n > 0)
		ConditionVariableBroadcast(&shared->changed);
	n_waiting -= n;
	memmove(waiting, waiting + n, n_waiting * sizeof waiting[0]);
	return n_waiting == 0;
}
