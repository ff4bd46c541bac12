/*
 * return_query.c - RETURN QUERY, RETURN NEXT and RETURN of PL/pgSQL into columns of base
 * types.
 *
 * PL/pgSQL wants the very types that the function declares: "RETURNS TABLE (name text)"
 * with RETURN QUERY SELECT name, where name is encrypted, would be an error.  So the
 * query is given casts (results.c), as far as the function declares the base type.  A
 * function that returns SETOF its table gets what is stored, as before.
 *
 * PL/pgSQL tells its plugin of each statement before it runs.  Only one plugin can be
 * there: a debugger or profiler that was loaded first stays, and then the query wants
 * the casts in its text.
 *
 * The query of RETURN QUERY EXECUTE is the next one that is analysed and that has no
 * variables of a function in sight: PL/pgSQL's expressions, of which one gives its text,
 * and SQL functions have.  A function in that expression that runs other statements ends
 * the waiting, and the query then wants the casts in its text.
 *
 * The row of a variable ("FOR r IN SELECT ... LOOP RETURN NEXT r") is exchanged, while the
 * statement runs, for one that is cast.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "funcapi.h"
#include "parser/parse_coerce.h"
#include "plpgsql.h"
#include "utils/expandedrecord.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "return_query.h"

static const PLpgSQL_expr *query;	/* of the RETURN QUERY that begins, or NULL */
static bool dynamic;			/* a RETURN QUERY EXECUTE begins */
static Oid	types[MaxTupleAttributeNumber];
static int	n_types;

static PLpgSQL_rec *variable;	/* whose row is exchanged, or NULL */
static ExpandedRecordHeader *its_row;

static const SovType *
to_open(Oid have, Oid want)
{
	const SovType *t = SovTypeOfOid(have);

	return t != NULL && (want == t->base_oid || (want == VARCHAROID && t->base_oid == TEXTOID)) ? t : NULL;
}

/* NULL: there is nothing to cast. */
static ExpandedRecordHeader *
row_as_declared(ExpandedRecordHeader *row, TupleDesc want, MemoryContext cxt)
{
	TupleDesc	have = expanded_record_get_tupdesc(row),
				desc = NULL;
	Datum	   *values;
	ExpandedRecordHeader *cast;

	if (have->natts != want->natts)
		return NULL;
	for (int i = 0; i < have->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(have, i);
		const SovType *t = a->attisdropped ? NULL : to_open(a->atttypid, TupleDescAttr(want, i)->atttypid);

		if (t == NULL)
			continue;
		if (desc == NULL)
			desc = CreateTupleDescCopy(have);
		TupleDescInitEntry(desc, i + 1, NameStr(a->attname), TupleDescAttr(want, i)->atttypid, -1, 0);
		TupleDescInitEntryCollation(desc, i + 1, a->attcollation);
	}
	if (desc == NULL)
		return NULL;
	desc->tdtypeid = RECORDOID;
	desc->tdtypmod = -1;
	BlessTupleDesc(desc);
	deconstruct_expanded_record(row);
	values = palloc(sizeof(Datum) * have->natts);
	memcpy(values, row->dvalues, sizeof(Datum) * have->natts);
	for (int i = 0; i < have->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(have, i);
		Oid			function;

		if (row->dnulls[i] || TupleDescAttr(desc, i)->atttypid == a->atttypid)
			continue;
		if (find_coercion_pathway(SovTypeOfOid(a->atttypid)->base_oid, a->atttypid, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC)
			elog(ERROR, "no function casts type %u to its base type", a->atttypid);
		values[i] = OidFunctionCall1Coll(function, a->attcollation, values[i]);
	}
	cast = make_expanded_record_from_tupdesc(desc, cxt);
	expanded_record_set_fields(cast, values, row->dnulls, true);
	return cast;
}

/* What the function declares to return: a copy, or NULL where that cannot be told. */
static TupleDesc
declared_row(const PLpgSQL_execstate *estate)
{
	Oid			type = estate->func->fn_rettype;

	if (estate->func->fn_is_trigger != PLPGSQL_NOT_TRIGGER)
		return NULL;
	if (type == RECORDOID || estate->retisset)
		return estate->rsi != NULL && IsA(estate->rsi, ReturnSetInfo) ? estate->rsi->expectedDesc : NULL;
	return type_is_rowtype(type) ? lookup_rowtype_tupdesc_copy(getBaseType(type), -1) : NULL;
}

static void
exchange_row(PLpgSQL_execstate *estate, int varno)
{
	PLpgSQL_rec *rec = varno >= 0 ? (PLpgSQL_rec *) estate->datums[varno] : NULL;
	TupleDesc	want;
	MemoryContext old;
	ExpandedRecordHeader *cast;

	if (rec == NULL || rec->dtype != PLPGSQL_DTYPE_REC || rec->erh == NULL || ExpandedRecordIsEmpty(rec->erh) ||
		(want = declared_row(estate)) == NULL)
		return;
	old = MemoryContextSwitchTo(estate->eval_econtext->ecxt_per_tuple_memory);
	cast = row_as_declared(rec->erh, want, estate->datum_context);
	MemoryContextSwitchTo(old);
	if (cast == NULL)
		return;
	variable = rec;
	its_row = rec->erh;
	rec->erh = cast;
}

static void
statement_begins(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	TupleDesc	desc;

	query = NULL;
	dynamic = false;
	variable = NULL;
	if (stmt->cmd_type == PLPGSQL_STMT_RETURN_NEXT)
		exchange_row(estate, ((PLpgSQL_stmt_return_next *) stmt)->retvarno);
	else if (stmt->cmd_type == PLPGSQL_STMT_RETURN)
		exchange_row(estate, ((PLpgSQL_stmt_return *) stmt)->retvarno);
	if (stmt->cmd_type != PLPGSQL_STMT_RETURN_QUERY || estate->rsi == NULL || !IsA(estate->rsi, ReturnSetInfo) ||
		(desc = estate->rsi->expectedDesc) == NULL)
		return;
	n_types = desc->natts;
	for (int i = 0; i < n_types; i++)
		types[i] = TupleDescAttr(desc, i)->atttypid;
	query = ((PLpgSQL_stmt_return_query *) stmt)->query;
	dynamic = query == NULL;
}

static void
forget(void)
{
	query = NULL;
	dynamic = false;
	variable = NULL;
}

/* What RETURN gives is the row that was exchanged; it stays as long as the function does. */
static void
statement_ends(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	if (variable != NULL)
	{
		if (stmt->cmd_type == PLPGSQL_STMT_RETURN_NEXT)
			DeleteExpandedObject(ExpandedRecordGetDatum(variable->erh));
		variable->erh = its_row;
	}
	forget();
}

/* After an error no statement ends. */
static void
transaction_ends(XactEvent event, void *arg)
{
	forget();
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget();
}

const Oid *
SovReturnTypes(const ParseState *pstate, int *n)
{
	bool		texts = dynamic && pstate->p_pre_columnref_hook == NULL && pstate->p_post_columnref_hook == NULL;

	if (!texts && (query == NULL || pstate->p_ref_hook_state != query))
		return NULL;
	dynamic = dynamic && !texts;
	*n = n_types;
	return types;
}

void
SovReturnQueryInit(void)
{
	static PLpgSQL_plugin plugin = {.stmt_beg = statement_begins, .stmt_end = statement_ends};
	PLpgSQL_plugin **place = (PLpgSQL_plugin **) find_rendezvous_variable("PLpgSQL_plugin");

	if (*place != NULL)
		return;
	*place = &plugin;
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
}
