/*
 * schedule.c - a task of the worker: starts what [schedule] says when it is due,
 * carries out a changed configuration after a reload where auto-apply is on, and
 * logs once when what may be lost changes.
 *
 * One thing at a time, in the order of enum sov_due; what was missed while the server
 * was down is done once.  On a standby only what a standby may do: verify and drill;
 * the others are the primary's.  Each is a job as SQL starts them, in the role "worker".
 *
 * The task itself only looks at small files of the state directory.
 */
#include "shared.h"

#include <time.h>
#include <unistd.h>

#include "access/xlog.h"

#include "sov_facts.h"
#include "sov_jobs.h"

#define LOOK_MS 10000
#define LOOK_RUNNING_MS 1000	/* while a job of ours runs */
#define TOLERATED_MS 60000

static struct sov_config *config,	/* as last read without an error */
		   *spare;
static bool have_config;
static bool apply_wanted;
static uint64_t running;		/* a job of ours, 0: none */
static char running_command[16];
static int64 tolerated_at;		/* when to look again, boot clock */
static int	tolerated = -2;		/* as last logged */
static char last_trouble[sizeof((struct sov_error *) 0)->message];

static const struct
{
	const char *name;			/* as in [schedule] */
	const char *command;		/* where it is another word */
	bool		on_standby;
}			due_things[SOV_DUE_N] = {
	[SOV_DUE_BACKUP] = {"backup", NULL, false},
	[SOV_DUE_PRUNE] = {"prune", NULL, false},
	[SOV_DUE_REPAIR] = {"repair", NULL, false},
	[SOV_DUE_VERIFY] = {"verify", NULL, true},
	[SOV_DUE_PROBE] = {"probe", "provider", false},
	[SOV_DUE_DRILL] = {"drill", NULL, true},
};

/* Once per state. */
static void
log_trouble(const char *what, const struct sov_error *err)
{
	if (strcmp(last_trouble, err->message) == 0)
		return;
	strlcpy(last_trouble, err->message, sizeof last_trouble);
	ereport(LOG, (errmsg("pg_sovereign: %s: %s", what, err->message), err->hint[0] ? errhint("%s", err->hint) : 0));
}

/* --- the configuration --- */

static bool
providers_differ(const struct sov_config *a, const struct sov_config *b)
{
	return a->needed != b->needed || a->shards != b->shards || a->n_providers != b->n_providers ||
		memcmp(a->providers, b->providers, sizeof a->providers[0] * (size_t) a->n_providers) != 0;
}

static void
read_schedule(void)
{
	struct sov_error err;
	struct sov_config *was = config;

	if (access(sov_config_file, F_OK) != 0 && errno == ENOENT)
	{
		have_config = false;
		return;
	}
	if (sov_config_read(sov_config_file, 0, spare, &err) != SOV_OK)
	{
		log_trouble(have_config ? "the schedule goes on with the configuration as it was" : "there is no schedule", &err);
		return;
	}
	tolerated_at = 0;
	apply_wanted = apply_wanted || (have_config && spare->auto_apply && providers_differ(was, spare));
	config = spare;
	spare = was;
	have_config = true;
}

static void
schedule_start(void)
{
	config = MemoryContextAllocZero(TopMemoryContext, sizeof *config);
	spare = MemoryContextAllocZero(TopMemoryContext, sizeof *spare);
	read_schedule();
}

/* --- jobs --- */

static void
look_at_running(void)
{
	enum sov_job_state state;
	struct sov_error why,
				err;

	if (sov_job_look(config, running, &state, &why, &err) != SOV_OK)
		state = SOV_JOB_LOST;
	if (state == SOV_JOB_QUEUED || state == SOV_JOB_RUNNING)
		return;
	if (state != SOV_JOB_DONE)
		ereport(LOG,
				(errmsg("pg_sovereign: scheduled job " UINT64_FORMAT " (%s) %s%s%s", (uint64) running, running_command,
						state == SOV_JOB_FAILED ? "failed" : state == SOV_JOB_CANCELLED ? "was cancelled" : "ended without a result",
						state == SOV_JOB_FAILED && why.message[0] ? ": " : "", state == SOV_JOB_FAILED ? why.message : ""),
				 errhint("Its result is in the view jobs.")));
	running = 0;
}

/* command: of which name is the first argument ("provider probe"), or NULL. */
static bool
start(const char *name, const char *command)
{
	const char *args[3];
	char		sample[32];
	int			n = 0;
	struct sov_error err;

	if (command != NULL)
		args[n++] = name;
	args[n++] = "--json";
	if (strcmp(name, "verify") == 0)
	{
		snprintf(sample, sizeof sample, "--sample=%d", config->verify_sample);
		args[n++] = sample;
	}
	if (SovStartJob(config, command ? command : name, args, n, "worker", &running, &err) != SOV_OK)
	{
		char		what[64];

		running = 0;
		snprintf(what, sizeof what, "the scheduled %s waits", name);
		log_trouble(what, &err);
		return false;
	}
	strlcpy(running_command, name, sizeof running_command);
	last_trouble[0] = '\0';
	return true;
}

static void
start_what_is_due(void)
{
	int64_t		now = (int64_t) time(NULL);
	bool		standby = RecoveryInProgress();
	struct sov_error err;

	if (apply_wanted && !standby && start("apply", NULL))
	{
		apply_wanted = false;
		return;
	}
	for (int i = 0; i < SOV_DUE_N; i++)
	{
		const char *name = due_things[i].name;

		if (config->schedule[i].kind == SOV_NEVER || (standby && !due_things[i].on_standby) ||
			!sov_schedule_due(&config->schedule[i], sov_schedule_last(config, name), now))
			continue;
		if (start(name, due_things[i].command) && sov_schedule_started(config, name, now, &err) != SOV_OK)
			log_trouble("the schedule is not kept", &err);
		if (running != 0)
			return;
	}
}

/* --- what may be lost --- */

static void
look_at_tolerated(void)
{
	char		why[400],
				spare[32];
	int			n;

	if (SovBootNow() < tolerated_at)
		return;
	tolerated_at = SovBootNow() + TOLERATED_MS * INT64CONST(1000);
	n = sov_facts_tolerated(config, why, sizeof why);
	if (n < 0 || n == tolerated)
		return;
	if (n == 0)
		strlcpy(spare, "no more provider", sizeof spare);
	else
		snprintf(spare, sizeof spare, "%d more provider%s", n, n == 1 ? "" : "s");
	if (n < tolerated || tolerated == -2)
		ereport(n == 0 ? WARNING : LOG,
				(errmsg("pg_sovereign: %s may vanish%s%s", spare, why[0] ? ": " : "", why),
				 n == 0 ? errhint("Bring the providers back, or replace them in the configuration and run 'pg_sovereign apply'.") : 0));
	else
		ereport(LOG, (errmsg("pg_sovereign: %s may vanish again", spare)));
	tolerated = n;
}

static long
schedule_tend(void)
{
	if (!have_config || config->state_directory[0] == '\0')
		return TOLERATED_MS;
	if (running != 0)
		look_at_running();
	if (running == 0)
		start_what_is_due();
	look_at_tolerated();
	return running != 0 ? LOOK_RUNNING_MS : LOOK_MS;
}

static void
schedule_stop(void)
{
}

const SovWorkerTask SovScheduleTask = {schedule_start, schedule_tend, read_schedule, schedule_stop};
