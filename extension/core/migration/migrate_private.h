/*
 * migrate_private.h - what plan (migrate.c) and apply (apply.c, crew.c, recode.c,
 * leave.c, give_up.c) share.
 */
#ifndef MIGRATE_PRIVATE_H
#define MIGRATE_PRIVATE_H

#include "repository/repo_private.h"
#include "sov_migrate.h"

#define MIGRATE_PASSES 5

struct apply
{
	struct sov_repo *repo;
	const struct sov_progress *progress;
	struct sov_apply_result *res;
	pthread_mutex_t lock;		/* res and done, while a crew works */
	int64_t		started_us;		/* wall clock */
	struct sov_buf spare[4];	/* of shards that were brought over, for the next (apply.c) */
	uint64_t	done;
	_Atomic uint64_t passed_over;	/* objects of which k shards were not to be had */
	bool		accept_loss;
};

/* The plan, and the inventory that it was counted from (empty when nothing
 * moves). */
extern enum sov_code migrate_plan(struct sov_repo *repo, struct sov_plan *plan,
								  struct sov_inventory *inv, struct sov_error *err);

/* crew.c */
/* Call work(a, i, arg) for i in 0..n-1 in some threads, until one fails or the
 * caller cancels; the first error is handed back. */
typedef enum sov_code (*crew_fn) (struct apply *a, size_t i, void *arg, struct sov_error *err);
extern enum sov_code apply_crew(struct apply *a, int members, size_t n, crew_fn work, void *arg, struct sov_error *err);
#define APPLY_CREW 4			/* objects in memory at once */
#define APPLY_SMALL_CREW 16		/* requests of little or no content */
extern void apply_progress(struct apply *a, uint64_t bytes);

/* give_up.c */
/* Is this provider not configured, or was it not read? */
extern bool apply_is_away(const struct sov_repo *repo, const uint8_t uuid[16], const struct sov_inventory *inv);
extern enum sov_code apply_may_give_up(struct apply *a, const struct sov_inventory *inv, struct sov_error *err);

/* apply.c */
/* A provider without identity gets one. */
extern enum sov_code apply_identity(struct apply *a, int provider, struct sov_error *err);
/* Heads and keyrings to a provider. */
extern enum sov_code apply_copy_whole(struct apply *a, int to, struct sov_error *err);
/* Were enough positions of this map looked at to know all that lies by it? */
extern enum sov_code apply_saw_enough(const struct sov_repo *repo, const struct sov_map *map,
									  const struct sov_inventory *inv, struct sov_error *err);
/* Enter a provider in the list of those that were left. */
extern void apply_list_left(struct sov_admin_head *head, const uint8_t uuid[16], const char *alias);

/* recode.c */
/* Does the configuration ask for it, and can it be done? */
extern enum sov_code recode_wanted(struct sov_repo *repo, struct sov_recode *r, struct sov_error *err);
extern void recode_count(const struct sov_repo *repo, const struct sov_inventory *inv, struct sov_plan *plan);
extern enum sov_code recode_run(struct apply *a, struct sov_error *err);

/* leave.c */
/* Delete what providers that were left still hold, and keep receipts. */
extern void leave_all(struct apply *a);

#endif
