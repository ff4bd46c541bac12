/*
 * repo_state.c - reading the committed state: keyring, administrator's chain,
 * identities, writers' heads.
 *
 * Every provider is asked; the newest state that verifies wins, because a commit
 * is at n-k+1 providers and so at least one of any k shows it.  What a provider
 * shows that is older, damaged or missing is named and written back.  Nothing
 * here trusts a provider: heads are sealed, signed, and named by sequence
 * number, and this host remembers the newest that it has seen.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

#define FUTURE_LIMIT_US INT64_C(3600000000)

/* --- newest object of a chain at one provider --- */

struct newest
{
	size_t		skip;			/* length of the prefix before the number */
	uint64_t	seq;
	char		name[SOV_OBJECT_NAME_MAX + 1];
};

static bool
parse_hex64(const char *s, uint64_t *out)
{
	uint8_t		b[8];
	char		hex[17];

	if (strlen(s) < 16)
		return false;
	memcpy(hex, s, 16);
	hex[16] = '\0';
	if (!sov_unhex(b, hex, 8))
		return false;
	*out = 0;
	for (int i = 0; i < 8; i++)
		*out = *out << 8 | b[i];
	return true;
}

static bool
see_newest(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct newest *n = ctx;
	uint64_t	seq;

	(void) st;
	if (strlen(name) > n->skip && parse_hex64(name + n->skip, &seq) && seq >= n->seq)
	{
		n->seq = seq;
		snprintf(n->name, sizeof n->name, "%s", name);
	}
	return true;
}

/* --- keyring --- */

struct keyring_read
{
	struct sov_repo *repo;
	struct newest newest[SOV_MAX_PROVIDERS];
	struct sov_buf object[SOV_MAX_PROVIDERS];
	enum sov_code rc[SOV_MAX_PROVIDERS];
};

static void
fetch_keyring(int i, void *arg)
{
	struct keyring_read *kr = arg;

	kr->newest[i].skip = 2;
	kr->rc[i] = repo_list(kr->repo, i, "k/", see_newest, &kr->newest[i], NULL);
	if (kr->rc[i] != SOV_OK)
		return;
	if (kr->newest[i].seq == 0)
		kr->rc[i] = SOV_E_NOTFOUND;
	else
		kr->rc[i] = repo_get(kr->repo, i, kr->newest[i].name, 0, UINT64_MAX, &kr->object[i], NULL);
}

/* Open what was fetched, newest first; remember who holds a keyring of ours. */
static enum sov_code
choose_keyring(struct sov_repo *repo, struct keyring_read *kr, struct sov_error *err)
{
	enum sov_code worst = SOV_E_NOTFOUND;
	struct sov_error why;

	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_repo_keys *keys = NULL;
		enum sov_code rc;

		if (kr->rc[i] != SOV_OK)
			continue;
		sov_error_clear(&why);
		rc = sov_keyring_open(repo->custodian, kr->object[i].data, kr->object[i].len, &keys, &why);
		if (rc != SOV_OK)
		{
			repo_note(repo, "provider %s: keyring %s cannot be used: %s", repo->providers[i].cfg->name, kr->newest[i].name, why.message);
			if (worst == SOV_E_NOTFOUND || rc == SOV_E_KEY)
			{
				worst = rc;
				*err = why;
			}
			continue;
		}
		if (repo->keys == NULL || keys->keyring_seq > repo->keys->keyring_seq)
		{
			struct sov_repo_keys *old = repo->keys;

			repo->keys = keys;
			keys = old;
			repo->priv->keyring_object.len = 0;
			sov_write_bytes(&repo->priv->keyring_object, kr->object[i].data, kr->object[i].len);
		}
		repo->priv->has_keyring[i] = true;
		sov_repo_keys_free(keys);
	}
	return repo->keys ? SOV_OK : worst;
}

