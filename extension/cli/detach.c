/*
 * detach.c - start this program again in the background: nobody's child, in a
 * session of its own, with none of the caller's descriptors.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static void
exec_detached(const char *config, const char *command, const char *arg, const char *second)
{
	int			null = open("/dev/null", O_RDWR);

	(void) setsid();
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || close_range(3, ~0U, 0) != 0 || chdir("/") != 0)
		_exit(0);
	execl("/proc/self/exe", "pg_sovereign", "-c", config, command, arg, second, (char *) NULL);
	_exit(0);
}

void
cli_detach(const struct sov_config *cfg, const char *command, const char *path, const char *second)
{
	char		config[PATH_MAX],
				arg[PATH_MAX];
	pid_t		pid;

	if (realpath(cfg->file, config) == NULL || realpath(path, arg) == NULL)
		return;
	pid = fork();
	if (pid == 0)
	{
		/* Twice, so that it is nobody's child. */
		if (fork() == 0)
			exec_detached(config, command, arg, second);
		_exit(0);
	}
	if (pid > 0)
		(void) waitpid(pid, NULL, 0);
}
