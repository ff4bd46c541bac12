/*
 * memory.c - looks for keys in the memory of processes (as root).
 *
 * Usage: memory ROOT-KEY-FILE WRAPPED-KEK DATABASE-ID { NAME VERSION PURPOSE WRAPPED }... -- PID...
 * (binary values in hexadecimal, as the key tables have them).  Unwraps by itself what
 * the server unwraps, and prints for each process and each key that is found in it:
 * "PID KEY TIMES", "PID KEY dumped" where that is in memory which core dumps have, and
 * "PID KEY unlocked" where the process itself has not locked it.  A key is: root, KEK, NAME (the data key), NAME.rand and NAME.text
 * (what is derived from it); an expanded AES key begins with the key itself.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sov_bytes.h"
#include "sov_crypto.h"
#include "sov_text.h"

#define KEYS_MAX 64
#define CHUNK ((size_t) 4 << 20)

static struct
{
	char		name[80];
	uint8_t		key[32];
	int			found,
				dumped,
				unlocked;
}			keys[KEYS_MAX];
static int	n_keys;

static void
fail(const char *what)
{
	fprintf(stderr, "memory: %s\n", what);
	exit(2);
}

static uint8_t *
add(const char *name, const char *suffix)
{
	if (n_keys == KEYS_MAX)
		fail("too many keys");
	snprintf(keys[n_keys].name, sizeof keys[0].name, "%s%s", name, suffix);
	return keys[n_keys++].key;
}

static size_t
unhex(const char *text, uint8_t *dst, size_t cap)
{
	size_t		n = strlen(text) / 2;

	if (n > cap || !sov_unhex(dst, text, n))
		fail("a binary value is not hexadecimal");
	return n;
}

static void
read_root(const char *path)
{
	FILE	   *f = fopen(path, "r");
	char		line[200];
	uint8_t		key[64];

	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, "key ", 4) == 0 && EVP_DecodeBlock(key, (unsigned char *) line + 4, 44) == 33)
			memcpy(add("root", ""), key, 32);
	if (f)
		fclose(f);
	if (n_keys != 1)
		fail("no root key");
}

/* One data key or the equality key, and what is derived from it. */
static void
add_key(const uint8_t kek[32], const uint8_t db[16], char **arg)
{
	struct sov_aead *a = sov_aead_new(kek, NULL);
	struct sov_buf aad = {0};
	uint8_t		wrapped[60];
	uint8_t    *key = add(arg[0][0] ? arg[0] : "equality", "");
	static const char syn[] = "pg_sovereign K_syn v1\1";	/* with its NUL: text is base type 1 */

	sov_write_str(&aad, "pg_sovereign key v1");
	sov_write_str(&aad, "database");
	sov_write_bytes(&aad, db, 16);
	sov_write_str(&aad, arg[0]);
	sov_write_u32(&aad, (uint32_t) strtoul(arg[1], NULL, 10));
	sov_write_u8(&aad, (uint8_t) atoi(arg[2]));
	if (unhex(arg[3], wrapped, sizeof wrapped) != 60 || a == NULL ||
		sov_aead_open(a, wrapped, aad.data, aad.len, wrapped + 12, 32, wrapped + 44, key, NULL) != SOV_OK)
		fail("a key does not open");
	sov_aead_free(a);
	sov_buf_free(&aad);
	if (arg[0][0] == '\0')
		return;
	if (sov_hkdf(NULL, 0, key, 32, "pg_sovereign K_rand v1", 22, add(arg[0], ".rand"), 32, NULL) != SOV_OK ||
		sov_hkdf(NULL, 0, key, 32, syn, sizeof syn, add(arg[0], ".text"), 32, NULL) != SOV_OK)
		fail("no derivation");
}

static void
search(const uint8_t *mem, size_t len, bool dumped, bool unlocked)
{
	for (int i = 0; i < n_keys; i++)
	{
		const uint8_t *p = mem;

		/* half of it is as bad */
		while ((p = memmem(p, len - (size_t) (p - mem), keys[i].key, 16)) != NULL)
		{
			keys[i].found++;
			keys[i].dumped += dumped;
			keys[i].unlocked += unlocked;
			p++;
		}
	}
}

/* One mapping. */
static void
search_range(int fd, size_t from, size_t to, bool dumped, bool unlocked)
{
	static uint8_t mem[CHUNK];
	ssize_t		n;

	for (; from < to && (n = pread(fd, mem, to - from < CHUNK ? to - from : CHUNK, (off_t) from)) > 0;
		 from += (size_t) n > 32 && from + (size_t) n < to ? (size_t) n - 31 : (size_t) n)
		search(mem, (size_t) n, dumped, unlocked);
}

static void
search_process(int pid)
{
	char		path[64],
				line[512];
	FILE	   *maps;
	int			fd;
	size_t		from = 0,
				to = 0,
				a,
				b;

	snprintf(path, sizeof path, "/proc/%d/smaps", pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY);
	if ((maps == NULL || fd < 0) && kill(pid, 0) != 0)
		return;					/* it has ended */
	if (maps == NULL || fd < 0)
		fail("the memory of a process cannot be read");
	while (fgets(line, sizeof line, maps))
	{
		if (sscanf(line, "%zx-%zx ", &a, &b) == 2)
		{
			from = to = 0;
			if (sscanf(line, "%zx-%zx r", &a, &b) == 2 && strstr(line, " r") && !strstr(line, "[v"))
			{
				from = a;
				to = b;
			}
		}
		else if (strncmp(line, "VmFlags:", 8) == 0)
			search_range(fd, from, to, !strstr(line, " dd"), !strstr(line, " lo"));
	}
	for (int i = 0; i < n_keys; i++)
	{
		if (keys[i].found)
			printf("%d %s %d\n", pid, keys[i].name, keys[i].found);
		if (keys[i].dumped)
			printf("%d %s dumped\n", pid, keys[i].name);
		if (keys[i].unlocked)
			printf("%d %s unlocked\n", pid, keys[i].name);
		keys[i].found = keys[i].dumped = keys[i].unlocked = 0;
	}
	fclose(maps);
	close(fd);
}

int
main(int argc, char **argv)
{
	uint8_t		blob[SOV_KWP_MAX],
				kek[SOV_KWP_MAX],
				db[16];
	size_t		len;
	int			i = 4;

	if (argc < 5)
		fail("arguments are missing");
	read_root(argv[1]);
	len = unhex(argv[2], blob, sizeof blob);
	if (sov_kwp_unwrap(keys[0].key, blob, len, kek, &len, NULL) != SOV_OK || unhex(argv[3], db, 16) != 16)
		fail("the KEK does not open");
	memcpy(add("KEK", ""), kek, 32);
	for (; i + 4 < argc && strcmp(argv[i], "--") != 0; i += 4)
		add_key(kek, db, argv + i);
	while (++i < argc)
		search_process(atoi(argv[i]));
	return 0;
}
