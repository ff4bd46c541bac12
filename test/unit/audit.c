/*
 * audit - entries, batches and beats; a chain over three providers, and everything
 * that somebody may do to it: verify names each.
 */
#include "testrepo.h"
#include "audit/audit_private.h"
#include "testkeys.h"

static struct sov_config cfg;
static struct sov_error err;
static char said[8192];
static uint64_t entries_seen;

static struct sov_audit_entry
entry(const char *key, uint64_t opened)
{
	struct sov_audit_entry e;

	memset(&e, 0, sizeof e);
	e.time_us = 1700000000000000;
	e.event = SOV_AUDIT_USE;
	e.process = 77;
	e.opened = opened;
	e.query_id = 0x8000000000000001;
	strcpy(e.user, "marie");
	strcpy(e.current_user, "doctor");
	strcpy(e.client, "192.0.2.1");
	strcpy(e.application, "psql");
	strcpy(e.database, "hospital");
	strcpy(e.purpose, "care");
	strcpy(e.text, "SELECT name FROM patient WHERE id = $1");
	snprintf(e.key, sizeof e.key, "%s", key);
	return e;
}

/* --- formats --- */

static void
formats(void)
{
	struct sov_repo_keys *keys = test_keys(1),
			   *other = test_keys(2);
	struct sov_audit_entry e[2] = {entry("a", 1), entry("b", 2)};
	struct sov_audit_batch b = {.chain = 5, .writer = 6, .batch = 2, .time_us = 8, .first_seq = 10, .n = 2, .entries = e},
				back;
	struct sov_audit_beat beat = {.chain = 5, .batch = 2, .seq = 11, .time_us = 9},
				beat_back;
	struct sov_buf obj = {0},
				tick = {0};
	uint8_t		seed[32] = {3},
				pub[32];
	int			accepted = 0;

	e[0].seq = 10;
	e[1].seq = 11;
	(void) sov_sign_public(seed, b.signer, NULL);
	(void) sov_sign_public(seed, pub, NULL);
	ok_rc(sov_audit_batch_encode(keys, &b, seed, &obj, &err), err, "a batch is encoded");
	ok_rc(sov_audit_batch_decode(keys, obj.data, obj.len, &back, &err), err, "and decoded");
	ok(back.n == 2 && memcmp(&back.entries[1], &e[1], sizeof e[1]) == 0 && memcmp(back.after, b.after, 32) == 0 && memcmp(back.hash, b.hash, 32) == 0,
	   "to the same");
	sov_audit_batch_free(&back);
	for (size_t i = 0; i < obj.len; i++)
	{
		obj.data[i] ^= 1;
		accepted += sov_audit_batch_decode(keys, obj.data, obj.len, &back, NULL) == SOV_OK;
		obj.data[i] ^= 1;
	}
	for (size_t i = 0; i < obj.len; i++)
		accepted += sov_audit_batch_decode(keys, obj.data, i, &back, NULL) == SOV_OK;
	ok(accepted == 0, "every byte flipped and every truncation is refused");
	ok(sov_audit_batch_decode(other, obj.data, obj.len, &back, &err) == SOV_E_AUTH, "another repository's keys too");
	b.signer[0] ^= 1;
	obj.len = 0;
	(void) sov_audit_batch_encode(keys, &b, seed, &obj, &err);
	ok(sov_audit_batch_decode(keys, obj.data, obj.len, &back, &err) == SOV_E_AUTH, "and a batch that another key signed than it names");
	ok_rc(sov_audit_beat_encode(keys, &beat, seed, &tick, &err), err, "a beat is encoded");
	ok(sov_audit_beat_decode(keys, tick.data, tick.len, pub, &beat_back, &err) == SOV_OK && beat_back.seq == 11, "and decoded");
	pub[0] ^= 1;
	ok(sov_audit_beat_decode(keys, tick.data, tick.len, pub, &beat_back, &err) == SOV_E_AUTH, "its signer counts");
	sov_buf_free(&obj);
	sov_buf_free(&tick);
	sov_repo_keys_free(keys);
	sov_repo_keys_free(other);
}

