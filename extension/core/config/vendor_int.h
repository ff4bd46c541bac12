/*
 * vendor_int.h - what vendors.c, vendor_field.c and vendor_profile.c share.
 */
#ifndef VENDOR_INT_H
#define VENDOR_INT_H

#include "sov_vendor.h"

#define VENDOR_VALUE_MAX 512
#define VENDOR_HINT_MAX 200

/* The field of that name, or -1 and a hint. */
extern int	vendor_field(const char *name, char *hint, size_t cap);
/* Is it a value that the field may have ("unknown" apart)? */
extern bool vendor_value_ok(enum sov_vendor_field field, const char *value, const char **why);
extern bool vendor_confidence(const char *name, enum sov_confidence *out);
/* "2026-11-25", with month also "2026-11". */
extern bool vendor_date_ok(const char *text, bool month);

#endif
