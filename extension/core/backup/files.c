/*
 * files.c - which files a backup takes.
 *
 * The rules are those of PostgreSQL's documentation, "Making an Exclusive/Non-
 * Exclusive Low-Level Backup" and pg_basebackup: what the server makes anew at
 * start, temporary files and relations, unlogged relations (but for their init
 * forks) and WAL are left out; the directories themselves stay.
 */
#include "files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RELSEG_PAGES 131072		/* pages of a 1 GB segment; builds with others are refused by the command */

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Is this path (relative to PGDATA) left out of backups, as PostgreSQL's
 * documentation of low-level backups says?  Contents of some directories are
 * left out while the directory itself is kept. */
enum skip { KEEP, SKIP, SKIP_CONTENTS };
static enum skip
left_out_of_backups(const char *path, bool is_dir)
{
	static const char *const emptied[] = {
		"pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial",
		"pg_snapshots", "pg_stat_tmp", "pg_subtrans", NULL
	};
	static const char *const left_out[] = {
		"backup_label", "backup_label.old", "tablespace_map", "tablespace_map.old", "backup_manifest",
		"postmaster.pid", "postmaster.opts", "recovery.signal", "standby.signal",
		"postgresql.auto.conf.tmp", "current_logfiles.tmp", NULL
	};
	const char *name = base_name(path);

	if (strncmp(name, "pgsql_tmp", 9) == 0)
		return SKIP;
	if (strncmp(name, "pg_internal.init", 16) == 0)
		return SKIP;
	if (strchr(path, '/') == NULL)
	{
		for (int i = 0; is_dir && emptied[i]; i++)
			if (strcmp(path, emptied[i]) == 0)
				return SKIP_CONTENTS;
		for (int i = 0; left_out[i]; i++)
			if (strcmp(path, left_out[i]) == 0)
				return SKIP;
	}
	return KEEP;
}

/* Name of a relation's file "OID[_fork][.segment]": *oid_len is the length of the
 * OID, *init true for an init fork. */
static bool
relation_name(const char *name, size_t *oid_len, bool *init, uint32_t *segment)
{
	const char *p = name;

	*init = false;
	*segment = 0;
	while (isdigit((unsigned char) *p))
		p++;
	*oid_len = (size_t) (p - name);
	if (*oid_len == 0 || *oid_len > 10)
		return false;
	if (*p == '_')
	{
		size_t		n = strcspn(++p, ".");

		if (!(n == 3 && strncmp(p, "fsm", 3) == 0) && !(n == 2 && strncmp(p, "vm", 2) == 0) && !(n == 4 && strncmp(p, "init", 4) == 0))
			return false;
		*init = n == 4;
		p += n;
	}
	if (*p == '.')
	{
		char	   *end;
		unsigned long s = strtoul(++p, &end, 10);

		if (!isdigit((unsigned char) *p) || *end != '\0' || s > UINT32_MAX / RELSEG_PAGES)
			return false;
		*segment = (uint32_t) s;
		return true;
	}
	return *p == '\0';
}

/* "t<backend>_<oid>...": a temporary relation. */
static bool
is_temp_relation(const char *name)
{
	const char *p = name;

	if (*p++ != 't' || !isdigit((unsigned char) *p))
		return false;
	while (isdigit((unsigned char) *p))
		p++;
	return *p == '_' && isdigit((unsigned char) p[1]);
}

/* Directories whose files are relations: global, base/N, and N in a version
 * directory of a tablespace. */
static bool
holds_relations(const char *dir)
{
	const char *p;

	if (strcmp(dir, "global") == 0)
		return true;
	if (strncmp(dir, "base/", 5) == 0)
		return strchr(dir + 5, '/') == NULL;
	if (strncmp(dir, "pg_tblspc/", 10) != 0)
		return false;
	p = strchr(dir + 10, '/');
	p = p ? strchr(p + 1, '/') : NULL;
	return p != NULL && strchr(p + 1, '/') == NULL;
}

