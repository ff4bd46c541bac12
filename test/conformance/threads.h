/*
 * threads.h - the part of conformance.c about several threads on one handle.  Included once,
 * behind what it calls.
 */
#ifndef THREADS_H
#define THREADS_H

/* --- several threads on one handle --- */

struct worker
{
	struct sov_provider *p;
	int			number,
				failed,
				won;
};

static void
complain(struct worker *w, const char *what, const struct sov_error *e)
{
	if (w->failed++ < 3)
		printf("# worker %d: %s: %s\n", w->number, what, e->message);
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct sov_error e;

	for (int i = 0; i < 60; i++)
	{
		char		name[64],
					text[64];
		struct sov_put_span span = {text, 0};
		struct sov_buf b = {0};
		bool		strict = strcmp(w->p->ops->caps.scheme, "folder") == 0 || strcmp(w->p->ops->caps.scheme, "azure") == 0;
		enum sov_code rc;

		snprintf(name, sizeof name, "thread/%d/%d", w->number, i % 7);
		span.len = (size_t) snprintf(text, sizeof text, "worker %d round %d", w->number, i);
		sov_error_clear(&e);
		if (sov_provider_put(w->p, name, &span, 1, false, &e) != SOV_OK)
			complain(w, "put", &e);
		rc = sov_provider_get(w->p, name, 0, UINT64_MAX, &b, &e);
		if (rc != SOV_OK || b.len != span.len || memcmp(b.data, text, b.len) != 0)
			complain(w, rc == SOV_OK ? "not what was put" : "get", &e);
		/* one object of all: whole, whoever wrote it, or none for a moment */
		if (sov_provider_put(w->p, "thread/all", &span, 1, false, &e) != SOV_OK)
			complain(w, "put of all", &e);
		b.len = 0;
		rc = sov_provider_get(w->p, "thread/all", 0, UINT64_MAX, &b, &e);
		if (rc == SOV_OK ? b.len < 16 || memcmp(b.data, "worker ", 7) != 0 : rc != SOV_E_NOTFOUND || strict)
			complain(w, rc == SOV_OK ? "not what anybody put" : "get of all", &e);
		sov_buf_free(&b);
	}
	return NULL;
}

static void *
create_once(void *arg)
{
	struct worker *w = arg;
	struct sov_put_span span = {"x", 1};
	struct sov_error e;

	for (int i = 0; i < 50; i++)
	{
		char		name[64];
		enum sov_code rc;

		/* each where nobody put anything before: some stores make a folder first */
		snprintf(name, sizeof name, "race/%d/once", i);
		sov_error_clear(&e);
		rc = sov_provider_put(w->p, name, &span, 1, true, &e);
		w->won += rc == SOV_OK;
		if (rc != SOV_OK && rc != SOV_E_EXISTS)
			complain(w, "put if absent", &e);
	}
	return NULL;
}

static void
threads(struct sov_provider *p)
{
	pthread_t	id[6];
	struct worker w[6];
	int			failed = 0,
				made = 0;

	if (!p->ops->caps.threads)
		return skip("several threads", "not claimed");
	for (int i = 0; i < 6; i++)
	{
		w[i] = (struct worker) {.p = p, .number = i};
		pthread_create(&id[i], NULL, work, &w[i]);
	}
	for (int i = 0; i < 6; i++)
	{
		pthread_join(id[i], NULL);
		failed += w[i].failed;
	}
	ok(failed == 0, "%s: six threads on one handle", scheme);
	failed = 0;
	for (int i = 0; i < 6; i++)
	{
		pthread_create(&id[i], NULL, create_once, &w[i]);
	}
	for (int i = 0; i < 6; i++)
	{
		pthread_join(id[i], NULL);
		made += w[i].won;
		failed += w[i].failed;
	}
	ok(failed == 0, "%s: put if absent from six threads: no error but that it exists", scheme);
	if (p->ops->caps.atomic_create)
		ok(made == 50, "%s: put if absent from six threads: one wins each time", scheme);
	else
		ok(made >= 50, "%s: put if absent from six threads: somebody wins each time (more is not claimed)", scheme);
}

#endif
