/*
 * restore_target.c - the target directory: made or refused, tablespace links,
 * and what the server needs to recover from there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore_private.h"

void
target_path(const struct restore *r, const char *path, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s/%s", r->opt->target, !r->opt->dry_run && strcmp(path, SOV_CONTROL_FILE) == 0 ? CONTROL_HELD : path);
}

static enum sov_code
is_empty(const char *path, bool *empty, struct sov_error *err)
{
	DIR		   *d = opendir(path);
	struct dirent *e;

	*empty = true;
	if (d == NULL)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not read directory %s", path);
	while (*empty && (e = readdir(d)) != NULL)
		*empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(d);
	return SOV_OK;
}

/* Make the directory, or accept it empty. */
static enum sov_code
empty_directory(const char *path, bool *empty, struct sov_error *err)
{
	enum sov_code rc;

	*empty = true;
	if (mkdir(path, 0700) == 0)
		return SOV_OK;
	if (errno == ENOENT)
		return sov_fail(err, SOV_E_NOTFOUND, "make the directory above it first", "directory %s cannot be made: the one above it does not exist", path);
	if (errno != EEXIST)
		return sov_fail_errno(err, errno, "make it for the user that runs the server", "could not make directory %s", path);
	rc = is_empty(path, empty, err);
	if (rc != SOV_OK)
		return rc;
	if (chmod(path, 0700) != 0)
		return sov_fail_errno(err, errno, "it must belong to the user that runs the server", "could not set the permissions of %s", path);
	return SOV_OK;
}

static enum sov_code
not_empty(const char *path, struct sov_error *err)
{
	return sov_fail(err, SOV_E_EXISTS, "restore into another directory, or over this one with --delta", "directory %s is not empty", path);
}

static const char *
mapped(const struct sov_restore_options *opt, const char *path)
{
	for (int i = 0; i < opt->n_maps; i++)
		if (strcmp(opt->maps[i].old_path, path) == 0)
			return opt->maps[i].new_path;
	return path;
}

static enum sov_code
make_links(struct restore *r, struct sov_error *err)
{
	char		dir[SOV_PATH_MAX * 2],
				link_path[SOV_PATH_MAX * 2 + 32];

	snprintf(dir, sizeof dir, "%s/pg_tblspc", r->opt->target);
	if (mkdir(dir, 0700) != 0 && !(errno == EEXIST && r->opt->delta))
		return sov_fail_errno(err, errno, NULL, "could not make directory %s", dir);
	for (uint32_t i = 0; i < r->manifest.n_tablespaces; i++)
	{
		const char *to = mapped(r->opt, r->manifest.tablespaces[i].path);
		bool		empty;
		enum sov_code rc = empty_directory(to, &empty, err);

		if (rc == SOV_OK && !empty && !r->opt->delta)
			rc = not_empty(to, err);
		if (rc != SOV_OK)
		{
			sov_error_prefix(err, "tablespace %u", r->manifest.tablespaces[i].oid);
			if (err && rc == SOV_E_EXISTS)
				snprintf(err->hint, sizeof err->hint, "map it to another place with --tablespace-map %s=NEW", r->manifest.tablespaces[i].path);
			return rc;
		}
		snprintf(link_path, sizeof link_path, "%s/%u", dir, r->manifest.tablespaces[i].oid);
		if (r->opt->delta && unlink(link_path) != 0 && errno != ENOENT)
			return sov_fail_errno(err, errno, NULL, "could not remove %s", link_path);
		if (symlink(to, link_path) != 0)
			return sov_fail_errno(err, errno, NULL, "could not link %s", link_path);
	}
	return SOV_OK;
}

static enum sov_code
sync_directory(const char *path, bool all_there, struct sov_error *err)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || (all_there ? syncfs(fd) : fsync(fd)) != 0)
	{
		int			e = errno;

		if (fd >= 0)
			close(fd);
		return sov_fail_errno(err, e, "restore again into another directory", "could not sync %s", path);
	}
	close(fd);
	return SOV_OK;
}

/* From here on the directory cannot be started until the restore is done, also when
 * the host fails before another byte of it is on disk. */
static enum sov_code
hold_control(const struct restore *r, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2],
				held[SOV_PATH_MAX * 2];

	snprintf(path, sizeof path, "%s/" SOV_CONTROL_FILE, r->opt->target);
	snprintf(held, sizeof held, "%s/" CONTROL_HELD, r->opt->target);
	if (rename(path, held) != 0 && errno != ENOENT)
		return sov_fail_errno(err, errno, NULL, "could not set %s aside", path);
	snprintf(path, sizeof path, "%s/global", r->opt->target);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return sov_fail_errno(err, errno, NULL, "could not make directory %s", path);
	return sync_directory(path, false, err);
}

enum sov_code
target_prepare(struct restore *r, struct sov_error *err)
{
	bool		empty;
	enum sov_code rc = r->opt->dry_run ? is_empty(r->opt->target, &empty, err) : empty_directory(r->opt->target, &empty, err);

	if (rc == SOV_OK && !empty)
	{
		rc = delta_check_running(r, err);
		if (rc == SOV_OK)
			rc = r->opt->delta ? delta_check(r, err) : not_empty(r->opt->target, err);
	}
	if (rc != SOV_OK || r->opt->dry_run)
		return rc;
	if (r->opt->delta && !empty)
		rc = hold_control(r, err);
	return rc == SOV_OK ? make_links(r, err) : rc;
}

/* --- recovery settings --- */

