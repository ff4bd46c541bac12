/*
 * custodian_service.c - URIs of custodians that are services on a network.
 *
 *   vault:https://HOST[:PORT]/MOUNT/keys/NAME?token-file=/F[&ca-file=/F][&namespace=N]
 *   kmip:HOST[:PORT]/NAME?cert-file=/F&key-file=/F[&ca-file=/F]
 *
 * Secrets stand in the files that it names, never in the URI, which is part of the
 * configuration and of the helper's arguments.  What is taken here needs no encoding
 * in a URL or in JSON.  Nothing is opened, so that the server can check a URI.
 */
#include "custodian_int.h"
#include "sov_credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

struct parameter
{
	const char *name;
	size_t		at;				/* in struct sov_custodian_service, SOV_SERVICE_TEXT bytes */
	char		of;				/* 'v' vault, 'k' kmip, '*' both */
	bool		file,
				required;
};

#define MEMBER(m) offsetof(struct sov_custodian_service, m)
static const struct parameter parameters[] = {
	{"token-file", MEMBER(token_file), 'v', true, true},
	{"namespace", MEMBER(namespace), 'v', false, false},
	{"cert-file", MEMBER(cert_file), 'k', true, true},
	{"key-file", MEMBER(key_file), 'k', true, true},
	{"ca-file", MEMBER(ca_file), '*', true, false},
};
#define N_PARAMETERS ((int) (sizeof parameters / sizeof parameters[0]))

static enum sov_code
bad(const struct sov_custodian_service *s, struct sov_error *err, const char *what)
{
	return sov_fail(err, SOV_E_CONFIG,
					s->vault ? "for example: vault:https://vault.example.org:8200/transit/keys/pg-root?token-file=/etc/pg_sovereign/vault.token"
					: "for example: kmip:kms.example.org:5696/pg-root?cert-file=/etc/pg_sovereign/kmip.crt&key-file=/etc/pg_sovereign/kmip.key&ca-file=/etc/pg_sovereign/kmip-ca.pem",
					"the custodian's URI %s", what);
}

/* len bytes of text into dst, when they are of these characters alone. */
static bool
take(char *dst, size_t cap, const char *text, size_t len, const char *allowed)
{
	if (len == 0 || len >= cap)
		return false;
	memcpy(dst, text, len);
	dst[len] = '\0';
	return strspn(dst, allowed) == len && strstr(dst, "..") == NULL && strstr(dst, "//") == NULL;
}

/* "host", "host:port", "[::1]:port" */
static bool
take_host(struct sov_custodian_service *s, const char *text, size_t len)
{
	const char *end = text + len,
			   *colon;

	if (text[0] == '[')
		colon = memchr(text, ']', len) ? (const char *) memchr(text, ']', len) + 1 : end;
	else
		colon = memchr(text, ':', len) ? memchr(text, ':', len) : end;
	snprintf(s->port, sizeof s->port, "%s", s->vault ? "8200" : "5696");
	if (!take(s->host, sizeof s->host, text, (size_t) (colon - text), text[0] == '[' ? "[]:0123456789abcdefABCDEF." : PLAIN))
		return false;
	return colon == end || (*colon == ':' && take(s->port, sizeof s->port, colon + 1, (size_t) (end - colon - 1), "0123456789"));
}

/* "MOUNT/keys/NAME" as Vault has it, also as it stands in the API; of KMIP "NAME". */
static bool
take_key(struct sov_custodian_service *s, const char *path, size_t len)
{
	const char *end = path + len,
			   *name = path;

	if (s->vault)
	{
		if (len > 3 && strncmp(path, "v1/", 3) == 0)
			path += 3;
		for (name = end; name > path && name[-1] != '/'; name--)
			;
		if (name - path < 7 || strncmp(name - 6, "/keys/", 6) != 0 ||
			!take(s->mount, sizeof s->mount, path, (size_t) (name - 6 - path), PLAIN "/") || s->mount[0] == '/')
			return false;
	}
	return take(s->key, sizeof s->key, name, (size_t) (end - name), PLAIN);
}

