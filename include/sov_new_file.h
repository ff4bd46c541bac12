/*
 * sov_new_file.h - small files that hold a key or what belongs to one.
 */
#ifndef SOV_NEW_FILE_H
#define SOV_NEW_FILE_H

#include "sov_error.h"

/* Make a file of this absolute path, mode 0600, and bring it to disk; SOV_E_EXISTS, and
 * nothing is changed, when there is one.  The text is written from where it lies. */
extern enum sov_code sov_new_file(const char *path, const char *text, size_t len, struct sov_error *err);

#endif
