/*
 * manifest - manifests, pieces and catalogues: round trips, and everything that
 * restore relies on being refused.
 */
#include <string.h>

#include "sov_manifest.h"
#include "testkeys.h"
#include "tap.h"

static struct sov_error err;

static struct sov_objref
reference(uint8_t x)
{
	struct sov_objref ref = {.attempt = x, .length = 1000u + x};

	snprintf(ref.id, sizeof ref.id, "%032x", x);
	memset(ref.stream, x, 32);
	return ref;
}

/* Copies of exact size, so that the address sanitizer sees an overrun. */
#define WITH_COPY(p, len, call) \
	uint8_t    *copy = malloc((len) ? (len) : 1); \
	memcpy(copy, p, len); \
	enum sov_code rc = call; \
	free(copy)

/* --- pieces --- */

/* A sound piece: two packs, a directory, an empty file, one of two blocks. */
struct sample
{
	struct sov_mf_pack packs[2];
	struct sov_mf_file files[3];
	struct sov_mf_block blocks[2];
	struct sov_mf_run runs[3];
	uint32_t	pages[SOV_BLOCK_PAGES + 1];
	struct sov_piece piece;
};

static char path_base[] = "base",
			path_empty[] = "base/1",
			path_big[] = "base/2";

static void
sample(struct sample *s)
{
	memset(s, 0, sizeof *s);
	for (int i = 0; i < 2; i++)
	{
		memset(s->packs[i].id, 1 + i, 16);
		memset(s->packs[i].run, 3 + i, 16);
		s->packs[i].attempt = (uint16_t) i;
		s->packs[i].generation = (uint32_t) i;
		s->packs[i].sealed_len = 1000;
	}
	s->files[0] = (struct sov_mf_file) {path_base, 'd', 0700, 0, 1, 0, 0, 0};
	s->files[1] = (struct sov_mf_file) {path_empty, 'f', 0600, 0, 2, 0, 0, 0};
	s->files[2] = (struct sov_mf_file) {path_big, 'f', 0640, SOV_FRAME_MAX + 100, 3, 0, 0, 2};
	memset(s->blocks[0].hash, 5, 16);
	s->blocks[0].n_runs = 2;
	memset(s->blocks[1].hash, 6, 16);
	s->blocks[1].first_page = SOV_BLOCK_PAGES;
	for (uint32_t i = 0; i <= SOV_BLOCK_PAGES; i++)
		s->pages[i] = 1000 + i;
	s->blocks[1].first_run = 2;
	s->blocks[1].n_runs = 1;
	s->runs[0] = (struct sov_mf_run) {.first = 0, .length = 8192, .pack = 0, .offset = 0, .sealed_len = 500, .raw_len = 8192, .skip = 0, .counter = 1};
	s->runs[1] = (struct sov_mf_run) {.first = 8192, .length = 122880, .pack = 1, .offset = 500, .sealed_len = 500, .raw_len = 131072, .skip = 8192, .counter = 2};
	s->runs[2] = (struct sov_mf_run) {.first = 0, .length = 100, .pack = 0, .offset = 999, .sealed_len = 1, .raw_len = 100, .skip = 0, .counter = UINT64_MAX};
	s->piece = (struct sov_piece) {2, 3, 2, 3, SOV_BLOCK_PAGES + 1, s->packs, s->files, s->blocks, s->runs, s->pages, false};
}

static enum sov_code
decode_piece(const uint8_t *p, size_t len)
{
	struct sov_piece piece;

	WITH_COPY(p, len, sov_piece_decode(copy, len, &piece, &err));
	if (rc == SOV_OK)
		sov_piece_free(&piece);
	return rc;
}

/* An altered sample is refused by the one that writes it, because the one that
 * reads it refuses. */
static bool
refused(const struct sample *s)
{
	struct sov_buf b = {0};
	enum sov_code rc = sov_piece_encode(&s->piece, &b, &err),
				read = decode_piece(b.data, b.len);

	sov_buf_free(&b);
	return rc == SOV_E_STATE && err.message[0] && read == SOV_E_FORMAT;
}

