/*
 * shard - shard objects: coding, checking, rebuilding, and that nothing altered
 * is taken.
 */
#include <string.h>
#include <unistd.h>

#include "sov_shard.h"
#include "testkeys.h"
#include "tap.h"

static struct sov_repo_keys *keys,
		   *other;
static struct sov_error err;
static uint8_t sealed[300000];

static struct sov_shard_info
describe(int k, int n)
{
	struct sov_shard_info info = {.class_ = SOV_CLASS_PACK, .k = (uint8_t) k, .n = (uint8_t) n};

	strcpy(info.id, "00112233445566778899aabbccddeeff");
	memset(info.stream, 1, 32);
	memset(info.run, 2, 16);
	memset(info.content, 3, 32);
	memset(info.commitment, 4, 32);
	return info;
}

/* The object of one slot, as a provider would hold it. */
static void
object_of(const struct sov_shard_set *set, int slot, struct sov_buf *obj)
{
	sov_buf_free(obj);
	sov_write_bytes(obj, set->prefix[slot].data, set->prefix[slot].len);
	sov_write_bytes(obj, set->body[slot], set->info.shard_len);
}

static enum sov_code
verify(const struct sov_repo_keys *k, const uint8_t *p, size_t len)
{
	struct sov_shard_info info;
	const uint8_t *body;
	uint8_t    *copy = malloc(len + 1);
	enum sov_code rc;

	/* Without the byte past the end being there, for the address sanitizer. */
	copy = realloc(copy, len ? len : 1);
	memcpy(copy, p, len);
	sov_error_clear(&err);
	rc = sov_shard_verify(k, copy, len, &info, &body, &err);
	free(copy);
	return rc;
}

/* Decode and rebuild from every k-subset of the verified objects. */
static void
every_subset(int k, int n, size_t len)
{
	struct sov_shard_info info = describe(k, n),
				got[SOV_EC_MAX];
	struct sov_shard_set set;
	struct sov_buf obj[SOV_EC_MAX] = {{0}};
	const uint8_t *body[SOV_EC_MAX] = {0};
	int			bad = sov_shard_encode(keys, &info, len ? sealed : NULL, len, &set, &err) != SOV_OK;

	for (int s = 0; s < n; s++)
	{
		object_of(&set, s, &obj[s]);
		bad += sov_shard_verify(keys, obj[s].data, obj[s].len, &got[s], &body[s], &err) != SOV_OK;
		bad += got[s].slot != s || got[s].total_len != len || !sov_shard_same_group(&got[0], &got[s]);
		bad += memcmp(got[s].content, info.content, 32) != 0 || memcmp(got[s].commitment, info.commitment, 32) != 0;
		bad += strcmp(got[s].id, info.id) != 0 || set.prefix[s].len > SOV_SHARD_HEAD_MAX + 16 * sov_shard_blocks(got[s].shard_len);
	}
	for (unsigned subset = 0; subset < 1u << n && bad == 0; subset++)
	{
		struct sov_buf out = {0};
		int			slots[SOV_EC_MAX] = {0},
					m = 0;
		const uint8_t *have[SOV_EC_MAX] = {0};

		if (__builtin_popcount(subset) != k)
			continue;
		for (int s = n - 1; s >= 0; s--)
			if (subset >> s & 1)
			{
				slots[m] = s;
				have[m++] = body[s];
			}
		bad += sov_shard_decode(&got[slots[0]], slots, have, &out, &err) != SOV_OK || out.len != len || (len && memcmp(out.data, sealed, len) != 0);
		for (int s = 0; s < n; s++)
		{
			struct sov_buf again = {0};

			bad += sov_shard_rebuild(keys, &got[slots[0]], slots, have, s, &again, &err) != SOV_OK ||
				verify(keys, again.data, again.len) != SOV_OK || again.len != obj[s].len ||
				memcmp(again.data + 20 + 12 + 4, obj[s].data + 20 + 12 + 4, 4) == 0 ||	/* nonce is new */
				memcmp(again.data + set.prefix[s].len - 16 * sov_shard_blocks(got[s].shard_len),
					   obj[s].data + set.prefix[s].len - 16 * sov_shard_blocks(got[s].shard_len),
					   obj[s].len - set.prefix[s].len + 16 * sov_shard_blocks(got[s].shard_len)) != 0;
			sov_buf_free(&again);
		}
		sov_buf_free(&out);
	}
	ok(bad == 0, "%d of %d, %zu bytes: decoded and rebuilt from every subset", k, n, len);
	for (int s = 0; s < n; s++)
		sov_buf_free(&obj[s]);
	sov_shard_set_free(&set);
}

