/*
 * custodian_int.h - the custodians of this build.
 */
#ifndef CUSTODIAN_INT_H
#define CUSTODIAN_INT_H

#include "sov_custodian.h"

/* In the process that asks */
extern const struct sov_custodian_ops sov_custodian_file_ops;
extern const struct sov_custodian_ops sov_custodian_command_ops;
extern const struct sov_custodian_ops sov_custodian_quorum_ops;
/* In the helper */
extern const struct sov_custodian_ops sov_custodian_pkcs11_ops;

/* "PROGRAM custodian URI", spoken to as any command. */
extern enum sov_code sov_custodian_open_helper(const char *program, const char *uri, struct sov_custodian **out, struct sov_error *err);

/* The same with a process that listens already, at the other end of fd, which is
 * taken over, also when this fails. */
extern enum sov_code sov_custodian_open_fd(int fd, const char *name, struct sov_custodian **out, struct sov_error *err);

/* Unwrap where the root key is in this process; where is "file /etc/...". */
extern enum sov_code sov_custodian_unwrap_by(const uint8_t root[32], const uint8_t root_id[16], const char *where,
											 const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err);

extern enum sov_code sov_custodian_pkcs11_create(const char *uri, struct sov_error *err);

#endif
