/*
 * fuzz_audit.c - the audit log.  First byte: 0 a batch or beat as a provider gives
 * it; 1 the body of a batch, 2 of a beat (signed and sealed here, so that mutations
 * reach the parser); 3 a file of the queue; 4 the log of a host.
 */
#include "sealing.h"
#include "audit/audit_private.h"

/* The inside of a batch or beat, sealed as audit_batch.c does. */
static void
seal_audit(const struct sov_repo_keys *keys, const char *magic, const uint8_t *seed, const uint8_t *body, size_t len, struct sov_buf *obj)
{
	static const char label[] = "pg_sovereign audit v1";
	uint8_t		clear[ENVELOPE_CLEAR],
				key[32],
				sig[SOV_SIG_LEN];
	struct sov_buf msg = {0};
	struct sov_aead *a = NULL;
	uint8_t    *p;

	(void) envelope_begin(magic, len + SOV_SIG_LEN, clear, NULL);
	sov_write_bytes(&msg, label, sizeof label - 1);
	sov_write_bytes(&msg, clear, sizeof clear);
	sov_write_bytes(&msg, body, len);
	if (sov_sign(seed, msg.data, msg.len, sig, NULL) == SOV_OK &&
		sov_hkdf(NULL, 0, keys->k_meta, 32, label, sizeof label - 1, key, 32, NULL) == SOV_OK)
		a = sov_aead_new(key, NULL);
	msg.len = 0;
	sov_write_bytes(&msg, body, len);
	sov_write_bytes(&msg, sig, sizeof sig);
	sov_write_bytes(obj, clear, sizeof clear);
	p = sov_buf_extend(obj, msg.len + SOV_TAG_LEN);
	if (a && p)
		(void) sov_aead_seal(a, clear + 16, clear, sizeof clear, msg.data, msg.len, p, p + msg.len, NULL);
	sov_aead_free(a);
	sov_buf_free(&msg);
}

static void
read_records(int kind, const uint8_t *p, size_t len)
{
	struct sov_reader r;
	struct sov_audit_entry e;
	uint8_t		hash[32];

	sov_reader_init(&r, p, len);
	if (kind == 3 && sov_audit_queue_check(p, len, &r, NULL) != SOV_OK)
		return;
	while (!r.bad && sov_reader_left(&r) > 0)
	{
		if (kind == 3)
			sov_audit_entry_read(&r, &e);
		else
			audit_log_read(&r, &e, hash);
		if (!r.bad && (e.event == 0 || memchr(e.text, 0, sizeof e.text) == NULL))
			abort();
	}
	if (kind == 3 && r.bad)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct sov_repo_keys *keys;
	static uint8_t seed[32],
				pub[32];
	struct sov_buf obj = {0};
	struct sov_audit_batch batch;
	struct sov_audit_beat beat;
	uint8_t    *copy;

	if (keys == NULL)
	{
		keys = test_keys(1);
		memset(seed, 77, 32);
		(void) sov_sign_public(seed, pub, NULL);
	}
	if (len < 1)
		return 0;
	if (data[0] == 1 || data[0] == 2)
		seal_audit(keys, data[0] == 1 ? "SOVAUDB1" : "SOVAUDT1", seed, data + 1, len - 1, &obj);
	else
		sov_write_bytes(&obj, data + 1, len - 1);
	copy = exact(obj.data ? obj.data : data, obj.len);
	if (data[0] == 3 || data[0] == 4)
		read_records(data[0], copy, obj.len);
	else
	{
		if (sov_audit_batch_decode(keys, copy, obj.len, &batch, NULL) == SOV_OK)
		{
			if (batch.n == 0 || batch.n > SOV_AUDIT_BATCH_MAX || batch.batch == 0 || batch.entries[0].seq == 0)
				abort();
			sov_audit_batch_free(&batch);
		}
		(void) sov_audit_beat_decode(keys, copy, obj.len, pub, &beat, NULL);
	}
	free(copy);
	sov_buf_free(&obj);
	return 0;
}
