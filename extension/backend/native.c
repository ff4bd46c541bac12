/*
 * native.c - expressions in their base types.
 *
 * The output function of an encrypted type prints ciphertext, as pg_dump needs it.
 * What SQL prints through output functions inside of a query must be plaintext all
 * the same: arguments of format() and its like, casts that go by text
 * (encrypted_text to xml or to an enum), and rows as text.  Those are changed here
 * in every query, also of functions and views, when it is analysed, and once more when it
 * is planned: rules, policies and the bodies of BEGIN ATOMIC come from the catalog
 * (inlining.c).  The results of a client's own query are results.c's.
 *
 * A value is cast.  A row with encrypted columns goes through native_row(record),
 * which keeps its names and null-ness and gives another row type; an array of rows
 * through native_rows(anyarray).
 */
#include "sov_pg.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "native.h"

/* --- types --- */

static bool
row_has_encrypted(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_domain(type, -1, true);
	bool		found = false;

	if (desc == NULL)
		return false;
	for (int i = 0; i < desc->natts && !found; i++)
	{
		Form_pg_attribute a = TupleDescAttr(desc, i);

		found = !a->attisdropped && OidIsValid(SovNativeType(a->atttypid));
	}
	ReleaseTupleDesc(desc);
	return found;
}

Oid
SovNativeType(Oid type)
{
	Oid			element,
				native;
	const SovType *t;

	if (type < FirstNormalObjectId)
		return InvalidOid;
	if (type_is_rowtype(type))
		return row_has_encrypted(type) ? RECORDOID : InvalidOid;
	type = getBaseType(type);
	t = SovTypeOfOid(type);
	if (t != NULL)
		return t->base_oid;
	element = get_element_type(type);
	native = OidIsValid(element) ? SovNativeType(element) : InvalidOid;
	return OidIsValid(native) ? get_array_type(native) : InvalidOid;
}

static bool
any_native(const List *exprs)
{
	ListCell   *lc;

	foreach(lc, exprs)
	{
		const Node *expr = lfirst(lc);

		if (OidIsValid(SovNativeTypeOf(IsA(expr, TargetEntry) ? (const Node *) ((const TargetEntry *) expr)->expr : expr)))
			return true;
	}
	return false;
}

/* The type of an anonymous row, or of an array of such, does not tell what is in it: where
 * the expression does not tell either, it is taken for one with encrypted columns. */
Oid
SovNativeTypeOf(const Node *expr)
{
	Oid			type = exprType(expr);
	bool		may = true;

	if (type != RECORDOID && type != RECORDARRAYOID)
		return SovNativeType(type);
	if (IsA(expr, RowExpr))
		may = any_native(((const RowExpr *) expr)->args);
	else if (IsA(expr, ArrayExpr))
		may = any_native(((const ArrayExpr *) expr)->elements);
	else if (IsA(expr, Aggref))
		may = any_native(((const Aggref *) expr)->args);
	else if (IsA(expr, FuncExpr))
		may = ((const FuncExpr *) expr)->funcid >= FirstNormalObjectId;
	return may && SovGetCatalog()->n_types > 0 ? type : InvalidOid;
}

/* --- expressions --- */

