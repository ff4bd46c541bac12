/*
 * cmd_report.c - the report for a data-protection officer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report_page.h"

const char	cmd_report_help[] =
	"pg_sovereign report - where the data are, and who can reach them\n\n"
	"Usage:\n"
	"  pg_sovereign [-c FILE] report --html FILE [--language LANGUAGE]\n"
	"  pg_sovereign [-c FILE] report --json\n"
	"  pg_sovereign [-c FILE] report --breach PROVIDER | --exit PROVIDER [--html FILE]\n\n"
	"One page for a data-protection officer, without anything from outside: what is held\n"
	"where, which laws reach it, what may be lost and still restored, whether any owner\n"
	"or law reaches enough shards, where the keys are, and the source of each claim.\n"
	"Tells what this host knows; providers are asked only where the keys are.\n\n"
	"Options:\n"
	"  --html FILE          write the page to FILE, in one step; \"-\" prints it\n"
	"  --json               print the same facts as JSON\n"
	"  --breach PROVIDER    a letter: what an incident there can have exposed\n"
	"  --exit PROVIDER      a letter: leaving it\n"
	"  --language LANGUAGE  en (default) or fr\n";

struct request
{
	const char *html;
	struct report_page page;
	bool		json;
};

static void
render(const struct report_page *page)
{
	if (page->kind == REPORT_WHOLE)
		report_write(page);
	else
		report_letter(page);
}

/* Into a new file beside it that takes its place: never half a page. */
static enum sov_code
write_page(struct request *q, struct sov_error *err)
{
	char		temporary[1200];
	bool		print = q->html == NULL || strcmp(q->html, "-") == 0;
	bool		bad;

	if (print)
	{
		q->page.out = stdout;
		render(&q->page);
		return SOV_OK;
	}
	snprintf(temporary, sizeof temporary, "%.1100s.new.%ld", q->html, (long) getpid());
	q->page.out = fopen(temporary, "wxe");
	if (q->page.out == NULL)
		return sov_fail_errno(err, errno, "the directory must exist and be writable by this user", "could not write %s", temporary);
	render(&q->page);
	bad = fflush(q->page.out) != 0 || ferror(q->page.out) || fsync(fileno(q->page.out)) != 0;
	if (bad)
		sov_fail_errno(err, errno, NULL, "could not write %s", temporary);
	bad = fclose(q->page.out) != 0 || bad;
	if (!bad && rename(temporary, q->html) != 0)
	{
		sov_fail_errno(err, errno, NULL, "could not put the page in place: %s", q->html);
		bad = true;
	}
	if (bad)
		unlink(temporary);
	return bad ? err->code : SOV_OK;
}

static int
run(const struct cli_context *ctx, struct request *q)
{
	static struct provider_view v;
	struct sov_error err;
	json_t	   *doc;
	enum sov_code rc = provider_view_open(ctx, &v, &err);

	if (rc != SOV_OK)
		return cli_report(&err);
	if (q->page.kind != REPORT_WHOLE && provider_index(&v, q->page.provider) < 0)
	{
		sov_vendors_free(v.vendors);
		return cli_usage_error("report", "\"%.40s\" is no configured provider", q->page.provider);
	}
	doc = report_document(&v);
	sov_vendors_free(v.vendors);
	if (q->json)
		return cli_print_json(doc);
	q->page.doc = doc;
	rc = write_page(q, &err);
	json_decref(doc);
	return rc == SOV_OK ? 0 : cli_report(&err);
}

int
cmd_report(int argc, char **argv, const struct cli_context *ctx)
{
	static const struct option longs[] = {
		{"html", required_argument, NULL, 'h'}, {"json", no_argument, NULL, 'J'}, {"breach", required_argument, NULL, 'b'},
		{"exit", required_argument, NULL, 'e'}, {"language", required_argument, NULL, 'l'}, {NULL, 0, NULL, 0}
	};
	struct request q = {.page = {.kind = REPORT_WHOLE}};
	int			c;

	while ((c = cli_getopt(argc, argv, "", longs)) != -1)
		switch (c)
		{
			case 'h':
				q.html = optarg;
				break;
			case 'J':
				q.json = true;
				break;
			case 'b':
			case 'e':
				q.page.kind = c == 'b' ? REPORT_BREACH : REPORT_EXIT;
				q.page.provider = optarg;
				break;
			case 'l':
				if (strcmp(optarg, "en") != 0 && strcmp(optarg, "fr") != 0)
					return cli_usage_error("report", "--language is en or fr, not \"%.20s\"", optarg);
				q.page.french = optarg[0] == 'f';
				break;
			default:
				return cli_exit_code(SOV_E_USAGE);
		}
	if (optind < argc)
		return cli_usage_error("report", "\"%.40s\" is one argument too many", argv[optind]);
	if (!q.json && q.html == NULL && q.page.kind == REPORT_WHOLE)
		return cli_usage_error("report", "say --html FILE or --json");
	return run(ctx, &q);
}
