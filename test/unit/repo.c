/*
 * repo.c (test) - a repository over three folders: state, objects, debt,
 * damage, leaving a provider.
 */
#include <fcntl.h>
#include <ftw.h>

#include "sov_migrate.h"
#include "testrepo.h"

static int flip_percent,
			flipped;

static int
flip_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	unsigned char c;
	int			fd;
	off_t		at = (st->st_size - 1) * flip_percent / 100;

	(void) ftw;
	if (type != FTW_F)
		return 0;
	fd = open(path, O_RDWR);
	if (pread(fd, &c, 1, at) == 1)
	{
		c ^= 0x40;
		flipped += pwrite(fd, &c, 1, at) == 1;
	}
	close(fd);
	return 0;
}

/* Flip one byte at this place of every object of one class at a provider. */
static int
flip_all(const char *provider, const char *class_, int percent)
{
	char		dir[300];

	snprintf(dir, sizeof dir, "%s/%s/%s", base, provider, class_);
	flip_percent = percent;
	flipped = 0;
	nftw(dir, flip_one, 8, FTW_PHYS);
	return flipped;
}

static uint8_t payload[300001];

/* Objects to look after: metadata, WAL, history. */
static void
put_objects(struct sov_repo *repo, struct sov_objref *ref)
{
	struct sov_run *run = NULL;
	struct sov_error err;
	struct sov_put_result res;
	uint8_t		content[32];

	for (size_t i = 0; i < sizeof payload; i++)
		payload[i] = (uint8_t) (i * i >> 7);
	ok_rc(sov_repo_run_begin(repo, &run, &err), err, "a run begins");
	ok_rc(sov_repo_put_stream(repo, run, SOV_CLASS_META, NULL, 0, payload, sizeof payload, true, NULL, 0, ref, &res, &err), err, "metadata is put");
	ok(res.holders == 3 && res.stored > 0, "three providers hold it");
	ok_rc(sov_repo_content_hash(repo, SOV_CLASS_WAL, "000000010000000000000001", payload, 5000, content, &err), err, "content hash");
	ok_rc(sov_repo_put_stream(repo, run, SOV_CLASS_WAL, "000000010000000000000001", 1, payload, 5000, true, content, 0, NULL, &res, &err), err, "WAL is put");
	ok_rc(sov_repo_put_stream(repo, run, SOV_CLASS_WAL, "00000002.history", 2, "1\t0/3000000\n", 12, true, content, 0, NULL, &res, &err), err, "history is put");
	sov_run_free(run);
}

static bool
readable(struct sov_repo *repo, const struct sov_objref *ref, struct sov_error *err)
{
	struct sov_buf out = {0};
	bool		good;

	sov_error_clear(err);
	good = sov_repo_get_stream(repo, SOV_CLASS_META, ref->id, ref->attempt, NULL, &out, err) == SOV_OK &&
		out.len == sizeof payload && memcmp(out.data, payload, out.len) == 0;
	out.len = 0;
	good = good && sov_repo_get_stream(repo, SOV_CLASS_WAL, "000000010000000000000001", 0, NULL, &out, err) == SOV_OK && out.len == 5000;
	out.len = 0;
	good = good && sov_repo_get_stream(repo, SOV_CLASS_WAL, "00000002.history", 0, NULL, &out, err) == SOV_OK && out.len == 12;
	sov_buf_free(&out);
	return good;
}

static void
count_problem(void *ctx, const struct sov_problem *p)
{
	(void) ctx;
	printf("# %d %s %s (%s): %s%s\n", p->kind, p->provider, p->object, p->what, p->message, p->mended ? " mended" : "");
}

static struct sov_verify_result
verify(struct sov_repo *repo, bool deep, bool repair)
{
	struct sov_verify_options opt = {.deep = deep, .repair = repair, .problem = count_problem};
	struct sov_verify_result res;
	struct sov_error err;

	ok_rc(sov_verify_run(repo, &opt, NULL, &res, &err), err, "verify runs");
	return res;
}

