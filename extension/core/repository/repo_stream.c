/*
 * repo_stream.c - runs read back from their shares, and stream objects
 * (metadata, WAL): compress, seal, put; get, open, decompress.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "repo_private.h"

#define STREAM_HEAD 9			/* method u8 | raw length u64 */
#define STREAM_RAW_MAX ((uint64_t) 2 << 30)	/* a WAL segment is 1 GB at most */

enum { METHOD_RAW = 0, METHOD_ZSTD = 1 };

/* --- runs --- */

struct share_job
{
	struct sov_repo *repo;
	const struct sov_map *map;
	const char *id;
	int			skip;
	bool		good[SOV_EC_MAX];
	bool		absent[SOV_EC_MAX];
	bool		damaged[SOV_EC_MAX];
	struct sov_run_share share[SOV_EC_MAX];
};

struct one_share
{
	struct share_job *job;
	int			slot;
};

static enum sov_code
check_share(void *ctx, struct sov_buf *raw, struct sov_error *err)
{
	struct one_share *o = ctx;
	struct sov_run_share *share = &o->job->share[o->slot];
	uint8_t		run[16];
	enum sov_code rc = sov_run_share_parse(o->job->repo->keys, raw->data, raw->len, share, err);

	if (rc == SOV_OK && (!sov_unhex(run, o->job->id, 16) || memcmp(run, share->run, 16) != 0 || share->slot != o->slot))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "it is another run's share, put in this place");
	o->job->good[o->slot] = rc == SOV_OK;
	return rc;
}

/* From an older version that the provider keeps. */
static void
look_back_at(int slot, void *arg)
{
	struct one_share o = {.job = arg, .slot = slot};
	struct repo_place place;
	struct sov_buf raw = {0};

	if (!o.job->good[slot] &&
		repo_place(o.job->repo, SOV_CLASS_RUN, o.job->id, o.job->map->generation, (uint8_t) slot, 0, &place, NULL) == SOV_OK)
		(void) repo_older_at(o.job->repo, &place, check_share, &o, &raw);
	sov_buf_free(&raw);
}

static void
read_share(int slot, void *arg)
{
	struct share_job *job = arg;
	struct one_share o = {.job = job, .slot = slot};
	struct repo_place place;
	struct sov_buf raw = {0};
	struct sov_error err;
	int			from;
	enum sov_code rc;

	if (slot == job->skip)
		return;
	rc = repo_place(job->repo, SOV_CLASS_RUN, job->id, job->map->generation, (uint8_t) slot, 0, &place, &err);
	if (rc == SOV_OK)
		rc = repo_fetch(job->repo, &place, UINT64_MAX, &raw, &from, &err);
	job->absent[slot] = rc == SOV_E_NOTFOUND;
	if (rc == SOV_OK)
	{
		rc = check_share(&o, &raw, &err);
		job->damaged[slot] = rc != SOV_OK;
		if (rc != SOV_OK)
		{
			__atomic_add_fetch(&job->repo->damaged_shards, 1, __ATOMIC_RELAXED);
			repo_note(job->repo, "%s %s: object %s (share %d of run %s) is damaged: %s; the other providers serve instead",
					  from < 0 ? "the spool of provider" : "provider", from < 0 ? repo_place_alias(job->repo, &place) : job->repo->providers[from].cfg->name, place.name_now, slot, job->id, err.message);
		}
	}
	sov_buf_free(&raw);
}

/* A change of k or n that was killed may have left shares of two splits: the
 * most that agree. */
static int
agreeing(const struct share_job *job, int total, struct sov_run_share *shares)
{
	int			best = 0;

	for (int a = 0; a < total; a++)
	{
		int			count = 0;

		for (int b = 0; b < total; b++)
			count += job->good[a] && job->good[b] && memcmp(job->share[a].hashes, job->share[b].hashes, sizeof job->share[a].hashes) == 0;
		if (count <= best)
			continue;
		best = 0;
		for (int b = 0; b < total; b++)
			if (job->good[b] && memcmp(job->share[a].hashes, job->share[b].hashes, sizeof job->share[a].hashes) == 0)
				shares[best++] = job->share[b];
	}
	return best;
}

