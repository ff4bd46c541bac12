/*
 * write_only - who takes all that a write-only host has, and what lies at all providers,
 * reads no WAL and no page: tried by a search for the key of a run in everything that is
 * there.  The same search finds it where there is no pair of content keys, and the
 * content custodian's key opens it.
 */
#include <zstd.h>

#include "testrepo.h"
#include "wal/wal_private.h"

static struct sov_error err;
static uint8_t word[4000];
static const char segment[] = "000000010000000000000001";
static struct sov_objref manifest;
static uint8_t run_id[16],
			frame[2 * sizeof word];
static size_t frame_len;
static uint64_t counter;

/* A configuration with lines more in [repository] and in [custody]. */
static void
configured(struct sov_config *cfg, const char *state, const char *repository, const char *custody)
{
	char		path[300];
	FILE	   *f;

	snprintf(path, sizeof path, "%s/conf", base);
	f = fopen(path, "w");
	fprintf(f, "[repository]\nname = test\nneeded = 2\nshards = 3\nstate-directory = %s/%s\n%s[custody]\nroot = file:%s/root.key\n", base, state, repository, base);
	if (custody[0])
		fprintf(f, "content = file:%s/%s\n", base, custody);
	for (int i = 0; i < 3; i++)
		fprintf(f, "[provider.%s]\ntype = folder\npath = %s/%s\n", abc[i], base, abc[i]);
	fclose(f);
	ok_rc(sov_config_read(path, SOV_NEED_REPOSITORY, cfg, &err), err, "configuration%s%s", repository[0] ? ", write-only" : "", custody[0] ? ", with a content custodian" : "");
}

/* A segment, a page and a manifest, as one process writes them. */
static void
write_some(const struct sov_config *cfg)
{
	struct sov_repo *repo = reopen(cfg);
	struct sov_run *run = NULL;
	struct sov_compressor *zc = sov_compressor_new(1);

	ok_rc(sov_repo_run_begin(repo, &run, &err), err, "a run");
	memcpy(run_id, run->id, 16);
	ok(sov_frame_seal(run, SOV_FRAME_PAGES, zc, word, sizeof word, frame, sizeof frame, &frame_len, &counter, &err) == SOV_OK &&
	   sov_repo_put_stream(repo, run, SOV_CLASS_WAL, segment, 1, word, sizeof word, false, NULL, 0, NULL, NULL, &err) == SOV_OK &&
	   sov_repo_put_stream(repo, run, SOV_CLASS_META, NULL, 0, "manifest", 8, false, NULL, 0, &manifest, NULL, &err) == SOV_OK, "a page, a segment and a manifest are stored");
	sov_compressor_free(zc);
	sov_run_free(run);
	sov_repo_close(repo);
}

/* --- the search --- */

static int
derives(const struct sov_run *run, const uint8_t ikm[32])
{
	static const char *const labels[] = {"pg_sovereign run v1", "pg_sovereign run v2"};
	uint8_t		info[64],
				key[32],
				commitment[32];
	bool		found;

	(void) sov_commit(ikm, "run", commitment, NULL);
	found = memcmp(commitment, run->commitment, 32) == 0;	/* the key itself */
	for (int l = 0; l < 2 && !found; l++)
	{
		size_t		n = strlen(labels[l]);

		memcpy(info, labels[l], n);
		memcpy(info + n, run->repo, 16);
		memcpy(info + n + 16, run->id, 16);
		sov_put_le16(info + n + 32, SOV_SUITE);
		(void) sov_hkdf(run->r, 32, ikm, 32, info, n + 34, key, 32, NULL);
		(void) sov_commit(key, "run", commitment, NULL);
		found = memcmp(commitment, run->commitment, 32) == 0;
	}
	return found;
}

static void
add_file(struct sov_buf *hay, const char *name)
{
	char		path[300];
	struct sov_buf bytes = {0};

	snprintf(path, sizeof path, "%s/%s", base, name);
	ok(repo_read_file(path, &bytes, NULL) == SOV_OK, "the host has %s", name);
	sov_write_bytes(hay, bytes.data, bytes.len);
	sov_buf_free(&bytes);
}

static int
opens(struct sov_repo *repo, const struct sov_run *run)
{
	struct sov_shard_info info;
	struct sov_buf sealed = {0},
				plain = {0};
	int			found = 0;

	if (sov_repo_get_sealed(repo, SOV_CLASS_WAL, segment, 0, 0, &info, &sealed, &err) != SOV_OK)
		return -1000;
	found = sov_stream_open(run, SOV_CLASS_WAL, segment, info.stream, sealed.data, sealed.len, &plain, &err) == SOV_OK;
	found += memmem(sealed.data, sealed.len, word, 16) != NULL;
	sov_buf_free(&sealed);
	sov_buf_free(&plain);
	return found;
}

