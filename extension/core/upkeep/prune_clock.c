/*
 * prune_clock.c - when an object was written, whatever the clocks say.
 *
 * What is of no backup is swept by its age, and the newest of it is what somebody has
 * just begun: a run of WAL, say, in which the first segment is not stored yet.
 */
#include "prune_private.h"

uint64_t
prune_written_us(struct prune *p, int provider, int64_t mtime_us)
{
	int64_t		written;

	if (!p->clock_known[provider])
	{
		p->clock_diff[provider] = p->opt->dry_run ? 0 : repo_clock_diff(p->repo, provider);
		p->clock_known[provider] = true;
	}
	written = mtime_us - p->clock_diff[provider];
	return written > 0 ? (uint64_t) written : 1;
}
