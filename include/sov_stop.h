/*
 * sov_stop.h - a request that nobody waits for any longer ends.
 *
 * A thread that may be left behind points at a flag; while it is set, adapters end
 * the request under way with SOV_E_PROVIDER and begin no other.  NULL: never.
 *
 * A thread that gives a list a time for the whole of it sets sov_stop_after_us for as
 * long as it lasts: requests end alike from then on.
 *
 * A command that is cancelled has SOV_STOP_GRACE_US to end well, as what it took at
 * providers is given back there; from then on all its requests end, so that one that
 * hangs cannot keep it.
 */
#ifndef SOV_STOP_H
#define SOV_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define SOV_STOP_GRACE_US 3000000

extern _Thread_local const atomic_bool *sov_stop_flag;
extern _Thread_local int64_t sov_stop_after_us;	/* of the monotonic clock; 0: never */
extern _Atomic int64_t sov_stop_at_us;	/* of the monotonic clock; 0: never */

static inline int64_t
sov_stop_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* All requests of this process end after the grace.  May be called by a signal handler. */
static inline void
sov_stop_all(void)
{
	sov_stop_at_us = sov_stop_now_us() + SOV_STOP_GRACE_US;
}

static inline bool
sov_stopped_all(void)
{
	int64_t		at = atomic_load_explicit(&sov_stop_at_us, memory_order_relaxed);

	return at != 0 && sov_stop_now_us() >= at;
}

static inline bool
sov_stopped(void)
{
	return (sov_stop_flag != NULL && atomic_load_explicit(sov_stop_flag, memory_order_relaxed)) ||
		(sov_stop_after_us != 0 && sov_stop_now_us() >= sov_stop_after_us) || sov_stopped_all();
}

#endif
