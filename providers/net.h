/*
 * net.h - what the adapters that use the network share: their common settings,
 * their credentials, and a pool of libcurl handles.
 *
 * One struct sov_net belongs to one provider.  Each request takes a handle from
 * the pool and gives it back; a handle keeps its connection, so that as many
 * connections stay open as requests ran at once.  Names and TLS sessions are
 * shared between the handles.
 */
#ifndef NET_H
#define NET_H

#include <curl/curl.h>

#include "sov_config.h"
#include "sov_provider.h"

/* Settings of every adapter of the network, for its table of keys. */
#define SOV_NET_KEYS \
	{.name = "endpoint", .kind = SOV_KEY_TEXT, .required = true, .example = "https://storage.example.eu"}, \
	{.name = "prefix", .kind = SOV_KEY_TEXT, .example = "backups/main"}, \
	{.name = "credentials-file", .kind = SOV_KEY_SECRET, .required = true, .example = "/etc/pg_sovereign/NAME.cred"}, \
	{.name = "proxy", .kind = SOV_KEY_TEXT, .example = "http://proxy.example.eu:3128"}, \
	{.name = "connect-to", .kind = SOV_KEY_TEXT, .example = "127.0.0.1:8443"}, \
	{.name = "connect-timeout", .kind = SOV_KEY_DURATION, .example = "10s", .min = 1, .max = 300}, \
	{.name = "stall-timeout", .kind = SOV_KEY_DURATION, .example = "30s", .min = 1, .max = 600}, \
	{.name = "timeout", .kind = SOV_KEY_DURATION, .example = "10min", .min = 1, .max = 86400}, \
	{.name = "retries", .kind = SOV_KEY_NUMBER, .example = "3", .min = 0, .max = 10}, \
	{.name = "max-rate", .kind = SOV_KEY_SIZE, .example = "20MB", .min = 1024, .max = (uint64_t) 1 << 40}, \
	{.name = "parallel", .kind = SOV_KEY_NUMBER, .example = "4", .min = 1, .max = 64}

/* One handle and what libcurl said last. */
struct sov_conn
{
	CURL	   *easy;
	char		message[CURL_ERROR_SIZE];
	struct sov_conn *next;
};

struct sov_net;

extern enum sov_code sov_net_open(const struct sov_provider_config *cfg, struct sov_net **out, struct sov_error *err);
extern void sov_net_close(struct sov_net *net);

/* A handle with the common settings and nothing else. */
extern struct sov_conn *sov_net_take(struct sov_net *net, struct sov_error *err);
extern void sov_net_give(struct sov_net *net, struct sov_conn *conn);
/* Perform, and count what it cost. */
extern CURLcode sov_net_perform(struct sov_net *net, struct sov_conn *conn);
/* Wait until n bytes, or the smaller number that is returned, may pass under
 * max-rate, which all connections of the provider share. */
extern size_t sov_net_pace(struct sov_net *net, size_t n);
/* The error record of a transfer that failed in libcurl. */
extern enum sov_code sov_net_fail(struct sov_conn *conn, CURLcode rc, const char *what, struct sov_error *err);

extern int	sov_net_retries(const struct sov_net *net);
extern int	sov_net_parallel(const struct sov_net *net);
/* The endpoint without a slash at its end; "https://host:port/path". */
extern const char *sov_net_endpoint(const struct sov_net *net);
/* The prefix of all object names: "" or "text/". */
extern const char *sov_net_prefix(const struct sov_net *net);
/* A value of the credentials file, in locked memory, or NULL. */
extern const char *sov_net_secret(const struct sov_net *net, const char *name);
/* The same, with an error when it is missing. */
extern enum sov_code sov_net_need(const struct sov_net *net, const char *name, const char **value, struct sov_error *err);
/* True when text holds one of the secrets; then it may not be shown. */
extern bool sov_net_leaks(const struct sov_net *net, const char *text);

/* Of this process, for tests and benchmarks. */
struct sov_net_counters
{
	uint64_t	requests,
				connections;
};
extern void sov_net_counters(struct sov_net_counters *c);

/* Read settings; the defaults where they are not given. */
extern const char *sov_option_text(const struct sov_provider_config *cfg, const char *name, const char *fallback);
extern uint64_t sov_option_number(const struct sov_provider_config *cfg, const char *name, uint64_t fallback);
extern uint64_t sov_option_size(const struct sov_provider_config *cfg, const char *name, uint64_t fallback);
extern uint64_t sov_option_duration(const struct sov_provider_config *cfg, const char *name, uint64_t fallback);
extern bool sov_option_bool(const struct sov_provider_config *cfg, const char *name, bool fallback);

/* SOV_E_CONFIG with the setting's name, unless text has 1 to max of the
 * characters that need no encoding in a URL's path. */
extern enum sov_code sov_option_plain(const char *name, const char *text, size_t max, struct sov_error *err);

/* credentials.c: "name = value" lines of a file that only its owner reads.
 * The result is locked memory of name, NUL, value, NUL ..., NUL. */
extern enum sov_code sov_credentials_read(const char *path, char **out, struct sov_error *err);
extern enum sov_code sov_credentials_parse(char *text, size_t len, const char *path, struct sov_error *err);
extern const char *sov_credentials_get(const char *list, const char *name);

#endif
