/*
 * worker.c - the background worker: one per server, also on standbys.
 *
 * It has no database connection and waits for nothing but its latch: each task
 * (SovWorkerTask) does what is due and says when it wants to be called again.  What
 * takes long runs in a child process (SovChild), whose end sets the latch.
 *
 * When it is terminated or fails it ends with status 1, and the postmaster starts it
 * again after RESTART_SECONDS.  (Killed by SIGKILL, like any process of the server, it
 * takes all others along: that is the postmaster's rule for whoever shares memory.)
 */
#include "shared.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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
#define KILLED_WAIT_US INT64CONST(1000000)	/* until it is looked at again */

static const SovWorkerTask *const tasks[] = {&SovLeaseTask, &SovScheduleTask, &SovShipperTask};

/* --- children --- */

/* In the child: nothing of the server's but the two pipes. */
static void
exec_command(const char *path, const char *const *args, int in, int out)
{
	const char *argv[16] = {"pg_sovereign", "-c", sov_config_file};
	sigset_t	none;
	int			n = 3;

	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	close_range(3, ~0U, 0);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	while (*args && n < 15)
		argv[n++] = *args++;
	execv(path, (char *const *) argv);
	_exit(127);
}

bool
SovChildStart(SovChild *child, const char *const *args, const void *input, size_t len, int64 timeout_us)
{
	char		path[MAXPGPATH];
	int			down[2],
				up[2];
	bool		good;

	SovCommandPath(path, sizeof path);
	memset(child, 0, sizeof *child);
	if (pipe2(down, O_CLOEXEC) != 0)
		return false;
	if (pipe2(up, O_CLOEXEC) != 0)
	{
		close(down[0]);
		close(down[1]);
		return false;
	}
	/* what fits into the pipe is written before anybody reads */
	good = len <= SOV_CHILD_BYTES && write(down[1], input, len) == (ssize_t) len;
	child->pid = good ? fork() : -1;
	if (child->pid == 0)
		exec_command(path, args, down[0], up[1]);
	close(down[0]);
	close(down[1]);
	close(up[1]);
	if (child->pid < 0)
	{
		child->pid = 0;
		close(up[0]);
		return false;
	}
	child->out = up[0];
	fcntl(child->out, F_SETFL, O_NONBLOCK);	/* a child of its own may hold the other end open */
	child->deadline = SovBootNow() + timeout_us;
	return true;
}

bool
SovChildEnded(SovChild *child)
{
	pid_t		got = waitpid(child->pid, &child->status, WNOHANG);

	if (got == 0 && SovBootNow() >= child->deadline)
	{
		child->too_long = true;
		kill(child->pid, SIGKILL);
		/* its end sets the latch; one that hangs in a driver does not end, and leases must */
		child->deadline = SovBootNow() + KILLED_WAIT_US;
		got = waitpid(child->pid, &child->status, WNOHANG);
	}
	return got != 0;
}

size_t
SovChildRead(SovChild *child, void *dst, size_t cap)
{
	size_t		len = 0;
	ssize_t		n;

	while (len < cap && (n = read(child->out, (char *) dst + len, cap - len)) != 0)
	{
		if (n > 0)
			len += (size_t) n;
		else if (errno != EINTR)
			break;
	}
	close(child->out);
	child->pid = 0;
	return len;
}

void
SovChildKill(SovChild *child)
{
	if (child->pid == 0)
		return;
	kill(child->pid, SIGKILL);
	(void) waitpid(child->pid, &child->status, 0);
	close(child->out);
	child->pid = 0;
}

/* --- the worker --- */

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
