/*
 * sov_pg.h - the one door from the backend side to the server's headers and to
 * what differs between its versions, and what the backend's files share.
 *
 * The column side in one picture:
 *   type.c     input, output, type modifier     keys.c      keys of this backend
 *   base.c     base types as bytes               wrap.c      wrapped keys
 *   value.c    sealing and opening Datums       keystore.c  key tables, create_key
 *   cast.c     plaintext in and out             ops.c       equality, order, hash
 *   sort.c     sort support                     plan.c, literals.c  sealed constants in plans
 *   stats.c    ANALYZE without plaintext        results.c   native results
 *   guard.c    DDL that must be refused         ddl.c, unique.c  DDL that is rewritten
 *   native.c, row.c, inlining.c  expressions in base types  return_query.c  what PL/pgSQL returns
 *   seals.c    seals per key version            nonces.c    of values
 *   grants.c   who may decrypt                  catalog.c   our own object ids
 *   quiet.c, hints.c            what messages tell
 *   subjects.c, expanded.c, subject_store.c, epoch_key.c, tie.c, erase.c
 *                                              erasable persons (subjects.h)
 *   convert.c, rotate.c                         existing columns, in batches (job.h)
 * Preloaded: shared.c (shared memory), worker.c (the worker), lease.c and
 * lease_worker.c (keys in shared memory, on loan from the custodian), audit.c,
 * audit_ring.c and audit_worker.c (what sessions do with keys, on record).
 * The repository side: archive.c (archive_library), providers.c, runner.c (jobs,
 * views).
 * Errors of core become ereport only in report.c.
 */
#ifndef SOV_PG_H
#define SOV_PG_H

#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#define SOV_RUN_ONCE_ARG , bool once
#define SOV_RUN_ONCE , once
#else							/* ExecutorRun() lost its last argument */
#define SOV_RUN_ONCE_ARG
#define SOV_RUN_ONCE
#endif
#if PG_VERSION_NUM < 170000
#define AmAutoVacuumWorkerProcess() IsAutoVacuumWorkerProcess()
#endif

#include "sov_config.h"
#include "sov_crypto.h"
#include "sov_error.h"
#include "sov_value.h"

#define SOV_TYPES_MAX 64
#define SOV_TEXT_PREFIX "sov1:"	/* the text form of a value: this and base64 */

#define SOV_ROOM 16				/* bytes that always-short values fit into */

typedef struct SovType SovType;

/* How the values of a base type become the bytes that are sealed (base.c). */
typedef struct SovBase
{
	int			code;			/* enum sov_base */
	Oid			oid;			/* of the base type */
	int			max;			/* of always-short values, at most SOV_ROOM; else 0 */
	/* Sealed bytes of a base Datum; in room where they are always short, else they
	 * may point into the Datum. */
	const char *(*encode) (const SovType *t, Datum base, char *room, size_t *len);
	/* Base Datum of sealed bytes at chunk + VARHDRSZ with a byte to spare behind
	 * them; where they are not always short, chunk is palloc'd and taken over. */
	Datum		(*decode) (const SovType *t, char *chunk, size_t len);
	/* Canonical bytes of sealed ones; NULL: they are the same. */
	const char *(*canon) (const SovType *t, const char *bytes, size_t len, char *room, size_t *canon_len);
	/* SQL order of sealed bytes; NULL: by Datums, SovBaseCompare(). */
	int			(*compare) (const char *a, size_t alen, const char *b, size_t blen, Oid collation);
} SovBase;

/* One encrypted type of this database (catalog.c). */
struct SovType
{
	char		name[NAMEDATALEN];	/* in the extension's schema */
	Oid			oid;
	Oid			base_oid;
	int			code;			/* enum sov_base */
	bool		searchable;		/* may be */
	const SovBase *base;
	Oid			ioparam;
	FmgrInfo	input,
				receive,
				send,
				compare;		/* of the base type */
};

/* report.c */
pg_noreturn extern void SovRaise(const struct sov_error *err);

/* guc.c */
enum SovInput { SOV_INPUT_PLAINTEXT, SOV_INPUT_CIPHERTEXT };
enum SovDenied { SOV_DENIED_ERROR, SOV_DENIED_CIPHERTEXT, SOV_DENIED_MASK };
extern char *sov_config_file;
extern int	sov_input;
extern int	sov_on_denied;
extern char *sov_purpose;
extern int	sov_seal_limit;
extern bool sov_native_results;
extern bool sov_copy_plaintext;
extern void SovGucInit(void);
extern void SovHintsInit(void);
extern void SovHintsCommand(bool beside_encrypted);	/* a utility command begins */

/* quiet.c: what a message may tell.  SovOpened: the statement of the client has opened values. */
struct ParseState;
struct Query;
extern bool SovOpened;
extern void SovQuietStatement(const struct ParseState *pstate, struct Query *query);	/* a client's own begins */
extern void SovQuietInit(void);

