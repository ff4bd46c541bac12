/*
 * testserver.h - a server that is none, for backups in unit tests: its data directory
 * is what the test puts there.
 */
#ifndef TESTSERVER_H
#define TESTSERVER_H

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "backup/backup_private.h"
#include "sov_restore.h"
#include "testrepo.h"

#define OLD 1700000000			/* seconds; before any backup */

static char data[200];
static uint32_t bad_reads;		/* so many times a page reads as bad */
static uint64_t bad_lsn;

static enum sov_code
start(void *ctx, const char *label, bool fast, struct sov_source_info *info, struct sov_error *e)
{
	(void) ctx, (void) label, (void) fast, (void) e;
	memset(info, 0, sizeof *info);
	info->system_id = 42;
	info->pg_version = 150000;
	info->block_size = 8192;
	info->wal_segment_size = 16 << 20;
	info->checksums = true;
	info->timeline = 1;
	info->start_lsn = info->redo_lsn = 0x3000000;
	info->n_databases = 2;
	info->databases = calloc(2, sizeof *info->databases);
	info->databases[0] = (struct sov_mf_database) {20000, "large"};
	info->databases[1] = (struct sov_mf_database) {20001, "other"};
	return SOV_OK;
}

static enum sov_code
stop(void *ctx, uint64_t *stop_lsn, struct sov_buf *label, struct sov_buf *map, struct sov_error *e)
{
	static const char text[] = "START WAL LOCATION: 0/3000000\nSTART TIMELINE: 1\n";

	(void) ctx, (void) map, (void) e;
	*stop_lsn = 0x3000100;
	sov_write_bytes(label, text, sizeof text - 1);
	return SOV_OK;
}

static bool
page_ok(void *ctx, const uint8_t *page, uint32_t block)
{
	(void) ctx, (void) block;
	return memcmp(page, "torn", 4) != 0 || bad_reads == 0 || (bad_reads--, false);
}

static uint64_t
page_lsn(void *ctx, const uint8_t *page)
{
	(void) ctx, (void) page;
	return bad_lsn;
}

static const struct sov_source source = {start, stop, page_ok, page_lsn, NULL};

static void
make_file(const char *path, const char *text, uint64_t size)
{
	char		full[400];
	const struct timespec times[2] = {{OLD, 0}, {OLD, 0}};
	int			fd;

	snprintf(full, sizeof full, "%s/%s", data, path);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || pwrite(fd, text, strlen(text), 0) < 0 || ftruncate(fd, (off_t) size) != 0 || futimens(fd, times) != 0)
		printf("# %s: cannot be made\n", full);
	if (fd >= 0)
		close(fd);
}

/* Bytes that do not compress, and holes after them. */
static void
make_bulk(const char *name, int mb, int size_mb)
{
	static uint8_t part[1 << 20];
	char		path[400];
	int			fd;

	snprintf(path, sizeof path, "%s/%s", data, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	for (int i = 0; i < mb && fd >= 0; i++)
		if (sov_random(part, sizeof part, NULL) != SOV_OK || write(fd, part, sizeof part) != (ssize_t) sizeof part)
			printf("# %s: cannot be made\n", path);
	if (fd >= 0 && ftruncate(fd, (off_t) size_mb << 20) != 0)
		printf("# %s: cannot be made\n", path);
	if (fd >= 0)
		close(fd);
}

#endif
