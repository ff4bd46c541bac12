/*
 * named - what does not open is named: every file of the state directory and every
 * object that is sealed, damaged or of another repository, with what to do about it.
 */
#include <unistd.h>

#include "sov_audit.h"
#include "sov_facts.h"
#include "sov_history.h"
#include "testrepo.h"

static struct sov_config cfg;
static struct sov_error err;
static struct sov_objref ref;
static uint8_t payload[5000];

/* --- a repository, and another one under the same root key --- */

static enum sov_code
commit(struct sov_repo *repo, uint64_t lsn)
{
	return sov_repo_commit(repo, set_mark, &lsn, &err);
}

static void
make_repository(void)
{
	static const char *const other[] = {"x", "y", "z", NULL};
	struct sov_repo *repo;
	struct sov_run *run = NULL;
	struct sov_put_result res;
	struct sov_audit_shipped done;
	struct sov_config theirs;

	for (int i = 0; i < 2; i++)
	{
		configure(i ? &cfg : &theirs, i ? abc : other, i ? "state" : "theirs");
		ok_rc(sov_repo_init(i ? &cfg : &theirs, take_note, NULL, &repo, &err), err, "a repository");
		ok_rc(commit(repo, 0x2000000), err, "with a head");
		ok_rc(sov_audit_ship(repo, &done, &err), err, "and an audit log");
		if (i == 1)
		{
			ok_rc(sov_repo_run_begin(repo, &run, &err), err, "and objects");
			ok_rc(sov_repo_put_stream(repo, run, SOV_CLASS_META, NULL, 0, payload, sizeof payload, false, NULL, 0, &ref, &res, &err), err, "(put)");
			sov_run_free(run);
		}
		sov_repo_close(repo);
	}
	shell("cp -a %s %s.kept", base, base);
}

static void
as_it_was(void)
{
	shell("rm -rf %s && cp -a %s.kept %s", base, base, base);
}

/* the words of a shell that turn all bits of a file's byte 100, or its last */
#define TURN \
	"perl -e 'for (@ARGV) { open(F, \"+<\", $_) || die; $a = -s F > 100 ? 100 : (-s F) - 1;" \
	" seek(F, $a, 0) && read(F, $b, 1) && seek(F, $a, 0) && print(F ~$b) && close(F) || die }' "

/* What a handle that opens, commits, ships and reads says; NULL: nothing went wrong. */
static const char *
what_it_says(void)
{
	struct sov_repo *repo = NULL;
	struct sov_buf out = {0};
	struct sov_audit_shipped done;
	enum sov_code rc;

	notes[0] = '\0';
	sov_error_clear(&err);
	rc = sov_repo_open(&cfg, take_note, NULL, &repo, &err);
	if (rc == SOV_OK)
		rc = commit(repo, 0x3000000);
	if (rc == SOV_OK)
		rc = sov_audit_ship(repo, &done, &err);
	if (rc == SOV_OK)
		rc = sov_repo_get_stream(repo, SOV_CLASS_META, ref.id, ref.attempt, NULL, &out, &err);
	sov_repo_close(repo);
	sov_buf_free(&out);
	return rc == SOV_OK ? NULL : err.message;
}

/* --- files --- */

struct file_case
{
	const char *file;			/* below the state directory */
	const char *away;			/* what the hint says to move, also below it */
};

static void
files(void)
{
	static const struct file_case cases[] = {
		{"writer.key", "writer.key head"}, {"head", "head"}, {"admin", "admin"}, {"audit/chain.key", "audit/chain.key"},
	};

	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
		for (int how = 0; how < 3; how++)
		{
			static const char *const ways[] = {TURN "state/%s", "cp theirs/%s state/%s", "printf x > state/%s"};
			static const char *const words[] = {"damaged", "another repository's", "cut short"};
			char		command[600],
						path[300];

			as_it_was();
			snprintf(path, sizeof path, "%s/state/%s: ", base, cases[c].file);
			snprintf(command, sizeof command, ways[how], cases[c].file, cases[c].file);
			shell("cd %s && %s", base, command);
			ok(what_it_says() && strstr(err.message, path) == err.message && strstr(err.hint, "move "),
			   "%s, %s: %s; %s", cases[c].file, words[how], err.message, err.hint);
			shell("cd %s/state && mkdir ../aside && mv %s ../aside", base, cases[c].away);
			ok(what_it_says() == NULL, "moved away as the hint says, all goes on%s%s", err.code ? ": " : "", err.code ? err.message : "");
		}
}

/* What lies there in the clear. */
static void
clear_files(void)
{
	struct sov_buf json = {0};

	as_it_was();
	shell("cd %s/state && rm -f facts history && printf '{' > facts && printf '{\\n' > history", base);
	ok(sov_facts_read(&cfg, "redundancy", &json, &err) == SOV_E_FORMAT && strstr(err.message, "/state/facts ") && err.hint[0], "facts, damaged: %s", err.message);
	json.len = 0;
	ok(sov_history_read(&cfg, repo_now_us(), &json, &err) == SOV_OK && strstr((char *) json.data, "\"unreadable\":1"), "history: a damaged line is counted");
	sov_buf_free(&json);
}

