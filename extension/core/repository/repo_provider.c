/*
 * repo_provider.c - every request to a provider, with its circuit breaker.
 *
 * A provider that fails is "down": it is not asked again before retry_at
 * (1 s, doubling to 60 s, and several times what the failure took), so that a dead
 * provider costs one time-out, not one per object.  It may be well again long before:
 * when too few others are left it is asked again after a second, or after what the
 * failure took.  A process that runs for long has a thread of its own that asks those that
 * are down (sov_repo_ask_down), so that nobody else waits for the answer that may not
 * come.  SOV_E_NOTFOUND and SOV_E_EXISTS are answers, not failures; SOV_E_FULL
 * concerns one put and does not stop reading.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "repo_private.h"
#include "sov_stop.h"

#define RETRY_TIMES 4

/* When the request under way of this thread began. */
static _Thread_local int64_t asked_us;
/* This thread asks those that are down, for all the others. */
static _Thread_local bool asks_down;

int64_t
repo_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
repo_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
repo_due_us(int64_t started_us, uint64_t bytes, uint64_t rate)
{
	return rate ? started_us + (int64_t) ((double) bytes * 1e6 / (double) rate) : started_us;
}

static bool
is_answer(enum sov_code rc)
{
	return rc == SOV_OK || rc == SOV_E_NOTFOUND || rc == SOV_E_EXISTS || rc == SOV_E_FULL || rc == SOV_E_LOCKED;
}

/* Record how a request ended; the first failure and the recovery are noted. */
static void
settle_outcome(struct sov_repo *repo, int i, enum sov_code rc, const struct sov_error *err)
{
	struct sov_repo_provider *rp = &repo->providers[i];
	int64_t		took = repo_mono_us() - asked_us;
	bool		came_back = false,
				went_down = false;

	pthread_mutex_lock(&repo->priv->lock);
	if (is_answer(rc))
	{
		came_back = rp->down;
		rp->down = false;
		rp->retry_at_us = 0;
		rp->retry_wait_us = 0;
	}
	else
	{
		went_down = !rp->down;
		rp->down = true;
		rp->last = *err;
		rp->retry_wait_us = rp->retry_wait_us ? rp->retry_wait_us * 2 : RETRY_MIN_US;
		if (rp->retry_wait_us < took * RETRY_TIMES)
			rp->retry_wait_us = took * RETRY_TIMES;
		if (rp->retry_wait_us > RETRY_MAX_US)
			rp->retry_wait_us = RETRY_MAX_US;
		rp->failed_us = repo_mono_us();
		rp->took_us = took;
		rp->retry_at_us = rp->failed_us + rp->retry_wait_us;
	}
	pthread_mutex_unlock(&repo->priv->lock);
	if (!is_answer(rc))
		repo_down_write(repo, i, took);
	else if (came_back && asks_down)
		repo_down_is_well(repo, i);
	else if (came_back)
		repo_down_forget(repo, i);
	if (went_down)
		repo_note(repo, "provider %s does not answer: %s", rp->cfg->name, err->message);
	else if (came_back)
		repo_note(repo, "provider %s answers again", rp->cfg->name);
}

bool
repo_too_few(const struct sov_repo *repo, int left)
{
	int			k = repo->cfg.needed;

	return left < k || left <= repo->n_providers - k;
}

/* Is this one that is down not to be asked yet?  Under the lock. */
static bool
is_waited_for(const struct sov_repo *repo, const struct sov_repo_provider *rp, int64_t now)
{
	int			left = repo->n_providers;
	bool		apart = !asks_down && __atomic_load_n(&repo->priv->asked_apart, __ATOMIC_RELAXED);

	if (!rp->down || rp->retry_at_us == 0 || (now >= rp->retry_at_us && !apart))
		return false;
	if (rp->retry_at_us == INT64_MAX || now < rp->failed_us + (rp->took_us > RETRY_MIN_US ? rp->took_us : RETRY_MIN_US))
		return true;
	for (int i = 0; i < repo->n_providers; i++)
		left -= repo->providers[i].down && (apart || now < repo->providers[i].retry_at_us);
	return !repo_too_few(repo, left);
}

