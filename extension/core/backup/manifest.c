/*
 * manifest.c - the root of one backup's description: sov_manifest.h.
 */
#include "manifest_private.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC "SOVMANIF"
#define FORMAT 1
#define LABEL_MAX (64 * 1024)	/* backup_label, tablespace_map */
#define BAD_MAX 1000

static void
write_blob(struct sov_buf *b, const struct sov_buf *blob)
{
	sov_write_u32(b, (uint32_t) blob->len);
	sov_write_bytes(b, blob->data, blob->len);
}

static void
read_blob(struct sov_reader *r, struct sov_buf *blob)
{
	uint32_t	n = sov_read_u32(r);
	const uint8_t *p;

	if (n > LABEL_MAX)
		r->bad = true;
	p = sov_read_bytes(r, n);
	if (p)
		sov_write_bytes(blob, p, n);
}

static enum sov_code
readable(const struct sov_buf *b, size_t from, struct sov_error *err)
{
	struct sov_manifest back;
	enum sov_code rc = sov_manifest_decode(b->data + from, b->len - from, &back, err);

	if (rc != SOV_OK)
		return rc == SOV_E_FORMAT ? sov_fail(err, SOV_E_STATE, MF_REFUSED_HINT, "the manifest would not be readable") : rc;
	sov_manifest_free(&back);
	return SOV_OK;
}

enum sov_code
sov_manifest_encode(const struct sov_manifest *m, struct sov_buf *b, struct sov_error *err)
{
	size_t		from = b->len;

	sov_write_bytes(b, MAGIC, 8);
	sov_write_u16(b, FORMAT);
	sov_write_u16(b, 0);
	sov_write_str(b, m->backup_id);
	sov_write_str(b, m->label);
	sov_write_u64(b, m->system_id);
	sov_write_u32(b, m->pg_version);
	sov_write_u32(b, m->catalog_version);
	sov_write_u32(b, m->block_size);
	sov_write_u32(b, m->wal_segment_size);
	sov_write_u8(b, m->checksums);
	sov_write_u32(b, m->timeline);
	sov_write_u64(b, m->start_lsn);
	sov_write_u64(b, m->stop_lsn);
	sov_write_u64(b, m->start_us);
	sov_write_u64(b, m->stop_us);
	sov_write_u64(b, m->redo_lsn);
	write_blob(b, &m->backup_label);
	write_blob(b, &m->tablespace_map);
	sov_write_u16(b, (uint16_t) m->n_tablespaces);
	for (uint32_t i = 0; i < m->n_tablespaces; i++)
	{
		sov_write_u32(b, m->tablespaces[i].oid);
		sov_write_str(b, m->tablespaces[i].path);
	}
	sov_write_u32(b, m->n_databases);
	for (uint32_t i = 0; i < m->n_databases; i++)
	{
		sov_write_u32(b, m->databases[i].oid);
		sov_write_str(b, m->databases[i].name);
	}
	sov_write_u64(b, m->files);
	sov_write_u64(b, m->bytes);
	sov_write_u64(b, m->stored);
	sov_write_u64(b, m->frames);
	sov_write_u64(b, m->bad_pages);
	sov_write_u32(b, m->n_bad);
	for (uint32_t i = 0; i < m->n_bad; i++)
	{
		sov_write_str(b, m->bad[i].path);
		sov_write_u32(b, m->bad[i].block);
	}
	sov_write_u32(b, m->n_pieces);
	for (uint32_t i = 0; i < m->n_pieces; i++)
	{
		sov_objref_write(b, &m->pieces[i].ref);
		sov_write_str(b, m->pieces[i].first_path);
	}
	return b->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : readable(b, from, err);
}

static bool
read_tablespaces(struct sov_reader *r, struct sov_manifest *m)
{
	uint32_t	n = sov_read_u16(r);

	if (n > sov_reader_left(r) / 6)
		return false;
	m->tablespaces = calloc(n ? n : 1, sizeof *m->tablespaces);
	if (m->tablespaces == NULL)
		return false;
	m->n_tablespaces = n;
	for (uint32_t i = 0; i < n; i++)
	{
		m->tablespaces[i].oid = sov_read_u32(r);
		sov_read_str(r, m->tablespaces[i].path, sizeof m->tablespaces[i].path);
		if (m->tablespaces[i].path[0] != '/' || !mf_path_ok(m->tablespaces[i].path + 1))
			return false;
	}
	return !r->bad;
}

static bool
read_databases(struct sov_reader *r, struct sov_manifest *m)
{
	uint32_t	n = sov_read_u32(r);

	if (n > sov_reader_left(r) / 6)
		return false;
	m->databases = calloc(n ? n : 1, sizeof *m->databases);
	if (m->databases == NULL)
		return false;
	m->n_databases = n;
	for (uint32_t i = 0; i < n; i++)
	{
		m->databases[i].oid = sov_read_u32(r);
		sov_read_str(r, m->databases[i].name, sizeof m->databases[i].name);
	}
	return !r->bad;
}

