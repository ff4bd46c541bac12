/*
 * fault.c - a decorator that makes a provider fail, for tests and drills.
 *
 * Wrapped round a provider only while the environment variable
 * PG_SOVEREIGN_FAULTS names a file.  The file is read anew at every call, so
 * that a test can change it under a running process.  Lines:
 *
 *   PROVIDER OPERATION FAULT [COUNT]
 *
 * PROVIDER is a name or *; OPERATION is open, put, get, stat, list, remove or
 * *; '#' begins a comment.  FAULT is
 *
 *   error         cannot be reached (retryable)
 *   full          no space
 *   notfound      a definite "not found"
 *   short         only half: of the bytes (get; put, which reports success),
 *                 of the size (stat), every second object (list)
 *   flip          one bit of what get returns is wrong
 *   lie           remove reports success, and does nothing
 *   kept          remove is done, and reports that the provider keeps it all the same
 *   locked        remove does nothing, and reports a lock; stat tells of one; open: the
 *                 provider is of those that lock
 *   slow=MS       waits first
 *   kill-before   SIGKILL to this process before the operation (also "kill")
 *   kill-after    ... after it
 *
 * COUNT: the fault happens at the first COUNT matching calls of this process;
 * for kill: at the COUNT-th one.  Without it: at all (kill: the first).  Counts
 * begin anew when the file changes.  The first matching line that is not used
 * up decides, except that slow lets later lines decide as well.
 *
 * A line that is not understood is an error, so that no test passes because of
 * a spelling mistake.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapters.h"
#include "sov_stop.h"

#define MAX_RULES 64
#define STEP_US 20000
#define FILE_MAX_BYTES 8192

enum fault_kind { F_NONE, F_ERROR, F_FULL, F_NOTFOUND, F_SHORT, F_FLIP, F_LIE, F_KEPT, F_LOCKED, F_SLOW, F_KILL_BEFORE, F_KILL_AFTER };

struct fault
{
	struct sov_provider base;	/* first */
	struct sov_provider_ops ops;	/* ours, with the inner one's caps */
	struct sov_provider *inner;
	char		name[64];
};

/* What one call shall suffer. */
struct verdict
{
	enum fault_kind kind;
	long		slow_ms;
};

/* Calls counted per line of the file, over all handles of the process. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char last_text[FILE_MAX_BYTES];
static long used[MAX_RULES];

static enum fault_kind
fault_by_name(const char *word, long *slow_ms)
{
	static const struct
	{
		const char *word;
		enum fault_kind kind;
	}			kinds[] = {
		{"error", F_ERROR}, {"full", F_FULL}, {"notfound", F_NOTFOUND},
		{"short", F_SHORT}, {"flip", F_FLIP}, {"lie", F_LIE}, {"kept", F_KEPT}, {"locked", F_LOCKED}, {"kill", F_KILL_BEFORE},
		{"kill-before", F_KILL_BEFORE}, {"kill-after", F_KILL_AFTER}
	};
	char	   *end;

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strcmp(word, kinds[i].word) == 0)
			return kinds[i].kind;
	if (strncmp(word, "slow=", 5) == 0)
	{
		*slow_ms = strtol(word + 5, &end, 10);
		if (end != word + 5 && *end == '\0' && *slow_ms >= 0)
			return F_SLOW;
	}
	return F_NONE;
}

static bool
known_operation(const char *word)
{
	static const char *const words[] = {"open", "put", "get", "stat", "list", "remove", "*"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

/* Apply one line; false when it is not understood. */
static bool
judge_line(char *line, int n, const char *provider, const char *operation, struct verdict *v)
{
	char		who[65],
				op[16],
				word[32],
				extra[2];
	long		count = 0,
				ms = 0;
	enum fault_kind kind;
	int			fields;

	line[strcspn(line, "#")] = '\0';
	fields = sscanf(line, "%64s %15s %31s %ld %1s", who, op, word, &count, extra);
	if (fields <= 0)
		return true;
	if (fields < 3 || fields > 4 || n >= MAX_RULES || (fields == 4 && count < 1) || !known_operation(op))
		return false;
	if (fields == 3 && sscanf(line, "%*s %*s %*s %1s", extra) == 1)
		return false;			/* a count that is no number */
	kind = fault_by_name(word, &ms);
	if (kind == F_NONE)
		return false;
	if ((strcmp(who, "*") != 0 && strcmp(who, provider) != 0) ||
		(strcmp(op, "*") != 0 && strcmp(op, operation) != 0) || v->kind != F_NONE)
		return true;
	used[n]++;
	if (kind == F_KILL_BEFORE || kind == F_KILL_AFTER)
	{
		if (used[n] == (count ? count : 1))
			v->kind = kind;
	}
	else if (count == 0 || used[n] <= count)
	{
		if (kind == F_SLOW)
			v->slow_ms += ms;
		else
			v->kind = kind;
	}
	return true;
}

