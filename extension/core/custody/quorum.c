/*
 * quorum.c - splitting a root key among people, checking and joining their shares
 * (layouts: sov_quorum.h).
 *
 * A share is judged as it is given, by the salted hash that the record keeps of it: so
 * a wrong one is named, with its holder, before others are asked.  The record holds
 * nothing that helps to guess a share: shares are 32 random bytes.
 *
 * libgfshare works in memory of malloc.  Where that is the heap, the heap is locked
 * meanwhile; the library overwrites it before it frees it.
 */
#include "sov_quorum.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "crypto/shamir.h"

_Static_assert(SOV_QUORUM_SHARES == SHAMIR_MAX, "as many shares as can be made");

/* --- the heap, locked --- */

struct heap
{
	void	   *start;
	size_t		len;			/* 0: nothing is locked */
};

static enum sov_code
lock_heap(struct heap *h, struct sov_error *err)
{
	FILE	   *f = fopen("/proc/self/maps", "re");
	char		line[512];
	unsigned long from,
				to;
	enum sov_code rc = SOV_OK;

	h->len = 0;
	while (f != NULL && h->len == 0 && fgets(line, sizeof line, f) != NULL)
		if (strstr(line, "[heap]") != NULL && sscanf(line, "%lx-%lx", &from, &to) == 2)
		{
			h->start = (void *) from;
			h->len = to - from;
		}
	if (f != NULL)
		fclose(f);
	if (h->len > 0 && mlock(h->start, h->len) != 0)
	{
		rc = sov_fail_errno(err, errno, "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)", "could not lock %zu bytes of memory for a secret", h->len);
		h->len = 0;
	}
	return rc;
}

static void
unlock_heap(const struct heap *h)
{
	if (h->len > 0)
		(void) munlock(h->start, h->len);
}

/* --- shares --- */

static void
share_put(const struct sov_quorum *q, int number, const uint8_t value[32], uint8_t share[SOV_QUORUM_SHARE_LEN])
{
	share[0] = 1;
	memcpy(share + 1, q->set, 8);
	share[9] = (uint8_t) q->k;
	share[10] = (uint8_t) q->n;
	share[11] = (uint8_t) number;
	memcpy(share + 12, value, 32);
}

static enum sov_code
share_hash(const uint8_t salt[16], const uint8_t share[SOV_QUORUM_SHARE_LEN], uint8_t hash[32], struct sov_error *err)
{
	static const char label[] = "pg_sovereign quorum share v1";
	struct sov_span spans[3] = {{label, sizeof label - 1}, {salt, 16}, {share, SOV_QUORUM_SHARE_LEN}};

	return sov_sha256(spans, 3, hash, err);
}

char *
sov_quorum_holder(const struct sov_quorum *q, int number, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s (share %d)", q->holders[number - 1].name, number);
	return dst;
}

enum sov_code
sov_quorum_check(const struct sov_quorum *q, const uint8_t share[SOV_QUORUM_SHARE_LEN], int *number, struct sov_error *err)
{
	uint8_t		hash[32];
	char		set[17],
				theirs[17],
				who[SOV_QUORUM_NAME + 20];
	enum sov_code rc;

	if (share[0] != 1)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use the version of pg_sovereign that made it", "the share has another format than this version knows");
	sov_hex(set, q->set, 8);
	sov_hex(theirs, share + 1, 8);
	if (memcmp(share + 1, q->set, 8) != 0)
		return sov_fail(err, SOV_E_KEY, "look for the share that bears this ceremony's number, or name the other ceremony's record in [custody]",
						"this share is of another ceremony (number %s) than the record (number %s, of %.10s): shares of two ceremonies cannot be joined", theirs, set, q->made);
	if (share[11] < 1 || share[11] > q->n || share[9] != q->k || share[10] != q->n)
		return sov_fail(err, SOV_E_KEY, "compare it with the holder's other copy", "the share is damaged: it says that it is number %d, of %d of %d", share[11], share[9], share[10]);
	*number = share[11];
	rc = share_hash(q->holders[*number - 1].salt, share, hash, err);
	if (rc == SOV_OK && !sov_equal(hash, q->holders[*number - 1].hash, 32))
		rc = sov_fail(err, SOV_E_KEY, "compare it with the holder's other copy; the other holders' shares may do without it",
					  "the share of %s is not the one that was made in ceremony %s", sov_quorum_holder(q, *number, who, sizeof who), set);
	return rc;
}