static void
add(struct file_list *list, const char *path, const struct stat *st, bool relation_dir)
{
	struct plan_file *f;
	size_t		oid_len;
	uint32_t	segment;
	bool		init;

	if (list->n == list->cap)
	{
		size_t		cap = list->cap ? list->cap * 2 : 1024;
		void	   *p = realloc(list->files, cap * sizeof *list->files);

		if (p == NULL)
		{
			list->nomem = true;
			return;
		}
		list->files = p;
		list->cap = cap;
	}
	f = &list->files[list->n];
	memset(f, 0, sizeof *f);
	f->path = strdup(path);
	if (f->path == NULL)
	{
		list->nomem = true;
		return;
	}
	list->n++;
	f->type = S_ISDIR(st->st_mode) ? 'd' : 'f';
	f->mode = (uint32_t) st->st_mode & 07777;
	f->size = f->type == 'f' ? (uint64_t) st->st_size : 0;
	f->mtime_us = (uint64_t) st->st_mtim.tv_sec * 1000000 + (uint64_t) st->st_mtim.tv_nsec / 1000;
	if (f->type == 'f' && relation_dir && relation_name(base_name(path), &oid_len, &init, &segment))
	{
		f->relation = true;
		f->first_page = segment * RELSEG_PAGES;
	}
	list->bytes += f->size;
}

/* --- unlogged relations of one directory --- */

struct oid_set
{
	size_t		n,
				cap;
	char	  (*oids)[12];
};

static bool
oid_add(struct oid_set *s, const char *name, size_t len)
{
	if (s->n == s->cap)
	{
		size_t		cap = s->cap ? s->cap * 2 : 64;
		void	   *p = realloc(s->oids, cap * sizeof *s->oids);

		if (p == NULL)
			return false;
		s->oids = p;
		s->cap = cap;
	}
	memcpy(s->oids[s->n], name, len);
	s->oids[s->n++][len] = '\0';
	return true;
}

static bool
oid_has(const struct oid_set *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->n; i++)
		if (strncmp(s->oids[i], name, len) == 0 && s->oids[i][len] == '\0')
			return true;
	return false;
}

static bool
skip_relation(const struct oid_set *unlogged, const char *name)
{
	size_t		len;
	uint32_t	segment;
	bool		init;

	if (is_temp_relation(name))
		return true;
	return relation_name(name, &len, &init, &segment) && !init && oid_has(unlogged, name, len);
}

/* --- walking --- */

struct walk
{
	const char *data_directory;
	const struct sov_source_info *info;
	struct file_list *list;
};

static enum sov_code walk_dir(struct walk *w, const char *rel, struct sov_error *err);

static enum sov_code
find_unlogged(DIR *d, struct oid_set *set, struct sov_error *err)
{
	struct dirent *e;
	size_t		len;
	uint32_t	segment;
	bool		init;

	while ((e = readdir(d)) != NULL)
		if (relation_name(e->d_name, &len, &init, &segment) && init && !oid_add(set, e->d_name, len))
			return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rewinddir(d);
	return SOV_OK;
}

/* Symbolic links: tablespaces and pg_wal are followed, others are not ours. */
static bool
follow_link(struct walk *w, const char *rel)
{
	char		note[SOV_PATH_MAX + 100];

	if (strcmp(rel, "pg_wal") == 0 || (strncmp(rel, "pg_tblspc/", 10) == 0 && strchr(rel + 10, '/') == NULL))
		return true;
	snprintf(note, sizeof note, "%s/%s is a symbolic link and is left out", w->data_directory, rel);
	if (w->list->note)
		w->list->note(w->list->note_ctx, note);
	return false;
}

