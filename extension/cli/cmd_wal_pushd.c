/*
 * cmd_wal_pushd.c - the helper of the archive module.
 *
 * The archiver hands names over and waits; keys, compression, threads and
 * providers live here, in a process of their own that dies with its parent.
 *
 * Protocol, lines on standard input and output:
 *   PUSH name                 archive pg_wal/name
 *   OK name                   acknowledged: the server may recycle it
 *   FAIL name code retryable message|hint
 *   NOTE message              for the server's log
 *
 * While one file is asked for, the next ready segments are pushed as well
 * (archive_status/N.ready; never .history, .backup, .partial), so that they are
 * answered at once when the server asks.  Only the server renames .ready.
 *
 * Pushes hold the repository lock shared; reading the state again and reopening
 * after a change of the configuration hold it alone.  Asking providers that are down
 * and settling debt are for a thread of their own, which shares it: nobody else waits
 * for a provider that hangs.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "sov_facts.h"
#include "sov_stop.h"
#include "sov_wal.h"

const char	cmd_wal_pushd_help[] =
	"pg_sovereign wal-pushd - the archive module's helper\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-pushd WAL_DIRECTORY\n\n"
	"Started by archive_library = 'pg_sovereign'; not to be run by hand.\n";

#define AHEAD (2 * SOV_WAL_AT_ONCE)	/* segments held ready beyond the one asked for, at most */
#define ENTRIES (2 * AHEAD)
#define TEND_EVERY 5000			/* ms; */
#define TEND_DEBT_EVERY 1000	/* while something is owed, */
#define SETTLE_US 500000		/* worked off in slices: the state is not read again meanwhile */

enum entry_state { FREE, WAITING, RUNNING, DONE, FAILED };

struct entry
{
	char		name[64];
	enum entry_state state;
	struct sov_error err;
};

struct pushd
{
	const struct cli_context *ctx;
	const char *wal_directory;
	struct sov_config cfg;
	uint64_t	cfg_stamp;		/* of it and of what it names */
	struct sov_repo *repo;
	struct sov_wal_pusher *pusher;
	pthread_rwlock_t repo_lock;
	pthread_mutex_t lock;		/* entries */
	pthread_cond_t changed;
	struct entry entries[ENTRIES];
	int			running,
				at_once;		/* of them, at most */
	bool		stop;
	bool		settle;			/* the settler is to work, or does */
	uint64_t	owed;			/* what it left */
	atomic_bool leave;			/* and is not to wait for a provider any longer */
	pthread_mutex_t out;
};

/* --- output --- */

/* One line; control characters would break the protocol. */
static void
say(struct pushd *d, const char *kind, const char *text)
{
	pthread_mutex_lock(&d->out);
	printf("%s ", kind);
	for (const char *p = text; *p; p++)
		putchar((unsigned char) *p < 0x20 ? ' ' : *p);
	putchar('\n');
	fflush(stdout);
	pthread_mutex_unlock(&d->out);
}

static void
note(void *ctx, const char *message)
{
	say(ctx, "NOTE", message);
}

static void
say_fail(struct pushd *d, const char *name, const struct sov_error *err)
{
	char		text[1600];

	snprintf(text, sizeof text, "%s %s %d %s|%s", name, sov_code_name(err->code), err->retryable, err->message, err->hint);
	say(d, "FAIL", text);
}

/* --- repository --- */

/* Without a mark where the configuration has changed: the old one may not be
 * written by any more. */
static void
close_repo(struct pushd *d, bool mark)
{
	struct sov_error err;

	if (d->pusher && mark)
		(void) sov_wal_mark(d->pusher, true, &err);
	sov_wal_pusher_close(d->pusher);
	sov_repo_close(d->repo);
	d->pusher = NULL;
	d->repo = NULL;
}

static enum sov_code
open_repo(struct pushd *d, struct sov_error *err)
{
	enum sov_code rc = cli_read_config(d->ctx, SOV_NEED_REPOSITORY, &d->cfg, err);

	d->cfg_stamp = rc == SOV_OK ? sov_config_stamp(&d->cfg) : 0;
	if (rc == SOV_OK)			/* once more: nothing changes unseen between the two */
		rc = cli_read_config(d->ctx, SOV_NEED_REPOSITORY, &d->cfg, err);
	if (rc == SOV_OK)
		rc = sov_repo_open(&d->cfg, note, d, &d->repo, err);
	if (rc == SOV_OK)
		rc = sov_wal_pusher_open(d->repo, &d->pusher, err);
	if (rc != SOV_OK)
		close_repo(d, false);
	return rc;
}

static bool
config_changed(const struct pushd *d)
{
	uint64_t	now = sov_config_stamp(&d->cfg);

	return now != 0 && now != d->cfg_stamp;
}

