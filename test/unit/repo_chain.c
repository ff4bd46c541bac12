/*
 * repo_chain (test) - the chains of heads on bad days: commits that reach too
 * few, processes that commit at the same moment, providers that invent heads,
 * clocks gone wrong.
 */
#include <inttypes.h>
#include <sys/wait.h>

#include "testrepo.h"

static struct sov_config cfg;

/* One mark by whoever holds this handle. */
static enum sov_code
commit(struct sov_repo *repo, uint64_t lsn, struct sov_error *err)
{
	return sov_repo_commit(repo, set_mark, &lsn, err);
}

static void
away(const char *provider)
{
	shell("mv %s/%s %s/%s.away", base, provider, base, provider);
}

static void
back(const char *provider)
{
	shell("mv %s/%s.away %s/%s", base, provider, base, provider);
}

static void
probe_all(struct sov_repo *repo)
{
	for (int i = 0; i < repo->n_providers; i++)
	{
		repo->providers[i].retry_at_us = 0;
		(void) sov_repo_probe(repo, i);
	}
}

/* Four processes of one host that has never written. */
static void
first_commits(void)
{
	struct sov_repo *repo;
	struct sov_error err;
	pid_t		pid[4];
	int			bad = 0,
				status;

	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "init");
	sov_repo_close(repo);
	fflush(stdout);
	for (int i = 0; i < 4; i++)
		if ((pid[i] = fork()) == 0)
		{
			enum sov_code rc;

			repo = reopen(&cfg);
			rc = repo ? commit(repo, 0x1000000u * (unsigned) (i + 1), &err) : SOV_E_SYSTEM;
			if (rc != SOV_OK)
				printf("# process %d: %s\n", i, repo ? err.message : "not opened");
			sov_repo_close(repo);
			fflush(stdout);
			_exit(rc != SOV_OK);
		}
	for (int i = 0; i < 4; i++)
		bad += waitpid(pid[i], &status, 0) != pid[i] || status != 0;
	ok(bad == 0, "four processes commit for the first time at once");
	repo = reopen(&cfg);
	ok(repo && repo->admin.n_writers == 1 && repo->n_heads == 1 && repo->heads[0].seq == 4, "they are one writer, with four heads");
	sov_repo_close(repo);
}

/* A commit that reached one provider, and then that one is away. */
static void
unfinished(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_error err;
	uint64_t	seq = repo->heads[0].seq;

	away("b");
	away("c");
	ok(commit(repo, 0x5000000, &err) == SOV_E_QUORUM, "a head that one of three takes does not count: %s", err.message);
	back("b");
	back("c");
	away("a");
	probe_all(repo);
	ok_rc(commit(repo, 0x6000000, &err), err, "the next one is committed at the two others");
	ok(repo->heads[0].seq == seq + 2, "after the unfinished one");
	sov_repo_close(repo);
	back("a");
	repo = reopen(&cfg);
	ok(repo && repo->heads[0].seq == seq + 2 && mark_is(repo, 0x6000000), "the one that comes back shows no other chain");
	sov_repo_close(repo);

	/* The same while the unfinished head is the newest, across a restart. */
	repo = reopen(&cfg);
	away("b");
	away("c");
	ok(commit(repo, 0x7000000, &err) == SOV_E_QUORUM, "another one");
	sov_repo_close(repo);
	back("b");
	back("c");
	away("a");
	repo = reopen(&cfg);
	ok(repo && commit(repo, 0x8000000, &err) == SOV_OK, "another process goes on");
	sov_repo_close(repo);
	back("a");
	repo = reopen(&cfg);
	ok(repo && repo->heads[0].seq == seq + 4 && mark_is(repo, 0x8000000), "and all is one chain");
	sov_repo_close(repo);
}

/* A change by the administrator that reached one provider. */
static enum sov_code
bump(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	(void) ctx;
	(void) repo;
	(void) err;
	head->map.version++;
	return SOV_OK;
}