static void
piece_round_trip(struct sov_buf *bytes)
{
	struct sample s;
	struct sov_piece p;
	int			bad = 0,
				taken = 0;

	sample(&s);
	ok_rc(sov_piece_encode(&s.piece, bytes, &err), err, "a piece");
	ok_rc(sov_piece_decode(bytes->data, bytes->len, &p, &err), err, "read back");
	ok(p.n_packs == 2 && p.n_files == 3 && p.n_blocks == 2 && p.n_runs == 3 && p.n_pages == SOV_BLOCK_PAGES + 1, "counts");
	for (int i = 0; i < 2; i++)
	{
		bad += memcmp(&p.packs[i].id, &s.packs[i].id, 16) != 0 || memcmp(&p.packs[i].run, &s.packs[i].run, 16) != 0;
		bad += p.packs[i].attempt != s.packs[i].attempt || p.packs[i].generation != s.packs[i].generation || p.packs[i].sealed_len != 1000;
		bad += memcmp(p.blocks[i].hash, s.blocks[i].hash, 16) != 0 || p.blocks[i].n_runs != s.blocks[i].n_runs || p.blocks[i].first_run != s.blocks[i].first_run || p.blocks[i].first_page != s.blocks[i].first_page;
	}
	bad += memcmp(p.pages, s.pages, sizeof s.pages) != 0;
	for (int i = 0; i < 3; i++)
	{
		bad += strcmp(p.files[i].path, s.files[i].path) != 0 || p.files[i].type != s.files[i].type || p.files[i].mode != s.files[i].mode;
		bad += p.files[i].size != s.files[i].size || p.files[i].mtime_us != s.files[i].mtime_us || p.files[i].n_blocks != s.files[i].n_blocks;
		bad += p.runs[i].first != s.runs[i].first || p.runs[i].length != s.runs[i].length || p.runs[i].pack != s.runs[i].pack ||
			p.runs[i].offset != s.runs[i].offset || p.runs[i].sealed_len != s.runs[i].sealed_len || p.runs[i].raw_len != s.runs[i].raw_len ||
			p.runs[i].skip != s.runs[i].skip || p.runs[i].counter != s.runs[i].counter;
	}
	ok(bad == 0, "every field");
	sov_piece_free(&p);
	for (size_t i = 0; i < bytes->len; i++)
		taken += decode_piece(bytes->data, i) != SOV_E_FORMAT;
	ok(taken == 0, "any truncation is refused");
	sov_write_u8(bytes, 0);
	ok(decode_piece(bytes->data, bytes->len) == SOV_E_FORMAT, "a byte more");
	bytes->len--;
	sov_put_le16(bytes->data + 8, 2);
	ok(decode_piece(bytes->data, bytes->len) == SOV_E_UNSUPPORTED && err.hint[0], "a later format, with a hint");
	sov_put_le16(bytes->data + 8, 1);
	memset(&s, 0, sizeof s);
	bytes->len = 0;
	ok(sov_piece_encode(&s.piece, bytes, &err) == SOV_OK && decode_piece(bytes->data, bytes->len) == SOV_OK, "an empty piece");
}

