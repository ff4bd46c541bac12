/*
 * results.c - native results: a client's own query gets base types.
 *
 * After parse analysis the outermost target list (or RETURNING list) of a query
 * that the client sent is given casts to plaintext, so that a client that
 * selects an encrypted_text column gets text.  Only such queries: never views,
 * functions, CREATE TABLE AS, or what plpgsql runs, but for RETURN QUERY (return_query.c).
 *
 * How a client's own query is told: its source text is debug_query_string, by
 * pointer, and no utility command is under way; or the utility command is the
 * client's own COPY (query) TO, PREPARE or EXECUTE.  A prepared statement that
 * is analysed again after an invalidation must get the same result type, so
 * there the text is compared with that of the prepared statement; in Describe
 * the server has no debug_query_string.
 *
 * In place where an entry stands alone; an entry that a group refers to moves to
 * a hidden copy.  Set operations, DISTINCT and sorts are wrapped into a subquery
 * instead, so that nothing is evaluated twice, and so that the casts stand above
 * the sort: one that spills to disk must spill ciphertext.
 */
#include "sov_pg.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "commands/prepare.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parsetree.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit.h"
#include "ddl.h"
#include "native.h"
#include "return_query.h"

static post_parse_analyze_hook_type next_analyze;
static ProcessUtility_hook_type next_utility;

static int	utility_depth;
static Node *client_utility;	/* the client's own command, at depth 1 */

/* --- whose query is it --- */

static bool
is_text_of_prepared(const char *text, const char *name)
{
	PreparedStatement *p = FetchPreparedStatement(name, false);

	return p != NULL && p->plansource->query_string == text;
}

static bool
is_clients_own(const char *text)
{
	Node	   *u = client_utility;

	if (MyBackendType != B_BACKEND || text == NULL)
		return false;
	if (utility_depth == 0)
		return debug_query_string == NULL || text == debug_query_string;
	if (u == NULL || utility_depth != 1)
		return false;
	if (IsA(u, ExplainStmt) && IsA(((ExplainStmt *) u)->query, Query))
		u = ((Query *) ((ExplainStmt *) u)->query)->utilityStmt;
	if (u == NULL)
		return false;
	if (IsA(u, CopyStmt))
		return !((CopyStmt *) u)->is_from && ((CopyStmt *) u)->query != NULL && text == debug_query_string;
	if (IsA(u, PrepareStmt))
		return text == debug_query_string;
	if (IsA(u, ExecuteStmt))
		return is_text_of_prepared(text, ((ExecuteStmt *) u)->name);
	return false;
}

/* --- casts --- */

/* --- the target list --- */

/* The types that are asked for, by column; NULL: those in which a client shall see them. */
static const Oid *asked;
static int	n_asked;

static bool
is_to_open(const TargetEntry *tle)
{
	Oid			native = tle->resjunk ? InvalidOid : SovNativeTypeOf((Node *) tle->expr);

	if (!OidIsValid(native) || asked == NULL)
		return OidIsValid(native);
	return tle->resno <= n_asked &&
		(asked[tle->resno - 1] == native || (native == TEXTOID && asked[tle->resno - 1] == VARCHAROID));
}

static Expr *
opened(ParseState *pstate, Expr *expr, int column)
{
	expr = SovToNative(pstate, expr);
	if (asked != NULL && asked[column - 1] == VARCHAROID && exprType((Node *) expr) == TEXTOID)
		return (Expr *) makeRelabelType(expr, VARCHAROID, -1, exprCollation((Node *) expr), COERCE_IMPLICIT_CAST);
	return expr;
}

static bool
any_encrypted(List *tlist)
{
	ListCell   *lc;

	foreach(lc, tlist)
	{
		TargetEntry *tle = lfirst(lc);

		if (is_to_open(tle))
			return true;
	}
	return false;
}

static bool
must_wrap(Query *query)
{
	ListCell   *lc;

	if (query->setOperations != NULL || query->distinctClause != NIL || query->groupingSets != NIL)
		return true;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst(lc);

		if (tle->ressortgroupref != 0 && !IsA(tle->expr, Var) && is_to_open(tle))
			return true;
	}
	return false;
}

