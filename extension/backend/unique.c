/*
 * unique.c - UNIQUE on encrypted columns: a unique index of the blind class, made right
 * after the command.
 *
 * A constraint can name no operator class but the default one, which refuses every index.
 * The index has the name that the constraint would have, which applications know from
 * errors, and DROP CONSTRAINT drops it.  (PRIMARY KEY stays refused: it must be a
 * constraint.)
 */
#include "sov_pg.h"

#include "catalog/dependency.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "ddl.h"

IndexStmt *
SovUniqueIndex(RangeVar *table, Constraint *c, List *keys)
{
	IndexStmt  *index = makeNode(IndexStmt);
	ListCell   *lc;

	if (c->deferrable)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a deferrable UNIQUE constraint is not supported on encrypted columns"),
				 errhint("Leave DEFERRABLE out: UNIQUE becomes a unique index on the equality tag.")));
	index->idxname = c->conname;
	index->relation = copyObject(table);
	index->accessMethod = "btree";
	index->tableSpace = c->indexspace;
	index->options = c->options;
	index->unique = true;
#if PG_VERSION_NUM >= 150000
	index->nulls_not_distinct = c->nulls_not_distinct;
#endif
	foreach(lc, keys)
	{
		IndexElem  *elem = makeNode(IndexElem);

		elem->name = strVal(lfirst(lc));
		index->indexParams = lappend(index->indexParams, elem);
	}
	foreach(lc, c->including)
	{
		IndexElem  *elem = makeNode(IndexElem);

		elem->name = strVal(lfirst(lc));
		index->indexIncludingParams = lappend(index->indexIncludingParams, elem);
	}
	return index;
}

/* Is it UNIQUE over an encrypted column?  keys: of the constraint, or the column's own. */
bool
SovIsOurUnique(Constraint *c, List *keys, Relation rel, List *elements)
{
	ListCell   *lc;

	if (!IsA(c, Constraint) || c->contype != CONSTR_UNIQUE || c->indexname != NULL)
		return false;
	foreach(lc, keys)
		if (SovTypeOfColumn(rel, elements, strVal(lfirst(lc))) != NULL)
			return true;
	return false;
}

/* Take UNIQUE out of a column's definition. */
void
SovTakeUnique(ColumnDef *def, RangeVar *table, List **then)
{
	List	   *kept = NIL,
			   *keys = list_make1(makeString(def->colname)),
			   *elements = list_make1(def);
	ListCell   *lc;

	foreach(lc, def->constraints)
	{
		Constraint *c = lfirst(lc);

		if (SovIsOurUnique(c, keys, NULL, elements))
			*then = lappend(*then, SovUniqueIndex(table, c, keys));
		else
			kept = lappend(kept, c);
	}
	def->constraints = kept;
}

/* As the server would call the constraint: table_column_key. */
void
SovNameUnique(IndexStmt *index)
{
	Oid			table = index->idxname ? InvalidOid : RangeVarGetRelid(index->relation, NoLock, true);
	StringInfoData columns;
	ListCell   *lc;

	if (!OidIsValid(table))
		return;
	initStringInfo(&columns);
	foreach(lc, list_concat_copy(index->indexParams, index->indexIncludingParams))
		appendStringInfo(&columns, "%s%s", columns.len ? "_" : "", ((IndexElem *) lfirst(lc))->name);
	index->idxname = ChooseRelationName(get_rel_name(table), columns.data, "key", get_rel_namespace(table), true);
}

static bool
is_blind_unique(Oid index, Oid table)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		found = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	if (form->indrelid == table && form->indisunique && !OidIsValid(get_index_constraint(index)))
		for (int i = 0; i < form->indnkeyatts && !found; i++)
			found = form->indkey.values[i] > 0 && SovTypeOfOid(getBaseType(get_atttype(table, form->indkey.values[i]))) != NULL;
	ReleaseSysCache(tuple);
	return found;
}

/* DROP CONSTRAINT of what is such an index; NULL: it is not. */
Node *
SovDropOfUnique(Relation rel, const AlterTableCmd *cmd)
{
	Oid			index = get_relname_relid(cmd->name, RelationGetNamespace(rel));
	DropStmt   *drop;

	if (!OidIsValid(index) || OidIsValid(get_relation_constraint_oid(RelationGetRelid(rel), cmd->name, true)) ||
		!is_blind_unique(index, RelationGetRelid(rel)))
		return NULL;
	drop = makeNode(DropStmt);
	drop->removeType = OBJECT_INDEX;
	drop->behavior = cmd->behavior;
	drop->objects = list_make1(list_make2(makeString(get_namespace_name(RelationGetNamespace(rel))), makeString(pstrdup(cmd->name))));
	return (Node *) drop;
}
