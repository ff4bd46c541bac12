/*
 * custodian_line.h - requests and answers between processes that ask a custodian.
 */
#ifndef CUSTODIAN_LINE_H
#define CUSTODIAN_LINE_H

#include "sov_custodian.h"

/* Of a line, with its end; lines are in secret memory. */
#define CUSTODIAN_LINE SOV_CUSTODIAN_LINE

/* line: the request, without its end; becomes the answer.  secret: secret memory, 32. */
extern void custodian_serve(struct sov_custodian *c, char *line, uint8_t *secret);
/* The answer that tells an error. */
extern void custodian_error(const struct sov_error *err, char *line);

#endif
