/*
 * ddl.c - commands that are rewritten or warned of before they run.
 *
 * The default btree class of an encrypted type refuses every index, and a UNIQUE
 * constraint can name no other.  So that SQL written for plain columns works, CREATE
 * INDEX, and what the server makes of UNIQUE and PRIMARY KEY, gets the blind class where
 * it names none (unique.c).
 *
 * A constant that is a column's default is taken for a literal of the encrypted type, so
 * that the catalog has it sealed, whatever type it was written with.
 *
 * CREATE TABLE AS, SELECT INTO and CREATE MATERIALIZED VIEW that would store what was
 * decrypted are warned of.  COPY table TO gives plaintext where
 * sovereign.copy_plaintext is on: it becomes COPY (SELECT columns) TO.
 */
#include "sov_pg.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "parser/parsetree.h"
#include "storage/lockdefs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "ddl.h"
#include "native.h"

/* --- which columns are encrypted --- */

bool
SovHasEncrypted(Relation rel)
{
	bool		found = false;

	for (int i = 0; rel != NULL && i < RelationGetDescr(rel)->natts && !found; i++)
		found = !TupleDescAttr(RelationGetDescr(rel), i)->attisdropped && OidIsValid(SovNativeType(TupleDescAttr(RelationGetDescr(rel), i)->atttypid));
	return found;
}

static const SovType *
type_of_attribute(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return SovTypeOfOid(getBaseType(TupleDescAttr(desc, i)->atttypid));
	return NULL;
}

/* (The modifier, which may be wrong, the server looks at.) */
static const SovType *
type_of_name(TypeName *name)
{
	TypeName   *bare = copyObject(name);
	Oid			oid;

	if (bare == NULL)
		return NULL;
	bare->typmods = NIL;
	oid = LookupTypeNameOid(NULL, bare, true);
	return OidIsValid(oid) ? SovTypeOfOid(getBaseType(oid)) : NULL;
}

static const SovType *
type_of_definition(List *elements, const char *name)
{
	ListCell   *lc;

	foreach(lc, elements)
	{
		ColumnDef  *def = lfirst(lc);

		if (IsA(def, ColumnDef) && def->typeName != NULL && strcmp(def->colname, name) == 0)
			return type_of_name(def->typeName);
	}
	return NULL;
}

/* Of a column that is there, or that is being defined. */
const SovType *
SovTypeOfColumn(Relation rel, List *elements, const char *name)
{
	const SovType *t = type_of_definition(elements, name);

	return t == NULL && rel != NULL ? type_of_attribute(rel, name) : t;
}

static List *
blind_class(const SovType *t)
{
	return list_make2(makeString(get_namespace_name(SovGetCatalog()->schema)), makeString(psprintf("%s_blind_ops", t->name)));
}

static Relation
open_if_there(RangeVar *rv)
{
	Oid			relid = rv ? RangeVarGetRelid(rv, AccessShareLock, true) : InvalidOid;

	return OidIsValid(relid) ? relation_open(relid, NoLock) : NULL;
}

/* Under the lock that the command will take, and with its rights: who takes a weaker one
 * first waits for the other with it in hand, and two who do so wait for each other. */
static Relation
open_for_index(const IndexStmt *stmt)
{
	return relation_open(RangeVarGetRelidExtended(stmt->relation, stmt->concurrent ? ShareUpdateExclusiveLock : ShareLock, 0, RangeVarCallbackOwnsRelation, NULL), NoLock);
}

static Relation
open_for_alter(AlterTableStmt *stmt)
{
	Oid			relid = AlterTableLookupRelation(stmt, AlterTableGetLockLevel(stmt->cmds));

	return OidIsValid(relid) ? relation_open(relid, NoLock) : NULL;
}

static void
close_it(Relation rel)
{
	if (rel)
		relation_close(rel, NoLock);
}

/* --- CREATE INDEX --- */

static void
choose_classes(IndexStmt *stmt)
{
	Relation	rel;
	ListCell   *lc;

	if (stmt->accessMethod == NULL || strcmp(stmt->accessMethod, "btree") != 0 || stmt->excludeOpNames != NIL)
		return;
	rel = open_for_index(stmt);
	foreach(lc, stmt->indexParams)
	{
		IndexElem  *elem = lfirst(lc);
		const SovType *t = rel && elem->name && elem->opclass == NIL ? type_of_attribute(rel, elem->name) : NULL;

		if (t != NULL)
			elem->opclass = blind_class(t);
	}
	close_it(rel);
}

