/*
 * sov_head.h - signed heads: the committed state of a repository.
 *
 * Two kinds of chain, same envelope:
 *   "h/<writer 16 hex>/<seq 16 hex>"  what one writer has committed
 *   "a/<seq 16 hex>"                  the administrator's: keyring, provider map,
 *                                     certificates, condemned packs
 * Each is stored whole at every provider and never rewritten.
 *
 * Envelope, little-endian:
 *   clear (28): magic 8 "SOVHEAD1" or "SOVADMN1" | format u16 = 1 | suite u16
 *               | sealed length u32 | nonce 12
 *   sealed under K_meta (AAD = clear): body | Ed25519 signature 64 over
 *               ("pg_sovereign head v1" | clear | body); tag 16
 *
 * Writer body:
 *   repository 16 | writer u64 | seq u64 | previous hash 32
 *   | n parents u8, each writer u64, seq u64, hash 32
 *   | administrator seq seen u64 | time us u64
 *   | system identifier u64
 *   | catalogue: present u8, object reference (sov_objref)
 *   | mark: timeline u32, segment name str, LSN u64, time us u64, stream 32
 *   | timeline u32 | LSN u64
 *   | audit seq u64, audit hash 32 | lease us u64 | lease administrator seq u64
 *     (the last of them not in heads of 0.1.0)
 * Administrator body:
 *   repository 16 | seq u64 | previous hash 32 | time us u64
 *   | keyring seq u64, keyring hash 32
 *   | controller pub 32 | administrator certificate
 *   | map: version u32, k u8, n u8, n x { provider uuid 16, alias str,
 *          previous uuid 16 (zeros: none), previous alias str }
 *   | n left u16, each { uuid 16, alias str, time u64 }
 *   | n writers u16, each { writer u64, certificate, revoked u8 }
 *   | n condemned u32, each str: backup id '@' time us (lease.c, prune.c)
 *   | only since k or n were changed once: generation u32 of the map, superseded u8,
 *     present u8, and with that the map before (as above) and its generation u32
 *   | only since a cluster was taken over (after pg_upgrade; the part before stands
 *     then in any case): n clusters u16, each { system identifier u64, plain u8,
 *     pg version u32, time us u64, mark as in a writer's body }, the current one last
 * Certificate: role u8 | subject u64 | pub 32 | not before us u64 | signature 64
 *   by its issuer over ("pg_sovereign certificate v1" | repository | preceding).
 *   Controller certifies the administrator, the administrator the writers.
 * hash of a head = SHA-256 of the whole object.
 */
#ifndef SOV_HEAD_H
#define SOV_HEAD_H

#include "sov_shard.h"

enum sov_cert_role { SOV_CERT_ADMIN = 1, SOV_CERT_WRITER = 2, SOV_CERT_AUDIT = 3 };
struct sov_cert
{
	uint8_t		role;
	uint64_t	subject;
	uint8_t		pub[32];
	uint64_t	not_before;
	uint8_t		sig[64];
};

/* Points at a metadata object. */
struct sov_objref
{
	char		id[SOV_ID_MAX];
	uint16_t	attempt;
	uint64_t	length;			/* of the plain bytes */
	uint8_t		stream[32];
};

struct sov_mark
{
	uint32_t	timeline;
	char		segment[32];	/* "" when nothing is archived yet */
	uint64_t	lsn;			/* end of the segment */
	uint64_t	time_us;
	uint8_t		stream[32];
};

struct sov_head
{
	uint64_t	writer, seq;
	uint8_t		prev[32];
	int			n_parents;
	struct { uint64_t writer, seq; uint8_t hash[32]; } parents[16];
	uint64_t	admin_seq;
	uint64_t	time_us;
	uint64_t	system_id;
	bool		has_catalogue;
	struct sov_objref catalogue;
	struct sov_mark mark;
	uint32_t	timeline;
	uint64_t	lsn;
	uint64_t	audit_seq;
	uint8_t		audit_hash[32];
	uint64_t	lease_us;		/* stamp of the lease, 0: none */
	uint64_t	lease_admin;	/* administrator's seq that its holder has seen */
	uint8_t		hash[32];		/* computed: of the object */
};

