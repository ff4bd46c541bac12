/*
 * plan.c - constants that are compared with an encrypted value are sealed.
 *
 * In the analysed query, before anybody stores or prints it (views, rules, EXPLAIN):
 * "encrypted op base-constant", also "= ANY (array)", becomes "encrypted op
 * encrypted-constant".  What is constant only later (a parameter of a custom plan, a
 * folded expression) the support functions of = and <> do likewise; any other
 * expression gets the cast there, so that it is sealed once per scan and joins are
 * joins of one type.  Without a key a constant stays as it is: planning must work for
 * VACUUM and a DBA.
 *
 * Before a plan is made, the same is done to what nobody analysed just now (policies,
 * BEGIN ATOMIC), and to parameters, which are constants in a custom plan.
 *
 * Constants are sealed under the key of the column that they are compared with or
 * stored in: who may open the one may open the other, and who may only write need not
 * open anything.
 */
#include "sov_pg.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "audit.h"
#include "native.h"

static int32
typmod_of(Node *encrypted)
{
	int32		typmod = exprTypmod(encrypted);

	(void) getBaseTypeAndTypmod(exprType(encrypted), &typmod);
	return typmod;
}

/* NULL where no key can be had. */
static Node *
sealed_const(const SovType *t, Const *c, int32 typmod)
{
	Datum		sealed = (Datum) 0;

	if (!c->constisnull && !SovSealLiteral(t, c->constvalue, typmod, &sealed))
		return NULL;
	return (Node *) makeConst(t->oid, -1, c->constcollid, -1, sealed, c->constisnull, false);
}

static Node *
sealed_operand(const SovType *t, Node *arg, int32 typmod)
{
	Node	   *cast;

	if (IsA(arg, Const))
		return sealed_const(t, (Const *) arg, typmod);
	cast = coerce_to_target_type(NULL, arg, exprType(arg), t->oid, -1,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (cast != NULL && IsA(cast, FuncExpr))
	{
		exprSetCollation(cast, exprCollation(arg));
		exprSetInputCollation(cast, exprCollation(arg));
	}
	return cast;
}

static Oid
operator_of_type(const char *opname, Oid type)
{
	return OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString(pstrdup(opname))), type, type);
}

/* --- in the analysed query --- */

/* Other types that are read as the base type (varchar as text), also in arrays. */
static Node *
without_relabel(Node *arg)
{
	for (;;)
	{
		if (IsA(arg, RelabelType) && ((RelabelType *) arg)->relabelformat != COERCE_EXPLICIT_CALL)
			arg = (Node *) ((RelabelType *) arg)->arg;
		else if (IsA(arg, ArrayCoerceExpr) && IsA(((ArrayCoerceExpr *) arg)->elemexpr, RelabelType))
			arg = (Node *) ((ArrayCoerceExpr *) arg)->arg;
		else
			return arg;
	}
}

/* A constant that the server widens to the base type, as 1 in "amount IN (1, 2.5)". */
static Node *
widened(Node *arg)
{
	FuncExpr   *f = (FuncExpr *) arg;

	if (!IsA(arg, FuncExpr) || f->funcformat != COERCE_IMPLICIT_CAST || list_length(f->args) != 1 || !IsA(linitial(f->args), Const) ||
		f->funcid >= FirstNormalObjectId || func_volatile(f->funcid) != PROVOLATILE_IMMUTABLE)
		return arg;
	return eval_const_expressions(NULL, arg);
}

static bool
has_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		return true;
	return expression_tree_walker(node, has_param, context);
}

/* The operand with the values of a custom plan's parameters, which bind knows. */
static Node *
operand(Node *arg, PlannerInfo *bind)
{
	Node	   *value;

	if (bind != NULL && has_param(arg, NULL) && !contain_var_clause(arg) && !contain_subplans(arg))
	{
		value = eval_const_expressions(bind, copyObject(arg));
		if (IsA(value, Const))
			return value;
	}
	return without_relabel(arg);
}

