/*
 * backup_base.c - what earlier backups have stored of this cluster.
 *
 * Entries are the pieces of the newest backup of the same cluster.  Where a
 * backup was interrupted after it, the pieces that it had put already come
 * first: they speak for the paths up to the last one that they hold, and were
 * noted in the journal "backup.pieces" of the state directory, one line each:
 *
 *	SOVPIECES1 system-id start-us base         (first line; base is - for none)
 *	id attempt length stream first-path-hex last-path-hex
 *
 * What a journal says is only believed as far as the object that it names opens
 * and decodes.  Its pieces refer to packs of their own, which prune takes for
 * orphans after some time, hence JOURNAL_MAX_US; and to those of the backup that
 * they were compared with, so that one must still be the newest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup_private.h"

#define JOURNAL "backup.pieces"
#define JOURNAL_MAX_US ((uint64_t) 12 * 3600 * 1000000)

static bool
add_entry(struct base *b, const struct sov_objref *ref, const char *from)
{
	struct base_entry *p;

	if ((b->n & (b->n - 1)) == 0 && (b->n == 0 || b->n >= 16))
	{
		p = realloc(b->entries, (b->n ? (size_t) b->n * 2 : 16) * sizeof *p);
		if (p == NULL)
			return false;
		b->entries = p;
	}
	p = &b->entries[b->n];
	memset(p, 0, sizeof *p);
	p->ref = *ref;
	p->from = strdup(from);
	if (p->from == NULL)
		return false;
	b->n++;
	return true;
}

/* --- the journal --- */

static void
journal_path(const struct engine *e, char *path, size_t cap)
{
	snprintf(path, cap, "%s/" JOURNAL, e->repo->cfg.state_directory);
}

void
journal_drop(struct engine *e)
{
	char		path[1200];

	journal_path(e, path, sizeof path);
	(void) unlink(path);
}

/* A path as hex: it may hold anything but control characters. */
static void
put_hex(FILE *f, const char *s)
{
	for (; *s; s++)
		fprintf(f, "%02x", (unsigned char) *s);
}

void
journal_add(struct engine *e, const struct sov_objref *ref, const char *first, const char *last)
{
	char		path[1200],
				stream[65];
	FILE	   *f;

	journal_path(e, path, sizeof path);
	f = fopen(path, "ae");
	if (f == NULL)
		return;
	if (ftell(f) == 0)
		fprintf(f, "SOVPIECES1 %" PRIu64 " %" PRIu64 " %s\n", e->info.system_id, (uint64_t) repo_now_us(), e->base.id[0] ? e->base.id : "-");
	sov_hex(stream, ref->stream, 32);
	fprintf(f, "%s %u %" PRIu64 " %s ", ref->id, ref->attempt, ref->length, stream);
	put_hex(f, first);
	fputc(' ', f);
	put_hex(f, last);
	fputc('\n', f);
	fclose(f);
}

static bool
take_hex(const char *hex, char *dst, size_t cap)
{
	size_t		n = strlen(hex);

	if (n % 2 != 0 || n / 2 >= cap || !sov_unhex((uint8_t *) dst, hex, n / 2))
		return false;
	dst[n / 2] = '\0';
	return strlen(dst) == n / 2;
}

/* *after: the last path that the journal's pieces hold. */
static bool
journal_line(struct base *b, char *line, char *after)
{
	struct sov_objref ref = {0};
	char		id[SOV_ID_MAX],
				stream[65],
				first_hex[SOV_PATH_MAX * 2],
				last_hex[SOV_PATH_MAX * 2],
				first[SOV_PATH_MAX],
				last[SOV_PATH_MAX];
	unsigned	attempt;

	if (sscanf(line, "%95s %u %" SCNu64 " %64s %2047s %2047s", id, &attempt, &ref.length, stream, first_hex, last_hex) != 6 ||
		strlen(stream) != 64 || !sov_unhex(ref.stream, stream, 32) || attempt > UINT16_MAX ||
		!take_hex(first_hex, first, sizeof first) || !take_hex(last_hex, last, sizeof last) ||
		strcmp(first, last) > 0 || strcmp(first, after) <= 0)
		return false;
	snprintf(ref.id, sizeof ref.id, "%s", id);
	ref.attempt = (uint16_t) attempt;
	if (!add_entry(b, &ref, first))
		return false;
	strcpy(after, last);
	return true;
}

