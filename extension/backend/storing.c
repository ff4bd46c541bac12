/*
 * storing.c - a mask (sovereign.on_denied) is for reading.
 *
 * Stored, *** would take the place of a name, and <> 'x' hold for all names of the rows to
 * delete.  So while a command runs that stores what it opens, or chooses by it what is
 * changed, casts give the error instead (cast.c).  Utility commands are known by their
 * kind (results.c); a query is looked at when it is planned, before functions are inlined,
 * and its plan is marked.
 */
#include "sov_pg.h"

#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "ddl.h"
#include "native.h"

#define PLAN_STORES (1 << 30)	/* in jitFlags, where the server has no such bit: it goes to parallel workers too */

bool		SovStoring;

static ExecutorRun_hook_type next_run;
static ExecutorFinish_hook_type next_finish;

/* --- the mark --- */

/* Of a SQL function, which is inlined and may have the cast within: most operators are. */
static bool
is_sql_function(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		sql = HeapTupleIsValid(tuple) && ((Form_pg_proc) GETSTRUCT(tuple))->prolang == SQLlanguageId;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return sql;
}

static bool
takes_encrypted(List *args)
{
	ListCell   *lc;

	foreach(lc, args)
		if (OidIsValid(SovNativeType(exprType(lfirst(lc)))))
			return true;
	return false;
}

static bool
opens(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, opens, context, 0);
	if (SovOpensValue(node) ||
		(IsA(node, FuncExpr) && takes_encrypted(((FuncExpr *) node)->args) && is_sql_function(((FuncExpr *) node)->funcid)) ||
		(IsA(node, OpExpr) && takes_encrypted(((OpExpr *) node)->args) && is_sql_function(get_opcode(((OpExpr *) node)->opno))))
		return true;
	return expression_tree_walker(node, opens, context);
}

/* Does the query store what it opens, or choose by it what is changed?  (What it returns,
 * and what policies and checks see, is neither.) */
bool
SovStores(Query *query)
{
	ListCell   *lc;

	if (SovStoring || query->hasModifyingCTE)
		return opens((Node *) query, NULL);
	if (query->commandType == CMD_SELECT || query->commandType == CMD_UTILITY)
		return false;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (opens((Node *) rte->subquery, NULL) || opens((Node *) rte->functions, NULL) || opens((Node *) rte->values_lists, NULL))
			return true;
	}
	return opens((Node *) query->targetList, NULL) || opens((Node *) query->jointree, NULL) || opens((Node *) query->cteList, NULL) ||
		opens((Node *) query->onConflict, NULL) || opens((Node *) query->mergeActionList, NULL);
}

void
SovMarkStoring(PlannedStmt *plan)
{
	plan->jitFlags |= PLAN_STORES;
}

/* --- while it runs --- */

static void
run_storing(QueryDesc *query, ScanDirection direction, uint64 count SOV_RUN_ONCE_ARG)
{
	const bool	storing = SovStoring;

	if ((query->plannedstmt->jitFlags & PLAN_STORES) == 0)
	{
		next_run(query, direction, count SOV_RUN_ONCE);
		return;
	}
	SovStoring = true;
	PG_TRY();
	{
		next_run(query, direction, count SOV_RUN_ONCE);
	}
	PG_FINALLY();
	{
		SovStoring = storing;
	}
	PG_END_TRY();
}

/* (what of modifying CTEs nobody has read, and triggers) */
static void
finish_storing(QueryDesc *query)
{
	const bool	storing = SovStoring;

	SovStoring = storing || (query->plannedstmt->jitFlags & PLAN_STORES) != 0;
	PG_TRY();
	{
		next_finish(query);
	}
	PG_FINALLY();
	{
		SovStoring = storing;
	}
	PG_END_TRY();
}

void
SovStoringInit(void)
{
	next_run = ExecutorRun_hook ? ExecutorRun_hook : standard_ExecutorRun;
	ExecutorRun_hook = run_storing;
	next_finish = ExecutorFinish_hook ? ExecutorFinish_hook : standard_ExecutorFinish;
	ExecutorFinish_hook = finish_storing;
}
