/*
 * repo.c - opening and closing a repository; how one is made: repo_init.c.
 *
 * Order when opening: custodian, providers, keyring, administrator's chain,
 * identities, writers' heads.  Identities need the chain (a damaged identity
 * object is replaced when the provider map and a keyring of ours vouch for the
 * provider), the chain needs only K_meta.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "repo_private.h"

#define DAY_S 86400

void
repo_note(struct sov_repo *repo, const char *fmt, ...)
{
	char		text[1400];
	va_list		ap;

	if (repo->note == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&repo->priv->note_lock);
	repo->note(repo->note_ctx, text);
	pthread_mutex_unlock(&repo->priv->note_lock);
}

/* --- threads --- */

struct parallel_item
{
	void		(*fn) (int i, void *arg);
	void	   *arg;
	int			i;
};

static void *
parallel_main(void *p)
{
	struct parallel_item *item = p;

	item->fn(item->i, item->arg);
	return NULL;
}

void
sov_parallel(int n, void (*fn) (int i, void *arg), void *arg)
{
	pthread_t	threads[SOV_MAX_PROVIDERS];
	struct parallel_item items[SOV_MAX_PROVIDERS];
	bool		started[SOV_MAX_PROVIDERS] = {false};

	/* The last one runs here; a thread that cannot start runs here as well. */
	for (int i = 0; i < n; i++)
	{
		items[i] = (struct parallel_item) {fn, arg, i};
		if (i < n - 1)
			started[i] = pthread_create(&threads[i], NULL, parallel_main, &items[i]) == 0;
		if (!started[i])
			fn(i, arg);
	}
	for (int i = 0; i < n; i++)
		if (started[i])
			pthread_join(threads[i], NULL);
}

/* --- handle --- */

int
sov_repo_provider_of(const struct sov_repo *repo, const uint8_t uuid[16])
{
	const char *alias = NULL;

	for (int i = 0; i < repo->n_providers; i++)
		if (repo->providers[i].known && memcmp(repo->providers[i].uuid, uuid, 16) == 0)
			return i;
	/* It did not answer yet: its section's name is what there is. */
	for (int m = 0; m < 2; m++)
	{
		const struct sov_map *map = m == 0 ? &repo->admin.map : &repo->admin.was;

		for (int p = 0; p < map->n && alias == NULL; p++)
		{
			if (memcmp(map->pos[p].uuid, uuid, 16) == 0)
				alias = map->pos[p].alias;
			else if (memcmp(map->pos[p].prev_uuid, uuid, 16) == 0)
				alias = map->pos[p].prev_alias;
		}
	}
	for (int i = 0; alias != NULL && i < repo->n_providers; i++)
		if (!repo->providers[i].known && !repo->providers[i].fresh && strcmp(repo->providers[i].cfg->name, alias) == 0)
			return i;
	return -1;
}

const struct sov_map_slot *
sov_repo_position_of(const struct sov_repo *repo, int provider)
{
	for (int p = 0; p < repo->admin.map.n; p++)
		if (sov_repo_provider_of(repo, repo->admin.map.pos[p].uuid) == provider)
			return &repo->admin.map.pos[p];
	return NULL;
}

struct sov_repo *
repo_new(const struct sov_config *cfg, sov_note_fn note, void *ctx, struct sov_error *err)
{
	struct sov_repo *repo = calloc(1, sizeof *repo);

	if (repo == NULL || (repo->priv = calloc(1, sizeof *repo->priv)) == NULL)
	{
		free(repo);
		sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
		return NULL;
	}
	repo->cfg = *cfg;
	repo->note = note;
	repo->note_ctx = ctx;
	pthread_mutex_init(&repo->priv->lock, NULL);
	pthread_mutex_init(&repo->priv->note_lock, NULL);
	pthread_mutex_init(&repo->priv->judge_lock, NULL);
	pthread_mutex_init(&repo->priv->commit_lock, NULL);
	pthread_mutex_init(&repo->priv->content_lock, NULL);
	pthread_mutex_init(&repo->priv->map_check, NULL);
	pthread_rwlock_init(&repo->priv->map_lock, NULL);
	repo->n_providers = cfg->n_providers;
	for (int i = 0; i < repo->n_providers; i++)
	{
		pthread_mutex_init(&repo->priv->serial[i], NULL);
		pthread_mutex_init(&repo->priv->connect[i], NULL);
		repo->providers[i].cfg = &repo->cfg.providers[i];
	}
	return repo;
}

/* A verdict stays until the handle is closed: other threads may be reading it while the
 * next one is made. */
struct repo_verdict
{
	struct sov_policy_report report;
	struct repo_verdict *before;
};