static enum sov_code
take_parameter(struct sov_custodian_service *s, const char *text, size_t len, struct sov_error *err)
{
	for (int i = 0; i < N_PARAMETERS; i++)
	{
		const struct parameter *p = &parameters[i];
		size_t		n = strlen(p->name);
		char	   *dst = (char *) s + p->at;

		if (len <= n || text[n] != '=' || strncmp(text, p->name, n) != 0 || (p->of != '*' && p->of != (s->vault ? 'v' : 'k')))
			continue;
		if (dst[0] != '\0' || !take(dst, SOV_SERVICE_TEXT, text + n + 1, len - n - 1, p->file ? PLAIN "/:" : PLAIN "/") || (p->file && !sov_secret_file_ok(dst)))
			return bad(s, err, p->file ? "names a file that is no absolute path of letters, digits and . _ -, and no credential, or names it twice" : "has a namespace that is none, or two");
		return SOV_OK;
	}
	/* the value could be a token: it is not shown */
	return bad(s, err, "has a parameter that is not known; secrets stand in files, never in it");
}

enum sov_code
sov_custodian_service(const char *uri, struct sov_custodian_service *s, struct sov_error *err)
{
	const char *at = strchr(uri, ':') + 1;
	size_t		query = strcspn(at, "?");
	const char *p = at + query;
	enum sov_code rc = SOV_OK;

	memset(s, 0, sizeof *s);
	s->vault = strncmp(uri, "vault:", 6) == 0;
	if (s->vault && strncmp(at, "https://", 8) != 0)
		return bad(s, err, "does not begin with vault:https://");
	at += s->vault ? 8 : 0;
	if (!s->vault && strncmp(at, "//", 2) == 0)
		at += 2;
	query = (size_t) (p - at);
	if (at > p || memchr(at, '/', query) == NULL || !take_host(s, at, strcspn(at, "/")))
		return bad(s, err, "names no host, or a port that is none");
	at += strcspn(at, "/") + 1;
	if (!take_key(s, at, (size_t) (p - at)))
		return bad(s, err, s->vault ? "names no key as MOUNT/keys/NAME" : "names no key");
	while (rc == SOV_OK && *p != '\0')
	{
		p++;
		rc = take_parameter(s, p, strcspn(p, "&"), err);
		p += strcspn(p, "&");
	}
	for (int i = 0; i < N_PARAMETERS && rc == SOV_OK; i++)
		if (parameters[i].required && parameters[i].of == (s->vault ? 'v' : 'k') && ((char *) s)[parameters[i].at] == '\0')
			rc = bad(s, err, s->vault ? "names no token-file" : "names no cert-file or no key-file");
	return rc;
}

enum sov_code
sov_custodian_service_files(struct sov_custodian_service *s, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < N_PARAMETERS && rc == SOV_OK; i++)
	{
		char	   *file = (char *) s + parameters[i].at,
					name[SOV_SERVICE_TEXT];

		if (!parameters[i].file || file[0] == '\0')
			continue;
		snprintf(name, sizeof name, "%s", file);
		rc = sov_secret_file_path(name, file, SOV_SERVICE_TEXT, err);
	}
	return rc;
}

/* --- how it is reached --- */

/* Short, so that the helper can tell what happened before it is given up: an open asks
 * Vault twice, and a third time when it is refused. */
#define CONNECT_S "3"
#define TIMEOUT_S "4"

