/*
 * sov_custody.h - how the server asks the custodian: "pg_sovereign custody-call".
 *
 * The server's worker runs the command for each call, so that what talks to a
 * custodian (a PKCS#11 module, the network, a program) never runs inside a server
 * process, and a root key never comes into one.  Both come from one build; the size
 * and the magic number tell another one.
 *
 * Standard input, lines:
 *   open HEX   unwrap this wrapped key-encryption key
 *   new        make one and wrap it
 *   epoch ID HEX   unwrap this one, of the erasable epoch key with this id (32 digits)
 * Standard output: for each line one struct sov_custody_answer, in their order.  It
 * holds a key in the clear, so it goes through a pipe and secret memory only.
 */
#ifndef SOV_CUSTODY_H
#define SOV_CUSTODY_H

#include "sov_custodian.h"

#define SOV_CUSTODY_MAGIC 0x31435653u
#define SOV_CUSTODY_LINES 32	/* of one call, at most: all fits into a pipe */

struct sov_custody_answer
{
	uint32_t	magic;
	uint32_t	size;			/* of this structure */
	struct sov_error err;		/* code SOV_OK: what follows is valid */
	uint64_t	lease_us;		/* for how long the key may be kept */
	uint64_t	renew_us;		/* after how long to ask again */
	uint8_t		key[SOV_KEY_LEN];
	uint8_t		root_id[16];
	char		about[256];		/* the custodian's description */
	size_t		blob_len;		/* new: the wrapped key */
	uint8_t		blob[SOV_KWP_MAX];
};

/* Has the custodian said no?  Anything else may be over when it is asked again. */
static inline bool
sov_custody_refused(const struct sov_error *err)
{
	return !err->retryable && (err->code == SOV_E_KEY || err->code == SOV_E_AUTH || err->code == SOV_E_DENIED);
}

#endif
