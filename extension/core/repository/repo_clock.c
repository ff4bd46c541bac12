/*
 * repo_clock.c - the clocks of the providers.
 *
 * A provider dates objects by its own clock, and that or this host's may be wrong, by an hour
 * or by a year.  So each is asked for it with a small object (class c, of trials) that is put,
 * looked at and removed.
 */
#include <stdio.h>

#include "repo_private.h"

#define SAME_US 5000000			/* a difference of seconds is none */

int64_t
repo_clock_diff(struct sov_repo *repo, int provider)
{
	uint8_t		bytes[8];
	char		id[17],
				name[SOV_NAME_MAX];
	struct sov_put_span span = {bytes, sizeof bytes};
	struct sov_object_stat st = {0};
	int64_t		before = repo_now_us(),
				diff;

	if (sov_random(bytes, sizeof bytes, NULL) != SOV_OK)
		return 0;
	sov_hex(id, bytes, sizeof bytes);
	snprintf(name, sizeof name, "c/%s", id);
	if (repo_put(repo, provider, name, &span, 1, true, NULL) != SOV_OK)
		return 0;
	if (repo_stat(repo, provider, name, &st, NULL) != SOV_OK)
		st.mtime_us = 0;
	diff = st.mtime_us - (before + repo_now_us()) / 2;
	(void) repo_remove(repo, provider, name, NULL);
	return st.mtime_us <= 0 || (diff > -SAME_US && diff < SAME_US) ? 0 : diff;
}
