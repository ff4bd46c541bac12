/*
 * erase.c - erasing persons: the part that runs in the server.
 *
 * The procedures (shred_subject, shred_key) take a person's secret out of his group,
 * which is sealed anew without it, and commit: from then on no session reads his values.
 * Older copies of the group still open under the key of the epoch: the command
 * "pg_sovereign key subjects" wraps all group keys under the key of a new epoch, brings
 * them to the repository, and has the old epoch's key destroyed.  What is left to do is
 * told from the tables alone, so that it goes on after a kill.
 */
#include "audit.h"
#include "subjects.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "storage/fd.h"
#include "utils/array.h"
#include "utils/inval.h"

PG_FUNCTION_INFO_V1(sov_erase_places);
PG_FUNCTION_INFO_V1(sov_subjects_changed);
PG_FUNCTION_INFO_V1(sov_run_subjects);
PG_FUNCTION_INFO_V1(sov_own_transaction);

/* --- groups --- */

static void
store(const struct sov_group *g)
{
	SPI_connect();
	SovOwnChange = true;		/* the erasure is on record */
	SPI_execute_with_args(psprintf("UPDATE %s.subject_group SET wrapped = $2, commitment = $3, sealed = $4 WHERE grp OPERATOR(pg_catalog.=) $1", SovSchemaName()), 4,
						  (Oid[4]) {INT8OID, BYTEAOID, BYTEAOID, BYTEAOID},
						  (Datum[4]) {Int64GetDatum((int64) g->number), SovBytea(g->wrapped, sizeof g->wrapped),
									  SovBytea(g->commitment, 32), SovBytea(g->sealed, sizeof g->sealed)}, NULL, false, 0);
	SovOwnChange = false;
	SPI_finish();
}

/* (group, places) */
Datum
sov_erase_places(PG_FUNCTION_ARGS)
{
	int64		grp = PG_GETARG_INT64(0);
	struct sov_group *g = palloc(sizeof *g);
	uint8_t    *plain = SovGroupScratch();
	struct sov_error err;
	enum sov_code rc;
	Datum	   *places;
	int64		epoch;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT4OID, 4, true, TYPALIGN_INT, &places, NULL, &n);
	if (!SovFindGroup(grp, g, &epoch))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("group " INT64_FORMAT " of persons is not in this database", grp),
				 errhint("After a restore run: pg_sovereign key subjects")));
	rc = SovGroupOpen(epoch, g, plain, &err);
	for (int i = 0; i < n && rc == SOV_OK; i++)
		sov_group_erase(plain, DatumGetInt32(places[i]) & (SOV_GROUP_SUBJECTS - 1));
	if (rc == SOV_OK)
		rc = SovGroupSeal(epoch, plain, g, &err);
	sov_wipe(plain, SOV_GROUP_PLAIN);
	if (rc != SOV_OK)
		SovRaise(&err);
	store(g);
	PG_RETURN_VOID();
}

/* --- all sessions forget --- */

static bool changed;			/* in this transaction */

/* When this transaction commits no group that was opened before is used any more. */
void
SovSubjectsChanged(void)
{
	CacheInvalidateRelcacheByRelid(SovGetCatalog()->key_version);
	changed = true;
}

Datum
sov_subjects_changed(PG_FUNCTION_ARGS)
{
	SovSubjectsChanged();
	PG_RETURN_VOID();
}

/* After everybody sees what was committed, and before anything else happens. */
static void
transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && changed && SovPreloaded)
	{
		LWLockAcquire(sov_lease->lock, LW_EXCLUSIVE);
		SovVaultEmpty(-1);
		/* the worker drops the KEKs of epochs that this database had */
		for (int i = 0; i < sov_domains_max; i++)
			if (sov_domains[i].row.epoch && sov_domains[i].db == MyDatabaseId)
				sov_domains[i].state = SOV_DOMAIN_FREE;
		SovLeaseNextEnd();
		if (sov_lease->worker)
			SetLatch(sov_lease->worker);
		LWLockRelease(sov_lease->lock);
	}
	/* (a prepared one is committed by whoever, and empties nothing: SovSubjectsState) */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		changed = false;
}

void
SovEraseInit(void)
{
	RegisterXactCallback(transaction_end, NULL);
}

/* (name of a procedure that commits) */
Datum
sov_own_transaction(PG_FUNCTION_ARGS)
{
	if (IsTransactionBlock())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot be called in a transaction block", text_to_cstring(PG_GETARG_TEXT_PP(0))),
				 errdetail("It commits before the old key is destroyed, as that cannot be undone."),
				 errhint("Call it by itself, outside BEGIN and COMMIT, and not together with other statements.")));
	PG_RETURN_VOID();
}

/* --- the command --- */

static const char *
quoted(const char *text)
{
	if (strchr(text, '\'') != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" has a quote in it, so the command cannot be run with it", text),
				 errhint("Run \"pg_sovereign key subjects\" by hand.")));
	return psprintf("'%s'", text);
}

/* (begin): make the first epoch of this database */
Datum
sov_run_subjects(PG_FUNCTION_ARGS)
{
	char		path[MAXPGPATH];
	char	   *command;
	char		text[2000];
	size_t		len = 0,
				n;
	int			status;
	FILE	   *out;

	SovCommandPath(path, sizeof path);
	command = psprintf("%s -c %s key subjects%s%s 2>&1", quoted(path), quoted(sov_config_file), PG_GETARG_BOOL(0) ? " --begin " : "",
					   PG_GETARG_BOOL(0) ? quoted(get_database_name(MyDatabaseId)) : "");
	out = OpenPipeStream(command, "r");
	if (out == NULL)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not run the command pg_sovereign: %m")));
	while ((n = fread(text + len, 1, sizeof text - 1 - len, out)) > 0)
	{
		len += n;
		if (len == sizeof text - 1)
			len = sizeof text / 2;	/* the end tells most */
	}
	text[len] = '\0';
	status = ClosePipeStream(out);
	if (status != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 PG_GETARG_BOOL(0) ? errmsg("the first erasable key of this database could not be made")
				 : errmsg("the erasure is not complete: older copies of the database may still be read"),
				 errdetail("The command \"pg_sovereign key subjects\" says: %s", text),
				 PG_GETARG_BOOL(0) ? errhint("Nothing was changed.")
				 : errhint("In this database nobody reads the values any more. When the cause is mended run \"pg_sovereign key subjects\" as the server's operating-system user, or CALL %s.finish_erasures().", SovSchemaName())));
	PG_RETURN_VOID();
}
