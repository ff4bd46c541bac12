/*
 * keys.c - the opened keys of this backend.
 *
 * A key is opened when it is first used.  Where the library is preloaded, the worker
 * does that and what is kept here are pointers into the vault (lease.h), good at one
 * generation.  Elsewhere this backend does: root key -> key-encryption key -> data
 * key, the upper two are wiped at once, and the expanded data key stays in locked
 * memory that reads as zeros after fork.
 *
 * Any change of the key tables (a relcache invalidation, also that of an aborted
 * create_key) makes the cache stale, and so does another generation; it is dropped at
 * the next entry and never in between, so that a key in use is not wiped.
 *
 * A transaction that had keys and loses them fails, whatever sovereign.on_denied says:
 * nothing half in the clear and half masked is written or shown.
 */
#include "audit.h"
#include "keys.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "utils/inval.h"

typedef struct OpenedKey
{
	int32		key_id;
	uint32		version;
	bool		current;
	bool		may_open;		/* the last answer of SovMayOpen(), */
	uint64		asked;			/* given at this count of changes, */
	Oid			owner;			/* for this SovOwnerToo(), */
	TimestampTz glass_until;	/* by break-glass, until then; 0: by right */
	TimestampTz glass_asked;	/* a clock before that was set back */
	int64		glass_ends;		/* boot clock: the same end, whatever is set */
	struct sov_value_keys *keys;
	struct
	{
		SovUse	   *use;
		uint64		asked;		/* likewise */
	}			uses[SOV_USE_DENIED + 1];	/* for the audit log */
} OpenedKey;

static OpenedKey *opened;
static int	n_opened;
static struct sov_cmac *eq_key;
static bool stale;
static bool tables_changed;		/* since the last drop */
static uint64 changes = 1;		/* of who may open */

static int32 last_typmod;
static struct sov_value_keys *last_for_typmod;
static uint32 last_version;
static struct sov_value_keys *last_for_version;
static Oid	last_owner;			/* SovOwnerToo() then */
static SovUse *last_use;		/* that of the last version */

#define REFUSED_US 200000		/* a refusal is not asked for again by each value */
#define GLANCE_EVERY 4096		/* values */

static bool had_keys;			/* in this transaction */
static bool lost_keys;
static int64 refused_until;		/* boot clock */
static struct sov_error refusal;
static int	to_glance = GLANCE_EVERY;

void
SovKeysForget(void)
{
	stale = true;
}

void
SovKeysRecheck(void)
{
	changes++;
	last_for_typmod = last_for_version = NULL;
}

static void
relcache_changed(Datum arg, Oid relid)
{
	const Oid  *watched = (const Oid *) DatumGetPointer(arg);

	if (relid == InvalidOid || relid == watched[0] || relid == watched[1])
		stale = tables_changed = true;
}

static Oid	watched_rels[2];

void
SovKeysWatch(void)
{
	watched_rels[0] = SovGetCatalog()->key_domain;
	watched_rels[1] = SovGetCatalog()->key_version;
}

/* On a standby nobody else tells that the tables of persons were changed.  (That of an
 * erasure sessions see for themselves: SovSubjectsState.) */
static void
empty_arena(void)
{
	if (!SovPreloaded || !tables_changed || !RecoveryInProgress())
		return;
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	SovVaultEmpty(-1);
	LWLockRelease(sov_lease->lock);
}

static void
drop(void)
{
	empty_arena();
	stale = tables_changed = false;
	changes++;
	last_for_typmod = last_for_version = NULL;
	for (int i = 0; i < n_opened && !SovPreloaded; i++)
		sov_value_keys_free(opened[i].keys);
	free(opened);
	opened = NULL;
	n_opened = 0;
	if (!SovPreloaded)
		sov_cmac_free(eq_key);
	eq_key = NULL;
	SovEpochForget();
	sov_crypto_forget();
	SovSeen = *SovGeneration;
	pg_read_barrier();
}

