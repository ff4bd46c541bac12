/*
 * head.c - writers' heads, and the identity of a provider: sov_head.h.
 */
#include "sov_head.h"

#include <string.h>
#include <time.h>

#include "envelope.h"

#define MAGIC "SOVHEAD1"
#define IDENT_MAGIC "SOVIDENT"

void
sov_objref_write(struct sov_buf *b, const struct sov_objref *ref)
{
	sov_write_str(b, ref->id);
	sov_write_u16(b, ref->attempt);
	sov_write_u64(b, ref->length);
	sov_write_bytes(b, ref->stream, 32);
}

void
sov_objref_read(struct sov_reader *r, struct sov_objref *ref)
{
	memset(ref, 0, sizeof *ref);
	sov_read_str(r, ref->id, sizeof ref->id);
	ref->attempt = sov_read_u16(r);
	ref->length = sov_read_u64(r);
	sov_read_copy(r, ref->stream, 32);
	if (ref->id[0] == '\0')
		r->bad = true;
}

void
sov_mark_write(struct sov_buf *b, const struct sov_mark *mark)
{
	sov_write_u32(b, mark->timeline);
	sov_write_str(b, mark->segment);
	sov_write_u64(b, mark->lsn);
	sov_write_u64(b, mark->time_us);
	sov_write_bytes(b, mark->stream, 32);
}

void
sov_mark_read(struct sov_reader *r, struct sov_mark *mark)
{
	mark->timeline = sov_read_u32(r);
	sov_read_str(r, mark->segment, sizeof mark->segment);
	mark->lsn = sov_read_u64(r);
	mark->time_us = sov_read_u64(r);
	sov_read_copy(r, mark->stream, 32);
}

static void
write_body(struct sov_buf *b, const uint8_t repo[16], const struct sov_head *h)
{
	sov_write_bytes(b, repo, 16);
	sov_write_u64(b, h->writer);
	sov_write_u64(b, h->seq);
	sov_write_bytes(b, h->prev, 32);
	sov_write_u8(b, (uint8_t) h->n_parents);
	for (int i = 0; i < h->n_parents; i++)
	{
		sov_write_u64(b, h->parents[i].writer);
		sov_write_u64(b, h->parents[i].seq);
		sov_write_bytes(b, h->parents[i].hash, 32);
	}
	sov_write_u64(b, h->admin_seq);
	sov_write_u64(b, h->time_us);
	sov_write_u64(b, h->system_id);
	sov_write_u8(b, h->has_catalogue);
	if (h->has_catalogue)
		sov_objref_write(b, &h->catalogue);
	sov_mark_write(b, &h->mark);
	sov_write_u32(b, h->timeline);
	sov_write_u64(b, h->lsn);
	sov_write_u64(b, h->audit_seq);
	sov_write_bytes(b, h->audit_hash, 32);
	sov_write_u64(b, h->lease_us);
	sov_write_u64(b, h->lease_admin);
}

