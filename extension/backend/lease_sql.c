/*
 * lease_sql.c - lock(), unlock() and the view lease.
 */
#include "audit.h"
#include "lease.h"

#include "commands/dbcommands.h"
#include "funcapi.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(sov_lock);
PG_FUNCTION_INFO_V1(sov_unlock);
PG_FUNCTION_INFO_V1(sov_lease_now);
PG_FUNCTION_INFO_V1(sov_key_on_loan);

static void
need_preloaded(void)
{
	if (!SovPreloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("without preloading each session has the keys that it opened, and they cannot be taken away"),
				 errhint("Add pg_sovereign to shared_preload_libraries and restart the server.")));
}

/* The keys leave the server, for all databases.  Returns when they have. */
Datum
sov_lock(PG_FUNCTION_ARGS)
{
	int64		end;

	need_preloaded();
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	SovVaultLock(true);
	SovVaultEmpty(-1);
	for (int i = 0; i < sov_domains_max; i++)
		sov_domains[i].state = SOV_DOMAIN_FREE;
	SovLeaseNextEnd();
	if (sov_lease->worker)
		SetLatch(sov_lease->worker);
	LWLockRelease(sov_lease->lock);
	ConditionVariableBroadcast(&sov_lease->changed);
	ereport(LOG, (errmsg("pg_sovereign: the keys were locked by %s", GetUserNameFromId(GetAuthenticatedUserId(), true))));
	SovAuditSession(SOV_AUDIT_LEASE, "", "the keys were locked");
	/* the worker drops what it holds */
	end = SovBootNow() + 1000000;
	while (SovBootNow() < end && *(volatile int *) &sov_lease->keks > 0)
		pg_usleep(1000);
	PG_RETURN_VOID();
}

Datum
sov_unlock(PG_FUNCTION_ARGS)
{
	bool		was;

	need_preloaded();
	LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
	was = SovVaultLocked();
	SovVaultLock(false);
	LWLockRelease(sov_lease->lock);
	SovAuditSession(SOV_AUDIT_LEASE, "", was ? "the keys were unlocked" : "the keys were unlocked (they were not locked)");
	if (was)
		ereport(LOG, (errmsg("pg_sovereign: the keys were unlocked by %s", GetUserNameFromId(GetAuthenticatedUserId(), true))));
	PG_RETURN_VOID();
}

static const char *
state_name(const SovDomain *d)
{
	switch (d->state)
	{
		case SOV_DOMAIN_HELD:
			return d->why.code == SOV_OK ? "held" : "held, not renewed";
		case SOV_DOMAIN_LOST:
			return "lost";
		default:
			return "asked for";
	}
}

static void
put_domain(ReturnSetInfo *rsinfo, const SovDomain *d, int i)
{
	Datum		values[6];
	bool		nulls[6] = {0};
	int			n = 0;
	char	   *name = get_database_name(d->db);

	for (int p = 0; p < sov_places_max; p++)
		n += sov_places[p].domain == i + 1;
	values[0] = name ? CStringGetTextDatum(name) : (Datum) 0;
	nulls[0] = name == NULL;
	values[1] = CStringGetTextDatum(state_name(d));
	values[2] = TimestampTzGetDatum(GetCurrentTimestamp() + (d->until - SovBootNow()));
	nulls[2] = d->state != SOV_DOMAIN_HELD;
	values[3] = Int32GetDatum(n);
	values[4] = CStringGetTextDatum(d->about);
	nulls[4] = d->about[0] == '\0';
	values[5] = CStringGetTextDatum(d->why.message);
	nulls[5] = d->why.code == SOV_OK;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* One row for each database whose keys were asked for; "locked" alone when locked. */
Datum
sov_lease_now(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SovDomain  *copy;
	bool		is_locked;

	InitMaterializedSRF(fcinfo, 0);
	if (!SovPreloaded)
		return (Datum) 0;
	copy = palloc(sov_domains_max * sizeof *copy);
	LWLockAcquire(sov_lease->lock, LW_SHARED);
	memcpy(copy, sov_domains, sov_domains_max * sizeof *copy);
	is_locked = SovVaultLocked();
	LWLockRelease(sov_lease->lock);
	if (is_locked)
	{
		Datum		values[6] = {0, CStringGetTextDatum("locked")};
		bool		nulls[6] = {true, false, true, true, true, true};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	for (int i = 0; i < sov_domains_max; i++)
		if (copy[i].state != SOV_DOMAIN_FREE)
			put_domain(rsinfo, &copy[i], i);
	return (Datum) 0;
}

/* (version of a data key of this database): is it in the vault? */
Datum
sov_key_on_loan(PG_FUNCTION_ARGS)
{
	uint32		version = (uint32) PG_GETARG_INT64(0);
	bool		found = false;

	if (!SovPreloaded)
		PG_RETURN_NULL();
	LWLockAcquire(sov_lease->lock, LW_SHARED);
	for (int i = 0; i < sov_places_max && !found; i++)
		found = sov_places[i].domain != 0 && sov_places[i].version == version && sov_places[i].purpose == SOV_KEY_DATA &&
			sov_domains[sov_places[i].domain - 1].db == MyDatabaseId;
	LWLockRelease(sov_lease->lock);
	PG_RETURN_BOOL(found);
}