/* The server makes no such names, and a manifest takes none (terminals). */
static bool
odd_name(struct walk *w, const char *dir, const char *name)
{
	char		note[SOV_PATH_MAX + 100];

	for (const char *p = name; *p; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
		{
			snprintf(note, sizeof note, "a file in %s/%s has control characters in its name and is left out", w->data_directory, dir);
			if (w->list->note)
				w->list->note(w->list->note_ctx, note);
			return true;
		}
	return false;
}

/* In a tablespace only the directory of this server's version is ours. */
static bool
other_version(const struct walk *w, const char *rel)
{
	const char *p;
	char		ours[64];

	if (strncmp(rel, "pg_tblspc/", 10) != 0 || (p = strchr(rel + 10, '/')) == NULL || strchr(p + 1, '/') != NULL)
		return false;
	snprintf(ours, sizeof ours, "PG_%u_%u", w->info->pg_version / 10000, w->info->catalog_version);
	return strcmp(p + 1, ours) != 0;
}

static enum sov_code
walk_entry(struct walk *w, const char *dir, const char *name, const struct oid_set *unlogged, bool relation_dir, struct sov_error *err)
{
	char		rel[SOV_PATH_MAX],
				full[SOV_PATH_MAX * 2];
	struct stat st;
	enum skip skip;

	if (odd_name(w, dir, name))
		return SOV_OK;
	if (snprintf(rel, sizeof rel, "%s%s%s", dir, dir[0] ? "/" : "", name) >= (int) sizeof rel)
		return sov_fail(err, SOV_E_UNSUPPORTED, NULL, "path too long: %s/%s", dir, name);
	snprintf(full, sizeof full, "%s/%s", w->data_directory, rel);
	if (lstat(full, &st) != 0)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read %s", full);
	if (S_ISLNK(st.st_mode) && (!follow_link(w, rel) || stat(full, &st) != 0))
		return SOV_OK;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return SOV_OK;
	skip = left_out_of_backups(rel, S_ISDIR(st.st_mode));
	if (skip == SKIP || other_version(w, rel) || (relation_dir && S_ISREG(st.st_mode) && skip_relation(unlogged, name)))
		return SOV_OK;
	add(w->list, rel, &st, relation_dir);
	if (!S_ISDIR(st.st_mode))
		return SOV_OK;
	if (skip == KEEP)
		return walk_dir(w, rel, err);
	if (strcmp(rel, "pg_wal") == 0)
		add(w->list, "pg_wal/archive_status", &st, false);
	return SOV_OK;
}

static enum sov_code
walk_dir(struct walk *w, const char *rel, struct sov_error *err)
{
	char		full[SOV_PATH_MAX * 2];
	struct oid_set unlogged = {0};
	bool		relation_dir = holds_relations(rel);
	struct dirent *e;
	DIR		   *d;
	enum sov_code rc = SOV_OK;

	snprintf(full, sizeof full, "%s%s%s", w->data_directory, rel[0] ? "/" : "", rel);
	d = opendir(full);
	if (d == NULL)
		return errno == ENOENT && rel[0] ? SOV_OK : sov_fail_errno(err, errno, "run the command as the user that runs the server", "could not read directory %s", full);
	if (relation_dir)
		rc = find_unlogged(d, &unlogged, err);
	while (rc == SOV_OK && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = walk_entry(w, rel, e->d_name, &unlogged, relation_dir, err);
	closedir(d);
	free(unlogged.oids);
	return rc;
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct plan_file *) a)->path, ((const struct plan_file *) b)->path);
}

enum sov_code
files_walk(const char *data_directory, const struct sov_source_info *info, struct file_list *list, struct sov_error *err)
{
	struct walk w = {data_directory, info, list};
	enum sov_code rc = walk_dir(&w, "", err);

	if (rc == SOV_OK && list->nomem)
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	if (rc == SOV_OK)
		qsort(list->files, list->n, sizeof *list->files, by_path);
	return rc;
}

void
files_free(struct file_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->files[i].path);
	free(list->files);
	list->files = NULL;
	list->n = list->cap = 0;
}
