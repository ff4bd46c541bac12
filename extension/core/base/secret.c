/*
 * secret.c - locked, undumpable, wiped memory.
 *
 * Each allocation is one anonymous mapping: a header page part with the length,
 * then the caller's bytes.  Keys are few and long-lived, so a page each is
 * cheap and lets mlock and MADV_DONTDUMP be exact.
 */
#include "sov_secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SECRET_HEADER 64		/* keeps the caller's bytes aligned for AVX-512 */

static size_t
mapping_size(size_t len)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);

	return (len + SECRET_HEADER + page - 1) / page * page;
}

static void *
secret_map(size_t len, bool wipe_on_fork, struct sov_error *err)
{
	size_t		size = mapping_size(len);
	void	   *map;

	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
	{
		sov_fail_errno(err, errno, NULL, "could not get memory for a secret");
		return NULL;
	}
	if (mlock(map, size) != 0)
	{
		sov_fail_errno(err, errno, "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)",
					   "could not lock %zu bytes of memory for a secret", size);
		munmap(map, size);
		if (err)
			err->code = SOV_E_NOMEM;
		return NULL;
	}
	(void) madvise(map, size, MADV_DONTDUMP);
	if (wipe_on_fork && madvise(map, size, MADV_WIPEONFORK) != 0)
	{
		sov_fail_errno(err, errno, NULL, "could not keep a secret from child processes");
		munmap(map, size);
		return NULL;
	}
	*(size_t *) map = size;
	return (char *) map + SECRET_HEADER;
}

void *
sov_secret_alloc(size_t len, struct sov_error *err)
{
	return secret_map(len, false, err);
}

void *
sov_secret_alloc_nofork(size_t len, struct sov_error *err)
{
	return secret_map(len, true, err);
}

void
sov_secret_free(void *p)
{
	char	   *map;
	size_t		size;

	if (p == NULL)
		return;
	map = (char *) p - SECRET_HEADER;
	size = *(size_t *) map;
	if (size == 0)				/* wiped by a fork: its size is lost with it; one page leaks in the child */
		return;
	OPENSSL_cleanse(map, size);
	munlock(map, size);
	munmap(map, size);
}

void
sov_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

bool
sov_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
sov_secret_harden_process(void)
{
	struct rlimit none = {0, 0};

	(void) setrlimit(RLIMIT_CORE, &none);
	(void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* libcurl would write the secrets of its connections there */
	(void) unsetenv("SSLKEYLOGFILE");
}
