/*
 * sov_bytes.h - bounded little-endian readers and writers.
 *
 * Every byte layout of the project is read and written through these two
 * cursors.  A reader never reads past its end: the first overrun sets "bad"
 * and every later read yields zeros, so that a parser may read a whole record
 * and check once.  A writer grows its buffer (malloc); the first failure sets
 * "bad".
 */
#ifndef SOV_BYTES_H
#define SOV_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t sov_get_le16(const uint8_t *p) { return (uint16_t) (p[0] | p[1] << 8); }
static inline uint32_t sov_get_le32(const uint8_t *p) { return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24; }
static inline uint64_t sov_get_le64(const uint8_t *p) { return (uint64_t) sov_get_le32(p) | (uint64_t) sov_get_le32(p + 4) << 32; }
static inline void sov_put_le16(uint8_t *p, uint16_t v) { p[0] = (uint8_t) v; p[1] = (uint8_t) (v >> 8); }
static inline void sov_put_le32(uint8_t *p, uint32_t v) { sov_put_le16(p, (uint16_t) v); sov_put_le16(p + 2, (uint16_t) (v >> 16)); }
static inline void sov_put_le64(uint8_t *p, uint64_t v) { sov_put_le32(p, (uint32_t) v); sov_put_le32(p + 4, (uint32_t) (v >> 32)); }

struct sov_reader
{
	const uint8_t *p;
	const uint8_t *end;
	bool		bad;
};

static inline void sov_reader_init(struct sov_reader *r, const void *buf, size_t len)
{ r->p = buf; r->end = r->p + len; r->bad = false; }
static inline size_t sov_reader_left(const struct sov_reader *r) { return r->bad ? 0 : (size_t) (r->end - r->p); }

/* n bytes in place, or NULL on overrun. */
static inline const uint8_t *sov_read_bytes(struct sov_reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || (size_t) (r->end - r->p) < n)
	{
		r->bad = true;
		return NULL;
	}
	r->p += n;
	return p;
}
static inline uint8_t sov_read_u8(struct sov_reader *r) { const uint8_t *p = sov_read_bytes(r, 1); return p ? p[0] : 0; }
static inline uint16_t sov_read_u16(struct sov_reader *r) { const uint8_t *p = sov_read_bytes(r, 2); return p ? sov_get_le16(p) : 0; }
static inline uint32_t sov_read_u32(struct sov_reader *r) { const uint8_t *p = sov_read_bytes(r, 4); return p ? sov_get_le32(p) : 0; }
static inline uint64_t sov_read_u64(struct sov_reader *r) { const uint8_t *p = sov_read_bytes(r, 8); return p ? sov_get_le64(p) : 0; }
/* Copy n bytes; zeros on overrun. */
static inline void sov_read_copy(struct sov_reader *r, void *dst, size_t n)
{
	const uint8_t *p = sov_read_bytes(r, n);

	if (p)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}
/* u16 length and bytes into a NUL-terminated field of size cap; sets bad when
 * it does not fit or holds a NUL. */
extern void sov_read_str(struct sov_reader *r, char *dst, size_t cap);

struct sov_buf
{
	uint8_t    *data;			/* malloc'd, or mapped; NULL while empty */
	size_t		len;
	size_t		cap;
	bool		bad;			/* out of memory */
	bool		mapped;			/* in a nameless file: sov_buf_scratch */
};

/* Where large buffers may lie in nameless files, for the whole process; the first
 * directory that is given counts.  Buffers of SOV_BUF_LARGE bytes and more stay in memory
 * while they are no more than SOV_BUF_LARGE_MAX together.  What is beyond lies in files,
 * whose pages the kernel can write out, so that a WAL segment of 1 GB needs no memory of
 * its size.  Where there is no such file (no directory, no room), memory serves. */
#define SOV_BUF_LARGE ((size_t) 40 << 20)
#define SOV_BUF_LARGE_MAX ((size_t) 192 << 20)
extern void sov_buf_scratch(const char *dir);

extern bool sov_buf_reserve(struct sov_buf *b, size_t more);
extern void sov_buf_free(struct sov_buf *b);
/* Append n uninitialised bytes and return where they start, or NULL. */
extern uint8_t *sov_buf_extend(struct sov_buf *b, size_t n);
extern void sov_write_bytes(struct sov_buf *b, const void *src, size_t n);
extern void sov_write_u8(struct sov_buf *b, uint8_t v);
extern void sov_write_u16(struct sov_buf *b, uint16_t v);
extern void sov_write_u32(struct sov_buf *b, uint32_t v);
extern void sov_write_u64(struct sov_buf *b, uint64_t v);
/* u16 length and the bytes; longer than 65535 sets bad. */
extern void sov_write_str(struct sov_buf *b, const char *s);

/* Lower-case hex; dst holds 2n+1. */
extern void sov_hex(char *dst, const uint8_t *src, size_t n);
/* Parse exactly 2n hex digits; false on anything else. */
extern bool sov_unhex(uint8_t *dst, const char *src, size_t n);
/* Lower-case RFC 4648 base32 without padding; dst holds (n*8+4)/5+1. */
extern void sov_base32(char *dst, const uint8_t *src, size_t n);
/* RFC 4122 text of 16 bytes and back; dst holds 37. */
extern void sov_uuid_text(char dst[37], const uint8_t uuid[16]);
extern bool sov_uuid_parse(uint8_t uuid[16], const char *src);

#endif
