/*
 * prune_lease.c - who may still refer to what is condemned.
 *
 * A lease is a stamp in a writer's head.  It is over when the writer clears it,
 * when nobody on this host holds the lock that goes with it, or when this host has
 * seen the same stamp for SOV_LEASE_US and a margin, by its boot clock: the
 * wall clock decides nothing.  What was seen when is kept in the file "leases" of
 * the state directory, lines "boot-id writer stamp seen-us".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prune_private.h"

#define MARGIN_US (INT64_C(15) * 60 * 1000000)

static void
boot_id(char dst[64])
{
	FILE	   *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	dst[0] = '\0';
	if (f == NULL || fscanf(f, "%63s", dst) != 1)
		snprintf(dst, 64, "unknown");
	if (f)
		fclose(f);
}

/* When this host saw the stamp first, in this boot; now when it did not. */
static int64_t
first_seen(const char *text, const char *boot, const struct sov_head *h, int64_t now)
{
	char		line_boot[64];
	uint64_t	writer,
				stamp;
	int64_t		seen;

	for (; text && *text; text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n'))
		if (sscanf(text, "%63s %" SCNx64 " %" SCNu64 " %" SCNd64, line_boot, &writer, &stamp, &seen) == 4 &&
			strcmp(line_boot, boot) == 0 && writer == h->writer && stamp == h->lease_us && seen <= now)
			return seen;
	return now;
}

/* Our own writer's lease goes with backup.lock: free, it is nobody's. */
static bool
own_and_free(struct sov_repo *repo, const struct sov_head *h)
{
	bool		have;
	int			fd;

	if (repo_load_writer(repo, &have, NULL) != SOV_OK || !have || h->writer != repo->priv->writer)
		return false;
	if (repo_try_lock_file(repo, "backup.lock", &fd, NULL) != SOV_OK)
		return false;
	close(fd);
	return true;
}

enum sov_code
prune_leases(struct prune *p, bool *unseen, bool *any, struct sov_error *err)
{
	struct sov_repo *repo = p->repo;
	char		path[1200],
				boot[64],
				line[200];
	struct sov_buf was = {0},
				is = {0};
	int64_t		now = repo_mono_us();
	enum sov_code rc = SOV_OK;

	*unseen = *any = false;
	boot_id(boot);
	snprintf(path, sizeof path, "%s/leases", repo->cfg.state_directory);
	(void) repo_read_file(path, &was, NULL);
	sov_write_u8(&was, 0);
	for (int i = 0; i < repo->n_heads; i++)
	{
		const struct sov_head *h = &repo->heads[i];
		int64_t		seen;

		if (h->lease_us == 0 || own_and_free(repo, h))
			continue;
		seen = first_seen(was.bad ? NULL : (char *) was.data, boot, h, now);
		snprintf(line, sizeof line, "%s %016" PRIx64 " %" PRIu64 " %" PRId64 "\n", boot, h->writer, h->lease_us, seen);
		sov_write_bytes(&is, line, strlen(line));
		if (now - seen > SOV_LEASE_US + MARGIN_US)
			continue;
		*any = true;
		if (h->lease_admin >= repo->admin.seq)
			continue;
		*unseen = true;
		snprintf(p->res->held_by, sizeof p->res->held_by, "writer %016" PRIx64 " (a backup that began before; its lease is over in %" PRId64 " min at the latest)",
				 h->writer, (SOV_LEASE_US + MARGIN_US - (now - seen)) / 60000000);
	}
	if (!p->opt->dry_run)
		rc = is.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : repo_write_file(path, is.data, is.len, err);
	sov_buf_free(&was);
	sov_buf_free(&is);
	return rc;
}
