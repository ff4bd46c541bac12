/*
 * net.c - common settings, credentials and the pool of libcurl handles.
 *
 * Invariants: certificates are always verified; no redirect is followed; no
 * proxy, netrc or other setting is taken from the environment; every wait has
 * an end (connect-timeout, stall-timeout, timeout).
 *
 * libcurl keeps copies of what a request sends, also of credentials, in its own
 * memory for as long as the request lasts; our copies are wiped.
 */
#include "net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sov_secret.h"
#include "sov_stop.h"
#include "sov_text.h"

#define STALL_BYTES 4096		/* slower than this for stall-timeout is dead */
#define BUFFER_BYTES 262144

struct sov_net
{
	char		endpoint[512];
	char		prefix[128];
	char		proxy[256];
	char		ca_file[1024];
	char		connect_to[300];	/* "::HOST:PORT" or "" */
	long		connect_timeout,
				stall_timeout,
				timeout;
	uint64_t	max_rate;
	int			retries,
				parallel;
	char	   *secrets;		/* credentials.c */
	struct curl_slist *connect_list;
	CURLSH	   *share;
	pthread_mutex_t share_lock[CURL_LOCK_DATA_LAST];
	int64_t		free_at_us;		/* pace: when the next byte may go */
	pthread_mutex_t lock;		/* of idle and free_at_us */
	struct sov_conn *idle;
};

static _Atomic uint64_t total_requests,
			total_connections;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_rc;

/* --- settings --- */

const char *
sov_option_text(const struct sov_provider_config *cfg, const char *name, const char *fallback)
{
	const char *value = sov_provider_config_get(cfg, name, NULL);

	return value != NULL ? value : fallback;
}

uint64_t
sov_option_number(const struct sov_provider_config *cfg, const char *name, uint64_t fallback)
{
	const char *value = sov_provider_config_get(cfg, name, NULL);

	return value != NULL ? strtoull(value, NULL, 10) : fallback;
}

uint64_t
sov_option_size(const struct sov_provider_config *cfg, const char *name, uint64_t fallback)
{
	const char *value = sov_provider_config_get(cfg, name, NULL);
	uint64_t	n;

	return value != NULL && sov_parse_size(value, &n) ? n : fallback;
}

uint64_t
sov_option_duration(const struct sov_provider_config *cfg, const char *name, uint64_t fallback)
{
	const char *value = sov_provider_config_get(cfg, name, NULL);
	uint64_t	n;

	return value != NULL && sov_parse_duration(value, &n) ? n : fallback;
}

bool
sov_option_bool(const struct sov_provider_config *cfg, const char *name, bool fallback)
{
	const char *value = sov_provider_config_get(cfg, name, NULL);

	return value != NULL ? strcmp(value, "yes") == 0 : fallback;
}

