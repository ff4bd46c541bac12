/*
 * folder.h - the row of the conformance suite for a folder: how one is made, taken away and
 * brought back, and the tests of this adapter alone.  Included once, behind the suite.
 */
#ifndef FOLDER_H
#define FOLDER_H

/* --- folder --- */

static char *
sub(const struct sov_provider_config *cfg, const char *name)
{
	static char path[4][1400];
	static int	n;

	n = (n + 1) % 4;
	snprintf(path[n], sizeof path[n], "%s%s", cfg->path, name);
	return path[n];
}

static bool
folder_prepare(struct sov_provider_config *cfg)
{
	char		base[200];

	snprintf(base, sizeof base, "%s/sov_conformance_XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(base) == NULL)
		return false;
	snprintf(cfg->path, sizeof cfg->path, "%s/store", base);
	return mkdir(cfg->path, 0700) == 0;
}

static bool
folder_vanish(const struct sov_provider_config *cfg)
{
	return rename(cfg->path, sub(cfg, ".away")) == 0;
}

static bool
folder_comeback(const struct sov_provider_config *cfg)
{
	return rename(sub(cfg, ".away"), cfg->path) == 0;
}

static void
folder_cleanup(const struct sov_provider_config *cfg)
{
	char		cmd[1400];

	snprintf(cmd, sizeof cmd, "b='%s'; rm -rf \"${b%%/store}\"", cfg->path);
	ok(system(cmd) == 0, "folder: cleared up");
}

/* The mount is gone and its empty mount point is left. */
static void
folder_empty_mount_point(const struct sov_provider_config *cfg)
{
	struct sov_provider *p = NULL;
	struct sov_object_stat st;
	struct count c;

	ok_rc(sov_provider_open(cfg, &p, &err), err, "folder: open");
	ok(folder_vanish(cfg) && mkdir(cfg->path, 0700) == 0, "folder: an empty mount point takes the place of the store");
	ok(get_code(p, "p/one") == SOV_E_PROVIDER && strstr(err.hint, "mounted"), "folder: it is not an empty provider (get)");
	ok(sov_provider_stat(p, "p/one", &st, &err) == SOV_E_PROVIDER, "folder: ... (stat)");
	ok(count(p, "", &c, 0) == -1, "folder: ... (list)");
	ok(put_text(p, "p/x", "x", false) == SOV_E_PROVIDER && rmdir(cfg->path) == 0, "folder: and put leaves nothing in it");
	ok(folder_comeback(cfg), "folder: back again");
	sov_provider_close(p);
}

#define NOBODY 65534

static void
folder_special(const struct sov_provider_config *cfg)
{
	struct sov_provider *p = NULL;
	struct stat st;
	struct count c;
	FILE	   *f;
	bool		root = geteuid() == 0;

	ok_rc(sov_provider_open(cfg, &p, &err), err, "folder: open");
	ok(stat(sub(cfg, "/p/one"), &st) == 0 && (st.st_mode & 07777) == 0600 && stat(sub(cfg, "/p"), &st) == 0 && (st.st_mode & 07777) == 0700, "folder: modes 0600 and 0700");
	ok(rmdir(sub(cfg, "/+tmp")) == 0 && mkdir(sub(cfg, "/+tmp"), 0700) == 0, "folder: no temporary is left");
	f = fopen(sub(cfg, "/+tmp/half"), "w");
	fclose(f);
	f = fopen(sub(cfg, "/p/NotOurs"), "w");
	fclose(f);
	ok(symlink("/etc", sub(cfg, "/p/link")) == 0 && symlink("/etc/passwd", sub(cfg, "/p/file")) == 0 && mkfifo(sub(cfg, "/p/fifo"), 0600) == 0, "folder: strange files appear");
	ok(count(p, "p/", &c, 0) == 7, "folder: list shows objects only");
	ok(count(p, "+tmp", &c, 0) == 0, "folder: temporaries are no objects");
	ok(get_code(p, "p/link/passwd") == SOV_E_NOTFOUND && get_code(p, "p/file") == SOV_E_NOTFOUND && get_code(p, "p/fifo") == SOV_E_NOTFOUND, "folder: links and pipes are no objects");
	ok(put_text(p, "p/link/x", "x", false) == SOV_E_PROVIDER, "folder: nothing is written through a link");
	sov_provider_close(p);
	folder_empty_mount_point(cfg);
	chmod(cfg->path, 0);
	if (root && seteuid(NOBODY) != 0)	/* root may read all */
		return skip("a folder that may not be read", "root cannot become another user here");
	ok(sov_provider_open(cfg, &p, &err) == SOV_E_PROVIDER && !err.retryable && err.hint[0], "folder: one that may not be read is not empty");
	if (root && seteuid(0) != 0)
		exit(1);
	chmod(cfg->path, 0700);
}

#endif
