/*
 * report_history.c - redundancy and size through time, of the history (sov_history.h).
 *
 * Each row of a table has a strip: SVG that is stretched to the width of its cell and
 * has no text in it, so that on a phone and on paper all labels keep their size; beside
 * it, in words, what it is now and what was the worst.  A stretch in which nothing
 * looked is left grey: unknown is never counted as good.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report_page.h"

#define WIDTH 1000.0			/* of a strip, in its own units */
#define HEIGHT 30.0
#define HOLDS (2 * 86400)		/* seconds that a point speaks for, at most */

struct strip
{
	const struct report_page *r;
	const json_t *points;
	int64_t		from,
				to;				/* seconds */
};

static const json_t *
point_at(const struct strip *s, size_t i)
{
	return json_array_get(s->points, i);
}

/* When a point begins to speak: one of many that were put together, where they did. */
static int64_t
begins(const json_t *point)
{
	int64_t		t = cli_fact_time(point, "time");
	const char *of = report_string(point, "of");

	return strcmp(of, "day") == 0 ? t - t % 86400 : strcmp(of, "hour") == 0 ? t - t % 3600 : t;
}

static int64_t
ends(const struct strip *s, size_t i)
{
	int64_t		holds = cli_fact_time(point_at(s, i), "time") + HOLDS,
				next = i + 1 < json_array_size(s->points) ? begins(point_at(s, i + 1)) : s->to;

	return next < holds ? next : holds;
}

static double
x_of(const struct strip *s, int64_t t)
{
	double		x = WIDTH * (double) (t - s->from) / (double) (s->to - s->from);

	return x < 0 ? 0 : x > WIDTH ? WIDTH : x;
}

static void
open_strip(const struct strip *s, const char *label)
{
	report_put(s->r, "<svg class=\"strip\" viewBox=\"0 0 1000 30\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s\"><rect width=\"1000\" height=\"30\" fill=\"#eceff2\"/>", label);
}

