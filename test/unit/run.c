/*
 * run - runs: splitting and joining their secret, frames, streams.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include "sov_run.h"
#include "../fuzz/sealing.h"
#include "tap.h"

static struct sov_repo_keys *keys,
		   *other;
static struct sov_error err;

static struct sov_run_share
parsed(const struct sov_buf *obj)
{
	struct sov_run_share s;

	if (sov_run_share_parse(keys, obj->data, obj->len, &s, &err) != SOV_OK)
		printf("# share: %s\n", err.message);
	return s;
}

/* The members of a subset, last first. */
static int
pick(const struct sov_run_share *all, int n, unsigned subset, struct sov_run_share *out)
{
	int			m = 0;

	for (int s = n - 1; s >= 0; s--)
		if (subset >> s & 1)
			out[m++] = all[s];
	return m;
}

static void
sharing(int k, int n)
{
	struct sov_run *run = NULL;
	struct sov_buf obj[16] = {{0}};
	struct sov_run_share all[16],
				some[16];
	int			tried = 0,
				bad = 0,
				few = 0;

	ok_rc(sov_run_create(keys, &run, &err), err, "a run");
	ok_rc(sov_run_split(keys, run, k, n, obj, &err), err, "split %d of %d", k, n);
	for (int i = 0; i < n; i++)
		all[i] = parsed(&obj[i]);
	for (unsigned subset = 1; subset < 1u << n; subset++)
	{
		struct sov_run *joined = NULL;
		int			m = pick(all, n, subset, some);
		enum sov_code rc = sov_run_join(keys, some, m, &joined, &err);

		tried++;
		if (m < k)
			few += rc != SOV_E_QUORUM;
		else
			bad += rc != SOV_OK || memcmp(joined->r, run->r, 32) != 0 || memcmp(joined->k_run, run->k_run, 32) != 0 ||
				memcmp(joined->id, run->id, 16) != 0 || memcmp(joined->commitment, run->commitment, 32) != 0;
		if (m == k && n <= 6)
			for (int s = 0; s < n; s++)
			{
				struct sov_buf again = {0};
				struct sov_run_share back;

				bad += sov_run_share_rebuild(keys, some, m, s, &again, &err) != SOV_OK;
				back = parsed(&again);
				bad += memcmp(&back, &all[s], sizeof back) != 0 || memcmp(again.data, obj[s].data, again.len) == 0;
				sov_buf_free(&again);
			}
		sov_run_free(joined);
	}
	ok(bad == 0 && few == 0, "%d of %d: enough shares join and rebuild any other, fewer do not (%d subsets)", k, n, tried);
	if (k > 1)
	{
		struct sov_run *joined = NULL;

		/* One share fewer, with k claiming so: the polynomial says another secret. */
		for (int i = 0; i < n; i++)
			all[i].k--;
		ok(sov_run_join(keys, all, k - 1, &joined, &err) == SOV_E_AUTH && joined == NULL, "a smaller k is not believed");
	}
	for (int i = 0; i < n; i++)
		sov_buf_free(&obj[i]);
	sov_run_free(run);
}

