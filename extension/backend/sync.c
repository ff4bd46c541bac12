/*
 * sync.c - values on their way from one column, or one version of a key, to
 * another.
 *
 * While a column is converted a trigger keeps the new column equal to the old
 * one: whoever writes a row, the trigger alone says what stands in the new
 * column.  It fires for replication as well (ENABLE ALWAYS).
 *
 * Rotation reads the version of a key from the head of a stored value, without
 * opening it, and seals what is left of earlier versions anew in the same mode,
 * so that the equality tag stays what it was.
 */
#include "job.h"

#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "sov_bytes.h"

PG_FUNCTION_INFO_V1(sov_sync_column);
PG_FUNCTION_INFO_V1(sov_key_version_of);
PG_FUNCTION_INFO_V1(sov_seal_anew);

/* --- the trigger --- */

typedef struct Sync
{
	int			from,
				to;				/* column numbers */
	bool		byval,			/* of the old column */
				to_byval;
	int16		len,
				to_len;
	const SovType *open;		/* the old column's, where the new one is its base */
	ExprState  *cast;			/* else */
	ExprContext *cxt;
} Sync;

static AttrNumber
column_of(Relation rel, const char *name)
{
	AttrNumber	n = get_attnum(RelationGetRelid(rel), name);

	if (n <= 0)					/* a system column is none */
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" is being converted, but has gone or was renamed", name, RelationGetRelationName(rel)),
				 errhint("Give it its name back, or drop the conversion's trigger, whose name begins with \"~sov_sync\", and the column that it fills.")));
	return n;
}

static Sync *
prepare_sync(FunctionCallInfo fcinfo, TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	Sync	   *s = palloc0(sizeof *s);
	CaseTestExpr *value = makeNode(CaseTestExpr);
	Form_pg_attribute from,
				to;
	Node	   *cast;

	s->from = column_of(data->tg_relation, data->tg_trigger->tgargs[0]);
	s->to = column_of(data->tg_relation, data->tg_trigger->tgargs[1]);
	from = TupleDescAttr(desc, s->from - 1);
	to = TupleDescAttr(desc, s->to - 1);
	s->byval = from->attbyval;
	s->len = from->attlen;
	s->to_byval = to->attbyval;
	s->to_len = to->attlen;
	value->typeId = from->atttypid;
	value->typeMod = from->atttypmod;
	value->collation = from->attcollation;
	cast = coerce_to_target_type(NULL, (Node *) value, from->atttypid, to->atttypid, to->atttypmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (cast == NULL)
		elog(ERROR, "no cast from %s to %s", format_type_be(from->atttypid), format_type_be(to->atttypid));
	s->open = SovTypeOfOid(from->atttypid);
	if (s->open != NULL && s->open->base_oid != to->atttypid)
		s->open = NULL;
	s->cast = ExecInitExpr(expression_planner((Expr *) cast), NULL);
	s->cxt = CreateStandaloneExprContext();
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = s;
	return s;
}

static Datum
convert_value(Sync *s, Datum value, bool *isnull)
{
	if (*isnull)
		return (Datum) 0;
	ResetExprContext(s->cxt);
	/* the cast would give those who may not open it what sovereign.on_denied says:
	 * a mask must never be stored, so an error here */
	if (s->open != NULL)
	{
		SovPlain   *plain = palloc(sizeof *plain);

		SovOpen(s->open, (struct varlena *) PG_DETOAST_DATUM_PACKED(value), plain);
		return SovDecode(s->open, plain);
	}
	s->cxt->caseValue_datum = value;
	s->cxt->caseValue_isNull = false;
	return ExecEvalExprSwitchContext(s->cast, s->cxt, isnull);
}

/* For a batch of the table (job.c) the caller's right to open is what counts. */
static Datum
convert(Sync *s, Oid rel, Datum value, bool *isnull)
{
	volatile Datum result = (Datum) 0;

	if (rel != SovBatchOf)
		return convert_value(s, value, isnull);
	PG_TRY();
	{
		SovOpensForCaller = true;
		result = convert_value(s, value, isnull);
	}
	PG_FINALLY();
	{
		SovOpensForCaller = false;
	}
	PG_END_TRY();
	return result;
}

/* BEFORE INSERT OR UPDATE FOR EACH ROW; arguments: old column, new column. */
Datum
sov_sync_column(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	Sync	   *s = fcinfo->flinfo->fn_extra;
	Datum		value,
				result;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		data->tg_trigger->tgnargs != 2)
		elog(ERROR, "not called as the trigger that it is");
	if (s == NULL)
		s = prepare_sync(fcinfo, data);
	desc = RelationGetDescr(data->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	value = heap_getattr(row, s->from, desc, &isnull);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		bool		was_null,
					had_none;
		Datum		was = heap_getattr(data->tg_trigtuple, s->from, desc, &was_null);
		Datum		had = heap_getattr(data->tg_trigtuple, s->to, desc, &had_none);

		/* unchanged, and converted before: not again */
		if (!isnull && !was_null && !had_none && datum_image_eq(value, was, s->byval, s->len))
		{
			Datum		now = heap_getattr(row, s->to, desc, &isnull);

			if (!isnull && datum_image_eq(now, had, s->to_byval, s->to_len))
				return PointerGetDatum(row);
			isnull = false;
			return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &s->to, &had, &isnull));
		}
	}
	result = convert(s, RelationGetRelid(data->tg_relation), value, &isnull);
	row = heap_modify_tuple_by_cols(row, desc, 1, &s->to, &result, &isnull);
	ResetExprContext(s->cxt);
	return PointerGetDatum(row);
}

