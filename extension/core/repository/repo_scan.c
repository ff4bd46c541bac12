/*
 * repo_scan.c - what a provider really holds, from the headers of its objects.
 *
 * Names say nothing to anybody; the sealed header of each object tells class,
 * id and slot, and the name that it must have follows from those.  An object in
 * another's place is reported as damaged.
 *
 * Each header is a request, and there may be a million of them behind a long wire:
 * several are asked for at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

#define SHARE_MAX 2048			/* a share object with n = 16 is shorter */
#define SCAN_CREW 8				/* headers at once, of one provider, */
#define SCAN_EACH 4				/* where there are so many for each: a connection costs several */

struct name_list
{
	struct sov_buf names;		/* NUL-terminated, one after the other */
	struct sov_buf sizes;		/* u64 each */
};

static bool
collect(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct name_list *l = ctx;

	sov_write_bytes(&l->names, name, strlen(name) + 1);
	sov_write_u64(&l->sizes, st->size);
	return !l->names.bad && !l->sizes.bad;
}

static enum sov_code
read_share_head(struct sov_repo *repo, const struct sov_buf *raw, struct sov_shard_info *info, struct sov_error *err)
{
	struct sov_run_share share;
	enum sov_code rc = sov_run_share_parse(repo->keys, raw->data, raw->len, &share, err);

	if (rc == SOV_OK)
	{
		info->class_ = SOV_CLASS_RUN;
		sov_hex(info->id, share.run, 16);
		info->k = share.k;
		info->n = share.n;
		info->slot = share.slot;
		memcpy(info->run, share.run, 16);
	}
	sov_wipe(&share, sizeof share);
	return rc;
}

static uint32_t
share_generation(struct sov_repo *repo, const struct sov_scan_item *item)
{
	char		name[SOV_NAME_MAX];
	uint32_t	newest = repo->admin.map.generation;

	for (uint32_t g = newest + 1; g-- > 0;)
		if (sov_repo_name(repo, repo->providers[item->provider].uuid, SOV_CLASS_RUN, item->info.id, g, item->info.slot, 0, name, NULL) == SOV_OK &&
			strcmp(name, item->name) == 0)
			return g;
	return newest;
}

static void
read_item(struct sov_repo *repo, uint8_t class_, struct sov_scan_item *item, struct sov_buf *raw)
{
	char		name[SOV_NAME_MAX];
	uint64_t	tags_at,
				body_at = 0;
	enum sov_code rc;

	raw->len = 0;
	rc = repo_get(repo, item->provider, item->name, 0, class_ == SOV_CLASS_RUN ? SHARE_MAX : SOV_SHARD_HEAD_MAX, raw, &item->why);
	if (rc == SOV_OK && class_ == SOV_CLASS_RUN)
		rc = read_share_head(repo, raw, &item->info, &item->why);
	else if (rc == SOV_OK)
		rc = sov_shard_parse(repo->keys, raw->data, raw->len, &item->info, &tags_at, &body_at, &item->why);
	if (rc == SOV_OK && class_ != SOV_CLASS_RUN && item->size != body_at + item->info.shard_len)
		rc = sov_fail(&item->why, SOV_E_FORMAT, NULL, "it has %llu bytes instead of %llu",
					  (unsigned long long) item->size, (unsigned long long) (body_at + item->info.shard_len));
	/* a share does not say its generation: its name does */
	if (rc == SOV_OK && class_ == SOV_CLASS_RUN)
		item->info.generation = share_generation(repo, item);
	if (rc == SOV_OK)
		rc = sov_repo_name(repo, repo->providers[item->provider].uuid, item->info.class_, item->info.id,
						   item->info.generation, item->info.slot, item->info.attempt, name, &item->why);
	if (rc == SOV_OK && strcmp(name, item->name) != 0)
		rc = sov_fail(&item->why, SOV_E_AUTH, NULL, "it is the shard of %c %s slot %d, put in another's place",
					  item->info.class_, item->info.id, item->info.slot);
	item->readable = rc == SOV_OK;
}

void
sov_repo_scan_one(struct sov_repo *repo, uint8_t class_, struct sov_scan_item *item)
{
	struct sov_buf raw = {0};

	memset(&item->info, 0, sizeof item->info);
	sov_error_clear(&item->why);
	read_item(repo, class_, item, &raw);
	sov_buf_free(&raw);
}

struct scan
{
	struct sov_repo *repo;
	int			provider;
	uint8_t		class_;
	sov_scan_known_fn known;
	sov_scan_fn fn;
	void	   *ctx;
	struct name_list list;
	pthread_mutex_t lock;		/* of what follows */
	size_t		at,				/* the next name and size */
				i;
	bool		stop;
};

static bool
next_item(struct scan *s, struct sov_scan_item *item)
{
	bool		any;

	pthread_mutex_lock(&s->lock);
	any = !s->stop && s->at < s->list.names.len;
	if (any)
	{
		item->provider = s->provider;
		item->name = (const char *) s->list.names.data + s->at;
		item->size = sov_get_le64(s->list.sizes.data + 8 * s->i++);
		s->at += strlen(item->name) + 1;
	}
	pthread_mutex_unlock(&s->lock);
	return any;
}

static void
scan_some(int member, void *arg)
{
	struct scan *s = arg;
	struct sov_buf raw = {0};
	struct sov_scan_item item;

	(void) member;
	while (next_item(s, &item))
	{
		memset(&item.info, 0, sizeof item.info);
		sov_error_clear(&item.why);
		item.readable = s->known && s->known(s->ctx, &item);
		if (!item.readable)
			read_item(s->repo, s->class_, &item, &raw);
		if (s->fn(s->ctx, &item))
			continue;
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_mutex_unlock(&s->lock);
	}
	sov_buf_free(&raw);
}

enum sov_code
sov_repo_scan(struct sov_repo *repo, int provider, uint8_t class_, sov_scan_known_fn known,
			  sov_scan_fn fn, void *ctx, struct sov_error *err)
{
	struct scan s = {.repo = repo, .provider = provider, .class_ = class_, .known = known, .fn = fn, .ctx = ctx, .lock = PTHREAD_MUTEX_INITIALIZER};
	char		prefix[3] = {(char) class_, '/', '\0'};
	enum sov_code rc = repo_list(repo, provider, prefix, collect, &s.list, err);
	size_t		n = s.list.sizes.len / 8;

	if (rc == SOV_OK && (s.list.names.bad || s.list.sizes.bad))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK && n > 0)
		sov_parallel(n / SCAN_EACH < SCAN_CREW ? (int) (n / SCAN_EACH) + 1 : SCAN_CREW, scan_some, &s);
	sov_buf_free(&s.list.names);
	sov_buf_free(&s.list.sizes);
	return rc;
}
