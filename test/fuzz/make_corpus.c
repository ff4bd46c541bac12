/*
 * make_corpus.c - the corpora of the fuzz targets of core's formats.
 *
 * "make corpus" builds this program and runs it on test/fuzz/corpus; what it
 * writes is committed.  Each format gets one object as a provider would hold it
 * ("sealed", first byte 0) and one or two insides (first byte 1; sealing.h says
 * what that means).  Sealed objects have random nonces, so running it again
 * changes them, for no harm.  The corpora of fuzz_config and fuzz_value are made
 * otherwise: their targets say how.
 */
#include <errno.h>
#include <sys/stat.h>

#include "sealing.h"
#include "audit/audit_private.h"
#include "custody/kmip.h"
#include "sov_manifest.h"
#include "sov_quorum.h"

static const char *dir;
static struct sov_repo_keys *keys;

static void
write_file(const char *format, const char *name, int first, const void *p, size_t len)
{
	char		path[600];
	FILE	   *f;

	snprintf(path, sizeof path, "%s/%s", dir, format);
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		perror(path);
	snprintf(path, sizeof path, "%s/%s/%s", dir, format, name);
	f = fopen(path, "wb");
	if (f == NULL)
	{
		perror(path);
		exit(1);
	}
	if (first >= 0)
		fputc(first, f);
	if (fwrite(p, 1, len, f) != len || fclose(f) != 0)
		perror(path);
}

static void
check(enum sov_code rc, const struct sov_error *err)
{
	if (rc == SOV_OK)
		return;
	fprintf(stderr, "%s\n", err->message);
	exit(1);
}

/* The inside of what is sealed behind a clear part of 32 bytes. */
static void
unseal_outer(const struct sov_buf *obj, struct sov_buf *plain)
{
	struct sov_error err;
	size_t		n = sov_get_le32(obj->data + 16);
	uint8_t    *p = sov_buf_extend(plain, n);

	check(sov_aead_open(keys->outer, obj->data + 20, obj->data, 32, obj->data + 32, n, obj->data + 32 + n, p, &err), &err);
}

static void
make_shard(void)
{
	struct sov_shard_info info = {.class_ = SOV_CLASS_WAL, .k = 2, .n = 3};
	struct sov_shard_set set;
	struct sov_buf obj = {0},
				plain = {0},
				inside = {0};
	struct sov_error err;
	uint8_t		sealed[200];

	strcpy(info.id, "000000010000000000000001");
	for (size_t i = 0; i < sizeof sealed; i++)
		sealed[i] = (uint8_t) (i * 7);
	check(sov_shard_encode(keys, &info, sealed, sizeof sealed, &set, &err), &err);
	for (int s = 1; s < 3; s++)
	{
		obj.len = plain.len = inside.len = 0;
		sov_write_bytes(&obj, set.prefix[s].data, set.prefix[s].len);
		sov_write_bytes(&obj, set.body[s], set.info.shard_len);
		write_file("shard", s == 1 ? "sealed_data" : "sealed_parity", 0, obj.data, obj.len);
	}
	unseal_outer(&obj, &plain);
	sov_write_u16(&inside, (uint16_t) plain.len);
	sov_write_bytes(&inside, plain.data, plain.len);
	sov_write_bytes(&inside, obj.data + 32 + plain.len + 16, obj.len - 32 - plain.len - 16);
	write_file("shard", "inside_parity", 1, inside.data, inside.len);
	sov_shard_set_free(&set);
	sov_buf_free(&obj);
	sov_buf_free(&plain);
	sov_buf_free(&inside);
}