void
sov_repo_ask_down(struct sov_repo *repo)
{
	asks_down = true;
	__atomic_store_n(&repo->priv->asked_apart, true, __ATOMIC_RELAXED);
	for (int i = 0; i < repo->n_providers && !sov_stopped(); i++)
	{
		const struct sov_repo_provider *rp = &repo->providers[i];
		bool		due;

		pthread_mutex_lock(&repo->priv->lock);
		due = rp->down && rp->retry_at_us != INT64_MAX && repo_mono_us() >= rp->retry_at_us;
		pthread_mutex_unlock(&repo->priv->lock);
		if (due)
			(void) sov_repo_probe(repo, i);
	}
}

bool
repo_ask_again(struct sov_repo *repo, int64_t before_us)
{
	bool		any = false;

	pthread_mutex_lock(&repo->priv->lock);
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_repo_provider *rp = &repo->providers[i];

		if (rp->down && rp->retry_at_us != INT64_MAX && rp->retry_at_us > (repo->priv->asked_apart ? 0 : before_us) && rp->failed_us < before_us)
		{
			rp->retry_at_us = 0;
			any = true;
		}
	}
	pthread_mutex_unlock(&repo->priv->lock);
	return any;
}

static enum sov_code
open_handle(struct sov_repo_provider *rp, struct sov_error *err)
{
	struct sov_provider *p;
	enum sov_code rc = sov_provider_open(rp->cfg, &p, err);

	if (rc == SOV_OK)
		__atomic_store_n(&rp->handle, p, __ATOMIC_RELEASE);
	return rc;
}

/* Is it to be left alone? */
static bool
left_alone(struct sov_repo *repo, int i, struct sov_error *err)
{
	struct sov_repo_provider *rp = &repo->providers[i];
	bool		wait;

	pthread_mutex_lock(&repo->priv->lock);
	wait = is_waited_for(repo, rp, repo_mono_us());
	if (wait)
		*err = rp->last;
	pthread_mutex_unlock(&repo->priv->lock);
	return wait;
}

/* Opening takes requests, which may hang: who needs other providers does not wait for
 * that, and of those who need this one the first alone tries. */
static enum sov_code
connect_provider(struct sov_repo *repo, int i, struct sov_error *err)
{
	struct sov_repo_provider *rp = &repo->providers[i];
	struct sov_error why;
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&repo->priv->connect[i]);
	asked_us = repo_mono_us();
	if (__atomic_load_n(&rp->handle, __ATOMIC_ACQUIRE) != NULL)
		;
	else if (left_alone(repo, i, err))
		rc = SOV_E_PROVIDER;
	else
	{
		sov_error_clear(&why);
		rc = open_handle(rp, &why);
		if (rc != SOV_OK)
		{
			why.code = SOV_E_PROVIDER;
			settle_outcome(repo, i, SOV_E_PROVIDER, &why);
			*err = why;
		}
	}
	pthread_mutex_unlock(&repo->priv->connect[i]);
	return rc;
}

/* The handle to use, or NULL with the reason in *err. */
static struct sov_provider *
use(struct sov_repo *repo, int i, struct sov_error *err)
{
	struct sov_repo_provider *rp = &repo->providers[i];

	asked_us = repo_mono_us();
	if (left_alone(repo, i, err) ||
		(__atomic_load_n(&rp->handle, __ATOMIC_ACQUIRE) == NULL && connect_provider(repo, i, err) != SOV_OK))
	{
		sov_error_prefix(err, "provider %s", rp->cfg->name);
		return NULL;
	}
	if (!rp->handle->ops->caps.threads)
	{
		pthread_mutex_lock(&repo->priv->serial[i]);
		asked_us = repo_mono_us();
	}
	return rp->handle;
}

/* changes: a put or remove.  That these credentials may not overwrite or remove says
 * nothing of what else they may. */
