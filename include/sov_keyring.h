/*
 * sov_keyring.h - the repository's keys, their derivation tree and the keyring
 * object that carries them wrapped.
 *
 *   custodian: ROOT --AES-KWP--> KEK of the domain "repository"
 *   KEK --GCM, AAD = repository | domain | name | version id | purpose--> keys
 *
 * The keyring is an immutable object, stored whole at every provider under
 * "k/<seq 16 hex>-<first 16 hex of its SHA-256>"; the administrator's chain
 * names the current one by hash.  It can be found and opened with nothing but
 * a provider and the custodian: K_meta (fixed for ever) then opens the heads,
 * which say which keyring is current.
 *
 * A repository for write-only hosts has a pair of content keys instead of K_content:
 * the public one under the KEK, so that every host seals to it; the private one (and
 * K_content, where there was one before) in the domain "content", under a KEK of its
 * own that only the content custodian ([custody] content) unwraps.
 *
 * Layout of the object, little-endian:
 *   magic 8 "SOVKEYRG" | format u16 = 1, or 2 with a pair | flags u16 = 0 | seq u64
 *   repository uuid 16 | repository name str | created u64 (us)
 *   n_keks u16, each: domain str | root id 16 | custodian description str
 *                     | blob_len u16 | wrapped key, as the custodian gave it
 *                     (domain "repository", "content" with a pair, and
 *                     "database UUID" for each database
 *                     whose key was wrapped anew: an older backup holds it under a
 *                     root key that may be gone; while a root key is being changed
 *                     there are two of each)
 *   n_keys u16, each: domain str | name str | version id u32 | purpose u8
 *                     | state u8 | created u64 | nonce 12 | sealed key 32 | tag 16
 *                     | commitment 32
 *   mac 32: HMAC-SHA256(HKDF(KEK of "repository", "pg_sovereign keyring mac v1"),
 *           all preceding bytes)
 * str = u16 length + bytes.
 */
#ifndef SOV_KEYRING_H
#define SOV_KEYRING_H

#include "sov_bytes.h"
#include "sov_crypto.h"
#include "sov_custodian.h"

enum sov_key_purpose
{
	SOV_KEY_NAME = 1,			/* K_name: object names (fixed) */
	SOV_KEY_OUTER = 2,			/* K_outer: shard headers */
	SOV_KEY_VERIFY = 3,			/* K_verify: block tags */
	SOV_KEY_META = 4,			/* K_meta: heads, identity objects (fixed) */
	SOV_KEY_MAP = 5,			/* K_map: frame hashes */
	SOV_KEY_SALT = 6,			/* K_salt: stream salts, content hashes */
	SOV_KEY_CONTENT = 7,		/* K_content_v: ikm of runs; none with a pair */
	SOV_KEY_CONTROLLER = 8,		/* Ed25519 seed (embedded default only) */
	SOV_KEY_ADMIN = 9,			/* Ed25519 seed of the administrator */
	SOV_KEY_DATA = 10,			/* a column data key (later issue) */
	SOV_KEY_EQ = 11,
	SOV_KEY_CONTENT_PUBLIC = 12,	/* X25519: secrets of runs are sealed to it */
	SOV_KEY_CONTENT_PRIVATE = 13,	/* domain "content" */
	SOV_KEY_EPOCH = 14			/* KEK_e itself, in the server's memory only */
};
#define SOV_DOMAIN_REPOSITORY "repository"
#define SOV_DOMAIN_CONTENT "content"

#define SOV_FORMER_PAIRS 15

/* The opened keys of one repository.  One object, in secret memory. */
struct sov_repo_keys
{
	uint8_t		repo[16];
	char		repo_name[SOV_NAME_MAX];
	uint8_t		k_name[32], k_outer[32], k_verify[32], k_meta[32],
				k_map[32], k_salt[32], k_content[32];
	uint8_t		controller_seed[32], controller_pub[32];
	uint8_t		admin_seed[32], admin_pub[32];
	uint8_t		content_public[32], content_private[32];
	uint32_t	outer_version, content_version, pair_version;
	_Atomic bool has_content;	/* k_content: runs before there was a pair */
	bool		has_pair;		/* content_public: new runs are sealed to it */
	_Atomic bool has_private;	/* content_private and former: they can be read */
	int			n_former;		/* private keys of pairs before this one */
	struct { uint32_t version; uint8_t private[32]; } former[SOV_FORMER_PAIRS];
	struct sov_aead *outer, *meta, *map;	/* expanded */
	uint64_t	keyring_seq;
	uint8_t		keyring_hash[32];	/* SHA-256 of the object */
};

/* New repository: random keys and uuid, and the keyring object in *object.  With a
 * content custodian there is a pair instead of K_content; *keys has no private key. */
extern enum sov_code sov_keyring_create(struct sov_custodian *custodian, struct sov_custodian *content, const char *repo_name,
										struct sov_repo_keys **keys, struct sov_buf *object,
										struct sov_error *err);
