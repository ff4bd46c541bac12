/*
 * unique.c - UNIQUE and PRIMARY KEY on encrypted columns: constraints whose indexes are of
 * the blind class.
 *
 * A constraint can name no operator class, and the default one refuses every index.  The
 * server makes its index by a command of its own, for which ddl.c chooses the class; but
 * within ALTER TABLE it makes the index itself, so there the constraint becomes a command
 * that runs right after.  ALTER COLUMN ... TYPE makes indexes again, too: the constraints
 * are dropped before it and made again after.
 */
#include "sov_pg.h"

#include "access/attmap.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "parser/parse_utilcmd.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "ddl.h"

static List *
index_elements(List *names)
{
	List	   *all = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		IndexElem  *elem = makeNode(IndexElem);

		elem->name = strVal(lfirst(lc));
		all = lappend(all, elem);
	}
	return all;
}

/* As the server makes it of the constraint. */
IndexStmt *
SovConstraintIndex(RangeVar *table, Constraint *c, List *keys)
{
	IndexStmt  *index = makeNode(IndexStmt);

	index->idxname = c->conname;
	index->relation = copyObject(table);
	index->accessMethod = "btree";
	index->tableSpace = c->indexspace;
	index->options = c->options;
	index->unique = index->isconstraint = true;
	index->primary = c->contype == CONSTR_PRIMARY;
	index->deferrable = c->deferrable;
	index->initdeferred = c->initdeferred;
#if PG_VERSION_NUM >= 150000
	index->nulls_not_distinct = c->nulls_not_distinct;
#endif
	index->indexParams = index_elements(keys);
	index->indexIncludingParams = index_elements(c->including);
	return index;
}

/* As the server does where it makes the index itself. */
static void
refuse_second_primary_key(Relation rel)
{
	list_free(RelationGetIndexList(rel));
	if (OidIsValid(rel->rd_pkindex))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("multiple primary keys for table \"%s\" are not allowed", RelationGetRelationName(rel))));
}

void
SovRefuseSecondPrimaryKey(const IndexStmt *stmt)
{
	Relation	rel = stmt->primary ? relation_openrv(stmt->relation, AccessShareLock) : NULL;

	if (rel == NULL)
		return;
	refuse_second_primary_key(rel);
	relation_close(rel, NoLock);
}

/* A unique index of the blind class on the table, which is no constraint's. */
static bool
is_blind_unique(Oid index, Oid table, bool may_be_constraint)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		found = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	if (form->indrelid == table && form->indisunique && !OidIsValid(get_index_constraint(index)) &&
		(!may_be_constraint || (form->indisvalid && heap_attisnull(tuple, Anum_pg_index_indpred, NULL) && heap_attisnull(tuple, Anum_pg_index_indexprs, NULL))))
		for (int i = 0; i < form->indnkeyatts && !found; i++)
			found = form->indkey.values[i] > 0 && SovTypeOfOid(getBaseType(get_atttype(table, form->indkey.values[i]))) != NULL;
	ReleaseSysCache(tuple);
	return found;
}

/* Is it UNIQUE or PRIMARY KEY over an encrypted column?  keys: of the constraint, or the column's own. */
bool
SovIsOurConstraint(Constraint *c, List *keys, Relation rel, List *elements)
{
	ListCell   *lc;

	if (!IsA(c, Constraint) || (c->contype != CONSTR_UNIQUE && c->contype != CONSTR_PRIMARY))
		return false;
	if (c->indexname != NULL)
		return rel != NULL && rel->rd_rel->relkind == RELKIND_RELATION &&
			is_blind_unique(get_relname_relid(c->indexname, RelationGetNamespace(rel)), RelationGetRelid(rel), true);
	foreach(lc, keys)
		if (SovTypeOfColumn(rel, elements, strVal(lfirst(lc))) != NULL)
			return true;
	return false;
}

static Node *
not_null(void)
{
	Constraint *c = makeNode(Constraint);

	c->contype = CONSTR_NOTNULL;
	c->location = -1;
#if PG_VERSION_NUM >= 180000
	c->is_enforced = c->initially_valid = true;
#endif
	return (Node *) c;
}

/* Take them out of a column's definition. */
void
SovTakeConstraints(ColumnDef *def, RangeVar *table, List **then)
{
	List	   *kept = NIL,
			   *keys = list_make1(makeString(def->colname)),
			   *elements = list_make1(def);
	ListCell   *lc;

	foreach(lc, def->constraints)
	{
		Constraint *c = lfirst(lc);

		if (!SovIsOurConstraint(c, keys, NULL, elements))
			kept = lappend(kept, c);
		else
		{
			*then = lappend(*then, SovConstraintIndex(table, c, keys));
			if (c->contype == CONSTR_PRIMARY)
				kept = lappend(kept, not_null());
		}
	}
	def->constraints = kept;
}

static List *
columns_of(Relation rel, const char *index)
{
	Relation	index_rel = relation_open(get_relname_relid(index, RelationGetNamespace(rel)), AccessShareLock);
	List	   *names = NIL;

	for (int i = 0; i < index_rel->rd_index->indnkeyatts; i++)
		names = lappend(names, makeString(get_attname(RelationGetRelid(rel), index_rel->rd_index->indkey.values[i], false)));
	relation_close(index_rel, NoLock);
	return names;
}