/* --- DEFAULT --- */

static char *
constant_text(const A_Const *c, const SovType *t)
{
	bool		number = t->code == SOV_BASE_INT4 || t->code == SOV_BASE_INT8 || t->code == SOV_BASE_NUMERIC || t->code == SOV_BASE_FLOAT8;

	if (c->isnull)
		return NULL;
	if (IsA(&c->val, Integer) && (number || t->code == SOV_BASE_TEXT))
		return psprintf("%d", intVal(&c->val));
	/* what is larger than an integer is a Float too; an integer type would round a fraction */
	if (IsA(&c->val, Float) && (t->code == SOV_BASE_NUMERIC || t->code == SOV_BASE_FLOAT8 || t->code == SOV_BASE_TEXT ||
								(number && strspn(c->val.fval.fval, "-0123456789") == strlen(c->val.fval.fval))))
		return c->val.fval.fval;
	if (IsA(&c->val, Boolean) && t->code == SOV_BASE_BOOL)
		return boolVal(&c->val) ? "true" : "false";
	return NULL;
}

/* 42, or 'x'::text: as a literal without a type it is read by the encrypted type. */
static Node *
literal_default(Node *expr, const SovType *t)
{
	char	   *text = NULL;
	Oid			type;
	A_Const    *c;

	if (t == NULL || expr == NULL || sov_input == SOV_INPUT_CIPHERTEXT)
		return expr;
	if (IsA(expr, TypeCast) && IsA(((TypeCast *) expr)->arg, A_Const) && ((TypeCast *) expr)->typeName->typmods == NIL)
	{
		c = (A_Const *) ((TypeCast *) expr)->arg;
		type = LookupTypeNameOid(NULL, ((TypeCast *) expr)->typeName, true);
		if (!c->isnull && IsA(&c->val, String) && (type == t->base_oid || (t->code == SOV_BASE_TEXT && type == VARCHAROID)))
			return (Node *) c;
	}
	if (IsA(expr, A_Const))
		text = constant_text((A_Const *) expr, t);
	if (text == NULL)
		return expr;
	c = makeNode(A_Const);
	c->val.sval.type = T_String;
	c->val.sval.sval = pstrdup(text);
	c->location = ((A_Const *) expr)->location;
	return (Node *) c;
}

static void
seal_defaults(List *constraints, TypeName *type)
{
	ListCell   *lc;

	foreach(lc, constraints)
	{
		Constraint *c = lfirst(lc);

		if (c->contype == CONSTR_DEFAULT)
			c->raw_expr = literal_default(c->raw_expr, type_of_name(type));
	}
}

static void
rewrite_alter_domain(AlterDomainStmt *stmt)
{
	if (stmt->subtype == 'T')	/* SET DEFAULT */
		stmt->def = literal_default(stmt->def, type_of_name(makeTypeNameFromNameList(stmt->typeName)));
}

/* --- tables --- */

static void
rewrite_create_table(CreateStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->tableElts)
		if (IsA(lfirst(lc), ColumnDef))
			seal_defaults(((ColumnDef *) lfirst(lc))->constraints, ((ColumnDef *) lfirst(lc))->typeName);
}

/* A migration that makes a column longer, as written for the plain one, would decrypt it. */
static void
warn_of_decryption(Relation rel, const AlterTableCmd *cmd)
{
	Oid			type = LookupTypeNameOid(NULL, ((ColumnDef *) cmd->def)->typeName, true);

	if (type_of_attribute(rel, cmd->name) != NULL && OidIsValid(type) && !OidIsValid(SovNativeType(type)))
		ereport(WARNING,
				(errmsg("column \"%s\" of \"%s\" is decrypted, and will be stored in plaintext", cmd->name, RelationGetRelationName(rel)),
				 errhint("An encrypted column has no length or precision to change. To take encryption away, decrypt_column() locks the table for a moment only.")));
}

