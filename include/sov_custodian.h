/*
 * sov_custodian.h - where a root key lives.
 *
 * A custodian wraps and unwraps key-encryption keys with AES-KWP under a root
 * key that never leaves it (for "file": never leaves locked memory).  Root
 * keys are never written at a provider, in PGDATA or in a message.
 *
 * "file:/absolute/path": 32 random bytes as text, mode 0600 or 0400, owned by
 * the user that reads it (or root), outside PGDATA and outside every folder
 * provider (core checks what it can know from the configuration).
 * File layout (text): line 1 "pg_sovereign root key v1", line 2 "id UUID",
 * line 3 "key BASE64 of 32 bytes", line 4 "check HEX", the first 8 bytes of
 * sov_commit(key, "root-file"): a damaged file is told from a wrong one.
 */
#ifndef SOV_CUSTODIAN_H
#define SOV_CUSTODIAN_H

#include "sov_bytes.h"
#include "sov_config.h"
#include "sov_crypto.h"

struct sov_custodian;

struct sov_custodian_ops
{
	const char *scheme;			/* "file" */
	/* uri is the whole configured value. */
	enum sov_code (*open) (const char *uri, struct sov_custodian **out, struct sov_error *err);
	enum sov_code (*wrap) (struct sov_custodian *c, const uint8_t key[32],
						   uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err);
	/* SOV_E_KEY when another root wrapped it (message names both ids where known). */
	enum sov_code (*unwrap) (struct sov_custodian *c, const uint8_t *blob, size_t blob_len,
							 uint8_t key[32], struct sov_error *err);
	/* One line for people: "file /etc/pg_sovereign/root.key, root 1f0c..." */
	void		(*describe) (struct sov_custodian *c, char *dst, size_t cap);
	void		(*close) (struct sov_custodian *c);
};

struct sov_custodian
{
	const struct sov_custodian_ops *ops;
	uint8_t		root_id[16];	/* identifies the root key, not secret */
};

extern enum sov_code sov_custodian_open(const char *uri, struct sov_custodian **out, struct sov_error *err);
extern void sov_custodian_close(struct sov_custodian *c);

/* Make a new root key file (O_EXCL, 0600); SOV_E_EXISTS when it is there.
 * *root_id receives its id. */
extern enum sov_code sov_custodian_file_create(const char *path, uint8_t root_id[16], struct sov_error *err);

/* Refuse a root key in a place that a hoster or a backup reaches: inside the
 * data directory or inside a folder provider (real paths are compared). */
extern enum sov_code sov_custodian_check_place(const struct sov_config *cfg, struct sov_error *err);

#endif
