/*
 * child.h - running the server's own programs.
 */
#ifndef CHILD_H
#define CHILD_H

#include "cli.h"

#define CHILD_STOPPED 124		/* it took too long, or the command was cancelled */

/* Run argv[0] with its output appended to a file (0600).  Its exit status, 128 +
 * the signal, CHILD_STOPPED, or -1 when it cannot be run at all. */
extern int	child_run(const char *const *argv, const char *output, int seconds);
/* The last line of a file that is not empty. */
extern void child_tail(const char *file, char *dst, size_t cap);
/* Remove a directory and all below it. */
extern bool child_remove_directory(const char *dir);

#endif
