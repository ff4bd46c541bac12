/*
 * envelope.h - the envelope that heads and identities share:
 *   magic 8 | format u16 | suite u16 | sealed length u32 | nonce 12
 *   | sealed under K_meta (AAD = what precedes) | tag 16
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include "sov_keyring.h"

#define ENVELOPE_CLEAR 28
#define ENVELOPE_MAX ((size_t) 16 << 20)

/* Clear part for a sealed part of this length (the nonce is drawn). */
extern enum sov_code envelope_begin(const char *magic, size_t sealed_len, uint8_t clear[ENVELOPE_CLEAR], struct sov_error *err);
/* clear | sealed(plain) | tag, appended to *object. */
extern enum sov_code envelope_seal(const struct sov_repo_keys *keys, const uint8_t clear[ENVELOPE_CLEAR],
								   const void *plain, size_t len, struct sov_buf *object, struct sov_error *err);
/* *plain receives the opened part; what names the thing in messages. */
extern enum sov_code envelope_open(const struct sov_repo_keys *keys, const char *magic, const char *what,
								   const uint8_t *obj, size_t len, struct sov_buf *plain, struct sov_error *err);
/* Append an Ed25519 signature over ("pg_sovereign head v1" | clear | body). */
extern enum sov_code envelope_sign(const uint8_t clear[ENVELOPE_CLEAR], struct sov_buf *body, const uint8_t seed[32], struct sov_error *err);
/* Check the signature at the end of a body; *body_len is the length without it. */
extern enum sov_code envelope_check_sig(const uint8_t clear[ENVELOPE_CLEAR], const struct sov_buf *body, const uint8_t pub[32],
										struct sov_error *err);

#endif
