/* What memory.c and placement.c share: the head of a block. */
#ifndef EVERTURN_MEMORY_H
#define EVERTURN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "cutils.h" /* of QuickJS: likely, unlikely */

enum { KIND_SIZES = 31, KIND_FIXED = 0xfe, KIND_LARGE = 0xff, FIXED_UNIT_BYTES = 8 };
enum { BLOCK_BYTES_MAX = INT32_MAX - 4096 };

/* QuickJS's own head of a block (JSMallocBlockHeader, of which it uses what collects garbage); inside.c checks that it is. */
typedef struct Block {
    uint16_t place;     /* in its chunk; while it is free, the next free one's; of a fixed one, its length in units */
    uint8_t kind;       /* the number of its size, or one of the two above */
    uint8_t gc;         /* QuickJS's */
    int32_t references; /* QuickJS's */
    uint8_t data[];
} Block;

Block *memory_new_block(size_t bytes);           /* the header is counted in; NULL: no memory */
size_t memory_block_bytes(const Block *block);   /* with its header */
size_t memory_rounded_bytes(size_t bytes);
void memory_tidy(void);

/* placement.c, while the image is made. */
extern uint8_t placement_stage;                  /* 0 when the image is there */
Block *placement_block(size_t bytes);
void placement_freed(Block *block);

#endif
