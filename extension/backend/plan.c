/*
 * plan.c - planner support of the operators between an encrypted type and its
 * base type.
 *
 * "encrypted = base" becomes "encrypted = encrypted": a constant is sealed, so
 * that plans show and keep ciphertext; any other expression gets the cast, so
 * that it is sealed once per scan and joins are joins of one type.  Without a
 * key a constant stays as it is: planning must work for VACUUM and a DBA.
 */
#include "sov_pg.h"

#include "catalog/namespace.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

static Node *
sealed_operand(const SovType *t, Oid enc_type, Node *arg)
{
	Node	   *cast;

	if (IsA(arg, Const))
	{
		Const	   *c = (Const *) arg;
		Datum		sealed = (Datum) 0;

		if (!c->constisnull && !SovSealTry(t, c->constvalue, &sealed))
			return NULL;
		return (Node *) makeConst(enc_type, -1, c->constcollid, -1, sealed, c->constisnull, false);
	}
	cast = coerce_to_target_type(NULL, arg, exprType(arg), enc_type, -1,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (cast != NULL && IsA(cast, FuncExpr))
	{
		exprSetCollation(cast, exprCollation(arg));
		exprSetInputCollation(cast, exprCollation(arg));
	}
	return cast;
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
	args[base_arg] = sealed_operand(t, enc_type, args[base_arg]);
	op = OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString(pstrdup(opname))), enc_type, enc_type);
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