static void
cast_in_place(ParseState *pstate, Query *query, List **tlist)
{
	ListCell   *lc;
	List	   *hidden = NIL;
	int			next = list_length(*tlist) + 1;

	foreach(lc, *tlist)
	{
		TargetEntry *tle = lfirst(lc);

		if (!is_to_open(tle))
			continue;
		if (tle->ressortgroupref != 0)
		{
			TargetEntry *copy = makeTargetEntry(copyObject(tle->expr), next++, NULL, true);

			copy->ressortgroupref = tle->ressortgroupref;
			tle->ressortgroupref = 0;
			hidden = lappend(hidden, copy);
		}
		tle->expr = opened(pstate, tle->expr, tle->resno);
	}
	*tlist = list_concat(*tlist, hidden);
}

/* What refers to the WITH list of the query that is walked now has it one level further up. */
static bool
raise_cte_levels(Node *node, Index *depth)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_CTE && rte->ctelevelsup == *depth)
			rte->ctelevelsup++;
		return false;
	}
	if (IsA(node, Query))
	{
		++*depth;
		(void) query_tree_walker((Query *) node, raise_cte_levels, depth, QTW_EXAMINE_RTES_BEFORE);
		--*depth;
		return false;
	}
	return expression_tree_walker(node, raise_cte_levels, depth);
}

/* The WITH list moves to the outer query: one that modifies may stand nowhere else. */
static void
move_ctes(Query *inner, Query *outer)
{
	Index		depth = 0;

	outer->cteList = inner->cteList;
	outer->hasRecursive = inner->hasRecursive;
	outer->hasModifyingCTE = inner->hasModifyingCTE;
	inner->cteList = NIL;
	inner->hasRecursive = inner->hasModifyingCTE = false;
	(void) query_tree_walker(inner, raise_cte_levels, &depth, QTW_EXAMINE_RTES_BEFORE);
}

/* SELECT casts FROM (query): order is kept, nothing is evaluated twice. */
static void
wrap(ParseState *pstate, Query *query)
{
	Query	   *inner = makeNode(Query);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Query		outer = {.type = T_Query};
	List	   *names = NIL;
	ListCell   *lc;

	*inner = *query;
	move_ctes(inner, &outer);
	outer.commandType = CMD_SELECT;
	outer.querySource = query->querySource;
	outer.queryId = query->queryId;
	outer.canSetTag = query->canSetTag;
	outer.stmt_location = query->stmt_location;
	outer.stmt_len = query->stmt_len;
	foreach(lc, inner->targetList)
	{
		TargetEntry *tle = lfirst(lc);
		TargetEntry *out;
		Var		   *var;

		if (tle->resjunk)
			continue;
		names = lappend(names, makeString(tle->resname ? pstrdup(tle->resname) : pstrdup("?column?")));
		var = makeVar(1, tle->resno, exprType((Node *) tle->expr), exprTypmod((Node *) tle->expr),
					  exprCollation((Node *) tle->expr), 0);
		out = makeTargetEntry(is_to_open(tle) ? opened(pstate, (Expr *) var, tle->resno) : (Expr *) var, tle->resno,
							  tle->resname ? pstrdup(tle->resname) : NULL, false);
		out->resorigtbl = tle->resorigtbl;
		out->resorigcol = tle->resorigcol;
		outer.targetList = lappend(outer.targetList, out);
	}
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = inner;
	rte->eref = makeAlias("result", names);
	rte->inFromCl = true;
	ref->rtindex = 1;
	outer.rtable = list_make1(rte);
	outer.jointree = makeFromExpr(list_make1(ref), NULL);
	*query = outer;
}

