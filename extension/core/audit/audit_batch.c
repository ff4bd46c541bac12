/*
 * audit_batch.c - batches and beats of the audit log: sov_audit.h.
 *
 * A batch vouches for itself: it is sealed for this repository, signed by the key
 * that it names, and the hashes of its entries follow from the one before.  That it
 * follows from the batch before is for the reader of the chain to check.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_private.h"
#include "objects/envelope.h"

#define BATCH_MAGIC "SOVAUDB1"
#define BEAT_MAGIC "SOVAUDT1"
#define LABEL "pg_sovereign audit v1"
#define CHAIN_LABEL "pg_sovereign audit chain v1"
#define ENTRY_LABEL "pg_sovereign audit entry v1"

/* --- names --- */

void
audit_batch_name(uint64_t chain, uint64_t batch, char dst[SOV_NAME_MAX])
{
	snprintf(dst, SOV_NAME_MAX, "l/%016" PRIx64 "/%016" PRIx64, chain, batch);
}

void
audit_beat_name(uint64_t chain, char dst[SOV_NAME_MAX])
{
	snprintf(dst, SOV_NAME_MAX, "l/%016" PRIx64 "/beat", chain);
}

bool
audit_parse_name(const char *name, uint64_t *chain, uint64_t *batch)
{
	char		expect[SOV_NAME_MAX];

	if (strncmp(name, "l/", 2) != 0 || strlen(name) < 19 || !repo_parse_hex64(name + 2, chain) || name[18] != '/')
		return false;
	audit_beat_name(*chain, expect);
	*batch = 0;
	if (strcmp(name, expect) == 0)
		return true;
	if (strlen(name) != 35 || !repo_parse_hex64(name + 19, batch) || *batch == 0)
		return false;
	audit_batch_name(*chain, *batch, expect);
	return strcmp(name, expect) == 0;
}

/* --- hashes --- */

enum sov_code
sov_audit_chain_start(const uint8_t repo[16], uint64_t chain, uint8_t hash[32], struct sov_error *err)
{
	uint8_t		id[8];
	struct sov_span spans[3] = {{CHAIN_LABEL, strlen(CHAIN_LABEL)}, {repo, 16}, {id, 8}};

	sov_put_le64(id, chain);
	return sov_sha256(spans, 3, hash, err);
}

enum sov_code
sov_audit_chain_next(uint8_t hash[32], const struct sov_audit_entry *e, struct sov_error *err)
{
	struct sov_buf b = {0};
	struct sov_span spans[3] = {{ENTRY_LABEL, strlen(ENTRY_LABEL)}, {hash, 32}};
	uint8_t		out[32];
	enum sov_code rc;

	sov_write_u64(&b, e->seq);
	audit_entry_body(&b, e);
	spans[2].data = b.data;
	spans[2].len = b.len;
	rc = b.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : sov_sha256(spans, 3, out, err);
	if (rc == SOV_OK)
		memcpy(hash, out, 32);
	sov_buf_free(&b);
	return rc;
}

/* --- sealing --- */

static enum sov_code
audit_aead(const struct sov_repo_keys *keys, struct sov_aead **out, struct sov_error *err)
{
	uint8_t    *key = sov_secret_alloc(32, err);
	enum sov_code rc = key ? sov_hkdf(NULL, 0, keys->k_meta, 32, LABEL, strlen(LABEL), key, 32, err) : SOV_E_NOMEM;

	*out = NULL;
	if (rc == SOV_OK && (*out = sov_aead_new(key, err)) == NULL)
		rc = SOV_E_NOMEM;
	sov_secret_free(key);
	return rc;
}

static void
signed_bytes(const uint8_t clear[ENVELOPE_CLEAR], const uint8_t *body, size_t len, struct sov_buf *msg)
{
	sov_write_bytes(msg, LABEL, strlen(LABEL));
	sov_write_bytes(msg, clear, ENVELOPE_CLEAR);
	sov_write_bytes(msg, body, len);
}

/* Sign and seal; body gets the signature. */
static enum sov_code
seal(const struct sov_repo_keys *keys, const char *magic, struct sov_buf *body, const uint8_t seed[32],
	 struct sov_buf *object, struct sov_error *err)
{
	uint8_t		clear[ENVELOPE_CLEAR],
				sig[SOV_SIG_LEN];
	struct sov_buf msg = {0};
	struct sov_aead *aead = NULL;
	uint8_t    *p;
	enum sov_code rc = envelope_begin(magic, body->len + SOV_SIG_LEN, clear, err);

	signed_bytes(clear, body->data, body->len, &msg);
	if (rc == SOV_OK && (body->bad || msg.bad))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = sov_sign(seed, msg.data, msg.len, sig, err);
	sov_buf_free(&msg);
	if (rc == SOV_OK)
		rc = audit_aead(keys, &aead, err);
	if (rc == SOV_OK)
	{
		sov_write_bytes(body, sig, sizeof sig);
		sov_write_bytes(object, clear, sizeof clear);
		p = sov_buf_extend(object, body->len + SOV_TAG_LEN);
		rc = body->bad || p == NULL ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") :
			sov_aead_seal(aead, clear + 16, clear, sizeof clear, body->data, body->len, p, p + body->len, err);
	}
	sov_aead_free(aead);
	return rc;
}

