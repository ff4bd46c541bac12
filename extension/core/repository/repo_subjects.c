/*
 * repo_subjects.c - the current keys of erasable persons, at the providers (layout:
 * sov_keyring.h).
 *
 * Order: the object at n-k+1 providers, then the keyring that names it, then the
 * administrator's head that names that keyring.  Killed in between the former state is
 * current, whose epoch key is destroyed only after this; running it again finishes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

#define MAGIC "SOVSUBJ1"
#define HEAD (8 + SOV_NONCE_LEN + SOV_TAG_LEN)

static void
make_aad(uint8_t aad[24], const uint8_t database[16])
{
	memcpy(aad, MAGIC, 8);
	memcpy(aad + 8, database, 16);
}

static enum sov_code
seal(struct sov_repo *repo, const uint8_t database[16], const void *state, size_t len, struct sov_buf *object, struct sov_error *err)
{
	uint8_t		aad[24];
	uint8_t    *p = sov_buf_extend(object, HEAD + len);
	enum sov_code rc;

	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	make_aad(aad, database);
	memcpy(p, MAGIC, 8);
	rc = sov_random(p + 8, SOV_NONCE_LEN, err);
	if (rc == SOV_OK)
		rc = sov_aead_seal(repo->keys->meta, p + 8, aad, sizeof aad, state, len, p + HEAD, p + 8 + SOV_NONCE_LEN, err);
	return rc;
}

static void
domain_of(const uint8_t database[16], char domain[SOV_NAME_MAX])
{
	char		id[37];

	sov_uuid_text(id, database);
	snprintf(domain, SOV_NAME_MAX, SOV_SUBJECTS_DOMAIN "%s", id);
}

/* The keyring as it is, with this hash for the database. */
static enum sov_code
name_state(struct sov_repo *repo, const uint8_t database[16], const uint8_t hash[32], struct sov_error *err)
{
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	char		domain[SOV_NAME_MAX];
	int			at = 0;
	enum sov_code rc = ring ? sov_repo_keyring_info(repo, ring, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	domain_of(database, domain);
	while (rc == SOV_OK && at < ring->n_keks && strcmp(ring->keks[at].domain, domain) != 0)
		at++;
	if (rc == SOV_OK && at == SOV_KEYRING_KEKS)
		rc = sov_fail(err, SOV_E_STATE, SOV_KEYRING_FULL_HINT, "a keyring holds at most %d entries", SOV_KEYRING_KEKS);
	if (rc == SOV_OK)
	{
		if (at == ring->n_keks)
			ring->n_keks++;
		memset(&ring->keks[at], 0, sizeof ring->keks[at]);
		snprintf(ring->keks[at].domain, sizeof ring->keks[at].domain, "%s", domain);
		snprintf(ring->keks[at].custodian, sizeof ring->keks[at].custodian, "the hash of an object");
		ring->keks[at].len = 32;
		memcpy(ring->keks[at].blob, hash, 32);
		rc = sov_repo_rewrap(repo, ring->keks, ring->n_keks, err);
	}
	free(ring);
	return rc;
}

struct old_states
{
	const struct sov_keyring_info *ring;
	char		name[64][SOV_OBJECT_NAME_MAX + 1];
	int			n;
};

static bool
see_old(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct old_states *o = ctx;
	char		current[SOV_NAME_MAX];

	(void) st;
	for (int i = 0; i < o->ring->n_keks; i++)
		if (sov_keyring_names_subjects(&o->ring->keks[i]))
		{
			sov_keyring_subjects_name(o->ring->keks[i].blob, current);
			if (strcmp(current, name) == 0)
				return true;
		}
	if (o->n < 64)
		snprintf(o->name[o->n++], sizeof o->name[0], "%s", name);
	return true;
}

/* They are of no use once their epoch's key is destroyed; a provider that keeps them
 * for a while does no harm. */
static void
remove_old(struct sov_repo *repo)
{
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	struct old_states *o = calloc(1, sizeof *o);

	if (ring != NULL && o != NULL && sov_repo_keyring_info(repo, ring, NULL) == SOV_OK)
		for (int i = 0; i < repo->n_providers; i++)
		{
			o->ring = ring;
			o->n = 0;
			if (repo->providers[i].down || !repo->providers[i].known || repo_list(repo, i, SOV_SUBJECTS_PREFIX, see_old, o, NULL) != SOV_OK)
				continue;
			for (int j = 0; j < o->n; j++)
				(void) repo_remove(repo, i, o->name[j], NULL);
		}
	free(o);
	free(ring);
}

enum sov_code
sov_repo_put_subjects(struct sov_repo *repo, const uint8_t database[16], const void *state, size_t len, struct sov_error *err)
{
	struct sov_buf object = {0};
	struct repo_count count = {0, 0};
	struct sov_span span;
	uint8_t		hash[32];
	char		name[SOV_NAME_MAX];
	enum sov_code rc = seal(repo, database, state, len, &object, err);

	span = (struct sov_span) {object.data, object.len};
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, hash, err);
	if (rc == SOV_OK)
	{
		sov_keyring_subjects_name(hash, name);
		rc = repo_put_everywhere(repo, name, &object, false, &count, err);
	}
	if (rc == SOV_OK)
		rc = repo_quorum(repo, &count, "the keys of persons", err);
	if (rc == SOV_OK)
		rc = name_state(repo, database, hash, err);
	if (rc == SOV_OK)
		remove_old(repo);
	sov_buf_free(&object);
	return rc;
}

static enum sov_code
fetch(struct sov_repo *repo, const uint8_t want[32], struct sov_buf *object, struct sov_error *err)
{
	char		name[SOV_NAME_MAX];

	sov_keyring_subjects_name(want, name);
	if (repo_get_hashed(repo, name, want, object) && object->len >= HEAD)
		return SOV_OK;
	return sov_fail(err, SOV_E_QUORUM, "bring a provider back", "the keys of persons (%s) cannot be read from any provider", name);
}

enum sov_code
sov_repo_get_subjects(struct sov_repo *repo, const uint8_t database[16], struct sov_buf *state, struct sov_error *err)
{
	struct sov_keyring_info *ring = calloc(1, sizeof *ring);
	struct sov_buf object = {0};
	char		domain[SOV_NAME_MAX];
	uint8_t		aad[24],
			   *p;
	int			at = 0;
	enum sov_code rc = ring ? sov_repo_keyring_info(repo, ring, err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	domain_of(database, domain);
	make_aad(aad, database);
	while (rc == SOV_OK && at < ring->n_keks && (strcmp(ring->keks[at].domain, domain) != 0 || ring->keks[at].len != 32))
		at++;
	if (rc == SOV_OK && at == ring->n_keks)
		rc = sov_fail(err, SOV_E_NOTFOUND, NULL, "the repository has no keys of persons for this database");
	if (rc == SOV_OK)
		rc = fetch(repo, ring->keks[at].blob, &object, err);
	if (rc == SOV_OK && (p = sov_buf_extend(state, object.len - HEAD)) == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = sov_aead_open(repo->keys->meta, object.data + 8, aad, sizeof aad, object.data + HEAD, object.len - HEAD,
						   object.data + 8 + SOV_NONCE_LEN, p, err);
	if (rc != SOV_OK && object.len > 0)
	{
		sov_keyring_subjects_name(ring->keks[at].blob, domain);
		sov_error_at(err, "the providers' copies are the ones that the keyring names, so keyring and keys are of two states: bring back the newest of both",
					 "object %s (keys of persons)", domain);
	}
	sov_buf_free(&object);
	free(ring);
	return rc;
}
