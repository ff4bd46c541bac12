/*
 * report_annex.c - the second half of the report (what a seizure would yield, what
 * leaving would take, keys, claims with their sources, limits) and the letters.
 *
 * The Data Act's clock: Regulation (EU) 2023/2854, articles 25 and 29: notice of at
 * most two months, a transition of 30 days, no switching charges from 12 January 2027.
 */
#include <inttypes.h>
#include <string.h>

#include "report_page.h"

/* --- seizure, leaving --- */

static void
bytes_at(const struct report_page *r, const json_t *p, char dst[40])
{
	const json_t *v = json_object_get(p, "about_bytes");

	if (json_is_number(v))
		report_size(r, json_number_value(v), dst);
	else
		snprintf(dst, 40, "%s", T(r, "unknown", "inconnu"));
}

/* How long reading all of it back takes at the rate of the last probe. */
static void
leaving_time(const struct report_page *r, const json_t *p, char dst[80])
{
	double		rate = json_number_value(json_object_get(json_object_get(p, "probe"), "get_rate")),
				bytes = json_number_value(json_object_get(p, "about_bytes")),
				seconds = rate > 0 ? bytes / rate : -1;

	if (seconds < 0 || !json_is_number(json_object_get(p, "about_bytes")))
		snprintf(dst, 80, "%s", T(r, "not measured", "non mesuré"));
	else if (seconds < 5400)
		snprintf(dst, 80, T(r, "about %.0f min", "environ %.0f min"), seconds < 60 ? 1 : seconds / 60);
	else
		snprintf(dst, 80, T(r, "about %.1f h", "environ %.1f h"), seconds / 3600);
}

static void
leaving(const struct report_page *r)
{
	json_t	   *p;
	size_t		i;
	char		size[40],
				when[80];

	report_put(r, T(r, "<h2>What a seizure would yield, and what leaving would take</h2>\n", "<h2>Ce que donnerait une saisie, et ce que coûterait un départ</h2>\n"));
	report_put(r, "<p>%s</p>\n",
			   T(r, "A seizure at one provider yields one sealed shard of each object. Names, sizes and content of tables are in none of them; how many objects there are, how long they are, and when they were put can be seen.",
				 "Une saisie chez un hébergeur donne un fragment scellé de chaque objet : ni noms, ni tailles, ni contenus de tables ; restent visibles le nombre d'objets, leur longueur et leur date de dépôt."));
	report_put(r, "<div class=\"wide\"><table><tr><th>%s</th><th class=\"n\">%s</th><th>%s</th></tr>\n", T(r, "Provider", "Hébergeur"),
			   T(r, "Held there, about", "Volume détenu, environ"), T(r, "Leaving: reading it back takes", "Départ : relire le tout prend"));
	json_array_foreach(json_object_get(r->doc, "providers"), i, p)
	{
		bytes_at(r, p, size);
		leaving_time(r, p, when);
		report_put(r, "<tr><td>%s</td><td class=\"n\">%s</td><td>%s</td></tr>\n", report_string(p, "provider"), size, when);
	}
	report_put(r, "</table></div><p class=\"small\">%s</p>\n",
			   T(r, "Regulation (EU) 2023/2854 (Data Act), articles 25 and 29: notice of at most two months, a transition of 30 days, no switching charges from 12 January 2027. A provider that is already gone is left all the same: its shards are rebuilt from the others.",
				 "Règlement (UE) 2023/2854 (Data Act), articles 25 et 29 : préavis de deux mois au plus, transition de 30 jours, plus de frais de changement à partir du 12 janvier 2027. Un hébergeur déjà disparu se quitte aussi : ses fragments sont reconstitués à partir des autres."));
	report_command(r, "plan");
}

/* --- keys --- */

static void
keys(const struct report_page *r)
{
	const json_t *custody = json_object_get(r->doc, "custody");
	json_t	   *db,
			   *k;
	size_t		i,
				j;

	report_put(r, T(r, "<h2>Keys and custodian</h2><p>Root key: custodian \"%s\". No storage provider holds a key: what lies there is wrapped under the root key.</p>\n",
					"<h2>Clés et dépositaire</h2><p>Clé racine : dépositaire « %s ». Aucun hébergeur de stockage ne détient de clé : ce qui s'y trouve est chiffré sous la clé racine.</p>\n"), report_string(custody, "custodian"));
	if (json_array_size(json_object_get(custody, "databases")) > 0)
	{
		report_put(r, "<div class=\"wide\"><table><tr><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th></tr>\n", T(r, "Database", "Base"), T(r, "Key", "Clé"), T(r, "Version", "Version"), T(r, "Made", "Créée"), T(r, "May decrypt", "Peuvent déchiffrer"));
		json_array_foreach(json_object_get(custody, "databases"), i, db)
			json_array_foreach(json_object_get(db, "keys"), j, k)
				report_put(r, "<tr><td>%s</td><td>%s</td><td>%s%s</td><td>%s</td><td>%s</td></tr>\n", report_string(db, "database"), report_string(k, "name"), report_string(k, "version"),
						   report_number(k, "current") ? T(r, " (current)", " (actuelle)") : "", report_string(k, "created"), report_word(r, report_string(k, "may_use")));
		report_put(r, "</table></div>\n");
	}
	if (!report_number(custody, "complete"))
		report_put(r, "<p class=\"un\">%s</p>\n", T(r, "Not everything could be asked (server or repository): other keys may exist.", "Tout n'a pas pu être interrogé (serveur ou dépôt) : d'autres clés peuvent exister."));
	report_command(r, "key where");
}

