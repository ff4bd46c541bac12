/*
 * text.c - helpers for what people write and read.
 */
#include "sov_text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WORD_MAX 48				/* longer words are never corrected */

/* Edit distance in which a swap of two neighbours counts once. */
static int
distance(const char *a, const char *b)
{
	int			la = (int) strlen(a),
				lb = (int) strlen(b);
	int			row[3][WORD_MAX + 1];

	if (la > WORD_MAX || lb > WORD_MAX)
		return INT_MAX;
	for (int j = 0; j <= lb; j++)
		row[0][j] = j;
	for (int i = 1; i <= la; i++)
	{
		int		   *cur = row[i % 3],
				   *up = row[(i + 2) % 3],
				   *up2 = row[(i + 1) % 3];

		cur[0] = i;
		for (int j = 1; j <= lb; j++)
		{
			int			best = up[j - 1] + (a[i - 1] != b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (cur[j - 1] + 1 < best)
				best = cur[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			cur[j] = best;
		}
	}
	return row[la % 3][lb];
}

/* "data_directory" and "Data-Directory" are near "data-directory". */
static void
fold(char *dst, size_t cap, const char *src)
{
	size_t		i = 0;

	for (; src[i] != '\0' && i < cap - 1; i++)
		dst[i] = src[i] == '_' ? '-' : (char) tolower((unsigned char) src[i]);
	dst[i] = '\0';
}

const char *
sov_nearest(const char *word, const char *const *candidates)
{
	const char *best = NULL;
	int			best_distance = INT_MAX;
	char		folded[WORD_MAX + 2];

	fold(folded, sizeof folded, word);
	for (; *candidates != NULL; candidates++)
	{
		int			d = distance(folded, *candidates);
		int			limit = (int) strlen(*candidates) / 3;

		if (d <= (limit > 1 ? limit : 1) && d < best_distance)
		{
			best = *candidates;
			best_distance = d;
		}
	}
	return best;
}

bool
sov_is_choice(const char *choices, const char *value)
{
	size_t		len = strlen(value);

	for (const char *p = choices; p != NULL; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strncmp(p, value, len) == 0 && (p[len] == '|' || p[len] == '\0'))
			return len > 0;
	return false;
}

/* A whole number and a unit; the number without one has the first factor. */
static bool
parse_with_unit(const char *text, const char *const *units, const uint64_t *factors, int n_units, uint64_t *value)
{
	char	   *end;
	unsigned long long n;

	if (!isdigit((unsigned char) text[0]))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	while (*end == ' ')
		end++;
	for (int i = 0; i < n_units; i++)
	{
		if (*end != '\0' && strcmp(end, units[i]) != 0)
			continue;
		return !__builtin_mul_overflow((uint64_t) n, factors[i], value);
	}
	return false;
}

bool
sov_parse_size(const char *text, uint64_t *bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	static const uint64_t factors[] = {1, 1 << 10, 1 << 20, 1 << 30, (uint64_t) 1 << 40};

	return parse_with_unit(text, units, factors, 5, bytes);
}

bool
sov_parse_duration(const char *text, uint64_t *seconds)
{
	static const char *const units[] = {"s", "min", "h", "d"};
	static const uint64_t factors[] = {1, 60, 3600, 86400};

	return parse_with_unit(text, units, factors, 4, seconds);
}

char *
sov_size_text(uint64_t bytes, char *dst, size_t cap)
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
	double		v = (double) bytes;
	int			u = 0;

	while (v >= 1024 && u < 4)
	{
		v /= 1024;
		u++;
	}
	snprintf(dst, cap, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return dst;
}

/* The real path, also of one that does not exist (then of its longest existing
 * part, the rest appended).  SOV_E_SYSTEM when it does not fit or may not be
 * looked at. */
static enum sov_code
real_path(const char *path, char *dst, size_t cap, struct sov_error *err)
{
	char		head[PATH_MAX],
				real[PATH_MAX],
				seen[PATH_MAX];
	const char *tail = "";

	if (snprintf(head, sizeof head, "%s", path) >= (int) sizeof head)
		return sov_fail(err, SOV_E_SYSTEM, NULL, "path is too long");
	snprintf(seen, sizeof seen, "%s", head);
	while (realpath(head, real) == NULL)
	{
		char	   *slash = strrchr(head, '/');

		if (errno != ENOENT && errno != ENOTDIR)
			return sov_fail_errno(err, errno, NULL, "could not look up \"%s\"", path);
		if (slash == NULL)
			return sov_fail(err, SOV_E_SYSTEM, NULL, "path \"%s\" is not absolute", path);
		tail = seen + (slash - head);
		slash[slash == head ? 1 : 0] = '\0';
	}
	if (strcmp(real, "/") == 0 && *tail == '/')
		real[0] = '\0';
	if (snprintf(dst, cap, "%s%s", real, tail) >= (int) cap)
		return sov_fail(err, SOV_E_SYSTEM, NULL, "path is too long");
	return SOV_OK;
}

bool
sov_path_within(const char *path, const char *root)
{
	char		p[PATH_MAX],
				r[PATH_MAX];
	struct stat want,
				st;
	size_t		len;

	if (real_path(path, p, sizeof p, NULL) != SOV_OK)
		snprintf(p, sizeof p, "%s", path);
	if (real_path(root, r, sizeof r, NULL) != SOV_OK)
		snprintf(r, sizeof r, "%s", root);
	len = strlen(r);
	while (len > 0 && r[len - 1] == '/')
		len--;
	if (strncmp(p, r, len) == 0 && (p[len] == '\0' || p[len] == '/'))
		return true;
	if (stat(r, &want) != 0)
		return false;
	for (;;)
	{
		char	   *slash;

		if (stat(p, &st) == 0 && st.st_dev == want.st_dev && st.st_ino == want.st_ino)
			return true;
		slash = strrchr(p, '/');
		if (slash == NULL || slash == p)
			return false;
		*slash = '\0';
	}
}
