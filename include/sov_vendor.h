/*
 * sov_vendor.h - the catalogue of vendors: what is known of every provider, claim
 * by claim, and what holds for a configured one.
 *
 * A vendor (an entry of the catalogue, called "preset" where a section of the
 * configuration names it) is a fixed set of claims.  A claim is a value with its
 * source: where it was read, when, how far it is to be trusted, and the file and
 * line that say so.  What nobody has evidenced is unknown; unknown is not "no"
 * and never satisfies a rule that asks.
 *
 * The catalogue that is installed comes first; the file of the user's own
 * ([repository] catalogue) adds vendors and claims and takes the place of those
 * that it repeats.  For a configured provider, what its section says itself comes
 * before both; its source is the configuration.
 *
 * This is not the catalogue of backups (sov_manifest.h).
 */
#ifndef SOV_VENDOR_H
#define SOV_VENDOR_H

#include "sov_config.h"

enum sov_confidence
{
	SOV_CONFIDENCE_UNCONFIRMED = 0,	/* somebody says so */
	SOV_CONFIDENCE_THIRD_PARTY,	/* press, registers, issue threads */
	SOV_CONFIDENCE_TABLE,		/* another project's table, in use */
	SOV_CONFIDENCE_OFFICIAL,	/* the operator's or an authority's own text */
	SOV_CONFIDENCE_STATED		/* the configuration's owner answers for it */
};

struct sov_claim_source
{
	const char *name;			/* of its section [source.NAME] */
	const char *description;
	const char *read_on;		/* "2026-11" or "2026-11-25" */
	enum sov_confidence confidence;
	const char *file;
	int			line;
};

struct sov_claim
{
	const char *value;			/* NULL: unknown */
	const struct sov_claim_source *source;	/* NULL only where nobody said anything */
	const char *file;			/* of the line that says so; NULL: none does */
	int			line;
};

enum sov_vendor_field
{
	SOV_VENDOR_TITLE = 0,
	/* how to reach it */
	SOV_VENDOR_TYPE,			/* of adapter */
	SOV_VENDOR_ENDPOINT,		/* with {host} (of the region) and {account} */
	SOV_VENDOR_REGIONS,			/* "NAME:COUNTRY[:HOST], ..."; COUNTRY ? is unknown */
	/* settings of the adapter, of the same names */
	SOV_VENDOR_ADDRESSING,
	SOV_VENDOR_LIST_VERSION,
	SOV_VENDOR_CONDITIONAL_PUT,
	SOV_VENDOR_CONTENT_MD5,
	SOV_VENDOR_PART_SIZE,
	SOV_VENDOR_MAX_PARTS,
	SOV_VENDOR_MAX_RATE,		/* bytes per second */
	/* limits and habits */
	SOV_VENDOR_MIN_PART,
	SOV_VENDOR_MAX_PART,
	SOV_VENDOR_MAX_PUT,
	SOV_VENDOR_MAX_OBJECTS,
	SOV_VENDOR_MAX_REQUESTS,	/* per second */
	SOV_VENDOR_URL_ENCODE,		/* of lists: yes, no */
	SOV_VENDOR_CHECKSUM_TRAILERS,	/* accepted, refused */
	SOV_VENDOR_MULTIPART_ETAG,	/* usable, unusable */
	SOV_VENDOR_CONSISTENCY,		/* strong, eventual */
	SOV_VENDOR_OBJECT_LOCK,		/* yes, no, compliance (that mode only) */
	SOV_VENDOR_VERSIONING,
	SOV_VENDOR_LIFECYCLE,
	SOV_VENDOR_TAGGING,
	SOV_VENDOR_BUCKET_POLICY,
	SOV_VENDOR_QUIRKS,			/* in words */
	/* who it is, and under which law */
	SOV_VENDOR_TECHNOLOGY,
	SOV_VENDOR_OPERATOR,
	SOV_VENDOR_UNDERLYING,		/* who runs the machines beneath, where another does */
	SOV_VENDOR_PARENT,			/* ultimate parents, "A, B" */
	SOV_VENDOR_SEAT,			/* country */
	SOV_VENDOR_LOCATION,		/* country where the data lie; from the region */
	SOV_VENDOR_JURISDICTIONS,	/* beside seat and location: "US, CA" or "none-found" */
	SOV_VENDOR_REACH_NOTE,		/* why, in words */
	/* certifications; sov_certification_read() takes them apart */
	SOV_VENDOR_HDS,
	SOV_VENDOR_SECNUMCLOUD,
	SOV_VENDOR_ISO27001,
	SOV_VENDOR_C5,
	SOV_VENDOR_ACN,
	SOV_VENDOR_FIELDS
};
#define SOV_VENDOR_FIRST_SETTING SOV_VENDOR_ADDRESSING
#define SOV_VENDOR_LAST_SETTING SOV_VENDOR_MAX_RATE
#define SOV_VENDOR_FIRST_CERTIFICATION SOV_VENDOR_HDS