/* Of what the host's root key opens, and of its files, every 32 bytes. */
static int
search(struct sov_repo *repo)
{
	struct sov_buf hay = {0};
	struct sov_run_share shares[SOV_EC_MAX];
	struct sov_run *run = NULL;
	uint8_t		kek[32];
	int			n = 0,
				found = 0;

	ok_rc(repo_read_shares(repo, &repo->admin.map, run_id, -1, shares, &n, &err), err, "all shares of the run are read");
	if (sov_run_join(repo->keys, shares, n, &run, &err) != SOV_OK || sov_keyring_open_kek(repo->custodian, repo->priv->keyring_object.data, repo->priv->keyring_object.len, kek, &err) != SOV_OK)
		return -1;
	sov_write_bytes(&hay, repo->keys, sizeof *repo->keys);
	sov_write_bytes(&hay, kek, 32);
	sov_write_bytes(&hay, &shares[0], sizeof shares[0]);
	sov_write_bytes(&hay, run->r, 32);
	sov_write_bytes(&hay, run->k_index, 32);
	sov_write_bytes(&hay, &run->secret, sizeof run->secret);
	sov_write_bytes(&hay, repo->priv->keyring_object.data, repo->priv->keyring_object.len);
	add_file(&hay, "root.key");
	for (size_t at = 0; at + 32 <= hay.len; at++)
		found += derives(run, hay.data + at);
	/* the index key, taken for the run's, on what lies at the providers */
	memcpy(run->k_run, run->k_index, 32);
	run->reads = true;
	found += opens(repo, run);
	sov_run_free(run);
	sov_buf_free(&hay);
	return found;
}

static enum sov_code
read_segment(struct sov_repo *repo)
{
	struct sov_buf out = {0};
	enum sov_code rc = sov_repo_get_stream(repo, SOV_CLASS_WAL, segment, 0, NULL, &out, &err);

	if (rc == SOV_OK && (out.len != sizeof word || memcmp(out.data, word, sizeof word) != 0))
		rc = SOV_E_CORRUPT;
	sov_buf_free(&out);
	return rc;
}

static enum sov_code
read_page(struct sov_repo *repo)
{
	const struct sov_run *run;
	uint8_t		page[sizeof word],
				scratch[sizeof frame];
	void	   *zd = ZSTD_createDCtx();
	enum sov_code rc = sov_repo_run_open(repo, run_id, true, &run, &err);

	if (rc == SOV_OK)
		rc = sov_frame_open(run, SOV_FRAME_PAGES, zd, counter, frame, frame_len, scratch, page, sizeof page, &err);
	ZSTD_freeDCtx(zd);
	return rc;
}

static bool
reads_manifest(struct sov_repo *repo)
{
	struct sov_buf out = {0};
	bool		good = sov_repo_get_stream(repo, SOV_CLASS_META, manifest.id, 0, NULL, &out, &err) == SOV_OK && out.len == 8;

	sov_buf_free(&out);
	return good;
}

/* --- --- */

static void
without_pair(void)
{
	struct sov_config *cfg = malloc(sizeof *cfg);
	struct sov_repo *repo = NULL;
	struct sov_run *run = NULL;

	configured(cfg, "state", "", "");
	ok_rc(sov_repo_init(cfg, NULL, NULL, &repo, &err), err, "a repository without a pair");
	sov_repo_close(repo);
	write_some(cfg);
	repo = reopen(cfg);
	ok(search(repo) >= 1, "the search finds the key of the run");
	ok(read_segment(repo) == SOV_OK && read_page(repo) == SOV_OK && reads_manifest(repo), "all is read");
	sov_repo_close(repo);

	/* a line in the configuration does not make it write-only, but nothing is written that it reads */
	configured(cfg, "state", "host = write-only\n", "");
	repo = reopen(cfg);
	ok(sov_repo_run_begin(repo, &run, &err) == SOV_E_STATE && strstr(err.message, "not sealed to a public key") && err.hint[0], "write-only without a pair: it writes nothing");
	ok(read_segment(repo) == SOV_E_KEY && err.hint[0], "nor does it read, as it says of itself");
	sov_repo_close(repo);
	shell("rm -rf %s/a %s/b %s/c %s/state; mkdir %s/a %s/b %s/c", base, base, base, base, base, base, base);
	free(cfg);
}

