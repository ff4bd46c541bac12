/*
 * repo_state.c - reading the committed state: keyring and administrator's chain.
 * Identities are read in repo_identity.c, writers' heads in repo_heads.c.
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
#include <unistd.h>

#include "repo_private.h"

#define TWO_ADMINISTRATORS "two hosts administer one repository, or one was cloned: stop one of them, and remove the head that is wrong"

/* --- newest object of a chain at one provider --- */

struct newest
{
	size_t		skip;			/* length of the prefix before the number */
	uint64_t	seq;
	char		name[SOV_OBJECT_NAME_MAX + 1];
};

bool
repo_parse_hex64(const char *s, uint64_t *out)
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
	if (strlen(name) > n->skip && repo_parse_hex64(name + n->skip, &seq) && seq >= n->seq)
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
	kr->rc[i] = repo_list_briefly(kr->repo, i, "k/", see_newest, &kr->newest[i], NULL);
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
				sov_error_at(err, "if that is another repository's place, correct the provider's section; if not, bring back a provider whose keyring is whole",
							 "provider %s: keyring %s", repo->providers[i].cfg->name, kr->newest[i].name);
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
	char		refused[SOV_MAX_PROVIDERS][300];	/* why what it shows is none */
	uint64_t	seen_seq;		/* what this host has seen committed before */
	uint8_t		seen_hash[32];
};

/* Get and check one head; ar->head[i] is set when it is good. */
static enum sov_code
fetch_admin_head(struct admin_read *ar, int i, const char *name, uint64_t seq, struct sov_error *err)
{
	struct sov_admin_head *head;
	enum sov_code rc;

	ar->object[i].len = 0;
	rc = repo_get(ar->repo, i, name, 0, UINT64_MAX, &ar->object[i], err);
	if (rc != SOV_OK)
		return rc;
	head = calloc(1, sizeof *head);
	if (head == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = sov_admin_decode(ar->repo->keys, ar->object[i].data, ar->object[i].len, head, err);
	if (rc == SOV_OK && head->seq != seq)
		rc = sov_fail(err, SOV_E_AUTH, NULL, "it is head %" PRIu64 ", put in another's place", head->seq);
	if (rc == SOV_OK && memcmp(head->controller_pub, ar->repo->keys->controller_pub, 32) != 0)
		rc = sov_fail(err, SOV_E_AUTH, NULL, "it was certified by another controller");
	if (rc == SOV_OK)
	{
		ar->head[i] = head;
		return SOV_OK;
	}
	sov_admin_head_free(head);
	free(head);
	return rc;
}

static void
fetch_admin(int i, void *arg)
{
	struct admin_read *ar = arg;
	struct sov_error err;
	char		text[sizeof ar->refused[i]];

	ar->newest[i].skip = 2;
	ar->answered[i] = repo_list_briefly(ar->repo, i, "a/", see_newest, &ar->newest[i], NULL) == SOV_OK;
	if (!ar->answered[i] || ar->newest[i].seq == 0)
		return;
	if (fetch_admin_head(ar, i, ar->newest[i].name, ar->newest[i].seq, &err) == SOV_OK)
		return;
	snprintf(text, sizeof text, "provider %.60s: head %.40s is refused: %.170s", ar->repo->providers[i].cfg->name, ar->newest[i].name, err.message);
	repo_note(ar->repo, "%s", text);
	memcpy(ar->refused[i], text, sizeof text);
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
			return sov_fail(err, SOV_E_CONFLICT, TWO_ADMINISTRATORS,
							"providers %s and %s show two different heads %s",
							ar->repo->providers[*best].cfg->name, ar->repo->providers[i].cfg->name, ar->newest[i].name);
	}
	return SOV_OK;
}

/* The newest administrator's head that this host has seen committed; seq 0 when
 * there is none.  Read before the providers are asked: meanwhile another process
 * of this host may commit, and that is no lie of theirs. */
