/*
 * drill.h - a drill, and its stages.
 */
#ifndef DRILL_H
#define DRILL_H

#include <limits.h>

#include "cli.h"
#include "sov_restore.h"

enum stage { STAGE_RESTORE, STAGE_VERIFY, STAGE_RECOVER, STAGE_CHECK, STAGE_AMCHECK, STAGE_QUERY, N_STAGES };
extern const char *const drill_stage_names[N_STAGES];

struct drill
{
	const struct cli_context *ctx;
	struct sov_config cfg;
	struct sov_restore_options opt;
	struct cli_time time;
	const char *scratch,
			   *query,
			   *query_user,		/* NULL: a role of the drill's own */
			   *database,
			   *bin;
	char		dir[PATH_MAX],	/* scratch/pg_sovereign_drill.XXXXXX */
				data[PATH_MAX],
				log[PATH_MAX],
				user[256];
	bool		amcheck,
				keep,
				json,
				running;
	int			timeout;
	double		seconds[N_STAGES];
	uint64_t	bytes[N_STAGES],	/* written, read, replayed, read, read, read */
				pages_read;		/* by the server's sessions until the stage began, in bytes */
	bool		done[N_STAGES];
	int64_t		started;
	char		recovered_to[64];
	struct sov_restore_result res;
};

/* drill_programs.c: whether the server's programs are of the backup's version (ctx: the
 * drill), asked before anything is restored. */
extern enum sov_code drill_check_programs(void *ctx, const struct sov_backup_entry *entry, struct sov_error *err);

/* Each notes how long it took and how many bytes it went through; a failure ends the
 * drill. */
extern enum sov_code drill_restore(struct drill *d, struct sov_error *err);
extern enum sov_code drill_verify(struct drill *d, struct sov_error *err);
extern enum sov_code drill_recover(struct drill *d, struct sov_error *err);
extern enum sov_code drill_check(struct drill *d, struct sov_error *err);
extern enum sov_code drill_amcheck(struct drill *d, struct sov_error *err);
extern enum sov_code drill_query(struct drill *d, struct sov_error *err);
/* At once, and only if it runs. */
extern void drill_stop_server(struct drill *d);

#endif