static void
with_pair(void)
{
	struct sov_config *cfg = malloc(sizeof *cfg);
	struct sov_repo *repo = NULL;

	configured(cfg, "state", "host = write-only\n", "");
	ok(sov_repo_init(cfg, NULL, NULL, &repo, &err) == SOV_E_CONFIG && err.hint[0], "no pair without its custodian");
	configured(cfg, "state", "", "content.key");
	ok_rc(sov_repo_init(cfg, NULL, NULL, &repo, &err), err, "a repository with a pair");
	sov_repo_close(repo);
	shell("mv %s/content.key %s/away.key", base, base);
	configured(cfg, "state", "host = write-only\n", "");
	write_some(cfg);
	repo = reopen(cfg);
	ok(search(repo) == 0, "the search finds nothing");
	ok(read_segment(repo) == SOV_E_KEY && strstr(err.message, "write-only") && strstr(err.message, "content.key") && err.hint[0], "no WAL is read, and it says who could");
	ok(read_page(repo) == SOV_E_KEY, "nor a page");
	ok(reads_manifest(repo), "but the manifest is");
	sov_repo_close(repo);

	configured(cfg, "state", "", "");
	repo = reopen(cfg);
	ok(read_segment(repo) == SOV_E_KEY && strstr(err.message, "names no content custodian") && err.hint[0], "nor without the line \"host\"");
	sov_repo_close(repo);
	configured(cfg, "state", "host = write-only\n", "away.key");
	repo = reopen(cfg);
	ok(read_segment(repo) == SOV_E_KEY && !repo->keys->has_private, "a write-only host does not ask the custodian that it names");
	sov_repo_close(repo);
	configured(cfg, "reader", "", "away.key");
	repo = reopen(cfg);
	ok(reads_manifest(repo) && !repo->keys->has_private, "elsewhere the custodian is not asked for what is no content");
	ok(read_segment(repo) == SOV_OK && read_page(repo) == SOV_OK && repo->keys->has_private, "and for content it is: all is read");
	sov_repo_close(repo);
	free(cfg);
}

/* --- a repository that gets its pair later --- */

/* A catalogue without backups, under the run of ctx. */
static enum sov_code
put_catalogue(void *ctx, struct sov_repo *repo, struct sov_head *head, struct sov_error *e)
{
	struct sov_catalogue none = {0, NULL};
	struct sov_buf bytes = {0};
	enum sov_code rc = sov_catalogue_encode(&none, &bytes, e);

	if (rc == SOV_OK)
		rc = sov_repo_put_stream(repo, ctx, SOV_CLASS_META, NULL, 0, bytes.data, bytes.len, false, NULL, 0, &head->catalogue, NULL, e);
	head->has_catalogue = rc == SOV_OK;
	sov_buf_free(&bytes);
	return rc;
}

/* A host writes a history file and a catalogue. */
static void
write_index(const struct sov_config *cfg, const char *history)
{
	struct sov_repo *repo = reopen(cfg);
	struct sov_run *run = NULL;

	ok(sov_repo_run_begin(repo, &run, &err) == SOV_OK &&
	   sov_repo_put_stream(repo, run, SOV_CLASS_WAL, history, 2, "1\t0/3000000\tx\n", 14, true, NULL, 0, NULL, NULL, &err) == SOV_OK &&
	   sov_repo_commit(repo, put_catalogue, run, &err) == SOV_OK, "%s and a catalogue are stored", history);
	sov_run_free(run);
	sov_repo_close(repo);
}

static void
write_more(const struct sov_config *cfg, const char *name)
{
	struct sov_repo *repo = reopen(cfg);
	struct sov_run *run = NULL;

	ok(sov_repo_run_begin(repo, &run, &err) == SOV_OK &&
	   sov_repo_put_stream(repo, run, SOV_CLASS_WAL, name, 1, word, sizeof word, false, NULL, 0, NULL, NULL, &err) == SOV_OK, "%s is stored", name);
	memcpy(run_id, run->id, 16);
	sov_run_free(run);
	sov_repo_close(repo);
}

static bool
reads_index(struct sov_repo *repo, const char *history)
{
	struct sov_catalogue cat = {0, NULL};
	struct sov_buf out = {0};
	bool		good = sov_repo_catalogue(repo, &cat, &err) == SOV_OK && wal_read_any(repo, history, &out, &err) == SOV_OK && out.len == 14;

	sov_catalogue_free(&cat);
	sov_buf_free(&out);
	return good;
}

static enum sov_code
seal_here(const struct sov_config *cfg, struct sov_seal_result *res)
{
	struct sov_repo *repo = reopen(cfg);
	enum sov_code rc = sov_repo_seal_content(repo, res, &err);

	sov_repo_close(repo);
	return rc;
}