static void
unfinished_admin(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_error err;
	uint64_t	seq = repo->admin.seq;
	uint32_t	version = repo->admin.map.version;

	away("b");
	away("c");
	/* reading the chain already needs two: they go between the two steps */
	ok(sov_repo_commit_admin(repo, bump, NULL, &err) == SOV_E_QUORUM, "no change with one of three");
	back("b");
	back("c");
	probe_all(repo);
	{
		/* a put that stops after the first provider */
		struct sov_admin_head *h = malloc(sizeof *h);
		struct sov_buf obj = {0};
		char		path[400],
					name[SOV_NAME_MAX];
		struct sov_put_span span;

		*h = repo->admin;
		h->seq++;
		h->map.version++;
		memcpy(h->prev, repo->admin.hash, 32);
		ok_rc(sov_admin_encode(repo->keys, h, &obj, &err), err, "a head, interrupted after the first provider");
		snprintf(path, sizeof path, "%s/state/admin.next", base);
		snprintf(name, sizeof name, "a/%016" PRIx64, h->seq);
		span = (struct sov_put_span) {obj.data, obj.len};
		ok(repo_write_file(path, obj.data, obj.len, &err) == SOV_OK && repo_put(repo, 0, name, &span, 1, true, &err) == SOV_OK, "(as a kill would leave it)");
		sov_buf_free(&obj);
		free(h);
	}
	away("a");
	ok_rc(sov_repo_commit_admin(repo, bump, NULL, &err), err, "the next change without that provider");
	ok(repo->admin.seq == seq + 2 && repo->admin.map.version == version + 2, "follows the interrupted one");
	sov_repo_close(repo);
	back("a");
	repo = reopen(&cfg);
	ok(repo && repo->admin.seq == seq + 2, "which is the same at all three");
	sov_repo_close(repo);
}

/* --- while it is being read --- */

static struct sov_repo *other_handle;
static enum sov_code other_rc;

static void
commit_meanwhile(void *ctx, const char *message)
{
	struct sov_error err;

	(void) ctx;
	if (other_handle != NULL && strstr(message, "not certified") && strstr(message, "provider c"))
	{
		struct sov_repo *h = other_handle;

		other_handle = NULL;
		other_rc = commit(h, 0x9000000, &err);
	}
}

static void
meanwhile(void)
{
	struct sov_repo *other = reopen(&cfg),
			   *repo = NULL;
	struct sov_error err;

	shell("mkdir -p %s/c/h/00000000000000aa && echo x > %s/c/h/00000000000000aa/0000000000000001", base, base);
	other_handle = other;
	other_rc = SOV_E_SYSTEM;
	ok_rc(sov_repo_open(&cfg, commit_meanwhile, NULL, &repo, &err), err, "opened while another process of the host commits");
	ok(other_rc == SOV_OK && other_handle == NULL, "(it did)");
	sov_repo_close(repo);
	sov_repo_close(other);
	shell("rm -r %s/c/h/00000000000000aa", base);
	repo = reopen(&cfg);
	ok(repo && mark_is(repo, 0x9000000), "its head is there");
	sov_repo_close(repo);
}

/* --- providers that lie --- */

static bool
access_base(const char *name)
{
	char		path[300];

	snprintf(path, sizeof path, "%s/%s", base, name);
	return access(path, F_OK) == 0;
}

static void
inventions(void)
{
	struct sov_config fresh = cfg;
	struct sov_repo *repo;
	struct sov_error err;

	snprintf(fresh.state_directory, sizeof fresh.state_directory, "%s/state.fresh", base);
	shell("for i in $(seq 100 199); do mkdir %s/a/h/0000000000000$i; echo x > %s/a/h/0000000000000$i/0000000000000009; done", base, base);
	repo = reopen(&fresh);
	ok(repo && repo->n_heads == 1 && mark_is(repo, 0x9000000), "a hundred invented writers crowd nobody out");
	ok(strstr(notes, "provider a shows 100 heads") != NULL, "and are named: %s", notes);
	sov_repo_close(repo);
	shell("rm -r %s/a/h/0000000000000???", base);

	shell("echo junk > %s/c/a/ffffffffffffffff", base);
	away("b");
	repo = reopen(&fresh);
	ok(repo && mark_is(repo, 0x9000000), "an invented administrator's head hides no real one");
	sov_repo_close(repo);
	shell("cp -a %s/c %s/c.keep; for f in %s/c/a/0*; do echo junk > $f; done", base, base, base);
	ok(open_code(&fresh, &err) == SOV_E_QUORUM, "a provider that proves nothing does not count: %s", err.message);
	shell("rm -rf %s/c; mv %s/c.keep %s/c; rm %s/c/a/ffffffffffffffff", base, base, base, base);
	back("b");
	ok(open_code(&fresh, &err) == SOV_OK, "then all is well again");
}

