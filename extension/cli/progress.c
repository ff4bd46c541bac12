/*
 * progress.c - how far a command is, on standard error.
 *
 * On a terminal: one line that is drawn anew ten times a second at most.
 * Elsewhere: a plain line every 10 seconds at most, for logs.  Engines call
 * update from all their threads: it only stores two numbers, and whichever
 * thread finds that it is time, and nobody drawing, draws.
 *
 * The rate is that of the last seconds (an older one decays within
 * about 5 s), the time left follows from it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "sov_stop.h"
#include "sov_text.h"

#define TERMINAL_INTERVAL 0.1
#define LOG_INTERVAL 10.0
#define BAR_MAX 30

static pthread_mutex_t drawing = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t done_now,
			total_now;
static _Atomic int64_t next_draw_us;
static volatile sig_atomic_t cancelled;

/* under the lock */
static bool active,
			terminal,
			shown;				/* a bar stands on the terminal's line */
static char title[32];
static double began,
			last_time,
			rate;
static uint64_t last_done;

/* Set before and after a command, never while one runs. */
static void (*sink) (void *ctx, const char *what, uint64_t done, uint64_t total);
static void *sink_ctx;

void
cli_progress_to(void (*fn) (void *ctx, const char *what, uint64_t done, uint64_t total), void *ctx)
{
	sink = fn;
	sink_ctx = ctx;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
duration_text(double seconds, char *dst, size_t cap)
{
	long		s = seconds < 0 ? 0 : seconds > 359999 ? 359999 : (long) (seconds + 0.5);

	if (s >= 3600)
		snprintf(dst, cap, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(dst, cap, "%ld:%02ld", s / 60, s % 60);
}

static void
measure(double t, uint64_t done)
{
	double		passed = t - last_time;
	double		keep;

	if (passed < 0.05)
		return;
	keep = last_time == began ? 0 : 1 / (1 + passed / 5.0);
	rate = keep * rate + (1 - keep) * ((double) (done - last_done) / passed);
	last_time = t;
	last_done = done;
}

/* The part behind the bar: "45 %, 1.2 GB of 2.6 GB, 310 MB/s, 0:04 left". */
static void
status_text(double t, uint64_t done, uint64_t total, bool end, char *dst, size_t cap)
{
	char		d[32],
				of[32] = "",
				r[32],
				percent[16] = "",
				left[32] = "",
				time[24];
	double		mean = t > began ? (double) done / (t - began) : 0;

	sov_size_text(done, d, sizeof d);
	sov_size_text((uint64_t) (end ? mean : rate), r, sizeof r);
	if (total > 0)
	{
		char		tt[24];

		sov_size_text(total, tt, sizeof tt);
		snprintf(of, sizeof of, " of %s", tt);
		snprintf(percent, sizeof percent, "%3d %%, ", (int) (100.0 * (double) (done < total ? done : total) / (double) total));
	}
	if (end)
	{
		duration_text(t - began, time, sizeof time);
		snprintf(left, sizeof left, ", took %s", time);
	}
	else if (total > done && rate > 1)
	{
		duration_text((double) (total - done) / rate, time, sizeof time);
		snprintf(left, sizeof left, ", %s left", time);
	}
	snprintf(dst, cap, "%s%s%s, %s/s%s", percent, d, of, r, left);
}

static int
terminal_width(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

static void
draw(bool end)
{
	double		t = now();
	uint64_t	done = done_now,
				total = total_now;
	char		status[160],
				bar[BAR_MAX + 4] = "";
	int			width;

	measure(t, done);
	status_text(t, done, total, end, status, sizeof status);
	if (!terminal)
	{
		fprintf(stderr, "%s: %s\n", title, status + strspn(status, " "));
		return;
	}
	width = terminal_width() - 1 - (int) strlen(title) - (int) strlen(status) - 5;
	if (total > 0 && width >= 8)
	{
		int			full;

		if (width > BAR_MAX)
			width = BAR_MAX;
		full = done >= total ? width : (int) ((double) width * (double) done / (double) total);
		snprintf(bar, sizeof bar, "[%.*s%.*s] ", full, "##############################",
				 width - full, "..............................");
	}
	fprintf(stderr, "\r%s %s%.*s\033[K%s", title, bar, terminal_width() - 2 - (int) strlen(title), status, end ? "\n" : "");
	fflush(stderr);
	shown = !end;
}

static void
update(void *ctx, uint64_t done, uint64_t total)
{
	double		t = now();

	done_now = done;
	total_now = total;
	if (sink)
	{
		sink(sink_ctx, title, done, total);
		return;
	}
	if ((int64_t) (t * 1e6) < next_draw_us || pthread_mutex_trylock(&drawing) != 0)
		return;
	if (active && (int64_t) (t * 1e6) >= next_draw_us)
	{
		next_draw_us = (int64_t) ((t + (terminal ? TERMINAL_INTERVAL : LOG_INTERVAL)) * 1e6);
		draw(false);
	}
	pthread_mutex_unlock(&drawing);
}

void
cli_progress_hide(void)
{
	pthread_mutex_lock(&drawing);
	if (shown)
		fputs("\r\033[K", stderr);
	shown = false;
	pthread_mutex_unlock(&drawing);
}

static void
on_signal(int sig)
{
	cancelled = 1;
	sov_stop_all();
}

void
cli_catch_signals(void)
{
	/* The second signal has its usual effect. */
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND | SA_RESTART};

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

bool
cli_cancelled(void *ctx)
{
	return cancelled != 0;
}

const struct sov_progress *
cli_progress_start(const char *what)
{
	static const struct sov_progress callbacks = {.update = update, .cancelled = cli_cancelled};

	cli_catch_signals();
	pthread_mutex_lock(&drawing);
	snprintf(title, sizeof title, "%s", what);
	active = true;
	terminal = isatty(STDERR_FILENO);
	began = last_time = now();
	last_done = 0;
	rate = 0;
	done_now = total_now = 0;
	next_draw_us = (int64_t) ((began + (terminal ? TERMINAL_INTERVAL : LOG_INTERVAL)) * 1e6);
	pthread_mutex_unlock(&drawing);
	return &callbacks;
}

void
cli_progress_stop(void)
{
	pthread_mutex_lock(&drawing);
	/* What took less than the first interval was never shown. */
	if (sink && active)
		sink(sink_ctx, title, done_now, total_now);
	else if (active && (terminal ? done_now > 0 : now() - began > LOG_INTERVAL))
		draw(true);
	active = false;
	pthread_mutex_unlock(&drawing);
}