enum sov_code
repo_read_shares(struct sov_repo *repo, const struct sov_map *map, const uint8_t run[16], int skip_slot,
				 struct sov_run_share *shares, int *n, struct sov_error *err)
{
	struct share_job *job = sov_secret_alloc(sizeof *job, err);
	int			k = map->k,
				total = map->n,
				away = total;
	char		id[33],
				where[400],
				down[400];

	*n = 0;
	if (job == NULL)
		return SOV_E_NOMEM;
	sov_hex(id, run, 16);
	job->repo = repo;
	job->id = id;
	job->map = map;
	job->skip = skip_slot;
	sov_parallel(total, read_share, job);
	for (int s = 0; s < total; s++)
		away -= s == skip_slot || job->good[s] || job->absent[s] || job->damaged[s];
	*n = agreeing(job, total, shares);
	if (*n < k)
	{
		sov_parallel(total, look_back_at, job);
		*n = agreeing(job, total, shares);
	}
	if (*n < k)
		repo_list_places(repo, map, SOV_CLASS_RUN, id, 0, job->absent, job->damaged, where, sizeof where);
	sov_secret_free(job);
	if (*n >= k)
		return SOV_OK;
	repo_provider_down_list(repo, down, sizeof down);
	if (away <= 0)
		return sov_fail(err, SOV_E_CORRUPT, "run 'pg_sovereign verify --deep' to see what is left",
						"run %s: %d shares are needed to open it, %d are left%s", id, k, *n, where);
	return sov_fail(err, SOV_E_QUORUM, "bring back one of the providers that do not answer",
					"run %s: %d shares are needed to open it, %d were read: %s%s", id, k, *n, down, where);
}

/* By the map, and by the one before; once more when another host changed them. */
static enum sov_code
read_any_shares(struct sov_repo *repo, const uint8_t run[16], struct sov_run_share *shares, int *n, struct sov_error *err)
{
	enum sov_code rc;
	int			fd;

	for (bool again = false;; again = true)
	{
		rc = repo_map_hold(repo, false, &fd, err);
		if (rc != SOV_OK)
			return rc;
		rc = repo_read_shares(repo, &repo->admin.map, run, -1, shares, n, err);
		if (rc != SOV_OK && repo->admin.was.n > 0)
			rc = repo_read_shares(repo, &repo->admin.was, run, -1, shares, n, err);
		repo_map_release(repo, fd);
		if (rc == SOV_OK || again || !repo_map_renew(repo))
			return rc;
	}
}

enum sov_code
sov_repo_run_open(struct sov_repo *repo, const uint8_t id[16], bool content, const struct sov_run **run, struct sov_error *err)
{
	struct sov_repo_private *priv = repo->priv;
	struct sov_run_share *shares;
	struct sov_run *joined;
	char		hex[33];
	int			n;
	enum sov_code rc;

	pthread_mutex_lock(&priv->lock);
	for (int i = 0; i < priv->n_runs; i++)
		if (memcmp(priv->runs[i]->id, id, 16) == 0 && (priv->runs[i]->reads || !content))
		{
			*run = priv->runs[i];
			pthread_mutex_unlock(&priv->lock);
			return SOV_OK;
		}
	pthread_mutex_unlock(&priv->lock);

	shares = sov_secret_alloc(sizeof *shares * SOV_EC_MAX, err);
	if (shares == NULL)
		return SOV_E_NOMEM;
	rc = read_any_shares(repo, id, shares, &n, err);
	/* from before there was a pair: all of it is under K_content */
	if (rc == SOV_OK && (shares[0].sealed ? content && !repo->keys->has_private : !repo->keys->has_content))
		rc = sov_repo_may_read(repo, err);
	if (rc == SOV_OK)
	{
		rc = sov_run_join(repo->keys, shares, n, &joined, err);
		sov_hex(hex, id, 16);
		if (rc != SOV_OK)
			sov_error_at(err, "its shares are whole, so another repository's key is in use, or the keyring was set back", "run %s", hex);
	}
	sov_secret_free(shares);
	if (rc != SOV_OK)
		return rc;

	pthread_mutex_lock(&priv->lock);
	if (priv->n_runs == priv->runs_cap)
	{
		int			cap = priv->runs_cap ? priv->runs_cap * 2 : 16;
		struct sov_run **p = realloc(priv->runs, sizeof *p * (size_t) cap);

		if (p == NULL)
		{
			pthread_mutex_unlock(&priv->lock);
			sov_run_free(joined);
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		}
		priv->runs = p;
		priv->runs_cap = cap;
	}
	/* Another thread may have joined it meanwhile: both copies are kept, both
	 * are right, and pointers handed out stay valid until close. */
	priv->runs[priv->n_runs++] = joined;
	*run = joined;
	pthread_mutex_unlock(&priv->lock);
	return SOV_OK;
}

