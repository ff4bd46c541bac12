/*
 * remote.h - the rows of the conformance suite for providers behind a network:
 * they come from a configuration file (SOV_PROVIDERS) that a script of
 * test/servers wrote.  Each is reached through a relay, so that it can vanish.
 */
#ifndef REMOTE_H
#define REMOTE_H

#include <fcntl.h>

#include "../../providers/net.h"
#include "../../providers/store.h"
#include "relay.h"
#include "sov_secret.h"

static struct relay relay;
static _Atomic long skew_s;		/* seconds that this program's clock is ahead */

/* The adapters' clock. */
time_t
time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL)
		*t = ts.tv_sec + skew_s;
	return ts.tv_sec + skew_s;
}

/* A copy of the section with one setting changed. */
static struct sov_provider_config
changed(const struct sov_provider_config *cfg, const char *name, const char *value)
{
	struct sov_provider_config c = *cfg;
	bool		done = false;

	c.n_options = 0;
	c.text_used = 0;
	for (int i = 0; i < cfg->n_options; i++)
	{
		const char *n = cfg->text + cfg->options[i].name;
		bool		hit = strcmp(n, name) == 0;

		done = done || hit;
		sov_provider_config_set(&c, n, hit ? value : cfg->text + cfg->options[i].value, cfg->options[i].line);
	}
	if (!done)
		sov_provider_config_set(&c, name, value, 0);
	return c;
}

static bool
remote_prepare(struct sov_provider_config *cfg)
{
	const char *to = sov_provider_config_get(cfg, "connect-to", NULL);
	const char *endpoint = sov_provider_config_get(cfg, "endpoint", NULL);
	const char *colon;
	char		text[64];

	relay.target = 0;
	if (strstr(cfg->name, "keystone"))
		return true;			/* two servers: the relay leads to one */
	if (to == NULL)
		to = strstr(endpoint, "://") + 3;
	colon = strrchr(to, ':');
	if (colon == NULL || !relay_start(&relay, atoi(colon + 1)))
		return false;
	snprintf(text, sizeof text, "127.0.0.1:%d", relay.port);
	*cfg = changed(cfg, "connect-to", text);
	return true;
}

static bool
remote_vanish(const struct sov_provider_config *cfg)
{
	if (relay.target == 0)
		return false;
	relay.down = true;
	usleep(150000);
	return true;
}

static bool
remote_comeback(const struct sov_provider_config *cfg)
{
	relay.down = false;
	return true;
}

static void
remote_cleanup(const struct sov_provider_config *cfg)
{
	relay.down = true;
	if (relay.target != 0)
		shutdown(relay.listener, SHUT_RDWR);
}

/* The message and the hint hold none of the credentials. */
static bool
quiet(const char *secrets, const struct sov_error *e)
{
	for (const char *p = secrets; *p;)
	{
		const char *value = p + strlen(p) + 1;

		if (strlen(value) > 3 && (strstr(e->message, value) || strstr(e->hint, value)))
			return false;
		p = value + strlen(value) + 1;
	}
	return true;
}

/* Write credentials again, the named one spoilt. */
static void
spoil(const char *secrets, const char *file, const char *name)
{
	int			fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FILE	   *f = fdopen(fd, "w");

	for (const char *p = secrets; *p;)
	{
		const char *value = p + strlen(p) + 1;
		size_t		n = strlen(value);

		if (strcmp(p, name) == 0 && n > 8)	/* other letters in the middle: still base64 */
			fprintf(f, "%s = %.*s%c%s\n", p, (int) n / 2, value, value[n / 2] == 'x' ? 'y' : 'x', value + n / 2 + 1);
		else if (strcmp(p, name) == 0)
			fprintf(f, "%s = %sx\n", p, value);
		else
			fprintf(f, "%s = %s\n", p, value);
		p = value + n + 1;
	}
	fclose(f);
}

