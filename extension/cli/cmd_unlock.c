/*
 * cmd_unlock.c - a holder of a split root key gives their share (sov_quorum.h).
 *
 * Each holder runs it, at their own terminal if they like.  The first one starts the
 * process that gathers the shares; the last one that is needed makes it join them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "sov_audit.h"
#include "sov_custodian.h"
#include "sov_quorum.h"

const char	cmd_unlock_help[] =
	"pg_sovereign unlock - give a share of a split root key, or undo \"pg_sovereign lock\"\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] unlock [--share FILE]\n"
	"  pg_sovereign [-c FILE] unlock --status\n"
	"  pg_sovereign [-c FILE] unlock --forget\n"
	"  pg_sovereign [-c FILE] unlock --server\n\n"
	"For root = quorum:RECORD in [custody].  Each holder runs it once, as the user that\n"
	"uses the key (the server's, mostly postgres), on the host that needs the key, and\n"
	"types the five rows of their share, which are not shown.  A wrong, damaged or other\n"
	"ceremony's share is named.  When enough shares have been given they are joined in\n"
	"the locked memory of a process that wraps and unwraps for server and command; the\n"
	"root key is on no disk, and gone when the host restarts.  Shares that stay too few\n"
	"are forgotten after an hour.\n\n"
	"Options:\n"
	"  --share FILE  take the share from its file (mode 0600)\n"
	"  --status      tell whether the root key is joined, and whose share is missing\n"
	"  --forget      forget the root key, or the shares given so far; servers lose their\n"
	"                keys when they next ask (renew in [custody])\n"
	"  --server      let the server borrow keys again after \"pg_sovereign lock\", whatever\n"
	"                custodian it has; connects as that does\n";

#define TRIES 3

struct unlock
{
	struct sov_config cfg;
	const char *record;			/* its path */
	struct sov_quorum q;
	int			fd;
	char	   *line;			/* secret memory, SOV_CUSTODIAN_LINE */
	uint8_t    *share;			/* secret memory */
	int			number;			/* of the share */
};

/* --- the process that gathers --- */

static enum sov_code
start_process(struct unlock *u, struct sov_error *err)
{
	char		folder[PATH_MAX];
	enum sov_code rc = SOV_E_NOTFOUND;

	snprintf(folder, sizeof folder, "%.*s", (int) (strrchr(u->record, '/') - u->record) + 1, u->record);
	if (access(folder, W_OK) != 0)
		return sov_fail(err, SOV_E_KEY, "chown it to the user that uses the key, or put the record into a directory of that user", "a socket is made beside the record, but this user may not write in \"%.300s\"", folder);
	cli_detach(&u->cfg, "quorum-hold", u->record, NULL);
	for (int i = 0; i < 100 && rc == SOV_E_NOTFOUND; i++)
	{
		(void) poll(NULL, 0, 50);
		rc = sov_quorum_connect(u->record, &u->fd, err);
	}
	if (rc == SOV_E_NOTFOUND)
		rc = sov_fail(err, SOV_E_SYSTEM, "run \"pg_sovereign quorum-hold RECORD\" in the foreground: it says why", "the process that gathers the shares did not start");
	return rc;
}

static enum sov_code
ask(struct unlock *u, char **value, struct sov_error *err)
{
	return sov_quorum_ask(&u->fd, u->line, value, err);
}