static void
read_journal(struct engine *e, const struct sov_backup_entry *newest, char *after)
{
	char		path[1200],
				base[SOV_ID_MAX];
	struct sov_buf text = {0};
	uint64_t	system_id,
				start_us,
				now = (uint64_t) repo_now_us();
	char	   *line,
			   *save = NULL;

	journal_path(e, path, sizeof path);
	if (repo_read_file(path, &text, NULL) != SOV_OK)
		return;
	sov_write_u8(&text, 0);
	line = text.bad ? NULL : strtok_r((char *) text.data, "\n", &save);
	if (line && sscanf(line, "SOVPIECES1 %" SCNu64 " %" SCNu64 " %95s", &system_id, &start_us, base) == 3 &&
		system_id == e->info.system_id && strcmp(base, newest->id[0] ? newest->id : "-") == 0 &&
		start_us <= now && now - start_us < JOURNAL_MAX_US)
		while ((line = strtok_r(NULL, "\n", &save)) != NULL && journal_line(&e->base, line, after))
			;
	if (e->base.n > 0)
		repo_note(e->repo, "a backup was interrupted: %u parts that it had stored are used", e->base.n);
	sov_buf_free(&text);
}

/* --- the newest backup --- */

static enum sov_code
newest_backup(struct engine *e, struct sov_backup_entry *entry, bool *have, struct sov_error *err)
{
	struct sov_catalogue cat;
	enum sov_code rc = sov_repo_catalogue(e->repo, &cat, err);

	*have = false;
	if (rc != SOV_OK)
		return rc;
	/* Oldest first.  One of the cluster that this one was made from will do: what is
	 * taken over is told by its hashes, not by whose it was. */
	for (uint32_t i = 0; i < cat.n; i++)
		if (cat.backups[i].system_id == e->info.system_id ||
			(sov_repo_cluster(e->repo, cat.backups[i].system_id) != NULL && !(*have && entry->system_id == e->info.system_id)))
		{
			*entry = cat.backups[i];
			*have = true;
		}
	sov_catalogue_free(&cat);
	return SOV_OK;
}

/* The pieces of its manifest that speak for paths after *after. */
static enum sov_code
add_manifest(struct engine *e, const struct sov_backup_entry *entry, const char *after, struct sov_error *err)
{
	struct sov_buf plain = {0};
	struct sov_manifest m;
	char		from[SOV_PATH_MAX + 1];
	enum sov_code rc = sov_repo_get_stream(e->repo, SOV_CLASS_META, entry->manifest.id, entry->manifest.attempt, NULL, &plain, err);

	if (rc == SOV_OK)
		rc = sov_manifest_decode(plain.data, plain.len, &m, err);
	sov_buf_free(&plain);
	if (rc != SOV_OK)
		return rc;
	for (uint32_t i = 0; i < m.n_pieces && rc == SOV_OK; i++)
	{
		const char *first = m.pieces[i].first_path;
		const char *next = i + 1 < m.n_pieces ? m.pieces[i + 1].first_path : NULL;

		if (i + 1 == m.n_pieces && strcmp(first, SOV_CONTROL_FILE) == 0)
			break;
		if (next && i + 2 < m.n_pieces && strcmp(next, after) <= 0)
			continue;			/* the journal speaks for all of it */
		if (strcmp(first, after) > 0)
			snprintf(from, sizeof from, "%s", first);
		else
			snprintf(from, sizeof from, "%s\x01", after);
		if (!add_entry(&e->base, &m.pieces[i].ref, from))
			rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	}
	e->base.redo_lsn = m.redo_lsn;
	/* File times of another cluster tell nothing. */
	e->base.start_us = m.system_id == e->info.system_id ? m.start_us : 0;
	snprintf(e->base.id, sizeof e->base.id, "%s", m.backup_id);
	sov_manifest_free(&m);
	return rc;
}

