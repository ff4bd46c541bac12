/*
 * sov_provider.h - the contract of a storage provider.
 *
 * A provider is one storage account at one hoster, reached through one adapter.
 * Every operation of the table is required (asserted when it is opened).  The
 * descriptive record (what it can do, its limits) is data, apart from the
 * operations.  Retry, throttle and injected faults are decorators that embed
 * struct sov_provider and forward.
 *
 * Object names are relative, of the characters [a-z0-9/._-], at most 200 long,
 * never with a leading slash, "..", or an empty component.  An object is
 * immutable to its readers: put is atomic (a reader sees the whole old object,
 * the whole new one, or none) and durable when it returns.
 *
 * A provider handle is used by one thread at a time unless caps.threads says
 * that all its operations may be called by several at once.
 *
 * Errors: SOV_E_NOTFOUND is only ever a definite answer ("404"); anything that
 * is not sure is SOV_E_PROVIDER (retryable set when a later try may do), no
 * space is SOV_E_FULL.  Messages do not name the provider; callers prefix it.
 */
#ifndef SOV_PROVIDER_H
#define SOV_PROVIDER_H

#include "sov_bytes.h"
#include "sov_error.h"

#define SOV_OBJECT_NAME_MAX 200

struct sov_provider;
struct sov_provider_config;		/* sov_config.h */

/* A piece of an object's body. */
struct sov_put_span
{
	const void *data;
	size_t		len;
};

struct sov_object_stat
{
	uint64_t	size;
	int64_t		mtime_us;		/* Unix time in microseconds; 0 where unknown */
	bool		locked;			/* remove would say SOV_E_LOCKED, as far as the provider tells; not in lists */
};

/* Called once per object, in no special order; return false to stop. */
typedef bool (*sov_list_fn) (void *ctx, const char *name, const struct sov_object_stat *st);

struct sov_provider_caps
{
	const char *scheme;			/* "folder", "s3", ... */
	bool		threads;		/* operations may run in several threads at once */
	bool		atomic_create;	/* put with if_absent is a real test-and-set */
	uint64_t	max_object;		/* bytes in one put */
	int			parallel;		/* useful number of concurrent requests */
	bool		locks;			/* remove may say SOV_E_LOCKED */
};

/*
 * A setting that an adapter takes in its section [provider.NAME], beside
 * "type" and "state".
 */
enum sov_provider_key_kind
{
	SOV_KEY_TEXT = 0,
	SOV_KEY_PATH,				/* absolute */
	SOV_KEY_SECRET,				/* a file of a secret: absolute, or credential:NAME */
	SOV_KEY_BOOL,				/* yes, no */
	SOV_KEY_SIZE,				/* 64MB */
	SOV_KEY_DURATION,			/* 30s */
	SOV_KEY_NUMBER,				/* min to max */
	SOV_KEY_CHOICE				/* one of example, "a|b|c" */
};

struct sov_provider_key
{
	const char *name;
	enum sov_provider_key_kind kind;
	bool		required;
	const char *example;		/* for hints; SOV_KEY_CHOICE: the choices */
	uint64_t	min,
				max;			/* number, size, duration; max 0: not bounded */
};

