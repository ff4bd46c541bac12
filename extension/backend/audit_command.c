/*
 * audit_command.c - utility commands that are on record.
 *
 * Of roles, by whose memberships, names and passwords it is decided who may decrypt, and who
 * stands in the audit log.  Roles are the cluster's: their commands are seen in every database
 * of a preloaded server, also where the extension was not created.  An entry waits for its
 * transaction as one of the tables of grants does (audit_change.c).
 *
 * Of the tables of keys and grants themselves, such as one that disables the triggers which
 * put their changes on record: before it runs, as it counts at once.
 */
#include "audit.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"

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

void
SovAuditTable(const Node *command)
{
	const RangeVar *table = SovPreloaded && !IsBinaryUpgrade && !creating_extension ? table_of(command) : NULL;
	struct sov_audit_entry *e;
	Oid			relid;
	char	   *name;

	if (table == NULL || !IsTransactionState() || !OidIsValid(SovGetCatalog()->schema))
		return;
	relid = RangeVarGetRelid(table, NoLock, true);
	name = OidIsValid(relid) && get_rel_namespace(relid) == SovGetCatalog()->schema ? get_rel_name(relid) : NULL;
	if (name == NULL || !SovIsWatched(name))
		return;
	e = palloc0(sizeof *e);
	SovAuditIdentify(e);
	e->event = SOV_AUDIT_KEY;
	e->outcome = SOV_AUDIT_BEGUN;
	SovAuditDescribe(e, psprintf("a command that changes the table %s itself, or its triggers", name));
	(void) SovRingPut(e, SOV_RING_PROMPT, true, NULL);
	pfree(e);
}