static void
test_state(const struct sov_config *cfg, struct sov_objref *ref)
{
	struct sov_repo *repo;
	struct sov_error err;
	uint64_t	lsn = 0x2000000;

	ok_rc(sov_repo_init(cfg, take_note, NULL, &repo, &err), err, "init");
	sov_repo_close(repo);
	ok(sov_repo_init(cfg, take_note, NULL, &repo, &err) == SOV_E_EXISTS, "a second init is refused: %s", err.message);
	repo = reopen(cfg);
	ok(repo != NULL, "it opens");
	put_objects(repo, ref);
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "a head is committed");
	ok(mark_is(repo, lsn), "and known");
	ok(sov_repo_check_system(repo, 42, &err) == SOV_OK && sov_repo_check_system(repo, 43, &err) == SOV_E_STATE, "another cluster is refused: %s", err.message);
	ok(readable(repo, ref, &err), "objects are read back: %s", err.message);
	sov_repo_close(repo);

	repo = reopen(cfg);
	ok(repo && mark_is(repo, lsn) && notes[0] == '\0', "opened again: the head is there, nothing to note: %s", notes);
	lsn = 0x3000000;
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "the next head");
	ok(repo->n_heads == 1 && repo->heads[0].seq == 2 && repo->admin.n_writers == 1, "one writer, two heads");
	sov_repo_close(repo);
}

static void
test_lost_provider(const struct sov_config *cfg, const struct sov_objref *ref)
{
	struct sov_repo *repo;
	struct sov_error err;
	struct sov_debt debt;
	struct sov_put_result res;
	struct sov_run *run = NULL;
	uint64_t	left,
				lsn = 0x4000000;

	shell("mv %s/b %s/b.away", base, base);
	repo = reopen(cfg);
	ok(repo && mark_is(repo, 0x3000000), "one provider gone: the state is read");
	ok(strstr(notes, "provider b does not answer") != NULL, "and it is named");
	ok(readable(repo, ref, &err), "objects are read: %s", err.message);
	ok_rc(sov_repo_run_begin(repo, &run, &err), err, "a run begins without b");
	ok_rc(sov_repo_put_stream(repo, run, SOV_CLASS_WAL, "000000010000000000000002", 1, payload, 9000, true, payload, 0, NULL, &res, &err), err, "WAL is put without b");
	ok(res.holders == 2 && res.spooled == 1, "two hold it, the spool has the third shard");
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "a head is committed without b");
	ok(sov_repo_debt(cfg, "b", &debt, &err) == SOV_OK && debt.objects == 3 && debt.markers == 0, "b is owed the shard, the run's share and the head");
	shell("mv %s/b.away %s/b", base, base);
	repo->providers[1].retry_at_us = 0;
	ok(sov_repo_probe(repo, 1), "b answers again");
	ok(sov_repo_settle(repo, 0, &left, &err) == SOV_OK && left == 0, "the debt is worked off");
	ok(sov_repo_debt(cfg, "b", &debt, &err) == SOV_OK && debt.objects == 0, "and the spool is empty");
	sov_run_free(run);
	sov_repo_close(repo);
	repo = reopen(cfg);
	ok(repo && mark_is(repo, lsn) && notes[0] == '\0', "then nothing is left to note: %s", notes);
	{
		struct sov_verify_result v = verify(repo, true, false);

		/* the head that was committed without b and is not the newest of any chain is written back by repair only */
		ok(v.damaged == 0 && v.lost == 0 && v.tolerates == 1, "deep verify: nothing damaged or lost, one more may vanish");
	}
	sov_repo_close(repo);
}

static void
test_two_gone(const struct sov_config *cfg)
{
	struct sov_error err;

	shell("mv %s/a %s/a.away; mv %s/b %s/b.away", base, base, base, base);
	ok(open_code(cfg, &err) == SOV_E_QUORUM, "two of three gone: %s", err.message);
	ok(strstr(err.message, "a (") && strstr(err.message, "b ("), "both are named");
	shell("mv %s/a.away %s/a; mv %s/b.away %s/b", base, base, base, base);
}

