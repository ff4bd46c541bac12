/*
 * lease.c - leases of writers, and the list of condemned backups.
 *
 * The rule that prune relies on: between sov_lease_begin and the commit that
 * settles it, the holder only refers to objects of a backup that was not condemned
 * after its lease was at n-k+1 providers, and at the commit it reads the list
 * again.  Pruning condemns first and reads leases after that.  So either the
 * writer sees the condemnation, or the pruner sees the lease.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

/* --- condemned backups --- */

bool
lease_condemned(const struct sov_admin_head *admin, const char *backup, uint64_t *time_us)
{
	size_t		n = strlen(backup);

	for (uint32_t i = 0; i < admin->n_condemned; i++)
		if (strncmp(admin->condemned[i], backup, n) == 0 && admin->condemned[i][n] == '@')
		{
			if (time_us)
				*time_us = strtoull(admin->condemned[i] + n + 1, NULL, 10);
			return true;
		}
	return false;
}

void
lease_hide_condemned(const struct sov_admin_head *admin, struct sov_catalogue *cat)
{
	uint32_t	kept = 0;

	for (uint32_t i = 0; i < cat->n; i++)
		if (!lease_condemned(admin, cat->backups[i].id, NULL))
			cat->backups[kept++] = cat->backups[i];
	cat->n = kept;
}

/* --- leases --- */

static enum sov_code
stamp(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	const bool *begin = ctx;
	uint64_t	now = (uint64_t) repo_now_us();

	(void) err;
	if (*begin)
		head->lease_admin = repo->admin.seq;
	/* never the same stamp twice: that is how a pruner tells a renewal */
	head->lease_us = now > head->lease_us ? now : head->lease_us + 1;
	return SOV_OK;
}

static enum sov_code
clear(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	(void) ctx;
	(void) repo;
	(void) err;
	head->lease_us = 0;
	head->lease_admin = 0;
	return SOV_OK;
}

enum sov_code
sov_lease_begin(struct sov_repo *repo, struct sov_lease *lease, struct sov_error *err)
{
	bool		begin = true;
	enum sov_code rc;

	lease->renewed_us = repo_mono_us();
	rc = sov_repo_commit(repo, stamp, &begin, err);
	return rc == SOV_OK ? sov_repo_refresh(repo, err) : rc;
}

enum sov_code
sov_lease_renew(struct sov_repo *repo, struct sov_lease *lease, struct sov_error *err)
{
	int64_t		now = repo_mono_us();
	bool		begin = false;
	enum sov_code rc;

	if (now - lease->renewed_us < SOV_LEASE_US / 3)
		return SOV_OK;
	rc = sov_repo_commit(repo, stamp, &begin, err);
	if (rc == SOV_OK)
		lease->renewed_us = now;
	/* there is time to try again */
	return rc != SOV_OK && now - lease->renewed_us < SOV_LEASE_US * 2 / 3 ? SOV_OK : rc;
}

enum sov_code
sov_lease_settle(struct sov_repo *repo, const struct sov_lease *lease, const char *base, struct sov_head *head, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	if (repo_mono_us() - lease->renewed_us > SOV_LEASE_US)
		return sov_fail(err, SOV_E_STATE, "run it again: what is stored already is taken over",
						"this host slept or was cut off for longer than its lease, and what it refers to may have been pruned");
	pthread_rwlock_wrlock(&repo->priv->map_lock);
	rc = repo_read_admin(repo, err);
	pthread_rwlock_unlock(&repo->priv->map_lock);
	if (rc == SOV_OK && base[0] && lease_condemned(&repo->admin, base, NULL))
		return sov_fail(err, SOV_E_CONFLICT, "run the backup again", "backup %s, which this one refers to, was pruned meanwhile", base);
	head->lease_us = 0;
	head->lease_admin = 0;
	return rc;
}

void
sov_lease_drop(struct sov_repo *repo)
{
	struct sov_error ignored;

	(void) sov_repo_commit(repo, clear, NULL, &ignored);
}
