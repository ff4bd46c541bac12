/*
 * conformance - what every storage provider must do, run over each adapter.
 * The folder is made here; providers behind a network come from the file that
 * SOV_PROVIDERS names (test/servers/run.sh).  A kind of provider is one struct
 * setup: a function that prepares an empty store and fills the configuration
 * (false: skip), one that makes the store vanish, one that brings it back, one
 * that clears up.
 *
 * Nothing is believed that was not read back.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sov_probe.h"
#include "sov_config.h"
#include "sov_crypto.h"
#include "sov_provider.h"
#include "tap.h"

struct setup
{
	bool		(*prepare) (struct sov_provider_config *cfg);
	bool		(*vanish) (const struct sov_provider_config *cfg);
	bool		(*comeback) (const struct sov_provider_config *cfg);
	void		(*cleanup) (const struct sov_provider_config *cfg);
	void		(*special) (const struct sov_provider_config *cfg);	/* tests of this adapter only, or NULL */
};

static struct sov_error err;
static const char *scheme;

#include "remote.h"

static void
skip(const char *what, const char *why)
{
	printf("ok %d - %s: %s # SKIP %s\n", ++tap_n, scheme, what, why);
}

static enum sov_code
put_text(struct sov_provider *p, const char *name, const char *text, bool if_absent)
{
	struct sov_put_span span = {text, strlen(text)};

	return sov_provider_put(p, name, &span, 1, if_absent, &err);
}

/* The object's range equals text. */
static bool
range_is(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len, const char *text)
{
	struct sov_buf b = {0};
	bool		good;

	good = sov_provider_get(p, name, offset, len, &b, &err) == SOV_OK &&
		b.len == strlen(text) && memcmp(b.data ? (char *) b.data : "", text, b.len) == 0;
	sov_buf_free(&b);
	return good;
}

static enum sov_code
get_code(struct sov_provider *p, const char *name)
{
	struct sov_buf b = {0};
	enum sov_code rc = sov_provider_get(p, name, 0, UINT64_MAX, &b, &err);

	if (rc != SOV_OK && b.len != 0)
		rc = SOV_OK;			/* a failed get may not append */
	sov_buf_free(&b);
	return rc;
}

static void
put_get(struct sov_provider *p)
{
	struct sov_put_span spans[4] = {{"ab", 2}, {"", 0}, {"cde", 3}, {"f", 1}};
	struct sov_buf b = {0};
	struct sov_object_stat st;

	ok_rc(put_text(p, "p/one", "0123456789", false), err, "%s: put", scheme);
	ok(range_is(p, "p/one", 0, UINT64_MAX, "0123456789"), "%s: get reads back what was put", scheme);
	ok_rc(put_text(p, "p/one", "abc", false), err, "%s: put again", scheme);
	ok(range_is(p, "p/one", 0, UINT64_MAX, "abc"), "%s: put overwrites, also with less", scheme);
	ok_rc(sov_provider_put(p, "p/spans", spans, 4, false, &err), err, "%s: put of pieces", scheme);
	ok(range_is(p, "p/spans", 0, UINT64_MAX, "abcdef"), "%s: pieces follow each other", scheme);
	sov_write_bytes(&b, "has:", 4);
	ok(sov_provider_get(p, "p/spans", 1, 2, &b, &err) == SOV_OK && b.len == 6 && memcmp(b.data, "has:bc", 6) == 0, "%s: get appends", scheme);
	sov_buf_free(&b);

	ok_rc(put_text(p, "p/empty", "", false), err, "%s: put of 0 bytes", scheme);
	ok(range_is(p, "p/empty", 0, UINT64_MAX, ""), "%s: get of 0 bytes", scheme);
	ok(sov_provider_stat(p, "p/empty", &st, &err) == SOV_OK && st.size == 0, "%s: stat of 0 bytes", scheme);
	ok_rc(sov_provider_put(p, "p/nospan", NULL, 0, false, &err), err, "%s: put of no pieces", scheme);
	ok(sov_provider_stat(p, "p/spans", &st, &err) == SOV_OK && st.size == 6, "%s: stat tells the size", scheme);
	ok(st.mtime_us == 0 || st.mtime_us > (int64_t) 1600000000 * 1000000, "%s: stat tells a time in microseconds, or 0", scheme);
}

