/*
 * probe.c - what a provider really does.
 *
 * Objects are put below "c/PROBE-ID/", the class of trials, which nothing else looks
 * at, and removed at the end, whatever happened between.  A step that fails is a
 * finding, not an error: the next one is tried.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"
#include "sov_crypto.h"
#include "sov_probe.h"
#include "sov_provider.h"

#define LARGE ((size_t) 4 << 20)
#define LARGE_ROUNDS 3
#define SMALL_ROUNDS 9
#define LISTED 12
#define PAGE "5"				/* they are listed again in pages of so many */
#define RACERS 4
#define RACES 8
#define SKEW_MAX_S 60

struct trial
{
	const struct sov_provider_config *cfg;
	struct sov_provider *p;
	struct sov_probe *out;
	char		base[40];		/* "c/ID" */
	uint8_t    *bytes;			/* LARGE of them */
};

static void __attribute__((format(printf, 4, 5)))
found(struct trial *t, const char *what, enum sov_probe_verdict verdict, const char *fmt, ...)
{
	struct sov_probe *o = t->out;
	va_list		ap;

	if (o->n == (int) (sizeof o->findings / sizeof o->findings[0]))
		return;
	snprintf(o->findings[o->n].what, sizeof o->findings[0].what, "%s", what);
	va_start(ap, fmt);
	vsnprintf(o->findings[o->n].does, sizeof o->findings[0].does, fmt, ap);
	va_end(ap);
	o->findings[o->n++].verdict = verdict;
}

static char *
name_of(const struct trial *t, const char *leaf, char dst[100])
{
	snprintf(dst, 100, "%s/%s", t->base, leaf);
	return dst;
}

static enum sov_code
put(struct trial *t, const char *leaf, size_t len, bool if_absent, struct sov_error *err)
{
	char		name[100];
	struct sov_put_span span = {t->bytes, len};

	return sov_provider_put(t->p, name_of(t, leaf, name), &span, 1, if_absent, err);
}

/* Is it what was put? */
static enum sov_code
get(struct trial *t, const char *leaf, uint64_t offset, uint64_t len, size_t want, struct sov_error *err)
{
	char		name[100];
	struct sov_buf b = {0};
	enum sov_code rc = sov_provider_get(t->p, name_of(t, leaf, name), offset, len, &b, err);

	if (rc == SOV_OK && (b.len != want || memcmp(b.data ? b.data : t->bytes, t->bytes + (want ? offset : 0), want) != 0))
		rc = sov_fail(err, SOV_E_CORRUPT, NULL, "what was read back is not what was put");
	sov_buf_free(&b);
	return rc;
}

/* --- the steps --- */

static void
objects(struct trial *t)
{
	struct sov_error err;
	enum sov_code rc = put(t, "plain", 100000, false, &err);

	if (rc == SOV_OK)
		rc = get(t, "plain", 0, UINT64_MAX, 100000, &err);
	if (rc != SOV_OK)
	{
		found(t, "put and get", SOV_PROBE_BAD, "%.180s", err.message);
		return;
	}
	found(t, "put and get", SOV_PROBE_GOOD, "what is put is read back");
	rc = put(t, "plain", 50000, false, &err);
	if (rc == SOV_OK)
		rc = get(t, "plain", 0, UINT64_MAX, 50000, &err);
	if (rc == SOV_OK)
		found(t, "overwrite", SOV_PROBE_GOOD, "the new object is seen at once");
	else if (err.refused)
		found(t, "overwrite", SOV_PROBE_LIMITED, "not with these credentials: they may only add");
	else
		found(t, "overwrite", SOV_PROBE_BAD, "%.180s", err.message);
	rc = get(t, "plain", 777, 4096, 4096, &err);
	if (rc == SOV_OK)
		found(t, "ranges", SOV_PROBE_GOOD, "a part is read alone");
	else
		found(t, "ranges", SOV_PROBE_BAD, "%.180s", err.message);
	rc = put(t, "empty", 0, false, &err);
	if (rc == SOV_OK)
		rc = get(t, "empty", 0, UINT64_MAX, 0, &err);
	if (rc == SOV_OK)
		found(t, "empty objects", SOV_PROBE_GOOD, "are kept");
	else
		found(t, "empty objects", SOV_PROBE_LIMITED, "%.180s", err.message);
}

