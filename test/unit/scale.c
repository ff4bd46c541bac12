/*
 * scale.c (test) - the engines without a server: memory on a cluster of many TB,
 * pages that are torn or bad when read, the limit on the rate.
 *
 * The large cluster's files are holes; its last backup is made up here, with as
 * many pieces, blocks, runs and packs as a real one would have (packs of 26 MiB,
 * compressed 2.5 times; their shards are empty files that are only listed).  The
 * next backup goes by size and time, so it handles all of the manifest and reads
 * nothing.  Packs are measured by their shards: all but the last of a backup hold
 * from 16 to 32 MiB.  SCALE_GB=20000 build/unit/scale shows the same for 20 TB.
 */
#include <dirent.h>

#include "sov_custodian.h"
#include "testserver.h"

#define LIMIT_MB 512
#define FILE_BLOCKS 8192		/* of a file of 1 GB, and of a piece */
#define PIECE_PACKS 16
#define BLOCK_PACKED 52000		/* sealed bytes of a block */
#define BULK_MB 448				/* a task of 32 MB and a pack of 26 for each of 12 workers, and more */

#if defined(__SANITIZE_ADDRESS__)
#define MEASURED false			/* memory is not what it is */
#else
#define MEASURED true
#endif

static struct sov_config cfg;
static struct sov_repo *repo;
static struct sov_error err;

/* --- small things --- */

/* Peak of resident memory since the last call with reset, in MB. */
static long
peak_mb(bool reset)
{
	char		line[200];
	long		kb = 0;
	FILE	   *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "VmHWM: %ld", &kb);
	if (f)
		fclose(f);
	if (reset && (f = fopen("/proc/self/clear_refs", "w")) != NULL)
	{
		fputs("5", f);
		fclose(f);
	}
	return kb / 1024;
}

static enum sov_code
back_up(const struct sov_backup_options *given, struct sov_backup_result *res)
{
	struct sov_backup_options opt = *given;

	opt.data_directory = data;
	opt.jobs = opt.jobs ? opt.jobs : 2;
	notes[0] = '\0';
	return sov_backup_run(repo, &source, &opt, NULL, res, &err);
}

/* Since the last call: how many packs there are and how many of them are short, by
 * the shards of one provider; what was only listed is empty. */
