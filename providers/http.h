/*
 * http.h - one HTTP request and its reply, for the adapters that speak HTTP.
 */
#ifndef HTTP_H
#define HTTP_H

#include "net.h"

#define SOV_HTTP_KEYS \
	SOV_NET_KEYS, \
	{.name = "ca-file", .kind = SOV_KEY_PATH, .example = "/etc/pg_sovereign/NAME-ca.pem"}, \
	{.name = "allow-http", .kind = SOV_KEY_BOOL, .example = "no"}

#define SOV_HTTP_LINES 24

/* Header lines "Name: value", owned. */
struct sov_http_lines
{
	char	   *line[SOV_HTTP_LINES];
	int			n;
	bool		bad;			/* out of memory or of places */
};

extern void sov_http_add(struct sov_http_lines *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Wipes: lines may hold credentials. */
extern void sov_http_clear(struct sov_http_lines *l);

struct sov_http_reply
{
	int			status;
	struct sov_buf head;		/* "name: value\n", names in lower case */
	struct sov_buf body;		/* of what is not a success, bounded */
	int			attempts;		/* 1: sent once */
	bool		final,			/* the head that is read is not of an interim response, */
				over;			/* and is at its end: what comes are trailers */
};

struct sov_http_request
{
	const char *method;
	const char *url;			/* complete and encoded; may hold a credential */
	struct sov_http_lines lines;
	/* Called before every attempt to add lines that depend on the time or on
	 * a token; may be NULL. */
	enum sov_code (*authorize) (void *ctx, struct sov_http_request *req,
								struct sov_http_lines *more, struct sov_error *err);
	void	   *ctx;
	const struct sov_put_span *spans;	/* body to send; n_spans -1: none */
	int			n_spans;
	struct sov_buf *sink;		/* a success's body is appended here, or NULL */
	uint64_t	sink_max;		/* more than this is an error */
	bool		repeatable;		/* sending it twice does no harm */
};

/*
 * Perform it: SOV_OK when there is a reply, whatever its status.  Transient
 * answers (429, 503; for repeatable requests also 500, 502, 504 and a lost
 * connection) are tried again, with back-off, a bounded number of times.
 * When it fails, *sink is as it was.
 */
extern enum sov_code sov_http_send(struct sov_net *net, struct sov_http_request *req,
								   struct sov_http_reply *reply, struct sov_error *err);
extern void sov_http_reply_free(struct sov_http_reply *reply);

/* A header of the reply into dst; false when absent or too long. */
extern bool sov_http_header(const struct sov_http_reply *reply, const char *name, char *dst, size_t cap);
/* A header that is a whole number; false when it is not. */
extern bool sov_http_header_number(const struct sov_http_reply *reply, const char *name, uint64_t *n);
/* Content-Range "bytes A-B/TOTAL" or "bytes * /TOTAL" (then *first is UINT64_MAX). */
extern bool sov_http_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total);
/* Unix time of an HTTP date or of an ISO 8601 one, in microseconds; 0 when it is none. */
extern int64_t sov_http_date_us(const char *text);

/*
 * The error record of a reply that is no success.  code is the service's own
 * word for it or "" (shown only when it is a plain word); what names the
 * request ("put of object \"x\"").
 */
extern enum sov_code sov_http_fail(struct sov_net *net, const struct sov_http_reply *reply, const char *code,
								   const char *what, struct sov_error *err);

/* Percent-encode all but unreserved characters (RFC 3986), upper-case hex. */
extern void sov_url_encode(struct sov_buf *dst, const char *text);
/* printf at the end of a buffer; always NUL-terminated behind len. */
extern void sov_buf_printf(struct sov_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The parts that read what a server sent, for the fuzz targets. */
extern void sov_http_take_header(struct sov_http_reply *reply, const char *line, size_t len);

#endif