/* Judge the configuration; what is broken is told to people at every start. */
static enum sov_code
repo_judge(struct sov_repo *repo, struct sov_error *err)
{
	struct repo_verdict *verdict = calloc(1, sizeof *verdict);
	const struct sov_policy_report *report;
	int64_t		day = (int64_t) time(NULL) / DAY_S;
	enum sov_code rc;

	if (verdict == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	report = &verdict->report;
	rc = sov_policy_check(&repo->cfg, &verdict->report, err);
	/* the first one must be there, if only to be freed */
	if (rc != SOV_OK && repo->priv->verdicts != NULL)
	{
		free(verdict);
		return rc;
	}
	verdict->before = repo->priv->verdicts;
	repo->priv->verdicts = verdict;
	__atomic_store_n(&repo->priv->policy, report, __ATOMIC_RELEASE);
	if (rc == SOV_OK)
		__atomic_store_n(&repo->priv->judged_day, day, __ATOMIC_RELEASE);
	for (int i = 0; rc == SOV_OK && i < report->n; i++)
	{
		const struct sov_violation *v = &report->violations[i];

		if (v->provider < 0)
			repo_note(repo, "%s; %s", v->message, v->hint);
		else
			repo_note(repo, "nothing is written to provider %s%s: %s", repo->cfg.providers[v->provider].name,
					  v->drained ? ", which is being left" : "", v->message);
	}
	return rc;
}

enum sov_code
repo_judge_today(struct sov_repo *repo, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	if (repo->cfg.policy.require.line == 0 || __atomic_load_n(&repo->priv->judged_day, __ATOMIC_ACQUIRE) == (int64_t) time(NULL) / DAY_S)
		return SOV_OK;
	pthread_mutex_lock(&repo->priv->judge_lock);
	if (repo->priv->judged_day != (int64_t) time(NULL) / DAY_S)
		rc = repo_judge(repo, err);
	pthread_mutex_unlock(&repo->priv->judge_lock);
	if (rc != SOV_OK)
		sov_error_prefix(err, "the policy cannot be judged for today, so that nothing is written");
	return rc;
}

static void
free_verdicts(struct sov_repo *repo)
{
	struct repo_verdict *v;

	while ((v = repo->priv->verdicts) != NULL)
	{
		repo->priv->verdicts = v->before;
		free(v);
	}
}

const struct sov_policy_report *
sov_repo_policy(const struct sov_repo *repo)
{
	return __atomic_load_n(&repo->priv->policy, __ATOMIC_ACQUIRE);
}

enum sov_code
sov_repo_obey_policy(const struct sov_repo *repo, struct sov_error *err)
{
	return sov_policy_enforce(sov_repo_policy(repo), err);
}

enum sov_code
repo_prepare(struct sov_repo *repo, struct sov_error *err)
{
	enum sov_code rc = repo_judge(repo, err);

	if (rc == SOV_OK)
		rc = sov_custodian_check_place(&repo->cfg, err);
	if (rc == SOV_OK)
		rc = sov_custodian_open(repo->cfg.root, &repo->custodian, err);
	if (rc == SOV_OK)
		rc = repo_mkdirs(repo->cfg.state_directory, err);
	/* Reading does without a state directory that is on a read-only file system. */
	if (rc == SOV_OK && access(repo->cfg.state_directory, R_OK | W_OK | X_OK) != 0 && errno != EROFS)
		rc = sov_fail_errno(err, errno, "run the command as the user that runs the server (often: runuser -u postgres --), or set state-directory in [repository]",
							"state directory %s cannot be used", repo->cfg.state_directory);
	if (rc == SOV_OK)
		sov_buf_scratch(repo->cfg.state_directory);
	return rc;
}

/* The configuration may pin whose repository this is. */
static enum sov_code
check_pin(const struct sov_repo *repo, struct sov_error *err)
{
	char		fingerprint[SOV_FINGERPRINT_LEN];

	if (repo->cfg.controller[0] == '\0')
		return SOV_OK;
	sov_repo_fingerprint(repo->keys->controller_pub, fingerprint);
	if (strcmp(fingerprint, repo->cfg.controller) == 0)
		return SOV_OK;
	return sov_fail(err, SOV_E_CONFLICT, "these providers hold another repository than the one that was pinned, or the pin is wrong",
					"the repository's controller is %s, %s pins %s", fingerprint, repo->cfg.file, repo->cfg.controller);
}

static enum sov_code
open_repo(const struct sov_config *cfg, sov_note_fn note, void *ctx, bool brief, struct sov_repo **out, struct sov_error *err)
{
	struct sov_repo *repo = repo_new(cfg, note, ctx, err);
	enum sov_code rc;

	if (repo == NULL)
		return SOV_E_NOMEM;
	rc = repo_prepare(repo, err);
	repo->priv->remembers = brief;
	if (rc == SOV_OK && brief)
		repo_down_read(repo);
	if (rc == SOV_OK)
		rc = repo_read_keyring(repo, err);
	if (rc == SOV_OK)
		repo_forget_content(repo);
	if (rc == SOV_OK)
		rc = check_pin(repo, err);
	if (rc == SOV_OK)
		rc = sov_repo_refresh(repo, err);
	if (rc == SOV_OK)
		rc = repo_check_keyring(repo, err);
	if (rc != SOV_OK)
	{
		sov_repo_close(repo);
		return rc;
	}
	repo_spool_rename(repo);
	*out = repo;
	return SOV_OK;
}

enum sov_code
sov_repo_open(const struct sov_config *cfg, sov_note_fn note, void *ctx, struct sov_repo **out, struct sov_error *err)
{
	return open_repo(cfg, note, ctx, false, out, err);
}

enum sov_code
sov_repo_open_brief(const struct sov_config *cfg, sov_note_fn note, void *ctx, struct sov_repo **out, struct sov_error *err)
{
	return open_repo(cfg, note, ctx, true, out, err);
}

enum sov_code
sov_repo_refresh(struct sov_repo *repo, struct sov_error *err)
{
	struct sov_head anchor;
	bool		anchored;
	/* Before anything is asked of the providers: another process of this host may
	 * be enrolled and commit meanwhile. */
	enum sov_code rc = repo_head_anchor(repo, &anchor, &anchored, err);

	if (rc != SOV_OK)
		return rc;
	pthread_rwlock_wrlock(&repo->priv->map_lock);
	rc = repo_read_admin(repo, err);
	if (rc == SOV_OK)
		rc = repo_read_identities(repo, err);
	pthread_rwlock_unlock(&repo->priv->map_lock);
	if (rc == SOV_OK)
		rc = repo_read_heads(repo, anchored ? &anchor : NULL, err);
	return rc;
}

void
sov_repo_close(struct sov_repo *repo)
{
	if (repo == NULL)
		return;
	for (int i = 0; i < repo->n_providers; i++)
	{
		sov_provider_close(repo->providers[i].handle);
		pthread_mutex_destroy(&repo->priv->serial[i]);
		pthread_mutex_destroy(&repo->priv->connect[i]);
	}
	for (int i = 0; i < repo->priv->n_runs; i++)
		sov_run_free(repo->priv->runs[i]);
	free(repo->priv->runs);
	free_verdicts(repo);
	pthread_mutex_destroy(&repo->priv->judge_lock);
	pthread_mutex_destroy(&repo->priv->content_lock);
	sov_buf_free(&repo->priv->keyring_object);
	sov_buf_free(&repo->priv->admin_object);
	sov_secret_free(repo->priv->seed);
	sov_repo_keys_free(repo->keys);
	sov_custodian_close(repo->custodian);
	sov_admin_head_free(&repo->admin);
	free(repo->priv);
	free(repo);
}

const char *
sov_repo_provider_state(const struct sov_repo_provider *p)
{
	if (p->down)
		return "down";
	if (p->fresh)
		return "new";
	return p->cfg->state == SOV_PROVIDER_DRAIN ? "drain" : "active";
}

/* --- trying a provider --- */

enum sov_code
sov_repo_try_provider(struct sov_repo *repo, int i, bool *kept, struct sov_error *err)
{
	uint8_t		bytes[64];
	char		id[17],
				name[SOV_NAME_MAX];
	struct sov_put_span span = {bytes, sizeof bytes};
	struct sov_buf back = {0};
	enum sov_code rc = sov_random(bytes, sizeof bytes, err);

	sov_hex(id, bytes, 8);
	snprintf(name, sizeof name, "c/%s", id);
	if (rc == SOV_OK)
		rc = repo_put(repo, i, name, &span, 1, true, err);
	if (rc == SOV_OK)
		rc = repo_get(repo, i, name, 0, UINT64_MAX, &back, err);
	if (rc == SOV_OK && (back.len != sizeof bytes || memcmp(back.data, bytes, sizeof bytes) != 0))
		rc = sov_fail(err, SOV_E_PROVIDER, "do not trust this provider", "what was read back is not what was written");
	*kept = false;
	if (rc == SOV_OK)
	{
		rc = repo_remove(repo, i, name, err);
		*kept = rc == SOV_E_LOCKED || (rc != SOV_OK && err->refused);
	}
	sov_buf_free(&back);
	return *kept ? SOV_OK : rc;
}

void
sov_repo_fingerprint(const uint8_t controller_pub[32], char dst[SOV_FINGERPRINT_LEN])
{
	struct sov_span span = {controller_pub, 32};
	uint8_t		hash[32] = {0};

	(void) sov_sha256(&span, 1, hash, NULL);
	strcpy(dst, "sha256:");
	sov_hex(dst + 7, hash, 32);
}