/* --- streams --- */

/* Records in WAL repeat in short matches and over a whole segment, which zstd's
 * own choice of parameters for level 1 passes over: with these, level 1 is as
 * small as level 3 and takes two thirds of its time. */
#define WAL_WINDOW_LOG 24
#define WAL_MIN_MATCH 5
#define WAL_HASH_LOG 15			/* full-page images: a fiftieth smaller than with 14 */

/* Compressed length, 0 when it does not get smaller. */
static size_t
compress_plain(const struct sov_repo *repo, uint8_t class_, const void *bytes, size_t len, uint8_t *dst, size_t cap)
{
	ZSTD_CCtx  *ctx = ZSTD_createCCtx();
	size_t		n;

	if (ctx == NULL)
		return 0;
	(void) ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, repo->cfg.compress_level);
	if (class_ == SOV_CLASS_WAL && repo->cfg.compress_level <= 2)
	{
		(void) ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, WAL_WINDOW_LOG);
		(void) ZSTD_CCtx_setParameter(ctx, ZSTD_c_minMatch, WAL_MIN_MATCH);
		(void) ZSTD_CCtx_setParameter(ctx, ZSTD_c_hashLog, WAL_HASH_LOG);
	}
	n = ZSTD_compress2(ctx, dst, cap, bytes, len);
	ZSTD_freeCCtx(ctx);
	return ZSTD_isError(n) || n >= len ? 0 : n;
}

/* method | raw length | bytes, compressed where that helps. */
static enum sov_code
pack_plain(const struct sov_repo *repo, uint8_t class_, const void *bytes, size_t len, bool compress,
		   struct sov_buf *out, struct sov_error *err)
{
	size_t		bound = compress ? ZSTD_compressBound(len) : 0,
				n;
	uint8_t    *p;

	if (compress && (p = sov_buf_extend(out, STREAM_HEAD + bound)) != NULL)
	{
		n = compress_plain(repo, class_, bytes, len, p + STREAM_HEAD, bound);
		if (n > 0)
		{
			p[0] = METHOD_ZSTD;
			sov_put_le64(p + 1, len);
			out->len = STREAM_HEAD + n;
			return SOV_OK;
		}
	}
	sov_buf_free(out);
	p = sov_buf_extend(out, STREAM_HEAD + len);
	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	p[0] = METHOD_RAW;
	sov_put_le64(p + 1, len);
	if (len > 0)
		memcpy(p + STREAM_HEAD, bytes, len);
	return SOV_OK;
}

static enum sov_code
unpack_plain(const struct sov_buf *in, struct sov_buf *out, struct sov_error *err)
{
	uint64_t	raw;
	uint8_t    *p;
	size_t		n;

	if (in->len < STREAM_HEAD)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a stream is too short");
	raw = sov_get_le64(in->data + 1);
	if (raw > STREAM_RAW_MAX)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a stream claims %llu bytes, which cannot be", (unsigned long long) raw);
	if (in->data[0] == METHOD_RAW)
	{
		if (raw != in->len - STREAM_HEAD)
			return sov_fail(err, SOV_E_FORMAT, NULL, "a stream's length is wrong");
		sov_write_bytes(out, in->data + STREAM_HEAD, raw);
		return out->bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : SOV_OK;
	}
	if (in->data[0] != METHOD_ZSTD)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use a later version of pg_sovereign",
						"a stream uses compression method %d, which this version does not know", in->data[0]);
	p = sov_buf_extend(out, raw);
	if (p == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	n = ZSTD_decompress(p, raw, in->data + STREAM_HEAD, in->len - STREAM_HEAD);
	if (ZSTD_isError(n) || n != raw)
		return sov_fail(err, SOV_E_FORMAT, NULL, "a stream does not decompress");
	return SOV_OK;
}

