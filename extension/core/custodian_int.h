/*
 * custodian_int.h - the custodians of this build.
 */
#ifndef CUSTODIAN_INT_H
#define CUSTODIAN_INT_H

#include "sov_custodian.h"

extern const struct sov_custodian_ops sov_custodian_file_ops;

#endif
