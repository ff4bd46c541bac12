/*
 * report_audit.c - the audit log of this host in the report: how often what happened in
 * the last days.  Numbers only; who and what is in the log itself.
 */
#include <string.h>

#include "cli.h"
#include "report_page.h"
#include "sov_audit.h"

#define DAYS 30

struct tally
{
	json_int_t	entries,
				not_done,		/* refused or failed */
				opened;			/* values */
	uint64_t	last_us;
};

static bool
count(void *ctx, const struct sov_audit_entry *e)
{
	struct tally *t = (struct tally *) ctx + (e->event <= SOV_AUDIT_EVENT_LAST ? e->event : 0);

	t->entries++;
	t->not_done += e->outcome == SOV_AUDIT_REFUSED || e->outcome == SOV_AUDIT_FAILED;
	t->opened += (json_int_t) e->opened;
	if (e->time_us > t->last_us)
		t->last_us = e->time_us;
	return true;
}

json_t *
report_audit_facts(const struct sov_config *cfg)
{
	const uint64_t days_us = (uint64_t) DAYS * 86400 * 1000000;
	struct tally tally[SOV_AUDIT_EVENT_LAST + 1] = {0};
	struct sov_error err;
	char		directory[1100],
				last[64];
	json_t	   *events;

	if (!sov_audit_directory(cfg, directory, sizeof directory))
		return json_null();
	if (sov_audit_read(directory, (uint64_t) cli_now_us() - days_us, count, tally, &err) != SOV_OK)
	{
		cli_note("the audit log is left out: %s", err.message);
		return json_null();
	}
	events = json_array();
	for (int i = 0; i <= SOV_AUDIT_EVENT_LAST; i++)
		if (tally[i].entries > 0)
			json_array_append_new(events, json_pack("{s:s, s:I, s:I, s:I, s:s}", "event", sov_audit_event_name(i), "entries", tally[i].entries,
													"refused_or_failed", tally[i].not_done, "values_opened", tally[i].opened,
													"last", cli_time_text((int64_t) tally[i].last_us, last, sizeof last)));
	return json_pack("{s:i, s:o}", "days", DAYS, "events", events);
}

void
report_audit(const struct report_page *r)
{
	const json_t *audit = json_object_get(r->doc, "audit"),
			   *list = json_object_get(audit, "events");
	json_t	   *e;
	size_t		i;

	report_put(r, T(r, "<h2>Audit log</h2>\n", "<h2>Journal d'audit</h2>\n"));
	report_put(r, "<p>%s</p>\n", T(r, "What commands did (backups, restores, changes of providers), and who opened what where the server preloads the library, is in a signed log at every provider.", "Les commandes (sauvegardes, restaurations, changements d'hébergeur), et qui a déchiffré quoi là où le serveur précharge la bibliothèque, sont consignées dans un journal signé chez chaque hébergeur."));
	if (json_array_size(list) == 0)
		report_put(r, T(r, "<p>This host has noted nothing in the last %d days.</p>\n", "<p>Cet hôte n'a rien consigné ces %d derniers jours.</p>\n"), DAYS);
	else
	{
		report_put(r, T(r, "<p>Noted by this host in the last %d days:</p>\n", "<p>Consigné par cet hôte ces %d derniers jours :</p>\n"), (int) report_number(audit, "days"));
		report_put(r, "<div class=\"wide\"><table><tr><th>%s</th><th class=\"n\">%s</th><th class=\"n\">%s</th><th class=\"n\">%s</th><th>%s</th></tr>\n",
				   T(r, "Event", "Évènement"), T(r, "Entries", "Entrées"), T(r, "Refused or failed", "Refusés ou échoués"), T(r, "Values opened", "Valeurs déchiffrées"), T(r, "Last", "Dernier"));
		json_array_foreach(list, i, e)
		{
			report_put(r, "<tr><td>%s</td><td class=\"n\">%d</td><td class=\"n%s\">%d</td>", report_string(e, "event"), (int) report_number(e, "entries"),
					   report_number(e, "refused_or_failed") > 0 ? " un" : "", (int) report_number(e, "refused_or_failed"));
			report_put(r, "<td class=\"n\">%d</td><td>%s</td></tr>\n", (int) report_number(e, "values_opened"), report_string(e, "last"));
		}
		report_put(r, "</table></div>\n");
	}
	report_command(r, "audit verify");
}
