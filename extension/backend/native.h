/*
 * native.h - expressions in their base types (native.c), for the hook in results.c.
 */
#ifndef NATIVE_H
#define NATIVE_H

#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/* The type in which a client shall see this one (RECORD for a row with encrypted
 * columns), or InvalidOid: it is that already. */
extern Oid	SovNativeType(Oid type);
extern Oid	SovNativeTypeOf(const Node *expr);

/* The expression in that type; a RECORD in any case as a row of base types. */
extern Expr *SovToNative(ParseState *pstate, Expr *expr);

/* In a query, whoever's it is: what is printed by a type's output function, such as an
 * argument of format(), is printed in its base type. */
extern void SovPrintNative(ParseState *pstate, Query *query);
extern bool SovPrintsEncrypted(Node *node); /* does it print such values, and not so yet? */

#endif
