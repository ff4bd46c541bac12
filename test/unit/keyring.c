/*
 * keyring - making, opening, and refusing a keyring object.
 */
#include <string.h>

#include "testkeys.h"
#include "tap.h"

static struct test_custodian ours,
			theirs;
static struct sov_error err;
static struct sov_buf object;

static enum sov_code
open_code(struct test_custodian *c, const uint8_t *p, size_t len)
{
	struct sov_repo_keys *keys = NULL;
	enum sov_code rc;
	uint8_t    *copy = malloc(len ? len : 1);

	memcpy(copy, p, len);
	sov_error_clear(&err);
	rc = sov_keyring_open(&c->base, copy, len, &keys, &err);
	sov_repo_keys_free(keys);
	free(copy);
	return rc;
}

static void
round_trip(void)
{
	struct sov_repo_keys *a = NULL,
			   *b = NULL;
	struct sov_span span;
	uint8_t		hash[32];
	char		name[SOV_NAME_MAX];
	int			same = 0,
				zero = 0;

	ok_rc(sov_keyring_create(&ours.base, NULL, "clinic", &a, &object, &err), err, "a keyring is made");
	ok_rc(sov_keyring_open(&ours.base, object.data, object.len, &b, &err), err, "and opened");
	ok(memcmp(a, b, offsetof(struct sov_repo_keys, outer)) == 0 && a->keyring_seq == b->keyring_seq &&
	   memcmp(a->keyring_hash, b->keyring_hash, 32) == 0, "with the same keys, ids and hash");
	span = (struct sov_span) {object.data, object.len};
	ok(sov_sha256(&span, 1, hash, &err) == SOV_OK && memcmp(hash, a->keyring_hash, 32) == 0, "the hash is of the object");
	sov_keyring_object_name(a->keyring_seq, hash, name);
	ok(strlen(name) == 35 && strncmp(name, "k/0000000000000001-", 19) == 0, "its name is %s", name);
	{
		const uint8_t *const k[] = {a->k_name, a->k_outer, a->k_verify, a->k_meta, a->k_map, a->k_salt, a->k_content, a->controller_seed, a->admin_seed};

		for (int i = 0; i < 9; i++)
		{
			static const uint8_t none[32];

			zero += memcmp(k[i], none, 32) == 0;
			for (int j = 0; j < i; j++)
				same += memcmp(k[i], k[j], 32) == 0;
			for (size_t at = 0; at + 32 <= object.len; at++)
				same += memcmp(object.data + at, k[i], 32) == 0;
		}
	}
	ok(same == 0 && zero == 0, "keys are all different, and none stands in the object");
	ok(a->outer && a->meta && a->map && b->outer && b->meta && b->map, "expanded keys are there");
	sov_repo_keys_free(a);
	sov_repo_keys_free(b);
}

static void
refusals(void)
{
	struct sov_buf two = {0};
	struct sov_repo_keys *keys = NULL;
	int			taken = 0,
				unsaid = 0;

	for (size_t i = 0; i < object.len; i++)
	{
		object.data[i] ^= 0x10;
		taken += open_code(&ours, object.data, object.len) == SOV_OK;
		unsaid += err.message[0] == '\0';
		object.data[i] ^= 0x10;
	}
	ok(taken == 0 && unsaid == 0, "any flipped byte of %zu is refused, with a message", object.len);
	taken = 0;
	for (size_t i = 0; i < object.len; i++)
		taken += open_code(&ours, object.data, i) != SOV_E_FORMAT;
	ok(taken == 0, "any truncation is malformed");
	sov_write_bytes(&two, object.data, object.len);
	sov_write_u8(&two, 0);
	ok(open_code(&ours, two.data, two.len) == SOV_E_FORMAT, "a byte more");
	sov_put_le16(two.data + 8, 3);
	ok(open_code(&ours, two.data, two.len) == SOV_E_UNSUPPORTED && err.hint[0], "a later format, with a hint");
	sov_buf_free(&two);
	ok(open_code(&theirs, object.data, object.len) == SOV_E_KEY && strstr(err.message, "05050505") && strstr(err.message, "06060606") && err.hint[0],
	   "another root key: both ids are named");
	ok(theirs.unwrapped == 0, "without asking its custodian");
	memcpy(theirs.base.root_id, ours.base.root_id, 16);
	ok(open_code(&theirs, object.data, object.len) == SOV_E_KEY, "another root key of the same id");

	/* Keys of another repository under the same root, put in place of ours. */
	ok_rc(sov_keyring_create(&ours.base, NULL, "clinic", &keys, &two, &err), err, "a second repository");
	sov_repo_keys_free(keys);
	ok(two.len == object.len, "of the same length");
	taken = 0;
	for (size_t at = 40; at < object.len; at += 64)
	{
		struct sov_buf mix = {0};

		sov_write_bytes(&mix, object.data, at);
		sov_write_bytes(&mix, two.data + at, two.len - at);
		taken += open_code(&ours, mix.data, mix.len) == SOV_OK;
		sov_buf_free(&mix);
	}
	ok(taken == 0, "halves of two keyrings do not make one");
	sov_buf_free(&two);
}

