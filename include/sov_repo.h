/*
 * sov_repo.h - one repository over its providers.
 *
 * Opening reads the committed state from every provider that answers: keyring
 * (needs the custodian), identities, the administrator's chain, the writers'
 * heads.  A commit is at n-k+1 providers before it counts, so any k that answer
 * know of it; fewer than k is SOV_E_QUORUM.  What a provider lacks of that
 * state is written back to it; an older state is outvoted, and named through
 * the note callback.  Two valid heads with one sequence number stop everything
 * (a cloned host).
 *
 * Local state lives in cfg->state_directory, outside PGDATA:
 *   writer.key    this host's writer id and Ed25519 seed, sealed under a key
 *                 derived from K_meta
 *   head, admin   newest head objects seen (anchor against rollback)
 *   head.next, admin.next   the head of a commit under way: kept before any
 *                 provider gets it, completed by the next commit if need be
 *   writer.lock, admin.lock   flock during a commit
 *   spool/NAME/   repair debt of provider NAME: one file per object that it
 *                 could not take, '/' in the name written as ','; either the
 *                 object itself or, past spool-limit, a marker line
 *                 "SOVDEBT1 class id generation attempt slot" to be rebuilt.
 *                 What was damaged there, and cannot be rebuilt from what is left of
 *                 it, ends in ".damaged" and stays until the provider has the object.
 *                 NAME.tmp.PID.THREAD is being written, and counts for spool-limit
 *   debt/NAME     how much is owed to NAME, as counted last (repo_debt.c): made anew
 *                 whenever it is missing or not of the spool as it is
 *   settle.lock   flock while debt is worked off
 *   spool.lock    flock while room is taken in the spool, a file gets its name there,
 *                 or is removed
 *   down/NAME     when NAME is asked again, for sov_repo_open_brief (repo_down.c)
 *   status        one line per provider "name uuid state time_us message", for
 *                 the SQL view; rewritten when it changes
 *
 * A handle may be used by several threads for put and get of objects, and by one of them
 * for settling meanwhile; opening and reading the state again are for one thread alone.
 */
#ifndef SOV_REPO_H
#define SOV_REPO_H

#include "sov_config.h"
#include "sov_manifest.h"
#include "sov_provider.h"

struct sov_repo_provider
{
	const struct sov_provider_config *cfg;
	struct sov_provider *handle;	/* NULL while it cannot be opened */
	uint8_t		uuid[16];
	bool		known;			/* its identity was read: uuid is valid */
	bool		fresh;			/* reachable and without identity: not yet in the repository */
	bool		down;			/* the last request failed */
	int64_t		retry_at_us;	/* circuit breaker: not asked before (monotonic), */
	int64_t		failed_us,		/* unless too few others are left: then a while after it */
				took_us;		/* failed, that request having taken so long */
	int64_t		retry_wait_us;	/* last waiting time, doubled at every failure */
	struct sov_error last;		/* why it is down */
	int64_t		slow_until_us;	/* others are read from first: it was left behind by them */
	uint64_t	requests, bytes_out, bytes_in;
};

struct sov_repo
{
	struct sov_config cfg;
	struct sov_custodian *custodian;
	struct sov_repo_keys *keys;
	int			n_providers;
	struct sov_repo_provider providers[SOV_MAX_PROVIDERS];
	struct sov_admin_head admin;	/* the current one */
	uint64_t	damaged_shards;	/* seen and healed around through this handle */
	int			n_heads;		/* newest valid head of every writer */
	struct sov_head heads[SOV_WRITERS_MAX];
	/* The cluster whose WAL and marks this handle means; 0: the current one. */
	uint64_t	cluster;
	/* Notes for people (outvoted provider, debt, degraded write); may be NULL.
	 * Called from any thread, serialised. */
	void		(*note) (void *ctx, const char *message);
	void	   *note_ctx;
	struct sov_repo_private *priv;
};

typedef void (*sov_note_fn) (void *ctx, const char *message);

/* Make a new repository at every configured provider; all must answer and be
 * empty.  SOV_E_EXISTS when one holds a repository already. */
extern enum sov_code sov_repo_init(const struct sov_config *cfg, sov_note_fn note, void *ctx,
								   struct sov_repo **out, struct sov_error *err);
/* Opens with whatever sections cfg has: leave one out to do without it. */
extern enum sov_code sov_repo_open(const struct sov_config *cfg, sov_note_fn note, void *ctx,
								   struct sov_repo **out, struct sov_error *err);
