/*
 * archive.c - archive_library = 'pg_sovereign'.
 *
 * Inside the server there is only this: hand a name to the helper process
 * ("pg_sovereign wal-pushd", protocol in extension/cli/cmd_wal_pushd.c) and wait
 * on the latch for its answer.  Keys, compression, threads and providers never
 * come into the server, and a fault in the helper restarts nothing.
 *
 * The callback never raises an ERROR (on 15 and 16 that would restart the
 * archiver): it logs and returns false, and the server tries again.  A reload or
 * a request to shut down ends the wait; the helper keeps its answer for the next
 * attempt.
 */
#include "sov_pg.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#if PG_VERSION_NUM >= 160000
#include "archive/archive_module.h"
#else
#include "postmaster/pgarch.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "pgstat.h"
#include "utils/wait_event.h"

#define LINE_MAX_LEN 2048
#define RESTART_DELAY_MS 1000

static char started_path[MAXPGPATH], started_config[MAXPGPATH];	/* of the helper that runs */

static pid_t helper_pid = 0;
static int	to_helper = -1;
static int	from_helper = -1;
static char line_buf[LINE_MAX_LEN];
static size_t line_len = 0;
static char last_failure[LINE_MAX_LEN];	/* logged once per state */

/* --- the helper process --- */

static void
close_pipes(void)
{
	if (to_helper >= 0)
		close(to_helper);
	if (from_helper >= 0)
		close(from_helper);
	to_helper = from_helper = -1;
	line_len = 0;
}

static void
log_once(const char *message, const char *hint)
{
	if (strcmp(last_failure, message) == 0)
		return;
	strlcpy(last_failure, message, sizeof last_failure);
	if (hint && hint[0])
		ereport(LOG, (errmsg("pg_sovereign: %s", message), errhint("%s", hint)));
	else
		ereport(LOG, (errmsg("pg_sovereign: %s", message)));
}

static bool
start_helper(void)
{
	static const char *const args[] = {"wal-pushd", "pg_wal", NULL};
	char		path[MAXPGPATH];
	pid_t		pid;

	SovCommandPath(path, sizeof path);
	if (access(path, X_OK) != 0)
	{
		char		message[MAXPGPATH + 64];

		snprintf(message, sizeof message, "%s cannot be executed: %m", path);
		log_once(message, "set sovereign.command to the path of the command pg_sovereign");
		return false;
	}
	pid = SovCommandStart(path, args, &to_helper, &from_helper);
	if (pid < 0)
		return false;
	strlcpy(started_path, path, sizeof started_path);
	strlcpy(started_config, sov_config_file, sizeof started_config);
	helper_pid = pid;
	line_len = 0;
	return true;
}

/* Closing its input lets the helper finish; past the wait it is killed. */
static void
stop_helper(int wait_ms)
{
	close_pipes();
	for (int waited = 0; helper_pid > 0; waited += 10)
	{
		if (waitpid(helper_pid, NULL, WNOHANG) != 0)
			helper_pid = 0;
		else if (waited >= wait_ms)
		{
			kill(helper_pid, SIGKILL);
			(void) waitpid(helper_pid, NULL, 0);
			helper_pid = 0;
		}
		else
			pg_usleep(10000);
	}
}

/* Other settings are for another helper. */
static void
follow_settings(void)
{
	char		path[MAXPGPATH];

	SovCommandPath(path, sizeof path);
	if (helper_pid > 0 && (strcmp(path, started_path) != 0 || strcmp(sov_config_file, started_config) != 0))
		stop_helper(5000);
}

static void
helper_died(void)
{
	log_once("the helper process wal-pushd has ended and is started again", NULL);
	stop_helper(0);
	pg_usleep(RESTART_DELAY_MS * 1000L);
}

/* --- its answers --- */

typedef enum Answer { NONE, ACKNOWLEDGED, REFUSED } Answer;

/* "name code retryable message|hint" */
static void
log_failure(char *text)
{
	char	   *message = text,
			   *hint;

	for (int i = 0; i < 3 && message; i++)
		if ((message = strchr(message, ' ')) != NULL)
			message++;
	if (message == NULL)
		message = text;
	hint = strchr(message, '|');
	if (hint)
		*hint++ = '\0';
	log_once(message, hint);
}