static void
described(void)
{
	struct sov_keyring_info info;
	struct sov_buf bad = {0};
	int			taken = 0;

	ok_rc(sov_keyring_describe(object.data, object.len, &info, &err), err, "described without a key");
	ok(strcmp(info.repo_name, "clinic") == 0 && info.seq == 1 && info.root_id[0] == 5 && info.n_keys == 9 &&
	   strcmp(info.custodian, "memory, root 05") == 0 && info.keys[0].purpose == SOV_KEY_NAME && info.keys[0].state == 1, "name, root, custodian, keys");
	sov_write_bytes(&bad, object.data, object.len);
	for (size_t i = 0; i < bad.len; i++)
		taken += sov_keyring_describe(bad.data, i, &info, &err) == SOV_OK || info.n_keys != 0;
	ok(taken == 0, "not when it is cut short");
	/* counts beyond what is there */
	for (size_t i = 8; i + 2 < bad.len; i++)
	{
		memset(bad.data + i, 0xff, 2);
		(void) sov_keyring_describe(bad.data, bad.len, &info, &err);
		memcpy(bad.data + i, object.data + i, 2);
	}
	ok(info.n_keys >= 0 && info.n_keys <= 64, "huge counts do no harm");
	sov_buf_free(&bad);
}

/* Does this key stand in the object, under any of these keys? */
static int
stands_in(const struct sov_buf *o, const uint8_t key[32])
{
	int			n = 0;

	for (size_t at = 0; at + 32 <= o->len; at++)
		n += memcmp(o->data + at, key, 32) == 0;
	return n;
}

/* Keys of a repository for write-only hosts: root key 5 opens everything but content,
 * which root key 7 does. */
