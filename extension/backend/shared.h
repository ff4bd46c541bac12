/*
 * shared.h - what the processes of one server share, and the worker that tends it.
 *
 * All of this exists only where the library is in shared_preload_libraries; elsewhere
 * SovPreloaded is false and every backend does for itself.
 *
 * A feature that needs shared memory adds a line to the table of parts in shared.c;
 * one that needs work done now and then, without a database connection and never
 * waiting for anything, adds a line to the table of tasks in worker.c.  What may take
 * long or runs code that is not ours (custodians, providers) is done by the command
 * pg_sovereign in a child process of the worker (SovChild).
 */
#ifndef SOV_SHARED_H
#define SOV_SHARED_H

#include "sov_pg.h"

#include "storage/latch.h"

extern bool SovPreloaded;
extern void SovSharedInit(void);	/* from _PG_init */
/* Places for one entry of each process that may be attached, and this process's. */
extern int	SovProcPlaces(void);
extern int	SovProcPlace(void);
/* Microseconds of the clock that no administrator sets and that runs while the machine
 * sleeps. */
extern int64 SovBootNow(void);

/* A part of shared memory (shared.c). */
typedef struct SovSharedPart
{
	Size		(*size) (void);
	/* Fill it: at the server's start, and again after a crash of any process. */
	void		(*init) (void *mem);
} SovSharedPart;

/* Something that the worker does (worker.c). */
typedef struct SovWorkerTask
{
	void		(*start) (void);
	/* Do what is due; milliseconds until it wants to be called again.  It is also
	 * called when the worker's latch is set and when a child ended. */
	long		(*tend) (void);
	void		(*reload) (void);	/* the settings may have changed */
	void		(*stop) (void);	/* the worker ends, for whatever reason that lets it */
} SovWorkerTask;

/* child.c: the command pg_sovereign as a child of the worker: it is given all its input at once,
 * and its output, not blocking, is read when it has ended; both at most SOV_CHILD_BYTES. */
#define SOV_CHILD_BYTES 65536
typedef struct SovChild
{
	pid_t		pid;			/* 0: none */
	int			out;
	int			status;			/* of waitpid(), when it has ended */
	bool		too_long;		/* it was killed at its deadline */
	int64		deadline;		/* boot clock, microseconds */
} SovChild;
extern bool SovChildStart(SovChild *child, const char *const *args, const void *input, size_t len, int64 timeout_us);
extern bool SovChildEnded(SovChild *child);	/* then read and close it */
extern size_t SovChildRead(SovChild *child, void *dst, size_t cap);
extern void SovChildKill(SovChild *child);

/* worker.c */
extern void SovWorkerInit(void);
extern PGDLLEXPORT void SovWorkerMain(Datum arg);

/* lease.c, lease_worker.c: keys in shared memory (lease.h) */
extern void SovLeaseGuc(void);
extern void SovLeasePreload(void);
extern const SovSharedPart SovLeasePart;
extern const SovWorkerTask SovLeaseTask;

/* schedule.c: what is due by [schedule], and what may be lost now */
extern const SovWorkerTask SovScheduleTask;

/* shipper.c: the audit log to the providers */
extern void SovShipperGuc(void);
extern const SovWorkerTask SovShipperTask;

#endif
