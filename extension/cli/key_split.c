/*
 * key_split.c - a ceremony: a new root key, split among people (sov_quorum.h).
 *
 * The root key is only ever in locked memory.  Shares go to the terminal, one holder
 * after the other, or into files; the record is made last, so that a ceremony that was
 * broken off leaves shares of nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "databases.h"
#include "sov_new_file.h"
#include "sov_custodian.h"
#include "sov_quorum.h"

struct ceremony
{
	struct sov_quorum q;
	uint8_t		(*shares)[SOV_QUORUM_SHARE_LEN];	/* secret memory */
	char	   *text;			/* secret memory, SOV_QUORUM_FILE_MAX */
	char		record[PATH_MAX];
	char		output[PATH_MAX];	/* a directory; "": the terminal */
	bool		made[SOV_QUORUM_SHARES];	/* files of shares */
};

/* --- where shares go --- */

static void
share_path(const struct ceremony *c, int number, char *path, size_t cap)
{
	char		set[17];

	sov_hex(set, c->q.set, 8);
	snprintf(path, cap, "%s/share-%s-%d.txt", c->output, set, number);
}

static enum sov_code
share_to_file(struct ceremony *c, int number, size_t len, struct sov_error *err)
{
	char		path[PATH_MAX + 50];
	enum sov_code rc;

	share_path(c, number, path, sizeof path);
	rc = sov_new_file(path, c->text, len, err);
	c->made[number - 1] = rc == SOV_OK;
	if (rc == SOV_OK)
		printf("share %d, for %s: %s\n", number, c->q.holders[number - 1].name, path);
	return rc;
}

static bool
put(int tty, const char *text, size_t len)
{
	return write(tty, text, len) == (ssize_t) len;
}

/* The holder alone looks at it; then the screen, and what scrolled off it, is cleared. */
static enum sov_code
share_to_terminal(struct ceremony *c, int number, size_t len, struct sov_error *err)
{
	static const char clear[] = "\033[H\033[2J\033[3J";
	const char *rows = strstr(c->text, "\nrows ");
	int			tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	char		in = 0;
	bool		good;

	if (tty < 0)
		return sov_fail(err, SOV_E_USAGE, "run this at a terminal, or give --output DIR", "there is no terminal to show the shares at");
	dprintf(tty, "%sThe next share is for %s alone.  Press Enter when nobody else can see this.", clear, c->q.holders[number - 1].name);
	while (read(tty, &in, 1) == 1 && in != '\n')
		;
	dprintf(tty, "%sShare %d of %d of a root key of pg_sovereign; any %d open it.  Made %s.\n\n", clear, number, c->q.n, c->q.k, c->q.made);
	good = put(tty, rows + 1, len - (size_t) (rows + 1 - c->text));
	dprintf(tty, "\nWrite the rows down.  Press Enter when that is done.");
	in = 0;
	while (read(tty, &in, 1) == 1 && in != '\n')
		;
	dprintf(tty, "%s", clear);
	close(tty);
	return good && in == '\n' ? SOV_OK : sov_fail(err, SOV_E_SYSTEM, "begin again: no share of this ceremony is of use", "the terminal went away before all shares were shown");
}

static enum sov_code
hand_out(struct ceremony *c, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;
	size_t		len;

	for (int i = 1; rc == SOV_OK && i <= c->q.n; i++)
	{
		rc = sov_quorum_file_text(&c->q, i, c->shares[i - 1], c->text, &len, err);
		if (rc == SOV_OK)
			rc = c->output[0] ? share_to_file(c, i, len, err) : share_to_terminal(c, i, len, err);
		sov_wipe(c->text, SOV_QUORUM_FILE_MAX);
	}
	return rc;
}

/* Nothing is sealed under this root key. */
static void
take_back(struct ceremony *c)
{
	char		path[PATH_MAX + 50];

	for (int i = 1; i <= c->q.n; i++)
		if (c->made[i - 1])
		{
			share_path(c, i, path, sizeof path);
			(void) unlink(path);
		}
}

/* --- the request --- */

static enum sov_code
absolute(const char *given, char *path, struct sov_error *err)
{
	char		cwd[PATH_MAX] = "";

	if (given[0] != '/' && getcwd(cwd, sizeof cwd) == NULL)
		return sov_fail_errno(err, errno, NULL, "could not tell the current directory");
	if (snprintf(path, PATH_MAX, "%s%s%s", cwd, given[0] == '/' ? "" : "/", given) >= PATH_MAX)
		return sov_fail(err, SOV_E_USAGE, NULL, "the path is too long");
	return SOV_OK;
}

/* Refuse shares in a place that a hoster or a backup reaches. */
static enum sov_code
check_place(const struct ceremony *c, struct sov_config *cfg, struct sov_error *err)
{
	if (c->output[0] == '\0')
		return SOV_OK;
	if (snprintf(cfg->root, sizeof cfg->root, "file:%s/share", c->output) >= (int) sizeof cfg->root)
		return sov_fail(err, SOV_E_USAGE, NULL, "the path is too long");
	return sov_custodian_check_place(cfg, err) == SOV_OK ? SOV_OK : sov_error_prefix(err, "--output");
}

