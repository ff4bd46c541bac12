/*
 * config - what the configuration file accepts, and that each mistake is told
 * with file, line and what to do.
 */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sov_config.h"
#include "sov_text.h"
#include "sov_vendor.h"
#include "tap.h"

#define ALL (SOV_NEED_CUSTODY | SOV_NEED_REPOSITORY | SOV_NEED_CLUSTER)

static char dir[256];			/* a throwaway directory */
static char file[300];

static struct sov_config cfg;
static struct sov_error err;

static enum sov_code
read_text(const char *text, size_t len, int need)
{
	FILE	   *f = fopen(file, "w");

	fwrite(text, 1, len, f);
	fclose(f);
	chmod(file, 0644);
	sov_error_clear(&err);
	return sov_config_read(file, need, &cfg, &err);
}

/* One mistake: the message names file and line, and both texts occur. */
static void
mistake(const char *what, int line, const char *message, const char *hint, int need, const char *text)
{
	char		where[400];
	enum sov_code rc = read_text(text, strlen(text), need);
	bool		good;

	snprintf(where, sizeof where, line ? "%s:%d: " : "%s: ", file, line);
	good = rc == SOV_E_CONFIG && err.code == SOV_E_CONFIG &&
		strncmp(err.message, where, strlen(where)) == 0 &&
		strstr(err.message, message) != NULL && strstr(err.hint, hint) != NULL && err.hint[0] != '\0';
	ok(good, "%s", what);
	if (!good)
		printf("# code %d, message: %s\n# hint: %s\n# expected %s ... %s\n# hint ... %s\n", rc, err.message, err.hint, where, message, hint);
}

#define R "[repository]\nname = main\nneeded = 2\nshards = 3\n" /* lines 1 to 4 */
#define C "[custody]\nroot = file:/etc/pg_sovereign/root.key\n"
#define P(n) "[provider." n "]\ntype = folder\npath = /srv/" n "\n"
#define P3 P("a") P("b") P("c")
#define D "[cluster]\ndata-directory = /var/lib/postgresql/15/main\n"

static void
accepted(void)
{
	const char *full =
		"\xEF\xBB\xBF# comment\n; another\n[cluster]\ndata-directory = /var/lib/postgresql/15/main/\n"
		"connection = host=/run/postgresql dbname=postgres\n\n"
		"[repository] ; comment\nname = entrepot-sante\n  needed = 2\nshards=3\nspool-limit = 2 GB\ncompress-level = 3\n"
		"state-directory = /var/lib/x\r\n"
		"controller = sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
		"[custody]\nroot = file:/etc/k ; comment\n" P3
		"[provider.old]\ntype = folder\npath = /srv/old\nstate = drain\n";
	char		text[4000],
				path[1001];

	ok_rc(read_text(full, strlen(full), ALL), err, "a full file is read");
	ok(strcmp(cfg.data_directory, "/var/lib/postgresql/15/main") == 0, "a slash at the end of a path goes");
	ok(strcmp(cfg.connection, "host=/run/postgresql dbname=postgres") == 0, "connection");
	ok(strcmp(cfg.repo_name, "entrepot-sante") == 0 && cfg.needed == 2 && cfg.shards == 3, "repository");
	ok(cfg.spool_limit == (uint64_t) 2 << 30 && cfg.compress_level == 3, "size with a unit");
	ok(strcmp(cfg.state_directory, "/var/lib/x") == 0, "carriage return goes");
	ok(strcmp(cfg.root, "file:/etc/k") == 0 && cfg.root_line == 16, "root, without the comment, and its line");
	ok(cfg.n_providers == 4 && cfg.providers[3].state == SOV_PROVIDER_DRAIN && cfg.providers[0].state == SOV_PROVIDER_ACTIVE, "a drained provider does not count as a shard");
	ok(cfg.providers[1].line == 20, "a provider knows its line");

	ok_rc(read_text(R C P3, strlen(R C P3), SOV_NEED_REPOSITORY), err, "a minimal repository");
	ok(strcmp(cfg.state_directory, "/var/lib/pg_sovereign/main") == 0 && cfg.spool_limit == 1 << 30 && cfg.compress_level == 1 && cfg.connection[0] == '\0', "defaults");
	ok_rc(read_text(C, strlen(C), SOV_NEED_CUSTODY), err, "columns need [custody] only");
	ok_rc(read_text(R C P("a"), strlen(R C P("a")), SOV_NEED_CUSTODY), err, "columns do not mind a list of providers under change");
	ok_rc(read_text("", 0, 0), err, "an empty file, when nothing is needed");
	ok_rc(read_text("[custody]\nroot = file:/x", 24, SOV_NEED_CUSTODY), err, "no newline at the end");
	memset(path, 'p', sizeof path);
	path[0] = '/';
	path[1000] = '\0';
	snprintf(text, sizeof text, C "[cluster]\ndata-directory = %s\n", path);
	ok(read_text(text, strlen(text), SOV_NEED_CLUSTER) == SOV_OK && strcmp(cfg.data_directory, path) == 0, "a path of 1000 bytes is kept whole");
}

