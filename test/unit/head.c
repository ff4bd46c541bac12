/*
 * head - writers' and administrator's heads, certificates, identities, and the
 * rotation of the provider map.
 */
#include <string.h>

#include "objects/envelope.h"
#include "sov_head.h"
#include "testkeys.h"
#include "tap.h"

static struct sov_repo_keys *keys,
		   *other;
static struct sov_error err;
static uint8_t writer_seed[32],
			writer_pub[32];

static struct sov_head
full_head(void)
{
	struct sov_head h;

	memset(&h, 0, sizeof h);	/* padding too: compared with memcmp */
	h.writer = 0x1122334455667788;
	h.seq = 7;
	memset(h.prev, 9, 32);
	h.n_parents = 2;
	h.parents[0].writer = 1;
	h.parents[0].seq = 2;
	memset(h.parents[1].hash, 3, 32);
	h.admin_seq = 4;
	h.time_us = 1700000000000000;
	h.system_id = 5;
	h.has_catalogue = true;
	strcpy(h.catalogue.id, "00112233445566778899aabbccddeeff");
	h.catalogue.attempt = 6;
	h.catalogue.length = 77;
	memset(h.catalogue.stream, 8, 32);
	h.mark.timeline = 3;
	strcpy(h.mark.segment, "000000030000000000000042");
	h.mark.lsn = 0x43000000;
	h.mark.time_us = 11;
	memset(h.mark.stream, 12, 32);
	h.timeline = 3;
	h.lsn = 0x43000100;
	h.audit_seq = 13;
	memset(h.audit_hash, 14, 32);
	h.lease_us = 15;
	h.lease_admin = 16;
	return h;
}

static enum sov_code
decode(const struct sov_repo_keys *k, const uint8_t *p, size_t len, const uint8_t *pub)
{
	struct sov_head h;
	uint8_t    *copy = malloc(len ? len : 1);
	enum sov_code rc;

	memcpy(copy, p, len);
	rc = sov_head_decode(k, copy, len, pub, &h, &err);
	free(copy);
	return rc;
}

/* The same plaintext sealed again by somebody who has K_meta, signed by seed. */
static void
reseal(const struct sov_buf *body, const char *magic, const uint8_t *seed, struct sov_buf *obj)
{
	struct sov_buf b = {0};
	uint8_t		clear[ENVELOPE_CLEAR];

	obj->len = 0;
	sov_write_bytes(&b, body->data, body->len);
	if (envelope_begin(magic, b.len + SOV_SIG_LEN, clear, &err) != SOV_OK || envelope_sign(clear, &b, seed, &err) != SOV_OK ||
		envelope_seal(keys, clear, b.data, b.len, obj, &err) != SOV_OK)
		printf("# reseal: %s\n", err.message);
	sov_buf_free(&b);
}

