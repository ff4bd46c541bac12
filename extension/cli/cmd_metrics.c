/*
 * cmd_metrics.c - what this host knows of the repository, as OpenMetrics.
 *
 * For the textfile collector of Prometheus' node exporter, whose format is the
 * older one: names, HELP, TYPE and the closing comment are valid in both, and all
 * metrics are gauges.  No provider is asked: a scrape never waits.  What is not
 * known (never proven, no drill yet) has no sample, and absent() tells.
 * Every name is explained in extension/doc/metrics.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

const char	cmd_metrics_help[] =
	"pg_sovereign metrics - numbers for monitoring, as OpenMetrics\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] metrics [--output FILE]\n\n"
	"Tells what the last commands of this host saw, and asks no provider.  Run it from\n"
	"a timer into a directory of the node exporter's textfile collector.\n\n"
	"Options:\n"
	"  --output FILE   replace this file, in one step, instead of printing\n";

/* One metric begins. */
static void
gauge(FILE *out, const char *name, const char *help)
{
	fprintf(out, "# HELP pg_sovereign_%s %s\n# TYPE pg_sovereign_%s gauge\n", name, help, name);
}

/* A label; its value comes from the configuration, so it is escaped. */
static void
label(FILE *out, char before, const char *name, const char *value)
{
	fprintf(out, "%c%s=\"", before, name);
	for (; *value; value++)
	{
		if (*value == '\n')
			fputs("\\n", out);
		else
			fprintf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
	}
	fputc('"', out);
}

/* A sample with at most one label (NULL: none). */
static void
sample(FILE *out, const char *name, const char *key, const char *value, int64_t n)
{
	fprintf(out, "pg_sovereign_%s", name);
	if (key)
	{
		label(out, '{', key, value ? value : "");
		fputc('}', out);
	}
	fprintf(out, " %" PRId64 "\n", n);
}

static void
single(FILE *out, const char *name, const char *help, int64_t n)
{
	gauge(out, name, help);
	sample(out, name, NULL, NULL, n);
}

