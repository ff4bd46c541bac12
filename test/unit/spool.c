/*
 * spool - what waits for a provider that is away is proven before it is delivered:
 * damaged, it is rebuilt, or copied from another provider, or kept and named.  Writers
 * of several threads and processes keep to the limit, and lose nothing to who works it off.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sov_migrate.h"
#include "sov_audit.h"
#include "sov_verify.h"
#include "testrepo.h"

static struct sov_config cfg;
static struct sov_error err;
static uint8_t payload[200000];

static char synced[65536];
static void (*at_provider) (void);	/* when b has WAL */
static _Atomic bool slow_spool;

/* In place of the C library's: notes what it was called for, and lets something happen
 * meanwhile. */
int
fsync(int fd)
{
	char		link[64],
				path[300];
	ssize_t		n;
	void		(*now) (void) = at_provider;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 2);
	path[n > 0 ? n : 0] = '\0';
	if (slow_spool && strstr(path, "/spool/") != NULL)
	{
		usleep(100000);
		return (int) syscall(SYS_fsync, fd);	/* several at once */
	}
	if (now != NULL && n > 4 && strcmp(path + n - 4, "/b/w") == 0)
	{
		at_provider = NULL;
		now();
	}
	if (n > 0 && strlen(synced) + (size_t) n + 2 < sizeof synced)
	{
		strcpy(path + n, "\n");
		strcat(synced, path);
	}
	return (int) syscall(SYS_fsync, fd);
}

/* These too take their time, so that what may come between does. */
ssize_t
write(int fd, const void *p, size_t len)
{
	if (slow_spool && len >= sizeof payload)
		usleep(50000);
	return (ssize_t) syscall(SYS_write, fd, p, len);
}

int
ftruncate(int fd, off_t len)
{
	if (slow_spool)
		usleep(20000);
	return (int) syscall(SYS_ftruncate, fd, len);
}

static int	reads;

/* As well: counts how many entries of directories were read. */
struct dirent *
readdir(DIR *d)
{
	static struct dirent *(*next) (DIR *);

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "readdir");
	__atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
	return next(d);
}

static void
away(const char *provider)
{
	shell("mv %s/%s %s/%s.away", base, provider, base, provider);
}

static void
back(struct sov_repo *repo, const char *provider)
{
	shell("mv %s/%s.away %s/%s", base, provider, base, provider);
	for (int i = 0; i < repo->n_providers; i++)
	{
		repo->providers[i].retry_at_us = 0;
		(void) sov_repo_probe(repo, i);
	}
}

/* Turn the bits of one byte of each file that waits for b under such a name; how many. */
static int
damage(const char *names, const char *at)
{
	char		cmd[600];
	FILE	   *f;
	int			n = -1;

	snprintf(cmd, sizeof cmd,
			 "cd %s/state/spool/b && perl -e 'my $at = shift; for (@ARGV) { open(F, \"+<\", $_) || die; my $a = $at eq \"end\" ? (-s F) - 1 : $at;"
			 " seek(F, $a, 0); read(F, $b, 1); seek(F, $a, 0); print F ~$b; close(F) } print scalar(@ARGV)' %s %s", base, at, names);
	f = popen(cmd, "r");
	if (fscanf(f, "%d", &n) != 1)
		n = -1;
	pclose(f);
	return n;
}

static void
put_wal(struct sov_repo *repo, const char *name)
{
	struct sov_run *run = NULL;
	struct sov_put_result res;
	uint8_t		content[32] = {1};

	ok_rc(sov_repo_run_begin(repo, &run, &err), err, "a run");
	ok(sov_repo_put_stream(repo, run, SOV_CLASS_WAL, name, 1, payload, sizeof payload, false, content, 0, NULL, &res, &err) == SOV_OK && res.spooled == 1,
	   "WAL, of which a shard waits for b");
	sov_run_free(run);
}

static bool
readable(struct sov_repo *repo, const char *name)
{
	struct sov_buf out = {0};
	bool		good = sov_repo_get_stream(repo, SOV_CLASS_WAL, name, 0, NULL, &out, &err) == SOV_OK && out.len == sizeof payload;

	sov_buf_free(&out);
	return good;
}

