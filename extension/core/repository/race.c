/*
 * race.c - see race.h.
 */
#include "race.h"

#include "repo_private.h"
#include "sov_stop.h"

#define HEDGE_TIMES 4			/* what the first one needed */
#define HEDGE_MAX_US 5000000	/* nobody finished by then: ask everybody */

_Thread_local const atomic_bool *sov_stop_flag;
_Thread_local int64_t sov_stop_after_us;
_Atomic int64_t sov_stop_at_us;

void
race_begin(struct race *r, int needed, int64_t least)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
	r->running = needed;			/* they are on their way to race_enter */
	r->good = 0;
	r->needed = needed;
	r->least = least;
	r->begun = repo_mono_us();
	r->first = 0;
	atomic_init(&r->stop, false);
}

void
race_over(struct race *r)
{
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
}

/* When the next one may start although none has failed. */
static int64_t
hedge_at(const struct race *r)
{
	int64_t		wait = r->first * HEDGE_TIMES;

	if (r->good == 0)
		wait = HEDGE_MAX_US;
	if (wait < r->least)
		wait = r->least;
	return r->begun + wait;
}

static void
wait_until(struct race *r, int64_t at)
{
	int64_t		left = at - repo_mono_us();
	struct timespec ts;

	if (left <= 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	left += ts.tv_nsec / 1000;
	ts.tv_sec += left / 1000000;
	ts.tv_nsec = left % 1000000 * 1000;
	(void) pthread_cond_timedwait(&r->changed, &r->lock, &ts);
}

int64_t
race_enter(struct race *r, bool at_once)
{
	bool		go;

	pthread_mutex_lock(&r->lock);
	while (!at_once && r->good < r->needed && r->good + r->running >= r->needed && repo_mono_us() < hedge_at(r))
		wait_until(r, hedge_at(r));
	go = at_once || r->good < r->needed;
	r->running += go && !at_once;
	pthread_mutex_unlock(&r->lock);
	if (!go)
		return 0;
	sov_stop_flag = &r->stop;
	return repo_mono_us();
}

enum race_end
race_leave(struct race *r, int64_t started, bool good)
{
	int64_t		took = repo_mono_us() - started;
	bool		stopped;

	sov_stop_flag = NULL;
	pthread_mutex_lock(&r->lock);
	stopped = !good && atomic_load(&r->stop);
	r->running--;
	r->good += good;
	if (good && r->first == 0)
		r->first = took;
	if (r->good >= r->needed)
		atomic_store(&r->stop, true);
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return !stopped ? RACE_RUN : took >= r->least ? RACE_SLOW : RACE_STOPPED;
}