/* --- a chain --- */

static void
note(const char *key)
{
	struct sov_audit_entry e = entry(key, 3);
	char		dir[200];

	snprintf(dir, sizeof dir, "%s/s/audit", base);
	ok_rc(sov_audit_queue(dir, &e, 1, true, NULL, 0, &err), err, "an entry is queued");
}

static uint64_t
ship(struct sov_repo *repo, const char *key)
{
	struct sov_audit_shipped done = {0};

	note(key);
	ok_rc(sov_audit_ship(repo, &done, &err), err, "and shipped");
	return done.seq;
}

static void
hear(void *ctx, const char *message)
{
	(void) ctx;
	snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", message);
}

static bool
count_entry(void *ctx, const struct sov_audit_entry *e)
{
	(void) ctx;
	entries_seen += e->seq > 0;
	return true;
}

/* verify with a handle of its own says this (NULL: nothing) */
static void
says(const char *what, const char *name)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_audit_verify_options opt = {.silent_us = UINT64_C(3600000000), .entry = count_entry, .problem = hear};
	struct sov_audit_verify_result res;

	said[0] = '\0';
	entries_seen = 0;
	ok_rc(sov_audit_verify(repo, &opt, &res, &err), err, "verify ends");
	ok(what ? strstr(said, what) != NULL && res.problems > 0 : res.problems == 0, "%s", name);
	if (what ? strstr(said, what) == NULL : res.problems > 0)
		printf("# it said: %s\n", said);
	sov_repo_close(repo);
}

/* Do something to the files, look, and bring the files back. */
static void
after(const char *command, const char *what, const char *name)
{
	shell("rm -rf %s.kept; cp -a %s %s.kept; cd %s && %s", base, base, base, base, command);
	says(what, name);
	shell("rm -rf %s && mv %s.kept %s", base, base, base);
}

static enum sov_code
nothing(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *e)
{
	(void) ctx;
	(void) repo;
	(void) head;
	(void) e;
	return SOV_OK;
}

static void
chain(void)
{
	struct sov_repo *repo;
	struct sov_audit_shipped done;
	uint64_t	seq = 0;

	configure(&cfg, abc, "s");
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "a repository");
	for (int i = 0; i < 5; i++)
		seq = ship(repo, "patients");
	ok(seq == 7, "start, configuration and five entries are numbered (%d)", (int) seq);
	ok_rc(sov_audit_ship(repo, &done, &err), err, "an empty interval renews the beat");
	ok_rc(sov_repo_commit(repo, nothing, NULL, &err), err, "a head");
	ok(repo->heads[0].audit_seq == 7, "names the last entry");
	sov_repo_close(repo);
	says(NULL, "the log is whole");
	ok(entries_seen == 7, "all entries are shown");
}

#define L "l/*"

/* the shell's words that turn all bits of the byte at an offset of a file */
#define TURN(file, at) \
	"perl -e 'open(F, \"+<\", $ARGV[0]) && seek(F, $ARGV[1], 0) && read(F, $b, 1) && seek(F, $ARGV[1], 0)" \
	" && print(F ~$b) && close(F) || die' " file " " at