/* A constant array of the base type; NULL where it is none, or without a key. */
static Node *
sealed_array(const SovType *t, Node *arg, int32 typmod)
{
	Const	   *c = (Const *) arg;
	ArrayType  *array;
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	int16		len;
	bool		byval;
	char		align;

	if (c->constisnull || (get_element_type(c->consttype) != t->base_oid &&
						   !(t->base_oid == TEXTOID && get_element_type(c->consttype) == VARCHAROID)))
		return NULL;
	array = DatumGetArrayTypeP(c->constvalue);
	get_typlenbyvalalign(t->base_oid, &len, &byval, &align);
	deconstruct_array(array, t->base_oid, len, byval, align, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (!nulls[i] && !SovSealLiteral(t, elems[i], typmod, &elems[i]))
			return NULL;
	array = construct_md_array(elems, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array), t->oid, -1, false, TYPALIGN_INT);
	return (Node *) makeConst(get_array_type(t->oid), -1, c->constcollid, -1, PointerGetDatum(array), false, false);
}

/* IN (constant, ...): in place, all or none. */
static bool
seal_elements(const SovType *t, ArrayExpr *a, int32 typmod)
{
	List	   *sealed = NIL;
	ListCell   *lc;

	if (!IsA(a, ArrayExpr) || a->multidims || (a->element_typeid != t->base_oid && !(t->base_oid == TEXTOID && a->element_typeid == VARCHAROID)))
		return false;
	foreach(lc, a->elements)
	{
		Node	   *c = widened(lfirst(lc));

		if (!IsA(c, Const) || (c = sealed_const(t, (Const *) c, typmod)) == NULL)
			return false;
		sealed = lappend(sealed, c);
	}
	a->elements = sealed;
	a->element_typeid = t->oid;
	a->array_typeid = get_array_type(t->oid);
	return true;
}

/* "encrypted op base" or the other way round: which argument is of the base type? */
static const SovType *
mixed_operator(Oid op, int *base_arg)
{
	Oid			in[2];
	const SovType *t[2];

	if (op < FirstNormalObjectId)
		return NULL;
	op_input_types(op, &in[0], &in[1]);
	t[0] = SovTypeOfOid(in[0]);
	t[1] = SovTypeOfOid(in[1]);
	if ((t[0] == NULL) == (t[1] == NULL))
		return NULL;
	*base_arg = t[0] ? 1 : 0;
	if (in[*base_arg] != t[1 - *base_arg]->base_oid)
		return NULL;
	return t[1 - *base_arg];
}

/*
 * A literal that is stored in a column: the type's input function, which knows no
 * column, sealed it just now for this statement.  To bring it under the column's key
 * opens it for nobody.  (Where literals are ciphertext, it may be anybody's; and where any
 * was in this transaction, it is opened only for who may open it.)
 */
static void
seal_literal(FuncExpr *call)
{
	const SovType *t = SovTypeOfOid(call->funcresulttype);
	Const	   *c = linitial(call->args),
			   *typmod = lsecond(call->args);
	enum sov_code (*opener) (const SovType *t, const struct varlena *v, SovPlain *plain, struct sov_error *err);
	struct sov_error err;
	SovPlain	plain;
	Datum		sealed;

	if (t == NULL || !IsA(c, Const) || c->constisnull || c->consttype != t->oid ||
		!IsA(typmod, Const) || typmod->consttype != INT4OID || DatumGetInt32(typmod->constvalue) < 0 ||
		sov_input == SOV_INPUT_CIPHERTEXT || IsBinaryUpgrade)
		return;
	opener = SovTookCiphertext ? SovOpenTry : SovOpenAnywayTry;
	if (opener(t, (struct varlena *) PG_DETOAST_DATUM_PACKED(c->constvalue), &plain, &err) != SOV_OK)
		return;
	if (SovSealTry(t, SovDecode(t, &plain), DatumGetInt32(typmod->constvalue), &sealed))
		c->constvalue = sealed;
}