static void
give_native_results(ParseState *pstate, Query *query)
{
	if (query->commandType == CMD_UTILITY)
	{
		Node	   *u = query->utilityStmt;
		Node	   *contained = NULL;

		/* pg_dump --inserts reads tables through this cursor: what is stored */
		if (IsA(u, DeclareCursorStmt) && strcmp(((DeclareCursorStmt *) u)->portalname, "_pg_dump_cursor") != 0)
			contained = ((DeclareCursorStmt *) u)->query;
		else if (IsA(u, ExplainStmt))
			contained = ((ExplainStmt *) u)->query;
		if (contained != NULL && IsA(contained, Query) && ((Query *) contained)->commandType != CMD_UTILITY)
			give_native_results(pstate, (Query *) contained);
		return;
	}
	if (!OidIsValid(SovGetCatalog()->schema))
		return;
	if (query->commandType != CMD_SELECT)
	{
		if (any_encrypted(query->returningList))
			cast_in_place(pstate, query, &query->returningList);
		return;
	}
	if (!any_encrypted(query->targetList))
		return;
	if (!must_wrap(query) && query->sortClause == NIL)
		cast_in_place(pstate, query, &query->targetList);
	else
		wrap(pstate, query);
}

/* What the server analyses within a command it does not show to the hook again. */
static Query *
innermost(Query *query)
{
	Node	   *u = query->commandType == CMD_UTILITY ? query->utilityStmt : NULL;
	Node	   *contained = NULL;

	if (u == NULL)
		return query;
	if (IsA(u, DeclareCursorStmt))
		contained = ((DeclareCursorStmt *) u)->query;
	else if (IsA(u, ExplainStmt))
		contained = ((ExplainStmt *) u)->query;
	else if (IsA(u, CreateTableAsStmt))
		contained = ((CreateTableAsStmt *) u)->query;
	return contained != NULL && IsA(contained, Query) ? innermost((Query *) contained) : NULL;
}

static void
after_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	asked = NULL;				/* after an error */
	if (utility_depth == 0 && is_clients_own(pstate->p_sourcetext) && IsTransactionState())
		SovQuietStatement(pstate, SovGetCatalog()->n_types > 0 ? innermost(query) : NULL);
	if (next_analyze)
		next_analyze(pstate, query, jstate);
	if (query->commandType != CMD_UTILITY && IsTransactionState())
	{
		SovNativeParams(pstate, query);
		SovSealConsts(query);
	}
	if (IsTransactionState() && innermost(query) != NULL && SovGetCatalog()->n_types > 0)
		SovPrintNative(pstate, innermost(query));
	if (sov_native_results && is_clients_own(pstate->p_sourcetext) && IsTransactionState() &&
		(query->commandType != CMD_UTILITY ||
		 IsA(query->utilityStmt, DeclareCursorStmt) || IsA(query->utilityStmt, ExplainStmt)))
		give_native_results(pstate, query);
	else if ((asked = SovReturnTypes(pstate, &n_asked)) != NULL)
	{
		if (query->commandType != CMD_UTILITY)
			give_native_results(pstate, query);
		asked = NULL;
	}
	SovLiteralsForget();
}

/* --- utility commands --- */

static bool
is_decrypting(Node *expr)
{
	if (expr == NULL)
		return false;
	if (IsA(expr, FuncExpr) && list_length(((FuncExpr *) expr)->args) == 1 &&
		((FuncExpr *) expr)->funcformat == COERCE_IMPLICIT_CAST)
		return OidIsValid(SovNativeTypeOf(linitial(((FuncExpr *) expr)->args)));
	return IsA(expr, ArrayCoerceExpr) && OidIsValid(SovNativeTypeOf((Node *) ((ArrayCoerceExpr *) expr)->arg));
}

/* CREATE TABLE AS EXECUTE would store what the client was to see. */
static void
refuse_plaintext_table(CreateTableAsStmt *stmt)
{
	Node	   *query = stmt->query;
	PreparedStatement *p;
	ListCell   *lc;

	if (!IsA(query, Query) || ((Query *) query)->utilityStmt == NULL ||
		!IsA(((Query *) query)->utilityStmt, ExecuteStmt))
		return;
	p = FetchPreparedStatement(((ExecuteStmt *) ((Query *) query)->utilityStmt)->name, false);
	if (p == NULL || p->plansource->query_list == NIL)
		return;
	foreach(lc, linitial_node(Query, p->plansource->query_list)->targetList)
		if (is_decrypting((Node *) ((TargetEntry *) lfirst(lc))->expr))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("CREATE TABLE AS EXECUTE would store decrypted values"),
					 errhint("Use CREATE TABLE ... AS with the query itself: its encrypted columns stay encrypted.")));
}

