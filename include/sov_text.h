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

/* The real path, also of one that does not exist (then of its longest existing
 * part, the rest appended).  SOV_E_SYSTEM when it does not fit or may not be
 * looked at. */
extern enum sov_code sov_path_real(const char *path, char *dst, size_t cap, struct sov_error *err);
/* True when path is root or lies inside it: by name after sov_path_real, or
 * because an existing directory above it is the same one (a bind mount). */
extern bool sov_path_within(const char *path, const char *root);

#endif
