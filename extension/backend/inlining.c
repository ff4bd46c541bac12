/*
 * inlining.c - SQL functions that print encrypted values are called, not inlined.
 *
 * native.c makes concat() and its like print plaintext, in every query that is analysed
 * (results.c) or planned (plan.c).  What the planner puts in the place of a call it has
 * parsed by itself, or has from the catalog (BEGIN ATOMIC), and shows to no hook; when
 * such a function is called, its statements are planned one by one.  The server asks
 * plugins whether they want to see the calls of a function, and does not inline it then.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "executor/functions.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "native.h"

typedef struct Known
{
	Oid			function;
	bool		prints;
} Known;

static needs_fmgr_hook_type next_needs;
static HTAB *known;				/* until pg_proc changes */

static void
functions_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (known != NULL)
		hash_destroy(known);
	known = NULL;
}

/* (The server inlines no others.) */
static bool
may_be_inlined(HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);

	return proc->prokind == PROKIND_FUNCTION && !proc->prosecdef && !proc->proretset && proc->prorettype != RECORDOID &&
		heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL);
}

static bool
takes_encrypted(Form_pg_proc proc, bool *polymorphic)
{
	bool		encrypted = false;

	*polymorphic = false;
	for (int i = 0; i < proc->pronargs; i++)
	{
		*polymorphic = *polymorphic || IsPolymorphicType(proc->proargtypes.values[i]);
		encrypted = encrypted || OidIsValid(SovNativeType(proc->proargtypes.values[i]));
	}
	return encrypted || *polymorphic;
}

/* The words of what native.c changes. */
static bool
may_print(const char *body)
{
	static const char *const words[] = {"concat", "format", "array_to_string", "xml", "::", "cast"};

	for (size_t i = 0; i < lengthof(words); i++)
		if (strcasestr(body, words[i]) != NULL)
			return true;
	return false;
}

/* As the planner would parse it. */
static bool
text_prints(HeapTuple tuple, const char *body)
{
	List	   *raw = pg_parse_query(body);
	ParseState *pstate = make_parsestate(NULL);
	Query	   *query;

	if (list_length(raw) != 1)
		return false;
	pstate->p_sourcetext = body;
	sql_fn_parser_setup(pstate, prepare_sql_fn_parse_info(tuple, NULL, InvalidOid));
	query = transformTopLevelStmt(pstate, linitial_node(RawStmt, raw));
	free_parsestate(pstate);
	return SovPrintsEncrypted((Node *) query);
}

static bool
body_prints(HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	bool		isnull,
				polymorphic;
	Datum		body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &isnull);

	if (!isnull)
		return SovPrintsEncrypted(stringToNode(TextDatumGetCString(body)));
	if (!may_be_inlined(tuple) || !takes_encrypted(proc, &polymorphic))
		return false;
	body = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	return !isnull && may_print(TextDatumGetCString(body)) &&
		(polymorphic || text_prints(tuple, TextDatumGetCString(body)));
}

static bool
ask(HeapTuple tuple)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(Known)};
	Oid			function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	Known	   *k = known ? hash_search(known, &function, HASH_FIND, NULL) : NULL;
	bool		prints;

	if (k != NULL)
		return k->prints;
	prints = body_prints(tuple);
	if (known == NULL)
		known = hash_create("pg_sovereign functions", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	k = hash_search(known, &function, HASH_ENTER, NULL);
	k->prints = prints;
	return prints;
}

static bool
is_called(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		prints;

	if (next_needs && next_needs(function))
		return true;
	if (function < FirstNormalObjectId || !IsTransactionState())
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	/* our own print nothing */
	prints = proc->prolang == SQLlanguageId && proc->pronamespace != PG_CATALOG_NAMESPACE &&
		strstr(NameStr(proc->proname), "encrypted_") == NULL && SovGetCatalog()->n_types > 0 && ask(tuple);
	ReleaseSysCache(tuple);
	return prints;
}

void
SovInliningInit(void)
{
	next_needs = needs_fmgr_hook;
	needs_fmgr_hook = is_called;
	CacheRegisterSyscacheCallback(PROCOID, functions_changed, (Datum) 0);
}
