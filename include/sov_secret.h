/*
 * sov_secret.h - memory for secrets: locked, out of core dumps, wiped.
 *
 * Every key that is not on the stack of the function that uses it lives in
 * memory from here.  The memory is its own mapping (mlock, MADV_DONTDUMP,
 * MADV_WIPEONFORK where the caller asks for it); freeing wipes it.
 */
#ifndef SOV_SECRET_H
#define SOV_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sov_error.h"

#define SOV_KEY_LEN 32

/* Zeroed secret memory of len bytes; NULL with *err set (SOV_E_NOMEM, and a
 * hint about RLIMIT_MEMLOCK) when it cannot be had or locked. */
extern void *sov_secret_alloc(size_t len, struct sov_error *err);
/* The same, but the pages read as zeros in a child after fork. */
extern void *sov_secret_alloc_nofork(size_t len, struct sov_error *err);
/* Wipe and unmap; NULL is allowed. */
extern void sov_secret_free(void *p);
/* Wipe, never optimised away. */
extern void sov_wipe(void *p, size_t len);
/* Constant-time comparison. */
extern bool sov_equal(const void *a, const void *b, size_t len);
/* Call once at the start of a command: no core dumps, not dumpable, no secrets of TLS on disk. */
extern void sov_secret_harden_process(void);

#endif
