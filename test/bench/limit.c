/*
 * limit.c - how fast this machine can do what a backup must do at least:
 * read files, zstd, AES-256-GCM, Reed-Solomon, write to n folders and fsync.
 *
 *     limit DIRECTORY JOBS K N OUT...        (N folders)
 *
 * No planning, hashing, manifest, checksums or names: just the work on the bytes,
 * with the same core functions, frame and pack size as the engine.  Prints
 * "bytes seconds cpu_seconds stored".
 */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "sov_ec.h"
#include "sov_run.h"

#define PACK ((size_t) 24 << 20)

static char **files;
static size_t n_files,
			cap_files;
static _Atomic size_t next_file;
static _Atomic uint64_t total,
			stored;
static _Atomic int pack_no;
static int	k,
			n;
static char **outs;

static int
see(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) ftw;
	if (type != FTW_F || st->st_size == 0 || strstr(path, "/pg_wal/") != NULL)
		return 0;
	if (n_files == cap_files)
		files = realloc(files, (cap_files = cap_files ? cap_files * 2 : 1024) * sizeof *files);
	files[n_files++] = strdup(path);
	return 0;
}

static void
write_pack(const uint8_t *pack, size_t len, uint8_t *parity)
{
	size_t		slen = sov_ec_shard_len(len, k);
	const uint8_t *data[SOV_EC_MAX];
	uint8_t    *par[SOV_EC_MAX];
	int			no = pack_no++;

	for (int i = 0; i < k; i++)
		data[i] = pack + slen * (size_t) i;
	for (int i = 0; i < n - k; i++)
		par[i] = parity + slen * (size_t) i;
	sov_ec_encode(k, n, slen, data, par);
	for (int i = 0; i < n; i++)
	{
		char		path[4096];
		int			fd;

		snprintf(path, sizeof path, "%s/%d", outs[i], no);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || write(fd, i < k ? data[i] : par[i - k], slen) != (ssize_t) slen || fsync(fd) != 0)
			exit(1);
		close(fd);
		stored += slen;
	}
}

static void *
worker(void *arg)
{
	uint8_t		key[32] = {7},
				nonce[12] = {0};
	struct sov_aead *aead = sov_aead_new(key, NULL);
	ZSTD_CCtx  *z = ZSTD_createCCtx();
	uint8_t    *block = malloc(SOV_FRAME_MAX),
			   *pack = malloc(PACK + SOV_FRAME_MAX * 2),
			   *parity = malloc(PACK * SOV_EC_MAX);
	size_t		len = 0,
				i;

	(void) arg;
	while ((i = next_file++) < n_files)
	{
		int			fd = open(files[i], O_RDONLY);
		ssize_t		got;

		while (fd >= 0 && (got = read(fd, block, SOV_FRAME_MAX)) > 0)
		{
			size_t		c = ZSTD_compressCCtx(z, pack + len, SOV_FRAME_MAX * 2, block, (size_t) got, 1);

			sov_aead_seal(aead, nonce, NULL, 0, pack + len, c, pack + len, pack + len + c, NULL);
			(*(uint64_t *) nonce)++;
			len += c + 16;
			total += (uint64_t) got;
			if (len >= PACK - SOV_FRAME_MAX)
			{
				write_pack(pack, len, parity);
				len = 0;
			}
		}
		close(fd);
	}
	if (len > 0)
		write_pack(pack, len, parity);
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t	threads[64];
	struct timespec a,
				b;
	struct rusage u;
	int			jobs;

	if (argc < 6)
		return 2;
	jobs = atoi(argv[2]);
	k = atoi(argv[3]);
	n = atoi(argv[4]);
	outs = argv + 5;
	nftw(argv[1], see, 64, FTW_PHYS);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < jobs; i++)
		pthread_create(&threads[i], NULL, worker, NULL);
	for (int i = 0; i < jobs; i++)
		pthread_join(threads[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	getrusage(RUSAGE_SELF, &u);
	printf("%llu %.3f %.3f %llu\n", (unsigned long long) total, (double) (b.tv_sec - a.tv_sec) + (double) (b.tv_nsec - a.tv_nsec) / 1e9,
		   (double) u.ru_utime.tv_sec + (double) u.ru_utime.tv_usec / 1e6 + (double) u.ru_stime.tv_sec + (double) u.ru_stime.tv_usec / 1e6,
		   (unsigned long long) stored);
	return 0;
}