static void
paths(void)
{
	static const char *const good[] = {"base/2a", "base/2/x", "base/3", "base/...", "base/..x", "pg_tblspc/1/PG_15_2/3", "z", "\xc3\xa9"};
	static const char *const bad[] = {
		"", "/", "/etc/passwd", "..", "../x", "base/..", "base/../x", "base/./x", ".", "./x", "base//x", "base/", "x/", "a\nb",
		"base/2\x1b[0m", "base/\x7f", "base/x\x01", "base/1", "base", "a"	/* the last three: out of order */
	};
	struct sample s;
	char		text[SOV_PATH_MAX + 10];
	int			n = 0;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
	{
		struct sov_buf b = {0};

		sample(&s);
		s.files[2].path = strcpy(text, good[i]);
		if (strcmp(text, "base/...") == 0 || strcmp(text, "base/..x") == 0)
			s.files[1].path = path_base, s.files[0].path = (char *) "a";
		ok_rc(sov_piece_encode(&s.piece, &b, &err), err, "path %s", good[i]);
		sov_buf_free(&b);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		sample(&s);
		s.files[2].path = strcpy(text, bad[i]);
		n += !refused(&s);
		/* as the first: order does not decide */
		sample(&s);
		s.piece.n_files = 1;
		s.files[0].path = text;
		if (i < 17)
			n += !refused(&s);
	}
	ok(n == 0, "paths that leave the directory, say nothing, or are out of order");
	sample(&s);
	memset(text, 'x', sizeof text);
	text[SOV_PATH_MAX - 1] = '\0';
	s.files[2].path = text;
	n = !refused(&s);
	ok(n == 1, "a path of the greatest length is good");
	text[SOV_PATH_MAX - 1] = 'x';
	text[SOV_PATH_MAX] = '\0';
	ok(refused(&s), "one byte more is not");
}

#define REFUSE(what, change) \
	do { sample(&s); change; ok(refused(&s), what); } while (0)

static void
piece_rules(void)
{
	struct sample s;

	REFUSE("a file type that is not", s.files[1].type = 'l');
	REFUSE("mode bits beyond permissions", s.files[1].mode = 0100644);
	REFUSE("a directory with a size", s.files[0].size = 1);
	REFUSE("too few blocks for the size", s.files[2].n_blocks = 1);
	REFUSE("too many blocks for the size", s.files[1].n_blocks = 1);
	REFUSE("a size one byte beyond its blocks", s.files[2].size = 2 * SOV_FRAME_MAX + 1);
	REFUSE("a huge size", s.files[2].size = UINT64_MAX);
	REFUSE("a pack that is not", s.runs[0].pack = 2);
	REFUSE("a huge pack index", s.runs[0].pack = UINT32_MAX);
	REFUSE("an empty run", s.runs[0].length = 0);
	REFUSE("a run beyond its block", s.runs[1].length = 122881);
	REFUSE("a run that begins beyond its block", s.runs[2].first = 101);
	REFUSE("a run beyond a short last block", s.runs[2].length = 101);
	REFUSE("a huge run", s.runs[0].length = UINT32_MAX);
	REFUSE("overlapping runs", s.runs[1].first = 8191);
	REFUSE("runs out of order", (s.runs[0].first = 8192, s.runs[1].first = 0, s.runs[1].length = 100));
	REFUSE("a frame that is too long", s.runs[1].raw_len = SOV_FRAME_MAX + 1);
	REFUSE("a run beyond its frame", s.runs[0].skip = 1);
	REFUSE("a skip beyond the frame", s.runs[0].skip = UINT32_MAX);
	REFUSE("a frame beyond its pack", s.runs[1].offset = 501);
	REFUSE("a frame longer than its pack", s.runs[0].sealed_len = 1001);
	REFUSE("an offset that wraps", (s.runs[0].offset = UINT32_MAX, s.runs[0].sealed_len = 2));
	REFUSE("a pack larger than packs are", s.packs[0].sealed_len = ((uint64_t) 1 << 30) + 1);
}

/* Counts that say more than there is, wherever they stand. */
static void
huge_counts(const struct sov_buf *bytes)
{
	uint8_t    *p = malloc(bytes->len);
	int			done = 0;

	for (size_t i = 12; i + 4 <= bytes->len; i++)
	{
		memcpy(p, bytes->data, bytes->len);
		memset(p + i, 0xff, 4);
		(void) decode_piece(p, bytes->len);
		sov_put_le32(p + i, 0x7fffffff);
		(void) decode_piece(p, bytes->len);
		done++;
	}
	memcpy(p, bytes->data, bytes->len);
	sov_put_le32(p + 12, UINT32_MAX);
	ok(done > 0 && decode_piece(p, bytes->len) == SOV_E_FORMAT, "huge counts do no harm (%d places)", done);
	free(p);
}

