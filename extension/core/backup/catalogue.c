/*
 * catalogue.c - the list of one writer's backups: sov_manifest.h.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest_private.h"

#define MAGIC "SOVCATLG"
#define FORMAT 1
#define ENTRY_MIN 120			/* bytes of an entry with empty strings */

static enum sov_code
readable(const struct sov_buf *b, size_t from, struct sov_error *err)
{
	struct sov_catalogue back;
	enum sov_code rc = sov_catalogue_decode(b->data + from, b->len - from, &back, err);

	if (rc != SOV_OK)
		return rc == SOV_E_FORMAT ? sov_fail(err, SOV_E_STATE, MF_REFUSED_HINT, "the catalogue would not be readable") : rc;
	sov_catalogue_free(&back);
	return SOV_OK;
}

enum sov_code
sov_catalogue_encode(const struct sov_catalogue *c, struct sov_buf *b, struct sov_error *err)
{
	size_t		from = b->len;

	sov_write_bytes(b, MAGIC, 8);
	sov_write_u16(b, FORMAT);
	sov_write_u32(b, c->n);
	for (uint32_t i = 0; i < c->n; i++)
	{
		const struct sov_backup_entry *e = &c->backups[i];

		sov_write_str(b, e->id);
		sov_objref_write(b, &e->manifest);
		sov_write_str(b, e->label);
		sov_write_u64(b, e->system_id);
		sov_write_u32(b, e->timeline);
		sov_write_u64(b, e->start_lsn);
		sov_write_u64(b, e->stop_lsn);
		sov_write_u64(b, e->start_us);
		sov_write_u64(b, e->stop_us);
		sov_write_u32(b, e->pg_version);
		sov_write_u32(b, e->wal_segment_size);
		sov_write_u64(b, e->files);
		sov_write_u64(b, e->bytes);
		sov_write_u64(b, e->stored);
		sov_write_u64(b, e->bad_pages);
	}
	return b->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : readable(b, from, err);
}

static void
read_entry(struct sov_reader *r, struct sov_backup_entry *e)
{
	sov_read_str(r, e->id, sizeof e->id);
	sov_objref_read(r, &e->manifest);
	sov_read_str(r, e->label, sizeof e->label);
	e->system_id = sov_read_u64(r);
	e->timeline = sov_read_u32(r);
	e->start_lsn = sov_read_u64(r);
	e->stop_lsn = sov_read_u64(r);
	e->start_us = sov_read_u64(r);
	e->stop_us = sov_read_u64(r);
	e->pg_version = sov_read_u32(r);
	e->wal_segment_size = sov_read_u32(r);
	e->files = sov_read_u64(r);
	e->bytes = sov_read_u64(r);
	e->stored = sov_read_u64(r);
	e->bad_pages = sov_read_u64(r);
	if (e->id[0] == '\0' || !mf_power_of_two(e->wal_segment_size, MF_WAL_SEGMENT_MIN, MF_WAL_SEGMENT_MAX))
		r->bad = true;			/* others divide by it */
}

enum sov_code
sov_catalogue_decode(const uint8_t *p, size_t len, struct sov_catalogue *c, struct sov_error *err)
{
	struct sov_reader r;
	const uint8_t *magic;
	uint32_t	n;

	memset(c, 0, sizeof *c);
	sov_reader_init(&r, p, len);
	magic = sov_read_bytes(&r, 8);
	if (magic == NULL || memcmp(magic, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a catalogue");
	if (sov_reader_left(&r) < 2)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the catalogue is malformed");
	if (sov_read_u16(&r) != FORMAT)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the catalogue's format is not known to this version");
	n = sov_read_u32(&r);
	if (r.bad || n > sov_reader_left(&r) / ENTRY_MIN)
		return sov_fail(err, SOV_E_FORMAT, NULL, "the catalogue is malformed");
	c->backups = calloc(n ? n : 1, sizeof *c->backups);
	if (c->backups == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	c->n = n;
	for (uint32_t i = 0; i < n && !r.bad; i++)
		read_entry(&r, &c->backups[i]);
	if (!r.bad && sov_reader_left(&r) == 0)
		return SOV_OK;
	sov_catalogue_free(c);
	return sov_fail(err, SOV_E_FORMAT, NULL, "the catalogue is malformed");
}

void
sov_catalogue_free(struct sov_catalogue *c)
{
	free(c->backups);
	memset(c, 0, sizeof *c);
}
