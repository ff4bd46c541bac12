/*
 * manifest_private.h - rules that manifests, pieces and catalogues share.
 */
#ifndef MANIFEST_PRIVATE_H
#define MANIFEST_PRIVATE_H

#include "sov_manifest.h"

/* Relative, without empty, "." or ".." components and control characters. */
extern bool mf_path_ok(const char *path);
/* A power of two within these bounds. */
static inline bool
mf_power_of_two(uint32_t v, uint32_t min, uint32_t max)
{
	return v >= min && v <= max && (v & (v - 1)) == 0;
}

#define MF_WAL_SEGMENT_MIN ((uint32_t) 1 << 20)
#define MF_WAL_SEGMENT_MAX ((uint32_t) 1 << 30)

/* What was just encoded must be readable: a backup that its own restore refuses
 * is to fail now, not then. */
#define MF_REFUSED_HINT "this is a defect of pg_sovereign: please report it"

#endif
