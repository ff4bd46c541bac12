/*
 * leaving.h - the part of repo.c (test) about providers that are left: moves, drains that
 * are cut off, receipts, and other k and n.  Included once, behind what it calls.
 */
#ifndef LEAVING_H
#define LEAVING_H

static bool
at_once(void *ctx)
{
	(void) ctx;
	return true;
}

/* Stopped while a position is under way, and then too little can be seen. */
static void
test_interrupted_leave(struct sov_repo *repo, const struct sov_config *cfg)
{
	struct sov_progress stop = {.cancelled = at_once};
	struct sov_apply_result res;
	struct sov_error err;

	ok(sov_apply_run(repo, false, &stop, &res, &err) == SOV_E_CANCELLED, "apply is stopped while a position is under way: %s", err.message);
	shell("mv %s/b %s/b.away", base, base);
	repo = reopen(cfg);
	ok(repo && sov_apply_run(repo, false, NULL, &res, &err) == SOV_E_QUORUM && strstr(err.message, "looked at"),
	   "it does not go on while something may be overlooked: %s", err.message);
	sov_repo_close(repo);
	shell("mv %s/b.away %s/b", base, base);
}

/* When the first shard is there, a put stores half and says that all went well. */
static void
spoil(void *ctx, uint64_t done, uint64_t total)
{
	bool	   *spoilt = ctx;

	(void) done, (void) total;
	if (!*spoilt)
		shell("echo 'e put short 1' >%s/faults", base);
	*spoilt = true;
}

static void
test_leave(const struct sov_objref *ref)
{
	static const char *const abd[] = {"a", "b", "d", NULL};
	static const char *const aed[] = {"a", "e", "d", NULL};
	struct sov_config cfg;
	struct sov_repo *repo;
	struct sov_error err;
	struct sov_plan plan;
	struct sov_apply_result res;
	bool		spoilt = false;
	struct sov_progress spoiling = {.update = spoil, .ctx = &spoilt};
	char		faults[200];

	shell("rm -rf %s/c; mkdir -m 700 %s/d %s/e", base, base, base);
	configure(&cfg, abd, "state");
	repo = reopen(&cfg);
	ok(repo && readable(repo, ref, &err), "c gone, d new: still readable");
	ok(sov_plan_make(repo, &plan, &err) == SOV_OK && plan.n_moves == 1 && plan.moves[0].copies == 0 && plan.moves[0].rebuilds > 0,
	   "plan: %d move, %d rebuilds", plan.n_moves, (int) plan.moves[0].rebuilds);
	test_interrupted_leave(repo, &cfg);
	sov_repo_close(repo);
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "apply");
	ok(res.rebuilt == plan.moves[0].rebuilds, "as many as planned");
	ok(sov_plan_make(repo, &plan, &err) == SOV_OK && plan.n_moves == 0, "then there is nothing left to do");
	sov_repo_close(repo);
	shell("rm -rf %s/a.gone; mv %s/a %s/a.gone", base, base, base);
	repo = reopen(&cfg);
	ok(repo && readable(repo, ref, &err), "then a may vanish as well: %s", err.message);
	sov_repo_close(repo);
	shell("mv %s/a.gone %s/a", base, base);

	configure(&cfg, aed, "state");
	cfg.n_providers = 3;
	shell(">%s/faults", base);
	snprintf(faults, sizeof faults, "%s/faults", base);
	setenv("PG_SOVEREIGN_FAULTS", faults, 1);
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, &spoiling, &res, &err), err, "b left as well, while it is there but not configured");
	unsetenv("PG_SOVEREIGN_FAULTS");
	ok(spoilt && res.rebuilt == res.plan.moves[0].rebuilds + 1, "a shard that was stored by half is seen and put again: %d of %d", (int) res.rebuilt, (int) res.plan.moves[0].rebuilds);
	ok(res.n_receipts == 1 && !res.receipt[0].reached, "nothing can be deleted where nobody is configured");
	{
		struct sov_verify_result v = verify(repo, true, false);

		ok(v.missing == 0 && v.damaged == 0 && v.lost == 0, "all is at a, e and d");
	}
	sov_repo_close(repo);
	ok(open_code(&cfg, &err) == SOV_OK && notes[0] == '\0', "and opens without a note: %s", notes);
}