static uint64_t
settle(struct sov_repo *repo)
{
	uint64_t	left = 99;

	notes[0] = '\0';
	ok_rc(sov_repo_settle(repo, 0, &left, &err), err, "the debt is worked off");
	return left;
}

static struct sov_debt
debt(void)
{
	struct sov_debt d = {.objects = 99};

	(void) sov_repo_debt(&cfg, "b", &d, NULL);
	return d;
}

static int
mentions(const char *words)
{
	int			n = 0;

	for (const char *p = notes; (p = strstr(p, words)) != NULL; p++)
		n++;
	return n;
}

static bool
sound(struct sov_repo *repo, bool repair)
{
	struct sov_verify_options opt = {.deep = true, .repair = repair};
	struct sov_verify_result v;

	return sov_verify_run(repo, &opt, NULL, &v, &err) == SOV_OK && v.lost == 0 && v.missing + v.damaged == v.mended;
}

/* The header opens: it says what it was. */
static void
rebuilt(struct sov_repo *repo)
{
	away("b");
	put_wal(repo, "000000010000000000000001");
	ok(damage("w,*", "end") == 1, "the last byte of the shard is damaged");
	away("c");
	ok(!readable(repo, "000000010000000000000001") && strstr(notes, "the spool of provider b: object w/"), "who reads it there is told: %s", err.message);
	back(repo, "b");
	ok(settle(repo) == 1 && mentions("spool/b/w,") == 1 && mentions("rebuilt from the others") == 1, "while c is away it cannot be rebuilt: %s", notes);
	ok(debt().markers == 1 && debt().damaged == 0, "a marker stands for it");
	ok(settle(repo) == 1 && mentions("spool/b/") == 0, "it is named once");
	back(repo, "c");
	ok(settle(repo) == 0 && debt().objects == 0 && sound(repo, false), "then it is rebuilt and delivered");
}

/* Heads and the audit log: every provider has the same. */
static void
copied(struct sov_repo *repo)
{
	struct sov_audit_shipped done;
	uint64_t	lsn = 0x3000000;

	away("b");
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "a head is committed");
	ok_rc(sov_audit_ship(repo, &done, &err), err, "the audit log is shipped");
	ok(damage("h,* l,*", "60") == 2, "the head and the batch that wait are damaged");
	back(repo, "b");
	ok(settle(repo) == 0 && mentions("the copy of another provider") == 2, "another provider's copy is delivered: %s", notes);
	ok(sound(repo, false), "and is sound");
}

/* A name does not say whose shard it was. */
static void
aside(struct sov_repo *repo)
{
	away("b");
	put_wal(repo, "000000010000000000000002");
	ok(damage("w,* r,*", "40") == 2, "a shard's header and a run's share are damaged");
	back(repo, "b");
	ok(settle(repo) == 2 && mentions("is damaged, is not delivered to provider b, and was set aside") == 2, "they are kept and named: %s", notes);
	ok(debt().objects == 2 && debt().damaged == 2, "and counted as debt");
	ok(settle(repo) == 2 && notes[0] == '\0', "they are named once");
	ok(readable(repo, "000000010000000000000002"), "the others serve");
	ok(sound(repo, true) && settle(repo) == 0 && debt().objects == 0, "repair finds what b lacks, then nothing is owed");
	ok(sound(repo, false), "and all is sound");
	shell("mkdir -p %s/state/spool/b && echo damaged >%s/state/spool/b/w,pruned.damaged", base, base);
	ok(settle(repo) == 1 && sound(repo, false) && debt().damaged == 1, "one that nobody has any more stays");
	away("b");
	(void) sound(repo, true);
	back(repo, "b");
	ok(debt().damaged == 1, "also while the provider is not asked");
	ok(sound(repo, true) && debt().objects == 0, "and goes when repair finds that nothing is lacking");
}

/* Each is whole, and belongs to the other's place. */
static void
swapped(struct sov_repo *repo)
{
	away("b");
	put_wal(repo, "000000010000000000000003");
	put_wal(repo, "000000010000000000000004");
	shell("cd %s/state/spool/b && set -- w,* && mv $1 x && mv $2 $1 && mv x $2", base);
	back(repo, "b");
	ok(settle(repo) == 2 && mentions("it is another shard (w 00000001000000000000000") == 2, "shards in each other's place are not delivered: %s", notes);
	ok(debt().objects == 2 && debt().damaged == 2, "but kept, as debt");
	ok(sound(repo, true) && settle(repo) == 0 && debt().objects == 0 && sound(repo, false), "repair finds what b lacks");
}