/* One that answers every put with "I have that already", and shows junk, or what it had
 * before, keeps nobody from committing. */
static void
taken_names(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_error err;
	uint64_t	writer = repo->heads[0].writer,
				seq = repo->heads[0].seq,
				admin = repo->admin.seq;

	shell("echo junk > %s/b/h/%016" PRIx64 "/%016" PRIx64, base, writer, seq + 1);
	ok_rc(commit(repo, 0x9100000, &err), err, "a commit where a provider says that it has that head, and shows junk");
	ok(strstr(notes, "provider b says that it has") != NULL, "it is named: %s", notes);
	shell("cp %s/b/h/%016" PRIx64 "/%016" PRIx64 " %s/b/h/%016" PRIx64 "/%016" PRIx64, base, writer, seq, base, writer, seq + 2);
	ok_rc(commit(repo, 0x9200000, &err), err, "or an earlier one of ours");
	ok(repo->heads[0].seq == seq + 2 && mark_is(repo, 0x9200000), "nothing was left under way");
	shell("echo junk > %s/b/a/%016" PRIx64, base, admin + 1);
	ok_rc(sov_repo_commit_admin(repo, bump, NULL, &err), err, "the administrator's likewise, with junk");
	shell("cp %s/c/a/%016" PRIx64 " %s/c/a/%016" PRIx64, base, admin, base, admin + 2);
	ok_rc(sov_repo_commit_admin(repo, bump, NULL, &err), err, "and with an earlier one");
	ok(repo->admin.seq == admin + 2, "nothing was left under way there");
	sov_repo_close(repo);
	repo = reopen(&cfg);
	ok(repo && repo->admin.seq == admin + 2 && repo->heads[0].seq == seq + 2, "all is one chain");
	sov_repo_close(repo);
	shell("cmp -s %s/a/a/%016" PRIx64 " %s/c/a/%016" PRIx64 " && cmp -s %s/a/h/%016" PRIx64 "/%016" PRIx64 " %s/b/h/%016" PRIx64 "/%016" PRIx64 " && touch %s/mended",
		  base, admin + 2, base, admin + 2, base, writer, seq + 2, base, writer, seq + 2, base);
	ok(access_base("mended"), "and written back to who lied");
}

/* A commit that stopped half-way, and a provider that shows an earlier head in its place. */
static void
taken_under_way(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_error err;
	uint64_t	writer = repo->heads[0].writer,
				seq = repo->heads[0].seq;

	away("b");
	away("c");
	ok(commit(repo, 0x9300000, &err) == SOV_E_QUORUM, "a head that one of three takes");
	back("b");
	back("c");
	shell("cp %s/a/h/%016" PRIx64 "/%016" PRIx64 " %s/a/h/%016" PRIx64 "/%016" PRIx64, base, writer, seq, base, writer, seq + 1);
	probe_all(repo);
	ok_rc(commit(repo, 0x9400000, &err), err, "it shows an earlier one in its place later: that is no cloned host");
	ok(repo->heads[0].seq == seq + 2 && mark_is(repo, 0x9400000), "and what was under way is completed");
	sov_repo_close(repo);
}

/* --- the keyring that the chain names --- */

static void
keyrings(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	struct sov_error err;
	uint64_t	seq = repo->keys->keyring_seq;

	ok(sov_repo_keyring_info(repo, ring, &err) == SOV_OK && sov_repo_rewrap(repo, ring->keks, ring->n_keks, &err) == SOV_OK, "another keyring: %s", err.message);
	free(ring);
	sov_repo_close(repo);
	shell("mkdir %s/hidden && for p in b c; do mv %s/$p/k/%016" PRIx64 "-* %s/hidden; done && echo junk > %s/a/k/ffffffffffffffff-0000000000000000", base, base, seq + 1, base, base);
	repo = reopen(&cfg);
	ok(repo && repo->keys->keyring_seq == seq + 1, "the one that the chain names is found where others hide it, and one invents a later one");
	sov_repo_close(repo);
	shell("mv %s/a/k/%016" PRIx64 "-* %s/hidden", base, seq + 1, base);
	ok(open_code(&cfg, &err) == SOV_E_QUORUM && strstr(err.message, "keyring"), "none goes on with the keyring before: %s", err.message);
	shell("for p in a b c; do cp %s/hidden/* %s/$p/k/; done; rm %s/a/k/f*; rm -r %s/hidden", base, base, base, base);
	ok(open_code(&cfg, &err) == SOV_OK, "then all is well again");
}