static enum sov_code
done(struct sov_repo *repo, int i, enum sov_code rc, bool changes, uint64_t out, uint64_t in, struct sov_error *err)
{
	bool		answers = is_answer(rc) || (changes && err->refused);
	struct sov_repo_provider *rp = &repo->providers[i];

	if (!rp->handle->ops->caps.threads)
		pthread_mutex_unlock(&repo->priv->serial[i]);
	__atomic_add_fetch(&rp->requests, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&rp->bytes_out, out, __ATOMIC_RELAXED);
	__atomic_add_fetch(&rp->bytes_in, in, __ATOMIC_RELAXED);
	/* one that was left behind did not fail */
	if (answers ? rp->down : !sov_stopped())
		settle_outcome(repo, i, answers ? SOV_OK : rc, err);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		sov_error_prefix(err, "provider %s", rp->cfg->name);
	return rc;
}

/* Callers may pass no error record; the breaker needs one. */
#define LOCAL_ERROR \
	struct sov_error scratch; \
	if (err == NULL) \
		err = &scratch; \
	sov_error_clear(err)

/* The one place through which every byte goes: what the policy bars gets none.
 * To the engines that is a provider that does not take it. */
static enum sov_code
barred(const struct sov_repo *repo, int i, struct sov_error *err)
{
	const struct sov_policy_report *policy = sov_repo_policy(repo);

	for (int v = 0; v < policy->n; v++)
		if (policy->violations[v].provider == i)
			return sov_fail(err, SOV_E_PROVIDER, policy->violations[v].hint, "%s", policy->violations[v].message);
	return sov_fail(err, SOV_E_PROVIDER, NULL, "policy: nothing may be written to provider %s", repo->providers[i].cfg->name);
}

static bool
is_there(struct sov_repo *repo, int i, const char *name, const struct sov_put_span *spans, int n, uint64_t total)
{
	struct sov_buf there = {0};
	bool		same = repo_get(repo, i, name, 0, UINT64_MAX, &there, NULL) == SOV_OK && there.len == total;
	size_t		at = 0;

	for (int s = 0; same && s < n; at += spans[s++].len)
		same = memcmp(there.data + at, spans[s].data, spans[s].len) == 0;
	sov_buf_free(&there);
	return same;
}

enum sov_code
repo_put(struct sov_repo *repo, int i, const char *name, const struct sov_put_span *spans, int n,
		 bool if_absent, struct sov_error *err)
{
	struct sov_provider *p;
	uint64_t	total = 0;
	enum sov_code rc;

	LOCAL_ERROR;
	if ((rc = repo_judge_today(repo, err)) != SOV_OK)
		return rc;
	if (sov_repo_policy(repo)->barred[i])
		return barred(repo, i, err);
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	for (int s = 0; s < n; s++)
		total += spans[s].len;
	rc = done(repo, i, sov_provider_put(p, name, spans, n, if_absent, err), true, total, 0, err);
	/* what was interrupted is put once more: these credentials may not overwrite it */
	if (rc != SOV_OK && err->refused && is_there(repo, i, name, spans, n, total))
		rc = SOV_OK;
	return rc;
}

/*
 * Heads, batches, keyrings and the identity are read whole, by every command and before
 * anybody knows whether they are ours.  What is beyond the length that their formats
 * allow (ENVELOPE_MAX) tells nothing more, and a gigabyte of it would take long.
 */
static bool
is_small(const char *name)
{
	return strcmp(name, SOV_IDENTITY_OBJECT) == 0 || strncmp(name, "a/", 2) == 0 || strncmp(name, "h/", 2) == 0 || strncmp(name, "l/", 2) == 0 ||
		(strncmp(name, "k/", 2) == 0 && strncmp(name, SOV_SUBJECTS_PREFIX, strlen(SOV_SUBJECTS_PREFIX)) != 0);
}

enum sov_code
repo_get(struct sov_repo *repo, int i, const char *name, uint64_t off, uint64_t len,
		 struct sov_buf *out, struct sov_error *err)
{
	struct sov_provider *p;
	size_t		before = out->len;
	enum sov_code rc;

	LOCAL_ERROR;
	if (len == UINT64_MAX && is_small(name))
		len = SOV_SMALL_READ;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	rc = sov_provider_get(p, name, off, len, out, err);
	return done(repo, i, rc, false, 0, out->len - before, err);
}