static void
line_mistakes(void)
{
	char		text[6000];

	mistake("unknown section, near", 1, "[repositry]", "did you mean [repository]?", 0, "[repositry]\n");
	mistake("unknown section, far", 2, "unknown section [zebra]", "[provider.NAME]", 0, "\n[zebra]\nx = 1\n");
	mistake("policy: a jurisdiction in words", 2, "jurisdiction = Europe", "EU, EEA", 0, "[policy]\njurisdiction = Europe\n");
	mistake("policy: a list that is none", 2, "not-reached-by = US CN", "commas", 0, "[policy]\nnot-reached-by = US CN\n");
	mistake("policy: a certification that nobody has", 2, "require = hsd", "hds, secnumcloud", 0, "[policy]\nrequire = hsd\n");
	mistake("policy: a number that is none", 2, "max-shards-per-parent = k-2", "k-1", 0, "[policy]\nmax-shards-per-parent = k-2\n");
	mistake("policy: an unknown rule", 2, "unknown name \"jurisdictoin\" in section [policy]", "did you mean \"jurisdiction\"?", 0, "[policy]\njurisdictoin = EU\n");
	mistake("what a section states has a form", 2, "seat = France", "two capital letters", 0, "[provider.a]\nseat = France\n");
	mistake("provider without a name", 1, "no name", "[provider.NAME]", 0, "[provider]\n");
	mistake("provider with an empty name", 1, "not allowed", "a-z", 0, "[provider.]\n");
	mistake("provider with a bad name", 1, "\"Paris\"", "a-z", 0, "[provider.Paris]\n");
	mistake("provider with a slash", 1, "not allowed", "a-z", 0, "[provider.a/../b]\n");
	mistake("provider with a long name", 1, "not allowed", "1 to 40", 0, "[provider.aaaaaaaaaabbbbbbbbbbccccccccccddddddddddx]\n");
	mistake("provider twice", 4, "line 1", "a name of its own", 0, P("a") P("a"));
	mistake("section twice", 3, "line 1", "one section", 0, C C);
	mistake("empty section twice", 2, "line 1", "one section", 0, "[custody]\n[custody]\n");
	mistake("unknown name, near", 5, "\"spool_limit\"", "did you mean \"spool-limit\"?", 0, R "spool_limit = 1GB\n");
	mistake("unknown name, misspelt", 2, "\"neded\"", "did you mean \"needed\"?", 0, "[repository]\nneded = 2\n");
	mistake("unknown name, far", 2, "\"zzz\"", "names of this section are preset, account, operator", 0, "[provider.a]\nzzz = 2\n");
	mistake("name in the wrong section", 2, "\"root\"", "[custody]", 0, "[repository]\nroot = file:/x\n");
	mistake("name twice", 3, "line 2", "keep one", 0, "[repository]\nneeded = 2\nneeded = 3\n");
	mistake("name twice in a provider", 3, "line 2", "keep one", 0, "[provider.a]\npath = /a\npath = /b\n");
	mistake("value before any section", 1, "before any section", "section", 0, "needed = 2\n");
	mistake("not a line of any kind", 2, "not understood", "name = value", 0, "[repository]\nneeded\n");
	mistake("bracket missing", 1, "missing", "bracket", 0, "[repository\n");
	mistake("text after a section", 1, "follows", "lines of their own", 0, "[repository] needed = 2\n");
	mistake("no value", 2, "no value", "take the line out", 0, "[repository]\nneeded =\n");
	mistake("relative path", 2, "absolute", "beginning with /", 0, "[cluster]\ndata-directory = main\n");
	mistake("quoted path", 2, "absolute", "without quotes", 0, "[cluster]\ndata-directory = \"/main\"\n");
	mistake("a comment taken for a path", 2, "\"data-directory\" has a \"#\"", "begins with \";\"", 0, "[cluster]\ndata-directory = /main # mine\n");
	mistake("a comment taken for a key", 2, "\"root\" has a \"#\"", "begins with \";\"", 0, "[custody]\nroot = file:/root.key\t# mine\n");
	mistake("a comment taken for a setting", 2, "\"bucket\" has a \"#\"", "begins with \";\"", 0, "[provider.a]\nbucket = b # mine\n");
	mistake("not a number", 2, "needed = two", "from 1 to 16", 0, "[repository]\nneeded = two\n");
	mistake("needed 0", 2, "needed = 0", "from 1 to 16", 0, "[repository]\nneeded = 0\n");
	mistake("shards 17", 2, "shards = 17", "from 1 to 16", 0, "[repository]\nshards = 17\n");
	mistake("a number that overflows", 2, "not allowed", "from 1 to 16", 0, "[repository]\nshards = 99999999999999999999\n");
	mistake("bad size", 2, "not a size", "GB", 0, "[repository]\nspool-limit = 3 pounds\n");
	mistake("size that overflows", 2, "not a size", "GB", 0, "[repository]\nspool-limit = 99999999999TB\n");
	mistake("bad level", 2, "compress-level = 99", "from 1 to 19", 0, "[repository]\ncompress-level = 99\n");
	mistake("bad state", 2, "state = off", "drain", 0, "[provider.a]\nstate = off\n");
	mistake("bad repository name", 2, "Main", "a-z", 0, "[repository]\nname = Main\n");
	mistake("quoted repository name", 2, "not allowed", "not quoted", 0, "[repository]\nname = \"main\"\n");
	mistake("bad fingerprint", 2, "fingerprint", "sha256:", 0, "[repository]\ncontroller = sha256:12\n");
	mistake("root without a custodian", 2, "custodian", "file:/etc", 0, "[custody]\nroot = /etc/key\n");
	mistake("root with a relative path", 2, "absolute", "file:/etc", 0, "[custody]\nroot = file:key\n");
	mistake("an unknown custodian", 2, "no custodian \"paper\"", "pkcs11:", 0, "[custody]\nroot = paper:x\n");
	mistake("a PIN in the configuration", 2, "holds a PIN", "pin-source", 0, "[custody]\nroot = pkcs11:token=x;object=root?pin-value=1234\n");
	mistake("a token in the configuration", 2, "not known", "token-file", 0, "[custody]\nroot = vault:https://h:8200/transit/keys/x?token=hvs.x\n");
	mistake("Vault without TLS", 2, "https", "https://", 0, "[custody]\nroot = vault:http://h:8200/transit/keys/x?token-file=/t\n");
	mistake("Vault without a token", 2, "token-file", "token-file=/", 0, "[custody]\nroot = vault:https://h:8200/transit/keys/x\n");
	mistake("Vault without a key", 2, "MOUNT/keys/NAME", "transit/keys/", 0, "[custody]\nroot = vault:https://h:8200/transit/x?token-file=/t\n");
	mistake("Vault with a key that climbs", 2, "MOUNT/keys/NAME", "transit/keys/", 0, "[custody]\nroot = vault:https://h/a/../keys/x?token-file=/t\n");
	mistake("KMIP without a certificate", 2, "cert-file", "key-file=/", 0, "[custody]\nroot = kmip:h:5696/x?key-file=/k\n");
	mistake("KMIP with a token", 2, "not known", "cert-file=/", 0, "[custody]\nroot = kmip:h:5696/x?cert-file=/c&key-file=/k&token-file=/t\n");
	mistake("KMIP without a host", 2, "no host", "kmip:kms", 0, "[custody]\nroot = kmip:/x?cert-file=/c&key-file=/k\n");
	mistake("a program with a relative path", 2, "absolute", "file:/etc", 0, "[custody]\nroot = command:keys\n");

	memset(text, 'x', sizeof text);
	memcpy(text, "[cluster]\nconnection = ", 23);
	text[sizeof text - 2] = '\n';
	ok(read_text(text, sizeof text - 1, 0) == SOV_E_CONFIG && strstr(err.message, ":2: line is longer") != NULL, "a line too long");
	text[1500] = '\n';
	ok(read_text(text, 1501, 0) == SOV_E_CONFIG && strstr(err.message, ":2: \"connection\" is longer") != NULL, "a value too long");
	ok(read_text("[custody]\nroot = file:/\0x\n", 26, 0) == SOV_E_CONFIG && strstr(err.message, ":2: line holds a control") != NULL, "a NUL byte");
}