static bool
receipt_says(const struct sov_receipt *r, const char *text)
{
	struct sov_buf b = {0};
	char		path[400];
	bool		found;

	snprintf(path, sizeof path, "%s/state/%s", base, r->file);
	if (repo_read_file(path, &b, NULL) == SOV_OK)
		sov_write_u8(&b, 0);
	found = b.len > 0 && strstr((const char *) b.data, text) != NULL;
	sov_buf_free(&b);
	return found;
}

/* d is drained: first it says that it removes, and does not. */
static void
test_receipt(void)
{
	static const char *const aeb[] = {"a", "e", "b", NULL};
	static const char *const aed[] = {"a", "e", "d", NULL};
	static const char log[] = "l/0000000000000001/0000000000000001";
	struct sov_config cfg;
	struct sov_repo *repo;
	struct sov_error err;
	struct sov_apply_result res;
	char		text[400];

	shell("rm -rf %s/b; mkdir -m 700 %s/b", base, base);
	configure(&cfg, aeb, "state");
	shell("printf '[provider.d]\\ntype = folder\\npath = %s/d\\nstate = drain\\n' >>%s/conf", base, base);
	snprintf(text, sizeof text, "%s/conf", base);
	ok_rc(sov_config_read(text, SOV_NEED_REPOSITORY, &cfg, &err), err, "d is drained");
	shell("mkdir -p %s/d/l/0000000000000001 %s/d/c/probe-0000000000000001; echo >%s/d/c/probe-0000000000000001/plain; echo >%s/d/%s; echo >%s/d/l/0000000000000001/beat; echo >%s/d/c/0000000000000001; echo >%s/d/c/letter;"
		  "mkdir -p %s/d/a %s/d/p; echo >%s/d/a/photo.jpg; echo >%s/d/p/plan",
		  base, base, base, base, log, base, base, base, base, base, base, base);
	shell("echo 'd remove lie' >%s/faults", base);
	snprintf(text, sizeof text, "%s/faults", base);
	setenv("PG_SOVEREIGN_FAULTS", text, 1);
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "apply");
	ok(res.n_receipts == 1 && res.receipt[0].reached && res.receipt[0].deleted == 0 && res.receipt[0].bytes == 0 && res.receipt[0].failed > 3,
	   "what it says and does not do is on no receipt as deleted: %d, %d", (int) res.receipt[0].deleted, (int) res.receipt[0].failed);
	ok(receipt_says(&res.receipt[0], "has it still"), "but with the reason");
	sov_repo_close(repo);
	unsetenv("PG_SOVEREIGN_FAULTS");
	repo = reopen(&cfg);
	shell("touch %s/d/+tmp/half", base);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "apply again");
	ok(res.n_receipts == 1 && res.receipt[0].unfinished == 1 && receipt_says(&res.receipt[0], "+tmp/half"), "what was begun there and never finished is on the receipt");
	ok(res.n_receipts == 1 && res.receipt[0].deleted > 3 && res.receipt[0].failed == 0 && receipt_says(&res.receipt[0], log),
	   "then all of it is deleted, the audit log too");
	snprintf(text, sizeof text, "test \"$(cd %s/d && find . -type f | sort | tr -d '\\n')\" = ./a/photo.jpg./c/letter./p/plan", base);
	ok(system(text) == 0, "nothing is left there but what is somebody else's");
	sov_repo_close(repo);
	shell("rm -rf %s/d; mkdir -m 700 %s/d", base, base);
	configure(&cfg, aed, "state");
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "and back to d");
	sov_repo_close(repo);
}