/* It may not be opened; a sure mistake says so, quietly, with a hint. */
static void
refused(const struct sov_provider_config *cfg, const char *secrets, const char *what)
{
	struct sov_provider *p = NULL;
	enum sov_code rc = sov_provider_open(cfg, &p, &err);

	ok((rc == SOV_E_PROVIDER || rc == SOV_E_CONFIG) && p == NULL && !err.retryable && err.message[0] && err.hint[0] && quiet(secrets, &err), "%s: %s is told at once", scheme, what);
	printf("#   %s\n#   %s\n", err.message, err.hint);
	if (p != NULL)
		sov_provider_close(p);
}

static void
remote_credentials(const struct sov_provider_config *cfg)
{
	static const char *const names[] = {"secret-key", "access-key", "password", "account-key", "sas-token", "user", NULL};
	const char *file = sov_provider_config_get(cfg, "credentials-file", NULL);
	char		other[1100];
	struct sov_provider_config c;
	char	   *secrets;

	snprintf(other, sizeof other, "%s.other", file);
	if (!ok_rc(sov_credentials_read(file, &secrets, &err), err, "%s: credentials", scheme))
		return;
	c = changed(cfg, "credentials-file", other);
	for (int i = 0; names[i]; i++)
		if (sov_credentials_get(secrets, names[i]) != NULL && strcmp(cfg->type, "sftp") != 0)
		{
			char		what[60];

			spoil(secrets, other, names[i]);
			snprintf(what, sizeof what, "a wrong %s", names[i]);
			refused(&c, secrets, what);
		}
	spoil(secrets, other, "");
	chmod(other, 0640);
	refused(&c, secrets, "a credentials file that others may read");
	unlink(other);
	refused(&c, secrets, "a missing credentials file");
	sov_secret_free(secrets);
}

/* --- by which way, and how fast --- */

static enum sov_code put_text(struct sov_provider *p, const char *name, const char *text, bool if_absent);
static bool range_is(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len, const char *text);

static bool
there_and_back(const struct sov_provider_config *cfg)
{
	struct sov_provider *p = NULL;
	bool		good;

	sov_error_clear(&err);
	good = sov_provider_open(cfg, &p, &err) == SOV_OK && put_text(p, "p/way", "abc", false) == SOV_OK &&
		range_is(p, "p/way", 0, UINT64_MAX, "abc");

	if (p != NULL)
		sov_provider_close(p);
	return good;
}