/* For the processes that the server starts for each WAL file: a provider that one of
 * them waited for in vain is left alone by the next, until another has asked it. */
extern enum sov_code sov_repo_open_brief(const struct sov_config *cfg, sov_note_fn note, void *ctx,
										 struct sov_repo **out, struct sov_error *err);
extern void sov_repo_close(struct sov_repo *repo);
/* Read heads and the administrator's chain again (long-running processes). */
extern enum sov_code sov_repo_refresh(struct sov_repo *repo, struct sov_error *err);
/* What the policy says of the configuration; never NULL.  A barred provider is not
 * written to through this handle, whoever asks.  Where certifications are required, it
 * is judged again when the day changes. */
struct sov_policy_report;		/* sov_policy.h */
extern const struct sov_policy_report *sov_repo_policy(const struct sov_repo *repo);
/* SOV_E_CONFIG while a rule is broken by more than what is being left. */
extern enum sov_code sov_repo_obey_policy(const struct sov_repo *repo, struct sov_error *err);
/* "active", "drain", "down" or "new". */
extern const char *sov_repo_provider_state(const struct sov_repo_provider *p);
/* Index in repo->providers of a map position (or its previous provider), -1
 * when it is not configured. */
extern int	sov_repo_provider_of(const struct sov_repo *repo, const uint8_t uuid[16]);
/* The position that a configured provider has in the map, or NULL: one that does not
 * answer is found by its name. */
extern const struct sov_map_slot *sov_repo_position_of(const struct sov_repo *repo, int provider);
/* Try again a provider that was down, when its time has come; true when it answers. */
extern bool sov_repo_probe(struct sov_repo *repo, int provider);

/* --- the keyring (sov_keyring.h) --- */
extern enum sov_code sov_repo_keyring_info(struct sov_repo *repo, struct sov_keyring_info *info, struct sov_error *err);
/* Make a keyring with these key-encryption keys the current one. */
/* The state of persons' keys of a database: stored, named by a new keyring, both at
 * n-k+1 providers; what earlier keyrings named is removed where that can be done. */
extern enum sov_code sov_repo_put_subjects(struct sov_repo *repo, const uint8_t database[16], const void *state, size_t len, struct sov_error *err);
/* SOV_E_NOTFOUND when the keyring names none. */
extern enum sov_code sov_repo_get_subjects(struct sov_repo *repo, const uint8_t database[16], struct sov_buf *state, struct sov_error *err);
extern enum sov_code sov_repo_rewrap(struct sov_repo *repo, const struct sov_keyring_kek *keks, int n, struct sov_error *err);
/* Remove the keyrings before the current one; returns how many, or whole
 * providers, could not be dealt with. */
extern int	sov_repo_remove_old_keyrings(struct sov_repo *repo);

/* Can this host read what is stored?  Asks the content custodian where there is a pair
 * of content keys; SOV_E_KEY says who could. */
extern enum sov_code sov_repo_may_read(struct sov_repo *repo, struct sov_error *err);
/* SOV_E_STATE when the host is write-only and the repository has no pair. */
extern enum sov_code sov_repo_may_write(const struct sov_repo *repo, struct sov_error *err);

/* Seal a repository that was made without one to a pair of content keys, and take
 * K_content out of the hosts' reach; may be repeated.  The handle goes on without it.
 * SOV_E_STATE while another host has to do its part. */
struct sov_seal_result
{
	bool		made,			/* the pair, now */
				dropped;		/* K_content, now */
	uint32_t	backups, objects;	/* looked at; sealed anew */
	int			keyrings_left;	/* older ones, or whole providers, that could not be dealt with */
};
extern enum sov_code sov_repo_seal_content(struct sov_repo *repo, struct sov_seal_result *res, struct sov_error *err);

/* A new pair of content keys; the former private keys stay with it.  next_uri: who keeps
 * them from now on (NULL: who does now).  Older keyrings stay, for the caller to remove. */
extern enum sov_code sov_repo_rotate_content(struct sov_repo *repo, const char *next_uri, struct sov_error *err);

/* Write, read back and remove a small object.  *kept: it may not be removed, by these
 * credentials or not yet. */
