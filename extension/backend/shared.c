/*
 * shared.c - shared memory of the extension, where it is preloaded.
 */
#include "audit.h"

#include <time.h>

#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

bool		SovPreloaded;

static const SovSharedPart *const parts[] = {&SovLeasePart, &SovRingPart};

static shmem_request_hook_type next_request;
static shmem_startup_hook_type next_startup;

int
SovProcPlaces(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

int
SovProcPlace(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

int64
SovBootNow(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
request(void)
{
	if (next_request)
		next_request();
	for (size_t i = 0; i < lengthof(parts); i++)
		RequestAddinShmemSpace(CACHELINEALIGN(parts[i]->size()));
	RequestNamedLWLockTranche("pg_sovereign", 3);
}

/* Also called after a crash, when all processes are gone. */
static void
startup(void)
{
	if (next_startup)
		next_startup();
	for (size_t i = 0; i < lengthof(parts); i++)
	{
		char		name[32];
		void	   *mem;
		bool		found;

		snprintf(name, sizeof name, "pg_sovereign %d", (int) i);
		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		mem = ShmemInitStruct(name, parts[i]->size(), &found);
		if (!found)
		{
			memset(mem, 0, parts[i]->size());
			parts[i]->init(mem);
		}
		LWLockRelease(AddinShmemInitLock);
	}
}

void
SovSharedInit(void)
{
	SovLeaseGuc();
	SovRingGuc();
	SovShipperGuc();
	if (!process_shared_preload_libraries_in_progress)
		return;
	SovPreloaded = true;
	SovLeasePreload();
	SovRingPreload();
	next_request = shmem_request_hook;
	shmem_request_hook = request;
	next_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
	SovWorkerInit();
	SovAuditWorkerInit();
}
