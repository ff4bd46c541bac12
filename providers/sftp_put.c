/*
 * sftp_put.c - writing and removing of the sftp adapter (design: sftp.c).
 */
#include <stdio.h>

#include "sftp_private.h"
#include "sov_crypto.h"

static size_t
on_send(char *dst, size_t one, size_t cap, void *user)
{
	struct sftp_transfer *t = user;
	size_t		done = 0;

	cap = sov_net_pace(t->net, cap);
	while (done < cap && t->span < t->n_spans)
	{
		size_t		n = t->spans[t->span].len - t->at;

		if (n > cap - done)
			n = cap - done;
		if (n > 0)
			memcpy(dst + done, (const char *) t->spans[t->span].data + t->at, n);
		done += n;
		t->at += n;
		if (t->at == t->spans[t->span].len)
		{
			t->span++;
			t->at = 0;
		}
	}
	return done;
}

/* Upload the temporary and rename it in one go.  *done: it is in place;
 * *uploaded: at least the temporary is whole. */
static enum sov_code
upload(struct sftp *s, const char *tmp, const char *name, const struct sov_put_span *spans, int n,
	   bool *done, bool *uploaded, bool *missing, struct sov_error *err)
{
	struct sftp_transfer t = {.net = s->net, .spans = spans, .n_spans = n};
	struct curl_slist *quote;
	char		url[1000],
				path[900],
				command[1900];
	curl_off_t	total = 0;
	CURLcode	rc;
	enum sov_code code = SOV_OK;

	*done = *uploaded = *missing = false;
	snprintf(path, sizeof path, "%s/%s", s->root, tmp);
	snprintf(command, sizeof command, "rename \"%s/%s\" \"%s/%s\"", s->root, tmp, s->root, name);
	for (int i = 0; i < n; i++)
		total += (curl_off_t) spans[i].len;
	t.conn = sftp_begin(s, path, url, sizeof url, err);
	if (t.conn == NULL)
		return SOV_E_NOMEM;
	quote = curl_slist_append(NULL, command);
	curl_easy_setopt(t.conn->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t.conn->easy, CURLOPT_INFILESIZE_LARGE, total);
	curl_easy_setopt(t.conn->easy, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(t.conn->easy, CURLOPT_READDATA, &t);
	curl_easy_setopt(t.conn->easy, CURLOPT_POSTQUOTE, quote);
	rc = sftp_perform(s, t.conn);
	if (rc == CURLE_OK)
		*done = true;
	else if (rc == CURLE_QUOTE_ERROR)
		*uploaded = true;
	else if (rc == CURLE_REMOTE_FILE_NOT_FOUND)
		*missing = true;
	else
		code = sftp_fail(t.conn, rc, "put object", name, err);
	sov_net_give(s->net, t.conn);
	curl_slist_free_all(quote);
	return code;
}

static enum sov_code
rename_file(struct sftp *s, const char *from, const char *from_suffix, const char *to, const char *to_suffix,
			bool *refused, bool *missing, struct sov_error *err)
{
	char		command[1900];
	const char *list[1] = {command};
	CURLcode	rc;
	enum sov_code code;

	snprintf(command, sizeof command, "rename \"%s/%s%s\" \"%s/%s%s\"", s->root, from, from_suffix, s->root, to, to_suffix);
	code = sftp_commands(s, list, 1, &rc, missing, err);
	*refused = rc == CURLE_QUOTE_ERROR && !*missing;
	return code;
}

static void
drop(struct sftp *s, const char *name, const char *suffix)
{
	char		command[1000];
	const char *list[1] = {command};
	struct sov_error ignored;
	CURLcode	rc;
	bool		missing;

	snprintf(command, sizeof command, "*rm \"%s/%s%s\"", s->root, name, suffix);
	(void) sftp_commands(s, list, 1, &rc, &missing, &ignored);
}

/* The directories of name; '*': that they are there already is well. */
static enum sov_code
make_parents(struct sftp *s, const char *name, struct sov_error *err)
{
	char		command[16][900];
	const char *list[16];
	int			n = 0;
	CURLcode	rc;
	bool		missing;
	enum sov_code code = sftp_check_root(s, err);

	for (const char *slash = strchr(name, '/'); slash != NULL && code == SOV_OK; slash = strchr(slash + 1, '/'))
	{
		snprintf(command[n], sizeof command[n], "*mkdir \"%s/%.*s\"", s->root, (int) (slash - name), name);
		list[n] = command[n];
		if (++n == 16 || strchr(slash + 1, '/') == NULL)
		{
			code = sftp_commands(s, list, n, &rc, &missing, err);
			n = 0;
		}
	}
	return code;
}

/* Put the temporary in the place of an object: see the file's head.  One at a
 * time from here; against others it is tried again. */
static enum sov_code
overwrite(struct sftp *s, const char *tmp, const char *name, struct sov_error *err)
{
	bool		refused = false,
				missing = false;
	struct sov_object_stat st;
	enum sov_code rc = SOV_OK;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < 100; i++)
	{
		sov_error_clear(err);
		rc = rename_file(s, name, "", name, SFTP_OLD, &refused, &missing, err);
		if (refused && sftp_stat_file(s, name, "", &st, err) == SOV_OK)
		{
			drop(s, name, SFTP_OLD);	/* of a crash; the object itself is there */
			continue;
		}
		if (rc != SOV_OK && !missing)
			break;
		sov_error_clear(err);
		rc = rename_file(s, tmp, "", name, "", &refused, &missing, err);
		if (rc == SOV_OK)
		{
			drop(s, name, SFTP_OLD);
			break;
		}
		if (!refused)
			break;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* The temporary is there and could not simply be renamed: why? */
static enum sov_code
publish(struct sftp *s, const char *tmp, const char *name, bool if_absent, struct sov_error *err)
{
	struct sov_object_stat st;
	struct sov_error ignored;
	bool		refused,
				missing;
	enum sov_code rc = rename_file(s, tmp, "", name, "", &refused, &missing, err);

	if (missing)
	{
		sov_error_clear(err);
		rc = make_parents(s, name, err);
		if (rc == SOV_OK)
			rc = rename_file(s, tmp, "", name, "", &refused, &missing, err);
	}
	if (rc == SOV_OK || !refused)
		return rc;
	/* refused: there is an object, or the server cannot */
	if (!if_absent)
		return overwrite(s, tmp, name, err);
	if (sftp_stat_object(s, name, &st, &ignored) == SOV_OK || sftp_stat_object(s, name, &st, &ignored) == SOV_OK)
		return sov_fail(err, SOV_E_EXISTS, NULL, "object \"%s\" exists already", name);
	return rc;
}

enum sov_code
sftp_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		 bool if_absent, struct sov_error *err)
{
	struct sftp *s = (struct sftp *) p;
	uint8_t		random[16];
	char		tmp[64] = SFTP_TMP "/";
	bool		done = false,
				uploaded = false,
				missing = false;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
	rc = sov_random(random, sizeof random, err);
	if (rc != SOV_OK)
		return rc;
	sov_hex(tmp + strlen(tmp), random, sizeof random);
	rc = upload(s, tmp, name, spans, n_spans, &done, &uploaded, &missing, err);
	if (rc == SOV_OK && missing)
	{
		rc = make_parents(s, tmp, err);
		if (rc == SOV_OK)
			rc = upload(s, tmp, name, spans, n_spans, &done, &uploaded, &missing, err);
		if (rc == SOV_OK && missing)
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "directory \"" SFTP_TMP "\" cannot be made in \"%s\"", s->root);
	}
	if (rc == SOV_OK && uploaded)
	{
		rc = publish(s, tmp, name, if_absent, err);
		if (rc != SOV_OK)
			drop(s, tmp, "");
	}
	return rc;
}

