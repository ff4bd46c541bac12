/*
 * custodian_here.c - the custodians that only the helper runs in its own process.
 *
 * The server's library never refers to this file, so that none of the libraries
 * below is loaded into a server process.
 */
#include "custodian_int.h"
#include "sov_credential.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>

struct here
{
	const struct sov_custodian_ops *ops;
	enum sov_code (*create) (const char *uri, struct sov_error *err);
	enum sov_code (*destroy) (const char *uri, struct sov_error *err);
};

static const struct here custodians[] = {
	{&sov_custodian_pkcs11_ops, sov_custodian_pkcs11_create, sov_custodian_pkcs11_destroy},
	{&sov_custodian_vault_ops, sov_custodian_vault_create, sov_custodian_vault_destroy},
	{&sov_custodian_kmip_ops, sov_custodian_kmip_create, sov_custodian_kmip_destroy},
};
#define N_CUSTODIANS ((int) (sizeof custodians / sizeof custodians[0]))

static const struct here *
find(const char *uri)
{
	for (int i = 0; i < N_CUSTODIANS; i++)
	{
		size_t		n = strlen(custodians[i].ops->scheme);

		if (strncmp(uri, custodians[i].ops->scheme, n) == 0 && uri[n] == ':')
			return &custodians[i];
	}
	return NULL;
}

enum sov_code
sov_custodian_open_here(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	const struct here *h = find(uri);
	enum sov_code rc = sov_custodian_check_uri(uri, err);

	*out = NULL;
	if (rc != SOV_OK)
		return rc;
	return h ? h->ops->open(uri, out, err) : sov_custodian_open(uri, out, err);
}

enum sov_code
sov_custodian_create_here(const char *uri, struct sov_error *err)
{
	const struct here *h = find(uri);
	enum sov_code rc = sov_custodian_check_uri(uri, err);

	if (rc != SOV_OK)
		return rc;
	if (h == NULL || h->create == NULL)
		return sov_fail(err, SOV_E_USAGE, strncmp(uri, "quorum:", 7) == 0 ? "\"pg_sovereign key split\" makes one that people hold" : strncmp(uri, "file:", 5) == 0 ? "give the path alone" : NULL,
						"a root key is not made here: the custodian has its own way");
	return h->create(uri, err);
}

/* --- the erasable keys of epochs --- */

enum sov_code
sov_custodian_create_epoch_here(const struct sov_config *cfg, const uint8_t epoch[16], struct sov_error *err)
{
	char		uri[1200];
	uint8_t		id[16];
	enum sov_code rc = sov_custodian_epoch_uri(cfg, epoch, uri, err);

	if (rc == SOV_OK)
		rc = strncmp(uri, "file:", 5) == 0 ? sov_custodian_file_create(uri + 5, id, err) : sov_custodian_create_here(uri, err);
	return rc == SOV_E_EXISTS ? SOV_OK : rc;
}

enum sov_code
sov_custodian_destroy_epoch_here(const struct sov_config *cfg, const uint8_t epoch[16], struct sov_error *err)
{
	struct sov_custodian *left = NULL;
	const struct here *h;
	char		uri[1200];
	enum sov_code rc = sov_custodian_epoch_uri(cfg, epoch, uri, err);

	if (rc != SOV_OK)
		return rc;
	h = find(uri);
	rc = h ? h->destroy(uri, err) : sov_custodian_file_destroy(uri + 5, err);
	if (rc != SOV_OK && rc != SOV_E_NOTFOUND)
		return rc;
	/* believed when it is seen */
	rc = sov_custodian_open_here(uri, &left, err);
	sov_custodian_close(left);
	if (rc == SOV_OK)
		return sov_fail(err, SOV_E_KEY, "destroy it with the custodian's own tool, then run this again", "the custodian says that it destroyed the key of an epoch, but still opens it");
	return rc == SOV_E_KEY && !err->retryable ? SOV_OK : rc;
}

/* --- what libraries leave behind --- */

static void
wipe_free(void *p)
{
	if (p != NULL)
		sov_wipe(p, malloc_usable_size(p));
	free(p);
}

