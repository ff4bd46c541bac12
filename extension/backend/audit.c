/*
 * audit.c - what this session does with keys (design: audit.h; changes of the key
 * tables: audit_change.c).
 *
 * Whoever opens a value only counts.  A use is made when the right to it is asked
 * (keys.c), with all that is known of the session, so that nothing has to be looked up
 * when the session ends.
 *
 * Never a literal: of a statement its tag, its tables and its query id.
 */
#include "audit.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "common/ip.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/backend_status.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/syscache.h"

#include "native.h"

#define USES_MAX 256			/* of a session that names many purposes */
#define TABLES_MAX 8

static SovUse *uses;
static int	n_uses;
static SovUse *here;			/* used in this transaction */
static bool leaves;				/* session_ends() is registered */

/* --- who and what --- */

/* UTF-8, but for a database that does not say what its bytes are. */
void
SovAuditPutText(char *dst, size_t cap, const char *src)
{
	if (src && GetDatabaseEncoding() != PG_SQL_ASCII)
		src = pg_server_to_any(src, strlen(src), PG_UTF8);
	strlcpy(dst, src ? src : "", cap);
}

/* By what the client proved who it is, where that is another name; NULL: nothing. */
static const char *
authenticated_as(void)
{
#if PG_VERSION_NUM >= 160000
	return GetSystemUser();
#else
	if (MyBackendType != B_BACKEND || MyBEEntry == NULL)
		return NULL;
	if (MyBEEntry->st_gss && MyBEEntry->st_gssstatus->gss_auth)
		return MyBEEntry->st_gssstatus->gss_princ;
	return MyBEEntry->st_ssl && MyBEEntry->st_sslstatus->ssl_client_dn[0] ? MyBEEntry->st_sslstatus->ssl_client_dn : NULL;
#endif
}

static void
client_address(char *dst, size_t cap)
{
	const volatile PgBackendStatus *me = MyBEEntry;
	SockAddr	addr;
	char		host[NI_MAXHOST] = "";

	if (IsParallelWorker() || MyBackendType != B_BACKEND || me == NULL)
	{
		strlcpy(dst, IsParallelWorker() ? "parallel worker" : "server", cap);
		return;
	}
	memcpy(&addr, (const void *) &me->st_clientaddr, sizeof addr);
	if (addr.addr.ss_family == AF_UNIX || addr.salen == 0 ||
		pg_getnameinfo_all(&addr.addr, addr.salen, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
		strlcpy(host, "local", sizeof host);
	strlcpy(dst, host, cap);
}

void
SovAuditIdentify(struct sov_audit_entry *e)
{
	Oid			user = GetAuthenticatedUserId();

	e->time_us = SovAuditNow();
	e->process = (uint32_t) (IsParallelWorker() && MyProc->lockGroupLeader ? MyProc->lockGroupLeader->pid : MyProcPid);
	SovAuditPutText(e->user, sizeof e->user, OidIsValid(user) ? GetUserNameFromId(user, true) : NULL);
	SovAuditPutText(e->current_user, sizeof e->current_user, GetUserNameFromId(GetUserId(), true));
	client_address(e->client, sizeof e->client);
	SovAuditPutText(e->application, sizeof e->application, application_name);
	SovAuditPutText(e->database, sizeof e->database, get_database_name(MyDatabaseId));
	SovAuditPutText(e->purpose, sizeof e->purpose, sov_purpose);
	e->query_id = pgstat_get_my_query_id();
}

static bool
is_encrypted(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	int			columns = HeapTupleIsValid(tuple) ? ((Form_pg_class) GETSTRUCT(tuple))->relnatts : 0;
	bool		found = false;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	for (int i = 1; i <= columns && !found; i++)
		found = OidIsValid(SovNativeType(get_atttype(relation, (AttrNumber) i)));
	return found;
}

/* Where there are many, those with encrypted columns first: whoever names others before them
 * hides none behind these. */
static void
add_tables(StringInfo s, List *relations)
{
	bool		choose = list_length(relations) > TABLES_MAX;
	ListCell   *lc;
	int			n = 0;

	for (int pass = 0; pass <= choose; pass++)
		foreach(lc, relations)
		{
			char	   *name = get_rel_name(lfirst_oid(lc));
			char	   *schema = name ? get_namespace_name(get_rel_namespace(lfirst_oid(lc))) : NULL;

			if (schema == NULL || (choose && is_encrypted(lfirst_oid(lc)) == (pass > 0)))
				continue;
			if (n++ < TABLES_MAX)
				appendStringInfo(s, "%s%s", n == 1 ? " on " : ", ", quote_qualified_identifier(schema, name));
		}
	if (n > TABLES_MAX)
		appendStringInfo(s, ", and %d more", n - TABLES_MAX);
}

static Oid	utility_relations[TABLES_MAX + 1];
static int	n_utility_relations;

static void
see_relation(Oid relid)
{
	if (OidIsValid(relid) && n_utility_relations <= TABLES_MAX)
		utility_relations[n_utility_relations++] = relid;
}

static bool
see_analysed(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		if (((RangeTblEntry *) node)->rtekind == RTE_RELATION)
			see_relation(((RangeTblEntry *) node)->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, see_analysed, context, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, see_analysed, context);
}

static bool
see_written(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeVar))
	{
		see_relation(RangeVarGetRelid((RangeVar *) node, NoLock, true));
		return false;
	}
	return raw_expression_tree_walker(node, see_written, context);
}