/* It may have lost the key that this process still has. */
static bool
keyring_changed(const struct pushd *d)
{
	return d->repo->admin.keyring_seq > d->repo->keys->keyring_seq;
}

/* Make sure that there is a repository of the present configuration. */
static enum sov_code
need_repo(struct pushd *d, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	/* Only this thread opens and closes it. */
	if (d->repo && !config_changed(d) && !keyring_changed(d))
		return SOV_OK;
	atomic_store(&d->leave, true);
	pthread_rwlock_wrlock(&d->repo_lock);
	atomic_store(&d->leave, false);
	if (d->repo)
	{
		say(d, "NOTE", keyring_changed(d) ? "the keyring has changed and is read again" : "the configuration has changed and is read again");
		close_repo(d, false);
	}
	rc = open_repo(d, err);
	pthread_rwlock_unlock(&d->repo_lock);
	return rc;
}

/* Who is down, and what is owed: whenever it is told to. */
static void *
settler(void *arg)
{
	struct pushd *d = arg;

	sov_stop_flag = &d->leave;
	pthread_mutex_lock(&d->lock);
	for (;;)
	{
		struct sov_error err;
		uint64_t	left = 0;

		while (!d->settle && !d->stop)
			pthread_cond_wait(&d->changed, &d->lock);
		if (d->stop)
			break;
		pthread_mutex_unlock(&d->lock);
		pthread_rwlock_rdlock(&d->repo_lock);
		if (d->repo)
		{
			sov_repo_ask_down(d->repo);
			(void) sov_repo_settle(d->repo, SETTLE_US, &left, &err);
		}
		pthread_rwlock_unlock(&d->repo_lock);
		pthread_mutex_lock(&d->lock);
		d->owed = left;
		d->settle = false;
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* Now and then: the mark, and while the settler rests, the state again and what it is to
 * do.  Returns ms until then. */
static int64_t
tend(struct pushd *d)
{
	struct sov_error err;
	uint64_t	owed;
	bool		busy;

	if (need_repo(d, &err) != SOV_OK)
		return TEND_EVERY;
	pthread_mutex_lock(&d->lock);
	busy = d->settle;
	owed = d->owed;
	pthread_mutex_unlock(&d->lock);
	if (!busy)
	{
		pthread_rwlock_wrlock(&d->repo_lock);
		if (sov_repo_refresh(d->repo, &err) == SOV_OK)
			sov_facts_keep(d->repo);
		pthread_rwlock_unlock(&d->repo_lock);
		pthread_mutex_lock(&d->lock);
		d->settle = true;
		pthread_cond_broadcast(&d->changed);
		pthread_mutex_unlock(&d->lock);
	}
	pthread_rwlock_rdlock(&d->repo_lock);
	(void) sov_wal_mark(d->pusher, false, &err);
	pthread_rwlock_unlock(&d->repo_lock);
	return busy || owed > 0 ? TEND_DEBT_EVERY : TEND_EVERY;
}

/* --- entries and workers --- */

static struct entry *
find(struct pushd *d, const char *name)
{
	for (int i = 0; i < ENTRIES; i++)
		if (d->entries[i].state != FREE && strcmp(d->entries[i].name, name) == 0)
			return &d->entries[i];
	return NULL;
}

/* Queue a file unless it is there; under the lock. */
static struct entry *
enqueue(struct pushd *d, const char *name)
{
	struct entry *e = find(d, name);

	for (int i = 0; e == NULL && i < ENTRIES; i++)
		if (d->entries[i].state == FREE)
			e = &d->entries[i];
	if (e == NULL)
		return NULL;
	if (e->state == FREE || e->state == FAILED)
	{
		snprintf(e->name, sizeof e->name, "%s", name);
		e->state = WAITING;
		pthread_cond_broadcast(&d->changed);
	}
	return e;
}

/* The first by name: segments in their order. */
static struct entry *
next_waiting(struct pushd *d)
{
	struct entry *best = NULL;

	for (int i = 0; i < ENTRIES; i++)
		if (d->entries[i].state == WAITING && (best == NULL || strcmp(d->entries[i].name, best->name) < 0))
			best = &d->entries[i];
	return best;
}

static void *
worker(void *arg)
{
	struct pushd *d = arg;

	pthread_mutex_lock(&d->lock);
	for (;;)
	{
		struct entry *e;
		char		path[1200];
		struct sov_wal_push_result res;
		struct sov_error err;
		enum sov_code rc;

		while (((e = next_waiting(d)) == NULL || d->running >= d->at_once) && !d->stop)
			pthread_cond_wait(&d->changed, &d->lock);
		if (d->stop)
			break;
		e->state = RUNNING;
		d->running++;
		snprintf(path, sizeof path, "%s/%s", d->wal_directory, e->name);
		pthread_mutex_unlock(&d->lock);

		sov_error_clear(&err);
		pthread_rwlock_rdlock(&d->repo_lock);
		if (d->pusher)
			rc = sov_wal_push(d->pusher, path, &res, &err);
		else
			rc = sov_fail(&err, SOV_E_STATE, NULL, "the repository is not open");
		pthread_rwlock_unlock(&d->repo_lock);

		pthread_mutex_lock(&d->lock);
		e->state = rc == SOV_OK ? DONE : FAILED;
		d->running--;
		e->err = err;
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* Results that nobody asked for are dropped when the table fills: pushing the
 * same file again is answered from the providers. */
static void
forget_old(struct pushd *d, const char *name)
{
	for (int i = 0; i < ENTRIES; i++)
		if ((d->entries[i].state == DONE || d->entries[i].state == FAILED) && strcmp(d->entries[i].name, name) < 0)
			d->entries[i].state = FREE;
}

static void
push(struct pushd *d, const char *name)
{
	char		ahead[AHEAD][64],
				path[1200];
	struct sov_error err;
	struct entry *e;
	struct stat st;
	int			at_once,
				n;

	if (need_repo(d, &err) != SOV_OK)
	{
		say_fail(d, name, &err);
		return;
	}
	snprintf(path, sizeof path, "%s/%s", d->wal_directory, name);
	at_once = stat(path, &st) == 0 ? sov_wal_at_once((uint64_t) st.st_size) : 1;
	n = sov_wal_ready_after(d->wal_directory, name, ahead, 2 * at_once);
	pthread_mutex_lock(&d->lock);
	d->at_once = at_once;
	forget_old(d, name);
	e = enqueue(d, name);
	for (int i = 0; i < n; i++)
		(void) enqueue(d, ahead[i]);
	while (e != NULL && (e->state == WAITING || e->state == RUNNING))
		pthread_cond_wait(&d->changed, &d->lock);
	if (e != NULL)
	{
		if (e->state == DONE)
			say(d, "OK", name);
		else
			say_fail(d, name, &e->err);
		e->state = FREE;
	}
	pthread_mutex_unlock(&d->lock);
	if (e == NULL)
	{
		sov_fail(&err, SOV_E_STATE, NULL, "too many files are under way");
		say_fail(d, name, &err);
	}
}

/* --- main loop --- */

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Read requests until the server closes the pipe. */
static void
serve(struct pushd *d)
{
	struct pollfd pfd = {.fd = STDIN_FILENO, .events = POLLIN};
	char		line[256];
	size_t		len = 0;
	int64_t		tend_at = 0;

	for (;;)
	{
		int			r = poll(&pfd, 1, 1000);
		ssize_t		n;
		char	   *end;

		if (now_ms() >= tend_at)
			tend_at = tend(d) + now_ms();
		if (r <= 0)
			continue;
		n = read(STDIN_FILENO, line + len, sizeof line - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		len += (size_t) n;
		line[len] = '\0';
		while ((end = strchr(line, '\n')) != NULL)
		{
			*end = '\0';
			if (strncmp(line, "PUSH ", 5) == 0)
				push(d, line + 5);
			len -= (size_t) (end + 1 - line);
			memmove(line, end + 1, len + 1);
		}
		if (len == sizeof line - 1)
			return;				/* not our protocol */
	}
}

int
cmd_wal_pushd(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{NULL, 0, NULL, 0}};
	static struct pushd d;
	pthread_t	threads[SOV_WAL_AT_ONCE + 1];
	int			n = 0;

	if (cli_getopt(argc, argv, "", longs) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (argc - optind != 1)
		return cli_usage_error("wal-pushd", "say where the WAL directory is");
	cli_return_memory();
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	d.ctx = ctx;
	d.wal_directory = argv[optind];
	pthread_rwlock_init(&d.repo_lock, NULL);
	pthread_mutex_init(&d.lock, NULL);
	pthread_mutex_init(&d.out, NULL);
	pthread_cond_init(&d.changed, NULL);
	/* the first one settles */
	while (n <= SOV_WAL_AT_ONCE && pthread_create(&threads[n], NULL, n == 0 ? settler : worker, &d) == 0)
		n++;
	if (n > 1)
		serve(&d);
	atomic_store(&d.leave, true);
	pthread_mutex_lock(&d.lock);
	d.stop = true;
	pthread_cond_broadcast(&d.changed);
	pthread_mutex_unlock(&d.lock);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	close_repo(&d, true);
	return n > 1 ? 0 : 1;
}
