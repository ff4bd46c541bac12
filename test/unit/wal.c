/*
 * wal.c (test) - pushing and fetching WAL over three folders: names and headers,
 * what is acknowledged, how far marks reach, and when "not found" is certain.
 */
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "testwal.h"
#include "wal/wal_private.h"

#define SEGMENT (1024 * 1024)
#define SYSTEM UINT64_C(7000000000000000042)

static char base[128];
static struct sov_repo *repo;
static struct sov_wal_pusher *pusher;
static struct sov_error err;

static void __attribute__((format(printf, 1, 2)))
shell(const char *fmt, ...)
{
	char		cmd[2000];
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		printf("# failed: %s\n", cmd);
}

static const char *
segment_name(uint32_t timeline, unsigned no)
{
	static __thread char name[8][32];
	static __thread int i;

	i = (i + 1) % 8;
	wal_segment_name(timeline, (uint64_t) no * SEGMENT, SEGMENT, name[i]);
	return name[i];
}

/* Write segment no into the WAL directory; page_timeline as in its header. */
static const char *
make_segment(const char *name, uint32_t page_timeline, unsigned no, uint64_t system_id, size_t len, int fill)
{
	static __thread char path[300];

	snprintf(path, sizeof path, "%s/wal/%s", base, name);
	write_test_segment(path, page_timeline, (uint64_t) no * SEGMENT, system_id, SEGMENT, len, fill);
	return path;
}

static const char *
good_segment(unsigned no)
{
	return make_segment(segment_name(1, no), 1, no, SYSTEM, SEGMENT, (int) no);
}