/* Open into *body, which has the signature at its end. */
static enum sov_code
unseal(const struct sov_repo_keys *keys, const char *magic, const uint8_t *obj, size_t len, struct sov_buf *body, struct sov_error *err)
{
	struct sov_aead *aead = NULL;
	size_t		n;
	uint8_t    *p;
	enum sov_code rc;

	if (len < ENVELOPE_CLEAR + SOV_TAG_LEN || memcmp(obj, magic, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is no part of an audit log");
	if (sov_get_le16(obj + 8) != 1 || sov_get_le16(obj + 10) != SOV_SUITE)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the format is not known to this version");
	n = sov_get_le32(obj + 12);
	if (n > ENVELOPE_MAX || n < SOV_SIG_LEN || len != ENVELOPE_CLEAR + n + SOV_TAG_LEN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it has the wrong length");
	rc = audit_aead(keys, &aead, err);
	p = rc == SOV_OK ? sov_buf_extend(body, n) : NULL;
	if (rc == SOV_OK)
		rc = p == NULL ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") :
			sov_aead_open(aead, obj + 16, obj, ENVELOPE_CLEAR, obj + ENVELOPE_CLEAR, n, obj + ENVELOPE_CLEAR + n, p, err);
	sov_aead_free(aead);
	return rc;
}

static enum sov_code
check_signature(const uint8_t *obj, const struct sov_buf *body, const uint8_t pub[32], struct sov_error *err)
{
	struct sov_buf msg = {0};
	size_t		len = body->len - SOV_SIG_LEN;
	enum sov_code rc;

	signed_bytes(obj, body->data, len, &msg);
	rc = msg.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : sov_verify_sig(pub, msg.data, msg.len, body->data + len, err);
	sov_buf_free(&msg);
	return rc;
}

/* --- batches --- */

static enum sov_code
hash_entries(struct sov_audit_batch *b, uint8_t hash[32], struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	memcpy(hash, b->before, 32);
	for (uint32_t i = 0; i < b->n && rc == SOV_OK; i++)
		rc = sov_audit_chain_next(hash, &b->entries[i], err);
	return rc;
}

static void
write_batch(struct sov_buf *w, const uint8_t repo[16], const struct sov_audit_batch *b)
{
	sov_write_bytes(w, repo, 16);
	sov_write_u64(w, b->chain);
	sov_write_u64(w, b->writer);
	sov_write_u64(w, b->batch);
	sov_write_bytes(w, b->prev, 32);
	sov_write_u64(w, b->prev_us);
	sov_write_u64(w, b->time_us);
	sov_write_bytes(w, b->signer, 32);
	sov_write_bytes(w, b->next, 32);
	sov_write_u8(w, b->has_cert);
	if (b->has_cert)
	{
		sov_write_u64(w, b->cert.not_before);
		sov_write_bytes(w, b->cert.sig, 64);
	}
	sov_write_u64(w, b->first_seq);
	sov_write_bytes(w, b->before, 32);
	sov_write_u32(w, b->n);
	for (uint32_t i = 0; i < b->n; i++)
		sov_audit_entry_write(w, &b->entries[i]);
	sov_write_bytes(w, b->after, 32);
}

enum sov_code
sov_audit_batch_encode(const struct sov_repo_keys *keys, struct sov_audit_batch *b, const uint8_t seed[32],
					   struct sov_buf *object, struct sov_error *err)
{
	struct sov_buf body = {0};
	enum sov_code rc = hash_entries(b, b->after, err);

	write_batch(&body, keys->repo, b);
	if (rc == SOV_OK)
		rc = seal(keys, BATCH_MAGIC, &body, seed, object, err);
	sov_buf_free(&body);
	if (rc == SOV_OK)
	{
		struct sov_span span = {object->data, object->len};

		rc = sov_sha256(&span, 1, b->hash, err);
	}
	return rc;
}

static enum sov_code
malformed(struct sov_error *err)
{
	return sov_fail(err, SOV_E_FORMAT, NULL, "a batch of the audit log is malformed");
}

static enum sov_code
read_entries(struct sov_reader *r, struct sov_audit_batch *b, struct sov_error *err)
{
	b->n = sov_read_u32(r);
	if (r->bad || b->n == 0 || b->n > SOV_AUDIT_BATCH_MAX || b->first_seq == 0 || b->first_seq > UINT64_MAX - b->n)
	{
		b->n = 0;
		return malformed(err);
	}
	b->entries = calloc(b->n, sizeof *b->entries);
	if (b->entries == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t i = 0; i < b->n; i++)
	{
		sov_audit_entry_read(r, &b->entries[i]);
		b->entries[i].seq = b->first_seq + i;
	}
	return SOV_OK;
}

static enum sov_code
read_batch(const uint8_t repo[16], const uint8_t *p, size_t len, struct sov_audit_batch *b, struct sov_error *err)
{
	struct sov_reader r;
	uint8_t		theirs[16],
				flag,
				hash[32];
	enum sov_code rc;

	sov_reader_init(&r, p, len);
	sov_read_copy(&r, theirs, 16);
	b->chain = sov_read_u64(&r);
	b->writer = sov_read_u64(&r);
	b->batch = sov_read_u64(&r);
	sov_read_copy(&r, b->prev, 32);
	b->prev_us = sov_read_u64(&r);
	b->time_us = sov_read_u64(&r);
	sov_read_copy(&r, b->signer, 32);
	sov_read_copy(&r, b->next, 32);
	flag = sov_read_u8(&r);
	b->has_cert = flag == 1;
	if (b->has_cert)
	{
		b->cert.role = SOV_CERT_AUDIT;
		b->cert.subject = b->chain;
		memcpy(b->cert.pub, b->signer, 32);
		b->cert.not_before = sov_read_u64(&r);
		sov_read_copy(&r, b->cert.sig, 64);
	}
	b->first_seq = sov_read_u64(&r);
	sov_read_copy(&r, b->before, 32);
	rc = read_entries(&r, b, err);
	if (rc != SOV_OK)
		return rc;
	sov_read_copy(&r, b->after, 32);
	if (r.bad || sov_reader_left(&r) != 0 || flag > 1 || b->batch == 0)
		return malformed(err);
	if (memcmp(theirs, repo, 16) != 0)
		return sov_fail(err, SOV_E_AUTH, NULL, "it belongs to another repository");
	rc = hash_entries(b, hash, err);
	if (rc == SOV_OK && memcmp(hash, b->after, 32) != 0)
		rc = sov_fail(err, SOV_E_AUTH, NULL, "its entries do not give the hash that it names");
	return rc;
}

enum sov_code
sov_audit_batch_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, struct sov_audit_batch *b, struct sov_error *err)
{
	struct sov_buf body = {0};
	struct sov_span span = {obj, len};
	enum sov_code rc;

	memset(b, 0, sizeof *b);
	rc = unseal(keys, BATCH_MAGIC, obj, len, &body, err);
	if (rc == SOV_OK)
		rc = read_batch(keys->repo, body.data, body.len - SOV_SIG_LEN, b, err);
	if (rc == SOV_OK)
		rc = check_signature(obj, &body, b->signer, err);
	if (rc == SOV_OK)
		rc = sov_sha256(&span, 1, b->hash, err);
	sov_buf_free(&body);
	if (rc != SOV_OK)
		sov_audit_batch_free(b);
	return rc;
}

void
sov_audit_batch_free(struct sov_audit_batch *b)
{
	free(b->entries);
	b->entries = NULL;
	b->n = 0;
}

/* --- beats --- */

enum sov_code
sov_audit_beat_encode(const struct sov_repo_keys *keys, const struct sov_audit_beat *b, const uint8_t seed[32],
					  struct sov_buf *object, struct sov_error *err)
{
	struct sov_buf body = {0};
	enum sov_code rc;

	sov_write_bytes(&body, keys->repo, 16);
	sov_write_u64(&body, b->chain);
	sov_write_u64(&body, b->batch);
	sov_write_u64(&body, b->seq);
	sov_write_bytes(&body, b->hash, 32);
	sov_write_u64(&body, b->time_us);
	sov_write_u8(&body, b->closed);
	rc = seal(keys, BEAT_MAGIC, &body, seed, object, err);
	sov_buf_free(&body);
	return rc;
}

enum sov_code
sov_audit_beat_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, const uint8_t *signer,
					  struct sov_audit_beat *b, struct sov_error *err)
{
	struct sov_buf body = {0};
	struct sov_reader r;
	uint8_t		theirs[16],
				closed;
	enum sov_code rc = unseal(keys, BEAT_MAGIC, obj, len, &body, err);

	memset(b, 0, sizeof *b);
	if (rc == SOV_OK && signer)
		rc = check_signature(obj, &body, signer, err);
	if (rc == SOV_OK)
	{
		sov_reader_init(&r, body.data, body.len - SOV_SIG_LEN);
		sov_read_copy(&r, theirs, 16);
		b->chain = sov_read_u64(&r);
		b->batch = sov_read_u64(&r);
		b->seq = sov_read_u64(&r);
		sov_read_copy(&r, b->hash, 32);
		b->time_us = sov_read_u64(&r);
		closed = sov_read_u8(&r);
		b->closed = closed == 1;
		if (r.bad || sov_reader_left(&r) != 0 || closed > 1)
			rc = sov_fail(err, SOV_E_FORMAT, NULL, "a beat of the audit log is malformed");
		else if (memcmp(theirs, keys->repo, 16) != 0)
			rc = sov_fail(err, SOV_E_AUTH, NULL, "it belongs to another repository");
	}
	sov_buf_free(&body);
	return rc;
}