static enum sov_code
read_rules(char text[FILE_MAX_BYTES], struct sov_error *err)
{
	const char *path = getenv(SOV_FAULTS_VARIABLE);
	FILE	   *f = path ? fopen(path, "re") : NULL;
	size_t		n = 0;

	if (f == NULL && path != NULL && errno != ENOENT)
		return sov_fail_errno(err, errno, NULL, "could not open \"%s\" (" SOV_FAULTS_VARIABLE ")", path);
	if (f != NULL)
	{
		n = fread(text, 1, FILE_MAX_BYTES, f);
		fclose(f);
	}
	if (n == FILE_MAX_BYTES)
		return sov_fail(err, SOV_E_CONFIG, NULL, "\"%s\" (" SOV_FAULTS_VARIABLE ") is too long", path);
	text[n] = '\0';
	return SOV_OK;
}

/* Read the rules and decide about one call. */
static enum sov_code
judge(const char *provider, const char *operation, struct verdict *v, struct sov_error *err)
{
	char		text[FILE_MAX_BYTES];
	char	   *rest = text,
			   *line;
	enum sov_code rc;
	int			n = 0;

	memset(v, 0, sizeof *v);
	rc = read_rules(text, err);
	if (rc != SOV_OK)
		return rc;
	pthread_mutex_lock(&lock);
	if (strcmp(text, last_text) != 0)
	{
		memcpy(last_text, text, strlen(text) + 1);
		memset(used, 0, sizeof used);
	}
	while (rc == SOV_OK && (line = strsep(&rest, "\n")) != NULL)
		if (!judge_line(line, n++, provider, operation, v))
			rc = sov_fail(err, SOV_E_CONFIG, "lines are: PROVIDER OPERATION FAULT [COUNT]",
						  "line %d of the file of " SOV_FAULTS_VARIABLE " is not understood", n);
	pthread_mutex_unlock(&lock);
	return rc;
}

static void
die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* What happens before the operation; *v says what is left for it. */
static enum sov_code
before(const char *provider, const char *operation, struct verdict *v, struct sov_error *err)
{
	enum sov_code rc = judge(provider, operation, v, err);
	int64_t		until = sov_stop_now_us() + (int64_t) v->slow_ms * 1000;

	if (rc != SOV_OK)
		return rc;
	for (int64_t left; (left = until - sov_stop_now_us()) > 0; usleep(left < STEP_US ? (useconds_t) left : STEP_US))
		if (sov_stopped())
			return sov_fail(err, SOV_E_PROVIDER, NULL, "nobody waits for it any longer");
	switch (v->kind)
	{
		case F_ERROR:
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "cannot be reached (injected fault)");
			break;
		case F_FULL:
			rc = sov_fail(err, SOV_E_FULL, NULL, "no space left (injected fault)");
			break;
		case F_NOTFOUND:
			return sov_fail(err, SOV_E_NOTFOUND, NULL, "object does not exist (injected fault)");
		case F_KILL_BEFORE:
			die();
			break;
		default:
			break;
	}
	if (rc != SOV_OK && err != NULL)
		err->retryable = true;
	return rc;
}

static enum sov_code
after(const struct verdict *v, enum sov_code rc)
{
	if (v->kind == F_KILL_AFTER)
		die();
	return rc;
}

/* --- operations --- */

static enum sov_code
fault_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		  bool if_absent, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct sov_put_span *half = NULL;
	struct verdict v;
	size_t		total = 0;
	enum sov_code rc = before(f->name, "put", &v, err);

	if (rc != SOV_OK)
		return rc;
	if (v.kind == F_SHORT && n_spans > 0)
	{
		half = malloc((size_t) n_spans * sizeof *half);
		if (half == NULL)
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		for (int i = 0; i < n_spans; i++)
			total += spans[i].len;
		total /= 2;
		for (int i = 0; i < n_spans; i++)
		{
			half[i] = spans[i];
			if (half[i].len > total)
				half[i].len = total;
			total -= half[i].len;
		}
	}
	rc = sov_provider_put(f->inner, name, half ? half : spans, n_spans, if_absent, err);
	free(half);
	return after(&v, rc);
}

