/*
 * pruned.c (test) - a backup is pruned while it is being restored: the restore says
 * that, not that some object is lacking.  Prune and providers that keep things under lock;
 * and a backup whose start takes hours.
 */
#include <sys/syscall.h>

#include "sov_custodian.h"
#include "sov_prune.h"
#include "testserver.h"
#include "wal/wal_private.h"

static struct sov_config cfg;
static struct sov_error err;
static char ids[4][SOV_ID_MAX];
static bool pruned;

/* Of two packs and more, so that there is a moment between them. */
static void
back_up(struct sov_repo *repo, int i, int mb)
{
	const struct sov_backup_options opt = {.data_directory = data, .label = "test", .jobs = 1};
	struct sov_backup_result res = {0};

	make_bulk("base/20001/4000", mb, mb);
	ok_rc(sov_backup_run(repo, &source, &opt, NULL, &res, &err), err, "backup %d", i);
	snprintf(ids[i], sizeof ids[i], "%s", res.entry.id);
}

/* The WAL that the backups need. */
static void
archive(struct sov_repo *repo)
{
	char		id[SOV_WAL_ID_MAX];
	struct sov_run *run = NULL;

	sov_wal_object_id(repo, 42, "000000010000000000000003", id);
	ok(sov_repo_run_begin(repo, &run, &err) == SOV_OK &&
	   sov_repo_put_stream(repo, run, SOV_CLASS_WAL, id, 1, "segment", 7, false, NULL, 0, NULL, NULL, &err) == SOV_OK, "a segment");
	sov_run_free(run);
}

/* By another process, as it were. */
static void
prune_but(int keep)
{
	struct sov_repo *other = reopen(&cfg);
	const struct sov_prune_options opt = {.rules = {.last = keep}};
	struct sov_prune_result res;

	ok_rc(sov_prune_run(other, &opt, NULL, &res, &err), err, "prune");
	ok(res.condemned == 1 && res.packs > 0 && (getenv("PG_SOVEREIGN_FAULTS") != NULL) == (res.locked > 0), "withdraws %u backup and deletes %llu packs", res.condemned, (unsigned long long) res.packs);
	sov_prune_free(&res);
	sov_repo_close(other);
	pruned = true;
}

static void
prune_at_first_bytes(void *ctx, uint64_t done, uint64_t total)
{
	(void) ctx, (void) done, (void) total;
	if (!pruned)
		prune_but(2);
}

/* Withdrawn and there still, but for a shard; and a provider goes away. */
static void
withdraw_at_first_bytes(void *ctx, uint64_t done, uint64_t total)
{
	struct sov_repo *other;
	const struct sov_prune_options opt = {.rules = {.last = 3, .grace = 3600, .orphan_grace = 86400}};
	struct sov_prune_result res;

	(void) ctx, (void) done, (void) total;
	if (pruned)
		return;
	other = reopen(&cfg);
	ok_rc(sov_prune_run(other, &opt, NULL, &res, &err), err, "prune, with a grace");
	ok(res.condemned == 1 && res.deleted == 0, "withdraws a backup and deletes nothing");
	sov_prune_free(&res);
	sov_repo_close(other);
	shell("cd %s && mv c/p c.packs && mv b b.away", base);
	pruned = true;
}

/* At a provider that keeps what is removed. */
static enum sov_code
prune_at_once(void *ctx, const struct sov_backup_entry *entry, struct sov_error *e)
{
	char		text[600];

	(void) ctx, (void) entry, (void) e;
	if (pruned)
		return SOV_OK;
	shell("echo 'a remove kept' >%s/faults", base);
	snprintf(text, sizeof text, "%s/faults", base);
	setenv("PG_SOVEREIGN_FAULTS", text, 1);
	prune_but(1);
	unsetenv("PG_SOVEREIGN_FAULTS");
	snprintf(text, sizeof text, "cd %s; test $(ls a/p | wc -l) = $(ls b/p | wc -l) -a $(ls b/p | wc -l) = $(ls c/p | wc -l)", base);
	ok(system(text) == 0, "what is gone for readers at one provider goes at the others too");
	return SOV_OK;
}

static enum sov_code
restore(struct sov_repo *repo, struct sov_restore_options *to, const struct sov_progress *progress)
{
	struct sov_restore_result res;
	char		target[200];

	snprintf(target, sizeof target, "%s/restored", base);
	to->target = target;
	to->restore_command = "false";
	to->inclusive = true;
	to->jobs = 1;
	return sov_restore_run(repo, to, progress, &res, &err);
}