static inline void
drop_if_stale(void)
{
	if (--to_glance < 0)
	{
		to_glance = GLANCE_EVERY;
		SovLeaseGlance();
	}
	if (stale || SovSeen != *SovGeneration)
		drop();
}

void
SovKeysFresh(void)
{
	drop_if_stale();
}

void
SovKeysHad(void)
{
	had_keys = true;
}

/* Did this transaction have keys that it cannot get again? */
bool
SovKeysLost(void)
{
	return lost_keys;
}

/* --- opening --- */

static enum sov_code
find_eq(SovWrappedKey *k, struct sov_error *err)
{
	SovKeyRow	row;

	if (!SovFindKeyRow(SOV_BY_EQ, 0, &row))
		return sov_fail(err, SOV_E_KEY, "restore the rows of the table key_version from a dump of this database",
						"the equality key of this database is missing");
	SovWrappedOf(&row, k);
	return SOV_OK;
}

static enum sov_code
keep(const SovKeyRow *row, struct sov_value_keys *keys, struct sov_error *err)
{
	OpenedKey  *grown = realloc(opened, (size_t) (n_opened + 1) * sizeof *opened);

	if (grown == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	opened = grown;
	opened[n_opened].key_id = row->key_id;
	opened[n_opened].version = row->version;
	opened[n_opened].current = row->current;
	opened[n_opened].asked = 0;
	opened[n_opened].keys = keys;
	memset(opened[n_opened].uses, 0, sizeof opened[n_opened].uses);
	n_opened++;
	return SOV_OK;
}

/* This process asks the custodian itself.  secret: room for two keys. */
static enum sov_code
open_own(const SovDomainRow *domain, const SovKeyRow *row, uint8_t *secret, struct sov_error *err)
{
	uint8_t    *key = secret + SOV_KEY_LEN;
	struct sov_value_keys *keys;
	SovWrappedKey k;
	enum sov_code rc = SovOpenKek(domain, secret, err);

	if (rc == SOV_OK && eq_key == NULL)
	{
		rc = find_eq(&k, err);
		if (rc == SOV_OK)
			rc = SovUnwrapKey(secret, domain, &k, key, err);
		if (rc == SOV_OK && (eq_key = sov_cmac_new(key, err)) == NULL)
			rc = err->code;
	}
	if (rc != SOV_OK || row == NULL)
		return rc;
	SovWrappedOf(row, &k);
	rc = SovUnwrapKey(secret, domain, &k, key, err);
	if (rc == SOV_OK && (keys = sov_value_keys_new(key, row->version, err)) == NULL)
		rc = err->code;
	if (rc == SOV_OK)
		rc = keep(row, keys, err);
	return rc;
}

static enum sov_code
open_on_loan(const SovDomainRow *domain, const SovKeyRow *row, struct sov_error *err)
{
	SovWrappedKey k;
	void	   *mem;
	enum sov_code rc = SOV_OK;

	if (eq_key == NULL)
	{
		rc = find_eq(&k, err);
		if (rc == SOV_OK)
			rc = SovLeaseOpen(domain, &k, &mem, err);
		if (rc == SOV_OK)
			eq_key = mem;
	}
	if (rc != SOV_OK || row == NULL)
		return rc;
	SovWrappedOf(row, &k);
	rc = SovLeaseOpen(domain, &k, &mem, err);
	return rc == SOV_OK ? keep(row, mem, err) : rc;
}

/* Values come by the million: a refusal counts for a while. */
enum sov_code
SovKeysRefused(struct sov_error *err)
{
	if (refused_until == 0 || SovBootNow() >= refused_until)
		return SOV_OK;
	*err = refusal;
	return err->code;
}

enum sov_code
SovKeysRemember(enum sov_code rc, struct sov_error *err)
{
	if (rc == SOV_OK || !SovPreloaded)
		return rc;
	refusal = *err;
	refused_until = SovBootNow() + REFUSED_US;
	lost_keys = had_keys;
	return rc;
}

/* Open the equality key and, where row is given, that data key, which becomes the last
 * one of opened[]. */
static enum sov_code
open_keys(const SovKeyRow *row, struct sov_error *err)
{
	SovDomainRow domain;
	uint8_t    *secret;
	volatile enum sov_code rc = SOV_OK;

	SovKeysWatch();
	if (!SovFindDomain(&domain))
		return SovNoDomain(err);
	if (SovPreloaded)
		return SovKeysRemember(open_on_loan(&domain, row, err), err);
	secret = sov_secret_alloc_nofork(2 * SOV_KEY_LEN, err);
	if (secret == NULL)
		return err->code;
	/* what ereports (reading the tables) must not lose the secret */
	PG_TRY();
	{
		rc = open_own(&domain, row, secret, err);
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

/* What has no modifier, literals and parameters above all, is sealed under the default
 * key, or else under one whose values the user may open again.  -1: there is none. */
static int32
operand_key(void)
{
	static uint64 asked;
	static int32 key_id = -1;
	struct sov_error err;
	SovKeyRow	row,
				other;
	TimestampTz until;

	if (key_id < 0 || asked != changes)
	{
		key_id = -1;
		if (SovFindKeyRow(SOV_BY_DEFAULT, 0, &row))
			key_id = SovMayOpen(&row, &until, &err) != SOV_OK && SovFindKeyRow(SOV_BY_RIGHT, 0, &other) ? other.key_id : row.key_id;
		asked = changes;
	}
	return key_id;
}

/* The key is about to be used: on record, with the purpose of now. */
static enum sov_code
used(OpenedKey *k, enum SovUseKind kind, struct sov_error *err)
{
	SovKeyRow	row;

	if (k->uses[kind].use == NULL || k->uses[kind].asked != changes)
	{
		if (!SovFindKeyRow(SOV_BY_VERSION, k->version, &row))
			return sov_fail(err, SOV_E_KEY, "Values under it are not opened any more; drop_key() is refused while a column uses a key.", "key version %08x was removed", k->version);
		k->uses[kind].use = SovUseOf(kind, &row, kind == SOV_USE_OPEN && k->glass_until != 0);
		k->uses[kind].asked = changes;
	}
	return SovUseNote(k->uses[kind].use, err);
}

/* The key that seals values of a column with this modifier. */
enum sov_code
SovKeyForTypmod(int32 typmod, struct sov_value_keys **keys, struct sov_error *err)
{
	SovKeyRow	row;
	enum sov_code rc = SOV_OK;
	int32		key_id;
	int			i;

	drop_if_stale();
	if (last_for_typmod != NULL && typmod == last_typmod)
	{
		*keys = last_for_typmod;
		return SOV_OK;
	}
	key_id = typmod < 0 ? operand_key() : SovTypmodKey(typmod);
	for (i = 0; i < n_opened; i++)
		if (opened[i].key_id == key_id && opened[i].current)
			break;
	if (i == n_opened && (rc = SovKeysRefused(err)) != SOV_OK)
		return rc;
	if (i == n_opened)
	{
		if (!SovFindKeyRow(SOV_BY_ID, key_id, &row))
			return no_such_key(typmod, err);
		rc = open_keys(&row, err);
	}
	if (rc == SOV_OK)
		rc = used(&opened[i], SOV_USE_SEAL, err);
	if (rc == SOV_OK)
	{
		*keys = opened[i].keys;
		last_typmod = typmod;
		last_for_typmod = *keys;
		had_keys = true;
	}
	return rc;
}

static bool
glass_is_open(const OpenedKey *k)
{
	TimestampTz now = GetCurrentTimestamp();

	return now >= k->glass_asked && now < k->glass_until && SovBootNow() < k->glass_ends;
}

/* May values of this opened key be opened? */
static enum sov_code
ask(OpenedKey *k, struct sov_error *err)
{
	SovKeyRow	row;
	Oid			owner = SovOwnerToo();
	enum sov_code rc;

	if (k->asked == changes && k->owner == owner && k->may_open && (k->glass_until == 0 || glass_is_open(k)))
		return SOV_OK;
	if (!SovFindKeyRow(SOV_BY_VERSION, k->version, &row))
		return sov_fail(err, SOV_E_KEY, "Values under it are not opened any more; drop_key() is refused while a column uses a key.", "key version %08x was removed", k->version);
	rc = SovMayOpen(&row, &k->glass_until, err);
	k->glass_asked = k->glass_until ? GetCurrentTimestamp() : 0;
	k->glass_ends = k->glass_until ? SovBootNow() + (k->glass_until - k->glass_asked) : 0;
	k->may_open = rc == SOV_OK;
	k->asked = changes;
	k->owner = owner;
	if (rc != SOV_OK)
		(void) used(k, SOV_USE_DENIED, &(struct sov_error) {0});
	return rc;
}

/* The key under which a stored value was sealed. */
static enum sov_code
find_version(uint32 keyver, OpenedKey **found, struct sov_error *err)
{
	SovKeyRow	row;
	enum sov_code rc = SOV_OK;
	int			i;

	for (i = 0; i < n_opened; i++)
		if (opened[i].version == keyver)
			break;
	if (i == n_opened && (rc = SovKeysRefused(err)) != SOV_OK)
		return rc;
	if (i == n_opened && !SovFindKeyRow(SOV_BY_VERSION, keyver, &row))
		return sov_fail(err, SOV_E_KEY,
						"The value comes from another database or its key was removed; restore the key's row in the table key_version.",
						"an encrypted value was sealed under key version %08x, which this database does not have", keyver);
	if (i == n_opened)
		rc = open_keys(&row, err);
	if (rc != SOV_OK)
		return rc;
	*found = &opened[i];
	had_keys = true;
	return SOV_OK;
}

/* To open a value: asks whether the user may. */
enum sov_code
SovKeyForVersion(uint32 keyver, struct sov_value_keys **keys, struct sov_error *err)
{
	OpenedKey  *k = NULL;
	enum sov_code rc;

	drop_if_stale();
	if (last_for_version != NULL && last_version == keyver && last_owner == SovOwnerToo())
	{
		last_use->opened++;
		*keys = last_for_version;
		return SOV_OK;
	}
	rc = find_version(keyver, &k, err);
	if (rc == SOV_OK)
		rc = ask(k, err);
	if (rc == SOV_OK)
		rc = used(k, SOV_USE_OPEN, err);
	if (rc != SOV_OK)
		return rc;
	*keys = k->keys;
	last_use = k->uses[SOV_USE_OPEN].use;
	last_use->opened++;
	last_version = keyver;
	last_owner = SovOwnerToo();
	last_for_version = last_use->strict ? NULL : k->keys;	/* each statement is on record */
	return SOV_OK;
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
		rc = used(k, SOV_USE_RESEAL, err);
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
	if (eq_key == NULL && (rc = SovKeysRefused(err)) == SOV_OK)
		rc = open_keys(NULL, err);
	*eq = eq_key;
	return rc;
}

struct sov_cmac *
SovEqLoaded(void)
{
	return eq_key;
}

static void
transaction_end(XactEvent event, void *arg)
{
	had_keys = lost_keys = false;
	refused_until = 0;
	SovTookCiphertext = false;
	if (!SovPreloaded)
		return;
	/* found anew by the next one, which so tells that it had them */
	last_for_typmod = last_for_version = NULL;
	sov_crypto_forget();
	SovLeaseGlance();
}

void
SovKeysInit(void)
{
	CacheRegisterRelcacheCallback(relcache_changed, PointerGetDatum(watched_rels));
	RegisterXactCallback(transaction_end, NULL);
}
