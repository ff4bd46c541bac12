/*
 * child.c - running the server's own programs: no shell, output to a file, ended
 * when they take too long or the command is cancelled.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

static void
exec_child(const char *const *argv, const char *output)
{
	int			in = open("/dev/null", O_RDONLY),
				out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	signal(SIGINT, SIG_IGN);	/* ours to pass on */
	signal(SIGPIPE, SIG_DFL);
	execv(argv[0], (char *const *) argv);
	_exit(127);
}

int
child_run(const char *const *argv, const char *output, int seconds)
{
	int64_t		end = cli_now_us() + (int64_t) seconds * 1000000;
	pid_t		pid;
	int			status;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		exec_child(argv, output);
	if (pid < 0)
		return -1;
	for (;;)
	{
		pid_t		got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (got < 0 && errno != EINTR)
			return -1;
		if (cli_now_us() > end || cli_cancelled(NULL))
		{
			kill(pid, SIGTERM);
			(void) waitpid(pid, &status, 0);
			return CHILD_STOPPED;
		}
		usleep(20000);
	}
}

void
child_tail(const char *file, char *dst, size_t cap)
{
	FILE	   *f = fopen(file, "re");
	char		line[512];

	dst[0] = '\0';
	while (f && fgets(line, sizeof line, f))
		if (line[0] != '\n')
			snprintf(dst, cap, "%.*s", (int) strcspn(line, "\n"), line);
	if (f)
		fclose(f);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

/* Links are removed, not followed; nothing beyond this file system. */
bool
child_remove_directory(const char *dir)
{
	return nftw(dir, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0;
}
