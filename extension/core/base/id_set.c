/*
 * id_set.c - a set of object ids: open addressing, at most half full.
 */
#include "id_set.h"

#include <stdlib.h>
#include <string.h>

static size_t
slot_of(const struct id_entry *slots, size_t cap, uint8_t class_, const char *id)
{
	uint64_t	h = UINT64_C(14695981039346656037) ^ class_;	/* FNV-1a */
	size_t		at;

	for (const char *p = id; *p; p++)
		h = (h ^ (unsigned char) *p) * UINT64_C(1099511628211);
	for (at = h & (cap - 1); slots[at].key; at = (at + 1) & (cap - 1))
		if ((uint8_t) slots[at].key[0] == class_ && strcmp(slots[at].key + 1, id) == 0)
			break;
	return at;
}

static bool
grow(struct id_set *s)
{
	size_t		cap = s->cap ? s->cap * 2 : 1024;
	struct id_entry *slots = calloc(cap, sizeof *slots);

	if (slots == NULL)
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->slots[i].key)
			slots[slot_of(slots, cap, (uint8_t) s->slots[i].key[0], s->slots[i].key + 1)] = s->slots[i];
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
	return true;
}

int *
id_set_put(struct id_set *s, uint8_t class_, const char *id)
{
	size_t		at,
				len = strlen(id);

	if ((s->n + 1) * 2 > s->cap && !grow(s))
		return NULL;
	at = slot_of(s->slots, s->cap, class_, id);
	if (s->slots[at].key == NULL)
	{
		s->slots[at].key = malloc(len + 2);
		if (s->slots[at].key == NULL)
			return NULL;
		s->slots[at].key[0] = (char) class_;
		memcpy(s->slots[at].key + 1, id, len + 1);
		s->n++;
	}
	return &s->slots[at].value;
}

const int *
id_set_get(const struct id_set *s, uint8_t class_, const char *id)
{
	size_t		at;

	if (s->cap == 0)
		return NULL;
	at = slot_of(s->slots, s->cap, class_, id);
	return s->slots[at].key ? &s->slots[at].value : NULL;
}

void
id_set_free(struct id_set *s)
{
	for (size_t i = 0; i < s->cap; i++)
		free(s->slots[i].key);
	free(s->slots);
	memset(s, 0, sizeof *s);
}