static void
altered(void)
{
	struct sov_shard_info info = describe(2, 3),
				got;
	struct sov_shard_set set,
				two;
	struct sov_buf obj = {0};
	uint64_t	tags_at,
				body_at;
	int			taken = 0;

	ok_rc(sov_shard_encode(keys, &info, sealed, 200, &set, &err), err, "a small object");
	object_of(&set, 1, &obj);
	ok(verify(keys, obj.data, obj.len) == SOV_OK, "verifies");
	for (size_t i = 0; i < obj.len * 8; i++)
	{
		obj.data[i / 8] ^= (uint8_t) (1 << i % 8);
		taken += verify(keys, obj.data, obj.len) == SOV_OK || err.message[0] == '\0';
		obj.data[i / 8] ^= (uint8_t) (1 << i % 8);
	}
	ok(taken == 0, "any flipped bit of %zu bytes is refused", obj.len);
	taken = 0;
	for (size_t i = 0; i < obj.len; i++)
		taken += verify(keys, obj.data, i) == SOV_OK || err.message[0] == '\0';
	ok(taken == 0, "any truncation");
	sov_write_u8(&obj, 0);
	ok(verify(keys, obj.data, obj.len) == SOV_E_FORMAT, "a byte more");
	object_of(&set, 1, &obj);
	sov_put_le16(obj.data + 8, 2);
	ok(verify(keys, obj.data, obj.len) == SOV_E_UNSUPPORTED && err.hint[0], "a later format, with a hint");
	object_of(&set, 1, &obj);
	ok(verify(other, obj.data, obj.len) == SOV_E_AUTH, "another repository's keys");

	/* The header of one slot before the body of another, of two objects with
	 * the same id, of another group. */
	taken = 0;
	info.stream[0] ^= 1;
	ok_rc(sov_shard_encode(keys, &info, sealed, 200, &two, &err), err, "an object of another stream");
	for (int a = 0; a < 3; a++)
		for (int b = 0; b < 3; b++)
			for (int o = 0; o < 2; o++)
			{
				if (a == b && o == 0)
					continue;
				sov_buf_free(&obj);
				sov_write_bytes(&obj, set.prefix[a].data, set.prefix[a].len);
				sov_write_bytes(&obj, (o ? &two : &set)->body[b], 100);
				if (memcmp((o ? &two : &set)->body[b], set.body[a], 100) == 0)
					continue;	/* the same bytes after all */
				taken += verify(keys, obj.data, obj.len) != SOV_E_AUTH;
				/* header alone of one, tags and body of the other */
				sov_buf_free(&obj);
				sov_write_bytes(&obj, set.prefix[a].data, set.prefix[a].len - 16);
				sov_write_bytes(&obj, (o ? &two : &set)->prefix[b].data + set.prefix[b].len - 16, 16);
				sov_write_bytes(&obj, (o ? &two : &set)->body[b], 100);
				taken += verify(keys, obj.data, obj.len) != SOV_E_AUTH;
			}
	ok(taken == 0, "header, tags and body of different shards");
	object_of(&set, 0, &obj);
	ok(sov_shard_parse(keys, obj.data, obj.len, &got, &tags_at, &body_at, &err) == SOV_OK &&
	   sov_shard_parse(keys, two.prefix[0].data, two.prefix[0].len, &info, &tags_at, &body_at, &err) == SOV_OK &&
	   !sov_shard_same_group(&got, &info), "two streams are two groups");
	sov_buf_free(&obj);
	sov_shard_set_free(&set);
	sov_shard_set_free(&two);
}

