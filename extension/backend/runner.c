/*
 * runner.c - commands that SQL starts, and what SQL sees of the repository.
 *
 * A job is a dynamic background worker that does nothing but run the command
 * pg_sovereign in a process of its own and wait for it: keys, providers and threads
 * never come into the server, and a crash of the command restarts nothing.  What
 * the job is, how far it is and how it ended is in a file that the command keeps
 * (include/sov_jobs.h), so it outlives server and worker.
 *
 * The views read files of the state directory and never ask a provider.
 */
#include "sov_pg.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/int.h"
#include "datatype/timestamp.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif

#include "sov_audit.h"
#include "sov_facts.h"
#include "sov_jobs.h"

#define LOOK_MS 100
#define STOP_MS 10000			/* for the command to end when the server stops */

PG_FUNCTION_INFO_V1(sov_start_job);
PG_FUNCTION_INFO_V1(sov_cancel_job);
PG_FUNCTION_INFO_V1(sov_jobs_json);
PG_FUNCTION_INFO_V1(sov_facts_json);
PG_FUNCTION_INFO_V1(sov_metrics);
PG_FUNCTION_INFO_V1(sov_audit_now);
PG_FUNCTION_INFO_V1(sov_audit_since);
extern PGDLLEXPORT void SovJobMain(Datum arg);

static struct sov_config *
read_config(void)
{
	struct sov_config *cfg = palloc0(sizeof *cfg);
	struct sov_error err;

	if (sov_config_read(sov_config_file, 0, cfg, &err) != SOV_OK)
		SovRaise(&err);
	return cfg;
}

/* --- the worker of a job --- */

static volatile sig_atomic_t stop_asked;

static void
on_stop(SIGNAL_ARGS)
{
	int			save = errno;

	stop_asked = 1;
	SetLatch(MyLatch);
	errno = save;
}

/* In the child: nothing of the server's but its log. */
static void
exec_job(const char *path, int64 id)
{
	char		text[32];
	const char *const args[] = {"run-job", text, NULL};
	int			in = open("/dev/null", O_RDWR);

	(void) prctl(PR_SET_PDEATHSIG, SIGTERM);
	snprintf(text, sizeof text, INT64_FORMAT, id);
	SovCommandExec(path, args, in, in);
}

/* Wait for the child; when the server stops it gets some time to end well. */
static int
wait_for_child(pid_t pid)
{
	int			status = 0,
				stopping_ms = 0;

	while (waitpid(pid, &status, WNOHANG) != pid)
	{
		if (stop_asked)
		{
			if (stopping_ms == 0)
				kill(pid, SIGTERM);
			else if (stopping_ms > STOP_MS)
				kill(pid, SIGKILL);
			stopping_ms += LOOK_MS;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	return status;
}

void
SovJobMain(Datum arg)
{
	int64		id = DatumGetInt64(arg);
	char		path[MAXPGPATH];
	pid_t		pid;
	int			status;

	pqsignal(SIGTERM, on_stop);
	BackgroundWorkerUnblockSignals();
	SovCommandPath(path, sizeof path);
	pid = fork();
	if (pid == 0)
		exec_job(path, id);
	if (pid < 0)
		ereport(FATAL, (errmsg("could not start the command of job " INT64_FORMAT ": %m", id)));
	status = wait_for_child(pid);
	if (WIFSIGNALED(status))
		ereport(LOG, (errmsg("pg_sovereign: the process of job " INT64_FORMAT " was ended by signal %d", id, WTERMSIG(status))));
	else if (WEXITSTATUS(status) >= 126)
		ereport(LOG, (errmsg("pg_sovereign: %s could not be run for job " INT64_FORMAT, path, id)));
	proc_exit(0);
}

static bool
start_worker(int64 id, const char *command)
{
	BackgroundWorker w;
	BackgroundWorkerHandle *handle;

	memset(&w, 0, sizeof w);
	w.bgw_flags = BGWORKER_SHMEM_ACCESS;
	w.bgw_start_time = BgWorkerStart_PostmasterStart;
	w.bgw_restart_time = BGW_NEVER_RESTART;
	w.bgw_main_arg = Int64GetDatum(id);
	strlcpy(w.bgw_library_name, "pg_sovereign", sizeof w.bgw_library_name);
	strlcpy(w.bgw_function_name, "SovJobMain", sizeof w.bgw_function_name);
	snprintf(w.bgw_name, sizeof w.bgw_name, "pg_sovereign job " INT64_FORMAT ": %s", id, command);
	strlcpy(w.bgw_type, "pg_sovereign job", sizeof w.bgw_type);
	return RegisterDynamicBackgroundWorker(&w, &handle);
}

enum sov_code
SovStartJob(const struct sov_config *cfg, const char *command, const char *const *args, int n_args, const char *role,
			uint64_t *id, struct sov_error *err)
{
	enum sov_code rc = sov_job_ask(cfg, command, args, n_args, role, id, err);

	if (rc != SOV_OK || start_worker((int64) *id, command))
		return rc;
	sov_job_forget(cfg, *id);
	return sov_fail(err, SOV_E_STATE, "try again when another job has ended, or raise max_worker_processes", "no background worker is free for the job");
}

/* --- waiting --- */

static void
raise_end(int64 id, const char *command, enum sov_job_state state, const struct sov_error *why)
{
	if (state == SOV_JOB_CANCELLED)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED), errmsg("job " INT64_FORMAT " (%s) was cancelled", id, command)));
	if (state == SOV_JOB_LOST)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("job " INT64_FORMAT " (%s) ended without a result", id, command),
				 errhint("The server's log tells more; a job that was interrupted can be started again.")));
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 why->message[0] ? errmsg("job " INT64_FORMAT " (%s) failed: %s", id, command, why->message)
			 : errmsg("job " INT64_FORMAT " (%s) found something wrong", id, command),
			 why->hint[0] ? errhint("%s", why->hint) : errhint("See its result in the view jobs.")));
}