static void
mixed(void)
{
	struct sov_run *run[2] = {NULL, NULL},
			   *joined = NULL;
	struct sov_buf obj[2][3] = {{{0}}};
	struct sov_run_share s[3];
	struct sov_buf out = {0};

	for (int i = 0; i < 2; i++)
	{
		ok_rc(sov_run_create(keys, &run[i], &err), err, "run %d", i);
		ok_rc(sov_run_split(keys, run[i], 2, 3, obj[i], &err), err, "split");
	}
	s[0] = parsed(&obj[0][0]);
	s[1] = parsed(&obj[1][1]);
	ok(sov_run_join(keys, s, 2, &joined, &err) == SOV_E_AUTH && sov_run_share_rebuild(keys, s, 2, 2, &out, &err) == SOV_E_AUTH, "shares of two runs do not mix");
	s[1] = s[0];
	ok(sov_run_join(keys, s, 2, &joined, &err) == SOV_E_AUTH, "nor one share twice");
	s[1] = parsed(&obj[0][2]);
	s[1].share[5] ^= 1;
	ok(sov_run_join(keys, s, 2, &joined, &err) == SOV_E_AUTH, "a false share does not match the commitment");
	ok(sov_run_share_rebuild(keys, s, 2, 1, &out, &err) == SOV_E_CORRUPT && out.len == 0, "nor does what is rebuilt from it");
	s[1].share[5] ^= 1;
	ok(sov_run_share_rebuild(keys, s, 2, 3, &out, &err) == SOV_E_FORMAT && sov_run_share_rebuild(keys, s, 2, -1, &out, &err) == SOV_E_FORMAT, "slots that are not");
	s[0].content_version = s[1].content_version = 99;
	ok(sov_run_join(keys, s, 2, &joined, &err) == SOV_E_KEY, "another version of the content key");
	s[0].content_version = s[1].content_version = 8;
	ok(sov_run_join(other, s, 2, &joined, &err) == SOV_E_AUTH, "another repository's content key");
	ok(sov_run_join(keys, s, 0, &joined, &err) == SOV_E_QUORUM && joined == NULL, "no shares");
	ok(sov_run_split(keys, run[0], 3, 2, &out, &err) == SOV_E_FORMAT && sov_run_split(keys, run[0], 0, 2, &out, &err) == SOV_E_FORMAT, "k and n that cannot be");
	for (int i = 0; i < 6; i++)
		sov_buf_free(&obj[i / 3][i % 3]);
	sov_run_free(run[0]);
	sov_run_free(run[1]);
}

static void
altered_share(void)
{
	struct sov_run *run = NULL;
	struct sov_buf obj[3] = {{0}};
	struct sov_run_share s;
	int			taken = 0;

	ok(sov_run_create(keys, &run, &err) == SOV_OK && sov_run_split(keys, run, 2, 3, obj, &err) == SOV_OK, "shares");
	for (size_t i = 0; i < obj[0].len * 8; i++)
	{
		obj[0].data[i / 8] ^= (uint8_t) (1 << i % 8);
		taken += sov_run_share_parse(keys, obj[0].data, obj[0].len, &s, &err) == SOV_OK;
		obj[0].data[i / 8] ^= (uint8_t) (1 << i % 8);
	}
	for (size_t i = 0; i < obj[0].len; i++)
		taken += sov_run_share_parse(keys, obj[0].data, i, &s, &err) == SOV_OK;
	taken += sov_run_share_parse(other, obj[0].data, obj[0].len, &s, &err) != SOV_E_AUTH;
	sov_write_u8(&obj[0], 0);
	taken += sov_run_share_parse(keys, obj[0].data, obj[0].len, &s, &err) == SOV_OK;
	ok(taken == 0, "flipped bits, truncations, a byte more, another repository");
	for (int i = 0; i < 3; i++)
		sov_buf_free(&obj[i]);
	sov_run_free(run);
}

/* --- frames and streams --- */

static uint8_t raw[200 * 1024],
			back[200 * 1024];
static const size_t lengths[] = {0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 128 * 1024, 200 * 1024};

static struct sov_run *
rejoin(const struct sov_run *run)
{
	struct sov_buf obj[3] = {{0}};
	struct sov_run_share s[3];
	struct sov_run *joined = NULL;

	if (sov_run_split(keys, run, 2, 3, obj, &err) != SOV_OK)
		return NULL;
	for (int i = 0; i < 3; i++)
	{
		s[i] = parsed(&obj[i]);
		sov_buf_free(&obj[i]);
	}
	(void) sov_run_join(keys, s, 3, &joined, &err);
	return joined;
}

