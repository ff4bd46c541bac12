/*
 * hints.c - what to do about errors of the server's own that come of encrypted types.
 *
 * COALESCE, CASE, GREATEST, UNION and VALUES want one type for all that they may give.
 * The server looks for it among the types' casts, and finds none between an encrypted
 * number or date and one of another type (a cast that it would find here would make
 * plain expressions ambiguous).  Its message is right, and does not say how to write it.
 *
 * What is computed from encrypted columns is STABLE, never IMMUTABLE, so that no index,
 * generated column or partition key keeps it: the server's message does not say why.
 */
#include "sov_pg.h"

#include "utils/memutils.h"

static emit_log_hook_type next_hook;
static bool defines;			/* the last utility command makes something beside an encrypted column */

static void
add_hint(ErrorData *edata)
{
	if (edata->elevel == ERROR && edata->hint == NULL && edata->message != NULL &&
		(edata->sqlerrcode == ERRCODE_CANNOT_COERCE || edata->sqlerrcode == ERRCODE_DATATYPE_MISMATCH) &&
		strstr(edata->message, "encrypted_") != NULL)
		edata->hint = MemoryContextStrdup(edata->assoc_context,
										  "Cast the encrypted column to its plain type, as in coalesce(amount::numeric, 0), or write the other value in that type, as 0.0 or date '2000-01-01'.");
	if (edata->elevel == ERROR && edata->hint == NULL && edata->sqlerrcode == ERRCODE_AMBIGUOUS_PARAMETER &&
		edata->detail != NULL && strstr(edata->detail, "encrypted_") != NULL)
		edata->hint = MemoryContextStrdup(edata->assoc_context, "Give the parameter the plain type, as in $1::text or $1::date: it serves for both columns.");
	if (edata->elevel == ERROR && edata->hint == NULL && defines && edata->sqlerrcode == ERRCODE_INVALID_OBJECT_DEFINITION &&
		edata->message_id != NULL && strcasestr(edata->message_id, "immutable") != NULL)
		edata->hint = MemoryContextStrdup(edata->assoc_context,
										  "What is computed or chosen by the values of an encrypted column would tell of them on disk. Index the searchable column itself, without expression or predicate on encrypted columns, and compute in queries or views.");
	if (next_hook)
		next_hook(edata);
}

void
SovHintsCommand(bool beside_encrypted)
{
	defines = beside_encrypted;
}

void
SovHintsInit(void)
{
	next_hook = emit_log_hook;
	emit_log_hook = add_hint;
}
