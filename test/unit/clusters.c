/*
 * clusters.c (test) - a repository goes from one cluster to another: the same names of
 * WAL on the same timeline, what marks say, what is needed, who is refused, and the way
 * back.
 */
#include "testrepo.h"
#include "testwal.h"
#include "wal/wal_private.h"

#define SEGMENT (1024 * 1024)
#define OLD UINT64_C(7000000000000000042)
#define NEW UINT64_C(7000000000000000043)
#define STRANGER UINT64_C(7000000000000000044)

static struct sov_error err;

static const char *
segment_name(unsigned no)
{
	static char name[4][32];
	static int	i;

	i = (i + 1) % 4;
	wal_segment_name(1, (uint64_t) no * SEGMENT, SEGMENT, name[i]);
	return name[i];
}

static const char *
make_segment(uint64_t system_id, unsigned no)
{
	static char path[300];

	snprintf(path, sizeof path, "%s/wal/%s", base, segment_name(no));
	write_test_segment(path, 1, (uint64_t) no * SEGMENT, system_id, SEGMENT, SEGMENT, (int) system_id);
	return path;
}

static enum sov_code
push(struct sov_wal_pusher *pusher, uint64_t system_id, unsigned no)
{
	struct sov_wal_push_result res;
	enum sov_code rc = sov_wal_push(pusher, make_segment(system_id, no), &res, &err);

	if (rc == SOV_OK)
		rc = sov_wal_mark(pusher, true, &err);
	return rc;
}

/* The server of this cluster has segments beside it. */
static enum sov_code
push_history(struct sov_wal_pusher *pusher, uint64_t system_id, const char *text)
{
	struct sov_wal_push_result res;
	char		path[300];
	FILE	   *f;

	shell("rm -f %s/wal/*", base);
	(void) make_segment(system_id, 9);
	snprintf(path, sizeof path, "%s/wal/00000002.history", base);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	return sov_wal_push(pusher, path, &res, &err);
}

/* Whose is the file that is brought?  0: none. */
static uint64_t
fetched_from(struct sov_repo *repo, uint64_t cluster, const char *name)
{
	char		dst[300];
	uint64_t	system_id = 0;
	FILE	   *f;

	snprintf(dst, sizeof dst, "%s/fetched", base);
	unlink(dst);
	sov_repo_choose_cluster(repo, cluster);
	if (sov_wal_fetch(repo, name, dst, &err) == SOV_OK && (f = fopen(dst, "r")) != NULL)
	{
		if (fseek(f, 24, SEEK_SET) != 0 || fread(&system_id, sizeof system_id, 1, f) != 1)
			system_id = 0;
		fclose(f);
	}
	sov_repo_choose_cluster(repo, 0);
	return system_id;
}

static long
marked(struct sov_repo *repo, uint64_t cluster)
{
	struct sov_mark m;

	return sov_repo_cluster_mark(repo, cluster, 0, &m) ? (long) (m.lsn / SEGMENT) - 1 : -1;
}

static enum sov_code
take(struct sov_repo *repo, uint64_t system_id, uint32_t version, unsigned no, bool any)
{
	struct sov_cluster_change change = {.system_id = system_id, .pg_version = version, .lsn = (uint64_t) no * SEGMENT, .any = any};

	return sov_repo_take_cluster(repo, &change, &err);
}

/* --- which WAL is needed --- */

static bool
needed(struct sov_repo *repo, uint64_t backup_of, unsigned from, uint64_t cluster, unsigned no)
{
	struct sov_backup_entry b = {.system_id = backup_of, .timeline = 1, .start_lsn = (uint64_t) from * SEGMENT + 40,
		.stop_lsn = (uint64_t) from * SEGMENT + 80, .wal_segment_size = SEGMENT};
	const struct sov_backup_entry *list[] = {&b};
	struct wal_needed w = {0};
	char		id[SOV_WAL_ID_MAX];
	uint64_t	system_id;

	sov_wal_object_id(repo, cluster, segment_name(no), id);
	return !wal_needed_of(repo, list, 1, id, &w) || wal_needed_has(&w, sov_wal_file_name(repo, id, &system_id));
}

static void
what_is_needed(struct sov_repo *repo)
{
	ok(needed(repo, OLD, 3, OLD, 3) && !needed(repo, OLD, 3, OLD, 2), "a backup of before needs its own WAL, from its start on");
	ok(needed(repo, OLD, 3, NEW, 2), "without a backup of its own all WAL of the current one is");
	ok(needed(repo, NEW, 3, NEW, 3) && !needed(repo, NEW, 3, NEW, 2), "with one, that from its start on");
	ok(!needed(repo, NEW, 3, OLD, 3) && !needed(repo, NEW, 3, OLD, 9), "and none of the one before, of which no backup is left");
}

/* --- the story --- */

static void
first_cluster(struct sov_repo *repo, struct sov_wal_pusher *pusher)
{
	ok(take(repo, OLD, 150000, 1, false) == SOV_E_EXISTS && sov_repo_current_cluster(repo) == 0, "nothing is there to be gone over from: %s", err.message);
	ok(push(pusher, OLD, 3) == SOV_OK && push(pusher, OLD, 4) == SOV_OK && push(pusher, OLD, 5) == SOV_OK, "WAL of the first");
	ok(push_history(pusher, OLD, "1\t0/400000\told\n") == SOV_OK, "and a history file");
	ok(take(repo, OLD, 150000, 6, false) == SOV_E_EXISTS, "it is the current one already");
	ok(push(pusher, NEW, 6) == SOV_E_STATE, "another one is refused: %s", err.message);
	ok(strstr(err.hint, "pg_sovereign upgrade") != NULL, "and told what to do");
	ok(take(repo, NEW, 170000, 5, false) == SOV_E_STATE, "one whose WAL does not go on was not made from it: %s", err.message);
	ok(sov_repo_current_cluster(repo) == OLD && repo->admin.n_clusters == 0, "and nothing has changed");
}

