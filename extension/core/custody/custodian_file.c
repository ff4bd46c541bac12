/*
 * custodian_file.c - the root key in a file (layout: sov_custodian.h).
 *
 * The embedded default, for trying out and for hosts that the controller runs.
 * The key and the text that carries it are only ever in locked memory.  The
 * file is judged by the descriptor that is read, never by its name, so that
 * nobody can exchange it in between.
 */
#include "custodian_int.h"
#include "sov_credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sov_new_file.h"

#define FIRST_LINE "pg_sovereign root key v1"
#define CHECK_LEN 8
#define TEXT_CAP 512

struct file_custodian
{
	struct sov_custodian base;	/* first */
	uint8_t    *key;			/* secret memory, 32 */
	char		path[1024];
};

/* --- base64 of exactly 32 bytes, without copies on the stack of a library --- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
sov_custodian_key_text(const uint8_t key[32], char dst[SOV_KEY_TEXT_LEN])
{
	for (int i = 0, o = 0; i < 33; i += 3, o += 4)
	{
		uint32_t	v = (uint32_t) key[i] << 16 | (uint32_t) key[i + 1] << 8 | (i + 2 < 32 ? key[i + 2] : 0);

		for (int j = 0; j < 4; j++)
			dst[o + j] = base64_digits[v >> (18 - 6 * j) & 63];
		sov_wipe(&v, sizeof v);
	}
	dst[SOV_KEY_TEXT_LEN - 1] = '=';
}

bool
sov_custodian_text_key(uint8_t key[32], const char *src)
{
	uint32_t	acc = 0;
	int			bits = 0,
				n = 0;
	bool		good = src[SOV_KEY_TEXT_LEN - 1] == '=';

	for (int i = 0; i < SOV_KEY_TEXT_LEN - 1 && good; i++)
	{
		const char *at = src[i] ? strchr(base64_digits, src[i]) : NULL;

		if (at == NULL)
			good = false;
		else
		{
			acc = acc << 6 | (uint32_t) (at - base64_digits);
			bits += 6;
			if (bits >= 8)
			{
				bits -= 8;
				key[n++] = (uint8_t) (acc >> bits);
			}
		}
	}
	good = good && n == 32 && (acc & ((1u << bits) - 1)) == 0;
	sov_wipe(&acc, sizeof acc);
	return good;
}

/* --- reading --- */

