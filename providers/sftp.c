/*
 * sftp.c - a provider behind SFTP (OpenSSH), through libcurl.
 *
 * Object NAME is the file ROOT/NAME, ROOT being the path of the endpoint and the
 * prefix; its directories are made on demand, ROOT never is.  The server is known
 * by the fingerprint of its key (host-key-sha256) or by a known-hosts file; one
 * of them is required.
 *
 * An object is written to ROOT/+tmp/RANDOM and renamed.  Version 3 of the
 * protocol, as OpenSSH speaks it, never renames over a file: put if absent is a
 * real test-and-set.  To overwrite, the old object becomes NAME+old first, which
 * readers take while NAME is absent; so that a crash between two renames loses
 * nothing.  ('+' is in no object's name.)
 *
 * libcurl cannot ask the server to write to disk: an object that put
 * acknowledged is in the server's page cache at least.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "adapters.h"
#include "net.h"
#include "sov_credential.h"
#include "sftp.h"
#include "sov_crypto.h"

#define OBJECT_MAX ((uint64_t) 1 << 30)
#define LIST_MAX ((uint64_t) 32 << 20)
#define TMP "+tmp"
#define OLD "+old"

struct sftp
{
	struct sov_provider base;	/* first */
	struct sov_provider_ops ops;
	struct sov_net *net;
	char		host[300];		/* "sftp://host:port" */
	char		root[600];		/* "/srv/backup", no slash at its end */
	char		key_file[1024],
				known_hosts[1024],
				fingerprint[100];
	pthread_mutex_t lock;		/* of overwriting */
};

/* --- one transfer --- */

struct transfer
{
	struct sov_net *net;
	struct sov_conn *conn;
	const struct sov_put_span *spans;	/* to send */
	int			n_spans,
				span;
	size_t		at;
	struct sov_buf *sink;		/* to receive into */
	size_t		start;
	uint64_t	max;
	bool		too_long;
};

static size_t
on_send(char *dst, size_t one, size_t cap, void *user)
{
	struct transfer *t = user;
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

static size_t
on_body(char *data, size_t one, size_t n, void *user)
{
	struct transfer *t = user;

	for (size_t paced = 0; paced < n;)
		paced += sov_net_pace(t->net, n - paced);
	if (t->sink == NULL || t->sink->len - t->start + n > t->max)
	{
		t->too_long = true;
		return 0;
	}
	sov_write_bytes(t->sink, data, n);
	return t->sink->bad ? 0 : n;
}

/* Only a key that the known-hosts file holds for this host. */
static int
on_host_key(CURL *easy, const struct curl_khkey *known, const struct curl_khkey *found, enum curl_khmatch match, void *user)
{
	return match == CURLKHMATCH_OK ? CURLKHSTAT_FINE : CURLKHSTAT_REJECT;
}

static struct sov_conn *
begin(struct sftp *s, const char *path, char *url, size_t cap, struct sov_error *err)
{
	struct sov_conn *c = sov_net_take(s->net, err);
	CURL	   *e;

	if (c == NULL)
		return NULL;
	e = c->easy;
	snprintf(url, cap, "%s%s", s->host, path);
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "sftp");
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_USERNAME, sov_net_secret(s->net, "user"));
	curl_easy_setopt(e, CURLOPT_NEW_FILE_PERMS, 0600L);
	curl_easy_setopt(e, CURLOPT_NEW_DIRECTORY_PERMS, 0700L);
	if (s->key_file[0] != '\0')
	{
		curl_easy_setopt(e, CURLOPT_SSH_AUTH_TYPES, (long) CURLSSH_AUTH_PUBLICKEY);
		curl_easy_setopt(e, CURLOPT_SSH_PRIVATE_KEYFILE, s->key_file);
		if (sov_net_secret(s->net, "key-passphrase") != NULL)
			curl_easy_setopt(e, CURLOPT_KEYPASSWD, sov_net_secret(s->net, "key-passphrase"));
	}
	else
	{
		curl_easy_setopt(e, CURLOPT_SSH_AUTH_TYPES, (long) CURLSSH_AUTH_PASSWORD);
		curl_easy_setopt(e, CURLOPT_PASSWORD, sov_net_secret(s->net, "password"));
	}
	if (s->fingerprint[0] != '\0')
		curl_easy_setopt(e, CURLOPT_SSH_HOST_PUBLIC_KEY_SHA256, s->fingerprint);
	else
	{
		curl_easy_setopt(e, CURLOPT_SSH_KNOWNHOSTS, s->known_hosts);
		curl_easy_setopt(e, CURLOPT_SSH_KEYFUNCTION, on_host_key);
	}
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	return c;
}

