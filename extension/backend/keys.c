/*
 * keys.c - the opened keys of this backend, and its nonces.
 *
 * A key is opened when it is first used: root key -> key-encryption key ->
 * data key, the upper two are wiped at once, and the expanded data key stays in
 * locked memory that reads as zeros after fork.  Any change of the key tables
 * (a relcache invalidation, also that of an aborted create_key) makes the
 * cache stale; it is dropped at the next entry and never in between, so that a
 * key in use is not wiped.
 *
 * Nonces are random and drawn in blocks, in memory that is wiped by fork; the
 * block is bound to the process id, never filled in the postmaster, and
 * dropped at the end of a transaction, because a virtual machine may be
 * snapshotted and resumed twice.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "utils/inval.h"

#include "sov_keyring.h"

typedef struct OpenedKey
{
	int32		key_id;
	bool		current;
	bool		is_default;
	bool		may_open;		/* the last answer of SovMayOpen(), */
	uint64		asked;			/* given at this count of changes */
	struct sov_value_keys *keys;
} OpenedKey;

#define NONCE_BLOCK 4032		/* with its header: one page */
#define NONCE_FIRST (16 * SOV_NONCE_LEN)	/* most transactions need few */

static OpenedKey *opened;
static int	n_opened;
static struct sov_cmac *eq_key;
static bool stale;
static uint64 changes = 1;		/* of who may open */

static int32 last_typmod;
static struct sov_value_keys *last_for_typmod;
static struct sov_value_keys *last_for_version;

static uint8_t *nonces;
static int	nonces_left;
static bool nonces_used;		/* in this transaction */
static pid_t nonces_pid;

void
SovKeysForget(void)
{
	stale = true;
}

void
SovKeysRecheck(void)
{
	changes++;
	last_for_version = NULL;
}

static void
relcache_changed(Datum arg, Oid relid)
{
	const Oid  *watched = (const Oid *) DatumGetPointer(arg);

	if (relid == InvalidOid || relid == watched[0] || relid == watched[1])
		stale = true;
}

static Oid	watched_rels[2];

static void
drop_if_stale(void)
{
	if (!stale)
		return;
	stale = false;
	changes++;
	last_for_typmod = last_for_version = NULL;
	for (int i = 0; i < n_opened; i++)
		sov_value_keys_free(opened[i].keys);
	free(opened);
	opened = NULL;
	n_opened = 0;
	sov_cmac_free(eq_key);
	eq_key = NULL;
}

/* --- opening --- */

static enum sov_code
open_eq(const uint8_t *kek, const uint8_t database[16], uint8_t *key, struct sov_error *err)
{
	SovKeyRow	row;
	enum sov_code rc;

	if (eq_key != NULL)
		return SOV_OK;
	if (!SovFindKeyRow(SOV_BY_EQ, 0, &row))
		return sov_fail(err, SOV_E_KEY, "restore the rows of the table key_version from a dump of this database",
						"the equality key of this database is missing");
	rc = SovUnwrapKey(kek, database, &row, key, err);
	if (rc == SOV_OK && (eq_key = sov_cmac_new(key, err)) == NULL)
		rc = err->code;
	return rc;
}