enum sov_code
sftp_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{
	struct sftp *s = (struct sftp *) p;
	char		command[1000];
	const char *list[1] = {command};
	bool		missing;
	CURLcode	curl;
	struct sov_object_stat st;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
	snprintf(command, sizeof command, "rm \"%s/%s\"", s->root, name);
	rc = sftp_commands(s, list, 1, &curl, &missing, err);
	if (missing && sftp_stat_file(s, name, SFTP_OLD, &st, err) == SOV_OK)
	{
		drop(s, name, SFTP_OLD);
		sov_error_clear(err);
		return SOV_OK;
	}
	return missing ? sftp_absent(s, name, err) : rc;
}

/* --- temporaries of writers that were killed --- */

static enum sov_code
sweep_one(struct sftp *s, const char *name, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	char		command[1000];
	const char *list[1] = {command};
	struct sov_object_stat st = {0};
	bool		missing;
	CURLcode	curl;
	enum sov_code rc = sftp_stat_file(s, name, "", &st, err);	/* lists tell no time */

	if (rc != SOV_OK || !fn(ctx, name, &st))
		return rc == SOV_E_NOTFOUND ? SOV_OK : rc;
	snprintf(command, sizeof command, "rm \"%s/%s\"", s->root, name);
	rc = sftp_commands(s, list, 1, &curl, &missing, err);
	return missing ? SOV_OK : rc;
}

enum sov_code
sftp_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct sftp *s = (struct sftp *) p;
	struct sov_buf text = {0};
	struct sov_error why;
	char		leaf[40],
				name[64];
	bool		directory;
	uint64_t	size;
	enum sov_code rc = sftp_read_directory(s, SFTP_TMP "/", &text, err),
				one;

	if (rc == SOV_E_NOTFOUND)
		rc = sftp_check_root(s, err);
	for (size_t at = 0; at < text.len;)
	{
		const char *line = (const char *) text.data + at,
				   *stop = memchr(line, '\n', text.len - at);
		size_t		n = stop ? (size_t) (stop - line) : text.len - at;

		at += n + 1;
		if (!sov_sftp_line(line, n, &directory, &size, leaf, sizeof leaf) || directory || strlen(leaf) != 32 ||
			strspn(leaf, "0123456789abcdef") != 32)
			continue;
		snprintf(name, sizeof name, SFTP_TMP "/%s", leaf);
		one = sweep_one(s, name, fn, ctx, &why);
		if (one != SOV_OK && rc == SOV_OK && err != NULL)
			*err = why;
		rc = rc == SOV_OK ? one : rc;
	}
	sov_buf_free(&text);
	return rc;
}
