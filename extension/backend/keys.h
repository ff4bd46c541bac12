/*
 * keys.h - what the opened keys of this backend (keys.c) share with those of epochs
 * (epoch_key.c).
 */
#ifndef SOV_KEYS_H
#define SOV_KEYS_H

#include "lease.h"

/* keys.c */
/* At each entry, and never in between: keys that are stale are dropped. */
extern void SovKeysFresh(void);
/* Changes of the key tables make keys stale from now on. */
extern void SovKeysWatch(void);
/* Values come by the million: a refusal, which is remembered here, counts for a while. */
extern enum sov_code SovKeysRefused(struct sov_error *err);
extern enum sov_code SovKeysRemember(enum sov_code rc, struct sov_error *err);
/* This transaction has keys, so it fails where it loses them. */
extern void SovKeysHad(void);

/* epoch_key.c */
extern void SovEpochForget(void);

#endif
