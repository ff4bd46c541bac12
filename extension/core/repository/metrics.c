/*
 * metrics.c - what this host knows of the repository, as OpenMetrics.
 *
 * For the command (the textfile collector of Prometheus' node exporter, whose format is the
 * older one) and for SQL: names, HELP, TYPE and the closing comment are valid in both, and
 * all metrics are gauges.  No provider is asked: a scrape never waits.  What is not
 * known (never proven, no drill yet) has no sample, and absent() tells.
 * Every name is explained in extension/doc/metrics.md.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "repo_private.h"
#include "sov_facts.h"

int64_t
sov_facts_time(const char *text)
{
	struct tm	tm = {0};

	if (text == NULL ||
		sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t) timegm(&tm);
}

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

static int64_t
fact_time(const json_t *object, const char *name)
{
	return sov_facts_time(json_string_value(json_object_get(object, name)));
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
		if (fact_time(p, "proven"))
			sample(out, "provider_proven_timestamp_seconds", "provider", text_of(p, "provider"), fact_time(p, "proven"));
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
		if (newest == NULL || fact_time(b, "finished") >= fact_time(newest, "finished"))
			newest = b;
	}
	single(out, "backups", "Committed backups.", (int64_t) json_array_size(list));
	single(out, "backups_stored_bytes", "What the backups added to the repository, before it is coded into shards.", stored);
	if (newest)
	{
		single(out, "backup_newest_timestamp_seconds", "When the newest backup ended.", fact_time(newest, "finished"));
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
		if (fact_time(w, "marked") > newest)
			newest = fact_time(w, "marked");
	if (newest)
		single(out, "wal_marked_timestamp_seconds", "When the newest archived WAL that is known was marked as committed.", newest);
}

static void
print_proofs(FILE *out, const json_t *facts, const json_t *last)
{
	const json_t *verified = json_object_get(facts, "verified");

	if (json_is_object(verified))
	{
		single(out, "verified_timestamp_seconds", "When this host last ran verify or repair.", fact_time(verified, "time"));
		single(out, "verified_objects", "Objects that it looked at.", number_of(verified, "objects"));
		single(out, "verified_missing", "Shards that it found missing.", number_of(verified, "missing"));
		single(out, "verified_damaged", "Shards that it found damaged.", number_of(verified, "damaged"));
		single(out, "verified_lost", "Objects with fewer shards left than are needed.", number_of(verified, "lost"));
	}
	if (last)
	{
		single(out, "drill_timestamp_seconds", "When the last drill ended.", fact_time(last, "time"));
		single(out, "drill_passed", "Whether the last drill restored a working server.", number_of(last, "passed"));
	}
}

static void
print_metrics(FILE *out, const json_t *facts, const json_t *drill)
{
	const json_t *redundancy = json_object_get(facts, "redundancy");

	single(out, "seen_timestamp_seconds", "When a command of this host last read the repository's state.", fact_time(facts, "seen"));
	single(out, "needed", "Shards that restore an object (k).", number_of(facts, "needed"));
	single(out, "shards", "Shards of each object (n).", number_of(facts, "shards"));
	print_providers(out, facts);
	numbers(out, redundancy, "losses_tolerated", "Providers that may still be lost, by class of object.", "class", "losses_tolerated");
	print_backups(out, facts);
	print_wal(out, facts);
	print_proofs(out, facts, drill);
	fputs("# EOF\n", out);
}

enum sov_code
sov_metrics_read(const struct sov_config *cfg, struct sov_buf *text, struct sov_error *err)
{
	struct sov_buf json = {0},
				last = {0};
	json_t	   *facts = NULL,
			   *drills = NULL;
	char	   *printed = NULL;
	size_t		len = 0;
	FILE	   *out;
	enum sov_code rc = sov_facts_read(cfg, NULL, &json, err);

	if (rc != SOV_OK)
	{
		sov_buf_free(&json);
		return rc;
	}
	facts = json_loads((const char *) json.data, 0, NULL);
	if (sov_facts_drills(cfg, 1, &last, err) == SOV_OK)
		drills = json_loads((const char *) last.data, 0, NULL);
	out = facts && drills ? open_memstream(&printed, &len) : NULL;
	if (out)
	{
		print_metrics(out, facts, json_array_get(drills, 0));
		if (fclose(out) == 0)
			sov_write_bytes(text, printed, len + 1);
	}
	free(printed);
	json_decref(drills);
	json_decref(facts);
	sov_buf_free(&last);
	sov_buf_free(&json);
	return out && len > 0 && !text->bad ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}
