/*
 * options.c - options, configuration and output that the commands share.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "sov_facts.h"
#include "sov_custodian.h"
#include "sov_text.h"

/* Say what is wrong with the option that getopt refused with ret. */
static void
report_option(int ret, char **argv, const struct option *longs)
{
	const char *word = argv[optind > 0 ? optind - 1 : 0];
	const char *names[64];
	const char *near = NULL;
	char		bare[64];
	int			n = 0;

	if (ret == ':')
		cli_usage_error(argv[0], "option \"%s\" needs a value", word);
	else if (strncmp(word, "--", 2) != 0)
	{
		if (optopt == 'c')
			cli_usage_error(argv[0], "option -c stands before the command: pg_sovereign -c FILE %s", argv[0]);
		else
			cli_usage_error(argv[0], "unknown option \"-%c\"", optopt);
	}
	else
	{
		snprintf(bare, sizeof bare, "%.*s", (int) strcspn(word + 2, "="), word + 2);
		for (; longs[n].name != NULL && n < 63; n++)
			names[n] = longs[n].name;
		names[n] = NULL;
		near = sov_nearest(bare, names);
		if (strcmp(bare, "config") == 0)
			cli_usage_error(argv[0], "option --config stands before the command: pg_sovereign --config=FILE %s", argv[0]);
		else if (optopt != 0)
			cli_usage_error(argv[0], "option \"--%s\" takes no value", bare);
		else if (near != NULL)
			cli_usage_error(argv[0], "unknown option \"--%s\"; did you mean \"--%s\"?", bare, near);
		else
			cli_usage_error(argv[0], "unknown or ambiguous option \"--%s\"", bare);
	}
}

int
cli_getopt(int argc, char **argv, const char *shorts, const struct option *longs)
{
	char		spec[64];
	int			ret;

	opterr = 0;
	snprintf(spec, sizeof spec, ":%s", shorts);
	ret = getopt_long(argc, argv, spec, longs, NULL);
	if (ret != '?' && ret != ':')
		return ret;
	report_option(ret, argv, longs);
	return '?';
}

bool
cli_number(const char *command, const char *option, const char *text, long min, long max, long *value)
{
	char	   *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *value >= min && *value <= max)
		return true;
	cli_usage_error(command, "%s must be a whole number from %ld to %ld, not \"%.40s\"", option, min, max, text);
	return false;
}

bool
cli_rate(const char *command, const char *text, uint64_t *rate)
{
	if (sov_parse_size(text, rate) && *rate > 0)
		return true;
	cli_usage_error(command, "--max-rate wants a size such as 50MB, not \"%.40s\"", text);
	return false;
}

/* Best effort: a kernel without these classes serves as well. */
void
cli_give_way(void)
{
	errno = 0;
	if (nice(19) == -1 && errno != 0)
		cli_note("the CPU priority could not be lowered: %s", strerror(errno));
	/* IOPRIO_WHO_PROCESS, this one; the idle class */
	if (syscall(SYS_ioprio_set, 1, 0, 3 << 13) != 0)
		cli_note("the disk priority could not be lowered: %s", strerror(errno));
}

enum sov_code
cli_read_config(const struct cli_context *ctx, int need, struct sov_config *cfg, struct sov_error *err)
{
	enum sov_code rc = sov_config_read(sov_config_path(ctx->config_option), need, cfg, err);

	return rc == SOV_OK ? sov_custodian_check_place(cfg, err) : rc;
}

void
cli_close_repository(struct sov_repo *repo)
{
	if (repo)
		sov_facts_keep(repo);
	sov_repo_close(repo);
}

int
cli_print_json(json_t *doc)
{
	struct sov_error err;
	int			bad = doc == NULL || json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) != 0;

	json_decref(doc);
	if (bad)
	{
		sov_fail(&err, SOV_E_SYSTEM, NULL, "could not write JSON");
		return cli_report(&err);
	}
	putchar('\n');
	return 0;
}

char *
cli_time_text(int64_t us, char *dst, size_t cap)
{
	time_t		t = (time_t) (us / 1000000);
	struct tm	tm;

	if (us == 0 || gmtime_r(&t, &tm) == NULL || strftime(dst, cap, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(dst, cap, "-");
	return dst;
}

int64_t
cli_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Large buffers go back to the system when they are freed: threads of a long-lived
 * process would each keep some. */
void
cli_return_memory(void)
{
	(void) mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

void
cli_keep_memory(void)
{
	(void) mallopt(M_MMAP_THRESHOLD, 64 << 20);
	(void) mallopt(M_TRIM_THRESHOLD, 128 << 20);
}
