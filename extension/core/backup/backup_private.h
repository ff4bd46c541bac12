/*
 * backup_private.h - what the backup engine's files share.
 *
 *   base (backup_base.c)      what the last backup has, and (backup_trust.c) what
 *                             of it may be relied on
 *   planner (backup_plan.c)   cuts the files, in path order, into tasks, each
 *                             with what the last backup has of its files
 *   workers (backup_read.c)   read, check pages, hash; (backup_store.c) compare,
 *                             compress, seal into their pack
 *   uploaders (backup_pack.c) erasure-code and put full packs (bounded queue)
 *   main thread               takes finished tasks in order, makes pieces
 *                             (backup_piece.c); a piece is put only when every
 *                             pack that it names is uploaded
 *
 * Memory: pack buffers come from a fixed pool (jobs + PACK_SPARE), tasks from a
 * ring of WINDOW, earlier pieces are held while a task refers to them.  When pieces
 * that wait for their packs hold too much, because little changed and packs fill
 * slowly, packs are closed before they are full.  What a worker has not filled is
 * joined with what the others have not: only the last pack of a backup is short.
 */
#ifndef BACKUP_PRIVATE_H
#define BACKUP_PRIVATE_H

#include <pthread.h>

#include "files.h"
#include "base/id_set.h"
#include "repository/repo_private.h"

#define PACK_BUFFER ((size_t) 26 << 20)
#define PACK_CAPACITY (PACK_BUFFER - SOV_EC_MAX)	/* the rest is for padding */
#define PACK_MARK ((size_t) 1 << 20)	/* a pack is parted about there */
#define PACK_SPARE 3
#define UPLOADERS 2
#define TASK_BYTES ((uint64_t) 32 << 20)	/* source of one task, about */
#define TASK_FILES 512
#define WINDOW 64				/* tasks under way or waiting to be collected */
#define WAITING_BYTES ((size_t) 48 << 20)	/* of pieces that wait for packs */
#define SMALL_BLOCK (64 * 1024)	/* shorter blocks share frames */
#define MAX_BLOCK_RUNS 12		/* a block in more parts is stored anew */
#define MAX_JOBS 8	/* each fills a pack: with the spare ones and all else under 512 MB */
#define NO_FILE UINT32_MAX

struct pack_buf
{
	uint8_t    *data;
	size_t		len;
	uint32_t	no;				/* in engine.packs */
	bool		filling;		/* by a worker; under engine.lock */
	int			n_marks;
	uint32_t	marks[PACK_BUFFER / PACK_MARK + 1];	/* where the first frame of each part of PACK_MARK begins */
	struct pack_buf *next;
};

struct pack_info
{
	struct sov_mf_pack mf;
	bool		uploaded;
	bool		parted;			/* from part_from on it went to pack part_no, at part_at */
	uint32_t	part_from,
				part_no,
				part_at;
	uint8_t		doubt;			/* enum doubt, of earlier ones */
	uint64_t	used;			/* sealed bytes that this backup refers to, about */
};

/* A piece of an earlier backup, while somebody compares with it. */
struct base_piece
{
	struct sov_piece piece;
	uint32_t   *pack_nos;		/* in engine.packs, by index in the piece */
	bool	   *doubted;		/* by index in the piece; NULL: none is */
	int			refs;			/* under engine.lock */
};

/* Where to look for a path: pieces of the last backup, and before them those of
 * a later one that was interrupted. */
struct base_entry
{
	struct sov_objref ref;
	char	   *from;			/* first path that it speaks for */
	uint32_t	n_files;		/* once read; 0 before */
};

struct base
{
	char		id[SOV_ID_MAX];	/* backup; "" when there is none */
	uint64_t	start_us,
				redo_lsn;
	uint32_t	n;
	struct base_entry *entries;	/* by from; pg_control's piece is not among them */
};

/* Part of a file in a task. */
struct range
{
	size_t		file;
	uint32_t	first_block,
				n_blocks;
	struct base_piece *base;	/* NULL: nothing to compare with */
	uint32_t	base_file;		/* in base, or NO_FILE */
	uint32_t	entry;			/* in base.entries */
	bool		trusted;		/* by size and time: not to be read */
	bool		same;			/* result: every block is that of base */
};

