/*
 * bytes.c - growing writers, and the text forms of bytes.
 */
#include "sov_bytes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* --- large buffers --- */

static pthread_mutex_t large_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t large_sum;		/* bytes of those that are in memory */
static char scratch_dir[1100];

void
sov_buf_scratch(const char *dir)
{
	pthread_mutex_lock(&large_lock);
	if (scratch_dir[0] == '\0' && strlen(dir) < sizeof scratch_dir)
		strcpy(scratch_dir, dir);
	pthread_mutex_unlock(&large_lock);
}

/* May so much more be in memory?  Then it is counted; anyhow: it is there. */
static bool
take(size_t n, bool anyhow)
{
	bool		fits;

	pthread_mutex_lock(&large_lock);
	fits = anyhow || scratch_dir[0] == '\0' || large_sum + n <= SOV_BUF_LARGE_MAX;
	if (fits)
		large_sum += n;
	pthread_mutex_unlock(&large_lock);
	return fits;
}

static void
give(size_t n)
{
	if (n < SOV_BUF_LARGE)
		return;
	pthread_mutex_lock(&large_lock);
	large_sum -= n;
	pthread_mutex_unlock(&large_lock);
}

static int
open_nameless(void)
{
	char		name[sizeof scratch_dir + 16];
	int			fd = open(scratch_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)					/* not every file system can */
	{
		snprintf(name, sizeof name, "%s/large.XXXXXX", scratch_dir);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			(void) unlink(name);
	}
	return fd;
}

/* NULL: there is no room. */
static uint8_t *
map_nameless(size_t len)
{
	void	   *p = MAP_FAILED;
	int			fd = open_nameless();

	/* all of its room: what is lacking later would be a signal */
	if (fd >= 0 && fallocate(fd, 0, 0, (off_t) len) == 0)
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static void
release(struct sov_buf *b)
{
	if (b->mapped)
		munmap(b->data, b->cap);
	else
	{
		free(b->data);
		give(b->cap);
	}
}

static bool
reserve_large(struct sov_buf *b, size_t cap)
{
	bool		mapped = !take(cap, false);
	uint8_t    *p = mapped ? map_nameless(cap) : NULL;

	if (mapped && p == NULL)
	{
		mapped = false;
		(void) take(cap, true);
	}
	if (!mapped && (p = malloc(cap)) == NULL)
	{
		give(cap);
		b->bad = true;
		return false;
	}
	if (b->len > 0)
		memcpy(p, b->data, b->len);
	release(b);
	b->data = p;
	b->cap = cap;
	b->mapped = mapped;
	return true;
}

/* By doubling; a large one that is made at once as it is asked for. */
static size_t
next_cap(const struct sov_buf *b, size_t need)
{
	size_t		cap = b->cap ? b->cap : 256;

	if (need >= SOV_BUF_LARGE / 2)
	{
		cap = b->cap / 2 * 3;
		return cap > need ? cap : need;
	}
	while (cap < need)
		cap *= 2;
	return cap;
}

bool
sov_buf_reserve(struct sov_buf *b, size_t more)
{
	size_t		cap;
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
	cap = next_cap(b, b->len + more);
	if (cap >= SOV_BUF_LARGE)
		return reserve_large(b, cap);
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
	if (b->cap >= SOV_BUF_LARGE)
		release(b);
	else
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