static void
ranges(struct sov_provider *p)
{
	put_text(p, "p/r", "0123456789", false);
	ok(range_is(p, "p/r", 0, 10, "0123456789"), "%s: range of the whole", scheme);
	ok(range_is(p, "p/r", 3, 4, "3456"), "%s: range in the middle", scheme);
	ok(range_is(p, "p/r", 9, 1, "9"), "%s: range of the last byte", scheme);
	ok(range_is(p, "p/r", 4, UINT64_MAX, "456789"), "%s: range to the end", scheme);
	ok(range_is(p, "p/r", 7, 100, "789"), "%s: range past the end gives what is there", scheme);
	ok(range_is(p, "p/r", 10, 5, ""), "%s: range at the end is empty", scheme);
	ok(range_is(p, "p/r", 99, UINT64_MAX, ""), "%s: range behind the end is empty", scheme);
	ok(range_is(p, "p/r", 2, 0, ""), "%s: range of 0 bytes", scheme);
	ok(range_is(p, "p/r", UINT64_MAX, UINT64_MAX, ""), "%s: range at the end of the world", scheme);
	ok(range_is(p, "p/r", 8, UINT64_MAX - 4, "89"), "%s: range whose end overflows", scheme);
}

static void
absent_objects(struct sov_provider *p)
{
	struct sov_object_stat st;

	ok(get_code(p, "p/absent") == SOV_E_NOTFOUND, "%s: get of an absent object", scheme);
	ok(get_code(p, "no/such/class") == SOV_E_NOTFOUND, "%s: get of an absent class", scheme);
	ok(get_code(p, "p/one/below") == SOV_E_NOTFOUND, "%s: get below an object", scheme);
	ok(get_code(p, "p") == SOV_E_NOTFOUND, "%s: a class is not an object", scheme);
	ok(sov_provider_stat(p, "p/absent", &st, &err) == SOV_E_NOTFOUND, "%s: stat of an absent object", scheme);
	ok(sov_provider_remove(p, "p/absent", &err) == SOV_E_NOTFOUND, "%s: remove of an absent object", scheme);
	put_text(p, "p/gone", "x", false);
	ok_rc(sov_provider_remove(p, "p/gone", &err), err, "%s: remove", scheme);
	ok(get_code(p, "p/gone") == SOV_E_NOTFOUND, "%s: what was removed is absent", scheme);
	ok_rc(put_text(p, "p/gone", "y", true), err, "%s: and may be put again", scheme);
}

static void
if_absent(struct sov_provider *p)
{
	ok_rc(put_text(p, "p/once", "first", true), err, "%s: put if absent", scheme);
	ok(put_text(p, "p/once", "second", true) == SOV_E_EXISTS, "%s: put if absent refuses the second", scheme);
	ok(range_is(p, "p/once", 0, UINT64_MAX, "first"), "%s: and leaves the first", scheme);
}