/* Parse and open.  SOV_E_FORMAT for malformed, SOV_E_KEY for another root,
 * SOV_E_AUTH for tampered. */
extern enum sov_code sov_keyring_open(struct sov_custodian *custodian,
									  const uint8_t *object, size_t len,
									  struct sov_repo_keys **keys, struct sov_error *err);
/* Add what only the content custodian opens to keys of the same object. */
extern enum sov_code sov_keyring_open_content(struct sov_custodian *content, const uint8_t *object, size_t len,
											  struct sov_repo_keys *keys, struct sov_error *err);
/* A repository that was made without a pair gets one, in two steps, each under the next
 * number.  First the pair is added: K_content goes into the domain "content" and stays
 * with the other keys, so that what only a host needs of it can be sealed anew.  Then it
 * is taken from there, all other keys under a new KEK, so that who unwraps that one does
 * not open an earlier keyring. */
extern enum sov_code sov_keyring_add_pair(struct sov_custodian *custodian, struct sov_custodian *content,
										  const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_keyring_drop_content(struct sov_custodian *custodian, const uint8_t *object, size_t len,
											  struct sov_buf *out, struct sov_error *err);
/* A new pair in place of the one that there is, under the next number; next (the same
 * custodian, or another) keeps its private key, and the former ones. */
extern enum sov_code sov_keyring_rotate_content(struct sov_custodian *custodian, struct sov_custodian *content, struct sov_custodian *next,
												const uint8_t *object, size_t len, struct sov_buf *out, struct sov_error *err);
extern void sov_repo_keys_free(struct sov_repo_keys *keys);
/* The same keys under the next number, with these key-encryption keys instead.
 * with opens the keyring as it is; keks must hold one of "repository" that
 * was made from the same key (sov_keyring_open_kek). */
#define SOV_KEYRING_KEKS 64
#define SOV_KEYRING_FULL_HINT "while the root key changes each database has two: drop the extension where it is not used, and end a change with 'pg_sovereign key rotate-root --finish'"
struct sov_keyring_kek
{
	char		domain[SOV_NAME_MAX];
	uint8_t		root_id[16];
	char		custodian[256];
	uint16_t	len;
	uint8_t		blob[SOV_KWP_MAX];
};
extern enum sov_code sov_keyring_rewrap(struct sov_custodian *with, const uint8_t *object, size_t len,
										const struct sov_keyring_kek *keks, int n, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_keyring_open_kek(struct sov_custodian *with, const uint8_t *object, size_t len,
										  uint8_t kek[32], struct sov_error *err);
/* What can be read without any key; for "key where" and messages. */
struct sov_keyring_info
{
	uint8_t		repo[16];
	char		repo_name[SOV_NAME_MAX];
	uint64_t	seq;
	uint64_t	created;
	uint8_t		root_id[16];	/* of the domain "repository" */
	char		custodian[256];
	int			n_keks;
	struct sov_keyring_kek keks[SOV_KEYRING_KEKS];
	int			n_keys;
	struct { char domain[SOV_NAME_MAX], name[SOV_NAME_MAX]; uint32_t version; uint8_t purpose; uint8_t state; uint64_t created; } keys[64];
};
/* Is there a key of this purpose in this domain? */
extern bool sov_keyring_has(const struct sov_keyring_info *info, const char *domain, uint8_t purpose);
/* Who opens the domain "content"; NULL: the repository has no pair. */
extern const struct sov_keyring_kek *sov_keyring_content(const struct sov_keyring_info *info);
extern enum sov_code sov_keyring_describe(const uint8_t *object, size_t len,
										  struct sov_keyring_info *info, struct sov_error *err);
/*
 * The current keys of erasable persons of a database (sov_subject.h) are an object of
 * their own, "k/s-<32 hex of its SHA-256>", too large for the keyring, which names it:
 * an entry beside the wrapped keys with domain "subjects UUID" (of the database), an
 * empty root id, and the SHA-256 in place of a wrapped key.
 *   magic 8 "SOVSUBJ1" | nonce 12 | tag 16 | the rest sealed under K_meta, AAD = magic |
 *   database uuid: JSON, as the SQL function subject_state() gives it
 */
#define SOV_SUBJECTS_PREFIX "k/s-"
#define SOV_SUBJECTS_DOMAIN "subjects "
static inline bool
sov_keyring_names_subjects(const struct sov_keyring_kek *k)
{
	return strncmp(k->domain, SOV_SUBJECTS_DOMAIN, sizeof SOV_SUBJECTS_DOMAIN - 1) == 0;
}
extern void sov_keyring_subjects_name(const uint8_t hash[32], char dst[SOV_NAME_MAX]);
/* Object name of a keyring. */
extern void sov_keyring_object_name(uint64_t seq, const uint8_t hash[32], char dst[SOV_NAME_MAX]);

#endif
