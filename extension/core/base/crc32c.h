/*
 * crc32c.h - CRC-32C (Castagnoli).
 */
#ifndef CRC32C_H
#define CRC32C_H

#include <stddef.h>
#include <stdint.h>

extern uint32_t crc32c(const void *p, size_t len);
/* Of a followed by b, from theirs. */
extern uint32_t crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len);

#endif
