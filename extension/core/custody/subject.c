/*
 * subject.c - groups of persons' secrets (layout: sov_subject.h).
 */
#include "sov_subject.h"

#include <string.h>

#include "sov_bytes.h"

struct sov_group_room
{
	uint8_t		key[SOV_KEY_LEN];
	_Alignas(64) uint8_t expanded[];
};

struct sov_group_room *
sov_group_room_new(struct sov_error *err)
{
	return sov_secret_alloc_nofork(sizeof(struct sov_group_room) + sov_aead_size(), err);
}

void
sov_group_room_free(struct sov_group_room *room)
{
	sov_secret_free(room);
}

static void
wipe(struct sov_group_room *room)
{
	sov_wipe(room, sizeof *room + sov_aead_size());
}

#define AAD_CAP 80

static size_t
make_aad(uint8_t aad[AAD_CAP], const char *label, const struct sov_epoch_key *k, bool with_epoch, uint64_t number)
{
	size_t		n = strlen(label);

	sov_put_le16(aad, (uint16_t) n);
	memcpy(aad + 2, label, n);
	n += 2;
	memcpy(aad + n, k->database, 16);
	n += 16;
	if (with_epoch)
	{
		memcpy(aad + n, k->epoch, 16);
		n += 16;
	}
	sov_put_le64(aad + n, number);
	return n + 8;
}

#define KEY_LABEL "pg_sovereign group key v1"
#define GROUP_LABEL "pg_sovereign group v1"

static enum sov_code
wrap(const struct sov_epoch_key *k, const struct sov_group_room *room, struct sov_group *g, struct sov_error *err)
{
	uint8_t		aad[AAD_CAP];
	enum sov_code rc = sov_random(g->wrapped, SOV_NONCE_LEN, err);

	if (rc == SOV_OK)
		rc = sov_aead_seal(k->kek, g->wrapped, aad, make_aad(aad, KEY_LABEL, k, true, g->number),
						   room->key, SOV_KEY_LEN, g->wrapped + SOV_NONCE_LEN, g->wrapped + SOV_NONCE_LEN + SOV_KEY_LEN, err);
	return rc;
}

static enum sov_code
unwrap(const struct sov_epoch_key *k, struct sov_group_room *room, const struct sov_group *g, struct sov_error *err)
{
	uint8_t		aad[AAD_CAP],
				got[32];
	enum sov_code rc = sov_aead_open(k->kek, g->wrapped, aad, make_aad(aad, KEY_LABEL, k, true, g->number),
									 g->wrapped + SOV_NONCE_LEN, SOV_KEY_LEN, g->wrapped + SOV_NONCE_LEN + SOV_KEY_LEN, room->key, err);

	if (rc == SOV_OK)
		rc = sov_commit(room->key, "subject group", got, err);
	if (rc == SOV_OK && !sov_equal(got, g->commitment, sizeof got))
		rc = SOV_E_AUTH;
	if (rc == SOV_E_AUTH)
		sov_fail(err, SOV_E_AUTH, "after a restore run \"pg_sovereign key subjects\"",
				 "group %llu of persons' keys does not open: its row was changed, or is of another epoch", (unsigned long long) g->number);
	return rc;
}

enum sov_code
sov_group_random(uint8_t plain[SOV_GROUP_PLAIN], struct sov_error *err)
{
	memset(plain, 0xff, SOV_GROUP_LIVING);
	return sov_random(plain + SOV_GROUP_LIVING, SOV_GROUP_PLAIN - SOV_GROUP_LIVING, err);
}

enum sov_code
sov_group_seal(const struct sov_epoch_key *k, struct sov_group_room *room, const uint8_t plain[SOV_GROUP_PLAIN],
			   struct sov_group *g, struct sov_error *err)
{
	uint8_t		aad[AAD_CAP];
	uint8_t    *c = g->sealed + SOV_NONCE_LEN;
	struct sov_aead *a = (struct sov_aead *) room->expanded;
	enum sov_code rc = sov_random(room->key, SOV_KEY_LEN, err);

	if (rc == SOV_OK)
		rc = sov_commit(room->key, "subject group", g->commitment, err);
	if (rc == SOV_OK)
		rc = wrap(k, room, g, err);
	if (rc == SOV_OK)
		rc = sov_aead_init_at(a, room->key, err);
	if (rc == SOV_OK)
		rc = sov_random(g->sealed, SOV_NONCE_LEN, err);
	if (rc == SOV_OK)
		rc = sov_aead_seal(a, g->sealed, aad, make_aad(aad, GROUP_LABEL, k, false, g->number), plain, SOV_GROUP_PLAIN, c, c + SOV_GROUP_PLAIN, err);
	wipe(room);
	return rc;
}

enum sov_code
sov_group_open(const struct sov_epoch_key *k, struct sov_group_room *room, const struct sov_group *g,
			   uint8_t plain[SOV_GROUP_PLAIN], struct sov_error *err)
{
	uint8_t		aad[AAD_CAP];
	const uint8_t *c = g->sealed + SOV_NONCE_LEN;
	struct sov_aead *a = (struct sov_aead *) room->expanded;
	enum sov_code rc = unwrap(k, room, g, err);

	if (rc == SOV_OK)
		rc = sov_aead_init_at(a, room->key, err);
	if (rc == SOV_OK && sov_aead_open(a, g->sealed, aad, make_aad(aad, GROUP_LABEL, k, false, g->number), c, SOV_GROUP_PLAIN, c + SOV_GROUP_PLAIN, plain, NULL) != SOV_OK)
		rc = sov_fail(err, SOV_E_AUTH, "restore the table subject_group from a dump of this database",
					  "group %llu of persons' keys was changed after it was sealed", (unsigned long long) g->number);
	wipe(room);
	return rc;
}

enum sov_code
sov_group_rewrap(const struct sov_epoch_key *from, const struct sov_epoch_key *to, struct sov_group_room *room,
				 struct sov_group *g, struct sov_error *err)
{
	enum sov_code rc = unwrap(from, room, g, err);

	if (rc == SOV_OK)
		rc = wrap(to, room, g, err);
	wipe(room);
	return rc;
}

void
sov_group_erase(uint8_t plain[SOV_GROUP_PLAIN], int place)
{
	plain[place / 8] &= (uint8_t) ~(1 << place % 8);
	sov_wipe(plain + SOV_GROUP_LIVING + place * SOV_KEY_LEN, SOV_KEY_LEN);
}