struct sov_vendor
{
	const char *name;			/* "ovhcloud": of its section [vendor.NAME] */
	struct sov_claim claims[SOV_VENDOR_FIELDS];
};

struct sov_vendors;				/* the catalogue that was read */

/* Where "make install" puts the catalogue. */
extern const char *sov_vendors_installed(void);
/* Read the installed catalogue and, when own is not "", the user's own file. */
extern enum sov_code sov_vendors_load(const char *own, struct sov_vendors **out, struct sov_error *err);
/* The parts of it: nothing yet; then one file after another. */
extern struct sov_vendors *sov_vendors_new(struct sov_error *err);
extern enum sov_code sov_vendors_add(struct sov_vendors *v, const char *path, struct sov_error *err);
extern enum sov_code sov_vendors_add_stream(struct sov_vendors *v, FILE *stream, const char *name, struct sov_error *err);
extern void sov_vendors_free(struct sov_vendors *v);

extern int	sov_vendors_count(const struct sov_vendors *v);
extern const struct sov_vendor *sov_vendors_at(const struct sov_vendors *v, int i);
extern const struct sov_vendor *sov_vendors_find(const struct sov_vendors *v, const char *name);

/* "max-parts", "jurisdictions": as it is written in the file. */
extern const char *sov_vendor_field_name(enum sov_vendor_field field);
extern const char *sov_confidence_name(enum sov_confidence confidence);

/* A region of a vendor; country "" when it is not evidenced. */
struct sov_region
{
	char		name[64], country[3], host[64];
};
/* The i-th region of a value of SOV_VENDOR_REGIONS; false: there are no more. */
extern bool sov_region_at(const char *regions, int i, struct sov_region *out);
/* The i-th of "A, B, C"; false: there are no more (or it does not fit). */
extern bool sov_list_at(const char *list, int i, char *dst, size_t cap);

enum sov_certified { SOV_CERTIFIED_UNKNOWN = 0, SOV_CERTIFIED_NO, SOV_CERTIFIED_IN_PROGRESS, SOV_CERTIFIED_YES };

struct sov_certification
{
	enum sov_certified state;
	char		regions[200];	/* "a b"; "" is all */
	char		date[12];		/* of issue: "2025-11-14", or "" */
	char		until[12];		/* last day; "" when only the usual term is known */
	char		scope[200];		/* in words */
};
/* Take "yes, regions a b, date D, until D, scope words" apart; *why says what is
 * wrong when it is false. */
extern bool sov_certification_read(const char *value, struct sov_certification *out, const char **why);
/* True when it holds on that day (Unix time) in that region; else why (for
 * people) says what is missing.  Without "until" it holds for the usual three
 * years (one for c5) after its date; without either it never does. */
extern bool sov_certification_holds(const char *name, const struct sov_certification *c, const char *region, int64_t now,
									char *why, size_t cap);

/* --- configured providers --- */

/* Fill in what the section does not say itself from its preset: type, endpoint,
 * settings.  *line is the line that is wrong. */
extern enum sov_code sov_vendor_complete(const struct sov_vendors *v, struct sov_provider_config *p, int *line, struct sov_error *err);

/* What holds for a configured provider: its section before its preset. */
struct sov_profile
{
	const struct sov_provider_config *cfg;
	const struct sov_vendor *vendor;	/* NULL without preset */
	struct sov_claim claims[SOV_VENDOR_FIELDS];
	struct sov_claim_source stated;	/* of claims that the section makes */
	char		location[3];
};
/* Refers to v, cfg and p, which must outlive it; do not copy it. */
extern void sov_profile_make(const struct sov_vendors *v, const struct sov_config *cfg, const struct sov_provider_config *p,
							 struct sov_profile *out);

#endif
