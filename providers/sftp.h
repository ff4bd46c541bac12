/*
 * sftp.h - parts of the sftp adapter that fuzz targets call.
 */
#ifndef SFTP_H
#define SFTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One line of a directory as OpenSSH lists it. */
extern bool sov_sftp_line(const char *line, size_t len, bool *directory, uint64_t *size, char *name, size_t cap);

#endif