enum sov_code
sov_custodian_service_settings(const struct sov_custodian_service *s, struct sov_provider_config **out, struct sov_error *err)
{
	struct sov_provider_config *cfg = *out = calloc(1, sizeof *cfg);
	char		endpoint[300];

	if (cfg == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(endpoint, sizeof endpoint, "https://%s:%s", s->host, s->port);
	if (!sov_provider_config_set(cfg, "endpoint", endpoint, 0) || !sov_provider_config_set(cfg, "retries", "0", 0) ||
		!sov_provider_config_set(cfg, "connect-timeout", CONNECT_S, 0) || !sov_provider_config_set(cfg, "timeout", TIMEOUT_S, 0) ||
		(s->ca_file[0] != '\0' && !sov_provider_config_set(cfg, "ca-file", s->ca_file, 0)))
		return sov_fail(err, SOV_E_CONFIG, NULL, "the custodian's URI is too long");
	return SOV_OK;
}

/* What to do, from what libcurl says happened. */
static const char *
advice(const struct sov_error *err)
{
	static const struct { const char *said, *hint; } table[] = {
		{"certificate has expired", "the certificate of the service has expired: its operator has to renew it (or is this host's clock wrong?)"},
		{"private key", "key-file must hold, as PEM and without a passphrase, the private key of the certificate in cert-file"},
		{"client certificate", "cert-file and key-file must hold, as PEM and without a passphrase, a certificate and its private key"},
		{"alert", "the service does not accept the client's certificate (cert-file): is it issued by an authority that it trusts? Its log says why"},
		{"bad certificate", "the service does not accept the client's certificate (cert-file)"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (strstr(err->message, table[i].said) != NULL)
			return table[i].hint;
	if (strstr(err->hint, "certificate") != NULL)
		return "the certificate is not one that this host trusts: name its authority by ca-file=/FILE in the URI, or correct the host's name";
	return "is the address right, does the service run, and does this host reach it? When it is back, work goes on by itself";
}

/* Only what a service says that has proven who it is can be its refusal, which takes keys
 * away at once: a certificate that does not fit, or an alert, may be somebody's in between. */
enum sov_code
sov_custodian_unreachable(const struct sov_custodian_service *s, struct sov_error *err)
{
	struct sov_error was = *err;

	if (was.code != SOV_E_PROVIDER)
		return was.code;
	sov_fail(err, SOV_E_KEY, advice(&was), "%s %s:%s: %.500s", s->vault ? "Vault at" : "KMIP server", s->host, s->port, was.message);
	err->retryable = true;
	return SOV_E_KEY;
}

enum sov_code
sov_custodian_rubbish(const struct sov_custodian_service *s, struct sov_error *err)
{
	sov_fail(err, SOV_E_KEY, s->vault ? "is it Vault, or OpenBao, that answers at this address?" : "is it a KMIP server that answers at this address?",
			 "%s %s:%s answers something that is not of its protocol", s->vault ? "Vault at" : "KMIP server", s->host, s->port);
	err->retryable = true;
	return SOV_E_KEY;
}

/* --- where it may not be --- */

/* The host of "https://host:port/path" is this one. */
static bool
is_host(const char *url, const char *host)
{
	const char *at = strstr(url, "://");
	size_t		n = strlen(host);

	at = at ? at + 3 : url;
	return strncasecmp(at, host, n) == 0 && (at[n] == '\0' || at[n] == ':' || at[n] == '/');
}

/* The endpoint of a vendor of the catalogue and the host are of one domain, which is the
 * vendor's: "s3.gra.io.cloud.ovh.net" and "okms.ovh.net". */
static bool
is_vendors(const char *url, const char *host)
{
	const char *at = strstr(url, "://"),
			   *end,
			   *site;
	size_t		len,
				n = strlen(host);
	int			dots = 0;

	at = at ? at + 3 : url;
	end = at + strcspn(at, ":/");
	for (site = end; site > at; site--)
		if (site[-1] == '.' && ++dots == 2)
			break;
	len = (size_t) (end - site);
	return dots == 2 && n > len && strncasecmp(host + n - len, site, len) == 0 && host[n - len - 1] == '.' && strspn(site, "0123456789.") < len;
}

enum sov_code
sov_custodian_check_host(const struct sov_config *cfg, const char *uri, const char *name, int line, struct sov_error *err)
{
	struct sov_custodian_service s;
	char		hint[120];
	enum sov_code rc = sov_custodian_service(uri, &s, err);

	for (int i = 0; i < cfg->n_providers && rc == SOV_OK; i++)
	{
		const struct sov_provider_config *p = &cfg->providers[i];
		const char *endpoint = sov_provider_config_get(p, "endpoint", NULL);
		bool		same = endpoint != NULL && is_host(endpoint, s.host);

		if (same || (endpoint != NULL && p->preset[0] != '\0' && p->state == SOV_PROVIDER_ACTIVE && is_vendors(endpoint, s.host)))
		{
			snprintf(hint, sizeof hint, "let somebody else keep the root key, and change \"%s\" in [custody]", name);
			rc = sov_fail(err, SOV_E_CONFIG, hint, "%.150s:%d: the custodian is on the %s of provider \"%s\" (%s): whoever stores must not hold the key",
						  cfg->file, line, same ? "host" : "domain", p->name, s.host);
		}
	}
	return rc;
}
