/*
 * audit_follow.c - "audit ship --follow": brings the audit log to the providers as it
 * grows and at least every interval, and goes on through failures.
 *
 * A server that preloads the library runs it as a child of its worker, the unit of
 * systemd runs it beside the server, and both may: who holds "shipper.lock" of the
 * state directory ships, and the others look every interval whether it has ended.
 *
 * What it tells, it tells once per state: on standard error or, for the server, on
 * standard output in lines "message|hint" that the worker logs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "sov_audit.h"

#define LONGEST_S 60			/* between attempts after failures, where interval is not longer */

enum told { NOTHING, SHIPS, WAITS, FAILS };

struct follower
{
	const struct cli_context *ctx;
	struct sov_config *cfg;
	struct sov_repo *repo;
	uint64_t	seen;			/* stamp of the configuration */
	int			watch,			/* inotify of the queue, -1: none */
				lock,			/* held by who ships, -1: not by this one */
				failures;		/* in a row */
	bool		for_server;
	enum told	told;
	enum sov_code told_code;
};

/* --- telling --- */

/* Too few answered, at whatever step that showed. */
static enum sov_code
kind_of(enum sov_code code)
{
	return code == SOV_E_QUORUM ? SOV_E_PROVIDER : code;
}

static void
tell(struct follower *f, enum told state, const struct sov_error *err)
{
	const char *message = state == SHIPS ? "the audit log reaches the providers again" :
		state == WAITS ? "another process brings the audit log to the providers; this one takes over when it ends" :
		err->message;
	char		line[1600];

	if (f->told == state && (state != FAILS || f->told_code == kind_of(err->code)))
		return;
	if (state != SHIPS || f->told == FAILS)
	{
		if (!f->for_server && state == FAILS)
			cli_report(err);
		else if (!f->for_server)
			cli_note("%s", message);
		else
		{
			snprintf(line, sizeof line, "%s%s|%s", state == FAILS ? "the audit log does not reach the providers: " : "", message, state == FAILS ? err->hint : "");
			for (char *p = line; *p; p++)
				*p = (unsigned char) *p < 0x20 ? ' ' : *p;
			puts(line);
			fflush(stdout);
		}
	}
	f->told = state;
	f->told_code = state == FAILS ? kind_of(err->code) : SOV_OK;
}

/* --- waiting --- */

/* Until something is queued that somebody waits for, or the interval is over.  A
 * little later, so that what comes together goes together. */
static void
wait_for_work(int watch, uint64_t seconds)
{
	struct pollfd p = {watch, POLLIN, 0};
	int64_t		until = cli_now_us() + (int64_t) seconds * 1000000;
	char		buf[16384] __attribute__((aligned(8)));
	bool		urgent = false;

	while (!urgent && !cli_cancelled(NULL))
	{
		int64_t		left = until - cli_now_us();
		ssize_t		n;

		if (left <= 0 || left > (int64_t) seconds * 1000000)	/* or the clock was set back */
			return;
		if (watch < 0)
			(void) poll(NULL, 0, left > 1000000 ? 1000 : (int) (left / 1000) + 1);
		else if (poll(&p, 1, left > 1000000 ? 1000 : (int) (left / 1000) + 1) > 0 && (n = read(watch, buf, sizeof buf)) > 0)
			for (char *at = buf; at < buf + n;)
			{
				struct inotify_event *e = (struct inotify_event *) at;
				size_t		len = e->len ? strlen(e->name) : 0;

				urgent |= len > 2 && strcmp(e->name + len - 2, "-w") == 0;
				at += sizeof *e + e->len;
			}
	}
}

/* -1: it is not there yet, or cannot be watched. */
static int
watch_queue(const struct sov_config *cfg)
{
	char		dir[1100],
				path[1200];
	int			fd = inotify_init1(IN_CLOEXEC);

	(void) sov_audit_directory(cfg, dir, sizeof dir);
	snprintf(path, sizeof path, "%s/queue", dir);
	if (fd >= 0 && inotify_add_watch(fd, path, IN_MOVED_TO) < 0)
	{
		close(fd);
		fd = -1;
	}
	return fd;
}