static void
test_damage(const struct sov_config *cfg, const struct sov_objref *ref)
{
	static const char *const classes[] = {"m", "w", "r", "h", "a", "k"};
	struct sov_repo *repo;
	struct sov_error err;
	struct sov_verify_result v;

	repo = reopen(cfg);
	verify(repo, true, true);	/* older heads that b missed */
	sov_repo_close(repo);
	for (size_t c = 0; c < sizeof classes / sizeof classes[0]; c++)
		for (int percent = 0; percent <= 100; percent += 50)
		{
			int			n = flip_all("c", classes[c], percent);

			repo = reopen(cfg);
			ok(repo && n > 0 && readable(repo, ref, &err) && mark_is(repo, 0x4000000),
			   "a byte flipped in each of %d objects of class %s: healed around", n, classes[c]);
			v = verify(repo, true, true);
			ok(v.lost == 0 && v.damaged + v.missing <= v.mended, "class %s at %d %%: mended", classes[c], percent);
			sov_repo_close(repo);
			repo = reopen(cfg);
			v = verify(repo, true, false);
			ok(v.damaged == 0 && v.missing == 0 && v.lost == 0, "class %s: then nothing is wrong", classes[c]);
			sov_repo_close(repo);
		}
}

static void
test_old_state(const struct sov_config *cfg)
{
	struct sov_repo *repo;
	struct sov_error err;
	uint64_t	lsn = 0x5000000;

	shell("cp -a %s/a %s/a.old; cp -a %s/b %s/b.old; cp -a %s/c %s/c.old", base, base, base, base, base, base);
	repo = reopen(cfg);
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "a newer head");
	sov_repo_close(repo);
	shell("mv %s/a %s/a.new; cp -a %s/a.old %s/a", base, base, base, base);
	repo = reopen(cfg);
	ok(repo && mark_is(repo, lsn) && strstr(notes, "outvoted"), "an old state at one provider is outvoted");
	sov_repo_close(repo);
	shell("rm -rf %s/a %s/b %s/c; mv %s/a.old %s/a; mv %s/b.old %s/b; mv %s/c.old %s/c", base, base, base, base, base, base, base, base, base);
	ok(open_code(cfg, &err) == SOV_E_CONFLICT, "an old state at all of them is refused by a host that knows better: %s", err.message);
	shell("rm -f %s/state/head", base);
	ok(open_code(cfg, &err) == SOV_OK, "unless it is told to forget");
	shell("rm -rf %s/a.new", base);
}

/* --- older versions --- */

static struct sov_repo *versioned;

/* One older version of each object, in a folder beside the provider's. */
static enum sov_code
test_version(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	char		path[400];

	for (int i = 0; i < versioned->n_providers; i++)
	{
		snprintf(path, sizeof path, "%s/%s.older/%s", base, versioned->providers[i].cfg->name, name);
		if (versioned->providers[i].handle == p && age == 1)
			return repo_read_file(path, out, err);
	}
	if (age == 0)
		sov_write_bytes(out, "something else", 14);
	return age == 0 ? SOV_OK : sov_provider_no_older(p, name, age, out, err);
}

/* The folders keep versions from here on, as far as the last n of them do. */
static void
with_versions(struct sov_repo *repo, struct sov_provider_ops *ops, int n)
{
	versioned = repo;
	for (int i = repo->n_providers - n; i < repo->n_providers; i++)
	{
		ops[i] = *repo->providers[i].handle->ops;
		ops[i].older = test_version;
		repo->providers[i].handle->ops = &ops[i];
	}
}

