/*
 * audit_worker.c - the process that puts what sessions did into the audit log's queue.
 *
 * One of its own, beside the worker that tends the keys: it syncs files, on a disk that
 * may be slow or full, and a lease must not wait for that.  It has no database
 * connection.  What it leaves when it ends is put on disk by the next one, or, where
 * the server stops, by the sessions that end after it.
 */
#include "audit.h"

#include <unistd.h>

#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

#define RESTART_SECONDS 1
#define HELD_MS 20				/* between looks whether providers have what somebody waits for */

static bool troubled;

/* Once per state. */
static void
log_state(const char *what, const struct sov_error *err)
{
	static char last[300];
	char		now[300];

	snprintf(now, sizeof now, "%s: %s", what, err ? err->message : "");
	if (strcmp(now, last) == 0)
		return;
	strlcpy(last, now, sizeof last);
	ereport(LOG, (errmsg("pg_sovereign: %s%s%s", what, err ? ": " : "", err ? err->message : ""),
				  err && err->hint[0] ? errhint("%s", err->hint) : 0));
}

/* Where the log lies; a configuration that cannot be read leaves it where it was. */
static void
read_directory(void)
{
	struct sov_config *cfg = palloc0(sizeof *cfg);
	struct sov_error err;
	char		directory[1024];

	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
		SovRingDirectory(NULL);
	else if (sov_config_read(sov_config_file, 0, cfg, &err) != SOV_OK)
		log_state("the audit log stays where it was", &err);
	else if (sov_audit_directory(cfg, directory, sizeof directory))
		SovRingDirectory(directory);
	else
	{
		SovRingDirectory(NULL);
		log_state("what sessions open is not on record, as the configuration names no directory for it", NULL);
	}
	pfree(cfg);
}

static void
drain(void)
{
	struct sov_error err;
	bool		more = true,
				good = true;

	while (more && good)
		good = SovRingDrain(&more, &err);
	if (!good)
		log_state("what sessions open cannot be put on record", &err);
	else if (troubled)
		log_state("what sessions open is put on record again", NULL);
	troubled = !good;
}

static void
leave(int code, Datum arg)
{
	LWLockReleaseAll();
	SovRingDetach();
	drain();
}

void
SovAuditMain(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(leave, (Datum) 0);
	SovRingAttach();
	read_directory();
	while (!ShutdownRequestPending)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			read_directory();
		}
		if (SovRingDue() == 0)
			drain();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SovRingHeld() ? SovRingDue() : HELD_MS, PG_WAIT_EXTENSION);
	}
	proc_exit(1);				/* status 0 would mean: never again */
}

void
SovAuditWorkerInit(void)
{
	BackgroundWorker worker = {
		.bgw_name = "pg_sovereign audit",
		.bgw_type = "pg_sovereign audit",
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = RESTART_SECONDS,
		.bgw_library_name = "pg_sovereign",
		.bgw_function_name = "SovAuditMain",
	};

	RegisterBackgroundWorker(&worker);
}
