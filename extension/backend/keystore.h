/*
 * keystore.h - rows of the key tables, and wrapped keys without their tables
 * (keystore.c, wrap.c, lease.c).
 */
#ifndef SOV_KEYSTORE_H
#define SOV_KEYSTORE_H

#include "sov_pg.h"

#include "sov_custodian.h"

#define SOV_DOMAIN "database"
#define SOV_COMMIT_KEK "column KEK"
/* (that of an epoch: SOV_EPOCH_COMMIT) */

/* The row of key_domain: the database's key-encryption key, wrapped by the custodian.
 * Or one of subject_epoch: KEK_e, wrapped under the erasable key of that epoch. */
typedef struct SovDomainRow
{
	uint8_t		id[16];			/* of the database, or of the epoch */
	bool		epoch;
	uint8_t		wrapped[SOV_WRAPPED_MAX];
	size_t		wrapped_len;
	uint8_t		commitment[32];
} SovDomainRow;

/* What of a row of key_version it takes to open a key, wherever. */
typedef struct SovWrappedKey
{
	char		name[4 * NAMEDATALEN];	/* UTF-8 */
	uint32		version;
	int			purpose;		/* enum sov_key_purpose */
	uint8_t		wrapped[12 + 32 + 16];	/* nonce, key, tag */
	uint8_t		commitment[32];
} SovWrappedKey;

/* keystore.c */
extern bool SovFindDomain(SovDomainRow *row);
extern enum sov_code SovNoDomain(struct sov_error *err);
extern void SovWrappedOf(const SovKeyRow *row, SovWrappedKey *wrapped);
/* The key-encryption key of a database, asked of the custodian by this process itself,
 * into secret memory of 32 bytes. */
extern enum sov_code SovOpenKek(const SovDomainRow *domain, uint8_t *kek, struct sov_error *err);

/* wrap.c */
extern enum sov_code SovCheckKek(const uint8_t *kek, const SovDomainRow *domain, struct sov_error *err);
extern enum sov_code SovUnwrapKey(const uint8_t *kek, const SovDomainRow *domain, const SovWrappedKey *k, uint8_t *key, struct sov_error *err);
/* A new random key of this name and purpose; a version of 0 is drawn. */
extern enum sov_code SovWrapNewKey(const uint8_t *kek, const SovDomainRow *domain, SovWrappedKey *k, struct sov_error *err);

#endif