static void
test_older(const struct sov_config *cfg, const struct sov_objref *ref)
{
	static const char *const classes[] = {"m", "w", "r"};
	struct sov_provider_ops ops[3];
	struct sov_repo *repo;
	struct sov_error err;
	struct sov_buf raw = {0};
	struct sov_verify_result v;
	char		keyring[SOV_NAME_MAX];

	for (int i = 0; i < 3; i++)
		shell("rm -rf %s/%s.older; cp -a %s/%s %s/%s.older", base, abc[i], base, abc[i], base, abc[i]);
	for (int c = 0; c < 3; c++)
		ok(flip_all("a", classes[c], 0) > 0 && flip_all("b", classes[c], 50) > 0 && flip_all("c", classes[c], 100) > 0,
		   "class %s is overwritten at all three", classes[c]);
	repo = reopen(cfg);
	ok(!readable(repo, ref, &err) && err.code == SOV_E_CORRUPT, "without versions that is the end: %s", err.message);
	v = verify(repo, true, false);
	ok(v.lost > 0, "and verify says so");
	sov_repo_close(repo);
	repo = reopen(cfg);
	with_versions(repo, ops, 1);
	ok(!readable(repo, ref, &err), "older versions at fewer than k do not help");
	sov_repo_close(repo);
	repo = reopen(cfg);
	with_versions(repo, ops, 2);
	ok(readable(repo, ref, &err), "at k providers they do: %s", err.message);
	ok(strstr(notes, "an older version of it serves"), "and that is said");
	v = verify(repo, true, false);
	ok(v.lost == 0 && v.damaged > 0 && v.tolerates == 0, "verify calls nothing lost; no provider may fail");
	v = verify(repo, true, true);
	ok(v.lost == 0 && v.damaged == v.mended, "repair puts back what they give");
	sov_repo_close(repo);
	repo = reopen(cfg);
	v = verify(repo, true, false);
	ok(v.damaged == 0 && v.missing == 0 && v.lost == 0 && readable(repo, ref, &err), "then all is as it was");
	shell("rm -f %s/?/w/*", base);
	ok(!readable(repo, ref, &err), "WAL is hidden at all three");
	with_versions(repo, ops, 3);
	ok(readable(repo, ref, &err), "older versions give it: %s", err.message);
	sov_keyring_object_name(repo->keys->keyring_seq, repo->keys->keyring_hash, keyring);
	ok(flip_all("a", "k", 50) + flip_all("b", "k", 50) + flip_all("c", "k", 50) == 3 &&
	   sov_whole_read(repo, keyring, &raw, &err) == SOV_OK, "and a keyring that was overwritten everywhere");
	sov_buf_free(&raw);
	sov_repo_close(repo);
	for (int i = 0; i < 3; i++)
		shell("rm -rf %s/%s; mv %s/%s.older %s/%s", base, abc[i], base, abc[i], base, abc[i]);
}

static bool
same_items(const struct sov_inventory *a, const struct sov_inventory *b)
{
	bool		same = a->n_items == b->n_items && a->n_damaged == b->n_damaged;

	for (size_t i = 0; same && i < a->n_items; i++)
		same = memcmp(&a->items[i], &b->items[i], sizeof a->items[i]) == 0;
	return same;
}

/* A second look at what is stored: lists, and the headers of what is new. */
static void
test_second_look(const struct sov_config *cfg)
{
	struct sov_repo *repo = reopen(cfg);
	struct sov_inventory first,
				again;
	struct sov_error err;
	uint64_t	asked[3];
	const char *first_wal = "first=$(ls %s/b/w/* | head -1)";
	char		cmd[300];

	ok_rc(sov_inventory_read(repo, &first, &err), err, "an inventory of %d objects", (int) first.n_items);
	for (int i = 0; i < 3; i++)
		asked[i] = repo->providers[i].requests;
	ok_rc(sov_inventory_read_again(repo, &first, &again, &err), err, "a second one");
	ok(same_items(&first, &again) && again.n_damaged == 0, "says the same");
	for (int i = 0; i < 3; i++)
		ok(repo->providers[i].requests == asked[i] + 4, "and asked for lists only: %d requests", (int) (repo->providers[i].requests - asked[i]));
	sov_inventory_free(&again);
	snprintf(cmd, sizeof cmd, "%s; cp $first %%s/shard; truncate -s -1 $first", first_wal);
	shell(cmd, base, base);
	ok(sov_inventory_read_again(repo, &first, &again, &err) == SOV_OK && again.n_damaged == 1, "what has another size is read, and found damaged");
	sov_inventory_free(&again);
	snprintf(cmd, sizeof cmd, "%s; rm $first; cp %%s/shard ${first%%%%/*}/22222222222222222222222222222222", first_wal);
	shell(cmd, base, base);
	ok(sov_inventory_read_again(repo, &first, &again, &err) == SOV_OK && again.n_damaged == 1 && strstr(again.damaged[0].message, "another's place"),
	   "and so is what has another name");
	sov_inventory_free(&again);
	sov_inventory_free(&first);
	shell("rm %s/b/w/22222222222222222222222222222222", base);
	verify(repo, false, true);
	sov_repo_close(repo);
}