static void
writer_heads(void)
{
	struct sov_head in = full_head(),
				out;
	struct sov_buf obj = {0},
				body = {0};
	int			taken = 0;

	ok_rc(sov_head_encode(keys, &in, writer_seed, &obj, &err), err, "a head");
	ok_rc(sov_head_decode(keys, obj.data, obj.len, writer_pub, &out, &err), err, "decoded");
	ok(memcmp(&in, &out, sizeof in) == 0, "with every field");
	ok(decode(keys, obj.data, obj.len, NULL) == SOV_OK, "also without looking at the signature");
	ok(decode(keys, obj.data, obj.len, keys->admin_pub) == SOV_E_AUTH, "not as another writer's");
	ok(decode(other, obj.data, obj.len, writer_pub) == SOV_E_AUTH, "not with another repository's keys");
	for (size_t i = 0; i < obj.len; i++)
	{
		obj.data[i] ^= 0x08;
		taken += decode(keys, obj.data, obj.len, writer_pub) == SOV_OK || decode(keys, obj.data, obj.len, NULL) == SOV_OK;
		obj.data[i] ^= 0x08;
	}
	ok(taken == 0, "any flipped byte of %zu is refused", obj.len);
	taken = 0;
	for (size_t i = 0; i < obj.len; i++)
		taken += decode(keys, obj.data, i, NULL) != SOV_E_FORMAT;
	ok(taken == 0, "any truncation");
	ok(envelope_open(keys, "SOVHEAD1", "a head", obj.data, obj.len, &body, &err) == SOV_OK && body.len > SOV_SIG_LEN, "opened by a key holder");
	sov_write_u8(&obj, 0);
	ok(decode(keys, obj.data, obj.len, NULL) == SOV_E_FORMAT, "a byte more");

	/* Somebody who has K_meta but no writer's seed. */
	body.len -= SOV_SIG_LEN;
	reseal(&body, "SOVHEAD1", keys->admin_seed, &obj);
	ok(decode(keys, obj.data, obj.len, writer_pub) == SOV_E_AUTH, "sealed well, signed by another");
	reseal(&body, "SOVHEAD1", writer_seed, &obj);
	ok(decode(keys, obj.data, obj.len, writer_pub) == SOV_OK, "(signed by the writer it is good)");
	/* Malformed though sealed and signed: every cut, and a byte more. */
	taken = 0;
	for (size_t n = body.len; body.len > 0;)
	{
		body.len--;
		reseal(&body, "SOVHEAD1", writer_seed, &obj);
		if (n - body.len == 8)	/* as 0.1.0 wrote it, without the last field */
			ok(decode(keys, obj.data, obj.len, writer_pub) == SOV_OK, "a head of 0.1.0 is read");
		else
			taken += decode(keys, obj.data, obj.len, writer_pub) != SOV_E_FORMAT;
		if (n - body.len > 40 && body.len > 8)
			body.len -= 7;
	}
	ok(taken == 0, "signed, but cut short inside");
	sov_buf_free(&body);
	obj.len = 0;
	in.seq = 0;
	ok(sov_head_encode(keys, &in, writer_seed, &obj, &err) == SOV_OK && decode(keys, obj.data, obj.len, writer_pub) == SOV_E_FORMAT, "there is no head 0");
	sov_buf_free(&obj);
}

/* --- the administrator's --- */

static struct sov_admin_head *
full_admin(void)
{
	struct sov_admin_head *h = calloc(1, sizeof *h);

	h->seq = 3;
	memset(h->prev, 1, 32);
	h->time_us = 5;
	h->keyring_seq = 6;
	memset(h->keyring_hash, 7, 32);
	memcpy(h->controller_pub, keys->controller_pub, 32);
	(void) sov_cert_issue(keys->repo, keys->controller_seed, SOV_CERT_ADMIN, 0, keys->admin_pub, 8, &h->admin, &err);
	h->map.version = 9;
	h->map.k = 2;
	h->map.n = 3;
	for (int i = 0; i < 3; i++)
	{
		memset(h->map.pos[i].uuid, 20 + i, 16);
		snprintf(h->map.pos[i].alias, SOV_NAME_MAX, "p%d", i);
	}
	memset(h->map.pos[1].prev_uuid, 30, 16);
	strcpy(h->map.pos[1].prev_alias, "old");
	h->n_left = 1;
	memset(h->left[0].uuid, 31, 16);
	strcpy(h->left[0].alias, "gone");
	h->left[0].time_us = 32;
	h->n_writers = 2;
	for (int i = 0; i < 2; i++)
	{
		h->writers[i].writer = (uint64_t) (100 + i);
		(void) sov_cert_issue(keys->repo, keys->admin_seed, SOV_CERT_WRITER, h->writers[i].writer, writer_pub, 8, &h->writers[i].cert, &err);
	}
	h->writers[1].revoked = true;
	h->n_condemned = 2;
	h->condemned = calloc(2, sizeof *h->condemned);
	strcpy(h->condemned[0], "00112233445566778899aabbccddeeff");
	strcpy(h->condemned[1], "ff112233445566778899aabbccddeeff");
	return h;
}

