/*
 * repo_down.c - what a process learnt of providers that do not answer, for the
 * processes after it.
 *
 * The server starts a process for each WAL file.  Without a memory each of them would
 * wait for the same dead provider until its time-out, and tell the log of it.  The
 * file down/NAME in the state directory, "until wait message" (wall clock and waiting
 * time in microseconds), keeps the circuit breaker of repo_provider.c between them.
 * When the time has come, none of them asks again either, but starts one that does, for
 * whose answer nobody waits: what it finds well, the next one asks by itself.
 *
 * Invariants: only requests that took their time make others wait (a waiting time of 0:
 * ask at once); never longer than RETRY_MAX_US, whatever the clock did, and KEPT_US where
 * nobody has asked since; and nobody waits while too few providers would be left to take
 * WAL (k, and the spool) or to be sure that there is none (n-k+1): then all are asked.
 * The file is a hint: lost or damaged, it costs a time-out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "repo_private.h"

#define DEAR_US 500000
#define KEPT_US 600000000		/* older ones say nothing */

static void
down_path(const struct sov_repo *repo, int i, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/down/%s", repo->cfg.state_directory, repo->providers[i].cfg->name);
}

static void
write_one(const struct sov_repo *repo, int i, int64_t wait_us)
{
	char		path[1200],
				text[1024];
	struct sov_error err;

	if (!repo->priv->remembers)
		return;
	snprintf(path, sizeof path, "%s/down", repo->cfg.state_directory);
	if (repo_mkdirs(path, &err) != SOV_OK)
		return;
	down_path(repo, i, path, sizeof path);
	snprintf(text, sizeof text, "%" PRId64 " %" PRId64 " %.900s\n", repo_now_us() + wait_us, wait_us, repo->providers[i].last.message);
	(void) repo_write_file(path, text, strlen(text), &err);
}

void
repo_down_write(struct sov_repo *repo, int i, int64_t took_us)
{
	write_one(repo, i, took_us > DEAR_US ? repo->providers[i].retry_wait_us : 0);
}

void
repo_down_is_well(struct sov_repo *repo, int i)
{
	write_one(repo, i, 0);
}

void
repo_down_forget(struct sov_repo *repo, int i)
{
	char		path[1200];

	if (!repo->priv->remembers)
		return;
	down_path(repo, i, path, sizeof path);
	(void) unlink(path);
}

/* Is it left alone, for now or until another process has asked it? */
static bool
read_one(struct sov_repo *repo, int i)
{
	struct sov_repo_provider *rp = &repo->providers[i];
	struct sov_buf b = {0};
	char		path[1200];
	int64_t		until,
				wait,
				left;
	int			at = 0;

	down_path(repo, i, path, sizeof path);
	if (repo_read_file(path, &b, NULL) == SOV_OK)
		sov_write_u8(&b, 0);
	if (b.bad || b.len == 0 || sscanf((char *) b.data, "%" SCNd64 " %" SCNd64 " %n", &until, &wait, &at) != 2 || at == 0)
	{
		sov_buf_free(&b);
		return false;
	}
	b.data[strcspn((char *) b.data, "\n")] = '\0';
	left = until - repo_now_us();
	if (left <= RETRY_MAX_US && left > -KEPT_US && (wait == 0 || (wait >= RETRY_MIN_US && wait <= RETRY_MAX_US)))
	{
		rp->down = true;
		rp->retry_wait_us = wait;
		rp->retry_at_us = wait == 0 ? 0 : left > 0 ? repo_mono_us() + left : 1;
		repo->priv->asked_apart = true;
		sov_fail(&rp->last, SOV_E_PROVIDER, NULL, "%s", (char *) b.data + at);
	}
	sov_buf_free(&b);
	return rp->down && rp->retry_at_us > 0;
}

void
repo_down_read(struct sov_repo *repo)
{
	int			n = repo->n_providers,
				left = n;

	for (int i = 0; i < n; i++)
		left -= read_one(repo, i);
	for (int i = 0; repo_too_few(repo, left) && i < n; i++)
		repo->providers[i].retry_at_us = 0;
}

bool
sov_repo_down_due(const struct sov_repo *repo)
{
	int64_t		now = repo_mono_us();

	for (int i = 0; i < repo->n_providers; i++)
		if (repo->providers[i].down && repo->providers[i].retry_at_us > 0 && repo->providers[i].retry_at_us <= now)
			return true;
	return false;
}

enum sov_code
sov_repo_ask_down_for_others(const struct sov_config *cfg, struct sov_error *err)
{
	struct sov_repo *repo;
	int			fd;
	enum sov_code rc = sov_repo_open_brief(cfg, NULL, NULL, &repo, err);

	if (rc != SOV_OK)
		return rc;
	rc = repo_try_lock_file(repo, "down.lock", &fd, err);
	if (rc == SOV_OK)
	{
		sov_repo_ask_down(repo);
		close(fd);
	}
	sov_repo_close(repo);
	return rc;
}