static const char *
text_of(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static int64_t
number_of(const json_t *object, const char *name)
{
	json_t	   *v = json_object_get(object, name);

	return json_is_boolean(v) ? json_is_true(v) : (int64_t) json_integer_value(v);
}

/* One number of each element of a list, labelled by another field of it. */
static void
numbers(FILE *out, const json_t *list, const char *name, const char *help, const char *key, const char *field)
{
	json_t	   *e;
	size_t		i;

	gauge(out, name, help);
	json_array_foreach(list, i, e)
		sample(out, name, key, text_of(e, key), number_of(e, field));
}

static void
print_providers(FILE *out, const json_t *facts)
{
	const json_t *list = json_object_get(facts, "providers");
	json_t	   *p;
	size_t		i;

	gauge(out, "provider_up", "Whether the provider answered the last command that asked it.");
	json_array_foreach(list, i, p)
		sample(out, "provider_up", "provider", text_of(p, "provider"), strcmp(text_of(p, "state"), "down") != 0);
	gauge(out, "provider_info", "1; the labels tell the state and type of each provider.");
	json_array_foreach(list, i, p)
	{
		fputs("pg_sovereign_provider_info", out);
		label(out, '{', "provider", text_of(p, "provider"));
		label(out, ',', "state", text_of(p, "state"));
		label(out, ',', "type", text_of(p, "type"));
		fputs("} 1\n", out);
	}
	gauge(out, "provider_proven_timestamp_seconds", "When shards of the provider were last read and found whole.");
	json_array_foreach(list, i, p)
		if (cli_fact_time(p, "proven"))
			sample(out, "provider_proven_timestamp_seconds", "provider", text_of(p, "provider"), cli_fact_time(p, "proven"));
	numbers(out, list, "provider_owed_objects", "Shards kept in the spool for the provider.", "provider", "owed_objects");
	numbers(out, list, "provider_owed_bytes", "Bytes kept in the spool for the provider.", "provider", "owed_bytes");
}

static void
print_backups(FILE *out, const json_t *facts)
{
	const json_t *list = json_object_get(facts, "backups"),
			   *newest = NULL;
	json_t	   *b;
	size_t		i;
	int64_t		stored = 0;

	json_array_foreach(list, i, b)
	{
		stored += number_of(b, "stored");
		if (newest == NULL || cli_fact_time(b, "finished") >= cli_fact_time(newest, "finished"))
			newest = b;
	}
	single(out, "backups", "Committed backups.", (int64_t) json_array_size(list));
	single(out, "backups_stored_bytes", "What the backups added to the repository, before it is coded into shards.", stored);
	if (newest)
	{
		single(out, "backup_newest_timestamp_seconds", "When the newest backup ended.", cli_fact_time(newest, "finished"));
		single(out, "backup_newest_bytes", "Bytes of the cluster in the newest backup.", number_of(newest, "bytes"));
		single(out, "backup_newest_bad_pages", "Pages with a wrong checksum in the newest backup.", number_of(newest, "bad_pages"));
	}
}

static void
print_wal(FILE *out, const json_t *facts)
{
	const json_t *list = json_object_get(facts, "wal");
	json_t	   *w;
	size_t		i;
	int64_t		newest = 0;

	json_array_foreach(list, i, w)
		if (cli_fact_time(w, "marked") > newest)
			newest = cli_fact_time(w, "marked");
	if (newest)
		single(out, "wal_marked_timestamp_seconds", "When the newest archived WAL that is known was marked as committed.", newest);
}

static void
print_proofs(FILE *out, const json_t *facts)
{
	const json_t *verified = json_object_get(facts, "verified"),
			   *drills = json_object_get(facts, "drills"),
			   *last = json_array_get(drills, json_array_size(drills) - 1);

	if (json_is_object(verified))
	{
		single(out, "verified_timestamp_seconds", "When this host last ran verify or repair.", cli_fact_time(verified, "time"));
		single(out, "verified_objects", "Objects that it looked at.", number_of(verified, "objects"));
		single(out, "verified_missing", "Shards that it found missing.", number_of(verified, "missing"));
		single(out, "verified_damaged", "Shards that it found damaged.", number_of(verified, "damaged"));
		single(out, "verified_lost", "Objects with fewer shards left than are needed.", number_of(verified, "lost"));
	}
	if (last)
	{
		single(out, "drill_timestamp_seconds", "When the last drill ended.", cli_fact_time(last, "time"));
		single(out, "drill_passed", "Whether the last drill restored a working server.", number_of(last, "passed"));
	}
}

static void
print_metrics(FILE *out, const json_t *facts)
{
	const json_t *redundancy = json_object_get(facts, "redundancy");

	single(out, "seen_timestamp_seconds", "When a command of this host last read the repository's state.", cli_fact_time(facts, "seen"));
	single(out, "needed", "Shards that restore an object (k).", number_of(facts, "needed"));
	single(out, "shards", "Shards of each object (n).", number_of(facts, "shards"));
	print_providers(out, facts);
	numbers(out, redundancy, "losses_tolerated", "Providers that may still be lost, by class of object.", "class", "losses_tolerated");
	print_backups(out, facts);
	print_wal(out, facts);
	print_proofs(out, facts);
	fputs("# EOF\n", out);
}

/* Replaces a file in one step, readable for the collector. */
static int
write_file(const char *path, const json_t *facts)
{
	char		tmp[4096];
	struct sov_error err;
	FILE	   *f;
	int			fd;
	bool		good;

	if (snprintf(tmp, sizeof tmp, "%s.XXXXXX", path) >= (int) sizeof tmp)
		return cli_usage_error("metrics", "the path of --output is too long");
	fd = mkstemp(tmp);
	f = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (f)
		print_metrics(f, facts);
	good = f && fchmod(fd, 0644) == 0 && fflush(f) == 0 && !ferror(f);
	if (f)
		good = fclose(f) == 0 && good;
	if (good && rename(tmp, path) == 0)
		return 0;
	sov_fail_errno(&err, errno, "give a file in a directory that this user may write", "could not write %s", path);
	if (fd >= 0)
		unlink(tmp);
	return cli_report(&err);
}

int
cmd_metrics(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {{"output", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};
	struct sov_config cfg;
	struct sov_error err;
	const char *output = NULL;
	json_t	   *facts;
	int			c,
				status = 0;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
	{
		if (c != 'o')
			return cli_exit_code(SOV_E_USAGE);
		output = optarg;
	}
	if (optind < argc)
		return cli_usage_error("metrics", "\"%.40s\" is one argument too many", argv[optind]);
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	facts = cli_facts(&cfg, &err);
	if (facts == NULL)
		return cli_report(&err);
	if (output)
		status = write_file(output, facts);
	else
		print_metrics(stdout, facts);
	json_decref(facts);
	return status;
}