static void
names(struct sov_provider *p)
{
	static const char *const good[] = {
		"a", "0", "-", "_x", "a.b", ".hidden", "x/.hidden", "a-b_c.d/e-f_g.h", "1/2/3/4/5/6/7/8/9",
		"con", "tmp/x", "lost-found", "x/tmp", "trailing.", NULL
	};
	static const char *const bad[] = {
		"", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", "a..b", ".", "./a", "a/./b",
		"A", "a b", "a\nb", "a\\b", "a%2fb", "\xc3\xa9", "a+b", "a?b", "+tmp/x", NULL
	};
	char		longest[SOV_OBJECT_NAME_MAX + 2];
	struct sov_object_stat st;
	int			wrong = 0;

	for (int i = 0; good[i]; i++)
		if (!sov_object_name_ok(good[i]) || put_text(p, good[i], good[i], false) != SOV_OK || !range_is(p, good[i], 0, UINT64_MAX, good[i]))
		{
			printf("# name %s: %s\n", good[i], err.message);
			wrong++;
		}
	ok(wrong == 0, "%s: odd names that the rule allows", scheme);
	for (int i = 0; good[i]; i++)
		sov_provider_remove(p, good[i], &err);
	wrong = 0;
	for (int i = 0; bad[i]; i++)
		if (sov_object_name_ok(bad[i]))
			wrong++, printf("# name \"%s\" is allowed\n", bad[i]);
	ok(wrong == 0, "%s: names that the rule refuses", scheme);
	ok(put_text(p, "../escape", "x", false) != SOV_OK && get_code(p, "../escape") != SOV_OK &&
	   sov_provider_stat(p, "../escape", &st, &err) != SOV_OK && sov_provider_remove(p, "../escape", &err) != SOV_OK,
	   "%s: no operation takes a refused name", scheme);
	memset(longest, 'n', sizeof longest);
	longest[1] = '/';
	longest[SOV_OBJECT_NAME_MAX] = '\0';
	ok(put_text(p, longest, "long", false) == SOV_OK && range_is(p, longest, 0, 4, "long"), "%s: a name of 200", scheme);
	sov_provider_remove(p, longest, &err);
	longest[SOV_OBJECT_NAME_MAX] = 'n';
	longest[SOV_OBJECT_NAME_MAX + 1] = '\0';
	ok(!sov_object_name_ok(longest), "%s: a name of 201 is refused", scheme);
}

static void
large(struct sov_provider *p)
{
	size_t		len = 30 * 1024 * 1024 + 7;
	uint8_t    *data = malloc(len);
	struct sov_put_span spans[2] = {{data, 12345}, {data + 12345, len - 12345}};
	struct sov_buf b = {0};
	uint64_t	x = 88172645463325252u;

	for (size_t i = 0; i < len; i++)
	{
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		data[i] = (uint8_t) x;
	}
	ok_rc(sov_provider_put(p, "big/30m", spans, 2, false, &err), err, "%s: put of 30 MB", scheme);
	ok(sov_provider_get(p, "big/30m", 0, UINT64_MAX, &b, &err) == SOV_OK && b.len == len && memcmp(b.data, data, len) == 0, "%s: get of 30 MB", scheme);
	b.len = 0;
	ok(sov_provider_get(p, "big/30m", 20000000, 131072, &b, &err) == SOV_OK && b.len == 131072 && memcmp(b.data, data + 20000000, 131072) == 0, "%s: a frame from its middle", scheme);
	sov_buf_free(&b);
	free(data);
	sov_provider_remove(p, "big/30m", &err);
}

struct count
{
	int			n,
				wrong,
				stop_at;
	const char *prefix;
	uint8_t		seen[2500];
};

static bool
count_one(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct count *c = ctx;
	int			i;

	c->n++;
	if (strncmp(name, c->prefix, strlen(c->prefix)) != 0 || !sov_object_name_ok(name))
		c->wrong++;
	if (sscanf(name, "list/a/%d", &i) == 1 && i >= 0 && i < 2500)
	{
		c->wrong += c->seen[i]++ != 0;
		c->wrong += st->size != (uint64_t) (i % 10);
	}
	return c->stop_at == 0 || c->n < c->stop_at;
}

static int
count(struct sov_provider *p, const char *prefix, struct count *c, int stop_at)
{
	memset(c, 0, sizeof *c);
	c->prefix = prefix;
	c->stop_at = stop_at;
	if (sov_provider_list(p, prefix, count_one, c, &err) != SOV_OK)
		return -1;
	return c->wrong ? -2 : c->n;
}

/* Objects list/a/0 to 2499, put or removed, a part of them by each thread. */
struct many
{
	struct sov_provider *p;
	bool		remove;
	int			first,
				step,
				failed;
};

