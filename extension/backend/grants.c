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
 * Break-glass: who is named for it may open the values of a key without a grant and
 * without one of its purposes, until a time that the table key_glass says.  Each
 * statement is on record then before it opens anything (keys.c has it be as under a
 * strict key), and the time is looked at for each value.
 *
 * What the server runs with the rights of an object's owner, so that he cannot have others
 * run his functions for him (of an index, a materialized view, a default), opens values
 * only where that owner may too: else he would have maintenance, and autovacuum, which is
 * the bootstrap superuser's, read for him.
 *
 * The answer is kept with the opened key (keys.c) until a grant, a membership or the
 * purpose changes, or that time comes.
 */
#include "shared.h"

#include "access/xact.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* Columns of the table key_grant. */
enum { GRANT_KEY_ID = 1, GRANT_KEY, GRANT_ROLE, GRANT_ROLE_ID };
/* Columns of the table key_purpose. */
enum { PURPOSE_KEY_ID = 1, PURPOSE_KEY, PURPOSE_PURPOSE, PURPOSE_N = PURPOSE_PURPOSE };
/* Columns of the table key_glass. */
enum { GLASS_KEY_ID = 1, GLASS_KEY, GLASS_USERNAME, GLASS_REASON, GLASS_OPENED, GLASS_UNTIL, GLASS_USERID, GLASS_BOOT, GLASS_N = GLASS_BOOT };
/* Columns of the table key_glass_role. */
enum { GLASS_ROLE_KEY_ID = 1, GLASS_ROLE_KEY, GLASS_ROLE_ROLE };

static void
roles_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	SovKeysRecheck();
}

/* A role that was granted and dropped since holds nothing, nor does another one that has its
 * name now.  id: invalid where that is not known. */
static bool
is_granted(Oid user, const char *role, Oid id)
{
	Oid			oid = get_role_oid(role, true);

	return OidIsValid(oid) && (!OidIsValid(id) || id == oid) && is_member_of_role_nosuper(user, oid);
}

/* Is the user a member of a role that the table has for the key?  *any: it has one.
 * role_id: the column that says which one had the name; 0: there is none. */
static bool
has_role(Oid relid, AttrNumber role, AttrNumber role_id, int32 key_id, Oid user, bool *any)
{
	Relation	rel = table_open(relid, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	*any = false;
	ScanKeyInit(&key, GRANT_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(key_id));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Name		name = DatumGetName(heap_getattr(tuple, role, RelationGetDescr(rel), &isnull));
		Datum		id = role_id ? heap_getattr(tuple, role_id, RelationGetDescr(rel), &isnull) : (Datum) 0;

		*any = true;
		found = is_granted(user, NameStr(*name), isnull ? InvalidOid : DatumGetObjectId(id));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static bool
granted(int32 key_id, Oid user)
{
	bool		any,
				found = has_role(SovGetCatalog()->key_grant, GRANT_ROLE, GRANT_ROLE_ID, key_id, user, &any);

	return found || !any;
}

static bool
may_break_glass(int32 key_id, Oid user)
{
	Oid			relid = SovGetCatalog()->key_glass_role;
	bool		any;

	return OidIsValid(relid) && OidIsValid(user) && has_role(relid, GLASS_ROLE_ROLE, 0, key_id, user, &any);
}

/* --- break-glass accesses --- */

/* "" where it cannot be read. */
static const char *
boot_id(void)
{
	static char id[40];
	FILE	   *f = id[0] ? NULL : fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f != NULL)
	{
		if (fscanf(f, "%39s", id) != 1)
			id[0] = '\0';
		fclose(f);
	}
	return id;
}

PG_FUNCTION_INFO_V1(sov_boot_clock);

Datum
sov_boot_clock(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s " INT64_FORMAT, boot_id(), SovBootNow())));
}

/*
 * Until when an access lasts, as far as it is open now; 0: it is not.  One that begins in
 * the future is none, as the clock was set back; where it was set back by less, the time
 * since the access was opened counts, on the machine that it was opened on and until that
 * is booted.
 */
static TimestampTz
open_until(TimestampTz opened, TimestampTz until, const char *boot)
{
	const char *mine = boot_id();
	size_t		len = strlen(mine);
	TimestampTz now = GetCurrentTimestamp();

	if (opened > now)
		return 0;
	if (len > 0 && strncmp(boot, mine, len) == 0 && boot[len] == ' ')
	{
		int64		set_back = SovBootNow() - strtoll(boot + len, NULL, 10) - (now - opened);

		until -= Max(set_back, 0);
	}
	return until > now ? until : 0;
}

/* Until when the user's break-glass access to the key lasts; 0: there is none. */
static TimestampTz
glass_until(int32 key_id, Oid user)
{
	Oid			relid = SovGetCatalog()->key_glass;
	TimestampTz until = 0;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(relid) || !OidIsValid(user))
		return 0;
	rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&key, GLASS_KEY_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(key_id));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[GLASS_N];
		bool		nulls[GLASS_N];

		SovDeform(tuple, RelationGetDescr(rel), GLASS_N, values, nulls);
		if (DatumGetObjectId(values[GLASS_USERID - 1]) == user)
			until = Max(until, open_until(DatumGetTimestampTz(values[GLASS_OPENED - 1]), DatumGetTimestampTz(values[GLASS_UNTIL - 1]),
										  TextDatumGetCString(values[GLASS_BOOT - 1])));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return until;
}

