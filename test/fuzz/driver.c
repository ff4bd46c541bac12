/*
 * driver.c - runs a fuzz target without libFuzzer: every file of the corpus
 * folders given, then N deterministic mutations of each (argument -n N).
 *
 * With clang, "make fuzz" links the same targets with libFuzzer instead.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t rng = 0x9e3779b97f4a7c15u;

static uint64_t
next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void
run_one(const uint8_t *data, size_t len)
{
	uint8_t    *copy = malloc(len ? len : 1);	/* exact size: overruns show */

	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void
mutate(const uint8_t *data, size_t len, long rounds)
{
	uint8_t    *buf = malloc(len + 64);

	for (long i = 0; i < rounds; i++)
	{
		size_t		n = len;
		int			edits = 1 + (int) (next_random() % 4);

		memcpy(buf, data, len);
		for (int e = 0; e < edits && n > 0; e++)
		{
			size_t		at = next_random() % n;

			switch (next_random() % 5)
			{
				case 0:
					buf[at] ^= (uint8_t) (1u << next_random() % 8);
					break;
				case 1:
					buf[at] = (uint8_t) next_random();
					break;
				case 2:
					n = at;
					break;
				case 3:
					memset(buf + at, 0xff, n - at < 4 ? n - at : 4);
					break;
				case 4:
					if (n < len + 60)
						buf[n++] = (uint8_t) next_random();
					break;
			}
		}
		run_one(buf, n);
	}
	free(buf);
}

static long
run_file(const char *path, long rounds)
{
	FILE	   *f = fopen(path, "rb");
	uint8_t    *buf;
	long		len;

	if (f == NULL)
		return 0;
	fseek(f, 0, SEEK_END);
	len = ftell(f);
	rewind(f);
	buf = malloc((size_t) len + 1);
	len = (long) fread(buf, 1, (size_t) len, f);
	fclose(f);
	run_one(buf, (size_t) len);
	mutate(buf, (size_t) len, rounds);
	free(buf);
	return 1 + rounds;
}

int
main(int argc, char **argv)
{
	long		rounds = 2000,
				total = 0;

	for (int i = 1; i < argc; i++)
	{
		DIR		   *dir;
		struct dirent *e;

		if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
		{
			rounds = atol(argv[++i]);
			continue;
		}
		dir = opendir(argv[i]);
		if (dir == NULL)
		{
			fprintf(stderr, "no corpus %s\n", argv[i]);
			return 1;
		}
		while ((e = readdir(dir)) != NULL)
		{
			char		path[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
			total += run_file(path, rounds);
		}
		closedir(dir);
	}
	printf("%s 1 - %ld inputs without a fault\n1..1\n", total > 0 ? "ok" : "not ok", total);
	return total > 0 ? 0 : 1;
}