static void *
some_of_many(void *arg)
{
	struct many *m = arg;
	struct sov_error e;

	for (int i = m->first; i < 2500; i += m->step)
	{
		struct sov_put_span span = {"0123456789", (size_t) (i % 10)};
		char		name[64];
		enum sov_code rc;

		snprintf(name, sizeof name, "list/a/%d", i);
		rc = m->remove ? sov_provider_remove(m->p, name, &e) : sov_provider_put(m->p, name, &span, 1, false, &e);
		if (rc != SOV_OK && m->failed++ == 0)
			printf("# %s: %s\n", name, e.message);
	}
	return NULL;
}

static int
many(struct sov_provider *p, bool remove)
{
	int			n = p->ops->caps.threads ? 4 : 1,
				failed = 0;
	pthread_t	id[4];
	struct many m[4];

	for (int i = 0; i < n; i++)
	{
		m[i] = (struct many) {p, remove, i, n, 0};
		pthread_create(&id[i], NULL, some_of_many, &m[i]);
	}
	for (int i = 0; i < n; i++)
	{
		pthread_join(id[i], NULL);
		failed += m[i].failed;
	}
	return failed;
}

static void
listing(struct sov_provider *p)
{
	struct count c;
	int			failed = many(p, false);

	put_text(p, "list/ab", "x", false);
	put_text(p, "list/b/1", "x", false);
	put_text(p, "listen", "x", false);
	ok(failed == 0, "%s: put of 2,500 objects", scheme);
	ok(count(p, "list/a/", &c, 0) == 2500, "%s: list of 2,500 by prefix, each once, with its size", scheme);
	ok(count(p, "list/a", &c, 0) == 2501, "%s: a prefix need not end with a slash", scheme);
	ok(count(p, "list/", &c, 0) == 2502, "%s: list of a class", scheme);
	ok(count(p, "list", &c, 0) == 2503, "%s: list of a prefix of classes", scheme);
	ok(count(p, "list/a/24", &c, 0) == 111, "%s: list of a prefix of names", scheme);
	ok(count(p, "list/zz", &c, 0) == 0 && count(p, "nothing/at/all", &c, 0) == 0, "%s: list of nothing", scheme);
	ok(count(p, "", &c, 0) >= 2503, "%s: list of all", scheme);
	ok(count(p, "list/a/", &c, 7) == 7, "%s: list stops when told", scheme);
	failed += many(p, true);
	ok(failed == 0 && count(p, "list/a/", &c, 0) == 0, "%s: removed objects are not listed", scheme);
}

#include "threads.h"
#include "kept.h"

/* --- a store that is not there --- */

static void
vanished(const struct setup *s, const struct sov_provider_config *cfg, struct sov_provider *p)
{
	struct sov_object_stat st;
	struct sov_provider *second = NULL;
	struct count c;

	if (!s->vanish(cfg))
		return;
	ok(get_code(p, "p/one") == SOV_E_PROVIDER && err.message[0], "%s: vanished: get is not sure", scheme);
	ok(get_code(p, "p/absent") == SOV_E_PROVIDER, "%s: vanished: nor of what was absent before", scheme);
	ok(sov_provider_stat(p, "p/one", &st, &err) == SOV_E_PROVIDER, "%s: vanished: stat is not sure", scheme);
	ok(sov_provider_remove(p, "p/one", &err) == SOV_E_PROVIDER, "%s: vanished: remove is not sure", scheme);
	ok(count(p, "", &c, 0) == -1 && err.code == SOV_E_PROVIDER, "%s: vanished: list fails", scheme);
	ok(put_text(p, "p/new", "x", false) == SOV_E_PROVIDER && err.retryable, "%s: vanished: put fails, a later one may do", scheme);
	ok(sov_provider_open(cfg, &second, &err) == SOV_E_PROVIDER && second == NULL, "%s: vanished: open fails", scheme);
	ok(s->comeback(cfg), "%s: the store comes back", scheme);
	ok(range_is(p, "p/one", 0, UINT64_MAX, "abc"), "%s: and the handle goes on", scheme);
}

