/*
 * custodian_int.h - the custodians of this build.
 */
#ifndef CUSTODIAN_INT_H
#define CUSTODIAN_INT_H

#include "sov_custodian.h"

/* In the process that asks */
extern const struct sov_custodian_ops sov_custodian_file_ops;
extern const struct sov_custodian_ops sov_custodian_command_ops;
/* In the helper */
extern const struct sov_custodian_ops sov_custodian_pkcs11_ops;

/* "PROGRAM custodian URI", spoken to as any command. */
extern enum sov_code sov_custodian_open_helper(const char *program, const char *uri, struct sov_custodian **out, struct sov_error *err);

extern enum sov_code sov_custodian_pkcs11_create(const char *uri, struct sov_error *err);

/* A PIN or a token: the first line of a file that nobody else may read, or with path
 * NULL asked for at the terminal.  secret is memory of sov_secret_alloc. */
extern enum sov_code sov_custodian_read_secret(const char *path, const char *what, char *secret, size_t cap, struct sov_error *err);

#endif