static enum sov_code
admin_decode(const struct sov_repo_keys *k, const uint8_t *p, size_t len)
{
	struct sov_admin_head *h = calloc(1, sizeof *h);
	uint8_t    *copy = malloc(len ? len : 1);
	enum sov_code rc;

	memcpy(copy, p, len);
	rc = sov_admin_decode(k, copy, len, h, &err);
	sov_admin_head_free(h);
	free(copy);
	free(h);
	return rc;
}

/* Encode h (altered by the caller) and say what a reader makes of it. */
static enum sov_code
as_read(struct sov_admin_head *h)
{
	struct sov_buf obj = {0};
	enum sov_code rc = sov_admin_encode(keys, h, &obj, &err);

	if (rc == SOV_OK)
		rc = admin_decode(keys, obj.data, obj.len);
	sov_buf_free(&obj);
	return rc;
}

/* Of the clusters that a repository has had; without them the bytes are as before. */
static void
clusters(void)
{
	struct sov_admin_head *in = full_admin(),
			   *out = calloc(1, sizeof *out);
	struct sov_buf obj = {0};

	in->n_clusters = 2;
	in->clusters[0].system_id = 7000000000000000042;
	in->clusters[0].plain = true;
	in->clusters[0].pg_version = 150014;
	in->clusters[0].mark.timeline = 3;
	strcpy(in->clusters[0].mark.segment, "000000030000000000000042");
	in->clusters[0].mark.lsn = 0x43000000;
	in->clusters[1].system_id = 7000000000000000043;
	in->clusters[1].since_us = 17;
	ok_rc(sov_admin_encode(keys, in, &obj, &err), err, "two clusters");
	ok_rc(sov_admin_decode(keys, obj.data, obj.len, out, &err), err, "decoded");
	ok(out->n_clusters == 2 && out->map.generation == 0 && out->was.n == 0 && out->clusters[0].plain && !out->clusters[1].plain &&
	   out->clusters[0].system_id == in->clusters[0].system_id && out->clusters[1].system_id == in->clusters[1].system_id &&
	   out->clusters[0].pg_version == 150014 && out->clusters[1].since_us == 17 &&
	   memcmp(&in->clusters[0].mark, &out->clusters[0].mark, sizeof in->clusters[0].mark) == 0, "both, with their marks");
	sov_admin_head_free(out);
	in->clusters[1].plain = true;
	ok(as_read(in) == SOV_E_FORMAT, "names of WAL are plain for one only");
	in->clusters[1].plain = false;
	in->clusters[1].system_id = in->clusters[0].system_id;
	ok(as_read(in) == SOV_E_FORMAT, "no cluster is there twice");
	in->n_clusters = 1;
	ok(as_read(in) == SOV_E_FORMAT, "one alone is not written");
	sov_admin_head_free(in);
	free(in);
	free(out);
	sov_buf_free(&obj);
}

/* While k and n change there are two maps. */
static void
two_maps(void)
{
	struct sov_admin_head *in = full_admin(),
			   *out = calloc(1, sizeof *out);
	struct sov_buf obj = {0};

	in->was = in->map;
	in->map.generation = 1;
	in->map.k = 3;
	in->map.n = 5;
	in->superseded = true;
	ok_rc(sov_admin_encode(keys, in, &obj, &err), err, "two maps");
	ok_rc(sov_admin_decode(keys, obj.data, obj.len, out, &err), err, "decoded");
	ok(out->superseded && memcmp(&in->map, &out->map, sizeof in->map) == 0 && memcmp(&in->was, &out->was, sizeof in->was) == 0, "both, and that one is superseded");
	sov_admin_head_free(out);
	in->was.generation = 1;
	ok(as_read(in) == SOV_E_FORMAT, "two maps of one generation are refused");
	in->was.n = 0;
	ok(as_read(in) == SOV_E_FORMAT, "nothing may be superseded without a map before");
	in->superseded = false;
	ok(as_read(in) == SOV_OK, "(afterwards there is one map again)");
	sov_admin_head_free(in);
	free(in);
	free(out);
	sov_buf_free(&obj);
}