static void
whole_mistakes(void)
{
	char		text[4000] = "";
	int			i;

	mistake("too few providers", 4, "shards = 3, but 2 providers are active", "either set shards = 2, or add 1 active provider", SOV_NEED_REPOSITORY, R C P("a") P("b"));
	mistake("too many providers", 4, "4 providers are active", "either set shards = 4, or drain 1 active provider", SOV_NEED_REPOSITORY, R C P3 P("d"));
	mistake("one provider for two needed", 4, "1 provider is active", "lower both", SOV_NEED_REPOSITORY, R C P("a"));
	mistake("a drained one does not count", 4, "2 providers are active", "does not count", SOV_NEED_REPOSITORY, R C P3 "state = drain\n");
	mistake("needed more than shards", 3, "needed = 4 is more than shards = 3", "lower", SOV_NEED_REPOSITORY, "[repository]\nname = m\nneeded = 4\nshards = 3\n" C P3);
	mistake("no shards", 1, "no \"shards\"", "any two suffice", SOV_NEED_REPOSITORY, "[repository]\nname = m\nneeded = 4\n" C P3);
	mistake("no needed", 1, "no \"needed\"", "any two suffice", SOV_NEED_REPOSITORY, "[repository]\nname = m\nshards = 3\n" C P3);
	mistake("no name", 1, "no \"name\"", "name = main", SOV_NEED_REPOSITORY, "[repository]\nneeded = 2\nshards = 3\n" C P3);
	mistake("no [repository]", 0, "no section [repository]", "add section", SOV_NEED_REPOSITORY, C P3);
	mistake("no [custody]", 0, "no custodian", "[custody]", SOV_NEED_CUSTODY, R P3);
	mistake("[custody] without root", 1, "no custodian", "root = file:", SOV_NEED_CUSTODY, "[custody]\n");
	mistake("no [cluster]", 0, "no cluster", "data-directory", SOV_NEED_CLUSTER, R C P3);
	mistake("provider without type", 7, "no \"type\"", "type = folder", SOV_NEED_REPOSITORY, R C "[provider.a]\npath = /srv/x\n" P("b") P("c"));
	mistake("provider of a misspelt type", 7, "unknown type \"foldr\"", "did you mean \"type = folder\"?", SOV_NEED_REPOSITORY, R C "[provider.a]\npath = /srv/x\ntype = foldr\n" P("b") P("c"));
	mistake("provider of an unknown type", 7, "unknown type \"tape\"", "types in this version: folder", SOV_NEED_REPOSITORY, R C "[provider.a]\npath = /srv/x\ntype = tape\n" P("b") P("c"));
	mistake("provider without path", 7, "no \"path\"", "path = ", SOV_NEED_REPOSITORY, R C "[provider.a]\ntype = folder\n" P("b") P("c"));
	mistake("two providers of one folder", 10, "provider \"b\" has the same folder as provider \"a\" (line 7)", "of its own", SOV_NEED_REPOSITORY, R C P("a") "[provider.b]\ntype=folder\npath=/srv/a/\n" P("c"));
	mistake("a provider inside another", 10, "one inside the other", "of its own", SOV_NEED_REPOSITORY, R C P("a") "[provider.b]\ntype=folder\npath=/srv/a/b/c\n" P("c"));
	mistake("a provider inside the data directory", 7, "lie one inside the other", "storage of its own", SOV_NEED_REPOSITORY, R C "[provider.a]\ntype=folder\npath=/var/lib/postgresql/15/main/a\n" P("b") P("c") D);
	mistake("the data directory inside a provider", 7, "lie one inside the other", "storage of its own", SOV_NEED_REPOSITORY, R C "[provider.a]\ntype=folder\npath=/var/lib/postgresql\n" P("b") P("c") D);
	mistake("state inside the data directory", 5, "inside the data directory", "outside", SOV_NEED_REPOSITORY, R "state-directory = /var/lib/postgresql/15/main/s\n" C D P3);
	mistake("state inside a provider", 5, "inside provider \"b\"", "outside", SOV_NEED_REPOSITORY, R "state-directory = /srv/b/state\n" C P3);

	ok(read_text(R "host = write-only\n" C "content = file:/etc/c.key\n" P3, strlen(R "host = write-only\n" C "content = file:/etc/c.key\n" P3), SOV_NEED_REPOSITORY) == SOV_OK &&
	   cfg.write_only && strcmp(cfg.content, "file:/etc/c.key") == 0 && cfg.content_line == 8 && cfg.root_line == 7, "a write-only host, and a content custodian");
	mistake("another kind of host", 5, "\"host = read-only\"", "write-only", 0, R "host = read-only\n");
	mistake("a content custodian without a path", 3, "\"content\"", "file:/etc", 0, C "content = file:key\n");
	mistake("one root key for both", 7, "one and the same", "another root key", SOV_NEED_REPOSITORY, R C "content = file:/etc/pg_sovereign/root.key\n" P3);
	mistake("a drill on a write-only host", 9, "a drill restores", "\"content\"", SOV_NEED_REPOSITORY, R "host = write-only\n" C "[schedule]\ndrill = 7d\n" P3);

	for (i = 0; i < 17; i++)
		sprintf(text + strlen(text), "[provider.p%d]\n", i);
	mistake("17 providers", 17, "more than 16", "drained", 0, text);

	/* the same real path through a symbolic link */
	snprintf(text, sizeof text, "%s/real", dir);
	mkdir(text, 0700);
	snprintf(text + 2000, 300, "%s/link", dir);
	ok(symlink(text, text + 2000) == 0, "made a link");
	snprintf(text, sizeof text, R C P("a") "[provider.b]\ntype=folder\npath=%s/real\n[provider.c]\ntype=folder\npath=%s/link\n", dir, dir);
	mistake("two names of one folder", 13, "same folder as provider \"b\"", "of its own", SOV_NEED_REPOSITORY, text);
	snprintf(text, sizeof text, "rm -rf %s/real %s/link", dir, dir);
	ok(system(text) == 0, "cleaned up");
}

