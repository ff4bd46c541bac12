/*
 * shamir.h - a secret of 32 bytes in n shares, of which any k give it back.
 */
#ifndef SHAMIR_H
#define SHAMIR_H

#include "sov_crypto.h"

#define SHAMIR_MAX 16

/* shares[i] is the value of the polynomial at i + 1; 1 <= k <= n <= SHAMIR_MAX. */
extern enum sov_code shamir_split(const uint8_t secret[32], int k, int n, uint8_t shares[][32], struct sov_error *err);
/* The value at x (0: the secret) from k shares, whose numbers differ and are not 0. */
extern enum sov_code shamir_value(const uint8_t *numbers, const uint8_t shares[][32], int k, uint8_t x, uint8_t out[32], struct sov_error *err);

#endif
