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
 * sftp_transfer.c has libcurl, sftp_list.c directories, sftp_put.c writing.
 *
 * libcurl cannot ask the server to write to disk: an object that put
 * acknowledged is in the server's page cache at least.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sftp_private.h"
#include "sov_credential.h"

#define OBJECT_MAX ((uint64_t) 1 << 30)
#define LIST_MAX ((uint64_t) 32 << 20)

/* --- reading --- */

/* A file of the root; SOV_E_NOTFOUND is what the server says of this path. */
static enum sov_code
read_file(struct sftp *s, const char *name, const char *suffix, uint64_t offset, uint64_t len, struct sov_buf *out, struct sov_error *err)
{
	struct sftp_transfer t = {.net = s->net, .sink = out, .start = out->len, .max = len < OBJECT_MAX ? len : OBJECT_MAX};
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
		t.conn = sftp_begin(s, path, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		if (offset != 0 || len != UINT64_MAX)
			curl_easy_setopt(t.conn->easy, CURLOPT_RANGE, range);
		rc = sftp_perform(s, t.conn);
		code = SOV_OK;
		if (t.too_long)
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "object \"%s\" is longer than what was asked for", name);
		else if (rc == CURLE_REMOTE_FILE_NOT_FOUND)
			code = sftp_not_found(name, err);
		else if (rc == CURLE_BAD_DOWNLOAD_RESUME || rc == CURLE_RANGE_ERROR)
			out->len = t.start; /* behind the end */
		else if (rc != CURLE_OK)
			code = sftp_fail(t.conn, rc, "get object", name, err);
		sov_net_give(s->net, t.conn);
		/* an object that was overwritten meanwhile comes short, too */
		if (!sftp_lost(rc) || attempt >= 3)
			break;
		sov_error_clear(err);
	}
	if (code != SOV_OK)
		out->len = t.start;
	return code;
}

enum sov_code
sftp_read_directory(struct sftp *s, const char *name, struct sov_buf *out, struct sov_error *err)
{
	struct sftp_transfer t = {.net = s->net, .sink = out, .max = LIST_MAX};
	char		url[1000],
				path[900];
	CURLcode	rc;
	enum sov_code code;

	snprintf(path, sizeof path, "%s/%s", s->root, name);
	for (int attempt = 0;; attempt++)
	{
		out->len = 0;
		t.conn = sftp_begin(s, path, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		rc = sftp_perform(s, t.conn);
		code = SOV_OK;
		if (t.too_long)
			code = sov_fail(err, SOV_E_PROVIDER, NULL, "the server's list is too long");
		else if (rc == CURLE_REMOTE_FILE_NOT_FOUND)
			code = sftp_not_found(name, err);
		else if (rc != CURLE_OK)
			code = sftp_fail(t.conn, rc, "list", name, err);
		sov_net_give(s->net, t.conn);
		if (!sftp_lost(rc) || attempt > 0)
			return code;
	}
}

enum sov_code
sftp_check_root(struct sftp *s, struct sov_error *err)
{
	struct sov_buf text = {0};
	enum sov_code rc = sftp_read_directory(s, "", &text, err);

	sov_buf_free(&text);
	if (rc != SOV_E_NOTFOUND)
		return rc;
	sov_fail(err, SOV_E_PROVIDER, "it must be made before; is its storage mounted?", "folder \"%s\" is not there", s->root);
	if (err != NULL)
		err->retryable = true;
	return SOV_E_PROVIDER;
}

enum sov_code
sftp_absent(struct sftp *s, const char *name, struct sov_error *err)
{
	enum sov_code rc = sftp_check_root(s, err);

	return rc == SOV_OK ? sftp_not_found(name, err) : rc;
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
		rc = read_file(s, name, SFTP_OLD, offset, len, out, err);
	if (rc == SOV_E_NOTFOUND)
		rc = read_file(s, name, "", offset, len, out, err);
	if (rc == SOV_E_NOTFOUND)
		rc = sftp_absent(s, name, err);
	/* a directory is no object, and reading one fails in the server's own way */
	else if (rc == SOV_E_PROVIDER && p->ops->stat(p, name, &st, &ignored) == SOV_E_NOTFOUND)
		rc = sftp_not_found(name, err);
	if (rc == SOV_OK)
		sov_error_clear(err);
	return rc;
}

/* --- stat --- */

enum sov_code
sftp_stat_file(struct sftp *s, const char *name, const char *suffix, struct sov_object_stat *st, struct sov_error *err)
{
	struct sftp_transfer t = {.net = s->net};
	char		url[1000],
				path[900];
	curl_off_t	size = -1,
				mtime = -1;
	CURLcode	rc;
	enum sov_code code = SOV_OK;

	snprintf(path, sizeof path, "%s/%s%s", s->root, name, suffix);
	for (int attempt = 0;; attempt++)
	{
		t.conn = sftp_begin(s, path, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		curl_easy_setopt(t.conn->easy, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(t.conn->easy, CURLOPT_FILETIME, 1L);
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		rc = sftp_perform(s, t.conn);
		curl_easy_getinfo(t.conn->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
		curl_easy_getinfo(t.conn->easy, CURLINFO_FILETIME_T, &mtime);
		code = rc == CURLE_OK ? SOV_OK : rc == CURLE_REMOTE_FILE_NOT_FOUND ? sftp_not_found(name, err) :
			sftp_fail(t.conn, rc, "look at object", name, err);
		sov_net_give(s->net, t.conn);
		if (!sftp_lost(rc) || attempt > 0)
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
enum sov_code
sftp_stat_object(struct sftp *s, const char *name, struct sov_object_stat *st, struct sov_error *err)
{
	struct sov_object_stat dot;
	struct sov_error ignored;
	enum sov_code rc = sftp_stat_file(s, name, "", st, err);

	if (rc == SOV_E_NOTFOUND)
		rc = sftp_stat_file(s, name, SFTP_OLD, st, err);
	if (rc == SOV_OK && sftp_stat_file(s, name, "/.", &dot, &ignored) == SOV_OK)
		return sftp_not_found(name, err);
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
	rc = sftp_stat_object(s, name, st, err);
	if (rc == SOV_E_NOTFOUND)
		rc = sftp_stat_object(s, name, st, err);
	if (rc == SOV_E_NOTFOUND)
		return sftp_absent(s, name, err);
	if (rc == SOV_OK)
		sov_error_clear(err);
	return rc;
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
		rc = sftp_check_root(s, err);
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
	.older = sov_provider_no_older,
	.hidden = sov_provider_no_hidden,
	.sweep = sftp_sweep,
	.close = sftp_close,
};