/* The configuration file as it is now; an unreadable one leaves what was. */
static bool
changed_config(const struct cli_context *ctx, struct sov_config *cfg, uint64_t *seen)
{
	struct sov_config now;
	struct sov_error err;
	uint64_t	stamp = sov_config_stamp(cfg);

	if (stamp == 0 || stamp == *seen)
		return false;
	*seen = stamp;
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &now, &err) != SOV_OK)
		return false;
	*cfg = now;
	*seen = sov_config_stamp(cfg) == stamp ? stamp : 0;	/* names other files: once more */
	return true;
}

/* --- one at a time --- */

enum sov_code
cli_audit_shipper_lock(const struct sov_config *cfg, int *fd, struct sov_error *err)
{
	char		path[1200];
	int			e;

	snprintf(path, sizeof path, "%s/shipper.lock", cfg->state_directory);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd >= 0 && flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return SOV_OK;
	e = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (e == EWOULDBLOCK)
		return sov_fail(err, SOV_E_STATE, "stop the server, or 'pg_sovereign audit ship --follow', first",
						"another process brings the audit log to the providers (it holds %s)", path);
	return sov_fail_errno(err, e, "the state directory must exist and belong to the user that runs the server", "could not lock %s", path);
}

static bool
my_turn(struct follower *f)
{
	struct sov_error err;
	enum sov_code rc = f->lock >= 0 ? SOV_OK : cli_audit_shipper_lock(f->cfg, &f->lock, &err);

	if (rc != SOV_OK)
		tell(f, rc == SOV_E_STATE ? WAITS : FAILS, &err);
	return rc == SOV_OK;
}

static void
let_go(struct follower *f)
{
	if (f->repo)
		sov_repo_close(f->repo);
	f->repo = NULL;
	if (f->lock >= 0)
		close(f->lock);
	f->lock = -1;
}

/* --- shipping --- */

static enum sov_code
ship_once(struct follower *f, struct sov_error *err)
{
	struct sov_audit_shipped done;
	enum sov_code rc = SOV_OK;

	if (f->repo == NULL)
		rc = sov_repo_open(f->cfg, f->for_server ? NULL : cli_note_callback, NULL, &f->repo, err);
	if (rc != SOV_OK)
		f->repo = NULL;
	else
		rc = sov_audit_ship(f->repo, &done, err);
	if (rc == SOV_E_STATE)		/* a command does it at this moment */
		rc = SOV_OK;
	else if (rc != SOV_OK && f->repo)	/* providers that are back, another map */
	{
		sov_repo_close(f->repo);
		f->repo = NULL;
	}
	return rc;
}

/* Longer and longer while nothing answers. */
static uint64_t
pause_s(const struct follower *f)
{
	uint64_t	s = f->cfg->audit_interval;

	for (int i = 1; i < f->failures && s < LONGEST_S; i++)
		s = s * 2 > LONGEST_S ? LONGEST_S : s * 2;
	return s;
}

static void
turn(struct follower *f)
{
	struct sov_error err;
	enum sov_code rc;

	if (changed_config(f->ctx, f->cfg, &f->seen) && f->repo)
		let_go(f);				/* of another state directory, perhaps */
	if (!my_turn(f))
	{
		wait_for_work(-1, f->cfg->audit_interval);
		return;
	}
	rc = ship_once(f, &err);
	f->failures = rc == SOV_OK ? 0 : f->failures + 1;
	tell(f, rc == SOV_OK ? SHIPS : FAILS, &err);
	if (f->watch < 0 && rc == SOV_OK && (f->watch = watch_queue(f->cfg)) >= 0)
		return;					/* what came meanwhile */
	wait_for_work(rc == SOV_OK ? f->watch : -1, pause_s(f));
}

int
cli_audit_follow(const struct cli_context *ctx, struct sov_config *cfg, bool for_server)
{
	struct follower f = {.ctx = ctx, .cfg = cfg, .watch = -1, .lock = -1, .for_server = for_server};
	struct sov_error err;

	cli_catch_signals();
	if (for_server)
	{
		signal(SIGPIPE, SIG_IGN);
		(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() == 1)		/* it was too late for that */
			return 0;
	}
	while (!cli_cancelled(NULL))
		turn(&f);
	if (f.repo)
		(void) ship_once(&f, &err);
	if (f.watch >= 0)
		close(f.watch);
	let_go(&f);
	return 0;
}
