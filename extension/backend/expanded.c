/*
 * expanded.c - expanded keys of the persons whose values this process opened last.
 *
 * Expanding a person's key takes, on some processors, as long as all else that opening a
 * short value of his does.  Values of one person often come together (the columns of a row, rows that lie
 * side by side), so each process keeps a few expanded keys, found by the person's number.
 *
 * They lie in a place of the process in memory that all share, since whoever empties the
 * vault wipes them too, whatever this process does then, and they are written and read
 * only between SovUseBegin and SovUseEnd.  A process that finds that the vault was emptied
 * meanwhile wipes its place itself: it may have written there after that.  Without
 * preloading the place is the process's own.  Where there is none (memory could not be
 * locked) keys are expanded for each value.
 */
#include "subjects.h"

#include <sys/mman.h>

#include "storage/proc.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

#define PLACE_SIZE (SOV_EXPANDED * sizeof(SovExpanded))	/* a page */

SovExpanded *SovMyExpanded;

static char *places;			/* of all processes, then whether each was ever used */
static int	n_places;

static volatile char *
was_used(int place)
{
	return places + (size_t) n_places * PLACE_SIZE + place;
}

/* Once, in the process that all others are forked from. */
void
SovExpandedPreload(void)
{
	size_t		size;

	if (places != NULL)
		return;
	n_places = SovProcPlaces();
	size = (size_t) n_places * (PLACE_SIZE + 1);
	places = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (places != MAP_FAILED && mlock2(places, size, MLOCK_ONFAULT) == 0 && madvise(places, size, MADV_DONTDUMP) == 0)
		return;
	ereport(LOG,
			(errmsg("pg_sovereign: %zu bytes of memory for expanded keys of erasable persons could not be locked", size),
			 errhint("Values of persons are opened more slowly. Raise the limit of locked memory (ulimit -l, LimitMEMLOCK=).")));
	if (places != MAP_FAILED)
		munmap(places, size);
	places = NULL;
	n_places = 0;
}

/* Before a use. */
void
SovExpandedAttach(void)
{
	static bool tried;
	struct sov_error err;

	if (tried)
		return;
	tried = true;
	if (!SovPreloaded)
		SovMyExpanded = sov_secret_alloc_nofork(PLACE_SIZE, &err);
	else if (places != NULL && MyProc != NULL)
	{
		SovMyExpanded = (SovExpanded *) (places + (size_t) SovProcPlace() * PLACE_SIZE);
		SovExpandedForget();	/* another process had it */
		*was_used(SovProcPlace()) = 1;
	}
}

void
SovExpandedForget(void)
{
	if (SovMyExpanded != NULL)
		sov_wipe(SovMyExpanded, PLACE_SIZE);
}

void
SovExpandedWipe(void)
{
	if (!SovPreloaded)
		SovExpandedForget();
	for (int i = 0; i < n_places; i++)
		if (*was_used(i))
			sov_wipe(places + (size_t) i * PLACE_SIZE, PLACE_SIZE);
}

const struct sov_ctr_key *
SovExpandedMake(uint64 person, const uint8_t *key, struct sov_ctr_key *own)
{
	SovExpanded *e;

	if (SovMyExpanded == NULL)
	{
		sov_ctr_expand(key, own);
		return own;
	}
	e = &SovMyExpanded[person % SOV_EXPANDED];
	e->person = 0;
	sov_ctr_expand(key, &e->key);
	e->person = person;
	return &e->key;
}