/* What one provider's headers and the lists of the others say, for a move. */
static void
test_one_providers_headers(const struct sov_config *cfg)
{
	struct sov_repo *repo = reopen(cfg);
	struct sov_inventory all,
				one;
	struct sov_error err;
	uint64_t	asked[3];

	ok_rc(sov_inventory_read(repo, &all, &err), err, "an inventory of %d objects", (int) all.n_items);
	for (int i = 0; i < 3; i++)
		asked[i] = repo->providers[i].requests;
	ok(sov_inventory_read_first(repo, 1, &one, &err) == SOV_OK && same_items(&all, &one), "the headers at one provider tell what lies at all");
	ok(repo->providers[0].requests == asked[0] + 4 && repo->providers[2].requests == asked[2] + 4 && repo->providers[1].requests > asked[1] + 4,
	   "the others were asked for lists only: %d requests", (int) (repo->providers[0].requests - asked[0]));
	sov_inventory_free(&one);
	sov_inventory_free(&all);
	shell("rm $(ls %s/b/m/* | head -1); truncate -s -1 $(ls %s/c/w/* | tail -1)", base, base);
	ok(sov_inventory_read(repo, &all, &err) == SOV_OK && sov_inventory_read_first(repo, 1, &one, &err) == SOV_OK && same_items(&all, &one) && one.n_damaged == 1,
	   "what that one lacks, and what is not as long at another, is found all the same");
	sov_inventory_free(&one);
	sov_inventory_free(&all);
	verify(repo, false, true);
	sov_repo_close(repo);
}

/* What a killed process has left at a provider goes after a day. */
static void
test_unfinished(const struct sov_config *cfg)
{
	struct sov_repo *repo = reopen(cfg);
	char		old[200],
				new[200];

	/* later than the folder was opened: that looks, too */
	shell("cd %s/a/+tmp && touch -d '2 days ago' old && touch new", base);
	snprintf(old, sizeof old, "%s/a/+tmp/old", base);
	snprintf(new, sizeof new, "%s/a/+tmp/new", base);
	(void) verify(repo, false, false);
	ok(access(old, F_OK) == 0, "verify takes nothing back");
	notes[0] = '\0';
	(void) verify(repo, false, true);
	ok(access(old, F_OK) != 0 && access(new, F_OK) == 0, "repair takes back what was begun over a day ago");
	ok(strstr(notes, "provider a: 1 uploads that were begun over a day ago") != NULL, "and says so: %s", notes);
	unlink(new);
	sov_repo_close(repo);
}

static void
test_fresh_host(const struct sov_objref *ref)
{
	static const char *const aed[] = {"a", "e", "d", NULL};
	struct sov_config cfg;
	struct sov_repo *repo;
	struct sov_error err;
	uint64_t	lsn = 0x9000000;
	char		other[200];
	uint8_t		id[16];

	configure(&cfg, aed, "state2");
	repo = reopen(&cfg);
	ok(repo && readable(repo, ref, &err), "a host without local state reads everything");
	ok_rc(sov_repo_commit(repo, set_mark, &lsn, &err), err, "and may write");
	ok(repo->n_heads == 2 && repo->admin.n_writers == 2, "as a second writer");
	sov_repo_close(repo);

	snprintf(other, sizeof other, "%s/other.key", base);
	ok_rc(sov_custodian_file_create(other, id, &err), err, "another root key");
	snprintf(cfg.root, sizeof cfg.root, "file:%s", other);
	ok(open_code(&cfg, &err) == SOV_E_KEY, "does not open it: %s", err.message);
}

#include "leaving.h"

int
main(void)
{
	struct sov_config cfg;
	struct sov_objref ref;
	struct sov_error err;
	char		path[200];
	uint8_t		id[16];

	snprintf(base, sizeof base, "%s/sovrepoXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	shell("mkdir -m 700 %s/a %s/b %s/c", base, base, base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	test_state(&cfg, &ref);
	test_lost_provider(&cfg, &ref);
	test_two_gone(&cfg);
	test_damage(&cfg, &ref);
	test_unfinished(&cfg);
	test_old_state(&cfg);
	test_older(&cfg, &ref);
	test_second_look(&cfg);
	test_one_providers_headers(&cfg);
	test_leave(&ref);
	test_receipt();
	test_interrupted_drain(&ref);
	test_recode(&ref);
	test_fresh_host(&ref);
	shell("rm -rf %s", base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
