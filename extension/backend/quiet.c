/*
 * quiet.c - errors and logged parameters that would tell what is encrypted.
 *
 * Encrypted values print as ciphertext, but a message may quote what was opened, or what
 * has not been sealed yet: the server's functions quote what they cannot read (name::int
 * of a name, a parameter that is no date), and the log has the parameters of statements
 * where it is told to.  Drivers send them as the base type (params.c).
 *
 * So a data exception, while the statement has opened values or has parameters for
 * encrypted columns, is given without its arguments: its untranslated format says which
 * they are.  Parameters of a statement that works on encrypted columns are not shown;
 * which statements those are is told by their texts, which are all that is at hand when
 * something is logged.  Both go to the client as they go to the log: the server has one
 * message for the two.
 */
#include "sov_pg.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_node.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"

#include "native.h"

#define TEXTS_MAX 16384			/* that are told apart; with more, all are taken for ours */
#define HIDDEN "(not shown: the statement works on encrypted columns)"

bool		SovOpened;			/* by the client's statement */

static emit_log_hook_type next_hook;
static HTAB *texts;				/* hashes of statements with parameters for encrypted columns */

/* --- which statements --- */

static uint64
hash_of(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, (int) strlen(text), 0);
}

static bool
is_ours(const char *text)
{
	uint64		hash;

	if (texts == NULL || text == NULL)
		return false;
	hash = hash_of(text);
	return hash_get_num_entries(texts) >= TEXTS_MAX || hash_search(texts, &hash, HASH_FIND, NULL) != NULL;
}

static void
remember(const char *text)
{
	HASHCTL		ctl = {.keysize = sizeof(uint64), .entrysize = sizeof(uint64)};
	uint64		hash = hash_of(text);

	if (texts == NULL)
		texts = hash_create("pg_sovereign statements", 256, &ctl, HASH_ELEM | HASH_BLOBS);
	if (hash_get_num_entries(texts) < TEXTS_MAX)
		(void) hash_search(texts, &hash, HASH_ENTER, NULL);
}

static bool
mentions_encrypted(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, mentions_encrypted, context, 0);
	if ((IsA(node, Var) || IsA(node, Const) || IsA(node, Param) || IsA(node, FuncExpr)) && OidIsValid(SovNativeType(exprType(node))))
		return true;
	return expression_tree_walker(node, mentions_encrypted, context);
}

void
SovQuietStatement(const ParseState *pstate, Query *query)
{
	SovOpened = false;
	if (query != NULL && pstate->p_sourcetext != NULL && pstate->p_paramref_hook != NULL && mentions_encrypted((Node *) query, NULL))
		remember(pstate->p_sourcetext);
}

/* What a procedure has opened it keeps over its own commits. */
static void
transaction_ends(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT) && !SPI_inside_nonatomic_context())
		SovOpened = false;
}

/* --- messages --- */

/* "$1 = 'x', $2 = NULL", as the server writes it: where it begins, and *end. */
static const char *
find_parameters(const char *s, const char **end)
{
	const char *begin = NULL,
			   *p = s;

	while ((p = strchr(p, '$')) != NULL)
	{
		const char *q = p + 1 + strspn(p + 1, "0123456789");

		if (q == p + 1 || strncmp(q, " = ", 3) != 0 || (q[3] != '\'' && strncmp(q + 3, "NULL", 4) != 0))
		{
			if (begin != NULL)
				break;
			p++;
			continue;
		}
		if (begin == NULL)
			begin = p;
		q += 3;
		if (*q == '\'')
		{
			q++;
			while (*q != '\0' && (*q != '\'' || q[1] == '\''))
				q += *q == '\'' ? 2 : 1;
			q += *q == '\'';
		}
		else
			q += 4;
		*end = q;
		if (strncmp(q, ", $", 3) != 0)
			break;
		p = q + 2;
	}
	return begin;
}

static void
hide_parameters(MemoryContext cxt, char **s)
{
	const char *begin,
			   *end;

	if (*s != NULL && (begin = find_parameters(*s, &end)) != NULL)
	{
		char	   *old = *s;
		size_t		before = begin - old;

		*s = MemoryContextAlloc(cxt, before + strlen(HIDDEN) + strlen(end) + 1);
		memcpy(*s, old, before);
		strcpy(*s + before, HIDDEN);
		strcat(*s, end);
	}
}

/* auto_explain, from 16 on */
static void
hide_query_parameters(ErrorData *edata)
{
	char	   *found = edata->message ? strstr(edata->message, "Query Parameters") : NULL,
			   *next;
	size_t		before;

	if (found == NULL || edata->message_id == NULL || strstr(edata->message_id, "plan:") == NULL)
		return;
	while ((next = strstr(found + 1, "Query Parameters")) != NULL)	/* the statement's text stands before */
		found = next;
	before = found - edata->message;
	next = found;
	hide_parameters(edata->assoc_context, &next);
	if (next != found)
	{
		char	   *whole = MemoryContextAlloc(edata->assoc_context, before + strlen(next) + 1);

		memcpy(whole, edata->message, before);
		strcpy(whole + before, next);
		edata->message = whole;
	}
}

/* "invalid input syntax for type %s: \"%s\"" without what the server put in. */
static char *
without_arguments(MemoryContext cxt, const char *format)
{
	char	   *message = MemoryContextAlloc(cxt, 3 * strlen(format) + 1),
			   *to = message;

	while (*format != '\0')
	{
		if (*format != '%')
		{
			*to++ = *format++;
			continue;
		}
		format += 1 + strspn(format + 1, "-+ #0123456789.*'$lhzqjtL");
		if (*format == '\0')
			break;
		if (*format++ == '%')
			*to++ = '%';
		else
		{
			memcpy(to, "...", 3);
			to += 3;
		}
	}
	*to = '\0';
	return message;
}

/* Not of ours (base.c shows no value), nor what a PL/pgSQL function says of itself. */
static bool
quotes_values(const ErrorData *edata)
{
	return edata->elevel == ERROR && ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_DATA_EXCEPTION &&
		edata->sqlerrcode != ERRCODE_STRING_DATA_RIGHT_TRUNCATION && edata->message_id != NULL &&
		strcmp(edata->message_id, "%s") != 0 && strncmp(edata->message_id, "invalid input for type %s", 25) != 0 &&
		(strchr(edata->message_id, '%') != NULL || edata->detail != NULL);
}

static void
hide_values(ErrorData *edata)
{
	char	   *line_end = edata->context ? strchr(edata->context, '\n') : NULL;

	edata->message = without_arguments(edata->assoc_context, edata->message_id);
	edata->detail = MemoryContextStrdup(edata->assoc_context, "The values are not shown: the statement works on encrypted columns.");
	edata->detail_log = NULL;
	/* the line of a document in which the error is */
	if (edata->context != NULL && strncmp(edata->context, "PL/", 3) != 0 && strncmp(edata->context, "SQL ", 4) != 0 &&
		strstr(edata->context, "JSON") != NULL)
		edata->context = line_end ? line_end + 1 : NULL;
}

static void
be_quiet(ErrorData *edata)
{
	bool		ours = is_ours(debug_query_string);

	if ((ours || SovOpened) && quotes_values(edata))
		hide_values(edata);
	if (ours || SovOpened)
	{
		hide_parameters(edata->assoc_context, &edata->detail);
		hide_parameters(edata->assoc_context, &edata->context);
		hide_query_parameters(edata);
	}
	if (next_hook)
		next_hook(edata);
}

void
SovQuietInit(void)
{
	next_hook = emit_log_hook;
	emit_log_hook = be_quiet;
	RegisterXactCallback(transaction_ends, NULL);
}
