/*
 * bytes.c - growing writers, and the text forms of bytes.
 */
#include "sov_bytes.h"

#include <stdlib.h>

void
sov_read_str(struct sov_reader *r, char *dst, size_t cap)
{
	uint16_t	n = sov_read_u16(r);
	const uint8_t *p = sov_read_bytes(r, n);

	dst[0] = '\0';
	if (p == NULL)
		return;
	if (n >= cap || memchr(p, 0, n) != NULL)
	{
		r->bad = true;
		return;
	}
	memcpy(dst, p, n);
	dst[n] = '\0';
}

bool
sov_buf_reserve(struct sov_buf *b, size_t more)
{
	size_t		cap = b->cap ? b->cap : 256;
	uint8_t    *p;

	if (b->bad)
		return false;
	if (b->cap - b->len >= more)
		return true;
	if (more > SIZE_MAX / 2 - b->len)
	{
		b->bad = true;
		return false;
	}
	while (cap - b->len < more)
		cap *= 2;
	p = realloc(b->data, cap);
	if (p == NULL)
	{
		b->bad = true;
		return false;
	}
	b->data = p;
	b->cap = cap;
	return true;
}

void
sov_buf_free(struct sov_buf *b)
{
	free(b->data);
	memset(b, 0, sizeof *b);
}

uint8_t *
sov_buf_extend(struct sov_buf *b, size_t n)
{
	uint8_t    *p;

	if (!sov_buf_reserve(b, n ? n : 1))
		return NULL;
	p = b->data + b->len;
	b->len += n;
	return p;
}

void
sov_write_bytes(struct sov_buf *b, const void *src, size_t n)
{
	uint8_t    *p = sov_buf_extend(b, n);

	if (p && n)
		memcpy(p, src, n);
}

void
sov_write_u8(struct sov_buf *b, uint8_t v)
{
	sov_write_bytes(b, &v, 1);
}

void
sov_write_u16(struct sov_buf *b, uint16_t v)
{
	uint8_t		t[2];

	sov_put_le16(t, v);
	sov_write_bytes(b, t, 2);
}

void
sov_write_u32(struct sov_buf *b, uint32_t v)
{
	uint8_t		t[4];

	sov_put_le32(t, v);
	sov_write_bytes(b, t, 4);
}

void
sov_write_u64(struct sov_buf *b, uint64_t v)
{
	uint8_t		t[8];

	sov_put_le64(t, v);
	sov_write_bytes(b, t, 8);
}

void
sov_write_str(struct sov_buf *b, const char *s)
{
	size_t		n = strlen(s);

	if (n > UINT16_MAX)
	{
		b->bad = true;
		return;
	}
	sov_write_u16(b, (uint16_t) n);
	sov_write_bytes(b, s, n);
}

void
sov_hex(char *dst, const uint8_t *src, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++)
	{
		*dst++ = digits[src[i] >> 4];
		*dst++ = digits[src[i] & 15];
	}
	*dst = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
sov_unhex(uint8_t *dst, const char *src, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		int			hi = hex_digit(src[2 * i]);
		int			lo = hi < 0 ? -1 : hex_digit(src[2 * i + 1]);

		if (lo < 0)
			return false;
		dst[i] = (uint8_t) (hi << 4 | lo);
	}
	return src[2 * n] == '\0';
}

void
sov_base32(char *dst, const uint8_t *src, size_t n)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint32_t	acc = 0;
	int			bits = 0;

	for (size_t i = 0; i < n; i++)
	{
		acc = acc << 8 | src[i];
		bits += 8;
		while (bits >= 5)
		{
			bits -= 5;
			*dst++ = digits[acc >> bits & 31];
		}
	}
	if (bits > 0)
		*dst++ = digits[acc << (5 - bits) & 31];
	*dst = '\0';
}

void
sov_uuid_text(char dst[37], const uint8_t uuid[16])
{
	char		hex[33];
	static const int cut[] = {0, 8, 12, 16, 20, 32};
	char	   *d = dst;

	sov_hex(hex, uuid, 16);
	for (int i = 0; i < 5; i++)
	{
		if (i > 0)
			*d++ = '-';
		memcpy(d, hex + cut[i], (size_t) (cut[i + 1] - cut[i]));
		d += cut[i + 1] - cut[i];
	}
	*d = '\0';
}

bool
sov_uuid_parse(uint8_t uuid[16], const char *src)
{
	char		hex[33];
	int			n = 0;

	if (strlen(src) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (src[i] != '-')
				return false;
		}
		else
			hex[n++] = src[i];
	}
	hex[n] = '\0';
	return sov_unhex(uuid, hex, 16);
}
