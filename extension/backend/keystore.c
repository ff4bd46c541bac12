/*
 * keystore.c - the key tables, what lies in them, create_key, new versions.
 *
 * key_domain holds one row: the key-encryption key (KEK) of this database,
 * wrapped by the custodian's root key with AES-KWP, and a random id of the
 * database.  key_version holds the equality key and the versions of data keys,
 * each sealed with AES-256-GCM under the KEK:
 *   wrapped    = nonce 12 | key 32 | tag 16
 *   AAD        = "pg_sovereign key v1" str | domain str | database id 16 |
 *                name str | version u32 | purpose u8   (str = u16 length, UTF-8)
 *   commitment = sov_commit(key, ...), so that no wrapped key opens as two
 * Nothing in them is of use without the root key; they are dumped by pg_dump.
 *
 * Where the library is preloaded, the worker wraps and unwraps (lease.c), and neither
 * the root key nor the KEK comes into a backend; elsewhere this file asks the
 * custodian itself.
 */
#include "lease.h"

#include "catalog/pg_collation.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "sov_bytes.h"
#include "sov_custodian.h"
#include "sov_keyring.h"

/* Column numbers of the install script. */
enum { DOM_DOMAIN = 1, DOM_ID, DOM_ROOT, DOM_CUSTODIAN, DOM_WRAPPED, DOM_COMMITMENT, DOM_CREATED, DOM_N = DOM_CREATED };
enum { VER_NAME = 1, VER_KEY_ID, VER_VERSION, VER_PURPOSE, VER_CURRENT, VER_DEFAULT, VER_WRAPPED, VER_COMMITMENT, VER_CREATED, VER_NEEDS_PURPOSE, VER_FIRST_UNIT, VER_STRICT, VER_N = VER_STRICT };

PG_FUNCTION_INFO_V1(sov_create_key);

/* 30 bits from the name, so that a table's definition restores before the
 * rows of its keys. */
int32
SovKeyIdOfName(const char *name)
{
	char	   *utf8 = pg_server_to_any(name, strlen(name), PG_UTF8);
	struct sov_span spans[2] = {{"pg_sovereign key id v1", 22}, {utf8, strlen(utf8)}};
	uint8_t		hash[32];
	struct sov_error err;

	if (sov_sha256(spans, 2, hash, &err) != SOV_OK)
		SovRaise(&err);
	return (int32) (sov_get_le32(hash) & 0x3fffffff);
}

/* --- reading the tables (whoever asks: what they hold is wrapped) --- */

static size_t
copy_bytea(Datum d, uint8_t *dst, size_t min, size_t max)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(d);
	size_t		len = VARSIZE_ANY_EXHDR(v);

	if (len < min || len > max)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a wrapped key in this database has a wrong length"),
				 errhint("Restore the tables key_domain and key_version from a dump of this database.")));
	memcpy(dst, VARDATA_ANY(v), len);
	return len;
}

void
SovDeform(HeapTuple tuple, TupleDesc desc, int n, Datum *values, bool *nulls)
{
	if (desc->natts != n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a table of keys has another number of columns than this library knows"),
				 errhint("ALTER EXTENSION pg_sovereign UPDATE, or install the library that belongs to the extension's version and reconnect.")));
	heap_deform_tuple(tuple, desc, values, nulls);
}

static void
row_of_tuple(HeapTuple tuple, TupleDesc desc, SovKeyRow *row)
{
	Datum		values[VER_N];
	bool		nulls[VER_N];

	SovDeform(tuple, desc, VER_N, values, nulls);
	strlcpy(row->name, TextDatumGetCString(values[VER_NAME - 1]), sizeof row->name);
	row->key_id = DatumGetInt32(values[VER_KEY_ID - 1]);
	row->version = (uint32) DatumGetInt64(values[VER_VERSION - 1]);
	row->purpose = DatumGetInt16(values[VER_PURPOSE - 1]);
	row->current = DatumGetBool(values[VER_CURRENT - 1]);
	row->is_default = DatumGetBool(values[VER_DEFAULT - 1]);
	row->needs_purpose = DatumGetBool(values[VER_NEEDS_PURPOSE - 1]);
	row->first_unit = DatumGetInt64(values[VER_FIRST_UNIT - 1]);
	row->strict = DatumGetInt16(values[VER_STRICT - 1]);
	copy_bytea(values[VER_WRAPPED - 1], row->wrapped, sizeof row->wrapped, sizeof row->wrapped);
	copy_bytea(values[VER_COMMITMENT - 1], row->commitment, 32, 32);
}

