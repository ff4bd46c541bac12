/*
 * sov_subject.h - secrets of persons (subjects), in groups under an epoch key.
 *
 *   custodian: epoch key --as a root key does--> KEK_e, 32 random bytes
 *   KEK_e --GCM, AAD--> group keys --GCM, AAD--> the secrets of 256 persons each
 *
 * A person's number is group * 256 + place; a group's number is below 2^55 and not 0.  What is stored is of
 * use only while the custodian has the epoch key: an erasure seals the groups concerned
 * anew without the secret, wraps all group keys under KEK_e+1 and then has the epoch key
 * e destroyed, so that every older copy of a group dies with it.
 *
 *   wrapped 60   nonce 12 | group key 32 | tag 16; AAD = "pg_sovereign group key v1" str
 *                | database id 16 | epoch id 16 | group u64
 *   commitment   sov_commit(group key, "subject group")
 *   sealed       nonce 12 | living 32 (bit i of byte i/8: place i has a secret)
 *                | 256 secrets of 32 | tag 16; AAD = "pg_sovereign group v1" str
 *                | database id 16 | group u64
 * A group key seals once.
 */
#ifndef SOV_SUBJECT_H
#define SOV_SUBJECT_H

#include "sov_crypto.h"

#define SOV_GROUP_SUBJECTS 256
#define SOV_GROUP_LIVING 32
#define SOV_GROUP_PLAIN (SOV_GROUP_LIVING + SOV_GROUP_SUBJECTS * SOV_KEY_LEN)
#define SOV_GROUP_SEALED (SOV_NONCE_LEN + SOV_GROUP_PLAIN + SOV_TAG_LEN)
#define SOV_GROUP_WRAPPED (SOV_NONCE_LEN + SOV_KEY_LEN + SOV_TAG_LEN)
#define SOV_EPOCH_COMMIT "epoch KEK"

struct sov_group
{
	uint64_t	number;
	uint8_t		wrapped[SOV_GROUP_WRAPPED];
	uint8_t		commitment[32];
	uint8_t		sealed[SOV_GROUP_SEALED];
};

/* Under which key: a KEK_e, of this database and epoch. */
struct sov_epoch_key
{
	const struct sov_aead *kek;
	uint8_t		database[16];
	uint8_t		epoch[16];
};

/* Secret memory for one call, made once: an expanded key and a key. */
struct sov_group_room;
extern struct sov_group_room *sov_group_room_new(struct sov_error *err);
extern void sov_group_room_free(struct sov_group_room *room);

/* Random secrets for all places. */
extern enum sov_code sov_group_random(uint8_t plain[SOV_GROUP_PLAIN], struct sov_error *err);
/* Seal under a new group key; g->number is given. */
extern enum sov_code sov_group_seal(const struct sov_epoch_key *k, struct sov_group_room *room, const uint8_t plain[SOV_GROUP_PLAIN],
									struct sov_group *g, struct sov_error *err);
/* SOV_E_AUTH when it is not of this epoch, or was changed. */
extern enum sov_code sov_group_open(const struct sov_epoch_key *k, struct sov_group_room *room, const struct sov_group *g,
									uint8_t plain[SOV_GROUP_PLAIN], struct sov_error *err);
/* The group key from one epoch to another: g->wrapped alone changes. */
extern enum sov_code sov_group_rewrap(const struct sov_epoch_key *from, const struct sov_epoch_key *to, struct sov_group_room *room,
									  struct sov_group *g, struct sov_error *err);

static inline bool
sov_group_lives(const uint8_t *plain, int place)
{
	return (plain[place / 8] >> place % 8 & 1) != 0;
}

/* Take a person's secret out. */
extern void sov_group_erase(uint8_t plain[SOV_GROUP_PLAIN], int place);

#endif
