/*
 * repo_map.c - following the provider map while others change it.
 *
 * A put by an old map would leave a shard at a provider that is being left, where
 * nobody looks for it later.  So a put holds the host's administrator lock shared
 * while it is under way, an administrator's commit holds it alone, and every
 * request looks first whether the local copy of the newest administrator's head
 * ("admin" in the state directory) has been replaced.  On other hosts "repair"
 * finds what was put by an old map.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repo_private.h"

/* Read the map anew when the local copy was replaced.  Whoever comes meanwhile
 * waits: with the old map he would put to the wrong place. */
static void
follow_map(struct sov_repo *repo)
{
	char		path[1200];
	struct stat st;

	snprintf(path, sizeof path, "%s/admin", repo->cfg.state_directory);
	pthread_mutex_lock(&repo->priv->map_check);
	if (stat(path, &st) == 0 &&
		((uint64_t) st.st_ino != repo->priv->map_inode || st.st_mtim.tv_sec != repo->priv->map_mtime.tv_sec ||
		 st.st_mtim.tv_nsec != repo->priv->map_mtime.tv_nsec))
	{
		/* When it cannot be read now, the old one serves and the next request
		 * tries again: this one will find too few providers anyway. */
		pthread_rwlock_wrlock(&repo->priv->map_lock);
		if (repo_read_admin(repo, NULL) == SOV_OK)
		{
			(void) repo_read_identities(repo, NULL);
			repo->priv->map_inode = (uint64_t) st.st_ino;
			repo->priv->map_mtime = st.st_mtim;
		}
		pthread_rwlock_unlock(&repo->priv->map_lock);
	}
	pthread_mutex_unlock(&repo->priv->map_check);
}

enum sov_code
repo_map_hold(struct sov_repo *repo, bool put, int *fd, struct sov_error *err)
{
	enum sov_code rc = SOV_OK;

	*fd = -1;
	if (put)
		rc = repo_lock_file_shared(repo, "admin.lock", fd, err);
	if (rc != SOV_OK)
		return rc;
	follow_map(repo);
	pthread_rwlock_rdlock(&repo->priv->map_lock);
	return SOV_OK;
}

void
repo_map_release(struct sov_repo *repo, int fd)
{
	pthread_rwlock_unlock(&repo->priv->map_lock);
	if (fd >= 0)
		close(fd);
}