static void
note_done(void *ctx, uint64_t done, uint64_t total)
{
	(void) total;
	*(uint64_t *) ctx = done;
}

static bool
once_begun(void *ctx)
{
	return *(uint64_t *) ctx > 0;
}

/* d is left while it answers; what is cut off goes on with what has arrived, if that is good. */
static void
test_interrupted_drain(const struct sov_objref *ref)
{
	static const char *const aeh[] = {"a", "e", "h", NULL};
	static const char *const aed[] = {"a", "e", "d", NULL};
	struct sov_config cfg;
	struct sov_repo *repo;
	struct sov_error err;
	uint64_t	done = 0,
				before;
	struct sov_progress stop = {.update = note_done, .cancelled = once_begun, .ctx = &done};
	struct sov_apply_result res;
	struct sov_verify_result v;
	char		path[300];
	int			flips;

	shell("mkdir -m 700 %s/h", base);
	configure(&cfg, aeh, "state");
	shell("printf '[provider.d]\\ntype = folder\\npath = %s/d\\nstate = drain\\n' >>%s/conf", base, base);
	snprintf(path, sizeof path, "%s/conf", base);
	ok_rc(sov_config_read(path, SOV_NEED_REPOSITORY, &cfg, &err), err, "d is drained");
	repo = reopen(&cfg);
	ok(sov_apply_run(repo, false, &stop, &res, &err) == SOV_E_CANCELLED, "it is cut off: %s", err.message);
	before = res.copied;
	sov_repo_close(repo);
	flips = flip_all("h", "m", 0);
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "apply goes on");
	sov_repo_close(repo);
	repo = reopen(&cfg);
	ok(flips > 0 && res.plan.moves[0].done == before - (uint64_t) flips, "what has arrived is not brought again, but where its header is not good: %d and %d", (int) res.plan.moves[0].done, flips);
	v = verify(repo, true, false);
	ok(v.damaged == 0 && v.missing == 0 && v.lost == 0 && readable(repo, ref, &err), "all is at a, e and h");
	sov_repo_close(repo);
	shell("rm -rf %s/d; mkdir -m 700 %s/d", base, base);
	configure(&cfg, aed, "state");
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "and back to d");
	sov_repo_close(repo);
}

static void
test_recode(const struct sov_objref *ref)
{
	static const char *const three[] = {"a", "e", "d", NULL};
	static const char *const five[] = {"a", "e", "d", "f", "g", NULL};
	struct sov_config cfg;
	struct sov_repo *repo;
	struct sov_error err;
	struct sov_apply_result res;
	struct sov_verify_result v;

	shell("mkdir -m 700 %s/f %s/g", base, base);
	configure(&cfg, five, "state");
	cfg.needed = 3;
	repo = reopen(&cfg);
	ok(repo && readable(repo, ref, &err), "2 of 3, 3 of 5 asked for: readable");
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "apply codes anew");
	ok(res.recoded > 0 && res.plan.recode.objects == res.recoded, "as many as planned");
	v = verify(repo, true, false);
	ok(v.missing == 0 && v.damaged == 0 && v.lost == 0 && v.tolerates == 2, "all is right, two may vanish");
	sov_repo_close(repo);
	shell("mv %s/a %s/a.away; mv %s/g %s/g.away", base, base, base, base);
	repo = reopen(&cfg);
	ok(repo && readable(repo, ref, &err), "and do: %s", err.message);
	sov_repo_close(repo);
	shell("mv %s/a.away %s/a; mv %s/g.away %s/g", base, base, base, base);

	configure(&cfg, three, "state");
	repo = reopen(&cfg);
	ok_rc(sov_apply_run(repo, false, NULL, &res, &err), err, "back to 2 of 3");
	ok(res.n_receipts == 2 && !res.receipt[0].reached, "two are left");
	v = verify(repo, true, false);
	ok(v.missing == 0 && v.damaged == 0 && v.lost == 0 && readable(repo, ref, &err), "all is at three again");
	sov_repo_close(repo);
}

#endif