/* The client's COPY, EXPLAIN or CREATE TABLE AS is about to run, which analyses or plans
 * its query in place: afterwards nothing walks that any more. */
void
SovAuditUtility(Node *u)
{
	if (!SovPreloaded || !IsTransactionState())
		return;
	n_utility_relations = 0;
	if (IsA(u, CopyStmt))
	{
		(void) see_written((Node *) ((CopyStmt *) u)->relation, NULL);
		(void) see_written(((CopyStmt *) u)->query, NULL);
	}
	else if (IsA(u, ExplainStmt))
		(void) see_analysed(((ExplainStmt *) u)->query, NULL);
	else if (IsA(u, CreateTableAsStmt))
		(void) see_analysed(((CreateTableAsStmt *) u)->query, NULL);
}

static List *
relations_of(PlannedStmt *stmt)
{
	List	   *relations = NIL;

	if (stmt->utilityStmt == NULL)
		return stmt->relationOids;
	for (int i = 0; i < n_utility_relations; i++)
		relations = list_append_unique_oid(relations, utility_relations[i]);
	return relations;
}

/* What the client had the server do, as far as that is known yet. */
void
SovAuditDescribe(struct sov_audit_entry *e, const char *what)
{
	Oid			user = GetAuthenticatedUserId();
	const char *authn = authenticated_as();
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfoString(&s, what);
	if (ActivePortal)
	{
		PlannedStmt *stmt = ActivePortal->stmts ? PortalGetPrimaryStmt(ActivePortal) : NULL;

		appendStringInfo(&s, ": %s", GetCommandTagName(ActivePortal->commandTag));
		if (stmt)
			add_tables(&s, relations_of(stmt));
	}
	if (GetSessionUserId() != user)
		appendStringInfo(&s, "; session user %s", GetUserNameFromId(GetSessionUserId(), true));
	if (authn && strcmp(authn, e->user) != 0)
		appendStringInfo(&s, "; authenticated as %s", authn);
	SovAuditPutText(e->text, sizeof e->text, s.data);
	pfree(s.data);
}

/* Once per session. */
static void
warn(void)
{
	static bool warned;
	struct sov_error err;

	if (warned || !SovRingTrouble(&err))
		return;
	warned = true;
	ereport(WARNING,
			(errmsg("what this session opens may not come to be on record: %s", err.message),
			 err.hint[0] ? errhint("%s", err.hint) : 0));
}

/* --- uses --- */

static const char *const kind_names[] = {"open", "seal", "seal anew", "denied"};

static enum SovStrict
strictness(const SovKeyRow *row, bool glass)
{
	return glass ? Max((enum SovStrict) row->strict, SOV_STRICT_HOST) : (enum SovStrict) row->strict;
}

