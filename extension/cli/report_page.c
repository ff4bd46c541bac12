/*
 * report_page.c - the report for a data-protection officer: one page without external
 * parts and without JavaScript, from the document alone (report_page.h).
 *
 * First what may be lost, who reaches how much, and where the keys are; then the
 * tables behind it.  What is not known is said to be unknown, never left out.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report_page.h"

/* --- first screen --- */

static void
card(const struct report_page *r, const char *class_, const char *title)
{
	report_put(r, "<div class=\"card %s\"><b>%s</b>", class_, title);
}

static void
loss_card(const struct report_page *r)
{
	json_t	   *v = json_object_get(r->doc, "losses_tolerated");
	int			n = (int) json_integer_value(v);

	if (json_is_null(v))
	{
		card(r, "warn", T(r, "Losses: not known", "Pertes : inconnu"));
		report_put(r, T(r, "No command of this host has looked at the repository yet.", "Aucune commande de cet hôte n'a encore consulté le dépôt."));
	}
	else
	{
		card(r, n > 0 ? "good" : "bad", n > 0 ? T(r, "May be lost and restored", "Peut être perdu et restauré") : T(r, "No further loss is tolerated", "Aucune perte de plus n'est tolérée"));
		if (n > 0)
			report_put(r, T(r, "%d of %d providers may vanish now, and everything can still be restored.",
							"%d des %d hébergeurs peuvent disparaître maintenant, et tout reste restaurable."), n, (int) report_number(r->doc, "shards"));
		else
			report_put(r, T(r, "With one provider less, not everything could be restored.", "Avec un hébergeur de moins, tout ne serait plus restaurable."));
		report_put(r, T(r, " Any %d of %d hold enough.", " %d hébergeurs sur %d suffisent, n'importe lesquels."), (int) report_number(r->doc, "needed"), (int) report_number(r->doc, "shards"));
	}
	report_put(r, "</div>\n");
}

/* Names of a list that reach k shards; returns how many. */
static int
reaching(const struct report_page *r, const char *what, bool print)
{
	json_t	   *one;
	size_t		i;
	int			n = 0;

	json_array_foreach(json_object_get(json_object_get(r->doc, "reach"), what), i, one)
		if (report_number(one, "reaches"))
		{
			if (print)
				report_put(r, n ? ", %s (%d)" : "%s (%d)", report_string(one, "name"), (int) report_number(one, "shards"));
			n++;
		}
	return n;
}

static int
unknowns(const struct report_page *r, const char *what)
{
	return (int) report_number(json_object_get(json_object_get(r->doc, "reach"), "unknown"), what);
}

static void
owner_card(const struct report_page *r)
{
	int			n = reaching(r, "operators", false) + reaching(r, "parents", false),
				unknown = unknowns(r, "operators") > unknowns(r, "parents") ? unknowns(r, "operators") : unknowns(r, "parents");

	card(r, n ? "bad" : unknown >= (int) report_number(r->doc, "needed") ? "warn" : "good",
		 n ? T(r, "One owner could rebuild the data", "Un seul propriétaire pourrait tout reconstituer") :
		 T(r, "No known owner holds enough shards", "Aucun propriétaire connu ne détient assez de fragments"));
	if (n)
	{
		reaching(r, "operators", true);
		report_put(r, " ");
		reaching(r, "parents", true);
		report_put(r, n == 1 ? T(r, " reaches", " atteint") : T(r, " reach", " atteignent"));
		report_put(r, T(r, " the %d shards that are needed. They are sealed all the same: without the key nothing opens.",
						" les %d fragments nécessaires. Ils restent scellés : sans la clé, rien ne s'ouvre."), (int) report_number(r->doc, "needed"));
	}
	else
		report_put(r, T(r, "Each operator and ultimate parent that is known holds fewer than %d shards.", "Chaque exploitant et chaque société mère connus détiennent moins de %d fragments."),
				   (int) report_number(r->doc, "needed"));
	if (unknown)
		report_put(r, T(r, " Not known of %d.", " Inconnu pour %d."), unknown);
	report_put(r, "</div>\n");
}