struct task
{
	struct range *ranges;
	size_t		n_ranges,
				cap_ranges;
	/* result */
	bool		done;
	struct sov_mf_block *blocks;	/* of all ranges, one after the other */
	uint32_t   *pages;			/* SOV_BLOCK_PAGES for each block */
	size_t		n_blocks;
	struct sov_mf_run *runs;	/* run->pack is an index in engine.packs */
	size_t		n_runs,
				cap_runs;
};

struct suspect					/* a page whose checksum is wrong */
{
	size_t		file;
	uint32_t	block;
	uint64_t	lsn;			/* as the page says; decided after the stop */
};

struct plan						/* under plan.lock */
{
	pthread_mutex_t lock;
	size_t		file;			/* next to cut */
	uint32_t	block;
	uint32_t	entry;			/* of the current base piece */
	struct base_piece *piece;	/* NULL: it has not been read, or could not be */
	bool		piece_read;
	uint64_t	n_tasks;		/* handed out */
	bool		done;
};

/* Packs of earlier backups that are not to be referred to: backup_trust.c. */
enum doubt { DOUBT_NONE, DOUBT_SPARSE, DOUBT_LOST };
struct trust
{
	struct listed { bool asked; uint64_t *names; size_t n; } listed[SOV_MAX_PROVIDERS];
	bool		by_list;		/* enough providers listed what they have */
	struct id_set lost,
				sparse;
};

struct engine
{
	struct sov_repo *repo;
	const struct sov_source *source;
	const struct sov_backup_options *opt;
	const struct sov_progress *progress;
	struct sov_source_info info;
	struct sov_run *run;
	int64_t		run_us;			/* when it was begun */
	struct file_list list;
	bool	   *vanished;		/* by file: gone when its first block was read */
	size_t		control;		/* pg_control's index in list; list.n: none */
	struct base base;
	struct trust trust;
	struct sov_lease lease;
	struct plan plan;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sov_error err;		/* the first failure */
	bool		failed;
	struct task window[WINDOW];	/* by number */
	uint64_t	collected;		/* tasks below this are done with */
	struct pack_buf *pool,
			   *rest,			/* not full: for what the next worker leaves */
			   *queue,
			   *queue_tail;
	struct pack_buf buffers[MAX_JOBS + PACK_SPARE];
	bool		no_more_packs;
	bool		rest_wanted;	/* something in it is */
	uint32_t	wanted;			/* packs with a lower number are to be closed */
	uint32_t	put_packs;		/* handed to the uploaders */
	struct pack_info *packs;
	size_t		n_packs,
				cap_packs;
	uint32_t   *pack_table;		/* numbers of earlier packs by id: open addressing */
	size_t		pack_slots,
				n_earlier;
	struct suspect *suspects;
	size_t		n_suspects,
				cap_suspects;
	uint64_t	stored,
				zero_bytes,
				same_bytes,
				skipped_bytes,
				moved_bytes,	/* unchanged, of packs that are doubted */
				frames;
	uint32_t	lost_packs,
				sparse_packs;
	uint32_t	same_pieces;
	int			degraded;
	_Atomic uint64_t bytes_done,
				bytes_read;
	int64_t		started_us;
};

/* Remember the first failure and wake everybody. */
extern void engine_fail(struct engine *e, const struct sov_error *err);
extern bool engine_stopped(struct engine *e);

/* backup_base.c: what earlier backups have */
extern enum sov_code base_open(struct engine *e, struct sov_error *err);
extern void base_close(struct base *b);
/* The entry that speaks for a path, looking from *at on. */
extern uint32_t base_entry_for(const struct base *b, const char *path, uint32_t at);
/* NULL when it cannot be read: a note says so, and its files are stored anew. */
extern struct base_piece *base_piece_read(struct engine *e, struct base_entry *entry);
extern void base_piece_release(struct engine *e, struct base_piece *p);
extern uint32_t base_piece_find(const struct base_piece *p, const char *path);
/* The journal of an interrupted backup: pieces that are stored and that no head
 * names.  Kept in the state directory; failures only cost a saving. */
extern void journal_add(struct engine *e, const struct sov_objref *ref, const char *first, const char *last);
extern void journal_drop(struct engine *e);

