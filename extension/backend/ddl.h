/*
 * ddl.h - utility commands that are rewritten (ddl.c), for the hook in results.c.
 */
#ifndef DDL_H
#define DDL_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

/* The command to run instead (a changed copy, or the same); *then: index
 * definitions to make after it, by SovIndexCommand(). */
extern PlannedStmt *SovRewriteUtility(PlannedStmt *pstmt, bool read_only, List **then);
extern PlannedStmt *SovIndexCommand(IndexStmt *index, const PlannedStmt *parent);

#endif