static void
pair_later(void)
{
	struct sov_config *cfg = malloc(sizeof *cfg),
			   *other = malloc(sizeof *other);
	struct sov_repo *repo = NULL;
	struct sov_seal_result res;
	const struct sov_run *run = NULL;
	uint8_t		first[16];
	char		uri[300];

	configured(cfg, "one", "", "");
	ok_rc(sov_repo_init(cfg, NULL, NULL, &repo, &err), err, "a repository without a pair");
	sov_repo_close(repo);
	write_some(cfg);
	write_index(cfg, "00000002.history");
	shell("cp -a %s/one %s/two && rm -f %s/two/writer.key %s/two/head*", base, base, base, base);
	configured(other, "two", "", "");
	write_index(other, "00000003.history");
	ok(seal_here(cfg, &res) == SOV_E_CONFIG && err.hint[0], "no pair without a content custodian");
	configured(cfg, "one", "", "away.key");
	ok(seal_here(cfg, &res) == SOV_E_STATE && strstr(err.message, "another host") && err.hint[0] && res.made && !res.dropped && res.objects == 3,
	   "two history files and a catalogue are sealed anew; another host has a part to do");
	repo = reopen(other);
	ok(repo->keys->has_content && repo->keys->has_pair && read_segment(repo) == SOV_OK && reads_index(repo, "00000002.history"), "until then every host reads");
	sov_repo_close(repo);
	ok(seal_here(other, &res) == SOV_OK && !res.made && res.dropped && res.objects == 1 && res.keyrings_left == 0, "it does, and the content key goes, without its custodian");
	ok(seal_here(cfg, &res) == SOV_OK && !res.made && !res.dropped && res.objects == 0, "again: nothing is left to do");
	configured(cfg, "one", "host = write-only\n", "");
	repo = reopen(cfg);
	ok(search(repo) <= 0, "the search finds nothing any more");
	ok(read_segment(repo) == SOV_E_KEY, "what was stored before is not read");
	ok(reads_index(repo, "00000002.history") && reads_index(repo, "00000003.history"), "but what a host needs of it");
	sov_repo_close(repo);
	configured(cfg, "reader2", "", "away.key");
	repo = reopen(cfg);
	ok(read_segment(repo) == SOV_OK && read_page(repo) == SOV_OK, "which the content custodian opens");
	sov_repo_close(repo);

	/* a new pair, kept by another */
	configured(cfg, "one", "host = write-only\n", "");
	repo = reopen(cfg);
	ok(sov_repo_rotate_content(repo, NULL, &err) == SOV_E_CONFIG && err.hint[0], "a host without the content custodian makes no new pair");
	sov_repo_close(repo);
	configured(cfg, "reader2", "", "away.key");
	repo = reopen(cfg);
	snprintf(uri, sizeof uri, "file:%s/third.key", base);
	ok_rc(sov_repo_rotate_content(repo, uri, &err), err, "a new pair, with another custodian");
	ok(sov_repo_remove_old_keyrings(repo) == 0, "the former keyring goes");
	sov_repo_close(repo);
	configured(cfg, "one", "host = write-only\n", "");
	memcpy(first, run_id, 16);
	write_more(cfg, "000000010000000000000002");
	ok(memcmp(first, run_id, 16) != 0, "the host writes under it");
	configured(cfg, "reader2", "", "away.key");
	repo = reopen(cfg);
	ok(read_segment(repo) == SOV_E_KEY, "the former custodian opens nothing any more");
	sov_repo_close(repo);
	configured(cfg, "reader2", "", "third.key");
	repo = reopen(cfg);
	ok(read_segment(repo) == SOV_OK && sov_repo_run_open(repo, run_id, true, &run, &err) == SOV_OK && run->reads && run->content_version == repo->keys->pair_version, "the new one opens what was stored before and after");
	sov_repo_close(repo);
	free(cfg);
	free(other);
}

int
main(void)
{
	uint8_t		id[16];
	char		path[300];

	snprintf(base, sizeof base, "/tmp/sov_write_only.XXXXXX");
	if (mkdtemp(base) == NULL)
		return 1;
	for (size_t i = 0; i < sizeof word; i++)
		word[i] = (uint8_t) ("Wiedehopf"[i % 9] + i / 900);
	shell("mkdir %s/a %s/b %s/c", base, base, base);
	for (int i = 0; i < 3; i++)
	{
		snprintf(path, sizeof path, "%s/%s", base, i == 2 ? "third.key" : i ? "content.key" : "root.key");
		ok_rc(sov_custodian_file_create(path, id, &err), err, "a root key");
	}
	without_pair();
	with_pair();
	shell("rm -rf %s/a %s/b %s/c; mkdir %s/a %s/b %s/c", base, base, base, base, base, base);
	pair_later();
	shell("rm -rf %s", base);
	ok(tap_locked_kb() == 0, "every secret is freed: %ld kB left", tap_locked_kb());
	return tap_done();
}
