/*
 * xml.h - reads a reply in XML: every element's text, by its path.
 */
#ifndef XML_H
#define XML_H

#include "sov_bytes.h"
#include "sov_error.h"

/*
 * Called at the end of every element with the path of local names,
 * "ListBucketResult/Contents/Key", and its own text ("" when it holds only
 * elements).  Return false to stop.
 */
typedef bool (*sov_xml_fn) (void *ctx, const char *path, const char *text);

/* SOV_E_PROVIDER when it is not well-formed, too deep, has a document type, or
 * a text that is too long.  *stopped (may be NULL): fn said so. */
extern enum sov_code sov_xml_read(const void *data, size_t len, sov_xml_fn fn, void *ctx, bool *stopped, struct sov_error *err);

/* The text of the first element of that path in a small document; false when
 * absent, too long, or not XML. */
extern bool sov_xml_text(const struct sov_buf *doc, const char *path, char *dst, size_t cap);

#endif