/* The file may be read by its owner only, who is this user or root. */
static enum sov_code
check_file(int fd, const char *path, struct sov_error *err)
{
	struct stat st;
	char		hint[160];

	if (fstat(fd, &st) != 0)
		return sov_fail_errno(err, errno, NULL, "could not look at root key file \"%.300s\"", path);
	if (!S_ISREG(st.st_mode))
		return sov_fail(err, SOV_E_KEY, "name the file itself in [custody]", "root key file \"%.300s\" is not a regular file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
	{
		snprintf(hint, sizeof hint, "run this as the user that owns the file (number %u), or chown the file to the one that uses it", (unsigned) st.st_uid);
		return sov_fail(err, SOV_E_KEY, hint, "root key file \"%.300s\" belongs to another user, who could exchange it", path);
	}
	if (!sov_secret_file_private(path, &st))
		return sov_fail(err, SOV_E_KEY, "chmod 0600 it; if others may have read it, make a new root key",
						"root key file \"%.300s\" may be read or written by others (mode %04o)", path, (unsigned) st.st_mode & 07777);
	if (st.st_size > TEXT_CAP - 1)
		return sov_fail(err, SOV_E_FORMAT, "is it the right file? \"pg_sovereign key create-root\" makes one", "\"%.300s\" is not a root key file", path);
	return SOV_OK;
}

static enum sov_code
open_key_file(const char *path, int *fd, struct sov_error *err)
{
	*fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (*fd >= 0)
		return SOV_OK;
	if (errno == ENOENT)
		return sov_fail(err, SOV_E_KEY, "\"pg_sovereign key create-root\" makes a new one; for an existing repository or database bring back the old one: a new one opens nothing",
						"root key file \"%.300s\" does not exist", path);
	if (errno == ELOOP)
		return sov_fail(err, SOV_E_KEY, "name the file itself in [custody]", "root key file \"%.300s\" is a symbolic link", path);
	if (errno == EACCES)
		return sov_fail(err, SOV_E_KEY, "it must belong to the user that runs this (or the server), mode 0600, in a directory that this user may enter",
						"root key file \"%.300s\" may not be read by this user", path);
	return sov_fail(err, SOV_E_KEY, NULL, "could not open root key file \"%.300s\": %s", path, strerror(errno));
}

/* *at: the rest of the text; returns the value of the next line when it begins
 * with word and a space, and ends the value with a NUL. */
static char *
next_value(char **at, const char *word)
{
	size_t		n = strlen(word);
	char	   *line = *at,
			   *end = strchr(line, '\n');

	if (strncmp(line, word, n) != 0 || line[n] != ' ')
		return NULL;
	if (end != NULL)
		*end++ = '\0';
	*at = end ? end : line + strlen(line);
	return line + n + 1;
}

static enum sov_code
parse_key(char *text, size_t len, const char *path, uint8_t id[16], uint8_t key[32], struct sov_error *err)
{
	static const char damaged[] = "bring it back from its copy; a new root key opens nothing that the old one sealed";
	uint8_t		check[CHECK_LEN],
				commitment[32];
	char	   *at = text,
			   *v_first,
			   *v_id,
			   *v_key,
			   *v_check;
	enum sov_code rc;

	if (strlen(text) != len || strncmp(text, "pg_sovereign root key v", 23) != 0)
		return sov_fail(err, SOV_E_FORMAT, "is it the right file? \"pg_sovereign key create-root\" makes one", "\"%.300s\" is not a root key file", path);
	v_first = next_value(&at, "pg_sovereign");
	if (v_first == NULL || strcmp(text, FIRST_LINE) != 0)
		return sov_fail(err, SOV_E_UNSUPPORTED, "use the version of pg_sovereign that made it", "root key file \"%.300s\" has another format than this version knows", path);
	v_id = next_value(&at, "id");
	v_key = v_id ? next_value(&at, "key") : NULL;
	v_check = v_key ? next_value(&at, "check") : NULL;
	if (v_check == NULL || *at != '\0' || !sov_uuid_parse(id, v_id) ||
		strlen(v_key) != SOV_KEY_TEXT_LEN || !sov_custodian_text_key(key, v_key) ||
		!sov_unhex(check, v_check, CHECK_LEN))
		return sov_fail(err, SOV_E_FORMAT, damaged, "root key file \"%.300s\" is damaged (its lines are not as they should be)", path);
	rc = sov_commit(key, "root-file", commitment, err);
	if (rc == SOV_OK && !sov_equal(commitment, check, CHECK_LEN))
		rc = sov_fail(err, SOV_E_FORMAT, damaged, "root key file \"%.300s\" is damaged (the key does not fit its check value)", path);
	return rc;
}

static enum sov_code
read_key(const char *path, uint8_t id[16], uint8_t key[32], struct sov_error *err)
{
	char	   *text = sov_secret_alloc(TEXT_CAP, err);
	size_t		len = 0;
	enum sov_code rc;
	int			fd = -1;

	if (text == NULL)
		return SOV_E_NOMEM;
	rc = open_key_file(path, &fd, err);
	if (rc == SOV_OK)
		rc = check_file(fd, path, err);
	while (rc == SOV_OK && len < TEXT_CAP - 1)
	{
		ssize_t		n = read(fd, text + len, TEXT_CAP - 1 - len);

		if (n < 0 && errno != EINTR)
			rc = sov_fail_errno(err, errno, NULL, "could not read root key file \"%.300s\"", path);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t) n;
	}
	if (rc == SOV_OK)
		rc = parse_key(text, len, path, id, key, err);
	if (fd >= 0)
		close(fd);
	sov_secret_free(text);
	return rc;
}

/* --- operations --- */

static void
file_close(struct sov_custodian *c)
{
	struct file_custodian *f = (struct file_custodian *) c;

	sov_secret_free(f->key);
	free(f);
}

static enum sov_code
file_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	struct file_custodian *f = calloc(1, sizeof *f);
	enum sov_code rc;

	if (f == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	rc = sov_secret_file_path(uri + 5, f->path, sizeof f->path, err);
	if (rc != SOV_OK)
	{
		free(f);
		return rc;
	}
	f->base.ops = &sov_custodian_file_ops;
	f->base.grade = SOV_GRADE_EFFORT;
	f->key = sov_secret_alloc(SOV_KEY_LEN, err);
	rc = f->key ? read_key(f->path, f->base.root_id, f->key, err) : SOV_E_NOMEM;
	if (rc != SOV_OK)
	{
		file_close(&f->base);
		return rc;
	}
	*out = &f->base;
	return SOV_OK;
}

