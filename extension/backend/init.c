/*
 * init.c - loading of the library: one XInit() per feature.
 */
#include "audit.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	SovCatalogInit();
	SovKeysInit();
	SovAuditInit();
	SovAuditChangeInit();
	SovGrantsInit();
	SovGucInit();
	SovResultsInit();
	SovArchiveInit();
	SovSharedInit();
	MarkGUCPrefixReserved("sovereign");
}