struct sov_provider_ops
{
	struct sov_provider_caps caps;
	/* The settings it takes; the last name is NULL. */
	const struct sov_provider_key *keys;
	/* Connect; must not create the bucket or folder.  *out is malloc'd. */
	enum sov_code (*open) (const struct sov_provider_config *cfg,
						   struct sov_provider **out, struct sov_error *err);
	/* Store an object whole, overwriting, of n_spans pieces (not copied).
	 * if_absent: SOV_E_EXISTS when the name exists (best effort where
	 * caps.atomic_create is false). */
	enum sov_code (*put) (struct sov_provider *p, const char *name,
						  const struct sov_put_span *spans, int n_spans,
						  bool if_absent, struct sov_error *err);
	/* Append bytes [offset, offset+len) to *out; len UINT64_MAX is "to the
	 * end".  A range that ends after the object gives what is there. */
	enum sov_code (*get) (struct sov_provider *p, const char *name,
						  uint64_t offset, uint64_t len,
						  struct sov_buf *out, struct sov_error *err);
	enum sov_code (*stat) (struct sov_provider *p, const char *name,
						   struct sov_object_stat *st, struct sov_error *err);
	/* All objects whose names begin with prefix ("" is all). */
	enum sov_code (*list) (struct sov_provider *p, const char *prefix,
						   sov_list_fn fn, void *ctx, struct sov_error *err);
	/* Remove one object; SOV_E_NOTFOUND when it was not there, SOV_E_LOCKED
	 * when the provider keeps it until a date. */
	enum sov_code (*remove) (struct sov_provider *p, const char *name, struct sov_error *err);
	/* Append the whole of an older version of an object, where the provider keeps
	 * them: age 0 is the one before the newest, or the newest of one that was hidden
	 * by a removal.  SOV_E_NOTFOUND: there is none, or none are kept. */
	enum sov_code (*older) (struct sov_provider *p, const char *name, int age,
							struct sov_buf *out, struct sov_error *err);
	/* Names that readers do not see (an object was hidden by a removal) and of which
	 * the provider keeps something that "remove" would take away; size and time are 0.
	 * Nothing where no versions are kept. */
	enum sov_code (*hidden) (struct sov_provider *p, const char *prefix,
							 sov_list_fn fn, void *ctx, struct sov_error *err);
	/* Take back what was begun and never finished, and readers do not see: uploads in
	 * parts, by the object's name, and temporaries, by a name that begins with '+'; when
	 * it was begun is its time.  What fn says yes to goes.  One that does not go stops
	 * none of the others; the first error is told.  SOV_E_UNSUPPORTED: the provider does
	 * not tell what there is.  Nothing where a put is one request. */
	enum sov_code (*sweep) (struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err);
	void		(*close) (struct sov_provider *p);
};

/* First member of every adapter's own struct. */
struct sov_provider
{
	const struct sov_provider_ops *ops;
};

/* Open by the configured type; SOV_E_CONFIG for a type that does not exist. */
extern enum sov_code sov_provider_open(const struct sov_provider_config *cfg,
									   struct sov_provider **out, struct sov_error *err);
/* NULL-terminated table of all adapters. */
extern const struct sov_provider_ops *const sov_provider_adapters[];

/*
 * Check the settings of a section against its adapter's table: unknown names,
 * missing ones, values that are none.  *line is the one that is wrong (that of
 * the section when something is missing).
 */
extern enum sov_code sov_provider_config_check(const struct sov_provider_config *cfg, int *line, struct sov_error *err);
/* Fill names (NULL-terminated, at most cap) with the settings of all adapters. */
extern int	sov_provider_key_names(const char **names, int cap);

/* The operations "older" and "hidden" of an adapter whose provider keeps no versions, and
 * "sweep" of one whose puts leave nothing. */
extern enum sov_code sov_provider_no_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_provider_no_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
extern enum sov_code sov_provider_no_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err);

/* A get of so many bytes is of an object that is read whole, and far shorter: room for it is
 * made as it comes. */
#define SOV_SMALL_READ ((uint64_t) (16 << 20) + 64)

/* True when the name obeys the rule above; every adapter may assume it. */
extern bool sov_object_name_ok(const char *name);

static inline enum sov_code sov_provider_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n, bool if_absent, struct sov_error *err)
{ return p->ops->put(p, name, spans, n, if_absent, err); }
static inline enum sov_code sov_provider_get(struct sov_provider *p, const char *name, uint64_t off, uint64_t len, struct sov_buf *out, struct sov_error *err)
{ return p->ops->get(p, name, off, len, out, err); }
static inline enum sov_code sov_provider_stat(struct sov_provider *p, const char *name, struct sov_object_stat *st, struct sov_error *err)
{ return p->ops->stat(p, name, st, err); }
static inline enum sov_code sov_provider_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{ return p->ops->list(p, prefix, fn, ctx, err); }
static inline enum sov_code sov_provider_remove(struct sov_provider *p, const char *name, struct sov_error *err)
{ return p->ops->remove(p, name, err); }
static inline enum sov_code sov_provider_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err)
{ return p->ops->older(p, name, age, out, err); }
static inline enum sov_code sov_provider_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err)
{ return p->ops->hidden(p, prefix, fn, ctx, err); }
static inline enum sov_code sov_provider_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err)
{ return p->ops->sweep(p, fn, ctx, err); }
static inline void sov_provider_close(struct sov_provider *p)
{ if (p) p->ops->close(p); }

/*
 * Decorator for tests and drills: wraps *inner (owned from then on) and obeys
 * the faults file named by the environment variable PG_SOVEREIGN_FAULTS, one
 * line per rule "PROVIDER OPERATION FAULT [COUNT]"; see providers/fault.c.
 */
extern enum sov_code sov_provider_fault_wrap(const char *provider_name,
											 struct sov_provider *inner,
											 struct sov_provider **out, struct sov_error *err);

#endif
