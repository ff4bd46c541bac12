/*
 * cmd_key.c - makes a root key; tells where keys are and what they are called.  What takes
 * more is in key_split.c, key_rotate.c, key_content.c and key_where.c.
 */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "databases.h"
#include "sov_credential.h"
#include "sov_custodian.h"

const char	cmd_key_help[] =
	"pg_sovereign key - make a root key, tell where keys are\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] key create-root [PATH | URI]\n"
	"  pg_sovereign [-c FILE] key show [--json]\n"
	"  pg_sovereign [-c FILE] key where [--json]\n"
	"  pg_sovereign [-c FILE] key rotate-root NEW-URI\n"
	"  pg_sovereign [-c FILE] key rotate-root --finish\n"
	"  pg_sovereign [-c FILE] key split --shares N --threshold K --holder NAME ...\n"
	"               [--output DIR] [RECORD]\n"
	"  pg_sovereign [-c FILE] key write-only\n"
	"  pg_sovereign [-c FILE] key rotate-content [NEW-URI]\n"
	"  pg_sovereign [-c FILE] key subjects [--adopt] [--from URI]\n\n"
	"create-root  writes a new random root key to PATH (default: the file that \"root\"\n"
	"             in [custody] names), mode 0600, never over an existing file.  Run it\n"
	"             as the user that will use the key (the server's, mostly postgres).\n"
	"             With a URI of an HSM (pkcs11:...) or of a service (vault:...,\n"
	"             kmip:...) the key is made inside it.\n"
	"show         opens the root key and tells its id: a check that it can be used.\n"
	"where        tells where every key is: the root key, each database's keys and who\n"
	"             may use them, the repository's; and which root keys are still needed.\n"
	"rotate-root  changes the root key or its custodian while all goes on: wraps every\n"
	"             key under the new one too; then, when [custody] names the new one,\n"
	"             --finish takes the old one's away.  Also after restoring a backup that\n"
	"             is older than the change.  Can be killed and run again.\n"
	"split        makes a new root key that is on no disk, in N shares for N people, of\n"
	"             whom any K open it (\"pg_sovereign unlock\").  Each share is shown at the\n"
	"             terminal for its holder to write down, or written to a file in DIR.\n"
	"             RECORD (default: that of \"root = quorum:RECORD\") holds no secret.\n"
	"             rotate-root moves what is sealed already under this root key.\n"
	"write-only   seals a repository to a public key, whose private half goes to the\n"
	"             custodian that \"content\" in [custody] names, and takes the content key\n"
	"             of earlier backups out of the hosts' reach.  Afterwards take that line\n"
	"             out on the database host, and write \"host = write-only\" into [repository].\n"
	"rotate-content  makes a new pair: what is stored from then on opens with its private\n"
	"             key alone.  The former private keys, for what was stored before, and the\n"
	"             new one go to the custodian of NEW-URI, or to the present one.\n"
	"subjects     finishes erasures of persons, and puts the current keys of persons into\n"
	"             a database that was restored from before one: see the manual, erasure.\n"
	"             Can be killed and run again.\n\n"
	"Whoever has the root key and enough providers reads everything; whoever loses it\n"
	"has lost everything.  Keep a copy where neither the hoster nor a backup reaches.\n\n"
	"Options:\n"
	"  --json         print JSON\n"
	"  --shares N     2 to 16 shares\n"
	"  --threshold K  how many of them are needed, at least 2\n"
	"  --holder NAME  whose share it is; once for each\n"
	"  --adopt        this server takes the place of the one that it was copied from\n"
	"  --from URI     the keys of epochs are beside URI: make new ones where the\n"
	"                 configuration says, and destroy those\n"
	"  --begin NAME   make the first epoch of this database (the server runs this)\n"
	"  --output DIR   write the shares to files, mode 0600, to be moved to their holders\n";

/* PATH as given, or made absolute, or that of the configuration. */
static enum sov_code
wanted_path(const struct cli_context *ctx, const char *given, struct sov_config *cfg, char *path, size_t cap, struct sov_error *err)
{
	const char *config_file = sov_config_path(ctx->config_option);
	char		cwd[PATH_MAX];
	enum sov_code rc;

	/* A path needs no configuration; but where there is one it is heeded. */
	memset(cfg, 0, sizeof *cfg);
	if (given == NULL || ctx->config_option != NULL || access(config_file, F_OK) == 0)
	{
		rc = sov_config_read(config_file, given ? 0 : SOV_NEED_CUSTODY, cfg, err);
		if (rc != SOV_OK)
			return rc;
	}
	if (given == NULL && strncmp(cfg->root, "file:", 5) != 0)
		return sov_fail(err, SOV_E_USAGE, "pg_sovereign key create-root URI", "[custody] root names no file; give the custodian's URI to make a root key there");
	if (given == NULL && sov_is_credential(cfg->root + strlen("file:")))
		return sov_fail(err, SOV_E_USAGE, "make it in a file, 'pg_sovereign key create-root /FILE', and give it to the units by LoadCredential= or, encrypted, by systemd-creds encrypt",
						"[custody] root names a credential of systemd, which is not made here");
	if (given == NULL)
		snprintf(path, cap, "%s", cfg->root + strlen("file:"));
	else if (given[0] == '/')
		snprintf(path, cap, "%s", given);
	else if (getcwd(cwd, sizeof cwd) == NULL)
		return sov_fail_errno(err, errno, NULL, "could not tell the current directory");
	else
		snprintf(path, cap, "%s/%s", cwd, given);
	if (snprintf(cfg->root, sizeof cfg->root, "file:%s", path) >= (int) sizeof cfg->root)
		return sov_fail(err, SOV_E_USAGE, NULL, "the path is too long");
	return SOV_OK;
}

