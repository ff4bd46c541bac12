/*
 * credential.c - where files of secrets are: see sov_credential.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sov_credential.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static const char give[] = "add LoadCredential=NAME:/FILE or LoadCredentialEncrypted=NAME to the unit, or name the file by its path";

bool
sov_is_credential(const char *value)
{
	return strncmp(value, SOV_CREDENTIAL, sizeof SOV_CREDENTIAL - 1) == 0;
}

bool
sov_secret_file_ok(const char *value)
{
	const char *name = value + sizeof SOV_CREDENTIAL - 1;

	if (!sov_is_credential(value))
		return value[0] == '/';
	return name[0] != '\0' && strlen(name) < 200 && name[strspn(name, NAME_CHARACTERS)] == '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* $CREDENTIALS_DIRECTORY; nobody but root and this user may exchange what is in it. */
static enum sov_code
directory(const char **dir, struct sov_error *err)
{
	struct stat st;

	*dir = getenv("CREDENTIALS_DIRECTORY");
	if (*dir == NULL || (*dir)[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "it is set in units of systemd that have LoadCredential=; run the command as such a unit (systemd-run -p LoadCredential=...), or name the file by its path",
						"the configuration names a credential of systemd, and CREDENTIALS_DIRECTORY is not set here");
	if ((*dir)[0] != '/' || stat(*dir, &st) != 0 || !S_ISDIR(st.st_mode))
		return sov_fail(err, SOV_E_CONFIG, give, "CREDENTIALS_DIRECTORY, \"%.300s\", is no directory that can be entered", *dir);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
		return sov_fail(err, SOV_E_CONFIG, "it is for systemd to make: owned by root or this user, and writable by nobody else",
						"others could exchange what is in CREDENTIALS_DIRECTORY, \"%.300s\"", *dir);
	return SOV_OK;
}

enum sov_code
sov_secret_file_path(const char *value, char *dst, size_t cap, struct sov_error *err)
{
	const char *dir = "",
			   *name = value;
	enum sov_code rc = SOV_OK;

	if (!sov_secret_file_ok(value))
		return sov_fail(err, SOV_E_CONFIG, "write the whole path, beginning with /, or credential:NAME", "a file of a secret is named neither by an absolute path nor as a credential");
	if (sov_is_credential(value))
	{
		name += sizeof SOV_CREDENTIAL - 1;
		rc = directory(&dir, err);
	}
	if (rc != SOV_OK)
		return rc;
	if (snprintf(dst, cap, "%s%s%s", dir, dir[0] ? "/" : "", name) >= (int) cap)
		return sov_fail(err, SOV_E_CONFIG, NULL, "the path of \"%.200s\" is longer than %zu bytes", value, cap - 1);
	if (dir[0] && access(dst, F_OK) != 0)
		return sov_fail(err, SOV_E_CONFIG, give, "there is no credential \"%.200s\" in \"%.300s\": %s", name, dir, strerror(errno));
	return SOV_OK;
}

static bool
is_given(const char *path)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	size_t		n = dir ? strlen(dir) : 0;

	return n > 0 && strncmp(path, dir, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL;
}

bool
sov_secret_file_private(const char *path, const struct stat *st)
{
	mode_t		others = st->st_mode & 077;

	if (st->st_uid != geteuid() && st->st_uid != 0)
		return false;
	/* the mask of an ACL, of a file of root's */
	return others == 0 || (others == 040 && st->st_uid == 0 && st->st_gid == 0 && is_given(path));
}