/* --- manifest --- */

static void
full_manifest(struct sov_manifest *m)
{
	memset(m, 0, sizeof *m);
	strcpy(m->backup_id, "20261123T150501Z-1f0c");
	strcpy(m->label, "nightly");
	m->system_id = 1;
	m->pg_version = 150000;
	m->catalog_version = 2;
	m->block_size = 8192;
	m->wal_segment_size = 16 << 20;
	m->checksums = true;
	m->timeline = 3;
	m->start_lsn = 4;
	m->stop_lsn = 5;
	m->redo_lsn = 6;
	m->start_us = 7;
	m->stop_us = 8;
	sov_write_bytes(&m->backup_label, "START WAL\n", 10);
	sov_write_bytes(&m->tablespace_map, "16384 /a\n", 9);
	m->n_tablespaces = 2;
	m->tablespaces = calloc(2, sizeof *m->tablespaces);
	m->tablespaces[0].oid = 16384;
	strcpy(m->tablespaces[0].path, "/a");
	m->tablespaces[1].oid = 16385;
	strcpy(m->tablespaces[1].path, "/b/c d");
	m->n_databases = 2;
	m->databases = calloc(2, sizeof *m->databases);
	m->databases[0].oid = 5;
	strcpy(m->databases[0].name, "postgres");
	m->databases[1].oid = 16400;
	strcpy(m->databases[1].name, "entrepot");
	m->files = 9;
	m->bytes = 10;
	m->stored = 11;
	m->frames = 12;
	m->bad_pages = 13;
	m->n_bad = 1;
	m->bad = calloc(1, sizeof *m->bad);
	strcpy(m->bad[0].path, "base/1/2");
	m->bad[0].block = 14;
	m->n_pieces = 2;
	m->pieces = calloc(2, sizeof *m->pieces);
	m->pieces[0].ref = reference(1);
	m->pieces[0].first_path = strdup("PG_VERSION");
	m->pieces[1].ref = reference(2);
	m->pieces[1].first_path = strdup("base/5");
}

static enum sov_code
decode_manifest(const uint8_t *p, size_t len)
{
	struct sov_manifest m;

	WITH_COPY(p, len, sov_manifest_decode(copy, len, &m, &err));
	if (rc == SOV_OK)
		sov_manifest_free(&m);
	return rc;
}

static bool
manifest_refused(const struct sov_manifest *m)
{
	struct sov_buf b = {0};
	enum sov_code rc = sov_manifest_encode(m, &b, &err),
				read = decode_manifest(b.data, b.len);

	sov_buf_free(&b);
	return rc == SOV_E_STATE && read == SOV_E_FORMAT;
}