static enum sov_code
file_wrap(struct sov_custodian *c, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err)
{
	return sov_kwp_wrap(((struct file_custodian *) c)->key, key, SOV_KEY_LEN, blob, blob_len, err);
}

static enum sov_code
file_unwrap(struct sov_custodian *c, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	struct file_custodian *f = (struct file_custodian *) c;
	char		where[320];

	snprintf(where, sizeof where, "file %.300s", f->path);
	return sov_custodian_unwrap_by(f->key, c->root_id, where, blob, blob_len, key, err);
}

static void
file_describe(struct sov_custodian *c, char *dst, size_t cap)
{
	char		id[37];

	sov_uuid_text(id, c->root_id);
	snprintf(dst, cap, "file %s, root %s", ((struct file_custodian *) c)->path, id);
}

const struct sov_custodian_ops sov_custodian_file_ops = {
	.scheme = "file",
	.open = file_open,
	.wrap = file_wrap,
	.unwrap = file_unwrap,
	.describe = file_describe,
	.close = file_close,
};

/* --- a new root key --- */

static enum sov_code
make_text(uint8_t id[16], char *text, size_t *len, struct sov_error *err)
{
	uint8_t    *key = sov_secret_alloc(SOV_KEY_LEN, err);
	uint8_t		commitment[32];
	char		id_text[37],
				check[2 * CHECK_LEN + 1];
	enum sov_code rc;

	if (key == NULL)
		return SOV_E_NOMEM;
	rc = sov_random(key, SOV_KEY_LEN, err);
	if (rc == SOV_OK)
		rc = sov_random(id, 16, err);
	if (rc == SOV_OK)
		rc = sov_commit(key, "root-file", commitment, err);
	if (rc == SOV_OK)
	{
		id[6] = (uint8_t) ((id[6] & 0x0f) | 0x40);	/* a version 4 UUID */
		id[8] = (uint8_t) ((id[8] & 0x3f) | 0x80);
		sov_uuid_text(id_text, id);
		sov_hex(check, commitment, CHECK_LEN);
		*len = (size_t) snprintf(text, TEXT_CAP, FIRST_LINE "\nid %s\nkey ", id_text);
		sov_custodian_key_text(key, text + *len);
		*len += SOV_KEY_TEXT_LEN;
		*len += (size_t) snprintf(text + *len, TEXT_CAP - *len, "\ncheck %s\n", check);
	}
	sov_secret_free(key);
	return rc;
}

enum sov_code
sov_custodian_file_create(const char *path, uint8_t root_id[16], struct sov_error *err)
{
	char	   *text;
	size_t		len = 0;
	enum sov_code rc;

	text = sov_secret_alloc(TEXT_CAP, err);
	rc = text ? make_text(root_id, text, &len, err) : SOV_E_NOMEM;
	if (rc == SOV_OK)
		rc = sov_new_file(path, text, len, err);
	if (rc == SOV_E_EXISTS)
		rc = sov_fail(err, SOV_E_EXISTS, "keep it: what it sealed cannot be opened without it; to make another give another path",
					  "root key file \"%.300s\" exists already", path);
	sov_secret_free(text);
	return rc;
}

enum sov_code
sov_custodian_file_destroy(const char *path, struct sov_error *err)
{
	char		folder[1024],
				noise[TEXT_CAP];
	int			fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC),
				dir;
	bool		good;

	if (fd < 0 && errno == ENOENT)
		return sov_fail(err, SOV_E_NOTFOUND, NULL, "there is no key file \"%.300s\"", path);
	if (fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not open key file \"%.300s\" to destroy it", path);
	if (sov_random(noise, sizeof noise, err) != SOV_OK)
	{
		close(fd);
		return SOV_E_CRYPTO;
	}
	good = write(fd, noise, sizeof noise) == (ssize_t) sizeof noise && fsync(fd) == 0;
	close(fd);
	good = good && unlink(path) == 0;
	snprintf(folder, sizeof folder, "%.*s", strrchr(path, '/') == path ? 1 : (int) (strrchr(path, '/') - path), path);
	dir = good ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	good = dir >= 0 && fsync(dir) == 0;
	if (dir >= 0)
		close(dir);
	return good ? SOV_OK : sov_fail_errno(err, errno, "free the disk, or mend the file system, and run it again", "could not destroy key file \"%.300s\"", path);
}