static enum sov_audit_event
event_of(const SovUse *u)
{
	return u->kind == SOV_USE_DENIED ? SOV_AUDIT_DENIED : u->glass ? SOV_AUDIT_BREAK_GLASS : SOV_AUDIT_USE;
}

static bool
same_use(const SovUse *u, enum SovUseKind kind, const SovKeyRow *row, bool glass)
{
	return u->kind == kind && u->key_id == row->key_id && u->strict == strictness(row, glass) && u->glass == glass &&
		strcmp(u->purpose, sov_purpose ? sov_purpose : "") == 0;
}

static void finish_uses(void);

static void
session_ends(int code, Datum arg)
{
	finish_uses();
	SovRingLeave();
}

SovUse *
SovUseOf(enum SovUseKind kind, const SovKeyRow *row, bool glass)
{
	SovUse	   *u;

	for (u = uses; u; u = u->next)
		if (same_use(u, kind, row, glass))
			return u;
	if (SovPreloaded && !leaves)
		before_shmem_exit(session_ends, (Datum) 0);
	leaves = true;
	u = MemoryContextAllocZero(TopMemoryContext, sizeof *u);
	u->kind = kind;
	u->key_id = row->key_id;
	u->strict = strictness(row, glass);
	u->glass = glass;
	strlcpy(u->purpose, sov_purpose ? sov_purpose : "", sizeof u->purpose);
	SovAuditPutText(u->entry.key, sizeof u->entry.key, row->name);
	u->next = uses;
	uses = u;
	n_uses++;
	return u;
}

/* Its entry of the transaction gets its end, or is followed by one that tells it. */
static void
finish(SovUse *u, enum sov_audit_outcome outcome)
{
	uint64		opened = u->opened - u->noted;

	if (!SovPreloaded || u->kind != SOV_USE_OPEN)
		return;
	if (!u->pending && (opened == 0 || GetCurrentStatementStartTimestamp() < u->noted_at + SOV_USE_AGAIN_US))
		return;
	if (!u->pending || !SovRingAmend(u->at, outcome, opened))
	{
		u->entry.event = u->pending || u->glass ? event_of(u) : SOV_AUDIT_SESSION;
		u->entry.outcome = (uint8_t) outcome;
		u->entry.opened = opened;
		u->entry.time_us = SovAuditNow();
		(void) SovRingPut(&u->entry, 0, false, NULL);
	}
	u->pending = false;
	u->noted = u->opened;
	u->noted_at = GetCurrentStatementStartTimestamp();	/* the clock costs more than the rest */
}

/* The key is strict: until it is there where it has to be. */
static enum sov_code
wait_for(SovUse *u, bool put, uint64 at, int flags, struct sov_error *err)
{
	struct sov_error why;

	if (put && SovRingWait(at, flags, &why) == SOV_OK)
		return SOV_OK;
	if (put)
		(void) SovRingAmend(at, SOV_AUDIT_REFUSED, 0);
	else if (!SovRingTrouble(&why))
		sov_fail(&why, SOV_E_DENIED, "try again", "there was no room for the entry");
	return sov_fail(err, SOV_E_DENIED, why.hint, "values of key \"%s\" are opened on record only, and the audit log does not take the entry: %.400s", u->entry.key, why.message);
}

static enum sov_code
note(SovUse *u, int flags, struct sov_error *err)
{
	uint64		at;
	bool		put;

	SovAuditIdentify(&u->entry);
	SovAuditDescribe(&u->entry, kind_names[u->kind]);
	u->entry.event = event_of(u);
	u->entry.outcome = u->kind == SOV_USE_OPEN ? SOV_AUDIT_BEGUN : u->kind == SOV_USE_DENIED ? SOV_AUDIT_REFUSED : SOV_AUDIT_DONE;
	u->entry.opened = 0;
	put = SovRingPut(&u->entry, flags, true, &at);
	if (flags == 0)
		warn();
	else if (wait_for(u, put, at, flags, err) != SOV_OK)
		return err->code;
	u->pending = put && u->kind == SOV_USE_OPEN;
	u->at = at;
	return SOV_OK;
}