static void
pair(void)
{
	static const uint8_t none[32];
	struct test_custodian content;
	struct sov_repo_keys *a = NULL,
			   *b = NULL;
	struct sov_keyring_info *info = malloc(sizeof *info);
	struct sov_buf o = {0},
				other = {0};
	uint8_t		public[32];

	test_custodian(&content, 7);
	ok_rc(sov_keyring_create(&ours.base, &content.base, "clinic", &a, &o, &err), err, "a keyring with a pair");
	ok(a->has_pair && !a->has_content && !a->has_private && memcmp(a->k_content, none, 32) == 0 && memcmp(a->content_private, none, 32) == 0, "who made it keeps the public key alone");
	content.unwrapped = 0;
	ok_rc(sov_keyring_open(&ours.base, o.data, o.len, &b, &err), err, "opened by the host's root key");
	ok(content.unwrapped == 0 && b->has_pair && !b->has_content && !b->has_private && memcmp(b->content_private, none, 32) == 0 &&
	   memcmp(a->content_public, b->content_public, 32) == 0 && stands_in(&o, b->content_public) == 0, "which gives the public key, that is not shown to providers either");
	ok(sov_keyring_open_content(&ours.base, o.data, o.len, b, &err) == SOV_E_KEY && !b->has_private && strstr(err.message, "07070707"), "and never the private one");
	ok_rc(sov_keyring_open_content(&content.base, o.data, o.len, b, &err), err, "the content custodian's does");
	ok(b->has_private && sov_hpke_public(b->content_private, public, &err) == SOV_OK && memcmp(public, b->content_public, 32) == 0 && stands_in(&o, b->content_private) == 0, "which is the other half");
	ok(open_code(&content, o.data, o.len) == SOV_E_KEY, "but opens nothing else");
	ok(sov_keyring_describe(o.data, o.len, info, &err) == SOV_OK && info->root_id[0] == 5 && sov_keyring_content(info) && sov_keyring_content(info)->root_id[0] == 7 &&
	   !sov_keyring_has(info, SOV_DOMAIN_REPOSITORY, SOV_KEY_CONTENT) && sov_keyring_has(info, SOV_DOMAIN_REPOSITORY, SOV_KEY_CONTENT_PUBLIC) && o.data[8] == 2, "described, as format 2");
	sov_repo_keys_free(a);
	ok_rc(sov_keyring_create(&ours.base, &content.base, "clinic", &a, &other, &err), err, "another repository");
	sov_repo_keys_free(a);
	ok(sov_keyring_open_content(&content.base, other.data, other.len, b, &err) == SOV_E_STATE, "its content key does not go with these keys");
	ok(sov_keyring_create(&ours.base, &ours.base, "clinic", &a, &other, &err) == SOV_E_CONFIG && err.hint[0], "one root key for both is refused");
	sov_repo_keys_free(b);
	sov_buf_free(&o);
	sov_buf_free(&other);
	free(info);
}

/* A repository that was made without a pair gets one. */
static void
sealed_later(void)
{
	static const uint8_t none[32];
	struct test_custodian content;
	struct sov_repo_keys *was = NULL,
			   *between = NULL,
			   *now = NULL;
	struct sov_buf o = {0},
				last = {0},
				twice = {0};
	uint8_t		kek[2][32];

	test_custodian(&content, 7);
	ok_rc(sov_keyring_open(&ours.base, object.data, object.len, &was, &err), err, "a keyring without a pair");
	ok(sov_keyring_drop_content(&ours.base, object.data, object.len, &twice, &err) == SOV_E_STATE, "keeps its content key");
	ok_rc(sov_keyring_add_pair(&ours.base, &content.base, object.data, object.len, &o, &err), err, "gets a pair");
	ok_rc(sov_keyring_open(&ours.base, o.data, o.len, &between, &err), err, "and opens");
	ok(between->has_pair && between->has_content && between->keyring_seq == was->keyring_seq + 1 && memcmp(between->k_content, was->k_content, 32) == 0, "with both");
	ok(sov_keyring_add_pair(&ours.base, &content.base, o.data, o.len, &twice, &err) == SOV_E_STATE, "once only");
	ok_rc(sov_keyring_drop_content(&ours.base, o.data, o.len, &last, &err), err, "the content key goes");
	ok_rc(sov_keyring_open(&ours.base, last.data, last.len, &now, &err), err, "and it opens");
	ok(now->keyring_seq == was->keyring_seq + 2 && memcmp(now, was, offsetof(struct sov_repo_keys, k_content)) == 0 && memcmp(now->admin_seed, was->admin_seed, 32) == 0, "with the keys as they were");
	ok(now->has_pair && !now->has_content && memcmp(now->k_content, none, 32) == 0 && memcmp(now->content_public, between->content_public, 32) == 0, "but the content key");
	ok(sov_keyring_open_kek(&ours.base, object.data, object.len, kek[0], &err) == SOV_OK && sov_keyring_open_kek(&ours.base, last.data, last.len, kek[1], &err) == SOV_OK &&
	   memcmp(kek[0], kek[1], 32) != 0, "under another key-encryption key: it does not open the former keyring");
	ok_rc(sov_keyring_open_content(&content.base, last.data, last.len, now, &err), err, "the content custodian opens");
	ok(now->has_private && now->has_content && now->content_version == was->content_version && memcmp(now->k_content, was->k_content, 32) == 0, "the former content key too");
	{
		struct sov_keyring_kek two[2] = {0};

		for (int i = 0; i < 2; i++)
		{
			size_t		len;

			strcpy(two[i].domain, SOV_DOMAIN_REPOSITORY);
			memset(two[i].root_id, 5 + 4 * i, 16);
			(void) sov_kwp_wrap(ours.root, kek[0], 32, two[i].blob, &len, &err);
			two[i].len = (uint16_t) len;
		}
		o.len = 0;
		ok(sov_keyring_rewrap(&ours.base, object.data, object.len, two, 2, &o, &err) == SOV_OK &&
		   sov_keyring_add_pair(&ours.base, &content.base, o.data, o.len, &twice, &err) == SOV_E_STATE && strstr(err.hint, "--finish"), "not while the root key is being changed");
	}
	ok(twice.len == 0, "what is refused makes nothing");
	sov_repo_keys_free(was);
	sov_repo_keys_free(between);
	sov_repo_keys_free(now);
	sov_buf_free(&o);
	sov_buf_free(&last);
	sov_buf_free(&twice);
}