/* --- may it be opened? --- */

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

/* By grant and purpose. */
static enum sov_code
may_open(const SovKeyRow *row, Oid user, struct sov_error *err)
{
	char		hint[250];

	if (OidIsValid(user) && OidIsValid(SovGetCatalog()->key_grant) && !granted(row->key_id, user))
	{
		if (may_break_glass(row->key_id, user))
			snprintf(hint, sizeof hint, "In an emergency, on record and for a limited time: SELECT %.60s.break_glass('%s', 'reason')", SovSchemaName(), row->name);
		else
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

bool		SovOpensForCaller;

enum sov_code
SovMayOpen(const SovKeyRow *row, TimestampTz *until, struct sov_error *err)
{
	Oid			user = GetAuthenticatedUserId(),
				owner = SovOwnerToo();
	enum sov_code rc = may_open(row, user, err);
	char		hint[250];

	if (until != NULL)
		*until = 0;
	if (rc != SOV_OK && until != NULL && (*until = glass_until(row->key_id, user)) != 0)
		rc = SOV_OK;
	if (rc != SOV_OK || !OidIsValid(owner) || owner == user || !OidIsValid(SovGetCatalog()->key_grant) || granted(row->key_id, owner))
		return rc;
	if (until != NULL)
		*until = 0;
	snprintf(hint, sizeof hint, "What is run as the owner of a table, index or materialized view opens what he too may open. A grant is given by: SELECT %.60s.grant_decrypt('%s', 'role')",
			 SovSchemaName(), row->name);
	return sov_fail(err, SOV_E_DENIED, hint, "values of key \"%s\" are not opened on behalf of \"%s\", who may not decrypt them", row->name, GetUserNameFromId(owner, true));
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

PG_FUNCTION_INFO_V1(sov_authenticated_user);

/* authenticated_user(): who logged in, whatever SET ROLE and SET SESSION AUTHORIZATION say. */
Datum
sov_authenticated_user(PG_FUNCTION_ARGS)
{
	Oid			user = GetAuthenticatedUserId();
	Name		name = palloc0(NAMEDATALEN);

	if (!OidIsValid(user))
		PG_RETURN_NULL();
	namestrcpy(name, GetUserNameFromId(user, false));
	PG_RETURN_NAME(name);
}

PG_FUNCTION_INFO_V1(sov_authenticated_member);

/* authenticated_member(role): of which that user is a member, not for being a superuser. */
Datum
sov_authenticated_member(PG_FUNCTION_ARGS)
{
	Oid			user = GetAuthenticatedUserId();

	PG_RETURN_BOOL(OidIsValid(user) && is_granted(user, NameStr(*PG_GETARG_NAME(0)), InvalidOid));
}

PG_FUNCTION_INFO_V1(sov_sessions_on_record);

/* sessions_on_record(): or an error. */
Datum
sov_sessions_on_record(PG_FUNCTION_ARGS)
{
	if (!SovPreloaded)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("there is no break-glass here: sessions are on record only where pg_sovereign is preloaded"),
						errhint("Add pg_sovereign to shared_preload_libraries and restart the server.")));
	PG_RETURN_VOID();
}
