/*
 * audit.h - what sessions do with keys, on its way to the audit log (sov_audit.h).
 *
 * A session writes an entry into the ring, a piece of shared memory, and goes on; the
 * audit worker, a process of its own because it waits for disks, puts what it finds
 * there into the log's queue, synced, at most SOV_RING_DELAY_MS later.  Who ships the
 * queue does the rest.
 *
 * An entry of a use is written before the first value is opened, as begun, and amended
 * when the transaction ends: how that was and how many values were opened.  If the
 * worker has it by then, a second entry says so.  Afterwards the session only counts;
 * what it counted is an entry every SOV_USE_AGAIN_US and when it ends.  So "opened" is
 * always what came since the session's entry before for that key and purpose, and
 * sums tell the truth, except for a killed session's last ten minutes.
 *
 * Of a strict key each statement has an entry, and the statement waits until it is on
 * disk (or at the providers); when that cannot be, nothing is opened.
 *
 * The ring lies in a mapping of its own, made in the postmaster, and outlives a crash
 * of any process, the worker included: what was not on disk yet is put there by the
 * next worker.  When it is full, an entry waits for the worker for SOV_RING_WAIT_US
 * and is then counted as lost; the count becomes an entry too.
 */
#ifndef SOV_BACKEND_AUDIT_H
#define SOV_BACKEND_AUDIT_H

#include "shared.h"

#include "datatype/timestamp.h"
#include "nodes/parsenodes.h"
#include "utils/timestamp.h"

#include "sov_audit.h"

#define SOV_RING_DELAY_MS 500
#define SOV_RING_WAIT_US INT64CONST(300000)
#define SOV_USE_AGAIN_US INT64CONST(600000000)

/* Where an entry of a strict key has to be before a value is opened (column
 * strict of key_version). */
enum SovStrict { SOV_STRICT_NO, SOV_STRICT_HOST, SOV_STRICT_PROVIDERS };

/* Microseconds since 1970. */
static inline uint64
SovAuditNow(void)
{
	return (uint64) (GetCurrentTimestamp() + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}

/* --- audit.c: for whoever uses keys or changes them --- */

enum SovUseKind { SOV_USE_OPEN, SOV_USE_SEAL, SOV_USE_RESEAL, SOV_USE_DENIED };

/* What this session does with a key for a purpose; lives until it ends, or until
 * SovKeysRecheck(). */
typedef struct SovUse
{
	int32		key_id;
	enum SovUseKind kind;
	enum SovStrict strict;
	bool		glass;			/* by break-glass: strict whatever the key is */
	char		purpose[256];	/* as the session has it */
	uint64		opened;			/* values: the one thing that is counted on the way */
	uint64		noted;			/* of them in entries */
	TimestampTz noted_at;
	TimestampTz statement;		/* begun for the one of this message, */
	int			location;		/* that begins there */
	bool		begun;			/* in this session */
	bool		pending;		/* its entry of this transaction is to be amended */
	uint64		at;				/* that entry */
	struct sov_error refusal;	/* of the statement, where the key is strict */
	struct sov_audit_entry entry;
	struct SovUse *next;
	struct SovUse *next_here;	/* used in this transaction */
	bool		here;
} SovUse;

/* Reads catalogs. */
extern SovUse *SovUseOf(enum SovUseKind kind, const SovKeyRow *row, bool glass);
/* Before a key is used: once per transaction, of a strict key for each value.
 * SOV_E_DENIED: the key is strict, and the log does not take the entry. */
extern enum sov_code SovUseNote(SovUse *use, struct sov_error *err);
/* Something that this session did that is no use of a key. */
extern void SovAuditSession(enum sov_audit_event event, const char *key, const char *text);
/* Something that a process of the server noticed; under any lock but the ring's. */
extern void SovAuditServer(enum sov_audit_event event, enum sov_audit_outcome outcome, Oid db, const char *text);
/* A utility command of the client's, before it runs. */
extern void SovAuditUtility(Node *utility);
extern void SovAuditInit(void);
/* Who and what, in an entry that is being made; texts become UTF-8. */
extern void SovAuditIdentify(struct sov_audit_entry *e);
extern void SovAuditDescribe(struct sov_audit_entry *e, const char *what);
extern void SovAuditPutText(char *dst, size_t cap, const char *src);

/* --- audit_change.c --- */

/* While this library itself writes places of persons; an error clears it. */
extern bool SovOwnChange;
extern void SovAuditChangeInit(void);
/* A value is about to be opened: what this transaction has changed so far is on record first. */
extern void SovAuditChangesCount(void);
/* Another entry that waits for its transaction to commit. */
extern void SovAuditLater(const struct sov_audit_entry *e);

/* Is it one of the tables whose changes are on record? */
extern bool SovIsWatched(const char *table);

/* --- audit_command.c --- */

struct Node;
struct PlannedStmt;
extern bool SovIsOfRoles(const struct Node *command);
/* Such a utility command has run. */
extern void SovAuditRoles(const struct Node *command);
/* One is about to run: of the tables of keys it is on record. */
extern void SovAuditTable(const struct Node *command);
/* A statement has its plan: one that writes into system catalogs is on record. */
extern void SovAuditPlan(const struct PlannedStmt *stmt);

/* --- audit_window.c --- */

extern void SovAuditWindowInit(void);

/* --- audit_ring.c --- */

enum { SOV_RING_PROMPT = 1, SOV_RING_PROVIDERS = 2 };	/* flags of an entry */
enum SovRingState { SOV_RING_UNKNOWN, SOV_RING_ON, SOV_RING_OFF };	/* OFF: there is no log */

extern void SovRingGuc(void);
extern void SovRingPreload(void);
extern const SovSharedPart SovRingPart;
/* *at (may be NULL): its position.  wait: for room.  false: it is lost, and counted. */
extern bool SovRingPut(const struct sov_audit_entry *e, int flags, bool wait, uint64 *at);
/* false: the worker has it already. */
extern bool SovRingAmend(uint64 at, enum sov_audit_outcome outcome, uint64 opened);
/* Until the entry at this position is where its flags say. */
extern enum sov_code SovRingWait(uint64 at, int flags, struct sov_error *err);
/* Why entries cannot be written now; false: they can. */
extern bool SovRingTrouble(struct sov_error *err);
/* A process ends: when the worker has ended before, put the ring on disk. */
extern void SovRingLeave(void);

/* --- audit_worker.c --- */

extern void SovAuditWorkerInit(void);
extern PGDLLEXPORT void SovAuditMain(Datum arg);
/* of the ring, for the worker */
extern void SovRingAttach(void);
extern void SovRingDetach(void);
extern void SovRingDirectory(const char *directory);	/* NULL: there is no log */
extern bool SovRingDrain(bool *more, struct sov_error *err);	/* false: it could not be written */
extern long SovRingDue(void);	/* milliseconds; 0: drain now */
extern bool SovRingHeld(void);	/* look what providers took; false: something waits */

#endif