static enum sov_code
fault_get(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct verdict v;
	size_t		start = out->len;
	enum sov_code rc = before(f->name, "get", &v, err);

	if (rc == SOV_OK)
		rc = after(&v, sov_provider_get(f->inner, name, offset, len, out, err));
	if (rc == SOV_OK && v.kind == F_SHORT)
		out->len = start + (out->len - start) / 2;
	if (rc == SOV_OK && v.kind == F_FLIP && out->len > start)
		out->data[start + (out->len - start) / 2] ^= 1;
	return rc;
}

static enum sov_code
fault_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct verdict v;
	enum sov_code rc = before(f->name, "stat", &v, err);

	if (rc == SOV_OK)
		rc = after(&v, sov_provider_stat(f->inner, name, st, err));
	if (rc == SOV_OK && v.kind == F_SHORT)
		st->size /= 2;
	if (rc == SOV_OK && v.kind == F_LOCKED)
		st->locked = true;
	return rc;
}

struct half_list
{
	sov_list_fn fn;
	void	   *ctx;
	bool		skip;
};

static bool
every_second(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct half_list *h = ctx;

	h->skip = !h->skip;
	return h->skip ? true : h->fn(h->ctx, name, st);
}

static enum sov_code
fault_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct half_list h = {.fn = fn, .ctx = ctx};
	struct verdict v;
	enum sov_code rc = before(f->name, "list", &v, err);

	if (rc != SOV_OK)
		return rc;
	if (v.kind == F_SHORT)
		return sov_provider_list(f->inner, prefix, every_second, &h, err);
	return after(&v, sov_provider_list(f->inner, prefix, fn, ctx, err));
}

static enum sov_code
fault_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct verdict v;
	enum sov_code rc = before(f->name, "remove", &v, err);

	if (rc != SOV_OK || v.kind == F_LIE)
		return rc;
	if (v.kind == F_LOCKED)
		return sov_fail(err, SOV_E_LOCKED, NULL, "object \"%s\" is locked (injected fault)", name);
	rc = after(&v, sov_provider_remove(f->inner, name, err));
	return rc == SOV_OK && v.kind == F_KEPT ? sov_fail(err, SOV_E_LOCKED, NULL, "object \"%s\" is gone for readers, and kept (injected fault)", name) : rc;
}

/* A kind of get. */
static enum sov_code
fault_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct verdict v;
	enum sov_code rc = before(f->name, "get", &v, err);

	return rc != SOV_OK ? rc : after(&v, sov_provider_older(f->inner, name, age, out, err));
}

/* A kind of list. */
static enum sov_code
fault_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct verdict v;
	enum sov_code rc = before(f->name, "list", &v, err);

	return rc != SOV_OK ? rc : after(&v, sov_provider_hidden(f->inner, prefix, fn, ctx, err));
}

/* A kind of list. */
static enum sov_code
fault_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct fault *f = (struct fault *) p;
	struct verdict v;
	enum sov_code rc = before(f->name, "list", &v, err);

	return rc != SOV_OK ? rc : after(&v, sov_provider_sweep(f->inner, fn, ctx, err));
}

static void
fault_close(struct sov_provider *p)
{
	struct fault *f = (struct fault *) p;

	sov_provider_close(f->inner);
	free(f);
}

enum sov_code
sov_provider_fault_wrap(const char *provider_name, struct sov_provider *inner,
						struct sov_provider **out, struct sov_error *err)
{
	struct verdict v;
	struct fault *f = calloc(1, sizeof *f);
	enum sov_code rc = f ? before(provider_name, "open", &v, err) :
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	*out = NULL;
	if (rc != SOV_OK)
	{
		free(f);
		sov_provider_close(inner);
		return rc;
	}
	f->ops = (struct sov_provider_ops) {
		.caps = inner->ops->caps, .keys = inner->ops->keys, .open = inner->ops->open, .put = fault_put,
		.get = fault_get, .stat = fault_stat, .list = fault_list,
		.remove = fault_remove, .older = fault_older, .hidden = fault_hidden,
		.sweep = fault_sweep, .close = fault_close
	};
	f->ops.caps.locks = f->ops.caps.locks || v.kind == F_LOCKED;
	f->base.ops = &f->ops;
	f->inner = inner;
	snprintf(f->name, sizeof f->name, "%s", provider_name);
	*out = &f->base;
	return after(&v, SOV_OK);
}