enum sov_code
sov_option_plain(const char *name, const char *text, size_t max, struct sov_error *err)
{
	size_t		n = strlen(text);

	if (n > 0 && n <= max && strstr(text, "..") == NULL && strstr(text, "//") == NULL && text[0] != '/' &&
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-") == n)
		return SOV_OK;
	return sov_fail(err, SOV_E_CONFIG, "letters, digits and . _ - are allowed, and / between parts",
					"\"%s\" has characters that are not allowed, or is longer than %zu", name, max);
}

static enum sov_code
read_endpoint(struct sov_net *net, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *url = sov_option_text(cfg, "endpoint", "");
	const char *host = strstr(url, "://");
	size_t		n = strlen(url);

	if (host == NULL || host[3] == '\0' || host[3] == '/' || n >= sizeof net->endpoint || strpbrk(url, " \"<>\\?#") != NULL)
		return sov_fail(err, SOV_E_CONFIG, "for example: endpoint = https://storage.example.eu",
						"\"endpoint\" is not the address of a service");
	if (strchr(url, '@') != NULL)
		return sov_fail(err, SOV_E_CONFIG, "put user and password into the credentials file", "\"endpoint\" holds a user's name");
	if (strncmp(url, "http://", 7) == 0 && !sov_option_bool(cfg, "allow-http", false))
		return sov_fail(err, SOV_E_CONFIG, "use https://; allow-http = yes is for a network that nobody else can read",
						"\"endpoint\" would send credentials in the clear");
	while (n > 0 && url[n - 1] == '/')
		n--;
	memcpy(net->endpoint, url, n);
	net->endpoint[n] = '\0';
	return SOV_OK;
}

static enum sov_code
read_prefix(struct sov_net *net, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *prefix = sov_option_text(cfg, "prefix", "");
	size_t		n = strlen(prefix);
	enum sov_code rc;

	if (n == 0)
		return SOV_OK;
	rc = sov_option_plain("prefix", prefix, 100, err);
	if (rc == SOV_OK)
		snprintf(net->prefix, sizeof net->prefix, "%s%s", prefix, prefix[n - 1] == '/' ? "" : "/");
	return rc;
}

static enum sov_code
read_settings(struct sov_net *net, const struct sov_provider_config *cfg, struct sov_error *err)
{
	const char *to = sov_option_text(cfg, "connect-to", "");
	enum sov_code rc = read_endpoint(net, cfg, err);

	if (rc == SOV_OK)
		rc = read_prefix(net, cfg, err);
	if (rc != SOV_OK)
		return rc;
	snprintf(net->proxy, sizeof net->proxy, "%s", sov_option_text(cfg, "proxy", ""));
	if (strchr(net->proxy, '@') != NULL)
		return sov_fail(err, SOV_E_CONFIG, "put proxy-user and proxy-password into the credentials file", "\"proxy\" holds a user's name");
	snprintf(net->ca_file, sizeof net->ca_file, "%s", sov_option_text(cfg, "ca-file", ""));
	if (to[0] != '\0')
		snprintf(net->connect_to, sizeof net->connect_to, "::%s", to);
	net->connect_timeout = (long) sov_option_duration(cfg, "connect-timeout", 10);
	net->stall_timeout = (long) sov_option_duration(cfg, "stall-timeout", 30);
	net->timeout = (long) sov_option_duration(cfg, "timeout", 600);
	net->max_rate = sov_option_size(cfg, "max-rate", 0);
	net->retries = (int) sov_option_number(cfg, "retries", 3);
	net->parallel = (int) sov_option_number(cfg, "parallel", 4);
	return SOV_OK;
}

int
sov_net_retries(const struct sov_net *net)
{
	return net->retries;
}

int
sov_net_parallel(const struct sov_net *net)
{
	return net->parallel;
}

const char *
sov_net_endpoint(const struct sov_net *net)
{
	return net->endpoint;
}

const char *
sov_net_prefix(const struct sov_net *net)
{
	return net->prefix;
}

/* --- credentials --- */

const char *
sov_net_secret(const struct sov_net *net, const char *name)
{
	return sov_credentials_get(net->secrets, name);
}

enum sov_code
sov_net_need(const struct sov_net *net, const char *name, const char **value, struct sov_error *err)
{
	char		hint[200];

	*value = sov_net_secret(net, name);
	if (*value != NULL)
		return SOV_OK;
	snprintf(hint, sizeof hint, "add a line: %s = ...", name);
	return sov_fail(err, SOV_E_CONFIG, hint, "the credentials file has no \"%s\"", name);
}

bool
sov_net_leaks(const struct sov_net *net, const char *text)
{
	for (const char *p = net->secrets; p != NULL && *p != '\0';)
	{
		const char *value = p + strlen(p) + 1;

		if (strlen(value) > 3 && strstr(text, value) != NULL)
			return true;
		p = value + strlen(value) + 1;
	}
	return false;
}

/* --- the pool --- */

static void
global_init(void)
{
	global_rc = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void
share_take(CURL *easy, curl_lock_data data, curl_lock_access access, void *user)
{
	pthread_mutex_lock(&((struct sov_net *) user)->share_lock[data]);
}

static void
share_give(CURL *easy, curl_lock_data data, void *user)
{
	pthread_mutex_unlock(&((struct sov_net *) user)->share_lock[data]);
}

enum sov_code
sov_net_open(const struct sov_provider_config *cfg, struct sov_net **out, struct sov_error *err)
{
	struct sov_net *net = calloc(1, sizeof *net);
	const char *credentials = sov_option_text(cfg, "credentials-file", "");
	enum sov_code rc;

	*out = NULL;
	pthread_once(&once, global_init);
	if (net == NULL || global_rc != CURLE_OK || (net->share = curl_share_init()) == NULL)
	{
		free(net);
		return sov_fail(err, SOV_E_NOMEM, NULL, "could not start libcurl");
	}
	pthread_mutex_init(&net->lock, NULL);
	for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_init(&net->share_lock[i], NULL);
	curl_share_setopt(net->share, CURLSHOPT_LOCKFUNC, share_take);
	curl_share_setopt(net->share, CURLSHOPT_UNLOCKFUNC, share_give);
	curl_share_setopt(net->share, CURLSHOPT_USERDATA, net);
	curl_share_setopt(net->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	curl_share_setopt(net->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	rc = read_settings(net, cfg, err);
	if (rc == SOV_OK && credentials[0] != '\0')
		rc = sov_credentials_read(credentials, &net->secrets, err);
	if (rc == SOV_OK && net->connect_to[0] && (net->connect_list = curl_slist_append(NULL, net->connect_to)) == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc != SOV_OK)
	{
		sov_net_close(net);
		return rc;
	}
	*out = net;
	return SOV_OK;
}

void
sov_net_close(struct sov_net *net)
{
	struct sov_conn *c;

	if (net == NULL)
		return;
	while ((c = net->idle) != NULL)
	{
		net->idle = c->next;
		curl_easy_cleanup(c->easy);
		free(c);
	}
	curl_share_cleanup(net->share);
	curl_slist_free_all(net->connect_list);
	pthread_mutex_destroy(&net->lock);
	for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
		pthread_mutex_destroy(&net->share_lock[i]);
	sov_secret_free(net->secrets);
	free(net);
}

/* Also called about once a second while nothing moves. */
static int
on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	return sov_stopped();
}

static void
set_common(struct sov_net *net, struct sov_conn *c)
{
	CURL	   *e = c->easy;
	long		stall_bytes = STALL_BYTES;

	/* all connections share the rate */
	if (net->max_rate > 0 && net->max_rate / 4 / (uint64_t) net->parallel < STALL_BYTES)
		stall_bytes = (long) (net->max_rate / 4 / (uint64_t) net->parallel) + 1;
	c->message[0] = '\0';
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->message);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_SHARE, net->share);
	curl_easy_setopt(e, CURLOPT_PROXY, net->proxy);
	curl_easy_setopt(e, CURLOPT_NOPROXY, "");
	if (sov_net_secret(net, "proxy-user") != NULL)
		curl_easy_setopt(e, CURLOPT_PROXYUSERNAME, sov_net_secret(net, "proxy-user"));
	if (sov_net_secret(net, "proxy-password") != NULL)
		curl_easy_setopt(e, CURLOPT_PROXYPASSWORD, sov_net_secret(net, "proxy-password"));
	if (net->connect_list != NULL)
		curl_easy_setopt(e, CURLOPT_CONNECT_TO, net->connect_list);
	if (net->ca_file[0] != '\0')
	{
		curl_easy_setopt(e, CURLOPT_CAINFO, net->ca_file);
		curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	}
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, net->connect_timeout);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, stall_bytes);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, net->stall_timeout);
	curl_easy_setopt(e, CURLOPT_TIMEOUT, net->timeout);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long) BUFFER_BYTES);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long) BUFFER_BYTES);
}

