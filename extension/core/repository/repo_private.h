/*
 * repo_private.h - what the files repo*.c share and nobody else sees.
 */
#ifndef REPO_PRIVATE_H
#define REPO_PRIVATE_H

#include <pthread.h>

#include "sov_policy.h"
#include "sov_repo.h"
#include "sov_run.h"

/* A head dated further ahead than this is not believed. */
#define REPO_FUTURE_LIMIT_US INT64_C(3600000000)

struct sov_repo_private
{
	pthread_mutex_t lock;		/* provider states, run cache */
	bool		remembers;		/* repo_down.c */
	bool		asked_apart;	/* a thread or process of its own asks who is down */
	pthread_mutex_t commit_lock;
	/* The provider map: held for reading by every request that computes where a
	 * shard lies, for writing while it is read anew. */
	pthread_rwlock_t map_lock;
	pthread_mutex_t map_check;	/* held while looking whether it is to be read anew */
	struct timespec map_mtime;	/* of the local file "admin" when it was read */
	uint64_t	map_inode;
	pthread_mutex_t serial[SOV_MAX_PROVIDERS];	/* for adapters without caps.threads */
	pthread_mutex_t connect[SOV_MAX_PROVIDERS];	/* held while a provider is opened */
	pthread_mutex_t note_lock;
	pthread_mutex_t content_lock;	/* held while the content custodian is asked */
	bool		content_forgotten;	/* the root key opened K_content on a write-only host */
	struct sov_run **runs;
	int			n_runs,
				runs_cap;
	bool		writer_loaded;
	uint64_t	writer;			/* this host's id */
	uint8_t    *seed;			/* its Ed25519 seed, secret memory */
	uint8_t		writer_pub[32];
	/* as last read from each provider */
	bool		has_keyring[SOV_MAX_PROVIDERS];
	bool		admin_behind[SOV_MAX_PROVIDERS];	/* answered, and lacks the newest */
	bool		admin_held[SOV_MAX_PROVIDERS];	/* has the newest */
	uint64_t	admin_shown[SOV_MAX_PROVIDERS];
	uint64_t	anchored_seq;	/* administrator's head that the state directory holds */
	bool		told_fresh[SOV_MAX_PROVIDERS];
	uint64_t	ahead_writer, ahead_us;	/* of whom a newer head was refused for its date; 0: nobody */
	struct sov_buf keyring_object, admin_object;
	const struct sov_policy_report *policy;	/* the newest verdict (repo.c), and */
	struct repo_verdict *verdicts;	/* those before it */
	int64_t		judged_day;		/* days since 1970, in UTC */
	pthread_mutex_t judge_lock;
	uint64_t	facts_stamp;	/* of what sov_facts_keep kept last */
	/* for the next point of the history (history.c) */
	bool		counted[SOV_MAX_PROVIDERS];	/* its shards were listed just now: bytes */
	uint64_t	counted_bytes[SOV_MAX_PROVIDERS];
	struct repo_found { bool known; int tolerates; uint64_t missing, damaged, lost; } found;	/* by a verify, and left */
	int64_t		beat_us;		/* of the audit log's last beat (audit_ship.c), monotonic */
	int64_t		history_us;		/* when it was looked at last, monotonic */
};

/* repo_clock.c */
/* The provider's clock less this host's; 0 where it does not tell, or where they agree to
 * some seconds. */
extern int64_t repo_clock_diff(struct sov_repo *repo, int provider);

