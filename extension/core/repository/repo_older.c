/*
 * repo_older.c - older versions of objects, at providers that keep them.
 *
 * Object lock and versions protect what was put, not the name: whoever holds a host's
 * credentials can put something else under it, or hide it behind a removal.  Where the
 * others do not suffice, readers go back to the newest version that verifies.
 */
#include "repo_private.h"

#define OLDER_MAX 16			/* versions of one object that are tried */

bool
repo_older(struct sov_repo *repo, int provider, const char *name, repo_check_fn check, void *ctx, struct sov_buf *raw)
{
	struct sov_error err;

	for (int age = 0; age < OLDER_MAX && provider >= 0 && repo->providers[provider].known; age++)
	{
		raw->len = 0;
		if (repo_get_older(repo, provider, name, age, raw, &err) != SOV_OK)
			break;
		if (check(ctx, raw, &err) != SOV_OK)
			continue;
		repo_note(repo, "provider %s: object %s was overwritten or hidden there; too few others are left, and an older version of it serves",
				  repo->providers[provider].cfg->name, name);
		return true;
	}
	raw->len = 0;
	return false;
}

bool
repo_older_at(struct sov_repo *repo, const struct repo_place *place, repo_check_fn check, void *ctx, struct sov_buf *raw)
{
	return repo_older(repo, place->now, place->name_now, check, ctx, raw) ||
		(place->name_before[0] != '\0' && repo_older(repo, place->before, place->name_before, check, ctx, raw));
}