static bool
seal_consts(Node *node, void *context)
{
	int			base_arg;
	const SovType *t;
	Node	   *arg,
			   *sealed = NULL;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, seal_consts, context, 0);
	if (IsA(node, OpExpr) && list_length(((OpExpr *) node)->args) == 2 &&
		(t = mixed_operator(((OpExpr *) node)->opno, &base_arg)) != NULL)
	{
		OpExpr	   *e = (OpExpr *) node;
		Oid			op = operator_of_type(get_opname(e->opno), t->oid);

		arg = operand(list_nth(e->args, base_arg), context);
		if (OidIsValid(op) && IsA(arg, Const) && get_op_rettype(op) == e->opresulttype)
			sealed = sealed_const(t, (Const *) arg, typmod_of(list_nth(e->args, 1 - base_arg)));
		if (sealed != NULL)
		{
			lfirst(list_nth_cell(e->args, base_arg)) = sealed;
			e->opno = op;
			e->opfuncid = get_opcode(op);
		}
	}
	else if (IsA(node, ScalarArrayOpExpr) && (t = mixed_operator(((ScalarArrayOpExpr *) node)->opno, &base_arg)) != NULL && base_arg == 1)
	{
		ScalarArrayOpExpr *e = (ScalarArrayOpExpr *) node;
		Oid			op = operator_of_type(get_opname(e->opno), t->oid);
		int32		typmod = typmod_of(linitial(e->args));

		arg = operand(lsecond(e->args), context);
		if (OidIsValid(op) && IsA(arg, Const))
			sealed = sealed_array(t, arg, typmod);
		else if (OidIsValid(op) && seal_elements(t, (ArrayExpr *) arg, typmod))
			sealed = arg;
		if (sealed != NULL)
		{
			lsecond(e->args) = sealed;
			e->opno = op;
			e->opfuncid = get_opcode(op);
		}
	}
	else if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 3 && context == NULL)
		seal_literal((FuncExpr *) node);
	return expression_tree_walker(node, seal_consts, context);
}

void
SovSealConsts(Query *query)
{
	if (SovGetCatalog()->n_types > 0)
		(void) query_tree_walker(query, seal_consts, NULL, 0);
}

/* --- in the planner --- */

static planner_hook_type next_planner;

static PlannedStmt *
plan_sealed(Query *parse, const char *text, int options, ParamListInfo params)
{
	PlannedStmt *plan;
	bool		storing = false;

	if (SovGetCatalog()->n_types > 0)
	{
		PlannerInfo *bind = makeNode(PlannerInfo);

		SovPrintNative(NULL, parse);
		storing = SovStores(parse);
		bind->glob = makeNode(PlannerGlobal);
		bind->glob->boundParams = params;
		(void) query_tree_walker(parse, seal_consts, bind, 0);
	}
	plan = next_planner ? next_planner(parse, text, options, params) : standard_planner(parse, text, options, params);
	SovAuditPlan(plan);
	if (storing)
		SovMarkStoring(plan);
	return plan;
}

static PlannedStmt *
plan_with_parameters(Query *parse, const char *text, int options, ParamListInfo params)
{
	PlannedStmt *volatile plan = NULL;

	SovLiteralsPlanning(true);
	PG_TRY();
	{
		plan = plan_sealed(parse, text, options, params);
	}
	PG_FINALLY();
	{
		SovLiteralsPlanning(false);
	}
	PG_END_TRY();
	return plan;
}

void
SovPlanInit(void)
{
	next_planner = planner_hook;
	planner_hook = plan_with_parameters;
}