static void
law_card(const struct report_page *r)
{
	int			n = reaching(r, "laws", false),
				unknown = unknowns(r, "laws");

	card(r, n || unknown ? "warn" : "good", T(r, "Laws that reach enough shards", "Droits qui atteignent assez de fragments"));
	if (n)
		reaching(r, "laws", true);
	else
		report_put(r, T(r, "none that is known", "aucun connu"));
	report_put(r, ". ");
	if (unknown)
		report_put(r, T(r, "Which laws reach a provider is not known of %d. ", "Les droits applicables sont inconnus pour %d. "), unknown);
	report_put(r, T(r, "The number is that of providers.", "Le nombre est celui des hébergeurs."));
	report_put(r, "</div>\n");
}

/* Who runs the custodian reaches the key: is it somebody who stores?  Unknown is not "no". */
static void
custodian_text(const struct report_page *r)
{
	const json_t *behind = json_object_get(r->doc, "key_reach"),
			   *laws = json_object_get(r->doc, "key_laws");
	const char *custodian = report_string(r->doc, "custodian_operator");

	report_put(r, T(r, "Custodian \"%s\", run by %s. ", "Dépositaire « %s », exploité par %s. "),
			   report_string(json_object_get(r->doc, "custody"), "custodian"), custodian[0] ? custodian : T(r, "whom nobody has named", "on ne sait qui"));
	if (json_is_null(behind))
		report_put(r, T(r, "Whether an operator or owner of a provider reaches the key cannot be told.", "Impossible de dire si l'exploitant ou le propriétaire d'un hébergeur atteint la clé."));
	else if (json_array_size(behind) > 0)
	{
		report_put(r, T(r, "The same hands are behind ", "Les mêmes mains sont derrière "));
		report_join(r, behind);
		report_put(r, T(r, ": whoever stores must not hold the key.", " : qui stocke ne doit pas détenir la clé."));
	}
	else
		report_put(r, T(r, "No provider's operator or owner that is known runs it; none of them holds a key.", "Aucun exploitant ni propriétaire connu d'un hébergeur ne l'exploite ; aucun ne détient de clé."));
	if (json_is_null(laws))
		report_put(r, T(r, " Which laws reach the custodian is not known here.", " Les droits applicables au dépositaire ne sont pas connus ici."));
	else
	{
		report_put(r, T(r, " Laws that reach the custodian: ", " Droits applicables au dépositaire : "));
		report_join(r, laws);
		report_put(r, ".");
	}
}

static void
key_card(const struct report_page *r)
{
	bool		here = report_number(r->doc, "key_on_server");
	const json_t *behind = json_object_get(r->doc, "key_reach");

	if (json_array_size(behind) > 0)
		card(r, "bad", T(r, "Who stores reaches the root key", "Qui stocke atteint la clé racine"));
	else if (here)
		card(r, "warn", T(r, "The root key lies on the server", "La clé racine est sur le serveur"));
	else
		card(r, json_is_null(behind) ? "warn" : "good", T(r, "The root key lies with a custodian", "La clé racine est chez un dépositaire"));
	if (here)
		report_put(r, T(r, "Whoever runs the server can read it: this protects disks, backups and storage providers, not a server that is taken over. ",
						"Qui exploite le serveur peut la lire : cela protège les disques, les sauvegardes et les hébergeurs de stockage, pas un serveur compromis. "));
	if (!here || json_array_size(behind) > 0)
		custodian_text(r);
	if (report_number(r->doc, "write_only"))
		report_put(r, T(r, " Backups and WAL are sealed to a public key: this server cannot read back what it has stored.",
						" Sauvegardes et WAL sont scellés par une clé publique : ce serveur ne peut pas relire ce qu'il a déposé."));
	report_put(r, "</div>\n");
}

/* --- tables --- */

static void
state_cell(const struct report_page *r, const json_t *p)
{
	const char *state = report_string(json_object_get(p, "facts"), "state");
	bool		up = strcmp(state, "active") == 0 || strcmp(state, "new") == 0;

	report_put(r, "<td class=\"%s\">%s</td>", up ? "ok" : state[0] ? "no" : "un",
			   !state[0] ? T(r, "not seen yet", "jamais vu") : strcmp(state, "down") == 0 ? T(r, "does not answer", "ne répond pas") :
			   strcmp(state, "drain") == 0 ? T(r, "being left", "en cours d'abandon") : T(r, "answers", "répond"));
}

