/*
 * sftp_transfer.c - one transfer of the sftp adapter: libcurl, its settings and its errors.
 */
#include <stdio.h>

#include "sftp_private.h"

static size_t
on_body(char *data, size_t one, size_t n, void *user)
{
	struct sftp_transfer *t = user;

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

struct sov_conn *
sftp_begin(struct sftp *s, const char *path, char *url, size_t cap, struct sov_error *err)
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
CURLcode
sftp_perform(struct sftp *s, struct sov_conn *c)
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

bool
sftp_lost(CURLcode rc)
{
	return rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_PARTIAL_FILE || rc == CURLE_SSH;
}

enum sov_code
sftp_fail(struct sov_conn *c, CURLcode rc, const char *what, const char *name, struct sov_error *err)
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

enum sov_code
sftp_commands(struct sftp *s, const char *const *list, int n, CURLcode *rc, bool *missing, struct sov_error *err)
{
	struct sftp_transfer t = {.net = s->net};
	struct curl_slist *quote = NULL;
	char		url[1000],
				root[700];
	enum sov_code code;

	*missing = false;
	snprintf(root, sizeof root, "%s/", s->root);
	for (int attempt = 0;; attempt++)
	{
		t.conn = sftp_begin(s, root, url, sizeof url, err);
		if (t.conn == NULL)
			return SOV_E_NOMEM;
		for (int i = 0; i < n; i++)
			quote = curl_slist_append(quote, list[i]);
		curl_easy_setopt(t.conn->easy, CURLOPT_QUOTE, quote);
		curl_easy_setopt(t.conn->easy, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(t.conn->easy, CURLOPT_WRITEDATA, &t);
		*rc = sftp_perform(s, t.conn);
		code = *rc == CURLE_OK ? SOV_OK : sftp_fail(t.conn, *rc, "change", "the folder", err);
		*missing = *rc == CURLE_QUOTE_ERROR && strstr(t.conn->message, "No such file") != NULL;
		sov_net_give(s->net, t.conn);
		curl_slist_free_all(quote);
		quote = NULL;
		if (!sftp_lost(*rc) || attempt > 0)
			return code;
	}
}

enum sov_code
sftp_not_found(const char *name, struct sov_error *err)
{
	return sov_fail(err, SOV_E_NOTFOUND, NULL, "object \"%s\" does not exist", name);
}