static void
file_mistakes(void)
{
	static const char secret[] = "[cluster]\nconnection = host=x password=hunter2\n";

	ok(sov_config_read("/nonexistent/x.conf", 0, &cfg, &err) == SOV_E_CONFIG && strstr(err.message, "/nonexistent/x.conf") && strstr(err.hint, "-c FILE"), "an absent file is named");
	ok(sov_config_read(dir, 0, &cfg, &err) == SOV_E_CONFIG && strstr(err.message, "could not read"), "a directory is not a file");
	ok(read_text(secret, strlen(secret), 0) == SOV_E_CONFIG && strstr(err.hint, "0600") && !strstr(err.message, "hunter2"), "a password that others may read is refused and not shown");
	chmod(file, 0600);
	ok_rc(sov_config_read(file, 0, &cfg, &err), err, "mode 0600 may hold one");
	setenv("PG_SOVEREIGN_CONFIG", "/env", 1);
	ok(strcmp(sov_config_path("/opt"), "/opt") == 0 && strcmp(sov_config_path(NULL), "/env") == 0, "option before environment");
	unsetenv("PG_SOVEREIGN_CONFIG");
	ok(strcmp(sov_config_path(NULL), "/etc/pg_sovereign/pg_sovereign.conf") == 0, "default path");
}

