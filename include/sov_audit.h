/*
 * sov_audit.h - the audit log: who opened what for which purpose, and who changed
 * what decides about it.
 *
 * Whoever notes something writes a file into the queue (a directory of the host);
 * one process at a time takes the queue in: it numbers the entries, chains them by
 * hash, signs them in batches and brings these to every provider.  Each host has a
 * chain of its own; its key signs one batch, certifies the next key in it, and is
 * erased, so that whoever takes the host over can sign nothing in the past.
 *
 * Entry, little-endian (str = u16 length and bytes):
 *   time us u64 | event u8 | outcome u8 | process u32 | opened u64 | query id u64
 *   | user str | current user str | client str | application str | database str
 *   | key str | purpose str | text str
 * In a queue file: magic 8 "SOVAUDQ1" | each: length u32, entry.
 * In the chain: seq u64 | entry;
 *   hash(0) = SHA-256("pg_sovereign audit chain v1" | repository 16 | chain u64)
 *   hash(seq) = SHA-256("pg_sovereign audit entry v1" | hash(seq - 1) | seq u64 | entry)
 *
 * Batch "l/<chain 16 hex>/<batch 16 hex>" and beat "l/<chain 16 hex>/beat": whole at
 * every provider.  A batch is never rewritten; the beat is, every interval, and says
 * how far the log is, so that cutting the end off shows.
 *   clear (28): magic 8 "SOVAUDB1" or "SOVAUDT1" | format u16 = 1 | suite u16
 *               | sealed length u32 | nonce 12
 *   sealed under HKDF(K_meta, "pg_sovereign audit v1") (AAD = clear): body
 *               | Ed25519 signature 64 over ("pg_sovereign audit v1" | clear | body);
 *               tag 16
 * Batch body: repository 16 | chain u64 | writer u64 | batch u64 (1 is the first)
 *   | SHA-256 of the batch object before 32 (zeros) | its time us u64 (0)
 *   | time us u64, never before the one before | signer 32 | next signer 32
 *   | certificate: present u8 (in batch 1), not before us u64, signature 64: role
 *     audit, of the signer, by the writer (sov_head.h)
 *   | first seq u64 | hash before 32 | n u32, each: length u32, entry | hash after 32
 * Beat body: repository 16 | chain u64 | batch u64 | seq u64 | hash 32 | time us u64
 *   | closed u8; signed by the next signer of that batch.
 *
 * Local, in DIRECTORY = [audit] directory, default "audit" in the state directory,
 * mode 0700, files 0600:
 *   queue/          files of entries to take in, by time
 *   wait/           those that are taken in and that somebody waits for
 *   log             what this host has taken in, append-only: length u32, seq u64 |
 *                   entry, hash 32
 *   chain.key       chain, counters and the seed of the next batch, sealed under
 *                   HKDF(K_meta, "pg_sovereign audit key v1"), replaced whole
 *   pending/NNNN    batches that n-k+1 providers do not have yet
 *   bad/            queue files that could not be understood; each is an entry
 */
#ifndef SOV_AUDIT_H
#define SOV_AUDIT_H

#include "sov_repo.h"

enum sov_audit_event
{
	SOV_AUDIT_START = 1,		/* a chain begins; text: why */
	SOV_AUDIT_USE,				/* first use of a key for a purpose in a session, or any
								 * of a strict key or under break-glass */
	SOV_AUDIT_SESSION,			/* what a session opened with a key since its entry before */
	SOV_AUDIT_DENIED,
	SOV_AUDIT_GRANT,			/* grants, purposes, rules of a key; text: what */
	SOV_AUDIT_KEY,				/* create, rotate, drop */
	SOV_AUDIT_BREAK_GLASS,
	SOV_AUDIT_APPROVAL,			/* asked for, given, refused: two-person rule */
	SOV_AUDIT_LEASE,			/* lock, unlock, lease begins or ends */
	SOV_AUDIT_BACKUP,
	SOV_AUDIT_RESTORE,
	SOV_AUDIT_PRUNE,
	SOV_AUDIT_APPLY,
	SOV_AUDIT_VERIFY,
	SOV_AUDIT_CONFIG,			/* the configuration file is another one */
	SOV_AUDIT_DAMAGED,			/* a queue file could not be understood */
	SOV_AUDIT_LOST				/* entries that could not be kept; text: how many */
};
#define SOV_AUDIT_EVENT_LAST SOV_AUDIT_LOST
enum sov_audit_outcome { SOV_AUDIT_DONE = 0, SOV_AUDIT_REFUSED, SOV_AUDIT_FAILED, SOV_AUDIT_BEGUN };

struct sov_audit_entry
{
	uint64_t	seq;			/* 0: not in the chain yet */
	uint64_t	time_us;
	uint8_t		event;			/* enum sov_audit_event */
	uint8_t		outcome;		/* enum sov_audit_outcome */
	uint32_t	process;
	uint64_t	opened;			/* values opened, 0 where it means nothing */
	uint64_t	query_id;		/* compute_query_id, 0: none */
	char		user[SOV_NAME_MAX];	/* who logged in */
	char		current_user[SOV_NAME_MAX];
	char		client[SOV_NAME_MAX];	/* address, "local" */
	char		application[SOV_NAME_MAX];
	char		database[SOV_NAME_MAX];
	char		key[SOV_NAME_MAX];
	char		purpose[256];
	char		text[512];		/* what; never a literal of a statement */
};

#define SOV_AUDIT_BATCH_MAX 4096	/* entries */
#define SOV_AUDIT_ENTRY_MAX 2048	/* bytes of one, encoded */

