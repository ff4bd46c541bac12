/*
 * repo_map.c - following the provider map while others change it.
 *
 * A put by an old map would leave a shard at a provider that is being left, where
 * nobody looks for it later.  So a put holds the host's administrator lock shared
 * while it is under way, an administrator's commit holds it alone, and every
 * request looks first whether the local copy of the newest administrator's head
 * ("admin" in the state directory) has been replaced.  On other hosts "repair"
 * finds what was put by an old map.
 *
 * While k or n change there are two maps, each of a generation of its own: new
 * shards are put by the newer one, and what is not found by it is looked for by
 * the older one.
 */
#include <stdio.h>
#include <string.h>
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

const struct sov_map *
repo_map_of(const struct sov_repo *repo, uint32_t generation)
{
	if (repo->admin.map.generation == generation)
		return &repo->admin.map;
	return repo->admin.was.n > 0 && repo->admin.was.generation == generation ? &repo->admin.was : NULL;
}

bool
repo_map_renew(struct sov_repo *repo)
{
	uint64_t	before;
	bool		newer;

	pthread_mutex_lock(&repo->priv->map_check);
	pthread_rwlock_wrlock(&repo->priv->map_lock);
	before = repo->admin.seq;
	newer = repo_read_admin(repo, NULL) == SOV_OK && repo->admin.seq > before;
	if (newer)
		(void) repo_read_identities(repo, NULL);
	pthread_rwlock_unlock(&repo->priv->map_lock);
	pthread_mutex_unlock(&repo->priv->map_check);
	return newer;
}

uint8_t
repo_needed(const struct sov_map *map, uint8_t class_, const char *id)
{
	size_t		n = strlen(id);

	return class_ == SOV_CLASS_WAL && n > 8 && strcmp(id + n - 8, ".history") == 0 ? 1 : map->k;
}

bool
repo_in_map(const struct sov_map *map, const uint8_t uuid[16])
{
	for (int p = 0; p < map->n; p++)
		if (memcmp(map->pos[p].uuid, uuid, 16) == 0 ||
			(map->pos[p].prev_alias[0] != '\0' && memcmp(map->pos[p].prev_uuid, uuid, 16) == 0))
			return true;
	return false;
}

bool
repo_takes_part(const struct sov_repo *repo, int provider)
{
	const struct sov_repo_provider *rp = &repo->providers[provider];

	return rp->known && (repo_in_map(&repo->admin.map, rp->uuid) || repo_in_map(&repo->admin.was, rp->uuid));
}