extern enum sov_code sov_repo_try_provider(struct sov_repo *repo, int provider, bool *kept, struct sov_error *err);
/* "sha256:" and 64 hex digits: what [repository] controller pins. */
#define SOV_FINGERPRINT_LEN 72
extern void sov_repo_fingerprint(const uint8_t controller_pub[32], char dst[SOV_FINGERPRINT_LEN]);

/* --- runs --- */
/* A new run whose shares are stored (spool counts as for any object). */
extern enum sov_code sov_repo_run_begin(struct sov_repo *repo, struct sov_run **run, struct sov_error *err);
/* The same, under the rule for how many must hold WAL: no segment is safer than its run. */
extern enum sov_code sov_repo_run_begin_for_wal(struct sov_repo *repo, struct sov_run **run, struct sov_error *err);
/* A run for reading, from k shares; cached in the handle, owned by it.  content: for
 * pages or WAL, not only for what is under K_index. */
extern enum sov_code sov_repo_run_open(struct sov_repo *repo, const uint8_t id[16], bool content,
									   const struct sov_run **run, struct sov_error *err);

/* --- coded objects --- */
struct sov_put_result
{
	int			holders;		/* providers that have their shard durably */
	int			spooled;		/* shards kept in the local spool */
	int			owed;			/* shards only noted as debt */
	uint64_t	stored;			/* bytes at providers, headers and parity included */
};
/* info: all but k, n and generation, which are those of the provider map.
 * How many must hold it for the put to succeed:
 * WAL: all n, or k+1 of which the spool may be one; PACK and META: k providers. */
extern enum sov_code sov_repo_put_sealed(struct sov_repo *repo, const struct sov_shard_info *info,
										 const uint8_t *sealed, size_t len,
										 struct sov_put_result *res, struct sov_error *err);
/* Seal bytes as a stream.  What is sealed: method u8 (0 as they are, 1 zstd) | raw
 * length u64 | bytes.  For metadata id is NULL: a random one is made.  WAL history files
 * are written with k = 1: a copy at every provider.  info and sealed are for
 * sov_repo_put_sealed; the bytes are not needed any more then. */
extern enum sov_code sov_repo_seal_stream(struct sov_repo *repo, struct sov_run *run, uint8_t class_, const char *id, uint32_t timeline,
										  const void *bytes, size_t len, bool compress,
										  const uint8_t *content /* 32 or NULL */, uint16_t attempt,
										  struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err);
/* Seal and put; ref may be NULL. */
extern enum sov_code sov_repo_put_stream(struct sov_repo *repo, struct sov_run *run, uint8_t class_, const char *id,
										 uint32_t timeline, const void *bytes, size_t len, bool compress,
										 const uint8_t *content /* 32 or NULL */, uint16_t attempt,
										 struct sov_objref *ref, struct sov_put_result *res, struct sov_error *err);
/* In what follows generation is that of the object when it was written.  It is
 * found in whatever generation changes of k and n have brought it to since; only
 * sov_repo_rebuild and sov_repo_name mean this one and no other.
 *
 * The sealed bytes of an object: k shards of one group, verified, decoded;
 * damaged shards are named through note and healed around.  info may be NULL.
 * SOV_E_NOTFOUND only with n-k+1 definite "no" and no shard seen; SOV_E_QUORUM
 * when it is not certain; SOV_E_CORRUPT when fewer than k shards verify. */
extern enum sov_code sov_repo_get_sealed(struct sov_repo *repo, uint8_t class_, const char *id,
										 uint32_t generation, uint16_t attempt,
										 struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err);
/* Parts of the sealed bytes, sorted by offset: *sealed gets the object's length,
 * and what lies outside the parts is not set.  *fetched: bytes that were read. */
struct sov_range { uint64_t offset, len; };
extern enum sov_code sov_repo_get_ranges(struct sov_repo *repo, uint8_t class_, const char *id,
										 uint32_t generation, uint16_t attempt,
										 const struct sov_range *ranges, size_t n_ranges, struct sov_shard_info *info,
										 struct sov_buf *sealed, uint64_t *fetched, struct sov_error *err);
/* Decode, open and decompress a stream object. */
extern enum sov_code sov_repo_get_stream(struct sov_repo *repo, uint8_t class_, const char *id, uint16_t attempt,
										 struct sov_shard_info *info, struct sov_buf *plain, struct sov_error *err);
/* The whole object of one slot (shard, or run share), rebuilt from k others;
 * what lies at the slot's own place is not used. */