static void
tampering(void)
{
	after("rm a/" L "/0000000000000003", "provider a lacks l/", "a batch removed at one provider");
	after("rm [abc]/" L "/0000000000000003", "batches 3 to 3 are at no provider: 1 entries (5 to 5) were removed", "removed at all of them");
	after("mv b b.away; rm [ac]/" L "/0000000000000003", "(5 to 5) were removed, or lie with who could not be asked: b", "removed at all that answer");
	after(TURN("b/" L "/0000000000000002", "70"), "provider b: l/", "a byte changed at one");
	after("cd c/" L " && cp 0000000000000002 x && cp 0000000000000003 0000000000000002 && cp x 0000000000000003 && rm x",
		  "holds batch 3 of chain", "two batches swapped at one");
	after("for p in a b c; do cd $p/" L " && mv 0000000000000002 x && mv 0000000000000003 0000000000000002 && mv x 0000000000000003; cd - >/dev/null; done",
		  "put in another's place", "at all of them");
	after("rm [abc]/" L "/0000000000000005", "the end was cut off", "the last batch removed everywhere");
	after("rm -r s; rm [abc]/" L "/0000000000000005", "the end was cut off", "also without this host's own log");
	after("rm -r s; rm [abc]/" L "/0000000000000005; rm [abc]/" L "/beat", "has no beat", "and with the beat");
	after("rm -r s; rm [abc]/" L "/0000000000000005; rm [abc]/" L "/beat", "with a hash that no chain has", "then the head tells");
	after("rm [abc]/" L "/0000000000000001", "batches 1 to 1 are at no provider", "the first batch removed everywhere");
	after("rm -r [abc]/l", "which this host had brought there: removed", "the whole log removed everywhere");
	after("rm -r s [abc]/l", "with a hash that no chain has", "with the state directory");
	/* the last record's last byte; a byte of the first; a shorter file */
	after(TURN("s/audit/log", "60"), "this host's log is wrong after entry 0", "a byte of the local log");
	after("truncate -s -50 s/audit/log", "it was cut", "the local log truncated");
	after("rm s/audit/log", "is gone", "the local log removed");
	after(TURN("s/audit/chain.key", "40"), "/s/audit/chain.key: sealed data do not open", "the local key changed");
	says(NULL, "and nothing of it stayed");
}

/* root on the host begins the log anew, with all keys that are there. */
static void
begun_anew(void)
{
	struct sov_repo *repo;
	struct sov_audit_shipped done;

	shell("rm -rf %s.kept; cp -a %s %s.kept; rm -r %s/s/audit", base, base, base, base);
	repo = reopen(&cfg);
	ok_rc(sov_audit_ship(repo, &done, &err), err, "somebody begins the log anew");
	sov_repo_close(repo);
	says("without a word", "the old chain is missed");
	shell("rm -rf %s/[abc]/l/$(ls -t %s/a/l | tail -1)", base, base);
	says("with a hash that no chain has", "and when it is removed, the head tells");
	shell("rm -rf %s && mv %s.kept %s", base, base, base);
}

/* An older state directory is put back: its key would sign another batch 6. */
static void
set_back(void)
{
	struct sov_repo *repo;
	struct sov_audit_shipped done;

	shell("rm -rf %s.kept %s.old; cp -a %s %s.kept; cp -a %s/s/audit %s.old", base, base, base, base, base, base);
	repo = reopen(&cfg);
	ship(repo, "one");
	shell("rm -r %s/s/audit && mv %s.old %s/s/audit", base, base, base);
	note("two");
	ok(sov_audit_ship(repo, &done, &err) == SOV_E_CONFLICT && err.hint[0], "a state that was set back ships nothing");
	sov_repo_close(repo);
	says("this host's log has another entry 8", "and verify names the entry");
	shell("rm -rf %s && mv %s.kept %s", base, base, base);
}

/* A crash before chain.key leaves a longer log and a batch that was not made. */
static void
crash(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_audit_shipped done;

	shell("cd %s/s/audit && printf half >> log && printf half > pending/0000000000000006 && printf half > queue/1.tmp", base);
	note("after the crash");
	ok_rc(sov_audit_ship(repo, &done, &err), err, "the next one goes on");
	ok(done.seq == 8 && done.waiting == 0, "with the next number");
	shell("printf nonsense > %s/s/audit/queue/0", base);
	ok_rc(sov_audit_ship(repo, &done, &err), err, "nonsense in the queue");
	ok(done.seq == 9 && done.entries == 1, "is an entry, and no obstacle");
	sov_repo_close(repo);
	says(NULL, "the log is whole");
}

