/*
 * databases.h - the databases of the cluster that have the extension.
 */
#ifndef DATABASES_H
#define DATABASES_H

#include <libpq-fe.h>

#include "cli.h"

struct database
{
	PGconn	   *conn;			/* search_path is empty */
	const char *name;
	char		schema[140];	/* of the extension, quoted */
};

/* Call fn for each, as the configured connection says; the first failure ends it. */
extern enum sov_code databases_each(const struct sov_config *cfg,
									enum sov_code (*fn) (void *ctx, struct database *db, struct sov_error *err),
									void *ctx, struct sov_error *err);
/* SOV_E_STATE, and which: some database lets nobody connect, so that its keys are not seen.
 * (template0 has none.) */
extern enum sov_code databases_all_open(const struct sov_config *cfg, struct sov_error *err);
/* A server that was restored recovers first: wait until it has.  A standby is an error. */
extern enum sov_code databases_wait(const struct sov_config *cfg, struct sov_error *err);
/* One statement; %s in it is the schema.  NULL: *err says why. */
extern PGresult *database_query(struct database *db, const char *sql, int n, const char *const *params, struct sov_error *err);

/* key_split.c, key_rotate.c, key_content.c, key_subjects.c, key_where.c */
/* A command of its own: argv[0] is "split". */
extern int	key_split(int argc, char **argv, const struct cli_context *ctx);
/* new_uri NULL: finish. */
extern int	key_rotate(struct sov_config *cfg, const char *new_uri);
/* begin: a database that is to have its first epoch, or NULL.  from: the URI beside which
 * the keys of epochs are that go to the configured custodian, or NULL.  adopt: this server takes
 * the place of the one that made the epochs. */
extern int	key_subjects(struct sov_config *cfg, const char *begin, const char *from, bool adopt);
/* What "key where --json" prints; what could not be asked is noted. */
extern int	key_content_show(const struct sov_config *cfg);
extern int	key_write_only(struct sov_config *cfg);
/* next_uri: another content custodian, or NULL. */
extern int	key_content_rotate(const struct sov_config *cfg, const char *next_uri);
extern json_t *key_where_document(const struct sov_config *cfg);
extern int	key_where(const struct sov_config *cfg, bool json);

#endif
