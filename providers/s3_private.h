/*
 * s3_private.h - the s3 adapter: calls and puts (s3.c), puts in parts (s3_parts.c), lists
 * (s3_list.c), versions and removal (s3_versions.c), uploads that were not finished
 * (s3_unfinished.c), Google's generations (s3_google.c).
 */
#ifndef S3_PRIVATE_H
#define S3_PRIVATE_H

#include "adapters.h"
#include "s3.h"
#include "s3_lock.h"

#define S3_PART_MIN ((uint64_t) 5 << 20)
#define S3_PART_MAX ((uint64_t) 5 << 30)

enum conditional { COND_TRY, COND_YES, COND_NO };
enum generations { GENERATIONS_UNKNOWN, GENERATIONS_NONE, GENERATIONS_KEPT, GENERATIONS_UNTOLD };

struct s3
{
	struct sov_store store;		/* first */
	char		base[640];		/* URL up to the bucket, without a slash at its end */
	char		path[400];		/* its path, "" or "/bucket" */
	char		host[300];		/* as in the header Host */
	char		bucket[100];
	char		region[64];
	const char *access_key,
			   *secret_key,
			   *session_token;
	uint64_t	part_size;
	uint64_t	max_parts;
	enum conditional conditional;
	_Atomic bool no_conditional;	/* 501 was seen */
	bool		list_v1,
				content_md5,
				sign_payload;
	bool		virtual_host;
	struct sov_s3_lock lock;
	_Atomic bool versions;		/* the bucket was seen to keep some */
	_Atomic enum generations generations;	/* s3_google.c */
};

/* A failure, with what is special to S3 in the hint. */
extern enum sov_code s3_fail(struct s3 *s, struct sov_call *c, const char *what, struct sov_error *err);
/* Is the put to ask that nothing is there yet? */
static inline bool s3_conditional(const struct s3 *s, bool if_absent)
{ return if_absent && s->conditional != COND_NO && !s->no_conditional; }
extern enum sov_code s3_put_parts(struct s3 *s, const char *name, const struct sov_put_span *spans, int n, uint64_t total,
								  bool if_absent, struct sov_error *err);
extern enum sov_code s3_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
/* Remove an object, where the bucket keeps versions all of them and what hides them.
 * SOV_E_LOCKED when one may not be removed yet. */
extern enum sov_code s3_remove(struct sov_provider *p, const char *name, struct sov_error *err);
extern enum sov_code s3_older(struct sov_provider *p, const char *name, int age, struct sov_buf *out, struct sov_error *err);
extern enum sov_code s3_hidden(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
/* Is the answer one of Google's?  Then: is what was removed there really gone (else SOV_E_LOCKED)? */
extern bool s3_is_google(const struct sov_call *c);
extern enum sov_code s3_check_generations(struct s3 *s, const char *name, struct sov_error *err);
extern enum sov_code s3_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err);

#endif
