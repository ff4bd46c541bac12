/*
 * sov_manifest.h - what one backup consists of, and the catalogue of backups.
 *
 * All of these are metadata objects (class 'm', sealed streams, zstd inside).
 * Little-endian; str = u16 length + bytes; every count is checked against the
 * bytes that are left before anything is allocated.
 *
 * Manifest root: magic 8 "SOVMANIF" | format u16 = 1 | flags u16
 *   | backup id str | label str | system id u64 | pg version u32 | catalog version u32
 *   | block size u32 | wal segment size u32 | checksums u8
 *   | timeline u32 | start lsn u64 | stop lsn u64 | start us u64 | stop us u64
 *   | redo lsn u64
 *   | backup_label: u32 length + bytes | tablespace_map: u32 length + bytes
 *   | n tablespaces u16: oid u32, path str
 *   | n databases u32: oid u32, name str
 *   | totals: files u64, bytes u64, stored u64, frames u64, bad pages u64
 *   | n bad pages listed u32: path str, block u32
 *   | n pieces u32: object reference (sov_objref), first path str
 *
 * Pieces follow each other in the order of paths, but for global/pg_control: it
 * is read last and stands in a piece of its own, the last.  A piece that is the
 * same as one of an earlier backup is that object: no chain, every manifest
 * leads to every page by itself.
 *
 * Piece (self-contained; files in strcmp order of path; closed at the end of a
 * file once it has SOV_PIECE_BLOCKS blocks):
 *   magic 8 "SOVPIECE" | format u16 = 1 | flags u16
 *   | n packs u32: id 16, run 16, attempt u16, generation u32, sealed bytes u64
 *   | n files u32, each:
 *       path str (relative to PGDATA; "pg_tblspc/<oid>/..." below tablespaces)
 *       | type u8 ('f','d') | mode u32 | size u64 | mtime us u64 | flags u8
 *       | n blocks u32, each: hash 16 | page hash u32 for every SOV_PAGE_LEN bytes | n runs u8, each:
 *           first u32, length u32   (bytes inside this block of the file)
 *           pack u32 (index in this piece) | offset u32 | sealed length u32
 *           | counter u64 | raw length u32 (of the whole frame) | skip u32
 * A block is SOV_FRAME_MAX bytes of the file (the last may be short).  A block
 * without runs is zeros.  A sealed frame may serve several files (small files
 * are put together) and a block may be put together from several frames of
 * several backups: hash is of the assembled block, page hashes tell the next
 * backup which pages of it changed (sov_frame_hash).
 *
 * 0.1.0 wrote no databases into the root and no page hashes into pieces, under the same
 * number; both are read too.
 *
 * Catalogue: magic 8 "SOVCATLG" | format u16 = 1 | n u32, each backup:
 *   id str | manifest reference | label str | system id u64 | timeline u32
 *   | start lsn u64 | stop lsn u64 | start us u64 | stop us u64 | pg version u32
 *   | wal segment size u32 | files u64 | bytes u64 | stored u64 | bad pages u64
 */
#ifndef SOV_MANIFEST_H
#define SOV_MANIFEST_H

#include "sov_head.h"
#include "sov_run.h"

#define SOV_PATH_MAX 1024
#define SOV_PIECE_BLOCKS 4096	/* half a GB of files */
#define SOV_CONTROL_FILE "global/pg_control"

struct sov_mf_pack { uint8_t id[16]; uint8_t run[16]; uint16_t attempt; uint32_t generation; uint64_t sealed_len; };
struct sov_mf_run { uint32_t first, length, pack, offset, sealed_len, raw_len, skip; uint64_t counter; };
struct sov_mf_block { uint8_t hash[16]; uint32_t first_run, first_page; uint8_t n_runs; };
struct sov_mf_file
{
	char	   *path;
	uint8_t		type;
	uint32_t	mode;
	uint64_t	size;
	uint64_t	mtime_us;
	uint8_t		flags;
	uint32_t	first_block, n_blocks;	/* in piece->blocks */
};
struct sov_piece
{
	uint32_t	n_packs, n_files, n_blocks, n_runs, n_pages;
	struct sov_mf_pack *packs;
	struct sov_mf_file *files;
	struct sov_mf_block *blocks;
	struct sov_mf_run *runs;
	uint32_t   *pages;			/* page hashes of all blocks */
	bool		whole_hashes;	/* of 0.1.0: no page hashes; those of blocks by sov_frame_hash_whole */
};
/* Bytes of a block of a file: the last may be short. */
static inline uint32_t sov_mf_block_len(const struct sov_mf_file *f, uint32_t block)
{
	uint64_t	left = f->size - (uint64_t) block * SOV_FRAME_MAX;

	return left < SOV_FRAME_MAX ? (uint32_t) left : SOV_FRAME_MAX;
}

struct sov_mf_tablespace { uint32_t oid; char path[SOV_PATH_MAX]; };
struct sov_mf_database { uint32_t oid; char name[64]; };
struct sov_mf_bad { char path[SOV_PATH_MAX]; uint32_t block; };
struct sov_manifest
{
	char		backup_id[SOV_ID_MAX];	/* e.g. 20261123T150501Z-1f0c */
	char		label[256];
	uint64_t	system_id;
	uint32_t	pg_version, catalog_version, block_size, wal_segment_size;
	bool		checksums;
	uint32_t	timeline;
	uint64_t	start_lsn, stop_lsn, redo_lsn;
	uint64_t	start_us, stop_us;
	struct sov_buf backup_label, tablespace_map;
	uint32_t	n_tablespaces;
	struct sov_mf_tablespace *tablespaces;
	uint32_t	n_databases;
	struct sov_mf_database *databases;
	uint64_t	files, bytes, stored, frames, bad_pages;
	uint32_t	n_bad;
	struct sov_mf_bad *bad;		/* at most 1000 listed */
	uint32_t	n_pieces;
	struct { struct sov_objref ref; char *first_path; } *pieces;
};

struct sov_backup_entry
{
	char		id[SOV_ID_MAX];
	struct sov_objref manifest;
	char		label[256];
	uint64_t	system_id;
	uint32_t	timeline;
	uint64_t	start_lsn, stop_lsn, start_us, stop_us;
	uint32_t	pg_version, wal_segment_size;
	uint64_t	files, bytes, stored, bad_pages;
};
struct sov_catalogue
{
	uint32_t	n;
	struct sov_backup_entry *backups;	/* oldest first */
};

extern enum sov_code sov_manifest_encode(const struct sov_manifest *m, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_manifest_decode(const uint8_t *p, size_t len, struct sov_manifest *m, struct sov_error *err);
extern void sov_manifest_free(struct sov_manifest *m);
extern enum sov_code sov_piece_encode(const struct sov_piece *piece, struct sov_buf *out, struct sov_error *err);
/* Also checks: indexes in range, runs inside their block and frame, sorted
 * paths that cannot leave the data directory. */
extern enum sov_code sov_piece_decode(const uint8_t *p, size_t len, struct sov_piece *piece, struct sov_error *err);
extern void sov_piece_free(struct sov_piece *piece);
extern enum sov_code sov_catalogue_encode(const struct sov_catalogue *c, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sov_catalogue_decode(const uint8_t *p, size_t len, struct sov_catalogue *c, struct sov_error *err);
extern void sov_catalogue_free(struct sov_catalogue *c);

#endif
