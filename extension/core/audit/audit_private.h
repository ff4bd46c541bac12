/*
 * audit_private.h - what the files audit*.c share and nobody else sees.
 */
#ifndef AUDIT_PRIVATE_H
#define AUDIT_PRIVATE_H

#include "repository/repo_private.h"
#include "sov_audit.h"

#define AUDIT_QUEUE_MAGIC "SOVAUDQ1"
#define AUDIT_QUEUE_CLEAR 8
#define AUDIT_QUEUE_ENTRIES 1024	/* in one file */

/* audit_entry.c */
extern void audit_entry_body(struct sov_buf *b, const struct sov_audit_entry *e);
extern void audit_entry_parse(struct sov_reader *r, struct sov_audit_entry *e);
extern enum sov_code audit_names(const char *dir, char ***names, size_t *n, struct sov_error *err);
extern void audit_names_free(char **names, size_t n);

/* audit_state.c: chain.key, log, pending */
#define AUDIT_NEW_CHAIN \
	"if the state directory is another repository's, set another state-directory in [repository]; if only this file is damaged, move chain.key away to begin a new chain: 'pg_sovereign audit verify' will say that the old one ended"
struct audit_state				/* in secret memory */
{
	uint64_t	chain;			/* 0: none yet */
	uint64_t	batch, seq;		/* the last that was made */
	uint8_t		hash[32];		/* of the chain there */
	uint8_t		last_object[32];	/* SHA-256 of the last batch */
	uint64_t	last_us;
	uint64_t	shipped_batch, shipped_seq; /* held by n-k+1 providers */
	uint8_t		shipped_hash[32];
	uint64_t	log_len;		/* of the file that holds it all */
	uint8_t		config[32];		/* SHA-256 of the configuration file */
	uint8_t		seed[32];		/* signs the next batch */
};
extern enum sov_code audit_make_directories(const char *directory, struct sov_error *err);
/* SOV_E_NOTFOUND: there is none. */
extern enum sov_code audit_state_read(struct sov_repo *repo, const char *dir, struct audit_state *st, struct sov_error *err);
extern enum sov_code audit_state_write(struct sov_repo *repo, const char *dir, const struct audit_state *st, struct sov_error *err);
/* Append to the log, cutting off what a crash left behind st->log_len, and sync. */
extern enum sov_code audit_log_append(const char *dir, struct audit_state *st, const struct sov_buf *records, struct sov_error *err);
/* One record of the log; sets r->bad. */
extern void audit_log_read(struct sov_reader *r, struct sov_audit_entry *e, uint8_t hash[32]);
extern void audit_log_write(struct sov_buf *b, const struct sov_audit_entry *e, const uint8_t hash[32]);

/* audit_batch.c */
extern void audit_batch_name(uint64_t chain, uint64_t batch, char dst[SOV_NAME_MAX]);
extern void audit_beat_name(uint64_t chain, char dst[SOV_NAME_MAX]);
/* Chain and batch of a name; batch 0: the beat. */
extern bool audit_parse_name(const char *name, uint64_t *chain, uint64_t *batch);

#endif
