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

#include "catalog/namespace.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_node.h"
#include "utils/lsyscache.h"

/* VarParamState of the server's parse_param.c, which is the only one that sets
 * p_coerce_param_hook. */
typedef struct FoundParams
{
	Oid		  **types;
	int		   *n;
} FoundParams;

/* The encrypted type of a parameter, or of its elements. */
static const SovType *
encrypted_type(Oid type, bool *array)
{
	Oid			element = type < FirstNormalObjectId ? InvalidOid : get_element_type(type);

	*array = OidIsValid(element);
	return SovTypeOfOid(*array ? element : type);
}

static const SovType *
encrypted_param(Node *node, bool *array)
{
	if (node == NULL || !IsA(node, Param) || ((Param *) node)->paramkind != PARAM_EXTERN)
		return NULL;
	return encrypted_type(((Param *) node)->paramtype, array);
}

static Oid
base_type(const SovType *t, bool array)
{
	return array ? get_array_type(t->base_oid) : t->base_oid;
}

static Param *
base_param(const SovType *t, Node *encrypted, bool array)
{
	Param	   *p = copyObject((Param *) encrypted);

	p->paramtype = base_type(t, array);
	return p;
}

/* base parameter -> encrypted */
static Node *
sealed_param(const SovType *t, Node *encrypted, bool array, int32 typmod)
{
	Param	   *p = base_param(t, encrypted, array);
	Node	   *cast = coerce_to_target_type(NULL, (Node *) p, p->paramtype, ((Param *) encrypted)->paramtype, typmod,
											 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, p->location);

	exprSetCollation(cast, p->paramcollid);
	if (IsA(cast, FuncExpr))
		exprSetInputCollation(cast, p->paramcollid);
	return cast;
}

static Node *to_base(Node *node, void *context);

/* "name = ANY ($1)" with an array of the base type: the operator that is there for it. */
static Node *
any_of_param(ScalarArrayOpExpr *e, const SovType *t)
{
	Oid			op = OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString(get_opname(e->opno))), exprType(linitial(e->args)), t->base_oid);
	ScalarArrayOpExpr *own;

	if (!OidIsValid(op))
		return NULL;
	own = copyObject(e);
	own->opno = op;
	own->opfuncid = get_opcode(op);
	own->args = list_make2(to_base(linitial(e->args), NULL), base_param(t, lsecond(e->args), true));
	return (Node *) own;
}

static Node *
to_base(Node *node, void *context)
{
	const SovType *t;
	bool		array;
	Node	   *other;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, to_base, context, QTW_DONT_COPY_QUERY);
	/* read as the base type, for another use of it */
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 1 &&
		(t = encrypted_param(linitial(((FuncExpr *) node)->args), &array)) != NULL && ((FuncExpr *) node)->funcresulttype == t->base_oid)
		return (Node *) base_param(t, linitial(((FuncExpr *) node)->args), array);
	/* brought under a column's key */
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 3)
	{
		FuncExpr   *f = (FuncExpr *) node;
		Const	   *typmod = lsecond(f->args);

		t = encrypted_param(linitial(f->args), &array);
		if (t != NULL && t->oid == f->funcresulttype && IsA(typmod, Const) && typmod->consttype == INT4OID)
			return sealed_param(t, linitial(f->args), array, DatumGetInt32(typmod->constvalue));
	}
	if (IsA(node, ScalarArrayOpExpr) && (t = encrypted_param(lsecond(((ScalarArrayOpExpr *) node)->args), &array)) != NULL &&
		(other = any_of_param((ScalarArrayOpExpr *) node, t)) != NULL)
		return other;
	t = encrypted_param(node, &array);
	if (t != NULL)
		return sealed_param(t, node, array, -1);
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
		bool		array;
		const SovType *t = encrypted_type((*found->types)[i], &array);

		if (t == NULL)
			continue;
		(*found->types)[i] = base_type(t, array);
		any = true;
	}
	if (any)
		(void) query_tree_mutator(query, to_base, NULL, QTW_DONT_COPY_QUERY);
}
