/*
 * backup_private.h - what the backup engine's files share.
 *
 *   planner (files.c)  ->  tasks in path order
 *   workers            read, check pages, hash, compress, seal into their pack
 *   uploaders          erasure-code and put full packs (bounded queue)
 *   main thread        takes finished tasks in order, makes pieces; a piece is
 *                      put only when every pack that it names is uploaded
 *
 * Memory: pack buffers come from a fixed pool (jobs + PACK_SPARE); everything
 * else is small per task.
 */
#ifndef BACKUP_PRIVATE_H
#define BACKUP_PRIVATE_H

#include <pthread.h>

#include "files.h"
#include "repo_private.h"

#define PACK_CAPACITY ((size_t) 26 << 20)
#define PACK_SPARE 3
#define UPLOADERS 2
#define TASK_BYTES ((uint64_t) 32 << 20)	/* source of one task, about */
#define TASK_FILES 512
#define SMALL_BLOCK (64 * 1024)	/* shorter blocks share frames */
#define MAX_JOBS 12

struct pack_buf
{
	uint8_t    *data;
	size_t		len;
	uint32_t	no;				/* in engine.packs */
	struct pack_buf *next;
};

struct pack_info
{
	struct sov_mf_pack mf;
	bool		uploaded;
};

/* Part of a file in a task. */
struct range
{
	size_t		file;
	uint32_t	first_block,
				n_blocks;
};

struct task
{
	struct range *ranges;
	size_t		n_ranges;
	/* result */
	bool		done;
	struct sov_mf_block *blocks;	/* of all ranges, one after the other */
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

struct engine
{
	struct sov_repo *repo;
	const struct sov_source *source;
	const struct sov_backup_options *opt;
	const struct sov_progress *progress;
	struct sov_source_info info;
	struct sov_run *run;
	struct file_list list;
	bool	   *vanished;		/* by file: gone when its first block was read */
	struct task *tasks;
	size_t		n_tasks,
				next_task;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct sov_error err;		/* the first failure */
	bool		failed;
	struct pack_buf *pool,
			   *queue,
			   *queue_tail;
	struct pack_buf buffers[MAX_JOBS + PACK_SPARE];
	bool		no_more_packs;
	struct pack_info *packs;
	size_t		n_packs,
				cap_packs;
	struct suspect *suspects;
	size_t		n_suspects,
				cap_suspects;
	uint64_t	stored,
				zero_bytes,
				frames;
	int			degraded;
	_Atomic uint64_t bytes_read;
	int64_t		started_us;
};

/* Remember the first failure and wake everybody. */
extern void engine_fail(struct engine *e, const struct sov_error *err);
extern bool engine_stopped(struct engine *e);

/* backup_pack.c */
extern enum sov_code packs_init(struct engine *e, struct sov_error *err);
extern void packs_free(struct engine *e);
/* A buffer to fill; NULL when the backup has failed. */
extern struct pack_buf *pack_take(struct engine *e);
/* Hand a filled buffer to the uploaders (an empty one goes back to the pool). */
extern void pack_give(struct engine *e, struct pack_buf *pack);
extern void *uploader_main(void *arg);

/* backup_read.c */
extern void *worker_main(void *arg);
/* Read a small file whole, as if by a worker of one task (pg_control). */
extern enum sov_code read_last_file(struct engine *e, struct task *task);

/* backup_piece.c */
struct piece_list
{
	size_t		n,
				cap;
	struct { struct sov_objref ref; char *first_path; } *refs;
	struct piece_builder *current;
	struct piece_builder *waiting;	/* whole, but not all its packs are uploaded */
	uint64_t	files,
				bytes;
};
extern enum sov_code pieces_add(struct engine *e, struct piece_list *pl, struct task *task, struct sov_error *err);
/* Put pieces whose packs are uploaded; all of them when flush is set. */
extern enum sov_code pieces_put(struct engine *e, struct piece_list *pl, bool flush, struct sov_error *err);
extern void pieces_free(struct piece_list *pl);

#endif
