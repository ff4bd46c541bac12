/*
 * testkeys.h - keys for the tests of the formats: fixed ones, so that committed
 * fuzz corpora keep opening, and a custodian in memory.
 */
#ifndef TESTKEYS_H
#define TESTKEYS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sov_keyring.h"

/* All keys of a repository, derived from one byte. */
static inline struct sov_repo_keys *
test_keys(uint8_t which)
{
	struct sov_repo_keys *k = sov_secret_alloc(sizeof *k, NULL);
	uint8_t    *const field[] = {k->k_name, k->k_outer, k->k_verify, k->k_meta, k->k_map,
		k->k_salt, k->k_content, k->controller_seed, k->admin_seed};

	memset(k->repo, which, 16);
	strcpy(k->repo_name, "test");
	for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
		memset(field[i], which + 16 * (int) (i + 1), 32);
	k->outer_version = 7;
	k->content_version = 8;
	k->has_content = true;
	k->keyring_seq = 1;
	k->outer = sov_aead_new(k->k_outer, NULL);
	k->meta = sov_aead_new(k->k_meta, NULL);
	k->map = sov_aead_new(k->k_map, NULL);
	if (!k->outer || !k->meta || !k->map ||
		sov_sign_public(k->controller_seed, k->controller_pub, NULL) != SOV_OK ||
		sov_sign_public(k->admin_seed, k->admin_pub, NULL) != SOV_OK)
	{
		printf("Bail out! no keys\n");
		exit(1);
	}
	return k;
}

/* --- a custodian in memory: root key and id are one byte, repeated --- */

struct test_custodian
{
	struct sov_custodian base;	/* first */
	uint8_t		root[32];
	int			unwrapped;		/* how often */
};

static inline enum sov_code
test_wrap(struct sov_custodian *c, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *len, struct sov_error *err)
{
	return sov_kwp_wrap(((struct test_custodian *) c)->root, key, 32, blob, len, err);
}

static inline enum sov_code
test_unwrap(struct sov_custodian *c, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	uint8_t		out[SOV_KWP_MAX];
	size_t		len = 0;

	((struct test_custodian *) c)->unwrapped++;
	if (sov_kwp_unwrap(((struct test_custodian *) c)->root, blob, blob_len, out, &len, err) != SOV_OK || len != 32)
		return sov_fail(err, SOV_E_KEY, NULL, "not wrapped under this root key");
	memcpy(key, out, 32);
	return SOV_OK;
}

static inline void
test_describe(struct sov_custodian *c, char *dst, size_t cap)
{
	snprintf(dst, cap, "memory, root %02x", c->root_id[0]);
}

static inline void
test_close(struct sov_custodian *c)
{
	(void) c;
}

static const struct sov_custodian_ops test_ops = {"test", NULL, test_wrap, test_unwrap, test_describe, test_close};

static inline struct sov_custodian *
test_custodian(struct test_custodian *c, uint8_t which)
{
	memset(c, 0, sizeof *c);
	c->base.ops = &test_ops;
	memset(c->base.root_id, which, 16);
	memset(c->root, which, 32);
	return &c->base;
}

#endif