static bool
read_bad_pages(struct sov_reader *r, struct sov_manifest *m)
{
	uint32_t	n = sov_read_u32(r);

	if (n > BAD_MAX || n > sov_reader_left(r) / 6)
		return false;
	m->bad = calloc(n ? n : 1, sizeof *m->bad);
	if (m->bad == NULL)
		return false;
	m->n_bad = n;
	for (uint32_t i = 0; i < n; i++)
	{
		sov_read_str(r, m->bad[i].path, sizeof m->bad[i].path);
		m->bad[i].block = sov_read_u32(r);
	}
	return !r->bad;
}

static bool
in_order(const char *previous, const char *path, bool last)
{
	return strcmp(previous, path) < 0 || (last && strcmp(path, SOV_CONTROL_FILE) == 0);
}

static bool
read_pieces(struct sov_reader *r, struct sov_manifest *m)
{
	uint32_t	n = sov_read_u32(r);
	char		path[SOV_PATH_MAX];

	if (n > sov_reader_left(r) / 46)	/* an empty reference and path */
		return false;
	m->pieces = calloc(n ? n : 1, sizeof *m->pieces);
	if (m->pieces == NULL)
		return false;
	m->n_pieces = n;
	for (uint32_t i = 0; i < n && !r->bad; i++)
	{
		sov_objref_read(r, &m->pieces[i].ref);
		sov_read_str(r, path, sizeof path);
		/* only a piece without files has no path */
		if (path[0] != '\0' ? !mf_path_ok(path) || (i && !in_order(m->pieces[i - 1].first_path, path, i + 1 == n)) : n > 1)
			return false;
		m->pieces[i].first_path = strdup(path);
		if (m->pieces[i].first_path == NULL)
			return false;
	}
	return !r->bad;
}

static bool
read_all(struct sov_reader *r, bool old, struct sov_manifest *m)
{
	uint8_t		checksums;

	sov_read_str(r, m->backup_id, sizeof m->backup_id);
	sov_read_str(r, m->label, sizeof m->label);
	m->system_id = sov_read_u64(r);
	m->pg_version = sov_read_u32(r);
	m->catalog_version = sov_read_u32(r);
	m->block_size = sov_read_u32(r);
	m->wal_segment_size = sov_read_u32(r);
	checksums = sov_read_u8(r);
	m->checksums = checksums == 1;
	m->timeline = sov_read_u32(r);
	m->start_lsn = sov_read_u64(r);
	m->stop_lsn = sov_read_u64(r);
	m->start_us = sov_read_u64(r);
	m->stop_us = sov_read_u64(r);
	m->redo_lsn = sov_read_u64(r);
	read_blob(r, &m->backup_label);
	read_blob(r, &m->tablespace_map);
	if (!mf_power_of_two(m->block_size, 1024, 32768) ||
		!mf_power_of_two(m->wal_segment_size, MF_WAL_SEGMENT_MIN, MF_WAL_SEGMENT_MAX))
		return false;
	if (r->bad || checksums > 1 || m->backup_id[0] == '\0' || m->backup_label.bad || m->tablespace_map.bad)
		return false;
	if (!read_tablespaces(r, m) || (!old && !read_databases(r, m)))
		return false;
	m->files = sov_read_u64(r);
	m->bytes = sov_read_u64(r);
	m->stored = sov_read_u64(r);
	m->frames = sov_read_u64(r);
	m->bad_pages = sov_read_u64(r);
	return read_bad_pages(r, m) && read_pieces(r, m) && sov_reader_left(r) == 0;
}

enum sov_code
sov_manifest_decode(const uint8_t *p, size_t len, struct sov_manifest *m, struct sov_error *err)
{
	struct sov_reader r,
				start;
	const uint8_t *magic;

	memset(m, 0, sizeof *m);
	sov_reader_init(&r, p, len);
	magic = sov_read_bytes(&r, 8);
	if (magic == NULL || memcmp(magic, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a manifest");
	if (sov_reader_left(&r) < 4)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the manifest is malformed");
	if (sov_read_u16(&r) != FORMAT || sov_read_u16(&r) != 0)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the manifest's format is not known to this version");
	start = r;
	if (read_all(&r, false, m))
		return SOV_OK;
	sov_manifest_free(m);
	/* 0.1.0 gave it the same number and named no databases. */
	memset(m, 0, sizeof *m);
	if (read_all(&start, true, m))
		return SOV_OK;
	sov_manifest_free(m);
	return sov_fail(err, SOV_E_FORMAT, NULL, "the manifest is malformed");
}

void
sov_manifest_free(struct sov_manifest *m)
{
	for (uint32_t i = 0; m->pieces && i < m->n_pieces; i++)
		free(m->pieces[i].first_path);
	free(m->pieces);
	free(m->bad);
	free(m->tablespaces);
	free(m->databases);
	sov_buf_free(&m->backup_label);
	sov_buf_free(&m->tablespace_map);
	memset(m, 0, sizeof *m);
}
