/*
 * sov_custodian.h - where a root key lives.
 *
 * A custodian wraps and unwraps key-encryption keys with AES-KWP under a root
 * key that never leaves it (for "file": never leaves locked memory).  Root
 * keys are never written at a provider, in PGDATA or in a message.
 *
 * Where the root key can live (extension/doc/custody.md tells how to set each up):
 *   file:/absolute/path            below
 *   command:/program ARG...        any program that speaks the protocol below
 *   pkcs11:token=T;object=O;...    RFC 7512; an HSM that wraps and unwraps
 *   vault:https://HOST:PORT/MOUNT/keys/NAME?token-file=/FILE...
 *                                  Vault or OpenBao, which encrypts and decrypts
 *   kmip:HOST:PORT/NAME?cert-file=/FILE&key-file=/FILE...
 *                                  a KMIP server, which does the same
 *   quorum:/absolute/path          split among people, who joined it (sov_quorum.h)
 *
 * "file" and "command" run in the process that asks; "quorum" speaks the protocol below
 * to the process that holds the joined root key.  The others run in a helper, "pg_sovereign custodian URI", which speaks the protocol of "command":
 * so no module of an HSM's vendor is ever loaded into a server process, and a
 * module that hangs or crashes costs its call, not its caller.  Every call has a
 * time limit (SOV_CUSTODIAN_WAIT_MS); past it the program is killed.
 *
 * Protocol: one line of a request on standard input, one line of an answer on
 * standard output, until standard input ends.
 *   describe        ->  ok ROOT-UUID GRADE TEXT     (GRADE: none, effort, destroy)
 *   wrap HEX64      ->  ok HEX                      (at most 2 * SOV_KWP_MAX digits)
 *   unwrap HEX      ->  ok HEX64
 *   anything        ->  error CODE MESSAGE[<tab>HINT]   (CODE: a name of sov_code_name,
 *                       "key" for most; with "+" appended the same may work later)
 *
 * "file:/absolute/path": 32 random bytes as text, mode 0600 or 0400, owned by
 * the user that reads it (or root), outside PGDATA and outside every folder
 * provider (core checks what it can know from the configuration).
 * File layout (text): line 1 "pg_sovereign root key v1", line 2 "id UUID",
 * line 3 "key BASE64 of 32 bytes", line 4 "check HEX", the first 8 bytes of
 * sov_commit(key, "root-file"): a damaged file is told from a wrong one.
 */
#ifndef SOV_CUSTODIAN_H
#define SOV_CUSTODIAN_H

#include "sov_bytes.h"
#include "sov_config.h"
#include "sov_crypto.h"

struct sov_custodian;

struct sov_custodian_ops
{
	const char *scheme;			/* "file" */
	/* uri is the whole configured value. */
	enum sov_code (*open) (const char *uri, struct sov_custodian **out, struct sov_error *err);
	enum sov_code (*wrap) (struct sov_custodian *c, const uint8_t key[32],
						   uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err);
	/* SOV_E_KEY when another root wrapped it (message names both ids where known). */
	enum sov_code (*unwrap) (struct sov_custodian *c, const uint8_t *blob, size_t blob_len,
							 uint8_t key[32], struct sov_error *err);
	/* One line for people: "file /etc/pg_sovereign/root.key, root 1f0c..." */
	void		(*describe) (struct sov_custodian *c, char *dst, size_t cap);
	void		(*close) (struct sov_custodian *c);
};

/* Can it destroy a key for good?  Certificates of erasure name it. */
enum sov_custodian_grade
{
	SOV_GRADE_NONE,				/* no: copies are in the hands of people */
	SOV_GRADE_EFFORT,			/* a file is removed, its blocks may survive */
	SOV_GRADE_DESTROY			/* a device or service destroys it (not its backups) */
};
extern const char *sov_custodian_grade_name(enum sov_custodian_grade grade);

struct sov_custodian
{
	const struct sov_custodian_ops *ops;
	uint8_t		root_id[16];	/* identifies the root key, not secret */
	enum sov_custodian_grade grade;
};

#define SOV_CUSTODIAN_WAIT_MS 10000
/* Of a line of the protocol, with its end */
#define SOV_CUSTODIAN_LINE 2048
/* A prompt for a PIN waits for a person. */
#define SOV_CUSTODIAN_PROMPT_MS 120000

extern enum sov_code sov_custodian_open(const char *uri, struct sov_custodian **out, struct sov_error *err);
extern void sov_custodian_close(struct sov_custodian *c);