static void
rewrite_alter_table(AlterTableStmt *stmt, List **then)
{
	Relation	rel;
	List	   *kept = NIL,
			   *added = NIL;
	Node	   *drop;
	ListCell   *lc;

	if (stmt->objtype != OBJECT_TABLE)
		return;
	rel = open_for_alter(stmt);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_AddColumn && cmd->def && IsA(cmd->def, ColumnDef))
		{
			seal_defaults(((ColumnDef *) cmd->def)->constraints, ((ColumnDef *) cmd->def)->typeName);
			/* IF EXISTS, IF NOT EXISTS */
			if (rel && !(cmd->missing_ok && get_attnum(RelationGetRelid(rel), ((ColumnDef *) cmd->def)->colname) != InvalidAttrNumber))
				SovTakeConstraints((ColumnDef *) cmd->def, stmt->relation, then);
			added = lappend(added, cmd->def);
		}
		if (cmd->subtype == AT_AlterColumnType && rel)
		{
			warn_of_decryption(rel, cmd);
			SovRemakeConstraints(rel, cmd->name, type_of_name(((ColumnDef *) cmd->def)->typeName) != NULL, stmt, &kept, then);
		}
		if (cmd->subtype == AT_ColumnDefault && cmd->name && rel)
			cmd->def = literal_default(cmd->def, type_of_attribute(rel, cmd->name));
		if (cmd->subtype == AT_DropConstraint && rel && (drop = SovDropOfUnique(rel, cmd)) != NULL)
			*then = lappend(*then, drop);
		else if (cmd->subtype == AT_AddConstraint && rel && SovIsOurConstraint((Constraint *) cmd->def, ((Constraint *) cmd->def)->keys, rel, added))
			kept = list_concat(kept, SovAddConstraint(rel, cmd, stmt->relation, then));
		else
			kept = lappend(kept, cmd);
	}
	close_it(rel);
	stmt->cmds = kept;
}

/* --- what would store plaintext --- */

bool
SovOpensValue(const Node *node)
{
	const FuncExpr *f = (const FuncExpr *) node;

	return IsA(node, FuncExpr) && list_length(f->args) == 1 && SovTypeOfOid(exprType(linitial(f->args))) != NULL &&
		SovTypeOfOid(f->funcresulttype) == NULL &&
		func_volatile(f->funcid) != PROVOLATILE_IMMUTABLE;	/* output, send */
}

static bool
decrypts(Node *node, void *context)
{
	Query	   *query = context;

	if (node == NULL)
		return false;
	if (SovOpensValue(node))
		return true;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == 0 && ((Var *) node)->varno > 0 &&
		((Var *) node)->varno <= list_length(query->rtable))
	{
		RangeTblEntry *rte = rt_fetch(((Var *) node)->varno, query->rtable);
		TargetEntry *tle = rte->rtekind == RTE_SUBQUERY ? get_tle_by_resno(rte->subquery->targetList, ((Var *) node)->varattno) : NULL;

		return tle != NULL && decrypts((Node *) tle->expr, rte->subquery);
	}
	if (IsA(node, Query))
		return false;
	return expression_tree_walker(node, decrypts, context);
}

static void
warn_of_plaintext(CreateTableAsStmt *stmt)
{
	Query	   *query = (Query *) stmt->query;
	ListCell   *lc;

	if (query == NULL || !IsA(query, Query) || query->commandType != CMD_SELECT)
		return;
	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst(lc);

		if (!tle->resjunk && SovTypeOfOid(exprType((Node *) tle->expr)) == NULL && decrypts((Node *) tle->expr, query))
			ereport(WARNING,
					(errmsg("column \"%s\" of \"%s\" stores what was decrypted", tle->resname ? tle->resname : "?column?", stmt->into->rel->relname),
					 errhint("To keep it encrypted, select the encrypted column itself, or cast the expression to an encrypted type.")));
	}
}

/* --- COPY table TO --- */