static enum sov_code
read_admin_anchor(struct sov_repo *repo, uint64_t *seq, uint8_t hash[32], struct sov_error *err)
{
	char		path[1200];
	struct sov_buf local = {0};
	struct sov_admin_head *seen = calloc(1, sizeof *seen);
	enum sov_code rc;

	*seq = 0;
	if (seen == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	rc = repo_read_file(path, &local, err);
	if (rc == SOV_OK)
	{
		rc = sov_admin_decode(repo->keys, local.data, local.len, seen, err);
		if (rc != SOV_OK)
			sov_error_at(err, REPO_STATE_AGAIN, "%s", path);
	}
	if (rc == SOV_OK)
	{
		*seq = seen->seq;
		memcpy(hash, seen->hash, 32);
	}
	sov_buf_free(&local);
	sov_admin_head_free(seen);
	free(seen);
	return rc == SOV_E_NOTFOUND ? SOV_OK : rc;
}

/* Never accept less than this host has seen committed. */
static enum sov_code
check_admin_anchor(struct sov_repo *repo, const struct admin_read *ar, const struct sov_admin_head *head, struct sov_error *err)
{
	if (head->seq < ar->seen_seq || (head->seq == ar->seen_seq && memcmp(head->hash, ar->seen_hash, 32) != 0))
		return sov_fail(err, SOV_E_CONFLICT, "the providers were set back, or lie; if you set them back yourself, remove the file 'admin' from the state directory",
						"this host has seen administrator's head %" PRIu64 ", the providers show %" PRIu64, ar->seen_seq, head->seq);
	repo->priv->anchored_seq = ar->seen_seq;
	return SOV_OK;
}

/* While k and n change, a commit is at n-k+1 providers of either map.  Who they are
 * is not known yet, so as many as may belong to neither are taken off. */
static bool
enough_of_two(const struct sov_repo *repo, const struct sov_admin_head *head, int good)
{
	if (head->was.n == 0)
		return true;
	return good - (repo->n_providers - head->map.n) >= head->map.k || good - (repo->n_providers - head->was.n) >= head->was.k;
}

static enum sov_code
accept_admin(struct sov_repo *repo, struct admin_read *ar, int best, struct sov_error *err)
{
	struct sov_admin_head *head = ar->head[best];
	int			answered = 0,
				good = 0;
	char		down[400];
	enum sov_code rc;

	/* Only a head that verifies proves anything.  Where the newest name holds
	 * something else, the head that others have may be there as well. */
	for (int i = 0; i < repo->n_providers; i++)
	{
		char		name[SOV_NAME_MAX];

		snprintf(name, sizeof name, "a/%016" PRIx64, head->seq);
		if (ar->answered[i] && ar->head[i] == NULL && ar->newest[i].seq > head->seq)
			(void) fetch_admin_head(ar, i, name, head->seq, NULL);
		if (ar->head[i] && ar->head[i]->seq == head->seq && memcmp(ar->head[i]->hash, head->hash, 32) != 0)
			return sov_fail(err, SOV_E_CONFLICT, TWO_ADMINISTRATORS, "providers %s and %s show two different heads %s",
							repo->providers[best].cfg->name, repo->providers[i].cfg->name, name);
		answered += ar->answered[i];
		good += ar->head[i] != NULL;
	}
	if (good < head->map.k || !enough_of_two(repo, head, good))
	{
		repo_provider_down_list(repo, down, sizeof down);
		sov_fail(err, SOV_E_QUORUM, "bring one of the missing providers back: no fewer can prove what was committed",
				 good == answered ? "only %d of %d providers answer, and %d are needed: %s" :
				 "only %d of %d providers show a good administrator's head, and %d are needed: %s", good, head->map.n, head->map.k, down);
		if (err)
			err->retryable = true;
		return SOV_E_QUORUM;
	}
	rc = check_admin_anchor(repo, ar, head, err);
	if (rc != SOV_OK)
		return rc;
	for (int i = 0; i < repo->n_providers; i++)
	{
		repo->priv->admin_behind[i] = ar->answered[i] && (ar->head[i] == NULL || ar->head[i]->seq < head->seq);
		repo->priv->admin_held[i] = ar->head[i] != NULL && ar->head[i]->seq == head->seq;
		repo->priv->admin_shown[i] = ar->newest[i].seq;
	}
	repo->priv->admin_object.len = 0;
	sov_write_bytes(&repo->priv->admin_object, ar->object[best].data, ar->object[best].len);
	sov_admin_head_free(&repo->admin);
	repo->admin = *head;
	memset(head, 0, sizeof *head);	/* moved */
	return SOV_OK;
}

/* Nobody shows a good head: who is away, and whose is refused. */
static enum sov_code
no_admin(const struct admin_read *ar, struct sov_error *err)
{
	char		down[300],
				refused[400] = "";
	size_t		used = 0;

	for (int i = 0; i < ar->repo->n_providers && used < sizeof refused; i++)
		if (ar->refused[i][0] != '\0')
			used += (size_t) snprintf(refused + used, sizeof refused - used, "; %s", ar->refused[i]);
	repo_provider_down_list(ar->repo, down, sizeof down);
	return sov_fail(err, SOV_E_QUORUM, refused[0] ? "bring back a provider whose copy of the head is whole" :
					"bring the providers back; if 'init' was interrupted, run it again",
					"no administrator's head can be read%s%s%s", down[0] ? ": " : "", down, refused);
}

enum sov_code
repo_read_admin(struct sov_repo *repo, struct sov_error *err)
{
	struct admin_read *ar = calloc(1, sizeof *ar);
	int			best;
	enum sov_code rc;

	if (ar == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	ar->repo = repo;
	rc = read_admin_anchor(repo, &ar->seen_seq, ar->seen_hash, err);
	if (rc == SOV_OK)
	{
		sov_parallel(repo->n_providers, fetch_admin, ar);
		rc = choose_admin(ar, &best, err);
	}
	if (rc == SOV_OK && best < 0)
		rc = no_admin(ar, err);
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

enum sov_code
repo_anchor_admin(struct sov_repo *repo, struct sov_error *err)
{
	char		path[1200];
	uint8_t		hash[32];
	struct sov_error scratch;
	int			count = 0,
				fd;
	enum sov_code rc;

	if (err == NULL)
		err = &scratch;
	for (int i = 0; i < repo->n_providers; i++)
		count += repo->providers[i].known && !repo->providers[i].down && repo->priv->admin_held[i];
	if (count < repo->admin.map.n - repo->admin.map.k + 1 || repo->admin.seq <= repo->priv->anchored_seq)
		return SOV_OK;
	/* Who commits at this moment anchors a newer one itself; and what another
	 * process anchored meanwhile is not set back. */
	if (repo_try_lock_file(repo, "admin.lock", &fd, NULL) != SOV_OK)
		return SOV_OK;
	rc = read_admin_anchor(repo, &repo->priv->anchored_seq, hash, err);
	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	if (rc == SOV_OK && repo->admin.seq > repo->priv->anchored_seq)
	{
		rc = repo_write_file(path, repo->priv->admin_object.data, repo->priv->admin_object.len, err);
		if (rc == SOV_OK)
			repo->priv->anchored_seq = repo->admin.seq;
		else
			repo_note(repo, "the newest state could not be remembered: %s", err->message);
		rc = SOV_OK;
	}
	close(fd);
	return rc;
}

void
repo_write_back_admin(struct sov_repo *repo)
{
	char		name[SOV_NAME_MAX];
	struct sov_put_span span;

	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_repo_provider *rp = &repo->providers[i];

		if (!repo_takes_part(repo, i) || rp->down)
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
			repo->priv->admin_held[i] = true;
		}
	}
}