static void
absence(struct trial *t)
{
	char		name[100];
	struct sov_error err;
	struct sov_object_stat st;
	enum sov_code rc = sov_provider_stat(t->p, name_of(t, "never", name), &st, &err);

	if (rc != SOV_E_NOTFOUND)
		found(t, "absent objects", SOV_PROBE_BAD, "%.180s", rc == SOV_OK ? "one that was never put is said to be there" : err.message);
	else
		found(t, "absent objects", SOV_PROBE_GOOD, "are told for sure");
	rc = sov_provider_remove(t->p, name_of(t, "plain", name), &err);
	if (rc == SOV_OK)
		rc = sov_provider_stat(t->p, name, &st, &err);
	if (rc == SOV_E_NOTFOUND)
		found(t, "remove", SOV_PROBE_GOOD, "what is removed is gone at once");
	else if (rc == SOV_E_LOCKED)
		found(t, "remove", SOV_PROBE_LIMITED, "what is removed is kept for some time: %.130s", err.message);
	else if (rc != SOV_OK && err.refused)
		found(t, "remove", SOV_PROBE_LIMITED, "not with these credentials: prune and leave with others");
	else
		found(t, "remove", SOV_PROBE_BAD, "%.180s", rc == SOV_OK ? "what was removed is still there" : err.message);
}

static void
clock_of(struct trial *t)
{
	char		name[100];
	struct sov_error err;
	struct sov_object_stat st;
	int64_t		off;

	if (sov_provider_stat(t->p, name_of(t, "empty", name), &st, &err) != SOV_OK || st.mtime_us == 0)
	{
		found(t, "clock", SOV_PROBE_LIMITED, "the provider tells no times");
		return;
	}
	off = (st.mtime_us - repo_now_us()) / 1000000;
	if (off > SKEW_MAX_S || off < -SKEW_MAX_S)
		found(t, "clock", SOV_PROBE_LIMITED, "is %" PRId64 " s off this host's: one of them is wrong", off);
	else
		found(t, "clock", SOV_PROBE_GOOD, "agrees with this host's");
}

struct listed { const char *base; int n; };

static bool
on_listed(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct listed *l = ctx;

	(void) st;
	l->n += strstr(name, "/list-") != NULL;
	return true;
}

static int
count_listed(const struct trial *t, struct sov_provider *p, struct sov_error *err)
{
	char		name[100];
	struct listed l = {t->base, 0};

	return sov_provider_list(p, name_of(t, "list-", name), on_listed, &l, err) == SOV_OK ? l.n : -1;
}

/* The same by another handle that asks for small pages, where lists have pages: does the
 * provider go on where it ended?  *paged: it was asked. */
static int
count_in_pages(const struct trial *t, bool *paged, struct sov_error *err)
{
	const struct sov_provider_key *k = t->p->ops->keys;
	struct sov_provider_config *cfg = malloc(sizeof *cfg);
	struct sov_provider *p = NULL;
	int			n = -1;

	while (k->name != NULL && strcmp(k->name, "list-page") != 0)
		k++;
	*paged = k->name != NULL;
	if (cfg == NULL || !*paged)
	{
		free(cfg);
		return *paged ? (sov_fail(err, SOV_E_NOMEM, NULL, "out of memory"), -1) : LISTED;
	}
	*cfg = *t->cfg;
	if (!sov_provider_config_set(cfg, "list-page", PAGE, 0))
		sov_fail(err, SOV_E_CONFIG, NULL, "the section has too many settings");
	else if (sov_provider_open(cfg, &p, err) == SOV_OK)
		n = count_listed(t, p, err);
	sov_provider_close(p);
	free(cfg);
	return n;
}

static void
lists(struct trial *t)
{
	struct sov_error err;
	char		leaf[32],
				name[100];
	int			before,
				in_pages,
				after,
				kept = 0;
	bool		paged;

	for (int i = 0; i < LISTED; i++)
	{
		snprintf(leaf, sizeof leaf, "list-%d", i);
		if (put(t, leaf, 10, false, &err) != SOV_OK)
		{
			found(t, "lists", SOV_PROBE_BAD, "%.180s", err.message);
			return;
		}
	}
	before = count_listed(t, t->p, &err);
	in_pages = before < 0 ? -1 : count_in_pages(t, &paged, &err);
	for (int i = 0; i < LISTED; i++)
	{
		snprintf(leaf, sizeof leaf, "list-%d", i);
		kept += sov_provider_remove(t->p, name_of(t, leaf, name), &err) != SOV_OK;
	}
	after = in_pages < 0 ? -1 : count_listed(t, t->p, &err);
	if (after < 0)
		found(t, "lists", SOV_PROBE_BAD, "%.180s", err.message);
	else if (before != LISTED || after != kept)
		found(t, "lists", SOV_PROBE_BAD, "lag behind: %d of %d new objects are listed, and %d that were removed", before, LISTED, after - kept);
	else if (in_pages != LISTED)
		found(t, "lists", SOV_PROBE_BAD, "in pages of " PAGE " have %d of %d objects: they do not go on where a page ends", in_pages, LISTED);
	else
		found(t, "lists", SOV_PROBE_GOOD, "show at once what was put%s%s", kept > 0 ? "" : " and removed", paged ? ", over several pages too" : "");
}

