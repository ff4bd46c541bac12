/*
 * jobs.c - files of jobs in the state directory: see sov_jobs.h.
 *
 * Locks are of fcntl: F_GETLK tells whose they are, so that a cancel reaches the
 * process that runs the job and never another one with its number.  "jobs/lock"
 * is held while a job is asked for, so that two sessions do not start the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "repo_private.h"
#include "sov_jobs.h"

#define QUEUED_SECONDS 60		/* one that nobody took up in this time is lost */
#define WRITE_EVERY_US 500000

static const char *const words[] = {"queued", "running", "done", "failed", "cancelled", "lost"};

struct sov_job
{
	char		path[1200];
	json_t	   *doc;
	int			lock;
	char	   *argv[SOV_JOB_ARGS + 2];
	pthread_mutex_t mutex;
	int64_t		written_us;
	char		phase[32];		/* as last told, written or not */
	uint64_t	done,
				total;
};

static void
job_path(const struct sov_config *cfg, const char *name, char *path, size_t cap)
{
	snprintf(path, cap, "%s/jobs/%s", cfg->state_directory, name);
}

static void
id_path(const struct sov_config *cfg, uint64_t id, const char *suffix, char *path, size_t cap)
{
	snprintf(path, cap, "%s/jobs/%" PRIu64 "%s", cfg->state_directory, id, suffix);
}

static json_t *
now_json(void)
{
	char		text[40];
	time_t		t = (time_t) (repo_now_us() / 1000000);
	struct tm	tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static enum sov_code
write_doc(const char *path, const json_t *doc, struct sov_error *err)
{
	char	   *text = json_dumps(doc, JSON_COMPACT);
	enum sov_code rc = text ? repo_write_file(path, text, strlen(text), err) : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");

	free(text);
	return rc;
}

/* --- locks --- */

static int
open_lock(const char *path, struct sov_error *err)
{
	int			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		(void) sov_fail_errno(err, errno, "the state directory belongs to the user that runs the server", "could not open %s", path);
	return fd;
}

/* The process that holds the lock of a job; 0: none. */
static pid_t
holder(const struct sov_config *cfg, uint64_t id)
{
	char		path[1200];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int			fd;
	pid_t		pid = 0;

	id_path(cfg, id, ".lock", path, sizeof path);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK)
		pid = l.l_pid;
	if (fd >= 0)
		close(fd);
	return pid;
}

/* --- reading --- */

static json_t *
read_doc(const struct sov_config *cfg, uint64_t id, struct sov_error *err)
{
	char		path[1200];
	struct sov_buf text = {0};
	json_t	   *doc = NULL;
	enum sov_code rc;

	id_path(cfg, id, "", path, sizeof path);
	rc = repo_read_file(path, &text, err);
	if (rc == SOV_OK && !json_is_object(doc = json_loadb((const char *) text.data, text.len, 0, NULL)))
	{
		json_decref(doc);
		doc = NULL;
		(void) sov_fail(err, SOV_E_FORMAT, "remove it", "%s is no JSON object", path);
	}
	if (rc == SOV_E_NOTFOUND)
		(void) sov_fail(err, SOV_E_NOTFOUND, "the view jobs lists those that are known", "there is no job %" PRIu64, id);
	sov_buf_free(&text);
	return doc;
}

static const char *
text_of(const json_t *doc, const char *key)
{
	const char *s = json_string_value(json_object_get(doc, key));

	return s ? s : "";
}

/* What the file says, and the lock. */
static enum sov_job_state
state_of(const struct sov_config *cfg, uint64_t id, const json_t *doc)
{
	enum sov_job_state state = SOV_JOB_LOST;

	for (int i = 0; i < SOV_JOB_LOST; i++)
		if (strcmp(text_of(doc, "state"), words[i]) == 0)
			state = (enum sov_job_state) i;
	if (state == SOV_JOB_RUNNING && holder(cfg, id) == 0)
	{
		json_t	   *again = read_doc(cfg, id, NULL);	/* it may just have ended */
		bool		ended = again && strcmp(text_of(again, "state"), "running") != 0;

		if (ended)
			state = state_of(cfg, id, again);
		json_decref(again);
		return ended ? state : SOV_JOB_LOST;
	}
	if (state == SOV_JOB_QUEUED && repo_now_us() / 1000000 - json_integer_value(json_object_get(doc, "asked_s")) > QUEUED_SECONDS)
		return SOV_JOB_LOST;
	return state;
}