static void
manifest_round_trip(void)
{
	struct sov_manifest in,
				out;
	struct sov_buf b = {0};
	int			taken = 0;

	full_manifest(&in);
	ok_rc(sov_manifest_encode(&in, &b, &err), err, "a manifest");
	ok_rc(sov_manifest_decode(b.data, b.len, &out, &err), err, "read back");
	ok(strcmp(out.backup_id, in.backup_id) == 0 && strcmp(out.label, "nightly") == 0 && out.system_id == 1 && out.pg_version == 150000 &&
	   out.catalog_version == 2 && out.block_size == 8192 && out.wal_segment_size == 16 << 20 && out.checksums && out.timeline == 3, "identity");
	ok(out.start_lsn == 4 && out.stop_lsn == 5 && out.redo_lsn == 6 && out.start_us == 7 && out.stop_us == 8 &&
	   out.files == 9 && out.bytes == 10 && out.stored == 11 && out.frames == 12 && out.bad_pages == 13, "numbers");
	ok(out.backup_label.len == 10 && memcmp(out.backup_label.data, "START WAL\n", 10) == 0 && out.tablespace_map.len == 9, "label and map");
	ok(out.n_databases == 2 && out.databases[1].oid == 16400 && strcmp(out.databases[1].name, "entrepot") == 0, "databases");
	ok(out.n_tablespaces == 2 && out.tablespaces[1].oid == 16385 && strcmp(out.tablespaces[1].path, "/b/c d") == 0 &&
	   out.n_bad == 1 && out.bad[0].block == 14 && strcmp(out.bad[0].path, "base/1/2") == 0, "tablespaces, bad pages");
	ok(out.n_pieces == 2 && strcmp(out.pieces[1].first_path, "base/5") == 0 &&
	   memcmp(&out.pieces[1].ref, &in.pieces[1].ref, sizeof in.pieces[1].ref) == 0, "pieces");
	sov_manifest_free(&out);
	for (size_t i = 0; i < b.len; i++)
		taken += decode_manifest(b.data, i) != SOV_E_FORMAT;
	ok(taken == 0, "any truncation is refused");
	for (size_t i = 8; i + 4 <= b.len; i++)
	{
		uint8_t		keep[4];

		memcpy(keep, b.data + i, 4);
		memset(b.data + i, 0xff, 4);
		(void) decode_manifest(b.data, b.len);
		memcpy(b.data + i, keep, 4);
	}
	sov_write_u8(&b, 0);
	ok(decode_manifest(b.data, b.len) == SOV_E_FORMAT, "a byte more; huge counts do no harm");
	sov_put_le16(b.data + 8, 2);
	ok(decode_manifest(b.data, b.len) == SOV_E_UNSUPPORTED && err.hint[0], "a later format, with a hint");
	sov_buf_free(&b);
	sov_manifest_free(&in);
}

#define REFUSE_M(what, change, undo) \
	do { change; ok(manifest_refused(&m), what); undo; } while (0)

static void
manifest_rules(void)
{
	struct sov_manifest m;
	struct sov_buf b = {0};
	char	   *keep;

	full_manifest(&m);
	REFUSE_M("no backup id", m.backup_id[0] = '\0', m.backup_id[0] = '2');
	REFUSE_M("block size 0", m.block_size = 0, m.block_size = 8192);
	REFUSE_M("block size 8191", m.block_size = 8191, m.block_size = 8192);
	REFUSE_M("WAL segments of no bytes", m.wal_segment_size = 0, m.wal_segment_size = 1 << 20);
	REFUSE_M("WAL segments of an odd size", m.wal_segment_size = (1 << 20) + 1, m.wal_segment_size = 1 << 30);
	REFUSE_M("a relative tablespace", strcpy(m.tablespaces[0].path, "a"), strcpy(m.tablespaces[0].path, "/a"));
	REFUSE_M("a tablespace that climbs", strcpy(m.tablespaces[0].path, "/a/../../b"), strcpy(m.tablespaces[0].path, "/a"));
	REFUSE_M("a tablespace with a line break", strcpy(m.tablespaces[0].path, "/a\nb"), strcpy(m.tablespaces[0].path, "/a"));
	REFUSE_M("a tablespace at the root", strcpy(m.tablespaces[0].path, "/"), strcpy(m.tablespaces[0].path, "/a"));
	keep = m.pieces[1].first_path;
	REFUSE_M("pieces out of order", m.pieces[1].first_path = (char *) "A", m.pieces[1].first_path = keep);
	REFUSE_M("two pieces that begin alike", m.pieces[1].first_path = (char *) "PG_VERSION", m.pieces[1].first_path = keep);
	REFUSE_M("a piece that begins outside", m.pieces[1].first_path = (char *) "a/../../x", m.pieces[1].first_path = keep);
	REFUSE_M("a piece without an id", m.pieces[1].ref.id[0] = '\0', m.pieces[1].ref = reference(2));
	m.n_bad = 1001;
	keep = (char *) m.bad;
	m.bad = calloc(1001, sizeof *m.bad);
	ok(manifest_refused(&m), "more bad pages listed than there may be");
	free(m.bad);
	m.bad = (struct sov_mf_bad *) keep;
	m.n_bad = 1;
	for (int i = 0; i < 7000; i++)
		sov_write_bytes(&m.backup_label, "0123456789", 10);
	ok(manifest_refused(&m), "a backup_label of 70,000 bytes");
	m.backup_label.len = 10;
	ok_rc(sov_manifest_encode(&m, &b, &err), err, "(as it was, it is good)");
	sov_buf_free(&b);
	sov_manifest_free(&m);
}