static const char *const recovery_settings[] = {
	"restore_command", "recovery_target", "recovery_target_time", "recovery_target_lsn",
	"recovery_target_name", "recovery_target_xid", "recovery_target_timeline",
	"recovery_target_inclusive", "recovery_target_action", "archive_cleanup_command",
	"recovery_end_command", "primary_conninfo", "primary_slot_name", NULL
};

static bool
is_recovery_setting(const char *line)
{
	size_t		n;

	line += strspn(line, " \t");
	n = strcspn(line, " \t=");
	for (int i = 0; recovery_settings[i]; i++)
		if (strlen(recovery_settings[i]) == n && strncmp(line, recovery_settings[i], n) == 0)
			return true;
	return false;
}

/* Quotes as the server's configuration files want them. */
static void
write_setting(struct sov_buf *b, const char *name, const char *value)
{
	sov_write_bytes(b, name, strlen(name));
	sov_write_bytes(b, " = '", 4);
	for (const char *p = value; *p; p++)
	{
		if (*p == '\'' || *p == '\\')
			sov_write_bytes(b, p, 1);
		sov_write_bytes(b, p, 1);
	}
	sov_write_bytes(b, "'\n", 2);
}

/* The old file without settings of an earlier recovery, then ours. */
static enum sov_code
write_auto_conf(struct restore *r, struct sov_error *err)
{
	const struct sov_restore_options *o = r->opt;
	static const char head[] = "# Added by pg_sovereign restore\n";
	char		path[SOV_PATH_MAX * 2];
	struct sov_buf old = {0},
				b = {0};
	enum sov_code rc;

	target_path(r, "postgresql.auto.conf", path, sizeof path);
	rc = repo_read_file(path, &old, err);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		return rc;
	sov_write_u8(&old, 0);
	for (char *line = (char *) old.data; line && *line;)
	{
		size_t		n = strcspn(line, "\n");

		if (!is_recovery_setting(line))
		{
			sov_write_bytes(&b, line, n);
			sov_write_bytes(&b, "\n", 1);
		}
		line += n + (line[n] == '\n');
	}
	sov_write_bytes(&b, head, sizeof head - 1);
	write_setting(&b, "restore_command", o->restore_command);
	if (o->standby && o->primary_conninfo)
		write_setting(&b, "primary_conninfo", o->primary_conninfo);
	if (o->target_time)
		write_setting(&b, "recovery_target_time", o->target_time);
	if (o->target_lsn)
		write_setting(&b, "recovery_target_lsn", o->target_lsn);
	if (o->target_name)
		write_setting(&b, "recovery_target_name", o->target_name);
	if (o->target_xid)
		write_setting(&b, "recovery_target_xid", o->target_xid);
	if (o->target_timeline)
		write_setting(&b, "recovery_target_timeline", o->target_timeline);
	if (!o->inclusive)
		write_setting(&b, "recovery_target_inclusive", "off");
	if (o->target_time || o->target_lsn || o->target_name || o->target_xid)
		write_setting(&b, "recovery_target_action", o->action ? o->action : "promote");
	rc = b.bad || old.bad ? sov_fail(err, SOV_E_NOMEM, NULL, "out of memory") : repo_write_file(path, b.data, b.len, err);
	sov_buf_free(&old);
	sov_buf_free(&b);
	return rc;
}

/* syncfs covers every file written there, and reports a failed write-back. */
static enum sov_code
sync_filesystem(const char *path, struct sov_error *err)
{
	return sync_directory(path, true, err);
}

/* With --delta pg_wal may be a link to another file system: old WAL that was removed
 * there must not come back. */
static enum sov_code
sync_all(struct restore *r, struct sov_error *err)
{
	char		wal[SOV_PATH_MAX * 2];
	enum sov_code rc = sync_filesystem(r->opt->target, err);

	snprintf(wal, sizeof wal, "%s/pg_wal", r->opt->target);
	if (rc == SOV_OK && access(wal, F_OK) == 0)
		rc = sync_filesystem(wal, err);
	for (uint32_t i = 0; i < r->manifest.n_tablespaces && rc == SOV_OK; i++)
		rc = sync_filesystem(mapped(r->opt, r->manifest.tablespaces[i].path), err);
	return rc;
}

enum sov_code
target_finish(struct restore *r, struct sov_error *err)
{
	char		path[SOV_PATH_MAX * 2],
				held[SOV_PATH_MAX * 2];
	enum sov_code rc = write_auto_conf(r, err);

	target_path(r, "backup_label", path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, r->manifest.backup_label.data, r->manifest.backup_label.len, err);
	if (rc == SOV_OK)
		rc = verify_add(r, "backup_label", r->manifest.backup_label.len, r->manifest.stop_us,
						crc32c(r->manifest.backup_label.data, r->manifest.backup_label.len), err);
	if (rc == SOV_OK)
		rc = verify_end(r, err);
	target_path(r, r->opt->standby ? "standby.signal" : "recovery.signal", path, sizeof path);
	if (rc == SOV_OK)
		rc = repo_write_file(path, "", 0, err);
	if (rc == SOV_OK)
		rc = sync_all(r, err);
	if (rc != SOV_OK)
		return rc;
	snprintf(held, sizeof held, "%s/%s", r->opt->target, CONTROL_HELD);
	snprintf(path, sizeof path, "%s/%s", r->opt->target, SOV_CONTROL_FILE);
	if (rename(held, path) != 0)
		return sov_fail_errno(err, errno, NULL, "could not put %s in place", path);
	return sync_filesystem(r->opt->target, err);
}
