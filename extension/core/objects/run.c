/*
 * run.c - runs: their keys, making, splitting their secret R over the providers,
 * joining it.
 */
#include "sov_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/shamir.h"

#define MAGIC "SOVSHARE"
#define FORMAT 1
#define FORMAT_SEALED 2
#define CLEAR_LEN 32
#define SECRET_LEN (32 + 32 + 32 + 16)
#define SEALED_LEN(n, sealed) (16 + 16 + 4 + 4 + 32 + 32 + ((sealed) ? SECRET_LEN : 0) + 32 * (size_t) (n))

/* --- keys --- */

/* HKDF over R; label ends in its version. */
static enum sov_code
derive(const struct sov_run *run, const char *label, const uint8_t ikm[32], uint8_t out[32], struct sov_error *err)
{
	uint8_t		info[40 + 16 + 16 + 2];
	size_t		n = strlen(label);

	memcpy(info, label, n);
	memcpy(info + n, run->repo, 16);
	memcpy(info + n + 16, run->id, 16);
	sov_put_le16(info + n + 32, SOV_SUITE);
	return sov_hkdf(run->r, 32, ikm, 32, info, n + 34, out, 32, err);
}

/* K_run from its ikm, and what hangs under it. */
static enum sov_code
derive_run(struct sov_run *run, const uint8_t ikm[32], struct sov_error *err)
{
	static const char frame_info[] = "pg_sovereign frame v1";
	uint8_t    *k_frame = sov_secret_alloc(32, err);
	enum sov_code rc = k_frame ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = derive(run, run->sealed ? "pg_sovereign run v2" : "pg_sovereign run v1", ikm, run->k_run, err);
	if (rc == SOV_OK)
		rc = sov_commit(run->k_run, "run", run->commitment, err);
	if (rc == SOV_OK)
		rc = sov_hkdf(NULL, 0, run->k_run, 32, frame_info, sizeof frame_info - 1, k_frame, 32, err);
	if (rc == SOV_OK && (run->frame = sov_aead_new(k_frame, err)) == NULL)
		rc = SOV_E_NOMEM;
	sov_secret_free(k_frame);
	if (rc == SOV_OK && !run->sealed)
		memcpy(run->k_index, run->k_run, 32);
	run->reads = rc == SOV_OK;
	return rc;
}

static enum sov_code
derive_index(const struct sov_repo_keys *keys, struct sov_run *run, uint8_t commitment[32], struct sov_error *err)
{
	enum sov_code rc = derive(run, "pg_sovereign index v1", keys->k_meta, run->k_index, err);

	return rc == SOV_OK ? sov_commit(run->k_index, "index", commitment, err) : rc;
}

#define SECRET_LABEL "pg_sovereign run secret v1"
static void
secret_info(const struct sov_run *run, uint8_t info[26 + 32])
{
	memcpy(info, SECRET_LABEL, 26);
	memcpy(info + 26, run->repo, 16);
	memcpy(info + 42, run->id, 16);
}

/* A new secret, which only the private key opens once this run is freed. */
static enum sov_code
seal_secret(const struct sov_repo_keys *keys, struct sov_run *run, struct sov_error *err)
{
	struct sov_run_sealed *s = &run->secret;
	uint8_t    *secret = sov_secret_alloc_nofork(32, err);
	uint8_t		info[26 + 32];
	enum sov_code rc = secret ? sov_random(secret, 32, err) : SOV_E_NOMEM;

	secret_info(run, info);
	if (rc == SOV_OK)
		rc = sov_hpke_seal(keys->content_public, info, sizeof info, NULL, 0, secret, 32, s->enc, s->secret, s->tag, err);
	if (rc == SOV_OK)
		rc = derive_run(run, secret, err);
	if (rc == SOV_OK)
		rc = derive_index(keys, run, s->index_commitment, err);
	sov_secret_free(secret);
	return rc;
}

static const uint8_t *
private_of(const struct sov_repo_keys *keys, uint32_t version)
{
	if (version == keys->pair_version)
		return keys->content_private;
	for (int i = 0; i < keys->n_former; i++)
		if (keys->former[i].version == version)
			return keys->former[i].private;
	return NULL;
}

