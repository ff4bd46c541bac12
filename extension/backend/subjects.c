/*
 * subjects.c - opened keys of erasable persons (design: subjects.h).
 *
 * A place of the arena holds a group: who of it lives, and 256 keys, as sov_group_open
 * gives them.
 *
 * Everything is written under the lock of the vault (without preloading nobody else is
 * there).  Reading takes no lock: a place's count of changes is odd while it is written.
 */
#include "audit.h"
#include "keys.h"
#include "subjects.h"

#include <sys/mman.h>

#include "sov_keyring.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

typedef struct Group
{
	volatile uint64 changes;
	Oid			db;
	Oid			keys_table;		/* tells an extension that was created anew */
	uint64		number;			/* 0: nothing is here */
	uint64		state;			/* of the tables, before it was read */
	uint8_t		plain[SOV_GROUP_PLAIN];
} Group;

static int	subject_groups = 512;
static Group *arena;
static int	n_groups;

static uint64 known_state;		/* of the tables; 0: to be looked at */
static struct sov_group_room *room;
static uint8_t *scratch;		/* SOV_GROUP_PLAIN */

/* --- memory --- */

void
SovSubjectsGuc(void)
{
	DefineCustomIntVariable("sovereign.subject_groups",
							"How many groups of 256 erasable persons a server keeps the keys of in memory.",
							"Each takes 8 kB of locked memory once it is used. The number is rounded up to a power of two; a server that may not lock as much keeps fewer.",
							&subject_groups, 512, 8, 1048576, process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SUSET, 0, NULL, NULL, NULL);
}

/* As many as may be locked, locked page by page as they are used. */
static void
map_arena(int flags)
{
	n_groups = 1;
	while (n_groups < subject_groups)
		n_groups *= 2;
	for (; n_groups > 0; n_groups /= 2)
	{
		size_t		size = (size_t) n_groups * sizeof(Group);

		arena = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
		if (arena == MAP_FAILED)
			continue;
		if (mlock2(arena, size, MLOCK_ONFAULT) == 0 && madvise(arena, size, MADV_DONTDUMP) == 0 &&
			(flags == MAP_SHARED || madvise(arena, size, MADV_WIPEONFORK) == 0))
			break;
		munmap(arena, size);
	}
	if (n_groups == 0)
		ereport(flags == MAP_SHARED ? FATAL : ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("pg_sovereign: could not lock memory for keys of persons: %m"),
				 errhint("Raise the limit of locked memory (ulimit -l, LimitMEMLOCK=).")));
	if (n_groups < subject_groups && flags == MAP_SHARED)
		ereport(LOG,
				(errmsg("pg_sovereign: memory for the keys of %d groups of erasable persons could be locked, not %d", n_groups, subject_groups),
				 errhint("With more persons in use than 256 times as many, reading becomes slower. Raise the limit of locked memory (ulimit -l, LimitMEMLOCK=).")));
}

void
SovSubjectsPreload(void)
{
	map_arena(MAP_SHARED);
}

static void
prepare(void)
{
	struct sov_error err;

	if (arena == NULL)
		map_arena(MAP_PRIVATE);
	if (room == NULL && (room = sov_group_room_new(&err)) == NULL)
		SovRaise(&err);
	if (scratch == NULL && (scratch = sov_secret_alloc_nofork(SOV_GROUP_PLAIN, &err)) == NULL)
		SovRaise(&err);
}

uint8_t *
SovGroupScratch(void)
{
	prepare();
	return scratch;
}

static void
begin_change(Group *g)
{
	g->changes++;
	pg_memory_barrier();
}

static void
end_change(Group *g)
{
	pg_memory_barrier();
	g->changes++;
}

static void
empty(Group *g)
{
	g->number = 0;
	sov_wipe(g->plain, sizeof g->plain);
}

void
SovSubjectsWipe(void)
{
	SovExpandedWipe();
	for (int i = 0; arena && i < n_groups; i++)
		if (arena[i].number != 0 || (arena[i].changes & 1))
		{
			if ((arena[i].changes & 1) == 0)
				begin_change(&arena[i]);
			empty(&arena[i]);
			end_change(&arena[i]);
		}
}

void
SovSubjectsRecheck(void)
{
	known_state = 0;
}

/* --- groups --- */

