/*
 * repo_seal.c - a repository that was made without a pair of content keys gets one.
 *
 * Order: a keyring with the pair, where K_content stays for now; what hosts need of
 * earlier backups (catalogue, manifests, pieces, history files) sealed anew under
 * K_index of a sealed run, and committed; then a keyring in which only the content
 * custodian opens K_content, and the older keyrings removed.  Killed in between, it goes
 * on where it was when it is run again: objects that are of a sealed run stay.
 *
 * Each writer's catalogue is its own to commit.  While one of another writer is under
 * K_content, K_content stays, and that writer's host is to run this too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id_set.h"
#include "sov_verify.h"
#include "wal/wal_private.h"

struct sealing
{
	struct sov_repo *repo;
	struct sov_run *run;
	struct sov_lease *lease;	/* to be renewed, or NULL */
	struct sov_seal_result *res;
	struct id_set seen;			/* manifests and pieces; the number is the place in refs, from 1 */
	struct sov_objref *refs;	/* where they are now */
	size_t		n_refs;
	bool		look_only;		/* another writer's: count what is under K_content */
	uint32_t	left;
};

static enum sov_code
run_is_sealed(struct sov_repo *repo, const uint8_t id[16], bool *sealed, struct sov_error *err)
{
	const struct sov_run *run;
	enum sov_code rc = sov_repo_run_open(repo, id, false, &run, err);

	*sealed = rc == SOV_OK && run->sealed;
	return rc;
}

/* Read a metadata object; *sealed: it is as it shall be. */
static enum sov_code
read_meta(struct sealing *s, const struct sov_objref *ref, struct sov_buf *plain, bool *sealed, struct sov_error *err)
{
	struct sov_shard_info info;
	enum sov_code rc = sov_repo_get_stream(s->repo, SOV_CLASS_META, ref->id, ref->attempt, &info, plain, err);

	return rc == SOV_OK ? run_is_sealed(s->repo, info.run, sealed, err) : rc;
}

static enum sov_code
put_meta(struct sealing *s, const struct sov_buf *plain, struct sov_objref *ref, struct sov_error *err)
{
	s->res->objects++;
	return sov_repo_put_stream(s->repo, s->run, SOV_CLASS_META, NULL, 0, plain->data, plain->len, true, NULL, 0, ref, NULL, err);
}

/* --- pieces and manifests --- */

/* Was it dealt with?  Then *ref is where it is now. */
static bool
is_done(struct sealing *s, struct sov_objref *ref)
{
	const int  *known = id_set_get(&s->seen, SOV_CLASS_META, ref->id);

	if (known != NULL)
		*ref = s->refs[*known - 1];
	return known != NULL;
}