static void
make_share(void)
{
	struct sov_run *run;
	struct sov_buf obj[5] = {{0}},
				plain = {0};
	struct sov_error err;

	check(sov_run_create(keys, &run, &err), &err);
	check(sov_run_split(keys, run, 2, 3, obj, &err), &err);
	write_file("share", "sealed", 0, obj[0].data, obj[0].len);
	unseal_outer(&obj[1], &plain);
	write_file("share", "inside_2_of_3", 1, plain.data, plain.len);
	for (int i = 0; i < 3; i++)
		sov_buf_free(&obj[i]);
	plain.len = 0;
	check(sov_run_split(keys, run, 1, 1, obj, &err), &err);
	unseal_outer(&obj[0], &plain);
	write_file("share", "inside_1_of_1", 1, plain.data, plain.len);
	sov_buf_free(&obj[0]);
	sov_run_free(run);
	plain.len = 0;
	memset(keys->content_private, 99, 32);	/* as in fuzz_share.c */
	check(sov_hpke_public(keys->content_private, keys->content_public, &err), &err);
	keys->has_pair = true;
	keys->pair_version = 9;
	check(sov_run_create(keys, &run, &err), &err);
	keys->has_pair = false;
	check(sov_run_split(keys, run, 2, 3, obj, &err), &err);
	write_file("share", "sealed_run", 0, obj[0].data, obj[0].len);
	unseal_outer(&obj[1], &plain);
	write_file("share", "inside_sealed_run", 3, plain.data, plain.len);
	for (int i = 0; i < 3; i++)
		sov_buf_free(&obj[i]);
	sov_buf_free(&plain);
	sov_run_free(run);
}

static struct sov_objref
reference(int x)
{
	struct sov_objref ref = {.attempt = 0, .length = 1000};

	snprintf(ref.id, sizeof ref.id, "%032x", x);
	memset(ref.stream, x, 32);
	return ref;
}

static void
make_head(void)
{
	struct sov_head h = {.writer = 1, .seq = 2, .n_parents = 1, .has_catalogue = true};
	struct sov_buf obj = {0},
				body = {0};
	struct sov_error err;
	uint8_t		seed[32];

	memset(seed, 77, 32);
	h.catalogue = reference(1);
	strcpy(h.mark.segment, "000000010000000000000001");
	h.mark.timeline = h.timeline = 1;
	check(sov_head_encode(keys, &h, seed, &obj, &err), &err);
	write_file("head", "sealed", 0, obj.data, obj.len);
	check(envelope_open(keys, "SOVHEAD1", "", obj.data, obj.len, &body, &err), &err);
	write_file("head", "inside_full", 1, body.data, body.len - SOV_SIG_LEN);
	obj.len = body.len = 0;
	h.n_parents = 0;
	h.has_catalogue = false;
	check(sov_head_encode(keys, &h, seed, &obj, &err), &err);
	check(envelope_open(keys, "SOVHEAD1", "", obj.data, obj.len, &body, &err), &err);
	write_file("head", "inside_small", 1, body.data, body.len - SOV_SIG_LEN);
	obj.len = 0;
	check(sov_identity_encode(keys, seed, &obj, &err), &err);
	write_file("head", "identity", 0, obj.data, obj.len);
	sov_buf_free(&obj);
	sov_buf_free(&body);
}

static void
make_admin(void)
{
	struct sov_admin_head *h = calloc(1, sizeof *h);
	struct sov_buf obj = {0},
				body = {0};
	struct sov_error err;

	h->seq = 1;
	memcpy(h->controller_pub, keys->controller_pub, 32);
	check(sov_cert_issue(keys->repo, keys->controller_seed, SOV_CERT_ADMIN, 0, keys->admin_pub, 8, &h->admin, &err), &err);
	h->map.k = 2;
	h->map.n = 3;
	for (int i = 0; i < 3; i++)
		snprintf(h->map.pos[i].alias, SOV_NAME_MAX, "p%d", i);
	h->n_left = 1;
	strcpy(h->left[0].alias, "gone");
	h->n_writers = 1;
	h->writers[0].writer = 5;
	check(sov_cert_issue(keys->repo, keys->admin_seed, SOV_CERT_WRITER, 5, keys->admin_pub, 8, &h->writers[0].cert, &err), &err);
	h->n_condemned = 2;
	h->condemned = calloc(2, sizeof *h->condemned);
	strcpy(h->condemned[0], "00112233445566778899aabbccddeeff");
	check(sov_admin_encode(keys, h, &obj, &err), &err);
	write_file("admin", "sealed", 0, obj.data, obj.len);
	check(envelope_open(keys, "SOVADMN1", "", obj.data, obj.len, &body, &err), &err);
	write_file("admin", "inside", 1, body.data, body.len - SOV_SIG_LEN);
	sov_buf_free(&obj);
	sov_buf_free(&body);
	sov_admin_head_free(h);
	free(h);
}

/* "Wraps" by copying, as the target's custodian unwraps. */
static enum sov_code
wrap_plain(struct sov_custodian *c, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *len, struct sov_error *err)
{
	(void) c;
	(void) err;
	memcpy(blob, key, 32);
	*len = 32;
	return SOV_OK;
}