enum sov_code
repo_get_older(struct sov_repo *repo, int i, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{
	struct sov_provider *p;
	size_t		before = out->len;
	enum sov_code rc;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	rc = sov_provider_older(p, name, age, out, err);
	/* credentials that may not ask for versions say nothing of what else they may */
	if (rc != SOV_OK && err->refused)
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "versions of object \"%s\" may not be read", name);
	return done(repo, i, rc, false, 0, out->len - before, err);
}

enum sov_code
repo_stat(struct sov_repo *repo, int i, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_provider *p;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	return done(repo, i, sov_provider_stat(p, name, st, err), false, 0, 0, err);
}

enum sov_code
repo_list(struct sov_repo *repo, int i, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct sov_provider *p;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	return done(repo, i, sov_provider_list(p, prefix, fn, ctx, err), false, 0, 0, err);
}

int64_t		repo_list_patience_us = 60000000;

enum sov_code
repo_list_briefly(struct sov_repo *repo, int i, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct sov_provider *p;
	enum sov_code rc;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	sov_stop_after_us = sov_stop_now_us() + repo_list_patience_us;
	rc = sov_provider_list(p, prefix, fn, ctx, err);
	if (rc == SOV_E_PROVIDER && sov_stop_now_us() >= sov_stop_after_us)
		sov_fail(err, rc, NULL, "its list of %s did not end within %d seconds", prefix, (int) (repo_list_patience_us / 1000000));
	sov_stop_after_us = 0;
	return done(repo, i, rc, false, 0, 0, err);
}

enum sov_code
repo_list_hidden(struct sov_repo *repo, int i, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct sov_provider *p;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	return done(repo, i, sov_provider_hidden(p, "", fn, ctx, err), false, 0, 0, err);
}

enum sov_code
repo_remove(struct sov_repo *repo, int i, const char *name, struct sov_error *err)
{
	struct sov_provider *p;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	return done(repo, i, sov_provider_remove(p, name, err), true, 0, 0, err);
}

enum sov_code
repo_sweep(struct sov_repo *repo, int i, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct sov_provider *p;
	enum sov_code rc;

	LOCAL_ERROR;
	if ((p = use(repo, i, err)) == NULL)
		return SOV_E_PROVIDER;
	rc = sov_provider_sweep(p, fn, ctx, err);
	if (rc != SOV_E_UNSUPPORTED)
		return done(repo, i, rc, true, 0, 0, err);
	/* that it cannot tell is an answer */
	(void) done(repo, i, SOV_OK, true, 0, 0, err);
	return rc;
}

#define SLOW_US 60000000

bool
repo_is_slow(struct sov_repo *repo, int provider)
{
	return provider >= 0 && __atomic_load_n(&repo->providers[provider].slow_until_us, __ATOMIC_RELAXED) > repo_mono_us();
}

void
repo_call_slow(struct sov_repo *repo, int provider)
{
	if (provider < 0)
		return;
	if (!repo_is_slow(repo, provider))
		repo_note(repo, "provider %s is slow: the others are read from first", repo->providers[provider].cfg->name);
	__atomic_store_n(&repo->providers[provider].slow_until_us, repo_mono_us() + SLOW_US, __ATOMIC_RELAXED);
}

bool
sov_repo_probe(struct sov_repo *repo, int i)
{
	struct sov_object_stat st;
	enum sov_code rc;

	rc = repo_stat(repo, i, SOV_IDENTITY_OBJECT, &st, NULL);
	return rc == SOV_OK || rc == SOV_E_NOTFOUND;
}

/* "ovh (reason); azure (reason)" for messages about too few providers. */
void
repo_provider_down_list(const struct sov_repo *repo, char *dst, size_t cap)
{
	size_t		used = 0;

	dst[0] = '\0';
	for (int i = 0; i < repo->n_providers; i++)
	{
		const struct sov_repo_provider *rp = &repo->providers[i];
		int			n;

		if (!rp->down && !rp->fresh)
			continue;
		n = snprintf(dst + used, cap - used, "%s%s (%.160s)", used ? "; " : "", rp->cfg->name,
					 rp->fresh ? "holds nothing of this repository" : rp->last.message);
		if (n < 0 || (size_t) n >= cap - used)
			return;
		used += (size_t) n;
	}
}
