/*
 * ttlv.h - the encoding of KMIP messages (KMIP 1.4, section 9): tag 3 bytes, type 1,
 * length 4, value padded with zeros to a multiple of 8; big-endian.
 *
 * A writer fills memory of its caller's and says in "bad" that it did not fit.  A reader
 * gives items in place; sov_ttlv_whole has looked at every item below before anything
 * else is read, so that what follows need not.
 */
#ifndef TTLV_H
#define TTLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sov_ttlv_type
{
	TTLV_STRUCT = 1,
	TTLV_INT,
	TTLV_LONG,
	TTLV_BIG,
	TTLV_ENUM,
	TTLV_BOOL,
	TTLV_TEXT,
	TTLV_BYTES,
	TTLV_TIME,
	TTLV_INTERVAL
};
#define TTLV_HEAD 8
#define TTLV_DEPTH 16			/* structures inside one another; messages have 6 */

struct sov_ttlv_out
{
	uint8_t    *data;
	size_t		len,
				cap;
	bool		bad;
};
/* A structure: what begin returned closes it. */
extern size_t sov_ttlv_begin(struct sov_ttlv_out *o, uint32_t tag);
extern void sov_ttlv_end(struct sov_ttlv_out *o, size_t begun);
/* type is TTLV_INT, TTLV_ENUM or TTLV_BOOL */
extern void sov_ttlv_number(struct sov_ttlv_out *o, uint32_t tag, enum sov_ttlv_type type, uint32_t v);
/* type is TTLV_TEXT or TTLV_BYTES */
extern void sov_ttlv_string(struct sov_ttlv_out *o, uint32_t tag, enum sov_ttlv_type type, const void *v, size_t len);

struct sov_ttlv
{
	uint32_t	tag;
	uint8_t		type;			/* enum sov_ttlv_type */
	uint32_t	len;			/* of value, without padding */
	const uint8_t *value;
};
/* The item that these bytes are, all of them; false when they, or anything below, are
 * not well-formed. */
extern bool sov_ttlv_whole(const uint8_t *buf, size_t len, struct sov_ttlv *item);
/* The next item below a structure; *at is 0 first.  False at the end. */
extern bool sov_ttlv_next(const struct sov_ttlv *parent, size_t *at, struct sov_ttlv *item);
/* The first item of this tag and type below a structure. */
extern bool sov_ttlv_find(const struct sov_ttlv *parent, uint32_t tag, enum sov_ttlv_type type, struct sov_ttlv *item);
/* The value of such an item, which is TTLV_INT, TTLV_ENUM or TTLV_BOOL. */
extern bool sov_ttlv_find_number(const struct sov_ttlv *parent, uint32_t tag, enum sov_ttlv_type type, uint32_t *v);
/* Text of less than cap bytes, without a NUL inside; false when it is not. */
extern bool sov_ttlv_copy_text(const struct sov_ttlv *item, char *dst, size_t cap);

#endif