struct sov_map_slot
{
	uint8_t		uuid[16];
	char		alias[SOV_NAME_MAX];	/* section name when it was mapped */
	uint8_t		prev_uuid[16];	/* still being moved away from; zeros: none */
	char		prev_alias[SOV_NAME_MAX];
};
struct sov_map
{
	uint32_t	version;
	uint32_t	generation;		/* of the shards that are put by it; rises when k or n change */
	uint8_t		k, n;			/* n = 0: there is no such map */
	struct sov_map_slot pos[SOV_EC_MAX];
};
/* Position in the map of a slot of an object: slots rotate by id, so that
 * parity is exercised and load is even.  rot = first byte of SHA-256(class|id). */
extern int	sov_map_position(const struct sov_map *map, uint8_t class_, const char *id, int slot);
extern int	sov_map_slot_at(const struct sov_map *map, uint8_t class_, const char *id, int position);

#define SOV_WRITERS_MAX 64
#define SOV_WRITERS_FULL_HINT "begin a new repository; a host that keeps its state directory stays the same writer"
struct sov_admin_writer { uint64_t writer; struct sov_cert cert; bool revoked; };
/* A cluster whose backups and WAL are in the repository. */
struct sov_cluster
{
	uint64_t	system_id;
	bool		plain;			/* its WAL has names as the server gives them */
	uint32_t	pg_version;		/* 0: not known */
	uint64_t	since_us;		/* it became the current one; 0: the first */
	struct sov_mark mark;		/* the newest when it was left */
};
#define SOV_CLUSTERS_MAX 32
struct sov_admin_head
{
	uint64_t	seq;
	uint8_t		prev[32];
	uint64_t	time_us;
	uint64_t	keyring_seq;
	uint8_t		keyring_hash[32];
	uint8_t		controller_pub[32];
	struct sov_cert admin;
	struct sov_map map;
	/* While k and n change: the map before, by which older objects still lie. */
	struct sov_map was;
	bool		superseded;		/* everything lies by the new map too: the old shards go */
	int			n_left;
	struct { uint8_t uuid[16]; char alias[SOV_NAME_MAX]; uint64_t time_us; } left[32];
	int			n_writers;
	struct sov_admin_writer writers[SOV_WRITERS_MAX];
	uint32_t	n_condemned;
	char	  (*condemned)[SOV_ID_MAX];	/* malloc'd */
	int			n_clusters;		/* 0: never another one than the first */
	struct sov_cluster clusters[SOV_CLUSTERS_MAX];	/* the current one last */
	uint8_t		hash[32];
};

extern enum sov_code sov_cert_issue(const uint8_t repo[16], const uint8_t issuer_seed[32], enum sov_cert_role role,
									uint64_t subject, const uint8_t pub[32], uint64_t not_before,
									struct sov_cert *out, struct sov_error *err);
extern enum sov_code sov_cert_check(const uint8_t repo[16], const uint8_t issuer_pub[32], const struct sov_cert *cert,
									struct sov_error *err);

/* Encode, sign and seal; fills head->hash. */
extern enum sov_code sov_head_encode(const struct sov_repo_keys *keys, struct sov_head *head,
									 const uint8_t writer_seed[32], struct sov_buf *object, struct sov_error *err);
/* Open and parse; the signature is checked against writer_pub, or not at all
 * where writer_pub is NULL (then only the seal vouches). */
extern enum sov_code sov_head_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
									 const uint8_t *writer_pub, struct sov_head *head, struct sov_error *err);
extern enum sov_code sov_admin_encode(const struct sov_repo_keys *keys, struct sov_admin_head *head,
									  struct sov_buf *object, struct sov_error *err);
/* Checks the certificate chain from head->controller_pub and the signature. */
extern enum sov_code sov_admin_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len,
									  struct sov_admin_head *head, struct sov_error *err);
extern void sov_admin_head_free(struct sov_admin_head *head);
extern void sov_objref_write(struct sov_buf *b, const struct sov_objref *ref);
extern void sov_objref_read(struct sov_reader *r, struct sov_objref *ref);
extern void sov_mark_write(struct sov_buf *b, const struct sov_mark *mark);
extern void sov_mark_read(struct sov_reader *r, struct sov_mark *mark);

/* --- identity: who a provider is, "id" object at each provider ---
 * magic 8 "SOVIDENT" | format u16 | suite u16 | sealed length u32 | nonce 12
 * | sealed under K_meta: repository 16, provider uuid 16, created us u64; tag */
#define SOV_IDENTITY_OBJECT "id"
extern enum sov_code sov_identity_encode(const struct sov_repo_keys *keys, const uint8_t uuid[16], struct sov_buf *object, struct sov_error *err);
extern enum sov_code sov_identity_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, uint8_t uuid[16], struct sov_error *err);

#endif
