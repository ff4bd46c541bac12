/*
 * prune_model - the protocol between writers and the pruner, all orders of its
 * steps tried: two writers who back up, a pruner who condemns any backups and
 * deletes, each may crash between any two steps.
 *
 * Modelled: heads and the administrator's list as atomic objects, read one by one;
 * a backup refers to the objects of its base and to one of its own; a lease may run
 * out at any time but in the moment of the commit (that is what its margin is for).
 * Property: no object of a backup that is committed and not condemned is deleted.
 *
 * The same with one rule left out each time must fail, or the model shows nothing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

#define WRITERS 2
#define BACKUPS (1 + WRITERS)	/* backup 0 is there from the start, of nobody */

enum { W_BEGIN, W_LEASED, W_CHOSEN, W_STORED, W_SETTLED, W_DONE, W_GONE };
enum { P_BEGIN, P_CONDEMNED, P_READ0, P_READ1, P_HEADS_FIRST, P_DELETE, P_DONE };

struct state
{
	uint8_t		admin_seq;
	uint8_t		condemned;		/* bit per backup */
	uint8_t		committed;		/* bit per backup: in a catalogue */
	uint8_t		refers[BACKUPS];	/* objects, bit each: object i is made by backup i */
	uint8_t		exists;			/* objects */
	struct { uint8_t step, lease, lease_admin, expired, base; } w[WRITERS];
	struct { uint8_t step, blocked, live, rounds; } p;
};

static int	without;			/* a rule that is left out */
enum { ALL_RULES, NO_LEASE, NO_SETTLE_CHECK, READ_BEFORE_CONDEMNING };

static uint64_t states,
			violations;

/* --- a set of states that were seen --- */

#define SLOTS (1u << 22)
static struct state *seen[SLOTS];

