/*
 * report_page.h - the report for a data-protection officer, as a document and as pages.
 *
 * The document (JSON) has all facts; pages show nothing that is not in it.
 *   schema (1), generated, configuration, repository, needed, shards, seen (or null)
 *   providers[]   as "provider show --json", and laws[], laws_known, facts (of the last
 *                 command, or null), about_bytes (stored there, about; null: not known)
 *   reach         operators[], parents[], laws[]: name, providers[], shards, reaches (k
 *                 or more active providers); unknown: of how many active providers each
 *                 is not known
 *   custody       as "key where --json"; custodian_operator (or null), key_on_server
 *   key_reach[]   providers that whoever runs the custodian is behind as well (null: it
 *                 is not known who does); key_laws[] that reach it (null: not known)
 *   losses_tolerated (or null), redundancy[], backups[], wal[], verified, drills[]
 *   history       points[], later, earlier, unreadable: see sov_history.h
 */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include <stdio.h>

#include "provider_view.h"

/* Asks databases and repository where keys are, and no provider for anything else. */
extern json_t *report_document(const struct provider_view *v);

enum report_kind { REPORT_WHOLE, REPORT_BREACH, REPORT_EXIT };

struct report_page
{
	FILE	   *out;
	bool		french;
	const json_t *doc;
	enum report_kind kind;
	const char *provider;		/* of a letter */
};
extern void report_write(const struct report_page *r);
extern void report_letter(const struct report_page *r);
/* report_history.c: redundancy and size through time */
extern void report_history(const struct report_page *r);
/* report_audit.c: what the audit log of this host counts; its part of the document, or null */
extern json_t *report_audit_facts(const struct sov_config *cfg);
extern void report_audit(const struct report_page *r);
/* report_annex.c: leaving and seizure by provider, keys, claims, limits */
extern void report_annex(const struct report_page *r);

/* What the pages share (report_words.c). */
#define T(r, en, fr) ((r)->french ? (fr) : (en))
extern void report_text(const struct report_page *r, const char *text);	/* escaped */
extern void report_put(const struct report_page *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));	/* %s escaped, the rest is markup */
extern void report_head(const struct report_page *r, const char *title);
extern void report_command(const struct report_page *r, const char *command);	/* "shown by" */
extern const char *report_string(const json_t *o, const char *name);	/* "" when it is none */
extern const char *report_time(const json_t *o, const char *name, char dst[32]);	/* to the minute */
extern const char *report_word(const struct report_page *r, const char *word);
extern int64_t report_number(const json_t *o, const char *name);
extern const char *report_size(const struct report_page *r, double bytes, char dst[40]);
extern const char *report_claim(const struct report_page *r, const json_t *provider, const char *name);	/* or "unknown" */
extern void report_join(const struct report_page *r, const json_t *list);
extern const json_t *report_provider(const json_t *doc, const char *name);

#endif
