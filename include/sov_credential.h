/*
 * sov_credential.h - files of secrets, by path or as a credential of systemd.
 *
 * Wherever the configuration names the file of a secret it may say "credential:NAME":
 * $CREDENTIALS_DIRECTORY/NAME, which systemd gives a unit that has LoadCredential= or
 * LoadCredentialEncrypted=.  It is looked up when the secret is read, so that whoever
 * reads the configuration for other reasons needs no credentials.
 *
 * systemd owns the directory itself (root, or the unit's user), and makes a credential
 * readable by the unit's user either by ownership and mode 0400, or, where the file
 * system can, by an ACL: then the file belongs to root, and stat() shows the ACL's mask
 * as rights of the group, which is root's too and has none.
 */
#ifndef SOV_CREDENTIAL_H
#define SOV_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "sov_error.h"

#define SOV_CREDENTIAL "credential:"

/* Is it "credential:...", whatever follows? */
extern bool sov_is_credential(const char *value);
/* An absolute path, or "credential:NAME" with a name of letters, digits and . _ - */
extern bool sov_secret_file_ok(const char *value);
/* The path of the file.  SOV_E_CONFIG: no credentials here, none of that name, or a
 * directory in which others could exchange them. */
extern enum sov_code sov_secret_file_path(const char *value, char *dst, size_t cap, struct sov_error *err);
/* May nobody else read or write this file, of that path? */
extern bool sov_secret_file_private(const char *path, const struct stat *st);

#endif
