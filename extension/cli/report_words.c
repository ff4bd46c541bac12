/*
 * report_words.c - what the pages of the report share: text that comes from anywhere is
 * escaped here and nowhere else.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "report_page.h"

/* French does not break a line before a mark of two parts, nor within guillemets. */
static bool
stays(const struct report_page *r, const char *text, const char *at)
{
	return r->french && *at == ' ' && at[1] != '\0' &&
		(strchr(":;?!", at[1]) != NULL || strncmp(at + 1, "\u00bb", 2) == 0 || (at - text >= 2 && strncmp(at - 2, "\u00ab", 2) == 0));
}

void
report_text(const struct report_page *r, const char *text)
{
	for (const char *begin = text; *text; text++)
		switch (stays(r, begin, text) ? '\0' : *text)
		{
			case '\0':
				fputs("&nbsp;", r->out);
				break;
			case '&':
				fputs("&amp;", r->out);
				break;
			case '<':
				fputs("&lt;", r->out);
				break;
			case '>':
				fputs("&gt;", r->out);
				break;
			case '"':
				fputs("&quot;", r->out);
				break;
			case '\'':
				fputs("&#39;", r->out);
				break;
			default:
				if ((unsigned char) *text >= 0x20 || *text == '\n')
					fputc(*text, r->out);
		}
}

/* Only %s, %d and %%: what is not markup of ours is escaped. */
void
report_put(const struct report_page *r, const char *fmt, ...)
{
	const char *begin = fmt;
	va_list		ap;

	va_start(ap, fmt);
	for (; *fmt; fmt++)
		if (stays(r, begin, fmt))
			fputs("&nbsp;", r->out);
		else if (fmt[0] != '%')
			fputc(*fmt, r->out);
		else if (*++fmt == 's')
			report_text(r, va_arg(ap, const char *));
		else if (*fmt == 'd')
			fprintf(r->out, "%d", va_arg(ap, int));
		else
			fputc(*fmt, r->out);
	va_end(ap);
}

static const char style[] =
"*{box-sizing:border-box}body{font:16px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;color:#1b1f24;background:#fff;margin:0 auto;max-width:1080px;padding:1.2rem}"
"h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:2px solid #d0d7de;padding-bottom:.2rem}"
"p{margin:.4rem 0}.small,.by{color:#57606a;font-size:.82rem}.by code{background:#f3f4f6;padding:.05rem .3rem;border-radius:3px;overflow-wrap:anywhere}"
".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(215px,1fr));gap:.8rem;margin:1rem 0}"
".card{border:1px solid #d0d7de;border-left:6px solid #57606a;border-radius:6px;padding:.7rem .9rem}.card b{display:block;font-size:1.15rem;margin-bottom:.2rem}"
".good{border-left-color:#1a7f37}.warn{border-left-color:#bf8700}.bad{border-left-color:#cf222e}"
".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.88rem}th,td{text-align:left;vertical-align:top;padding:.35rem .5rem;border-bottom:1px solid #d8dee4}"
"th{background:#f6f8fa;white-space:nowrap}.n{text-align:right;white-space:nowrap}.ok{color:#1a7f37}.no{color:#cf222e;font-weight:600}.un{color:#7d4e00}"
"svg{max-width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:#57606a}"
".time td{vertical-align:middle}.time{table-layout:fixed}.time th:nth-child(n+3){text-align:right}.time th{width:16%;white-space:normal}.time th.strip{width:50%}.time th:last-child{width:20%}.time td,.time td.n{overflow-wrap:anywhere;white-space:normal}.time .small{white-space:nowrap}svg.strip{width:100%;height:26px}"
"@media(min-width:600px) and (max-width:1000px){.cards{grid-template-columns:1fr 1fr}th{white-space:normal}table{font-size:.8rem}}"
"@media print{.cards{grid-template-columns:1fr 1fr}body{font-size:10.5pt;padding:0;max-width:none}h2{break-after:avoid}tr,.card,svg{break-inside:avoid}.wide{overflow:visible;break-before:avoid}table:not(.long){break-inside:avoid}.by{break-before:avoid}table{font-size:8.5pt}@page{size:A4;margin:14mm}}"
"@media(max-width:600px){body{padding:.8rem;font-size:15px}h1{font-size:1.3rem}.time th,.time td{padding:.35rem .15rem}.time{font-size:.8rem}.time th{width:16%}.time th:first-child{width:23%}.time th.strip{width:35%}.time th:last-child{width:26%}.cert{min-width:15rem}svg text{font-size:18px}}";

void
report_head(const struct report_page *r, const char *title)
{
	report_put(r, "<!DOCTYPE html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
			   "<title>%s</title><style>", r->french ? "fr" : "en", title);
	fputs(style, r->out);
	report_put(r, "</style></head><body>\n<h1>%s</h1>\n", title);
}

void
report_command(const struct report_page *r, const char *command)
{
	report_put(r, "<p class=\"by\">%s <code>pg_sovereign %s</code></p>\n", T(r, "Shown by", "Vérifiable par"), command);
}

const char *
report_string(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* Facts have times as "2026-11-29T12:52:04Z". */
const char *
report_time(const json_t *o, const char *name, char dst[32])
{
	const char *time = report_string(o, name);

	if (strlen(time) < 16)
		snprintf(dst, 32, "%s", time);
	else
		snprintf(dst, 32, "%.10s %.5s UTC", time, time + 11);
	return dst;
}

/* Fixed words of the command's own, which the document has in English. */
const char *
report_word(const struct report_page *r, const char *word)
{
	static const char *const french[][2] = {
		{"every role", "tous les rôles"}, {"nobody", "personne"}, {"the configuration says so", "la configuration le dit"}, {"now", "aujourd'hui"},
		{"stated", "déclaré"}, {"official", "officiel"}, {"table", "tableau"}, {"third-party", "tiers"}, {"unconfirmed", "non confirmé"}
	};

	for (size_t i = 0; r->french && i < sizeof french / sizeof french[0]; i++)
		if (strcmp(word, french[i][0]) == 0)
			return french[i][1];
	return word;
}

int64_t
report_number(const json_t *o, const char *name)
{
	json_t	   *v = json_object_get(o, name);

	return json_is_boolean(v) ? json_is_true(v) : (int64_t) json_number_value(v);
}

const char *
report_size(const struct report_page *r, double bytes, char dst[40])
{
	static const char *const english[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	static const char *const french[] = {"o", "ko", "Mo", "Go", "To", "Po"};
	int			unit = 0;

	for (; bytes >= 999.5 && unit < 5; unit++)
		bytes /= 1000;
	snprintf(dst, 40, unit ? "%.1f %s" : "%.0f %s", bytes, (r->french ? french : english)[unit]);
	if (r->french && strchr(dst, '.'))
		*strchr(dst, '.') = ',';
	return dst;
}

const char *
report_claim(const struct report_page *r, const json_t *provider, const char *name)
{
	const char *value = json_string_value(json_object_get(json_object_get(json_object_get(provider, "claims"), name), "value"));

	return value ? value : T(r, "unknown", "inconnu");
}

void
report_join(const struct report_page *r, const json_t *list)
{
	json_t	   *one;
	size_t		i;

	json_array_foreach(list, i, one)
		report_put(r, i ? ", %s" : "%s", json_string_value(one) ? json_string_value(one) : "");
}

const json_t *
report_provider(const json_t *doc, const char *name)
{
	json_t	   *one;
	size_t		i;

	json_array_foreach(json_object_get(doc, "providers"), i, one)
		if (strcmp(report_string(one, "provider"), name) == 0)
			return one;
	return NULL;
}
