/*
 * audit_command.c - utility commands that are on record.
 *
 * Of roles, by whose memberships, names and passwords it is decided who may decrypt, and who
 * stands in the audit log.  Roles are the cluster's: their commands are seen in every database
 * of a preloaded server, also where the extension was not created.  An entry waits for its
 * transaction as one of the tables of grants does (audit_change.c).
 *
 * Of the tables of keys and grants themselves, such as one that disables the triggers which
 * put their changes on record, of the functions that these call, and of the extension:
 * before it runs, as it counts at once.  So are statements that write into system catalogs, by
 * which a superuser could do all of this without a command.
 */
#include "audit.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define EXTENSION "pg_sovereign"

/* --- roles --- */

static const char *
name_of(const Node *role)
{
	const RoleSpec *r = (const RoleSpec *) role;

	if (IsA(role, AccessPriv))
		return ((const AccessPriv *) role)->priv_name;
	if (r->roletype == ROLESPEC_CSTRING)
		return r->rolename;
	return GetUserNameFromId(r->roletype == ROLESPEC_SESSION_USER ? GetSessionUserId() : GetUserId(), true);
}

static void
add_roles(StringInfo what, const char *before, const List *roles)
{
	ListCell   *lc;

	foreach(lc, roles)
	{
		const char *name = name_of(lfirst(lc));

		appendStringInfo(what, "%s%s", lc == list_head(roles) ? before : ", ", name ? name : "?");
	}
}

/* Which of them; a password itself is none of ours. */
static void
add_options(StringInfo what, const List *options, bool taken_away)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		const DefElem *d = lfirst(lc);

		if (strcmp(d->defname, "addroleto") == 0)
			add_roles(what, ", as a member of ", (const List *) d->arg);
		else if (strcmp(d->defname, "rolemembers") == 0 || strcmp(d->defname, "adminmembers") == 0)
			add_roles(what, taken_away ? ", without the member " : ", with the member ", (const List *) d->arg);
		else
			appendStringInfo(what, ", %s%s", d->arg && IsA(d->arg, Boolean) && !boolVal(d->arg) ? "no " : "", d->defname);
	}
}

bool
SovIsOfRoles(const Node *command)
{
	return SovPreloaded && !IsBinaryUpgrade &&
		(IsA(command, GrantRoleStmt) || IsA(command, CreateRoleStmt) || IsA(command, AlterRoleStmt) || IsA(command, DropRoleStmt) ||
		 (IsA(command, RenameStmt) && ((const RenameStmt *) command)->renameType == OBJECT_ROLE));
}

static void
describe(const Node *command, StringInfo what)
{
	if (IsA(command, GrantRoleStmt))
	{
		const GrantRoleStmt *g = (const GrantRoleStmt *) command;

		add_roles(what, "role ", g->granted_roles);
		add_roles(what, g->is_grant ? " granted to " : " revoked from ", g->grantee_roles);
	}
	else if (IsA(command, CreateRoleStmt))
	{
		appendStringInfo(what, "role %s made", ((const CreateRoleStmt *) command)->role);
		add_options(what, ((const CreateRoleStmt *) command)->options, false);
	}
	else if (IsA(command, AlterRoleStmt))
	{
		const AlterRoleStmt *a = (const AlterRoleStmt *) command;

		appendStringInfo(what, "role %s changed", name_of((const Node *) a->role));
		add_options(what, a->options, a->action < 0);
	}
	else if (IsA(command, DropRoleStmt))
	{
		add_roles(what, "role ", ((const DropRoleStmt *) command)->roles);
		appendStringInfoString(what, " dropped");
	}
	else
		appendStringInfo(what, "role %s is called %s now", ((const RenameStmt *) command)->subname, ((const RenameStmt *) command)->newname);
}

void
SovAuditRoles(const Node *command)
{
	struct sov_audit_entry *e = palloc0(sizeof *e);
	StringInfoData what;

	initStringInfo(&what);
	describe(command, &what);
	SovAuditIdentify(e);
	e->event = SOV_AUDIT_GRANT;
	SovAuditDescribe(e, what.data);
	SovAuditLater(e);
	pfree(what.data);
	pfree(e);
}

/* --- tables of keys and grants --- */

static const RangeVar *
table_of(const Node *command)
{
	switch (nodeTag(command))
	{
		case T_AlterTableStmt:
			return ((const AlterTableStmt *) command)->relation;
		case T_CreateTrigStmt:
			return ((const CreateTrigStmt *) command)->relation;
		case T_RuleStmt:
			return ((const RuleStmt *) command)->relation;
		case T_RenameStmt:
			return ((const RenameStmt *) command)->relation;
		case T_AlterObjectSchemaStmt:
			return ((const AlterObjectSchemaStmt *) command)->relation;
		default:
			return NULL;
	}
}

/* What is done to the table, if it is a watched one; or NULL. */
static char *
of_table(const RangeVar *table, const char *what)
{
	Oid			relid = table ? RangeVarGetRelid(table, NoLock, true) : InvalidOid;
	char	   *name = OidIsValid(relid) && get_rel_namespace(relid) == SovGetCatalog()->schema ? get_rel_name(relid) : NULL;

	return name && SovIsWatched(name) ? psprintf(what, name) : NULL;
}

/* --- system catalogs --- */

static char *
of_catalog(Oid relid)
{
	return OidIsValid(relid) && IsCatalogRelationOid(relid) ? psprintf("a statement that writes into the system catalog %s", get_rel_name(relid)) : NULL;
}

