/*
 * testrepo.h - a repository over folders, for tests: configuration, opening,
 * committing.
 */
#ifndef TESTREPO_H
#define TESTREPO_H

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "repository/repo_private.h"
#include "tap.h"

static char base[128];
static char notes[65536];

static inline void
take_note(void *ctx, const char *message)
{
	(void) ctx;
	if (strlen(notes) + strlen(message) + 2 < sizeof notes)
	{
		strcat(notes, message);
		strcat(notes, "\n");
	}
}

static inline void __attribute__((format(printf, 1, 2)))
shell(const char *fmt, ...)
{
	char		cmd[2000];
	va_list		ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof cmd, fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		printf("# failed: %s\n", cmd);
}

/* Write the configuration with these provider names, each a folder of its name. */
static inline void
configure(struct sov_config *cfg, const char *const *names, const char *state_directory)
{
	char		path[300];
	struct sov_error err;
	FILE	   *f;
	int			n = 0;

	snprintf(path, sizeof path, "%s/conf", base);
	f = fopen(path, "w");
	while (names[n])
		n++;
	fprintf(f, "[repository]\nname = test\nneeded = 2\nshards = %d\nstate-directory = %s/%s\n[custody]\nroot = file:%s/root.key\n",
			n, base, state_directory, base);
	for (int i = 0; i < n; i++)
		fprintf(f, "[provider.%s]\ntype = folder\npath = %s/%s\n", names[i], base, names[i]);
	fclose(f);
	ok_rc(sov_config_read(path, SOV_NEED_REPOSITORY, cfg, &err), err, "configuration with %d providers", n);
}

static const char *const abc[] __attribute__((unused)) = {"a", "b", "c", NULL};

static inline struct sov_repo *
reopen(const struct sov_config *cfg)
{
	struct sov_repo *repo = NULL;
	struct sov_error err;

	notes[0] = '\0';
	if (sov_repo_open(cfg, take_note, NULL, &repo, &err) != SOV_OK)
		printf("# open: %s\n", err.message);
	return repo;
}

static inline enum sov_code
open_code(const struct sov_config *cfg, struct sov_error *err)
{
	struct sov_repo *repo = NULL;
	enum sov_code rc;

	notes[0] = '\0';
	rc = sov_repo_open(cfg, take_note, NULL, &repo, err);
	if (rc == SOV_OK)
		sov_repo_close(repo);
	return rc;
}

static inline enum sov_code
set_mark(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *err)
{
	(void) repo;
	(void) err;
	head->system_id = 42;
	head->mark.timeline = 1;
	head->mark.lsn = *(uint64_t *) ctx;
	strcpy(head->mark.segment, "000000010000000000000001");
	return SOV_OK;
}

static inline bool
mark_is(const struct sov_repo *repo, uint64_t lsn)
{
	struct sov_mark m;

	return sov_repo_mark(repo, 1, &m) && m.lsn == lsn;
}

/* Is WAL that is put held by so many providers, and the spool so often? */
static inline bool
wal_is_held(struct sov_repo *repo, const char *name, int holders, int spooled)
{
	static const uint8_t payload[5000];
	struct sov_run *run = NULL;
	struct sov_put_result res = {0};
	struct sov_error why;
	uint8_t		content[32] = {1};
	enum sov_code rc = sov_repo_run_begin(repo, &run, &why);

	if (rc == SOV_OK)
		rc = sov_repo_put_stream(repo, run, SOV_CLASS_WAL, name, 1, payload, sizeof payload, false, content, 0, NULL, &res, &why);
	sov_run_free(run);
	if (rc == SOV_OK && res.holders == holders && res.spooled == spooled)
		return true;
	printf("# %d holders, %d spooled: %s\n", res.holders, res.spooled, rc == SOV_OK ? "" : why.message);
	return false;
}

#endif