/* What "provider probe" says of a store that passed all of this. */
static void
probe(const struct sov_provider_config *cfg)
{
	struct sov_probe p;
	int			bad = 0;

	if (!ok_rc(sov_probe_run(cfg, &p, &err), err, "%s: probe", scheme))
		return;
	for (int i = 0; i < p.n; i++)
		if (p.findings[i].verdict == SOV_PROBE_BAD && ++bad > 0)
			printf("# %s: %s\n", p.findings[i].what, p.findings[i].does);
	ok(bad == 0 && p.n >= 10 && p.put_rate > 0 && p.get_rate > 0, "%s: probe finds it good", scheme);
}

static void
report_connections(void)
{
	struct sov_net_counters n;

	sov_net_counters(&n);
	if (n.requests > 0)
		printf("# %s: %llu requests over %llu connections since the start\n", scheme,
			   (unsigned long long) n.requests, (unsigned long long) n.connections);
}

static void
run(const struct setup *s, struct sov_provider_config cfg)
{
	struct sov_provider *p = NULL;
	struct count c;

	scheme = cfg.name;
	if (!s->prepare(&cfg))
		return skip("all", "cannot be set up here");
	if (!ok_rc(sov_provider_open(&cfg, &p, &err), err, "%s: open", scheme))
		return;
	if (strcmp(scheme, "swift-versions") == 0 || strcmp(scheme, "swift-stack") == 0 || strcmp(scheme, "swift-history") == 0)
	{
		strcmp(scheme, "swift-history") == 0 ? removed_elsewhere(p) : older_versions(p, &cfg);
		sov_provider_close(p);
		return;					/* all but removal is as in swift-native */
	}
	ok(strcmp(p->ops->caps.scheme, cfg.type) == 0 && p->ops->caps.max_object >= 32 * 1024 * 1024 && p->ops->caps.parallel >= 1, "%s: tells what it can", scheme);
	ok(count(p, "", &c, 0) == 0 && get_code(p, "id") == SOV_E_NOTFOUND, "%s: open made nothing", scheme);
	put_get(p);
	ranges(p);
	absent_objects(p);
	if_absent(p);
	names(p);
	large(p);
	listing(p);
	threads(p);
	older_versions(p, &cfg);
	unfinished(p, &cfg);
	vanished(s, &cfg, p);
	sov_provider_close(p);
	p = NULL;
	ok(sov_provider_open(&cfg, &p, &err) == SOV_OK && range_is(p, "p/one", 0, UINT64_MAX, "abc"), "%s: another handle sees the objects", scheme);
	sov_provider_close(p);
	report_connections();
	probe(&cfg);
	if (s->special != NULL)
		s->special(&cfg);
	s->cleanup(&cfg);
}

#include "folder.h"

static const struct setup folder_setup = {folder_prepare, folder_vanish, folder_comeback, folder_cleanup, folder_special};
static const struct setup remote_setup = {remote_prepare, remote_vanish, remote_comeback, remote_cleanup, remote_special};

static int
run_file(const char *path)
{
	struct sov_config cfg;

	if (!ok_rc(sov_config_read(path, 0, &cfg, &err), err, "%s is read", path))
		return tap_done();
	ok(cfg.n_providers > 0, "it has providers");
	for (int i = 0; i < cfg.n_providers; i++)
		run(&remote_setup, cfg.providers[i]);
	return tap_done();
}

int
main(void)
{
	struct sov_provider_config nowhere = {.name = "x", .type = "tape"};
	struct sov_provider_config folder = {.name = "folder", .type = "folder"};
	struct sov_provider *p = NULL;

	if (getenv("SOV_PROVIDERS") != NULL)
		return run_file(getenv("SOV_PROVIDERS"));
	ok(sov_provider_open(&nowhere, &p, &err) == SOV_E_CONFIG, "an unknown type is refused");
	run(&folder_setup, folder);
	return tap_done();
}
