/*
 * prune_clock.c - when an object was written, whatever the clocks say.
 *
 * What is of no backup is swept by its age, and the newest of it is what somebody has
 * just begun: a run of WAL, say, in which the first segment is not stored yet.  A
 * provider dates objects by its own clock, and either clock may be wrong, by an hour or by
 * a year.  So each provider is asked for its clock, with a small object (class c, of
 * trials) that is put, looked at and removed; a difference of seconds is none.
 */
#include <stdio.h>

#include "prune_private.h"

#define SAME_US 5000000

/* The provider's clock less this host's, 0 when it does not tell. */
static int64_t
measure(struct prune *p, int provider)
{
	uint8_t		bytes[8];
	char		id[17],
				name[SOV_NAME_MAX];
	struct sov_put_span span = {bytes, sizeof bytes};
	struct sov_object_stat st = {0};
	int64_t		before = repo_now_us(),
				diff;

	if (p->opt->dry_run || sov_random(bytes, sizeof bytes, NULL) != SOV_OK)
		return 0;
	sov_hex(id, bytes, sizeof bytes);
	snprintf(name, sizeof name, "c/%s", id);
	if (repo_put(p->repo, provider, name, &span, 1, true, NULL) != SOV_OK)
		return 0;
	if (repo_stat(p->repo, provider, name, &st, NULL) != SOV_OK)
		st.mtime_us = 0;
	diff = st.mtime_us - (before + repo_now_us()) / 2;
	(void) repo_remove(p->repo, provider, name, NULL);
	return st.mtime_us <= 0 || (diff > -SAME_US && diff < SAME_US) ? 0 : diff;
}

uint64_t
prune_written_us(struct prune *p, int provider, int64_t mtime_us)
{
	int64_t		written;

	if (!p->clock_known[provider])
	{
		p->clock_diff[provider] = measure(p, provider);
		p->clock_known[provider] = true;
	}
	written = mtime_us - p->clock_diff[provider];
	return written > 0 ? (uint64_t) written : 1;
}
