/*
 * piece.c - one piece of a manifest: files, their blocks, and where each block's
 * bytes lie: sov_manifest.h.
 *
 * Decoding checks everything that restore relies on: a decoded piece can be
 * written out without leaving the data directory or any buffer.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest_private.h"

#define MAGIC "SOVPIECE"
#define FORMAT 1
#define PACK_MIN 46				/* bytes of each record at least */
#define FILE_MIN 28
#define BLOCK_MIN 17			/* 21 but for pieces of 0.1.0 */
#define RUN_LEN 36
#define PACK_SEALED_MAX ((uint64_t) 1 << 30)

static enum sov_code
readable(const struct sov_buf *b, size_t from, struct sov_error *err)
{
	struct sov_piece back;
	enum sov_code rc = sov_piece_decode(b->data + from, b->len - from, &back, err);

	if (rc != SOV_OK)
		return rc == SOV_E_FORMAT ? sov_fail(err, SOV_E_STATE, MF_REFUSED_HINT, "a piece of the manifest would not be readable") : rc;
	sov_piece_free(&back);
	return SOV_OK;
}

enum sov_code
sov_piece_encode(const struct sov_piece *piece, struct sov_buf *b, struct sov_error *err)
{
	size_t		from = b->len;

	sov_write_bytes(b, MAGIC, 8);
	sov_write_u16(b, FORMAT);
	sov_write_u16(b, 0);
	sov_write_u32(b, piece->n_packs);
	for (uint32_t i = 0; i < piece->n_packs; i++)
	{
		sov_write_bytes(b, piece->packs[i].id, 16);
		sov_write_bytes(b, piece->packs[i].run, 16);
		sov_write_u16(b, piece->packs[i].attempt);
		sov_write_u32(b, piece->packs[i].generation);
		sov_write_u64(b, piece->packs[i].sealed_len);
	}
	sov_write_u32(b, piece->n_files);
	for (uint32_t i = 0; i < piece->n_files; i++)
	{
		const struct sov_mf_file *f = &piece->files[i];

		sov_write_str(b, f->path);
		sov_write_u8(b, f->type);
		sov_write_u32(b, f->mode);
		sov_write_u64(b, f->size);
		sov_write_u64(b, f->mtime_us);
		sov_write_u8(b, f->flags);
		sov_write_u32(b, f->n_blocks);
		for (uint32_t j = 0; j < f->n_blocks; j++)
		{
			const struct sov_mf_block *bl = &piece->blocks[f->first_block + j];

			sov_write_bytes(b, bl->hash, 16);
			for (uint32_t x = 0; x < sov_block_pages(sov_mf_block_len(f, j)); x++)
				sov_write_u32(b, piece->pages[bl->first_page + x]);
			sov_write_u8(b, bl->n_runs);
			for (uint32_t x = 0; x < bl->n_runs; x++)
			{
				const struct sov_mf_run *run = &piece->runs[bl->first_run + x];

				sov_write_u32(b, run->first);
				sov_write_u32(b, run->length);
				sov_write_u32(b, run->pack);
				sov_write_u32(b, run->offset);
				sov_write_u32(b, run->sealed_len);
				sov_write_u64(b, run->counter);
				sov_write_u32(b, run->raw_len);
				sov_write_u32(b, run->skip);
			}
		}
	}
	return b->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : readable(b, from, err);
}

bool
mf_path_ok(const char *path)
{
	const char *p = path;

	if (*p == '\0' || *p == '/')
		return false;
	while (*p)
	{
		size_t		n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		for (size_t i = 0; i < n; i++)
			if ((unsigned char) p[i] < 0x20 || p[i] == 0x7f)
				return false;
		p += n;
		if (*p == '/' && *++p == '\0')
			return false;
	}
	return true;
}

struct growing
{
	struct sov_piece *piece;
	uint32_t	cap_blocks,
				cap_runs,
				cap_pages;
};

static bool
grow(void **p, uint32_t *cap, uint32_t need, size_t size)
{
	uint32_t	want = *cap ? *cap : 256;
	void	   *q;

	if (need <= *cap)
		return true;
	while (want < need)
	{
		if (want > UINT32_MAX / 2)
			return false;
		want *= 2;
	}
	q = realloc(*p, want * size);
	if (q == NULL)
		return false;
	*p = q;
	*cap = want;
	return true;
}

/* A run: inside its block, its frame and its pack, and after the one before. */
static bool
read_run(struct sov_reader *r, const struct sov_piece *piece, uint32_t block_len, uint32_t *end, struct sov_mf_run *run)
{
	run->first = sov_read_u32(r);
	run->length = sov_read_u32(r);
	run->pack = sov_read_u32(r);
	run->offset = sov_read_u32(r);
	run->sealed_len = sov_read_u32(r);
	run->counter = sov_read_u64(r);
	run->raw_len = sov_read_u32(r);
	run->skip = sov_read_u32(r);
	if (r->bad || run->length == 0 || run->first < *end || run->first > block_len || run->length > block_len - run->first)
		return false;
	if (run->raw_len > SOV_FRAME_MAX || run->skip > run->raw_len || run->length > run->raw_len - run->skip)
		return false;
	if (run->pack >= piece->n_packs || run->sealed_len > piece->packs[run->pack].sealed_len ||
		run->offset > piece->packs[run->pack].sealed_len - run->sealed_len)
		return false;
	*end = run->first + run->length;
	return true;
}