static void
frames(struct sov_run *run, struct sov_run *joined)
{
	size_t		cap = sov_frame_bound(SOV_FRAME_MAX);
	uint8_t    *dst = malloc(cap),
			   *scratch = malloc(cap);
	struct sov_compressor *zc = sov_compressor_new(1);
	void	   *zd = ZSTD_createDCtx();
	uint64_t	counter,
				last = UINT64_MAX;
	size_t		n;

	for (int i = 0; i < 6; i++)
	{
		size_t		len = lengths[i];
		int			bad = sov_frame_seal(run, SOV_FRAME_PAGES, zc, raw, len, dst, cap, &n, &counter, &err) != SOV_OK;

		bad += counter != last + 1;
		last = counter;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, len, &err) != SOV_OK || memcmp(raw, back, len) != 0;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter + 1, dst, n, scratch, back, len, &err) != SOV_E_AUTH;
		bad += sov_frame_open(joined, (enum sov_frame_kind) 2, zd, counter, dst, n, scratch, back, len, &err) != SOV_E_AUTH;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, n - 1, scratch, back, len, &err) != SOV_E_AUTH;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, 15, scratch, back, len, &err) != SOV_E_FORMAT;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, len ? len - 1 : 1, &err) != SOV_E_FORMAT;
		if (len < SOV_FRAME_MAX)
			bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, len + 1, &err) != SOV_E_FORMAT;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, SOV_FRAME_MAX + 1, &err) != SOV_E_FORMAT;
		dst[n / 2] ^= 1;
		bad += sov_frame_open(joined, SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, len, &err) != SOV_E_AUTH;
		ok(bad == 0, "a frame of %zu bytes; another counter, kind, length or byte is refused", len);
	}
	ok(sov_frame_seal(run, SOV_FRAME_PAGES, zc, raw, SOV_FRAME_MAX + 1, dst, cap, &n, &counter, &err) == SOV_E_FORMAT &&
	   sov_frame_seal(run, SOV_FRAME_PAGES, zc, raw, 1000, dst, 1000, &n, &counter, &err) == SOV_E_FORMAT, "too long a frame, too little room");
	ok(sov_frame_seal(joined, SOV_FRAME_PAGES, zc, raw, 10, dst, cap, &n, &counter, &err) == SOV_E_STATE, "a joined run seals nothing");
	sov_compressor_free(zc);
	ZSTD_freeDCtx(zd);
	free(dst);
	free(scratch);
}

/* Rows of text: what two tables of matches suit.  Numbers: what they do not. */
static void
fill_frame(uint8_t *p, bool text, unsigned seed)
{
	static const char *const words[] = {"Martin", "Bernard", "Dubois", "Durand", "Moreau", "Laurent", "Simon", "Michel", "Lefebvre", "Leroy"};
	size_t		at = 0;
	char		row[128];

	while (at < SOV_FRAME_MAX)
	{
		size_t		n;

		seed = seed * 1103515245 + 12345;
		if (text)
			snprintf(row, sizeof row, "%s,%s,1 %02u %02u 75 %03u,%04u-%02u,le patient presente une toux depuis %u jours\n", words[seed >> 16 & 7], words[(seed >> 20) % 10],
					 (seed >> 8) % 100, (seed >> 12) % 12, (seed >> 14) % 1000, 1930 + (seed >> 18) % 80, (seed >> 22) % 12, (seed >> 24) % 20);
		else
			snprintf(row, sizeof row, "%08x%08x", seed, seed * 2654435761u);
		n = strlen(row);
		if (n > SOV_FRAME_MAX - at)
			n = SOV_FRAME_MAX - at;
		memcpy(p + at, row, n);
		at += n;
	}
}

