/*
 * init.c - loading of the library: one XInit() per feature.
 */
#include "shared.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	SovCatalogInit();
	SovKeysInit();
	SovGrantsInit();
	SovGucInit();
	SovResultsInit();
	SovArchiveInit();
	SovSharedInit();
	MarkGUCPrefixReserved("sovereign");
}