static enum sov_code
read_body(const uint8_t repo[16], const uint8_t *p, size_t len, struct sov_head *h, struct sov_error *err)
{
	struct sov_reader r;
	uint8_t		theirs[16],
				flag;

	sov_reader_init(&r, p, len);
	sov_read_copy(&r, theirs, 16);
	h->writer = sov_read_u64(&r);
	h->seq = sov_read_u64(&r);
	sov_read_copy(&r, h->prev, 32);
	h->n_parents = sov_read_u8(&r);
	if (h->n_parents > 16)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a head is malformed");
	for (int i = 0; i < h->n_parents; i++)
	{
		h->parents[i].writer = sov_read_u64(&r);
		h->parents[i].seq = sov_read_u64(&r);
		sov_read_copy(&r, h->parents[i].hash, 32);
	}
	h->admin_seq = sov_read_u64(&r);
	h->time_us = sov_read_u64(&r);
	h->system_id = sov_read_u64(&r);
	flag = sov_read_u8(&r);
	h->has_catalogue = flag == 1;
	if (h->has_catalogue)
		sov_objref_read(&r, &h->catalogue);
	sov_mark_read(&r, &h->mark);
	h->timeline = sov_read_u32(&r);
	h->lsn = sov_read_u64(&r);
	h->audit_seq = sov_read_u64(&r);
	sov_read_copy(&r, h->audit_hash, 32);
	h->lease_us = sov_read_u64(&r);
	if (sov_reader_left(&r) > 0)	/* 0.1.0 wrote none, and pruned nothing */
		h->lease_admin = sov_read_u64(&r);
	if (r.bad || sov_reader_left(&r) != 0 || flag > 1 || h->seq == 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a head is malformed");
	if (memcmp(theirs, repo, 16) != 0)
		return sov_fail(err, SOV_E_AUTH, NULL, "the head belongs to another repository");
	return SOV_OK;
}

static enum sov_code
hash_object(const uint8_t *p, size_t len, uint8_t hash[32], struct sov_error *err)
{
	struct sov_span span = {p, len};

	return sov_sha256(&span, 1, hash, err);
}

enum sov_code
sov_head_encode(const struct sov_repo_keys *keys, struct sov_head *head, const uint8_t writer_seed[32],
				struct sov_buf *object, struct sov_error *err)
{
	struct sov_buf body = {0};
	uint8_t		clear[ENVELOPE_CLEAR];
	enum sov_code rc;

	write_body(&body, keys->repo, head);
	rc = envelope_begin(MAGIC, body.len + SOV_SIG_LEN, clear, err);
	if (rc == SOV_OK)
		rc = envelope_sign(clear, &body, writer_seed, err);
	if (rc == SOV_OK)
		rc = envelope_seal(keys, clear, body.data, body.len, object, err);
	if (rc == SOV_OK)
		rc = hash_object(object->data, object->len, head->hash, err);
	sov_buf_free(&body);
	return rc;
}

enum sov_code
sov_head_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, const uint8_t *writer_pub,
				struct sov_head *head, struct sov_error *err)
{
	struct sov_buf body = {0};
	enum sov_code rc = envelope_open(keys, MAGIC, "a writer's head", obj, len, &body, err);

	memset(head, 0, sizeof *head);
	if (rc == SOV_OK && writer_pub != NULL)
		rc = envelope_check_sig(obj, &body, writer_pub, err);
	if (rc == SOV_OK && body.len < SOV_SIG_LEN)
		rc = sov_fail(err, SOV_E_FORMAT, NULL, "a head is cut short");
	if (rc == SOV_OK)
		rc = read_body(keys->repo, body.data, body.len - SOV_SIG_LEN, head, err);
	if (rc == SOV_OK)
		rc = hash_object(obj, len, head->hash, err);
	sov_buf_free(&body);
	return rc;
}

/* --- identity --- */

enum sov_code
sov_identity_encode(const struct sov_repo_keys *keys, const uint8_t uuid[16], struct sov_buf *object, struct sov_error *err)
{
	uint8_t		plain[40],
				clear[ENVELOPE_CLEAR];
	struct timespec ts;
	enum sov_code rc = envelope_begin(IDENT_MAGIC, sizeof plain, clear, err);

	memcpy(plain, keys->repo, 16);
	memcpy(plain + 16, uuid, 16);
	clock_gettime(CLOCK_REALTIME, &ts);
	sov_put_le64(plain + 32, (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000);
	return rc == SOV_OK ? envelope_seal(keys, clear, plain, sizeof plain, object, err) : rc;
}

enum sov_code
sov_identity_decode(const struct sov_repo_keys *keys, const uint8_t *obj, size_t len, uint8_t uuid[16], struct sov_error *err)
{
	struct sov_buf plain = {0};
	enum sov_code rc = envelope_open(keys, IDENT_MAGIC, "a provider's identity", obj, len, &plain, err);

	if (rc == SOV_OK && (plain.len != 40 || memcmp(plain.data, keys->repo, 16) != 0))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "the identity belongs to another repository");
	if (rc == SOV_OK)
		memcpy(uuid, plain.data + 16, 16);
	sov_buf_free(&plain);
	return rc;
}
