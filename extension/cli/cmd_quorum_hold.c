/*
 * cmd_quorum_hold.c - the process that gathers the shares of a split root key, joins them
 * and wraps with the root key for the processes of its user (sov_quorum.h).
 *
 * "unlock" starts it in the background.  Shares and root key are in secret memory alone,
 * and go when it ends: told to forget, by a signal, or, while shares are missing, when
 * nobody has given one for an hour.  A lock on the record's file says that it is the only
 * one.  Requests are answered one after the other; each takes microseconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "custodian_line.h"
#include "sov_quorum.h"

const char	cmd_quorum_hold_help[] =
	"pg_sovereign quorum-hold - hold a root key that people have joined\n\n"
	"Usage:\n"
	"  pg_sovereign quorum-hold RECORD\n\n"
	"\"pg_sovereign unlock\" runs it; it is not for people.\n";

#define PEERS 64
#define REQUEST_CAP (2 * SOV_KWP_MAX + 16)
#define GATHER_SECONDS 3600

struct hold
{
	struct sov_quorum q;
	char		path[sizeof ((struct sockaddr_un *) 0)->sun_path];
	struct sov_custodian *custodian;	/* NULL: shares are missing */
	uint8_t		(*shares)[SOV_QUORUM_SHARE_LEN];	/* secret memory */
	int			n_shares;
	time_t		last;			/* when one was given, or the start */
	bool		asked,			/* by a holder, ever */
				forget;
	uint8_t    *secret;			/* secret memory, 32 */
	char	   *line;			/* secret memory, CUSTODIAN_LINE */
	char		(*requests)[REQUEST_CAP];	/* secret memory, of each peer */
	size_t		lens[PEERS];
	struct pollfd fds[PEERS + 1];	/* the last one listens */
};

static volatile sig_atomic_t told_to_end;

static void
end_signal(int sig)
{
	told_to_end = sig;
}

static time_t
boot_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec;
}

/* --- shares --- */

static bool
has_share(const struct hold *h, int number)
{
	for (int i = 0; i < h->n_shares; i++)
		if (h->shares[i][11] == number)
			return true;
	return false;
}

static void
tell_status(struct hold *h)
{
	int			len = snprintf(h->line, CUSTODIAN_LINE, h->custodian ? "ok joined" : "ok gathering");

	for (int i = 1; h->custodian == NULL && i <= h->q.n; i++)
		if (has_share(h, i))
			len += snprintf(h->line + len, (size_t) (CUSTODIAN_LINE - len), " %d", i);
	snprintf(h->line + len, (size_t) (CUSTODIAN_LINE - len), "\n");
}

static void
forget_shares(struct hold *h)
{
	sov_wipe(h->shares, SOV_QUORUM_SHARES * SOV_QUORUM_SHARE_LEN);
	h->n_shares = 0;
}

static enum sov_code
join(struct hold *h, struct sov_error *err)
{
	enum sov_code rc = sov_quorum_join(&h->q, (const uint8_t (*)[SOV_QUORUM_SHARE_LEN]) h->shares, h->secret, err);

	if (rc == SOV_OK)
		rc = sov_quorum_custodian(&h->q, h->secret, &h->custodian, err);
	sov_wipe(h->secret, SOV_KEY_LEN);
	forget_shares(h);
	return rc;
}

static enum sov_code
take_share(struct hold *h, const char *hex, struct sov_error *err)
{
	uint8_t    *share = h->shares[h->n_shares];
	char		who[SOV_QUORUM_NAME + 20];
	int			number;
	enum sov_code rc;

	if (h->custodian != NULL)
		return sov_fail(err, SOV_E_STATE, "nothing is left to do", "the root key has been joined already");
	if (strlen(hex) != 2 * SOV_QUORUM_SHARE_LEN || !sov_unhex(share, hex, SOV_QUORUM_SHARE_LEN))
		rc = sov_fail(err, SOV_E_USAGE, NULL, "this request is not of the protocol");
	else
		rc = sov_quorum_check(&h->q, share, &number, err);
	if (rc == SOV_OK && has_share(h, number))
		rc = sov_fail(err, SOV_E_EXISTS, "another holder must give theirs", "the share of %s has been given already", sov_quorum_holder(&h->q, number, who, sizeof who));
	if (rc != SOV_OK)
	{
		sov_wipe(share, SOV_QUORUM_SHARE_LEN);
		return rc;
	}
	h->last = boot_seconds();
	return ++h->n_shares == h->q.k ? join(h, err) : SOV_OK;
}

static enum sov_code
still_gathering(const struct hold *h, struct sov_error *err)
{
	int			missing = h->q.k - h->n_shares;

	return sov_fail(err, SOV_E_KEY, "\"pg_sovereign unlock\", run by each of them as this user", "the root key is with its holders: %d of %d needed shares %s given, %d more must be",
					h->n_shares, h->q.k, h->n_shares == 1 ? "is" : "are", missing);
}

/* --- requests --- */

/* h->line: the request, without its end; becomes the answer. */
static void
serve(struct hold *h)
{
	struct sov_error err;
	enum sov_code rc = SOV_OK;

	sov_error_clear(&err);
	/* (who wants the key may come before the holder for whom this process was started) */
	h->asked |= strcmp(h->line, "status") == 0 || strncmp(h->line, "share ", 6) == 0;
	if (strcmp(h->line, "status") == 0)
		tell_status(h);
	else if (strcmp(h->line, "forget") == 0)
	{
		h->forget = true;
		(void) unlink(h->path);
		sov_custodian_close(h->custodian);
		h->custodian = NULL;
		forget_shares(h);
		snprintf(h->line, CUSTODIAN_LINE, "ok forgotten\n");
	}
	else if (strncmp(h->line, "share ", 6) == 0)
	{
		rc = take_share(h, h->line + 6, &err);
		if (rc == SOV_OK)
			tell_status(h);
	}
	else if (h->custodian != NULL)
		custodian_serve(h->custodian, h->line, h->secret);
	else
		rc = still_gathering(h, &err);
	if (rc != SOV_OK)
		custodian_error(&err, h->line);
}