/* A new pair, kept by another custodian, again and again. */
static void
rotated(void)
{
	struct test_custodian first,
				second;
	struct sov_repo_keys *a = NULL,
			   *b = NULL;
	struct sov_buf o = {0},
				next = {0};
	uint8_t		former[32];
	uint32_t	version;
	int			pairs = 1;

	test_custodian(&first, 7);
	test_custodian(&second, 8);
	ok_rc(sov_keyring_create(&ours.base, &first.base, "clinic", &a, &o, &err), err, "a keyring with a pair");
	ok_rc(sov_keyring_open_content(&first.base, o.data, o.len, a, &err), err, "and its private key");
	memcpy(former, a->content_private, 32);
	version = a->pair_version;
	ok(sov_keyring_rotate_content(&ours.base, &second.base, &second.base, o.data, o.len, &next, &err) == SOV_E_KEY && next.len == 0, "only who has the private key makes another");
	ok_rc(sov_keyring_rotate_content(&ours.base, &first.base, &second.base, o.data, o.len, &next, &err), err, "a new pair, with another custodian");
	ok_rc(sov_keyring_open(&ours.base, next.data, next.len, &b, &err), err, "opened");
	ok(b->has_pair && b->pair_version != version && memcmp(a->content_public, b->content_public, 32) != 0 && memcmp(a->k_meta, b->k_meta, 32) == 0 && b->keyring_seq == 2, "a new public key, the others as they were");
	ok(sov_keyring_open_content(&first.base, next.data, next.len, b, &err) == SOV_E_KEY, "the former custodian opens nothing of it");
	ok_rc(sov_keyring_open_content(&second.base, next.data, next.len, b, &err), err, "the new one does");
	ok(b->n_former == 1 && b->former[0].version == version && memcmp(b->former[0].private, former, 32) == 0 && memcmp(b->content_private, former, 32) != 0, "with the former private key");
	sov_repo_keys_free(a);
	sov_repo_keys_free(b);
	for (;; pairs++)
	{
		struct sov_buf was = o;

		o = next;
		next = was;
		next.len = 0;
		if (sov_keyring_rotate_content(&ours.base, &second.base, &second.base, o.data, o.len, &next, &err) != SOV_OK)
			break;
	}
	ok(pairs == SOV_FORMER_PAIRS && err.code == SOV_E_STATE && err.hint[0], "%d times, and no more", pairs);
	b = NULL;
	ok(sov_keyring_open(&ours.base, o.data, o.len, &b, &err) == SOV_OK && sov_keyring_open_content(&second.base, o.data, o.len, b, &err) == SOV_OK && b->n_former == SOV_FORMER_PAIRS, "all of them are kept");
	sov_repo_keys_free(b);
	sov_buf_free(&o);
	sov_buf_free(&next);
}

int
main(void)
{
	test_custodian(&ours, 5);
	test_custodian(&theirs, 6);
	round_trip();
	refusals();
	described();
	pair();
	sealed_later();
	rotated();
	sov_buf_free(&object);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