/* --- claims, limits --- */

static void
claims(const struct report_page *r)
{
	json_t	   *p,
			   *c;
	const char *name;
	size_t		i;

	report_put(r, T(r, "<h2>Where each claim comes from</h2><p>What is not listed is unknown, which is not \"no\".</p>\n", "<h2>D'où vient chaque affirmation</h2><p>Ce qui n'est pas listé est inconnu, ce qui ne veut pas dire « non ».</p>\n"));
	report_put(r, "<div class=\"wide\"><table class=\"long\"><tr><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th><th>%s</th></tr>\n", T(r, "Provider", "Hébergeur"), T(r, "Claim", "Affirmation"), T(r, "Value", "Valeur"),
			   T(r, "Source", "Source"), T(r, "Read", "Lu en"), T(r, "Confidence", "Confiance"));
	json_array_foreach(json_object_get(r->doc, "providers"), i, p)
		json_object_foreach(json_object_get(p, "claims"), name, c)
			if (json_is_string(json_object_get(c, "value")))
				report_put(r, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", report_string(p, "provider"), name, report_string(c, "value"),
						   report_word(r, report_string(c, "source")), report_word(r, report_string(c, "read_on")), report_word(r, report_string(c, "confidence")));
	report_put(r, "</table></div>\n");
	report_command(r, "provider show NAME");
}

static void
limits(const struct report_page *r)
{
	report_put(r, T(r, "<h2>The honest limits</h2><ul>"
					"<li>While a session with a key runs, the server's memory holds plaintext and keys: whoever is root there can read them.</li>"
					"<li>A provider sees how many objects there are, how long they are, and when they come and go.</li>"
					"<li>Searchable columns show which values are equal.</li>"
					"<li>The catalogue's claims were read in public sources and age; no authority has confirmed them.</li>"
					"<li>This page tells what this host knows: what a provider really holds is shown by verify --deep.</li></ul>\n",
					"<h2>Les limites, honnêtement</h2><ul>"
					"<li>Tant qu'une session munie d'une clé est ouverte, la mémoire du serveur contient du clair et des clés : qui y est root peut les lire.</li>"
					"<li>Un hébergeur voit le nombre d'objets, leur longueur, leurs dates de dépôt et de suppression.</li>"
					"<li>Les colonnes interrogeables révèlent quelles valeurs sont égales.</li>"
					"<li>Les affirmations du catalogue viennent de sources publiques et vieillissent ; aucune autorité ne les a confirmées.</li>"
					"<li>Cette page dit ce que sait cet hôte : ce qu'un hébergeur détient vraiment se vérifie par verify --deep.</li></ul>\n"));
}

void
report_annex(const struct report_page *r)
{
	leaving(r);
	keys(r);
	report_audit(r);
	claims(r);
	limits(r);
}

/* --- letters --- */