/* --- two that show one identity --- */

static void
twins(void)
{
	struct sov_repo *repo;
	struct sov_error err;

	shell("cp %s/b/id %s/id.b && cp %s/a/id %s/b/id", base, base, base, base);
	repo = reopen(&cfg);
	ok(repo && !repo->providers[1].known && repo->providers[0].known && repo->providers[2].known, "a provider that shows another's identity is left out");
	ok(strstr(notes, "provider b is not used") && strstr(notes, "identity of provider a"), "and named: %s", notes);
	ok(repo && commit(repo, 0x9500000, &err) == SOV_OK, "the others do");
	sov_repo_close(repo);
	shell("mv %s/id.b %s/b/id", base, base);
	repo = reopen(&cfg);
	ok(repo && repo->providers[1].known && mark_is(repo, 0x9500000), "its own serves again");
	sov_repo_close(repo);
}

/* What is written back is never empty. */
static void
written_back(void)
{
	struct sov_repo *repo = reopen(&cfg);
	char		path[400];
	struct stat st = {0};

	shell("rm %s/c/a/%016llx", base, (unsigned long long) repo->admin.seq);
	repo->priv->admin_behind[2] = true;
	(void) repo_read_identities(repo, NULL);
	snprintf(path, sizeof path, "%s/c/a/%016llx", base, (unsigned long long) repo->admin.seq);
	ok(stat(path, &st) == 0 && st.st_size > 100, "a head written back has its bytes");
	sov_repo_close(repo);
}

/* --- clocks --- */

static void
clocks(void)
{
	struct sov_config fresh = cfg;
	struct sov_repo *repo = reopen(&cfg);
	struct sov_error err;
	struct sov_head h = repo->heads[0];
	struct sov_buf obj = {0};
	char		name[SOV_NAME_MAX],
				path[400];
	struct repo_count count;
	bool		have;

	/* As if this host's clock had been ten days ahead at its last commit. */
	ok(repo_load_writer(repo, &have, &err) == SOV_OK && have, "this host is a writer");
	memcpy(h.prev, h.hash, 32);
	h.seq++;
	h.time_us = (uint64_t) repo_now_us() + UINT64_C(864000000000);
	ok_rc(sov_head_encode(repo->keys, &h, repo->priv->seed, &obj, &err), err, "a head dated ten days ahead");
	snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, h.writer, h.seq);
	snprintf(path, sizeof path, "%s/state/head", base);
	ok(repo_put_everywhere(repo, name, &obj, true, &count, &err) == SOV_OK && count.now == 3 &&
	   repo_write_file(path, obj.data, obj.len, &err) == SOV_OK, "is committed");
	sov_buf_free(&obj);
	sov_repo_close(repo);

	snprintf(fresh.state_directory, sizeof fresh.state_directory, "%s/state.fresh2", base);
	ok(open_code(&fresh, &err) == SOV_E_STATE && strstr(err.message, "clock") && err.hint[0], "another host does not take it for an empty repository: %s", err.message);
	repo = reopen(&cfg);
	ok(repo && repo->heads[0].seq == h.seq, "the host itself goes on");
	ok_rc(commit(repo, 0xa000000, &err), err, "and commits");
	ok((int64_t) repo->heads[0].time_us <= repo_now_us(), "by the right time");
	sov_repo_close(repo);
	ok(open_code(&fresh, &err) == SOV_OK, "which mends it for the others");
}

int
main(void)
{
	struct sov_error err;
	char		path[200];
	uint8_t		id[16];

	snprintf(base, sizeof base, "%s/sovchainXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	shell("mkdir -m 700 %s/a %s/b %s/c", base, base, base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	first_commits();
	unfinished();
	unfinished_admin();
	meanwhile();
	inventions();
	taken_names();
	taken_under_way();
	keyrings();
	twins();
	written_back();
	clocks();
	shell("rm -rf %s", base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