static void
compressor(void)
{
	struct sov_compressor *z = sov_compressor_new(1);
	ZSTD_CCtx  *plain = ZSTD_createCCtx();
	size_t		cap = sov_frame_bound(SOV_FRAME_MAX),
				n,
				best[2] = {0},
				own[2] = {0};
	uint8_t    *frame = malloc(SOV_FRAME_MAX),
			   *dst = malloc(cap),
			   *again = malloc(SOV_FRAME_MAX);
	int			bad = 0;

	for (unsigned i = 0; i < 256; i++)
	{
		bool		text = i / 64 % 2 == 0;	/* trials find each change at once */

		fill_frame(frame, text, i);
		bad += sov_compress(z, dst, cap, frame, SOV_FRAME_MAX, &n, &err) != SOV_OK ||
			ZSTD_decompress(again, SOV_FRAME_MAX, dst, n) != SOV_FRAME_MAX || memcmp(frame, again, SOV_FRAME_MAX) != 0;
		own[text] += n;
		best[text] += ZSTD_compressCCtx(plain, dst, cap, frame, SOV_FRAME_MAX, 1);
	}
	ok(bad == 0, "what is compressed either way, or both, is what was there");
	printf("# text %zu of %zu, numbers %zu of %zu\n", own[1], best[1], own[0], best[0]);
	ok(own[1] < best[1] - best[1] / 256, "text is smaller than by zstd's own level 1");
	ok(own[0] == best[0], "numbers are not made larger");
	ZSTD_freeCCtx(plain);
	sov_compressor_free(z);
	free(frame);
	free(dst);
	free(again);
}

static enum sov_code
open_stream(const struct sov_run *run, uint8_t class_, const char *name, const uint8_t salt[32], const uint8_t *p, size_t len, size_t *got)
{
	struct sov_buf out = {0};
	uint8_t    *copy = malloc(len ? len : 1);
	enum sov_code rc;

	memcpy(copy, p, len);
	rc = sov_stream_open(run, class_, name, salt, copy, len, &out, &err);
	if (rc != SOV_OK && out.len != 0)
		rc = SOV_OK;			/* gave out what does not verify */
	*got = out.len;
	if (out.len > 0 && out.len <= sizeof back)
		memcpy(back, out.data, out.len);
	sov_buf_free(&out);
	free(copy);
	return rc;
}

static void
streams(struct sov_run *run, struct sov_run *joined)
{
	static const char name[] = "000000010000000000000042";
	size_t		unit = SOV_SEGMENT_LEN + SOV_TAG_LEN,
				got;
	uint8_t		salt[32],
				salt2[32];

	for (int i = 0; i < 7; i++)
	{
		struct sov_buf out = {0},
					twice = {0};
		size_t		len = lengths[i];
		int			bad = sov_stream_salt(keys, 'w', name, 1, raw, len, salt, &err) != SOV_OK;

		bad += sov_stream_seal(run, 'w', name, salt, raw, len, &out, &err) != SOV_OK;
		bad += sov_stream_seal(run, 'w', name, salt, raw, len, &twice, &err) != SOV_OK || twice.len != out.len || memcmp(twice.data, out.data, out.len) != 0;
		bad += open_stream(joined, 'w', name, salt, out.data, out.len, &got) != SOV_OK || got != len || memcmp(back, raw, len) != 0;
		bad += open_stream(joined, 'm', name, salt, out.data, out.len, &got) != SOV_E_AUTH;
		bad += open_stream(joined, 'w', "000000010000000000000043", salt, out.data, out.len, &got) != SOV_E_AUTH;
		salt[3] ^= 1;
		bad += open_stream(joined, 'w', name, salt, out.data, out.len, &got) != SOV_E_AUTH;
		salt[3] ^= 1;
		for (size_t cut = 0; cut < out.len; cut += cut % unit < 20 || cut + 20 > out.len ? 1 : cut % unit < unit - 20 ? unit - 20 - cut % unit : 1)
			bad += open_stream(joined, 'w', name, salt, out.data, cut, &got) == SOV_OK;
		if (out.len > unit)		/* a whole last segment gone, a segment twice, two in each other's place */
		{
			size_t		last = (out.len - 1) / unit * unit;

			bad += open_stream(joined, 'w', name, salt, out.data, last, &got) != SOV_E_AUTH;
			bad += open_stream(joined, 'w', name, salt, out.data + unit, out.len - unit, &got) != SOV_E_AUTH;
			twice.len = 0;
			sov_write_bytes(&twice, out.data, out.len);
			memmove(twice.data + unit, twice.data, twice.len - unit);	/* the first one twice */
			bad += open_stream(joined, 'w', name, salt, twice.data, twice.len, &got) != SOV_E_AUTH;
		}
		if (out.len > 2 * unit)
		{
			uint8_t    *t = malloc(unit);

			memcpy(t, out.data, unit);
			memmove(out.data, out.data + unit, unit);
			memcpy(out.data + unit, t, unit);
			bad += open_stream(joined, 'w', name, salt, out.data, out.len, &got) != SOV_E_AUTH;
			free(t);
		}
		ok(bad == 0, "a stream of %zu bytes; another class, name, salt, any cut and any order is refused", len);
		sov_buf_free(&out);
		sov_buf_free(&twice);
	}
	(void) sov_stream_salt(keys, 'w', name, 1, raw, 100, salt, &err);
	(void) sov_stream_salt(keys, 'w', name, 2, raw, 100, salt2, &err);
	ok(memcmp(salt, salt2, 32) != 0, "the salt depends on the timeline");
	(void) sov_stream_salt(keys, 'w', name, 1, raw, 99, salt2, &err);
	ok(memcmp(salt, salt2, 32) != 0, "and on the bytes");
	(void) sov_stream_salt(other, 'w', name, 1, raw, 100, salt2, &err);
	ok(memcmp(salt, salt2, 32) != 0, "and on the repository");
}