static void
text_helpers(void)
{
	static const char *const words[] = {"backup", "restore", "list", NULL};
	uint64_t	n;
	char		buf[32];

	ok(sov_nearest("bakcup", words) == words[0] && sov_nearest("lst", words) == words[2] && sov_nearest("drill", words) == NULL, "nearest word");
	ok(sov_parse_size("64kB", &n) && n == 65536 && sov_parse_size("7", &n) && n == 7 && !sov_parse_size("-1", &n) && !sov_parse_size("1kb", &n) && !sov_parse_size("1 GB x", &n), "sizes");
	ok(strcmp(sov_size_text(1536, buf, sizeof buf), "1.5 kB") == 0 && strcmp(sov_size_text(10, buf, sizeof buf), "10 bytes") == 0, "sizes as text");
	ok(sov_path_within("/srv/ab", "/srv/a") == false && sov_path_within("/srv/a/../a/b", "/srv/a") && sov_path_within("/srv/a", "/"), "one path within another");
}

/* --- what the documents show --- */

/* Of the configuration, or of a catalogue; what begins without a section is of neither. */
static void
one_block(const char *page, int line, const char *text, size_t len)
{
	struct sov_vendors *v;
	enum sov_code rc;
	FILE	   *f;

	if (strncmp(text, "[source.", 8) != 0)
	{
		rc = read_text(text, len, 0);
		if (!tap_ok(rc == SOV_OK, "%s:%d is a configuration", page, line))
			printf("# %s\n# %s\n", err.message, err.hint);
		return;
	}
	/* from the catalogue, whose other sources it uses */
	sov_error_clear(&err);
	v = sov_vendors_new(&err);
	f = fmemopen((void *) text, len, "r");
	rc = sov_vendors_add(v, "providers/catalogue.ini", &err);
	if (rc == SOV_OK)
		rc = sov_vendors_add_stream(v, f, page, &err);
	if (!tap_ok(rc == SOV_OK, "%s:%d is a catalogue", page, line))
		printf("# %s\n# %s\n", err.message, err.hint);
	fclose(f);
	sov_vendors_free(v);
}

