/*
 * audit_prune.c - retention of the audit log.
 */
#include <stdlib.h>

#include "audit_chains.h"
#include "sov_verify.h"

/* As backups do, the log ages by what is written: a clock that is ahead of every head
 * deletes nothing. */
static uint64_t
present_us(const struct sov_repo *repo)
{
	uint64_t	now = (uint64_t) repo_now_us(),
				newest = 0;

	for (int i = 0; i < repo->n_heads; i++)
		if (repo->heads[i].time_us > newest)
			newest = repo->heads[i].time_us;
	return newest > 0 && newest < now ? newest : now;
}

/* A batch goes when the one after it says that it is old enough. */
static void
prune_chain(struct verify *v, size_t from, size_t to, bool dry_run, uint64_t *n)
{
	uint64_t	keep = (uint64_t) v->repo->cfg.audit_days * DAY_US,
				now = present_us(v->repo);
	char		name[SOV_NAME_MAX];

	for (size_t i = from; i + 1 < to; i++)
	{
		struct sov_audit_batch next;
		struct sov_buf raw = {0};
		bool		old;

		if (v->places[i].batch == 0)
			continue;
		audit_batch_name(v->places[i + 1].chain, v->places[i + 1].batch, name);
		old = v->places[i + 1].batch == v->places[i].batch + 1 && sov_whole_read(v->repo, name, &raw, NULL) == SOV_OK &&
			sov_audit_batch_decode(v->repo->keys, raw.data, raw.len, &next, NULL) == SOV_OK;
		sov_buf_free(&raw);
		if (!old)
			return;
		old = next.prev_us + keep < now;
		sov_audit_batch_free(&next);
		if (!old)
			return;
		audit_batch_name(v->places[i].chain, v->places[i].batch, name);
		for (int p = 0; p < v->repo->n_providers && !dry_run; p++)
			if (v->places[i].holders & 1u << p)
				(void) repo_remove(v->repo, p, name, NULL);
		(*n)++;
	}
}

enum sov_code
sov_audit_prune(struct sov_repo *repo, bool dry_run, uint64_t *n, struct sov_error *err)
{
	static const struct sov_audit_verify_options none;
	struct sov_audit_verify_result res = {0};
	struct verify *v = calloc(1, sizeof *v);
	enum sov_code rc;

	*n = 0;
	if (v == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	v->repo = repo;
	v->opt = &none;
	v->res = &res;
	rc = audit_list_all(v, err);
	for (size_t i = 0, j; rc == SOV_OK && i < v->n; i = j)
	{
		for (j = i + 1; j < v->n && v->places[j].chain == v->places[i].chain; j++)
			;
		prune_chain(v, i, j, dry_run, n);
	}
	free(v->places);
	free(v);
	return rc;
}