static void
provider_table(const struct report_page *r)
{
	static const char *const certificates[] = {"hds", "secnumcloud", "iso27001", "c5", "acn"};
	json_t	   *p;
	size_t		i;

	report_put(r, T(r, "<h2>What is held where</h2><p>Each active provider holds one sealed shard of every object: on its own it opens nothing, and %d of them together open nothing without the key.</p>\n",
					"<h2>Ce qui est détenu, et où</h2><p>Chaque hébergeur actif détient un fragment scellé de chaque objet : seul, il n'ouvre rien ; %d réunis n'ouvrent rien sans la clé.</p>\n"), (int) report_number(r->doc, "needed"));
	report_put(r, "<div class=\"wide\"><table><tr><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th></tr>\n",
			   T(r, "Provider", "Hébergeur"), T(r, "Operator", "Exploitant"), T(r, "Ultimate parent", "Société mère"), T(r, "Seat / data", "Siège / données"),
			   T(r, "Laws that reach it", "Droits applicables"), T(r, "Certificates", "Certifications"), T(r, "Policy", "Politique"), T(r, "State", "État"));
	json_array_foreach(json_object_get(r->doc, "providers"), i, p)
	{
		const char *policy = report_string(p, "policy");

		report_put(r, "<tr><td><b>%s</b><br>%s</td><td>%s</td><td>%s</td><td>%s / %s</td><td>", report_string(p, "provider"), report_string(p, "type"),
				   report_claim(r, p, "operator"), report_claim(r, p, "parent"), report_claim(r, p, "seat"), report_claim(r, p, "location"));
		report_join(r, json_object_get(p, "laws"));
		if (!report_number(p, "laws_known"))
			report_put(r, " <span class=\"un\">%s</span>", T(r, "(not all known)", "(incomplet)"));
		report_put(r, "</td><td class=\"cert\">");
		for (size_t c = 0; c < sizeof certificates / sizeof certificates[0]; c++)
			if (json_is_string(json_object_get(json_object_get(json_object_get(p, "claims"), certificates[c]), "value")))
				report_put(r, "%s: %s<br>", certificates[c], report_claim(r, p, certificates[c]));
		report_put(r, "</td><td class=\"%s\">%s</td>", strcmp(policy, "satisfied") == 0 ? "ok" : strcmp(policy, "no policy") == 0 ? "un" : "no",
				   strcmp(policy, "satisfied") == 0 ? T(r, "satisfied", "respectée") : strcmp(policy, "no policy") == 0 ? T(r, "none is set", "aucune") :
				   strcmp(policy, "barred") == 0 ? T(r, "barred: nothing is written", "interdit d'écriture") : T(r, "breaks a rule", "enfreint une règle"));
		state_cell(r, p);
		report_put(r, "</tr>\n");
	}
	report_put(r, "</table></div>\n");
	report_command(r, "provider list");
}

