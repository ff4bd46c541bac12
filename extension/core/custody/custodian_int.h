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
extern const struct sov_custodian_ops sov_custodian_vault_ops;
extern const struct sov_custodian_ops sov_custodian_kmip_ops;

/* "PROGRAM custodian URI", spoken to as any command. */
extern enum sov_code sov_custodian_open_helper(const char *program, const char *uri, struct sov_custodian **out, struct sov_error *err);

/* The same with a process that listens already, at the other end of fd, which is
 * taken over, also when this fails. */
extern enum sov_code sov_custodian_open_fd(int fd, const char *name, struct sov_custodian **out, struct sov_error *err);

/* Unwrap where the root key is in this process; where is "file /etc/...". */
extern enum sov_code sov_custodian_unwrap_by(const uint8_t root[32], const uint8_t root_id[16], const char *where,
											 const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err);

extern enum sov_code sov_custodian_pkcs11_create(const char *uri, struct sov_error *err);
/* SOV_E_NOTFOUND when there is none. */
extern enum sov_code sov_custodian_pkcs11_destroy(const char *uri, struct sov_error *err);
extern enum sov_code sov_custodian_vault_destroy(const char *uri, struct sov_error *err);
extern enum sov_code sov_custodian_kmip_destroy(const char *uri, struct sov_error *err);
extern enum sov_code sov_custodian_vault_create(const char *uri, struct sov_error *err);
extern enum sov_code sov_custodian_kmip_create(const char *uri, struct sov_error *err);
/* An open file that holds a secret: nobody else may read it. */
extern enum sov_code sov_custodian_check_secret_file(int fd, const char *path, const char *what, struct sov_error *err);

/* Milliseconds of the boot clock. */
extern int64_t sov_custodian_now_ms(void);

/* Base64 of 32 bytes, without a NUL, and back; false when it is not. */
#define SOV_KEY_TEXT_LEN 44
extern void sov_custodian_key_text(const uint8_t key[32], char dst[SOV_KEY_TEXT_LEN]);
extern bool sov_custodian_text_key(uint8_t key[32], const char *src);

/* A custodian that is a service on a network, as its URI names it (custodian_service.c). */
#define SOV_SERVICE_TEXT 300
struct sov_custodian_service
{
	bool		vault;			/* else kmip */
	char		host[200],
				port[6],
				mount[100],		/* of vault: "transit" */
				key[100];
	char		token_file[SOV_SERVICE_TEXT],
				namespace[SOV_SERVICE_TEXT],
				cert_file[SOV_SERVICE_TEXT],
				key_file[SOV_SERVICE_TEXT],
				ca_file[SOV_SERVICE_TEXT];	/* "": who this host trusts */
};
extern enum sov_code sov_custodian_service(const char *uri, struct sov_custodian_service *s, struct sov_error *err);
/* Credentials of systemd become paths; not where a URI is only checked. */
extern enum sov_code sov_custodian_service_files(struct sov_custodian_service *s, struct sov_error *err);
/* How it is reached, for sov_net_open; to be freed, also after an error. */
extern enum sov_code sov_custodian_service_settings(const struct sov_custodian_service *s, struct sov_provider_config **out, struct sov_error *err);
/* What libcurl said (SOV_E_PROVIDER), in words of the URI; other errors stay. */
extern enum sov_code sov_custodian_unreachable(const struct sov_custodian_service *s, struct sov_error *err);
/* The error of an answer that is not of the protocol. */
extern enum sov_code sov_custodian_rubbish(const struct sov_custodian_service *s, struct sov_error *err);
/* Refuse one on the host of a provider. */
extern enum sov_code sov_custodian_check_host(const struct sov_config *cfg, const char *uri, const char *name, int line, struct sov_error *err);

#endif