static void
tell(struct sov_repo *repo)
{
	const struct sov_progress progress = {.update = prune_at_first_bytes};
	struct sov_restore_options to = {.backup = ids[0]};
	char		path[300];

	ok(restore(repo, &to, &progress) == SOV_E_CONFLICT && pruned, "a restore whose backup is pruned in its midst fails: %s", err.message);
	snprintf(path, sizeof path, "backup %s was pruned while it was being restored; %s/restored is not whole and cannot be started (pack ", ids[0], base);
	ok(strncmp(err.message, path, strlen(path)) == 0 && strstr(err.message, "is at no provider)"), "and says what became of it");
	ok(strstr(err.hint, "restore another backup with --delta into the same directory") != NULL, "and what to do: %s", err.hint);
	snprintf(path, sizeof path, "%s/restored/global/pg_control", base);
	ok(access(path, F_OK) != 0, "what there is cannot be started");

	to = (struct sov_restore_options) {.backup = ids[1], .delta = true, .dry_run = true, .chosen = prune_at_once};
	pruned = false;
	ok(restore(repo, &to, NULL) == SOV_E_CONFLICT && pruned, "pruned before anything is done: %s", err.message);
	ok(strstr(err.message, "was pruned while it was being restored (") && !strstr(err.message, "whole") && !strstr(err.hint, "--delta"), "of the target nothing is said");

	to = (struct sov_restore_options) {.backup = ids[2], .delta = true};
	ok_rc(restore(repo, &to, NULL), err, "another backup, with --delta");
	ok(access(path, F_OK) == 0, "can be started");
	snprintf(path, sizeof path, "cmp %s/base/20001/4000 %s/restored/base/20001/4000", data, base);
	ok(system(path) == 0, "and is as it was");
}

static void
withdrawn(struct sov_repo *repo)
{
	const struct sov_progress progress = {.update = withdraw_at_first_bytes};
	struct sov_restore_options to = {.backup = ids[3]};
	char		path[300];

	pruned = false;
	ok(restore(repo, &to, &progress) == SOV_E_CONFLICT && pruned, "a restore whose backup is withdrawn in its midst, and that lacks a provider, fails: %s", err.message);
	snprintf(path, sizeof path, "backup %s was withdrawn by a prune while it was being restored, and what of it is not deleted yet may be at the providers that do not answer; ", ids[3]);
	ok(strncmp(err.message, path, strlen(path)) == 0 && strstr(err.message, "out of reach: b (") && !strstr(err.message, "was pruned"), "and does not say that it is gone");
	ok(strstr(err.hint, "--delta") && strstr(err.hint, "--grace"), "but what to do: %s", err.hint);
	shell("cd %s && rm -rf restored c/p && mv c.packs c/p && mv b.away b", base);
	for (int i = 0; i < repo->n_providers; i++)
	{
		repo->providers[i].retry_at_us = 0;
		(void) sov_repo_probe(repo, i);
	}
	pruned = false;
}

/* What is lacking for another reason is told as ever. */
static void
lost(struct sov_repo *repo)
{
	struct sov_restore_options to = {.backup = ids[2]};

	shell("rm -rf %s/restored %s/[abc]/p/*", base, base);
	ok(restore(repo, &to, NULL) == SOV_E_NOTFOUND && strstr(err.message, "is at no provider") && !strstr(err.message, "pruned"), "a pack that is lost: %s", err.message);
}

static void
none_good(struct sov_repo *repo)
{
	const struct sov_prune_options opt = {.rules = {.last = 1, .orphan_grace = 86400}};
	struct sov_prune_result res;
	int			kept = 0;

	back_up(repo, 0, 3);
	back_up(repo, 1, 4);
	shell("rm -rf %s/[abc]/p/*", base);
	ok_rc(sov_prune_run(repo, &opt, NULL, &res, &err), err, "prune, where no backup is whole");
	for (uint32_t i = 0; i < res.n_backups; i++)
		kept += res.backups[i].keep && !res.backups[i].whole;
	ok(res.n_backups >= 3 && kept == (int) res.n_backups && res.condemned == 0 && res.deleted == 0, "withdraws none of %u, whatever the rules say, and deletes nothing", res.n_backups);
	sov_prune_free(&res);
}

/* --- object lock --- */

/* Shards of packs and metadata. */
static uint64_t
shards_at(const char *provider)
{
	char		cmd[300];
	unsigned	n = 0;
	FILE	   *f;

	snprintf(cmd, sizeof cmd, "find %s/%s/p %s/%s/m -type f | wc -l", base, provider, base, provider);
	f = popen(cmd, "r");
	if (fscanf(f, "%u", &n) != 1)
		n = 0;
	pclose(f);
	return n;
}

