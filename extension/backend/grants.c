/*
 * grants.c - who may decrypt.
 *
 * A key without grants may be used by whoever may select a column; the first grant
 * restricts it to the roles granted.  What counts is the authenticated user, the one
 * that logged in: neither SET ROLE, nor SET SESSION AUTHORIZATION, nor a
 * security-definer function, nor being a superuser changes that.  Members of a
 * granted role may too (a superuser is not a member of every role here).
 *
 * Sealing needs no grant, and comparing equality tags opens nothing, so that a role
 * that only writes or looks up needs none.
 *
 * The answer is kept with the opened key (keys.c) until a grant, a membership or the
 * purpose changes.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Columns of the table key_grant. */
enum { GRANT_KEY_ID = 1, GRANT_KEY, GRANT_ROLE, GRANT_N = GRANT_ROLE };
/* Columns of the table key_purpose. */
enum { PURPOSE_KEY_ID = 1, PURPOSE_KEY, PURPOSE_PURPOSE, PURPOSE_N = PURPOSE_PURPOSE };

static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	SovKeysRecheck();
}

/* A role that was granted and dropped since holds nothing. */
static bool
is_granted(Oid user, const char *role)
{
	Oid			oid = get_role_oid(role, true);

	return OidIsValid(oid) && is_member_of_role_nosuper(user, oid);
}

static bool
granted(int32 key_id, Oid user)
{
	Oid			relid = SovGetCatalog()->key_grant;
	Relation	rel = table_open(relid, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		any = false,
				found = false;

	ScanKeyInit(&key, GRANT_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(key_id));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		any = true;
		found = is_granted(user, NameStr(*DatumGetName(heap_getattr(tuple, GRANT_ROLE, RelationGetDescr(rel), &isnull))));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found || !any;
}

/* Is the session's purpose one of the key's, where it has a list? */
static bool
purpose_allowed(int32 key_id)
{
	Oid			relid = SovGetCatalog()->key_purpose;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		any = false,
				found = false;

	if (!OidIsValid(relid))
		return true;
	rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&key, PURPOSE_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(key_id));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		any = true;
		found = strcmp(TextDatumGetCString(heap_getattr(tuple, PURPOSE_PURPOSE, RelationGetDescr(rel), &isnull)), sov_purpose) == 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found || !any;
}

enum sov_code
SovMayOpen(const SovKeyRow *row, struct sov_error *err)
{
	Oid			user = GetAuthenticatedUserId();
	char		hint[200];

	if (OidIsValid(user) && OidIsValid(SovGetCatalog()->key_grant) && !granted(row->key_id, user))
	{
		snprintf(hint, sizeof hint, "The user that logged in counts, not SET ROLE nor the owner of a function. A grant is given by: SELECT %.60s.grant_decrypt('%s', 'role')",
				 SovSchemaName(), row->name);
		return sov_fail(err, SOV_E_DENIED, hint, "user \"%s\" may not decrypt values of key \"%s\"", GetUserNameFromId(user, true), row->name);
	}
	if (row->needs_purpose && (sov_purpose == NULL || sov_purpose[0] == '\0'))
		return sov_fail(err, SOV_E_DENIED, "Say what for: SET sovereign.purpose = '...'",
						"values of key \"%s\" are decrypted for a purpose only, and this session has named none", row->name);
	if (row->needs_purpose && !purpose_allowed(row->key_id))
	{
		snprintf(hint, sizeof hint, "The view %.60s.keys lists them. Another is allowed by: SELECT %.60s.allow_purpose('%s', '...')", SovSchemaName(), SovSchemaName(), row->name);
		return sov_fail(err, SOV_E_DENIED, hint, "values of key \"%s\" are decrypted for certain purposes only, and \"%s\" is none of them", row->name, sov_purpose);
	}
	return SOV_OK;
}

void
SovGrantsInit(void)
{
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, roles_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, roles_changed, (Datum) 0);
}

PG_FUNCTION_INFO_V1(sov_keys_changed);

/* For functions that change the key tables: every backend drops its opened keys,
 * here now, elsewhere at commit. */
Datum
sov_keys_changed(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcacheByRelid(SovGetCatalog()->key_version);
	PG_RETURN_VOID();
}
