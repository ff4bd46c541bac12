/*
 * http_head.c - the head of a reply: its lines, numbers, ranges and dates.
 */
#include "http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HEAD_MAX 65536
#define YEAR_10000 253402300800

/* One line of the reply's head as it came.  libcurl hands over the trailers of a body in
 * chunks as well: they are not the head, and say nothing. */
void
sov_http_take_header(struct sov_http_reply *reply, const char *line, size_t len)
{
	const char *colon,
			   *status;
	size_t		name;

	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	if (len == 0)
		reply->over = reply->final;
	if (len == 0 || reply->over)
		return;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		status = memchr(line, ' ', len);
		reply->final = status == NULL || status + 1 == line + len || status[1] != '1';
		reply->head.len = 0;	/* of an earlier response, such as 100 */
		return;
	}
	colon = memchr(line, ':', len);
	if (colon == NULL || colon == line || memchr(line, '\0', len) != NULL || reply->head.len + len > HEAD_MAX)
		return;
	name = (size_t) (colon - line);
	for (size_t i = 0; i < name; i++)
		sov_write_u8(&reply->head, (uint8_t) tolower((unsigned char) line[i]));
	for (colon++, len -= name + 1; len > 0 && (*colon == ' ' || *colon == '\t'); colon++)
		len--;
	sov_write_bytes(&reply->head, ": ", 2);
	sov_write_bytes(&reply->head, colon, len);
	sov_write_u8(&reply->head, '\n');
}

bool
sov_http_header(const struct sov_http_reply *reply, const char *name, char *dst, size_t cap)
{
	const char *p = (const char *) reply->head.data,
			   *end = p ? p + reply->head.len : p;
	size_t		n = strlen(name);

	while (p < end)
	{
		const char *stop = memchr(p, '\n', (size_t) (end - p));
		size_t		len = (size_t) ((stop ? stop : end) - p);

		if (len >= n + 2 && memcmp(p, name, n) == 0 && p[n] == ':')
		{
			if (len - n - 2 >= cap)
				return false;
			memcpy(dst, p + n + 2, len - n - 2);
			dst[len - n - 2] = '\0';
			return true;
		}
		p += len + 1;
	}
	return false;
}

static bool
whole_number(const char *text, const char **end, uint64_t *n)
{
	char	   *stop;

	if (!isdigit((unsigned char) *text) || strspn(text, "0123456789") > 19)
		return false;
	*n = strtoull(text, &stop, 10);
	*end = stop;
	return *n <= INT64_MAX;
}

bool
sov_http_header_number(const struct sov_http_reply *reply, const char *name, uint64_t *n)
{
	char		text[64];
	const char *end;

	return sov_http_header(reply, name, text, sizeof text) && whole_number(text, &end, n) && *end == '\0';
}

bool
sov_http_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total)
{
	*first = *last = *total = UINT64_MAX;
	if (strncmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	if (*text == '*')
		text++;
	else if (!whole_number(text, &text, first) || *text++ != '-' || !whole_number(text, &text, last) || *first > *last)
		return false;
	if (*text++ != '/')
		return false;
	if (strcmp(text, "*") == 0)
		return true;
	return whole_number(text, &text, total) && *text == '\0' && (*last == UINT64_MAX || *last < *total);
}

int64_t
sov_http_date_us(const char *text)
{
	struct tm	tm = {0};
	double		fraction = 0;
	int			used = 0;
	time_t		t;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
			   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) == 6 && used == 19)
	{
		if (text[19] == '.' && isdigit((unsigned char) text[20]))
			fraction = strtod(text + 19, NULL);
		if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12)
			return 0;
		tm.tm_year -= 1900;
		tm.tm_mon--;
		t = timegm(&tm);
	}
	else
		t = curl_getdate(text, NULL);
	return t <= 0 || t >= YEAR_10000 ? 0 : (int64_t) t * 1000000 + (int64_t) (fraction >= 0 && fraction < 1 ? fraction * 1000000 : 0);
}
