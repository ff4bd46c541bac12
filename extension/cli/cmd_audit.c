/*
 * cmd_audit.c - the audit log: shipping, proving, exporting.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "sov_audit.h"
#include "sov_text.h"

const char	cmd_audit_help[] =
	"pg_sovereign audit - the log of who opened what, and who changed what decides it\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] audit verify [--ended CHAIN,...] [--silent TIME] [--json]\n"
	"  pg_sovereign [-c FILE] audit export\n"
	"  pg_sovereign [-c FILE] audit ship [--follow]\n"
	"  pg_sovereign [-c FILE] audit close\n\n"
	"verify   reads every copy at every provider, and this host's own log where it has\n"
	"         one, and names what was removed, changed, reordered or cut off.  To be\n"
	"         run from a host that the database's administrators do not hold.\n"
	"export   the same, and prints every entry that verifies as a line of JSON.\n"
	"ship     chains and signs what is queued, brings it to every provider and renews\n"
	"         the beat; --follow goes on, at once for strict keys, else every interval.\n"
	"         A server that preloads the library does that itself; of several followers\n"
	"         one ships, and the others take over when it ends.\n"
	"close    says that this host's chain ends here (before a host is given up;\n"
	"         its server must be stopped).\n\n"
	"Options:\n"
	"  --ended CHAIN   chains whose host is known to be gone (16 hexadecimal digits)\n"
	"  --silent TIME   a chain of another host that is silent so long has ended\n"
	"                  (default 24h)\n"
	"  --json          print JSON\n\n"
	"Exit status: 0 the log is whole; 5 something is wrong with it.\n";

#define ENDED_MAX 256

struct request
{
	uint64_t	ended[ENDED_MAX];
	int			n_ended;
	uint64_t	silent;			/* seconds */
	bool		json,
				follow,
				for_server;
	json_t	   *problems;
};

/* --- verify, export --- */

static void
show_problem(void *ctx, const char *message)
{
	struct request *q = ctx;

	if (q->problems)
		json_array_append_new(q->problems, json_string(message));
	else
		printf("WRONG: %s\n", message);
}

static void
export_problem(void *ctx, const char *message)
{
	(void) ctx;
	cli_note("wrong: %s", message);
}

/* Bytes that are no UTF-8 (a client's application name) as \x and two digits. */
static json_t *
text_json(const char *s)
{
	json_t	   *j = json_string(s);
	char		dst[2100];
	size_t		n = 0;

	if (j != NULL)
		return j;
	for (; *s && n < sizeof dst - 5; s++)
		if ((unsigned char) *s < 0x80)
			dst[n++] = *s;
		else
			n += (size_t) snprintf(dst + n, 5, "\\x%02x", (unsigned char) *s);
	dst[n] = '\0';
	return json_string(dst);
}

