/*
 * pgsource.h - the server as the source of a backup, over one connection.
 */
#ifndef PGSOURCE_H
#define PGSOURCE_H

#include <libpq-fe.h>

#include "sov_backup.h"

struct pgsource
{
	PGconn	   *conn;
	char		data_directory[SOV_PATH_MAX];	/* as the server says */
};

extern enum sov_code pgsource_connect(struct pgsource *s, const char *connection, struct sov_error *err);
extern void pgsource_close(struct pgsource *s);
/* The callbacks for the engine; they use s until it is closed. */
extern void pgsource_callbacks(struct pgsource *s, struct sov_source *source);

#endif