/* ADD CONSTRAINT: what is left of it to the command itself. */
List *
SovAddConstraint(Relation rel, AlterTableCmd *cmd, RangeVar *table, List **then)
{
	Constraint *c = (Constraint *) cmd->def;
	List	   *keys = c->indexname ? columns_of(rel, c->indexname) : c->keys,
			   *left = NIL;
	ListCell   *lc;

	*then = lappend(*then, c->indexname ? (Node *) c : (Node *) SovConstraintIndex(table, c, keys));
	foreach(lc, c->contype == CONSTR_PRIMARY ? keys : NIL)
	{
		AlterTableCmd *set = makeNode(AlterTableCmd);

		set->subtype = AT_SetNotNull;
		set->name = strVal(lfirst(lc));
		left = lappend(left, set);
	}
	return left;
}

/* ADD CONSTRAINT ... USING INDEX, as the server does where the class is the default one. */
void
SovConstrainByIndex(Constraint *c, RangeVar *table)
{
	Relation	rel = relation_openrv(table, AccessExclusiveLock);
	Oid			index = get_relname_relid(c->indexname, RelationGetNamespace(rel));
	Relation	index_rel = relation_open(index, AccessShareLock);
	bool		primary = c->contype == CONSTR_PRIMARY;
	const char *name = c->conname ? c->conname : c->indexname;

	if (primary)
		refuse_second_primary_key(rel);
	if (strcmp(name, c->indexname) != 0)
	{
		ereport(NOTICE,
				(errmsg("ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"%s\" to \"%s\"", c->indexname, name)));
		RenameRelationInternal(index, name, false, true);
	}
	index_constraint_create(rel, index, InvalidOid, BuildIndexInfo(index_rel), name, primary ? CONSTRAINT_PRIMARY : CONSTRAINT_UNIQUE,
							INDEX_CONSTR_CREATE_UPDATE_INDEX | INDEX_CONSTR_CREATE_REMOVE_OLD_DEPS |
							(primary ? INDEX_CONSTR_CREATE_MARK_AS_PRIMARY : 0) |
							(c->deferrable ? INDEX_CONSTR_CREATE_DEFERRABLE : 0) | (c->initdeferred ? INDEX_CONSTR_CREATE_INIT_DEFERRED : 0),
							false, false);
	relation_close(index_rel, NoLock);
	relation_close(rel, NoLock);
}

/* --- ALTER COLUMN ... TYPE --- */

static bool
drops(List *cmds, const char *constraint)
{
	ListCell   *lc;

	foreach(lc, cmds)
		if (((AlterTableCmd *) lfirst(lc))->subtype == AT_DropConstraint && strcmp(((AlterTableCmd *) lfirst(lc))->name, constraint) == 0)
			return true;
	return false;
}

/* The command that makes the index again, whose classes are chosen then. */
static IndexStmt *
made_again(Relation rel, Relation index, RangeVar *table, char *name)
{
	AttrMap    *same = make_attrmap(RelationGetDescr(rel)->natts);
	IndexStmt  *stmt;
	ListCell   *lc;

	for (int i = 0; i < same->maplen; i++)
		same->attnums[i] = i + 1;
	stmt = generateClonedIndexStmt(copyObject(table), index, same, NULL);
	stmt->idxname = name;
	foreach(lc, stmt->indexParams)
		((IndexElem *) lfirst(lc))->opclass = NIL;
	return stmt;
}

/* becomes: the column will be encrypted. */
void
SovRemakeConstraints(Relation rel, const char *column, bool becomes, const AlterTableStmt *stmt, List **cmds, List **then)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column);
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = relation_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		Oid			constraint = get_index_constraint(RelationGetRelid(index));
		char	   *name = OidIsValid(constraint) && form->indisunique ? get_constraint_name(constraint) : NULL;
		bool		has = false,
					encrypted = becomes;

		for (int i = 0; i < form->indnatts; i++)
		{
			AttrNumber	key = form->indkey.values[i];

			has = has || key == attnum;
			encrypted = encrypted || (key > 0 && key != attnum && SovTypeOfOid(getBaseType(get_atttype(RelationGetRelid(rel), key))) != NULL);
		}
		if (name != NULL && has && encrypted && !drops(stmt->cmds, name) && !drops(*cmds, name))
		{
			AlterTableCmd *drop = makeNode(AlterTableCmd);

			drop->subtype = AT_DropConstraint;
			drop->name = name;
			*cmds = lappend(*cmds, drop);
			*then = lappend(*then, made_again(rel, index, stmt->relation, name));
		}
		relation_close(index, NoLock);
	}
}

/* --- DROP CONSTRAINT --- */

/* Of a unique index that was made in the place of a constraint (until 0.2.0); NULL: it is none. */
Node *
SovDropOfUnique(Relation rel, const AlterTableCmd *cmd)
{
	Oid			index = get_relname_relid(cmd->name, RelationGetNamespace(rel));
	DropStmt   *drop;

	if (!OidIsValid(index) || OidIsValid(get_relation_constraint_oid(RelationGetRelid(rel), cmd->name, true)) ||
		!is_blind_unique(index, RelationGetRelid(rel), false))
		return NULL;
	drop = makeNode(DropStmt);
	drop->removeType = OBJECT_INDEX;
	drop->behavior = cmd->behavior;
	drop->objects = list_make1(list_make2(makeString(get_namespace_name(RelationGetNamespace(rel))), makeString(pstrdup(cmd->name))));
	return (Node *) drop;
}