/* --- catalogue --- */

static enum sov_code
decode_catalogue(const uint8_t *p, size_t len)
{
	struct sov_catalogue c;

	WITH_COPY(p, len, sov_catalogue_decode(copy, len, &c, &err));
	if (rc == SOV_OK)
		sov_catalogue_free(&c);
	return rc;
}

static void
catalogue(void)
{
	struct sov_backup_entry e[2];
	struct sov_catalogue in = {2, e},
				out;
	struct sov_buf b = {0};
	int			taken = 0;

	memset(e, 0, sizeof e);
	for (int i = 0; i < 2; i++)
	{
		snprintf(e[i].id, sizeof e[i].id, "backup%d", i);
		e[i].manifest = reference((uint8_t) (i + 1));
		strcpy(e[i].label, i ? "" : "x");
		e[i].system_id = 1;
		e[i].timeline = 2;
		e[i].start_lsn = 3;
		e[i].stop_lsn = 4;
		e[i].start_us = 5;
		e[i].stop_us = 6;
		e[i].pg_version = 7;
		e[i].wal_segment_size = 1 << 24;
		e[i].files = 8;
		e[i].bytes = 9;
		e[i].stored = 10;
		e[i].bad_pages = 11;
	}
	ok_rc(sov_catalogue_encode(&in, &b, &err), err, "a catalogue");
	ok_rc(sov_catalogue_decode(b.data, b.len, &out, &err), err, "read back");
	ok(out.n == 2 && memcmp(out.backups, e, sizeof e) == 0, "every field");
	sov_catalogue_free(&out);
	for (size_t i = 0; i < b.len; i++)
		taken += decode_catalogue(b.data, i) != SOV_E_FORMAT;
	for (size_t i = 10; i + 4 <= b.len; i++)
	{
		uint8_t		keep[4];

		memcpy(keep, b.data + i, 4);
		memset(b.data + i, 0xff, 4);
		(void) decode_catalogue(b.data, b.len);
		memcpy(b.data + i, keep, 4);
	}
	sov_write_u8(&b, 0);
	taken += decode_catalogue(b.data, b.len) != SOV_E_FORMAT;
	ok(taken == 0, "truncations and a byte more are refused, huge counts do no harm");
	b.len--;
	sov_put_le32(b.data + 10, 3);
	ok(decode_catalogue(b.data, b.len) == SOV_E_FORMAT, "more entries than there are");
	sov_put_le32(b.data + 10, UINT32_MAX);
	ok(decode_catalogue(b.data, b.len) == SOV_E_FORMAT, "a huge count");
	b.len = 0;
	e[1].wal_segment_size = 0;
	ok(sov_catalogue_encode(&in, &b, &err) == SOV_E_STATE, "WAL segments of no bytes");
	b.len = 0;
	e[1].wal_segment_size = 1 << 24;
	e[0].id[0] = '\0';
	ok(sov_catalogue_encode(&in, &b, &err) == SOV_E_STATE, "a backup without an id");
	b.len = 0;
	in.n = 0;
	ok(sov_catalogue_encode(&in, &b, &err) == SOV_OK && decode_catalogue(b.data, b.len) == SOV_OK, "an empty one is good");
	sov_buf_free(&b);
}

int
main(void)
{
	struct sov_buf bytes = {0};
	struct sample s;

	piece_round_trip(&bytes);
	bytes.len = 0;
	sample(&s);
	ok_rc(sov_piece_encode(&s.piece, &bytes, &err), err, "the piece again");
	paths();
	piece_rules();
	huge_counts(&bytes);
	manifest_round_trip();
	manifest_rules();
	catalogue();
	sov_buf_free(&bytes);
	return tap_done();
}
