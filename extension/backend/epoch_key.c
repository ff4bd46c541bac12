/*
 * epoch_key.c - the KEK of an epoch of erasable persons, opened: one at a time, under
 * the rules of keys.c, with whose keys it comes and goes.
 */
#include "keys.h"
#include "subjects.h"

#include "sov_keyring.h"

static int64 epoch_number;		/* of the KEK_e that is opened, */
static void *epoch_kek;			/* an expanded key; NULL: none */
static SovDomainRow epoch_row;
static uint8_t epoch_database[16];

void
SovEpochForget(void)
{
	if (!SovPreloaded)
	{
		sov_secret_free(epoch_kek);
		SovSubjectsWipe();
	}
	SovExpandedForget();
	SovSubjectsRecheck();
	epoch_kek = NULL;
}

static enum sov_code
own_epoch(struct sov_error *err)
{
	uint8_t    *kek = sov_secret_alloc_nofork(SOV_KEY_LEN, err);
	void	   *mem = kek ? sov_secret_alloc_nofork(sov_aead_size(), err) : NULL;
	enum sov_code rc = mem ? SovOpenKek(&epoch_row, kek, err) : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = sov_aead_init_at(mem, kek, err);
	sov_secret_free(kek);
	if (rc == SOV_OK)
		epoch_kek = mem;
	else
		sov_secret_free(mem);
	return rc;
}

static enum sov_code
open_epoch(int64 epoch, struct sov_error *err)
{
	SovWrappedKey k;
	SovDomainRow domain;
	enum sov_code rc = SovKeysRefused(err);

	SovKeysWatch();
	if (rc != SOV_OK)
		return rc;
	if (!SovFindDomain(&domain))
		return SovNoDomain(err);
	if (!SovFindEpoch(epoch, &epoch_row))
		return sov_fail(err, SOV_E_AUTH, NULL, "the epoch of a group of persons is not there");
	memcpy(epoch_database, domain.id, sizeof epoch_database);
	epoch_number = epoch;
	if (!SovPreloaded)
		return own_epoch(err);
	memset(&k, 0, sizeof k);
	k.purpose = SOV_KEY_EPOCH;
	return SovKeysRemember(SovLeaseOpen(&epoch_row, &k, &epoch_kek, err), err);
}

enum sov_code
SovEpochKey(int64 epoch, struct sov_epoch_key *key, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	SovKeysFresh();
	if (epoch_kek != NULL && epoch_number != epoch)
		SovEpochForget();
	if (epoch_kek == NULL)
		rc = open_epoch(epoch, err);
	if (rc != SOV_OK)
		return rc;
	key->kek = epoch_kek;
	memcpy(key->database, epoch_database, sizeof key->database);
	memcpy(key->epoch, epoch_row.id, sizeof key->epoch);
	SovKeysHad();
	return SOV_OK;
}
