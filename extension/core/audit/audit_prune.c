/*
 * audit_prune.c - retention of the audit log.
 */
#include <stdlib.h>

#include "audit_chains.h"
#include "sov_verify.h"

struct pruning
{
	struct verify *v;
	bool		dry_run;
	uint64_t	now;
	bool		asked;			/* the providers, for their clocks */
	uint64_t   *n;
};

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

/* A host whose clock is ahead writes heads of that time too.  So before anything goes, the
 * providers say what time it is, and the earliest counts. */
static void
ask_providers(struct pruning *p)
{
	struct sov_repo *repo = p->v->repo;
	int64_t		now = repo_now_us(),
				there = now;
	int			who = -1;

	p->asked = true;
	for (int i = 0; i < repo->n_providers && !p->dry_run; i++)
	{
		int64_t		diff = p->v->asked & 1u << i ? repo_clock_diff(repo, i) : 0;

		if (now + diff < there)
		{
			there = now + diff;
			who = i;
		}
	}
	if (there < (int64_t) p->now)
		p->now = there > 0 ? (uint64_t) there : 0;
	if (there < now - 3600 * INT64_C(1000000))
		repo_note(repo, "the clock of provider %s is %lld h behind this host's, and one of them is wrong: the audit log ages by the earlier one",
				  repo->providers[who].cfg->name, (long long) ((now - there) / 3600000000));
}

static bool
is_old(struct pruning *p, uint64_t time_us)
{
	uint64_t	keep = (uint64_t) p->v->repo->cfg.audit_days * DAY_US;

	if (time_us + keep < p->now && !p->asked)
		ask_providers(p);
	return time_us + keep < p->now;
}

/* A batch goes when the one after it says that it is old enough. */
static void
prune_chain(struct pruning *p, size_t from, size_t to)
{
	struct verify *v = p->v;
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
		old = is_old(p, next.prev_us);
		sov_audit_batch_free(&next);
		if (!old)
			return;
		audit_batch_name(v->places[i].chain, v->places[i].batch, name);
		for (int at = 0; at < v->repo->n_providers && !p->dry_run; at++)
			if (v->places[i].holders & 1u << at)
				(void) repo_remove(v->repo, at, name, NULL);
		(*p->n)++;
	}
}

enum sov_code
sov_audit_prune(struct sov_repo *repo, bool dry_run, uint64_t *n, struct sov_error *err)
{
	static const struct sov_audit_verify_options none;
	struct sov_audit_verify_result res = {0};
	struct verify *v = calloc(1, sizeof *v);
	struct pruning p = {.v = v, .dry_run = dry_run, .now = present_us(repo), .n = n};
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
		prune_chain(&p, i, j);
	}
	free(v->places);
	free(v);
	return rc;
}