static bool
read_block(struct sov_reader *r, struct growing *g, uint32_t block_len)
{
	struct sov_piece *piece = g->piece;
	struct sov_mf_block *b;
	uint32_t	pages = piece->whole_hashes ? 0 : sov_block_pages(block_len),
				end = 0;

	if (!grow((void **) &piece->pages, &g->cap_pages, piece->n_pages + pages, sizeof *piece->pages) ||
		!grow((void **) &piece->blocks, &g->cap_blocks, piece->n_blocks + 1, sizeof *piece->blocks))
		return false;
	b = &piece->blocks[piece->n_blocks++];
	sov_read_copy(r, b->hash, 16);
	b->first_page = piece->n_pages;
	for (uint32_t i = 0; i < pages; i++)
		piece->pages[piece->n_pages++] = sov_read_u32(r);
	b->n_runs = sov_read_u8(r);
	b->first_run = piece->n_runs;
	if (r->bad || b->n_runs > sov_reader_left(r) / RUN_LEN ||
		!grow((void **) &piece->runs, &g->cap_runs, piece->n_runs + b->n_runs, sizeof *piece->runs))
		return false;
	for (int i = 0; i < b->n_runs; i++)
		if (!read_run(r, piece, block_len, &end, &piece->runs[piece->n_runs++]))
			return false;
	return true;
}

static bool
read_file(struct sov_reader *r, struct growing *g, struct sov_mf_file *f, const char *previous)
{
	char		path[SOV_PATH_MAX];
	uint64_t	blocks;

	sov_read_str(r, path, sizeof path);
	if (r->bad || !mf_path_ok(path) || (previous && strcmp(previous, path) >= 0))
		return false;
	f->path = strdup(path);
	if (f->path == NULL)
		return false;
	f->type = sov_read_u8(r);
	f->mode = sov_read_u32(r);
	f->size = sov_read_u64(r);
	f->mtime_us = sov_read_u64(r);
	f->flags = sov_read_u8(r);
	f->n_blocks = sov_read_u32(r);
	f->first_block = g->piece->n_blocks;
	if (r->bad || (f->type != 'f' && f->type != 'd') || (f->mode & ~07777u) != 0)
		return false;
	blocks = f->size / SOV_FRAME_MAX + (f->size % SOV_FRAME_MAX != 0);
	if ((f->type == 'd' && f->size != 0) || f->n_blocks != blocks || f->n_blocks > sov_reader_left(r) / BLOCK_MIN)
		return false;
	for (uint32_t i = 0; i < f->n_blocks; i++)
	{
		if (!read_block(r, g, sov_mf_block_len(f, i)))
			return false;
	}
	return true;
}

static bool
read_packs(struct sov_reader *r, struct sov_piece *piece)
{
	uint32_t	n = sov_read_u32(r);

	if (n > sov_reader_left(r) / PACK_MIN)
		return false;
	piece->packs = calloc(n ? n : 1, sizeof *piece->packs);
	if (piece->packs == NULL)
		return false;
	piece->n_packs = n;
	for (uint32_t i = 0; i < n; i++)
	{
		sov_read_copy(r, piece->packs[i].id, 16);
		sov_read_copy(r, piece->packs[i].run, 16);
		piece->packs[i].attempt = sov_read_u16(r);
		piece->packs[i].generation = sov_read_u32(r);
		piece->packs[i].sealed_len = sov_read_u64(r);
		if (piece->packs[i].sealed_len > PACK_SEALED_MAX)
			return false;
	}
	return !r->bad;
}

static bool
read_files(struct sov_reader *r, struct sov_piece *piece)
{
	struct growing g = {.piece = piece};
	uint32_t	n = sov_read_u32(r);

	if (n > sov_reader_left(r) / FILE_MIN)
		return false;
	piece->files = calloc(n ? n : 1, sizeof *piece->files);
	if (piece->files == NULL)
		return false;
	piece->n_files = n;
	for (uint32_t i = 0; i < n; i++)
		if (!read_file(r, &g, &piece->files[i], i ? piece->files[i - 1].path : NULL))
			return false;
	return sov_reader_left(r) == 0 && !r->bad;
}

enum sov_code
sov_piece_decode(const uint8_t *p, size_t len, struct sov_piece *piece, struct sov_error *err)
{
	struct sov_reader r,
				start;
	const uint8_t *magic;

	memset(piece, 0, sizeof *piece);
	sov_reader_init(&r, p, len);
	magic = sov_read_bytes(&r, 8);
	if (magic == NULL || memcmp(magic, MAGIC, 8) != 0)
		return sov_fail(err, SOV_E_FORMAT, NULL, "it is not a piece of a manifest");
	if (sov_reader_left(&r) < 4)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a piece of the manifest is malformed");
	if (sov_read_u16(&r) != FORMAT || sov_read_u16(&r) != 0)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign", "the manifest's format is not known to this version");
	start = r;
	if (read_packs(&r, piece) && read_files(&r, piece))
		return SOV_OK;
	sov_piece_free(piece);
	/* 0.1.0 gave it the same number, hashed blocks as a whole and pages not at all. */
	piece->whole_hashes = true;
	if (read_packs(&start, piece) && read_files(&start, piece))
		return SOV_OK;
	sov_piece_free(piece);
	return sov_fail(err, SOV_E_FORMAT, NULL, "a piece of the manifest is malformed");
}

void
sov_piece_free(struct sov_piece *piece)
{
	for (uint32_t i = 0; piece->files && i < piece->n_files; i++)
		free(piece->files[i].path);
	free(piece->files);
	free(piece->packs);
	free(piece->blocks);
	free(piece->runs);
	free(piece->pages);
	memset(piece, 0, sizeof *piece);
}