/* --- versions of keys --- */

typedef struct Version
{
	const SovType *type;
	bool		known;
	uint32		version;
	int32		key_id;
} Version;

static Version *
version_cache(FunctionCallInfo fcinfo)
{
	Version    *c = fcinfo->flinfo->fn_extra;

	if (c == NULL)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

		c = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof *c);
		c->type = OidIsValid(type) ? SovTypeOfOid(getBaseType(type)) : NULL;
		if (c->type == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("type %s is not an encrypted type", format_type_be(type))));
		fcinfo->flinfo->fn_extra = c;
	}
	return c;
}

/* Of a stored value, which is not opened; only its head is read. */
Datum
sov_key_version_of(PG_FUNCTION_ARGS)
{
	struct varlena *head;

	(void) version_cache(fcinfo);
	head = PG_DETOAST_DATUM_SLICE(PG_GETARG_DATUM(0), 0, 6);
	if (VARSIZE_ANY_EXHDR(head) < 6)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED), errmsg("a stored encrypted value is damaged")));
	PG_RETURN_INT64((int64) sov_get_le32((const uint8_t *) VARDATA_ANY(head) + 2));
}

static Datum
seal_anew(const SovType *t, const struct varlena *v, int32 key_id)
{
	int32		typmod = (int32) ((uint32) key_id << 1 | (SovStoredTag(v) != NULL ? SOV_TYPMOD_SEARCHABLE : 0));
	SovPlain	plain;
	Datum		result;
	struct sov_error err;
	struct sov_value parsed;
	enum sov_code rc;

	SovParse(v, &parsed);
	/* whoever rotates a key need not be among those who may decrypt: what comes out
	 * is ciphertext */
	rc = SovOpenAnywayTry(t, v, &plain, &err);
	if (rc == SOV_E_DENIED && parsed.has_subject)	/* erased: nobody opens it, it may stay */
		return PointerGetDatum(v);
	if (rc != SOV_OK)
		SovRaise(&err);
	result = SovSealBytesOf(t, plain.bytes, plain.len, typmod, parsed.has_subject ? parsed.subject : 0);
	SovFreePlain(&plain);
	return result;
}

/* The same value in the same mode under the current version of its key. */
Datum
sov_seal_anew(PG_FUNCTION_ARGS)
{
	Version    *c = version_cache(fcinfo);	/* first: it may be of any type */
	struct varlena *v = PG_GETARG_VARLENA_PP(0);
	struct sov_value parsed;
	SovKeyRow	row;

	SovParse(v, &parsed);
	if (!c->known || c->version != parsed.keyver)
	{
		if (!SovFindKeyRow(SOV_BY_VERSION, parsed.keyver, &row))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("an encrypted value was sealed under key version %08x, which this database does not have", parsed.keyver),
					 errhint("The value comes from another database or its key was removed; restore the key's row in the table key_version.")));
		c->known = true;
		c->version = parsed.keyver;
		c->key_id = row.key_id;
	}
	return seal_anew(c->type, v, c->key_id);
}

