/*
 * sov_jobs.h - commands that somebody else started: what they were asked, how far
 * they are, how they ended.
 *
 * A job is the file "jobs/ID" of the state directory, JSON, replaced whole; while it
 * runs its process holds a lock on "jobs/ID.lock".  So its state is true whatever
 * became of the server, the process or the machine: a job whose file says that it
 * runs and whose lock is free is lost.  The newest SOV_JOBS_KEPT are kept.
 *
 * Fields: job, command, arguments[], role, state (queued, running, done, failed,
 * cancelled, lost), asked, began, ended (ISO 8601, UTC), phase, done and total
 * (bytes or objects, as the phase counts), exit_status, message and hint (of the
 * failure), result (what the command printed, JSON).
 */
#ifndef SOV_JOBS_H
#define SOV_JOBS_H

#include "sov_bytes.h"
#include "sov_config.h"

#define SOV_JOBS_KEPT 200
#define SOV_JOB_ARGS 16

enum sov_job_state { SOV_JOB_QUEUED, SOV_JOB_RUNNING, SOV_JOB_DONE, SOV_JOB_FAILED, SOV_JOB_CANCELLED, SOV_JOB_LOST };

/* Ask for a command; SOV_E_STATE when a job of that command is queued or running.
 * args: at most SOV_JOB_ARGS. */
extern enum sov_code sov_job_ask(const struct sov_config *cfg, const char *command, const char *const *args, int n_args,
								 const char *role, uint64_t *id, struct sov_error *err);
/* Take back what could not be started. */
extern void sov_job_forget(const struct sov_config *cfg, uint64_t id);
/* State of one job; *why (may be NULL) gets message and hint of one that failed. */
extern enum sov_code sov_job_look(const struct sov_config *cfg, uint64_t id, enum sov_job_state *state, struct sov_error *why,
								  struct sov_error *err);
/* Tell its process to stop; SOV_E_STATE when it does not run. */
extern enum sov_code sov_job_cancel(const struct sov_config *cfg, uint64_t id, struct sov_error *err);
/* All of them, newest first, as a JSON array with a NUL behind it. */
extern enum sov_code sov_jobs_read(const struct sov_config *cfg, struct sov_buf *json, struct sov_error *err);

/* --- in the process that runs it --- */

struct sov_job;					/* may be used by several threads */
/* *argv: the command and its arguments, NULL at the end; it belongs to the job. */
extern enum sov_code sov_job_begin(const struct sov_config *cfg, uint64_t id, struct sov_job **job, int *argc, char ***argv,
								   struct sov_error *err);
/* Progress; written twice a second at most. */
extern void sov_job_progress(struct sov_job *job, const char *phase, uint64_t done, uint64_t total);
/* The end; why may be NULL, output is what the command printed.  Frees the job. */
extern enum sov_code sov_job_end(struct sov_job *job, int exit_status, bool cancelled, const struct sov_error *why,
								 const char *output, struct sov_error *err);

#endif