static void
forked(struct sov_run *run)
{
	int			status = 0;
	pid_t		pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
	{
		struct sov_buf out = {0};
		uint8_t		salt[32] = {0},
					dst[500];
		size_t		n;
		uint64_t	counter;
		struct sov_compressor *zc = sov_compressor_new(1);

		_exit(sov_frame_seal(run, SOV_FRAME_PAGES, zc, raw, 10, dst, sizeof dst, &n, &counter, NULL) == SOV_E_STATE &&
			  sov_stream_seal(run, 'w', "x", salt, raw, 10, &out, NULL) == SOV_E_STATE && out.len == 0 &&
			  run->k_run[0] == 0 && run->k_run[31] == 0 ? 0 : 1);
	}
	ok(waitpid(pid, &status, 0) == pid && status == 0, "a forked child neither seals nor has the run's key");
}

/* A share that 0.1.0 made, of a run split 1 of 1 under the same fixed keys. */
static void
earlier(void)
{
	uint8_t		bytes[400];
	FILE	   *f = fopen("test/fuzz/corpus/share/inside_1_of_1", "rb");
	size_t		n = f ? fread(bytes, 1, sizeof bytes, f) : 0;
	struct sov_buf obj = {0};
	struct sov_run_share s;
	struct sov_run *joined = NULL;

	if (f)
		fclose(f);
	if (n > 1)
		seal_outer(keys, "SOVSHARE", 1, bytes + 1, n - 1, &obj);
	ok(n > 1 && sov_run_share_parse(keys, obj.data, obj.len, &s, &err) == SOV_OK && sov_run_join(keys, &s, 1, &joined, &err) == SOV_OK && !joined->sealed && joined->reads,
	   "a run of an earlier version derives the same key");
	sov_run_free(joined);
	sov_buf_free(&obj);
}

/* --- sealed runs --- */

/* Open what was sealed with every key that is in memory of this size, at every offset,
 * as the ikm of a run: nothing that a host has derives K_run. */
static int
try_all(const struct sov_run *joined, const uint8_t *memory, size_t len, const uint8_t want[32])
{
	static const char *const labels[] = {"pg_sovereign run v1", "pg_sovereign run v2", "pg_sovereign index v1"};
	uint8_t		info[64],
				k_run[32],
				commitment[32];
	int			found = 0;

	for (size_t at = 0; at + 32 <= len; at++)
		for (int l = 0; l < 3; l++)
		{
			size_t		n = strlen(labels[l]);

			memcpy(info, labels[l], n);
			memcpy(info + n, joined->repo, 16);
			memcpy(info + n + 16, joined->id, 16);
			sov_put_le16(info + n + 32, SOV_SUITE);
			(void) sov_hkdf(joined->r, 32, memory + at, 32, info, n + 34, k_run, 32, NULL);
			(void) sov_commit(k_run, "run", commitment, NULL);
			found += memcmp(commitment, want, 32) == 0;
		}
	return found;
}