static enum sov_code
keep(const SovKeyRow *row, const uint8_t *key, struct sov_value_keys **out, struct sov_error *err)
{
	OpenedKey  *grown = realloc(opened, (size_t) (n_opened + 1) * sizeof *opened);

	if (grown == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	opened = grown;
	*out = sov_value_keys_new(key, row->version, err);
	if (*out == NULL)
		return err->code;
	opened[n_opened].key_id = row->key_id;
	opened[n_opened].current = row->current;
	opened[n_opened].is_default = row->is_default;
	opened[n_opened].asked = 0;
	opened[n_opened].keys = *out;
	n_opened++;
	return SOV_OK;
}

/* Open the equality key and, where row is given, that data key. */
static enum sov_code
open_keys(const SovKeyRow *row, struct sov_value_keys **out, struct sov_error *err)
{
	const SovCatalog *c = SovGetCatalog();
	uint8_t    *secret = sov_secret_alloc_nofork(2 * SOV_KEY_LEN, err);
	uint8_t		database[16];
	volatile enum sov_code rc = SOV_OK;

	if (secret == NULL)
		return err->code;
	watched_rels[0] = c->key_domain;
	watched_rels[1] = c->key_version;
	/* what ereports (reading the tables) must not lose the secret */
	PG_TRY();
	{
		rc = SovOpenKek(secret, database, err);
		if (rc == SOV_OK)
			rc = open_eq(secret, database, secret + SOV_KEY_LEN, err);
		if (rc == SOV_OK && row != NULL)
			rc = SovUnwrapKey(secret, database, row, secret + SOV_KEY_LEN, err);
		if (rc == SOV_OK && row != NULL)
			rc = keep(row, secret + SOV_KEY_LEN, out, err);
	}
	PG_FINALLY();
	{
		sov_secret_free(secret);
	}
	PG_END_TRY();
	return rc;
}

static enum sov_code
no_such_key(int32 typmod, struct sov_error *err)
{
	char		hint[256];

	snprintf(hint, sizeof hint, "Create one with: SELECT %s.create_key('name'); after a restore, the rows of %s.key_version must be restored too.",
			 SovSchemaName(), SovSchemaName());
	if (typmod < 0)
		return sov_fail(err, SOV_E_NOTFOUND, hint, "this database has no encryption key yet");
	return sov_fail(err, SOV_E_NOTFOUND, hint, "there is no encryption key with id %d in this database", SovTypmodKey(typmod));
}

/* The key that seals values of a column with this modifier. */
enum sov_code
SovKeyForTypmod(int32 typmod, struct sov_value_keys **keys, struct sov_error *err)
{
	SovKeyRow	row;
	enum sov_code rc = SOV_OK;
	int			i;

	drop_if_stale();
	if (last_for_typmod != NULL && typmod == last_typmod)
	{
		*keys = last_for_typmod;
		return SOV_OK;
	}
	for (i = 0; i < n_opened; i++)
		if (typmod < 0 ? opened[i].is_default && opened[i].current :
			opened[i].key_id == SovTypmodKey(typmod) && opened[i].current)
			break;
	if (i < n_opened)
		*keys = opened[i].keys;
	else if (!SovFindKeyRow(typmod < 0 ? SOV_BY_DEFAULT : SOV_BY_ID, SovTypmodKey(typmod), &row))
		return no_such_key(typmod, err);
	else
		rc = open_keys(&row, keys, err);
	if (rc == SOV_OK)
	{
		last_typmod = typmod;
		last_for_typmod = *keys;
	}
	return rc;
}

/* May values of this opened key be opened? */
static enum sov_code
ask(OpenedKey *k, struct sov_error *err)
{
	SovKeyRow	row;
	enum sov_code rc;

	if (k->asked == changes && k->may_open)
		return SOV_OK;
	if (!SovFindKeyRow(SOV_BY_VERSION, sov_value_keys_version(k->keys), &row))
		return sov_fail(err, SOV_E_KEY, NULL, "a key was removed");
	rc = SovMayOpen(&row, err);
	k->may_open = rc == SOV_OK;
	k->asked = changes;
	return rc;
}

/* The key under which a stored value was sealed. */
static enum sov_code
find_version(uint32 keyver, OpenedKey **found, struct sov_error *err)
{
	SovKeyRow	row;
	struct sov_value_keys *keys;
	enum sov_code rc = SOV_OK;
	int			i;

	for (i = 0; i < n_opened; i++)
		if (sov_value_keys_version(opened[i].keys) == keyver)
			break;
	if (i == n_opened && !SovFindKeyRow(SOV_BY_VERSION, keyver, &row))
		return sov_fail(err, SOV_E_KEY,
						"The value comes from another database or its key was removed; restore the key's row in the table key_version.",
						"an encrypted value was sealed under key version %08x, which this database does not have", keyver);
	if (i == n_opened)
		rc = open_keys(&row, &keys, err);
	if (rc == SOV_OK)
		*found = &opened[i];
	return rc;
}

/* To open a value: asks whether the user may. */
enum sov_code
SovKeyForVersion(uint32 keyver, struct sov_value_keys **keys, struct sov_error *err)
{
	OpenedKey  *k = NULL;
	enum sov_code rc;

	drop_if_stale();
	if (last_for_version != NULL && sov_value_keys_version(last_for_version) == keyver)
	{
		*keys = last_for_version;
		return SOV_OK;
	}
	rc = find_version(keyver, &k, err);
	if (rc == SOV_OK)
		rc = ask(k, err);
	if (rc == SOV_OK)
		*keys = last_for_version = k->keys;
	return rc;
}

/* To seal a value anew, which shows nobody anything. */
enum sov_code
SovKeyForVersionAnyway(uint32 keyver, struct sov_value_keys **keys, struct sov_error *err)
{
	OpenedKey  *k = NULL;
	enum sov_code rc;

	drop_if_stale();
	rc = find_version(keyver, &k, err);
	if (rc == SOV_OK)
		*keys = k->keys;
	return rc;
}

/* The key of equality tags. */
enum sov_code
SovEqKey(struct sov_cmac **eq, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	drop_if_stale();
	if (eq_key == NULL)
		rc = open_keys(NULL, NULL, err);
	*eq = eq_key;
	return rc;
}

struct sov_cmac *
SovEqLoaded(void)
{
	return eq_key;
}

/* --- nonces --- */

void
SovNonce(uint8_t nonce[SOV_NONCE_LEN])
{
	struct sov_error err;

	if (nonces_left < SOV_NONCE_LEN || nonces_pid != MyProcPid)
	{
		int			want = nonces_used && nonces_pid == MyProcPid ? NONCE_BLOCK : NONCE_FIRST;

		if (IsPostmasterEnvironment && !IsUnderPostmaster)
			elog(ERROR, "nonces are not drawn in the postmaster");
		if (nonces == NULL || nonces_pid != MyProcPid)
		{
			nonces = sov_secret_alloc_nofork(NONCE_BLOCK, &err);
			if (nonces == NULL)
				SovRaise(&err);
		}
		nonces_left = 0;
		if (sov_random(nonces, (size_t) want, &err) != SOV_OK)
			SovRaise(&err);
		nonces_left = want;
		nonces_pid = MyProcPid;
		nonces_used = true;
	}
	nonces_left -= SOV_NONCE_LEN;
	memcpy(nonce, nonces + nonces_left, SOV_NONCE_LEN);
}

static void
transaction_end(XactEvent event, void *arg)
{
	nonces_left = 0;
	nonces_used = false;
}

void
SovKeysInit(void)
{
	CacheRegisterRelcacheCallback(relcache_changed, PointerGetDatum(watched_rels));
	RegisterXactCallback(transaction_end, NULL);
}
