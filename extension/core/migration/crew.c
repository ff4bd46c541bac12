/*
 * crew.c - the threads of apply: what they work off, how far they are, and the first
 * error.
 */
#include "migrate_private.h"

struct crew
{
	struct apply *a;
	size_t		next,
				n;
	crew_fn		work;
	void	   *arg;
	enum sov_code rc;
	struct sov_error err;
};

static void
crew_member(int member, void *arg)
{
	struct crew *c = arg;
	const struct sov_progress *progress = c->a->progress;

	(void) member;
	for (;;)
	{
		struct sov_error err;
		enum sov_code rc = SOV_OK;
		size_t		i;

		sov_error_clear(&err);
		pthread_mutex_lock(&c->a->lock);
		if (c->rc == SOV_OK && progress && progress->cancelled && progress->cancelled(progress->ctx))
			c->rc = sov_fail(&c->err, SOV_E_CANCELLED, "run 'pg_sovereign apply' again to go on", "cancelled; what was moved stays moved");
		i = c->rc == SOV_OK ? c->next++ : c->n;
		pthread_mutex_unlock(&c->a->lock);
		if (i >= c->n)
			return;
		rc = c->work(c->a, i, c->arg, &err);
		pthread_mutex_lock(&c->a->lock);
		if (rc != SOV_OK && c->rc == SOV_OK)
		{
			c->rc = rc;
			c->err = err;
		}
		pthread_mutex_unlock(&c->a->lock);
	}
}

enum sov_code
apply_crew(struct apply *a, int members, size_t n, crew_fn work, void *arg, struct sov_error *err)
{
	struct crew c = {.a = a, .n = n, .work = work, .arg = arg, .rc = SOV_OK};

	sov_parallel(n < (size_t) members ? (int) n : members, crew_member, &c);
	if (c.rc != SOV_OK && err)
		*err = c.err;
	return c.rc;
}

/* Called with the lock held. */
void
apply_progress(struct apply *a, uint64_t bytes)
{
	a->res->bytes += bytes;
	a->done += bytes;
	if (a->progress && a->progress->update)
		a->progress->update(a->progress->ctx, a->done, a->res->plan.bytes);
}
