/*
 * cmd_wal_fetch.c - wal-fetch: restore_command; and wal-fetchd, which it starts.
 *
 * A segment that was fetched ahead is delivered without opening the repository
 * or asking a provider.  Any other file is fetched here and now; the rule of "not
 * found" (include/FORMATS.md) is applied in no other place.  After a segment was
 * delivered, wal-fetchd is started unless it runs: detached, without any of the
 * descriptors of restore_command, it fetches the following ones and ends by
 * itself (extension/core/wal/wal_prefetch.c).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli.h"
#include "sov_wal.h"

const char	cmd_wal_fetch_help[] =
	"pg_sovereign wal-fetch - bring one WAL file back\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-fetch [--without PROVIDER ...] NAME PATH\n\n"
	"For restore_command = 'pg_sovereign wal-fetch %f \"%p\"', which 'restore' sets.\n\n"
	"The segments that follow are fetched ahead in the background, up to fetch-spool in\n"
	"[repository] (default 256MB, 0: none).  They lie in the clear, as in the cluster's\n"
	"own pg_wal, in the state directory under fetched/, which only its owner may read,\n"
	"and are removed when they are delivered, or not asked for any more (20 seconds).\n"
	"With --without nothing is fetched ahead.\n\n"
	"Where the repository has WAL of several clusters (see upgrade), that of the data\n"
	"directory that it is called in is brought, as the server does; else the current one's.\n\n"
	"Exit status: 0 fetched; 1 it certainly does not exist; 126 anything else, so that\n"
	"the server stops recovery instead of taking it for the end of WAL.\n";

const char	cmd_wal_fetchd_help[] =
	"pg_sovereign wal-fetchd - fetches WAL ahead for wal-fetch\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] wal-fetchd DIRECTORY CLUSTER\n\n"
	"Started by wal-fetch; not to be run by hand.\n";

static const struct option fetch_options[] = {{"without", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
static const struct option no_options[] = {{NULL, 0, NULL, 0}};

/* --- wal-fetch --- */

/* The server calls restore_command in its data directory; pg_control begins with the
 * system identifier. */
static uint64_t
cluster_here(void)
{
	uint64_t	system_id = 0;
	int			fd = open(SOV_CONTROL_FILE, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, &system_id, sizeof system_id) != sizeof system_id)
		system_id = 0;
	if (fd >= 0)
		close(fd);
	return system_id;
}

/* From the providers. */
static enum sov_code
fetch(const struct cli_context *ctx, const char *const *without, int n_without, uint64_t cluster, const char *name, const char *dst, struct sov_error *err)
{
	struct sov_config cfg;
	struct sov_repo *repo = NULL;
	enum sov_code rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, err);

	if (rc == SOV_OK)
		rc = cli_without(&cfg, without, n_without, err);
	if (rc != SOV_OK)
		return rc;
	rc = sov_repo_open_brief(&cfg, cli_note_callback, NULL, &repo, err);
	/* A repository that is not there is no end of WAL. */
	if (rc == SOV_E_NOTFOUND)
		rc = err->code = SOV_E_STATE;
	if (rc == SOV_OK)
	{
		sov_repo_choose_cluster(repo, cluster);
		rc = sov_wal_fetch(repo, name, dst, err);
	}
	sov_repo_close(repo);
	return rc;
}

int
cmd_wal_fetch(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_wal_ahead ahead;
	struct sov_config cfg;
	struct sov_error err;
	enum sov_wal_kind kind;
	uint32_t	timeline;
	char		copy[PATH_MAX],
				number[24];
	uint64_t	cluster = cluster_here();
	const char *name,
			   *dst,
			   *target;
	const char *without[SOV_MAX_PROVIDERS];
	int			n_without = 0,
				c;
	bool		use;
	enum sov_code rc;

	while ((c = cli_getopt(argc, argv, "", fetch_options)) != -1)
	{
		if (c != 'w' || n_without == SOV_MAX_PROVIDERS)
			return cli_exit_code(SOV_E_USAGE);
		without[n_without++] = optarg;
	}
	if (argc - optind != 2)
		return cli_usage_error("wal-fetch", "say which file and where to: wal-fetch NAME PATH");
	name = argv[optind];
	dst = argv[optind + 1];
	snprintf(copy, sizeof copy, "%s", dst);
	target = dirname(copy);
	rc = sov_config_read(sov_config_path(ctx->config_option), 0, &cfg, &err);
	if (rc != SOV_OK)
		return cli_report(&err);
	use = n_without == 0 && sov_wal_name(name, &kind, &timeline) && kind == SOV_WAL_SEGMENT && sov_wal_ahead_init(&cfg, target, cluster, &ahead);
	if (!use || !sov_wal_ahead_take(&ahead, name, dst))
		rc = fetch(ctx, without, n_without, cluster, name, dst, &err);
	snprintf(number, sizeof number, "%" PRIu64, cluster);
	if (rc == SOV_OK && use && sov_wal_ahead_delivered(&ahead, name, dst))
		cli_detach(&cfg, "wal-fetchd", target, number);
	if (rc == SOV_E_NOTFOUND)
		return cli_exit_code(SOV_E_NOTFOUND);	/* the server asks for many that never were */
	return rc == SOV_OK ? 0 : cli_report(&err);
}

/* --- wal-fetchd --- */

int
cmd_wal_fetchd(int argc, char **argv, const struct cli_context *ctx)
{
	struct sov_wal_ahead ahead;
	struct sov_config cfg;
	struct sov_error err;
	enum sov_code rc;

	if (cli_getopt(argc, argv, "", no_options) != -1)
		return cli_exit_code(SOV_E_USAGE);
	if (argc - optind != 2)
		return cli_usage_error("wal-fetchd", "say which directory is restored into, and which cluster that is");
	rc = cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err);
	if (rc == SOV_OK && !sov_wal_ahead_init(&cfg, argv[optind], strtoull(argv[optind + 1], NULL, 10), &ahead))
		return 0;
	(void) prctl(PR_SET_NAME, "pg_sovereign");	/* not "exe" */
	if (rc == SOV_OK)
		rc = sov_wal_ahead_run(&ahead, &cfg, &err);
	return rc == SOV_OK ? 0 : cli_report(&err);
}
