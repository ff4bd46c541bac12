/*
 * kept.h - the part of conformance.c about what a provider keeps though nobody asked for it:
 * older versions, and what was begun and never finished.  Included once, behind what it calls.
 */
#ifndef KEPT_H
#define KEPT_H

/* --- older versions --- */

static bool
count_hidden(void *ctx, const char *name, const struct sov_object_stat *st)
{
	++*(int *) ctx;
	return strcmp(name, "p/older") == 0 && st->size == 0;
}

/* From the newest to the oldest of the others; none where none are kept. */
static void
older_versions(struct sov_provider *p, const struct sov_provider_config *cfg)
{
	static const char *const want[] = {"second", "first"};
	struct sov_provider_config small = changed(cfg, "list-page", "1");
	struct sov_provider *q = NULL;
	struct sov_buf b = {0};
	bool		keeps = strstr(scheme, "versions") != NULL;
	int			hidden = 0;

	put_text(p, "p/older", "first", false);
	put_text(p, "p/older", "second", false);
	put_text(p, "p/older", "third", false);
	put_text(p, "p/older2", "another's", false);
	for (int age = 0; age < 2 && keeps; age++, b.len = 0)
		ok(sov_provider_older(p, "p/older", age, &b, &err) == SOV_OK && b.len == strlen(want[age]) && memcmp(b.data, want[age], b.len) == 0,
		   "%s: the version before the newest but %d is read back: %s", scheme, age, err.message);
	if (keeps && ok_rc(sov_provider_open(&small, &q, &err), err, "%s: lists of one entry a page", scheme))
	{
		ok(sov_provider_older(q, "p/older", 1, &b, &err) == SOV_OK && b.len == 5 && memcmp(b.data, "first", 5) == 0, "%s: read page by page: %s", scheme, err.message);
		ok(sov_provider_older(q, "p/older", 2, &b, &err) == SOV_E_NOTFOUND, "%s: to the end", scheme);
		sov_provider_close(q);
		b.len = 0;
	}
	ok(sov_provider_older(p, "p/older", keeps ? 2 : 0, &b, &err) == SOV_E_NOTFOUND && b.len == 0, "%s: there are no older versions", scheme);
	ok(sov_provider_older(p, "p/never", 0, &b, &err) == SOV_E_NOTFOUND, "%s: nor any of what never was", scheme);
	if (keeps)
	{
		ok(sov_store_remove(p, "p/older", &err) == SOV_OK && get_code(p, "p/older") == SOV_E_NOTFOUND, "%s: hidden behind a removal", scheme);
		ok(sov_provider_older(p, "p/older", 0, &b, &err) == SOV_OK && b.len == 5 && memcmp(b.data, "third", 5) == 0, "%s: it is still read back", scheme);
	}
	ok(sov_provider_hidden(p, "p/", count_hidden, &hidden, &err) == SOV_OK && hidden == keeps, "%s: what is hidden is listed", scheme);
	ok(sov_provider_remove(p, "p/older", &err) == SOV_OK && sov_provider_older(p, "p/older", 0, &b, &err) == SOV_E_NOTFOUND, "%s: removed, hidden or not", scheme);
	ok(sov_provider_remove(p, "p/older", &err) == SOV_E_NOTFOUND, "%s: and gone", scheme);
	ok(sov_provider_remove(p, "p/older2", &err) == SOV_OK && sov_provider_older(p, "p/older2", 0, &b, &err) == SOV_E_NOTFOUND,
	   "%s: what this program removes leaves no version", scheme);
	ok(sov_provider_hidden(p, "p/", count_hidden, &hidden, &err) == SOV_OK && hidden == keeps, "%s: nor anything hidden", scheme);
	sov_buf_free(&b);
}

/* A container that puts what is removed elsewhere: what is beyond us is not called removed. */
static void
removed_elsewhere(struct sov_provider *p)
{
	put_text(p, "p/older", "first", false);
	ok(sov_provider_remove(p, "p/older", &err) == SOV_E_LOCKED && strstr(err.hint, "X-History-Location"), "%s: that it is kept elsewhere is told: %s", scheme, err.message);
	ok(get_code(p, "p/older") == SOV_E_NOTFOUND, "%s: readers do not see it", scheme);
	ok(sov_provider_remove(p, "p/older", &err) == SOV_E_NOTFOUND, "%s: and it is not there a second time", scheme);
}

/* --- what was begun and never finished --- */

#define BEGUN "+tmp/00000000000000000000000000000000"

/* As a process leaves it that is killed in the middle of a put; false: no put of this adapter
 * leaves anything. */
static bool
leave_unfinished(struct sov_provider *p, const struct sov_provider_config *cfg)
{
	const char *type = p->ops->caps.scheme,
			   *endpoint = sov_provider_config_get(cfg, "endpoint", NULL),
			   *prefix = sov_provider_config_get(cfg, "prefix", NULL);
	struct sov_put_span span = {"half", 4};
	struct sov_call c;
	char		path[1400];
	FILE	   *f;

	if (strcmp(type, "s3") == 0 || strcmp(type, "webdav") == 0)
	{
		sov_call_init(&c, type[0] == 's' ? "POST" : "PUT", type[0] == 's' ? "p/begun" : BEGUN);
		if (type[0] == 's')
			sov_call_query(&c, "uploads", "");
		c.spans = &span;
		c.n_spans = type[0] == 's' ? 0 : 1;
		ok(sov_store_call((struct sov_store *) p, &c, &err) == SOV_OK && sov_call_ok(&c), "%s: a put that is never finished", scheme);
		sov_call_free(&c);
		return true;
	}
	if (strcmp(type, "folder") != 0 && strcmp(type, "sftp") != 0)
		return false;
	snprintf(path, sizeof path, "%s%s%s/" BEGUN, type[0] == 'f' ? cfg->path : strchr(strstr(endpoint, "://") + 3, '/'), prefix ? "/" : "", prefix ? prefix : "");
	f = fopen(path, "w");
	ok(f != NULL && fclose(f) == 0, "%s: a put that is never finished", scheme);
	return true;
}

struct unfinished
{
	int			n,
				wrong;
	bool		take;
};

static bool
on_unfinished(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct unfinished *u = ctx;

	u->n++;
	u->wrong += (strcmp(name, BEGUN) != 0 && strcmp(name, "p/begun") != 0) || st->mtime_us < (int64_t) 1600000000 * 1000000;
	return u->take;
}

static bool
sweeps(struct sov_provider *p, bool take, int n)
{
	struct unfinished u = {.take = take};

	if (sov_provider_sweep(p, on_unfinished, &u, &err) == SOV_OK && u.n == n && u.wrong == 0)
		return true;
	printf("# %d, %d of them wrong: %s\n", u.n, u.wrong, err.message);
	return false;
}

static void
unfinished(struct sov_provider *p, const struct sov_provider_config *cfg)
{
	struct count c;

	sov_error_clear(&err);
	ok(sweeps(p, true, 0), "%s: nothing was begun that was not finished", scheme);
	if (!leave_unfinished(p, cfg))
		return;
	ok(count(p, "p/begun", &c, 0) == 0 && count(p, "+tmp", &c, 0) == 0, "%s: it is no object", scheme);
	ok(sweeps(p, false, 1) && sweeps(p, true, 1), "%s: it is told, and stays until it is taken back", scheme);
	ok(sweeps(p, true, 0), "%s: then it is gone", scheme);
	ok(range_is(p, "p/one", 0, UINT64_MAX, "abc"), "%s: and nothing else", scheme);
}

#endif
