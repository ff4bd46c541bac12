/*
 * custodian_quorum.c - the root key that people have joined (sov_quorum.h).
 *
 * One process of the host holds it, in locked memory, for all others of its user.  They
 * reach it by a socket beside the record and speak the protocol of "command" with it,
 * so the root key itself never comes into a server process.  Who is at the other end is
 * told by the kernel: only this user's process, or root's, is asked.
 *
 * No process holds it: the root key is with its holders, and the custodian refuses.  A
 * process that was killed leaves its socket behind: that may be over soon, so it is
 * retryable, and keys on loan stay until their lease ends.
 */
#include "custodian_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sov_quorum.h"

enum sov_code
sov_quorum_uri(const char *uri, const char **record, struct sov_error *err)
{
	struct sockaddr_un a;

	*record = uri + sizeof SOV_QUORUM_SCHEME;
	if ((*record)[0] != '/')
		return sov_fail(err, SOV_E_CONFIG, "for example: root = quorum:/etc/pg_sovereign/root.quorum", "\"root\" does not hold an absolute path");
	return sov_quorum_socket(*record, a.sun_path, sizeof a.sun_path, err);
}

enum sov_code
sov_quorum_socket(const char *record, char *path, size_t cap, struct sov_error *err)
{
	struct sockaddr_un a;

	if (snprintf(path, cap, "%s.socket", record) >= (int) (cap < sizeof a.sun_path ? cap : sizeof a.sun_path))
		return sov_fail(err, SOV_E_CONFIG, "put it into a directory with a shorter name", "the record's path is longer than the %zu bytes that a socket beside it allows", sizeof a.sun_path - 8);
	return SOV_OK;
}

static enum sov_code
check_peer(int fd, const char *path, struct sov_error *err)
{
	struct ucred who;
	socklen_t	len = sizeof who;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
		return sov_fail_errno(err, errno, NULL, "could not tell who is at socket \"%s\"", path);
	if (who.uid != geteuid() && who.uid != 0)
		return sov_fail(err, SOV_E_KEY, "run \"pg_sovereign unlock\" as the user that uses the key, in a directory that nobody else may write",
						"the process at socket \"%s\" runs as another user (number %u)", path, (unsigned) who.uid);
	return SOV_OK;
}

enum sov_code
sov_quorum_connect(const char *record, int *fd, struct sov_error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	enum sov_code rc = sov_quorum_socket(record, a.sun_path, sizeof a.sun_path, err);

	*fd = -1;
	if (rc != SOV_OK)
		return rc;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return sov_fail_errno(err, errno, NULL, "could not make a socket");
	if (connect(*fd, (struct sockaddr *) &a, sizeof a) == 0)
		rc = check_peer(*fd, a.sun_path, err);
	else if (errno == ENOENT || errno == ECONNREFUSED)
	{
		int			saved = errno;

		rc = sov_fail(err, SOV_E_NOTFOUND, "each holder runs \"pg_sovereign unlock\"", "no process holds the root key");
		if (err != NULL)
			err->retryable = saved == ECONNREFUSED;
	}
	else
	{
		rc = sov_fail(err, SOV_E_KEY, "run this as the user that ran \"pg_sovereign unlock\"", "could not reach the process at socket \"%s\": %s", a.sun_path, strerror(errno));
		if (err != NULL)
			err->retryable = true;
	}
	if (rc != SOV_OK)
	{
		close(*fd);
		*fd = -1;
	}
	return rc;
}

static enum sov_code
quorum_open(const char *uri, struct sov_custodian **out, struct sov_error *err)
{
	struct sov_quorum q;
	struct sov_error why;
	const char *record;
	int			fd;
	enum sov_code rc = sov_quorum_uri(uri, &record, err);

	if (rc == SOV_OK)
		rc = sov_quorum_record_read(record, &q, err);
	if (rc != SOV_OK)
		return rc;
	rc = sov_quorum_connect(record, &fd, &why);
	if (rc == SOV_E_NOTFOUND)
	{
		rc = sov_fail(err, SOV_E_KEY, "\"pg_sovereign unlock\", run by each of them as this user", "the root key is with its holders: %d of %d must give their shares", q.k, q.n);
		if (err != NULL)
			err->retryable = why.retryable;
		return rc;
	}
	if (rc != SOV_OK)
	{
		if (err != NULL)
			*err = why;
		return rc;
	}
	rc = sov_custodian_open_fd(fd, SOV_QUORUM_SCHEME, out, err);
	if (rc == SOV_OK && memcmp((*out)->root_id, q.root_id, 16) != 0)
	{
		sov_custodian_close(*out);
		*out = NULL;
		rc = sov_fail(err, SOV_E_KEY, "pg_sovereign unlock --forget, then unlock again", "the process that holds a root key holds another one than record \"%.300s\" tells of", record);
	}
	return rc;
}

/* --- in the process that holds it --- */

struct holding
{
	struct sov_custodian base;	/* first */
	uint8_t    *root;			/* secret memory, 32 */
	struct sov_quorum q;
};

static enum sov_code
quorum_wrap(struct sov_custodian *c, const uint8_t key[32], uint8_t blob[SOV_KWP_MAX], size_t *blob_len, struct sov_error *err)
{
	return sov_kwp_wrap(((struct holding *) c)->root, key, SOV_KEY_LEN, blob, blob_len, err);
}

static enum sov_code
quorum_unwrap(struct sov_custodian *c, const uint8_t *blob, size_t blob_len, uint8_t key[32], struct sov_error *err)
{
	return sov_custodian_unwrap_by(((struct holding *) c)->root, c->root_id, "joined by its holders", blob, blob_len, key, err);
}

static void
quorum_describe(struct sov_custodian *c, char *dst, size_t cap)
{
	struct sov_quorum *q = &((struct holding *) c)->q;
	char		set[17],
				id[37];

	sov_hex(set, q->set, 8);
	sov_uuid_text(id, c->root_id);
	snprintf(dst, cap, "quorum %d of %d, ceremony %s of %.10s, root %s", q->k, q->n, set, q->made, id);
}

static void
quorum_close(struct sov_custodian *c)
{
	sov_secret_free(((struct holding *) c)->root);
	free(c);
}

const struct sov_custodian_ops sov_custodian_quorum_ops = {
	.scheme = SOV_QUORUM_SCHEME,
	.open = quorum_open,
	.wrap = quorum_wrap,
	.unwrap = quorum_unwrap,
	.describe = quorum_describe,
	.close = quorum_close,
};

enum sov_code
sov_quorum_custodian(const struct sov_quorum *q, const uint8_t root[32], struct sov_custodian **out, struct sov_error *err)
{
	struct holding *h = calloc(1, sizeof *h);

	if (h == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	h->base.ops = &sov_custodian_quorum_ops;
	h->base.grade = SOV_GRADE_NONE;
	memcpy(h->base.root_id, q->root_id, 16);
	h->q = *q;
	h->root = sov_secret_alloc(SOV_KEY_LEN, err);
	if (h->root == NULL)
	{
		free(h);
		return SOV_E_NOMEM;
	}
	memcpy(h->root, root, SOV_KEY_LEN);
	*out = &h->base;
	return SOV_OK;
}