/* A busy server drops or delays a handshake now and then: nothing was asked of
 * it yet, so it is asked once more. */
static CURLcode
perform(struct sftp *s, struct sov_conn *c)
{
	CURLcode	rc = sov_net_perform(s->net, c);
	curl_off_t	tcp = 0,
				ssh = 0;

	curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &tcp);
	curl_easy_getinfo(c->easy, CURLINFO_APPCONNECT_TIME_T, &ssh);
	if ((rc == CURLE_OPERATION_TIMEDOUT || rc == CURLE_SSH || rc == CURLE_FAILED_INIT) && tcp > 0 && ssh == 0)
		rc = sov_net_perform(s->net, c);
	return rc;
}

static bool
lost(CURLcode rc)
{
	return rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_PARTIAL_FILE || rc == CURLE_SSH;
}

static enum sov_code
fail(struct sov_conn *c, CURLcode rc, const char *what, const char *name, struct sov_error *err)
{
	char		text[300];

	snprintf(text, sizeof text, "could not %s \"%s\"", what, name);
	sov_net_fail(c, rc, text, err);
	if (err == NULL)
		return SOV_E_PROVIDER;
	if (rc == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(err->hint, sizeof err->hint, "the server's key is not the one that host-key-sha256 or known-hosts names");
	if (rc == CURLE_LOGIN_DENIED || rc == CURLE_REMOTE_ACCESS_DENIED)
	{
		snprintf(err->hint, sizeof err->hint, "may this user do this, and are \"user\" and \"key-file\" right?");
		err->retryable = false;
	}
	err->refused = rc == CURLE_REMOTE_ACCESS_DENIED || (rc == CURLE_QUOTE_ERROR && strstr(c->message, "ermission denied") != NULL);
	if (rc == CURLE_REMOTE_DISK_FULL)
		err->code = SOV_E_FULL;
	return err->code;
}

/* SFTP commands on a kept connection.  *rc is libcurl's code; *missing: the
 * server said that a file or directory is not there. */
static enum sov_code
commands(struct sftp *s, const char *const *list, int n, CURLcode *rc, bool *missing, struct sov_error *err)
{
	struct transfer t = {.net = s->net};
	struct curl_slist *quote = NULL;
	char		url[1000],
				root[700];
	enum sov_code code;

	*missing = false;
	snprintf(root, sizeof root, "%s/", s->root);
	for (int attempt = 0;; attempt++)
	{
		t.conn = begin(s, root, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		for (int i = 0; i < n; i++)
			quote = curl_slist_append(quote, list[i]);
		curl_easy_setopt(t.conn->easy, CURLOPT_QUOTE, quote);
		curl_easy_setopt(t.conn->easy, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		*rc = perform(s, t.conn);
		code = *rc == CURLE_OK ? SOV_OK : fail(t.conn, *rc, "change", "the folder", err);
		*missing = *rc == CURLE_QUOTE_ERROR && strstr(t.conn->message, "No such file") != NULL;
		sov_net_give(s->net, t.conn);
		curl_slist_free_all(quote);
		quote = NULL;
		if (!lost(*rc) || attempt > 0)
			return code;
	}
}

static enum sov_code
not_found(const char *name, struct sov_error *err)
{
	return sov_fail(err, SOV_E_NOTFOUND, NULL, "object \"%s\" does not exist", name);
}

/* --- reading --- */

/* A file of the root; SOV_E_NOTFOUND is what the server says of this path. */
static enum sov_code
read_file(struct sftp *s, const char *name, const char *suffix, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct transfer t = {.net = s->net, .sink = out, .start = out->len, .max = len < OBJECT_MAX ? len : OBJECT_MAX};
	char		url[1000],
				path[900],
				range[64];
	CURLcode	rc;
	enum sov_code code;

	snprintf(path, sizeof path, "%s/%s%s", s->root, name, suffix);
	if (len > UINT64_MAX - offset)
		len = UINT64_MAX;
	if (len == UINT64_MAX)
		snprintf(range, sizeof range, "%llu-", (unsigned long long) offset);
	else
		snprintf(range, sizeof range, "%llu-%llu", (unsigned long long) offset, (unsigned long long) (offset + len - 1));
	for (int attempt = 0;; attempt++)
	{
		out->len = t.start;
		t.conn = begin(s, path, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		if (offset != 0 || len != UINT64_MAX)
			curl_easy_setopt(t.conn->easy, CURLOPT_RANGE, range);
		rc = perform(s, t.conn);
		code = SOV_OK;
		if (t.too_long)
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\" is longer than what was asked for", name);
		else if (rc == CURLE_REMOTE_FILE_NOT_FOUND)
			code = not_found(name, err);
		else if (rc == CURLE_BAD_DOWNLOAD_RESUME || rc == CURLE_RANGE_ERROR)
			out->len = t.start; /* behind the end */
		else if (rc != CURLE_OK)
			code = fail(t.conn, rc, "get object", name, err);
		sov_net_give(s->net, t.conn);
		/* an object that was overwritten meanwhile comes short, too */
		if (!lost(rc) || attempt >= 3)
			break;
		sov_error_clear(err);
	}
	if (code != SOV_OK)
		out->len = t.start;
	return code;
}

/* The text of a directory, as the server lists it. */
static enum sov_code
read_directory(struct sftp *s, const char *name, struct sov_buf *out, struct sov_error *err)
{
	struct transfer t = {.net = s->net, .sink = out, .max = LIST_MAX};
	char		url[1000],
				path[900];
	CURLcode	rc;
	enum sov_code code;

	snprintf(path, sizeof path, "%s/%s", s->root, name);
	for (int attempt = 0;; attempt++)
	{
		out->len = 0;
		t.conn = begin(s, path, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		rc = perform(s, t.conn);
		code = SOV_OK;
		if (t.too_long)
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list is too long");
		else if (rc == CURLE_REMOTE_FILE_NOT_FOUND)
			code = not_found(name, err);
		else if (rc != CURLE_OK)
			code = fail(t.conn, rc, "list", name, err);
		sov_net_give(s->net, t.conn);
		if (!lost(rc) || attempt > 0)
			return code;
	}
}

static enum sov_code
check_root(struct sftp *s, struct sov_error *err)
{
	struct sov_buf text = {0};
	enum sov_code rc = read_directory(s, "", &text, err);

	sov_buf_free(&text);
	if (rc != SOV_E_NOTFOUND)
		return rc;
	sov_fail(err, SOV_E_PROVIDER, "it must be made before; is its storage mounted?", "folder \"%s\" is not there", s->root);
	if (err != NULL)
		err->retryable = true;
	return SOV_E_PROVIDER;
}

/* "Not found", if the root is there. */
static enum sov_code
absent(struct sftp *s, const char *name, struct sov_error *err)
{
	enum sov_code rc = check_root(s, err);

	return rc == SOV_OK ? not_found(name, err) : rc;
}

static enum sov_code
sftp_get(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct sftp *s = (struct sftp *) p;
	struct sov_object_stat st;
	struct sov_error ignored;
	enum sov_code rc;

	if (!sov_object_name_ok(name))
		return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
	if (len == 0 || offset > OBJECT_MAX)
		return p->ops->stat(p, name, &st, err);
	rc = read_file(s, name, "", offset, len, out, err);
	if (rc == SOV_E_NOTFOUND)	/* being overwritten, perhaps since a crash? */
		rc = read_file(s, name, OLD, offset, len, out, err);
	if (rc == SOV_E_NOTFOUND)
		rc = read_file(s, name, "", offset, len, out, err);
	if (rc == SOV_E_NOTFOUND)
		rc = absent(s, name, err);
	/* a directory is no object, and reading one fails in the server's own way */
	else if (rc == SOV_E_PROVIDER && p->ops->stat(p, name, &st, &ignored) == SOV_E_NOTFOUND)
		rc = not_found(name, err);
	if (rc == SOV_OK)
		sov_error_clear(err);
	return rc;
}

/* --- lists --- */

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
	struct sov_object_stat st = {size, 0};

	if (strlen(at) + n >= sizeof own - 1)
		return;
	snprintf(own, sizeof own, "%s%s", at, leaf);
	n = strlen(own);
	/* NAME+old is object NAME as long as that is not there */
	if (!directory && n > strlen(OLD) && strcmp(own + n - strlen(OLD), OLD) == 0)
	{
		own[n -= strlen(OLD)] = '\0';
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

static enum sov_code
sftp_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{
	struct walk k = {.s = (struct sftp *) p, .prefix = prefix, .fn = fn, .ctx = ctx};
	struct sov_buf text = {0};
	const char *slash = strrchr(prefix, '/');
	char		first[SOV_OBJECT_NAME_MAX + 2];
	enum sov_code rc = SOV_OK;

	if (strlen(prefix) > SOV_OBJECT_NAME_MAX || strstr(prefix, "..") != NULL ||
		strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789/._-") != strlen(prefix))
		return check_root(k.s, err);	/* no object is called that */
	snprintf(first, sizeof first, "%.*s", slash ? (int) (slash - prefix) + 1 : 0, prefix);
	remember(&k, first);
	while (rc == SOV_OK && k.n_todo > 0 && !k.stopped && !k.nomem)
	{
		char	   *at = k.todo[--k.n_todo];

		rc = read_directory(k.s, at, &text, err);
		if (rc == SOV_OK)
			read_lines(&k, &text, at);
		else if (rc == SOV_E_NOTFOUND)	/* empty, if the root is there */
		{
			sov_error_clear(err);
			rc = check_root(k.s, err);
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

/* --- stat --- */

/* Size and time of a path, without reading it. */
static enum sov_code
stat_file(struct sftp *s, const char *name, const char *suffix, struct sov_object_stat *st, struct sov_error *err)
{
	struct transfer t = {.net = s->net};
	char		url[1000],
				path[900];
	curl_off_t	size = -1,
				mtime = -1;
	CURLcode	rc;
	enum sov_code code = SOV_OK;

	snprintf(path, sizeof path, "%s/%s%s", s->root, name, suffix);
	for (int attempt = 0;; attempt++)
	{
		t.conn = begin(s, path, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		curl_easy_setopt(t.conn->easy, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(t.conn->easy, CURLOPT_FILETIME, 1L);
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		rc = perform(s, t.conn);
		curl_easy_getinfo(t.conn->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
		curl_easy_getinfo(t.conn->easy, CURLINFO_FILETIME_T, &mtime);
		code = rc == CURLE_OK ? SOV_OK : rc == CURLE_REMOTE_FILE_NOT_FOUND ? not_found(name, err) :
			fail(t.conn, rc, "look at object", name, err);
		sov_net_give(s->net, t.conn);
		if (!lost(rc) || attempt > 0)
			break;
	}
	if (code == SOV_OK && size < 0)	/* libcurl says so of an empty file */
	{
		struct sov_buf byte = {0};

		code = read_file(s, name, suffix, 0, 1, &byte, err);
		if (code == SOV_OK && byte.len > 0)
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\": the server does not tell its size", name);
		sov_buf_free(&byte);
	}
	st->size = size > 0 ? (uint64_t) size : 0;
	st->mtime_us = mtime > 0 ? (int64_t) mtime * 1000000 : 0;
	return code;
}

/* A directory answers to stat as a file does, but has a "." in it. */
static enum sov_code
stat_object(struct sftp *s, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_object_stat dot;
	struct sov_error ignored;
	enum sov_code rc = stat_file(s, name, "", st, err);

	if (rc == SOV_E_NOTFOUND)
		rc = stat_file(s, name, OLD, st, err);
	if (rc == SOV_OK && stat_file(s, name, "/.", &dot, &ignored) == SOV_OK)
		return not_found(name, err);
	return rc;
}

static enum sov_code
sftp_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sftp *s = (struct sftp *) p;
	enum sov_code rc;

	memset(st, 0, sizeof *st);
	if (!sov_object_name_ok(name))
		return sov_fail(err, SOV_E_USAGE, NULL, "object name \"%.200s\" is not allowed", name);
	rc = stat_object(s, name, st, err);
	if (rc == SOV_E_NOTFOUND)
		rc = stat_object(s, name, st, err);
	if (rc == SOV_E_NOTFOUND)
		return absent(s, name, err);
	if (rc == SOV_OK)
		sov_error_clear(err);
	return rc;
}

/* --- put --- */

/* Upload the temporary and rename it in one go.  *done: it is in place;
 * *uploaded: at least the temporary is whole. */
static enum sov_code
upload(struct sftp *s, const char *tmp, const char *name, const struct sov_put_span *spans, int n,
	   bool *done, bool *uploaded, bool *missing, struct sov_error *err)
{
	struct transfer t = {.net = s->net, .spans = spans, .n_spans = n};
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
	t.conn = begin(s, path, url, sizeof url, err);
	if (t.conn == NULL)
		return SOV_E_NOMEM;
	quote = curl_slist_append(NULL, command);
	curl_easy_setopt(t.conn->easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(t.conn->easy, CURLOPT_INFILESIZE_LARGE, total);
	curl_easy_setopt(t.conn->easy, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(t.conn->easy, CURLOPT_READDATA, &t);
	curl_easy_setopt(t.conn->easy, CURLOPT_POSTQUOTE, quote);
	rc = perform(s, t.conn);
	if (rc == CURLE_OK)
		*done = true;
	else if (rc == CURLE_QUOTE_ERROR)
		*uploaded = true;
	else if (rc == CURLE_REMOTE_FILE_NOT_FOUND)
		*missing = true;
	else
		code = fail(t.conn, rc, "put object", name, err);
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
	code = commands(s, list, 1, &rc, missing, err);
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
	(void) commands(s, list, 1, &rc, &missing, &ignored);
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
	enum sov_code code = check_root(s, err);

	for (const char *slash = strchr(name, '/'); slash != NULL && code == SOV_OK; slash = strchr(slash + 1, '/'))
	{
		snprintf(command[n], sizeof command[n], "*mkdir \"%s/%.*s\"", s->root, (int) (slash - name), name);
		list[n] = command[n];
		if (++n == 16 || strchr(slash + 1, '/') == NULL)
		{
			code = commands(s, list, n, &rc, &missing, err);
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
		rc = rename_file(s, name, "", name, OLD, &refused, &missing, err);
		if (refused && stat_file(s, name, "", &st, err) == SOV_OK)
		{
			drop(s, name, OLD);	/* of a crash; the object itself is there */
			continue;
		}
		if (rc != SOV_OK && !missing)
			break;
		sov_error_clear(err);
		rc = rename_file(s, tmp, "", name, "", &refused, &missing, err);
		if (rc == SOV_OK)
		{
			drop(s, name, OLD);
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
	if (stat_object(s, name, &st, &ignored) == SOV_OK || stat_object(s, name, &st, &ignored) == SOV_OK)
		return sov_fail(err, SOV_E_EXISTS, NULL, "object \"%s\" exists already", name);
	return rc;
}

static enum sov_code
sftp_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans,
		 bool if_absent, struct sov_error *err)
{
	struct sftp *s = (struct sftp *) p;
	uint8_t		random[16];
	char		tmp[64] = TMP "/";
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
			rc = sov_fail(err, SOV_E_PROVIDER, NULL, "directory \"" TMP "\" cannot be made in \"%s\"", s->root);
	}
	if (rc == SOV_OK && uploaded)
	{
		rc = publish(s, tmp, name, if_absent, err);
		if (rc != SOV_OK)
			drop(s, tmp, "");
	}
	return rc;
}

static enum sov_code
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
	rc = commands(s, list, 1, &curl, &missing, err);
	if (missing && stat_file(s, name, OLD, &st, err) == SOV_OK)
	{
		drop(s, name, OLD);
		sov_error_clear(err);
		return SOV_OK;
	}
	return missing ? absent(s, name, err) : rc;
}

/* --- open --- */

static enum sov_code
check_key_file(struct sftp *s, struct sov_error *err)
{
	struct stat st;

	char		name[sizeof s->key_file];
	enum sov_code rc;

	if (s->key_file[0] == '\0')
		return SOV_OK;
	snprintf(name, sizeof name, "%s", s->key_file);
	rc = sov_secret_file_path(name, s->key_file, sizeof s->key_file, err);
	if (rc != SOV_OK)
		return rc;
	if (stat(s->key_file, &st) != 0)
		return sov_fail(err, SOV_E_CONFIG, "the user that runs this must be able to read it", "\"key-file\" \"%s\" cannot be read", s->key_file);
	if (!sov_secret_file_private(s->key_file, &st))
		return sov_fail(err, SOV_E_CONFIG, "chown it to the user that runs this, chmod 0600, and change the key if others may have read it", "\"key-file\" \"%s\" may be read by others", s->key_file);
	return SOV_OK;
}

static enum sov_code
settings(struct sftp *s, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *endpoint = sov_net_endpoint(s->net),
			   *path,
			   *unused;
	enum sov_code rc = sov_net_need(s->net, "user", &unused, err);

	if (rc != SOV_OK)
		return rc;
	if (strncmp(endpoint, "sftp://", 7) != 0 || (path = strchr(endpoint + 7, '/')) == NULL || (size_t) (path - endpoint) >= sizeof s->host ||
		strpbrk(path, "%*\"") != NULL)
		return sov_fail(err, SOV_E_CONFIG, "for example: endpoint = sftp://backup.example.eu:22/srv/backup", "\"endpoint\" is not the address of a folder behind SFTP");
	snprintf(s->host, sizeof s->host, "%.*s", (int) (path - endpoint), endpoint);
	snprintf(s->root, sizeof s->root, "%s/%s", path, sov_net_prefix(s->net));
	while (s->root[0] != '\0' && s->root[strlen(s->root) - 1] == '/')
		s->root[strlen(s->root) - 1] = '\0';
	snprintf(s->key_file, sizeof s->key_file, "%s", sov_option_text(cfg, "key-file", ""));
	snprintf(s->known_hosts, sizeof s->known_hosts, "%s", sov_option_text(cfg, "known-hosts", ""));
	snprintf(s->fingerprint, sizeof s->fingerprint, "%s", sov_option_text(cfg, "host-key-sha256", ""));
	if (s->key_file[0] == '\0' && (rc = sov_net_need(s->net, "password", &unused, err)) != SOV_OK)
		return rc;
	if (s->fingerprint[0] == '\0' && s->known_hosts[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "ssh-keyscan HOST | ssh-keygen -l -f - shows the server's fingerprint: compare it with what its operator tells you",
						"the server must be known: \"host-key-sha256\" or \"known-hosts\" is missing");
	return check_key_file(s, err);
}

static void
sftp_close(struct sov_provider *p)
{
	struct sftp *s = (struct sftp *) p;

	pthread_mutex_destroy(&s->lock);
	sov_net_close(s->net);
	free(s);
}

static enum sov_code
sftp_open(const struct sov_provider_config *cfg, struct sov_provider **out, struct sov_error *err)
{
	struct sftp *s = calloc(1, sizeof *s);
	enum sov_code rc;

	if (s == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	pthread_mutex_init(&s->lock, NULL);
	rc = sov_net_open(cfg, &s->net, err);
	if (rc == SOV_OK)
		rc = settings(s, cfg, err);
	if (rc == SOV_OK)
		rc = check_root(s, err);
	if (rc != SOV_OK)
	{
		sftp_close(&s->base);
		return rc;
	}
	s->ops = sov_sftp_ops;
	s->ops.caps.parallel = sov_net_parallel(s->net);
	s->base.ops = &s->ops;
	*out = &s->base;
	return SOV_OK;
}

static const struct sov_provider_key sftp_keys[] = {
	SOV_NET_KEYS,
	{.name = "key-file", .kind = SOV_KEY_SECRET, .example = "/etc/pg_sovereign/NAME.key"},
	{.name = "host-key-sha256", .kind = SOV_KEY_TEXT, .example = "the fingerprint after SHA256:"},
	{.name = "known-hosts", .kind = SOV_KEY_PATH, .example = "/etc/pg_sovereign/known_hosts"},
	{.name = NULL}
};

const struct sov_provider_ops sov_sftp_ops = {
	.keys = sftp_keys,
	.caps = {.scheme = "sftp", .threads = true, .atomic_create = true,
	.max_object = OBJECT_MAX, .parallel = 4},
	.open = sftp_open,
	.put = sftp_put,
	.get = sftp_get,
	.stat = sftp_stat,
	.list = sftp_list,
	.remove = sftp_remove,
	.close = sftp_close,
};