/* What counts as a holder survives a crash, with the directories made for it. */
static void
durable(struct sov_repo *repo)
{
	shell("rm -rf %s/state/spool", base);
	away("b");
	synced[0] = '\0';
	put_wal(repo, "000000010000000000000006");
	ok(strstr(synced, "/state\n") && strstr(synced, "/state/spool\n") && strstr(synced, "/state/spool/b\n") && strstr(synced, "/state/spool/b/w,"),
	   "what waits is synced, and every directory on the way: %s", synced);
	back(repo, "b");
	ok(settle(repo) == 0, "and delivered");
}

/* --- several at once --- */

static void
spool_one(struct sov_repo *repo, int i, bool *kept)
{
	struct sov_put_span span = {payload, sizeof payload};
	char		name[40],
				marker[80];

	snprintf(name, sizeof name, "w/limit%d", i);
	snprintf(marker, sizeof marker, "w 0000000100000000000000%02d %u 0 1", i, repo->admin.map.generation);
	repo_spool_put(repo, "b", name, &span, 1, marker, kept);
}

struct writers
{
	struct sov_repo *repo;
	_Atomic int kept;
	_Atomic bool stop;
};

static void
write_one(int i, void *arg)
{
	struct writers *w = arg;
	bool		kept;

	spool_one(w->repo, i, &kept);
	w->kept += kept;
}

static void
limit(struct sov_repo *repo)
{
	struct writers w = {.repo = repo};
	uint64_t	limit = repo->cfg.spool_limit;
	bool		kept;
	int			fd;

	shell("rm -rf %s/state/spool", base);
	repo->cfg.spool_limit = sizeof payload * 5 / 2;
	slow_spool = true;
	sov_parallel(8, write_one, &w);
	slow_spool = false;
	ok(w.kept == 2 && debt().objects == 8 && debt().markers == 6 && debt().bytes == 2 * sizeof payload,
	   "of eight writers at once two find room, a marker stands for the others' shards: %d kept, %d markers", w.kept, (int) debt().markers);
	shell("rm -rf %s/state/spool", base);

	/* as a writer that is killed leaves it, and as one that is at work has it */
	shell("mkdir -p %s/state/spool/b && truncate -s 400000 %s/state/spool/b/w,dead.tmp.1.1 && truncate -s 400000 %s/state/spool/b/w,alive.tmp.1.2", base, base, base);
	{
		char		path[300];

		snprintf(path, sizeof path, "%s/state/spool/b/w,alive.tmp.1.2", base);
		fd = open(path, O_RDWR | O_CLOEXEC);
		ok(fd >= 0 && flock(fd, LOCK_EX) == 0, "a file that is being written");
		ok(debt().objects == 0 && debt().unfinished == 2 && debt().reserved == 800000, "is no debt, nor is what a crash left");
		spool_one(repo, 1, &kept);
		ok(!kept && debt().unfinished == 1 && access(path, F_OK) == 0, "it counts for the limit; what a crash left is swept when there is no room");
		close(fd);				/* its writer dies */
	}
	spool_one(repo, 2, &kept);
	ok(kept && debt().unfinished == 0 && debt().objects == 2, "and so it is itself, then");
	shell("rm -rf %s/state/spool && mkdir -p %s/state/spool/b && touch %s/state/spool/b/r,dead.tmp.1.1", base, base, base);
	ok(settle(repo) == 0 && debt().unfinished == 0, "and whenever debt is worked off");
	{
		char		path[300];

		snprintf(path, sizeof path, "%s/state/spool/b", base);
		ok(access(path, F_OK) != 0, "with the directory, which is empty");
	}
	repo->cfg.spool_limit = limit;
}

static void *
tidy_always(void *arg)
{
	struct writers *w = arg;

	while (!w->stop)
		repo_spool_tidy(w->repo, "b");
	return NULL;
}