/* --- functions, and the extension --- */

static bool
is_our_function(Oid oid)
{
	return OidIsValid(oid) && getExtensionOfObject(ProcedureRelationId, oid) == get_extension_oid(EXTENSION, true);
}

/* CREATE OR REPLACE: is there one of ours of this name, whatever its arguments? */
static char *
replaced_function(const CreateFunctionStmt *stmt)
{
	char	   *name;
	Oid			schema;
	CatCList   *list;
	bool		ours = false;

	if (!stmt->replace)
		return NULL;
	schema = QualifiedNameGetCreationNamespace(stmt->funcname, &name);
	if (schema != SovGetCatalog()->schema)
		return NULL;
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	for (int i = 0; i < list->n_members && !ours; i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		ours = proc->pronamespace == schema && is_our_function(proc->oid);
	}
	ReleaseSysCacheList(list);
	return ours ? psprintf("a command that replaces the function %s", name) : NULL;
}

static char *
of_function(ObjectType type, ObjectWithArgs *function)
{
	Oid			oid = LookupFuncWithArgs(type, function, true);

	return is_our_function(oid) ? psprintf("a command that changes the function %s", get_func_name(oid)) : NULL;
}

static char *
of_dropped(ObjectType type, Node *object)
{
	List	   *names = (List *) object;

	switch (type)
	{
		case OBJECT_TABLE:
			return of_table(makeRangeVarFromNameList(names), "a command that drops the table %s");
		case OBJECT_TRIGGER:
		case OBJECT_RULE:
			return list_length(names) < 2 ? NULL :
				of_table(makeRangeVarFromNameList(list_truncate(list_copy(names), list_length(names) - 1)), "a command that changes the table %s itself, or its triggers");
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			return of_function(type, (ObjectWithArgs *) object);
		case OBJECT_SCHEMA:
			return strcmp(strVal(object), get_namespace_name(SovGetCatalog()->schema)) == 0 ? "a command that drops the extension's schema" : NULL;
		case OBJECT_EXTENSION:
			return strcmp(strVal(object), EXTENSION) == 0 ? "a command that drops the extension" : NULL;
		default:
			return NULL;
	}
}

static char *
what_it_does(const Node *command)
{
	const DropStmt *drop = (const DropStmt *) command;
	const RenameStmt *rename = (const RenameStmt *) command;
	const CopyStmt *copy = (const CopyStmt *) command;
	char	   *what = NULL;
	ListCell   *lc;

	switch (nodeTag(command))
	{
		case T_DropStmt:
			foreach(lc, drop->objects)
				what = what ? what : of_dropped(drop->removeType, lfirst(lc));
			return what;
		case T_CopyStmt:
			return copy->is_from && copy->relation ? of_catalog(RangeVarGetRelid(copy->relation, NoLock, true)) : NULL;
		case T_CreateFunctionStmt:
			return replaced_function((const CreateFunctionStmt *) command);
		case T_AlterFunctionStmt:
			return of_function(((const AlterFunctionStmt *) command)->objtype, ((const AlterFunctionStmt *) command)->func);
		case T_AlterExtensionStmt:
			return strcmp(((const AlterExtensionStmt *) command)->extname, EXTENSION) == 0 ? "a command that updates the extension" : NULL;
		case T_AlterExtensionContentsStmt:
			return strcmp(((const AlterExtensionContentsStmt *) command)->extname, EXTENSION) == 0 ? "a command that changes what belongs to the extension" : NULL;
		case T_RenameStmt:
			if (rename->renameType == OBJECT_FUNCTION || rename->renameType == OBJECT_PROCEDURE || rename->renameType == OBJECT_ROUTINE)
				return of_function(rename->renameType, (ObjectWithArgs *) rename->object);
			/* FALLTHROUGH */
		default:
			return of_table(table_of(command), "a command that changes the table %s itself, or its triggers");
	}
}

static void
put_begun(const char *what)
{
	struct sov_audit_entry *e = palloc0(sizeof *e);

	SovAuditIdentify(e);
	e->event = SOV_AUDIT_KEY;
	e->outcome = SOV_AUDIT_BEGUN;
	SovAuditDescribe(e, what);
	(void) SovRingPut(e, SOV_RING_PROMPT, true, NULL);
	pfree(e);
}

void
SovAuditTable(const Node *command)
{
	char	   *what;

	if (!SovPreloaded || IsBinaryUpgrade || creating_extension ||
		(table_of(command) == NULL && !IsA(command, RenameStmt) && !IsA(command, DropStmt) && !IsA(command, CreateFunctionStmt) && !IsA(command, AlterFunctionStmt) &&
		 !IsA(command, AlterExtensionStmt) && !IsA(command, AlterExtensionContentsStmt) && !IsA(command, CopyStmt)))
		return;
	if (IsTransactionState() && (IsA(command, CopyStmt) || OidIsValid(SovGetCatalog()->schema)) && (what = what_it_does(command)) != NULL)
		put_begun(what);
}

/* Whatever was written, and by whichever views, rules and subqueries: as it was planned. */
void
SovAuditPlan(const PlannedStmt *stmt)
{
	ListCell   *lc;

	if (!SovPreloaded || IsBinaryUpgrade || creating_extension)
		return;
	foreach(lc, stmt->resultRelations)
	{
		char	   *what = of_catalog(rt_fetch(lfirst_int(lc), stmt->rtable)->relid);

		if (what != NULL)
			put_begun(what);
	}
}