static Node *
simplify(SupportRequestSimplify *req, const char *opname)
{
	FuncExpr   *call = req->fcall;
	Node	   *args[2];
	Oid			enc_type = InvalidOid;
	const SovType *t = NULL;
	int			base_arg = 0;
	Oid			op;
	Expr	   *expr;

	if (list_length(call->args) != 2)
		return NULL;
	for (int i = 0; i < 2; i++)
	{
		args[i] = list_nth(call->args, i);
		if (SovTypeOfOid(exprType(args[i])) != NULL)
			t = SovTypeOfOid(exprType(args[i]));
		else
			base_arg = i;
	}
	enc_type = t ? t->oid : InvalidOid;
	if (t == NULL || getBaseType(exprType(args[base_arg])) == enc_type)
		return NULL;
	args[base_arg] = sealed_operand(t, args[base_arg], typmod_of(args[1 - base_arg]));
	op = operator_of_type(opname, enc_type);
	if (args[base_arg] == NULL || !OidIsValid(op))
		return NULL;
	expr = make_opclause(op, BOOLOID, false, (Expr *) args[0], (Expr *) args[1], InvalidOid, call->inputcollid);
	set_opfuncid((OpExpr *) expr);
	return (Node *) expr;
}

PG_FUNCTION_INFO_V1(sov_eq_support);
PG_FUNCTION_INFO_V1(sov_ne_support);

Datum
sov_eq_support(PG_FUNCTION_ARGS)
{
	Node	   *raw = (Node *) PG_GETARG_POINTER(0);

	PG_RETURN_POINTER(IsA(raw, SupportRequestSimplify) ? simplify((SupportRequestSimplify *) raw, "=") : NULL);
}

Datum
sov_ne_support(PG_FUNCTION_ARGS)
{
	Node	   *raw = (Node *) PG_GETARG_POINTER(0);

	PG_RETURN_POINTER(IsA(raw, SupportRequestSimplify) ? simplify((SupportRequestSimplify *) raw, "<>") : NULL);
}

/* encrypted_int4_operand() of a constant int8 (cast.c) that int4 has room for. */
static Node *
sealed_int4(const SovType *t, const Const *c)
{
	int64		v = c->constisnull ? 0 : DatumGetInt64(c->constvalue);
	Datum		sealed;

	if (c->constisnull || v < PG_INT32_MIN || v > PG_INT32_MAX || !SovSealLiteral(t, Int32GetDatum((int32) v), -1, &sealed))
		return NULL;
	return (Node *) makeConst(t->oid, -1, InvalidOid, -1, sealed, false, false);
}

/*
 * Base constant -> encrypted, which an UPDATE's plan would show: sealed with a tag, and
 * anew when it is stored, so that a plan that is used many times does not store the
 * same ciphertext in random columns.
 */
static Node *
sealed_cast(FuncExpr *call)
{
	const SovType *t = SovTypeOfOid(call->funcresulttype);
	Const	   *typmod = list_length(call->args) == 3 ? lsecond(call->args) : NULL;
	Node	   *arg = list_length(call->args) == 3 ? linitial(call->args) : NULL;
	Node	   *sealed;

	if (t != NULL && list_length(call->args) == 1 && IsA(linitial(call->args), Const) && ((Const *) linitial(call->args))->consttype == INT8OID)
		return sealed_int4(t, linitial(call->args));
	if (t == NULL || arg == NULL || !IsA(arg, Const) || !IsA(typmod, Const) || ((Const *) arg)->constisnull ||
		getBaseType(((Const *) arg)->consttype) != t->base_oid)
		return NULL;
	(void) SovNotEncrypted(t, ((Const *) arg)->constvalue);
	if ((sealed = sealed_const(t, (Const *) arg, DatumGetInt32(typmod->constvalue))) == NULL)
		return NULL;
	if (DatumGetInt32(typmod->constvalue) < 0)
		return sealed;
	return coerce_to_target_type(NULL, sealed, t->oid, t->oid, DatumGetInt32(typmod->constvalue),
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
}

PG_FUNCTION_INFO_V1(sov_cast_support);

Datum
sov_cast_support(PG_FUNCTION_ARGS)
{
	Node	   *raw = (Node *) PG_GETARG_POINTER(0);

	PG_RETURN_POINTER(IsA(raw, SupportRequestSimplify) ? sealed_cast(((SupportRequestSimplify *) raw)->fcall) : NULL);
}