enum sov_code
base_open(struct engine *e, struct sov_error *err)
{
	struct sov_backup_entry entry = {0};
	char		after[SOV_PATH_MAX] = "";
	bool		have = false;
	struct sov_error why;
	enum sov_code rc;

	if (e->opt->full)
	{
		journal_drop(e);
		return SOV_OK;
	}
	rc = newest_backup(e, &entry, &have, err);
	if (rc != SOV_OK)
		return rc;
	read_journal(e, &entry, after);
	if (have && add_manifest(e, &entry, after, &why) != SOV_OK)
		repo_note(e->repo, "the manifest of backup %s cannot be read (%s): what it has is stored again", entry.id, why.message);
	journal_drop(e);			/* this backup keeps its own */
	return SOV_OK;
}

void
base_close(struct base *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		free(b->entries[i].from);
	free(b->entries);
	memset(b, 0, sizeof *b);
}

/* --- pieces --- */

uint32_t
base_entry_for(const struct base *b, const char *path, uint32_t at)
{
	while (at + 1 < b->n && strcmp(b->entries[at + 1].from, path) <= 0)
		at++;
	return at;
}

static void
free_piece(struct base_piece *p)
{
	sov_piece_free(&p->piece);
	free(p->pack_nos);
	free(p->doubted);
	free(p);
}

static enum sov_code
number_packs(struct engine *e, struct base_piece *p, struct sov_error *err)
{
	bool		any = false;

	p->doubted = calloc(p->piece.n_packs + 1, sizeof *p->doubted);
	if (p->doubted == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	for (uint32_t i = 0; i < p->piece.n_packs; i++)
	{
		p->pack_nos[i] = pack_earlier(e, &p->piece.packs[i], &p->doubted[i]);
		if (p->pack_nos[i] == UINT32_MAX)
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		any = any || p->doubted[i];
	}
	if (!any)
	{
		free(p->doubted);
		p->doubted = NULL;
	}
	return SOV_OK;
}

static struct base_piece *
decode_piece(struct engine *e, const struct base_entry *entry, struct sov_error *err)
{
	struct base_piece *p = calloc(1, sizeof *p);
	struct sov_buf plain = {0};
	enum sov_code rc = p ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	if (rc == SOV_OK)
		rc = sov_repo_get_stream(e->repo, SOV_CLASS_META, entry->ref.id, entry->ref.attempt, NULL, &plain, err);
	if (rc == SOV_OK)
		rc = sov_piece_decode(plain.data, plain.len, &p->piece, err);
	if (rc == SOV_OK && p->piece.whole_hashes)
		rc = sov_fail(err, SOV_E_UNSUPPORTED, NULL, "0.1.0 wrote it");
	sov_buf_free(&plain);
	if (rc == SOV_OK && (p->pack_nos = calloc(p->piece.n_packs + 1, sizeof *p->pack_nos)) == NULL)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		rc = number_packs(e, p, err);
	if (rc == SOV_OK)
		return p;
	if (p)
		free_piece(p);
	return NULL;
}

struct base_piece *
base_piece_read(struct engine *e, struct base_entry *entry)
{
	struct sov_error why;
	struct base_piece *p = decode_piece(e, entry, &why);

	if (p == NULL)
	{
		repo_note(e->repo, "a part of the last backup's manifest cannot be read (%s): what it has is stored again", why.message);
		return NULL;
	}
	entry->n_files = p->piece.n_files;
	p->refs = 1;
	return p;
}

void
base_piece_release(struct engine *e, struct base_piece *p)
{
	bool		last;

	if (p == NULL)
		return;
	pthread_mutex_lock(&e->lock);
	last = --p->refs == 0;
	pthread_mutex_unlock(&e->lock);
	if (last)
		free_piece(p);
}

uint32_t
base_piece_find(const struct base_piece *p, const char *path)
{
	uint32_t	lo = 0,
				hi = p->piece.n_files;

	while (lo < hi)
	{
		uint32_t	mid = lo + (hi - lo) / 2;
		int			c = strcmp(p->piece.files[mid].path, path);

		if (c == 0)
			return mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NO_FILE;
}
