/*
 * fault - the decorator that makes a provider fail.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sov_config.h"
#include "sov_provider.h"
#include "tap.h"

static char dir[200],
			rules_file[300];
static struct sov_provider_config cfg = {.name = "paris", .type = "folder"};
static struct sov_error err;
static struct sov_provider *p;

static void
rules(const char *text)
{
	FILE	   *f = fopen(rules_file, "w");

	fputs(text, f);
	fclose(f);
}

static enum sov_code
put(const char *name)
{
	struct sov_put_span spans[2] = {{"0123", 4}, {"456789", 6}};

	sov_error_clear(&err);
	return sov_provider_put(p, name, spans, 2, false, &err);
}

static int
get(const char *name)
{
	struct sov_buf b = {0};
	int			n = sov_provider_get(p, name, 0, UINT64_MAX, &b, &err) == SOV_OK ? (int) b.len : -1;

	if (n == 10 && memcmp(b.data, "0123456789", 10) != 0)
		n = -2;
	sov_buf_free(&b);
	return n;
}

static bool
count_one(void *ctx, const char *name, const struct sov_object_stat *st)
{
	(*(int *) ctx)++;
	return true;
}

/* The signal that ends a child that puts the objects 1, 2 and 3. */
static int
killed_by(const char *text)
{
	int			status;
	pid_t		pid;

	rules(text);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
	{
		put("k/1");
		put("k/2");
		put("k/3");
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
faults(void)
{
	struct sov_object_stat st;
	struct timespec a,
				b;
	int			n = 0;

	ok_rc(put("a/1"), err, "no rules: the provider works");
	ok(get("a/1") == 10, "and reads back");
	put("a/2");
	rules("paris put error\n");
	ok(put("a/1") == SOV_E_PROVIDER && err.retryable && get("a/1") == 10, "error, of one operation");
	rules("paris * full # comment\n");
	ok(put("a/1") == SOV_E_FULL && get("a/1") == -1 && err.code == SOV_E_FULL, "full, of any operation");
	rules("lyon * error\n");
	ok(put("a/1") == SOV_OK, "rules of another provider");
	rules("* get notfound 2\n");
	ok(get("a/1") == -1 && err.code == SOV_E_NOTFOUND && get("a/1") == -1 && get("a/1") == 10, "a count is used up");
	rules("* get notfound 2\n\n");
	ok(get("a/1") == -1, "and begins anew with a new file");
	rules("paris get short\nparis stat short\nparis list short\n");
	ok(get("a/1") == 5 && sov_provider_stat(p, "a/1", &st, &err) == SOV_OK && st.size == 5, "short reads");
	ok(sov_provider_list(p, "", count_one, &n, &err) == SOV_OK && n == 1, "short list");
	rules("paris put short 1\n");
	ok(put("a/3") == SOV_OK && get("a/3") == 5, "a short write that reports success");
	rules("paris remove lie 1\n");
	ok(sov_provider_remove(p, "a/3", &err) == SOV_OK && get("a/3") == 5 && sov_provider_remove(p, "a/3", &err) == SOV_OK && get("a/3") == -1, "a removal that reports success");
	rules("paris get flip\n");
	ok(get("a/1") == -2, "a flipped bit");
	rules("paris get slow=60\nparis get error 1\n");
	clock_gettime(CLOCK_MONOTONIC, &a);
	ok(get("a/1") == -1 && get("a/1") == 10, "slow, and a later rule decides");
	clock_gettime(CLOCK_MONOTONIC, &b);
	ok((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 119, "slow takes its time");
	for (const char *const *bad = (const char *const[]) {"paris put eror\n", "paris putt error\n", "paris put\n", "paris put error x\n", "paris put error 0\n", "paris put slow=\n", "paris put error 1 2\n", NULL}; *bad; bad++)
	{
		rules(*bad);
		ok(put("a/1") == SOV_E_CONFIG && strstr(err.message, "line 1"), "not understood: %.*s", (int) strlen(*bad) - 1, *bad);
	}
}

int
main(void)
{
	char		cmd[300];
	struct sov_provider *second = NULL;

	snprintf(dir, sizeof dir, "%s/sov_fault_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(cfg.path, sizeof cfg.path, "%s/paris", dir);
	snprintf(rules_file, sizeof rules_file, "%s/rules", dir);
	mkdir(cfg.path, 0700);
	setenv("PG_SOVEREIGN_FAULTS", rules_file, 1);
	ok_rc(sov_provider_open(&cfg, &p, &err), err, "opened with a decorator");
	faults();
	ok(killed_by("paris put kill-before 2\n") == SIGKILL && (rules(""), get("k/1")) == 10 && get("k/2") == -1, "killed before the second put");
	ok(killed_by("paris put kill-after 3\n") == SIGKILL && (rules(""), get("k/3")) == 10, "killed after the third put");
	ok(killed_by("paris put kill-after 4\n") == 0, "not killed before its turn");
	rules("paris open error\n");
	ok(sov_provider_open(&cfg, &second, &err) == SOV_E_PROVIDER && second == NULL, "open can fail");
	sov_provider_close(p);
	unsetenv("PG_SOVEREIGN_FAULTS");
	rules("* * error\n");
	ok(sov_provider_open(&cfg, &p, &err) == SOV_OK && put("a/1") == SOV_OK, "without the variable no rule counts");
	sov_provider_close(p);
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	ok(system(cmd) == 0, "cleaned up");
	return tap_done();
}