/* One that says that it has the next batch already, and shows junk, does not stop the log. */
static void
taken_name(void)
{
	struct sov_repo *repo = reopen(&cfg);

	shell("cd %s/b/l/* && printf junk > $(printf %%016x $((0x$(ls | grep -v beat | tail -1) + 1)))", base);
	ship(repo, "patients");
	ok(strstr(notes, "provider b says that it has") != NULL, "past a provider that shows junk in the place of a batch: %s", notes);
	sov_repo_close(repo);
	says("provider b: l/", "verify names it");
	shell("cd %s/a && cp -a l %s/b/", base, base);
	says(NULL, "the log is whole");
}

static void
quorum_and_waiting(void)
{
	struct sov_repo *repo;
	struct sov_audit_entry e = entry("strict", 1);
	struct sov_audit_shipped done;
	char		dir[200],
				waits[1300];

	snprintf(dir, sizeof dir, "%s/s/audit", base);
	shell("cd %s && mv a a.off && mv b b.off", base);
	ok(sov_audit_queue(dir, &e, 1, true, waits, sizeof waits, &err) == SOV_OK && sov_audit_waiting(waits), "somebody waits");
	repo = reopen(&cfg);
	ok(repo == NULL, "one provider opens no repository");
	shell("cd %s && mv a.off a", base);
	repo = reopen(&cfg);
	shell("cd %s && mv a a.off", base);
	ok(repo && sov_audit_ship(repo, &done, &err) == SOV_E_QUORUM && sov_audit_waiting(waits), "at one provider it does not count, and he waits on");
	shell("cd %s && mv a.off a", base);
	sov_repo_close(repo);
	repo = reopen(&cfg);
	ok(repo && sov_audit_ship(repo, &done, &err) == SOV_OK && !sov_audit_waiting(waits), "at two it does");
	sov_repo_close(repo);
	says(NULL, "what the third lacks is owed to it");
	shell("cd %s && mv b.off b", base);
	repo = reopen(&cfg);
	{
		uint64_t	left;

		ok(sov_repo_settle(repo, 0, &left, &err) == SOV_OK && left == 0, "and delivered when it is back");
	}
	sov_repo_close(repo);
	says(NULL, "then all have it");
}

static void
closing(void)
{
	struct sov_repo *repo = reopen(&cfg);
	struct sov_audit_shipped done;
	uint64_t	n;

	ok_rc(sov_audit_close(repo, &err), err, "the chain is closed");
	ok_rc(sov_audit_ship(repo, &done, &err), err, "another one begins");
	ok(done.seq == 2, "with its own numbers");
	ok(sov_audit_prune(repo, false, &n, &err) == SOV_OK && n == 0, "nothing is old enough to be deleted");
	repo->cfg.audit_days = 0;
	ok(sov_audit_prune(repo, true, &n, &err) == SOV_OK && n > 0, "of which else %d batches went", (int) n);
	repo->n_heads = 1;
	repo->heads[0].time_us = 1;
	ok(sov_audit_prune(repo, true, &n, &err) == SOV_OK && n == 0, "a clock that is ahead of all that is written ages nothing");
	sov_repo_close(repo);
	says(NULL, "two chains, whole");
}

int
main(void)
{
	snprintf(base, sizeof base, "/tmp/sovaudit.%d", (int) getpid());
	shell("rm -rf %s && mkdir -p %s/a %s/b %s/c", base, base, base, base);
	{
		uint8_t		id[16];
		char		path[200];

		snprintf(path, sizeof path, "%s/root.key", base);
		ok_rc(sov_custodian_file_create(path, id, &err), err, "a root key");
	}
	formats();
	chain();
	tampering();
	begun_anew();
	set_back();
	crash();
	taken_name();
	quorum_and_waiting();
	closing();
	shell("rm -rf %s %s.kept", base, base);
	return tap_done();
}