static void
admin_heads(void)
{
	struct sov_admin_head *in = full_admin(),
			   *out = calloc(1, sizeof *out);
	struct sov_buf obj = {0};
	int			taken = 0;
	char	  (*condemned)[SOV_ID_MAX];

	ok_rc(sov_admin_encode(keys, in, &obj, &err), err, "an administrator's head");
	ok_rc(sov_admin_decode(keys, obj.data, obj.len, out, &err), err, "decoded");
	ok(out->n_condemned == 2 && memcmp(in->condemned, out->condemned, 2 * SOV_ID_MAX) == 0, "with the condemned packs");
	condemned = out->condemned;
	out->condemned = in->condemned;
	ok(memcmp(in, out, offsetof(struct sov_admin_head, left)) == 0 && memcmp(&in->hash, &out->hash, 32) == 0 &&
	   memcmp(&in->map, &out->map, sizeof in->map) == 0 && out->n_left == 1 && strcmp(out->left[0].alias, "gone") == 0 &&
	   out->n_writers == 2 && !out->writers[0].revoked && out->writers[1].revoked && out->writers[1].writer == 101, "map, leavers, writers");
	out->condemned = condemned;
	sov_admin_head_free(out);
	free(out);
	for (size_t i = 0; i < obj.len; i++)
	{
		obj.data[i] ^= 0x08;
		taken += admin_decode(keys, obj.data, obj.len) == SOV_OK;
		obj.data[i] ^= 0x08;
	}
	ok(taken == 0, "any flipped byte of %zu is refused", obj.len);
	taken = 0;
	for (size_t i = 0; i < obj.len; i++)
		taken += admin_decode(keys, obj.data, i) != SOV_E_FORMAT;
	ok(taken == 0, "any truncation");
	ok(admin_decode(other, obj.data, obj.len) == SOV_E_AUTH, "not with another repository's keys");
	ok(decode(keys, obj.data, obj.len, NULL) == SOV_E_FORMAT, "it is not a writer's head");
	sov_buf_free(&obj);
	sov_admin_head_free(in);
	free(in);
}

static void
forged_admin(void)
{
	struct sov_admin_head *h = full_admin();
	struct sov_cert good = h->admin,
				writer = h->writers[0].cert;
	struct sov_buf obj = {0},
				body = {0};

	/* The administrator's own certificate. */
	(void) sov_cert_issue(keys->repo, other->controller_seed, SOV_CERT_ADMIN, 0, keys->admin_pub, 8, &h->admin, &err);
	ok(as_read(h) == SOV_E_AUTH, "an administrator certified by another controller");
	(void) sov_cert_issue(other->repo, keys->controller_seed, SOV_CERT_ADMIN, 0, keys->admin_pub, 8, &h->admin, &err);
	ok(as_read(h) == SOV_E_AUTH, "or for another repository");
	(void) sov_cert_issue(keys->repo, keys->controller_seed, SOV_CERT_WRITER, 0, keys->admin_pub, 8, &h->admin, &err);
	ok(as_read(h) == SOV_E_AUTH, "or as a writer");
	(void) sov_cert_issue(keys->repo, keys->controller_seed, SOV_CERT_ADMIN, 0, writer_pub, 8, &h->admin, &err);
	ok(as_read(h) == SOV_E_AUTH, "a head not signed by its administrator");
	h->admin = good;
	/* Writers'. */
	h->writers[0].writer = 55;
	ok(as_read(h) == SOV_E_AUTH, "a writer with another's certificate");
	h->writers[0].writer = 100;
	(void) sov_cert_issue(keys->repo, writer_seed, SOV_CERT_WRITER, 100, writer_pub, 8, &h->writers[0].cert, &err);
	ok(as_read(h) == SOV_E_AUTH, "or one that a writer gave");
	(void) sov_cert_issue(keys->repo, keys->admin_seed, SOV_CERT_ADMIN, 100, writer_pub, 8, &h->writers[0].cert, &err);
	ok(as_read(h) == SOV_E_AUTH, "or one of another role");
	h->writers[0].cert = writer;
	ok(as_read(h) == SOV_OK, "(as it was, it is good)");
	/* Signed well, but impossible. */
	h->map.k = 0;
	ok(as_read(h) == SOV_E_FORMAT, "k = 0");
	h->map.k = 4;
	ok(as_read(h) == SOV_E_FORMAT, "k > n");
	h->map.k = 2;
	h->seq = 0;
	ok(as_read(h) == SOV_E_FORMAT, "head 0");
	h->seq = 3;
	/* A writer's body where the administrator's is expected cannot be: magic is signed. */
	ok(sov_admin_encode(keys, h, &obj, &err) == SOV_OK && envelope_open(keys, "SOVADMN1", "x", obj.data, obj.len, &body, &err) == SOV_OK, "opened by a key holder");
	body.len -= SOV_SIG_LEN;
	reseal(&body, "SOVADMN1", writer_seed, &obj);
	ok(admin_decode(keys, obj.data, obj.len) == SOV_E_AUTH, "signed by a writer");
	sov_put_le32(body.data + body.len - 2 * 34 - 4, 0xffffffff);
	reseal(&body, "SOVADMN1", keys->admin_seed, &obj);
	ok(admin_decode(keys, obj.data, obj.len) == SOV_E_FORMAT, "a huge count of condemned packs");
	sov_buf_free(&obj);
	sov_buf_free(&body);
	sov_admin_head_free(h);
	free(h);
}

