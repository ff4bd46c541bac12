/*
 * id_set.h - a set of object ids, with a small number for each.
 */
#ifndef ID_SET_H
#define ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_set
{
	struct id_entry { char *key; int value; } *slots;
	size_t		n,
				cap;
};

/* Add, or find what is there: a pointer to its number (0 when new), valid until
 * the next call; NULL: out of memory. */
extern int *id_set_put(struct id_set *s, uint8_t class_, const char *id);
/* NULL when it is not there. */
extern const int *id_set_get(const struct id_set *s, uint8_t class_, const char *id);
extern void id_set_free(struct id_set *s);

#endif