static enum sov_code
unwrap_plain(struct sov_custodian *c, const uint8_t *blob, size_t len, uint8_t key[32], struct sov_error *err)
{
	(void) c;
	(void) err;
	memcpy(key, blob, len < 32 ? len : 32);
	return SOV_OK;
}

static void
make_keyring(void)
{
	struct sov_custodian_ops ops = test_ops;
	struct test_custodian c,
				content;
	struct sov_repo_keys *made;
	struct sov_buf obj = {0};
	struct sov_error err;

	test_custodian(&c, 5);
	test_custodian(&content, 6);
	check(sov_keyring_create(&c.base, NULL, "test", &made, &obj, &err), &err);
	sov_repo_keys_free(made);
	write_file("keyring", "sealed", 0, obj.data, obj.len);
	obj.len = 0;
	ops.wrap = wrap_plain;
	ops.unwrap = unwrap_plain;
	c.base.ops = content.base.ops = &ops;
	check(sov_keyring_create(&c.base, NULL, "test", &made, &obj, &err), &err);
	sov_repo_keys_free(made);
	write_file("keyring", "inside", 1, obj.data, obj.len - 32);
	obj.len = 0;
	check(sov_keyring_create(&c.base, &content.base, "test", &made, &obj, &err), &err);
	sov_repo_keys_free(made);
	write_file("keyring", "inside_pair", 1, obj.data, obj.len - 32);
	sov_buf_free(&obj);
}

static void
make_manifest(void)
{
	struct sov_manifest m = {.system_id = 1, .pg_version = 150000, .block_size = 8192, .wal_segment_size = 1 << 24, .checksums = true, .timeline = 1};
	struct sov_backup_entry e[2] = {{.system_id = 1, .wal_segment_size = 1 << 24}, {.wal_segment_size = 1 << 20}};
	struct sov_catalogue cat = {2, e};
	struct sov_buf b = {0};
	struct sov_error err;

	strcpy(m.backup_id, "20261123T150501Z-1f0c");
	check(sov_manifest_encode(&m, &b, &err), &err);
	write_file("manifest", "small", -1, b.data, b.len);
	sov_write_bytes(&m.backup_label, "START WAL\n", 10);
	m.n_tablespaces = 1;
	m.tablespaces = calloc(1, sizeof *m.tablespaces);
	strcpy(m.tablespaces[0].path, "/srv/ts");
	m.n_bad = 1;
	m.bad = calloc(1, sizeof *m.bad);
	strcpy(m.bad[0].path, "base/1/2");
	m.n_pieces = 2;
	m.pieces = calloc(2, sizeof *m.pieces);
	m.pieces[0].ref = reference(1);
	m.pieces[0].first_path = strdup("PG_VERSION");
	m.pieces[1].ref = reference(2);
	m.pieces[1].first_path = strdup("base/1");
	b.len = 0;
	check(sov_manifest_encode(&m, &b, &err), &err);
	write_file("manifest", "full", -1, b.data, b.len);
	sov_manifest_free(&m);

	strcpy(e[0].id, "20261123T150501Z-1f0c");
	strcpy(e[0].label, "nightly");
	strcpy(e[1].id, "x");
	e[0].manifest = reference(3);
	e[1].manifest = reference(4);
	b.len = 0;
	check(sov_catalogue_encode(&cat, &b, &err), &err);
	write_file("catalogue", "two", -1, b.data, b.len);
	cat.n = 0;
	b.len = 0;
	check(sov_catalogue_encode(&cat, &b, &err), &err);
	write_file("catalogue", "empty", -1, b.data, b.len);
	sov_buf_free(&b);
}