/* What was under way stops nobody, and is told. */
static void
under_way(void)
{
	as_it_was();
	shell("cd %s && " TURN "state/head.next && cp theirs/head.next state/admin.next", base);
	{
		struct sov_repo *repo = reopen(&cfg);

		ok_rc(commit(repo, 0x3000000), err, "a head under way that is damaged stops no commit");
		ok(strstr(notes, "/state/head.next: sealed data do not open"), "and is named: %s", notes);
		notes[0] = '\0';
		ok(repo_complete_admin(repo, &err) == SOV_OK && strstr(notes, "/state/admin.next: it is not an administrator's head"), "so is a change under way: %s", notes);
		sov_repo_close(repo);
	}
}

/* A batch of the audit log that waits for its providers. */
static void
pending(void)
{
	struct sov_repo *repo;
	struct sov_audit_shipped done;

	as_it_was();
	repo = reopen(&cfg);
	shell("cd %s && mkdir state/audit/pending.x && mv a a.away && mv b b.away && echo '# changed' >> conf", base);
	ok(sov_audit_ship(repo, &done, &err) != SOV_OK, "two providers are away: %s", err.message);
	sov_repo_close(repo);
	shell("cd %s && mv a.away a && mv b.away b && " TURN "state/audit/pending/*", base);
	ok(what_it_says() && strstr(err.message, "/state/audit/pending/") && strstr(err.hint, "chain.key"), "the batch that waits is damaged: %s", err.message);
	shell("rm %s/state/audit/chain.key", base);
	ok(what_it_says() == NULL, "a new chain begins");
}

/* --- objects --- */

/* At all providers, so that no copy serves instead. */
static void
objects(void)
{
	static const struct
	{
		const char *class_;
		const char *says[2];	/* in the message or a note */
	}			cases[] = {
		{"k", {"provider a: keyring k/", NULL}},
		{"a", {"no administrator's head can be read", "provider b: head a/0"}},
		{"h", {"provider c: head h/", NULL}},
		{"m", {"provider b, object m/", ": damaged"}},
		{"r", {"provider c, object r/", ": damaged"}},
		{"id", {"provider a: its identity object is missing or damaged", NULL}},
	};

	for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
	{
		const char *said;
		bool		named = true;

		as_it_was();
		shell("cd %s && " TURN "$(find a/%s b/%s c/%s -type f)", base, cases[c].class_, cases[c].class_, cases[c].class_);
		said = what_it_says();
		for (int i = 0; i < 2 && cases[c].says[i]; i++)
			named = named && ((said && strstr(said, cases[c].says[i])) || (strcmp(cases[c].class_, "a") && strstr(notes, cases[c].says[i])));
		ok(named, "objects %s damaged everywhere: %s", cases[c].class_, said ? said : "healed");
		ok(said == NULL || err.hint[0] != '\0', "(with a hint)");
	}
}

/* The shards are whole, and what they give does not open. */
static void
whole_but_shut(void)
{
	struct sov_repo *repo;
	struct sov_run *run = NULL;
	struct sov_buf sealed = {0},
				out = {0};
	struct sov_shard_info info;
	struct sov_put_result res;
	const struct sov_run *opened;
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	uint8_t		database[16] = {7};
	char		place[100],
				hex[33];

	as_it_was();
	repo = reopen(&cfg);
	ok_rc(sov_repo_run_begin(repo, &run, &err), err, "a run");
	ok_rc(sov_repo_seal_stream(repo, run, SOV_CLASS_META, NULL, 0, payload, sizeof payload, false, NULL, 0, &info, &sealed, &err), err, "a stream");
	sealed.data[9] ^= 1;
	ok_rc(sov_repo_put_sealed(repo, &info, sealed.data, sealed.len, &res, &err), err, "that was damaged before it was cut into shards");
	snprintf(place, sizeof place, "m %s: sealed data do not open", info.id);
	ok(sov_repo_get_stream(repo, SOV_CLASS_META, info.id, 0, NULL, &out, &err) == SOV_E_AUTH && strstr(err.message, place) && err.hint[0], "is named: %s", err.message);
	sov_run_free(run);
	sov_buf_free(&sealed);
	sov_repo_close(repo);

	repo = reopen(&cfg);
	repo->keys->k_content[0] ^= 1;
	sov_hex(hex, info.run, 16);
	snprintf(place, sizeof place, "run %s: ", hex);
	ok(sov_repo_run_open(repo, info.run, true, &opened, &err) == SOV_E_AUTH && strstr(err.message, place) && err.hint[0], "a run under another key: %s", err.message);
	repo->keys->k_content[0] ^= 1;

	ok_rc(sov_repo_put_subjects(repo, database, payload, 100, &err), err, "keys of persons");
	ok_rc(sov_repo_get_subjects(repo, database, &out, &err), err, "are read");
	{
		struct sov_aead *meta = repo->keys->meta;
		uint8_t		key[32] = {1};

		repo->keys->meta = sov_aead_new(key, &err);
		ok(sov_repo_get_subjects(repo, database, &out, &err) == SOV_E_AUTH && strstr(err.message, "object k/") && err.hint[0], "not under another key: %s", err.message);
		sov_aead_free(repo->keys->meta);
		repo->keys->meta = meta;
	}
	sov_buf_free(&out);
	sov_repo_close(repo);
	free(ring);
}

int
main(void)
{
	char		path[200];
	uint8_t		id[16];

	snprintf(base, sizeof base, "%s/sovnamedXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	shell("cd %s && mkdir -m 700 a b c x y z", base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	make_repository();
	files();
	clear_files();
	under_way();
	pending();
	objects();
	whole_but_shut();
	shell("rm -rf %s %s.kept", base, base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
