/*
 * sftp_list.c - lists of the sftp adapter, from the text in which the server lists a
 * directory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sftp_private.h"

/* One line "-rw------- 1 user group 123 Nov 23 21:00 name"; false when it is no
 * file or directory. */
bool
sov_sftp_line(const char *line, size_t len, bool *directory, uint64_t *size, char *name, size_t cap)
{
	const char *p = line,
			   *end = line + len;
	uint64_t	n = 0;

	if (len == 0 || (line[0] != '-' && line[0] != 'd'))
		return false;
	*directory = line[0] == 'd';
	for (int field = 0; field < 8; field++)
	{
		const char *word = p;

		while (p < end && *p != ' ')
			p++;
		if (field == 4)
		{
			n = 0;
			for (const char *d = word; d < p; d++)
				if (*d < '0' || *d > '9' || n > INT64_MAX / 10 - 1)
					return false;
				else
					n = n * 10 + (uint64_t) (*d - '0');
		}
		if (p == word)
			return false;
		while (p < end && *p == ' ')
			p++;
	}
	*size = n;
	if (p == end || (size_t) (end - p) >= cap || memchr(p, '\0', (size_t) (end - p)) != NULL)
		return false;
	memcpy(name, p, (size_t) (end - p));
	name[end - p] = '\0';
	return true;
}

struct walk
{
	struct sftp *s;
	const char *prefix;
	sov_list_fn fn;
	void	   *ctx;
	bool		stopped,
				nomem;
	char	  **todo;
	size_t		n_todo,
				cap;
};

static void
remember(struct walk *k, const char *name)
{
	if (k->n_todo == k->cap)
	{
		size_t		cap = k->cap ? k->cap * 2 : 64;
		char	  **bigger = realloc(k->todo, cap * sizeof *bigger);

		if (bigger == NULL)
		{
			k->nomem = true;
			return;
		}
		k->todo = bigger;
		k->cap = cap;
	}
	k->todo[k->n_todo] = strdup(name);
	if (k->todo[k->n_todo] == NULL)
		k->nomem = true;
	else
		k->n_todo++;
}

static bool
whole_line(const struct sov_buf *text, const char *name)
{
	size_t		n = strlen(name);
	const char *p = (const char *) text->data,
			   *end = p + text->len;

	while (p < end)
	{
		const char *stop = memchr(p, '\n', (size_t) (end - p));

		if (stop == NULL)
			stop = end;
		if ((size_t) (stop - p) > n && memcmp(stop - n, name, n) == 0 && stop[-(ptrdiff_t) n - 1] == ' ')
			return true;
		p = stop + 1;
	}
	return false;
}

/* One entry of directory "at". */
static void
entry(struct walk *k, const struct sov_buf *text, const char *at, const char *leaf, bool directory, uint64_t size)
{
	char		own[SOV_OBJECT_NAME_MAX + 16];
	size_t		n = strlen(leaf),
				pre = strlen(k->prefix);
	struct sov_object_stat st = {.size = size};

	if (strlen(at) + n >= sizeof own - 1)
		return;
	snprintf(own, sizeof own, "%s%s", at, leaf);
	n = strlen(own);
	/* NAME+old is object NAME as long as that is not there */
	if (!directory && n > strlen(SFTP_OLD) && strcmp(own + n - strlen(SFTP_OLD), SFTP_OLD) == 0)
	{
		own[n -= strlen(SFTP_OLD)] = '\0';
		if (whole_line(text, own + strlen(at)))
			return;
	}
	if (!sov_object_name_ok(own))
		return;
	if (!directory)
		k->stopped = strncmp(own, k->prefix, pre) == 0 && !k->fn(k->ctx, own, &st);
	else
	{
		own[n++] = '/';
		own[n] = '\0';
		if (strncmp(own, k->prefix, n < pre ? n : pre) == 0)
			remember(k, own);
	}
}

static void
read_lines(struct walk *k, const struct sov_buf *text, const char *at)
{
	const char *p = (const char *) text->data,
			   *end = p ? p + text->len : p;
	char		name[SOV_OBJECT_NAME_MAX + 8];
	bool		directory;
	uint64_t	size;

	while (p < end && !k->stopped && !k->nomem)
	{
		const char *stop = memchr(p, '\n', (size_t) (end - p));

		if (stop == NULL)
			stop = end;
		if (sov_sftp_line(p, (size_t) (stop - p), &directory, &size, name, sizeof name))
			entry(k, text, at, name, directory, size);
		p = stop + 1;
	}
}

enum sov_code
sftp_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct walk k = {.s = (struct sftp *) p, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_buf text = {0};
	const char *slash = strrchr(prefix, '/');
	char		first[SOV_OBJECT_NAME_MAX + 2];
	enum sov_code rc = SOV_OK;

	if (strlen(prefix) > SOV_OBJECT_NAME_MAX || strstr(prefix, "..") != NULL ||
		strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != strlen(prefix))
		return sftp_check_root(k.s, err);	/* no object is called that */
	snprintf(first, sizeof first, "%.*s", slash ? (int) (slash - prefix) + 1 : 0, prefix);
	remember(&k, first);
	while (rc == SOV_OK && k.n_todo > 0 && !k.stopped && !k.nomem)
	{
		char	   *at = k.todo[--k.n_todo];

		rc = sftp_read_directory(k.s, at, &text, err);
		if (rc == SOV_OK)
			read_lines(&k, &text, at);
		else if (rc == SOV_E_NOTFOUND)	/* empty, if the root is there */
		{
			sov_error_clear(err);
			rc = sftp_check_root(k.s, err);
		}
		free(at);
	}
	if (rc == SOV_OK && k.nomem)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	while (k.n_todo > 0)
		free(k.todo[--k.n_todo]);
	free(k.todo);
	sov_buf_free(&text);
	return rc;
}