static bool
export_entry(void *ctx, const struct sov_audit_entry *e)
{
	char		time[40],
				query[24];
	time_t		t = (time_t) (e->time_us / 1000000);
	struct tm	tm;
	json_t	   *j;
	bool		good;

	(void) ctx;
	if (gmtime_r(&t, &tm) == NULL || strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		snprintf(time, sizeof time, "-");
	snprintf(time + strlen(time), sizeof time - strlen(time), ".%06uZ", (unsigned) (e->time_us % 1000000));
	snprintf(query, sizeof query, "%" PRId64, (int64_t) e->query_id);
	j = json_pack("{s:I, s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:o}",
				  "seq", (json_int_t) e->seq, "time", time, "event", sov_audit_event_name(e->event),
				  "outcome", sov_audit_outcome_name(e->outcome), "process", (int) e->process,
				  "user", text_json(e->user), "current_user", text_json(e->current_user), "client", text_json(e->client),
				  "application", text_json(e->application), "database", text_json(e->database), "key", text_json(e->key),
				  "purpose", text_json(e->purpose), "query_id", e->query_id ? query : "",
				  "opened", (json_int_t) e->opened, "text", text_json(e->text));
	good = j != NULL && json_dumpf(j, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF;
	json_decref(j);
	return good;
}

static int
print_result(const struct request *q, const struct sov_audit_verify_result *r)
{
	char		when[64];
	int			status = r->problems ? cli_exit_code(SOV_E_CORRUPT) : 0;

	if (q->problems)
	{
		int			printed = cli_print_json(json_pack("{s:I, s:I, s:I, s:b, s:s, s:I, s:o}", "chains", (json_int_t) r->chains,
													   "batches", (json_int_t) r->batches, "entries", (json_int_t) r->entries,
													   "local_log", r->local, "until", cli_time_text((int64_t) r->newest_us, when, sizeof when),
													   "wrong", (json_int_t) r->problems, "problems", q->problems));

		return printed ? printed : status;
	}
	printf("%" PRIu64 " entries in %" PRIu64 " batches of %" PRIu64 " chains, until %s%s: %s\n", r->entries, r->batches, r->chains,
		   cli_time_text((int64_t) r->newest_us, when, sizeof when), r->local ? ", and this host's own log" : "",
		   r->problems ? "NOT WHOLE" : "whole");
	return status;
}

static int
verify(const struct sov_config *cfg, struct request *q, bool export)
{
	struct sov_audit_verify_options opt = {.ended = q->ended, .n_ended = q->n_ended, .silent_us = q->silent * 1000000,
	.entry = export ? export_entry : NULL, .problem = export ? export_problem : show_problem, .ctx = q};
	struct sov_audit_verify_result res;
	struct sov_error err;
	struct sov_repo *repo = NULL;
	enum sov_code rc = sov_repo_open(cfg, cli_note_callback, NULL, &repo, &err);
	int			status = 0;

	q->problems = q->json ? json_array() : NULL;
	if (rc == SOV_OK)
		rc = sov_audit_verify(repo, &opt, &res, &err);
	if (rc != SOV_OK)
	{
		json_decref(q->problems);
		status = cli_report(&err);
	}
	else if (export)
		status = res.problems ? cli_exit_code(SOV_E_CORRUPT) : 0;
	else
		status = print_result(q, &res);
	if (rc == SOV_OK)
		cli_audit(cfg, repo, SOV_AUDIT_VERIFY, res.problems ? SOV_E_CORRUPT : SOV_OK, "audit %s", export ? "export" : "verify");
	sov_repo_close(repo);
	return status;
}

/* --- ship --- */

static int
ship(const struct sov_config *cfg, bool last)
{
	struct sov_repo *repo;
	struct sov_audit_shipped done = {0};
	struct sov_error err;
	enum sov_code rc;
	int			lock = -1;

	/* who follows would begin another chain at once */
	if ((last && cli_audit_shipper_lock(cfg, &lock, &err) != SOV_OK) || sov_repo_open(cfg, cli_note_callback, NULL, &repo, &err) != SOV_OK)
		return cli_report(&err);
	rc = last ? sov_audit_close(repo, &err) : sov_audit_ship(repo, &done, &err);
	sov_repo_close(repo);
	if (lock >= 0)
		close(lock);
	if (rc != SOV_OK)
		return cli_report(&err);
	if (last)
		printf("the chain of this host is closed\n");
	else
		printf("%" PRIu64 " entries taken in; the log goes to entry %" PRIu64 "\n", done.entries, done.seq);
	return 0;
}

/* --- the command --- */

static bool
take_ended(struct request *q, const char *list)
{
	for (; *list; list += list[16] == ',' ? 17 : 16)
	{
		uint8_t		b[8];
		char		one[17];

		snprintf(one, sizeof one, "%s", list);
		if (q->n_ended == ENDED_MAX || strlen(one) != 16 || !sov_unhex(b, one, 8) || (list[16] != '\0' && list[16] != ','))
			return false;
		q->ended[q->n_ended] = 0;
		for (int i = 0; i < 8; i++)
			q->ended[q->n_ended] = q->ended[q->n_ended] << 8 | b[i];
		q->n_ended++;
	}
	return true;
}

int
cmd_audit(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"ended", required_argument, NULL, 'e'}, {"silent", required_argument, NULL, 's'},
		{"follow", no_argument, NULL, 'f'}, {"for-server", no_argument, NULL, 'S'}, {"json", no_argument, NULL, 'J'}, {NULL, 0, NULL, 0}
	};
	struct request q = {.silent = 86400};
	struct sov_config cfg;
	struct sov_error err;
	const char *what;
	int			c;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
		switch (c)
		{
			case 'e':
				if (!take_ended(&q, optarg))
					return cli_usage_error("audit", "--ended wants chains of 16 hexadecimal digits, not \"%.40s\"", optarg);
				break;
			case 's':
				if (!sov_parse_duration(optarg, &q.silent))
					return cli_usage_error("audit", "--silent wants a time such as 24h, not \"%.40s\"", optarg);
				break;
			case 'f':
				q.follow = true;
				break;
			case 'S':
				q.for_server = true;
				break;
			case 'J':
				q.json = true;
				break;
			default:
				return cli_exit_code(SOV_E_USAGE);
		}
	if (optind != argc - 1)
		return cli_usage_error("audit", "say what to do: verify, export, ship or close");
	what = argv[optind];
	if (strcmp(what, "verify") != 0 && strcmp(what, "export") != 0 && strcmp(what, "ship") != 0 && strcmp(what, "close") != 0)
		return cli_usage_error("audit", "there is no \"audit %.40s\"", what);
	if ((q.follow || q.for_server) && what[0] != 's')
		return cli_usage_error("audit", "--follow belongs to \"audit ship\"");
	if (cli_read_config(ctx, SOV_NEED_REPOSITORY, &cfg, &err) != SOV_OK)
		return cli_report(&err);
	if (what[0] == 'v' || what[0] == 'e')
		return verify(&cfg, &q, what[0] == 'e');
	return q.follow ? cli_audit_follow(ctx, &cfg, q.for_server) : ship(&cfg, what[0] == 'c');
}
