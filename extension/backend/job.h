/*
 * job.h - long work on columns in batches that commit (job.c), as the
 * conversion (convert.c) and the rotation of keys (rotate.c) need it.
 */
#ifndef SOV_JOB_H
#define SOV_JOB_H

#include "sov_pg.h"

#include "executor/spi.h"

/* A row of the table column_job. */
typedef struct SovJob
{
	Oid			rel;
	AttrNumber	attnum;
	AttrNumber	new_attnum;		/* conversion: the column that is filled */
	char		what[NAMEDATALEN];	/* encrypt, decrypt, rotate */
	char		phase[NAMEDATALEN];
	Oid			part;			/* the table or partition under way */
	Oid			filenode;		/* of part, to see that it was rewritten */
	int64		block;			/* the next one */
	int64		end_block;		/* InvalidBlock: not begun */
	int64		pass_rows;		/* rows of this pass over the table */
} SovJob;

enum SovStep
{
	SOV_STEP_DONE,				/* of this phase */
	SOV_STEP_STOPPED,			/* by stop_column_job() */
	SOV_STEP_GONE				/* finished or abandoned by another session */
};

/* The statement for blocks [from, to) of a part; its number of rows is
 * SPI_processed, or count() reads it from the result. */
typedef struct SovWalk
{
	const char *phase;
	bool		quietly;		/* without the table's own triggers, where allowed */
	char	   *(*statement) (const SovJob *job, const char *part, const char *range);
	uint64		(*count) (const SovJob *job);	/* NULL: SPI_processed */
} SovWalk;

/* SQL: run it; ask for the first value of its result (NULL: none, or null). */
extern uint64 SovRun(const char *fmt,...) pg_attribute_printf(1, 2);
extern char *SovAsk(const char *fmt,...) pg_attribute_printf(1, 2);
extern uint64 SovRunOnJobs(const char *fmt,...) pg_attribute_printf(1, 2);
typedef struct SovUser
{
	Oid			user;
	int			context;
} SovUser;
extern void SovBecomeOwner(Oid rel, SovUser *saved);
extern void SovBecomeSelf(const SovUser *saved);
extern uint64 SovRunAsOwner(Oid rel, const char *sql);
extern Oid	SovBatchOf;			/* the table or partition of the batch that runs, for its caller */
extern char *SovTableName(Oid rel);		/* quoted and qualified */
extern const char *SovColumnName(Oid rel, AttrNumber attnum);	/* quoted */

/* At the begin of a procedure that commits: connects to SPI. */
extern void SovBeginBatches(FunctionCallInfo fcinfo, const char *name);
extern void SovBeQuiet(void);

extern bool SovOwnsTable(Oid rel);
extern bool SovLockWork(Oid table, uint32 id, bool wait);
extern bool SovFindJob(Oid rel, AttrNumber attnum, SovJob *job);
extern void SovClaimTable(Oid rel);
extern void SovTakeBackStop(Oid rel, AttrNumber attnum);
extern bool SovStopWanted(const SovJob *job);
extern void SovForgetJobs(void);
extern void SovDropJob(const SovJob *job);
extern void SovSetPhase(const SovJob *job, const char *phase);
extern int64 SovEstimateRows(Oid rel);
extern enum SovStep SovWalkTable(SovJob *job, const SovWalk *walk, int batch);
/* Run something that needs a strong lock: in short attempts, each a transaction
 * of its own, until it has the lock. */
extern enum SovStep SovTryLocked(const SovJob *job, bool quietly, void (*work) (void *arg), void *arg);

/* What encrypt_column or decrypt_column is to do (convert_order.c, convert.c,
 * convert_swap.c). */
typedef struct SovConversion
{
	SovJob		job;
	const char *name;			/* of the procedure */
	bool		encrypt;
	char	   *column;
	char	   *new_column;
	char	   *trigger;
	char	   *subject;		/* the column that names persons, or NULL */
	char	   *type;			/* as SQL */
	Oid			type_oid;
	int32		typmod;
	bool		indexable;		/* the new column */
	bool		fresh;			/* no job yet */
	bool		again;			/* the swap found that something is missing */
	char	   *statement;		/* for SovTryLocked() */
} SovConversion;
/* The column's names and number; a job under way keeps the type that it chose. */
extern void SovReadConversion(SovConversion *c, Oid rel, const char *column, const char *key, const char *mode);
/* Nothing to do? */
extern bool SovAlreadyConverted(const SovConversion *c);
/* Values that are to be opened must be the caller's to open: said before anything
 * is touched, and never masked. */
extern void SovCheckMayOpen(const SovConversion *c);
/* In random mode the values can only be compared by opening them. */
extern bool SovMayCompare(const SovJob *job);
/* To decrypt a column may take two persons.  As the owner of the key tables: the rule is
 * not the caller's to see. */
extern void SovNeedApproval(const SovConversion *c, const char *table);
/* Before anything is begun: can the values be tied to the persons of that column? */
extern void SovCheckSubject(const SovConversion *c);
/* Whatever cannot be carried over, in one message. */
extern void SovRefuseObstacles(const SovConversion *c, bool begun);
/* What changes without being an obstacle is said. */
extern void SovTellChanges(const SovConversion *c);

/* convert_swap.c */
extern enum SovStep SovMakeIndexes(SovConversion *c);
extern enum SovStep SovKeepNotNull(SovConversion *c);
extern enum SovStep SovSwapColumns(SovConversion *c);
extern void SovAbandonJob(const SovJob *job);
extern Datum sov_run_subjects(PG_FUNCTION_ARGS);
/* The trigger that ties values to persons (tie.c): make it, take it away; NULL: there is none. */
extern void SovTieColumn(Oid rel, const char *column, const char *subject, bool always);
extern void SovUntieColumn(Oid rel, const char *column);
extern char *SovTiedTo(Oid rel, const char *column);
/* An error unless the caller may tie such values to the persons of that column. */
extern void SovCheckMayTie(Oid rel, Oid type, int32 typmod, const char *subject);
extern bool SovTieFits(Oid rel, const char *column, const char *subject);
extern char *SovKeyOfColumn(Oid rel, AttrNumber attnum);	/* tie.c */

/* sync.c */
extern char *SovDefaultFor(Oid rel, AttrNumber attnum, Oid type, int32 typmod, bool *betrays);

#endif