/* COPY ... FROM into encrypted columns: its input lines are plaintext. */
static pg_noinline bool
copies_secrets(Node *utility)
{
	CopyStmt   *copy = (CopyStmt *) utility;
	Oid			relid;
	Relation	rel;
	bool		found;

	if (!IsA(utility, CopyStmt) || !copy->is_from || copy->relation == NULL)
		return false;
	relid = RangeVarGetRelid(copy->relation, RowExclusiveLock, true);
	if (!OidIsValid(relid))
		return false;
	rel = relation_open(relid, NoLock);
	found = SovHasEncrypted(rel);
	relation_close(rel, NoLock);
	return found;
}

/* COPY's error context quotes the line or field: keep its number only. */
static void
rethrow_without_line(MemoryContext cxt)
{
	ErrorData  *error;
	char	   *copy,
			   *quote;

	MemoryContextSwitchTo(cxt);
	error = CopyErrorData();
	FlushErrorState();
	/* within it may have been a trigger's function */
	copy = error->context == NULL || strncmp(error->context, "COPY ", 5) == 0 ? error->context : strstr(error->context, "\nCOPY ");
	if (copy != NULL && (quote = strstr(copy, ": \"")) != NULL)
	{
		*quote = '\0';
		error->context = psprintf("%s (its values are not shown: the table has encrypted columns)", error->context);
	}
	ReThrowError(error);
}

static void
run_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	if (next_utility)
		next_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

static void
on_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *save = client_utility;
	MemoryContext cxt = CurrentMemoryContext;
	const bool	storing = SovStoring;
	bool		secrets,
				of_roles;
	List	   *then;
	ListCell   *lc;
	PlannedStmt *const command = SovRewriteUtility(pstmt, readOnlyTree, &then);

	if (IsA(command->utilityStmt, CreateTableAsStmt))
		refuse_plaintext_table((CreateTableAsStmt *) command->utilityStmt);
	if (utility_depth == 0)
		SovAuditUtility(command->utilityStmt);
	secrets = copies_secrets(command->utilityStmt);
	SovHintsCommand(SovDefinesBesideEncrypted(command->utilityStmt));
	of_roles = SovIsOfRoles(command->utilityStmt);
	SovAuditTable(command->utilityStmt);
	SovStoring = storing || IsA(command->utilityStmt, AlterTableStmt) || IsA(command->utilityStmt, CreateTableAsStmt) ||
		IsA(command->utilityStmt, RefreshMatViewStmt);
	client_utility = utility_depth == 0 && context == PROCESS_UTILITY_TOPLEVEL ? command->utilityStmt : NULL;
	utility_depth++;
	PG_TRY();
	{
		run_utility(command, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		if (of_roles)
			SovAuditRoles(command->utilityStmt);
		foreach(lc, then)
		{
			CommandCounterIncrement();
			if (IsA(lfirst(lc), Constraint))
				SovConstrainByIndex(lfirst(lc), ((AlterTableStmt *) command->utilityStmt)->relation);
			else
				run_utility(SovCommandAfter(lfirst(lc), command), queryString, false, PROCESS_UTILITY_QUERY, NULL, NULL, None_Receiver, NULL);
		}
	}
	PG_CATCH();
	{
		utility_depth--;
		client_utility = save;
		SovStoring = storing;
		if (secrets)
			rethrow_without_line(cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	utility_depth--;
	client_utility = save;
	SovStoring = storing;
}

void
SovResultsInit(void)
{
	SovReturnQueryInit();
	next_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = after_analyze;
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
