/*
 * backup_pack.c - pack buffers and their upload.
 *
 * Every worker fills a pack of its own and leaves one that is not full.  Frames
 * are bound to their run, not to their pack, so these are joined: the rest is
 * filled up with the end of what is left next, parted between two frames, and what
 * remains of that is the new rest.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backup_private.h"

#define HUGE_PAGE ((size_t) 2 << 20)	/* divides PACK_BUFFER */

void
engine_fail(struct engine *e, const struct sov_error *err)
{
	pthread_mutex_lock(&e->lock);
	if (!e->failed)
	{
		e->failed = true;
		e->err = *err;
	}
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

bool
engine_stopped(struct engine *e)
{
	struct sov_error err;

	if (__atomic_load_n(&e->failed, __ATOMIC_RELAXED))
		return true;
	if (e->progress == NULL || e->progress->cancelled == NULL || !e->progress->cancelled(e->progress->ctx))
		return false;
	sov_fail(&err, SOV_E_CANCELLED, "run it again; nothing of it counts yet", "the backup was cancelled");
	engine_fail(e, &err);
	return true;
}

enum sov_code
packs_init(struct engine *e, struct sov_error *err)
{
	for (int i = 0; i < e->opt->jobs + PACK_SPARE; i++)
	{
		struct pack_buf *p = &e->buffers[i];

		/* in huge pages, where there are some: touching it first costs less */
		p->data = aligned_alloc(HUGE_PAGE, PACK_BUFFER);
		if (p->data == NULL)
			return sov_fail(err, SOV_E_NOMEM, "use fewer --jobs", "out of memory for pack buffers");
		(void) madvise(p->data, PACK_BUFFER, MADV_HUGEPAGE);
		p->next = e->pool;
		e->pool = p;
	}
	return SOV_OK;
}

void
packs_free(struct engine *e)
{
	for (int i = 0; i < e->opt->jobs + PACK_SPARE; i++)
		free(e->buffers[i].data);
	free(e->packs);
	free(e->pack_table);
}

/* Room for one more; under the lock. */
static bool
room_for_pack(struct engine *e)
{
	size_t		cap = e->cap_packs ? e->cap_packs * 2 : 256;
	void	   *q;

	if (e->n_packs < e->cap_packs)
		return true;
	q = realloc(e->packs, cap * sizeof *e->packs);
	if (q == NULL)
		return false;
	e->packs = q;
	e->cap_packs = cap;
	return true;
}

/* A fresh id for the buffer; under the lock. */
static bool
register_pack(struct engine *e, struct pack_buf *p)
{
	struct pack_info *info;

	if (!room_for_pack(e))
		return false;
	info = &e->packs[e->n_packs];
	memset(info, 0, sizeof *info);
	memcpy(info->mf.run, e->run->id, 16);
	if (sov_random(info->mf.id, 16, NULL) != SOV_OK)
		return false;
	p->no = (uint32_t) e->n_packs++;
	p->len = 0;
	p->n_marks = 0;
	p->filling = true;
	return true;
}

/* --- packs of earlier backups --- */

static size_t
table_slot(const struct engine *e, const uint8_t id[16])
{
	size_t		at = (size_t) sov_get_le64(id) & (e->pack_slots - 1);

	while (e->pack_table[at] != UINT32_MAX && memcmp(e->packs[e->pack_table[at]].mf.id, id, 16) != 0)
		at = (at + 1) & (e->pack_slots - 1);
	return at;
}

/* At most half full. */
static bool
grow_table(struct engine *e)
{
	size_t		slots = e->pack_slots ? e->pack_slots * 2 : 1024,
				old_slots = e->pack_slots;
	uint32_t   *old = e->pack_table,
			   *p;

	if ((e->n_earlier + 1) * 2 <= e->pack_slots)
		return true;
	p = malloc(slots * sizeof *p);
	if (p == NULL)
		return false;
	memset(p, 0xff, slots * sizeof *p);
	e->pack_table = p;
	e->pack_slots = slots;
	for (size_t i = 0; i < old_slots; i++)
		if (old[i] != UINT32_MAX)
			p[table_slot(e, e->packs[old[i]].mf.id)] = old[i];
	free(old);
	return true;
}

uint32_t
pack_earlier(struct engine *e, const struct sov_mf_pack *mf, bool *doubted)
{
	uint32_t	no = UINT32_MAX;
	size_t		at;

	pthread_mutex_lock(&e->lock);
	if (grow_table(e))
	{
		at = table_slot(e, mf->id);
		no = e->pack_table[at];
		if (no == UINT32_MAX && room_for_pack(e))
		{
			no = (uint32_t) e->n_packs++;
			e->packs[no] = (struct pack_info) {.mf = *mf, .uploaded = true, .doubt = trust_doubts(e, mf)};
			e->lost_packs += e->packs[no].doubt == DOUBT_LOST;
			e->sparse_packs += e->packs[no].doubt == DOUBT_SPARSE;
			e->pack_table[at] = no;
			e->n_earlier++;
		}
		if (no != UINT32_MAX)
			*doubted = e->packs[no].doubt != DOUBT_NONE;
	}
	pthread_mutex_unlock(&e->lock);
	return no;
}

struct pack_buf *
pack_take(struct engine *e)
{
	struct pack_buf *p = NULL;
	struct sov_error err;
	bool		good = true;

	pthread_mutex_lock(&e->lock);
	while (e->pool == NULL && !e->failed)
		pthread_cond_wait(&e->changed, &e->lock);
	if (!e->failed)
	{
		p = e->pool;
		e->pool = p->next;
		good = register_pack(e, p);
		if (!good)
		{
			p->next = e->pool;
			e->pool = p;
			p = NULL;
		}
	}
	pthread_mutex_unlock(&e->lock);
	if (!good)
	{
		sov_fail(&err, SOV_E_NOMEM, NULL, "out of memory");
		engine_fail(e, &err);
	}
	return p;
}

/* With zeros, so that its shards are cut from it without a copy. */
static void
pad(const struct engine *e, struct pack_buf *p)
{
	int			k = e->repo->admin.map.k;
	size_t		len = (size_t) sov_ec_shard_len(p->len, k) * (size_t) k;

	memset(p->data + p->len, 0, len - p->len);
	p->len = len;
}

/* Under the lock. */
static void
enqueue(struct engine *e, struct pack_buf *p)
{
	pad(e, p);
	e->packs[p->no].mf.sealed_len = p->len;
	e->put_packs++;
	p->filling = false;
	p->next = NULL;
	if (e->queue_tail)
		e->queue_tail->next = p;
	else
		e->queue = p;
	e->queue_tail = p;
	pthread_cond_broadcast(&e->changed);
}

void
pack_give(struct engine *e, struct pack_buf *p)
{
	pthread_mutex_lock(&e->lock);
	enqueue(e, p);
	pthread_mutex_unlock(&e->lock);
}

/* --- what is not full --- */

void
pack_mark(struct pack_buf *p)
{
	if (p->len >= (size_t) p->n_marks * PACK_MARK)
		p->marks[p->n_marks++] = (uint32_t) p->len;
}

void
pack_place(const struct engine *e, uint32_t *no, uint32_t *offset)
{
	const struct pack_info *p = &e->packs[*no];

	if (!p->parted || *offset < p->part_from)
		return;
	*offset = *offset - p->part_from + p->part_at;
	*no = p->part_no;
}

bool
pack_settled(const struct engine *e, uint32_t no)
{
	const struct pack_info *p = &e->packs[no];

	return (!p->parted || e->packs[p->part_no].uploaded) && ((p->parted && p->part_from == 0) || p->uploaded);
}

/* The end of p, as much as there is room for, to the rest; it is parted once only:
 * nothing is taken from a rest. */
static void
fill_rest(struct engine *e, struct pack_buf *p)
{
	struct pack_info *info = &e->packs[p->no];
	struct pack_buf *rest = e->rest;
	int			i = 0;

	while (i < p->n_marks && rest->len + (p->len - p->marks[i]) > PACK_CAPACITY)
		i++;
	if (i == p->n_marks)
		return;
	info->parted = true;
	info->part_from = p->marks[i];
	info->part_no = rest->no;
	info->part_at = (uint32_t) rest->len;
	memcpy(rest->data + rest->len, p->data + p->marks[i], p->len - p->marks[i]);
	rest->len += p->len - p->marks[i];
	p->len = p->marks[i];
	p->n_marks = i;
}

/* Once nothing that is wanted can be added. */
static void
give_wanted_rest(struct engine *e)
{
	bool		awaited = false;

	for (int i = 0; i < e->opt->jobs + PACK_SPARE; i++)
		awaited = awaited || (e->buffers[i].filling && e->buffers[i].no < e->wanted);
	if (e->rest == NULL || !e->rest_wanted || awaited)
		return;
	enqueue(e, e->rest);
	e->rest = NULL;
	e->rest_wanted = false;
}

void
pack_leave(struct engine *e, struct pack_buf *p)
{
	pthread_mutex_lock(&e->lock);
	p->filling = false;
	if (e->rest && p->len > 0)
	{
		fill_rest(e, p);
		e->rest_wanted = e->rest_wanted || p->no < e->wanted;
		if (p->len > 0)
		{
			enqueue(e, e->rest);
			e->rest = NULL;
		}
	}
	if (p->len > 0)
	{
		e->rest = p;
		e->rest_wanted = p->no < e->wanted;
	}
	else
	{
		p->next = e->pool;
		e->pool = p;
	}
	give_wanted_rest(e);
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

void
packs_want(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->wanted = (uint32_t) e->n_packs;
	e->rest_wanted = e->rest != NULL;
	give_wanted_rest(e);
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

void
packs_end(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	if (e->rest)
		enqueue(e, e->rest);
	e->rest = NULL;
	e->no_more_packs = true;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

/* --- upload --- */

static enum sov_code
upload(struct engine *e, const struct pack_buf *p, struct sov_put_result *res, struct sov_error *err)
{
	struct sov_shard_info info;
	enum sov_code rc;

	memset(&info, 0, sizeof info);
	info.class_ = SOV_CLASS_PACK;
	pthread_mutex_lock(&e->lock);
	sov_hex(info.id, e->packs[p->no].mf.id, 16);
	pthread_mutex_unlock(&e->lock);
	memcpy(info.run, e->run->id, 16);
	memcpy(info.commitment, e->run->commitment, 32);
	rc = sov_random(info.stream, 32, err);
	return rc == SOV_OK ? sov_repo_put_sealed(e->repo, &info, p->data, p->len, res, err) : rc;
}

void *
uploader_main(void *arg)
{
	struct engine *e = arg;

	for (;;)
	{
		struct pack_buf *p;
		struct sov_put_result res = {0};
		struct sov_error err;
		enum sov_code rc;

		pthread_mutex_lock(&e->lock);
		while (e->queue == NULL && !e->no_more_packs && !e->failed)
			pthread_cond_wait(&e->changed, &e->lock);
		p = e->failed ? NULL : e->queue;
		if (p)
		{
			e->queue = p->next;
			if (e->queue == NULL)
				e->queue_tail = NULL;
		}
		pthread_mutex_unlock(&e->lock);
		if (p == NULL)
			return NULL;

		rc = upload(e, p, &res, &err);
		if (rc != SOV_OK)
			engine_fail(e, &err);
		pthread_mutex_lock(&e->lock);
		if (rc == SOV_OK)
		{
			e->packs[p->no].uploaded = true;
			e->stored += res.stored;
			e->degraded += res.holders < e->repo->admin.map.n;
		}
		p->next = e->pool;
		e->pool = p;
		pthread_cond_broadcast(&e->changed);
		pthread_mutex_unlock(&e->lock);
	}
}