size_t
sov_net_pace(struct sov_net *net, size_t n)
{
	struct timespec ts;
	int64_t		now,
				start;

	if (net->max_rate == 0 || n == 0)
		return n;
	if (n > net->max_rate / 4)
		n = net->max_rate / 4;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	pthread_mutex_lock(&net->lock);
	start = net->free_at_us > now ? net->free_at_us : now;
	net->free_at_us = start + (int64_t) (n * 1000000 / net->max_rate);
	pthread_mutex_unlock(&net->lock);
	ts.tv_sec = (start - now) / 1000000;
	ts.tv_nsec = (start - now) % 1000000 * 1000;
	nanosleep(&ts, NULL);
	return n;
}

struct sov_conn *
sov_net_take(struct sov_net *net, struct sov_error *err)
{
	struct sov_conn *c;

	pthread_mutex_lock(&net->lock);
	if ((c = net->idle) != NULL)
		net->idle = c->next;
	pthread_mutex_unlock(&net->lock);
	if (c == NULL && ((c = calloc(1, sizeof *c)) == NULL || (c->easy = curl_easy_init()) == NULL))
	{
		free(c);
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		return NULL;
	}
	curl_easy_reset(c->easy);	/* connections stay */
	set_common(net, c);
	return c;
}

void
sov_net_give(struct sov_net *net, struct sov_conn *conn)
{
	curl_easy_reset(conn->easy);	/* forgets credentials */
	pthread_mutex_lock(&net->lock);
	conn->next = net->idle;
	net->idle = conn;
	pthread_mutex_unlock(&net->lock);
}

CURLcode
sov_net_perform(struct sov_net *net, struct sov_conn *conn)
{
	CURLcode	rc = curl_easy_perform(conn->easy);
	long		connects = 0;

	curl_easy_getinfo(conn->easy, CURLINFO_NUM_CONNECTS, &connects);
	atomic_fetch_add(&total_requests, 1);
	atomic_fetch_add(&total_connections, (uint64_t) connects);
	return rc;
}

void
sov_net_counters(struct sov_net_counters *c)
{
	c->requests = atomic_load(&total_requests);
	c->connections = atomic_load(&total_connections);
}

enum sov_code
sov_net_fail(struct sov_conn *conn, CURLcode rc, const char *what, struct sov_error *err)
{
	const char *hint = NULL;
	bool		retryable = true;
	long		proxy = 0;

	/* of a proxy that is to lead on to an encrypted connection */
	curl_easy_getinfo(conn->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
	if (proxy == 407)
		hint = "the proxy wants proxy-user and proxy-password in the credentials file";
	switch (rc)
	{
		case CURLE_OUT_OF_MEMORY:
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			hint = "the server's certificate is not one that this host trusts: give its authority with ca-file = FILE, or correct \"endpoint\"";
			retryable = false;
			break;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
			hint = "is \"endpoint\" right, and does this host reach it?";
			break;
		case CURLE_OPERATION_TIMEDOUT:
			hint = "stall-timeout and timeout in the provider's section say how long to wait";
			break;
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_URL_MALFORMAT:
			hint = "correct \"endpoint\"";
			retryable = false;
			break;
		default:
			break;
	}
	sov_fail(err, SOV_E_PROVIDER, hint, "%s: %s", what, conn->message[0] ? conn->message : curl_easy_strerror(rc));
	if (err != NULL)
		err->retryable = retryable;
	return SOV_E_PROVIDER;
}