static bool
first_time(const struct state *s)
{
	uint64_t	h = UINT64_C(14695981039346656037);
	const uint8_t *p = (const uint8_t *) s;
	uint32_t	at;

	for (size_t i = 0; i < sizeof *s; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	for (at = (uint32_t) h & (SLOTS - 1); seen[at]; at = (at + 1) & (SLOTS - 1))
		if (memcmp(seen[at], s, sizeof *s) == 0)
			return false;
	seen[at] = malloc(sizeof *s);
	memcpy(seen[at], s, sizeof *s);
	states++;
	return true;
}

static void
forget_all(void)
{
	for (uint32_t i = 0; i < SLOTS; i++)
	{
		free(seen[i]);
		seen[i] = NULL;
	}
}

/* --- the steps --- */

static bool
broken(const struct state *s)
{
	for (int b = 0; b < BACKUPS; b++)
		if (s->committed >> b & 1 && !(s->condemned >> b & 1) && (s->refers[b] & ~s->exists))
			return true;
	return false;
}

static void explore(const struct state *s);

static void
writer_step(struct state s, int i)
{
	int			own = 1 + i;

	switch (s.w[i].step)
	{
		case W_BEGIN:
			s.w[i].lease = without != NO_LEASE;
			s.w[i].lease_admin = s.admin_seq;
			s.w[i].step = W_LEASED;
			break;
		case W_LEASED:			/* reads the list, chooses the newest that is not condemned */
			s.w[i].base = 0xff;
			for (int b = BACKUPS - 1; b >= 0; b--)
				if (s.w[i].base == 0xff && (s.committed & ~s.condemned) >> b & 1)
					s.w[i].base = (uint8_t) b;
			s.w[i].step = W_CHOSEN;
			break;
		case W_CHOSEN:			/* stores what is its own */
			s.exists |= (uint8_t) (1u << own);
			s.refers[own] = (uint8_t) ((1u << own) | (s.w[i].base == 0xff ? 0 : s.refers[s.w[i].base]));
			s.w[i].step = W_STORED;
			break;
		case W_STORED:			/* reads the list again */
			if (without != NO_SETTLE_CHECK && (s.w[i].expired || (s.w[i].base != 0xff && s.condemned >> s.w[i].base & 1)))
			{
				s.w[i].lease = 0;
				s.w[i].step = W_GONE;
			}
			else
				s.w[i].step = W_SETTLED;
			break;
		case W_SETTLED:
			s.committed |= (uint8_t) (1u << own);
			s.w[i].lease = 0;
			s.w[i].step = W_DONE;
			break;
		default:
			return;
	}
	explore(&s);
}

static void
writer_crash(struct state s, int i)
{
	if (s.w[i].step >= W_DONE)
		return;
	s.w[i].step = W_GONE;		/* the lease stays in the head */
	explore(&s);
}

static void
lease_over(struct state s, int i)
{
	if (s.w[i].step == W_SETTLED || !s.w[i].lease)
		return;
	s.w[i].lease = 0;
	s.w[i].expired = 1;
	explore(&s);
}

/* Reads one head: its lease, and what its catalogue refers to. */
static void
read_head(struct state *s, int i)
{
	if (s->w[i].lease && s->w[i].lease_admin < s->admin_seq)
		s->p.blocked = 1;
	if (s->committed >> (1 + i) & 1 && !(s->condemned >> (1 + i) & 1))
		s->p.live |= s->refers[1 + i];
}

static void
pruner_condemns(const struct state *s)
{
	for (uint8_t set = 1; set < 1u << BACKUPS; set++)
	{
		struct state t = *s;

		if ((set & s->committed) != set || (s->committed & ~(s->condemned | set)) == 0)
			continue;			/* one good backup stays */
		t.condemned |= set;
		t.admin_seq++;
		t.p.step = without == READ_BEFORE_CONDEMNING ? P_DELETE : P_CONDEMNED;
		explore(&t);
	}
}

static void
pruner_deletes(struct state s)
{
	uint8_t		live = s.p.live;

	if (s.committed & 1 && !(s.condemned & 1))
		live |= s.refers[0];
	if (!s.p.blocked)
		for (int o = 0; o < BACKUPS; o++)
		{
			bool		of_condemned = false,
						leased = false;

			for (int b = 0; b < BACKUPS; b++)
				of_condemned = of_condemned || ((s.committed & s.condemned) >> b & 1 && s.refers[b] >> o & 1);
			for (int i = 0; i < WRITERS; i++)
				leased = leased || s.w[i].lease;
			/* orphans only while nobody holds a lease (their grace is not modelled,
			 * so: only of writers that are gone) */
			if (!(live >> o & 1) && (of_condemned || (!leased && o > 0 && s.w[o - 1].step == W_GONE)))
				s.exists &= (uint8_t) ~(1u << o);
		}
	s.p.step = s.p.rounds++ < 1 ? P_BEGIN : P_DONE;
	s.p.blocked = s.p.live = 0;
	explore(&s);
}

static void
pruner_step(struct state s)
{
	switch (s.p.step)
	{
		case P_BEGIN:
			if (without == READ_BEFORE_CONDEMNING)
			{
				for (int i = 0; i < WRITERS; i++)
				{
					s.p.blocked |= s.w[i].lease;
					s.p.live |= s.committed >> (1 + i) & 1 ? s.refers[1 + i] : 0;
				}
				s.p.step = P_HEADS_FIRST;
				explore(&s);
				break;
			}
			pruner_condemns(&s);
			/* nothing to condemn now: deleting goes on from an earlier list */
			s.p.step = P_CONDEMNED;
			explore(&s);
			break;
		case P_CONDEMNED:
			read_head(&s, 0);
			s.p.step = P_READ0;
			explore(&s);
			break;
		case P_READ0:
			read_head(&s, 1);
			s.p.step = P_READ1;
			explore(&s);
			break;
		case P_HEADS_FIRST:
			pruner_condemns(&s);
			break;
		case P_READ1:
		case P_DELETE:
			pruner_deletes(s);
			break;
	}
	if (s.p.step < P_DONE && s.p.rounds < 1)
	{
		struct state t = s;		/* it crashes, and a new one begins */

		t.p.step = P_BEGIN;
		t.p.blocked = t.p.live = 0;
		t.p.rounds++;
		explore(&t);
	}
}

static void
explore(const struct state *s)
{
	if (!first_time(s))
		return;
	if (broken(s))
	{
		violations++;
		return;
	}
	for (int i = 0; i < WRITERS; i++)
	{
		writer_step(*s, i);
		writer_crash(*s, i);
		lease_over(*s, i);
	}
	pruner_step(*s);
}

static void
check(int rule)
{
	struct state s;

	memset(&s, 0, sizeof s);
	s.committed = 1;
	s.refers[0] = 1;
	s.exists = 1;
	without = rule;
	states = violations = 0;
	explore(&s);
	forget_all();
}

int
main(void)
{
	check(ALL_RULES);
	ok(violations == 0 && states > 1000, "no committed backup loses anything, in %llu states", (unsigned long long) states);
	check(NO_LEASE);
	ok(violations > 0, "without leases it would (%llu violations)", (unsigned long long) violations);
	check(NO_SETTLE_CHECK);
	ok(violations > 0, "without reading the list again before the commit it would (%llu)", (unsigned long long) violations);
	check(READ_BEFORE_CONDEMNING);
	ok(violations > 0, "if heads were read before condemning it would (%llu)", (unsigned long long) violations);
	return tap_done();
}