/* Several statements may come in one message: which of them it is. */
static int
location(void)
{
	return ActivePortal && ActivePortal->stmts ? linitial_node(PlannedStmt, ActivePortal->stmts)->stmt_location : -1;
}

/* Strict keys: every statement of the client.  A refusal: likewise. */
static bool
is_new(const SovUse *u)
{
	if (u->strict == SOV_STRICT_NO && u->kind != SOV_USE_DENIED)
		return !u->begun;
	return u->statement != GetCurrentStatementStartTimestamp() || u->location != location() || !u->begun;
}

enum sov_code
SovUseNote(SovUse *u, struct sov_error *err)
{
	bool		strict = u->strict != SOV_STRICT_NO && u->kind == SOV_USE_OPEN;

	if (!SovPreloaded)
		return !strict ? SOV_OK : sov_fail(err, SOV_E_DENIED, "Add pg_sovereign to shared_preload_libraries and restart the server.",
										   "values of key \"%s\" are opened on record only, and sessions are on record only where pg_sovereign is preloaded", u->entry.key);
	if (u->kind == SOV_USE_OPEN)
		SovAuditChangesCount();
	if (is_new(u))
	{
		finish(u, SOV_AUDIT_DONE);
		u->refusal.code = note(u, !strict ? 0 : u->strict == SOV_STRICT_PROVIDERS ? SOV_RING_PROMPT | SOV_RING_PROVIDERS : SOV_RING_PROMPT, &u->refusal);
		u->begun = true;
		u->statement = GetCurrentStatementStartTimestamp();
		u->location = location();
	}
	if (u->refusal.code != SOV_OK)
	{
		*err = u->refusal;
		return err->code;
	}
	if (!u->here)
	{
		u->here = true;
		u->next_here = here;
		here = u;
	}
	return SOV_OK;
}

/* --- what else a session does --- */

void
SovAuditSession(enum sov_audit_event event, const char *key, const char *text)
{
	struct sov_audit_entry *e;

	if (!SovPreloaded)
		return;
	e = palloc0(sizeof *e);
	SovAuditIdentify(e);
	e->event = (uint8_t) event;
	SovAuditPutText(e->key, sizeof e->key, key);
	SovAuditDescribe(e, text);
	(void) SovRingPut(e, 0, true, NULL);
	warn();
	pfree(e);
}

void
SovAuditServer(enum sov_audit_event event, enum sov_audit_outcome outcome, Oid db, const char *text)
{
	struct sov_audit_entry e = {.event = (uint8_t) event, .outcome = (uint8_t) outcome, .process = (uint32_t) MyProcPid};

	e.time_us = SovAuditNow();
	strlcpy(e.client, "server", sizeof e.client);
	strlcpy(e.application, "pg_sovereign", sizeof e.application);
	snprintf(e.database, sizeof e.database, "oid %u", db);
	strlcpy(e.text, text, sizeof e.text);
	(void) SovRingPut(&e, 0, false, NULL);
}

/* --- ends --- */

/* All that was counted. */
static void
finish_uses(void)
{
	for (SovUse *u = uses; u; u = u->next)
	{
		u->noted_at = -SOV_USE_AGAIN_US;
		finish(u, SOV_AUDIT_DONE);
	}
}

static void
forget_uses(void)
{
	finish_uses();
	while (uses)
	{
		SovUse	   *u = uses;

		uses = u->next;
		pfree(u);
	}
	n_uses = 0;
	SovKeysRecheck();
}

static void
transaction_end(XactEvent event, void *arg)
{
	bool		failed = event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT;

	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE || event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	for (SovUse *u = here; u; u = u->next_here)
	{
		finish(u, failed ? SOV_AUDIT_FAILED : SOV_AUDIT_DONE);
		u->here = false;
	}
	here = NULL;
	if (n_uses > USES_MAX)
		forget_uses();
}

void
SovAuditInit(void)
{
	RegisterXactCallback(transaction_end, NULL);
}