static int
new_packs(int *too_short, int *too_long)
{
	static struct id_set known;
	char		path[200],
				shard[500];
	struct dirent *d;
	struct stat st;
	DIR		   *dir;
	int			n = 0;

	snprintf(path, sizeof path, "%s/a/p", base);
	dir = opendir(path);
	*too_short = *too_long = 0;
	while (dir && (d = readdir(dir)) != NULL)
	{
		int		   *seen = id_set_put(&known, SOV_CLASS_PACK, d->d_name);

		snprintf(shard, sizeof shard, "%s/%s", path, d->d_name);
		if (seen == NULL || *seen || stat(shard, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
			continue;
		*seen = 1;
		n++;
		*too_short += st.st_size * 2 < 16 << 20;
		*too_long += st.st_size * 2 > 32 << 20;
	}
	if (dir)
		closedir(dir);
	return n;
}

static void
packs_are_full(const struct sov_backup_result *res, int at_least, int may_be_short)
{
	int			too_short,
				too_long,
				n = new_packs(&too_short, &too_long);

	ok(n == (int) res->packs && n >= at_least && too_short <= may_be_short && too_long == 0,
	   "%d packs (%llu said), %d of less than 16 MiB where %d may be, %d of more than 32", n, (unsigned long long) res->packs, too_short, may_be_short, too_long);
}

/* --- pages that are not right when they are read --- */

static void
bad_pages(void)
{
	const struct sov_backup_options opt = {.label = "pages"};
	struct sov_backup_result res;

	make_file("base/20001/3000", "torn", 8192 * 40);
	bad_reads = 3;
	ok_rc(back_up(&opt, &res), err, "a page that is torn three times when it is read");
	ok(bad_reads == 0 && res.entry.bad_pages == 0, "is read again until it is right, and not called bad");
	bad_reads = 1000;
	bad_lsn = 0x3000080;
	ok_rc(back_up(&opt, &res), err, "a page that stays torn, with an LSN of this backup's time");
	ok(res.entry.bad_pages == 0, "is mended by WAL, and not called bad");
	bad_reads = 1000;
	bad_lsn = 0x2000000;
	ok_rc(back_up(&opt, &res), err, "a page that stays wrong, with an older LSN");
	ok(res.entry.bad_pages == 1 && strstr(notes, "bad page: base/20001/3000 block 0 "), "is reported by file and block, and the backup is marked: %s", notes);
	bad_reads = 0;
}

/* --- the rate --- */

static void
rate(void)
{
	const struct sov_backup_options opt = {.label = "rate", .max_rate = 20 << 20, .full = true};
	struct sov_backup_result res;

	make_file("base/20001/3001", "", 12 << 20);
	ok_rc(back_up(&opt, &res), err, "a backup of 12 MB at 20 MB/s");
	ok(res.seconds >= 0.6, "takes at least 0.6 s: %.2f", res.seconds);
}

/* --- many TB --- */

static void
list_shards(uint8_t class_, const char *id)
{
	for (int slot = 0; slot < 3; slot++)
	{
		struct repo_place place;
		char		path[400];
		int			fd;

		repo_place(repo, class_, id, 0, (uint8_t) slot, 0, &place, NULL);
		snprintf(path, sizeof path, "%s/%s/%s", base, repo->providers[place.now].cfg->name, place.name_now);
		fd = open(path, O_WRONLY | O_CREAT, 0600);
		if (fd >= 0)
			close(fd);
	}
}

/* Piece i: one file of 1 GB. */
static enum sov_code
make_piece(struct engine *e, struct sov_piece *p, const char *path, struct sov_objref *ref)
{
	struct sov_buf bytes = {0};
	char		id[33];
	enum sov_code rc;

	for (int i = 0; i < PIECE_PACKS; i++)
	{
		sov_random(p->packs[i].id, 16, NULL);
		sov_hex(id, p->packs[i].id, 16);
		list_shards(SOV_CLASS_PACK, id);
	}
	p->files[0].path = (char *) path;
	rc = sov_piece_encode(p, &bytes, &err);
	if (rc == SOV_OK)
		rc = sov_repo_put_stream(repo, e->run, SOV_CLASS_META, NULL, 0, bytes.data, bytes.len, true, NULL, 0, ref, NULL, &err);
	sov_buf_free(&bytes);
	return rc;
}

static void
fill_piece(struct engine *e, struct sov_piece *p)
{
	p->n_files = 1;
	p->n_packs = PIECE_PACKS;
	p->n_blocks = p->n_runs = FILE_BLOCKS;
	p->n_pages = FILE_BLOCKS * SOV_BLOCK_PAGES;
	p->files = calloc(1, sizeof *p->files);
	p->packs = calloc(p->n_packs, sizeof *p->packs);
	p->blocks = calloc(p->n_blocks, sizeof *p->blocks);
	p->runs = calloc(p->n_runs, sizeof *p->runs);
	p->pages = calloc(p->n_pages, sizeof *p->pages);
	p->files[0] = (struct sov_mf_file) {.type = 'f', .mode = 0600, .size = UINT64_C(1) << 30, .mtime_us = (uint64_t) OLD * 1000000, .n_blocks = FILE_BLOCKS};
	for (uint32_t i = 0; i < FILE_BLOCKS; i++)
	{
		uint32_t	in_pack = i % (FILE_BLOCKS / PIECE_PACKS);

		p->blocks[i] = (struct sov_mf_block) {.first_run = i, .first_page = i * SOV_BLOCK_PAGES, .n_runs = 1};
		memset(p->blocks[i].hash, (int) i, 16);
		p->runs[i] = (struct sov_mf_run) {.length = SOV_FRAME_MAX, .raw_len = SOV_FRAME_MAX, .pack = i / (FILE_BLOCKS / PIECE_PACKS),
			.offset = in_pack * BLOCK_PACKED, .sealed_len = BLOCK_PACKED, .counter = i};
	}
	for (int i = 0; i < PIECE_PACKS; i++)
	{
		memcpy(p->packs[i].run, e->run->id, 16);
		p->packs[i].sealed_len = (uint64_t) BLOCK_PACKED * FILE_BLOCKS / PIECE_PACKS;
	}
}

/* The last backup of a cluster of so many GB: committed, and all made up. */
static enum sov_code
invent(int gb)
{
	struct engine *e = calloc(1, sizeof *e);
	const struct sov_backup_options opt = {.label = "invented"};
	struct piece_list pl = {0};
	struct sov_manifest m = {0};
	struct sov_backup_entry entry;
	struct sov_piece p = {0};
	struct sov_buf map = {0};
	char		path[100];
	enum sov_code rc = sov_repo_run_begin(repo, &e->run, &err);

	e->repo = repo;
	e->opt = &opt;
	start(NULL, "", true, &e->info, NULL);
	pl.refs = calloc((size_t) gb, sizeof *pl.refs);
	fill_piece(e, &p);
	snprintf(path, sizeof path, "base/20000");
	for (int i = 0; i < gb && rc == SOV_OK; i++)
	{
		snprintf(path, sizeof path, "base/20000/%d", 100000 + i);
		make_file(path, "", UINT64_C(1) << 30);
		rc = make_piece(e, &p, path, &pl.refs[i].ref);
		pl.refs[i].first_path = strdup(path);
		pl.n++;
		p.files[0].path = NULL;
	}
	m.start_us = m.stop_us = (uint64_t) repo_now_us();
	snprintf(m.backup_id, sizeof m.backup_id, "20200101T000000Z-0000");
	m.timeline = 1;
	m.stop_lsn = 0x3000100;
	(void) stop(NULL, &m.stop_lsn, &m.backup_label, &map, NULL);
	if (rc == SOV_OK)
		rc = sov_lease_begin(repo, &e->lease, &err);
	if (rc == SOV_OK)
		rc = backup_write(e, &pl, &m, &entry, &err);
	sov_piece_free(&p);
	pieces_free(&pl);
	sov_run_free(e->run);
	free(e->info.databases);
	free(e);
	return rc;
}

/* Little that is new, over all workers, and before many pieces that changed and wait
 * for it: what the workers have is closed as one pack. */
static void
closed_early(int gb)
{
	const struct sov_backup_options opt = {.label = "early", .by_mtime = true, .jobs = MAX_JOBS};
	struct sov_backup_result res;
	char		path[400];

	for (int i = 0; i < MAX_JOBS; i++)
	{
		snprintf(path, sizeof path, "base/1/%d", 5000 + i);
		make_bulk(path, 1, 32);
	}
	for (int i = 0; i < gb && i < 100; i++)
	{
		snprintf(path, sizeof path, "%s/base/20000/%d", data, 100000 + i);
		if (chmod(path, 0640) != 0)
			printf("# %s: not changed\n", path);
	}
	ok_rc(back_up(&opt, &res), err, "a backup of which many pieces wait for little");
	ok(res.pieces - res.same_pieces >= (uint32_t) (gb < 100 ? gb : 100), "%u of %u pieces are other ones", res.pieces - res.same_pieces, res.pieces);
	packs_are_full(&res, 1, 2);
}

static void
large(int gb)
{
	const struct sov_backup_options opt = {.label = "large", .by_mtime = true, .jobs = MAX_JOBS};
	struct sov_restore_options to = {.backup = NULL, .restore_command = "false", .inclusive = true, .action = "promote", .jobs = MAX_JOBS,
		.n_databases = 1, .databases = {"other"}};
	struct sov_backup_result res;
	struct sov_restore_result restored;
	char		target[400];
	long		before,
				mb;
	int			n;

	(void) new_packs(&n, &n);
	ok_rc(invent(gb), err, "the manifest of a cluster of %d GB", gb);
	/* beside what size and time pass over, in the database that is restored: so that
	 * every worker fills its pack, and fetches one */
	make_bulk("base/20001/4000", MEASURED ? BULK_MB : 1, MEASURED ? BULK_MB : 1);
	peak_mb(true);
	before = peak_mb(false);
	ok_rc(back_up(&opt, &res), err, "its next backup");
	mb = peak_mb(true);
	ok(res.skipped_bytes >= (uint64_t) gb << 30 && res.lost_packs == 0, "handles %llu GB by size and time, %u pieces of %u are the earlier ones",
	   (unsigned long long) (res.skipped_bytes >> 30), res.same_pieces, res.pieces);
	ok(!MEASURED || mb <= LIMIT_MB, "and takes %ld MB of memory (%ld before it), %.1f s", mb, before, res.seconds);
	packs_are_full(&res, MEASURED ? BULK_MB / 26 : 1, 1);
	closed_early(gb);
	snprintf(target, sizeof target, "%s/restored", base);
	to.target = target;
	ok_rc(sov_restore_run(repo, &to, NULL, &restored, &err), err, "its restore, the large database left out");
	mb = peak_mb(true);
	ok(!MEASURED || mb <= LIMIT_MB, "takes %ld MB of memory, %.1f s", mb, restored.seconds);
	ok(restored.files >= (uint64_t) gb, "and makes %llu files", (unsigned long long) restored.files);
	snprintf(target, sizeof target, "cmp %s/base/20001/4000 %s/restored/base/20001/4000 && diff -r %s/base/1 %s/restored/base/1", data, base, data, base);
	ok(restored.bytes >= (uint64_t) BULK_MB << 20 || !MEASURED, "%llu MB of them read, packed, fetched and written", (unsigned long long) (restored.bytes >> 20));
	ok(system(target) == 0, "as they were");
}

int
main(void)
{
	char		path[200];
	uint8_t		id[16];
	int			gb = getenv("SCALE_GB") ? atoi(getenv("SCALE_GB")) : 0;

	snprintf(base, sizeof base, "%s/sovscaleXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return 1;
	snprintf(data, sizeof data, "%s/data", base);
	shell("mkdir -m 700 %s/a %s/b %s/c %s %s/global %s/base %s/base/1 %s/base/20000 %s/base/20001",
		  base, base, base, data, data, data, data, data, data);
	for (const char *const *p = abc; *p; p++)
		shell("mkdir -m 700 %s/%s/p", base, *p);
	make_file("PG_VERSION", "15\n", 3);
	make_file("global/pg_control", "control", 8192);
	snprintf(path, sizeof path, "%s/root.key", base);
	ok_rc(sov_custodian_file_create(path, id, &err), err, "root key");
	configure(&cfg, abc, "state");
	ok_rc(sov_repo_init(&cfg, take_note, NULL, &repo, &err), err, "init");
	bad_pages();
	rate();
	large(gb > 0 ? gb : MEASURED ? 500 : 4);
	sov_repo_close(repo);
	shell("rm -rf %s", base);
	return tap_done();
}