static void
make_piece(void)
{
	struct sov_mf_pack packs[2] = {{.sealed_len = 1000}, {.sealed_len = 600000}};
	char		path[3][16] = {"base", "base/1", "base/2"};
	struct sov_mf_file files[3] = {
		{path[0], 'd', 0700, 0, 1, 0, 0, 0}, {path[1], 'f', 0600, 100, 2, 0, 0, 1}, {path[2], 'f', 0600, SOV_FRAME_MAX + 100, 3, 0, 1, 2}
	};
	struct sov_mf_block blocks[3] = {{{1}, 0, 0, 1}, {{2}, 1, 1, 2}, {{3}, 3, 1 + SOV_BLOCK_PAGES, 0}};
	struct sov_mf_run runs[3] = {
		{.first = 0, .length = 100, .pack = 0, .offset = 0, .sealed_len = 500, .raw_len = 8192, .skip = 0, .counter = 1},
		{.first = 0, .length = 8192, .pack = 0, .offset = 500, .sealed_len = 500, .raw_len = 8192, .skip = 0, .counter = 2},
		{.first = 16384, .length = 8192, .pack = 1, .offset = 1234, .sealed_len = 500, .raw_len = 131072, .skip = 8192, .counter = 3},
	};
	uint32_t	pages[SOV_BLOCK_PAGES + 2] = {7, 8, 9};
	struct sov_piece piece = {2, 3, 3, 3, SOV_BLOCK_PAGES + 2, packs, files, blocks, runs, pages};
	struct sov_buf b = {0};
	struct sov_error err;

	check(sov_piece_encode(&piece, &b, &err), &err);
	write_file("piece", "two_packs", -1, b.data, b.len);
	piece.n_files = 1;
	piece.n_packs = 0;
	b.len = 0;
	check(sov_piece_encode(&piece, &b, &err), &err);
	write_file("piece", "directory", -1, b.data, b.len);
	sov_buf_free(&b);
}

static void
make_wal(void)
{
	static const char *const names[] = {"000000010000000000000042", "00000002.history", "000000010000000000000042.00000028.backup", "000000010000000000000042.partial"};
	struct sov_buf b = {0};
	char		file[16];

	for (int i = 0; i < 4; i++)
	{
		b.len = 0;
		sov_write_bytes(&b, names[i], strlen(names[i]) + 1);
		sov_write_u16(&b, 0xd110);	/* the long header of a segment: wal.c */
		sov_write_u16(&b, 2);
		sov_write_u32(&b, 1);
		sov_write_u64(&b, UINT64_C(0x42) << 24);
		sov_write_u64(&b, 0);
		sov_write_u64(&b, 7000000000000000000);
		sov_write_u32(&b, 1 << 24);
		sov_write_u32(&b, 8192);
		snprintf(file, sizeof file, "name%d", i);
		write_file("walheader", file, -1, b.data, b.len);
	}
	sov_buf_free(&b);
}

/* Behind the seal of a batch or beat (audit_batch.c). */
static void
unseal_audit(const struct sov_buf *obj, struct sov_buf *plain)
{
	static const char label[] = "pg_sovereign audit v1";
	struct sov_error err;
	struct sov_aead *a;
	uint8_t		key[32];
	size_t		n = sov_get_le32(obj->data + 12);
	uint8_t    *p = sov_buf_extend(plain, n);

	check(sov_hkdf(NULL, 0, keys->k_meta, 32, label, sizeof label - 1, key, 32, &err), &err);
	a = sov_aead_new(key, &err);
	check(sov_aead_open(a, obj->data + 16, obj->data, ENVELOPE_CLEAR, obj->data + ENVELOPE_CLEAR, n, obj->data + ENVELOPE_CLEAR + n, p, &err), &err);
	sov_aead_free(a);
	plain->len -= SOV_SIG_LEN;
}

static void
make_audit(void)
{
	struct sov_audit_entry e = {.seq = 1, .event = SOV_AUDIT_BACKUP, .user = "postgres", .client = "local", .text = "20260301-100000F"};
	struct sov_audit_batch b = {.chain = 5, .writer = 6, .batch = 1, .has_cert = true, .first_seq = 1, .n = 1, .entries = &e};
	struct sov_audit_beat beat = {.chain = 5, .batch = 1, .seq = 1};
	struct sov_buf obj = {0},
				plain = {0};
	struct sov_error err;
	uint8_t		seed[32];

	memset(seed, 77, 32);		/* as in the target */
	check(sov_sign_public(seed, b.signer, &err), &err);
	check(sov_audit_batch_encode(keys, &b, seed, &obj, &err), &err);
	write_file("audit", "sealed_batch", 0, obj.data, obj.len);
	unseal_audit(&obj, &plain);
	write_file("audit", "inside_batch", 1, plain.data, plain.len);
	obj.len = plain.len = 0;
	check(sov_audit_beat_encode(keys, &beat, seed, &obj, &err), &err);
	unseal_audit(&obj, &plain);
	write_file("audit", "inside_beat", 2, plain.data, plain.len);
	obj.len = 0;
	sov_write_bytes(&obj, AUDIT_QUEUE_MAGIC, AUDIT_QUEUE_CLEAR);
	sov_audit_entry_write(&obj, &e);
	write_file("audit", "queue", 3, obj.data, obj.len);
	obj.len = 0;
	audit_log_write(&obj, &e, b.after);
	write_file("audit", "log", 4, obj.data, obj.len);
	sov_buf_free(&obj);
	sov_buf_free(&plain);
}

