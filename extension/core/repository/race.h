/*
 * race.h - reading the same thing from whoever is fastest.
 *
 * A race has n runners, threads that each read one shard, and needs some of them to
 * finish well.  The first ones start at once; each of the others waits for its turn:
 * it starts when a runner failed, or when the hedge time is over, which is several
 * times what the first one to finish needed.  Once enough have finished the others are
 * stopped: their requests end (sov_stop.h) and their provider is taken for slow for a
 * while, so that the next reads begin elsewhere.
 */
#ifndef SOV_RACE_H
#define SOV_RACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum race_end { RACE_RUN, RACE_STOPPED, RACE_SLOW };	/* to its own end; stopped; stopped after a fair time */

struct race
{
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int			running,
				good,
				needed;
	int64_t		least;			/* hedge time: at least this */
	int64_t		begun,			/* monotonic, microseconds */
				first;			/* how long the first one took, 0: none has finished */
	atomic_bool stop;
};

#define RACE_LEAST_US 500000	/* for runners that all read as much */
#define RACE_LEAST_PARTS_US 5000000

extern void race_begin(struct race *r, int needed, int64_t least);
extern void race_over(struct race *r);
/* A runner's first step; at_once: without waiting.  When it started; 0: it is not needed. */
extern int64_t race_enter(struct race *r, bool at_once);
/* Its last step; started: what race_enter gave. */
extern enum race_end race_leave(struct race *r, int64_t started, bool good);

#endif
