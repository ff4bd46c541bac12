/*
 * sov_migrate.h - carrying out a changed configuration: plan and apply.
 *
 * The provider map (administrator's chain) says who holds which position.  A
 * position whose provider is gone from the configuration, drained or emptied
 * moves to a provider that is configured and not in the map.  While it moves
 * the map names both, so that readers look at both and writers write to the new
 * one; when every shard is there the map names only the new one.  Shards are
 * copied verbatim while the old provider answers, and rebuilt from any k others
 * when it does not.
 *
 * Where needed or shards differ from the map's k and n, everything is coded anew
 * (recode.c): a map of the next generation with the new k and n, the one before
 * beside it until all lies by the new one too.  Sealed bytes are re-coded, so no
 * content key is needed.
 *
 * All progress is in the repository itself: apply may be killed and run again.
 */
#ifndef SOV_MIGRATE_H
#define SOV_MIGRATE_H

#include "sov_verify.h"

struct sov_move
{
	int			position;
	uint8_t		old_uuid[16];
	char		old_alias[SOV_NAME_MAX];
	int			old_provider;	/* index, -1: gone */
	int			new_provider;
	bool		under_way;		/* the map names both already */
	const char *why;			/* "gone from the configuration", "drained", "emptied" */
	uint64_t	copies, copy_bytes;		/* verbatim from the old provider */
	uint64_t	rebuilds, rebuild_bytes;
	uint64_t	done;			/* shards there already */
};
struct sov_recode				/* all zeros: k and n stay */
{
	bool		wanted;
	bool		under_way;		/* the map is the new one already */
	int			k, n, old_k, old_n;
	int			holder[SOV_EC_MAX];	/* provider index by new position */
	uint64_t	objects;		/* to be coded anew */
	uint64_t	done;			/* that are already */
	uint64_t	read_bytes, write_bytes;
};
struct sov_plan
{
	struct sov_recode recode;
	int			n_moves;
	struct sov_move moves[SOV_EC_MAX];
	uint64_t	whole_objects;	/* heads and keyrings to be copied */
	uint64_t	bytes;			/* to be written */
	uint64_t	requests;		/* about: reads, writes */
};
/* Changes nothing.  SOV_E_CONFIG when the configuration cannot be carried out. */
extern enum sov_code sov_plan_make(struct sov_repo *repo, struct sov_plan *plan, struct sov_error *err);

/* What became of the data at a provider that was left.  The names of all objects
 * stand in a file of JSON, "receipts/ALIAS-TIME.json" in the state directory. */
struct sov_receipt
{
	uint8_t		uuid[16];
	char		alias[SOV_NAME_MAX];
	bool		reached;		/* false: it did not answer, or has no section any more */
	uint64_t	deleted, bytes, failed;
	uint64_t	locked;			/* of the failed: the provider keeps them until a date */
	uint64_t	unfinished;		/* uploads that were begun and never finished, taken back */
	char		file[64];		/* relative to the state directory; "" when it could not be kept */
};
struct sov_apply_result
{
	struct sov_plan plan;
	uint64_t	copied, rebuilt, recoded, bytes;
	int			n_receipts;
	struct sov_receipt receipt[32];
	double		seconds;
};
/* accept_loss: leave a provider that cannot be read even where a backup cannot be restored
 * without it (else SOV_E_QUORUM). */
extern enum sov_code sov_apply_run(struct sov_repo *repo, bool accept_loss, const struct sov_progress *progress,
								   struct sov_apply_result *res, struct sov_error *err);

#endif
