/*
 * child.c - the command pg_sovereign as a child of a process of the server.
 *
 * Whatever has keys, threads, libraries that are not ours, or waits for a provider or a
 * custodian runs there.  A child has nothing of the server's but its standard error and
 * the two descriptors that it is given.
 */
#include "shared.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED_WAIT_US INT64CONST(1000000)	/* until it is looked at again */

static char *sov_command;

void
SovCommandInit(void)
{
	DefineCustomStringVariable("sovereign.command",
							   "The command pg_sovereign, which archives WAL and runs jobs for the server.",
							   "Empty: pg_sovereign in the directory of the server's own programs.",
							   &sov_command, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

void
SovCommandPath(char *dst, size_t cap)
{
	char	   *slash;

	if (sov_command && sov_command[0])
	{
		strlcpy(dst, sov_command, cap);
		return;
	}
	strlcpy(dst, my_exec_path, cap);
	slash = strrchr(dst, '/');
	strlcpy(slash ? slash + 1 : dst, "pg_sovereign", cap - (slash ? (size_t) (slash + 1 - dst) : 0));
}

void
SovCommandExec(const char *path, const char *const *args, int in, int out)
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

pid_t
SovCommandStart(const char *path, const char *const *args, int *to, int *from)
{
	int			down[2],
				up[2];
	pid_t		pid;

	if (pipe2(down, O_CLOEXEC) != 0)
		return -1;
	if (pipe2(up, O_CLOEXEC) != 0)
	{
		close(down[0]);
		close(down[1]);
		return -1;
	}
	pid = fork();
	if (pid == 0)
		SovCommandExec(path, args, down[0], up[1]);
	close(down[0]);
	close(up[1]);
	if (pid < 0)
	{
		close(down[1]);
		close(up[0]);
		return -1;
	}
	*to = down[1];
	*from = up[0];
	fcntl(*from, F_SETFL, O_NONBLOCK);	/* a child of its own may hold the other end open */
	return pid;
}

/* --- one that is given its input and read when it has ended --- */

bool
SovChildStart(SovChild *child, const char *const *args, const void *input, size_t len, int64 timeout_us)
{
	char		path[MAXPGPATH];
	int			to;

	SovCommandPath(path, sizeof path);
	memset(child, 0, sizeof *child);
	child->pid = len <= SOV_CHILD_BYTES ? SovCommandStart(path, args, &to, &child->out) : -1;
	if (child->pid < 0)
	{
		child->pid = 0;
		return false;
	}
	/* the pipe takes it all; what a child that has ended did not read, its status tells */
	if (write(to, input, len) < 0)
		elog(DEBUG1, "could not write to the command pg_sovereign: %m");
	close(to);
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
