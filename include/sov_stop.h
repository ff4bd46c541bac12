/*
 * sov_stop.h - a request that nobody waits for any longer ends.
 *
 * A thread that may be left behind points at a flag; while it is set, adapters end
 * the request under way with SOV_E_PROVIDER and begin no other.  NULL: never.
 */
#ifndef SOV_STOP_H
#define SOV_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

extern _Thread_local const atomic_bool *sov_stop_flag;

static inline bool
sov_stopped(void)
{
	return sov_stop_flag != NULL && atomic_load_explicit(sov_stop_flag, memory_order_relaxed);
}

#endif
