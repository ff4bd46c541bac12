/*
 * pgpage.h - pages of relations, without the server's headers.
 */
#ifndef PGPAGE_H
#define PGPAGE_H

#include <stdbool.h>
#include <stdint.h>

/* New (all of it zeros), or with the right checksum.  block is the relation's block number. */
extern bool pgpage_ok(const uint8_t *page, uint32_t block);
extern uint64_t pgpage_lsn(const uint8_t *page);
extern uint32_t pgpage_block_size(void);
extern uint32_t pgpage_segment_pages(void);

#endif