static void
open_all(void)
{
	struct sov_config cfg;
	char		path[300];

	snprintf(path, sizeof path, "%s/conf", base);
	if (sov_config_read(path, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK ||
		sov_repo_open(&cfg, NULL, NULL, &repo, &err) != SOV_OK ||
		sov_wal_pusher_open(repo, &pusher, &err) != SOV_OK)
	{
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
}

static void
close_all(void)
{
	sov_wal_pusher_close(pusher);
	sov_repo_close(repo);
}

static void
reopen(void)
{
	close_all();
	open_all();
}

static enum sov_code
push(const char *path)
{
	struct sov_wal_push_result res;
	enum sov_code rc = sov_wal_push(pusher, path, &res, &err);

	if (rc != SOV_OK)
		printf("# push: %s\n", err.message);
	return rc;
}

static enum sov_code
fetch(const char *name)
{
	char		dst[300];
	enum sov_code rc;

	snprintf(dst, sizeof dst, "%s/fetched", base);
	unlink(dst);
	rc = sov_wal_fetch(repo, name, dst, &err);
	if (rc != SOV_OK)
		printf("# fetch: %s\n", err.message);
	if (rc != SOV_OK && access(dst, F_OK) == 0)
		return SOV_E_CONFLICT;	/* nothing may be left behind */
	return rc;
}

static bool
same_file(const char *name)
{
	char		cmd[700];

	snprintf(cmd, sizeof cmd, "cmp -s %s/fetched %s/wal/%s", base, base, name);
	return system(cmd) == 0;
}

/* Last whole segment that the newest mark covers, -1 without a mark. */
static long
marked(uint32_t timeline)
{
	struct sov_mark m;

	return sov_repo_mark(repo, timeline, &m) ? (long) (m.lsn / SEGMENT) - 1 : -1;
}

static uint64_t
head_seq(void)
{
	return repo->n_heads ? repo->heads[0].seq : 0;
}

static void
names(void)
{
	static const struct
	{
		const char *name;
		int			kind;
	}			cases[] = {
		{"000000010000000000000001", SOV_WAL_SEGMENT}, {"0000000A0000000F000000FF.partial", SOV_WAL_PARTIAL},
		{"00000002.history", SOV_WAL_HISTORY}, {"000000010000000000000002.00000028.backup", SOV_WAL_BACKUP},
		{"", -1}, {"00000001", -1}, {"00000000.history", -1}, {"00000000000000000000000A", -1},
		{"00000001000000000000000g", -1}, {"0000000a0000000000000001", -1}, {"0000000100000000000000011", -1},
		{"00000001/000000000000001", -1}, {"../../00000001.history", -1}, {"00000001.history.tmp", -1},
		{"000000010000000000000001.partial2", -1}, {"000000010000000000000002.0000002.backup", -1},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		enum sov_wal_kind kind;
		uint32_t	timeline;
		bool		is = sov_wal_name(cases[i].name, &kind, &timeline);

		ok(cases[i].kind < 0 ? !is : is && (int) kind == cases[i].kind, "name \"%s\"", cases[i].name);
	}
	ok(wal_segment_end("0000000100000001000000FF", 16 << 20) == UINT64_C(0x200000000), "end of a segment of 16 MiB");
	ok(wal_segment_end(segment_name(1, 5), SEGMENT) == UINT64_C(6) * SEGMENT, "end of a segment of 1 MiB");
}

static void
refusals(void)
{
	const char *n7 = segment_name(1, 7);

	ok(push(make_segment("hello", 1, 7, SYSTEM, SEGMENT, 7)) == SOV_E_USAGE, "a file with another name is refused");
	ok(push(make_segment(n7, 1, 7, SYSTEM, SEGMENT - 8192, 7)) == SOV_E_FORMAT, "a short segment is refused");
	ok(push(make_segment(n7, 1, 8, SYSTEM, SEGMENT, 7)) == SOV_E_FORMAT, "a segment of another address is refused");
	ok(push(make_segment(n7, 2, 7, SYSTEM, SEGMENT, 7)) == SOV_E_FORMAT, "so is one of a later timeline");
	ok(push(make_segment(n7, 1, 7, SYSTEM + 1, SEGMENT, 7)) == SOV_E_STATE, "and one of another cluster");
	ok(fetch(n7) == SOV_E_NOTFOUND, "nothing of that is in the repository");
	shell("rm %s/wal/*", base);
}

static void
same_and_different(void)
{
	struct sov_wal_push_result res;
	const char *name = segment_name(1, 1);

	ok_rc(sov_wal_push(pusher, good_segment(1), &res, &err), err, "first segment");
	ok(!res.already && res.holders == 3 && res.raw == SEGMENT, "at all three");
	ok(marked(1) == 1, "the first one of a timeline is marked");
	ok_rc(sov_wal_push(pusher, good_segment(1), &res, &err), err, "the same again");
	ok(res.already, "is there already");
	ok(push(make_segment(name, 1, 1, SYSTEM, SEGMENT, 99)) == SOV_E_EXISTS, "other content is refused");
	good_segment(1);
	ok(fetch(name) == SOV_OK && same_file(name), "it is fetched as it was");
}

/* Marks promise no more than what is there without a gap. */
static void
gaps(void)
{
	const char *n4 = segment_name(1, 4);

	ok(push(good_segment(2)) == SOV_OK && push(good_segment(3)) == SOV_OK, "two more segments");
	ok(push(make_segment(n4, 1, 4, SYSTEM + 1, SEGMENT, 4)) == SOV_E_STATE, "the next one fails");
	ok(push(good_segment(5)) == SOV_OK, "the one after it is archived");
	ok_rc(sov_wal_mark(pusher, true, &err), err, "a mark");
	ok(marked(1) == 3, "ends before the gap (%ld)", marked(1));
	ok(push(good_segment(4)) == SOV_OK, "the gap is closed");
	ok_rc(sov_wal_mark(pusher, true, &err), err, "a mark");
	ok(marked(1) == 5, "covers all then (%ld)", marked(1));
	ok(push(make_segment(segment_name(1, 6), 1, 6, SYSTEM + 1, SEGMENT, 6)) == SOV_E_STATE, "another one fails");
	ok(push(good_segment(7)) == SOV_OK, "the one after it is archived");
	shell("rm %s/wal/%s", base, segment_name(1, 6));
	ok_rc(sov_wal_mark(pusher, true, &err), err, "a mark");
	ok(marked(1) == 7, "a failed file that was removed holds up nothing (%ld)", marked(1));
}

/* Below n a mark comes before the acknowledgement. */
static void
degraded(void)
{
	struct sov_wal_push_result res;
	char		left[500];

	shell("mv %s/c %s/c.away", base, base);
	ok_rc(sov_wal_push(pusher, good_segment(8), &res, &err), err, "one provider away: acknowledged");
	ok(res.holders == 2 && res.spooled == 1 && marked(1) == 8, "by two holders and the spool, and marked");
	ok(push(make_segment(segment_name(1, 9), 1, 9, SYSTEM + 1, SEGMENT, 9)) == SOV_E_STATE, "one fails");
	ok(push(good_segment(10)) == SOV_E_STATE && err.retryable, "what no mark can cover yet is not acknowledged");
	ok(push(good_segment(9)) == SOV_OK && push(good_segment(10)) == SOV_OK && marked(1) == 10, "in order it is");
	shell("mv %s/b %s/b.away", base, base);
	ok(push(good_segment(11)) == SOV_E_QUORUM && err.hint[0], "two away: not acknowledged");
	ok(fetch(segment_name(1, 8)) != SOV_E_NOTFOUND, "what is there is not \"not found\"");
	ok(fetch(segment_name(1, 500)) == SOV_E_QUORUM, "and what is not there is not certain");
	shell("cd %s && touch fetched.tmp.999999999.1f fetched.tmp.%d.1f other.tmp.999999999.1f", base, (int) getpid());
	(void) fetch(segment_name(1, 500));
	snprintf(left, sizeof left, "cd %s && ! test -e fetched.tmp.999999999.1f && test -e fetched.tmp.%d.1f && test -e other.tmp.999999999.1f", base, (int) getpid());
	ok(system(left) == 0, "what a wal-fetch that was killed left beside its target is swept, nothing else");
	shell("rm %s/*.tmp.*", base);
	shell("mv %s/b.away %s/b; mv %s/c.away %s/c", base, base, base, base);
	reopen();
	ok(push(good_segment(11)) == SOV_OK, "all back: acknowledged");
}

static void *
push_slowly(void *arg)
{
	*(enum sov_code *) arg = push(good_segment(13));
	return NULL;
}

/* A later segment that is faster waits for the mark of the earlier one. */
static void
in_flight(void)
{
	char		faults[300];
	pthread_t	t;
	enum sov_code slow = SOV_E_SYSTEM;
	FILE	   *f;

	snprintf(faults, sizeof faults, "%s/faults", base);
	setenv("PG_SOVEREIGN_FAULTS", faults, 1);
	shell(": > %s; mv %s/c %s/c.away", faults, base, base);
	reopen();
	ok(push(good_segment(12)) == SOV_OK, "a segment, so that the run is begun");
	f = fopen(faults, "w");
	fprintf(f, "a put slow=1500 1\n");
	fclose(f);
	good_segment(14);
	pthread_create(&t, NULL, push_slowly, &slow);
	usleep(400000);
	ok(push(good_segment(14)) == SOV_OK, "the faster one is acknowledged");
	ok(marked(1) >= 14, "and marked by then (%ld)", marked(1));
	pthread_join(t, NULL);
	ok(slow == SOV_OK, "and so is the slower one");
	unsetenv("PG_SOVEREIGN_FAULTS");
	shell("mv %s/c.away %s/c", base, base);
	reopen();
}

/* archive_command: a process for each segment, but not a head for each. */
static void
one_by_one(void)
{
	uint64_t	seq = head_seq();

	ok(push(good_segment(15)) == SOV_OK, "a segment");
	reopen();
	ok(push(good_segment(16)) == SOV_OK, "and one more by another process");
	reopen();
	ok(head_seq() == seq, "no head is written for a mark that is young");
	ok(push(make_segment(segment_name(2, 16), 1, 16, SYSTEM, SEGMENT, 16)) == SOV_OK, "a new timeline, begun in the old one's segment");
	ok(head_seq() == seq + 1 && marked(2) == 16, "is marked at once");
}

static void
remove_shard(const char *name, uint16_t attempt, int slot)
{
	struct repo_place place;

	ok_rc(repo_place(repo, SOV_CLASS_WAL, name, 0, (uint8_t) slot, attempt, &place, &err), err, "place of slot %d", slot);
	shell("rm %s/%s/%s", base, repo->providers[place.now].cfg->name, place.name_now);
}

/* What a push left half-way may get lost wholly: the next attempt is there. */
static void
attempts(void)
{
	const char *name = segment_name(3, 40);
	const char *path = make_segment(name, 3, 40, SYSTEM, SEGMENT, 40);
	struct sov_object_state st;

	ok(push(path) == SOV_OK, "a segment");
	remove_shard(name, 0, 0);
	remove_shard(name, 0, 1);
	ok(push(path) == SOV_OK && sov_repo_object_state(repo, SOV_CLASS_WAL, name, 0, 0, &st, &err) == SOV_OK && st.holders == 3,
	   "half-pushed by this very run, it is completed");
	remove_shard(name, 0, 0);
	remove_shard(name, 0, 1);
	reopen();
	ok(push(path) == SOV_OK, "of a half-pushed one a second attempt is written");
	ok(sov_repo_object_state(repo, SOV_CLASS_WAL, name, 0, 1, &st, &err) == SOV_OK && st.holders == 3, "whole");
	ok(fetch(name) == SOV_OK && same_file(name), "it is fetched");
	remove_shard(name, 0, 2);
	ok(fetch(name) == SOV_OK && same_file(name), "also when nothing is left of the first attempt");
}

/* No segment can be stored, but the shares of its run can. */
static void
full(bool is)
{
	for (const char *p = "abc"; *p; p++)
		if (is)
			shell("cd %s/%c && mv w w.before && : > w", base, *p);
		else
			shell("cd %s/%c && rm w && mv w.before w", base, *p);
	for (int i = 0; i < repo->n_providers && !is; i++)
	{
		repo->providers[i].retry_at_us = 0;
		(void) sov_repo_probe(repo, i);
	}
}

/* Prune leaves a run to which nothing refers for an hour: then it is not sealed in, nor
 * what was, and waited in the spool, acknowledged. */
static void
pruned_run(void)
{
	uint64_t	left;

	for (unsigned no = 50; no <= 51; no++)
	{
		const char *name = segment_name(4, no);
		const char *path = make_segment(name, 4, no, SYSTEM, SEGMENT, (int) no);

		shell("rm -rf %s/before; mkdir %s/before; for p in a b c; do cp -r %s/$p/r %s/before/$p; done", base, base, base, base);
		reopen();
		full(true);
		ok(push(path) == SOV_E_QUORUM && pusher->run != NULL, "providers are full: a run is begun, and nothing stored in it");
		full(false);
		shell("for p in a b c; do rm -r %s/$p/r; cp -r %s/before/$p %s/$p/r; done", base, base, base);
		pusher->run_us -= INT64_C(1000000) * REPO_RUN_GRACE;
		if (no == 51)
			ok(sov_repo_settle(repo, 0, &left, &err) == SOV_OK && left == 0, "what waited is delivered");
		ok(push(path) == SOV_OK, "an hour later it is acknowledged");
		ok(fetch(name) == SOV_OK && same_file(name), "and can be read");
	}
}

/* A segment is no safer than the run that it is sealed in. */
static void
run_holders(void)
{
	const char *name = segment_name(5, 60);
	const char *path = make_segment(name, 5, 60, SYSTEM, SEGMENT, 60);

	shell("mv %s/c %s/c.away; rm -rf %s/state/spool; : > %s/state/spool", base, base, base, base);
	reopen();
	ok(push(path) == SOV_E_QUORUM && pusher->run == NULL, "neither c nor the spool takes a share of the run: it is not begun");
	shell("mv %s/c.away %s/c; rm %s/state/spool", base, base, base);
	reopen();
	ok(push(path) == SOV_OK, "with c it is");
}

/* archive_command: the ready segments after the one asked for go along. */
static void
along(void)
{
	const struct sov_config *cfg = &repo->cfg;
	struct sov_wal_push_result res;
	struct sov_object_state st;
	char		path[4][300];
	bool		more;

	shell("rm -f %s/wal/*; mkdir -p %s/wal/archive_status", base, base);
	for (unsigned i = 0; i < 4; i++)
	{
		strcpy(path[i], make_segment(segment_name(6, 70 + i), 6, 70 + i, SYSTEM, SEGMENT, (int) i));
		shell("touch %s/wal/archive_status/%s.ready", base, segment_name(6, 70 + i));
	}
	ok_rc(sov_wal_push_along(pusher, path[0], &res, &err), err, "one of four that are ready is asked for");
	for (unsigned i = 1; i < 4; i++)
		ok(sov_repo_object_state(repo, SOV_CLASS_WAL, segment_name(6, 70 + i), 0, 0, &st, &err) == SOV_OK && st.holders == 3, "%u after it is archived too", i);
	shell("for p in a b c; do mv %s/$p %s/$p.away; done", base, base);
	ok(sov_wal_pushed_ahead(cfg, path[1], &more), "then it is acknowledged without a provider");
	ok(!sov_wal_pushed_ahead(cfg, path[1], &more), "once");
	make_segment(segment_name(6, 72), 6, 72, SYSTEM, SEGMENT, 99);
	ok(!sov_wal_pushed_ahead(cfg, path[2], &more), "but not what was changed since");
	shell("for p in a b c; do mv %s/$p.away %s/$p; done; rm -r %s/wal/archive_status", base, base, base);
	reopen();
	ok(push(path[2]) == SOV_E_EXISTS, "which is refused");
}

static void
not_found(void)
{
	const char *history = "00000003.history";
	char		path[300];
	FILE	   *f;

	ok(fetch("00000009.history") == SOV_E_NOTFOUND, "a history file that never was");
	ok(fetch(segment_name(3, 41)) == SOV_E_NOTFOUND, "the segment after the last one");
	ok(fetch(segment_name(3, 39)) == SOV_E_CORRUPT, "one before a mark is missing, not absent");
	repo->priv->ahead_us = 1;
	ok(fetch(segment_name(3, 41)) == SOV_E_STATE && err.hint[0], "nor is it certain while somebody's newest mark is refused for its date");
	repo->priv->ahead_us = 0;
	ok(fetch("../wal/00000009.history") == SOV_E_USAGE, "no path is a name");
	snprintf(path, sizeof path, "%s/wal/%s", base, history);
	f = fopen(path, "w");
	fprintf(f, "1\t0/1000000\tno reason\n");
	fclose(f);
	ok(push(path) == SOV_OK, "a history file");
	shell("mv %s/a %s/a.away; mv %s/b %s/b.away", base, base, base, base);
	ok(fetch(history) == SOV_OK && same_file(history), "is whole at every provider");
	shell("mv %s/a.away %s/a; mv %s/b.away %s/b", base, base, base, base);
}

int
main(void)
{
	struct sov_config cfg;
	char		path[300];
	uint8_t		id[16];
	FILE	   *f;

	names();
	snprintf(base, sizeof base, "/tmp/sov_wal_unit.%d", (int) getpid());
	shell("mkdir -m 700 %s %s/a %s/b %s/c %s/wal", base, base, base, base, base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	snprintf(path, sizeof path, "%s/conf", base);
	f = fopen(path, "w");
	fprintf(f, "[repository]\nname = test\nneeded = 2\nshards = 3\nstate-directory = %s/state\n[custody]\nroot = file:%s/root.key\n", base, base);
	for (const char *p = "abc"; *p; p++)
		fprintf(f, "[provider.%c]\ntype = folder\npath = %s/%c\n", *p, base, *p);
	fclose(f);
	ok_rc(sov_config_read(path, SOV_NEED_REPOSITORY, &cfg, &err), err, "configuration");
	ok_rc(sov_repo_init(&cfg, NULL, NULL, &repo, &err), err, "repository");
	sov_repo_close(repo);
	open_all();
	same_and_different();
	refusals();
	gaps();
	degraded();
	in_flight();
	one_by_one();
	attempts();
	not_found();
	pruned_run();
	run_holders();
	along();
	close_all();
	shell("rm -rf %s", base);
	return tap_done();
}
