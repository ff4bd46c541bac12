/*
 * pruned.c (test) - a backup is pruned while it is being restored: the restore says
 * that, not that some object is lacking.
 */
#include "sov_custodian.h"
#include "sov_prune.h"
#include "testserver.h"
#include "wal/wal_private.h"

static struct sov_config cfg;
static struct sov_error err;
static char ids[3][SOV_ID_MAX];
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
	back_up(repo, 0, 60);
	back_up(repo, 1, 2);
	back_up(repo, 2, 1);
	tell(repo);
	lost(repo);
	none_good(repo);
	sov_repo_close(repo);
	shell("rm -rf %s", base);
	return tap_done();
}