static void
wait_for_job(const struct sov_config *cfg, int64 id, const char *command)
{
	enum sov_job_state state = SOV_JOB_QUEUED;
	struct sov_error why,
				err;

	PG_TRY();
	{
		for (;;)
		{
			if (sov_job_look(cfg, (uint64_t) id, &state, &why, &err) != SOV_OK)
				SovRaise(&err);
			if (state != SOV_JOB_QUEUED && state != SOV_JOB_RUNNING)
				break;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_CATCH();
	{
		(void) sov_job_cancel(cfg, (uint64_t) id, &err);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (state != SOV_JOB_DONE)
		raise_end(id, command, state, &why);
}

/* --- SQL functions --- */

/* What SQL may start, whoever made the call look so. */
static bool
may_start(const char *command)
{
	static const char *const commands[] = {"backup", "verify", "repair", "prune", "plan", "apply", "drill"};

	for (int i = 0; i < lengthof(commands); i++)
		if (strcmp(command, commands[i]) == 0)
			return true;
	return false;
}

/* start_job(command text, arguments text[], wait bool) returns bigint; NULL
 * arguments are left out. */
Datum
sov_start_job(PG_FUNCTION_ARGS)
{
	char	   *command = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		wait = PG_GETARG_BOOL(2);
	struct sov_config *cfg = read_config();
	const char *args[SOV_JOB_ARGS];
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				n_args = 0;
	uint64_t	id;
	struct sov_error err;

	if (!may_start(command))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"%s\" is no command for a job", command)));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			continue;
		if (n_args == SOV_JOB_ARGS)
			ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS), errmsg("a job takes at most %d arguments", SOV_JOB_ARGS)));
		args[n_args++] = TextDatumGetCString(elements[i]);
	}
	if (SovStartJob(cfg, command, args, n_args, GetUserNameFromId(GetAuthenticatedUserId(), false), &id, &err) != SOV_OK)
		SovRaise(&err);
	if (wait)
		wait_for_job(cfg, (int64) id, command);
	PG_RETURN_INT64((int64) id);
}

Datum
sov_cancel_job(PG_FUNCTION_ARGS)
{
	struct sov_error err;

	if (sov_job_cancel(read_config(), (uint64_t) PG_GETARG_INT64(0), &err) != SOV_OK)
		SovRaise(&err);
	PG_RETURN_VOID();
}