static enum sov_code
note_done(struct sealing *s, const char *id, const struct sov_objref *now, struct sov_error *err)
{
	struct sov_objref *all = realloc(s->refs, (s->n_refs + 1) * sizeof *all);
	int		   *known = all ? id_set_put(&s->seen, SOV_CLASS_META, id) : NULL;

	if (all != NULL)
		s->refs = all;
	if (known == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	s->refs[s->n_refs++] = *now;
	*known = (int) s->n_refs;
	return SOV_OK;
}

static enum sov_code
seal_piece(struct sealing *s, struct sov_objref *ref, struct sov_error *err)
{
	struct sov_objref now = *ref;
	struct sov_buf plain = {0};
	bool		sealed;
	enum sov_code rc;

	if (is_done(s, ref))
		return SOV_OK;
	rc = read_meta(s, ref, &plain, &sealed, err);
	s->left += rc == SOV_OK && !sealed;
	if (rc == SOV_OK && !sealed && !s->look_only)
		rc = put_meta(s, &plain, &now, err);
	if (rc == SOV_OK)
		rc = note_done(s, ref->id, &now, err);
	*ref = now;
	sov_buf_free(&plain);
	return rc;
}

/* Its pieces, and it; *ref is where it is then. */
static enum sov_code
seal_manifest(struct sealing *s, struct sov_objref *ref, struct sov_error *err)
{
	struct sov_objref now = *ref;
	struct sov_buf plain = {0};
	struct sov_manifest m = {0};
	bool		sealed,
				changed = false;
	enum sov_code rc;

	if (is_done(s, ref))
		return SOV_OK;
	rc = read_meta(s, ref, &plain, &sealed, err);
	if (rc == SOV_OK)
		rc = sov_manifest_decode(plain.data, plain.len, &m, err);
	s->left += rc == SOV_OK && !sealed;
	for (uint32_t i = 0; rc == SOV_OK && i < m.n_pieces; i++)
	{
		struct sov_objref was = m.pieces[i].ref;

		rc = seal_piece(s, &m.pieces[i].ref, err);
		changed = changed || strcmp(was.id, m.pieces[i].ref.id) != 0;
	}
	if (rc == SOV_OK && !s->look_only && (changed || !sealed))
	{
		plain.len = 0;
		rc = sov_manifest_encode(&m, &plain, err);
		if (rc == SOV_OK)
			rc = put_meta(s, &plain, &now, err);
	}
	if (rc == SOV_OK)
		rc = note_done(s, ref->id, &now, err);
	*ref = now;
	sov_manifest_free(&m);
	sov_buf_free(&plain);
	return rc;
}

/* All backups of one head; *changed: cat differs from what is stored. */
static enum sov_code
seal_catalogue(struct sealing *s, const struct sov_objref *ref, struct sov_catalogue *cat, bool *changed, struct sov_error *err)
{
	struct sov_buf plain = {0};
	bool		sealed;
	enum sov_code rc = read_meta(s, ref, &plain, &sealed, err);

	if (rc == SOV_OK)
		rc = sov_catalogue_decode(plain.data, plain.len, cat, err);
	sov_buf_free(&plain);
	if (rc != SOV_OK)
		return rc;
	*changed = !sealed;
	s->left += !sealed;
	lease_hide_condemned(&s->repo->admin, cat);
	for (uint32_t i = 0; rc == SOV_OK && i < cat->n; i++)
	{
		struct sov_objref was = cat->backups[i].manifest;

		rc = seal_manifest(s, &cat->backups[i].manifest, err);
		if (rc == SOV_OK && s->lease)
			rc = sov_lease_renew(s->repo, s->lease, err);
		*changed = *changed || strcmp(was.id, cat->backups[i].manifest.id) != 0;
	}
	return rc;
}

/* --- history files --- */

/* Of every timeline one attempt that a host reads: the next one, as the name is taken. */
static enum sov_code
seal_history(struct sealing *s, const char *id, uint32_t timeline, uint16_t attempt, struct sov_error *err)
{
	struct sov_buf text = {0};
	uint8_t		content[32];
	enum sov_code rc = attempt < WAL_MAX_ATTEMPTS ? wal_read_any(s->repo, id, &text, err)
		: sov_fail(err, SOV_E_STATE, "run 'pg_sovereign repair'", "%s was pushed %d times", id, WAL_MAX_ATTEMPTS);

	if (rc == SOV_OK)
		rc = sov_repo_content_hash(s->repo, SOV_CLASS_WAL, id, text.data, text.len, content, err);
	if (rc == SOV_OK)
		rc = sov_repo_put_stream(s->repo, s->run, SOV_CLASS_WAL, id, timeline, text.data, text.len, true, content, attempt, NULL, NULL, err);
	s->res->objects += rc == SOV_OK;
	sov_buf_free(&text);
	return rc;
}

static enum sov_code
seal_histories(struct sealing *s, struct sov_error *err)
{
	struct sov_inventory inv = {0};
	enum sov_code rc = sov_inventory_read(s->repo, &inv, err);
	bool		done = false;

	for (size_t i = 0; rc == SOV_OK && i < inv.n_items; i++)
	{
		const struct sov_inventory_item *it = &inv.items[i];
		bool		last = i + 1 == inv.n_items || it[1].class_ != it->class_ || strcmp(it[1].id, it->id) != 0,
					sealed;
		enum sov_wal_kind kind;
		uint32_t	timeline;
		uint64_t	system_id;

		if (it->class_ != SOV_CLASS_WAL || !sov_stream_is_index(it->class_, it->id) || 
			!sov_wal_name(sov_wal_file_name(s->repo, it->id, &system_id), &kind, &timeline))
			continue;
		rc = run_is_sealed(s->repo, it->run, &sealed, err);
		done = done || sealed;
		if (rc == SOV_OK && last && !done)
			rc = seal_history(s, it->id, timeline, (uint16_t) (it->attempt + 1), err);
		if (last)
			done = false;
	}
	sov_inventory_free(&inv);
	return rc;
}

/* --- this host's, and those of others --- */

struct committed
{
	struct sealing *s;
	const struct sov_lease *lease;
};

static enum sov_code
commit_catalogue(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	struct committed *c = ctx;
	struct sov_catalogue cat = {0};
	struct sov_buf bytes = {0};
	bool		changed = false;
	enum sov_code rc = sov_lease_settle(repo, c->lease, "", head, err);

	if (rc == SOV_OK && head->has_catalogue)
		rc = seal_catalogue(c->s, &head->catalogue, &cat, &changed, err);
	if (rc == SOV_OK && changed)
		rc = sov_catalogue_encode(&cat, &bytes, err);
	if (rc == SOV_OK && changed)
		rc = put_meta(c->s, &bytes, &head->catalogue, err);
	c->s->res->backups = cat.n;
	sov_buf_free(&bytes);
	sov_catalogue_free(&cat);
	return rc;
}

/* What the commit will refer to is sealed before, as the marks of WAL wait for it. */
static enum sov_code
seal_before(struct sealing *s, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (int i = 0; rc == SOV_OK && i < s->repo->n_heads; i++)
	{
		struct sov_catalogue cat = {0};
		bool		changed;

		if (s->repo->heads[i].writer != s->repo->priv->writer || !s->repo->heads[i].has_catalogue)
			continue;
		rc = seal_catalogue(s, &s->repo->heads[i].catalogue, &cat, &changed, err);
		sov_catalogue_free(&cat);
	}
	return rc;
}

/* Under a lease, so that prune takes nothing away before the head refers to it. */
static enum sov_code
seal_ours(struct sealing *s, struct sov_error *err)
{
	struct sov_lease lease = {0};
	struct committed c = {s, &lease};
	char		path[1200];
	int64_t		begun_us = repo_mono_us();
	enum sov_code rc = sov_repo_run_begin(s->repo, &s->run, err);

	/* first, as that takes as long as a verify, and WAL is never taken for an orphan */
	if (rc == SOV_OK)
		rc = seal_histories(s, err);
	if (rc == SOV_OK)
		rc = sov_lease_begin(s->repo, &lease, err);
	if (rc == SOV_OK)
		rc = repo_run_fresh(s->repo, &s->run, begun_us, err);
	s->lease = &lease;
	if (rc == SOV_OK)
		rc = seal_before(s, err);
	s->lease = NULL;
	if (rc == SOV_OK)
		rc = sov_repo_commit(s->repo, commit_catalogue, &c, err);
	if (rc != SOV_OK && lease.renewed_us != 0)
		sov_lease_drop(s->repo);
	snprintf(path, sizeof path, "%s/backup.pieces", s->repo->cfg.state_directory);
	if (rc == SOV_OK)
		(void) unlink(path);	/* of an interrupted backup: under K_content */
	return rc;
}

static enum sov_code
look_at_others(struct sealing *s, struct sov_error *err)
{
	enum sov_code rc = sov_repo_refresh(s->repo, err);

	if (rc == SOV_OK)
		rc = repo_check_ahead(s->repo, "the former content key stays", err);
	s->look_only = true;
	id_set_free(&s->seen);		/* another's may still refer to what was sealed anew here */
	memset(&s->seen, 0, sizeof s->seen);
	s->n_refs = 0;
	for (int i = 0; rc == SOV_OK && i < s->repo->n_heads; i++)
	{
		struct sov_catalogue cat = {0};
		const struct sov_head *h = &s->repo->heads[i];
		bool		changed;

		s->left = 0;
		if (h->has_catalogue)
			rc = seal_catalogue(s, &h->catalogue, &cat, &changed, err);
		sov_catalogue_free(&cat);
		if (rc == SOV_OK && s->left > 0)
			rc = sov_fail(err, SOV_E_STATE, "run 'pg_sovereign key write-only' on that host too, then here again; until then every host still reads what was stored so far",
						  "%" PRIu32 " parts of the backups of writer %016" PRIx64 ", another host, are still under the former content key", s->left, h->writer);
	}
	return rc;
}

/* --- all of it --- */

static enum sov_code
add_pair(struct sov_repo *repo, struct sov_error *err)
{
	struct sov_custodian *content = NULL;
	enum sov_code rc;

	if (repo->cfg.content[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "write  content = URI  into [custody] for this once: a root key that the database host will not reach afterwards",
						"no content custodian is named that could keep the private key");
	rc = sov_custodian_open(repo->cfg.content, &content, err);
	if (rc == SOV_OK)
		rc = repo_add_pair(repo, content, err);
	sov_custodian_close(content);
	return rc;
}

enum sov_code
sov_repo_seal_content(struct sov_repo *repo, struct sov_seal_result *res, struct sov_error *err)
{
	struct sealing s = {.repo = repo, .res = res};
	int			fd = -1;
	enum sov_code rc = repo_try_lock_file(repo, "backup.lock", &fd, err);

	memset(res, 0, sizeof *res);
	if (rc == SOV_OK && !repo->keys->has_pair)
	{
		rc = add_pair(repo, err);
		res->made = rc == SOV_OK;
	}
	if (rc == SOV_OK && repo->keys->has_content)
	{
		rc = seal_ours(&s, err);
		if (rc == SOV_OK)
			rc = look_at_others(&s, err);
		if (rc == SOV_OK)
			rc = repo_drop_content(repo, err);
		res->dropped = rc == SOV_OK;
	}
	if (rc == SOV_OK)
		res->keyrings_left = sov_repo_remove_old_keyrings(repo);
	if (fd >= 0)
		close(fd);
	sov_run_free(s.run);
	id_set_free(&s.seen);
	free(s.refs);
	return rc;
}