static void
matrix(const struct report_page *r)
{
	json_t	   *c,
			   *p;
	size_t		i,
				j;

	report_put(r, T(r, "<h2>Providers and shards</h2>\n", "<h2>Hébergeurs et fragments</h2>\n"));
	if (!json_is_array(json_object_get(r->doc, "redundancy")))
	{
		report_put(r, "<p class=\"un\">%s</p>\n", T(r, "Not known: no command has looked yet.", "Inconnu : aucune commande n'a encore consulté le dépôt."));
		return;
	}
	report_put(r, "<div class=\"wide\"><table><tr><th>%s</th>", T(r, "Kind of object", "Type d'objet"));
	json_array_foreach(json_object_get(r->doc, "providers"), j, p)
		report_put(r, "<th>%s</th>", report_string(p, "provider"));
	report_put(r, "<th class=\"n\">%s</th><th class=\"n\">%s</th></tr>\n", T(r, "Needed", "Nécessaires"), T(r, "May vanish", "Peuvent disparaître"));
	json_array_foreach(json_object_get(r->doc, "redundancy"), i, c)
	{
		report_put(r, "<tr><td>%s</td>", report_string(c, "class"));
		json_array_foreach(json_object_get(r->doc, "providers"), j, p)
		{
			const json_t *f = json_object_get(p, "facts");
			const char *state = report_string(f, "state");
			bool		in = report_number(f, "place"),
						up = strcmp(state, "active") == 0 || strcmp(state, "drain") == 0,
						owed = report_number(f, "owed_objects") > 0 && report_number(c, "owed_objects") > 0;

			report_put(r, "<td class=\"%s\">%s</td>", !in || (up && owed) ? "un" : up ? "ok" : "no", !in ? "–" : up ? owed ? T(r, "owed some", "dû en partie") : "✓" : "✗");
		}
		report_put(r, "<td class=\"n\">%d</td><td class=\"n\">%d</td></tr>\n", (int) report_number(c, "needed"), (int) report_number(c, "losses_tolerated"));
	}
	report_put(r, "</table></div><p class=\"small\">%s</p>\n",
			   T(r, "pack: data of backups. WAL: changes since then. metadata: what belongs to which backup. run: halves of keys, split over the providers. head: the signed state.",
				 "pack : données des sauvegardes. WAL : changements depuis. metadata : ce qui appartient à quelle sauvegarde. run : parts de clés, réparties entre les hébergeurs. head : l'état signé."));
	report_command(r, "list");
}

/* --- through time --- */