/* Through native_row(record), or native_rows(anyarray). */
static Expr *
through(const char *name, Expr *expr, Oid arg, Oid result)
{
	oidvector  *args = buildoidvector(&arg, 1);
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
										   PointerGetDatum(args), ObjectIdGetDatum(SovGetCatalog()->schema));

	if (!OidIsValid(function) ||	/* an older version of the extension */
		(IsA(expr, FuncExpr) && ((FuncExpr *) expr)->funcid == function))
		return expr;
	return (Expr *) makeFuncExpr(function, result, list_make1(expr), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

Expr *
SovToNative(ParseState *pstate, Expr *expr)
{
	Oid			type = exprType((Node *) expr);
	Oid			target = type == RECORDOID || type == RECORDARRAYOID ? type : SovNativeType(type);
	Node	   *cast;

	if (!OidIsValid(target))
		return expr;
	if (target == RECORDOID)
		return through("native_row", expr, RECORDOID, RECORDOID);
	if (target == RECORDARRAYOID)
		return through("native_rows", expr, ANYARRAYOID, RECORDARRAYOID);
	cast = coerce_to_target_type(pstate, (Node *) expr, type, target, -1,
								 COERCION_EXPLICIT, COERCE_IMPLICIT_CAST, -1);
	if (cast == NULL)
		return expr;
	assign_expr_collations(pstate, cast);
	return (Expr *) cast;
}

/* json_object_agg and its like take "any", and look at the type. */
static bool
is_object_agg(Oid aggregate)
{
	char	   *name = get_func_name(aggregate);

	return name != NULL && aggregate < FirstNormalObjectId && strstr(name, "_object_agg") != NULL;
}

/* Arguments that nothing refers to by number: sorting goes by the stored type. */
static void
cast_aggregate(ParseState *pstate, Aggref *agg)
{
	ListCell   *lc,
			   *type = list_head(agg->aggargtypes);

	foreach(lc, agg->args)
	{
		TargetEntry *tle = lfirst(lc);

		if (type == NULL)
			return;
		if (tle->ressortgroupref == 0)
		{
			tle->expr = SovToNative(pstate, tle->expr);
			lfirst_oid(type) = exprType((Node *) tle->expr);
		}
		type = lnext(agg->aggargtypes, type);
	}
}

static void
cast_list(ParseState *pstate, List *list)
{
	ListCell   *lc;

	foreach(lc, list)
		lfirst(lc) = SovToNative(pstate, lfirst(lc));
}

/* Rows can be compared only where their columns have the same types: an anonymous one may
 * be of plain values. */
static bool
compares_rows(List *args)
{
	Oid			a,
				b;

	if (list_length(args) != 2)
		return false;
	a = exprType(linitial(args));
	b = exprType(lsecond(args));
	return (a == RECORDOID && (b == RECORDOID || type_is_rowtype(b))) || (b == RECORDOID && type_is_rowtype(a));
}

/* Arguments of VARIADIC "any" (concat, format, ...), of array_to_string and of XML, and
 * what is cast by way of text, would be printed by the type's output function. */
static bool
cast_printed(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, cast_printed, context, 0);
	if (IsA(node, Aggref) && is_object_agg(((Aggref *) node)->aggfnoid))
		cast_aggregate(context, (Aggref *) node);
	if (IsA(node, WindowFunc) && is_object_agg(((WindowFunc *) node)->winfnoid))
		cast_list(context, ((WindowFunc *) node)->args);
	if ((IsA(node, OpExpr) || IsA(node, DistinctExpr)) && compares_rows(((OpExpr *) node)->args) && any_native(((OpExpr *) node)->args))
		cast_list(context, ((OpExpr *) node)->args);
	if (IsA(node, CoerceViaIO))
		((CoerceViaIO *) node)->arg = SovToNative(context, ((CoerceViaIO *) node)->arg);
	if (IsA(node, XmlExpr))
	{
		cast_list(context, ((XmlExpr *) node)->named_args);
		cast_list(context, ((XmlExpr *) node)->args);
	}
	if (IsA(node, FuncExpr))
	{
		FuncExpr   *f = (FuncExpr *) node;
		HeapTuple	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(f->funcid));

		if (HeapTupleIsValid(proc))
		{
			if (((Form_pg_proc) GETSTRUCT(proc))->provariadic == ANYOID ||
				f->funcid == F_ARRAY_TO_STRING_ANYARRAY_TEXT ||
				f->funcid == F_ARRAY_TO_STRING_ANYARRAY_TEXT_TEXT)
				cast_list(context, f->args);
			ReleaseSysCache(proc);
		}
	}
	return expression_tree_walker(node, cast_printed, context);
}

void
SovPrintNative(ParseState *pstate, Query *query)
{
	(void) query_tree_walker(query, cast_printed, pstate, 0);
}

/* Would SovPrintNative change anything in it? */
bool
SovPrintsEncrypted(Node *node)
{
	Node	   *copy = copyObject(node);

	(void) cast_printed(copy, NULL);
	return !equal(copy, node);
}