/* A reader that fetches a range checks whole blocks; it may be handed too much. */
static void
ranges(void)
{
	struct sov_shard_info info = describe(2, 3),
				got;
	struct sov_shard_set set;
	struct sov_buf obj = {0};
	uint64_t	tags_at,
				body_at;
	int			bad = 0;

	ok_rc(sov_shard_encode(keys, &info, sealed, 290001, &set, &err), err, "shards of three blocks");
	object_of(&set, 2, &obj);
	ok_rc(sov_shard_parse(keys, obj.data, 1024, &got, &tags_at, &body_at, &err), err, "parsed from the first 1024 bytes");
	ok(got.shard_len == 145001 && body_at - tags_at == 48 && obj.len == body_at + 145001, "where tags and body are");
	for (int b = 0; b < 3; b++)
	{
		uint64_t	at = (uint64_t) b * SOV_BLOCK_LEN;
		size_t		n = got.shard_len - at < SOV_BLOCK_LEN ? got.shard_len - at : SOV_BLOCK_LEN;
		const uint8_t *tags = obj.data + tags_at;

		bad += sov_shard_check_blocks(keys, &got, tags, (uint64_t) b, obj.data + body_at + at, n, &err) != SOV_OK;
		bad += sov_shard_check_blocks(keys, &got, tags, (uint64_t) b, obj.data + body_at + at, n - 1, &err) != SOV_E_AUTH;
		bad += sov_shard_check_blocks(keys, &got, tags, (uint64_t) (b + 1) % 3, obj.data + body_at + at, n, &err) == SOV_OK;
		bad += sov_shard_check_blocks(keys, &got, tags, (uint64_t) (b + 3), obj.data + body_at + at, n, &err) == SOV_OK;
	}
	ok(bad == 0, "each block by itself; shorter or in another's place it is refused");
	ok(sov_shard_check_blocks(keys, &got, obj.data + tags_at, 2, obj.data + body_at, 2 * SOV_BLOCK_LEN, &err) == SOV_E_FORMAT &&
	   sov_shard_check_blocks(keys, &got, obj.data + tags_at, UINT64_MAX, obj.data + body_at, 10, &err) == SOV_E_FORMAT,
	   "more than the shard has is refused");
	ok(sov_shard_check_tags(&got, obj.data + tags_at, 32, &err) == SOV_E_FORMAT, "a short list of tags");
	sov_buf_free(&obj);
	sov_shard_set_free(&set);
}

static void
bad_calls(void)
{
	struct sov_shard_info info = describe(2, 3);
	struct sov_shard_set set;
	const uint8_t *body[2];
	struct sov_buf out = {0};
	int			taken = 0;
	static const int slots[][2] = {{0, 0}, {2, 2}, {0, 16}, {-1, 1}, {1 << 30, 0}};
	static const int kn[][2] = {{0, 3}, {4, 3}, {1, 17}, {0, 0}, {17, 17}};

	for (size_t i = 0; i < sizeof kn / sizeof kn[0]; i++)
	{
		info = describe(kn[i][0], kn[i][1]);
		taken += sov_shard_encode(keys, &info, sealed, 10, &set, &err) != SOV_E_FORMAT;
	}
	info = describe(2, 3);
	info.class_ = 'x';
	taken += sov_shard_encode(keys, &info, sealed, 10, &set, &err) != SOV_E_FORMAT;
	info = describe(2, 3);
	info.id[0] = '\0';
	taken += sov_shard_encode(keys, &info, sealed, 10, &set, &err) != SOV_E_FORMAT;
	ok(taken == 0, "k, n, class and id that cannot be");
	info = describe(2, 3);
	ok_rc(sov_shard_encode(keys, &info, sealed, 1000, &set, &err), err, "an object");
	body[0] = set.body[0];
	body[1] = set.body[1];
	taken = 0;
	for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++)
	{
		taken += sov_shard_decode(&set.info, slots[i], body, &out, &err) != SOV_E_CORRUPT || out.len != 0;
		taken += sov_shard_rebuild(keys, &set.info, slots[i], body, 0, &out, &err) != SOV_E_CORRUPT || out.len != 0;
	}
	taken += sov_shard_rebuild(keys, &set.info, (const int[]) {0, 1}, body, 3, &out, &err) != SOV_E_CORRUPT;
	taken += sov_shard_rebuild(keys, &set.info, (const int[]) {0, 1}, body, -1, &out, &err) != SOV_E_CORRUPT;
	taken += sov_shard_rebuild(keys, &set.info, (const int[]) {1, 0}, body, 2, &out, &err) != SOV_E_CORRUPT;
	ok(taken == 0 && out.len == 0, "slots given twice, out of range, or with each other's bytes");
	sov_buf_free(&out);
	sov_shard_set_free(&set);
}