/* catalog.c: object ids of the extension in this database */
typedef struct SovCatalog
{
	Oid			schema;			/* InvalidOid where the extension is not created */
	Oid			key_domain;
	Oid			key_version;
	Oid			key_grant;
	Oid			key_purpose;
	Oid			key_glass;
	Oid			key_glass_role;
	Oid			key_seals;
	int			n_types;
	SovType		types[SOV_TYPES_MAX];
} SovCatalog;
extern const SovCatalog *SovGetCatalog(void);
extern char *SovSchemaName(void);	/* quoted */
extern const SovType *SovTypeOfOid(Oid type);	/* NULL when not ours */

/* For which type a function of ours was called, and which arguments are of it:
 * told by its signature, or where that does not tell, by its name, which begins
 * with the type's. */
typedef struct SovFn
{
	const SovType *type;
	const SovType *types[2];	/* of each argument; `type` where it is of the base type */
	bool		enc[2];			/* else of the base type */
	/* What the second argument opened to when it was last asked for: a constant is
	 * opened once (ops.c). */
	size_t		kept_len,
				kept_plain_len;
	char		kept[96];
	char		kept_plain[64];
} SovFn;
extern SovFn *SovFnResolve(FmgrInfo *flinfo);
static inline SovFn *
SovFnOf(FunctionCallInfo fcinfo)
{
	return fcinfo->flinfo->fn_extra ? (SovFn *) fcinfo->flinfo->fn_extra : SovFnResolve(fcinfo->flinfo);
}

/* base.c */
extern void SovTypeInit(SovType *t);
extern Datum SovBaseInput(const SovType *t, char *str);
extern Datum SovBaseReceive(const SovType *t, StringInfo buf);
extern int	SovBaseCompare(const SovType *t, Datum a, Datum b, Oid collation);
extern void SovCatalogInit(void);

/* keys.c: opened keys of this backend */
extern enum sov_code SovKeyForTypmod(int32 typmod, struct sov_value_keys **keys, struct sov_error *err);
extern enum sov_code SovKeyForVersion(uint32 keyver, struct sov_value_keys **keys, struct sov_error *err);
extern enum sov_code SovKeyForVersionAnyway(uint32 keyver, struct sov_value_keys **keys, struct sov_error *err);	/* without asking who */
extern enum sov_code SovEqKey(struct sov_cmac **eq, struct sov_error *err);
extern struct sov_cmac *SovEqLoaded(void);	/* after SovKeyForTypmod */
extern void SovKeysForget(void);
extern void SovKeysRecheck(void);	/* who may open: ask again */
extern bool SovKeysLost(void);	/* in the middle of this transaction */
extern void SovKeysInit(void);

/* nonces.c */
extern void SovNonce(uint8_t nonce[SOV_NONCE_LEN]);
extern void SovNoncesInit(void);

/* keystore.c: the key tables */
typedef struct SovKeyRow
{
	char		name[NAMEDATALEN];
	int32		key_id;
	uint32		version;
	int			purpose;		/* enum sov_key_purpose */
	bool		current;
	bool		is_default;
	bool		needs_purpose;
	int64		first_unit;		/* of key_seals, when the version was made */
	int			strict;			/* enum SovStrict (audit.h) */
	uint8_t		wrapped[12 + 32 + 16];	/* nonce, key, tag */
	uint8_t		commitment[32];
} SovKeyRow;
enum SovKeyBy { SOV_BY_ID, SOV_BY_VERSION, SOV_BY_DEFAULT, SOV_BY_EQ, SOV_BY_RIGHT };	/* RIGHT: the first that the user may open */
extern int32 SovKeyOfVersion(uint32 keyver);	/* cast.c; -1: there is none */
/* All columns of a row; n is what the caller has room for. */
extern void SovDeform(HeapTuple tuple, TupleDesc desc, int n, Datum *values, bool *nulls);
extern Datum SovBytea(const void *src, size_t len);
extern bool SovFindKeyRow(enum SovKeyBy by, int64 value, SovKeyRow *row);
extern int32 SovKeyIdOfName(const char *name);
extern void SovNewKeyVersion(const char *name);

/* grants.c: may the authenticated user open values of this key?  SOV_E_DENIED
 * *until: 0, or when the break-glass access ends by which it is so (NULL: that does not do) */
extern enum sov_code SovMayOpen(const SovKeyRow *row, TimestampTz *until, struct sov_error *err);
/* Who must be able to open values beside him: where the server runs an owner's code for
 * somebody else (ANALYZE, REINDEX, REFRESH MATERIALIZED VIEW, autovacuum, ...) that owner. */
extern bool SovOpensForCaller;	/* not where it is this library that opens (job.c, sync.c) */
static inline Oid
SovOwnerToo(void)
{
	return unlikely(InSecurityRestrictedOperation()) && !SovOpensForCaller ? GetUserId() : InvalidOid;
}
extern void SovGrantsInit(void);