static void *
wipe_realloc(void *p, size_t len)
{
	size_t		old = p ? malloc_usable_size(p) : 0;
	void	   *to = len ? malloc(len) : NULL;

	if (to != NULL && p != NULL)
		memcpy(to, p, old < len ? old : len);
	if (to != NULL || len == 0)
		wipe_free(p);
	return to;
}

static void *
crypto_malloc(size_t len, const char *file, int line)
{
	return malloc(len);
}

static void *
crypto_realloc(void *p, size_t len, const char *file, int line)
{
	return wipe_realloc(p, len);
}

static void
crypto_free(void *p, const char *file, int line)
{
	wipe_free(p);
}

bool
sov_custodian_wipe_freed(void)
{
	json_set_alloc_funcs(malloc, wipe_free);
	return CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) == 1 &&
		curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free, wipe_realloc, strdup, calloc) == CURLE_OK;
}

/* --- PINs and tokens --- */

#define CTRL_C 3

enum sov_code
sov_custodian_check_secret_file(int fd, const char *path, const char *what, struct sov_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return sov_fail(err, SOV_E_KEY, "name a file", "\"%.300s\", which should hold the %s, is not a file", path, what);
	if (!sov_secret_file_private(path, &st))
		return sov_fail(err, SOV_E_KEY, "chown it to the user that needs it, chmod 0600, and change the secret if others may have read it",
						"\"%.300s\", which holds the %s, may be read by others", path, what);
	return SOV_OK;
}

/* One line of what fd gives, without its end. */
static enum sov_code
read_line(int fd, const char *path, const char *what, char *secret, size_t cap, struct sov_error *err)
{
	size_t		len = 0;

	while (len < cap - 1)
	{
		ssize_t		n = read(fd, secret + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sov_fail_errno(err, errno, NULL, "could not read the %s from \"%.300s\"", what, path);
		if (n == 1 && secret[len] == CTRL_C)
			return sov_fail(err, SOV_E_CANCELLED, NULL, "stopped by Ctrl-C");
		if (n == 0 || secret[len] == '\n' || secret[len] == '\r')
			break;
		len++;
	}
	secret[len] = '\0';
	if (len == 0 || len == cap - 1)
		return sov_fail(err, SOV_E_KEY, "write it alone into the first line", "\"%.300s\" does not hold a %s", path, what);
	return SOV_OK;
}

static enum sov_code
ask_terminal(const char *what, char *secret, size_t cap, struct sov_error *err)
{
	struct termios old,
				quiet;
	int			fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	enum sov_code rc;

	if (fd < 0 || tcgetattr(fd, &old) != 0)
	{
		if (fd >= 0)
			close(fd);
		return sov_fail(err, SOV_E_KEY, "name a file that holds it (pin-source, --share), or run this at a terminal",
						"there is no %s, and no terminal to ask at", what);
	}
	quiet = old;
	/* Ctrl-C ends the line and is no signal: it must not leave a terminal without echo */
	quiet.c_lflag &= (tcflag_t) ~(ECHO | ISIG);
	quiet.c_cc[VEOL] = CTRL_C;
	(void) tcsetattr(fd, TCSAFLUSH, &quiet);
	(void) dprintf(fd, "%s: ", what);
	rc = read_line(fd, "/dev/tty", what, secret, cap, err);
	(void) tcsetattr(fd, TCSAFLUSH, &old);
	(void) dprintf(fd, "\n");
	close(fd);
	return rc;
}

enum sov_code
sov_custodian_read_secret(const char *file, const char *what, char *secret, size_t cap, struct sov_error *err)
{
	char		given[1300];
	const char *path = file;
	enum sov_code rc = SOV_OK;
	int			fd;

	if (path == NULL)
		return ask_terminal(what, secret, cap, err);
	if (strncmp(path, "file:", 5) == 0)
		path += 5;
	if (sov_is_credential(path))
	{
		rc = sov_secret_file_path(path, given, sizeof given, err);
		path = given;
	}
	if (rc != SOV_OK)
		return rc;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return sov_fail(err, SOV_E_KEY, "it must be a file, mode 0600, of the user that runs this", "could not open \"%.300s\", which should hold the %s: %s", path, what, strerror(errno));
	rc = sov_custodian_check_secret_file(fd, path, what, err);
	if (rc == SOV_OK)
		rc = read_line(fd, path, what, secret, cap, err);
	close(fd);
	return rc;
}
