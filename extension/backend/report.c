/*
 * report.c - the only place that turns core's error record into ereport.
 */
#include "sov_pg.h"

static int
sqlstate(enum sov_code code)
{
	switch (code)
	{
		case SOV_E_CONFIG:
			return ERRCODE_CONFIG_FILE_ERROR;
		case SOV_E_USAGE:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case SOV_E_SYSTEM:
			return ERRCODE_SYSTEM_ERROR;
		case SOV_E_NOMEM:
			return ERRCODE_OUT_OF_MEMORY;
		case SOV_E_CRYPTO:
			return ERRCODE_EXTERNAL_ROUTINE_EXCEPTION;
		case SOV_E_AUTH:
		case SOV_E_CORRUPT:
			return ERRCODE_DATA_CORRUPTED;
		case SOV_E_FORMAT:
			return ERRCODE_INVALID_BINARY_REPRESENTATION;
		case SOV_E_NOTFOUND:
			return ERRCODE_UNDEFINED_OBJECT;
		case SOV_E_EXISTS:
			return ERRCODE_DUPLICATE_OBJECT;
		case SOV_E_CANCELLED:
			return ERRCODE_QUERY_CANCELED;
		case SOV_E_UNSUPPORTED:
			return ERRCODE_FEATURE_NOT_SUPPORTED;
		case SOV_E_FULL:
			return ERRCODE_DISK_FULL;
		case SOV_E_DENIED:
			return ERRCODE_INSUFFICIENT_PRIVILEGE;
		default:
			return ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	}
}

void
SovRaise(const struct sov_error *err)
{
	ereport(ERROR,
			(errcode(sqlstate(err->code)),
			 errmsg("%s", err->message),
			 err->hint[0] != '\0' ? errhint("%s", err->hint) : 0));
	pg_unreachable();
}