static void
map(void)
{
	struct sov_map m = {.k = 2};
	int			bad = 0,
				used[16] = {0};

	for (int n = 2; n <= 16; n++)
		for (int i = 0; i < 200; i++)
		{
			char		id[33];
			unsigned	seen = 0;

			m.n = (uint8_t) n;
			snprintf(id, sizeof id, "%032x", i);
			for (int s = 0; s < n; s++)
			{
				int			p = sov_map_position(&m, 'p', id, s);

				bad += p < 0 || p >= n || sov_map_slot_at(&m, 'p', id, p) != s;
				seen |= 1u << p;
				if (n == 16 && s == 0)
					used[p]++;
			}
			bad += seen != (1u << n) - 1;
		}
	ok(bad == 0, "position and slot are each other's inverse, n = 2 to 16");
	for (int i = 0; i < 16; i++)
		bad += used[i] == 0;
	ok(bad == 0, "and slots rotate over all positions");
	/* Fixed for ever, or nothing written would be found. */
	m.n = 3;
	ok(sov_map_position(&m, 'm', "00112233445566778899aabbccddeeff", 0) == sov_map_position(&m, 'm', "00112233445566778899aabbccddeeff", 1) - 1 ||
	   sov_map_position(&m, 'm', "00112233445566778899aabbccddeeff", 1) == 0, "consecutive slots are at consecutive positions");
}

static void
identity(void)
{
	uint8_t		uuid[16],
				back[16];
	struct sov_buf obj = {0};
	int			taken = 0;

	memset(uuid, 0x42, 16);
	ok(sov_identity_encode(keys, uuid, &obj, &err) == SOV_OK && sov_identity_decode(keys, obj.data, obj.len, back, &err) == SOV_OK &&
	   memcmp(uuid, back, 16) == 0, "a provider's identity");
	for (size_t i = 0; i < obj.len; i++)
	{
		obj.data[i] ^= 1;
		taken += sov_identity_decode(keys, obj.data, obj.len, back, &err) == SOV_OK;
		obj.data[i] ^= 1;
		taken += sov_identity_decode(keys, obj.data, i, back, &err) == SOV_OK;
	}
	taken += sov_identity_decode(other, obj.data, obj.len, back, &err) != SOV_E_AUTH;
	ok(taken == 0, "flipped, cut, or another repository's: refused");
	sov_buf_free(&obj);
}

int
main(void)
{
	keys = test_keys(1);
	other = test_keys(2);
	memset(writer_seed, 77, 32);
	if (sov_sign_public(writer_seed, writer_pub, &err) != SOV_OK)
		return 1;
	writer_heads();
	two_maps();
	clusters();
	admin_heads();
	forged_admin();
	map();
	identity();
	sov_repo_keys_free(keys);
	sov_repo_keys_free(other);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