/* backup_trust.c */
extern enum sov_code trust_open(struct engine *e, struct sov_error *err);
extern void trust_close(struct engine *e);
extern enum doubt trust_doubts(const struct engine *e, const struct sov_mf_pack *pack);
/* After the backup: which packs it hardly uses.  Failures cost room only. */
extern void trust_note_sparse(struct engine *e, const char *backup);

/* backup_plan.c */
/* Wait for room in the window.  false: hand your pack over first, it is waited for. */
extern bool plan_wait(struct engine *e, const struct pack_buf *pack);
/* The next task to work on; NULL when there is none or the backup has failed, or
 * (*full) when another worker took the room. */
extern struct task *plan_next(struct engine *e, bool *full, struct sov_error *err);
/* The task of pg_control, which is read last. */
extern enum sov_code plan_control(struct engine *e, struct task *t, struct sov_error *err);
extern void task_clear(struct engine *e, struct task *t);

/* backup_pack.c */
extern enum sov_code packs_init(struct engine *e, struct sov_error *err);
extern void packs_free(struct engine *e);
/* A buffer to fill; NULL when the backup has failed. */
extern struct pack_buf *pack_take(struct engine *e);
/* Before a frame is put at the pack's end. */
extern void pack_mark(struct pack_buf *pack);
/* Hand a filled buffer to the uploaders. */
extern void pack_give(struct engine *e, struct pack_buf *pack);
/* Hand over a buffer that is not full: joined with others. */
extern void pack_leave(struct engine *e, struct pack_buf *pack);
/* Close all packs as soon as their workers have left them. */
extern void packs_want(struct engine *e);
/* Nothing follows. */
extern void packs_end(struct engine *e);
/* Where a frame is now; under the lock. */
extern void pack_place(const struct engine *e, uint32_t *no, uint32_t *offset);
/* Is all that was put into it at the providers?  Under the lock. */
extern bool pack_settled(const struct engine *e, uint32_t no);
/* The number of a pack that an earlier backup stored; UINT32_MAX: out of memory. */
extern uint32_t pack_earlier(struct engine *e, const struct sov_mf_pack *mf, bool *doubted);
extern void *uploader_main(void *arg);

/* backup_store.c */
struct worker
{
	struct engine *e;
	struct sov_compressor *z;
	struct pack_buf *pack;
	uint8_t    *block;			/* SOV_FRAME_MAX */
	uint8_t    *small;			/* gathered parts of blocks, SOV_FRAME_MAX */
	size_t		small_len;
	size_t		small_first;	/* first of task->runs that may wait for this frame */
	struct sov_error err;
};
/* Hash w->block and store of it what is not stored yet. */
extern enum sov_code store_block(struct worker *w, struct task *t, struct range *range, uint32_t no, size_t index, size_t len);
/* Take over a block of base unread. */
extern enum sov_code store_trusted(struct worker *w, struct task *t, const struct range *range, uint32_t no, size_t index);
/* Seal what was gathered. */
extern enum sov_code store_flush(struct worker *w, struct task *t);

/* backup_read.c */
extern void *worker_main(void *arg);
/* Do one task here and now (pg_control). */
extern enum sov_code read_task(struct engine *e, struct task *task);

/* backup_piece.c */
struct piece_list
{
	size_t		n,
				cap;
	struct { struct sov_objref ref; char *first_path; } *refs;
	struct piece_builder *current;
	struct piece_builder *waiting;	/* whole, but not all its packs are uploaded */
	size_t		waiting_bytes;	/* of memory that they hold */
	uint64_t	files,
				bytes;
};
extern enum sov_code pieces_add(struct engine *e, struct piece_list *pl, struct task *task, struct sov_error *err);
/* Put pieces whose packs are uploaded; all of them when flush is set. */
extern enum sov_code pieces_put(struct engine *e, struct piece_list *pl, bool flush, struct sov_error *err);
extern void pieces_free(struct piece_list *pl);

/* backup_commit.c: manifest, catalogue, head */
extern enum sov_code backup_write(struct engine *e, const struct piece_list *pl, struct sov_manifest *m,
								  struct sov_backup_entry *entry, struct sov_error *err);

#endif