static void
growth(const struct report_page *r)
{
	const json_t *list = json_object_get(r->doc, "backups");
	size_t		n = json_array_size(list),
				from = n > 60 ? n - 60 : 0;
	double		sum = 0,
				total = 0,
				x,
				y;
	char		size[40],
				when[32];

	report_put(r, T(r, "<h2>Backups and their size through time</h2>\n", "<h2>Sauvegardes et volume dans le temps</h2>\n"));
	if (n == 0)
	{
		report_put(r, "<p class=\"un\">%s</p>\n", T(r, "There is no backup, or none is known here.", "Aucune sauvegarde, ou aucune connue ici."));
		return;
	}
	for (size_t i = 0; i < n; i++)
		total += (double) report_number(json_array_get(list, i), "stored");
	report_put(r, "<svg viewBox=\"0 0 720 210\" role=\"img\" aria-label=\"%s\"><line x1=\"86\" y1=\"170\" x2=\"700\" y2=\"170\" stroke=\"#57606a\"/>", T(r, "stored bytes, summed over the backups", "octets stockés, cumulés"));
	for (size_t i = 0; i < n; i++)
	{
		sum += (double) report_number(json_array_get(list, i), "stored");
		if (i < from)
			continue;
		x = 90 + 606.0 * (double) (i - from) / (double) (n - from);
		y = total > 0 ? 150 * sum / total : 0;
		fprintf(r->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#0969da\"/>", x, 170 - y, 606.0 / (double) (n - from) * 0.7, y > 1 ? y : 1);
	}
	report_put(r, "<text x=\"4\" y=\"26\">%s</text><text x=\"4\" y=\"174\">0</text>", report_size(r, total, size));
	report_put(r, "<text x=\"90\" y=\"192\">%s</text>", report_time(json_array_get(list, from), "finished", when));
	if (n - from > 1)
		report_put(r, "<text x=\"700\" y=\"192\" text-anchor=\"end\">%s</text>", report_time(json_array_get(list, n - 1), "finished", when));
	report_put(r, "</svg><p>%d %s, %s %s.</p>\n", (int) n, n == 1 ? T(r, "backup", "sauvegarde") : T(r, "backups", "sauvegardes"), size, T(r, "stored over all providers", "stockés chez l'ensemble des hébergeurs"));
	report_command(r, "list --json");
}

static void
proven(const struct report_page *r)
{
	json_t	   *p;
	size_t		i;
	int64_t		now = cli_now_us() / 1000000;

	report_put(r, T(r, "<h2>Days since each provider was proven</h2><p>Proven: shards were read back whole and their seals held.</p>\n",
					"<h2>Jours depuis la dernière preuve par hébergeur</h2><p>Prouvé : des fragments ont été relus en entier et leurs sceaux vérifiés.</p>\n"));
	report_put(r, "<div class=\"wide\"><table><tr><th>%s</th><th>%s</th><th>%s</th><th>%s</th></tr>\n", T(r, "Provider", "Hébergeur"), T(r, "Days", "Jours"), T(r, "Shards read", "Fragments relus"), T(r, "Owed to it", "Lui est dû"));
	json_array_foreach(json_object_get(r->doc, "providers"), i, p)
	{
		const json_t *f = json_object_get(p, "facts");
		int64_t		then = cli_fact_time(f, "proven"),
					days = (now - then) / 86400;

		report_put(r, "<tr><td>%s</td>", report_string(p, "provider"));
		if (then == 0)
			report_put(r, "<td class=\"no\">%s</td>", T(r, "never", "jamais"));
		else if (days < 0)
			report_put(r, "<td class=\"un\">%s</td>", T(r, "in the future: a clock was wrong", "dans le futur : une horloge était fausse"));
		else
			report_put(r, "<td class=\"%s\">%d</td>", days > 31 ? "no" : "ok", (int) days);
		report_put(r, "<td>%d</td><td>%d</td></tr>\n", (int) report_number(f, "proven_shards"), (int) report_number(f, "owed_objects"));
	}
	report_put(r, "</table></div>\n");
	report_command(r, "verify --sample 459");
}

static void
drills(const struct report_page *r)
{
	const json_t *list = json_object_get(r->doc, "drills");

	report_put(r, T(r, "<h2>Restore drills</h2>\n", "<h2>Exercices de restauration</h2>\n"));
	if (json_array_size(list) == 0)
		report_put(r, "<p class=\"no\">%s</p>\n", T(r, "None is recorded on this host: that backups restore has not been shown here.", "Aucun n'est consigné sur cet hôte : la restaurabilité n'y a pas été démontrée."));
	else
	{
		report_put(r, "<div class=\"wide\"><table><tr><th>%s</th><th>%s</th><th>%s</th><th class=\"n\">%s</th></tr>\n", T(r, "When", "Date"), T(r, "Result", "Résultat"), T(r, "Backup", "Sauvegarde"), T(r, "Seconds", "Secondes"));
		for (size_t i = json_array_size(list); i-- > 0;)
		{
			const json_t *d = json_array_get(list, i);
			const char *key;
			json_t	   *v;
			double		seconds = 0;

			json_object_foreach(json_object_get(d, "seconds"), key, v)
				seconds += json_number_value(v);
			report_put(r, "<tr><td>%s</td><td class=\"%s\">%s</td><td>%s</td><td class=\"n\">%d</td></tr>\n", report_string(d, "time"), report_number(d, "passed") ? "ok" : "no",
					   report_number(d, "passed") ? T(r, "passed", "réussi") : report_string(d, "error"), report_string(d, "backup"), (int) (seconds + 0.5));
		}
		report_put(r, "</table></div>\n");
	}
	report_command(r, "drill");
}

void
report_write(const struct report_page *r)
{
	char		title[300],
				when[32];

	snprintf(title, sizeof title, T(r, "Where the data of \"%.100s\" are, and who can reach them", "Où sont les données de « %.100s », et qui peut les atteindre"), report_string(r->doc, "repository"));
	report_head(r, title);
	report_put(r, "<p class=\"small\">%s %s. %s %s.</p>\n<div class=\"cards\">\n", T(r, "Made", "Établi le"), report_string(r->doc, "generated"),
			   T(r, "The repository was last looked at", "Dépôt consulté pour la dernière fois"), report_string(r->doc, "seen")[0] ? report_time(r->doc, "seen", when) : T(r, "never by this host", "jamais par cet hôte"));
	loss_card(r);
	owner_card(r);
	law_card(r);
	key_card(r);
	report_put(r, "</div>\n");
	report_command(r, "report --json");
	provider_table(r);
	matrix(r);
	report_history(r);
	growth(r);
	proven(r);
	drills(r);
	report_annex(r);
	report_put(r, "</body></html>\n");
}
