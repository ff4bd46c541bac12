/*
 * clusters.c - whose backups and WAL are in a repository: sov_repo.h.
 *
 * pg_upgrade makes a cluster with another system identifier, on timeline 1 again and
 * at positions that the one before may have used on another timeline or after a way
 * back.  So a later cluster's WAL is stored under its system identifier and the
 * server's name, marks count for the cluster of their head only, and which cluster is
 * the current one is the administrator's to say.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"

#define PREFIX 17				/* 16 hex digits and a colon */

uint64_t
sov_repo_current_cluster(const struct sov_repo *repo)
{
	if (repo->admin.n_clusters > 0)
		return repo->admin.clusters[repo->admin.n_clusters - 1].system_id;
	for (int i = 0; i < repo->n_heads; i++)
		if (repo->heads[i].system_id != 0)
			return repo->heads[i].system_id;
	return 0;
}

static uint64_t
meant(const struct sov_repo *repo, uint64_t system_id)
{
	return system_id ? system_id : repo->cluster ? repo->cluster : sov_repo_current_cluster(repo);
}

const struct sov_cluster *
sov_repo_cluster(const struct sov_repo *repo, uint64_t system_id)
{
	for (int i = 0; i < repo->admin.n_clusters; i++)
		if (repo->admin.clusters[i].system_id == system_id)
			return &repo->admin.clusters[i];
	return NULL;
}

void
sov_repo_choose_cluster(struct sov_repo *repo, uint64_t system_id)
{
	repo->cluster = sov_repo_cluster(repo, system_id) ? system_id : 0;
}

enum sov_code
sov_repo_check_system(const struct sov_repo *repo, uint64_t system_id, struct sov_error *err)
{
	uint64_t	ours = meant(repo, 0);

	if (ours == 0 || ours == system_id)
		return SOV_OK;
	if (sov_repo_cluster(repo, system_id) != NULL)
		return sov_fail(err, SOV_E_STATE, "stop the old server; to go back to it run 'pg_sovereign upgrade' with it",
						"the cluster with system identifier %" PRIu64 " was left: this repository goes on with %" PRIu64, system_id, ours);
	return sov_fail(err, SOV_E_STATE, "after pg_upgrade run 'pg_sovereign upgrade'; a cluster that is another one needs a repository of its own",
					"this repository belongs to the cluster with system identifier %" PRIu64 ", not to %" PRIu64, ours, system_id);
}

/* --- marks --- */

static void
take_further(const struct sov_mark *m, uint32_t timeline, struct sov_mark *out, bool *found)
{
	if (m->segment[0] == '\0' || (timeline != 0 && m->timeline != timeline))
		return;
	if (*found && (m->timeline < out->timeline || (m->timeline == out->timeline && m->lsn <= out->lsn)))
		return;
	*out = *m;
	*found = true;
}

bool
sov_repo_cluster_mark(const struct sov_repo *repo, uint64_t system_id, uint32_t timeline, struct sov_mark *out)
{
	const struct sov_cluster *c;
	bool		found = false;

	system_id = meant(repo, system_id);
	c = sov_repo_cluster(repo, system_id);
	for (int i = 0; i < repo->n_heads; i++)
		if (c == NULL || repo->heads[i].system_id == system_id)
			take_further(&repo->heads[i].mark, timeline, out, &found);
	if (c != NULL)
		take_further(&c->mark, timeline, out, &found);
	return found;
}

bool
sov_repo_mark(const struct sov_repo *repo, uint32_t timeline, struct sov_mark *out)
{
	return sov_repo_cluster_mark(repo, 0, timeline, out);
}

/* --- names --- */

void
sov_wal_object_id(const struct sov_repo *repo, uint64_t system_id, const char *name, char dst[SOV_WAL_ID_MAX])
{
	const struct sov_cluster *c = sov_repo_cluster(repo, meant(repo, system_id));

	if (c == NULL || c->plain)
		snprintf(dst, SOV_WAL_ID_MAX, "%.46s", name);
	else
		snprintf(dst, SOV_WAL_ID_MAX, "%016" PRIx64 ":%.46s", c->system_id, name);
}

const char *
sov_wal_file_name(const struct sov_repo *repo, const char *id, uint64_t *system_id)
{
	char	   *end;

	if (strlen(id) > PREFIX && id[PREFIX - 1] == ':')
	{
		*system_id = strtoull(id, &end, 16);
		return end == id + PREFIX - 1 ? id + PREFIX : id;
	}
	*system_id = 0;
	for (int i = 0; i < repo->admin.n_clusters; i++)
		if (repo->admin.clusters[i].plain)
			*system_id = repo->admin.clusters[i].system_id;
	return id;
}