/* seals.c: limit of seals per version */
extern int64 SovSealsLeft;
extern void SovReserveSeals(int32 typmod);

/* value.c: Datums */
#define SOV_TYPMOD_SEARCHABLE 1
#define SovTypmodKey(typmod) ((int32) ((uint32) (typmod) >> 1))
/* Without a modifier a value is searchable: it may be an operand. */
#define SovTypmodTagged(typmod) ((typmod) < 0 || ((typmod) & SOV_TYPMOD_SEARCHABLE) != 0)
typedef struct SovPlain
{
	const char *bytes;			/* as sealed */
	size_t		len;
	char	   *chunk;			/* to pfree, or NULL */
	char		room[VARHDRSZ + SOV_ROOM];
} SovPlain;
extern Datum SovDecode(const SovType *t, SovPlain *plain);	/* takes it over */
static inline void
SovFreePlain(SovPlain *plain)
{
	if (plain->chunk)
		pfree(plain->chunk);
}
extern Datum SovSealBytes(const SovType *t, const char *bytes, size_t len, int32 typmod);
extern Datum SovSealBytesOf(const SovType *t, const char *bytes, size_t len, int32 typmod, uint64 person);	/* 0: nobody's */
extern Datum SovSeal(const SovType *t, Datum base, int32 typmod);
/* An operand, with a tag whatever the modifier says; false without a key. */
extern bool SovSealTry(const SovType *t, Datum base, int32 typmod, Datum *out);
extern void SovOpen(const SovType *t, const struct varlena *v, SovPlain *plain);
extern enum sov_code SovOpenTry(const SovType *t, const struct varlena *v, SovPlain *plain, struct sov_error *err);
/* Only for what gives ciphertext again: whether the user may is not asked. */
extern enum sov_code SovOpenAnywayTry(const SovType *t, const struct varlena *v, SovPlain *plain, struct sov_error *err);
extern void SovParse(const struct varlena *v, struct sov_value *out);
extern void SovTagOf(const SovType *t, const struct varlena *v, uint8_t e[SOV_VALUE_E_LEN]);
extern void SovTagOfBytes(const SovType *t, const char *bytes, size_t len, uint8_t e[SOV_VALUE_E_LEN]);
extern char *SovToString(const struct varlena *v);
extern struct varlena *SovFromString(const char *s, struct sov_error *err);	/* NULL when it is not one */
extern void SovRefuseEncrypted(const char *str);	/* an error when it is one */
extern bool SovTookCiphertext;	/* type.c: as input, in this transaction */
extern Datum SovNotEncrypted(const SovType *t, Datum base);	/* the same of a base value; detoasted */

/* E of a stored value, NULL where it has none. */
static inline const uint8_t *
SovStoredTag(const struct varlena *v)
{
	const uint8_t *p = (const uint8_t *) VARDATA_ANY(v);

	if (VARSIZE_ANY_EXHDR(v) < 6 + SOV_VALUE_E_LEN + SOV_TAG_LEN ||
		p[0] != SOV_VALUE_FMT || (p[1] & SOV_VALUE_MODE_MASK) == SOV_VALUE_RANDOM)
		return NULL;
	return p + 6;
}

/* ops.c: an error where tags would not say what is equal */
extern void SovCheckCollation(Oid collation);

/* literals.c: as SovSealTry; the same again until the statement is analysed, or planned */
extern bool SovSealLiteral(const SovType *t, Datum base, int32 typmod, Datum *out);
extern void SovLiteralsForget(void);
extern void SovLiteralsPlanning(bool begins);
extern void SovLiteralsInit(void);

struct PlannedStmt;
/* storing.c: a command runs that stores what it opens, or chooses by it what is changed */
extern bool SovStoring;
extern bool SovStores(struct Query *query);
extern void SovMarkStoring(struct PlannedStmt *plan);
extern void SovStoringInit(void);

/* plan.c */
extern void SovSealConsts(struct Query *query);
extern void SovPlanInit(void);

/* params.c: parameters that the client gave no type get the base type */
extern void SovNativeParams(struct ParseState *pstate, struct Query *query);

/* results.c */
extern void SovResultsInit(void);

/* inlining.c */
extern void SovInliningInit(void);

/* child.c: the command pg_sovereign */
extern void SovCommandInit(void);
extern void SovCommandPath(char *dst, size_t cap);
/* In a child: becomes the command. */
pg_noreturn extern void SovCommandExec(const char *path, const char *const *args, int in, int out);
/* In a child with a pipe to its input and one from its output, not blocking; -1 with errno. */
extern pid_t SovCommandStart(const char *path, const char *const *args, int *to, int *from);

/* runner.c: as sov_job_ask, and a worker that runs it */
extern enum sov_code SovStartJob(const struct sov_config *cfg, const char *command, const char *const *args, int n_args, const char *role,
								 uint64_t *id, struct sov_error *err);

#endif