struct racer { struct trial *t; int won; };

static void *
race(void *arg)
{
	struct racer *r = arg;
	char		leaf[32];
	struct sov_error err;

	for (int i = 0; i < RACES; i++)
	{
		snprintf(leaf, sizeof leaf, "race-%d", i);
		r->won += put(r->t, leaf, 10, true, &err) == SOV_OK;
	}
	return NULL;
}

static void
if_absent(struct trial *t)
{
	struct racer r[RACERS];
	pthread_t	id[RACERS];
	int			won = 0,
				n = 0;
	struct sov_error err;
	enum sov_code rc = put(t, "once", 10, true, &err);

	if (rc == SOV_OK)
		rc = put(t, "once", 10, true, &err);
	if (rc != SOV_E_EXISTS)
	{
		found(t, "put if absent", SOV_PROBE_BAD, "%.180s", rc == SOV_OK ? "the second one is taken too" : err.message);
		return;
	}
	if (!t->p->ops->caps.threads)
	{
		found(t, "put if absent", SOV_PROBE_GOOD, "the second one is refused");
		return;
	}
	for (; n < RACERS; n++)
	{
		r[n] = (struct racer) {t, 0};
		if (pthread_create(&id[n], NULL, race, &r[n]) != 0)
			break;
	}
	for (int i = 0; i < n; i++)
	{
		pthread_join(id[i], NULL);
		won += r[i].won;
	}
	if (won == RACES)
		found(t, "put if absent", SOV_PROBE_GOOD, "one of %d that come together wins", n);
	else
		found(t, "put if absent", t->p->ops->caps.atomic_create ? SOV_PROBE_BAD : SOV_PROBE_LIMITED,
			  "%d wins where %d were to be had: it is not decided in one step, and not relied upon%s", won, RACES,
			  t->p->ops->caps.atomic_create ? "; but the configuration says conditional-put = yes" : "");
}

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
speed(struct trial *t)
{
	double		small[SMALL_ROUNDS];
	int64_t		put_us = 0,
				get_us = 0;
	char		leaf[32];
	struct sov_error err;
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < LARGE_ROUNDS && rc == SOV_OK; i++)
	{
		int64_t		a = repo_mono_us(),
					b;

		snprintf(leaf, sizeof leaf, "large-%d", i);
		rc = put(t, leaf, LARGE, false, &err);
		b = repo_mono_us();
		put_us += b - a;
		if (rc == SOV_OK)
			rc = get(t, leaf, 0, UINT64_MAX, LARGE, &err);
		get_us += repo_mono_us() - b;
	}
	for (int i = 0; i < SMALL_ROUNDS && rc == SOV_OK; i++)
	{
		int64_t		a = repo_mono_us();

		rc = get(t, "large-0", 4096, 16, 16, &err);
		small[i] = (double) (repo_mono_us() - a) / 1000;
	}
	if (rc != SOV_OK)
	{
		found(t, "speed", SOV_PROBE_BAD, "%.180s", err.message);
		return;
	}
	qsort(small, SMALL_ROUNDS, sizeof small[0], by_value);
	t->out->latency_ms = small[SMALL_ROUNDS / 2];
	t->out->put_rate = (double) LARGE * LARGE_ROUNDS * 1e6 / (double) (put_us > 0 ? put_us : 1);
	t->out->get_rate = (double) LARGE * LARGE_ROUNDS * 1e6 / (double) (get_us > 0 ? get_us : 1);
	found(t, "speed", SOV_PROBE_GOOD, "puts %.1f MB/s, gets %.1f MB/s, answers in %.1f ms, one request at a time",
		  t->out->put_rate / 1e6, t->out->get_rate / 1e6, t->out->latency_ms);
}

/* --- the whole --- */

static bool
on_left(void *ctx, const char *name, const struct sov_object_stat *st)
{
	(void) st;
	sov_write_bytes(ctx, name, strlen(name) + 1);
	return true;
}