/* With the private key, K_run too. */
static enum sov_code
open_secret(const struct sov_repo_keys *keys, struct sov_run *run, struct sov_error *err)
{
	const struct sov_run_sealed *s = &run->secret;
	const uint8_t *private;
	uint8_t    *secret;
	uint8_t		info[26 + 32],
				commitment[32];
	enum sov_code rc = derive_index(keys, run, commitment, err);

	if (rc == SOV_OK && !sov_equal(commitment, s->index_commitment, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the run's index key does not match its commitment");
	if (rc != SOV_OK || !keys->has_private)
		return rc;
	private = private_of(keys, run->content_version);
	if (private == NULL)
		return sov_fail(err, SOV_E_KEY, NULL, "the run is sealed to a content key that the keyring does not have");
	secret = sov_secret_alloc_nofork(32, err);
	if (secret == NULL)
		return SOV_E_NOMEM;
	secret_info(run, info);
	rc = sov_hpke_open(private, s->enc, info, sizeof info, NULL, 0, s->secret, 32, s->tag, secret, err);
	if (rc == SOV_OK)
		rc = derive_run(run, secret, err);
	sov_secret_free(secret);
	return rc;
}

enum sov_code
sov_run_create(const struct sov_repo_keys *keys, struct sov_run **out, struct sov_error *err)
{
	struct sov_run *run = sov_secret_alloc_nofork(sizeof *run, err);
	enum sov_code rc = run ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && !keys->has_pair && !keys->has_content)
		rc = sov_fail(err, SOV_E_KEY, NULL, "there is no content key to write with");
	if (rc == SOV_OK)
		rc = sov_random(run->id, 16, err);
	if (rc == SOV_OK)
		rc = sov_random(run->r, 32, err);
	if (rc == SOV_OK)
	{
		memcpy(run->repo, keys->repo, 16);
		run->sealed = keys->has_pair;
		run->content_version = run->sealed ? keys->pair_version : keys->content_version;
		rc = run->sealed ? seal_secret(keys, run, err) : derive_run(run, keys->k_content, err);
	}
	if (rc != SOV_OK)
	{
		sov_run_free(run);
		return rc;
	}
	run->pid = (int) getpid();
	*out = run;
	return SOV_OK;
}

void
sov_run_free(struct sov_run *run)
{
	if (run == NULL)
		return;
	sov_aead_free(run->frame);
	sov_secret_free(run);
}

/* --- share objects --- */

static enum sov_code
share_hash(const uint8_t run[16], uint8_t number, const uint8_t share[32], uint8_t out[32], struct sov_error *err)
{
	struct sov_span spans[3] = {{run, 16}, {&number, 1}, {share, 32}};

	return sov_sha256(spans, 3, out, err);
}

static enum sov_code
share_encode(const struct sov_repo_keys *keys, const struct sov_run_share *s, struct sov_buf *object, struct sov_error *err)
{
	struct sov_buf plain = {0};
	uint8_t		clear[CLEAR_LEN];
	uint8_t    *p;
	enum sov_code rc = sov_random(clear + 20, 12, err);

	sov_buf_reserve(&plain, SEALED_LEN(s->n, s->sealed));	/* growing would leave copies of the share */
	sov_write_bytes(&plain, keys->repo, 16);
	sov_write_bytes(&plain, s->run, 16);
	sov_write_u32(&plain, s->content_version);
	sov_write_u8(&plain, s->k);
	sov_write_u8(&plain, s->n);
	sov_write_u8(&plain, s->slot);
	sov_write_u8(&plain, s->number);
	sov_write_bytes(&plain, s->share, 32);
	sov_write_bytes(&plain, s->commitment, 32);
	if (s->sealed)
	{
		sov_write_bytes(&plain, s->secret.index_commitment, 32);
		sov_write_bytes(&plain, s->secret.enc, 32);
		sov_write_bytes(&plain, s->secret.secret, 32);
		sov_write_bytes(&plain, s->secret.tag, 16);
	}
	for (int i = 0; i < s->n; i++)
		sov_write_bytes(&plain, s->hashes[i], 32);
	memcpy(clear, MAGIC, 8);
	sov_put_le16(clear + 8, s->sealed ? FORMAT_SEALED : FORMAT);
	sov_put_le16(clear + 10, SOV_SUITE);
	sov_put_le32(clear + 12, keys->outer_version);
	sov_put_le32(clear + 16, (uint32_t) plain.len);
	p = sov_buf_extend(object, CLEAR_LEN + plain.len + SOV_TAG_LEN);
	if (rc == SOV_OK && (p == NULL || plain.bad))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
	{
		memcpy(p, clear, CLEAR_LEN);
		rc = sov_aead_seal(keys->outer, clear + 20, clear, CLEAR_LEN, plain.data, plain.len, p + CLEAR_LEN, p + CLEAR_LEN + plain.len, err);
	}
	if (plain.data)
		sov_wipe(plain.data, plain.len);
	sov_buf_free(&plain);
	return rc;
}

static enum sov_code
share_read(const struct sov_repo_keys *keys, const uint8_t *plain, size_t len, struct sov_run_share *s, struct sov_error *err)
{
	struct sov_reader r;
	uint8_t		repo[16],
				hash[32];
	enum sov_code rc;

	sov_reader_init(&r, plain, len);
	sov_read_copy(&r, repo, 16);
	sov_read_copy(&r, s->run, 16);
	s->content_version = sov_read_u32(&r);
	s->k = sov_read_u8(&r);
	s->n = sov_read_u8(&r);
	s->slot = sov_read_u8(&r);
	s->number = sov_read_u8(&r);
	sov_read_copy(&r, s->share, 32);
	sov_read_copy(&r, s->commitment, 32);
	if (s->sealed)
	{
		sov_read_copy(&r, s->secret.index_commitment, 32);
		sov_read_copy(&r, s->secret.enc, 32);
		sov_read_copy(&r, s->secret.secret, 32);
		sov_read_copy(&r, s->secret.tag, 16);
	}
	if (r.bad || s->k < 1 || s->n > 16 || s->k > s->n || s->slot >= s->n || s->number != s->slot + 1)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a run's share is malformed");
	for (int i = 0; i < s->n; i++)
		sov_read_copy(&r, s->hashes[i], 32);
	if (r.bad || sov_reader_left(&r) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a run's share is malformed");
	if (memcmp(repo, keys->repo, 16) != 0)
		return sov_fail(err, SOV_E_AUTH, NULL, "the share belongs to another repository");
	rc = share_hash(s->run, s->number, s->share, hash, err);
	if (rc == SOV_OK && !sov_equal(hash, s->hashes[s->slot], 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the share does not match its hash");
	return rc;
}

enum sov_code
sov_run_share_parse(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, struct sov_run_share *out, struct sov_error *err)
{
	uint8_t		plain[SEALED_LEN(16, true)];
	uint16_t	format;
	uint32_t	n;
	enum sov_code rc;

	memset(out, 0, sizeof *out);
	if (len < CLEAR_LEN || memcmp(obj, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a run's share");
	format = sov_get_le16(obj + 8);
	out->sealed = format == FORMAT_SEALED;
	if ((format != FORMAT && !out->sealed) || sov_get_le16(obj + 10) != SOV_SUITE)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the share's format is not known to this version");
	if (sov_get_le32(obj + 12) != keys->outer_version)
		return sov_fail(err, SOV_E_AUTH, NULL, "the share is sealed under a key version that the keyring does not have");
	n = sov_get_le32(obj + 16);
	if (n > sizeof plain || len != CLEAR_LEN + (size_t) n + SOV_TAG_LEN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the share has the wrong length");
	rc = sov_aead_open(keys->outer, obj + 20, obj, CLEAR_LEN, obj + CLEAR_LEN, n, obj + CLEAR_LEN + n, plain, err);
	if (rc == SOV_OK)
		rc = share_read(keys, plain, n, out, err);
	sov_wipe(plain, sizeof plain);
	return rc;
}

/* --- splitting and joining --- */

/* The value of the polynomial at x (0: the secret) from k shares. */
static enum sov_code
interpolate(const struct sov_run_share *shares, int k, uint8_t x, uint8_t out[32], struct sov_error *err)
{
	uint8_t		(*values)[32] = sov_secret_alloc(SHAMIR_MAX * 32, err);
	uint8_t		numbers[SHAMIR_MAX];
	enum sov_code rc;

	if (values == NULL)
		return SOV_E_NOMEM;
	for (int i = 0; i < k; i++)
	{
		numbers[i] = shares[i].number;
		memcpy(values[i], shares[i].share, 32);
	}
	rc = shamir_value(numbers, values, k, x, out, err);
	sov_secret_free(values);
	return rc;
}

enum sov_code
sov_run_split(const struct sov_repo_keys *keys, const struct sov_run *run, int k, int n,
			  struct sov_buf *objects, struct sov_error *err)
{
	uint8_t		(*shares)[32] = sov_secret_alloc(16 * 32, err);
	struct sov_run_share *s = sov_secret_alloc(sizeof *s, err);
	enum sov_code rc = shares && s ? SOV_OK : SOV_E_NOMEM;

	if (rc == SOV_OK && (k < 1 || n > 16 || k > n))
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "a run cannot be split %d of %d", k, n);
	if (rc == SOV_OK)
		rc = shamir_split(run->r, k, n, shares, err);
	if (rc == SOV_OK)
	{
		memcpy(s->run, run->id, 16);
		memcpy(s->commitment, run->commitment, 32);
		s->content_version = run->content_version;
		s->sealed = run->sealed;
		s->secret = run->secret;
		s->k = (uint8_t) k;
		s->n = (uint8_t) n;
	}
	for (int i = 0; i < n && rc == SOV_OK; i++)
		rc = share_hash(run->id, (uint8_t) (i + 1), shares[i], s->hashes[i], err);
	for (int i = 0; i < n && rc == SOV_OK; i++)
	{
		s->slot = (uint8_t) i;
		s->number = (uint8_t) (i + 1);
		memcpy(s->share, shares[i], 32);
		rc = share_encode(keys, s, &objects[i], err);
	}
	sov_secret_free(shares);
	sov_secret_free(s);
	return rc;
}

/* k distinct shares of one run to the front. */
static enum sov_code
check_shares(const struct sov_run_share *shares, int n, struct sov_error *err)
{
	if (n < 1 || n < shares[0].k)
		return sov_fail(err, SOV_E_QUORUM, NULL, "%d shares are not enough to open a run", n);
	for (int i = 1; i < n; i++)
	{
		if (memcmp(shares[i].run, shares[0].run, 16) != 0 || shares[i].k != shares[0].k ||
			shares[i].sealed != shares[0].sealed || memcmp(&shares[i].secret, &shares[0].secret, sizeof shares[0].secret) != 0 ||
			memcmp(shares[i].hashes, shares[0].hashes, sizeof shares[0].hashes) != 0)
			return sov_fail(err, SOV_E_AUTH, NULL, "shares of two runs are mixed");
		for (int j = 0; j < i; j++)
			if (shares[i].number == shares[j].number)
				return sov_fail(err, SOV_E_AUTH, NULL, "one share is given twice");
	}
	return SOV_OK;
}

/* What a share says of its run. */
static void
run_of_share(const uint8_t repo[16], const struct sov_run_share *s, struct sov_run *run)
{
	memcpy(run->id, s->run, 16);
	memcpy(run->repo, repo, 16);
	memcpy(run->commitment, s->commitment, 32);
	run->content_version = s->content_version;
	run->sealed = s->sealed;
	run->secret = s->secret;
}

enum sov_code
sov_run_join(const struct sov_repo_keys *keys, const struct sov_run_share *shares, int n_shares,
			 struct sov_run **out, struct sov_error *err)
{
	struct sov_run *run = sov_secret_alloc_nofork(sizeof *run, err);
	enum sov_code rc = run ? check_shares(shares, n_shares, err) : SOV_E_NOMEM;

	if (rc == SOV_OK && !shares[0].sealed && !keys->has_content)
		rc = sov_fail(err, SOV_E_KEY, NULL, "the run is under a content key that is with the content custodian");
	if (rc == SOV_OK && !shares[0].sealed && shares[0].content_version != keys->content_version)
		rc = sov_fail(err, SOV_E_KEY, NULL, "the run uses a content key version that the keyring does not have");
	if (rc == SOV_OK)
		rc = interpolate(shares, shares[0].k, 0, run->r, err);
	if (rc == SOV_OK)
	{
		run_of_share(keys->repo, &shares[0], run);
		rc = run->sealed ? open_secret(keys, run, err) : derive_run(run, keys->k_content, err);
	}
	if (rc == SOV_OK && !sov_equal(run->commitment, shares[0].commitment, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the run's key does not match its commitment");
	if (rc != SOV_OK)
	{
		sov_run_free(run);
		return rc;
	}
	run->pid = -1;				/* opens, never seals */
	*out = run;
	return SOV_OK;
}

enum sov_code
sov_run_share_rebuild(const struct sov_repo_keys *keys, const struct sov_run_share *shares, int n_shares,
					  int slot, struct sov_buf *object, struct sov_error *err)
{
	struct sov_run_share *s = sov_secret_alloc(sizeof *s, err);
	uint8_t		hash[32];
	enum sov_code rc = s ? check_shares(shares, n_shares, err) : SOV_E_NOMEM;

	if (rc == SOV_OK && (slot < 0 || slot >= shares[0].n))
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "slot %d is out of range", slot);
	if (rc == SOV_OK)
	{
		*s = shares[0];
		s->slot = (uint8_t) slot;
		s->number = (uint8_t) (slot + 1);
		rc = interpolate(shares, s->k, s->number, s->share, err);
	}
	if (rc == SOV_OK)
		rc = share_hash(s->run, s->number, s->share, hash, err);
	if (rc == SOV_OK && !sov_equal(hash, s->hashes[slot], 32))
		rc = sov_fail(err, SOV_E_CORRUPT, NULL, "a rebuilt share does not match what its siblings say");
	if (rc == SOV_OK)
		rc = share_encode(keys, s, object, err);
	sov_secret_free(s);
	return rc;
}

enum sov_code
sov_run_resplit(const struct sov_repo_keys *keys, const struct sov_run_share *shares, int n_shares,
				int k, int n, struct sov_buf *objects, struct sov_error *err)
{
	struct sov_run *run = sov_secret_alloc_nofork(sizeof *run, err);
	enum sov_code rc = run ? check_shares(shares, n_shares, err) : SOV_E_NOMEM;

	if (rc == SOV_OK)
		rc = interpolate(shares, shares[0].k, 0, run->r, err);
	if (rc == SOV_OK)
	{
		run_of_share(keys->repo, &shares[0], run);
		rc = sov_run_split(keys, run, k, n, objects, err);
	}
	sov_secret_free(run);
	return rc;
}
