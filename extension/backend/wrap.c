/*
 * wrap.c - keys of a database, wrapped under its key-encryption key (layout:
 * keystore.c).  Also runs in the worker, which has no database: nothing here reads
 * tables or raises an ERROR, and names are UTF-8.
 */
#include "keystore.h"

#include "mb/pg_wchar.h"

#include "sov_bytes.h"
#include "sov_keyring.h"
#include "sov_subject.h"

#define DAMAGED "Restore the tables key_domain and key_version from a dump of this database."

static enum sov_code
check(const uint8_t *key, const char *purpose, const uint8_t want[32], struct sov_error *err)
{
	uint8_t		got[32];
	enum sov_code rc = sov_commit(key, purpose, got, err);

	if (rc == SOV_OK && !sov_equal(got, want, 32))
		rc = sov_fail(err, SOV_E_AUTH, DAMAGED, "a wrapped key of this database does not match its commitment");
	return rc;
}

enum sov_code
SovCheckKek(const uint8_t *kek, const SovDomainRow *domain, struct sov_error *err)
{
	return check(kek, domain->epoch ? SOV_EPOCH_COMMIT : SOV_COMMIT_KEK, domain->commitment, err);
}

static enum sov_code
make_aad(struct sov_buf *aad, const SovDomainRow *domain, const SovWrappedKey *k, struct sov_error *err)
{
	memset(aad, 0, sizeof *aad);
	sov_write_str(aad, "pg_sovereign key v1");
	sov_write_str(aad, SOV_DOMAIN);
	sov_write_bytes(aad, domain->id, 16);
	sov_write_str(aad, k->name);
	sov_write_u32(aad, k->version);
	sov_write_u8(aad, (uint8_t) k->purpose);
	return aad->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
}

static const char *
commit_purpose(const SovWrappedKey *k)
{
	return k->purpose == SOV_KEY_EQ ? "column equality key" : "column data key";
}

enum sov_code
SovUnwrapKey(const uint8_t *kek, const SovDomainRow *domain, const SovWrappedKey *k, uint8_t *key, struct sov_error *err)
{
	struct sov_buf aad;
	struct sov_aead *a = NULL;
	enum sov_code rc = make_aad(&aad, domain, k, err);

	if (rc == SOV_OK && (a = sov_aead_new(kek, err)) == NULL)
		rc = err->code;
	if (rc == SOV_OK)
		rc = sov_aead_open(a, k->wrapped, aad.data, aad.len, k->wrapped + 12, 32, k->wrapped + 44, key, err);
	if (rc == SOV_E_AUTH)
		sov_fail(err, SOV_E_AUTH, DAMAGED,
				 "the wrapped key \"%s\" does not open: its row was changed, or belongs to another database", k->name);
	sov_aead_free(a);
	sov_buf_free(&aad);
	if (rc == SOV_OK)
		rc = check(key, commit_purpose(k), k->commitment, err);
	return rc;
}

enum sov_code
SovWrapNewKey(const uint8_t *kek, const SovDomainRow *domain, SovWrappedKey *k, struct sov_error *err)
{
	uint8_t    *key = sov_secret_alloc_nofork(SOV_KEY_LEN, err);
	struct sov_buf aad = {0};
	struct sov_aead *a = NULL;
	enum sov_code rc = key ? SOV_OK : err->code;

	while (rc == SOV_OK && k->version == 0)
		rc = sov_random(&k->version, sizeof k->version, err);
	if (rc == SOV_OK)
		rc = make_aad(&aad, domain, k, err);
	if (rc == SOV_OK && (a = sov_aead_new(kek, err)) == NULL)
		rc = err->code;
	if (rc == SOV_OK)
		rc = sov_random(key, SOV_KEY_LEN, err);
	if (rc == SOV_OK)
		rc = sov_random(k->wrapped, 12, err);
	if (rc == SOV_OK)
		rc = sov_aead_seal(a, k->wrapped, aad.data, aad.len, key, 32, k->wrapped + 12, k->wrapped + 44, err);
	if (rc == SOV_OK)
		rc = sov_commit(key, commit_purpose(k), k->commitment, err);
	sov_aead_free(a);
	sov_buf_free(&aad);
	sov_secret_free(key);
	return rc;
}