/* NULL where there is no configuration, no repository or nothing to tell yet. */
static Datum
json_or_null(FunctionCallInfo fcinfo, enum sov_code (*read) (const struct sov_config *, const char *, struct sov_buf *, struct sov_error *), const char *part)
{
	struct sov_buf json = {0};
	struct sov_error err;
	struct sov_config *cfg;
	enum sov_code rc;
	char	   *text;
	Datum		value;
	MemoryContext context = CurrentMemoryContext;

	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
		PG_RETURN_NULL();
	cfg = read_config();
	if (cfg->state_directory[0] == '\0')
		PG_RETURN_NULL();
	rc = read(cfg, part, &json, &err);
	if (rc == SOV_E_NOTFOUND)
		PG_RETURN_NULL();
	if (rc != SOV_OK)
	{
		sov_buf_free(&json);
		SovRaise(&err);
	}
	text = pstrdup((char *) json.data);
	sov_buf_free(&json);
	PG_TRY();
	{
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		/* A damaged file: whoever parses all of it says which, and what to do. */
		MemoryContextSwitchTo(context);
		if (part != NULL && read(cfg, NULL, &json, &err) != SOV_OK)
		{
			FlushErrorState();
			SovRaise(&err);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	PG_RETURN_DATUM(value);
}

static enum sov_code
read_jobs(const struct sov_config *cfg, const char *part, struct sov_buf *json, struct sov_error *err)
{
	return sov_jobs_read(cfg, json, err);
}

Datum
sov_jobs_json(PG_FUNCTION_ARGS)
{
	return json_or_null(fcinfo, read_jobs, NULL);
}

Datum
sov_facts_json(PG_FUNCTION_ARGS)
{
	return json_or_null(fcinfo, sov_facts_read, PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

/* --- texts of others: metrics, and the audit log of this host --- */

/* Bytes that this database has no text for as \x and two digits. */
static Datum
text_of(const char *s)
{
	StringInfoData safe;
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8 && pg_verifymbstr(s, strlen(s), true);

	initStringInfo(&safe);
	for (; *s; s++)
		if (utf8 || (unsigned char) *s < 0x80)
			appendStringInfoChar(&safe, *s);
		else
			appendStringInfo(&safe, "\\x%02x", (unsigned char) *s);
	return CStringGetTextDatum(safe.data);
}

/* NULL as in json_or_null. */
Datum
sov_metrics(PG_FUNCTION_ARGS)
{
	struct sov_buf text = {0};
	struct sov_error err;
	struct sov_config *cfg;
	enum sov_code rc;
	Datum		value;

	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
		PG_RETURN_NULL();
	cfg = read_config();
	if (cfg->state_directory[0] == '\0')
		PG_RETURN_NULL();
	rc = sov_metrics_read(cfg, &text, &err);
	if (rc == SOV_OK)
		value = text_of((char *) text.data);
	sov_buf_free(&text);
	if (rc == SOV_E_NOTFOUND)
		PG_RETURN_NULL();
	if (rc != SOV_OK)
		SovRaise(&err);
	PG_RETURN_DATUM(value);
}

typedef struct Rows
{
	ReturnSetInfo *rsinfo;
	MemoryContext scratch;		/* of one entry */
	ErrorData  *error;			/* why no more is wanted */
} Rows;

static void
put_row(ReturnSetInfo *rsinfo, const struct sov_audit_entry *e)
{
	const char *texts[] = {e->user, e->current_user, e->client, e->application, e->database, e->key, e->purpose};
	Datum		values[15];
	bool		nulls[15] = {0};

	CHECK_FOR_INTERRUPTS();
	values[0] = Int64GetDatum((int64) e->seq);
	nulls[0] = e->seq == 0;
	values[1] = TimestampTzGetDatum((TimestampTz) e->time_us - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
	values[2] = CStringGetTextDatum(sov_audit_event_name(e->event));
	values[3] = CStringGetTextDatum(sov_audit_outcome_name(e->outcome));
	values[4] = Int32GetDatum((int32) e->process);
	for (int i = 0; i < 7; i++)
	{
		values[5 + i] = text_of(texts[i]);
		nulls[5 + i] = texts[i][0] == '\0';
	}
	values[12] = Int64GetDatum((int64) e->query_id);
	nulls[12] = e->query_id == 0;
	values[13] = Int64GetDatum((int64) e->opened);
	values[14] = text_of(e->text);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* An error (the query is cancelled) goes on when the core has closed what it opened. */
static bool
put_entry(void *ctx, const struct sov_audit_entry *e)
{
	Rows	   *rows = ctx;
	MemoryContext old = MemoryContextSwitchTo(rows->scratch);

	PG_TRY();
	{
		put_row(rows->rsinfo, e);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		rows->error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(rows->scratch);
	return rows->error == NULL;
}

/* Empty where there is no configuration or no log. */
static Datum
entries_since(FunctionCallInfo fcinfo, uint64_t since_us)
{
	Rows		rows = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	char		directory[1024];
	struct sov_error err;
	enum sov_code rc = SOV_OK;

	InitMaterializedSRF(fcinfo, 0);
	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
		return (Datum) 0;
	rows.scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_sovereign audit entry", ALLOCSET_DEFAULT_SIZES);
	if (sov_audit_directory(read_config(), directory, sizeof directory))
		rc = sov_audit_read(directory, since_us, put_entry, &rows, &err);
	if (rows.error)
		ReThrowError(rows.error);
	if (rc != SOV_OK)
		SovRaise(&err);
	MemoryContextDelete(rows.scratch);
	return (Datum) 0;
}

Datum
sov_audit_now(PG_FUNCTION_ARGS)
{
	return entries_since(fcinfo, 0);
}

Datum
sov_audit_since(PG_FUNCTION_ARGS)
{
	TimestampTz since = PG_GETARG_TIMESTAMPTZ(0);
	int64		unix_us;

	if (TIMESTAMP_IS_NOBEGIN(since))
		return entries_since(fcinfo, 0);
	if (TIMESTAMP_IS_NOEND(since) || pg_add_s64_overflow(since, (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY, &unix_us))
		return entries_since(fcinfo, PG_INT64_MAX);
	return entries_since(fcinfo, unix_us < 0 ? 0 : (uint64_t) unix_us);
}
