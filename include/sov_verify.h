/*
 * sov_verify.h - what the providers really hold, what is wrong with it, and
 * mending it.
 *
 * The inventory is made from the sealed headers at the providers, not from an
 * index of ours, so it sees what a restore would see.
 */
#ifndef SOV_VERIFY_H
#define SOV_VERIFY_H

#include "sov_backup.h"

/* One attempt of one coded object. */
/* Room for the longest id that is made: that of a WAL backup file, 40 characters. */
#define SOV_INVENTORY_ID 44

struct sov_inventory_item
{
	uint8_t		class_;
	char		id[SOV_INVENTORY_ID];
	uint32_t	generation;
	uint16_t	attempt;
	uint8_t		k, n;
	uint16_t	have;			/* bit per slot: at the position's provider */
	uint16_t	before;			/* bit per slot: at the previous provider of a position being moved */
	uint64_t	size;			/* of one shard object */
	uint8_t		run[16];
	uint8_t		stream[32];
	bool		conflict;		/* shards of another group lie under the same names */
};

struct sov_damaged
{
	int			provider;
	uint64_t	size;
	char		name[SOV_NAME_MAX];
	enum sov_code code;			/* SOV_E_PROVIDER: it could not be read */
	char		message[256];
};

struct sov_inventory
{
	size_t		n_items;
	struct sov_inventory_item *items;	/* sorted by class, id, generation, attempt */
	size_t		n_damaged;
	struct sov_damaged *damaged;	/* objects whose header does not verify */
	bool		asked[SOV_MAX_PROVIDERS];	/* this provider was read whole */
	uint64_t	objects[SOV_MAX_PROVIDERS], bytes[SOV_MAX_PROVIDERS];
};
extern enum sov_code sov_inventory_read(struct sov_repo *repo, struct sov_inventory *inv, struct sov_error *err);
/* Once more, a little later: the header of what lies, by the lists, under the same name and
 * as long as in the earlier one is not read again. */
extern enum sov_code sov_inventory_read_again(struct sov_repo *repo, const struct sov_inventory *earlier,
											  struct sov_inventory *inv, struct sov_error *err);
/* From the headers at one provider: what lies at the others, by the lists, under the name that
 * a shard of one of its objects has there, and is as long, is taken for that shard.  Enough to
 * know which objects there are, not that those of the others are good.  All headers where
 * that one cannot be read. */
extern enum sov_code sov_inventory_read_first(struct sov_repo *repo, int first, struct sov_inventory *inv, struct sov_error *err);
extern void sov_inventory_free(struct sov_inventory *inv);
/* Is this verified header that of the item's own shard in this slot? */
extern bool sov_inventory_is(const struct sov_inventory_item *it, int slot, const struct sov_shard_info *info);
extern const struct sov_inventory_item *sov_inventory_find(const struct sov_inventory *inv, uint8_t class_, const char *id);

enum sov_problem_kind
{
	SOV_PROBLEM_MISSING,		/* an object is not where it must be */
	SOV_PROBLEM_DAMAGED,		/* it is there and does not verify */
	SOV_PROBLEM_LOST			/* fewer than k shards are left: data are lost */
};
struct sov_problem
{
	enum sov_problem_kind kind;
	const char *provider;		/* section name; "" for SOV_PROBLEM_LOST */
	const char *object;			/* name at the provider */
	const char *what;			/* "pack 0f3a... slot 1", "WAL 0000...", "backup ..." */
	const char *message;
	bool		mended;
};
struct sov_verify_options
{
	bool		deep;			/* read and check every byte, not only headers */
	uint64_t	sample;			/* check the bytes of so many random shards */
	bool		repair;
	uint64_t	max_rate;		/* bytes read per second, 0: no limit */
	void		(*problem) (void *ctx, const struct sov_problem *p);
	void	   *ctx;
};
struct sov_verify_result
{
	uint64_t	objects, shards, bytes_read;
	uint64_t	missing, damaged, lost, mended;
	int			providers_asked, providers;
	int			tolerates;		/* providers that may still vanish, over all objects */
	uint32_t	backups, backups_whole;
	struct sov_mark mark;
	bool		has_mark;
	double		seconds;
};
extern enum sov_code sov_verify_run(struct sov_repo *repo, const struct sov_verify_options *opt,
									const struct sov_progress *progress,
									struct sov_verify_result *res, struct sov_error *err);

/* When the bytes of shards at a provider were last read and all were right.
 * false: never, as far as this host knows. */
struct sov_proven { int64_t time_us; uint64_t shards; };
extern bool sov_proven_read(const struct sov_config *cfg, const uint8_t provider[16], struct sov_proven *out);

/* Heads, keyrings: objects stored whole.  Does this content belong under this
 * name in this repository? */
extern enum sov_code sov_whole_check(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, struct sov_error *err);
/* Names of all such objects at any provider, NUL-terminated one after the other. */
extern enum sov_code sov_whole_names(struct sov_repo *repo, struct sov_buf *names, struct sov_error *err);
/* The same without those that this provider's own list has. */
extern enum sov_code sov_whole_missing(struct sov_repo *repo, int provider, struct sov_buf *names, struct sov_error *err);
/* A good copy from any provider. */
extern enum sov_code sov_whole_read(struct sov_repo *repo, const char *name, struct sov_buf *out, struct sov_error *err);

#endif