/* The same without its table. */
void
SovWrappedOf(const SovKeyRow *row, SovWrappedKey *wrapped)
{
	memset(wrapped, 0, sizeof *wrapped);	/* they are compared as a whole */
	strlcpy(wrapped->name, pg_server_to_any(row->name, strlen(row->name), PG_UTF8), sizeof wrapped->name);
	wrapped->version = row->version;
	wrapped->purpose = row->purpose;
	memcpy(wrapped->wrapped, row->wrapped, sizeof wrapped->wrapped);
	memcpy(wrapped->commitment, row->commitment, sizeof wrapped->commitment);
}

bool
SovFindKeyRow(enum SovKeyBy by, int64 value, SovKeyRow *row)
{
	Oid			relid = SovGetCatalog()->key_version;
	Relation	rel;
	ScanKeyData keys[3];
	int			n = 0;
	SysScanDesc scan;
	HeapTuple	tuple;
	struct sov_error err;
	TimestampTz until;
	bool		found;

	if (!OidIsValid(relid))
		return false;
	ScanKeyInit(&keys[n++], VER_PURPOSE, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(by == SOV_BY_EQ ? SOV_KEY_EQ : SOV_KEY_DATA));
	if (by == SOV_BY_VERSION)
		ScanKeyInit(&keys[n++], VER_VERSION, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(value));
	else
		ScanKeyInit(&keys[n++], VER_CURRENT, BTEqualStrategyNumber, F_BOOLEQ, BoolGetDatum(true));
	if (by == SOV_BY_ID)
		ScanKeyInit(&keys[n++], VER_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum((int32) value));
	if (by == SOV_BY_DEFAULT)
		ScanKeyInit(&keys[n++], VER_DEFAULT, BTEqualStrategyNumber, F_BOOLEQ, BoolGetDatum(true));
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, n, keys);
	tuple = systable_getnext(scan);
	found = false;
	for (; !found && HeapTupleIsValid(tuple); tuple = systable_getnext(scan))
	{
		row_of_tuple(tuple, RelationGetDescr(rel), row);
		found = by != SOV_BY_RIGHT || SovMayOpen(row, &until, &err) == SOV_OK;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
SovFindDomain(SovDomainRow *row)
{
	Oid			relid = SovGetCatalog()->key_domain;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Datum		values[DOM_N];
		bool		nulls[DOM_N];

		SovDeform(tuple, RelationGetDescr(rel), DOM_N, values, nulls);
		memset(row, 0, sizeof *row);
		memcpy(row->id, DatumGetUUIDP(values[DOM_ID - 1])->data, 16);
		row->wrapped_len = copy_bytea(values[DOM_WRAPPED - 1], row->wrapped, 16, SOV_WRAPPED_MAX);
		copy_bytea(values[DOM_COMMITMENT - 1], row->commitment, 32, 32);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* --- the custodian --- */

static enum sov_code
open_custodian(const uint8_t *epoch, struct sov_custodian **custodian, struct sov_error *err)
{
	static char command[MAXPGPATH];
	struct sov_config *cfg;
	char		hint[512];
	enum sov_code rc;

	SovCommandPath(command, sizeof command);
	sov_custodian_set_program(command);
	snprintf(hint, sizeof hint,
			 "As the server's operating-system user run \"pg_sovereign key create-root\" with the path of a new key file outside the data directory, "
			 "and name that file in %.200s, section [custody], as: root = file:/path/to/root.key", sov_config_file);
	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
		return sov_fail(err, SOV_E_CONFIG, hint, "there is no configuration file %.300s, so no root key is known", sov_config_file);
	cfg = palloc0(sizeof *cfg);
	rc = sov_config_read(sov_config_file, SOV_NEED_CUSTODY, cfg, err);
	if (rc == SOV_OK)
	{
		if (cfg->data_directory[0] == '\0')
			strlcpy(cfg->data_directory, DataDir, sizeof cfg->data_directory);
		rc = sov_custodian_check_place(cfg, err);
	}
	if (rc == SOV_OK)
		rc = epoch ? sov_custodian_open_epoch(cfg, epoch, custodian, err) : sov_custodian_open(cfg->root, custodian, err);
	if (rc != SOV_OK && err->hint[0] == '\0')
		strlcpy(err->hint, hint, sizeof err->hint);
	pfree(cfg);
	return rc;
}

enum sov_code
SovNoDomain(struct sov_error *err)
{
	return sov_fail(err, SOV_E_KEY, "Create the first key with create_key('name'), or restore the row of the table key_domain.",
					"this database has no key-encryption key");
}

enum sov_code
SovOpenKek(const SovDomainRow *domain, uint8_t *kek, struct sov_error *err)
{
	struct sov_custodian *custodian;
	enum sov_code rc = open_custodian(domain->epoch ? domain->id : NULL, &custodian, err);

	if (rc != SOV_OK)
		return rc;
	rc = sov_custodian_unwrap(custodian, domain->wrapped, domain->wrapped_len, kek, err);
	sov_custodian_close(custodian);
	return rc == SOV_OK ? SovCheckKek(kek, domain, err) : rc;
}

/* A key-encryption key, wrapped. */
static enum sov_code
make_domain(uint8_t *kek, SovDomainRow *domain, uint8_t root_id[16], char about[256], struct sov_error *err)
{
	struct sov_custodian *custodian;
	enum sov_code rc = open_custodian(NULL, &custodian, err);

	if (rc != SOV_OK)
		return rc;
	rc = sov_random(kek, SOV_KEY_LEN, err);
	if (rc == SOV_OK)
		rc = custodian->ops->wrap(custodian, kek, domain->wrapped, &domain->wrapped_len, err);
	if (rc == SOV_OK)
		rc = sov_commit(kek, SOV_COMMIT_KEK, domain->commitment, err);
	custodian->ops->describe(custodian, about, 256);
	memcpy(root_id, custodian->root_id, 16);
	sov_custodian_close(custodian);
	return rc;
}

/* A new key for a row that has its name and purpose. */
static enum sov_code
wrap_new_key(const uint8_t *kek, const SovDomainRow *domain, SovKeyRow *row, struct sov_error *err)
{
	SovWrappedKey k;
	enum sov_code rc;

	SovWrappedOf(row, &k);
	rc = SovPreloaded ? SovLeaseNewKey(domain, &k, err) : SovWrapNewKey(kek, domain, &k, err);
	row->version = k.version;
	memcpy(row->wrapped, k.wrapped, sizeof row->wrapped);
	memcpy(row->commitment, k.commitment, sizeof row->commitment);
	return rc;
}

Datum
SovBytea(const void *src, size_t len)
{
	bytea	   *b = palloc(VARHDRSZ + len);

	SET_VARSIZE(b, VARHDRSZ + len);
	memcpy(VARDATA(b), src, len);
	return PointerGetDatum(b);
}

/* --- create_key --- */

static void
insert_key(SovKeyRow *row)
{
	Oid			types[10] = {TEXTOID, INT4OID, INT8OID, INT2OID, BOOLOID, BOOLOID, BYTEAOID, BYTEAOID, BOOLOID, INT2OID};
	Datum		values[10];

	values[0] = CStringGetTextDatum(row->name);
	values[1] = Int32GetDatum(row->key_id);
	values[2] = Int64GetDatum((int64) row->version);
	values[3] = Int16GetDatum((int16) row->purpose);
	values[4] = BoolGetDatum(row->current);
	values[5] = BoolGetDatum(row->is_default);
	values[6] = SovBytea(row->wrapped, sizeof row->wrapped);
	values[7] = SovBytea(row->commitment, 32);
	values[8] = BoolGetDatum(row->needs_purpose);
	values[9] = Int16GetDatum((int16) row->strict);
	SPI_execute_with_args(psprintf("INSERT INTO %s.key_version (name, key_id, version, purpose, current, is_default, wrapped, commitment, needs_purpose, strict, first_unit)"
								   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (SELECT last_value FROM %s.key_seals))", SovSchemaName(), SovSchemaName()),
						  10, types, values, NULL, false, 0);
}

/* The database's first key: make and store its key-encryption key. */
static enum sov_code
create_domain(uint8_t *kek, SovDomainRow *domain, struct sov_error *err)
{
	Oid			types[5] = {UUIDOID, UUIDOID, TEXTOID, BYTEAOID, BYTEAOID};
	Datum		values[5];
	uint8_t		root_id[16];
	char		about[256];
	enum sov_code rc;

	memset(domain, 0, sizeof *domain);
	rc = sov_random(domain->id, 16, err);
	if (rc == SOV_OK)
		rc = SovPreloaded ? SovLeaseNewDomain(domain, root_id, about, err) : make_domain(kek, domain, root_id, about, err);
	if (rc != SOV_OK)
		return rc;
	values[0] = UUIDPGetDatum((pg_uuid_t *) domain->id);
	values[1] = UUIDPGetDatum((pg_uuid_t *) root_id);
	values[2] = CStringGetTextDatum(about);
	values[3] = SovBytea(domain->wrapped, domain->wrapped_len);
	values[4] = SovBytea(domain->commitment, 32);
	SPI_execute_with_args(psprintf("INSERT INTO %s.key_domain VALUES ('" SOV_DOMAIN "', $1, $2, $3, $4, $5)", SovSchemaName()),
						  5, types, values, NULL, false, 0);
	return SOV_OK;
}

/* The stored one; preloaded, the key itself stays with the worker. */
static enum sov_code
open_domain(uint8_t *kek, SovDomainRow *domain, struct sov_error *err)
{
	if (!SovFindDomain(domain))
		return SovNoDomain(err);
	return SovPreloaded ? SOV_OK : SovOpenKek(domain, kek, err);
}

static enum sov_code
store_keys(const char *name, uint8_t *kek, struct sov_error *err)
{
	SovKeyRow	row = {.key_id = SovKeyIdOfName(name), .purpose = SOV_KEY_DATA, .current = true};
	SovKeyRow	eq = {.purpose = SOV_KEY_EQ, .current = true};
	SovDomainRow domain;
	bool		first = !SovFindDomain(&domain);
	SovKeyRow	other;
	enum sov_code rc;

	if (SovFindKeyRow(SOV_BY_ID, row.key_id, &other))
		return sov_fail(err, SOV_E_EXISTS, strcmp(other.name, name) == 0 ? NULL : "Choose another name.",
						strcmp(other.name, name) == 0 ? "key \"%s\" exists already" :
						"key \"%s\" would have the same id as an existing key", name);
	rc = first ? create_domain(kek, &domain, err) : open_domain(kek, &domain, err);
	if (rc == SOV_OK && first)
	{
		rc = wrap_new_key(kek, &domain, &eq, err);
		if (rc == SOV_OK)
			insert_key(&eq);
	}
	strlcpy(row.name, name, sizeof row.name);
	row.is_default = !SovFindKeyRow(SOV_BY_DEFAULT, 0, &other);
	if (rc == SOV_OK)
		rc = wrap_new_key(kek, &domain, &row, err);
	if (rc == SOV_OK)
		insert_key(&row);
	return rc;
}

static void
check_name(const char *name)
{
	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN || strspn(name, "0123456789") == strlen(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" cannot be the name of a key", name),
				 errhint("A name has 1 to %d bytes and is not a number.", NAMEDATALEN - 1)));
}