/* --- entries --- */
extern const char *sov_audit_event_name(int event);		/* "use", "break-glass", ...; "?" */
extern const char *sov_audit_outcome_name(int outcome);
/* Encoded without seq, after its length; texts are cut to their fields. */
extern void sov_audit_entry_write(struct sov_buf *b, const struct sov_audit_entry *e);
/* The next entry (length and all); sets r->bad when it is malformed. */
extern void sov_audit_entry_read(struct sov_reader *r, struct sov_audit_entry *e);
/* "SOVAUDQ1" and what follows; *r stands at the first entry.  SOV_E_FORMAT. */
extern enum sov_code sov_audit_queue_check(const uint8_t *p, size_t len, struct sov_reader *r, struct sov_error *err);

/* --- noting --- */
/* Where the audit log of this configuration lies; false when it has none. */
extern bool sov_audit_directory(const struct sov_config *cfg, char *dst, size_t cap);
/* Put entries (at most 1024) into the queue in one file.  durable: synced before it
 * returns.  waits (may be NULL) gets a name that sov_audit_waiting() knows until
 * n-k+1 providers hold them. */
extern enum sov_code sov_audit_queue(const char *directory, const struct sov_audit_entry *entries, int n,
									 bool durable, char *waits, size_t cap, struct sov_error *err);
extern bool sov_audit_waiting(const char *waits);
typedef bool (*sov_audit_entry_fn) (void *ctx, const struct sov_audit_entry *e);	/* false: no more */
/* What this host has, as it stands, without keys and so without proof: its log in
 * order, then the queue (seq 0).  What is being taken in may come twice or be left out. */
extern enum sov_code sov_audit_read(const char *directory, uint64_t since_us, sov_audit_entry_fn entry, void *ctx, struct sov_error *err);

/* --- the chain --- */
struct sov_audit_shipped { uint64_t entries, batches; uint64_t seq; uint64_t waiting; };
/* Take in the queue, bring batches to the providers, renew the beat.  One at a time
 * per host: SOV_E_STATE when another process does.  SOV_E_QUORUM when fewer than
 * n-k+1 took it: nothing is lost, the next call goes on. */
extern enum sov_code sov_audit_ship(struct sov_repo *repo, struct sov_audit_shipped *done, struct sov_error *err);
/* The same, and say that this host's chain ends here; the next call begins another. */
extern enum sov_code sov_audit_close(struct sov_repo *repo, struct sov_error *err);
/* What is shipped, into the head that is being made; without a log: as it was. */
extern void sov_audit_stamp(struct sov_repo *repo, struct sov_head *head);

struct sov_audit_batch
{
	uint64_t	chain, writer, batch;
	uint8_t		prev[32];
	uint64_t	prev_us, time_us;
	uint8_t		signer[32], next[32];
	bool		has_cert;
	struct sov_cert cert;		/* role, subject and pub follow from the rest */
	uint64_t	first_seq;
	uint8_t		before[32], after[32];
	uint32_t	n;
	struct sov_audit_entry *entries;	/* malloc'd, with seq */
	uint8_t		hash[32];		/* computed: of the object */
};
struct sov_audit_beat
{
	uint64_t	chain, batch, seq, time_us;
	uint8_t		hash[32];
	bool		closed;
};
extern enum sov_code sov_audit_chain_start(const uint8_t repo[16], uint64_t chain, uint8_t hash[32], struct sov_error *err);
/* hash of entry e with e->seq, from the hash before it; in place. */
extern enum sov_code sov_audit_chain_next(uint8_t hash[32], const struct sov_audit_entry *e, struct sov_error *err);
/* Fills after and hash; b->entries have their numbers. */
extern enum sov_code sov_audit_batch_encode(const struct sov_repo_keys *keys, struct sov_audit_batch *b,
											const uint8_t seed[32], struct sov_buf *object, struct sov_error *err);
/* Seal, signature by its own signer, and the hashes inside are checked; whether it
 * follows from the one before is the caller's to check. */
extern enum sov_code sov_audit_batch_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
											struct sov_audit_batch *b, struct sov_error *err);
extern void sov_audit_batch_free(struct sov_audit_batch *b);
extern enum sov_code sov_audit_beat_encode(const struct sov_repo_keys *keys, const struct sov_audit_beat *b,
										   const uint8_t seed[32], struct sov_buf *object, struct sov_error *err);
/* signer NULL: its signature is not checked. */
extern enum sov_code sov_audit_beat_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
										   const uint8_t *signer, struct sov_audit_beat *b, struct sov_error *err);

/* --- verifying --- */
struct sov_audit_verify_options
{
	const uint64_t *ended;		/* chains that are known to have ended without a word */
	int			n_ended;
	uint64_t	silent_us;		/* a chain that is neither closed nor this host's, and
								 * older than that, has ended */
	sov_audit_entry_fn entry;	/* every entry that verifies, in order; may be NULL */
	/* What is wrong, for people; each counts. */
	void		(*problem) (void *ctx, const char *message);
	void	   *ctx;
};
struct sov_audit_verify_result
{
	uint64_t	chains, batches, entries, problems;
	uint64_t	newest_us;		/* time of the newest batch or beat */
	bool		local;			/* this host's own log was compared too */
};
/* Everything that was removed, changed, put elsewhere or cut off, at any provider
 * and on this host. */
extern enum sov_code sov_audit_verify(struct sov_repo *repo, const struct sov_audit_verify_options *opt,
									  struct sov_audit_verify_result *res, struct sov_error *err);

/* --- retention --- */
/* Delete batches that are older than cfg.audit_days, from the start of each chain,
 * never the last one; *n counts them.  dry_run: only count. */
extern enum sov_code sov_audit_prune(struct sov_repo *repo, bool dry_run, uint64_t *n, struct sov_error *err);

#endif
