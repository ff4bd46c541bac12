/*
 * shipper.c - a task of the worker: keeps "pg_sovereign audit ship --follow" running, so
 * that what sessions do reaches the providers without anybody's help.
 *
 * Keys, providers and threads are in that process, which ends with the worker; where
 * another one ships already (the unit of systemd) it waits for its turn.  What it says
 * once per state is logged here; when it ends it is started again, after a pause that
 * grows to a minute.
 */
#include "shared.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "utils/guc.h"

#define LOOK_MS 2000			/* at what it says */
#define CONFIG_MS 10000			/* whether there is a repository by now */
#define PAUSE_MIN_US INT64CONST(1000000)
#define PAUSE_MAX_US INT64CONST(60000000)
#define NEVER_US INT64CONST(100000000000000)
#define STOP_MS 2000			/* for its last shipment, when the server stops */

static bool ship_audit;
static SovChild child;
static int64 started_at,
			start_at;			/* boot clock */
static int64 pause_us = PAUSE_MIN_US;
static char started_path[MAXPGPATH],
			started_config[MAXPGPATH];
static char line[2048];
static size_t line_len;
static bool told_end;

void
SovShipperGuc(void)
{
	DefineCustomBoolVariable("sovereign.ship_audit",
							 "The server brings the audit log to the providers itself.",
							 "Where the library is preloaded; one process of a host does it at a time.",
							 &ship_audit, true, PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

static void
log_line(char *text)
{
	char	   *hint = strchr(text, '|');

	if (hint)
		*hint++ = '\0';
	ereport(LOG, (errmsg("pg_sovereign: %s", text), hint && hint[0] ? errhint("%s", hint) : 0));
}

static void
read_lines(void)
{
	ssize_t		n;
	char	   *end;

	while ((n = read(child.out, line + line_len, sizeof line - line_len)) > 0)
	{
		line_len += (size_t) n;
		while ((end = memchr(line, '\n', line_len)) != NULL)
		{
			size_t		used = (size_t) (end + 1 - line);

			*end = '\0';
			log_line(line);
			line_len -= used;
			memmove(line, line + used, line_len);
		}
		if (line_len == sizeof line)
			line_len = 0;		/* no line of ours is so long */
	}
}

/* Has anything of a repository been made on this host?  A configuration that cannot be
 * read is told by others. */
static bool
wanted(void)
{
	struct sov_config *cfg;
	struct sov_error err;
	bool		have;

	if (!ship_audit || access(sov_config_file, R_OK) != 0)
		return false;
	cfg = palloc0(sizeof *cfg);
	have = sov_config_read(sov_config_file, 0, cfg, &err) == SOV_OK && cfg->state_directory[0] != '\0' && access(cfg->state_directory, F_OK) == 0;
	pfree(cfg);
	return have;
}

static void
stop_child(void)
{
	if (child.pid == 0)
		return;
	kill(child.pid, SIGTERM);
	child.deadline = SovBootNow() + STOP_MS * INT64CONST(1000);
	while (!SovChildEnded(&child))
		pg_usleep(10000);
	read_lines();
	close(child.out);
	child.pid = 0;
	line_len = 0;
}

static void
child_has_ended(void)
{
	int64		now = SovBootNow();

	read_lines();
	close(child.out);
	child.pid = 0;
	line_len = 0;
	if (now - started_at > PAUSE_MAX_US)
	{
		pause_us = PAUSE_MIN_US;
		told_end = false;
	}
	if (!told_end)
		ereport(LOG, (errmsg("pg_sovereign: the process that brings the audit log to the providers has ended (%s %d) and is started again",
							 WIFSIGNALED(child.status) ? "signal" : "status", WIFSIGNALED(child.status) ? WTERMSIG(child.status) : WEXITSTATUS(child.status))));
	told_end = true;
	start_at = now + pause_us;
	pause_us = Min(pause_us * 2, PAUSE_MAX_US);
}

static void
start_child(void)
{
	static const char *const args[] = {"audit", "ship", "--follow", "--for-server", NULL};

	started_at = SovBootNow();
	SovCommandPath(started_path, sizeof started_path);
	strlcpy(started_config, sov_config_file, sizeof started_config);
	if (!SovChildStart(&child, args, "", 0, NEVER_US))
		start_at = started_at + PAUSE_MAX_US;
}

static long
shipper_tend(void)
{
	int64		now = SovBootNow();

	if (child.pid != 0 && SovChildEnded(&child))
		child_has_ended();
	if (child.pid != 0)
	{
		read_lines();
		return LOOK_MS;
	}
	if (now < start_at)
		return (long) ((start_at - now) / 1000) + 1;
	if (!wanted())
	{
		start_at = now + CONFIG_MS * INT64CONST(1000);
		return CONFIG_MS;
	}
	start_child();
	return LOOK_MS;
}

/* Another command, another configuration, or it is not wanted any more. */
static void
shipper_reload(void)
{
	char		path[MAXPGPATH];

	SovCommandPath(path, sizeof path);
	if (child.pid != 0 && (!ship_audit || strcmp(path, started_path) != 0 || strcmp(sov_config_file, started_config) != 0))
		stop_child();
	start_at = 0;
}

static void
shipper_start(void)
{
	start_at = 0;
}

const SovWorkerTask SovShipperTask = {.start = shipper_start, .tend = shipper_tend, .reload = shipper_reload, .stop = stop_child};