enum sov_code
sov_quorum_join(const struct sov_quorum *q, const uint8_t shares[][SOV_QUORUM_SHARE_LEN], uint8_t root[32], struct sov_error *err)
{
	uint8_t		(*values)[32] = sov_secret_alloc(SHAMIR_MAX * 32, err);
	uint8_t		numbers[SHAMIR_MAX],
				check[32];
	struct heap heap;
	enum sov_code rc = values ? lock_heap(&heap, err) : SOV_E_NOMEM;

	if (rc == SOV_OK)
	{
		for (int i = 0; i < q->k; i++)
		{
			numbers[i] = shares[i][11];
			memcpy(values[i], shares[i] + 12, 32);
		}
		rc = shamir_value(numbers, values, q->k, 0, root, err);
		unlock_heap(&heap);
	}
	if (rc == SOV_OK)
		rc = sov_commit(root, "quorum", check, err);
	if (rc == SOV_OK && !sov_equal(check, q->check, 32))
		rc = sov_fail(err, SOV_E_CORRUPT, "bring the record back: every share's file begins with a copy of it", "the shares do not give the root key that the record tells of");
	if (rc != SOV_OK)
		sov_wipe(root, 32);
	sov_secret_free(values);
	return rc;
}

/* --- a ceremony --- */

static enum sov_code
check_request(const struct sov_quorum *q, struct sov_error *err)
{
	if (q->n < 2 || q->n > SOV_QUORUM_SHARES || q->k < 2 || q->k > q->n)
		return sov_fail(err, SOV_E_USAGE, "for example: --shares 5 --threshold 3", "a root key is split into 2 to %d shares, of which at least 2 are needed and not more than there are", SOV_QUORUM_SHARES);
	for (int i = 0; i < q->n; i++)
	{
		const char *name = q->holders[i].name;

		if (name[0] == '\0')
			return sov_fail(err, SOV_E_USAGE, "give --holder NAME once for each share", "share %d has no holder's name", i + 1);
		if (!sov_quorum_name(name))
			return sov_fail(err, SOV_E_USAGE, "write it in UTF-8, in fewer than 64 bytes", "the name of holder %d is not plain text", i + 1);
		for (int j = 0; j < i; j++)
			if (strcmp(name, q->holders[j].name) == 0)
				return sov_fail(err, SOV_E_USAGE, "one person with two shares is two holders in one", "two shares are for \"%s\"", name);
	}
	return SOV_OK;
}

/* The root key has been drawn. */
static enum sov_code
fill(struct sov_quorum *q, const uint8_t root[32], uint8_t values[][32], uint8_t shares[][SOV_QUORUM_SHARE_LEN], struct sov_error *err)
{
	time_t		now = time(NULL);
	struct tm	tm;
	struct heap heap;
	enum sov_code rc = sov_random(q->set, 8, err);

	strftime(q->made, sizeof q->made, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	if (rc == SOV_OK)
		rc = sov_commit(root, "quorum", q->check, err);
	if (rc == SOV_OK)
	{
		uint8_t		id[32];

		rc = sov_commit(root, "quorum-id", id, err);
		memcpy(q->root_id, id, 16);
		q->root_id[6] = (uint8_t) ((q->root_id[6] & 0x0f) | 0x80);	/* a version 8 UUID: derived */
		q->root_id[8] = (uint8_t) ((q->root_id[8] & 0x3f) | 0x80);
	}
	if (rc == SOV_OK)
		rc = lock_heap(&heap, err);
	if (rc == SOV_OK)
	{
		rc = shamir_split(root, q->k, q->n, values, err);
		unlock_heap(&heap);
	}
	for (int i = 0; rc == SOV_OK && i < q->n; i++)
	{
		share_put(q, i + 1, values[i], shares[i]);
		rc = sov_random(q->holders[i].salt, 16, err);
		if (rc == SOV_OK)
			rc = share_hash(q->holders[i].salt, shares[i], q->holders[i].hash, err);
	}
	return rc;
}

enum sov_code
sov_quorum_split(struct sov_quorum *q, uint8_t shares[][SOV_QUORUM_SHARE_LEN], struct sov_error *err)
{
	enum sov_code rc = check_request(q, err);
	uint8_t    *root;
	uint8_t		(*values)[32];

	if (rc != SOV_OK)
		return rc;
	root = sov_secret_alloc(SOV_KEY_LEN, err);
	values = sov_secret_alloc(SHAMIR_MAX * 32, err);
	rc = root && values ? sov_random(root, SOV_KEY_LEN, err) : SOV_E_NOMEM;
	if (rc == SOV_OK)
		rc = fill(q, root, values, shares, err);
	/* every share takes part in one of these */
	if (rc == SOV_OK)
		rc = sov_quorum_join(q, shares, root, err);
	for (int i = 1; rc == SOV_OK && i + q->k <= q->n; i++)
		rc = sov_quorum_join(q, shares + i, root, err);
	sov_secret_free(values);
	sov_secret_free(root);
	return rc;
}
