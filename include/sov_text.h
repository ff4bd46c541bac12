/*
 * sov_text.h - small helpers for what people write and read: the nearest known
 * word, sizes, and where a path really lies.
 */
#ifndef SOV_TEXT_H
#define SOV_TEXT_H

#include "sov_error.h"

/* The candidate that is a likely typing error away from word, or NULL.
 * candidates ends with NULL. */
extern const char *sov_nearest(const char *word, const char *const *candidates);

/* True when value is one of "a|b|c". */
extern bool sov_is_choice(const char *choices, const char *value);

/* "512", "64kB", "1 GB": bytes, units of 1024.  False on anything else. */
extern bool sov_parse_size(const char *text, uint64_t *bytes);
/* "30", "30s", "5 min", "2h", "7d": seconds.  False on anything else. */
extern bool sov_parse_duration(const char *text, uint64_t *seconds);
/* "1.5 GB"; returns dst. */
extern char *sov_size_text(uint64_t bytes, char *dst, size_t cap);

/* True when path is root or lies inside it: by its real name (also of one that does not exist yet), or
 * because an existing directory above it is the same one (a bind mount). */
extern bool sov_path_within(const char *path, const char *root);

#endif