/* By a process for which these providers lock. */
static void
prune_where(const char *faults, struct sov_prune_result *res)
{
	const struct sov_prune_options opt = {.rules = {.last = 1, .orphan_grace = 86400}};
	struct sov_repo *other;
	char		path[300];

	snprintf(path, sizeof path, "%s/faults", base);
	shell("printf '%s' >%s", faults, path);
	setenv("PG_SOVEREIGN_FAULTS", path, 1);
	other = reopen(&cfg);
	ok_rc(sov_prune_run(other, &opt, NULL, res, &err), err, "prune");
	sov_prune_free(res);
	sov_repo_close(other);
	unsetenv("PG_SOVEREIGN_FAULTS");
}

static void
locks(struct sov_repo *repo)
{
	struct sov_prune_result res;
	struct sov_verify_options deep = {.deep = true};
	struct sov_verify_result v;
	uint64_t	all;

	for (int i = 0; i < 4; i++)
		back_up(repo, i, 1 + i);
	all = shards_at("a");
	prune_where("b stat locked\nb remove locked\n", &res);
	ok(res.condemned == 3 && res.locked > 1 && res.deleted == 0 && res.failed == 0 && all > 8 && shards_at("a") == all && shards_at("c") == all,
	   "what a provider locks by a default of its own is deleted nowhere: %d locked, %d deleted", (int) res.locked, (int) res.deleted);
	prune_where("a open locked\nb open locked\nb stat locked\nb remove locked\n", &res);
	ok(res.locked > 1 && res.deleted == 0 && res.failed == 0 && shards_at("a") == all && shards_at("c") == all,
	   "nor where one of two that lock would let it go: %d locked, %d deleted", (int) res.locked, (int) res.deleted);
	prune_where("a open locked\nb open locked\nb remove locked\n", &res);
	ok(res.locked > 1 && res.deleted > 0 && res.failed == 0 && shards_at("a") < all && shards_at("b") == all && shards_at("c") == all,
	   "one that does not tell of its locks: at those asked before alone, and prune goes on");
	prune_where("", &res);
	ok(res.locked == 0 && res.deleted > 0 && shards_at("a") == shards_at("b") && shards_at("b") == shards_at("c") && shards_at("c") < all,
	   "when the lock has ended, everywhere");
	ok(sov_verify_run(repo, &deep, NULL, &v, &err) == SOV_OK && v.missing + v.damaged + v.lost == 0 && v.backups_whole == 1, "and what is kept is whole");
}

/* One that locks and is out of reach is not waited for: what it keeps is swept as anything
 * that nothing refers to. */
static void
locks_out_of_reach(struct sov_repo *repo)
{
	struct sov_prune_result res;
	struct sov_verify_options deep = {.deep = true};
	struct sov_verify_result v;
	uint64_t	all;

	for (int i = 0; i < 2; i++)
		back_up(repo, i, 3 + i);
	all = shards_at("b");
	prune_where("b * error\n", &res);
	ok(res.condemned == 2 && res.deleted > 0 && res.failed == 0 && shards_at("b") == all && shards_at("a") < all && shards_at("a") == shards_at("c"),
	   "one that locks is out of reach: what is withdrawn goes at the others");
	shell("find %s/b -type f -exec touch -d '3 days ago' {} +", base);
	prune_where("b open locked\nb stat locked\nb remove locked\n", &res);
	ok(res.locked > 0 && res.deleted == 0 && res.failed == 0 && shards_at("b") == all, "it is back, and keeps what it locks: %d locked", (int) res.locked);
	prune_where("", &res);
	ok(res.deleted > 0 && shards_at("a") == shards_at("b") && shards_at("b") == shards_at("c"), "until the lock has ended");
	ok(sov_verify_run(repo, &deep, NULL, &v, &err) == SOV_OK && v.missing + v.damaged + v.lost == 0 && v.backups_whole == 1, "and what is kept is whole");
}

/* --- a server that waits for a checkpoint --- */

static time_t later,			/* than it is, by the boot clock */
			behind_s;			/* by the wall clock */

/* In place of the C library's. */
int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int			rc = (int) syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_BOOTTIME)
		ts->tv_sec += later;
	if (id == CLOCK_REALTIME)
		ts->tv_sec -= behind_s;
	return rc;
}

/* Two hours, in which prune has swept what is of no backup. */
static enum sov_code
start_late(void *ctx, const char *label, bool fast, struct sov_source_info *info, struct sov_error *e)
{
	later += 7200;
	shell("find %s/[abc]/r -type f -newer %s/stamp -delete", base, base);
	return start(ctx, label, fast, info, e);
}