/* --- defaults --- */

typedef struct Looked
{
	Oid			schema;			/* of the extension: its casts are as good as constant */
	Oid			base;
	bool		changing;		/* something else than constants */
	bool		constant;		/* a constant that may be a secret */
	bool		users;			/* a function that a user made */
} Looked;

static bool
is_changing_function(Oid func, void *context)
{
	Looked	   *l = context;

	return func_volatile(func) != PROVOLATILE_IMMUTABLE && get_func_namespace(func) != l->schema;
}

static bool
is_users_function(Oid func, void *context)
{
	Oid			schema = get_func_namespace(func);

	return schema != PG_CATALOG_NAMESPACE && schema != ((Looked *) context)->schema;
}

static bool
look(Node *node, void *context)
{
	Looked	   *l = context;

	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction) || IsA(node, NextValueExpr) || check_functions_in_node(node, is_changing_function, l))
		l->changing = true;
	if (IsA(node, CoerceToDomain) || check_functions_in_node(node, is_users_function, l))
		l->users = true;
	if (IsA(node, Const) && !((Const *) node)->constisnull &&
		(((Const *) node)->consttype == l->base || ((Const *) node)->consttype == TEXTOID))
		l->constant = true;
	return expression_tree_walker(node, look, context);
}

/* As the owner.  A literal is opened for the caller; what calls functions of the owner's, for
 * who may open it. */
static Datum
evaluate(Node *expr, bool for_caller, bool *isnull)
{
	ExprContext *cxt = CreateStandaloneExprContext();
	volatile Datum value = (Datum) 0;

	PG_TRY();
	{
		SovOpensForCaller = for_caller;
		value = ExecEvalExprSwitchContext(ExecInitExpr(expression_planner((Expr *) expr), NULL), cxt, isnull);
	}
	PG_FINALLY();
	{
		SovOpensForCaller = false;
	}
	PG_END_TRY();
	return value;
}

/* A constant as SQL, sealed under the current version where it is to be. */
static char *
constant_sql(Node *expr, bool for_caller, Oid type)
{
	const SovType *t = SovTypeOfOid(type);
	Datum		value;
	bool		isnull;
	Oid			out;
	bool		varlena;
	SovKeyRow	row;

	value = evaluate(expr, for_caller, &isnull);
	if (isnull)
		return pstrdup("NULL");
	if (t != NULL)
	{
		struct varlena *v = (struct varlena *) PG_DETOAST_DATUM(value);
		struct sov_value parsed;

		SovParse(v, &parsed);
		if (SovFindKeyRow(SOV_BY_VERSION, parsed.keyver, &row) && !row.current)
			value = seal_anew(t, v, row.key_id);
	}
	getTypeOutputInfo(type, &out, &varlena);
	return quote_literal_cstr(OidOutputFunctionCall(out, value));
}

/* The column's default for a column of another type (or, for rotation, the same),
 * NULL where it has none.  A constant is sealed or opened; *betrays: an expression
 * with a constant inside, which the catalog would keep readable. */
char *
SovDefaultFor(Oid relid, AttrNumber attnum, Oid type, int32 typmod, bool *betrays)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Looked		l = {.schema = SovGetCatalog()->schema, .base = getBaseType(att->atttypid)};
	Node	   *expr = att->atthasdef && !att->attgenerated ? build_column_default(rel, attnum) : NULL;
	char	   *sql = NULL;
	SovUser		saved;

	*betrays = false;
	SovBecomeOwner(relid, &saved);
	if (expr != NULL)
	{
		expr = eval_const_expressions(NULL, expr);
		(void) look(expr, &l);
		if (l.changing)
		{
			sql = deparse_expression(expr, NIL, false, false);
			*betrays = l.constant && SovTypeOfOid(type) != NULL && SovTypeOfOid(att->atttypid) == NULL;
		}
		else
		{
			expr = coerce_to_target_type(NULL, expr, exprType(expr), type, typmod, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
			sql = constant_sql(expr, !l.users, type);
		}
	}
	SovBecomeSelf(&saved);
	table_close(rel, AccessShareLock);
	return sql;
}