/*
 * What is stored for a key-encryption key: one wrapped key as a custodian gave it,
 * or, while its root key is being changed, several of them:
 *   magic 4 "SOVW" | n u8 | n times: root id 16 | length u16 | wrapped key
 */
#define SOV_WRAPPED_ROOTS 2
#define SOV_WRAPPED_MAX 320
struct sov_wrapped
{
	uint8_t		root_id[16];
	size_t		len;
	uint8_t		blob[SOV_KWP_MAX];
};
/* How many there are; 0: a single one, as the custodian gave it. */
extern int	sov_wrapped_split(const uint8_t *stored, size_t len, struct sov_wrapped out[SOV_WRAPPED_ROOTS]);
/* Returns the length; one alone is stored as it is. */
extern size_t sov_wrapped_join(const struct sov_wrapped *w, int n, uint8_t stored[SOV_WRAPPED_MAX]);
/* Unwrap what is stored: the one of this custodian's root key. */
extern enum sov_code sov_custodian_unwrap(struct sov_custodian *c, const uint8_t *stored, size_t len,
										  uint8_t key[32], struct sov_error *err);
/* Wrap, and prove that it can be unwrapped again. */
extern enum sov_code sov_custodian_wrap_proven(struct sov_custodian *c, const uint8_t key[32],
											   struct sov_wrapped *out, struct sov_error *err);

/* The program pg_sovereign, for the custodians that need a helper; NULL: none.
 * The text must stay. */
extern void sov_custodian_set_program(const char *path);
/* In the helper, and there alone: open it in this process.  What links this links
 * the libraries of all custodians. */
extern enum sov_code sov_custodian_open_here(const char *uri, struct sov_custodian **out, struct sov_error *err);
/* Once, first in the helper: whatever libcurl, libcrypto and jansson free from here on
 * is wiped.  False when they were in use already. */
extern bool sov_custodian_wipe_freed(void);
/* Is this the name of a custodian ("pkcs11"), and is the URI one that can be
 * opened?  For the configuration: nothing is opened; a PIN or token in it is refused. */
extern enum sov_code sov_custodian_check_uri(const char *uri, struct sov_error *err);
/* Make a new root key at a custodian, from the helper; SOV_E_EXISTS when there is one. */
extern enum sov_code sov_custodian_create_here(const char *uri, struct sov_error *err);

/*
 * Erasable keys (sov_subject.h): each epoch has a key of its own, made as a root key is,
 * beside [custody] epochs, or root where that is not given: for "file" PATH.epoch-ID, for
 * "pkcs11", "vault" and "kmip" a key NAME-epoch-ID, ID being 32 hexadecimal digits.
 * "command" and "quorum" have no way to destroy one key (SOV_E_UNSUPPORTED).
 */
extern enum sov_code sov_custodian_epoch_uri(const struct sov_config *cfg, const uint8_t epoch[16], char uri[1200], struct sov_error *err);
extern enum sov_code sov_custodian_open_epoch(const struct sov_config *cfg, const uint8_t epoch[16], struct sov_custodian **out, struct sov_error *err);
/* In the command alone, as sov_custodian_create_here.  Made already: fine. */
extern enum sov_code sov_custodian_create_epoch_here(const struct sov_config *cfg, const uint8_t epoch[16], struct sov_error *err);
/* Destroyed already: fine.  Returns when the custodian does not open it any more. */
extern enum sov_code sov_custodian_destroy_epoch_here(const struct sov_config *cfg, const uint8_t epoch[16], struct sov_error *err);

/* A PIN, a token or a row of a share: the first line of a file that nobody else may read
 * (a path, "file:" and a path, or a credential: sov_credential.h),
 * or with path NULL asked for at the terminal, unseen (SOV_E_CANCELLED on Ctrl-C).  secret
 * is memory of sov_secret_alloc. */
extern enum sov_code sov_custodian_read_secret(const char *path, const char *what, char *secret, size_t cap, struct sov_error *err);

/* Make a new root key file (O_EXCL, 0600); SOV_E_EXISTS when it is there.
 * *root_id receives its id. */
extern enum sov_code sov_custodian_file_create(const char *path, uint8_t root_id[16], struct sov_error *err);
/* Overwrite and remove one: what a disk or a file system keeps of it is out of reach.
 * SOV_E_NOTFOUND when there is none. */
extern enum sov_code sov_custodian_file_destroy(const char *path, struct sov_error *err);

/* Refuse a root key in a place that a hoster or a backup reaches: a file inside the
 * data directory or inside a folder provider (real paths are compared), a service on
 * the host of a provider's endpoint. */
extern enum sov_code sov_custodian_check_place(const struct sov_config *cfg, struct sov_error *err);

#endif