static void
late(struct sov_repo *repo)
{
	const struct sov_source slow = {start_late, stop, page_ok, page_lsn, NULL};
	const struct sov_backup_options opt = {.data_directory = data, .jobs = 1};
	struct sov_verify_options deep = {.deep = true};
	struct sov_backup_result res = {0};
	struct sov_verify_result v = {0};

	make_bulk("base/20001/4000", 1, 1);
	shell("touch %s/stamp; sleep 0.05", base);
	ok_rc(sov_backup_run(repo, &slow, &opt, NULL, &res, &err), err, "a backup that waits for hours to begin");
	ok(sov_verify_run(repo, &deep, NULL, &v, &err) == SOV_OK && v.missing + v.damaged + v.lost == 0 && v.backups == 2 && v.backups_whole == 2,
	   "is not sealed in a run that prune has taken meanwhile: %u of %u are whole", v.backups_whole, v.backups);
}

/* --- two hosts, one of which has a clock that is behind --- */

static void
behind(struct sov_repo *repo)
{
	const struct sov_prune_options opt = {.rules = {.last = 1, .orphan_grace = 1}};
	struct sov_verify_options deep = {.deep = true};
	struct sov_config second = cfg;
	struct sov_prune_result res;
	struct sov_verify_result v;
	struct sov_repo *other;
	enum sov_code rc;

	snprintf(second.state_directory, sizeof second.state_directory, "%s/state.second", base);
	other = reopen(&second);
	ok(other != NULL, "another host");
	back_up(other, 0, 1);
	sov_repo_close(other);
	back_up(repo, 1, 1);
	behind_s = 7200;
	shell("find %s/[abc] -type f -exec touch -d '3 hours ago' {} +", base);
	other = reopen(&second);
	rc = sov_prune_run(other, &opt, NULL, &res, &err);
	ok(rc == SOV_E_STATE && strstr(err.message, "ahead of this host's clock") && strstr(err.hint, "clock"), "whose clock is two hours behind, does not prune: %s", err.message);
	sov_prune_free(&res);
	sov_repo_close(other);
	behind_s = 0;
	ok_rc(sov_repo_refresh(repo, &err), err, "the state");
	ok(sov_verify_run(repo, &deep, NULL, &v, &err) == SOV_OK && v.missing + v.damaged + v.lost == 0 && v.backups == v.backups_whole, "and nothing is missing");
}

/* What somebody has just begun is no orphan for a host whose clock is ahead. */
static void
ahead(struct sov_repo *repo)
{
	const struct sov_prune_options opt = {.rules = {.last = 100, .orphan_grace = 86400}};
	struct sov_config second = cfg;
	struct sov_prune_result res;
	struct sov_repo *other;
	struct sov_run *run = NULL;
	const struct sov_run *there;

	snprintf(second.state_directory, sizeof second.state_directory, "%s/state.second", base);
	ok_rc(sov_repo_run_begin_for_wal(repo, &run, &err), err, "a run is begun, in which nothing is stored yet");
	behind_s = -90000;
	other = reopen(&second);
	ok_rc(sov_prune_run(other, &opt, NULL, &res, &err), err, "prune on a host whose clock is a day ahead");
	sov_prune_free(&res);
	sov_repo_close(other);
	behind_s = 0;
	ok_rc(sov_repo_run_open(repo, run->id, true, &there, &err), err, "leaves it");
	sov_run_free(run);
}

int
main(void)
{
	struct sov_repo *repo;
	char		path[200];
	uint8_t		id[16];

	snprintf(base, sizeof base, "%s/sovprunedXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	snprintf(data, sizeof data, "%s/data", base);
	shell("mkdir -m 700 %s/a %s/b %s/c %s %s/global %s/base %s/base/20001", base, base, base, data, data, data, data);
	make_file("PG_VERSION", "15\n", 3);
	make_file("global/pg_control", "control", 8192);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "init");
	archive(repo);
	back_up(repo, 3, 60);
	back_up(repo, 0, 60);
	shell("rm %s/state/packs.sparse", base);	/* or the next but one needs a pack of the next */
	back_up(repo, 1, 2);
	back_up(repo, 2, 1);
	withdrawn(repo);
	tell(repo);
	lost(repo);
	none_good(repo);
	sov_repo_close(repo);
	shell("cd %s && rm -rf a b c state restored && mkdir -m 700 a b c", base);
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "another repository");
	archive(repo);
	locks(repo);
	locks_out_of_reach(repo);
	late(repo);
	behind(repo);
	ahead(repo);
	sov_repo_close(repo);
	shell("rm -rf %s", base);
	return tap_done();
}