static int
create_root(const char *given, const struct cli_context *ctx)
{
	struct sov_config cfg;
	struct sov_error err;
	struct passwd *pw = getpwuid(geteuid());
	uint8_t		id[16];
	char		path[1024],
				id_text[37];

	if (wanted_path(ctx, given, &cfg, path, sizeof path, &err) != SOV_OK ||
		sov_custodian_check_place(&cfg, &err) != SOV_OK ||
		sov_custodian_file_create(path, id, &err) != SOV_OK)
		return cli_report(&err);
	sov_uuid_text(id_text, id);
	printf("root key %s\nwritten to %s, for user %s alone\n", id_text, path, pw ? pw->pw_name : "?");
	fflush(stdout);
	if (geteuid() == 0)
		cli_note("a server that runs as another user cannot read it; chown it to that user");
	cli_note("keep a copy of it where neither the hoster nor a backup reaches: without it nothing can be opened");
	return 0;
}

static int
show(const struct sov_config *cfg, bool json)
{
	struct sov_custodian *c = NULL;
	struct sov_error err;
	char		text[1200],
				scheme[20],
				id[37];
	int			status = 0;

	if (sov_custodian_open(cfg->root, &c, &err) != SOV_OK)
		return cli_report(&err);
	c->ops->describe(c, text, sizeof text);
	sov_uuid_text(id, c->root_id);
	snprintf(scheme, sizeof scheme, "%.*s", (int) strcspn(cfg->root, ":"), cfg->root);
	if (json)
		status = cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s?, s:b}", "custodian", scheme,
										  "root", cfg->root, "root_id", id, "description", text,
										  "content", cfg->content[0] ? cfg->content : NULL, "write_only", cfg->write_only));
	else
	{
		printf("%s\nit can be opened by this user\n", text);
		if (cfg->write_only)
			printf("host = write-only: it opens nothing of what the repository holds\n");
	}
	sov_custodian_close(c);
	if (status == 0 && !json && cfg->content[0] != '\0')
		status = key_content_show(cfg);
	return status;
}

/* "pkcs11:...", and no path */
static bool
is_uri(const char *text)
{
	size_t		n = strcspn(text, ":/");

	return n > 1 && text[n] == ':';
}

/* At a custodian that is no file. */
static int
create_root_at(const char *uri)
{
	struct sov_error err;

	if (sov_custodian_create_here(uri, &err) != SOV_OK)
		return cli_report(&err);
	printf("root key made at %s\n", uri);
	return 0;
}

int
cmd_key(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'J'}, {"finish", no_argument, NULL, 'F'}, {"begin", required_argument, NULL, 'B'}, {"adopt", no_argument, NULL, 'A'}, {"from", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	struct sov_config cfg;
	struct sov_error err;
	const char *what,
			   *begin = NULL,
			   *from = NULL;
	bool		json = false,
				finish = false,
				adopt = false,
				rotate;
	int			opt,
				n;

	if (argc > 1 && strcmp(argv[1], "split") == 0)
		return key_split(argc - 1, argv + 1, ctx);
	while ((opt = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (opt == '?')
			return cli_exit_code(SOV_E_USAGE);
		json |= opt == 'J';
		finish |= opt == 'F';
		adopt |= opt == 'A';
		if (opt == 'f')
			from = optarg;
		if (opt == 'B')
			begin = optarg;
	}
	n = argc - optind;
	if (n == 0)
		return cli_usage_error("key", "say what to do: create-root, split, show, where, rotate-root, subjects, write-only or rotate-content");
	what = argv[optind];
	rotate = strcmp(what, "rotate-root") == 0;
	if (strcmp(what, "create-root") == 0 && n == 2 && is_uri(argv[optind + 1]) && !json && !finish)
		return create_root_at(argv[optind + 1]);
	if (strcmp(what, "create-root") == 0 && n <= 2 && !json && !finish)
		return create_root(n == 2 ? argv[optind + 1] : NULL, ctx);
	if (strcmp(what, "subjects") == 0 && n == 1 && !json && !finish)
	{
		if (cli_read_config(ctx, SOV_NEED_CUSTODY | SOV_NEED_PRESETS, &cfg, &err) != SOV_OK)
			return cli_report(&err);
		return key_subjects(&cfg, begin, from, adopt);
	}
	if (begin || adopt || from)
		return cli_usage_error("key", "--begin, --from and --adopt are for \"key subjects\"");
	if (rotate && (json || n != (finish ? 1 : 2)))
		return cli_usage_error("key", "rotate-root takes the new root key's URI, or --finish");
	if (rotate)
	{
		if (cli_read_config(ctx, SOV_NEED_CUSTODY | SOV_NEED_PRESETS, &cfg, &err) != SOV_OK)
			return cli_report(&err);
		return key_rotate(&cfg, finish ? NULL : argv[optind + 1]);
	}
	if (strcmp(what, "write-only") == 0 && n == 1 && !json && !finish)
		return cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) == SOV_OK ? key_write_only(&cfg) : cli_report(&err);
	if (strcmp(what, "rotate-content") == 0 && n <= 2 && !json && !finish)
		return cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) == SOV_OK ? key_content_rotate(&cfg, n == 2 ? argv[optind + 1] : NULL) : cli_report(&err);
	if ((strcmp(what, "show") != 0 && strcmp(what, "where") != 0) || n > 1 || finish)
		return cli_usage_error("key", strcmp(what, "create-root") == 0 || n > 1 ? "too many arguments for \"key %.40s\"" : "there is no \"key %.40s\"", what);
	if (cli_read_config(ctx, SOV_NEED_CUSTODY | SOV_NEED_PRESETS, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	return strcmp(what, "show") == 0 ? show(&cfg, json) : key_where(&cfg, json);
}