/* "joined", or "gathering 1 3", for people; wipes it. */
static void
tell(struct unlock *u, char *status)
{
	char		who[SOV_QUORUM_NAME + 20];
	bool		given[SOV_QUORUM_SHARES + 1] = {false};
	int			n = 0;
	char	   *word,
			   *save = NULL;

	if (strcmp(status, "joined") == 0)
	{
		printf("the root key is joined: server and command can use it\n");
		return;
	}
	for (word = strtok_r(status, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
	{
		int			i = atoi(word);

		if (i >= 1 && i <= u->q.n && !given[i])
		{
			given[i] = true;
			n++;
		}
	}
	printf("%d of %d needed shares %s given, %d more must be; not yet given:", n, u->q.k, n == 1 ? "is" : "are", u->q.k - n);
	for (int i = 1, first = 1; i <= u->q.n; i++)
		if (!given[i])
		{
			printf("%s %s", first ? "" : ",", sov_quorum_holder(&u->q, i, who, sizeof who));
			first = 0;
		}
	printf("\n");
}

/* --- the share --- */

static enum sov_code
share_of_file(struct unlock *u, const char *path, struct sov_error *err)
{
	char	   *text = sov_secret_alloc(SOV_QUORUM_FILE_MAX + 1, err);
	int			fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t		len = 0;
	ssize_t		n;
	enum sov_code rc = text ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && (fd < 0 || fstat(fd, &st) != 0))
		rc = sov_fail(err, SOV_E_KEY, "it must be a file that this user may read", "could not open share \"%.300s\": %s", path, strerror(errno));
	else if (rc == SOV_OK && (!S_ISREG(st.st_mode) || (st.st_mode & 077)))
		rc = sov_fail(err, SOV_E_KEY, "chmod 0600 it; if others may have read it, let the holders know", "share \"%.300s\" is no file, or one that others may read", path);
	while (rc == SOV_OK && len <= SOV_QUORUM_FILE_MAX && (n = read(fd, text + len, SOV_QUORUM_FILE_MAX + 1 - len)) != 0)
		if (n > 0)
			len += (size_t) n;
		else if (errno != EINTR)
			rc = sov_fail_errno(err, errno, NULL, "could not read share \"%.300s\"", path);
	if (rc == SOV_OK && len > SOV_QUORUM_FILE_MAX)
		rc = sov_fail(err, SOV_E_FORMAT, "give the file of a share", "\"%.300s\" is too long to be a share", path);
	if (rc == SOV_OK && sov_quorum_file_parse(text, len, u->share, err) != SOV_OK)
		rc = sov_error_prefix(err, "share \"%.300s\"", path);
	if (fd >= 0)
		close(fd);
	sov_secret_free(text);
	return rc;
}

static enum sov_code
ask_row(int row, uint8_t bytes[10], char *text, size_t cap, struct sov_error *err)
{
	char		what[40];
	enum sov_code rc = SOV_E_FORMAT;

	snprintf(what, sizeof what, "row %d of %d", row, SOV_QUORUM_ROWS);
	for (int i = 0; i < TRIES && rc == SOV_E_FORMAT; i++)
	{
		rc = sov_custodian_read_secret(NULL, what, text, cap, err);
		if (rc == SOV_OK)
			rc = sov_quorum_row_parse(row, text, bytes, err);
		if (rc == SOV_E_FORMAT)
			cli_note("%s", err->message);
	}
	return rc;
}

static enum sov_code
share_of_terminal(struct unlock *u, struct sov_error *err)
{
	char	   *text = sov_secret_alloc(100, err);
	uint8_t		(*bytes)[10] = sov_secret_alloc(SOV_QUORUM_ROWS * 10, err);
	enum sov_code rc = text && bytes ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		cli_note("type the rows of your share, without their numbers; nothing is shown");
	for (int r = 0; rc == SOV_OK && r < SOV_QUORUM_ROWS; r++)
		rc = ask_row(r + 1, bytes[r], text, 100, err);
	if (rc == SOV_OK)
		rc = sov_quorum_rows_join((const uint8_t (*)[10]) bytes, u->share, err);
	sov_secret_free(bytes);
	sov_secret_free(text);
	return rc;
}

static enum sov_code
give(struct unlock *u, const char *file, struct sov_error *err)
{
	char	   *status,
				who[SOV_QUORUM_NAME + 20];
	enum sov_code rc = sov_quorum_connect(u->record, &u->fd, err);

	if (rc == SOV_E_NOTFOUND)
		rc = start_process(u, err);
	if (rc != SOV_OK)
		return rc;
	snprintf(u->line, SOV_CUSTODIAN_LINE, "status\n");
	rc = ask(u, &status, err);
	if (rc == SOV_OK && strcmp(status, "joined") == 0)
	{
		tell(u, status);
		return SOV_OK;
	}
	if (rc == SOV_OK)
		rc = file ? share_of_file(u, file, err) : share_of_terminal(u, err);
	if (rc == SOV_OK)
		rc = sov_quorum_check(&u->q, u->share, &u->number, err);
	if (rc != SOV_OK)
		return rc;
	memcpy(u->line, "share ", 6);
	sov_hex(u->line + 6, u->share, SOV_QUORUM_SHARE_LEN);
	memcpy(u->line + 6 + 2 * SOV_QUORUM_SHARE_LEN, "\n", 2);
	rc = ask(u, &status, err);
	(void) sov_quorum_holder(&u->q, u->number, who, sizeof who);
	cli_audit(&u->cfg, NULL, SOV_AUDIT_LEASE, rc, "unlock: the share of %s%s", who, rc == SOV_OK && strcmp(status, "joined") == 0 ? ", by which the root key is joined" : "");
	if (rc != SOV_OK)
		return rc;
	printf("taken: the share of %s\n", who);
	tell(u, status);
	return SOV_OK;
}

/* --- the command --- */

/* With no process there is nothing to forget, and no share given. */
static enum sov_code
request(struct unlock *u, bool forget, struct sov_error *err)
{
	char		none[] = "gathering",
			   *answer = none;
	enum sov_code rc = sov_quorum_connect(u->record, &u->fd, err);

	if (rc == SOV_OK)
	{
		snprintf(u->line, SOV_CUSTODIAN_LINE, forget ? "forget\n" : "status\n");
		rc = ask(u, &answer, err);
	}
	else if (rc == SOV_E_NOTFOUND)
		rc = SOV_OK;
	if (forget)
		cli_audit(&u->cfg, NULL, SOV_AUDIT_LEASE, rc, "unlock --forget");
	if (rc == SOV_OK && forget)
		printf("no process of this host holds the root key any more\n");
	else if (rc == SOV_OK)
		tell(u, answer);
	return rc;
}

static enum sov_code
prepare(struct unlock *u, const struct cli_context *ctx, struct sov_error *err)
{
	enum sov_code rc = cli_read_config(ctx, SOV_NEED_CUSTODY, &u->cfg, err);

	if (rc == SOV_OK && strncmp(u->cfg.root, SOV_QUORUM_SCHEME ":", sizeof SOV_QUORUM_SCHEME) != 0)
		rc = sov_fail(err, SOV_E_STATE, "\"pg_sovereign key split\" makes a root key that is; \"pg_sovereign unlock --server\" gives a locked server its keys back", "[custody] root names no key that is split among people (quorum:)");
	if (rc == SOV_OK)
		rc = sov_quorum_uri(u->cfg.root, &u->record, err);
	if (rc == SOV_OK)
		rc = sov_quorum_record_read(u->record, &u->q, err);
	if (rc != SOV_OK)
		return rc;
	u->fd = -1;
	u->line = sov_secret_alloc(SOV_CUSTODIAN_LINE, err);
	u->share = sov_secret_alloc(SOV_QUORUM_SHARE_LEN, err);
	return u->line && u->share ? SOV_OK : SOV_E_NOMEM;
}

int
cmd_unlock(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"share", required_argument, NULL, 's'}, {"status", no_argument, NULL, 'S'}, {"forget", no_argument, NULL, 'F'}, {"server", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	static struct unlock u;
	struct sov_error err;
	const char *file = NULL;
	bool		status = false,
				forget = false,
				server = false;
	int			opt;
	enum sov_code rc;

	while ((opt = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (opt == '?')
			return cli_exit_code(SOV_E_USAGE);
		if (opt == 's')
			file = optarg;
		status |= opt == 'S';
		forget |= opt == 'F';
		server |= opt == 'V';
	}
	if (optind < argc)
		return cli_usage_error("unlock", "\"%.40s\" is one argument too many", argv[optind]);
	if (status + forget + server + (file != NULL) > 1)
		return cli_usage_error("unlock", "give one of --share, --status, --forget and --server");
	if (server)
		return cli_lock_server(ctx, false);
	rc = prepare(&u, ctx, &err);
	if (rc == SOV_OK)
		rc = status || forget ? request(&u, forget, &err) : give(&u, file, &err);
	if (u.fd >= 0)
		close(u.fd);
	sov_secret_free(u.line);
	sov_secret_free(u.share);
	return rc == SOV_OK ? 0 : cli_report(&err);
}