static void
removed_directory(struct sov_repo *repo)
{
	struct writers w = {.repo = repo};
	pthread_t	thread;
	int			lost = 0;
	bool		kept;

	pthread_create(&thread, NULL, tidy_always, &w);
	for (int i = 0; i < 200; i++)
	{
		spool_one(repo, 3, &kept);
		lost += !kept || debt().objects != 1;
		repo_spool_forget(repo, "b", "w/limit3");
	}
	w.stop = true;
	pthread_join(thread, NULL);
	ok(lost == 0, "no debt is lost to who removes the empty directory: %d of 200", lost);
}

/* Another process stores it again, to which the provider is away. */
static void
replace(void)
{
	shell("cd %s/state/spool/b && for f in w,*; do cp $f ../again && mv ../again $f; done", base);
}

/* Another process stores it there. */
static void
forget_all(void)
{
	shell("rm %s/state/spool/b/w,*", base);
}

static void
overtaken(struct sov_repo *repo)
{
	away("b");
	put_wal(repo, "000000010000000000000007");
	back(repo, "b");
	at_provider = replace;
	(void) settle(repo);
	ok(at_provider == NULL && debt().objects == 1 && debt().markers == 0, "what comes in the place of an entry while that is delivered stays");
	ok(settle(repo) == 0 && debt().objects == 0, "and is delivered then");
	away("b");
	put_wal(repo, "000000010000000000000008");
	back(repo, "b");
	at_provider = forget_all;
	(void) settle(repo);
	ok(at_provider == NULL && debt().markers == 1, "what somebody else has put meanwhile is rebuilt: a marker stands for it");
	ok(settle(repo) == 0 && debt().objects == 0 && sound(repo, false), "and is delivered, and sound");
}

/* What is told of the debt is what lies there, file by file. */
static bool
told_is_true(void)
{
	struct sov_debt d = debt();
	char		cmd[300];
	unsigned long long files = 99,
				bytes = 99,
				wal = 99,
				damaged = 99;
	FILE	   *f;

	snprintf(cmd, sizeof cmd, "cd %s/state/spool/b 2>/dev/null || { echo 0 0 0 0; exit; }; echo $(ls | wc -l) $(cat * | wc -c) $(ls | grep -c ^w,) $(ls | grep -c damaged$)", base);
	f = popen(cmd, "r");
	if (fscanf(f, "%llu %llu %llu %llu", &files, &bytes, &wal, &damaged) != 4)
		files = 99;
	pclose(f);
	if (d.objects == files && d.bytes == bytes && d.of['w' - 'a'] == wal && d.damaged == damaged)
		return true;
	printf("# told %llu objects, %llu bytes, %llu of WAL, %llu damaged; there are %llu, %llu, %llu, %llu\n", (unsigned long long) d.objects,
		   (unsigned long long) d.bytes, (unsigned long long) d.of['w' - 'a'], (unsigned long long) d.damaged, files, bytes, wal, damaged);
	return false;
}

static void
in_and_out(int member, void *arg)
{
	struct sov_put_span span = {payload, 1000};
	char		name[40];
	bool		kept;

	for (int i = 0; i < 30; i++)
	{
		snprintf(name, sizeof name, "w/%d-%d", member, i);
		span.len++;
		repo_spool_put(arg, "b", name, &span, 1, NULL, &kept);
		if (i % 3 == 0)
			repo_spool_forget(arg, "b", name);
		(void) debt();
	}
}

/* A count is kept, so that a million of objects cost no more than one; it is believed
 * only while it is of what lies there. */