static void
breach(const struct report_page *r, const json_t *p)
{
	int			more = (int) report_number(r->doc, "needed") - 1;
	char		size[40],
				others[100];

	bytes_at(r, p, size);
	snprintf(others, sizeof others, more == 1 ? T(r, "neither %d further shard nor the key were exposed", "ni %d fragment de plus ni la clé n'ont été exposés") :
			 more > 1 ? T(r, "neither %d further shards nor the key were exposed", "ni %d fragments de plus ni la clé n'ont été exposés") :
			 T(r, "the key was not exposed", "la clé n'a pas été exposée"), more);
	report_put(r, T(r, "<p>An incident at storage provider <b>%s</b> (operator: %s; ultimate parent: %s) may have exposed what it holds for us.</p>",
					"<p>Un incident chez l'hébergeur de stockage <b>%s</b> (exploitant : %s ; société mère : %s) a pu exposer ce qu'il détient pour nous.</p>"), report_string(p, "provider"), report_claim(r, p, "operator"), report_claim(r, p, "parent"));
	report_put(r, T(r, "<ul><li>Held there: one shard of each object of %d, sealed, about %s in all.</li>", "<ul><li>Détenu : un fragment sur %d de chaque objet, scellé, environ %s au total.</li>"), (int) report_number(r->doc, "shards"), size);
	report_put(r, T(r, "<li>Needed to rebuild an object: %d shards from %d different providers, and then the key.</li>", "<li>Pour reconstituer un objet : %d fragments de %d hébergeurs différents, puis la clé.</li>"), (int) report_number(r->doc, "needed"), (int) report_number(r->doc, "needed"));
	report_put(r, T(r, "<li>Keys held there: none. Root key: custodian \"%s\".</li>", "<li>Clés détenues : aucune. Clé racine : dépositaire « %s ».</li>"), report_string(json_object_get(r->doc, "custody"), "custodian"));
	report_put(r, T(r, "<li>Encryption: AES-256-GCM, before anything left our server; names and directories included.</li></ul>"
					"<p>The data exposed are thus unintelligible to any person who is not authorised to access them (GDPR, article 34(3)(a)), as long as %s in the same incident.</p>",
					"<li>Chiffrement : AES-256-GCM, avant toute sortie de notre serveur ; noms et répertoires compris.</li></ul>"
					"<p>Les données exposées sont donc incompréhensibles pour toute personne non autorisée (RGPD, article 34, paragraphe 3, point a), tant que %s dans le même incident.</p>"),
			   others);
	if (report_number(r->doc, "key_on_server"))
		report_put(r, "<p class=\"no\">%s</p>", T(r, "The root key lies on the server itself: check whether this provider also runs that server.", "La clé racine est sur le serveur lui-même : vérifier si cet hébergeur exploite aussi ce serveur."));
	report_put(r, T(r, "<p>Still to be filled in: when it was learnt, what the provider says, contact of the data-protection officer. The notice to the authority under article 33 (72 hours) is not replaced by this letter.</p>\n",
					"<p>Reste à compléter : date de découverte, déclarations de l'hébergeur, contact du délégué à la protection des données. Cette lettre ne remplace pas la notification à l'autorité prévue à l'article 33 (72 heures).</p>\n"));
	report_command(r, "verify --deep");
}

static void
leave(const struct report_page *r, const json_t *p)
{
	char		size[40],
				when[80];

	bytes_at(r, p, size);
	leaving_time(r, p, when);
	report_put(r, T(r, "<p>To <b>%s</b> (%s):</p><p>We end the storage service with you and switch to another provider, under articles 23 to 31 of Regulation (EU) 2023/2854 (Data Act).</p>",
					"<p>À <b>%s</b> (%s) :</p><p>Nous mettons fin au service de stockage chez vous et changeons de fournisseur, en application des articles 23 à 31 du règlement (UE) 2023/2854 (Data Act).</p>"), report_claim(r, p, "operator"), report_string(p, "provider"));
	report_put(r, T(r, "<ul><li>What you hold: about %s, sealed shards; reading them back takes %s.</li><li>Notice: at most two months; transition: 30 days, during which the service goes on unchanged (article 25).</li>"
					"<li>From 12 January 2027 no switching charges may be asked, charges for reading the data out included (article 29).</li>",
					"<ul><li>Vous détenez : environ %s, fragments scellés ; les relire prend %s.</li><li>Préavis : deux mois au plus ; transition : 30 jours, service inchangé (article 25).</li>"
					"<li>À partir du 12 janvier 2027, aucun frais de changement, y compris pour la sortie des données (article 29).</li>"), size, when);
	report_put(r, T(r, "<li>At the end we delete our objects ourselves and keep a receipt; please confirm in writing that copies and backups of them are erased (GDPR, article 28(3)(g)).</li></ul>\n",
					"<li>À la fin nous supprimons nous-mêmes nos objets et en gardons un reçu ; merci de confirmer par écrit l'effacement de leurs copies et sauvegardes (RGPD, article 28, paragraphe 3, point g).</li></ul>\n"));
	report_command(r, "apply");
}

void
report_letter(const struct report_page *r)
{
	const json_t *p = report_provider(r->doc, r->provider);
	char		title[300];

	snprintf(title, sizeof title, r->kind == REPORT_BREACH ? T(r, "Incident at provider %.100s", "Incident chez l'hébergeur %.100s") : T(r, "Leaving provider %.100s", "Départ de l'hébergeur %.100s"), r->provider);
	report_head(r, title);
	report_put(r, "<p class=\"small\">%s, %s</p>\n", report_string(r->doc, "repository"), report_string(r->doc, "generated"));
	if (r->kind == REPORT_BREACH)
		breach(r, p);
	else
		leave(r, p);
	report_put(r, "</body></html>\n");
}