static void
clean_up(struct trial *t)
{
	struct sov_buf names = {0};
	char		prefix[100];
	int			left = 0;
	struct sov_error err;

	(void) sov_provider_list(t->p, name_of(t, "", prefix), on_left, &names, &err);
	for (size_t at = 0; at < names.len; at += strlen((char *) names.data + at) + 1)
		left += sov_provider_remove(t->p, (char *) names.data + at, &err) != SOV_OK;
	if (left > 0)
		found(t, "tidiness", SOV_PROBE_LIMITED, "%d objects below %s could not be removed", left, t->base);
	sov_buf_free(&names);
}

enum sov_code
sov_probe_run(const struct sov_provider_config *p, struct sov_probe *out, struct sov_error *err)
{
	struct trial t = {.out = out, .cfg = p};
	uint8_t		id[8];
	enum sov_code rc;

	memset(out, 0, sizeof *out);
	out->time_us = repo_now_us();
	t.bytes = malloc(LARGE);
	rc = t.bytes ? sov_random(t.bytes, LARGE, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = sov_random(id, sizeof id, err);
	strcpy(t.base, "c/probe-");
	sov_hex(t.base + strlen(t.base), id, sizeof id);
	if (rc == SOV_OK)
		rc = sov_provider_open(p, &t.p, err);
	if (rc == SOV_OK)
	{
		objects(&t);
		clock_of(&t);
		absence(&t);
		lists(&t);
		if_absent(&t);
		speed(&t);
		clean_up(&t);
		t.p->ops->close(t.p);
	}
	free(t.bytes);
	return rc;
}

/* --- kept --- */

static void
path_of(const struct sov_config *cfg, const char *name, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/probes/%.60s.json", cfg->state_directory, name);
}

enum sov_code
sov_probe_keep(const struct sov_config *cfg, const char *name, const struct sov_probe *p, struct sov_error *err)
{
	json_t	   *list = json_array(),
			   *doc;
	char		path[1200],
			   *text;
	enum sov_code rc;

	for (int i = 0; i < p->n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "what", p->findings[i].what, "does", p->findings[i].does,
											  "verdict", (int) p->findings[i].verdict));
	doc = json_pack("{s:I, s:f, s:f, s:f, s:o}", "time_us", (json_int_t) p->time_us, "put_rate", p->put_rate,
					"get_rate", p->get_rate, "latency_ms", p->latency_ms, "findings", list);
	text = doc ? json_dumps(doc, JSON_INDENT(1)) : NULL;
	json_decref(doc);
	if (text == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(path, sizeof path, "%s/probes", cfg->state_directory);
	rc = repo_mkdirs(path, err);
	path_of(cfg, name, path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, text, strlen(text), err);
	free(text);
	return rc;
}

static double
number(const json_t *doc, const char *key)
{
	double		v = json_number_value(json_object_get(doc, key));

	return isfinite(v) && v > 0 && v < 1e18 ? v : 0;
}

bool
sov_probe_read(const struct sov_config *cfg, const char *name, struct sov_probe *out)
{
	char		path[1200];
	struct sov_buf file = {0};
	json_t	   *doc = NULL,
			   *one;
	size_t		i;

	memset(out, 0, sizeof *out);
	path_of(cfg, name, path, sizeof path);
	if (repo_read_file(path, &file, NULL) == SOV_OK)
		doc = json_loadb((const char *) file.data, file.len, 0, NULL);
	sov_buf_free(&file);
	if (!json_is_object(doc))
	{
		json_decref(doc);
		return false;
	}
	out->time_us = (int64_t) json_integer_value(json_object_get(doc, "time_us"));
	out->put_rate = number(doc, "put_rate");
	out->get_rate = number(doc, "get_rate");
	out->latency_ms = number(doc, "latency_ms");
	json_array_foreach(json_object_get(doc, "findings"), i, one)
	{
		const char *what = json_string_value(json_object_get(one, "what")),
				   *does = json_string_value(json_object_get(one, "does"));
		json_int_t	verdict = json_integer_value(json_object_get(one, "verdict"));

		if (what == NULL || does == NULL || verdict < 0 || verdict > SOV_PROBE_BAD || out->n == (int) (sizeof out->findings / sizeof out->findings[0]))
			continue;
		snprintf(out->findings[out->n].what, sizeof out->findings[0].what, "%s", what);
		snprintf(out->findings[out->n].does, sizeof out->findings[0].does, "%s", does);
		out->findings[out->n++].verdict = (enum sov_probe_verdict) verdict;
	}
	json_decref(doc);
	return true;
}
