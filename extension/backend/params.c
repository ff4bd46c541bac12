/*
 * params.c - native parameters: a client that gives a parameter no type, as most drivers
 * do, is told that it has the base type.
 *
 * In "INSERT INTO t (born) VALUES ($1)" the server would take $1 for an encrypted_date,
 * a type that no driver knows, and what it is given would be sealed twice: when it is
 * read, without a column to go by, and for its column.  As a date it is sealed once,
 * under the column's key, so that whoever may only write need not be allowed to open.
 *
 * Only while types are being found (the extended protocol and PREPARE); a statement
 * that is analysed again has the types that were found.
 */
#include "sov_pg.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_node.h"

/* VarParamState of the server's parse_param.c, which is the only one that sets
 * p_coerce_param_hook. */
typedef struct FoundParams
{
	Oid		  **types;
	int		   *n;
} FoundParams;

static const SovType *
encrypted_param(Node *node)
{
	if (node == NULL || !IsA(node, Param) || ((Param *) node)->paramkind != PARAM_EXTERN)
		return NULL;
	return SovTypeOfOid(((Param *) node)->paramtype);
}

/* base parameter -> encrypted */
static Node *
sealed_param(const SovType *t, Param *encrypted, int32 typmod)
{
	Param	   *p = copyObject(encrypted);
	Node	   *cast;

	p->paramtype = t->base_oid;
	cast = coerce_to_target_type(NULL, (Node *) p, t->base_oid, t->oid, typmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, encrypted->location);
	exprSetCollation(cast, encrypted->paramcollid);
	exprSetInputCollation(cast, encrypted->paramcollid);
	return cast;
}

static Node *
to_base(Node *node, void *context)
{
	const SovType *t;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, to_base, context, QTW_DONT_COPY_QUERY);
	/* read as the base type, for another use of it */
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 1 &&
		(t = encrypted_param(linitial(((FuncExpr *) node)->args))) != NULL && ((FuncExpr *) node)->funcresulttype == t->base_oid)
	{
		Param	   *p = copyObject((Param *) linitial(((FuncExpr *) node)->args));

		p->paramtype = t->base_oid;
		return (Node *) p;
	}
	/* brought under a column's key */
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 3)
	{
		FuncExpr   *f = (FuncExpr *) node;
		Const	   *typmod = lsecond(f->args);

		t = encrypted_param(linitial(f->args));
		if (t != NULL && t->oid == f->funcresulttype && IsA(typmod, Const) && typmod->consttype == INT4OID)
			return sealed_param(t, linitial(f->args), DatumGetInt32(typmod->constvalue));
	}
	t = encrypted_param(node);
	if (t != NULL)
		return sealed_param(t, (Param *) node, -1);
	return expression_tree_mutator(node, to_base, context);
}

void
SovNativeParams(ParseState *pstate, Query *query)
{
	FoundParams *found = pstate->p_ref_hook_state;
	bool		any = false;

	if (pstate->p_coerce_param_hook == NULL || !sov_native_results || sov_input == SOV_INPUT_CIPHERTEXT)
		return;
	for (int i = 0; i < *found->n; i++)
	{
		const SovType *t = SovTypeOfOid((*found->types)[i]);

		if (t == NULL)
			continue;
		(*found->types)[i] = t->base_oid;
		any = true;
	}
	if (any)
		(void) query_tree_mutator(query, to_base, NULL, QTW_DONT_COPY_QUERY);
}