static void
next_cluster(struct sov_repo *repo, struct sov_wal_pusher *pusher)
{
	ok_rc(take(repo, NEW, 170000, 6, false), err, "the repository goes on with the next");
	ok(sov_repo_current_cluster(repo) == NEW && repo->admin.n_clusters == 2, "which is the current one");
	ok(marked(repo, NEW) == -1 && marked(repo, OLD) == 5, "what was promised is of the one before");
	ok(push(pusher, OLD, 6) == SOV_E_STATE && strstr(err.message, "was left") != NULL, "that one is refused: %s", err.message);
	ok(push(pusher, STRANGER, 6) == SOV_E_STATE, "and a stranger");
	ok(push_history(pusher, OLD, "1\t0/700000\tlate\n") == SOV_E_STATE, "nor is a history file of theirs taken for one of the new one");
	/* The same pusher goes on, as the helper of the archiver does; the same names too. */
	ok(push(pusher, NEW, 3) == SOV_OK && push(pusher, NEW, 4) == SOV_OK, "WAL of the same names goes in beside: %s", err.message);
	ok(push_history(pusher, NEW, "1\t0/500000\tnew\n") == SOV_OK, "a history file too");
	ok(marked(repo, NEW) == 4 && marked(repo, OLD) == 5, "marks are of each");
}

static void
both_are_read(struct sov_repo *repo)
{
	struct wal_history h = {.system_id = OLD, .timeline = 2};

	ok(fetched_from(repo, 0, segment_name(4)) == NEW && fetched_from(repo, NEW, segment_name(4)) == NEW, "the current one's is brought");
	ok(fetched_from(repo, OLD, segment_name(4)) == OLD && fetched_from(repo, OLD, segment_name(5)) == OLD, "or that of the one before");
	ok(fetched_from(repo, 0, segment_name(5)) == 0 && err.code == SOV_E_NOTFOUND, "what only that has is not found in this one");
	ok(fetched_from(repo, OLD, segment_name(6)) == 0 && err.code == SOV_E_NOTFOUND, "and its end is its end");
	ok(fetched_from(repo, STRANGER, segment_name(4)) == NEW, "a cluster that is not known gets the current one's, which it refuses by itself");
	ok(wal_history_read(repo, &h, &err) == SOV_OK && h.n == 1 && h.ancestors[0].end == 0x400000, "timelines of the one before");
	h.system_id = 0;
	ok(wal_history_read(repo, &h, &err) == SOV_OK && h.n == 1 && h.ancestors[0].end == 0x500000, "and of this one");
}

static void
way_back(struct sov_repo *repo, struct sov_wal_pusher *pusher)
{
	ok_rc(take(repo, OLD, 150000, 6, false), err, "back to the one before, without being asked twice");
	ok(sov_repo_current_cluster(repo) == OLD && repo->admin.n_clusters == 2 && marked(repo, 0) == 5, "which is where it was");
	ok(push(pusher, OLD, 6) == SOV_OK && marked(repo, 0) == 6 && marked(repo, NEW) == 4, "and goes on: %s", err.message);
	ok(fetched_from(repo, 0, segment_name(6)) == OLD && fetched_from(repo, NEW, segment_name(4)) == NEW, "both are read");
	ok(take(repo, STRANGER, 140000, 9, false) == SOV_E_STATE && strstr(err.message, "does not go back") != NULL, "an older version is refused: %s", err.message);
	ok(take(repo, STRANGER, 140000, 1, true) == SOV_OK && push(pusher, STRANGER, 3) == SOV_OK && fetched_from(repo, 0, segment_name(3)) == STRANGER,
	   "but for who insists");
}

int
main(void)
{
	struct sov_config cfg;
	struct sov_repo *repo;
	struct sov_wal_pusher *pusher = NULL;
	char		path[300];
	uint8_t		id[16];

	snprintf(base, sizeof base, "/tmp/sov_clusters_unit.%d", (int) getpid());
	shell("mkdir -m 700 %s %s/a %s/b %s/c %s/wal", base, base, base, base, base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "repository");
	ok_rc(sov_wal_pusher_open(repo, &pusher, &err), err, "a pusher");
	first_cluster(repo, pusher);
	next_cluster(repo, pusher);
	both_are_read(repo);
	what_is_needed(repo);
	sov_wal_pusher_close(pusher);
	sov_repo_close(repo);
	/* Another host, without state: all of it is in the chain. */
	shell("rm -r %s/state", base);
	repo = reopen(&cfg);
	ok(repo != NULL && sov_repo_current_cluster(repo) == NEW && marked(repo, OLD) == 5 && marked(repo, NEW) == 4, "read anew");
	both_are_read(repo);
	ok_rc(sov_wal_pusher_open(repo, &pusher, &err), err, "a pusher");
	way_back(repo, pusher);
	sov_wal_pusher_close(pusher);
	sov_repo_close(repo);
	shell("rm -rf %s", base);
	return tap_done();
}