/* RECORD as given, or that of the configuration, which is heeded where there is one. */
static enum sov_code
prepare(struct ceremony *c, const char *given, const char *output, const struct cli_context *ctx, struct sov_error *err)
{
	static struct sov_config cfg;
	const char *config_file = sov_config_path(ctx->config_option),
			   *record = given;
	char		uri[PATH_MAX + 16];
	enum sov_code rc = SOV_OK;

	if (given == NULL || ctx->config_option != NULL || access(config_file, F_OK) == 0)
		rc = sov_config_read(config_file, given ? 0 : SOV_NEED_CUSTODY, &cfg, err);
	if (rc == SOV_OK && given == NULL)
	{
		if (strncmp(cfg.root, SOV_QUORUM_SCHEME ":", sizeof SOV_QUORUM_SCHEME) != 0)
			return sov_fail(err, SOV_E_USAGE, "pg_sovereign key split --shares 5 --threshold 3 --holder NAME ... RECORD", "[custody] root names no record (quorum:); give the record's path");
		rc = sov_quorum_uri(cfg.root, &record, err);
	}
	if (rc == SOV_OK)
		rc = absolute(record, c->record, err);
	if (rc == SOV_OK && output != NULL)
		rc = absolute(output, c->output, err);
	if (rc == SOV_OK)
	{
		snprintf(uri, sizeof uri, SOV_QUORUM_SCHEME ":%s", c->record);
		rc = sov_quorum_uri(uri, &record, err);
	}
	if (rc == SOV_OK && access(c->record, F_OK) == 0)
		rc = sov_fail(err, SOV_E_EXISTS, "keep it: its holders' shares are of no use without it; to make another root key give another path", "record \"%.300s\" exists already", c->record);
	if (rc == SOV_OK)
		rc = check_place(c, &cfg, err);
	if (rc != SOV_OK)
		return rc;
	c->shares = sov_secret_alloc(SOV_QUORUM_SHARES * SOV_QUORUM_SHARE_LEN, err);
	c->text = sov_secret_alloc(SOV_QUORUM_FILE_MAX, err);
	return c->shares && c->text ? SOV_OK : SOV_E_NOMEM;
}

static enum sov_code
hold_ceremony(struct ceremony *c, struct sov_error *err)
{
	char		id[37];
	size_t		len = 0;
	enum sov_code rc = sov_quorum_split(&c->q, c->shares, err);

	if (rc == SOV_OK)
		rc = hand_out(c, err);
	if (rc == SOV_OK)
		rc = sov_quorum_record_text(&c->q, c->text, &len, err);
	if (rc == SOV_OK)
		rc = sov_new_file(c->record, c->text, len, err);
	if (rc != SOV_OK)
	{
		take_back(c);
		return rc;
	}
	sov_uuid_text(id, c->q.root_id);
	printf("root key %s, split among %d holders, of whom any %d open it\nits record: %s\n"
		   "to use it: root = " SOV_QUORUM_SCHEME ":%s in [custody]; then each holder runs \"pg_sovereign unlock\"\n", id, c->q.n, c->q.k, c->record, c->record);
	fflush(stdout);
	if (c->output[0])
		cli_note("move each share to its holder now and delete it here: whoever has %d of these files has the root key", c->q.k);
	cli_note("have the holders unlock once, before anything is sealed under it");
	return SOV_OK;
}

int
key_split(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"shares", required_argument, NULL, 'n'}, {"threshold", required_argument, NULL, 'k'},
		{"holder", required_argument, NULL, 'h'}, {"output", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
	static struct ceremony c;
	struct sov_error err;
	const char *output = NULL;
	long		n = 0,
				k = 0;
	int			opt,
				names = 0;
	enum sov_code rc;

	while ((opt = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (opt == '?' || (opt == 'n' && !cli_number("key", "--shares", optarg, 2, SOV_QUORUM_SHARES, &n)) ||
			(opt == 'k' && !cli_number("key", "--threshold", optarg, 2, SOV_QUORUM_SHARES, &k)))
			return cli_exit_code(SOV_E_USAGE);
		if (opt == 'o')
			output = optarg;
		if (opt == 'h' && (names == SOV_QUORUM_SHARES || !sov_quorum_name(optarg)))
			return cli_usage_error("key", "a holder's name is plain text of fewer than %d bytes, and there are at most %d", SOV_QUORUM_NAME, SOV_QUORUM_SHARES);
		if (opt == 'h')
			snprintf(c.q.holders[names++].name, SOV_QUORUM_NAME, "%s", optarg);
	}
	if (n == 0 || k == 0 || k > n || names != n)
		return cli_usage_error("key", "split needs --shares N, --threshold K (2 to N), and --holder NAME once for each of the N shares (there are %d)", names);
	if (argc - optind > 1)
		return cli_usage_error("key", "too many arguments for \"key split\"");
	c.q.n = (int) n;
	c.q.k = (int) k;
	rc = prepare(&c, optind < argc ? argv[optind] : NULL, output, ctx, &err);
	if (rc == SOV_OK)
		rc = hold_ceremony(&c, &err);
	sov_secret_free(c.shares);
	sov_secret_free(c.text);
	return rc == SOV_OK ? 0 : cli_report(&err);
}
