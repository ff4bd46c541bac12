/*
 * s3_lock.h - object lock of S3: what may not be removed before a date.
 */
#ifndef S3_LOCK_H
#define S3_LOCK_H

#include <stdatomic.h>

#include "store.h"

#define SOV_S3_UNTIL 24
#define SOV_S3_LOCK_HINT "object lock works only in a bucket that was made with it, and the credentials must be allowed " \
	"s3:PutObjectRetention and s3:GetObjectRetention; without it remove \"object-lock\""

struct sov_s3_lock
{
	uint64_t	seconds;		/* that every object is kept; 0: no lock is asked for */
	bool		governance;		/* else compliance */
	_Atomic bool proven;		/* the service was seen to keep one */
};

/* Ask for the lock in a PUT (or the start of one in parts).  until holds the date
 * while the call lasts. */
extern void sov_s3_lock_ask(const struct sov_s3_lock *lock, struct sov_call *c, char until[SOV_S3_UNTIL]);
/* After the first put of a handle: is it locked?  A service that answers 200 and
 * ignores the lock is an error. */
extern enum sov_code sov_s3_lock_prove(struct sov_s3_lock *lock, struct sov_store *s, const char *name, struct sov_error *err);
/* Until when the service keeps the version that the reply to a HEAD tells of, by its own
 * clock; false, and "", when it is not locked. */
extern bool sov_s3_locked(const struct sov_call *c, char until[64]);

#endif