/* Store keys under the lock of the key tables, one session at a time: the first
 * key makes the database's own ones.  SPI must be connected. */
static void
store_locked(const char *name, enum sov_code (*store) (const char *name, uint8_t *kek, struct sov_error *err))
{
	struct sov_error err;
	uint8_t    *kek = sov_secret_alloc_nofork(SOV_KEY_LEN, &err);
	volatile enum sov_code rc = SOV_OK;

	if (kek == NULL)
		SovRaise(&err);
	PG_TRY();
	{
		SPI_execute(psprintf("LOCK TABLE %s.key_domain, %s.key_version IN SHARE ROW EXCLUSIVE MODE",
							 SovSchemaName(), SovSchemaName()), false, 0);
		rc = store(name, kek, &err);
	}
	PG_FINALLY();
	{
		sov_secret_free(kek);
	}
	PG_END_TRY();
	if (rc != SOV_OK)
		SovRaise(&err);
	/* every backend drops its opened keys: now here, at commit elsewhere */
	CacheInvalidateRelcacheByRelid(SovGetCatalog()->key_version);
}

Datum
sov_create_key(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	check_name(name);
	SPI_connect();
	store_locked(name, store_keys);
	SPI_finish();
	PG_RETURN_VOID();
}

/* --- a new version of a key --- */

