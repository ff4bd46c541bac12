/*
 * keyring_int.h - what the files keyring*.c share.
 */
#ifndef KEYRING_INT_H
#define KEYRING_INT_H

#include "sov_keyring.h"

#define KEYRING_MAX_KEYS 64

struct keyring_wrapped
{
	char		domain[SOV_NAME_MAX];
	char		name[SOV_NAME_MAX];
	uint32_t	version;
	uint8_t		purpose;
	uint8_t		state;
	uint64_t	created;
	uint8_t		nonce[12];
	uint8_t		sealed[32];
	uint8_t		tag[16];
	uint8_t		commitment[32];
};

struct keyring_parsed
{
	uint8_t		repo[16];
	char		repo_name[SOV_NAME_MAX];
	uint64_t	seq;
	uint64_t	created;
	int			n_keks;
	struct sov_keyring_kek keks[SOV_KEYRING_KEKS];
	int			n_keys;
	struct keyring_wrapped keys[KEYRING_MAX_KEYS];
	size_t		maced;			/* length that the MAC covers */
	uint8_t		mac[32];
};

/* keyring_object.c */
extern enum sov_code keyring_parse(const uint8_t *object, size_t len, struct keyring_parsed *p, struct sov_error *err);
/* k gets nonce, sealed key, tag and commitment; the rest of it is what they are bound to. */
extern enum sov_code keyring_wrap_key(const struct sov_aead *kek, const uint8_t repo[16], struct keyring_wrapped *k, const uint8_t key[32], struct sov_error *err);
extern enum sov_code keyring_unwrap_key(const struct sov_aead *kek, const uint8_t repo[16], const struct keyring_wrapped *k, uint8_t key[32], struct sov_error *err);
extern enum sov_code keyring_mac(const uint8_t kek[32], const uint8_t *bytes, size_t len, uint8_t mac[32], struct sov_error *err);
/* The object of what p holds, under the MAC of kek. */
extern enum sov_code keyring_write(const struct keyring_parsed *p, const uint8_t kek[32], struct sov_buf *b, struct sov_error *err);

/* keyring.c */
/* Wrapped by its custodian, who has given it back once. */
extern enum sov_code keyring_add_kek(struct keyring_parsed *p, const char *domain, struct sov_custodian *c, const uint8_t kek[32], struct sov_error *err);
extern enum sov_code keyring_add_key(struct keyring_parsed *p, const char *domain, const char *name, uint8_t purpose, uint32_t version,
									 const struct sov_aead *kek, const uint8_t key[32], struct sov_error *err);
/* The object of keys, and of what p holds of other domains, under a new KEK; with a new
 * pair where content is not NULL.  keep: K_content stays with the hosts' keys. */
extern enum sov_code keyring_write_new(struct keyring_parsed *p, struct sov_custodian *custodian, struct sov_custodian *content,
									   struct sov_repo_keys *keys, bool keep, struct sov_buf *b, struct sov_error *err);
extern enum sov_code keyring_unwrap_kek(struct sov_custodian *custodian, const struct keyring_parsed *p, const char *domain, uint8_t kek[32], struct sov_error *err);
/* Parsed, and its MAC checked under the KEK that the custodian unwraps. */
extern enum sov_code keyring_open_parsed(struct sov_custodian *custodian, const uint8_t *object, size_t len, struct keyring_parsed *p, uint8_t kek[32], struct sov_error *err);
extern enum sov_code keyring_open_keys(const struct keyring_parsed *p, const uint8_t kek[32], struct sov_repo_keys *keys, struct sov_error *err);

/* keyring_pair.c */
extern enum sov_code keyring_new_pair(struct keyring_parsed *p, struct sov_custodian *content, struct sov_custodian *custodian,
									  struct sov_repo_keys *keys, struct sov_error *err);

#endif