static void
sealed(void)
{
	struct sov_repo_keys *host = test_keys(3),
			   *reader = test_keys(3);
	struct sov_run *run = NULL,
			   *joined[2] = {NULL, NULL};
	struct sov_buf obj[3] = {{0}},
				again[5] = {{0}},
				out[4] = {{0}};
	struct sov_run_share s[3];
	static const char text[] = "pages and records";
	uint8_t		salt[32] = {1},
				page[200] = "a page",
				back[200],
				scratch[400],
				dst[1000];
	size_t		n;
	uint64_t	counter;
	struct sov_compressor *zc = sov_compressor_new(1);
	void	   *zd = ZSTD_createDCtx();
	int			taken = 0;

	host->has_content = reader->has_content = false;
	memset(host->k_content, 0, 32);
	host->has_pair = reader->has_pair = true;
	host->pair_version = reader->pair_version = 9;
	(void) sov_hpke_keypair(reader->content_private, reader->content_public, &err);
	reader->has_private = true;
	memcpy(host->content_public, reader->content_public, 32);
	ok_rc(sov_run_create(host, &run, &err), err, "a sealed run");
	ok(run->sealed && run->reads && run->content_version == 9 && memcmp(run->k_run, run->k_index, 32) != 0, "with two keys");
	ok_rc(sov_run_split(host, run, 2, 3, obj, &err), err, "split");
	ok(sov_frame_seal(run, SOV_FRAME_PAGES, zc, page, sizeof page, dst, sizeof dst, &n, &counter, &err) == SOV_OK &&
	   sov_stream_seal(run, 'w', "000000010000000000000001", salt, text, sizeof text, &out[0], &err) == SOV_OK &&
	   sov_stream_seal(run, 'w', "00000002.history", salt, text, sizeof text, &out[1], &err) == SOV_OK &&
	   sov_stream_seal(run, 'm', "manifest", salt, text, sizeof text, &out[2], &err) == SOV_OK, "a page, a segment, a history file and a manifest are sealed");
	for (int i = 0; i < 3; i++)
		(void) sov_run_share_parse(host, obj[i].data, obj[i].len, &s[i], &err);
	ok_rc(sov_run_join(host, s, 2, &joined[0], &err), err, "the host joins its shares later");
	ok(!joined[0]->reads && joined[0]->frame == NULL && memcmp(joined[0]->k_index, run->k_index, 32) == 0 && memcmp(joined[0]->k_run, run->k_run, 32) != 0, "and has the index key alone");
	ok(sov_frame_open(joined[0], SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, sizeof page, &err) == SOV_E_KEY, "no page opens");
	ok(sov_stream_open(joined[0], 'w', "000000010000000000000001", salt, out[0].data, out[0].len, &out[3], &err) == SOV_E_KEY && out[3].len == 0, "nor WAL");
	ok(sov_stream_open(joined[0], 'w', "00000002.history", salt, out[1].data, out[1].len, &out[3], &err) == SOV_OK &&
	   sov_stream_open(joined[0], 'm', "manifest", salt, out[2].data, out[2].len, &out[3], &err) == SOV_OK, "the history file and the manifest do");
	taken += try_all(joined[0], (const uint8_t *) host, sizeof *host, run->commitment);
	taken += try_all(joined[0], (const uint8_t *) joined[0], sizeof *joined[0], run->commitment);
	for (int i = 0; i < 3; i++)
		taken += try_all(joined[0], (const uint8_t *) &s[i], sizeof s[i], run->commitment);
	ok(taken == 0, "no 32 bytes of what the host has derive the run's key");
	ok(try_all(joined[0], (const uint8_t *) run->r, 32, run->commitment) == 0, "nor its R");
	ok_rc(sov_run_join(reader, s, 2, &joined[1], &err), err, "joined with the private key");
	ok(joined[1]->reads && memcmp(joined[1]->k_run, run->k_run, 32) == 0 && memcmp(joined[1]->k_index, run->k_index, 32) == 0 &&
	   sov_frame_open(joined[1], SOV_FRAME_PAGES, zd, counter, dst, n, scratch, back, sizeof page, &err) == SOV_OK && memcmp(back, page, sizeof page) == 0, "the page opens");
	ok_rc(sov_run_resplit(host, s, 2, 3, 5, again, &err), err, "shared out anew without the private key");
	for (int i = 0; i < 3; i++)
		(void) sov_run_share_parse(host, again[i + 1].data, again[i + 1].len, &s[i], &err);
	sov_run_free(joined[1]);
	ok(sov_run_join(reader, s, 3, &joined[1], &err) == SOV_OK && memcmp(joined[1]->k_run, run->k_run, 32) == 0, "it is the same run");
	sov_run_free(joined[1]);
	joined[1] = NULL;
	s[1].secret.secret[3] ^= 1;
	ok(sov_run_join(reader, s, 3, &joined[1], &err) == SOV_E_AUTH, "shares that do not agree on the sealed secret");
	s[0].secret.secret[3] ^= 1;
	s[2].secret.secret[3] ^= 1;
	ok(sov_run_join(reader, s, 3, &joined[1], &err) == SOV_E_AUTH, "nor an altered one");
	s[0].content_version = 8;
	ok(sov_run_join(reader, s, 3, &joined[1], &err) == SOV_E_KEY, "another pair");
	taken = 0;
	for (size_t i = 0; i < obj[0].len; i++)
	{
		obj[0].data[i] ^= 1;
		taken += sov_run_share_parse(host, obj[0].data, obj[0].len, &s[0], &err) == SOV_OK;
		obj[0].data[i] ^= 1;
		taken += sov_run_share_parse(host, obj[0].data, i, &s[0], &err) == SOV_OK;
	}
	ok(taken == 0, "a share that is altered or cut is refused");
	host->has_pair = false;
	sov_run_free(run);
	ok(sov_run_create(host, &run, &err) == SOV_E_KEY, "without any content key there is no run");
	sov_compressor_free(zc);
	ZSTD_freeDCtx(zd);
	for (int i = 0; i < 5; i++)
		sov_buf_free(&again[i]);
	for (int i = 0; i < 3; i++)
		sov_buf_free(&obj[i]);
	for (int i = 0; i < 4; i++)
		sov_buf_free(&out[i]);
	sov_run_free(joined[0]);
	sov_repo_keys_free(host);
	sov_repo_keys_free(reader);
}

int
main(void)
{
	static const int kn[][2] = {{1, 1}, {1, 3}, {2, 2}, {2, 3}, {3, 5}, {4, 6}, {16, 16}};
	struct sov_run *run = NULL,
			   *joined;

	keys = test_keys(1);
	other = test_keys(2);
	for (size_t i = 0; i < sizeof raw; i++)
		raw[i] = (uint8_t) (i * 2654435761u >> 9);
	for (size_t i = 0; i < sizeof kn / sizeof kn[0]; i++)
		if (kn[i][1] < 16)
			sharing(kn[i][0], kn[i][1]);
	mixed();
	altered_share();
	ok_rc(sov_run_create(keys, &run, &err), err, "a run to write with");
	joined = rejoin(run);
	ok(joined != NULL, "and the same, joined");
	frames(run, joined);
	compressor();
	streams(run, joined);
	forked(run);
	earlier();
	sealed();
	sov_run_free(run);
	sov_run_free(joined);
	sov_repo_keys_free(keys);
	sov_repo_keys_free(other);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
