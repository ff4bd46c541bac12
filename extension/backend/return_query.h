/*
 * return_query.h - what PL/pgSQL's RETURN QUERY is to give (return_query.c), for the
 * hook in results.c.
 */
#ifndef SOV_RETURN_QUERY_H
#define SOV_RETURN_QUERY_H

#include "parser/parse_node.h"

/* The types of the columns that are to be returned, where this is the analysis of the query
 * of a RETURN QUERY that begins; else NULL. */
extern const Oid *SovReturnTypes(const ParseState *pstate, int *n);

extern void SovReturnQueryInit(void);

#endif
