/*
 * store.h - what is alike in object stores that speak HTTP (s3, swift, azure,
 * webdav): an adapter of them is a struct sov_store with a dialect.
 *
 * The dialect sends one call (it makes the URL, signs, renews a token) and says
 * whether a 404 is a definite "no such object".  get, stat and the check of
 * what came are here, once.
 */
#ifndef STORE_H
#define STORE_H

#include "http.h"
#include "sign.h"

#define SOV_STORE_OBJECT_MAX ((uint64_t) 1 << 30)	/* read into memory at most */
#define SOV_STORE_LIST_MAX ((uint64_t) 32 << 20)	/* bytes of one page of a list */
#define SOV_STORE_QUERY 8
#define SOV_STORE_HEADERS 8

struct sov_store;

/* One call in the dialect's own terms. */
struct sov_call
{
	const char *method;
	const char *name;			/* object; NULL: the container */
	struct sov_sign_pair query[SOV_STORE_QUERY];
	int			n_query;
	struct sov_sign_pair headers[SOV_STORE_HEADERS];	/* names in lower case */
	int			n_headers;
	const struct sov_put_span *spans;
	int			n_spans;		/* -1: no body */
	bool		repeatable;
	struct sov_buf *sink;
	uint64_t	sink_max;
	struct sov_http_reply reply;
};

struct sov_dialect
{
	/* SOV_OK when there is a reply, whatever its status. */
	enum sov_code (*send) (struct sov_store *s, struct sov_call *c, struct sov_error *err);
	/* What a 404 to c means: SOV_E_NOTFOUND only when the store is there and
	 * has no such object, else SOV_E_PROVIDER; SOV_OK when a second look finds
	 * it there now. */
	enum sov_code (*absent) (struct sov_store *s, struct sov_call *c, struct sov_error *err);
	/* The service's own word for the error in a reply, "" when there is none. */
	void		(*code) (const struct sov_http_reply *reply, char dst[64]);
	/* The server may miss an object for a moment while it is overwritten:
	 * "not found" is asked twice. */
	bool		second_look;
};

struct sov_store
{
	struct sov_provider base;	/* first */
	struct sov_provider_ops ops;	/* the adapter's, with this provider's caps */
	const struct sov_dialect *dialect;
	struct sov_net *net;
	char		list_page[8];	/* entries of a page of a list, at most */
};

/* Allocates size bytes (the adapter's struct, which begins with a store). */
extern enum sov_code sov_store_open(const struct sov_provider_config *cfg, size_t size, const struct sov_provider_ops *ops,
									const struct sov_dialect *dialect, struct sov_store **out, struct sov_error *err);
extern void sov_store_close(struct sov_store *s);

extern void sov_call_init(struct sov_call *c, const char *method, const char *name);
extern void sov_call_query(struct sov_call *c, const char *name, const char *value);
extern void sov_call_header(struct sov_call *c, const char *name, const char *value);

/* Send; *ok_status is whether the reply is a success.  The caller frees
 * c->reply either way. */
extern enum sov_code sov_store_call(struct sov_store *s, struct sov_call *c, struct sov_error *err);
/* (207 holds several answers: no single yes) */
static inline bool sov_call_ok(const struct sov_call *c) { return c->reply.status >= 200 && c->reply.status < 300 && c->reply.status != 207; }
static inline void sov_call_free(struct sov_call *c) { sov_http_reply_free(&c->reply); }
/* The error of a reply that is no success; what is "put object", with the name. */
extern enum sov_code sov_store_fail(struct sov_store *s, struct sov_call *c, const char *what, struct sov_error *err);
extern enum sov_code sov_store_notfound(const char *name, struct sov_error *err);
extern enum sov_code sov_store_bad_name(const char *name, struct sov_error *err);
extern enum sov_code sov_store_exists(const char *name, struct sov_error *err);

/* Operations that every dialect has alike. */
extern enum sov_code sov_store_get(struct sov_provider *p, const char *name, uint64_t offset, uint64_t len,
								   struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_store_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err);
/* HEAD; the reply in *c is the caller's to read and to free. */
extern enum sov_code sov_store_look(struct sov_store *s, const char *name, struct sov_object_stat *st, struct sov_call *c, struct sov_error *err);
/* The whole of one version, which a parameter of the query names. */
extern enum sov_code sov_store_get_version(struct sov_store *s, const char *name, const char *parameter, const char *id,
										   struct sov_buf *out, struct sov_error *err);
/* DELETE, of what answers 404 when it was absent. */
extern enum sov_code sov_store_remove(struct sov_provider *p, const char *name, struct sov_error *err);
/* After a conditional put that was sent more than once and says "exists": was
 * it our own first attempt?  SOV_OK when the object is what was put. */
extern enum sov_code sov_store_ours(struct sov_store *s, const char *name, const struct sov_put_span *spans, int n, struct sov_error *err);

/* --- lists --- */

struct sov_listing
{
	struct sov_store *store;
	const char *prefix;			/* as the caller gave it */
	sov_list_fn fn;
	void	   *ctx;
	bool		relative;		/* keys come without the provider's prefix */
	bool		stopped;		/* the caller said so */
	char		last[512];		/* key given last, to see a list that does not end */
	bool		backwards;
};

/* Hand one key of the store (with the provider's prefix) to the caller, unless
 * it is no object of ours; false to stop.  In order: the store promises that
 * keys ascend. */
extern bool sov_listing_key(struct sov_listing *l, const char *key, uint64_t size, int64_t mtime_us, bool in_order);
/* One entry of a list that is XML, while it is read. */
struct sov_list_entry
{
	char		key[1100];
	uint64_t	size;
	int64_t		mtime_us;
	bool		has_size,
				bad;			/* one without a name or a size was there: this is no list */
};

/* Where an entry has its name, size and date: paths below the entry's own. */
struct sov_list_fields
{
	const char *name,
			   *size,
			   *date;
};

/* Take the text at a path below the entry's; at "", its end, the entry goes to
 * sov_listing_key.  false to stop. */
extern bool sov_listing_entry(struct sov_listing *l, struct sov_list_entry *e, const struct sov_list_fields *fields,
							  const char *path, const char *text);
extern enum sov_code sov_listing_check(const struct sov_listing *l, struct sov_error *err);

#endif