extern enum sov_code sov_repo_rebuild(struct sov_repo *repo, uint8_t class_, const char *id,
									  uint32_t generation, uint16_t attempt, uint8_t slot,
									  struct sov_buf *object, struct sov_error *err);

/* What the providers know of one attempt of an object, from headers alone. */
struct sov_object_state
{
	int			k, n;			/* of the map by which it was found */
	int			holders;		/* positions with a shard whose header verifies */
	int			absent;			/* definite "no" */
	int			unknown;		/* did not answer, or a damaged header */
	int			spooled;		/* shards waiting in the local spool */
	bool		have;			/* info of the largest group is valid */
	struct sov_shard_info info;
	bool		conflict;		/* two groups of different content */
};
extern enum sov_code sov_repo_object_state(struct sov_repo *repo, uint8_t class_, const char *id,
										   uint32_t generation, uint16_t attempt,
										   struct sov_object_state *st, struct sov_error *err);
/* Content hash for WAL: HMAC(K_salt, "content" | class | id | bytes). */
extern enum sov_code sov_repo_content_hash(struct sov_repo *repo, uint8_t class_, const char *id,
										   const void *bytes, size_t len, uint8_t out[32], struct sov_error *err);

/* --- commits --- */
/* Change a copy of this writer's newest head and commit it as the next one.
 * Takes the lock, adopts a head of ours that a crash left uncommitted, enrols
 * the host as a writer on first use (needs the administrator's key). */
typedef enum sov_code (*sov_head_change_fn) (void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err);
/* Both may be called from several threads; they take turns. */
extern enum sov_code sov_repo_commit(struct sov_repo *repo, sov_head_change_fn change, void *ctx, struct sov_error *err);
typedef enum sov_code (*sov_admin_change_fn) (void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err);
extern enum sov_code sov_repo_commit_admin(struct sov_repo *repo, sov_admin_change_fn change, void *ctx, struct sov_error *err);

/* --- leases: lock-free with prune ---
 * Who refers to what an earlier backup stored holds a lease: a stamp in his head,
 * committed before he reads the administrator's list of condemned backups.  While
 * it may be held by somebody who has not seen the newest list, prune deletes
 * nothing.  It ends SOV_LEASE_US after the last renewal, by the holder's boot
 * clock, and later by the pruner's. */
#define SOV_LEASE_US (INT64_C(3) * 3600 * 1000000)
struct sov_lease { int64_t renewed_us; };	/* boot clock */
extern enum sov_code sov_lease_begin(struct sov_repo *repo, struct sov_lease *lease, struct sov_error *err);
/* Renew it when a third is over. */
extern enum sov_code sov_lease_renew(struct sov_repo *repo, struct sov_lease *lease, struct sov_error *err);
/* In the change of the commit that ends it: still held, and the backup that was
 * referred to ("" for none) not condemned meanwhile.  Clears it in the head. */
extern enum sov_code sov_lease_settle(struct sov_repo *repo, const struct sov_lease *lease, const char *base,
									  struct sov_head *head, struct sov_error *err);
/* Give it up without a commit of anything else. */
extern void sov_lease_drop(struct sov_repo *repo);

/* Every backup of every writer's newest head that is not condemned, oldest first. */
extern enum sov_code sov_repo_catalogue(struct sov_repo *repo, struct sov_catalogue *out, struct sov_error *err);

/* --- clusters (clusters.c) ---
 * A repository belongs to one cluster at a time: that of its first backup or segment,
 * until the administrator's chain names another (pg_upgrade makes one, with another
 * system identifier).  Backups and WAL of former ones stay.  WAL of the first has the
 * server's names, that of each later one its system identifier before them, so that
 * equal timelines and positions are never taken for each other's. */
/* The current one; 0 before the first backup or segment. */
extern uint64_t sov_repo_current_cluster(const struct sov_repo *repo);
/* What the administrator's chain says of it; NULL: nothing. */
extern const struct sov_cluster *sov_repo_cluster(const struct sov_repo *repo, uint64_t system_id);
/* SOV_E_STATE when it is not the one that this handle means, nor is there none yet. */
extern enum sov_code sov_repo_check_system(const struct sov_repo *repo, uint64_t system_id, struct sov_error *err);
/* From here on the handle means this one's WAL and marks, if the repository has it. */
extern void sov_repo_choose_cluster(struct sov_repo *repo, uint64_t system_id);
/* The newest mark over all writers on a timeline (0: any) of the cluster that the
 * handle means; false: none. */
