/*
 * race - who is asked, when, and who is stopped (race.h).
 *
 * Runners do what the script says: 'g' finishes well, 'f' fails, 'h' hangs until it
 * is stopped.
 */
#include <string.h>
#include <unistd.h>

#include "repository/race.h"
#include "repository/repo_private.h"
#include "sov_repo.h"
#include "sov_stop.h"
#include "tap.h"

#define LEAST_US 50000
#define PATIENT_US 30000000	/* on a busy machine, too, nobody is called slow */

struct event
{
	struct race race;
	const char *script;
	int			at_once;
	bool		ran[8];
	enum race_end end[8];
};

static void
runner(int i, void *arg)
{
	struct event *e = arg;
	int64_t		started = race_enter(&e->race, i < e->at_once);

	if (started == 0)
		return;
	e->ran[i] = true;
	while (e->script[i] == 'h' && !sov_stopped())
		usleep(1000);
	usleep(1000);
	e->end[i] = race_leave(&e->race, started, e->script[i] == 'g');
	if (sov_stop_flag != NULL)
		_exit(1);
}

/* Run it; which runners ran, as in "110". */
static const char *
run(struct event *e, const char *script, int needed, int64_t least, char ran[9])
{
	int			n = (int) strlen(script);

	memset(e, 0, sizeof *e);
	e->script = script;
	e->at_once = needed;
	race_begin(&e->race, needed, least);
	sov_parallel(n, runner, e);
	for (int i = 0; i < n; i++)
		ran[i] = e->ran[i] ? '1' : '0';
	ran[n] = '\0';
	return ran;
}

int
main(void)
{
	struct event e;
	char		ran[9];
	int64_t		begun;

	ok(strcmp(run(&e, "ggg", 2, PATIENT_US, ran), "110") == 0 && e.race.good == 2, "as many as are needed are asked (%s)", ran);
	race_over(&e.race);
	ok(strcmp(run(&e, "fgg", 2, PATIENT_US, ran), "111") == 0 && e.race.good == 2, "one that failed is replaced (%s)", ran);
	ok(e.end[0] == RACE_RUN, "and was not stopped");
	race_over(&e.race);
	begun = repo_mono_us();
	ok(strcmp(run(&e, "hgg", 2, LEAST_US, ran), "111") == 0 && e.race.good == 2, "so is one that hangs (%s)", ran);
	ok(e.end[0] == RACE_SLOW && repo_mono_us() - begun >= LEAST_US, "after a fair time, and it is called slow");
	race_over(&e.race);
	ok(strcmp(run(&e, "ffggf", 3, PATIENT_US, ran), "11111") == 0 && e.race.good == 2, "too few: all are asked (%s)", ran);
	race_over(&e.race);
	sov_stop_all();
	ok(!sov_stopped(), "a command that is cancelled has time to end well");
	sov_stop_at_us = sov_stop_now_us();
	ok(sov_stopped() && sov_stopped_all(), "and then all its requests end");
	return tap_done();
}
