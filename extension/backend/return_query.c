/*
 * return_query.c - RETURN QUERY of PL/pgSQL into columns of base types.
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
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "plpgsql.h"

#include "return_query.h"

static const PLpgSQL_expr *query;	/* of the RETURN QUERY that begins, or NULL */
static bool dynamic;			/* a RETURN QUERY EXECUTE begins */
static Oid	types[MaxTupleAttributeNumber];
static int	n_types;

static void
statement_begins(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	TupleDesc	desc;

	query = NULL;
	dynamic = false;
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
statement_ends(PLpgSQL_execstate *estate, PLpgSQL_stmt *stmt)
{
	query = NULL;
	dynamic = false;
}

/* After an error no statement ends. */
static void
transaction_ends(XactEvent event, void *arg)
{
	statement_ends(NULL, NULL);
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		statement_ends(NULL, NULL);
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