enum sov_code
sov_job_look(const struct sov_config *cfg, uint64_t id, enum sov_job_state *state, struct sov_error *why, struct sov_error *err)
{
	json_t	   *doc = read_doc(cfg, id, err);

	if (doc == NULL)
		return err->code;
	*state = state_of(cfg, id, doc);
	if (why)
	{
		sov_error_clear(why);
		snprintf(why->message, sizeof why->message, "%s", text_of(doc, "message"));
		snprintf(why->hint, sizeof why->hint, "%s", text_of(doc, "hint"));
	}
	json_decref(doc);
	return SOV_OK;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a,
				y = *(const uint64_t *) b;

	return x > y ? -1 : x < y;
}

/* Newest first; the caller frees *ids. */
static enum sov_code
list_ids(const struct sov_config *cfg, uint64_t **ids, size_t *n, struct sov_error *err)
{
	char		dir[1200];
	struct dirent *e;
	DIR		   *d;
	size_t		cap = 0;

	*ids = NULL;
	*n = 0;
	if (cfg->state_directory[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "add name = ... to [repository]", "%s configures no repository", cfg->file);
	job_path(cfg, "", dir, sizeof dir);
	d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT ? SOV_OK : sov_fail_errno(err, errno, "the state directory belongs to the user that runs the server", "could not read %s", dir);
	while ((e = readdir(d)) != NULL)
	{
		char	   *end;
		uint64_t	id = strtoull(e->d_name, &end, 10);
		uint64_t   *more = *ids;

		if (end == e->d_name || *end != '\0')
			continue;
		if (*n == cap && (more = realloc(*ids, (cap = cap ? cap * 2 : 64) * sizeof *more)) == NULL)
			break;
		*ids = more;
		more[(*n)++] = id;
	}
	closedir(d);
	if (*n > 0)
		qsort(*ids, *n, sizeof **ids, compare_ids);
	return e == NULL ? SOV_OK : sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
}

enum sov_code
sov_jobs_read(const struct sov_config *cfg, struct sov_buf *json, struct sov_error *err)
{
	uint64_t   *ids;
	size_t		n;
	json_t	   *list = json_array();
	char	   *text = NULL;
	enum sov_code rc = list_ids(cfg, &ids, &n, err);

	for (size_t i = 0; i < n && rc == SOV_OK; i++)
	{
		json_t	   *doc = read_doc(cfg, ids[i], NULL);

		if (doc == NULL)
			continue;			/* removed meanwhile, or not ours */
		json_object_set_new(doc, "state", json_string(words[state_of(cfg, ids[i], doc)]));
		json_array_append_new(list, doc);
	}
	free(ids);
	if (rc == SOV_OK)
		text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (text)
		sov_write_bytes(json, text, strlen(text) + 1);
	free(text);
	if (rc == SOV_OK && (text == NULL || json->bad))
		rc = sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	return rc;
}

/* --- asking --- */

void
sov_job_forget(const struct sov_config *cfg, uint64_t id)
{
	char		path[1200];

	id_path(cfg, id, "", path, sizeof path);
	(void) unlink(path);
	id_path(cfg, id, ".lock", path, sizeof path);
	(void) unlink(path);
}

static enum sov_code
check_others(const struct sov_config *cfg, const char *command, const uint64_t *ids, size_t n, struct sov_error *err)
{
	for (size_t i = 0; i < n; i++)
	{
		json_t	   *doc = read_doc(cfg, ids[i], NULL);
		enum sov_job_state state = doc ? state_of(cfg, ids[i], doc) : SOV_JOB_LOST;
		bool		same = doc && strcmp(text_of(doc, "command"), command) == 0;

		json_decref(doc);
		if (same && (state == SOV_JOB_QUEUED || state == SOV_JOB_RUNNING))
			return sov_fail(err, SOV_E_STATE, "wait for it, or cancel it with cancel_job()", "job %" PRIu64 " does a %s already", ids[i], command);
		if (i >= SOV_JOBS_KEPT && state != SOV_JOB_QUEUED && state != SOV_JOB_RUNNING)
			sov_job_forget(cfg, ids[i]);
	}
	return SOV_OK;
}

static enum sov_code
ask_locked(const struct sov_config *cfg, const char *command, const char *const *args, int n_args, const char *role,
		   uint64_t *id, struct sov_error *err)
{
	char		path[1200];
	uint64_t   *ids;
	size_t		n;
	json_t	   *list = json_array(),
			   *doc;
	enum sov_code rc = list_ids(cfg, &ids, &n, err);

	if (rc == SOV_OK)
		rc = check_others(cfg, command, ids, n, err);
	*id = n > 0 ? ids[0] + 1 : 1;
	free(ids);
	for (int i = 0; i < n_args; i++)
		json_array_append_new(list, json_string(args[i]));
	doc = json_pack("{s:I, s:s, s:o, s:s, s:s, s:o, s:I}", "job", (json_int_t) *id, "command", command, "arguments", list, "role", role,
					"state", words[SOV_JOB_QUEUED], "asked", now_json(), "asked_s", (json_int_t) (repo_now_us() / 1000000));
	if (rc == SOV_OK && doc == NULL)
		rc = sov_fail(err, SOV_E_USAGE, NULL, "an argument is not UTF-8");
	id_path(cfg, *id, "", path, sizeof path);
	if (rc == SOV_OK)
		rc = write_doc(path, doc, err);
	json_decref(doc);
	return rc;
}

enum sov_code
sov_job_ask(const struct sov_config *cfg, const char *command, const char *const *args, int n_args, const char *role,
			uint64_t *id, struct sov_error *err)
{
	char		path[1200];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int			fd;
	enum sov_code rc;

	if (cfg->state_directory[0] == '\0')
		return sov_fail(err, SOV_E_CONFIG, "add name = ... to [repository]", "%s configures no repository", cfg->file);
	job_path(cfg, "", path, sizeof path);
	path[strlen(path) - 1] = '\0';
	rc = repo_mkdirs(path, err);
	job_path(cfg, "lock", path, sizeof path);
	if (rc != SOV_OK)
		return rc;
	fd = open_lock(path, err);
	if (fd < 0)
		return err->code;
	if (fcntl(fd, F_SETLKW, &l) != 0)
		rc = sov_fail_errno(err, errno, NULL, "could not lock %s", path);
	else
		rc = ask_locked(cfg, command, args, n_args, role, id, err);
	close(fd);
	return rc;
}

/* One that nobody has taken up: under its lock, so that nobody does meanwhile; who comes
 * later finds it cancelled.  False: it is taken up, or has ended. */
static bool
cancel_queued(const struct sov_config *cfg, uint64_t id, enum sov_code *rc, struct sov_error *err)
{
	char		path[1200];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	json_t	   *doc = NULL;
	bool		queued;
	int			fd;

	id_path(cfg, id, ".lock", path, sizeof path);
	fd = open_lock(path, err);
	if (fd < 0)
	{
		*rc = err->code;
		return true;
	}
	queued = fcntl(fd, F_SETLK, &l) == 0 && (doc = read_doc(cfg, id, NULL)) != NULL &&
		strcmp(text_of(doc, "state"), words[SOV_JOB_QUEUED]) == 0;
	if (queued)
	{
		id_path(cfg, id, "", path, sizeof path);
		json_object_set_new(doc, "state", json_string(words[SOV_JOB_CANCELLED]));
		json_object_set_new(doc, "ended", now_json());
		*rc = write_doc(path, doc, err);
	}
	json_decref(doc);
	close(fd);
	return queued;
}

enum sov_code
sov_job_cancel(const struct sov_config *cfg, uint64_t id, struct sov_error *err)
{
	enum sov_job_state state;
	enum sov_code rc = sov_job_look(cfg, id, &state, NULL, err);
	pid_t		pid;

	if (rc != SOV_OK || (state == SOV_JOB_QUEUED && cancel_queued(cfg, id, &rc, err)))
		return rc;
	pid = holder(cfg, id);
	if (pid == 0 || (state != SOV_JOB_RUNNING && state != SOV_JOB_QUEUED))
		return sov_fail(err, SOV_E_STATE, NULL, "job %" PRIu64 " is not running: it is %s", id, words[state]);
	return kill(pid, SIGTERM) == 0 ? SOV_OK : sov_fail_errno(err, errno, NULL, "could not signal process %d", (int) pid);
}

/* --- running --- */

static enum sov_code
take_arguments(struct sov_job *job, int *argc, struct sov_error *err)
{
	const json_t *list = json_object_get(job->doc, "arguments");
	const char *command = json_string_value(json_object_get(job->doc, "command"));
	size_t		n = json_array_size(list);

	if (command == NULL || n > SOV_JOB_ARGS)
		return sov_fail(err, SOV_E_FORMAT, NULL, "%s is not a job", job->path);
	/* argv may be permuted, its strings are those of the document */
	job->argv[0] = (char *) (uintptr_t) command;
	for (size_t i = 0; i < n; i++)
		if ((job->argv[i + 1] = (char *) (uintptr_t) json_string_value(json_array_get(list, i))) == NULL)
			return sov_fail(err, SOV_E_FORMAT, NULL, "%s is not a job", job->path);
	*argc = (int) n + 1;
	return SOV_OK;
}

static void
job_free(struct sov_job *job)
{
	if (job->lock >= 0)
		close(job->lock);
	json_decref(job->doc);
	pthread_mutex_destroy(&job->mutex);
	free(job);
}

enum sov_code
sov_job_begin(const struct sov_config *cfg, uint64_t id, struct sov_job **out, int *argc, char ***argv, struct sov_error *err)
{
	struct sov_job *job = calloc(1, sizeof *job);
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char		path[1200];
	enum sov_code rc = SOV_OK;

	if (job == NULL)
		return sov_fail(err, SOV_E_NOMEM, NULL, "out of memory");
	pthread_mutex_init(&job->mutex, NULL);
	id_path(cfg, id, ".lock", path, sizeof path);
	id_path(cfg, id, "", job->path, sizeof job->path);
	job->lock = open_lock(path, err);
	if (job->lock < 0)
		rc = err->code;
	else if (fcntl(job->lock, F_SETLK, &l) != 0)
		rc = sov_fail(err, SOV_E_STATE, NULL, "another process runs job %" PRIu64, id);
	if (rc == SOV_OK && (job->doc = read_doc(cfg, id, err)) == NULL)
		rc = err->code;
	if (rc == SOV_OK && strcmp(text_of(job->doc, "state"), words[SOV_JOB_QUEUED]) != 0)
		rc = sov_fail(err, SOV_E_STATE, NULL, "job %" PRIu64 " is %s", id, text_of(job->doc, "state"));
	if (rc == SOV_OK)
		rc = take_arguments(job, argc, err);
	if (rc == SOV_OK)
	{
		json_object_set_new(job->doc, "state", json_string(words[SOV_JOB_RUNNING]));
		json_object_set_new(job->doc, "began", now_json());
		rc = write_doc(job->path, job->doc, err);
	}
	if (rc != SOV_OK)
	{
		job_free(job);
		return rc;
	}
	*argv = job->argv;
	*out = job;
	return SOV_OK;
}

static void
put_progress(struct sov_job *job)
{
	json_object_set_new(job->doc, "phase", json_string(job->phase));
	json_object_set_new(job->doc, "done", json_integer((json_int_t) job->done));
	json_object_set_new(job->doc, "total", json_integer((json_int_t) job->total));
}

void
sov_job_progress(struct sov_job *job, const char *phase, uint64_t done, uint64_t total)
{
	int64_t		now = repo_mono_us();

	if (pthread_mutex_trylock(&job->mutex) != 0)
		return;
	snprintf(job->phase, sizeof job->phase, "%s", phase);
	job->done = done;
	job->total = total;
	if (now - job->written_us >= WRITE_EVERY_US)
	{
		job->written_us = now;
		put_progress(job);
		(void) write_doc(job->path, job->doc, NULL);
	}
	pthread_mutex_unlock(&job->mutex);
}

enum sov_code
sov_job_end(struct sov_job *job, int exit_status, bool cancelled, const struct sov_error *why, const char *output, struct sov_error *err)
{
	json_t	   *result = output && output[0] ? json_loads(output, JSON_DECODE_ANY, NULL) : NULL;
	enum sov_job_state state = cancelled ? SOV_JOB_CANCELLED : exit_status == 0 ? SOV_JOB_DONE : SOV_JOB_FAILED;
	enum sov_code rc;

	if (job->phase[0] != '\0')
		put_progress(job);
	json_object_set_new(job->doc, "state", json_string(words[state]));
	json_object_set_new(job->doc, "ended", now_json());
	json_object_set_new(job->doc, "exit_status", json_integer(exit_status));
	if (why && why->message[0])
		json_object_set_new(job->doc, "message", json_string(why->message));
	if (why && why->hint[0])
		json_object_set_new(job->doc, "hint", json_string(why->hint));
	json_object_set_new(job->doc, "result", result ? result : json_null());
	rc = write_doc(job->path, job->doc, err);
	job_free(job);
	return rc;
}
