/*
 * proven.c - when each provider was last seen to hold what it must.
 *
 * A verify that read bodies (deep, or a sample) of shards at a provider and found
 * nothing wrong there proves it.  Kept in the file "proven" of the state
 * directory, a line "provider-uuid time-us shards" each.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repo_private.h"
#include "sov_verify.h"

static void
proven_path(const struct sov_config *cfg, char *path, size_t cap)
{
	snprintf(path, cap, "%s/proven", cfg->state_directory);
}

/* Next line of the file; false at its end. */
static bool
next_line(char **at, char uuid[37], struct sov_proven *p)
{
	while (**at)
	{
		char	   *line = *at;
		size_t		n = strcspn(line, "\n");

		*at += n + (line[n] == '\n');
		if (sscanf(line, "%36s %" SCNd64 " %" SCNu64, uuid, &p->time_us, &p->shards) == 3)
			return true;
	}
	return false;
}

bool
sov_proven_read(const struct sov_config *cfg, const uint8_t provider[16], struct sov_proven *out)
{
	char		path[1200],
				uuid[37],
				want[37];
	struct sov_buf text = {0};
	struct sov_proven p;
	bool		found = false;
	char	   *at;

	proven_path(cfg, path, sizeof path);
	sov_uuid_text(want, provider);
	if (repo_read_file(path, &text, NULL) != SOV_OK)
		return false;
	sov_write_u8(&text, 0);
	for (at = text.bad ? NULL : (char *) text.data; at && !found && next_line(&at, uuid, &p);)
		found = strcmp(uuid, want) == 0;
	if (found)
		*out = p;
	sov_buf_free(&text);
	return found;
}

enum sov_code
proven_write(struct sov_repo *repo, const uint64_t *checked, const uint64_t *bad, struct sov_error *err)
{
	char		path[1200],
				uuid[37],
				line[100];
	struct sov_buf text = {0};
	enum sov_code rc;

	for (int i = 0; i < repo->n_providers; i++)
	{
		struct sov_proven p;

		if (!repo->providers[i].known)
			continue;
		if (checked[i] > 0 && bad[i] == 0)
			p = (struct sov_proven) {repo_now_us(), checked[i]};
		else if (!sov_proven_read(&repo->cfg, repo->providers[i].uuid, &p))
			continue;
		sov_uuid_text(uuid, repo->providers[i].uuid);
		snprintf(line, sizeof line, "%s %" PRId64 " %" PRIu64 "\n", uuid, p.time_us, p.shards);
		sov_write_bytes(&text, line, strlen(line));
	}
	proven_path(&repo->cfg, path, sizeof path);
	rc = text.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : repo_write_file(path, text.data, text.len, err);
	sov_buf_free(&text);
	return rc;
}
