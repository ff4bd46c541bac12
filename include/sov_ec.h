/*
 * sov_ec.h - erasure code: systematic Reed-Solomon with a Cauchy matrix.
 *
 * GF(2^8), polynomial 0x11d.  Slots 0..k-1 are the data, cut contiguously
 * (slot j holds bytes [j*L, (j+1)*L) of the object, the last ones padded with
 * zeros, L = sov_ec_shard_len).  Slot s >= k is the sum over j of
 * inverse(s XOR j) * slot j: the row depends on (k, s) only, so n may grow
 * without rewriting.  k = 1 gives n (scaled) copies.
 *
 * ISA-L does the work where it is built in; the plain C path gives equal bytes
 * (unit-tested) and can be forced.
 */
#ifndef SOV_EC_H
#define SOV_EC_H

#include "sov_error.h"

#define SOV_EC_MAX 16			/* largest n */

static inline uint64_t sov_ec_shard_len(uint64_t total, int k) { return (total + (uint64_t) k - 1) / (uint64_t) k; }

/* parity[i] becomes slot k+i, i = 0..n-k-1; all buffers are len long. */
extern void sov_ec_encode(int k, int n, size_t len,
						  const uint8_t *const *data, uint8_t *const *parity);
/* From any k distinct slots compute the n_want wanted ones.  SOV_E_CORRUPT when
 * slots repeat or are out of range. */
extern enum sov_code sov_ec_decode(int k, size_t len,
								   const int *have_slots, const uint8_t *const *have,
								   const int *want_slots, uint8_t *const *want, int n_want,
								   struct sov_error *err);
extern void sov_ec_force_portable(bool on);
extern const char *sov_ec_impl(void);	/* "isa-l" or "portable" */

#endif
