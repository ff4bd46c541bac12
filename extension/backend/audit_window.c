/*
 * audit_window.c - the view audit read from a moment on, where a query names one.
 *
 * The view reads the log from its beginning.  When the planner comes to its function and
 * knows that only entries from some moment on are wanted (time >= x, > x, = x, BETWEEN),
 * the function is exchanged for audit_since(x), which passes over what is older.  The
 * condition stays, so that the answer is the same, to the entry.
 *
 * Only what is the same for the whole scan may stand on the other side: no column, nothing
 * volatile.
 */
#include "sov_pg.h"

#include "access/stratnum.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "parser/parse_coerce.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

#include "audit.h"

#define TIME_COLUMN 2
#define TIME_FAMILY 434			/* btree, datetime_ops: date, timestamp, timestamptz */

static set_rel_pathlist_hook_type next_pathlist;

static bool
is_time(Node *node, Index rti)
{
	return IsA(node, Var) && ((Var *) node)->varno == rti && ((Var *) node)->varattno == TIME_COLUMN && ((Var *) node)->varlevelsup == 0;
}

/* The moment from which on a condition holds, or NULL. */
static Node *
moment(PlannerInfo *root, Node *clause, Index rti)
{
	OpExpr	   *op = (OpExpr *) clause;
	Node	   *bound;
	Oid			opno;
	int			strategy;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return NULL;
	opno = op->opno;
	bound = lsecond(op->args);
	if (!is_time(linitial(op->args), rti))
	{
		bound = linitial(op->args);
		opno = is_time(lsecond(op->args), rti) ? get_commutator(opno) : InvalidOid;
	}
	strategy = OidIsValid(opno) ? get_op_opfamily_strategy(opno, TIME_FAMILY) : 0;
	if (strategy != BTGreaterEqualStrategyNumber && strategy != BTGreaterStrategyNumber && strategy != BTEqualStrategyNumber)
		return NULL;
	if (contain_var_clause(bound) || contain_volatile_functions(bound) || contain_subplans(bound))
		return NULL;
	return coerce_to_target_type(NULL, bound, exprType(bound), TIMESTAMPTZOID, -1, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
}

static void
read_from_moment(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	RangeTblFunction *f;
	FuncExpr   *call;
	Oid			since,
				type = TIMESTAMPTZOID;
	ListCell   *lc;

	if (next_pathlist)
		next_pathlist(root, rel, rti, rte);
	if (rte->rtekind != RTE_FUNCTION || list_length(rte->functions) != 1)
		return;
	f = linitial(rte->functions);
	call = (FuncExpr *) f->funcexpr;
	if (!IsA(call, FuncExpr) || call->args != NIL || get_func_namespace(call->funcid) != SovGetCatalog()->schema ||
		strcmp(get_func_name(call->funcid), "audit_now") != 0)
		return;
	since = LookupFuncName(list_make2(makeString(get_namespace_name(SovGetCatalog()->schema)), makeString("audit_since")), 1, &type, true);
	foreach(lc, rel->baserestrictinfo)
	{
		Node	   *from = moment(root, (Node *) ((RestrictInfo *) lfirst(lc))->clause, rti);

		if (from == NULL || !OidIsValid(since))
			continue;
		call = copyObject(call);
		call->funcid = since;
		call->args = list_make1(copyObject(from));
		f->funcexpr = (Node *) call;
		return;
	}
}

void
SovAuditWindowInit(void)
{
	next_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = read_from_moment;
}