/* repo.c */
extern void repo_note(struct sov_repo *repo, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern int64_t repo_now_us(void);		/* wall clock */
/* Is it one that the others were faster than lately?  And: it is. */
extern bool repo_is_slow(struct sov_repo *repo, int provider);
extern void repo_call_slow(struct sov_repo *repo, int provider);
extern int64_t repo_mono_us(void);		/* monotonic, goes on in suspend */
/* When so many bytes of work that began then may be done, at rate bytes a second
 * (0: no limit), by the monotonic clock. */
extern int64_t repo_due_us(int64_t started_us, uint64_t bytes, uint64_t rate);
/* A handle with nothing read; then policy, custodian and state directory: common to
 * init and open. */
extern struct sov_repo *repo_new(const struct sov_config *cfg, sov_note_fn note, void *ctx, struct sov_error *err);
extern enum sov_code repo_prepare(struct sov_repo *repo, struct sov_error *err);
/* Judge again when the day has changed: certifications that are required expire. */
extern enum sov_code repo_judge_today(struct sov_repo *repo, struct sov_error *err);

/* repo_identity.c */
extern enum sov_code repo_put_identity(struct sov_repo *repo, int i, struct sov_error *err);
extern enum sov_code repo_read_identities(struct sov_repo *repo, struct sov_error *err);

/* repo_provider.c: every request goes through these; they keep the circuit
 * breaker and the counters, and prefix errors with the provider's name. */
extern enum sov_code repo_put(struct sov_repo *repo, int i, const char *name, const struct sov_put_span *spans, int n,
							  bool if_absent, struct sov_error *err);
extern enum sov_code repo_get(struct sov_repo *repo, int i, const char *name, uint64_t off, uint64_t len,
							  struct sov_buf *out, struct sov_error *err);
extern enum sov_code repo_get_older(struct sov_repo *repo, int i, const char *name, int age, struct sov_buf *out, struct sov_error *err);
extern enum sov_code repo_stat(struct sov_repo *repo, int i, const char *name, struct sov_object_stat *st, struct sov_error *err);
extern enum sov_code repo_list(struct sov_repo *repo, int i, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
/* Of what opening reads: nobody can do anything before it, so that a list that does not end in
 * time is none, and its provider does not answer. */
extern enum sov_code repo_list_briefly(struct sov_repo *repo, int i, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
extern int64_t repo_list_patience_us;
/* What readers do not see and the provider keeps all the same. */
extern enum sov_code repo_list_hidden(struct sov_repo *repo, int i, sov_list_fn fn, void *ctx, struct sov_error *err);
extern enum sov_code repo_remove(struct sov_repo *repo, int i, const char *name, struct sov_error *err);
extern enum sov_code repo_sweep(struct sov_repo *repo, int i, sov_list_fn fn, void *ctx, struct sov_error *err);
extern void repo_provider_down_list(const struct sov_repo *repo, char *dst, size_t cap);

/* Are so many providers too few to take WAL (k, and the spool) or to be sure that
 * something is not there (n-k+1)? */
extern bool repo_too_few(const struct sov_repo *repo, int left);
/* Who failed before that time may be asked again: false when there is none. */
extern bool repo_ask_again(struct sov_repo *repo, int64_t before_us);

#define RETRY_MIN_US 1000000
#define RETRY_MAX_US 60000000
/* repo_down.c: the circuit breaker between processes, for handles that remember */
extern void repo_down_read(struct sov_repo *repo);
extern void repo_down_write(struct sov_repo *repo, int i, int64_t took_us);
extern void repo_down_forget(struct sov_repo *repo, int i);
extern void repo_down_is_well(struct sov_repo *repo, int i);	/* as found by who asks for others */

/* repo_unfinished.c */
/* Has it the form of a name of ours?  A provider's folder may be shared, with names that
 * begin alike. */
extern bool repo_is_ours(const char *name);
/* Take back what was begun over a day ago and never finished, where these credentials may. */
extern void repo_sweep_old(struct sov_repo *repo);

/* repo_files.c: the local state directory */
/* What to do about a file there that does not open; follows: about this one alone. */
#define REPO_OTHER_STATE(alone) \
	"if the state directory is another repository's, set another state-directory in [repository]; if only this file is damaged, " alone
#define REPO_STATE_AGAIN REPO_OTHER_STATE("move it away: what the providers show is taken instead")
extern enum sov_code repo_mkdirs(const char *path, struct sov_error *err);
extern enum sov_code repo_sync_parent(const char *path, struct sov_error *err);
extern enum sov_code repo_write_file(const char *path, const void *data, size_t len, struct sov_error *err);
/* SOV_E_NOTFOUND when it does not exist. */
extern enum sov_code repo_read_file(const char *path, struct sov_buf *out, struct sov_error *err);
/* Wait for the lock; shared among those who ask for that. */
extern enum sov_code repo_lock_file_shared(const struct sov_repo *repo, const char *name, int *fd, struct sov_error *err);
extern enum sov_code repo_lock_file(const struct sov_repo *repo, const char *name, int *fd, struct sov_error *err);

/* SOV_E_STATE when another process holds it. */
extern enum sov_code repo_try_lock_file(const struct sov_repo *repo, const char *name, int *fd, struct sov_error *err);

/* Seconds before prune takes a run to which nothing refers for an orphan: whoever has
 * stored nothing in one for half of that begins another. */
#define REPO_RUN_GRACE 3600

/* repo_put.c: a run that was begun so long ago that prune may have taken it, as nothing is
 * stored in it and nobody held a lease, makes place for another. */
extern enum sov_code repo_run_fresh(struct sov_repo *repo, struct sov_run **run, int64_t begun_us, struct sov_error *err);

/* repo_debt.c: what happens between these two to one or two files of a provider's spool
 * (b may be NULL) is counted.  What happens without them is seen, and all counted anew;
 * under spool.lock, as both, so that the two never meet. */
struct repo_debt_change
{
	const char *files[2];
	int			dir,
				fd;
	bool		known;
	struct sov_debt debt;
};
extern void repo_debt_begin(const struct sov_config *cfg, const char *alias, const char *a, const char *b, struct repo_debt_change *c);
extern void repo_debt_end(struct repo_debt_change *c);
extern bool repo_debt_is_marker(const char *path);

/* repo_spool.c, and repo_settle.c that works it off */
#define REPO_DEBT_MARKER "SOVDEBT1 "
#define REPO_SPOOL_ASIDE ".damaged"	/* what ends the name of a file that is not delivered */
extern void repo_spool_dir(const struct sov_config *cfg, const char *alias, char *dst, size_t cap);
extern bool repo_spool_is_marker(const struct sov_buf *b);
extern bool repo_spool_is_aside(const char *file);
/* Being written, or left by a writer that was killed. */
extern bool repo_spool_is_unfinished(const char *file);
/* Remove what nobody writes any more, and the directory if it is empty. */
extern void repo_spool_tidy(const struct sov_repo *repo, const char *alias);
/* A marker in the place of what is owed; marker: without its first word. */
extern enum sov_code repo_spool_mark(const struct sov_repo *repo, const char *alias, const char *name, const char *marker, struct sov_error *err);
/* What was read from this file is delivered: remove it, unless something else has come
 * into its place.  *gone: nothing is there, somebody has removed it. */
struct stat;
/* Both in the spool of one provider; false, and errno. */
extern bool repo_spool_rename_file(const struct sov_repo *repo, const char *alias, const char *from, const char *to);
extern void repo_spool_remove(const struct sov_repo *repo, const char *alias, const char *file);
extern void repo_spool_done(const struct sov_repo *repo, const char *alias, const char *path, const struct stat *read, bool *gone);
/* Everything that providers lacked was put back: what was set aside is not owed any
 * more, also where prune has taken, by another host, what it belonged to. */
extern void repo_spool_drop_aside(struct sov_repo *repo);
/* Keep an object for a provider that cannot take it now.  *kept: the object
 * itself is safe (false: only a marker, or nothing). */
extern void repo_spool_put(struct sov_repo *repo, const char *alias, const char *name,
						   const struct sov_put_span *spans, int n, const char *marker, bool *kept);
extern enum sov_code repo_spool_get(const struct sov_repo *repo, const char *alias, const char *name,
									struct sov_buf *out, struct sov_error *err);
/* The provider has it now: what the spool holds under this name is out of date. */
extern void repo_spool_forget(const struct sov_repo *repo, const char *alias, const char *name);
extern bool repo_spool_has(const struct sov_repo *repo, const char *alias, const char *name);
extern void repo_spool_rename(struct sov_repo *repo);
extern void repo_spool_drop(struct sov_repo *repo, const char *alias);

/* repo_state.c */
extern enum sov_code repo_read_keyring(struct sov_repo *repo, struct sov_error *err);
extern enum sov_code repo_read_admin(struct sov_repo *repo, struct sov_error *err);
/* Give a provider that is behind what it lacks of keyring and administrator's head. */
extern void repo_write_back_admin(struct sov_repo *repo);
/* Remember the newest head, once enough providers have it for it to count.  Where
 * the state directory is full or cannot be written to, reading goes on. */
extern enum sov_code repo_anchor_admin(struct sov_repo *repo, struct sov_error *err);
/* The first 16 characters as a hexadecimal number. */
extern bool repo_parse_hex64(const char *s, uint64_t *out);

/* repo_keyring.c */
/* The object of this name and hash, of the first provider that has it, whatever lists say:
 * a provider can leave a name out, or put others before it. */
extern bool repo_get_hashed(struct sov_repo *repo, const char *name, const uint8_t want[32], struct sov_buf *object);
/* The administrator's chain names a keyring: with an older one, or another of its number,
 * that providers show, nothing goes on (SOV_E_QUORUM).  One that is newer is of a change
 * that was interrupted, or is under way. */
extern enum sov_code repo_check_keyring(struct sov_repo *repo, struct sov_error *err);
/* A keyring with a pair of content keys, and one without K_content; the handle goes on
 * with its keys, by one thread. */
extern enum sov_code repo_add_pair(struct sov_repo *repo, struct sov_custodian *content, struct sov_error *err);
extern enum sov_code repo_drop_content(struct sov_repo *repo, struct sov_error *err);

/* repo_content.c */
extern void repo_forget_content(struct sov_repo *repo);

/* repo_heads.c */
/* anchor: what this host had committed before the providers were asked anything,
 * or NULL; they may not show less. */
extern enum sov_code repo_read_heads(struct sov_repo *repo, const struct sov_head *anchor, struct sov_error *err);
/* As sov_repo_catalogue, condemned backups included. */
extern enum sov_code repo_catalogues(struct sov_repo *repo, struct sov_catalogue *out, struct sov_error *err);
/* SOV_E_STATE while a writer's newest head is refused for its date.  so: what is not done. */
extern enum sov_code repo_check_ahead(const struct sov_repo *repo, const char *so, struct sov_error *err);
extern const uint8_t *repo_writer_pub(const struct sov_repo *repo, uint64_t writer);

/* repo_writer.c */
/* Load this host's writer key if it has one; *have says so. */
extern enum sov_code repo_load_writer(struct sov_repo *repo, bool *have, struct sov_error *err);
extern enum sov_code repo_need_writer(struct sov_repo *repo, struct sov_error *err);

/* repo_commit.c */
/* This host's newest committed head by its local state; *have: there is one. */
extern enum sov_code repo_head_anchor(struct sov_repo *repo, struct sov_head *local, bool *have, struct sov_error *err);
/* The providers may not show less than that. */
extern enum sov_code repo_check_head_anchor(struct sov_repo *repo, const struct sov_head *local, struct sov_error *err);

/* repo_commit_admin.c */
/* Read the administrator's chain, after completing what a killed commit left. */
extern enum sov_code repo_complete_admin(struct sov_repo *repo, struct sov_error *err);

/* repo_everywhere.c */
struct repo_count { int now, was; };	/* holders by the map, and by the one before */
extern enum sov_code repo_put_everywhere(struct sov_repo *repo, const char *name, const struct sov_buf *object,
										 bool if_absent, struct repo_count *count, struct sov_error *err);
/* Enough of them, by both maps? */
extern enum sov_code repo_quorum(struct sov_repo *repo, const struct repo_count *count, const char *what, struct sov_error *err);
/* The same for an object that is never rewritten; it counts from n-k+1 providers on
 * (SOV_E_QUORUM), and is owed to the others. */
extern enum sov_code repo_put_counted(struct sov_repo *repo, const char *name, const struct sov_buf *object,
									  const char *what, struct sov_error *err);
extern uint64_t repo_next_time(uint64_t before);
extern void repo_state_path(const struct sov_repo *repo, const char *name, char *path, size_t cap);
/* Bring the very bytes that were under way to all; another good object of that name is a
 * conflict. */
extern enum sov_code repo_spread(struct sov_repo *repo, const char *name, const struct sov_buf *object, struct sov_error *err);

/* repo_whole.c: a head or a batch of the audit log, of this very name?  certified: by a
 * writer whom this handle's administrator's head has. */
extern enum sov_code repo_check_whole(struct sov_repo *repo, const char *name, const uint8_t *p, size_t len, bool certified, struct sov_error *err);

/* repo_stream.c */
/* Up to n shares of a run that agree, as they lie by one map (held by the caller),
 * leaving one slot out (-1: none); an error when fewer than k were found. */
extern enum sov_code repo_read_shares(struct sov_repo *repo, const struct sov_map *map, const uint8_t run[16], int skip_slot,
									  struct sov_run_share *shares, int *n, struct sov_error *err);

/* repo_map.c */
/* Between these two the map does not change, in this process and, for a put, on
 * this host: a change of the map (an administrator's commit) waits for puts under
 * way, and later puts see it.  *fd is -1 for reads. */
extern enum sov_code repo_map_hold(struct sov_repo *repo, bool put, int *fd, struct sov_error *err);
extern void repo_map_release(struct sov_repo *repo, int fd);
/* The map by which shards of this generation lie, NULL: there is none. */
extern const struct sov_map *repo_map_of(const struct sov_repo *repo, uint32_t generation);
/* Does it hold a position, or did it before it is left for good? */
extern bool repo_in_map(const struct sov_map *map, const uint8_t uuid[16]);
/* Is it in a map?  One that was left, though it has a section still, gets nothing
 * more: it is being emptied, maybe by another process. */
extern bool repo_takes_part(const struct sov_repo *repo, int provider);
/* Ask the providers for a newer map; true when there was one. */
extern bool repo_map_renew(struct sov_repo *repo);
/* How many shards an object of this name needs: k, and 1 where all are copies. */
extern uint8_t repo_needed(const struct sov_map *map, uint8_t class_, const char *id);

struct id_set;
/* backup_trust.c: packs that a verify could not read, for the next backup of this
 * host; all: it looked at every byte of every pack. */
extern void trust_note_lost(struct sov_repo *repo, const struct id_set *lost, bool all);

/* proven.c: by provider, how many bodies a verify read and how many problems it
 * left there. */
extern enum sov_code proven_write(struct sov_repo *repo, const uint64_t *checked, const uint64_t *bad, struct sov_error *err);

/* lease.c */
/* Is the backup in the administrator's list?  *time_us: since when. */
extern bool lease_condemned(const struct sov_admin_head *admin, const char *backup, uint64_t *time_us);
/* Take condemned backups out of a catalogue. */
extern void lease_hide_condemned(const struct sov_admin_head *admin, struct sov_catalogue *cat);

/* repo_place.c */
struct repo_place				/* where one slot of an object is or was */
{
	const struct sov_map_slot *pos;	/* of the map; valid while that is held */
	int			position;
	int			now, before;	/* provider indexes, -1: none */
	char		name_now[SOV_NAME_MAX], name_before[SOV_NAME_MAX];
};
extern enum sov_code repo_place(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation,
								uint8_t slot, uint16_t attempt, struct repo_place *place, struct sov_error *err);
/* Section name under which the debt of its position is kept. */
extern const char *repo_place_alias(const struct sov_repo *repo, const struct repo_place *place);
/* "; provider X, object Y: damaged", for an error message, of each slot that is so. */
extern void repo_list_places(struct sov_repo *repo, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt,
							 const bool absent[SOV_EC_MAX], const bool damaged[SOV_EC_MAX], char *dst, size_t cap);
/* The bytes of one slot, wherever they are.  SOV_E_NOTFOUND only when every
 * place that may hold it says so. */
extern enum sov_code repo_fetch(struct sov_repo *repo, const struct repo_place *place, uint64_t len,
								struct sov_buf *out, int *from, struct sov_error *err);

/* repo_object.c */
/* As sov_repo_get_sealed, of this generation only. */
extern enum sov_code repo_get_generation(struct sov_repo *repo, uint8_t class_, const char *id, uint32_t generation, uint16_t attempt,
										 struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err);

/* repo_older.c: the newest older version that passes the check, in *raw; false: none. */
typedef enum sov_code (*repo_check_fn) (void *ctx, struct sov_buf *raw, struct sov_error *err);
extern bool repo_older(struct sov_repo *repo, int provider, const char *name, repo_check_fn check, void *ctx, struct sov_buf *raw);
extern bool repo_older_at(struct sov_repo *repo, const struct repo_place *place, repo_check_fn check, void *ctx, struct sov_buf *raw);

#endif