static Answer
take_line(char *line, const char *file)
{
	size_t		n = strlen(file);

	if (strncmp(line, "NOTE ", 5) == 0)
		ereport(LOG, (errmsg("pg_sovereign: %s", line + 5)));
	else if (strncmp(line, "OK ", 3) == 0 && strcmp(line + 3, file) == 0)
	{
		last_failure[0] = '\0';
		return ACKNOWLEDGED;
	}
	else if (strncmp(line, "FAIL ", 5) == 0 && strncmp(line + 5, file, n) == 0 && line[5 + n] == ' ')
	{
		log_failure(line + 5);
		return REFUSED;
	}
	return NONE;				/* an answer to an earlier attempt that was given up */
}

/* Read what there is; *alive is false when the helper is gone. */
static Answer
read_answers(const char *file, bool *alive)
{
	Answer		answer = NONE;
	char	   *end;
	ssize_t		n;

	*alive = true;
	while (answer == NONE)
	{
		while (answer == NONE && (end = memchr(line_buf, '\n', line_len)) != NULL)
		{
			size_t		used = (size_t) (end + 1 - line_buf);

			*end = '\0';
			answer = take_line(line_buf, file);
			line_len -= used;
			memmove(line_buf, line_buf + used, line_len);
		}
		if (answer != NONE)
			break;
		if (line_len == sizeof line_buf)
			line_len = 0;		/* no line of ours is so long */
		n = read(from_helper, line_buf + line_len, sizeof line_buf - line_len);
		if (n > 0)
			line_len += (size_t) n;
		else if (n < 0 && errno == EINTR)
			continue;
		else
		{
			*alive = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
			break;
		}
	}
	return answer;
}

/* --- callbacks --- */

static bool
ask(const char *file)
{
	char		request[MAXPGPATH + 8];
	int			len = snprintf(request, sizeof request, "PUSH %s\n", file);

	follow_settings();
	if (to_helper < 0 && !start_helper())
		return false;
	if (write(to_helper, request, (size_t) len) == len)
		return true;
	helper_died();
	return false;
}

/* Wait for the answer.  *woken: the latch was set meanwhile. */
static bool
await(const char *file, bool *woken)
{
	for (;;)
	{
		bool		alive;
		Answer		answer = read_answers(file, &alive);
		int			events;

		if (answer != NONE)
			return answer == ACKNOWLEDGED;
		if (!alive)
		{
			helper_died();
			return false;
		}
		events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_POSTMASTER_DEATH,
								   from_helper, 10000L, PG_WAIT_EXTENSION);
		if (events & WL_POSTMASTER_DEATH)
			return false;
		if (events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			*woken = true;
		}
		if (ProcSignalBarrierPending)
			ProcessProcSignalBarrier();
		if (ConfigReloadPending || ShutdownRequestPending)
			return false;
	}
}

static bool
archive_one(const char *file)
{
	bool		woken = false;
	bool		done = ask(file) && await(file, &woken);

	/* The archiver looks at its flags only when its latch wakes it: what was
	 * consumed here (the request to finish at shutdown) must not be lost. */
	if (woken)
		SetLatch(MyLatch);
	return done;
}

static bool
configured(void)
{
	char		message[MAXPGPATH + 64];

	if (access(sov_config_file, R_OK) == 0)
		return true;
	snprintf(message, sizeof message, "configuration %s cannot be read: %m", sov_config_file);
	log_once(message, "write it, or set sovereign.config_file");
	return false;
}

#if PG_VERSION_NUM >= 160000

static bool
configured_cb(ArchiveModuleState *state)
{
	return configured();
}

static bool
archive_cb(ArchiveModuleState *state, const char *file, const char *path)
{
	return archive_one(file);
}

static void
shutdown_cb(ArchiveModuleState *state)
{
	stop_helper(5000);
}

const ArchiveModuleCallbacks *
_PG_archive_module_init(void)
{
	static const ArchiveModuleCallbacks callbacks = {
		.check_configured_cb = configured_cb,
		.archive_file_cb = archive_cb,
		.shutdown_cb = shutdown_cb
	};

	return &callbacks;
}

#else

static bool
archive_cb(const char *file, const char *path)
{
	return archive_one(file);
}

static void
shutdown_cb(void)
{
	stop_helper(5000);
}

extern void _PG_archive_module_init(ArchiveModuleCallbacks *cb);

void
_PG_archive_module_init(ArchiveModuleCallbacks *cb)
{
	cb->check_configured_cb = configured;
	cb->archive_file_cb = archive_cb;
	cb->shutdown_cb = shutdown_cb;
}

#endif
