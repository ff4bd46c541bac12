/*
 * verify_private.h - what verify, its parts for one backup and for shards, and prune share.
 */
#ifndef VERIFY_PRIVATE_H
#define VERIFY_PRIVATE_H

#include "base/id_set.h"
#include "repository/repo_private.h"
#include "sov_verify.h"
#include "wal/wal_private.h"

#define VERIFY_WHY 320

struct verify
{
	struct sov_repo *repo;
	const struct sov_verify_options *opt;
	const struct sov_progress *progress;
	struct sov_verify_result *res;
	struct sov_inventory inv;
	struct sov_catalogue cat;	/* backups that are offered */
	const struct sov_backup_entry **backups;	/* in cat */
	struct wal_needed wal;		/* of the timeline that was looked at last */
	bool		used_known;		/* of every backup */
	struct id_set used;			/* what something refers to; 1: said to be lost, 2: only older versions give it */
	struct id_set lost;			/* packs, and runs of packs, as class p */
	struct id_set pieces;		/* looked into: 1 whole, 2 not; backups share them */
	bool	   *damaged_used;	/* by index in inv.damaged: explained by an item */
	char		why_not[VERIFY_WHY];	/* why what is reported next was not mended, or "" */
	pthread_mutex_t lock;		/* of all but the inventory and what was set before, while shards are looked at */
	size_t		next;			/* in the inventory */
	bool		cancelled,
				nomem;
	int64_t		started_us;
	uint64_t	done,
				shown,			/* of that, to whoever watches */
				total;
	double		sample_rate;	/* 1 for deep */
	uint64_t	checked[SOV_MAX_PROVIDERS],	/* bodies read, problems left */
				bad[SOV_MAX_PROVIDERS];
};

extern void verify_report(struct verify *v, enum sov_problem_kind kind, const char *provider, const char *object,
						  const char *what, const char *message, bool mended);
/* Nothing is left that the object could be rebuilt from. */
extern void verify_lost(struct verify *v, uint8_t class_, const char *id, const char *what, const char *message);
extern bool verify_cancelled(struct verify *v, struct sov_error *err);
/* Put a good object in a bad one's place; false: why says why not. */
extern bool verify_put_back(struct verify *v, int provider, const char *name, const struct sov_buf *object, char why[VERIFY_WHY]);
/* verify_older.c: do older versions give what is left by fewer than k shards? */
extern bool verify_older(struct verify *v, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt);
/* The same of what something refers to, asked once; it: what the inventory has, or NULL: then
 * all its shards are told, and put back by repair.  *first: it was not asked before. */
extern bool verify_given(struct verify *v, uint8_t class_, const char *id, const struct sov_inventory_item *it, const char *what, bool *first);
/* verify_shards.c: the header scan's verdict on the object of this name at this provider. */
extern const struct sov_damaged *verify_find_damaged(struct verify *v, int provider, const char *name);
extern enum sov_code verify_shards(struct verify *v, struct sov_error *err);
extern const char *verify_class_word(uint8_t class_);
/* verify_backup.c: can this backup be restored, with the WAL that it needs, from
 * what the inventory has?  What is lost is reported. */
extern bool verify_backup(struct verify *v, const struct sov_backup_entry *b);

#endif