static void
copy_by_query(CopyStmt *stmt)
{
	Relation	rel;
	SelectStmt *select = makeNode(SelectStmt);
	List	   *names = stmt->attlist;
	ListCell   *lc;

	if (!sov_copy_plaintext || stmt->is_from || stmt->relation == NULL || (rel = open_if_there(stmt->relation)) == NULL)
		return;
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(RelationGetDescr(rel), i);

		if (stmt->attlist == NIL && !a->attisdropped && !a->attgenerated)
			names = lappend(names, makeString(pstrdup(NameStr(a->attname))));
	}
	if (SovHasEncrypted(rel) && rel->rd_rel->relkind == RELKIND_RELATION)
	{
		foreach(lc, names)
		{
			ResTarget  *target = makeNode(ResTarget);
			ColumnRef  *ref = makeNode(ColumnRef);

			ref->fields = list_make1(lfirst(lc));
			target->val = (Node *) ref;
			select->targetList = lappend(select->targetList, target);
		}
		stmt->relation->inh = false;	/* as COPY table */
		select->fromClause = list_make1(stmt->relation);
		stmt->relation = NULL;
		stmt->attlist = NIL;
		stmt->query = (Node *) select;
	}
	close_it(rel);
}

/* --- all --- */

/* Is it an index, table or column beside an encrypted column? */
bool
SovDefinesBesideEncrypted(Node *u)
{
	Relation	rel;
	bool		found;
	ListCell   *lc;

	if ((!IsA(u, IndexStmt) && !IsA(u, CreateStmt) && !IsA(u, AlterTableStmt)) || !IsTransactionState() || SovGetCatalog()->n_types == 0)
		return false;
	if (IsA(u, CreateStmt))
	{
		foreach(lc, ((CreateStmt *) u)->tableElts)
			if (IsA(lfirst(lc), ColumnDef) && type_of_name(((ColumnDef *) lfirst(lc))->typeName) != NULL)
				return true;
		return false;
	}
	if (XactReadOnly || (IsA(u, AlterTableStmt) && ((AlterTableStmt *) u)->objtype != OBJECT_TABLE))
		return false;
	rel = IsA(u, IndexStmt) ? open_for_index((IndexStmt *) u) : open_for_alter((AlterTableStmt *) u);
	found = SovHasEncrypted(rel);
	close_it(rel);
	return found;
}

PlannedStmt *
SovRewriteUtility(PlannedStmt *pstmt, bool read_only, List **then)
{
	Node	   *u = pstmt->utilityStmt;

	*then = NIL;
	if (!IsA(u, IndexStmt) && !IsA(u, CreateStmt) && !IsA(u, AlterTableStmt) && !IsA(u, CreateTableAsStmt) && !IsA(u, CopyStmt) &&
		!IsA(u, CreateDomainStmt) && !IsA(u, AlterDomainStmt))
		return pstmt;
	if (!IsTransactionState() || SovGetCatalog()->n_types == 0)
		return pstmt;
	if (IsA(u, CreateTableAsStmt))
	{
		warn_of_plaintext((CreateTableAsStmt *) u);
		return pstmt;
	}
	if (XactReadOnly && !IsA(u, CopyStmt))
		return pstmt;			/* the server refuses it */
	if (read_only)
	{
		pstmt = copyObject(pstmt);
		u = pstmt->utilityStmt;
	}
	if (IsA(u, IndexStmt))
		choose_classes((IndexStmt *) u);
	else if (IsA(u, CreateStmt))
		rewrite_create_table((CreateStmt *) u);
	else if (IsA(u, AlterTableStmt))
		rewrite_alter_table((AlterTableStmt *) u, then);
	else if (IsA(u, CreateDomainStmt))
		seal_defaults(((CreateDomainStmt *) u)->constraints, ((CreateDomainStmt *) u)->typeName);
	else if (IsA(u, AlterDomainStmt))
		rewrite_alter_domain((AlterDomainStmt *) u);
	else
		copy_by_query((CopyStmt *) u);
	return pstmt;
}

PlannedStmt *
SovCommandAfter(Node *command, const PlannedStmt *parent)
{
	PlannedStmt *p = makeNode(PlannedStmt);

	if (IsA(command, IndexStmt))
	{
		SovRefuseSecondPrimaryKey((IndexStmt *) command);
		choose_classes((IndexStmt *) command);
	}
	p->commandType = CMD_UTILITY;
	p->utilityStmt = command;
	p->stmt_location = parent->stmt_location;
	p->stmt_len = parent->stmt_len;
	return p;
}