enum sov_code
sov_repo_seal_stream(struct sov_repo *repo, struct sov_run *run, uint8_t class_, const char *id, uint32_t timeline,
					 const void *bytes, size_t len, bool compress, const uint8_t *content, uint16_t attempt,
					 struct sov_shard_info *info, struct sov_buf *sealed, struct sov_error *err)
{
	struct sov_buf plain = {0};
	uint8_t		random_id[16];
	enum sov_code rc;

	memset(info, 0, sizeof *info);
	if (id == NULL)
	{
		rc = sov_random(random_id, sizeof random_id, err);
		if (rc != SOV_OK)
			return rc;
		sov_hex(info->id, random_id, 16);
	}
	else
		snprintf(info->id, sizeof info->id, "%s", id);
	info->class_ = class_;
	info->attempt = attempt;
	memcpy(info->run, run->id, 16);
	memcpy(info->commitment, run->commitment, 32);
	if (content)
		memcpy(info->content, content, 32);

	rc = pack_plain(repo, class_, bytes, len, compress, &plain, err);
	if (rc == SOV_OK)
		rc = sov_stream_salt(repo->keys, class_, info->id, timeline, plain.data, plain.len, info->stream, err);
	if (rc == SOV_OK)
		rc = sov_stream_seal(run, class_, info->id, info->stream, plain.data, plain.len, sealed, err);
	sov_buf_free(&plain);
	return rc;
}

enum sov_code
sov_repo_put_stream(struct sov_repo *repo, struct sov_run *run, uint8_t class_, const char *id,
					uint32_t timeline, const void *bytes, size_t len, bool compress,
					const uint8_t *content, uint16_t attempt,
					struct sov_objref *ref, struct sov_put_result *res, struct sov_error *err)
{
	struct sov_shard_info info;
	struct sov_buf sealed = {0};
	enum sov_code rc = sov_repo_seal_stream(repo, run, class_, id, timeline, bytes, len, compress, content, attempt, &info, &sealed, err);

	if (rc == SOV_OK)
		rc = sov_repo_put_sealed(repo, &info, sealed.data, sealed.len, res, err);
	if (rc == SOV_OK && ref != NULL)
	{
		memset(ref, 0, sizeof *ref);
		memcpy(ref->id, info.id, sizeof ref->id);
		ref->attempt = attempt;
		ref->length = len;
		memcpy(ref->stream, info.stream, 32);
	}
	sov_buf_free(&sealed);
	return rc;
}

enum sov_code
sov_repo_get_stream(struct sov_repo *repo, uint8_t class_, const char *id, uint16_t attempt,
					struct sov_shard_info *info_out, struct sov_buf *out, struct sov_error *err)
{
	struct sov_shard_info info;
	struct sov_buf sealed = {0},
				plain = {0};
	const struct sov_run *run = NULL;
	enum sov_code rc;

	rc = sov_repo_get_sealed(repo, class_, id, 0, attempt, &info, &sealed, err);
	if (rc == SOV_OK)
		rc = sov_repo_run_open(repo, info.run, !sov_stream_is_index(class_, id), &run, err);
	if (rc == SOV_OK && !sov_equal(run->commitment, info.commitment, 32))
		rc = sov_fail(err, SOV_E_AUTH, NULL, "%s was sealed under another key than its run's", id);
	if (rc == SOV_OK)
	{
		rc = sov_stream_open(run, class_, id, info.stream, sealed.data, sealed.len, &plain, err);
		sov_buf_free(&sealed);
		if (rc == SOV_OK)
			rc = unpack_plain(&plain, out, err);
		if (rc != SOV_OK)
			sov_error_at(err, "its shards are whole, so it was written wrong: run 'pg_sovereign verify --deep' to see what else is, and take another backup",
						 "%c %s", class_, id);
	}
	if (info_out)
		*info_out = info;
	sov_buf_free(&sealed);
	sov_buf_free(&plain);
	return rc;
}

enum sov_code
sov_repo_content_hash(struct sov_repo *repo, uint8_t class_, const char *id,
					  const void *bytes, size_t len, uint8_t out[32], struct sov_error *err)
{
	uint8_t		head[3];
	size_t		n = strlen(id);
	struct sov_span spans[4] = {{"content", 7}, {head, 3}, {id, n}, {bytes, len}};

	head[0] = class_;
	sov_put_le16(head + 1, (uint16_t) n);
	return sov_hmac(repo->keys->k_salt, spans, 4, out, err);
}
