/*
 * ttlv.c - the encoding of KMIP messages.
 */
#include "ttlv.h"

#include <string.h>

static void
put_be32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t) (v >> (24 - 8 * i));
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static size_t
padded(size_t len)
{
	return (len + 7) & ~(size_t) 7;
}

/* --- writing --- */

/* Head and room for len bytes, zeros; NULL when they do not fit. */
static uint8_t *
item_of(struct sov_ttlv_out *o, uint32_t tag, enum sov_ttlv_type type, size_t len)
{
	uint8_t    *p = o->data + o->len;

	if (o->bad || len > o->cap || o->cap - o->len < TTLV_HEAD + padded(len))
	{
		o->bad = true;
		return NULL;
	}
	put_be32(p, tag << 8 | type);
	put_be32(p + 4, (uint32_t) len);
	memset(p + TTLV_HEAD, 0, padded(len));
	o->len += TTLV_HEAD + padded(len);
	return p + TTLV_HEAD;
}

size_t
sov_ttlv_begin(struct sov_ttlv_out *o, uint32_t tag)
{
	(void) item_of(o, tag, TTLV_STRUCT, 0);
	return o->len;
}

void
sov_ttlv_end(struct sov_ttlv_out *o, size_t begun)
{
	if (!o->bad)
		put_be32(o->data + begun - 4, (uint32_t) (o->len - begun));
}

void
sov_ttlv_number(struct sov_ttlv_out *o, uint32_t tag, enum sov_ttlv_type type, uint32_t v)
{
	bool		wide = type == TTLV_BOOL;
	uint8_t    *p = item_of(o, tag, type, wide ? 8 : 4);

	if (p != NULL)
		put_be32(p + (wide ? 4 : 0), v);
}

void
sov_ttlv_string(struct sov_ttlv_out *o, uint32_t tag, enum sov_ttlv_type type, const void *v, size_t len)
{
	uint8_t    *p = item_of(o, tag, type, len);

	if (p != NULL)
		memcpy(p, v, len);
}

/* --- reading --- */

/* The item at the beginning of these bytes; 0, or how many it takes. */
static size_t
item_at(const uint8_t *p, size_t left, struct sov_ttlv *item)
{
	static const uint8_t lengths[] = {[TTLV_INT] = 4, [TTLV_LONG] = 8, [TTLV_ENUM] = 4, [TTLV_BOOL] = 8, [TTLV_TIME] = 8, [TTLV_INTERVAL] = 4};

	if (left < TTLV_HEAD)
		return 0;
	item->tag = get_be32(p) >> 8;
	item->type = p[3];
	item->len = get_be32(p + 4);
	item->value = p + TTLV_HEAD;
	if (item->type < TTLV_STRUCT || item->type > TTLV_INTERVAL || padded(item->len) > left - TTLV_HEAD)
		return 0;
	if (item->type < sizeof lengths && lengths[item->type] != 0 && item->len != lengths[item->type])
		return 0;
	if ((item->type == TTLV_STRUCT || item->type == TTLV_BIG) && item->len % 8 != 0)
		return 0;
	for (size_t i = item->len; i < padded(item->len); i++)
		if (item->value[i] != 0)
			return 0;
	return TTLV_HEAD + padded(item->len);
}

static bool
sound(const struct sov_ttlv *item, int depth)
{
	if (item->type != TTLV_STRUCT)
		return true;
	if (depth == TTLV_DEPTH)
		return false;
	for (size_t at = 0; at < item->len;)
	{
		struct sov_ttlv below;
		size_t		took = item_at(item->value + at, item->len - at, &below);

		if (took == 0 || !sound(&below, depth + 1))
			return false;
		at += took;
	}
	return true;
}

bool
sov_ttlv_whole(const uint8_t *buf, size_t len, struct sov_ttlv *item)
{
	return item_at(buf, len, item) == len && len > 0 && sound(item, 0);
}

bool
sov_ttlv_next(const struct sov_ttlv *parent, size_t *at, struct sov_ttlv *item)
{
	size_t		took = parent->type == TTLV_STRUCT ? item_at(parent->value + *at, parent->len - *at, item) : 0;

	*at += took;
	return took > 0;
}

bool
sov_ttlv_find(const struct sov_ttlv *parent, uint32_t tag, enum sov_ttlv_type type, struct sov_ttlv *item)
{
	size_t		at = 0;

	while (sov_ttlv_next(parent, &at, item))
		if (item->tag == tag && item->type == type)
			return true;
	return false;
}

bool
sov_ttlv_find_number(const struct sov_ttlv *parent, uint32_t tag, enum sov_ttlv_type type, uint32_t *v)
{
	struct sov_ttlv item;

	if (!sov_ttlv_find(parent, tag, type, &item))
		return false;
	*v = get_be32(item.value + (type == TTLV_BOOL ? 4 : 0));
	return true;
}

bool
sov_ttlv_copy_text(const struct sov_ttlv *item, char *dst, size_t cap)
{
	if (item->type != TTLV_TEXT || item->len >= cap || memchr(item->value, '\0', item->len) != NULL)
		return false;
	memcpy(dst, item->value, item->len);
	dst[item->len] = '\0';
	return true;
}
