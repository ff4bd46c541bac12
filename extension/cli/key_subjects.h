/*
 * key_subjects.h - "key subjects": what the command (key_subjects.c) and its epochs
 * (key_epochs.c) share.
 */
#ifndef KEY_SUBJECTS_H
#define KEY_SUBJECTS_H

#include "databases.h"

struct subjects_work
{
	struct sov_config *cfg;
	const char *begin;			/* a database that is to have its first epoch */
	struct sov_config *from;	/* where the keys of former epochs are: cfg, or --from */
	bool		moved;			/* --from: the epoch ends without an erasure */
	bool		adopt;			/* this server takes the place of the one that made the epochs */
	struct sov_repo *repo;		/* opened when it is needed first */
	struct database *db;
	uint8_t		database[16];
	int			done;
	struct seen
	{
		uint8_t		id[16];
		char		name[64];
	}			*seen;			/* databases with epochs */
	int			n_seen;
};

/* The system identifier and the timeline: a copy that was promoted has another one. */
#define SERVER "(SELECT s.system_identifier || '/' || c.timeline_id FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c)"

/* persons that wait for the end of the current epoch */
#define PENDING "SELECT pg_catalog.count(*) FROM %s.erasure WHERE destroyed IS NULL AND epoch OPERATOR(pg_catalog.=) (SELECT pg_catalog.max(e.epoch) FROM %s.subject_epoch e)"

static inline const char *
value(const PGresult *r, int row, int col)
{
	return PQgetvalue(r, row, col);
}

/* --- key_epochs.c --- */
extern enum sov_code subjects_run(struct subjects_work *w, const char *sql, int n, const char *const *params, struct sov_error *err);
extern enum sov_code subjects_count(struct subjects_work *w, const char *sql, int64_t *out, struct sov_error *err);

/* Each in a transaction of its own.  The first epoch of a database that has none. */
extern enum sov_code epoch_first(struct subjects_work *w, struct sov_error *err);
/* A new epoch, where persons wait for the end of the present one or its key moves. */
extern enum sov_code epoch_renew(struct subjects_work *w, struct sov_error *err);
/* The key of the epoch in this row: epoch, id, grade, custodian, beside. */
extern enum sov_code epoch_destroy(struct subjects_work *w, PGresult *r, int row, struct sov_error *err);

#endif
