/*
 * ddl.h - utility commands that are rewritten (ddl.c), for the hook in results.c.
 */
#ifndef DDL_H
#define DDL_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "utils/relcache.h"

/* The command to run instead (a changed copy, or the same); *then: commands
 * to run after it, by SovCommandAfter(), and constraints for SovConstrainByIndex(). */
extern PlannedStmt *SovRewriteUtility(PlannedStmt *pstmt, bool read_only, List **then);
/* Has a table (NULL: no) a column that holds encrypted values? */
extern bool SovHasEncrypted(Relation rel);
extern bool SovDefinesBesideEncrypted(Node *utility);
/* Is it the cast of an encrypted value to its base type? */
extern bool SovOpensValue(const Node *node);
extern PlannedStmt *SovCommandAfter(Node *command, const PlannedStmt *parent);
/* The encrypted type of a column that is there, or that is being defined; NULL: none. */
extern const SovType *SovTypeOfColumn(Relation rel, List *elements, const char *name);

/* unique.c.  keys: of the constraint, or the column's own */
extern bool SovIsOurConstraint(Constraint *c, List *keys, Relation rel, List *elements);
extern IndexStmt *SovConstraintIndex(RangeVar *table, Constraint *c, List *keys);
extern void SovTakeConstraints(ColumnDef *def, RangeVar *table, List **then);	/* out of a column's definition */
extern List *SovAddConstraint(Relation rel, AlterTableCmd *cmd, RangeVar *table, List **then);
extern void SovConstrainByIndex(Constraint *c, RangeVar *table);
extern void SovRemakeConstraints(Relation rel, const char *column, bool becomes, const AlterTableStmt *stmt, List **cmds, List **then);
extern void SovRefuseSecondPrimaryKey(const IndexStmt *stmt);
extern Node *SovDropOfUnique(Relation rel, const AlterTableCmd *cmd);

#endif
