/*
 * worker.c - the background worker: one per server, also on standbys.
 *
 * It has no database connection and waits for nothing but its latch: each task
 * (SovWorkerTask) does what is due and says when it wants to be called again.  What
 * takes long runs in a child process (child.c), whose end sets the latch.
 *
 * When it is terminated or fails it ends with status 1, and the postmaster starts it
 * again after RESTART_SECONDS.  (Killed by SIGKILL, like any process of the server, it
 * takes all others along: that is the postmaster's rule for whoever shares memory.)
 */
#include "shared.h"

#include <signal.h>

#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

#define RESTART_SECONDS 1
#define IDLE_MS 60000

static const SovWorkerTask *const tasks[] = {&SovLeaseTask, &SovScheduleTask, &SovShipperTask};

static void
child_ended(SIGNAL_ARGS)
{
	int			saved = errno;

	SetLatch(MyLatch);
	errno = saved;
}

static void
stop_tasks(int code, Datum arg)
{
	for (size_t i = 0; i < lengthof(tasks); i++)
		tasks[i]->stop();
}

void
SovWorkerMain(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGCHLD, child_ended);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(stop_tasks, (Datum) 0);
	for (size_t i = 0; i < lengthof(tasks); i++)
		tasks[i]->start();
	while (!ShutdownRequestPending)
	{
		long		wait = IDLE_MS;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			for (size_t i = 0; i < lengthof(tasks); i++)
				tasks[i]->reload();
		}
		for (size_t i = 0; i < lengthof(tasks); i++)
		{
			long		next = tasks[i]->tend();

			wait = Min(wait, Max(next, 0));
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, PG_WAIT_EXTENSION);
	}
	proc_exit(1);				/* status 0 would mean: never again */
}

void
SovWorkerInit(void)
{
	BackgroundWorker worker = {
		.bgw_name = "pg_sovereign worker",
		.bgw_type = "pg_sovereign worker",
		.bgw_flags = BGWORKER_SHMEM_ACCESS,
		.bgw_start_time = BgWorkerStart_ConsistentState,
		.bgw_restart_time = RESTART_SECONDS,
		.bgw_library_name = "pg_sovereign",
		.bgw_function_name = "SovWorkerMain",
	};

	RegisterBackgroundWorker(&worker);
}
