/*
 * sov_probe.h - what a provider really does: measured with small objects of class c,
 * which are removed again, and kept in the state directory ("probes/NAME.json").
 *
 * Nothing is believed: what was put is read back, what was removed is asked for, a
 * promise of "put if absent" is raced for.
 */
#ifndef SOV_PROBE_H
#define SOV_PROBE_H

#include "sov_config.h"

enum sov_probe_verdict { SOV_PROBE_GOOD = 0, SOV_PROBE_LIMITED, SOV_PROBE_BAD };

struct sov_probe_finding
{
	char		what[40];		/* "put if absent" */
	char		does[200];		/* for people */
	enum sov_probe_verdict verdict;
};

struct sov_probe
{
	int64_t		time_us;		/* when, Unix time */
	double		put_rate,		/* bytes per second, one request at a time; 0: not measured */
				get_rate,
				latency_ms;		/* median of small reads */
	int			n;
	struct sov_probe_finding findings[16];
};

/* Probe a configured provider; an error when it cannot be opened at all.  The caller
 * has made sure that the policy lets it be written to. */
extern enum sov_code sov_probe_run(const struct sov_provider_config *p, struct sov_probe *out, struct sov_error *err);
extern enum sov_code sov_probe_keep(const struct sov_config *cfg, const char *name, const struct sov_probe *p, struct sov_error *err);
/* The last one that was kept; false when there is none that can be read. */
extern bool sov_probe_read(const struct sov_config *cfg, const char *name, struct sov_probe *out);

#endif
