/*
 * backup_trust.c - which packs of earlier backups may this one refer to?
 *
 * Not those that are lost, so that no backup inherits a hole: those of which the
 * providers list fewer than k shards (or of whose run), and those that a verify of
 * this host could not read ("packs.lost" in the state directory).
 *
 * Nor those of which the last backup used less than a third ("packs.sparse").
 * What is left of them is stored anew, so that every backup uses at least a third
 * of each pack that it refers to, and prune can let the old pack go with the last
 * backup that made good use of it: packs are never rewritten in place, and what is
 * stored anew is at most half of what that frees in the end.
 *
 * Both files hold an id in hexadecimal a line; "packs.sparse" begins with the
 * backup that it is about.  Without them, or where fewer than k providers list
 * their objects, the packs are taken on trust.
 *
 * Of listed names 64 bits are kept.  This finds loss, not lies: a provider may list
 * what it has not, and only reading (verify) shows that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup_private.h"

#define SPARSE "packs.sparse"
#define LOST "packs.lost"
#define SPARSE_PART 3			/* of its bytes: one in so many */

/* --- files --- */

static void
path_of(const struct sov_repo *repo, const char *file, char *path, size_t cap)
{
	snprintf(path, cap, "%s/%s", repo->cfg.state_directory, file);
}

/* Ids of the file; when first_line is not NULL the file must begin with it. */
static bool
read_ids(const struct sov_repo *repo, const char *file, const char *first_line, struct id_set *set)
{
	char		path[1200],
			   *save = NULL,
			   *line;
	struct sov_buf text = {0};
	bool		good = true;

	path_of(repo, file, path, sizeof path);
	if (repo_read_file(path, &text, NULL) != SOV_OK)
		return true;
	sov_write_u8(&text, 0);
	line = text.bad ? NULL : strtok_r((char *) text.data, "\n", &save);
	if (line && first_line)
		line = strcmp(line, first_line) == 0 ? strtok_r(NULL, "\n", &save) : NULL;
	for (; line && good; line = strtok_r(NULL, "\n", &save))
		good = strlen(line) != 32 || id_set_put(set, SOV_CLASS_PACK, line) != NULL;
	sov_buf_free(&text);
	return good;
}

void
trust_note_lost(struct sov_repo *repo, const struct id_set *lost, bool all)
{
	struct sov_buf text = {0};
	struct id_set known = {0};
	char		path[1200];

	if ((lost->n == 0 && !all) || (!all && !read_ids(repo, LOST, NULL, &known)))
		return;
	path_of(repo, LOST, path, sizeof path);
	for (int pass = 0; pass < 2; pass++)
	{
		const struct id_set *s = pass ? lost : &known;

		for (size_t i = 0; i < s->cap; i++)
			if (s->slots[i].key && (pass == 0 || id_set_get(&known, SOV_CLASS_PACK, s->slots[i].key + 1) == NULL))
			{
				sov_write_bytes(&text, s->slots[i].key + 1, strlen(s->slots[i].key + 1));
				sov_write_u8(&text, '\n');
			}
	}
	if (text.len == 0)
		(void) unlink(path);
	else if (!text.bad && repo_write_file(path, text.data, text.len, NULL) != SOV_OK)
		repo_note(repo, "%s could not be written: the next backup may refer to packs that are lost", path);
	sov_buf_free(&text);
	id_set_free(&known);
}

void
trust_note_sparse(struct engine *e, const char *backup)
{
	struct sov_buf text = {0};
	char		path[1200],
				id[34];

	path_of(e->repo, SPARSE, path, sizeof path);
	sov_write_bytes(&text, backup, strlen(backup));
	sov_write_u8(&text, '\n');
	for (size_t i = 0; i < e->n_packs; i++)
	{
		const struct pack_info *p = &e->packs[i];

		if (p->used == 0 || p->used >= p->mf.sealed_len / SPARSE_PART)
			continue;
		sov_hex(id, p->mf.id, 16);
		id[32] = '\n';
		sov_write_bytes(&text, id, 33);
	}
	if (!text.bad)
		(void) repo_write_file(path, text.data, text.len, NULL);	/* costs room only */
	sov_buf_free(&text);
}

/* --- what the providers list --- */

