/*
 * repo_identity.c - which provider is which: the identity object that each holds.
 *
 * It names the provider of the map, whatever its section is called.  Where it is
 * damaged, the map and a keyring of ours vouch for the provider, and it is written
 * again; where neither can be believed, the provider is not used.
 */
#include <stdio.h>
#include <string.h>

#include "repo_private.h"

enum sov_code
repo_put_identity(struct sov_repo *repo, int i, struct sov_error *err)
{
	struct sov_buf object = {0};
	struct sov_put_span span;
	enum sov_code rc = sov_identity_encode(repo->keys, repo->providers[i].uuid, &object, err);

	span.data = object.data;
	span.len = object.len;
	if (rc == SOV_OK)
		rc = repo_put(repo, i, SOV_IDENTITY_OBJECT, &span, 1, false, err);
	sov_buf_free(&object);
	return rc;
}

/* The map position that carries this section's name, -1 if none. */
static int
position_by_alias(const struct sov_repo *repo, const char *alias)
{
	for (int p = 0; p < repo->admin.map.n; p++)
		if (strcmp(repo->admin.map.pos[p].alias, alias) == 0)
			return p;
	return -1;
}

/*
 * A provider of the map where neither identity nor keyring can be believed is
 * treated like one that does not answer: it may not stop the others, and
 * nothing is written over what may belong to somebody else.
 */
static void
shut_out(struct sov_repo *repo, int i, const struct sov_error *why)
{
	struct sov_repo_provider *rp = &repo->providers[i];

	pthread_mutex_lock(&repo->priv->lock);
	sov_fail(&rp->last, SOV_E_PROVIDER, NULL, "it holds another repository, or its identity is damaged: %s", why->message);
	rp->down = true;
	rp->retry_at_us = INT64_MAX;
	pthread_mutex_unlock(&repo->priv->lock);
	repo_note(repo, "provider %s is not used: %s; if it is the right place, empty it, then 'pg_sovereign plan' shows how it is filled again",
			  rp->cfg->name, rp->last.message);
}

static enum sov_code
read_identity(struct sov_repo *repo, int i, struct sov_error *err)
{
	struct sov_repo_provider *rp = &repo->providers[i];
	struct sov_buf object = {0};
	struct sov_error why;
	int			pos;
	enum sov_code rc = repo_get(repo, i, SOV_IDENTITY_OBJECT, 0, UINT64_MAX, &object, &why);

	if (rc == SOV_OK)
		rc = sov_identity_decode(repo->keys, object.data, object.len, rp->uuid, &why);
	sov_buf_free(&object);
	if (rc == SOV_OK)
	{
		rp->known = true;
		rp->fresh = false;
		return SOV_OK;
	}
	if (rp->down)
		return SOV_OK;			/* known only by its name for now */
	pos = position_by_alias(repo, rp->cfg->name);
	if (repo->priv->has_keyring[i] && pos >= 0)
	{
		repo_note(repo, "provider %s: its identity object is missing or damaged; the provider map and its keyring vouch for it, so it is written again", rp->cfg->name);
		memcpy(rp->uuid, repo->admin.map.pos[pos].uuid, 16);
		rp->known = true;
		return repo_put_identity(repo, i, err) == SOV_E_CRYPTO ? SOV_E_CRYPTO : SOV_OK;
	}
	if (rc == SOV_E_NOTFOUND)
	{
		rp->fresh = true;
		if (pos >= 0 && !repo->priv->told_fresh[i])
			repo_note(repo, "provider %s holds nothing of this repository any more; 'pg_sovereign plan' shows how it is filled again", rp->cfg->name);
		repo->priv->told_fresh[i] = true;
		return SOV_OK;
	}
	if (pos >= 0)
	{
		shut_out(repo, i, &why);
		return SOV_OK;
	}
	return sov_fail(err, SOV_E_CONFLICT, "give this repository a place of its own at that provider",
					"provider %s holds another repository: %s", rp->cfg->name, why.message);
}

/* Does it show another identity than that of the position that has its section's name? */
static bool
is_out_of_place(const struct sov_repo *repo, int i)
{
	int			pos = position_by_alias(repo, repo->providers[i].cfg->name);

	return pos >= 0 && memcmp(repo->providers[i].uuid, repo->admin.map.pos[pos].uuid, 16) != 0 &&
		memcmp(repo->providers[i].uuid, repo->admin.map.pos[pos].prev_uuid, 16) != 0;
}

/* Two show one identity.  The one that has another by the map lies, or its section leads to
 * the other's place: it is left out, as two that conspire could else keep everybody from the
 * repository. */
static enum sov_code
settle_twins(struct sov_repo *repo, int a, int b, struct sov_error *err)
{
	int			wrong = is_out_of_place(repo, a) ? a : is_out_of_place(repo, b) ? b : -1;
	struct sov_error why;

	if (wrong < 0)
		return sov_fail(err, SOV_E_CONFLICT, "remove one of the two sections",
						"providers %s and %s are one and the same place",
						repo->providers[a].cfg->name, repo->providers[b].cfg->name);
	sov_fail(&why, SOV_E_CONFLICT, NULL, "it shows the identity of provider %s", repo->providers[wrong == a ? b : a].cfg->name);
	repo->providers[wrong].known = false;
	shut_out(repo, wrong, &why);
	return SOV_OK;
}

enum sov_code
repo_read_identities(struct sov_repo *repo, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
		if (!repo->providers[i].known)
			rc = read_identity(repo, i, err);
	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
		for (int j = 0; j < i && rc == SOV_OK; j++)
			if (repo->providers[i].known && repo->providers[j].known &&
				memcmp(repo->providers[i].uuid, repo->providers[j].uuid, 16) == 0)
				rc = settle_twins(repo, j, i, err);
	if (rc != SOV_OK)
		return rc;
	repo_write_back_admin(repo);
	return repo_anchor_admin(repo, err);
}