static void
counted(struct sov_repo *repo)
{
	char		b[300];

	snprintf(b, sizeof b, "%s/state/spool/b", base);
	away("b");
	put_wal(repo, "000000010000000000000017");
	ok(told_is_true(), "what is owed is told");
	shell("cd %s && for i in $(seq 1 2000); do echo $i >q,$i; done", b);
	ok(told_is_true() && debt().objects > 2000, "what others put there too");
	reads = 0;
	ok(debt().objects > 2000 && debt().objects > 2000 && reads == 0, "the next time nothing is read for it: %d entries", reads);
	put_wal(repo, "000000010000000000000018");
	ok(reads < 30, "nor to keep one more: %d entries", reads);
	ok(told_is_true(), "which is counted");
	shell("rm %s/q,17", b);
	ok(told_is_true(), "one that is taken out by hand");
	shell("cp %s/state/debt/b %s/old && mv %s/q,18 %s/q,19.damaged", base, base, b, b);
	ok(told_is_true(), "one that gets another name");
	shell("rm %s/q,21", b);
	(void) debt();
	shell("cp %s/old %s/state/debt/b", base, base);
	ok(told_is_true(), "an old count is not believed");
	shell("printf x | dd of=%s/state/debt/b bs=1 seek=40 conv=notrunc 2>/dev/null", base);
	ok(told_is_true(), "nor one that is damaged");
	shell("cp -a %s %s/copy && rm -r %s && rm %s/copy/q,2? && mv %s/copy %s", b, base, b, base, base, b);
	ok(told_is_true(), "nor that of another directory");
	shell("rm -r %s/state/debt && touch %s/state/debt", base, base);
	ok(told_is_true() && told_is_true(), "and where none can be kept all is counted each time");
	put_wal(repo, "00000001000000000000001A");
	ok(told_is_true(), "also after a change");
	shell("rm %s/state/debt", base);
	(void) debt();
	reads = 0;
	sov_parallel(4, in_and_out, repo);
	ok(reads < 2000 && told_is_true(), "several that change it at once keep it true: %d entries read", reads);
	shell("cd %s && rm -f q,* w,?-*", b);
	back(repo, "b");
	ok(settle(repo) == 0 && told_is_true() && sound(repo, false), "and what is delivered is not owed any more");
}

static void
void_markers(struct sov_repo *repo)
{
	static const char *const marks[] = {"w 000000010000000000000009", "r 00112233445566778899aabbccddeeff", "p 00112233445566778899aabbccddeeff"};

	for (int i = 0; i < 3; i++)
	{
		shell("mkdir -p %s/state/spool/b && echo 'SOVDEBT1 %s %u 0 1' > %s/state/spool/b/%c,gone", base, marks[i], repo->admin.map.generation, base, marks[i][0]);
		ok(settle(repo) == 0, "the marker of an object that is nowhere goes: %.1s, %d of %d", marks[i], repo->admin.map.k, repo->admin.map.n);
	}
}

/* Another process of this host changes k, and owes by the newer map. */
static void
newer_map(struct sov_repo *repo)
{
	struct sov_config one = cfg;
	struct sov_apply_result res;
	struct sov_repo *other;

	one.needed = 1;
	other = reopen(&one);
	ok_rc(sov_apply_run(other, false, NULL, &res, &err), err, "another process changes 2 of 3 to 1 of 3");
	away("b");
	put_wal(other, "000000010000000000000005");
	back(other, "b");
	ok(settle(repo) == 0 && debt().objects == 0, "what it owes is delivered by one that knew the old map only");
	ok(sound(other, false), "and is there");
	void_markers(other);
	sov_repo_close(other);
}

static void
void_marker(struct sov_repo *repo)
{
	shell("mkdir -p %s/state/spool/b && echo 'SOVDEBT1 w 000000010000000000000009 %u 0 1' > %s/state/spool/b/w,gone", base, repo->admin.map.generation, base);
	shell("echo 'SOVDEBT1 w' > %s/state/spool/b/w,cut", base);
	ok(settle(repo) == 1 && debt().damaged == 1, "the marker of an object that is nowhere goes; a marker cut short is kept: %s", notes);
	shell("rm -r %s/state/spool/b", base);
}

int
main(void)
{
	struct sov_repo *repo;
	char		path[200];
	uint64_t	lsn = 0x2000000;
	uint8_t		id[16];

	snprintf(base, sizeof base, "%s/sovspoolXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	shell("cd %s && mkdir -m 700 a b c", base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "a repository");
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "with a head");
	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t) (i * i >> 5);
	rebuilt(repo);
	copied(repo);
	aside(repo);
	swapped(repo);
	durable(repo);
	counted(repo);
	limit(repo);
	removed_directory(repo);
	overtaken(repo);
	void_markers(repo);
	void_marker(repo);
	newer_map(repo);
	sov_repo_close(repo);
	shell("rm -rf %s", base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
