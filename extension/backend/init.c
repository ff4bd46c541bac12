/*
 * init.c - loading of the library: one XInit() per feature.
 */
#include "audit.h"
#include "subjects.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	SovCatalogInit();
	SovKeysInit();
	SovNoncesInit();
	SovAuditInit();
	SovAuditChangeInit();
	SovAuditWindowInit();
	SovGrantsInit();
	SovSubjectNumberInit();
	SovEraseInit();
	SovGucInit();
	SovHintsInit();
	SovQuietInit();
	SovResultsInit();
	SovPlanInit();
	SovStoringInit();
	SovLiteralsInit();
	SovInliningInit();
	SovCommandInit();
	SovSharedInit();
	MarkGUCPrefixReserved("sovereign");
}