extern bool sov_repo_mark(const struct sov_repo *repo, uint32_t timeline, struct sov_mark *out);
extern bool sov_repo_cluster_mark(const struct sov_repo *repo, uint64_t system_id, uint32_t timeline, struct sov_mark *out);
/* The id of the object that holds a WAL file: of a cluster (0: that of the handle).
 * The other way: the file's name within an id, and its cluster, 0 where the id does
 * not say and the chain neither. */
#define SOV_WAL_ID_MAX 64
extern void sov_wal_object_id(const struct sov_repo *repo, uint64_t system_id, const char *name, char dst[SOV_WAL_ID_MAX]);
extern const char *sov_wal_file_name(const struct sov_repo *repo, const char *id, uint64_t *system_id);
/* Make this the current cluster.  SOV_E_EXISTS: it is.  SOV_E_STATE: by version and
 * position (end of its WAL) it cannot come from the one before; any: do it all the same.
 * One that was left before may always come back. */
struct sov_cluster_change
{
	uint64_t	system_id, lsn;
	uint32_t	pg_version;
	bool		any;
	uint64_t	was;			/* set: the one before, 0: there was none */
	uint32_t	was_version;	/* 0: not known */
};
extern enum sov_code sov_repo_take_cluster(struct sov_repo *repo, struct sov_cluster_change *change, struct sov_error *err);

/* --- debt --- */
struct sov_debt
{
	uint64_t	objects, bytes, markers,
				damaged,		/* of the objects: set aside */
				unfinished, reserved,	/* besides: files that are being written or were left by a crash; their bytes */
				of[26];			/* objects by the letter of their class, 'a' first */
};
/* At once, however many they are; counted anew only where others changed the spool. */
extern enum sov_code sov_repo_debt(const struct sov_config *cfg, const char *provider, struct sov_debt *out, struct sov_error *err);
/* Deliver what the spool holds to providers that answer, for about max_us at most
 * (0: until all is done); *left counts what remains.  Nothing is delivered that is
 * damaged: it is rebuilt from the others, or kept and named. */
extern enum sov_code sov_repo_settle(struct sov_repo *repo, int64_t max_us, uint64_t *left, struct sov_error *err);
/* Ask those providers that are down whether they answer again, when it is time to.  From
 * then on the other threads of this handle leave that to the calling one, as long as
 * enough others are left: it alone waits for who does not answer. */
extern void sov_repo_ask_down(struct sov_repo *repo);
/* The same for the processes of sov_repo_open_brief: is it time to ask one, and that by a
 * process of its own. */
extern bool sov_repo_down_due(const struct sov_repo *repo);
extern enum sov_code sov_repo_ask_down_for_others(const struct sov_config *cfg, struct sov_error *err);

/* --- scanning --- */
struct sov_scan_item
{
	int			provider;		/* index in repo->providers */
	const char *name;
	uint64_t	size;
	bool		readable;		/* info (or share) is valid */
	struct sov_shard_info info;	/* class 'r': only class_, id, k, n, slot, run are set */
	struct sov_error why;		/* when not readable */
};
typedef bool (*sov_scan_fn) (void *ctx, const struct sov_scan_item *item);
/* True: the header was read before, info is filled in, it is not read again. */
typedef bool (*sov_scan_known_fn) (void *ctx, struct sov_scan_item *item);
/* Headers of every coded object of one class at one provider, in no order; fn, and known
 * (which may be NULL) before it, are called by several threads at once, and fn's false ends it. */
extern enum sov_code sov_repo_scan(struct sov_repo *repo, int provider, uint8_t class_, sov_scan_known_fn known,
								   sov_scan_fn fn, void *ctx, struct sov_error *err);
/* The same of one object: provider, name and size are given. */
extern void sov_repo_scan_one(struct sov_repo *repo, uint8_t class_, struct sov_scan_item *item);
/* Names an object must have at a provider. */
extern enum sov_code sov_repo_name(struct sov_repo *repo, const uint8_t provider[16], uint8_t class_, const char *id,
								   uint32_t generation, uint8_t slot, uint16_t attempt, char dst[SOV_NAME_MAX], struct sov_error *err);

/* Run fn(i, arg) for i in 0..n-1, in parallel threads. */
extern void sov_parallel(int n, void (*fn) (int i, void *arg), void *arg);

#endif