/* The shortest header that encode makes is one that parse takes. */
static void
shortest(void)
{
	struct sov_shard_info info = describe(1, 1);
	struct sov_shard_set set;
	struct sov_buf obj = {0};

	strcpy(info.id, "x");
	ok_rc(sov_shard_encode(keys, &info, sealed, 3, &set, &err), err, "1 of 1 with a short id");
	object_of(&set, 0, &obj);
	ok_rc(verify(keys, obj.data, obj.len), err, "reads back");
	sov_shard_set_free(&set);
	memset(info.id, 'y', SOV_ID_MAX - 1);
	info.k = info.n = 16;
	ok_rc(sov_shard_encode(keys, &info, sealed, 3, &set, &err), err, "16 of 16 with the longest id");
	ok(set.prefix[0].len <= SOV_SHARD_HEAD_MAX, "the header fits into a first read (%zu)", set.prefix[0].len);
	object_of(&set, 15, &obj);
	ok_rc(verify(keys, obj.data, obj.len), err, "reads back");
	sov_shard_set_free(&set);
	sov_buf_free(&obj);
}

static void
names(void)
{
	uint8_t		p[16] = {1},
				q[16] = {2};
	static char seen[9][SOV_NAME_MAX];
	int			same = 0;
	const char *id = "00112233445566778899aabbccddeeff";
	enum sov_code rc = SOV_OK;

	rc |= sov_shard_object_name(keys, p, 'p', id, 0, 0, 0, seen[0], &err);
	rc |= sov_shard_object_name(keys, q, 'p', id, 0, 0, 0, seen[1], &err);
	rc |= sov_shard_object_name(keys, p, 'm', id, 0, 0, 0, seen[2], &err);
	rc |= sov_shard_object_name(keys, p, 'p', "00112233445566778899aabbccddeefe", 0, 0, 0, seen[3], &err);
	rc |= sov_shard_object_name(keys, p, 'p', id, 1, 0, 0, seen[4], &err);
	rc |= sov_shard_object_name(keys, p, 'p', id, 0, 1, 0, seen[5], &err);
	rc |= sov_shard_object_name(keys, p, 'p', id, 0, 0, 1, seen[6], &err);
	rc |= sov_shard_object_name(keys, p, 'p', id, 0, 0, 256, seen[7], &err);
	rc |= sov_shard_object_name(other, p, 'p', id, 0, 0, 0, seen[8], &err);
	for (int i = 0; i < 9; i++)
		for (int j = 0; j < i; j++)
			same += strcmp(seen[i] + 2, seen[j] + 2) == 0;
	ok(rc == SOV_OK && same == 0, "names differ by provider, class, id, generation, slot, attempt and repository");
	ok(strncmp(seen[0], "p/", 2) == 0 && strncmp(seen[2], "m/", 2) == 0 && strlen(seen[0]) == 34 &&
	   strspn(seen[0] + 2, "abcdefghijklmnopqrstuvwxyz234567") == 32, "a class letter and 160 bits");
	sov_shard_object_name(keys, p, 'p', id, 0, 0, 0, seen[1], &err);
	ok(strcmp(seen[0], seen[1]) == 0, "the same input gives the same name");
}