static int
blocks_of(const char *page)
{
	FILE	   *f = fopen(page, "r");
	char		text[16384],
				row[2000];
	size_t		len = 0;
	int			line = 0,
				begin = 0,
				n = 0;

	while (f != NULL && fgets(row, sizeof row, f) != NULL)
	{
		line++;
		if (begin == 0 && strcmp(row, "```ini\n") == 0)
		{
			begin = line;
			len = 0;
		}
		else if (begin != 0 && strcmp(row, "```\n") == 0)
		{
			if (len > 0 && text[0] == '[')
			{
				text[len] = '\0';
				one_block(page, begin, text, len);
				n++;
			}
			begin = 0;
		}
		else if (begin != 0 && len + strlen(row) < sizeof text)
			len += (size_t) snprintf(text + len, sizeof text - len, "%s", row);
	}
	if (f != NULL)
		fclose(f);
	return n;
}

static void
documents(void)
{
	glob_t		pages;
	int			n = blocks_of("README.md");

	ok(n >= 3, "the README shows configuration");
	if (glob("extension/doc/*.md", 0, NULL, &pages) != 0)
		pages.gl_pathc = 0;
	for (size_t i = 0; i < pages.gl_pathc; i++)
		n += blocks_of(pages.gl_pathv[i]);
	globfree(&pages);
	ok(n >= 14, "and so does the handbook: %d blocks in all", n);
}

/* What a long-lived process compares. */
static void
stamps(void)
{
	char		text[2000],
				catalogue[300],
				credentials[300],
				cmd[1000];
	uint64_t	before = 0,
				now = 0;

	snprintf(catalogue, sizeof catalogue, "%s/own.ini", dir);
	snprintf(credentials, sizeof credentials, "%s/a.cred", dir);
	snprintf(cmd, sizeof cmd, "echo >%s; echo >%s", catalogue, credentials);
	ok(system(cmd) == 0, "files");
	snprintf(text, sizeof text, R "catalogue = %s\n" C P("b") P("c") "[provider.a]\ntype = s3\nendpoint = https://s3.example.eu\nregion = r\nbucket = b\n"
			 "credentials-file = %s\n", catalogue, credentials);
	ok(read_text(text, strlen(text), SOV_NEED_REPOSITORY) == SOV_OK && (before = sov_config_stamp(&cfg)) != 0 && sov_config_stamp(&cfg) == before, "a stamp: %s", err.message);
	snprintf(cmd, sizeof cmd, "echo '# more' >>%s", catalogue);
	ok(system(cmd) == 0 && (now = sov_config_stamp(&cfg)) != before, "changes with the own catalogue");
	snprintf(cmd, sizeof cmd, "echo '# more' >>%s", credentials);
	ok(system(cmd) == 0 && (before = sov_config_stamp(&cfg)) != now, "with credentials");
	snprintf(cmd, sizeof cmd, "rm %s", catalogue);
	ok(system(cmd) == 0 && (now = sov_config_stamp(&cfg)) != before && now != 0, "with what has gone");
	snprintf(cmd, sizeof cmd, "echo '# more' >>%s", file);
	ok(system(cmd) == 0 && sov_config_stamp(&cfg) != now, "and with the file");
	unlink(credentials);
	unlink(file);
	ok(sov_config_stamp(&cfg) == 0, "without the file there is none");
}

int
main(void)
{
	snprintf(dir, sizeof dir, "%s/sov_config_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(file, sizeof file, "%s/t.conf", dir);
	accepted();
	line_mistakes();
	whole_mistakes();
	file_mistakes();
	text_helpers();
	documents();
	stamps();
	unlink(file);
	rmdir(dir);
	return tap_done();
}