enum sov_code
SovGroupOpen(int64 epoch, const struct sov_group *g, uint8_t *plain, struct sov_error *err)
{
	struct sov_epoch_key key;
	enum sov_code rc;

	prepare();
	do
	{
		rc = SovEpochKey(epoch, &key, err);
		if (rc != SOV_OK)
			return rc;
		if (SovUseBegin())
			rc = sov_group_open(&key, room, g, plain, err);
	} while (!SovUseEnd());
	return rc;
}

enum sov_code
SovGroupSeal(int64 epoch, const uint8_t *plain, struct sov_group *g, struct sov_error *err)
{
	struct sov_epoch_key key;
	enum sov_code rc;

	prepare();
	do
	{
		rc = SovEpochKey(epoch, &key, err);
		if (rc != SOV_OK)
			return rc;
		if (SovUseBegin())
			rc = sov_group_seal(&key, room, plain, g, err);
	} while (!SovUseEnd());
	return rc;
}

static void
lock(bool on)
{
	if (!SovPreloaded)
		return;
	if (on)
		LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	else
		LWLockRelease(sov_lease->lock);
}

/* Put what scratch holds into its place, unless keys were taken out meanwhile. */
static void
place(Group *p, uint64 number, uint64 generation, uint64 state)
{
	lock(true);
	if (*SovGeneration == generation && (p->changes & 1) == 0)
	{
		begin_change(p);
		memcpy(p->plain, scratch, SOV_GROUP_PLAIN);
		p->db = MyDatabaseId;
		p->keys_table = SovGetCatalog()->key_version;
		p->number = number;
		p->state = state;
		end_change(p);
	}
	lock(false);
	sov_wipe(scratch, SOV_GROUP_PLAIN);
}

static enum sov_code
load(Group *p, uint64 number, uint64 person, struct sov_error *err)
{
	struct sov_group *g = palloc(sizeof *g);
	uint64		generation = 0,
				state = 0;
	int64		epoch;
	enum sov_code rc = SOV_E_AUTH;

	/* a row that is read while an erasure commits may be of an epoch that is not there
	 * any more: once more */
	for (int tries = 0; tries < 2 && rc == SOV_E_AUTH; tries++)
	{
		/* before the row is read: an erasure that commits in between is noticed */
		generation = *SovGeneration;
		pg_read_barrier();
		state = SovSubjectsState();
		if (!SovFindGroup((int64) number, g, &epoch))
		{
			SovSubjectErased(person, err);
			rc = err->code;
			break;
		}
		rc = SovGroupOpen(epoch, g, scratch, err);
	}
	if (rc == SOV_OK)
		place(p, number, generation, state);
	if (rc == SOV_OK && known_state != 0)	/* else they changed meanwhile */
		known_state = state;
	pfree(g);
	return rc;
}

enum sov_code
SovSubjectFind(uint64 person, SovSubjectRef *ref, struct sov_error *err)
{
	uint64		number = person / SOV_GROUP_SUBJECTS;
	int			i = (int) (person % SOV_GROUP_SUBJECTS);
	Group	   *p;
	enum sov_code rc;

	if (arena == NULL)
		prepare();
	SovKeysFresh();
	p = &arena[((uint32) number + MyDatabaseId * 2654435761U) & (uint32) (n_groups - 1)];
	for (int tries = 0; tries < 100; tries++)
	{
		if (known_state == 0)
		{
			SovKeysWatch();
			known_state = SovSubjectsState();
		}
		ref->changes = &p->changes;
		ref->seen = p->changes;
		ref->key = p->plain + SOV_GROUP_LIVING + i * SOV_KEY_LEN;
		pg_read_barrier();
		if ((ref->seen & 1) == 0 && p->number == number && p->db == MyDatabaseId && p->keys_table == SovGetCatalog()->key_version &&
			p->state == known_state)
		{
			bool		lives = sov_group_lives(p->plain, i);

			if (!SovSubjectStill(ref))
				continue;
			if (lives)
				return SOV_OK;
			SovSubjectErased(person, err);
			return err->code;
		}
		prepare();
		rc = load(p, number, person, err);
		if (rc != SOV_OK)
			return rc;
	}
	return sov_fail(err, SOV_E_KEY, "Raise sovereign.subject_groups.", "the keys of persons come and go too fast");
}