/* --- large buffers --- */

/* Each with its number at both ends. */
static bool
fill_large(struct sov_buf *b, int n, size_t len)
{
	for (int i = 0; i < n; i++)
	{
		uint8_t    *p = sov_buf_extend(&b[i], len);

		if (p == NULL)
			return false;
		p[0] = p[len - 1] = (uint8_t) i;
	}
	return true;
}

static bool
is_filled(const struct sov_buf *b, int n, size_t len)
{
	bool		good = true;

	for (int i = 0; i < n; i++)
		good = good && b[i].data[0] == i && b[i].data[len - 1] == i;
	return good;
}

static void
large(void)
{
	struct sov_buf b[6] = {{0}},
				small = {0};
	size_t		len = SOV_BUF_LARGE_MAX / 4;
	char		dir[] = "/tmp/sovlargeXXXXXX";
	int			files = 0;

	ok(fill_large(b, 6, len) && is_filled(b, 6, len) && !b[5].mapped, "large buffers are in memory where no directory is named");
	for (int i = 0; i < 6; i++)
		sov_buf_free(&b[i]);
	ok(mkdtemp(dir) != NULL, "a directory");
	sov_buf_scratch(dir);
	ok(fill_large(b, 6, len) && is_filled(b, 6, len), "six large buffers");
	for (int i = 0; i < 6; i++)
		files += b[i].mapped;
	ok(files == 2 && b[4].mapped && b[5].mapped, "of which those lie in files that would take more memory than there may be: %d", files);
	ok(sov_buf_extend(&b[4], len) != NULL && is_filled(b, 6, len) && b[4].mapped, "one that grows there keeps what it has");
	sov_buf_free(&b[0]);
	sov_buf_free(&b[1]);
	ok(sov_buf_extend(&b[5], len / 2) != NULL && b[5].data[len - 1] == 5 && !b[5].mapped, "and comes to memory where there is room again");
	for (int i = 0; i < 6; i++)
		sov_buf_free(&b[i]);
	for (size_t n = 0; n < SOV_BUF_LARGE + 4096; n += 4096)
		if (sov_buf_extend(&small, 4096) != NULL)
			small.data[n] = (uint8_t) (n >> 12);
	ok(small.len == SOV_BUF_LARGE + 4096 && small.data[4096 * 5] == 5 && small.data[SOV_BUF_LARGE] == (uint8_t) (SOV_BUF_LARGE >> 12), "one that grows bit by bit");
	sov_buf_free(&small);
	ok(fill_large(b, 5, len) && !b[3].mapped && b[4].mapped, "what was freed is not counted");
	for (int i = 0; i < 6; i++)
		sov_buf_free(&b[i]);
	ok(rmdir(dir) == 0, "the files have no names");
	ok(fill_large(b, 6, len) && is_filled(b, 6, len) && !b[5].mapped, "where there are no files memory serves");
	for (int i = 0; i < 6; i++)
		sov_buf_free(&b[i]);
}

int
main(void)
{
	static const int kn[][2] = {{1, 1}, {1, 3}, {2, 3}, {3, 5}, {4, 6}};

	keys = test_keys(1);
	other = test_keys(2);
	for (size_t i = 0; i < sizeof sealed; i++)
		sealed[i] = (uint8_t) (i * 2654435761u >> 11);
	for (size_t i = 0; i < sizeof kn / sizeof kn[0]; i++)
	{
		every_subset(kn[i][0], kn[i][1], 0);
		every_subset(kn[i][0], kn[i][1], 1);
		every_subset(kn[i][0], kn[i][1], 777);
	}
	every_subset(2, 3, 262145);
	altered();
	ranges();
	bad_calls();
	shortest();
	names();
	large();
	sov_repo_keys_free(keys);
	sov_repo_keys_free(other);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
