/*
 * many_backups - makes COUNT backups of a cluster that is none:
 * many_backups CONFIG COUNT SYSTEM-ID DIRECTORY.  The repository is there (init); the
 * data directory is made, and one of its files changes from backup to backup.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sov_backup.h"

static uint64_t system_id;
static uint64_t lsn = UINT64_C(0x100000000);

static void
fail(const char *what)
{
	fprintf(stderr, "many_backups: %s\n", what);
	exit(1);
}

static enum sov_code
start(void *ctx, const char *label, bool fast, struct sov_source_info *info, struct sov_error *err)
{
	lsn += 0x1000000;
	*info = (struct sov_source_info) {.system_id = system_id, .pg_version = 150000, .block_size = 8192, .wal_segment_size = 16 << 20,
		.checksums = true, .timeline = 1, .start_lsn = lsn, .redo_lsn = lsn};
	return SOV_OK;
}

static enum sov_code
stop(void *ctx, uint64_t *stop_lsn, struct sov_buf *label, struct sov_buf *map, struct sov_error *err)
{
	static const char text[] = "START WAL LOCATION: 1/0\nSTART TIMELINE: 1\n";

	*stop_lsn = lsn + 0x100;
	sov_write_bytes(label, text, sizeof text - 1);
	return SOV_OK;
}

static bool
page_ok(void *ctx, const uint8_t *page, uint32_t block)
{
	return true;
}

static uint64_t
page_lsn(void *ctx, const uint8_t *page)
{
	return 0;
}

static void
make_file(const char *dir, const char *name, long what, off_t size)
{
	char		path[500];
	int			fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (fd < 0 || pwrite(fd, &what, sizeof what, 0) != sizeof what || ftruncate(fd, size) != 0)
		fail(path);
	close(fd);
}

int
main(int argc, char **argv)
{
	static struct sov_config cfg;
	const struct sov_source source = {start, stop, page_ok, page_lsn, NULL};
	struct sov_repo *repo;
	struct sov_error err;
	char		path[500];

	if (argc != 5)
		return fprintf(stderr, "usage: many_backups CONFIG COUNT SYSTEM-ID DIRECTORY\n"), 2;
	system_id = strtoull(argv[3], NULL, 10);
	for (const char *const *sub = (const char *const[]) {"", "/global", "/base", "/base/1", NULL}; *sub; sub++)
	{
		snprintf(path, sizeof path, "%s%s", argv[4], *sub);
		if (mkdir(path, 0700) != 0)
			fail(path);
	}
	make_file(argv[4], "PG_VERSION", 1, 3);
	make_file(argv[4], "global/pg_control", 1, 8192);
	if (sov_config_read(argv[1], SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK || sov_repo_open(&cfg, NULL, NULL, &repo, &err) != SOV_OK)
		fail(err.message);
	for (long i = 0; i < atol(argv[2]); i++)
	{
		const struct sov_backup_options opt = {.data_directory = argv[4], .label = "nightly", .jobs = 1};
		struct sov_backup_result res;

		make_file(argv[4], "base/1/1000", i, 65536);
		if (sov_backup_run(repo, &source, &opt, NULL, &res, &err) != SOV_OK)
			fail(err.message);
	}
	sov_repo_close(repo);
	return 0;
}