static void
hang_up(struct hold *h, int i)
{
	close(h->fds[i].fd);
	h->fds[i].fd = -1;
	sov_wipe(h->requests[i], REQUEST_CAP);
	h->lens[i] = 0;
}

/* What a peer has sent; one request at a time is how the protocol goes. */
static void
hear(struct hold *h, int i)
{
	char	   *request = h->requests[i];
	ssize_t		n = recv(h->fds[i].fd, request + h->lens[i], REQUEST_CAP - h->lens[i], MSG_DONTWAIT);
	size_t		len;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	h->lens[i] += n > 0 ? (size_t) n : 0;
	if (n <= 0 || (h->lens[i] == REQUEST_CAP && memchr(request, '\n', REQUEST_CAP) == NULL))
	{
		hang_up(h, i);
		return;
	}
	if (request[h->lens[i] - 1] != '\n')
		return;
	request[h->lens[i] - 1] = '\0';
	memcpy(h->line, request, h->lens[i]);
	sov_wipe(request, h->lens[i]);
	h->lens[i] = 0;
	serve(h);
	len = strlen(h->line);
	if (send(h->fds[i].fd, h->line, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t) len)
		hang_up(h, i);
	sov_wipe(h->line, CUSTODIAN_LINE);
}

static void
welcome(struct hold *h)
{
	struct ucred who;
	socklen_t	len = sizeof who;
	int			fd = accept4(h->fds[PEERS].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (int i = 0; i < PEERS; i++)
		if (h->fds[i].fd < 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == geteuid() || who.uid == 0))
		{
			h->fds[i].fd = fd;
			return;
		}
	close(fd);
}

/* Until told to end, or nothing is there to wait for. */
static void
loop(struct hold *h, const sigset_t *open_signals)
{
	struct timespec minute = {60, 0};
	int			peers;

	do
	{
		peers = 0;
		for (int i = 0; i < PEERS; i++)
			peers += h->fds[i].fd >= 0;
		if (h->custodian == NULL && ((h->asked && peers == 0 && h->n_shares == 0) || boot_seconds() - h->last > GATHER_SECONDS))
			break;
		h->fds[PEERS].events = peers < PEERS ? POLLIN : 0;
		if (ppoll(h->fds, PEERS + 1, &minute, open_signals) <= 0)
			continue;
		for (int i = 0; i < PEERS && !h->forget; i++)
			if (h->fds[i].fd >= 0 && h->fds[i].revents)
				hear(h, i);
		if (h->fds[PEERS].revents)
			welcome(h);
	} while (!told_to_end && !h->forget);
}

/* --- start and end --- */

static enum sov_code
start_listening(struct hold *h, const char *record, struct sov_error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int			lock = open(record, O_RDONLY | O_NOFOLLOW | O_CLOEXEC),
				fd;

	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0)
		return sov_fail_errno(err, errno, NULL, "could not lock record \"%.300s\": another process holds it", record);
	snprintf(a.sun_path, sizeof a.sun_path, "%s", h->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void) unlink(h->path);		/* of one that was killed */
	(void) umask(077);
	if (fd < 0 || bind(fd, (struct sockaddr *) &a, sizeof a) != 0 || listen(fd, 128) != 0)
		return sov_fail_errno(err, errno, "the record's directory must be one that this user may write", "could not listen at \"%s\"", h->path);
	for (int i = 0; i < PEERS; i++)
		h->fds[i] = (struct pollfd) {.fd = -1, .events = POLLIN};
	h->fds[PEERS].fd = fd;
	return SOV_OK;
}

static enum sov_code
prepare(struct hold *h, const char *record, struct sov_error *err)
{
	enum sov_code rc = sov_quorum_record_read(record, &h->q, err);

	if (rc == SOV_OK)
		rc = sov_quorum_socket(record, h->path, sizeof h->path, err);
	if (rc != SOV_OK)
		return rc;
	h->shares = sov_secret_alloc(SOV_QUORUM_SHARES * SOV_QUORUM_SHARE_LEN, err);
	h->secret = sov_secret_alloc(SOV_KEY_LEN, err);
	h->line = sov_secret_alloc(CUSTODIAN_LINE, err);
	h->requests = sov_secret_alloc(PEERS * REQUEST_CAP, err);
	h->last = boot_seconds();
	return h->shares && h->secret && h->line && h->requests ? start_listening(h, record, err) : SOV_E_NOMEM;
}

int
cmd_quorum_hold(int argc, char **argv, const struct cli_context *ctx)
{
	static struct hold h;
	struct sigaction sa = {.sa_handler = end_signal};
	struct sov_error err;
	sigset_t	blocked,
				before;

	if (argc != 2)
		return cli_usage_error("quorum-hold", "\"pg_sovereign unlock\" runs this");
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	signal(SIGHUP, SIG_IGN);
	if (prepare(&h, argv[1], &err) != SOV_OK)
		return cli_report(&err);
	loop(&h, &before);
	if (!h.forget)
		(void) unlink(h.path);
	sov_custodian_close(h.custodian);
	sov_secret_free(h.shares);
	sov_secret_free(h.secret);
	sov_secret_free(h.line);
	sov_secret_free(h.requests);
	return 0;
}
