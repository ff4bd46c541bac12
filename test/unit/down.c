/*
 * down - a process that runs for long has a thread that asks providers that are down:
 * nobody else waits for one that hangs, and all see when it is back.
 */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "testrepo.h"

static struct sov_config cfg;
static struct sov_error err;
static char faults[200];

static void
fault(const char *lines)
{
	FILE	   *f = fopen(faults, "w");

	fputs(lines, f);
	fclose(f);
}

static void *
ask_down(void *repo)
{
	sov_repo_ask_down(repo);
	return NULL;
}

/* By a thread of its own: who asks once does so for good. */
static void
ask(struct sov_repo *repo)
{
	pthread_t	thread;

	pthread_create(&thread, NULL, ask_down, repo);
	pthread_join(thread, NULL);
}

/* It is time to ask again. */
static void
due(struct sov_repo *repo)
{
	for (int i = 0; i < repo->n_providers; i++)
		if (repo->providers[i].down)
			repo->providers[i].retry_at_us = repo->providers[i].failed_us = 1;
}

static void
hangs(struct sov_repo *repo)
{
	pthread_t	thread;
	int64_t		began;
	bool		good;

	fault("c * error\n");
	ok(wal_is_held(repo, "000000010000000000000001", 2, 1) && repo->providers[2].down, "c does not answer");
	fault("c * slow=1000\nc * error\n");
	due(repo);
	pthread_create(&thread, NULL, ask_down, repo);
	usleep(200000);
	began = repo_mono_us();
	good = wal_is_held(repo, "000000010000000000000002", 2, 1);
	ok(good && repo_mono_us() - began < 800000, "while it is asked again, and hangs, the others are put to: %.1f s", (double) (repo_mono_us() - began) / 1e6);
	pthread_join(thread, NULL);
	ok(repo->providers[2].down && repo->providers[2].retry_at_us > repo_mono_us(), "it is left alone for a while then");
	fault("# all is well\n");
	due(repo);
	ok(wal_is_held(repo, "000000010000000000000003", 2, 1), "others do not ask it, also when its time has come");
	ask(repo);
	ok(!repo->providers[2].down && wal_is_held(repo, "000000010000000000000004", 3, 0), "who asks finds it well, for all");
}

/* A list that goes on and on, or does not come, keeps nobody from opening the repository. */
static void
lists_for_ever(void)
{
	int64_t		began = repo_mono_us();
	struct sov_repo *repo;

	repo_list_patience_us = 300000;
	fault("c list slow=5000\n");
	repo = reopen(&cfg);
	ok(repo != NULL && repo_mono_us() - began < 2000000, "a list that does not end holds nobody up for long: %.1f s", (double) (repo_mono_us() - began) / 1e6);
	ok(repo != NULL && repo->providers[2].down && strstr(repo->providers[2].last.message, "did not end") != NULL, "and its provider does not answer: %s",
	   repo ? repo->providers[2].last.message : err.message);
	fault("# all is well\n");
	repo_list_patience_us = 60000000;
	sov_repo_close(repo);
}

/* The same of one that could not even be opened. */
static void
hangs_when_opened(void)
{
	struct sov_repo *repo;
	pthread_t	thread;
	int64_t		began;
	bool		good;

	fault("c open error\n");
	repo = reopen(&cfg);
	ok(repo != NULL && repo->providers[2].handle == NULL && repo->providers[2].down, "c cannot be opened");
	fault("c open slow=1000\nc open error\n");
	due(repo);
	pthread_create(&thread, NULL, ask_down, repo);
	usleep(200000);
	began = repo_mono_us();
	good = wal_is_held(repo, "000000010000000000000006", 2, 1);
	ok(good && repo_mono_us() - began < 800000, "while that is tried again, and hangs, the others are put to: %.1f s", (double) (repo_mono_us() - began) / 1e6);
	pthread_join(thread, NULL);
	fault("# all is well\n");
	due(repo);
	ask(repo);
	ok(!repo->providers[2].down && repo->providers[2].handle != NULL, "then it can be");
	sov_repo_close(repo);
}

/* Where too few are left, who needs them asks them all the same. */
static void
too_few(struct sov_repo *repo)
{
	fault("b * error\nc * error\n");
	ok(!wal_is_held(repo, "000000010000000000000005", 3, 0), "two of three do not answer");
	ask(repo);
	fault("# all is well\n");
	usleep(1100000);
	ok(wal_is_held(repo, "000000010000000000000005", 2, 1) || wal_is_held(repo, "000000010000000000000005", 3, 0), "they are back: a put asks as many as it needs by itself");
}

/* A fault that is injected happens once to a request. */
static void
once(struct sov_repo *repo)
{
	struct sov_buf good = {0},
				bad = {0};

	fault("# all is well\n");
	ok_rc(repo_get(repo, 0, SOV_IDENTITY_OBJECT, 0, UINT64_MAX, &good, &err), err, "the identity of a");
	fault("a get flip\n");
	ok(repo_get(repo, 0, SOV_IDENTITY_OBJECT, 0, UINT64_MAX, &bad, &err) == SOV_OK && bad.len == good.len && memcmp(good.data, bad.data, good.len) != 0,
	   "a bit that is turned is not turned back");
	fault("# all is well\n");
	sov_buf_free(&good);
	sov_buf_free(&bad);
}

int
main(void)
{
	struct sov_repo *repo;
	char		path[200];
	uint8_t		id[16];

	snprintf(base, sizeof base, "%s/sovdownXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	snprintf(faults, sizeof faults, "%s/faults", base);
	fault("# all is well\n");
	setenv("PG_SOVEREIGN_FAULTS", faults, 1);
	shell("cd %s && mkdir -m 700 a b c", base);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "a repository");
	once(repo);
	hangs(repo);
	too_few(repo);
	sov_repo_close(repo);
	lists_for_ever();
	hangs_when_opened();
	shell("rm -rf %s", base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
