/*
 * sftp_private.h - what the files of the sftp adapter share (design: sftp.c).
 */
#ifndef SFTP_PRIVATE_H
#define SFTP_PRIVATE_H

#include <pthread.h>

#include "adapters.h"
#include "net.h"
#include "sftp.h"

#define SFTP_TMP "+tmp"
#define SFTP_OLD "+old"

struct sftp
{
	struct sov_provider base;	/* first */
	struct sov_provider_ops ops;
	struct sov_net *net;
	char		host[300];		/* "sftp://host:port" */
	char		root[600];		/* "/srv/backup", no slash at its end */
	char		key_file[1024],
				known_hosts[1024],
				fingerprint[100];
	pthread_mutex_t lock;		/* of overwriting */
};

struct sftp_transfer
{
	struct sov_net *net;
	struct sov_conn *conn;
	const struct sov_put_span *spans;	/* to send */
	int			n_spans,
				span;
	size_t		at;
	struct sov_buf *sink;		/* to receive into */
	size_t		start;
	uint64_t	max;
	bool		too_long;
};

/* --- sftp_transfer.c --- */

/* A connection, set up for the path of the server; url is room for it and stays. */
extern struct sov_conn *sftp_begin(struct sftp *s, const char *path, char *url, size_t cap, struct sov_error *err);
extern CURLcode sftp_perform(struct sftp *s, struct sov_conn *c);
/* Did a kept connection turn out to be dead?  Then it is worth asking once more. */
extern bool sftp_lost(CURLcode rc);
extern enum sov_code sftp_fail(struct sov_conn *c, CURLcode rc, const char *what, const char *name, struct sov_error *err);
/* SFTP commands on a kept connection.  *rc is libcurl's code; *missing: the server said
 * that a file or directory is not there. */
extern enum sov_code sftp_commands(struct sftp *s, const char *const *list, int n, CURLcode *rc, bool *missing, struct sov_error *err);
extern enum sov_code sftp_not_found(const char *name, struct sov_error *err);

/* --- sftp.c --- */

/* The text of a directory, as the server lists it. */
extern enum sov_code sftp_read_directory(struct sftp *s, const char *name, struct sov_buf *out, struct sov_error *err);
extern enum sov_code sftp_check_root(struct sftp *s, struct sov_error *err);
/* "Not found", if the root is there. */
extern enum sov_code sftp_absent(struct sftp *s, const char *name, struct sov_error *err);
/* Size and time of a path, without reading it. */
extern enum sov_code sftp_stat_file(struct sftp *s, const char *name, const char *suffix, struct sov_object_stat *st, struct sov_error *err);
extern enum sov_code sftp_stat_object(struct sftp *s, const char *name, struct sov_object_stat *st, struct sov_error *err);

/* --- sftp_list.c, sftp_put.c --- */
extern enum sov_code sftp_list(struct sov_provider *p, const char *prefix, sov_list_fn fn, void *ctx, struct sov_error *err);
extern enum sov_code sftp_put(struct sov_provider *p, const char *name, const struct sov_put_span *spans, int n_spans, bool if_absent, struct sov_error *err);
extern enum sov_code sftp_sweep(struct sov_provider *p, sov_list_fn fn, void *ctx, struct sov_error *err);
extern enum sov_code sftp_remove(struct sov_provider *p, const char *name, struct sov_error *err);

#endif