/* Through a proxy, to a server that is spoken to in secret. */
static void
remote_proxied(const struct sov_provider_config *cfg)
{
	static struct relay proxy;
	const char *file = sov_provider_config_get(cfg, "credentials-file", NULL);
	struct sov_provider_config c;
	struct sov_provider *p = NULL;
	char		other[1100],
				text[64];
	char	   *secrets;
	FILE	   *f;

	if (relay.target == 0 || strncmp(sov_provider_config_get(cfg, "endpoint", NULL), "http:", 5) == 0 ||
		!relay_start(&proxy, relay.target) || sov_credentials_read(file, &secrets, &err) != SOV_OK)
		return;
	proxy.proxy_for = "cHU6VE9QU0VDUkVU";	/* pu:TOPSECRET */
	snprintf(text, sizeof text, "http://127.0.0.1:%d", proxy.port);
	c = changed(cfg, "proxy", text);
	ok(sov_provider_open(&c, &p, &err) == SOV_E_PROVIDER && p == NULL && strstr(err.hint, "proxy-password"), "%s: a proxy that does not let us through is told: %s", scheme, err.hint);
	snprintf(other, sizeof other, "%s.proxy", file);
	spoil(secrets, other, "");
	f = fopen(other, "a");
	fprintf(f, "proxy-user = pu\nproxy-password = TOPSECRET\n");
	fclose(f);
	c = changed(&c, "credentials-file", other);
	ok(there_and_back(&c) && proxy.let_through > 0, "%s: by way of a proxy: %s", scheme, err.message);
	unlink(other);
	sov_secret_free(secrets);
	shutdown(proxy.listener, SHUT_RDWR);
}

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
remote_ways(const struct sov_provider_config *cfg)
{
	struct sov_provider_config c = changed(cfg, "max-rate", "400kB");
	struct sov_provider *p = NULL;
	struct sov_buf b = {0};
	struct sov_put_span span = {calloc(1, 300000), 300000};
	double		from;
	char		text[1100];

	remote_proxied(cfg);
	if (ok_rc(sov_provider_open(&c, &p, &err), err, "%s: with max-rate", scheme))
	{
		from = seconds_now();
		ok(sov_provider_put(p, "p/slowly", &span, 1, false, &err) == SOV_OK && seconds_now() - from > 0.4, "%s: put takes its time", scheme);
		from = seconds_now();
		ok(sov_provider_get(p, "p/slowly", 0, UINT64_MAX, &b, &err) == SOV_OK && b.len == span.len && seconds_now() - from > 0.4, "%s: get too", scheme);
		sov_provider_close(p);
	}
	sov_buf_free(&b);
	free((void *) span.data);
	if (strcmp(cfg->name, "nginx") != 0 && strcmp(cfg->name, "sshd") != 0)
		return;
	snprintf(text, sizeof text, "%s://[::1]:%d", strcmp(cfg->type, "sftp") == 0 ? "sftp" : "https", relay.target);
	c = changed(cfg, "connect-to", strstr(text, "[::1]"));
	if (strcmp(cfg->type, "sftp") == 0)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s", strchr(strstr(sov_provider_config_get(cfg, "endpoint", NULL), "://") + 3, '/'));
	c = changed(&c, "endpoint", text);
	ok(there_and_back(&c), "%s: over IPv6: %s", scheme, err.message);
}

static void
remote_special(const struct sov_provider_config *cfg)
{
	static const char *const places[] = {"bucket", "container", NULL};
	const char *region = sov_provider_config_get(cfg, "region", NULL);
	struct sov_provider_config c;
	struct sov_provider *p = NULL;

	remote_credentials(cfg);
	for (int i = 0; places[i]; i++)
		if (sov_provider_config_get(cfg, places[i], NULL) != NULL)
		{
			c = changed(cfg, places[i], "no-such-place");
			refused(&c, "", "a wrong bucket or container");
		}
	if (region != NULL && (strcmp(cfg->name, "swift-s3") == 0 || strcmp(cfg->name, "swift-keystone") == 0))
	{
		c = changed(cfg, "region", "nowhere-1");
		refused(&c, "", "a wrong region");
	}
	if (strcmp(cfg->type, "s3") == 0 || (strcmp(cfg->type, "azure") == 0 && strstr(cfg->name, "sas") == NULL))
	{
		skew_s = -3600;
		refused(cfg, "", "a clock that is an hour slow");
		skew_s = 0;
	}
	if (strcmp(cfg->name, "sshd") == 0)
	{
		char		wrong[1100];

		snprintf(wrong, sizeof wrong, "%s/wrong", getenv("HOME"));
		c = changed(cfg, "key-file", wrong);
		refused(&c, "", "a key that the server does not know");
		c = changed(cfg, "host-key-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
		refused(&c, "", "a server with another key");
		snprintf(wrong, sizeof wrong, "%s/known", getenv("HOME"));
		c = changed(cfg, "key-file", wrong);
		refused(&c, "", "a key file that others may read");
	}
	if (strcmp(cfg->name, "sshd-known") == 0)
	{
		c = changed(cfg, "known-hosts", "/dev/null");
		refused(&c, "", "a server that is not known");
	}
	if (sov_provider_config_get(cfg, "ca-file", NULL) != NULL)
	{
		c = changed(cfg, "ca-file", "/etc/ssl/certs/ca-certificates.crt");
		refused(&c, "", "a certificate of an authority that is not trusted");
	}
	ok_rc(sov_provider_open(cfg, &p, &err), err, "%s: and with all right it opens again", scheme);
	sov_provider_close(p);
	remote_ways(cfg);
}

#endif
