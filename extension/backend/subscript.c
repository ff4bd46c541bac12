/*
 * subscript.c - doc['key'] of encrypted_jsonb.
 *
 * Reading is that of jsonb, of the value that is cast to it: the node that is being made
 * is given the cast as its container.  Assigning would have to seal the result under the
 * key of its column, which the server's own node cannot do.
 */
#include "sov_pg.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/subscripting.h"
#include "parser/parse_coerce.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(sov_jsonb_subscript);

static const SubscriptRoutines *
of_jsonb(void)
{
	return (const SubscriptRoutines *) DatumGetPointer(DirectFunctionCall1(jsonb_subscript_handler, (Datum) 0));
}

static void
transform(SubscriptingRef *ref, List *indirection, struct ParseState *pstate, bool is_slice, bool is_assignment)
{
	Oid			type = exprType((Node *) ref->refexpr);

	if (is_assignment)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an encrypted column cannot be assigned to by subscript"),
				 errhint("Use jsonb_set: SET doc = jsonb_set(doc, '{key}', '\"value\"').")));
	ref->refexpr = (Expr *) coerce_to_target_type(pstate, (Node *) ref->refexpr, type, JSONBOID, -1, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
	ref->refcontainertype = JSONBOID;
	of_jsonb()->transform(ref, indirection, pstate, is_slice, is_assignment);
}

static void
never(const SubscriptingRef *ref, struct SubscriptingRefState *state, struct SubscriptExecSteps *steps)
{
	elog(ERROR, "a subscript of an encrypted value was not cast");
}

Datum
sov_jsonb_subscript(PG_FUNCTION_ARGS)
{
	static const SubscriptRoutines routines = {.transform = transform, .exec_setup = never, .fetch_strict = true, .fetch_leakproof = false};

	PG_RETURN_POINTER(&routines);
}
