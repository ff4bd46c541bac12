/*
 * drill_programs.c - whether the server's programs can start what a drill restores: a
 * data directory is of one major version, and the restore may take hours.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "drill.h"

/* The major version that "postgres --version" prints behind the maker's name, which
 * stands in parentheses; 0: no number there. */
static unsigned
printed_version(const char *line)
{
	const char *p = strstr(line, ") ");

	return p ? (unsigned) strtoul(p + 2, NULL, 10) : 0;
}

enum sov_code
drill_check_programs(void *ctx, const struct sov_backup_entry *entry, struct sov_error *err)
{
	struct drill *d = ctx;
	char		path[PATH_MAX],
				log[PATH_MAX],
				line[400];
	const char *const argv[] = {path, "--version", NULL};
	unsigned	wanted = entry->pg_version / 10000,
				there;
	int			status;

	snprintf(path, sizeof path, "%.2000s/postgres", d->bin);
	snprintf(log, sizeof log, "%.2000s/version.log", d->dir);
	status = child_run(argv, log, d->timeout);
	if (cli_cancelled(NULL))
		return sov_fail(err, SOV_E_CANCELLED, NULL, "the drill was cancelled");
	child_tail(log, line, sizeof line);
	if (status != 0)
		return sov_fail(err, SOV_E_CONFIG, "say where the server's programs are: --bin-directory",
						"%s could not be run%s%s; nothing was restored", path, line[0] ? ": " : "", line);
	there = printed_version(line);
	if (there == 0 || wanted == 0 || there == wanted)
		return SOV_OK;
	return sov_fail(err, SOV_E_CONFIG, "install that version's server and name the directory of its programs with --bin-directory",
					"backup %s needs the programs of PostgreSQL %u, %s has those of PostgreSQL %u; nothing was restored", entry->id, wanted, d->bin, there);
}