enum sov_code
repo_read_keyring(struct sov_repo *repo, struct sov_error *err)
{
	struct keyring_read *kr = calloc(1, sizeof *kr);
	char		down[400];
	int			answered = 0;
	enum sov_code rc;

	if (kr == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	kr->repo = repo;
	sov_parallel(repo->n_providers, fetch_keyring, kr);
	for (int i = 0; i < repo->n_providers; i++)
		answered += kr->rc[i] == SOV_OK || kr->rc[i] == SOV_E_NOTFOUND;
	rc = choose_keyring(repo, kr, err);
	for (int i = 0; i < repo->n_providers; i++)
		sov_buf_free(&kr->object[i]);
	free(kr);
	if (rc != SOV_E_NOTFOUND)
		return rc;
	if (answered == repo->n_providers)
		return sov_fail(err, SOV_E_NOTFOUND, "run 'pg_sovereign init' to make one",
						"there is no repository at the configured providers");
	repo_provider_down_list(repo, down, sizeof down);
	return sov_fail(err, SOV_E_QUORUM, "bring the providers back",
					"no keyring can be read: %s", down);
}

/* --- administrator's chain --- */

struct admin_read
{
	struct sov_repo *repo;
	struct newest newest[SOV_MAX_PROVIDERS];
	struct sov_buf object[SOV_MAX_PROVIDERS];
	struct sov_admin_head *head[SOV_MAX_PROVIDERS];	/* decoded */
	bool		answered[SOV_MAX_PROVIDERS];
};

static void
fetch_admin(int i, void *arg)
{
	struct admin_read *ar = arg;
	struct sov_error err;
	struct sov_admin_head *head;
	enum sov_code rc;

	ar->newest[i].skip = 2;
	rc = repo_list(ar->repo, i, "a/", see_newest, &ar->newest[i], NULL);
	ar->answered[i] = rc == SOV_OK;
	if (rc != SOV_OK || ar->newest[i].seq == 0)
		return;
	rc = repo_get(ar->repo, i, ar->newest[i].name, 0, UINT64_MAX, &ar->object[i], &err);
	if (rc != SOV_OK)
		return;
	head = calloc(1, sizeof *head);
	if (head == NULL)
		return;
	rc = sov_admin_decode(ar->repo->keys, ar->object[i].data, ar->object[i].len, head, &err);
	if (rc == SOV_OK && head->seq != ar->newest[i].seq)
		rc = sov_fail(&err, SOV_E_AUTH, NULL, "it is head %" PRIu64 ", put in another's place", head->seq);
	if (rc == SOV_OK && memcmp(head->controller_pub, ar->repo->keys->controller_pub, 32) != 0)
		rc = sov_fail(&err, SOV_E_AUTH, NULL, "it was certified by another controller");
	if (rc != SOV_OK)
	{
		repo_note(ar->repo, "provider %s: head %s is refused: %s", ar->repo->providers[i].cfg->name, ar->newest[i].name, err.message);
		sov_admin_head_free(head);
		free(head);
		return;
	}
	ar->head[i] = head;
}

/* The provider whose head is the newest, -1 if none; conflict is an error. */
static enum sov_code
choose_admin(struct admin_read *ar, int *best, struct sov_error *err)
{
	*best = -1;
	for (int i = 0; i < ar->repo->n_providers; i++)
	{
		if (ar->head[i] == NULL)
			continue;
		if (*best < 0 || ar->head[i]->seq > ar->head[*best]->seq)
			*best = i;
		else if (ar->head[i]->seq == ar->head[*best]->seq && memcmp(ar->head[i]->hash, ar->head[*best]->hash, 32) != 0)
			return sov_fail(err, SOV_E_CONFLICT, "two hosts administer one repository, or one was cloned: stop one of them, and remove the head that is wrong",
							"providers %s and %s show two different heads %s",
							ar->repo->providers[*best].cfg->name, ar->repo->providers[i].cfg->name, ar->newest[i].name);
	}
	return SOV_OK;
}

/* Never accept less than this host has seen committed. */
static enum sov_code
check_admin_anchor(struct sov_repo *repo, const struct sov_admin_head *head, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf local = {0};
	struct sov_admin_head *seen = calloc(1, sizeof *seen);
	enum sov_code rc;

	if (seen == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	rc = repo_read_file(path, &local, err);
	if (rc == SOV_E_NOTFOUND)
		rc = SOV_OK;
	else if (rc == SOV_OK && sov_admin_decode(repo->keys, local.data, local.len, seen, err) != SOV_OK)
		rc = sov_fail(err, SOV_E_STATE, "set another state-directory in [repository], or move the old one away",
					  "state directory %s belongs to another repository, or is damaged", repo->cfg.state_directory);
	else if (rc == SOV_OK && (head->seq < seen->seq || (head->seq == seen->seq && memcmp(head->hash, seen->hash, 32) != 0)))
		rc = sov_fail(err, SOV_E_CONFLICT, "the providers were set back, or lie; if you set them back yourself, remove the file 'admin' from the state directory",
					  "this host has seen administrator's head %" PRIu64 ", the providers show %" PRIu64, seen->seq, head->seq);
	if (rc == SOV_OK)
		repo->priv->anchored_seq = seen->seq;
	sov_buf_free(&local);
	sov_admin_head_free(seen);
	free(seen);
	return rc;
}

static enum sov_code
accept_admin(struct sov_repo *repo, struct admin_read *ar, int best, struct sov_error *err)
{
	struct sov_admin_head *head = ar->head[best];
	int			answered = 0;
	char		down[400];
	enum sov_code rc;

	for (int i = 0; i < repo->n_providers; i++)
		answered += ar->answered[i] && (ar->head[i] != NULL || ar->newest[i].seq > 0);
	if (answered < head->map.k)
	{
		repo_provider_down_list(repo, down, sizeof down);
		sov_fail(err, SOV_E_QUORUM, "bring one of the missing providers back: no fewer can prove what was committed",
				 "only %d of %d providers answer, and %d are needed: %s", answered, head->map.n, head->map.k, down);
		if (err)
			err->retryable = true;
		return SOV_E_QUORUM;
	}
	rc = check_admin_anchor(repo, head, err);
	if (rc != SOV_OK)
		return rc;
	for (int i = 0; i < repo->n_providers; i++)
	{
		repo->priv->admin_behind[i] = ar->answered[i] && (ar->head[i] == NULL || ar->head[i]->seq < head->seq);
		repo->priv->admin_shown[i] = ar->newest[i].seq;
	}
	repo->priv->admin_object.len = 0;
	sov_write_bytes(&repo->priv->admin_object, ar->object[best].data, ar->object[best].len);
	sov_admin_head_free(&repo->admin);
	repo->admin = *head;
	memset(head, 0, sizeof *head);	/* moved */
	return SOV_OK;
}

enum sov_code
repo_read_admin(struct sov_repo *repo, struct sov_error *err)
{
	struct admin_read *ar = calloc(1, sizeof *ar);
	char		down[400];
	int			best;
	enum sov_code rc;

	if (ar == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	ar->repo = repo;
	sov_parallel(repo->n_providers, fetch_admin, ar);
	rc = choose_admin(ar, &best, err);
	if (rc == SOV_OK && best < 0)
	{
		repo_provider_down_list(repo, down, sizeof down);
		rc = sov_fail(err, SOV_E_QUORUM, "bring the providers back; if 'init' was interrupted, run it again",
					  "no administrator's head can be read%s%s", down[0] ? ": " : "", down);
	}
	if (rc == SOV_OK)
		rc = accept_admin(repo, ar, best, err);
	for (int i = 0; i < repo->n_providers; i++)
	{
		if (ar->head[i])
			sov_admin_head_free(ar->head[i]);
		free(ar->head[i]);
		sov_buf_free(&ar->object[i]);
	}
	free(ar);
	return rc;
}

/* --- identities --- */

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

/* Remember the newest head, once enough providers have it for it to count. */
static enum sov_code
anchor_admin(struct sov_repo *repo, struct sov_error *err)
{
	char		path[1200];
	int			count = 0;
	enum sov_code rc;

	for (int i = 0; i < repo->n_providers; i++)
		count += repo->providers[i].known && !repo->providers[i].down && !repo->priv->admin_behind[i];
	if (count < repo->admin.map.n - repo->admin.map.k + 1 || repo->admin.seq <= repo->priv->anchored_seq)
		return SOV_OK;
	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	rc = repo_write_file(path, repo->priv->admin_object.data, repo->priv->admin_object.len, err);
	if (rc == SOV_OK)
		repo->priv->anchored_seq = repo->admin.seq;
	return rc;
}

/* Give a provider that is behind what it lacks of keyring and administrator's head. */
static void
write_back_admin(struct sov_repo *repo)
{
	char		name[SOV_NAME_MAX];
	struct sov_put_span span;

	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_repo_provider *rp = &repo->providers[i];

		if (!rp->known || rp->down)
			continue;
		if (!repo->priv->has_keyring[i] && repo->priv->keyring_object.len > 0)
		{
			sov_keyring_object_name(repo->keys->keyring_seq, repo->keys->keyring_hash, name);
			span = (struct sov_put_span) {repo->priv->keyring_object.data, repo->priv->keyring_object.len};
			if (repo_put(repo, i, name, &span, 1, false, NULL) == SOV_OK)
				repo->priv->has_keyring[i] = true;
		}
		if (!repo->priv->admin_behind[i])
			continue;
		snprintf(name, sizeof name, "a/%016" PRIx64, repo->admin.seq);
		span = (struct sov_put_span) {repo->priv->admin_object.data, repo->priv->admin_object.len};
		if (repo_put(repo, i, name, &span, 1, false, NULL) == SOV_OK)
		{
			repo_note(repo, "provider %s showed administrator's head %" PRIu64 " where the others have %" PRIu64 ": outvoted, and written back",
					  rp->cfg->name, repo->priv->admin_shown[i], repo->admin.seq);
			repo->priv->admin_behind[i] = false;
		}
	}
}

enum sov_code
repo_read_identities(struct sov_repo *repo, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
		if (!repo->providers[i].known)
			rc = read_identity(repo, i, err);
	for (int i = 0; i < repo->n_providers && rc == SOV_OK; i++)
		for (int j = 0; j < i; j++)
			if (repo->providers[i].known && repo->providers[j].known &&
				memcmp(repo->providers[i].uuid, repo->providers[j].uuid, 16) == 0)
				return sov_fail(err, SOV_E_CONFLICT, "remove one of the two sections",
								"providers %s and %s are one and the same place",
								repo->providers[j].cfg->name, repo->providers[i].cfg->name);
	if (rc != SOV_OK)
		return rc;
	write_back_admin(repo);
	return anchor_admin(repo, err);
}

/* --- writers' heads --- */

struct head_seen
{
	uint64_t	writer, seq;
	uint8_t		hash[32];
	struct sov_head head;
	struct sov_buf object;
	uint32_t	holders;		/* bit per provider */
	uint64_t	shown[SOV_MAX_PROVIDERS];	/* newest seq of this writer, by provider */
};

struct heads_read
{
	struct sov_repo *repo;
	int			n;
	struct head_seen seen[64];
	enum sov_code rc;
	struct sov_error *err;
};

struct writer_max
{
	int			n;
	struct { uint64_t writer, seq; } w[64];
};

static bool
see_head(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct writer_max *m = ctx;
	uint64_t	writer,
				seq;

	(void) st;
	if (strlen(name) != 35 || name[18] != '/' || !parse_hex64(name + 2, &writer) || !parse_hex64(name + 19, &seq))
		return true;
	for (int i = 0; i < m->n; i++)
		if (m->w[i].writer == writer)
		{
			if (seq > m->w[i].seq)
				m->w[i].seq = seq;
			return true;
		}
	if (m->n < 64)
	{
		m->w[m->n].writer = writer;
		m->w[m->n++].seq = seq;
	}
	return true;
}

const uint8_t *
repo_writer_pub(const struct sov_repo *repo, uint64_t writer)
{
	for (int i = 0; i < repo->admin.n_writers; i++)
		if (repo->admin.writers[i].writer == writer && !repo->admin.writers[i].revoked)
			return repo->admin.writers[i].cert.pub;
	return NULL;
}

static struct head_seen *
seen_writer(struct heads_read *hr, uint64_t writer)
{
	for (int i = 0; i < hr->n; i++)
		if (hr->seen[i].writer == writer)
			return &hr->seen[i];
	if (hr->n == 64)
		return NULL;
	hr->seen[hr->n].writer = writer;
	return &hr->seen[hr->n++];
}

/* Take in one head that a provider shows. */
static void
take_head(struct heads_read *hr, int i, uint64_t writer, uint64_t seq, const struct sov_buf *object)
{
	struct sov_repo *repo = hr->repo;
	struct head_seen *s = seen_writer(hr, writer);
	struct sov_head head;
	struct sov_error err;
	const uint8_t *pub = repo_writer_pub(repo, writer);
	enum sov_code rc;

	if (s == NULL)
		return;
	if (pub == NULL)
		rc = sov_fail(&err, SOV_E_AUTH, NULL, "its writer is not certified, or was revoked");
	else
		rc = sov_head_decode(repo->keys, object->data, object->len, pub, &head, &err);
	if (rc == SOV_OK && (head.writer != writer || head.seq != seq))
		rc = sov_fail(&err, SOV_E_AUTH, NULL, "it is another head, put in this place");
	if (rc == SOV_OK && (int64_t) head.time_us > repo_now_us() + FUTURE_LIMIT_US)
		rc = sov_fail(&err, SOV_E_STATE, NULL, "it is dated more than an hour ahead");
	if (rc != SOV_OK)
	{
		repo_note(repo, "provider %s: head h/%016" PRIx64 "/%016" PRIx64 " is refused: %s",
				  repo->providers[i].cfg->name, writer, seq, err.message);
		return;
	}
	s->shown[i] = seq;
	if (s->seq == seq && memcmp(s->hash, head.hash, 32) != 0)
	{
		hr->rc = sov_fail(hr->err, SOV_E_CONFLICT, "a host was cloned with its state directory: stop one of the two and give it a state directory of its own",
						  "provider %s shows another head h/%016" PRIx64 "/%016" PRIx64 " than the others",
						  repo->providers[i].cfg->name, writer, seq);
		return;
	}
	if (seq > s->seq)
	{
		s->seq = seq;
		s->head = head;
		memcpy(s->hash, head.hash, 32);
		s->object.len = 0;
		sov_write_bytes(&s->object, object->data, object->len);
		s->holders = 0;
	}
	if (seq == s->seq)
		s->holders |= 1u << i;
}

static void
write_back_heads(struct heads_read *hr)
{
	struct sov_repo *repo = hr->repo;
	char		name[SOV_NAME_MAX];

	for (int w = 0; w < hr->n; w++)
	{
		struct head_seen *s = &hr->seen[w];
		struct sov_put_span span = {s->object.data, s->object.len};

		if (s->seq == 0)
			continue;
		snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, s->writer, s->seq);
		for (int i = 0; i < repo->n_providers; i++)
		{
			if ((s->holders & 1u << i) || !repo->providers[i].known || repo->providers[i].down)
				continue;
			if (repo_put(repo, i, name, &span, 1, false, NULL) == SOV_OK)
				repo_note(repo, "provider %s showed head %" PRIu64 " of writer %016" PRIx64 " where the others have %" PRIu64 ": outvoted, and written back",
						  repo->providers[i].cfg->name, s->shown[i], s->writer, s->seq);
		}
	}
}

enum sov_code
repo_read_heads(struct sov_repo *repo, struct sov_error *err)
{
	struct heads_read *hr = calloc(1, sizeof *hr);
	struct sov_buf object = {0};
	enum sov_code rc;

	if (hr == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	hr->repo = repo;
	hr->err = err;
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct writer_max max = {0};

		if (!repo->providers[i].known || repo_list(repo, i, "h/", see_head, &max, NULL) != SOV_OK)
			continue;
		for (int w = 0; w < max.n; w++)
		{
			char		name[SOV_NAME_MAX];

			snprintf(name, sizeof name, "h/%016" PRIx64 "/%016" PRIx64, max.w[w].writer, max.w[w].seq);
			object.len = 0;
			if (repo_get(repo, i, name, 0, UINT64_MAX, &object, NULL) == SOV_OK)
				take_head(hr, i, max.w[w].writer, max.w[w].seq, &object);
		}
	}
	rc = hr->rc;
	if (rc == SOV_OK)
	{
		write_back_heads(hr);
		repo->n_heads = 0;
		for (int w = 0; w < hr->n; w++)
			if (hr->seen[w].seq > 0)
				repo->heads[repo->n_heads++] = hr->seen[w].head;
	}
	for (int w = 0; w < hr->n; w++)
		sov_buf_free(&hr->seen[w].object);
	sov_buf_free(&object);
	free(hr);
	if (rc == SOV_OK)
		rc = repo_check_head_anchor(repo, err);
	return rc;
}