static uint64_t
name_hash(const char *name)
{
	uint64_t	h = UINT64_C(14695981039346656037);	/* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char) *name) * UINT64_C(1099511628211);
	return h;
}

struct listing
{
	struct listed *l;
	size_t		cap;
	bool		nomem;
};

static bool
see_name(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct listing *s = ctx;

	(void) st;
	if (s->l->n == s->cap)
	{
		size_t		cap = s->cap ? s->cap * 2 : 1024;
		uint64_t   *p = realloc(s->l->names, cap * sizeof *p);

		if (p == NULL)
			return !(s->nomem = true);
		s->l->names = p;
		s->cap = cap;
	}
	s->l->names[s->l->n++] = name_hash(name);
	return true;
}

static int
compare_names(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a,
				y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

static enum sov_code
list_provider(struct engine *e, int i, struct sov_error *err)
{
	static const char *const prefixes[] = {"p/", "r/"};
	struct listed *l = &e->trust.listed[i];
	struct listing s = {.l = l};
	struct sov_error why;

	l->asked = e->repo->providers[i].known;
	for (int c = 0; c < 2 && l->asked; c++)
		l->asked = repo_list(e->repo, i, prefixes[c], see_name, &s, &why) == SOV_OK;
	if (s.nomem)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (l->n > 0)
		qsort(l->names, l->n, sizeof *l->names, compare_names);
	return SOV_OK;
}

enum sov_code
trust_open(struct engine *e, struct sov_error *err)
{
	int			asked = 0;
	enum sov_code rc = SOV_OK;

	if (e->base.n == 0)
		return SOV_OK;
	for (int i = 0; i < e->repo->n_providers && rc == SOV_OK; i++)
	{
		rc = list_provider(e, i, err);
		asked += e->trust.listed[i].asked;
	}
	e->trust.by_list = asked >= e->repo->admin.map.k;
	if (rc == SOV_OK && (!read_ids(e->repo, LOST, NULL, &e->trust.lost) || !read_ids(e->repo, SPARSE, e->base.id, &e->trust.sparse)))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return rc;
}

void
trust_close(struct engine *e)
{
	for (int i = 0; i < SOV_MAX_PROVIDERS; i++)
		free(e->trust.listed[i].names);
	id_set_free(&e->trust.lost);
	id_set_free(&e->trust.sparse);
}

static bool
listed_at(const struct engine *e, int provider, const char *name)
{
	const struct listed *l;
	uint64_t	h = name_hash(name);

	if (provider < 0 || name[0] == '\0')
		return false;
	l = &e->trust.listed[provider];
	return l->n > 0 && bsearch(&h, l->names, l->n, sizeof h, compare_names) != NULL;
}

/* Are k shards of the object listed where this map puts them? */
static bool
is_listed_by(const struct engine *e, const struct sov_map *map, uint8_t class_, const char *id, uint16_t attempt)
{
	int			there = 0;

	for (int slot = 0; slot < map->n; slot++)
	{
		struct repo_place place;

		if (repo_place(e->repo, class_, id, map->generation, (uint8_t) slot, attempt, &place, NULL) == SOV_OK)
			there += listed_at(e, place.now, place.name_now) || listed_at(e, place.before, place.name_before);
	}
	return map->n > 0 && there >= map->k;
}

static bool
is_listed(const struct engine *e, uint8_t class_, const char *id, uint16_t attempt)
{
	const struct sov_admin_head *admin = &e->repo->admin;
	bool		listed;

	pthread_rwlock_rdlock(&e->repo->priv->map_lock);
	listed = is_listed_by(e, &admin->map, class_, id, attempt) || is_listed_by(e, &admin->was, class_, id, attempt);
	pthread_rwlock_unlock(&e->repo->priv->map_lock);
	return listed;
}

enum doubt
trust_doubts(const struct engine *e, const struct sov_mf_pack *pack)
{
	char		id[33],
				run[33];

	sov_hex(id, pack->id, 16);
	sov_hex(run, pack->run, 16);
	if (id_set_get(&e->trust.lost, SOV_CLASS_PACK, id) != NULL || id_set_get(&e->trust.lost, SOV_CLASS_PACK, run) != NULL)
		return DOUBT_LOST;
	if (e->trust.by_list && (!is_listed(e, SOV_CLASS_PACK, id, pack->attempt) || !is_listed(e, SOV_CLASS_RUN, run, 0)))
		return DOUBT_LOST;
	return id_set_get(&e->trust.sparse, SOV_CLASS_PACK, id) != NULL ? DOUBT_SPARSE : DOUBT_NONE;
}