/* --- another one --- */

/* The version of the last backup of a cluster, and the furthest that is stored of it. */
static enum sov_code
last_of(struct sov_repo *repo, uint64_t system_id, uint32_t *pg_version, uint64_t *lsn, struct sov_error *err)
{
	const struct sov_cluster *c = sov_repo_cluster(repo, system_id);
	struct sov_catalogue cat;
	struct sov_mark mark;
	enum sov_code rc = sov_repo_catalogue(repo, &cat, err);

	*pg_version = c ? c->pg_version : 0;
	*lsn = sov_repo_cluster_mark(repo, system_id, 0, &mark) ? mark.lsn : 0;
	if (rc != SOV_OK)
		return rc;
	for (uint32_t i = 0; i < cat.n; i++)
		if (cat.backups[i].system_id == system_id)
		{
			*pg_version = cat.backups[i].pg_version;
			*lsn = cat.backups[i].stop_lsn > *lsn ? cat.backups[i].stop_lsn : *lsn;
		}
	sov_catalogue_free(&cat);
	return SOV_OK;
}

static enum sov_code
check_descent(const struct sov_cluster_change *c, uint64_t lsn, struct sov_error *err)
{
	static const char hint[] = "see that [cluster] names the right server; where it is meant to go on with another one all the same, add --any";

	if (c->pg_version / 10000 < c->was_version / 10000)
		return sov_fail(err, SOV_E_STATE, hint, "this server is of PostgreSQL %u, the last backup of PostgreSQL %u: pg_upgrade does not go back",
						c->pg_version / 10000, c->was_version / 10000);
	if (c->lsn < lsn)
		return sov_fail(err, SOV_E_STATE, hint,
						"this server's WAL ends at %X/%X, before that of the repository's cluster, at %X/%X: pg_upgrade did not make it from that one",
						(unsigned) (c->lsn >> 32), (unsigned) c->lsn, (unsigned) (lsn >> 32), (unsigned) lsn);
	return SOV_OK;
}

/* In the administrator's next head. */
static enum sov_code
enter_cluster(void *ctx, struct sov_repo *repo, struct sov_admin_head *head, struct sov_error *err)
{
	const struct sov_cluster_change *change = ctx;
	struct sov_cluster next = {.system_id = change->system_id};
	struct sov_cluster *last;
	int			at = 0;

	if (head->n_clusters == 0)
		head->clusters[head->n_clusters++] = (struct sov_cluster) {.system_id = change->was, .plain = true};
	last = &head->clusters[head->n_clusters - 1];
	if (last->system_id != change->was)
		return sov_fail(err, SOV_E_STATE, "run it again", "another host has just changed the cluster of this repository");
	last->pg_version = change->was_version;
	(void) sov_repo_cluster_mark(repo, change->was, 0, &last->mark);
	while (at < head->n_clusters && head->clusters[at].system_id != change->system_id)
		at++;
	if (at < head->n_clusters)
	{
		next = head->clusters[at];
		memmove(&head->clusters[at], &head->clusters[at + 1], (size_t) (head->n_clusters - at - 1) * sizeof next);
		head->n_clusters--;
	}
	else if (head->n_clusters == SOV_CLUSTERS_MAX)
		return sov_fail(err, SOV_E_STATE, "begin a new repository", "a repository keeps %d clusters at most", SOV_CLUSTERS_MAX);
	next.pg_version = change->pg_version;
	next.since_us = (uint64_t) repo_now_us();
	head->clusters[head->n_clusters++] = next;
	return SOV_OK;
}

enum sov_code
sov_repo_take_cluster(struct sov_repo *repo, struct sov_cluster_change *change, struct sov_error *err)
{
	uint64_t	lsn;
	enum sov_code rc;

	change->was = sov_repo_current_cluster(repo);
	if (change->was == 0 || change->was == change->system_id)
		return sov_fail(err, SOV_E_EXISTS, NULL, change->was ? "the repository is of this cluster already" :
						"the repository has no backup and no WAL yet: it takes those of the first cluster that comes");
	rc = last_of(repo, change->was, &change->was_version, &lsn, err);
	if (rc == SOV_OK && !change->any && sov_repo_cluster(repo, change->system_id) == NULL)
		rc = check_descent(change, lsn, err);
	return rc == SOV_OK ? sov_repo_commit_admin(repo, enter_cluster, change, err) : rc;
}
