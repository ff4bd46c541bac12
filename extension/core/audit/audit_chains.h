/*
 * audit_chains.h - what is at the providers of the audit log, for verifying and for
 * retention.
 */
#ifndef AUDIT_CHAINS_H
#define AUDIT_CHAINS_H

#include "audit_private.h"

#define DAY_US (UINT64_C(86400) * 1000000)

struct place					/* one batch, or a beat (batch 0) */
{
	uint64_t	chain, batch;
	uint32_t	holders;		/* bit per provider that lists it */
};

struct local_log				/* this host's own */
{
	bool		there;
	uint64_t	chain, shipped;
	size_t		n;
	uint8_t   (*hash)[32];		/* of entry i + 1 */
};

struct verify
{
	struct sov_repo *repo;
	const struct sov_audit_verify_options *opt;
	struct sov_audit_verify_result *res;
	size_t		n,
				cap;
	struct place *places;
	uint32_t	asked;			/* bit per provider that could be listed */
	int			listing;		/* the one that is being listed */
	bool		nomem;
	bool		head_found[64];
	struct local_log local;
	bool		local_seen;		/* a provider has something of its chain */
	/* of the chain that is being walked */
	bool		have_last;
	struct sov_audit_batch last;	/* without entries */
	uint64_t	writer;
};

/* All names at all providers, each once. */
extern enum sov_code audit_list_all(struct verify *v, struct sov_error *err);

#endif
