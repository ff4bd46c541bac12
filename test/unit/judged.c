/*
 * judged - a certificate that is required expires while a process runs: it is judged
 * again when the day changes, before anything is put.
 */
#include <time.h>
#include <unistd.h>

#include "sov_policy.h"
#include "sov_vendor.h"
#include "testrepo.h"

#define EVENING INT64_C(1796083140)	/* 2026-11-30 23:59:00 */
#define DAY INT64_C(86400)

static struct sov_config cfg;
static struct sov_error err;
static _Atomic int64_t now_s = EVENING;

/* In place of the C library's. */
time_t
time(time_t *t)
{
	if (t != NULL)
		*t = (time_t) now_s;
	return (time_t) now_s;
}

/* The folders a, b and c; c's certificate ends on 2026-11-30. */
static void
configure_policy(const char *policy)
{
	char		path[300];
	FILE	   *f;

	snprintf(path, sizeof path, "%s/own.ini", base);
	f = fopen(path, "w");
	fprintf(f, "[source.s]\ndescription = the certificate\nread-on = 2026-11\nconfidence = official\n");
	for (int i = 0; i < 3; i++)
		fprintf(f, "[vendor.v%s]\noperator = O%s @s\nparent = P%s @s\nseat = FR @s\nlocation = FR @s\njurisdictions = none-found @s\nhds = yes, until %s @s\n",
				abc[i], abc[i], abc[i], i == 2 ? "2026-11-30" : "2099-12-31");
	fclose(f);
	snprintf(path, sizeof path, "%s/conf", base);
	f = fopen(path, "w");
	fprintf(f, "[repository]\nname = test\nneeded = 2\nshards = 3\nstate-directory = %s/state\ncatalogue = %s/own.ini\n[custody]\nroot = file:%s/root.key\noperator = Hospital\n%s",
			base, base, base, policy);
	for (int i = 0; i < 3; i++)
		fprintf(f, "[provider.%s]\npreset = v%s\ntype = folder\npath = %s/%s\n", abc[i], abc[i], base, abc[i]);
	fclose(f);
	ok_rc(sov_config_read(path, SOV_NEED_REPOSITORY, &cfg, &err), err, "configuration");
}

static int
files_of_c(void)
{
	char		cmd[300];
	FILE	   *f;
	int			n = -1;

	snprintf(cmd, sizeof cmd, "find %s/c -type f | wc -l", base);
	f = popen(cmd, "r");
	if (fscanf(f, "%d", &n) != 1)
		n = -1;
	pclose(f);
	return n;
}

static void
expires(void)
{
	struct sov_put_span span = {"x", 1};
	struct sov_repo *repo;
	uint64_t	stamp;
	int			before;

	configure_policy("[policy]\nrequire = hds\n");
	if (!ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "a repository, on the last day of a certificate"))
		return;
	ok(wal_is_held(repo, "000000010000000000000001", 3, 0), "all three hold what is put on that day");
	ok(sov_repo_obey_policy(repo, &err) == SOV_OK, "the policy holds");
	stamp = sov_config_stamp(&cfg);
	now_s += 30;
	ok(sov_config_stamp(&cfg) == stamp, "within a day nothing has changed");
	before = files_of_c();
	now_s += 60;
	ok(sov_config_stamp(&cfg) != stamp, "with the day the stamp changes: processes that run for long judge anew");
	notes[0] = '\0';
	ok(wal_is_held(repo, "000000010000000000000002", 2, 1), "the handle that is open puts nothing there any more");
	ok(files_of_c() == before && before > 0, "not a byte");
	ok(strstr(notes, "nothing is written to provider c: policy require = hds") && strstr(notes, "expired on 2026-11-30"), "and says why: %s", notes);
	ok(sov_repo_obey_policy(repo, &err) == SOV_E_CONFIG, "what is begun now is refused");
	notes[0] = '\0';
	ok(wal_is_held(repo, "000000010000000000000003", 2, 1) && notes[0] == '\0', "it is said once");
	now_s += DAY;
	shell("mv %s/own.ini %s/away.ini", base, base);
	ok(repo_put(repo, 0, "c/0123456789abcdef", &span, 1, false, &err) != SOV_OK && strstr(err.message, "cannot be judged"), "without the catalogue nothing is written: %s", err.message);
	shell("mv %s/away.ini %s/own.ini", base, base);
	ok_rc(repo_put(repo, 0, "c/0123456789abcdef", &span, 1, false, &err), err, "with it, by its verdict");
	sov_repo_close(repo);
}

static void
without_rule(void)
{
	struct sov_repo *repo;
	uint64_t	stamp;

	now_s = EVENING;
	configure_policy("[policy]\njurisdiction = EU\n");
	stamp = sov_config_stamp(&cfg);
	repo = reopen(&cfg);
	now_s += DAY;
	ok(sov_config_stamp(&cfg) == stamp, "where no certification is required the day changes nothing");
	ok(repo != NULL && wal_is_held(repo, "000000010000000000000004", 3, 0), "and all hold what is put");
	sov_repo_close(repo);
}

int
main(void)
{
	char		path[200];
	uint8_t		id[16];

	if (access(sov_vendors_installed(), R_OK) != 0)
	{
		printf("1..0 # SKIP the catalogue of providers is not installed\n");
		return 0;
	}
	snprintf(base, sizeof base, "%s/sovjudgedXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	shell("cd %s && mkdir -m 700 a b c", base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	expires();
	without_rule();
	shell("rm -rf %s", base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