static void
make_quorum(void)
{
	struct sov_quorum q = {.k = 2, .n = 3};
	struct sov_error err;
	uint8_t		shares[3][SOV_QUORUM_SHARE_LEN];
	char		text[SOV_QUORUM_FILE_MAX],
				rows[SOV_QUORUM_ROWS][SOV_QUORUM_ROW_TEXT];
	size_t		len;

	for (int i = 0; i < 3; i++)
		snprintf(q.holders[i].name, SOV_QUORUM_NAME, "Holder %d", i + 1);
	check(sov_quorum_split(&q, shares, &err), &err);
	check(sov_quorum_record_text(&q, text, &len, &err), &err);
	write_file("quorum", "record", 0, text, len);
	check(sov_quorum_file_text(&q, 2, shares[1], text, &len, &err), &err);
	write_file("quorum", "share", 1, text, len);
	check(sov_quorum_rows(shares[0], rows, &err), &err);
	write_file("quorum", "row", 2, rows[2], strlen(rows[2]));
}

/* An answer of a KMIP server: of Locate, GetAttributes and Encrypt, and a refusal. */
static void
make_kmip(const char *name, enum sov_kmip_operation op, uint32_t reason)
{
	uint8_t		message[1000];
	struct sov_ttlv_out o = {.data = message, .cap = sizeof message};
	size_t		whole = sov_ttlv_begin(&o, KMIP_RESPONSE),
				batch = sov_ttlv_begin(&o, KMIP_BATCH_ITEM),
				payload,
				attribute;

	sov_ttlv_number(&o, KMIP_OPERATION, TTLV_ENUM, op);
	sov_ttlv_number(&o, KMIP_RESULT_STATUS, TTLV_ENUM, reason != 0);
	if (reason != 0)
		sov_ttlv_number(&o, KMIP_RESULT_REASON, TTLV_ENUM, reason);
	payload = sov_ttlv_begin(&o, KMIP_RESPONSE_PAYLOAD);
	sov_ttlv_string(&o, KMIP_UNIQUE_ID, TTLV_TEXT, "17", 2);
	if (op == KMIP_GET_ATTRIBUTES)
	{
		attribute = sov_ttlv_begin(&o, KMIP_ATTRIBUTE);
		sov_ttlv_string(&o, KMIP_ATTRIBUTE_NAME, TTLV_TEXT, "Extractable", 11);
		sov_ttlv_number(&o, KMIP_ATTRIBUTE_VALUE, TTLV_BOOL, 0);
		sov_ttlv_end(&o, attribute);
	}
	if (op == KMIP_ENCRYPT)
	{
		sov_ttlv_string(&o, KMIP_DATA, TTLV_BYTES, message, 32);
		sov_ttlv_string(&o, KMIP_AUTH_TAG, TTLV_BYTES, message, 16);
	}
	sov_ttlv_end(&o, payload);
	sov_ttlv_end(&o, batch);
	sov_ttlv_end(&o, whole);
	write_file("kmip", name, op, o.data, o.len);
}

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		fprintf(stderr, "usage: make_corpus DIRECTORY\n");
		return 1;
	}
	dir = argv[1];
	keys = test_keys(1);
	make_shard();
	make_share();
	make_head();
	make_admin();
	make_keyring();
	make_manifest();
	make_piece();
	make_wal();
	make_audit();
	make_quorum();
	make_kmip("locate", KMIP_LOCATE, 0);
	make_kmip("attributes", KMIP_GET_ATTRIBUTES, 0);
	make_kmip("encrypt", KMIP_ENCRYPT, 0);
	make_kmip("refusal", KMIP_DECRYPT, KMIP_R_GENERAL);
	sov_repo_keys_free(keys);
	return 0;
}
