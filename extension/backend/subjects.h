/*
 * subjects.h - keys of erasable persons (subjects.c, expanded.c, subject_store.c,
 * subject_number.c, epoch_key.c, tie.c, erase.c).
 *
 * A person's number stands in each of his values (sov_value.h); his secret is in a group
 * of 256, a row of the table subject_group, which opens under the key of an epoch
 * (sov_subject.h).  Opened groups lie in an arena that all processes of a preloaded
 * server share, beside the vault (lease.h) and under its rules: it is emptied with the
 * vault, and whoever uses a key in it does so between SovUseBegin and SovUseEnd.  Without
 * preloading each process has an arena of its own.
 *
 * A group may also make room for another at any time: the place's count of changes is
 * looked at after a use (SovSubjectStill), and all is done once more where it changed.
 *
 * Whoever erases empties the arena when his transaction commits.  Where nobody here does
 * (a standby, COMMIT PREPARED), the arena still has the group as it was: so each group is
 * marked with the state of the tables at which it was read (SovSubjectsState), and each
 * session looks at that state when it begins and whenever the key tables change.
 */
#ifndef SOV_SUBJECTS_H
#define SOV_SUBJECTS_H

#include "lease.h"

#include "sov_subject.h"

typedef struct SovSubjectRef
{
	const uint8_t *key;			/* 32 bytes */
	const volatile uint64 *changes;
	uint64		seen;
} SovSubjectRef;

/* subjects.c */
extern void SovSubjectsGuc(void);
extern void SovSubjectsPreload(void);
/* Before the data key is asked for, which may make both stale.  SOV_E_DENIED: erased. */
extern enum sov_code SovSubjectFind(uint64 number, SovSubjectRef *ref, struct sov_error *err);
static inline bool
SovSubjectStill(const SovSubjectRef *ref)
{
	pg_read_barrier();
	return *ref->changes == ref->seen;
}
/* All groups go: of the shared arena under the lock of the vault, when nobody uses it;
 * or of this process's own. */
extern void SovSubjectsWipe(void);
/* The key tables may have changed: who was erased meanwhile is looked up again. */
extern void SovSubjectsRecheck(void);
/* Open a group for a change: plain is secret memory. */
extern enum sov_code SovGroupOpen(int64 epoch, const struct sov_group *g, uint8_t *plain, struct sov_error *err);
extern enum sov_code SovGroupSeal(int64 epoch, const uint8_t *plain, struct sov_group *g, struct sov_error *err);
/* Room for one opened group, of this process. */
extern uint8_t *SovGroupScratch(void);

/* expanded.c: expanded keys of the persons whose values this process opened last */
#define SOV_EXPANDED 16			/* of each process */
typedef struct SovExpanded
{
	struct sov_ctr_key key;
	uint64		person;			/* 0: none is here */
	uint64		unused;
} SovExpanded;
extern SovExpanded *SovMyExpanded;	/* NULL: keys are not kept */
extern void SovExpandedPreload(void);
extern void SovExpandedAttach(void);
/* Those of this process go, or all, as with SovSubjectsWipe. */
extern void SovExpandedForget(void);
extern void SovExpandedWipe(void);
/* Within a use: expand the key of a person, into *own where none are kept. */
extern const struct sov_ctr_key *SovExpandedMake(uint64 person, const uint8_t *key, struct sov_ctr_key *own);
static inline const struct sov_ctr_key *
SovExpandedFind(uint64 person)
{
	SovExpanded *e = SovMyExpanded;

	if (e == NULL || e[person % SOV_EXPANDED].person != person || person == 0)
		return NULL;
	return &e[person % SOV_EXPANDED].key;
}

/* epoch_key.c: the KEK of an epoch, and of which database; until the next call. */
extern enum sov_code SovEpochKey(int64 epoch, struct sov_epoch_key *key, struct sov_error *err);

/* subject_store.c: the tables */
typedef void (*SovRowReader) (HeapTuple tuple, TupleDesc desc, void *arg);
/* The rows for these keys, by this index (NULL: all rows); how many. */
extern int	SovSubjectScan(const char *table, const char *index, int n_keys, struct ScanKeyData *keys, SovRowReader read, void *arg);
extern Oid	SovSubjectTable(const char *name);	/* or index; InvalidOid: there is none */
extern bool SovFindEpoch(int64 epoch, SovDomainRow *row);	/* 0: the newest */
extern int64 SovCurrentEpoch(void);	/* 0: there is none */
extern bool SovFindGroup(int64 grp, struct sov_group *g, int64 *epoch);
extern void SovSubjectErased(uint64 number, struct sov_error *err);	/* says when */
extern uint64 SovSubjectsState(void);	/* another one after an erasure */

/* subject_number.c: the person with this tag under this key, made where it is not there. */
extern uint64 SovSubjectNumber(int32 key_id, const uint8_t tag[16]);
extern void SovSubjectNumberInit(void);

/* tie.c */
extern bool SovIsPersonType(Oid type);

/* erase.c */
extern void SovSubjectsChanged(void);
extern void SovEraseInit(void);

#endif
