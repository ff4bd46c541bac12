/*
 * repo_unfinished.c - what was begun at providers and never finished: uploads in parts,
 * and temporaries, of processes that were killed.
 *
 * No list of objects shows them, and they are stored until somebody takes them back.
 * Those of a day ago are nobody's any more: a put takes as long as the provider's timeout
 * at most.
 */
#include <stdio.h>
#include <string.h>

#include "repo_private.h"

#define UNFINISHED_GRACE_US INT64_C(86400000000)

/* The name's next part is what the form asks for: # is 16 hexadecimal digits, $ the 32 of a
 * shard, * anything; all else stands for itself. */
static bool
has_form(const char *name, const char *form)
{
	for (; *form != '\0' && *form != '*'; form++)
	{
		const char *digits = *form == '#' ? "0123456789abcdef" : "abcdefghijklmnopqrstuvwxyz234567";
		size_t		n = *form == '#' ? 16 : *form == '$' ? 32 : 0;

		if (n == 0 ? *name != *form : strspn(name, digits) < n)
			return false;
		name += n == 0 ? 1 : n;
	}
	return *form == '*' || *name == '\0';
}

bool
repo_is_ours(const char *name)
{
	static const char *const forms[] = {SOV_IDENTITY_OBJECT, "p/$", "m/$", "w/$", "r/$", "a/#", "h/#/#", "k/#-#", SOV_SUBJECTS_PREFIX "##", "l/#/#", "l/#/beat", "c/#", "c/probe-#*"};

	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		if (has_form(name, forms[i]))
			return true;
	return false;
}

struct old
{
	int64_t		before_us;
	uint64_t	n;
};

static bool
is_old(void *ctx, const char *name, const struct sov_object_stat *st)
{
	struct old *o = ctx;
	bool		old = (name[0] == '+' || repo_is_ours(name)) && st->mtime_us > 0 && st->mtime_us < o->before_us;

	o->n += old;
	return old;
}

void
repo_sweep_old(struct sov_repo *repo)
{
	for (int i = 0; i < repo->n_providers; i++)
	{
		struct old	o = {.before_us = repo_now_us() - UNFINISHED_GRACE_US};
		struct sov_error err;
		enum sov_code rc;

		if (!repo->providers[i].known)
			continue;
		sov_error_clear(&err);
		rc = repo_sweep(repo, i, is_old, &o, &err);
		if (rc == SOV_OK && o.n > 0)
			repo_note(repo, "provider %s: %llu uploads that were begun over a day ago and never finished were taken back",
					  repo->providers[i].cfg->name, (unsigned long long) o.n);
		/* a host that may only add is not to be told so every time */
		else if (rc != SOV_OK && rc != SOV_E_UNSUPPORTED && !err.refused)
			repo_note(repo, "uploads that were begun and never finished may be left: %s", err.message);
	}
}