static enum sov_code
store_version(const char *name, uint8_t *kek, struct sov_error *err)
{
	SovKeyRow	row;
	SovDomainRow domain;
	enum sov_code rc;

	if (!SovFindKeyRow(SOV_BY_ID, SovKeyIdOfName(name), &row) || strcmp(row.name, name) != 0)
		return sov_fail(err, SOV_E_NOTFOUND, psprintf("The view %s.keys shows the keys.", SovSchemaName()), "key \"%s\" does not exist", name);
	rc = open_domain(kek, &domain, err);
	if (rc == SOV_OK)
	{
		/* the former version stays: stored values and backups refer to it */
		SPI_execute_with_args(psprintf("UPDATE %s.key_version SET current = false WHERE version OPERATOR(pg_catalog.=) $1", SovSchemaName()),
							  1, (Oid[1]) {INT8OID}, (Datum[1]) {Int64GetDatum((int64) row.version)}, NULL, false, 0);
		row.version = 0;
		rc = wrap_new_key(kek, &domain, &row, err);
	}
	if (rc == SOV_OK)
		insert_key(&row);
	return rc;
}

/* The new version becomes the current one with the caller's transaction; SPI must
 * be connected. */
void
SovNewKeyVersion(const char *name)
{
	store_locked(name, store_version);
}