/* At least a hair wide. */
static void
bar(const struct strip *s, double x, double end, double height, const char *colour)
{
	if (end - x < 1.5)
		end = x + 1.5;
	if (end > WIDTH)
		x -= end - WIDTH, end = WIDTH;
	fprintf(s->r->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>", x, HEIGHT - height, end - x, height, colour);
}

static void
day_of(const json_t *point, char dst[20])
{
	snprintf(dst, 20, "%.10s %.5s", report_string(point, "time"), strlen(report_string(point, "time")) > 16 ? report_string(point, "time") + 11 : "");
}

/* --- losses tolerated --- */

static int
losses(const json_t *point, const char *class_)
{
	const json_t *v = json_object_get(json_object_get(point, "tolerated"), class_);

	return json_is_integer(v) && json_integer_value(v) >= 0 ? (int) json_integer_value(v) : -1;
}

/* The first point with the fewest, or NULL. */
static const json_t *
fewest(const struct strip *s, const char *class_)
{
	const json_t *least = NULL;

	for (size_t i = 0; i < json_array_size(s->points); i++)
		if (losses(point_at(s, i), class_) >= 0 && (least == NULL || losses(point_at(s, i), class_) < losses(least, class_)))
			least = point_at(s, i);
	return least;
}

static int
most(const struct strip *s)
{
	int			n = 1;
	const char *class_;
	json_t	   *v;

	for (size_t i = 0; i < json_array_size(s->points); i++)
		json_object_foreach(json_object_get(point_at(s, i), "tolerated"), class_, v)
			n = losses(point_at(s, i), class_) > n ? losses(point_at(s, i), class_) : n;
	return n;
}

/* Stretches of equal points become one bar. */
static void
losses_strip(const struct strip *s, const char *class_, int top)
{
	size_t		n = json_array_size(s->points);

	open_strip(s, class_);
	for (size_t i = 0; i < n;)
	{
		int			value = losses(point_at(s, i), class_);
		int64_t		from = begins(point_at(s, i)),
					to = ends(s, i);

		while (++i < n && losses(point_at(s, i), class_) == value && begins(point_at(s, i)) <= to)
			to = ends(s, i);
		if (value == 0)
			bar(s, x_of(s, from), x_of(s, to), HEIGHT, "#a40e26");
		else if (value > 0)
			bar(s, x_of(s, from), x_of(s, to), HEIGHT * (0.25 + 0.75 * value / top), "#5bb974");
	}
	report_put(s->r, "</svg>");
}

static void
losses_table(const struct strip *s)
{
	const struct report_page *r = s->r;
	const json_t *last = point_at(s, json_array_size(s->points) - 1);
	const char *class_;
	json_t	   *v;
	int			top = most(s);

	report_put(r, "<div class=\"wide\"><table class=\"time\"><tr><th>%s</th><th class=\"strip\">%s</th><th>%s</th><th>%s</th></tr>\n", T(r, "Kind of object", "Type d'objet"),
			   T(r, "Providers that could vanish", "Hébergeurs pouvant disparaître"), T(r, "Last", "Dernier"), T(r, "Fewest", "Minimum"));
	json_object_foreach(json_object_get(last, "tolerated"), class_, v)
	{
		const json_t *least = fewest(s, class_);
		char		when[20];

		report_put(r, "<tr><td>%s</td><td class=\"strip\">", class_);
		losses_strip(s, class_, top);
		report_put(r, "</td><td class=\"n %s\">%d</td>", losses(last, class_) > 0 ? "ok" : "no", losses(last, class_));
		snprintf(when, sizeof when, "%.10s", report_string(least ? least : last, "time"));
		report_put(r, losses(least, class_) < losses(last, class_) ? "<td class=\"n %s\">%d <span class=\"small\">%s</span></td></tr>\n" : "<td class=\"n %s\">%d</td></tr>\n",
				   losses(least, class_) > 0 ? "ok" : "no", losses(least, class_), when);
	}
}

/* --- what verify found --- */

static int64_t
left(const json_t *point)
{
	const json_t *found = json_object_get(point, "found");

	return report_number(found, "missing") + report_number(found, "damaged") + report_number(found, "lost");
}

static void
verify_row(const struct strip *s)
{
	const struct report_page *r = s->r;
	const json_t *last = NULL;
	int			runs = 0,
				bad = 0;

	report_put(r, "<tr><td>verify</td><td class=\"strip\">");
	open_strip(s, "verify");
	for (size_t i = 0; i < json_array_size(s->points); i++)
		if (json_object_get(point_at(s, i), "found"))
		{
			double		x = x_of(s, cli_fact_time(point_at(s, i), "time"));

			last = point_at(s, i);
			runs++;
			bad += left(last) > 0;
			bar(s, x, x + 5, left(last) > 0 ? HEIGHT : HEIGHT / 2, left(last) > 0 ? "#a40e26" : "#1f6feb");
		}
	report_put(r, "</svg></td>");
	if (last == NULL)
		report_put(r, "<td colspan=\"2\" class=\"n un\">%s</td></tr>\n", T(r, "did not run", "jamais lancé"));
	else
		report_put(r, T(r, "<td class=\"n %s\">%s</td><td class=\"n %s\">damage: %d of %d</td></tr>\n", "<td class=\"n %s\">%s</td><td class=\"n %s\">dommages : %d sur %d</td></tr>\n"),
				   left(last) > 0 ? "no" : "ok", left(last) > 0 ? T(r, "damage", "dommages") : T(r, "whole", "intact"), bad ? "no" : "ok", bad, runs);
}

/* --- bytes at each provider --- */

static double
bytes(const json_t *point, const char *provider)
{
	const json_t *v = json_object_get(json_object_get(json_object_get(point, "providers"), provider), "bytes");

	return json_is_number(v) && json_number_value(v) >= 0 ? json_number_value(v) : -1;
}

static bool
is_down(const json_t *point, const char *provider)
{
	return strcmp(report_string(json_object_get(json_object_get(point, "providers"), provider), "state"), "down") == 0;
}

/* Bars as high as what was counted, each until the next count; red above where the
 * provider did not answer. */
static void
bytes_strip(const struct strip *s, const char *provider, double top)
{
	double		value = -1;
	int64_t		since = s->from;

	open_strip(s, provider);
	for (size_t i = 0; i <= json_array_size(s->points); i++)
	{
		const json_t *p = point_at(s, i);
		double		now = p ? bytes(p, provider) : 0;

		if (p && now < 0 && json_object_get(json_object_get(p, "providers"), provider))
			continue;
		if (value > 0)
			bar(s, x_of(s, since), x_of(s, p ? begins(p) : s->to), top > 0 ? 1 + (HEIGHT - 6) * value / top : 1, "#54aeff");
		value = now;
		since = p ? begins(p) : s->to;
	}
	for (size_t i = 0; i < json_array_size(s->points); i++)
		if (is_down(point_at(s, i), provider))
		{
			double		x = x_of(s, begins(point_at(s, i))),
						end = x_of(s, ends(s, i));

			fprintf(s->r->out, "<rect x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"5\" fill=\"#a40e26\"/>", x, end - x < 1.5 ? 1.5 : end - x);
		}
	report_put(s->r, "</svg>");
}

static void
bytes_row(const struct strip *s, const char *provider, double top)
{
	const struct report_page *r = s->r;
	double		first = -1,
				last = -1;
	char		size[40],
				when[20] = "";

	for (size_t i = 0; i < json_array_size(s->points); i++)
		if (bytes(point_at(s, i), provider) >= 0)
		{
			last = bytes(point_at(s, i), provider);
			first = first < 0 ? last : first;
			day_of(point_at(s, i), when);
		}
	report_put(r, "<tr><td>%s%s</td><td class=\"strip\">", provider, report_provider(r->doc, provider) ? "" : T(r, " (left)", " (quitté)"));
	bytes_strip(s, provider, top);
	if (last < 0)
		report_put(r, "</td><td colspan=\"2\" class=\"n un\">%s</td></tr>\n", T(r, "not counted yet", "jamais compté"));
	else
	{
		report_put(r, "</td><td class=\"n\">%s</td>", report_size(r, last, size));
		report_put(r, "<td class=\"n\">%s</td></tr>\n", report_size(r, first, size));
	}
}

static void
bytes_table(const struct strip *s)
{
	const struct report_page *r = s->r;
	json_t	   *names = json_object(),
			   *p;
	const char *name;
	double		top = 0;
	size_t		i;

	json_array_foreach(json_object_get(r->doc, "providers"), i, p)
		json_object_set_new(names, report_string(p, "provider"), json_true());
	for (i = 0; i < json_array_size(s->points); i++)
		json_object_foreach(json_object_get(point_at(s, i), "providers"), name, p)
		{
			json_object_set_new(names, name, json_true());
			top = bytes(point_at(s, i), name) > top ? bytes(point_at(s, i), name) : top;
		}
	report_put(r, "<div class=\"wide\"><table class=\"time\"><tr><th>%s</th><th class=\"strip\">%s</th><th>%s</th><th>%s</th></tr>\n", T(r, "Provider", "Hébergeur"),
			   T(r, "Bytes of shards, as counted there", "Octets des fragments, comptés sur place"), T(r, "Last", "Dernier"), T(r, "First", "Premier"));
	json_object_foreach(names, name, p)
		bytes_row(s, name, top);
	report_put(r, "</table></div>\n");
	json_decref(names);
}

/* --- the section --- */

static void
dates_of(const struct strip *s, char dst[60])
{
	const json_t *last = point_at(s, json_array_size(s->points) - 1);
	char		from[20],
				to[20];

	day_of(point_at(s, 0), from);
	day_of(last, to);
	snprintf(dst, 60, "%s – %s", from, to);
}

void
report_history(const struct report_page *r)
{
	const json_t *history = json_object_get(r->doc, "history");
	struct strip s = {.r = r, .points = json_object_get(history, "points"), .to = cli_fact_time(r->doc, "generated")};
	size_t		n = json_array_size(s.points);
	char		dates[60];
	int64_t		last = n ? cli_fact_time(point_at(&s, n - 1), "time") : 0;

	report_put(r, T(r, "<h2>Redundancy and size through time</h2>\n", "<h2>Redondance et volume dans le temps</h2>\n"));
	if (n == 0)
		report_put(r, "<p class=\"un\">%s</p>\n", T(r, "Nothing is recorded yet: no command has looked.", "Rien n'est encore consigné : aucune commande n'a consulté le dépôt."));
	else
	{
		s.from = begins(point_at(&s, 0));
		s.to = last > s.to ? last : s.to;
		s.to = s.to <= s.from ? s.from + 1 : s.to;
		dates_of(&s, dates);
		report_put(r, T(r, "<p>%s UTC, %d points. Green: so many providers could have vanished, the higher the more; dark red: none. Grey: nothing looked, so it is not known.</p>\n",
						"<p>%s UTC, %d points. Vert : autant d'hébergeurs auraient pu disparaître, plus haut si plus nombreux ; rouge foncé : aucun. Gris : personne n'a regardé, donc inconnu.</p>\n"), dates, (int) n);
		losses_table(&s);
		verify_row(&s);
		report_put(r, "</table></div>\n");
		bytes_table(&s);
		report_put(r, "<p class=\"small\">%s</p>\n",
				   T(r, "Blue: bytes counted by verify, repair or prune, to one scale; red above: the provider did not answer. Days older than a week are one point each, with the worst of the day.",
					 "Bleu : octets comptés par verify, repair ou prune, à la même échelle ; trait rouge : l'hébergeur ne répondait pas. Au-delà d'une semaine, un point par jour, avec le pire du jour."));
	}
	if (report_number(history, "later") > 0)
		report_put(r, T(r, "<p class=\"un\">%d points are dated later than now and left out: a clock is or was wrong.</p>\n", "<p class=\"un\">%d points datés dans le futur sont laissés de côté : une horloge est ou était fausse.</p>\n"), (int) report_number(history, "later"));
	report_command(r, "report --json");
}
