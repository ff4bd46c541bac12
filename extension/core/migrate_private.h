/*
 * migrate_private.h - what plan (migrate.c) and apply (apply.c) share.
 */
#ifndef MIGRATE_PRIVATE_H
#define MIGRATE_PRIVATE_H

#include "repo_private.h"
#include "sov_migrate.h"

/* The plan, and the inventory that it was counted from (empty when nothing
 * moves). */
extern enum sov_code migrate_plan(struct sov_repo *repo, struct sov_plan *plan,
								  struct sov_inventory *inv, struct sov_error *err);

#endif
